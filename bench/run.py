"""Measure the service against its references: ``python -m bench.run [--quick] [--threads N] [--json FILE]``.

``--check`` only makes sure that all servers do what is to be measured, and the same.
``--against COMMIT`` measures it against another build of itself instead (``bench.against``).
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import random
import re
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median, quantiles
from typing import Any

from bench import checkout
from bench.cpu import cpu_seconds
from bench.order import API_KEY, BODY, SUBMISSION
from bench.production import PRODUCTION, UPGRADE
from bench.provider import HANGING
from levelup_ov.config import VARIABLES

ROOT = Path(__file__).resolve().parent.parent
ROUNDS, QUICK_ROUNDS = 9, 3
THREADS = int(next(variable.default for variable in VARIABLES if variable.name == "LEVELUP_OV_THREADS"))
START_SECONDS = 60

OURS, PEER, SHARDED, ECHO = "ours", "peer", "peer x16", "echo"
RECORDING, FORGETFUL = "ours, submitting", "ours, no ledger"
RELAY, SHARING = "bare relay", "ours, shared"
POOLS = {PEER: 1, SHARDED: 16}
"""httpx clients of each peer: one, as its documentation advises, and as many as serve it best."""
ONE, THREE, SLOW, SLOWEST = "one call", "three calls", "one call, 50 ms", "one call, 200 ms"
SUBMIT, CHARGE = "submission", "charge and submit"
PEER_CLIENTS = FEW, MANY = 8, 64
"""A process of the peer for each number of clients: after many it is slow with few, its pool being full."""
MERCHANTS = {1: "bench", 3: "bench3"}
"""The account, and so the location, that takes this many provider calls for a validation."""
DIRECT, HUNG = "direct", "hung"
"""The account whose orders are placed in one call, and the one whose provider does not answer."""
MEASURES = ("cpu_ms", "throughput", "p50_ms", "p95_ms")
Row = tuple[str, ...]


class Broken(Exception):
    """Something that makes the measurements worthless."""


@dataclass(frozen=True)
class Message:
    """A request, sent again and again."""

    path: str
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Scenario:
    """``latency_ms`` is the provider's, ``requests`` are those of one burst, ``messages`` what each server is sent."""

    name: str
    latency_ms: int
    clients: int
    requests: int
    messages: Mapping[str, Message]


@dataclass(frozen=True)
class Server:
    """A running server: its first process and its port."""

    pid: int
    port: int

    def processes(self) -> list[int]:
        return [self.pid, *_descendants(self.pid)]

    def workers(self) -> list[int]:
        return _descendants(self.pid) or [self.pid]

    def cpu_seconds(self) -> float:
        return sum(map(cpu_seconds, self.processes()))


@dataclass(frozen=True)
class Sample:
    """One burst; times in milliseconds, throughput in orders per second."""

    cpu_ms: float
    throughput: float
    p50_ms: float
    p95_ms: float


@dataclass
class Results:
    """All samples by scenario and server, and what else was counted."""

    threads: int
    samples: dict[str, dict[str, list[Sample]]] = field(default_factory=dict)
    connections: dict[str, int] = field(default_factory=dict)
    orders: dict[str, int] = field(default_factory=dict)
    memory_mb: dict[str, dict[str, float]] = field(default_factory=dict)
    isolation: list[tuple[float, float]] = field(default_factory=list)
    """Of an account, p95 in milliseconds alone and beside one whose provider hangs."""

    def typical(self, scenario: str, server: str, measure: str) -> float:
        return float(median(getattr(sample, measure) for sample in self.samples[scenario][server]))

    def ratio(self, scenario: str, measure: str, server: str, peer: str = PEER) -> float:
        """A server's by a peer's: the median of the rounds' ratios, so that a slow moment hits both."""
        pairs = zip(self.samples[scenario][server], self.samples[scenario][peer], strict=True)
        return float(median(getattr(ours, measure) / getattr(theirs, measure) for ours, theirs in pairs))

    def use_of_threads(self) -> float:
        """The service's throughput at 200 ms by what its threads could do at the most."""
        return self.typical(SLOWEST, OURS, "throughput") / (self.threads / 0.2)

    def isolation_ratio(self) -> float:
        return float(median(beside / alone for alone, beside in self.isolation))

    def new_connections(self, server: str) -> float:
        return 1000 * self.connections[server] / self.orders[server]


def scenarios(bench: Bench, scale: float) -> tuple[Scenario, ...]:
    """What is measured; ``scale`` shortens the bursts."""

    def requests(number: int) -> int:
        return round(number * scale)

    def same(message: Message, *servers: str) -> Mapping[str, Message]:
        return dict.fromkeys(servers, message)

    one, three = (Message(_path(MERCHANTS[calls]), BODY) for calls in (1, 3))
    submission = Message(_path(MERCHANTS[1], "order_submissions"), SUBMISSION)
    return (
        Scenario(ONE, 0, FEW, requests(800), same(one, OURS, *POOLS, ECHO)),
        Scenario(THREE, 0, FEW, requests(400), same(three, OURS, *POOLS)),
        Scenario(SUBMIT, 0, FEW, requests(400), same(submission, RECORDING, FORGETFUL)),
        Scenario(CHARGE, 0, FEW, requests(200), bench.charge_messages()),
        Scenario(SLOW, 50, MANY, requests(1280), same(one, OURS, *POOLS)),
        # Never shorter: its beginning and end, when not all threads are busy, must not weigh.
        Scenario(SLOWEST, 200, bench.threads, 16 * bench.threads, same(one, OURS)),
    )


@dataclass(frozen=True)
class Target:
    """A promise of the service: ``at_most`` or at least the bound for each peer. ``value`` may depend on the peer."""

    meaning: str
    value: Callable[[Results, str], float]
    at_most: bool
    bounds: Mapping[str, float]

    def met(self, value: float, peer: str) -> bool:
        return value <= self.bounds[peer] if self.at_most else value >= self.bounds[peer]

    def wanted(self) -> str:
        bounds = dict.fromkeys(f"{bound:g}" for bound in self.bounds.values())
        return f"{'<=' if self.at_most else '>='} {' / '.join(bounds)}"


def _each(bound: float, sharded: float | None = None) -> Mapping[str, float]:
    return {PEER: bound, SHARDED: bound if sharded is None else sharded}


TARGETS = (
    Target(
        "CPU per order, one call, by the peer's", lambda it, peer: it.ratio(ONE, "cpu_ms", OURS, peer), True,
        _each(0.60, 0.82),
    ),
    Target(
        "the same, three calls", lambda it, peer: it.ratio(THREE, "cpu_ms", OURS, peer), True, _each(0.40, 0.56)
    ),
    Target(
        "CPU of charge and submit, by the bare relay's", lambda it, _: it.ratio(CHARGE, "cpu_ms", OURS, RELAY), True,
        _each(1.2),
    ),
    Target(
        "orders/s at 50 ms, by the peer's", lambda it, peer: it.ratio(SLOW, "throughput", OURS, peer), False,
        _each(1.5, 1.4),
    ),
    Target("orders/s at 200 ms, by threads / latency", lambda it, _: it.use_of_threads(), False, _each(0.95)),
    Target("new provider connections per 1,000 orders", lambda it, _: it.new_connections(OURS), True, _each(2)),
    Target(
        "CPU per submission, by that without the ledger",
        lambda it, _: it.ratio(SUBMIT, "cpu_ms", RECORDING, FORGETFUL), True, _each(1.25),
    ),
    Target("p95 beside an account that hangs, by that alone", lambda it, _: it.isolation_ratio(), True, _each(1.2)),
    Target("resident memory of a worker, MB", lambda it, _: it.memory_mb[OURS]["rss"], True, _each(90)),
)  # fmt: skip


_PROBE = f"/locations/{MERCHANTS[1]}.main/order_validations"


class Bench:
    """The processes of one run, each pinned: servers to one core, provider and load to another.

    ``pinned``: not if nothing is measured, because that takes longer.
    """

    def __init__(self, directory: Path, threads: int, *, pinned: bool = True) -> None:
        cores = sorted(os.sched_getaffinity(0))
        self._server_cores, self._other_cores = ({cores[-1]}, {cores[0]}) if pinned else (cores, cores)
        os.sched_setaffinity(0, self._other_cores)
        self._directory = directory
        self.threads = threads
        self._started: list[subprocess.Popen[str]] = []
        self._ports: set[int] = set()
        self._choosing = threading.Lock()
        self.servers: dict[str, Server] = {}

    def start(self) -> None:
        provider = self._spawn("provider", ["bench.provider"], {}, self._other_cores, stdout=subprocess.PIPE)
        self._provider = int(_line(provider))
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        self._load = self._spawn("load", ["bench.load"], {}, self._other_cores, **pipes)
        base_url = f"http://127.0.0.1:{self._provider}"
        gunicorn = ["gunicorn", "-c", "python:levelup_ov.gunicorn_conf"]
        environment = self._service_environment(base_url)
        alone = {"LEVELUP_OV_DATA_DIR": str(self._directory / "submitting")}
        servers: list[tuple[Any, ...]] = [
            (OURS, [*gunicorn, "wsgi:app"], {**environment, **checkout.variables(base_url)}),
            (SHARING, [*gunicorn, "wsgi:app"], {**environment, "LEVELUP_OV_ACCOUNT_SHARE": "50"}),
            (RECORDING, [*gunicorn, "wsgi:app"], {**environment, **alone}),
            (FORGETFUL, [*gunicorn, "bench.forgetful:app"], environment),
            (ECHO, [*gunicorn, "bench.echo:app"], environment),
            (RELAY, [*gunicorn, "bench.relay:app"], {**environment, "PROVIDER": base_url}, "/relay"),
        ]
        for peer, pools in POOLS.items():
            variables = {"PROVIDER": base_url, "PEER_POOLS": str(pools)}
            servers += [(_key(peer, clients), ["bench.peer"], variables) for clients in PEER_CLIENTS]
        with ThreadPoolExecutor(len(servers)) as starting:
            for started in [starting.submit(self._serve, *server) for server in servers]:
                started.result()

    def stop(self) -> None:
        for process in self._started:
            process.terminate()
        for process in self._started:
            try:
                process.wait(timeout=10)
            except subprocess.TimeoutExpired:
                process.kill()

    def control(self, latency_ms: int) -> dict[str, Any]:
        """Set the provider's latency; returns what it counted so far, and what it got since the last control."""
        status, body = _post(self._provider, "/control", json.dumps({"latency_ms": latency_ms}).encode())
        _require(status == 200, f"the provider refuses control: {status}")
        counted: dict[str, Any] = json.loads(body)
        return counted

    def burst(self, server: str, scenario: Scenario, requests: int) -> tuple[float, dict[str, Any]]:
        """CPU seconds of the server's processes, and the load generator's record."""
        serving = self.servers[_key(server, scenario.clients)]
        message = scenario.messages[server]
        todo = {
            "port": serving.port,
            "path": message.path,
            "headers": dict(message.headers),
            "body": message.body.decode(),
            "clients": scenario.clients,
            "requests": requests,
        }
        assert self._load.stdin is not None
        before = serving.cpu_seconds()
        self._load.stdin.write(json.dumps(todo) + "\n")
        self._load.stdin.flush()
        record = json.loads(_line(self._load))
        cpu = serving.cpu_seconds() - before
        _require(not record["failures"], f"{server}, {scenario.name}: {record['failures']}")
        return cpu, record

    def charge_messages(self) -> Mapping[str, Message]:
        """A call that charges and submits, and the same calls upstream without the service."""
        port = self.servers[OURS].port
        ours = Message(checkout.PATH, checkout.connect(port, f"{DIRECT}.main"), checkout.HEADERS)
        self.control(0)
        status, answer = _post(port, ours.path, ours.body, **ours.headers)
        _require(status == 200, f"an order is charged and submitted with {status}: {answer!r}")
        got = self.control(0)["last"]
        _require(set(got) == set(checkout.UPSTREAM), f"charging and submitting made other calls: {sorted(got)}")
        calls = [{"path": path, "body": json.loads(got[path])} for path in checkout.UPSTREAM]
        return {OURS: ours, RELAY: Message("/relay", json.dumps({"calls": calls}).encode())}

    @contextmanager
    def hanging(self) -> Iterator[None]:
        """While it lasts, as many requests as there are threads wait for a provider that does not answer."""
        request = _request(_path(HUNG), BODY)
        port = self.servers[SHARING].port
        with ExitStack() as callers:
            sockets = [socket.create_connection(("127.0.0.1", port)) for _ in range(self.threads)]
            for caller in sockets:
                callers.enter_context(caller).sendall(request)
            time.sleep(0.5)
            for refused in select.select(sockets, (), (), 0)[0]:
                refused.close()
            yield
        answered = self.control(0)["hanging"]
        _require(answered == self.threads // 2, f"{answered} requests were waiting for a provider that hangs")

    def _service_environment(self, base_url: str) -> dict[str, str]:
        accounts = self._directory / "accounts.toml"
        described = [_account(name, base_url, calls=str(calls)) for calls, name in MERCHANTS.items()]
        described.append(_account(DIRECT, base_url, submission_calls="1"))
        described.append(_account(HUNG, base_url + HANGING.decode()))
        accounts.write_text("\n".join(described))
        return {
            "WEB_CONCURRENCY": "1",
            "LEVELUP_OV_THREADS": str(self.threads),
            **PRODUCTION,
            "LEVELUP_OV_ACCOUNTS": str(accounts),
            # All the load is one account's; whether others keep their share is not measured here.
            "LEVELUP_OV_ACCOUNT_SHARE": "100",
            "LEVELUP_OV_ADAPTERS": "bench=bench.adapter:BenchAdapter",
            "LEVELUP_OV_DATA_DIR": str(self._directory / "data"),
        }

    def _serve(
        self,
        name: str,
        module: Sequence[str],
        environment: Mapping[str, str],
        probe: str = _PROBE,
        *,
        build: Path = ROOT,
    ) -> None:
        if module[0] == "gunicorn":
            self._spawn(f"{name}-ledger", UPGRADE, environment, self._server_cores, build=build).wait()
        with self._choosing:
            port = next(port for port in iter(_free_port, None) if port not in self._ports)
            self._ports.add(port)
        process = self._spawn(name, module, {**environment, "PORT": str(port)}, self._server_cores, build=build)
        for _ in range(START_SECONDS * 10):
            if process.poll() is not None:
                break
            try:
                if _post(port, probe, BODY)[0] == 200:
                    self.servers[name] = Server(process.pid, port)
                    return
            except OSError:
                pass
            time.sleep(0.1)
        end_of_log = (self._directory / f"{name}.log").read_text()[-3000:]
        raise Broken(f"{name} does not answer; its log ends with:\n{end_of_log}")

    def _spawn(
        self,
        name: str,
        module: Sequence[str],
        environment: Mapping[str, str],
        cores: Collection[int],
        *,
        build: Path = ROOT,
        **pipes: int,
    ) -> subprocess.Popen[str]:
        decisive = {"GUNICORN_CMD_ARGS", *(variable.name for variable in VARIABLES)}
        inherited = {key: value for key, value in os.environ.items() if key not in decisive}
        with (self._directory / f"{name}.log").open("w") as log:
            process = subprocess.Popen(
                [sys.executable, *(() if module[0] == "-c" else ("-m",)), *module],
                cwd=build,
                env={**inherited, **environment},
                text=True,
                stdin=pipes.get("stdin", subprocess.DEVNULL),
                stdout=pipes.get("stdout", log),
                stderr=log,
            )
        self._started.append(process)
        os.sched_setaffinity(process.pid, cores)
        return process


@contextmanager
def running(threads: int, *, pinned: bool = True) -> Iterator[Bench]:
    """All processes, started, and stopped whatever happens."""
    with tempfile.TemporaryDirectory() as directory:
        bench = Bench(Path(directory), threads, pinned=pinned)
        try:
            bench.start()
            yield bench
        finally:
            bench.stop()


def check_equal(bench: Bench) -> None:
    """Make sure that service and peer do the same: answers, what the provider got, and refusals.

    :raises Broken: they do not.
    """
    tip_as_float = BODY.replace(b'"tip": 200', b'"tip": 10.0')
    for path in map(_path, MERCHANTS.values()):
        seen = {}
        for name in (OURS, *POOLS):
            port = bench.servers[_key(name, FEW)].port
            bench.control(0)
            status, answer = _post(port, path, BODY)
            _require(status == 200, f"{name} answers {status}: {answer!r}")
            got = {call: json.loads(body or "null") for call, body in bench.control(0)["last"].items()}
            wrong_key = _post(port, path, BODY, Authorization="token wrong")
            refusals = [_post(port, path, tip_as_float)[0], wrong_key[0]]
            seen[name] = (_normal(answer), got, refusals)
        for name in POOLS:
            for ours, theirs in zip(seen[OURS], seen[name], strict=True):
                _require(ours == theirs, f"service and {name} differ:\n{ours!r}\n{theirs!r}")
        _require(seen[OURS][2] == [422, 401], f"a wrong tip and a wrong key are answered with {seen[OURS][2]}")


def check_answers(bench: Bench) -> None:
    """Send each server everything that it is to be measured with.

    :raises Broken: one of them does not answer.
    """
    for scenario in scenarios(bench, 1):
        for server in scenario.messages:
            bench.burst(server, scenario, scenario.clients)
    with bench.hanging():
        pass


def measure(bench: Bench, results: Results, todo: Sequence[Scenario], rounds: int) -> None:
    """Short bursts in random order, after one of each that does not count."""
    bursts = [(scenario, server) for scenario in todo for server in scenario.messages]
    for scenario, server in bursts:
        bench.control(scenario.latency_ms)
        bench.burst(server, scenario, scenario.requests // 4 + scenario.clients)
    results.samples = {scenario.name: {} for scenario in todo}
    for _ in range(rounds):
        for scenario, server in random.sample(bursts, len(bursts)):
            before = bench.control(scenario.latency_ms)["connections"]
            warm_up = 2 * scenario.clients
            bench.burst(server, scenario, warm_up)
            cpu, record = bench.burst(server, scenario, scenario.requests)
            after = bench.control(scenario.latency_ms)["connections"]
            p50, p95 = quantiles(record["latencies_ms"], n=20)[9::9]
            sample = Sample(1000 * cpu / scenario.requests, scenario.requests / record["seconds"], p50, p95)
            results.samples[scenario.name].setdefault(server, []).append(sample)
            results.connections[server] = results.connections.get(server, 0) + after - before
            results.orders[server] = results.orders.get(server, 0) + warm_up + scenario.requests
    measure_isolation(bench, results, rounds)
    for name, serving in sorted(bench.servers.items()):
        results.memory_mb[name] = _memory_mb(serving.workers())


def measure_isolation(bench: Bench, results: Results, rounds: int) -> None:
    """Pairs of bursts of one account: alone, and beside one whose provider hangs."""
    scenario = Scenario("", 0, FEW, 400, {SHARING: Message(_path(MERCHANTS[1]), BODY)})

    def p95() -> float:
        return quantiles(bench.burst(SHARING, scenario, scenario.requests)[1]["latencies_ms"], n=20)[-1]

    p95()
    for _ in range(rounds):
        alone = p95()
        with bench.hanging():
            results.isolation.append((alone, p95()))


def report(results: Results) -> str:
    """The measurements of each scenario, then memory, then the targets."""
    speed: list[Row] = [("", "server", "CPU ms/order", "orders/s", "p50 ms", "p95 ms", "CPU/peer", "orders/s/peer")]
    for scenario, servers in results.samples.items():
        for server in sorted(servers, key=(OURS, RECORDING, FORGETFUL, *POOLS, ECHO, RELAY).index):
            cpu, throughput, p50, p95 = (results.typical(scenario, server, measure) for measure in MEASURES)
            ratios = (results.ratio(scenario, measure, server) if PEER in servers else None for measure in MEASURES[:2])
            compared = ("" if ratio is None else f"{ratio:.2f}" for ratio in ratios)
            speed.append((scenario, server, f"{cpu:.2f}", f"{throughput:.0f}", f"{p50:.1f}", f"{p95:.1f}", *compared))
    memory: list[Row] = [("memory of a worker", "RSS MB", "PSS MB")]
    memory += [(server, f"{found['rss']:.1f}", f"{found['pss']:.1f}") for server, found in results.memory_mb.items()]
    promises: list[Row] = [("target", "wanted", *(f"against {peer}" for peer in POOLS))]
    for target in TARGETS:
        values = ((target.value(results, peer), peer) for peer in POOLS)
        verdicts = (f"{value:.2f} {'met' if target.met(value, peer) else 'MISSED'}" for value, peer in values)
        promises.append((target.meaning, target.wanted(), *verdicts))
    return "\n\n".join(map(_table, (speed, memory, promises)))


def _table(rows: Sequence[Row]) -> str:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    first, *others = widths
    lines = []
    for name, *cells in rows:
        line = "".join(f"  {cell:>{width}}" for cell, width in zip(cells, others, strict=True))
        lines.append(name.ljust(first) + line)
    return "\n".join(lines)


def as_json(results: Results) -> dict[str, Any]:
    return {
        "threads": results.threads,
        "samples": {
            scenario: {server: [vars(sample) for sample in samples] for server, samples in servers.items()}
            for scenario, servers in results.samples.items()
        },
        "memory_mb": results.memory_mb,
        "p95_ms_alone_and_beside_a_hanging_account": results.isolation,
        "new_connections_per_1000_orders": {server: results.new_connections(server) for server in results.orders},
        "targets": [
            {
                "meaning": target.meaning,
                "at_most" if target.at_most else "at_least": target.bounds,
                "found": {peer: target.value(results, peer) for peer in POOLS},
            }
            for target in TARGETS
        ],
    }


def _account(name: str, base_url: str, **settings: str) -> str:
    lines = "".join(f'{setting} = "{value}"\n' for setting, value in {"base_url": base_url, **settings}.items())
    return f'[accounts.{name}]\nprovider = "bench"\nname = "Bench"\n[accounts.{name}.settings]\n{lines}'


def _key(server: str, clients: int) -> str:
    """The name of the process that serves this many clients."""
    return f"{server}, {clients} clients" if server in POOLS else server


def _path(account: str, operation: str = "order_validations") -> str:
    return f"/locations/{account}.main/{operation}"


def _normal(answer: bytes) -> bytes:
    """An answer without what is sealed again every time; its length stays."""
    return re.sub(rb'"sealed\.1\.[^"]+"', lambda sealed: b"*" * len(sealed[0]), answer)


def _request(path: str, body: bytes) -> bytes:
    head = f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: token {API_KEY}\r\n"
    return f"{head}Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body


def _post(port: int, path: str, body: bytes, **headers: str) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    try:
        sent = {"Authorization": f"token {API_KEY}", "Content-Type": "application/json", **headers}
        connection.request("POST", path, body, sent)
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()


def _line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    line = process.stdout.readline()
    _require(line, f"{process.args!r} ended")
    return line


def _require(sound: object, otherwise: str) -> None:
    if not sound:
        raise Broken(otherwise)


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def _descendants(pid: int) -> list[int]:
    children = [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return children + [grandchild for child in children for grandchild in _descendants(child)]


def _memory_mb(pids: Sequence[int]) -> dict[str, float]:
    """Resident (RSS) and proportional (PSS) memory of the largest of the processes."""
    found = []
    for pid in pids:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]
        kilobytes = {line.split(":")[0]: int(line.split()[1]) for line in lines}
        found.append({"rss": kilobytes["Rss"] / 1024, "pss": kilobytes["Pss"] / 1024})
    return max(found, key=lambda memory: memory["rss"])


def main() -> None:
    parser = argparse.ArgumentParser(prog="bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help=f"{QUICK_ROUNDS} rounds of short bursts, for a first look")
    parser.add_argument("--check", action="store_true", help="see whether all servers answer alike, measure nothing")
    parser.add_argument("--rounds", type=int, help=f"how often each burst is measured (default {ROUNDS})")
    parser.add_argument("--threads", type=int, default=THREADS, help="of the service's worker (default %(default)s)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all samples there")
    parser.add_argument("--against", metavar="COMMIT", help="measure this build beside that of a commit, and no peers")
    options = parser.parse_args()
    if options.against:
        from bench import against

        return against.main(options.against, options.threads, quick=options.quick, rounds=options.rounds)
    # So that nothing that was started outlives this.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    results = Results(options.threads)
    try:
        with running(options.threads, pinned=not options.check) as bench:
            check_equal(bench)
            if options.check:
                return check_answers(bench)
            todo = scenarios(bench, 0.25 if options.quick else 1)
            measure(bench, results, todo, options.rounds or (QUICK_ROUNDS if options.quick else ROUNDS))
    except Broken as broken:
        sys.exit(f"bench: {broken}")
    print(report(results))
    if options.json:
        options.json.write_text(json.dumps(as_json(results), indent=1) + "\n")


if __name__ == "__main__":
    main()
