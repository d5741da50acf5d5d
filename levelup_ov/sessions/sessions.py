"""The operations of checkout sessions.

A session is one row. Every change is made from the version that was read, so that of two competing requests one starts
again. What is personal is in the sealed content. An order is placed only while the row says that this request is
completing it, and a row that says so is changed back only with proof that nothing was placed.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

import pytz
from msgspec import structs

from levelup_ov.checkout import Checkout
from levelup_ov.checkout.leases import Leases
from levelup_ov.checkout.store import CheckoutStore
from levelup_ov.config import Settings
from levelup_ov.domain import ready_time
from levelup_ov.domain.event import ORDER_PLACED, Event
from levelup_ov.domain.failure import Failure
from levelup_ov.ledger.engine import LedgerUnavailable
from levelup_ov.ledger.records import from_ms, new_id, to_ms
from levelup_ov.ledger.sessions import FIRST, KeyTaken, StoredKey, StoredSession, StoredSessions
from levelup_ov.ordering.attempts import in_progress
from levelup_ov.ordering.request_context import RequestContext
from levelup_ov.ordering.service import Service
from levelup_ov.ordering.tracking import TrackedOrder
from levelup_ov.sealing import Sealer
from levelup_ov.sessions import content as contents
from levelup_ov.sessions.content import Content
from levelup_ov.sessions.keys import KeyOfRequest, Keys
from levelup_ov.sessions.model import (
    OPEN,
    Basket,
    CheckoutSession,
    LevelUpTender,
    Problem,
    RequestKey,
    SessionOrder,
    SessionState,
    SessionTender,
)
from levelup_ov.sessions.placing import OrderAtProvider, OrderPlacer
from levelup_ov.sessions.pricing import BasketPricer, is_fresh, is_same_order, missing, repriced, with_basket
from levelup_ov.sessions.problems import is_about_basket, is_about_tender, mischarged, needs_another_basket, problem_of

LIFETIME = timedelta(hours=24)
"""How long a session can be used after it was created, and a request be repeated: UCP wants a day for that."""
KEPT_AFTER_ORDER = timedelta(hours=24)
"""How long a completed session can be read after its order was placed."""
PURGED_EVERY = 600.0
"""Seconds after which a process removes expired contents again."""
TRIES = 4
"""How often a change is made again because another request was first."""
UNDECIDED = frozenset({"outcome_unknown", "submission_in_progress", "ledger_unavailable", "refund_pending"})
"""Failures after which the order may exist, or its charge may not be given back yet."""
UNSETTLED = "refund_impossible"
"""A person has to settle the charge, so the session must not lead to a second one."""

FULFILLMENTS = ("pickup", "delivery")

Follow = Callable[[CheckoutSession, str], tuple[str, str] | None]
"""Returns the receiver of the changes of a completed session's order, and what that needs, sealed; None: there is none.

Its arguments are the session, and its submission's id, to which the seal is bound."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Read:
    """A session's row and its opened content."""

    row: StoredSession
    content: Content


class Sessions:
    """All operations. ``caller`` owns the session; requests of other callers do not find it.

    Every method raises :class:`~levelup_ov.domain.failure.Failure` if nothing was changed and the reason is not the
    basket: ``session_not_found``, ``session_closed``, ``session_changed``, ``submission_in_progress``,
    ``idempotency_key_reused``, ``location_not_found``, ``ledger_unavailable``, or the provider's own failure.
    What is wrong with a basket or a tender is a problem of the session instead.

    ``follow`` is called once for each order.
    ``key``: the same key with the same body gets the recorded answer (``replayed``); None: the request has no key.
    ``context`` has the deadline, and takes what is logged about the request. ``clock`` returns the time, aware.
    """

    def __init__(
        self,
        store: StoredSessions,
        service: Service,
        placing: OrderPlacer,
        leases: Leases,
        sealer: Sealer,
        keys: Keys,
        clock: Callable[[], datetime],
        follow: Follow | None = None,
    ) -> None:
        self._store = store
        self._service = service
        self._pricing = BasketPricer(service)
        self._placing = placing
        self._leases = leases
        self._sealer = sealer
        self._keys = keys
        self._clock = clock
        self._follow = follow
        self._purge_at = 0.0

    def create(self, caller: str, basket: Basket, key: RequestKey | None, context: RequestContext) -> CheckoutSession:
        """A new session with the price of its basket."""
        self._purge_sometimes()
        id = new_id()
        return self._once(
            caller, key, "create", id, lambda stored: self._create(caller, id, basket, stored, context), context
        )

    def _create(
        self, caller: str, id: str, basket: Basket, key: StoredKey | None, context: RequestContext
    ) -> CheckoutSession:
        account, location, content = self._priced(basket, context)
        now = self._clock()
        row = StoredSession(
            id=id,
            caller=caller,
            account=account,
            location=location,
            state=_state(content),
            version=FIRST,
            attempt=0,
            content=contents.seal(content, self._sealer, id),
            held=None,
            order_id=None,
            submitted_as=None,
            created_at=to_ms(now),
            expires_at=to_ms(now + LIFETIME),
        )
        self._store.add(row, key)
        return _shown(row, content)

    def read(self, caller: str, id: str, context: RequestContext) -> CheckoutSession:
        """A session. If its outcome is unknown, it is reconciled first."""
        session = self.read_unless(lambda _version: False, caller, id, context)
        assert session is not None
        return session

    def read_unless(
        self, is_known: Callable[[int], bool], caller: str, id: str, context: RequestContext
    ) -> CheckoutSession | None:
        """The same; None if its version is known: a session that is not being completed shows no other there."""
        row = self._find_row(caller, id, context)
        if row.state == "complete_in_progress":
            return self._reconcile(self._opened(row), context)
        if row.content is not None and is_known(row.version):
            return None
        return _shown(row, self._opened(row).content)

    def replace(
        self, caller: str, id: str, basket: Basket, key: RequestKey | None, context: RequestContext
    ) -> CheckoutSession:
        """The session with another basket. The same order keeps its price as long as that is fresh."""
        return self._once(
            caller, key, f"replace {id}", id,
            lambda stored: self._replace(caller, id, basket, stored, context), context,
        )  # fmt: skip

    def _replace(
        self, caller: str, id: str, basket: Basket, key: StoredKey | None, context: RequestContext
    ) -> CheckoutSession:
        priced: tuple[str, str, Content] | None = None
        for _ in range(TRIES):
            read = self._open(caller, id, context)
            if is_fresh(read.content, self._clock()) and is_same_order(basket, read.content.basket):
                account, location, content = read.row.account, read.row.location, with_basket(read.content, basket)
            else:
                priced = priced or self._priced(basket, context)
                account, location, content = priced
                content = repriced(read.content, content, self._clock())
            row = replace(read.row, account=account, location=location, state=_state(content))
            if (answer := self._change(read.row, row, content, key)) is not None:
                return answer
        raise _changed()

    def complete(
        self, caller: str, id: str, tender: SessionTender, key: RequestKey | None, context: RequestContext
    ) -> CheckoutSession:
        """Place the session's order, at most once, and return what became of it.

        ``completed``; ``complete_in_progress`` if that is not known, or somebody else does it; or open again, with the
        problem: the order was refused, or its price is not the one that was shown. Then nothing was charged, or the
        charge was refunded. An incomplete session is returned as it is.
        """
        return self._once(
            caller, key, f"complete {id}", id,
            lambda stored: self._complete(caller, id, tender, stored, context), context,
        )  # fmt: skip

    def _complete(
        self, caller: str, id: str, tender: SessionTender, key: StoredKey | None, context: RequestContext
    ) -> CheckoutSession:
        for _ in range(TRIES):
            read = self._find(caller, id, context)
            row, content = read.row, read.content
            if row.state in ("completed", "incomplete"):
                return _shown(row, content)
            if row.state == "complete_in_progress":
                if not self._leases.has_ended(row.held):
                    return _shown(row, content)
                if not _is_same_tender(content, tender):
                    if (now := self._reconcile(read, context)).state not in OPEN:
                        return now
                    continue
            elif row.state != "ready_for_complete":
                raise _closed(row)
            else:
                try:
                    self._placing.check(content, tender)
                except Failure as failure:
                    content = structs.replace(content, problems=(problem_of(failure),))
                    if (answer := self._change(row, row, content, key)) is not None:
                        return answer
                    continue
                if not is_fresh(content, self._clock()):
                    account, location, newer = self._priced(content.basket, context)
                    content = repriced(content, newer, self._clock())
                    if content.changed or _state(content) == "incomplete":
                        now_row = replace(row, account=account, location=location, state=_state(content))
                        if (answer := self._change(row, now_row, content, key)) is not None:
                            return answer
                        continue
                levelup = tender if isinstance(tender, LevelUpTender) else None
                if levelup is not None and self._has_order(read):
                    continue
                content = structs.replace(content, tender=_kind(tender), levelup=levelup, problems=(), changed=False)
            if (taken := self._take(row, content, key)) is not None:
                return self._place(taken, content, tender, key, context)
        raise _changed()

    def cancel(self, caller: str, id: str, key: RequestKey | None, context: RequestContext) -> CheckoutSession:
        """The session, canceled; it had no order."""
        return self._once(
            caller, key, f"cancel {id}", id, lambda stored: self._cancel(caller, id, stored, context), context
        )

    def _cancel(self, caller: str, id: str, key: StoredKey | None, context: RequestContext) -> CheckoutSession:
        for _ in range(TRIES):
            read = self._open(caller, id, context)
            if self._has_order(read):
                continue
            # Nothing is left to be solved.
            content = structs.replace(read.content, problems=(), changed=False)
            if (answer := self._change(read.row, replace(read.row, state="canceled"), content, key)) is not None:
                return answer
        raise _changed()

    def track(self, caller: str, id: str, context: RequestContext) -> TrackedOrder:
        """The status of a completed session's order (STAT-1), as long as the row is kept.

        :raises Failure: ``order_not_found``, ``status_not_supported``, or why the status is not known.
        """
        row = self._store.find(id)
        if row is None or row.caller != caller:
            raise _not_found()
        if row.order_id is None:
            raise Failure("order_not_found", "this session has no order")
        return self._service.placed_orders.show(row.location, row.order_id, row.submitted_as, context)

    # Completing.

    def _place(
        self,
        row: StoredSession,
        content: Content,
        tender: SessionTender,
        key: StoredKey | None,
        context: RequestContext,
    ) -> CheckoutSession:
        try:
            placed = self._placing.place(row, content, tender, lambda: self._check_ours(row), context)
        except Failure as failure:
            try:
                answer = self._not_placed(row, content, failure, key, context)
            except LedgerUnavailable:
                if isinstance(failure, LedgerUnavailable):
                    raise
                # The row says that it is being completed, so the next request finds out.
                return replace(_shown(row, content), problems=(problem_of(failure),))
            if answer.state in OPEN and not is_about_basket(failure):
                raise
            return answer
        return self._completed(row, content, placed, key)

    def _reconcile(self, read: _Read, context: RequestContext) -> CheckoutSession:
        """Determine what became of a session that is being completed."""
        row, content, is_free = read.row, read.content, self._leases.has_ended(read.row.held)
        if content.levelup is not None:
            # The charge may have to be refunded, by one request only.
            if not is_free or (taken := self._take(row, content)) is None:
                return _shown(row, content)
            row = taken
        try:
            placed = self._placing.find(row, content, context)
        except Failure as failure:
            if not is_free and failure.code in UNDECIDED:
                return replace(_shown(row, content), problems=(problem_of(failure),))
            return self._not_placed(row, content, failure, None, context)
        if placed is not None:
            return self._completed(row, content, placed, None)
        if not is_free:
            return _shown(row, content)
        open_again = replace(row, state=_state(content), attempt=row.attempt + 1, held=None)
        return self._change(row, open_again, _not_completed(content)) or self._now(row)

    def _completed(
        self, row: StoredSession, content: Content, placed: OrderAtProvider, key: StoredKey | None
    ) -> CheckoutSession:
        """Record that the order exists. This needs no lease, because it is a fact."""
        problems = () if placed.mischarged is None else (mischarged(*placed.mischarged),)
        content = structs.replace(content, ready_at=_instant(placed.ready_at, content.time_zone), problems=problems)
        before = row
        for _ in range(TRIES):
            done = replace(
                before,
                state="completed",
                held=None,
                order_id=placed.number,
                submitted_as=placed.submitted_as,
                expires_at=max(before.expires_at, to_ms(self._clock() + KEPT_AFTER_ORDER)),
            )
            try:
                following = self._following(done, content)
                if (answer := self._change(before, done, content, key, following)) is not None:
                    return answer
                now = self._kept(row)
            except (KeyTaken, LedgerUnavailable):
                # The order exists, whatever the database says. The next read finds it.
                log.error("completed_but_not_recorded", extra={"session": row.id, "order_id": placed.number})
                return _shown(done, content)
            if now.state == "completed":
                return _shown(now, content)
            before = now
        return _shown(done, content)

    def _following(self, done: StoredSession, content: Content) -> Callable[[Any], None] | None:
        """What records the follower of a session's order, in the transaction of its completion."""
        if self._follow is None:
            return None
        submission = next(iter(self._service.keys.submitted_under(done.location, done.submitted_as or "")), None)
        if submission is None:
            return None
        try:
            follower = self._follow(_shown(done, content), submission.id)
        except Exception as error:
            # The order exists, whether or not anybody can be sent it.
            log.error("order_not_followed", extra={"session": done.id}, exc_info=error)
            return None
        if follower is None:
            return None
        event = Event(ORDER_PLACED, done.account, done.location, submission.id, {"order_id": done.order_id})
        outbox = self._service.submissions.ledger.outbox
        return lambda cursor: outbox.follow(cursor, event, *follower)

    def _not_placed(
        self,
        row: StoredSession,
        content: Content,
        failure: Failure,
        key: StoredKey | None,
        context: RequestContext,
    ) -> CheckoutSession:
        """The session after a failed completion: open again if it is proven that there is no order."""
        charges = content.levelup is not None
        if charges and failure.code == "location_not_found":
            failure = Failure("tender_not_accepted", f"LevelUp: {failure.message}")
        problem = problem_of(failure)
        if failure.code == UNSETTLED:
            closed = replace(row, state="canceled", held=None)
            return self._settled(row, closed, structs.replace(content, problems=(problem,)), key)
        if failure.code in UNDECIDED or self._placing.may_exist(row, content):
            # This request is over, so the next one need not wait for the end of its lease.
            answer = self._settled(row, replace(row, held=None), content)
            return replace(answer, problems=(problem,)) if answer.state == "complete_in_progress" else answer
        content = _not_completed(content, problem)
        if is_about_basket(failure) and not is_about_tender(failure):
            content = self._priced_again(content, problem, context)
        answered = key if is_about_basket(failure) else None
        state = _state(content)
        if needs_another_basket(failure) or (charges and failure.code == "price_changed" and not content.changed):
            # Each further try would be charged and refunded, too. An update has it priced again.
            state, content = "incomplete", structs.replace(content, is_stale=True)
        open_again = replace(row, state=state, attempt=row.attempt + 1, held=None)
        return self._settled(row, open_again, content, answered)

    def _settled(
        self, row: StoredSession, after: StoredSession, content: Content, key: StoredKey | None = None
    ) -> CheckoutSession:
        """Record what became of a completion; what the ledger says of the order counts, and not an older session."""
        before = row
        for _ in range(TRIES):
            if (answer := self._change(before, after, content, key)) is not None:
                return answer
            before = self._kept(row)
            if before is row:
                continue
            if before.state in OPEN and before.version < row.version:
                continue
            if before.state not in (*OPEN, "canceled") or not self._placing.may_exist(row, content):
                break
        return self._now(row)

    def _kept(self, row: StoredSession) -> StoredSession:
        """A session as it is now; written again as its owner has it if the database has lost it."""
        now = self._store.find(row.id)
        if now is None or now.version < row.version:
            log.error("submission_restored_to_ledger", extra={"session": row.id})
        if now is not None:
            return now
        with suppress(KeyTaken):
            self._store.add(row, None)
        return row

    def _has_order(self, read: _Read) -> bool:
        """Whether an open session has an order all the same; then it is being completed again.

        That is so if the database has gone back to a moment before the completion, and the ledger was told of it since.
        A charge is not found, because it is known by its merchant, too.
        """
        by_card = structs.replace(read.content, levelup=None)
        if not self._placing.may_exist(read.row, by_card):
            return False
        self._change(read.row, replace(read.row, state="complete_in_progress", held=None), by_card)
        return True

    def _priced_again(self, content: Content, problem: Problem, context: RequestContext) -> Content:
        try:
            _, _, newer = self._priced(content.basket, context)
        except Failure:
            return content
        again = repriced(content, newer, self._clock())
        others = (each for each in again.problems if (each.code, each.path) != (problem.code, problem.path))
        return structs.replace(again, problems=(problem, *others))

    def _take(self, row: StoredSession, content: Content, key: StoredKey | None = None) -> StoredSession | None:
        """The row, being completed by this request; None: somebody else has changed it."""
        taken = self._sealed(replace(row, state="complete_in_progress", held=self._leases.new()), content)
        return self._store.change(row, taken, key, answers=False)

    def _check_ours(self, row: StoredSession) -> None:
        """:raises Failure: another request is completing the session by now; nothing is sent."""
        now = self._store.find(row.id)
        if now is None or (now.version, now.held) != (row.version, row.held):
            raise in_progress()

    # Reading and writing.

    def _priced(self, basket: Basket, context: RequestContext) -> tuple[str, str, Content]:
        """The account and the location of a basket, and its content with a price."""
        priced = self._pricing.price(basket, context)
        basket, routed = priced.basket, priced.routed
        location, adapter = routed.location, routed.adapter
        times = priced.price.times if priced.price else ()
        content = Content(
            basket=basket,
            location_name=location.name,
            currency=location.currency or "",
            time_zone=location.time_zone,
            price=priced.price,
            problems=priced.problems,
            metadata=priced.metadata,
            tenders=tuple(sorted(routed.tenders)),
            fulfillments=tuple(
                each for each in FULFILLMENTS if each in adapter.fulfillments and location.fulfills(each)
            ),
            accepts_tips=location.accepts_tips(basket.fulfillment),
            known=priced.known,
            slots=times,
            offered=times,
        )
        return routed.adapter.account.name, routed.id, content

    def _find(self, caller: str, id: str, context: RequestContext) -> _Read:
        """:raises Failure: ``session_not_found``."""
        return self._opened(self._find_row(caller, id, context))

    def _find_row(self, caller: str, id: str, context: RequestContext) -> StoredSession:
        row = self._store.find(id)
        if row is None or row.caller != caller:
            raise _not_found()
        if row.expires_at < to_ms(self._clock()) and row.state != "complete_in_progress":
            raise _not_found()
        self._service.routing.note(row.location, context)
        return self._current(row)

    def _current(self, row: StoredSession) -> StoredSession:
        """A session whose order was taken back is being completed again until its outcome is known (SUB-5)."""
        if not self._placing.is_taken_back(row):
            return row
        again = replace(row, state="complete_in_progress", held=None, order_id=None, submitted_as=None)
        log.warning("session_order_taken_back", extra={"session": row.id, "order_id": row.order_id})
        self._change(row, again, self._opened(row).content)
        return self._store.find(row.id) or row

    def _opened(self, row: StoredSession) -> _Read:
        content = None if row.content is None else contents.unseal(row.content, self._sealer, row.id)
        if content is None:
            raise _not_found()
        return _Read(row, content)

    def _open(self, caller: str, id: str, context: RequestContext) -> _Read:
        """A session that can be changed. :raises Failure: ``session_closed``, ``submission_in_progress``."""
        read = self._find(caller, id, context)
        if read.row.state == "complete_in_progress":
            if self._reconcile(read, context).state == "complete_in_progress":
                raise Failure("submission_in_progress", "this session is being completed", retry_after=1)
            read = self._find(caller, id, context)
        if read.row.state not in OPEN:
            raise _closed(read.row)
        return read

    def _once(
        self,
        caller: str,
        key: RequestKey | None,
        operation: str,
        session: str,
        work: Callable[[StoredKey | None], CheckoutSession],
        context: RequestContext,
    ) -> CheckoutSession:
        """The answer of ``work``, which stores the key that it is given, or the one that the same request got before.

        :raises Failure: ``idempotency_key_reused``.
        """
        if key is None:
            return work(None)
        own_key = self._keys.of(caller, key, operation)
        if (recorded := self._recorded(own_key, context)) is not None:
            return recorded
        try:
            return work(own_key.new(session))
        except KeyTaken:
            failure = in_progress()
        except Failure as error:
            if error.code != "session_closed":
                raise
            failure = error
        # A request with the same key may have been faster.
        if (recorded := self._recorded(own_key, context)) is None:
            raise failure
        return recorded

    def _recorded(self, key: KeyOfRequest, context: RequestContext) -> CheckoutSession | None:
        """The answer that a request with this key got before. :raises Failure: ``idempotency_key_reused``."""
        stored = key.find()
        if stored is None or stored.state is None or stored.version is None:
            return None
        row = self._store.find(stored.session)
        if row is None or row.expires_at < to_ms(self._clock()):
            raise _not_found()
        context.replayed = True
        if stored.state == "completed" and (now := self._current(row)).state != "completed":
            # What was recorded is not true any more.
            opened, is_open = self._opened(now), now.state != "complete_in_progress"
            answer = _shown(now, opened.content) if is_open else self._reconcile(opened, context)
            return replace(answer, replayed=True)
        read = self._opened(replace(row, state=stored.state, version=stored.version, content=stored.content))
        self._service.routing.note(row.location, context)
        return replace(_shown(read.row, read.content), replayed=True)

    def _change(
        self,
        before: StoredSession,
        after: StoredSession,
        content: Content,
        key: StoredKey | None = None,
        also: Callable[[Any], None] | None = None,
    ) -> CheckoutSession | None:
        changed = self._store.change(before, self._sealed(after, content), key, also=also)
        return None if changed is None else _shown(changed, content)

    def _now(self, row: StoredSession) -> CheckoutSession:
        """The session as somebody else has changed it."""
        if (now := self._store.find(row.id)) is None:
            raise _not_found()
        read = self._opened(now)
        return _shown(read.row, read.content)

    def _sealed(self, row: StoredSession, content: Content) -> StoredSession:
        return replace(row, content=contents.seal(content, self._sealer, row.id))

    def _purge_sometimes(self) -> None:
        if time.monotonic() >= self._purge_at:
            self._purge_at = time.monotonic() + PURGED_EVERY
            self._store.purge(self._clock())


def open_sessions(
    settings: Settings,
    service: Service,
    checkout: Checkout | None,
    clock: Callable[[], datetime],
    follow: Follow | None = None,
) -> Sessions:
    """The sessions in the ledger of ``service``. ``checkout``: web checkout, if it is configured."""
    ledger, secrets = service.submissions.ledger, settings.secret_keys
    store = StoredSessions(ledger.database)
    lease = round((settings.submission_deadline + settings.reconcile_grace) * 1000)
    leases = Leases(CheckoutStore(ledger.database), ledger.clocks.observer, lease)
    keys = Keys(secrets, store)
    return Sessions(
        store, service, OrderPlacer(service, checkout), leases, Sealer(secrets, "session"), keys, clock, follow
    )


def _state(content: Content) -> SessionState:
    is_ready = content.price is not None and not missing(content.basket, content.price)
    return "ready_for_complete" if is_ready else "incomplete"


def _not_completed(content: Content, *problems: Problem) -> Content:
    """The content of a session that is open again; its next validation must be a new one."""
    return structs.replace(content, problems=problems, is_stale=content.is_stale or content.levelup is not None)


def _kind(tender: SessionTender) -> str:
    return "levelup" if isinstance(tender, LevelUpTender) else tender.kind


def _is_same_tender(content: Content, tender: SessionTender) -> bool:
    return content.tender == _kind(tender) and content.levelup in (None, tender)


def _shown(row: StoredSession, content: Content) -> CheckoutSession:
    order = None
    if row.state == "completed" and row.order_id is not None:
        order = SessionOrder(row.order_id, content.ready_at)
    state: SessionState = row.state  # type: ignore[assignment]
    return CheckoutSession(
        id=row.id,
        caller=row.caller,
        state=state,
        version=row.version,
        basket=content.basket,
        location_name=content.location_name,
        currency=content.currency,
        time_zone=content.time_zone,
        created_at=from_ms(row.created_at),
        expires_at=from_ms(row.expires_at),
        price=content.price,
        problems=content.problems,
        changed=content.changed,
        order=order,
        tenders=content.tenders,
        fulfillments=content.fulfillments,
        accepts_tips=content.accepts_tips,
        lines=content.price.lines if content.price else content.known,
        slots=content.slots,
        offered=content.offered,
    )


def _instant(wire: str | None, zone: str | None) -> datetime | None:
    """The instant of a time on the wire."""
    if wire is None:
        return None
    time_ = ready_time.parse(wire)
    return ready_time.localize(time_, pytz.timezone(zone)) if zone is not None else time_


def _not_found() -> Failure:
    return Failure("session_not_found", "there is no such checkout session, or it has expired")


def _closed(row: StoredSession) -> Failure:
    return Failure("session_closed", f"this checkout session is {row.state}")


def _changed() -> Failure:
    return Failure("session_changed", "another request has changed this checkout session", retry_after=1)
