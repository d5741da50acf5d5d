"""How an order is translated for the provider, and its price back (ITEM, MONEY, TIME)."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from pytz.tzinfo import BaseTzInfo

from levelup_ov.domain import money
from levelup_ov.domain.options import Option, decode_path
from levelup_ov.domain.order import Item
from levelup_ov.domain.outcome import Placed, Quote
from levelup_ov.domain.secret import Secret
from levelup_ov.errors import Refused
from levelup_ov.testing.clocks import clock_changes, edges, instants
from levelup_ov.testing.harness import Bench, Run
from levelup_ov.testing.provider import Sample
from levelup_ov.testing.steps import record

NOTE, ITEM_NOTE = "ring the blue bell", "without any of the onions"
LONG_NOTE = "no jalapeños, crème fraîche beside it – " + "and please, " * 20 + "slightly overdone"
_IS_EMAIL, _NAMES_PHONE = re.compile(r"[^@\s]+@[^@\s]+\.[a-z]+"), re.compile("phone|mobile", re.IGNORECASE)
AMOUNTS = (57, 115, 1999)
"""Amounts in cents that floats of dollars get wrong, in one direction or the other."""


class Translation:
    """Orders and prices. If a provider has its own way to write ids or times, override the two methods."""

    def names(self, provider_id: str) -> set[str]:
        """The provider's names for an item or option with this ``provider_id`` in our menu."""
        return {provider_id, decode_path(provider_id)[-1]}

    def times(self, values: Iterable[str], zone: BaseTzInfo) -> set[datetime]:
        """All times in what was sent, as aware instants."""
        return instants(values, zone)

    @pytest.mark.rule("ITEM-1", "ITEM-2", "ITEM-3", "META-4")
    def test_every_item_and_option_is_sent(self, bench: Bench, sample: Sample) -> None:
        for what, submitting in (("validation", False), ("submission", True)):
            run, _ = record(bench, sample, submitting=submitting)
            sent = Counter(values(run))
            wanted: Counter[frozenset[str]] = Counter()
            for item in sample.items:
                wanted[frozenset(self.names(item.provider_id))] += 1
                wanted.update(frozenset(self.names(option.provider_id)) for option in item.options)
            for names, times in wanted.items():
                found = sum(sent[name] for name in names)
                assert found >= times, (
                    f"ITEM-1: the {what} sends {' or '.join(sorted(names))} {found} instead of {times} times"
                )

    @pytest.mark.rule("ITEM-6")
    def test_the_quantity_of_every_item_is_sent(self, bench: Bench, sample: Sample) -> None:
        plain: Quote = record(bench, sample, submitting=False)[0].answer
        parts = []
        for place, item in enumerate(sample.items):
            more = replace(item, quantity=item.quantity + 1)
            what = f"the quantity of item {item.provider_id}"
            run = self._check_difference(bench, sample, with_item(sample, place, more), what)
            if run.failure is None:
                parts.append(item.quantity * (run.value.food - plain.food))
        if bench.provider.reacts and len(parts) == len(sample.items):
            assert sum(parts) == plain.food, (
                f"ITEM-6: the food costs {plain.food} cents, but as many of each item as one more of it costs make "
                f"{sum(parts)}: is a quantity counted twice?"
            )

    @pytest.mark.rule("ITEM-6")
    def test_the_quantity_of_every_option_is_sent(self, bench: Bench, sample: Sample) -> None:
        for place, item in enumerate(sample.items):
            for position, option in enumerate(item.options):
                options = list(item.options)
                options[position] = Option(option.provider_id, option.quantity + 1, option.metadata)
                more = with_item(sample, place, replace(item, options=tuple(options)))
                self._check_difference(bench, sample, more, f"the quantity of option {option.provider_id}")

    @pytest.mark.rule("ITEM-8", "EP-11")
    def test_instructions_and_the_user_are_sent(self, bench: Bench, sample: Sample) -> None:
        noted = tuple(replace(item, special_instructions=f"{ITEM_NOTE} {n}") for n, item in enumerate(sample.items))
        wanted = {f"the special instructions of item {n + 1}": f"{ITEM_NOTE} {n}" for n in range(len(noted))}
        order = bench.order(sample_of(sample, noted), special_instructions=NOTE)
        wanted["the special instructions of the order"] = NOTE
        text = _said(bench.submit(order, sample.tender))
        for what, words in wanted.items():
            assert text is None or words in text, f"ITEM-8: {what} are dropped; send or refuse them"
        plain, _ = record(bench, sample, submitting=True)
        text = "\n".join(values(plain))
        for name in (plain.order.user.first_name, plain.order.user.last_name):
            assert name in text, f"EP-11: the user's name is not sent: {name}"

    @pytest.mark.rule("ITEM-8", "EP-11")
    def test_long_and_foreign_words_arrive_whole(self, bench: Bench, sample: Sample) -> None:
        first, *others = sample.items
        order = bench.order(sample_of(sample, (replace(first, special_instructions=LONG_NOTE), *others)))
        noted = _said(bench.submit(order, sample.tender))
        assert noted is None or LONG_NOTE in noted, (
            f"ITEM-8: special instructions of {len(LONG_NOTE)} characters are cut or rewritten; send or refuse them"
        )
        user = replace(order.user, first_name="Zoë", last_name="Núñez-Østergård")
        named = _said(bench.submit(bench.order(sample, user=user), sample.tender))
        for name in (user.first_name, user.last_name):
            assert named is None or name in named, f"EP-11: the user's name {name} is rewritten; send or refuse it"

    @pytest.mark.rule("LOC-1", "EP-11")
    def test_an_order_goes_to_its_location(self, bench: Bench, sample: Sample) -> None:
        other = next((name for name in bench.places() if name != sample.location), None)
        if other is None:
            pytest.skip("there is only one location")
        run = bench.validate(bench.order(Sample(other, *sample.items, tender=sample.tender, **sample.members)))
        if isinstance(run.failure, Refused) and not values(run):
            return  # the adapter itself refuses it
        one, two = (_everything(record(bench, sample, submitting=False, number=number)[0]) for number in range(2))
        same = one & two <= _everything(run)
        assert not same, (
            f"LOC-1: an order for {other} is sent as one for {sample.location}: the location of the order is dropped"
        )

    @pytest.mark.rule("EP-11")
    def test_for_whom_an_item_is_reaches_the_provider(self, bench: Bench, sample: Sample) -> None:
        named = tuple(replace(item, recipient_name=f"Wilma {n} Guestly") for n, item in enumerate(sample.items))
        text = _said(bench.submit(bench.order(sample_of(sample, named)), sample.tender))
        for n in range(len(named)):
            found = text is None or f"Wilma {n} Guestly" in text
            assert found, f"EP-11: recipient_name of item {n + 1} is dropped; send or refuse it"

    @pytest.mark.rule("ITEM-8", "ITEM-11", "EP-11")
    def test_two_equal_lines_keep_their_words(self, bench: Bench, sample: Sample) -> None:
        bench.needs_reactions()
        twins = tuple(
            replace(sample.items[0], special_instructions=f"{ITEM_NOTE} {n}", recipient_name=f"Wilma {n} Guestly")
            for n in range(2)
        )
        text = _said(bench.submit(bench.order(sample_of(sample, twins)), sample.tender))
        for words in (each for twin in twins for each in (twin.special_instructions, twin.recipient_name)):
            assert text is None or str(words) in text, (
                f"ITEM-8: of two lines with the same item and options, {words!r} is dropped: send both lines as they "
                "are, or refuse them; one may name an allergy"
            )

    @pytest.mark.rule("EP-4", "MONEY-1", "MONEY-9", "TIME-7")
    def test_a_validation_gives_a_price_that_adds_up(self, bench: Bench, sample: Sample) -> None:
        check_quote(record(bench, sample, submitting=False)[0].answer, adds_up=True)

    @pytest.mark.rule("MONEY-1", "MONEY-3", "MONEY-4")
    def test_the_tip_is_sent_to_the_cent_and_is_no_part_of_the_food(self, bench: Bench, sample: Sample) -> None:
        if not bench.place(sample.location).location.accepts_tips("pickup"):
            pytest.skip(f"location {sample.location} accepts no tips")
        plain: Quote = record(bench, sample, submitting=False)[0].answer
        for tip in AMOUNTS:
            order = bench.order(sample, tip=tip)
            quote: Quote = bench.validate(order).answer
            run = bench.submit(order, sample.tender)
            run.answer
            amounts = sent_amounts(run)
            assert tip in amounts, f"MONEY-4: a tip of {tip} cents is not sent as that with the order"
            if bench.provider.reacts:
                check_quote(quote, adds_up=True)
                assert quote.tip in (tip, None), f"MONEY-4: a tip of {tip} cents is returned as {quote.tip}"
                assert quote.food == plain.food, f"MONEY-3: with a tip of {tip} cents the food costs {quote.food} cents"

    @pytest.mark.rule("MONEY-3", "MONEY-5", "MONEY-9")
    def test_a_merchant_funded_discount_lowers_no_food(self, bench: Bench, sample: Sample) -> None:
        bench.needs_reactions()
        plain: Quote = record(bench, sample, submitting=False)[0].answer
        for discount in AMOUNTS[:2]:
            run = bench.validate(bench.order(sample, merchant_funded_discount=discount))
            if isinstance(run.failure, Refused):
                continue  # what cannot be communicated is refused
            quote: Quote = run.answer
            check_quote(quote, adds_up=True)
            assert quote.merchant_funded_discount == discount, "MONEY-5: the discount is not returned"
            assert quote.food == plain.food, f"MONEY-3: with a discount of {discount} cents the food costs {quote.food}"
            assert discount in sent_amounts(run) or quote.charged is None, (
                f"MONEY-5: a discount of {discount} cents is not sent as that, yet `charged` claims to account for it"
            )

    @pytest.mark.rule("MONEY-11", "PAY-4")
    def test_nothing_is_charged_by_guess_with_a_discount(self, bench: Bench, sample: Sample) -> None:
        bench.needs_reactions()
        run = bench.submit(bench.order(sample, merchant_funded_discount=AMOUNTS[0]), sample.tender)
        if isinstance(run.failure, Refused):
            return  # what cannot be communicated is refused
        placed: Placed = run.answer
        assert AMOUNTS[0] in sent_amounts(run) or not placed.charged, (
            f"MONEY-11: a discount of {AMOUNTS[0]} cents is not sent, yet `charged` claims that the provider took "
            f"{placed.charged} cents: what the consumer pays is unknown, use None"
        )

    @pytest.mark.rule("EP-14")
    def test_a_user_who_lacks_something_is_refused_or_served(self, bench: Bench, sample: Sample) -> None:
        settings = bench.account.settings.values()
        known = {setting.reveal() if isinstance(setting, Secret) else setting for setting in settings}
        user = bench.order(sample).user
        for lacking, without in (("email", replace(user, email=None)), ("phone", replace(user, phone=None))):
            order, before = bench.order(sample, user=without), bench.held()
            run = bench.submit(order, sample.tender)
            if run.failure is not None:
                assert isinstance(run.failure, Refused) and run.failure.code == "customer_refused", (
                    f"EP-14: a user without {lacking} must be served, or refused as customer_refused, not reported as "
                    f"{run.failure!r}"
                )
                reported = (run.failure.path or "").startswith("$.user")
                assert reported, f"EP-14: the refusal must name the member: path='$.user.{lacking}'"
                assert bench.held() == before, "EP-14: the order of a refused user was placed"
                continue
            made_up = [value for name, value in _named_values(run) if value not in known and (
                _IS_EMAIL.fullmatch(value) if lacking == "email" else _NAMES_PHONE.search(name))]  # fmt: skip
            assert not made_up, f"EP-14: the user gave no {lacking}, and {made_up[0]!r} is sent: never invent one"

    @pytest.mark.rule("TIME-2", "TIME-5", "TIME-6", "TIME-9")
    def test_times_around_both_clock_changes_arrive_as_meant(self, bench: Bench, sample: Sample) -> None:
        if not bench.provider.adapter.schedules:
            pytest.skip("the adapter declares schedules = False")
        zone = bench.place(sample.location).zone
        assert zone is not None, "LOC-1: the location has no time zone"
        changes = clock_changes(zone, bench.provider.clock())
        if not changes:
            pytest.skip(f"clocks in {zone} do not change")
        for wanted in (instant for change in changes for instant in edges(change)):
            desired = wanted.astimezone(zone)
            run = bench.validate(bench.order(sample, desired_ready_time=desired))
            sent = self.times(values(run), zone)
            refused = isinstance(run.failure, Refused)
            assert refused or run.failure is None, f"TIME-2: {desired.isoformat()}: {run.failure!r}"
            assert wanted in sent or (refused and not sent), (
                f"TIME-9: {desired.isoformat()} ({zone}) is not sent as that; among the values sent are the times "
                f"{sorted(time.astimezone(zone).isoformat() for time in sent)}"
            )
            if run.failure is None:
                check_quote(run.answer)
                soonest = run.answer.ready.soonest
                assert soonest is None or soonest >= wanted, f"TIME-5: for {desired.isoformat()}, {soonest} is earlier"

    @pytest.mark.rule("TIME-10", "TIME-4")
    def test_a_time_that_cannot_be_kept_is_refused(self, bench: Bench, sample: Sample) -> None:
        if bench.provider.adapter.schedules:
            pytest.skip("the adapter declares schedules = True")
        tomorrow = bench.provider.clock() + timedelta(days=1)
        order, before = bench.order(sample, desired_ready_time=tomorrow), bench.held()
        for run in (bench.validate(order), bench.submit(order, sample.tender)):
            assert isinstance(run.failure, Refused), (
                "TIME-10: an order for tomorrow is accepted, but would be prepared now"
            )
            assert run.failure.code == "ready_time_unavailable", f"TIME-10: refused with {run.failure.code}"
        assert bench.held() == before, "TIME-10: an order for tomorrow was placed"

    def _check_difference(self, bench: Bench, one: Sample, other: Sample, what: str) -> Run:
        """What is sent for two orders must differ in more than what is new in every call."""
        usual, again = (record(bench, one, submitting=False, number=number)[0] for number in range(2))
        run = bench.validate(bench.order(other, received_at=usual.order.received_at))
        if isinstance(run.failure, Refused) and not values(run):
            return run  # the adapter itself refuses it
        sent, known = Counter(values(run)), [Counter(values(each)) for each in (usual, again)]
        same = known[0] & known[1] <= sent and sent.total() <= max(each.total() for each in known)
        assert not same, f"ITEM-6: {what} is dropped: it does not change what is sent. {run.story()}"
        return run


def check_quote(quote: Quote, *, adds_up: bool = False) -> None:
    """Check the types of a quote: amounts in cents, aware times."""
    amounts = {"food": quote.food, "tax": quote.tax, "tip": quote.tip, "charged": quote.charged,
               "merchant_funded_discount": quote.merchant_funded_discount,
               "provider_funded_discount": quote.provider_funded_discount}  # fmt: skip
    amounts |= {f"fee {fee.name}": fee.amount for fee in quote.fees}
    for name, amount in amounts.items():
        absent = amount is None and name in ("tip", "charged")
        assert absent or money.is_cents(amount), f"MONEY-1: {name} is {amount!r}, not an integer of cents"
    for instant in (quote.ready.soonest, *(quote.ready.slots or ())):
        assert instant is None or instant.tzinfo is not None, f"TIME-1: a naive time: {instant}"
    if adds_up:
        assert quote.charged in (None, quote.consumer_pays), (
            f"MONEY-9: the parts make {quote.consumer_pays} cents, the provider's total is {quote.charged}"
        )


def values(run: Run) -> list[str]:
    """Every value that was sent in a run, except in reading calls."""
    return [value for exchange in run.exchanges if exchange.method != "GET" for value in exchange.values()]


def _named_values(run: Run) -> Iterator[tuple[str, str]]:
    """Every string that was sent as JSON, with the name of its member."""
    for exchange in run.exchanges:
        try:
            waiting: list[tuple[str, Any]] = [("", json.loads(exchange.body))]
        except ValueError:
            continue
        while waiting:
            name, value = waiting.pop()
            if isinstance(value, dict):
                waiting += value.items()
            elif isinstance(value, list):
                waiting += [(name, each) for each in value]
            elif isinstance(value, str) and value:
                yield name, value


def sent_times(run: Run, names: set[str]) -> int:
    """How often one of ``names`` was sent in a run."""
    return sum(value in names for value in values(run))


def sent_amounts(run: Run) -> set[int]:
    """Every amount that was sent, in cents: integers as they are, and exact numbers of dollars."""
    amounts: set[int] = set()
    for value in values(run):
        digits = value.removeprefix("-")
        if digits.isdecimal() and digits.isascii():
            amounts.add(int(digits[:12]))
        elif "." in digits:
            try:
                amounts.add(money.from_decimal(Decimal(digits)))
            except (ArithmeticError, ValueError):
                continue
    return amounts


def with_item(sample: Sample, place: int, item: Item) -> Sample:
    """The sample with one item replaced."""
    return sample_of(sample, (*sample.items[:place], item, *sample.items[place + 1 :]))


def sample_of(sample: Sample, items: Iterable[Item]) -> Sample:
    """The sample with different items."""
    return Sample(sample.location, *items, tender=sample.tender, **sample.members)


def _said(run: Run) -> str | None:
    """Everything that was sent; None if the order is refused."""
    if isinstance(run.failure, Refused):
        assert run.proves_no_order, f"SUB-5: the refusal must prove that nothing was placed: {run.failure!r}"
        return None
    run.answer
    return "\n".join(values(run))


def _everything(run: Run) -> Counter[str]:
    """Every value that was sent in a run, also in headers and in reading calls."""
    return Counter(value for each in run.exchanges for value in (*each.values(), *each.headers.values()))
