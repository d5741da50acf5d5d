"""One clock for a whole request: how much of its time is left."""

from __future__ import annotations

import time


class Deadline:
    """A point in time ``seconds`` from now, by the monotonic clock."""

    __slots__ = ("at",)

    def __init__(self, seconds: float) -> None:
        self.at = time.monotonic() + seconds

    def remaining(self) -> float:
        """Seconds left; negative once it has passed."""
        return self.at - time.monotonic()
