"""What partners import changes only on purpose."""

from __future__ import annotations

import ast
from pathlib import Path

from levelup_ov.adapter import interface
from tests.testing_kit.surface import SURFACE, surface

ADVICE = (
    "Adapters of others are built on this. Members that they may leave out can be added; for any other change raise "
    "INTERFACE_VERSION, so that the boot stops instead of an order. Then: python -m tests.testing_kit.surface"
)


def test_what_partners_import_is_as_it_was() -> None:
    assert surface().splitlines() == SURFACE.read_text(encoding="utf-8").splitlines(), ADVICE


def test_the_interface_stays_under_150_lines() -> None:
    source = Path(str(interface.__file__)).read_text(encoding="utf-8")
    assert len(source.splitlines()) < 150
    classes = [node for node in ast.parse(source).body if isinstance(node, ast.ClassDef)]
    assert all(ast.get_docstring(each) for node in classes for each in node.body if isinstance(each, ast.FunctionDef))
