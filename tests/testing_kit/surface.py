"""What partners import, as text: ``python -m tests.testing_kit.surface`` writes it anew."""

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
NAMES = (
    "levelup_ov.adapter: INTERFACE_VERSION Account Adapter Setting",
    "levelup_ov.transport.answer: Answer",
    "levelup_ov.domain.failure: Failure",
    "levelup_ov.domain.location: Location Span opening_hours unknown_hours",
    "levelup_ov.domain.menu: Category CategoryGroup Menu MenuItem MenuOption OptionGroup check",
    "levelup_ov.domain.money: from_decimal to_decimal percentage is_cents",
    "levelup_ov.domain.options: Choice Option decode_path encode_path flatten nest",
    "levelup_ov.domain.order: DeliveryAddress Item Order User",
    "levelup_ov.domain.outcome: Fee Placed Quote",
    "levelup_ov.domain.ready_time: Ready in_minutes localize to_wire",
    "levelup_ov.domain.secret: Secret",
    "levelup_ov.domain.tender: CreditCard LevelUp",
    "levelup_ov.errors: Refused Unanswered broken_protocol",
    "levelup_ov.transport.auth: Login",
    "levelup_ov.transport.session: Reply Session Transport",
    "levelup_ov.testing: AdapterContract Provider Recorded Refusal Sample",
)
"""Modules and what they offer partners."""


def surface() -> str:
    """One line for each name, field, method and property, with its signature."""
    lines: list[str] = []
    for module, names in (line.split(": ") for line in NAMES):
        for name in names.split():
            lines += _described(f"{module}.{name}", getattr(import_module(module), name))
    return "\n".join(lines) + "\n"


def _described(name: str, thing: Any) -> Iterator[str]:
    if not callable(thing):
        yield f"{name} = {thing!r}"
    elif not inspect.isclass(thing):
        yield f"{name}{inspect.signature(thing)}"
    else:
        yield f"{name}{_signature(thing)}"
        fields = {field.name for field in dataclasses.fields(thing)} if dataclasses.is_dataclass(thing) else set()
        for member, value in sorted(_members(thing).items()):
            if member.startswith("_") or member in fields or member.startswith("test_"):
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
