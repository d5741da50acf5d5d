"""Reading submissions, one by one or in lists; expired leases are resolved where the outcome counts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta
from functools import partial
from typing import Any

from levelup_ov.domain.submission import SETTLED, State
from levelup_ov.ledger.clocks import Clocks
from levelup_ov.ledger.database import Database
from levelup_ov.ledger.engine import LedgerUnavailable
from levelup_ov.ledger.identity import Identity, charge_digest, charge_of, kinds_of
from levelup_ov.ledger.matches import Matches
from levelup_ov.ledger.records import MILLISECOND, RETENTION, Backlog, Submission, submission_of, to_ms
from levelup_ov.ledger.rows import Rows
from levelup_ov.ledger.searches import PLAIN_SEARCH, Search, conditions, has_number
from levelup_ov.ledger.statements import Statement
from levelup_ov.ledger.tables import IS_MISCHARGED, SUBMISSIONS, Statements

MOST_REFUSED = 100
"""How many refusals of other orders under the same names are passed over for that of an order."""


class SubmissionReader:
    """Reads the submissions of a ledger; raises ``LedgerUnavailable`` like it."""

    def __init__(self, database: Database, sql: Statements, clocks: Clocks, rows: Rows, matches: Matches) -> None:
        self._database = database
        self._sql = sql
        self._clocks = clocks
        self._rows = rows
        self._matches = matches

    def show(self, id: str) -> Submission | None:
        """The submission with this id."""

        def work(cursor: Any, _again: bool) -> Submission | None:
            submission = self._rows.read(cursor, id)
            return submission and self._rows.resolve_expired(cursor, submission)

        return self._database.run(work)

    def named(self, identities: tuple[Identity, ...]) -> tuple[Submission, ...]:
        """The last submission that used each of these identities, in any state."""
        kinds = kinds_of(identities)
        matches = self._database.run(lambda cursor, _: self._matches.of(cursor, kinds))
        return tuple({match.submission.id: match.submission for match in matches}.values())

    def identities_of(self, id: str) -> tuple[Identity, ...]:
        """The identities of a submission, as the ledger has them: each digest is one."""
        rows = self._database.run(lambda cursor, _: self._sql.digests.all(cursor, {"this": id}), single=True)
        return tuple(Identity(row.kind, (row.digest,)) for row in rows)

    def requested(self, location: str, request_id: str) -> tuple[Submission, ...]:
        """The submissions of a request to a location, in any state; no secret key is needed to find them.

        If the request was of an order that is charged, also the one that was found to be the same.
        """
        values = {"request_id": request_id, "digest": charge_digest(request_id), "now": self._clocks.now()}

        def work(cursor: Any, _again: bool) -> tuple[Submission, ...]:
            rows = (*self._sql.requested.all(cursor, values), *self._sql.match.all(cursor, values))
            found = {row.id: submission_of(row) for row in rows if row.location == location}
            return tuple(self._rows.resolve_expired(cursor, each) for each in found.values())

        return self._database.run(work)

    def charges_of(self, cursor: Any, submission: str) -> tuple[str, ...]:
        """The ids of the charges that were found to be for this submission, which another request had made.

        There are no more of them until the transaction of ``cursor`` ends.
        """
        self._sql.hold.first(cursor, {"this": submission})
        return tuple(charge_of(row.digest) for row in self._sql.charges.all(cursor, {"this": submission}))

    def holder(self, account: str, provider_order_id: str) -> Submission | None:
        """The submission that has this order of an account (SUB-8)."""
        values = {"account": account, "order": provider_order_id, "now": self._clocks.now()}
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
                "now": self._clocks.now(),
            }
            later = self._several(partial(self._sql.followers.all, parameters=values))
            found += later
            waiting += later
        return tuple(found)

    def refused_before(self, id: str, window: timedelta) -> Submission | None:
        """The last attempt at the same order before this one that its provider refused, within ``window``.

        Not if a person has dealt with what was found of it since. There may be others in between, but no placed one.

        :raises LedgerUnavailable: too many were refused since, so that it is not known whether there is one.
        """

        def work(cursor: Any, _again: bool) -> Submission | None:
            this = before = self._rows.read(cursor, id)
            for _ in range(MOST_REFUSED):
                if this is None or before is None:
                    return None
                row = self._sql.refused_before.first(cursor, {"this": before.id, "now": self._clocks.now()})
                before = submission_of(row) if row else None
                if before is None or before.state != "not_placed":
                    return None
                if before.settled_at is not None and before.seen_at - before.settled_at >= window:
                    return None
                if not set(this.content).isdisjoint(before.content):
                    return None if before.finding_closed_at is not None else before
            raise LedgerUnavailable("too many other orders were refused under the names of this one")

        return self._database.run(work)

    def open_submissions(self, *, limit: int = 1000) -> tuple[Submission, ...]:
        """The submissions that are not settled, oldest first; expired leases are resolved first."""

        def work(cursor: Any, _again: bool) -> tuple[Submission, ...]:
            rows = self._sql.open.all(cursor, {"limit": limit, "now": self._clocks.now()})
            seen = [self._rows.resolve_expired(cursor, submission_of(row)) for row in rows]
            return tuple(submission for submission in seen if submission.state not in SETTLED)

        return self._database.run(work)

    def count_open(self, *, limit: int = 20_000) -> tuple[Backlog, ...]:
        """How many submissions are not settled, by account and state; of the first ``limit`` of them."""

        def work(cursor: Any, _again: bool) -> tuple[Backlog, ...]:
            rows = self._sql.count_open.all(cursor, {"limit": limit, "now": self._clocks.now()})
            return tuple(Backlog(row.account, row.state, row.number, max(row.age, 0) * MILLISECOND) for row in rows)

        return self._database.run(work, single=True)

    def due_again(self, *, besides: str = "", limit: int = 1000) -> tuple[Submission, ...]:
        """What was ruled out, or refused, and is due to be looked up again (SUB-12), oldest first.

        Those of the account ``besides`` are left out.
        """
        values = {"limit": limit, "besides": besides, "now": self._clocks.now()}
        return self._several(lambda cursor: self._sql.due.all(cursor, values))

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
        statement = Statement(self._database.engine.dialect, query)

        def work(cursor: Any, _again: bool) -> Sequence[Any]:
            if self._database.is_postgresql:
                cursor.execute(PLAIN_SEARCH)
            return statement.all(cursor, {"now": self._clocks.now()})

        return tuple(map(submission_of, self._database.run(work)))

    def _several(self, rows: Callable[[Any], Sequence[Any]]) -> tuple[Submission, ...]:
        return tuple(map(submission_of, self._database.run(lambda cursor, _: rows(cursor), single=True)))
