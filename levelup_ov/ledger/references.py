"""Which reference the next attempt at an order has at the provider (SUB-11)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from levelup_ov.ledger.identity import Identity, Kind
from levelup_ov.ledger.records import Submission, to_ms

RECENT = timedelta(minutes=10)
"""How long a later attempt sends the time of the first one; after that, the time is wrong for the guest."""


@dataclass(frozen=True, slots=True)
class Match:
    """An identity that was used before, and by what."""

    digest: str
    kind: Kind
    submission: Submission


def following(
    matches: Sequence[Match],
    identities: Sequence[Identity],
    content: tuple[str, ...],
    alike: tuple[str, ...],
    reference: Callable[[int], str] | None,
    now: datetime | None = None,
) -> dict[str, Any]:
    """What a new row inherits from earlier attempts, none of which has its identities any more (SUB-11).

    ``now``: when the new one was received; None: like the first one.
    """
    by_kind = {match.kind: match.submission for match in reversed(matches)}
    before = next(by_kind[identity.kind] for identity in identities if identity.kind in by_kind)
    taken: dict[str, Any] = {"previous": before.id}
    if reference is None:
        return taken
    latest = max(match.submission.generation for match in matches)
    if any(_is_over(match.submission, content, alike) for match in matches):
        return {**taken, "generation": latest + 1, "reference": reference(latest + 1)}
    sent = before.received_at
    # It keeps its reference however old it is by the time of day, which proves nothing (SUB-13).
    is_old = sent is not None and now is not None and abs(now - sent) > RECENT
    received = None if sent is None or is_old else to_ms(sent)
    return {**taken, "generation": latest, "reference": before.reference, "received_at": received}


def _is_over(before: Submission, content: tuple[str, ...], alike: tuple[str, ...]) -> bool:
    """Whether nothing more may be sent under the reference of an earlier attempt.

    An attempt that was not sent, or was not certainly refused by the provider, continues under the reference, so that
    a provider that knows references treats late requests as the same order. A different order does not: such a
    provider would always refuse it.
    """
    if before.ended == "absent":
        return not set(content) & set(before.content)
    if before.ended == "unsent":
        # Calls before the placing one have used the reference.
        return not set(content) & set(before.content) or bool(alike) and not set(alike) & set(before.alike)
    return True
