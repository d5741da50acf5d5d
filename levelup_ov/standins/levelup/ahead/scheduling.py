"""Whether a place takes orders for later. Locations do not say so; validations show it. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

SOON = timedelta(hours=24)
"""A refusal counts only for a time this near: a place may take orders for tomorrow, but not for next year."""
REFUSED_TIME = "ready_time_unavailable"


def shown_by(wanted: str | None, quote: Mapping[str, Any] | None, refusal: str | None, now: datetime) -> bool | None:
    """What the answer to a validation shows; None for nothing.

    ``wanted``: the time that was asked for, with an offset. ``refusal``: the code where there is no ``quote``.
    """
    if quote is not None:
        return True if wanted is not None or quote.get("available_at") else None
    if refusal == REFUSED_TIME and wanted is not None and datetime.fromisoformat(wanted) - now <= SOON:
        return False
    return None
