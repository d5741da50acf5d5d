"""What the channel sends, parsed but not yet tied to a location (EP-11)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from levelup_ov.domain.money import Cents
from levelup_ov.domain.order import DeliveryAddress, Item, User
from levelup_ov.domain.tender import LevelUp, Tender


@dataclass(frozen=True, slots=True)
class OrderRequest:
    """The body of an order validation; amounts in cents. A delivery may come without its address (DELIVERY-1).

    ``desired_ready_time`` is naive if the channel sent no offset: local to the location (TIME-2).
    """

    items: tuple[Item, ...]
    user: User
    desired_ready_time: datetime | None = None
    fulfillment_type: str = "pickup"
    special_instructions: str | None = None
    tip: Cents = 0
    merchant_funded_discount: Cents = 0
    delivery_address: DeliveryAddress | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class SubmissionRequest:
    """The body of an order submission: an order, how it is paid, and what identifies it (SUB-3)."""

    order: OrderRequest
    tender: Tender = LevelUp()
    order_number: str | None = None
    grubhub_order_number: str | None = None
