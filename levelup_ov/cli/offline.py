"""``levelup-ov``: what needs no configuration. ``flask --app wsgi`` has the commands of a configured service."""

from __future__ import annotations

import difflib
import os
import sys
import textwrap
import time
from pathlib import Path
from typing import NoReturn

import click

from levelup_ov.certify import CannotRun, Plan, run
from levelup_ov.certify.menus import check as check_menus
from levelup_ov.certify.output import Findings
from levelup_ov.certify.report import Result
from levelup_ov.certify.run import MAX_LOCATIONS, MAX_REQUESTS, MAX_SECONDS
from levelup_ov.cli.adapters import new
from levelup_ov.config import new_secret_key
from levelup_ov.domain.secret import Secret
from levelup_ov.errors import KINDS

_COLOURS: dict[Result, str] = {
    "pass": "green", "violation": "red", "deviation": "yellow", "not applicable": "bright_black",
}  # fmt: skip
_key = click.option(
    "--key", envvar="LEVELUP_CERTIFY_KEY", help="The API key (EP-6); better from the environment than from here."
)


@click.group()
@click.version_option(package_name="levelup_ov")
def main() -> None:
    """Commands that need no configuration."""


@main.command("secret-key")
def secret_key() -> None:
    """Print a new key for LEVELUP_OV_SECRET_KEYS (META-7)."""
    click.echo(new_secret_key())


@main.command()
@click.argument("code", required=False)
def errors(code: str | None) -> None:
    """What the error CODE means and what to do about it; without CODE, all of them (ERR-1 to ERR-3)."""
    if code is not None and code not in KINDS:
        close = ", ".join(difflib.get_close_matches(code, KINDS)) or "levelup-ov errors lists them all"
        raise click.UsageError(f"there is no error {code}; see: {close}")
    for name in [code] if code else KINDS:
        kind = KINDS[name]
        if code is None:
            click.echo(f"{name:<33}{kind.status}  {kind.type:<9} {kind.meaning}")
            continue
        click.secho(name, bold=True, color=_colour(sys.stdout.isatty()))
        for label, text in (
            ("status", str(kind.status)),
            ("type", kind.type),
            ("retryable", "yes" if kind.retryable else "no"),
            ("meaning", kind.meaning),
            ("remedy", kind.remedy),
        ):
            click.echo(textwrap.fill(text, 100, initial_indent=f"{label:<10} ", subsequent_indent=" " * 11))


@main.group()
def adapters() -> None:
    """Adapters."""


adapters.add_command(new)


@main.group()
def menu() -> None:
    """Menus."""


@menu.command("check")
@click.argument("source")
@_key
@click.option("--location", "locations", multiple=True, help="Only this location of a service; may be repeated.")
def menu_check(source: str, key: str | None, locations: tuple[str, ...]) -> None:
    """List what breaks a rule in a menu, with the ids concerned (MENU-3).

    SOURCE is a file with the JSON of a menu, the address of a menu (.../locations/ID/menu), or that of a service.
    Exit status: 0 all sound, 1 problems, 2 nothing could be read.
    """
    found = 0
    try:
        for name, problems in check_menus(source, Secret(key) if key else None, locations):
            click.echo(f"{name}: {f'{len(problems)} problem(s)' if problems else 'sound'}", err=True)
            for problem in problems:
                click.echo(problem)
            found += len(problems)
    except CannotRun as error:
        _cannot_run(error)
    sys.exit(1 if found else 0)


@main.command()
@click.argument("url")
@_key
@click.option("--location", "locations", multiple=True,
              help=f"Only this location; may be repeated. Default: the active ones, at most {MAX_LOCATIONS}.")
@click.option("--submit", is_flag=True, help="Place orders, too: three at each location. They are listed at the end.")
@click.option("--strict", is_flag=True, help="Deviations from this project's decisions fail like violations.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON; levelup_ov/certify/output.py describes it.")
@click.option("--junit", type=click.Path(dir_okay=False, path_type=Path), help="Write JUnit XML to this file.")
@click.option("--max-requests", default=MAX_REQUESTS, show_default=True, type=click.IntRange(1))
@click.option("--max-seconds", default=MAX_SECONDS, show_default=True, type=click.FloatRange(1))
def certify(
    url: str,
    key: str | None,
    locations: tuple[str, ...],
    submit: bool,
    strict: bool,
    as_json: bool,
    junit: Path | None,
    max_requests: int,
    max_seconds: float,
) -> None:
    """Hold the service at URL to the contract, rule by rule.

    It plays the channel: reads merchants, locations and menus, and validates orders made from the menus, right and
    wrong ones. One request at a time. Without --submit nothing is ordered. A test card is sent only with --submit,
    and only where LevelUp is not taken as tender.

    A violation breaks what the documents ask for, or costs a user money or an order. A deviation differs from a
    form that is this project's decision, such as the status of an error.

    Exit status: 0 all passed, 1 violations (with --strict deviations, too), 2 it could not run to its end.
    """
    if not key:
        raise click.UsageError("give the API key: --key, or LEVELUP_CERTIFY_KEY in the environment")
    plan = Plan(url, Secret(key), locations, submit, max_requests, max_seconds)
    begun, on_screen = time.monotonic(), sys.stderr.isatty()

    def progress(step: str) -> None:
        # On a terminal one line that is written over, else one for each step.
        click.echo(f"\r\x1b[K{step} ..." if on_screen else step, err=True, nl=not on_screen)

    try:
        outcome = run(plan, progress)
    except ValueError as error:
        raise click.UsageError(str(error)) from None
    except CannotRun as error:
        _cannot_run(error)
    finally:
        if on_screen:
            click.echo("\r\x1b[K", err=True, nl=False)
    findings = Findings(plan, outcome, strict, time.monotonic() - begun)
    if junit is not None:
        junit.write_text(findings.as_junit(), encoding="utf-8")
    if as_json:
        click.echo(findings.as_json())
    else:
        colour = _colour(sys.stdout.isatty())
        for line in findings.lines(lambda text, result: click.style(text, fg=_COLOURS[result])):
            click.echo(line, color=colour)
    sys.exit(findings.status)


def _colour(terminal: bool) -> bool:
    """Colour is for terminals, unless NO_COLOR is set."""
    return terminal and not os.environ.get("NO_COLOR")


def _cannot_run(error: CannotRun) -> NoReturn:
    click.echo(f"Error: {error}", err=True)
    sys.exit(2)
