"""Cents and the decimals of providers that use dollars."""

from __future__ import annotations

from decimal import ROUND_HALF_UP, Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from levelup_ov.domain.money import MAX_CENTS, from_decimal, is_cents, percentage, to_decimal

AMOUNTS = st.integers(0, MAX_CENTS)


@pytest.mark.rule("MONEY-1")
@given(AMOUNTS)
def test_an_amount_comes_back_from_decimal_exactly(amount: int) -> None:
    written = to_decimal(amount)
    assert written.as_tuple().exponent == -2
    assert from_decimal(written) == amount
    assert from_decimal(Decimal(str(written))) == amount


@pytest.mark.rule("MONEY-1")
@given(st.decimals(allow_nan=True, allow_infinity=True) | st.decimals(0, 1_000_000, places=2))
def test_a_decimal_gives_its_exact_cents_or_is_refused(value: Decimal) -> None:
    if not value.is_finite():
        with pytest.raises(ValueError):
            from_decimal(value)
        return
    exact = Fraction(value) * 100
    if exact.denominator == 1 and 0 <= exact <= MAX_CENTS:
        assert from_decimal(value) == exact
    else:
        with pytest.raises(ValueError):
            from_decimal(value)


@pytest.mark.rule("MONEY-1")
@pytest.mark.parametrize(
    "text",
    [
        "10.005",
        "10.00000000000000000000000000000000000001",
        "1e-999999999",
        "1e999999999",
        "-0.01",
        "1000000.00",
        "NaN",
        "sNaN",
        "Infinity",
        "-Infinity",
    ],
)
def test_fractions_of_a_cent_and_huge_amounts_are_refused(text: str) -> None:
    with pytest.raises(ValueError):
        from_decimal(Decimal(text))


@pytest.mark.parametrize("text, cents", [("10", 1000), ("10.0", 1000), ("1e1", 1000), ("1.50000", 150), ("-0", 0)])
def test_any_notation_of_an_amount_is_read(text: str, cents: int) -> None:
    assert from_decimal(Decimal(text)) == cents


@given(AMOUNTS, st.integers(0, 10_000))
def test_a_percentage_is_rounded_half_up(amount: int, basis_points: int) -> None:
    exact = Decimal(amount) * basis_points / 10_000
    assert percentage(amount, basis_points) == exact.quantize(Decimal(1), ROUND_HALF_UP)


@pytest.mark.parametrize("amount, basis_points, expected", [(1000, 700, 70), (50, 100, 1), (49, 100, 0), (150, 100, 2)])
def test_half_a_cent_is_a_cent(amount: int, basis_points: int, expected: int) -> None:
    assert percentage(amount, basis_points) == expected


@pytest.mark.rule("MONEY-1")
@pytest.mark.parametrize("value", [True, False, 10.0, "10", Decimal(10), None, -1, MAX_CENTS + 1])
def test_only_integers_within_range_are_cents(value: object) -> None:
    assert not is_cents(value)


@pytest.mark.rule("MONEY-1")
@given(AMOUNTS)
def test_every_integer_within_range_is_cents(amount: int) -> None:
    assert is_cents(amount)
