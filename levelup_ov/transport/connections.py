"""HTTP connections that keep a deadline: the part of :mod:`levelup_ov.transport.session` that knows urllib3.

A socket's own timeout limits one read, so a peer that sends one byte a second never exceeds it. Here every read, of
headers and body, gets only what is left of the exchange's deadline. The connections also record when the first byte
of a request goes out: if none did, that is the proof that nothing was sent. No library over requests does this.

A connection returns to its pool only when the exchange says so (:meth:`SendState.settle`): what a provider still sends
for one request must never be read as the answer to another.
"""

from __future__ import annotations

import http.client
import io
import socket
import ssl
import sys
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextvars import ContextVar
from typing import Any

import certifi
import requests
import urllib3
from requests.adapters import HTTPAdapter
from requests.models import PreparedRequest, Response
from requests.structures import CaseInsensitiveDict
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import ConnectTimeoutError, NameResolutionError, NewConnectionError

from levelup_ov.errors import Unanswered
from levelup_ov.transport import net
from levelup_ov.transport.deadline import Deadline
from levelup_ov.transport.exchange import head_of, read_answer
from levelup_ov.transport.public_addresses import is_public

MAX_INTERIM = 10
"""Interim answers (1xx) that are skipped before one answer; a provider sends one or two."""

AHEAD = 3.0
"""Seconds for which a connection that was opened ahead is used; servers wait at least 5 for the first request."""

_REAL_SEND = HTTPAdapter.send


class OwnConnections:
    """A session's own connections, at most one per origin."""

    def __init__(self) -> None:
        self._kept: dict[Any, Any] = {}
        self._coming: dict[Any, tuple[Deadline, Future[Any]]] = {}

    def open_ahead(self, pool: Any, connect: Callable[[], Any]) -> None:
        """Open one in the background; the next call to the origin of ``pool`` uses it within :data:`AHEAD` seconds."""
        self._coming[pool] = Deadline(AHEAD), net.beside(connect)

    def take(self, pool: Any, exchange: SendState) -> Any:
        """The connection for the origin of ``pool``, if any."""
        if (coming := self._coming.pop(pool, None)) is None:
            return self._kept.pop(pool, None)
        deadline, future = coming
        try:
            connection = future.result(max(exchange.deadline.remaining(), 0))
        except Exception:
            # The thread that wants to send connects now, and reports what is wrong.
            future.add_done_callback(_close)
            return None
        if deadline.remaining() <= 0:
            connection.close()
            return None
        exchange.connected = True
        return connection

    def keep(self, pool: Any, connection: Any) -> None:
        """Keep one for the next call of the session."""
        if (other := self._kept.pop(pool, None)) is not None:
            other.close()
        self._kept[pool] = connection

    def close(self) -> None:
        """Close them all, also those that are being opened."""
        while self._kept:
            self._kept.popitem()[1].close()
        while self._coming:
            self._coming.popitem()[1][1].add_done_callback(_close)


def _close(coming: Future[Any]) -> None:
    if coming.exception() is None:
        coming.result().close()


class SendState:
    """One request and its answer, as the connection sees them.

    ``own``: the session's own connections; None: those of the account. ``last_look`` is called just before the first
    byte of the request; if it raises, the request is not sent.
    """

    __slots__ = (
        "_held", "_is_over", "_last_look", "_looked", "connected", "deadline", "held_back", "is_answered",
        "is_tunneling", "own", "sent", "surplus", "tls_sessions",
    )  # fmt: skip

    def __init__(
        self,
        deadline: Deadline,
        *,
        own: OwnConnections | None = None,
        last_look: Callable[[], None] | None = None,
    ) -> None:
        self.deadline = deadline
        self.own = own
        self.sent: bool | None = None
        """Whether a byte went out to the provider; None while none of our connections is involved."""
        self.connected = False
        """Whether a new connection was opened for it."""
        self.held_back = False
        """Whether our side stopped it from being sent, through no fault of the provider."""
        self.is_tunneling = False
        self.is_answered = False
        """Whether the head of its answer has arrived."""
        self.surplus = False
        """Whether more than its answer arrived."""
        self.tls_sessions: TLSSessions | None = None
        self._last_look = last_look
        self._looked = False
        self._held: tuple[Any, Any] | None = None
        self._is_over = False

    def look(self) -> bool:
        """Take the last look, once: whatever sends the request calls this just before. Whether there was one."""
        if self._looked or self._last_look is None:
            return False
        try:
            self._last_look()
        except BaseException:
            self.held_back = True
            raise
        self._looked = True
        return True

    def begin_answer(self, sock: Any) -> None:
        """The head of the answer has come over ``sock``."""
        self.is_answered = True
        if self.tls_sessions is not None and self.connected:
            self.tls_sessions.remember(sock)

    def hold(self, pool: Any, connection: Any) -> None:
        """The connection has finished the answer; :meth:`settle` decides whether it is reused.

        Only the exchange's last connection can be reused. One that arrives after the exchange is over is closed.
        """
        if self._held is not None and self._held[1] is not connection:
            self._held[1].close()
        self._held = pool, connection
        if self._is_over:
            self.settle(keep=False)

    def settle(self, *, keep: bool, understood: bool = False) -> None:
        """Allow reuse of the connection if ``keep``; otherwise close it.

        It is reset unless the answer was ``understood``, so that unsent data never reaches the provider.
        """
        self._is_over = True
        if self._held is None:
            return
        pool, connection = self._held
        self._held = None
        if keep and not self.surplus:
            if self.own is None:
                pool.take_back(connection)
            else:
                self.own.keep(pool, connection)
            return
        if connection.sock is not None and not understood:
            net.reset(connection.sock)
        connection.close()


current_exchange: ContextVar[SendState] = ContextVar("current_exchange")


class _DeadlineReader(io.RawIOBase):
    """Reads a socket, each read with what is left of the deadline as its timeout; ``received`` comes first."""

    def __init__(self, raw: io.RawIOBase, sock: Any, deadline: Deadline, received: bytes) -> None:
        self._raw = raw
        self.sock = sock
        self._deadline = deadline
        self._received = received
        self.has_ended = False

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        if self.has_ended:
            return 0
        if self._received:
            part, self._received = self._received[: len(buffer)], self._received[len(buffer) :]
            buffer[: len(part)] = part
            return len(part)
        remaining = self._deadline.remaining()
        if remaining <= 0:
            raise TimeoutError("deadline passed")
        self.sock.settimeout(remaining)
        return self._raw.readinto(buffer)

    def close(self) -> None:
        super().close()
        self._raw.close()


class _DeadlineResponse(http.client.HTTPResponse):
    _exchange: SendState | None = None
    _reader: _DeadlineReader
    fp: Any

    def __init__(self, sock: Any, *args: Any, received: bytes = b"", **kwargs: Any) -> None:
        super().__init__(sock, *args, **kwargs)
        if (exchange := current_exchange.get(None)) is not None:
            self._exchange = exchange
            self._reader = _DeadlineReader(self.fp.detach(), sock, exchange.deadline, received)
            self.fp = io.BufferedReader(self._reader)

    def _read_status(self) -> tuple[str, int, str]:
        """The status line of the answer itself: http.client skips only one kind of interim answers (RFC 9110, 15.2)."""
        for _ in range(MAX_INTERIM + 1):
            version, status, reason = super()._read_status()  # type: ignore[misc]
            if not 100 <= status < 200 or status == http.HTTPStatus.SWITCHING_PROTOCOLS:
                return version, status, reason
            http.client._read_headers(self.fp)  # type: ignore[attr-defined]
        raise http.client.HTTPException("too many interim answers")

    def begin(self) -> None:
        super().begin()
        if self._exchange is not None:
            self._exchange.begin_answer(self._reader.sock)

    def _close_conn(self) -> None:
        """The answer was read to its end, or abandoned."""
        if self._exchange is not None:
            self._reader.has_ended = True
            self._exchange.surplus = self._exchange.surplus or bool(self.fp.peek(1))
        super()._close_conn()  # type: ignore[misc]

    def close(self) -> None:
        """Abandoned, unless it was read to its end."""
        if self._exchange is not None and self.fp is not None and not self._exchange.is_tunneling:
            net.reset(self._reader.sock)
        super().close()


class _DeadlineMixin(HTTPConnection):
    response_class: Any = _DeadlineResponse
    _head: bytes | None = None
    """Empty: the head of a request with a body comes next; not empty: that head, held back until the body comes."""

    def _new_conn(self) -> Any:
        """Look up the name and connect to the first address that answers, both within one connect timeout."""
        connection: Any = self
        deadline = Deadline(connection.timeout)
        try:
            addresses = self._resolve(deadline.remaining())
            sock = net.connect(addresses, deadline.remaining())
        except TimeoutError:
            raise ConnectTimeoutError(connection, "connect timeout") from None
        except socket.gaierror as error:
            raise NameResolutionError(connection.host, connection, error) from None
        except OSError:
            raise NewConnectionError(connection, "refused") from None
        if (exchange := current_exchange.get(None)) is not None:
            exchange.connected = True
        return sock

    def _resolve(self, seconds: float) -> Sequence[net.Address]:
        """The addresses to try. :raises OSError: there are none."""
        connection: Any = self
        return net.resolve(connection._dns_host, connection.port, seconds)

    @property
    def is_connected(self) -> bool:
        """Whether it is open without unread data, so that the next answer belongs to the next request."""
        return self.sock is not None and not net.is_readable(self.sock)

    def request(self, method: str, url: str, body: Any = None, *args: Any, **kwargs: Any) -> None:
        """Send head and body in one packet, which saves a system call here and a wake-up of the peer."""
        self._head = b"" if isinstance(body, bytes) and body else None
        super().request(method, url, body, *args, **kwargs)

    def send(self, data: Any) -> None:
        exchange = current_exchange.get(None)
        if exchange is None or exchange.is_tunneling:
            super().send(data)
            return
        if self.sock is None:
            self.connect()
        if self._head == b"":
            self._head = data
            return
        if self._head is not None:
            self._head, data = None, self._head + data
        if not exchange.sent:
            self._look(exchange)
            exchange.sent = True
        super().send(data)

    def _look(self, exchange: SendState) -> None:
        """The last check for anything that forbids sending, just before the first byte."""
        # Without a last look, no time has passed since the pool found the connection quiet.
        if (exchange.look() or exchange.connected) and net.is_readable(self.sock):
            # No request was sent on it, so this is not an answer; or the peer has closed it.
            raise ConnectionAbortedError("something waits on the connection")
        remaining = exchange.deadline.remaining()
        if remaining <= 0:
            exchange.held_back = True
            raise Unanswered("provider_timeout", "the deadline passed before the request was sent", sent=False)
        net.limit_sending(self.sock, remaining)

    def close(self) -> None:
        """Close. With an unanswered request on it, reset, so that unsent data is never sent."""
        exchange = current_exchange.get(None)
        if exchange is not None and exchange.sent and not exchange.is_answered and self.sock is not None:
            net.reset(self.sock)
        super().close()

    def _tunnel(self) -> None:
        """Open a tunnel through a proxy; nothing of this reaches the provider."""
        exchange = current_exchange.get(None)
        if exchange is not None:
            exchange.is_tunneling = True
        try:
            super()._tunnel()
        finally:
            if exchange is not None:
                exchange.is_tunneling = False


class _Connection(_DeadlineMixin):
    """Plain."""


class _TLSConnection(_DeadlineMixin, HTTPSConnection):
    """Over TLS."""

    def connect(self) -> None:
        """The handshake as the shared context does it; urllib3 would set that up once more for each connection."""
        context: Any = self.ssl_context
        if self.proxy is not None or ":" in self.host:
            super().connect()
            return
        self.sock = self._new_conn()
        self.sock = context.wrap_socket(self.sock, server_hostname=self.host.rstrip("."))
        self.is_verified = True


class _PublicConnection(_TLSConnection):
    """Over TLS, and to the public internet only: what was checked is what is connected to, also by a proxy."""

    def _resolve(self, seconds: float) -> Sequence[net.Address]:
        addresses = super()._resolve(seconds)
        return _public(addresses) if self.proxy is None else addresses

    def _tunnel(self) -> None:
        """Ask the proxy for a checked address: it might look the name up differently."""
        connection: Any = self
        name = connection._tunnel_host
        address = str(_public(net.resolve(name, connection._tunnel_port, connection.timeout))[0][4][0])
        connection._tunnel_host = f"[{address}]" if ":" in address else address
        try:
            super()._tunnel()
        finally:
            connection._tunnel_host = name


def _public(addresses: Sequence[net.Address]) -> Sequence[net.Address]:
    """The same addresses. :raises OSError: one is not public."""
    if not all(is_public(str(address[0])) for *_, address in addresses):
        raise OSError("the name has an address that is not public")
    return addresses


class _PoolMixin(HTTPConnectionPool):
    def _get_conn(self, timeout: float | None = None) -> Any:
        exchange = current_exchange.get(None)
        if exchange is None or exchange.own is None:
            return super()._get_conn(timeout)
        connection = exchange.own.take(self, exchange)
        if connection is not None and not connection.is_connected:
            connection.close()
        return connection or self._new_conn()

    def _put_conn(self, conn: Any) -> None:
        """urllib3 is finished with it, which does not mean that it may be reused."""
        if (exchange := current_exchange.get(None)) is None:
            super()._put_conn(conn)
        elif conn is not None:
            exchange.hold(self, conn)

    def take_back(self, connection: Any) -> None:
        """Keep it for the account's next call."""
        super()._put_conn(connection)


class _Pool(_PoolMixin):
    ConnectionCls = _Connection


class _TLSPool(_PoolMixin, HTTPSConnectionPool):
    ConnectionCls = _TLSConnection


class _PublicPool(_TLSPool):
    ConnectionCls = _PublicConnection


class TLSSessions:
    """One account's TLS sessions by origin: a new connection resumes the last session, for a shorter handshake."""

    def __init__(self) -> None:
        self._sessions: dict[str, ssl.SSLSession] = {}

    def of(self, name: str | None) -> ssl.SSLSession | None:
        """The session to resume with a server."""
        return self._sessions.get(name or "")

    def remember(self, sock: Any) -> None:
        """Store the session of a connection that has received data, unless it resumed the stored one.

        Reading a session costs as much as resuming it.
        """
        if not isinstance(sock, ssl.SSLSocket) or sock.session_reused or (session := sock.session) is None:
            return
        if len(self._sessions) >= MAX_ORIGINS:
            self._sessions.clear()
        self._sessions[sock.server_hostname or ""] = session


class VerifyingContext(ssl.SSLContext):
    """Verifies servers, and resumes their sessions. It parses the CA bundle when it is first needed.

    That takes 25 ms and a megabyte, which commands and providers without TLS need not pay.
    """

    _trusting = threading.Lock()
    _trusts = False

    def trust_authorities(self) -> None:
        """Load the CA bundle, unless it is loaded; before that, no certificate is valid."""
        with self._trusting:
            if not self._trusts:
                self.load_verify_locations(certifi.where())
                self._trusts = True

    def wrap_bio(self, *args: Any, **how: Any) -> ssl.SSLObject:
        self.trust_authorities()
        return super().wrap_bio(*args, **how)

    def wrap_socket(  # type: ignore[override]
        self, sock: Any, *, server_hostname: Any = None, **how: Any
    ) -> ssl.SSLSocket:
        self.trust_authorities()
        exchange = current_exchange.get(None)
        if exchange is not None and exchange.tls_sessions is not None:
            how["session"] = exchange.tls_sessions.of(server_hostname)
        return super().wrap_socket(sock, server_hostname=server_hostname, **how)


def tls_context() -> VerifyingContext:
    """A context to share, because each parses the CA bundle for itself."""
    # As ssl.create_default_context() does, which cannot create a subclass.
    context = VerifyingContext(ssl.PROTOCOL_TLS_CLIENT)
    if sys.version_info >= (3, 13):
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN | ssl.VERIFY_X509_STRICT
    context.set_alpn_protocols(["http/1.1"])
    return context


MAX_ORIGINS = 16
"""For how many origins of one account connections are pooled; a provider has up to three."""


class DeadlineAdapter(HTTPAdapter):
    """requests' own adapter, using these connections; one per account, so that accounts share no pool."""

    def __init__(self, context: ssl.SSLContext, pool_size: int, *, public_only: bool = False) -> None:
        self._context = context
        self._pool_classes: dict[str, Any] = (
            {"https": _PublicPool} if public_only else {"http": _Pool, "https": _TLSPool}
        )
        self._origins: dict[str, Any] = {}
        self._tls_sessions = TLSSessions()
        super().__init__(pool_connections=MAX_ORIGINS, pool_maxsize=pool_size)

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs, ssl_context=self._context)
        self.poolmanager.pool_classes_by_scheme = self._pool_classes

    def proxy_manager_for(self, proxy: str, **kwargs: Any) -> Any:
        manager = super().proxy_manager_for(proxy, **kwargs, ssl_context=self._context)
        manager.pool_classes_by_scheme = self._pool_classes
        return manager

    def send(self, request: PreparedRequest, *args: Any, **how: Any) -> Response:
        """The answer to a request. If requests' own way to send was replaced, the replacement handles it."""
        exchange = current_exchange.get(None)
        if HTTPAdapter.send is not _REAL_SEND:
            if exchange is not None:
                exchange.look()
        elif exchange is not None and not how["proxies"]:
            pool = self.get_connection_with_tls_context(request, True)
            if (head := head_of(request, pool)) is not None:
                return self._exchange(request, head, pool, exchange, how["timeout"][0])
        return super().send(request, *args, **how)

    @staticmethod
    def _exchange(request: PreparedRequest, head: bytes, pool: Any, exchange: SendState, connect_timeout: float) -> Any:
        connection = pool._get_conn()
        try:
            if connection.sock is None:
                connection.timeout = connect_timeout
                connection.connect()
            try:
                connection.send(head + request.body if isinstance(request.body, bytes) else head)
            except (BrokenPipeError, ConnectionResetError):
                pass  # the provider reads no more of it; it may have answered before
            return read_answer(request, pool, connection, exchange)
        except BaseException as error:
            connection.close()
            if exchange.sent is False and isinstance(error, (ssl.SSLError, urllib3.exceptions.SSLError)):
                raise requests.exceptions.SSLError(error) from error
            raise

    def open_ahead(self, url: str, own: OwnConnections, deadline: Deadline, connect_timeout: float) -> None:
        """Open one of ``own`` to the origin of ``url`` in the background."""
        request = PreparedRequest()
        request.url = url
        pool = self._pool_of(request, True)
        exchange = SendState(deadline)
        exchange.tls_sessions = self._tls_sessions

        def connect() -> Any:
            connection = pool._new_conn()
            connection.timeout = min(connect_timeout, deadline.remaining())
            token = current_exchange.set(exchange)
            try:
                connection.connect()
            except BaseException:
                connection.close()
                raise
            finally:
                current_exchange.reset(token)
            return connection

        own.open_ahead(pool, connect)

    def get_connection_with_tls_context(self, *args: Any, **kwargs: Any) -> Any:
        """From here on, everything goes out through these connections."""
        if (exchange := current_exchange.get(None)) is not None:
            exchange.sent, exchange.tls_sessions = False, self._tls_sessions
        return self._pool_of(*args, **kwargs)

    def _pool_of(self, request: PreparedRequest, verify: Any, proxies: Any = None, cert: Any = None) -> Any:
        """The pool of a request's origin; finding it again would cost as much as sending the request."""
        if proxies:
            return super().get_connection_with_tls_context(request, verify, proxies, cert)
        url = request.url or ""
        origin = url[: url.find("/", len("https://"))]
        if (pool := self._origins.get(origin)) is None:
            # Never more than the pool manager keeps, because it closes what it drops.
            if len(self._origins) >= MAX_ORIGINS:
                self._origins = {}
            pool = self._origins[origin] = super().get_connection_with_tls_context(request, verify, proxies, cert)
        return pool

    def request_url(self, request: PreparedRequest, proxies: Any) -> str:
        """requests' own answer, without looking for a proxy if there is none."""
        return super().request_url(request, proxies) if proxies else request.path_url

    def build_response(self, req: PreparedRequest, resp: Any) -> Response:
        """Status, headers and stream; requests would also parse cookies and encodings, which are not needed."""
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
