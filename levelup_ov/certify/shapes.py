"""Compares parsed JSON with the tables of the contract: which members are missing or have the wrong type."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeGuard

from levelup_ov.domain.money import MAX_CENTS, is_cents

TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\dZ?", re.ASCII)
"""The forms of TIME-1."""
MISSING: Any = object()


@dataclass(frozen=True, slots=True)
class Flaw:
    """``member`` is the path in the table, ``path`` the JSONPath in this answer; ``missing``: it is absent."""

    member: str
    path: str
    message: str
    missing: bool

    def __str__(self) -> str:
        return f"{self.path}: {self.message}"


def is_integer(value: Any) -> TypeGuard[int]:
    """Whether ``value`` is a JSON integer."""
    return type(value) is int


def is_time(value: Any) -> bool:
    """Whether ``value`` is written in one of the forms of TIME-1."""
    return isinstance(value, str) and TIME.fullmatch(value) is not None


def _all(value: Any, sound: Callable[[Any], bool]) -> bool:
    return isinstance(value, list) and all(map(sound, value))


_TYPES: Mapping[str, Callable[[Any], bool]] = {
    "string": lambda value: isinstance(value, str),
    "boolean": lambda value: isinstance(value, bool),
    "integer": is_integer,
    "number": lambda value: type(value) in (int, float),
    "cents": is_cents,
    "object": lambda value: isinstance(value, dict),
    "list": lambda value: isinstance(value, list),
    "list of strings": lambda value: _all(value, lambda element: isinstance(element, str)),
    "time": is_time,
    "list of times": lambda value: _all(value, is_time),
    "string or integer": lambda value: isinstance(value, str) or is_integer(value),
}
_MEANINGS = {
    "cents": f"integer cents from 0 to {MAX_CENTS}",
    "time": "a time YYYY-MM-DDTHH:mm, or with Z",
    "list of times": "a list of times YYYY-MM-DDTHH:mm, or with Z",
}


def flaws(table: Mapping[str, str], value: Any, path: str = "$") -> Iterator[Flaw]:
    """Where ``value`` differs from ``table``. Members below a missing one are not reported."""
    if not isinstance(value, dict):
        yield Flaw("", path, f"expected an object, got {shown(value)}", value is MISSING)
        return
    for member, kind in table.items():
        base, _, _ = re.sub(r",? or null$", "\0", kind).partition("\0")
        nullable = base != kind
        for place, found in nodes(value, member, path):
            if found is MISSING:
                yield Flaw(member, place, f"is missing, expected {_MEANINGS.get(base, base)}", True)
            elif not (_TYPES[base](found) or (nullable and found is None)):
                null = " or null" if nullable else ""
                yield Flaw(member, place, f"expected {_MEANINGS.get(base, base)}{null}, got {shown(found)}", False)


def nodes(value: Any, member: str, path: str = "$") -> Iterator[tuple[str, Any]]:
    """Every occurrence of ``member`` (``items[].item.price``) in ``value``, with its value or :data:`MISSING`."""
    name, dot, rest = member.partition(".")
    if not isinstance(value, dict):
        return
    own = name.removesuffix("[]")
    found, place = value.get(own, MISSING), f"{path}.{own}"
    if not dot:
        yield place, found
    elif own == name:
        yield from nodes(found, rest, place)
    elif isinstance(found, list):
        for position, element in enumerate(found):
            yield from nodes(element, rest, f"{place}[{position}]")


def shown(value: Any) -> str:
    """``value``, shortened."""
    text = {None: "null", True: "true", False: "false"}.get(value) if value in (None, True, False) else None
    if type(value) in (dict, list):
        return "an object" if type(value) is dict else "a list"
    if value is MISSING:
        return "nothing"
    text = repr(value) if text is None or type(value) in (int, float) else text
    return text if len(text) <= 60 else f"{text[:57]}..."
