"""The durable record of submissions, which ensures at most one order for each (SUB-2 to SUB-5).

A submission is claimed before anything is sent, marked before the order is placed, and settled after. Its only
transitions are those of :mod:`levelup_ov.domain.submission`. Every change names the states it may start from, so that
a late writer changes nothing and gets an exception (:class:`Superseded`). Each claim creates a new row, and only its
claimant knows the id, which fences off all others. The provider gets the row's reference, which is the same for all
attempts at one order (SUB-11).

No card, CVV, secret, name, phone number or address is stored: a row contains ids, states, amounts, times, keyed
digests and the recorded answer.

A killed owner leaves a row whose lease expires: *claimed* becomes *not placed*, because nothing was sent, and
*sending* becomes *unknown*. A lease expires for an observer that has seen the row unchanged for that long, by a clock
that cannot be set (SUB-13). The times of day in a row come from the database, and are for people.
"""

from __future__ import annotations

import json
import logging
import os
import socket
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from levelup_ov.domain.attention import REMEDIES
from levelup_ov.domain.checkout import LEDGER_ACCOUNT
from levelup_ov.domain.outcome import mischarge
from levelup_ov.domain.submission import LOOKED_AGAIN, SETTLED, TRANSITIONS, Ended, Finding, State
from levelup_ov.ledger.batches import in_batches
from levelup_ov.ledger.boot_clock import Observer
from levelup_ov.ledger.claims import Claims
from levelup_ov.ledger.clocks import Clocks
from levelup_ov.ledger.database import Database
from levelup_ov.ledger.identity import (
    PERIOD,
    WINDOWS,
    Identity,
    charge_digest,
    charge_of,
    kinds_of,
)
from levelup_ov.ledger.matches import Matches
from levelup_ov.ledger.outbox import Outbox
from levelup_ov.ledger.records import (
    MILLISECOND,
    Backlog,
    Clash,
    Submission,
    Superseded,
    TooEarly,
    new_id,
    submission_of,
    to_ms,
    trace_json,
)
from levelup_ov.ledger.restoring import Restorer
from levelup_ov.ledger.rows import Rows
from levelup_ov.ledger.searches import PLAIN_SEARCH, Search, conditions, has_number
from levelup_ov.ledger.sights import Sights
from levelup_ov.ledger.statements import Statement
from levelup_ov.ledger.submission_events import attention_to, events_of, log_facts
from levelup_ov.ledger.tables import IS_MISCHARGED, SUBMISSIONS, Statements

RETENTION = PERIOD
"""After this time an identity has different references (SUB-11), and settled submissions may be deleted."""
SHORTEST_RETENTION = max(WINDOWS.values()) + timedelta(days=1)
MOST_ATTEMPTS = 50
"""How many attempts at an order are looked through for one that was refused."""
REFERENCES = "references"
"""The name of the key that references are made with."""
ABSENT = "absent"
"""The sight of a provider that has no order."""
REPEATED = "repeated "
"""How the sight of a placing call begins that is sent again to learn what became of the submission."""
_FIRST_PAUSE = LOOKED_AGAIN[0] // MILLISECOND

log = logging.getLogger(__name__)

Follow = Callable[[Submission], Callable[[Any, Submission], None]]
"""Called with a submission before another outcome of it is recorded.

Returns what to do in that transaction, with its cursor and the submission as it is then.
"""


class Ledger:
    """The ledger; one object serves all threads of a process, and its children after a fork.

    Every method raises :class:`~levelup_ov.ledger.engine.LedgerUnavailable` if the database cannot be reached or
    written. Then nothing was changed; or, if the connection or the disk failed at the very end, the change may have
    been made. Either way the same call may be repeated, except :meth:`begin_sending`: do not send.
    """

    def __init__(
        self, database: Database, clock: Callable[[], datetime] | None = None, observer: Observer | None = None
    ) -> None:
        self.database = database
        self.clocks = Clocks(is_postgresql=database.is_postgresql, clock=clock, observer=observer)
        self._sql = Statements(database, own_clock=self.clocks.own_clock)
        self.sights = Sights(self._sql, self.clocks)
        self._rows = Rows(self._sql, self.clocks, self.sights)
        self._matches = Matches(self._sql, self.clocks, self.sights, self._rows, is_postgresql=database.is_postgresql)
        self.claims = Claims(database, self._sql, self.clocks, self._matches)
        self.restorer = Restorer(database, self._sql, self.clocks, self._rows, self._matches)
        self.outbox = Outbox(database, self.clocks.now, own_clock=self.clocks.own_clock)
        self.follow: Follow | None = None
        """Called before an outcome is taken back, and before an unknown submission is recorded as placed."""
        self._host = socket.gethostname()
        self._reference_key: bytes | None = None
        self._integrity_error: type[Exception] = database.engine.dialect.loaded_dbapi.IntegrityError

    def load_ahead(self, keys: int) -> None:
        """Compile what a submission runs under this many secret keys, so that processes share it after a fork."""
        self._sql.compile_frequent(digests=2 * keys)

    def reference_key(self, first: bytes) -> bytes:
        """The key that references are made with (SUB-11): the ``first`` one that somebody named, from then on.

        So it stays when the keys of the configuration are changed, and is the same in every copy of the ledger.
        """
        if self._reference_key is None:

            def work(cursor: Any, _again: bool) -> str:
                self._sql.keep_key.run(cursor, {"name": REFERENCES, "value": first.hex()})
                return str(self._sql.key.first(cursor, {"name": REFERENCES}).value)

            self._reference_key = bytes.fromhex(self.database.run(work))
        return self._reference_key

    def named(self, identities: tuple[Identity, ...]) -> tuple[Submission, ...]:
        """The last submission that used each of these identities, in any state."""
        kinds = kinds_of(identities)
        matches = self.database.run(lambda cursor, _: self._matches.of(cursor, kinds))
        return tuple({match.submission.id: match.submission for match in matches}.values())

    def identities_of(self, id: str) -> tuple[Identity, ...]:
        """The identities of a submission, as the ledger has them: each digest is one."""
        rows = self.database.run(lambda cursor, _: self._sql.digests.all(cursor, {"this": id}), single=True)
        return tuple(Identity(row.kind, (row.digest,)) for row in rows)

    def requested(self, location: str, request_id: str) -> tuple[Submission, ...]:
        """The submissions of a request to a location, in any state; no secret key is needed to find them.

        If the request was of an order that is charged, also the one that was found to be the same.
        """
        values = {"request_id": request_id, "digest": charge_digest(request_id), "now": self.clocks.now()}

        def work(cursor: Any, _again: bool) -> tuple[Submission, ...]:
            rows = (*self._sql.requested.all(cursor, values), *self._sql.match.all(cursor, values))
            found = {row.id: submission_of(row) for row in rows if row.location == location}
            return tuple(self._rows.resolve_expired(cursor, each) for each in found.values())

        return self.database.run(work)

    def charges_of(self, cursor: Any, submission: str) -> tuple[str, ...]:
        """The ids of the charges that were found to be for this submission, which another request had made.

        There are no more of them until the transaction of ``cursor`` ends.
        """
        self._sql.hold.first(cursor, {"this": submission})
        return tuple(charge_of(row.digest) for row in self._sql.charges.all(cursor, {"this": submission}))

    def begin_sending(
        self,
        id: str,
        *,
        lease: timedelta,
        trace: Mapping[str, Any] | None = None,
        received_at: datetime | None = None,
        found_as: str | None = None,
    ) -> None:
        """Mark that the order is about to be placed. It may be sent only after this has returned.

        ``lease`` must cover the sending and the settling. ``trace`` is a small object by which the adapter
        can find the order later; nothing personal. ``received_at``: the time that is sent. ``found_as``: the reference
        of an earlier attempt, whose order was found; nothing is sent then.

        :raises Superseded: the claim was lost; do not send.
        :raises Failure: ``provider_protocol_error``: the trace is too large; do not send.
        """
        values: dict[str, Any] = {
            "term": lease // MILLISECOND,
            "left": trace_json(trace),
            "received": received_at and to_ms(received_at),
        }

        def rename(cursor: Any) -> None:
            self._sql.rename.run(cursor, {"this": id, "reference": found_as})

        # Nobody else knows the id, so if the row is in its new state, the first try changed it.
        self._change(
            "begin_sending", id, lambda _, again: again,
            durably=not found_as, check=rename if found_as else None, **values,
        )  # fmt: skip

    def check_sending(self, id: str) -> None:
        """Before sending again, make sure that the submission has not been settled since :meth:`begin_sending`.

        :raises Superseded: it has been settled; do not send.
        """
        row = self.database.run(lambda cursor, _: self._rows.read(cursor, id), single=True)
        if row is None or row.state != "sending":
            raise Superseded("begin_sending", row)

    def place(
        self,
        id: str,
        *,
        answer: str,
        order_id: str | int,
        provider_order_id: str,
        expected_charge: int | None = None,
        charged: int | None = None,
        proven: bool = False,
        settled_by: str | None = None,
        ready: datetime | None = None,
        was: Submission | None = None,
    ) -> None:
        """Settle: the order exists at the provider. Accepted from a slow owner and from a reconciliation.

        ``answer`` is the JSON text that replays will get; amounts are in cents (PAY-4). The same order may be reported
        again; the first answer stays. ``proven``: the provider's own answer named our reference. An account's order
        belongs to one submission: one with proof takes it from one without, whose outcome is then unknown again
        (SUB-8). ``ready``: an aware instant; the order is open until after it (STAT-5). ``was``: the submission, if it
        was unknown; a person, ``settled_by``, settles it only if it has not changed since.

        :raises Superseded: it was settled differently.
        :raises Clash: another submission has this order; this one is unknown now.
        """
        values: dict[str, Any] = {
            "answer": answer,
            "order_id": json.dumps(order_id),
            "provider_order_id": provider_order_id,
            "expected_charge": expected_charge,
            "charged": charged,
            "proven": int(proven),
            "settled_by": settled_by,
            "ready": ready and to_ms(ready),
        }
        what = "charge_mismatch" if mischarge(expected_charge, charged) else None

        def check(cursor: Any) -> None:
            self._sql.hold.first(cursor, {"this": id})
            row = self._rows.read(cursor, id)
            if was is not None and row is not None and row.state == "unknown" and row.version != was.version:
                raise Superseded("place", row)

        def place() -> None:
            self._change(
                "place", id, lambda row, _: row.provider_order_id == provider_order_id,
                notify=what, was=was, check=check if settled_by else None, **values,
            )  # fmt: skip

        try:
            place()
        except self._integrity_error:
            this = self.database.run(lambda cursor, _: self._rows.read(cursor, id), single=True)
            holder = this and self.holder(this.account, provider_order_id)
            if holder is not None and holder.id != id:
                if holder.proven or not proven:
                    self.lose(id)
                    raise Clash(holder) from None
                self._change("dispute", holder.id, was=holder)
                log.error("order_disputed", extra=log_facts(holder))
            place()

    def fail(self, id: str, ended: Ended = "unsent") -> None:
        """Settle: the owner's own call proves that no order exists. Its identities are free again.

        Only for the owner, who knows that its request is over; others use :meth:`rule_out`. ``ended``: the proof. One
        that was ``refused`` is looked up again, like one that was ruled out.

        :raises Superseded: it was settled differently, or its lease is over. Then others have looked for the order,
            and may have sent it to do so; the owner does not know what became of that.
        """
        self._change("fail", id, ended=ended, pause=_FIRST_PAUSE if ended == "refused" else None)

    def disprove(self, id: str) -> None:
        """Settle an unknown submission: it is on record elsewhere that the placing call was refused.

        :raises Superseded: it was settled differently.
        """
        self._change("disprove", id, ended="refused")

    def lose(self, id: str, *, trace: Mapping[str, Any] | None = None) -> None:
        """The owner's call proved nothing. ``trace``, if passed, replaces the earlier one.

        :raises Superseded: it has been settled in the meantime.
        """
        self._change("lose", id, left=trace_json(trace))

    def absence(self, submission: Submission, *, grace: timedelta, asked_at: int | None = None) -> timedelta:
        """How much longer the provider must be without the order until that proves that none will appear (SUB-10).

        It had none just now, when it was asked at ``asked_at`` by the observer's clock and answered in time. Zero or
        less: it also had none ``grace`` ago, and no repetition without an answer was sent since.

        :raises Superseded: the ledger no longer contains the submission.
        """
        try:
            return self.database.run(lambda cursor, _: self._wait(cursor, submission, grace, asked_at))
        except self._integrity_error:
            raise Superseded("rule_out", None) from None

    def distrust(self, submission: Submission) -> None:
        """Forget that the provider had no order: it did not answer in time, and may have been asleep (SUB-10)."""
        values = {"this": submission.id, "change": _absence(submission)}
        self.database.run(lambda cursor, _: self._sql.forget_sight.run(cursor, values), single=True)

    def begin_repeating(self, submission: Submission, repetition: str) -> None:
        """Before the placing call is sent again to learn the outcome: make sure that it is still unknown (SUB-9).

        Until :meth:`end_repeating`, no other refusal proves that there is no order, as the call may still arrive.

        :raises Superseded: it has changed since it was read here; do not send.
        """

        def work(cursor: Any, _again: bool) -> None:
            self._sql.hold.first(cursor, {"this": submission.id})
            row = self._rows.read(cursor, submission.id)
            if row is None or (row.state, row.version) != ("unknown", submission.version):
                raise Superseded("rule_out", row)
            self.sights.first(cursor, submission.id, REPEATED + repetition)

        self.database.run(work)

    def end_repeating(self, submission: Submission, repetition: str) -> None:
        """The provider has refused the repeated call."""
        values = {"this": submission.id, "change": REPEATED + repetition}
        self.database.run(lambda cursor, _: self._sql.forget_sight.run(cursor, values), single=True)

    def rule_out(
        self,
        submission: Submission,
        *,
        grace: timedelta,
        asked_at: int | None = None,
        fenced: bool = False,
        card_is_void: bool = False,
        settled_by: str | None = None,
    ) -> None:
        """Settle an unknown submission: asked *after* ``submission`` was read here, the provider has no such order.

        ``fenced``: it refuses late ones. ``card_is_void``: nor was its single-use card charged. ``settled_by``: the
        person who says that there is none. For the rest see :meth:`absence`.

        :raises TooEarly: it is not fenced, and has not been without an order for ``grace``.
        :raises Superseded: it was settled differently.
        """

        def check(cursor: Any) -> None:
            # From here on, nobody begins to repeat it until this transaction ends.
            if self._sql.hold.first(cursor, {"this": submission.id}) is None:
                raise Superseded("rule_out", None)
            if (wait := self._wait(cursor, submission, grace, asked_at)) > timedelta(0):
                raise TooEarly(wait)

        looks = not fenced and settled_by is None
        if looks and (wait := self.absence(submission, grace=grace, asked_at=asked_at)) > timedelta(0):
            raise TooEarly(wait)
        self._change(
            "rule_out",
            submission.id,
            check=check if looks else None,
            ended="fenced" if fenced else "told" if settled_by else "absent",
            settled_by=settled_by,
            finding="card_may_be_charged" if submission.card and not card_is_void else None,
            pause=_FIRST_PAUSE,
            seen_boot=submission.boot,
            seen_since=submission.since,
        )

    def take_back(self, submission: Submission, *, also: Callable[[Any], None]) -> None:
        """Make a submission that a person settled unknown again, so that it is not sent until it is settled again.

        ``also`` is called with the cursor of the transaction, if it was changed.

        :raises Superseded: no person settled it, it has changed since it was read here, or it was ruled out and has
            been sent again since: then its last attempt counts, which ``superseded.submission`` is.
        """
        values = {"this": submission.id, "seen_boot": submission.boot, "seen_since": submission.since}
        later = {"account": submission.account, "after": to_ms(submission.claimed_at), "now": self.clocks.now()}
        follow = self.follow and self.follow(submission)

        def work(cursor: Any, _again: bool) -> None:
            # Claims of its identities wait, so that none starts in the meantime.
            self._matches.lock(cursor, [row.digest for row in self._sql.digests.all(cursor, values)])
            follower = self._sql.followers.first(cursor, {**values, **later})
            if follower is not None and submission.state == "not_placed":
                raise Superseded("take_back", submission_of(follower))
            if not self._sql.changes["take_back"].run(cursor, {**values, **self.clocks.of_change()}).rowcount:
                raise Superseded("take_back", self._rows.read(cursor, submission.id))
            self._followed(cursor, submission.id, follow)
            also(cursor)

        self.database.run(work)

    def due_again(self, *, besides: str = "", limit: int = 1000) -> tuple[Submission, ...]:
        """What was ruled out, or refused, and is due to be looked up again (SUB-12), oldest first.

        Those of the account ``besides`` are left out.
        """
        values = {"limit": limit, "besides": besides, "now": self.clocks.now()}
        return self._several(lambda cursor: self._sql.due.all(cursor, values))

    def looked_again(
        self,
        submission: Submission,
        finding: Finding | None = None,
        order_id: str | int | None = None,
        provider_order_id: str | None = None,
    ) -> None:
        """Record that a submission of :meth:`due_again` was looked up, and the finding, about the order ``order_id``.

        A finding that is new is an event.
        """
        count, following = submission.looked_again + 1, None
        if count < len(LOOKED_AGAIN):
            # From now, because the clock may have been set since it was ruled out.
            following = submission.seen_at + LOOKED_AGAIN[count] - LOOKED_AGAIN[count - 1]
        values = {
            "this": submission.id,
            "was": submission.looked_again,
            "looked_again": count,
            "next": following and to_ms(following),
            **_found(finding, order_id, provider_order_id),
        }
        event = None
        if finding is not None and finding != submission.finding:
            event = attention_to(submission, finding, order_id)

        def work(cursor: Any, _again: bool) -> None:
            if self._sql.look_again.run(cursor, values).rowcount and event is not None:
                self.outbox.record(cursor, event)

        self.database.run(work, single=event is None)

    def note(
        self, id: str, finding: Finding, order_id: str | int | None = None, provider_order_id: str | None = None
    ) -> None:
        """Record what a person must look at, about the order ``order_id``; an event unless it is known."""

        def work(cursor: Any, _again: bool) -> None:
            if self._sql.note.run(cursor, {"this": id, **_found(finding, order_id, provider_order_id)}).rowcount:
                if self.outbox.is_on and (row := self._rows.read(cursor, id)):
                    self.outbox.record(cursor, attention_to(row, finding, order_id))

        self.database.run(work)

    def note_made_again(self, cursor: Any, id: str, order_id: str | int, provider_order_id: str) -> None:
        """Record that a person must look at the orders that were placed because this one was called off (SUB-3).

        It is made again. Called in the transaction of ``cursor``, which records that.
        """
        finding: Finding = "two_orders_for_one_submission"
        found = {"order_id": order_id, "provider_order_id": provider_order_id, "remedy": REMEDIES[finding]}
        for later in self._placed_instead(cursor, id):
            if self._sql.note.run(cursor, {"this": later.id, **_found(finding, order_id, provider_order_id)}).rowcount:
                log.error("two_orders_for_one_submission", extra={**log_facts(later), **found})
                if self.outbox.is_on:
                    self.outbox.record(cursor, attention_to(later, finding, order_id))

    def _placed_instead(self, cursor: Any, id: str) -> Iterator[Submission]:
        """The later attempts at an order that were made while it would have counted as the same, and may stand."""
        if (order := self._rows.read(cursor, id)) is None or order.settled_at is None:
            return
        after = to_ms(order.claimed_at) - RETENTION // MILLISECOND
        values = {"account": order.account, "after": after, "this": id, "now": self.clocks.now()}
        for later in map(submission_of, self._sql.followers.all(cursor, values)):
            if later.claimed_at >= order.settled_at + WINDOWS["card" if later.card else "content"]:
                continue
            if later.state != "not_placed" and not self._matches.is_called_off(cursor, later.id):
                yield later
            yield from self._placed_instead(cursor, later.id)

    def note_charge(self, id: str, charged: int) -> None:
        """Record the cents that were charged elsewhere for a placed order, and that differ from its price (PAY-4)."""
        values = {"this": id, "elsewhere": charged}
        self.database.run(lambda cursor, _: self._sql.note_charge.run(cursor, values), single=True)

    def holder(self, account: str, provider_order_id: str) -> Submission | None:
        """The submission that has this order of an account (SUB-8)."""
        values = {"account": account, "order": provider_order_id, "now": self.clocks.now()}
        return next(iter(self._several(lambda cursor: self._sql.holder.all(cursor, values))), None)

    def followers(self, submission: Submission) -> tuple[Submission, ...]:
        """Later attempts at the same order."""
        found: list[Submission] = []
        waiting = [submission]
        while waiting:
            last = waiting.pop()
            values = {
                "account": last.account,
                "after": to_ms(last.claimed_at) - RETENTION // MILLISECOND,
                "this": last.id,
                "now": self.clocks.now(),
            }
            later = self._several(partial(self._sql.followers.all, parameters=values))
            found += later
            waiting += later
        return tuple(found)

    def refused_before(self, id: str, window: timedelta) -> Submission | None:
        """The last attempt at the same order before this one that its provider refused, within ``window``.

        Not if a person has dealt with what was found of it since. There may be others in between, but no placed one.
        """

        def work(cursor: Any, _again: bool) -> Submission | None:
            this = before = self._rows.read(cursor, id)
            for _ in range(MOST_ATTEMPTS):
                before = self._rows.read(cursor, before.previous) if before and before.previous else None
                if this is None or before is None or before.state != "not_placed":
                    return None
                if before.ended == "refused" and not set(this.content).isdisjoint(before.content):
                    is_over = before.settled_at is not None and before.seen_at - before.settled_at >= window
                    return None if is_over or before.finding_closed_at is not None else before
            return None

        return self.database.run(work)

    def withdraw(self, id: str) -> None:
        """Close the finding that an order exists, if there is one: a later attempt was answered with this order."""
        finding: Finding = "order_exists_but_ruled_out"
        values = {"this": id, "what": finding, "now": self.clocks.now()}
        self.database.run(lambda cursor, _: self._sql.withdraw.run(cursor, values), single=True)

    def show(self, id: str) -> Submission | None:
        """The submission with this id."""

        def work(cursor: Any, _again: bool) -> Submission | None:
            submission = self._rows.read(cursor, id)
            return submission and self._rows.resolve_expired(cursor, submission)

        return self.database.run(work)

    def open_submissions(self, *, limit: int = 1000) -> tuple[Submission, ...]:
        """The submissions that are not settled, oldest first; expired leases are resolved first."""

        def work(cursor: Any, _again: bool) -> tuple[Submission, ...]:
            rows = self._sql.open.all(cursor, {"limit": limit, "now": self.clocks.now()})
            seen = [self._rows.resolve_expired(cursor, submission_of(row)) for row in rows]
            return tuple(submission for submission in seen if submission.state not in SETTLED)

        return self.database.run(work)

    def count_open(self, *, limit: int = 20_000) -> tuple[Backlog, ...]:
        """How many submissions are not settled, by account and state; of the first ``limit`` of them."""

        def work(cursor: Any, _again: bool) -> tuple[Backlog, ...]:
            rows = self._sql.count_open.all(cursor, {"limit": limit, "now": self.clocks.now()})
            return tuple(Backlog(row.account, row.state, row.number, max(row.age, 0) * MILLISECOND) for row in rows)

        return self.database.run(work, single=True)

    def find(
        self,
        *,
        state: State | None = None,
        account: str | None = None,
        location: str | None = None,
        number: str | None = None,
        charge_mismatch: bool = False,
        findings: bool = False,
        limit: int = 100,
    ) -> tuple[Submission, ...]:
        """Submissions for an operator to look at, newest first.

        ``number`` is an order id, a provider's order id, a request id, or our id or reference; or what a look found
        later, among the newest :data:`~levelup_ov.ledger.searches.FINDINGS` findings.
        ``findings``: only those that a person must look at (SUB-12).
        """
        search = Search(state=state, account=account, location=location, findings=findings or charge_mismatch)
        columns = SUBMISSIONS.c
        query = self._sql.all.where(*conditions(search)).order_by(columns.id.desc()).limit(limit)
        if number is not None:
            query = query.where(has_number(number))
        if charge_mismatch:
            query = query.where(IS_MISCHARGED)
        if findings:
            query = query.where(columns.finding.is_not(None))
        statement = Statement(self.database.engine.dialect, query)

        def work(cursor: Any, _again: bool) -> Sequence[Any]:
            if self.database.is_postgresql:
                cursor.execute(PLAIN_SEARCH)
            return statement.all(cursor, {"now": self.clocks.now()})

        return tuple(map(submission_of, self.database.run(work)))

    def purge(self, *, retention: timedelta = RETENTION) -> int:
        """Delete submissions settled longer than ``retention`` ago, with their identities; returns how many.

        :raises ValueError: the retention is shorter than identities must be kept (SUB-3).
        """
        if retention < SHORTEST_RETENTION:
            raise ValueError(f"submissions are kept for at least {SHORTEST_RETENTION.days} days")

        def purge_some(cursor: Any, most: int) -> int:
            values = {"retention": retention // MILLISECOND, "now": self.clocks.now(), "most": most}
            return int(self._sql.purge.run(cursor, values).rowcount)

        return in_batches(self.database, purge_some)

    def ready(self) -> None:
        """Make sure that submissions can be recorded, by writing one and rolling it back (SUB-2).

        :raises levelup_ov.ledger.engine.SchemaMismatch: the schema is missing, older or newer.
        """
        self.database.check_schema()
        id = new_id()
        row = {
            "id": id,
            "account": "",
            "location": "",
            "content": "",
            "alike": "",
            "owner": f"{self._host}/{os.getpid()}",
            "request_id": None,
            "reference": id,
            "generation": 0,
            "received_at": None,
            "previous": None,
            "card": 0,
            "term": 0,
        }

        def rehearse(cursor: Any, _again: bool) -> None:
            # In one transaction: nobody ever sees it.
            self._sql.insert.run(cursor, {**row, **self.clocks.of_change()})
            self._sql.forget.run(cursor, {"this": id})

        self.database.run(rehearse)
        self.database.force()

    def close(self) -> None:
        """Close all connections."""
        self.database.close()

    def _several(self, rows: Callable[[Any], Sequence[Any]]) -> tuple[Submission, ...]:
        return tuple(map(submission_of, self.database.run(lambda cursor, _: rows(cursor), single=True)))

    def _wait(self, cursor: Any, submission: Submission, grace: timedelta, asked_at: int | None) -> timedelta:
        """For :meth:`absence`."""
        asked = self.clocks.observer.now_ms() if asked_at is None else asked_at
        last = self.sights.first(cursor, submission.id, _absence(submission))
        for sight in self._sql.sights.all(cursor, {"this": submission.id, "kind": REPEATED}):
            last = max(last, self.sights.first(cursor, submission.id, sight.change))
        return grace - max(asked - last, 0) * MILLISECOND

    def _change(
        self,
        change: str,
        id: str,
        done: Callable[[Submission, bool], bool] = lambda row, again: True,
        *,
        durably: bool = False,
        notify: str | None = None,
        was: Submission | None = None,
        check: Callable[[Any], None] | None = None,
        **values: Any,
    ) -> None:
        """Make a change, or raise.

        ``done`` decides whether a row already in the target state counts as success; its flag says that this is a
        retry. ``durably``: the change survives a power failure once this returns. ``notify``: what the
        operator is notified of with it. ``was``: the submission, if another outcome is recorded of it. ``check`` is
        called first, with the cursor of the transaction.
        """
        follow = None if was is None or self.follow is None else self.follow(was)
        reports = self.outbox.is_on and change in self._sql.reported
        statement = (self._sql.quiet if reports else self._sql.changes)[change]

        def once(cursor: Any, again: bool) -> tuple[int, bool]:
            if check is not None:
                check(cursor)
            values.update(self.clocks.of_change())
            return statement.run(cursor, values).rowcount, again

        def with_events(cursor: Any, again: bool) -> tuple[bool, bool]:
            if check is not None:
                check(cursor)
            return self._report(cursor, change, id, {**values, **self.clocks.of_change()}, notify, follow), again

        values["this"] = id
        changed, again = 0, False
        if follow is None and (notify is None or not reports):
            single = check is None
            changed, again = self.database.run_durably(once) if durably else self.database.run(once, single=single)
        if not changed and (reports or follow is not None):
            changed, again = self.database.run(with_events)
        if changed:
            return
        row = self.database.run(lambda cursor, _: self._rows.read(cursor, id), single=True)
        if row is None or row.state != TRANSITIONS[change].target or not done(row, again):
            raise Superseded(change, row)

    def _followed(self, cursor: Any, id: str, follow: Callable[[Any, Submission], None] | None) -> None:
        if follow is not None and (row := self._rows.read(cursor, id)) is not None:
            follow(cursor, row)

    def _report(
        self,
        cursor: Any,
        change: str,
        id: str,
        values: Mapping[str, Any],
        notify: str | None,
        follow: Callable[[Any, Submission], None] | None,
    ) -> bool:
        """Make a change together with its events and what follows; False: the row was not in a state for it."""
        reports = self.outbox.is_on and change in self._sql.reported
        is_event = reports and bool(self._sql.reported[change].run(cursor, values).rowcount)
        if not is_event:
            rest = (self._sql.quiet if reports else self._sql.changes)[change]
            if (notify is None and follow is None) or not rest.run(cursor, values).rowcount:
                return False
        self._followed(cursor, id, follow)
        if reports and (row := self._rows.read(cursor, id)):
            events = [*events_of(row)] if is_event else []
            # Web checkout reports its charges itself.
            if notify is not None and row.account != LEDGER_ACCOUNT:
                events.append(attention_to(row, notify))
            for event in events:
                self.outbox.record(cursor, event)
        return True


def open_ledger(
    url: str,
    *,
    pool_size: int = 16,
    clock: Callable[[], datetime] | None = None,
    observer: Observer | None = None,
) -> Ledger:
    """The ledger at ``url``; connects at first use. ``pool_size`` should be the number of threads.

    ``clock`` returns the time as an aware datetime and replaces the database's own clock. ``observer`` measures what
    is proven by time and replaces this host's; if only ``clock`` is passed, it does both.

    :raises ValueError: not an SQLite or PostgreSQL URL.
    """
    return Ledger(Database(url, pool_size=pool_size), clock, observer)


def _absence(submission: Submission) -> str:
    return f"{ABSENT} {submission.version}"


def _found(finding: Finding | None, order_id: str | int | None, provider_order_id: str | None) -> dict[str, Any]:
    return {
        "what": finding,
        "new_found_order_id": None if order_id is None else json.dumps(order_id),
        "new_found_provider_order_id": provider_order_id,
    }
