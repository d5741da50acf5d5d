"""What was ruled out is looked up again, by the command that a scheduler runs (SUB-12)."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest

from tests.faults.scripted import ScriptedService, scripted_service


def reconcile(one: ScriptedService) -> tuple[int, str]:
    result = one.app.test_cli_runner().invoke(args=["submissions", "reconcile"])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, result.output


@pytest.mark.rule("SUB-12", "SUB-5")
def test_an_order_that_was_ruled_out_is_counted_by_the_command(tmp_path: Path) -> None:
    with scripted_service(tmp_path) as one:
        # The order is there, whatever the ledger has believed.
        one.script.add("order", "answer lost")
        assert one.submit(key="a").code == "outcome_unknown"
        (row,) = one.rows()
        one.ledger.absences.rule_out(row, grace=timedelta(0))
        assert reconcile(one) == (0, "0 resolved, 0 still unknown\n")
        one.clock.advance(seconds=61)
        status, output = reconcile(one)
        assert status == 1
        assert f"[1/1] {row.id} diner.congress: order_exists_but_ruled_out: " in output
        assert output.endswith("1 resolved, 0 still unknown, 1 for a person to look at\n")
        assert reconcile(one) == (0, "0 resolved, 0 still unknown\n")
        listed = one.app.test_cli_runner().invoke(args=["submissions", "list", "--findings"]).output
        assert row.id in listed and "1 submission" in listed
        shown = one.app.test_cli_runner().invoke(args=["submissions", "show", row.id]).output
        assert "order_exists_but_ruled_out" in shown and row.reference in shown


@pytest.mark.rule("SUB-12")
def test_a_clock_set_back_by_days_delays_no_look(tmp_path: Path) -> None:
    with scripted_service(tmp_path) as one:
        one.script.add("order", "reset before reading")
        assert one.submit(key="a").code == "outcome_unknown"
        (row,) = one.rows()
        one.ledger.absences.rule_out(row, grace=timedelta(0))
        one.clock.advance(days=-3)
        for looks, seconds in enumerate((0, 9 * 60, 50 * 60, 23 * 3600)):
            if seconds:
                one.clock.advance(seconds=seconds - 1)
                assert reconcile(one) == (0, "0 resolved, 0 still unknown\n")
                one.clock.advance(seconds=1)
            assert reconcile(one)[1].endswith("1 resolved, 0 still unknown\n"), looks
        assert one.rows()[0].look_again_at is None


@pytest.mark.rule("SUB-12", "SUB-11")
def test_a_repeated_order_under_its_reference_is_not_a_finding(tmp_path: Path) -> None:
    with scripted_service(tmp_path) as one:
        one.script.add("order", "reset before reading")
        assert one.submit(key="a").code == "outcome_unknown"
        (row,) = one.rows()
        one.ledger.absences.rule_out(row, grace=timedelta(0))
        assert one.submit(key="a").status == 200
        assert {each.reference for each in one.rows()} == {row.reference}
        for seconds in (61, 600, 3600, 24 * 3600):
            one.clock.advance(seconds=seconds)
            assert reconcile(one)[0] == 0
        assert one.ledger.reader.due_again() == ()


@pytest.mark.rule("SUB-11", "SUB-2")
def test_a_ledger_that_lost_its_rows_sends_the_same_reference(tmp_path: Path) -> None:
    with scripted_service(tmp_path) as one:
        assert one.submit(key="a").status == 200
        (row,) = one.rows()
        with closing(sqlite3.connect(tmp_path / "ledger.db")) as connection, connection:
            connection.execute("DELETE FROM identities")
            connection.execute("DELETE FROM submissions")
        one.submit(key="a")
        assert [each.reference for each in one.rows()] == [row.reference]
