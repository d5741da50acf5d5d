"""An adapter's mistakes cost a clear message, never a second order: SUB-2, SUB-5, SUB-8."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from levelup_ov.app import create_app
from levelup_ov.config import load_settings
from tests.channel import Channel, Clock
from tests.contract.careless import Till
from tests.transport.wire import peer

ACCOUNTS = """
[accounts.fake]
provider = "fake"
name = "Fake Diner"
settings = {{base_url = "{}"}}
"""

MakeDiner = Callable[..., tuple[Till, Channel]]


@pytest.fixture
def diner(
    tmp_path: Path, environ: dict[str, str], clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> Iterator[MakeDiner]:
    """A provider, and a service with this adapter of :mod:`tests.contract.careless` for it."""
    monkeypatch.setattr("levelup_ov.ordering.submissions.CONFIRMED_AFTER", 0.01)
    monkeypatch.setattr("levelup_ov.transport.session.BACKOFF", 0.001)
    till, accounts = Till(), tmp_path / "accounts.toml"
    with peer(till.serve) as provider:

        def make(adapter: str, losing: int = 0, **more: str) -> tuple[Till, Channel]:
            till.losing = losing
            accounts.write_text(ACCOUNTS.format(provider.url))
            variables = {
                "LEVELUP_OV_ADAPTERS": f"fake=tests.contract.careless:{adapter}",
                "LEVELUP_OV_ACCOUNTS": str(accounts), "LEVELUP_OV_RECONCILE_GRACE": "0.1",
                "LEVELUP_OV_SUBMISSION_DEADLINE": "4", **more,
            }  # fmt: skip
            return till, Channel(create_app(load_settings({**environ, **variables}), clock=clock))

        yield make


def told(channel: Channel, *, times: int = 1) -> list[Any]:
    """The number or the code that the channel is told each time that it sends one submission."""
    found = []
    for _ in range(times):
        answer = channel.submit("fake.one", order_number="1")
        found.append(answer.order["order_id"] if answer.status == 200 else answer.error["code"])
        time.sleep(0.15)
    return found


def logged(caplog: pytest.LogCaptureFixture, event: str) -> list[dict[str, Any]]:
    records = [record for record in caplog.records if record.getMessage() == event]
    assert all(record.levelno == logging.ERROR for record in records)
    return [record.__dict__ for record in records]


@pytest.mark.rule("SUB-2", "SUB-5")
def test_an_adapter_that_tries_again_places_one_order(diner: MakeDiner, caplog: pytest.LogCaptureFixture) -> None:
    till, channel = diner("TriesAgain", losing=1)

    assert told(channel, times=2) == ["outcome_unknown", "T-1"]

    assert len(till.orders) == 1
    [event] = logged(caplog, "order_not_sent_again")
    assert (event["account"], event["call"]) == ("fake", "POST /orders")


@pytest.mark.rule("SUB-2", "SUB-5")
@pytest.mark.parametrize("adapter", ["TurnsLostIntoRefused", "RepeatsLostAsRefused"])
def test_a_lost_order_that_the_adapter_calls_refused_is_unknown(diner: MakeDiner, adapter: str) -> None:
    till, channel = diner(adapter, losing=1 if adapter == "TurnsLostIntoRefused" else 9)

    answers = told(channel, times=4)

    if adapter == "TurnsLostIntoRefused":
        assert (answers, len(till.orders)) == (["outcome_unknown", "T-1", "T-1", "T-1"], 1)
    else:
        # Each repetition is sent under the first reference, which the provider promises to recognize.
        assert (set(answers), len(set(till.orders))) == ({"outcome_unknown"}, 1)


@pytest.mark.rule("SUB-2", "SUB-4")
def test_an_order_without_a_placing_call_is_placed_once(diner: MakeDiner, caplog: pytest.LogCaptureFixture) -> None:
    till, channel = diner("NeverSaysPlaces", LEVELUP_OV_SUBMISSION_DEADLINE="2.5")

    assert told(channel) == ["T-1"]
    time.sleep(2.7)  # until the claim would be over
    assert told(channel, times=2) == ["T-1", "T-1"]

    assert len(till.orders) == 1
    [event] = logged(caplog, "placed_without_placing_call")
    assert event["cause"] == "NeverSaysPlaces returned an order (last call: POST /orders)"
    assert not logged(caplog, "placed_during_another_attempt") and not logged(caplog, "submission_restored_to_ledger")


@pytest.mark.rule("SUB-2", "SUB-5")
def test_a_result_that_is_no_order_leaves_it_unknown(diner: MakeDiner) -> None:
    till, channel = diner("ReportsNothing", LEVELUP_OV_SUBMISSION_DEADLINE="2.5")

    assert told(channel) == ["outcome_unknown"]
    time.sleep(2.7)
    assert told(channel, times=2) == ["T-1", "T-1"]

    assert len(till.orders) == 1
