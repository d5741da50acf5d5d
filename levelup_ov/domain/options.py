"""Option ids that carry their nesting, and the tree they describe (ITEM-2 to ITEM-5).

A menu publishes ``group:option`` and, one level deeper, ``group:option:group:option``. An order brings
the options back as one flat list; :func:`nest` rebuilds the tree and :func:`flatten` undoes it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from levelup_ov.domain.failure import Failure

DELIMITER = ":"
MAX_DEPTH = 32
"""Levels of nesting that are read. No menu comes near, and a hostile chain must not exhaust the stack."""

_LENGTHS = range(2, 2 * MAX_DEPTH + 1, 2)
_UNESCAPES = {"25": "%", "3A": DELIMITER, "3a": DELIMITER}


@dataclass(frozen=True, slots=True)
class Option:
    """One chosen option as the wire has it: flat, its nesting in ``provider_id`` (ITEM-3)."""

    provider_id: str
    quantity: int = 1
    metadata: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Choice:
    """One chosen option in the provider's own ids, with the options chosen below it."""

    group_id: str
    option_id: str
    quantity: int = 1
    metadata: Mapping[str, Any] = field(default_factory=dict)
    children: tuple[Choice, ...] = ()


def encode_path(*provider_ids: str) -> str:
    """Join a provider's own ids, parents first, into one id of the menu (ITEM-3, ITEM-4)."""
    return DELIMITER.join(_escape(part) for part in provider_ids)


def decode_path(path: str) -> tuple[str, ...]:
    """The provider's own ids in ``path``, parents first: the exact inverse of :func:`encode_path`.

    :raises ValueError: ``path`` holds a ``%`` that :func:`encode_path` never writes.
    """
    parts = path.split(DELIMITER)
    return tuple(parts) if "%" not in path else tuple(map(_unescape, parts))


def nest(options: Iterable[Option], *, path: str = "$") -> tuple[Choice, ...]:
    """The tree of the flattened ``options`` of one item, in the order given (ITEM-2, ITEM-3).

    The same option listed twice counts with the sum of its quantities. ``path`` is the JSONPath of
    the item, for errors.

    :raises Failure: ``unknown_option`` for an id that is in none of our menus; ``orphan_option`` for one whose
        parent was not chosen (ITEM-5).
    """
    found: dict[str, Option] = {}
    ids: dict[str, tuple[str, ...]] = {}
    positions: dict[str, int] = {}
    for position, option in enumerate(options):
        key = option.provider_id
        if (known := found.get(key)) is None:
            own = tuple(key.split(DELIMITER))
            # Nearly every id is as simple as this.
            ids[key] = own if "%" not in key and len(own) in _LENGTHS else _ids(key, path, position)
            found[key], positions[key] = option, position
        else:
            found[key] = Option(key, known.quantity + option.quantity, {**known.metadata, **option.metadata})
    children: dict[str, list[str]] = {"": []}
    for key, own in ids.items():
        parent = ""
        if len(own) > 2:
            parent = key.rsplit(DELIMITER, 2)[0]
            if parent not in found:
                raise Failure(
                    "orphan_option",
                    f"option {key} was chosen without its parent option {parent}",
                    path=f"{path}.options[{positions[key]}].option.provider_id",
                )
        children.setdefault(parent, []).append(key)
    return tuple([_choice(key, found, ids, children) for key in children[""]])


def flatten(choices: Sequence[Choice]) -> tuple[Option, ...]:
    """The flat list of a tree, parents before children: the inverse of :func:`nest`."""
    return tuple(_walk(choices))


def _walk(choices: Sequence[Choice]) -> Iterator[Option]:
    stack: list[tuple[tuple[str, ...], Choice]] = [((), choice) for choice in reversed(choices)]
    while stack:
        above, choice = stack.pop()
        ids = (*above, choice.group_id, choice.option_id)
        yield Option(encode_path(*ids), choice.quantity, choice.metadata)
        stack.extend((ids, child) for child in reversed(choice.children))


def _choice(
    key: str, found: Mapping[str, Option], ids: Mapping[str, tuple[str, ...]], children: Mapping[str, Sequence[str]]
) -> Choice:
    option, own = found[key], ids[key]
    below = tuple([_choice(child, found, ids, children) for child in children[key]]) if key in children else ()
    return Choice(own[-2], own[-1], option.quantity, option.metadata, below)


def _ids(provider_id: str, path: str, position: int) -> tuple[str, ...]:
    """The provider's own ids, spelled as :func:`encode_path` spells them."""
    try:
        ids = decode_path(provider_id)
    except ValueError:
        ids = ()
    if len(ids) not in _LENGTHS or ("%" in provider_id and encode_path(*ids) != provider_id):
        raise Failure(
            "unknown_option",
            f"{provider_id!r} is not an option id of the menu (group:option, ITEM-3)",
            path=f"{path}.options[{position}].option.provider_id",
        )
    return ids


def _escape(part: str) -> str:
    return part.replace("%", "%25").replace(DELIMITER, "%3A")


def _unescape(part: str) -> str:
    if "%" not in part:
        return part
    head, *rest = part.split("%")
    try:
        return head + "".join(_UNESCAPES[piece[:2]] + piece[2:] for piece in rest)
    except KeyError:
        raise ValueError(f"{part!r} contains an invalid % escape") from None
