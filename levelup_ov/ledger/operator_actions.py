"""What operators did to submissions, in the console and by commands: who, when, and with what result."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import Table, bindparam, literal, select, update

from levelup_ov.ledger.ledger import Ledger
from levelup_ov.ledger.records import from_ms
from levelup_ov.ledger.tables import ACTIONS, present


class FormUsed(Exception):
    """The form was sent before, or its submission is gone."""


@dataclass(frozen=True, slots=True)
class OperatorAction:
    """``outcome`` is None while the provider is asked, or if the process ended first.

    ``act``: None for a reconciliation in the console, otherwise a correction (:mod:`levelup_ov.ledger.corrections`),
    ``why`` that was made, and ``before``, what the submission held until then.
    """

    operator: str
    request_id: str | None
    at: datetime
    outcome: str | None
    act: str | None = None
    why: str | None = None
    before: Mapping[str, Any] = field(default_factory=dict)


class OperatorActions:
    """What is done in the console: to a submission, or to what the second column of another ``table`` says.

    Raises ``LedgerUnavailable`` like the ledger.
    """

    def __init__(self, ledger: Ledger, table: Table = ACTIONS) -> None:
        self._ledger = ledger
        self._columns = ("form", table.columns.keys()[1], "operator", "request_id")
        now = {"at": present(ledger.clocks.own_clock), "outcome": literal(None, table.c.outcome.type)}
        self._insert = ledger.database.prepare(table.insert().values(now), *self._columns)
        done = update(table).where(table.c.form == bindparam("this"))
        self._finish = ledger.database.prepare(done, "outcome")

    def begin(self, form: str, subject: str, operator: str, request_id: str) -> None:
        """Record that ``operator`` asks for a reconciliation of ``subject``, by the form with this id.

        :raises FormUsed: it was sent before.
        """
        database = self._ledger.database
        values: dict[str, Any] = dict(zip(self._columns, (form, subject, operator, request_id), strict=True))
        try:
            database.run(
                lambda cursor, _: self._insert.run(cursor, {**values, "now": self._ledger.clocks.now()}), single=True
            )
        except database.engine.dialect.loaded_dbapi.IntegrityError:
            raise FormUsed from None

    def finish(self, form: str, outcome: str) -> None:
        """Record the result, which may contain a provider's words."""
        values = {"this": form, "outcome": outcome.encode(errors="replace").decode().replace("\0", "?")}
        self._ledger.database.run(lambda cursor, _: self._finish.run(cursor, values), single=True)


OF_SUBMISSION = select(ACTIONS).where(ACTIONS.c.submission == bindparam("this")).order_by(ACTIONS.c.at)


def actions_of(ledger: Ledger, submission: str) -> tuple[OperatorAction, ...]:
    """What people did to a submission, oldest first."""
    statement = ledger.database.prepare(OF_SUBMISSION)
    rows = ledger.database.run(lambda cursor, _: statement.all(cursor, {"this": submission}), single=True)
    return tuple(map(read_action, rows))


def read_action(row: Any) -> OperatorAction:
    """An action, of a row of :data:`OF_SUBMISSION`."""
    before = json.loads(row.before or "{}")
    return OperatorAction(row.operator, row.request_id, from_ms(row.at), row.outcome, row.act, row.why, before)
