"""The gateway's merchants, locations and menus, kept with LevelUp's numbers for them."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from typing import Any

from levelup_ov.standins.levelup.ahead import menus
from levelup_ov.standins.levelup.ahead.gateway import Gateway, GatewayReply, Unreached, segment
from levelup_ov.standins.levelup.problems import ErrorResponse, error
from levelup_ov.standins.levelup.store import PlatformStore
from levelup_ov.standins.levelup.world import PlatformLocation

READING_SECONDS = 10.0
"""How long a menu or a list may take."""
FRESH_SECONDS = 60.0
"""For how long lists of locations are not asked for again."""

_DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
JSON = dict[str, Any]


class Places:
    """What the gateway serves. Without one, there is nothing."""

    def __init__(self, store: PlatformStore, gateway: Gateway | None) -> None:
        self._store = store
        self._gateway = gateway
        self._lock = threading.Lock()
        self._fresh_until = 0.0

    def refresh(self) -> None:
        """Look for merchants and locations again, unless that was done just now; what is kept stays if it fails."""
        if self._gateway is None:
            return
        with self._lock:
            if time.monotonic() < self._fresh_until:
                return
            try:
                self._refresh(self._gateway)
            except Unreached:
                return
            self._fresh_until = time.monotonic() + FRESH_SECONDS

    def _refresh(self, gateway: Gateway) -> None:
        for entry in _entries(gateway("GET", "/merchants", seconds=READING_SECONDS), "merchants", "merchant"):
            id = entry["provider_id"]
            path = f"/merchants/{segment(id)}/locations"
            reply = gateway("GET", path, seconds=READING_SECONDS)
            locations = _entries(reply, "locations", "location")
            updated_at = reply.body.get("updated_at") if isinstance(reply.body, dict) else None
            with self._store.writing() as transaction:
                merchant_id = transaction.number("merchant", id)
                transaction.keep_merchant(merchant_id, entry["name"])
                for found in locations:
                    is_open = found.get("active", True) and not found.get("terminated")
                    if is_open and found.get("fulfills_pickups", True):
                        number = transaction.number("location", found["provider_id"])
                        transaction.keep_location(_location(number, merchant_id, found, updated_at))

    def menu(self, location: PlatformLocation) -> tuple[JSON, JSON]:
        """The menu of a location: the gateway's, and that of apps.

        :raises ErrorResponse: 404 the location has none; 503 the gateway is down and none is kept.
        """
        if self._gateway is None or location.gateway_id is None:
            raise no_menu()
        with self._store.reading() as transaction:
            kept = transaction.menu(location.id)
        headers: Mapping[str, str] = {"If-None-Match": kept[0]} if kept and kept[0] else {}
        path = f"/locations/{segment(location.gateway_id)}/menu"
        try:
            reply = self._gateway("GET", path, headers=headers, seconds=READING_SECONDS)
        except Unreached:
            reply = GatewayReply(503, None)
        menu = reply.body.get("menu") if isinstance(reply.body, dict) else None
        if reply.status == 200 and isinstance(menu, dict):
            with self._store.writing() as transaction:
                layout = menus.laid_out(location.gateway_id, location.id, menu, transaction.number)
                transaction.keep_menu(location.id, reply.etag, menu, layout)
            return menu, layout
        if kept:
            return kept[1], kept[2]
        if reply.status == 404:
            raise no_menu()
        raise ErrorResponse(
            503, [error("The menu cannot be had at the moment.", object="menu", code="provider_unavailable")]
        )


def no_menu() -> ErrorResponse:
    """404."""
    return ErrorResponse(404, [error("There is no menu with this id.", object="menu", property="id", code="not_found")])


def _entries(reply: GatewayReply, name: str, root: str) -> list[JSON]:
    """The objects of a list.

    :raises Unreached: the answer has no such list.
    """
    found = reply.body.get(name) if reply.status == 200 and isinstance(reply.body, dict) else None
    if not isinstance(found, list):
        raise Unreached(f"the gateway's answer has no {name} (status {reply.status})", sent=True)
    return [entry[root] for entry in found]


def _location(number: int, merchant_id: int, found: JSON, updated_at: Any) -> PlatformLocation:
    return PlatformLocation(
        number,
        merchant_id,
        found["name"],
        found.get("street_address"),
        found.get("locality"),
        found.get("region"),
        found.get("postal_code"),
        found.get("latitude"),
        found.get("longitude"),
        found.get("phone"),
        found.get("extended_address"),
        hours_in_words(found.get("hours")),
        updated_at if isinstance(updated_at, str) else "2014-06-01T00:00:00Z",
        found["provider_id"],
        found.get("time_zone"),
        found.get("hours"),
        bool(found.get("accepts_tips_on_pickup")),
        True,
    )


def hours_in_words(hours: Any) -> str | None:
    """The times of each day, a line for each run of days that are alike."""
    if not isinstance(hours, dict) or all(hours.get(day) is None for day in _DAYS):
        return None
    lines: list[tuple[str, str, str]] = []
    for day in _DAYS:
        words, name = _day_in_words(hours.get(day)), day[:3].capitalize()
        if lines and lines[-1][2] == words:
            lines[-1] = (lines[-1][0], name, words)
        else:
            lines.append((name, name, words))
    return "\n".join(f"{first if first == last else f'{first} - {last}'} {words}" for first, last, words in lines)


def _day_in_words(spans: Any) -> str:
    if spans is None:
        return "not known"
    if not isinstance(spans, list) or not spans:
        return "closed"
    return ", ".join(f"{span['opens_at']} - {span['closes_at']}" for span in spans)
