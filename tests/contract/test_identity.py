"""An order is believed only if the provider says our reference back: SUB-8."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest

from levelup_ov.app import create_app
from levelup_ov.config import load_settings
from levelup_ov.domain.outcome import Placed
from tests.channel import Channel, Clock
from tests.contract.conftest import Kitchen
from tests.contract.fakes import EchoingAdapter

ACCOUNTS = """
[accounts.diner]
provider = "echoing"
name = "Diner"
"""


def channel_of(name: str, directory: Path, environ: dict[str, str], clock: Clock) -> Channel:
    accounts = directory / "accounts.toml"
    accounts.write_text(ACCOUNTS)
    adapters = {"LEVELUP_OV_ADAPTERS": f"echoing=tests.contract.fakes:{name}"}
    settings = load_settings({**environ, **adapters, "LEVELUP_OV_ACCOUNTS": str(accounts)})
    return Channel(create_app(settings, clock=clock))


@pytest.fixture
def diner(tmp_path: Path, environ: dict[str, str], clock: Clock) -> Channel:
    return channel_of("EchoingAdapter", tmp_path, environ, clock)


WRONG: dict[str, tuple[Any, str, str]] = {
    "another's": ("b0b", "answer_of_another_order", "another reference (last call: POST /v1/carts/"),
    "empty": ("", "answer_of_another_order", "another reference"),
    "missing": (None, "order_without_reference", "or declare echoes_nothing"),
    "a number": (17, "order_without_reference", "as int: it must be the string that was sent"),
}


@pytest.mark.rule("SUB-5", "SUB-8")
@pytest.mark.parametrize("case", WRONG)
def test_an_order_without_our_reference_is_unknown(
    diner: Channel, kitchen: Kitchen, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, case: str
) -> None:
    echo, event, words = WRONG[case]
    monkeypatch.setattr(EchoingAdapter, "echo", echo)

    with caplog.at_level(logging.ERROR):
        answer = diner.submit("diner.congress", order_number="A-1")

    assert answer.refusal[:2] == (504, "outcome_unknown")
    [record] = [record for record in caplog.records if record.getMessage() == event]
    assert words in record.__dict__["cause"]
    # Looked up, it is found under the reference, and placed once.
    assert diner.submit("diner.congress", order_number="A-1").order["order_id"] == 1
    assert kitchen.count("orders") == 1


@pytest.mark.rule("SUB-5", "SUB-8")
@pytest.mark.parametrize("case", WRONG)
def test_a_look_up_of_another_order_settles_nothing(
    diner: Channel, kitchen: Kitchen, monkeypatch: pytest.MonkeyPatch, case: str
) -> None:
    monkeypatch.setattr(EchoingAdapter, "echo", None)
    assert diner.submit("diner.congress", order_number="A-1").refusal[1] == "outcome_unknown"
    monkeypatch.setattr(EchoingAdapter, "looked_up", WRONG[case][0])

    again = diner.submit("diner.congress", order_number="A-1")

    assert again.refusal[:2] == (504, "outcome_unknown")
    assert kitchen.count("orders") == 1


@pytest.mark.rule("SUB-8")
def test_a_provider_that_documents_no_echo_is_believed(
    tmp_path: Path, environ: dict[str, str], clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(EchoingAdapter, "echo", None)
    diner = channel_of("SilentAdapter", tmp_path, environ, clock)

    assert diner.submit("diner.congress").order["order_id"] == 1

    monkeypatch.setattr(EchoingAdapter, "echo", "b0b")
    assert diner.submit("diner.congress", tip=1).refusal[1] == "outcome_unknown"


@pytest.mark.rule("SUB-8")
def test_an_order_needs_a_reference_to_be_reported() -> None:
    with pytest.raises(TypeError, match="reference"):
        Placed("17", "order-17")  # type: ignore[call-arg]
