"""The engine's locations, each of a character of its own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import pytz

from levelup_ov.standins.sandbox.delivery import Zone

Scheduling = Literal["free", "slots", "none"]
PaymentKind = Literal["external", "card"]

MIDNIGHT = 24 * 60
CHANGED = "2026-11-01T00:00:00Z"


@dataclass(frozen=True, slots=True)
class Place:
    """One location. Times of day are minutes after local midnight; the hours are those of every day.

    ``closes`` at or before ``opens`` runs over midnight. ``lead``: minutes an order takes at least.
    ``capacity``: orders per slot. ``tax``: hundredths of a percent of the food before discounts.
    ``promise``: what is said in place of a time, where none is named.
    ``utc``: times are sent in UTC instead of with the local offset.
    ``reduced``: the dish with a discount of the house, and its hundredths of a percent.
    ``zones``: where it delivers, the nearest first.
    """

    id: str
    title: str
    street: str
    city: str
    state: str | None
    postcode: str
    telephone: str
    latitude: float
    longitude: float
    zone_name: str = "America/New_York"
    opens: int = 0
    closes: int = MIDNIGHT
    lead: int = 10
    scheduling: Scheduling = "free"
    slot_minutes: int = 15
    capacity: int = 4
    promise: str | None = None
    tips: bool = True
    members_only: bool = False
    payments: tuple[PaymentKind, ...] = ("external", "card")
    tax: int = 700
    utc: bool = False
    reduced: tuple[str, int] | None = None
    zones: tuple[Zone, ...] = ()

    @property
    def zone(self) -> pytz.BaseTzInfo:
        """The location's time zone."""
        return pytz.timezone(self.zone_name)


PLACES: Mapping[str, Place] = {
    place.id: place
    for place in (
        Place(
            "congress", "Congress Street", "1 Congress Street", "Boston", "MA", "02114", "+16175550100",
            42.3601, -71.0589,
            zones=(
                Zone("near", ("02108", "02109", "02110", "02111", "02113", "02114"), 300, 800, 15),
                Zone("far", ("02115", "02116", "02118", "02139"), 600, 2000, 30),
            ),
        ),
        Place(
            "day", "Day Kitchen", "2 Morning Lane", "Boston", "MA", "02108", "+16175550101", 42.3581, -71.0636,
            opens=6 * 60, closes=18 * 60, lead=20, scheduling="slots",
        ),
        Place(
            "night", "Night Kitchen", "3 Evening Lane", "Boston", "MA", "02108", "+16175550102", 42.3582, -71.0637,
            opens=18 * 60, closes=6 * 60, lead=20, scheduling="slots",
        ),
        Place(
            "notips", "No Tips Counter", "4 Plain Street", "Boston", "MA", "02110", "+16175550103",
            42.3572, -71.0550, scheduling="none", promise="In 10 minutes", tips=False,
        ),
        Place(
            "account", "Members' Table", "5 Member Square", "Boston", "MA", "02109", "+16175550104",
            42.3611, -71.0523, members_only=True,
        ),
        Place(
            "card", "Card Bar", "6 Card Court", "Boston", "MA", "02111", "+16175550105", 42.3503, -71.0611,
            payments=("card",),
        ),
        Place(
            "tokyo", "Tokyo Corner", "7-8 Chuo", "Tokyo", None, "104-0061", "+81355550106", 35.6717, 139.7650,
            zone_name="Asia/Tokyo", tax=800, utc=True, reduced=("bento", 1000),
        ),
    )
}  # fmt: skip
"""All locations by id. One of ``day`` and ``night`` is always closed."""
