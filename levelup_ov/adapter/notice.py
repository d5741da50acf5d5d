"""A notice is a webhook of a provider: something has changed, and where to look (EVT-9)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Notice:
    """A provider's message. It says where to look; what it says of a state is not believed.

    ``id``: the provider's id of it, the same each time that it is sent. ``sent_at``: when it was first sent, aware.
    ``kind``: the provider's name for it. ``orders``: the provider's ids of the orders that it is about, if any.
    ``menus``: its ids of the locations whose menu or stock may have changed; None if that may be any of the account.
    """

    id: str
    sent_at: datetime
    kind: str
    orders: tuple[str, ...] = ()
    menus: tuple[str, ...] | None = ()
