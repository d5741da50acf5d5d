"""The commands ``adapters new`` and ``adapters record``."""

from __future__ import annotations

from pathlib import Path

import click

from levelup_ov.config import Settings
from levelup_ov.domain.failure import Failure
from levelup_ov.ordering.service import Service
from levelup_ov.scaffold.new import ScaffoldError, new_module, new_package
from levelup_ov.scaffold.recorder import Recorder

_CHECKOUT = Path(__file__).parents[2]
_DIRECTORY = click.Path(file_okay=False, path_type=Path)


def adapters_group(settings: Settings, service: Service) -> click.Group:
    """The group ``adapters``."""
    group = click.Group("adapters", help="Begin a new adapter, and record its provider's answers.")
    group.add_command(new)

    @group.command("record")
    @click.argument("account")
    @click.option("--out", required=True, type=_DIRECTORY, help="Where the recordings go.")
    @click.option("--location", help="The provider's own id of a location; the first one if not given.")
    @click.option("--submit", is_flag=True, help="Place the order too. It is a real one.")
    @click.option("--allow", multiple=True, help="A member whose values are kept as they are; may be repeated.")
    def record(account: str, out: Path, location: str | None, submit: bool, allow: tuple[str, ...]) -> None:
        """Run a flow against ACCOUNT's provider and write its exchanges, redacted by allow-list."""
        if (adapter := settings.accounts.get(account)) is None:
            raise click.ClickException(f"there is no account {account!r}: {', '.join(settings.accounts)}")
        try:
            for line in Recorder(adapter, service.transport, out, allow).record(location, submit=submit):
                click.echo(line)
        except Failure as failure:
            raise click.ClickException(f"{failure.code}: {failure.message}") from None
        except ValueError as error:
            raise click.ClickException(str(error)) from None
        click.echo(f"recorded in {out}; read them before you keep them", err=True)

    return group


@click.command("new")
@click.argument("name")
@click.option("--package", type=_DIRECTORY, help="Write a distribution of its own into this directory.")
@click.option("--checkout", type=_DIRECTORY, default=_CHECKOUT, help="The checkout to write into; by default this one.")
def new(name: str, package: Path | None, checkout: Path) -> None:
    """Begin the adapter NAME: module, test, recordings, and its line in the registry or an entry point."""
    try:
        written = new_package(name, package) if package else new_module(name, checkout)
    except ScaffoldError as error:
        raise click.ClickException(str(error)) from None
    for path in written:
        click.echo(path)
    click.echo(f"now run: pytest {next(path for path in written if path.name.startswith('test_'))}", err=True)
