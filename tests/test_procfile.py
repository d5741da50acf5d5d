"""What a platform runs."""

from __future__ import annotations

import shlex
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_the_processes_upgrade_the_ledger_and_serve() -> None:
    lines = (ROOT / "Procfile").read_text(encoding="utf-8").splitlines()
    processes = {name: shlex.split(command) for name, _, command in (line.partition(": ") for line in lines)}
    assert processes == {
        # Python itself: a platform installs the requirements, and not the project.
        "release": ["python", "-m", "levelup_ov", "ledger", "upgrade"],
        "web": ["python", "-m", "levelup_ov", "run"],
    }


def test_the_runtime_hint_is_a_version_that_the_package_accepts() -> None:
    assert (ROOT / ".python-version").read_text(encoding="utf-8") == "3.11\n"
    assert "python_requires = >=3.11" in (ROOT / "setup.cfg").read_text(encoding="utf-8")
