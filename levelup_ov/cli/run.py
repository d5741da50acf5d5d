"""``levelup-ov run``."""

from __future__ import annotations

import gc
import os
import runpy
import sys

import click

CONFIGURATION = ("-c", "python:levelup_ov.gunicorn_conf")
_SET_BY = {
    "-w": "WEB_CONCURRENCY", "--workers": "WEB_CONCURRENCY", "--threads": "LEVELUP_OV_THREADS", "--port": "PORT",
}  # fmt: skip
"""What gunicorn would take as an option, or not know, and the variable that the rest of the service reads too."""
APPLICATION = "levelup_ov.app:create_app()"


@click.command(context_settings={"ignore_unknown_options": True})
@click.argument("options", nargs=-1, type=click.UNPROCESSED, metavar="[GUNICORN OPTIONS]...")
def run(options: tuple[str, ...]) -> None:
    """Serve with gunicorn, on PORT with WEB_CONCURRENCY processes.

    If there are mistakes in the configuration, the exit status is 78.

    The process becomes gunicorn's first one, so that signals reach it. GUNICORN OPTIONS, such as --bind, are passed on.
    """
    for option in options:
        if variable := _SET_BY.get(option.partition("=")[0]):
            raise click.UsageError(f"set {variable} instead of {option}, because the rest of the service reads it")
    if not os.environ.get("WEB_CONCURRENCY", "1").isdecimal():
        # gunicorn reads it before our configuration, and would end with a traceback.
        from levelup_ov.config import load_settings  # what runs then loads it again

        os.environ["WEB_CONCURRENCY"] = str(load_settings().workers)
    # As by `python -m gunicorn`, but in this process: to begin another takes a tenth of the time of a start.
    sys.argv[1:] = [*CONFIGURATION, *options, APPLICATION]
    if not sys.flags.safe_path:
        sys.path[0] = os.getcwd()
    # Nearly everything that is loaded stays. gunicorn_conf enables it again before there is a worker.
    gc.disable()
    runpy.run_module("gunicorn", run_name="__main__", alter_sys=True)
