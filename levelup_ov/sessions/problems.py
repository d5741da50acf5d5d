"""Which failures are about the basket, and where in it. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator

from levelup_ov.domain.failure import Failure
from levelup_ov.domain.money import Cents
from levelup_ov.errors import KINDS
from levelup_ov.sessions.model import Basket, Buyer, Problem

TOTALS_CHANGED = "totals_changed"
BUYER_INCOMPLETE = "buyer_incomplete"
CHARGE_MISMATCH = "charge_mismatch"

_FINAL = frozenset({"fees_not_representable", "refund_impossible"})
"""No other basket, time or tender helps."""
_TENDER = frozenset(
    {
        "tender_not_accepted", "card_declined", "not_connected", "connection_not_found", "discount_too_large",
        "user_token_refused", "merchant_token_refused", "levelup_refused",
    }
)  # fmt: skip
"""The basket is as good as before."""
_AS_IT_IS = _TENDER | {"price_changed", "charge_refunded", "order_validation_expired"}
"""The same basket may be completed after this."""
_PATHS = tuple(
    (re.compile(pattern), path)
    for pattern, path in (
        (r"\$\.items\[(\d+)\].*?\.options\[(\d+)\].*", r"lines[\1].options[\2]"),
        (r"\$\.items\[(\d+)\].*\.special_instructions", r"lines[\1].note"),
        (r"\$\.items\[(\d+)\].*\.quantity", r"lines[\1].quantity"),
        (r"\$\.items\[(\d+)\].*", r"lines[\1]"),
        (r"\$\.items.*", "lines"),
        (r"\$\.special_instructions", "note"),
        (r"\$\.desired_ready_time", "desired_ready_time"),
        (r"\$\.fulfillment_type", "fulfillment"),
        (r"\$\.(delivery_address(\.\w+)?)", r"\1"),
        (r"\$\.tip\w*", "tip"),
        (r"\$\.user\.(first_name|last_name|phone|email)", r"buyer.\1"),
        (r"\$\.user.*", "buyer"),
    )
)


def is_about_basket(failure: Failure) -> bool:
    """Whether a failure says what is wrong with the basket or the tender, and not with the service or a provider."""
    kind = KINDS[failure.code]
    return kind.status in (404, 422) and not kind.retryable


def is_about_tender(failure: Failure) -> bool:
    """Whether such a failure is about the tender only."""
    return failure.code in _TENDER


def needs_another_basket(failure: Failure) -> bool:
    """Whether a refused completion can succeed only with another basket."""
    return is_about_basket(failure) and failure.code not in _AS_IT_IS


def mischarged(expected: Cents, charged: Cents) -> Problem:
    """What the buyer must know about an order whose provider took another amount (PAY-4)."""
    words = f"the provider reports that it charged {charged} cents instead of {expected}; the order exists"
    return Problem(CHARGE_MISMATCH, words, recoverable=False)


def problem_of(failure: Failure) -> Problem:
    """The failure in the words of a session."""
    return Problem(failure.code, failure.message, basket_path(failure.path), failure.code not in _FINAL)


def basket_path(path: str | None) -> str | None:
    """A path of an order in the contract as one into a basket; None if it leads to no member of one."""
    if path is not None:
        for pattern, ours in _PATHS:
            if (match := pattern.fullmatch(path)) is not None:
                return match.expand(ours)
    return None


def undeliverable(basket: Basket) -> Iterator[Problem]:
    """The problem of a delivery without an address: it can be priced, and not ordered (DELIVERY-1, UCP-5)."""
    if basket.fulfillment == "delivery" and basket.delivery_address is None:
        yield Problem("delivery_address_incomplete", "the delivery needs an address", "delivery_address")


def lacking(buyer: Buyer | None) -> tuple[Problem, ...]:
    """What a buyer lacks for an order."""
    buyer = buyer or Buyer()
    given = buyer.first_name, buyer.last_name, buyer.phone, buyer.email
    first, last, phone, email = [(each or "").strip() for each in given]
    if first and last and (phone or email):
        return ()
    wanted = (
        (first, "a first name", "first_name"),
        (last, "a last name", "last_name"),
        (phone or email, "a phone number or an e-mail address", "phone"),
    )
    return tuple(
        Problem(BUYER_INCOMPLETE, f"the order needs {words}", f"buyer.{name}") for has, words, name in wanted if not has
    )
