"""The database loses an order while its provider is asked about it, as a copy without it does (STAT-1, STAT-6)."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from datetime import timedelta
from typing import Any

import pytest

from levelup_ov.domain.outcome import Placed
from levelup_ov.domain.status import OrderStatus
from levelup_ov.ordering.request_context import RequestContext
from levelup_ov.transport.deadline import Deadline
from tests.channel import Answer, Channel
from tests.contract.conftest import MakeFake
from tests.contract.fakes import CancelingAdapter
from tests.contract.test_order_cancellation import LOST, cancel
from tests.contract.test_order_status import status


@pytest.fixture
def canceling(fake: MakeFake) -> tuple[CancelingAdapter, Channel]:
    """A provider with one order."""
    adapter, channel = fake(LEVELUP_OV_ADAPTERS="fake=tests.contract.fakes:CancelingAdapter")
    assert isinstance(adapter, CancelingAdapter)
    adapter.placed = Placed("A-1", "technical", reference=None)
    channel.submit("fake.one")
    return adapter, channel


def lose(channel: Channel) -> None:
    database = channel.app.extensions["levelup_ov"].submissions.ledger.database.engine.url.database
    with closing(sqlite3.connect(database)) as connection, connection:
        for table in ("order_statuses", "identities", "submissions"):
            connection.execute(f"DELETE FROM {table}")


def losing(adapter: CancelingAdapter, channel: Channel, monkeypatch: pytest.MonkeyPatch, when: str) -> None:
    """The ledger loses the order when the provider is asked for its status the first time, or to cancel it."""
    name = "cancel_order" if when == "canceled" else "show_status"
    whole: Callable[..., Any] = getattr(adapter, name)

    def asked(*arguments: Any) -> Any:
        lose(channel)
        return whole(*arguments)

    monkeypatch.setattr(adapter, name, asked)
    adapter.words = [OrderStatus(each, reference=None) for each in ("on the grill", "binned")]


def ask(channel: Channel) -> Answer:
    return status(channel, "A-1", "fake.one")


@pytest.mark.rule("STAT-6")
@pytest.mark.parametrize("answer", [None, LOST], ids=["answered", "lost"])
def test_a_cancellation_is_told_though_its_order_is_lost(
    canceling: tuple[CancelingAdapter, Channel], monkeypatch: pytest.MonkeyPatch, answer: Exception | None
) -> None:
    adapter, channel = canceling
    losing(adapter, channel, monkeypatch, "canceled")
    adapter.cancellation = answer
    assert cancel(channel, "A-1", "fake.one").order["status"] == "cancelled"
    assert adapter.canceled and cancel(channel, "A-1", "fake.one").refusal == (404, "order_not_found", None)


@pytest.mark.rule("STAT-6", "STAT-7")
def test_nothing_is_canceled_that_is_lost_before(
    canceling: tuple[CancelingAdapter, Channel], monkeypatch: pytest.MonkeyPatch
) -> None:
    """That it was begun could not be recorded, so that nobody would ask for its outcome."""
    adapter, channel = canceling
    losing(adapter, channel, monkeypatch, "asked")
    assert cancel(channel, "A-1", "fake.one").refusal == (404, "order_not_found", None)
    assert adapter.canceled == []


@pytest.mark.rule("STAT-1")
@pytest.mark.parametrize("is_known", [True, False])
def test_a_status_is_told_though_its_order_is_lost(
    canceling: tuple[CancelingAdapter, Channel], monkeypatch: pytest.MonkeyPatch, is_known: bool
) -> None:
    adapter, channel = canceling
    if is_known:
        adapter.words = [OrderStatus("on the grill", reference=None)]
        assert ask(channel).status == 200
    losing(adapter, channel, monkeypatch, "asked")
    assert ask(channel).order["status"] == "preparing"
    assert ask(channel).refusal == (404, "order_not_found", None)


@pytest.mark.rule("STAT-5")
def test_a_watched_order_is_lost(
    canceling: tuple[CancelingAdapter, Channel], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    adapter, channel = canceling
    losing(adapter, channel, monkeypatch, "asked")
    result = channel.app.test_cli_runner().invoke(args=["orders", "watch", "--every", "0"])
    assert result.exit_code == 0 and "order_not_watched" not in caplog.messages
    assert channel.app.test_cli_runner().invoke(args=["orders", "watch", "--every", "0"]).exit_code == 0


@pytest.mark.rule("STAT-5", "EVT-9")
@pytest.mark.parametrize("when", ["before", "meanwhile"])
def test_an_order_is_lost_that_a_webhook_is_about(
    canceling: tuple[CancelingAdapter, Channel], monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    adapter, channel = canceling
    service = channel.app.extensions["levelup_ov"]
    (order,) = service.tracking.open_orders("fake", limit=9)
    losing(adapter, channel, monkeypatch, "asked")
    if when == "before":
        lose(channel)
    service.placed_orders.check(order, RequestContext(Deadline(9)))
    assert service.placed_orders.watch(order, RequestContext(Deadline(9)), lease=timedelta(seconds=1)) is None
