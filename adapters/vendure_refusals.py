"""What a Vendure shop says when it says no: with HTTP 200, as a type of error or as a thrown one."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from levelup_ov.errors import Refused
from levelup_ov.transport.answer import Answer

CODES: Mapping[str, str] = {
    "BAD_USER_INPUT": "order_refused",
    "CART_GONE": "order_refused",
    "CHANNEL_NOT_FOUND": "location_not_found",
    "ENTITY_NOT_FOUND": "unknown_item",
    "EmailAddressConflictError": "customer_refused",
    "FORBIDDEN": "customer_refused",
    "GuestCheckoutError": "customer_refused",
    "InsufficientStockError": "item_unavailable",
    "InvalidCredentialsError": "customer_refused",
    "NotVerifiedError": "customer_refused",
    "OrderInterceptorError": "invalid_choices",
    "OrderLimitError": "invalid_choices",
    "PasswordValidationError": "customer_refused",
    "PaymentDeclinedError": "card_declined",
}
"""Codes of ``errors`` and names of error types, and our code for each; any other error type is ``order_refused``."""
_WORDS = (
    ("item .* is not sold here", "unknown_item"),
    ("this item has no option", "unknown_option"),
    (".*insufficient stock", "item_unavailable"),
    ("the key of the tender LevelUp is wrong", "provider_credentials_refused"),
    ("the order costs", "price_changed"),
)
"""How words begin that say more than the type that they come with, as patterns."""
_UNTRANSLATED = {
    "INSUFFICIENT_STOCK_ERROR": "not enough of an item is in stock",
    "ORDER_LIMIT_ERROR": "the order has too many items",
}
"""2026-11: errors of single lines come without their text."""
NOT_THIS_CUSTOMER = ("EmailAddressConflictError", "FORBIDDEN", "InvalidCredentialsError")
"""Problems that another address may not have."""
CART_GONE = "CART_GONE"
_LATE = "OrderPaymentStateError"
PERHAPS_ORDERED = (CART_GONE, _LATE, "NoActiveOrderError", "OrderStateTransitionError")
"""Problems of a cart that an order may be behind."""
_SAID_IN = ("interceptorError", "paymentErrorMessage", "transitionError", "validationErrorMessage", "errorDetail")

PROBLEM = """fragment Problem on ErrorResult { errorCode message
  ... on OrderInterceptorError { interceptorError } ... on OrderStateTransitionError { transitionError }
  ... on PaymentDeclinedError { paymentErrorMessage } ... on PaymentFailedError { paymentErrorMessage }
  ... on PasswordValidationError { validationErrorMessage } ... on GuestCheckoutError { errorDetail }
}"""
"""Asks for the words of every type of error."""


class Problem(Refused):
    """A refusal of the shop: ``name`` is the type of the error, or the code of a thrown one.

    ``cart`` is what the cart held when lines of it were refused.
    """

    def __init__(self, name: str, words: str, cart: Answer | None = None) -> None:
        said = next((code for beginning, code in _WORDS if re.match(beginning, words)), None)
        super().__init__(said or CODES.get(name, "order_refused"), _UNTRANSLATED.get(words, words))
        self.name = name
        self.cart = cart


def problem_in(answer: Answer) -> Problem | None:
    """The refusal that an answer expresses; None if it is none, or proves nothing.

    Where an error was thrown, nothing after it was done. That the payment itself threw proves nothing.
    """
    if answer.has("errors") and not answer.has("data"):
        errors = answer.each("errors")
        name, paths = errors[0].member("extensions").text("code"), [error.value.get("path") for error in errors]
        paying = any(type(path) is list and path[:1] == ["pay"] for path in paths)
        return Problem(name, errors[0].text("message")) if name in CODES and not paying else None
    data = answer.member("data").value
    paid = data.get("pay")
    if type(paid) is dict and "errorCode" not in paid:
        return None
    for name, each in sorted(data.items(), key=_says_most):
        for error in _errors(each):
            words = next((error.text(name) for name in _SAID_IN if error.has(name)), "") or error.text("message")
            cart = Answer(each).member("order") if name == "lines" and Answer(each).has("order") else None
            return Problem(error.text("__typename"), words, cart)
    return None


def _says_most(member: tuple[str, Any]) -> bool:
    """The payment comes first, unless it failed only because there was nothing to be paid yet."""
    name, value = member
    return name != "pay" or type(value) is not dict or value.get("__typename") == _LATE


def _errors(value: Any) -> Iterator[Answer]:
    if type(value) is dict:
        either = [Answer(value), *Answer(value).each("errorResults", [])]
        yield from (error for error in either if error.has("errorCode"))
