"""The order that every server prices: 8 items with 3 options each, one of them nested (ITEM-2, ITEM-3)."""

from __future__ import annotations

import json
from typing import Any

API_KEY = "bench-channel"
"""What the channel shows: long enough for production."""

ITEMS = tuple(range(1, 9))


def option_ids(item: int) -> tuple[str, str, str]:
    """The ids of an item's options as a menu publishes them, parents first."""
    return f"size-{item}:large", f"extras-{item}:cheese", f"extras-{item}:cheese:age-{item}:old"


def _option(provider_id: str, position: int) -> dict[str, Any]:
    return {
        "option": {
            "provider_id": provider_id,
            "option_group_id": provider_id.rpartition(":")[0],
            "quantity": 1,
            "price": 50 * position,
            "option_group_display_order": position,
            "metadata": {"integration_position": position},
        }
    }


def _item(number: int) -> dict[str, Any]:
    return {
        "item": {
            "provider_id": f"item-{number}",
            "quantity": 1 + number % 2,
            "name": f"Sandwich number {number}",
            "category_id": "sandwiches",
            "category_group_id": None,
            "price": 1000,
            "recipient_name": None,
            "special_instructions": "cut in half" if number == 1 else None,
            "metadata": {"integration_station": "cold"},
            "options": [_option(provider_id, position) for position, provider_id in enumerate(option_ids(number))],
        }
    }


ORDER = {
    "desired_ready_time": None,
    "fulfillment_type": "pickup",
    "special_instructions": "no cutlery, please",
    "tip": 200,
    "merchant_funded_discount": 100,
    "user": {
        "first_name": "Sample",
        "last_name": "Person",
        "phone": "+16175550100",
        "email": "sample@example.com",
    },
    "metadata": {},
    "items": [_item(number) for number in ITEMS],
}
BODY = json.dumps({"order_validation": ORDER}).encode()
NUMBER = "number-0000000000"
"""An order number of which the load generator makes a new one for every request."""
SUBMISSION = json.dumps({"order_submission": {**ORDER, "order_number": NUMBER}}).encode()
