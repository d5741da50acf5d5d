"""A cache for answers of providers: menus and catalogs, nothing personal.

It stores the bytes as received, so that any store works: this process's memory, or Redis if ``REDIS_URL`` is set.
Concurrent requests for the same answer fetch it once (single-flight): those of one process, and with Redis those of
all processes. How long an answer is used is the adapter's decision (``cache_for``).
"""

from __future__ import annotations

import hashlib
import math
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

from levelup_ov.domain.failure import Failure
from levelup_ov.errors import Unanswered, timed_out
from levelup_ov.transport import net
from levelup_ov.transport.deadline import Deadline

V = TypeVar("V")
KEPT_FOR = 24 * 3600
"""Seconds for which a stale answer is kept, to be revalidated by its ETag."""
CLAIMED_FOR = 5.0
"""Seconds for which one process has the claim to fetch an answer; if it dies, the others wait this long."""
MEMORY = 64 * 1024 * 1024
"""Bytes of answers kept in memory."""

MAX_UNDERSTOOD = 4096
"""How many answers this process remembers as readable, or as fetched."""

_CLAIM_PAUSE = 0.05
"""Seconds between attempts to claim."""


@dataclass(frozen=True, slots=True)
class Kept:
    """An answer; ``etag`` is empty if it had none, ``fresh_until`` is seconds since 1970."""

    body: bytes = field(repr=False)
    etag: str
    fresh_until: float


class CacheStore(Protocol):
    """Where answers are stored. A store that fails raises nothing: it returns nothing and stores nothing."""

    def get(self, key: str) -> Kept | None:
        """The answer stored under ``key``."""

    def put(self, key: str, kept: Kept) -> None:
        """Store an answer for at least :data:`KEPT_FOR` seconds, if there is space."""

    def claim(self, key: str) -> bool:
        """Whether this process may fetch the answer; False while another one does, for at most :data:`CLAIMED_FOR`."""

    def release(self, key: str) -> None:
        """Release the claim: the answer was fetched and stored, or could not be."""


class MemoryStore:
    """Stores the most recently used answers, up to :data:`MEMORY` bytes."""

    def __init__(self, limit: int = MEMORY) -> None:
        self._limit = limit
        self._size = 0
        self._kept: OrderedDict[str, Kept] = OrderedDict()
        self._lock = threading.Lock()

    @property
    def size(self) -> int:
        """Bytes that are kept."""
        return self._size

    def get(self, key: str) -> Kept | None:
        with self._lock:
            if (kept := self._kept.get(key)) is not None:
                self._kept.move_to_end(key)
            return kept

    def put(self, key: str, kept: Kept) -> None:
        with self._lock:
            if (old := self._kept.pop(key, None)) is not None:
                self._size -= len(old.body)
            self._kept[key] = kept
            self._size += len(kept.body)
            while self._size > self._limit:
                _, oldest = self._kept.popitem(last=False)
                self._size -= len(oldest.body)

    def claim(self, key: str) -> bool:
        return True  # there is no other process, and the requests of this one are single-flight

    def release(self, key: str) -> None:
        """Nothing is held."""


class ResponseCache:
    """Returns fresh answers from ``store``; fetches everything else once, and stores it if it is readable.

    Not dogpile.cache, whose waits know no deadline.
    """

    def __init__(self, store: CacheStore) -> None:
        self._store = store
        self._flights: dict[str, _Flight] = {}
        self._lock = threading.Lock()
        # Checking an answer costs as much as using it, so each stored one is checked only once.
        self._understood: OrderedDict[str, int] = OrderedDict()
        # When this process began to fetch what it stored.
        self._fetched: OrderedDict[str, tuple[float, int]] = OrderedDict()

    @property
    def store(self) -> CacheStore:
        """The store of the answers."""
        return self._store

    def answer(
        self,
        key: str,
        seconds: float,
        deadline: Deadline,
        fetch: Callable[[str], tuple[bytes | None, str]],
        check: Callable[[bytes], object],
        *,
        since: float | None = None,
    ) -> Kept:
        """The answer stored under ``key``, at most ``seconds`` old.

        ``since``: a stored one counts as fresh only if this process has fetched it since then (:func:`net.now`).

        ``fetch`` receives the ETag to send, maybe empty; it returns the body, None if unchanged, and the new ETag.
        ``check`` reads a body and raises a :class:`~levelup_ov.domain.failure.Failure` if it is unusable: such an
        answer is returned but not stored, is never fresh, and counts as absent if it is in the store.

        :raises Unanswered: ``fetch`` raised it, or another request's fetch outlasted ``deadline``.
        """
        if (kept := self._usable(key, check)) is not None and self._is_fresh(key, kept, since):
            return kept
        with self._flight(key, deadline), self._claim(key, deadline):
            if (kept := self._usable(key, check)) is not None and self._is_fresh(key, kept, since):
                return kept
            began = net.now()
            body, etag = fetch(kept.etag if kept else "")
            if body is None:
                if kept is None:
                    raise Unanswered(
                        "provider_protocol_error",
                        "the provider sent 304 Not Modified to a request that was not conditional",
                        sent=True,
                    )
                body = kept.body
            elif not self._is_understood(key, body, check):
                return Kept(body, etag, 0.0)  # its reader reports the fault
            kept = Kept(body, etag, time.time() + seconds)
            self._store.put(key, kept)
            self._remember(self._fetched, key, (began, hash(body)))
            return kept

    def _is_fresh(self, key: str, kept: Kept, since: float | None) -> bool:
        if kept.fresh_until <= time.time():
            return False
        if since is None:
            return True
        # Another host may have stored what it fetched before; its clock says nothing here.
        began, digest = self._fetched.get(key, (-math.inf, 0))
        return began >= since and digest == hash(kept.body)

    def _usable(self, key: str, check: Callable[[bytes], object]) -> Kept | None:
        kept = self._store.get(key)
        return kept if kept is not None and self._is_understood(key, kept.body, check) else None

    def _is_understood(self, key: str, body: bytes, check: Callable[[bytes], object]) -> bool:
        digest = hash(body)
        if self._understood.get(key) == digest:
            return True
        try:
            check(body)
        except Failure:
            return False
        self._remember(self._understood, key, digest)
        return True

    def _remember(self, known: OrderedDict[str, V], key: str, value: V) -> None:
        with self._lock:
            known[key] = value
            known.move_to_end(key)
            while len(known) > MAX_UNDERSTOOD:
                known.popitem(last=False)

    @contextmanager
    def _flight(self, key: str, deadline: Deadline) -> Iterator[None]:
        """Single-flight: only one request at a time may fetch a key."""
        with self._lock:
            flight = self._flights.setdefault(key, _Flight())
            flight.passengers += 1
        try:
            if not flight.lock.acquire(timeout=max(deadline.remaining(), 0)):
                raise timed_out(sent=False)
            try:
                yield
            finally:
                flight.lock.release()
        finally:
            with self._lock:
                flight.passengers -= 1
                if not flight.passengers:
                    del self._flights[key]

    @contextmanager
    def _claim(self, key: str, deadline: Deadline) -> Iterator[None]:
        """Only one process at a time has the claim for a key, unless it keeps it for longer than it may."""
        began = net.now()
        while not self._store.claim(key) and net.now() - began < CLAIMED_FOR:
            if deadline.remaining() <= _CLAIM_PAUSE:
                raise timed_out(sent=False)
            net.sleep(_CLAIM_PAUSE)
        try:
            yield
        finally:
            self._store.release(key)


class _Flight:
    __slots__ = ("lock", "passengers")

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.passengers = 0


def cache_key(
    account: str,
    account_headers: Mapping[str, str],
    method: str,
    url: str,
    headers: Mapping[str, str],
    body: bytes,
) -> str:
    """One key for each possible request, which reveals nothing about it.

    ``account_headers`` are those of every call: different credentials mean a different account with the same name.
    An ``Authorization`` in the call's own ``headers`` is left out, because a new token is the same account.
    """
    own = {name.lower(): value for name, value in headers.items()}
    own.pop("authorization", None)
    parts = (account, repr(sorted(account_headers.items())), method, url, repr(sorted(own.items())))
    return hashlib.sha256("\0".join(parts).encode() + b"\0" + body).hexdigest()
