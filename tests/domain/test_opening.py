"""The next opening of a location, from its weekly hours."""

from __future__ import annotations

from datetime import datetime, timezone

import pytest
import pytz

from levelup_ov.domain.location import Location, opening_hours
from levelup_ov.domain.opening import next_opening
from levelup_ov.domain.ready_time import localize

NEW_YORK = "America/New_York"
LUNCH = opening_hours([("monday", 660, 840), ("monday", 1020, 1320), ("friday", 1080, 120)])


def at(text: str, zone: str = NEW_YORK) -> datetime:
    return localize(datetime.fromisoformat(text), pytz.timezone(zone)).astimezone(timezone.utc)


@pytest.mark.rule("TIME-4", "LOC-2")
@pytest.mark.parametrize(
    ("now", "opens"),
    [
        ("2026-11-23T10:59", "2026-11-23T11:00"),
        ("2026-11-23T11:00", None),
        ("2026-11-23T13:59", None),
        ("2026-11-23T14:00", "2026-11-23T17:00"),
        ("2026-11-23T22:00", "2026-11-27T18:00"),
        ("2026-11-27T23:59", None),
        ("2026-11-28T01:59", None),
        ("2026-11-28T02:00", "2026-11-30T11:00"),
    ],
)
def test_a_closed_location_opens_with_its_next_span(now: str, opens: str | None) -> None:
    found = next_opening(Location("x", "X", time_zone=NEW_YORK, hours=LUNCH), at(now))

    assert found == (opens and at(opens))


@pytest.mark.rule("TIME-4", "TIME-9")
def test_an_opening_in_the_skipped_hour_is_the_instant_after() -> None:
    hours = opening_hours([("sunday", 150, 600)])

    found = next_opening(Location("x", "X", time_zone=NEW_YORK, hours=hours), at("2026-03-08T00:30"))

    assert found == datetime(2026, 3, 8, 7, 0, tzinfo=timezone.utc)


@pytest.mark.rule("TIME-7", "LOC-2")
@pytest.mark.parametrize(
    "place",
    [
        Location("x", "X", time_zone=NEW_YORK),
        Location("x", "X", time_zone=NEW_YORK, hours={**LUNCH, "tuesday": None}),
        Location("x", "X", hours=LUNCH),
        Location("x", "X", time_zone="Atlantis", hours=LUNCH),
        Location("x", "X", time_zone=NEW_YORK, hours=opening_hours([])),
    ],
    ids=["no hours", "a day unknown", "no zone", "unknown zone", "never open"],
)
def test_what_is_not_known_is_not_guessed(place: Location) -> None:
    assert next_opening(place, at("2026-11-23T23:00")) is None
