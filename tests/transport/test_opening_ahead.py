"""A connection that is opened in the background, for a session that soon places an order over it."""

from __future__ import annotations

import socket
import ssl
import threading
from pathlib import Path

import pytest

from levelup_ov.errors import Unanswered
from levelup_ov.transport import connections, net
from levelup_ov.transport.connections import OwnConnections
from levelup_ov.transport.deadline import Deadline
from levelup_ov.transport.session import Session, Transport
from tests.transport.certificates import Authority
from tests.transport.wire import Peer, answering, closed_port, peer, reply, session

pytestmark = pytest.mark.rule("SUB-2", "SUB-6")


class Ahead:
    """Connections of a session to a peer that are opened ahead."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.transport = Transport(pool_size=1)
        self.own = OwnConnections()

    def open(self, seconds: float = 5) -> None:
        self.transport.open_ahead("one", self.url, self.own, Deadline(seconds))

    def session(self, seconds: float = 5) -> Session:
        return session(self.url, transport=self.transport, own=True, ahead=self.own, seconds=seconds)


def test_a_session_uses_the_connection_opened_for_it() -> None:
    with peer(answering(reply())) as provider:
        ahead = Ahead(provider.url)
        ahead.open()
        with ahead.session() as calls:
            calls.post("/carts", {})
            calls.post("/orders", {}, places_order=True)
        with ahead.session() as others:
            others.post("/orders", {}, places_order=True)
        assert (provider.connections, len(provider.requests)) == (2, 3)
    assert [call.new_connection for call in calls.calls] == [True, False]


def test_it_is_closed_when_it_is_not_needed() -> None:
    accepted, ended = threading.Event(), threading.Event()

    def serve(server: Peer, connection: socket.socket) -> None:
        accepted.set()
        assert connection.recv(1) == b""
        ended.set()

    with peer(serve) as provider:
        ahead = Ahead(provider.url)
        ahead.open()
        assert accepted.wait(5)
        ahead.own.close()
        assert ended.wait(5)


def test_one_that_is_still_being_opened_is_closed_too(monkeypatch: pytest.MonkeyPatch) -> None:
    asked, go_on, ended = threading.Event(), threading.Event(), threading.Event()
    real = net.connect

    def connect(*args: object) -> socket.socket:
        asked.set()
        assert go_on.wait(5)
        return real(*args)  # type: ignore[arg-type]

    def serve(server: Peer, connection: socket.socket) -> None:
        assert connection.recv(1) == b""
        ended.set()

    monkeypatch.setattr(net, "connect", connect)
    with peer(serve) as provider:
        ahead = Ahead(provider.url)
        ahead.open()
        assert asked.wait(5)
        ahead.own.close()
        go_on.set()
        assert ended.wait(5)


@pytest.mark.rule("SUB-5")
@pytest.mark.parametrize("trouble", ["bytes", "end"])
def test_one_on_which_something_waits_is_not_used(trouble: str) -> None:
    did = threading.Event()

    def serve(server: Peer, connection: socket.socket) -> None:
        if server.connections == 1:
            if trouble == "bytes":
                connection.sendall(reply(b'{"order": "another guest\'s"}'))
                did.set()
                connection.recv(1)
            connection.close()
            did.set()
            return
        answering(reply(b'{"order": "ours"}'))(server, connection)

    with peer(serve) as provider:
        ahead = Ahead(provider.url)
        ahead.open()
        assert did.wait(5)
        with ahead.session() as calls:
            assert calls.post("/orders", {}, places_order=True).json() == {"order": "ours"}
        assert provider.connections == 2


def test_one_that_waited_too_long_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "AHEAD", 0)
    with peer(answering(reply())) as provider:
        ahead = Ahead(provider.url)
        ahead.open()
        with ahead.session() as calls:
            calls.post("/orders", {}, places_order=True)
        assert (provider.connections, len(provider.requests)) == (2, 1)


def test_one_that_comes_too_late_delays_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    go_on, real = threading.Event(), net.connect

    def connect(*args: object) -> socket.socket:
        if threading.current_thread() is not threading.main_thread():
            assert go_on.wait(5)
        return real(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(net, "connect", connect)
    with peer(answering(reply())) as provider:
        ahead = Ahead(provider.url)
        ahead.open()
        with ahead.session(seconds=0.2) as calls, pytest.raises(Unanswered) as caught:
            calls.get("/")
        go_on.set()
        assert provider.requests == []
    assert (caught.value.code, caught.value.sent) == ("provider_timeout", False)


def test_where_it_fails_the_session_says_why() -> None:
    with closed_port() as port:
        ahead = Ahead(f"http://127.0.0.1:{port}")
        ahead.open()
        with ahead.session() as calls, pytest.raises(Unanswered) as caught:
            calls.post("/orders", {}, places_order=True)
    assert (caught.value.code, caught.value.sent, calls.placing) == ("provider_unavailable", False, False)


def test_where_no_thread_can_be_started_the_session_connects(monkeypatch: pytest.MonkeyPatch) -> None:
    def beside(work: object) -> object:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(net, "beside", beside)
    with peer(answering(reply())) as provider:
        ahead = Ahead(provider.url)
        ahead.open()
        with ahead.session() as calls:
            calls.post("/orders", {}, places_order=True)
        assert (provider.connections, len(provider.requests)) == (1, 1)


def test_it_resumes_the_session_of_tls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    authority = Authority(tmp_path)
    monkeypatch.setattr(connections.certifi, "where", lambda: str(authority.file))
    resumed: list[bool] = []

    def serve(server: Peer, connection: socket.socket) -> None:
        assert isinstance(connection, ssl.SSLSocket)
        resumed.append(bool(connection.session_reused))
        answering(reply())(server, connection)

    with peer(serve, authority.server("127.0.0.1")) as provider:
        ahead = Ahead(provider.url)
        for _ in range(3):
            ahead.open()
            with ahead.session() as calls:
                calls.post("/orders", {}, places_order=True)
    assert resumed == [False, True, True]
