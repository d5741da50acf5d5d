"""The command ``levelup-ov``: one module for each group.

A command loads the configured service when it needs it (:mod:`levelup_ov.cli.configured`). Every other command, and
every ``--help``, works without any configuration. A module is imported when its command is called: a worker of the
service, which knows the commands too for ``flask --app``, never needs one.
"""

from __future__ import annotations

from importlib import import_module

import click
from flask.cli import AppGroup

<<<<<<< HEAD
from levelup_ov.cli.adapters import adapters
from levelup_ov.cli.certify import certify
from levelup_ov.cli.checkout import checkout
from levelup_ov.cli.config import config, secret_key
from levelup_ov.cli.errors import errors
from levelup_ov.cli.events import events
from levelup_ov.cli.ledger import ledger
from levelup_ov.cli.menu import menu
from levelup_ov.cli.orders import orders
from levelup_ov.cli.run import run
from levelup_ov.cli.servers import levelup, sandbox
from levelup_ov.cli.submissions import submissions
=======
__all__ = ["Commands"]
>>>>>>> main

_MODULES = {
    name: module
    for module, names in {
        "adapters": ("adapters",),
        "certify": ("certify",),
        "checkout": ("checkout",),
        "config": ("config", "secret-key"),
        "errors": ("errors",),
        "ledger": ("ledger",),
        "menu": ("menu",),
        "orders": ("orders",),
        "run": ("run",),
        "servers": ("levelup", "sandbox"),
        "submissions": ("submissions",),
    }.items()
    for name in names
}

<<<<<<< HEAD
COMMANDS: tuple[click.Command, ...] = (
    adapters, certify, checkout, config, errors, events, ledger, levelup, menu, orders, run, sandbox, secret_key,
    submissions,
)  # fmt: skip
=======

class Commands(AppGroup):
    """All commands of ``levelup-ov``."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted({*_MODULES, *super().list_commands(ctx)})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if (module := _MODULES.get(cmd_name)) is None:
            return super().get_command(ctx, cmd_name)
        command = getattr(import_module(f"levelup_ov.cli.{module}"), cmd_name.replace("-", "_"))
        assert isinstance(command, click.Command)
        return command
>>>>>>> main
