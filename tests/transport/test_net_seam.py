"""The transport runs over a network and a clock that are not the system's: nothing but ``net`` touches those."""

from __future__ import annotations

import io
import socket
import time
from collections.abc import Sequence
from typing import Any

import pytest

from levelup_ov.errors import Unanswered
from levelup_ov.transport import net
from tests.transport.wire import Received, reply, session

pytestmark = pytest.mark.rule("SUB-6")


class Wire(io.RawIOBase):
    """One connection of :class:`Network`, seen from the transport."""

    def __init__(self, network: Network) -> None:
        self._network = network
        self._answer = b""
        self.timeout = 0.0
        self.was_closed = False

    def sendall(self, data: bytes) -> None:
        self._network.requests.append(data)
        self._answer += self._network.answers.pop(0)

    def settimeout(self, seconds: float) -> None:
        self.timeout = seconds

    def makefile(self, mode: str) -> io.BufferedReader:
        return io.BufferedReader(Received(self))

    def recv_into(self, buffer: Any) -> int:
        taken = self.take(len(buffer))
        buffer[: len(taken)] = taken
        return len(taken)

    def take(self, size: int) -> bytes:
        if not self._answer:
            self._network.time += self.timeout
            raise TimeoutError
        taken, self._answer = self._answer[:size], self._answer[size:]
        return taken

    def close(self) -> None:
        self.was_closed = True


class Network:
    """Answers each request with the next of ``answers``, an empty one being silence. Its clock runs while it waits."""

    def __init__(self, *answers: bytes) -> None:
        self.answers = list(answers)
        self.requests: list[bytes] = []
        self.resolved: list[tuple[str, int]] = []
        self.wires: list[Wire] = []
        self.reset_wires: list[Wire] = []
        self.time = 1e6

    def now(self) -> float:
        return self.time

    def sleep(self, seconds: float) -> None:
        self.time += seconds

    def resolve(self, host: str, port: int, seconds: float) -> Sequence[net.Address]:
        self.resolved.append((host, port))
        return [(None, None, 0, "", (host, port))]

    def connect(self, addresses: Sequence[net.Address], seconds: float) -> Any:
        self.wires.append(Wire(self))
        return self.wires[-1]

    def is_readable(self, sock: Any) -> bool:
        return False

    def limit_sending(self, sock: Any, seconds: float) -> None:
        sock.settimeout(seconds)

    def reset(self, sock: Any) -> None:
        self.reset_wires.append(sock)


def install(network: Network, monkeypatch: pytest.MonkeyPatch) -> None:
    """Put the network in place of the system, which is then not to be used."""
    for name in ("now", "sleep", "resolve", "connect", "is_readable", "limit_sending", "reset"):
        monkeypatch.setattr(net, name, getattr(network, name))

    def used(*args: object, **kwargs: object) -> Any:
        raise AssertionError("the system is used")

    for owner, name in ((socket, "socket"), (socket, "getaddrinfo"), (time, "sleep"), (time, "clock_gettime")):
        monkeypatch.setattr(owner, name, used)


def test_calls_retries_and_deadlines_run_over_another_network(monkeypatch: pytest.MonkeyPatch) -> None:
    network = Network(reply(status=503, Retry_After="2"), reply(b'{"cart": 1}'), reply(b'{"order": 1}', 201), b"")
    install(network, monkeypatch)
    with session("http://provider.invalid", own=True, seconds=25) as calls:
        assert calls.post("/carts", {}, repeatable=True).json() == {"cart": 1}
        assert calls.post("/orders", {}, places_order=True).json() == {"order": 1}
        with pytest.raises(Unanswered) as caught:
            calls.post("/paid", {})
    assert (caught.value.code, caught.value.sent) == ("provider_timeout", True)
    assert network.time == pytest.approx(1e6 + 25)
    assert network.resolved == [("provider.invalid", 80)] * 2
    assert all(wire.was_closed for wire in network.wires) and len(network.wires) == 2
    assert network.reset_wires[0] is network.wires[0] and network.wires[1] in network.reset_wires
    assert [request.split(b" ")[1] for request in network.requests] == [b"/carts", b"/carts", b"/orders", b"/paid"]
