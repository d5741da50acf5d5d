"""Menus as they were answered, for as long as nothing has changed that they were made of (MENU-4).

A menu of 5 MB takes a second to read, check and write, however short the call to the provider was.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass

from levelup_ov.domain.location import Location
from levelup_ov.domain.stock import Stock
from levelup_ov.ordering.locations import RoutedLocation
from levelup_ov.transport.response_cache import Kept, MemoryStore

MEMORY = 32 * 1024 * 1024
"""Bytes of menus that are kept."""


@dataclass(frozen=True, slots=True)
class WrittenMenu(Kept):
    """An answer with its ETag, and what it was made of beside the provider's menu."""

    location: Location
    stock: Stock | None


class WrittenMenus:
    """The most recently answered menus of this process, by location."""

    def __init__(self) -> None:
        self._store = MemoryStore(MEMORY)

    def find(self, routed: RoutedLocation) -> WrittenMenu | None:
        """The menu as it was answered, unless the location or the provider's menu may have changed since."""
        found = self._store.get(routed.id)
        is_fresh = isinstance(found, WrittenMenu) and found.fresh_until > time.time()
        return found if is_fresh and found.location == routed.location else None  # type: ignore[union-attr, return-value]

    def keep(self, routed: RoutedLocation, menu: WrittenMenu) -> None:
        """Keep an answer, if all that it was made of came from the cache, which says for how long."""
        if time.time() < menu.fresh_until < math.inf:
            self._store.put(routed.id, menu)
