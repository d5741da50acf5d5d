"""How long a call to the ledger may take: no longer than its request (SUB-6).

A frozen server, or one with a frozen disk, never answers, and nothing on its side ends our wait. So the limit is on our
side: a time of the monotonic clock that the request's thread carries, at which the wait ends and the connection is
closed.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import psycopg
from psycopg import errors

MARGIN = 0.5
"""Extra seconds, beyond its own limits, for a live server to report a timeout."""

_UNTIL: ContextVar[float | None] = ContextVar("levelup_ov_ledger_until", default=None)
_RECORDING: ContextVar[bool] = ContextVar("levelup_ov_ledger_recording", default=False)


class NoAnswer(psycopg.OperationalError):
    """The server did not answer in time; the connection is closed."""


@contextmanager
def within(seconds: float) -> Iterator[None]:
    """All calls to the ledger in this block end within ``seconds`` from now; the narrowest of nested limits counts.

    What is not done by then fails with ``ledger_unavailable``.
    """
    until, outer = time.monotonic() + seconds, _UNTIL.get()
    token = _UNTIL.set(until if outer is None else min(until, outer))
    try:
        yield
    finally:
        _UNTIL.reset(token)


@contextmanager
def extended(seconds: float) -> Iterator[None]:
    """At least ``seconds`` for this block, whatever is left: to record an outcome after the deadline.

    It has a reserved slot at the database (:func:`is_recording`).
    """
    outer = _UNTIL.get()
    token = _UNTIL.set(outer if outer is None else max(outer, time.monotonic() + seconds))
    recording = _RECORDING.set(True)
    try:
        yield
    finally:
        _RECORDING.reset(recording)
        _UNTIL.reset(token)


def is_recording() -> bool:
    """Whether the outcome of an order is being recorded, which nothing else may delay."""
    return _RECORDING.get()


class transaction:
    """One transaction, which takes at most ``patience`` plus :data:`MARGIN` seconds, and no longer than its caller."""

    __slots__ = ("_patience", "_token")

    def __init__(self, patience: float) -> None:
        self._patience = patience

    def __enter__(self) -> None:
        until, outer = time.monotonic() + self._patience + MARGIN, _UNTIL.get()
        self._token = _UNTIL.set(until if outer is None or until < outer else outer)

    def __exit__(self, *_: object) -> None:
        _UNTIL.reset(self._token)


def remaining(unlimited: float) -> float:
    """Seconds left, ``unlimited`` if there is no limit; negative when the time is over."""
    until = _UNTIL.get()
    return unlimited if until is None else until - time.monotonic()


class LimitedConnection(psycopg.Connection[Any]):
    """A connection that waits for its server no longer than the limit, and is then closed."""

    def wait(self, gen: Any, interval: float = 0.1, timeout: float | None = None) -> Any:
        """As in psycopg. :raises NoAnswer: the limit has passed."""
        until = _UNTIL.get()
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
    return opening.wait(min(patience, remaining(patience)))


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
