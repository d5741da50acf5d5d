"""A network that misbehaves: between the service and the engine, one fault per call, chosen by the caller.

The proxy reads each call whole, asks ``choose`` for the name of a fault and does it. Faults are the table
:data:`FAULTS`. ``refused`` and ``connect time-out`` happen before there is a call: they are windows of time in
which a port takes no connections (:meth:`Proxy.closed`, :meth:`Proxy.deaf`).
"""

from __future__ import annotations

import http.client
import json
import random
import re
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from tests.faults import vendure_calls

KINDS: Mapping[str, str] = {
    "locations": r"GET /v1/locations",
    "menu": r"GET /v1/locations/[^/]+/menu",
    "cart": r"POST /v1/locations/[^/]+/carts",
    "refill": r"PUT /v1/carts/[^/]+",
    "order": r"POST /v1/carts/[^/]+/orders",
    "lookup": r"GET /v1/locations/[^/]+/orders",
    "account": r"POST /v1/accounts",
    "session": r"POST /v1/sessions",
    "fence": r"POST /v1/locations/[^/]+/voids",
    # FFTP's. A request for the price differs from an order by its total.
    "restaurant": r"GET /\.well-known/fftp\.json",
    "dishes": r"GET /fftp/v1/menu",
    "orders": r"GET /fftp/v1/orders",
    "placing": r"POST /fftp/v1/orders",
    "paid": r"POST /fftp/v1/orders/[^/]+/paid",
    "kept": r"GET /fftp/v1/orders/[^/]+",
    # LevelUp's.
    "propose": r"POST /v15/proposed_orders",
    "charge": r"POST /v15/completed_orders",
    "refund": r"POST /v15/orders/[^/]+/refund",
    "history": r"GET /v15/users/orders",
    "charge read": r"GET /v15/merchants/\d+/orders/[^/]+",
}
"""The calls that the service makes: of the sandbox engine's interface, of FFTP's, and of LevelUp's; for Vendure's see
:mod:`tests.faults.vendure_calls`."""
NONE = "none"
DRIP_EVERY = 0.2
LATE_BY = (0.3, 1.3)
"""Seconds by which a call may reach the engine after its connection broke; within the grace of the tests."""
SLOW_BY = (0.2, 1.2)

_RESET = struct.pack("ii", 1, 0)
_IMPOSSIBLE = 10**14
"""Cents; a call of FFTP with more asks for the price."""
_BADLY = (504, 502, 408, 302, 422, 204, 304, 202, 203, 206)
"""What a proxy may answer while the provider still works."""
_EMPTY = {"lookup": b'{"orders": []}', "orders": b"[]"}
"""How a provider says that it has no order."""
_SAY_NOTHING = {body.replace(b" ", b"") for body in _EMPTY.values()}


def _empty(call: Call) -> bytes:
    """What the provider of a call says where it has nothing."""
    if call.target == vendure_calls.PATH and call.kind == "lookup":
        return vendure_calls.nothing(json.loads(call.body))
    return _EMPTY.get(call.kind, b"{}")


class Dropped(Exception):
    """The engine's answer did not come."""


@dataclass(frozen=True, slots=True)
class Call:
    """One call of the service. ``marker``: the customer's phone number, where the call can be tied to one."""

    kind: str
    method: str
    target: str
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)
    marker: str | None
    number: int
    """How many of this kind and marker came before."""


@dataclass
class Exchange:
    """What a fault works with."""

    proxy: Proxy
    call: Call
    connection: socket.socket
    random: random.Random

    def forward(self) -> tuple[int, bytes]:
        """Let the engine have the call; its status and body. :raises Dropped: it gave no answer."""
        engine = http.client.HTTPConnection("127.0.0.1", self.proxy.engine_port, timeout=30)
        try:
            engine.request(self.call.method, self.call.target, self.call.body or None, dict(self.call.headers))
            response = engine.getresponse()
            body = response.read()
        except (OSError, http.client.HTTPException):
            raise Dropped from None
        finally:
            engine.close()
            self.proxy.note_forwarded(self.call)
        self.proxy.learn(self.call, response.status, body)
        return response.status, body

    def pass_on(self, status: int, body: bytes, **headers: str) -> None:
        self.connection.sendall(head(status, len(body), **headers) + body)

    def later(self, status: int, body: bytes) -> None:
        """An answer for the time when the next call comes on this connection, or the next of this kind, if one does."""
        kind = self.call.kind if self.random.random() < 0.7 else None
        self.proxy.leave(self.connection, kind, head(status, len(body)) + body)

    def drip(self, data: bytes) -> None:
        for position in range(len(data)):
            self.connection.sendall(data[position : position + 1])
            if self.proxy.stopping.wait(self.proxy.drip_every):
                return

    def pause(self, span: tuple[float, float]) -> None:
        self.proxy.stopping.wait(self.random.uniform(*span))


def head(status: int, length: int, **headers: str) -> bytes:
    """Status line and headers; names of headers with underscores."""
    fields = {"Content-Type": "application/json", "Content-Length": str(length)}
    fields.update({name.replace("_", "-"): value for name, value in headers.items()})
    lines = [f"HTTP/1.1 {status} Status", *(f"{name}: {value}" for name, value in fields.items())]
    return "\r\n".join(lines).encode() + b"\r\n\r\n"


# Each gives whether the connection may serve another call.


def _none(exchange: Exchange) -> bool:
    exchange.pass_on(*exchange.forward())
    return True


def _reset(exchange: Exchange) -> bool:
    exchange.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    return False


def _late(exchange: Exchange) -> bool:
    """The caller sees a broken connection; the call arrives all the same, a moment later."""
    exchange.connection.shutdown(socket.SHUT_RDWR)
    exchange.pause(LATE_BY)
    exchange.forward()
    return False


def _lost(exchange: Exchange) -> bool:
    exchange.forward()
    return _reset(exchange) if exchange.random.random() < 0.5 else False


def _drip_headers(exchange: Exchange) -> bool:
    status, body = exchange.forward()
    exchange.drip(head(status, len(body)) + body)
    return False


def _drip_body(exchange: Exchange) -> bool:
    status, body = exchange.forward()
    exchange.connection.sendall(head(status, len(body)))
    exchange.drip(body)
    return False


def _garbage(exchange: Exchange) -> bool:
    exchange.forward()
    exchange.connection.sendall(exchange.random.randbytes(40) + b"\r\n\r\n")
    return False


def _cut_json(exchange: Exchange) -> bool:
    """JSON that ends early: with the length that it has, or closed before the length that was promised."""
    status, body = exchange.forward()
    part = body[: exchange.random.randrange(len(body) - 1)]
    whole = exchange.random.random() < 0.5
    exchange.connection.sendall(head(status, len(part) if whole else len(body)) + part)
    return whole


def _failing(exchange: Exchange) -> bool:
    exchange.pass_on(exchange.random.choice((500, 502, 503)), b"<h1>down</h1>")
    return True


def _failed(exchange: Exchange) -> bool:
    exchange.forward()
    exchange.pass_on(exchange.random.choice((500, 502, 503, 504)), b"{}")
    return True


def _limited(exchange: Exchange) -> bool:
    exchange.pass_on(429, b"{}")
    return True


def _limited_for(exchange: Exchange) -> bool:
    exchange.pass_on(429, b"{}", Retry_After="1")
    return True


def _redirecting(status: int) -> Fault:
    def redirect(exchange: Exchange) -> bool:
        exchange.pass_on(status, b"", Location=f"http://127.0.0.1:{exchange.proxy.ports[0]}/trap")
        return True

    return redirect


def _slow(exchange: Exchange) -> bool:
    exchange.pause(SLOW_BY)
    return _none(exchange)


def _twice(exchange: Exchange) -> bool:
    """The network delivers the call twice; the answer to either comes back.

    For what reads or prices it is harmless by nature. For the placing call it is what no caller can prevent:
    there the engine's rule of one order per cart must hold, and the refusal of the second must not be taken
    for a refusal of the order.
    """
    answers = [exchange.forward(), exchange.forward()]
    exchange.pass_on(*exchange.random.choice(answers))
    return True


def _twice_second(exchange: Exchange) -> bool:
    exchange.forward()
    exchange.pass_on(*exchange.forward())
    return True


def _silent(exchange: Exchange) -> bool:
    """Never forwarded, never answered."""
    exchange.proxy.stopping.wait(30)
    return False


def _mute(exchange: Exchange) -> bool:
    """Forwarded, never answered."""
    exchange.forward()
    return _silent(exchange)


def _badly(exchange: Exchange) -> bool:
    """Something before the provider answers for it; the provider's own answer comes late, if the connection lives."""
    answer = exchange.forward()
    status = exchange.random.choice(_BADLY)
    exchange.pass_on(status, b"" if status in (204, 304) else b"{}")
    exchange.later(*answer)
    return True


def _hinted(exchange: Exchange) -> bool:
    """An interim answer comes before the answer itself."""
    exchange.connection.sendall(_HINTS)
    return _none(exchange)


def _only_hinted(exchange: Exchange) -> bool:
    """An interim answer comes, and the answer itself not before the next call."""
    answer = exchange.forward()
    exchange.connection.sendall(_HINTS)
    exchange.later(*answer)
    return True


def _doubled(exchange: Exchange) -> bool:
    status, body = exchange.forward()
    exchange.connection.sendall((head(status, len(body)) + body) * 2)
    return True


def _doubled_late(exchange: Exchange) -> bool:
    """The answer comes again when the next call is awaiting its own."""
    answer = exchange.forward()
    exchange.pass_on(*answer)
    exchange.later(*answer)
    return True


def _anothers(exchange: Exchange) -> bool:
    """The answer to the same call of another guest, or none."""
    exchange.forward()
    answer = exchange.proxy.answer_of_another(exchange.call)
    if answer is None:
        return False
    exchange.pass_on(*answer)
    return True


def _without_proof(exchange: Exchange) -> bool:
    """A success without an order, with what the provider says where it has nothing."""
    status = exchange.random.choice((202, 203, 206))
    exchange.pass_on(status, _empty(exchange.call))
    return True


def _nothing_late(exchange: Exchange) -> bool:
    """A time-out of something before the provider; "nothing" comes when the next call awaits its answer."""
    exchange.pass_on(504, b"{}")
    exchange.later(200, _empty(exchange.call))
    return True


def _not_kept(exchange: Exchange) -> bool:
    """The order is confirmed, as FFTP does, and the provider never had it."""
    if exchange.call.kind != "placing":
        return _lost(exchange)
    order = json.loads(exchange.call.body)
    made_up = f"{exchange.random.randrange(16**12):012x}"
    answer = {
        "order_id": f"ord_{made_up}", "ticket_number": f"T-{made_up[:6]}", "status": "received",
        "total_cents": order["client_total_cents"], "eta_minutes": 20, "customer_name": order["customer_name"],
        "payment_proof": order["payment_proof"], "paid": False, "lines": order["lines"],
    }  # fmt: skip
    exchange.pass_on(201, json.dumps(answer).encode())
    return True


_HINTS = b"HTTP/1.1 103 Early Hints\r\nLink: </style.css>\r\n\r\n"

Fault = Callable[[Exchange], bool]

FAULTS: Mapping[str, Fault] = {
    NONE: _none,
    "reset before reading": _reset,
    "reset after reading": _reset,
    "answer lost": _lost,
    "delivered late": _late,
    "headers dripped": _drip_headers,
    "body dripped": _drip_body,
    "garbage": _garbage,
    "JSON cut short": _cut_json,
    "5xx, not forwarded": _failing,
    "5xx after forwarding": _failed,
    "429": _limited,
    "429, Retry-After": _limited_for,
    "302": _redirecting(302),
    "307": _redirecting(307),
    "slow": _slow,
    "delivered twice": _twice,
    "answered badly, then late": _badly,
    "103 before": _hinted,
    "103, then late": _only_hinted,
    "doubled": _doubled,
    "doubled, late": _doubled_late,
    "another guest's": _anothers,
    "2xx without proof": _without_proof,
    "nothing, late": _nothing_late,
    "201, not kept": _not_kept,
}
"""What a campaign chooses from."""
_SCRIPTED: Mapping[str, Fault] = {"silent": _silent, "mute": _mute, "twice, second answer": _twice_second}
"""Further faults, for tests of one thing."""

Choose = Callable[[Call], "str | Fault"]


class Proxy:
    """Serves on ``ports`` of the loopback interface until :meth:`stop`; a thread for each connection."""

    def __init__(self, engine_port: int, choose: Choose = lambda call: NONE, *, ports: int = 1, seed: str = "") -> None:
        self.engine_port = engine_port
        self.choose = choose
        self.drip_every = DRIP_EVERY
        self.stopping = threading.Event()
        self.calls: list[tuple[Call, str]] = []
        self.forwarded: list[Call] = []
        self.trapped = 0
        self.connections = 0
        self._seed = seed
        self._lock = threading.Lock()
        self._numbers: dict[tuple[str, str | None], int] = {}
        self._markers: dict[str, str] = {}
        self._sockets: dict[int, set[socket.socket]] = {}
        self._left: dict[socket.socket, tuple[str | None, bytes]] = {}
        self._last: dict[str, list[tuple[str | None, int, bytes]]] = {}
        listeners = [socket.create_server(("127.0.0.1", 0), backlog=256) for _ in range(ports)]
        self.ports = [listener.getsockname()[1] for listener in listeners]
        self._listeners = dict(zip(self.ports, listeners, strict=True))
        for port, listener in self._listeners.items():
            self._listen(port, listener)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.ports[0]}"

    def __enter__(self) -> Proxy:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        self.stopping.set()
        for port in self.ports:
            self._close(port)

    def count(self, kind: str) -> int:
        """How many calls of a kind have come."""
        return sum(call.kind == kind for call, _ in self.calls)

    @contextmanager
    def closed(self, port: int) -> Iterator[None]:
        """Refuse connections at ``port`` for as long as the block runs; those that are open break."""
        self._close(port)
        # Bound, but not listening: no other process can take the port.
        with socket.socket() as bound:
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            bound.bind(("127.0.0.1", port))
            yield
        self._open(port, 256)

    @contextmanager
    def deaf(self, port: int) -> Iterator[None]:
        """Leave connecting to ``port`` without an answer: its queue is full and nobody takes from it."""
        self._close(port)
        with socket.create_server(("127.0.0.1", port), backlog=0) as listener:
            fillers = [socket.socket() for _ in range(2)]
            for filler in fillers:
                filler.setblocking(False)
                filler.connect_ex(listener.getsockname())
            yield
            for filler in fillers:
                filler.close()
        self._open(port, 256)

    def note_forwarded(self, call: Call) -> None:
        with self._lock:
            self.forwarded.append(call)

    def learn(self, call: Call, status: int, body: bytes) -> None:
        """Keep the answer, and tie a cart or an order to its customer, so that calls about it can be, too."""
        names_nobody = body.replace(b" ", b"").strip() in _SAY_NOTHING or vendure_calls.names_nobody(body)
        if status in (200, 201) and not names_nobody:
            # A refusal, or an empty list, does not say whose it is: that no proxy mixes them up has to be relied on.
            with self._lock:
                last = self._last.setdefault(call.kind, [])
                last.append((call.marker, status, body))
                del last[:-4]
        if call.marker and call.kind == "placing" and (made := re.search(rb'"order_id": *"([^"]+)"', body)):
            self._markers[made[1].decode()] = call.marker
        if call.marker and call.kind == "cart" and (found := re.search(rb'"cart": *{[^}]*"id": *"([^"]+)"', body)):
            self._markers[found[1].decode()] = call.marker
        if (
            call.marker
            and call.kind == "cart"
            and call.target == vendure_calls.PATH
            and (code := vendure_calls.cart_in(body))
        ):
            self._markers[code] = call.marker

    def leave(self, connection: socket.socket, kind: str | None, data: bytes) -> None:
        """Bytes for the time when the next call comes on ``connection``, of a ``kind`` or (None) of any."""
        self._left[connection] = kind, data

    def answer_of_another(self, call: Call) -> tuple[int, bytes] | None:
        """What another guest was last answered to a call of this kind."""
        with self._lock:
            found = [each for each in self._last.get(call.kind, ()) if each[0] != call.marker]
        return found[-1][1:] if found else None

    def _open(self, port: int, backlog: int) -> None:
        listener = socket.create_server(("127.0.0.1", port), backlog=backlog)
        self._listeners[port] = listener
        self._listen(port, listener)

    def _close(self, port: int) -> None:
        listener = self._listeners[port]
        try:
            listener.shutdown(socket.SHUT_RDWR)
        except OSError:
            return  # closed already
        listener.close()
        with self._lock:
            open_now = list(self._sockets.get(port, ()))
        for connection in open_now:
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def _listen(self, port: int, listener: socket.socket) -> None:
        threading.Thread(target=self._accept, args=(port, listener), daemon=True).start()

    def _accept(self, port: int, listener: socket.socket) -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            self.connections += 1
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=self._serve, args=(port, connection), daemon=True).start()

    def _serve(self, port: int, connection: socket.socket) -> None:
        with self._lock:
            self._sockets.setdefault(port, set()).add(connection)
        try:
            while self._serve_one(connection):
                pass
        except (OSError, Dropped):
            pass  # either side went away, as it may
        finally:
            with self._lock:
                self._sockets[port].discard(connection)
            self._left.pop(connection, None)
            connection.close()

    def _serve_one(self, connection: socket.socket) -> bool:
        received = _peek(connection)
        if received is None:
            return False
        call = self._call(received)
        chosen = self.choose(call)
        name = chosen if isinstance(chosen, str) else getattr(chosen, "__name__", "fault")
        self.calls.append((call, name))
        fault = chosen if callable(chosen) else FAULTS.get(name) or _SCRIPTED[name]
        if name != "reset before reading":
            # A close of what was not read is a reset of its own.
            connection.recv(len(received), socket.MSG_WAITALL)
        if (left := self._left.get(connection)) is not None and left[0] in (None, call.kind):
            del self._left[connection]
            connection.sendall(left[1])
            # A client that takes it for the answer has it before the answer is there.
            self.stopping.wait(0.02)
        dice = random.Random(f"{self._seed}/{call.marker}/{call.kind}/{call.number}")
        return fault(Exchange(self, call, connection, dice))

    def _call(self, received: bytes) -> Call:
        top, _, body = received.partition(b"\r\n\r\n")
        line, *fields = top.decode("latin-1").split("\r\n")
        method, target, _ = line.split(" ", 2)
        path, _, query = target.partition("?")
        headers = dict(field.split(": ", 1) for field in fields)
        headers.pop("Host", None)
        headers.pop("Connection", None)
        kind = next((kind for kind, form in KINDS.items() if re.fullmatch(form, f"{method} {path}")), "unknown")
        if kind == "placing" and json.loads(body)["client_total_cents"] >= _IMPOSSIBLE:
            kind = "price"
        if path == vendure_calls.PATH:
            kind = vendure_calls.kind_of(json.loads(body))
        if path == "/trap":
            self.trapped += 1
        marker = self._marker(path, query, body)
        with self._lock:
            number = self._numbers[kind, marker] = self._numbers.get((kind, marker), -1) + 1
        return Call(kind, method, target, headers, body, marker, number)

    def _marker(self, path: str, query: str, body: bytes) -> str | None:
        content: Any = json.loads(body) if body.startswith(b"{") else {}
        asked = vendure_calls.asked_of(content) if path == vendure_calls.PATH else content
        marker = content.get("phone") or content.get("customer", {}).get("phone") or asked.get("guest", {}).get("phone")
        if name := content.get("customer_name"):
            marker = name.split()[-1]
        for root in ("proposed_order", "completed_order"):
            marker = content.get(root, {}).get("identifier_from_merchant") or marker
        about = {"/v1/carts/": 3, "/fftp/v1/orders/": 4}
        named = next((path.split("/")[place] for start, place in about.items() if path.startswith(start)), "")
        marker = marker or self._markers.get(named or asked.get("code", ""))
        reference = asked.get("reference") or query.partition("reference=")[2]
        if reference and marker:
            self._markers[reference] = marker
        return marker or self._markers.get(reference)


def _peek(connection: socket.socket) -> bytes | None:
    """The next call of a connection, whole, left unread; None when the caller has closed it."""
    size = 0
    while True:
        data = connection.recv(1 << 20, socket.MSG_PEEK)
        if len(data) <= size:
            if not data:
                return None
            if _ended(connection):
                return None
            time.sleep(0.001)
        size = len(data)
        top, separator, body = data.partition(b"\r\n\r\n")
        length = re.search(rb"\r\ncontent-length: *(\d+)", top, re.IGNORECASE)
        wanted = int(length[1]) if length else 0
        if separator and len(body) >= wanted:
            return data[: len(top) + 4 + wanted]


def _ended(connection: socket.socket) -> bool:
    """Whether the caller has gone (peeking at unread data does not show that)."""
    state: int = struct.unpack_from("B", connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1))[0]
    return state != 1  # not ESTABLISHED
