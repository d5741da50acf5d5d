"""The official client of the Model Context Protocol, unmodified, as a process that calls tools on request."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.servers.process import CACHE, install_once, run

AGENT = Path(__file__).with_name("mcp_agent.py")
REQUIREMENTS = Path(__file__).with_name("requirements-mcp.txt")


def install(cache: Path = CACHE / "mcp") -> Path:
    """The interpreter of a virtual environment that holds the client; installed if it is not yet.

    :raises SystemMissing: it cannot be installed.
    """
    key = hashlib.sha256(REQUIREMENTS.read_bytes() + sys.version.encode()).hexdigest()[:16]
    return install_once(cache / key, _build) / "bin" / "python"


def _build(directory: Path) -> None:
    python = directory / "bin" / "python"
    run([sys.executable, "-m", "venv", directory], seconds=120)
    pip: list[str | Path] = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    run([*pip, "--no-deps", "-r", REQUIREMENTS], seconds=300)


class McpClient:
    """A connection to the server at ``url``; a context manager. ``mode``: see the client's own documentation.

    ``version`` is the one that both use, ``tools`` are the schemas of arguments by the tools' names.
    """

    def __init__(self, python: Path, url: str, key: str, mode: str = "auto") -> None:
        self._command = [python, AGENT, url, mode]
        self._key = key
        self.version = ""
        self.tools: dict[str, Any] = {}

    def __enter__(self) -> McpClient:
        self._process = subprocess.Popen(
            self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env={"AGENT_KEY": self._key}
        )
        try:
            said = self._hear()
        except BaseException:
            self.__exit__()
            raise
        self.version, self.tools = said["version"], said["tools"]
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.close()
        try:
            self._process.wait(10)
        finally:
            self._process.kill()
            self._process.wait()
            self._process.stdout.close()

    def call(self, name: str, arguments: dict[str, Any]) -> dict[str, Any]:
        """What came of a call: ``content`` and ``text``, or ``error``, ``message`` and ``data``."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps([name, arguments]) + "\n")
        self._process.stdin.flush()
        return self._hear()

    def _hear(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        if not (line := self._process.stdout.readline()):
            raise RuntimeError("the client ended; its standard error says why")
        said: dict[str, Any] = json.loads(line)
        return said
