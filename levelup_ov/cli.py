"""Commands for operators: ``flask --app wsgi ...``."""

from __future__ import annotations

import click
from flask import Flask
from flask.cli import AppGroup
from werkzeug.serving import make_server

from levelup_ov.config import Settings, new_secret_key
from levelup_ov.database import REVISIONS, upgrade
from levelup_ov.deadline import Deadline
from levelup_ov.domain import menu as menus
from levelup_ov.domain.failure import Failure
from levelup_ov.sandbox import create_sandbox
from levelup_ov.service import Service, Trace


def install(app: Flask, settings: Settings, service: Service) -> None:
    """Add the commands to ``app``."""
    config = AppGroup("config", help="The configuration.")
    menu = AppGroup("menu", help="Menus.")
    app.cli.add_command(config)
    app.cli.add_command(menu)

    @config.command("check")
    def config_check() -> None:
        """Check environment and accounts file without starting."""
        # Loading the application has read everything; a mistake would have ended it there.
        click.echo(f"mode: {'development' if settings.development else 'production'}")
        click.echo(f"accounts, from {settings.accounts_source}:")
        for name, adapter in settings.accounts.items():
            click.echo(f"  {name}: {adapter.account.merchant_name} ({adapter.account.provider}, {adapter.base_url})")
        click.echo("the configuration is sound")

    @menu.command("check")
    @click.argument("location_id")
    def menu_check(location_id: str) -> None:
        """List what breaks a rule in the menu of LOCATION_ID (MENU-3)."""
        try:
            found = service.read_menu(location_id, Trace(Deadline(settings.reading_deadline)))
        except Failure as failure:
            raise click.ClickException(f"{failure.code}: {failure.message}") from None
        problems = menus.check(found)
        for problem in problems:
            click.echo(problem)
        if problems:
            raise click.ClickException(f"{len(problems)} problem(s)")
        click.echo(f"the menu is sound: {sum(len(category.items) for category in found.categories)} items")

    ledger = AppGroup("ledger", help="The ledger of submissions.")
    app.cli.add_command(ledger)

    @ledger.command("upgrade")
    def ledger_upgrade() -> None:
        """Bring the ledger's database to the schema of this release."""
        found = upgrade(settings.ledger.reveal())
        click.echo(f"the ledger is at schema {REVISIONS[-1]} (found: {found or 'none'})")

    @app.cli.command("secret-key")
    def secret_key() -> None:
        """Print a new key for LEVELUP_OV_SECRET_KEYS."""
        click.echo(new_secret_key())

    @app.cli.command("sandbox")
    @click.option("--port", default=9000, show_default=True, help="Port on 127.0.0.1; 0 takes a free one.")
    def sandbox(port: int) -> None:
        """Serve the embedded ordering engine over HTTP."""
        settings.data_dir.mkdir(parents=True, exist_ok=True)
        server = make_server("127.0.0.1", port, create_sandbox(settings.data_dir / "sandbox.db"), threaded=True)
        click.echo(f"sandbox at http://127.0.0.1:{server.server_port}")
        server.serve_forever()
