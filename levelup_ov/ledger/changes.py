"""One change of a submission's state, with its events and what follows from it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from levelup_ov.domain.checkout import LEDGER_ACCOUNT
from levelup_ov.domain.submission import LOOKED_AGAIN, TRANSITIONS
from levelup_ov.ledger.clocks import Clocks
from levelup_ov.ledger.database import Database
from levelup_ov.ledger.outbox import Outbox
from levelup_ov.ledger.records import MILLISECOND, Submission, Superseded
from levelup_ov.ledger.rows import Rows
from levelup_ov.ledger.submission_events import attention_to, events_of
from levelup_ov.ledger.tables import Statements

FIRST_PAUSE = LOOKED_AGAIN[0] // MILLISECOND
"""Milliseconds until what was ruled out, or refused, is looked up again (SUB-12)."""

Follow = Callable[[Submission], Callable[[Any, Submission], None]]
"""Called with a submission before another outcome of it is recorded.

Returns what to do in that transaction, with its cursor and the submission as it is then.
"""


class Changes:
    """The changes of states: who makes one names it, and gets an exception if the row was not in a state for it."""

    def __init__(self, database: Database, sql: Statements, clocks: Clocks, rows: Rows, outbox: Outbox) -> None:
        self._database = database
        self._sql = sql
        self._clocks = clocks
        self._rows = rows
        self._outbox = outbox
        self.follow: Follow | None = None
        """Called before an outcome is taken back, and before an unknown submission is recorded as placed."""

    def make(
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
        reports = self._outbox.is_on and change in self._sql.reported
        statement = (self._sql.quiet if reports else self._sql.changes)[change]

        def once(cursor: Any, again: bool) -> tuple[int, bool]:
            if check is not None:
                check(cursor)
            values.update(self._clocks.of_change())
            return statement.run(cursor, values).rowcount, again

        def with_events(cursor: Any, again: bool) -> tuple[bool, bool]:
            if check is not None:
                check(cursor)
            return self._report(cursor, change, id, {**values, **self._clocks.of_change()}, notify, follow), again

        values["this"] = id
        changed, again = 0, False
        if follow is None and (notify is None or not reports):
            single = check is None
            changed, again = self._database.run_durably(once) if durably else self._database.run(once, single=single)
        if not changed and (reports or follow is not None):
            changed, again = self._database.run(with_events)
        if changed:
            return
        row = self._database.run(lambda cursor, _: self._rows.read(cursor, id), single=True)
        if row is None or row.state != TRANSITIONS[change].target or not done(row, again):
            raise Superseded(change, row)

    def followed(self, cursor: Any, id: str, follow: Callable[[Any, Submission], None] | None) -> None:
        """Do what follows from a change, if anything, in its transaction."""
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
        reports = self._outbox.is_on and change in self._sql.reported
        is_event = reports and bool(self._sql.reported[change].run(cursor, values).rowcount)
        if not is_event:
            rest = (self._sql.quiet if reports else self._sql.changes)[change]
            if (notify is None and follow is None) or not rest.run(cursor, values).rowcount:
                return False
        self.followed(cursor, id, follow)
        if reports and (row := self._rows.read(cursor, id)):
            events = [*events_of(row)] if is_event else []
            # Web checkout reports its charges itself.
            if notify is not None and row.account != LEDGER_ACCOUNT:
                events.append(attention_to(row, notify))
            for event in events:
                self._outbox.record(cursor, event)
        return True
