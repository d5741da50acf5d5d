"""A cart as an app sends it, as the gateway's validation, and back to what an app is shown."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any
from zoneinfo import ZoneInfo

from levelup_ov.standins.levelup.ahead.menus import items_of, options_price
from levelup_ov.standins.levelup.problems import ErrorResponse, error
from levelup_ov.standins.levelup.reading import ObjectReader, unwrap
from levelup_ov.standins.levelup.store import PlatformUser
from levelup_ov.standins.levelup.world import PlatformLocation

JSON = dict[str, Any]

INSTRUCTIONS_LIMIT = 1000
MOST_OPTIONS = 100


@dataclass(frozen=True, slots=True)
class AheadCart:
    """Its members are named as apps send them; ready for JSON."""

    location_id: int
    fulfillment_type: str
    desired_ready_time: str | None
    items: list[JSON]
    special_instructions: str | None
    tip_amount: int | None


def read_cart(body: Any) -> AheadCart:
    """:raises ErrorResponse: 422 with every mistake."""
    reader = unwrap(body, "order")
    conveyance = reader.child("conveyance", reader.object("conveyance"))
    kind = conveyance.text("fulfillment_type") or "pickup"
    if kind != "pickup":
        conveyance.refuse("fulfillment_type", "Only pickup can be ordered here.")
    wanted = conveyance.text("desired_ready_time")
    if wanted is not None and _instant(wanted) is None:
        conveyance.refuse("desired_ready_time", "desired_ready_time must be a time with an offset.")
    cart = AheadCart(
        reader.number("location_id") or 0,
        kind,
        wanted,
        _items(reader),
        reader.text("special_instructions", limit=INSTRUCTIONS_LIMIT),
        reader.cents("tip_amount"),
    )
    reader.check()
    if not cart.items:
        raise invalid_cart("There is nothing in the cart.")
    return cart


def _items(reader: ObjectReader) -> list[JSON]:
    items = []
    for entry in reader.list("items"):
        item = reader.child("item", entry.get("item") if isinstance(entry, dict) else None)
        options = item.list("option_ids")
        if len(options) > MOST_OPTIONS or not all(type(option) is int for option in options):
            item.refuse("option_ids", f"option_ids are at most {MOST_OPTIONS} numbers.")
            options = []
        items.append(
            {
                "id": item.number("id"),
                "quantity": item.count("quantity") or 1,
                "special_instructions": item.text("special_instructions", limit=INSTRUCTIONS_LIMIT),
                "option_ids": options,
            }
        )
    return items


def invalid_cart(message: str) -> ErrorResponse:
    """422 as the iOS library knows it."""
    return ErrorResponse(422, [error(message, object="order", property="items", code="cart_invalid")])


@dataclass(frozen=True, slots=True)
class Known:
    """What a cart is checked against: the gateway's menu, the app's menu, and the meaning of the numbers."""

    menu: JSON
    layout: JSON
    keys: Mapping[tuple[str, int], str]


def numbers_of(cart: AheadCart) -> list[tuple[str, int]]:
    """Kinds and numbers that a cart names."""
    items = [("item", item["id"]) for item in cart.items]
    return items + [("option", option) for item in cart.items for option in item["option_ids"]]


def validation(
    cart: AheadCart, known: Known, location: PlatformLocation, user: PlatformUser, credit: int, metadata: JSON
) -> JSON:
    """The body of an order validation. ``credit``: what the merchant's credit can take off.

    :raises ErrorResponse: 422, an id is not of this location's menu.
    """
    laid_out = items_of(known.layout)
    groups = {each["option_group"]["provider_id"]: each["option_group"] for each in known.menu["option_groups"]}
    dishes = {
        (category["category"]["provider_id"], entry["item"]["provider_id"]): (category["category"], entry["item"])
        for category in known.menu["categories"]
        for entry in category["category"]["items"]
    }
    items, subtotal = [], 0
    for wanted in cart.items:
        path = json.loads(known.keys.get(("item", wanted["id"]), "[]"))
        found = dishes.get(tuple(path[1:])) if path[:1] == [location.gateway_id] else None
        if found is None or wanted["id"] not in laid_out:
            raise invalid_cart("An item of the cart is not on the menu of this location any more.")
        category, dish = found
        shown = laid_out[wanted["id"]]
        shown_groups = [each["option_group"] for each in shown["option_groups"]]
        offered = {each["option"]["id"] for group in shown_groups for each in group["options"]}
        options = []
        picked: Counter[int] = Counter(wanted["option_ids"])
        for option, quantity in picked.items():
            if option not in offered:
                raise invalid_cart("An option of the cart does not belong to its item.")
            chosen = json.loads(known.keys["option", option])
            options.append({"option": _option(groups[chosen[-2]], chosen[-1], quantity)})
        price = shown["price_amount"] + options_price(shown_groups, wanted["option_ids"])
        subtotal += price * wanted["quantity"]
        items.append(
            {
                "item": {
                    "provider_id": dish["provider_id"],
                    "name": dish["name"],
                    "category_id": category["provider_id"],
                    "category_group_id": category.get("category_group"),
                    "price": dish["price"],
                    "quantity": wanted["quantity"],
                    "special_instructions": wanted["special_instructions"],
                    "metadata": _ours(dish.get("metadata")),
                    "options": options,
                }
            }
        )
    wanted_at = None
    if cart.desired_ready_time is not None:
        wanted_at = local_time(cart.desired_ready_time, location.time_zone)
    person: JSON = {"first_name": user.first_name, "last_name": user.last_name, "email": user.email}
    if user.phone:
        person["phone"] = user.phone
    return {
        "fulfillment_type": cart.fulfillment_type,
        "desired_ready_time": wanted_at,
        "special_instructions": cart.special_instructions,
        "tip": cart.tip_amount,
        "merchant_funded_discount": min(credit, subtotal),
        "user": person,
        "metadata": metadata,
        "items": items,
    }


def _option(group: JSON, provider_id: str, quantity: int) -> JSON:
    for entry in group["options"]:
        option = entry["option"]
        if option["provider_id"] == provider_id:
            return {
                "provider_id": provider_id,
                "option_group_id": group["provider_id"],
                "quantity": quantity,
                "price": option["price"],
                "option_group_display_order": group.get("display_order"),
                "metadata": _ours(option.get("metadata")),
            }
    raise invalid_cart("An option of the cart is not on the menu any more.")


def _ours(metadata: Any) -> JSON:
    """What a menu wants to see again (ITEM-9)."""
    ours = ("integration_", "integration-")
    return {name: value for name, value in (metadata or {}).items() if name.startswith(ours)}


# Times.


def local_time(instant: str, zone: str | None) -> str:
    """A time of an app's as the location's clock shows it, without a zone; with one where the zone is not known."""
    parsed = _instant(instant)
    assert parsed
    if zone is None:
        return parsed.astimezone(timezone.utc).strftime("%Y-%m-%dT%H:%MZ")
    return parsed.astimezone(ZoneInfo(zone)).strftime("%Y-%m-%dT%H:%M")


def instant_of(text: Any, zone: str | None) -> str | None:
    """A time from the gateway, local or with ``Z``, in the apps' form; None if unknown."""
    try:
        parsed = datetime.fromisoformat(text)
    except (TypeError, ValueError):
        return None
    if parsed.tzinfo is None:
        if zone is None:
            return None
        parsed = parsed.replace(tzinfo=ZoneInfo(zone))
    return parsed.astimezone(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def _instant(text: str) -> datetime | None:
    try:
        parsed = datetime.fromisoformat(text)
        return parsed if parsed.tzinfo and 1971 <= parsed.year < 9999 else None
    except ValueError:
        return None


# What an app is shown.


@dataclass(frozen=True, slots=True)
class CartAmounts:
    """Of a validated order, cents. ``spend``: food and tax; ``total``: with fees and the tip, before discounts."""

    food: int
    tax: int
    tip: int
    merchant_funded: int
    provider_funded: int
    fees: int

    @property
    def spend(self) -> int:
        return self.food + self.tax

    @property
    def total(self) -> int:
        return self.spend + self.fees + self.tip

    @property
    def discount(self) -> int:
        return self.merchant_funded + self.provider_funded


def read_quote(body: Any) -> tuple[JSON, CartAmounts] | None:
    """The answer to a validation and its amounts; None for anything else."""
    quote = body.get("order_validation", body) if isinstance(body, dict) else None
    if not isinstance(quote, dict):
        return None
    amounts = amounts_of(quote)
    return None if amounts is None else (quote, amounts)


def amounts_of(quote: JSON) -> CartAmounts | None:
    """The amounts of a validation."""
    names = ("total", "tax", "tip", "merchant_funded_discount", "provider_funded_discount")
    # A place that takes no tips says null.
    values = [quote.get(name) or 0 if name == "tip" else quote.get(name) for name in names]
    cents = [value for value in values if type(value) is int and value >= 0]
    if len(cents) < len(names):
        return None
    total, tax, tip, merchant_funded, provider_funded = cents
    fees = min(sum(amount for _, amount in fees_of(quote)), total)
    return CartAmounts(total - fees, tax, tip, merchant_funded, provider_funded, fees)


def fees_of(quote: JSON) -> list[tuple[str, int]]:
    """The fees that are in the total of a validation (MONEY-9)."""
    fees = quote.get("order_fees") or (quote.get("metadata") or {}).get("order_fees") or []
    found = [(fee.get("name"), fee.get("amount")) for fee in fees if isinstance(fee, dict)]
    return [(name, amount) for name, amount in found if isinstance(name, str) and type(amount) is int and amount > 0]
