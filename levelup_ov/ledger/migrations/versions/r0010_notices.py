"""The messages of providers that were acted on, so that none is twice."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """``seen_at`` is milliseconds since 1970 in UTC."""
    op.create_table(
        "notices",
        sa.Column("account", sa.Text, primary_key=True),
        sa.Column("notice", sa.Text, primary_key=True),
        sa.Column("seen_at", sa.BigInteger, nullable=False),
    )
    op.create_index("notices_seen_at", "notices", ["seen_at"])
    # It only adds: the release of revision 0005 works beside it.
    op.execute("INSERT INTO ledger_compatibility (revision, oldest) VALUES ('0010', '0005')")
