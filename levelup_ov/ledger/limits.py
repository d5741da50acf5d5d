"""How long a call of the ledger may take: no longer than the request that makes it (SUB-6).

A server that is frozen, or whose disk is, answers nothing, and nothing on its side ends a wait of ours. So the limit
is ours: a time of the monotonic clock that the thread of a request carries, at which a wait ends and the connection
is given up.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

MARGIN = 0.5
"""Seconds beyond its own limits that a server which is alive gets to say so."""

_UNTIL: ContextVar[float | None] = ContextVar("levelup_ov_ledger_until", default=None)
_RECORDING: ContextVar[bool] = ContextVar("levelup_ov_ledger_recording", default=False)


class OutOfTime(Exception):
    """A wait for the database has ended with the limit; waiting once more is of no use."""


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


def limit() -> float | None:
    """The time of the monotonic clock at which a wait of this thread ends; None where nobody has set one."""
    return _UNTIL.get()


def remaining(unlimited: float) -> float:
    """Seconds that are left, ``unlimited`` where nobody has set a limit; negative when the time is over."""
    until = _UNTIL.get()
    return unlimited if until is None else until - time.monotonic()
