"""What a submission costs the ledger does not depend on how many there were: SQLite's own steps are counted."""

from __future__ import annotations

import copy
import sqlite3
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event, text

from levelup_ov.ledger.event_deliveries import EventDeliveries
from levelup_ov.ledger.ledger import Ledger, open_ledger
from levelup_ov.ledger.statements import Statement
from levelup_ov.ledger.statuses import Statuses
from levelup_ov.ledger.webhooks import Notices
from tests.ledger.helpers import LOCATION, begin, claim, claimed, place

MANY = 3000
FRAME = 4096 + 24
"""Bytes of a page in the write-ahead log."""
FILL = f"""
INSERT INTO submissions (id, account, location, state, content, owner, claimed_at, lease_until, settled_at, reference,
    alike, generation, boot, since, lease, card, looked_again, request_id, order_id, provider_order_id, proven)
WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < {MANY})
SELECT printf('01a22712-c820-76ac-929c-%012x', n), 'deli', '{LOCATION}',
    CASE WHEN n % 9 THEN 'placed' ELSE 'not_placed' END, 'c' || n, '', n, n, n, 'r' || n, 'c' || n, 0, '', 0, 0, 0, 0,
    'q' || n, 'o' || n, CASE WHEN n % 9 THEN 'p' || n END, n FROM c
"""


def placed(ledger: Ledger, name: str) -> None:
    id = claimed(claim(ledger, name.encode(), idempotency_key=name, order_number=name))
    begin(ledger, id)
    place(ledger, id, ready=datetime.now(timezone.utc) + timedelta(hours=1))


def replayed(ledger: Ledger, name: str) -> None:
    placed(ledger, name)
    claim(ledger, name.encode(), idempotency_key=name, order_number=name)


def refused(ledger: Ledger, name: str) -> None:
    id = claimed(claim(ledger, name.encode(), idempotency_key=name))
    begin(ledger, id)
    ledger.transitions.fail(id)


def found_later(ledger: Ledger, name: str) -> None:
    id = claimed(claim(ledger, name.encode(), idempotency_key=name))
    begin(ledger, id)
    ledger.transitions.lose(id)
    claim(ledger, name.encode(), idempotency_key=name)
    claim(ledger, name.encode(), idempotency_key=f"other {name}")
    ledger.reader.open_submissions()
    ledger.reader.due_again()
    place(ledger, id)


def looked_for(ledger: Ledger, name: str) -> None:
    placed(ledger, name)
    ledger.reader.count_open()
    ledger.ready()
    ledger.reader.holder("deli", name)


def watched(ledger: Ledger, name: str) -> None:
    id = claimed(claim(ledger, name.encode(), idempotency_key=name))
    begin(ledger, id)
    place(ledger, id, ready=datetime.now(timezone.utc) + timedelta(days=3))
    statuses = Statuses(ledger)
    (order,) = statuses.open("deli", limit=9)
    statuses.record(order, "picked_up", "gone", None)


def searched(ledger: Ledger, name: str) -> None:
    refused(ledger, f"refused {name}")
    placed(ledger, name)
    ledger.reader.find(limit=1)
    ledger.reader.find(account="deli", limit=1)
    ledger.reader.find(state="placed", limit=1)
    ledger.reader.find(state="not_placed", account="deli", location=LOCATION, limit=1)
    ledger.reader.find(state="unknown", account="deli", limit=1)
    ledger.reader.find(findings=True, account="deli", limit=1)
    ledger.reader.find(charge_mismatch=True, limit=1)
    ledger.reader.find(number=name, limit=1)
    ledger.reader.requested(LOCATION, name)


class Steps:
    """Counts the instructions of SQLite's machine on all connections of a ledger."""

    def __init__(self, ledger: Ledger) -> None:
        self.count = 0
        event.listen(ledger.database.engine, "connect", lambda driver, _: driver.set_progress_handler(self._step, 1))

    def _step(self) -> int:
        self.count += 1
        return 0


@pytest.mark.parametrize("life", [placed, replayed, refused, found_later, looked_for, watched, searched])
def test_a_submission_costs_as_much_after_many(sqlite_url: str, life: Callable[[Ledger, str], None]) -> None:
    ledger = open_ledger(sqlite_url, pool_size=1)
    steps = Steps(ledger)
    life(ledger, "first")
    cost = []
    for phase in ("few", "many"):
        if phase == "many":
            with ledger.database.connection() as connection:
                connection.execute(text(FILL))
        steps.count = 0
        life(ledger, phase)
        cost.append(steps.count)
    ledger.close()
    few, many = cost
    assert 0 < many < few * 1.25, (few, many)


@pytest.mark.parametrize("life", [placed, looked_for, watched])
def test_a_statement_is_planned_once(sqlite_url: str, life: Callable[[Ledger, str], None]) -> None:
    ledger = open_ledger(sqlite_url, pool_size=1)
    planned: list[tuple[object, ...]] = []

    def plan(*access: object) -> int:
        planned.append(access)
        return sqlite3.SQLITE_OK

    event.listen(ledger.database.engine, "connect", lambda driver, _: driver.set_authorizer(plan))
    life(ledger, "first")
    assert planned
    planned.clear()
    life(ledger, "second")
    ledger.close()
    assert [access for access in planned if access[0] == sqlite3.SQLITE_READ] == []


OLD = f"""
INSERT INTO outbox (event, receiver, kind, account, location, subject, data, state, created_at, since, due_at,
    attempts, accepted_at)
SELECT 'e' || n, 'channel', 'menu.changed', 'deli', 'deli.one', 's' || n, '{{}}', 'accepted', at, at, at, 1, at
FROM (SELECT n, (extract(epoch FROM now()) * 1000)::bigint - n AS at FROM generate_series(1, 20000) n) AS old;
INSERT INTO notices
SELECT 'deli', 'n' || n, (extract(epoch FROM now()) * 1000)::bigint - n FROM generate_series(1, 20000) n;
INSERT INTO submissions (id, account, location, state, content, owner, claimed_at, lease_until, settled_at, reference,
    alike, generation, boot, since, lease, card, looked_again, request_id)
SELECT 'i' || n, 'deli', '{LOCATION}', 'placed', '', '', n, n, n, 'r' || n, '', 0, '', 0, 0, 0, 0, 'q' || n
FROM generate_series(1, 20000) n;
INSERT INTO order_statuses (submission, stage, mark, boot, since, lease)
SELECT id, 'picked_up', '', '', 0, 0 FROM submissions;
ANALYZE outbox, notices, submissions, order_statuses
"""


@pytest.fixture
def plans(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The lines of PostgreSQL's plans for what is run."""
    plans: list[str] = []
    run = Statement.run

    def explained(self: Statement, cursor: Any, parameters: Mapping[str, Any]) -> Any:
        explain = copy.copy(self)
        explain._form = self._form._replace(sql="EXPLAIN " + self._form.sql)
        plans.extend(line for (line,) in run(explain, cursor, parameters).fetchall())
        return run(self, cursor, parameters)

    monkeypatch.setattr(Statement, "run", explained)
    return plans


@pytest.mark.rule("EVT-5", "EVT-9", "STAT-5", "STAT-6")
def test_postgresql_reads_few_of_many_rows(postgresql_url: str, plans: list[str]) -> None:
    ledger = open_ledger(postgresql_url)
    with ledger.database.connection() as connection:
        connection.execute(text(OLD))
        connection.commit()
    deliveries = EventDeliveries(ledger)
    assert deliveries.purge() == 0
    assert deliveries.claim("channel", limit=9, term=timedelta(seconds=9)) == ()
    Notices(ledger, timedelta(hours=25)).keep("deli", "new")
    assert [row.id for row in ledger.reader.requested(LOCATION, "q4711")] == ["i4711"]
    assert Statuses(ledger).open("deli", limit=9) == ()
    ledger.close()
    assert sum("Index" in line for line in plans) >= 4
    assert [line for line in plans if "submissions_open_until" in line]
    assert [line for line in plans if "Seq Scan" in line] == []


@pytest.mark.rule("SUB-12")
def test_postgresql_starts_no_workers_for_a_list(postgresql_url: str, plans: list[str]) -> None:
    # They seem to cost nothing, as they do in a large ledger.
    eager = "parallel_setup_cost", "parallel_tuple_cost", "min_parallel_table_scan_size", "jit_above_cost"
    ledger = open_ledger(postgresql_url)
    with ledger.database.connection() as connection:
        connection.execute(text(OLD))
        database = connection.scalar(text("SELECT current_database()"))
        for setting in eager:
            connection.execute(text(f'ALTER DATABASE "{database}" SET {setting} = 0'))
        connection.commit()
    ledger.close()
    ledger = open_ledger(postgresql_url)
    assert ledger.reader.find(findings=True) == ()
    assert ledger.reader.find(number="q4711")
    ledger.close()
    assert plans
    assert [line for line in plans if "Gather" in line or "JIT" in line] == []


def test_a_submission_writes_few_pages(sqlite_url: str) -> None:
    ledger = open_ledger(sqlite_url, pool_size=1)
    placed(ledger, "first")
    log = Path(ledger.database._file() + "-wal")
    before, orders = log.stat().st_size, 50
    for number in range(orders):
        placed(ledger, f"order {number}")
    pages = (log.stat().st_size - before) / FRAME / orders
    ledger.close()
    # Each further index over all submissions takes one more at least.
    assert 10 < pages < 17.9, pages
