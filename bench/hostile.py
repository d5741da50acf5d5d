"""What hostile callers cost the others: attacks on the service as it is shipped, each with its figure.

``python -m bench.hostile bodies``: CPU time and memory of bodies that are made to be expensive, against plain ones.
``python -m bench.hostile connections``: the 95th percentile of friendly callers, alone and beside 2,000 that
are idle, stop within their head, or send a byte now and then.
``python -m bench.hostile soak``: hostile and friendly callers mixed, for some minutes; memory and answers.
``python -m bench.hostile many``: as many hostile requests as the service answers, of all kinds; memory.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import random
import resource
import selectors
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import tracemalloc
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from itertools import islice
from pathlib import Path
from typing import Any

from levelup_ov.domain.failure import Failure
from levelup_ov.schemas.body import parse

PATH = "/locations/sandbox.congress/order_validations"
KEY = "Authorization: token dev-key\r\n"
ORDER = {
    "user": {"name": "Robin Example", "email": "robin@example.com"},
    "items": [{"item": {"provider_id": "sandwich", "quantity": 1}}],
}
BODY = json.dumps({"order_validation": ORDER}).encode()
HEAD = f"POST {PATH} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"


def main(arguments: list[str] | None = None) -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("bodies")
    connections = commands.add_parser("connections")
    connections.add_argument("--number", type=int, default=2000)
    connections.add_argument("--requests", type=int, default=400)
    soak = commands.add_parser("soak")
    soak.add_argument("--minutes", type=float, default=10)
    many = commands.add_parser("many")
    many.add_argument("--number", type=int, default=200_000)
    given = parser.parse_args(arguments)
    # The service that is attacked ends with this.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    if given.command == "bodies":
        show_bodies()
    elif given.command == "connections":
        show_connections(given.number, given.requests)
    elif given.command == "many":
        show_many(given.number)
    else:
        show_soak(given.minutes)


# Bodies.


def repeated_members(count: int) -> Iterator[tuple[str, bytes, bytes]]:
    """Pairs of bodies of ``count`` members, without and with a repetition."""
    members = ",".join(f'"k{number}":{number}' for number in range(count))
    yield "the last member", f'{{{members},"x":1}}'.encode(), f'{{{members},"k5":1}}'.encode()
    yield "the first member", f'{{"x":1,{members}}}'.encode(), f'{{"k9":1,{members}}}'.encode()
    objects = ",".join(['{"a":1}'] * count)
    yield "in the last object", f'[{objects},{{"a":1,"b":2}}]'.encode(), f'[{objects},{{"a":1,"a":2}}]'.encode()
    pairs = ",".join(['{"a":1,"b":2}'] * count)
    yield "in every object", f"[{pairs}]".encode(), f"[{pairs}]".replace("b", "a").encode()


def expensive_bodies() -> Iterator[tuple[str, bytes]]:
    """Bodies that take much memory for their size."""
    yield "long names", json.dumps({"n" * 100_000: {"m" * 100_000: list(range(4000))}}).encode()
    yield "half a surrogate pair", ('{"a":[' + ",".join(['"\\u0041\\u0042"'] * 14_000) + '],"b":"\\ud800"}').encode()
    yield "escaped characters", ('{"a":"' + "\\u00e9x" * 100_000 + '"}').encode()
    yield "empty objects", ("[" + "{}," * 60_000 + "1]").encode()
    yield "objects in objects", ("[" + '{"":{}},' * 30_000 + "1]").encode()
    yield "numbers", ("[" + "1," * 500_000 + "1]").encode()


def cost(body: bytes) -> tuple[float, float]:
    """Seconds of CPU, the best of five, and bytes of memory per byte of the body."""
    seconds = []
    for _ in range(5):
        started = time.thread_time()
        with suppress(Failure):
            parse(body)
        seconds.append(time.thread_time() - started)
    tracemalloc.start()
    with suppress(Failure):
        parse(body)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return min(seconds), peak / len(body)


def show_bodies() -> None:
    """Print what the bodies cost."""
    print("a member that is repeated, against the same body without:")
    for name, plain, repeated in repeated_members(30_000):
        without, twice = cost(plain)[0], cost(repeated)[0]
        print(f"  {name:22} {len(repeated) // 1024:4} KB: {twice * 1000:6.1f} ms, ratio {twice / without:.2f}")
    print("memory for each byte of the body:")
    for name, body in expensive_bodies():
        seconds, memory = cost(body)
        print(f"  {name:22} {len(body) // 1024:4} KB: {seconds * 1000:6.1f} ms, {memory:.1f} bytes")


# Connections.


@contextmanager
def served(directory: Path, **variables: str) -> Iterator[tuple[int, subprocess.Popen[bytes]]]:
    """The service under gunicorn as shipped, in development mode; its port and its parent process."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    environment = {
        **os.environ,
        "LEVELUP_OV_ENV": "development",
        "LEVELUP_OV_DATA_DIR": str(directory),
        "LEVELUP_OV_LOG_LEVEL": "ERROR",
        "PORT": str(port),
        **variables,
    }
    command = [sys.executable, "-m", "gunicorn", "-c", "python:levelup_ov.gunicorn_conf", "wsgi:app"]
    with (directory / "log").open("wb") as log:
        process = subprocess.Popen(command, env=environment, stderr=log, stdout=log)
        try:
            for _ in range(600):
                with suppress(OSError):
                    if ask(port, "GET", "/health")[0] == 200:
                        break
                time.sleep(0.1)
            yield port, process
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(60)


def ask(port: int, method: str, path: str, body: bytes | None = None) -> tuple[int, float]:
    """One request of a friendly caller; status and seconds."""
    started = time.monotonic()
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    headers = {"Authorization": "token dev-key", "Content-Type": "application/json"}
    connection.request(method, path, body, headers)
    reply = connection.getresponse()
    reply.read()
    connection.close()
    return reply.status, time.monotonic() - started


def friendly(port: int, number: int) -> list[float]:
    """The seconds that ``number`` validations took, of two callers at a time."""
    found: list[float] = []

    def call() -> None:
        for _ in range(number // 2):
            status, seconds = ask(port, "POST", PATH, BODY)
            assert status == 200, status
            found.append(seconds)
            time.sleep(0.01)

    callers = [threading.Thread(target=call) for _ in range(2)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    return found


def percentile(values: list[float], percent: int) -> float:
    """The value below which ``percent`` of them are."""
    return statistics.quantiles(values, n=100)[percent - 1]


HOSTILE: tuple[tuple[str, bytes, bytes], ...] = (
    ("idle", b"", b""),
    ("half a head", HEAD.encode() + b"X-Half: ", b""),
    ("a head byte by byte", HEAD.encode() + b"X-Slow: ", b"x"),
    ("a body byte by byte", (HEAD + KEY + "Content-Length: 5000\r\n\r\n").encode(), b"x"),
    ("a body without a key", (HEAD + "Content-Length: 5000\r\n\r\n").encode(), b"x"),
    ("chunks byte by byte", (HEAD + KEY + "Transfer-Encoding: chunked\r\n\r\n").encode(), b"1\r\nx\r\n"),
)
"""What a hostile caller sends at once, and every four seconds."""


class Crowd(threading.Thread):
    """``number`` hostile connections, each opened again where the service ends it."""

    def __init__(self, port: int, number: int) -> None:
        super().__init__(daemon=True)
        self._port, self._number = port, number
        self._stopped = threading.Event()
        self.open: dict[socket.socket, bytes] = {}
        self.opened = 0

    def run(self) -> None:
        """Be hostile until stopped."""
        poller = selectors.DefaultSelector()
        due: list[socket.socket] = []
        while not self._stopped.is_set():
            while len(self.open) < self._number and not self._stopped.is_set():
                self._connect(poller)
            due = due or list(self.open)
            # All of them within four seconds.
            some, due = due[: self._number // 40], due[self._number // 40 :]
            for sock in some:
                if (byte := self.open.get(sock)) and not self._send(sock, byte):
                    self._end(poller, sock)
            for key, _ in poller.select(0.1):
                sock: Any = key.fileobj
                with suppress(BlockingIOError):
                    try:
                        if sock.recv(65536):
                            continue
                    except ConnectionError:
                        pass
                    self._end(poller, sock)
        for sock in list(self.open):
            self._end(poller, sock)

    def stop(self) -> None:
        """Go away."""
        self._stopped.set()
        self.join()

    def _connect(self, poller: selectors.BaseSelector) -> None:
        _, begin, byte = HOSTILE[self.opened % len(HOSTILE)]
        self.opened += 1
        sock = socket.create_connection(("127.0.0.1", self._port), timeout=10)
        sock.setblocking(False)
        self._send(sock, begin)
        self.open[sock] = byte
        poller.register(sock, selectors.EVENT_READ)

    @staticmethod
    def _send(sock: socket.socket, data: bytes) -> bool:
        try:
            sock.send(data)
        except BlockingIOError:
            pass
        except OSError:
            return False
        return True

    def _end(self, poller: selectors.BaseSelector, sock: socket.socket) -> None:
        if self.open.pop(sock, None) is not None:
            poller.unregister(sock)
            sock.close()


def show_connections(number: int, requests: int) -> None:
    """Print the percentiles of friendly callers, alone and beside the crowd, in turns."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, number + 1000), hard))
    with tempfile.TemporaryDirectory() as directory, served(Path(directory)) as (port, _):
        friendly(port, requests)
        alone, beside = [], []
        for _ in range(2):
            alone.append(friendly(port, requests))
            crowd = Crowd(port, number)
            crowd.start()
            _until(lambda crowd=crowd: len(crowd.open) >= number)
            beside.append(friendly(port, requests))
            crowd.stop()
            print(f"  {crowd.opened} hostile connections opened, {number} at a time", flush=True)
        for name, runs in (("alone", alone), ("beside", beside)):
            shown = ", ".join(f"{percentile(run, 95) * 1000:.1f} ms" for run in runs)
            print(f"p95 {name}: {shown}")
        ratio = min(percentile(run, 95) for run in beside) / min(percentile(run, 95) for run in alone)
        print(f"ratio: {ratio:.2f}")


def _until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 60
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError("the crowd did not come together")
        time.sleep(0.05)


# Soak.


def show_soak(minutes: float) -> None:
    """Hostile and friendly callers mixed; print what was answered, and the memory of the workers in turns."""
    end = time.monotonic() + minutes * 60
    with tempfile.TemporaryDirectory() as directory, served(Path(directory)) as (port, process):
        crowd = Crowd(port, 500)
        crowd.start()
        answers: Counter[str] = Counter()
        bodies = [body for _, body in expensive_bodies()] + [body for *_, body in repeated_members(3000)]
        chance = random.Random(1)

        def attack() -> None:
            while time.monotonic() < end:
                status, _ = ask(port, "POST", PATH, chance.choice(bodies))
                answers[f"hostile {status}"] += 1

        attacker = threading.Thread(target=attack)
        attacker.start()
        start = 0
        while time.monotonic() < end:
            seconds = friendly(port, 200)
            answers["friendly 200"] += len(seconds)
            memory = resident(process.pid)
            # Menus, threads and pools have come to their sizes after the first turns.
            start = start or memory * (sum(answers.values()) > 2000)
            print(f"  p95 {percentile(seconds, 95) * 1000:.1f} ms, {memory // 1024} MB, {dict(answers)}", flush=True)
        attacker.join()
        crowd.stop()
        if start:
            print(f"memory at the end against the beginning: {resident(process.pid) / start:.2f}")


# Many requests.


def hostile_requests() -> Iterator[bytes]:
    """Whole requests as they are sent, each wrong in its own way; one in ten is expensive."""
    chance = random.Random(1)
    expensive = [body for _, body in expensive_bodies()] + [body for *_, body in repeated_members(3000)]
    while True:
        made_up, body = f"{chance.getrandbits(64):x}", BODY
        name = chance.choice(("X-Request-ID", "Idempotency-Key", "Accept", "Cookie", "Content-Type", "X-Forwarded-For"))
        fields, path = f"{KEY}{name}: {made_up}\r\n", PATH
        match chance.randrange(10):
            case 0:
                body = chance.choice(expensive)
            case 1:
                fields = f"Authorization: token {made_up}\r\n"
            case 2:
                path = f"/locations/sandbox.{made_up}/order_validations"
            case 3:
                path = f"/{made_up}"
            case 4:
                body = body.replace(b"sandwich", made_up.encode())
            case 5:
                body = json.dumps({"order_validation": {**ORDER, made_up: made_up * 20}}).encode()
            case 6:
                body = body[: chance.randrange(len(body))]
            case 7:
                body = bytes(chance.choices(range(256), k=200))
            case 8:
                fields += f"Transfer-Encoding: {made_up}\r\n"
        head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\n{fields}Content-Type: application/json\r\n"
        yield f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


def show_many(number: int) -> None:
    """Send them, eight at a time; print the memory of the workers after each twentieth part."""
    answers: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as directory, served(Path(directory)) as (port, process):

        def attack(requests: list[bytes]) -> None:
            for request in requests:
                answers[exchange(port, request)] += 1

        supply, start = hostile_requests(), 0
        with ThreadPoolExecutor(8) as callers:
            for _ in range(20):
                list(callers.map(attack, [list(islice(supply, number // 160)) for _ in range(8)]))
                memory = resident(process.pid)
                # Threads, pools and caches have come to their sizes with the first part.
                start = start or memory
                print(
                    f"  {memory / 1024:.0f} MB, {answers.total()} requests, {dict(sorted(answers.items()))}", flush=True
                )
        print(f"memory at the end against the beginning: {memory / start:.3f}")


def exchange(port: int, request: bytes) -> str:
    """Send a request as it is; the status of the answer."""
    with socket.create_connection(("127.0.0.1", port), timeout=60) as caller, suppress(ConnectionError):
        caller.sendall(request)
        received = b""
        while chunk := caller.recv(65536):
            received += chunk
        return received[9:12].decode()
    return "cut off"


def resident(parent: int) -> int:
    """KiB of memory of the children of ``parent``."""
    children = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
    pages = sum(int(Path(f"/proc/{child}/statm").read_text().split()[1]) for child in children)
    return pages * (os.sysconf("SC_PAGE_SIZE") // 1024)


if __name__ == "__main__":
    main()
