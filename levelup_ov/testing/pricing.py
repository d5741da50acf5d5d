"""Prices and baskets: amounts are read right or not at all, and the basket is the ordered one (MONEY, ITEM-11).

Most tests play back the adapter's own exchanges, with one member of one answer changed.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import nullcontext
from typing import Any

import pytest

from levelup_ov.domain.menu import Menu
from levelup_ov.domain.order import Item, Order
from levelup_ov.domain.outcome import Placed, Quote
from levelup_ov.errors import Refused
from levelup_ov.testing.amounts import (
    MISPRINTS,
    AmountPath,
    Path,
    another,
    changed,
    places,
    read,
    shifted,
    with_value,
    written,
)
from levelup_ov.testing.changes import MOST, Change
from levelup_ov.testing.harness import Bench, Run
from levelup_ov.testing.provider import Sample
from levelup_ov.testing.steps import Step, instead, record
from levelup_ov.transport.tap import Answered, Exchange, Forward

MORE = 100
"""Cents by which a price changes."""


class Pricing:
    """Prices and baskets."""

    def names(self, provider_id: str) -> set[str]:
        """See :meth:`levelup_ov.testing.translation.Translation.names`."""
        raise NotImplementedError

    @pytest.mark.rule("MONEY-10")
    def test_a_price_that_changed_since_the_validation_is_refused(self, bench: Bench, sample: Sample) -> None:
        """Make the provider charge more; or make the validation see a different price."""
        bench.needs_reactions()
        dearer = bench.provider.dearer or nullcontext
        order = bench.order(sample)
        quoted = bench.validate(order) if bench.provider.dearer else _misled(bench, sample, order)
        if quoted is None:
            pytest.skip("the provider's price cannot be changed consistently in its answers; set Provider.dearer")
        quote: Quote = quoted.answer
        members = {
            "cart": quote.cart,
            "customer_account": quote.customer_account or order.customer_account,
            "user": order.user,
        }
        final, before = bench.order(sample, **members), bench.held()
        with dearer():
            run = bench.submit(final, sample.tender)
        assert isinstance(run.failure, Refused), (
            f"MONEY-10: validated for {quote.consumer_pays} cents, the order now has another price, but is still "
            f"placed ({run.value or run.failure!r}): keep the price in Quote.cart and compare, or send it along"
        )
        assert run.failure.code == "price_changed", f"MONEY-10: a changed price is refused with {run.failure.code}"
        assert run.proves_no_order and bench.held() == before, "MONEY-10: an order was placed at a changed price"

    @pytest.mark.rule("MONEY-1", "MONEY-9")
    def test_an_amount_that_is_written_otherwise_is_not_misread(self, bench: Bench, sample: Sample) -> None:
        baseline, steps = record(bench, sample, submitting=False)
        for step in steps:
            answer = step.answer
            for place in places(answer):
                if not _counts(bench, baseline, step, place):
                    continue
                for misprint in MISPRINTS:
                    reported = changed(answer, place, misprint.write(place.value))
                    run = bench.validate(baseline.order, instead(baseline, step, reported))
                    what = f"MONEY-9: {place.name} in the answer to {step.call} {misprint.what}"
                    _check_read(baseline, run, what, misprint.means)

    @pytest.mark.rule("MONEY-1", "MENU-6")
    def test_a_price_of_the_menu_is_not_misread(self, bench: Bench, sample: Sample) -> None:
        usual = bench.menu(sample.location)
        location = bench.place(sample.location).location
        prices = _prices(usual.answer)
        for number, exchange in enumerate(usual.exchanges):
            if exchange.answer is None:
                continue
            step = Step(number, exchange)

            def shown(reported: Answered) -> dict[str, int | None] | None:
                """The menu's prices with another answer to this step; None where it is refused."""
                fault = instead(usual, step, reported)  # noqa: B023 - called within this turn of the loop
                run = bench.do(lambda adapter, session: adapter.show_menu(location, session), fault=fault)
                return None if run.failure is not None else _prices(run.answer)

            for place in places(exchange.answer):
                if shown(changed(exchange.answer, place, another(place))) == prices:
                    continue  # not a price
                for misprint in MISPRINTS:
                    now = shown(changed(exchange.answer, place, misprint.write(place.value))) or {}
                    wrong = {each: price for each, price in now.items()
                             if price is not None and price != prices.get(each, price)}  # fmt: skip
                    assert not wrong, (
                        f"MONEY-1: {place.name} in the answer to {exchange.method} {exchange.path} {misprint.what}: "
                        f"the menu has {wrong}, not { ({each: prices[each] for each in wrong}) }"
                    )

    @pytest.mark.rule("PAY-4")
    def test_another_charge_than_was_asked_for_is_reported(self, bench: Bench, sample: Sample) -> None:
        """The answers from the placing call on name a higher amount than the order was to cost."""
        baseline, steps = record(bench, sample, submitting=True)
        usual: Placed = baseline.answer
        if not usual.charged:
            pytest.skip("the adapter does not say what was charged")
        for step in steps:
            if not step.placed and not step.exchange.places_order:
                continue
            reported = shifted(step.answer, {usual.charged}, MORE)
            run = bench.submit(baseline.order, sample.tender, instead(baseline, step, reported))
            if run.failure is None and run.value.charged == usual.charged + MORE:
                assert run.value.charge_mismatch, (
                    f"PAY-4: {usual.charged} cents were asked for, the answer to {step.call} says "
                    f"{run.value.charged}, and that stays hidden: Placed.expected_charge is what was sent or "
                    "validated, not what comes back"
                )

    @pytest.mark.rule("ITEM-11", "SUB-8")
    def test_a_basket_that_holds_something_else_is_refused(self, bench: Bench, sample: Sample) -> None:
        for submitting in (False, True):
            baseline, steps = record(bench, sample, submitting=submitting)
            menus = [_asked(each) for each in bench.menu(sample.location).exchanges]
            for step in steps:
                if _asked(step.exchange) in menus or _is_shown_again(step, steps):
                    continue
                for change in self._other_baskets(step.answer, sample.items):
                    fault = instead(baseline, step, change.answer)
                    run = (bench.submit(baseline.order, sample.tender, fault) if submitting
                           else bench.validate(baseline.order, fault))  # fmt: skip
                    what = f"ITEM-11: {change.what} in the answer to {step.call}"
                    assert run.failure is not None or _asked_again(run, step), (
                        f"{what}, but is not compared with the order: reported as {run.value}"
                    )
                    if step.placed or step.exchange.places_order:
                        assert run.failure is None or not run.proves_no_order, (
                            f"SUB-5: {what}, after the order was placed: reported as {run.failure!r}"
                        )

    def _other_baskets(self, answer: Answered, items: tuple[Item, ...]) -> list[Change]:
        found: list[Change] = []
        ids = {provider_id: self.names(provider_id) for item in items
               for provider_id in (item.provider_id, *(option.provider_id for option in item.options))}  # fmt: skip
        whole = read(answer)
        for path, rows in _lists(whole):
            for position, row in enumerate(rows):
                named = _named(row, ids)
                if named is None:
                    continue
                where = AmountPath((*path, position), row).name
                other = _renamed(row, ids[named])
                for what, changed_rows in (
                    (f"an extra line, like {where}, of another item", [*rows, other]),
                    (f"{where} is of another item", [*rows[:position], other, *rows[position + 1 :]]),
                    (f"{where} is missing", [*rows[:position], *rows[position + 1 :]]),
                ):
                    found.append(Change(what, written(answer, with_value(whole, path, changed_rows))))
        step = -(-len(found) // MOST) or 1
        return found[::step]


def _asked(exchange: Exchange) -> tuple[str, str, bytes]:
    return exchange.method, exchange.url, exchange.body


def _is_shown_again(step: Step, steps: list[Step]) -> bool:
    """Whether a basket is not complete yet: a later call to the same address shows it again."""
    one = step.exchange
    later = (each.exchange for each in steps[step.number + 1 :])
    return not one.places_order and any(
        (each.method, each.url, each.places_order) == (one.method, one.url, False) for each in later
    )


def _asked_again(run: Run, step: Step) -> bool:
    """Whether the adapter then requested what the wrong answer named."""
    return any(each.method == "GET" and not each.places_order for each in run.exchanges[step.number + 1 :])


def _misled(bench: Bench, sample: Sample, order: Order) -> Run | None:
    """A validation that reads a price higher by :data:`MORE` in the provider's answers, if it accepts one."""
    plain: Quote = record(bench, sample, submitting=False)[0].answer
    known = {plain.food, plain.total, plain.consumer_pays, *([plain.charged] if plain.charged else [])}
    for amounts in (known, {plain.consumer_pays}, known - {plain.food}):

        def mislead(exchange: Exchange, forward: Forward) -> Answered:
            return shifted(forward(), amounts - {0}, MORE)  # noqa: B023 - called within this turn of the loop

        run = bench.validate(order, mislead)
        if run.failure is None and run.value.consumer_pays == plain.consumer_pays + MORE:
            return run
    return None


def _price(run: Run) -> tuple[int, ...] | None:
    """The reported amounts; None if there are none: a failure, or a price that the service refuses."""
    if run.failure is not None or run.value.charged not in (None, run.value.consumer_pays):
        return None
    return tuple(getattr(run.value, name) for name in ("total", "tax", "consumer_pays"))


def _counts(bench: Bench, baseline: Run, step: Step, place: AmountPath) -> bool:
    """Whether anything depends on an amount: a different value there changes or removes the price."""
    fault = instead(baseline, step, changed(step.answer, place, another(place)))
    return _price(bench.validate(baseline.order, fault)) != _price(baseline)


def _check_read(baseline: Run, run: Run, what: str, means: bool) -> None:
    reported, right = _price(run), _price(baseline)
    if reported is None:
        return
    assert reported == right, f"{what}, and is misread: {reported} instead of {right} (total, tax, amount paid)"
    assert means, f"{what}, and is read as if it were right: {reported}"


def _prices(menu: Menu) -> dict[str, int | None]:
    items = {item.provider_id: item.price for category in menu.categories for item in category.items}
    return items | {option.provider_id: option.price for group in menu.option_groups for option in group.options}


def _lists(value: Any, path: Path = ()) -> Iterator[tuple[Path, list[Any]]]:
    """Every list of objects in an answer, with its path."""
    if isinstance(value, dict):
        for name, member in value.items():
            yield from _lists(member, (*path, name))
    elif isinstance(value, list):
        if value and all(isinstance(each, dict) for each in value):
            yield path, value
        for position, member in enumerate(value):
            yield from _lists(member, (*path, position))


def _named(row: Any, ids: dict[str, set[str]]) -> str | None:
    """Which part of the order a row is about, judging by its members or those of an object in it."""
    own = [member for member in row.values() if not isinstance(member, (dict, list))]
    own += [inner for member in row.values() if isinstance(member, dict)
            for inner in member.values() if not isinstance(inner, (dict, list))]  # fmt: skip
    said = {str(member) for member in own if isinstance(member, (str, int)) and not isinstance(member, bool)}
    return next((provider_id for provider_id, names in ids.items() if said & {name for name in names if name}), None)


def _renamed(row: Any, names: set[str]) -> Any:
    """The row, about something that was not ordered."""
    if isinstance(row, dict):
        return {name: _renamed(member, names) for name, member in row.items()}
    if isinstance(row, list):
        return [_renamed(member, names) for member in row]
    if isinstance(row, bool) or not isinstance(row, (str, int)) or str(row) not in names:
        return row
    return row + 7 if isinstance(row, int) else f"{int(row) + 7}" if row.isdecimal() else f"another-{row}"
