"""Taking secrets out of texts that others wrote, such as a provider's error message (ERR-4, PAY-2)."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterable
from urllib.parse import quote, quote_plus

from levelup_ov.domain.secret import Secret

MASK = "***"
_CARD_NUMBER = re.compile(r"(?<!\d)\d(?:[ -]?\d){11,18}(?!\d)")
_SHORT = 6
"""A secret shorter than this, such as a CVV, is only masked where it stands alone."""


def scrub(text: str, secrets: Iterable[Secret] = ()) -> str:
    """``text`` without card numbers and ``secrets``: plain, as addresses, forms or JSON have them, or base64."""
    forms = {form for secret in secrets for form in _forms(secret.reveal())}
    # The longest first: a secret may be part of another, and the rest of that must not remain.
    for form in sorted(forms, key=len, reverse=True):
        # Digits are also found in groups, and next to letters: `cvv123`.
        pattern, edge = ("[ -]?".join(form), r"\d") if form.isdecimal() else (re.escape(form), r"\w")
        if len(form) < _SHORT:
            pattern = f"(?<!{edge}){pattern}(?!{edge})"
        text = re.sub(pattern, MASK, text)
    return _CARD_NUMBER.sub(_mask_card_number, text)


def passes_luhn(digits: str) -> bool:
    """Whether ``digits`` end in the check digit of a card number."""
    total = 0
    for position, digit in enumerate(reversed(digits)):
        value = int(digit) * (position % 2 + 1)
        total += value - 9 if value > 9 else value
    return total % 10 == 0


def _mask_card_number(match: re.Match[str]) -> str:
    digits = match[0].replace(" ", "").replace("-", "")
    return MASK if passes_luhn(digits) else match[0]


def _forms(value: str) -> set[str]:
    if not value:
        return set()
    raw = value.encode(errors="replace")
    encoded = {base64.b64encode(raw).decode(), base64.urlsafe_b64encode(raw).decode()}
    in_addresses = {quote(raw, safe=""), quote(raw), quote_plus(raw)}
    return {value, json.dumps(value)[1:-1], *in_addresses, *encoded, *(form.rstrip("=") for form in encoded)}
