"""``levelup-ov config check`` and ``levelup-ov secret-key``."""

from __future__ import annotations

from urllib.parse import urlsplit

import click

from levelup_ov.cli.configured import shown, the_settings
from levelup_ov.config import check_ledger, ledger_file, new_secret_key
from levelup_ov.domain.checkout import LEDGER_ACCOUNT
from levelup_ov.ledger.ledger import open_ledger
from levelup_ov.ordering.bounded_runs import of_gone_accounts
from levelup_ov.redaction import clean

_MOST_OPEN = 20_000


@click.command("secret-key")
def secret_key() -> None:
    """Print a new key for LEVELUP_OV_SECRET_KEYS (META-7).

    Needs no configuration.
    """
    click.echo(new_secret_key())


@click.group()
def config() -> None:
    """Check the configuration."""


@config.command()
def check() -> None:
    """Check environment, accounts file and ledger without starting.

    Exit status: 78 there are mistakes, 1 the ledger cannot be written now.
    """
    settings = the_settings()  # every mistake in either one ends here
    # gunicorn's configuration checks the ledger, too. Loading the application does not, because the command that
    # upgrades the ledger must load it.
    if not settings.development:
        check_ledger(
            settings.ledger.reveal(),
            workers=settings.workers,
            connections=settings.ledger_connections,
            console=bool(settings.console_keys),
        )
    click.echo(f"mode: {'development' if settings.development else 'production'}")
    click.echo(f"ledger: {_described(settings.ledger.reveal())}")
    click.echo(f"port: {settings.port}; workers: {settings.workers}, with {settings.threads} threads each")
    click.echo(f"accounts, from {settings.accounts_source}:")
    for name, adapter in settings.accounts.items():
        reached = f"{adapter.account.provider}, {clean(adapter.base_url)}"
        click.echo(f"  {name}: {adapter.account.merchant_name} ({reached})")
    if settings.agents:
        click.echo(f"agents: {', '.join(settings.agents)}")
    click.echo("the configuration is valid")
    if not settings.development:
        ledger = open_ledger(settings.ledger.reveal())
        shown(ledger.ready)
        found = shown(lambda: ledger.reader.open_submissions(limit=_MOST_OPEN))
        known = {*settings.accounts, LEDGER_ACCOUNT}
        for line in of_gone_accounts(each for each in found if each.account not in known):
            click.echo(line, err=True)


def _described(url: str) -> str:
    """Where the ledger is, without user and password."""
    if (path := ledger_file(url)) is not None:
        return f"the SQLite file {path}"
    address = urlsplit(url)
    return clean(f"PostgreSQL at {address.hostname or 'the local socket'}:{address.port or 5432}{address.path}")
