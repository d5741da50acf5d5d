"""Answers that are not quite what a provider promised, made from its real ones."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import orjson

from levelup_ov.transport.tap import Answered

MOST = 40
"""How many changes are tried on one answer, evenly spread over it."""

_JSON = {"Content-Type": "application/json"}
_SORRY = {"success": False, "message": "sorry", "error": {"code": "sorry", "message": "sorry"}, "errors": ["sorry"]}

DOOR = {status: Answered(status, _JSON, b'{"message": "not now"}') for status in (401, 403, 429)}
"""Answers that prove that the request had no effect."""
BROKEN = {
    "500": Answered(500, _JSON, b'{"message": "out of order"}'),
    "503": Answered(503, {}, b""),
    "200 with an error": Answered(200, _JSON, json.dumps(_SORRY).encode()),
    "200 with no JSON": Answered(200, {"Content-Type": "text/html"}, b"<html>down for maintenance</html>"),
    "200 with nothing": Answered(200, _JSON, b""),
}
"""Answers that prove nothing."""


class Change(NamedTuple):
    """An answer with one place changed; ``what`` says how."""

    what: str
    answer: Answered


def changes(answer: Answered) -> list[Change]:
    """The answer with single members missing, null, or of the wrong type; nothing if it is not JSON."""
    value = _value(answer)
    if value is None:
        return []
    places = [(path, old) for path, old in _places(value) if path]
    wanted = [(kind, path, old) for path, old in places for kind in ("missing", "null", "of the wrong type")]
    step = -(-len(wanted) // MOST) or 1
    # A step of three would always hit the same kind.
    step += step > 1 and step % 3 == 0
    return [Change(f"{_name(path)} is {kind}", _answer(answer, _changed(value, kind, path, old)))
            for kind, path, old in wanted[::step]]  # fmt: skip


def extended(answer: Answered) -> Answered:
    """The answer with members of a later version in every object."""
    value = _value(answer)
    return answer if value is None else _answer(answer, _extended(value))


def with_words(answer: Answered, words: str) -> Answered:
    """The answer with ``words`` appended to every sentence."""
    value = _value(answer)
    return answer if value is None else _answer(answer, _reworded(value, words))


def _value(answer: Answered) -> Any:
    try:
        return json.loads(answer.body)
    except ValueError:
        return None


def _answer(answer: Answered, value: Any) -> Answered:
    headers = {name: text for name, text in answer.headers.items() if name.lower() != "content-length"}
    return Answered(answer.status, headers, orjson.dumps(value))


def _places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[tuple[Any, ...], Any]]:
    yield path, value
    if isinstance(value, dict):
        for name, member in value.items():
            yield from _places(member, (*path, name))
    elif isinstance(value, list) and value:
        yield from _places(value[0], (*path, 0))


def _changed(value: Any, kind: str, path: Sequence[Any], old: Any) -> Any:
    """The value with one place changed; what is not on the path to it is shared with the old one."""
    changed = copy.copy(value)
    if len(path) > 1:
        changed[path[0]] = _changed(value[path[0]], kind, path[1:], old)
    elif kind == "missing":
        del changed[path[0]]
    else:
        changed[path[0]] = None if kind == "null" else ["text"] if isinstance(old, (dict, str)) else "text"
    return changed


def _extended(value: Any) -> Any:
    if isinstance(value, dict):
        return {**{name: _extended(member) for name, member in value.items()}, "member_of_a_later_version": [1, None]}
    return [_extended(member) for member in value] if isinstance(value, list) else value


def _reworded(value: Any, words: str) -> Any:
    if isinstance(value, dict):
        return {name: _reworded(member, words) for name, member in value.items()}
    if isinstance(value, list):
        return [_reworded(member, words) for member in value]
    return f"{value} {words}" if isinstance(value, str) and " " in value.strip() else value


def _name(path: Sequence[Any]) -> str:
    return "$" + "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path)
