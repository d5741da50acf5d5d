"""What a phone shows to be scanned: who pays, and which tip they want to give. Pure.

``<payment token data><"03"><tip, 3 digits of base 36><color, 1 digit of base 36>LU``. A tip up to 1295 is a
percentage, from 1296 on it is 1296 and cents (iOS ``LUPaymentStringGenerator``, Android ``PaymentPreferencesV3``).
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass

from levelup_ov.domain.money import percentage

BEGINS, ENDS, VERSION = "LU02", "LU", "03"
TOKEN_LENGTH = 24
FIRST_CENTS = 1296
MOST_TIP = 36**3 - 1
MOST_COLOR = 35

_DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"


@dataclass(frozen=True, slots=True)
class Scanned:
    """``data``: that of the payment token; ``tip``: as it is encoded."""

    data: str
    tip: int = 0

    def tip_on(self, spend: int) -> int:
        """Cents of the tip on an order of ``spend`` cents."""
        return percentage(spend, self.tip * 100) if self.tip < FIRST_CENTS else self.tip - FIRST_CENTS


def new_token_data() -> str:
    """The data of a new payment token."""
    return BEGINS + "".join(secrets.choice(_DIGITS) for _ in range(TOKEN_LENGTH - len(BEGINS)))


def code_of(data: str, tip: int = 0, color: int = 0) -> str:
    """The whole code of a payment token."""
    return f"{data}{VERSION}{_base36(tip, 3)}{_base36(color, 1)}{ENDS}"


def read_code(text: str) -> Scanned | None:
    """What a code says; the data of a payment token alone is a code without a tip. None: it is not a code."""
    text = text.strip().upper()
    data, rest = text[:TOKEN_LENGTH], text[TOKEN_LENGTH:]
    if len(data) < TOKEN_LENGTH or not data.startswith("LU") or not set(data) <= set(_DIGITS):
        return None
    if not rest:
        return Scanned(data)
    if len(rest) != 8 or not rest.startswith(VERSION) or not rest.endswith(ENDS) or not set(rest) <= set(_DIGITS):
        return None
    return Scanned(data, int(rest[2:5], 36))


def _base36(number: int, places: int) -> str:
    digits = ""
    for _ in range(places):
        number, digit = divmod(number, 36)
        digits = _DIGITS[digit] + digits
    return digits
