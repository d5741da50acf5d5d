"""A channel names one submission in several ways, and not always in the same (SUB-3)."""

from __future__ import annotations

import time
from typing import Any

import pytest
from click.testing import Result

from tests.channel import Channel
from tests.contract.fakes import CookingAdapter
from tests.contract.test_changed_keys import OLD, Host, host, send, told

__all__ = ["host"]

SHORT_OF_NAMES = {
    "a number": {"order_number": "n-2"},
    "a validation id": {},
}


@pytest.fixture(params=SHORT_OF_NAMES)
def names(request: pytest.FixtureRequest, channel: Channel) -> dict[str, Any]:
    """A second name of an order, beside its key."""
    return SHORT_OF_NAMES[request.param] or {"metadata": channel.validate("fake.one").order["metadata"]}


@pytest.fixture
def channel(host: Host) -> Channel:
    return host(OLD)


def ask(channel: Channel, key: str | None, **names: Any) -> object:
    """What is told in the end."""
    for _ in range(5):
        if (said := told(send(channel, key, **names))) != "outcome_unknown":
            break
        time.sleep(0.15)
    return said


@pytest.mark.rule("SUB-2", "SUB-3", "SUB-4", "SUB-5")
@pytest.mark.parametrize("keys", [(None,), ("k-2",), ("k-2", None), (None, "k-2"), ("k-3", None)], ids=str)
def test_a_name_that_was_told_an_order_gets_no_second_one(
    channel: Channel, names: dict[str, Any], keys: tuple[str | None, ...]
) -> None:
    """It belongs to an attempt of unknown outcome, too, which is ruled out before anything is told."""
    assert told(send(channel)) == "A-1"
    CookingAdapter.script += ["unreached"]
    assert told(send(channel, "k-2", **names)) == "outcome_unknown"

    assert ask(channel, "k-1", **names) == "A-1"

    assert [ask(channel, key, **names) for key in keys] == ["A-1"] * len(keys)
    assert CookingAdapter.made == ["A-1"] and command(channel, "reconcile").exit_code == 0


@pytest.mark.rule("SUB-4", "SUB-12")
def test_two_orders_of_one_name_are_an_operators_case(
    channel: Channel, names: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    """The attempt of unknown outcome has made one, too. What was told first stays."""
    assert told(send(channel)) == "A-1"
    CookingAdapter.script += ["lost"]
    assert told(send(channel, "k-2", **names)) == "outcome_unknown"

    assert [told(send(channel, "k-1", **names)) for _ in range(2)] == ["A-1"] * 2

    assert "two_orders_for_one_submission" in caplog.messages
    assert "A-2" in command(channel, "list", "--findings").stdout
    assert told(send(channel, "k-2")) == "A-2" and len(CookingAdapter.made) == 2


@pytest.mark.rule("SUB-3", "SUB-4")
def test_another_name_of_a_told_order_is_its_own(channel: Channel, names: dict[str, Any]) -> None:
    """It comes for the first time while the attempt is still unknown."""
    assert told(send(channel)) == "A-1"
    CookingAdapter.script += ["lost"]
    assert told(send(channel, "k-2", **names)) == "outcome_unknown"
    assert told(send(channel, "k-1", grubhub_order_number="g-1", **names)) == "A-1"
    assert told(send(channel, None, grubhub_order_number="g-1")) == "A-1"


def command(channel: Channel, *arguments: str) -> Result:
    return channel.app.test_cli_runner().invoke(args=["submissions", *arguments])
