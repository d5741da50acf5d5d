"""Amounts in a provider's answers, and the ways to write or read them wrong."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Callable, Collection, Iterator, Sequence
from decimal import Decimal
from typing import Any, NamedTuple

import orjson

from levelup_ov.transport.tap import Answered

Path = tuple[Any, ...]
MOST = 24
"""How many amounts of one answer are changed, evenly spread over it."""
ALIKE = 2
"""How many of them have the same path but for positions and numbers: the first and the last."""

_NUMBER = re.compile(r"-?[0-9]+([.,][0-9]+)?")


class Misprint(NamedTuple):
    """One way to write an amount; ``means``: whether it still means that amount."""

    what: str
    means: bool
    write: Callable[[Any], Any]


def _signed(value: Any) -> Any:
    return f"-{value}" if isinstance(value, str) else -value


def _with_half_a_cent(value: Any) -> Any:
    # For an amount in cents, that is a fraction of a cent, so not an amount either.
    changed = Decimal(str(value).replace(",", ".")) + Decimal("0.005")
    return str(changed) if isinstance(value, str) else changed


def _text(value: Any) -> Any:
    return Decimal(value.replace(",", ".")) if isinstance(value, str) else str(value)


def _comma(value: Any) -> Any:
    text = str(value)
    return text.replace(".", ",") if "." in text else f"{text},00"


def _thousands(value: Any) -> Any:
    whole, _, places = str(value).partition(".")
    return f"{int(whole):,}" + (f".{places}" if places else "") if int(whole) >= 1000 else f"1,{int(whole):03}"


MISPRINTS = (
    Misprint("has a minus before it", False, _signed),
    Misprint("has half a cent more", False, _with_half_a_cent),
    Misprint("is text for a number, or a number for text", True, _text),
    Misprint("is text with a decimal comma", True, _comma),
    Misprint("is text with a comma between its digits", False, _thousands),
)


class AmountPath(NamedTuple):
    """The path of a possible amount in an answer."""

    path: Path
    value: Any

    @property
    def name(self) -> str:
        """The path as a JSONPath."""
        return "$" + "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in self.path)


def places(answer: Answered) -> list[AmountPath]:
    """Numbers except 0 in an answer, also those in strings: :data:`ALIKE` of a kind, at most :data:`MOST`."""
    kinds: dict[Path, list[AmountPath]] = {}
    for path, value in _walk(read(answer)):
        if path and _is_number(value):
            known = kinds.setdefault(tuple(None if f"{step}".isdecimal() else step for step in path), [])
            known[ALIKE - 1 :] = [AmountPath(path, value)]
    found = [place for known in kinds.values() for place in known]
    step = -(-len(found) // MOST) or 1
    return found[::step]


def changed(answer: Answered, place: AmountPath, value: Any) -> Answered:
    """The answer with a different value at a path."""
    return written(answer, with_value(read(answer), place.path, value))


def with_value(whole: Any, path: Path, value: Any) -> Any:
    """The JSON value with a different value at a path; what is not on the path is shared with the old one."""
    if not path:
        return value
    copied = copy.copy(whole)
    copied[path[0]] = with_value(whole[path[0]], path[1:], value)
    return copied


def another(place: AmountPath) -> Any:
    """A different amount at a path, written in the same way."""
    value = place.value
    return str(Decimal(value.replace(",", ".")) + 77) if isinstance(value, str) else value + 77


def shifted(answer: Answered, amounts: Collection[int], cents: int) -> Answered:
    """The answer with ``cents`` added wherever one of ``amounts`` occurs, in cents or in whole units."""
    whole = read(answer)
    return written(answer, _shifted(whole, frozenset(amounts), cents)) if whole is not None else answer


def read(answer: Answered) -> Any:
    """The JSON of an answer, decimals as they are written; None if it is not JSON."""
    try:
        return json.loads(answer.body, parse_float=Decimal)
    except ValueError:
        return None


def written(answer: Answered, value: Any) -> Answered:
    """The answer with a different JSON body."""
    headers = {name: text for name, text in answer.headers.items() if name.lower() != "content-length"}
    return Answered(answer.status, headers, orjson.dumps(value, default=_fragment))


def _fragment(value: Any) -> orjson.Fragment:
    return orjson.Fragment(format(value, "f"))


def _walk(value: Any, path: Path = ()) -> Iterator[tuple[Path, Any]]:
    yield path, value
    members: Sequence[tuple[Any, Any]] = ()
    if isinstance(value, dict):
        members = list(value.items())
    elif isinstance(value, list):
        members = list(enumerate(value))
    for name, member in members:
        yield from _walk(member, (*path, name))


def _is_number(value: Any) -> bool:
    if isinstance(value, str):
        return len(value) < 16 and bool(_NUMBER.fullmatch(value)) and Decimal(value.replace(",", ".")) != 0
    return isinstance(value, (int, Decimal)) and not isinstance(value, bool) and value != 0


def _shifted(value: Any, amounts: frozenset[int], cents: int) -> Any:
    if isinstance(value, dict):
        return {name: _shifted(member, amounts, cents) for name, member in value.items()}
    if isinstance(value, list):
        return [_shifted(member, amounts, cents) for member in value]
    if not _is_number(value):
        return value
    number = Decimal(value.replace(",", ".")) if isinstance(value, str) else Decimal(value)
    places = number.as_tuple().exponent
    in_units = isinstance(places, int) and places < 0
    if in_units and number * 100 in amounts:
        more: Any = number + Decimal(cents) / 100
    elif not in_units and number in amounts:
        more = number + cents
    else:
        return value
    if not isinstance(value, str):
        return int(more) if isinstance(value, int) else more
    return str(more).replace(".", ",") if "," in value else str(more)
