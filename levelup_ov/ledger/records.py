"""What the ledger knows of a submission, and what a claim of one can find."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import Any

from levelup_ov.domain.failure import Failure
from levelup_ov.domain.outcome import mischarge
from levelup_ov.domain.submission import LOOKED_AGAIN, Ended, Finding, State
from levelup_ov.ledger.identity import PERIOD

_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
MILLISECOND = timedelta(milliseconds=1)
RETENTION = PERIOD
"""After this time an identity has different references (SUB-11), and settled submissions may be deleted."""
LARGEST_TRACE = 4096
"""The most characters of a trace as JSON."""


@dataclass(frozen=True, slots=True)
class Submission:
    """One row as of ``seen_at``. All times are aware, in UTC; amounts in cents.

    ``reference`` is our reference at the provider. ``owner`` names host and process, for people.
    ``content`` has the content's digest under each key, ``alike`` that of content and guest. ``answer`` is the
    recorded answer's JSON text.
    ``trace`` is what the adapter recorded to find the order by. ``received_at``: the time that was sent. ``boot`` and
    ``since`` are the time of the last change by its writer's clock, ``lease`` is how long it counts.
    ``proven``: whether the provider named our reference. ``ended``: the proof that it was not placed.
    ``previous``: the id of the previous attempt. ``card``: paid with a card that cannot be used again.
    ``settled_by``: the person who stated the outcome, at ``settled_at``. ``found_order_id`` and
    ``found_provider_order_id``: the order that the finding is about; ``finding_closed_at``: when a person closed it.
    """

    id: str
    account: str
    location: str
    state: State
    content: tuple[str, ...]
    alike: tuple[str, ...]
    owner: str
    request_id: str | None
    claimed_at: datetime
    lease_until: datetime
    sending_at: datetime | None
    settled_at: datetime | None
    trace: Mapping[str, Any] | None
    provider_order_id: str | None
    order_id: str | int | None
    answer: str | None
    expected_charge: int | None
    charged: int | None
    reference: str
    generation: int
    received_at: datetime | None
    boot: str
    since: int
    lease: timedelta
    proven: bool | None
    ended: Ended | None
    previous: str | None
    card: bool
    looked_again: int
    look_again_at: datetime | None
    finding: Finding | None
    settled_by: str | None
    found_order_id: str | int | None
    found_provider_order_id: str | None
    finding_closed_at: datetime | None
    seen_at: datetime

    @property
    def open_finding(self) -> str | None:
        """What a person must still look at: its finding, or ``charge_mismatch``."""
        if self.finding_closed_at is not None:
            return None
        return self.finding or ("charge_mismatch" if self.charge_mismatch else None)

    @property
    def charge_mismatch(self) -> bool:
        """Whether the provider charged a different amount than requested (PAY-4)."""
        return mischarge(self.expected_charge, self.charged) is not None

    @property
    def is_last_look(self) -> bool:
        """Whether it was settled so long ago that the last of its later looks is due (SUB-12)."""
        return self.settled_at is None or self.seen_at - self.settled_at >= LOOKED_AGAIN[-1]

    @property
    def version(self) -> str:
        """A version that changes with every change of its state."""
        return f"{self.state} {self.since} {self.boot}"


@dataclass(frozen=True, slots=True)
class Claimed:
    """Only this caller may send the submission, under this reference.

    ``received_at``: the time that an earlier attempt under this reference sent, None if there was none. ``generation``
    and ``previous``: as in its :class:`Submission`.
    """

    id: str
    reference: str
    received_at: datetime | None = None
    generation: int = 0
    previous: str | None = None


@dataclass(frozen=True, slots=True)
class AlreadyPlaced:
    """It was placed: ``submission.answer`` is the answer (SUB-4)."""

    submission: Submission


@dataclass(frozen=True, slots=True)
class InProgress:
    """Another worker is processing it (409)."""

    submission: Submission


@dataclass(frozen=True, slots=True)
class Unknown:
    """It may have been placed: ask the provider first (SUB-5).

    ``placed``: the one that decides once this is known, if other identities of the claim belong to it.
    """

    submission: Submission
    placed: Submission | None = None


@dataclass(frozen=True, slots=True)
class Reused:
    """The identity belongs to a submission with different content (422)."""

    submission: Submission


@dataclass(frozen=True, slots=True)
class Incomparable:
    """The identity was used before, and only a secret key that is missing here can compare the contents (504)."""

    submission: Submission


Taken = AlreadyPlaced | InProgress | Unknown | Reused | Incomparable
Claim = Claimed | Taken


class NeverSent(Exception):
    """The ledger has no submission with an identity or the content of this one, or it was not placed."""


class Superseded(Exception):
    """The submission is no longer in a state that allows this change; nothing was changed.

    ``submission`` is the current row, None if there is none. From :meth:`Transitions.begin_sending` it means: do not
    send. From :meth:`Transitions.place` with ``not_placed`` it means that an order exists that was ruled out: a person
    must look.
    """

    def __init__(self, change: str, submission: Submission | None) -> None:
        state = submission.state if submission else "missing"
        super().__init__(f"{change}: the submission is {state}")
        self.submission = submission


class TooEarly(Exception):
    """A request may have been in flight, or the provider asleep; ask again after ``wait``."""

    def __init__(self, wait: timedelta) -> None:
        super().__init__(f"an order may still arrive; ask the provider again in {wait.total_seconds():g} s")
        self.wait = wait


class Clash(Exception):
    """The provider's order belongs to ``holder``: this submission is unknown now."""

    def __init__(self, holder: Submission) -> None:
        super().__init__(f"the order is that of submission {holder.id}")
        self.holder = holder


@dataclass(frozen=True, slots=True)
class Backlog:
    """The submissions of an account in one state: how many, and the age of the oldest."""

    account: str
    state: State
    number: int
    age: timedelta


def submission_of(row: Any) -> Submission:
    """The submission of a row of the database."""
    return Submission(
        id=row.id,
        account=row.account,
        location=row.location,
        state=row.state,
        content=tuple(row.content.split()),
        alike=tuple(row.alike.split()),
        owner=row.owner,
        request_id=row.request_id,
        claimed_at=from_ms(row.claimed_at),
        lease_until=from_ms(row.lease_until),
        sending_at=row.sending_at and from_ms(row.sending_at),
        settled_at=row.settled_at and from_ms(row.settled_at),
        trace=row.trace and json.loads(row.trace),
        provider_order_id=row.provider_order_id,
        order_id=row.order_id and json.loads(row.order_id),
        answer=row.answer,
        expected_charge=row.expected_charge,
        charged=row.charged,
        # Releases before 0003 know none of the rest.
        reference=row.reference or row.id,
        generation=row.generation,
        received_at=row.received_at and from_ms(row.received_at),
        boot=row.boot,
        since=row.since,
        lease=(row.lease or row.lease_until - (row.sending_at or row.claimed_at)) * MILLISECOND,
        proven=None if row.proven is None else bool(row.proven),
        ended=row.ended,
        previous=row.previous,
        card=bool(row.card),
        looked_again=row.looked_again,
        look_again_at=row.look_again_at and from_ms(row.look_again_at),
        finding=row.finding,
        settled_by=row.settled_by,
        found_order_id=row.found_order_id and json.loads(row.found_order_id),
        found_provider_order_id=row.found_provider_order_id,
        finding_closed_at=row.finding_closed_at and from_ms(row.finding_closed_at),
        seen_at=from_ms(row.seen_at),
    )


def trace_json(trace: Mapping[str, Any] | None) -> str | None:
    """A trace as it is recorded.

    :raises Failure: ``provider_protocol_error``: it is too large.
    """
    if trace is None:
        return None
    written = json.dumps(dict(trace))
    if len(written) > LARGEST_TRACE:
        words = f"the provider's ids are too long: more than {LARGEST_TRACE} characters would have to be kept"
        raise Failure("provider_protocol_error", words)
    return written


def to_ms(instant: datetime) -> int:
    """Milliseconds since 1970 of an aware instant."""
    return (instant - _EPOCH) // MILLISECOND


def from_ms(milliseconds: int) -> datetime:
    """The instant, in UTC."""
    return _EPOCH + milliseconds * MILLISECOND


def id_before(id: str, age: timedelta) -> str:
    """What ids compare with that were made at most ``age`` before ``id``, by the clocks of their hosts."""
    then = max(int(id.replace("-", "")[:12], 16) - age // MILLISECOND, 0)
    return f"{then >> 16:08x}-{then & 0xFFFF:04x}"


def new_id() -> str:
    """A UUID of version 7 (RFC 9562): random, but new ones come last in an index, where its pages are cached."""
    # Python has uuid.uuid7 from 3.14 on. Its UUID takes more than twice the time of these digits.
    now, random = f"{time.time_ns() // 1_000_000:012x}", os.urandom(10).hex()
    variant = "89ab"[int(random[3], 16) % 4]
    return f"{now[:8]}-{now[8:]}-7{random[:3]}-{variant}{random[4:7]}-{random[7:19]}"
