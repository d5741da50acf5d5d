"""Toast's orders in the contract's terms and back: the request, its price, the placed order."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timezone
from typing import Any

from adapters.toast_delivery import delivery_state
from adapters.toast_menu import group_guid
from levelup_ov.adapter import (
    Cents,
    Choice,
    Fee,
    Item,
    JSONObject,
    Order,
    OrderStatus,
    Placed,
    Quote,
    Ready,
    Refused,
    Secret,
    Stage,
    User,
    broken_protocol,
    check_basket,
    decode_path,
    nest,
    read_phone,
    to_decimal,
)

MOST_MODIFIERS = 200
"""The most modifiers that an item of an order may have."""
MOST_OF_EMAIL = 53
"""The most characters of a guest's e-mail address."""
NO_LAST_NAME = "Guest"
"""The last name of a guest who has only one name: Toast requires two."""
ORDER_STATUS: Mapping[str, Stage] = {
    "NEEDS_APPROVAL": "placed",
    "FUTURE": "placed",
    "APPROVED": "accepted",
    "NOT_APPROVED": "refused",
    "IN_PREPARATION": "preparing",
    "READY_FOR_PICKUP": "ready",
    "CLOSED": "picked_up",
    "CLOSED, delivery": "delivered",
    "DELIVERED": "delivered",
    "voided": "cancelled",
}
"""The values of ``approvalStatus`` and ``guestOrderStatus``, and the member ``voided``."""
_US = "1"
"""The calling code of the United States; Toast requires the code for all other numbers."""


def customer(user: User, region: str) -> dict[str, Any]:
    """The guest as Toast requires one; it checks that when an order is placed, not when it is priced.

    ``region`` is the restaurant's country. A number from another country is sent in two parts.

    :raises Refused: ``customer_refused``.
    """
    for name, value, words in (("phone", user.phone, "a phone number"), ("email", user.email, "an e-mail address")):
        if not value:
            raise Refused("customer_refused", f"the restaurant needs {words}", path=f"$.user.{name}")
    if len(user.email or "") > MOST_OF_EMAIL:
        words = f"the restaurant takes e-mail addresses of at most {MOST_OF_EMAIL} characters"
        raise Refused("customer_refused", words, path="$.user.email")
    phone = {"phone": user.phone or ""}
    found = read_phone(phone["phone"], region)
    if found is not None and (found.country_code != _US or region != "US"):
        phone = {"phone": found.national, "phoneCountryCode": found.country_code}
    return {
        "entityType": "Customer", "firstName": user.first_name or user.last_name,
        "lastName": (user.first_name and user.last_name) or NO_LAST_NAME, **phone, "email": user.email,
    }  # fmt: skip


def order_body(
    order: Order, guest: Mapping[str, Any], dining_option: str, discount: str, promised: datetime | None
) -> dict[str, Any]:
    """The order in Toast's form, without a payment."""
    selections = [_selection(item, f"$.items[{position}].item") for position, item in enumerate(order.items)]
    if order.special_instructions:
        selections[0]["modifiers"].append(_note(f"whole order: {order.special_instructions}", order.items[0].quantity))
    check: dict[str, Any] = {
        "entityType": "Check",
        "customer": guest,
        "selections": selections,
    }
    if order.merchant_funded_discount:
        amount = to_decimal(order.merchant_funded_discount)
        check["appliedDiscounts"] = [{"discount": {"guid": discount}, "discountAmount": amount}]
    times = {} if promised is None else {"promisedDate": _stamp(promised), "openedDate": _stamp(promised)}
    return {"entityType": "Order", "diningOption": {"guid": dining_option}, **times, "checks": [check]}


def _selection(item: Item, path: str) -> dict[str, Any]:
    try:
        _, group, guid = decode_path(item.provider_id)
    except ValueError:
        words = f"{item.provider_id!r} is not an item id of the menu"
        raise Refused("unknown_item", words, path=f"{path}.provider_id") from None
    choices = nest(item.options, path=path)
    if sum(map(_size, choices)) > MOST_MODIFIERS:
        raise Refused("invalid_choices", f"an item takes at most {MOST_MODIFIERS} options", path=f"{path}.options")
    notes = (item.recipient_name and f"for {item.recipient_name}", item.special_instructions)
    return {
        "entityType": "MenuItemSelection", "itemGroup": {"guid": group}, "item": {"guid": guid},
        "quantity": item.quantity,
        "modifiers": [
            *(modifier for choice in choices for modifier in _modifiers(choice, item.quantity)),
            *(_note(note, item.quantity) for note in notes if note),
        ],
    }  # fmt: skip


def _size(choice: Choice) -> int:
    """How many modifiers an option and its nested options are."""
    return choice.quantity * (1 + sum(map(_size, choice.children)))


def _modifiers(choice: Choice, quantity: int) -> list[dict[str, Any]]:
    below = [modifier for child in choice.children for modifier in _modifiers(child, quantity)]
    modifier = {
        "entityType": "MenuItemSelection", "optionGroup": {"guid": group_guid(choice.group_id)},
        "item": {"guid": choice.option_id}, "quantity": quantity, "modifiers": below,
    }  # fmt: skip
    return [modifier] * choice.quantity


def _note(words: str, quantity: int) -> dict[str, Any]:
    return {"selectionType": "SPECIAL_REQUEST", "displayName": words, "quantity": quantity}


def refuse_notes(order: Order) -> None:
    """Refuse an order with a note for a kitchen that accepts none (ITEM-8)."""
    for path, words in (
        ("$.special_instructions", order.special_instructions),
        *((f"$.items[{n}].item.special_instructions", item.special_instructions) for n, item in enumerate(order.items)),
    ):
        if words:
            raise Refused("special_instructions_not_allowed", "the restaurant takes no special requests", path=path)


def read_quote(priced: JSONObject, order: Order, discount: str, ready: Ready, body: Mapping[str, Any]) -> Quote:
    """The price of an order. A check's ``amount`` includes its service charges, and discounts are already subtracted.

    By Toast's specification the amount excludes a service charge that is a gratuity, and the total includes discounts
    and taxes. If the selections show that the amount includes it, that counts. It is a fee in any case, and is paid as
    part of the tip if the total excludes it.

    :raises Unanswered: ``provider_protocol_error``: it does not add up (MONEY-9).
    """
    check_selections(priced, body, "POST /orders/v2/prices")
    check = _check(priced)
    amount, tax, total = check.dollars("amount"), check.dollars("taxAmount"), check.dollars("totalAmount")
    charges = check.each("appliedServiceCharges", [])
    fees = tuple(Fee(each.text("name", "") or "Service charge", each.dollars("chargeAmount")) for each in charges)
    gratuity = sum(each.dollars("chargeAmount") for each in charges if each.boolean("gratuity", False))
    own, others = _discounts(check, discount)
    food = amount + own + others - (sum(fee.amount for fee in fees) - gratuity)
    if _gross(check) == food - gratuity:
        food, gratuity = food - gratuity, 0
    due = amount + tax + gratuity
    if total not in (amount + tax, due) or food < 0:
        raise broken_protocol(f"the provider's price does not add up: {amount} and tax {tax} are not {total} cents")
    if own != order.merchant_funded_discount:
        wanted = to_decimal(order.merchant_funded_discount)
        words = f"the restaurant takes ${to_decimal(own)} of the merchant-funded discount of ${wanted}"
        raise Refused("order_refused", words, path="$.merchant_funded_discount")
    cart = {"shown": Secret(json.dumps({"order": _digest(body), "due": due, "total": total}))}
    return Quote(
        food, tax, order.tip, due + order.tip, own, others, tuple(fee for fee in fees if fee.amount), ready, cart=cart
    )


def check_selections(answer: JSONObject, body: Mapping[str, Any], call: str) -> None:
    """Check that Toast's order has the items and options of ``body``, if it shows them (ITEM-11)."""
    if (check := _check(answer)).has("selections"):
        ordered, held = JSONObject(body["checks"][0]).each("selections"), check.each("selections")
        check_basket(map(_chosen, ordered), map(_chosen, held), f"$.checks[0].selections in the answer to {call}")


def _chosen(selection: JSONObject) -> tuple[Any, ...]:
    """The item of a selection, its quantity, and its options."""
    item = selection.member("item").identifier("guid", "") if selection.has("item") else ""
    options = sorted(_chosen(each) for each in selection.each("modifiers", []) if each.has("item"))
    return item, str(selection.decimal("quantity").normalize()), *options


def _gross(check: JSONObject) -> Cents | None:
    """The price of the selections before discounts; None if one does not say."""
    prices = [each.dollars("preDiscountPrice", None) for each in check.each("selections", [])]
    known = [price for price in prices if price is not None]
    return sum(known) if len(known) == len(prices) else None


def _check(order: JSONObject) -> JSONObject:
    checks = order.each("checks")
    if len(checks) != 1:
        raise broken_protocol(f"the provider's answer has {len(checks)} checks for an order of one")
    return checks[0]


def _discounts(check: JSONObject, own_guid: str) -> tuple[Cents, Cents]:
    """The merchant-funded discount, and the sum of all others (MONEY-5, MONEY-6)."""
    own = others = 0
    waiting = [check]
    while waiting:
        owner = waiting.pop()
        waiting += [*owner.each("selections", []), *owner.each("modifiers", [])]
        for applied in owner.each("appliedDiscounts", []):
            # If a price includes its tax, so does discountAmount, but a check's amount does not.
            amount = applied.dollars("nonTaxDiscountAmount", None)
            amount = applied.dollars("discountAmount") if amount is None else amount
            guid = applied.member("discount").identifier("guid") if applied.has("discount") else ""
            if owner is check and guid and guid == own_guid:
                own += amount
            else:
                others += amount
    return own, others


def _digest(body: Mapping[str, Any]) -> str:
    """The digest of what was priced; another address of the same order must not cost more than was shown."""
    content = {name: value for name, value in body.items() if name != "deliveryInfo"}
    return hashlib.sha256(json.dumps(content, sort_keys=True, default=str).encode()).hexdigest()


def _due(quote: Quote) -> Cents:
    """The amount to pay: everything except the tip."""
    return quote.consumer_pays - (quote.tip or 0)


def check_price(quote: Quote, order: Order, body: Mapping[str, Any]) -> None:
    """Refuse a price that differs from the validation of the very same order (META-2)."""
    if (kept := order.cart.get("shown")) is None:
        return
    shown = json.loads(kept.reveal())
    if shown["order"] == _digest(body) and shown["due"] != _due(quote):
        words = f"the order costs ${to_decimal(_due(quote))} now, not ${to_decimal(shown['due'])}"
        raise Refused("price_changed", words)


def payment(payment_type: str, quote: Quote, order: Order) -> dict[str, Any]:
    """LevelUp's payment, tip included (PAY-1, PAY-4)."""
    # The payment matches the check's total; a gratuity outside the total is paid like a tip.
    total = json.loads(quote.cart["shown"].reveal())["total"]
    amounts = {"amount": to_decimal(total), "tipAmount": to_decimal(_due(quote) - total + order.tip)}
    return {"type": "OTHER", "otherPayment": {"guid": payment_type}, **amounts, "paidDate": _stamp(order.received_at)}


def read_placed(order: JSONObject, external_id: str, expected: Cents | None, call: str) -> Placed:
    """An order as Toast has just placed it.

    :raises Unanswered: ``provider_protocol_error``: the answer to ``call`` is another order, or contradicts ours.
    """
    found, check = read_found(order, external_id, call), _check(order)
    for part in (order, check):
        for member in ("voided", "deleted"):
            _check_not(part, member, call)
    tips = sum(payment.dollars("tipAmount") for payment in check.each("payments", []))
    return replace(found, expected_charge=expected, charged=check.dollars("totalAmount") + tips)


def read_found(order: JSONObject, external_id: str, call: str) -> Placed:
    """An order that was placed before, with the number that the restaurant calls out (SUB-1); also a voided one.

    Its reference proves which one it is. The restaurant may have split its check since, replaced it, moved it to
    another order, or added to it, so nothing is demanded of the checks.

    :raises Unanswered: ``provider_protocol_error``: the answer to ``call`` is another order, or a deleted one.
    """
    _check_echo(order, external_id, call)
    _check_not(order, "deleted", call)
    guid = order.identifier("guid")
    checks = [check for check in order.each("checks", []) if not check.boolean("deleted", False)]
    numbers = (each.identifier("displayNumber", "") for each in (*checks, order))
    totals = [check.dollars("totalAmount", None) for check in checks]
    known = [total for total in totals if total is not None]
    tips = sum(payment.dollars("tipAmount", 0) for check in checks for payment in check.each("payments", []))
    return Placed(
        next(filter(None, numbers), guid),
        guid,
        reference=order.text("externalId").rpartition(":")[2],
        expected_ready_at=order.instant("estimatedFulfillmentDate", None) or order.instant("promisedDate", None),
        charged=sum(known) + tips if known and len(known) == len(totals) else None,
    )


def _check_not(part: JSONObject, member: str, call: str) -> None:
    if part.boolean(member, False):
        raise broken_protocol(f"the provider's answer to {call} contradicts the order: {part.path}.{member}")


def read_status(order: JSONObject, guid: str, external_id: str, call: str) -> OrderStatus:
    """The status of an order: the kitchen's for an approved order, except ``RECEIVED``, which all have at first.

    :raises Unanswered: ``provider_protocol_error``: the answer to ``call`` is another order.
    """
    _check_echo(order, external_id, call)
    if order.identifier("guid") != guid:
        raise broken_protocol(f"the provider's answer to {call} is another order: $.guid is not ours")
    word, in_kitchen = order.text("approvalStatus"), order.text("guestOrderStatus", "")
    if word == "APPROVED" and in_kitchen not in ("", "RECEIVED"):
        word = in_kitchen
    if driver := delivery_state(order):
        word = driver if driver == "DELIVERED" else f"{word}, delivery" if word == "CLOSED" else word
    gone = next((member for member in ("voided", "deleted") if order.boolean(member, False)), None)
    return OrderStatus(
        gone or word,
        reference=order.text("externalId").rpartition(":")[2],
        changed_at=order.instant("voidDate", None) if gone == "voided" else None,
        expected_ready_at=order.instant("estimatedFulfillmentDate", None),
    )


def _check_echo(order: JSONObject, external_id: str, call: str) -> None:
    """:raises Unanswered: ``provider_protocol_error``: the answer to ``call`` is another order."""
    if order.text("externalId", None) != external_id:
        raise broken_protocol(f"the provider's answer to {call} is another order: $.externalId is not ours")


def _stamp(instant: datetime) -> str:
    return f"{instant.astimezone(timezone.utc):%Y-%m-%dT%H:%M:%S}.000+0000"
