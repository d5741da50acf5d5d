"""Since when an observer has seen something of a submission, by its own clock (SUB-13)."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from levelup_ov.ledger.clocks import Clocks
from levelup_ov.ledger.records import MILLISECOND, Submission
from levelup_ov.ledger.tables import Statements


class Sights:
    """What the observer of ``clocks`` has seen; the database keeps it. Called in a transaction, with its cursor."""

    def __init__(self, sql: Statements, clocks: Clocks) -> None:
        self._sql = sql
        self._clocks = clocks

    def first(self, cursor: Any, id: str, change: str) -> int:
        """When this observer first saw ``change`` of a submission; now, if it never did."""
        observer = self._clocks.observer
        boot, now = observer.boot, observer.now_ms()
        values = {"this": id, "change": change, "boot": boot}
        first = self._sql.sight.first(cursor, values)
        if first is not None and first.since <= now:
            return int(first.since)
        self._sql.see.run(cursor, {"submission": id, "change": change, "boot": boot, "since": now})
        return now

    def is_mine(self, submission: Submission) -> bool:
        """Whether it was changed during this observer's boot; a time ahead of ours comes from another boot."""
        observer = self._clocks.observer
        return submission.boot == observer.boot and submission.since <= observer.now_ms()

    def unchanged_for(self, cursor: Any, submission: Submission) -> timedelta:
        """For how long this observer has known the submission in its current state."""
        since = submission.since
        if not self.is_mine(submission):
            since = self.first(cursor, submission.id, submission.version)
        return (self._clocks.observer.now_ms() - since) * MILLISECOND
