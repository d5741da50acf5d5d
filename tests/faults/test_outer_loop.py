"""The outer loop at a small size: nobody pays without an order, nobody gets two.

The long campaign is ``make faults-outer``.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from levelup_ov.standins.levelup.ahead import GatewayReply, Unreached, work
from tests.faults.outer import BEHIND, BETWEEN, KilledWorld, run


@pytest.mark.rule("SUB-2", "SUB-5", "SUB-6", "PAY-4")
def test_diner_platform_ledger_and_provider_agree(tmp_path: Path) -> None:
    report = run(tmp_path, 60, "1")
    assert report.violations == []
    assert report.states["completed"] > 10 and report.charged == report.placed > 0
    wanted = {f"platform to service: {name}" for name in BETWEEN} | {f"service to provider: {name}" for name in BEHIND}
    assert len(wanted & set(report.faults)) >= len(wanted) - 3


@pytest.mark.rule("SUB-2", "SUB-5")
def test_they_agree_where_the_service_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.faults.outer.KILLED", 0.6)
    report = run(tmp_path, 5, "1", KilledWorld)
    assert report.violations == []
    assert report.charged == report.placed > 0
    assert report.faults["service: killed"] > 1


def _hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """A platform that gives the money back at the first refusal."""
    monkeypatch.setattr(work, "_is_proof", lambda silent_at, now: True)


def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that gives the money back where the service does not know yet."""
    verdict_of = work.verdict_of

    def verdict(reply: GatewayReply | Unreached) -> str:
        found = verdict_of(reply)
        return "refused" if found == "unknown" else found

    monkeypatch.setattr(work, "verdict_of", verdict)


def _optimist(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that takes silence for a refusal."""
    verdict_of = work.verdict_of

    def verdict(reply: GatewayReply | Unreached) -> str:
        if isinstance(reply, Unreached):
            return "busy"
        return verdict_of(reply)

    monkeypatch.setattr(work, "verdict_of", verdict)
    monkeypatch.setattr(work, "SUBMISSION_SECONDS", 1.0)


@pytest.mark.parametrize("mutate", [_hasty, _impatient, _optimist], ids=["hasty", "impatient", "optimist"])
def test_a_platform_that_errs_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mutate: Callable[[pytest.MonkeyPatch], None]
) -> None:
    mutate(monkeypatch)
    assert any(run(tmp_path / seed, 80, seed).violations for seed in ("1", "2", "3", "5"))
