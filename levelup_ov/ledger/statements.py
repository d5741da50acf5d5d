"""SQLAlchemy's statements, executed directly by the driver, for what every submission runs.

SQLAlchemy prepares each execution of a statement again, which costs more CPU than the rest of a small transaction
(2026-11). Here SQLAlchemy compiles a statement once for its dialect; executing it is then one call to a driver's
cursor. Pool, dialect and schema stay with SQLAlchemy.
"""

from __future__ import annotations

from collections import namedtuple
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from sqlalchemy import Dialect, Table, literal

if TYPE_CHECKING:
    from sqlalchemy.dialects.sqlite import Insert

Parameters = Mapping[str, Any]


class Statement:
    """A statement in the driver's form, its parameters by name.

    ``columns``: those that an insert or update sets, if the statement itself does not say so. ``is_kept``: it is stored
    permanently, so its constants are the code's own.
    """

    def __init__(self, dialect: Dialect, statement: Any, columns: Sequence[str] = (), *, is_kept: bool = False) -> None:
        compiled = statement.compile(dialect=dialect, column_keys=list(columns))
        given = {name: None for name, bind in compiled.binds.items() if bind.required}
        expanded = compiled.construct_expanded_state(given)
        self._sql = expanded.statement
        self._constants = {name: value for name, value in expanded.parameters.items() if name not in given}
        # SQLite's driver finds parameters by position in half the time that it takes by name; psycopg names them.
        self._positions: Sequence[str] | None = expanded.positiontup
        if is_kept and self._positions is not None:
            # SQLite plans a statement again for each value that it compares with the condition of a partial index,
            # which takes longer than running it.
            self._sql, self._positions = _written(self._sql, self._positions, self._constants, compiled)
            self._constants = {}
        self._make_row: Callable[..., Any] | None = None

    def run(self, cursor: Any, parameters: Parameters) -> Any:
        """Execute it; returns the cursor."""
        return cursor.execute(self._sql, self._given(parameters))

    def run_each(self, cursor: Any, parameters: Sequence[Parameters]) -> int:
        """Execute it for each of ``parameters``; returns how many rows were changed."""
        if not parameters:
            return 0
        cursor.executemany(self._sql, list(map(self._given, parameters)))
        return int(cursor.rowcount)

    def all(self, cursor: Any, parameters: Parameters) -> list[Any]:
        """The rows that it selects or returns, with their columns as attributes."""
        self.run(cursor, parameters)
        if self._make_row is None:
            self._make_row = _row_type([column[0] for column in cursor.description])
        return [self._make_row(*row) for row in cursor.fetchall()]

    def first(self, cursor: Any, parameters: Parameters) -> Any:
        """The first of these rows, or None."""
        return next(iter(self.all(cursor, parameters)), None)

    def first_values(self, cursor: Any, parameters: Parameters) -> tuple[Any, ...] | None:
        """The values of this row, in the order of its columns."""
        values: tuple[Any, ...] | None = next(iter(self.run(cursor, parameters).fetchall()), None)
        return values

    def _given(self, parameters: Parameters) -> Parameters | Sequence[Any]:
        named = {**self._constants, **parameters} if self._constants else parameters
        return named if self._positions is None else [named[name] for name in self._positions]


def insert(table: Table, *, is_postgresql: bool) -> Insert:
    """An insertion that can say what happens to a row that is there already; PostgreSQL's has the same methods."""
    # Each dialect costs megabytes, and a process never uses one of the two.
    if is_postgresql:
        from sqlalchemy.dialects import postgresql

        return postgresql.insert(table)  # type: ignore[return-value]
    from sqlalchemy.dialects import sqlite

    return sqlite.insert(table)


def _row_type(columns: Sequence[str]) -> Callable[..., Any]:
    return namedtuple("Row", columns)


def _written(sql: str, positions: Sequence[str], constants: Parameters, compiler: Any) -> tuple[str, Sequence[str]]:
    """The statement with its constants in it, and the names of the other parameters in their order."""
    first, *rest = sql.split("?")
    written, others = [first], []
    for name, part in zip(positions, rest, strict=True):
        if name in constants:
            value = constants[name]
            written += compiler.render_literal_value(value, literal(value).type), part
        else:
            others.append(name)
            written += "?", part
    return "".join(written), others
