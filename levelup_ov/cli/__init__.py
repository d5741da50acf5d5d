"""The command ``levelup-ov``: one module for each group.

A command loads the configured service when it needs it (:mod:`levelup_ov.cli.configured`). Every other command, and
every ``--help``, works without any configuration. A module is imported when its command is called: a worker of the
service, which knows the commands too for ``flask --app``, never needs one.
"""

from __future__ import annotations

from importlib import import_module

import click

__all__ = ["Commands"]

_MODULES = {
    name: module
    for module, names in {
        "adapters": ("adapters",),
        "certify": ("certify",),
        "checkout": ("checkout",),
        "config": ("config", "secret-key"),
        "events": ("events",),
        "explain": ("errors", "rules"),
        "ledger": ("ledger",),
        "menu": ("menu",),
        "orders": ("orders",),
        "run": ("run",),
        "servers": ("levelup", "sandbox"),
        "submissions": ("submissions",),
    }.items()
    for name in names
}


class Commands(click.Group):
    """All commands of ``levelup-ov``."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted({*_MODULES, *super().list_commands(ctx)})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if (module := _MODULES.get(cmd_name)) is None:
            return super().get_command(ctx, cmd_name)
        command = getattr(import_module(f"levelup_ov.cli.{module}"), cmd_name.replace("-", "_"))
        assert isinstance(command, click.Command)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        try:
            return super().resolve_command(ctx, args)
        except click.NoSuchCommand as error:
            # click suggests only commands that are loaded.
            raise click.NoSuchCommand(error.command_name, possibilities=self.list_commands(ctx), ctx=ctx) from None
