"""Connections to PostgreSQL that keep the limits of their callers; a ledger in SQLite loads none of this."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import psycopg
from psycopg import errors

from levelup_ov.ledger import limits


class NoAnswer(limits.OutOfTime, psycopg.OperationalError):
    """The server did not answer in time; the connection is closed."""


class LimitedConnection(psycopg.Connection[Any]):
    """A connection that waits for its server no longer than the limit, and is then closed."""

    def wait(self, gen: Any, interval: float = 0.1, timeout: float | None = None) -> Any:
        """As in psycopg. :raises NoAnswer: the limit has passed."""
        until = limits.limit()
        if until is None:
            return super().wait(gen, interval, timeout)
        left = until - time.monotonic()
        try:
            return super().wait(gen, interval, max(left if timeout is None else min(left, timeout), 0))
        except errors._WaitTimeout:
            # The server rolls back once it is awake and notices that the connection is closed.
            self.close()
            raise NoAnswer("the server gave no answer in time") from None


def connect(open_connection: Callable[[], Any], patience: float) -> Any:
    """The result of ``open_connection``, within the limit.

    It runs in its own thread, because a name look-up cannot be interrupted; a late connection is closed.

    :raises NoAnswer: the limit has passed.
    """
    opening = _Opening(open_connection)
    threading.Thread(target=opening.run, name="ledger-connect", daemon=True).start()
    return opening.wait(min(patience, limits.remaining(patience)))


class _Opening:
    def __init__(self, open_connection: Callable[[], Any]) -> None:
        self._open = open_connection
        self._lock = threading.Lock()
        self._done = threading.Event()
        self._given_up = False
        self._connection: Any = None
        self._error: BaseException | None = None

    def run(self) -> None:
        try:
            connection, error = self._open(), None
        except BaseException as caught:
            connection, error = None, caught
        with self._lock:
            self._connection, self._error = connection, error
            self._done.set()
            if self._given_up and connection is not None:
                connection.close()

    def wait(self, seconds: float) -> Any:
        self._done.wait(max(seconds, 0))
        with self._lock:
            if not self._done.is_set():
                self._given_up = True
                raise NoAnswer("the server did not take the connection in time")
        if self._error is not None:
            raise self._error
        return self._connection
