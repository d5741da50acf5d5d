"""The events that are still to be delivered, and those that were delivered lately."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Times are milliseconds since 1970 in UTC. ``number`` is the order in which changes were recorded."""
    op.create_table(
        "outbox",
        sa.Column("number", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True),
        sa.Column("event", sa.Text, nullable=False),
        sa.Column("receiver", sa.Text, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("account", sa.Text, nullable=False),
        sa.Column("location", sa.Text, nullable=False),
        sa.Column("subject", sa.Text, nullable=False),
        sa.Column("data", sa.Text, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("since", sa.BigInteger, nullable=False),
        sa.Column("due_at", sa.BigInteger, nullable=False),
        sa.Column("attempts", sa.BigInteger, nullable=False),
        sa.Column("accepted_at", sa.BigInteger),
        sa.Column("problem", sa.Text),
        sa.CheckConstraint("state IN ('waiting', 'accepted', 'parked')", name="outbox_state"),
        sqlite_autoincrement=True,
    )
    op.create_index("outbox_event", "outbox", ["event", "receiver"], unique=True)
    # Finds what is due, and whether an earlier event of the same subject was not accepted yet.
    waiting, unsettled = sa.text("state = 'waiting'"), sa.text("state <> 'accepted'")
    op.create_index("outbox_due", "outbox", ["receiver", "due_at"], sqlite_where=waiting, postgresql_where=waiting)
    op.create_index(
        "outbox_subject", "outbox", ["receiver", "subject", "number"],
        sqlite_where=unsettled, postgresql_where=unsettled,
    )  # fmt: skip
    # Finds what was accepted long ago.
    op.create_index("outbox_accepted", "outbox", ["accepted_at"])
    # It only adds: the release of revision 0005 works beside it.
    op.execute("INSERT INTO ledger_compatibility (revision, oldest) VALUES ('0008', '0005')")
