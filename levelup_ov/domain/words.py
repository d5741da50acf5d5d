"""Numbers with their nouns, for what people read."""

from __future__ import annotations


def counted(number: int, noun: str) -> str:
    """``1 mistake``, ``4 mistakes``: the last word of ``noun`` takes an s unless there is one.

    >>> counted(0, "open order")
    '0 open orders'
    """
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
