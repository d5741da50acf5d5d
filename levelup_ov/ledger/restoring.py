"""Writing a submission once more that the database has lost, from its owner's knowledge."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any

from levelup_ov.ledger.clocks import Clocks
from levelup_ov.ledger.database import Database
from levelup_ov.ledger.identity import Identity, compared_digests, kinds_of
from levelup_ov.ledger.matches import Matches
from levelup_ov.ledger.records import MILLISECOND, Claimed, Superseded, to_ms, trace_json
from levelup_ov.ledger.rows import Rows
from levelup_ov.ledger.tables import Statements


class Restorer:
    """Restores rows of a ledger; raises ``LedgerUnavailable`` like it."""

    def __init__(self, database: Database, sql: Statements, clocks: Clocks, rows: Rows, matches: Matches) -> None:
        self._database = database
        self._sql = sql
        self._clocks = clocks
        self._rows = rows
        self._matches = matches
        self._host = socket.gethostname()

    def restore(
        self,
        claim: Claimed,
        *,
        account: str,
        location: str,
        identities: tuple[Identity, ...],
        content: tuple[str, ...],
        lease: timedelta,
        alike: tuple[str, ...] = (),
        request_id: str | None = None,
        card: bool = False,
        received_at: datetime | None = None,
        trace: Mapping[str, Any] | None = None,
        also: Callable[[Any], None] | None = None,
    ) -> None:
        """Write a submission that is being sent once more, from its owner's knowledge: the database has lost it.

        That happens if a copy of the database takes over that lacks the last changes. For the arguments see
        :meth:`Claims.claim` and :meth:`Transitions.begin_sending`. Another attempt that has sent nothing yet is
        deleted, under whatever reference, so that it sends nothing, and its owner learns that it does not know the
        outcome. ``also`` is called with the cursor of the transaction, also if only the mark of the submission was
        lost, or nothing of it.

        :raises Superseded: its identities belong to another attempt by now, or it has been ruled out.
        """
        kinds = kinds_of(identities)
        id = claim.id
        row: dict[str, Any] = {
            "id": id,
            "account": account,
            "location": location,
            "content": " ".join(compared_digests(identities, content)),
            "alike": " ".join(alike or content),
            "owner": f"{self._host}/{os.getpid()}",
            "request_id": request_id,
            "reference": claim.reference,
            "generation": claim.generation,
            "received_at": received_at and to_ms(received_at),
            "previous": claim.previous,
            "card": int(card),
            "term": lease // MILLISECOND,
        }

        def begin(cursor: Any) -> None:
            values = {"this": id, "term": row["term"], "left": trace_json(trace), "received": row["received_at"]}
            self._sql.changes["begin_sending"].run(cursor, {**values, **self._clocks.of_change()})
            if also is not None:
                also(cursor)

        def work(cursor: Any, _again: bool) -> None:
            self._matches.lock(cursor, kinds)
            if (now := self._rows.read(cursor, id)) is not None:
                # Somebody else who knew it was first, or the row of its claim was kept.
                if now.state == "not_placed":
                    raise Superseded("restore", now)
                begin(cursor)
                return
            held = [
                match.submission for match in self._matches.of(cursor, kinds) if self._matches.is_held(cursor, match)
            ]
            for other in held:
                if other.state != "claimed":
                    raise Superseded("restore", other)
                # After both, the next generation is a new one; and what was ruled out before either has a follower.
                row["generation"] = max(row["generation"], other.generation)
                row["previous"] = other.previous or row["previous"]
            self._sql.insert.run(cursor, {**row, **self._clocks.of_change()})
            for other in {other.id: other for other in held}.values():
                self._sql.inherit.run(cursor, {"this": id, "other": other.id})
                if not self._sql.forget.run(cursor, {"this": other.id}).rowcount:
                    raise Superseded("restore", other)
            self._sql.point.run_each(
                cursor, [{"digest": digest, "kind": kind, "submission": id} for digest, kind in kinds.items()]
            )
            begin(cursor)

        self._database.run(work)
