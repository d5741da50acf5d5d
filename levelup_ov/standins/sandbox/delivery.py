"""Deliveries: where the engine brings orders, what that costs, and how long it takes. Pure.

A place without zones does not deliver. A cart that does not say where to is priced like the nearest zone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from levelup_ov.standins.sandbox.problems import EngineError


@dataclass(frozen=True, slots=True)
class Zone:
    """Where a place delivers: postcodes. ``fee`` and ``minimum`` (of the food) are cents."""

    id: str
    postcodes: tuple[str, ...]
    fee: int
    minimum: int
    minutes: int


@dataclass(frozen=True, slots=True)
class Address:
    """Where an order is brought."""

    street: str
    extra: str | None
    city: str | None
    state: str | None
    postcode: str | None
    directions: str | None


@dataclass(frozen=True, slots=True)
class CartDelivery:
    """A cart that is to be brought; ``address`` None: it does not say yet where to."""

    address: Address | None


def zone_of(zones: tuple[Zone, ...], delivery: CartDelivery) -> Zone:
    """The zone of a delivery; without an address, the first one.

    :raises EngineError: ``no_delivery``, ``address_incomplete`` or ``address_not_served``.
    """
    if not zones:
        raise EngineError("no_delivery", "We have nobody who brings anything.", "delivery")
    if (address := delivery.address) is None:
        return zones[0]
    if address.postcode is None:
        raise EngineError("address_incomplete", "We need the postcode.", "delivery.address.postcode")
    found = next((zone for zone in zones if address.postcode.strip() in zone.postcodes), None)
    if found is None:
        raise EngineError("address_not_served", "We do not deliver there.", "delivery.address.postcode")
    return found


def check_minimum(zone: Zone, subtotal: int) -> None:
    """:raises EngineError: ``minimum_not_reached``, with the amount."""
    if subtotal < zone.minimum:
        amount = f"${zone.minimum // 100}.{zone.minimum % 100:02}"
        raise EngineError("minimum_not_reached", f"We deliver orders of {amount} of food or more.", "lines")


def travel(zones: tuple[Zone, ...], delivery: CartDelivery | None) -> timedelta:
    """How long it takes to bring an order."""
    return timedelta(minutes=0 if delivery is None else zone_of(zones, delivery).minutes)


def as_json(zones: tuple[Zone, ...], delivery: CartDelivery | None, fee: int) -> Mapping[str, Any] | None:
    """What a quote says of its delivery. ``open``: what only an address decides."""
    if delivery is None:
        return None
    known = delivery.address is not None
    return {
        "fee": fee,
        "zone": zone_of(zones, delivery).id if known else None,
        "open": [] if known else ["zone", "fee", "minimum", "time"],
    }
