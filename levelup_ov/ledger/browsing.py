"""Reading the ledger for people, beside the service: with a connection of its own, never for long, never writing.

SQLite's other connection is used by one thread at a time, and a person's search must not hold up submissions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, TypeVar

from sqlalchemy import Select, func, or_, select

from levelup_ov.domain.submission import LOOKED_AGAIN
from levelup_ov.ledger import limits
from levelup_ov.ledger.database import Database
from levelup_ov.ledger.ledger import Ledger
from levelup_ov.ledger.operator_actions import OF_SUBMISSION, OperatorAction, read_action
from levelup_ov.ledger.records import Backlog, Submission, from_ms, submission_of
from levelup_ov.ledger.searches import PLAIN_SEARCH, Search, conditions, has_number
from levelup_ov.ledger.statements import Statement
from levelup_ov.ledger.tables import ORDER_STATUSES, SUBMISSIONS, Statements, present

PATIENCE = 2.0
"""Seconds that one search may take."""
FOLLOWED = 50
"""Earlier or later attempts that are shown."""

T = TypeVar("T")
_C = SUBMISSIONS.c
_MILLISECOND = timedelta(milliseconds=1)
_STEPS = 10_000
"""Steps of SQLite between two looks at the clock."""


class ReadingDatabase:
    """Read-only access to the database at ``url``, with one connection; it connects at first use."""

    def __init__(self, url: str) -> None:
        self.database = Database(url, pool_size=1)

    def rows(self, query: Any, **parameters: Any) -> list[Any]:
        """What ``query`` finds.

        :raises levelup_ov.ledger.engine.LedgerUnavailable: nothing was found within :data:`PATIENCE`.
        """
        statement = Statement(self.database.engine.dialect, query)
        return self.read(lambda cursor: statement.all(cursor, parameters))

    def read(self, work: Callable[[Any], T]) -> T:
        """Call ``work`` with a cursor that cannot write, for at most :data:`PATIENCE`; otherwise as :meth:`rows`."""

        def bounded(cursor: Any, _again: bool) -> T:
            if self.database.is_postgresql:
                milliseconds = int(PATIENCE * 1000)
                cursor.execute(
                    f"SET TRANSACTION READ ONLY; {PLAIN_SEARCH}; SET LOCAL statement_timeout = {milliseconds}"
                )
            else:
                cursor.execute("PRAGMA query_only = ON")
                cursor.connection.set_progress_handler(lambda: limits.remaining(PATIENCE) <= 0, _STEPS)
            return work(cursor)

        with limits.within(PATIENCE):
            return self.database.run(bounded, single=True)


@dataclass(frozen=True, slots=True)
class Life:
    """A submission with everything that was recorded about it elsewhere.

    ``stage``, ``word`` and ``changed_at``: the last known status of the order; ``before`` and ``after``: other attempts
    at the same order.
    """

    submission: Submission
    stage: str | None
    word: str | None
    changed_at: datetime | None
    actions: tuple[OperatorAction, ...]
    before: tuple[Submission, ...]
    after: tuple[Submission, ...]


class Browser:
    """The submissions of a ledger, for a person. ``ledger`` gives the clock and the observer."""

    def __init__(self, reading: ReadingDatabase, ledger: Ledger) -> None:
        self._reading = reading
        self._ledger = ledger
        self._sql = Statements(reading.database, own_clock=ledger.clocks.own_clock)

    def page(self, search: Search, size: int) -> tuple[Sequence[Submission], bool]:
        """The first ``size`` submissions of a search, and whether there are more.

        Ids start with the time, so a page costs the same at the beginning of a long list as at its end.
        """
        query = self._sql.all.order_by(_C.id.desc()).limit(size + 1).where(*conditions(search))
        found = self._submissions(query)
        return found[:size], len(found) > size

    def named(self, number: str, size: int) -> Sequence[Submission]:
        """The submissions with this number: an order id, a provider's, a request id, or our id or reference."""
        return self._submissions(self._sql.all.where(has_number(number)).order_by(_C.id.desc()).limit(size))

    def life(self, id: str) -> Life | None:
        """Everything about one submission."""
        [*found] = self._submissions(self._sql.all.where(_C.id == id))
        if not found:
            return None
        submission: Submission = found[0]
        statuses = self._reading.rows(select(ORDER_STATUSES).where(ORDER_STATUSES.c.submission == id))
        status = statuses[0] if statuses else None
        return Life(
            submission,
            status and status.stage,
            status and status.word,
            from_ms(status.changed_at) if status and status.changed_at else None,
            tuple(map(read_action, self._reading.rows(OF_SUBMISSION, this=id))),
            tuple(self._earlier(submission)),
            tuple(self._submissions(self._later(submission))),
        )

    def backlog(self) -> tuple[Backlog, ...]:
        """The submissions that are not settled, by account and state."""
        values = {"limit": 20_000, "now": self._ledger.clocks.now()}
        rows = self._reading.read(lambda cursor: self._sql.count_open.all(cursor, values))
        return tuple(Backlog(row.account, row.state, row.number, max(row.age, 0) * _MILLISECOND) for row in rows)

    def overdue(self, age: timedelta) -> int:
        """How many submissions were due to be looked up again longer than ``age`` ago (SUB-12), up to 1000.

        A look at a refused one that cannot be made is made by a later run, for a day.
        """
        now = present(self._ledger.clocks.own_clock)
        is_late = _C.look_again_at < now - age // _MILLISECOND
        counts = or_(
            _C.ended.is_distinct_from("refused"), _C.look_again_at < now - (age + LOOKED_AGAIN[-1]) // _MILLISECOND
        )
        due = select(_C.id).where(is_late, counts).limit(1000).subquery()
        [row] = self._reading.rows(select(func.count().label("number")).select_from(due), now=self._ledger.clocks.now())
        return int(row.number)

    def last_change(self, submission: Submission) -> datetime | None:
        """When the state of a submission changed last; None: on another host, or before this one was started."""
        observer = self._ledger.clocks.observer
        age = observer.now_ms() - submission.since
        return submission.seen_at - age * _MILLISECOND if submission.boot == observer.boot and age >= 0 else None

    def _submissions(self, query: Select[Any]) -> list[Submission]:
        return [submission_of(row) for row in self._reading.rows(query, now=self._ledger.clocks.now())]

    def _earlier(self, submission: Submission) -> Iterator[Submission]:
        for _ in range(FOLLOWED):
            if submission.previous is None:
                return
            found = self._submissions(self._sql.all.where(_C.id == submission.previous))
            if not found:
                return
            submission = found[0]
            yield submission

    def _later(self, submission: Submission) -> Select[Any]:
        same = _C.account == submission.account, _C.id > submission.id, _C.previous == submission.id
        return self._sql.all.where(*same).order_by(_C.id).limit(FOLLOWED)
