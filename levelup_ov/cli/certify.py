"""``levelup-ov certify``."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import NoReturn

import click

from levelup_ov.certify import CannotRun, Plan, run
from levelup_ov.certify.output import Findings
from levelup_ov.certify.report import Result
from levelup_ov.certify.run import MAX_LOCATIONS, MAX_REQUESTS, MAX_SECONDS
from levelup_ov.cli.colors import colored
from levelup_ov.domain.secret import Secret

_COLORS: dict[Result, str] = {
    "pass": "green", "violation": "red", "deviation": "yellow", "not applicable": "bright_black",
}  # fmt: skip

key_option = click.option(
    "--key", envvar="LEVELUP_CERTIFY_KEY", show_envvar=True, help="The API key. Prefer the environment variable."
)


@click.command()
@click.argument("url")
@key_option
@click.option(
    "--location",
    "locations",
    multiple=True,
    help=f"Only this location; may be repeated. Default: the active ones, at most {MAX_LOCATIONS}.",
)
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
    """Check the service at URL against the contract, rule by rule.

    It acts as the channel: it reads merchants, locations and menus, and validates correct and incorrect orders made
    from the menus. It sends one request at a time, except for one pair of simultaneous orders. Without --submit,
    nothing is ordered. A test card is sent only with --submit, and only where LevelUp is not accepted as tender.

    A violation breaks a rule of LevelUp's documents, or costs a user money or an order. A deviation differs from
    a detail that this project decided, such as the status of an error.

    Needs no configuration.

    Exit status: 0 all passed, 1 violations (with --strict also deviations), 2 the run could not finish.
    """
    if not key:
        raise click.UsageError("give the API key: --key, or LEVELUP_CERTIFY_KEY in the environment")
    plan = Plan(url, Secret(key), locations, submit, max_requests, max_seconds)
    begun, on_screen = time.monotonic(), sys.stderr.isatty()

    def progress(step: str) -> None:
        # On a terminal, one line that is overwritten; otherwise one line per step.
        click.echo(f"\r\x1b[K{step} ..." if on_screen else step, err=True, nl=not on_screen)

    try:
        outcome = run(plan, progress)
    except ValueError as error:
        raise click.UsageError(str(error)) from None
    except CannotRun as error:
        cannot_run(error)
    finally:
        if on_screen:
            click.echo("\r\x1b[K", err=True, nl=False)
    findings = Findings(plan, outcome, strict, time.monotonic() - begun)
    if junit is not None:
        junit.write_text(findings.as_junit(), encoding="utf-8")
    if as_json:
        click.echo(findings.as_json())
    else:
        color = colored(sys.stdout.isatty())
        for line in findings.lines(lambda text, result: click.style(text, fg=_COLORS[result])):
            click.echo(line, color=color)
    sys.exit(findings.status)


def cannot_run(error: CannotRun) -> NoReturn:
    """Exit status 2, with the reason."""
    click.echo(f"Error: {error}", err=True)
    sys.exit(2)
