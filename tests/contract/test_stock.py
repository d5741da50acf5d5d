"""Sold-out items and paused locations, known between menus (MENU-8)."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from levelup_ov.domain.options import Option
from levelup_ov.domain.stock import Stock
from levelup_ov.errors import Unanswered
from levelup_ov.transport import net
from tests.channel import Channel, item
from tests.conftest import MakeApp
from tests.contract.conftest import MakeFake
from tests.contract.fakes import FakeAdapter

pytestmark = pytest.mark.rule("MENU-8")

REPORTING = "fake=tests.contract.fakes:ReportingAdapter"


class Shelf:
    """What a fake provider says about its stock; ``reads`` counts how often."""

    def __init__(self) -> None:
        self.stock: Stock | Exception = Stock()
        self.reads = 0

    def __call__(self, location: Any, session: Any) -> Stock:
        self.reads += 1
        if isinstance(self.stock, Exception):
            raise self.stock
        return self.stock


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[float], None]]:
    """Lets time pass for the stock."""
    passed, clock = [0.0], net.now
    monkeypatch.setattr("levelup_ov.ordering.stock_and_pauses.net.now", lambda: clock() + sum(passed))
    yield passed.append


def reporting(fake: MakeFake, ttl: str = "30", **variables: str) -> tuple[FakeAdapter, Channel, Shelf]:
    provider, channel = fake(LEVELUP_OV_STOCK_TTL=ttl, **variables)
    shelf = Shelf()
    provider.reports_stock = True  # type: ignore[misc]
    provider.show_stock = shelf  # type: ignore[method-assign]
    return provider, channel, shelf


def items_of(channel: Channel, place: str) -> set[str]:
    menu = channel.get(f"/locations/{place}/menu").json["menu"]
    return {each["item"]["provider_id"] for category in menu["categories"] for each in category["category"]["items"]}


def test_what_is_sold_out_is_refused_at_once_with_its_path(fake: MakeFake) -> None:
    provider, channel, shelf = reporting(fake)
    shelf.stock = Stock(frozenset({"gone"}), frozenset({"side:soup"}))
    members = {"items": [item("sandwich"), item("gone")]}
    assert channel.validate("fake.one", **members).refusal == (
        422, "item_unavailable", "$.order_validation.items[1].item",
    )  # fmt: skip
    option = channel.validate("fake.one", items=[item("sandwich", "bread:rye", "side:soup")])
    assert option.refusal == (422, "item_unavailable", "$.order_validation.items[0].item.options[1].option")
    assert provider.orders == []
    assert channel.validate("fake.one", items=[item("side:soup")]).status == 200


@pytest.mark.rule("SUB-4")
def test_a_submission_is_refused_by_what_was_read_just_now(fake: MakeFake, now: Callable[[float], None]) -> None:
    provider, channel, shelf = reporting(fake, LEVELUP_OV_ADAPTERS=REPORTING)
    first = channel.submit("fake.one", order_number="1")
    assert (first.status, shelf.reads) == (200, 0), "a submission reads no stock"
    shelf.stock = Stock(frozenset({"gone"}))
    channel.validate("fake.one")
    members = {"items": [item("sandwich"), item("gone")], "order_number": "2"}
    refused = channel.submit("fake.one", **members)
    assert refused.refusal == (422, "item_unavailable", "$.order_submission.items[1].item")
    assert refused.error["retryable"] is False and len(provider.paid_with) == 1
    shelf.stock = Stock(frozenset({"sandwich"}), paused=True)
    now(31)
    channel.validate("fake.one")
    again = channel.submit("fake.one", order_number="1")
    assert (again.status, again.json) == (200, first.json), "a replay stays a replay"
    assert channel.submit("fake.one", order_number="3").error["code"] == "location_closed"
    # What was read longer ago is the provider's to decide: it may have baked since.
    now(31)
    assert channel.submit("fake.one", **members).status == 200


@pytest.mark.rule("SUB-5")
def test_an_unknown_submission_is_not_ruled_out_by_the_stock(fake: MakeFake) -> None:
    """Its provider finds an order by the same submission alone, so a refusal would say that there is none."""
    provider, channel, shelf = reporting(fake, LEVELUP_OV_ADAPTERS=REPORTING)
    provider.recovery = "replay"  # type: ignore[misc]
    usual, provider.placed = provider.placed, Unanswered("provider_timeout", "no answer", sent=True)
    assert channel.submit("fake.one", order_number="1").error["code"] == "outcome_unknown"
    shelf.stock, provider.placed = Stock(frozenset({"sandwich"})), usual
    assert channel.validate("fake.one").error["code"] == "item_unavailable"
    assert channel.submit("fake.one", order_number="1").status == 200
    assert len({order.reference for order in provider.orders}) == 1


def test_a_warm_stock_costs_no_call(fake: MakeFake, now: Callable[[float], None]) -> None:
    _, channel, shelf = reporting(fake)
    for _ in range(5):
        channel.validate("fake.one")
    assert shelf.reads == 1
    now(31)
    channel.validate("fake.one")
    channel.get("/locations/fake.one/menu")
    assert shelf.reads == 2


def test_without_the_setting_nothing_is_asked(fake: MakeFake) -> None:
    _, channel, shelf = reporting(fake, ttl="0")
    shelf.stock = Stock(frozenset({"sandwich"}), paused=True)
    assert channel.validate("fake.one").status == 200
    assert channel.get("/locations/fake.one/menu").status == 200
    assert shelf.reads == 0


@pytest.mark.parametrize("code", ["provider_timeout", "provider_protocol_error", "provider_unavailable"])
def test_a_stock_that_cannot_be_read_blocks_nothing(
    fake: MakeFake, now: Callable[[float], None], caplog: pytest.LogCaptureFixture, code: str
) -> None:
    _, channel, shelf = reporting(fake)
    fault = Unanswered(code, "no stock", sent=True)
    shelf.stock = fault
    with caplog.at_level(logging.WARNING):
        assert channel.validate("fake.one").status == 200
        assert channel.get("/locations/fake.one/menu").status == 200
    assert [record.code for record in caplog.records if record.getMessage() == "stock_not_read"] == [code]
    now(31)
    shelf.stock = Stock(frozenset({"sandwich"}))
    assert channel.validate("fake.one").error["code"] == "item_unavailable"
    # Older data serves for ten minutes, then none.
    shelf.stock = fault
    now(31)
    assert channel.validate("fake.one").error["code"] == "item_unavailable"
    now(700)
    assert channel.validate("fake.one").status == 200


def test_a_stock_that_is_read_in_part_serves(fake: MakeFake, caplog: pytest.LogCaptureFixture) -> None:
    _, channel, shelf = reporting(fake)
    shelf.stock = Stock(frozenset({"sandwich"}), unread=Unanswered("provider_timeout", "no counts", sent=True))
    assert channel.validate("fake.one").error["code"] == "item_unavailable"
    assert "sandwich" not in items_of(channel, "fake.one")
    reported = [record.code for record in caplog.records if record.getMessage() == "stock_read_in_part"]
    assert reported == ["provider_timeout"]


def test_a_paused_location_takes_no_orders_and_keeps_its_menu(fake: MakeFake) -> None:
    _, channel, shelf = reporting(fake)
    shelf.stock = Stock(paused=True)
    assert channel.validate("fake.one").refusal == (422, "location_closed", None)
    [location] = channel.get("/merchants/fake/locations").json["locations"]
    assert location["location"]["active"] is False
    assert channel.get("/locations/fake.one/menu").status == 200


def test_ids_may_be_the_last_parts_of_paths() -> None:
    stock = Stock(frozenset({"burger"}), frozenset({"hot"}), by_last_part=True)
    assert stock.lacks_item("lunch:mains:burger") and stock.lacks_option(Option("dip:mayo:heat:hot").provider_id)
    assert not stock.lacks_item("burger:mains:lunch") and not stock.lacks_option("hot:sauce")
    assert Stock(frozenset({"tea:hot"})).lacks_item("tea:hot") and not Stock(frozenset({"hot"})).lacks_item("tea:hot")


def test_the_sandbox_sells_out_and_pauses_on_request(make_app: MakeApp, now: Callable[[float], None]) -> None:
    channel = Channel(make_app(LEVELUP_OV_STOCK_TTL="30"))
    assert "sandwich" in items_of(channel, "sandbox.congress")
    assert channel.submit(special_instructions="sandbox:sells-out=5").status == 200
    now(31)
    assert "sandwich" not in items_of(channel, "sandbox.congress")
    assert channel.validate().refusal == (422, "item_unavailable", "$.order_validation.items[0].item")
    cookie = {"items": [item("cookie")]}
    assert channel.submit(**cookie, special_instructions="sandbox:pauses=5").status == 200
    now(31)
    assert channel.validate(**cookie).error["code"] == "location_closed"
    assert "cookie" in items_of(channel, "sandbox.congress")
