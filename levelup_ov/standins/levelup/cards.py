"""A card as its owner types it. Its number stays within :func:`read_card`; the last four digits leave it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from levelup_ov.domain.secret import Secret
from levelup_ov.standins.levelup.problems import error
from levelup_ov.standins.levelup.world import DECLINED_CARD, LOST_ANSWER_CARD

Outcome = Literal["charged", "declined", "answer_lost"]

_MAGIC: dict[str, Outcome] = {
    DECLINED_CARD.replace(" ", ""): "declined",
    LOST_ANSWER_CARD.replace(" ", ""): "answer_lost",
}
_BRANDS = {"2": "Mastercard", "3": "American Express", "4": "Visa", "5": "Mastercard", "6": "Discover"}


@dataclass(frozen=True, slots=True)
class Card:
    """What is kept of a card. ``outcome``: what comes of charging it."""

    brand: str
    last_4: str
    expiration_month: int
    expiration_year: int
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class TypedCard:
    number: Secret
    cvv: Secret
    expiration_month: str
    expiration_year: str
    postal_code: str


def read_card(typed: TypedCard, now: datetime) -> tuple[Card | None, list[dict[str, str]]]:
    """The card, or what is wrong with it as errors that repeat nothing of it."""
    number = typed.number.reveal().replace(" ", "").replace("-", "")
    problems = {
        "number": None if _passes_luhn(number) else "This is not a card number.",
        "cvv": None if _digits(typed.cvv.reveal(), 3, 4) else "The security code has three or four digits.",
        "postal_code": None if 3 <= len(typed.postal_code) <= 10 else "We need the postal code of the card's bills.",
        "expiration_month": _expiry_problem(typed, now),
    }
    errors = [
        error(message, object="credit_card", property=name, code="invalid")
        for name, message in problems.items()
        if message
    ]
    if errors:
        return None, errors
    return made_card(number, int(typed.expiration_month), int(typed.expiration_year)), []


def made_card(number: str, month: int, year: int) -> Card:
    """What is kept of a card with this ``number``."""
    digits = number.replace(" ", "")
    return Card(_BRANDS.get(digits[0], "Card"), digits[-4:], month, year, _MAGIC.get(digits, "charged"))


def _expiry_problem(typed: TypedCard, now: datetime) -> str | None:
    month, year = typed.expiration_month, typed.expiration_year
    if not (_digits(month, 1, 2) and _digits(year, 4, 4) and 1 <= int(month) <= 12):
        return "The expiry date is a month from 1 to 12 and a year of four digits."
    return "The card has expired." if (int(year), int(month)) < (now.year, now.month) else None


def _digits(text: str, shortest: int, longest: int) -> bool:
    return text.isascii() and text.isdigit() and shortest <= len(text) <= longest


def _passes_luhn(number: str) -> bool:
    if not _digits(number, 12, 19):
        return False
    digits = [int(digit) for digit in reversed(number)]
    return (sum(digits[::2]) + sum(sum(divmod(2 * digit, 10)) for digit in digits[1::2])) % 10 == 0
