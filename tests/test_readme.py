"""The README is held to the code: its tables, and the commands that it tells people to type."""

from __future__ import annotations

import csv
import re
import subprocess
import sys
from pathlib import Path

import pytest

from levelup_ov.config import VARIABLES
from levelup_ov.standins.sandbox.magic import CARDS, TOKENS

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.rst").read_text(encoding="utf-8")


def table(header: str) -> list[list[str]]:
    rows = README.partition(f':header: {header}\n')[2].partition("\n\n")[2].partition("\n\n")[0]
    return list(csv.reader((line.strip() for line in rows.splitlines()), skipinitialspace=True))


def test_every_variable_stands_in_the_readme() -> None:
    expected = [[f"``{each.name}``", each.meaning, each.default] for each in VARIABLES]
    assert table('"Variable", "Meaning", "Default"') == expected


def test_every_magic_value_stands_in_the_readme() -> None:
    assert table('"Value", "What happens"') == [[f"``{value}``", text] for value, text in {**TOKENS, **CARDS}.items()]


def test_the_make_targets_of_the_readme_exist() -> None:
    named = set(re.findall(r"``?make ([a-z-]+)|^    make ([a-z-]+)", README, re.MULTILINE))
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert {a or b for a, b in named} <= targets


@pytest.mark.parametrize("command", sorted(set(re.findall(r"flask --app wsgi ([a-z]+(?: [a-z]+)?)", README))))
def test_the_commands_of_the_readme_exist(command: str, tmp_path: Path) -> None:
    environ = {"PATH": "", "LEVELUP_OV_ENV": "development", "LEVELUP_OV_DATA_DIR": str(tmp_path)}
    arguments = [sys.executable, "-m", "flask", "--app", "wsgi", *command.split(), "--help"]
    ran = subprocess.run(arguments, cwd=ROOT, env=environ, capture_output=True, text=True, timeout=30)
    assert ran.returncode == 0 and "Usage" in ran.stdout, ran.stderr


def test_the_files_that_the_readme_links_to_exist() -> None:
    for path in re.findall(r"<([\w./]+)>`_|@(docs/[\w./]+)", README):
        assert (ROOT / (path[0] or path[1])).exists()
