"""Large deletions in batches, so that submissions do not wait: SQLite has one writer at a time."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from levelup_ov.ledger.database import Database

HELD = 0.01
"""Seconds that a batch should hold the ledger."""
PAUSE = 0.025
"""Seconds for which it is free then: those who wait for SQLite's lock look for it as often."""
FIRST, SMALLEST, LARGEST = 50, 10, 250
"""Rows of a batch."""
BEFORE_CHECKPOINT = 500
"""Rows after which the write-ahead log is copied into the database; it grows until then."""

monotonic, sleep = time.monotonic, time.sleep


def in_batches(database: Database, change: Callable[[Any, int], int]) -> int:
    """Repeat ``change`` in transactions of their own until it finds no more rows; returns how many it changed.

    It is called with a cursor and the most rows to change, and returns how many it did. Their number follows the time
    that a batch takes, with this disk and this many rows.
    """
    size, total, unwritten = FIRST, 0, 0
    while True:
        began = monotonic()

        def work(cursor: Any, _again: bool, size: int = size) -> int:
            nonlocal began
            began = monotonic()  # the wait for the lock is over
            return change(cursor, size)

        changed = database.run(work)
        took = monotonic() - began
        total, unwritten = total + changed, unwritten + changed
        is_last = changed < size
        if changed and not database.is_postgresql:
            sleep(PAUSE)
        if is_last or unwritten >= BEFORE_CHECKPOINT:
            database.check_point()
            unwritten = 0
            if not is_last and not database.is_postgresql:
                sleep(PAUSE)
        if is_last:
            return total
        size = int(max(min(size * HELD / max(took, HELD / 2), LARGEST), SMALLEST))
