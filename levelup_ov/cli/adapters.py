"""``levelup-ov adapters``."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path

import click

from levelup_ov.cli.configured import the_service, the_settings
from levelup_ov.config_mistakes import split
from levelup_ov.domain.failure import Failure
from levelup_ov.redaction import clean
from levelup_ov.registry import Registry, RegistryError, abilities, offered_names
from levelup_ov.scaffold.new import ScaffoldError, new_module, new_package
from levelup_ov.scaffold.recorder import Recorder

_CHECKOUT = Path(__file__).parents[2]
_INSTALL_CHECKOUT = "run `.venv/bin/python -m pip install -r requirements-dev.txt`"
_INSTALL_PACKAGE = "run `python -m pip install pytest`"
_DIRECTORY = click.Path(file_okay=False, path_type=Path)


@click.group()
def adapters() -> None:
    """List adapters, create one, and record its provider."""


@adapters.command("list")
def list_known() -> None:
    """List the adapters and what they can do.

    Only enabled ones are loaded (LEVELUP_OV_ADAPTERS); the line of each shows what it declares. Needs no other
    configuration. Exit status 1: one that is enabled cannot be used.
    """
    failed = False
    try:
        known = Registry(split(os.environ.get("LEVELUP_OV_ADAPTERS", "")))
    except RegistryError as error:
        raise click.ClickException(clean(str(error))) from None
    for name in known.names:
        try:
            adapter = known.adapter_class(name)
        except RegistryError as error:
            failed = True
            click.echo(f"{name}: cannot be used: {clean(str(error))}")
        else:
            facts = (known.distribution(name), f"interface {adapter.interface_version}", *abilities(adapter))
            click.echo(f"{name}: {'; '.join(facts)}")
    for name in offered_names():
        if offer := known.offer(name):
            click.echo(f"{name}: {offer}; not enabled: add {name} to LEVELUP_OV_ADAPTERS")
    if failed:
        raise SystemExit(1)


@adapters.command()
@click.argument("name")
@click.option("--package", type=_DIRECTORY, help="Write a separate distribution into this directory.")
@click.option("--checkout", type=_DIRECTORY, default=_CHECKOUT, help="The checkout to write into. Default: this one.")
def new(name: str, package: Path | None, checkout: Path) -> None:
    """Create the adapter NAME: a module, a test and recordings.

    It is registered, too: by a line in the registry or an entry point. Needs no configuration.
    """
    try:
        written = new_package(name, package) if package else new_module(name, checkout)
    except ScaffoldError as error:
        raise click.ClickException(str(error)) from None
    for path in written:
        click.echo(path)
    test = next(path for path in written if path.name.startswith("test_"))
    if importlib.util.find_spec("pytest") is None:
        click.echo(f"the test needs pytest: {_INSTALL_PACKAGE if package else _INSTALL_CHECKOUT}", err=True)
    click.echo(f"now run: pytest {test}", err=True)


@adapters.command()
@click.argument("account")
@click.option("--out", required=True, type=_DIRECTORY, help="Where the recordings go.")
@click.option("--location", help="The provider's own id of a location. Default: the first one.")
@click.option("--submit", is_flag=True, help="Place the order too. It is a real one.")
@click.option("--allow", multiple=True, help="A member whose values are kept unredacted; may be repeated.")
def record(account: str, out: Path, location: str | None, submit: bool, allow: tuple[str, ...]) -> None:
    """Record a flow against ACCOUNT's provider.

    Values are redacted by an allow-list.
    """
    accounts = the_settings().accounts
    if (adapter := accounts.get(account)) is None:
        raise click.ClickException(f"there is no account {account!r}: {', '.join(accounts)}")
    try:
        for line in Recorder(adapter, the_service().transport, out, allow).record(location, submit=submit):
            click.echo(line)
    except Failure as failure:
        raise click.ClickException(f"{failure.code}: {failure.message}") from None
    except ValueError as error:
        raise click.ClickException(str(error)) from None
    click.echo(f"recorded in {out}; read them before you keep them", err=True)
