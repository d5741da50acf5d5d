"""House rules that a tool does not check."""

from __future__ import annotations

import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
LONGEST_NAME = 60


def test_names_of_tests_have_at_most_60_characters() -> None:
    files = [*ROOT.glob("tests/**/*.py"), *ROOT.glob("levelup_ov/testing/*.py"), *ROOT.glob("docs/tutorial/*.py")]
    names = [name for path in files for name in re.findall(r"def (test_\w+)", path.read_text(encoding="utf-8"))]
    assert names
    assert [name for name in names if len(name) > LONGEST_NAME] == []


def test_no_file_beside_a_test_hides_a_standard_module() -> None:
    """pytest puts the directory of each test first on the path; a process that a test starts would import the file."""
    files = {path.stem for test in ROOT.glob("tests/**/test_*.py") for path in test.parent.glob("*.py")}
    # Python itself has imported ``site`` before any path counts.
    assert files & sys.stdlib_module_names <= {"site"}
