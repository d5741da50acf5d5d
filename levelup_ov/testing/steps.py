"""The adapter's own exchanges, made once for all tests and played back with one of them changed."""

from __future__ import annotations

from typing import NamedTuple

from levelup_ov.testing.harness import Bench, Run
from levelup_ov.testing.provider import Sample
from levelup_ov.transport.tap import Answered, Exchange, Fault, Forward, Player


class Step(NamedTuple):
    """One exchange of a flow; ``placed``: whether an order exists after the exchanges before it.

    ``ordinal``: which of several calls to the same address it is, in words.
    """

    number: int
    exchange: Exchange
    placed: bool = False
    ordinal: str = ""

    @property
    def call(self) -> str:
        """Method and path of the call."""
        return f"{self.exchange.method} {self.exchange.path}{self.ordinal}"

    @property
    def answer(self) -> Answered:
        """The provider's answer."""
        assert self.exchange.answer is not None, f"{self.call} has no answer"
        return self.exchange.answer


def record(bench: Bench, sample: Sample, *, submitting: bool, number: int = 0) -> tuple[Run, list[Step]]:
    """A good run and its steps, the same for all tests; ``number`` distinguishes runs of a sample."""
    key = ("run", sample, submitting, number)
    if key not in bench.provider.kept:
        order, before = bench.order(sample), bench.held()
        run = bench.submit(order, sample.tender) if submitting else bench.validate(order)
        run.answer
        run.placed = None if before is None else (bench.held() or 0) - before
        bench.provider.kept[key] = run
    run = bench.provider.kept[key]
    return run, _steps(run)


def refused(bench: Bench, sample: Sample) -> Run:
    """A submission that the provider refuses, the same for all tests."""
    key = ("refused", sample)
    if key not in bench.provider.kept:
        bench.provider.kept[key] = bench.submit(bench.order(sample), sample.tender)
    run: Run = bench.provider.kept[key]
    return run


def at_step(baseline: Run, number: int, fault: Fault) -> Fault:
    """The baseline again, with ``fault`` at every attempt of the exchange with this number, and nowhere else."""
    player, calls = Player(baseline.exchanges), list(dict.fromkeys(each.number for each in baseline.exchanges))
    wrong, seen = calls.index(baseline.exchanges[number].number), dict[int | None, int]()

    def play(exchange: Exchange, forward: Forward) -> Answered:
        answer = player(exchange, forward)
        place = seen.setdefault(exchange.number, len(seen))
        return fault(exchange, forward) if place == wrong else answer

    return play


def answering(answer: Answered) -> Fault:
    """A fault: this is the answer, whatever was asked."""
    return lambda exchange, forward: answer


def instead(baseline: Run, step: Step, answer: Answered) -> Fault:
    """The baseline again, with another answer to the call of one step."""
    return at_step(baseline, step.number, answering(answer))


def _steps(run: Run) -> list[Step]:
    steps, placed = [], False
    for number, exchange in enumerate(run.exchanges):
        steps.append(Step(number, exchange, placed, _ordinal(run, number)))
        placed = placed or exchange.places_order
    return steps


def _ordinal(run: Run, number: int) -> str:
    """Which of several calls to the same address it is; empty if there is only one."""
    exchange = run.exchanges[number]
    places = [
        place for place, each in enumerate(run.exchanges) if (each.method, each.url) == (exchange.method, exchange.url)
    ]
    return f" (no. {places.index(number) + 1} of {len(places)} calls to it)" if len(places) > 1 else ""
