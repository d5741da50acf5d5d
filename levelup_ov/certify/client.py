"""The channel's HTTP client: one request at a time, except for simultaneous orders; limited; able to send anything.

It uses the standard library, because the service's own transport refuses to send broken requests.
"""

from __future__ import annotations

import copy
import http.client
import json
import ssl
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any
from urllib.parse import SplitResult, urlsplit

from levelup_ov.certify.shapes import MISSING
from levelup_ov.domain.secret import Secret

MAX_ANSWER = 32 * 1024 * 1024
"""The most bytes read of an answer; menus of a thousand items are far smaller."""


class CannotRun(Exception):
    """The service cannot be certified at all: it is not reachable, or does not accept the key."""


class LimitReached(Exception):
    """The run reached its limit of requests or time."""


@dataclass(frozen=True)
class RoundTrip:
    """A request and its answer. ``failure`` says why there was none; ``status`` is then 0.

    ``headers`` are those of the answer, names in lower case; ``sent`` those of the request that matter, without the
    key. ``seconds`` is how long the answer took.
    """

    method: str
    path: str
    sent: Mapping[str, str]
    body: bytes | None
    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    content: bytes = b""
    seconds: float = 0
    failure: str | None = None

    @cached_property
    def json(self) -> Any:
        """The parsed answer, or :data:`MISSING` if it is not JSON."""
        try:
            return json.loads(self.content)
        except (ValueError, RecursionError):
            return MISSING

    @property
    def ok(self) -> bool:
        """Whether the answer is a success."""
        return self.status in (200, 201)

    @property
    def error(self) -> Mapping[str, Any]:
        """The error in the answer, empty if there is none (ERR-1)."""
        found = self.json.get("error") if isinstance(self.json, dict) else None
        return found if isinstance(found, dict) else {}

    @property
    def refused(self) -> bool:
        """Whether the request or its order was refused as faulty."""
        return 400 <= self.status < 500

    @property
    def words(self) -> str:
        """The answer in one line: status, code and message."""
        if self.failure:
            return self.failure
        code, message = self.error.get("code"), self.error.get("message")
        return " ".join(str(part) for part in (self.status, code, message) if part is not None)


class Client:
    """Calls with ``key`` to the service at ``url``.

    ``requests`` and ``seconds`` limit the run; ``timeout`` is the limit for one answer, in seconds.

    :raises ValueError: ``url`` is not an http(s) address, or contains credentials.
    """

    def __init__(self, url: str, key: Secret | None, *, requests: int, seconds: float, timeout: float = 95) -> None:
        self._address = _address(url)
        self._key = key
        self._left, self._deadline = requests, time.monotonic() + seconds
        self._timeout = timeout
        self._connection: http.client.HTTPConnection | None = None
        self._used = False
        self.count = 0

    def close(self) -> None:
        """Close the connection."""
        if self._connection is not None:
            self._connection.close()
        self._connection, self._used = None, False

    def send(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        *,
        key: Secret | None | bool = True,
        scheme: str = "token",
    ) -> RoundTrip:
        """Send one request. ``key``: True for the run's own, None for none. Returns even without an answer.

        :raises LimitReached: the run reached its limit.
        """
        if self._left <= 0 or time.monotonic() >= self._deadline:
            raise LimitReached
        self._left -= 1
        self.count += 1
        sent = {"Accept": "application/json", "User-Agent": "levelup-ov-certify"}
        if body is not None:
            sent["Content-Type"] = "application/json"
        sent.update(headers or {})
        token = self._key if key is True else key
        secret = {"Authorization": f"{scheme} {token.reveal()}"} if isinstance(token, Secret) else {}
        begun = time.monotonic()
        try:
            status, answered, content = self._exchange(method, path, body, {**sent, **secret})
        except (OSError, http.client.HTTPException, ValueError) as error:
            self.close()
            words = f"no answer: {type(error).__name__}{f', {error}' if str(error) else ''}"
            return RoundTrip(method, path, sent, body, 0, seconds=time.monotonic() - begun, failure=words)
        return RoundTrip(method, path, sent, body, status, answered, content, time.monotonic() - begun)

    def together(self, path: str, bodies: Sequence[bytes]) -> list[RoundTrip]:
        """POST all bodies at the same time, each over its own connection.

        :raises LimitReached: the run reached its limit.
        """
        if self._left < len(bodies):
            raise LimitReached

        def send(body: bytes) -> RoundTrip:
            beside = copy.copy(self)
            beside._connection, beside._used = None, False
            try:
                return beside.send("POST", path, body)
            finally:
                beside.close()

        with ThreadPoolExecutor(len(bodies)) as pool:
            answers = list(pool.map(send, bodies))
        self._left -= len(bodies)
        self.count += len(bodies)
        return answers

    def _exchange(
        self, method: str, path: str, body: bytes | None, headers: Mapping[str, str]
    ) -> tuple[int, dict[str, str], bytes]:
        while True:
            reused, connection = self._used, self._connect()
            try:
                self._write(connection, method, path, body, headers)
                response = connection.getresponse()
                break
            except (http.client.RemoteDisconnected, ConnectionError):
                self.close()
                if not reused:  # A closed idle connection is not an answer.
                    raise
        self._used = True
        content = response.read(MAX_ANSWER)
        if response.will_close or not response.isclosed():
            self.close()
        return response.status, {name.lower(): value for name, value in response.getheaders()}, content

    def _write(
        self,
        connection: http.client.HTTPConnection,
        method: str,
        path: str,
        body: bytes | None,
        headers: Mapping[str, str],
    ) -> None:
        connection.putrequest(method, self._address.path.rstrip("/") + path, skip_accept_encoding=True)
        for name, value in headers.items():
            connection.putheader(name, value)
        if body is not None or method == "POST":
            connection.putheader("Content-Length", str(len(body or b"")))
        connection.endheaders()
        try:
            for start in range(0, len(body or b""), 65536):
                connection.send((body or b"")[start : start + 65536])
        except ConnectionError:
            if len(body or b"") <= 65536:
                raise
            # A large body may be refused before all of it is sent; there can still be an answer.

    def _connect(self) -> http.client.HTTPConnection:
        timeout = max(min(self._timeout, self._deadline - time.monotonic()), 0.1)
        if self._connection is None:
            address = self._address
            host = address.hostname or ""
            if address.scheme == "https":
                context = ssl.create_default_context()
                self._connection = http.client.HTTPSConnection(host, address.port, timeout=timeout, context=context)
            else:
                self._connection = http.client.HTTPConnection(host, address.port, timeout=timeout)
        elif self._connection.sock is not None:
            self._connection.sock.settimeout(timeout)
        return self._connection


def _address(url: str) -> SplitResult:
    address = urlsplit(url)
    if address.scheme not in ("http", "https") or not address.hostname:
        raise ValueError("expected an address such as https://host or http://host:port")
    if "@" in address.netloc or address.query or address.fragment:
        raise ValueError("expected an address without credentials, query and fragment")
    _ = address.port
    return address
