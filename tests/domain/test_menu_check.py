"""What the menu check finds, each with the ids concerned."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from levelup_ov.domain.menu import Category, CategoryGroup, Menu, MenuItem, MenuOption, OptionGroup, check

SAUCES = OptionGroup("side:fries:sauce", "Sauce", (MenuOption("side:fries:sauce:mayo", "Mayo"),))
SIDES = OptionGroup(
    "side",
    "Side",
    (
        MenuOption("side:fries", "Fries", option_groups=("side:fries:sauce",)),
        MenuOption("side:salad", "Salad", price=150),
    ),
    minimum_choices=1,
    maximum_choices=1,
    defaults=("side:fries",),
)
BURGER = MenuItem("burger", "Burger", 1000, option_groups=("side",))
MAINS = Category("mains", "Mains", (BURGER,), category_group="lunch")
SOUND = Menu("menu", "Menu", (MAINS,), (SIDES, SAUCES), (CategoryGroup("lunch", "Lunch"),))


def with_item(**changes: Any) -> Menu:
    return replace(SOUND, categories=(replace(MAINS, items=(replace(BURGER, **changes),)),))


def with_group(**changes: Any) -> Menu:
    return replace(SOUND, option_groups=(replace(SIDES, **changes), SAUCES))


def with_option(**changes: Any) -> Menu:
    first, *others = SIDES.options
    return with_group(options=(replace(first, **changes), *others))


GROUP = "option_group_provider_id=side"
OPTION = f"option_provider_id=side:fries {GROUP}"
ITEM = "item_provider_id=burger category_provider_id=mains"

BROKEN = {
    "menu name can't be blank menu_provider_id=menu": replace(SOUND, name=" "),
    "menu provider_id can't be blank menu_provider_id=": replace(SOUND, provider_id=""),
    f"item name can't be blank {ITEM}": with_item(name=""),
    f"item price -1 isn't an amount in cents {ITEM}": with_item(price=-1),
    f"item price 10.0 isn't an amount in cents {ITEM}": with_item(price=10.0),
    f"item price None isn't an amount in cents {ITEM}": with_item(price=None),
    f"item refers to an unknown option group option_group_provider_id=drink {ITEM}": with_item(
        option_groups=("side", "drink")
    ),
    "category name can't be blank category_provider_id=mains": replace(SOUND, categories=(replace(MAINS, name=""),)),
    "category refers to an unknown category group category_group_provider_id=dinner category_provider_id=mains": (
        replace(SOUND, categories=(replace(MAINS, category_group="dinner"),))
    ),
    "category group name can't be blank category_group_provider_id=lunch": replace(
        SOUND, category_groups=(CategoryGroup("lunch", ""),)
    ),
    f"option group name can't be blank {GROUP}": with_group(name="\t"),
    f"option group minimum_choices 2 must lie between 0 and maximum_choices 1 {GROUP}": with_group(minimum_choices=2),
    f"option group minimum_choices -1 must lie between 0 and maximum_choices 1 {GROUP}": with_group(minimum_choices=-1),
    f"option group minimum_unique_options 3 must lie between 0 and maximum_unique_options 2 {GROUP}": with_group(
        minimum_unique_options=3, maximum_unique_options=2
    ),
    f"option group free_choices -1 can't be negative {GROUP}": with_group(free_choices=-1),
    f"option group default doesn't exist option_provider_id=side:soup {GROUP}": with_group(defaults=("side:soup",)),
    f"option name can't be blank {OPTION}": with_option(name=""),
    f"option price True isn't an amount in cents {OPTION}": with_option(price=True),
    f"option refers to an unknown option group option_group_provider_id=dip {OPTION}": with_option(
        option_groups=("side:fries:sauce", "dip")
    ),
    "item provider_id isn't unique item_provider_id=burger": replace(
        SOUND, categories=(MAINS, Category("again", "Again", (BURGER, BURGER)))
    ),
    "category provider_id isn't unique category_provider_id=mains": replace(
        SOUND, categories=(MAINS, replace(MAINS, items=()))
    ),
    "category group provider_id isn't unique category_group_provider_id=lunch": replace(
        SOUND, category_groups=SOUND.category_groups * 2
    ),
    "option group provider_id isn't unique option_group_provider_id=side:fries:sauce": replace(
        SOUND, option_groups=(SIDES, SAUCES, replace(SAUCES, options=()))
    ),
    "option provider_id isn't unique option_provider_id=side:salad": with_group(
        options=(*SIDES.options, SIDES.options[1])
    ),
}


@pytest.mark.rule("MENU-3", "MENU-5")
def test_a_sound_menu_has_no_problems() -> None:
    assert check(SOUND) == ()


@pytest.mark.rule("MENU-3", "MENU-5")
@pytest.mark.parametrize("message", BROKEN)
def test_each_broken_rule_is_one_message_with_the_ids(message: str) -> None:
    assert check(BROKEN[message]) == (message,)


@pytest.mark.rule("MENU-3")
def test_all_problems_are_reported_together() -> None:
    menu = replace(with_item(name="", price=-5), name="")
    assert len(check(menu)) == 3


@pytest.mark.rule("MENU-3")
def test_no_limit_is_no_maximum() -> None:
    assert check(with_group(maximum_choices=None, minimum_choices=5)) == ()


@pytest.mark.rule("MENU-5")
def test_a_cycle_is_reported_with_every_group_that_leads_into_it() -> None:
    looped = replace(SAUCES, options=(replace(SAUCES.options[0], option_groups=("side:fries:sauce",)),))
    problems = check(replace(SOUND, option_groups=(SIDES, looped)))
    assert problems == tuple(
        f"option group is part of a cycle or leads into one option_group_provider_id={group}"
        for group in ("side", "side:fries:sauce")
    )


@pytest.mark.rule("MENU-5")
def test_a_deep_menu_is_checked_without_recursion() -> None:
    depth = 3_000
    groups = tuple(
        OptionGroup(str(n), "G", (MenuOption(f"o{n}", "O", option_groups=(str(n + 1),) if n + 1 < depth else ()),))
        for n in range(depth)
    )
    assert check(replace(SOUND, categories=(), option_groups=groups)) == ()
