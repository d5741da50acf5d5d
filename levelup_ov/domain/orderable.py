"""Which parts of a menu can be ordered: one rule for all adapters (MENU-6).

An adapter reports what its provider says: a price that is not an amount in cents is None, and whatever is hidden or
sold out is missing. This module decides what that means for the items and groups above.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace

from levelup_ov.domain.menu import Category, Menu, MenuItem, MenuOption, OptionGroup
from levelup_ov.domain.money import is_cents


def orderable(menu: Menu) -> Menu:
    """``menu`` without what cannot be ordered; ``left_out`` says what was removed and why.

    It removes items and options without a price, or whose choices are no longer possible; groups that have no
    options or that nothing refers to any more; and empty headings.
    """
    left_out: dict[str, None] = dict.fromkeys(menu.left_out)
    # The adapter has already given a reason for these.
    reasoned = {token for reason in left_out for token in reason.split() if "=" in token}
    groups = {group.provider_id: _priced_group(group, left_out, reasoned) for group in menu.option_groups}
    gone = _impossible(groups, left_out)
    groups = {key: group for key, group in groups.items() if key not in gone}
    empty = {key for key, group in groups.items() if not group.options}
    categories = tuple(
        kept for each in menu.categories if (kept := _category(each, gone, empty, left_out, reasoned)) is not None
    )
    if not left_out and not empty:
        return menu
    return replace(
        menu,
        categories=categories,
        option_groups=_reached(menu, categories, groups, empty),
        category_groups=tuple(
            group
            for group in menu.category_groups
            if group.provider_id not in {each.category_group for each in menu.categories}
            or group.provider_id in {each.category_group for each in categories}
        ),
        left_out=tuple(left_out),
    )


def can_be_chosen(group: OptionGroup) -> bool:
    """Whether some choice of the group's options is within its limits, which do not contradict each other (ITEM-7).

    Some number of different options, each chosen from once to its maximum, must add up to an allowed number of choices.
    """
    limits = [option.maximum_quantity for option in group.options if option.maximum_quantity != 0]
    limits.sort(key=lambda limit: (limit is not None, -(limit or 0)))
    most_options = len(limits) if group.maximum_unique_options is None else group.maximum_unique_options
    reach: int | None = 0
    for options in range(min(most_options, len(limits)) + 1):
        if options:
            limit = limits[options - 1]
            reach = None if reach is None or limit is None else reach + limit
        enough = options >= (group.minimum_unique_options or 0) and (reach is None or reach >= group.minimum_choices)
        if enough and (group.maximum_choices is None or options <= group.maximum_choices):
            return True
    return False


def _priced_group(group: OptionGroup, left_out: dict[str, None], reasoned: set[str]) -> OptionGroup:
    options = tuple(option for option in group.options if is_cents(option.price))
    for option in group.options:
        tokens = (f"option_provider_id={option.provider_id}", f"option_group_provider_id={group.provider_id}")
        if not is_cents(option.price) and reasoned.isdisjoint(tokens):
            left_out[f"option has a price that isn't an amount in cents {' '.join(tokens)}"] = None
    return _with_options(group, options)


def _with_options(group: OptionGroup, options: tuple[MenuOption, ...]) -> OptionGroup:
    if len(options) == len(group.options):
        return group
    dropped = {option.provider_id for option in group.options} - {option.provider_id for option in options}
    return replace(group, options=options, defaults=tuple(key for key in group.defaults if key not in dropped))


def _impossible(groups: dict[str, OptionGroup], left_out: dict[str, None]) -> set[str]:
    """Find groups with no allowed choice left, and remove the options that lead into one from ``groups``."""
    owners: dict[str, set[str]] = {}
    for key, group in groups.items():
        for option in group.options:
            for below in option.option_groups:
                owners.setdefault(below, set()).add(key)
    # A menu whose limits contradict each other is invalid (MENU-3), not short of options.
    waiting = [key for key, group in groups.items() if _consistent(group) and not can_be_chosen(group)]
    gone: set[str] = set()
    while waiting:
        key = waiting.pop()
        if key in gone:
            continue
        gone.add(key)
        for owner in owners.get(key, ()):
            group = groups[owner]
            kept = tuple(option for option in group.options if key not in option.option_groups)
            for option in group.options:
                if key in option.option_groups:
                    place = f"option_provider_id={option.provider_id} option_group_provider_id={key}"
                    left_out[f"option needs choices that can't be made {place}"] = None
            groups[owner] = _with_options(group, kept)
            if _consistent(group) and not can_be_chosen(groups[owner]):
                waiting.append(owner)
    return gone


def _consistent(group: OptionGroup) -> bool:
    return all(
        most is None or (least or 0) <= most
        for least, most in (
            (group.minimum_choices, group.maximum_choices),
            (group.minimum_unique_options, group.maximum_unique_options),
        )
    )


def _category(
    category: Category, gone: set[str], empty: set[str], left_out: dict[str, None], reasoned: set[str]
) -> Category | None:
    items = tuple(
        _without(item, empty)
        for item in category.items
        if _is_orderable(item, category.provider_id, gone, left_out, reasoned)
    )
    return replace(category, items=items) if items or not category.items else None


def _is_orderable(item: MenuItem, category: str, gone: set[str], left_out: dict[str, None], reasoned: set[str]) -> bool:
    place = f"item_provider_id={item.provider_id} category_provider_id={category}"
    if not is_cents(item.price):
        if f"item_provider_id={item.provider_id}" not in reasoned:
            left_out[f"item has a price that isn't an amount in cents {place}"] = None
        return False
    if needed := next((key for key in item.option_groups if key in gone), None):
        left_out[f"item needs choices that can't be made {place} option_group_provider_id={needed}"] = None
        return False
    return True


def _without(item: MenuItem, empty: set[str]) -> MenuItem:
    if not empty.intersection(item.option_groups):
        return item
    return replace(item, option_groups=tuple(key for key in item.option_groups if key not in empty))


def _reached(
    before: Menu, categories: Iterable[Category], groups: Mapping[str, OptionGroup], empty: set[str]
) -> tuple[OptionGroup, ...]:
    """The groups that something refers to, or that nothing referred to before."""
    led = set(_references(before.categories, before.option_groups))
    waiting = [key for category in categories for item in category.items for key in item.option_groups]
    waiting += [key for key in groups if key not in led]
    reached: set[str] = set()
    while waiting:
        key = waiting.pop()
        if key in groups and key not in reached and key not in empty:
            reached.add(key)
            waiting += [below for option in groups[key].options for below in option.option_groups]
    kept = (groups[group.provider_id] for group in before.option_groups if group.provider_id in reached)
    return tuple(
        replace(group, options=tuple(_option_without(option, empty) for option in group.options)) for group in kept
    )


def _option_without(option: MenuOption, empty: set[str]) -> MenuOption:
    if not empty.intersection(option.option_groups):
        return option
    return replace(option, option_groups=tuple(key for key in option.option_groups if key not in empty))


def _references(categories: Iterable[Category], groups: Iterable[OptionGroup]) -> Iterator[str]:
    for category in categories:
        for item in category.items:
            yield from item.option_groups
    for group in groups:
        for option in group.options:
            yield from option.option_groups
