"""The durable record of submissions, which ensures at most one order for each (SUB-2 to SUB-5).

A submission is claimed before anything is sent, marked before the order is placed, and settled after. Its only
transitions are those of :mod:`levelup_ov.domain.submission`. Every change names the states it may start from, so that
a late writer changes nothing and gets an exception (:class:`Superseded`). Each claim creates a new row, and only its
claimant knows the id, which fences off all others. The provider gets the row's reference, which is the same for all
attempts at one order (SUB-11).

No card, CVV, secret, name, phone number or address is stored: a row contains ids, states, amounts, times, keyed
digests and the recorded answer.

A killed owner leaves a row whose lease expires: *claimed* becomes *not placed*, because nothing was sent, and
*sending* becomes *unknown*. A lease expires for an observer that has seen the row unchanged for that long, by a clock
that cannot be set (SUB-13). The times of day in a row come from the database, and are for people.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from levelup_ov.ledger.absences import Absences
from levelup_ov.ledger.batches import in_batches
from levelup_ov.ledger.boot_clock import Observer
from levelup_ov.ledger.changes import Changes
from levelup_ov.ledger.claims import Claims
from levelup_ov.ledger.clocks import Clocks
from levelup_ov.ledger.database import Database
from levelup_ov.ledger.findings import FindingRecorder
from levelup_ov.ledger.identity import WINDOWS
from levelup_ov.ledger.matches import Matches
from levelup_ov.ledger.outbox import Outbox
from levelup_ov.ledger.reading import SubmissionReader
from levelup_ov.ledger.records import MILLISECOND, RETENTION, new_id
from levelup_ov.ledger.restoring import Restorer
from levelup_ov.ledger.rows import Rows
from levelup_ov.ledger.sights import Sights
from levelup_ov.ledger.tables import Statements
from levelup_ov.ledger.transitions import Transitions

SHORTEST_RETENTION = max(WINDOWS.values()) + timedelta(days=1)
REFERENCES = "references"
"""The name of the key that references are made with."""


class Ledger:
    """The ledger; one object serves all threads of a process, and its children after a fork.

    Its parts have a module each: ``claims`` and ``transitions`` are what an owner calls, ``restorer`` writes what the
    database has lost, ``absences`` proves that there is no order, ``findings`` records what is found later, and
    ``reader`` reads.

    Every method, theirs too, raises :class:`~levelup_ov.ledger.engine.LedgerUnavailable` if the database cannot be
    reached or written. Then nothing was changed; or, if the connection or the disk failed at the very end, the change
    may have been made. Either way the same call may be repeated, except :meth:`Transitions.begin_sending`: do not send.
    """

    def __init__(
        self, database: Database, clock: Callable[[], datetime] | None = None, observer: Observer | None = None
    ) -> None:
        self.database = database
        self.clocks = clocks = Clocks(is_postgresql=database.is_postgresql, clock=clock, observer=observer)
        self._sql = sql = Statements(database, own_clock=clocks.own_clock)
        self.outbox = Outbox(database, clocks.now, own_clock=clocks.own_clock)
        self.sights = Sights(sql, clocks)
        rows = Rows(sql, clocks, self.sights)
        matches = Matches(sql, clocks, self.sights, rows, is_postgresql=database.is_postgresql)
        self.reader = SubmissionReader(database, sql, clocks, rows, matches)
        self.claims = Claims(database, sql, clocks, matches)
        self.restorer = Restorer(database, sql, clocks, rows, matches)
        self.changes = Changes(database, sql, clocks, rows, self.outbox)
        self.transitions = Transitions(database, sql, clocks, rows, matches, self.reader, self.changes)
        self.absences = Absences(database, sql, clocks, self.sights, rows, self.changes)
        self.findings = FindingRecorder(database, sql, clocks, rows, matches, self.outbox)
        self._host = socket.gethostname()
        self._reference_key: bytes | None = None

    def load_ahead(self, keys: int) -> None:
        """Compile what a submission runs under this many secret keys, so that processes share it after a fork."""
        self._sql.compile_frequent(digests=2 * keys)

    def reference_key(self, first: bytes) -> bytes:
        """The key that references are made with (SUB-11): the ``first`` one that somebody named, from then on.

        So it stays when the keys of the configuration are changed, and is the same in every copy of the ledger.
        """
        if self._reference_key is None:

            def work(cursor: Any, _again: bool) -> str:
                self._sql.keep_key.run(cursor, {"name": REFERENCES, "value": first.hex()})
                return str(self._sql.key.first(cursor, {"name": REFERENCES}).value)

            self._reference_key = bytes.fromhex(self.database.run(work))
        return self._reference_key

    def purge(self, *, retention: timedelta = RETENTION) -> int:
        """Delete submissions settled longer than ``retention`` ago, with their identities; returns how many.

        :raises ValueError: the retention is shorter than identities must be kept (SUB-3).
        """
        if retention < SHORTEST_RETENTION:
            raise ValueError(f"submissions are kept for at least {SHORTEST_RETENTION.days} days")

        def purge_some(cursor: Any, most: int) -> int:
            values = {"retention": retention // MILLISECOND, "now": self.clocks.now(), "most": most}
            return int(self._sql.purge.run(cursor, values).rowcount)

        return in_batches(self.database, purge_some)

    def ready(self) -> None:
        """Make sure that submissions can be recorded, by writing one and rolling it back (SUB-2).

        :raises levelup_ov.ledger.engine.SchemaMismatch: the schema is missing, older or newer.
        """
        self.database.check_schema()
        id = new_id()
        row = {
            "id": id,
            "account": "",
            "location": "",
            "content": "",
            "alike": "",
            "owner": f"{self._host}/{os.getpid()}",
            "request_id": None,
            "reference": id,
            "generation": 0,
            "received_at": None,
            "previous": None,
            "card": 0,
            "term": 0,
        }

        def rehearse(cursor: Any, _again: bool) -> None:
            # In one transaction: nobody ever sees it.
            self._sql.insert.run(cursor, {**row, **self.clocks.of_change()})
            self._sql.forget.run(cursor, {"this": id})

        self.database.run(rehearse)
        self.database.force()

    def close(self) -> None:
        """Close all connections."""
        self.database.close()


def open_ledger(
    url: str,
    *,
    pool_size: int = 16,
    clock: Callable[[], datetime] | None = None,
    observer: Observer | None = None,
) -> Ledger:
    """The ledger at ``url``; connects at first use. ``pool_size`` should be the number of threads.

    ``clock`` returns the time as an aware datetime and replaces the database's own clock. ``observer`` measures what
    is proven by time and replaces this host's; if only ``clock`` is passed, it does both.

    :raises ValueError: not an SQLite or PostgreSQL URL.
    """
    return Ledger(Database(url, pool_size=pool_size), clock, observer)
