"""Proposing, charging and refunding. Each function is a part of one transaction; amounts are cents."""

from __future__ import annotations

import uuid
from dataclasses import replace
from datetime import datetime

from levelup_ov.standins.levelup import amounts
from levelup_ov.standins.levelup.drafts import Draft
from levelup_ov.standins.levelup.funds import Funds, FundsSplit, OrderSums, available, pay
from levelup_ov.standins.levelup.problems import ErrorResponse, error, invalid, not_found
from levelup_ov.standins.levelup.store import PlatformOrder, PlatformUser, Proposal, Transaction
from levelup_ov.standins.levelup.world import PlatformMerchant

_NOT_REFUNDED = {
    9901: "This order is too old to be refunded.",
    9902: "This order is disputed and cannot be refunded.",
    9903: "This order was never paid.",
}
_UNKNOWN, _NEVER_MADE = 9904, 9906
UNTIMED, IN_PART = (9905, 9906), 9907
"""Tips for which a refund is answered with 202 without a time, or refunds only a part."""
_ELSEWHERE = 9908


def merchant_of(transaction: Transaction, location_id: int) -> PlatformMerchant:
    """:raises ErrorResponse: 404, there is no such location."""
    location = transaction.location(location_id)
    merchant = location and transaction.merchant(location.merchant_id)
    if not merchant:
        raise not_found("order", "location_id", "There is no location with this id.")
    return merchant


def funds_of(transaction: Transaction, user_id: int, merchant: PlatformMerchant, now: datetime) -> Funds:
    """What a user can pay with at ``merchant`` right now."""
    sums = transaction.order_sums(user_id, merchant.id)
    card = transaction.card(user_id)
    return Funds(
        available(
            transaction.granted(user_id, "credit", merchant.id),
            merchant.program.earned(sums),
            sums.credit,
            transaction.expired(user_id, "credit", merchant.id, now),
        ),
        available(transaction.granted(user_id, "gift_card", merchant.id), 0, sums.gift_card),
        global_credit_of(transaction, user_id, now),
        card is not None and card.outcome != "declined",
    )


def global_credit_of(transaction: Transaction, user_id: int, now: datetime) -> int:
    """Credit that counts at every merchant."""
    granted, used = transaction.granted(user_id, "global", None), transaction.global_credit_used(user_id)
    return available(granted, 0, used, transaction.expired(user_id, "global", None, now))


def propose(transaction: Transaction, app_id: int, user: PlatformUser, draft: Draft, now: datetime) -> Proposal:
    """Keep a proposal, with the discount that the user's credit allows."""
    funds = funds_of(transaction, user.id, merchant_of(transaction, draft.location_id), now)
    offered = amounts.discount(draft.amounts, funds.credit)
    proposal = Proposal(uuid.uuid4().hex, app_id, user.id, draft, offered)
    transaction.add_proposal(proposal, now)
    return proposal


def complete(
    transaction: Transaction, app_id: int, user: PlatformUser, draft: Draft, now: datetime
) -> tuple[PlatformOrder, bool]:
    """Charge what was proposed; the order, and whether it is a new one.

    :raises ErrorResponse: 404, or 422: another body than the first time, a difference, the discount, the card.
    """
    proposal = transaction.proposal(draft.proposed_order_uuid or "")
    if proposal is None or (proposal.app_id, proposal.user_id) != (app_id, user.id):
        raise not_found("order", "proposed_order_uuid", "There is no such proposed order.")
    if completed := transaction.order_of_proposal(proposal.uuid):
        if completed.draft == draft:
            return completed, False
        raise invalid("order", "proposed_order_uuid", "This proposed order was completed already.", "completed")
    if differences := draft.differs_from(proposal.draft):
        raise ErrorResponse(
            422,
            [
                error("This differs from the proposed order.", object="order", property=name, code="differs")
                for name in differences
            ],
        )
    return charge(transaction, app_id, user, draft, now), True


def charge(transaction: Transaction, app_id: int, user: PlatformUser, draft: Draft, now: datetime) -> PlatformOrder:
    """Charge an order.

    :raises ErrorResponse: 422: it applies more discount than there is credit, or the card cannot be charged.
    """
    merchant = merchant_of(transaction, draft.location_id)
    funds = funds_of(transaction, user.id, merchant, now)
    most = amounts.discount(draft.amounts, funds.credit)
    asked = draft.applied_discount_amount
    discount = most if asked is None else asked
    if discount > most:
        raise invalid("order", "applied_discount_amount", f"At most {most} cents can be applied.", "too_large")
    payment: FundsSplit | None
    if draft.discount_only:
        payment = FundsSplit(discount, 0, discount, 0, 0, 0, 0) if discount else None
    else:
        partial = draft.partial_authorization_allowed
        payment = pay(draft.spend_amount, draft.tip_amount, discount, funds, partial=partial)
    if payment is None:
        raise invalid("order", "base", _why(transaction, user, draft), "not_charged")
    taken = draft.amounts if draft.discount_only else replace(draft.amounts, spend=payment.spend)
    eligible = max(0, taken.eligible - discount)
    before = transaction.order_sums(user.id, merchant.id)
    after = OrderSums(before.visits + 1, eligible=before.eligible + eligible)
    order = PlatformOrder(
        uuid.uuid4().hex,
        app_id,
        user.id,
        merchant.id,
        draft.location_id,
        draft,
        payment,
        eligible,
        merchant.program.earned(after) - merchant.program.earned(before),
        now,
    )
    transaction.add_order(order)
    if draft.tip_amount == _ELSEWHERE:
        transaction.refund(order.uuid, now)
    return order


def refund(
    transaction: Transaction, app_id: int, merchant_id: int, order_uuid: str, confirmation: str | None, now: datetime
) -> PlatformOrder:
    """Refund a whole order: its credit is returned, and what it earned is removed.

    Some tips trigger the ways in which that can fail (:data:`~levelup_ov.standins.levelup.world.REFUND_TIPS`).

    :raises ErrorResponse: 404 without a body, or 422.
    """
    order = transaction.order(order_uuid)
    if order is None or (order.app_id, order.merchant_id) != (app_id, merchant_id):
        raise ErrorResponse(404)
    if order.refunded_at:
        raise invalid("order", "base", "This order was refunded already.", "refunded")
    if (words := _NOT_REFUNDED.get(order.payment.tip)) is not None:
        raise invalid("order", "base", words, "not_refundable")
    if order.payment.tip == _UNKNOWN:
        raise ErrorResponse(404)
    merchant = transaction.merchant(merchant_id)
    required = merchant and merchant.manager_confirmation
    if required is not None and confirmation != required:
        raise invalid("refund", "manager_confirmation", "A manager must confirm this refund.", "required")
    if order.payment.tip != _NEVER_MADE:
        transaction.refund(order_uuid, now)
    return replace(order, refunded_at=now)


def _why(transaction: Transaction, user: PlatformUser, draft: Draft) -> str:
    if draft.discount_only:
        return "There is no discount to apply."
    if transaction.card(user.id) is None:
        return "There is no card on this account that could be charged."
    return "The card was declined."
