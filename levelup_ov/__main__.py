"""``python -m levelup_ov`` is the command ``levelup-ov``."""

from __future__ import annotations

from functools import cache
from typing import Any

import click

from levelup_ov.cli import Commands


@click.group(cls=Commands)
@click.version_option(package_name="levelup_ov")
@click.pass_context
def main(context: click.Context) -> None:
    """Order validation and submission for LevelUp order-ahead.

    The configuration comes from environment variables and the accounts file; `levelup-ov config check` checks it.
    Commands that need no configuration say so.
    """
    context.obj = context.obj or cache(_application)


def _application() -> Any:
    # `run` leaves this to gunicorn, which makes the application itself.
    from levelup_ov.app import create_app

    return create_app()


if __name__ == "__main__":
    main(prog_name="levelup-ov")
