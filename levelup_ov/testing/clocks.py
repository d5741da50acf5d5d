"""The days on which clocks change, and all times in what was sent (TIME-9)."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta, timezone

from pytz.tzinfo import BaseTzInfo

from levelup_ov.domain.ready_time import localize

_HALF_AN_HOUR = timedelta(minutes=30)
_EPOCHS = range(10**9, 10**10)
"""Seconds since 1970 from 2001 to 2286; the same with three more digits are milliseconds."""


def clock_changes(zone: BaseTzInfo, now: datetime) -> list[datetime]:
    """The next two instants at which the clocks of ``zone`` change; fewer if they do not."""
    transitions: list[datetime] = getattr(zone, "_utc_transition_times", [])
    coming = [each.replace(tzinfo=timezone.utc) for each in transitions if each > now.replace(tzinfo=None)]
    return [change for change in coming[:2] if change - now < timedelta(days=400)]


def edges(change: datetime) -> list[datetime]:
    """Half an hour before a change, the change itself and half an hour after."""
    return [change - _HALF_AN_HOUR, change, change + _HALF_AN_HOUR]


def instants(values: Iterable[str], zone: BaseTzInfo) -> set[datetime]:
    """All times among ``values``: ISO 8601, local to ``zone`` if without an offset, or seconds since 1970."""
    found = (_instant(value, zone) for value in values)
    return {instant.astimezone(timezone.utc) for instant in found if instant is not None}


def _instant(value: str, zone: BaseTzInfo) -> datetime | None:
    if value.isdecimal():
        for seconds in (int(value), int(value) // 1000):
            if seconds in _EPOCHS:
                return datetime.fromtimestamp(seconds, timezone.utc)
        return None
    try:
        return localize(datetime.fromisoformat(value), zone)
    except (ValueError, OverflowError):
        return None
