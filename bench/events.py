"""What events cost, and how soon they arrive: ``python -m bench.events cost|delay|watch``.

``cost``: CPU of a submission with a receiver and without one, in turns. ``delay``: from a change to its
arrival, at 64 orders a second, over two workers and a ledger in SQLite. ``watch``: calls to the provider for a look at
10,000 open orders.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import random
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from datetime import datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from statistics import median, quantiles
from typing import Any, ClassVar

from bench.adapter import BenchAdapter
from bench.cpu import cpu_seconds
from bench.order import SUBMISSION
from levelup_ov.adapter import Location, OrderStatus, Session, Stage
from levelup_ov.app import create_app
from levelup_ov.config import DEVELOPMENT_API_KEY, load_settings
from levelup_ov.event_settings import EVENTS, PREFIX
from levelup_ov.ledger.identity import Identity
from levelup_ov.ledger.records import Claimed
from tests.faults.processes import line, process
from tests.faults.stack import API_KEY, Stack, environment

SECRET = PREFIX + "b25lIHNlY3JldCBvZiB0aGUgYmVuY2ggLi4uLi4="
_RECEIVING = {"LEVELUP_OV_EVENTS_URL": "http://127.0.0.1:9/", "LEVELUP_OV_EVENTS_SECRETS": SECRET}
ROUNDS, BURST = 7, 10
RATE, SECONDS = 64, 20
CLIENTS = 24
"""At 64 orders a second so many are under way if each takes 0.37 s; more threads only take turns."""
ORDERS = 10_000
_MINUTE = timedelta(minutes=1)


class Receiver(ThreadingHTTPServer):
    """Accepts every event; ``delays`` are the seconds from each change to its arrival, by the event's id."""

    daemon_threads = True
    request_queue_size = 256

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Receive)
        self.delays: dict[str, float] = {}
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    @property
    def variables(self) -> dict[str, str]:
        url = f"http://127.0.0.1:{self.server_address[1]}/events"
        return {"LEVELUP_OV_EVENTS_URL": url, "LEVELUP_OV_EVENTS_SECRETS": SECRET}


class _Receive(BaseHTTPRequestHandler):
    server: Receiver
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        arrived = time.time()
        event = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        changed = datetime.fromisoformat(event["timestamp"]).timestamp()
        self.server.delays.setdefault(self.headers["webhook-id"], arrived - changed)
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


def cost(*, quick: bool) -> None:
    """Submissions to a service with a receiver and to one without, in turns; both in this process."""
    provider = Answers(b'{"order_id": "p-%d", "number": %d, "ready_at": "2030-06-03T16:10:00Z"}')
    with ExitStack() as cleanup:
        sides = {}
        for name, more in (("with", _RECEIVING), ("without", {})):
            app = cleanup.enter_context(_service(provider, "bench.adapter:BenchAdapter", more))
            if more:
                app.extensions[EVENTS].start()
            sides[name] = app.test_client()
        pairs = []
        for burst in range(1 + (ROUNDS if quick else 5 * ROUNDS)):
            cpu = {name: _burst(sides[name], f"{burst}-{name}") for name in random.sample([*sides], 2)}
            pairs.append((cpu["with"], cpu["without"]))
    del pairs[0]  # a warm-up
    ours, theirs = zip(*pairs, strict=True)
    ratio = median(one / other for one, other in pairs)
    print(f"submission: CPU ms with a receiver {median(ours):.2f}, without {median(theirs):.2f}")
    print(f"median of the pairs' ratios {ratio:.3f}, ratio of the sums {sum(ours) / sum(theirs):.3f}")


def _burst(client: Any, name: str) -> float:
    """Milliseconds of CPU for a submission."""
    began = time.process_time()
    for number in range(BURST):
        headers = {"Authorization": f"token {DEVELOPMENT_API_KEY}", "Idempotency-Key": f"{name}-{number}"}
        reply = client.post(
            "/locations/bench.main/order_submissions", data=SUBMISSION, headers=headers, content_type="application/json"
        )
        assert reply.status_code == 200, reply.data
    return 1000 * (time.process_time() - began) / BURST


def delay(*, quick: bool) -> None:
    """Orders at a steady rate, each followed by a request for its status, which is its first change."""
    seconds = SECONDS // 4 if quick else SECONDS
    receiver = Receiver()
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        with process("tests.faults.engine", str(directory / "engine.db")) as engine:
            urls = {"diner": f"http://127.0.0.1:{int(line(engine))}"}
            ledger = f"sqlite:///{directory}/ledger.db"
            settings = environment(directory, urls, ledger, deadline=20, grace=5, more=receiver.variables)
            with Stack(directory, settings) as stack, ThreadPoolExecutor(CLIENTS) as clients:
                work = {"load and receiver": [os.getpid()], "provider": [engine.pid], "service": stack.workers()}
                spent = {name: -sum(map(cpu_seconds, pids)) for name, pids in work.items()}
                client = Client(stack.port)
                began = time.monotonic()
                reported = []
                for number in range(RATE * seconds):
                    time.sleep(max(began + number / RATE - time.monotonic(), 0))
                    reported.append(clients.submit(client.order, number))
                placed = sum(each.result() for each in reported)
                took = time.monotonic() - began
                for name, pids in work.items():
                    spent[name] += sum(map(cpu_seconds, pids))
                until = time.monotonic() + 30
                while len(receiver.delays) < placed and time.monotonic() < until:
                    time.sleep(0.1)
    delays = sorted(receiver.delays.values())
    p50, p95 = quantiles(delays, n=20)[9::9]
    print(f"{placed} orders in {took:.1f} s, {placed / took:.0f} a second; {len(delays)} events")
    print(f"from the change to its arrival: p50 {p50:.2f} s, p95 {p95:.2f} s, slowest {delays[-1]:.2f} s")
    each = ", ".join(f"{name} {1000 * seconds / placed:.1f}" for name, seconds in spent.items())
    print(f"CPU ms per order: {each}; {placed / sum(spent.values()):.0f} orders for each second of a core")


class Client:
    """Orders from many threads, each over a connection of its own that it keeps."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._own = threading.local()

    def order(self, number: int) -> bool:
        """Place an order and ask for its status, which is its first change; was that answered?"""
        user = {"name": "Robin Example", "phone": "617-555-0142", "email": "robin@example.com"}
        items = [{"item": {"provider_id": "sandwich", "quantity": 1, "options": []}}]
        body = {"order_submission": {"user": user, "items": items, "order_number": f"bench-{number}"}}
        status, answer = self._send("POST", "order_submissions", json.dumps(body))
        if status != 200:
            return False
        return self._send("GET", f"orders/{json.loads(answer)['order_submission']['order_id']}")[0] == 200

    def _send(self, method: str, path: str, body: str | None = None) -> tuple[int, bytes]:
        if (connection := getattr(self._own, "connection", None)) is None:
            connection = self._own.connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=30)
        headers = {"Authorization": f"token {API_KEY}", "Content-Type": "application/json"}
        try:
            connection.request(method, f"/locations/diner.congress/{path}", body, headers)
            answer = connection.getresponse()
            return answer.status, answer.read()
        except (OSError, http.client.HTTPException):
            # Kept for too long, or a worker that ends.
            connection.close()
            return 0, b""


class WatchedAdapter(BenchAdapter):
    """Its provider has one status for every order."""

    order_status: ClassVar[Mapping[str, Stage]] = {"cooking": "preparing"}

    def show_status(self, location: Location, provider_order_id: str, reference: str, session: Session) -> OrderStatus:
        return OrderStatus(session.get(f"/orders/{provider_order_id}").object().text("status"), reference=None)


class Answers:
    """A provider that gives one answer, with the number of the call wherever it has a place for it."""

    def __init__(self, answer: bytes) -> None:
        self.number = 0
        self._answer = answer
        self._lock = threading.Lock()

    def __call__(self, environ: Any, start_response: Callable[..., Any]) -> Iterator[bytes]:
        with self._lock:
            self.number += 1
            number = self.number
        start_response("200 OK", [("Content-Type", "application/json")])
        return iter([self._answer % ((number,) * self._answer.count(b"%d"))])


@contextmanager
def _service(provider: Answers, adapter: str, more: Mapping[str, str]) -> Iterator[Any]:
    """The service over a ledger of its own, in this process."""
    with tempfile.TemporaryDirectory() as directory:
        accounts = Path(directory) / "accounts.toml"
        settings = 'settings = {base_url = "http://provider.internal", submission_calls = "1"}'
        accounts.write_text(f'[accounts.bench]\nprovider = "bench"\nname = "Bench"\n{settings}\n')
        variables = {
            "LEVELUP_OV_ENV": "development", "LEVELUP_OV_DATA_DIR": f"{directory}/data",
            "LEVELUP_OV_ACCOUNTS": str(accounts), "LEVELUP_OV_ADAPTERS": f"bench={adapter}", **more,
        }  # fmt: skip
        yield create_app(load_settings(variables), in_process={"provider.internal": provider})


def watch(*, quick: bool) -> None:
    """Two looks at all open orders, with an event for each of the first."""
    number = ORDERS // 10 if quick else ORDERS
    calls = Answers(b'{"status": "cooking"}')
    with _service(calls, "bench.events:WatchedAdapter", _RECEIVING) as app:
        for each in range(number):
            _place(app, each)
        for _ in range(2):
            before, began, cpu = calls.number, time.monotonic(), time.process_time()
            run = ["orders", "watch", "--calls", str(number), "--every", "0", "--seconds", "3600"]
            said = app.test_cli_runner().invoke(args=run).output.splitlines()[-1]
            made, took = calls.number - before, time.monotonic() - began
            spent = 1000 * (time.process_time() - cpu) / number
            print(
                f"{made / number:.4f} calls per order ({made} for {number}), {took:.0f} s, {spent:.2f} ms CPU: {said}"
            )


def _place(app: Any, number: int) -> None:
    """Put an order into the ledger."""
    ledger = app.extensions["levelup_ov"].submissions.ledger
    identity = Identity("idempotency_key", (f"{number:064x}",))
    claim = ledger.claims.claim(
        account="bench", location="bench.main", identities=(identity,), content=(f"{number:064x}",), lease=_MINUTE
    )
    assert isinstance(claim, Claimed)
    ledger.transitions.begin_sending(claim.id, lease=_MINUTE)
    ledger.transitions.place(claim.id, answer="{}", order_id=number, provider_order_id=f"p-{number}", proven=True)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.events")
    parser.add_argument("what", choices=["cost", "delay", "watch"])
    parser.add_argument("--quick", action="store_true")
    given = parser.parse_args()
    {"cost": cost, "delay": delay, "watch": watch}[given.what](quick=given.quick)


if __name__ == "__main__":
    sys.exit(main())
