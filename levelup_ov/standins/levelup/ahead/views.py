"""An order ahead as apps are shown it, ready to be sent: made when the order changes, not each time it is asked for."""

from __future__ import annotations

import json
from typing import Any

from levelup_ov.standins.levelup.ahead import carts
from levelup_ov.standins.levelup.store import Ahead, Transaction

JSON = dict[str, Any]
SUBMITTED = ("charging", "submitting", "completed")
"""States in which an order is shown at the address where it is completed."""
_BEGINS = '{"order":{'


def answer_of(transaction: Transaction, order: Ahead) -> str | None:
    """What a poll of an order is answered in its state; None for one that is answered without a body, or refused."""
    if order.state == "valid":
        return validated(transaction, order)
    return completed(transaction, order) if order.state in SUBMITTED else None


def with_url(answer: str, url: str) -> str:
    """A validated order with the address, of this very host, where it is completed."""
    return f'{_BEGINS}"order_completion_url":{json.dumps(url)},{answer.removeprefix(_BEGINS)}'


def _dumped(members: JSON) -> str:
    return json.dumps({"order": members}, separators=(",", ":"))


def conveyance(order: Ahead) -> JSON:
    """How, and when it was wanted."""
    return {
        "fulfillment_type": order.cart["fulfillment_type"],
        "desired_ready_time": order.cart["desired_ready_time"],
        "delivery_address_id": None,
    }


def _amounts(order: Ahead) -> JSON:
    amounts = carts.amounts_of(order.quote)
    assert amounts
    return {
        "spend_amount": amounts.spend,
        "subtotal": amounts.food,
        "tax_amount": amounts.tax,
        "tip_amount": amounts.tip,
        "service_fee_amount": amounts.fees,
        "delivery_fee_amount": 0,
        "discount_amount": amounts.discount,
        "total_amount": amounts.total,
    }


def where(transaction: Transaction, order: Ahead) -> JSON:
    """Where it is picked up."""
    location = transaction.location(order.location_id)
    assert location
    merchant = transaction.merchant(location.merchant_id)
    lines = [location.street_address, location.locality]
    return {
        "location_id": location.id,
        "location_title": location.name,
        "location_subtitle": ", ".join(line for line in lines if line),
        "instructions": f"Pick up your order at {location.name}.",
        "phone": location.phone,
        "latitude": location.latitude,
        "longitude": location.longitude,
        "merchant_name": merchant and merchant.name,
    }


def validated(transaction: Transaction, order: Ahead) -> str:
    """A validated order; :func:`with_url` adds where it is completed."""
    location = transaction.location(order.location_id)
    zone = location.time_zone if location else None
    available: Any = order.quote.get("available_at")
    if isinstance(available, list):
        available = [instant for instant in (carts.instant_of(text, zone) for text in available) if instant]
    members = {
        "uuid": order.uuid,
        "state": order.state,
        **_amounts(order),
        "soonest_available_at": carts.instant_of(order.quote.get("soonest_available_at"), zone),
        "available_at": available,
        "conveyance": conveyance(order),
        "items": order.cart["described"],
        "special_instructions": order.cart["special_instructions"],
        **order.cart["rules"],
        **where(transaction, order),
    }
    if order.problem:
        members["problem"] = order.problem
    return _dumped(members)


def completed(transaction: Transaction, order: Ahead) -> str:
    """An order that is paid for, and what the restaurant says of it."""
    location = transaction.location(order.location_id)
    placed = order.placed or {}
    number = placed.get("order_id")
    members = {
        "uuid": order.uuid,
        "state": order.state,
        "conveyance": conveyance(order),
        "items": order.cart["described"],
        "order_number": None if number is None else str(number),
        "ready_at": carts.instant_of(placed.get("expected_ready_at"), location.time_zone if location else None),
        **_amounts(order),
        **where(transaction, order),
    }
    charged = transaction.order(order.charge) if order.charge else None
    if charged:
        payment = charged.payment
        # Ours: who paid what of it.
        members["payment"] = {
            "merchant_funded_credit_amount": payment.discount,
            "gift_card_amount": payment.gift_card,
            "global_credit_amount": payment.global_credit,
            "card_amount": payment.card,
            "uuid": charged.uuid,
        }
    return _dumped(members)
