"""The last status of placed orders, and who asks about which one (STAT-5)."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta, timezone

import pytest

from levelup_ov.domain.status import FINAL, WATCHED
from levelup_ov.ledger import engine
from levelup_ov.ledger.boot_clock import Observer
from levelup_ov.ledger.ledger import Ledger, open_ledger
from levelup_ov.ledger.records import RETENTION
from levelup_ov.ledger.statuses import PlacedOrder, Statuses
from tests.ledger.helpers import LOCATION, Clock, begin, claim, claimed, place
from tests.ledger.test_ledger_database import rows

TERM = timedelta(seconds=20)
MINUTE = timedelta(minutes=1)


@pytest.fixture
def statuses(ledger: Ledger) -> Statuses:
    return Statuses(ledger)


@pytest.fixture
def make_order(ledger: Ledger, statuses: Statuses) -> Callable[..., PlacedOrder]:
    """Place an order under a key of its own; all have the number A-17."""

    def make(key: str = "key-1") -> PlacedOrder:
        begin(ledger, id := claimed(claim(ledger, key.encode(), idempotency_key=key)))
        place(ledger, id)
        return again(statuses, id)

    return make


def again(statuses: Statuses, submission: str) -> PlacedOrder:
    found = statuses.of(submission)
    assert found is not None
    return found


def open_ids(statuses: Statuses, **how: timedelta) -> list[str]:
    return [order.submission for order in statuses.open("deli", limit=100, **how)]


@pytest.mark.rule("STAT-1")
def test_the_newest_order_with_a_number_is_found(
    statuses: Statuses, make_order: Callable[..., PlacedOrder], clock: Clock
) -> None:
    make_order("monday")
    clock.advance(timedelta(days=1))
    tuesday = make_order("tuesday")
    assert statuses.numbered(LOCATION, "A-17") == tuesday
    assert statuses.numbered("deli.43", "A-17") is None
    assert statuses.numbered(LOCATION, "A-18") is None


@pytest.mark.rule("STAT-1", "STAT-6")
def test_a_number_is_shared_for_a_day(statuses: Statuses, make_order: Callable[..., PlacedOrder], clock: Clock) -> None:
    monday = make_order("monday")
    clock.advance(WATCHED - MINUTE)
    assert statuses.namesakes(monday) == frozenset()
    tuesday = make_order("tuesday")
    assert statuses.namesakes(tuesday) == statuses.namesakes(monday) == {None}
    statuses.record(monday, "picked_up", "gone", None)
    assert statuses.namesakes(tuesday) == {"picked_up"}
    clock.advance(2 * MINUTE)
    assert (statuses.namesakes(tuesday), statuses.namesakes(monday)) == (frozenset(), {None})
    # Nor does a clock that is set back end a day.
    clock.advance(-2 * WATCHED)
    assert statuses.namesakes(tuesday) == {"picked_up"}


@pytest.mark.rule("STAT-1", "STAT-5", "STAT-6")
def test_a_number_is_shared_by_what_is_open_longer(
    ledger: Ledger, statuses: Statuses, make_order: Callable[..., PlacedOrder], clock: Clock
) -> None:
    begin(ledger, id := claimed(claim(ledger)))
    place(ledger, id, ready=clock.now + timedelta(days=3))
    canceled = make_order("canceled")
    clock.advance(WATCHED + MINUTE)
    statuses.begin_cancellation(canceled)
    statuses.record(again(statuses, id), "accepted", "taken", None)
    assert statuses.namesakes(make_order("new")) == {"accepted", None}
    clock.advance(WATCHED + MINUTE)
    assert statuses.namesakes(make_order("newer")) == {"accepted"}


@pytest.mark.rule("STAT-1")
@pytest.mark.parametrize(
    ("order_id", "asked", "is_found"),
    [(17, "17", True), ("17", "17", True), ("0042", "0042", True), (42, "0042", False), ("日本", "日本", True),
     ('"17"', '"17"', True), (17, '"17"', False)],
)  # fmt: skip
def test_a_number_is_found_as_it_was_reported(
    ledger: Ledger, statuses: Statuses, order_id: str | int, asked: str, is_found: bool
) -> None:
    begin(ledger, id := claimed(claim(ledger)))
    ledger.transitions.place(id, answer="{}", order_id=order_id, provider_order_id="p-1", proven=True)
    found = statuses.numbered(LOCATION, asked)
    assert (found is not None) == is_found
    assert found is None or found.order_id == order_id


@pytest.mark.rule("STAT-5")
def test_an_order_is_open_for_a_day_or_until_its_end(
    statuses: Statuses, make_order: Callable[..., PlacedOrder], clock: Clock
) -> None:
    order = make_order()
    assert open_ids(statuses) == [order.submission]
    assert statuses.record(order, "ready", "waiting", None)
    assert open_ids(statuses) == [order.submission]
    for stage in sorted(FINAL):
        assert statuses.record(again(statuses, order.submission), stage, "the end", None)
        assert open_ids(statuses) == []
    assert statuses.record(again(statuses, order.submission), None, "nobody knows", None)
    assert open_ids(statuses) == [order.submission]
    clock.advance(WATCHED + MINUTE)
    assert open_ids(statuses) == []


@pytest.mark.rule("STAT-5")
@pytest.mark.parametrize(
    ("ahead", "open_for"),
    [(timedelta(minutes=20), WATCHED), (timedelta(hours=12), WATCHED), (timedelta(hours=13), timedelta(hours=37)),
     (timedelta(days=5), timedelta(days=6)), (timedelta(days=60), timedelta(days=14))],
    ids=["soon", "today", "tomorrow", "in days", "in months"],
)  # fmt: skip
def test_an_order_for_later_is_open_a_day_beyond_its_time(
    ledger: Ledger, statuses: Statuses, clock: Clock, ahead: timedelta, open_for: timedelta
) -> None:
    begin(ledger, id := claimed(claim(ledger)))
    place(ledger, id, ready=clock.now.astimezone(timezone(timedelta(hours=-5))) + ahead)
    clock.advance(open_for - MINUTE)
    assert open_ids(statuses) == [id]
    clock.advance(2 * MINUTE)
    assert open_ids(statuses) == []
    # What ends it ends it here, too.
    clock.advance(-open_for)
    statuses.record(again(statuses, id), "picked_up", "gone", None)
    assert open_ids(statuses) == []


@pytest.mark.rule("STAT-5")
def test_orders_for_later_and_for_now_take_turns(ledger: Ledger, statuses: Statuses, clock: Clock) -> None:
    ids = []
    for key, ahead in (("1", 0), ("2", 3), ("3", 0), ("4", 3)):
        begin(ledger, id := claimed(claim(ledger, key.encode(), idempotency_key=key)))
        place(ledger, id, ready=clock.now + timedelta(days=ahead))
        clock.advance(MINUTE)
        ids.append(id)
    assert open_ids(statuses) == ids
    statuses.record(again(statuses, ids[1]), "placed", "taken", None)
    assert open_ids(statuses) == [ids[0], ids[2], ids[3], ids[1]]
    assert [order.submission for order in statuses.open("deli", limit=2)] == [ids[0], ids[2]]


@pytest.mark.rule("STAT-5")
def test_those_not_asked_about_for_longest_come_first(
    statuses: Statuses, make_order: Callable[..., PlacedOrder], clock: Clock
) -> None:
    first, second, third = (make_order(key).submission for key in ("1", "2", "3"))
    for submission in (second, first):
        statuses.record(again(statuses, submission), "placed", "taken", None)
        clock.advance(MINUTE)
    assert open_ids(statuses) == [third, second, first]
    assert open_ids(statuses, every=1.5 * MINUTE) == [third, second]
    assert [order.submission for order in statuses.open("deli", limit=2)] == [third, second]
    assert statuses.open("another", limit=100) == ()


@pytest.mark.rule("STAT-5")
def test_one_at_a_time_asks_about_an_order(statuses: Statuses, make_order: Callable[..., PlacedOrder]) -> None:
    order = make_order()
    mine = statuses.claim(order, TERM)
    assert mine is not None
    assert statuses.claim(order, TERM) is None
    assert statuses.claim(again(statuses, order.submission), TERM) is None
    assert statuses.record(mine, "placed", "taken", None)
    free = again(statuses, order.submission)
    assert (free.stage, free.word, free.lease) == ("placed", "taken", 0)
    assert statuses.claim(order, TERM) is None  # it was asked about since it was listed
    assert statuses.claim(free, TERM) is not None


@pytest.mark.rule("STAT-5")
def test_what_was_asked_earlier_replaces_nothing_newer(
    statuses: Statuses, make_order: Callable[..., PlacedOrder]
) -> None:
    order = make_order()
    late = statuses.claim(order, TERM)
    assert late is not None
    assert statuses.record(again(statuses, order.submission), "ready", "waiting", None)
    assert not statuses.record(late, "preparing", "cooking", None)
    statuses.release(late)
    found = again(statuses, order.submission)
    assert (found.stage, found.lease) == ("ready", 0)


@pytest.mark.rule("STAT-5", "STAT-7")
def test_an_order_that_is_being_canceled_is_open_for_a_day(
    statuses: Statuses, make_order: Callable[..., PlacedOrder], clock: Clock
) -> None:
    order, other = make_order(), make_order("key-2")
    clock.advance(2 * WATCHED)
    assert open_ids(statuses) == []
    begun = statuses.begin_cancellation(order)
    assert open_ids(statuses) == [order.submission]
    # What was asked before says nothing about it, and leaves it open.
    assert not statuses.record(order, "picked_up", "gone", None)
    assert statuses.record(begun, "preparing", "cooking", None)
    assert open_ids(statuses) == [order.submission]
    clock.advance(WATCHED + MINUTE)
    assert open_ids(statuses) == []
    assert statuses.record(statuses.begin_cancellation(other), "cancelled", "binned", None)
    assert open_ids(statuses) == []


@pytest.mark.rule("STAT-7")
def test_a_cancellation_begins_from_the_last_status(statuses: Statuses, make_order: Callable[..., PlacedOrder]) -> None:
    order = make_order()
    claim = statuses.claim(order, TERM)
    assert claim is not None and statuses.record(claim, "accepted", "seen", None)
    begun = statuses.begin_cancellation(order)
    assert (begun.stage, begun.word) == ("accepted", "seen")
    assert statuses.claim(again(statuses, order.submission), TERM) and not statuses.claim(begun, TERM)


@pytest.mark.rule("STAT-5", "SUB-13")
def test_a_claim_of_another_host_ends_when_seen_for_long(url: str, clock: Clock) -> None:
    """Whatever the time of day: each host goes by its own clock, and by what it has itself seen."""
    ticks = {"one": 0, "two": 5_000_000}
    one, two = (open_ledger(url, clock=clock, observer=Observer(boot, lambda b=boot: ticks[b])) for boot in ticks)
    begin(one, id := claimed(claim(one)))
    place(one, id)
    killed = Statuses(one).claim(again(Statuses(one), id), TERM)
    assert killed is not None
    clock.advance(timedelta(hours=3))
    other = Statuses(two)
    assert other.claim(again(other, id), TERM) is None  # seen for the first time
    ticks["two"] += 19_000
    assert other.claim(again(other, id), TERM) is None
    ticks["two"] += 2_000
    taken = other.claim(again(other, id), TERM)
    assert taken is not None
    assert not Statuses(one).record(killed, "ready", "waiting", None)
    assert other.record(taken, "preparing", "cooking", None)
    for ledger in (one, two):
        ledger.close()


@pytest.mark.rule("STAT-5", "SUB-13")
def test_a_claim_of_this_host_ends_with_its_lease(url: str) -> None:
    tick = [1000]
    ledger = open_ledger(url, observer=Observer("here", lambda: tick[0]))
    begin(ledger, id := claimed(claim(ledger)))
    place(ledger, id)
    statuses = Statuses(ledger)
    assert statuses.claim(again(statuses, id), TERM)
    tick[0] += 20_000
    assert statuses.claim(again(statuses, id), TERM)
    ledger.close()


def test_a_status_is_purged_with_its_submission(
    ledger: Ledger, statuses: Statuses, make_order: Callable[..., PlacedOrder], clock: Clock, url: str
) -> None:
    statuses.record(make_order(), "ready", "waiting", None)
    clock.advance(2 * RETENTION)
    assert ledger.purge() == 1
    assert rows(url, "SELECT * FROM order_statuses") == []


@pytest.mark.rule("SUB-2")
def test_the_release_before_works_beside_the_statuses(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    newest = engine.REVISIONS[-1]
    monkeypatch.setattr(engine, "REVISIONS", engine.REVISIONS[:-1])
    ledger = open_ledger(url)
    ledger.ready()
    ledger.close()
    assert engine.upgrade(url) == newest
