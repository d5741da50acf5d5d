"""The status of placed orders: the provider's word for this order, or an error (STAT-2 to STAT-4).

Only for adapters that declare ``order_status``.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest

from levelup_ov.domain.order import Order
from levelup_ov.domain.status import CALLED_OFF, OrderStatus
from levelup_ov.errors import Refused
from levelup_ov.testing.changes import BROKEN, DOOR, changes
from levelup_ov.testing.harness import Bench, Run
from levelup_ov.testing.identity import check_echo, of_another
from levelup_ov.testing.provider import Sample
from levelup_ov.testing.steps import Step, instead, record
from levelup_ov.transport.tap import Answered

STRANGE = "hovering"
"""No provider's word."""


class StatusQuestion(NamedTuple):
    """A request for the status of an order that was placed for it, and its run."""

    order: Order
    id: str
    run: Run

    def steps(self) -> Iterator[tuple[Step, Answered]]:
        """The calls, each with its answer."""
        for number, exchange in enumerate(self.run.exchanges):
            assert exchange.answer is not None
            yield Step(number, exchange, False), exchange.answer

    def again(self, bench: Bench, step: Step, answer: Answered) -> Run:
        """The same request, with another answer to one call."""
        return bench.status(self.order, self.id, instead(self.run, step, answer))


class StatusAnswers:
    """The status of an order that the adapter has just placed."""

    @pytest.mark.rule("STAT-2", "STAT-3", "STAT-4")
    def test_a_placed_order_has_a_status(self, bench: Bench, sample: Sample) -> None:
        asked = _ask(bench, sample)
        status: OrderStatus = asked.run.answer
        assert status.word in bench.provider.adapter.order_status, (
            f"STAT-2: an order that was just placed is {status.word!r}, which order_status does not have"
        )
        check_echo(bench.provider.adapter, status, asked.order.reference)
        for name in ("changed_at", "expected_ready_at"):
            instant = getattr(status, name)
            assert instant is None or instant.tzinfo, f"STAT-4: {name} is a naive time: {instant}"

    @pytest.mark.rule("STAT-3")
    def test_the_status_of_another_order_is_not_ours(self, bench: Bench, sample: Sample) -> None:
        asked, reference = _ask(bench, sample), _ask(bench, sample).order.reference or ""
        if statement := bench.provider.adapter.echoes_nothing:
            pytest.skip(f"the adapter declares that its provider echoes nothing: {statement}")
        strange = [answer for _, answer in _ask(bench, sample, number=1).steps()]
        for step, answer in asked.steps():
            answers = list(of_another(step, reference))
            if reference.encode() in answer.body:
                answers.append((strange[step.number], "the answer about another order"))
            for other, what in answers:
                run = asked.again(bench, step, other)
                assert run.failure is not None or run.value.reference != reference, (
                    f"STAT-3: with {what} in the answer to {step.call}, its status is returned for our order: "
                    "OrderStatus.reference must come from that answer"
                )

    @pytest.mark.rule("STAT-2")
    def test_a_word_that_nobody_knows_is_kept(self, bench: Bench, sample: Sample) -> None:
        asked, found = _ask(bench, sample), False
        word = asked.run.answer.word
        for step, answer in asked.steps():
            if (strange := _reworded(answer, word)) is not None:
                found, run = True, asked.again(bench, step, strange)
                assert run.failure is None and run.value.word == STRANGE, (
                    f"STAT-2: the provider says {STRANGE!r} in place of {word!r}, and the adapter returns "
                    f"{run.failure or run.value!r}: OrderStatus.word is the provider's own, known or not"
                )
        if not found:
            pytest.skip(f"no answer has the word {word!r} as it is")

    @pytest.mark.rule("STAT-2", "ERR-3")
    def test_a_status_meets_answers_that_are_not_quite_right(self, bench: Bench, sample: Sample) -> None:
        asked, known = _ask(bench, sample), bench.provider.adapter.order_status
        for step, answer in asked.steps():
            for name, fault in {**{str(status): door for status, door in DOOR.items()}, **BROKEN}.items():
                run = asked.again(bench, step, fault)
                # An adapter may ask again, as after a login that was refused.
                reported = run.failure is None and len(run.exchanges) <= step.number + 1
                assert not reported, f"STAT-2: {name} to {step.call} is returned as a status: {run.value!r}"
            for change in changes(answer):
                run = asked.again(bench, step, change.answer)
                word = run.value.word if run.failure is None else ""
                guessed = word != asked.run.answer.word and word in known
                assert not guessed, f"STAT-2: with {change.what} in the answer to {step.call}: {run.value!r}"

    @pytest.mark.rule("STAT-6", "SUB-8")
    def test_a_canceled_order_is_shown_as_such(self, bench: Bench, sample: Sample) -> None:
        adapter = bench.provider.adapter
        if not adapter.cancels:
            pytest.skip(f"the adapter declares cancels = {adapter.cancels}")
        # Just placed, for this test: a kitchen that has started may refuse.
        asked, other = _ask(bench, sample, number=2), _ask(bench, sample)
        before = bench.status(other.order, other.id).answer.word
        for time in ("first", "second"):
            run = bench.cancel(asked.order, asked.id)
            # The service never asks to cancel a canceled order, but a request may be repeated.
            well = run.failure is None or (time == "second" and isinstance(run.failure, Refused))
            assert well, f"STAT-6: the {time} request to cancel an order that was just placed: {run.failure!r}"
            word = bench.status(asked.order, asked.id).answer.word
            assert adapter.order_status.get(word) in CALLED_OFF, (
                f"STAT-6: after the {time} request to cancel it, the status of the order is {word!r}: "
                "no stage of order_status for that is cancelled or refused"
            )
        after = bench.status(other.order, other.id).answer.word
        assert after == before, f"STAT-6: the wrong order was canceled; it is {after!r}"

    @pytest.mark.rule("SUB-5", "SUB-8")
    def test_a_canceled_order_is_still_found(self, bench: Bench, sample: Sample) -> None:
        adapter = bench.provider.adapter
        if not adapter.cancels or adapter.recovery != "look_up":
            pytest.skip(f"the adapter declares cancels = {adapter.cancels}, recovery = {adapter.recovery!r}")
        asked, (run, _) = _ask(bench, sample, number=3), record(bench, sample, submitting=True, number=3)
        bench.cancel(asked.order, asked.id)
        found = bench.find(asked.order, run.traces[-1] if run.traces else None)
        assert found.failure is None and found.value is not None and found.value.provider_order_id == asked.id, (
            f"SUB-8: an order was placed and then canceled, and the look-up gives {found.failure or found.value!r}: "
            "it was placed, and its status says what became of it"
        )


def _ask(bench: Bench, sample: Sample, *, number: int = 0) -> StatusQuestion:
    """The request for the status of an order, the same for all tests; ``number`` as in :func:`record`."""
    if not bench.provider.adapter.order_status:
        pytest.skip("the adapter declares no order_status")
    bench.needs_reactions()
    kept, key = bench.provider.kept, ("status", sample, number)
    if key not in kept:
        run, _ = record(bench, sample, submitting=True, number=number)
        order, placed = run.order, run.answer
        kept[key] = StatusQuestion(order, placed.provider_order_id, bench.status(order, placed.provider_order_id))
        kept[key].run.answer
    found: StatusQuestion = kept[key]
    return found


def _reworded(answer: Answered, word: str) -> Answered | None:
    """The answer with another word wherever it has this one; None where it does not."""
    try:
        value = json.loads(answer.body)
    except ValueError:
        return None
    strange = _replaced(value, word)
    return None if strange == value else answer._replace(body=json.dumps(strange).encode())


def _replaced(value: Any, word: str) -> Any:
    if isinstance(value, dict):
        return {name: _replaced(member, word) for name, member in value.items()}
    if isinstance(value, list):
        return [_replaced(each, word) for each in value]
    return STRANGE if value == word else value
