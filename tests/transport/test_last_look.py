"""The last look before an order is sent: after everything that can take time, immediately before the first byte."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import responses

from levelup_ov.domain.failure import Failure
from levelup_ov.errors import Unanswered
from levelup_ov.transport import connections, net
from levelup_ov.transport import session as transport_module
from levelup_ov.transport.session import Transport
from tests.stopwatch import within
from tests.transport.certificates import Authority
from tests.transport.wire import DROP, Peer, answering, closed_port, peer, read_request, reply, session

pytestmark = pytest.mark.rule("SUB-2", "SUB-5")


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport_module, "BACKOFF", 0.001)


class Clock:
    """The transport's clock, which a test can let jump as a suspended host's does."""

    def __init__(self) -> None:
        self.ahead = 0.0

    def now(self) -> float:
        return self._real() + self.ahead

    _real = staticmethod(net.now)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[Clock]:
    clock = Clock()
    monkeypatch.setattr(net, "now", clock.now)
    yield clock


def test_it_comes_after_the_connection_and_before_the_request() -> None:
    seen: list[tuple[object, int, int]] = []

    def look(trace: object) -> None:
        for _ in range(100):
            if provider.connections:
                break
            provider.pause(0.01)
        seen.append((trace, provider.connections, len(provider.requests)))

    with peer(answering(reply())) as provider, session(provider.url, own=True, last_look=look) as calls:
        calls.post("/orders", {}, places_order=True, trace={"cart": "1"})
    assert seen == [({"cart": "1"}, 1, 0)]


def test_it_comes_after_tls_and_the_way_through_a_proxy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    authority = Authority(tmp_path)
    monkeypatch.setattr(connections.certifi, "where", lambda: str(authority.file))
    tls, events = authority.server("provider.example"), []

    def tunnel(server: Peer, connection: socket.socket) -> None:
        events.append(read_request(connection).line.split()[0])  # type: ignore[union-attr]
        connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        inner = tls.wrap_socket(connection, server_side=True)
        events.append("TLS")
        events.append(read_request(inner).line.split()[0])  # type: ignore[union-attr]
        inner.sendall(reply())
        inner.close()

    def look(trace: object) -> None:
        for _ in range(100):
            if "TLS" in events:
                break
            proxy.pause(0.01)
        events.append("look")

    with peer(tunnel) as proxy:
        transport = Transport(pool_size=1, proxy=proxy.url)
        with session("https://provider.example", transport=transport, own=True, last_look=look) as calls:
            calls.post("/orders", {}, places_order=True)
    assert events == ["CONNECT", "TLS", "look", "POST"]


class TLSWithin:
    """The server's side of TLS over another connection."""

    def __init__(self, outer: socket.socket, context: ssl.SSLContext) -> None:
        self._outer, self._in, self._out = outer, ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._in, self._out, server_side=True)
        self._do(self._tls.do_handshake)

    def recv(self, size: int) -> bytes:
        return self._do(self._tls.read, size)

    def sendall(self, data: bytes) -> None:
        self._do(self._tls.write, data)

    def _do(self, step: Callable[..., Any], *args: Any) -> Any:
        while True:
            try:
                return step(*args)
            except ssl.SSLWantReadError:
                self._outer.sendall(self._out.read())
                self._in.write(self._outer.recv(65536))
            finally:
                if self._out.pending:
                    self._outer.sendall(self._out.read())


def test_a_proxy_behind_tls_is_a_way_like_any_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    authority = Authority(tmp_path)
    monkeypatch.setattr(connections.certifi, "where", lambda: str(authority.file))
    # The proxy's own certificate is held to the authorities of the system.
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.file))
    tls, looks = authority.server("provider.example"), []

    def tunnel(server: Peer, connection: socket.socket) -> None:
        assert read_request(connection) is not None
        connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        answering(reply())(server, TLSWithin(connection, tls))  # type: ignore[arg-type]

    with peer(tunnel, authority.server("127.0.0.1")) as proxy:
        transport = Transport(pool_size=1, proxy=proxy.url)
        with session("https://provider.example", transport=transport, own=True, last_look=looks.append) as calls:
            calls.post("/carts", {})
            calls.post("/orders", {}, places_order=True)
        assert (len(looks), proxy.connections, len(proxy.requests)) == (1, 1, 2)


def test_each_attempt_has_its_own() -> None:
    looks: list[object] = []
    with peer(answering(DROP, reply(status=503), reply())) as provider:
        with session(provider.url, own=True, last_look=looks.append) as calls:
            calls.post("/carts", {}, repeatable=True)
            assert looks == []
            calls.post("/orders", {}, places_order=True, repeatable=True)
    assert looks == [None]

    looks.clear()
    with peer(answering(DROP, reply(status=503), reply())) as provider:
        with session(provider.url, own=True, last_look=looks.append) as calls:
            calls.post("/orders", {}, places_order=True, repeatable=True)
    assert len(looks) == 3


def test_without_a_connection_there_is_none() -> None:
    looks: list[object] = []
    with closed_port() as port, session(f"http://127.0.0.1:{port}", own=True, last_look=looks.append) as calls:
        with pytest.raises(Unanswered):
            calls.post("/orders", {}, places_order=True)
    assert (looks, calls.placing) == ([], False)


def in_progress(trace: object) -> None:
    raise Failure("submission_in_progress", "somebody else has it")


def test_what_it_raises_keeps_the_request_from_being_sent() -> None:
    ended, got = threading.Event(), []

    def serve(server: Peer, connection: socket.socket) -> None:
        got.append(connection.recv(65536))
        ended.set()

    with peer(serve) as provider, session(provider.url, own=True, last_look=in_progress) as calls:
        with pytest.raises(Failure) as caught:
            calls.post("/orders", {"a": 1}, places_order=True, repeatable=True)
        assert caught.value.code == "submission_in_progress"
        assert ended.wait(5)
        assert (got, calls.placing, len(calls.calls)) == ([b""], False, 1)


def test_what_it_raises_later_leaves_the_earlier_attempt_open() -> None:
    looks: list[object] = []

    def look(trace: object) -> None:
        looks.append(trace)
        if len(looks) == 2:
            in_progress(trace)

    with peer(answering(DROP, reply())) as provider, session(provider.url, own=True, last_look=look) as calls:
        with pytest.raises(Failure) as caught:
            calls.post("/orders", {}, places_order=True, repeatable=True)
        assert (caught.value.code, len(provider.requests)) == ("submission_in_progress", 1)
    assert calls.placing


@pytest.mark.rule("SUB-6")
@pytest.mark.parametrize("own", [True, False])
def test_a_host_that_was_suspended_in_it_sends_nothing(clock: Clock, own: bool) -> None:
    def look(trace: object) -> None:
        clock.ahead += 3600

    with peer(answering(reply())) as provider, session(provider.url, own=own, last_look=look) as calls:
        with pytest.raises(Unanswered) as caught:
            calls.post("/orders", {}, places_order=True)
        provider.pause(0.1)
        assert (caught.value.code, caught.value.sent, calls.placing) == ("provider_timeout", False, False)
        assert provider.requests == []


@pytest.mark.rule("SUB-6")
@pytest.mark.parametrize("places_order", [True, False])
def test_a_host_suspended_while_connecting_sends_nothing(
    clock: Clock, monkeypatch: pytest.MonkeyPatch, places_order: bool
) -> None:
    real = net.connect

    def connect(*args: Any) -> socket.socket:
        sock = real(*args)
        clock.ahead += 3600
        return sock

    monkeypatch.setattr(net, "connect", connect)
    with peer(answering(reply())) as provider, session(provider.url, own=True) as calls:
        with pytest.raises(Unanswered) as caught:
            calls.post("/refunds", {}, places_order=places_order)
        provider.pause(0.1)
        assert (caught.value.code, caught.value.sent) == ("provider_timeout", False)
        assert (provider.requests, calls.placing) == ([], False)


@pytest.mark.rule("SUB-6")
def test_sent_bytes_wait_no_longer_than_the_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    real, opened = net.connect, []

    def connect(*args: Any) -> socket.socket:
        opened.append(real(*args))
        return opened[-1]

    monkeypatch.setattr(net, "connect", connect)
    with peer(answering(reply())) as provider, session(provider.url, own=True, seconds=4) as calls:
        calls.post("/carts", {})
        (sock,) = opened
        assert 2000 < sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) <= 4000


def test_an_application_in_this_process_is_called_after_it() -> None:
    events: list[str] = []

    def application(environ: Any, start_response: Any) -> list[bytes]:
        events.append(environ["PATH_INFO"])
        start_response("200 OK", [])
        return [b"{}"]

    transport = Transport(pool_size=1, in_process={"inside.internal": application})
    calls = session(
        "http://inside.internal", transport=transport, own=True, last_look=lambda trace: events.append("look")
    )
    calls.post("/orders", {}, places_order=True)
    assert events == ["look", "/orders"]
    with pytest.raises(Failure):
        session("http://inside.internal", transport=transport, last_look=in_progress).post(
            "/orders", {}, places_order=True
        )
    assert events == ["look", "/orders"]


def test_a_request_answered_by_another_library_is_taken() -> None:
    with responses.RequestsMock(assert_all_requests_are_fired=False) as mock:
        mock.post("http://provider.invalid/orders", json={})
        with pytest.raises(Failure):
            session("http://provider.invalid", last_look=in_progress).post("/orders", {}, places_order=True)
        assert len(mock.calls) == 0
        looks: list[object] = []
        session("http://provider.invalid", last_look=looks.append).post("/orders", {}, places_order=True)
        assert (looks, len(mock.calls)) == ([None], 1)


class Resolver:
    """Answers for ``provider.invalid`` only after ``pause`` seconds, or when released."""

    def __init__(self, port: int) -> None:
        self.port, self.asked, self.released = port, 0, threading.Event()

    def __call__(self, host: str, port: int, *args: Any, **kwargs: Any) -> list[Any]:
        self.asked += 1
        self.released.wait(5)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", self.port))]


@pytest.mark.rule("SUB-6")
def test_a_slow_name_look_up_ends_in_time_and_sends_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    looks: list[object] = []
    with peer(answering(reply())) as provider:
        resolver = Resolver(provider.port)
        monkeypatch.setattr(socket, "getaddrinfo", resolver)
        try:
            with within(2.2), pytest.raises(Unanswered) as caught:
                session("http://provider.invalid", seconds=2.2, own=True, last_look=looks.append).post(
                    "/orders", {}, places_order=True
                )
        finally:
            resolver.released.set()
        provider.pause(0.1)
        assert (caught.value.code, caught.value.sent) == ("provider_unavailable", False)
        assert (looks, provider.connections) == ([], 0)


def test_one_look_up_serves_all_that_wait_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    with peer(answering(reply())) as provider:
        resolver = Resolver(provider.port)
        monkeypatch.setattr(socket, "getaddrinfo", resolver)
        transport = Transport(pool_size=8)
        answers: list[int] = []

        def ask() -> None:
            with session("http://provider.invalid", transport=transport, own=True) as calls:
                answers.append(calls.get("/").status)

        threads = [threading.Thread(target=ask) for _ in range(6)]
        for thread in threads:
            thread.start()
        provider.pause(0.3)
        resolver.released.set()
        for thread in threads:
            thread.join(5)
        assert (answers, resolver.asked) == ([200] * 6, 1)


def test_an_address_is_not_looked_up(monkeypatch: pytest.MonkeyPatch) -> None:
    def resolver(*args: object, **kwargs: object) -> list[Any]:
        raise AssertionError("nothing to look up")

    monkeypatch.setattr(socket, "getaddrinfo", resolver)
    with peer(answering(reply())) as provider:
        assert session(provider.url).get("/").ok
