"""No provider can hold a call longer than its deadline, or make it read more than the limit."""

from __future__ import annotations

import gzip
import socket
import threading

import pytest

from levelup_ov.errors import Unanswered
from levelup_ov.transport import session as transport_module
from levelup_ov.transport.session import Transport
from tests.stopwatch import within
from tests.transport.wire import Peer, answering, dripping, peer, read_request, reply, session, silent_port

pytestmark = pytest.mark.rule("SUB-6")

SECONDS = 1.0
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
DRIPS = {
    "nothing": (b"", b""),
    "status line": (b"HTTP/1.1 2", b"0"),
    "header": (b"HTTP/1.1 200 OK\r\nX-Long: ", b"x"),
    "headers": (b"HTTP/1.1 200 OK\r\n", b"X-More: 1\r\n"),
    "interim answers": (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    "body": (b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n{", b" "),
    "body without an end": (b"HTTP/1.1 200 OK\r\n\r\n{", b" "),
    "chunks": (CHUNKED, b"1\r\n \r\n"),
    "size of a chunk": (CHUNKED, b"0"),
    "trailers": (CHUNKED + b"2\r\n{}\r\n0\r\n", b"X-More: 1\r\n"),
}


@pytest.mark.parametrize("what", DRIPS)
def test_a_dripping_answer_ends_with_the_deadline(what: str) -> None:
    with peer(dripping(*DRIPS[what])) as provider:
        with within(SECONDS), pytest.raises(Unanswered) as caught:
            session(provider.url, seconds=SECONDS).post("/orders", {})
        assert caught.value.code in ("provider_timeout", "provider_unavailable")
        assert caught.value.code == "provider_timeout" or what in ("size of a chunk", "interim answers")
        assert caught.value.sent


def test_a_dripping_answer_on_a_kept_connection_ends_in_time() -> None:
    def serve(server: Peer, connection: socket.socket) -> None:
        assert read_request(connection) is not None
        connection.sendall(reply())
        dripping(b"HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n", b" ")(server, connection)

    transport = Transport(pool_size=1)
    with peer(serve) as provider:
        session(provider.url, transport=transport, seconds=30).get("/")
        with within(SECONDS), pytest.raises(Unanswered, match="within the deadline") as caught:
            session(provider.url, transport=transport, seconds=SECONDS).post("/orders", {})
        assert (provider.connections, caught.value.sent) == (1, True)


@pytest.mark.parametrize("kept", [False, True])
def test_a_body_that_is_never_read_ends_with_the_deadline(kept: bool) -> None:
    def serve(server: Peer, connection: socket.socket) -> None:
        if kept:
            assert read_request(connection) is not None
            connection.sendall(reply())
        server.pause(10)

    transport = Transport(pool_size=1)
    with peer(serve) as provider:
        if kept:
            session(provider.url, transport=transport, seconds=30).get("/")
        with within(SECONDS), pytest.raises(Unanswered) as caught:
            session(provider.url, transport=transport, seconds=SECONDS).post("/orders", "x" * 30_000_000)
        assert (caught.value.code, caught.value.sent) == ("provider_timeout", True)


def test_an_unanswered_connection_ends_in_time_and_is_unsent() -> None:
    with silent_port() as port, within(SECONDS), pytest.raises(Unanswered) as caught:
        session(f"http://127.0.0.1:{port}", seconds=SECONDS).post("/orders", {})
    assert not caught.value.sent


def test_connecting_has_its_own_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport_module, "CONNECT_TIMEOUT", SECONDS)
    monkeypatch.setattr(transport_module, "ATTEMPTS", 1)
    with silent_port() as port, within(SECONDS), pytest.raises(Unanswered) as caught:
        session(f"http://127.0.0.1:{port}", seconds=30).post("/orders", {})
    assert (caught.value.code, caught.value.sent) == ("provider_unavailable", False)


def test_nothing_is_sent_once_the_time_is_up() -> None:
    with peer(answering(reply())) as provider:
        with pytest.raises(Unanswered) as caught:
            session(provider.url, seconds=0).post("/orders", {})
        assert (caught.value.sent, provider.connections) == (False, 0)


def test_the_time_is_that_of_all_calls_together() -> None:
    def serve(server: Peer, connection: socket.socket) -> None:
        while read_request(connection) is not None:
            server.pause(0.4)
            connection.sendall(reply())

    with peer(serve) as provider, within(1):
        calls = session(provider.url, seconds=1)
        calls.post("/carts", {})
        calls.post("/carts", {})
        with pytest.raises(Unanswered) as caught:
            calls.post("/carts", {})
        assert caught.value.code == "provider_timeout"


def test_many_dripping_providers_do_not_wait_for_one_another() -> None:
    transport = Transport(pool_size=8)
    failures: list[Unanswered] = []

    def order(url: str) -> None:
        try:
            session(url, transport=transport, seconds=SECONDS).post("/orders", {})
        except Unanswered as failure:
            failures.append(failure)

    with peer(dripping(*DRIPS["body"])) as provider, within(SECONDS + 0.25):
        threads = [threading.Thread(target=order, args=(provider.url,)) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert [failure.code for failure in failures] == ["provider_timeout"] * 8


LIMIT = 200_000


@pytest.fixture
def limited() -> Transport:
    return Transport(pool_size=1, max_answer=LIMIT)


def test_an_answer_up_to_the_limit_is_read(limited: Transport) -> None:
    with peer(answering(reply(b" " * LIMIT))) as provider:
        assert len(session(provider.url, transport=limited).get("/").body) == LIMIT


@pytest.mark.parametrize("form", ["length", "chunked", "until closed", "gzip", "gzip in gzip"])
def test_an_answer_over_the_limit_is_a_broken_protocol(limited: Transport, form: str) -> None:
    big = b" " * (LIMIT + 1)
    zipped = gzip.compress(b" " * 50_000_000, 6)
    answers = {
        "length": reply(big),
        "chunked": CHUNKED + b"%x\r\n%s\r\n" % (len(big), big) * 5,
        "until closed": b"HTTP/1.1 200 OK\r\n\r\n" + 2 * big,
        "gzip": reply(zipped, Content_Encoding="gzip"),
        "gzip in gzip": reply(gzip.compress(zipped), Content_Encoding="gzip, gzip"),
    }
    with peer(answering(answers[form])) as provider, pytest.raises(Unanswered) as caught:
        session(provider.url, transport=limited, seconds=2).get("/")
    assert (caught.value.code, caught.value.sent) == ("provider_protocol_error", True)


def test_a_zipped_answer_is_read_though_none_was_asked_for() -> None:
    with peer(answering(reply(gzip.compress(b'{"a": 1}'), Content_Encoding="gzip"))) as provider:
        assert session(provider.url).get("/").json() == {"a": 1}
        assert provider.requests[0].headers["accept-encoding"] == "identity"


def test_after_an_answer_too_long_the_next_call_is_not_disturbed(limited: Transport) -> None:
    with peer(answering(reply(b" " * (LIMIT + 1)), reply(b'{"next": 1}'))) as provider:
        with pytest.raises(Unanswered):
            session(provider.url, transport=limited).get("/")
        assert session(provider.url, transport=limited).get("/").json() == {"next": 1}
