"""The CPU of other processes."""

from __future__ import annotations

import time


def cpu_seconds(pid: int) -> float:
    """User and system time of a process, all its threads included."""
    # Its clock (clock_getcpuclockid) counts what utime + stime of /proc/<pid>/stat count, in nanoseconds instead of
    # hundredths of a second.
    return time.clock_gettime((~pid << 3) | 2)
