"""What the row of an order says of its cancellation, and of the keys under which its refund is requested.

Keys and bodies are digests, ``key=body``, separated by spaces. Rows of earlier releases have keys without a body.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta

from levelup_ov.checkout.store import StoredOrder
from levelup_ov.ledger.records import from_ms, to_ms

MOST_REFUND_KEYS = 20
"""The most keys under which one refund may be requested and later replayed."""
PATIENCE = timedelta(days=1)
"""The age at which a charge, a cancellation or a refund that is not finished is a person's."""


@dataclass(frozen=True, slots=True)
class Cancellation:
    """A cancellation that was requested, and whose charge is not refunded yet.

    ``asked``: the keys and bodies of the requests. ``mark``: when the last one began, as
    :class:`levelup_ov.checkout.leases.Leases` makes it; None: the order's status has proven that it is canceled.
    ``since``: when the first one began, in milliseconds since 1970; 0: not known.
    """

    asked: str
    mark: str | None
    since: int = 0

    def stored(self) -> str:
        """The form in which it is stored with its order."""
        return json.dumps(asdict(self))

    def dated(self, now: datetime) -> Cancellation:
        """With a begin as :func:`dated` makes it."""
        return replace(self, since=dated(self.since, now))


def cancellation_of(order: StoredOrder) -> Cancellation | None:
    """The cancellation of an order, if there is one."""
    return None if order.cancellation is None else Cancellation(**json.loads(order.cancellation))


def dated(since: int | None, now: datetime) -> int:
    """When something began, in milliseconds: ``now``, if that is not known, or the clock has been set back since."""
    return since if since and since <= to_ms(now) else to_ms(now)


def is_old(since: int, now: datetime) -> bool:
    """Whether what began at ``since``, in milliseconds, is a person's now."""
    return now - from_ms(since) >= PATIENCE


def merged(first: str | None, more: str | None) -> str:
    """The keys of both, up to :data:`MOST_REFUND_KEYS`; what ``first`` says of a key counts."""
    found = _bodies(first)
    for key, body in _bodies(more).items():
        if key in found or len(found) < MOST_REFUND_KEYS:
            found[key] = found.get(key) or body
    return " ".join(f"{key}={body}" for key, body in found.items())


def bound_bodies(order: StoredOrder) -> dict[str, str]:
    """For each key under which the refund is requested, also after a cancellation of unknown outcome, the body."""
    begun = cancellation_of(order)
    return _bodies(merged(order.refund_key, begun.asked if begun and begun.mark else None))


def proven(order: StoredOrder, asked: str) -> Cancellation:
    """The cancellation of an order that is proven to be canceled, requested by ``asked`` too.

    A refund that was requested before is part of it: if LevelUp refuses it for now, its keys are not forgotten.
    """
    begun = cancellation_of(order) or Cancellation("", None)
    return Cancellation(merged(merged(asked, begun.asked), order.refund_key), None, begun.since)


def _bodies(keys: str | None) -> dict[str, str]:
    return dict(each.partition("=")[::2] for each in (keys or "").split())
