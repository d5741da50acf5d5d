"""An order as a Vendure cart has it, and what the cart says it costs."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from datetime import timezone
from typing import Any

from levelup_ov.domain.options import Choice, nest
from levelup_ov.domain.order import Item, Order
from levelup_ov.domain.outcome import Fee, Quote
from levelup_ov.domain.ready_time import Ready
from levelup_ov.errors import Refused, broken_protocol
from levelup_ov.transport.answer import Answer

MERCHANT_DISCOUNT = "LevelUp merchant-funded discount"
"""The name of the shop's promotion that takes off what the merchant pays for."""
HELD = """fragment Held on Order {
  lines { quantity linePrice productVariant { id }
    customFields { instructions recipient modifiers { id facet { id } } } }
}"""
CART = """fragment Cart on Order { ...Held
  code totalWithTax customFields { pickupAt } taxSummary { taxTotal }
  surcharges { sku description price } discounts { description amount }
}"""
"""Ask for what :func:`missing_item` and :func:`read_quote` read."""


def content_of(order: Order) -> dict[str, Any]:
    """The order as the shop takes it."""
    lines = [_line(item, f"$.items[{position}].item") for position, item in enumerate(order.items)]
    return {"lines": lines, "fields": fields_of(order), "tip": order.tip}


def fields_of(order: Order) -> dict[str, Any]:
    """The custom fields of the order."""
    wanted = order.desired_ready_time
    return {
        "pickupAt": wanted and wanted.astimezone(timezone.utc).isoformat(),
        "instructions": order.special_instructions,
        "merchantFundedDiscount": order.merchant_funded_discount,
    }


def _line(item: Item, path: str) -> dict[str, Any]:
    modifiers = [_modifier(choice, f"{path}.options") for choice in nest(item.options, path=path)]
    fields = {"modifiersIds": modifiers, "instructions": item.special_instructions, "recipient": item.recipient_name}
    return {"productVariantId": item.provider_id, "quantity": item.quantity, "customFields": fields}


def _modifier(choice: Choice, path: str) -> str:
    """The option as the shop's lines have it: once, with nothing below it."""
    if choice.children:
        raise Refused("unknown_option", f"option {choice.option_id} of {choice.group_id} has no options", path=path)
    if choice.quantity > 1:
        raise Refused("invalid_choices", f"option {choice.option_id} can be chosen only once for an item", path=path)
    return choice.option_id


def digest_of(order: Order) -> str:
    """Of what does not change between a validation and its submission (META-5)."""
    content = [order.location.provider_id, repr(order.user), order.merchant_funded_discount, content_of(order)["lines"]]
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()


def missing_item(order: Order, cart: Answer) -> int | None:
    """The position of the first item that is not in the cart as it was ordered; None if all are.

    The shop is not told option groups, and reads ``1.0`` as 1: so neither is taken on trust.

    :raises Unanswered: the cart holds more than that.
    """
    held: Counter[tuple[Any, ...]] = Counter()
    for line in cart.each("lines"):
        fields = line.member("customFields")
        options = ((each.member("facet").identifier("id"), each.identifier("id")) for each in fields.each("modifiers"))
        variant, said = line.member("productVariant").identifier("id"), ("instructions", "recipient")
        held[(variant, frozenset(options), *(fields.text(name, None) for name in said))] += line.integer("quantity")
    for position, item in enumerate(order.items):
        options = ((choice.group_id, choice.option_id) for choice in nest(item.options))
        wanted = (item.provider_id, frozenset(options), item.special_instructions, item.recipient_name)
        held[wanted] -= item.quantity
        if held[wanted] < 0:
            return position
    if any(held.values()):
        raise broken_protocol("the provider's cart holds more than was ordered")
    return None


def read_quote(cart: Answer, order: Order) -> Quote:
    """What the cart costs, if it holds the order.

    :raises Refused: it does not, or the merchant-funded discount is not taken off whole.
    """
    if (position := missing_item(order, cart)) is not None:
        variants = [line.member("productVariant").identifier("id") for line in cart.each("lines")]
        known = order.items[position].provider_id in variants
        words = "the shop has no such item, or not with these options"
        raise Refused("unknown_option" if known else "unknown_item", words, path=f"$.items[{position}].item")
    tips = [each.cents("price") for each in cart.each("surcharges") if each.text("sku") == "tip"]
    fees = (each for each in cart.each("surcharges") if each.text("sku") != "tip")
    discounts: Counter[bool] = Counter()
    for discount in cart.each("discounts"):
        discounts[discount.text("description") == MERCHANT_DISCOUNT] += _taken_off(discount)
    if discounts[True] != order.merchant_funded_discount:
        words = f"the shop takes {discounts[True]} of the merchant-funded discount of {order.merchant_funded_discount}"
        raise Refused("order_refused", words, path="$.merchant_funded_discount")
    ready_at = cart.member("customFields").instant("pickupAt", None)
    if ready_at != order.desired_ready_time:
        raise broken_protocol("the provider does not keep the time that was asked for")
    return Quote(
        food=sum(line.cents("linePrice") for line in cart.each("lines")),
        tax=sum(rate.cents("taxTotal") for rate in cart.each("taxSummary")),
        tip=sum(tips) if tips or not order.tip else None,
        charged=cart.cents("totalWithTax"),
        merchant_funded_discount=discounts[True],
        provider_funded_discount=discounts[False],
        fees=tuple(Fee(fee.text("description"), fee.cents("price")) for fee in fees),
        # Any time will do (TIME-6); as soon as possible has none here (TIME-7).
        ready=Ready(ready_at),
    )


def _taken_off(discount: Answer) -> int:
    amount = discount.decimal("amount")
    if amount > 0 or amount != int(amount):
        raise broken_protocol(f"the provider's answer has no discount in cents at {discount.path}.amount")
    return -int(amount)
