"""From the bytes of a request to plain data: strict JSON in UTF-8 (EP-9)."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, NoReturn

from levelup_ov.domain.failure import Failure

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
        value = json.loads(text, object_pairs_hook=_members, parse_constant=_refuse_constant)
    except _DuplicateMember:
        path = _first_duplicate(json.loads(text, object_pairs_hook=_Pairs))
        raise Failure("duplicate_member", f"the member {path} stands twice", path=path) from None
    except json.JSONDecodeError as error:
        raise Failure(
            "malformed_json", f"the body is not JSON: {error.msg} (line {error.lineno}, column {error.colno})"
        ) from None
    except RecursionError:
        raise Failure("malformed_json", "the body is nested too deeply") from None
    except ValueError as error:
        # Python refuses to convert numbers of thousands of digits.
        message = str(error) if isinstance(error, _NoConstant) else "a number has too many digits"
        raise Failure("malformed_json", f"the body is not JSON: {message}") from None
    if _SURROGATE_ESCAPE.search(body):
        _refuse_surrogates(value)
    return value


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
        texts = found if isinstance(found, dict) else (found,)
        if any(isinstance(text, str) and _SURROGATE.search(text) for text in texts):
            path = _SURROGATE.sub("\ufffd", path)
            raise Failure("malformed_json", f"the text at {path} holds half of a surrogate pair", path=path)
