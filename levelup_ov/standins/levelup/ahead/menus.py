"""A gateway's menu laid out for apps: integer ids, and each item with all its groups. Pure but for the numbers.

A group below an option becomes another, optional group of the item. Its key is the whole path to it, so that the same
group below two options has two numbers.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

JSON = dict[str, Any]
Number = Callable[[str, str], int]
"""LevelUp's number for a kind and a key."""

DEEPEST = 20
"""Groups below groups; a menu that nests deeper is cut there."""


def laid_out(location: str, menu_id: int, menu: JSON, number: Number) -> JSON:
    """The menu of an app."""
    groups = {group["provider_id"]: group for group in _unwrapped(menu, "option_groups", "option_group")}
    categories = []
    for order, category in enumerate(_unwrapped(menu, "categories", "category"), 1):
        path = (location, category["provider_id"])
        items = _unwrapped(category, "items", "item")
        categories.append(
            {
                "category": {
                    "id": number("category", key(*path)),
                    "name": category["name"],
                    "description": category.get("description"),
                    "display_order": order,
                    "category_group_id": _group_number(location, category.get("category_group"), number),
                    "items": [
                        {"item": _item(path, position, item, groups, number)} for position, item in enumerate(items, 1)
                    ],
                }
            }
        )
    return {
        "id": menu_id,
        "name": menu.get("name"),
        "updated_at": menu.get("updated_at"),
        "allows_special_instructions": menu.get("allows_special_instructions"),
        "special_instructions_character_limit": menu.get("special_instructions_character_limit"),
        "categories": categories,
    }


def _group_number(location: str, group: str | None, number: Number) -> int | None:
    return None if group is None else number("category_group", key(location, group))


def _item(path: tuple[str, ...], position: int, item: JSON, groups: Mapping[str, JSON], number: Number) -> JSON:
    path = (*path, item["provider_id"])
    option_groups = list(_groups(path, item.get("option_groups") or [], groups, number, None, "", 1))
    for order, group in enumerate(option_groups, 1):
        group["display_order"] = order
    chosen = [option for group in option_groups for option in group["default_option_ids"]]
    return {
        "id": number("item", key(*path)),
        "name": item["name"],
        "description": item.get("description"),
        "display_order": position,
        "price_amount": item["price"],
        "price_with_defaults_amount": item["price"] + options_price(option_groups, chosen),
        "image_url": item.get("image"),
        "nutrition": item.get("nutrition"),
        "sku": item.get("sku"),
        "upc": item.get("upc"),
        "option_groups": [{"option_group": group} for group in option_groups],
    }


def _groups(
    path: tuple[str, ...],
    ids: Sequence[str],
    groups: Mapping[str, JSON],
    number: Number,
    parent: int | None,
    prefix: str,
    depth: int,
) -> Iterator[JSON]:
    """The groups of an item or an option, each followed by those of its options."""
    for group in sorted((groups[id] for id in ids if id in groups), key=lambda each: each.get("display_order") or 0):
        own = (*path, group["provider_id"])
        options = sorted(_unwrapped(group, "options", "option"), key=lambda each: each.get("display_order") or 0)
        numbers = {option["provider_id"]: number("option", key(*own, option["provider_id"])) for option in options}
        name = f"{prefix}{group['name']}"
        yield {
            "id": number("option_group", key(*own)),
            "name": name,
            "display_order": 0,
            # Whether the parent is chosen, an app cannot know; the ordering provider sees to it.
            "minimum_choices": 0 if parent is not None else group.get("minimum_choices") or 0,
            "maximum_choices": group.get("maximum_choices"),
            "free_choices": group.get("free_choices") or 0,
            "default_option_ids": [] if parent is not None else _defaults(group, numbers),
            # Ours: apps skip what they do not know.
            "parent_option_id": parent,
            "options": [
                {
                    "option": {
                        "id": numbers[option["provider_id"]],
                        "name": option["name"],
                        "display_order": order,
                        "price_amount": option["price"],
                    }
                }
                for order, option in enumerate(options, 1)
            ],
        }
        if depth < DEEPEST:
            for option in options:
                below = numbers[option["provider_id"]]
                more = option.get("option_groups") or []
                yield from _groups(own, more, groups, number, below, f"{prefix}{option['name']}: ", depth + 1)


def _defaults(group: JSON, numbers: Mapping[str, int]) -> list[int]:
    """``defaults``; an option with a ``default_quantity`` is repeated as often."""
    quantities = {
        option["provider_id"]: option.get("default_quantity") or 1 for option in _unwrapped(group, "options", "option")
    }
    return [numbers[id] for id in group.get("defaults") or [] if id in numbers for _ in range(quantities[id])]


def options_price(option_groups: Sequence[JSON], chosen: Sequence[int]) -> int:
    """What chosen options cost, cents."""
    prices = _prices(option_groups)
    return sum(prices[id] * count for id, count in (Counter(chosen) - free_options(option_groups, chosen)).items())


def free_options(option_groups: Sequence[JSON], chosen: Sequence[int]) -> Counter[int]:
    """How many of each chosen option are free: of each group the dearest ``free_choices``."""
    free: Counter[int] = Counter()
    for group in option_groups:
        prices = _prices([group])
        picked = sorted((id for id in chosen if id in prices), key=lambda id: -prices[id])
        free.update(picked[: group["free_choices"]])
    return free


def _prices(option_groups: Sequence[JSON]) -> dict[int, int]:
    return {
        entry["option"]["id"]: entry["option"]["price_amount"] for group in option_groups for entry in group["options"]
    }


def key(*parts: str) -> str:
    """A path as it is kept."""
    return json.dumps(parts, separators=(",", ":"))


def items_of(layout: JSON) -> dict[int, JSON]:
    """The items of a menu of an app, by their numbers."""
    return {
        entry["item"]["id"]: entry["item"]
        for category in layout["categories"]
        for entry in category["category"]["items"]
    }


def _unwrapped(value: JSON, name: str, root: str) -> list[JSON]:
    return [entry[root] for entry in value.get(name) or []]
