"""Two builds of the service side by side: ``python -m bench.run --against COMMIT``.

The other build runs from a worktree of its own in a temporary directory, with this virtual environment. Each sends
submissions to the same provider: over plain HTTP and over TLS, beside it and far away (``bench.distance``).
"""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median, quantiles

from bench import checkout
from bench.order import BODY, SUBMISSION
from bench.run import (
    DIRECT,
    FEW,
    MERCHANTS,
    QUICK_ROUNDS,
    ROOT,
    Bench,
    Broken,
    Message,
    Sample,
    Scenario,
    _line,
    _memory_mb,
    _path,
    _table,
)
from tests.transport.certificates import Authority

ROUNDS = 9
ROUND_TRIP_MS = 40
THIS, THAT = "this build", "that build"
PLAIN, TLS, FAR, FAR_TLS = "plain", "TLS", f"plain, {ROUND_TRIP_MS} ms", f"TLS, {ROUND_TRIP_MS} ms"
LINES = (PLAIN, TLS, FAR, FAR_TLS)
"""How the provider is reached."""
REQUESTS = {PLAIN: 400, TLS: 400, FAR: 80, FAR_TLS: 80}
"""Of one burst: where it is far, a burst waits most of the time."""
GUNICORN = ("gunicorn", "-c", "python:levelup_ov.gunicorn_conf", "wsgi:app")


@dataclass(frozen=True)
class Case:
    """What both builds are sent; ``line`` is how they reach the provider."""

    name: str
    line: str
    messages: Mapping[str, Message]


class Builds(Bench):
    """The processes of one run: for each line a server of each build."""

    def __init__(self, directory: Path, threads: int, builds: Mapping[str, Path]) -> None:
        super().__init__(directory, threads)
        self._builds = builds

    def start(self) -> None:
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        self._load = self._spawn("load", ["bench.load"], {}, self._other_cores, **pipes)
        authority = Authority(self._directory)
        authority.server("127.0.0.1")
        (certificate,) = self._directory.glob("127.0.0.1.*.pem")
        arguments = ["bench.provider", str(certificate)]
        provider = self._spawn("provider", arguments, {}, self._other_cores, stdout=subprocess.PIPE)
        self._provider, over_tls = int(_line(provider)), int(_line(provider))
        ports = {PLAIN: self._provider, TLS: over_tls, FAR: self._far(self._provider), FAR_TLS: self._far(over_tls)}
        trusted = self._trusting(authority.file)
        for line, port in ports.items():
            base_url = f"{'https' if line in (TLS, FAR_TLS) else 'http'}://127.0.0.1:{port}"
            for name, build in self._builds.items():
                environment = {
                    **self._service_environment(base_url, name, line),
                    **checkout.variables(base_url),
                    "PYTHONPATH": str(trusted),
                }
                self._serve(_server(name, line), GUNICORN, environment, build=build)

    def cases(self) -> Iterator[Case]:
        """What is measured."""
        validation = Message(_path(MERCHANTS[1]), BODY)
        yield Case("validation, 1 call", PLAIN, dict.fromkeys(self._builds, validation))
        for line in LINES:
            for calls, account in ((1, DIRECT), (2, MERCHANTS[1])):
                submission = Message(_path(account, "order_submissions"), SUBMISSION)
                name = f"submission, {calls} call{'s' * (calls > 1)}"
                yield Case(name, line, dict.fromkeys(self._builds, submission))
            yield Case("charge and submit", line, {name: self._charge(name, line) for name in self._builds})

    def sample(self, case: Case, build: str, requests: int) -> Sample:
        """One burst."""
        server = _server(build, case.line)
        clients = FEW // 2 if case.line in (FAR, FAR_TLS) else FEW
        scenario = Scenario(case.name, 0, clients, requests, {server: case.messages[build]})
        cpu, record = self.burst(server, scenario, requests)
        p50, p95 = quantiles(record["latencies_ms"], n=20)[9::9]
        return Sample(1000 * cpu / requests, requests / record["seconds"], p50, p95)

    def memory(self, build: str, line: str) -> float:
        """Proportional memory of a worker, in MB."""
        return _memory_mb(self.servers[_server(build, line)].workers())["pss"]

    def _charge(self, build: str, line: str) -> Message:
        port = self.servers[_server(build, line)].port
        return Message(checkout.PATH, checkout.connect(port, f"{DIRECT}.main"), checkout.HEADERS)

    def _far(self, port: int) -> int:
        arguments = ["bench.distance", str(port), str(ROUND_TRIP_MS)]
        return int(_line(self._spawn("distance", arguments, {}, self._other_cores, stdout=subprocess.PIPE)))

    def _trusting(self, authority: Path) -> Path:
        """A directory to import from: in it, certifi trusts the provider's authority, whatever build asks."""
        directory = self._directory / "trusting"
        (directory / "certifi").mkdir(parents=True)
        (directory / "certifi" / "__init__.py").write_text(f"def where():\n    return {str(authority)!r}\n")
        return directory

    def _service_environment(self, base_url: str, build: str = "", line: str = "") -> dict[str, str]:
        environment = super()._service_environment(base_url)
        own = self._directory / _server(build, line)
        own.mkdir()
        accounts = own / "accounts.toml"
        accounts.write_text((self._directory / "accounts.toml").read_text())
        return {**environment, "LEVELUP_OV_ACCOUNTS": str(accounts), "LEVELUP_OV_DATA_DIR": str(own)}


def _server(build: str, line: str) -> str:
    return f"{build}, {line}"


@contextmanager
def worktree(commit: str) -> Iterator[Path]:
    """The build of a commit, in a directory that is gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="bench-build-") as directory:
        build = Path(directory) / "build"
        git = ["git", "-C", str(ROOT), "worktree"]
        made = subprocess.run([*git, "add", "--detach", str(build), commit], capture_output=True, text=True)
        if made.returncode:
            raise Broken(f"there is no build of {commit}: {made.stderr.strip()}")
        try:
            yield build
        finally:
            subprocess.run([*git, "remove", "--force", str(build)], capture_output=True, check=False)


def measure(builds: Builds, rounds: int, scale: float) -> str:
    """Bursts of both builds in turns; the table of their medians, and of the rounds' ratios."""
    cases = list(builds.cases())
    samples: dict[tuple[str, str], list[tuple[Sample, Sample]]] = {}
    for number in range(rounds + 1):
        for case in random.sample(cases, len(cases)):
            requests = max(round(REQUESTS[case.line] * scale), 20)
            found = {build: builds.sample(case, build, requests) for build in random.sample([THIS, THAT], 2)}
            if number:  # the first is a warm-up
                samples.setdefault((case.name, case.line), []).append((found[THIS], found[THAT]))
    rows = [("", "provider", "CPU ms this", "that", "ratio", "p50 ms this", "that", "ratio")]
    for case in cases:
        pairs = samples[case.name, case.line]
        cells = []
        for measure in ("cpu_ms", "p50_ms"):
            ours, theirs = ([getattr(pair[side], measure) for pair in pairs] for side in (0, 1))
            ratio = median(one / other for one, other in zip(ours, theirs, strict=True))
            cells += [f"{median(ours):.2f}", f"{median(theirs):.2f}", f"{ratio:.2f}"]
        rows.append((case.name, case.line, *cells))
    memory = [("memory of a worker, PSS MB", "this", "that", "ratio")]
    for line in (PLAIN, TLS):
        this, that = builds.memory(THIS, line), builds.memory(THAT, line)
        memory.append((line, f"{this:.1f}", f"{that:.1f}", f"{this / that:.2f}"))
    return f"{_table(rows)}\n\n{_table(memory)}"


def main(commit: str, threads: int, *, quick: bool, rounds: int | None) -> None:
    """Print how this build compares with that of ``commit``."""
    # On SIGTERM, end the servers and remove the worktree, too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    try:
        with worktree(commit) as build, tempfile.TemporaryDirectory() as directory:
            builds = Builds(Path(directory), threads, {THIS: ROOT, THAT: build})
            try:
                builds.start()
                print(measure(builds, rounds or (QUICK_ROUNDS if quick else ROUNDS), 0.25 if quick else 1))
            finally:
                builds.stop()
    except Broken as broken:
        sys.exit(f"bench: {broken}")
