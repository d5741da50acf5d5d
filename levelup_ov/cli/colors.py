"""When output has colors."""

from __future__ import annotations

import os


def colored(terminal: bool) -> bool:
    """Terminals get colors, unless NO_COLOR is set."""
    return terminal and not os.environ.get("NO_COLOR")
