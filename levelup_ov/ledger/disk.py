"""What the disk of a file says, where SQLite and the system only say that it cannot be written."""

from __future__ import annotations

import os
from pathlib import Path


def is_read_only(path: Path) -> bool:
    """Whether the disk of an existing file or directory is mounted read-only, even for the file's owner."""
    try:
        return bool(os.statvfs(path).f_flag & os.ST_RDONLY)
    except OSError:
        return False


def trouble(path: Path) -> str | None:
    """Why an SQLite file cannot be written, as a kind of :mod:`levelup_ov.ledger.driver_errors`; None if it can."""
    try:
        there = next(part for part in (path, *path.absolute().parents) if part.exists())
        disk = os.statvfs(there)
    except (OSError, StopIteration):
        return None
    if disk.f_flag & os.ST_RDONLY:
        return "read-only disk"
    if disk.f_bavail == 0 or (disk.f_files and disk.f_favail == 0):
        return "full"
    return None if os.access(there, os.R_OK | os.W_OK) else "permission"
