"""Measures the time that proofs need, by a clock that cannot be set, of one boot of one host (SUB-13).

Times of two boots cannot be compared. So an observer trusts times from its own boot, and otherwise only what it has
itself seen unchanged for long enough.
"""

from __future__ import annotations

import os
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_TIME_NAMESPACE = Path("/proc/self/ns/time")
_CLOCK: int = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


def _since_boot() -> int:
    return time.clock_gettime_ns(_CLOCK) // 1_000_000


@dataclass(frozen=True, slots=True)
class Observer:
    """``boot`` identifies the clock; ``now_ms`` returns its time in milliseconds, suspended time included."""

    boot: str
    now_ms: Callable[[], int] = _since_boot


@cache
def this_host() -> Observer:
    """The observer of this process, the same for all processes of one boot.

    If the system does not identify its boot, each process counts as a separate one.
    """
    try:
        # A container may have its own clock, which its namespace identifies.
        namespace = os.readlink(_TIME_NAMESPACE) if os.path.lexists(_TIME_NAMESPACE) else ""
        return Observer(f"{_BOOT_ID.read_text().strip()} {namespace}".strip())
    except OSError:
        return Observer(str(uuid.uuid4()))
