"""The SQLite file of the sandbox or the stand-in, and its connections.

Threads and processes may share the file, and a process may fork: a connection is opened when first needed, belongs to
the process that opened it, and is used by one thread at a time. Writing transactions take the write lock first, so
what they read is still true when they write.

This is not the ledger's engine on purpose: the stand-ins imitate other systems, and must not share a fault with the
code that is tested against them.
"""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Generic, TypeVar

BUSY_TIMEOUT = 10.0
"""Seconds for which a transaction waits for another to end."""

T = TypeVar("T")


class SQLitePool(Generic[T]):
    """The file at ``path``; it and its folder are made when first needed, readable by their owner only.

    ``transaction`` makes, of a connection, what can be done in a transaction; ``prepare`` makes the tables where
    a new connection finds none.
    """

    def __init__(
        self,
        path: Path,
        transaction: Callable[[sqlite3.Connection], T],
        prepare: Callable[[sqlite3.Connection], None],
    ) -> None:
        self._path = path
        self._made = transaction
        self._prepare = prepare
        # By process: a connection must not be used, nor closed, by a process that inherited it.
        self._idle: dict[int, list[sqlite3.Connection]] = {}

    @contextmanager
    def reading(self) -> Iterator[T]:
        """One consistent view."""
        with self._transaction("BEGIN") as transaction:
            yield transaction

    @contextmanager
    def glancing(self) -> Iterator[T]:
        """For one statement, which is one view on its own: without the two others that start and end a transaction."""
        idle = self._idle.setdefault(os.getpid(), [])
        connection = idle.pop() if idle else self._open()
        try:
            yield self._made(connection)
        finally:
            idle.append(connection)

    @contextmanager
    def writing(self) -> Iterator[T]:
        """All or nothing; no other writer in between."""
        with self._transaction("BEGIN IMMEDIATE") as transaction:
            yield transaction

    def close(self) -> None:
        """Close what this process has open and idle."""
        for connection in self._idle.pop(os.getpid(), []):
            connection.close()

    @contextmanager
    def _transaction(self, begin: str) -> Iterator[T]:
        idle = self._idle.setdefault(os.getpid(), [])
        try:
            connection = idle.pop()
        except IndexError:
            connection = self._open()
        try:
            connection.execute(begin)
            yield self._made(connection)
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise
        finally:
            idle.append(connection)

    def _open(self) -> sqlite3.Connection:
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._path.touch(mode=0o600)
        connection = sqlite3.connect(self._path, timeout=BUSY_TIMEOUT, isolation_level=None, check_same_thread=False)
        try:
            _use_write_ahead_log(connection)
            connection.execute("PRAGMA synchronous = NORMAL")
            self._prepare(connection)
        except BaseException:
            connection.close()
            raise
        return connection


def _use_write_ahead_log(connection: sqlite3.Connection) -> None:
    # SQLite's busy timeout does not cover this change (3.45, 2024): two processes that make it at the same
    # moment see "database is locked" at once.
    end = time.monotonic() + BUSY_TIMEOUT
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError:
            if time.monotonic() > end:
                raise
            time.sleep(0.01)
