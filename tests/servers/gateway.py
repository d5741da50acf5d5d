"""The service itself as it is deployed: gunicorn over ``wsgi:app``, with one worker, in development mode."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from tests.servers.process import Server

ROOT = Path(__file__).parents[2]


class Gateway(Server):
    """The service. ``variables`` are added to its environment; without any it serves the sandbox."""

    name = "levelup_ov"
    ready_path = "/health"

    def __init__(self, **variables: str) -> None:
        super().__init__()
        self._variables = variables

    def command(self, directory: Path) -> Sequence[str | Path]:
        return [sys.executable, "-m", "gunicorn", "-c", "python:levelup_ov.gunicorn_conf", "wsgi:app"]

    def environment(self) -> dict[str, str]:
        return {
            "PYTHONPATH": str(ROOT),
            "PORT": str(self.port),
            "WEB_CONCURRENCY": "1",
            "LEVELUP_OV_ENV": "development",
            "LEVELUP_OV_DATA_DIR": str(self.directory / "data"),
            **self._variables,
        }
