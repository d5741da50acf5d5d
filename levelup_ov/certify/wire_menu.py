"""Turns a menu in JSON into the domain's menu, to check it and to order from it (MENU-1 to MENU-3, MENU-5)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from levelup_ov.certify.contract import table
from levelup_ov.certify.shapes import MISSING, Flaw, flaws, is_integer
from levelup_ov.domain.menu import Category, CategoryGroup, Menu, MenuItem, MenuOption, OptionGroup, check

_NAMED_BY_IDS = ("provider_id", "name", "price")
"""Members that the menu check reports itself, with the ids."""


def problems(wire: Any) -> tuple[str, ...]:
    """What breaks a rule in the JSON of a menu: wrong types by path, the rest with ids (MENU-3).

    ``wire`` is the whole answer, ``{"menu": {...}}``, or the object in it.
    """
    menu = unwrap(wire)
    shape = [str(flaw) for flaw in menu_flaws(menu) if not _is_named_by_ids(flaw)]
    return (*shape, *rule_problems(menu)) if isinstance(menu, dict) else tuple(shape)


def unwrap(wire: Any) -> Any:
    """The menu in the answer of EP-3."""
    return wire["menu"] if isinstance(wire, dict) and "menu" in wire else wire


def menu_flaws(menu: Any) -> Iterator[Flaw]:
    """Members that are missing or have the wrong type (MENU-1, MENU-2)."""
    return flaws(table("menu"), menu, "$.menu")


def rule_problems(menu: Any) -> tuple[str, ...]:
    """What breaks MENU-3 in a menu that may also have wrong types."""
    priced = tuple(
        f"category can't have a price category_provider_id={_text(category, 'provider_id')}"
        for category in _wrapped(menu, "categories", "category")
        if category.get("price") is not None
    )
    return (*priced, *check(read(menu)))


def read(menu: Any) -> Menu:
    """The readable part of a menu; a member of a wrong type counts as absent, a price stays as it is."""
    return Menu(
        provider_id=_text(menu, "provider_id"),
        name=_text(menu, "name"),
        categories=tuple(_category(category) for category in _wrapped(menu, "categories", "category")),
        option_groups=tuple(_group(group) for group in _wrapped(menu, "option_groups", "option_group")),
        category_groups=tuple(
            CategoryGroup(_text(group, "provider_id"), _text(group, "name"))
            for group in _wrapped(menu, "category_groups", "category_group")
        ),
        allows_special_instructions=_member(menu, "allows_special_instructions", bool) is True,
        special_instructions_character_limit=_count(menu, "special_instructions_character_limit"),
    )


def _category(wire: Any) -> Category:
    return Category(
        provider_id=_text(wire, "provider_id"),
        name=_text(wire, "name"),
        items=tuple(_item(item) for item in _wrapped(wire, "items", "item")),
        description=_member(wire, "description", str),
        category_group=_member(wire, "category_group", str),
    )


def _item(wire: Any) -> MenuItem:
    return MenuItem(
        provider_id=_text(wire, "provider_id"),
        name=_text(wire, "name"),
        price=wire.get("price"),
        metadata=_member(wire, "metadata", dict) or {},
        option_groups=_ids(wire, "option_groups"),
    )


def _group(wire: Any) -> OptionGroup:
    return OptionGroup(
        provider_id=_text(wire, "provider_id"),
        name=_text(wire, "name"),
        options=tuple(_option(option) for option in _wrapped(wire, "options", "option")),
        minimum_choices=_count(wire, "minimum_choices") or 0,
        maximum_choices=_count(wire, "maximum_choices"),
        minimum_unique_options=_count(wire, "minimum_unique_options"),
        maximum_unique_options=_count(wire, "maximum_unique_options"),
        free_choices=_count(wire, "free_choices") or 0,
        defaults=_ids(wire, "defaults"),
    )


def _option(wire: Any) -> MenuOption:
    return MenuOption(
        provider_id=_text(wire, "provider_id"),
        name=_text(wire, "name"),
        price=wire.get("price"),
        maximum_quantity=_count(wire, "maximum_quantity"),
        default_quantity=_count(wire, "default_quantity"),
        option_groups=_ids(wire, "option_groups"),
        metadata=_member(wire, "metadata", dict) or {},
    )


def _wrapped(wire: Any, member: str, name: str) -> list[dict[str, Any]]:
    elements = _member(wire, member, list) or []
    inner = [element.get(name) for element in elements if isinstance(element, dict)]
    return [thing for thing in inner if isinstance(thing, dict)]


def _member(wire: Any, name: str, kind: type) -> Any:
    found = wire.get(name, MISSING)
    return found if isinstance(found, kind) else None


def _text(wire: Any, name: str) -> str:
    return _member(wire, name, str) or ""


def _count(wire: Any, name: str) -> int | None:
    return found if is_integer(found := wire.get(name)) else None


def _ids(wire: Any, name: str) -> tuple[str, ...]:
    return tuple(id for id in _member(wire, name, list) or () if isinstance(id, str))


def _is_named_by_ids(flaw: Flaw) -> bool:
    name = flaw.member.rpartition(".")[2]
    blank = flaw.missing or flaw.message.endswith("got null")
    return name == "price" or (name in _NAMED_BY_IDS and blank)
