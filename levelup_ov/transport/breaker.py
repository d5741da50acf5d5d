"""A circuit breaker for each account and provider host: a provider that is down fails fast (503).

State is per process, which is enough: each worker notices within a few calls, and nothing has to be shared while a
provider is in trouble. Not pybreaker, whose pause is always the same.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

from levelup_ov.errors import Unanswered
from levelup_ov.transport import net

FAILURES = 5
"""Failures in a row that open the circuit."""
FIRST_PAUSE = 5.0
"""Seconds that it first stays open; doubled with every probe."""
LONGEST_PAUSE = 60.0

_COUNTED = frozenset({"provider_unavailable", "provider_timeout"})


class Breaker:
    """Closed: calls pass. Open: none do. After a pause one call probes; its outcome decides.

    The lock is held only for bookkeeping, never during a call.
    """

    def __init__(self, clock: Callable[[], float] | None = None) -> None:
        self._clock = clock or (lambda: net.now())
        self._lock = threading.Lock()
        self._failures = 0
        # Only while the circuit is open: when the next probe may go, and the pause after it.
        self._probe_at = 0.0
        self._pause = FIRST_PAUSE

    @property
    def is_open(self) -> bool:
        """Whether calls are refused, except probes."""
        return self._failures >= FAILURES

    def admit(self) -> None:
        """Let a call pass. :raises Unanswered: ``provider_unavailable``, nothing was sent."""
        if not self.is_open:
            return
        with self._lock:
            now = self._clock()
            if self.is_open and now < self._probe_at:
                raise Unanswered(
                    "provider_unavailable",
                    "the provider is not responding; calls to it are paused",
                    sent=False,
                    retry_after=max(round(self._probe_at - now), 1),
                )
            # This call is the probe. Pauses grow with probes, not with failures, of which many may be in flight.
            self._probe_at = now + self._pause
            self._pause = min(self._pause * 2, LONGEST_PAUSE)

    def record(self, failure: Unanswered | None) -> None:
        """Record the result of a call that was allowed."""
        counts = failure is not None and failure.code in _COUNTED
        if not counts and not self._failures:
            return
        with self._lock:
            self._failures = self._failures + 1 if counts else 0
            if self._failures == FAILURES:
                self._probe_at, self._pause = self._clock() + FIRST_PAUSE, 2 * FIRST_PAUSE
