"""Trials by number, and what came of them."""

from __future__ import annotations

import gc
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from tests.simulation.books import faults_of
from tests.simulation.checkout import CheckoutWorld
from tests.simulation.checkout_books import faults_of_checkout
from tests.simulation.world import Things, World, simulated

_clock = time.process_time


@dataclass
class Report:
    """``failures``: seed, kind and sentence. ``met``: how many trials met a fault of each name."""

    trials: int = 0
    seconds: float = 0.0
    failures: list[tuple[str, str, str]] = field(default_factory=list)
    met: Counter[str] = field(default_factory=Counter)
    answers: Counter[str] = field(default_factory=Counter)
    orders: int = 0


@dataclass(frozen=True)
class Kind:
    """A kind of world, and the books that are kept of it."""

    world: type[Any]
    books: Callable[[Any], Iterator[tuple[str, str]]]


ORDERING = Kind(World, faults_of)
CHECKOUT = Kind(CheckoutWorld, faults_of_checkout)


def trial(
    seed: str, things: Things, kind: Kind = ORDERING, *, talk: bool = False
) -> tuple[World, list[tuple[str, str]]]:
    """One world, run to its end, and what does not agree in it.

    Where nothing went wrong, or not for two submissions, the next one of the seed.
    """
    while True:
        world = kind.world(seed, things, talk=talk)
        try:
            world.run()
        except Exception as error:
            if talk:
                raise
            return world, [("other", f"{type(error).__name__}: {error}")]
        found = list(kind.books(world))
        if found or world.is_whole:
            return world, found
        seed += "'"


def run(
    seeds: Iterable[str],
    things: Things,
    kind: Kind = ORDERING,
    *,
    until_failure: bool = False,
    report_failure: Callable[[str, str, str], object] = lambda seed, kind, words: None,
    show: Callable[[Report], object] = lambda report: None,
) -> Report:
    """All these trials. ``report_failure`` gets each failure at once, ``show`` the report so far now and then."""
    report, began = Report(), _clock()
    with simulated(things), _collecting_between():
        for seed in seeds:
            if report.trials % 5000 == 4999:
                report.seconds = _clock() - began
                show(report)
            world, found = trial(seed, things, kind)
            report.trials += 1
            report.met.update(set(world.met))
            report.orders += len(world.provider.kept)
            report.answers.update(world.answer_codes())
            for what, words in found:
                report.failures.append((seed, what, words))
                report_failure(seed, what, words)
            if found and until_failure:
                break
            # Of a trial that has just ended, all is young and in the processor's cache.
            del world
            gc.collect(0)
            if report.trials % 1000 == 0:
                gc.collect()
    report.seconds = _clock() - began
    return report


@contextmanager
def _collecting_between() -> Iterator[None]:
    """Let nothing look for circles within a trial: after each few objects, that would take a tenth of the time."""
    gc.collect()
    gc.freeze()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
        gc.unfreeze()


def story(seed: str, things: Things, kind: Kind = ORDERING) -> str:
    """The trial of a seed, as a story."""
    with simulated(things):
        world, found = trial(seed, things, kind, talk=True)
    lines = [f"seed {seed}: {world.provider.name}, {'without keys' if world.keyless else 'with keys'}"]
    lines += [f"  {each.guest} sends a submission known by {each.named}" for each in world.stories]
    lines += world.lines or []
    lines += [f"{row.reference} generation {row.generation}: {row.state} {row.provider_order_id} {row.ended}"
              for row in world.rows]  # fmt: skip
    return "\n".join([*lines, *(f"FAILURE, {what}: {words}" for what, words in found)])
