"""The gateway: the order-ahead service that the platform calls, over HTTP.

It uses only the standard library, because the stand-in must not know the service behind it.
"""

from __future__ import annotations

import http.client
import json
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol
from urllib.parse import quote, urlsplit

from levelup_ov.domain.secret import Secret

CONNECT_TIMEOUT = 3.0
LARGEST = 16 * 1024 * 1024
"""Bytes of the largest answer that is read."""


class Unreached(Exception):
    """No answer. ``sent``: the request may have arrived."""

    def __init__(self, why: str, *, sent: bool) -> None:
        super().__init__(why)
        self.sent = sent


@dataclass(frozen=True, slots=True)
class GatewayReply:
    """``body``: its JSON, or None. ``replayed``: it is the answer to an earlier request."""

    status: int
    body: Any
    etag: str | None = None
    replayed: bool = False


class Gateway(Protocol):
    """One call of the gateway.

    :raises Unreached: there was no whole answer within ``seconds``.
    """

    def __call__(
        self, method: str, path: str, body: Any = None, headers: Mapping[str, str] | None = None, *, seconds: float
    ) -> GatewayReply: ...


class HttpGateway:
    """The gateway at ``url``, with one of its API keys."""

    def __init__(self, url: str, key: Secret) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError("the gateway's address is http:// or https:// with a host")
        self._secure = parts.scheme == "https"
        self._host, self._port = parts.hostname, parts.port
        self._prefix = parts.path.rstrip("/")
        self._key = key

    def __call__(
        self, method: str, path: str, body: Any = None, headers: Mapping[str, str] | None = None, *, seconds: float
    ) -> GatewayReply:
        connection = self._connection(min(CONNECT_TIMEOUT, seconds))
        data = None if body is None else json.dumps(body).encode()
        sent = {"Accept": "application/json", "Authorization": f"token {self._key.reveal()}", **(headers or {})}
        if data is not None:
            sent["Content-Type"] = "application/json"
        try:
            try:
                connection.connect()
            except OSError as problem:
                raise Unreached(f"the gateway cannot be reached ({type(problem).__name__})", sent=False) from None
            connection.sock.settimeout(seconds)
            try:
                connection.request(method, self._prefix + path, data, sent)
                answer = connection.getresponse()
                text = answer.read(LARGEST)
                whole = answer.isclosed()
            except (OSError, http.client.HTTPException) as problem:
                raise Unreached(f"the gateway did not answer ({type(problem).__name__})", sent=True) from None
        finally:
            connection.close()
        if not whole:
            raise Unreached("the gateway's answer is too large", sent=True)
        replayed = answer.headers.get("Idempotency-Replayed") == "true"
        return GatewayReply(answer.status, read_json(text), answer.headers.get("ETag"), replayed)

    def _connection(self, seconds: float) -> http.client.HTTPConnection:
        if self._secure:
            context = ssl.create_default_context()
            return http.client.HTTPSConnection(self._host, self._port, timeout=seconds, context=context)
        return http.client.HTTPConnection(self._host, self._port, timeout=seconds)


def read_json(text: bytes) -> Any:
    """The JSON of an answer; None if it is not JSON."""
    try:
        return json.loads(text) if text else None
    except (ValueError, RecursionError):
        return None


def segment(text: str) -> str:
    """An id as a part of a path."""
    return quote(text, safe="")
