"""Indexes that a submission changes less often: each page that it changes is written, and waited for."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """A row is in one index while it is open, and in the other from then on."""
    op.drop_index("submissions_settled_at", "submissions")
    settled = sa.text("settled_at IS NOT NULL")
    op.create_index(
        "submissions_settled_at", "submissions", ["settled_at"], sqlite_where=settled, postgresql_where=settled
    )
    # SQLite also finds all open rows by it, which it would not without a condition for its first column. PostgreSQL
    # finds them as it is, and needs the location first.
    if op.get_context().dialect.name == "sqlite":
        op.drop_index("submissions_open", "submissions")
        is_open = sa.text("settled_at IS NULL")
        op.create_index("submissions_open", "submissions", ["settled_at", "location"], sqlite_where=is_open)
    # One index holds a provider's order once for each account and finds its number. The rows of before 0003 that are
    # outside the rule differ by their id.
    op.drop_index("submissions_order", "submissions")
    op.drop_index("submissions_provider_order", "submissions")
    found = sa.text("provider_order_id IS NOT NULL")
    op.create_index(
        "submissions_order", "submissions",
        ["provider_order_id", "account", sa.text("(CASE WHEN proven IS NULL THEN id ELSE '' END)")],
        unique=True, sqlite_where=found, postgresql_where=found,
    )  # fmt: skip
    # Whatever an older release looks for still has an index: that of revision 0005 works beside it.
    op.execute("INSERT INTO ledger_compatibility (revision, oldest) VALUES ('0017', '0005')")
