"""The locations of all accounts, kept for a while: routing needs no table and no call of its own.

A location is known by ``<account>.<provider's own id>`` (EP-7). What the provider does not say of it, the
account's entry in the accounts file does.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from urllib.parse import quote

import pytz
from pytz.tzinfo import BaseTzInfo

from levelup_ov.adapter import Adapter
from levelup_ov.domain.failure import Failure
from levelup_ov.domain.location import Location, Merchant
from levelup_ov.errors import Unanswered
from levelup_ov.transport.session import Session

STALE_FOR = 24 * 3600.0
"""Seconds for which locations still serve when the provider does not answer."""
MISS_PAUSE = 30.0
"""Seconds between two look-ups for ids that are not in the list."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Place:
    """A location with all that is needed to take an order there."""

    id: str
    """The id on our wire."""
    adapter: Adapter
    location: Location
    zone: BaseTzInfo | None


@dataclass(frozen=True, slots=True)
class _Entry:
    places: Mapping[str, Place]
    read_at: float


@dataclass(frozen=True, slots=True)
class _Failed:
    """What a failed look-up ended with. Not the exception: its frames would keep a request's secrets alive."""

    code: str
    message: str
    at: float


class Directory:
    """Accounts and their locations. ``ttl``: seconds for which a list is used without asking again."""

    def __init__(self, accounts: Mapping[str, Adapter], ttl: float) -> None:
        self._accounts = accounts
        self._ttl = ttl
        self._entries: dict[str, _Entry] = {}
        self._failures: dict[str, _Failed] = {}
        self._locks = {name: threading.Lock() for name in accounts}

    def merchants(self) -> list[Merchant]:
        """One per account (EP-1)."""
        return [Merchant(name, adapter.account.merchant_name) for name, adapter in self._accounts.items()]

    def adapter(self, merchant_id: str) -> Adapter:
        """:raises Failure: ``merchant_not_found``."""
        if (adapter := self._accounts.get(merchant_id)) is None:
            raise Failure("merchant_not_found", "there is no such merchant")
        return adapter

    def places(self, adapter: Adapter, session: Session) -> list[Place]:
        """All locations of an account; the provider is asked through ``session`` where that is due."""
        return list(self._entry(adapter, session, self._ttl).places.values())

    def account_of(self, location_id: str) -> Adapter:
        """The account that a location's id names. :raises Failure: ``location_not_found``."""
        if (adapter := self._accounts.get(location_id.partition(".")[0])) is None:
            raise _not_found()
        return adapter

    def place(self, location_id: str, session: Session) -> Place:
        """The location with this id of our wire, as given out or as a router decoded it.

        :raises Failure: ``location_not_found``.
        """
        adapter = self.account_of(location_id)
        account = adapter.account.name
        decoded = wire_id(account, location_id.removeprefix(f"{account}."))
        for max_age in (self._ttl, min(MISS_PAUSE, self._ttl)):
            places = self._entry(adapter, session, max_age).places
            # Decoded first: `50%25` may be the decoded id of one location and the id on our wire of another.
            if (place := places.get(decoded) or places.get(location_id)) is not None:
                return place
        raise _not_found()

    def _entry(self, adapter: Adapter, session: Session, max_age: float) -> _Entry:
        """The list of an account, read anew where it is too old; by one request at a time."""
        name = adapter.account.name
        entry, asked_at = self._entries.get(name), time.monotonic()
        if entry is not None and asked_at - entry.read_at <= max_age:
            return entry
        lock = self._locks[name]
        if not lock.acquire(timeout=0 if entry is not None else max(session.deadline.remaining(), 0)):
            if entry is not None:
                return entry  # another request is asking already
            raise Unanswered("provider_timeout", "the provider gave no answer within the deadline", sent=False)
        try:
            newer, failed = self._entries.get(name), self._failures.get(name)
            if newer is not None and newer.read_at >= asked_at:
                return newer
            if failed is not None and failed.at >= asked_at:
                raise Unanswered(failed.code, failed.message, sent=False)
            return self._refresh(adapter, session, entry)
        finally:
            lock.release()

    def _refresh(self, adapter: Adapter, session: Session, entry: _Entry | None) -> _Entry:
        name = adapter.account.name
        try:
            locations = adapter.list_locations(session)
        except Unanswered as failure:
            if entry is None or time.monotonic() - entry.read_at > STALE_FOR:
                self._failures[name] = _Failed(failure.code, failure.message, time.monotonic())
                raise
            log.warning("locations not refreshed, the old list serves", extra={"account": name, "code": failure.code})
            return entry
        places = [_place(adapter, location) for location in locations]
        self._entries[name] = _Entry({place.id: place for place in places}, time.monotonic())
        return self._entries[name]


def wire_id(account: str, provider_id: str) -> str:
    """The id of a location on our wire: URL-safe ASCII (EP-7)."""
    return f"{account}.{quote(provider_id, safe='')}"


def _place(adapter: Adapter, location: Location) -> Place:
    account = adapter.account
    tips = bool(account.accepts_tips)
    location = replace(
        location,
        time_zone=location.time_zone or account.time_zone,
        accepts_tips_on_pickup=_either(location.accepts_tips_on_pickup, tips),
        accepts_tips_on_delivery=_either(location.accepts_tips_on_delivery, tips and location.fulfills_deliveries),
    )
    zone = None
    if location.time_zone in pytz.all_timezones_set:
        zone = pytz.timezone(location.time_zone or "")
    elif location.time_zone is not None:
        log.warning("unknown time zone of a location", extra={"account": account.name, "time_zone": location.time_zone})
        location = replace(location, time_zone=None)
    return Place(wire_id(account.name, location.provider_id), adapter, location, zone)


def _either(said: bool | None, otherwise: bool) -> bool:
    return otherwise if said is None else said


def _not_found() -> Failure:
    return Failure("location_not_found", "there is no such location")
