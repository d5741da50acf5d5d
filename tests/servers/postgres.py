"""A real PostgreSQL server on the loopback interface, with its data in a directory of its own."""

from __future__ import annotations

import itertools
import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql

from tests.servers.process import CACHE, SystemMissing, free_port, install_once, run

WHEEL = "pgserver==0.1.4"
"""PostgreSQL 16 as a package of the Python index."""

_ATTEMPTS = 3
_STARTING_TIME = 30.0
_STOPPING_TIME = 10.0
# A test's data may be lost; waiting for the disk only costs time.
_SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "fsync": "off",
    "full_page_writes": "off",
    "max_connections": "200",
}


def binaries() -> Path:
    """The directory of ``initdb`` and ``postgres``: on the path, Debian's, or the wheel's.

    The wheel comes before Debian's package, since it leaves nothing on the machine and needs no root.

    :raises SystemMissing: there is none and none can be installed.
    """
    return _installed() or _from_wheel() or _from_debian()


def _installed() -> Path | None:
    found = shutil.which("initdb")
    debian = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    candidates = [Path(found).resolve()] if found else []
    for initdb in [*candidates, *reversed(debian)]:
        if (initdb.parent / "postgres").exists():
            return initdb.parent
    return None


def _from_wheel() -> Path | None:
    def build(directory: Path) -> None:
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        run([*pip, "--no-deps", "--target", directory, WHEEL], seconds=300)

    try:
        directory = install_once(CACHE / "postgres" / WHEEL.replace("==", "-"), build)
    except SystemMissing:
        return None
    return directory / "pgserver" / "pginstall" / "bin"


def _from_debian() -> Path:
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        raise SystemMissing(f"neither installed nor to be had as {WHEEL}, and Debian's package needs root")
    run(["apt-get", "update"], seconds=300)
    run(["apt-get", "install", "--yes", "--no-install-recommends", "postgresql"], seconds=600)
    found = _installed()
    if found is None:
        raise SystemMissing("Debian's package postgresql brought no initdb")
    return found


class PostgresServer:
    """One server with databases to make; a context manager. Root starts it as ``nobody``.

    ``settings`` are its parameters, beside those of every test.

    :raises SystemMissing: it does not start.
    """

    def __init__(self, directory_of_binaries: Path, settings: Mapping[str, str] | None = None) -> None:
        self._bin = directory_of_binaries
        self._settings = {**_SETTINGS, **(settings or {})}
        self._numbers = itertools.count(1)
        self._process: subprocess.Popen[bytes] | None = None
        self.port = 0

    def __enter__(self) -> PostgresServer:
        self.directory = Path(tempfile.mkdtemp(prefix="postgres-"))
        try:
            self._prepare()
            for _ in range(_ATTEMPTS):
                # Another process may take the port before this one does: then this one ends at once.
                self.port = free_port()
                if self.start():
                    return self
            raise SystemMissing(f"postgres does not start: {self.log()[-500:]}")
        except BaseException:
            self.__exit__()
            raise

    def __exit__(self, *_: object) -> None:
        self.stop()
        shutil.rmtree(self.directory, ignore_errors=True)

    @property
    def pid(self) -> int:
        """The id of its process; it runs."""
        assert self._process is not None
        return self._process.pid

    def start(self) -> bool:
        """Start it on its port; whether it became ready.

        :raises SystemMissing: it runs, but is not ready in time.
        """
        settings = [part for name, value in self._settings.items() for part in ("-c", f"{name}={value}")]
        options = ["-p", str(self.port), *settings]
        command: list[str | Path] = [self._bin / "postgres", "-D", self.directory / "data", *options]
        with open(self.directory / "log", "ab") as log:
            process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, **self._user())
        self._process = process
        until = time.monotonic() + _STARTING_TIME
        while time.monotonic() < until:
            if process.poll() is not None:
                return False
            try:
                psycopg.connect(self.url("postgres"), connect_timeout=2).close()
                return True
            except psycopg.OperationalError:
                time.sleep(0.02)
        raise SystemMissing(f"postgres is not ready after {_STARTING_TIME:g} s: {self.log()[-500:]}")

    def stop(self) -> None:
        """Stop it; connections are cut."""
        if self._process is None or self._process.poll() is not None:
            return
        self._process.send_signal(signal.SIGINT)
        try:
            self._process.wait(_STOPPING_TIME)
        except subprocess.TimeoutExpired:
            self._process.send_signal(signal.SIGQUIT)
            self._process.wait(_STOPPING_TIME)

    def url(self, database: str) -> str:
        """The address of a database."""
        return f"postgresql://tests@127.0.0.1:{self.port}/{database}"

    def create_database(self, *, template: str | None = None, more: str = "") -> str:
        """Make a database, empty or a copy of another; gives its name."""
        name = f"test_{next(self._numbers)}"
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            copy = f" TEMPLATE {template}" if template else ""
            connection.execute(f"CREATE DATABASE {name}{copy} {more}".encode())
        return name

    def drop_database(self, name: str) -> None:
        """Delete a database, even if it has connections."""
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            connection.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)".encode())

    def log(self) -> str:
        """What the server has printed so far."""
        path = self.directory / "log"
        return path.read_text(errors="replace") if path.exists() else ""

    def _prepare(self) -> None:
        if self._bin.is_relative_to(CACHE):
            # The unprivileged user may have no way into the directory of this checkout.
            installed = self._bin.parents[2]
            copy = self.directory / "installed"
            shutil.copytree(installed, copy, symlinks=True)
            self._bin = copy / self._bin.relative_to(installed)
        self.directory.chmod(0o755)
        data = self.directory / "data"
        data.mkdir(mode=0o700)
        if os.geteuid() == 0:
            shutil.chown(data, "nobody")
        options = ["-U", "tests", "--auth=trust", "--no-sync", "--encoding=UTF8"]
        command: list[str | Path] = [self._bin / "initdb", "-D", data, *options]
        made = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, **self._user())
        if made.returncode:
            raise SystemMissing(f"initdb failed: {made.stderr.strip()[-500:]}")

    def _user(self) -> dict[str, Any]:
        """PostgreSQL refuses to run as root."""
        if os.geteuid() != 0:
            return {"cwd": self.directory}
        nobody = pwd.getpwnam("nobody")
        return {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": [], "cwd": self.directory}


class Emptied:
    """Databases like a template, for one test after the other; each gets one without the rows of those before.

    To copy the template takes longer than most tests. A database is dropped if a test has changed more than rows.
    """

    def __init__(self, server: PostgresServer, template: str) -> None:
        self._server, self._template = server, template
        self._unused: list[str] = []
        with psycopg.connect(server.url(template)) as connection:
            self._filled = _filled(connection)
            """The tables that have rows from the start; none of them may change."""
            self._shape = self._shape_of(connection)

    @contextmanager
    def one(self) -> Iterator[str]:
        """The name of a database."""
        name = self._unused.pop() if self._unused else self._server.create_database(template=self._template)
        yield name
        try:
            self._empty(name)
        except (psycopg.Error, _Changed):
            self._server.drop_database(name)
        else:
            self._unused.append(name)

    def _empty(self, name: str) -> None:
        with psycopg.connect(self._server.url(name), options="-c lock_timeout=5s") as connection:
            connection.execute(_END_OTHERS)
            if self._shape_of(connection) != self._shape:
                raise _Changed
            if tables := [table for table in _filled(connection) if table not in self._filled]:
                names = sql.SQL(", ").join(map(sql.Identifier, tables))
                connection.execute(sql.SQL("TRUNCATE {} RESTART IDENTITY CASCADE").format(names))

    def _shape_of(self, connection: psycopg.Connection[Any]) -> list[Any]:
        rows = [
            connection.execute(sql.SQL("SELECT * FROM {}").format(sql.Identifier(table))).fetchall()
            for table in self._filled
        ]
        return [connection.execute(_SHAPE).fetchall(), rows]


class _Changed(Exception):
    """More than rows."""


_END_OTHERS = """
SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()
"""
_SHAPE = """
WITH ours AS (SELECT * FROM pg_class WHERE relnamespace = 'public'::regnamespace)
SELECT relname, relkind::text, relacl::text, reloptions::text, NULL FROM ours
UNION ALL SELECT relname, attname, atttypid::text, attnotnull::text, attacl::text
  FROM ours JOIN pg_attribute ON attrelid = ours.oid WHERE attnum > 0
UNION ALL SELECT relname, pg_get_indexdef(ours.oid), NULL, NULL, NULL FROM ours WHERE relkind = 'i'
UNION ALL SELECT relname, conname, pg_get_constraintdef(c.oid), NULL, NULL
  FROM ours JOIN pg_constraint c ON conrelid = ours.oid
UNION ALL SELECT relname, tgname, tgenabled::text, NULL, NULL FROM ours JOIN pg_trigger ON tgrelid = ours.oid
UNION ALL SELECT relname, 'analyzed', NULL, NULL, NULL FROM ours JOIN pg_statistic ON starelid = ours.oid
UNION ALL SELECT 'settings', setconfig::text, NULL, NULL, NULL
  FROM pg_db_role_setting JOIN pg_database d ON setdatabase = d.oid WHERE datname = current_database()
ORDER BY 1, 2, 3, 4, 5
"""


def _filled(connection: psycopg.Connection[Any]) -> list[str]:
    """The tables with rows, or with what is left of some."""
    tables = "relnamespace = 'public'::regnamespace AND relkind = 'r' AND pg_relation_size(oid) > 0"
    return [name for (name,) in connection.execute(f"SELECT relname FROM pg_class WHERE {tables} ORDER BY 1".encode())]
