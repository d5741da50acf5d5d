"""What of a menu can be ordered: prices and choices (MENU-6)."""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from levelup_ov.domain.menu import Category, CategoryGroup, Menu, MenuItem, MenuOption, OptionGroup, check
from levelup_ov.domain.orderable import can_be_chosen, orderable

WATER = MenuItem("water", "Water", 100)


def options(group: str, *limits: int | None, **members: Any) -> tuple[MenuOption, ...]:
    return tuple(
        MenuOption(f"{group}:{number}", f"Option {number}", 50, maximum_quantity=limit, **members)
        for number, limit in enumerate(limits)
    )


def menu(*groups: OptionGroup, needs: tuple[str, ...] = (), price: Any = 900) -> Menu:
    plate = MenuItem("plate", "Plate", price, option_groups=needs)
    mains = Category("mains", "Mains", (plate,), category_group="dinner")
    return Menu(
        "m", "Menu", (mains, Category("drinks", "Drinks", (WATER,))), groups, (CategoryGroup("dinner", "Dinner"),)
    )


def items(found: Menu) -> list[str]:
    return [item.provider_id for category in found.categories for item in category.items]


@pytest.mark.rule("MENU-6")
@given(
    st.lists(st.none() | st.integers(0, 3), max_size=4),
    st.integers(0, 6),
    st.none() | st.integers(0, 6),
    st.none() | st.integers(0, 4),
    st.none() | st.integers(0, 4),
)
def test_choices_can_be_made_if_any_selection_fits(
    limits: list[int | None], least: int, most: int | None, least_kinds: int | None, most_kinds: int | None
) -> None:
    # Limits that contradict each other are an error of the menu (MENU-3).
    assume(most is None or least <= most)
    assume(most_kinds is None or (least_kinds or 0) <= most_kinds)
    group = OptionGroup("g", "G", options("g", *limits), least, most, least_kinds, most_kinds)

    def fits(chosen: tuple[int, ...]) -> bool:
        kinds, count = sum(1 for each in chosen if each), sum(chosen)
        return least <= count <= (count if most is None else most) and (least_kinds or 0) <= kinds <= (
            kinds if most_kinds is None else most_kinds
        )

    # No one option is needed more often than the least number of all.
    counts = [range((least if limit is None else limit) + 1 + (limit is None)) for limit in limits]
    assert can_be_chosen(group) == any(map(fits, product(*counts)))


@pytest.mark.rule("MENU-6", "ITEM-7")
@pytest.mark.parametrize(
    ("limits", "members", "kept"),
    [
        ((1,), {"minimum_choices": 2}, False),
        ((2,), {"minimum_choices": 2}, True),
        ((None,), {"minimum_choices": 9}, True),
        ((), {"minimum_choices": 1}, False),
        ((), {}, True),
        ((1, 1), {"minimum_unique_options": 3}, False),
        ((2, 2, 2), {"minimum_choices": 5, "maximum_unique_options": 2}, False),
        ((0, 0), {"minimum_choices": 1}, False),
    ],
)
def test_an_item_without_its_choices_is_left_out(limits: Any, members: Any, kept: bool) -> None:
    found = orderable(menu(OptionGroup("side", "Side", options("side", *limits), **members), needs=("side",)))

    assert items(found) == (["plate", "water"] if kept else ["water"])
    assert bool(found.left_out) != kept
    assert check(found) == ()
    if not kept:
        assert found.option_groups == found.category_groups == ()
        assert found.left_out == (
            "item needs choices that can't be made item_provider_id=plate category_provider_id=mains "
            "option_group_provider_id=side",
        )


@pytest.mark.rule("MENU-6", "MENU-5")
def test_what_leads_into_an_impossible_choice_goes_with_it() -> None:
    deepest = OptionGroup("side:0:dip", "Dip", (), minimum_choices=1)
    fries, salad = options("side", 1, 1)
    side = OptionGroup(
        "side", "Side", (replace(fries, option_groups=("side:0:dip",)), salad), 1, 1, defaults=("side:0",)
    )

    found = orderable(menu(side, deepest, needs=("side",)))

    assert [option.provider_id for group in found.option_groups for option in group.options] == ["side:1"]
    assert found.option_groups[0].defaults == ()
    assert items(found) == ["plate", "water"] and check(found) == ()
    alone = replace(side, options=side.options[:1])
    assert items(orderable(menu(alone, deepest, needs=("side",)))) == ["water"]


@pytest.mark.rule("MENU-6", "MONEY-1")
@pytest.mark.parametrize("price", [None, -1, 10**8, True, 1.5])
def test_what_has_no_price_in_cents_is_left_out(price: Any) -> None:
    small, large = options("size", 1, 1)
    sizes = OptionGroup("size", "Size", (replace(small, price=price), large), 1, 1)

    assert items(orderable(menu(price=price))) == ["water"]
    found = orderable(menu(sizes, needs=("size",)))
    assert [option.provider_id for option in found.option_groups[0].options] == ["size:1"]
    assert found.left_out == (
        "option has a price that isn't an amount in cents option_provider_id=size:0 option_group_provider_id=size",
    )
    assert items(orderable(menu(replace(sizes, options=sizes.options[:1]), needs=("size",)))) == ["water"]


@pytest.mark.rule("MENU-6", "MENU-3")
def test_a_healthy_menu_stays_as_it_is_and_a_broken_one_too() -> None:
    side = OptionGroup("side", "Side", options("side", 1, None), 1, 1)
    healthy = menu(side, needs=("side",))
    contrary = menu(replace(side, minimum_choices=3, maximum_choices=2), needs=("side", "nowhere"))

    assert orderable(healthy) is healthy
    assert orderable(contrary) == contrary and len(check(contrary)) == 2
