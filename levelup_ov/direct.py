"""SQLAlchemy's statements through the driver itself, for the few that every submission runs.

SQLAlchemy prepares a statement's execution anew each time, which costs more CPU than all the rest of a small
transaction (2026-11). Here a statement is compiled once, by SQLAlchemy and for its dialect; what is left is the
driver's call. Pool, dialect and schema stay SQLAlchemy's.
"""

from __future__ import annotations

from collections import namedtuple
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Engine
from sqlalchemy.sql import ClauseElement

Parameters = Mapping[str, Any]


class DirectEngine:
    """Runs statements over ``engine``'s pool. Statements are kept for good: do not make them anew for each call."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._compiled: dict[tuple[Any, ...], _Compiled] = {}

    @contextmanager
    def transaction(self, begin: Callable[[Any], None]) -> Iterator[DirectConnection]:
        """A transaction, committed at the end. ``begin`` is given the driver's connection.

        :raises ConnectionLost: the connection broke; whether a commit under way was made is not known.
        """
        pooled = self._engine.raw_connection()
        driver: Any = pooled.driver_connection
        try:
            begin(driver)
            yield DirectConnection(driver, self._prepared)
            self._engine.dialect.do_commit(driver)
        except BaseException as error:
            if isinstance(error, self._engine.dialect.loaded_dbapi.Error) and self._broke(error, driver):
                pooled.invalidate(error)
                raise ConnectionLost from error
            self._engine.dialect.do_rollback(driver)
            raise
        finally:
            pooled.close()

    def _broke(self, error: Any, driver: Any) -> bool:
        return self._engine.dialect.is_disconnect(error, driver, None)

    def _prepared(self, statement: ClauseElement, parameters: Parameters) -> _Compiled:
        lists = tuple(len(value) if isinstance(value, list) else None for value in parameters.values())
        key = (id(statement), tuple(parameters), lists)
        if (compiled := self._compiled.get(key)) is None:
            compiled = self._compiled[key] = _Compiled(self._engine, statement, parameters)
        return compiled


class ConnectionLost(Exception):
    """The connection to the database broke; ``__cause__`` is the driver's error."""


class DirectConnection:
    """Executes statements within one transaction."""

    def __init__(self, driver: Any, prepared: Callable[[ClauseElement, Parameters], _Compiled]) -> None:
        self._driver = driver
        self._prepared = prepared

    def execute(self, statement: Any, parameters: Parameters | Sequence[Parameters] = ()) -> DirectResult:
        """Execute ``statement``; once for each where a list of parameters is given."""
        if isinstance(parameters, list):
            compiled = self._prepared(statement, parameters[0])
            cursor = self._driver.cursor()
            cursor.executemany(compiled.sql, [compiled.values(each) for each in parameters])
            return DirectResult(cursor, compiled)
        given = parameters if isinstance(parameters, Mapping) else {}
        compiled = self._prepared(statement, given)
        return DirectResult(self._driver.execute(compiled.sql, compiled.values(given)), compiled)


class DirectResult:
    """What a statement gave; rows have their columns as attributes."""

    def __init__(self, cursor: Any, compiled: _Compiled) -> None:
        self._cursor = cursor
        self._compiled = compiled

    @property
    def rowcount(self) -> int:
        """How many rows were changed."""
        return self._cursor.rowcount

    def first(self) -> Any:
        """The first row, or None."""
        return next(iter(self.all()), None)

    def all(self) -> list[Any]:
        """All rows."""
        return self._compiled.rows(self._cursor)


class _Compiled:
    """A statement as the driver takes it, for parameters of one form."""

    def __init__(self, engine: Engine, statement: Any, parameters: Parameters) -> None:
        self._statement = statement  # keeps its id from being given to another
        compiled = statement.compile(dialect=engine.dialect, column_keys=list(parameters))
        expanded = compiled.construct_expanded_state(dict(parameters))
        self.sql = expanded.statement
        # The lists of IN become as many parameters as they have elements.
        self._lists = {name: names for name, names in expanded.parameter_expansion.items() if name in parameters}
        self._defaults = expanded.parameters
        self._order: Sequence[str] | None = expanded.positiontup
        self._make_row: Callable[..., Any] | None = None

    def values(self, parameters: Parameters) -> Any:
        """The parameters as the driver takes them."""
        merged = {**self._defaults, **parameters}
        for name, names in self._lists.items():
            merged.update(zip(names, merged.pop(name), strict=True))
        return merged if self._order is None else [merged[name] for name in self._order]

    def rows(self, cursor: Any) -> list[Any]:
        """What is to be fetched, with its columns as attributes."""
        if self._make_row is None:
            self._make_row = _row_type([column[0] for column in cursor.description])
        return [self._make_row(*row) for row in cursor.fetchall()]


def _row_type(columns: Sequence[str]) -> Callable[..., Any]:
    return namedtuple("Row", columns)
