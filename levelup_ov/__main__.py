"""``python -m levelup_ov`` is the command ``levelup-ov``."""

from __future__ import annotations

import click

from levelup_ov.app import create_app
from levelup_ov.cli import Commands
from levelup_ov.cli.configured import loading


@click.group(cls=Commands)
@click.version_option(package_name="levelup_ov")
@click.pass_context
def main(context: click.Context) -> None:
    """Order validation and submission for LevelUp order-ahead.

    The configuration comes from environment variables and the accounts file; `levelup-ov config check` checks it.
    Commands that need no configuration say so.
    """
    context.obj = context.obj or loading(create_app)


if __name__ == "__main__":
    main(prog_name="levelup-ov")
