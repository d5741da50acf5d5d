"""What people correct by hand: a settlement that they take back, a finding that they close.

Neither makes another order possible: a settlement that is taken back leaves the submission unknown, which is never
sent again (SUB-5), and closing a finding changes no state. Nothing is forgotten: who did it, when, why, and what the
row held before are recorded in the same transaction.
"""

from __future__ import annotations

import json
from typing import Any, Literal

from sqlalchemy import bindparam, update

from levelup_ov.ledger.ledger import Ledger
from levelup_ov.ledger.records import Submission, Superseded, new_id
from levelup_ov.ledger.tables import ACTIONS, IS_FINDING, SUBMISSIONS, present

Act = Literal["take_back", "close_finding"]

_RECORDED = ("form", "submission", "operator", "act", "why", "before", "outcome")
_KEPT = (
    "state", "order_id", "provider_order_id", "expected_charge", "charged", "proven", "ended", "settled_by", "answer",
    "finding", "found_order_id", "found_provider_order_id",
)  # fmt: skip
"""The members of a submission that a correction may change, or that explain it."""


class Corrections:
    """Corrections of the submissions of ``ledger``; raises ``LedgerUnavailable`` like the ledger."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        prepare, now = ledger.database.prepare, present(ledger.clocks.own_clock)
        self._record = prepare(ACTIONS.insert().values(at=now), *_RECORDED)
        row = SUBMISSIONS.c
        self._close = prepare(
            update(SUBMISSIONS)
            .where(
                row.id == bindparam("this"),
                row.finding_closed_at.is_(None),
                IS_FINDING,
            )
            .values(finding_closed_at=now)
        )

    def take_back(self, submission: Submission, by: str, why: str) -> None:
        """Make a submission that a person settled unknown again; ``submission`` is what they saw of it.

        :raises Superseded: no person settled it, it has changed since, or it was sent again.
        """
        self._ledger.transitions.take_back(
            submission, also=lambda cursor: self._note(cursor, "take_back", submission, by, why)
        )

    def close_finding(self, submission: Submission, by: str, why: str) -> None:
        """Close what a person had to look at; another finding opens it again.

        :raises Superseded: nothing is open.
        """

        def work(cursor: Any, _again: bool) -> bool:
            if closed := self._close.run(cursor, {"this": submission.id, "now": self._ledger.clocks.now()}).rowcount:
                self._note(cursor, "close_finding", submission, by, why)
            return bool(closed)

        if not self._ledger.database.run(work):
            raise Superseded("close_finding", self._ledger.reader.show(submission.id))

    def _note(self, cursor: Any, act: Act, submission: Submission, by: str, why: str) -> None:
        before: dict[str, Any] = {name: getattr(submission, name) for name in _KEPT}
        before["settled_at"] = submission.settled_at and submission.settled_at.isoformat()
        values = {
            "form": new_id(),
            "submission": submission.id,
            "operator": by,
            "act": act,
            "why": why,
            "before": json.dumps(before),
            "outcome": "done",
            "now": self._ledger.clocks.now(),
        }
        self._record.run(cursor, values)
