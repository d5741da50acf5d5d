"""What happens to whole processes during a campaign: kills, reloads, freezes, closed ports, slow names, fail-overs."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import psycopg

from levelup_ov.ledger.tables import COMPATIBILITY, METADATA
from tests.faults.processes import say
from tests.faults.stack import Stack, kill

KILLED, RELOADED, REFUSED, DEAF = "worker killed", "service reloaded", "refused", "connect time-out"
FROZEN, ASLEEP, SLOW_NAME = "worker frozen", "provider frozen", "slow name"
STUCK, FAILED_OVER = "PostgreSQL frozen", "PostgreSQL failed over"
WEIGHTS: Mapping[str, float] = {
    KILLED: 5, RELOADED: 1, REFUSED: 3, DEAF: 1, FROZEN: 1.5, ASLEEP: 1.5, SLOW_NAME: 4, STUCK: 1, FAILED_OVER: 1.5,
}  # fmt: skip
LACKS = 1.0
"""Seconds that the copy which takes over lacks."""


class Trouble:
    """Does things at times that the dice give; a context manager.

    ``patience``: deadline and grace of the service, in seconds; what freezes a process may last longer. ``provider``:
    the id of the provider's process. ``postgres``: that of PostgreSQL's first, and ``ledger`` the database's address;
    without them nothing happens to it. ``slow``: the file that makes a look-up of a name slow.
    """

    def __init__(
        self,
        stack: Stack,
        network: subprocess.Popen[str],
        ports: Mapping[int, str],
        dice: random.Random,
        *,
        deadline: float,
        grace: float,
        provider: int,
        slow: Path,
        ledger: str = "",
        postgres: int | None = None,
        fails_over: bool = False,
    ) -> None:
        self._stack, self._network, self._ports, self._dice = stack, network, ports, dice
        self._deadline, self._grace = deadline, grace
        self._provider, self._slow, self._ledger, self._postgres = provider, slow, ledger, postgres
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._busy: dict[object, float] = {}
        self._others: list[threading.Thread] = []
        self._acts: dict[str, Callable[[], bool]] = {
            KILLED: self._kill,
            RELOADED: self._reload,
            REFUSED: lambda: self._close(REFUSED, self._dice.uniform(0.2, 0.8)),
            DEAF: lambda: self._close(DEAF, self._deadline + 0.3),
            FROZEN: self._freeze_worker,
            ASLEEP: lambda: self._freeze("provider", [self._provider], self._long()),
            SLOW_NAME: self._slow_down,
        }
        if postgres is not None:
            self._acts[STUCK] = lambda: self._freeze("postgres", list(_family(postgres)), dice.uniform(1, 2))
            if fails_over:
                self._acts[FAILED_OVER] = self._fail_over
        self.counts: Counter[str] = Counter()
        self.windows: list[tuple[str, str, float, float]] = []
        """Fault, account (empty: all), begin and end of each time that lasted."""

    def __enter__(self) -> Trouble:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    def end(self) -> None:
        """Let everything go on; returns when it does."""
        self._over.set()
        for thread in [self._thread, *self._others]:
            if thread.is_alive():
                thread.join()

    @property
    def kinds(self) -> Sequence[str]:
        """What may happen."""
        return list(self._acts)

    def _run(self) -> None:
        names = list(self._acts)
        while not self._over.wait(self._dice.uniform(0.3, 1.6)):
            name = self._dice.choices(names, [WEIGHTS[each] for each in names])[0]
            self.counts[name] += self._acts[name]()

    def _long(self) -> float:
        """Seconds: sometimes longer than the deadline and the grace together."""
        return self._dice.uniform(0.5, 1.3 * (self._deadline + self._grace))

    def _kill(self) -> bool:
        if workers := self._stack.workers():
            kill(self._dice.choice(workers))
        return bool(workers)

    def _reload(self) -> bool:
        self._stack.reload()
        return True

    def _close(self, name: str, seconds: float) -> bool:
        port = self._dice.choice(list(self._ports))
        if not self._take(port, seconds + 1):
            return False
        say(self._network, f"{'closed' if name == REFUSED else 'deaf'} {port} {seconds}")
        self._note(name, self._ports[port], seconds)
        return True

    def _freeze_worker(self) -> bool:
        workers = self._stack.workers()
        return bool(workers) and self._freeze("worker", [self._dice.choice(workers)], self._long())

    def _freeze(self, name: str, pids: Sequence[int], seconds: float) -> bool:
        if not self._take(name, seconds + 1.5):
            return False
        self._note({"worker": FROZEN, "provider": ASLEEP, "postgres": STUCK}[name], "", seconds)
        self._beside(lambda: self._sleep_through(pids, seconds))
        return True

    def _sleep_through(self, pids: Sequence[int], seconds: float) -> None:
        with stopped(pids):
            self._over.wait(seconds)

    def _slow_down(self) -> bool:
        seconds = self._long()
        self._slow.write_text(str(seconds))
        self._note(SLOW_NAME, "", seconds)
        return True

    def _fail_over(self) -> bool:
        if not self._take("postgres", LACKS + 2):
            return False
        self._note(FAILED_OVER, "", LACKS + 0.5)
        self._beside(lambda: fail_over(self._ledger, LACKS))
        return True

    def _take(self, what: object, seconds: float) -> bool:
        """Whether ``what`` is free; it is not for ``seconds`` from then on."""
        now = time.monotonic()
        if now < self._busy.get(what, 0):
            return False
        self._busy[what] = now + seconds
        return True

    def _note(self, name: str, account: str, seconds: float) -> None:
        now = time.monotonic()
        self.windows.append((name, account, now, now + seconds))

    def _beside(self, work: Callable[[], None]) -> None:
        thread = threading.Thread(target=work, daemon=True)
        thread.start()
        self._others.append(thread)


@contextmanager
def stopped(pids: Sequence[int]) -> Iterator[None]:
    """Processes that do nothing while it lasts."""
    _signal(pids, signal.SIGSTOP)
    try:
        yield
    finally:
        _signal(pids, signal.SIGCONT)


def _signal(pids: Sequence[int], number: int) -> None:
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, number)


def _family(pid: int) -> Iterator[int]:
    yield pid
    with suppress(OSError):
        for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
            yield from _family(int(child))


TABLES = tuple(table.name for table in METADATA.sorted_tables if table is not COMPATIBILITY)
"""What a replica copies, each table after those that it refers to."""


def fail_over(ledger: str, lacks: float) -> None:
    """Put a copy of the ledger in its place that lacks the last ``lacks`` seconds; everybody's connection breaks.

    So does the fail-over to a replica that is behind, and a backup that is restored.
    """
    with psycopg.connect(ledger) as connection:
        connection.execute(b"SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        for table in TABLES:
            connection.execute(f"CREATE TEMPORARY TABLE copy_{table} AS TABLE {table}".encode())
        connection.commit()
        time.sleep(lacks)
        # Connections that wait for the lock or hold one are ended; later ones wait for the copy.
        mine = "datname = current_database() AND pid <> pg_backend_pid()"
        connection.execute(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {mine}".encode())
        connection.execute(f"LOCK TABLE {', '.join(TABLES)} IN ACCESS EXCLUSIVE MODE".encode())
        connection.execute(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {mine}".encode())
        connection.execute(f"TRUNCATE {', '.join(TABLES)}".encode())
        for table in TABLES:
            connection.execute(f"INSERT INTO {table} SELECT * FROM copy_{table}".encode())
