"""Masking what a provider's words repeat of a guest and of a delivery's address, however it is spelled (DELIVERY-4).

Providers change the case, the punctuation, the order and the abbreviations of what they quote, or quote a part of it.
So words are compared, not texts: without case and accents, with escapes decoded, and joined with their neighbors. A
word is *telling* if it points to a guest or an address by itself: it is masked wherever it is. Short and common words
are masked only beside a telling one, so that it stays readable why the provider refuses.
"""

from __future__ import annotations

import html
import re
import sys
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

from levelup_ov.domain.failure import Failure
from levelup_ov.domain.order import DeliveryAddress, User
from levelup_ov.errors import Refused
from levelup_ov.redaction import MASK

WITHHELD = "the provider refuses it; its words are not passed on, because they may name the address of a delivery"

_TELLING = 3
"""The fewest letters of a telling word."""
_SHORTENED = 4
"""The fewest characters of an abbreviation."""
_WITHIN = 5
"""The fewest letters of a word that is also found within a longer one: ``21CanaryAve``."""
_JOINED = 10
"""The most words that are compared as one: ``SW1A 1AA`` and ``SW1A1AA``, the groups of a telephone number."""
_DIALED = 7
"""The last digits of a telephone number, without area and country."""
_LONGEST = 16 * 1024
"""A longer text is masked as a whole."""
_DEPTH = 6
"""How many nested escapes are decoded."""
_BESIDE = 3
"""Characters between two words that belong together."""
_PIECE = re.compile(r"[^\W\d_]+|\d+")
_BYTE = re.compile(r"(?:%|\\x)([0-9a-fA-F]{2})|=([89A-F][0-9A-F])|\\([23][0-7]{2})")
"""A byte as addresses, programs and e-mail write it; of the last two only one that is not ASCII: ``price=10``."""
_BYTE_RUN = re.compile(rf"(?:{_BYTE.pattern})+")
_CHARACTER = re.compile(r"\\(?:u([0-9a-fA-F]{4})|u\{([0-9a-fA-F]{1,6})\}|U([0-9a-fA-F]{8})|([/\"\\ntr]))")
_ESCAPED = re.compile(rf"{_BYTE.pattern}|{_CHARACTER.pattern}|&(?:#|[A-Za-z]{{2,8}};)|[\u00c2-\u00f4][^\x00-\x7f]")
_BYTES = {bytes([byte]).decode(charset): byte for charset in ("latin-1", "cp1252") for byte in range(128, 256)
          if charset == "latin-1" or byte not in (0x81, 0x8D, 0x8F, 0x90, 0x9D)}  # fmt: skip
"""What bytes look like in the older charsets."""
_MISREAD = re.compile(f"(?:[\u00c2-\u00f4][{re.escape(''.join(c for c in _BYTES if not 0xC0 <= _BYTES[c]))}]{{1,3}})+")
"""Letters of UTF-8 that were read in an older charset."""
_LOST = re.compile(r"(?<![^\W\d_])[^\W\d_]*(?:[?\ufffd_]+[^\W\d_]*)+")
"""A word in which letters were replaced, because a charset has none of them."""
_IDEOGRAMS = "\u2e80"
"""From here on, two letters are a name, and no blanks are between words."""
_STATUS = re.compile(r"[^\W\d]+(?:[ .-][^\W\d]+){0,2}")
_MEASURED = re.compile(
    r"[$\u00a3\u20ac]\s?\d[\d,]*(?:\.\d+)?|(?<![\d.])\d+\.\d\d?(?!\.?\d)|\d{4}-\d\d-\d\d|\d{1,2}:\d\d"
    r"|\d+\s?(?:%|(?:cents?|dollars?|minutes?|min|hours?|miles?|km|bytes)\b)",
    re.IGNORECASE,
)
"""Numbers that are amounts or times, which a refusal must keep."""
_LETTERS = {
    "\u00e6": "ae", "\u00f0": "d", "\u00f8": "o", "\u00fe": "th", "\u0111": "d", "\u0131": "i", "\u0142": "l",
    "\u0153": "oe",
}  # fmt: skip
"""Letters without accents that are written in others."""
_UMLAUTS = str.maketrans(
    {"\u00e4": "ae", "\u00f6": "oe", "\u00fc": "ue", "\u00c4": "Ae", "\u00d6": "Oe", "\u00dc": "Ue"}
)
_LINKING = frozenset(
    "a about after all also an and any are as at be been before but by can cannot could did do does each for from had "
    "has have he her here his i if in into is it its may me more most must my no not of off on one only or our out "
    "over she should so some than that the their them then there these they this to too under until up us was we were "
    "what when where which who will with within would you your".split()
)
"""Words between others. They are masked only between two masked ones: a refusal needs its ``is not``."""
_COMMON = frozenset(
    "accept accepted account active add added address already amount another answer app area available ave avenue back "
    "bad below block bldg blvd boulevard building call card cart change changed check city closed code com contact "
    "country court customer data date day deliver delivered deliveries delivery discount door drive drop email error "
    "fee field first floor food found guest house instructions invalid item items lane last later leave left limit "
    "location lot mail menu min minimum missing name need needed needs net new next none number offer open order "
    "orders org outside paid park pay payment phone pickup place placed please postal postcode price provider push "
    "quote reach ready reason refused region request required restaurant ring road room route sale say says sent "
    "serve served service shop side sold sorry special square state stop store street suite take takes tax telephone "
    "text time tip today total town try unable unit unknown user valid validation value way wrong zip zone".split()
)
"""Words of addresses in general, and of refusals."""
_PLAIN = _LINKING | _COMMON


@dataclass(frozen=True, slots=True)
class _Piece:
    """A word or a number in a text: how it is compared, and where it is."""

    word: str
    start: int
    end: int


class PersonalWords:
    """What is personal in one order. It is prepared only when a text is masked, so most orders cost nothing."""

    def __init__(self, user: User, address: DeliveryAddress | None) -> None:
        self._user, self._address = user, address

    def message_of(self, failure: Failure) -> str:
        """The message of ``failure`` without it."""
        return self.mask(failure.message)

    def mask(self, text: str) -> str:
        """``text`` without it; escapes are decoded if they hide something."""
        if len(text) > _LONGEST:
            return MASK
        plain = text
        for _ in range(_DEPTH):
            if not _ESCAPED.search(plain):
                break
            plain = _CHARACTER.sub(_unescape, html.unescape(_BYTE_RUN.sub(_unquote, plain)))
            plain = _MISREAD.sub(_reread, plain)
        plain = _LOST.sub(self._restored, plain)
        masked = self._without(plain)
        return text if masked == plain else masked

    def _restored(self, match: re.Match[str]) -> str:
        """The telling word that is meant, or else the same one."""
        known = re.split(r"([?\ufffd_]+)", match[0])
        if sum(map(len, known[::2])) < _TELLING:
            return match[0]
        # One letter may be compared as two.
        letters = ("".join(map(re.escape, _compared(part))) for part in known[::2])
        gaps = [f"[^\\W\\d_]{{1,{2 * len(gap)}}}" for gap in known[1::2]]
        meant = re.compile("".join(part + gap for part, gap in zip(letters, [*gaps, ""], strict=True)))
        return next(filter(meant.fullmatch, self._telling), match[0])

    def _without(self, text: str) -> str:
        pieces = list(_pieces(text))
        hidden = self._found(pieces, text)
        if not any(hidden):
            return text
        self._extend(pieces, hidden, text)
        shown, last = "", 0
        for position, piece in enumerate(pieces):
            if hidden[position]:
                if not (position and hidden[position - 1] and _beside(pieces, position - 1, text)):
                    shown += text[last : piece.start] + MASK
                last = piece.end
        return shown + text[last:]

    def _found(self, pieces: Sequence[_Piece], text: str) -> list[bool]:
        """Which pieces are masked wherever they are."""
        measured = [match.span() for match in _MEASURED.finditer(text)]
        is_free = [not _within(piece, measured) for piece in pieces]
        hidden = [
            free and (self._tells(piece.word) or self._contains(piece.word))
            for piece, free in zip(pieces, is_free, strict=True)
        ]
        for first in range(len(pieces)):
            joined = pieces[first].word
            for last in range(first + 1, min(first + _JOINED, len(pieces))):
                if not (is_free[last - 1] and is_free[last] and _beside(pieces, last - 1, text)):
                    break
                joined += pieces[last].word
                if self._tells(joined):
                    hidden[first : last + 1] = [True] * (last + 1 - first)
        return hidden

    def _extend(self, pieces: Sequence[_Piece], hidden: list[bool], text: str) -> None:
        """Mask the short and common words beside those that are masked, and the linking words between them."""
        places = range(len(pieces))
        for order, step in ((places, -1), (reversed(places), 1)):
            for position in order:
                neighbor = position + step
                if not hidden[position] and neighbor in places and hidden[neighbor]:
                    is_beside = _beside(pieces, min(position, neighbor), text)
                    hidden[position] = is_beside and self._is_part(pieces[position].word)
        for position in places[1:-1]:
            if hidden[position - 1] and hidden[position + 1] and pieces[position].word in self._all:
                hidden[position] = True

    def _tells(self, word: str) -> bool:
        return word in self._telling or word in self._joined or word in self._beginnings or self._dials(word)

    def _contains(self, word: str) -> bool:
        return any(part in word for part in self._long)

    def _is_part(self, word: str) -> bool:
        return word not in _LINKING and (word in self._all or any(each.startswith(word) for each in self._all))

    def _dials(self, digits: str) -> bool:
        if len(digits) < _DIALED or not digits.isdecimal() or not self._phone:
            return False
        return digits.endswith(self._phone[-_DIALED:]) or digits in self._phone

    @cached_property
    def _phone(self) -> str:
        return re.sub(r"\D", "", self._user.phone or "")

    @cached_property
    def _parts(self) -> list[list[str]]:
        """The words of each part that few people share, in order."""
        return [*self._names, *self._instructions]

    @cached_property
    def _names(self) -> list[list[str]]:
        user, address = self._user, self._address
        names = [user.first_name, user.last_name, user.name, (user.email or "").partition("@")[0]]
        if address is not None:
            names += [address.street_address, address.extended_address or "", address.postal_code or ""]
        return _spelled(names)

    @cached_property
    def _instructions(self) -> list[list[str]]:
        return _spelled([(self._address and self._address.delivery_instructions) or ""])

    @cached_property
    def _all(self) -> frozenset[str]:
        """Every word, also of the parts that many people share."""
        shared = [(self._user.email or "").partition("@")[2]]
        if (address := self._address) is not None:
            shared += [address.locality or "", address.region or ""]
        return frozenset(word for part in (*self._parts, *_spelled(shared)) for word in part)

    @cached_property
    def _telling(self) -> frozenset[str]:
        words = {word for part in self._parts for word in part}
        numbers = {word for word in words if word.isdecimal() and len(word) > 1}
        # A number in JSON has no zeros before it.
        numbers |= {short for word in numbers if len(short := word.lstrip("0")) >= _SHORTENED}
        telling = {word for word in words if _is_long(word, _TELLING) and not word.isdecimal()}
        return frozenset(numbers | (telling - _PLAIN))

    @cached_property
    def _long(self) -> tuple[str, ...]:
        return tuple(word for word in self._telling if _is_long(word, _WITHIN))

    @cached_property
    def _beginnings(self) -> frozenset[str]:
        # Also of two words that are written as one: ``Hauptstr.``
        pairs = {first + second for part in self._parts for first, second in pairwise(part)} & self._joined
        beginnings = (word[:end] for word in self._telling | pairs for end in range(_SHORTENED, len(word)))
        return frozenset(beginnings) - _PLAIN

    @cached_property
    def _joined(self) -> frozenset[str]:
        # ``Park Place`` is a street, ``at the`` is nothing.
        runs = [*_runs(self._names), *(run for run in _runs(self._instructions) if not _PLAIN.issuperset(run))]
        # Lists have a name the other way around.
        runs += [part[::-1] for part in _spelled([self._user.name]) if len(part) > 1]
        return frozenset(joined for run in runs if _is_long(joined := "".join(run), _SHORTENED))


class Withheld:
    """For calls about an order of which it is not known what is personal: a provider's own words are not passed on."""

    def message_of(self, failure: Failure) -> str:
        """The message of ``failure``; another one if the provider worded it."""
        return WITHHELD if isinstance(failure, Refused) or isinstance(failure.__cause__, Refused) else failure.message


def mask_status(word: str) -> str:
    """A provider's status that no adapter's table has; masked if it has more than three words, or a digit (STAT-2)."""
    return word if _STATUS.fullmatch(word) else MASK


def _pieces(text: str) -> Iterator[_Piece]:
    folded, places = [], []
    for place, character in enumerate(text):
        for plain in _folded(character):
            folded.append(plain)
            places.append(place)
    for match in _PIECE.finditer("".join(folded)):
        yield _Piece(match[0], places[match.start()], places[match.end() - 1] + 1)


def _folded(character: str) -> Iterator[str]:
    """A character without case and accent; nothing for one that cannot be seen."""
    for part in unicodedata.normalize("NFKD", character):
        kind = unicodedata.category(part)
        if kind == "Nd":
            yield str(unicodedata.decimal(part))
        elif kind not in ("Mn", "Cf"):
            small = part.casefold()
            yield from _LETTERS.get(small, small)


def _compared(text: str) -> str:
    return "".join(plain for character in text for plain in _folded(character))


def _is_long(word: str, least: int) -> bool:
    return len(word) >= least or (len(word) > 1 and min(word) >= _IDEOGRAMS)


def _spelled(parts: Iterable[str]) -> list[list[str]]:
    """The words of each part, also with umlauts as two letters."""
    spellings = (text for part in parts for text in {part, unicodedata.normalize("NFC", part).translate(_UMLAUTS)})
    return [[piece.word for piece in _pieces(text)] for text in spellings]


def _runs(parts: Iterable[list[str]]) -> Iterator[list[str]]:
    """The words that follow one another in a part: at least two."""
    for part in parts:
        for first in range(len(part)):
            for last in range(first + 2, min(first + _JOINED, len(part)) + 1):
                yield part[first:last]


def _beside(pieces: Sequence[_Piece], position: int, text: str) -> bool:
    """Whether a piece and the next one belong together, whatever blanks and punctuation are between them."""
    between = text[pieces[position].end : pieces[position + 1].start]
    return len(between) <= _BESIDE or len("".join(between.split())) < _BESIDE


def _within(piece: _Piece, spans: Iterable[tuple[int, int]]) -> bool:
    return any(start <= piece.start and piece.end <= end for start, end in spans)


def _unquote(match: re.Match[str]) -> str:
    found = _BYTE.finditer(match[0])
    raw = bytes(int(each[3], 8) if each[3] else int(each[1] or each[2], 16) for each in found)
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return raw.decode("latin-1")


def _reread(match: re.Match[str]) -> str:
    try:
        return bytes(_BYTES[character] for character in match[0]).decode()
    except UnicodeDecodeError:
        return match[0]


def _unescape(match: re.Match[str]) -> str:
    if match[4]:
        return {"n": "\n", "t": "\t", "r": "\r"}.get(match[4], match[4])
    code = int(match[1] or match[2] or match[3], 16)
    # Half of a surrogate pair is not text.
    return match[0] if 0xD800 <= code <= 0xDFFF or code > sys.maxunicode else chr(code)
