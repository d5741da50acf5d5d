"""Many clients of one submission, and reloads under load, in short; at full length they are part of ``make faults``."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.faults.crowds import race, reloads


@pytest.mark.rule("SUB-2", "SUB-4")
def test_one_order_per_key_for_many_threads_and_processes(tmp_path: Path) -> None:
    assert race(tmp_path, f"sqlite:///{tmp_path}/ledger.db", threads=16, keys=12) == {1: 12}


@pytest.mark.rule("SUB-2")
def test_no_request_fails_while_the_service_is_reloaded(tmp_path: Path) -> None:
    reported, replaced = reloads(tmp_path, f"sqlite:///{tmp_path}/ledger.db", times=3, clients=6)
    assert set(reported) == {""}, reported
    assert replaced == 6
    assert reported.total() > 50
