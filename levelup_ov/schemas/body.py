"""From the bytes of a request to plain data: strict JSON in UTF-8 (EP-9).

Time and memory are linear in the size of the body, whatever it contains.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable, Iterator
from typing import Any, NoReturn

import orjson

from levelup_ov.domain.failure import Failure

MAX_VALUES = 125_000
"""The most values (objects, lists, strings, numbers...) a body may have; each takes up to 300 bytes (EP-9)."""

SMALL = 32 * 1024
"""Bodies up to this many bytes try the quick way first; an order is smaller."""
_ONE_LARGE = threading.Lock()
"""Larger ones are read one at a time: side by side they take no less time, but their values would fill the memory
together, and leave it in pieces."""
_AS_ZEROS = bytes(ord("0" if byte in b"0123456789" else " ") for byte in range(256))
_HUGE = b"0" * 19
"""An integer that may have more than 63 bits, which the quick way turns into a float."""
_LONG = 640
"""The most digits of an integer that Python always converts."""
_SEARCHED = 500
"""How many objects and lists are searched for a repeated member; beyond that, only its name is reported."""
_MARKED = 100
"""Objects with a repeated member that are remembered."""
_LONGEST_NAME = 64
"""The most characters of a member's name that an error repeats."""
_STRING = re.compile(rb'"(?:[^"\\]++|\\.)*+(?:"|\Z)', re.DOTALL)
_LONE_ESCAPE = re.compile(
    rb"\\u[dD][89abAB][0-9a-fA-F]{2}(?!\\u[dD][c-fC-F])|(?<!\\u[dD][89abAB][0-9a-fA-F]{2})\\u[dD][c-fC-F]"
)
_UNREAD = object()
_SURROGATE = re.compile("[\ud800-\udfff]")


def parse(body: bytes) -> Any:
    """The JSON value of ``body``.

    :raises Failure: ``malformed_json`` and ``duplicate_member``, both naming the place; ``payload_too_large``.
    """
    if len(body) > SMALL:
        with _ONE_LARGE:
            return _read_thoroughly(body)
    quick = _read_quickly(body)
    return _read_thoroughly(body) if quick is _UNREAD else quick


def _read_thoroughly(body: bytes) -> Any:
    if len(body) > MAX_VALUES and _values(body) > MAX_VALUES:
        raise Failure("payload_too_large", f"expected a body of at most {MAX_VALUES} values")
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError as error:
        raise Failure("malformed_json", f"the body is not UTF-8 (byte {error.start})") from None
    repeated: list[_Repeated] = []
    try:
        value = _loads(text, repeated)
    except json.JSONDecodeError as error:
        raise Failure(
            "malformed_json", f"the body is not JSON: {error.msg} (line {error.lineno}, column {error.colno})"
        ) from None
    except RecursionError:
        raise Failure("malformed_json", "the body is nested too deeply") from None
    except _NoConstant as error:
        raise Failure("malformed_json", f"the body is not JSON: {error}") from None
    if b"\\u" in body and _may_hold_surrogate(body):
        _refuse_surrogates(value)
    if repeated:
        _refuse_repeated(value, repeated[-1])
    return value


def _read_quickly(body: bytes) -> Any:
    """The value, read in a fifth of the time; :data:`_UNREAD` if anything is unusual.

    A repeated member is detected by writing the value again: at least one colon is then missing.
    """
    try:
        value = orjson.loads(body)
        written = orjson.dumps(value)
    except (orjson.JSONDecodeError, TypeError):
        return _UNREAD  # the thorough way reports the error
    if written == body:
        return value
    if (b"\\" in body and b"\\u003" in body) or _HUGE in body.translate(_AS_ZEROS):
        return _UNREAD  # a colon that is written as an escape could not be counted
    return value if written.count(b":") == body.count(b":") else _UNREAD


def _may_hold_surrogate(body: bytes) -> bool:
    # An escaped backslash before a `u` looks like the beginning of an escape.
    return _LONE_ESCAPE.search(body) is not None or (b"\\\\u" in body and b"\\ud" in body.lower())


def _values(body: bytes) -> int:
    """How many values the body has, if it is JSON. If a quick estimate, which is never too low, suffices, that one."""
    most = body.count(b",") + body.count(b"{") + body.count(b"[") + 1
    if most <= MAX_VALUES:
        return most
    frame = _STRING.sub(b"0", body).translate(None, b" \t\r\n")
    filled = frame.count(b"{") + frame.count(b"[") - frame.count(b"{}") - frame.count(b"[]")
    return frame.count(b",") + filled + 1


def _loads(text: str, repeated: list[_Repeated]) -> Any:
    """The value; objects with a repeated member are added to ``repeated``.

    Python does not convert an integer of thousands of digits. No amount or quantity has that many, so it becomes
    a float, which is refused where an integer is expected (EP-9) and ignored elsewhere (EP-8).
    """

    def members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) != len(pairs) and len(repeated) < _MARKED:
            found = _Repeated(found)
            found.pairs = pairs
            repeated.append(found)
        return found

    try:
        return _json(text, members, int)
    except (json.JSONDecodeError, _NoConstant):
        raise
    except ValueError:
        repeated.clear()
        return _json(text, members, _integer)


def _json(text: str, members: Callable[[Any], Any], integer: Callable[[str], Any]) -> Any:
    return json.loads(text, object_pairs_hook=members, parse_constant=_refuse_constant, parse_int=integer)


def _integer(digits: str) -> int | float:
    return int(digits) if len(digits) < _LONG else float(digits)


class _NoConstant(ValueError):
    pass


class _Repeated(dict[str, Any]):
    """An object that has a member twice; ``pairs`` has all of them."""

    pairs: list[tuple[str, Any]]

    @property
    def name(self) -> str:
        """The first member that repeats another."""
        names: set[str] = set()
        for name, _ in self.pairs:
            if name in names:
                break
            names.add(name)
        return name


def _refuse_constant(name: str) -> NoReturn:
    raise _NoConstant(f"{name} is not a JSON number")


_Path = tuple[Any, str | int] | None
"""Where a value is: the path of what it is in, and its name or position there."""


def _containers(value: Any) -> Iterator[tuple[_Path, Any]]:
    """Every object and list in ``value``, outer ones first; without recursion, because the sender chooses the depth."""
    yield None, value
    open_ones: list[tuple[_Path, Iterator[tuple[Any, Any]]]] = [(None, _members(value))]
    while open_ones:
        path, members = open_ones[-1]
        for key, member in members:
            if isinstance(member, (dict, list)):
                yield (path, key), member
                open_ones.append(((path, key), _members(member)))
                break
        else:
            open_ones.pop()


def _members(container: Any) -> Iterator[tuple[Any, Any]]:
    return iter(container.items()) if isinstance(container, dict) else enumerate(container)


def _written(path: _Path) -> str:
    parts = []
    while path is not None:
        path, key = path
        parts.append(f"[{key}]" if isinstance(key, int) else f".{_shown(key)}")
    return "$" + "".join(reversed(parts))


def _shown(name: str) -> str:
    return _SURROGATE.sub("\ufffd", name if len(name) <= _LONGEST_NAME else f"{name[:_LONGEST_NAME]}\u2026")


def _refuse_repeated(value: Any, last: _Repeated) -> NoReturn:
    for position, (path, found) in enumerate(_containers(value)):
        if isinstance(found, _Repeated):
            where = _written((path, found.name))
            raise Failure("duplicate_member", f"the member {where} appears twice", path=where)
        if position >= _SEARCHED:
            break
    raise Failure("duplicate_member", f"a member {_shown(last.name)} appears twice")


def _refuse_surrogates(value: Any) -> None:
    for path, found in _containers(value if isinstance(value, (dict, list)) else [value]):
        for key, member in found.pairs if isinstance(found, _Repeated) else _members(found):
            if any(isinstance(text, str) and _SURROGATE.search(text) for text in (key, member)):
                where = _written((path, key))
                raise Failure("malformed_json", f"the text at {where} holds half of a surrogate pair", path=where)
