"""The command ``levelup-ov``: one module for each group.

A command loads the configured service when it needs it (:mod:`levelup_ov.cli.configured`). Every other command, and
every ``--help``, works without any configuration.
"""

from __future__ import annotations

import click

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

__all__ = ["COMMANDS"]

COMMANDS: tuple[click.Command, ...] = (
    adapters, certify, checkout, config, errors, events, ledger, levelup, menu, orders, run, sandbox, secret_key,
    submissions,
)  # fmt: skip
