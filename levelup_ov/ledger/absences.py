"""Proof that a provider has no order and gets none any more, so that a submission may be sent again (SUB-9, SUB-10)."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from levelup_ov.ledger.changes import FIRST_PAUSE, Changes
from levelup_ov.ledger.clocks import Clocks
from levelup_ov.ledger.database import Database
from levelup_ov.ledger.records import MILLISECOND, Submission, Superseded, TooEarly
from levelup_ov.ledger.rows import Rows
from levelup_ov.ledger.sights import Sights
from levelup_ov.ledger.tables import Statements

ABSENT = "absent"
"""The sight of a provider that has no order."""
REPEATED = "repeated "
"""How the sight of a placing call begins that is sent again to learn what became of the submission."""


class Absences:
    """What was seen of a provider that has no order; raises ``LedgerUnavailable`` like the ledger."""

    def __init__(
        self, database: Database, sql: Statements, clocks: Clocks, sights: Sights, rows: Rows, changes: Changes
    ) -> None:
        self._database = database
        self._sql = sql
        self._clocks = clocks
        self._sights = sights
        self._rows = rows
        self._changes = changes
        self._integrity_error: type[Exception] = database.engine.dialect.loaded_dbapi.IntegrityError

    def remaining(self, submission: Submission, *, grace: timedelta, asked_at: int | None = None) -> timedelta:
        """How much longer the provider must be without the order until that proves that none will appear (SUB-10).

        It had none just now, when it was asked at ``asked_at`` by the observer's clock and answered in time. Zero or
        less: it also had none ``grace`` ago, and no repetition without an answer was sent since.

        :raises Superseded: the ledger no longer contains the submission.
        """
        try:
            return self._database.run(lambda cursor, _: self._remaining(cursor, submission, grace, asked_at))
        except self._integrity_error:
            raise Superseded("rule_out", None) from None

    def distrust(self, submission: Submission) -> None:
        """Forget that the provider had no order: it did not answer in time, and may have been asleep (SUB-10)."""
        values = {"this": submission.id, "change": _absence(submission)}
        self._database.run(lambda cursor, _: self._sql.forget_sight.run(cursor, values), single=True)

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
            self._sights.first(cursor, submission.id, REPEATED + repetition)

        self._database.run(work)

    def end_repeating(self, submission: Submission, repetition: str) -> None:
        """The provider has refused the repeated call."""
        values = {"this": submission.id, "change": REPEATED + repetition}
        self._database.run(lambda cursor, _: self._sql.forget_sight.run(cursor, values), single=True)

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
        person who says that there is none. For the rest see :meth:`remaining`.

        :raises TooEarly: it is not fenced, and has not been without an order for ``grace``.
        :raises Superseded: it was settled differently.
        """

        def check(cursor: Any) -> None:
            # From here on, nobody begins to repeat it until this transaction ends.
            if self._sql.hold.first(cursor, {"this": submission.id}) is None:
                raise Superseded("rule_out", None)
            if (wait := self._remaining(cursor, submission, grace, asked_at)) > timedelta(0):
                raise TooEarly(wait)

        looks = not fenced and settled_by is None
        if looks and (wait := self.remaining(submission, grace=grace, asked_at=asked_at)) > timedelta(0):
            raise TooEarly(wait)
        self._changes.make(
            "rule_out",
            submission.id,
            check=check if looks else None,
            ended="fenced" if fenced else "told" if settled_by else "absent",
            settled_by=settled_by,
            finding="card_may_be_charged" if submission.card and not card_is_void else None,
            pause=FIRST_PAUSE,
            seen_boot=submission.boot,
            seen_since=submission.since,
        )

    def _remaining(self, cursor: Any, submission: Submission, grace: timedelta, asked_at: int | None) -> timedelta:
        """For :meth:`remaining`."""
        asked = self._clocks.observer.now_ms() if asked_at is None else asked_at
        last = self._sights.first(cursor, submission.id, _absence(submission))
        for sight in self._sql.sights.all(cursor, {"this": submission.id, "kind": REPEATED}):
            last = max(last, self._sights.first(cursor, submission.id, sight.change))
        return grace - max(asked - last, 0) * MILLISECOND


def _absence(submission: Submission) -> str:
    return f"{ABSENT} {submission.version}"
