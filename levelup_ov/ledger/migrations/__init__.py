"""The ledger's schema, revision by revision; :func:`levelup_ov.ledger.engine.upgrade` runs it."""
