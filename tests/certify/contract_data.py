"""What the certifier ships of docs/contract.rst, drawn from the page.

``python -m tests.certify.contract_data`` writes it again.
"""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "contract.rst"
DATA = ROOT / "levelup_ov" / "certify" / "contract.json"

TABLES = {
    "validation": "Members of the answer to an order validation",
    "submission": "Members of the answer to an order submission",
    "status": "Members of the answer to an order status",
    "location": "Members of a location",
    "menu": "Members of a menu",
}
_RULE = re.compile(r"^\.\. _([A-Z]+-\d+):\n\n\*\*\1\*\* \(([a-z; ]+)\)\n((?:    .*\n|\n)+)", re.MULTILINE)
"""The text of a rule is everything that is indented below its head."""


def contract_data(page: str) -> dict[str, Any]:
    """The rules by id, with source and plain text, and the types of the members of answers."""
    rules = {
        rule: {"sources": sources.split("; "), "text": _plain(text)} for rule, sources, text in _RULE.findall(page)
    }
    return {"rules": rules, "tables": {name: _table(page, title) for name, title in TABLES.items()}}


def _plain(text: str) -> str:
    words = " ".join(text.split())
    words = re.sub(r"``(.+?)``", r"\1", words)
    words = re.sub(r"`([^`]+)`_", r"\1", words)
    words = re.sub(r"\b([A-Z]+-\d+)_", r"\1", words)
    return re.sub(r"\*+([^*]+)\*+", r"\1", words)


def _table(page: str, title: str) -> dict[str, str]:
    rows = page.partition(f".. csv-table:: {title}")[2].partition("\n\n")[2].partition("\n\n")[0]
    cells = csv.reader((line.strip() for line in rows.splitlines()), skipinitialspace=True)
    return {row[0].strip("`"): row[1] for row in cells}


def dumps(data: dict[str, Any]) -> str:
    return json.dumps(data, indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    DATA.write_text(dumps(contract_data(PAGE.read_text(encoding="utf-8"))), encoding="utf-8")
