"""A card as its owner types it. Its number stays within :func:`read_card`; its first six and last four digits leave."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from levelup_ov.domain.secret import Secret
from levelup_ov.standins.levelup.problems import error
from levelup_ov.standins.levelup.world import DECLINED_CARD, GOOD_CARD, LOST_ANSWER_CARD

Outcome = Literal["charged", "declined", "answer_lost"]

_MAGIC: dict[str, Outcome] = {
    DECLINED_CARD.replace(" ", ""): "declined",
    LOST_ANSWER_CARD.replace(" ", ""): "answer_lost",
}
_NONCES = {"fake-valid-visa-nonce": GOOD_CARD, "fake-processor-declined-visa-nonce": DECLINED_CARD}
_BRANDS = {"2": "Mastercard", "3": "American Express", "4": "Visa", "5": "Mastercard", "6": "Discover"}


@dataclass(frozen=True, slots=True)
class Card:
    """What is kept of a card. ``outcome``: what comes of charging it.

    ``bin``: the first six digits; None for a card that was added before they were kept.
    """

    brand: str
    last_4: str
    expiration_month: int
    expiration_year: int
    outcome: Outcome
    bin: str | None = None


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
    problems: dict[str, str | None] = {
        "number": None if _passes_luhn(number) else "This is not a card number.",
        "cvv": None if _digits(typed.cvv.reveal(), 3, 4) else "The security code has three or four digits.",
        "postal_code": None if 3 <= len(typed.postal_code) <= 10 else "We need the postal code of the card's bills.",
        **_expiry_problem(typed, now),
    }
    errors = [
        error(message, object="credit_card", property=name, code="invalid")
        for name, message in problems.items()
        if message
    ]
    if errors:
        return None, errors
    return made_card(number, int(typed.expiration_month), int(typed.expiration_year)), []


def card_of_nonce(nonce: str) -> tuple[Card | None, list[dict[str, str]]]:
    """The card behind one of Braintree's published nonces for tests, or the error."""
    number = _NONCES.get(nonce)
    if number is None:
        words = "This is not one of the nonces for tests."
        return None, [error(words, object="credit_card", property="braintree_payment_nonce", code="invalid")]
    return made_card(number, 12, 2099), []


def made_card(number: str, month: int, year: int) -> Card:
    """What is kept of a card with this ``number``."""
    digits = number.replace(" ", "")
    outcome = _MAGIC.get(digits, "charged")
    return Card(_BRANDS.get(digits[0], "Card"), digits[-4:], month, year, outcome, digits[:6])


def _expiry_problem(typed: TypedCard, now: datetime) -> dict[str, str]:
    month, year = typed.expiration_month, typed.expiration_year
    if not (_digits(month, 1, 2) and 1 <= int(month) <= 12):
        return {"expiration_month": "The expiry month is a number from 1 to 12."}
    if not _digits(year, 4, 4):
        return {"expiration_year": "The expiry year has four digits."}
    return {"expiration_year": "The card has expired."} if (int(year), int(month)) < (now.year, now.month) else {}


def _digits(text: str, shortest: int, longest: int) -> bool:
    return text.isascii() and text.isdigit() and shortest <= len(text) <= longest


def _passes_luhn(number: str) -> bool:
    if not _digits(number, 12, 19):
        return False
    digits = [int(digit) for digit in reversed(number)]
    return (sum(digits[::2]) + sum(sum(divmod(2 * digit, 10)) for digit in digits[1::2])) % 10 == 0
