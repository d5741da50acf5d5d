"""Purges go in batches of a size that the disk allows, and leave the ledger free in between (SUB-3)."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from copy import copy
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import text

from levelup_ov.ledger import batches
from levelup_ov.ledger.batches import HELD, LARGEST, SMALLEST, in_batches
from levelup_ov.ledger.ledger import Ledger, open_ledger
from tests.ledger.helpers import Clock, begin, claim, claimed, place

ROWS = 200
COPIES = f"""
INSERT INTO submissions (id, account, location, state, content, owner, claimed_at, lease_until, settled_at, reference,
    alike, generation, boot, since, lease, card, looked_again)
WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < {ROWS})
SELECT 'copy-' || n, account, location, state, content, owner, claimed_at, lease_until, settled_at, reference, alike,
    generation, boot, since, lease, card, looked_again FROM submissions, c
"""


class Disk:
    """A clock by which each row of a batch takes ``seconds``; nothing pauses."""

    def __init__(self) -> None:
        self.now, self.seconds = 0.0, 0.0
        self.sizes: list[int] = []
        self.pause: Callable[[], object] = lambda: None

    def change(self, _cursor: Any, most: int) -> int:
        """One batch of 2000 rows, none of which is there."""
        self.sizes.append(most)
        self.now += self.seconds * most
        return most if sum(self.sizes) < 2000 else 0


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Iterator[Disk]:
    disk = Disk()
    monkeypatch.setattr(batches, "monotonic", lambda: disk.now)
    monkeypatch.setattr(batches, "sleep", lambda _: disk.pause())
    yield disk


@pytest.mark.parametrize("per_row, expected", [(HELD / 80, 80), (HELD, SMALLEST), (0.0, LARGEST)])
def test_a_batch_has_as_many_rows_as_fit(ledger: Ledger, disk: Disk, per_row: float, expected: int) -> None:
    disk.seconds = per_row
    in_batches(ledger.database, disk.change)
    assert disk.sizes[-2] == pytest.approx(expected, abs=1)
    assert all(later <= 2 * size + 1 for size, later in zip(disk.sizes, disk.sizes[1:], strict=False)), disk.sizes


def test_a_purge_finds_what_is_outdated_by_its_index(url: str) -> None:
    ledger = open_ledger(url)  # PostgreSQL's own clock counts
    plan = "EXPLAIN " if ledger.database.is_postgresql else "EXPLAIN QUERY PLAN "

    def explain(cursor: Any, _again: bool) -> str:
        if ledger.database.is_postgresql:
            cursor.execute("SET LOCAL enable_seqscan = off")
        statement = copy(ledger._sql.purge)
        statement._form = statement._form._replace(sql=plan + statement._form.sql)
        found = statement.run(cursor, {"retention": 1, "most": 10, "now": ledger.clocks.now()})
        return "\n".join(str(row[-1]) for row in found.fetchall())

    explained = ledger.database.run(explain)
    ledger.close()
    assert "submissions_settled_at" in explained, explained


def test_submissions_are_taken_between_two_batches(url: str, ledger: Ledger, clock: Clock, disk: Disk) -> None:
    id = claimed(claim(ledger))
    begin(ledger, id)
    place(ledger, id)
    with ledger.database.connection() as connection:
        connection.execute(text("UPDATE submissions SET proven = NULL"))
        connection.execute(text(COPIES))
    clock.advance(timedelta(days=31))
    other = open_ledger(url, clock=clock)
    disk.pause = lambda: claimed(claim(other, content := os.urandom(8), idempotency_key=content.hex()))
    assert ledger.purge() == ROWS + 1
    taken = len(other.reader.open_submissions())
    other.close()
    assert taken == (0 if ledger.database.is_postgresql else 3)
