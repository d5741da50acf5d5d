"""Web checkout's tables: connections, OAuth states and orders, next to the ledger in its database.

Every change names the states it may start from and reports whether it was made, so that only one of two competing
changes succeeds. Times are milliseconds since 1970 in UTC, amounts are cents. Tokens and bodies arrive here sealed.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import timedelta
from functools import cache
from types import EllipsisType
from typing import Any, Literal, TypeVar

from sqlalchemy import (
    BigInteger,
    Column,
    Executable,
    ForeignKey,
    MetaData,
    Row,
    Table,
    Text,
    and_,
    bindparam,
    delete,
    literal,
    or_,
    select,
    true,
    update,
)
from sqlalchemy.exc import IntegrityError

from levelup_ov.domain.checkout import CaseKind, ConnectionState, OrderState
from levelup_ov.domain.event import Event
from levelup_ov.domain.money import Cents
from levelup_ov.ledger.database import Database
from levelup_ov.ledger.identity import charge_digest
from levelup_ov.ledger.outbox import Outbox
from levelup_ov.ledger.records import id_before
from levelup_ov.ledger.statements import insert
from levelup_ov.ledger.tables import IDENTITIES, SUBMISSIONS, is_due

Kind = Literal["merchant", "user"]
T = TypeVar("T")
GIVEN_UP_AFTER = timedelta(days=1)
"""The age at which an unfinished OAuth connection is deleted, or disconnected if it was granted."""
LOOKS = (timedelta(minutes=1), timedelta(minutes=10), timedelta(hours=1), timedelta(hours=24))
"""When to look again for a charge that was ruled out after it was sent, each from the previous look."""
WEEK = timedelta(days=7)
LONGEST_AGE = timedelta(days=2)
"""Longer than a charge is kept that no request has learned of, even if the clocks of hosts differ."""

_MILLISECOND = timedelta(milliseconds=1)
_AT_WORK: tuple[OrderState, ...] = ("charging", "submitting", "refunding", "stuck")
_CHARGED: tuple[OrderState, ...] = ("submitting", "submitted", "refunding")
"""The states of an order that its provider may have, and whose charge is not refunded."""
CALLED_OFF_ELSEWHERE: CaseKind = "canceled_not_refunded"
"""The kind of case of a charged order that nobody makes, while no cancellation was requested here."""

METADATA = MetaData()
CONNECTIONS = Table(
    "checkout_connections",
    METADATA,
    Column("id", Text, primary_key=True),
    Column("kind", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("permissions", Text, nullable=False),
    Column("token", Text),
    Column("levelup_id", BigInteger),
    Column("request_id", BigInteger, unique=True),
    Column("return_to", Text),
    Column("confirmation", Text),
    Column("confirm_until", BigInteger),
    Column("created_at", BigInteger, nullable=False),
)
STATES = Table(
    "checkout_states",
    METADATA,
    Column("digest", Text, primary_key=True),
    Column("connection", Text, ForeignKey("checkout_connections.id"), nullable=False),
    Column("kind", Text, nullable=False),
    Column("expires_at", BigInteger, nullable=False),
)
ORDERS = Table(
    "checkout_orders",
    METADATA,
    Column("id", Text, primary_key=True),
    Column("state", Text, nullable=False),
    Column("merchant", Text, nullable=False),
    Column("user", Text, nullable=False),
    Column("location_id", BigInteger, nullable=False),
    Column("uuid", Text, unique=True),
    Column("proposed_uuid", Text, nullable=False),
    Column("body", Text),
    Column("spend", BigInteger, nullable=False),
    Column("tax", BigInteger, nullable=False),
    Column("exemption", BigInteger, nullable=False),
    Column("tip", BigInteger, nullable=False),
    Column("discount", BigInteger, nullable=False),
    Column("total", BigInteger),
    Column("gift_card_total", BigInteger),
    Column("gift_card_tip", BigInteger),
    Column("provider_location_id", Text),
    Column("submitted", Text),
    Column("problem", Text),
    Column("refund_key", Text),
    Column("seen", Text),
    Column("refunded_at", BigInteger),
    Column("held", Text),
    Column("sent", Text),
    Column("doubt", Text),
    Column("operator_case", Text),
    Column("looks", BigInteger, nullable=False),
    Column("look_at", BigInteger),
    Column("tried_at", BigInteger, nullable=False),
    Column("settled", Text),
    Column("cancellation", Text),
    Column("open_since", BigInteger),
    Column("called_off_at", BigInteger),
    Column("created_at", BigInteger, nullable=False),
)
ACTIONS = Table(
    "checkout_actions",
    METADATA,
    Column("form", Text, primary_key=True),
    Column("order_id", Text, ForeignKey("checkout_orders.id"), nullable=False),
    Column("operator", Text, nullable=False),
    Column("request_id", Text),
    Column("at", BigInteger, nullable=False),
    Column("outcome", Text),
)
"""What an operator asked for in the console, like the ledger's ``operator_actions``."""
SIGHTS = Table(
    "checkout_sights",
    METADATA,
    Column("token", Text, primary_key=True),
    Column("boot", Text, primary_key=True),
    Column("since", BigInteger, nullable=False),
)
"""When a mark from another host was first seen, in milliseconds of a boot."""
_C, _O = CONNECTIONS.c, ORDERS.c


@dataclass(frozen=True, slots=True)
class Connected:
    """A connection, in any state. ``token`` is sealed; ``confirmation`` is a digest; ``permissions`` are words."""

    id: str
    kind: Kind
    state: ConnectionState
    permissions: str
    created_at: int
    token: str | None = field(default=None, repr=False)
    levelup_id: int | None = None
    request_id: int | None = None
    return_to: str | None = None
    confirmation: str | None = None
    confirm_until: int | None = None


@dataclass(frozen=True, slots=True)
class StoredOrder:
    """An order; its id is also that of its charge in the ledger.

    ``body``: the sealed request that completes the proposed order, until the charge is proven or ruled out.
    ``submitted``: the provider's answer as JSON; ``problem``: why it is refunded, as JSON. ``refund_key``: digests of
    the keys that requested a refund and of their bodies. ``held``: the mark of the lease, ``sent``: of the last attempt
    to charge; none once it is answered that nothing was charged. ``doubt``: a charge that LevelUp reported once and
    that differs from the request, as JSON. ``operator_case``: why a person must settle it, as JSON; ``settled``: who
    did, and why. ``looks`` and ``look_at``: how often a ruled-out charge was looked for, and when to look next;
    ``look_at`` of a charge that the command has found, and that no request has learned of: when it is refunded.
    ``seen``: UUIDs of other orders at its location. ``tried_at``: when the command last processed it. ``cancellation``:
    one that was requested, and whose charge is not refunded yet, as :mod:`levelup_ov.checkout.cancellation` stores it.
    ``open_since``: when the command first failed to find its charge, or LevelUp first failed to refund it.
    ``called_off_at``: when its status first said that nobody makes it, if it still does.
    """

    id: str
    state: OrderState
    merchant: str
    user: str
    location_id: int
    proposed_uuid: str
    spend: int
    tax: int
    exemption: int
    tip: int
    discount: int
    created_at: int
    uuid: str | None = None
    body: str | None = field(default=None, repr=False)
    total: int | None = None
    gift_card_total: int | None = None
    gift_card_tip: int | None = None
    provider_location_id: str | None = None
    submitted: str | None = None
    problem: str | None = None
    refund_key: str | None = None
    seen: str | None = None
    refunded_at: int | None = None
    held: str | None = None
    sent: str | None = None
    doubt: str | None = field(default=None, repr=False)
    operator_case: str | None = None
    looks: int = 0
    look_at: int | None = None
    tried_at: int = 0
    settled: str | None = None
    cancellation: str | None = None
    open_since: int | None = None
    called_off_at: int | None = None

    @property
    def gross(self) -> Cents:
        """Spend and tip before the discount: as requested, until LevelUp has charged it."""
        return self.spend + self.tip if self.total is None else self.total

    @property
    def user_pays(self) -> Cents:
        """What is left after the discount."""
        return self.gross - self.discount

    @property
    def reported_problem(self) -> str | None:
        """Why it is refunded, or why it cannot be, as JSON."""
        case = json.loads(self.operator_case or "{}")
        if self.problem is None and (self.state == "stuck" or self.state == "refunding" and case.get("told")):
            return json.dumps({"code": "refund_impossible", "message": case.get("told") or case.get("message", "")})
        return self.problem

    @property
    def is_called_off(self) -> bool:
        """Whether nobody makes it, and nobody has asked here for its cancellation: its charge stays."""
        return self.called_off_at is not None and self.cancellation is None and self.state in _CHARGED

    @property
    def is_made_again(self) -> bool:
        """Whether a person must settle it because it was canceled, and its status is another one now."""
        return bool(json.loads(self.operator_case or "{}").get("made_again"))

    @property
    def open_cases(self) -> list[dict[str, Any]]:
        """Why a person must settle it, each with its ``kind`` and a ``message``; the first one is shown."""
        cases = [] if self.operator_case is None else [json.loads(self.operator_case)]
        if self.is_called_off:
            message = "this order was canceled, and its charge was not refunded"
            cases.append({"kind": CALLED_OFF_ELSEWHERE, "message": message})
        return cases

    @property
    def case_kind(self) -> str:
        """Why a person must settle it, in a word; empty if nobody must."""
        return next((str(case.get("kind", "")) for case in self.open_cases), "")

    def is_unfinished(self, now: int) -> bool:
        """Whether there is something to reconcile at ``now``, in milliseconds."""
        is_due = False
        if self.state in ("not_charged", "charged") and self.look_at is not None:
            # If the look is further away than its pause, the clock has been set back.
            pause = LOOKS[self.looks] if self.state == "not_charged" else LONGEST_AGE
            is_due = not now < self.look_at <= now + pause // _MILLISECOND
        is_waiting = self.state == "charged" and self.is_to_be_submitted
        is_waiting |= self.state == "submitted" and self.cancellation is not None
        return self.state in _AT_WORK or is_waiting or is_due or bool(self.open_cases)

    @property
    def is_refused(self) -> bool:
        """Whether it is not charged, and all that was sent was answered: only a copy of that may have been charged."""
        return self.state == "not_charged" and self.sent is None

    @property
    def is_canceled(self) -> bool:
        """Whether its status has proven that it is canceled, and its charge is not refunded."""
        return self.cancellation is not None and json.loads(self.cancellation)["mark"] is None

    @property
    def known_state(self) -> OrderState:
        """The state to report: nobody makes an order that is canceled, and its charge has to go back."""
        return "refunding" if self.state == "submitted" and self.is_canceled else self.state

    @property
    def is_untold(self) -> bool:
        """Whether it is charged, which the command has found, and no request has learned of it."""
        return self.state == "charged" and self.look_at is not None

    @property
    def is_unplaced(self) -> bool:
        """Whether it was to be submitted, and no provider has it, as far as known."""
        return self.is_to_be_submitted and self.submitted is None

    @property
    def is_to_be_submitted(self) -> bool:
        """Whether it is submitted to a provider once it is charged."""
        return self.provider_location_id is not None


class UuidTaken(Exception):
    """LevelUp's UUID belongs to another of our orders."""


class RequestTaken(Exception):
    """LevelUp's id of a permissions request belongs to another of our connections."""


class CheckoutStore:
    """The tables in ``database``; raises ``LedgerUnavailable`` if they cannot be used.

    A new case of an order is an event in ``outbox``, as ``event_of`` makes it of the order, the case's kind, and
    the provider's id of the order.
    """

    def __init__(
        self,
        database: Database,
        outbox: Outbox | None = None,
        event_of: Callable[[StoredOrder, str, str | None], Event] | None = None,
    ) -> None:
        self._database = database
        self._outbox = outbox
        self._event_of = event_of

    def _row(self, statement: Executable, **parameters: Any) -> Any:
        """The first row that a statement of the hot path finds."""
        prepared = self._database.prepare(statement)
        return self._database.run(lambda cursor, _: prepared.first(cursor, parameters), single=True)

    def _rows(self, statement: Executable, **parameters: Any) -> Any:
        """All rows that a statement finds."""
        prepared = self._database.prepare(statement)
        return self._database.run(lambda cursor, _: prepared.all(cursor, parameters), single=True)

    # Connections.

    def add_connection(self, connection: Connected, state: str | None = None, expires_at: int = 0) -> None:
        """Store a new connection; ``state`` is the digest of its OAuth state, if any.

        Old unfinished connections are deleted.

        :raises RequestTaken: another connection has its permissions request.
        """
        now = connection.created_at
        given_up = {"whose": connection.kind, "before": now - GIVEN_UP_AFTER // _MILLISECOND}
        with self._database.connection() as transaction:
            transaction.execute(_OLD_STATES, {"now": now})
            transaction.execute(_GIVEN_UP, given_up)
            try:
                transaction.execute(_NEW_CONNECTION, _values(connection))
            except IntegrityError:
                raise RequestTaken(connection.request_id) from None
            if state is not None:
                values = {"digest": state, "connection": connection.id, "kind": connection.kind}
                transaction.execute(_NEW_STATE, {**values, "expires_at": expires_at})

    def take_state(self, digest: str, kind: Kind, now: int) -> Connected | None:
        """The connection of an OAuth state, which can be used only once.

        None: the state is forged, used, too old, or of the other kind.
        """
        with self._database.connection() as transaction:
            taken = transaction.execute(_TAKEN_STATE, {"this": digest, "whose": kind}).first()
            if taken is None or taken.expires_at <= now:
                return None
            return _connected(transaction.execute(_CONNECTION, {"this": taken.connection}).first())

    def connection(self, id: str) -> Connected | None:
        """The connection with this id."""
        row = self._row(_CONNECTION, this=id)
        return Connected(**row._asdict()) if row else None

    def connections_of(self, merchant: str, user: str) -> Mapping[str, Connected]:
        """The connections with these two ids, by id, as far as there are any."""
        rows = self._rows(_CONNECTIONS_OF, merchant=merchant, user=user)
        return {row.id: Connected(**row._asdict()) for row in rows}

    def connection_of_request(self, request_id: int) -> Connected | None:
        """The connection that waits for a permissions request."""
        with self._database.connection() as transaction:
            return _connected(transaction.execute(select(CONNECTIONS).where(_C.request_id == request_id)).first())

    def connected_as(self, kind: Kind, levelup_id: int) -> list[Connected]:
        """The connections of this LevelUp merchant or user that are in use, newest first."""
        return [Connected(**row._asdict()) for row in self._rows(_CONNECTED_AS, kind=kind, whose=levelup_id)]

    def unidentified(self, limit: int) -> list[Connected]:
        """The newest connections in use of which LevelUp has not said whose they are, although it may."""
        query = select(CONNECTIONS).where(_UNIDENTIFIED).order_by(_C.created_at.desc()).limit(limit)
        with self._database.connection() as transaction:
            return [Connected(**row._mapping) for row in transaction.execute(query)]

    def unconfirmed(self, now: int, limit: int) -> list[Connected]:
        """Connections that were granted long ago, and that no site has confirmed, oldest first."""
        query = select(CONNECTIONS).where(_UNCONFIRMED, _C.created_at < now - GIVEN_UP_AFTER // _MILLISECOND)
        with self._database.connection() as transaction:
            found = transaction.execute(query.order_by(_C.created_at).limit(limit))
            return [Connected(**row._mapping) for row in found]

    def connections(self, kind: Kind, state: ConnectionState) -> list[Connected]:
        """All of a kind that are in ``state``, oldest first."""
        query = select(CONNECTIONS).where(_C.kind == kind, _C.state == state).order_by(_C.created_at, _C.id)
        with self._database.connection() as transaction:
            return [Connected(**row._mapping) for row in transaction.execute(query)]

    def change_connection(self, id: str, sources: Sequence[ConnectionState], **values: Any) -> bool:
        """Change a connection that is in one of the states ``sources``; returns whether it was."""
        change = _change_of_connection(tuple(sources))
        with self._database.connection() as transaction:
            return transaction.execute(change, {"this": id, **values}).rowcount == 1

    def reseal(self, id: str, old: str, new: str) -> None:
        """Replace a sealed token if it is still ``old``."""
        with self._database.connection() as transaction:
            transaction.execute(update(CONNECTIONS).where(_C.id == id, _C.token == old).values(token=new))

    # Orders.

    def add_order(self, order: StoredOrder) -> None:
        """Store a new order."""
        values, this = _values(order), {"this": order.id}
        insert, find = self._database.prepare(_NEW_ORDER, *values), self._database.prepare(_ORDER)

        def once(cursor: Any, again: bool) -> Any:
            # The first try may have been committed before its connection broke.
            return again and find.first(cursor, this) or insert.first(cursor, values)

        self._database.run(once, single=True)

    def order(self, id: str) -> StoredOrder | None:
        """The order that has this id or this LevelUp UUID."""
        row = self._row(_ORDER, this=id)
        return StoredOrder(**row._asdict()) if row else None

    def change_order(
        self,
        id: str,
        sources: Sequence[OrderState],
        *,
        held: str | None | EllipsisType = ...,
        cancellation: str | None | EllipsisType = ...,
        is_untold: bool = False,
        values: Mapping[str, Any],
        notify: str | None = None,
    ) -> StoredOrder | None:
        """Change an order that is in one of the states ``sources``; returns it as it is now. None: it was not.

        ``held``: and whose lease still has this mark. ``cancellation``: and whose cancellation is still this one.
        ``is_untold``: and of whose charge no request has learned.
        ``notify``: what the operator is notified of with it, in addition to a case that it did not have (EVT-8).

        :raises UuidTaken: another order has the UUID.
        """
        given = {"this": id, **values}
        if held is not ... and held is not None:
            given["by"] = held
        which = "any" if held is ... else "free" if held is None else "by"
        if cancellation is not ...:
            given["canceling"] = cancellation
        change = self._database.prepare(
            _change_of_order(tuple(sources), which, cancellation is not ..., is_untold), *values
        )
        find = self._database.prepare(_ORDER)
        # The end of a cancellation may leave an order that nobody makes.
        may_open = notify or values.get("operator_case") or values.get("cancellation", "") is None
        is_reported = self._outbox is not None and self._outbox.is_on and may_open

        def once(cursor: Any, again: bool) -> Any:
            before = self._database.prepare(_LOCKED).first(cursor, given) if is_reported else None
            row = change.first(cursor, given)
            if not row and again:
                # The first try may have been committed before its connection broke.
                row = find.first(cursor, given)
                row = row if row and values.items() <= row._asdict().items() else None
            if row and before:
                self._report(cursor, StoredOrder(**before._asdict()), StoredOrder(**row._asdict()), notify)
            return row

        row = self._one_charge_each(once, single=not is_reported)
        return StoredOrder(**row._asdict()) if row else None

    def put(self, id: str, write: Callable[[StoredOrder | None], StoredOrder | None]) -> StoredOrder | None:
        """Write the whole of an order in place of what there is of it, as ``write`` returns it of that.

        ``write`` gets None if there is no such order, and returns None if nothing is to be written.
        """
        try:
            return self._database.run(lambda cursor, _: self.put_within(cursor, id, write))
        except self._database.engine.dialect.loaded_dbapi.IntegrityError:
            # Somebody else has just written it.
            return self._database.run(lambda cursor, _: self.put_within(cursor, id, write))

    def put_within(
        self, cursor: Any, id: str, write: Callable[[StoredOrder | None], StoredOrder | None]
    ) -> StoredOrder | None:
        """The same in the transaction of ``cursor``."""
        before = self.locked(cursor, id)
        if (order := write(before)) is None:
            return None
        values = _values(order)
        statement: Executable = _NEW_ORDER
        if before is not None:
            del values["id"]
            statement = _change_of_order((before.state,), "any", False, False)
        self._database.prepare(statement, *values).first(cursor, {"this": id, **values})
        return order

    def report(self, order: StoredOrder, what: str) -> None:
        """Notify the operator of something that changes nothing of the order; lost if the ledger cannot be written."""
        if self._outbox is not None and self._outbox.is_on:
            self._database.run(lambda cursor, _: self._notify(cursor, order, what))

    def locked(self, cursor: Any, id: str) -> StoredOrder | None:
        """The order as :meth:`order` returns it; nobody changes it until the transaction of ``cursor`` ends."""
        row = self._database.prepare(_LOCKED).first(cursor, {"this": id})
        return StoredOrder(**row._asdict()) if row else None

    def change_within(self, cursor: Any, before: StoredOrder, values: Mapping[str, Any]) -> StoredOrder | None:
        """Change an order that is locked in the transaction of ``cursor``; returns it as it is now.

        None: nothing is to be changed. If the order is refunded, and no provider has it, another key may use its number
        and its validation from then on.
        """
        if not values:
            return None
        statement = self._database.prepare(_change_of_order((before.state,), "any", False, False), *values)
        order = StoredOrder(**statement.first(cursor, {"this": before.id, **values})._asdict())
        if before.state != "refunded" and order.state == "refunded" and order.is_unplaced:
            self._free_names(cursor, order.id)
        if self._outbox is not None:
            self._report(cursor, before, order, None)
        return order

    def change_locked(self, id: str, change: Callable[[StoredOrder], Mapping[str, Any]]) -> StoredOrder | None:
        """Change an order by what ``change`` returns of it while it is locked, as :meth:`change_within` does.

        :raises UuidTaken: another order has the UUID.
        """

        def work(cursor: Any, _again: bool) -> StoredOrder | None:
            before = self.locked(cursor, id)
            return before and self.change_within(cursor, before, change(before))

        return self._one_charge_each(work)

    def _one_charge_each(self, work: Callable[[Any, bool], T], *, single: bool = False) -> T:
        """Run ``work``, which may give an order its UUID. :raises UuidTaken: another order has it."""
        try:
            return self._database.run(work, single=single)
        except self._database.engine.dialect.loaded_dbapi.IntegrityError:
            raise UuidTaken from None

    def note_untold(self, id: str, look_at: int) -> StoredOrder | None:
        """Have a recorded charge looked at at this time, unless somebody was told of it.

        Then the ledger has it as placed. Who is about to tell somebody records that first, and reads the order after.
        """

        def work(cursor: Any, _again: bool) -> StoredOrder | None:
            # The ledger's row comes first, as everywhere that both are locked.
            charge = self._database.prepare(_CHARGE).first(cursor, {"this": id})
            if charge is not None and charge.state == "placed":
                return None
            before = self.locked(cursor, id)
            if before is None or before.state != "charged":
                return None
            return self.change_within(cursor, before, {"look_at": look_at})

        return self._database.run(work)

    def change_as_read(self, order: StoredOrder, values: Mapping[str, Any], *members: str) -> StoredOrder | None:
        """Change ``order`` if its state and these ``members`` are still as they were when it was read; None: not so."""

        def change(now: StoredOrder) -> Mapping[str, Any]:
            is_same = all(getattr(now, each) == getattr(order, each) for each in ("state", *members))
            return values if is_same else {}

        return self.change_locked(order.id, change)

    def _report(self, cursor: Any, before: StoredOrder, order: StoredOrder, notify: str | None) -> None:
        known = [each["kind"] for case in before.open_cases for each in (case, case.get("earlier")) if each]
        for what in (notify, *(case["kind"] for case in order.open_cases)):
            if what and what not in known:
                self._notify(cursor, order, what)

    def _notify(self, cursor: Any, order: StoredOrder, what: str) -> None:
        assert self._outbox is not None and self._event_of is not None
        meal = self._meal(cursor, order.id)
        self._outbox.record(cursor, self._event_of(order, what, meal and meal.provider_order_id))

    def free_names(self, id: str) -> None:
        """Free the number and the validation of a refunded order again, after a replay has claimed them."""
        self._database.run(lambda cursor, _: self._free_names(cursor, id))

    def _free_names(self, cursor: Any, id: str) -> None:
        if self._meal(cursor, id) is None:
            self._database.prepare(_FREE_NAMES).run(cursor, {"this": id})

    def _meal(self, cursor: Any, id: str) -> Any:
        """The provider's order that was placed for an order, if there is one."""
        return self._database.prepare(_MEAL).first(cursor, {"this": id, "digest": charge_digest(id)})

    def unfinished_orders(self, now: int, limit: int) -> list[StoredOrder]:
        """Orders that are unfinished, or that a person must settle, longest waiting first.

        Some may be processed right now.
        """
        return [StoredOrder(**row._asdict()) for row in self._rows(_UNFINISHED, now=now, limit=limit)]

    def operator_cases(self) -> list[StoredOrder]:
        """The orders that a person must settle, oldest first."""
        query = select(ORDERS).where(HAS_CASE).order_by(_O.created_at, _O.id)
        with self._database.connection() as transaction:
            return [StoredOrder(**row._mapping) for row in transaction.execute(query)]

    def is_another_charging(self, order: StoredOrder) -> bool:
        """Whether another order of the same user and place may be charged, with a UUID that is not known yet."""
        query = select(_O.id).where(_O.state == "charging", *_beside(order)).limit(1)
        with self._database.connection() as transaction:
            return transaction.execute(query).first() is not None

    def charges_of(self, order: StoredOrder, limit: int) -> set[str]:
        """The UUIDs of the newest charges of the same user at the same place, of a week, that are not to go back."""
        states: tuple[OrderState, ...] = ("charged", "submitting", "submitted")
        # There is no index by user.
        recent = _O.id >= id_before(order.id, WEEK)
        query = select(_O.uuid).where(_O.state.in_(states), recent, *_beside(order)).order_by(_O.id.desc()).limit(limit)
        with self._database.connection() as transaction:
            return set(transaction.scalars(query))

    def known_uuids(self, uuids: Sequence[str]) -> set[str]:
        """Which of ``uuids`` belong to our orders."""
        with self._database.connection() as transaction:
            return set(transaction.scalars(select(_O.uuid).where(_O.uuid.in_(uuids))))

    # Sights.

    def first_sight(self, token: str, boot: str, now: int) -> int:
        """When a mark was first seen on this boot: ``now``, if it is new."""
        new = _new_sight(is_postgresql=self._database.is_postgresql)
        with self._database.connection() as transaction:
            transaction.execute(new, {"token": token, "boot": boot, "since": now})
            since: int = transaction.execute(_SINCE, {"mark": token, "start": boot}).scalar_one()
        return since


_CASE, _OFF = ORDERS.alias().c, ORDERS.alias().c
_IS_CALLED_OFF = and_(_OFF.called_off_at.is_not(None), _OFF.cancellation.is_(None), _OFF.state.in_(_CHARGED))
# Each part by its own index: almost no order has a case.
HAS_CASE = _O.id.in_(
    select(_CASE.id).where(_CASE.operator_case.is_not(None)).union(select(_OFF.id).where(_IS_CALLED_OFF))
)
"""Whether a person must settle an order."""
_OLD_STATES = delete(STATES).where(STATES.c.expires_at < bindparam("now"))
_GIVEN_UP = delete(CONNECTIONS).where(
    _C.kind == bindparam("whose"),
    # One that is granted has a token, which is revoked first: see unconfirmed().
    _C.state.in_(("pending", "refused")),
    _C.created_at < bindparam("before"),
    # A person may take days to answer a permissions request.
    _C.request_id.is_(None),
)
_NEW_CONNECTION, _NEW_STATE = CONNECTIONS.insert(), STATES.insert()
_TAKEN_STATE = (
    delete(STATES)
    .where(STATES.c.digest == bindparam("this"), STATES.c.kind == bindparam("whose"))
    .returning(STATES.c.connection, STATES.c.expires_at)
)
_SINCE = select(SIGHTS.c.since).where(SIGHTS.c.token == bindparam("mark"), SIGHTS.c.boot == bindparam("start"))
_CONNECTION = select(CONNECTIONS).where(_C.id == bindparam("this"))
_CONNECTIONS_OF = select(CONNECTIONS).where(_C.id.in_((bindparam("merchant"), bindparam("user"))))
_CONNECTED_AS = (
    select(CONNECTIONS)
    .where(_C.kind == bindparam("kind"), _C.state == "connected", _C.levelup_id == bindparam("whose"))
    .order_by(_C.created_at.desc())
)
_UNCONFIRMED = and_(_C.kind.in_(("merchant", "user")), _C.state == "granted")
_UNIDENTIFIED = and_(
    _C.kind.in_(("merchant", "user")),
    _C.levelup_id.is_(None),
    _C.state == "connected",
    or_(_C.kind == "merchant", _C.permissions.contains("read_user_basic_info")),
)
_UNFINISHED = (
    select(ORDERS)
    .where(
        or_(
            _O.state.in_(_AT_WORK),
            and_(_O.state == "charged", _O.provider_location_id.is_not(None)),
            and_(_O.cancellation.is_not(None), _O.state == "submitted"),
            and_(_O.state == "not_charged", is_due(_O.look_at, _O.looks, LOOKS, bindparam("now"))),
            and_(_O.state == "charged", is_due(_O.look_at, literal(0), (LONGEST_AGE,), bindparam("now"))),
            HAS_CASE,
        )
    )
    .order_by(_O.tried_at, _O.created_at, _O.id)
    .limit(bindparam("limit"))
)
_ORDER = select(ORDERS).where(or_(_O.id == bindparam("this"), _O.uuid == bindparam("this")))
_LOCKED = _ORDER.with_for_update()
_S, _I = SUBMISSIONS.c, IDENTITIES.c
_MEAL = select(_S.provider_order_id).where(
    _S.state == "placed",
    or_(_S.request_id == bindparam("this"), _S.id.in_(select(_I.submission).where(_I.digest == bindparam("digest")))),
)
_CHARGE = select(_S.state).where(_S.id == bindparam("this")).with_for_update()
_NAMES = ("order_number", "grubhub_order_number", "order_validation_id")
_FREE_NAMES = delete(IDENTITIES).where(_I.submission == bindparam("this"), _I.kind.in_(_NAMES))
_NEW_ORDER = ORDERS.insert().returning(_O.id)
# A parameter with the name of a column could not stand beside a change of that column.
_CANCELING = _O.cancellation.is_not_distinct_from(bindparam("canceling", type_=Text))
_HELD = {"any": true(), "free": _O.held.is_(None), "by": _O.held == bindparam("by")}


@cache
def _change_of_connection(sources: tuple[ConnectionState, ...]) -> Executable:
    return update(CONNECTIONS).where(_C.id == bindparam("this"), _C.state.in_(sources))


@cache
def _new_sight(*, is_postgresql: bool) -> Executable:
    return insert(SIGHTS, is_postgresql=is_postgresql).on_conflict_do_nothing(index_elements=["token", "boot"])


@cache
def _change_of_order(sources: tuple[OrderState, ...], held: str, canceling: bool, untold: bool) -> Executable:
    conditions = [_O.id == bindparam("this"), _O.state.in_(sources), _HELD[held], _CANCELING if canceling else true()]
    if untold:
        conditions.append(_O.look_at.is_not(None))
    return update(ORDERS).where(*conditions).returning(ORDERS)


def _beside(order: StoredOrder) -> tuple[Any, ...]:
    """The other orders of the same user at the same place."""
    whose = select(_C.levelup_id).where(_C.id == order.user).scalar_subquery()
    others = select(_C.id).where(_C.kind == "user", _C.levelup_id == whose)
    return _O.id != order.id, _O.location_id == order.location_id, or_(_O.user == order.user, _O.user.in_(others))


def _values(row: Connected | StoredOrder) -> dict[str, Any]:
    return {each.name: getattr(row, each.name) for each in fields(row)}


def _connected(row: Row[Any] | None) -> Connected | None:
    return Connected(**row._mapping) if row else None
