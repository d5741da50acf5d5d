"""What the workers had counted an hour ago, so that the console can say what happened since."""

from __future__ import annotations

import time
from collections.abc import Mapping

from levelup_ov.metrics.shared import SharedParts
from levelup_ov.metrics.tally import Key, Numbers, count, pack, unpack

EVERY = 300.0
"""Seconds between two marks."""
MARKS = 14
"""Marks of each worker: an hour of them, and two more, so that one is always over an hour old."""
HOUR = 3600.0

_ROOM, _ROOM_OF_ACCOUNT = 8 * 1024, 2 * 1024
_LABELS: Mapping[str, tuple[int, ...]] = {
    "levelup_ov_requests_total": (2, 3),
    "levelup_ov_provider_calls_total": (1, 3),
    "levelup_ov_provider_call_seconds": (1, 3),
    "levelup_ov_events_total": (1,),
}
"""The counts that are kept, and where the labels that are kept with them are in a key: outcome and account of
requests; account and outcome, or bucket, of calls; events."""


def reduced(counts: Mapping[Key, float]) -> Numbers:
    """``counts`` as they are kept: of all operations together."""
    found: Numbers = {}
    for key, value in counts.items():
        if (places := _LABELS.get(key[0])) is not None:
            count(found, (key[0], *(key[place] for place in places)), value)
    return found


class History:
    """The marks of ``workers`` parts, in memory that they all read; each writes its own."""

    def __init__(self, workers: int, accounts: int) -> None:
        self._parts = SharedParts(workers * MARKS, _ROOM + _ROOM_OF_ACCOUNT * accounts)
        self._due = 0.0

    def keep(self, worker: int, counts: Mapping[Key, float]) -> None:
        """Keep what this worker has counted, if it is time for that."""
        now = time.monotonic()
        if now < self._due:
            return
        self._due = now + EVERY
        read = {mark: self._parts.read(mark) for mark in self._marks(worker)}
        oldest = max(read, key=lambda mark: (not read[mark][0], read[mark][1]))
        self._parts.publish(oldest, pack(reduced(counts), {}))

    def hour_ago(self, worker: int) -> tuple[Numbers, float]:
        """What a worker had counted an hour ago, or nothing if it started later; and how many seconds ago that was."""
        read = [self._parts.read(mark) for mark in self._marks(worker)]
        known = sorted((age, content) for content, age in read if content)
        old = next((each for each in known if each[0] >= HOUR), None)
        if old is None:
            return {}, known[-1][0] if known else 0.0
        return unpack(old[1])[0], old[0]

    def _marks(self, worker: int) -> range:
        return range(worker * MARKS, (worker + 1) * MARKS)
