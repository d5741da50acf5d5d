"""Cancellations in a campaign of web checkout: for each order one charge, and one refund after its cancellation."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from tests.faults.stack import Answer, Stack

CANCELED = 0.4
"""The share of submitted orders that is canceled."""
ABANDONED = 0.5
"""The share of answers that are not final, after which a site never asks again."""
PATIENCE = 30.0


@dataclass
class Cancellation:
    """A site cancels the order ``uuid``. ``answers``: their codes, empty for a success.

    ``is_abandoned``: the site got no final answer, and asks no more.
    """

    number: int
    uuid: str
    answers: list[str] = field(default_factory=list)
    is_abandoned: bool = False

    @property
    def is_done(self) -> bool:
        return self.answers[-1:] == [""]


def chosen(number: int, seed: str) -> bool:
    """Whether the order with this number is canceled."""
    return random.Random(f"{seed}/cancel/{number}").random() < CANCELED


def cancel(
    stack: Stack, this: Cancellation, code: Callable[[Answer], str], is_open: Callable[[str], bool], seed: str
) -> None:
    """Cancel an order until an answer is final, or patience ends."""
    dice = random.Random(f"{seed}/cancel/{this.number}/{len(this.answers)}")
    until = time.monotonic() + PATIENCE
    while not this.is_abandoned:
        path = f"/checkout/orders/{this.uuid}/cancellation"
        this.answers.append(code(stack.post(path, {}, Idempotency_Key=f"c{this.number}")))
        if not is_open(this.answers[-1]) or time.monotonic() > until:
            return
        this.is_abandoned = dice.random() < ABANDONED
        time.sleep(dice.uniform(0.2, 1.5))


def books(
    cancellations: Sequence[Cancellation],
    charges: Mapping[str, bool],
    meals: Mapping[int, int],
    is_open: Callable[[str], bool],
) -> Iterator[str]:
    """What does not agree. ``charges``: is each UUID of LevelUp's refunded; ``meals``: how many the kitchen makes."""
    for each in cancellations:
        history = f"{each.number}: " + " > ".join(code or "canceled" for code in each.answers)
        refunded, cooked = charges.get(each.uuid), meals.get(each.number, 0)
        if each.is_done and refunded is False:
            yield f"answered canceled, and the charge is not refunded: {history}"
        if each.is_done and refunded is None:
            yield f"answered canceled, and the charge is not one of LevelUp: {history}"
        if each.is_done and cooked:
            yield f"answered canceled, and the kitchen makes it: {history}"
        if refunded and cooked:
            yield f"refunded, and the kitchen makes it: {history}"
        if refunded is False and not cooked:
            yield f"canceled at the kitchen, and the charge is not refunded: {history}"
        if each.answers and is_open(each.answers[-1]) and not each.is_abandoned:
            yield f"no final answer to the cancellation: {history}"
