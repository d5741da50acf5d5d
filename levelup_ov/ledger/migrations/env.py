"""How Alembic runs the revisions: on the connection, and in the transaction, that the caller opened."""

from __future__ import annotations

from alembic import context

from levelup_ov.ledger.engine import VERSION_TABLE

context.configure(
    connection=context.config.attributes["connection"],
    version_table=VERSION_TABLE,
    transactional_ddl=True,
)
with context.begin_transaction():
    context.run_migrations()
