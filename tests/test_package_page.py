"""The page "Your adapter as a package": its commands, from an empty directory to a running service."""

from __future__ import annotations

import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from levelup_ov.registry import Registry
from tests.servers.fftp import install
from tests.servers.process import SystemMissing, free_port, http, required
from tests.test_docs import DOCS, Directive, directives
from tests.test_packaging import ROOT, tracked_files

PAGE = (DOCS / "package.rst").read_text(encoding="utf-8")
SAYS = (
    "diner/levelup_ov_diner.py", "diner = levelup_ov_diner:DinerAdapter", "interface_version = 2", " passed",
    "levelup_ov-diner 0.1.0 offers it, and is not enabled: add diner to LEVELUP_OV_ADAPTERS",
    "(diner, http://127.0.0.1:", "recorded in diner/tests/recordings", "./wheels/levelup_ov-", "-r pinned.txt",
    '"total":2700', "3 orders were placed",
)  # fmt: skip
"""What its commands must print, in this order."""


class Workshop:
    """An empty directory with a shell that remembers its variables; the checkout is elsewhere."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory / "empty"
        self._directory.mkdir()
        self._checkout = directory / "checkout"
        for file in tracked_files():
            copy = self._checkout / file.relative_to(ROOT)
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes(file.read_bytes())
        (self._checkout / ".cache").symlink_to(ROOT / ".cache")
        self._port = free_port()
        self._log = directory / "log"
        self._apart: list[subprocess.Popen[bytes]] = []
        self._env = {"PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin", "HOME": str(Path.home()),
                     "LEVELUP_OV": str(self._checkout), "WEB_CONCURRENCY": "1", "PORT": str(self._port),
                     "PIP_DISABLE_PIP_VERSION_CHECK": "1"}  # fmt: skip

    def run(self, block: Directive) -> str:
        """Run a block; what it prints."""
        commands = block.commands.replace("127.0.0.1:8000", f"127.0.0.1:{self._port}")
        if block.apart:
            return self._start(commands)
        variables = self._directory.parent / "variables"
        script = f"set -eu\n{commands}\nenv -0 > {variables}"
        ran = subprocess.run(
            ["bash", "-c", script], cwd=self._directory, env=self._env, capture_output=True, text=True, timeout=400
        )
        assert ran.returncode == 0, f"{commands}\n{ran.stdout}\n{ran.stderr}"
        self._env |= dict(entry.split("=", 1) for entry in variables.read_text().rstrip("\0").split("\0"))
        return ran.stdout + ran.stderr

    def _start(self, command: str) -> str:
        with open(self._log, "wb") as stream:
            self._apart.append(subprocess.Popen(["bash", "-c", f"exec {command}"], cwd=self._directory, env=self._env,
                                                stdout=stream, stderr=stream))  # fmt: skip
        for _ in range(300):
            said = self._log.read_text(errors="replace")
            if line := re.search(r"^export (.+)$", said, re.MULTILINE):
                self._env |= dict(each.split("=", 1) for each in line[1].split())
                return said
            if self._answers():
                return said
            assert self._apart[-1].poll() is None, f"{command} ended: {said}"
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
def workshop(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Workshop]:
    with required(request, "the page's commands"):
        if missing := [tool for tool in ("bash", "curl", "sed") if shutil.which(tool) is None]:
            raise SystemMissing(f"no {', '.join(missing)}")
        install()
    opened = Workshop(tmp_path)
    try:
        yield opened
    finally:
        opened.close()


def test_the_page_leads_from_nothing_to_a_service(workshop: Workshop) -> None:
    blocks = [each for each in directives(PAGE) if each.name == "code-block:: console"]
    said = "".join(workshop.run(block) for block in blocks)
    place = 0
    for words in SAYS:
        place = said.find(words, place)
        assert place >= 0, f"{words} is not said, or too early:\n{said}"


def test_the_page_runs_what_the_procfile_runs() -> None:
    commands = "\n".join(each.commands for each in directives(PAGE) if each.name == "code-block:: console")
    for line in (ROOT / "Procfile").read_text(encoding="utf-8").splitlines():
        command = line.partition(": ")[2].replace("python -m levelup_ov", "levelup-ov")
        assert f"environment/bin/{command}\n" in f"{commands}\n"


def test_the_smallest_adapter_starts_and_has_20_lines() -> None:
    source = (DOCS / "package" / "smallest.py").read_text(encoding="utf-8")
    body = [line for line in source.partition("class ")[2].splitlines() if line.strip()]
    assert len(body) <= 20
    adapter = Registry(("smallest=docs.package.smallest:SmallestAdapter",)).adapter_class("smallest")
    assert not adapter.__abstractmethods__


INSTALLS = re.compile(r"pip (?:install|wheel) (.*)")


@pytest.mark.parametrize("path", ["README.rst", "CONTRIBUTING.rst", "docs", "levelup_ov/scaffold"])
def test_no_line_installs_ours_by_a_name(path: str) -> None:
    """On an index, the name could be anybody's."""
    files = [file for file in tracked_files() if f"{file.relative_to(ROOT)}".startswith(path) and _is_text(file)]
    lines = [line for file in files for line in INSTALLS.findall(file.read_text(encoding="utf-8"))]
    names = [word.strip("'\"`") for line in lines for word in line.split()]
    assert [name for name in names if re.match(r"levelup[-_]ov(?![\w/]*/)(?!-\*)", name)] == []


def _is_text(file: Path) -> bool:
    return file.suffix in (".rst", ".py", ".toml", ".tmpl", ".cfg")
