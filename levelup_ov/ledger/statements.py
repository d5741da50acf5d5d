"""SQLAlchemy's statements, executed directly by the driver, for what every submission runs.

SQLAlchemy prepares each execution of a statement again, which costs more CPU than the rest of a small transaction
(2026-11). Here SQLAlchemy compiles a statement once for its dialect; executing it is then one call to a driver's
cursor. Pool, dialect and schema stay with SQLAlchemy.
"""

from __future__ import annotations

from collections import namedtuple
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, NamedTuple

from sqlalchemy import Dialect, Table, literal

if TYPE_CHECKING:
    from sqlalchemy.dialects.sqlite import Insert

Parameters = Mapping[str, Any]


class _Form(NamedTuple):
    """What a driver gets: ``constants`` are further parameters, ``positions`` the names of all that have no name."""

    sql: str
    constants: Parameters
    positions: Sequence[str] | None


class Statement:
    """A statement in the driver's form, its parameters by name.

    ``columns``: those that an insert or update sets, if the statement itself does not say so. ``is_kept``: it is stored
    permanently, so its constants are the code's own. It is compiled when it is first needed: a process runs few of all.
    """

    def __init__(self, dialect: Dialect, statement: Any, columns: Sequence[str] = (), *, is_kept: bool = False) -> None:
        self._make_form = partial(_compiled, dialect, statement, columns, is_kept)
        self._make_row: Callable[..., Any] | None = None

    @cached_property
    def _form(self) -> _Form:
        return self._make_form()

    def compile(self) -> None:
        """Compile it now, for instance before a fork."""
        self._form

    def run(self, cursor: Any, parameters: Parameters) -> Any:
        """Execute it; returns the cursor."""
        return cursor.execute(self._form.sql, self._given(parameters))

    def run_each(self, cursor: Any, parameters: Sequence[Parameters]) -> int:
        """Execute it for each of ``parameters``; returns how many rows were changed."""
        if not parameters:
            return 0
        cursor.executemany(self._form.sql, list(map(self._given, parameters)))
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
        _, constants, positions = self._form
        named = {**constants, **parameters} if constants else parameters
        return named if positions is None else [named[name] for name in positions]


def insert(table: Table, *, is_postgresql: bool) -> Insert:
    """An insertion that can say what happens to a row that is there already; PostgreSQL's has the same methods."""
    # Each dialect costs megabytes, and a process never uses one of the two.
    if is_postgresql:
        from sqlalchemy.dialects import postgresql

        return postgresql.insert(table)  # type: ignore[return-value]
    from sqlalchemy.dialects import sqlite

    return sqlite.insert(table)


def _compiled(dialect: Dialect, statement: Any, columns: Sequence[str], is_kept: bool) -> _Form:
    compiled = statement.compile(dialect=dialect, column_keys=list(columns))
    given = {name: None for name, bind in compiled.binds.items() if bind.required}
    expanded = compiled.construct_expanded_state(given)
    constants = {name: value for name, value in expanded.parameters.items() if name not in given}
    # SQLite's driver finds parameters by position in half the time that it takes by name; psycopg names them.
    positions: Sequence[str] | None = expanded.positiontup
    if not is_kept or positions is None:
        return _Form(expanded.statement, constants, positions)
    # SQLite plans a statement again for each value that it compares with the condition of a partial index,
    # which takes longer than running it.
    written, others = _written(expanded.statement, positions, constants, compiled)
    return _Form(written, {}, others)


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
