"""``levelup-ov ledger``."""

from __future__ import annotations

from contextlib import closing
from datetime import datetime, timezone
from pathlib import Path

import click

from levelup_ov.cli.configured import shown, the_settings
from levelup_ov.config import ledger_file, upgrade_ledger
from levelup_ov.domain.words import counted
from levelup_ov.ledger.backup import back_up, put_back
from levelup_ov.ledger.engine import REVISIONS
from levelup_ov.ledger.ledger import open_ledger
from levelup_ov.ledger.sessions import StoredSessions


@click.group()
def ledger() -> None:
    """Upgrade, back up, restore and clean up the ledger."""


@ledger.command()
@click.option("--new", is_flag=True, help="Start an empty ledger even though a known one is missing.")
def upgrade(new: bool) -> None:
    """Bring the database to the schema of this release."""
    found = shown(lambda: upgrade_ledger(the_settings().ledger.reveal(), new=new))
    if found is None or found in REVISIONS:
        click.echo(f"the ledger is at schema {REVISIONS[-1]} (found: {found or 'none'})")
    else:
        newer = f"the ledger is at schema {found}, of a later release, which only adds to {REVISIONS[-1]}"
        click.echo(f"{newer}: nothing was changed, and this release works with it")


@ledger.command()
@click.argument("copy", type=click.Path(dir_okay=False, path_type=Path))
def backup(copy: Path) -> None:
    """Copy an SQLite ledger to the new file COPY.

    Safe during live traffic.
    """
    try:
        size = shown(lambda: back_up(_file(), copy))
    except OSError as error:
        raise click.ClickException(f"{copy} cannot be written: {error.strerror}") from None
    click.echo(f"{copy}: {size} bytes")


@ledger.command()
@click.argument("copy", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--yes", is_flag=True, help="Do not ask for confirmation.")
def restore(copy: Path, yes: bool) -> None:
    """Restore the ledger from COPY.

    It will not know the orders placed since COPY was taken: identical submissions would place them again.
    """
    file = _file()
    if not yes:
        click.confirm(f"Replace everything in {file} with {copy}?", abort=True, err=True)
    shown(lambda: put_back(copy, file))
    shown(lambda: upgrade_ledger(the_settings().ledger.reveal()))
    click.echo("restored; ask the providers about the orders placed since the copy was taken")


@ledger.command()
def purge() -> None:
    """Delete settled submissions past their retention.

    The contents of expired checkout sessions are deleted, too. Meant for a scheduler.
    """
    with closing(open_ledger(the_settings().ledger.reveal())) as found:
        click.echo(f"{counted(shown(found.purge), 'submission')} deleted")
        sessions = StoredSessions(found.database)
        click.echo(f"{counted(shown(lambda: sessions.purge(datetime.now(timezone.utc))), 'session')} emptied")
        # A purge that deletes nothing writes nothing.
        shown(found.ready)


def _file() -> Path:
    if (path := ledger_file(the_settings().ledger.reveal())) is None:
        raise click.ClickException("the ledger is in PostgreSQL: use pg_dump and pg_restore, or the provider's backups")
    return path
