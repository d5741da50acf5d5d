"""A ledger that cannot be written: submissions are refused before anything is sent, the rest goes on (SUB-2)."""

from __future__ import annotations

import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from pathlib import Path

import pytest
from sqlalchemy import event

from tests.faults.house import House, house
from tests.faults.proxy import Exchange
from tests.faults.stack import ROOT, environment
from tests.servers.postgres import PostgresServer


def _refused_before_anything_is_sent(one: House) -> None:
    calls = len(one.proxy.calls)
    answer = one.submit(key="down")
    assert (answer.status, answer.code, answer.retryable) == (503, "ledger_unavailable", True)
    assert answer.body["error"]["type"] == "service"
    assert len(one.proxy.calls) == calls
    assert one.validate().status == 200
    assert one.app.test_client().get("/ready").status_code == 503
    assert one.app.test_client().get("/health").status_code == 200


@contextmanager
def _each_connection(one: House, pragma: str) -> Iterator[None]:
    """Connections to SQLite are opened with this pragma."""

    def restrict(connection: sqlite3.Connection, _record: object) -> None:
        connection.execute(pragma)

    toolkit = one.ledger._engine
    event.listen(toolkit, "connect", restrict)
    toolkit.dispose()
    yield
    event.remove(toolkit, "connect", restrict)
    toolkit.dispose()


def _read_only(one: House) -> AbstractContextManager[None]:
    """What SQLite says of a file that it may not write."""
    return _each_connection(one, "PRAGMA query_only = 1")


@contextmanager
def _gone(one: House) -> Iterator[None]:
    """The directory of the ledger is not there, as with a disk that was not mounted."""
    (away := one.directory / "away").mkdir()
    one.ledger.close()
    for file in list(one.directory.glob("ledger.db*")):
        shutil.move(file, away)
    (one.directory / "ledger.db").mkdir()
    yield
    (one.directory / "ledger.db").rmdir()
    for file in away.iterdir():
        shutil.move(file, one.directory)


@pytest.mark.rule("SUB-2", "ERR-2")
@pytest.mark.parametrize("down", [_gone, _read_only])
def test_without_a_ledger_submissions_are_refused_and_taken_again_later(
    down: Callable[[House], AbstractContextManager[None]], tmp_path: Path
) -> None:
    with house(tmp_path) as one:
        placed = one.submit(key="before")
        with down(one):
            _refused_before_anything_is_sent(one)
        assert one.submit(key="before").body == placed.body
        assert one.submit(key="down").status == 200
        assert len(one.cooked()) == 2


@pytest.mark.rule("SUB-2", "SUB-5")
def test_a_disk_that_fills_up_between_two_steps_costs_no_order_and_makes_no_second(tmp_path: Path) -> None:
    keys = [f"key-{number}" for number in range(80)]
    with house(tmp_path) as one:
        # Never fewer pages than there are: it is full once these are.
        with _each_connection(one, "PRAGMA max_page_count = 1"):
            answers = {key: one.submit(key=key, order_number=key) for key in keys}
            assert {answer.code for answer in answers.values()} == {"", "ledger_unavailable"}
            assert answers[keys[-1]].code == "ledger_unavailable"
            told = {answer.order_id for answer in answers.values() if answer.status == 200}
            assert told == {each.ticket for each in one.cooked()}
        one.clock.advance(seconds=10)
        after = {key: one.submit(key=key, order_number=key) for key in keys}
        assert all(answer.status == 200 for answer in after.values())
        for key in keys:
            assert answers[key].order_id in (after[key].order_id, None)
        assert len(one.cooked()) == len(keys)


@pytest.mark.rule("SUB-2", "ERR-2")
def test_while_postgresql_is_stopped_submissions_are_refused_and_taken_again_later(
    postgres: PostgresServer, tmp_path: Path
) -> None:
    name = postgres.create_database()
    with house(tmp_path, ledger=postgres.url(name)) as one:
        placed = one.submit(key="before")
        postgres.stop()
        try:
            _refused_before_anything_is_sent(one)
        finally:
            assert postgres.start()
        assert one.submit(key="before").body == placed.body
        assert one.submit(key="down").status == 200
        assert len(one.cooked()) == 2


@pytest.mark.rule("SUB-2")
def test_postgresql_that_stops_while_an_order_is_placed_loses_no_order(
    postgres: PostgresServer, tmp_path: Path
) -> None:
    def stop(exchange: Exchange) -> bool:
        answer = exchange.forward()
        postgres.stop()
        exchange.pass_on(*answer)
        return True

    with house(tmp_path, ledger=postgres.url(postgres.create_database())) as one:
        one.script.add("order", stop)
        try:
            placed = one.submit(key="a")
        finally:
            assert postgres.start()
        # The order stands, and the channel hears so; the ledger does when the lease has run out.
        assert placed.status == 200
        assert one.submit(key="a").code == "submission_in_progress"
        one.clock.advance(seconds=10)
        again = one.submit(key="a")
        assert (again.replayed, again.order_id) == (True, placed.order_id)
        assert [row.state for row in one.rows()] == ["placed"]
        assert len(one.cooked()) == 1


@pytest.mark.rule("SUB-2")
def test_the_service_does_not_start_over_a_ledger_of_a_newer_release(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/ledger.db"
    settings = environment(tmp_path, {"diner": "http://127.0.0.1:9"}, url, deadline=5, grace=1)
    with closing(sqlite3.connect(tmp_path / "ledger.db")) as connection:
        connection.execute("UPDATE ledger_version SET version_num = '9999'")
        connection.commit()
    command = [sys.executable, "-m", "gunicorn", "-c", "python:levelup_ov.gunicorn_conf", "wsgi:app"]
    ended = subprocess.run(
        command,
        cwd=ROOT,
        env={"PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT), **settings},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert ended.returncode == 78
    assert "schema 9999" in ended.stderr
    assert "run the release that migrated it, or a later one" in ended.stderr
    assert "Traceback" not in ended.stderr
