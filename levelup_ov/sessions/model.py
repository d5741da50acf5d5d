"""What a checkout session consists of: a basket, its price, and what became of it. Amounts are cents of its currency.

Nothing here belongs to one protocol: a front translates between this and its own words. What a basket consists of is a
``msgspec.Struct``, which is made and read in a fraction of the time of a frozen dataclass.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

import msgspec

from levelup_ov.domain.money import Cents
from levelup_ov.domain.order import DeliveryAddress
from levelup_ov.domain.tender import CreditCard, TenderKind

SessionState = Literal["incomplete", "ready_for_complete", "complete_in_progress", "completed", "canceled"]
OPEN: tuple[SessionState, ...] = ("incomplete", "ready_for_complete")
"""The states in which a session can be changed, completed and canceled."""


class Line(msgspec.Struct, frozen=True, omit_defaults=True):
    """A dish. ``item_id`` and ``options`` are ids of our menu; ``reference`` is the front's own id of the line.

    Options are flat, with their nesting in their ids (ITEM-3). One that is chosen twice appears twice.
    """

    item_id: str
    quantity: int
    options: tuple[str, ...] = ()
    note: str | None = None
    reference: str = ""


class Buyer(msgspec.Struct, frozen=True, omit_defaults=True):
    """Who will get the order. An order needs both names, and a phone number or an e-mail address."""

    first_name: str | None = None
    last_name: str | None = None
    phone: str | None = None
    email: str | None = None


class Basket(msgspec.Struct, frozen=True, omit_defaults=True):
    """What somebody wants from one location; ``location_id`` is our published id.

    ``tip``: cents, None if none was chosen. ``tip_percent``: it is this part of the subtotal, in whole percents, and
    computed whenever the basket is priced. ``desired_ready_time``: naive is local to the location, None is as soon as
    possible. ``extra`` is JSON that comes back with the session unchanged: what a front keeps for itself.
    """

    location_id: str
    lines: tuple[Line, ...]
    buyer: Buyer | None = None
    tip: Cents | None = None
    tip_percent: int | None = None
    fulfillment: str = "pickup"
    desired_ready_time: datetime | None = None
    delivery_address: DeliveryAddress | None = None
    note: str | None = None
    extra: Mapping[str, Any] = msgspec.field(default_factory=dict)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self.location_id}>"


@dataclass(frozen=True, slots=True)
class Problem:
    """Why a session is not ready, or was not completed.

    ``code`` is one of :data:`levelup_ov.errors.KINDS`, or ``buyer_incomplete``, ``totals_changed`` or
    ``charge_mismatch``, with which a session is completed all the same. ``path`` leads into the basket:
    ``lines[0].options[1]``, ``buyer.phone``, ``desired_ready_time``; None: it is about the whole.
    ``recoverable``: another basket, time or tender may help.
    """

    code: str
    message: str
    path: str | None = None
    recoverable: bool = True


class PricedOption(msgspec.Struct, frozen=True):
    """A chosen option as the menu has it: its name, and its price for each portion."""

    id: str
    name: str
    price: Cents


class PricedLine(msgspec.Struct, frozen=True, omit_defaults=True):
    """The price of a line of the basket, options included, before discounts and tax.

    ``unit_price`` is None if ``subtotal`` is not a multiple of the quantity. ``base_price`` is the dish alone, as the
    menu has it; what is free there may make ``unit_price`` less than the sum.
    """

    reference: str
    item_id: str
    name: str
    quantity: int
    unit_price: Cents | None
    subtotal: Cents
    base_price: Cents | None = None
    options: tuple[PricedOption, ...] = ()


class NamedAmount(msgspec.Struct, frozen=True):
    """A named amount, above zero: a fee or a discount."""

    name: str
    amount: Cents


class Totals(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a basket costs. ``subtotal`` is the sum of the lines; ``total`` is what the buyer pays (MONEY-7)."""

    subtotal: Cents
    tax: Cents
    tip: Cents
    fees: tuple[NamedAmount, ...] = ()
    discounts: tuple[NamedAmount, ...] = ()

    @property
    def total(self) -> Cents:
        """The sum of all parts."""
        fees = sum(fee.amount for fee in self.fees)
        return self.subtotal - sum(each.amount for each in self.discounts) + fees + self.tax + self.tip


class Price(msgspec.Struct, frozen=True, omit_defaults=True):
    """The last price of a basket, at the instant ``at``.

    ``totals`` and ``lines`` are of the provider's answer. ``tip_accepted``: whether the location takes tips for this
    fulfillment; if not, the tip is left out. ``desired``: the aware time that was asked for. ``soonest`` and ``slots``:
    aware instants as in TIME-3 to TIME-8, in whole minutes, None if the provider names none. ``address_decides``: see
    :class:`levelup_ov.domain.outcome.Quote`.
    """

    at: datetime
    lines: tuple[PricedLine, ...]
    totals: Totals
    tip_accepted: bool
    soonest: datetime | None = None
    slots: tuple[datetime, ...] | None = None
    address_decides: tuple[str, ...] = ()
    desired: datetime | None = None

    @property
    def ready(self) -> datetime | None:
        """The time of the order as it is priced: the provider's (TIME-5), or else the one that was asked for."""
        return self.soonest or self.desired

    @property
    def is_at_desired_time(self) -> bool:
        """Whether the order can be ready when it was asked for."""
        return self.desired is None or self.ready == self.desired

    @property
    def times(self) -> tuple[datetime, ...]:
        """The times that can be chosen, in order. Without slots, a later time than the desired one moves on with the
        clock: such an order can only be for as soon as possible."""
        is_kept = self.desired is not None and (self.is_at_desired_time or self.slots is not None)
        own = (self.ready,) if is_kept and self.ready is not None else ()
        return (*own, *(self.slots or ()))


@dataclass(frozen=True, slots=True)
class SessionOrder:
    """The placed order: the merchant's number, and the aware instant at which it will be ready, if known."""

    number: str
    ready_at: datetime | None = None


# Not frozen: with so many members that takes longer than to decide what they are. Nobody changes one.
@dataclass(slots=True)
class CheckoutSession:
    """A session as it is now, at ``version``; times are aware.

    ``tenders`` and ``fulfillments``: those that the location takes; ``accepts_tips``: for the basket's fulfillment.
    ``currency``: ISO 4217. ``time_zone``: a name of the IANA database, None if unknown. ``price`` is None while the
    basket has none. ``changed``: the total differs from the one that was shown before. ``problems``: what must be
    solved, or why the last completion failed. ``replayed``: this is the recorded answer to an earlier request.
    ``slots``: the times to choose from, as aware instants; ``offered``: all that were ever offered. ``lines``: those of
    ``price``; while there is no price, what the menu says of each, without a total.
    """

    id: str
    caller: str
    state: SessionState
    version: int
    basket: Basket
    location_name: str
    currency: str
    time_zone: str | None
    created_at: datetime
    expires_at: datetime
    price: Price | None = None
    problems: tuple[Problem, ...] = ()
    changed: bool = False
    order: SessionOrder | None = None
    replayed: bool = False
    tenders: tuple[TenderKind, ...] = ()
    fulfillments: tuple[str, ...] = ()
    accepts_tips: bool = False
    slots: tuple[datetime, ...] = ()
    offered: tuple[datetime, ...] = ()
    lines: tuple[PricedLine, ...] = ()


@dataclass(frozen=True, slots=True)
class RequestKey:
    """The caller's idempotency key, and the body that came with it. Only keyed digests of both are stored."""

    value: str
    body: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class LevelUpTender:
    """Pay through web checkout: ids of a connected merchant and user, and LevelUp's id of the location.

    ``discount``: the cents of LevelUp's discount to apply; None is all of it. Then the buyer pays less than was shown.
    """

    merchant: str
    user: str
    location_id: int
    discount: Cents | None = 0


SessionTender = CreditCard | LevelUpTender
