"""Answers that are not quite what a provider promised: one member dropped, null, of another type, or new."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

from hypothesis import strategies as st

OTHER_TYPES = (True, 0, -1, 1, 7, 10**12, 10**30, 1.5, "", "text", "1", [], ["text"], [None], [{}], {}, {"text": 1})
"""Values to put in place of one of another type."""

Path = tuple[Any, ...]


def mutate(data: Any) -> st.SearchStrategy[Any]:
    """Copies of a JSON value that differ from it in one place, anywhere below its root."""
    return st.sampled_from(list(_changes(data))).map(lambda change: _changed(data, *change))


def _changes(data: Any) -> Iterator[tuple[str, Path, Any]]:
    for path, value in _places(data):
        if isinstance(value, dict):
            yield "put", (*path, "member_of_a_later_version"), {"new": [1, "two", None]}
        if path:
            yield "drop", path, None
            yield "put", path, None
            for other in OTHER_TYPES:
                if type(other) is not type(value):
                    yield "put", path, other


def _places(value: Any, path: Path = ()) -> Iterator[tuple[Path, Any]]:
    yield path, value
    if isinstance(value, dict):
        for name, member in value.items():
            yield from _places(member, (*path, name))
    elif isinstance(value, list):
        for position, member in enumerate(value):
            yield from _places(member, (*path, position))


def _changed(data: Any, kind: str, path: Path, value: Any) -> Any:
    changed = copy.deepcopy(data)
    owner = changed
    for step in path[:-1]:
        owner = owner[step]
    if kind == "drop":
        del owner[path[-1]]
    else:
        owner[path[-1]] = copy.deepcopy(value)
    return changed
