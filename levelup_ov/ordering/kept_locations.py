"""Lists of locations in the cache, so that a list survives a restart.

An entry that is damaged, or was written by another version, counts as absent.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, fields
from datetime import datetime
from decimal import Decimal
from typing import Any

from levelup_ov.adapter import Adapter
from levelup_ov.domain.location import WEEKDAYS, Location, Span
from levelup_ov.transport.response_cache import KEPT_FOR, CacheStore, Kept

_MEMBERS = {field.name for field in fields(Location)}


class KeptLocations:
    """The locations of each account, each with the seconds since 1970 at which it was read."""

    def __init__(self, store: CacheStore) -> None:
        self._store = store

    def put(self, adapter: Adapter, locations: Iterable[tuple[Location, float]]) -> None:
        """Store what was read, if there is space."""
        rows = [{"read_at": read_at, "location": _dump(location)} for location, read_at in locations]
        self._store.put(_key(adapter), Kept(json.dumps(rows).encode(), "", time.time() + KEPT_FOR))

    def get(self, adapter: Adapter) -> list[tuple[Location, float]]:
        """The stored lists; nothing if they cannot be read."""
        kept = self._store.get(_key(adapter))
        try:
            return list(_load(json.loads(kept.body))) if kept else []
        except (ArithmeticError, AttributeError, KeyError, LookupError, TypeError, ValueError):
            return []


def _key(adapter: Adapter) -> str:
    """Different settings mean a different account with the same name. The key does not reveal them."""
    account = adapter.account
    settings = sorted((name, account.setting(name)) for name in account.settings)
    own = (account.name, account.provider, adapter.base_url, account.time_zone, account.accepts_tips, account.currency)
    parts = ("locations", repr(own), repr(settings))
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def _dump(location: Location) -> dict[str, Any]:
    plain = asdict(location)
    for name in ("latitude", "longitude"):
        plain[name] = None if plain[name] is None else str(plain[name])
    plain["tenders"] = None if location.tenders is None else sorted(location.tenders)
    plain["updated_at"] = None if location.updated_at is None else location.updated_at.isoformat()
    return plain


def _load(rows: Any) -> Iterator[tuple[Location, float]]:
    for row in rows:
        if set(row["location"]) == _MEMBERS:
            yield _location(row["location"]), float(row["read_at"])


def _location(plain: Mapping[str, Any]) -> Location:
    tenders, updated_at = plain["tenders"], plain["updated_at"]
    coordinates = {name: plain[name] and Decimal(plain[name]) for name in ("latitude", "longitude")}
    hours = {
        day: None if plain["hours"][day] is None else tuple(Span(**span) for span in plain["hours"][day])
        for day in WEEKDAYS
    }
    more = {
        "hours": hours,
        "tenders": None if tenders is None else frozenset(tenders),
        "updated_at": updated_at and datetime.fromisoformat(updated_at),
    }
    return Location(**{**plain, **coordinates, **more})
