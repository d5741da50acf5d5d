"""A process's access to its database, for the ledger and web checkout."""

from __future__ import annotations

import os
import sqlite3
import threading
import weakref
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager, suppress
from typing import Any, TypeVar

from sqlalchemy import Connection, PoolProxiedConnection, text
from sqlalchemy.exc import DBAPIError

from levelup_ov import tracing
from levelup_ov.ledger import limits
from levelup_ov.ledger.engine import (
    PATIENCE,
    ConnectionLost,
    LedgerUnavailable,
    WriteAheadLog,
    begin_sqlite,
    check_schema,
    failures,
    open_engine,
    patiently,
    sqlite_file,
)
from levelup_ov.ledger.statements import Parameters, Statement

T = TypeVar("T")

_SMALLEST = 4096
"""The fewest bytes of a database with tables."""
_RESTART = "the service, see the page on backups"
_MOST_CONNECTIONS = """
SELECT LEAST(
    current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int,
    COALESCE((SELECT NULLIF(rolconnlimit, -1) FROM pg_roles WHERE rolname = current_user), 100000),
    COALESCE((SELECT NULLIF(datconnlimit, -1) FROM pg_database WHERE datname = current_database()), 100000)
)
"""
_CHECKPOINT_PATIENCE = 0.05
"""Seconds that a checkpoint waits for readers; submissions wait for it."""
_REPEATED = frozenset({"40001", "40P01"})
"""PostgreSQL's codes for a transaction that lost a conflict and may be repeated."""


class Database:
    """The database at ``url``; one object serves all threads of a process, and its children after a fork.

    Connects at first use. ``pool_size``: the most connections; further threads wait.

    :raises ValueError: not an SQLite or PostgreSQL URL.
    """

    def __init__(self, url: str, *, pool_size: int) -> None:
        self.is_postgresql = not url.startswith("sqlite")
        self._pool_size = pool_size
        self._inherited: list[object] = []
        self._statements: dict[tuple[Any, ...], Statement] = {}
        self._turn: AbstractContextManager[None]
        self._busy: float | None
        """Seconds that SQLite's one connection waits for the lock; None: the engine's setting."""
        self._path = sqlite_file(url)
        self._identity: tuple[int, int] | None
        """Device and inode of SQLite's file when it was opened, and whether it was ever a complete database."""
        self._was_large: bool
        self._kept: PoolProxiedConnection | None
        """SQLite's one connection for :meth:`run`, permanently taken from the pool."""
        self._log: WriteAheadLog | None = None
        self._together: GroupCommit | None = None
        # One more on SQLite, for the permanent one.
        self.engine = open_engine(url, pool_size=pool_size + (not self.is_postgresql))
        self._begin()
        _OPENED.add(self)

    def prepare(self, statement: Any, *columns: str) -> Statement:
        """The statement, stored permanently and compiled when it is first run: do not create it for each call."""
        key = (statement, *columns)
        if (prepared := self._statements.get(key)) is None:
            kept = Statement(self.engine.dialect, statement, columns, is_kept=True)
            prepared = self._statements[key] = kept
        return prepared

    def run(self, work: Callable[[Any, bool], T], *, single: bool = False, reads: bool = False) -> T:
        """Run ``work`` with a cursor of the driver, in a transaction; an exception rolls it back.

        It runs again if the database asks for it or the connection was dead. Its second argument then says so,
        because the first try may have been committed. ``single``: one statement, which needs no transaction; on
        PostgreSQL it has one, so that it does nothing once nobody waits for it any more, unless it only ``reads``.

        :raises levelup_ov.ledger.engine.LedgerUnavailable: the database cannot be reached or written.
        """
        try:
            return self._transact(work, False, single, reads)
        except Exception as error:
            with failures(self.engine):
                if not _is_passing(error):
                    raise
        with failures(self.engine):
            return self._transact(work, True, single, reads)

    def first(self, statement: Statement, parameters: Parameters) -> tuple[Any, ...] | None:
        """The values of the first row that one ``statement`` selects; for reads that are many.

        It does not find that SQLite's file was replaced: the next change does.

        :raises levelup_ov.ledger.engine.LedgerUnavailable: the database cannot be reached.
        """
        if self._kept is not None:
            with failures(self.engine), tracing.ledger("sqlite"), self._turn, suppress(sqlite3.Error):
                # Another thread may have lost it.
                if (kept := self._kept) is not None:
                    with closing(kept.cursor()) as cursor:
                        self._wait_no_longer(cursor)
                        return statement.first_values(cursor, parameters)
        # PostgreSQL, or not connected yet, or what failed is tried again, and reported.
        return self.run(lambda cursor, _: statement.first_values(cursor, parameters), single=True, reads=True)

    @contextmanager
    def connection(self) -> Iterator[Connection]:
        """A transaction for statements that are built on the fly.

        :raises levelup_ov.ledger.engine.LedgerUnavailable: the database cannot be reached or written.
        """
        system = self.engine.dialect.name
        with failures(self.engine), tracing.ledger(system), limits.transaction(PATIENCE), self._turn:
            with patiently(self.engine.connect) as connection, connection.begin():
                yield connection

    def run_durably(self, work: Callable[[Any, bool], T]) -> T:
        """Like :meth:`run` for ``single`` work, which survives a power failure once this returns.

        On SQLite this is a group commit, so one exception fails all works of the group.

        :raises LedgerUnavailable: the database cannot be reached or written, or the disk refuses.
        """
        return self.run(work, single=True) if self._together is None else self._together.run(work)

    def force(self) -> None:
        """Return when everything committed before would survive a power failure.

        :raises levelup_ov.ledger.engine.LedgerUnavailable: the disk refuses.
        """
        if self._log is not None:
            self._log.force()

    def check_point(self) -> None:
        """Checkpoint SQLite's write-ahead log, so that it does not grow; waits for readers, but not long.

        :raises levelup_ov.ledger.engine.LedgerUnavailable: the database cannot be written.
        """
        if self.is_postgresql:
            return
        with failures(self.engine), limits.transaction(PATIENCE), self._turn:
            pooled = self._kept or self._take()
            cursor, self._busy = pooled.cursor(), _CHECKPOINT_PATIENCE
            cursor.execute(f"PRAGMA busy_timeout = {int(_CHECKPOINT_PATIENCE * 1000)}")
            # Nobody waits for this one. It leaves what was written meanwhile to the next, which then is short.
            cursor.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
            # Readers in progress may continue; the next checkpoint then handles the rest.
            cursor.execute("PRAGMA wal_checkpoint(RESTART)").fetchone()

    def most_connections(self) -> int | None:
        """How many connections the server allows ordinary users; None if there is no such limit.

        :raises levelup_ov.ledger.engine.LedgerUnavailable: the database cannot be reached.
        """
        if not self.is_postgresql:
            return None
        with self.connection() as connection:
            return int(connection.scalar(text(_MOST_CONNECTIONS)))

    @property
    def connections(self) -> tuple[int, int]:
        """How many connections to PostgreSQL are in use, and the maximum."""
        return self.engine.pool.checkedout(), self._pool_size  # type: ignore[attr-defined]

    def check_schema(self) -> None:
        """Make sure that the schema fits this release.

        :raises levelup_ov.ledger.engine.SchemaMismatch: it is missing, older or newer.
        """
        check_schema(self.engine)

    def close(self) -> None:
        """Close all connections."""
        if self._kept is not None:
            self._kept.close()
            self._kept = None
        self.engine.dispose()
        if self._log is not None:
            self._log.close()

    def _transact(self, work: Callable[[Any, bool], T], again: bool, single: bool, reads: bool) -> T:
        with tracing.ledger(self.engine.dialect.name), limits.transaction(PATIENCE), self._turn:
            pooled = self._kept or self._take()
            if not self.is_postgresql:
                self._check_file()
            try:
                # Otherwise the garbage collector closes it, in any thread, which waits for what SQLite is doing then.
                with closing(pooled.cursor()) as cursor:
                    if self.is_postgresql:
                        # Without it, the driver sends BEGIN and COMMIT, and waits for both.
                        if reads:
                            pooled.driver_connection.autocommit = True  # type: ignore[union-attr]
                    else:
                        self._wait_no_longer(cursor)
                        if not single:
                            begin_sqlite(cursor)
                    result = work(cursor, again)
                    self.engine.dialect.do_commit(pooled)
                return result
            except BaseException as error:
                self._roll_back(pooled, error)
                raise
            finally:
                if self._kept is None:
                    if self.is_postgresql and reads:
                        _restore_transactions(pooled)
                    pooled.close()
                    self._returned.set()

    def _check_file(self) -> None:
        """Detect that the file of the open database was deleted, replaced or truncated, so that writes are lost.

        :raises LedgerUnavailable: it was; a restart opens the current file.
        """
        try:
            found = os.stat(self._path)
        except OSError:
            raise LedgerUnavailable(f"the ledger's file is gone: restore it, and restart {_RESTART}") from None
        identity = (found.st_dev, found.st_ino)
        if self._identity is None:
            self._identity = identity
        if identity != self._identity:
            raise LedgerUnavailable(f"the ledger's file was replaced while in use: restart {_RESTART}")
        if found.st_size < _SMALLEST and self._was_large:
            raise LedgerUnavailable(f"the ledger's file was cut off: restore it, and restart {_RESTART}")
        self._was_large = self._was_large or found.st_size >= _SMALLEST

    def _wait_no_longer(self, cursor: Any) -> None:
        """Let SQLite wait for its lock while the request has time, at most :data:`PATIENCE`."""
        patience = min(PATIENCE, limits.remaining(PATIENCE))
        if patience != self._busy:
            cursor.execute(f"PRAGMA busy_timeout = {max(int(patience * 1000), 0)}")
            self._busy = patience

    def _take(self) -> PoolProxiedConnection:
        pooled = patiently(self.engine.raw_connection, self._await_returned)
        if not self.is_postgresql:
            self._kept, self._busy = pooled, None
        return pooled

    def _await_returned(self, seconds: float) -> None:
        """Another thread's connection will do as well as one that the server does not give."""
        self._returned.clear()
        self._returned.wait(seconds)

    def _roll_back(self, pooled: PoolProxiedConnection, error: BaseException) -> None:
        dialect = self.engine.dialect
        if isinstance(error, dialect.loaded_dbapi.Error) and dialect.is_disconnect(error, pooled, None):
            self._kept = None
            pooled.invalidate(error)
            # What broke one connection has most likely broken all idle ones in the pool.
            self.engine.dispose()
            raise ConnectionLost from error
        dialect.do_rollback(pooled)

    def _after_fork(self) -> None:
        # The parent's connections are neither used nor closed: closing would end them for the parent.
        self._inherited += (self.engine.pool, self._kept)
        # Another pool; another engine would copy a megabyte of pages that the processes share.
        self.engine.dispose(close=False)
        self._begin()

    def _begin(self) -> None:
        """As if nothing had been done yet, by any thread."""
        self._kept = None
        self._busy = None
        self._identity, self._was_large = None, False
        self._turn = _WriterLock(self._pool_size) if self.is_postgresql else _WriterLock()
        self._returned = threading.Event()
        if not self.is_postgresql:
            self._log = WriteAheadLog(self._file)
            self._together = GroupCommit(self)

    def _file(self) -> str:
        # As SQLite resolved it: the URL may contain a link or a URI.
        with self.connection() as connection:
            return connection.scalar(text("SELECT file FROM pragma_database_list WHERE name = 'main'"))


def _restore_transactions(pooled: PoolProxiedConnection) -> None:
    """Let the next user of this connection have transactions; if that fails, there is none."""
    try:
        if pooled.is_valid:
            pooled.driver_connection.autocommit = False  # type: ignore[union-attr]
    except Exception as error:
        pooled.invalidate(error)


class _WriterLock:
    """Limits how many threads use the database at a time; the others wait within their time limits.

    SQLite has one writer at a time and lets the others poll, unlucky ones for long: the slowest percent of 16 threads
    waited 330 ms (2026-11), but 50 ms when taking turns. PostgreSQL gets one thread per connection of the pool.
    """

    def __init__(self, places: int = 1) -> None:
        self._lock = threading.Lock() if places == 1 else threading.BoundedSemaphore(places)
        # One slot is reserved for recording the outcome of an order.
        self._others = threading.BoundedSemaphore(places - 1) if places > 1 else None

    def __enter__(self) -> None:
        others = None if limits.is_recording() else self._others
        if others is not None:
            self._acquire(others)
        try:
            self._acquire(self._lock)
        except BaseException:
            if others is not None:
                others.release()
            raise

    def __exit__(self, *_: object) -> None:
        self._lock.release()
        if self._others is not None and not limits.is_recording():
            self._others.release()

    @staticmethod
    def _acquire(lock: Any) -> None:
        left = min(PATIENCE, limits.remaining(PATIENCE))
        if left <= 0 or not lock.acquire(timeout=left):
            raise LedgerUnavailable("the ledger of submissions is busy")


class _Pending:
    """Waiting work, and its result."""

    def __init__(self, work: Callable[[Any, bool], Any]) -> None:
        self.work = work
        self.is_done = False
        self.result: Any = None
        self.error: BaseException | None = None


class GroupCommit:
    """Group commit: one transaction and one fsync for all waiting threads.

    The first thread commits alone. Others that arrive wait in a queue, and the first of them commits the whole queue.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._queue: deque[_Pending] = deque()
        self._leading = _WriterLock()

    def run(self, work: Callable[[Any, bool], T]) -> T:
        mine = _Pending(work)
        self._queue.append(mine)
        try:
            with limits.transaction(PATIENCE), self._leading:
                if not mine.is_done:
                    self._lead()
        except BaseException:
            # No thread waits for it any more; it may just have been started.
            with suppress(ValueError, IndexError):
                self._queue.remove(mine)
            raise
        if isinstance(mine.error, LedgerUnavailable):
            raise mine.error.replace() from mine.error.__cause__
        if not mine.is_done or mine.error is not None:
            raise LedgerUnavailable() from mine.error
        result: T = mine.result
        return result

    def _lead(self) -> None:
        batch = [self._queue.popleft() for _ in range(len(self._queue))]

        def work_all(cursor: Any, again: bool) -> None:
            for each in batch:
                each.result = each.work(cursor, again)

        # Success must be proven.
        failed: BaseException | None = LedgerUnavailable()
        try:
            self._database.run(work_all, single=len(batch) == 1)
            self._database.force()
            failed = None
        except BaseException as error:
            failed = error
            raise
        finally:
            for each in batch:
                each.error, each.is_done = failed, True


def _is_passing(error: BaseException) -> bool:
    """Whether a second try may succeed: a pooled connection was dead, or a transaction lost a conflict."""
    if isinstance(error, DBAPIError):
        return error.connection_invalidated or getattr(error.orig, "sqlstate", None) in _REPEATED
    if isinstance(error, ConnectionLost):
        # A thread that has used up its time does not wait again.
        return not isinstance(error.__cause__, limits.OutOfTime)
    return getattr(error, "sqlstate", None) in _REPEATED


_OPENED: weakref.WeakSet[Database] = weakref.WeakSet()


def _renew() -> None:
    for database in list(_OPENED):
        database._after_fork()


os.register_at_fork(after_in_child=_renew)
