"""The command ``levelup-ov``: one module for each group.

A command loads the configured service when it needs it (:mod:`levelup_ov.cli.configured`). Every other command, and
every ``--help``, works without any configuration. A module is imported when its command is called: a worker of the
service, which knows the commands too for ``flask --app``, never needs one.
"""

from __future__ import annotations

from importlib import import_module

import click

__all__ = ["Commands"]

_COMMANDS = {
    "adapters": ("adapters", "List adapters, create one, and record its provider."),
    "certify": ("certify", "Check the service at URL against the contract, rule by rule."),
    "checkout": ("checkout", "Finish and settle orders of web checkout."),
    "config": ("config", "Check the configuration."),
    "errors": ("explain", "Explain the error CODE, or list all (ERR-1 to ERR-3)."),
    "events": ("events", "List, deliver and replay events (EVT-4, EVT-5)."),
    "ledger": ("ledger", "Upgrade, back up, restore and clean up the ledger."),
    "levelup": ("servers", "Serve a stand-in for LevelUp, with pages and test users."),
    "menu": ("menu", "Check a menu, or watch all of them."),
    "orders": ("orders", "List open orders, and watch their status (STAT-5)."),
    "rules": ("explain", "Explain the rule ID, such as TIME-4, or list all."),
    "run": ("run", "Serve with gunicorn, on PORT with WEB_CONCURRENCY processes."),
    "sandbox": ("servers", "Serve the sandbox, a small ordering system."),
    "secret-key": ("config", "Print a new key for LEVELUP_OV_SECRET_KEYS (META-7)."),
    "submissions": ("submissions", "List, reconcile, settle and correct submissions (SUB-5)."),
}
"""The module of each command, and the first sentence of its help: to load them all takes a second."""


class Commands(click.Group):
    """All commands of ``levelup-ov``."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted({*_COMMANDS, *super().list_commands(ctx)})

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List them without loading any."""
        others = {name: command.get_short_help_str() for name, command in self.commands.items()}
        listed = {name: sentence for name, (_, sentence) in _COMMANDS.items()} | others
        with formatter.section("Commands"):
            formatter.write_dl([(name, listed[name]) for name in self.list_commands(ctx)])

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return super().get_command(ctx, cmd_name)
        module, _ = _COMMANDS[cmd_name]
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
