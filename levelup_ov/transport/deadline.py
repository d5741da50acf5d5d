"""The deadline of a whole request: how much time is left."""

from __future__ import annotations

from levelup_ov.transport import net


class Deadline:
    """A point in time ``seconds`` from now, by the clock of :func:`levelup_ov.transport.net.now`."""

    __slots__ = ("at",)

    def __init__(self, seconds: float) -> None:
        self.at = net.now() + seconds

    def before(self, seconds: float) -> Deadline:
        """A point in time ``seconds`` earlier."""
        earlier = Deadline(0.0)
        earlier.at = self.at - seconds
        return earlier

    def remaining(self) -> float:
        """Seconds left; negative once it has passed."""
        return self.at - net.now()
