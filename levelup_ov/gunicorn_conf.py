"""gunicorn's configuration; sizes come from the environment (``PORT``, ``WEB_CONCURRENCY``)."""

from __future__ import annotations

import ctypes
import errno
import gc
import os
import socket
import sys
from contextlib import suppress
from itertools import count
from typing import Any, NoReturn

from levelup_ov import tracing
from levelup_ov.config import DEVELOPMENT_API_KEY, ConfigError, check_ledger, load_settings
from levelup_ov.domain.checkout import LEDGER_ACCOUNT
from levelup_ov.ledger.engine import LedgerUnavailable
from levelup_ov.ledger.ledger import Ledger
from levelup_ov.ordering.bounded_runs import of_gone_accounts
from levelup_ov.welcome import welcome

_MALLOC = {
    # Each thread would get a part of malloc's own, and keep what the largest requests have left in it.
    -8: 2,  # M_ARENA_MAX
    # glibc's own first values. Unless they are set, each large body that is freed raises both, and later ones leave
    # holes in the heap: 200,000 hostile requests took 11 % more memory in the end.
    -3: 128 * 1024,  # M_MMAP_THRESHOLD
    -1: 128 * 1024,  # M_TRIM_THRESHOLD
}
"""Parameters of glibc's malloc, by their numbers in malloc.h."""


def _refuse(mistake: ConfigError) -> NoReturn:
    mistake.show()
    sys.exit(mistake.exit_code)


def _name_gone_accounts(ledger: Ledger) -> None:
    """Warn about orders of an account that is no longer in the accounts file: they are not looked up."""
    with suppress(LedgerUnavailable):
        found = ledger.reader.open_submissions(limit=20_000)
        known = {*_settings.accounts, LEDGER_ACCOUNT}
        for line in of_gone_accounts(each for each in found if each.account not in known):
            print(f"warning: {line}", file=sys.stderr)


try:
    _settings = load_settings()
    if not _settings.development:
        _connections = check_ledger(
            _settings.ledger.reveal(),
            workers=_settings.workers,
            connections=_settings.ledger_connections,
            console=bool(_settings.console_keys),
            look=_name_gone_accounts,
        )
        # The application reads the environment again.
        os.environ["LEVELUP_OV_LEDGER_CONNECTIONS"] = str(_connections)
except ConfigError as error:
    _refuse(error)

bind = f"{'127.0.0.1' if _settings.development else '0.0.0.0'}:{_settings.port}"
with suppress(AttributeError, OSError):
    for _parameter, _value in _MALLOC.items():
        ctypes.CDLL(None).mallopt(_parameter, _value)
workers = _settings.workers
worker_class = "levelup_ov.gunicorn_worker.Worker"
threads = _settings.threads
# The most callers connected to a worker; a caller without a complete request uses no thread.
worker_connections = 4096
# A kept-alive connection that a caller reuses while its worker stops is a failed request. A new connection costs
# little compared with an order.
keepalive = 0
# A caller's header must not decide where the application is mounted.
forwarder_headers = ""
sendfile = False
# Accepted orders are answered, even during a restart.
graceful_timeout = (
    int(max(_settings.submission_deadline, _settings.validation_deadline, _settings.reading_deadline)) + 5
)
# A liveness check of the worker, not a limit for requests: those have their own deadlines.
timeout = graceful_timeout + 30
preload_app = True
accesslog = None
control_socket_disable = True
logconfig_dict = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"json": {"()": "levelup_ov.observability.JsonFormatter"}},
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "json", "stream": "ext://sys.stderr"}},
    "loggers": {"gunicorn.error": {"level": "INFO", "handlers": ["stderr"], "propagate": False}},
    "root": {"level": _settings.log_level, "handlers": ["stderr"]},
}


def on_starting(server: Any) -> None:
    """Report an unavailable port immediately; gunicorn would try for five seconds, and would not mention PORT."""
    inherited = "GUNICORN_FD" in os.environ or "LISTEN_FDS" in os.environ
    if server.cfg.bind != [bind] or inherited:
        return
    try:
        socket.create_server((bind.partition(":")[0], _settings.port)).close()
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            wrong, remedy = "is in use", "stop what listens there, or set PORT to a free one"
        elif error.errno == errno.EACCES:
            wrong, remedy = "needs more rights than this user has", "set PORT to 1024 or higher"
        else:
            return
        _refuse(ConfigError([f"environment, PORT: {_settings.port} {wrong}; {remedy}"]))


def pre_exec(server: Any) -> None:
    """Start the second server of an upgrade (USR2) by gunicorn's name, as the first one was.

    gunicorn 27.0.1 starts its file, whose folder has packages that then hide the standard library's.
    """
    python, file, *options = server.START_CTX["args"]
    if os.path.basename(file) == "__main__.py":
        server.START_CTX["args"] = [python, "-m", "gunicorn", *options]


def pre_fork(server: Any, worker: Any) -> None:
    """Give the worker the lowest number that no other has."""
    taken = {other.part for other in server.WORKERS.values()}
    worker.part = next(number for number in count() if number not in taken)


def post_fork(server: Any, worker: Any) -> None:
    """Export traces, if that is set: by a thread of each worker."""
    if _settings.traces_url is not None:
        tracing.export_to(_settings.traces_url.reveal())


def when_ready(server: Any) -> None:
    """The workers share everything loaded so far: keep the garbage collector from touching it."""
    if (service := getattr(server.app.wsgi(), "extensions", {}).get("levelup_ov")) is not None:
        service.load_ahead()
    gc.freeze()
    gc.enable()
    if _settings.development:
        keys = [key.reveal() for key in _settings.api_keys]
        key = DEVELOPMENT_API_KEY if DEVELOPMENT_API_KEY in keys else None
        banner = welcome(f"http://{bind}", key, tuple(_settings.accounts), tuple(_settings.agents))
        print(banner, file=sys.stderr, flush=True)
