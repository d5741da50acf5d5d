"""Callers that are slow, half open or malicious cost what they send, and hold nobody up."""

from __future__ import annotations

import random
import socket
import sqlite3
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing

import pytest

from bench.hostile import BODY, HEAD, HOSTILE, KEY, PATH, ask
from tests.servers.gateway import Gateway
from tests.servers.process import Server

THREADS = 2


@pytest.fixture(scope="module")
def server() -> Iterator[Gateway]:
    with Gateway(LEVELUP_OV_THREADS=str(THREADS)) as server:
        assert ask(server.port, "POST", PATH, BODY)[0] == 200
        yield server


def connect(server: Server) -> socket.socket:
    return socket.create_connection(("127.0.0.1", server.port), timeout=20)


def read_all(connection: socket.socket) -> bytes:
    received = b""
    while chunk := connection.recv(65536):
        received += chunk
    return received


@pytest.mark.rule("EP-9")
@pytest.mark.parametrize(("begin", "more"), [(begin, more) for _, begin, more in HOSTILE], ids=[n for n, *_ in HOSTILE])
def test_slow_callers_hold_no_thread(server: Server, begin: bytes, more: bytes) -> None:
    with ExitStack() as callers:
        slow = [callers.enter_context(connect(server)) for _ in range(20 * THREADS)]
        for each in slow:
            each.sendall(begin)
        for _ in range(3):
            assert ask(server.port, "POST", PATH, BODY)[0] == 200
            for each in slow[:5] if more else ():
                each.sendall(more)


def test_callers_that_never_read_hold_no_thread(server: Server) -> None:
    with ExitStack() as callers:
        for _ in range(10 * THREADS):
            caller = callers.enter_context(socket.socket())
            caller.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1024)
            caller.connect(("127.0.0.1", server.port))
            caller.sendall(b"GET /openapi.json HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert ask(server.port, "POST", PATH, BODY)[0] == 200


@pytest.mark.rule("EP-6")
@pytest.mark.parametrize("expecting", ["", "Expect: 100-continue\r\n"])
def test_the_key_is_checked_before_the_body_comes(server: Server, expecting: str) -> None:
    with connect(server) as caller:
        caller.sendall((HEAD + expecting + "Content-Length: 1000000\r\n\r\n").encode())
        assert caller.recv(65536).startswith(b"HTTP/1.1 401 ")


@pytest.mark.rule("EP-9")
def test_a_caller_that_asks_first_is_asked_to_continue(server: Server) -> None:
    with connect(server) as caller:
        caller.sendall((HEAD + KEY + f"Expect: 100-continue\r\nContent-Length: {len(BODY)}\r\n\r\n").encode())
        assert caller.recv(65536) == b"HTTP/1.1 100 Continue\r\n\r\n"
        caller.sendall(BODY)
        assert read_all(caller).startswith(b"HTTP/1.1 200 ")


@pytest.mark.rule("EP-9")
def test_a_request_may_come_byte_by_byte(server: Server) -> None:
    chunked = (HEAD + KEY + "Transfer-Encoding: chunked\r\n\r\n").encode()
    chunked += b"%x;ext=1\r\n%s\r\n%x\r\n%s\r\n0\r\nX-Sum: x\r\n\r\n" % (10, BODY[:10], len(BODY) - 10, BODY[10:])
    with connect(server) as caller:
        caller.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in chunked:
            caller.sendall(bytes([byte]))
        assert read_all(caller).startswith(b"HTTP/1.1 200 ")


@pytest.mark.rule("SUB-3")
@pytest.mark.parametrize("second", ["k1", "k2"])
def test_a_key_that_comes_twice_is_refused(server: Server, second: str) -> None:
    """A proxy may add it again when it repeats the request; joined by a comma it would be another key."""
    keys = f"Idempotency-Key: k1\r\nIdempotency-Key: {second}\r\n"
    with connect(server) as caller:
        caller.sendall((HEAD + KEY + keys + f"Content-Length: {len(BODY)}\r\n\r\n").encode() + BODY)
        answer = read_all(caller)
    assert answer.startswith(b"HTTP/1.1 400 ") and b'"code":"invalid_idempotency_key"' in answer


def test_a_balancer_may_connect_early(server: Server) -> None:
    with connect(server) as caller:
        time.sleep(5.5)  # longer than gunicorn itself waits for the first byte
        caller.sendall((HEAD + KEY + f"Content-Length: {len(BODY)}\r\n\r\n").encode() + BODY)
        assert read_all(caller).startswith(b"HTTP/1.1 200 ")


SPECIAL = (
    "SCRIPT_NAME", "Script-Name", "PATH_INFO", "Path-Info", "REQUEST_METHOD", "QUERY_STRING", "RAW_URI", "REMOTE_ADDR",
    "REMOTE_USER", "SERVER_NAME", "SERVER_PORT", "SERVER_PROTOCOL", "wsgi.input", "wsgi.url_scheme", "wsgi_errors",
    "HTTP_HOST", "Proxy", "X-Forwarded-Proto", "X-Forwarded-Protocol", "X-Forwarded-Ssl", "X-Forwarded-Host",
    "X-Forwarded-For", "X-Forwarded-Prefix", "Forwarded", "X-Http-Method-Override", "X-Original-Url", "X-Rewrite-Url",
    "Accept", "Accept-Charset", "Accept-Encoding", "Accept-Language", "Authorization", "Cache-Control", "Connection",
    "Content-Disposition", "Content-Encoding", "Content-MD5", "Content-Range", "Content-Type", "Cookie", "Date",
    "Expect", "Host", "HTTP2-Settings", "Idempotency-Key", "If-Match", "If-Modified-Since", "If-None-Match",
    "If-Range", "If-Unmodified-Since", "Keep-Alive", "Max-Forwards", "Origin", "Pragma", "Range", "Referer", "TE",
    "Trailer", "Upgrade", "User-Agent", "Via", "Warning", "X-Request-ID", "Sec-WebSocket-Key",
)  # fmt: skip
VALUES = (
    "", "/", "/x", "x", "/locations", "-1", "0", "999999999999999999999", "bytes=0-", "bytes=-1,5-2", "\xff\xfe", "%00",
    "close, upgrade", "h2c", "http://[", "[::1", "a:b:c", "a@b", "text/html;q=x", "application/json;charset=\xe9", "W/",
    '"', "Wed, 99 Foo 0000 99:99:99 GMT", "=", ";", ",,,", "token", "100-continue", "chunked", "a" * 4000,
)  # fmt: skip


@pytest.mark.rule("ERR-3")
@pytest.mark.parametrize("name", SPECIAL)
def test_no_header_of_a_caller_causes_a_500(server: Server, name: str) -> None:
    chance = random.Random(name)
    requests = [("GET", "/health"), ("GET", "/locations/sandbox.congress/menu"), ("POST", PATH), ("GET", "/nowhere")]
    for value in VALUES:
        method, path = chance.choice(requests)
        given = {"Host": "localhost", "Authorization": "token dev-key"}
        if method == "POST":
            given |= {"Content-Type": "application/json", "Content-Length": str(len(BODY))}
        given[name] = value
        head = "".join(f"{key}: {text}\r\n" for key, text in given.items())
        with connect(server) as caller:
            caller.sendall(f"{method} {path} HTTP/1.1\r\n{head}\r\n".encode("latin-1") + BODY * (method == "POST"))
            status = int(read_all(caller).split()[1])
        assert 200 <= status < 500, (method, path, value)


@pytest.mark.rule("ERR-3")
@pytest.mark.parametrize("line", [
    "OPTIONS * HTTP/1.1", "CONNECT localhost:80 HTTP/1.1", "TRACE / HTTP/1.1", "GET http://[/ HTTP/1.1",
    "GET //health HTTP/1.1", "GET /%00 HTTP/1.1", "GET /%ff%fe/menu HTTP/1.1", "GET /locations/%2e%2e/menu HTTP/1.1",
    "GET http://other/health HTTP/1.1", "PRI * HTTP/2.0", "GET /health HTTP/9.9", "GET /health", "\x16\x03\x01\x02",
    "GET /merchants?%ff=%zz HTTP/1.1", "HEAD /health HTTP/1.0",
])  # fmt: skip
def test_no_request_line_causes_a_500(server: Server, line: str) -> None:
    with connect(server) as caller:
        caller.sendall(f"{line}\r\nHost: localhost\r\n{KEY}\r\n".encode("latin-1"))
        assert 200 <= int(read_all(caller).split()[1]) < 500


def test_health_is_answered_while_all_threads_are_held(server: Gateway) -> None:
    data = server.directory / "data"
    with (
        closing(sqlite3.connect(data / "ledger.db", isolation_level=None)) as ledger,
        closing(sqlite3.connect(data / "sandbox.db", isolation_level=None)) as engine,
        ThreadPoolExecutor(3 * THREADS) as pool,
    ):
        for lock in (ledger, engine):
            lock.execute("BEGIN IMMEDIATE")
        held = [pool.submit(ask, server.port, "POST", PATH, BODY) for _ in range(3 * THREADS)]
        time.sleep(0.5)
        assert not any(each.done() for each in held)
        for path, status in (("/health", 200), ("/ready", 503)):
            found, seconds = ask(server.port, "GET", path)
            # Half a second is what the operating guide promises.
            assert (found, seconds < 0.5) == (status, True), path
        for lock in (ledger, engine):
            lock.execute("ROLLBACK")
        assert {each.result()[0] for each in held} <= {200, 503, 504}
