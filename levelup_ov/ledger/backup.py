"""Backup and restore of an SQLite ledger while the service runs."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from pathlib import Path

from levelup_ov.ledger import driver_errors
from levelup_ov.ledger.engine import OLDEST, REVISIONS, VERSION_TABLE, LedgerUnavailable, SchemaMismatch

_PAGES = 1024
"""Pages copied in one step; in between, others may write."""


def back_up(ledger: Path, copy: Path) -> int:
    """Copy a consistent snapshot of ``ledger`` to ``copy``, a new file; returns its size in bytes.

    :raises FileExistsError: the file exists.
    :raises LedgerUnavailable: the ledger cannot be read, or the copy cannot be written.
    """
    os.close(os.open(copy, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    try:
        _copy(ledger, copy)
        _check(copy)
    except BaseException:
        copy.unlink()
        raise
    return copy.stat().st_size


def put_back(copy: Path, ledger: Path) -> None:
    """Replace the content of ``ledger`` with ``copy``, in one transaction; processes that have it open keep working.

    :raises SchemaMismatch: the copy is from another release.
    :raises LedgerUnavailable: one of them is damaged, or cannot be read or written.
    """
    _check(copy)
    if ledger.exists() and copy.samefile(ledger):
        raise LedgerUnavailable(f"{copy} is the ledger itself, not a copy of it")
    if not ledger.exists() or not ledger.stat().st_size:
        # The logs of the file that is gone are not those of the new one.
        for rest in ("", "-wal", "-shm"):
            ledger.with_name(ledger.name + rest).unlink(missing_ok=True)
        os.close(os.open(ledger, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    _copy(copy, ledger, pages=-1)


def _copy(source: Path, target: Path, pages: int = _PAGES) -> None:
    try:
        with closing(_opened(source)) as one, closing(sqlite3.connect(target, timeout=10)) as other:
            one.backup(other, pages=pages)
    except sqlite3.Error as error:
        raise LedgerUnavailable(kind=driver_errors.kind_of(error)) from error


def _check(copy: Path) -> None:
    try:
        with closing(_opened(copy)) as opened:
            found = [text for (text,) in opened.execute("PRAGMA quick_check")]
            revision = opened.execute(f"SELECT version_num FROM {VERSION_TABLE}").fetchone()
            if revision is not None and revision[0] not in REVISIONS:
                # A newer release may have only added to it.
                revision = opened.execute(OLDEST, {"found": revision[0]}).fetchone()
    except sqlite3.Error as error:
        kind = driver_errors.kind_of(error)
        raise LedgerUnavailable(f"{copy} is not a copy of a ledger", kind) from error
    if found != ["ok"]:
        raise LedgerUnavailable(f"{copy} is damaged")
    if revision is None or revision[0] not in REVISIONS:
        raise SchemaMismatch(f"{copy} has a schema that this release does not know: use the release that made it")


def _opened(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=10)
