"""Removing secrets from every text that leaves the service: logs, responses, recordings, the ledger (ERR-4, PAY-2).

It masks a secret in plain form, and as URLs, forms, JSON and base64 encode it, also doubly encoded. It also masks
unknown card numbers, whatever separates their digits.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import html
import json
import re
import sys
from collections.abc import Iterable, Iterator
from functools import cached_property, lru_cache
from urllib.parse import quote, quote_plus, unquote, unquote_plus, urlsplit

from levelup_ov.domain.secret import Secret

MASK = "***"

_SHORT = 6
"""A secret shorter than this, such as a CVV, is masked only as a separate word."""
_TELLING = 8
"""A secret shorter than this may be part of an id by chance."""
_DEPTH = 3
"""How many nested encodings are decoded."""
_CARD_LENGTHS = range(12, 20)
"""Digits of a card number."""
_MANY = 200
"""Up to this many words are searched one by one."""
_MANY_IN_BYTES = 16
"""The same of words in bytes, where one by one is faster only for few."""
_BLOCK = 8
"""Bytes of an aligned block."""
_LARGEST = 256 * 1024
"""Encodings are decoded in texts up to this many characters; a longer encoded text is masked as a whole."""
_CACHED = 256
"""The cleaned form of a text is cached up to this many characters."""
_BETWEEN = "(?:[\\s.,_/+-]|[\u00ad\u200b-\u200d\u2010-\u2015\u2060\u2212\ufeff])"
_DIGITS = re.compile(rf"\d(?:{_BETWEEN}{{0,3}}\d){{11,}}")
_GROUP = re.compile(r"\d+")
_UUID = re.compile(r"(?<![\w-])[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}(?![\w-])", re.IGNORECASE)
_ENCODED = re.compile(r"%[0-9a-fA-F]{2}|\\[/\"\\u]|&(?:#|[a-z]{2,8};)|[A-Za-z0-9+/_-]{16}")
_ESCAPES = re.compile(r"%[0-9a-fA-F]{2}|\\[/\"\\u]|&(?:#|[a-z]{2,8};)")
_LINES = re.compile(r"[A-Za-z0-9+/=]{16}[\r\n]")
_BREAK = re.compile(r"[\r\n]+\s*")
_TOKEN = re.compile(r"[^\s\"'<>(){}\[\],;]+")
_BASE64 = re.compile(r"[A-Za-z0-9+/_-]{12,}={0,2}")
_HEX = re.compile(r"(?:[0-9a-fA-F]{2}){6,}")
_JSON_ESCAPE = re.compile(r"\\(?:u([0-9a-fA-F]{4})|(.))", re.DOTALL)
_PRINTABLE = bytes(range(0x20, 0x7F)) + b"\t\r\n"
_STANDARD_BASE64 = str.maketrans("-_", "+/")
_CONTROLS = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f"}


def scrub(text: str, secrets: Iterable[Secret] = ()) -> str:
    """``text`` without card numbers, ``secrets`` and what :func:`remember` received."""
    values = tuple(sorted(value for secret in secrets if (value := secret.reveal())))
    return _scrub(text, _Values(values)) if values else clean(text)


def clean(text: str) -> str:
    """``text`` without card numbers and what :func:`remember` received; fast for a text that was seen before."""
    return _clean(text, _known) if len(text) <= _CACHED else _scrub(text, _known)


def mask_id(text: str, secrets: Iterable[Secret]) -> str:
    """``text``, a provider's id, unchanged; if it contains a secret, a fingerprint instead.

    Ids of digits are not treated as card numbers, and short secrets may occur in ids by chance.
    """
    values = tuple(value for secret in secrets if len(value := secret.reveal()) >= _TELLING)
    if not (_Values(values) if values else _known).found(text, cards=False):
        return text
    return f"{MASK}{hashlib.sha256(text.encode('utf-8', 'replace')).hexdigest()[:12]}"


FINGERPRINT = re.compile(r"\*\*\*[0-9a-f]{12}")
"""What :func:`mask_id` makes of an id that contains a secret."""


def holds(text: str, secrets: Iterable[Secret]) -> bool:
    """Whether ``text`` contains one of ``secrets``, in any form."""
    values = tuple(value for secret in secrets if (value := secret.reveal()))
    return _Values(values).found(text, cards=False) if values else False


def remember(secrets: Iterable[Secret]) -> None:
    """Remember the secrets of the process, such as its keys: no outgoing text may contain them. Replaces earlier ones.

    Very short secrets are up to the callers of :func:`scrub`.
    """
    global _known
    _known = _Values(tuple(sorted({value for secret in secrets if len(value := secret.reveal()) >= _SHORT})))


def shield(content: bytes) -> bytes:
    """An answer without the secrets that :func:`remember` received, in case a provider put one into its data."""
    for value in _known.in_bytes.candidates(content):
        if value in content:
            content = content.replace(value, MASK.encode())
    return content


def in_address(address: str) -> Iterator[Secret]:
    """The parts of a URL that may be secret: credentials, query values, and path segments that look like keys."""
    url = urlsplit(address)
    for part in (url.password, url.username if url.password is None else None):
        if part:
            yield Secret(unquote(part))
    for pair in url.query.split("&"):
        if value := pair.partition("=")[2]:
            yield Secret(unquote_plus(value))
    for segment in url.path.split("/"):
        if looks_like_key(unquote(segment)):
            yield Secret(unquote(segment))


def looks_like_key(word: str) -> bool:
    """Whether ``word`` looks like a key rather than a name: long, with letters and digits, or both cases, mixed."""
    if len(word) < 16 or not re.fullmatch(r"[\w.~+=-]+", word):
        return False
    digits, mixed = sum(map(str.isdigit, word)), word != word.lower() and word != word.upper()
    return digits >= 4 or (digits >= 1 and mixed) or (len(word) >= 20 and mixed and "-" not in word and "_" not in word)


def passes_luhn(digits: str) -> bool:
    """Whether ``digits`` end in the check digit of a card number."""
    total = 0
    for position, digit in enumerate(reversed(digits)):
        value = int(digit) * (position % 2 + 1)
        total += value - 9 if value > 9 else value
    return total % 10 == 0


class _Values:
    """Secrets, prepared for searching."""

    def __init__(self, values: tuple[str, ...]) -> None:
        # Longest first: if a secret is part of another, the rest of the other must not remain.
        plain = sorted(set(values), key=_longest_first)
        forms = sorted({form for value in values for form in _forms(value)}, key=_longest_first)
        self._plain, self._forms = _Finder(plain), _Finder(forms)
        self._words = forms
        self.in_bytes = _ByteFinder([value.encode("utf-8", "replace") for value in plain if len(value) >= _TELLING])
        self._shortest = min(map(len, plain), default=sys.maxsize)

    def mask(self, text: str) -> str:
        """``text`` with the common forms masked."""
        if not self._words or not self._forms.is_in(text):
            return text
        return self._written.sub(MASK, text)

    @cached_property
    def _written(self) -> re.Pattern[str]:
        # Compiled only for a text with a secret, because most values see a few texts without.
        return re.compile("|".join(map(_pattern, self._words)))

    def found(self, text: str, *, cards: bool = True, depth: int = _DEPTH) -> bool:
        """Whether ``text`` contains a secret or a card number, under up to ``depth`` encodings."""
        if not cards and len(text) < self._shortest:
            # No encoding is shorter than the plain text.
            return False
        if self._plain.is_in(text):
            return True
        if cards and _DIGITS.search(text) and _mask_cards(text) != text:
            return True
        if _LINES.search(text) and self.found(_BREAK.sub("", text), cards=cards, depth=depth):
            return True
        least = min(self._shortest, _CARD_LENGTHS.start) if cards else self._shortest
        return depth > 0 and any(self.found(inner, cards=cards, depth=depth - 1) for inner in _decoded(text, least))


class _Finder:
    """Finds whether a text contains one of many words, in a time that does not grow with their number."""

    def __init__(self, words: list[str]) -> None:
        special = [word for word in words if len(word) < _SHORT or word.isdecimal()]
        self._special = re.compile("|".join(map(_pattern, special))) if special else None
        self._words = [word for word in words if len(word) >= _SHORT and not word.isdecimal()]
        self._shortest = min(map(len, words), default=0)
        self._heads: dict[str, list[str]] = {}
        if len(self._words) > _MANY:
            for word in self._words:
                self._heads.setdefault(word[:_SHORT], []).append(word)

    def is_in(self, text: str) -> bool:
        if len(text) < self._shortest:
            return False
        if self._special is not None and self._special.search(text):
            return True
        if not self._heads:
            return any(word in text for word in self._words)
        return any(
            text.startswith(word, start)
            for start in range(len(text) - _SHORT + 1)
            for word in self._heads.get(text[start : start + _SHORT], ())
        )


class _ByteFinder:
    """Finds which of many words bytes may contain, in a time that hardly grows with the number of long words.

    Wherever a long word is, it covers one of the aligned blocks that the bytes consist of; these are looked up as
    integers.
    """

    def __init__(self, words: list[bytes]) -> None:
        is_many = len(words) > _MANY_IN_BYTES
        long = [word for word in words if is_many and len(word) >= 2 * _BLOCK - 1]
        self._words = words
        self._others = [word for word in words if not is_many or len(word) < 2 * _BLOCK - 1]
        self._blocks = {
            block for word in long for start in range(_BLOCK) for block in _blocks(word[start : start + _BLOCK])
        }

    def candidates(self, content: bytes) -> list[bytes]:
        """The words that ``content`` may contain, in their order."""
        may_be_long = self._blocks and not self._blocks.isdisjoint(_blocks(content))
        return self._words if may_be_long else self._others


def _blocks(content: bytes) -> memoryview:
    """The aligned blocks of bytes as integers, without the rest at the end."""
    return memoryview(content[: len(content) - len(content) % _BLOCK]).cast("Q")


def _longest_first(word: str) -> tuple[int, str]:
    return -len(word), word


_known = _Values(())


@lru_cache(maxsize=1024)
def _clean(text: str, known: _Values) -> str:
    return _scrub(text, known)


def _scrub(text: str, values: _Values) -> str:
    if values is not _known:
        text = _known.mask(text)
    text = values.mask(text)
    if _UUID.fullmatch(text):
        return text
    if _DIGITS.search(text):
        text = _mask_cards(text)
    if not _ENCODED.search(text):
        return text
    if len(text) > _LARGEST:
        return MASK

    def found(word: str) -> bool:
        return values.found(word) or (values is not _known and _known.found(word))

    text = _TOKEN.sub(lambda token: MASK if _ENCODED.search(token[0]) and found(token[0]) else token[0], text)
    # This leaves encodings with blanks, and base64 in lines.
    is_left = _ESCAPES.search(text) or _LINES.search(text)
    return MASK if is_left and found(text) else text


def _mask_cards(text: str) -> str:
    ids = [match.span() for match in _UUID.finditer(text)]

    def mask(run: re.Match[str]) -> str:
        shown, last = "", run.start()
        for start, end in _cards(run[0]):
            start, end = start + run.start(), end + run.start()
            if not any(first <= start and end <= behind for first, behind in ids):
                shown, last = shown + text[last:start] + MASK, end
        return shown + text[last : run.end()]

    return _DIGITS.sub(mask, text)


def _cards(run: str) -> Iterator[tuple[int, int]]:
    """Where card numbers are in a run of digits with separators: the whole run, or some of its groups."""
    groups = [match.span() for match in _GROUP.finditer(run)]
    position = 0
    while position < len(groups):
        digits, sizes = "", set()
        for start, end in groups[position : position + 19]:
            digits += run[start:end]
            sizes.add(end - start)
            is_all = position == 0 and end == len(run)
            # Grouped as people write it, or digit by digit: other groupings are more likely a list of numbers.
            if len(digits) in _CARD_LENGTHS and (is_all or min(sizes) >= 3 or sizes == {1}) and passes_luhn(digits):
                yield groups[position][0], end
                position = groups.index((start, end))
                break
        position += 1


def _pattern(form: str) -> str:
    # Digits also match in groups, and next to letters: `cvv123`.
    decimal = form.isdecimal()
    pattern, edge = (f"{_BETWEEN}?".join(form), r"\d") if decimal else (re.escape(form), r"\w")
    return f"(?<!{edge}){pattern}(?!{edge})" if len(form) < _SHORT else pattern


def _forms(value: str) -> set[str]:
    if not value:
        return set()
    raw = value.encode(errors="replace")
    encoded = {base64.b64encode(raw).decode(), base64.urlsafe_b64encode(raw).decode()}
    quoted = {quote(raw, safe=""), quote(raw), quote_plus(raw)}
    lower = {re.sub("%..", lambda escape: escape[0].lower(), form) for form in quoted}
    in_json = {json.dumps(value)[1:-1], json.dumps(value, ensure_ascii=False)[1:-1]}
    in_json |= {form.replace("/", "\\/") for form in in_json}
    return {value, *in_json, *quoted, *lower, *encoded, *(form.rstrip("=") for form in encoded)}


def _decoded(text: str, least: int) -> Iterator[str]:
    """The texts that ``text`` may encode, as a whole or in part, without those that must be shorter than ``least``."""
    if "%" in text or "+" in text:
        for inner in {unquote(text), unquote_plus(text)} - {text}:
            yield inner
    if "\\" in text:
        yield _JSON_ESCAPE.sub(_unescape, text)
    if "&" in text and (inner := html.unescape(text)) != text:
        yield inner
    for match in _BASE64.finditer(text):
        word = match[0].rstrip("=").translate(_STANDARD_BASE64).encode()
        for start in range(4 if len(word) * 3 // 4 >= least else 0):
            usable = word[start : len(word) - ((len(word) - start) % 4 == 1)]
            raw = binascii.a2b_base64(usable + b"==="[: -len(usable) % 4])
            # If it is not base64, two thirds of the decoded bytes are not text.
            if len(raw.translate(None, _PRINTABLE)) * 5 < len(raw) * 2:
                yield raw.decode("utf-8", "ignore")
    for match in _HEX.finditer(text):
        raw = bytes.fromhex(match[0])
        if len(raw.translate(None, _PRINTABLE)) * 5 < len(raw) * 2:
            yield raw.decode("utf-8", "ignore")


def _unescape(match: re.Match[str]) -> str:
    if match[1]:
        return chr(int(match[1], 16))
    return _CONTROLS.get(match[2], match[2])
