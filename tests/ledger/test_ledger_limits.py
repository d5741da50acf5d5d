"""A call of the ledger ends with the time of its request, whatever the database does (SUB-6)."""

from __future__ import annotations

import gc
import os
import signal
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress

import psycopg
import pytest

from levelup_ov.ledger import limits, postgresql
from levelup_ov.ledger.engine import LedgerUnavailable, upgrade
from levelup_ov.ledger.ledger import Ledger, open_ledger
from tests.ledger.helpers import begin, claim, claimed, place
from tests.servers.postgres import PostgresServer, binaries
from tests.stopwatch import within

TIME = 0.7
"""Seconds that a request has left."""


@pytest.fixture
def server() -> Iterator[PostgresServer]:
    with PostgresServer(binaries()) as server:
        yield server


def ends_in_time(call: Callable[[], object]) -> None:
    with within(TIME), limits.within(TIME), pytest.raises(LedgerUnavailable):
        call()


def calls(ledger: Ledger, id: str) -> list[Callable[[], object]]:
    return [
        lambda: claim(ledger, b"another", idempotency_key="new"),
        lambda: claim(ledger),
        lambda: begin(ledger, id),
        lambda: ledger.transitions.check_sending(id),
        lambda: place(ledger, id),
        lambda: ledger.transitions.fail(id),
        ledger.reader.open_submissions,
    ]


@pytest.mark.rule("SUB-6")
@pytest.mark.parametrize("connected", [True, False])
def test_a_frozen_postgresql_is_waited_for_no_longer(server: PostgresServer, connected: bool) -> None:
    url = server.url(server.create_database())
    upgrade(url)
    with closing(open_ledger(url)) as ledger:
        id = claimed(claim(ledger))
        if not connected:
            ledger.close()
        processes = [server._process.pid, *_backends(url)] if server._process else []
        for process in processes:
            with suppress(ProcessLookupError):
                os.kill(process, signal.SIGSTOP)
        try:
            for call in calls(ledger, id):
                ends_in_time(call)
        finally:
            for process in processes:
                # One that was about to end has ended once its parent goes on.
                with suppress(ProcessLookupError):
                    os.kill(process, signal.SIGCONT)
        begin(ledger, id)
        place(ledger, id)
        assert [row.state for row in ledger.reader.find()] == ["placed"]


def _backends(url: str) -> list[int]:
    with psycopg.connect(url) as connection:
        rows = connection.execute("SELECT pid FROM pg_stat_activity WHERE pid <> pg_backend_pid()").fetchall()
        return [pid for (pid,) in rows]


@pytest.mark.rule("SUB-6")
def test_locked_rows_of_postgresql_are_waited_for_no_longer(postgresql_url: str) -> None:
    with closing(open_ledger(postgresql_url)) as ledger, psycopg.connect(postgresql_url) as other:
        id = claimed(claim(ledger))
        other.execute("LOCK TABLE submissions IN ACCESS EXCLUSIVE MODE")
        for call in calls(ledger, id):
            ends_in_time(call)
        other.rollback()
        begin(ledger, id)


@pytest.mark.rule("SUB-6")
def test_a_locked_sqlite_is_waited_for_no_longer(sqlite_url: str) -> None:
    with (
        closing(open_ledger(sqlite_url)) as ledger,
        closing(sqlite3.connect(sqlite_url.removeprefix("sqlite:///"), isolation_level=None)) as other,
    ):
        id = claimed(claim(ledger))
        other.execute("BEGIN IMMEDIATE")
        for call in calls(ledger, id)[:3]:
            ends_in_time(call)
        # Others wait for their turn, and for no longer either.
        with limits.within(10):
            holding = threading.Thread(target=lambda: _quietly(lambda: claim(ledger, idempotency_key="slow")))
            holding.start()
            time.sleep(0.1)
            ends_in_time(lambda: claim(ledger, idempotency_key="waits"))
        other.execute("ROLLBACK")
        holding.join(10)
        begin(ledger, id)


@pytest.mark.rule("SUB-6")
def test_what_a_failure_leaves_is_collected_without_waiting(sqlite_url: str) -> None:
    file = sqlite_url.removeprefix("sqlite:///")
    with closing(open_ledger(sqlite_url)) as ledger, closing(sqlite3.connect(file, isolation_level=None)) as other:
        claimed(claim(ledger))
        other.execute("BEGIN IMMEDIATE")
        with limits.within(TIME), pytest.raises(LedgerUnavailable) as caught:
            claim(ledger, b"another", idempotency_key="new")
        circle: list[object] = [caught.value]
        circle.append(circle)
        holding = threading.Thread(target=lambda: _quietly(lambda: claim(ledger, idempotency_key="slow")))
        holding.start()
        time.sleep(0.2)
        with within(TIME):
            del circle, caught
            gc.collect()
        assert holding.is_alive()
        other.execute("ROLLBACK")
        holding.join(10)


def _quietly(call: Callable[[], object]) -> None:
    try:
        call()
    except LedgerUnavailable:
        pass


@pytest.mark.rule("SUB-6")
def test_a_time_that_is_over_sends_no_request(ledger: Ledger) -> None:
    id = claimed(claim(ledger))
    with limits.within(0), pytest.raises(LedgerUnavailable):
        claim(ledger, idempotency_key="late")
    with limits.within(0), limits.extended(5):
        begin(ledger, id)


def test_the_narrowest_of_all_limits_counts() -> None:
    with limits.within(1), limits.within(9):
        assert limits.remaining(99) <= 1
        with limits.transaction(0.1):
            assert limits.remaining(99) <= 0.1 + limits.MARGIN
        with limits.extended(5):
            assert 4 < limits.remaining(99) <= 5
    assert limits.remaining(99) == 99
    with limits.extended(5):
        assert limits.remaining(99) == 99


def test_a_connection_that_comes_too_late_is_closed() -> None:
    class Late:
        closed = threading.Event()

        def close(self) -> None:
            self.closed.set()

    go_on = threading.Event()

    def open_late() -> Late:
        go_on.wait(10)
        return Late()

    with limits.within(0.1), pytest.raises(postgresql.NoAnswer):
        postgresql.connect(open_late, 5)
    go_on.set()
    assert Late.closed.wait(5)
