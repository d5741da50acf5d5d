"""A ledger that cannot be written: submissions are refused before anything is sent, the rest goes on (SUB-2)."""

from __future__ import annotations

import resource
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.faults import engine
from tests.faults.proxy import Exchange, Proxy
from tests.faults.scripted import ScriptedService, scripted_service
from tests.faults.stack import ROOT, Answer, Stack, environment
from tests.servers.postgres import PostgresServer

DEADLINE, GRACE = 2.5, 0.5
ORDER = {
    "user": {"name": "Robin Example", "phone": "+16175550142"},
    "items": [{"item": {"provider_id": "cookie", "quantity": 1}}],
}


@dataclass
class Limited:
    """A service over SQLite whose files can be kept from growing: what a full or read-only disk does."""

    stack: Stack
    proxy: Proxy
    directory: Path

    @contextmanager
    def files_up_to(self, size: int) -> Iterator[None]:
        """No file of the workers may be written beyond ``size`` bytes."""
        self._limit(size)
        yield
        self._limit(resource.RLIM_INFINITY)

    def submit(self, key: str) -> Answer:
        path, body = "/locations/diner.congress/order_submissions", {"order_submission": ORDER}
        return self.stack.post(path, body, Idempotency_Key=key)

    def insist(self, key: str) -> Answer:
        """Submit until it is placed."""
        until = time.monotonic() + 4 * (DEADLINE + GRACE)
        while (answer := self.submit(key)).status != 200:
            assert answer.retryable and time.monotonic() < until, answer
            time.sleep(0.2)
        return answer

    def cooked(self) -> list[int]:
        return [each.ticket for each in engine.orders(self.directory / "engine.db")]

    def _limit(self, size: int) -> None:
        for pid in self.stack.workers():
            _, hard = resource.prlimit(pid, resource.RLIMIT_FSIZE)
            resource.prlimit(pid, resource.RLIMIT_FSIZE, (size, hard))


@pytest.fixture
def limited(tmp_path: Path) -> Iterator[Limited]:
    with engine.engine(tmp_path / "engine.db") as port, Proxy(port) as proxy:
        accounts, ledger = {"diner": proxy.url}, f"sqlite:///{tmp_path}/ledger.db"
        settings = environment(tmp_path, accounts, ledger, deadline=DEADLINE, grace=GRACE)
        with Stack(tmp_path, settings, workers=1) as stack:
            yield Limited(stack, proxy, tmp_path)


@pytest.mark.rule("SUB-2", "ERR-2")
def test_submissions_resume_when_the_ledger_can_be_written(limited: Limited) -> None:
    placed = limited.insist("before")
    with limited.files_up_to(0):
        calls = len(limited.proxy.calls)
        answer = limited.submit("refused")
        assert (answer.status, answer.code, answer.retryable) == (503, "ledger_unavailable", True)
        assert answer.body["error"]["type"] == "service"
        assert len(limited.proxy.calls) == calls
        validated = limited.stack.post("/locations/diner.congress/order_validations", {"order_validation": ORDER})
        assert validated.status == 200
        assert limited.stack.get("/health") == 200
    again = limited.insist("before")
    assert (again.replayed, again.order_id) == (True, placed.order_id)
    assert limited.insist("refused").status == 200
    assert len(limited.cooked()) == 2


@pytest.mark.rule("SUB-2", "SUB-5")
def test_a_disk_that_fills_up_costs_no_order_and_makes_no_second(limited: Limited) -> None:
    limited.insist("first")
    log = limited.directory / "ledger.db-wal"
    keys = [f"key-{number}" for number in range(12)]
    with limited.files_up_to(log.stat().st_size + 100_000):
        answers = {key: limited.submit(key) for key in keys}
        assert {answer.code for answer in answers.values()} == {"", "ledger_unavailable"}
    # Among those answered may be one that was placed when there was no room left to record it.
    reported = {key: answer.order_id for key, answer in answers.items() if answer.status == 200}
    assert {1, *reported.values()} == set(limited.cooked())
    after = {key: limited.insist(key).order_id for key in keys}
    assert reported.items() <= after.items()
    assert {1, *after.values()} == set(limited.cooked())
    assert len(limited.cooked()) == 1 + len(keys)


def _refused_before_anything_is_sent(one: ScriptedService) -> None:
    calls = len(one.proxy.calls)
    answer = one.submit(key="down")
    assert (answer.status, answer.code, answer.retryable) == (503, "ledger_unavailable", True)
    assert len(one.proxy.calls) == calls
    assert one.validate().status == 200
    client = one.app.test_client()
    assert [client.get(path).status_code for path in ("/ready", "/health")] == [503, 200]


@pytest.mark.rule("SUB-2", "ERR-2")
def test_submissions_resume_after_postgresql_was_stopped(postgres: PostgresServer, tmp_path: Path) -> None:
    name = postgres.create_database()
    with scripted_service(tmp_path, ledger=postgres.url(name)) as one:
        placed = one.submit(key="before")
        postgres.stop()
        try:
            _refused_before_anything_is_sent(one)
        finally:
            postgres.stop()
            assert postgres.start()
        assert one.submit(key="before").body == placed.body
        assert one.submit(key="down").status == 200
        assert len(one.cooked()) == 2


@pytest.mark.rule("SUB-2")
def test_postgresql_stopping_during_an_order_loses_none(postgres: PostgresServer, tmp_path: Path) -> None:
    def stop(exchange: Exchange) -> bool:
        answer = exchange.forward()
        postgres.stop()
        exchange.pass_on(*answer)
        return True

    with scripted_service(tmp_path, ledger=postgres.url(postgres.create_database())) as one:
        one.script.add("order", stop)
        try:
            placed = one.submit(key="a")
        finally:
            postgres.stop()
            assert postgres.start()
        # The order exists, and the channel gets its number; the ledger learns it when the lease has expired.
        assert placed.status == 200
        assert one.submit(key="a").code == "submission_in_progress"
        one.clock.advance(seconds=10)
        again = one.submit(key="a")
        assert (again.replayed, again.order_id) == (True, placed.order_id)
        assert [row.state for row in one.rows()] == ["placed"]
        assert len(one.cooked()) == 1


@pytest.mark.rule("SUB-2")
def test_the_service_does_not_start_over_a_newer_ledger(tmp_path: Path) -> None:
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
