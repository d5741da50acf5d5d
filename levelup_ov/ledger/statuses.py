"""The last known status of each placed order, and the claims of those who ask for it (STAT-5).

The first request for a status makes the row, so a submission costs nothing more. A claim has a lease, which ends like
that of a submission, by a clock that cannot be set (SUB-13). Every change sets a new mark, and is made only if the row
still has the mark that was read. So an older answer that arrives late never replaces a newer one.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta, timezone
from functools import cache
from typing import Any

from sqlalchemy import BigInteger, ColumnElement, Select, Text, bindparam, case, func, or_, select, update

from levelup_ov.domain.checkout import LEDGER_ACCOUNT
from levelup_ov.domain.event import Event, attention
from levelup_ov.domain.status import FINAL, WATCHED, Stage
from levelup_ov.ledger.ledger import Ledger
from levelup_ov.ledger.records import from_ms, to_ms
from levelup_ov.ledger.statements import Statement, insert
from levelup_ov.ledger.tables import ORDER_STATUSES, SUBMISSIONS, ago, present

_C, _S = SUBMISSIONS.c, ORDER_STATUSES.c
_MILLISECOND = timedelta(milliseconds=1)


@dataclass(frozen=True, slots=True)
class PlacedOrder:
    """A placed order with its last known status. Times are aware, in UTC.

    ``answer``: the recorded answer's JSON text. ``word`` is the provider's, None before the first request. ``stage`` is
    None also if the adapter does not know the word. ``changed_at``: when the status changed, by the provider or, if it
    does not say, when it was first seen. ``card``: paid with a single-use card. ``request_id``: that of the submission.
    ``canceling_at``: when somebody began to cancel it; for one who has just begun, when it was begun before.
    ``mark``, ``boot``, ``since`` and ``lease`` are those of the table.
    """

    submission: str
    account: str
    location: str
    reference: str
    provider_order_id: str
    order_id: str | int
    answer: str
    placed_at: datetime
    card: bool = False
    request_id: str | None = None
    stage: Stage | None = None
    word: str | None = None
    changed_at: datetime | None = None
    asked_at: datetime | None = None
    canceling_at: datetime | None = None
    mark: str | None = None
    boot: str = ""
    since: int = 0
    lease: int = 0


class _Queries:
    """The statements, as SQLAlchemy has them; see :func:`_queries`."""

    def __init__(self, *, is_postgresql: bool, own_clock: bool) -> None:
        self._is_postgresql = is_postgresql
        now = present(own_clock)
        placed: Select[Any] = (
            select(
                _C.id, _C.account, _C.location, _C.reference, _C.provider_order_id, _C.order_id, _C.answer,
                _C.settled_at, _C.card, _C.request_id,
                _S.stage, _S.word, _S.changed_at, _S.asked_at, _S.canceling_at, _S.mark, _S.boot, _S.since, _S.lease,
            )
            .outerjoin(ORDER_STATUSES, _S.submission == _C.id)
            .where(_C.state == "placed")
        )  # fmt: skip
        number = _C.order_id.in_([bindparam("as_text", type_=Text), bindparam("as_integer", type_=Text)])
        self.numbered = (
            placed.where(_C.location == bindparam("location"), number)
            .order_by(_C.claimed_at.desc(), _C.id.desc())
            .limit(1)
        )
        # The few orders with one number are found by their index.
        open_now = or_(
            _C.settled_at >= ago(own_clock, WATCHED // _MILLISECOND),
            _C.open_until >= ago(own_clock, 0),
            _S.canceling_at >= ago(own_clock, WATCHED // _MILLISECOND),
        )
        self.namesakes = (
            select(_S.stage)
            .select_from(SUBMISSIONS)
            .outerjoin(ORDER_STATUSES, _S.submission == _C.id)
            .where(_C.state == "placed", _C.location == bindparam("location"), number)
            .where(_C.id != bindparam("besides"), open_now)
            .distinct()
        )
        self.one = placed.where(_C.id == bindparam("this"))
        unfinished = or_(_S.stage.is_(None), _S.stage.not_in(sorted(FINAL)))
        every = bindparam("every", type_=BigInteger)
        # A time in the future is that of a clock which has been set back.
        due = or_(_S.asked_at.is_(None), _S.asked_at <= ago(own_clock, every), _S.asked_at > ago(own_clock, 0))
        # Not first for good: an order whose status cannot be read must not keep the others waiting.
        turn = case((_S.asked_at >= func.coalesce(_S.canceling_at, 0), _S.asked_at), else_=0).label("turn")
        watched = (
            placed.add_columns(turn)
            .where(_C.account == bindparam("account"), unfinished, due)
            .order_by(turn, _C.settled_at)
            .limit(bindparam("limit", type_=BigInteger))
        )
        since = ago(own_clock, WATCHED // _MILLISECOND)
        # Found by their own indexes, each in its own part, because an account has far more rows.
        day, later = SUBMISSIONS.alias().c, SUBMISSIONS.alias().c
        # A person gave the restaurant's number, which is not always the provider's id.
        of_the_day = select(day.id).where(day.settled_at >= since, day.settled_by.is_(None))
        for_later = select(later.id).where(later.open_until >= ago(own_clock, 0))
        self.open = watched.where(_C.id.in_(of_the_day.union(for_later)))
        # Its own statement, so that the few of these are found by their index.
        begun = ORDER_STATUSES.alias().c
        being_canceled = select(begun.submission).where(begun.canceling_at >= since)
        self.canceling = watched.where(_C.id.in_(being_canceled))
        self.counts = (
            select(_C.account, func.count().label("orders"))
            .outerjoin(ORDER_STATUSES, _S.submission == _C.id)
            .where(_C.state == "placed", _C.account != LEDGER_ACCOUNT, unfinished)
            .where(_C.id.in_(of_the_day.union(for_later, being_canceled)))
            .group_by(_C.account)
            .order_by(_C.account)
        )
        self.claim = self._write({})
        self.begin_cancellation = self._write({"canceling_at": now}, checked=False).returning(
            _S.stage, _S.word, _S.changed_at
        )
        self.end_cancellation = (
            update(ORDER_STATUSES)
            .where(_S.submission == bindparam("this"), _S.mark == bindparam("seen"))
            .values(canceling_at=bindparam("before", type_=BigInteger))
        )
        self.record = self._write({
            "asked_at": now,
            "changed_at": func.coalesce(bindparam("changed", type_=BigInteger), now),
            "stage": bindparam("stage", type_=Text),
            "word": bindparam("word", type_=Text),
        })  # fmt: skip
        self.release = self._write({"asked_at": now})

    def _write(self, more: Mapping[str, ColumnElement[Any]], *, checked: bool = True) -> Any:
        """A statement that makes the row, or changes it; nothing if the database has lost the submission.

        ``checked``: if it still has the mark that was read.
        """
        columns = (_S.submission, _S.mark, _S.boot, _S.since, _S.lease)
        values: Mapping[str, ColumnElement[Any]] = {
            **{each.name: bindparam(each.name, type_=each.type) for each in columns}, **more
        }  # fmt: skip
        is_known = select(_C.id).where(_C.id == bindparam("submission", type_=Text)).exists()
        made = insert(ORDER_STATUSES, is_postgresql=self._is_postgresql)
        made = made.from_select(list(values), select(*values.values()).where(is_known))
        return made.on_conflict_do_update(
            index_elements=["submission"],
            set_={name: made.excluded[name] for name in values if name != "submission"},
            where=_S.mark.is_not_distinct_from(bindparam("seen", type_=Text)) if checked else None,
        )


_queries = cache(_Queries)
"""Built once: a database keeps each statement that it has compiled."""


class Statuses:
    """The statuses in a ledger's database. Its methods raise as those of the ledger do."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._database = ledger.database
        prepare = ledger.database.prepare
        queries = _queries(is_postgresql=self._database.is_postgresql, own_clock=ledger.clocks.own_clock)
        self._numbered, self._one = map(prepare, (queries.numbered, queries.one))
        self._namesakes = prepare(queries.namesakes)
        self._canceling, self._open, self._counts = map(prepare, (queries.canceling, queries.open, queries.counts))
        self._claim, self._release, self._record = map(prepare, (queries.claim, queries.release, queries.record))
        self._begin_cancellation = prepare(queries.begin_cancellation)
        self._end_cancellation = prepare(queries.end_cancellation)

    def numbered(self, location: str, number: str) -> PlacedOrder | None:
        """The newest placed order of a location with this number; ticket numbers repeat."""
        values = {"location": location, **_as_stored(number)}
        row = self._database.run(lambda cursor, _: self._numbered.first(cursor, values), single=True)
        return row and _order(row)

    def namesakes(self, order: PlacedOrder) -> frozenset[Stage | None]:
        """The stages of other orders of the location with the same number that are open, or have ended within a day."""
        values = {
            "location": order.location, "besides": order.submission, "now": self._ledger.clocks.now(),
            **_as_stored(str(order.order_id)),
        }  # fmt: skip
        rows = self._database.run(lambda cursor, _: self._namesakes.all(cursor, values), single=True)
        return frozenset(row.stage for row in rows)

    def of(self, submission: str) -> PlacedOrder | None:
        """The order of a submission that is placed."""
        row = self._database.run(lambda cursor, _: self._one.first(cursor, {"this": submission}), single=True)
        return row and _order(row)

    def open(self, account: str, *, every: timedelta = timedelta(0), limit: int) -> tuple[PlacedOrder, ...]:
        """The open orders of an account, those first that were asked for longest ago.

        First of all are those that were not asked for since they were placed, or since somebody began to cancel them.

        ``every``: only orders whose status is at least this old, by the database's clock. This limits the rate of
        calls and proves nothing.
        """
        values = {"account": account, "every": every // _MILLISECOND, "limit": limit, "now": self._ledger.clocks.now()}

        def rows(statement: Statement) -> dict[str, Any]:
            found = self._database.run(lambda cursor, _: statement.all(cursor, values), single=True)
            return {row.id: row for row in found}

        found = {**rows(self._canceling), **rows(self._open)}
        in_turn = sorted(found.values(), key=lambda row: row.turn)
        return tuple(map(_order, in_turn[:limit]))

    def counts(self) -> dict[str, int]:
        """How many open orders each account has, also accounts that are not configured any more, without charges."""
        values = {"now": self._ledger.clocks.now()}
        rows = self._database.run(lambda cursor, _: self._counts.all(cursor, values), single=True)
        return {row.account: row.orders for row in rows}

    def begin_cancellation(self, order: PlacedOrder) -> PlacedOrder | None:
        """Note that the provider is about to be asked to cancel the order, which ends all claims; the order as it is.

        None: the database has lost it.

        Whatever becomes of the caller, the order is open for a day from now, so its status is not missed (STAT-7).
        Once this returns, the note and what was committed before survive a power failure.
        """
        values = {**self._values(order), "now": self._ledger.clocks.now()}
        row = self._database.run_durably(lambda cursor, _: self._begin_cancellation.first(cursor, values))
        if row is None:
            return None
        clock = {name: values[name] for name in ("mark", "boot", "since", "lease")}
        changed_at = row.changed_at and from_ms(row.changed_at)
        return replace(order, stage=row.stage, word=row.word, changed_at=changed_at, **clock)

    def end_cancellation(self, order: PlacedOrder) -> None:
        """Take the note of :meth:`begin_cancellation` back, unless somebody has changed the row since then."""
        values = {
            "this": order.submission,
            "seen": order.mark,
            "before": order.canceling_at and to_ms(order.canceling_at),
        }
        self._database.run(lambda cursor, _: self._end_cancellation.run(cursor, values), single=True)

    def claim(self, order: PlacedOrder, lease: timedelta) -> PlacedOrder | None:
        """Claim the order for ``lease``; None: somebody else has claimed it, or has changed it since it was read.

        Also if the database has lost it.
        """
        term = lease // _MILLISECOND

        def work(cursor: Any, _again: bool) -> PlacedOrder | None:
            if order.lease and not self._is_over(cursor, order):
                return None
            values = self._values(order, lease=term)
            if not self._claim.run(cursor, values).rowcount:
                return None
            return replace(order, mark=values["mark"], boot=values["boot"], since=values["since"], lease=term)

        return self._database.run(work)

    def record(
        self,
        order: PlacedOrder,
        stage: Stage | None,
        word: str,
        changed_at: datetime | None,
        also: Callable[[Any], None] | None = None,
    ) -> bool:
        """Record a status and end the claim; False: the row has changed since it was read, and stays as it is.

        Or the database has lost the order.

        ``changed_at``: None for now. A status that is new is an event. ``also`` is called in the same transaction.
        """
        is_new = (order.stage, order.word) != (stage, word)
        values = {
            **self._values(order),
            "stage": stage,
            "word": word,
            "changed": changed_at and to_ms(changed_at),
            "now": self._ledger.clocks.now(),
        }

        def work(cursor: Any, _again: bool) -> bool:
            is_recorded = bool(self._record.run(cursor, values).rowcount)
            if is_recorded and is_new:
                for event in _events(order, stage, word, changed_at):
                    self._ledger.outbox.record(cursor, event)
            if is_recorded and also is not None:
                also(cursor)
            return is_recorded

        return self._database.run(work, single=also is None and (not is_new or not self._ledger.outbox.is_on))

    def release(self, order: PlacedOrder) -> None:
        """End a claim without a new status."""
        values = {**self._values(order), "now": self._ledger.clocks.now()}
        self._database.run(lambda cursor, _: self._release.run(cursor, values), single=True)

    def _is_over(self, cursor: Any, order: PlacedOrder) -> bool:
        """Whether the lease of a claim has ended for this observer (SUB-13)."""
        observer = self._ledger.clocks.observer
        since = order.since
        if order.boot != observer.boot or since > observer.now_ms():
            if self._one.first(cursor, {"this": order.submission}) is None:
                # The database has lost the order, so nobody has it.
                return True
            since = self._ledger.sights.first(cursor, order.submission, f"asked {order.mark}")
        return observer.now_ms() - since >= order.lease

    def _values(self, order: PlacedOrder, lease: int = 0) -> dict[str, Any]:
        observer = self._ledger.clocks.observer
        clock = {"boot": observer.boot, "since": observer.now_ms(), "lease": lease}
        return {"submission": order.submission, "seen": order.mark, "mark": uuid.uuid4().hex, **clock}


def _as_stored(number: str) -> dict[str, str | None]:
    """The parameters for a number: an adapter may have reported it as a text or as an integer."""
    as_integer = number if number.isascii() and number.lstrip("-").isdigit() else None
    return {"as_text": json.dumps(number), "as_integer": as_integer}


def _events(order: PlacedOrder, stage: Stage | None, word: str, changed_at: datetime | None) -> Iterator[Event]:
    changed = None if changed_at is None else changed_at.astimezone(timezone.utc).isoformat(timespec="seconds")
    data = {
        "order_id": order.order_id,
        "status": stage,
        "provider_status": word,
        "changed_at": changed,
        "previous_status": order.stage,
        # Where numbers repeat, the receiver finds its order by this.
        "request_id": order.request_id,
    }
    yield Event("order.status_changed", order.account, order.location, order.submission, data)
    if stage == "refused" and order.stage != stage:
        # The guest believes that it is ordered.
        refused = attention(
            "order_refused",
            account=order.account,
            location=order.location,
            submission=order.submission,
            order_id=order.order_id,
            provider_order_id=order.provider_order_id,
            reference=order.reference,
            request_id=None,
            submitted_at=order.placed_at,
        )
        # A status may change to and fro.
        yield replace(refused, once=True)


def _order(row: Any) -> PlacedOrder:
    return PlacedOrder(
        submission=row.id,
        account=row.account,
        location=row.location,
        reference=row.reference or row.id,
        provider_order_id=row.provider_order_id,
        order_id=json.loads(row.order_id),
        answer=row.answer,
        placed_at=from_ms(row.settled_at),
        card=bool(row.card),
        request_id=row.request_id,
        stage=row.stage,
        word=row.word,
        changed_at=row.changed_at and from_ms(row.changed_at),
        asked_at=row.asked_at and from_ms(row.asked_at),
        canceling_at=row.canceling_at and from_ms(row.canceling_at),
        mark=row.mark,
        boot=row.boot or "",
        since=row.since or 0,
        lease=row.lease or 0,
    )
