"""Since when an order of web checkout is not finished, so that a person learns of it after a day."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """``open_since`` is milliseconds since 1970."""
    op.add_column("checkout_orders", sa.Column("open_since", sa.BigInteger))
    # It only adds: the release of revision 0005 works beside it.
    op.execute("INSERT INTO ledger_compatibility (revision, oldest) VALUES ('0018', '0005')")
