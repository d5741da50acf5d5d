"""Refunding: a whole order, once, and never reported before LevelUp has confirmed it.

A refund is proven by the requested order with ``refunded_at`` and its whole amount. A refusal alone proves nothing, so
the order's own ``refunded_at`` is read. What finally cannot be refunded is a case for a person.

Who decides that an order is refunded: a site (:mod:`levelup_ov.checkout.orders`), a provider that refused the meal
(:mod:`levelup_ov.checkout.submitting`), or a charge of other amounts (:mod:`levelup_ov.checkout.charges`).
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from functools import partial
from typing import Any

from levelup_ov.checkout.cancellation import cancellation_of, dated, is_old, merged
from levelup_ov.checkout.client import LevelUpClient, LevelUpSession
from levelup_ov.checkout.connections import CUT_OFF, Access, Connections
from levelup_ov.checkout.failed_orders import (
    SETTLE,
    SUBMITTED_AND_REFUNDED,
    UNPROVEN,
    case,
    case_of,
    found_placed,
    in_progress,
    made_again,
    made_unpaid,
    pending,
    refund_impossible,
    unplaced,
)
from levelup_ov.checkout.leases import Leases
from levelup_ov.checkout.lost_rows import LostRows
from levelup_ov.checkout.proof import PastOrder, may_be_since, refund_refusal
from levelup_ov.checkout.refusals import LevelUpRefused
from levelup_ov.checkout.store import CheckoutStore, StoredOrder
from levelup_ov.domain.checkout import CaseKind, OrderState
from levelup_ov.domain.failure import Failure
from levelup_ov.domain.secret import Secret
from levelup_ov.errors import KINDS, Unanswered
from levelup_ov.ledger.engine import LedgerUnavailable
from levelup_ov.ledger.records import from_ms, to_ms
from levelup_ov.ordering.attempts import SubmissionKey
from levelup_ov.ordering.outcomes import outcome_unknown
from levelup_ov.ordering.request_context import RequestContext

NOT_NOW = ("manager_confirmation_required", "merchant_token_refused", "provider_credentials_refused")
"""Refusals of a refund that may end; a person's after a day."""
AGED: tuple[CaseKind, ...] = ("refund_refused", "refund_unproven")
"""The kinds of case of a refund that is not made after a day: LevelUp refuses it for now, or proves nothing."""

log = logging.getLogger(__name__)


class Refunds:
    """Refunds orders. An order comes here in state ``refunding``, with its lease held by the caller.

    ``clock`` returns the current time, aware.
    """

    def __init__(
        self,
        store: CheckoutStore,
        levelup: LevelUpClient,
        connections: Connections,
        leases: Leases,
        lost_rows: LostRows,
        clock: Callable[[], datetime],
    ) -> None:
        self._store = store
        self._levelup = levelup
        self._connections = connections
        self._leases = leases
        self._lost_rows = lost_rows
        self._clock = clock

    def take(self, order: StoredOrder, context: RequestContext) -> StoredOrder:
        """Refund an order that must be refunded, or continue doing so. :raises Failure: see :meth:`take_back`."""
        taken = self._leases.take(order, ("refunding",))
        if taken is None:
            raise in_progress("this order is being refunded")
        if taken.is_made_again:
            # That has been seen since the order was read.
            self.release(taken)
            raise pending(case_of(taken)["message"])
        return self.take_back(taken, None, context, before=order)

    def take_back(
        self, order: StoredOrder, confirmation: Secret | None, context: RequestContext, *, before: StoredOrder
    ) -> StoredOrder:
        """Refund ``order``; ``before``: the order when the caller got it.

        :raises Failure: ``refund_pending``, ``refund_impossible``, or the refusal of a refund that a site requested.
        """
        key = self._lost_rows.key_of(order)
        try:
            merchant = self._connections.access_again("merchant", order.merchant, context)
            try:
                with self._levelup.calls(context.deadline, context.calls) as calls:
                    return self._refund(calls, order, merchant, confirmation, before, key)
            except Failure as failure:
                self._connections.token_refused(failure, merchant, None, order.location_id, context)
                raise
        except Failure as failure:
            try:
                told = self._undone(order, failure, before, key)
            except LedgerUnavailable:
                # Its row still says that it is to be refunded.
                told = pending(failure.message)
            raise told from None
        except BaseException:
            self.release(order)
            raise

    def look(self, order: StoredOrder, context: RequestContext) -> StoredOrder:
        """Read an order that could not be refunded: LevelUp may have refunded it in the meantime.

        :raises Failure: it cannot be read now.
        """
        merchant = self._connections.access_again("merchant", order.merchant, context)
        with self._levelup.calls(context.deadline, context.calls) as calls:
            reported = self._read(calls, merchant, order.uuid or "")
        if (
            reported is None
            or reported.refunded_at is None
            or case_of(order)["kind"] not in ("refund_refused", UNPROVEN)
        ):
            return order
        try:
            return self._wholly(order, reported)
        except _InPart as part:
            what = case("refunded_in_part", part.message, uuid=order.uuid, told=part.message)

            def tell(now: StoredOrder) -> Mapping[str, Any]:
                if now.state != "stuck":
                    return {}
                return {"operator_case": made_again(now, what) if now.is_made_again else what}

            return self._store.change_locked(order.id, tell) or order

    def check_found(self, order: StoredOrder, uuid: str, context: RequestContext) -> None:
        """Compare an order whose charge is not known with the charge of this UUID, which a person takes for it.

        :raises Failure: ``invalid_member``: it is another one; or it cannot be read now.
        """
        merchant = self._connections.access_again("merchant", order.merchant, context)
        if merchant.connection.levelup_id is None:
            words = "LevelUp has never said which merchant this is, so the charge cannot be read: refund it there"
            raise Failure("invalid_member", f"{words}, and settle the case without its UUID")
        with self._levelup.calls(context.deadline, context.calls) as calls:
            reported = self._read(calls, merchant, uuid)
        if reported is None:
            raise Failure("invalid_member", f"LevelUp does not show a charge {uuid} of this merchant")
        if not order.user:
            return  # only its row in the ledger was left, so nothing is known to compare
        differs = []
        if reported.location_id not in (order.location_id, None):
            differs.append(f"is at location {reported.location_id}, this order at {order.location_id}")
        doubt = json.loads(order.doubt or "{}")
        charged = reported.spend + reported.tip
        # LevelUp may once have reported another amount, even of this charge.
        if charged not in (order.gross, doubt.get("total")) and uuid != doubt.get("uuid"):
            differs.append(f"is of {charged} cents, this order of {order.gross}")
        if not may_be_since([reported], from_ms(order.created_at)):
            differs.append("was made more than a day before this order")
        if differs:
            raise Failure("invalid_member", f"{uuid} is another charge: it {', and '.join(differs)}")

    def found(self, order: StoredOrder, context: RequestContext) -> StoredOrder | None:
        """The order if LevelUp has made a refund that was requested before; asks for none, and None if it has not.

        :raises Failure: it cannot be read now, or is another amount.
        """
        merchant = self._connections.access_again("merchant", order.merchant, context)
        with self._levelup.calls(context.deadline, context.calls) as calls:
            reported = self._read(calls, merchant, order.uuid or "")
        if reported is None:
            raise _Unclear("LevelUp does not show this order")
        try:
            return self._wholly(order, reported) if reported.refunded_at else None
        except _InPart as part:
            raise self._undone(order, part, order, None) from None

    def check_standing(self, order: StoredOrder, context: RequestContext) -> None:
        """Read the charge of an order before it counts, if an earlier request made it: it may be refunded by now.

        LevelUp answers the same to completing an order again, whatever became of it since. A charge counts if it can
        never be read: its merchant is not connected any more, or LevelUp does not say which merchant it is.

        :raises Failure: ``charge_refunded``, or ``outcome_unknown``: it cannot be read now.
        """
        try:
            merchant = self._connections.access_again("merchant", order.merchant, context)
        except Failure as failure:
            if failure.code in CUT_OFF:
                return
            raise
        if merchant.connection.levelup_id is None:
            return
        try:
            with self._levelup.calls(context.deadline, context.calls) as calls:
                reported = self._read(calls, merchant, order.uuid or "")
        except Failure as failure:
            self._connections.token_refused(failure, merchant, None, order.location_id, context)
            raise outcome_unknown(f"the order was charged, and its charge cannot be read: {failure.message}") from None
        if reported is None:
            raise outcome_unknown("the order was charged, and LevelUp does not show its charge")
        if reported.refunded_at is not None:
            raise Failure("charge_refunded", "somebody has refunded this charge at LevelUp")

    def release(self, order: StoredOrder) -> None:
        """Release the lease, so that the next request can process the order right away."""
        sources: tuple[OrderState, ...] = ("submitting", "submitted", "refunding")
        try:
            self._store.change_order(order.id, sources, held=order.held, values={"held": None})
        except LedgerUnavailable:
            log.warning("order_lease_not_released", extra={"order": order.id})

    def _refund(
        self,
        calls: LevelUpSession,
        order: StoredOrder,
        merchant: Access,
        confirmation: Secret | None,
        before: StoredOrder,
        key: SubmissionKey | None,
    ) -> StoredOrder:
        uuid = order.uuid or ""
        values = {"sent": self._leases.new()}
        if before.state == "refunding" or order.doubt is not None:
            if (found := self._read(calls, merchant, uuid)) and found.refunded_at:
                return self._wholly(order, found, key)
            if order.doubt is not None and found is not None:
                # The amount of the charge was itself doubtful: what is there now has to go back.
                values["doubt"] = json.dumps({"total": found.given})
        elif order.problem is None:
            # A refused refund may have been delivered twice, so record what the state was before.
            with suppress(_Unclear):
                if (reported := self._read(calls, merchant, uuid)) and reported.refunded_at:
                    if order.is_canceled:
                        # Nobody makes it, so that its charge goes back is all that was wanted.
                        return self._wholly(order, reported, key)
                    done = self._wholly(order, reported, key, refund_key=before.refund_key)
                    if (_keys(order) - _keys(before)) & _keys(done):
                        # Another request of ours has refunded it, and has recorded the key of this one.
                        return done
                    raise _Elsewhere("LevelUp: somebody else has refunded this order already")
        if before.case_kind == "refund_unproven" and confirmation is None and self._leases.is_recent(before.sent):
            raise _Resting("refund_impossible", "LevelUp is asked again later")
        # From here on, a refund may arrive at any time within the lease.
        marked = self._store.change_order(order.id, ("refunding",), held=order.held, values=values)
        if marked is None:
            raise in_progress("another request is processing this refund")
        order = marked
        try:
            reported = calls.refund(merchant.token, uuid, confirmation)
        except LevelUpRefused as refusal:
            kind = refund_refusal(refusal.status, refusal.named)
            if kind is None:
                if refusal.code in ("merchant_token_refused", "provider_credentials_refused"):
                    raise
                raise _Unclear(refusal.message) from None
            if kind == "manager" and (before.state != "refunding" or merchant.connection.levelup_id is not None):
                raise
            try:
                found = self._read(calls, merchant, uuid)
            except Failure as failure:
                # The network may have delivered the call twice, and only the second one was refused.
                words = f"{refusal.message}; and the order cannot be read: {failure.message}"
                raise _Unclear(words) from None
            if found is not None and found.refunded_at is not None:
                return self._wholly(order, found, key)
            if found is None and merchant.connection.levelup_id is None:
                raise _Unclear(f"{refusal.message}; and the order cannot be read") from None
            raise _ForGood(refusal, kind) from None
        return self._wholly(order, reported, key)

    def _wholly(
        self, order: StoredOrder, reported: PastOrder, key: SubmissionKey | None = None, **more: str | None
    ) -> StoredOrder:
        """Record a refund of the whole amount, and ``more`` values; ``key``: that of the charge, if it is known.

        :raises _InPart: LevelUp gave back less.
        """
        owed = order.gross if order.doubt is None else json.loads(order.doubt).get("total", 0)
        if reported.given < owed:
            raise _InPart(reported.given, owed)
        return self._refunded(order, reported, key, **more)

    def _read(self, calls: LevelUpSession, merchant: Access, uuid: str) -> PastOrder | None:
        """The order as LevelUp has it now; None: it has none, or does not say which merchant's it is."""
        if merchant.connection.levelup_id is None:
            return None
        try:
            return calls.order(merchant.token, merchant.connection.levelup_id, uuid)
        except LevelUpRefused as refusal:
            if refusal.status == 404:
                return None
            if refusal.code == "merchant_token_refused":
                raise
            raise _Unclear(refusal.message) from None

    def _undone(self, order: StoredOrder, failure: Failure, before: StoredOrder, key: SubmissionKey | None) -> Failure:
        """Record that a refund was not made; returns the failure to report."""
        if isinstance(failure, _Elsewhere):
            return failure
        if isinstance(failure, _Resting):
            self.release(order)
            return refund_impossible(order)
        # If its row is lost, so is the mark of what was sent.
        self._lost_rows.keep(replace(order, sent=self._leases.new()), key)
        found = order
        values, told = self._left_of(order, failure, before)

        def undo(now: StoredOrder) -> Mapping[str, Any]:
            nonlocal found, values, told
            if now.state != "refunding" or now.held != order.held:
                told = pending(failure.message) if "state" in values else told
                return {}
            # Since it was read, something else may have become known of its meal.
            found = now
            values, told = self._left_of(now, failure, before)
            return values

        self._store.change_locked(order.id, undo)
        if values.get("state") == "stuck":
            facts = {"order": order.id, "uuid": order.uuid, "kind": _kind_of(failure), "remedy": SETTLE}
            log.error("refund_impossible", extra=facts)
        elif found.problem is not None:
            log.error("charged_not_submitted_not_refunded", extra={"order": order.id})
        elif order.problem is not None:
            told = pending("the provider has the order after all")
        return told

    def _left_of(self, order: StoredOrder, failure: Failure, before: StoredOrder) -> tuple[dict[str, Any], Failure]:
        """What to record of a refund that was not made, and the failure to report."""
        is_owed, asked_before = order.problem is not None, before.state == "refunding"
        # The request may have ended: somebody has to learn that the charge stays.
        no_meal = is_owed or order.is_canceled
        if isinstance(failure, _InPart) or isinstance(failure, _ForGood) and no_meal:
            part = failure.message if isinstance(failure, _InPart) else None
            what = case(_kind_of(failure), failure.message, uuid=order.uuid, told=part)
            if order.is_made_again:
                what = made_again(order, what)
            stuck: dict[str, Any] = {"state": "stuck", "operator_case": what, "held": None, "sent": before.sent}
            return stuck, refund_impossible(replace(order, **stuck))
        # An earlier attempt that was not answered may still arrive and refund the charge.
        may_arrive = asked_before and not self._leases.has_ended(before.sent)
        if isinstance(failure, _ForGood) and not may_arrive:
            return _as_before(order), _as_of_refund(failure)
        is_unknown = isinstance(failure, (Unanswered, _Unclear, LedgerUnavailable)) and getattr(failure, "sent", True)
        # Nothing of an attempt that was refused, or not sent, may arrive: only of an earlier one.
        values: dict[str, Any] = {"held": None} if is_unknown else {"held": None, "sent": before.sent}
        if no_meal or asked_before or is_unknown:
            values |= self._overdue(order, failure)
        is_told = "operator_case" in values and (isinstance(failure, _ForGood) or KINDS[failure.code].retryable)
        is_final = not asked_before or failure.code == "manager_confirmation_required" and not may_arrive
        order = replace(order, **values)
        if is_owed or is_unknown or not is_final:
            words = "the order was not placed, and its charge is not given back yet: " if is_owed else ""
            failure = pending(words + failure.message)
        else:
            values |= _as_before(order)
        return values, refund_impossible(order) if is_told else failure

    def _overdue(self, order: StoredOrder, failure: Failure) -> dict[str, Any]:
        """What to record of a refund that failed: since when, and a case if its merchant left, or after a day."""
        begun, now = cancellation_of(order), self._clock()
        since = dated(order.open_since or (begun.since if begun else None), now)
        values: dict[str, Any] = {"open_since": since}
        kind: CaseKind
        if failure.code in CUT_OFF:
            kind, told = "not_connected", failure.message
        elif is_old(since, now):
            kind = "refund_refused" if failure.code in NOT_NOW else "refund_unproven"
            # It is reported once, although LevelUp may answer now this, now that.
            kind = next((aged for aged in AGED if aged == order.case_kind), kind)
            told = "LevelUp has not confirmed the refund"
        else:
            return values
        if order.is_made_again or order.case_kind == SUBMITTED_AND_REFUNDED:
            # It is a person's already, who has to know of the meal.
            return values
        message = f"this charge has to go back: {failure.message}"
        return values | {"operator_case": case(kind, message, uuid=order.uuid, told=told)}

    def _refunded(
        self, order: StoredOrder, reported: PastOrder, key: SubmissionKey | None, **more: str | None
    ) -> StoredOrder:
        assert reported.refunded_at is not None
        change = partial(_as_refunded, at=to_ms(reported.refunded_at), more=more)
        try:
            done = self._lost_rows.changed(order, key, partial(self._store.change_locked, order.id, change))
            if done is None:
                # Somebody else has recorded the refund.
                return self._store.order(order.id) or order
        except LedgerUnavailable:
            if more:
                # It depends on what others have recorded.
                raise
            # LevelUp has confirmed it, so it is reported now. The next look records it.
            log.warning("refund_not_recorded", extra={"order": order.id})
            return replace(order, **change(order))
        if done.is_made_again:
            log.error("submitted_and_refunded", extra={"order": order.id, "state": done.state})
        return done


def _as_refunded(order: StoredOrder, at: int, more: Mapping[str, str | None]) -> dict[str, Any]:
    """What to record of a refund, besides ``more``. An order that its provider has is a case."""
    if order.state not in ("refunding", "stuck"):
        return {}
    values: dict[str, Any] = {
        "state": "refunded", "refunded_at": at, "held": None, "cancellation": None, "operator_case": None, **more,
    }  # fmt: skip
    if order.is_made_again:
        values["operator_case"] = made_unpaid(order)
    elif order.case_kind == SUBMITTED_AND_REFUNDED:
        values["operator_case"] = order.operator_case
        if order.submitted is not None:
            values |= found_placed(replace(order, state="refunded"), order.submitted)
    if (requested := cancellation_of(order)) is not None:
        values.setdefault("refund_key", merged(order.refund_key, requested.asked))
    return values


def _as_before(order: StoredOrder) -> dict[str, Any]:
    """What to record of an order of which nothing was refunded: its former state, and what is known of its meal."""
    if order.is_unplaced:
        return {**unplaced(order), "refund_key": None, "open_since": None, "operator_case": None}
    values: dict[str, Any] = {"state": "submitted" if order.submitted is not None else "charged", "refund_key": None}
    if not order.is_canceled:
        # Otherwise it stays owed.
        values["open_since"] = None
        values["operator_case"] = order.operator_case if order.case_kind == UNPROVEN else None
    return {**values, "held": None}


def _kind_of(failure: Failure) -> CaseKind:
    return "refunded_in_part" if isinstance(failure, _InPart) else "refund_refused"


def _keys(order: StoredOrder) -> set[str]:
    """What requested a refund of an order: the key and body of each request."""
    return set((order.refund_key or "").split())


class _Unclear(Failure):
    """LevelUp has answered, but the answer proves nothing."""

    def __init__(self, message: str) -> None:
        super().__init__("refund_pending", message)


class _Elsewhere(Failure):
    """The order had already been refunded by somebody else."""

    def __init__(self, message: str) -> None:
        super().__init__("already_refunded", message)


class _Resting(Failure):
    """It is a case, and LevelUp has not answered the last attempt, which was a moment ago."""


class _ForGood(Failure):
    """LevelUp refuses in a documented form, and the order is not refunded."""

    def __init__(self, refusal: LevelUpRefused, kind: str) -> None:
        super().__init__(refusal.code, refusal.message)
        self.kind = kind


class _InPart(Failure):
    """LevelUp reports a refund of less or more than the whole amount."""

    def __init__(self, refunded: int, charged: int) -> None:
        super().__init__("refund_impossible", f"LevelUp gave back {refunded} of {charged} cents")


def _as_of_refund(failure: _ForGood) -> Failure:
    """Rewrites a refusal for a refund: our charge did succeed, so ``base`` refers to the refund."""
    return Failure("refund_refused" if failure.kind == "not_refundable" else failure.code, failure.message)
