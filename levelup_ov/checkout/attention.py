"""What is reported to the operator about an order of web checkout (EVT-8)."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Literal

from levelup_ov.checkout.failed_orders import SUBMITTED_AND_REFUNDED, UNPROVEN
from levelup_ov.checkout.store import CALLED_OFF_ELSEWHERE, StoredOrder
from levelup_ov.domain.checkout import LEDGER_ACCOUNT
from levelup_ov.domain.event import Event, attention
from levelup_ov.ledger.records import from_ms

What = Literal["charge_differs", "charge_mismatch", "two_charges_for_one_order"]
"""Not a case: nothing has to be settled here before the order can continue."""
PLAIN = "levelup"
"""The location of an order that goes to no provider starts with this; LevelUp's number follows."""


def event_of(order: StoredOrder, what: str, provider_order_id: str | None) -> Event:
    """The event about ``order``; ``what`` is the kind of its case, or :data:`What`.

    It goes to the operator of the restaurant that was to make the order, or else to that of web checkout.
    """
    # A status may change to and fro.
    is_once = what in (CALLED_OFF_ELSEWHERE, SUBMITTED_AND_REFUNDED) or what == UNPROVEN and order.is_made_again
    place = order.provider_location_id
    submitted = json.loads(order.submitted) if order.submitted else {}
    event = attention(
        what,
        account=LEDGER_ACCOUNT if place is None else place.partition(".")[0],
        location=f"{PLAIN}.{order.location_id}" if place is None else place,
        submission=order.id,
        order_id=submitted.get("order_id"),
        provider_order_id=provider_order_id,
        reference=order.id,
        request_id=None,
        submitted_at=from_ms(order.created_at),
        levelup_uuid=order.uuid,
    )
    return replace(event, once=is_once)
