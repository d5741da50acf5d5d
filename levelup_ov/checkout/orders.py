"""Charging, submitting and refunding: the use cases, and what is left to do for an order in each state.

Nothing is charged twice, nothing stays charged without an order, and nothing unproven is reported. The row of an order
says what is left to do; a request that processes it has its lease. So the next identical request, or the command, can
continue after any step.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime, timedelta
from math import ceil
from typing import Any

from levelup_ov import sealing
from levelup_ov.checkout import amounts
from levelup_ov.checkout.authorization import digest
from levelup_ov.checkout.canceling import Canceler
from levelup_ov.checkout.cancellation import bound_bodies, cancellation_of, dated, is_old, merged
from levelup_ov.checkout.charged_orders import is_new, settlement
from levelup_ov.checkout.charges import Absence, Charges, body_of
from levelup_ov.checkout.client import LevelUpClient, Loyalty, MerchantCredit
from levelup_ov.checkout.connections import Connections
from levelup_ov.checkout.failed_orders import (
    CANCELED,
    CHARGE_UNPROVEN,
    CLOSED,
    MEAL_UNPROVEN,
    SETTLE,
    case,
    case_of,
    closed,
    in_progress,
    pending,
    problem,
    refunded,
    settlement_note,
)
from levelup_ov.checkout.leases import Leases
from levelup_ov.checkout.lost_rows import LostRows
from levelup_ov.checkout.proof import UUID, one_case
from levelup_ov.checkout.refunds import Refunds
from levelup_ov.checkout.store import LOOKS, CheckoutStore, Connected, StoredOrder, UuidTaken
from levelup_ov.checkout.submitting import Submitter, Unprovable
from levelup_ov.domain.checkout import LEDGER_ACCOUNT, CheckoutOrder, Delivery, OrderAmounts
from levelup_ov.domain.failure import Failure
from levelup_ov.domain.money import Cents
from levelup_ov.domain.secret import Secret
from levelup_ov.errors import Refused
from levelup_ov.ledger import identity, limits
from levelup_ov.ledger.engine import LedgerUnavailable
from levelup_ov.ledger.records import Submission, to_ms
from levelup_ov.ordering.attempts import Attempt, SubmissionKey
from levelup_ov.ordering.outcomes import Settlement, outcome_unknown
from levelup_ov.ordering.reconciling import Disproved
from levelup_ov.ordering.request_context import RequestContext
from levelup_ov.ordering.service import Service
from levelup_ov.ordering.submissions import Submissions
from levelup_ov.sealing import Sealer
from levelup_ov.transport.connections import OwnConnections
from levelup_ov.transport.deadline import Deadline

__all__ = ["Orders", "Preview"]

CHARGING_SHARE = 0.4
"""The part of a request's time that charging may take if the order is then submitted to a provider."""

MOST_OPEN = 20_000
"""The most open submissions of the ledger that are looked through for charges."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Preview:
    """A preview of an order; ``credit``: all credit of the user, ``discount``: what would be applied."""

    amounts: amounts.Amounts
    tip: Cents
    discount: Cents
    credit: Cents
    loyalty: Loyalty | None
    campaigns: Sequence[Mapping[str, Any]]
    merchant_credit: MerchantCredit | None

    @property
    def total(self) -> Cents:
        """Spend and tip before the discount."""
        return self.amounts.spend + self.tip

    @property
    def user_pays(self) -> Cents:
        """What is left after the discount."""
        return self.total - self.discount

    @property
    def gift_card(self) -> Cents | None:
        """What a gift card would pay of it; None if LevelUp does not say."""
        return None if self.merchant_credit is None else min(self.merchant_credit.gift_card, self.user_pays)

    @property
    def global_credit(self) -> Cents | None:
        """What credit of LevelUp's own would pay of the rest."""
        if self.merchant_credit is None or self.gift_card is None:
            return None
        own = max(0, self.credit - self.merchant_credit.discount - self.merchant_credit.gift_card)
        return min(own, self.user_pays - self.gift_card)

    @property
    def card(self) -> Cents | None:
        """What is left for the card."""
        if self.gift_card is None or self.global_credit is None:
            return None
        return self.user_pays - self.gift_card - self.global_credit


class Orders:
    """Everything about orders.

    ``max_age``: a charge that no request waits for is refunded at this age. ``clock`` returns the current time, aware.
    """

    def __init__(
        self,
        store: CheckoutStore,
        levelup: LevelUpClient,
        connections: Connections,
        service: Service,
        keys: Sequence[Secret],
        leases: Leases,
        max_age: timedelta,
        clock: Callable[[], datetime],
    ) -> None:
        self._store = store
        self._levelup = levelup
        self._connections = connections
        self._service = service
        self._submissions: Submissions = service.submissions
        self._identity_keys = [sealing.derive(key, "identity") for key in keys]
        self._first_kept = sealing.derive(keys[0], "reference")
        self._body_keys = [sealing.derive(key, "levelup checkout refund") for key in keys]
        self._leases = leases
        self._clock = clock
        sealer = Sealer(keys, "levelup checkout order")
        self._lost_rows = LostRows(store, self._submissions, leases, clock)
        self._charges = Charges(store, levelup, connections, leases, self._lost_rows, sealer, max_age, clock)
        self._refunds = Refunds(store, levelup, connections, leases, self._lost_rows, clock)
        self._submitter = Submitter(store, service, self._refunds, leases, self._lost_rows, clock)
        self._canceler = Canceler(store, service, self._refunds, leases, self._lost_rows, clock)

    def preview(self, order: CheckoutOrder, context: RequestContext) -> Preview:
        """A preview of ``order``. :raises Failure: like :meth:`charge`."""
        amounts.check_amounts(order.check, order.discount)
        merchant, user = self._charges.accesses(order, self._store.connections_of(order.merchant, order.user))
        try:
            with self._levelup.calls(context.deadline, context.calls) as calls:
                proposal = calls.propose(merchant.token, user.token, body_of(order, amounts.proposed(order.check)))
                credit = calls.credit(user.token, order.location_id)
                try:
                    merchant_credit = calls.merchant_credit(user.token, order.location_id)
                except Refused:
                    # Who pays is only for display, unlike the amounts.
                    merchant_credit = None
                loyalty = None
                if merchant.connection.levelup_id is not None:
                    loyalty = calls.loyalty(user.token, merchant.connection.levelup_id)
                campaigns = [
                    # The last one listed is the most specific.
                    {"id": number, "representation_type": kinds[-1], **calls.campaign(user.token, number, kinds[-1])}
                    for number, kinds in calls.campaigns(user.token, order.location_id)
                    if kinds
                ]
        except Failure as failure:
            self._connections.token_refused(failure, merchant, user, order.location_id, context)
            raise
        discount = amounts.applied_discount(order.check, order.discount, proposal.discount)
        sent = amounts.completed(order.check, discount)
        return Preview(sent, order.check.tip, discount, credit, loyalty, campaigns, merchant_credit)

    def charge(
        self,
        order: CheckoutOrder,
        delivery: Delivery | None,
        key: str,
        context: RequestContext,
        *,
        last_look: Callable[[], None] | None = None,
    ) -> StoredOrder:
        """Charge ``order`` at most once under ``key``, and submit it if there is a ``delivery``.

        ``context.replayed`` says whether it had been charged before. ``last_look`` is called each time just before the
        charge is made, after the ledger's mark. If it raises a failure, nothing is charged.

        :raises Failure: why it was not charged; that the outcome is unknown; or why it was refunded.
        """
        waiting = self._leases.new()
        deadline, spelled, not_found = context.deadline, delivery, None
        if delivery is not None:
            deadline = Deadline(context.deadline.remaining() * CHARGING_SHARE)
            delivery, not_found = self._submitter.located(delivery, context)

        context.ahead = ahead = OwnConnections()
        made: StoredOrder | None = None

        def place_order(attempt: Attempt) -> Settlement:
            nonlocal made
            attempt.also = last_look
            amounts.check_amounts(order.check, order.discount)
            if delivery is not None:
                self._submitter.check(order, delivery, context)
                # While LevelUp charges.
                self._service.routing.open_ahead(delivery.provider_location_id, ahead, context.deadline)
            made, settlement = self._charges.place(
                order, delivery, connected, attempt, named, deadline, context, outline
            )
            return settlement

        def outline(charged: StoredOrder) -> Mapping[str, Any]:
            return {} if delivery is None else self._submitter.outline(charged, order, delivery, context)

        with limits.within(context.deadline.remaining()), closing(ahead):
            connected = self._store.connections_of(order.merchant, order.user)
            named = self._key(order, delivery, spelled, key, connected.get(order.merchant), context)
            if not_found is not None and not self._submissions.knows(named):
                raise not_found
            look_up = _LookUp(
                self._store, self._charges, _within(context, deadline), waiting,
                find_lost=lambda submission: self._charges.find_lost(submission, order, delivery),
            )  # fmt: skip
            settlement = self._submissions.submit(
                named,
                place_order,
                look_up.find,
                deadline=context.deadline,
                give_up=look_up.give_up,
                calls=context.calls,
            )
            context.replayed = settlement.replayed
            if delivery is None and not settlement.is_recorded:
                # Who asks again is told. If nobody does, the command must know that nobody was.
                raise outcome_unknown("the order was charged, and the ledger fails")
            if delivery is None and self._leases.has_ended(waiting):
                # This host was suspended. Nobody waits for this answer, and the charge goes back if nobody asks again.
                raise outcome_unknown("the order was charged, but too late: ask again")
            try:
                if made is not None and self._leases.has_ended(waiting):
                    # This host was suspended, and the command may have settled it as one that nobody waits for.
                    made = None
                charged = made or self.show(settlement.answer["order"])
                is_found = made is None
                return self._continue(charged, order, delivery, named, context, look_up.is_new, is_found)
            except LedgerUnavailable:
                raise outcome_unknown("the order was charged, and the ledger fails") from None

    def _continue(
        self,
        charged: StoredOrder,
        order: CheckoutOrder,
        delivery: Delivery | None,
        key: SubmissionKey,
        context: RequestContext,
        was_new: bool,
        is_found: bool,
    ) -> StoredOrder:
        """What is to be answered for a charged order; see :meth:`charge`. ``was_new``: until this request found it.

        ``is_found``: an earlier request may have made the charge.
        """
        if delivery is not None:
            if not was_new and context.replayed and charged.state == "charged":
                was_new = is_new(self._submissions.ledger.reader.show(charged.id), charged)
            return self._submitter.deliver(charged, order, delivery, key, context, was_new, is_found)
        if charged.is_untold:
            charged = self._check_standing(charged, context)
        charged = self._told(charged)
        if charged.state in CLOSED:
            raise closed(charged)
        if charged.problem is not None and charged.state in ("refunding", "refunded"):
            raise refunded(self._refunds.take(charged, context) if charged.state == "refunding" else charged)
        return charged

    def charged_under(self, merchant: str, key: str) -> tuple[Submission, ...]:
        """The ledger's rows of the charges for a connected merchant under a key, in any state.

        Also those that were made under secret keys that were dropped since.
        """
        keys = [*self._identity_keys, self._submissions.kept_key(self._first_kept)]
        named = identity.identities(_scope(merchant), content=b"", keys=keys, idempotency_key=key)
        return self._submissions.ledger.reader.named(named)

    def show(self, id: str) -> StoredOrder:
        """An order by its UUID or our id. :raises Failure: ``order_not_found``."""
        if (order := self._store.order(one_case(id))) is None:
            raise Failure("order_not_found", "no such order was made through this service")
        return order

    def tell(self, id: str) -> StoredOrder:
        """:meth:`show` for a site, which has learned of the charge then. :raises Failure: ``order_not_found``."""
        self._note_known(self.show(id))
        # Read anew: the command may just have noted that nobody was told.
        return self._told(self.show(id))

    def refund(self, id: str, key: str, confirmation: Secret | None, context: RequestContext) -> StoredOrder:
        """Refund a whole order, once; ``context.replayed`` says whether this ``key`` has done so before.

        :raises Failure: ``order_not_found``, ``outcome_unknown``, ``already_refunded``, ``idempotency_key_reused``,
            ``submission_in_progress``, ``refund_pending``, ``refund_impossible``, or LevelUp's refusal.
        """
        with limits.within(context.deadline.remaining()):
            return self._refund(self.show(id), key, confirmation, context)

    def cancel(self, id: str, key: str, confirmation: Secret | None, context: RequestContext) -> StoredOrder:
        """Cancel an order at its provider, and refund it like :meth:`refund` once that is proven (STAT-6).

        :raises Failure: as :meth:`refund`, or why it is not known to be canceled; it is not refunded then.
        """
        with limits.within(context.deadline.remaining()):
            order = self.show(id)
            if order.provider_location_id is None:
                raise Failure("order_not_found", "this order was not submitted to a provider")
            asked = self._asked(order, key, confirmation)
            if order.state in CLOSED:
                # A person decides, or has decided, about its charge, so the guest keeps the meal.
                raise closed(order)
            if order.submitted is None:
                # Nothing was canceled, so nothing is refunded if it has been submitted in the meantime.
                return self._refund(order, key, confirmation, context)
            if order.state in ("submitted", "refunding"):
                # Without the merchant's token, the order would be canceled and its charge would stay.
                self._connections.access_again("merchant", order.merchant, context)
            self._canceler.cancel(order, asked, context)
            try:
                return self._refund(self.show(id), key, confirmation, context)
            except LedgerUnavailable:
                raise pending(CANCELED) from None

    def _refund(
        self, order: StoredOrder, key: str, confirmation: Secret | None, context: RequestContext
    ) -> StoredOrder:
        """Refund an order, if its state is still the one that was read; see :meth:`refund`."""
        asked = self._asked(order, key, confirmation)
        if order.state == "refunded":
            # A request that was made before the outcome was known now gets it.
            if digest(key) not in bound_bodies(order):
                raise Failure("already_refunded", "this order has been refunded")
            context.replayed = True
            return order
        if order.state == "charging":
            raise outcome_unknown("it is not known yet whether this order was charged", self._leases.left(order.sent))
        if order.state == "not_charged":
            raise Failure("order_not_found", "this order was not charged")
        if order.state in CLOSED:
            raise closed(order)
        values: dict[str, Any] = {
            "state": "refunding", "refund_key": merged(asked, order.refund_key), "look_at": None,
        }  # fmt: skip
        self._note_known(order)
        waiting = order.state == "submitting" or order.state == "charged" and order.is_to_be_submitted
        done = order.state in ("charged", "submitted")
        try:
            taken = None if waiting else self._leases.take(order, held=done, **values)
        except LedgerUnavailable:
            if order.state == "refunding":
                raise pending("an earlier request may have refunded this order") from None
            raise
        if taken is None:
            if waiting and self._leases.has_ended(order.held):
                raise in_progress("it is not known yet whether the provider has this order")
            raise in_progress("another request is processing this order")
        return self._refunds.take_back(taken, confirmation, context, before=order)

    def reconcile(self, order: StoredOrder, context: RequestContext) -> StoredOrder:
        """Finish an interrupted order; submits nothing, and refunds what was not submitted.

        :raises Failure: why it is still unfinished, or that a person must settle it.
        """
        try:
            if self._is_looked_for(order):
                raise in_progress("another request is looking for this charge")
            order = self._finish(order, context)
        except Failure as failure:
            order = self._overdue(self.show(order.id), failure)
            if not order.open_cases:
                raise
        if order.open_cases:
            what = case_of(order)
            log.error(
                "order_needs_settling",
                extra={"order": order.id, "uuid": order.uuid, "kind": what["kind"], "remedy": SETTLE},
            )
            raise Failure("refund_impossible", f"a person must settle it: {what['message']}")
        return order

    def find(self, id: str, context: RequestContext) -> StoredOrder | None:
        """An order that was to be submitted, for somebody who only asks: finished as :meth:`reconcile` does.

        None: it was not charged.

        :raises Failure: it is not known now, or why it was refunded.
        """
        with limits.within(context.deadline.remaining()):
            order = self._finish(self.show(id), context)
        if order.state == "not_charged":
            return None
        if order.state in CLOSED:
            raise closed(order)
        if order.problem is not None:
            raise refunded(order)
        if order.submitted is None and order.state != "refunded":
            raise outcome_unknown("it is not known whether this order was charged, or submitted")
        return order

    def _finish(self, order: StoredOrder, context: RequestContext) -> StoredOrder:
        if order.case_kind == "charge_unproven" and self._leases.is_recent(order.sent):
            return order
        just_charged = order.state == "charging"
        submission = self._submissions.ledger.reader.show(order.id)
        was_new = is_new(submission, order)
        if submission is not None and submission.state == "unknown":
            self._settle_submission(submission, context)
            order = self.show(order.id)
        elif just_charged:
            order = self._settle_charge(order, submission, context)
        if order.is_untold:
            if order.is_unfinished(to_ms(self._clock())):
                why = Failure("charge_refunded", "the charge was found after its request had ended")
                order = self._give_back(order, why)
        elif (
            not just_charged
            and order.state == "not_charged"
            and order.look_at is not None
            and case_of(order)["kind"] in ("", "not_connected", "charge_unproven")
        ):
            order = self._charges.look_again(order, context)
        if order.state == "stuck":
            order = self._refunds.look(order, context)
        if self._canceler.is_left(order):
            order = self._canceler.finish(order, context)
        elif order.state == "refunding":
            order = self._refunds.take(order, context)
        elif order.state == "submitting" or order.state == "charged" and order.is_to_be_submitted:
            order = self._submitter.settle(order, context, was_new)
        return order

    def unfinished(self, limit: int) -> list[StoredOrder]:
        """The orders for :meth:`reconcile`, longest waiting first, without those being processed right now."""
        found = self._store.unfinished_orders(to_ms(self._clock()), limit)
        found += self._unrecorded({order.id for order in found})

        def is_processed(order: StoredOrder) -> bool:
            is_canceled = order.state == "submitted" and self._canceler.is_under_way(order)
            is_held = not self._leases.has_ended(order.held) and not self._is_looked_for(order)
            return not order.open_cases and (is_canceled or is_held)

        return [order for order in found if not is_processed(order)]

    def _is_looked_for(self, order: StoredOrder) -> bool:
        """Whether a request is looking for a charge of unknown outcome, as others may have done all the time before."""
        is_first = to_ms(self._clock()) - order.created_at < self._leases.lease
        is_held = not self._leases.has_ended(order.held)
        return order.state == "charging" and not order.open_cases and not is_first and is_held

    def tried(self, order: StoredOrder) -> None:
        """Move this order behind the others in the next run."""
        self._store.change_order(order.id, (order.state,), values={"tried_at": to_ms(self._clock())})

    def operator_cases(self) -> list[StoredOrder]:
        """The orders that a person must settle."""
        return self._store.operator_cases()

    def to_settle(self, id: str) -> StoredOrder:
        """An order for a person who is to settle it.

        :raises Failure: ``order_not_found``, ``invalid_member``, ``submission_in_progress``: it cannot be settled now.
        """
        order = self.show(id)
        if not order.open_cases and not self._canceler.is_open(order):
            raise Failure("invalid_member", f"this order needs no settling; its state is {order.state}")
        # A request may have ended, and what it sent may still arrive.
        begun = cancellation_of(order)
        marks = (order.held, order.sent, begun.mark if begun else None)
        if left := ceil(max(map(self._leases.left, marks))):
            raise in_progress(f"another request is processing this order; try again in {left} seconds")
        return order

    def settle(
        self, shown: StoredOrder, by: str, why: str, context: RequestContext, uuid: str | None = None
    ) -> StoredOrder:
        """Close the case that a person was shown: ``by`` has settled it, ``why`` says how.

        ``uuid``: the charge that the person found, if none was proven; it is then processed like any other.

        :raises Failure: as :meth:`to_settle`, or it is another case by now, or the charge of another order, or LevelUp
            does not show it.
        """
        order = self.to_settle(shown.id)
        if (now := _what_is_open(order)) != (was := _what_is_open(shown)):
            raise in_progress(f"nothing was settled: this order was {was}, and is {now} by now")
        if uuid is not None and order.uuid is not None:
            raise Failure("invalid_member", f"this order's charge is known: {order.uuid}")
        if uuid is not None and not UUID.fullmatch(uuid):
            raise Failure("invalid_member", "this is not a UUID")
        if uuid is not None:
            uuid = one_case(uuid)
            if self._store.known_uuids([uuid]):
                raise _of_another(uuid)
            self._refunds.check_found(order, uuid, context)
        note = settlement_note(by, why, self._clock(), order)
        values: dict[str, Any] = {
            "operator_case": None, "cancellation": None, "settled": note, "body": None, "look_at": None, "held": None,
            "open_since": None,
        }  # fmt: skip
        if uuid is not None:
            nobody_waits = Failure("charge_refunded", "the charge was found after it was abandoned")
            # What it was for is read where it is refunded.
            doubt = order.doubt or json.dumps({"found_by": by})
            values |= {
                "state": "refunding", "uuid": uuid, "total": order.gross, "doubt": doubt,
                "problem": problem(nobody_waits),
            }  # fmt: skip
        elif order.state not in ("not_charged", "refunded"):
            values["state"] = "settled"
        elif order.state == "not_charged" and order.looks < len(LOOKS):
            # Something of it may still arrive: the looks that are left go on, without what this person has seen.
            del values["body"]
            values["look_at"] = to_ms(self._clock() + LOOKS[order.looks])
            values["seen"] = " ".join(filter(None, (order.seen, *case_of(order).get("found", ()))))
        try:
            done = self._store.change_as_read(order, values, "held", "cancellation", "operator_case", "called_off_at")
        except UuidTaken:
            raise _of_another(str(uuid)) from None
        if done is None:
            raise in_progress("another request is processing this order")
        log.warning("order_settled_by_hand", extra={"order": order.id, "by": by})
        submission = self._submissions.ledger.reader.show(order.id)
        if done.state != "not_charged" and submission is not None and submission.state == "unknown":
            # Now its key charges nothing more, and its content is free for another one.
            self._submissions.reconciler.reconcile(submission, lambda _: settlement(done))
        return done

    def _overdue(self, order: StoredOrder, failure: Failure) -> StoredOrder:
        """Record that it is still unknown whether an order was charged, or placed; after a day it is a person's.

        So is a charge that was ruled out, and cannot be looked for again; and at once a meal that can never be found.
        """
        if order.state == "charging" or order.state == "not_charged" and order.look_at is not None:
            kind, what = CHARGE_UNPROVEN, "charged"
        elif order.state == "submitting" or order.state == "charged" and order.is_to_be_submitted:
            kind, what = MEAL_UNPROVEN, "placed"
        else:
            return order
        now = self._clock()
        since = dated(order.open_since, now)
        values: dict[str, Any] = {"open_since": since}
        if (is_old(since, now) or isinstance(failure, Unprovable)) and order.operator_case is None:
            values["operator_case"] = case(kind, f"it is unknown whether this was {what}: {failure.message}")
        return self._store.change_order(order.id, (order.state,), values=values) or order

    def _unrecorded(self, besides: set[str]) -> list[StoredOrder]:
        """The orders whose outcome is known, but not to the ledger, which could not be written at that time.

        Until it is, an equal order would be taken for this one. Also those that the database has lost but for that.
        """
        rows = self._submissions.ledger.reader.open_submissions(limit=MOST_OPEN)
        unknown = [row for row in rows if row.account == LEDGER_ACCOUNT and row.state == "unknown"]
        found = [(row, self._store.order(row.id)) for row in unknown if row.id not in besides]
        lost = [self._charges.open_case(row) for row, order in found if order is None]
        return [*lost, *(order for _, order in found if order is not None and order.state != "charging")]

    def _settle_submission(self, submission: Submission, context: RequestContext) -> None:
        look_up = _LookUp(self._store, self._charges, context)
        self._submissions.reconciler.reconcile(
            submission, look_up.find, deadline=context.deadline, give_up=look_up.give_up, calls=context.calls
        )

    def _settle_charge(self, order: StoredOrder, submission: Submission | None, context: RequestContext) -> StoredOrder:
        if submission is not None and submission.state in ("claimed", "sending"):
            raise in_progress("this order is being charged")
        if submission is not None and submission.state == "placed":
            self._charges.find(order, context, None)
        else:
            # Nothing was sent under this row, or its sender has proof.
            self._charges.void(order, is_refused=submission is not None and submission.ended == "refused")
        return self.show(order.id)

    def _told(self, order: StoredOrder) -> StoredOrder:
        """An order of which a site learns: its charge stays from now on, if it is not being refunded."""
        if not order.is_untold:
            return order
        return self._store.change_order(order.id, ("charged",), values={"look_at": None}) or self.show(order.id)

    def _note_known(self, order: StoredOrder) -> None:
        """Record in the ledger a charge that a site knows of: its own request may have ended before it answered."""
        if order.state != "charged" or order.is_to_be_submitted:
            return
        submission = self._submissions.ledger.reader.show(order.id)
        if submission is not None and submission.state in ("sending", "unknown"):
            self._submissions.reconciler.reconcile(submission, lambda _: settlement(order))

    def _check_standing(self, order: StoredOrder, context: RequestContext) -> StoredOrder:
        """An order before a site first learns of its charge, which somebody else may have refunded.

        :raises Failure: it is not known now.
        """
        try:
            self._refunds.check_standing(order, context)
        except Failure as failure:
            if failure.code != "charge_refunded":
                raise
            return self._give_back(order, failure)
        return order

    def _give_back(self, order: StoredOrder, why: Failure) -> StoredOrder:
        """Refund a charge that no site has learned of."""
        values = {"state": "refunding", "problem": problem(why), "held": None, "look_at": None}
        taken = self._store.change_order(order.id, ("charged",), is_untold=True, values=values)
        if taken is not None:
            log.warning("untold_charge_refunded", extra={"order": order.id, "uuid": order.uuid})
        return taken or self.show(order.id)

    def _asked(self, order: StoredOrder, key: str, confirmation: Secret | None) -> str:
        """Digests of a request's key and body. :raises Failure: ``idempotency_key_reused``."""
        text = "" if confirmation is None else f"confirmed by {confirmation.reveal()}"
        # The first key's counts; a key that was used before the secret keys changed has another one's.
        bodies = [hmac.new(each, text.encode(), hashlib.sha256).hexdigest() for each in self._body_keys]
        # Older rows do not have the body.
        bound = bound_bodies(order).get(digest(key)) or bodies[0]
        if bound not in bodies:
            raise Failure("idempotency_key_reused", "this refund was requested before with a different body")
        return f"{digest(key)}={bound}"

    def _key(
        self,
        order: CheckoutOrder,
        delivery: Delivery | None,
        spelled: Delivery | None,
        key: str,
        merchant: Connected | None,
        context: RequestContext,
    ) -> SubmissionKey:
        """What a charge is recognized by; ``spelled``: its delivery with the location's id as the site has it."""
        scope = _scope(order.merchant)
        content = _content(order, delivery)
        named: dict[str, str | None] = {}
        if delivery is not None:
            validation_id = self._service.keys.validation_id(delivery.provider_location_id, delivery.submission.order)
            named = {
                "order_number": delivery.submission.order_number,
                "grubhub_order_number": delivery.submission.grubhub_order_number,
                "order_validation_id": validation_id.value if validation_id else None,
            }
        keys = self._identity_keys

        def known_at(place: str, **names: str | None) -> tuple[identity.Identity, ...]:
            return identity.identities(place, content=content, keys=keys, card_number=None, **names)

        # Also under the key that the ledger keeps, so that none is made again where a secret key was dropped early.
        kept = self._submissions.kept_key(self._first_kept)
        charge = known_at(scope, idempotency_key=key, **named)
        identities = [*identity.with_kept(charge, scope, kept, {"idempotency_key": key})]
        # A key counts whichever merchant is paid: a site that mixes them up must not charge twice.
        identities += known_at("checkout", idempotency_key=key)
        if delivery is not None and any(named.values()):
            # The provider has one order for it, whichever merchant is paid: there must be one charge.
            identities += known_at(f"checkout/at/{delivery.provider_location_id}", **named)
        if merchant is not None and merchant.levelup_id is not None:
            # A merchant who reconnects gets a new id, and the charge may already exist.
            identities += known_at(f"checkout/levelup/{merchant.levelup_id}", idempotency_key=key)
        digests = identity.content_digests(scope, content, keys)
        if spelled != delivery:
            # A charge of a release that had the content with the location's id as it came.
            digests += identity.content_digests(scope, _content(order, spelled), keys)
        return SubmissionKey(LEDGER_ACCOUNT, scope, tuple(identities), digests, context.request_id)


class _LookUp:
    """How a charge whose outcome is unknown is looked for.

    It is given up when LevelUp has no charge twice, a grace apart, and the lease of the last attempt is over. A later
    attempt is stopped by its own last look, and a charge that still appears is looked for and refunded.

    ``waiting``: see :meth:`Charges.find`. ``find_lost``: makes the order again of which only the ledger's row is left.
    """

    def __init__(
        self,
        store: CheckoutStore,
        charges: Charges,
        context: RequestContext,
        waiting: str | None = None,
        find_lost: Callable[[Submission], StoredOrder] | None = None,
    ) -> None:
        self._store = store
        self._charges = charges
        self._context = context
        self._waiting = waiting
        self._find_lost = find_lost
        self._absence: Absence | None = None
        self.is_new = False

    def find(self, submission: Submission) -> Settlement | None:
        """The charge; None: LevelUp has none now. :raises Disproved: it is on record that nothing was charged."""
        order = self._store.order(submission.id)
        if order is None or order.state == "charging" and not order.user:
            # The ledger says that something was sent: that the rest is lost proves nothing.
            order = self._find_lost(submission) if self._find_lost else order or self._charges.open_case(submission)
        if order.state == "not_charged":
            raise Disproved
        self.is_new = is_new(submission, order)
        unknown_since = submission.boot, submission.since
        found = self._charges.find(order, self._context, self._waiting, unknown_since)
        if not isinstance(found, Absence):
            return found
        self._absence = found
        return None

    def give_up(self, submission: Submission) -> None:
        """Record that nothing was charged, as was seen last. :raises Failure: it is not known any more."""
        assert self._absence is not None
        self._charges.give_up(self._absence)


def _what_is_open(order: StoredOrder) -> str:
    """What a person is shown of an order that is to be settled: the kinds of its cases, its state and its charge."""
    kinds = " and ".join(str(each["kind"]) for each in order.open_cases) or "being canceled"
    return f"{kinds} ({order.state}, charge {order.uuid})"


def _of_another(uuid: str) -> Failure:
    return Failure("invalid_member", f"{uuid} is the charge of another order")


def _scope(merchant: str) -> str:
    return f"checkout/{merchant}"


def _within(context: RequestContext, deadline: Deadline) -> RequestContext:
    """The same context with a separate deadline; its calls are listed together."""
    return RequestContext(deadline, context.request_id, calls=context.calls)


def _members(row: CheckoutOrder | OrderAmounts) -> dict[str, Any]:
    # As dataclasses.asdict, which copies every value.
    return {name: getattr(row, name) for name in row.__slots__}


def _content(order: CheckoutOrder, delivery: Delivery | None) -> bytes:
    """The canonical form of what makes two requests the same order."""
    where = [delivery.provider_location_id, identity.content(delivery.submission).decode()] if delivery else None
    content, check = _members(order), _members(order.check)
    if order.check.tax_after_discount is None:
        # A newer member: an order charged before it existed is still the same order.
        del check["tax_after_discount"]
    content["check"] = check
    return identity.sorted_json([content, where])
