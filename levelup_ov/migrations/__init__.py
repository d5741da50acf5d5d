"""The ledger's schema, revision by revision; :func:`levelup_ov.database.upgrade` runs it."""
