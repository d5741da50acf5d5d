"""Recordings of exchanges: redacted by an allow-list, and checked before they are written (ERR-4, PAY-2).

A value whose name is not on the list becomes a placeholder of its type. The same value always becomes the same
placeholder, so that an id in one answer still matches the path of the next request. Not vcrpy, which records
everything that is not excluded.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit

from levelup_ov.domain.order import Order
from levelup_ov.domain.secret import Secret
from levelup_ov.redaction import holds, passes_luhn
from levelup_ov.transport.tap import RECORDED_REFERENCE, Exchange

REDACTED = "<redacted>"
ALLOWED_HEADERS = frozenset({"accept", "content-type", "retry-after"})
ALLOWED_MEMBERS = frozenset(
    """active amount available charged cents code count currency day discount duration enabled fees free from
    grand_total gratuity kind max maximum min minimum minutes open opens close closes price price_cents quantity
    required requires state status subtotal tax tax_rate time_zone timezone tip to total total_cents type unit
    weekday zone""".split()
)
"""Members of bodies and queries whose values are kept for every provider; compared in lower case."""
TEST_CARDS = frozenset(
    """4111111111111111 4242424242424242 4012888888881881 4000000000000002 4000000000000069 4000000000000119
    5555555555554444 5105105105105100 378282246310005 371449635398431 6011111111111117 3530111333300000""".split()
)
"""Numbers that card companies and providers publish for tests."""

_CARD = re.compile(r"(?<![\w.])\d(?:[ -]?\d){11,18}(?![\w.])")
_CREDENTIALS = re.compile(r"\b(?:Bearer|Basic|Token)\s+[\w.~+/=-]{6,}", re.IGNORECASE)
SECRET_HEADER = re.compile(r"authorization|cookie|token|secret|session|api-?key|-key$", re.IGNORECASE)
_PLAIN_SEGMENT = re.compile(r"[a-z][a-z_.-]{0,31}|v\d{1,2}", re.IGNORECASE)
_SHORT = re.compile(r"[\w .:/-]{0,32}")
"""What may precede and follow a reference."""
_MEMBER_NAME = re.compile(r"[A-Za-z_$@][A-Za-z_.$-]{0,63}\d{0,3}")


class Redactor:
    """Redacts the exchanges of one recording. ``allowed``: members kept besides :data:`ALLOWED_MEMBERS`.

    ``order``: the order that the adapter compares with the answers. Its reference becomes
    :data:`~levelup_ov.transport.tap.RECORDED_REFERENCE`; the name of its invented user stays.
    """

    def __init__(self, allowed: Sequence[str] = ()) -> None:
        self.order: Order | None = None
        self._allowed = ALLOWED_MEMBERS | {name.lower() for name in allowed}
        self._placeholders: dict[tuple[type, str], Any] = {}

    def exchange(self, exchange: Exchange) -> dict[str, Any]:
        """One exchange as a JSON value."""
        # The values of answer and body come first, because the path contains some of them.
        body, answer = self._body(exchange.body), exchange.answer
        request = {
            "method": exchange.method, "url": self._url(exchange.url), "headers": self._headers(exchange.headers),
            "body": body, "places_order": exchange.places_order,
        }  # fmt: skip
        recorded = answer and {
            "status": answer.status, "headers": self._headers(answer.headers), "body": self._body(answer.body),
        }  # fmt: skip
        return {"request": request, "answer": recorded}

    def _headers(self, headers: Mapping[str, str]) -> dict[str, str]:
        return {name: value if name.lower() in ALLOWED_HEADERS else REDACTED for name, value in headers.items()}

    def _url(self, address: str) -> str:
        url = urlsplit(address)
        segments = [self._segment(unquote(segment)) for segment in url.path.split("/")]
        query = [(name, str(self._value(name, value))) for name, value in parse_qsl(url.query)]
        return "/".join(segments) + ("?" + urlencode(query) if query else "")

    def _segment(self, segment: str) -> str:
        known = self._placeholders.get((str, segment), self._placeholders.get((int, segment))) or self._echoed(segment)
        if known is None and (not segment or _PLAIN_SEGMENT.fullmatch(segment)):
            return segment
        return quote(str(self._placeholder(segment) if known is None else known), safe="")

    def _body(self, body: bytes) -> Any:
        if not body:
            return None
        text = body.decode("utf-8", "replace")
        try:
            return self._value("", json.loads(text, parse_float=Decimal))
        except ValueError:
            form = parse_qsl(text)
            return {name: self._value(name, value) for name, value in form} if form else REDACTED

    def _value(self, name: str, value: Any) -> Any:
        if isinstance(value, dict):
            return {self._name(key): self._value(key, member) for key, member in value.items()}
        if isinstance(value, list):
            return [self._value(name, member) for member in value]
        if not value or isinstance(value, bool):
            return 0 if isinstance(value, Decimal) else value  # nothing: it reveals nothing
        if name.lower() in self._allowed and not list(found_in(str(value))):
            if isinstance(value, str):
                # A value that is kept once is kept everywhere, so that references to an allowed id still match.
                return self._placeholders.setdefault((str, value), value)
            return float(value) if isinstance(value, Decimal) else value
        return self._echoed(value) or self._placeholder(value)

    def _echoed(self, value: Any) -> str | None:
        """A value that echoes the order's reference or its user."""
        if self.order is None or not self.order.reference or not isinstance(value, str):
            return None
        if value == self.order.user.name:
            return value
        before, found, after = value.partition(self.order.reference)
        short = all(_SHORT.fullmatch(part) for part in (before, after))
        return f"{before}{RECORDED_REFERENCE}{after}" if found and short else None

    def _name(self, name: str) -> str:
        return name if _MEMBER_NAME.fullmatch(name) else str(self._placeholder(name))

    def _placeholder(self, value: Any) -> Any:
        key = type(value), str(value)
        if key not in self._placeholders:
            self._placeholders[key] = _placeholder(value, len(self._placeholders) + 1)
        return self._placeholders[key]


def _placeholder(value: Any, number: int) -> Any:
    """A meaningless value of the same type and form."""
    if isinstance(value, int):
        return number
    if isinstance(value, Decimal):
        return number + 0.5
    if "@" in value:
        return f"robin{number}@example.com"
    if re.match(r"https?://", value):
        return f"https://example.com/{number}"
    for read, form in ((date.fromisoformat, "2030-01-02"), (datetime.fromisoformat, "2030-01-02T12:00:00")):
        try:
            zoned = getattr(read(value), "tzinfo", None) is not None
        except ValueError:
            continue
        return form + "Z" * zoned
    return f"text-{number}"


def write_recording(
    path: Path, exchanges: Sequence[Exchange], redactor: Redactor, secrets: Iterable[Secret] = ()
) -> None:
    """Write redacted exchanges; :func:`levelup_ov.transport.tap.read_recording` reads them.

    ``secrets``: the account's secrets, which must not occur in any form.

    :raises ValueError: a secret is left; nothing was written.
    """
    recording = {"levelup_ov_recording": 1, "exchanges": [redactor.exchange(exchange) for exchange in exchanges]}
    text = json.dumps(recording, indent=2, ensure_ascii=False) + "\n"
    if found := problems(text, secrets):
        raise ValueError(f"{path.name} would hold {'; '.join(found)}")
    path.write_text(text, encoding="utf-8")


def problems(text: str, secrets: Iterable[Secret] = ()) -> list[str]:
    """Which forbidden things this recording contains: card numbers and credentials, without repeating them."""
    found = list(found_in(text))
    if holds(text, secrets):
        found.append("a secret of the account, as it is or encoded")
    for exchange in json.loads(text)["exchanges"]:
        for side in ("request", "answer"):
            for name, value in ((exchange[side] or {}).get("headers") or {}).items():
                if SECRET_HEADER.search(name) and value != REDACTED:
                    found.append(f"a value of the header {name}")
    return found


def found_in(text: str) -> Iterator[str]:
    """The kinds of secrets in a text, as far as their form shows them."""
    for match in _CARD.finditer(text):
        digits = re.sub(r"\D", "", match[0])
        if passes_luhn(digits) and digits not in TEST_CARDS:
            yield "a card number that is not a public test card"
    if _CREDENTIALS.search(text):
        yield "an Authorization value"
