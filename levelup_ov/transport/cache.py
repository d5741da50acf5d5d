"""Answers of providers that are kept for a while: menus and catalogues, nothing personal.

What is kept are the bytes as they came, so that any store will do: this process's memory, or Redis where
``REDIS_URL`` is set. Requests that want the same answer at once fetch it once: those of one process, and with
Redis those of all.
"""

from __future__ import annotations

import hashlib
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Protocol

from levelup_ov.domain.failure import Failure
from levelup_ov.errors import Unanswered
from levelup_ov.transport import net
from levelup_ov.transport.deadline import Deadline

KEPT_FOR = 24 * 3600
"""Seconds for which an answer that is no longer fresh is kept, to be confirmed by its ETag."""
CLAIMED_FOR = 5.0
"""Seconds for which one process alone may fetch an answer; one that dies meanwhile holds the others up as long."""
MEMORY = 64 * 1024 * 1024
"""Bytes of answers kept in memory."""

MAX_UNDERSTOOD = 4096
"""Answers of which this process remembers that it has understood them."""

_CLAIM_PAUSE = 0.05
"""Seconds between two attempts to claim."""


@dataclass(frozen=True, slots=True)
class Kept:
    """An answer; ``etag`` is empty if it had none, ``fresh_until`` is seconds since 1970."""

    body: bytes = field(repr=False)
    etag: str
    fresh_until: float


class CacheStore(Protocol):
    """Where answers are kept. A store that fails raises nothing: it has nothing, and keeps nothing."""

    def get(self, key: str) -> Kept | None:
        """The answer kept under ``key``."""

    def put(self, key: str, kept: Kept) -> None:
        """Keep an answer for :data:`KEPT_FOR` seconds at least, room permitting."""

    def claim(self, key: str) -> bool:
        """Whether this process may fetch the answer; False while another does, for :data:`CLAIMED_FOR` at most."""

    def release(self, key: str) -> None:
        """The answer has been fetched and put, or could not be."""


class MemoryStore:
    """Keeps the answers used last, up to :data:`MEMORY` bytes."""

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
        return True  # there is no other process, and its requests queue for a flight

    def release(self, key: str) -> None:
        """Nothing is held."""


class ResponseCache:
    """Fresh answers from ``store``, everything else fetched once and kept, if it was understood."""

    def __init__(self, store: CacheStore) -> None:
        self._store = store
        self._flights: dict[str, _Flight] = {}
        self._lock = threading.Lock()
        # Reading an answer costs as much as using it: once for each that is kept will do.
        self._understood: OrderedDict[str, int] = OrderedDict()

    @property
    def store(self) -> CacheStore:
        """Where the answers are kept."""
        return self._store

    def body(
        self,
        key: str,
        seconds: float,
        deadline: Deadline,
        fetch: Callable[[str], tuple[bytes | None, str]],
        check: Callable[[bytes], object],
    ) -> bytes:
        """The answer kept under ``key``, at most ``seconds`` old.

        ``fetch`` is given the ETag to ask with, maybe empty; it returns the body, None if unchanged, and
        the new ETag. ``check`` reads a body and raises a :class:`~levelup_ov.domain.failure.Failure` for one that
        cannot be used: it is given, but not kept, and one in the store counts as none.

        :raises Unanswered: ``fetch`` raised it, or another request's fetch outlasted ``deadline``.
        """
        if (kept := self._usable(key, check)) is not None and kept.fresh_until > time.time():
            return kept.body
        with self._flight(key, deadline), self._claim(key, deadline):
            if (kept := self._usable(key, check)) is not None and kept.fresh_until > time.time():
                return kept.body
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
                return body  # its reader says what is wrong with it
            self._store.put(key, Kept(body, etag, time.time() + seconds))
            return body

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
        with self._lock:
            self._understood[key] = digest
            self._understood.move_to_end(key)
            while len(self._understood) > MAX_UNDERSTOOD:
                self._understood.popitem(last=False)
        return True

    @contextmanager
    def _flight(self, key: str, deadline: Deadline) -> Iterator[None]:
        """Only one request at a time holds the flight of a key."""
        with self._lock:
            flight = self._flights.setdefault(key, _Flight())
            flight.passengers += 1
        try:
            if not flight.lock.acquire(timeout=max(deadline.remaining(), 0)):
                raise _too_late()
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
        """Only one process at a time holds the claim of a key."""
        while not self._store.claim(key):
            if deadline.remaining() <= _CLAIM_PAUSE:
                raise _too_late()
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


def _too_late() -> Unanswered:
    return Unanswered("provider_timeout", "the provider gave no answer within the deadline", sent=False)


def cache_key(
    account: str,
    account_headers: Mapping[str, str],
    method: str,
    url: str,
    headers: Mapping[str, str],
    body: bytes,
) -> str:
    """One key for each thing that can be asked, giving nothing of it away.

    ``account_headers`` are those of every call: other credentials there are another account under its name. An
    ``Authorization`` among the call's own ``headers`` is left out, for a new token is no other account.
    """
    own = {name.lower(): value for name, value in headers.items()}
    own.pop("authorization", None)
    parts = (account, repr(sorted(account_headers.items())), method, url, repr(sorted(own.items())))
    return hashlib.sha256("\0".join(parts).encode() + b"\0" + body).hexdigest()
