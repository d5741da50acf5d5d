"""The durable record of submissions, by which the provider gets at most one order each (SUB-2 to SUB-5).

A submission is claimed before anything is sent, marked before the order is placed, and settled after; the
transitions of :mod:`levelup_ov.domain.submission` are its whole life. Every change is guarded by the states
it may come from, so that a late writer changes nothing and learns so (:class:`Superseded`). Each claim makes
a row of its own, and only its claimant knows the id: the id is what fences others off.

No card, CVV, secret, name, phone number or address is stored: a row holds ids, states, amounts, times,
keyed digests and the recorded answer.

Times are the database's own, so that the clocks of several hosts need not agree; with SQLite that is the
one host's clock. A killed owner leaves a row whose lease runs out: *claimed* becomes *not placed*, since
nothing was sent, and *sending* becomes *unknown*.
"""

from __future__ import annotations

import json
import os
import socket
import time
import uuid
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta, timezone
from typing import Any

from levelup_ov.domain.submission import SETTLED, TRANSITIONS, State
from levelup_ov.ledger.database import Database
from levelup_ov.ledger.identity import WINDOWS, Identity, Kind
from levelup_ov.ledger.statements import Statement
from levelup_ov.ledger.tables import PURGED_AT_ONCE, SUBMISSIONS, Statements

RETENTION = timedelta(days=30)
SHORTEST_RETENTION = max(WINDOWS.values()) + timedelta(days=1)
LARGEST_TRACE = 4096
"""Characters of a trace as JSON."""

_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
_MILLISECOND = timedelta(milliseconds=1)


@dataclass(frozen=True, slots=True)
class Submission:
    """One row, as it stood at ``seen_at``. All times are aware, in UTC; amounts in cents.

    ``id`` is also our reference at the provider. ``owner`` names host and process, for people.
    ``content`` has the content's digest under each key. ``answer`` is the recorded answer's JSON text.
    ``trace`` is what the adapter left to find the order by.
    """

    id: str
    account: str
    location: str
    state: State
    content: tuple[str, ...]
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
    seen_at: datetime

    @property
    def charge_mismatch(self) -> bool:
        """Whether the provider charged another amount than it was asked to (PAY-4)."""
        return None not in (self.charged, self.expected_charge) and self.charged != self.expected_charge

    def conclusive_from(self, grace: timedelta) -> datetime:
        """From when on the provider's "no such order" proves that none will appear.

        ``grace`` is the deadline of a submission plus a margin for what is still on its way.
        """
        return (self.sending_at or self.claimed_at) + grace


@dataclass(frozen=True, slots=True)
class Claimed:
    """This caller alone may send the submission, under this id."""

    id: str


@dataclass(frozen=True, slots=True)
class Recorded:
    """It was placed: ``submission.answer`` is the answer (SUB-4)."""

    submission: Submission


@dataclass(frozen=True, slots=True)
class InProgress:
    """Another worker has it in hand (409)."""

    submission: Submission


@dataclass(frozen=True, slots=True)
class Unknown:
    """It may have been placed: ask the provider first (SUB-5)."""

    submission: Submission


@dataclass(frozen=True, slots=True)
class Reused:
    """The identity belongs to a submission with another content (422)."""

    submission: Submission


Claim = Claimed | Recorded | InProgress | Unknown | Reused

# The order is that of preference where the identities of one claim belong to several submissions.
_VERDICTS: Mapping[State, type[Recorded | Unknown | InProgress]] = {
    "placed": Recorded,
    "unknown": Unknown,
    "sending": InProgress,
    "claimed": InProgress,
}


class Superseded(Exception):
    """The submission is no longer in a state that this change may come from; nothing was changed.

    ``submission`` is the row as it stands, None if there is none. Before :meth:`Ledger.begin_sending` it
    means: do not send. At :meth:`Ledger.place` with ``not_placed`` it means that an order stands which
    was ruled out: a person must look.
    """

    def __init__(self, change: str, submission: Submission | None) -> None:
        state = submission.state if submission else "missing"
        super().__init__(f"{change}: the submission is {state}")
        self.submission = submission


class _Seen(Exception):
    """An identity was used before."""


class TooEarly(Exception):
    """A request may have been in flight when the provider was asked; ask again at ``not_before``."""

    def __init__(self, not_before: datetime) -> None:
        super().__init__(f"an order may still arrive; ask the provider again at {not_before.isoformat()}")
        self.not_before = not_before


class Ledger:
    """The ledger; one object serves all threads of a process, and its children after a fork.

    Every method raises :class:`~levelup_ov.ledger.engine.LedgerUnavailable` where the database cannot be
    reached or written; then nothing was changed, or, if the connection or the disk broke at the very end,
    the change may stand. Either way the same call may be made again, except :meth:`begin_sending`: do not send.
    """

    def __init__(self, database: Database, clock: Callable[[], datetime] | None = None) -> None:
        self.database = database
        self._now: Callable[[], int | None] = _no_clock if database.is_postgresql else _host_clock
        if clock is not None:
            self._now = lambda: _to_ms(clock())
        self._sql = Statements(database, own_clock=self._now is _no_clock)
        self._host = socket.gethostname()

    def claim(
        self,
        *,
        account: str,
        location: str,
        identities: tuple[Identity, ...],
        content: tuple[str, ...],
        lease: timedelta,
        request_id: str | None = None,
    ) -> Claim:
        """Reserve the right to send a submission, or learn what became of it (SUB-3, SUB-4).

        All identities are claimed together, a match on any one decides. Where the content is the same,
        the identities that are new, or digested under new keys, are added to the submission found, so
        that a later request with only those finds it too. ``lease`` must cover all that happens before
        :meth:`begin_sending`.
        """
        kinds = {digest: identity.kind for identity in identities for digest in identity.digests}
        if not kinds or not content:
            raise ValueError("a submission without an identity or content cannot be claimed")
        this = _new_id()
        owner = f"{self._host}/{os.getpid()}"
        pointers = [{"digest": digest, "kind": kind, "submission": this} for digest, kind in kinds.items()]

        def once(cursor: Any, look: bool) -> Claim:
            self._lock(cursor, kinds)
            if look and (held := self._held(cursor, kinds)):
                return self._recognised(cursor, held, kinds, content, this)
            row = {
                "id": this,
                "account": account,
                "location": location,
                "content": " ".join(content),
                "owner": owner,
                "request_id": request_id,
                "lease": lease // _MILLISECOND,
                "now": self._now(),
            }
            self._sql.insert.run(cursor, row)
            point = self._sql.point if look else self._sql.introduce
            if point.run_each(cursor, pointers) < len(pointers):
                raise _Seen
            return Claimed(this)

        try:
            # Nearly every submission is new, and then nothing needs to be read.
            return self.database.run(once)
        except _Seen:
            return self.database.run(lambda cursor, _: once(cursor, True))

    def begin_sending(self, id: str, *, lease: timedelta, trace: Mapping[str, Any] | None = None) -> None:
        """Mark that the order is about to be placed. Only after this has returned may it be sent.

        ``lease`` must cover the sending and the settling. ``trace`` is a small object by which the adapter
        can find the order later; nothing personal.

        :raises Superseded: the claim was lost; do not send.
        """
        values = {"lease": lease // _MILLISECOND, "left": _trace(trace)}
        # Nobody else knows the id: found in its new state, the row was changed by the first try.
        self._change("begin_sending", id, lambda _, again: again, durably=True, **values)

    def place(
        self,
        id: str,
        *,
        answer: str,
        order_id: str | int,
        provider_order_id: str,
        expected_charge: int | None = None,
        charged: int | None = None,
    ) -> None:
        """Settle: the order stands at the provider. Accepted from a slow owner and from a reconciliation.

        ``answer`` is the JSON text that replays will get; amounts are in cents (PAY-4). The same order may
        be reported again; the first answer stays.

        :raises Superseded: it was settled otherwise.
        """
        self._change(
            "place",
            id,
            lambda row, _: row.provider_order_id == provider_order_id,
            answer=answer,
            order_id=json.dumps(order_id),
            provider_order_id=provider_order_id,
            expected_charge=expected_charge,
            charged=charged,
        )

    def fail(self, id: str) -> None:
        """Settle: the owner's own call proves that no order stands. Its identities are free again.

        For the owner only, since it knows that its request is over; others use :meth:`rule_out`.

        :raises Superseded: it was settled otherwise.
        """
        self._change("fail", id)

    def lose(self, id: str, *, trace: Mapping[str, Any] | None = None) -> None:
        """The owner's call proved nothing. ``trace``, where given, replaces the one left before.

        :raises Superseded: it was settled meanwhile.
        """
        self._change("lose", id, left=_trace(trace))

    def rule_out(self, submission: Submission, *, grace: timedelta) -> None:
        """Settle an unknown submission: asked *after* ``submission`` was read here, the provider has no such order.

        :raises TooEarly: it was read within ``grace`` of its sending, when the order could still arrive.
        :raises Superseded: it was settled otherwise.
        """
        not_before = submission.conclusive_from(grace)
        if submission.seen_at < not_before:
            raise TooEarly(not_before)
        self._change("rule_out", submission.id)

    def show(self, id: str) -> Submission | None:
        """The submission with this id."""

        def work(cursor: Any, _again: bool) -> Submission | None:
            submission = self._read(cursor, id)
            return submission and self._on_sight(cursor, submission)

        return self.database.run(work)

    def open_submissions(self, *, limit: int = 1000) -> tuple[Submission, ...]:
        """The submissions that are not settled, oldest first; what has outlived its lease is resolved first."""

        def work(cursor: Any, _again: bool) -> tuple[Submission, ...]:
            rows = self._sql.open.all(cursor, {"limit": limit, "now": self._now()})
            seen = [self._on_sight(cursor, _submission(row)) for row in rows]
            return tuple(submission for submission in seen if submission.state not in SETTLED)

        return self.database.run(work)

    def find(
        self,
        *,
        state: State | None = None,
        account: str | None = None,
        location: str | None = None,
        number: str | None = None,
        charge_mismatch: bool = False,
        limit: int = 100,
    ) -> tuple[Submission, ...]:
        """Submissions for an operator to look at, newest first.

        ``number`` is an order id, a provider's order id, a request id or an id of ours.
        """
        columns = SUBMISSIONS.c
        query = self._sql.all.order_by(columns.claimed_at.desc()).limit(limit)
        for column, value in ((columns.state, state), (columns.account, account), (columns.location, location)):
            if value is not None:
                query = query.where(column == value)
        if number is not None:
            as_order_id = columns.order_id.in_([number, json.dumps(number)])
            ids = (columns.provider_order_id == number) | (columns.request_id == number) | (columns.id == number)
            query = query.where(as_order_id | ids)
        if charge_mismatch:
            query = query.where(columns.charged != columns.expected_charge)
        statement = Statement(self.database.engine.dialect, query)
        rows = self.database.run(lambda cursor, _: statement.all(cursor, {"now": self._now()}))
        return tuple(map(_submission, rows))

    def purge(self, *, retention: timedelta = RETENTION) -> int:
        """Delete what was settled longer than ``retention`` ago, with its identities; gives the number.

        :raises ValueError: the retention is shorter than identities must be kept (SUB-3).
        """
        if retention < SHORTEST_RETENTION:
            raise ValueError(f"submissions are kept for at least {SHORTEST_RETENTION.days} days")

        def purge_some(cursor: Any, _again: bool) -> int:
            values = {"retention": retention // _MILLISECOND, "now": self._now()}
            return int(self._sql.purge.run(cursor, values).rowcount)

        gone = 0
        while True:
            part = self.database.run(purge_some)
            gone += part
            if part < PURGED_AT_ONCE:
                return gone

    def ready(self) -> None:
        """Make sure that submissions can be taken: the schema fits and the database is not read-only.

        A full disk shows only in writing: then :meth:`claim` says so, before anything is sent.

        :raises levelup_ov.ledger.engine.SchemaMismatch: the schema is missing, older or newer.
        """
        self.database.check_schema()
        # Deletes nothing, yet is refused by a database that can only be read.
        self.database.run(lambda cursor, _: self._sql.write_nothing.run(cursor, {}))
        self.database.force()

    def close(self) -> None:
        """Close all connections."""
        self.database.close()

    def _read(self, cursor: Any, id: str) -> Submission | None:
        row = self._sql.row.first(cursor, {"this": id, "now": self._now()})
        return _submission(row) if row else None

    def _held(self, cursor: Any, digests: Collection[str]) -> dict[str, Submission]:
        """The submissions that the identities belong to now, by digest.

        The rows need no lock: what frees an identity (not placed, or a window that passed) never changes
        back, and the change of an expired lease is guarded.
        """
        held = {}
        for digest in digests:
            match = self._sql.match.first(cursor, {"digest": digest, "now": self._now()})
            submission = match and self._on_sight(cursor, _submission(match))
            if submission and _holds(submission, match.kind):
                held[digest] = submission
        return held

    def _lock(self, cursor: Any, digests: Collection[str]) -> None:
        """Make claims of a common identity wait for one another; on SQLite all do anyway."""
        if self.database.is_postgresql:
            self._sql.lock.run(cursor, {"keys": sorted(map(_advisory_key, digests))})

    def _recognised(
        self,
        cursor: Any,
        held: Mapping[str, Submission],
        kinds: Mapping[str, Kind],
        content: tuple[str, ...],
        this: str,
    ) -> Claim:
        """What a claim answers whose identities are taken; what it brings anew is added to the one found."""
        same = [submission for submission in held.values() if set(content) & set(submission.content)]
        if not same:
            return Reused(next(iter(held.values())))
        found = min(same, key=lambda submission: list(_VERDICTS).index(submission.state))
        self._sql.point.run_each(
            cursor,
            [
                {"digest": digest, "kind": kind, "submission": found.id}
                for digest, kind in kinds.items()
                if digest not in held
            ],
        )
        if under_new_keys := [digest for digest in content if digest not in found.content]:
            every = " ".join((*under_new_keys, *found.content))
            self._sql.widen.run(cursor, {"this": found.id, "content": every})
        # Its own row is found where the first try was committed but the connection broke.
        return Claimed(this) if found.id == this else _VERDICTS[found.state](found)

    def _on_sight(self, cursor: Any, submission: Submission) -> Submission:
        """The submission, its expired lease resolved."""
        change = {"claimed": "abandon", "sending": "expire"}.get(submission.state)
        if change is None or submission.lease_until > submission.seen_at:
            return submission
        if self._sql.changes[change].run(cursor, {"this": submission.id, "now": self._now()}).rowcount:
            return replace(submission, state=TRANSITIONS[change].target)
        return self._read(cursor, submission.id) or submission

    def _change(
        self,
        change: str,
        id: str,
        done: Callable[[Submission, bool], bool] = lambda row, again: True,
        *,
        durably: bool = False,
        **values: Any,
    ) -> None:
        """Make a change, or raise.

        ``done`` tells whether a row that is in the target state already will do, and hears whether a first try may
        have been made. ``durably``: it survives a power failure when this returns.
        """

        def once(cursor: Any, again: bool) -> tuple[int, bool]:
            values["now"] = self._now()
            return self._sql.changes[change].run(cursor, values).rowcount, again

        values["this"] = id
        changed, again = self.database.run_durably(once) if durably else self.database.run(once, single=True)
        if changed:
            return
        row = self.database.run(lambda cursor, _: self._read(cursor, id), single=True)
        if row is None or row.state != TRANSITIONS[change].target or not done(row, again):
            raise Superseded(change, row)


def open_ledger(url: str, *, pool_size: int = 16, clock: Callable[[], datetime] | None = None) -> Ledger:
    """The ledger at ``url``; connects at first use. ``pool_size`` should be the number of threads.

    ``clock`` gives the time as an aware datetime in place of the database's own clock.

    :raises ValueError: not an address of SQLite or PostgreSQL.
    """
    return Ledger(Database(url, pool_size=pool_size), clock)


def _submission(row: Any) -> Submission:
    return Submission(
        id=row.id,
        account=row.account,
        location=row.location,
        state=row.state,
        content=tuple(row.content.split()),
        owner=row.owner,
        request_id=row.request_id,
        claimed_at=_from_ms(row.claimed_at),
        lease_until=_from_ms(row.lease_until),
        sending_at=row.sending_at and _from_ms(row.sending_at),
        settled_at=row.settled_at and _from_ms(row.settled_at),
        trace=row.trace and json.loads(row.trace),
        provider_order_id=row.provider_order_id,
        order_id=row.order_id and json.loads(row.order_id),
        answer=row.answer,
        expected_charge=row.expected_charge,
        charged=row.charged,
        seen_at=_from_ms(row.seen_at),
    )


def _holds(submission: Submission, kind: Kind) -> bool:
    """Whether an identity of this kind is still taken by the submission (SUB-3)."""
    if submission.state == "placed" and submission.settled_at is not None:
        return submission.seen_at < submission.settled_at + WINDOWS[kind]
    return submission.state != "not_placed"


def _trace(trace: Mapping[str, Any] | None) -> str | None:
    if trace is None:
        return None
    written = json.dumps(dict(trace))
    if len(written) > LARGEST_TRACE:
        raise ValueError(f"a trace has at most {LARGEST_TRACE} characters")
    return written


def _advisory_key(digest: str) -> int:
    return int.from_bytes(bytes.fromhex(digest[:16]), "big", signed=True)


def _to_ms(instant: datetime) -> int:
    return (instant - _EPOCH) // _MILLISECOND


def _from_ms(milliseconds: int) -> datetime:
    return _EPOCH + milliseconds * _MILLISECOND


def _new_id() -> str:
    """A UUID of version 7 (RFC 9562): random, but what is new comes last in an index, where its pages are at hand."""
    # Python has uuid.uuid7 from 3.14 on.
    milliseconds, random = time.time_ns() // 1_000_000, int.from_bytes(os.urandom(10), "big")
    version, variant = 0x7 << 76, 0x2 << 62
    return str(uuid.UUID(int=milliseconds << 80 | version | random & ~(0xF << 76 | 0x3 << 62) | variant))


def _host_clock() -> int:
    return time.time_ns() // 1_000_000


def _no_clock() -> None:
    """The database reads its own."""
