"""Slows down those who try keys: a wrong one is answered at once, the next must wait. No thread waits with them."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from time import monotonic

FREE = 5
"""Wrong keys before the first pause."""
LONGEST = 60.0
"""Seconds of the longest pause; the first is one second, and each further wrong key doubles it."""
FORGOTTEN = 900.0
"""Seconds after which a caller's wrong keys are forgotten."""
MOST = 1000
"""Callers that are remembered."""


@dataclass(slots=True)
class _Caller:
    wrong: int = 0
    last: float = 0.0
    until: float = 0.0


class Throttle:
    """The wrong keys of each caller, in this process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._callers: dict[str, _Caller] = {}

    def pause(self, caller: str) -> float:
        """Seconds until the caller may try a key; 0: now."""
        with self._lock:
            known = self._callers.get(caller)
            return max(known.until - monotonic(), 0) if known else 0

    def failed(self, caller: str) -> int:
        """Count a wrong key; gives how many there were."""
        with self._lock:
            now = monotonic()
            known = self._callers.pop(caller, None)
            if known is None or now - known.last > FORGOTTEN:
                known = _Caller()
            # Back at the end: the first one is the one that has been quiet the longest.
            self._callers[caller] = known
            if len(self._callers) > MOST:
                del self._callers[next(iter(self._callers))]
            known.wrong, known.last = known.wrong + 1, now
            if known.wrong >= FREE:
                known.until = now + min(2.0 ** (known.wrong - FREE), LONGEST)
            return known.wrong

    def succeeded(self, caller: str) -> None:
        """Forget the caller's wrong keys."""
        with self._lock:
            self._callers.pop(caller, None)
