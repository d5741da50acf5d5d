"""No late or doubled answer is read as the answer to another call."""

from __future__ import annotations

import socket
import ssl
import threading
from pathlib import Path

import pytest

from levelup_ov.errors import Refused, Unanswered
from levelup_ov.transport import connections, net
from levelup_ov.transport import session as transport_module
from levelup_ov.transport.session import Reply, Session, Transport
from tests.transport.certificates import Authority
from tests.transport.wire import DROP, Peer, answering, peer, read_request, reply, session

pytestmark = pytest.mark.rule("SUB-2", "SUB-5")

ALICE, BOB = reply(b'{"order": "Alice"}', 201), reply(b'{"order": "Bob"}', 201)
OTHERS = [504, 502, 500, 408, 302, 422, 202, 203, 204, 205, 206, 304, 409]


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport_module, "BACKOFF", 0.001)


def with_leftover(first: bytes, leftover: bytes, *rest: bytes) -> object:
    """Answer the very first request with ``first``; ``leftover`` follows on its connection as the next request comes.

    All other requests are answered with ``rest`` in turn, the last again and again.
    """

    def serve(server: Peer, connection: socket.socket) -> None:
        is_first = server.connections == 1
        answered = 0
        while (request := read_request(connection)) is not None:
            server.requests.append(request)
            if is_first and not answered:
                connection.sendall(first)
            else:
                if is_first and answered == 1:
                    connection.sendall(leftover)
                connection.sendall(rest[min(len(server.requests) - 2, len(rest) - 1)])
            answered += 1

    return serve


def refuse(answer: Reply) -> Refused | None:
    return Refused("order_refused", "no") if answer.status in (409, 422) else None


def order(calls: Session) -> object:
    return calls.post("/orders", {}, places_order=True).json()


@pytest.mark.rule("SUB-7")
@pytest.mark.parametrize("own", [True, False])
@pytest.mark.parametrize("status", OTHERS)
def test_a_late_answer_is_not_the_next_guests(status: int, own: bool) -> None:
    transport = Transport(pool_size=1)
    first = reply(b"" if status in (204, 205, 304) else b"{}", status)
    with peer(with_leftover(first, ALICE, BOB)) as provider:  # type: ignore[arg-type]
        with session(provider.url, transport=transport, own=own) as alices, pytest.raises(Unanswered):
            order(alices)
        with session(provider.url, transport=transport, own=own) as bobs:
            assert order(bobs) == {"order": "Bob"}


@pytest.mark.parametrize("status", OTHERS)
def test_a_late_answer_is_not_that_of_the_sessions_next_call(status: int) -> None:
    first = reply(b"" if status in (204, 205, 304) else b"{}", status)
    with peer(with_leftover(first, ALICE, reply(b'{"at": "last"}'))) as provider:  # type: ignore[arg-type]
        with session(provider.url, own=True, error_from=refuse) as calls:
            with pytest.raises((Unanswered, Refused)):
                calls.post("/orders", {})
            assert calls.post("/paid", {}).json() == {"at": "last"}


@pytest.mark.parametrize("own", [True, False])
@pytest.mark.parametrize("together", [True, False])
def test_a_doubled_answer_is_not_the_next_calls(own: bool, together: bool) -> None:
    said = threading.Event()

    def twice(server: Peer, connection: socket.socket) -> None:
        if server.connections > 1:
            answering(BOB)(server, connection)
            return
        assert read_request(connection) is not None
        connection.sendall(ALICE + ALICE if together else ALICE)
        if not together:
            server.pause(0.05)
            connection.sendall(ALICE)
        said.set()
        answering(ALICE)(server, connection)

    transport = Transport(pool_size=1)
    with peer(twice) as provider, session(provider.url, transport=transport, own=own) as calls:
        assert order(calls) == {"order": "Alice"}
        assert said.wait(5)
        assert calls.post("/orders", {}).json() == {"order": "Bob"}
        assert provider.connections == 2


def test_an_answer_longer_than_it_says_ends_its_connection() -> None:
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}" + BOB
    with peer(answering(answer, reply(b'{"own": 1}'))) as provider, session(provider.url, own=True) as calls:
        assert calls.get("/a").json() == {}
        assert calls.get("/b").json() == {"own": 1}
        assert provider.connections == 2


INTERIM = {
    "hints": b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n",
    "processing": b"HTTP/1.1 102 Processing\r\n\r\n",
    "continue": b"HTTP/1.1 100 Continue\r\n\r\n",
    "several": b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 199 X\r\n\r\n",
}


@pytest.mark.parametrize("interim", INTERIM)
def test_interim_answers_are_skipped(interim: str) -> None:
    with peer(answering(INTERIM[interim] + BOB)) as provider, session(provider.url, own=True) as calls:
        assert calls.post("/carts", {}).json() == {"order": "Bob"}
        assert order(calls) == {"order": "Bob"}
        assert (provider.connections, len(provider.requests)) == (1, 2)


@pytest.mark.parametrize("answer", [INTERIM["hints"] * 50 + BOB, b"HTTP/1.1 101 Switching Protocols\r\n\r\n" + BOB])
def test_endless_interim_answers_are_not_an_answer(answer: bytes) -> None:
    with peer(answering(answer)) as provider, session(provider.url, own=True) as calls:
        with pytest.raises(Unanswered) as caught:
            order(calls)
    assert caught.value.sent and calls.placing


@pytest.mark.parametrize("status", [201, 202, 203, 204, 205, 206, 226, 300, 304, 307])
def test_reading_is_answered_by_200_only(status: int) -> None:
    with peer(answering(reply(b"" if status in (204, 205, 304) else b"[]", status))) as provider:
        with pytest.raises(Unanswered) as caught:
            session(provider.url, own=True).get("/orders")
        assert (caught.value.code, caught.value.sent) == ("provider_protocol_error", True)
        assert caught.value.status == status


def test_another_status_counts_where_it_is_documented() -> None:
    with peer(answering(reply(b"", 204))) as provider, session(provider.url, own=True) as calls:
        assert calls.call("DELETE", "/tokens", also=(204,)).status == 204
        assert calls.get("/list", also=(204,)).status == 204
        assert provider.connections == 1


def test_a_session_keeps_its_connections_to_itself() -> None:
    transport = Transport(pool_size=4)
    with peer(answering(reply())) as provider:
        session(provider.url, transport=transport).get("/menu")
        with session(provider.url, transport=transport, own=True) as one:
            with session(provider.url, transport=transport, own=True) as other:
                for calls in (one, other, one, other):
                    calls.post("/carts", {})
        session(provider.url, transport=transport).get("/menu")
        assert (provider.connections, len(provider.requests)) == (3, 6)


def test_its_connections_end_with_the_session() -> None:
    ended = threading.Semaphore(0)

    def serve(server: Peer, connection: socket.socket) -> None:
        answering(reply())(server, connection)
        ended.release()

    with peer(serve) as provider:
        with session(provider.url, own=True) as calls:
            calls.get("/")
            assert not ended.acquire(timeout=0.1)
        assert ended.acquire(timeout=60)


def test_bytes_that_come_during_the_last_look_end_the_connection() -> None:
    reported = threading.Event()
    looks: list[object] = []

    def early(server: Peer, connection: socket.socket) -> None:
        if server.connections == 1:
            assert reported.wait(5)
            connection.sendall(ALICE)
        answering(BOB)(server, connection)

    def look(trace: object) -> None:
        looks.append(trace)
        reported.set()
        if len(looks) == 1:
            assert net.wait_for_read(opened[0], timeout=60)

    opened: list[socket.socket] = []
    real = net.connect

    def connect(*args: object) -> socket.socket:
        opened.append(real(*args))  # type: ignore[arg-type]
        return opened[-1]

    with pytest.MonkeyPatch.context() as patch, peer(early) as provider:
        patch.setattr(net, "connect", connect)
        with session(provider.url, own=True, last_look=look) as calls:
            assert order(calls) == {"order": "Bob"}
        assert (len(looks), provider.connections, len(provider.requests)) == (2, 2, 1)


@pytest.mark.rule("SUB-6")
@pytest.mark.parametrize("own", [True, False])
def test_what_has_not_left_at_the_deadline_never_leaves(own: bool) -> None:
    size, given_up, read = 400_000, threading.Event(), []

    def slowly(server: Peer, connection: socket.socket) -> None:
        assert given_up.wait(5)
        server.pause(0.1)
        while chunk := connection.recv(65536):
            read.append(len(chunk))

    with peer(slowly) as provider:
        # Set on the listener, it holds for its connections: most of the body has to wait in the sender's queue.
        provider.listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        with session(provider.url, own=own, seconds=0.4) as calls, pytest.raises(Unanswered) as caught:
            calls.post("/orders", "x" * size)
        given_up.set()
        for _ in range(100):
            if not provider.is_serving:
                break
            provider.pause(0.05)
    assert (caught.value.code, caught.value.sent) == ("provider_timeout", True)
    assert sum(read) < size


@pytest.mark.parametrize("trouble", [DROP, reply(status=503), reply(status=504)])
def test_a_refusal_after_an_unanswered_attempt_proves_nothing(trouble: bytes) -> None:
    with peer(answering(trouble, reply(status=409))) as provider:
        with session(provider.url, own=True, error_from=refuse) as calls, pytest.raises(Refused) as caught:
            calls.post("/orders", {}, places_order=True, repeatable=True)
        assert len(provider.requests) == 2
        calls.nothing_placed()
        assert calls.placing and not caught.value.proof


@pytest.mark.rule("STAT-6")
@pytest.mark.parametrize(("method", "proof"), [("POST", False), ("PUT", False), ("GET", True)])
def test_a_refusal_of_a_repeated_call_is_proof_only_if_it_reads(method: str, proof: bool) -> None:
    with peer(answering(DROP, reply(status=409), reply(status=409))) as provider:
        with session(provider.url, own=True, error_from=refuse) as calls:
            for expected in (proof, True):
                with pytest.raises(Refused) as caught:
                    calls.call(method, "/orders/1", repeatable=True)
                assert caught.value.proof is expected
        assert len(provider.requests) == 3


def test_a_refusal_of_the_only_attempt_is_proof() -> None:
    with peer(answering(reply(status=429, Retry_After="0"), reply(status=409))) as provider:
        with session(provider.url, own=True, error_from=refuse) as calls, pytest.raises(Refused) as caught:
            order(calls)
        assert len(provider.requests) == 2
        assert caught.value.proof
        calls.nothing_placed()
        assert not calls.placing


def test_a_second_placing_call_that_fails_disproves_no_first() -> None:
    with peer(answering(reply(), reply(status=401))) as provider, session(provider.url, own=True) as calls:
        order(calls)
        with pytest.raises(Unanswered):
            calls.post("/orders", {}, places_order=True, repeatable=True)
        assert len(provider.requests) == 2
    assert calls.placing


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_own_connections_resume_the_sessions_of_tls(
    version: ssl.TLSVersion, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority = Authority(tmp_path)
    monkeypatch.setattr(connections.certifi, "where", lambda: str(authority.file))
    resumed: list[bool] = []

    def serve(server: Peer, connection: socket.socket) -> None:
        assert isinstance(connection, ssl.SSLSocket)
        resumed.append(bool(connection.session_reused))
        answering(reply())(server, connection)

    tls = authority.server("127.0.0.1")
    tls.maximum_version = version
    transport = Transport(pool_size=1)
    with peer(serve, tls) as provider:
        for account in ("one", "one", "one", "another"):
            with session(provider.url, transport=transport, account=account, own=True) as calls:
                calls.post("/carts", {})
                order(calls)
    assert resumed == [False, True, True, False]


@pytest.mark.rule("SUB-7", "SUB-10")
@pytest.mark.parametrize(("age", "counts"), [("7", False), ("soon", False), ("0", True), (None, True)])
def test_a_look_up_is_answered_by_no_cache(age: str | None, counts: bool) -> None:
    """What a cache has kept from before an order proves nothing of it."""
    headers = {} if age is None else {"Age": age}
    with peer(answering(reply(b"[]", **headers))) as provider:
        with session(provider.url, own=True) as calls:
            if counts:
                assert calls.get("/orders").json() == []
            else:
                with pytest.raises(Unanswered, match="cache"):
                    calls.get("/orders")
        assert all(request.headers["cache-control"] == "no-cache" for request in provider.requests)


def test_what_is_kept_anyway_may_come_from_a_cache() -> None:
    with peer(answering(reply(b'{"menu": 1}', Age="7"))) as provider:
        with session(provider.url) as calls:
            assert calls.get("/menu").json() == {"menu": 1}
        with session(provider.url, own=True) as calls:
            assert calls.get("/menu", cache_for=60, check=lambda menu: menu.integer("menu")).json() == {"menu": 1}
        assert not any("cache-control" in request.headers for request in provider.requests)
