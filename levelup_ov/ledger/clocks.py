"""The clocks of a ledger: one that cannot be set, for proofs by time, and the time of day, for people (SUB-13)."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime
from typing import Any

from levelup_ov.ledger.boot_clock import Observer, this_host
from levelup_ov.ledger.records import to_ms


class Clocks:
    """The clocks of one process. ``clock`` and ``observer`` replace them: see :func:`~levelup_ov.ledger.open_ledger`.

    PostgreSQL is asked for the time of day, because its hosts may differ; SQLite has only one.
    """

    def __init__(
        self, *, is_postgresql: bool, clock: Callable[[], datetime] | None = None, observer: Observer | None = None
    ) -> None:
        if observer is None:
            observer = this_host() if clock is None else Observer("clock", lambda: to_ms(clock()))
        self.observer = observer
        self.now: Callable[[], int | None] = _no_clock if is_postgresql else _host_clock
        """The parameter ``now`` of statements; None where they ask the database."""
        if clock is not None:
            self.now = lambda: to_ms(clock())
        self.own_clock = self.now is _no_clock
        """Whether statements ask the database for the time, and not :attr:`now`."""

    def of_change(self) -> dict[str, Any]:
        """The parameters for the time of a change."""
        return {"observer": self.observer.boot, "at": self.observer.now_ms(), "now": self.now()}


def _host_clock() -> int:
    return time.time_ns() // 1_000_000


def _no_clock() -> None:
    """The database reads its own."""
