"""The load generator: bursts of one request, N clients at a time, each sending its next after its answer.

Reads one burst per line from standard input, ``{"port", "path", "headers", "body", "clients", "requests"}``, and
answers with one line: ``{"seconds", "latencies_ms", "reconnects", "failures"}``. A server that closes its connections
is reconnected to, and the time for that is part of the latency.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import sys
from time import perf_counter
from typing import Any

import uvloop

from bench.order import API_KEY, NUMBER

_NUMBERS = itertools.count(1)


class Burst:
    """A fixed number of requests, shared by all clients."""

    def __init__(self, port: int, path: str, headers: dict[str, str], body: str, clients: int, requests: int) -> None:
        fields = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        self.message = (
            f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: token {API_KEY}\r\nAccept: application/json\r\n"
            f"{fields}Content-Type: application/json\r\nContent-Length: {len(body.encode())}\r\n\r\n{body}"
        ).encode()
        self._numbered = NUMBER.encode() in self.message
        self._address = ("127.0.0.1", port)
        self._clients = clients
        self._requests = requests
        self._begun = 0
        self._loop = asyncio.get_running_loop()
        self._done = self._loop.create_future()
        self._tasks: set[asyncio.Task[Any]] = set()
        self.latencies: list[float] = []
        self.failures: dict[str, int] = {}
        self.reconnects = 0

    async def run(self) -> dict[str, Any]:
        started = perf_counter()
        for _ in range(self._clients):
            self.connect()
        await self._done
        return {
            "seconds": perf_counter() - started,
            "latencies_ms": [round(latency * 1000, 3) for latency in self.latencies],
            "reconnects": self.reconnects,
            "failures": self.failures,
        }

    def next_message(self) -> bytes:
        """The request, with a number of its own where there is to be one."""
        if not self._numbered:
            return self.message
        return self.message.replace(NUMBER.encode(), b"number-%010d" % next(_NUMBERS))

    def begin(self) -> bool:
        """Whether one more request is to be sent."""
        self._begun += 1
        return self._begun <= self._requests

    def end(self, started: float, failure: str | None = None) -> None:
        self.latencies.append(perf_counter() - started)
        if failure is not None:
            self.failures[failure] = self.failures.get(failure, 0) + 1
        if len(self.latencies) == self._requests:
            self._done.set_result(None)

    def connect(self) -> None:
        if self.begin():
            self._open(perf_counter())

    def again(self, started: float) -> None:
        """Send a request again if its connection was closed before a byte of the answer."""
        self.reconnects += 1
        self._open(started)

    def _open(self, started: float) -> None:
        task = self._loop.create_task(self._loop.create_connection(lambda: Client(self, started), *self._address))
        self._tasks.add(task)
        task.add_done_callback(lambda done: self._opened(done, started))

    def _opened(self, task: asyncio.Task[Any], started: float) -> None:
        self._tasks.discard(task)
        if task.exception() is not None:
            self.end(started, "not connected")


class Client(asyncio.Protocol):
    """One connection to the server; ``started`` is when its first request wanted to go out."""

    def __init__(self, burst: Burst, started: float) -> None:
        self._burst = burst
        self._started = started
        self._received = b""
        self._fresh = True
        self._waiting = True

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        transport.write(self._burst.next_message())  # type: ignore[attr-defined]

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, end, body = self._received.partition(b"\r\n\r\n")
        if not end:
            return
        fields = head.lower()
        length = fields.partition(b"content-length:")[2].partition(b"\r")[0]
        if len(body) < int(length):
            return
        status = head[9:12].decode()
        self._received = b""
        self._waiting = False
        closes = b"\nconnection: close" in fields
        self._burst.end(self._started, None if status == "200" else status)
        if closes:
            self._transport.close()
            self._burst.connect()
        elif self._burst.begin():
            self._started = perf_counter()
            self._waiting = True
            self._fresh = False
            self._transport.write(self._burst.next_message())  # type: ignore[attr-defined]
        else:
            self._transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        if not self._waiting:
            return
        if self._fresh or self._received:
            self._burst.end(self._started, "dropped")
            self._burst.connect()
        else:
            self._burst.again(self._started)


async def _run(burst: dict[str, Any]) -> dict[str, Any]:
    return await Burst(**burst).run()


if __name__ == "__main__":
    for line in sys.stdin:
        print(json.dumps(uvloop.run(_run(json.loads(line)))), flush=True)
