"""References that are derived, leases that no wall clock ends, orders that are held once, what is asked again."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Times are milliseconds since 1970 in UTC, but ``since``: of the clock of ``boot``; ``lease`` is milliseconds."""
    for column in (
        sa.Column("reference", sa.Text, nullable=False, server_default=""),
        sa.Column("alike", sa.Text, nullable=False, server_default=""),
        sa.Column("generation", sa.BigInteger, nullable=False, server_default="0"),
        sa.Column("received_at", sa.BigInteger),
        sa.Column("boot", sa.Text, nullable=False, server_default=""),
        sa.Column("since", sa.BigInteger, nullable=False, server_default="0"),
        sa.Column("lease", sa.BigInteger, nullable=False, server_default="0"),
        sa.Column("proven", sa.BigInteger),
        sa.Column("ended", sa.Text),
        sa.Column("previous", sa.Text),
        sa.Column("card", sa.BigInteger, nullable=False, server_default="0"),
        sa.Column("looked_again", sa.BigInteger, nullable=False, server_default="0"),
        sa.Column("look_again_at", sa.BigInteger),
        sa.Column("finding", sa.Text),
    ):
        op.add_column("submissions", column)
    # What was sent so far went out under the row's own id.
    op.execute("UPDATE submissions SET reference = id, alike = content")
    op.execute("UPDATE submissions SET lease = lease_until - COALESCE(sending_at, claimed_at) WHERE settled_at IS NULL")
    # Of rows that hold one order together the first keeps it. The others stay as they were answered, outside the rule.
    op.execute(
        "UPDATE submissions SET proven = 0 WHERE id IN (SELECT MIN(id) FROM submissions WHERE state = 'placed' "
        "GROUP BY account, provider_order_id)"
    )
    # Finds what is open at a location, and holds an order of a provider once.
    op.create_index(
        "submissions_open", "submissions", ["location"],
        sqlite_where=sa.text("settled_at IS NULL"), postgresql_where=sa.text("settled_at IS NULL"),
    )  # fmt: skip
    held = sa.text("state = 'placed' AND proven IS NOT NULL")
    op.create_index(
        "submissions_order", "submissions", ["account", "provider_order_id"],
        unique=True, sqlite_where=held, postgresql_where=held,
    )  # fmt: skip
    due = sa.text("look_again_at IS NOT NULL")
    op.create_index("submissions_look_again", "submissions", ["look_again_at"], sqlite_where=due, postgresql_where=due)
    op.create_table(
        "sights",
        sa.Column("submission", sa.Text, sa.ForeignKey("submissions.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("change", sa.Text, primary_key=True),
        sa.Column("boot", sa.Text, primary_key=True),
        sa.Column("since", sa.BigInteger, nullable=False),
    )
