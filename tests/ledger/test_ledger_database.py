"""The ledger's database: migrations, what is refused, what fails and how, and what is never in it."""

from __future__ import annotations

import errno
import itertools
import multiprocessing
import os
import re
import sqlite3
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, closing, suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Engine, event, select, text
from sqlalchemy.exc import DBAPIError

from levelup_ov.app import create_app
from levelup_ov.checkout.store import METADATA, ORDERS, CheckoutStore
from levelup_ov.config import load_settings
from levelup_ov.domain.event import Event
from levelup_ov.domain.order import DeliveryAddress, Item, User
from levelup_ov.domain.request import OrderRequest, SubmissionRequest
from levelup_ov.domain.secret import Secret
from levelup_ov.domain.tender import CreditCard
from levelup_ov.ledger import database as transactions
from levelup_ov.ledger import engine as database
from levelup_ov.ledger import tables as ledger_sql
from levelup_ov.ledger.engine import LedgerUnavailable, SchemaMismatch, check_schema, open_engine, upgrade
from levelup_ov.ledger.identity import content, content_digests, identities
from levelup_ov.ledger.ledger import Ledger, open_ledger
from levelup_ov.ledger.records import RETENTION, AlreadyPlaced, Claimed, InProgress, Superseded, Unknown
from tests.channel import Channel
from tests.ledger.helpers import ANSWER, GRACE, KEYS, LEASE, LOCATION, Clock, begin, claim, claimed, place, shown
from tests.servers.postgres import PostgresServer, binaries
from tests.stopwatch import within

COMMAND = "levelup-ov ledger upgrade"
SPAWN = multiprocessing.get_context("spawn")


def rows(url: str, query: str) -> list[Any]:
    engine = open_engine(url, pool_size=1)
    try:
        with engine.begin() as connection:
            result = connection.execute(text(query))
            return [tuple(row) for row in result] if result.returns_rows else []
    finally:
        engine.dispose()


def set_revision(url: str, revision: str) -> None:
    rows(url, f"UPDATE {database.VERSION_TABLE} SET version_num = '{revision}'")


def test_an_empty_database_is_migrated_once(empty_url: str) -> None:
    assert upgrade(empty_url) is None
    assert upgrade(empty_url) == database.REVISIONS[-1]
    ledger = open_ledger(empty_url)
    ledger.ready()
    assert claimed(claim(ledger))
    ledger.close()


def test_several_may_migrate_at_once(empty_url: str) -> None:
    with SPAWN.Pool(3) as pool:
        found = pool.map_async(upgrade, [empty_url] * 3).get(60)
    assert sorted(found, key=str) == [database.REVISIONS[-1], database.REVISIONS[-1], None]


@pytest.mark.filterwarnings("ignore:Skipped unsupported reflection of expression-based index")
def test_the_code_knows_the_migrations_revisions_and_tables(url: str) -> None:
    config = Config()
    config.set_main_option("script_location", "levelup_ov:ledger/migrations")
    revisions = [script.revision for script in ScriptDirectory.from_config(config).walk_revisions()]
    assert tuple(reversed(revisions)) == database.REVISIONS
    engine = open_engine(url, pool_size=1)
    with engine.connect() as connection:
        options = {"version_table": database.VERSION_TABLE, "compare_type": True}
        tables = [ledger_sql.METADATA, METADATA]
        differences = compare_metadata(MigrationContext.configure(connection, opts=options), tables)
    engine.dispose()
    # The indexes are the migrations' own affair.
    assert [difference for difference in differences if difference[0] != "remove_index"] == []


def test_a_canceled_order_of_the_release_before_stays_a_case(empty_url: str) -> None:
    engine = open_engine(empty_url, pool_size=1, create=True)
    config = Config()
    config.set_main_option("script_location", "levelup_ov:ledger/migrations")
    values = {"id": "o", "state": "refunding", "operator_case": '{"kind": "canceled_not_refunded", "message": "m"}'}
    needed = {each.name: 0 for each in ORDERS.c if not each.nullable}
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "0019")
        connection.execute(ORDERS.insert(), {**needed, **values})
    engine.dispose()
    upgrade(empty_url)
    with closing(transactions.Database(empty_url, pool_size=1)) as migrated:
        store = CheckoutStore(migrated)
        for change in ({"state": "refunding"}, {"state": "submitted", "operator_case": None}):
            store.change_order("o", ("refunding",), values=change)
            assert [order.case_kind for order in store.operator_cases()] == ["canceled_not_refunded"]


def test_a_database_without_schema_says_what_to_run(empty_url: str) -> None:
    ledger = open_ledger(empty_url)
    for call in (ledger.ready, lambda: claim(ledger), ledger.reader.find):
        with pytest.raises(SchemaMismatch, match=f"no schema yet: run `{COMMAND}`"):
            call()
    upgrade(empty_url)
    ledger.ready()
    ledger.close()


def test_an_older_schema_says_what_to_run(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    newest = database.REVISIONS[-1]
    monkeypatch.setattr(database, "REVISIONS", (*database.REVISIONS, "9998"))
    ledger = open_ledger(url)
    with pytest.raises(SchemaMismatch, match=f"has schema {newest}, this release needs 9998: run `{COMMAND}`"):
        ledger.ready()
    ledger.close()


def test_a_newer_schema_is_refused_and_left_alone(url: str) -> None:
    set_revision(url, "9999")
    engine = open_engine(url, pool_size=1)
    for call in (lambda: check_schema(engine), lambda: upgrade(url)):
        with pytest.raises(SchemaMismatch, match="has schema 9999, which this release does not know") as refused:
            call()
        assert "run the release that migrated it, or a later one" in refused.value.message
    engine.dispose()
    assert rows(url, f"SELECT version_num FROM {database.VERSION_TABLE}") == [("9999",)]


def newer(url: str, oldest: str) -> None:
    """What a later release does to the schema: it adds a column and a table."""
    rows(url, "ALTER TABLE submissions ADD COLUMN of_a_later_release TEXT DEFAULT 'x'")
    rows(url, "CREATE TABLE of_a_later_release (id TEXT PRIMARY KEY)")
    rows(url, f"INSERT INTO {database.COMPATIBILITY_TABLE} VALUES ('9999', '{oldest}')")
    set_revision(url, "9999")


@pytest.fixture
def roles(postgres: PostgresServer) -> Iterator[tuple[str, str]]:
    """A database whose owner and whose service are different users, granted what the page says; their addresses."""
    name = postgres.create_database()
    page = (Path(__file__).parents[2] / "docs" / "deploying.rst").read_text(encoding="utf-8")
    (setup, _) = re.findall(r"code-block:: sql\n\n((?:    .*\n|\n)+)", page)
    rows(postgres.url(name), setup)
    owner, service = (postgres.url(name).replace("tests@", f"{role}@") for role in ("ledger_owner", "ledger_service"))
    yield owner, service
    postgres.drop_database(name)
    for role in ("ledger_owner", "ledger_service"):
        rows(postgres.url("postgres"), f"DROP ROLE {role}")


@pytest.mark.rule("SUB-2")
def test_a_role_with_the_documented_grants_serves(roles: tuple[str, str], tmp_path: Path) -> None:
    owner, service = roles
    assert upgrade(owner) is None
    # It must not be able to do more than the page grants.
    with pytest.raises(DBAPIError, match="permission denied"):
        rows(service, "CREATE TABLE mine (id TEXT)")
    events = {"LEVELUP_OV_EVENTS_URL": "http://127.0.0.1:1", "LEVELUP_OV_EVENTS_SECRETS": f"whsec_{'c' * 32}"}
    environ = {"LEVELUP_OV_ENV": "development", "LEVELUP_OV_DATA_DIR": str(tmp_path), "DATABASE_URL": service, **events}
    app = create_app(load_settings(environ))
    channel, runner = Channel(app), app.test_cli_runner()
    placed = channel.submit().order["order_id"]
    assert channel.get(f"/locations/sandbox.congress/orders/{placed}").status == 200
    ledger = app.extensions["levelup_ov"].submissions.ledger
    with closing(ledger):
        # A number of its own comes from a sequence.
        ledger.outbox.add(Event("menu.changed", "sandbox", "sandbox.congress", "sandbox.congress", {}))
        for command in ("ledger upgrade", "ledger purge", "submissions reconcile", "orders watch", "menu watch"):
            result = runner.invoke(args=command.split())
            assert result.exit_code == 0, (command, result.output)


@pytest.mark.rule("SUB-2")
def test_a_release_works_beside_a_schema_with_additions(url: str) -> None:
    before = open_ledger(url)
    id = claimed(claim(before))
    newer(url, database.REVISIONS[-1])
    # As the rolling deploy has it: the older release goes on, and its commands too.
    before.ready()
    begin(before, id)
    place(before, id)
    assert upgrade(url) == "9999"
    before.close()
    # And after a rollback: it starts over.
    after = open_ledger(url)
    after.ready()
    assert isinstance(claim(after), AlreadyPlaced)
    assert shown(after, id).state == "placed"
    assert isinstance(claim(after, b"another", idempotency_key="new"), Claimed)
    after.close()
    assert rows(url, f"SELECT version_num FROM {database.VERSION_TABLE}") == [("9999",)]


@pytest.mark.rule("SUB-2")
def test_a_newer_release_reads_what_an_older_one_writes(url: str) -> None:
    newer(url, database.REVISIONS[-1])
    ledger = open_ledger(url)
    claimed(claim(ledger))
    ledger.close()
    assert rows(url, "SELECT of_a_later_release FROM submissions") == [("x",)]


def test_a_schema_that_needs_a_later_release_is_refused(url: str) -> None:
    newer(url, "9999")
    engine = open_engine(url, pool_size=1)
    for call in (lambda: check_schema(engine), lambda: upgrade(url)):
        with pytest.raises(SchemaMismatch, match="has schema 9999, which this release does not know"):
            call()
    engine.dispose()


@pytest.mark.parametrize(
    "url",
    [
        "mysql://user:hunter2@host/name",
        "postgresql+asyncpg://user:hunter2@host/name",
        "sqlite://",
        "sqlite:///:memory:",
        "no address hunter2",
        "",
    ],
)
def test_another_kind_of_address_is_refused_without_repeating_it(url: str) -> None:
    with pytest.raises(ValueError, match="sqlite:///path/of/a/file or postgresql://") as refused:
        open_ledger(url)
    assert "hunter2" not in str(refused.value)


@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+psycopg"])
def test_both_spellings_of_postgresql_are_accepted(postgresql_url: str, scheme: str) -> None:
    ledger = open_ledger(f"{postgresql_url}?connect_timeout=7".replace("postgresql", scheme, 1))
    ledger.ready()
    ledger.close()


@pytest.fixture
def server() -> Iterator[PostgresServer]:
    with PostgresServer(binaries()) as server:
        yield server


@pytest.mark.rule("SUB-2")
def test_a_postgresql_that_is_gone_and_comes_back(server: PostgresServer) -> None:
    url = server.url(server.create_database())
    upgrade(url)
    ledger = open_ledger(url)
    id = claimed(claim(ledger))
    begin(ledger, id)
    server.stop()
    for call in (lambda: claim(ledger, idempotency_key="2"), lambda: place(ledger, id), ledger.ready):
        with within(5), pytest.raises(LedgerUnavailable) as failed:
            call()
        assert failed.value.code == "ledger_unavailable"
        assert "127.0.0.1" not in failed.value.message
    assert server.start()
    place(ledger, id)
    assert isinstance(claim(ledger), AlreadyPlaced)
    ledger.close()


@pytest.mark.rule("SUB-2")
def test_dead_connections_in_the_pool_cost_no_submission(postgres: PostgresServer, postgresql_url: str) -> None:
    ledger = open_ledger(postgresql_url)
    steps = [
        lambda: claimed(claim(ledger)),
        lambda: begin(ledger, ledger.reader.find()[0].id),
        lambda: place(ledger, ledger.reader.find()[0].id),
    ]
    for step in steps:
        ledger.reader.find()
        name = postgresql_url.rpartition("/")[2]
        with psycopg.connect(postgres.url("postgres"), autocommit=True) as connection:
            ended = connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [name]
            )
            assert ended.fetchall() == [(True,)]
        step()
    assert [found.state for found in ledger.reader.find()] == ["placed"]
    ledger.close()


@pytest.mark.rule("SUB-2")
def test_a_restarted_server_costs_no_submission(postgres: PostgresServer, postgresql_url: str) -> None:
    ledger = open_ledger(postgresql_url, pool_size=6)
    with ExitStack() as busy:
        for _ in range(6):
            busy.enter_context(closing(ledger.database.engine.connect()))
    name = postgresql_url.rpartition("/")[2]
    with psycopg.connect(postgres.url("postgres"), autocommit=True) as connection:
        connection.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [name])
    claimed(claim(ledger))
    ledger.close()


@pytest.mark.rule("SUB-2")
def test_one_thread_is_enough(url: str) -> None:
    ledger = open_ledger(url, pool_size=1)
    id = claimed(claim(ledger))
    begin(ledger, id)
    ledger.ready()
    assert [found.id for found in ledger.reader.open_submissions()] == [id]
    ledger.close()


@pytest.mark.rule("SUB-2")
def test_a_file_behind_a_link_is_written_as_durably(sqlite_url: str, tmp_path: Path) -> None:
    link = tmp_path / "elsewhere" / "link.db"
    link.parent.mkdir()
    link.symlink_to(sqlite_url.removeprefix("sqlite:///"))
    ledger = open_ledger(f"sqlite:///{link}")
    begin(ledger, claimed(claim(ledger)))
    ledger.close()


@pytest.mark.rule("SUB-2")
def test_a_file_without_a_log_to_force_is_not_ready(sqlite_url: str) -> None:
    with closing(sqlite3.connect(sqlite_url.removeprefix("sqlite:///"))) as connection:
        connection.execute("PRAGMA journal_mode = DELETE")
    ledger = open_ledger(sqlite_url)
    with pytest.raises(LedgerUnavailable):
        ledger.ready()
    ledger.close()


@pytest.mark.rule("SUB-2")
@pytest.mark.parametrize("step", ["claim", "begin_sending", "place"])
def test_a_connection_that_breaks_at_the_commit(url: str, monkeypatch: pytest.MonkeyPatch, step: str) -> None:
    """The change was made, but its maker cannot know: the second try finds it made and goes on."""
    ledger = open_ledger(url)
    id = "" if step == "claim" else claimed(claim(ledger))
    if step == "place":
        begin(ledger, id)
    engine = ledger.database.engine
    commit = engine.dialect.do_commit
    broken: list[bool] = []

    def break_once(connection: Any) -> None:
        commit(connection)
        if not broken:
            broken.append(True)
            raise engine.dialect.loaded_dbapi.OperationalError("the connection broke")

    monkeypatch.setattr(engine.dialect, "do_commit", break_once)
    monkeypatch.setattr(engine.dialect, "is_disconnect", lambda error, *_: "broke" in str(error))
    {
        "claim": lambda: claimed(claim(ledger)),
        "begin_sending": lambda: begin(ledger, id),
        "place": lambda: place(ledger, id),
    }[step]()
    assert broken
    (found,) = ledger.reader.find()
    assert found.state == {"claim": "claimed", "begin_sending": "sending", "place": "placed"}[step]
    ledger.close()


@pytest.mark.rule("SUB-2")
def test_a_database_that_can_only_be_read(url: str) -> None:
    if url.startswith("sqlite"):
        path = url.removeprefix("sqlite:///")
        ledger = open_ledger(f"sqlite:///file:{path}?mode=ro&uri=true")
    else:
        rows(url, f"ALTER DATABASE {url.rpartition('/')[2]} SET default_transaction_read_only = on")
        ledger = open_ledger(url)
    for call in (ledger.ready, lambda: claim(ledger)):
        with pytest.raises(LedgerUnavailable, match="cannot be reached or written"):
            call()
    ledger.close()


@pytest.mark.rule("SUB-2", "SUB-5")
def test_a_full_disk_refuses_claims_and_loses_nothing(sqlite_url: str, clock: Clock) -> None:
    full = False

    def limit(connection: Any, _record: object) -> None:
        connection.execute(f"PRAGMA max_page_count = {1 if full else 100000}")

    event.listen(Engine, "connect", limit)
    try:
        ledger = open_ledger(sqlite_url, clock=clock)
        id = claimed(claim(ledger))
        begin(ledger, id)
        ledger.close()
        full = True
        with pytest.raises(LedgerUnavailable):
            for number in range(1000):
                claim(ledger, idempotency_key=f"more {number}")
        with pytest.raises(LedgerUnavailable):
            ledger.transitions.place(id, answer="x" * 100_000, order_id=1, provider_order_id="p-17")
        ledger.close()
        full = False
        assert shown(ledger, id).state == "sending"
        clock.advance(LEASE + GRACE)
        assert isinstance(claim(ledger), Unknown)
        place(ledger, id)
        assert isinstance(claim(ledger), AlreadyPlaced)
        ledger.close()
    finally:
        event.remove(Engine, "connect", limit)


def test_a_lock_that_is_held_too_long(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    holder = open_engine(url, pool_size=1)
    holder.connect().close()
    monkeypatch.setattr(database, "PATIENCE", 1)
    ledger = open_ledger(url)
    id = claimed(claim(ledger))
    with holder.begin() as connection:
        connection.execute(text("UPDATE submissions SET owner = 'x'"))
        with pytest.raises(LedgerUnavailable):
            begin(ledger, id)
    begin(ledger, id)
    holder.dispose()
    ledger.close()


def test_a_database_without_an_encoding_serves(postgres: PostgresServer, clock: Clock) -> None:
    plain = "ENCODING 'SQL_ASCII' LC_COLLATE 'C' LC_CTYPE 'C'"
    url = postgres.url(postgres.create_database(template="template0", more=plain))
    database.upgrade(url)
    ledger = open_ledger(url, clock=clock)
    id = claimed(claim(ledger))
    begin(ledger, id)
    assert [found.state for found in ledger.reader.find()] == ["sending"]
    ledger.close()


def test_a_deadlock_is_resolved_by_a_second_try(postgresql_url: str, clock: Clock) -> None:
    ledger = open_ledger(postgresql_url, clock=clock)
    numbers = itertools.count()

    def is_refused_to_the_ledger() -> bool:
        """Whether PostgreSQL ended the ledger's side of a deadlock: that which waited first, unless that was long."""
        ids = []
        for _ in range(2):
            ids.append(claimed(claim(ledger, idempotency_key=str(next(numbers)))))
            clock.advance(timedelta(seconds=1))
        clock.advance(LEASE)
        # The ledger takes the older row first and then waits for the newer one.
        with psycopg.connect(postgresql_url) as other, ThreadPoolExecutor(1) as pool:
            other.execute("UPDATE submissions SET owner = 'x' WHERE id = %s", [ids[1]])
            resolving = pool.submit(ledger.reader.open_submissions)
            while not other.execute("SELECT 1 FROM pg_locks WHERE NOT granted").fetchall():
                time.sleep(0.01)
            try:
                other.execute("UPDATE submissions SET owner = 'x' WHERE id = %s", [ids[0]])
            except psycopg.errors.DeadlockDetected:
                return False
            finally:
                other.rollback()
                assert resolving.result() == ()
        return True

    while not is_refused_to_the_ledger():
        pass
    assert {found.state for found in ledger.reader.find()} == {"not_placed"}
    ledger.close()


def test_a_pool_without_a_free_connection(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "PATIENCE", 1)
    ledger = open_ledger(url, pool_size=1)
    engine = ledger.database.engine
    with ExitStack() as busy:
        for _ in range(engine.pool.size()):  # type: ignore[attr-defined]
            busy.enter_context(engine.connect())
        with pytest.raises(LedgerUnavailable, match="busy"):
            claim(ledger)
    ledger.close()


@pytest.mark.rule("SUB-2")
def test_a_transaction_after_a_read_is_undone(url: str) -> None:
    """Whether the read succeeded or not: both may use the same connection."""
    ledger = open_ledger(url)
    database = ledger.database
    names = select(ledger_sql.KEYS.c.name)
    reads = [database.prepare(each) for each in (names, names.where(text("there_is_no_such_column")))]

    def insert_and_fail(cursor: Any, _again: bool) -> None:
        cursor.execute("INSERT INTO ledger_keys (name, value) VALUES ('undone', '')")
        raise RuntimeError

    for read in reads * 3:
        with suppress(LedgerUnavailable):
            database.first(read, {})
        with pytest.raises(RuntimeError):
            database.run(insert_and_fail)
        with pytest.raises(RuntimeError), database.connection() as connection:
            connection.exec_driver_sql("INSERT INTO ledger_keys (name, value) VALUES ('undone', '')")
            raise RuntimeError
    assert rows(url, "SELECT name FROM ledger_keys WHERE name = 'undone'") == []
    ledger.close()


def test_a_bug_of_the_caller_is_not_taken_for_a_failing_database(ledger: Ledger) -> None:
    with pytest.raises(Exception, match="(?i)null") as failed:
        ledger.claims.claim(
            account=None,  # type: ignore[arg-type]
            location=LOCATION,
            identities=identities(LOCATION, content=b"c", keys=KEYS),
            content=("00",),
            lease=LEASE,
        )
    assert not isinstance(failed.value, LedgerUnavailable)


@pytest.mark.rule("PAY-2", "META-7")
def test_nothing_personal_and_no_secret_is_in_the_database(url: str) -> None:
    canary = {
        name: f"canary-{name}"
        for name in ("first", "last", "email", "phone", "street", "note", "key", "number", "validation")
    }
    card = "4111111111111111"
    order = OrderRequest(
        (Item("burger", 1, special_instructions=canary["note"], recipient_name=canary["first"]),),
        User(canary["first"], canary["last"], canary["phone"], canary["email"]),
        special_instructions=canary["note"],
        delivery_address=DeliveryAddress(canary["street"]),
    )
    tender = CreditCard(Secret(card), Secret("987"), "01", "2030", "02110", canary["last"])
    what = content(SubmissionRequest(order, tender))
    names = {
        "idempotency_key": canary["key"],
        "order_number": canary["number"],
        "order_validation_id": canary["validation"],
    }
    ledger = open_ledger(url)
    for identity in (
        identities(LOCATION, content=what, keys=KEYS, card_number=Secret(card)),
        identities(LOCATION, content=what, keys=KEYS, card_number=Secret(card), **names),
    ):
        digests = content_digests(LOCATION, what, KEYS)
        got = ledger.claims.claim(account="deli", location=LOCATION, identities=identity, content=digests, lease=LEASE)
        begin(ledger, claimed(got))
        place(ledger, claimed(got))
    written = stored(url)
    ledger.close()
    assert ANSWER.encode() in written
    assert b"canary" not in written
    assert card.encode() not in written and b"burger" not in written
    assert KEYS[0] not in written


def stored(url: str) -> bytes:
    """Every byte of the database: SQLite's files, or PostgreSQL's rows."""
    if url.startswith("sqlite"):
        file = Path(url.removeprefix("sqlite:///"))
        return b"".join(path.read_bytes() for path in file.parent.glob(f"{file.name}*"))
    both = (rows(url, f"SELECT CAST({table} AS text) FROM {table}") for table in ("submissions", "identities"))
    return repr([*both]).replace('""', '"').encode()


def test_an_error_of_the_database_shows_no_parameters(url: str) -> None:
    rows(url, "DROP TABLE identities")
    ledger = open_ledger(url)
    with pytest.raises(LedgerUnavailable) as failed:
        claim(ledger, idempotency_key="k")
    digest = identities(LOCATION, content=b"a burger", keys=KEYS, idempotency_key="k")[0].digests[0]
    assert digest not in f"{failed.value.message} {failed.value.__cause__}"
    ledger.close()


def test_sqlite_survives_a_power_failure_and_lets_readers_in(sqlite_url: str) -> None:
    assert rows(sqlite_url, "PRAGMA journal_mode") == [("wal",)]
    assert rows(sqlite_url, "PRAGMA foreign_keys") == [(1,)]


def test_on_sqlite_the_mark_before_placing_is_forced_to_disk(sqlite_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    forced: list[str] = []
    monkeypatch.setattr(os, "fdatasync", lambda file: forced.append(os.readlink(f"/proc/self/fd/{file}")))
    ledger = open_ledger(sqlite_url)
    id = claimed(claim(ledger, idempotency_key="k"))
    assert forced == []
    ledger.transitions.begin_sending(id, lease=LEASE)
    assert forced == [f"{sqlite_url.removeprefix('sqlite:///')}-wal"]
    ledger.close()


def test_a_disk_that_refuses_the_mark_stops_the_submission(sqlite_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(file: int) -> None:
        raise OSError(errno.EIO, "the disk is gone")

    ledger = open_ledger(sqlite_url)
    id = claimed(claim(ledger, idempotency_key="k"))
    monkeypatch.setattr(os, "fdatasync", refuse)
    with pytest.raises(LedgerUnavailable):
        ledger.transitions.begin_sending(id, lease=LEASE)
    ledger.close()


class SlowDisk:
    """Counts what is forced to it; the first write takes until others want one too, which fails with ``error``."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, error: BaseException | None = None) -> None:
        self.writes = 0
        self.go_on = threading.Event()
        self._error = error
        monkeypatch.setattr(os, "fdatasync", self._write)

    def _write(self, file: int) -> None:
        self.writes += 1
        if self.writes == 1:
            assert self.go_on.wait(30)
        elif self._error is not None:
            raise self._error

    def begin(self, pool: ThreadPoolExecutor, ledger: Ledger, ids: list[str]) -> list[Future[BaseException | None]]:
        """One starts to send; the others come while it waits for the disk. Gives what each fails with."""

        def attempt(id: str) -> BaseException | None:
            try:
                begin(ledger, id)
            except (LedgerUnavailable, Superseded, KeyboardInterrupt) as error:
                return error
            return None

        first = pool.submit(attempt, ids[0])
        while not self.writes:
            time.sleep(0.001)
        return [first, *(pool.submit(attempt, id) for id in ids[1:])]


def begin_together(disk: SlowDisk, ledger: Ledger, ids: list[str]) -> list[BaseException | None]:
    with ThreadPoolExecutor(len(ids)) as pool:
        beginning = disk.begin(pool, ledger, ids)
        time.sleep(0.3)
        disk.go_on.set()
        return [one.result() for one in beginning]


@pytest.fixture
def crowd(sqlite_url: str) -> Iterator[tuple[Ledger, list[str]]]:
    """A ledger, and eight submissions that were claimed in it."""
    ledger = open_ledger(sqlite_url)
    yield ledger, [claimed(claim(ledger, idempotency_key=str(number))) for number in range(8)]
    ledger.close()


@pytest.mark.rule("SUB-2")
def test_one_write_to_the_disk_serves_all_who_wait_for_it(
    crowd: tuple[Ledger, list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger, ids = crowd
    ledger.transitions.fail(ids[4])
    disk = SlowDisk(monkeypatch)
    failed = begin_together(disk, ledger, ids)
    assert disk.writes < len(ids) / 2
    # Only the one whose claim was lost fails.
    assert [type(error) for error in failed if error] == [Superseded] and failed[4] is not None
    states = {found.id: found.state for found in ledger.reader.find()}
    assert [states[id] for id in ids] == ["sending"] * 4 + ["not_placed"] + ["sending"] * 3


@pytest.mark.rule("SUB-2")
@pytest.mark.parametrize("error", [OSError(errno.EIO, "gone"), KeyboardInterrupt()], ids=["refused", "interrupted"])
def test_if_the_write_fails_none_that_wait_for_it_may_send(
    crowd: tuple[Ledger, list[str]], monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    ledger, ids = crowd
    first, *others = begin_together(SlowDisk(monkeypatch, error), ledger, ids)
    assert first is None and None not in others
    # What interrupts one of them concerns the others only in so far.
    kinds = [type(other) for other in others if not isinstance(other, LedgerUnavailable)]
    assert set(kinds) <= {type(error)} - {OSError} and len(kinds) < len(others)


@pytest.mark.rule("SUB-2")
def test_a_wait_for_the_disk_that_is_too_long_forbids_sending(
    crowd: tuple[Ledger, list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger, ids = crowd
    monkeypatch.setattr(transactions, "PATIENCE", 0.1)
    disk = SlowDisk(monkeypatch)
    with ThreadPoolExecutor(len(ids)) as pool:
        first, *others = disk.begin(pool, ledger, ids)
        refused = [other.result(30) for other in others]
        disk.go_on.set()
        assert first.result() is None
    assert {str(error) for error in refused} == {"the ledger of submissions is busy"}
    assert sorted(found.state for found in ledger.reader.find()) == ["claimed"] * 7 + ["sending"]


def test_all_who_wait_hear_what_is_wrong_with_the_database(
    crowd: tuple[Ledger, list[str]], sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger, ids = crowd
    disk = SlowDisk(monkeypatch)
    with ThreadPoolExecutor(len(ids)) as pool:
        first, *others = disk.begin(pool, ledger, ids)
        for table in ("identities", "submissions", database.VERSION_TABLE):
            rows(sqlite_url, f"DROP TABLE {table}")
        disk.go_on.set()
        assert first.result() is None
        assert [type(other.result()) for other in others] == [SchemaMismatch] * 7


def test_purging_takes_the_identities_along(ledger: Ledger, clock: Clock, url: str) -> None:
    id = claimed(claim(ledger))
    begin(ledger, id)
    assert isinstance(claim(ledger), InProgress)
    place(ledger, id)
    clock.advance(2 * RETENTION)
    assert ledger.purge() == 1
    assert rows(url, "SELECT * FROM identities") == []
