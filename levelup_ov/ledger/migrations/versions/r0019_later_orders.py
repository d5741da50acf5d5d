"""Until when an order that was placed for later is open, so that it is watched on the day that it is made."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """``open_until`` is milliseconds since 1970."""
    op.add_column("submissions", sa.Column("open_until", sa.BigInteger))
    later = sa.text("open_until IS NOT NULL")
    # Most orders are for now, so the index is small, and a submission for now writes nothing to it.
    op.create_index("submissions_open_until", "submissions", ["open_until"], sqlite_where=later, postgresql_where=later)
    # It only adds: the release of revision 0005 works beside it.
    op.execute("INSERT INTO ledger_compatibility (revision, oldest) VALUES ('0019', '0005')")
