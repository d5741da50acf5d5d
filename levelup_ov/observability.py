"""JSON log lines that an operator can act on, without bodies, secrets or customer data."""

from __future__ import annotations

import json
import logging
import sys
import traceback
from datetime import datetime, timezone
from typing import Any

import orjson

from levelup_ov.redaction import clean

_STANDARD = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime", "taskName"}
_LARGE = 10**11
"""Integers below this have fewer digits than a card number."""
_CHATTY = ("alembic", "requests", "urllib3", "werkzeug")


class JsonFormatter(logging.Formatter):
    """One line per record: time, level, logger, message, and the fields from ``extra=``.

    Not python-json-logger, because each text must pass through the redaction.

    A traceback is reduced to its frames and the exception's class, because the exception's text may contain what
    must not be logged (ERR-4).
    """

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, timezone.utc).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": clean(record.getMessage()),
        }
        for key, value in record.__dict__.items():
            if key not in _STANDARD:
                line[key] = _cleaned(value)
        if record.exc_info and record.exc_info[0] is not None:
            line["exception"] = record.exc_info[0].__name__
            line["frames"] = [
                f"{frame.filename}:{frame.lineno} {frame.name}" for frame in traceback.extract_tb(record.exc_info[2])
            ]
        try:
            return orjson.dumps(line, default=str).decode()
        except TypeError:
            # Half a surrogate pair, or an integer of more than 64 bits: still write a line.
            return json.dumps(line, default=str)


def _cleaned(value: Any) -> Any:
    """``value`` without secrets at any depth: what is logged may come from callers and providers (ERR-4)."""
    if isinstance(value, str):
        return clean(value)
    if value is None or isinstance(value, (bool, float)) or (isinstance(value, int) and abs(value) < _LARGE):
        return value
    if isinstance(value, dict):
        return {clean(str(key)): _cleaned(member) for key, member in value.items()}
    if isinstance(value, (list, tuple)):
        return [_cleaned(member) for member in value]
    text = str(value)
    cleaned = clean(text)
    return value if isinstance(value, int) and cleaned == text else cleaned


def configure_logging(level: str) -> None:
    """Send every record of the process to standard error as JSON; standard output is for what commands print.

    At DEBUG, HTTP libraries log addresses with query strings and keys, so their level is WARNING.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter())
    # No line says where in the code it was written, or by which thread and process: not even look.
    logging._srcfile = None
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    for name in _CHATTY:
        logging.getLogger(name).setLevel(logging.WARNING)
