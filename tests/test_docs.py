"""The pages: they build without a warning, and every command and snippet of the guides is run."""

from __future__ import annotations

import ast
import os
import re
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator, Set
from contextlib import closing
from html.parser import HTMLParser
from pathlib import Path
from typing import get_args
from urllib.parse import unquote

import pytest

from levelup_ov.domain.submission import TRANSITIONS, Finding
from levelup_ov.errors import KINDS
from levelup_ov.ledger.engine import COMPATIBILITY_TABLE, REVISIONS, upgrade
from tests.pages import DOCS, ROOT, Shell, check_said, directives, tools

__all__ = ["tools"]

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
        "TODO (EP-4): list `orders`", "TODO (LOC-1", " passed", " passed", " passed", "(diner, http://127.0.0.1:",
        "diner.main: healthy", '"total":2700', '"order_id"', '"paid":true', "3 orders were placed",
    ),
    "certification": ("3 orders were placed", "menu.json: healthy", "without its parent option"),
}  # fmt: skip
"""What the commands of a page must print, in this order."""


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
    built = subprocess.run([*command, "-d", str(out / ".trees")], capture_output=True, text=True, timeout=400)
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


def test_the_page_says_which_releases_each_schema_serves(site: Path, tmp_path: Path) -> None:
    upgrade(f"sqlite:///{tmp_path}/ledger.db")
    with closing(sqlite3.connect(tmp_path / "ledger.db")) as database:
        oldest = dict(database.execute(f"SELECT revision, oldest FROM {COMPATIBILITY_TABLE}"))
    page = re.sub(r"<[^>]+>", " ", (site / "bad_days.html").read_text(encoding="utf-8"))
    shown = re.findall(r"(\d{4})\s+[^\d]+?(\d{4}) and later(: it only adds)?\s", page)
    assert shown == [(each, oldest.get(each, each), ": it only adds" * (each in oldest)) for each in REVISIONS]


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


def error_events() -> Iterator[tuple[str, str]]:
    """Each module that logs at ERROR, and the event; where that is a variable, every text in the function."""
    for path in [*ROOT.glob("levelup_ov/**/*.py"), *ROOT.glob("adapters/*.py")]:
        if "standins" in path.parts:
            continue
        for function in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(function, ast.FunctionDef):
                continue
            texts = {each.value for each in ast.walk(function) if isinstance(each, ast.Constant)}
            for call in ast.walk(function):
                if isinstance(call, ast.Call) and ast.unparse(call.func) in ("log.error", "log.exception"):
                    first = call.args[0]
                    if isinstance(first, ast.Constant):
                        yield path.name, str(first.value)
                    else:
                        events = (str(text) for text in texts if re.fullmatch(r"[a-z]+(_[a-z]+){2,}", str(text)))
                        yield from ((path.name, event) for event in events)


def test_every_event_at_error_is_in_the_operating_guide() -> None:
    guide = (DOCS / "operating.rst").read_text(encoding="utf-8")
    terms = set(re.findall(r"``(\w+)``", " ".join(re.findall(r"^``.*``$", guide, re.MULTILINE))))
    logged = {*error_events(), *(("findings", name) for name in get_args(Finding))}
    assert len(logged) > 25
    assert sorted((where, name) for where, name in logged if name not in terms) == []


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


class Terminal(Shell):
    """A shell in a copy of the checkout."""

    def __init__(self, directory: Path) -> None:
        self.checkout = directory / "checkout"
        ignored = shutil.ignore_patterns("__pycache__", "_build")
        for name in ("levelup_ov", "adapters", "docs", "tests/servers"):
            shutil.copytree(ROOT / name, self.checkout / name, ignore=ignored)
        for name in ("setup.cfg", "wsgi.py"):
            shutil.copy(ROOT / name, self.checkout)
        (self.checkout / "tests" / "providers").mkdir()
        (self.checkout / ".cache").symlink_to(ROOT / ".cache")
        commands = directory / "commands"
        commands.mkdir()
        command = commands / "levelup-ov"  # of this copy, not the installed one
        command.write_text(f'#!/bin/sh\nexec {sys.executable} -m levelup_ov "$@"\n')
        command.chmod(0o755)
        path = f"{commands}:{Path(sys.executable).parent}:{os.environ['PATH']}"
        super().__init__(self.checkout, {"PATH": path, "HOME": str(directory)})

    def _start(self, command: str) -> str:
        # `make run` without setting up an environment: a test below says that this is what it does then.
        return super()._start(f"env LEVELUP_OV_ENV=development {SERVE}" if command == "make run" else command)


@pytest.fixture
def terminal(tmp_path: Path, tools: None) -> Iterator[Terminal]:
    opened = Terminal(tmp_path)
    yield opened
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
    check_said(said, SAYS[page])


def test_make_run_serves_as_the_guides_are_tested() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert f"run: $(VENV)/runtime\n\t$(BIN)/{SERVE}\n" in makefile
    assert "export LEVELUP_OV_ENV ?= development\n" in makefile
