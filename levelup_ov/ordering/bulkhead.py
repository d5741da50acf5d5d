"""Shares of a worker's threads, so that one hanging provider, or a hanging ledger, leaves threads for the rest.

An account may exceed its share while others are idle. Each idle share keeps a reserve free, and only what is above
the reserves can be borrowed. Not a semaphore for each account, which could lend nothing.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from levelup_ov.domain.failure import Failure

FLOOR = 0.25
"""The part of a share that stays reserved for its account, while the account uses less."""


class Bulkhead:
    """Counts the requests in progress for each account, in this process.

    ``limit``: an account's share of ``threads``, which it may exceed up to ``most``. Without ``threads`` nothing can be
    borrowed. ``accounts``: how many have a share.
    """

    def __init__(self, limit: int, *, threads: int = 0, accounts: int = 1, most: int = 0) -> None:
        self._limit = limit
        self._threads = threads
        self._accounts = accounts
        # However idle the others are, each keeps its reserve.
        self._most = max(most or threads, limit)
        self._floor = max(int(limit * FLOOR), 1)
        self._under_way: dict[str, int] = {}
        self._total = 0
        self._lock = threading.Lock()

    @contextmanager
    def room(self, account: str, refuse: Callable[[int], Failure] | None = None) -> Iterator[None]:
        """Hold a slot for a request.

        :raises Failure: immediately: ``provider_busy``, or what ``refuse`` makes of the number in progress.
        """
        with self._lock:
            count = self._under_way.get(account, 0)
            if count >= self._limit and not self._may_borrow(account, count):
                raise (refuse or _busy)(count)
            self._under_way[account] = count + 1
            self._total += 1
        try:
            yield
        finally:
            with self._lock:
                self._under_way[account] -= 1
                self._total -= 1

    @property
    def in_progress(self) -> Mapping[str, int]:
        """The requests in progress by account."""
        with self._lock:
            return dict(self._under_way)

    def _may_borrow(self, account: str, count: int) -> bool:
        if count >= self._most:
            return False
        others = [number for name, number in self._under_way.items() if name != account and number]
        idle = self._accounts - 1 - len(others)
        kept = idle * self._floor + sum(max(self._floor - number, 0) for number in others)
        # With more accounts than threads, the reserves take at most half of the threads.
        return self._total + 1 + min(kept, self._threads // 2) <= self._threads


def _busy(count: int) -> Failure:
    return Failure("provider_busy", f"{count} requests to this provider are in progress already")
