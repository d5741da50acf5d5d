"""When the engine says an order is ready: free scheduling, slots, and none at all."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from levelup_ov.standins.sandbox.places import PLACES
from levelup_ov.standins.sandbox.problems import EngineError
from levelup_ov.standins.sandbox.slots import LISTED, LOOK_AHEAD, offer, slots_from

DAY, NIGHT = PLACES["day"], PLACES["night"]


def at(text: str) -> datetime:
    return datetime.fromisoformat(text)


def ready(kitchen, place, wanted=None):
    return kitchen.cart(place, wanted_at=wanted)["quote"]["ready"]


def slots(kitchen, place, wanted=None):
    return [slot["at"] for slot in ready(kitchen, place, wanted)["slots"]]


@pytest.mark.rule("TIME-3", "TIME-8")
def test_congress_is_ready_in_ten_minutes_rounded_up_to_a_minute(kitchen):
    assert ready(kitchen, "congress") == {"at": "2026-11-20T12:10:00-05:00", "words": None, "slots": None}
    kitchen.pass_time(seconds=1)
    assert ready(kitchen, "congress")["at"] == "2026-11-20T12:11:00-05:00"


@pytest.mark.rule("TIME-6")
@pytest.mark.parametrize(
    ("wanted", "promised"),
    [
        ("2026-11-20T12:00:00-05:00", "2026-11-20T12:00:00-05:00"),
        ("2026-11-20T17:05:00Z", "2026-11-20T12:05:00-05:00"),
        ("2026-11-22T03:33:10-05:00", "2026-11-22T03:34:00-05:00"),
        ("2037-12-31T23:59:00-05:00", "2037-12-31T23:59:00-05:00"),
    ],
)
def test_free_scheduling_takes_any_time_from_this_minute(kitchen, wanted, promised):
    kitchen.pass_time(seconds=30)
    assert ready(kitchen, "congress", wanted)["at"] == promised


@pytest.mark.rule("TIME-10")
@pytest.mark.parametrize("place", ["congress", "day", "tokyo"])
def test_a_time_that_has_passed_or_is_too_far_away_is_refused(kitchen, place):
    assert kitchen.refused(place, wanted_at="2026-11-20T11:59:00-05:00") == "time_past"
    assert kitchen.refused(place, wanted_at="0001-01-01T00:00:00+14:00") == "time_past"
    assert kitchen.refused(place, wanted_at="2038-01-01T00:00:00-05:00") == "time_too_far"
    assert kitchen.refused(place, wanted_at="9999-12-31T23:59:00-14:00") == "time_too_far"


@pytest.mark.rule("TIME-7", "TIME-10")
def test_notips_names_no_time_and_takes_none(kitchen):
    assert ready(kitchen, "notips") == {"at": None, "words": "In 10 minutes", "slots": None}
    assert kitchen.refused("notips", wanted_at="2026-11-21T12:00:00-05:00") == "no_scheduling"
    assert kitchen.ordered("notips")["ready"] == {"at": None, "words": "In 10 minutes"}


@pytest.mark.rule("TIME-1")
def test_tokyo_answers_in_utc(kitchen):
    assert ready(kitchen, "tokyo")["at"] == "2026-11-20T17:10:00Z"
    assert ready(kitchen, "tokyo", "2026-11-22T09:00:00+09:00")["at"] == "2026-11-22T00:00:00Z"


@pytest.mark.rule("TIME-3", "TIME-5")
def test_an_open_place_takes_the_soonest_slot_after_its_lead(kitchen):
    assert ready(kitchen, "day")["at"] == "2026-11-20T12:30:00-05:00"
    kitchen.pass_time(minutes=-5)
    assert ready(kitchen, "day")["at"] == "2026-11-20T12:15:00-05:00"


@pytest.mark.rule("TIME-4", "TIME-8")
def test_a_closed_place_schedules_for_its_next_opening(kitchen):
    found = slots(kitchen, "night")
    assert found[0] == "2026-11-20T18:00:00-05:00"
    assert found[-1] == "2026-11-21T18:00:00-05:00"
    assert len(found) == 4 * 12 + 1
    kitchen.pass_time(hours=6)
    assert slots(kitchen, "day")[0] == "2026-11-21T06:00:00-05:00"


@pytest.mark.rule("TIME-5")
@pytest.mark.parametrize(
    ("place", "wanted", "promised"),
    [
        ("day", "2026-11-20T15:00:00-05:00", "2026-11-20T15:00:00-05:00"),
        ("day", "2026-11-20T15:01:00-05:00", "2026-11-20T15:15:00-05:00"),
        ("day", "2026-11-20T12:00:00-05:00", "2026-11-20T12:30:00-05:00"),
        ("day", "2026-11-20T17:46:00-05:00", "2026-11-21T06:00:00-05:00"),
        ("night", "2026-11-21T05:45:00-05:00", "2026-11-21T05:45:00-05:00"),
        ("night", "2026-11-21T05:46:00-05:00", "2026-11-21T18:00:00-05:00"),
        ("night", "2036-02-29T23:50:00-05:00", "2036-03-01T00:00:00-05:00"),
    ],
)
def test_a_wanted_time_gets_the_soonest_slot_at_or_after_it(kitchen, place, wanted, promised):
    assert ready(kitchen, place, wanted)["at"] == promised


@pytest.mark.rule("TIME-5", "TIME-8")
def test_only_orders_fill_a_slot_and_a_full_one_is_passed_over(kitchen):
    for _ in range(DAY.capacity + 2):
        assert ready(kitchen, "day")["at"] == "2026-11-20T12:30:00-05:00"
    for _ in range(DAY.capacity):
        assert kitchen.ordered("day")["ready"]["at"] == "2026-11-20T12:30:00-05:00"
    assert kitchen.ordered("day", wanted_at="2026-11-20T12:30:00-05:00")["ready"]["at"] == "2026-11-20T12:45:00-05:00"
    assert "2026-11-20T12:30:00-05:00" not in slots(kitchen, "day")
    assert ready(kitchen, "congress", "2026-11-20T12:30:00-05:00")["at"] == "2026-11-20T12:30:00-05:00"


def test_a_slot_full_after_the_quote_gives_way_to_the_next(kitchen):
    cart = kitchen.cart("day")["cart"]["id"]
    for _ in range(DAY.capacity):
        kitchen.ordered("day")
    assert kitchen.order(cart)["ready"]["at"] == "2026-11-20T12:45:00-05:00"


def test_a_place_that_is_booked_up_for_days_refuses():
    now = at("2026-11-20T12:00:00-05:00")
    full = set(slots_from(DAY, now, now + timedelta(minutes=DAY.lead) + LOOK_AHEAD))
    assert offer(DAY, None, now, full - {max(full)}).at == max(full)
    with pytest.raises(EngineError, match="booked up"):
        offer(DAY, None, now, full)


@pytest.mark.rule("TIME-9")
def test_the_hour_that_is_left_out_has_no_slots():
    found = list(slots_from(NIGHT, at("2026-03-08T00:00:00-05:00"), at("2026-03-08T12:00:00-04:00")))
    local = [slot.astimezone(NIGHT.zone).strftime("%H:%M%z") for slot in found]
    assert local[:9] == [
        "00:00-0500", "00:15-0500", "00:30-0500", "00:45-0500",
        "01:00-0500", "01:15-0500", "01:30-0500", "01:45-0500", "03:00-0400",
    ]  # fmt: skip
    assert local[-1] == "05:45-0400"


@pytest.mark.rule("TIME-9")
def test_the_hour_that_comes_twice_has_twice_the_slots(kitchen):
    found = list(slots_from(NIGHT, at("2026-11-01T01:00:00-04:00"), at("2026-11-01T02:00:00-05:00")))
    assert [slot.astimezone(NIGHT.zone).strftime("%H:%M%z") for slot in found] == [
        "01:00-0400", "01:15-0400", "01:30-0400", "01:45-0400",
        "01:00-0500", "01:15-0500", "01:30-0500", "01:45-0500", "02:00-0500",
    ]  # fmt: skip
    kitchen.now = at("2026-11-01T00:00:00-04:00")
    assert ready(kitchen, "night", "2026-11-01T01:50:00-04:00")["at"] == "2026-11-01T01:00:00-05:00"


@pytest.mark.rule("TIME-9")
@pytest.mark.parametrize("day", ["2026-03-08", "2026-11-01"])
def test_the_day_kitchen_does_not_notice_a_change_of_clocks(day):
    found = [
        slot.astimezone(DAY.zone).strftime("%H:%M")
        for slot in slots_from(DAY, at(f"{day}T00:00:00-05:00"), at(f"{day}T23:00:00-05:00"))
    ]
    assert (found[0], found[-1], len(found)) == ("06:00", "17:45", 48)


INSTANTS = st.datetimes(datetime(2026, 1, 1), datetime(2037, 12, 20)).map(lambda t: t.replace(tzinfo=timezone.utc))


@pytest.mark.rule("TIME-4", "TIME-5", "TIME-8")
@given(now=INSTANTS, ahead=st.none() | st.integers(0, 10 * 24 * 60), place=st.sampled_from([DAY, NIGHT]))
def test_whatever_the_moment_an_offer_keeps_its_promises(now, ahead, place):
    wanted = None if ahead is None else min(now + timedelta(minutes=ahead), at("2037-12-31T00:00:00Z"))
    found = offer(place, wanted, now)
    assert found.at is not None and found.slots is not None
    assert found.at >= now + timedelta(minutes=place.lead)
    assert found.at >= (wanted or now)
    assert found.slots[0] == found.at
    assert list(found.slots) == sorted(set(found.slots))
    assert found.slots[-1] <= found.at + LISTED
    for slot in found.slots:
        local = slot.astimezone(place.zone)
        assert local.minute % 15 == 0 and local.second == 0
        assert (6 <= local.hour < 18) == (place is DAY)


@given(now=INSTANTS)
def test_one_of_day_and_night_is_always_closed(now):
    hour = timedelta(hours=1)
    assert bool(list(slots_from(DAY, now, now + hour))) or bool(list(slots_from(NIGHT, now, now + hour)))
    assert not set(slots_from(DAY, now, now + 24 * hour)) & set(slots_from(NIGHT, now, now + 24 * hour))
