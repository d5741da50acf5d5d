"""Memory that the workers inherit from their parent, with a part for each in which it publishes its numbers.

prometheus_client's own way for several processes maps files. On a full disk such a write ends the process with
SIGBUS, and the disk being full is when numbers are wanted; its files of dead processes add up as well. Memory has
neither fault, and is as new as the service is.
"""

from __future__ import annotations

import mmap
import struct
import time
import zlib

_HALF = struct.Struct("<QId")
"""Bytes of the content, their checksum, and when they were published: seconds of the host's monotonic clock."""
_ACTIVE = struct.Struct("<Q")
_ATTEMPTS = 5


class SharedParts:
    """``number`` parts, each for up to ``size`` bytes; only its owner writes a part, everybody reads all."""

    def __init__(self, number: int, size: int) -> None:
        self.number = number
        self._size = size
        self._half = _HALF.size + size
        self._whole = _ACTIVE.size + 2 * self._half
        # Unwritten pages take no memory.
        self._memory = mmap.mmap(-1, number * self._whole)

    def publish(self, part: int, content: bytes) -> bool:
        """Replace the content of a part; whether there was room for it.

        It writes the half that is not being read, so that a process killed while writing leaves the old content.
        """
        if len(content) > self._size:
            return False
        start = part * self._whole
        active = 1 - self._active(start)
        at = start + _ACTIVE.size + active * self._half
        self._memory[at + _HALF.size : at + _HALF.size + len(content)] = content
        _HALF.pack_into(self._memory, at, len(content), zlib.crc32(content), time.monotonic())
        _ACTIVE.pack_into(self._memory, start, active)
        return True

    def read(self, part: int) -> tuple[bytes, float]:
        """The content of a part, empty if there is none, and its age in seconds."""
        start = part * self._whole
        for _ in range(_ATTEMPTS):
            at = start + _ACTIVE.size + self._active(start) * self._half
            length, checksum, published = _HALF.unpack_from(self._memory, at)
            content = self._memory[at + _HALF.size : at + _HALF.size + min(length, self._size)]
            # Otherwise it was written twice while it was read.
            if zlib.crc32(content) == checksum:
                return content, time.monotonic() - published
        return b"", 0.0

    def _active(self, start: int) -> int:
        return int(_ACTIVE.unpack_from(self._memory, start)[0]) & 1
