"""Events are recorded with their changes, and delivered once at least, in order (EVT-1 to EVT-6)."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from itertools import count
from typing import Any

import pytest

from levelup_ov.domain.event import OPERATOR_KIND, Event
from levelup_ov.ledger.event_deliveries import AT_ONCE, GIVEN_UP, KEPT, EventDeliveries, EventDelivery
from levelup_ov.ledger.ledger import Ledger
from levelup_ov.ledger.menu_watches import MenuWatches, SeenMenu
from levelup_ov.ledger.statuses import Statuses
from tests.ledger.helpers import GRACE, LOCATION, Clock, begin, claim, claimed, place, shown

TERM = timedelta(seconds=20)
MINUTE = timedelta(minutes=1)


@pytest.fixture
def deliveries(ledger: Ledger) -> EventDeliveries:
    """Every event goes to one receiver."""
    ledger.outbox.route = lambda event: ("channel",)
    return EventDeliveries(ledger)


@pytest.fixture
def add(ledger: Ledger) -> Callable[..., None]:
    """Record events of subjects, one after the other."""
    numbers = count(1)

    def record(*subjects: str) -> None:
        for subject in subjects:
            ledger.outbox.add(Event("menu.changed", "deli", LOCATION, subject, {"number": next(numbers)}))

    return record


def take(deliveries: EventDeliveries, receiver: str = "channel", limit: int = 10) -> list[EventDelivery]:
    return list(deliveries.claim(receiver, limit=limit, term=TERM))


def reported(deliveries: EventDeliveries) -> list[tuple[str, Any]]:
    """Every event of the outbox in order, with what it says."""
    return [(each.kind, json.loads(each.data)) for each in reversed(deliveries.find(limit=1000))]


def in_doubt(ledger: Ledger, key: str = "key-1") -> str:
    begin(ledger, id := claimed(claim(ledger, idempotency_key=key)))
    ledger.transitions.lose(id)
    return id


@pytest.mark.rule("EVT-1")
def test_an_outcome_that_was_unknown_is_an_event(ledger: Ledger, deliveries: EventDeliveries) -> None:
    placed = in_doubt(ledger)
    place(ledger, placed)
    ruled_out = in_doubt(ledger, "key-3")
    ledger.absences.rule_out(shown(ledger, ruled_out), grace=GRACE, fenced=True)
    where = {"merchant_id": "deli", "location_id": LOCATION, "request_id": "req-1"}
    outcomes = [{"outcome": "placed", "order_id": "A-17"}, {"outcome": "not_placed", "order_id": None}]
    assert reported(deliveries) == [("submission.resolved", {**where, **outcome}) for outcome in outcomes]


@pytest.mark.rule("EVT-1")
def test_an_outcome_that_was_answered_is_none(ledger: Ledger, deliveries: EventDeliveries) -> None:
    begin(ledger, id := claimed(claim(ledger)))
    place(ledger, id)
    place(ledger, id)
    ledger.transitions.fail(claimed(claim(ledger, idempotency_key="key-2")))
    assert reported(deliveries) == []


@pytest.mark.rule("EVT-1", "EVT-3")
def test_each_change_of_a_status_is_one_event(ledger: Ledger, deliveries: EventDeliveries, clock: Clock) -> None:
    statuses = Statuses(ledger)
    begin(ledger, id := claimed(claim(ledger)))
    place(ledger, id)
    first = statuses.of(id)
    assert first is not None
    assert statuses.record(first, "accepted", "OPEN", clock())
    assert not statuses.record(first, "ready", "READY", clock()), "read before the last change"
    second = statuses.of(id)
    assert second is not None
    assert statuses.record(second, "accepted", "OPEN", clock())
    third = statuses.of(id)
    assert third is not None
    assert statuses.record(third, "refused", "NO", None)
    assert [(kind, data.get("status") or data.get("what")) for kind, data in reported(deliveries)] == [
        ("order.status_changed", "accepted"),
        ("order.status_changed", "refused"),
        (OPERATOR_KIND, "order_refused"),
    ]
    assert reported(deliveries)[0][1] == {
        "merchant_id": "deli", "location_id": LOCATION, "order_id": "A-17", "status": "accepted",
        "provider_status": "OPEN", "changed_at": "2026-03-01T12:00:00+00:00", "previous_status": None,
        "request_id": "req-1",
    }  # fmt: skip


@pytest.mark.rule("EVT-8")
def test_a_status_that_flaps_needs_a_person_once(ledger: Ledger, deliveries: EventDeliveries) -> None:
    statuses = Statuses(ledger)
    for key in ("key-1", "key-2"):
        begin(ledger, id := claimed(claim(ledger, key.encode(), idempotency_key=key)))
        place(ledger, id, provider_order_id=key)
        for stage in ("refused", "accepted", "refused", None, "refused"):
            assert (order := statuses.of(id)) is not None
            assert statuses.record(order, stage, str(stage), None)
    found = [data["provider_order_id"] for kind, data in reported(deliveries) if kind == OPERATOR_KIND]
    assert found == ["key-1", "key-2"] and len(reported(deliveries)) == 12


@pytest.mark.rule("EVT-8")
def test_a_finding_is_an_event_once(ledger: Ledger, deliveries: EventDeliveries) -> None:
    id = in_doubt(ledger)
    ledger.absences.rule_out(shown(ledger, id), grace=GRACE, fenced=True)
    for _ in range(2):
        ledger.findings.looked_again(shown(ledger, id), "order_exists_but_ruled_out", 17)
        ledger.findings.note(id, "order_exists_but_ruled_out", 17)
    ledger.findings.note(id, "two_orders_for_one_submission", 18)
    found = [data for kind, data in reported(deliveries) if kind == OPERATOR_KIND]
    assert [(data["what"], data["order_id"]) for data in found] == [
        ("order_exists_but_ruled_out", 17),
        ("two_orders_for_one_submission", 18),
    ]
    assert found[0]["reference"] == shown(ledger, id).reference


@pytest.mark.rule("EVT-8")
def test_an_order_that_is_anothers_is_an_event(ledger: Ledger, deliveries: EventDeliveries) -> None:
    begin(ledger, first := claimed(claim(ledger)))
    place(ledger, first, provider_order_id="p-1", proven=False)
    ledger.database.run(lambda cursor, _: cursor.execute("UPDATE submissions SET proven = 0"))
    begin(ledger, second := claimed(claim(ledger, idempotency_key="key-2")))
    place(ledger, second, provider_order_id="p-1")
    assert [(kind, data["what"]) for kind, data in reported(deliveries)] == [(OPERATOR_KIND, "order_disputed")]
    assert shown(ledger, first).state == "unknown"


@pytest.mark.rule("EVT-3")
def test_a_change_that_fails_leaves_no_event(ledger: Ledger, deliveries: EventDeliveries) -> None:
    def work(cursor: Any, _again: bool) -> None:
        ledger.outbox.record(cursor, Event("menu.changed", "deli", LOCATION, LOCATION, {}))
        raise RuntimeError

    with pytest.raises(RuntimeError):
        ledger.database.run(work)
    assert deliveries.find() == ()


@pytest.mark.rule("EVT-3")
def test_without_a_receiver_nothing_is_written(ledger: Ledger) -> None:
    place(ledger, in_doubt(ledger))
    ledger.outbox.add(Event("menu.changed", "deli", LOCATION, LOCATION, {}))
    assert EventDeliveries(ledger).find() == ()


@pytest.mark.rule("EVT-4")
def test_the_next_of_a_subject_waits_for_the_one_before(
    deliveries: EventDeliveries, add: Callable[..., None], clock: Clock
) -> None:
    add("a", "a", "b")
    first, other = take(deliveries)
    assert (first.subject, other.subject) == ("a", "b")
    assert take(deliveries) == []
    deliveries.accept(other)
    assert deliveries.fail(first, "500", wait=MINUTE) == "waiting"
    add("a", "b")
    (other,) = take(deliveries)
    assert other.subject == "b"
    deliveries.accept(other)
    clock.advance(MINUTE)
    (again,) = take(deliveries)
    assert (again.id, again.attempts, again.problem) == (first.id, 2, "500")
    deliveries.accept(again)
    following = take(deliveries)
    deliveries.accept(following[0])
    following += take(deliveries)
    assert [json.loads(each.data)["number"] for each in following if each.subject == "a"] == [2, 4]


@pytest.mark.rule("EVT-4")
def test_what_a_dead_deliverer_claimed_is_due_again(
    deliveries: EventDeliveries, add: Callable[..., None], clock: Clock
) -> None:
    add("a")
    (first,) = take(deliveries)
    clock.advance(TERM)
    (second,) = take(deliveries)
    assert second.id == first.id
    # The first one was only slow.
    deliveries.accept(first)
    assert deliveries.fail(first, "late", wait=MINUTE) == "waiting"
    assert [each.state for each in deliveries.find()] == ["waiting"]
    deliveries.accept(second)
    assert [each.state for each in deliveries.find()] == ["accepted"]


@pytest.mark.rule("EVT-4")
def test_what_is_given_back_is_due_as_before(deliveries: EventDeliveries, add: Callable[..., None]) -> None:
    add("a", "b")
    first, second = take(deliveries)
    deliveries.give_back(first)
    assert [(each.id, each.attempts) for each in take(deliveries)] == [(first.id, 1)]
    deliveries.accept(first, second)
    assert deliveries.backlog() == ()


@pytest.mark.rule("EVT-5")
def test_after_a_day_an_event_is_parked_with_its_followers(
    deliveries: EventDeliveries, add: Callable[..., None], clock: Clock
) -> None:
    add("a")
    clock.advance(GIVEN_UP)
    add("a", "b")
    first = take(deliveries)[0]
    assert deliveries.fail(first, "500", wait=MINUTE) == "parked"
    assert [(each.subject, each.state) for each in reversed(deliveries.find())] == [
        ("a", "parked"), ("a", "parked"), ("b", "waiting"),
    ]  # fmt: skip
    # One that comes later does not overtake them.
    add("a")
    clock.advance(MINUTE)
    assert [each.subject for each in take(deliveries)] == ["b"]
    assert deliveries.replay(event=first.id) == 2
    again = take(deliveries)
    assert [each.id for each in again if each.subject == "a"] == [first.id]
    assert deliveries.fail(again[0], "500", wait=MINUTE) == "waiting", "its day starts again"


@pytest.mark.rule("EVT-4", "EVT-5")
def test_what_comes_behind_a_parked_event_is_parked_with_it(
    deliveries: EventDeliveries, add: Callable[..., None], clock: Clock
) -> None:
    add("a")
    assert deliveries.fail(take(deliveries)[0], "unreadable", wait=MINUTE, is_final=True) == "parked"
    add("a", "b")
    clock.advance(GIVEN_UP)
    assert {(each.state, each.count) for each in deliveries.backlog()} == {("parked", 2), ("waiting", 1)}
    assert [each.subject for each in take(deliveries)] == ["b"]
    deliveries.replay()
    assert {(each.state, each.count) for each in deliveries.backlog()} == {("waiting", 3)}
    numbers = []
    for _ in range(2):
        (event,) = take(deliveries)
        # Each has a day of its own from now on.
        assert deliveries.fail(event, "500", wait=MINUTE) == "waiting"
        clock.advance(MINUTE)
        (event,) = (each for each in take(deliveries) if each.subject == "a")
        deliveries.accept(event)
        numbers.append(json.loads(event.data)["number"])
    assert numbers == [1, 2]


@pytest.mark.rule("EVT-5")
def test_what_is_old_is_parked_when_a_receiver_is_down(
    deliveries: EventDeliveries, add: Callable[..., None], clock: Clock
) -> None:
    add("a", "b")
    clock.advance(GIVEN_UP)
    add("c")
    assert deliveries.park("another") == 0
    assert deliveries.park("channel") == 2 <= AT_ONCE
    backlog = {(each.state, each.count, each.age) for each in deliveries.backlog()}
    assert backlog == {("parked", 2, GIVEN_UP), ("waiting", 1, timedelta(0))}
    assert deliveries.replay() == 2
    assert [each.subject for each in take(deliveries)] == ["a", "b", "c"]


@pytest.mark.rule("UCP-15")
def test_only_what_is_parked_for_agents_is_deleted(
    ledger: Ledger, deliveries: EventDeliveries, add: Callable[..., None], clock: Clock
) -> None:
    names = ("agent.a", "agent.zeta", "agents", "channel", "operator.agent.a")
    ledger.outbox.route = lambda event: names
    add("parked")
    clock.advance(GIVEN_UP)
    for name in names:
        deliveries.fail(take(deliveries, name)[0], "500", wait=MINUTE)
    add("waiting")
    clock.advance(KEPT + MINUTE)
    assert deliveries.purge_parked("agent") == 2
    kept = [(each.receiver, each.subject) for each in deliveries.find()]
    assert sorted(kept) == sorted([*((name, "waiting") for name in names), *((name, "parked") for name in names[2:])])


@pytest.mark.rule("EVT-5")
def test_accepted_events_are_kept_for_a_replay(
    deliveries: EventDeliveries, add: Callable[..., None], clock: Clock
) -> None:
    add("a", "b")
    for each in take(deliveries):
        deliveries.accept(each)
    assert deliveries.receivers() == ()
    assert deliveries.replay(since=clock() - MINUTE) == 2
    assert deliveries.receivers() == ("channel",)
    for each in take(deliveries):
        deliveries.accept(each)
    assert deliveries.replay(since=clock() + MINUTE) == 0
    clock.advance(KEPT + MINUTE)
    assert deliveries.purge() == 2
    assert deliveries.find() == ()


@pytest.mark.rule("EVT-6")
def test_receivers_do_not_wait_for_one_another(
    ledger: Ledger, deliveries: EventDeliveries, add: Callable[..., None]
) -> None:
    ledger.outbox.route = lambda event: ("channel", "operator.deli")
    add("a", "a")
    assert deliveries.receivers() == ("channel", "operator.deli")
    (first,) = take(deliveries)
    (same,) = take(deliveries, "operator.deli")
    assert first.id == same.id
    deliveries.accept(same)
    assert [each.id == first.id for each in take(deliveries, "operator.deli")] == [False]
    assert take(deliveries) == []


@pytest.mark.rule("MENU-9", "EVT-1")
def test_a_seen_menu_and_its_events_are_recorded_together_or_not(ledger: Ledger, deliveries: EventDeliveries) -> None:
    watches, at_once = MenuWatches(ledger), timedelta()
    seen = SeenMenu(None, "menu-1", "stock-1", ("a:b", "c"), True)
    event = Event("menu.changed", "deli", LOCATION, LOCATION, {"version": "1"})
    look = watches.claim("deli", LOCATION, at_once)
    assert look is not None and look.before is None
    assert watches.claim("deli", LOCATION, MINUTE) is None
    later = watches.claim("deli", LOCATION, at_once)
    # The older look is worth nothing any more, and neither are its events.
    assert later is not None and not watches.record(look, seen, [event]) and reported(deliveries) == []
    assert watches.record(later, seen, [event]) and [kind for kind, _ in reported(deliveries)] == ["menu.changed"]
    again = watches.claim("deli", LOCATION, at_once)
    assert again is not None and again.before == seen


@pytest.mark.rule("EVT-1")
def test_a_follower_gets_each_change_of_its_order(ledger: Ledger) -> None:
    begin(ledger, id := claimed(claim(ledger)))
    place(ledger, id)
    begin(ledger, other := claimed(claim(ledger, idempotency_key="key-2")))
    place(ledger, other)
    ledger.outbox.has_followers = True
    placed = Event("order.placed", "deli", LOCATION, id, {"order_id": "A-17"})
    for receiver in ("agent.lunch", "agent.dinner"):
        ledger.database.run(lambda cursor, _, to=receiver: ledger.outbox.follow(cursor, placed, to, f"sealed for {to}"))
    statuses, at = Statuses(ledger), datetime(2026, 3, 1, 12, 30, tzinfo=timezone.utc)
    for submission in (id, other):
        order = statuses.of(submission)
        assert order is not None and statuses.record(order, "ready", "READY", at)
    found = reported(deliveries := EventDeliveries(ledger))
    assert [kind for kind, _ in found] == ["order.placed", "order.status_changed"]
    assert found[1][1]["status"] == "ready"
    assert {each.receiver for each in deliveries.find()} == {"agent.lunch"}
    assert ledger.outbox.followed(id) == "sealed for agent.lunch"
    assert ledger.outbox.followed(other) is None
    # A follower that comes later gets what is known.
    ledger.database.run(lambda cursor, _: ledger.outbox.follow(cursor, replace(placed, subject=other), "late", "-"))
    known = {"status": "ready", "provider_status": "READY", "changed_at": "2026-03-01T12:30:00+00:00"}
    assert reported(deliveries)[-1] == ("order.placed", {**found[0][1], **known})


@pytest.mark.rule("EVT-1")
def test_no_follower_of_a_change_that_was_not_made(ledger: Ledger) -> None:
    begin(ledger, id := claimed(claim(ledger)))
    place(ledger, id)

    def fail(cursor: Any, _again: bool) -> None:
        ledger.outbox.follow(cursor, Event("order.placed", "deli", LOCATION, id, {}), "agent.lunch", "sealed")
        raise KeyError

    with pytest.raises(KeyError):
        ledger.database.run(fail)
    assert ledger.outbox.followed(id) is None
    assert EventDeliveries(ledger).find() == ()
