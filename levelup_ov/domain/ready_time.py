"""Ready times: reading them, finding their slot, and writing instants (TIME-1 to TIME-10).

Inside, an instant is an aware ``datetime``; a naive one is local to a zone named beside it and goes
through :func:`localize` before anything else happens to it. Slots from business hours are in ``timetable``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone, tzinfo

import pytz
from pytz.tzinfo import BaseTzInfo

from levelup_ov.domain.failure import Failure

SLOT_WINDOW = timedelta(hours=24)
"""How far beyond the validation ``available_at`` extends, in elapsed time (TIME-8)."""

SHOWN_TIME_TOLERANCE = timedelta(hours=1)
"""How much a submission's ready time may differ from the time that was shown (TIME-11)."""

LAST_YEAR = 2037
"""pytz's zone data includes clock changes until the end of this year."""

_FORMAT = re.compile(
    r"(?P<minute>\d{4}-\d\d-\d\d[Tt]\d\d:\d\d)(:([0-5]\d|60)([.,]\d{1,9})?)?( ?(?P<offset>[Zz]|[+-]\d\d(:?\d\d)?))?",
    re.ASCII,
)
_A_DAY_AND_A_BIT = timedelta(hours=26)


@dataclass(frozen=True, slots=True)
class Ready:
    """When a provider can have an order ready.

    ``soonest``: an aware instant, or None if the provider gave no real time (TIME-7).
    ``slots``: the provider's slots from ``soonest`` on, as aware instants; None if any later time is fine, or if
    the provider does not schedule (TIME-8).
    """

    soonest: datetime | None = None
    slots: tuple[datetime, ...] | None = None


@dataclass(frozen=True, slots=True)
class Shown:
    """What the validation of an order showed: at the instant ``at``, for the ``desired`` time.

    ``ready_at`` is the ``soonest_available_at`` of its response, None if it had none.
    """

    at: datetime
    desired: datetime | None
    ready_at: datetime | None


def parse(text: str) -> datetime:
    """A desired ready time as the channel writes it: naive if it has no offset (TIME-2).

    Seconds are dropped: the contract counts in minutes.

    :raises ValueError: not a date and time of ISO 8601 in the forms of TIME-1 and TIME-2, or later
        than the zone data reaches.
    """
    match = _FORMAT.fullmatch(text)
    if match is None:
        raise ValueError("expected YYYY-MM-DDTHH:mm, with or without seconds and offset")
    value = datetime.strptime(match["minute"].upper(), "%Y-%m-%dT%H:%M")
    if not 1970 <= value.year <= LAST_YEAR:
        raise ValueError(f"expected a year from 1970 to {LAST_YEAR}")
    offset = match["offset"]
    if offset is None:
        return value
    return value.replace(tzinfo=_offset(offset))


def localize(local: datetime, zone: BaseTzInfo) -> datetime:
    """The instant of a naive local time in ``zone`` (TIME-9).

    A time that does not exist gives the first valid instant after it; one that exists twice gives the
    earlier. An aware time is converted.
    """
    if local.tzinfo is not None:
        return local.astimezone(zone)
    try:
        return zone.localize(local, is_dst=None)
    except pytz.AmbiguousTimeError:
        return min(zone.localize(local, is_dst=flag) for flag in (True, False))
    except pytz.NonExistentTimeError:
        return _after_gap(local, zone)


def to_wire(instant: datetime | None, zone: BaseTzInfo | None) -> str | None:
    """An aware instant in the contract's form: local if the zone is known, otherwise with ``Z`` (TIME-1).

    In the second pass of a repeated hour the ``Z`` form is used, because the local form would be read back as
    the first pass (TIME-9). A part of a minute is rounded up, because an order is never ready early.
    """
    if instant is None:
        return None
    instant = whole_minute(instant)
    if zone is not None:
        local = instant.astimezone(zone)
        naive = local.replace(tzinfo=None)
        # An hour can only repeat after a change of the offset, which is rare, and quicker to see.
        before = (instant - _A_DAY_AND_A_BIT).astimezone(zone)
        if before.utcoffset() == local.utcoffset() or localize(naive, zone) == local:
            return naive.isoformat(timespec="minutes")
    return instant.astimezone(timezone.utc).strftime("%Y-%m-%dT%H:%MZ")


def whole_minute(instant: datetime) -> datetime:
    """The first whole minute that is not before ``instant``."""
    if instant.second or instant.microsecond:
        return instant.replace(second=0, microsecond=0) + timedelta(minutes=1)
    return instant


def in_minutes(minutes: int, now: datetime) -> datetime:
    """The instant of a provider's "in N minutes", by the server's clock (TIME-1)."""
    return now + timedelta(minutes=minutes)


def check_not_past(desired: datetime, now: datetime, *, path: str) -> None:
    """Refuse an aware desired time that has passed (TIME-10). The current minute has not passed.

    :raises Failure: ``ready_time_in_past``.
    """
    if desired < now.replace(second=0, microsecond=0):
        raise Failure("ready_time_in_past", "the desired ready time has passed", path=path)


def is_served(desired: datetime | None, slot: datetime) -> bool:
    """Whether ``slot`` is at or after a desired time (TIME-5). Every slot is, if that is None."""
    return desired is None or slot >= desired


def soonest_slot(slots: Iterable[datetime], desired: datetime | None) -> datetime | None:
    """The first of ``slots``, which come in order, that serves ``desired`` (TIME-5); None if there is none.

    An iterator is advanced past that slot.
    """
    return next((slot for slot in slots if is_served(desired, slot)), None)


def ready_window(shown: Shown | None, desired: datetime | None, now: datetime) -> tuple[datetime, datetime] | None:
    """The earliest and latest instant at which a submission may be ready; None if any time is fine (TIME-11).

    ``desired`` is what the submission asks for. It counts if the validation asked for a different time.
    """
    if shown is None:
        return None
    if shown.desired == desired:
        earliest = latest = shown.ready_at or desired or shown.at
        if desired is None:
            # The wait counts, not the time that the user took to decide.
            latest = max(latest, now + (latest - shown.at))
    elif desired is not None:
        earliest = latest = desired
    else:
        return None
    return earliest - SHOWN_TIME_TOLERANCE, latest + SHOWN_TIME_TOLERANCE


def available_at(ready: Ready, desired: datetime | None, validated_at: datetime) -> tuple[datetime, ...] | None:
    """The slots to offer beside the soonest one (TIME-4, TIME-8).

    They are after the desired time and after the soonest slot, within :data:`SLOT_WINDOW` of the
    validation; if there are none, within that window of the soonest slot.
    """
    if ready.slots is None or ready.soonest is None:
        return None
    after = sorted(slot for slot in set(ready.slots) if is_served(desired, slot))
    window = _until(after, validated_at + SLOT_WINDOW) or _until(after, ready.soonest + SLOT_WINDOW)
    return tuple(slot for slot in window if slot > ready.soonest)


def _until(slots: Sequence[datetime], end: datetime) -> list[datetime]:
    return [slot for slot in slots if slot <= end]


def _offset(text: str) -> tzinfo:
    if text in "Zz":
        return timezone.utc
    hours, minutes = int(text[1:3]), int(text[3:].lstrip(":") or 0)
    if hours > 23 or minutes > 59:
        raise ValueError("expected an offset from -23:59 to +23:59")
    offset = timedelta(hours=hours, minutes=minutes)
    return timezone(-offset if text[0] == "-" else offset)


def _after_gap(local: datetime, zone: BaseTzInfo) -> datetime:
    """The instant at which the clock skips ``local``, found by bisecting the two days around it."""
    before = (local - _A_DAY_AND_A_BIT).replace(tzinfo=timezone.utc)
    after = (local + _A_DAY_AND_A_BIT).replace(tzinfo=timezone.utc)
    while after - before > timedelta(seconds=1):
        middle = before + (after - before) // 2
        middle = middle.replace(microsecond=0)
        if middle.astimezone(zone).replace(tzinfo=None) > local:
            after = middle
        else:
            before = middle
    return after.astimezone(zone)
