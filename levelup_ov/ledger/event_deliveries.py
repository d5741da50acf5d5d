"""The other side of the outbox: what is due to be delivered, and what became of it.

A row is one event for one receiver. Its deliverer claims it for a time, by the database's clock; if the deliverer
dies, it is due again. So an event may be delivered twice, always under the same id. Events of a subject are claimed
one after the other: the next one only when the one before it was accepted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

from sqlalchemy import (
    BigInteger,
    Text,
    and_,
    bindparam,
    case,
    collate,
    delete,
    func,
    literal,
    null,
    or_,
    select,
    update,
)
from sqlalchemy.orm import aliased

from levelup_ov.ledger.ledger import Ledger
from levelup_ov.ledger.records import from_ms
from levelup_ov.ledger.statements import Statement
from levelup_ov.ledger.tables import OUTBOX, ago, present

State = Literal["waiting", "accepted", "parked"]
GIVEN_UP = timedelta(days=1)
"""For how long an event is retried before it is parked."""
KEPT = timedelta(days=7)
"""For how long accepted events are kept, to be replayed; and an agent's parked ones."""
AT_ONCE = 500
"""Rows that are parked or deleted in one step; small, so that orders do not wait."""

_C = OUTBOX.c
_MILLISECOND = timedelta(milliseconds=1)


@dataclass(frozen=True, slots=True)
class EventDelivery:
    """An event for one receiver. ``id`` is the event's; ``data`` is JSON text. Times are aware, in UTC.

    ``attempts``: how many were started. ``problem``: why the last one failed, in one word or status.
    """

    number: int
    id: str
    receiver: str
    kind: str
    account: str
    location: str
    subject: str
    data: str
    state: State
    created_at: datetime
    due_at: datetime
    attempts: int
    accepted_at: datetime | None
    problem: str | None


@dataclass(frozen=True, slots=True)
class Waiting:
    """How many events of a receiver are in a state, and the age of the oldest."""

    receiver: str
    state: State
    count: int
    age: timedelta


class EventDeliveries:
    """The rows of the outbox of ``ledger``. Its methods raise as those of the ledger do."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._database = ledger.database
        prepare, own = ledger.database.prepare, ledger.clocks.own_clock
        now = present(own)
        receiver, subject = _C.receiver == bindparam("receiver"), _C.subject == bindparam("subject")
        waiting = _C.state == "waiting"
        wait = now + bindparam("wait", type_=BigInteger)
        is_old = _C.since <= ago(own, GIVEN_UP // _MILLISECOND)

        # From one receiver to the next by the index, however much is waiting for each.
        first = select(func.min(_C.receiver).label("name")).where(waiting).cte(recursive=True)
        following = select(func.min(_C.receiver)).where(waiting, _C.receiver > first.c.name).scalar_subquery()
        names = first.union_all(select(following).where(first.c.name.is_not(None)))
        self._receivers = prepare(select(names.c.name).where(names.c.name.is_not(None)))

        before = aliased(OUTBOX)
        earlier = select(literal(1)).where(
            before.c.receiver == _C.receiver, before.c.subject == _C.subject, before.c.number < _C.number,
            before.c.state != "accepted",
        )  # fmt: skip
        due = (
            select(_C.number)
            .where(receiver, waiting, _C.due_at <= ago(own, 0), ~earlier.exists())
            .order_by(_C.due_at, _C.number)
            .limit(bindparam("limit", type_=BigInteger))
            .with_for_update(skip_locked=True)
        )
        claim = update(OUTBOX).where(_C.number.in_(due)).values(attempts=_C.attempts + 1, due_at=wait)
        self._claim = prepare(claim.returning(*_C))
        # Nobody else has claimed it since.
        mine = _C.number == bindparam("this"), _C.attempts == bindparam("was", type_=BigInteger)
        self._accept = prepare(update(OUTBOX).where(*mine).values(state="accepted", accepted_at=now, problem=null()))
        self._give_back = prepare(update(OUTBOX).where(*mine, waiting).values(due_at=now, attempts=_C.attempts - 1))
        state = case((is_old, "parked"), else_=bindparam("as", type_=Text))
        failed = update(OUTBOX).where(*mine, waiting).values(due_at=wait, state=state, problem=bindparam("why"))
        self._fail = prepare(failed.returning(_C.state))
        later = update(OUTBOX).where(receiver, subject, _C.number > bindparam("this", type_=BigInteger), waiting)
        self._hold = prepare(later.values(due_at=wait, state=bindparam("as", type_=Text)))
        self._begin_day = prepare(later.values(due_at=now, since=now))
        far = select(_C.number).where(waiting, _C.due_at > wait).limit(AT_ONCE)
        self._recall = prepare(update(OUTBOX).where(_C.number.in_(far)).values(due_at=now))
        oldest = select(_C.number).where(receiver, waiting, is_old).limit(AT_ONCE)
        self._park = prepare(update(OUTBOX).where(_C.number.in_(oldest)).values(state="parked"))
        stale = select(_C.number).where(_C.accepted_at < ago(own, KEPT // _MILLISECOND)).limit(AT_ONCE)
        self._purge = prepare(delete(OUTBOX).where(_C.number.in_(stale)))
        # By their bytes: in most languages PostgreSQL sorts a name without its dot.
        name = collate(_C.receiver, "C") if ledger.database.is_postgresql else _C.receiver
        given_up = select(_C.number).where(
            name >= bindparam("prefix", type_=Text), name < bindparam("end", type_=Text),
            _C.state != "accepted", _C.state == "parked", _C.since < ago(own, (GIVEN_UP + KEPT) // _MILLISECOND),
        )  # fmt: skip
        self._purge_parked = prepare(delete(OUTBOX).where(_C.number.in_(given_up.limit(AT_ONCE))))
        # What is recorded behind a parked one is not tried either, until somebody replays that.
        is_held = or_(_C.state == "parked", earlier.where(before.c.state == "parked").exists())
        named = _C.receiver, case((is_held, "parked"), else_=_C.state).label("state")
        unsettled = select(*named, _C.created_at).where(_C.state != "accepted").limit(20_000).subquery()
        by = unsettled.c.receiver, unsettled.c.state
        age = (now - func.min(unsettled.c.created_at)).label("age")
        self._backlog = prepare(select(*by, func.count().label("count"), age).group_by(*by))
        of_event = select(before.c.number).where(
            before.c.event == bindparam("event"), before.c.receiver == _C.receiver, before.c.subject == _C.subject
        )
        again = update(OUTBOX).values(state="waiting", since=now, due_at=now, accepted_at=null())
        # What was parked with it comes first.
        this = or_(_C.event == bindparam("event"), (_C.state == "parked") & of_event.exists())
        self._replay = prepare(again.where(this))
        to = bindparam("receiver", type_=Text)
        chosen = (
            select(_C.number)
            .where(_C.number > bindparam("after", type_=BigInteger), or_(to.is_(None), _C.receiver == to))
            .order_by(_C.number)
            .limit(AT_ONCE)
        )
        newer = _C.created_at >= bindparam("from", type_=BigInteger)
        kinds = {"parked": _C.state == "parked", "newer": and_(_C.state != "waiting", newer)}
        self._replay_some = {
            name: prepare(again.where(_C.number.in_(chosen.where(kind))).returning(_C.number))
            for name, kind in kinds.items()
        }

    def receivers(self) -> tuple[str, ...]:
        """The receivers with events that wait, due or not."""
        rows = self._run_all(self._receivers, {})
        return tuple(row.name for row in rows)

    def claim(self, receiver: str, *, limit: int, term: timedelta) -> tuple[EventDelivery, ...]:
        """Claim events that are due for ``term``, those that waited longest first."""
        rows = self._run_all(self._claim, {"receiver": receiver, "limit": limit, "wait": term // _MILLISECOND})
        return tuple(map(_delivery, sorted(rows, key=lambda row: int(row.number))))

    def accept(self, *delivered: EventDelivery) -> None:
        """The receiver has accepted these; the next one of each subject is due."""

        def work(cursor: Any, _again: bool) -> None:
            for delivery in delivered:
                values = {"this": delivery.number, "was": delivery.attempts, "now": self._ledger.clocks.now()}
                if self._accept.run(cursor, values).rowcount and delivery.attempts > 1:
                    # Only now the day of retries of the next ones starts.
                    self._begin_day.run(cursor, {**values, "receiver": delivery.receiver, "subject": delivery.subject})

        self._database.run(work)

    def give_back(self, delivery: EventDelivery) -> None:
        """It was claimed and not sent: it is due, as before."""
        self._run_count(self._give_back, {"this": delivery.number, "was": delivery.attempts})

    def fail(self, delivery: EventDelivery, problem: str, *, wait: timedelta, is_final: bool = False) -> State:
        """The receiver has not accepted it: it is due again after ``wait``; after :data:`GIVEN_UP`, it is parked.

        ``is_final``: it is parked now. Later events of its subject wait with it, or are parked. Returns its state.
        """

        def work(cursor: Any, _again: bool) -> State:
            later = wait // _MILLISECOND
            values = {"this": delivery.number, "was": delivery.attempts, "wait": later, "why": problem}
            otherwise = "parked" if is_final else "waiting"
            found = self._fail.first(cursor, {**values, "as": otherwise, "now": self._ledger.clocks.now()})
            if found is None:
                return "waiting"
            self._hold_later(cursor, delivery, later, found.state)
            state: State = found.state
            return state

        return self._database.run(work)

    def park(self, receiver: str) -> int:
        """Park what has waited for :data:`GIVEN_UP` for a receiver that is down or gone, at most :data:`AT_ONCE`."""
        return self._run_count(self._park, {"receiver": receiver})

    def recall(self, longest: timedelta) -> int:
        """Make due, at most :data:`AT_ONCE`, what is to wait longer than ``longest``: the clock has been set back."""
        return self._run_count(self._recall, {"wait": longest // _MILLISECOND})

    def purge(self) -> int:
        """Delete what was accepted longer than :data:`KEPT` ago, at most :data:`AT_ONCE`; returns how many."""
        return self._run_count(self._purge, {})

    def purge_parked(self, group: str) -> int:
        """Delete what has been parked for :data:`KEPT` for the receivers ``group.NAME``, at most :data:`AT_ONCE`."""
        return self._run_count(self._purge_parked, {"prefix": f"{group}.", "end": f"{group}/"})

    def replay(self, *, event: str | None = None, since: datetime | None = None, receiver: str | None = None) -> int:
        """Make events due again, with their ids: one, or those recorded since a time, or all that are parked.

        With one, those of its subject that are parked too. ``receiver``: of many, only those for it. Returns how many.
        """
        if event is not None:
            return self._run_count(self._replay, {"event": event})
        some = self._replay_some["parked" if since is None else "newer"]
        values = {"receiver": receiver, "from": since and int(since.timestamp() * 1000), "after": 0}
        count = 0
        while rows := self._run_all(some, values):
            count += len(rows)
            values["after"] = max(row.number for row in rows)
        return count

    def backlog(self) -> tuple[Waiting, ...]:
        """What is waiting or parked, by receiver and state; of at most 20,000.

        What waits for a parked event counts as parked.
        """
        rows = self._run_all(self._backlog, {})
        return tuple(Waiting(row.receiver, row.state, row.count, max(row.age, 0) * _MILLISECOND) for row in rows)

    def find(
        self,
        *,
        state: State | None = None,
        receiver: str | None = None,
        subject: str | None = None,
        event: str | None = None,
        limit: int = 100,
    ) -> tuple[EventDelivery, ...]:
        """Events for an operator to look at, newest first."""
        query = select(OUTBOX).order_by(_C.number.desc()).limit(limit)
        wanted = ((_C.state, state), (_C.receiver, receiver), (_C.subject, subject), (_C.event, event))
        for column, value in wanted:
            if value is not None:
                query = query.where(column == value)
        return tuple(map(_delivery, self._run_all(Statement(self._database.engine.dialect, query), {})))

    def _hold_later(self, cursor: Any, delivery: EventDelivery, wait: int, state: State) -> None:
        values = {"this": delivery.number, "receiver": delivery.receiver, "subject": delivery.subject}
        self._hold.run(cursor, {**values, "wait": wait, "as": state, "now": self._ledger.clocks.now()})

    def _run_all(self, statement: Statement, values: dict[str, Any]) -> Sequence[Any]:
        values["now"] = self._ledger.clocks.now()
        return self._database.run(lambda cursor, _: statement.all(cursor, values), single=True)

    def _run_count(self, statement: Statement, values: dict[str, Any]) -> int:
        values["now"] = self._ledger.clocks.now()
        return int(self._database.run(lambda cursor, _: statement.run(cursor, values).rowcount, single=True))


def _delivery(row: Any) -> EventDelivery:
    return EventDelivery(
        number=row.number,
        id=row.event,
        receiver=row.receiver,
        kind=row.kind,
        account=row.account,
        location=row.location,
        subject=row.subject,
        data=row.data,
        state=row.state,
        created_at=from_ms(row.created_at),
        due_at=from_ms(row.due_at),
        attempts=row.attempts,
        accepted_at=row.accepted_at and from_ms(row.accepted_at),
        problem=row.problem,
    )
