"""The locations of all accounts, cached: routing needs no table and no extra call.

A location that cannot be read does not affect others, and an older list serves until a new one is read.

The id of a location is ``<account>.<provider's own id>`` (EP-7). What the provider does not say comes from the
account's entry in the accounts file.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from urllib.parse import quote, unquote

import pytz
from pytz.tzinfo import BaseTzInfo

from levelup_ov.adapter import Adapter
from levelup_ov.domain.failure import Failure
from levelup_ov.domain.location import Location, Merchant
from levelup_ov.domain.money import WITHOUT_CENTS
from levelup_ov.domain.tender import TenderKind
from levelup_ov.errors import KINDS, Refused, Unanswered, reading, timed_out, unreadable
from levelup_ov.ordering.kept_locations import KeptLocations
from levelup_ov.transport.response_cache import CacheStore, MemoryStore
from levelup_ov.transport.session import Session

LONGEST_ID = 1000
"""Characters of a published id; an index of PostgreSQL takes 2,700 bytes, and a request line is as limited."""
STALE_FOR = 24 * 3600.0
"""Seconds for which an old list serves while the provider does not answer."""
MISS_PAUSE = 30.0
"""Seconds between two look-ups for ids that are not in the list, and for locations that could not be read."""

CURRENCY = "USD"
"""Of an account that names none."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class RoutedLocation:
    """A location with everything needed to take an order there."""

    id: str
    """The id used in URLs and JSON."""
    adapter: Adapter
    location: Location
    zone: BaseTzInfo | None
    is_listed: bool = True

    @property
    def tenders(self) -> frozenset[TenderKind]:
        """The tenders that it takes (PAY-3)."""
        of_adapter, own = self.adapter.tenders, self.location.tenders
        return of_adapter if own is None else of_adapter & own


@dataclass(frozen=True, slots=True)
class _Entry:
    """A list. ``seen_at``: when each location was read; ``unread``: the ids of unreadable ones, each with the code of
    its failure. Times are seconds of the monotonic clock.
    """

    locations: Mapping[str, RoutedLocation]
    read_at: float
    seen_at: Mapping[str, float]
    unread: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class _Failed:
    """The failure of a look-up. Not the exception, because its frames would keep a request's secrets alive."""

    code: str
    message: str
    at: float


class Directory:
    """Accounts and their locations. ``ttl``: seconds for which a list is used without asking again.

    ``store`` keeps lists across restarts. ``failures`` counts, by account and code, how often a list or one of its
    locations could not be read.
    """

    def __init__(self, accounts: Mapping[str, Adapter], ttl: float, store: CacheStore | None = None) -> None:
        self._accounts = accounts
        self._ttl = ttl
        self._kept = KeptLocations(store or MemoryStore())
        self.failures: Counter[tuple[str, str]] = Counter()
        self._entries: dict[str, _Entry] = {}
        self._failures: dict[str, _Failed] = {}
        self._locks = {name: threading.Lock() for name in accounts}

    @property
    def unread(self) -> Mapping[tuple[str, str], str]:
        """The locations that could not be read when their list was, by account and id: each the code of its failure."""
        entries = list(self._entries.items())
        return {(name, id): code for name, entry in entries for id, code in entry.unread.items()}

    def merchants(self) -> list[Merchant]:
        """One per account (EP-1)."""
        return [Merchant(name, adapter.account.merchant_name) for name, adapter in self._accounts.items()]

    def adapter(self, merchant_id: str) -> Adapter:
        """:raises Failure: ``merchant_not_found``."""
        if (adapter := self._accounts.get(merchant_id)) is None:
            raise Failure("merchant_not_found", "there is no such merchant")
        return adapter

    def locations(self, adapter: Adapter, session: Session) -> list[RoutedLocation]:
        """All locations of an account; asks the provider through ``session`` if due."""
        return list(self._entry(adapter, session, self._ttl).locations.values())

    def account_of(self, location_id: str) -> Adapter:
        """The account in a location's id. :raises Failure: ``location_not_found``."""
        if (adapter := self._accounts.get(location_id.partition(".")[0])) is None:
            raise location_not_found()
        return adapter

    def known_id(self, location_id: str) -> str | None:
        """The id, if it is in a list that was read; None: a caller may have invented it."""
        account = location_id.partition(".")[0]
        if (entry := self._entries.get(account)) is None:
            return None
        return next((id for id in _readings(account, location_id) if id in entry.locations), None)

    def current(self, location_id: str) -> RoutedLocation | None:
        """The location, if it is in a list that need not be read again: no session is needed then."""
        account = location_id.partition(".")[0]
        entry = self._entries.get(account)
        return _in(entry, account, location_id) if entry is not None and _is_current(entry, self._ttl) else None

    def location(self, location_id: str, session: Session) -> RoutedLocation:
        """The location with this published id.

        :raises Failure: ``location_not_found``, or why it could not be read.
        """
        adapter = self.account_of(location_id)
        account = adapter.account.name
        for max_age in (self._ttl, min(MISS_PAUSE, self._ttl)):
            entry = self._entry(adapter, session, max_age)
            if (routed := _in(entry, account, location_id)) is not None:
                return routed
        if (code := next(filter(None, map(entry.unread.get, _readings(account, location_id))), None)) is not None:
            # Not 404: the channel would drop a location that is only unreachable.
            raise Unanswered(code, f"this location could not be read: {KINDS[code].meaning}", sent=False)
        raise location_not_found()

    def unlisted(self, location_id: str) -> RoutedLocation:
        """A location that its account does not list any more; only its id and what the account's entry says are known.

        :raises Failure: ``location_not_found``: no account has it.
        """
        provider_id = unquote(location_id.partition(".")[2])
        # Whether it delivered is not known: an adapter is to read that of the order.
        location = Location(provider_id, "", active=False, fulfills_deliveries=True)
        return replace(_routed(self.account_of(location_id), location), is_listed=False)

    def _entry(self, adapter: Adapter, session: Session, max_age: float) -> _Entry:
        """The list of an account, read again if it is too old, by one request at a time."""
        name = adapter.account.name
        entry, asked_at = self._entries.get(name), time.monotonic()
        if entry is not None and _is_current(entry, max_age):
            return entry
        lock = self._locks[name]
        if not lock.acquire(timeout=0 if entry is not None else max(session.deadline.remaining(), 0)):
            if entry is not None:
                return entry  # another request is already asking
            raise timed_out(sent=False)
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
            with reading():
                listed = adapter.list_locations(session)
        except Unanswered as failure:
            self.failures[name, failure.code] += 1
            older = entry or self._older(adapter)
            if older is None or not older.locations or time.monotonic() - older.read_at > STALE_FOR:
                self._failures[name] = _Failed(failure.code, failure.message, time.monotonic())
                raise
            log.warning("locations_not_refreshed", extra={"account": name, "code": failure.code})
            self._entries[name] = older
            return older
        return self._keep(adapter, listed, entry)

    def _keep(self, adapter: Adapter, listed: Sequence[Location], entry: _Entry | None) -> _Entry:
        """The new list; what could not be read comes from the older list."""
        name, now = adapter.account.name, time.monotonic()
        routed_ones = [_routed(adapter, location) for location in listed]
        locations = {routed.id: routed for routed in routed_ones if len(routed.id) <= LONGEST_ID}
        if len(routed_ones) > len(locations):
            self._report_too_long(name, routed_ones)
        seen_at, unread = dict.fromkeys(locations, now), dict[str, str]()
        if failed := getattr(listed, "unread", {}):
            older = entry or self._older(adapter)
            for provider_id, failure in failed.items():
                key = wire_id(name, provider_id)
                # A refusal of a read is the provider's fault, as for a whole list.
                unread[key] = unreadable(failure).code if isinstance(failure, Refused) else failure.code
                self.failures[name, unread[key]] += 1
                serves = older is not None and now - older.seen_at.get(key, -math.inf) <= STALE_FOR
                if older is not None and serves:
                    locations[key], seen_at[key] = older.locations[key], older.seen_at[key]
                facts = {"account": name, "location": key, "code": unread[key], "last_good_serves": serves}
                log.warning("location_not_read", extra=facts)
        self._entries[name] = _Entry(locations, now, seen_at, unread)
        wall = time.time() - now
        self._kept.put(adapter, [(routed.location, seen_at[key] + wall) for key, routed in locations.items()])
        return self._entries[name]

    def _report_too_long(self, name: str, listed: Sequence[RoutedLocation]) -> None:
        for id in (routed.id for routed in listed if len(routed.id) > LONGEST_ID):
            self.failures[name, "provider_protocol_error"] += 1
            facts = {"account": name, "location": f"{id[:100]}...", "code": "provider_protocol_error"}
            log.warning("location_not_read", extra={**facts, "last_good_serves": False})

    def _older(self, adapter: Adapter) -> _Entry | None:
        """The stored list from before this process started; None if there is none."""
        to_monotonic = time.monotonic() - time.time()
        kept = [(_routed(adapter, location), read_at + to_monotonic) for location, read_at in self._kept.get(adapter)]
        if not kept:
            return None
        seen_at = {routed.id: min(read_at, time.monotonic()) for routed, read_at in kept}
        return _Entry({routed.id: routed for routed, _ in kept}, max(seen_at.values()), seen_at, {})


def _is_current(entry: _Entry, max_age: float) -> bool:
    return time.monotonic() - entry.read_at <= (min(max_age, MISS_PAUSE) if entry.unread else max_age)


def _in(entry: _Entry, account: str, location_id: str) -> RoutedLocation | None:
    return next(filter(None, map(entry.locations.get, _readings(account, location_id))), None)


def _readings(account: str, location_id: str) -> tuple[str, str]:
    """What an id may mean, the likelier one first: two locations must never be taken for one.

    Itself. Or one that was escaped once more on its way here, or that was never escaped.
    """
    rest = location_id.removeprefix(f"{account}.")
    once = unquote(rest)
    return location_id, f"{account}.{once}" if quote(once, safe="") == rest else wire_id(account, rest)


def meanings(location_id: str) -> tuple[str, ...]:
    """The published ids that an id may stand for; several only if what was escaped looks escaped itself."""
    account = location_id.partition(".")[0]
    read = dict.fromkeys(_readings(account, location_id))
    return tuple(each for each in read if wire_id(account, unquote(each.removeprefix(f"{account}."))) == each)


def published_id(decoded: str) -> str:
    """The published id in a URL's path, which a router has decoded once."""
    account, dot, provider_id = decoded.partition(".")
    return wire_id(account, provider_id) if dot else decoded


def wire_id(account: str, provider_id: str) -> str:
    """The published id of a location: URL-safe ASCII (EP-7)."""
    return f"{account}.{quote(provider_id, safe='')}"


def _routed(adapter: Adapter, location: Location) -> RoutedLocation:
    account = adapter.account
    tips = bool(account.accepts_tips)
    location = replace(
        location,
        time_zone=location.time_zone or account.time_zone,
        accepts_tips_on_pickup=_either(location.accepts_tips_on_pickup, tips),
        accepts_tips_on_delivery=_either(location.accepts_tips_on_delivery, tips and location.fulfills_deliveries),
        currency=location.currency or account.currency or CURRENCY,
    )
    if location.currency in WITHOUT_CENTS:
        # Nothing is converted: the amounts could be wrong by a factor of 100.
        log.warning("currency_without_cents", extra={"account": account.name, "currency": location.currency})
        location = replace(location, active=False)
    zone = None
    if location.time_zone in pytz.all_timezones_set:
        zone = pytz.timezone(location.time_zone or "")
    elif location.time_zone is not None:
        log.warning("unknown_time_zone", extra={"account": account.name, "time_zone": location.time_zone})
        location = replace(location, time_zone=None)
    return RoutedLocation(wire_id(account.name, location.provider_id), adapter, location, zone)


def _either(said: bool | None, otherwise: bool) -> bool:
    return otherwise if said is None else said


def location_not_found() -> Failure:
    """No account lists it."""
    return Failure("location_not_found", "there is no such location")
