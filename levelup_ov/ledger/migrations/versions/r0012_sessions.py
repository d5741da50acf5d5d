"""Checkout sessions, and the idempotency keys of the requests that changed them."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Times are milliseconds since 1970; ``content`` is sealed, null once it is purged; ``held`` is a lease's mark."""
    op.create_table(
        "sessions",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("caller", sa.Text, nullable=False),
        sa.Column("account", sa.Text, nullable=False),
        sa.Column("location", sa.Text, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("version", sa.BigInteger, nullable=False),
        sa.Column("attempt", sa.BigInteger, nullable=False),
        sa.Column("content", sa.Text),
        sa.Column("held", sa.Text),
        sa.Column("order_id", sa.Text),
        sa.Column("submitted_as", sa.Text),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("expires_at", sa.BigInteger, nullable=False),
    )
    # Finds what is to be purged.
    op.create_index("sessions_expires_at", "sessions", ["expires_at"])
    op.create_table(
        "session_keys",
        sa.Column("digest", sa.Text, primary_key=True),
        sa.Column("session", sa.Text, sa.ForeignKey("sessions.id", ondelete="CASCADE"), nullable=False),
        sa.Column("body", sa.Text, nullable=False),
        sa.Column("state", sa.Text),
        sa.Column("version", sa.BigInteger),
        sa.Column("content", sa.Text),
    )
    op.create_index("session_keys_session", "session_keys", ["session"])
    # It only adds: the release of revision 0005 works beside it.
    op.execute("INSERT INTO ledger_compatibility (revision, oldest) VALUES ('0012', '0005')")
