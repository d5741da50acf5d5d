"""SQLAlchemy's statements through the driver itself, for the few that every submission runs.

SQLAlchemy prepares a statement's execution anew each time, which costs more CPU than all the rest of a small
transaction (2026-11). Here a statement is compiled once, by SQLAlchemy and for its dialect; what is left is the
driver's call. Pool, dialect and schema stay SQLAlchemy's.
"""

from __future__ import annotations

from collections import namedtuple
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from types import TracebackType
from typing import Any

from sqlalchemy import Engine, PoolProxiedConnection

Parameters = Mapping[str, Any]


class ConnectionLost(Exception):
    """The connection to the database broke; ``__cause__`` is the driver's error."""


class DirectEngine:
    """Runs statements over ``engine``'s pool. Statements are kept for good: do not make them anew for each call.

    ``begin`` begins a transaction on the driver's connection, where that does not do so itself. ``turn`` lets one
    thread in at a time; all use one connection then, which is taken from the pool for good.
    """

    def __init__(
        self,
        engine: Engine,
        *,
        begin: Callable[[Any], None] | None = None,
        turn: AbstractContextManager[None] | None = None,
    ) -> None:
        self._engine = engine
        self._begin = begin
        self._keep = turn is not None
        self.turn: AbstractContextManager[None] = turn or nullcontext()
        self._kept: PoolProxiedConnection | None = None
        self._compiled: dict[tuple[Any, ...], _Compiled] = {}

    def transaction(self, *, single: bool = False) -> DirectTransaction:
        """A transaction. ``single``: one statement is one by itself, which saves two calls."""
        return DirectTransaction(self, None if single else self._begin)

    def close(self) -> None:
        """Give back the connection that was kept."""
        if self._kept is not None:
            self._kept.close()
            self._kept = None

    def _prepared(self, statement: Any, parameters: Parameters) -> _Compiled:
        key = (id(statement), *parameters)
        if (compiled := self._compiled.get(key)) is None:
            compiled = self._compiled[key] = _Compiled(self._engine, statement, parameters)
        return compiled

    def _borrow(self) -> PoolProxiedConnection:
        if self._kept is not None:
            return self._kept
        pooled = self._engine.raw_connection()
        if self._keep:
            self._kept = pooled
        return pooled

    def _give_back(self, pooled: PoolProxiedConnection, error: BaseException | None) -> None:
        """Commit, or because of ``error`` roll back."""
        dialect = self._engine.dialect
        driver: Any = pooled.driver_connection
        try:
            if error is None:
                dialect.do_commit(driver)
            else:
                self._roll_back(pooled, error)
        except dialect.loaded_dbapi.Error as refused:
            self._roll_back(pooled, refused)
            raise
        finally:
            if pooled is not self._kept:
                pooled.close()

    def _roll_back(self, pooled: PoolProxiedConnection, error: BaseException) -> None:
        driver: Any = pooled.driver_connection
        dialect = self._engine.dialect
        if isinstance(error, dialect.loaded_dbapi.Error) and dialect.is_disconnect(error, driver, None):
            self._kept = None
            pooled.invalidate(error)
            # What broke one connection most likely broke all that wait in the pool.
            self._engine.dispose()
            raise ConnectionLost from error
        dialect.do_rollback(driver)


class DirectTransaction:
    """Executes statements; committed at the end of its ``with`` block, or rolled back by an exception.

    :raises ConnectionLost: the connection broke; whether a commit under way was made is not known.
    """

    def __init__(self, engine: DirectEngine, begin: Callable[[Any], None] | None) -> None:
        self._engine = engine
        self._begin = begin
        self._pooled: PoolProxiedConnection | None = None

    def __enter__(self) -> DirectTransaction:
        self._engine.turn.__enter__()
        try:
            self._pooled = self._engine._borrow()
            self._driver: Any = self._pooled.driver_connection
            if self._begin is not None:
                self._begin(self._driver)
        except BaseException as error:
            self.__exit__(type(error), error, None)
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        try:
            if self._pooled is not None:
                self._engine._give_back(self._pooled, error)
        finally:
            self._engine.turn.__exit__(None, None, None)

    def execute(self, statement: Any, parameters: Parameters) -> DirectResult:
        """Execute ``statement`` once."""
        compiled = self._engine._prepared(statement, parameters)
        return DirectResult(self._driver.execute(compiled.sql, compiled.values(parameters)), compiled)

    def execute_each(self, statement: Any, parameters: Sequence[Parameters]) -> int:
        """Execute ``statement`` for each of ``parameters``; gives how many rows were changed."""
        if not parameters:
            return 0
        compiled = self._engine._prepared(statement, parameters[0])
        cursor = self._driver.cursor()
        cursor.executemany(compiled.sql, list(map(compiled.values, parameters)))
        return cursor.rowcount


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
    """A statement as the driver takes it, for parameters of these names."""

    def __init__(self, engine: Engine, statement: Any, example: Parameters) -> None:
        self._statement = statement  # keeps its id from being given to another
        compiled = statement.compile(dialect=engine.dialect, column_keys=list(example))
        expanded = compiled.construct_expanded_state(dict(example))
        self.sql = expanded.statement
        self._constants = {name: value for name, value in expanded.parameters.items() if name not in example}
        self._order = expanded.positiontup
        self._make_row: Callable[..., Any] | None = None

    def values(self, parameters: Parameters) -> Any:
        """The parameters as the driver takes them."""
        merged = {**self._constants, **parameters}
        return merged if self._order is None else [merged[name] for name in self._order]

    def rows(self, cursor: Any) -> list[Any]:
        """What is to be fetched, with its columns as attributes."""
        if self._make_row is None:
            self._make_row = _row_type([column[0] for column in cursor.description])
        return [self._make_row(*row) for row in cursor.fetchall()]


def _row_type(columns: Sequence[str]) -> Callable[..., Any]:
    return namedtuple("Row", columns)
