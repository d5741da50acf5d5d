"""What an e-commerce site asks to be charged through LevelUp, parsed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from levelup_ov.domain.money import Cents
from levelup_ov.domain.request import SubmissionRequest

LEDGER_ACCOUNT = "checkout/levelup"
"""The account name of charges in the ledger; no account in the accounts file can have it."""
REFUND_TIME = 4.0
"""Seconds of a request reserved for the refund of an order that its provider refuses."""
ConnectionState = Literal["pending", "granted", "connected", "refused", "disconnected"]
OrderState = Literal[
    "charging", "not_charged", "charged", "submitting", "submitted", "refunding", "refunded", "stuck", "settled"
]
"""``stuck``: the charge must be refunded and LevelUp refuses; a person settles it, then it is ``settled``."""
CaseKind = Literal[
    "refund_refused", "refunded_in_part", "refund_unproven", "not_connected", "charge_unproven",
    "charge_of_another_order", "stray_charge", "meal_unproven", "cancellation_unproven", "canceled_not_refunded",
    "submitted_and_refunded",
]  # fmt: skip
"""Why a person must settle an order; :data:`levelup_ov.domain.attention.REMEDIES` says how."""


@dataclass(frozen=True, slots=True)
class OrderAmounts:
    """The amounts of an order as the site knows them.

    ``outstanding``: the amount due, with ``tax``, before LevelUp's discount and without ``tip``. ``exemption``: the
    part of the rest that earns nothing and gets no discount. ``payment``: the part that the user pays with LevelUp.
    ``tax_after_discount``: the tax after the order's discount, if the discount lowers the site's tax.
    """

    outstanding: Cents
    tax: Cents = 0
    exemption: Cents = 0
    payment: Cents = 0
    tip: Cents = 0
    tax_after_discount: Cents | None = None


@dataclass(frozen=True, slots=True)
class CheckoutOrder:
    """An order to be charged; ``merchant`` and ``user`` are ids of connections, ``location_id`` is LevelUp's.

    ``discount``: how much of LevelUp's discount to apply, None for all of it. ``items`` are LevelUp's own members,
    ready for JSON. ``details`` are passed to LevelUp unchanged: cashier, register, a message for the receipt.
    """

    merchant: str
    user: str
    location_id: int
    check: OrderAmounts
    items: tuple[Mapping[str, Any], ...]
    discount: Cents | None = None
    identifier: str | None = None
    details: Mapping[str, str | None] | None = None


@dataclass(frozen=True, slots=True)
class Delivery:
    """Where an order goes once it is charged: a provider's location, and what is submitted there."""

    provider_location_id: str
    submission: SubmissionRequest
