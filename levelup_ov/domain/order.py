"""An order as an adapter receives it: parsed, in local time, with its secrets opened (EP-11)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from levelup_ov.domain.failure import Failure
from levelup_ov.domain.location import Location
from levelup_ov.domain.money import Cents
from levelup_ov.domain.options import Option
from levelup_ov.domain.ready_time import Shown, ready_window
from levelup_ov.domain.secret import Secret


@dataclass(frozen=True, slots=True)
class User:
    """Who will pick the order up; at least one of ``phone`` and ``email`` is present."""

    first_name: str
    last_name: str
    phone: str | None = None
    email: str | None = None

    @property
    def name(self) -> str:
        """The whole name, for providers that have one member for it."""
        return f"{self.first_name} {self.last_name}".strip()


@dataclass(frozen=True, slots=True)
class Item:
    """A line of the order; ``options`` are flat, see :func:`levelup_ov.domain.options.nest`."""

    provider_id: str
    quantity: int
    options: tuple[Option, ...] = ()
    special_instructions: str | None = None
    recipient_name: str | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)
    """What our menu put there; keys are ``integration_*`` (ITEM-9)."""


@dataclass(frozen=True, slots=True)
class DeliveryAddress:
    """Where a delivery goes."""

    street_address: str
    extended_address: str | None = None
    locality: str | None = None
    region: str | None = None
    postal_code: str | None = None
    delivery_instructions: str | None = None

    @property
    def private(self) -> tuple[str, ...]:
        """The parts that say where somebody lives; they are masked like secrets (DELIVERY-4)."""
        parts = (self.street_address, self.extended_address, self.delivery_instructions)
        return tuple(part for part in parts if part)


@dataclass(frozen=True, slots=True)
class Order:
    """What a user wants from one location.

    ``desired_ready_time`` is an aware instant, None = as soon as possible (TIME-2).
    ``tip`` and ``merchant_funded_discount`` are cents.
    ``received_at`` is the instant at which the request came in: the clock for relative times (TIME-1).
    ``customer_account`` holds what the adapter returned under that name for this user earlier (META-1),
    ``cart`` what it returned with the validation of this order (META-2). Both come back unchanged, or empty.
    ``reference`` is our own reference, the same for every attempt of one submission; None in a validation.
    ``shown`` is what the validation of this order showed; None in a validation, or if there was none.
    """

    location: Location
    items: tuple[Item, ...]
    user: User
    received_at: datetime
    desired_ready_time: datetime | None = None
    fulfillment_type: str = "pickup"
    special_instructions: str | None = None
    tip: Cents = 0
    merchant_funded_discount: Cents = 0
    delivery_address: DeliveryAddress | None = None
    customer_account: Mapping[str, Secret] = field(default_factory=dict)
    cart: Mapping[str, Secret] = field(default_factory=dict)
    reference: str | None = None
    shown: Shown | None = None

    def check_ready(self, ready_at: datetime | None) -> None:
        """Call this before placing an order, with the time at which it would be ready (TIME-11).

        :raises Failure: ``ready_time_unavailable``: the user was shown another time.
        """
        if ready_at is not None and (window := self.ready_window) is not None:
            if not window[0] <= ready_at <= window[1]:
                words = "the location can no longer have the order ready at the time that was shown"
                raise Failure("ready_time_unavailable", words, path="$.desired_ready_time")

    @property
    def ready_window(self) -> tuple[datetime, datetime] | None:
        """The earliest and latest instant at which the order may be ready; None if any time is fine (TIME-11)."""
        return ready_window(self.shown, self.desired_ready_time, self.received_at)
