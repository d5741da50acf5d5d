"""At most so many requests of one account at once, so that one hanging provider leaves threads for the rest."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from levelup_ov.domain.failure import Failure


class Bulkhead:
    """Counts the requests under way for each account, in this process. ``limit``: how many may be."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._under_way: dict[str, int] = {}
        self._lock = threading.Lock()

    @contextmanager
    def room(self, account: str) -> Iterator[None]:
        """Hold a place for a request. :raises Failure: ``provider_busy``, at once."""
        with self._lock:
            count = self._under_way.get(account, 0)
            if count >= self._limit:
                raise Failure("provider_busy", f"{count} requests to this provider are under way already")
            self._under_way[account] = count + 1
        try:
            yield
        finally:
            with self._lock:
                self._under_way[account] -= 1
