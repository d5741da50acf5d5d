"""A network between two ends that are far apart: ``python -m bench.distance PORT MILLISECONDS``.

Prints the port it listens on, hands all bytes on to PORT of this host, and keeps each for half of MILLISECONDS. What
comes first on a connection waits for a whole round trip more: that of the handshake of TCP, which is over at once here.
"""

from __future__ import annotations

import asyncio
import sys
from collections import deque
from collections.abc import Callable
from typing import Any

import uvloop


class End(asyncio.Protocol):
    """One end of a connection; what comes here leaves at ``other`` later."""

    def __init__(self, delay: float, not_before: float = 0.0) -> None:
        self._loop = asyncio.get_running_loop()
        self._delay = delay
        self._not_before = not_before
        self._waiting: deque[bytes | None] = deque()
        self._transport: Any = None
        self._held: list[bytes | None] = []
        self.other: End | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        for data in self._held:
            self.send(data)

    def data_received(self, data: bytes) -> None:
        self._later(data)

    def connection_lost(self, exc: Exception | None) -> None:
        self._later(None)

    def send(self, data: bytes | None) -> None:
        """Let bytes out here; None closes it."""
        if self._transport is None:
            self._held.append(data)
        elif data is None:
            self._transport.close()
        elif not self._transport.is_closing():
            self._transport.write(data)

    def _later(self, data: bytes | None) -> None:
        self._waiting.append(data)
        at = max(self._loop.time() + self._delay, self._not_before)
        self._loop.call_at(at, self._next)

    def _next(self) -> None:
        if self.other is not None:
            self.other.send(self._waiting.popleft())


def ends(port: int, round_trip: float) -> Callable[[], End]:
    """What makes the near end of each connection, and connects the far one."""
    tasks: set[asyncio.Task[object]] = set()

    def make() -> End:
        loop = asyncio.get_running_loop()
        near = End(round_trip / 2, loop.time() + 1.5 * round_trip)
        far = End(round_trip / 2)
        near.other, far.other = far, near
        task = loop.create_task(loop.create_connection(lambda: far, "127.0.0.1", port))
        tasks.add(task)
        task.add_done_callback(tasks.discard)
        return near

    return make


async def main(port: int, milliseconds: float) -> None:
    make = ends(port, milliseconds / 1000)
    server = await asyncio.get_running_loop().create_server(make, "127.0.0.1", 0, backlog=1024)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(main(int(sys.argv[1]), float(sys.argv[2])))
