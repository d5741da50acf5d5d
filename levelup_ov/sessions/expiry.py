"""How long sessions are used, read and kept."""

from __future__ import annotations

from datetime import datetime, timedelta

from levelup_ov.ledger.records import to_ms
from levelup_ov.ledger.sessions import StoredSessions

LIFETIME = timedelta(hours=6)
"""How long a session can be used after it was created."""
KEPT_AFTER_ORDER = timedelta(hours=24)
"""How long a completed session can be read after its order was placed."""
UNKNOWN_FOR = timedelta(days=7)
"""How long after its end an unknown outcome is still looked for; a validation is as old by then (META-8)."""
RETENTION = timedelta(days=30)
"""How long the row of an expired session is kept without its content: its keys and its order's number."""


def purge(store: StoredSessions, now: datetime) -> int:
    """Remove what expired sessions contain, and delete old ones; returns how many contents were removed.

    :raises levelup_ov.ledger.engine.LedgerUnavailable: the database cannot be reached or written.
    """
    return store.purge(now=to_ms(now), unknown_before=to_ms(now - UNKNOWN_FOR), gone_before=to_ms(now - RETENTION))
