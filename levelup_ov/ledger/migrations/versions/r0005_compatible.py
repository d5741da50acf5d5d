"""Which older release can work with this schema, and who has settled a submission by hand."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """``oldest`` is the revision of the oldest release that can read and write the schema of ``revision``.

    A later revision that only adds what may be absent (a table, a column with a default or null) adds a row with the
    revision before it, so that the release of that one works on beside it. Without a row no older release does.
    """
    op.create_table(
        "ledger_compatibility",
        sa.Column("revision", sa.Text, primary_key=True),
        sa.Column("oldest", sa.Text, nullable=False),
    )
    op.add_column("submissions", sa.Column("settled_by", sa.Text))
