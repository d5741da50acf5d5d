"""HTTP connections that keep a deadline: the part of :mod:`levelup_ov.transport.session` that knows urllib3.

A socket's own timeout bounds one read, so a peer that drips a byte a second never trips it. Here every
read, of headers and body alike, gets only what is left of the exchange's deadline. The connections also
note when the first byte of a request goes out: the one proof that nothing was sent is that it did not.
"""

from __future__ import annotations

import http.client
import io
import socket
import ssl
from contextvars import ContextVar
from typing import Any

import certifi
from requests.adapters import HTTPAdapter
from requests.models import PreparedRequest, Response
from requests.structures import CaseInsensitiveDict
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import ConnectTimeoutError, NameResolutionError, NewConnectionError

from levelup_ov.transport.deadline import Deadline


class Exchange:
    """One request and its answer, as the connection sees them."""

    __slots__ = ("connected", "deadline", "sent")

    def __init__(self, deadline: Deadline) -> None:
        self.deadline = deadline
        self.sent: bool | None = None
        """Whether a byte went out to the provider; None while nobody watches who could tell."""
        self.connected = False
        """Whether a new connection was opened for it."""


current_exchange: ContextVar[Exchange] = ContextVar("current_exchange")


class _DeadlineReader(io.RawIOBase):
    """Reads a socket, each read with what is left of the deadline as its timeout."""

    def __init__(self, raw: io.RawIOBase, sock: socket.socket, deadline: Deadline) -> None:
        self._raw = raw
        self._sock = sock
        self._deadline = deadline

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        remaining = self._deadline.remaining()
        if remaining <= 0:
            raise TimeoutError("deadline passed")
        self._sock.settimeout(remaining)
        return self._raw.readinto(buffer)

    def close(self) -> None:
        super().close()
        self._raw.close()


class _DeadlineResponse(http.client.HTTPResponse):
    def __init__(self, sock: socket.socket, *args: Any, **kwargs: Any) -> None:
        super().__init__(sock, *args, **kwargs)
        if (exchange := current_exchange.get(None)) is not None:
            raw = self.fp.detach()
            self.fp = io.BufferedReader(_DeadlineReader(raw, sock, exchange.deadline))


class _DeadlineMixin(HTTPConnection):
    response_class: Any = _DeadlineResponse
    _head: bytes | None = None
    """Empty: the head of a request with a body is awaited; not empty: it is held back for the body."""

    def _new_conn(self) -> socket.socket:
        """Connect to the first address that answers, all attempts within one connect timeout."""
        connection: Any = self
        deadline = Deadline(connection.timeout)
        try:
            addresses = socket.getaddrinfo(connection._dns_host, connection.port, type=socket.SOCK_STREAM)
        except socket.gaierror as error:
            raise NameResolutionError(connection.host, connection, error) from None
        failure: OSError | None = None
        for tried, (family, kind, protocol, _, address) in enumerate(addresses):
            sock = socket.socket(family, kind, protocol)
            try:
                for option in connection.socket_options or ():
                    sock.setsockopt(*option)
                # One address that does not answer leaves the others their share of the time.
                sock.settimeout(max(deadline.remaining() / (len(addresses) - tried), 0.001))
                sock.connect(address)
            except OSError as error:
                sock.close()
                failure = error
                continue
            if (exchange := current_exchange.get(None)) is not None:
                exchange.connected = True
            return sock
        if isinstance(failure, TimeoutError):
            raise ConnectTimeoutError(connection, "connect timeout")
        raise NewConnectionError(connection, "refused")

    def request(self, method: str, url: str, body: Any = None, *args: Any, **kwargs: Any) -> None:
        """Send head and body in one packet: they would cost two system calls, and the peer two wake-ups."""
        self._head = b"" if isinstance(body, bytes) and body else None
        super().request(method, url, body, *args, **kwargs)

    def send(self, data: Any) -> None:
        if self.sock is None:
            self.connect()
        if self._head == b"":
            self._head = data
            return
        if self._head is not None:
            self._head, data = None, self._head + data
        if (exchange := current_exchange.get(None)) is not None:
            exchange.sent = True
        super().send(data)

    def _tunnel(self) -> None:
        """Ask a proxy for a way through: of this, nothing goes to the provider."""
        try:
            super()._tunnel()
        finally:
            if (exchange := current_exchange.get(None)) is not None:
                exchange.sent = False


class _Connection(_DeadlineMixin):
    """Plain."""


class _TLSConnection(_DeadlineMixin, HTTPSConnection):
    """Over TLS."""


class _Pool(HTTPConnectionPool):
    ConnectionCls = _Connection


class _TLSPool(HTTPSConnectionPool):
    ConnectionCls = _TLSConnection


def tls_context() -> ssl.SSLContext:
    """A verifying context, to be shared: building one parses the whole CA bundle."""
    return ssl.create_default_context(cafile=certifi.where())


MAX_ORIGINS = 16
"""Origins of one account that connections are kept for; a provider has one, two or three."""


class DeadlineAdapter(HTTPAdapter):
    """requests' own adapter over these connections; one for each account, so that none share a pool."""

    def __init__(self, context: ssl.SSLContext, pool_size: int) -> None:
        self._context = context
        self._origins: dict[str, Any] = {}
        super().__init__(pool_connections=MAX_ORIGINS, pool_maxsize=pool_size)

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs, ssl_context=self._context)
        self.poolmanager.pool_classes_by_scheme = {"http": _Pool, "https": _TLSPool}

    def proxy_manager_for(self, proxy: str, **kwargs: Any) -> Any:
        manager = super().proxy_manager_for(proxy, **kwargs, ssl_context=self._context)
        manager.pool_classes_by_scheme = {"http": _Pool, "https": _TLSPool}
        return manager

    def get_connection_with_tls_context(self, *args: Any, **kwargs: Any) -> Any:
        """From here on, whatever goes out goes through these connections."""
        if (exchange := current_exchange.get(None)) is not None:
            exchange.sent = False
        return self._pool_of(*args, **kwargs)

    def _pool_of(self, request: PreparedRequest, verify: Any, proxies: Any = None, cert: Any = None) -> Any:
        """The pool of a request's origin; to find it anew costs as much as to send the request."""
        if proxies:
            return super().get_connection_with_tls_context(request, verify, proxies, cert)
        url = request.url or ""
        origin = url[: url.find("/", len("https://"))]
        if (pool := self._origins.get(origin)) is None:
            # Never more than the pool manager keeps: what it drops, it closes.
            if len(self._origins) >= MAX_ORIGINS:
                self._origins = {}
            pool = self._origins[origin] = super().get_connection_with_tls_context(request, verify, proxies, cert)
        return pool

    def request_url(self, request: PreparedRequest, proxies: Any) -> str:
        """requests' own answer, without asking for a proxy where there is none."""
        return super().request_url(request, proxies) if proxies else request.path_url

    def build_response(self, req: PreparedRequest, resp: Any) -> Response:
        """Status, headers and stream; cookies and encodings, which requests would work out, are not wanted."""
        response = Response()
        response.request = req
        response.status_code, response.headers, response.raw = resp.status, CaseInsensitiveDict(resp.headers), resp
        return response

    def build_connection_pool_key_attributes(self, request: PreparedRequest, verify: Any, cert: Any = None) -> Any:
        host, _ = super().build_connection_pool_key_attributes(request, verify, cert)
        return host, {"ssl_context": self._context} if host["scheme"] == "https" else {}

    def cert_verify(self, conn: Any, url: Any, verify: Any, cert: Any) -> None:
        """The shared context verifies; naming a CA file here would parse it for every connection."""
        conn.cert_reqs = "CERT_REQUIRED"
