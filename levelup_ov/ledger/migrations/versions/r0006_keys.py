"""The key that references are made with."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """A key is written when it is first used. It only adds: the release of revision 0005 works beside it."""
    op.create_table(
        "ledger_keys",
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("value", sa.Text, nullable=False),
    )
    op.execute("INSERT INTO ledger_compatibility (revision, oldest) VALUES ('0006', '0005')")
