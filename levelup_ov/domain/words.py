"""Words for what people read: numbers with their nouns, and texts that stay on their line."""

from __future__ import annotations


def counted(number: int, noun: str) -> str:
    """``1 mistake``, ``4 mistakes``: the last word of ``noun`` takes an s unless there is one.

    >>> counted(0, "open order")
    '0 open orders'
    """
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def one_line(text: object) -> str:
    """``text`` for a line that people read: what is not printable, such as a line break, as its escape."""
    return "".join(each if each.isprintable() else ascii(each)[1:-1] for each in str(text))
