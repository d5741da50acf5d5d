"""The pages' commands, run in the order in which a reader runs them."""

from __future__ import annotations

import re
import shutil
import signal
import subprocess
import textwrap
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.servers.fftp import install
from tests.servers.process import SystemMissing, free_port, http, required

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"


class Directive(NamedTuple):
    """A directive of a page, such as ``code-block:: console``."""

    name: str
    options: dict[str, str]
    text: str

    @property
    def commands(self) -> str:
        return "\n".join(line.removeprefix("$ ") for line in self.text.splitlines())

    @property
    def apart(self) -> bool:
        """Whether the commands get a terminal of their own, where they keep running."""
        return self.options.get("caption") == "another terminal"


def directives(page: str) -> Iterator[Directive]:
    """The commands and included files of a page, in order."""
    head = r"^\.\. (code-block:: console|literalinclude:: .*)\n((?:   :[a-z-]+:.*\n)*)\n?((?:(?:   .*)?\n)*)"
    for match in re.finditer(head, page, re.MULTILINE):
        options = dict(re.findall(r"^   :([a-z-]+): ?(.*)$", match[2], re.MULTILINE))
        yield Directive(match[1], options, textwrap.dedent(match[3]).strip())


class Shell:
    """A shell that remembers its variables, and terminals of their own beside it."""

    timeout = 300
    """Seconds that one block may take."""

    def __init__(self, directory: Path, env: dict[str, str]) -> None:
        """:param directory: where the commands run."""
        self._directory = directory
        self._variables = directory.parent / "variables"
        self._apart: list[subprocess.Popen[bytes]] = []
        self._port = 0
        self.env = {**env, "WEB_CONCURRENCY": "1"}

    def run(self, block: Directive) -> str:
        """Run a block; what it prints."""
        commands = block.commands.replace("127.0.0.1:8000", f"127.0.0.1:{self._port}")
        if block.apart:
            return self._start(commands)
        ran = subprocess.run(
            ["bash", "-c", f"set -eu\n{commands}\nenv -0 > {self._variables}"], cwd=self._directory, env=self.env,
            capture_output=True, text=True, timeout=self.timeout,
        )  # fmt: skip
        assert ran.returncode == 0, f"{commands}\n{ran.stdout}\n{ran.stderr}"
        self.env |= dict(entry.split("=", 1) for entry in self._variables.read_text().rstrip("\0").split("\0"))
        return ran.stdout + ran.stderr

    def _start(self, command: str) -> str:
        """Start what keeps running, and wait until it answers or has printed what to export."""
        self._port = free_port()
        log = self._directory.parent / f"log{len(self._apart)}"
        with open(log, "wb") as stream:
            process = subprocess.Popen(
                ["bash", "-c", f"exec {command}"], cwd=self._directory, env={**self.env, "PORT": str(self._port)},
                stdout=stream, stderr=stream,
            )  # fmt: skip
        self._apart.append(process)
        for _ in range(300):
            said = log.read_text(errors="replace")
            if line := re.search(r"^export (.+)$", said, re.MULTILINE):
                self.env |= dict(each.split("=", 1) for each in line[1].split())
                return said
            if self._answers():
                return said
            assert process.poll() is None, f"{command} ended: {said}"
            time.sleep(0.1)
        raise AssertionError(f"{command} is not ready: {said}")

    def _answers(self) -> bool:
        try:
            return bool(http("GET", f"http://127.0.0.1:{self._port}/health").ok)
        except OSError:
            return False

    def close(self) -> None:
        for process in reversed(self._apart):
            process.send_signal(signal.SIGINT)
            process.wait(timeout=20)


@pytest.fixture
def tools(request: pytest.FixtureRequest) -> None:
    """What the commands need; a test that asks for it is skipped where that cannot be had."""
    with required(request, "the pages' commands"):
        if missing := [tool for tool in ("bash", "curl", "sed") if shutil.which(tool) is None]:
            raise SystemMissing(f"no {', '.join(missing)}")
        install()


def check_said(said: str, expected: Iterable[str]) -> None:
    """``said`` holds the ``expected`` words in this order."""
    place = 0
    for words in expected:
        place = said.find(words, place)
        assert place >= 0, f"{words} is not said, or too early:\n{said}"
