"""Time limits of the service, held on machines that are busy with other work."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event, Thread
from time import monotonic

TOLERANCE = 0.25
"""Seconds by which an answer may be late (SUB-6)."""
TICK = 0.01


class Stopwatch:
    """Measures how long something takes, and by how much the machine itself is late during that.

    A thread that does nothing wants to wake every hundredth of a second. Where it wakes later, everybody does.
    """

    def __init__(self) -> None:
        self._late = 0.0
        self._ended = Event()
        self._ticker = Thread(target=self._tick, daemon=True)
        self._started = monotonic()
        self._ticker.start()

    def _tick(self) -> None:
        before = monotonic()
        while not self._ended.wait(TICK):
            now = monotonic()
            self._late += max(now - before - 2 * TICK, 0)
            before = now

    def stop(self) -> tuple[float, float]:
        """Seconds since the start, and how many of them the machine was late at the most."""
        seconds = monotonic() - self._started
        self._ended.set()
        self._ticker.join()
        # What needs several threads of several processes one after another waits for each of them.
        return seconds, 4 * self._late


@contextmanager
def within(seconds: float, *, tolerance: float = TOLERANCE, at_least: float = 0) -> Iterator[None]:
    """What runs in the block takes at most ``seconds`` and ``tolerance``, on a machine that has time for it."""
    stopwatch = Stopwatch()
    try:
        yield
    finally:
        took, late = stopwatch.stop()
    assert at_least <= took <= seconds + tolerance + late, f"took {took:.3f} s; the machine was {late:.3f} s late"
