"""Submissions as they are in the database; whoever reads one resolves its expired lease."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from levelup_ov.domain.submission import TRANSITIONS
from levelup_ov.ledger.clocks import Clocks
from levelup_ov.ledger.records import Submission, submission_of
from levelup_ov.ledger.sights import Sights
from levelup_ov.ledger.tables import Statements


class Rows:
    """The rows of submissions. Called in a transaction, with its cursor."""

    def __init__(self, sql: Statements, clocks: Clocks, sights: Sights) -> None:
        self._sql = sql
        self._clocks = clocks
        self._sights = sights

    def read(self, cursor: Any, id: str) -> Submission | None:
        """The submission as it is recorded."""
        row = self._sql.row.first(cursor, {"this": id, "now": self._clocks.now()})
        return submission_of(row) if row else None

    def resolve_expired(self, cursor: Any, submission: Submission) -> Submission:
        """Resolve an expired lease when a row is read."""
        change = {"claimed": "abandon", "sending": "expire"}.get(submission.state)
        if change is None or self._sights.unchanged_for(cursor, submission) < submission.lease:
            return submission
        clock = self._clocks.of_change()
        seen = {"this": submission.id, "seen_boot": submission.boot, "seen_since": submission.since}
        if self._sql.changes[change].run(cursor, {**seen, **clock}).rowcount:
            return replace(
                submission, state=TRANSITIONS[change].target, boot=clock["observer"], since=clock["at"],
                ended="unsent" if change == "abandon" else submission.ended,
            )  # fmt: skip
        return self.read(cursor, submission.id) or submission
