"""``levelup-ov run``."""

from __future__ import annotations

import os
import sys

import click

GUNICORN = ("-m", "gunicorn", "-c", "python:levelup_ov.gunicorn_conf")
APPLICATION = "levelup_ov.app:create_app()"


@click.command(context_settings={"ignore_unknown_options": True})
@click.argument("options", nargs=-1, type=click.UNPROCESSED, metavar="[GUNICORN OPTIONS]...")
def run(options: tuple[str, ...]) -> None:
    """Serve with gunicorn: PORT and WEB_CONCURRENCY set port and processes.

    The process becomes gunicorn, so that signals reach it. OPTIONS are passed on, such as --bind.
    """
    sys.stdout.flush()
    os.execv(sys.executable, [sys.executable, *GUNICORN, *options, APPLICATION])
