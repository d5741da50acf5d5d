"""What a mutation is: a wrong adapter, and how the suite says so."""

from __future__ import annotations

from typing import NamedTuple

from levelup_ov.adapter import Adapter


class Mistake(NamedTuple):
    """An adapter, the test of the suite that finds it out, and the rule that it names."""

    adapter: type[Adapter]
    found_by: str
    rule: str
