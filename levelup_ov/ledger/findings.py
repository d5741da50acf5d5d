"""What was found of a submission after its outcome was recorded, by later looks or elsewhere (SUB-3, SUB-12, PAY-4)."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from typing import Any

from levelup_ov.domain.attention import REMEDIES
from levelup_ov.domain.submission import LOOKED_AGAIN, Finding
from levelup_ov.ledger.clocks import Clocks
from levelup_ov.ledger.database import Database
from levelup_ov.ledger.identity import WINDOWS
from levelup_ov.ledger.matches import Matches
from levelup_ov.ledger.outbox import Outbox
from levelup_ov.ledger.records import MILLISECOND, RETENTION, Submission, submission_of, to_ms
from levelup_ov.ledger.rows import Rows
from levelup_ov.ledger.submission_events import attention_to, log_facts
from levelup_ov.ledger.tables import Statements

log = logging.getLogger(__name__)


class FindingRecorder:
    """Records findings in a ledger; raises ``LedgerUnavailable`` like it."""

    def __init__(
        self, database: Database, sql: Statements, clocks: Clocks, rows: Rows, matches: Matches, outbox: Outbox
    ) -> None:
        self._database = database
        self._sql = sql
        self._clocks = clocks
        self._rows = rows
        self._matches = matches
        self._outbox = outbox

    def looked_again(
        self,
        submission: Submission,
        finding: Finding | None = None,
        order_id: str | int | None = None,
        provider_order_id: str | None = None,
    ) -> None:
        """Record that a submission was looked up that was due again, and the finding, about the order ``order_id``.

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
                self._outbox.record(cursor, event)

        self._database.run(work, single=event is None)

    def note(
        self, id: str, finding: Finding, order_id: str | int | None = None, provider_order_id: str | None = None
    ) -> None:
        """Record what a person must look at, about the order ``order_id``; an event unless it is known."""

        def work(cursor: Any, _again: bool) -> None:
            if self._sql.note.run(cursor, {"this": id, **_found(finding, order_id, provider_order_id)}).rowcount:
                if self._outbox.is_on and (row := self._rows.read(cursor, id)):
                    self._outbox.record(cursor, attention_to(row, finding, order_id))

        self._database.run(work)

    def note_made_again(self, cursor: Any, id: str, order_id: str | int, provider_order_id: str) -> None:
        """Record that a person must look at the orders that were placed because this one was called off (SUB-3).

        It is made again. Called in the transaction of ``cursor``, which records that.
        """
        finding: Finding = "two_orders_for_one_submission"
        found = {"order_id": order_id, "provider_order_id": provider_order_id, "remedy": REMEDIES[finding]}
        for later in self._placed_instead(cursor, id):
            if self._sql.note.run(cursor, {"this": later.id, **_found(finding, order_id, provider_order_id)}).rowcount:
                log.error("two_orders_for_one_submission", extra={**log_facts(later), **found})
                if self._outbox.is_on:
                    self._outbox.record(cursor, attention_to(later, finding, order_id))

    def _placed_instead(self, cursor: Any, id: str) -> Iterator[Submission]:
        """The later attempts at an order that were made while it would have counted as the same, and may stand."""
        if (order := self._rows.read(cursor, id)) is None or order.settled_at is None:
            return
        after = to_ms(order.claimed_at) - RETENTION // MILLISECOND
        values = {"account": order.account, "after": after, "this": id, "now": self._clocks.now()}
        for later in map(submission_of, self._sql.followers.all(cursor, values)):
            if later.claimed_at >= order.settled_at + WINDOWS["card" if later.card else "content"]:
                continue
            if later.state != "not_placed" and not self._matches.is_called_off(cursor, later.id):
                yield later
            yield from self._placed_instead(cursor, later.id)

    def note_charge(self, id: str, charged: int) -> None:
        """Record the cents that were charged elsewhere for a placed order, and that differ from its price (PAY-4)."""
        values = {"this": id, "elsewhere": charged}
        self._database.run(lambda cursor, _: self._sql.note_charge.run(cursor, values), single=True)

    def withdraw(self, id: str) -> None:
        """Close the finding that an order exists, if there is one: a later attempt was answered with this order."""
        finding: Finding = "order_exists_but_ruled_out"
        values = {"this": id, "what": finding, "now": self._clocks.now()}
        self._database.run(lambda cursor, _: self._sql.withdraw.run(cursor, values), single=True)


def _found(finding: Finding | None, order_id: str | int | None, provider_order_id: str | None) -> dict[str, Any]:
    return {
        "what": finding,
        "new_found_order_id": None if order_id is None else json.dumps(order_id),
        "new_found_provider_order_id": provider_order_id,
    }
