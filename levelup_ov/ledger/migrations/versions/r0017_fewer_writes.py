"""Indexes on SQLite that a submission changes less often: each page that it changes is written, and waited for."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """PostgreSQL keeps its indexes: it plans searches by them otherwise, and gained nothing."""
    if op.get_context().dialect.name == "sqlite":
        _use_fewer_pages()
    # Whatever an older release looks for still has an index: that of revision 0005 works beside it.
    op.execute("INSERT INTO ledger_compatibility (revision, oldest) VALUES ('0017', '0005')")


def _use_fewer_pages() -> None:
    # A row is in one index while it is open, and in the other from then on. All open rows are found by the first, too,
    # because its first column has a condition.
    op.drop_index("submissions_open", "submissions")
    op.drop_index("submissions_settled_at", "submissions")
    for name, columns, condition in (
        ("submissions_open", ["settled_at", "location"], "settled_at IS NULL"),
        ("submissions_settled_at", ["settled_at"], "settled_at IS NOT NULL"),
    ):
        op.create_index(name, "submissions", columns, sqlite_where=sa.text(condition))
    # One index holds a provider's order once for each account and finds its number. The rows of before 0003 that are
    # outside the rule differ by their id.
    op.drop_index("submissions_order", "submissions")
    op.drop_index("submissions_provider_order", "submissions")
    op.create_index(
        "submissions_order", "submissions",
        ["provider_order_id", "account", sa.text("(CASE WHEN proven IS NULL THEN id ELSE '' END)")],
        unique=True, sqlite_where=sa.text("provider_order_id IS NOT NULL"),
    )  # fmt: skip
