"""Where a submission was sent: only that server can prove that there is no order of it (SUB-10)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from levelup_ov.ledger.records import Submission

SENT_TO = "sent_to"
"""The member of a stored trace that is the service's own: no adapter gets it."""
ADDRESS_CHANGED = "set the account's base_url back, or ask the restaurant and settle it by `submissions settle`"
"""What to do about an unknown submission that was sent to another address than its account has now."""
_PORTS = {"http": 80, "https": 443}


def origin_of(address: str) -> str:
    """Scheme, host and port of an address, the same for every spelling of it; a path may be secret."""
    parts = urlsplit(address)
    host, port = (parts.hostname or "").removesuffix("."), parts.port
    host = f"[{host}]" if ":" in host else host
    return f"{parts.scheme}://{host}" + (f":{port}" if port not in (None, _PORTS.get(parts.scheme)) else "")


def stored_trace(trace: Mapping[str, Any] | None, sent_to: str | None) -> Mapping[str, Any] | None:
    """What is stored of an adapter's trace and of where the order is sent."""
    return trace if sent_to is None else {**(trace or {}), SENT_TO: sent_to}


def own_trace(submission: Submission) -> dict[str, Any]:
    """What the adapter recorded."""
    return {name: value for name, value in (submission.trace or {}).items() if name != SENT_TO}


def sent_elsewhere(submission: Submission, address: str) -> str | None:
    """The origin that a submission was sent to, if ``address`` is at another one; not known of older rows."""
    sent_to: str | None = (submission.trace or {}).get(SENT_TO)
    return None if sent_to in (None, origin_of(address)) else sent_to
