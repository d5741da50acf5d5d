"""From ``exec`` to the first answer: ``python -m bench.start [--against COMMIT] [--rounds N] [--json FILE]``.

Settings of production, one worker, SQLite with the ledger at head, and bytecode that is compiled before. The first
answer is that of an order validation with one provider call, so that whatever a request loads is counted. CPU is of
gunicorn's master and its worker until then. Each build is started by its own documented command, and by gunicorn. The
floor is a bare application with the same libraries (``start_floor.py``).
"""

from __future__ import annotations

import argparse
import compileall
import json
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median

from bench.against import GUNICORN, THAT, THIS, worktree
from bench.order import BODY
from bench.production import UPGRADE
from bench.run import (
    MERCHANTS,
    ROOT,
    START_SECONDS,
    THREADS,
    Bench,
    Broken,
    Server,
    _free_port,
    _line,
    _memory_mb,
    _path,
    _post,
    _table,
)

ROUNDS = 9
RUN = ("levelup_ov", "run")
FLOOR = "libraries alone"
BARE = ("gunicorn", "--preload", "--worker-class=gthread", f"--threads={THREADS}", "bench.start_floor:app")
_PAUSE = 0.002


@dataclass(frozen=True)
class Start:
    """One start; ``pss_mb`` is its worker's memory after the first answer."""

    cpu_ms: float
    wall_ms: float
    pss_mb: float


class Starts(Bench):
    """Starts of builds, one at a time."""

    def __init__(self, directory: Path, builds: Mapping[str, Path]) -> None:
        super().__init__(directory, THREADS)
        self._builds = builds
        self._environments: dict[str, dict[str, str]] = {}

    def start(self) -> None:
        """Start the provider, and make for each build what it finds at its start."""
        provider = self._spawn("provider", ["bench.provider"], {}, self._other_cores, stdout=subprocess.PIPE)
        base_url = f"http://127.0.0.1:{int(_line(provider))}"
        for name, build in self._builds.items():
            for package in ("levelup_ov", "adapters", "bench"):
                compileall.compile_dir(build / package, quiet=2)
            environment = {**self._service_environment(base_url), "LEVELUP_OV_DATA_DIR": str(self._directory / name)}
            self._spawn(f"{name}-ledger", UPGRADE, environment, self._server_cores, build=build).wait()
            self._environments[name] = environment

    def ways(self) -> Iterator[tuple[str, Sequence[str]]]:
        """Each build with the commands that start it."""
        for name, build in self._builds.items():
            if (build / "levelup_ov" / "cli" / "run.py").exists():
                yield name, RUN
            yield name, GUNICORN
        yield FLOOR, BARE

    def sample(self, name: str, command: Sequence[str]) -> Start:
        """One start."""
        port = _free_port()
        environment = {**self._environments.get(name, {}), "PORT": str(port)}
        before = time.perf_counter()
        with self._running(name, command, environment) as process:
            while process.poll() is None and time.perf_counter() - before < START_SECONDS:
                try:
                    status, answer = _post(port, _path(MERCHANTS[1]), BODY)
                except OSError:
                    time.sleep(_PAUSE)
                    continue
                if status != 200:
                    raise Broken(f"the first answer is {status}: {answer!r}")
                seconds, server = time.perf_counter() - before, Server(process.pid, port)
                return Start(1000 * server.cpu_seconds(), 1000 * seconds, _memory_mb(server.workers())["pss"])
        raise Broken(f"{name} does not start; its log: {(self._directory / f'{name}.log').read_text()[-3000:]}")

    @contextmanager
    def _running(
        self, name: str, command: Sequence[str], environment: Mapping[str, str]
    ) -> Iterator[subprocess.Popen[str]]:
        process = self._spawn(name, command, environment, self._server_cores, build=self._builds.get(name, ROOT))
        try:
            yield process
        finally:
            process.terminate()
            process.wait(timeout=START_SECONDS)


def measure(starts: Starts, rounds: int) -> dict[tuple[str, str], list[Start]]:
    """Starts in random order, after one of each that does not count."""
    ways = list(starts.ways())
    found: dict[tuple[str, str], list[Start]] = {}
    for number in range(rounds + 1):
        for name, command in random.sample(ways, len(ways)):
            start = starts.sample(name, command)
            if number:
                found.setdefault((name, _shown(command)), []).append(start)
    return found


def report(found: Mapping[tuple[str, str], Sequence[Start]]) -> str:
    """Medians, and the median of the rounds' ratios to the other build by its own command."""
    theirs = next((starts for (name, _), starts in sorted(found.items(), reverse=True) if name == THAT), None)
    rows: list[tuple[str, ...]] = [("", "by", "CPU ms", "ratio", "wall ms", "ratio", "PSS MB", "ratio")]
    for (name, command), starts in sorted(found.items(), reverse=True):
        cells = []
        for measure in ("cpu_ms", "wall_ms", "pss_mb"):
            values = [getattr(start, measure) for start in starts]
            cells.append(f"{median(values):.{1 if measure == 'pss_mb' else 0}f}")
            others = [getattr(start, measure) for start in theirs or ()]
            cells.append(f"{median(map(_ratio, values, others)):.2f}" if others else "")
        rows.append((name, command, *cells))
    return _table(rows)


def _shown(command: Sequence[str]) -> str:
    return "levelup-ov run" if command is RUN else command[0]


def _ratio(one: float, other: float) -> float:
    return one / other


def main() -> None:
    parser = argparse.ArgumentParser(prog="bench.start", description=__doc__)
    parser.add_argument("--against", metavar="COMMIT", help="start the build of a commit in turns with this one")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="starts of each (default %(default)s)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all samples there")
    options = parser.parse_args()
    other = worktree(options.against) if options.against else nullcontext(None)
    try:
        with other as build, tempfile.TemporaryDirectory() as directory:
            starts = Starts(Path(directory), {THIS: ROOT, **({THAT: build} if build else {})})
            try:
                starts.start()
                found = measure(starts, options.rounds)
            finally:
                starts.stop()
    except Broken as broken:
        sys.exit(f"bench: {broken}")
    print(report(found))
    if options.json:
        samples = {f"{name}, {command}": list(map(asdict, starts)) for (name, command), starts in found.items()}
        options.json.write_text(json.dumps(samples, indent=1) + "\n")


if __name__ == "__main__":
    main()
