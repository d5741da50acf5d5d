"""A provider that costs next to nothing: prepared answers over HTTP/1.1 keep-alive, after a set delay.

``python -m bench.provider`` prints the port it listens on. ``POST /control`` with ``{"latency_ms": 50}`` sets
the delay; its answer has the connections and requests so far, and the last body of each path since the control
before. A connection counts from its first request that is not a control. Requests below ``/hanging`` are answered when
the next control comes, which says how many there were. The paths of LevelUp's API are answered too.
``python -m bench.provider CERTIFICATE`` (a PEM file with its key) listens over TLS too, and prints that port next.
"""

from __future__ import annotations

import asyncio
import json
import signal
import ssl
import sys
from collections.abc import Callable

import uvloop

PRICE = {
    "cart_id": "c-5f1d0a7e",
    "currency": "USD",
    "lines": [{"item_id": f"item-{number}", "quantity": 1 + number % 2, "amount": 1150} for number in range(1, 9)],
    "subtotal": 9200,
    "tax": 637,
    "tip": 200,
    "discount": 100,
    "total": 9937,
    "ready_at": "2036-06-01T16:30:00Z",
}
UUID = "00000000000000000000000000000000"
"""In answers: becomes a new one each time."""
HANGING = b"/hanging"
ANSWERS = {
    "/prices": PRICE,
    "/carts": {"cart_id": PRICE["cart_id"]},
    "/carts/c-5f1d0a7e/prices": {key: value for key, value in PRICE.items() if key not in ("cart_id", "ready_at")},
    "/orders": {"number": 17, "order_id": UUID, "ready_at": PRICE["ready_at"]},
    "/carts/c-5f1d0a7e/ready_time": {"ready_at": PRICE["ready_at"]},
    "/menu": {"items": 27_700},
    "/oauth2/token": {"access_token": "merchant-token", "token_type": "token", "merchant_id": 1},
    "/v15/access_tokens": {"access_token": {"token": "app-token"}},
    "/v15/apps/users": {"access_token": {"token": "user-token", "user_id": 1}},
    "/v15/proposed_orders": {"proposed_order": {"uuid": UUID, "discount_amount": 0}},
    "/v15/completed_orders": {
        "order": {"uuid": UUID, "spend_amount": 9837, "tip_amount": 200, "total_amount": 10037},
    },
}


def _response(status: str, body: object) -> bytes:
    content = json.dumps(body).encode()
    head = f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {len(content)}\r\n\r\n"
    return head.encode() + content


_PREPARED = {path.encode(): _response("200 OK", answer) for path, answer in ANSWERS.items()}
_NOT_FOUND = _response("404 Not Found", {"message": "nothing here"})


class Counts:
    """What ``/control`` sets and returns; ``latency`` is in seconds."""

    def __init__(self) -> None:
        self.latency = 0.0
        self.connections = 0
        self.requests = 0
        self.last: dict[bytes, bytes] = {}
        self.hanging: list[Callable[[], None]] = []

    def control(self, body: bytes) -> bytes:
        self.latency = json.loads(body)["latency_ms"] / 1000
        last = {path.decode(): content.decode() for path, content in self.last.items()}
        self.last = {}
        waiting, self.hanging = self.hanging, []
        for answer in waiting:
            answer()
        counted = {"connections": self.connections, "requests": self.requests, "hanging": len(waiting)}
        return _response("200 OK", {**counted, "last": last})


class Connection(asyncio.Protocol):
    """One connection; its client sends the next request only after the answer, as HTTP clients do."""

    def __init__(self, counts: Counts) -> None:
        self._counts = counts
        self._counted = False
        self._received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, end, body = self._received.partition(b"\r\n\r\n")
        if not end:
            return
        _, name, value = head.lower().partition(b"content-length:")
        if name and len(body) < int(value.partition(b"\r")[0]):
            return
        self._received = b""
        self._answer(head.split(b" ", 2)[1], body)

    def _answer(self, path: bytes, body: bytes) -> None:
        counts = self._counts
        if path == b"/control":
            self._write(counts.control(body))
            return
        counts.connections += not self._counted
        self._counted = True
        counts.requests += 1
        counts.last[path] = body
        answer = _PREPARED.get(path.removeprefix(HANGING), _NOT_FOUND)
        answer = answer.replace(UUID.encode(), b"%032x" % counts.requests)
        if path.startswith(HANGING):
            counts.hanging.append(lambda: self._write(answer))
        elif counts.latency:
            asyncio.get_running_loop().call_later(counts.latency, self._write, answer)
        else:
            self._write(answer)

    def _write(self, answer: bytes) -> None:
        if not self._transport.is_closing():
            self._transport.write(answer)  # type: ignore[attr-defined]


async def main(certificate: str | None = None) -> None:
    counts = Counts()
    loop = asyncio.get_running_loop()
    contexts: list[ssl.SSLContext | None] = [None]
    if certificate is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        contexts.append(context)
    servers = [
        await loop.create_server(lambda: Connection(counts), "127.0.0.1", 0, backlog=1024, ssl=context)
        for context in contexts
    ]
    for server in servers:
        print(server.sockets[0].getsockname()[1], flush=True)
    stopped = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, stopped.set)
    await stopped.wait()


if __name__ == "__main__":
    uvloop.run(main(*sys.argv[1:2]))
