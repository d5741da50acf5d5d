"""A location's menu, and the check that it is consistent (MENU-1 to MENU-3, MENU-5)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any

from levelup_ov.domain.money import Cents, is_cents


@dataclass(frozen=True, slots=True)
class MenuOption:
    """An option; ``provider_id`` is its whole path (ITEM-3), ``tax_rate`` a fraction.

    ``price`` None: it is not an amount in cents, and the option is left out (MENU-6).
    ``maximum_quantity`` None means no limit; ``default_quantity``: how many are chosen at first.
    ``option_groups`` are the ids of the groups below it (MENU-5). ``metadata`` comes back with orders where a
    key starts with ``integration_`` (ITEM-9). ``timescopes``: when it is offered, as the provider says it.
    """

    provider_id: str
    name: str
    price: Cents | None = 0
    maximum_quantity: int | None = None
    default_quantity: int | None = None
    option_groups: tuple[str, ...] = ()
    display_order: int | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)
    tax_rate: Decimal | None = None
    timescopes: tuple[Mapping[str, Any], ...] | None = None


@dataclass(frozen=True, slots=True)
class OptionGroup:
    """A group of options, published once per path (MENU-5); a maximum of None means no limit.

    ``..._choices`` count an option as often as it is chosen, ``..._unique_options`` once (ITEM-7).
    ``free_choices``: how many choices cost nothing. ``defaults``: ids of options that are chosen at first.
    """

    provider_id: str
    name: str
    options: tuple[MenuOption, ...]
    minimum_choices: int = 0
    maximum_choices: int | None = None
    minimum_unique_options: int | None = None
    maximum_unique_options: int | None = None
    free_choices: int = 0
    defaults: tuple[str, ...] = ()
    display_order: int | None = None
    timescopes: tuple[Mapping[str, Any], ...] | None = None


@dataclass(frozen=True, slots=True)
class MenuItem:
    """An item; ``option_groups`` are ids of groups of the same menu, ``image`` is an address (MENU-2).

    ``price`` None: it is not an amount in cents, and the item is left out (MENU-6).
    """

    provider_id: str
    name: str
    price: Cents | None
    description: str | None = None
    image: str | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)
    option_groups: tuple[str, ...] = ()
    nutrition: Mapping[str, Any] | None = None
    timescopes: tuple[Mapping[str, Any], ...] | None = None


@dataclass(frozen=True, slots=True)
class Category:
    """A heading of the menu; it has no price. ``category_group`` is the id of one of the menu's groups."""

    provider_id: str
    name: str
    items: tuple[MenuItem, ...]
    description: str | None = None
    category_group: str | None = None
    timescopes: tuple[Mapping[str, Any], ...] | None = None


@dataclass(frozen=True, slots=True)
class CategoryGroup:
    """A group of categories, such as lunch and dinner."""

    provider_id: str
    name: str
    timescopes: tuple[Mapping[str, Any], ...] | None = None


@dataclass(frozen=True, slots=True)
class Menu:
    """The menu of one location (MENU-1).

    Each option group is listed once; items and options refer to it. ``special_instructions_character_limit``
    None means no limit; the adapter refuses what exceeds it (ITEM-8). ``updated_at`` is an aware instant.
    ``left_out``: what the provider has and this menu omits, one message each, with the ids (MENU-6).
    """

    provider_id: str
    name: str
    categories: tuple[Category, ...]
    option_groups: tuple[OptionGroup, ...] = ()
    category_groups: tuple[CategoryGroup, ...] = ()
    allows_special_instructions: bool = True
    special_instructions_character_limit: int | None = None
    updated_at: datetime | None = None
    left_out: tuple[str, ...] = ()


def check(menu: Menu) -> tuple[str, ...]:
    """What breaks a rule in ``menu``, one message each, with the ids (MENU-3)."""
    return tuple(_problems(menu))


def _problems(menu: Menu) -> Iterator[str]:
    place = f"menu_provider_id={menu.provider_id}"
    yield from _named("menu", menu, place)
    yield from _counted("menu", menu, place, "special_instructions_character_limit")
    groups = {group.provider_id: group for group in menu.option_groups}
    category_groups = {group.provider_id for group in menu.category_groups}
    yield from _unique("category group", menu.category_groups, "category_group_provider_id")
    yield from _unique("category", menu.categories, "category_provider_id")
    yield from _unique("option group", menu.option_groups, "option_group_provider_id")
    yield from _unique("item", [item for category in menu.categories for item in category.items], "item_provider_id")
    yield from _unique(
        "option", [option for group in menu.option_groups for option in group.options], "option_provider_id"
    )
    for category_group in menu.category_groups:
        yield from _named("category group", category_group, f"category_group_provider_id={category_group.provider_id}")
    for category in menu.categories:
        place = f"category_provider_id={category.provider_id}"
        yield from _named("category", category, place)
        if category.category_group is not None and category.category_group not in category_groups:
            unknown = f"category_group_provider_id={category.category_group}"
            yield f"category refers to an unknown category group {unknown} {place}"
        for item in category.items:
            yield from _item_problems(item, groups, f"item_provider_id={item.provider_id} {place}")
    for group in menu.option_groups:
        yield from _group_problems(group, groups)
    yield from _cycles(groups)


def _item_problems(item: MenuItem, groups: Mapping[str, OptionGroup], place: str) -> Iterator[str]:
    yield from _named("item", item, place)
    yield from _priced("item", item, place)
    yield from _resolved("item", item, groups, place)


def _group_problems(group: OptionGroup, groups: Mapping[str, OptionGroup]) -> Iterator[str]:
    place = f"option_group_provider_id={group.provider_id}"
    yield from _named("option group", group, place)
    for low, high in (("minimum_choices", "maximum_choices"), ("minimum_unique_options", "maximum_unique_options")):
        minimum, maximum = getattr(group, low) or 0, getattr(group, high)
        if minimum < 0 or (maximum is not None and minimum > maximum):
            yield f"option group {low} {minimum} must lie between 0 and {high} {maximum} {place}"
    yield from _counted("option group", group, place, "free_choices")
    ids = {option.provider_id for option in group.options}
    for default in group.defaults:
        if default not in ids:
            yield f"option group default doesn't exist option_provider_id={default} {place}"
    for option in group.options:
        inner = f"option_provider_id={option.provider_id} {place}"
        yield from _named("option", option, inner)
        yield from _priced("option", option, inner)
        yield from _counted("option", option, inner, "maximum_quantity", "default_quantity")
        yield from _resolved("option", option, groups, inner)


def _named(kind: str, thing: Any, place: str) -> Iterator[str]:
    if not thing.provider_id.strip():
        yield f"{kind} provider_id can't be blank {place}"
    if not thing.name.strip():
        yield f"{kind} name can't be blank {place}"


def _priced(kind: str, thing: MenuItem | MenuOption, place: str) -> Iterator[str]:
    if not is_cents(thing.price):
        yield f"{kind} price {thing.price!r} isn't an amount in cents {place}"


def _counted(kind: str, thing: Any, place: str, *members: str) -> Iterator[str]:
    for member in members:
        if (count := getattr(thing, member)) is not None and count < 0:
            yield f"{kind} {member} {count} can't be negative {place}"


def _resolved(kind: str, thing: MenuItem | MenuOption, groups: Mapping[str, OptionGroup], place: str) -> Iterator[str]:
    for reference in thing.option_groups:
        if reference not in groups:
            yield f"{kind} refers to an unknown option group option_group_provider_id={reference} {place}"


def _unique(kind: str, things: Any, member: str) -> Iterator[str]:
    seen: set[str] = set()
    repeated: dict[str, None] = {}
    for thing in things:
        if thing.provider_id in seen:
            repeated[thing.provider_id] = None
        seen.add(thing.provider_id)
    for provider_id in repeated:
        yield f"{kind} provider_id isn't unique {member}={provider_id}"


def _cycles(groups: Mapping[str, OptionGroup]) -> Iterator[str]:
    """Groups that contain themselves (MENU-5), found by removing groups without open references."""
    open_references = {
        key: {ref for option in group.options for ref in option.option_groups if ref in groups}
        for key, group in groups.items()
    }
    while done := [key for key, references in open_references.items() if not references]:
        for key in done:
            del open_references[key]
        for references in open_references.values():
            references.difference_update(done)
    for key in open_references:
        yield f"option group is part of a cycle or leads into one option_group_provider_id={key}"
