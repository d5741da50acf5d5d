"""Menus and catalogs in Redis, one copy for all processes and hosts of the service.

Redis only saves calls: without it, everything is fetched from the provider. So it gets little time, and while it
fails it is not used.
"""

from __future__ import annotations

import hashlib
import hmac
import logging
import struct
import threading
import time
import zlib
from collections.abc import Callable
from typing import Any

from redis import ConnectionPool, Redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from levelup_ov.transport.response_cache import CLAIMED_FOR, KEPT_FOR, Kept

TIME_LIMIT = 0.2
"""Seconds to connect to Redis, and to wait for each part of an answer."""
ANSWER_LIMIT = 1.0
"""Seconds for a whole answer."""
PAUSE = 30.0
"""Seconds for which Redis is not used after a failure."""

_PREFIX = "levelup_ov:answer:"
_MARK = b"LOV1"
_HEAD = struct.Struct(">4sIdH")
"""A marker, a checksum of the rest, ``fresh_until``, the length of the ETag; ETag and body follow."""
_CONNECTIONS = 1024
"""More than the number of threads, because reaching the library's limit would count as a failure of Redis."""

log = logging.getLogger(__name__)


class RedisStore:
    """A :class:`~levelup_ov.transport.response_cache.CacheStore` in the Redis at ``url``.

    ``secret`` is known only to this deployment. Keys are derived from it, so they reveal nothing, and deployments
    that share a Redis do not read each other's entries.

    :raises ValueError: ``url`` is not a Redis URL.
    """

    def __init__(self, url: str, secret: bytes) -> None:
        self._secret = secret
        pool = ConnectionPool.from_url(
            url,
            socket_timeout=TIME_LIMIT,
            socket_connect_timeout=TIME_LIMIT,
            retry=Retry(NoBackoff(), 0),
            max_connections=_CONNECTIONS,
            # With protocol 3 the server may announce maintenance, and the library then waits much longer.
            protocol=2,
        )
        pool.connection_class = type("BoundedConnection", (_Bounded, pool.connection_class), {})
        self._redis = Redis(connection_pool=pool)
        self._asked_again_at = 0.0
        self._lock = threading.Lock()

    def get(self, key: str) -> Kept | None:
        value = self._ask(None, lambda: self._redis.get(self._name(key)))
        return _unpack(value) if isinstance(value, bytes) else None

    def put(self, key: str, kept: Kept) -> None:
        self._ask(None, lambda: self._redis.set(self._name(key), _pack(kept), ex=KEPT_FOR))

    def claim(self, key: str) -> bool:
        name = self._name(key) + ":claimed"
        return bool(self._ask(True, lambda: self._redis.set(name, b"", nx=True, px=round(CLAIMED_FOR * 1000))))

    def release(self, key: str) -> None:
        # The claim may have expired and belong to another process by now: at worst something is fetched twice.
        self._ask(None, lambda: self._redis.delete(self._name(key) + ":claimed"))

    def close(self) -> None:
        """Close the connections."""
        self._redis.close()

    def _name(self, key: str) -> str:
        return _PREFIX + hmac.new(self._secret, key.encode(), hashlib.sha256).hexdigest()

    def _ask(self, otherwise: Any, command: Callable[[], Any]) -> Any:
        """The result of the command; ``otherwise`` if Redis fails, or failed less than :data:`PAUSE` ago."""
        if time.monotonic() < self._asked_again_at:
            return otherwise
        try:
            return command()
        except Exception as error:  # on an answer that is none, the library fails with whatever its parser raises
            with self._lock:
                first = time.monotonic() >= self._asked_again_at
                self._asked_again_at = time.monotonic() + PAUSE
            if first:
                # Not the error's text, because it may contain the URL.
                extra = {"failure": type(error).__name__, "pause_seconds": PAUSE}
                log.warning("redis_unavailable", extra=extra)
            return otherwise


class _Bounded:
    """A connection that limits whole answers to :data:`ANSWER_LIMIT`. The library limits each part alone."""

    def _connect(self) -> _BoundedSocket:
        return _BoundedSocket(super()._connect())  # type: ignore[misc]


class _BoundedSocket:
    def __init__(self, socket: Any) -> None:
        self._socket = socket
        self._until = 0.0

    def sendall(self, request: bytes) -> None:
        self._until = time.monotonic() + ANSWER_LIMIT
        self._socket.sendall(request)

    def recv(self, size: int) -> bytes:
        if time.monotonic() >= self._until:
            raise TimeoutError("Redis takes too long to answer")
        data: bytes = self._socket.recv(size)
        return data

    def __getattr__(self, name: str) -> Any:
        return getattr(self._socket, name)


def _pack(kept: Kept) -> bytes:
    """One value with a checksum, not a hash of three fields: what was damaged or cut must count as absent."""
    etag = kept.etag.encode()
    content = etag + kept.body
    return _HEAD.pack(_MARK, zlib.crc32(content), kept.fresh_until, len(etag)) + content


def _unpack(value: bytes) -> Kept | None:
    """The inverse of :func:`_pack`; None if the bytes are not from it."""
    if len(value) < _HEAD.size:
        return None
    mark, checksum, fresh_until, length = _HEAD.unpack_from(value)
    content = value[_HEAD.size :]
    if mark != _MARK or checksum != zlib.crc32(content):
        return None
    return Kept(content[length:], content[:length].decode("utf-8", "replace"), fresh_until)
