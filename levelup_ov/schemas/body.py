"""From the bytes of a request to plain data: strict JSON in UTF-8 (EP-9)."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from typing import Any, NoReturn

from levelup_ov.domain.failure import Failure

_LONG = 640
"""Digits of an integer that Python converts in any case."""
_SURROGATE_ESCAPE = re.compile(rb"\\u[dD][89a-fA-F]")
_SURROGATE = re.compile("[\ud800-\udfff]")


def parse(body: bytes) -> Any:
    """The JSON value of ``body``.

    :raises Failure: ``malformed_json``, ``duplicate_member``, both naming the place.
    """
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError as error:
        raise Failure("malformed_json", f"the body is not UTF-8 (byte {error.start})") from None
    try:
        value, duplicated = _loads(text)
    except json.JSONDecodeError as error:
        raise Failure(
            "malformed_json", f"the body is not JSON: {error.msg} (line {error.lineno}, column {error.colno})"
        ) from None
    except RecursionError:
        raise Failure("malformed_json", "the body is nested too deeply") from None
    except _NoConstant as error:
        raise Failure("malformed_json", f"the body is not JSON: {error}") from None
    if _SURROGATE_ESCAPE.search(body):
        _refuse_surrogates(value)
    if duplicated:
        path = _first_duplicate(value)
        raise Failure("duplicate_member", f"the member {path} stands twice", path=path)
    return value


def _loads(text: str) -> tuple[Any, bool]:
    """The value, and whether an object in it has a member twice; its objects are :class:`_Pairs` then.

    Python converts no integer of thousands of digits. None is an amount or a quantity; as a float it is
    refused where one is expected (EP-9) and ignored elsewhere (EP-8).
    """
    try:
        return _json(text, _members, int), False
    except _DuplicateMember:
        return _json(text, _Pairs, _integer), True
    except (json.JSONDecodeError, _NoConstant):
        raise
    except ValueError:
        pass
    try:
        return _json(text, _members, _integer), False
    except _DuplicateMember:
        return _json(text, _Pairs, _integer), True


def _json(text: str, members: Callable[[Any], Any], integer: Callable[[str], Any]) -> Any:
    return json.loads(text, object_pairs_hook=members, parse_constant=_refuse_constant, parse_int=integer)


def _integer(digits: str) -> int | float:
    return int(digits) if len(digits) < _LONG else float(digits)


class _DuplicateMember(Exception):
    pass


class _NoConstant(ValueError):
    pass


class _Pairs(list[tuple[str, Any]]):
    """The members of an object, with repetitions."""


def _members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise _DuplicateMember
    return members


def _refuse_constant(name: str) -> NoReturn:
    raise _NoConstant(f"{name} is no JSON number")


def _walk(value: Any) -> Iterator[tuple[str, Any]]:
    """Every value in ``value`` with its path, outer ones first; without recursion, for depth is the sender's choice."""
    waiting = [("$", value)]
    while waiting:
        path, value = waiting.pop()
        yield path, value
        if isinstance(value, (dict, _Pairs)):
            members = value.items() if isinstance(value, dict) else value
            waiting.extend(reversed([(f"{path}.{name}", member) for name, member in members]))
        elif isinstance(value, list):
            waiting.extend(reversed([(f"{path}[{position}]", element) for position, element in enumerate(value)]))


def _first_duplicate(value: Any) -> str:
    for path, found in _walk(value):
        if isinstance(found, _Pairs):
            names = [name for name, _ in found]
            for name in names:
                if names.count(name) > 1:
                    return f"{path}.{name}"
    raise AssertionError("called for a body with a duplicate")


def _refuse_surrogates(value: Any) -> None:
    for path, found in _walk(value):
        names = found if isinstance(found, dict) else [name for name, _ in found] if isinstance(found, _Pairs) else []
        texts = [*names, found]
        if any(isinstance(text, str) and _SURROGATE.search(text) for text in texts):
            path = _SURROGATE.sub("\ufffd", path)
            raise Failure("malformed_json", f"the text at {path} holds half of a surrogate pair", path=path)
