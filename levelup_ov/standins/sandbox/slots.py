"""When an order can be ready. Pure: the clock and what is booked up are given.

Slots are steps of elapsed time from the opening instant on. So the hour that a change of clocks leaves out
has none, and the hour that it repeats has twice as many.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta, timezone

from levelup_ov.domain.ready_time import LAST_YEAR, localize
from levelup_ov.standins.sandbox.places import MIDNIGHT, Place
from levelup_ov.standins.sandbox.problems import EngineError

LOOK_AHEAD = timedelta(days=8)
"""How far from the earliest possible time a free slot is looked for."""
LISTED = timedelta(hours=24)
"""How far from the soonest slot the free ones are listed."""

_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Offer:
    """``at``: the instant at which the order is ready; else there are only ``words``.

    ``slots``: the free slots from ``at`` on; None at a place without slots.
    """

    at: datetime | None
    words: str | None = None
    slots: tuple[datetime, ...] | None = None


def offer(
    place: Place,
    wanted: datetime | None,
    now: datetime,
    full: Collection[datetime] = frozenset(),
    travel: timedelta = timedelta(),
) -> Offer:
    """The soonest time at or after ``wanted`` (None: as soon as possible), as UTC instants in whole minutes.

    ``full``: the slots that have no room left. ``travel``: how long it takes to bring the order.

    :raises EngineError: ``time_past``, ``time_too_far``, ``no_scheduling`` or ``no_slot_left``.
    """
    earliest = whole_minute(now + timedelta(minutes=place.lead) + travel)
    if wanted is None:
        start = earliest
    else:
        start = _served(place, wanted, now)
    if place.scheduling == "none":
        return Offer(None, place.promise)
    if place.scheduling == "free":
        return Offer(start)
    start = max(start, earliest)
    free = [slot for slot in slots_from(place, start, start + LOOK_AHEAD + LISTED) if slot not in full]
    if not free or free[0] > start + LOOK_AHEAD:
        raise EngineError("no_slot_left", "We are booked up for days to come.", "wanted_at" if wanted else None)
    return Offer(free[0], None, tuple(slot for slot in free if slot <= free[0] + LISTED))


def slots_from(place: Place, start: datetime, end: datetime) -> Iterator[datetime]:
    """All slots of ``place`` from ``start`` to ``end``, both included, as UTC instants."""
    day = start.astimezone(place.zone).date() - _DAY
    while (opening := _instant(place, day, place.opens)) <= end:
        closing = _instant(place, day, place.closes + (MIDNIGHT if place.closes <= place.opens else 0))
        slot = opening
        while slot < closing and slot <= end:
            if slot >= start:
                yield slot
            slot += timedelta(minutes=place.slot_minutes)
        day += _DAY


def whole_minute(instant: datetime) -> datetime:
    """``instant`` in UTC, a part of a minute rounded up."""
    instant = instant.astimezone(timezone.utc)
    floor = instant.replace(second=0, microsecond=0)
    return floor if floor == instant else floor + timedelta(minutes=1)


def write(place: Place, instant: datetime) -> str:
    """RFC 3339, in UTC or with the local offset, as the place does it."""
    if place.utc:
        return instant.astimezone(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
    return instant.astimezone(place.zone).isoformat(timespec="seconds")


def _served(place: Place, wanted: datetime, now: datetime) -> datetime:
    if place.scheduling == "none":
        raise EngineError("no_scheduling", "We cook at once and take no orders for later.", "wanted_at")
    if wanted.year > LAST_YEAR:
        raise EngineError("time_too_far", f"We take no orders for later than {LAST_YEAR}.", "wanted_at")
    if wanted < now.replace(second=0, microsecond=0):
        raise EngineError("time_past", "That time has passed already.", "wanted_at")
    return whole_minute(wanted)


def _instant(place: Place, day: date, minutes: int) -> datetime:
    local = datetime.combine(day, time()) + timedelta(minutes=minutes)
    return localize(local, place.zone).astimezone(timezone.utc)
