"""What an operator did to a submission in the console, and indexes for the console's lists."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """``form`` is the id of the form that asked for it, which can be sent once; ``at`` is milliseconds since 1970."""
    op.create_table(
        "operator_actions",
        sa.Column("form", sa.Text, primary_key=True),
        sa.Column("submission", sa.Text, sa.ForeignKey("submissions.id", ondelete="CASCADE"), nullable=False),
        sa.Column("operator", sa.Text, nullable=False),
        sa.Column("request_id", sa.Text),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.Column("outcome", sa.Text),
    )
    op.create_index("operator_actions_submission", "operator_actions", ["submission"])
    # Ids start with the time, so these give the newest rows first.
    op.create_index("submissions_account", "submissions", ["account", "id"])
    refused = sa.text("state = 'not_placed'")
    op.create_index("submissions_not_placed", "submissions", ["id"], sqlite_where=refused, postgresql_where=refused)
    found = sa.text("finding IS NOT NULL OR charged <> expected_charge")
    op.create_index("submissions_findings", "submissions", ["id"], sqlite_where=found, postgresql_where=found)
    cases = sa.text("operator_case IS NOT NULL")
    op.create_index("checkout_orders_cases", "checkout_orders", ["id"], sqlite_where=cases, postgresql_where=cases)
    # It only adds: the release of revision 0005 works beside it.
    op.execute("INSERT INTO ledger_compatibility (revision, oldest) VALUES ('0009', '0005')")
