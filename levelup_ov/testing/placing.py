"""At most one order per submission, at a provider whose connection breaks at the worst moments (SUB-2, SUB-5).

This uses the provider itself: the requests arrive, it executes them, and only its answers are lost.
"""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from levelup_ov.domain.order import Order
from levelup_ov.domain.outcome import Placed
from levelup_ov.testing.changes import BROKEN
from levelup_ov.testing.harness import Bench, Run
from levelup_ov.testing.identity import check_echo
from levelup_ov.testing.outcomes import check_placed
from levelup_ov.testing.provider import Refusal, Sample
from levelup_ov.testing.steps import record, refused
from levelup_ov.transport.tap import Answered, Exchange, Fault, Forward, lost, unreachable

LARGEST_TRACE = 2048
"""The most bytes of a trace: ids, no contents."""


class Placing:
    """At most once."""

    @pytest.mark.rule("SUB-2", "SUB-5")
    def test_an_order_whose_answer_is_lost_is_placed_once_and_found(self, bench: Bench, sample: Sample) -> None:
        self._lose(bench, sample, lost, "its answer is lost")

    @pytest.mark.rule("SUB-2", "SUB-5", "ERR-3")
    def test_an_order_that_is_placed_and_answered_with_503_is_found(self, bench: Bench, sample: Sample) -> None:
        def place_and_fail(exchange: Exchange, forward: Forward) -> Answered:
            forward()
            return BROKEN["503"]

        self._lose(bench, sample, place_and_fail, "its answer is a 503")

    @pytest.mark.rule("SUB-2", "SUB-5")
    def test_an_order_that_never_went_out_is_not_placed(self, bench: Bench, sample: Sample) -> None:
        order, before = bench.order(sample), bench.held()
        run = bench.submit(order, sample.tender, _when_placing(unreachable))
        assert run.failure is not None, "SUB-5: an order that was never sent is reported as placed"
        assert run.proves_no_order, f"SUB-5: it is proven that no order exists; that is reported as {run.failure!r}"
        assert bench.held() == before, (
            "SUB-2: the call that says places_order=True was not sent, yet an order exists: another call places it"
        )
        if bench.provider.adapter.recovery == "look_up" and bench.provider.reacts:
            for trace in run.traces:
                found = bench.find(order, trace).answer
                assert found is None, f"SUB-5: no order was placed under this reference, yet one is found: {found}"

    @pytest.mark.rule("SUB-2", "SUB-8")
    def test_a_call_that_is_delivered_twice_is_one_order(self, bench: Bench, sample: Sample, refusal: Refusal) -> None:
        """The second delivery is refused, and only its answer comes back."""
        bench.needs_reactions()
        if _recovery(bench) != "look_up":
            pytest.skip("the adapter declares recovery = 'replay': the second delivery has the same answer")
        reported = refused(bench, refusal.sample)
        answers = [each.answer for each in reported.placing or reported.exchanges if each.answer is not None]
        if reported.failure is None or not answers:
            pytest.skip("the adapter itself refuses this order")
        order, before, delivered = bench.order(sample), bench.held(), list[Answered]()

        def deliver_twice(exchange: Exchange, forward: Forward) -> Answered:
            answer = forward()
            if not exchange.places_order or delivered:
                return answer
            delivered.append(answer)
            return answers[-1]

        run = bench.submit_as_service(order, sample.tender, deliver_twice)
        what = f"the placing call is delivered twice, and the second time it is refused: {reported.failure}"
        assert before is None or bench.held() == before + 1, (
            f"SUB-2: {what}; the provider now has {bench.held()} orders, before it had {before}. {run.story()}"
        )
        if run.failure is None:
            check_placed(run.answer, after_fault=True)
            check_echo(bench.provider.adapter, run.answer, order.reference)
            return
        assert not run.proves_no_order, f"SUB-5: {what}; that is reported as {run.failure!r}, as if there were no order"

    @pytest.mark.rule("SUB-10")
    def test_a_setting_that_hides_orders_says_so(self, bench: Bench, sample: Sample) -> None:
        """The account is changed after an order was sent; secrets are left out, which are changed all the time."""
        bench.needs_reactions()
        if _recovery(bench) != "look_up":
            pytest.skip("the adapter declares recovery = 'replay'")
        run, _ = record(bench, sample, submitting=True)
        trace = run.traces[-1] if run.traces else None
        for name, setting in bench.provider.adapter.settings.items():
            if setting.finds_orders or setting.secret or setting.url:
                continue
            changed = {**bench.account.settings, name: f"{bench.account.setting(name)}x"}
            try:
                adapter = bench.provider.adapter(replace(bench.account, settings=changed))
            except ValueError:
                continue
            found = bench.find(run.order, trace, adapter=adapter)
            assert found.failure is not None or found.value is not None, (
                f"SUB-10: with another {name}, the look-up says that there is no order, but there is one: declare "
                f"{name} with Setting(..., finds_orders=True)"
            )

    @pytest.mark.rule("SUB-2", "SUB-3")
    def test_two_submissions_are_two_orders(self, bench: Bench, sample: Sample) -> None:
        bench.needs_reactions()
        one, other = (record(bench, sample, submitting=True, number=number)[0].answer for number in range(2))
        assert one.provider_order_id != other.provider_order_id, "SUB-3: two references gave one order"

    @pytest.mark.rule("SUB-8")
    def test_each_order_has_an_id_of_its_own(self, bench: Bench, sample: Sample) -> None:
        bench.needs_reactions()
        one = bench.submit(bench.order(sample), sample.tender).answer
        for id, place in bench.places().items():
            if id == sample.location or not place.location.active or place.location.terminated:
                continue
            there = Sample(id, *sample.items, tender=sample.tender, **sample.members)
            other = bench.submit(bench.order(there), sample.tender)
            if other.failure is None:
                assert other.value.provider_order_id != one.provider_order_id, (
                    f"SUB-8: an order at {id} has the provider_order_id of one at {sample.location}: within an account "
                    "it belongs to one order, so put the location's id in front"
                )
                return
        pytest.skip("no other location takes this order")

    def _lose(self, bench: Bench, sample: Sample, fault: Fault, what: str) -> None:
        usual, _ = record(bench, sample, submitting=True)
        order, before = bench.order(sample), bench.held()
        run = bench.submit(order, sample.tender, _when_placing(fault))
        _check_sent_once(usual, run, order, what)
        assert before is None or bench.held() == before + 1, (
            f"SUB-2: {what}: the provider now has {bench.held()} orders, before it had {before}"
        )
        _check_traces(run, order)
        if run.failure is None:
            check_placed(run.answer, after_fault=True)  # the adapter itself reconciled it
        else:
            assert not run.proves_no_order, (
                f"SUB-5: an order exists and {what}: that is reported as {run.failure!r}, as if there were none"
            )
        if not bench.provider.reacts:
            return
        trace = run.traces[-1] if run.traces else None
        found = [self._recover(bench, order, sample, trace) for _ in range(2)]
        for placed in found:
            assert isinstance(placed, Placed), f"SUB-5: {what}, and recovery ({_recovery(bench)}) finds no order"
            check_placed(placed, after_fault=True)
        assert found[0].provider_order_id == found[1].provider_order_id, "SUB-5: recovering twice returns two orders"
        assert before is None or bench.held() == before + 1, "SUB-2: recovering an order placed another one"

    def _recover(self, bench: Bench, order: Order, sample: Sample, trace: Any) -> Any:
        if _recovery(bench) == "look_up":
            return bench.find(order, trace).answer
        return bench.submit(order, sample.tender).answer


def _recovery(bench: Bench) -> str:
    return bench.provider.adapter.recovery


def _when_placing(fault: Fault) -> Fault:
    def only_then(exchange: Exchange, forward: Forward) -> Answered:
        return fault(exchange, forward) if exchange.places_order else forward()

    return only_then


def _check_sent_once(usual: Run, run: Run, order: Order, what: str) -> None:
    """The placing call was sent once; or repeatedly but unchanged, under a reference that the provider honors."""
    assert run.placing, f"SUB-2: no call of the submission says places_order=True. {run.story()}"
    if all(exchange.repeatable for exchange in run.placing):
        said = {(exchange.url, exchange.body) for exchange in run.placing}
        assert len(said) == 1, f"SUB-2: {what}, and a different order is sent instead of the same one"
        exchange = run.placing[0]
        text = "\n".join([*exchange.values(), *exchange.headers.values()])
        assert order.reference and order.reference in text, (
            "SUB-2: a placing call is repeatable only under an idempotency key made from order.reference"
        )
        return
    alike = run.placing[0].kind[:2]
    times, expected = ([each.kind[:2] for each in one.exchanges if each.arrived].count(alike) for one in (run, usual))
    assert len(run.placing) == 1 and times <= expected, f"SUB-2: {what}, and the order is sent again. {run.story()}"


def _check_traces(run: Run, order: Order) -> None:
    for trace in run.traces:
        if trace is None:
            continue
        text = json.dumps(trace)
        assert len(text) <= LARGEST_TRACE, f"SUB-5: a trace is small; this one has {len(text)} bytes"
        for private in (order.user.last_name, order.user.email, order.user.phone):
            assert not private or private not in text, "SUB-5: something personal is left in the trace"
