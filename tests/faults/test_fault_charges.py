"""A provider that charges another amount than it was asked to (PAY-4)."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from tests.faults.scripted import ScriptedService, scripted_service

OVERCHARGE = "sandbox:overcharge"
ASKED, TAKEN = 1070, 1120


def _mismatches(log: pytest.LogCaptureFixture) -> list[tuple[int, int, int]]:
    return [
        (record.levelno, vars(record)["expected_charge"], vars(record)["charged"])
        for record in log.records
        if record.getMessage() == "charge_mismatch"
    ]


def _marked(one: ScriptedService) -> list[tuple[int | None, int | None]]:
    found = one.ledger.reader.find(charge_mismatch=True)
    return [(row.expected_charge, row.charged) for row in found]


@pytest.mark.rule("PAY-4")
def test_it_is_a_success_marked_and_logged_and_never_sent_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with scripted_service(tmp_path) as one:
        first = one.submit(key="a", special_instructions=OVERCHARGE)
        assert (first.status, first.replayed) == (200, False)
        assert _marked(one) == [(ASKED, TAKEN)]
        assert _mismatches(caplog) == [(logging.ERROR, ASKED, TAKEN)]
        again = one.submit(key="a", special_instructions=OVERCHARGE)
        assert (again.body, again.replayed) == (first.body, True)
        assert len(one.cooked()) == 1


@pytest.mark.rule("PAY-4", "SUB-5")
def test_it_is_noticed_too_where_the_order_is_reconciled_later(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with scripted_service(tmp_path) as one:
        one.script.add("order", "answer lost")
        assert one.submit(key="a", special_instructions=OVERCHARGE).code == "outcome_unknown"
        assert one.submit(key="a", special_instructions=OVERCHARGE).status == 200
        assert _marked(one) == [(ASKED, TAKEN)]
        assert _mismatches(caplog) == [(logging.ERROR, ASKED, TAKEN)]


@pytest.mark.rule("PAY-4")
def test_the_right_charge_is_not_a_mismatch(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with scripted_service(tmp_path) as one:
        assert one.submit(key="a").status == 200
        assert [(row.expected_charge, row.charged) for row in one.rows()] == [(ASKED, ASKED)]
        assert not _marked(one) and not _mismatches(caplog)
