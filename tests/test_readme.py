"""The README is held to the code: the commands that people type."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.rst").read_text(encoding="utf-8")


def test_the_make_targets_of_the_readme_exist() -> None:
    named = set(re.findall(r"``?make ([a-z-]+)|^    make ([a-z-]+)", README, re.MULTILINE))
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert {a or b for a, b in named} <= targets


@pytest.mark.parametrize("command", sorted(set(re.findall(r"levelup-ov ([a-z]+(?: [a-z]+)?)", README))))
def test_the_commands_of_the_readme_exist(command: str, tmp_path: Path) -> None:
    environ = {"PYTHONPATH": str(ROOT)}
    arguments = [sys.executable, "-m", "levelup_ov", *command.split(), "--help"]
    ran = subprocess.run(arguments, cwd=tmp_path, env=environ, capture_output=True, text=True, timeout=30)
    assert ran.returncode == 0 and "Usage" in ran.stdout, ran.stderr


def test_the_files_that_the_readme_names_exist() -> None:
    named = re.findall(r"``([\w./-]+\.(?:rst|md)|docs/)``|@(docs/[\w./]+)", README)
    assert named
    for path in named:
        assert (ROOT / (path[0] or path[1])).exists(), path


def test_the_files_that_contributing_names_exist() -> None:
    page = (ROOT / "CONTRIBUTING.rst").read_text(encoding="utf-8")
    named = re.findall(r"``((?:levelup_ov|docs|tests|bench|scripts)/[a-z_0-9./]+)``", page)
    assert len(named) > 30
    assert [path for path in named if not (ROOT / path).exists()] == []


def test_the_readme_is_short_enough_to_be_read() -> None:
    assert len(README.split()) <= 850
