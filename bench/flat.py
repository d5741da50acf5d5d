"""What does not grow: ``python -m bench.flat GROUP...``, of ``accounts``, ``sqlite``, ``postgresql`` and ``menu``.

Each group writes its figures into ``docs/operating/flat_cost.json``; ``python -m scripts.flat_cost`` draws them. The
same work is done in turns by a service with few accounts or rows and by services with many, each in a process of its
own. It is compared by its CPU, PostgreSQL's included, and a ratio is the median of the rounds' ratios.
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from statistics import median
from typing import Any

from bench import flat_menu, flat_waits
from bench.flat_service import COMMANDS
from bench.rows import fill
from bench.run import _memory_mb
from bench.sessions import provider
from levelup_ov.ledger.engine import upgrade
from scripts.flat_cost import DATA
from tests.servers.postgres import PostgresServer, binaries

ACCOUNTS, ACCOUNTS_TO_CHECK = (1, 100, 10_000), (1,)
ROWS, ROWS_TO_CHECK = (1_000, 100_000, 1_000_000), (1_000,)
UNKNOWN = 20
"""Of the rows: these are listed, and are left to a person."""
OF_ACCOUNTS = {"validation": 40, "submission": 40}
OF_ROWS = {"submission": 40, **dict.fromkeys(COMMANDS, 5), "purge of 500 rows": 1}
"""What is measured, and how often in a row."""


class Service:
    """A service to be measured; ``facts`` are those of ``bench.flat_service``."""

    def __init__(self, facts: Mapping[str, Any]) -> None:
        command = [sys.executable, "-m", "bench.flat_service", json.dumps(facts)]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.start_seconds = json.loads(self._line())

    def cpu(self, action: str, times: int) -> float:
        """Microseconds of CPU of one time."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps([action, times]) + "\n")
        self._process.stdin.flush()
        return float(self._line())

    @property
    def memory_mb(self) -> float:
        """Resident memory."""
        return _memory_mb([self._process.pid])["rss"]

    def stop(self) -> None:
        """End the process."""
        self._process.terminate()
        self._process.wait()

    def _line(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline()


def in_turns(services: Sequence[Service], actions: Mapping[str, int], rounds: int) -> Iterator[tuple[str, list[float]]]:
    """For each action the ratios of the services to the first one, after its microseconds."""
    samples: dict[str, list[list[float]]] = {action: [] for action in actions}
    for number in range(rounds + 1):
        for action in random.sample([*actions], len(actions)):
            order = random.sample(range(len(services)), len(services))
            found = {each: services[each].cpu(action, actions[action]) for each in order}
            if number:  # the first is a warm-up
                samples[action].append([found[each] for each in range(len(services))])
    for action, rows in samples.items():
        ratios = [round(median(row[each] / row[0] for row in rows), 3) for each in range(1, len(services))]
        yield action, [round(median(row[0] for row in rows)), *ratios]


def of_accounts(rounds: int, sizes: Sequence[int]) -> dict[str, Any]:
    """Few accounts and many."""
    with ExitStack() as stack:
        where = stack.enter_context(provider())
        directories = [stack.enter_context(_directory()) for _ in sizes]
        facts = [
            {"accounts": accounts, "directory": each, "ledger": f"sqlite:///{each}/ledger.db", "provider": where}
            for accounts, each in zip(sizes, directories, strict=True)
        ]
        services = [stack.enter_context(_service(each)) for each in facts]
        found = dict(in_turns(services, OF_ACCOUNTS, rounds))
        memory = [round(each.memory_mb) for each in services]
        starts = [[service.start_seconds for service in services]]
        for _ in range(min(rounds, 4)):
            again = [Service(each) for each in facts]
            starts.append([each.start_seconds for each in again])
            for each in again:
                each.stop()
    seconds = [round(median(row[each] for row in starts), 2) for each in range(len(sizes))]
    return {"sizes": sizes, "found": found, "memory_mb": memory, "start_cpu_seconds": seconds}


def of_rows(rounds: int, sizes: Sequence[int], server: PostgresServer | None, purges: int) -> dict[str, Any]:
    """A ledger with few rows and with many."""
    with ExitStack() as stack:
        where = stack.enter_context(provider())
        services = []
        for rows in sizes:
            directory = stack.enter_context(_directory())
            url = server.url(server.create_database()) if server else f"sqlite:///{directory}/ledger.db"
            upgrade(url)
            fill(url, rows, unknown=UNKNOWN, identities=True)
            facts = {"accounts": 1, "directory": directory, "ledger": url, "provider": where}
            services.append(stack.enter_context(_service({**facts, **({"server": server.pid} if server else {})})))
        found = dict(in_turns(services, OF_ROWS, rounds))
        return {"sizes": sizes, "found": found, "purge": flat_waits.measure(url, purges)}


@contextmanager
def _service(facts: Mapping[str, Any]) -> Iterator[Service]:
    service = Service(facts)
    try:
        yield service
    finally:
        service.stop()


@contextmanager
def _directory() -> Iterator[str]:
    with tempfile.TemporaryDirectory(prefix="bench-flat-") as directory:
        yield directory


def _measured(group: str, rounds: int, *, check: bool) -> dict[str, Any]:
    if group == "menu":
        return flat_menu.measure(rounds)
    if group == "accounts":
        return of_accounts(rounds, ACCOUNTS_TO_CHECK if check else ACCOUNTS)
    rows, purges = (ROWS_TO_CHECK, 1) if check else (ROWS, flat_waits.PURGES)
    if group == "sqlite":
        return of_rows(rounds, rows, None, purges)
    with PostgresServer(binaries()) as server:
        return of_rows(rounds, rows, server, purges)


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("groups", nargs="+", choices=["accounts", "sqlite", "postgresql", "menu"])
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--check", action="store_true", help="one round with the smallest size; nothing is written")
    options = parser.parse_args()
    for group in options.groups:
        if options.check:
            _measured(group, 1, check=True)
            continue
        found = {"date": time.strftime("%Y-%m-%d"), **_measured(group, options.rounds, check=False)}
        kept = json.loads(DATA.read_text()) if DATA.exists() else {}
        DATA.write_text(json.dumps({**kept, group: found}, indent=1, sort_keys=True) + "\n")
        print(json.dumps(found, indent=1), flush=True)


if __name__ == "__main__":
    main()
