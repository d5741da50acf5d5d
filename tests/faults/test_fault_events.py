"""A campaign notices an event that is lost, repeated as another one, out of order, or without its change."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import datetime, timezone
from types import SimpleNamespace

import pytest

from levelup_ov.ledger.event_deliveries import EventDelivery
from tests.faults.events import Arrival, changes, deliveries

NOW = datetime(2026, 3, 1, tzinfo=timezone.utc)


def event(number: int, before: str | None, stage: str, **more: object) -> EventDelivery:
    data = {"status": stage, "provider_status": stage.upper(), "previous_status": before}
    made = EventDelivery(
        number, f"e-{number}", "channel", "order.status_changed", "deli", "deli.1", "order", json.dumps(data),
        "accepted", NOW, NOW, 1, NOW, None,
    )  # fmt: skip
    return replace(made, **more)  # type: ignore[arg-type]


RECORDED = [event(1, None, "placed"), event(2, "placed", "ready")]
ARRIVED = [Arrival("e-1", "one"), Arrival("e-1", "one"), Arrival("e-2", "two")]
STATUS = SimpleNamespace(submission="order", stage="ready", word="READY")


@pytest.mark.rule("EVT-4")
@pytest.mark.parametrize(
    ("recorded", "arrived", "found"),
    [
        (RECORDED, ARRIVED, ""),
        (RECORDED, ARRIVED[:2], "e-2 is lost"),
        (RECORDED, ARRIVED[::-1], "out of order"),
        (RECORDED, [*ARRIVED, Arrival("e-3", "three")], "was not recorded: e-3"),
        (RECORDED, [*ARRIVED, Arrival("e-2", "else")], "e-2 said 2 things"),
        ([replace(RECORDED[0], state="waiting", problem="500"), RECORDED[1]], ARRIVED, "e-1 is waiting: 500"),
    ],
)
def test_deliveries_that_are_wrong_are_found(recorded: list[EventDelivery], arrived: list[Arrival], found: str) -> None:
    problems = list(deliveries(recorded, arrived))
    assert len(problems) == bool(found)
    assert all(found in problem for problem in problems)


@pytest.mark.rule("EVT-3")
@pytest.mark.parametrize(
    ("recorded", "state", "found"),
    [
        (RECORDED, "placed", ""),
        (RECORDED[:1], "placed", "the last status"),
        (RECORDED[1:], "placed", "do not form a chain"),
        ([event(1, None, "ready"), event(2, "ready", "ready")], "placed", "two events"),
        ([*RECORDED, event(3, None, "placed", subject="other")], "placed", "has no status"),
        (
            [*RECORDED, event(3, None, "", kind="submission.resolved", data='{"outcome": "placed"}')],
            "not_placed",
            "was reported as placed",
        ),
    ],
)
def test_changes_without_their_event_are_found(recorded: list[EventDelivery], state: str, found: str) -> None:
    problems = list(changes(recorded, [STATUS], {"order": state}))
    assert len(problems) == bool(found)
    assert all(found in problem for problem in problems)
