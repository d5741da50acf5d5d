"""The certifier's HTTP client: connections, bounds, and bodies of any kind."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from levelup_ov.certify.client import Client, LimitReached
from levelup_ov.domain.secret import Secret
from tests.certify.serving import running


class Counting(ThreadingHTTPServer):
    """Counts connections; ``drop`` ends each after its answer, without a word."""

    drop = False
    connections = 0
    daemon_threads = True
    seen: dict[str, Any]

    def get_request(self) -> Any:
        self.connections += 1
        return super().get_request()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.server.seen = {  # type: ignore[attr-defined]
            "path": self.path,
            "headers": dict(self.headers),
            "body": self.rfile.read(int(self.headers.get("Content-Length") or 0)),
        }
        if self.path.endswith("/silence"):
            self.close_connection = True
            return
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"{}")
        self.close_connection = self.server.drop  # type: ignore[attr-defined]

    do_POST = do_GET

    def log_message(self, *arguments: Any) -> None:
        pass


@pytest.fixture
def server() -> Counting:
    return Counting(("127.0.0.1", 0), Handler)


@pytest.fixture
def client(server: Counting) -> Iterator[Client]:
    with (
        running(server) as address,
        closing(Client(f"{address}/base/", Secret("key"), requests=20, seconds=60)) as client,
    ):
        yield client


def test_one_connection_serves_all_requests(client: Client, server: Counting) -> None:
    for _ in range(5):
        assert client.send("GET", "/merchants").ok
    assert server.connections == 1


def test_a_connection_that_was_closed_is_made_again(client: Client, server: Counting) -> None:
    server.drop = True
    for _ in range(3):
        assert client.send("POST", "/x", b"{}").ok


def test_no_answer_is_reported_and_not_asked_for_again(client: Client, server: Counting) -> None:
    exchange = client.send("GET", "/silence")
    assert (exchange.status, exchange.ok, exchange.refused, exchange.error) == (0, False, False, {})
    assert exchange.words.startswith("no answer: ")
    assert server.connections == 1


def test_a_request_goes_out_as_it_was_given(client: Client, server: Counting) -> None:
    exchange = client.send("POST", "/x", b"\xff{", {"Content-Type": "text/plain"}, scheme="Bearer")
    assert server.seen["path"] == "/base/x"
    assert server.seen["body"] == b"\xff{"
    assert server.seen["headers"]["Content-Type"] == "text/plain"
    assert server.seen["headers"]["Authorization"] == "Bearer key"
    assert "Authorization" not in exchange.sent
    client.send("GET", "/x", key=None)
    assert "Authorization" not in server.seen["headers"]


def test_requests_are_bounded(client: Client) -> None:
    for _ in range(20):
        client.send("GET", "/")
    with pytest.raises(LimitReached):
        client.send("GET", "/")


def test_time_is_bounded(server: Counting) -> None:
    with running(server) as address, closing(Client(address, None, requests=9, seconds=0)) as client:
        with pytest.raises(LimitReached):
            client.send("GET", "/")


@pytest.mark.parametrize("url", ["localhost:8000", "ftp://x", "http://", "http://user:pass@x", "http://x/?q=1"])
def test_an_invalid_service_address_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="expected an address"):
        Client(url, None, requests=1, seconds=1)
