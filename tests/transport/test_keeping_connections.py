"""How many connections the provider sees, and which address is tried."""

from __future__ import annotations

import socket
import threading
from typing import Any

import pytest

from levelup_ov.errors import Refused, Unanswered
from levelup_ov.transport import session as transport_module
from levelup_ov.transport.session import Reply, Transport
from tests.stopwatch import within
from tests.transport.wire import Peer, answering, closed_port, peer, read_request, reply, session, silent_port


def test_one_connection_serves_one_call_after_another() -> None:
    transport = Transport(pool_size=2)
    with peer(answering(reply())) as provider:
        for _ in range(20):
            session(provider.url, transport=transport).post("/orders", {"a": 1})
        assert (provider.connections, len(provider.requests)) == (1, 20)


def refuse(answer: Reply) -> Refused | None:
    return Refused("order_refused", "no") if answer.status == 409 else None


@pytest.mark.parametrize("status", [409, 404, 422, 429, 500, 503, 504, 302, 202, 203, 204, 206, 304])
def test_a_pool_takes_back_only_what_was_understood(status: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport_module, "BACKOFF", 0.001)
    transport = Transport(pool_size=2)
    with peer(answering(reply(b"" if status in (204, 304) else b"{}", status))) as provider:
        for _ in range(3):
            with pytest.raises((Unanswered, Refused)):
                session(provider.url, transport=transport, error_from=refuse).post("/orders", {})
        assert provider.connections == (1 if status == 409 else len(provider.requests))


def test_a_pool_as_large_as_the_threads_opens_no_more() -> None:
    threads = 16
    transport = Transport(pool_size=threads)
    together = threading.Barrier(threads)

    def work(url: str) -> None:
        for _ in range(5):
            together.wait(10)
            session(url, transport=transport).get("/")

    with peer(answering(reply())) as provider:
        workers = [threading.Thread(target=work, args=(provider.url,)) for _ in range(threads)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join(20)
        assert len(provider.requests) == 5 * threads
        assert provider.connections <= threads


def test_a_connection_amid_an_answer_is_not_used_again() -> None:
    def serve(server: Peer, connection: socket.socket) -> None:
        while (request := read_request(connection)) is not None:
            server.requests.append(request)
            if request.line.startswith("GET /slow"):
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\n{")
                server.pause(0.4)
                connection.sendall(b'"slow": 1}')
            else:
                connection.sendall(reply(b'{"quick": 1}'))

    transport = Transport(pool_size=1)
    with peer(serve) as provider:
        with pytest.raises(Unanswered):
            session(provider.url, transport=transport, seconds=0.2).get("/slow")
        assert session(provider.url, transport=transport).get("/quick").json() == {"quick": 1}


@pytest.fixture
def addresses(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Ports of 127.0.0.1 that the name provider.invalid resolves to, in this order."""
    ports: list[int] = []

    def resolve(host: str, port: int, *args: Any, **kwargs: Any) -> list[Any]:
        assert host == "provider.invalid"
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", each)) for each in ports]

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    return ports


def test_the_next_address_is_tried_where_the_first_refuses(addresses: list[int]) -> None:
    with closed_port() as port, peer(answering(reply())) as provider:
        addresses[:] = [port, port, provider.port]
        calls = session("http://provider.invalid")
        assert calls.post("/orders", {}, places_order=True).ok
        assert (len(calls.calls), provider.connections) == (1, 1)


@pytest.mark.rule("SUB-6")
def test_a_dead_address_leaves_time_for_the_next(addresses: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport_module, "CONNECT_TIMEOUT", 0.6)
    with silent_port() as port, peer(answering(reply())) as provider, within(0.3):
        addresses[:] = [port, provider.port]
        calls = session("http://provider.invalid")
        assert calls.post("/orders", {}, places_order=True).ok
        assert len(calls.calls) == 1


@pytest.mark.rule("SUB-5", "SUB-6")
def test_all_addresses_together_keep_the_connect_time(addresses: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport_module, "CONNECT_TIMEOUT", 0.4)
    monkeypatch.setattr(transport_module, "ATTEMPTS", 1)
    with silent_port() as port, within(0.4), pytest.raises(Unanswered) as caught:
        addresses[:] = [port, port, port, port]
        session("http://provider.invalid").post("/orders", {})
    assert not caught.value.sent
