"""The status of an order after it was placed (STAT-1 to STAT-5)."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from datetime import datetime, timedelta
from typing import Literal, get_args

Stage = Literal["placed", "accepted", "preparing", "ready", "picked_up", "delivered", "cancelled", "refused"]
"""``placed``: the provider has the order. ``accepted``: the restaurant will make it. ``refused``: it will not.
``cancelled``: somebody canceled it after it was placed."""
STAGES: tuple[Stage, ...] = get_args(Stage)
FINAL: frozenset[Stage] = frozenset({"picked_up", "delivered", "cancelled", "refused"})
"""The stages that end an order."""
CALLED_OFF: frozenset[Stage] = frozenset({"cancelled", "refused"})
"""The stages of an order that nobody will make."""
TOO_LATE: frozenset[Stage] = frozenset({"ready", "picked_up", "delivered"})
"""The stages in which an order is not canceled any more."""
WATCHED = timedelta(days=1)
"""For how long after it was placed, or its cancellation was begun, an order is open, unless it has ended (STAT-5)."""
LATER = timedelta(hours=12)
"""An order whose ready time is further ahead when it is placed is open for :data:`WATCHED` after its ready time."""
OPEN_AT_MOST = timedelta(days=14)
"""For how long after it was placed an order is open at most, whenever it is to be ready."""


@dataclass(frozen=True, slots=True)
class OrderStatus:
    """The status of an order, as its provider reports it.

    ``word``: the provider's own; the adapter's table ``order_status`` has its stage.
    ``reference``: our reference from the provider's response, never copied from the arguments (SUB-8). None only if
    the adapter declares ``echoes_nothing``.
    ``changed_at``: when the order came to this status; ``expected_ready_at``: when it will be ready. Both are aware,
    and None where the provider does not say.
    """

    word: str
    _: KW_ONLY
    reference: str | None
    changed_at: datetime | None = None
    expected_ready_at: datetime | None = None
