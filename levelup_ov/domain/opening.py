"""When a location opens, from its weekly hours: for providers that take orders at any time (TIME-4)."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytz

from levelup_ov.domain.location import WEEKDAYS, Location
from levelup_ov.domain.ready_time import localize


def next_opening(location: Location, now: datetime) -> datetime | None:
    """The instant at which a location that is closed at ``now`` opens next.

    None if it is open, or if that is unknown: no hours, an unknown day before the opening, no time zone.
    """
    if location.time_zone not in pytz.all_timezones_set:
        return None
    zone = pytz.timezone(location.time_zone or "")
    today = now.astimezone(zone).replace(tzinfo=None, hour=0, minute=0, second=0, microsecond=0)
    for days in range(8):
        day = today + timedelta(days)
        if (spans := location.hours[WEEKDAYS[day.weekday()]]) is None:
            return None
        for span in spans:
            opens_at = localize(day + timedelta(minutes=span.opens_at), zone)
            closes_at = localize(day + timedelta(minutes=span.closes_at), zone)
            # Hours inside the hour that the clock skips have no length.
            if now < closes_at and opens_at < closes_at:
                return opens_at if now < opens_at else None
    return None
