"""What must not be mixed up: simultaneous orders, two lines of one item, a call delivered twice (META-3, ITEM-11).

Two orders overlap without threads: one use of the adapter is stopped before each of its calls, another runs from
start to end, and then the first continues.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import pytest

from levelup_ov.adapter import Adapter
from levelup_ov.domain.menu import Menu
from levelup_ov.domain.options import Option, decode_path
from levelup_ov.domain.order import Item, Order
from levelup_ov.domain.outcome import Placed, Quote
from levelup_ov.domain.ready_time import Shown
from levelup_ov.domain.tender import Tender
from levelup_ov.testing.harness import Bench, Run
from levelup_ov.testing.provider import Sample
from levelup_ov.testing.steps import record
from levelup_ov.testing.translation import sample_of, sent_times, with_item
from levelup_ov.transport.connections import current_exchange
from levelup_ov.transport.tap import Answered, Exchange, Forward

PATIENCE = 4.0
"""Seconds for an order that another one may delay."""
TRIES = 6
"""How many second lines are tried until the provider accepts one."""
SALES = 3
"""How often an order is sold whose ready time another order takes away: once for each slot that fills up."""
REMEDY = "keep nothing of an order on the adapter or in its module; Quote.cart carries it to the submission"
BETWEEN = -1
"""The point after the last call of a validation, and before the first one of its submission."""
JUST_SO = "cut it in two halves"
"""Distinguishes two lines of an item without options."""


@dataclass(frozen=True, slots=True)
class Sale:
    """One guest's validation and placed order."""

    order: Order
    quote: Quote
    placed: Placed
    calls: int

    @property
    def price(self) -> Mapping[str, int]:
        """The amounts that must not depend on another guest."""
        return {name: getattr(self.quote, name) for name in ("total", "tax", "consumer_pays")}


class Mixing:
    """Simultaneous orders, repeated items and repeated calls."""

    orders: ClassVar[Mapping[str, Sample]] = {}

    def names(self, provider_id: str) -> set[str]:
        """See :meth:`levelup_ov.testing.translation.Translation.names`."""
        raise NotImplementedError

    @pytest.mark.rule("META-3", "META-11", "SUB-8")
    def test_two_orders_at_once_have_nothing_in_common(self, bench: Bench, sample: Sample) -> None:
        bench.needs_reactions()
        ours, theirs = sample, _another(bench, sample, self.orders.values())
        alone, adapter = _alone(bench, ours), bench.adapter()
        # It has handled an order before, so what an adapter fetches once, such as a login token, is there.
        other = _sell(bench, adapter, bench.order(theirs), theirs.tender)
        reported = _Reported(bench, ours)

        def meet(point: int | None = None) -> None:
            meeting = _Meeting(point, lambda: _sell(bench, adapter, bench.order(theirs), theirs.tender, beside=True))
            mine = _sell(bench, adapter, bench.order(ours), ours.tender, meeting=meeting)
            where = f"while another order runs {meeting.where}"
            for sale, expected, whose in (
                (mine, alone, "it"),
                *((each, other, "the other one") for each in meeting.sales),
            ):
                assert sale.price == expected.price, (
                    f"META-11: {where}, {whose} costs {sale.price}; alone, {expected.price}: {REMEDY}"
                )
                assert sale.placed.reference in (sale.order.reference, None), (
                    f"SUB-8: {where}, the reference of {whose} is {sale.placed.reference!r}"
                )
            ids = [sale.placed.provider_order_id for sale in (mine, *meeting.sales)]
            twice = [one for one, times in Counter(ids).items() if times > 1]
            assert not twice, f"META-11: {where}, both have the order {twice[0]}"
            reported.check(mine, f"META-11: {where}")

        try:
            meet()
        except AssertionError:
            # At which of its calls? One at a time.
            for point in (BETWEEN, *range(alone.calls)):
                meet(point)
            raise
        reported.conclude()

    @pytest.mark.rule("ITEM-1", "ITEM-2", "ITEM-11", "MONEY-3")
    def test_the_same_item_twice_is_two_lines(self, bench: Bench, sample: Sample) -> None:
        bench.needs_reactions()
        one = sample.items[0]
        menu: Menu = bench.menu(sample.location).answer
        found = _second_line(bench, sample, menu)
        if found is None:
            pytest.skip(f"the provider accepts no second, different line of {one.provider_id}")
        other, second, together = found
        first: Quote = bench.validate(bench.order(sample_of(sample, (one,)))).answer
        both = sample_of(sample, (one, other))
        turned: Quote = bench.validate(bench.order(sample_of(sample, (other, one)))).answer
        for quote, what in ((together, "two lines"), (turned, "the same two lines the other way round")):
            assert quote.food == first.food + second.food, (
                f"ITEM-11: {what} of {one.provider_id} with different options cost {quote.food} cents, separately "
                f"{first.food} and {second.food}"
            )
        run = bench.submit(bench.order(both), sample.tender)
        run.answer
        wanted = Counter(option.provider_id for item in (one, other) for option in item.options)
        wanted[one.provider_id] += 2
        for provider_id, times in wanted.items():
            sent = sent_times(run, self.names(provider_id))
            assert sent >= times, f"ITEM-11: the submission names {provider_id} {sent} of {times} times"
        held = bench.content(run.answer.provider_order_id)
        if held is None:
            return
        single = bench.content(_alone(bench, sample).placed.provider_order_id)
        for provider_id, times in wanted.items():
            names = self.names(provider_id)
            if not any(value in names for value in single or ()):
                continue  # the provider does not show it by its id
            counted = sum(value in names for value in held)
            assert counted >= times, f"ITEM-11: the provider has {provider_id} {counted} instead of {times} times"

    @pytest.mark.rule("SUB-2", "ITEM-11")
    def test_a_call_that_may_be_repeated_adds_nothing(self, bench: Bench, sample: Sample) -> None:
        bench.needs_reactions()
        alone, reported = _alone(bench, sample), _Reported(bench, sample)
        repeated: list[str] = []

        def twice(exchange: Exchange, forward: Forward) -> Answered:
            if exchange.repeatable and exchange.method != "GET":
                repeated.append(f"{exchange.method} {exchange.path}")
                forward()
                current_exchange.get().settle(keep=False)
            return forward()

        before = bench.held()
        sale = _sell(bench, bench.adapter(), bench.order(sample), sample.tender, twice=twice)
        if not repeated:
            pytest.skip("no call says repeatable=True")
        what = f"ITEM-11: with {', '.join(dict.fromkeys(repeated))} carried out twice, as repeatable=True allows"
        assert sale.price == alone.price, f"{what}, it costs {sale.price}; otherwise {alone.price}"
        assert before is None or bench.held() == before + 1, f"{what}, {(bench.held() or 0) - before} orders are placed"
        reported.check(sale, what)


class _Meeting:
    """Stops a sale and runs another one: before a call, or between validation and submission.

    ``point``: the number of the call, from 0; BETWEEN: only between the two; None: before each call, and between.
    """

    def __init__(self, point: int | None, other: Callable[[], Sale]) -> None:
        self._point = point
        self._calls = 0
        self._other = other
        self.sales: list[Sale] = []
        self.where = "before each of its calls"

    def begin(self) -> None:
        """A sale starts, with its first call."""
        self._calls = 0

    def between(self) -> None:
        """The validation has been answered, the submission has not started."""
        if self._point in (None, BETWEEN):
            if self._point is not None:
                self.where = "between its validation and its submission"
            self.sales.append(self._other())

    def __call__(self, exchange: Exchange, forward: Forward) -> Answered:
        if self._point in (None, self._calls):
            if self._point is not None:
                self.where = f"before its call {exchange.method} {exchange.path}"
            self.sales.append(self._other())
        self._calls += 1
        return forward()


class _Reported:
    """The provider's orders that were placed alone, to compare others with them."""

    def __init__(self, bench: Bench, sample: Sample) -> None:
        self._bench = bench
        alone = [bench.content(_alone(bench, sample, number).placed.provider_order_id) for number in range(2)]
        self._alone = None if None in alone else [Counter(each or ()) for each in alone]
        ids = [*(item.provider_id for item in sample.items), *(o.provider_id for i in sample.items for o in i.options)]
        self._names = {decode_path(each)[-1] for each in ids} | set(ids)

    def check(self, sale: Sale, what: str) -> None:
        """Check that an order with the same content is stored like them."""
        held = self._bench.content(sale.placed.provider_order_id)
        if held is None or self._alone is None:
            return
        # The two differ only in what is new with every order: ids, times, the guest.
        one, other = self._alone
        steady, found = one & other, Counter(held)
        missing = sorted(steady - found)
        assert not missing, f"{what}, the provider's order differs from one placed alone: it lacks {', '.join(missing)}"
        more = found.total() - max(one.total(), other.total())
        assert more <= 0, f"{what}, the provider's order has {more} values more than one placed alone"

    def conclude(self) -> None:
        """Skip the rest if the provider does not show its orders."""
        if self._alone is None or not self._names & set(self._alone[0]):
            pytest.skip("the prices were right; the provider's orders were not compared: `orders` shows no lines")


def _alone(bench: Bench, sample: Sample, number: int = 0) -> Sale:
    """The sample, sold alone; two sales for each sample, made once."""
    kept, key = bench.provider.kept, ("alone", sample, number)
    if key not in kept:
        kept[key] = _sell(bench, bench.adapter(), bench.order(sample), sample.tender)
    sale: Sale = kept[key]
    return sale


def _sell(
    bench: Bench,
    adapter: Adapter,
    order: Order,
    tender: Tender,
    *,
    meeting: _Meeting | None = None,
    twice: Any = None,
    beside: bool = False,
) -> Sale:
    """A validation and its submission, as the channel sends them.

    A slot has room for a few orders. If the other one takes the last place of the slot that was shown, no adapter is
    to blame, and the order is sold once more.
    """
    how: Mapping[str, Any] = {"adapter": adapter, "beside": beside}
    fault = meeting or twice
    seconds = PATIENCE if beside else 10 * PATIENCE
    # The submission has a reference; a validation has none.
    asked = replace(order, reference=None)
    for more in reversed(range(SALES)):
        if meeting is not None:
            meeting.begin()
        quoted = bench.validate(asked, fault, seconds, **how)
        quote: Quote = _done(quoted, meeting)
        if meeting is not None:
            meeting.between()
        wanted, account = order.desired_ready_time, quote.customer_account or order.customer_account
        shown = Shown(order.received_at, wanted, quote.ready.soonest)
        final = replace(order, cart=quote.cart, customer_account=account, shown=shown)
        run = bench.submit(final, tender, fault, seconds, **how)
        if not (more and _filled_up(bench, final, run, how)):
            break
    placed: Placed = _done(run, meeting)
    return Sale(final, quote, placed, len(quoted.exchanges) + len(run.exchanges))


def _filled_up(bench: Bench, order: Order, run: Run, how: Mapping[str, Any]) -> bool:
    """Whether ``run`` was refused for its ready time, and the provider, asked alone, has that time no more."""
    if run.failure is None or run.failure.code != "ready_time_unavailable":
        return False
    now: Quote = bench.validate(replace(order, reference=None, cart={}, shown=None), **how).answer
    soonest, window = now.ready.soonest, order.ready_window
    return soonest is not None and window is not None and not window[0] <= soonest <= window[1]


def _done(run: Run, meeting: _Meeting | None) -> Any:
    where = f" while another order runs {meeting.where}" if meeting is not None and meeting.sales else ""
    assert run.failure is None, (
        f"META-11: an order that is accepted alone fails{where}: {run.failure!r}: {REMEDY}; {run.story()}"
    )
    return run.value


def _another(bench: Bench, sample: Sample, others: Any) -> Sample:
    """Another order at the same location, with a different price if possible."""
    plain: Quote = record(bench, sample, submitting=False)[0].answer
    more = with_item(sample, 0, replace(sample.items[0], quantity=sample.items[0].quantity + 1))
    candidates = [more, *(each for each in others if each.location == sample.location and each is not sample)]
    for candidate in candidates:
        run = bench.validate(bench.order(candidate))
        if run.failure is None and run.value.food != plain.food:
            return candidate
        assert run.failure is not None or candidate is not more or not _price_of(bench, sample), (
            f"META-11: {sample.items[0].quantity} of {sample.items[0].provider_id} cost {plain.food} cents, and one "
            "more costs the same: what does the adapter remember between orders?"
        )
    return sample


def _price_of(bench: Bench, sample: Sample) -> int | None:
    """The menu price of the first item."""
    menu: Menu = bench.menu(sample.location).answer
    found = (item.price for category in menu.categories for item in category.items
             if item.provider_id == sample.items[0].provider_id)  # fmt: skip
    return next(found, None)


def _second_line(bench: Bench, sample: Sample, menu: Menu) -> tuple[Item, Quote, Quote] | None:
    """The first item again, with different options that the provider accepts; its price, and that of both."""
    one = sample.items[0]
    for number, other in enumerate(_others(one, menu)):
        if number >= TRIES:
            break
        run = bench.validate(bench.order(sample_of(sample, (other,))))
        if run.failure is not None:
            continue
        both = bench.validate(bench.order(sample_of(sample, (one, other))))
        if both.failure is None:
            return other, run.value, both.value
    return None


def _others(one: Item, menu: Menu) -> Iterator[Item]:
    """The item with one option replaced, removed or added, or at least with different instructions."""
    groups = {group.provider_id: group for group in menu.option_groups}
    items = {item.provider_id: item for category in menu.categories for item in category.items}
    chosen = [option.provider_id for option in one.options]
    for group_id in items[one.provider_id].option_groups if one.provider_id in items else ():
        group = groups[group_id]
        simple = [option.provider_id for option in group.options if not option.option_groups]
        for new in (each for each in simple if each not in chosen):
            for old in (each for each in chosen if each in simple):
                swapped = tuple(Option(new) if each.provider_id == old else each for each in one.options)
                yield replace(one, options=swapped)
        for old in (each for each in chosen if each in simple):
            yield replace(one, options=tuple(each for each in one.options if each.provider_id != old))
        for new in (each for each in simple if each not in chosen):
            yield replace(one, options=(*one.options, Option(new)))
    if not isinstance(one.special_instructions, str):
        yield replace(one, special_instructions=JUST_SO)
