"""The last known status of each placed order, and the claims of those who ask for it."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Times are milliseconds since 1970 in UTC, but ``since``: of the clock of ``boot``; ``lease`` is milliseconds."""
    op.create_table(
        "order_statuses",
        sa.Column("submission", sa.Text, sa.ForeignKey("submissions.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("stage", sa.Text),
        sa.Column("word", sa.Text),
        sa.Column("changed_at", sa.BigInteger),
        sa.Column("asked_at", sa.BigInteger),
        sa.Column("mark", sa.Text, nullable=False),
        sa.Column("boot", sa.Text, nullable=False),
        sa.Column("since", sa.BigInteger, nullable=False),
        sa.Column("lease", sa.BigInteger, nullable=False),
    )
    # Finds an order of a location by its number.
    numbered = sa.text("order_id IS NOT NULL")
    op.create_index(
        "submissions_number", "submissions", ["location", "order_id"],
        sqlite_where=numbered, postgresql_where=numbered,
    )  # fmt: skip
    # It only adds: the release of revision 0005 works beside it.
    op.execute("INSERT INTO ledger_compatibility (revision, oldest) VALUES ('0007', '0005')")
