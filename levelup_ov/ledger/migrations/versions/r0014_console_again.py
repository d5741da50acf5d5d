"""What an operator did to an order of web checkout, and indexes for every search of the console."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Ids start with the time, so an index that ends with them gives the newest rows first."""
    op.create_index("submissions_location", "submissions", ["location", "id"])
    # SQLite would look for what is open among all rows of a location, if this index had no more terms than that one.
    op.drop_index("submissions_open", "submissions")
    is_open = sa.text("settled_at IS NULL")
    op.create_index(
        "submissions_open", "submissions", ["location", "settled_at"], sqlite_where=is_open, postgresql_where=is_open
    )
    op.create_index("submissions_reference", "submissions", ["reference"])
    given = sa.text("request_id IS NOT NULL")
    op.create_index("submissions_request", "submissions", ["request_id"], sqlite_where=given, postgresql_where=given)
    refused = sa.text("state = 'not_placed'")
    for column in ("account", "location"):
        op.create_index(
            f"submissions_not_placed_{column}", "submissions", [column, "id"],
            sqlite_where=refused, postgresql_where=refused,
        )  # fmt: skip
    # They serve as before, and now also where only the number is known.
    op.drop_index("submissions_number", "submissions")
    numbered = sa.text("order_id IS NOT NULL")
    op.create_index(
        "submissions_number", "submissions", ["order_id", "location"],
        sqlite_where=numbered, postgresql_where=numbered,
    )  # fmt: skip
    found = sa.text("provider_order_id IS NOT NULL")
    op.create_index(
        "submissions_provider_order", "submissions", ["provider_order_id"],
        sqlite_where=found, postgresql_where=found,
    )  # fmt: skip
    op.drop_index("checkout_orders_state", "checkout_orders")
    op.create_index("checkout_orders_state", "checkout_orders", ["state", "id"])
    op.create_table(
        "checkout_actions",
        sa.Column("form", sa.Text, primary_key=True),
        sa.Column("order_id", sa.Text, sa.ForeignKey("checkout_orders.id"), nullable=False),
        sa.Column("operator", sa.Text, nullable=False),
        sa.Column("request_id", sa.Text),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.Column("outcome", sa.Text),
    )
    op.create_index("checkout_actions_order", "checkout_actions", ["order_id"])
    # It only adds: the release of revision 0005 works beside it.
    op.execute("INSERT INTO ledger_compatibility (revision, oldest) VALUES ('0014', '0005')")
