"""What commands are given as text."""

from __future__ import annotations

import click


def text(given: str) -> str:
    """A type of options: text that says something, without the spaces around it.

    A script whose variable is unset passes an empty one: nothing is recorded or selected by that.

    :raises click.BadParameter: it is blank, or is not Unicode.
    """
    said = given.strip()
    if not said:
        raise click.BadParameter("expected text that is not blank")
    if any("\ud800" <= each <= "\udfff" for each in said):
        raise click.BadParameter("expected text in UTF-8")
    return said
