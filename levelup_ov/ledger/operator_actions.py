"""What operators did in the console, to submissions and to orders of web checkout: who, when, and with what result."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Select, Table, bindparam, literal, select, update

from levelup_ov.ledger.ledger import Ledger
from levelup_ov.ledger.records import from_ms
from levelup_ov.ledger.tables import ACTIONS, present


class FormUsed(Exception):
    """The form was sent before, or what it is about is gone."""


@dataclass(frozen=True, slots=True)
class OperatorAction:
    """``outcome`` is None while the provider is asked, or if the process ended meanwhile."""

    operator: str
    request_id: str | None
    at: datetime
    outcome: str | None


class OperatorActions:
    """``table`` in the database of ``ledger``; raises ``LedgerUnavailable`` like the ledger."""

    def __init__(self, ledger: Ledger, table: Table = ACTIONS) -> None:
        self._ledger = ledger
        self._columns = ("form", _subject(table), "operator", "request_id")
        now = {"at": present(ledger.own_clock), "outcome": literal(None, table.c.outcome.type)}
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
            database.run(lambda cursor, _: self._insert.run(cursor, {**values, "now": self._ledger.now()}), single=True)
        except database.engine.dialect.loaded_dbapi.IntegrityError:
            raise FormUsed from None

    def finish(self, form: str, outcome: str) -> None:
        """Record the result."""
        values = {"this": form, "outcome": outcome}
        self._ledger.database.run(lambda cursor, _: self._finish.run(cursor, values), single=True)


def actions_on(table: Table) -> Select[Any]:
    """The actions on ``this``, oldest first."""
    return select(table).where(table.c[_subject(table)] == bindparam("this")).order_by(table.c.at)


def _subject(table: Table) -> str:
    """The column that says what an action was about: the second one."""
    return table.columns.keys()[1]


def read_action(row: Any) -> OperatorAction:
    """An action, of a row of :func:`actions_on`."""
    return OperatorAction(row.operator, row.request_id, from_ms(row.at), row.outcome)
