"""The pages: they build without a warning, and every command and snippet of the guides is run."""

from __future__ import annotations

import ast
import os
import re
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator, Set
from html.parser import HTMLParser
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote

import pytest

from levelup_ov.domain.submission import TRANSITIONS
from levelup_ov.errors import KINDS
from tests.servers.fftp import install
from tests.servers.process import SystemMissing, free_port, http, required

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
TUTORIAL = (DOCS / "tutorial.rst").read_text(encoding="utf-8")
DINER = (DOCS / "tutorial" / "diner.py").read_text(encoding="utf-8")

INCLUDED = "literalinclude:: tutorial/diner.py"
SERVE = "levelup-ov run"
SAYS = {
    "quickstart": (
        '"Sandbox Diner"', '"sandbox.tokyo"', '"option_groups"', '"total":1000', "Idempotency-Replayed: true",
        '"card_declined"',
    ),
    "tutorial": (
        '"Boston Deli"', '"price_cents"', '"correct_total_cents":300', "test_diner_contract.py", "DinerAdapter",
        "TODO (EP-4): give `orders`", "TODO (LOC-1", " passed", " passed", " passed", "(diner, http://127.0.0.1:",
        "diner.main: healthy", '"total":2700', '"order_id"', '"paid":true', "3 orders were placed",
    ),
    "certification": ("3 orders were placed", "menu.json: healthy", "without its parent option"),
}  # fmt: skip
"""What the commands of a page must print, in this order."""


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


def shown_lines(options: dict[str, str]) -> range:
    """The lines of the diner's module that a ``literalinclude`` with these options shows, from 0."""
    lines = DINER.splitlines()
    if name := options.get("pyobject"):
        found: ast.AST = ast.parse(DINER)
        for part in name.split("."):
            (found,) = [node for node in ast.iter_child_nodes(found) if getattr(node, "name", None) == part]
        assert isinstance(found, ast.FunctionDef)
        return _extent(found)
    start = next(number for number, line in enumerate(lines) if options["start-at"] in line)
    return range(start, next(n for n, line in enumerate(lines) if n > start and options["end-before"] in line))


def module_so_far(shown: Set[int], scaffold: str) -> str:
    """The diner's module when only the ``shown`` lines have been typed into the scaffold's."""
    lines, begun = DINER.splitlines(), scaffold.splitlines()
    drafts = {node.name: begun[_extent(node).start : _extent(node).stop] for node in _functions(scaffold)}
    for function in sorted(_functions(DINER), key=lambda node: -node.lineno):
        if function.lineno - 1 not in shown:
            lines[_extent(function).start : _extent(function).stop] = drafts.get(function.name, [])
    return "\n".join(lines)


def _functions(source: str) -> list[ast.FunctionDef]:
    return [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.FunctionDef)]


def _extent(node: ast.FunctionDef) -> range:
    assert node.end_lineno is not None and not node.decorator_list
    return range(node.lineno - 1, node.end_lineno)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The pages, built with warnings as errors."""
    out = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "sphinx", "-qnW", "--keep-going", "-b", "html", str(DOCS), str(out)]
    built = subprocess.run([*command, "-d", str(out / ".trees")], capture_output=True, text=True, timeout=120)
    assert built.returncode == 0, built.stderr
    return out


class Links(HTMLParser):
    """The links and the anchors of a page."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.links: set[str] = set()
        self.anchors: set[str] = set()
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if given.get("id"):
            self.anchors.add(given["id"] or "")
        if tag == "a" and given.get("href"):
            self.links.add(given["href"] or "")


def test_every_link_within_the_pages_leads_somewhere(site: Path) -> None:
    pages = {path: Links(path) for path in site.rglob("*.html")}
    broken = []
    for path, page in pages.items():
        for link in page.links:
            target, _, anchor = link.partition("#")
            if "://" in target or target.startswith("mailto:"):
                continue
            found = (path.parent / unquote(target)).resolve() if target else path
            if not found.exists() or (anchor and found in pages and unquote(anchor) not in pages[found].anchors):
                broken.append(f"{path.relative_to(site)}: {link}")
    assert broken == []


def test_the_guide_of_each_alert_is_a_paragraph(site: Path) -> None:
    guides = re.findall(r"guide: (\S+)#(\S+)", (DOCS / "operating" / "alerts.yml").read_text(encoding="utf-8"))
    assert len(guides) > 10
    assert [(page, anchor) for page, anchor in guides if anchor not in Links(site / page).anchors] == []


def test_the_id_of_a_rule_leads_to_the_rule(site: Path) -> None:
    assert "contract.html#time-4" in Links(site / "operating.html").links | Links(site / "interface.html").links
    assert "../contract.html#pay-1" in Links(site / "providers" / "square.html").links


def test_every_error_has_its_entry(site: Path) -> None:
    text = (site / "errors.html").read_text(encoding="utf-8")
    assert {f"error-{code.replace('_', '-')}" for code in KINDS} <= Links(site / "errors.html").anchors
    assert text.count("Remedy") == len(KINDS)


def test_every_change_of_a_state_is_in_the_operating_guide(site: Path) -> None:
    text = (site / "operating.html").read_text(encoding="utf-8")
    assert [change.meaning for change in TRANSITIONS.values() if change.meaning not in text] == []


def test_the_tutorial_shows_every_line_of_the_adapter_once() -> None:
    lines = DINER.splitlines()
    included = [each for each in directives(TUTORIAL) if each.name == INCLUDED]
    shown = [number for each in included for number in shown_lines(each.options) if lines[number].strip()]
    assert sorted(shown) == [number for number, line in enumerate(lines) if line.strip()]


def test_the_tutorial_keeps_its_word_on_size() -> None:
    assert len(DINER.partition("\nfrom levelup_ov")[2].partition(")\n")[2].splitlines()) <= 145
    assert len((DOCS / "tutorial" / "test_diner.py").read_text(encoding="utf-8").splitlines()) <= 40


class Terminal:
    """A copy of the checkout with a shell that remembers its variables, and terminals of their own beside it."""

    def __init__(self, directory: Path) -> None:
        self.checkout = directory / "checkout"
        ignored = shutil.ignore_patterns("__pycache__", "_build")
        for name in ("levelup_ov", "adapters", "docs", "tests/servers"):
            shutil.copytree(ROOT / name, self.checkout / name, ignore=ignored)
        for name in ("setup.cfg", "wsgi.py"):
            shutil.copy(ROOT / name, self.checkout)
        (self.checkout / "tests" / "providers").mkdir()
        (self.checkout / ".cache").symlink_to(ROOT / ".cache")
        self.port = 0
        commands = directory / "commands"
        commands.mkdir()
        command = commands / "levelup-ov"  # of this copy, not the installed one
        command.write_text(f'#!/bin/sh\nexec {sys.executable} -m levelup_ov "$@"\n')
        command.chmod(0o755)
        self.env = {
            "PATH": f"{commands}:{Path(sys.executable).parent}:{os.environ['PATH']}",
            "HOME": str(directory),
            "WEB_CONCURRENCY": "1",
        }
        self._variables = directory / "variables"
        self._apart: list[subprocess.Popen[bytes]] = []

    def run(self, block: Directive) -> str:
        """Run a block; what it prints."""
        commands = block.commands.replace("127.0.0.1:8000", f"127.0.0.1:{self.port}")
        if block.apart:
            return self._start(commands)
        script = f"set -eu\n{commands}\nenv -0 > {self._variables}"
        arguments = ["bash", "-c", script]
        ran = subprocess.run(arguments, cwd=self.checkout, env=self.env, capture_output=True, text=True, timeout=120)
        assert ran.returncode == 0, f"{commands}\n{ran.stdout}\n{ran.stderr}"
        entries = self._variables.read_text().rstrip("\0").split("\0")
        self.env |= dict(entry.split("=", 1) for entry in entries)
        return ran.stdout + ran.stderr

    def _start(self, command: str) -> str:
        """Start what keeps running, and wait until it is there."""
        # `make run` without setting up an environment: a test below says that this is what it does then.
        command = f"LEVELUP_OV_ENV=development exec {SERVE}" if command == "make run" else f"exec {command}"
        self.port = free_port()
        log = self.checkout.parent / f"log{len(self._apart)}"
        environ = {**self.env, "PORT": str(self.port)}
        with open(log, "wb") as stream:
            self._apart.append(
                subprocess.Popen(["bash", "-c", command], cwd=self.checkout, env=environ, stdout=stream, stderr=stream)
            )
        for _ in range(300):
            said = log.read_text(errors="replace")
            if line := re.search(r"^export (.+)$", said, re.MULTILINE):
                self.env |= dict(each.split("=", 1) for each in line[1].split())
                return said
            if self._answers():
                return said
            assert self._apart[-1].poll() is None, f"{command} ended: {said}"
            time.sleep(0.1)
        raise AssertionError(f"{command} is not ready: {said}")

    def _answers(self) -> bool:
        try:
            return bool(http("GET", f"http://127.0.0.1:{self.port}/health").ok)
        except OSError:
            return False

    def close(self) -> None:
        for process in reversed(self._apart):
            process.send_signal(signal.SIGINT)
            process.wait(timeout=20)


@pytest.fixture
def terminal(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Terminal]:
    with required(request, "the guides' commands"):
        if missing := [tool for tool in ("bash", "curl", "sed") if shutil.which(tool) is None]:
            raise SystemMissing(f"no {', '.join(missing)}")
        install()
    opened = Terminal(tmp_path)
    try:
        yield opened
    finally:
        opened.close()


@pytest.mark.parametrize("page", sorted(SAYS))
def test_the_commands_of_a_guide_do_what_it_says(page: str, terminal: Terminal) -> None:
    shown: set[int] = set()
    said = scaffold = ""
    module = terminal.checkout / "adapters" / "diner.py"
    for directive in directives((DOCS / f"{page}.rst").read_text(encoding="utf-8")):
        if directive.name == INCLUDED:
            shown |= set(shown_lines(directive.options))
        elif directive.name == "code-block:: console":
            if shown:
                scaffold = scaffold or module.read_text(encoding="utf-8")
                module.write_text(module_so_far(shown, scaffold), encoding="utf-8")
            said += terminal.run(directive)
    assert not shown or module.read_text(encoding="utf-8").split() == DINER.split()
    place = 0
    for words in SAYS[page]:
        place = said.find(words, place)
        assert place >= 0, f"{words} is not said, or too early:\n{said}"


def test_make_run_serves_as_the_guides_are_tested() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert f"run: $(VENV)/runtime\n\t$(BIN)/{SERVE}\n" in makefile
    assert "export LEVELUP_OV_ENV ?= development\n" in makefile
