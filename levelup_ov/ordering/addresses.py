"""Where, and under what name, an order was sent: only there can it be proven that there is none (SUB-10)."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from levelup_ov.adapter import Adapter
from levelup_ov.ledger.records import Submission

SENT_TO, SENT_WITH = "sent_to", "sent_with"
"""The members of a stored trace that are the service's own: no adapter gets them.

The origin of the address, for people; and a digest of each setting that decides where orders are found.
"""
BASE_URL = "base_url"
_PORTS = {"http": 80, "https": 443}
_DIGITS = 12


@dataclass(frozen=True, slots=True)
class Move:
    """What has changed since a submission was sent: the origins of both addresses, and the names of the settings."""

    sent_to: str
    address: str
    changed: tuple[str, ...]

    @property
    def remedy(self) -> str:
        """What to do about it."""
        words = f"set the account's {' and '.join(self.changed)} back"
        return f"{words}, or ask the restaurant and settle it by `submissions settle`"

    def __str__(self) -> str:
        if self.sent_to != self.address:
            return f"sent to {self.sent_to}; the account now has {self.address}: {self.remedy}"
        return f"sent with another {' and '.join(self.changed)} than the account has now: {self.remedy}"


def origin_of(address: str) -> str:
    """Scheme, host and port of an address, the same for every spelling of it; a path may be secret."""
    parts = urlsplit(address)
    host, port = (parts.hostname or "").removesuffix("."), parts.port
    host = f"[{host}]" if ":" in host else host
    return f"{parts.scheme}://{host}" + (f":{port}" if port not in (None, _PORTS.get(parts.scheme)) else "")


def destination(adapter: Adapter) -> dict[str, Any]:
    """What is recorded of where, and under what name, an adapter sends an order."""
    return {SENT_TO: origin_of(adapter.base_url), SENT_WITH: _digests(adapter)}


def stored_trace(trace: Mapping[str, Any] | None, sent_to: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
    """What is stored of an adapter's trace and of its :func:`destination`."""
    return trace if sent_to is None else {**(trace or {}), **sent_to}


def own_trace(submission: Submission) -> dict[str, Any]:
    """What the adapter recorded."""
    return {name: value for name, value in (submission.trace or {}).items() if name not in (SENT_TO, SENT_WITH)}


def moved(submission: Submission, adapter: Adapter) -> Move | None:
    """What has changed since a submission was sent, if anything; what was not recorded has not."""
    trace, address = submission.trace or {}, origin_of(adapter.base_url)
    sent_to: str = trace.get(SENT_TO, address)
    before: Mapping[str, str] | None = trace.get(SENT_WITH)
    if before is None:
        # A row of a release that recorded only the origin.
        return Move(sent_to, address, (BASE_URL,)) if sent_to != address else None
    now = _digests(adapter)
    changed = tuple(name for name, digest in now.items() if before.get(name, digest) != digest)
    return Move(sent_to, address, changed) if changed else None


def _digests(adapter: Adapter) -> dict[str, str]:
    account, path = adapter.account, urlsplit(adapter.base_url).path.rstrip("/")
    names = [name for name, setting in adapter.settings.items() if setting.finds_orders and name != BASE_URL]
    # A hub may serve several providers at one address.
    values = {"provider": account.provider, BASE_URL: origin_of(adapter.base_url) + path}
    values.update({name: account.setting(name) for name in names})
    return {name: hashlib.sha256(f"{name} {value}".encode()).hexdigest()[:_DIGITS] for name, value in values.items()}
