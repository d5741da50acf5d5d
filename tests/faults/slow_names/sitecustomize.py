"""A resolver that is slow for the one who asks next: first on the path of a service, it is imported at its start.

The file that ``FAULTS_SLOW_NAME`` names holds the seconds; the next request takes it.
"""

import os
import socket
import time
from contextlib import suppress
from pathlib import Path

_FILE = os.environ.get("FAULTS_SLOW_NAME")
_real = socket.getaddrinfo


def _slowly(host, port, *arguments, **named):
    mine = Path(f"{_FILE}.{os.getpid()}.{time.monotonic_ns()}")
    with suppress(OSError):
        os.rename(_FILE, mine)
        time.sleep(float(mine.read_text()))
        mine.unlink()
    found = _real(host, port, *arguments, **named)
    # The proxies listen on the older family only.
    return [each for each in found if each[0] == socket.AF_INET] or found


if _FILE:
    socket.getaddrinfo = _slowly
