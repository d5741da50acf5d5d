"""A menu in bounded parts, for a model that reads it: dishes found by words, and the modifications of one dish. Pure.

UCP has no menus of food yet, so these shapes are this service's own; their words are those of a food checkout.
"""

from __future__ import annotations

import re
import unicodedata
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from levelup_ov.domain.menu import Category, Menu, MenuItem, MenuOption, OptionGroup

T = TypeVar("T")

MOST_FOUND = 50
"""Dishes or establishments in one answer."""
MOST_MODIFICATIONS = 400
"""Modifications in one answer; for those below, ask for one of them."""
LONGEST_DESCRIPTION = 300

_WORD = re.compile(r"\w+")


@dataclass(frozen=True, slots=True)
class SearchPage:
    """A part of a list, and where the next part starts; None: there is none."""

    entries: Sequence[Mapping[str, Any]]
    next_cursor: str | None


def find_dishes(menu: Menu, query: str, limit: int, offset: int) -> SearchPage:
    """The dishes whose names, headings or descriptions have the most words of ``query``; without words, all of them."""
    listed = [(category, item) for category in menu.categories for item in category.items]
    ranked = _ranked(listed, query, lambda each: (each[1].name, f"{each[0].name} {each[1].description or ''}"))
    return _page([_dish(category, item) for category, item in ranked[offset : offset + limit + 1]], limit, offset)


def find_establishments(listed: Sequence[Mapping[str, Any]], query: str, limit: int, offset: int) -> SearchPage:
    """The same for establishments, by their own and their merchants' names, and their addresses."""
    ranked = _ranked(
        listed,
        query,
        lambda each: (f"{each['merchant_name']} {each['name']}", " ".join(each["address"].values())),
    )
    return _page(ranked[offset : offset + limit + 1], limit, offset)


def dish(menu: Menu, id: str, under: str = "") -> dict[str, Any] | None:
    """One dish with its modifications, or with those below its modification ``under``; None: there is no such thing.

    Those at the top come first. ``more_below`` marks a modification whose own ones did not fit, ``more`` a group.
    """
    groups = {group.provider_id: group for group in menu.option_groups}
    for category in menu.categories:
        for item in category.items:
            if item.provider_id != id:
                continue
            start = item.option_groups if not under else _below(under, item, groups)
            if start is None:
                return None
            return {**_dish(category, item), "modification_groups": _groups(start, groups)}
    return None


def _groups(start: Sequence[str], groups: Mapping[str, OptionGroup]) -> list[dict[str, Any]]:
    shown: list[dict[str, Any]] = []
    left = MOST_MODIFICATIONS
    waiting = deque[tuple[Sequence[str], dict[str, Any] | None]]([(start, None)])
    while waiting:
        ids, parent = waiting.popleft()
        if parent is not None and not left:
            parent["more_below"] = True
            continue
        into = shown if parent is None else parent.setdefault("modification_groups", [])
        for group in (groups[id] for id in ids if id in groups):
            entry = _group(group)
            into.append(entry)
            if len(group.options) > left:
                entry["more"] = True
            for option in group.options[:left]:
                modification = _modification(option)
                entry["modifications"].append(modification)
                if option.option_groups:
                    waiting.append((option.option_groups, modification))
            left = max(left - len(group.options), 0)
    return shown


def _modification(option: MenuOption) -> dict[str, Any]:
    entry: dict[str, Any] = {"id": option.provider_id, "title": option.name, "price": option.price}
    if option.maximum_quantity is not None:
        entry["maximum_quantity"] = option.maximum_quantity
    return entry


def _group(group: OptionGroup) -> dict[str, Any]:
    entry: dict[str, Any] = {"title": group.name, "minimum": group.minimum_choices}
    if group.maximum_choices is not None:
        entry["maximum"] = group.maximum_choices
    if group.free_choices:
        entry["free"] = group.free_choices
    if group.defaults:
        entry["chosen_at_first"] = list(group.defaults)
    return {**entry, "modifications": []}


def _below(id: str, item: MenuItem, groups: Mapping[str, OptionGroup]) -> Sequence[str] | None:
    """The groups below one of a dish's modifications."""
    waiting, seen = list(item.option_groups), set[str]()
    while waiting:
        key = waiting.pop()
        if key in seen or key not in groups:
            continue
        seen.add(key)
        for option in groups[key].options:
            if option.provider_id == id:
                return option.option_groups
            waiting += option.option_groups
    return None


def _dish(category: Category, item: MenuItem) -> dict[str, Any]:
    entry: dict[str, Any] = {
        "id": item.provider_id, "title": item.name, "price": item.price, "category": category.name,
        "has_modifications": bool(item.option_groups),
    }  # fmt: skip
    if item.description:
        entry["description"] = item.description[:LONGEST_DESCRIPTION]
    if item.image:
        entry["media"] = [{"type": "image", "url": item.image}]
    return entry


def _ranked(listed: Sequence[T], query: str, texts: Callable[[T], tuple[str, str]]) -> Sequence[T]:
    """Those that have any of the words, best first; the order of the list decides between equals."""
    words = set(_words(query))
    if not words:
        return listed
    scored = []
    for each in listed:
        name, more = (set(_words(text)) for text in texts(each))
        score = sum(3 * _has(word, name) or _has(word, more) for word in words)
        if score:
            scored.append((score, each))
    return [each for _, each in sorted(scored, key=lambda pair: -pair[0])]


def _has(word: str, words: Iterable[str]) -> bool:
    """Whether one of ``words`` starts with ``word``, or ``word`` is its plural."""
    return any(each.startswith(word) or (len(each) > 2 and word in (f"{each}s", f"{each}es")) for each in words)


def _words(text: str) -> Iterator[str]:
    """The words without case and accents."""
    plain = "".join(each for each in unicodedata.normalize("NFKD", text) if not unicodedata.combining(each))
    return (match[0] for match in _WORD.finditer(plain.casefold()))


def _page(entries: Sequence[Mapping[str, Any]], limit: int, offset: int) -> SearchPage:
    return SearchPage(entries[:limit], str(offset + limit) if len(entries) > limit else None)
