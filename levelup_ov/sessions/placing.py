"""How a session's order is placed and found again, for each tender. One session has at most one order.

The ledger sees to that: every attempt has the session's own idempotency key. A charge that was refunded is final, so
a later one has another key, which exists only once the earlier attempt is proven to have placed nothing.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

from levelup_ov.checkout import Checkout
from levelup_ov.checkout.charged_orders import key_of
from levelup_ov.checkout.orders import Orders
from levelup_ov.checkout.store import StoredOrder
from levelup_ov.domain.checkout import LEDGER_ACCOUNT, CheckoutOrder, Delivery, OrderAmounts
from levelup_ov.domain.failure import Failure
from levelup_ov.domain.money import Cents
from levelup_ov.domain.outcome import mischarge
from levelup_ov.domain.request import SubmissionRequest
from levelup_ov.domain.tender import CreditCard
from levelup_ov.ledger.engine import LedgerUnavailable
from levelup_ov.ledger.records import Submission
from levelup_ov.ledger.sessions import StoredSession
from levelup_ov.ordering.request_context import RequestContext
from levelup_ov.ordering.service import Service
from levelup_ov.sessions.content import Content
from levelup_ov.sessions.model import LevelUpTender, Price
from levelup_ov.sessions.pricing import request_of

CHARGED_IN = "USD"
"""LevelUp charges nothing else."""


@dataclass(frozen=True, slots=True)
class OrderAtProvider:
    """An order that a provider has: its number, its ready time as on the wire, and the key of its submission.

    ``mischarged``: the cents that were asked for and those that were charged to a card instead (PAY-4).
    """

    number: str
    ready_at: str | None
    submitted_as: str
    mischarged: tuple[Cents, Cents] | None = None


class OrderPlacer:
    """Places orders by ``service``, and charges them by ``checkout``, if that is configured."""

    def __init__(self, service: Service, checkout: Checkout | None) -> None:
        self._service = service
        self._checkout = checkout

    def check(self, content: Content, tender: CreditCard | LevelUpTender) -> None:
        """Refuse a tender before anything is sent. :raises Failure: ``tender_not_accepted``."""
        if isinstance(tender, LevelUpTender):
            if self._checkout is None:
                raise Failure("tender_not_accepted", "this service does not charge through LevelUp")
            if content.currency != CHARGED_IN:
                raise Failure("tender_not_accepted", f"LevelUp charges {CHARGED_IN}, not {content.currency}")

    def place(
        self,
        row: StoredSession,
        content: Content,
        tender: CreditCard | LevelUpTender,
        last_look: Callable[[], None],
        context: RequestContext,
    ) -> OrderAtProvider:
        """Place the order of a session, or find the one that was placed.

        :raises Failure: why there is none, or that it is unknown.
        """
        if isinstance(tender, LevelUpTender):
            return self._charge(row, content, tender, last_look, context)
        request = SubmissionRequest(request_of(content.basket, content.metadata), tender)
        key = _key(row)
        answer = self._service.submit_order(row.location, request, key, context, last_look=last_look, is_ours=True)
        order = OrderAtProvider(str(answer.order_id), answer.expected_ready_at, key)
        with suppress(LedgerUnavailable):
            order = replace(order, mischarged=_mischarged(self._service.keys.submitted_under(row.location, key)))
        return order

    def find(self, row: StoredSession, content: Content, context: RequestContext) -> OrderAtProvider | None:
        """The order of a session whose completion was interrupted; None: none was started, or none was placed.

        Nothing is placed, because nobody asks for that. A charge without an order is refunded.

        :raises Failure: it is not known now, or why a charge was refunded.
        """
        if content.levelup is not None:
            for charge in self._charges(row, content.levelup):
                if (order := self._orders.find(charge.id, context)) is not None:
                    return _placed(_submitted(order), key_of(order))
            return None
        for submission in self._service.keys.submitted_under(row.location, _key(row)):
            if submission.state == "placed":
                found = _placed(json.loads(submission.answer or "{}"), _key(row))
                return replace(found, mischarged=_mischarged((submission,)))
            if submission.state == "unknown":
                if (settlement := self._service.look_ups.reconcile(submission, context)) is not None:
                    return _placed(settlement.answer, _key(row))
            elif submission.state != "not_placed":
                raise Failure("submission_in_progress", "this order is being placed", retry_after=1)
        return None

    def is_taken_back(self, row: StoredSession) -> bool:
        """Whether the ledger knows the order of a completed session no more, or under another number."""
        if row.state != "completed" or row.submitted_as is None:
            return False
        found = self._service.keys.submitted_under(row.location, row.submitted_as)
        settled = [each for each in found if each.state not in ("claimed", "sending")]
        return bool(settled) and not any(str(each.order_id) == row.order_id for each in settled)

    def may_exist(self, row: StoredSession, content: Content) -> bool:
        """Whether an attempt at this order is not proven to have failed."""
        if content.levelup is None:
            begun: Sequence[Submission] = self._service.keys.submitted_under(row.location, _key(row))
        else:
            begun = self._charges(row, content.levelup)
        return any(submission.state != "not_placed" and not self._is_refunded(submission) for submission in begun)

    def _charges(self, row: StoredSession, tender: LevelUpTender) -> list[Submission]:
        """The charges of this attempt that were made, or may have been."""
        found = self._orders.charged_under(tender.merchant, _key_of_charge(row))
        return [submission for submission in found if submission.state != "not_placed"]

    def _is_refunded(self, submission: Submission) -> bool:
        if submission.account != LEDGER_ACCOUNT or submission.state != "placed":
            return False
        return self._orders.show(submission.id).state in ("refunded", "not_charged")

    @property
    def _orders(self) -> Orders:
        if self._checkout is None:
            raise Failure("outcome_unknown", "web checkout is not configured any more")
        return self._checkout.orders

    def _charge(
        self,
        row: StoredSession,
        content: Content,
        tender: LevelUpTender,
        last_look: Callable[[], None],
        context: RequestContext,
    ) -> OrderAtProvider:
        assert content.price is not None
        delivery = Delivery(row.location, SubmissionRequest(request_of(content.basket, content.metadata)))
        order = _charged(content.price, tender)
        done = self._orders.charge(order, delivery, _key_of_charge(row), context, last_look=last_look)
        return _placed(_submitted(done), key_of(done))


def _charged(price: Price, tender: LevelUpTender) -> CheckoutOrder:
    totals = price.totals
    due = totals.total - totals.tip
    items = tuple(
        {
            "name": line.name[:255] or line.item_id[:255],
            "quantity": line.quantity,
            "charged_price_amount": line.subtotal if line.unit_price is None else line.unit_price,
            "standard_price_amount": line.subtotal if line.unit_price is None else line.unit_price,
            "children": [],
        }
        for line in price.lines
    )
    return CheckoutOrder(
        tender.merchant,
        tender.user,
        tender.location_id,
        OrderAmounts(outstanding=due, tax=totals.tax, payment=due, tip=totals.tip),
        items,
        tender.discount,
    )


def _submitted(order: StoredOrder) -> Mapping[str, Any]:
    if order.submitted is None:
        # Somebody has given the money back at LevelUp.
        raise Failure("charge_refunded", "this order was refunded")
    answer: Mapping[str, Any] = json.loads(order.submitted)
    return answer


def _placed(answer: Mapping[str, Any], key: str) -> OrderAtProvider:
    return OrderAtProvider(str(answer["order_id"]), answer.get("expected_ready_at"), key)


def _mischarged(submissions: Sequence[Submission]) -> tuple[Cents, Cents] | None:
    found = (mischarge(each.expected_charge, each.charged) for each in submissions)
    return next(filter(None, found), None)


def _key(row: StoredSession) -> str:
    return f"session {row.id}"


def _key_of_charge(row: StoredSession) -> str:
    return f"session {row.id} {row.attempt}"
