"""Slots derived from hours, for a provider that publishes when it takes orders but no slots (TIME-4, TIME-5)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta, timezone

from pytz.tzinfo import BaseTzInfo

from levelup_ov.domain.location import WEEKDAYS, Weekday
from levelup_ov.domain.ready_time import localize

SLOT = timedelta(minutes=15)
"""Slots are every quarter of an hour."""

_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)

DayHours = Sequence[tuple[int, int]]
"""When a day's spans open and close, in minutes after local midnight; one that closes at or before its opening
runs into the next day. Spans that touch or overlap are one, however they are written."""


@dataclass(frozen=True, slots=True)
class Timetable:
    """When orders are taken, in ``zone``: the hours of the weekdays, and of single dates that replace them.

    ``after_opening``, ``before_closing``: margins within these hours in which no orders are taken.
    """

    zone: BaseTzInfo
    weekly: Mapping[Weekday, DayHours]
    dates: Mapping[date, DayHours] = field(default_factory=dict)
    after_opening: timedelta = timedelta()
    before_closing: timedelta = timedelta()

    def is_open(self, now: datetime) -> bool:
        """Whether the instant ``now`` is within the hours; the closing instant is not."""
        return any(opens <= now < closes for opens, closes in self._spans(now, 0))

    def slots(self, now: datetime, *, lead: timedelta, days: int) -> Iterator[datetime]:
        """The instants at which an order can be ready, in order, up to the local date ``days`` after today's.

        It takes ``lead`` to prepare, from ``now`` or from the opening, and is ready at the closing at the latest.
        """
        last = now
        for opens, closes in self._spans(now, days):
            slot = _full_slot(max(opens, now) + lead)
            while slot <= closes:
                if slot > last:
                    yield (last := slot)
                slot += SLOT

    def _spans(self, now: datetime, days: int) -> Iterator[tuple[datetime, datetime]]:
        """Openings and closings in order, without the margins; hours that meet are merged.

        They start with yesterday, whose hours may run over midnight, and end with the date ``days`` after today.
        """
        today = now.astimezone(self.zone).date()
        asked = [span for offset in range(-1, days + 1) for span in self._day(today + timedelta(days=offset))]
        end = max((closes for _, closes in asked), default=now)
        # One more day: a location that is open at the end of the last day does not close there.
        for opens, closes in _united([*asked, *self._day(today + timedelta(days=days + 1))]):
            opens, closes = opens + self.after_opening, min(closes - self.before_closing, end)
            if opens < closes:
                yield opens, closes

    def _day(self, day: date) -> list[tuple[datetime, datetime]]:
        hours = self.dates.get(day, self.weekly.get(WEEKDAYS[day.weekday()], ()))
        return [
            (self._instant(day, opens), self._instant(day, closes if closes > opens else closes + 24 * 60))
            for opens, closes in hours
        ]

    def _instant(self, day: date, minutes: int) -> datetime:
        return localize(datetime.combine(day, time()) + timedelta(minutes=minutes), self.zone)


def _united(spans: Iterable[tuple[datetime, datetime]]) -> Iterator[tuple[datetime, datetime]]:
    """The spans in order. Spans that touch or overlap are merged; a span without length is dropped."""
    current: tuple[datetime, datetime] | None = None
    for opens, closes in sorted(span for span in spans if span[0] < span[1]):
        if current is None:
            current = opens, closes
        elif opens <= current[1]:
            current = current[0], max(current[1], closes)
        else:
            yield current
            current = opens, closes
    if current is not None:
        yield current


def _full_slot(instant: datetime) -> datetime:
    """The first slot at or after ``instant``."""
    return _EPOCH - (_EPOCH - instant) // SLOT * SLOT
