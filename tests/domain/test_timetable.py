"""Slots that follow from hours."""

from __future__ import annotations

from datetime import date, datetime, timedelta, timezone

import pytest
import pytz
from hypothesis import given
from hypothesis import strategies as st

from levelup_ov.domain.location import WEEKDAYS
from levelup_ov.domain.timetable import Timetable

NEW_YORK = pytz.timezone("America/New_York")
LEAD = timedelta(minutes=20)
DAILY = Timetable(NEW_YORK, {day: [(11 * 60, 12 * 60)] for day in WEEKDAYS})


def local(text: str) -> datetime:
    return NEW_YORK.localize(datetime.fromisoformat(text))


def slots(table: Timetable, now: str, days: int = 0, lead: timedelta = LEAD) -> list[str]:
    found = table.slots(local(now).astimezone(timezone.utc), lead=lead, days=days)
    return [f"{slot.astimezone(NEW_YORK):%m-%dT%H:%M}" for slot in found]


@pytest.mark.rule("TIME-4", "TIME-5")
def test_slots_are_quarters_from_preparation_to_closing() -> None:
    assert slots(DAILY, "2026-11-20T09:00") == ["11-20T11:30", "11-20T11:45", "11-20T12:00"]
    assert slots(DAILY, "2026-11-20T11:20") == ["11-20T11:45", "11-20T12:00"]
    assert slots(DAILY, "2026-11-20T11:25:01") == ["11-20T12:00"]
    assert slots(DAILY, "2026-11-20T11:45") == []
    assert slots(DAILY, "2026-11-20T11:45", days=1)[0] == "11-21T11:30"
    assert slots(DAILY, "2026-11-20T09:00", lead=timedelta())[0] == "11-20T11:00"


@pytest.mark.rule("TIME-4")
def test_dates_replace_weekdays_and_hours_run_over_midnight() -> None:
    table = Timetable(NEW_YORK, {"friday": [(23 * 60, 30), (600, 615)]}, {date(2026, 11, 21): []})

    assert slots(table, "2026-11-20T00:00", lead=timedelta()) == [
        "11-20T10:00", "11-20T10:15", "11-20T23:00", "11-20T23:15", "11-20T23:30", "11-20T23:45", "11-21T00:00",
        "11-21T00:15", "11-21T00:30",
    ]  # fmt: skip
    assert slots(table, "2026-11-21T00:10", days=3, lead=timedelta()) == ["11-21T00:15", "11-21T00:30"]
    assert table.is_open(local("2026-11-21T00:29")) and not table.is_open(local("2026-11-21T00:30"))
    assert table.is_open(local("2026-11-20T10:00")) and not table.is_open(local("2026-11-20T10:15"))


@pytest.mark.rule("TIME-9")
@pytest.mark.parametrize("day, hours", [("2026-03-08", 23), ("2026-11-01", 25), ("2026-11-20", 24)])
def test_a_day_is_as_long_as_the_clock_makes_it(day: str, hours: int) -> None:
    table = Timetable(NEW_YORK, {day: [(0, 24 * 60)] for day in WEEKDAYS})
    now = local(f"{day}T00:00")

    found = [slot for slot in table.slots(now, lead=timedelta(), days=0) if slot - now <= timedelta(hours=hours)]

    assert len(found) == hours * 4
    assert f"{found[-1].astimezone(NEW_YORK):%H:%M}" == "00:00"


@pytest.mark.rule("TIME-5", "TIME-8")
@given(
    st.lists(st.tuples(st.integers(0, 1440), st.integers(0, 1440)), max_size=3),
    st.datetimes(datetime(2026, 1, 1), datetime(2027, 1, 1), timezones=st.just(timezone.utc)),
    st.integers(0, 300),
)
def test_slots_come_in_order_once_each_and_within_the_hours(
    hours: list[tuple[int, int]], now: datetime, minutes: int
) -> None:
    table, lead = Timetable(NEW_YORK, dict.fromkeys(WEEKDAYS, hours)), timedelta(minutes=minutes)

    found = list(table.slots(now, lead=lead, days=2))

    assert found == sorted(set(found))
    assert all(slot >= now + lead and slot.minute % 15 == slot.second == 0 for slot in found)
    assert all(table.is_open(slot) or table.is_open(slot - timedelta(seconds=1)) for slot in found)


@pytest.mark.rule("TIME-4", "TIME-5")
@pytest.mark.parametrize(
    "hours",
    [
        [(0, 1440)], [(0, 0)], [(600, 600)], [(0, 720), (720, 0)], [(0, 800), (700, 1440)], [(1080, 360), (360, 1080)],
        [(1440, 1439), (1439, 1440)], [(0, 1440), (300, 300)], [(0, 1440), (1440, 0)],
    ],
)  # fmt: skip
def test_hours_that_meet_are_one_opening_however_written(hours: list[tuple[int, int]]) -> None:
    table = Timetable(NEW_YORK, dict.fromkeys(WEEKDAYS, hours))

    found = slots(table, "2026-11-20T12:00", days=2, lead=timedelta(minutes=90))

    assert found[:2] == ["11-20T13:30", "11-20T13:45"]
    quarters = [local(f"2026-{each}") for each in found]
    assert {after - before for before, after in zip(quarters, quarters[1:])} == {timedelta(minutes=15)}
    assert table.is_open(local("2026-11-20T23:59")) and table.is_open(local("2026-11-21T00:00"))


@pytest.mark.rule("TIME-4")
@pytest.mark.parametrize("hours", [[], [(1440, 0)]])
def test_a_span_of_no_length_is_none(hours: list[tuple[int, int]]) -> None:
    table = Timetable(NEW_YORK, dict.fromkeys(WEEKDAYS, hours))

    assert slots(table, "2026-11-20T12:00", days=3) == []
    assert not table.is_open(local("2026-11-20T00:00"))


@pytest.mark.rule("TIME-4")
def test_margins_are_taken_off_an_opening_once() -> None:
    margins = {"after_opening": timedelta(minutes=30), "before_closing": timedelta(minutes=15)}
    table = Timetable(NEW_YORK, {day: [(660, 720), (720, 840)] for day in WEEKDAYS}, **margins)
    always = Timetable(NEW_YORK, {day: [(0, 0)] for day in WEEKDAYS}, **margins)

    found = slots(table, "2026-11-20T09:00", lead=timedelta())
    assert (found[0], found[-1], len(found)) == ("11-20T11:30", "11-20T13:45", 10)
    assert not table.is_open(local("2026-11-20T11:29")) and table.is_open(local("2026-11-20T12:00"))
    assert not table.is_open(local("2026-11-20T13:45"))
    assert always.is_open(local("2026-11-20T23:55")) and always.is_open(local("2026-11-21T00:05"))


@pytest.mark.rule("TIME-4", "TIME-9")
def test_hours_within_the_hour_that_is_jumped_over_are_none() -> None:
    table = Timetable(NEW_YORK, {day: [(120, 180)] for day in WEEKDAYS})

    assert slots(table, "2026-03-08T00:00", lead=timedelta()) == []
    assert slots(table, "2026-03-07T00:00", lead=timedelta())[0] == "03-07T02:00"
