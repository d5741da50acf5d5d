"""Every quote becomes totals that add up to the cent (MONEY-7, MONEY-9)."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.sandbox import SandboxAdapter
from levelup_ov.domain.outcome import Fee, Quote
from levelup_ov.sessions.model import Line
from levelup_ov.sessions.pricing import totals_of
from tests.sessions.conftest import Front, basket, refusal

cents = st.integers(0, 99_999_999)


@st.composite
def quotes(draw: st.DrawFn) -> tuple[Quote, int]:
    """A quote, and what its lines add up to by a menu, which is not less than its food."""
    fees = tuple(Fee(name, amount) for name, amount in draw(st.lists(st.tuples(st.text(), cents), max_size=3)))
    food, tax, tip = draw(cents), draw(cents), draw(st.none() | cents)
    merchant, provider = draw(cents), draw(cents)
    quote = Quote(food, tax, tip, None, merchant, provider, fees)
    return quote, food + draw(cents)


@pytest.mark.rule("MONEY-7", "MONEY-9")
@given(quotes())
def test_totals_add_up_to_what_the_consumer_pays(given: tuple[Quote, int]) -> None:
    quote, subtotal = given
    totals = totals_of(quote, subtotal)
    assert totals.total == quote.consumer_pays
    assert totals.subtotal == subtotal
    assert all(each.amount > 0 for each in (*totals.fees, *totals.discounts))


def changed(monkeypatch: pytest.MonkeyPatch, **members: Any) -> None:
    """Let the provider answer with other members."""
    real = SandboxAdapter.validate_order

    def validate(self: SandboxAdapter, order: Any, session: Any) -> Quote:
        quote = real(self, order, session)
        for name, value in {"lines": None, "charged": None, **members}.items():
            object.__setattr__(quote, name, value)
        return quote

    monkeypatch.setattr(SandboxAdapter, "validate_order", validate)


@pytest.mark.rule("MONEY-9", "MONEY-12")
def test_a_cheaper_price_than_the_menus_is_a_discount(front: Front, monkeypatch: pytest.MonkeyPatch) -> None:
    changed(monkeypatch, food=1900)
    price = front.create(basket(Line("sandwich", 2))).price
    assert price is not None and price.totals.subtotal == price.lines[0].subtotal == 2000
    assert [each.amount for each in price.totals.discounts] == [100]


@pytest.mark.rule("MONEY-9", "MONEY-12")
def test_a_dearer_price_than_the_menus_is_refused(front: Front, monkeypatch: pytest.MonkeyPatch) -> None:
    changed(monkeypatch, food=2001)
    assert refusal(front.create, basket(Line("sandwich", 2))) == "provider_protocol_error"


@pytest.mark.rule("MONEY-9", "MONEY-12")
@pytest.mark.parametrize("lines", [(999,), (500, 500)], ids=["sum", "number"])
def test_lines_that_are_not_the_food_are_refused(
    front: Front, lines: tuple[int, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    changed(monkeypatch, lines=lines)
    assert refusal(front.create) == "provider_protocol_error"


@pytest.mark.rule("MONEY-12")
def test_free_choices_are_a_discount(front: Front, monkeypatch: pytest.MonkeyPatch) -> None:
    changed(monkeypatch)
    options = ("toppings:lettuce", "toppings:cheese", "bread:sourdough")
    price = front.create(basket(Line("sandwich", 1, options))).price
    assert price is not None and price.totals.subtotal == 1000 + 50 + 150 + 100
    assert [each.amount for each in price.totals.discounts] == [200]


def test_a_tip_is_left_out_where_none_is_taken(front: Front) -> None:
    price = front.create(basket(location_id="sandbox.notips", tip=300)).price
    assert price is not None and not price.tip_accepted and price.totals.tip == 0


def test_a_discount_of_the_house_is_named(front: Front) -> None:
    made = front.create(basket(Line("bento", 1), location_id="sandbox.tokyo"))
    assert made.price is not None and [each.amount for each in made.price.totals.discounts] == [100]
    assert made.price.totals.total == 1000 - 100 + 80
