"""Charging and refunding: proposed, completed and one-step orders, and what is read of them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from flask import request

from levelup_ov.standins.dropped_connection import lose_answer
from levelup_ov.standins.levelup import orders
from levelup_ov.standins.levelup.access import Caller
from levelup_ov.standins.levelup.api.base import (
    JSON,
    PAGE,
    Listed,
    api,
    body,
    location_of,
    loyalty_id,
    merchant_of,
    optional_body,
    page_number,
    page_of,
    reading,
    scanned,
    time_as_text,
    writing,
)
from levelup_ov.standins.levelup.drafts import Draft, read_completion, read_one_step, read_proposal
from levelup_ov.standins.levelup.platform import platform
from levelup_ov.standins.levelup.problems import ErrorResponse, not_found, unauthorized
from levelup_ov.standins.levelup.reading import ObjectReader
from levelup_ov.standins.levelup.store import PlatformOrder, PlatformUser, StoredToken, Transaction
from levelup_ov.standins.levelup.world import SILENCE, SILENT_TIP

# Charging.


@api.post("/v15/proposed_orders")
def propose_order() -> JSON:
    with writing("order") as (transaction, caller):
        app_id, user, draft = _ordered_by(transaction, caller, read_proposal(body()))
        proposal = orders.propose(transaction, app_id, user, draft, platform().clock())
    return {"proposed_order": {"uuid": proposal.uuid, "discount_amount": proposal.discount}}


@api.post("/v15/completed_orders")
def complete_order() -> JSON:
    with writing("order") as (transaction, caller):
        app_id, user, draft = _ordered_by(transaction, caller, read_completion(body()))
        now = platform().clock()
        order, new = orders.complete(transaction, app_id, user, draft, now)
        if order.payment.tip == SILENT_TIP and now - order.created_at < SILENCE:
            lose_answer(request.environ)
        elif new:
            _maybe_lose_answer(transaction, order)
    payment = order.payment
    return {
        "order": {
            **_amounts_as_json(order),
            "gift_card_total_amount": payment.gift_card,
            "gift_card_tip_amount": payment.gift_card_tip,
        }
    }


@api.post("/v15/orders")
@api.post("/v14/orders")
def create_order() -> JSON:
    """Propose and complete in one step; sent twice it charges twice."""
    with writing("order") as (transaction, caller):
        app_id, user, draft = _ordered_by(transaction, caller, read_one_step(body()))
        order = orders.charge(transaction, app_id, user, draft, platform().clock())
        _maybe_lose_answer(transaction, order)
    return {"order": _amounts_as_json(order)}


def _ordered_by(transaction: Transaction, caller: Caller, draft: Draft) -> tuple[int, PlatformUser, Draft]:
    """The app that orders, for whom, and what.

    The payer shows a code (in the body, or in the header in the place of a user's token) or has given a token; the
    merchant's token may be untagged beside a code.
    """
    code = draft.payment_token_data or caller.code()
    if code is None:
        merchant_token = caller.merchant()
        token, user = caller.user("create_orders")
        if token.app_id != merchant_token.app_id:
            raise caller.refusal("user_token", "The user token is another app's.")
        app_id = token.app_id
    else:
        merchant_token = caller.older_merchant("manage_merchant_orders")
        app_id = merchant_token.app_id
        try:
            shown, user = scanned(transaction, code, "order")
        except ErrorResponse:
            if draft.payment_token_data:
                raise
            raise caller.refusal("user_token", "This code is nobody's.") from None
        if not draft.tip_amount:
            draft = replace(draft, tip_amount=_tip(transaction, draft, shown.tip_on(draft.spend_amount)))
    if orders.merchant_of(transaction, draft.location_id).id != merchant_token.merchant_id:
        raise caller.refusal("merchant_token", "The location is another merchant's.")
    return app_id, user, draft


def _tip(transaction: Transaction, draft: Draft, on_this: int) -> int:
    """The tip of a code: that on the proposal also where the spend of the completion is another."""
    proposal = transaction.proposal(draft.proposed_order_uuid) if draft.proposed_order_uuid else None
    return on_this if proposal is None else proposal.draft.tip_amount


def _maybe_lose_answer(transaction: Transaction, order: PlatformOrder) -> None:
    card = transaction.card(order.user_id)
    if order.payment.card and card and card.outcome == "answer_lost":
        lose_answer(request.environ)


# Reading orders.


@api.get("/v15/users/orders")
def list_orders() -> Listed:
    """A user's orders, newest first. The page after the last one is empty: 204."""
    with reading() as (transaction, caller):
        _, user = caller.user("read_user_orders")
        found = transaction.orders_of(user.id, limit=PAGE, offset=_offset())
        return page_of([_history(transaction, order) for order in found])


@api.get("/v15/apps/orders")
@api.get("/v14/apps/orders")
@api.get("/v14/apps/<int:number>/orders")
def list_app_orders(number: int | None = None) -> Listed:
    """Those that an app made: that of the user's token, or the one with this ``number``."""
    with reading() as (transaction, caller):
        token, user = caller.user("read_user_orders")
        found = transaction.orders_by(user.id, number or token.app_id, limit=PAGE, offset=_offset())
        return page_of([_history(transaction, order) for order in found])


@api.get("/v15/orders/<order_uuid>/interstitial")
@api.get("/v14/orders/<order_uuid>/interstitial")
def show_interstitial(order_uuid: str) -> JSON:
    """:raises ErrorResponse: 404: the merchants of this world show nothing after an order."""
    with reading() as (_, caller):
        caller.user()
    raise not_found("interstitial", "id", "Interstitial not found.")


@api.get("/v15/orders/<order_uuid>")
@api.get("/v14/orders/<order_uuid>")
def show_order(order_uuid: str) -> JSON:
    """An order as its merchant or its user may read it."""
    with reading() as (transaction, caller):
        if caller.names_user():
            _, user = caller.user("read_user_orders")
            order = transaction.order(order_uuid)
            if order is None or order.user_id != user.id:
                raise _unknown_order()
            return _history(transaction, order)
        return _order_of_merchant(transaction, caller.merchant(), order_uuid)


@api.get("/v15/merchants/<int:number>/orders/<order_uuid>")
@api.get("/v14/merchants/<int:number>/orders/<order_uuid>")
def show_merchant_order(number: int, order_uuid: str) -> JSON:
    """An order as its merchant reads it, ``refunded_at`` included."""
    with reading() as (transaction, caller):
        token = caller.older_merchant()
        if merchant_of(transaction, number).id != token.merchant_id:
            raise unauthorized("merchant_token", "The merchant token is another merchant's.")
        return _order_of_merchant(transaction, token, order_uuid)


@api.get("/v15/locations/<int:number>/orders")
@api.get("/v14/locations/<int:number>/orders")
def list_location_orders(number: int) -> Listed:
    """A location's orders, newest first, in pages; the page after the last one is empty: 204."""
    with reading() as (transaction, caller):
        token = caller.older_merchant()
        location = location_of(transaction, number)
        if location.merchant_id != token.merchant_id:
            raise unauthorized("merchant_token", "The location is another merchant's.")
        found = transaction.orders_at(location.id, token.app_id, limit=PAGE, offset=_offset())
        listed = [{"order": _details_as_json(transaction, order)} for order in found]
        return page_of(listed)


def _offset() -> int:
    return (page_number() - 1) * PAGE


def _order_of_merchant(transaction: Transaction, token: StoredToken, order_uuid: str) -> JSON:
    order = transaction.order(order_uuid)
    if order is None or (order.app_id, order.merchant_id) != (token.app_id, token.merchant_id):
        raise _unknown_order()
    return {"order": _details_as_json(transaction, order)}


def _unknown_order() -> ErrorResponse:
    return not_found("order", "id", "Order not found.")


def _user_of(transaction: Transaction, order: PlatformOrder) -> PlatformUser:
    user = transaction.user(order.user_id)
    assert user
    return user


# Refunding.


@api.post("/v15/orders/<order_uuid>/refund")
@api.post("/v14/orders/<order_uuid>/refund")
def refund_order(order_uuid: str) -> JSON | tuple[JSON, int]:
    """Refund a whole order. For some tips the answer is one that a client must not take for a refund."""
    with writing() as (transaction, caller):
        token = caller.older_merchant()
        reader = ObjectReader("refund", (optional_body() or {}).get("refund") or {})
        confirmation = reader.text("manager_confirmation")
        reader.check()
        order = orders.refund(
            transaction, token.app_id, token.merchant_id or 0, order_uuid, confirmation, platform().clock()
        )
        reported = _refund_as_json(order, _user_of(transaction, order))
        if order.payment.tip in orders.UNTIMED:
            return {"order": {**reported, "refunded_at": None}}, 202
        if order.payment.tip == orders.IN_PART:
            half = order.payment.spend // 2
            reported |= {"spend_amount": half, "tip_amount": 0, "total_amount": half}
        return {"order": reported}


def _amounts_as_json(order: PlatformOrder) -> JSON:
    payment = order.payment
    return {
        "uuid": order.uuid,
        "spend_amount": payment.spend,
        "tip_amount": payment.tip,
        "total_amount": payment.spend + payment.tip,
    }


def _details_as_json(transaction: Transaction, order: PlatformOrder) -> JSON:
    """An order as its merchant sees it. The documentation of 2014 has fewer members than the C# library reads."""
    draft, payment = order.draft, order.payment
    merchant = transaction.merchant(order.merchant_id)
    return {
        **_refund_as_json(order, _user_of(transaction, order)),
        "balance_amount": payment.card,
        "cashier": draft.cashier,
        "contribution_amount": 0,
        "credit_applied_amount": payment.discount + payment.gift_card + payment.global_credit,
        "credit_earned_amount": order.earned,
        "display_balance_amount": payment.card,
        "exemption_amount": draft.exemption_amount,
        "id": order.number,
        "identifier_from_merchant": draft.identifier_from_merchant,
        "items": _items_as_json(draft.items),
        "merchant_id": order.merchant_id,
        "merchant_name": merchant and merchant.name,
        # No page says what it is other than null.
        "refund_source": None,
        "register": draft.register,
        "requested_spend_amount": draft.spend_amount,
        "requested_tip_amount": draft.tip_amount,
        "requested_total_amount": draft.spend_amount + draft.tip_amount,
        "tax_amount": draft.tax_amount,
        "transacted_at": time_as_text(order.created_at),
    }


def _refund_as_json(order: PlatformOrder, user: PlatformUser) -> JSON:
    """An order in the answer to its refund."""
    return {
        "created_at": time_as_text(order.created_at),
        "location_id": order.location_id,
        "loyalty_id": loyalty_id(order.merchant_id, order.user_id),
        "refunded_at": order.refunded_at and time_as_text(order.refunded_at),
        "user_display_name": user.display_name,
        "earn_amount": order.earned,
        "merchant_funded_credit_amount": order.payment.discount,
        **_amounts_as_json(order),
    }


def _history(transaction: Transaction, order: PlatformOrder) -> JSON:
    """An order as its user sees it."""
    location = transaction.location(order.location_id)
    assert location
    return {
        "order": {
            **_details_as_json(transaction, order),
            "bundle_closed_at": time_as_text(order.created_at),
            "bundle_descriptor": "LevelUp",
            "contribution_target": None,
            "contribution_target_name": None,
            "location_name": location.name,
            "location_latitude": location.latitude,
            "location_longitude": location.longitude,
            "location_street_address": location.street_address,
            "location_extended_address": location.extended_address,
            "location_locality": location.locality,
            "location_region": location.region,
            "location_postal_code": location.postal_code,
            "pos_app_id": order.app_id,
        }
    }


def _items_as_json(items: list[dict[str, Any]]) -> list[JSON]:
    """With both names of the price that was charged: that of 2014 and the later one."""
    return [
        {
            "item": {
                **item,
                "charged_price": item["charged_price_amount"],
                "children": _items_as_json(item.get("children") or []),
            }
        }
        for item in items
    ]
