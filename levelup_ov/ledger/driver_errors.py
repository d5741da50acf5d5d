"""Why the ledger's database fails, in words for the operator; the driver's own messages may contain secrets."""

from __future__ import annotations

import re
from typing import Any

PERMANENT = frozenset({"credentials", "database", "address", "permission", "corrupt", "not a database"})
"""What needs a person to fix it: the service refuses to start."""

_WORDS = {
    "connections": "the database takes no more connections",
    "credentials": "the database refuses the user or the password",
    "database": "the database server has no such database",
    "address": "DATABASE_URL has a parameter that is not valid",
    "permission": "the user may not read and write the ledger's tables or file",
    "read-only": "the database is read-only",
    "read-only disk": "the disk of the database file is mounted read-only",
    "full": "the disk is full",
    "locked": "the database is locked by another process or transaction",
    "starting": "the database is starting or stopping",
    "unreachable": "the database does not answer at its address",
    "timeout": "the database did not answer in time",
    "opened": "the database file cannot be opened",
    "corrupt": "the database file is damaged",
    "not a database": "the file is not a database",
    "disk": "the disk fails",
}
VAGUE = frozenset({"read-only", "opened", "disk"})
"""What SQLite says for several reasons; the disk shows which (:mod:`levelup_ov.ledger.disk`)."""
_STATES = {
    "53300": "connections", "28P01": "credentials", "28000": "credentials", "3D000": "database", "42501": "permission",
    "25006": "read-only", "53100": "full", "55P03": "locked", "57P01": "starting", "57P02": "starting",
    "57P03": "starting", "57014": "timeout", "25P03": "timeout", "58030": "disk", "XX001": "corrupt",
}  # fmt: skip
"""PostgreSQL's SQLSTATEs."""
_NAMES = {
    "SQLITE_BUSY": "locked", "SQLITE_LOCKED": "locked", "SQLITE_FULL": "full", "SQLITE_READONLY": "read-only",
    "SQLITE_CANTOPEN": "opened", "SQLITE_CORRUPT": "corrupt", "SQLITE_NOTADB": "not a database",
    "SQLITE_PERM": "permission", "SQLITE_IOERR": "disk",
}  # fmt: skip
"""SQLite's names of errors; longer ones start with these."""
_TEXTS = (
    (r"too many (?:clients|connections)|remaining connection slots", "connections"),
    (r"password authentication failed|no password supplied|role .* does not exist|pg_hba", "credentials"),
    (r"database .* does not exist", "database"),
    (r"invalid (?:sslmode|connection option|port|integer)", "address"),
    (r"starting up|shutting down|recovery mode", "starting"),
    (r"timeout|timed out", "timeout"),
    (r"refused|unreachable|closed the connection|connection reset|broken pipe|No route|not known", "unreachable"),
)
"""What the client library says without a SQLSTATE, when it could not connect."""


def kind_of(error: Any) -> str | None:
    """The kind of a driver's error; None if unknown."""
    if (state := getattr(error, "sqlstate", None)) in _STATES:
        return _STATES[state]
    name = getattr(error, "sqlite_errorname", None)
    if name is not None:
        return next((kind for known, kind in _NAMES.items() if name.startswith(known)), None)
    text = str(error)
    return next((kind for pattern, kind in _TEXTS if re.search(pattern, text, re.IGNORECASE)), None)


def is_too_long(error: Any) -> bool:
    """Whether a value is longer than PostgreSQL's indexes take (program_limit_exceeded), which is no fault of it."""
    return str(getattr(error, "sqlstate", None)).startswith("54")


def words_for(kind: str) -> str:
    """The reason as people read it."""
    return _WORDS[kind]
