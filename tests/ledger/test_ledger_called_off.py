"""An order that nobody makes, and what is ordered again without a name of its own: SUB-3, SUB-12."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest

from levelup_ov.domain.status import CALLED_OFF, STAGES, Stage
from levelup_ov.ledger.ledger import Ledger, open_ledger
from levelup_ov.ledger.records import AlreadyPlaced, Claimed, InProgress
from levelup_ov.ledger.statuses import PlacedOrder, Statuses
from tests.ledger.helpers import Clock, begin, claim, claimed, place

UNNAMED: dict[str, Any] = {"order_number": None}
"""The names of a submission that has none."""
FINDING = "two_orders_for_one_submission"


@pytest.fixture
def live(url: str) -> Iterator[Ledger]:
    """A ledger on the database's own clock."""
    ledger = open_ledger(url, pool_size=4)
    yield ledger
    ledger.close()


def order(ledger: Ledger, **names: Any) -> PlacedOrder:
    """Place an order; without ``names`` one that its content names."""
    begin(ledger, id := claimed(claim(ledger, **(names or UNNAMED))))
    place(ledger, id)
    return again(ledger, id)


def again(ledger: Ledger, id: str) -> PlacedOrder:
    found = Statuses(ledger).of(id)
    assert found is not None
    return found


def becomes(ledger: Ledger, order: PlacedOrder, stage: Stage | None) -> None:
    assert Statuses(ledger).record(again(ledger, order.submission), stage, f"it is {stage}", None)


def made_again(ledger: Ledger, order: PlacedOrder) -> list[tuple[str, str | int | None]]:
    """An order is made again; the submissions with findings then, and the number that each finding names."""
    ledger.database.run(
        lambda cursor, _: ledger.findings.note_made_again(
            cursor, order.submission, "the first", order.provider_order_id
        )
    )
    return [(row.id, row.found_order_id) for row in ledger.reader.find(findings=True)]


@pytest.mark.rule("SUB-3")
@pytest.mark.parametrize("stage", [*STAGES, None])
def test_only_an_order_that_is_called_off_frees_its_content(ledger: Ledger, stage: Stage | None) -> None:
    first = order(ledger)
    becomes(ledger, first, stage)
    assert isinstance(claim(ledger, **UNNAMED), Claimed if stage in CALLED_OFF else AlreadyPlaced)


@pytest.mark.rule("SUB-4")
def test_a_name_stays_taken_by_an_order_that_is_called_off(ledger: Ledger) -> None:
    becomes(ledger, order(ledger, order_number="17"), "cancelled")
    assert isinstance(claim(ledger, order_number="17"), AlreadyPlaced)


@pytest.mark.rule("SUB-3")
def test_what_is_ordered_again_has_a_reference_of_its_own(ledger: Ledger) -> None:
    first = order(ledger)
    becomes(ledger, first, "cancelled")
    second = claim(ledger, **UNNAMED)
    assert isinstance(second, Claimed)
    assert (second.reference != first.reference, second.previous) == (True, first.submission)
    assert isinstance(claim(ledger, **UNNAMED), InProgress)


@pytest.mark.rule("SUB-3", "STAT-6")
def test_its_content_is_taken_while_it_may_be_called_off(ledger: Ledger, clock: Clock) -> None:
    statuses, first = Statuses(ledger), order(ledger)
    begun = statuses.begin_cancellation(first)
    assert isinstance(claim(ledger, **UNNAMED), InProgress)
    statuses.end_cancellation(begun)
    assert isinstance(claim(ledger, **UNNAMED), AlreadyPlaced)
    once_more = statuses.begin_cancellation(again(ledger, first.submission))
    other = statuses.begin_cancellation(again(ledger, first.submission))
    statuses.end_cancellation(once_more)
    statuses.end_cancellation(other)
    assert isinstance(claim(ledger, **UNNAMED), InProgress)
    clock.advance(timedelta(seconds=90))
    assert isinstance(claim(ledger, **UNNAMED), Claimed)


@pytest.mark.rule("SUB-12")
@pytest.mark.parametrize("chain", [1, 2])
def test_an_order_that_is_made_again_is_one_of_two(ledger: Ledger, chain: int) -> None:
    """The last of those that were ordered instead stands; the others are called off, too."""
    first = last = order(ledger)
    for _ in range(chain):
        becomes(ledger, last, "cancelled")
        last = order(ledger)
    becomes(ledger, first, "placed")
    assert made_again(ledger, first) == [(last.submission, "the first")]


@pytest.mark.rule("SUB-12")
@pytest.mark.parametrize("case", ["refused", "on its own", "called off"])
def test_an_order_that_is_made_again_may_be_the_only_one(ledger: Ledger, clock: Clock, case: str) -> None:
    first = order(ledger)
    if case == "on its own":
        clock.advance(timedelta(seconds=90))
        order(ledger)
    becomes(ledger, first, "cancelled")
    if case == "refused":
        begin(ledger, id := claimed(claim(ledger, **UNNAMED)))
        ledger.transitions.fail(id, "refused")
    elif case == "called off":
        becomes(ledger, order(ledger), "refused")
    assert made_again(ledger, first) == []


@pytest.mark.rule("SUB-12")
def test_no_order_is_made_again_while_another_is_claimed(live: Ledger, url: str) -> None:
    """Either the claim sees that the first one stands, or who records that sees the claim."""
    becomes(live, first := order(live), "cancelled")
    known, other = again(live, first.submission), open_ledger(url, pool_size=1)
    dialect = other.database.engine.dialect
    is_claimed, goes_on, commit = threading.Event(), threading.Event(), dialect.do_commit

    def wait_and_commit(connection: Any) -> None:
        is_claimed.set()
        assert goes_on.wait(30)
        commit(connection)

    def also(cursor: Any) -> None:
        live.findings.note_made_again(cursor, first.submission, first.order_id, first.provider_order_id)

    dialect.do_commit = wait_and_commit  # type: ignore[method-assign]
    with ThreadPoolExecutor(2) as pool:
        claiming = pool.submit(claim, other, **UNNAMED)
        assert is_claimed.wait(30)
        recording = pool.submit(Statuses(live).record, known, "placed", "made", None, also)
        time.sleep(0.2)
        assert not recording.done()
        goes_on.set()
        assert isinstance(claiming.result(30), Claimed) and recording.result(30)
    other.close()
    assert [row.finding for row in live.reader.find(findings=True)] == [FINDING]
