"""A simulated network: sockets as the transport uses them, and connections as the other side sees them.

Bytes arrive in sequence, each way after a short time. A host's network can be down for a while: what is sent then
waits in the host's kernel. It leaves when the network is back, even after the socket was closed, but not after the
socket was reset or the limit for sending has passed.
"""

from __future__ import annotations

import io
import socket
import struct
from collections.abc import Callable, Sequence
from random import Random
from typing import Any

from tests.simulation.kernel import Kernel, Process, Task

LATENCY = (0.0005, 0.02)


class Socket:
    """The host's end of a connection."""

    def __init__(self, network: Network, process: Process, server: str) -> None:
        self.network = network
        self.process = process
        self.guest: str | None = getattr(network.kernel.current, "guest", None)
        """For whom it was opened."""
        self.server = Connection(self, server)
        self.received = bytearray()
        self.has_ended = False
        self.is_broken = False
        self.is_gone = False
        self._timeout: float | None = None
        self._reader: Task | None = None
        self._files = 0
        self._is_closed = False
        self._lingers = True
        self._limit: float | None = None
        self._waits = 0
        """How often bytes wait in the host's kernel."""

    def settimeout(self, seconds: float | None) -> None:
        self._timeout = seconds

    def gettimeout(self) -> float | None:
        return self._timeout

    def setsockopt(self, level: int, name: int, value: Any) -> None:
        if level == socket.SOL_SOCKET and name == socket.SO_LINGER:
            self._lingers = struct.unpack("ii", value) != (1, 0)

    def limit_sending(self, seconds: float) -> None:
        """As TCP_USER_TIMEOUT."""
        self._limit = seconds

    def reset(self) -> None:
        """Close without delivering what has not left yet."""
        self._lingers = False

    def sendall(self, data: bytes) -> None:
        network = self.network
        network.kernel.point("send")
        task = network.kernel.current
        if task is not None and task.has_marked:
            task.has_marked = False
            network.kernel.point("send an order")
        if self.is_broken or self.is_gone:
            raise BrokenPipeError("the connection is broken")
        wait = network.down_for(self.process)
        if wait:
            limit = None if self._limit is None else network.kernel.now + self._limit
            self._waits += 1
            network.kernel.after(wait, self._leave_late, bytes(data), limit)
        else:
            self._leave(bytes(data), None)

    def _leave_late(self, data: bytes, limit: float | None) -> None:
        self._waits -= 1
        self._leave(data, limit)
        if self.is_gone and not self._waits:
            self.network.carry(self.server, self.server.end)

    def _leave(self, data: bytes, limit: float | None) -> None:
        """What was sent leaves the host."""
        if (self.is_gone and not self._lingers) or self.process.is_dead:
            return
        if limit is not None and self.network.kernel.now > limit:
            self._break()
            return
        self.network.carry(self.server, self.server.receive, data)

    def makefile(self, mode: str) -> io.BufferedReader:
        assert mode == "rb"
        self._files += 1
        return io.BufferedReader(_Reader(self))

    def recv_into(self, buffer: Any) -> int:
        kernel = self.network.kernel
        until = None if self._timeout is None else kernel.now + self._timeout
        kernel.point("receive")
        while not self.received:
            if self.has_ended:
                return 0
            if self.is_broken:
                raise ConnectionResetError("the connection was reset")
            if until is not None and kernel.now >= until:
                raise TimeoutError("timed out")
            self._reader = kernel.current
            kernel.wait(None if until is None else until - kernel.now)
            self._reader = None
            if self.process.is_dead:
                raise ConnectionResetError
        size = min(len(buffer), len(self.received))
        buffer[:size] = self.received[:size]
        del self.received[:size]
        return size

    @property
    def is_readable(self) -> bool:
        return bool(self.received) or self.has_ended or self.is_broken

    def arrive(self, data: bytes | None) -> None:
        """Bytes from the other side; None is the end of them."""
        if self.is_gone:
            return
        if data is None:
            self.has_ended = True
        else:
            self.received += data
        self._tell()

    def _break(self) -> None:
        self.is_broken = True
        self._tell()

    def break_off(self) -> None:
        """The other side has reset the connection."""
        if not self.is_gone:
            self._break()

    def _tell(self) -> None:
        if self._reader is not None:
            self.network.kernel.wake(self._reader)
            self._reader = None

    def close(self) -> None:
        self._is_closed = True
        self._close_if_unused()

    def release(self) -> None:
        """A file of it was closed."""
        self._files -= 1
        self._close_if_unused()

    def _close_if_unused(self) -> None:
        if self._is_closed and self._files <= 0 and not self.is_gone:
            self.is_gone = True
            if not self._waits:
                self.network.carry(self.server, self.server.end)


class Beside:
    """Work that a process does beside something else: as much of a Future as the transport uses."""

    def __init__(self, kernel: Kernel, process: Process, work: Callable[[], Any]) -> None:
        self._kernel = kernel
        self._work = work
        self._is_done = False
        self._result: Any = None
        self._error: Exception | None = None
        self._waiting: Task | None = None
        self._callbacks: list[Callable[[Any], object]] = []
        kernel.spawn(process, self._run)

    def _run(self) -> None:
        try:
            self._result = self._work()
        except Exception as error:
            self._error = error
        self._is_done = True
        if self._waiting is not None:
            self._kernel.wake(self._waiting)
        for call in self._callbacks:
            call(self)

    def exception(self) -> Exception | None:
        return self._error

    def result(self, timeout: float | None = None) -> Any:
        if not self._is_done:
            self._waiting = self._kernel.current
            self._kernel.wait(timeout)
            self._waiting = None
        if not self._is_done:
            raise TimeoutError
        if self._error is not None:
            raise self._error
        return self._result

    def add_done_callback(self, call: Callable[[Any], object]) -> None:
        call(self) if self._is_done else self._callbacks.append(call)


class _Reader(io.RawIOBase):
    def __init__(self, sock: Socket) -> None:
        self._sock: Socket | None = sock

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        assert self._sock is not None
        return self._sock.recv_into(buffer)

    def close(self) -> None:
        if self._sock is not None:
            sock, self._sock = self._sock, None
            sock.release()
        super().close()


class Connection:
    """The provider's end of a connection.

    ``leftovers``: sent before the answer to the next request; ``waits_for_order``: before that to a placing call.
    """

    def __init__(self, client: Socket, server: str) -> None:
        self.client = client
        self.name = server
        self.leftovers: list[bytes] = []
        self.waits_for_order: list[bytes] = []
        self.has_ended = False
        self.next_at = [0.0, 0.0]
        self._received = b""

    def receive(self, data: bytes) -> None:
        """Bytes of requests have come."""
        if self.has_ended:
            return
        self._received += data
        top, separator, body = self._received.partition(b"\r\n\r\n")
        if not separator:
            return
        length = 0
        for line in top.split(b"\r\n")[1:]:
            if line[:15].lower() == b"content-length:":
                length = int(line[15:])
        if len(body) < length:
            return
        self._received = body[length:]
        self.client.network.serve(self, top, body[:length])

    def end(self) -> None:
        """The host has closed its end."""
        self.has_ended = True

    def send(self, data: bytes) -> None:
        """Send bytes to the host."""
        self.client.network.carry(self, self.client.arrive, data, way=1)

    def close(self) -> None:
        """Close: the host reads the end."""
        self.has_ended = True
        self.client.network.carry(self, self.client.arrive, None, way=1)

    def reset(self) -> None:
        """Reset: the host's next use of it fails."""
        self.has_ended = True
        self.client.network.carry(self, self.client.break_off, way=1)


class Network:
    """Connects processes with servers by name; ``serve`` gets each whole request."""

    def __init__(self, kernel: Kernel, dice: Random) -> None:
        self.kernel = kernel
        self.dice = dice
        self.serve: Callable[[Connection, bytes, bytes], None] = lambda *_: None
        self.slow_names: list[float] = []
        """Seconds that the next name look-ups take; others take no time."""
        self.refusing_until: dict[str, float] = {}
        self.deaf_until: dict[str, float] = {}
        self.downs: dict[str, float] = {}
        """Until when the network of a process is down."""
        self.connections: list[Connection] = []

    def carry(self, connection: Connection, act: Callable[..., None], *arguments: Any, way: int = 0) -> None:
        """Have something happen at the other end after the way, in sequence."""
        at = self.kernel.now + self.dice.uniform(*LATENCY)
        if at < connection.next_at[way]:
            at = connection.next_at[way]
        connection.next_at[way] = at
        self.kernel.at(at, act, *arguments)

    def down_for(self, process: Process) -> float:
        """Seconds for which a process has no network."""
        return max(self.downs.get(process.name, 0.0) - self.kernel.now, 0.0)

    # What takes the place of levelup_ov.transport.net.

    def now(self) -> float:
        return self.kernel.now

    def sleep(self, seconds: float) -> None:
        self.kernel.point("sleep")
        self.kernel.wait(seconds)

    def beside(self, work: Callable[[], Any]) -> Beside:
        assert self.kernel.current is not None
        return Beside(self.kernel, self.kernel.current.process, work)

    def resolve(self, host: str, port: int, seconds: float) -> Sequence[Any]:
        self.kernel.point("resolve")
        if self.slow_names:
            takes = self.slow_names.pop()
            self.kernel.wait(min(takes, max(seconds, 0)))
            if takes > seconds:
                raise TimeoutError("the name was not resolved in time")
        return [host]

    def connect(self, addresses: Sequence[Any], seconds: float) -> Socket:
        kernel, host = self.kernel, addresses[0]
        kernel.point("connect")
        assert kernel.current is not None
        process = kernel.current.process
        if self.deaf_until.get(host, 0) > kernel.now or self.down_for(process):
            kernel.wait(seconds)
            raise TimeoutError("timed out")
        kernel.wait(self.dice.uniform(*LATENCY) * 2)
        if self.refusing_until.get(host, 0) > kernel.now:
            raise ConnectionRefusedError("refused")
        connected = Socket(self, process, host)
        self.connections.append(connected.server)
        kernel.point("connected")
        return connected

    def is_readable(self, sock: Socket) -> bool:
        self.kernel.point("look")
        return sock.is_readable

    def limit_sending(self, sock: Socket, seconds: float) -> None:
        sock.settimeout(seconds)
        sock.limit_sending(seconds)

    def reset(self, sock: Socket) -> None:
        sock.reset()
