"""The page "Your adapter as a package": its commands, from an empty directory to a running service."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from levelup_ov.registry import Registry
from tests.pages import DOCS, ROOT, Shell, check_said, directives, tools
from tests.test_packaging import tracked_files

__all__ = ["tools"]

PAGE = (DOCS / "package.rst").read_text(encoding="utf-8")
SAYS = (
    "diner/levelup_ov_diner.py", "diner = levelup_ov_diner:DinerAdapter", "interface_version = 2", " passed",
    "levelup_ov-diner 0.1.0 provides it but is not enabled: add diner to LEVELUP_OV_ADAPTERS",
    "(diner, http://127.0.0.1:", "recorded in diner/tests/recordings", "./wheels/levelup_ov-", "-r pinned.txt",
    '"total":2700', "3 orders were placed",
)  # fmt: skip
"""What its commands must print, in this order."""


class Workshop(Shell):
    """A shell in an empty directory; the checkout is elsewhere."""

    timeout = 400

    def __init__(self, directory: Path) -> None:
        (directory / "empty").mkdir()
        checkout = directory / "checkout"
        for file in tracked_files():
            copy = checkout / file.relative_to(ROOT)
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes(file.read_bytes())
        (checkout / ".cache").symlink_to(ROOT / ".cache")
        super().__init__(directory / "empty", {
            "PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin", "HOME": str(Path.home()),
            "LEVELUP_OV": str(checkout), "PIP_DISABLE_PIP_VERSION_CHECK": "1", "PIP_NO_COMPILE": "1",
        })  # fmt: skip


@pytest.fixture
def workshop(tmp_path: Path, tools: None) -> Iterator[Workshop]:
    opened = Workshop(tmp_path)
    yield opened
    opened.close()


def test_the_page_leads_from_nothing_to_a_service(workshop: Workshop) -> None:
    blocks = [each for each in directives(PAGE) if each.name == "code-block:: console"]
    check_said("".join(workshop.run(block) for block in blocks), SAYS)


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
