"""Servers of raw sockets on the loopback interface, which do on the wire what a test says."""

from __future__ import annotations

import io
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from time import sleep
from typing import Any

from levelup_ov.errors import Refused
from levelup_ov.transport.deadline import Deadline
from levelup_ov.transport.placement import LastLook, Placement
from levelup_ov.transport.session import Reply, Session, Transport

DROP = b""
"""In a script of answers: close the connection without a word."""


@dataclass(frozen=True, slots=True)
class Request:
    """What arrived: the request line, the headers with lower-case names, the body."""

    line: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Peer:
    """A server; every connection runs ``serve`` in a thread of its own."""

    serve: Callable[[Peer, socket.socket], None]
    tls: ssl.SSLContext | None = None
    requests: list[Request] = field(default_factory=list)
    connections: int = 0

    def __post_init__(self) -> None:
        self._stop = threading.Event()
        self._threads: list[threading.Thread] = []
        self._sockets: list[socket.socket] = []
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self.listener.getsockname()[1]
        self._serving = 0
        self._start(self._accept)

    @property
    def url(self) -> str:
        return f"{'https' if self.tls else 'http'}://127.0.0.1:{self.port}"

    @property
    def stopped(self) -> bool:
        return self._stop.is_set()

    @property
    def is_serving(self) -> bool:
        """Whether a connection is being served."""
        return self._serving > 0

    def pause(self, seconds: float) -> None:
        """Wait, but not beyond the end of the test."""
        self._stop.wait(seconds)

    def _start(self, target: Callable[..., None], *args: Any) -> None:
        thread = threading.Thread(target=target, args=args, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            self.connections += 1
            self._sockets.append(connection)
            self._start(self._run, connection)

    def _run(self, connection: socket.socket) -> None:
        self._serving += 1
        try:
            if self.tls is not None:
                connection = self.tls.wrap_socket(connection, server_side=True)
                self._sockets.append(connection)
            self.serve(self, connection)
        except OSError:
            pass  # the caller went away, as it may
        finally:
            self._serving -= 1
            connection.close()

    def refuse(self) -> None:
        """Take no further connection."""
        with suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()

    def stop(self) -> None:
        self._stop.set()
        self.refuse()
        for connection in self._sockets:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(5)
            assert not thread.is_alive()


@contextmanager
def peer(serve: Callable[[Peer, socket.socket], None], tls: ssl.SSLContext | None = None) -> Iterator[Peer]:
    """A :class:`Peer` for one test."""
    server = Peer(serve, tls)
    try:
        yield server
    finally:
        server.stop()


def read_request(connection: socket.socket) -> Request | None:
    """The next request of a connection; None when the caller has closed it."""
    data = b""
    while b"\r\n\r\n" not in data:
        if not (chunk := connection.recv(65536)):
            return None
        data += chunk
    head, _, body = data.partition(b"\r\n\r\n")
    line, *fields = head.decode("latin-1").split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (field.partition(":") for field in fields)}
    while len(body) < int(headers.get("content-length", 0)):
        if not (chunk := connection.recv(65536)):
            return None
        body += chunk
    return Request(line, headers, body)


def reply(body: bytes = b"{}", status: int = 200, **headers: str) -> bytes:
    """The bytes of an answer. Header names are given with underscores."""
    fields = {"Content_Type": "application/json", "Content_Length": str(len(body)), **headers}
    lines = [f"HTTP/1.1 {status} Status", *(f"{name.replace('_', '-')}: {value}" for name, value in fields.items())]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def answering(*answers: bytes) -> Callable[[Peer, socket.socket], None]:
    """Answer the requests of all connections in turn, the last answer again and again; keeps connections."""

    def serve(server: Peer, connection: socket.socket) -> None:
        while (request := read_request(connection)) is not None:
            server.requests.append(request)
            answer = answers[min(len(server.requests), len(answers)) - 1]
            if answer == DROP:
                return
            connection.sendall(answer)

    return serve


def dripping(start: bytes, drip: bytes, every: float = 0.05) -> Callable[[Peer, socket.socket], None]:
    """Answer with ``start`` at once and then with one ``drip`` after another, for ever."""

    def serve(server: Peer, connection: socket.socket) -> None:
        while (request := read_request(connection)) is not None:
            server.requests.append(request)
            connection.sendall(start)
            while not server.stopped:
                connection.sendall(drip)
                server.pause(every)

    return serve


def session(
    base_url: str,
    *,
    seconds: float = 5,
    transport: Transport | None = None,
    account: str = "one",
    headers: dict[str, str] | None = None,
    error_from: Callable[[Reply], Refused | None] = lambda reply: None,
    last_look: LastLook | None = None,
    **more: Any,
) -> Session:
    """Calls to ``base_url`` within ``seconds``."""
    return Session(
        transport or Transport(pool_size=4),
        account,
        base_url=base_url,
        headers=headers or {},
        error_from=error_from,
        deadline=Deadline(seconds),
        placement=Placement(last_look),
        **more,
    )


@contextmanager
def closed_port() -> Iterator[int]:
    """A port that refuses connections for as long as the block runs: it is bound and does not listen."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield bound.getsockname()[1]


@contextmanager
def silent_port() -> Iterator[int]:
    """A port on which connecting gets no answer at all: its queue of connections is full."""
    with socket.socket() as listener, socket.socket() as first, socket.socket() as second:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for filler in (first, second):
            filler.setblocking(False)
            filler.connect_ex(listener.getsockname())
        sleep(0.05)
        yield listener.getsockname()[1]


class Received(io.RawIOBase):
    """What ``connection`` receives, as a file."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        return self._connection.recv_into(buffer)
