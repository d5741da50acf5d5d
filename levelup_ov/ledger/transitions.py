"""The transitions of a submission that its owner, a reconciliation or a person makes.

They are those of :mod:`levelup_ov.domain.submission`. :class:`~levelup_ov.ledger.absences.Absences` has the one that
needs proof by time, and :class:`~levelup_ov.ledger.rows.Rows` those of an expired lease.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any

from levelup_ov.domain.outcome import mischarge
from levelup_ov.domain.submission import Ended
from levelup_ov.ledger.changes import FIRST_PAUSE, Changes
from levelup_ov.ledger.clocks import Clocks
from levelup_ov.ledger.database import Database
from levelup_ov.ledger.matches import Matches
from levelup_ov.ledger.reading import SubmissionReader
from levelup_ov.ledger.records import MILLISECOND, Clash, Submission, Superseded, submission_of, to_ms, trace_json
from levelup_ov.ledger.rows import Rows
from levelup_ov.ledger.submission_events import log_facts
from levelup_ov.ledger.tables import Statements

log = logging.getLogger(__name__)


class Transitions:
    """The transitions of a ledger's submissions; raises ``LedgerUnavailable`` like it."""

    def __init__(
        self,
        database: Database,
        sql: Statements,
        clocks: Clocks,
        rows: Rows,
        matches: Matches,
        reader: SubmissionReader,
        changes: Changes,
    ) -> None:
        self._database = database
        self._sql = sql
        self._clocks = clocks
        self._rows = rows
        self._matches = matches
        self._reader = reader
        self._changes = changes
        self._integrity_error: type[Exception] = database.engine.dialect.loaded_dbapi.IntegrityError

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
        self._changes.make(
            "begin_sending", id, lambda _, again: again,
            durably=not found_as, check=rename if found_as else None, **values,
        )  # fmt: skip

    def check_sending(self, id: str) -> None:
        """Before sending again, make sure that the submission has not been settled since :meth:`begin_sending`.

        :raises Superseded: it has been settled; do not send.
        """
        row = self._database.run(lambda cursor, _: self._rows.read(cursor, id), single=True)
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
            self._changes.make(
                "place", id, lambda row, _: row.provider_order_id == provider_order_id,
                notify=what, was=was, check=check if settled_by else None, **values,
            )  # fmt: skip

        try:
            place()
        except self._integrity_error:
            this = self._database.run(lambda cursor, _: self._rows.read(cursor, id), single=True)
            holder = this and self._reader.holder(this.account, provider_order_id)
            if holder is not None and holder.id != id:
                if holder.proven or not proven:
                    self.lose(id)
                    raise Clash(holder) from None
                self._changes.make("dispute", holder.id, was=holder)
                log.error("order_disputed", extra=log_facts(holder))
            place()

    def fail(self, id: str, ended: Ended = "unsent") -> None:
        """Settle: the owner's own call proves that no order exists. Its identities are free again.

        Only for the owner, who knows that its request is over; others use :meth:`Absences.rule_out`. ``ended``: the
        proof. One that was ``refused`` is looked up again, like one that was ruled out.

        :raises Superseded: it was settled differently, or its lease is over. Then others have looked for the order,
            and may have sent it to do so; the owner does not know what became of that.
        """
        self._changes.make("fail", id, ended=ended, pause=FIRST_PAUSE if ended == "refused" else None)

    def disprove(self, id: str) -> None:
        """Settle an unknown submission: it is on record elsewhere that the placing call was refused.

        :raises Superseded: it was settled differently.
        """
        self._changes.make("disprove", id, ended="refused")

    def lose(self, id: str, *, trace: Mapping[str, Any] | None = None) -> None:
        """The owner's call proved nothing. ``trace``, if passed, replaces the earlier one.

        :raises Superseded: it has been settled in the meantime.
        """
        self._changes.make("lose", id, left=trace_json(trace))

    def take_back(self, submission: Submission, *, also: Callable[[Any], None]) -> None:
        """Make a submission that a person settled unknown again, so that it is not sent until it is settled again.

        ``also`` is called with the cursor of the transaction, if it was changed.

        :raises Superseded: no person settled it, it has changed since it was read here, or it was ruled out and has
            been sent again since: then its last attempt counts, which ``superseded.submission`` is.
        """
        values = {"this": submission.id, "seen_boot": submission.boot, "seen_since": submission.since}
        later = {"account": submission.account, "after": to_ms(submission.claimed_at), "now": self._clocks.now()}
        follow = self._changes.follow and self._changes.follow(submission)

        def work(cursor: Any, _again: bool) -> None:
            # Claims of its identities wait, so that none starts in the meantime.
            self._matches.lock(cursor, [row.digest for row in self._sql.digests.all(cursor, values)])
            follower = self._sql.followers.first(cursor, {**values, **later})
            if follower is not None and submission.state == "not_placed":
                raise Superseded("take_back", submission_of(follower))
            if not self._sql.changes["take_back"].run(cursor, {**values, **self._clocks.of_change()}).rowcount:
                raise Superseded("take_back", self._rows.read(cursor, submission.id))
            self._changes.followed(cursor, submission.id, follow)
            also(cursor)

        self._database.run(work)
