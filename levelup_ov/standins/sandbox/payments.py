"""Taking the payment: paid elsewhere (LevelUp), or a card. Card data stays within these functions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from levelup_ov.standins.sandbox.content import malformed, members_of, text_of
from levelup_ov.standins.sandbox.magic import DECLINED_CARD, EXPIRED_CARD, LOST_ANSWER_CARD
from levelup_ov.standins.sandbox.places import PaymentKind, Place
from levelup_ov.standins.sandbox.problems import EngineError

EXTERNAL_SOURCES = ("LevelUp",)

_WHERE = "payment"
_CARD_MEMBERS = {"number", "code", "month", "year", "postcode", "holder"}


@dataclass(frozen=True, slots=True)
class OrderPayment:
    """How an order was paid, as it is kept: nothing of a card but that it was one."""

    kind: PaymentKind
    source: str | None = None
    answer_lost: bool = False


def take(payment: Any, place: Place, now: datetime, *, decline: bool) -> OrderPayment:
    """Take a payment as the request has it.

    :raises EngineError: ``malformed``, ``payment_not_taken``, ``payment_declined``, ``card_declined``,
        ``card_expired`` or ``card_invalid``.
    """
    members = members_of(payment, _WHERE, {"external", "card"})
    if len(members) != 1:
        raise malformed(_WHERE, "either external or card")
    kind: PaymentKind = "card" if "card" in members else "external"
    if kind not in place.payments:
        raise EngineError("payment_not_taken", f"{place.title} takes no payment of this kind.", _WHERE)
    if kind == "card":
        return _take_card(members_of(members["card"], "payment.card", _CARD_MEMBERS), place, now, decline=decline)
    source = text_of(members, "external", "payment.external")
    if source not in EXTERNAL_SOURCES:
        raise EngineError("payment_not_taken", "We settle with LevelUp only.", _WHERE)
    if decline:
        raise EngineError("payment_declined", "The payment was declined.", _WHERE)
    return OrderPayment(kind, source)


def passes_luhn(number: str) -> bool:
    """Whether ``number`` is a card number by its length and check digit."""
    if not (number.isascii() and number.isdigit() and 12 <= len(number) <= 19):
        return False
    digits = [int(digit) for digit in reversed(number)]
    return (sum(digits[::2]) + sum(sum(divmod(2 * digit, 10)) for digit in digits[1::2])) % 10 == 0


def _take_card(card: Mapping[str, Any], place: Place, now: datetime, *, decline: bool) -> OrderPayment:
    number, code, month, year, postcode = (
        text_of(card, name, f"payment.card.{name}") for name in ("number", "code", "month", "year", "postcode")
    )
    text_of(card, "holder", "payment.card.holder")
    if not (number and code and month and year and postcode):
        raise EngineError("card_invalid", "The card's details are not complete.", _WHERE)
    if not passes_luhn(number):
        raise EngineError("card_invalid", "This is not a card number.", _WHERE)
    if not (_is_number(code, 3, 4) and _is_number(month, 2, 2) and _is_number(year, 4, 4) and "01" <= month <= "12"):
        raise EngineError("card_invalid", "The card's security code or expiry date cannot be right.", _WHERE)
    today = now.astimezone(place.zone)
    if number == EXPIRED_CARD or (int(year), int(month)) < (today.year, today.month):
        raise EngineError("card_expired", "The card has expired.", _WHERE)
    if number == DECLINED_CARD or decline:
        raise EngineError("card_declined", "The card was declined.", _WHERE)
    return OrderPayment("card", answer_lost=number == LOST_ANSWER_CARD)


def _is_number(text: str, shortest: int, longest: int) -> bool:
    return text.isascii() and text.isdigit() and shortest <= len(text) <= longest
