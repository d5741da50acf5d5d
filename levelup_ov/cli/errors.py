"""``levelup-ov errors``."""

from __future__ import annotations

import difflib
import sys
import textwrap

import click

from levelup_ov.cli.colors import colored
from levelup_ov.errors import KINDS


@click.command()
@click.argument("code", required=False)
def errors(code: str | None) -> None:
    """Explain the error CODE; without CODE, list all (ERR-1 to ERR-3).

    Needs no configuration.
    """
    if code is not None and code not in KINDS:
        close = ", ".join(difflib.get_close_matches(code, KINDS))
        remedy = f"did you mean {close}?" if close else "run levelup-ov errors to list them all"
        raise click.UsageError(f"there is no error {code}; {remedy}")
    for name in [code] if code else KINDS:
        kind = KINDS[name]
        if code is None:
            click.echo(f"{name:<33}{kind.status}  {kind.type:<9} {kind.meaning}")
            continue
        click.secho(name, bold=True, color=colored(sys.stdout.isatty()))
        for label, text in (
            ("status", str(kind.status)),
            ("type", kind.type),
            ("retryable", "yes" if kind.retryable else "no"),
            ("meaning", kind.meaning),
            ("remedy", kind.remedy),
        ):
            click.echo(textwrap.fill(text, 100, initial_indent=f"{label:<10} ", subsequent_indent=" " * 11))
