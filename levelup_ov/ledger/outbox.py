"""The outbox: an event is recorded in the transaction of its change, so neither exists without the other.

:mod:`levelup_ov.ledger.event_deliveries` has the other side.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any

from sqlalchemy import BigInteger, bindparam, literal, select

from levelup_ov.domain.event import ORDER_CHANGED, Event
from levelup_ov.ledger.database import Database
from levelup_ov.ledger.records import from_ms
from levelup_ov.ledger.statements import Statement, insert
from levelup_ov.ledger.tables import ORDER_FOLLOWERS, ORDER_STATUSES, OUTBOX, SUBMISSIONS, present

_GIVEN = ("event", "receiver", "kind", "account", "location", "subject", "data")
_F, _S = ORDER_FOLLOWERS.c, ORDER_STATUSES.c


def _id_of(event: Event) -> uuid.UUID:
    """Always the same for an event that is recorded only once."""
    return uuid.uuid5(uuid.NAMESPACE_OID, f"{event.subject} {event.data['what']}") if event.once else uuid.uuid4()


def nobody(_event: Event) -> Sequence[str]:
    """No receiver is configured."""
    return ()


class Outbox:
    """Where events are recorded. ``route`` names the receivers of an event; without any, nothing is written.

    ``has_followers``: orders may have receivers of their own, which :meth:`follow` names.
    ``now`` is the ledger's parameter of that name, None where statements ask the database.
    """

    def __init__(self, database: Database, now: Callable[[], int | None], *, own_clock: bool) -> None:
        self.route: Callable[[Event], Sequence[str]] = nobody
        self.has_followers = False
        self._database = database
        self._now = now
        self._own_clock = own_clock

    @property
    def is_on(self) -> bool:
        """Whether anybody may receive events."""
        return self.has_followers or self.route is not nobody

    def record(self, cursor: Any, event: Event) -> None:
        """Record an event in the transaction of ``cursor``, once for every receiver.

        Make the change first: it holds the lock that puts the events of a subject in order.
        """
        receivers = list(self.route(event))
        if self.has_followers and event.kind == ORDER_CHANGED and event.data.get("status") is not None:
            # A word that the adapter does not know is not sent to a follower.
            follower = self._follower.first(cursor, {"this": event.subject})
            receivers += [follower.receiver] if follower else []
        if receivers:
            self._write(cursor, event, receivers)

    def follow(self, cursor: Any, event: Event, receiver: str, content: str) -> None:
        """Have ``receiver`` get ``event`` of a submission and each change of its order's status after it.

        A status that is known already is in ``event``, in the words of such a change. ``content`` is kept as long as
        the submission, for the receiver's deliverer. The first follower of an order is its only one.
        """
        # A status that is being recorded is either seen here, or sees the follower.
        for lock in self._locks:
            lock.first(cursor, {"this": event.subject})
        if not self._follow.run(
            cursor, {"submission": event.subject, "receiver": receiver, "content": content}
        ).rowcount:
            return
        status = self._status.first(cursor, {"this": event.subject})
        if status is not None and status.changed_at is not None:
            changed_at = from_ms(status.changed_at).isoformat(timespec="seconds")
            known = {"status": status.stage, "provider_status": status.word, "changed_at": changed_at}
            event = replace(event, data={**event.data, **known})
        self._write(cursor, event, [receiver])

    def followed(self, submission: str) -> str | None:
        """The ``content`` that its follower gave; None: it has none.

        :raises levelup_ov.ledger.engine.LedgerUnavailable: the database cannot be reached.
        """
        row = self._database.run(lambda cursor, _: self._follower.first(cursor, {"this": submission}), single=True)
        return row and str(row.content)

    def _write(self, cursor: Any, event: Event, receivers: Sequence[str]) -> None:
        data = {"merchant_id": event.account, "location_id": event.location, **event.data}
        row = {
            "event": f"evt_{_id_of(event).hex}",
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
        fresh = insert(OUTBOX, is_postgresql=self._database.is_postgresql).values(
            state="waiting", attempts=literal(0, BigInteger), **times
        )
        return self._database.prepare(fresh.on_conflict_do_nothing(index_elements=["event", "receiver"]), *_GIVEN)

    @cached_property
    def _follow(self) -> Statement:
        new = insert(ORDER_FOLLOWERS, is_postgresql=self._database.is_postgresql)
        return self._database.prepare(new.on_conflict_do_nothing(), *_F.keys())

    @cached_property
    def _locks(self) -> tuple[Statement, ...]:
        """The submission, which a first status refers to, and the status."""
        keys = SUBMISSIONS.c.id, _S.submission
        return tuple(
            self._database.prepare(select(key).where(key == bindparam("this")).with_for_update()) for key in keys
        )

    @cached_property
    def _status(self) -> Statement:
        known = select(_S.stage, _S.word, _S.changed_at)
        return self._database.prepare(known.where(_S.submission == bindparam("this")))

    @cached_property
    def _follower(self) -> Statement:
        return self._database.prepare(select(_F.receiver, _F.content).where(_F.submission == bindparam("this")))
