"""Submitting a charged order to its ordering provider: both or neither.

The provider gets an order only while its charge is ours and not abandoned: that is checked last, after the ledger's own
mark. A charge is refunded only when the ledger proves that no provider has the order or can still get it.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, replace
from datetime import datetime
from functools import partial
from typing import Any

from levelup_ov.checkout.attention import What
from levelup_ov.checkout.charged_orders import MEAL, key_of
from levelup_ov.checkout.failed_orders import (
    CLOSED,
    MEAL_UNPROVEN,
    closed,
    found_placed,
    in_progress,
    problem,
    refunded,
    unplaced,
    without,
)
from levelup_ov.checkout.leases import Leases
from levelup_ov.checkout.lost_rows import LostRows
from levelup_ov.checkout.proof import CURRENCY
from levelup_ov.checkout.refunds import Refunds
from levelup_ov.checkout.store import CheckoutStore, StoredOrder
from levelup_ov.domain.checkout import REFUND_TIME, CheckoutOrder, Delivery, OrderState
from levelup_ov.domain.failure import Failure
from levelup_ov.domain.money import Cents
from levelup_ov.domain.outcome import mischarge
from levelup_ov.domain.request import SubmissionRequest
from levelup_ov.errors import meaning_of
from levelup_ov.ledger.engine import LedgerUnavailable
from levelup_ov.ledger.records import Submission, from_ms
from levelup_ov.ordering.attempts import SubmissionKey
from levelup_ov.ordering.outcomes import outcome_unknown
from levelup_ov.ordering.request_context import RequestContext
from levelup_ov.ordering.service import Service
from levelup_ov.transport.deadline import Deadline

UNDECIDED = ("outcome_unknown", "submission_in_progress", "ledger_unavailable")
"""Failures that the next identical request resolves: the order may exist, or was not sent yet."""

log = logging.getLogger(__name__)


class Submitter:
    """Submits charged orders; ``clock`` returns the current time, aware."""

    def __init__(
        self,
        store: CheckoutStore,
        service: Service,
        refunds: Refunds,
        leases: Leases,
        lost_rows: LostRows,
        clock: Callable[[], datetime],
    ) -> None:
        self._store = store
        self._service = service
        self._refunds = refunds
        self._leases = leases
        self._lost_rows = lost_rows
        self._clock = clock

    def outline(
        self, order: StoredOrder, asked: CheckoutOrder, delivery: Delivery, context: RequestContext
    ) -> Mapping[str, Any]:
        """What the ledger is to keep, with the charge of ``order``, of the meal that follows it."""
        submission = submission_of(delivery, asked, order.discount)
        return {MEAL: self._service.keys.outline(delivery.provider_location_id, submission, key_of(order), context)}

    def located(self, delivery: Delivery, context: RequestContext) -> tuple[Delivery, Failure | None]:
        """``delivery`` with the published id of its location, which counts from then on; why it is not known.

        Only what was charged before goes on if it is not known.
        """
        routing, not_found = self._service.routing, None
        try:
            place = routing.certain_id(delivery.provider_location_id, context)
        except Failure as failure:
            place, not_found = routing.published_id(delivery.provider_location_id), failure
        return replace(delivery, provider_location_id=place), not_found

    def check(self, order: CheckoutOrder, delivery: Delivery, context: RequestContext) -> None:
        """Refuse what can be refused before anything is charged. :raises Failure: why."""
        validation = self._service.keys.validation_id(delivery.provider_location_id, delivery.submission.order)
        if validation is not None and validation.expired(self._clock()):
            path = "$.order_submission.metadata.order_validation_id"
            raise Failure("order_validation_expired", "the order was validated too long ago", path=path)
        self._service.check_submission(
            delivery.provider_location_id, submission_of(delivery, order, 0), context, charged_in=CURRENCY
        )

    def deliver(
        self,
        order: StoredOrder,
        asked: CheckoutOrder,
        delivery: Delivery,
        key: SubmissionKey,
        context: RequestContext,
        is_new: bool,
        is_found: bool,
    ) -> StoredOrder:
        """Submit a charged order; ``key``: that of its charge; for ``is_new`` see :meth:`settle`.

        ``is_found``: an earlier request may have charged it, so before it is sent, its charge is read.

        :raises Failure: why it was refunded, or that the outcome is unknown.
        """
        if order.state == "submitted":
            return order
        if order.problem is not None:
            order = self._look_again(order, context)
        if order.state in CLOSED:
            raise closed(order)
        if order.problem is not None:
            # The site may refund a submitted order itself: then there is no problem to report.
            if order.state == "refunding":
                raise refunded(self._refunds.take(order, context))
            if order.submitted is None:
                with suppress(LedgerUnavailable):
                    self._store.free_names(order.id)
            raise refunded(order)
        if order.state in ("refunding", "refunded"):
            return order
        # The request that has just charged it already has the lease.
        take = partial(self._leases.take, order, held=order.state == "charged", state="submitting")
        taken = self._lost_rows.changed(order, key, take)
        if taken is None:
            raise in_progress("this order is being submitted")
        # An earlier request has charged it, and may have submitted it.
        may_be_lost, was_sent = context.replayed, True
        try:
            try:
                answer, expected, is_replay = self._submit(taken, asked, delivery, context, is_found)
            except Failure as failure:
                refusal = failure
                if not isinstance(failure, _CalledOff):
                    self._check_not_submitted(taken, failure)
                    was_sent = False
                    if may_be_lost and (found := self._find(taken, context, is_new)) is not None:
                        return self._submitted(taken, found, key)
            else:
                done = self._submitted(taken, answer, key, expected)
                return self._still_submitted(done) if is_replay else done
        except BaseException:
            with suppress(LedgerUnavailable):
                self._lost_rows.keep(taken, key)
            self._release(taken, is_new and not was_sent)
            raise
        kept = refusal
        if delivery.submission.order.delivery_address is not None:
            # The provider may have quoted the address in a spelling that nothing recognizes (DELIVERY-4).
            kept = Failure(refusal.code, meaning_of(refusal.code))
        raise refunded(self._give_up(taken, kept, key, context), told=refusal.message)

    def settle(self, order: StoredOrder, context: RequestContext, is_new: bool) -> StoredOrder:
        """Continue an order that was charged and, as far as known, not submitted; submits nothing.

        ``is_new``: its charge was not known before, so nobody has begun to submit it, unless the database has lost
        even that it was found.

        :raises Failure: it is still unknown whether the provider has it, or the refund failed.
        """
        taken = self._leases.take(order, ("charged", "submitting"), state="submitting")
        if taken is None:
            raise in_progress("another request is processing this order")
        try:
            answer = self._find(taken, context, is_new)
        except _CalledOff as failure:
            return self._give_up(taken, failure, None, context)
        except BaseException:
            self._release(taken, is_new)
            raise
        if answer is not None:
            return self._still_submitted(self._submitted(taken, answer, None))
        why = Failure("charge_refunded", "the order was charged, but never reached the provider")
        return self._give_up(taken, why, None, context)

    def _submit(
        self,
        order: StoredOrder,
        asked: CheckoutOrder,
        delivery: Delivery,
        context: RequestContext,
        is_found: bool,
    ) -> tuple[Mapping[str, Any], Cents | None, bool]:
        """The provider's answer, what it was asked to charge, if that is known, and whether it is a replay."""
        # The submission has the order's id instead of the request's, so that it can be found by it. It also has the
        # order's identities (SUB-3): a submission of one of them to the plain endpoint gets this same meal.
        left = max(context.deadline.remaining() - REFUND_TIME, 0)
        inner = RequestContext(Deadline(left), order.id, calls=context.calls, ahead=context.ahead)

        def look() -> None:
            if is_found:
                self._refunds.check_standing(order, inner)
            if not self._leases.still_ours(order):
                raise in_progress("another request is processing this order")

        try:
            submitted = self._service.submit_order(
                delivery.provider_location_id,
                submission_of(delivery, asked, order.discount),
                key_of(order),
                inner,
                last_look=look,
                is_ours=True,
                is_paid=True,
            )
        finally:
            context.account, context.location, context.provider = inner.account, inner.location, inner.provider
        if inner.replayed:
            self._check_not_called_off(self._submitted_before(order))
        return asdict(submitted), inner.expected_charge, inner.replayed

    def _release(self, order: StoredOrder, is_new: bool) -> None:
        """Release the lease; with ``is_new`` the order is as if nobody had begun to submit it, which is so."""
        if not is_new:
            self._refunds.release(order)
            return
        values = {"state": "charged", "held": None}
        with suppress(LedgerUnavailable):
            self._store.change_order(order.id, ("submitting",), held=order.held, values=values)

    def _check_not_submitted(self, order: StoredOrder, failure: Failure) -> None:
        """Return only if no provider can have the order after this failure.

        This try may have ended before asking the ledger, and an earlier one may have placed the order.

        :raises Failure: the order may exist.
        """
        if failure.code in UNDECIDED:
            raise failure
        if any(submission.state != "not_placed" for submission in self._submitted_before(order)):
            raise outcome_unknown(f"the order may exist, and this could not be determined: {failure.message}")

    def _check_not_called_off(self, submissions: Iterable[Submission]) -> None:
        """:raises _CalledOff: nobody makes this order, although it was placed."""
        if any(map(self._service.tracking.is_called_off, submissions)):
            raise _CalledOff("order_refused", "this order was placed before, and has been canceled since")

    def _look_again(self, order: StoredOrder, context: RequestContext) -> StoredOrder:
        """An order that was not placed, as far as known, and is refunded.

        :raises Failure: ``outcome_unknown``: that it was not placed was taken back.
        """
        if unknown := [each for each in self._submitted_before(order) if each.state == "unknown"]:
            for submission in unknown:
                self._service.look_ups.reconcile(submission, context)
            return self._store.order(order.id) or order
        return order

    def _submitted_before(self, order: StoredOrder) -> list[Submission]:
        """The submissions of an order to its provider: its own, or others with one of its identities."""
        place = order.provider_location_id or ""
        found = self._service.keys.submitted_under(place, key_of(order))
        # Without the secret key of that time, none has this identity.
        return list(found or self._service.keys.submitted_for(place, order.id))

    def _find(self, order: StoredOrder, context: RequestContext, is_new: bool) -> Mapping[str, Any] | None:
        """The provider's answer for an order; None: it is proven that the provider has none.

        For ``is_new`` see :meth:`settle`.

        :raises Failure: it cannot be found now.
        """
        found = self._submitted_before(order)
        if all(each.state == "not_placed" and each.ended == "unsent" for each in found):
            # A database that has gone back has no record of what was sent since, so the provider is asked.
            suspected = self._suspected(order, found, context, is_new)
            found = [] if suspected is None else [suspected]
        for submission in found:
            if submission.state in ("claimed", "sending"):
                raise in_progress("this order is being submitted")
            if submission.state == "placed":
                self._check_not_called_off([submission])
                return json.loads(submission.answer or "{}")
            if submission.state == "unknown":
                settlement = self._service.look_ups.reconcile(submission, context)
                if settlement is not None:
                    return settlement.answer
        return None

    def _suspected(
        self, order: StoredOrder, found: Sequence[Submission], context: RequestContext, is_new: bool
    ) -> Submission | None:
        """The submission of an order, if the ledger says that it was not sent; None: it was not, for ``is_new``.

        There is a row of it only if somebody can settle it. If its provider cannot prove that it has no such order, the
        next identical request places it, under the same reference, and until then it is a person's.

        :raises Failure: ``outcome_unknown``.
        """
        charge = self._service.submissions.ledger.reader.show(order.id)
        outline = dict(((charge and charge.trace) or {}).get(MEAL, {}))
        if found and found[0].content:
            outline |= {"content": found[0].content[0], "alike": (found[0].alike or found[0].content)[0]}
        inner = RequestContext(context.deadline, order.id, calls=context.calls)
        place, at = order.provider_location_id or "", from_ms(order.created_at)
        keys, look_ups, submissions = self._service.keys, self._service.look_ups, self._service.submissions
        if look_ups.can_ask(place) and keys.has_one_reference(at):
            key = keys.lost_key(place, key_of(order), outline, at, inner)
            is_proof = look_ups.proves_absence(place) and not is_new
            if is_proof or look_ups.has_unrecorded(key.location, submissions.next_reference(key), inner):
                return submissions.suspect(key)
        if is_new:
            return None
        why = "its provider cannot prove that it does not have this order"
        if not look_ups.can_ask(place):
            why = "its account is not configured here, or its provider cannot be asked for an order"
        raise Unprovable("outcome_unknown", why)

    def _submitted(
        self, order: StoredOrder, answer: Mapping[str, Any], key: SubmissionKey | None, expected: Cents | None = None
    ) -> StoredOrder:
        """Record that the provider has the order. This needs no lease, because it is a fact.

        ``key``: that of its charge, if it is known; ``expected``: what the provider was asked to charge.

        :raises Failure: ``outcome_unknown``: its charge has been abandoned in the meantime.
        """
        written = json.dumps(answer)
        notify: What | None = "charge_mismatch" if self._is_mischarged(order, expected) else None
        values: dict[str, Any] = {"state": "submitted", "submitted": written, "held": None, **_known(order)}
        sources: tuple[OrderState, ...] = ("submitting", "charged")
        change = partial(self._store.change_order, order.id, sources, values=values, notify=notify)
        try:
            done = self._lost_rows.changed(order, key, change)
        except LedgerUnavailable:
            if self._leases.has_ended(order.held):
                raise
            # Nobody can have abandoned its charge, so it is reported now, and the ledger is reconciled later.
            log.warning("submitted_but_not_recorded", extra={"order": order.id})
            return replace(order, **values)
        if done is not None:
            return done
        now = self._store.order(order.id) or order
        if now.state == "submitted":
            return now
        facts = {"order": order.id, "state": now.state}
        log.error("submitted_and_refunded", extra=facts)
        self._store.change_locked(order.id, partial(found_placed, answer=written))
        raise outcome_unknown("the provider has the order, but its charge was abandoned")

    def _is_mischarged(self, order: StoredOrder, expected: Cents | None) -> bool:
        """Whether its provider has another price than the user has paid (PAY-4). The order exists nevertheless."""
        submissions = list[Submission]()
        with suppress(LedgerUnavailable):
            if expected is None or expected != order.user_pays:
                submissions = [each for each in self._submitted_before(order) if each.state == "placed"]
        prices = (expected, *(known for each in submissions for known in (each.expected_charge, each.charged)))
        price = next((known for known in prices if known is not None), None)
        if mischarge(price, order.user_pays) is None:
            return False
        log.error(
            "charge_mismatch", extra={"order": order.id, "expected_charge": price, "charged": order.user_pays}
        )  # fmt: skip
        with suppress(LedgerUnavailable):
            for submission in submissions:
                self._service.submissions.ledger.findings.note_charge(submission.id, order.user_pays)
        return True

    def _still_submitted(self, order: StoredOrder) -> StoredOrder:
        """``order``, after its recorded outcome was recorded with it.

        :raises Failure: ``outcome_unknown``: a person has taken that outcome back since it was read.
        """
        states = {submission.state for submission in self._submitted_before(order)}
        if "unknown" not in states or "placed" in states:
            return order
        self._store.change_locked(
            order.id, lambda now: unplaced(now) if (now.state, now.submitted) == ("submitted", order.submitted) else {}
        )
        raise outcome_unknown("it is unknown again whether the provider has the order")

    def _give_up(
        self, order: StoredOrder, failure: Failure, key: SubmissionKey | None, context: RequestContext
    ) -> StoredOrder:
        """Refund an order that no provider has; for ``key`` see :meth:`_submitted`.

        :raises Failure: ``refund_pending``, ``refund_impossible``.
        """
        values = {"state": "refunding", "problem": problem(failure), "held": self._leases.new(), **_known(order)}
        give_up = partial(self._store.change_order, order.id, ("submitting",), held=order.held, values=values)
        taken = self._lost_rows.changed(order, key, give_up)
        if taken is None:
            raise in_progress("another request is processing this order")
        facts = {"order": order.id, "code": failure.code}
        log.warning("charge_refunded_order_not_at_provider", extra=facts)
        try:
            return self._refunds.take_back(taken, None, context, before=order)
        finally:
            if key is not None:
                with suppress(LedgerUnavailable):
                    self._lost_rows.keep_charge(taken, key)


def _known(order: StoredOrder) -> dict[str, Any]:
    """What to record of an order once it is known whether its provider has it."""
    return {"open_since": None, "operator_case": without(MEAL_UNPROVEN, order)}


class Unprovable(Failure):
    """Nothing proves any more whether the provider has an order, unless it is sent again."""


class _CalledOff(Failure):
    """The order was placed, and was canceled or refused before its charge was recorded as its own."""


def submission_of(delivery: Delivery, order: CheckoutOrder, discount: Cents) -> SubmissionRequest:
    """The provider's order. LevelUp's discount is merchant-funded: the provider subtracts it from the check."""
    submission = delivery.submission
    return replace(submission, order=replace(submission.order, tip=order.check.tip, merchant_funded_discount=discount))
