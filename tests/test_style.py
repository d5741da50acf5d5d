"""House rules that a tool does not check."""

from __future__ import annotations

import ast
import re
import sys
from collections import defaultdict
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
LONGEST_NAME = 60
TWINS = {
    "Address": "of a guest, at two stand-ins",
    "Amounts": "what LevelUp charges, as we and as its stand-in compute it",
    "Cart": "of a provider",
    "NotFound": "a provider's 404",
    "PermissionsRequest": "LevelUp's, as we and as its stand-in see it",
    "Proposal": "LevelUp's, as we and as its stand-in see it",
    "Transaction": "of a stand-in's database",
}
"""Classes of one name that mean the same thing in several modules."""


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


def test_no_two_classes_of_one_name_mean_different_things() -> None:
    """Classes inside others belong to one module."""
    modules = defaultdict(list)
    for path in [*ROOT.glob("levelup_ov/**/*.py"), *ROOT.glob("adapters/*.py")]:
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.ClassDef):
                modules[node.name].append(str(path.relative_to(ROOT)))
    assert {name: found for name, found in modules.items() if len(found) > 1 and name not in TWINS} == {}
    assert [name for name in TWINS if len(modules[name]) < 2] == []


def test_what_is_copied_needs_no_exceptions_of_the_formatter() -> None:
    files = [file for part in ("docs", "levelup_ov/scaffold/templates") for file in ROOT.glob(f"{part}/*/*")]
    copied = [
        path for path in (*files, *ROOT.glob("levelup_ov/scaffold/templates/*")) if path.suffix in (".py", ".tmpl")
    ]
    assert len(copied) > 10
    assert [path.name for path in copied if "fmt: skip" in path.read_text(encoding="utf-8")] == []
