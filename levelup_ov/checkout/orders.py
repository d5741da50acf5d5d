"""Charging, submitting and refunding. Nothing is charged twice, and nothing stays charged without an order.

A charge is a submission of the ledger's: claimed, marked before LevelUp is asked to complete, settled after (SUB-2 to
SUB-5). Its answer, if lost, is found out by completing the same proposed order with the same body again. What follows,
the submission to an ordering provider or else the refund, is a row of ours whose state says what is left to do;
whoever works on it holds its lease. So each step can be taken up by the next identical request, or by the command.
"""

from __future__ import annotations

import hmac
import json
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from levelup_ov import sealing
from levelup_ov.checkout import amounts
from levelup_ov.checkout.authorization import digest
from levelup_ov.checkout.client import Calls, Charge, LevelUp, Loyalty
from levelup_ov.checkout.connections import Access, Connections
from levelup_ov.checkout.refusals import LevelUpRefused, with_words
from levelup_ov.checkout.store import Order, Store, to_ms
from levelup_ov.domain.checkout import CheckoutOrder, Delivery
from levelup_ov.domain.failure import Failure
from levelup_ov.domain.money import Cents
from levelup_ov.domain.outcome import Placed
from levelup_ov.domain.request import SubmissionRequest
from levelup_ov.domain.secret import Secret
from levelup_ov.errors import Refused, Unanswered
from levelup_ov.ledger import identity
from levelup_ov.ledger.engine import LedgerUnavailable
from levelup_ov.ledger.ledger import Submission
from levelup_ov.ordering.service import Service, Trace
from levelup_ov.ordering.submissions import Attempt, Disproved, Settlement, SubmissionKey, Submissions, outcome_unknown
from levelup_ov.sealing import Sealer
from levelup_ov.transport.deadline import Deadline

LEDGER_ACCOUNT = "checkout/levelup"
"""The account of charges in the ledger; none of the accounts file can have this name."""
CHARGING_SHARE = 0.4
"""The part of a request's time that charging may take where the order is then submitted to a provider."""
REFUND_TIME = 4.0
"""Seconds that are kept back for the refund of an order that its provider refuses."""
UNDECIDED = ("outcome_unknown", "submission_in_progress", "ledger_unavailable")
"""Failures of a submission that the next identical request is to settle: the order may stand, or was not sent yet."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Preview:
    """What an order would trigger; ``credit``: all that the user has, ``discount``: what would be applied."""

    amounts: amounts.Amounts
    tip: Cents
    discount: Cents
    credit: Cents
    loyalty: Loyalty | None
    campaigns: Sequence[Mapping[str, Any]]

    @property
    def total(self) -> Cents:
        """Spend and tip before the discount."""
        return self.amounts.spend + self.tip

    @property
    def user_pays(self) -> Cents:
        """What is left of it with the discount."""
        return self.total - self.discount


class Orders:
    """All that concerns orders.

    ``lease``: for how long a request may have an order in hand; ``clock`` gives the aware present.
    """

    def __init__(
        self,
        store: Store,
        levelup: LevelUp,
        connections: Connections,
        service: Service,
        keys: Sequence[Secret],
        lease: timedelta,
        clock: Callable[[], datetime],
    ) -> None:
        self._store = store
        self._levelup = levelup
        self._connections = connections
        self._service = service
        self._submissions: Submissions = service.submissions
        self._sealer = Sealer(keys, "levelup checkout order")
        self._identity_keys = [sealing.derive(key, "identity") for key in keys]
        self._lease = lease // timedelta(milliseconds=1)
        self._clock = clock

    def preview(self, order: CheckoutOrder, trace: Trace) -> Preview:
        """What ``order`` would trigger. :raises Failure: as :meth:`charge` would."""
        amounts.check_amounts(order.check, order.discount)
        merchant, user = self._accesses(order)
        with self._levelup.calls(trace.deadline, trace.calls) as calls:
            proposal = calls.propose(merchant.token, user.token, _body(order, amounts.proposed(order.check)))
            credit = calls.credit(user.token, order.location_id)
            loyalty = None
            if merchant.connection.levelup_id is not None:
                loyalty = calls.loyalty(user.token, merchant.connection.levelup_id)
            campaigns = [
                # The last one listed is the most particular.
                {"representation_type": kinds[-1], **calls.campaign(user.token, number, kinds[-1])}
                for number, kinds in calls.campaigns(user.token, order.location_id)
                if kinds
            ]
        discount = amounts.applied_discount(order.check, order.discount, proposal.discount)
        sent = amounts.completed(order.check, discount)
        return Preview(sent, order.check.tip, discount, credit, loyalty, campaigns)

    def charge(self, order: CheckoutOrder, delivery: Delivery | None, key: str, trace: Trace) -> Order:
        """Charge ``order`` at most once under ``key``, and submit it where there is a ``delivery``.

        ``trace.replayed`` says whether it had been charged before.

        :raises Failure: why it was not charged; that this is not known; or why it was refunded.
        """
        deadline = trace.deadline
        if delivery is not None:
            deadline = Deadline(trace.deadline.remaining() * CHARGING_SHARE)

        def place_order(attempt: Attempt) -> Settlement:
            amounts.check_amounts(order.check, order.discount)
            if delivery is not None:
                self._service.check_submission(delivery.provider_location_id, _submission(delivery, order, 0), trace)
            return self._place(order, delivery, attempt, deadline, trace)

        def find_order(submission: Submission) -> Settlement | None:
            return self._look_up_charge(submission, _within(trace, deadline))

        settlement = self._submissions.submit(
            self._key(order, delivery, key, trace), place_order, find_order, deadline=trace.deadline
        )
        trace.replayed = settlement.replayed
        charged = self.show(settlement.answer["order"])
        return charged if delivery is None else self._deliver(charged, order, delivery, trace)

    def show(self, id: str) -> Order:
        """An order by its UUID or our id. :raises Failure: ``order_not_found``."""
        if (order := self._store.order(id)) is None:
            raise Failure("order_not_found", "the service has made no such order")
        return order

    def refund(self, id: str, key: str, confirmation: Secret | None, trace: Trace) -> Order:
        """Refund a whole order, once; ``trace.replayed`` says whether this ``key`` has done so before.

        :raises Failure: ``order_not_found``, ``already_refunded``, ``submission_in_progress``, ``refund_pending``, or
            LevelUp's refusal.
        """
        order, key_digest = self.show(id), digest(key)
        if order.state == "refunded":
            if order.refund_key is None or not hmac.compare_digest(order.refund_key, key_digest):
                raise Failure("already_refunded", "this order has been refunded")
            trace.replayed = True
            return order
        if order.state in ("charging", "not_charged"):
            raise Failure("order_not_found", "this order was never charged, as far as is known")
        waiting = order.state == "submitting" or order.state == "charged" and order.provider_location_id is not None
        lease = self._new_lease()
        taken = not waiting and self._store.change_order(
            order.id,
            (order.state,),
            free_at=self._now() if order.state == "refunding" else None,
            state="refunding",
            lease_until=lease,
            refund_key=key_digest,
        )
        if not taken:
            raise _in_progress("this order is being worked on")
        return self._take_back(order, lease, confirmation, trace)

    def reconcile(self, order: Order, trace: Trace) -> Order:
        """Take up an order that was left unfinished; nothing is submitted, what was not is refunded.

        :raises Failure: why it is still unfinished.
        """
        if order.state == "charging":
            order = self._reconcile_charge(order, trace)
            if order.state != "charged" or order.provider_location_id is None:
                return order
        lease = self._new_lease()
        target = "refunding" if order.state == "refunding" else "submitting"
        if not self._store.change_order(
            order.id, (order.state,), free_at=self._now(), state=target, lease_until=lease
        ):
            raise _in_progress("this order is being worked on")
        if order.state == "refunding":
            return self._take_back(order, lease, None, trace)
        try:
            answer = self._find_submission(order, trace)
        except BaseException:
            self._release(order, lease)
            raise
        if answer is not None:
            return self._submitted(order, lease, answer)
        problem = Failure("order_refused", "the order was charged, but never reached the provider")
        return self._give_up(order, lease, problem, trace)

    def unfinished(self, limit: int) -> list[Order]:
        """What :meth:`reconcile` is for."""
        return self._store.unfinished_orders(self._now(), limit)

    def find_charge(self, submission: Submission, trace: Trace) -> Settlement | None:
        """What became of a charge, found out by completing the same proposed order again; None: nothing was charged.

        :raises Failure: it cannot be found out now.
        """
        order = self._store.order(submission.id)
        if order is None or order.state == "not_charged":
            return None
        if order.uuid is not None:
            return _settlement(order.id, order.uuid, order.spend + order.tip, order.total)
        if (body := self._sealer.open(order.body or "", order.id)) is None:
            raise outcome_unknown("what would complete the proposed order cannot be opened")
        merchant = self._connections.access_again("merchant", order.merchant)
        user = self._connections.access_again("user", order.user)
        try:
            with self._levelup.calls(trace.deadline, trace.calls) as calls:
                charge = calls.complete(merchant.token, user.token, json.loads(body))
        except LevelUpRefused as refusal:
            if refusal.proves_no_charge:
                return None
            raise
        return self._charged(order, charge)

    # Charging.

    def _place(
        self, order: CheckoutOrder, delivery: Delivery | None, attempt: Attempt, deadline: Deadline, trace: Trace
    ) -> Settlement:
        merchant, user = self._accesses(order)
        with self._levelup.calls(deadline, trace.calls, attempt.last_look) as calls:
            attempt.session = calls.session
            proposal = calls.propose(merchant.token, user.token, _body(order, amounts.proposed(order.check)))
            discount = amounts.applied_discount(order.check, order.discount, proposal.discount)
            row, body = self._new_order(order, delivery, attempt.id, proposal.uuid, discount)
            self._store.add_order(row)
            charge = self._complete(calls, merchant, user, row, body)
        return self._charged(row, charge)

    def _complete(self, calls: Calls, merchant: Access, user: Access, row: Order, body: Mapping[str, Any]) -> Charge:
        try:
            return calls.complete(merchant.token, user.token, body, trace={"proposed_order_uuid": row.proposed_uuid})
        except Exception as error:
            if isinstance(error, Refused) or not calls.session.placing:
                self._not_charged(row)
            raise

    def _new_order(
        self, order: CheckoutOrder, delivery: Delivery | None, reference: str, proposed_uuid: str, discount: Cents
    ) -> tuple[Order, dict[str, Any]]:
        sent = amounts.completed(order.check, discount)
        body = {**_body(order, sent), "applied_discount_amount": discount, "proposed_order_uuid": proposed_uuid}
        row = Order(
            id=reference,
            state="charging",
            merchant=order.merchant,
            user=order.user,
            location_id=order.location_id,
            proposed_uuid=proposed_uuid,
            spend=sent.spend,
            tax=sent.tax,
            exemption=sent.exemption,
            tip=order.check.tip,
            discount=discount,
            body=self._sealer.seal(json.dumps(body), reference),
            provider_location_id=delivery.provider_location_id if delivery else None,
            lease_until=self._new_lease(),
            created_at=self._now(),
        )
        return row, body

    def _charged(self, order: Order, charge: Charge) -> Settlement:
        self._store.change_order(
            order.id,
            # A late answer to a charge that was ruled out still counts: the money is gone.
            ("charging", "not_charged"),
            state="charged",
            uuid=charge.uuid,
            body=None,
            total=charge.total,
            gift_card_total=charge.gift_card_total,
            gift_card_tip=charge.gift_card_tip,
        )
        return _settlement(order.id, charge.uuid, order.spend + order.tip, charge.total)

    def _not_charged(self, order: Order) -> None:
        try:
            self._store.change_order(order.id, ("charging",), state="not_charged", body=None)
        except LedgerUnavailable:
            log.warning("an order that was not charged is left for reconciliation", extra={"order": order.id})

    def _reconcile_charge(self, order: Order, trace: Trace) -> Order:
        submission = self._submissions.ledger.show(order.id)
        if submission is not None and submission.state in ("claimed", "sending"):
            raise _in_progress("this order is being charged")
        if submission is not None and submission.state in ("unknown", "placed"):
            settle = self.find_charge if submission.state == "placed" else self._settle_charge
            if settle(submission, trace) is not None:
                return self.show(order.id)
        self._not_charged(order)
        return self.show(order.id)

    def _settle_charge(self, submission: Submission, trace: Trace) -> Settlement | None:
        return self._submissions.reconcile(
            submission, lambda found: self._look_up_charge(found, trace), deadline=trace.deadline
        )

    def _look_up_charge(self, submission: Submission, trace: Trace) -> Settlement | None:
        order = self._store.order(submission.id)
        if order is not None and order.state == "not_charged":
            # LevelUp refused it, or nothing was sent; only the ledger does not know.
            raise Disproved
        return self.find_charge(submission, trace)

    # Submitting.

    def _deliver(self, order: Order, asked: CheckoutOrder, delivery: Delivery, trace: Trace) -> Order:
        if order.state == "submitted":
            return order
        if order.problem is not None:
            # The site may refund a submitted order by itself: then there is no problem to tell.
            problem = json.loads(order.problem)
            failure = Failure(problem["code"], problem["message"])
            if order.state == "refunding":
                lease = self._new_lease()
                if not self._store.change_order(
                    order.id, ("refunding",), free_at=self._now(), lease_until=lease
                ):
                    raise _in_progress("this order is being refunded")
                self._take_back(order, lease, None, trace)
            raise with_words(failure, "the charge was refunded")
        if order.state in ("refunding", "refunded"):
            return order
        lease = self._new_lease()
        if not self._store.change_order(
            order.id,
            (order.state,),
            # Who has just charged it holds the lease from before.
            free_at=self._now() if order.state == "submitting" else None,
            state="submitting",
            lease_until=lease,
        ):
            raise _in_progress("this order is being submitted")
        try:
            try:
                answer = asdict(self._submit(order, asked, delivery, trace))
            except Failure as failure:
                refusal = failure
                self._check_not_submitted(order, failure)
            else:
                return self._submitted(order, lease, answer)
        except BaseException:
            self._release(order, lease)
            raise
        self._give_up(order, lease, refusal, trace)
        raise with_words(refusal, "the charge was refunded")

    def _submit(self, order: Order, asked: CheckoutOrder, delivery: Delivery, trace: Trace) -> Any:
        # The submission carries the order's id in place of the request's, so that it can be found by it.
        inner = _within(trace, Deadline(max(trace.deadline.remaining() - REFUND_TIME, 0)))
        inner.request_id = order.id
        submission = _submission(delivery, asked, order.discount)
        # Its own identities stand for the whole, charge included, and were claimed with it.
        kept = {name: value for name, value in submission.order.metadata.items() if name != "order_validation_id"}
        order_alone = replace(submission.order, metadata=kept)
        submission = replace(submission, order=order_alone, order_number=None, grubhub_order_number=None)
        try:
            submitted = self._service.submit_order(
                delivery.provider_location_id, submission, f"checkout {order.id}", inner
            )
        finally:
            trace.account, trace.location, trace.provider = inner.account, inner.location, inner.provider
        if inner.expected_charge not in (None, order.user_pays):
            # PAY-4: the site's amounts are not those of the provider. The order stands, as it does there.
            log.error(
                "charge_mismatch",
                extra={"order": order.id, "expected_charge": inner.expected_charge, "charged": order.user_pays},
            )
        return submitted

    def _check_not_submitted(self, order: Order, failure: Failure) -> None:
        """Let only a failure pass after which no provider can have the order.

        This try may have ended before the ledger was asked, and one before it may have placed the order.

        :raises Failure: the order may stand.
        """
        if failure.code in UNDECIDED:
            raise failure
        if any(submission.state != "not_placed" for submission in self._submitted_before(order)):
            raise outcome_unknown(f"the order may stand, and could not be found out: {failure.message}")

    def _submitted_before(self, order: Order) -> list[Submission]:
        """The submissions of an order to its provider, newest first."""
        ledger = self._submissions.ledger
        found = [each for each in ledger.find(number=order.id) if each.request_id == order.id]
        return [ledger.show(each.id) or each for each in found if each.account != LEDGER_ACCOUNT]

    def _find_submission(self, order: Order, trace: Trace) -> Mapping[str, Any] | None:
        """The provider's answer to an order; None: it is proven that it has none.

        :raises Failure: it cannot be found out now.
        """
        for submission in self._submitted_before(order):
            if submission.state in ("claimed", "sending"):
                raise _in_progress("this order is being submitted")
            if submission.state == "placed":
                return json.loads(submission.answer or "{}")
            if submission.state == "unknown":
                settlement = self._service.reconcile(submission, trace)
                if settlement is not None:
                    return settlement.answer
        return None

    def _submitted(self, order: Order, lease: int, answer: Mapping[str, Any]) -> Order:
        submitted = self._store.change_order(
            order.id, ("submitting",), lease=lease, state="submitted", submitted=json.dumps(answer), lease_until=0
        )
        # Where the lease was lost, somebody else has found the order too.
        return submitted or self.show(order.id)

    def _give_up(self, order: Order, lease: int, failure: Failure, trace: Trace) -> Order:
        """Refund an order that no provider has, and say why.

        :raises Failure: ``refund_pending``.
        """
        problem = json.dumps({"code": failure.code, "message": failure.message})
        renewed = self._new_lease()
        if not self._store.change_order(
            order.id, ("submitting",), lease=lease, state="refunding", problem=problem, lease_until=renewed
        ):
            raise _in_progress("somebody else has taken this order up")
        facts = {"order": order.id, "code": failure.code}
        log.warning("an order is refunded: its provider does not have it", extra=facts)
        return self._take_back(replace(order, problem=problem), renewed, None, trace)

    def _release(self, order: Order, lease: int) -> None:
        """Let the next request take the order up at once."""
        try:
            self._store.change_order(order.id, ("submitting", "refunding"), lease=lease, lease_until=0)
        except LedgerUnavailable:
            log.warning("an order is in hand until its lease ends", extra={"order": order.id})

    # Refunding.

    def _take_back(self, order: Order, lease: int, confirmation: Secret | None, trace: Trace) -> Order:
        """Refund an order in state ``refunding``; ``order`` is how it was before.

        :raises Failure: ``refund_pending``, or LevelUp's refusal of a refund that was asked for.
        """
        asked_before = order.state == "refunding"
        try:
            merchant = self._connections.access_again("merchant", order.merchant)
            with self._levelup.calls(trace.deadline, trace.calls) as calls:
                refunded_at = calls.refund(merchant.token, order.uuid or "", confirmation)
        except Failure as failure:
            if asked_before and _is_refunded(failure):
                # Our own earlier refund, whose answer was lost, is the only one that can have been first.
                return self._refunded(order, None)
            if order.problem is not None:
                self._release(order, lease)
                log.error("an order is charged, but neither submitted nor refunded", extra={"order": order.id})
                message = f"the order was not placed, and its charge is not refunded yet: {failure.message}"
                raise _pending(message) from None
            if isinstance(failure, Unanswered) and failure.sent or asked_before:
                self._release(order, lease)
                raise _pending(failure.message) from None
            back = "submitted" if order.submitted is not None else "charged"
            self._store.change_order(order.id, ("refunding",), lease=lease, state=back, lease_until=0)
            raise _refund_failure(failure) from None
        except BaseException:
            self._release(order, lease)
            raise
        return self._refunded(order, refunded_at)

    def _refunded(self, order: Order, at: datetime | None) -> Order:
        when = self._now() if at is None else to_ms(at)
        refunded = self._store.change_order(
            order.id, ("refunding",), state="refunded", refunded_at=when, lease_until=0
        )
        return refunded or self.show(order.id)

    # What all of it needs.

    def _accesses(self, order: CheckoutOrder) -> tuple[Access, Access]:
        merchant = self._connections.access("merchant", order.merchant, path="$.order.merchant")
        return merchant, self._connections.access("user", order.user, path="$.order.user")

    def _key(self, order: CheckoutOrder, delivery: Delivery | None, key: str, trace: Trace) -> SubmissionKey:
        scope = f"checkout/{order.merchant}"
        content = _content(order, delivery)
        submission = delivery.submission if delivery else None
        validation_id = None
        if delivery is not None:
            validation_id = self._service.validation_id(delivery.provider_location_id, delivery.submission.order)
        identities = identity.identities(
            scope,
            content=content,
            keys=self._identity_keys,
            idempotency_key=key,
            order_number=submission.order_number if submission else None,
            grubhub_order_number=submission.grubhub_order_number if submission else None,
            order_validation_id=validation_id.value if validation_id else None,
            card_number=None,
        )
        digests = identity.content_digests(scope, content, self._identity_keys)
        return SubmissionKey(LEDGER_ACCOUNT, scope, identities, digests, trace.request_id)

    def _new_lease(self) -> int:
        return self._now() + self._lease

    def _now(self) -> int:
        return to_ms(self._clock())


def _within(trace: Trace, deadline: Deadline) -> Trace:
    """A trace with a deadline of its own that lists its calls in the same place."""
    return Trace(deadline, trace.request_id, calls=trace.calls)


def _body(order: CheckoutOrder, sent: amounts.Amounts) -> dict[str, Any]:
    return {
        "location_id": order.location_id,
        "identifier_from_merchant": order.identifier,
        "spend_amount": sent.spend,
        "tax_amount": sent.tax,
        "tip_amount": order.check.tip,
        "exemption_amount": sent.exemption,
        # A part of a payment would leave an order that is charged, but not paid.
        "partial_authorization_allowed": False,
        "discount_only": False,
        **(order.details or {}),
        "items": [{"item": item} for item in order.items],
    }


def _submission(delivery: Delivery, order: CheckoutOrder, discount: Cents) -> SubmissionRequest:
    """What the provider gets. LevelUp's discount is the merchant's: the provider takes it off the check."""
    submission = delivery.submission
    return replace(
        submission, order=replace(submission.order, tip=order.check.tip, merchant_funded_discount=discount)
    )


def _content(order: CheckoutOrder, delivery: Delivery | None) -> bytes:
    """What makes two requests the same order, in one canonical form."""
    where = [delivery.provider_location_id, identity.content(delivery.submission).decode()] if delivery else None
    return json.dumps([asdict(order), where], sort_keys=True, separators=(",", ":")).encode()


def _settlement(id: str, uuid: str, expected: Cents, charged: Cents | None) -> Settlement:
    return Settlement(Placed(uuid, uuid, reference=uuid, expected_charge=expected, charged=charged), {"order": id})


def _is_refunded(failure: Failure) -> bool:
    return isinstance(failure, LevelUpRefused) and failure.status == 422 and failure.property == "base"


def _refund_failure(failure: Failure) -> Failure:
    """A refusal in the words of a refund; a charge of ours did succeed, so ``base`` speaks of a refund elsewhere."""
    if _is_refunded(failure):
        return Failure("refund_refused", failure.message)
    return failure


def _pending(message: str) -> Failure:
    failure = Failure("refund_pending", message)
    failure.retry_after = 5
    return failure


def _in_progress(message: str) -> Failure:
    failure = Failure("submission_in_progress", message)
    failure.retry_after = 1
    return failure
