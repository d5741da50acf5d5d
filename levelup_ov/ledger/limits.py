"""How long a call of the ledger may take: no longer than the request that makes it (SUB-6).

A server that is frozen, or whose disk is, answers nothing, and nothing on its side ends a wait of ours. So the limit
is ours: a time of the monotonic clock that the thread of a request carries, at which a wait ends and the connection
is given up.
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
"""Seconds beyond its own limits that a server which is alive gets to say so."""

_UNTIL: ContextVar[float | None] = ContextVar("levelup_ov_ledger_until", default=None)
_RECORDING: ContextVar[bool] = ContextVar("levelup_ov_ledger_recording", default=False)


class NoAnswer(psycopg.OperationalError):
    """The server did not answer in time; the connection is closed."""


@contextmanager
def within(seconds: float) -> Iterator[None]:
    """All calls of the ledger made here end within ``seconds`` from now, of the narrowest of all such limits.

    Another way out than to wait longer is not there: what is not done by then fails with ``ledger_unavailable``.
    """
    until, outer = time.monotonic() + seconds, _UNTIL.get()
    token = _UNTIL.set(until if outer is None else min(until, outer))
    try:
        yield
    finally:
        _UNTIL.reset(token)


@contextmanager
def extended(seconds: float) -> Iterator[None]:
    """At least ``seconds`` for what is done here, whatever is left: to record what is known, after the deadline.

    It has a place of its own at the database (:func:`is_recording`).
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
    """Whether what became of an order is being recorded: nothing else may keep that waiting."""
    return _RECORDING.get()


class transaction:
    """One transaction, which takes at most ``patience`` seconds and :data:`MARGIN`, and no longer than its caller."""

    __slots__ = ("_patience", "_token")

    def __init__(self, patience: float) -> None:
        self._patience = patience

    def __enter__(self) -> None:
        until, outer = time.monotonic() + self._patience + MARGIN, _UNTIL.get()
        self._token = _UNTIL.set(until if outer is None or until < outer else outer)

    def __exit__(self, *_: object) -> None:
        _UNTIL.reset(self._token)


def remaining(unlimited: float) -> float:
    """Seconds that are left, ``unlimited`` where nobody has set a limit; negative when the time is over."""
    until = _UNTIL.get()
    return unlimited if until is None else until - time.monotonic()


class LimitedConnection(psycopg.Connection[Any]):
    """A connection that waits for its server no longer than the limit, and is closed then."""

    def wait(self, gen: Any, interval: float = 0.1, timeout: float | None = None) -> Any:
        """As in psycopg. :raises NoAnswer: the limit has passed."""
        until = _UNTIL.get()
        if until is None:
            return super().wait(gen, interval, timeout)
        left = until - time.monotonic()
        try:
            return super().wait(gen, interval, max(left if timeout is None else min(left, timeout), 0))
        except errors._WaitTimeout:
            # What it was about to do is undone by the server, once that is awake and sees that nobody is there.
            self.close()
            raise NoAnswer("the server gave no answer in time") from None


def connect(open_connection: Callable[[], Any], patience: float) -> Any:
    """What ``open_connection`` gives, within the limit.

    It runs in a thread of its own, since the look-up of a name cannot be ended from outside; what comes too late is
    closed.

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
