"""What receivers get: JSON for programs, a mail for people; pure functions."""

from __future__ import annotations

import json
from datetime import datetime

from levelup_ov.domain.attention import REMEDIES
from levelup_ov.domain.words import one_line
from levelup_ov.ledger.event_deliveries import EventDelivery


def body(delivery: EventDelivery) -> str:
    """The body of a request, the same for every attempt: type, timestamp and data of the event."""
    data = json.loads(delivery.data)
    content = {"type": delivery.kind, "timestamp": instant(delivery.created_at), "data": data}
    return json.dumps(content, ensure_ascii=False, separators=(",", ":"))


def mail(delivery: EventDelivery) -> tuple[str, str]:
    """Subject and text of a mail about what a person must do."""
    data = json.loads(delivery.data)
    what = data["what"]
    lines = [
        f"{what}: {REMEDIES.get(what, 'see the operating guide')}.",
        "",
        *(f"{name.replace('_', ' ')}: {one_line(value)}" for name, value in data.items() if value is not None),
        f"noticed at: {instant(delivery.created_at)}",
        f"event: {delivery.id}",
        "",
        "The ledger has more: levelup-ov submissions list --number "
        f"{one_line(data.get('reference') or data.get('order_id') or '')}",
        *(["For web checkout: levelup-ov checkout cases"] if "levelup_uuid" in data else []),
    ]
    return f"{what} at {delivery.location}", "\n".join(lines)


def instant(at: datetime) -> str:
    """An aware time in RFC 3339, in UTC with milliseconds."""
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
