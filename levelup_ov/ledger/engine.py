"""The ledger's database: connecting, its schema version and its migration.

SQLite by default, PostgreSQL by ``DATABASE_URL``. Both are configured so that commits survive a power failure where
that matters, and that nothing waits longer than :data:`PATIENCE` for a lock.
"""

from __future__ import annotations

import errno
import logging
import os
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import Connection, Engine, create_engine, event, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from levelup_ov.domain.failure import Failure
from levelup_ov.ledger import disk, driver_errors, limits

REVISIONS = (
    "0001",
    "0002",
    "0003",
    "0004",
    "0005",
    "0006",
    "0007",
    "0008",
    "0009",
    "0010",
    "0011",
    "0012",
    "0013",
    "0014",
    "0015",
    "0016",
    "0017",
    "0018",
    "0019",
    "0020",
    "0021",
)
"""Every revision of the schema, oldest first; this release works with the last one."""
VERSION_TABLE = "ledger_version"
COMPATIBILITY_TABLE = "ledger_compatibility"
"""The table with the oldest release that can work with a schema (see migration 0005)."""
OLDEST = f"SELECT oldest FROM {COMPATIBILITY_TABLE} WHERE revision = :found"
UPGRADE_COMMAND = "levelup-ov ledger upgrade"
PATIENCE = 5
"""Seconds to wait for a lock or for a free connection of the pool."""
REFUSED_PAUSE = 0.1
"""Seconds before retrying a server that accepts no more connections."""
KEPT = 4
"""Idle connections that a process keeps."""
SILENCE = 10.0
"""Seconds for which the same reason is not logged again."""

log = logging.getLogger(__name__)
T = TypeVar("T")

_ACCEPTED = "the ledger's address must be sqlite:///path/of/a/file or postgresql://user:password@host/name"
_CHECKPOINT_PAGES = 4000
"""After how many changed pages SQLite moves them into the file; its default of 1000 moves the same ones often."""
_MIGRATING = 0x6C65646765720000
"""The advisory lock of a migration: ``ledger`` in ASCII, away from the random keys of the claims."""
_POSTGRESQL_DEFAULTS = {
    # Detect a vanished host within seconds, not after the kernel's two hours.
    "connect_timeout": "3",
    "keepalives_idle": "10",
    "keepalives_interval": "3",
    "keepalives_count": "3",
    "tcp_user_timeout": "10000",
    "application_name": "levelup_ov",
    # A server whose own encoding is SQL_ASCII would return bytes in place of text.
    "client_encoding": "utf8",
}


class LedgerUnavailable(Failure):
    """The ledger cannot be read or written (503). ``__cause__`` is the reason, without parameters.

    ``kind``: one of :mod:`levelup_ov.ledger.driver_errors`, if known.
    """

    def __init__(
        self, message: str = "the ledger of submissions cannot be reached or written", kind: str | None = None
    ) -> None:
        super().__init__("ledger_unavailable", f"{message}: {driver_errors.words_for(kind)}" if kind else message)
        self.kind = kind

    @property
    def is_permanent(self) -> bool:
        """Whether it needs a person to fix it."""
        return self.kind in driver_errors.PERMANENT


class SchemaMismatch(LedgerUnavailable):
    """The database's schema is not the one of this release; the message says what to do."""


def open_engine(url: str, *, pool_size: int, create: bool = False) -> Engine:
    """An engine for ``url`` with at most ``pool_size`` connections; nothing is connected yet.

    ``postgres://`` and ``postgresql://`` mean psycopg 3. ``create``: a file of SQLite that is missing may start empty.

    :raises ValueError: another kind of URL; the message does not repeat it.
    """
    address = _address(url)
    options: dict[str, Any] = {}
    if address.get_backend_name() == "sqlite":
        options = {"connect_args": {"timeout": PATIENCE}}
    # Connections opened in busy times are closed again, to leave them for others.
    kept = min(pool_size, KEPT)
    engine = create_engine(
        address, pool_size=kept, max_overflow=pool_size - kept, pool_timeout=PATIENCE, hide_parameters=True, **options
    )
    if engine.dialect.name == "sqlite":
        if not create:
            event.listen(engine, "do_connect", partial(_refuse_missing, sqlite_file(url)))
        event.listen(engine, "connect", _set_sqlite)
        event.listen(engine, "begin", lambda connection: _begin_in_time(connection.connection.driver_connection))
    else:
        event.listen(engine, "do_connect", _connect_in_time)
        event.listen(engine, "connect", _set_postgresql)
    return engine


def patiently(connect: Callable[[], T], wait: Callable[[float], object] = time.sleep) -> T:
    """The result of ``connect``, which is retried while there is time if the server accepts no more connections.

    Idle connections are closed within moments, so that commands get one however busy the service is.
    """
    end = time.monotonic() + min(PATIENCE, limits.remaining(PATIENCE))
    while True:
        try:
            return connect()
        except Exception as error:
            refused = error.orig if isinstance(error, DBAPIError) else error
            if driver_errors.kind_of(refused) != "connections" or time.monotonic() + REFUSED_PAUSE >= end:
                raise
        wait(REFUSED_PAUSE)


class ConnectionLost(Exception):
    """The connection to the database broke; ``__cause__`` is the driver's error."""


class failures:
    """Turn the database's failures into :class:`LedgerUnavailable`.

    Errors in the data itself pass through: they are bugs of the caller.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def __enter__(self) -> None:
        pass

    def __exit__(self, _type: object, error: BaseException | None, _traceback: object) -> None:
        driver: Any = self._engine.dialect.loaded_dbapi
        if isinstance(error, LedgerUnavailable):
            _report(error)
        if isinstance(error, PoolTimeout):
            raise LedgerUnavailable("every connection to the ledger of submissions is busy") from error
        if not isinstance(error, (DBAPIError, ConnectionLost, driver.Error)):
            return
        original = error.orig if isinstance(error, DBAPIError) else error
        if isinstance(original, (driver.IntegrityError, driver.DataError)) or driver_errors.is_too_long(original):
            return
        if _table_missing(original):
            check_schema(self._engine)
        cause = original.__cause__ if isinstance(original, ConnectionLost) else original
        kind = driver_errors.kind_of(cause)
        if kind in driver_errors.VAGUE and self._engine.dialect.name == "sqlite":
            kind = disk.trouble(Path(str(self._engine.url.database))) or kind
        failure = LedgerUnavailable(kind=kind)
        _report(failure, cause)
        raise failure from error


_reported: dict[str, float] = {}


def _report(failure: LedgerUnavailable, cause: Any = None) -> None:
    """Log the reason, once per reason and :data:`SILENCE`, because every submission fails with it.

    Of the driver's error only its kind, since its message may contain secrets.
    """
    now = time.monotonic()
    if now - _reported.get(failure.message, -SILENCE) >= SILENCE:
        _reported[failure.message] = now
        code = getattr(cause, "sqlstate", None) or getattr(cause, "sqlite_errorname", None)
        error = {} if cause is None else {"error": " ".join(filter(None, (type(cause).__name__, code)))}
        log.error("ledger_unavailable", extra={"reason": failure.message, **error})


def check_schema(engine: Engine) -> None:
    """Make sure that the schema is the one of this release, or a newer one that this release can work with.

    :raises SchemaMismatch: it is missing, older, or newer and incompatible.
    :raises LedgerUnavailable: the database cannot be read.
    """
    with failures(engine), patiently(engine.connect) as connection:
        found = _revision(connection)
        is_newer = _is_newer(connection, found)
    if found is None:
        raise SchemaMismatch(f"the ledger's database has no schema yet: run `{UPGRADE_COMMAND}`")
    if found != REVISIONS[-1] and not is_newer:
        raise SchemaMismatch(
            f"the ledger's database has schema {found}, this release needs {REVISIONS[-1]}: run `{UPGRADE_COMMAND}`"
        )


def upgrade(url: str) -> str | None:
    """Bring the database to the schema of this release; safe to run concurrently.

    Returns the revision that was found, None for an empty database. Nothing changes if it fails, or if a newer
    release has only added to the schema.

    :raises SchemaMismatch: a newer release has changed what this one needs.
    :raises LedgerUnavailable: the database cannot be reached or written.
    """
    engine = open_engine(url, pool_size=1, create=True)
    try:
        with failures(engine):
            if engine.dialect.name == "sqlite":
                _set_wal(engine)
            with patiently(engine.connect) as connection, connection.begin():
                if engine.dialect.name == "postgresql":
                    connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _MIGRATING})
                found = _revision(connection)
                if found != REVISIONS[-1] and not _is_newer(connection, found):
                    _migrate(connection)
            return found
    finally:
        engine.dispose()


def _migrate(connection: Connection) -> None:
    # Imported only here: a start over the newest schema needs none of it.
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", "levelup_ov:ledger/migrations")
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


def _address(url: str) -> URL:
    try:
        address = make_url(url)
    except ArgumentError:
        raise ValueError(_ACCEPTED) from None
    if address.drivername in ("postgres", "postgresql", "postgresql+psycopg"):
        defaults = {name: value for name, value in _POSTGRESQL_DEFAULTS.items() if name not in address.query}
        return address.set(drivername="postgresql+psycopg").update_query_dict(defaults)
    if address.drivername in ("sqlite", "sqlite+pysqlite") and address.database not in (None, "", ":memory:"):
        return address.set(drivername="sqlite+pysqlite")
    raise ValueError(_ACCEPTED)


def sqlite_file(url: str) -> str:
    """The file of an SQLite URL."""
    return url.partition(":///")[2].partition("?")[0].removeprefix("file:")


def _refuse_missing(path: str, *_: object) -> None:
    """SQLite itself would create an empty file, which knows of no order."""
    if not os.path.exists(path):
        raise SchemaMismatch(
            f"the ledger's file is missing and has no schema yet: run `{UPGRADE_COMMAND}`, or restore it"
        )


def _set_sqlite(connection: Any, _record: object) -> None:
    # Otherwise the driver starts transactions itself, late and without the write lock.
    connection.isolation_level = None
    connection.execute("PRAGMA synchronous = NORMAL")
    connection.execute("PRAGMA foreign_keys = ON")
    # SQLite would put the words that a state may be into a table, for each statement that sets one. Those set here are
    # constants.
    connection.execute("PRAGMA ignore_check_constraints = ON")
    connection.execute(f"PRAGMA wal_autocheckpoint = {_CHECKPOINT_PAGES}")


def begin_sqlite(driver: Any) -> None:
    """Begin a transaction with the write lock: one that reads first and writes later could fail midway.

    ``driver`` is a connection or a cursor of the driver.
    """
    driver.execute("BEGIN IMMEDIATE")


def _begin_in_time(driver: Any) -> None:
    patience = max(min(PATIENCE, limits.remaining(PATIENCE)), 0)
    driver.execute(f"PRAGMA busy_timeout = {int(patience * 1000)}")
    begin_sqlite(driver)


class WriteAheadLog:
    """Forces commits of an SQLite database to the disk; ``find`` returns its file.

    SQLite could do so while it commits, but would hold its one write lock that long. Only the write-ahead log needs to
    be forced: what has left the log is in the database, and was forced there. The log stays the same file while there
    is a connection to the database, so keep one from the first :meth:`force` to :meth:`close`.
    """

    def __init__(self, find: Callable[[], str]) -> None:
        self._find = find
        self._opening = threading.Lock()
        self._file: int | None = None

    def force(self) -> None:
        """Return when everything committed before is on the disk.

        :raises LedgerUnavailable: the disk refuses.
        """
        try:
            with self._opening:
                if self._file is None:
                    self._file = os.open(f"{self._find()}-wal", os.O_RDONLY)
                file = self._file
            os.fdatasync(file)
        except OSError as error:
            failure = LedgerUnavailable(kind="full" if error.errno == errno.ENOSPC else "disk")
            _report(failure)
            raise failure from error

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            os.close(self._file)
            self._file = None


def _connect_in_time(_dialect: object, _record: object, arguments: Any, parameters: Any) -> Any:
    from levelup_ov.ledger import postgresql  # with its driver, as large as all else of a ledger in SQLite

    return postgresql.connect(lambda: postgresql.LimitedConnection.connect(*arguments, **parameters), PATIENCE)


def _set_postgresql(connection: Any, _record: object) -> None:
    for setting in ("lock_timeout", "statement_timeout", "idle_in_transaction_session_timeout"):
        connection.execute(f"SET {setting} = '{PATIENCE}s'")
    connection.commit()


def _set_wal(engine: Engine) -> None:
    """Set write-ahead logging, a property of the file: once, outside of any transaction."""
    raw = engine.raw_connection()
    try:
        (mode,) = raw.cursor().execute("PRAGMA journal_mode = WAL").fetchone()
        if mode != "wal":
            raise LedgerUnavailable(f"SQLite cannot write ahead here (journal_mode stays {mode}): take a local disk")
    except engine.dialect.loaded_dbapi.Error as error:
        raise LedgerUnavailable() from error
    finally:
        raw.close()


def _revision(connection: Connection) -> str | None:
    # Look in the catalog, because a failed query would abort a PostgreSQL transaction.
    if not connection.dialect.has_table(connection, VERSION_TABLE):
        return None
    return connection.scalar(text(f"SELECT version_num FROM {VERSION_TABLE}"))


def _is_newer(connection: Connection, found: str | None) -> bool:
    """Whether the schema ``found`` is from a newer release that only added to this one's.

    :raises SchemaMismatch: the newer release did more than that.
    """
    if found is None or found in REVISIONS:
        return False
    oldest = None
    if connection.dialect.has_table(connection, COMPATIBILITY_TABLE):
        oldest = connection.scalar(text(OLDEST), {"found": found})
    if oldest not in REVISIONS:
        raise SchemaMismatch(
            f"the ledger's database has schema {found}, which this release does not know (it knows up to "
            f"{REVISIONS[-1]}) and cannot use: run the release that migrated it, or a later one; to go back, restore a "
            "backup from before the upgrade"
        )
    return True


def _table_missing(error: object) -> bool:
    return getattr(error, "sqlstate", None) == "42P01" or "no such table" in str(error)
