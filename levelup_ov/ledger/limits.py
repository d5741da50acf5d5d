"""How long a call to the ledger may take: no longer than its request (SUB-6).

A frozen server, or one with a frozen disk, never answers, and nothing on its side ends our wait. So the limit is on our
side: a time of the monotonic clock that the request's thread carries, at which the wait ends and the connection is
closed.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

MARGIN = 0.5
"""Extra seconds, beyond its own limits, for a live server to report a timeout."""

_UNTIL: ContextVar[float | None] = ContextVar("levelup_ov_ledger_until", default=None)
_RECORDING: ContextVar[bool] = ContextVar("levelup_ov_ledger_recording", default=False)


class OutOfTime(Exception):
    """A wait for the database has ended with the limit; waiting once more is of no use."""


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
def reserving(seconds: float) -> Iterator[None]:
    """All calls to the ledger in this block leave ``seconds`` of the limit, to record that they failed."""
    until = _UNTIL.get()
    token = _UNTIL.set(None if until is None else until - seconds)
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


def limit() -> float | None:
    """The time of the monotonic clock at which a wait of this thread ends; None if there is no limit."""
    return _UNTIL.get()


def remaining(unlimited: float) -> float:
    """Seconds left, ``unlimited`` if there is no limit; negative when the time is over."""
    until = _UNTIL.get()
    return unlimited if until is None else until - time.monotonic()
