"""The calculator of amounts, and what pays for an order: money neither appears nor disappears."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from levelup_ov.standins.levelup.amounts import Amounts, calculate, discount
from levelup_ov.standins.levelup.funds import Funds, OrderSums, Program, available, pay

CENTS = st.integers(0, 20_000)
ANY = st.integers(-5_000, 20_000)


@pytest.mark.parametrize(
    "outstanding, tax, exemption, payment, applied, expected",
    [
        (1000, 100, 0, 1000, 0, Amounts(1000, 100, 0)),
        (1000, 100, 200, 1000, 0, Amounts(1000, 100, 200)),
        # A part of the check: what earns is paid first, then what is exempt, the tax last.
        (1000, 100, 200, 600, 0, Amounts(600, 0, 0)),
        (1000, 100, 200, 800, 0, Amounts(800, 0, 100)),
        (1000, 100, 200, 950, 0, Amounts(950, 50, 200)),
        # Completing: the discount is off the check already, whichever its sign.
        (800, 100, 0, 1000, 200, Amounts(1000, 100, 0)),
        (800, 100, 0, 1000, -200, Amounts(1000, 100, 0)),
        # More than there is.
        (1000, 100, 0, 5000, 0, Amounts(1000, 100, 0)),
        (1000, 5000, 5000, 1000, 0, Amounts(1000, 1000, 0)),
        (0, 0, 0, 100, 0, Amounts(0, 0, 0)),
        (-10, -10, -10, -10, 0, Amounts(0, 0, 0)),
    ],
)
def test_the_amounts_of_a_payment(
    outstanding: int, tax: int, exemption: int, payment: int, applied: int, expected: Amounts
) -> None:
    assert calculate(outstanding, tax, exemption, payment, applied) == expected


@given(CENTS, ANY, ANY, ANY, st.integers(-5_000, 5_000))
def test_amounts_always_add_up_and_stay_within_the_check(o: int, t: int, e: int, p: int, d: int) -> None:
    found = calculate(o, t, e, p, d)
    assert 0 <= found.spend <= max(0, o + abs(d))
    assert found.tax >= 0 and found.exemption >= 0
    assert found.tax + found.exemption <= found.spend
    assert found.add_up


@given(CENTS, CENTS, CENTS)
def test_a_check_paid_in_two_parts_pays_tax_and_exemption_once(spend: int, tax: int, first: int) -> None:
    tax, first = min(tax, spend), min(first, spend)
    one = calculate(spend, tax, 0, first)
    two = calculate(spend - first, tax - one.tax, 0, spend - first)
    assert one.spend + two.spend == spend
    assert one.tax + two.tax == tax


@given(CENTS, CENTS, CENTS)
def test_amounts_that_do_not_add_up_are_distinguished(spend: int, tax: int, exemption: int) -> None:
    assert Amounts(spend, tax, exemption).add_up == (tax + exemption <= spend)


@given(CENTS, CENTS, CENTS, CENTS)
def test_a_discount_never_touches_tax_or_what_is_exempt(o: int, t: int, e: int, credit: int) -> None:
    found = calculate(o, t, e, o)
    taken = discount(found, credit)
    assert 0 <= taken <= credit
    assert taken == credit or found.spend - taken == found.tax + found.exemption


@given(CENTS, CENTS, CENTS, CENTS, CENTS, st.booleans(), st.booleans(), st.data())
def test_every_cent_of_an_order_is_paid_once(
    spend: int, tip: int, credit: int, gift_card: int, global_credit: int, chargeable: bool, partial: bool,
    data: st.DataObject,
) -> None:  # fmt: skip
    applied = data.draw(st.integers(0, min(spend, credit)))
    funds = Funds(credit, gift_card, global_credit, chargeable)
    paid = pay(spend, tip, applied, funds, partial=partial)
    enough = spend + tip <= applied + gift_card + global_credit
    if paid is None:
        assert not chargeable and not enough and (not partial or not (applied or gift_card or global_credit))
        return
    assert paid.spend + paid.tip == paid.discount + paid.gift_card + paid.global_credit + paid.card
    assert paid.discount == applied
    assert min(paid.tip, paid.gift_card, paid.global_credit, paid.card, paid.gift_card_tip) >= 0
    assert paid.gift_card <= gift_card and paid.global_credit <= global_credit
    assert paid.gift_card_tip <= min(paid.tip, paid.gift_card)
    assert paid.card == 0 or chargeable
    if chargeable or enough:
        assert (paid.spend, paid.tip) == (spend, tip)
    else:
        assert paid.spend + paid.tip == applied + gift_card + global_credit


@given(st.lists(CENTS), st.sampled_from([Program("spend", 5000, 500), Program("visit", 5, 300)]))
def test_rewards_and_progress_account_for_everything_spent(spends: list[int], program: Program) -> None:
    sums = OrderSums(visits=len(spends), eligible=sum(spends))
    reached = sum(spends) if program.kind == "spend" else len(spends)
    rewards = program.earned(sums) // program.reward
    assert rewards * program.goal + program.progress(sums) == reached
    assert 0 <= program.progress(sums) < program.goal


@given(CENTS, CENTS, CENTS)
def test_credit_is_never_negative(granted: int, earned: int, redeemed: int) -> None:
    assert available(granted, earned, redeemed) == max(0, granted + earned - redeemed)
