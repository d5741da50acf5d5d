"""Reading the ledger for people: bounded, without a change, and by an index however many rows there are."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from sqlalchemy import text

from levelup_ov.ledger import browsing
from levelup_ov.ledger.browsing import Browser, ReadingDatabase
from levelup_ov.ledger.engine import LedgerUnavailable
from levelup_ov.ledger.ledger import Ledger
from levelup_ov.ledger.operator_actions import FormUsed, OperatorActions
from levelup_ov.ledger.searches import Search
from levelup_ov.ledger.statements import Statement
from tests.ledger.helpers import LOCATION, begin, claim, claimed, place

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=timezone.utc)
SEARCHES = {
    "all": Search(below="01a22712-c820-76ac-929c-d9f705bdd10b"),
    "account": Search(account="deli"),
    "location": Search(location=LOCATION),
    "refused": Search(state="not_placed"),
    "unknown": Search(state="unknown"),
    "findings": Search(findings=True),
    "times": Search(since=NOW, until=NOW + timedelta(days=1)),
    "location refused": Search(location="a50", state="not_placed"),
    "account refused": Search(account="a50", state="not_placed"),
    "account unknown": Search(account="a1", state="unknown"),
    "account findings": Search(account="a2", findings=True),
}
FEW = ("unknown", "account unknown", "a number")
"""What these find is sorted; all others come in their order."""
_FILL = """
INSERT INTO submissions (id, account, location, state, content, owner, claimed_at, lease_until, settled_at, reference,
    alike, generation, boot, since, lease, card, looked_again, charged, expected_charge)
SELECT {id}, {account}, {account}, CASE WHEN n % 50 = 0 THEN 'not_placed' WHEN n % 3000 = 1 THEN 'unknown'
    ELSE 'placed' END, '', '', n, n, CASE WHEN n % 3000 = 1 THEN NULL ELSE n END, {id}, '', 0, '', 0, 0, 0, 0,
    CASE WHEN n % 1000 = 2 THEN 1 ELSE 0 END, 0 FROM {numbers}
"""
_SQLITE = {
    "id": "printf('01a22712-c820-76ac-929c-%012x', n)",
    "account": "printf('a%d', n % 100)",
    "numbers": "(WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < 6000) SELECT n FROM c)",
}
_POSTGRESQL = {
    "id": "'01a22712-c820-76ac-929c-' || lpad(to_hex(n), 12, '0')",
    "account": "'a' || n % 100",
    "numbers": "generate_series(1, 6000) AS c(n)",
}


@pytest.fixture
def reading(url: str) -> Iterator[ReadingDatabase]:
    reading = ReadingDatabase(url)
    yield reading
    reading.database.close()


@pytest.mark.parametrize("name", [*SEARCHES, "a number"])
def test_no_page_reads_the_whole_table(ledger: Ledger, reading: ReadingDatabase, name: str) -> None:
    is_postgresql = ledger.database.is_postgresql
    with ledger.database.connection() as connection:
        connection.execute(text(_FILL.format(**(_POSTGRESQL if is_postgresql else _SQLITE))))
        connection.execute(text("ANALYZE submissions"))
    plans: list[str] = []

    def explain(query: Any, **parameters: Any) -> list[Any]:
        statement = Statement(reading.database.engine.dialect, query)
        explained = "EXPLAIN " if is_postgresql else "EXPLAIN QUERY PLAN "
        statement._form = statement._form._replace(sql=explained + statement._form.sql)
        plans.extend(str(row[-1]) for row in reading.read(lambda cursor: statement.run(cursor, parameters).fetchall()))
        return []

    reading.rows = explain  # type: ignore[method-assign]
    browser = Browser(reading, ledger)
    if name in SEARCHES:
        browser.page(SEARCHES[name], 50)
    else:
        browser.named("4711", 50)
    plan = "\n".join(plans)
    assert "Seq Scan" not in plan and not re.search(r"SCAN submissions$", plan, re.MULTILINE), plan
    if name not in FEW:
        assert "Sort" not in plan and "TEMP B-TREE" not in plan, plan


def test_a_number_is_found_wherever_it_is_recorded(ledger: Ledger, reading: ReadingDatabase) -> None:
    id, other = claimed(claim(ledger)), claimed(claim(ledger, b"other", idempotency_key="other"))
    with ledger.database.connection() as connection:
        values = "finding = 'order_exists_but_ruled_out', found_provider_order_id = 'till-17', found_order_id = '17'"
        connection.execute(text(f"UPDATE submissions SET {values}, request_id = 'asked-1' WHERE id = '{id}'"))
        connection.execute(text(f"UPDATE submissions SET provider_order_id = 'till-18' WHERE id = '{other}'"))
    browser = Browser(reading, ledger)
    for number in ("17", "till-17", "asked-1", id):
        assert [row.id for row in browser.named(number, 50)] == [id], number
    assert [row.id for row in browser.named("till-18", 50)] == [other]
    assert browser.named("till-19", 50) == []


def test_reading_changes_nothing(ledger: Ledger, reading: ReadingDatabase) -> None:
    id = claimed(claim(ledger))
    with pytest.raises(LedgerUnavailable):
        reading.read(lambda cursor: cursor.execute("DELETE FROM submissions"))
    assert ledger.reader.show(id) is not None
    assert Browser(reading, ledger).life(id) is not None


def test_a_search_ends_when_its_time_is_over(
    ledger: Ledger, reading: ReadingDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(browsing, "PATIENCE", 0.2)
    endless = "WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c) SELECT count(*) FROM c"
    with pytest.raises(LedgerUnavailable):
        reading.read(lambda cursor: cursor.execute(endless).fetchall())
    # The next one works, and nobody else has waited.
    assert Browser(reading, ledger).backlog() == ()


def test_a_row_that_is_written_does_not_hold_a_reader_up(ledger: Ledger, reading: ReadingDatabase) -> None:
    id = claimed(claim(ledger))
    begin(ledger, id)
    with ledger.database.connection() as connection:
        connection.execute(text("UPDATE submissions SET owner = 'somebody'"))
        life = Browser(reading, ledger).life(id)
    assert life is not None and life.submission.owner != "somebody"


def test_a_form_is_used_once(ledger: Ledger, reading: ReadingDatabase) -> None:
    id, actions = claimed(claim(ledger)), OperatorActions(ledger)
    actions.begin("form-1", id, "olive", "request-1")
    with pytest.raises(FormUsed):
        actions.begin("form-1", id, "rita", "request-2")
    # A provider's words may have what PostgreSQL's text cannot hold.
    actions.finish("form-1", "no\0thing placed")
    with pytest.raises(FormUsed):
        actions.begin("form-2", "01a22712-c820-76ac-929c-d9f705bdd10b", "olive", "request-3")
    life = Browser(reading, ledger).life(id)
    assert life is not None
    assert [(each.operator, each.outcome) for each in life.actions] == [("olive", "no?thing placed")]


def test_what_was_purged_takes_its_actions_along(ledger: Ledger, clock: Any) -> None:
    id = claimed(claim(ledger))
    OperatorActions(ledger).begin("form-1", id, "olive", "request-1")
    begin(ledger, id)
    place(ledger, id)
    clock.advance(timedelta(days=31))
    assert ledger.purge() == 1
    with ledger.database.connection() as connection:
        assert connection.execute(text("SELECT count(*) FROM operator_actions")).scalar_one() == 0
