"""Merchants and their locations (LOC-1, LOC-2)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Literal

from levelup_ov.domain.failure import Failure
from levelup_ov.domain.tender import TenderKind

Weekday = Literal["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"]
WEEKDAYS: tuple[Weekday, ...] = (
    "monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday",
)  # fmt: skip
Fulfillment = Literal["pickup", "delivery"]

_MINUTES_PER_DAY = 24 * 60


@dataclass(frozen=True, slots=True)
class Span:
    """Open from ``opens_at`` to ``closes_at``, minutes after local midnight, within one day."""

    opens_at: int
    closes_at: int

    def __post_init__(self) -> None:
        if not 0 <= self.opens_at < self.closes_at <= _MINUTES_PER_DAY:
            raise ValueError(f"not a span within one day: {self.opens_at} to {self.closes_at}")


Hours = Mapping[Weekday, tuple[Span, ...] | None]
"""The spans of each day; an empty tuple is closed, None is unknown."""


def opening_hours(spans: Iterable[tuple[Weekday, int, int]]) -> Hours:
    """Hours from weekly spans (day, opening minute, closing minute), for a provider that states them all.

    A span that closes at or before its opening runs over midnight and is split in two (LOC-2). One that opens at
    minute 1440 opens with the next day. Spans of a day that touch or overlap are one.
    """
    days: dict[Weekday, list[tuple[int, int]]] = {day: [] for day in WEEKDAYS}
    for day, opens_at, closes_at in spans:
        if opens_at == _MINUTES_PER_DAY:
            day, opens_at = _next_day(day), 0
            if not closes_at:
                continue
        if closes_at > opens_at:
            days[day].append((opens_at, closes_at))
            continue
        days[day].append((opens_at, _MINUTES_PER_DAY))
        if closes_at:
            days[_next_day(day)].append((0, closes_at))
    return {day: tuple(_united(found)) for day, found in days.items()}


def _next_day(day: Weekday) -> Weekday:
    return WEEKDAYS[(WEEKDAYS.index(day) + 1) % 7]


def _united(spans: Iterable[tuple[int, int]]) -> Iterator[Span]:
    """The spans of one day in order; those that touch or overlap are one."""
    current: Span | None = None
    for opens_at, closes_at in sorted(spans):
        if current is not None and opens_at <= current.closes_at:
            current = Span(current.opens_at, max(current.closes_at, closes_at))
            continue
        if current is not None:
            yield current
        current = Span(opens_at, closes_at)
    if current is not None:
        yield current


def unknown_hours() -> Hours:
    """The hours of a provider that does not state any (LOC-2)."""
    return dict.fromkeys(WEEKDAYS)


@dataclass(frozen=True, slots=True)
class Merchant:
    """One entry of the accounts file, as the channel sees it (EP-1)."""

    provider_id: str
    name: str


@dataclass(frozen=True, slots=True)
class Location:
    """A restaurant that takes orders.

    ``provider_id`` is the provider's own id; the service puts the account before it on the wire.
    ``time_zone`` is a name of the IANA database. It and the two ``accepts_tips_...`` are None where the
    provider does not say; the account's settings then apply. ``currency``, a code of ISO 4217, likewise.
    ``tenders`` are those that this location takes; None means all that its adapter takes (PAY-3).
    """

    provider_id: str
    name: str
    active: bool = True
    terminated: bool = False
    accepts_tips_on_pickup: bool | None = None
    accepts_tips_on_delivery: bool | None = None
    fulfills_pickups: bool = True
    fulfills_deliveries: bool = False
    street_address: str | None = None
    extended_address: str | None = None
    locality: str | None = None
    region: str | None = None
    postal_code: str | None = None
    phone: str | None = None
    latitude: Decimal | None = None
    longitude: Decimal | None = None
    time_zone: str | None = None
    hours: Hours = field(default_factory=unknown_hours)
    tenders: frozenset[TenderKind] | None = None
    currency: str | None = None
    updated_at: datetime | None = None

    def fulfills(self, fulfillment: str) -> bool:
        """Whether orders of this kind are taken here (EP-12)."""
        return {"pickup": self.fulfills_pickups, "delivery": self.fulfills_deliveries}.get(fulfillment, False)

    def accepts_tips(self, fulfillment: str) -> bool:
        """Whether an order of this kind may carry a tip here (MONEY-4)."""
        return bool(self.accepts_tips_on_delivery if fulfillment == "delivery" else self.accepts_tips_on_pickup)


class Listed(list[Location]):
    """The locations of an account, without those that could not be read.

    ``unread``: why, by the provider's id. The service serves the others, and these from an older list.
    """

    def __init__(self, locations: Iterable[Location] = (), unread: Mapping[str, Failure] | None = None) -> None:
        super().__init__(locations)
        self.unread = dict(unread or {})


def read_each(rows: Iterable[tuple[str, Callable[[], Location]]]) -> Listed:
    """Read locations one by one: a fault in one hides no other.

    :raises Failure: if all failed, the failure of the first one.
    """
    listed = Listed()
    for provider_id, read in rows:
        try:
            listed.append(read())
        except Failure as failure:
            listed.unread[provider_id] = failure
    if listed.unread and not listed:
        raise next(iter(listed.unread.values()))
    return listed
