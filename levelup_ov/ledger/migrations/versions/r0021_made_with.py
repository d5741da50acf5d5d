"""A session's row has the idempotency key that it was made with, so that a creation writes one row."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0021"
down_revision = "0020"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Digests of the key and of its request; null without a key, and once the session has another version."""
    op.add_column("sessions", sa.Column("made_with", sa.Text))
    op.add_column("sessions", sa.Column("made_from", sa.Text))
    has_key = sa.text("made_with IS NOT NULL")
    op.create_index(
        "sessions_made_with", "sessions", ["made_with"], unique=True, sqlite_where=has_key, postgresql_where=has_key
    )
    # It only adds: the release of revision 0005 works beside it.
    op.execute("INSERT INTO ledger_compatibility (revision, oldest) VALUES ('0021', '0005')")
