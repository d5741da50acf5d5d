"""The state of an order, computed from the engine's clock. Pure.

An order is confirmed :data:`CONFIRMED` after it was placed. It is cooked from the place's lead before its time on, or
at once where that has begun, waits at its time, and is collected :data:`COLLECTED` later. Where it has no time, the
lead starts when it is placed. A delivery leaves when it waits, and is brought at its time. An order can be canceled
until it waits. A token in its note changes this (:mod:`levelup_ov.standins.sandbox.magic`).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from levelup_ov.standins.sandbox.magic import magic_in
from levelup_ov.standins.sandbox.places import PLACES
from levelup_ov.standins.sandbox.store import EngineOrder

CONFIRMED = timedelta(minutes=1)
COLLECTED = timedelta(minutes=10)
CANCELED = "called-off"
CANCELABLE = ("taken", "confirmed", "cooking")
"""The states in which an order can be canceled."""


@dataclass(frozen=True, slots=True)
class KitchenState:
    """The engine's ``word`` for the state of an order, and the time of the last change."""

    word: str
    since: datetime


def state_of(order: EngineOrder, now: datetime, canceled_at: datetime | None = None) -> KitchenState:
    """The state of an order at ``now``, which may have been canceled before."""
    if canceled_at is not None:
        return KitchenState(CANCELED, canceled_at)
    first, *later = _course(order)
    return [first, *(state for state in later if state.since <= now)][-1]


def _course(order: EngineOrder) -> Iterator[KitchenState]:
    """All states of an order, in their order."""
    placed, magic = order.placed_at, magic_in(order.details.get("note"))
    if magic.stage:
        yield KitchenState(magic.stage, placed)
        return
    yield KitchenState("taken", placed)
    confirmed = placed + CONFIRMED
    if magic.turned_down:
        yield KitchenState("turned-down", confirmed)
        return
    yield KitchenState("confirmed", confirmed)
    lead = timedelta(minutes=PLACES[order.place].lead)
    travel = timedelta(minutes=order.details.get("travel", 0))
    brought = order.details.get("delivery") is not None
    ready = max((order.ready_at or placed + lead + travel) - travel, confirmed)
    yield KitchenState("cooking", max(ready - lead, confirmed))
    if magic.called_off:
        yield KitchenState(CANCELED, max(ready - lead, confirmed))
        return
    yield KitchenState("waiting", ready)
    yield KitchenState("brought", ready + travel) if brought else KitchenState("collected", ready + COLLECTED)
