"""Every possible answer of a provider: yes, no, and everything in between (ERR, SUB-1, SUB-5).

The adapter's own exchanges are recorded once and played back with one of them changed, so that faults leave
nothing behind at the provider.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import pytest

from levelup_ov.domain.outcome import Placed, Quote
from levelup_ov.domain.ready_time import Shown
from levelup_ov.ordering.reported_orders import LONGEST_ID, readable
from levelup_ov.testing.changes import BROKEN, DOOR, Change, changes, extended
from levelup_ov.testing.harness import CARD, Bench, Run
from levelup_ov.testing.provider import Refusal, Sample
from levelup_ov.testing.steps import Step, at_step, instead, record
from levelup_ov.testing.translation import check_quote
from levelup_ov.transport.tap import Answered, Exchange, Player, silent

MOVED = timedelta(hours=3)
"""By how much a ready time changes: too much to go unreported."""
SHORT = 0.2
"""Seconds of the deadline in tests of it."""
GRACE = 0.4
"""Seconds after which an adapter has exceeded its deadline."""
_RULES = {
    "expected_ready_at": "TIME-1",
    "expected_charge": "MONEY-1",
    "charged": "MONEY-1",
    "customer_account": "META-7",
}


class Outcomes:
    """Accepted, refused, and answers that are neither."""

    @pytest.mark.rule("EP-5", "SUB-1", "SUB-2", "PAY-4", "META-3", "META-4")
    def test_an_order_is_accepted(self, bench: Bench, sample: Sample) -> None:
        validated, _ = record(bench, sample, submitting=False)
        check_quote(validated.answer)
        assert not validated.placing, "EP-4: a validation places nothing, but a call of it says places_order=True"
        assert not validated.placed, "EP-4: the validation left an order behind"
        run, _ = record(bench, sample, submitting=True)
        check_placed(run.answer)
        assert validated.exchanges and run.exchanges, "SUB-6: call the provider through `session`, it keeps deadlines"
        assert len(run.placing) == 1, (
            f"SUB-2: {len(run.placing)} calls of a submission said places_order=True; the one that commits the "
            f"provider to the order must, or a lost answer counts as no order. {run.story()}"
        )
        assert run.placed in (None, 1), f"SUB-2: one order, but {run.placed} are held"

    @pytest.mark.rule("META-2", "META-5")
    def test_the_final_values_of_a_validated_order_count(self, bench: Bench, sample: Sample) -> None:
        bench.needs_reactions()
        first = bench.order(sample, special_instructions="ring the blue bell")
        quote: Quote = bench.validate(first).answer
        members = {
            "cart": quote.cart,
            "customer_account": quote.customer_account or first.customer_account,
            "user": first.user,
        }
        final = bench.order(sample, special_instructions="ring the green bell", **members)
        before = bench.held()
        run = bench.submit(final, sample.tender)
        check_placed(run.answer)
        text = "\n".join(value for exchange in run.exchanges for value in exchange.values())
        assert "ring the green bell" in text, "META-5: the submission does not send its final special instructions"
        assert before is None or bench.held() == before + 1, "META-5: a validated order is placed once"

    @pytest.mark.rule("TIME-11", "META-5")
    def test_an_order_is_placed_for_the_time_that_was_shown(self, bench: Bench, sample: Sample) -> None:
        """Since the validation, the time at which the kitchen would be ready has moved by hours."""
        bench.needs_reactions()
        for moved in (MOVED, -MOVED):
            order = bench.order(sample)
            quote: Quote = bench.validate(order).answer
            if quote.ready.soonest is None or order.desired_ready_time is not None:
                pytest.skip("the provider names no ready time of its own: none was shown that could change (TIME-7)")
            shown = Shown(order.received_at, None, quote.ready.soonest - moved)
            members = {
                "cart": quote.cart,
                "customer_account": quote.customer_account or order.customer_account,
                "user": order.user,
            }
            before = bench.held()
            run = bench.submit(bench.order(sample, shown=shown, **members), sample.tender)
            what = f"TIME-11: ready {abs(moved)} {'after' if moved > timedelta(0) else 'before'} what was shown"
            assert run.failure is not None and run.failure.code == "ready_time_unavailable", (
                f"{what}, an order is reported as {run.value or run.failure!r}: call order.check_ready(...) before "
                "it is placed, or have the provider compare with order.ready_window"
            )
            assert run.proves_no_order and bench.held() == before, f"{what}, an order was placed"

    @pytest.mark.rule("ERR-2", "ITEM-7", "SUB-5")
    def test_a_refusal_has_its_code_and_leaves_nothing(self, bench: Bench, refusal: Refusal) -> None:
        bench.needs_reactions()
        sample = refusal.sample
        order, before = bench.order(sample), bench.held()
        runs = [bench.submit_as_service(order, sample.tender)]
        if not refusal.at_submission:
            runs.append(bench.validate(order))
        for run in runs:
            assert run.failure is not None, "ERR-2: the provider was expected to refuse this order, but accepted it"
            assert run.failure.code == refusal.code, f"ERR-2: refused with {run.failure!r}, expected {refusal.code}"
            assert run.proves_no_order, "SUB-5: the refusal must prove that nothing was placed: raise Refused"
        assert bench.held() == before, "SUB-2: the refused order was placed"

    @pytest.mark.rule("ERR-3", "MONEY-9")
    def test_a_validation_meets_faults(self, bench: Bench, sample: Sample) -> None:
        baseline, steps = record(bench, sample, submitting=False)
        for step in steps:
            for name, answer in _faults():
                run = bench.validate(baseline.order, instead(baseline, step, answer))
                _check_same_price(baseline, run, f"{name} instead of the answer to {step.call}")

    @pytest.mark.rule("ERR-3", "SUB-5", "SUB-2")
    def test_a_submission_meets_faults(self, bench: Bench, sample: Sample) -> None:
        baseline, steps = record(bench, sample, submitting=True)
        for step in steps:
            for name, answer in _faults():
                run = bench.submit(baseline.order, sample.tender, instead(baseline, step, answer))
                _check_proven(baseline, run, step, answer, f"{name} instead of the answer to {step.call}")

    @pytest.mark.rule("ERR-3", "MONEY-9")
    def test_a_validation_meets_answers_that_are_not_quite_right(self, bench: Bench, sample: Sample) -> None:
        baseline, steps = record(bench, sample, submitting=False)
        for step, change in _changed(steps):
            run = bench.validate(baseline.order, instead(baseline, step, change.answer))
            _check_same_price(baseline, run, f"{change.what} in the answer to {step.call}")

    @pytest.mark.rule("ERR-3", "SUB-5", "SUB-1")
    def test_a_submission_meets_answers_that_are_not_quite_right(self, bench: Bench, sample: Sample) -> None:
        baseline, steps = record(bench, sample, submitting=True)
        for step, change in _changed(steps):
            run = bench.submit(baseline.order, sample.tender, instead(baseline, step, change.answer))
            what = f"{change.what} in the answer to {step.call}"
            if run.failure is None:
                check_placed(run.answer, after_fault=True)
            else:
                _check_unrefused(run, step, what)

    @pytest.mark.rule("EP-8")
    def test_members_of_a_later_version_change_nothing(self, bench: Bench, sample: Sample) -> None:
        quoted, steps = record(bench, sample, submitting=False)
        more = [_with_answer(step.exchange, extended(step.answer)) for step in steps]
        run = bench.validate(quoted.order, Player(more))
        assert run.failure is None, f"EP-8: new members in the provider's answers are met with {run.failure!r}"
        _check_same_price(quoted, run, "new members in all answers")
        placed, steps = record(bench, sample, submitting=True)
        more = [_with_answer(step.exchange, extended(step.answer)) for step in steps]
        run = bench.submit(placed.order, sample.tender, Player(more))
        assert run.failure is None, f"EP-8: new members in the provider's answers are met with {run.failure!r}"
        assert run.answer.provider_order_id == placed.answer.provider_order_id

    @pytest.mark.rule("SUB-6")
    def test_nothing_goes_on_past_the_deadline(self, bench: Bench, sample: Sample) -> None:
        for submitting in (False, True):
            baseline, steps = record(bench, sample, submitting=submitting)
            for step in steps:
                fault = at_step(baseline, step.number, silent)
                order = baseline.order
                run = (bench.submit(order, sample.tender, fault, SHORT) if submitting
                       else bench.validate(order, fault, SHORT))  # fmt: skip
                what = f"no answer to {step.call} within {SHORT} s"
                assert run.seconds < SHORT + GRACE, f"SUB-6: {what}: the adapter went on for {run.seconds:.1f} s"
                if run.failure is None:
                    assert step.placed or not submitting, f"SUB-5: {what}: reported as a placed order"
                    _check_same_price(baseline, run, what)
                else:
                    assert step.placed or run.failure.code == "provider_timeout", f"ERR-3: {what}: {run.failure!r}"
                    _check_unrefused(run, step, what)

    @pytest.mark.rule("PAY-1", "PAY-2", "PAY-3")
    def test_a_single_use_card_is_passed_on(self, bench: Bench, sample: Sample) -> None:
        adapter, location = bench.provider.adapter, bench.place(sample.location).location
        if "credit_card" not in (adapter.tenders if location.tenders is None else location.tenders):
            pytest.skip(f"no cards at {sample.location}: the adapter or the location declares other tenders")
        run = bench.submit(bench.order(sample), CARD)
        check_placed(run.answer)
        sent = {value for exchange in run.exchanges for value in exchange.values()}
        assert CARD.number.reveal() in sent, "PAY-2: the card's number is not sent: how is the order paid?"


def check_placed(placed: Placed, *, after_fault: bool = False) -> None:
    """Check a placed order's ids and reference; ``after_fault`` its charge may differ, if reported (PAY-4)."""
    assert isinstance(placed, Placed), f"SUB-1: return a Placed, not {placed!r}"
    _, wrong = readable(placed)
    for member, expected in wrong.items():
        rule = _RULES.get(member, "SUB-1")
        raise AssertionError(f"{rule}: {member} is {getattr(placed, member)!r}: it must be {expected}")
    assert type(placed.order_id) in (str, int), f"SUB-1: order_id is {placed.order_id!r}: it must be a str or an int"
    assert type(placed.provider_order_id) is str, f"SUB-1: provider_order_id is {placed.provider_order_id!r}, not a str"
    for id in (str(placed.order_id), placed.provider_order_id):
        assert len(id) <= LONGEST_ID, f"SUB-1: an id has {len(id)} characters; {LONGEST_ID} are kept: {id[:50]}..."
    sound = after_fault or not placed.charge_mismatch
    assert sound, f"PAY-4: charged {placed.charged} instead of {placed.expected_charge}"


def _faults() -> Iterator[tuple[str, Answered]]:
    yield from ((str(status), answer) for status, answer in DOOR.items())
    yield from BROKEN.items()


def _changed(steps: list[Step]) -> Iterator[tuple[Step, Change]]:
    for step in steps:
        for change in changes(step.answer):
            yield step, change


def _with_answer(exchange: Exchange, answer: Answered) -> Exchange:
    return Exchange(exchange.method, exchange.url, places_order=exchange.places_order, answer=answer)


def _check_same_price(baseline: Run, run: Run, what: str) -> None:
    """A price that results despite a fault is right, or the service refuses it (MONEY-9)."""
    if run.failure is not None or not isinstance(run.value, Quote):
        return
    check_quote(run.value)
    same = all(getattr(run.value, name) == getattr(baseline.value, name) for name in ("total", "tax", "consumer_pays"))
    refused = run.value.charged not in (None, run.value.consumer_pays)
    assert same or refused, f"MONEY-9: with {what}, the order is still priced: {run.value}"


def _check_proven(baseline: Run, run: Run, step: Step, answer: Answered, what: str) -> None:
    """An order reported as placed was placed; an order reported as refused was not."""
    if run.failure is None:
        check_placed(run.answer, after_fault=True)
        reported = run.answer.provider_order_id == baseline.answer.provider_order_id
        asked_again = len(run.exchanges) > step.number + 1
        assert reported and (not step.exchange.places_order or asked_again), (
            f"SUB-5: {what} is reported as a placed order ({run.answer}); nothing proves one"
        )
        return
    _check_unrefused(run, step, what, by_answer=answer.status == 200)
    if step.exchange.places_order and answer.status in DOOR:
        assert run.proves_no_order, f"SUB-5: {what} proves that no order exists"


def _check_unrefused(run: Run, step: Step, what: str, *, by_answer: bool = False) -> None:
    """Once an order may exist, nothing claims that none does. ``by_answer``: unless the answer itself does."""
    if step.placed:
        assert not run.proves_no_order, f"SUB-5: {what}, after the order was placed: reported as {run.failure!r}"
    elif step.exchange.places_order and not by_answer and not _turned_away(run):
        assert not run.proves_no_order, (
            f"SUB-5: {what} proves nothing, an order may exist; but it is reported as {run.failure!r}"
        )


def _turned_away(run: Run) -> bool:
    placing = [exchange.answer for exchange in run.placing]
    return bool(placing) and placing[-1] is not None and placing[-1].status in DOOR
