"""What was last seen of each location's menu."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """``asked_at`` is milliseconds since 1970; ``menu`` and ``stock`` are digests, null before the first look."""
    op.create_table(
        "menu_watches",
        sa.Column("location", sa.Text, primary_key=True),
        sa.Column("account", sa.Text, nullable=False),
        sa.Column("mark", sa.Text, nullable=False),
        sa.Column("asked_at", sa.BigInteger, nullable=False),
        sa.Column("version", sa.Text),
        sa.Column("menu", sa.Text),
        sa.Column("stock", sa.Text),
        sa.Column("sold_out", sa.Text),
        sa.Column("paused", sa.Boolean),
    )
    # It only adds: the release of revision 0005 works beside it.
    op.execute("INSERT INTO ledger_compatibility (revision, oldest) VALUES ('0011', '0005')")
