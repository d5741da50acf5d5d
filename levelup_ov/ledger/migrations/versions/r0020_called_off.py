"""Since when nobody makes a charged order, apart from why a person must settle it."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """``called_off_at`` is milliseconds since 1970."""
    op.add_column("checkout_orders", sa.Column("called_off_at", sa.BigInteger))
    off = sa.text("called_off_at IS NOT NULL")
    # Almost no order is called off.
    op.create_index(
        "checkout_orders_called_off", "checkout_orders", ["state", "id"], sqlite_where=off, postgresql_where=off
    )
    # Until now it was a case, which the next one could replace.
    op.execute(
        "UPDATE checkout_orders SET called_off_at = created_at "
        """WHERE operator_case LIKE '{"kind": "canceled_not_refunded"%'"""
    )
    # It only adds: the release of revision 0005 works beside it.
    op.execute("INSERT INTO ledger_compatibility (revision, oldest) VALUES ('0020', '0005')")
