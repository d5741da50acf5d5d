"""Submissions and the identities they are recognized by."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Times are milliseconds since 1970 in UTC, amounts are cents."""
    op.create_table(
        "submissions",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("account", sa.Text, nullable=False),
        sa.Column("location", sa.Text, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("content", sa.Text, nullable=False),
        sa.Column("owner", sa.Text, nullable=False),
        sa.Column("request_id", sa.Text),
        sa.Column("claimed_at", sa.BigInteger, nullable=False),
        sa.Column("lease_until", sa.BigInteger, nullable=False),
        sa.Column("sending_at", sa.BigInteger),
        sa.Column("settled_at", sa.BigInteger),
        sa.Column("trace", sa.Text),
        sa.Column("provider_order_id", sa.Text),
        sa.Column("order_id", sa.Text),
        sa.Column("answer", sa.Text),
        sa.Column("expected_charge", sa.BigInteger),
        sa.Column("charged", sa.BigInteger),
        sa.CheckConstraint(
            "state IN ('claimed', 'sending', 'unknown', 'placed', 'not_placed')", name="submissions_state"
        ),
    )
    # Finds the open submissions (IS NULL) and those past retention.
    op.create_index("submissions_settled_at", "submissions", ["settled_at"])
    op.create_table(
        "identities",
        sa.Column("digest", sa.Text, primary_key=True),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("submission", sa.Text, sa.ForeignKey("submissions.id", ondelete="CASCADE"), nullable=False),
    )
    op.create_index("identities_submission", "identities", ["submission"])
