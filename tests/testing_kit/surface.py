"""What partners import, as text: ``python -m tests.testing_kit.surface`` rewrites it."""

from __future__ import annotations

import dataclasses
import inspect
import re
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

from levelup_ov.transport.session import Session

SURFACE = Path(__file__).with_name("surface.txt")
MODULES = ("levelup_ov.adapter", "levelup_ov.testing")
"""What partners import from; ``__all__`` of each says what it offers."""


def surface() -> str:
    """One line for each name, field, method and property, with its signature."""
    lines: list[str] = []
    for module in MODULES:
        for name in import_module(module).__all__:
            lines += _described(f"{module}.{name}", getattr(import_module(module), name))
    return "\n".join(lines) + "\n"


def _described(name: str, thing: Any) -> Iterator[str]:
    if inspect.isfunction(thing):
        yield f"{name}{inspect.signature(thing)}"
    elif not inspect.isclass(thing) or not thing.__module__.startswith("levelup_ov"):
        yield f"{name} = {thing!r}"
    else:
        yield f"{name}{_signature(thing)}"
        fields = {field.name for field in dataclasses.fields(thing)} if dataclasses.is_dataclass(thing) else set()
        for member, value in sorted(_members(thing).items()):
            if member.startswith(("_", "test_")) or member in fields:
                continue
            if isinstance(value, (staticmethod, classmethod)):
                value = value.__func__
            if inspect.isfunction(value):
                yield f"{name}.{member}{inspect.signature(value)}"
            else:
                yield f"{name}.{member}"


def _signature(thing: type) -> str:
    """How it is made; nothing for what only the service makes."""
    return re.sub(r"<function (\w+) at \w+>", r"\1", str(inspect.signature(thing))) if thing is not Session else ""


def _members(thing: type) -> dict[str, Any]:
    """What a class and its bases of ours define."""
    ours = [base for base in thing.__mro__ if base.__module__.startswith("levelup_ov")]
    found: dict[str, Any] = {}
    for base in reversed(ours):
        found |= dict.fromkeys(inspect.get_annotations(base)) | vars(base)
    return found


if __name__ == "__main__":
    SURFACE.write_text(surface(), encoding="utf-8")
