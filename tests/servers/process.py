"""What the harnesses of real systems share: install once, start, wait, stop, and what to do without one."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import NoReturn

import pytest
import requests

CACHE = Path(__file__).resolve().parents[2] / ".cache"
"""Where systems are installed; not under version control."""

_STOPPING_TIME = 10.0
_ATTEMPTS = 3


class SystemMissing(RuntimeError):
    """A real system cannot be installed or started here; the message says why."""


@contextmanager
def required(request: pytest.FixtureRequest, system: str) -> Iterator[None]:
    """For a fixture that installs and starts ``system``: decides what happens where that is impossible.

    Where ``CI`` is set its tests fail; elsewhere they are skipped, and a line says so in any case.
    """
    try:
        yield
    except SystemMissing as reason:
        _missing(request, system, reason)


def _missing(request: pytest.FixtureRequest, system: str, reason: SystemMissing) -> NoReturn:
    if os.environ.get("CI"):
        pytest.fail(f"{system} is needed in CI and missing: {reason}", pytrace=False)
    capture = request.config.pluginmanager.getplugin("capturemanager")
    with capture.global_and_fixture_disabled() if capture else nullcontext():
        print(f"\n!!! {system} is MISSING, its tests are SKIPPED: {reason}", flush=True)
    pytest.skip(f"{system} is missing: {reason}")


def install_once(directory: Path, build: Callable[[Path], None]) -> Path:
    """``directory``, filled by ``build`` if it is not; one build, however many processes ask at once.

    An interrupted build starts again.
    """
    finished = directory / ".finished"
    directory.parent.mkdir(parents=True, exist_ok=True)
    with open(directory.with_name(f"{directory.name}.lock"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not finished.exists():
            shutil.rmtree(directory, ignore_errors=True)
            build(directory)
            finished.touch()
    return directory


def run(command: Sequence[str | Path], *, seconds: float, cwd: Path | None = None) -> None:
    """Run an installer to its end.

    :raises SystemMissing: it cannot be run, fails, or takes longer than ``seconds``.
    """
    try:
        subprocess.run(command, check=True, capture_output=True, text=True, timeout=seconds, cwd=cwd)
    except subprocess.CalledProcessError as error:
        last_words = (error.stderr.strip() or error.stdout.strip() or "no output").splitlines()[-1]
        raise SystemMissing(f"{command[0]} failed: {last_words}") from None
    except (OSError, subprocess.TimeoutExpired) as error:
        raise SystemMissing(str(error)) from None


def npm_modules(configuration: Path, cache: Path) -> Path:
    """The modules that the ``package-lock.json`` in ``configuration`` names, in a directory of ``cache``.

    :raises SystemMissing: they cannot be installed.
    """
    if shutil.which("node") is None or shutil.which("npm") is None:
        raise SystemMissing("it needs Node.js (node and npm) on the PATH")

    def build(directory: Path) -> None:
        directory.mkdir()
        for name in ("package.json", "package-lock.json"):
            shutil.copy(configuration / name, directory)
        run(["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"], seconds=300, cwd=directory)

    key = hashlib.sha256((configuration / "package-lock.json").read_bytes()).hexdigest()[:16]
    return install_once(cache / key, build) / "node_modules"


def from_debian(package: str, executable: str) -> Path:
    """An executable: on the path, or Debian's.

    :raises SystemMissing: it is not there and cannot be installed.
    """
    if (found := shutil.which(executable)) is None:
        if os.geteuid() != 0 or shutil.which("apt-get") is None:
            raise SystemMissing(f"{executable} is not installed, and Debian's package needs root")
        run(["apt-get", "update"], seconds=300)
        run(["apt-get", "install", "--yes", "--no-install-recommends", package], seconds=600)
        found = shutil.which(executable)
    if found is None:
        raise SystemMissing(f"Debian's package {package} brought no {executable}")
    return Path(found)


def free_port() -> int:
    """A port of the loopback interface that nobody listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


class Server:
    """One process of a system on the loopback interface, with a directory of its own; a context manager.

    Subclasses give the command, what to prepare, and the path that answers 200 once the system is ready.
    """

    name: str
    ready_path = "/"
    starting_time = 30.0
    """Seconds until it must be ready."""

    def __init__(self) -> None:
        self.port = 0
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """The id of its process; it runs."""
        assert self._process is not None
        return self._process.pid

    @property
    def base_url(self) -> str:
        """Its address; settled once it runs."""
        return f"http://127.0.0.1:{self.port}"

    def prepare(self, directory: Path) -> None:
        """Put what the process needs into its empty directory."""

    def command(self, directory: Path) -> Sequence[str | Path]:
        """How it is started, listening on :attr:`port`."""
        raise NotImplementedError

    def environment(self) -> dict[str, str]:
        """Its whole environment, besides ``PATH`` and a ``HOME`` of its own."""
        return {}

    def __enter__(self) -> Server:
        self.directory = Path(tempfile.mkdtemp(prefix=f"{self.name}-"))
        try:
            self.prepare(self.directory)
            for _ in range(_ATTEMPTS):
                # Another process may take the port before this one does: then this one ends at once.
                self.port = free_port()
                if self._started():
                    return self
            raise SystemMissing(f"{self.name} does not start: {self.log()[-500:]}")
        except BaseException:
            self.__exit__()
            raise

    def __exit__(self, *_: object) -> None:
        self._stop()
        shutil.rmtree(self.directory, ignore_errors=True)

    def answers(self) -> bool:
        """Whether it is ready; asked again and again while it starts."""
        try:
            return http("GET", self.base_url + self.ready_path).status_code == 200
        except requests.RequestException:
            return False

    def log(self) -> str:
        """What the process has printed so far."""
        return (self.directory / "log").read_text(errors="replace")

    def _started(self) -> bool:
        """Start the process; whether it became ready.

        :raises SystemMissing: it runs, but is not ready in time.
        """
        environment = {"PATH": os.environ.get("PATH", ""), "HOME": str(self.directory), **self.environment()}
        with open(self.directory / "log", "wb") as log:
            self._process = subprocess.Popen(
                self.command(self.directory),
                cwd=self.directory,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        until = time.monotonic() + self.starting_time
        while time.monotonic() < until:
            if self._process.poll() is not None:
                return False
            if self.answers():
                return True
            time.sleep(0.05)
        raise SystemMissing(f"{self.name} is not ready after {self.starting_time:g} s: {self.log()[-500:]}")

    def _stop(self) -> None:
        if self._process is None or self._process.poll() is not None:
            return
        self._process.terminate()
        try:
            self._process.wait(_STOPPING_TIME)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def http(method: str, url: str, **arguments: object) -> requests.Response:
    """One call to a system under test, whatever proxies the environment names."""
    with requests.Session() as session:
        session.trust_env = False
        return session.request(method, url, timeout=10, **arguments)  # type: ignore[arg-type]
