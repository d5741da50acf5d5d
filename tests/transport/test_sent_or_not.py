"""How a call failed, and whether the provider may have seen it: ``sent`` is False only where that is proven."""

from __future__ import annotations

import socket
import struct
import threading
import traceback
from collections.abc import Callable
from pathlib import Path

import pytest

from levelup_ov.errors import Unanswered
from levelup_ov.transport import connections
from levelup_ov.transport import session as transport_module
from levelup_ov.transport.session import Transport
from tests.stopwatch import within
from tests.transport.certificates import Authority
from tests.transport.wire import DROP, Peer, answering, closed_port, peer, read_request, reply, session, silent_port

pytestmark = pytest.mark.rule("SUB-2", "SUB-5")

QUERY = "key-in-the-query"


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport_module, "BACKOFF", 0.001)


def order(url: str, transport: Transport | None = None, seconds: float = 5) -> Unanswered:
    """The failure of a call that places an order."""
    with pytest.raises(Unanswered) as caught:
        session(url, transport=transport, seconds=seconds).call(
            "POST", "/orders", body={"items": []}, params={"api_key": QUERY}, places_order=True
        )
    shown = "".join(traceback.format_exception(caught.value)) + repr(caught.value) + repr(caught.value.args)
    assert QUERY not in shown
    return caught.value


def test_refused_is_unsent() -> None:
    with closed_port() as port:
        failure = order(f"http://127.0.0.1:{port}")
    assert (failure.code, failure.sent) == ("provider_unavailable", False)


def test_a_connection_without_an_answer_is_unsent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport_module, "CONNECT_TIMEOUT", 0.2)
    with silent_port() as port:
        failure = order(f"http://127.0.0.1:{port}")
    assert (failure.code, failure.sent) == ("provider_unavailable", False)


def test_an_unknown_host_is_unsent(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_such_host(*args: object, **kwargs: object) -> list[object]:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", no_such_host)
    failure = order("http://provider.invalid")
    assert (failure.code, failure.sent) == ("provider_unavailable", False)


@pytest.mark.parametrize("host", ["a" * 64 + ".invalid", "bad..invalid", "\udcff.invalid"])
def test_a_call_to_an_invalid_host_is_unsent(host: str) -> None:
    failure = order(f"http://{host}")
    assert (failure.code, failure.sent) == ("provider_unavailable", False)


def test_dropped_after_reading_may_have_been_taken() -> None:
    with peer(answering(DROP)) as provider:
        failure = order(provider.url)
        assert (failure.code, failure.sent) == ("provider_unavailable", True)
        assert len(provider.requests) == 1


def reset(server: Peer, connection: socket.socket) -> None:
    server.requests.append(read_request(connection))  # type: ignore[arg-type]
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


@pytest.mark.parametrize(
    "serve",
    [
        reset,
        answering(DROP),
        answering(b"HTTP/1.1 200 OK\r\nContent-Le"),
        answering(b"\x00\x01\x02\x03 not HTTP at all\r\n\r\n"),
        answering(b"HTTP/1.1 200 OK\r\n" + b"X: 1\r\n" * 300 + b"\r\n"),
        answering(b"HTTP/1.1 200 OK\r\nX: " + b"x" * 70_000 + b"\r\n\r\n"),
        answering(reply(b"not zipped", Content_Encoding="gzip")),
        answering(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"),
    ],
    ids=["reset", "closed at once", "cut header", "no HTTP", "many headers", "long header", "no gzip", "no chunk"],
)
def test_whatever_follows_the_first_byte_is_sent(serve: Callable[[Peer, socket.socket], None]) -> None:
    with peer(serve) as provider:
        assert order(provider.url, seconds=2.3).sent
        assert provider.connections == 1


@pytest.mark.parametrize("rest", [b'{"order": ', b""])
def test_an_answer_cut_off_is_sent(rest: bytes) -> None:
    def serve(server: Peer, connection: socket.socket) -> None:
        read_request(connection)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n" + rest)

    with peer(serve) as provider:
        failure = order(provider.url)
    assert (failure.code, failure.sent) == ("provider_unavailable", True)


def test_a_drop_on_a_kept_connection_may_have_been_taken() -> None:
    transport = Transport(pool_size=1)
    with peer(answering(reply(), DROP)) as provider:
        session(provider.url, transport=transport).get("/menu")
        failure = order(provider.url, transport)
        assert (failure.code, failure.sent) == ("provider_unavailable", True)
        assert (provider.connections, len(provider.requests)) == (1, 2)


def test_a_kept_connection_closed_by_the_provider_is_not_used() -> None:
    closed = threading.Semaphore(0)

    def one_answer(server: Peer, connection: socket.socket) -> None:
        server.requests.append(read_request(connection))  # type: ignore[arg-type]
        connection.sendall(reply())
        connection.shutdown(socket.SHUT_RDWR)
        closed.release()

    transport = Transport(pool_size=1)
    with peer(one_answer) as provider:
        for _ in range(3):
            calls = session(provider.url, transport=transport)
            assert calls.post("/orders", {}, places_order=True).ok
            assert calls.placing
            assert closed.acquire(timeout=60)
        assert (provider.connections, len(provider.requests)) == (3, 3)


def test_unsent_on_a_new_connection_after_a_kept_one() -> None:
    transport = Transport(pool_size=1)
    with peer(answering(reply(Connection="close"))) as provider:
        session(provider.url, transport=transport).get("/menu")
    assert not order(provider.url, transport).sent


@pytest.fixture
def authority(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Authority:
    authority = Authority(tmp_path)
    monkeypatch.setattr(connections.certifi, "where", lambda: str(authority.file))
    return authority


def test_a_valid_certificate_is_accepted_and_the_connection_kept(authority: Authority) -> None:
    transport = Transport(pool_size=1)
    with peer(answering(reply(b'{"tls": true}')), authority.server("127.0.0.1")) as provider:
        for _ in range(3):
            assert session(provider.url, transport=transport).post("/", {}).json() == {"tls": True}
        assert provider.connections == 1


@pytest.mark.rule("PAY-2")
@pytest.mark.parametrize(
    "host, days, self_signed",
    [("127.0.0.1", 1, True), ("provider.example", 1, False), ("127.0.0.2", 1, False), ("127.0.0.1", -1, False)],
    ids=["self-signed", "another name", "another address", "expired"],
)
def test_an_invalid_certificate_is_refused_before_any_byte(
    authority: Authority, host: str, days: int, self_signed: bool
) -> None:
    with peer(answering(reply()), authority.server(host, days=days, self_signed=self_signed)) as provider:
        failure = order(provider.url)
        assert (failure.code, failure.sent) == ("provider_unavailable", False)
        assert provider.requests == []


@pytest.mark.parametrize("variable", ["REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE"])
def test_trust_does_not_come_from_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    authority = Authority(tmp_path)
    monkeypatch.setenv(variable, str(authority.file))
    with peer(answering(reply()), authority.server("127.0.0.1")) as provider:
        assert not order(provider.url).sent


def test_an_unanswered_handshake_ends_in_time_and_is_unsent(authority: Authority) -> None:
    with peer(lambda server, connection: server.pause(10)) as provider, within(2.3):
        assert not order(provider.url.replace("http", "https"), seconds=2.3).sent


def test_no_tls_on_the_other_side_is_unsent(authority: Authority) -> None:
    with peer(lambda server, connection: connection.sendall(b"HTTP/1.0 400 Bad Request\r\n\r\n")) as provider:
        failure = order(provider.url.replace("http", "https"))
    assert (failure.code, failure.sent) == ("provider_unavailable", False)


def test_a_proxy_that_refuses_is_unsent() -> None:
    with closed_port() as port, peer(answering(reply())) as provider:
        transport = Transport(pool_size=1, proxy=f"http://127.0.0.1:{port}")
        assert not order(provider.url, transport).sent
        assert not order(provider.url.replace("http", "https"), transport).sent
        assert provider.connections == 0


def test_a_proxy_that_does_not_reach_the_provider_is_unsent(authority: Authority) -> None:
    with peer(answering(reply(status=502))) as proxy:
        transport = Transport(pool_size=1, proxy=proxy.url)
        assert not order("https://provider.example", transport).sent
        assert proxy.requests[0].line.startswith("CONNECT provider.example:443")
        assert all(request.body == b"" for request in proxy.requests)


def test_an_order_through_a_proxy_is_sent_end_to_end(authority: Authority) -> None:
    tls = authority.server("provider.example")

    def tunnel(server: Peer, connection: socket.socket) -> None:
        read_request(connection)
        connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        inner = tls.wrap_socket(connection, server_side=True)
        server.requests.append(read_request(inner))  # type: ignore[arg-type]
        inner.close()

    with peer(tunnel) as proxy:
        failure = order("https://provider.example", Transport(pool_size=1, proxy=proxy.url))
        assert (failure.code, failure.sent) == ("provider_unavailable", True)
        assert proxy.requests[0].line.startswith("POST /orders")
