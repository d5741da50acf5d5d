"""``levelup-ov errors`` and ``levelup-ov rules``: what the documentation says, where one works."""

from __future__ import annotations

import difflib
import sys
import textwrap
from collections.abc import Iterable

import click

from levelup_ov.certify import contract
from levelup_ov.cli.colors import colored
from levelup_ov.errors import KINDS

_WIDTH = 100
_SHORT = 78


@click.command()
@click.argument("code", required=False)
def errors(code: str | None) -> None:
    """Explain the error CODE, or list all (ERR-1 to ERR-3).

    Needs no configuration.
    """
    if code is None:
        for name, kind in KINDS.items():
            click.echo(f"{name:<33}{kind.status}  {kind.type:<9} {kind.meaning}")
        return
    _check("error", code, KINDS)
    kind = KINDS[code]
    _explain(
        code,
        status=str(kind.status),
        type=kind.type,
        retryable="yes" if kind.retryable else "no",
        meaning=kind.meaning,
        remedy=kind.remedy,
    )


@click.command()
@click.argument("id", required=False)
def rules(id: str | None) -> None:
    """Explain the rule ID, such as TIME-4, or list all.

    Needs no configuration.
    """
    known = contract.rules()
    if id is None:
        for rule in known.values():
            begins = textwrap.shorten(rule.text, _SHORT, placeholder=" ...", break_on_hyphens=False)
            click.echo(f"{rule.id:<13}{begins}")
        return
    id = id.upper()
    _check("rule", id, known)
    _explain(id, sources=", ".join(known[id].sources), text=known[id].text)


def _check(what: str, name: str, known: Iterable[str]) -> None:
    """:raises click.UsageError: ``name`` is not known."""
    if name not in known:
        close = ", ".join(difflib.get_close_matches(name, known))
        remedy = f"did you mean {close}?" if close else f"run levelup-ov {what}s to list them all"
        raise click.UsageError(f"there is no {what} {name}; {remedy}")


def _explain(name: str, **facts: str) -> None:
    click.secho(name, bold=True, color=colored(sys.stdout.isatty()))
    for label, text in facts.items():
        lines = textwrap.wrap(
            text, _WIDTH, initial_indent=f"{label:<10} ", subsequent_indent=" " * 11, break_on_hyphens=False
        )
        click.echo("\n".join(lines))
