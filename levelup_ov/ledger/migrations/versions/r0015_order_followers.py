"""Who, beside the channel, is sent an order's changes."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """``receiver`` is a name of the outbox; ``content`` is sealed."""
    op.create_table(
        "order_followers",
        sa.Column("submission", sa.Text, sa.ForeignKey("submissions.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("receiver", sa.Text, nullable=False),
        sa.Column("content", sa.Text, nullable=False),
    )
    # It only adds: the release of revision 0005 works beside it.
    op.execute("INSERT INTO ledger_compatibility (revision, oldest) VALUES ('0015', '0005')")
