"""Web checkout: connections of merchants and users, states of OAuth, and orders."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Times are milliseconds since 1970 in UTC, amounts are cents."""
    op.create_table(
        "checkout_connections",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("permissions", sa.Text, nullable=False),
        sa.Column("token", sa.Text),
        sa.Column("levelup_id", sa.BigInteger),
        sa.Column("request_id", sa.BigInteger, unique=True),
        sa.Column("return_to", sa.Text),
        sa.Column("confirmation", sa.Text),
        sa.Column("confirm_until", sa.BigInteger),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.CheckConstraint("kind IN ('merchant', 'user')", name="checkout_connections_kind"),
    )
    # Finds the merchants that are connected, and connections that were started and given up.
    op.create_index("checkout_connections_state", "checkout_connections", ["kind", "state", "created_at"])
    op.create_table(
        "checkout_states",
        sa.Column("digest", sa.Text, primary_key=True),
        sa.Column("connection", sa.Text, sa.ForeignKey("checkout_connections.id"), nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("expires_at", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "checkout_orders",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("merchant", sa.Text, nullable=False),
        sa.Column("user", sa.Text, nullable=False),
        sa.Column("location_id", sa.BigInteger, nullable=False),
        sa.Column("uuid", sa.Text, unique=True),
        sa.Column("proposed_uuid", sa.Text, nullable=False),
        sa.Column("body", sa.Text),
        sa.Column("spend", sa.BigInteger, nullable=False),
        sa.Column("tax", sa.BigInteger, nullable=False),
        sa.Column("exemption", sa.BigInteger, nullable=False),
        sa.Column("tip", sa.BigInteger, nullable=False),
        sa.Column("discount", sa.BigInteger, nullable=False),
        sa.Column("total", sa.BigInteger),
        sa.Column("gift_card_total", sa.BigInteger),
        sa.Column("gift_card_tip", sa.BigInteger),
        sa.Column("provider_location_id", sa.Text),
        sa.Column("submitted", sa.Text),
        sa.Column("problem", sa.Text),
        sa.Column("refund_key", sa.Text),
        sa.Column("refunded_at", sa.BigInteger),
        sa.Column("lease_until", sa.BigInteger, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
    )
    # Finds what is not done yet.
    op.create_index("checkout_orders_state", "checkout_orders", ["state"])
