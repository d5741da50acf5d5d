"""A service in a process of its own, for ``bench.flat``, which tells it what to do, a line each time.

Its settings are those of production. Each account has a token, as accounts of real providers have. A line names what
to do and how often; the answer is the CPU of one time in microseconds, PostgreSQL's for this process included.
"""

from __future__ import annotations

import gc
import itertools
import json
import logging
import resource
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, ClassVar

from flask import Flask

from bench.adapter import BenchAdapter
from bench.cpu import cpu_seconds
from bench.order import API_KEY, BODY, NUMBER, SUBMISSION
from bench.production import PRODUCTION
from bench.rows import LONG_AGO, fill
from bench.wsgi import call
from levelup_ov.adapter import Setting
from levelup_ov.app import create_app
from levelup_ov.config import load_settings
from levelup_ov.ledger.engine import upgrade
from levelup_ov.observability import configure_logging

OUTDATED = 500
"""Rows that one purge deletes."""
PURGE = f"purge of {OUTDATED} rows"
LIST = ("submissions", "list")
COMMANDS: Mapping[str, tuple[str, ...]] = {
    "list": LIST,
    "list --state placed": (*LIST, "--state", "placed"),
    "list --state unknown": (*LIST, "--state", "unknown"),
    "list --account": (*LIST, "--account", "big"),
    "list --number": (*LIST, "--number", "request-777"),
    "list --findings": (*LIST, "--findings"),
    "list --charge-mismatch": (*LIST, "--charge-mismatch"),
    "reconcile": ("submissions", "reconcile"),
}


class TokenAdapter(BenchAdapter):
    """With a secret for each account."""

    settings: ClassVar[Mapping[str, Setting]] = {**BenchAdapter.settings, "token": Setting("its token", secret=True)}


class Measured:
    """``facts``: ``accounts``, the ``ledger``'s URL, the ``provider``, a ``directory``, and PostgreSQL's ``server``."""

    def __init__(self, facts: Mapping[str, Any]) -> None:
        self._facts = facts
        self._app = _service(facts)
        self._numbers = itertools.count(time.time_ns())
        self._outdated = itertools.count(10_000_000, OUTDATED)
        self.actions: Mapping[str, Callable[[], object]] = {
            "validation": lambda: self._post("order_validations", BODY),
            "submission": lambda: self._post("order_submissions", self._submission()),
            **{name: lambda arguments=arguments: self._command(*arguments) for name, arguments in COMMANDS.items()},
            # Not the command, whose connection to PostgreSQL ends with it, and its CPU.
            PURGE: lambda: self._app.extensions["levelup_ov"].submissions.ledger.purge(),
        }

    def cpu(self, action: str, times: int) -> float:
        """Microseconds of CPU of one time."""
        if action == PURGE:
            fill(self._facts["ledger"], OUTDATED, start=next(self._outdated), ago_ms=LONG_AGO, identities=True)
        act, before, began = self.actions[action], _backends(self._facts), time.process_time()
        for _ in range(times):
            act()
        seconds = time.process_time() - began
        # A connection may have been opened meanwhile; one that is gone by now was another's.
        seconds += sum(used - before.get(pid, 0.0) for pid, used in _backends(self._facts).items())
        return seconds / times * 1e6

    def _post(self, what: str, body: bytes) -> object:
        headers = {"HTTP_AUTHORIZATION": f"token {API_KEY}"}
        return call(self._app, "POST", f"/locations/{_name(0)}.main/{what}", body, headers)

    def _submission(self) -> bytes:
        return SUBMISSION.replace(NUMBER.encode(), b"number-%d" % next(self._numbers))

    def _command(self, *arguments: str) -> None:
        result = self._app.test_cli_runner().invoke(args=arguments)
        # 1: somebody has to look at what is unknown.
        assert result.exit_code in (0, 1) and not isinstance(result.exception, Exception), (arguments, result.output)


def _name(number: int) -> str:
    return f"a{number}"


def _service(facts: Mapping[str, Any]) -> Flask:
    directory = Path(facts["directory"])
    lines, tokens = [], {}
    for name in map(_name, range(facts["accounts"])):
        lines.append(
            f'[accounts.{name}]\nprovider = "bench"\nname = "Bench"\n[accounts.{name}.settings]\n'
            f'base_url = "{facts["provider"]}"\nsubmission_calls = "1"\ntoken = "env:TOKEN_{name}"\n'
        )
        tokens[f"TOKEN_{name}"] = f"token-of-{name}-{'0123456789abcdef' * 2}"
    accounts = directory / "accounts.toml"
    accounts.write_text("".join(lines))
    ledger = facts["ledger"]
    where = {} if ledger.startswith("sqlite") else {"DATABASE_URL": ledger, "LEVELUP_OV_LEDGER": ""}
    settings = load_settings(
        {
            **PRODUCTION,
            **where,
            **tokens,
            "LEVELUP_OV_ACCOUNTS": str(accounts),
            "LEVELUP_OV_ADAPTERS": "bench=bench.flat_service:TokenAdapter",
            "LEVELUP_OV_DATA_DIR": str(directory),
        }
    )
    upgrade(settings.ledger.reveal())
    configure_logging(settings.log_level)
    return create_app(settings)


def _backends(facts: Mapping[str, Any]) -> dict[int, float]:
    """The CPU seconds of PostgreSQL's processes that serve connections to the ledger."""
    if (server := facts.get("server")) is None:
        return {}
    database, found = facts["ledger"].rpartition("/")[2], {}
    for child in Path(f"/proc/{server}/task/{server}/children").read_text().split():
        with suppress(OSError):  # it has ended
            title = Path(f"/proc/{child}/cmdline").read_bytes().decode().split()
            if database in title and "autovacuum" not in title:
                found[int(child)] = cpu_seconds(int(child))
    return found


def main() -> None:
    """The command: its argument are the facts."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    measured = Measured(json.loads(sys.argv[1]))
    logging.getLogger().handlers[0].setStream(open("/dev/null", "w"))  # type: ignore[attr-defined]
    # As gunicorn_conf does.
    gc.collect()
    gc.freeze()
    # CPU until the first request can come.
    print(round(time.process_time(), 2), flush=True)
    for line in sys.stdin:
        action, times = json.loads(line)
        print(json.dumps(measured.cpu(action, times)), flush=True)


if __name__ == "__main__":
    main()
