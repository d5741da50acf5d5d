"""What the console's pages have in common."""

from __future__ import annotations

import re

PAGE = 50
"""Rows of a list."""
PATIENCE = 10.0
"""Seconds for the provider, or for LevelUp, when an operator reconciles."""

_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def id_of(text: str) -> str | None:
    """``text`` if it is an id of the ledger's."""
    return text if _ID.fullmatch(text) else None
