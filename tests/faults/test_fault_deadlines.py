"""A request ends within its deadline, whatever the provider drips (SUB-6)."""

from __future__ import annotations

from pathlib import Path
from time import sleep
from typing import Any

import pytest

from levelup_ov.transport.session import MIN_TIME_TO_PLACE
from tests.faults.proxy import Exchange
from tests.faults.scripted import scripted_service
from tests.stopwatch import within

VALIDATION = "LEVELUP_OV_VALIDATION_DEADLINE"
SHORTEST = MIN_TIME_TO_PLACE + 0.5
"""Seconds of the shortest deadline that a submission may have: with less no order could be placed."""
DRIPPED = ["headers dripped", "body dripped"]


@pytest.mark.rule("SUB-6", "ERR-3")
@pytest.mark.parametrize("fault", DRIPPED)
@pytest.mark.parametrize("kind", ["locations", "cart"])
def test_a_validation_ends_in_time_against_a_byte_a_second(kind: str, fault: str, tmp_path: Path) -> None:
    deadline = 0.8
    with scripted_service(tmp_path, more={VALIDATION: str(deadline)}) as one:
        one.proxy.drip_every = 1.0
        one.script.add(kind, fault)
        with within(deadline):
            answer = one.validate()
    assert (answer.status, answer.code, answer.retryable) == (504, "provider_timeout", True)


@pytest.mark.rule("SUB-6")
def test_the_deadline_is_one_for_all_calls_together(tmp_path: Path) -> None:
    def slow(exchange: Exchange) -> bool:
        exchange.pause((0.5, 0.5))
        exchange.pass_on(*exchange.forward())
        return True

    deadline = 0.8
    with scripted_service(tmp_path, more={VALIDATION: str(deadline)}) as one:
        one.script.add("locations", slow)
        one.script.add("cart", slow)
        with within(deadline, at_least=deadline):
            answer = one.validate()
    assert answer.code == "provider_timeout"


@pytest.mark.rule("SUB-5", "SUB-6")
@pytest.mark.parametrize("fault", DRIPPED)
def test_a_submission_ends_in_time_and_is_reconciled_afterwards(fault: str, tmp_path: Path) -> None:
    deadline = SHORTEST + 0.5
    with scripted_service(tmp_path, deadline=deadline) as one:
        one.proxy.drip_every = 1.0
        one.script.add("order", fault)
        with within(deadline):
            answer = one.submit(key="a")
        assert (answer.status, answer.code, answer.retryable) == (504, "outcome_unknown", True)
        again = one.submit(key="a")
        assert (again.status, again.replayed) == (200, True)
        assert [each.ticket for each in one.cooked()] == [again.order_id]


@pytest.mark.rule("SUB-2", "SUB-6")
def test_an_order_is_not_placed_with_too_little_time_left(tmp_path: Path) -> None:
    def slow(exchange: Exchange) -> bool:
        exchange.pause((0.6, 0.6))
        exchange.pass_on(*exchange.forward())
        return True

    with scripted_service(tmp_path, deadline=SHORTEST) as one:
        one.script.add("cart", slow)
        answer = one.submit(key="a")
        assert (answer.code, answer.retryable) == ("provider_timeout", True)
        assert one.proxy.count("order") == 0
        assert [row.state for row in one.rows()] == ["not_placed"]
        # Nothing was sent: the same submission may be sent at once.
        assert one.submit(key="a").status == 200
        assert len(one.cooked()) == 1


@pytest.mark.rule("SUB-2", "SUB-6")
def test_nor_where_the_ledger_took_that_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with scripted_service(tmp_path, deadline=SHORTEST) as one:
        mark = one.ledger.transitions.begin_sending

        def slowly(*arguments: Any, **named: Any) -> None:
            sleep(0.6)
            mark(*arguments, **named)

        monkeypatch.setattr(one.ledger.transitions, "begin_sending", slowly)
        assert one.submit(key="a").code == "provider_timeout"
        assert one.proxy.count("order") == 0
        assert [row.state for row in one.rows()] == ["not_placed"]


@pytest.mark.rule("SUB-2", "SUB-6")
def test_nor_after_a_pause_that_the_provider_asked_for(tmp_path: Path) -> None:
    with scripted_service(tmp_path, deadline=MIN_TIME_TO_PLACE + 0.6) as one:
        one.script.add("order", "429, Retry-After")
        answer = one.submit(key="a")
        assert (answer.code, answer.headers["Retry-After"]) == ("rate_limited", "1")
        assert one.proxy.count("order") == 1
        assert [row.state for row in one.rows()] == ["not_placed"]
