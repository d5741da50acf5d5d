"""The calculator, by its properties and by worked examples."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from levelup_ov.checkout.amounts import Amounts, applied_discount, calculate, check_amounts, completed, proposed
from levelup_ov.domain.checkout import OrderAmounts
from levelup_ov.domain.failure import Failure

CENTS = st.integers(0, 100_000)


@st.composite
def checks(draw: st.DrawFn) -> OrderAmounts:
    """Checks that add up."""
    outstanding = draw(st.integers(1, 100_000))
    tax = draw(st.integers(0, outstanding))
    return OrderAmounts(
        outstanding,
        tax,
        draw(st.integers(0, outstanding - tax)),
        draw(st.integers(1, outstanding)),
        draw(CENTS),
    )


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        # The whole check: 10 dollars and 70 cents, of which 70 cents are tax.
        ((1070, 70, 0, 1070), Amounts(1070, 70, 0)),
        # After a discount of 2 dollars was taken off it.
        ((870, 70, 0, 1070, 200), Amounts(1070, 70, 0)),
        ((870, 70, 0, 1070, -200), Amounts(1070, 70, 0)),
        # Gift cards for 3 dollars are exempt.
        ((1070, 70, 300, 1070), Amounts(1070, 70, 300)),
        # Half of it: what earns goes first, nothing of it is tax or exempt.
        ((1070, 70, 300, 535), Amounts(535, 0, 0)),
        # All but the tax and a part of what is exempt.
        ((1070, 70, 300, 900), Amounts(900, 0, 200)),
        # All but a part of the tax.
        ((1070, 70, 300, 1040), Amounts(1040, 40, 300)),
        # What does not fit is pulled into range.
        ((1070, 2000, 50, 5000), Amounts(1070, 1070, 0)),
        ((0, 0, 0, 100), Amounts(0, 0, 0)),
        ((-5, 0, 0, 100), Amounts(0, 0, 0)),
    ],
)
def test_worked_examples(arguments: tuple[int, ...], expected: Amounts) -> None:
    assert calculate(*arguments) == expected


@given(st.tuples(*[st.integers()] * 5))
def test_whatever_comes_in_what_goes_out_adds_up(arguments: tuple[int, ...]) -> None:
    sent = calculate(*arguments)
    assert min(sent.spend, sent.tax, sent.exemption, sent.discountable) >= 0
    assert sent.tax + sent.exemption + sent.discountable == sent.spend
    assert calculate(sent.spend, sent.tax, sent.exemption, sent.spend) == sent


@given(checks())
def test_every_part_of_a_check_is_paid_in_its_turn(check: OrderAmounts) -> None:
    whole = proposed(replace(check, payment=check.outstanding))
    assert (whole.spend, whole.tax, whole.exemption) == (check.outstanding, check.tax, check.exemption)
    part = proposed(check)
    assert part.discountable == min(check.payment, check.outstanding - check.tax - check.exemption)
    assert part.tax == 0 or part.exemption == check.exemption


@given(checks(), CENTS)
def test_two_payments_are_as_good_as_one(check: OrderAmounts, paid: int) -> None:
    """Paying the rest of a check later pays each part of it once."""
    first = proposed(check)
    rest = OrderAmounts(check.outstanding - first.spend, check.tax - first.tax, check.exemption - first.exemption)
    second = proposed(replace(rest, payment=rest.outstanding))
    assert (first.spend + second.spend, first.tax + second.tax) == (check.outstanding, check.tax)
    assert first.exemption + second.exemption == check.exemption


@given(checks(), CENTS, st.none() | CENTS)
def test_a_discount_changes_neither_tax_nor_spend(check: OrderAmounts, offered: int, wanted: int | None) -> None:
    most = proposed(check).discountable
    try:
        discount = applied_discount(check, wanted, offered)
    except Failure as failure:
        assert (failure.code, wanted is not None and wanted > offered) == ("discount_too_large", True)
        return
    assert discount <= min(offered, most)
    assert completed(check, discount) == proposed(check)


@given(checks(), st.none() | CENTS)
def test_only_a_discount_that_fits_passes(check: OrderAmounts, discount: int | None) -> None:
    if discount is None or discount <= proposed(check).discountable:
        check_amounts(check, discount)
    else:
        with pytest.raises(Failure) as refused:
            check_amounts(check, discount)
        assert refused.value.code == "discount_too_large"


@given(CENTS, CENTS, CENTS, CENTS)
def test_what_passes_is_sent_as_it_is(outstanding: int, tax: int, exemption: int, payment: int) -> None:
    check = OrderAmounts(outstanding, tax, exemption, payment)
    adds_up = 0 < payment <= outstanding and tax + exemption <= outstanding
    try:
        check_amounts(check, None)
    except Failure as failure:
        assert (failure.code, adds_up) == ("amounts_do_not_add_up", False)
    else:
        assert adds_up and proposed(check).spend == payment


@pytest.mark.parametrize(
    ("check", "discount", "expected"),
    [
        # Cash first, then LevelUp: the tax falls from 200 to 190 with a discount of 100 (C# and Java libraries).
        (OrderAmounts(1200, 200, 0, 1200, 0, 190), 100, Amounts(1190, 190, 0)),
        (OrderAmounts(1200, 200, 0, 1200, 0, 100), 1000, Amounts(1100, 100, 0)),
        # The tax may stay as it is.
        (OrderAmounts(1200, 200, 0, 1200, 0, 200), 100, Amounts(1200, 200, 0)),
        # A part of the check is paid.
        (OrderAmounts(1200, 200, 0, 600, 0, 190), 100, Amounts(600, 0, 0)),
    ],
)
def test_the_tax_may_fall_with_the_discount(check: OrderAmounts, discount: int, expected: Amounts) -> None:
    check_amounts(check, discount)
    assert completed(check, discount) == expected


@pytest.mark.parametrize(
    ("after", "discount", "member"),
    [
        (190, None, "discount_amount"),
        (201, 100, "tax_amount_after_discount"),
        (190, 0, "tax_amount_after_discount"),
    ],
)
def test_a_tax_after_the_discount_that_is_wrong(after: int, discount: int | None, member: str) -> None:
    with pytest.raises(Failure) as refused:
        check_amounts(OrderAmounts(1200, 200, 0, 1200, 0, after), discount)
    assert (refused.value.code, refused.value.path) == ("amounts_do_not_add_up", f"$.order.{member}")


@given(checks(), st.data())
def test_with_any_tax_after_it_the_amounts_add_up(check: OrderAmounts, data: st.DataObject) -> None:
    discount = data.draw(st.integers(0, proposed(check).discountable))
    after = data.draw(st.integers(0, check.tax)) if discount else check.tax
    taxed = replace(check, tax_after_discount=after)
    sent = completed(taxed, discount)
    assert sent.tax <= after and sent.tax + sent.exemption <= sent.spend <= check.outstanding
    assert discount <= sent.discountable
