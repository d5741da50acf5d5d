"""Which order a finding is about, whether a person closed it, and what people did by hand, with their reasons."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """``act`` is null for a reconciliation in the console; ``before`` is what the row held, as JSON."""
    for name in ("found_order_id", "found_provider_order_id"):
        op.add_column("submissions", sa.Column(name, sa.Text))
    op.add_column("submissions", sa.Column("finding_closed_at", sa.BigInteger))
    for name in ("act", "why", "before"):
        op.add_column("operator_actions", sa.Column(name, sa.Text))
    # It only adds: the release of revision 0005 works beside it.
    op.execute("INSERT INTO ledger_compatibility (revision, oldest) VALUES ('0013', '0005')")
