"""Web checkout: marks by a clock that cannot step, what is doubtful, and what a person must settle."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """A row without a mark is free to be taken up. Times are milliseconds since 1970, those of sights of a boot."""
    op.create_table(
        "checkout_sights",
        sa.Column("token", sa.Text, primary_key=True),
        sa.Column("boot", sa.Text, primary_key=True),
        # Milliseconds of that boot.
        sa.Column("since", sa.BigInteger, nullable=False),
    )
    for name in ("seen", "held", "sent", "doubt", "operator_case", "settled"):
        op.add_column("checkout_orders", sa.Column(name, sa.Text))
    op.add_column("checkout_orders", sa.Column("look_at", sa.BigInteger))
    for name in ("looks", "tried_at"):
        op.add_column("checkout_orders", sa.Column(name, sa.BigInteger, nullable=False, server_default="0"))
    op.drop_column("checkout_orders", "lease_until")
    op.create_index("checkout_orders_look_at", "checkout_orders", ["look_at"])
    # Finds the newest connection of a merchant or user.
    op.create_index("checkout_connections_person", "checkout_connections", ["kind", "levelup_id"])
