"""Limits what callers without a key can make the service do: each callback may cost a call to LevelUp."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from levelup_ov.domain.failure import Failure

AT_ONCE = 2
"""The most callbacks processed at the same time in a worker process."""
PER_ID = 3
"""The most callbacks for one permissions request within :data:`WINDOW`."""
WINDOW = 10.0
"""Seconds."""

_REMEMBERED = 1000


class Callbacks:
    """Admits callbacks, in this process. ``now`` returns seconds."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._lock = threading.Lock()
        self._at_once = 0
        self._seen: OrderedDict[int, deque[float]] = OrderedDict()

    @contextmanager
    def room(self, id: int) -> Iterator[None]:
        """Process a callback for ``id``.

        :raises Failure: ``provider_busy``; a caller with a key can still ask for LevelUp's answer.
        """
        with self._lock:
            now = self._now()
            seen = self._seen.setdefault(id, deque(maxlen=PER_ID))
            self._seen.move_to_end(id)
            if len(self._seen) > _REMEMBERED:
                self._seen.popitem(last=False)
            if self._at_once >= AT_ONCE:
                raise _busy(1)
            if len(seen) == PER_ID and now - seen[0] < WINDOW:
                raise _busy(WINDOW - (now - seen[0]))
            seen.append(now)
            self._at_once += 1
        try:
            yield
        finally:
            with self._lock:
                self._at_once -= 1


def _busy(seconds: float) -> Failure:
    words = "too many callbacks in progress; poll the user's connection instead"
    return Failure("provider_busy", words, retry_after=seconds)
