"""Prints requirements with the lowest version of each library that setup.cfg allows, and the tools of the tests."""

from __future__ import annotations

import configparser
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def lowest() -> list[str]:
    """The lines. What the libraries bring along is not pinned: it is up to them."""
    parser = configparser.ConfigParser()
    parser.read(ROOT / "setup.cfg", encoding="utf-8")
    needed = parser["options"]["install_requires"] + "\n" + parser["options.extras_require"]["redis"]
    floors = re.findall(r"^([A-Za-z0-9_.-]+(?:\[[a-z]+\])?)>=([0-9][0-9a-z.]*)", needed, re.MULTILINE)
    # The tools are those above the blank line; below it is what they bring along.
    tools = (ROOT / "requirements-dev.txt").read_text(encoding="utf-8").partition("\n\n")[0].splitlines()
    return [f"{name}=={version}" for name, version in floors] + [
        line.partition(" ")[0] for line in tools if line and line[0] not in "#-"
    ]


if __name__ == "__main__":
    print(*lowest(), sep="\n")
