"""The service as it is in production: gunicorn with several worker processes over a durable ledger."""

from __future__ import annotations

import base64
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from levelup_ov.ledger.engine import upgrade

ROOT = Path(__file__).resolve().parents[2]
API_KEY = "canary-api-key-of-the-channel"
SECRET_KEY = base64.urlsafe_b64encode(b"the sealing key of these tests..").decode()
START_SECONDS = 30

_UPGRADING = threading.Lock()
"""Migrations keep their context in the process: one at a time."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a client got; ``status`` is None where the connection broke or its patience ended."""

    status: int | None
    body: dict[str, Any] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    seconds: float = 0.0

    @property
    def code(self) -> str:
        return self.body.get("error", {}).get("code", "") if self.status else "connection broken"

    @property
    def retryable(self) -> bool:
        return self.status is None or bool(self.body.get("error", {}).get("retryable"))

    @property
    def order_id(self) -> int | str | None:
        return self.body.get("order_submission", {}).get("order_id")

    @property
    def replayed(self) -> bool:
        return self.headers.get("Idempotency-Replayed") == "true"


def post(port: int, path: str, body: Any, *, timeout: float = 30, **headers: str) -> Answer:
    """One POST to the service; names of headers with underscores."""
    return call("POST", port, path, body, timeout=timeout, **headers)


def call(method: str, port: int, path: str, body: Any, *, timeout: float = 30, **headers: str) -> Answer:
    """One call to the service; names of headers with underscores."""
    started = time.monotonic()
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout)
    fields = {name.replace("_", "-"): value for name, value in headers.items()}
    try:
        connection.request(
            method,
            path,
            None if body is None else json.dumps(body).encode(),
            {"Authorization": f"token {API_KEY}", "Content-Type": "application/json", **fields},
        )
        response = connection.getresponse()
        content = response.read()
        try:
            answer = json.loads(content)
        except ValueError:
            answer = {"error": {"code": f"no JSON: {content[:200]!r}"}}
        return Answer(response.status, answer, dict(response.getheaders()), time.monotonic() - started)
    except (OSError, http.client.HTTPException):
        return Answer(None, seconds=time.monotonic() - started)
    finally:
        connection.close()


def environment(
    directory: Path,
    accounts: Mapping[str, str],
    ledger: str,
    *,
    deadline: float,
    grace: float,
    provider: str = "sandbox",
    account: str = "",
    more: Mapping[str, str] | None = None,
) -> dict[str, str]:
    """The settings of a service whose ``accounts`` are providers at these addresses; it makes the ledger.

    ``account``: further lines of TOML for the settings of each. ``more``: further variables.
    """
    with _UPGRADING:
        upgrade(ledger)
    file = directory / "accounts.toml"
    file.write_text(
        "".join(
            f'[accounts.{name}]\nprovider = "{provider}"\nname = "Diner"\n'
            f'[accounts.{name}.settings]\nbase_url = "{url}"\n{account}\n'
            for name, url in accounts.items()
        )
    )
    return {
        "LEVELUP_OV_API_KEYS": API_KEY,
        "LEVELUP_OV_SECRET_KEYS": SECRET_KEY,
        "LEVELUP_OV_ACCOUNTS": str(file),
        "LEVELUP_OV_DATA_DIR": str(directory / "instance"),
        "DATABASE_URL": ledger,
        "LEVELUP_OV_VALIDATION_DEADLINE": str(deadline),
        "LEVELUP_OV_SUBMISSION_DEADLINE": str(deadline),
        "LEVELUP_OV_READING_DEADLINE": str(deadline),
        "LEVELUP_OV_RECONCILE_GRACE": str(grace),
        **(more or {}),
    }


class Stack:
    """One gunicorn on a free port; a context manager. ``app``: what it serves."""

    def __init__(
        self, directory: Path, settings: Mapping[str, str], *, app: str = "wsgi:app", workers: int = 2
    ) -> None:
        self.settings = dict(settings)
        self._log = directory / "gunicorn.log"
        self._app = app
        self._workers = workers
        self.port = 0

    def __enter__(self) -> Stack:
        listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
        self.port = listener.getsockname()[1]
        command = [sys.executable, "-m", "gunicorn", "-c", "python:levelup_ov.gunicorn_conf"]
        with open(self._log, "ab") as log:
            self._process = subprocess.Popen(
                [*command, "--bind", f"fd://{listener.fileno()}", self._app],
                cwd=ROOT,
                env={
                    "PATH": os.environ.get("PATH", ""),
                    "PYTHONPATH": str(ROOT),
                    "WEB_CONCURRENCY": str(self._workers),
                    **self.settings,
                },
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=[listener.fileno()],
            )
        listener.close()
        until = time.monotonic() + START_SECONDS
        while time.monotonic() < until and self._process.poll() is None:
            if len(self.workers()) == self._workers and self.get("/health") == 200:
                return self
            time.sleep(0.05)
        self.__exit__()
        raise RuntimeError(f"the service does not start: {self.log()[-2000:]}")

    def __exit__(self, *_: object) -> None:
        # Nobody waits for answers any more: the quick way out.
        self._process.send_signal(signal.SIGINT)
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            for pid in [*self.workers(), self._process.pid]:
                kill(pid)
            self._process.wait()

    def workers(self) -> list[int]:
        """Process ids, oldest first."""
        return children(self._process.pid)

    def reload(self) -> None:
        """Let new workers take over, as an operator does."""
        self._process.send_signal(signal.SIGHUP)

    def log(self) -> str:
        return self._log.read_text(errors="replace")

    def records(self) -> list[dict[str, Any]]:
        """The log's records, without a line that a worker could not finish because it was killed."""
        found = []
        for line in self.log().splitlines():
            with suppress(ValueError):
                found.append(json.loads(line))
        return [record for record in found if isinstance(record, dict)]

    def post(self, path: str, body: Any, **headers: Any) -> Answer:
        return post(self.port, path, body, **headers)

    def get(self, path: str) -> int | None:
        """The status of a page that needs no key; None where there was no answer."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            connection.request("GET", path)
            return connection.getresponse().status
        except (OSError, http.client.HTTPException):
            return None
        finally:
            connection.close()


def children(pid: int) -> list[int]:
    """Process ids of the children of a process, oldest first."""
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def kill(pid: int) -> None:
    """SIGKILL, if it still runs."""
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
