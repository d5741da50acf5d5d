"""An order in the form of a Vendure cart, and the cart's price."""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Hashable
from datetime import timezone
from typing import Any

from levelup_ov.adapter import (
    AddressDecides,
    Cents,
    Choice,
    DeliveryAddress,
    Fee,
    Item,
    JSONObject,
    Order,
    Quote,
    Ready,
    Refused,
    User,
    broken_protocol,
    line_prices,
    nest,
)

CART = """
  token merchantDiscount providerDiscount
  order { code total totalWithTax customFields { pickupAt guestName guestPhone guestEmail } taxSummary { taxTotal }
    lines { quantity linePrice productVariant { id }
      customFields { instructions recipient modifiers { id facet { id } } } }
    surcharges { sku description price priceWithTax } }
"""
"""Requests what :func:`read_quote` reads. Amounts exclude tax unless their names say otherwise."""
DELIVERY = """
  customFields { deliveryInstructions }
  shippingAddress { streetLine1 streetLine2 city province postalCode }
  shippingLines { discountedPrice shippingMethod { name } }
"""
"""Requests what it also reads of a delivery."""
_ADDRESS = {
    "streetLine1": "street_address", "streetLine2": "extended_address", "city": "locality", "province": "region",
    "postalCode": "postal_code",
}  # fmt: skip


def content_of(order: Order) -> dict[str, Any]:
    """The order in the shop's form."""
    lines = [_line(item, f"$.items[{position}].item") for position, item in enumerate(order.items)]
    discount = {"merchantFundedDiscount": order.merchant_funded_discount}
    content = {"reference": order.reference, "items": lines, "guest": _guest(order.user), **discount, **changing(order)}
    return content | ({"delivery": {"address": _address(order)}} if order.fulfillment_type == "delivery" else {})


def _address(order: Order) -> dict[str, str | None] | None:
    if (address := order.delivery_address) is None:
        return None
    return {
        "street": address.street_address, "extra": address.extended_address, "city": address.locality,
        "region": address.region, "postalCode": address.postal_code, "instructions": address.delivery_instructions,
    }  # fmt: skip


def changing(order: Order) -> dict[str, Any]:
    """What may change between a validation and its submission (META-5)."""
    wanted = order.desired_ready_time
    return {
        "pickupAt": wanted and wanted.astimezone(timezone.utc).isoformat(),
        "instructions": order.special_instructions,
        "tip": order.tip,
    }


def _guest(user: User) -> dict[str, str | None]:
    return {"firstName": user.first_name, "lastName": user.last_name, "phone": user.phone, "email": user.email}


def _line(item: Item, path: str) -> dict[str, Any]:
    options = [_option(choice, f"{path}.options") for choice in nest(item.options, path=path)]
    said = {"instructions": item.special_instructions, "recipient": item.recipient_name}
    return {"variant": item.provider_id, "quantity": item.quantity, "options": options, **said}


def _option(choice: Choice, path: str) -> dict[str, str]:
    """The option in the form of the shop's lines: once, without nested options."""
    if choice.children:
        raise Refused("unknown_option", f"option {choice.option_id} of {choice.group_id} has no options", path=path)
    if choice.quantity > 1:
        raise Refused("invalid_choices", f"option {choice.option_id} can be chosen only once for an item", path=path)
    return {"group": choice.group_id, "value": choice.option_id}


def digest_of(order: Order) -> str:
    """The digest of what does not change between a validation and its submission (META-5)."""
    content = [order.location.provider_id, repr(order.user), order.merchant_funded_discount, content_of(order)["items"]]
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()


def delivery_digest(order: Order) -> str:
    """The digest of where an order is brought; empty for a pickup."""
    if order.fulfillment_type != "delivery":
        return ""
    return hashlib.sha256(json.dumps(_address(order)).encode()).hexdigest()


def read_quote(cart: JSONObject, order: Order) -> Quote:
    """The price of the cart.

    Discounts and tax are the shop's. If prices include tax, the shop rounds each line without it; the difference to
    the sum of its discounts is reported as the shop's own discount, so that the parts add up.

    :raises Refused: the shop does not apply the whole merchant-funded discount.
    :raises Unanswered: the cart does not match the order, or belongs to another guest.
    """
    held = cart.member("order")
    _check_guest(held.member("customFields"), order.user)
    lines = _check_lines(held, order)
    tips = [each for each in held.each("surcharges") if each.text("sku") == "tip"]
    fees = [
        Fee(each.text("description"), each.cents("price"))
        for each in held.each("surcharges")
        if each.text("sku") != "tip"
    ]
    decides: frozenset[AddressDecides] = frozenset()
    if order.fulfillment_type == "delivery":
        brought = cart.member("delivery")
        fees += [fee for fee in map(_delivery_fee, brought.each("shippingLines")) if fee.amount]
        if order.delivery_address is None:
            decides = frozenset({"availability", "fee", "minimum", "tax"})
        else:
            _check_address(brought, order.delivery_address)
    merchant, provider = cart.cents("merchantDiscount"), cart.cents("providerDiscount")
    if merchant != order.merchant_funded_discount:
        words = f"the shop takes {merchant} of the merchant-funded discount of {order.merchant_funded_discount}"
        raise Refused("order_refused", words, path="$.merchant_funded_discount")
    ready_at = held.member("customFields").instant("pickupAt", None)
    if ready_at != order.desired_ready_time:
        raise broken_protocol("the provider does not keep the requested time")
    tip = sum(each.cents("priceWithTax") for each in tips)
    quote = Quote(
        food=sum(line.cents("linePrice") for line in held.each("lines")),
        tax=sum(rate.cents("taxTotal") for rate in held.each("taxSummary")),
        tip=tip if tips or not order.tip else None,
        charged=held.cents("totalWithTax"),
        merchant_funded_discount=merchant,
        provider_funded_discount=provider,
        fees=tuple(fees),
        address_decides=decides,
        # Any time is fine (TIME-6); "as soon as possible" has no time here (TIME-7).
        ready=Ready(ready_at),
        lines=lines,
    )
    if held.cents("total") != quote.total + tip - merchant - provider:
        raise broken_protocol("the parts of the provider's price do not add up to its total")
    return quote


def _delivery_fee(line: JSONObject) -> Fee:
    return Fee(line.member("shippingMethod").text("name"), line.cents("discountedPrice"))


def _check_address(brought: JSONObject, address: DeliveryAddress) -> None:
    """:raises Unanswered: the cart goes to another address, or nobody brings it."""
    held = brought.member("shippingAddress")
    said = {name: held.text(name, None) or None for name in _ADDRESS}
    directions = brought.member("customFields").text("deliveryInstructions", None)
    if said != {name: getattr(address, ours) or None for name, ours in _ADDRESS.items()} or (
        (directions or None) != (address.delivery_instructions or None)
    ):
        raise broken_protocol("the provider's cart goes to another address: $.order.shippingAddress of the answer")
    if not brought.each("shippingLines"):
        raise broken_protocol("the provider's cart has no delivery: $.order.shippingLines of the answer")


def _check_guest(fields: JSONObject, user: User) -> None:
    """An answer that came back to the wrong request may hold the very same lines (SUB-8)."""
    said = (fields.text("guestName"), fields.text("guestPhone", None), fields.text("guestEmail", None))
    # The plugin trims names, and does not count the same characters as blank.
    if (_unspaced(said[0]), *said[1:]) != (_unspaced(user.name), user.phone, user.email):
        raise broken_protocol("the provider's cart is another guest's: $.order.customFields of the answer")


def _unspaced(name: str) -> str:
    return re.sub(r"[\s\ufeff]", "", name)


def _check_lines(held: JSONObject, order: Order) -> tuple[Cents, ...] | None:
    """The price of each item, if the shop has not merged equal ones; the lines must be those of the order (ITEM-11)."""
    lines: Counter[Hashable] = Counter()
    prices: list[tuple[Hashable, Cents]] = []
    for line in held.each("lines"):
        fields = line.member("customFields")
        options = ((each.member("facet").identifier("id"), each.identifier("id")) for each in fields.each("modifiers"))
        variant, said = line.member("productVariant").identifier("id"), ("instructions", "recipient")
        key: Hashable = (variant, frozenset(options), *(fields.text(name, None) for name in said))
        lines[key] += line.integer("quantity")
        prices.append((key, line.cents("linePrice")))
    ordered = [_ordered(item) for item in order.items]
    for key, item in zip(ordered, order.items, strict=True):
        lines[key] -= item.quantity
    if any(lines.values()):
        raise broken_protocol("the provider's cart does not match the order")
    return line_prices(ordered, prices)


def _ordered(item: Item) -> Hashable:
    chosen = ((choice.group_id, choice.option_id) for choice in nest(item.options))
    return (item.provider_id, frozenset(chosen), item.special_instructions, item.recipient_name)
