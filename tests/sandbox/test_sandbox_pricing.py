"""Prices against a second, plainer reckoning: every unit counted one by one."""

from __future__ import annotations

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from levelup_ov.standins.sandbox.content import CartContent, CartLine, Customer, Pick
from levelup_ov.standins.sandbox.dishes import Dish, Group, dishes_at
from levelup_ov.standins.sandbox.places import PLACES
from levelup_ov.standins.sandbox.pricing import price
from levelup_ov.standins.sandbox.problems import EngineError

PLACE = PLACES["congress"]
DISHES = {dish.id: dish for _, dishes in dishes_at(PLACE) for dish in dishes if not dish.sold_out}


@st.composite
def picks_of(draw: st.DrawFn, groups: tuple[Group, ...]) -> tuple[Pick, ...]:
    picks: list[Pick] = []
    for group in groups:
        choices = [choice for choice in group.choices if not choice.sold_out]
        for choice in draw(st.lists(st.sampled_from(choices), unique=True)):
            count = draw(st.integers(1, choice.most))
            picks.append(Pick(group.id, choice.id, count, draw(picks_of(choice.groups))))
    return tuple(picks)


@st.composite
def lines(draw: st.DrawFn) -> CartLine:
    dish = DISHES[draw(st.sampled_from(sorted(DISHES)))]
    return CartLine(dish.id, draw(st.integers(1, 4)), None, None, draw(picks_of(dish.groups)))


def content_of(*chosen: CartLine, gratuity: int = 0, coupon: int = 0) -> CartContent:
    return CartContent(chosen, Customer("Ada", "1", None), None, gratuity, coupon, None)


def units_cost(owner: Dish | None, groups: tuple[Group, ...], picks: tuple[Pick, ...]) -> int:
    cost = owner.cents if owner else 0
    for group in groups:
        units = [pick for pick in picks if pick.group == group.id for _ in range(pick.count)]
        for position, unit in enumerate(units):
            (choice,) = [choice for choice in group.choices if choice.id == unit.choice]
            cost += choice.cents if position >= group.free else 0
            cost += units_cost(None, choice.groups, unit.picks)
    return cost


def priced(content: CartContent):
    try:
        return price(PLACE, content)
    except EngineError:
        assume(False)


@pytest.mark.rule("ITEM-7", "MONEY-3")
@given(st.lists(lines(), min_size=1, max_size=3))
def test_the_subtotal_is_the_sum_of_every_single_unit(chosen):
    prices = priced(content_of(*chosen))
    expected = 0
    for line in chosen:
        for _ in range(line.count):
            expected += units_cost(DISHES[line.dish], DISHES[line.dish].groups, line.picks)
    assert prices.subtotal == expected


@pytest.mark.rule("MONEY-2", "MONEY-3", "MONEY-5")
@given(lines(), st.integers(0, 5000), st.integers(0, 1000))
def test_tip_and_discount_change_neither_food_nor_tax(line, gratuity, coupon):
    plain = priced(content_of(line))
    prices = priced(content_of(line, gratuity=gratuity, coupon=coupon))
    assert (prices.subtotal, prices.tax) == (plain.subtotal, plain.tax)
    assert prices.grand_total == plain.grand_total + gratuity - coupon
    # Half a cent goes up: the tax is the nearest whole cent to 7 %.
    assert -50 < 100 * prices.tax - 7 * prices.subtotal <= 50


@given(lines(), lines())
def test_an_order_costs_what_its_lines_cost(one, other):
    together = priced(content_of(one, other)).subtotal
    assert together == priced(content_of(one)).subtotal + priced(content_of(other)).subtotal
