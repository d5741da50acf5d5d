"""Slots that follow from hours, for a provider that publishes when it takes orders and no slots (TIME-4, TIME-5)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta, timezone

from pytz.tzinfo import BaseTzInfo

from levelup_ov.domain.location import WEEKDAYS, Weekday
from levelup_ov.domain.ready_time import localize

SLOT = timedelta(minutes=15)
"""Slots are the full quarters of an hour."""

_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)

DayHours = Sequence[tuple[int, int]]
"""When a day's spans open and close, in minutes after local midnight; one that closes at or before its opening
runs into the next day."""


@dataclass(frozen=True, slots=True)
class Timetable:
    """When orders are taken: the hours of the weekdays, and of single dates instead of them, in ``zone``."""

    zone: BaseTzInfo
    weekly: Mapping[Weekday, DayHours]
    dates: Mapping[date, DayHours] = field(default_factory=dict)

    def is_open(self, now: datetime) -> bool:
        """Whether the instant ``now`` lies within the hours; their last moment does not."""
        return any(opens <= now < closes for opens, closes in self._spans(now, 0))

    def slots(self, now: datetime, *, lead: timedelta, days: int) -> Iterator[datetime]:
        """The instants at which an order can be ready, in order, up to the local date ``days`` after today's.

        It takes ``lead`` to make it, from ``now`` or from the opening on, and is ready before the closing or at it.
        """
        last = now
        for opens, closes in self._spans(now, days):
            slot = _full_slot(max(opens, now) + lead)
            while slot <= closes:
                if slot > last:
                    yield (last := slot)
                slot += SLOT

    def _spans(self, now: datetime, days: int) -> Iterator[tuple[datetime, datetime]]:
        """Openings and closings from yesterday, which may run over midnight, to ``days`` after today."""
        today = now.astimezone(self.zone).date()
        for day in (today + timedelta(days=offset) for offset in range(-1, days + 1)):
            hours = self.dates.get(day, self.weekly.get(WEEKDAYS[day.weekday()], ()))
            for opens, closes in sorted(hours):
                yield self._instant(day, opens), self._instant(day, closes if closes > opens else closes + 24 * 60)

    def _instant(self, day: date, minutes: int) -> datetime:
        return localize(datetime.combine(day, time()) + timedelta(minutes=minutes), self.zone)


def _full_slot(instant: datetime) -> datetime:
    """The first full slot at ``instant`` or after it."""
    return _EPOCH - (_EPOCH - instant) // SLOT * SLOT
