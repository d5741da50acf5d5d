"""One way to the database for all that a process keeps there: the ledger and web checkout."""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError

from levelup_ov.database import (
    PATIENCE,
    LedgerUnavailable,
    WriteAheadLog,
    begin_sqlite,
    check_schema,
    failures,
    open_engine,
)
from levelup_ov.direct import ConnectionLost, DirectEngine, DirectTransaction

T = TypeVar("T")

_REPEATED = frozenset({"40001", "40P01"})
"""PostgreSQL's codes for a transaction that lost against another and may be run again."""


class Database:
    """The database at ``url``; one object serves all threads of a process, and its children after a fork.

    Connects at first use. ``pool_size`` should be the number of threads.

    :raises ValueError: not an address of SQLite or PostgreSQL.
    """

    def __init__(self, url: str, *, pool_size: int) -> None:
        self.is_postgresql = not url.startswith("sqlite")
        self._url = url
        self._pool_size = pool_size
        self._inherited: list[object] = []
        self._connect()
        _OPENED.add(self)

    def transaction(self, *, single: bool = False) -> DirectTransaction:
        """A transaction for statements that were made once. ``single``: of one statement."""
        return self._direct.transaction(single=single)

    @contextmanager
    def connection(self) -> Iterator[Connection]:
        """A transaction for statements that are made as it goes."""
        with self._direct.turn, self.engine.begin() as connection:
            yield connection

    def failures(self) -> failures:
        """What turns that with which a transaction fails into :class:`~levelup_ov.database.LedgerUnavailable`."""
        return failures(self.engine)

    def twice(self, once: Callable[[bool], T]) -> T:
        """Run ``once``; again where the database asks for it or a pooled connection was dead."""
        with self.failures():
            try:
                return once(False)
            except (ConnectionLost, DBAPIError, self.engine.dialect.loaded_dbapi.Error) as error:
                if not _is_passing(error):
                    raise
            return once(True)

    def force(self) -> None:
        """Return when all that this thread committed would survive a power failure.

        :raises levelup_ov.database.LedgerUnavailable: the disk refuses.
        """
        if self._log is not None:
            self._log.force()

    def check_schema(self) -> None:
        """Make sure that the schema is the one of this release.

        :raises levelup_ov.database.SchemaMismatch: it is missing, older or newer.
        """
        check_schema(self.engine)

    def close(self) -> None:
        """Close all connections."""
        self._direct.close()
        self.engine.dispose()
        if self._log is not None:
            self._log.close()

    def _after_fork(self) -> None:
        # The parent's connections are neither used nor closed here: closing would end them for the parent.
        self._inherited += (self.engine, self._direct)
        self._connect()

    def _connect(self) -> None:
        self._log: WriteAheadLog | None = None
        if self.is_postgresql:
            self.engine = open_engine(self._url, pool_size=self._pool_size)
            self._direct = DirectEngine(self.engine)
        else:
            # One more, for the one that is kept.
            self.engine = open_engine(self._url, pool_size=self._pool_size + 1)
            self._direct = DirectEngine(self.engine, begin=begin_sqlite, turn=_Turn())
            self._log = WriteAheadLog(self._file)

    def _file(self) -> str:
        # As SQLite has found it: the address may be a link or a URI.
        with self.connection() as connection:
            return connection.scalar(text("SELECT file FROM pragma_database_list WHERE name = 'main'"))


class _Turn:
    """Lets one thread at a time come to SQLite.

    SQLite has one writer at a time and lets the others poll, the unlucky for long: of 16 threads the slowest
    hundredth waited 330 ms (2026-11), taking turns 50 ms.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()

    def __enter__(self) -> None:
        if not self._lock.acquire(timeout=PATIENCE):
            raise LedgerUnavailable("the ledger of submissions is busy")

    def __exit__(self, *_: object) -> None:
        self._lock.release()


def _is_passing(error: BaseException) -> bool:
    """Whether a second try may succeed: a pooled connection was dead, or a transaction lost against another."""
    if isinstance(error, DBAPIError):
        return error.connection_invalidated or getattr(error.orig, "sqlstate", None) in _REPEATED
    return isinstance(error, ConnectionLost) or getattr(error, "sqlstate", None) in _REPEATED


_OPENED: weakref.WeakSet[Database] = weakref.WeakSet()


def _renew() -> None:
    for database in list(_OPENED):
        database._after_fork()


os.register_at_fork(after_in_child=_renew)
