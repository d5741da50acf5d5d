"""Values that all worker processes can read. They are in memory only, never on disk."""

from __future__ import annotations

import zlib
from typing import Any

import orjson

from levelup_ov.metrics.shared import SharedParts


class Shelf:
    """``places`` for JSON of up to ``size`` bytes each, made before the workers are.

    The key decides the place, so that no lock is needed; whatever comes there next replaces it.
    """

    def __init__(self, places: int, size: int) -> None:
        self._parts = SharedParts(places, size)

    def put(self, key: str, content: Any) -> bool:
        """Keep ``content`` under ``key``; whether there was room for it."""
        return self._parts.publish(self._place(key), orjson.dumps([key, content]))

    def get(self, key: str) -> Any:
        """What is kept under ``key``; None if it is gone."""
        content, _ = self._parts.read(self._place(key))
        found, value = orjson.loads(content) if content else ("", None)
        return value if found == key else None

    def _place(self, key: str) -> int:
        return zlib.crc32(key.encode()) % self._parts.number
