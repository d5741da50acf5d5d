"""A server with few connections: orders are recorded, commands get one, idle ones are given back (SUB-2)."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing

import psycopg
import pytest

from levelup_ov.config import COMMANDS, ConfigError, check_ledger
from levelup_ov.ledger import limits
from levelup_ov.ledger.engine import KEPT, LedgerUnavailable, upgrade
from levelup_ov.ledger.ledger import Ledger, open_ledger
from tests.ledger.helpers import begin, claim, claimed, place, shown
from tests.servers.postgres import PostgresServer, binaries
from tests.stopwatch import within

pytestmark = pytest.mark.rule("SUB-2")

ROOM = 6
"""Connections that the server gives to users such as ours."""


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    with PostgresServer(binaries(), {"max_connections": str(ROOM + 3)}) as server:
        with psycopg.connect(server.url("postgres"), autocommit=True) as connection:
            connection.execute(b"CREATE ROLE service LOGIN IN ROLE pg_write_all_data, pg_read_all_data")
        yield server


@pytest.fixture
def url(server: PostgresServer) -> Iterator[str]:
    name = server.create_database()
    upgrade(server.url(name))
    yield server.url(name).replace("tests@", "service@")
    server.drop_database(name)


def taken(url: str, others: ExitStack) -> int:
    """Take all connections that the server still gives; how many."""
    count = 0
    while True:
        try:
            others.enter_context(psycopg.connect(url))
        except psycopg.OperationalError:
            return count
        count += 1


def orders(ledger: Ledger, count: int) -> list[str]:
    return [claimed(claim(ledger, b"order %d" % number, idempotency_key=str(number))) for number in range(count)]


def test_orders_are_recorded_where_no_connection_can_be_opened(url: str) -> None:
    with closing(open_ledger(url, pool_size=8)) as ledger, ExitStack() as others, ThreadPoolExecutor(24) as pool:
        ids = orders(ledger, 24)
        for id in ids:
            begin(ledger, id)
        # What others take while the orders are at their providers.
        assert 0 < taken(url, others) < ROOM
        together = threading.Barrier(len(ids))

        def record(id: str) -> None:
            together.wait()
            with limits.within(8), limits.extended(8):
                place(ledger, id)

        list(pool.map(record, ids))
        assert {shown(ledger, id).state for id in ids} == {"placed"}


def test_new_orders_leave_a_place_to_record_the_others(url: str) -> None:
    with closing(open_ledger(url, pool_size=3)) as ledger, ThreadPoolExecutor(8) as pool, ExitStack() as waiting:
        (id,) = orders(ledger, 1)
        begin(ledger, id)
        with psycopg.connect(url) as other:
            # A claim waits: for this lock, or for a place.
            other.execute(b"LOCK TABLE identities IN ACCESS EXCLUSIVE MODE")
            claims = [pool.submit(claim, ledger, b"%d" % n, idempotency_key=f"new {n}") for n in range(6)]
            time.sleep(0.3)
            with within(0.5), limits.within(1), limits.extended(0.8):
                place(ledger, id)
            other.rollback()
        waiting.callback(lambda: [each.result() for each in claims])
        assert shown(ledger, id).state == "placed"


def test_a_command_gets_a_connection_of_a_busy_service(url: str) -> None:
    # Three are left for commands, as the page on bad days has it.
    with closing(open_ledger(url, pool_size=ROOM - 3)) as service, ThreadPoolExecutor(ROOM) as pool:
        stop = threading.Event()

        def work(number: int) -> None:
            step = 0
            while not stop.is_set():
                claim(service, b"%d %d" % (number, step), idempotency_key=f"{number} {step}")
                step += 1

        busy = [pool.submit(work, number) for number in range(ROOM)]
        try:
            with ExitStack() as commands:
                for _ in range(3):
                    command = commands.enter_context(closing(open_ledger(url, pool_size=1)))
                    command.reader.find(limit=1)
                    command.ready()
        finally:
            stop.set()
        for each in busy:
            each.result()


def test_a_command_waits_for_a_connection_that_is_given_back(url: str) -> None:
    others = ExitStack()
    taken(url, others)
    threading.Timer(0.7, others.close).start()
    assert upgrade(url) is not None
    others = ExitStack()
    taken(url, others)
    threading.Timer(0.7, others.close).start()
    with closing(open_ledger(url, pool_size=1)) as command:
        command.ready()


def test_idle_connections_are_given_back(url: str) -> None:
    with closing(open_ledger(url, pool_size=ROOM)) as service, ThreadPoolExecutor(ROOM) as pool:
        list(pool.map(lambda n: claim(service, b"%d" % n, idempotency_key=str(n)), range(40)))
        with ExitStack() as others:
            assert taken(url, others) >= ROOM - KEPT


def test_no_connection_is_held_through_the_call(url: str) -> None:
    with closing(open_ledger(url, pool_size=1)) as ledger:
        ids = orders(ledger, 12)
        for id in ids:
            begin(ledger, id)
        for id in ids:
            place(ledger, id)
        assert {shown(ledger, id).state for id in ids} == {"placed"}


def test_workers_leave_commands_their_connections(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert check_ledger(url, workers=1, connections=3) == 3
    assert capsys.readouterr().err == ""
    assert check_ledger(url, workers=1, connections=8) == ROOM - COMMANDS
    assert f"gives {ROOM} connections: 1 workers with 8 each and commands with {COMMANDS} need more" in (
        capsys.readouterr().err
    )


def test_too_many_workers_for_a_server_do_not_start(url: str) -> None:
    with pytest.raises(ConfigError, match=f"gives {ROOM} connections: 2 workers need 2 each.*lower WEB_CONCURRENCY"):
        check_ledger(url, workers=2, connections=8)


def test_a_server_that_gives_none_says_so(url: str) -> None:
    with ExitStack() as others, closing(open_ledger(url)) as ledger:
        taken(url, others)
        said = []
        for _ in range(5):  # a reset that overtakes the server's words, or a slow machine, hides them once
            with within(2), limits.within(2), pytest.raises(LedgerUnavailable) as caught:
                ledger.reader.find(limit=1)
            said.append(caught.value.message)
            if "takes no more connections" in said[-1]:
                return
        pytest.fail(f"none says so: {said}")
