"""``python -m levelup_ov secret-key``: what is needed before there is a configuration to load."""

from __future__ import annotations

import click

from levelup_ov.config import new_secret_key


@click.group()
def main() -> None:
    """Commands that need no configuration."""


@main.command("secret-key")
def secret_key() -> None:
    """Print a new key for LEVELUP_OV_SECRET_KEYS (META-7)."""
    click.echo(new_secret_key())


if __name__ == "__main__":
    main(prog_name="python -m levelup_ov")
