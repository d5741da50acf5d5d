"""A Vendure shop's refusals: with HTTP 200, from the plugin or as a thrown error."""

from __future__ import annotations

import re
from collections.abc import Mapping

from levelup_ov.adapter import JSONObject, Refused

CODES: Mapping[str, str] = {
    "AddressNeeded": "delivery_address_incomplete",
    "AddressNotServed": "address_not_served",
    "BAD_USER_INPUT": "order_refused",
    "CHANNEL_NOT_FOUND": "location_not_found",
    "CancellationRefused": "cancellation_refused",
    "CartGone": "order_refused",
    "DeliveryNotOffered": "fulfillment_not_supported",
    "ENTITY_NOT_FOUND": "unknown_item",
    "EmailAddressConflictError": "customer_refused",
    "FORBIDDEN": "customer_refused",
    "GuestCheckoutError": "customer_refused",
    "InsufficientStockError": "item_unavailable",
    "InvalidCredentialsError": "customer_refused",
    "ItemGone": "item_unavailable",
    "ItemUnknown": "unknown_item",
    "KEY_REFUSED": "provider_credentials_refused",
    "KeyRefused": "provider_credentials_refused",
    "MinimumNotReached": "order_minimum_not_reached",
    "NotThisGuest": "customer_refused",
    "NotVerifiedError": "customer_refused",
    "OptionGone": "item_unavailable",
    "OptionUnknown": "unknown_option",
    "OrderInterceptorError": "invalid_choices",
    "OrderLimitError": "invalid_choices",
    "PasswordValidationError": "customer_refused",
    "PaymentDeclinedError": "card_declined",
    "PriceChanged": "price_changed",
}
"""Codes of ``errors`` and kinds of refusals, and our code for each; any other kind is ``order_refused``."""
_WORDS = (
    ("item .* is not sold here", "unknown_item"),
    ("this item has no option", "unknown_option"),
    (".*insufficient stock", "item_unavailable"),
    ("the key of the tender LevelUp is wrong", "provider_credentials_refused"),
    ("the order costs", "price_changed"),
)
"""Patterns for messages that are more specific than their kind."""
_PATHS = {
    "AddressNeeded": "$.delivery_address",
    "AddressNotServed": "$.delivery_address",
    "DeliveryNotOffered": "$.fulfillment_type",
    "MinimumNotReached": "$.items",
}
NOT_THIS_CUSTOMER = ("EmailAddressConflictError", "InvalidCredentialsError", "NotThisGuest", "NotVerifiedError")
"""Problems that a different address may solve."""
CART_GONE = "CartGone"
PERHAPS_ORDERED = (CART_GONE, "ReferenceTaken")
"""Problems of a cart that an existing order may cause."""


class VendureRefused(Refused):
    """A refusal by the shop: ``name`` is its kind, or the code of a thrown error."""

    def __init__(self, name: str, words: str, item: int | None = None) -> None:
        said = next((code for beginning, code in _WORDS if re.match(beginning, words)), None)
        path = _PATHS.get(name) if item is None else f"$.items[{item}].item"
        super().__init__(said or CODES.get(name, "order_refused"), words, path=path)
        self.name = name


def problem_in(answer: JSONObject) -> VendureRefused | None:
    """The refusal in an answer; None if there is none, or if it proves nothing.

    A refusal by the plugin undoes everything that its call did. A thrown error of a placing call proves nothing.
    """
    if answer.has("errors") and not answer.has("data"):
        errors = answer.each("errors")
        name, path = errors[0].member("extensions").text("code"), errors[0].value.get("path")
        placing = path == ["placed"] or len(errors) > 1
        return VendureRefused(name, errors[0].text("message")) if name in CODES and not placing else None
    if answer.has("errors"):
        return None
    refusals = [each for each in answer.member("data").value.values() if type(each) is dict and each.get("refusal")]
    # If there is anything else in the answer, a refusal proves nothing.
    if len(refusals) != 1 or any(refusals[0].get(name) is not None for name in ("order", "reference", "token")):
        return None
    refusal = JSONObject(refusals[0]).member("refusal")
    return VendureRefused(refusal.text("kind"), refusal.text("message"), refusal.integer("item", None))
