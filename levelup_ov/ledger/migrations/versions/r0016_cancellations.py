"""Cancellations that were begun, so that one that is interrupted is finished."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """``canceling_at`` is milliseconds since 1970; ``cancellation`` is JSON."""
    for table, column in (
        ("order_statuses", sa.Column("canceling_at", sa.BigInteger)),
        ("checkout_orders", sa.Column("cancellation", sa.Text)),
    ):
        op.add_column(table, column)
        begun = sa.text(f"{column.name} IS NOT NULL")
        # Almost no order is canceled.
        op.create_index(f"{table}_{column.name}", table, [column.name], sqlite_where=begun, postgresql_where=begun)
    # It only adds: the release of revision 0005 works beside it.
    op.execute("INSERT INTO ledger_compatibility (revision, oldest) VALUES ('0016', '0005')")
