"""The text of the contract, shipped with the package: ``contract.json`` is made from docs/contract.rst."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any


@dataclass(frozen=True, slots=True)
class Rule:
    """``sources`` are some of documents, later edition and decision; ``text`` is plain text."""

    id: str
    sources: tuple[str, ...]
    text: str


@cache
def rules() -> Mapping[str, Rule]:
    """Every rule by its id, in the order of the page."""
    return {id: Rule(id, tuple(rule["sources"]), rule["text"]) for id, rule in _data()["rules"].items()}


def table(name: str) -> Mapping[str, str]:
    """The type of every member of ``validation``, ``submission``, ``status``, ``location`` or ``menu``, by its path."""
    return _data()["tables"][name]


@cache
def _data() -> Any:
    return json.loads((files(__package__) / "contract.json").read_text(encoding="utf-8"))
