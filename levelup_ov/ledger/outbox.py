"""The outbox: an event is recorded in the transaction of its change, so neither exists without the other.

:mod:`levelup_ov.ledger.event_deliveries` has the other side.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any

from sqlalchemy import BigInteger, insert, literal

from levelup_ov.domain.event import Event
from levelup_ov.ledger.database import Database
from levelup_ov.ledger.statements import Statement
from levelup_ov.ledger.tables import OUTBOX, present

_GIVEN = ("event", "receiver", "kind", "account", "location", "subject", "data")


def nobody(_event: Event) -> Sequence[str]:
    """No receiver is configured."""
    return ()


class Outbox:
    """Where events are recorded. ``route`` names the receivers of an event; without any, nothing is written.

    ``now`` is the ledger's parameter of that name, None where statements ask the database.
    """

    def __init__(self, database: Database, now: Callable[[], int | None], *, own_clock: bool) -> None:
        self.route: Callable[[Event], Sequence[str]] = nobody
        self._database = database
        self._now = now
        self._own_clock = own_clock

    @property
    def is_on(self) -> bool:
        """Whether anybody may receive events."""
        return self.route is not nobody

    def record(self, cursor: Any, event: Event) -> None:
        """Record an event in the transaction of ``cursor``, once for every receiver.

        Make the change first: it holds the lock that puts the events of a subject in order.
        """
        if not (receivers := self.route(event)):
            return
        data = {"merchant_id": event.account, "location_id": event.location, **event.data}
        row = {
            "event": f"evt_{uuid.uuid4().hex}",
            "kind": event.kind,
            "account": event.account,
            "location": event.location,
            "subject": event.subject,
            "data": json.dumps(data),
            "now": self._now(),
        }
        self._insert.run_each(cursor, [{**row, "receiver": receiver} for receiver in receivers])

    def add(self, event: Event) -> None:
        """Record an event whose change is nowhere in the database, in a transaction of its own.

        :raises levelup_ov.ledger.engine.LedgerUnavailable: the database cannot be reached or written.
        """
        if self.route(event):
            self._database.run(lambda cursor, _: self.record(cursor, event))

    @cached_property
    def _insert(self) -> Statement:
        now = present(self._own_clock)
        times = dict.fromkeys(("created_at", "since", "due_at"), now)
        fresh = insert(OUTBOX).values(state="waiting", attempts=literal(0, BigInteger), **times)
        return self._database.prepare(fresh, *_GIVEN)
