"""Local times, instants, slots: the odd hours and days of the world's clocks."""

from __future__ import annotations

from datetime import date, datetime, timedelta, timezone

import pytest
import pytz
from hypothesis import given
from hypothesis import strategies as st
from pytz.tzinfo import BaseTzInfo

from levelup_ov.domain.failure import Failure
from levelup_ov.domain.ready_time import (
    LAST_YEAR,
    SLOT_WINDOW,
    Ready,
    Shown,
    available_at,
    check_not_past,
    in_minutes,
    localize,
    parse,
    ready_window,
    soonest_slot,
    to_wire,
)

UTC = timezone.utc
ZONES = st.sampled_from(sorted(pytz.all_timezones)).map(pytz.timezone)
INSTANTS = st.datetimes(datetime(1970, 1, 2), datetime(LAST_YEAR, 12, 30)).map(
    lambda value: value.replace(second=0, microsecond=0, tzinfo=UTC)
)
APIA = pytz.timezone("Pacific/Apia")
NEW_YORK = pytz.timezone("America/New_York")


def clock_changes(zone: BaseTzInfo) -> list[datetime]:
    return [moment.replace(tzinfo=UTC) for moment in getattr(zone, "_utc_transition_times", []) if moment.year >= 1970]


@st.composite
def odd_instants(draw: st.DrawFn) -> tuple[datetime, BaseTzInfo]:
    """An instant within a day and a half of a clock change, to the minute."""
    zone = draw(ZONES.filter(clock_changes))
    change = draw(st.sampled_from(clock_changes(zone)))
    return change.replace(second=0) + timedelta(minutes=draw(st.integers(-2_160, 2_160))), zone


def readings(local: datetime, zone: BaseTzInfo) -> list[datetime]:
    """Every instant at which a clock in ``zone`` shows ``local``, by trying all offsets in use around it."""
    nearby = [local.replace(tzinfo=UTC) + timedelta(hours=hours) for hours in range(-30, 31)]
    offsets = {moment.astimezone(zone).utcoffset() for moment in nearby}
    tried = [local.replace(tzinfo=UTC) - offset for offset in offsets if offset is not None]
    return sorted(instant for instant in tried if instant.astimezone(zone).replace(tzinfo=None) == local)


@pytest.mark.rule("TIME-1", "TIME-9")
@given(st.tuples(INSTANTS, ZONES) | odd_instants())
def test_an_instant_never_comes_back_as_another(case: tuple[datetime, BaseTzInfo]) -> None:
    instant, zone = case
    written = to_wire(instant, zone)
    assert written is not None
    assert localize(parse(written), zone) == instant
    first, *_ = readings(instant.astimezone(zone).replace(tzinfo=None), zone)
    assert written.endswith("Z") == (instant != first)


@pytest.mark.rule("TIME-9")
@given(st.tuples(INSTANTS, ZONES) | odd_instants())
def test_a_local_time_is_its_first_reading_or_next_instant(case: tuple[datetime, BaseTzInfo]) -> None:
    moment, zone = case
    local = moment.replace(tzinfo=None)
    found = localize(local, zone)
    if instants := readings(local, zone):
        assert found == instants[0]
    else:
        assert found.astimezone(zone).replace(tzinfo=None) > local
        just_before = (found - timedelta(seconds=1)).astimezone(zone).replace(tzinfo=None)
        assert just_before < local


EDGES = [
    # zone, a local time that is skipped, the first instant after it, a repeated one, its earlier instant
    ("America/New_York", "2026-03-08T02:30", "2026-03-08T07:00", "2026-11-01T01:30", "2026-11-01T05:30"),
    ("Europe/London", "2026-03-29T01:00", "2026-03-29T01:00", "2026-10-25T01:59", "2026-10-25T00:59"),
    ("Australia/Lord_Howe", "2026-10-04T02:15", "2026-10-03T15:30", "2026-04-05T01:45", "2026-04-04T14:45"),
]


@pytest.mark.rule("TIME-9")
@pytest.mark.parametrize("name, skipped, after, repeated, earlier", EDGES)
def test_both_edges_of_a_clock_change(name: str, skipped: str, after: str, repeated: str, earlier: str) -> None:
    zone = pytz.timezone(name)
    assert localize(parse(skipped), zone) == parse(f"{after}Z")
    assert localize(parse(repeated), zone) == parse(f"{earlier}Z")


@pytest.mark.rule("TIME-1", "TIME-9")
@pytest.mark.parametrize("name, skipped, after, repeated, earlier", EDGES)
def test_only_the_second_pass_of_a_repeated_hour_has_z(
    name: str, skipped: str, after: str, repeated: str, earlier: str
) -> None:
    zone = pytz.timezone(name)
    first = parse(f"{earlier}Z")
    second = first + timedelta(minutes=30 if name == "Australia/Lord_Howe" else 60)
    assert to_wire(first, zone) == repeated
    assert to_wire(second, zone) == f"{second:%Y-%m-%dT%H:%M}Z"


@pytest.mark.rule("TIME-9")
@pytest.mark.parametrize("skipped", ["2011-12-30T00:00", "2011-12-30T12:00", "2011-12-30T23:59"])
def test_a_skipped_day(skipped: str) -> None:
    assert localize(parse(skipped), APIA) == parse("2011-12-30T10:00Z")
    assert to_wire(localize(parse(skipped), APIA), APIA) == "2011-12-31T00:00"


@pytest.mark.rule("TIME-1")
def test_without_a_zone_an_instant_is_written_with_z() -> None:
    assert to_wire(parse("2026-06-03T12:30-04:00"), None) == "2026-06-03T16:30Z"
    assert to_wire(None, NEW_YORK) is None


@pytest.mark.rule("TIME-1")
@given(INSTANTS, st.integers(1, 59_999_999), ZONES)
def test_a_part_of_a_minute_is_rounded_up(instant: datetime, microseconds: int, zone: BaseTzInfo) -> None:
    later = instant + timedelta(microseconds=microseconds)
    assert localize(parse(to_wire(later, zone) or ""), zone) == instant + timedelta(minutes=1)


@pytest.mark.rule("TIME-2")
@pytest.mark.parametrize(
    "text, expected",
    [
        ("2026-06-03T12:30", datetime(2026, 6, 3, 12, 30)),
        ("2026-06-03T12:30:59", datetime(2026, 6, 3, 12, 30)),
        ("2026-06-03t12:30:59.999", datetime(2026, 6, 3, 12, 30)),
        ("2026-06-03T12:30Z", datetime(2026, 6, 3, 12, 30, tzinfo=UTC)),
        ("2026-06-03T12:30:00z", datetime(2026, 6, 3, 12, 30, tzinfo=UTC)),
        ("2026-06-03T12:30-04:00", datetime(2026, 6, 3, 16, 30, tzinfo=UTC)),
        ("2026-06-03T12:30 +0545", datetime(2026, 6, 3, 6, 45, tzinfo=UTC)),
        ("2026-06-03T12:30+02", datetime(2026, 6, 3, 10, 30, tzinfo=UTC)),
    ],
)
def test_forms_of_a_desired_time(text: str, expected: datetime) -> None:
    assert parse(text) == expected
    assert (parse(text).tzinfo is None) == (expected.tzinfo is None)


@pytest.mark.rule("TIME-2")
@pytest.mark.parametrize(
    "text",
    [
        "",
        "ASAP",
        "2026-06-03",
        "2026-06-03 12:30",
        "12:30",
        "2026-6-3T12:30",
        "2026-02-29T12:30",
        "2026-06-03T24:00",
        "2026-06-03T12:60",
        "2026-06-03T12:30+24:00",
        "2026-06-03T12:30+04:60",
        "2026-06-03T12:30 America/New_York",
        "2038-01-01T00:00",
        "1969-12-31T23:59",
        "２026-06-03T12:30",
        "2026-06-03T12:30\n",
        "2026-06-03T12:30 ",
        "2026-06-03T12:30\tZ",
    ],
)
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        parse(text)


@given(st.text())
def test_parsing_any_text_gives_a_time_or_a_value_error(text: str) -> None:
    try:
        assert isinstance(parse(text), date)
    except ValueError:
        pass


@pytest.mark.rule("TIME-10")
def test_the_current_minute_has_not_passed() -> None:
    now = datetime(2026, 6, 3, 12, 30, 59, 999, tzinfo=UTC)
    check_not_past(datetime(2026, 6, 3, 12, 30, tzinfo=UTC), now, path="$.x")
    with pytest.raises(Failure) as caught:
        check_not_past(datetime(2026, 6, 3, 12, 29, tzinfo=UTC), now, path="$.x")
    assert (caught.value.code, caught.value.path) == ("ready_time_in_past", "$.x")


@pytest.mark.rule("TIME-1")
def test_minutes_are_elapsed_also_over_a_clock_change() -> None:
    before = localize(parse("2026-03-08T01:50"), NEW_YORK)
    assert to_wire(in_minutes(20, before.astimezone(UTC)), NEW_YORK) == "2026-03-08T03:10"


NOW = datetime(2026, 6, 3, 12, 0, tzinfo=UTC)
SLOTS = st.lists(st.integers(1, 96).map(lambda hours: NOW + timedelta(hours=hours)), min_size=1, max_size=12)


@pytest.mark.rule("TIME-5")
@given(SLOTS, st.none() | st.integers(0, 100).map(lambda hours: NOW + timedelta(hours=hours)))
def test_the_soonest_slot_is_at_or_after_the_desired_time(slots: list[datetime], desired: datetime | None) -> None:
    expected = [slot for slot in sorted(slots) if desired is None or slot >= desired]
    assert soonest_slot(sorted(slots), desired) == (expected[0] if expected else None)


@pytest.mark.rule("TIME-4", "TIME-8")
@given(SLOTS, st.none() | st.integers(0, 95).map(lambda hours: NOW + timedelta(hours=hours)))
def test_offered_slots_lie_in_the_window(slots: list[datetime], desired: datetime | None) -> None:
    soonest = soonest_slot(sorted(slots), desired)
    offered = available_at(Ready(soonest, tuple(slots)), desired, NOW)
    if soonest is None:
        assert offered is None
        return
    start = NOW if soonest <= NOW + SLOT_WINDOW else soonest
    expected = [slot for slot in sorted(set(slots)) if soonest < slot <= start + SLOT_WINDOW]
    assert list(offered or ()) == expected


@pytest.mark.rule("TIME-8")
def test_the_window_is_elapsed_hours_and_includes_its_end() -> None:
    now = localize(parse("2026-03-07T12:00"), NEW_YORK)
    slots = [localize(parse(text), NEW_YORK) for text in ("2026-03-07T13:00", "2026-03-08T13:00", "2026-03-08T13:15")]
    offered = available_at(Ready(slots[0], tuple(slots)), None, now)
    assert [to_wire(slot, NEW_YORK) for slot in offered or ()] == ["2026-03-08T13:00"]


@pytest.mark.rule("TIME-8")
@pytest.mark.parametrize("ready", [Ready(), Ready(NOW), Ready(None, (NOW,))])
def test_no_slots_or_no_real_time_offer_nothing(ready: Ready) -> None:
    assert available_at(ready, None, NOW) is None


def hours(count: float) -> datetime:
    return NOW + timedelta(hours=count)


@pytest.mark.rule("TIME-11", "TIME-10", "META-5")
@pytest.mark.parametrize(
    ("shown", "desired", "submitted_at", "window"),
    [
        (Shown(NOW, None, hours(0.5)), None, 0, (-0.5, 1.5)),
        (Shown(NOW, None, hours(0.5)), None, 3, (-0.5, 4.5)),
        (Shown(NOW, None, hours(20)), None, 3, (19, 24)),
        (Shown(NOW, None, None), None, 0, (-1, 1)),
        (Shown(NOW, hours(5), hours(5.25)), hours(5), 1, (4.25, 6.25)),
        (Shown(NOW, hours(5), None), hours(5), 1, (4, 6)),
        (Shown(NOW, hours(5), hours(5.25)), hours(8), 1, (7, 9)),
        (Shown(NOW, None, hours(0.5)), hours(8), 1, (7, 9)),
        (None, hours(8), 0, None),
        (None, None, 0, None),
        (Shown(NOW, hours(5), hours(5)), None, 0, None),
    ],
)
def test_an_order_is_ready_within_an_hour_of_what_was_shown(
    shown: Shown | None, desired: datetime | None, submitted_at: int, window: tuple[float, float] | None
) -> None:
    expected = window and tuple(map(hours, window))

    assert ready_window(shown, desired, hours(submitted_at)) == expected
