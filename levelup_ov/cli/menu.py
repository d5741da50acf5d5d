"""``levelup-ov menu``: check one, watch all."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import click

from levelup_ov.certify import CannotRun
from levelup_ov.certify.menus import check as check_menus
from levelup_ov.cli.certify import cannot_run, key_option
from levelup_ov.cli.configured import the_service, the_settings
from levelup_ov.cli.menu_watch import watch
from levelup_ov.config_mistakes import ConfigError
from levelup_ov.domain import menu as menus
from levelup_ov.domain.failure import Failure
from levelup_ov.domain.secret import Secret
from levelup_ov.domain.words import counted
from levelup_ov.ordering.request_context import RequestContext
from levelup_ov.transport.deadline import Deadline


@click.group()
def menu() -> None:
    """Check a menu, or watch all of them."""


menu.add_command(watch)


@menu.command()
@click.argument("source")
@key_option
@click.option("--location", "locations", multiple=True, help="Only this location of a service; may be repeated.")
def check(source: str, key: str | None, locations: tuple[str, ...]) -> None:
    """List what breaks a rule in a menu, with the ids concerned (MENU-3).

    SOURCE is a file with the JSON of a menu, the address of a menu (.../locations/ID/menu), the address of a service,
    or the id of a location of the configured service. Only the last one needs a configuration.

    Exit status: 0 all healthy, 1 problems, 2 nothing could be read, 78 the service is not configured.
    """
    found = 0
    try:
        for name, problems in _menus(source, Secret(key) if key else None, locations):
            click.echo(f"{name}: {counted(len(problems), 'problem') if problems else 'healthy'}", err=True)
            for problem in problems:
                click.echo(problem)
            found += len(problems)
    except CannotRun as error:
        cannot_run(error)
    sys.exit(1 if found else 0)


def _menus(source: str, key: Secret | None, locations: tuple[str, ...]) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Each menu's name, and its problems."""
    if "." not in source and not Path(source).exists():
        raise CannotRun(f"there is no file {source}, and it is not the id of a location, which is ACCOUNT.ID")
    if "/" in source or source.endswith(".json") or Path(source).exists():  # an address or a file
        yield from check_menus(source, key, locations)
    else:
        yield _of_location(source)


def _of_location(location_id: str) -> tuple[str, tuple[str, ...]]:
    try:
        service, deadline = the_service(), Deadline(the_settings().reading_deadline)
    except ConfigError:
        click.echo(f"There is no file {location_id}. It may be a location of the configured service, but:", err=True)
        raise
    try:
        found = service.menus.read(location_id, RequestContext(deadline))
    except Failure as failure:
        words = f"{failure.code}: {failure.message}"
        account, accounts = location_id.partition(".")[0], the_settings().accounts
        if account not in accounts:
            words += f"; write ACCOUNT.ID with one of the accounts {', '.join(accounts)}"
        raise CannotRun(words) from None
    for thing in found.left_out:
        click.echo(f"left out: {thing}", err=True)
    return location_id, menus.check(found)
