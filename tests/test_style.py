"""House rules that a tool does not check."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
LONGEST_NAME = 60


def test_names_of_tests_have_at_most_60_characters() -> None:
    files = [*ROOT.glob("tests/**/*.py"), *ROOT.glob("levelup_ov/testing/*.py"), *ROOT.glob("docs/tutorial/*.py")]
    names = [name for path in files for name in re.findall(r"def (test_\w+)", path.read_text(encoding="utf-8"))]
    assert names
    assert [name for name in names if len(name) > LONGEST_NAME] == []
