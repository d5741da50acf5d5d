"""What a Vendure shop says when it says no: with HTTP 200, as a type of error or as a thrown one."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from levelup_ov.answer import Answer
from levelup_ov.errors import Refused

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
    """A refusal of the shop: ``name`` is the type of the error, or the code of a thrown one."""

    def __init__(self, name: str, words: str) -> None:
        said = next((code for beginning, code in _WORDS if re.match(beginning, words)), None)
        super().__init__(said or CODES.get(name, "order_refused"), _UNTRANSLATED.get(words, words))
        self.name = name


def problem_in(answer: Answer) -> Problem | None:
    """The refusal that an answer expresses; None if it is none, or proves nothing.

    Where an error was thrown, nothing after it was done. That the payment itself threw proves nothing.
    """
    if answer.has("errors") and not answer.has("data"):
        error = answer.each("errors")[0]
        name, path = error.member("extensions").text("code"), error.value.get("path")
        return Problem(name, error.text("message")) if name in CODES and path != ["pay"] else None
    data = answer.member("data").value
    paid = data.get("pay")
    if type(paid) is dict and "errorCode" not in paid:
        return None
    # The payment says best what is wrong, unless that is only that there was nothing to be paid yet.
    errors = sorted(_errors(data), key=lambda error: error.value is not paid or error.text("__typename") == _LATE)
    return _problem(errors[0]) if errors else None


def _errors(data: Mapping[str, Any]) -> Iterator[Answer]:
    for each in data.values():
        if type(each) is dict:
            either = [Answer(each), *Answer(each).each("errorResults", [])]
            yield from (error for error in either if error.has("errorCode"))


def _problem(error: Answer) -> Problem:
    words = next((error.text(name) for name in _SAID_IN if error.has(name)), "") or error.text("message")
    return Problem(error.text("__typename"), words)
