"""What the channel, or a person, is notified of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, get_args

ChannelKind = Literal["order.status_changed", "submission.resolved", "menu.changed", "item.sold_out", "location.paused"]
ORDER_PLACED, ORDER_CHANGED = "order.placed", "order.status_changed"
"""The events that the follower of an order gets."""
CHANNEL_KINDS: tuple[ChannelKind, ...] = get_args(ChannelKind)
"""The events that the channel gets."""
OPERATOR_KIND = "order.needs_attention"
"""The event that the restaurant's operator gets."""


@dataclass(frozen=True, slots=True)
class Event:
    """A change, as it is reported.

    ``location`` is the id on the wire. Events with the same ``subject`` are delivered in the order of their changes:
    the submission's id for an order, the location's id for the rest. ``data`` has further members, all JSON and
    nothing personal; ``merchant_id`` and ``location_id`` come from here. ``once``: it is recorded only once for its
    ``subject`` and ``what``, as long as events are kept.
    """

    kind: str
    account: str
    location: str
    subject: str
    data: Mapping[str, str | int | bool | None]
    once: bool = False


def attention(
    what: str,
    *,
    account: str,
    location: str,
    submission: str,
    order_id: str | int | None,
    provider_order_id: str | None,
    reference: str,
    request_id: str | None,
    submitted_at: datetime,
    **more: str | None,
) -> Event:
    """What a person needs to call the restaurant about an order; ``what`` is a key of
    :data:`levelup_ov.domain.attention.REMEDIES`, ``more`` are further members."""
    data = {
        "what": what,
        "order_id": order_id,
        "provider_order_id": provider_order_id,
        "reference": reference,
        "request_id": request_id,
        "submitted_at": submitted_at.isoformat(timespec="seconds"),
        **more,
    }
    return Event(OPERATOR_KIND, account, location, submission, data)
