"""An account does not list a location any more, while an order of it stands, or may stand."""

from __future__ import annotations

from typing import cast

import pytest

from levelup_ov.domain.location import Location
from levelup_ov.domain.status import OrderStatus
from levelup_ov.errors import Refused, Unanswered
from tests.channel import Answer, Channel, order
from tests.contract.conftest import MakeFake
from tests.contract.fakes import CancelingAdapter, CookingAdapter

KEY = {"Idempotency-Key": "k-1"}
PATH = "/locations/fake.one/orders/A-1"
GRILL, BINNED = OrderStatus("on the grill", reference=None), OrderStatus("binned", reference=None)


@pytest.fixture
def later(fake: MakeFake) -> tuple[CancelingAdapter, Channel]:
    """An order was placed; its account, and a service that has not read the list before."""
    assert submit(serve(fake, "CancelingAdapter", "one")[1]).order["order_id"] == "A-1"
    adapter, channel = serve(fake, "CancelingAdapter", "two")
    return cast(CancelingAdapter, adapter), channel


@pytest.fixture(autouse=True)
def nothing_was_cooked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("levelup_ov.ordering.reconciling.CONFIRMED_AFTER", 0.01)
    for kept in (CookingAdapter.made, CookingAdapter.references, CookingAdapter.script):
        kept.clear()


def serve(fake: MakeFake, name: str, listed: str) -> tuple[object, Channel]:
    more = {"LEVELUP_OV_ADAPTERS": f"fake=tests.contract.fakes:{name}", "LEVELUP_OV_RECONCILE_GRACE": "0.1"}
    adapter, channel = fake(**more)
    adapter.locations = [Location(listed, "Diner")]
    return adapter, channel


def submit(channel: Channel) -> Answer:
    body = {"order_submission": order()}
    return channel.send("POST", "/locations/fake.one/order_submissions", json=body, headers=KEY)


def run(channel: Channel, *command: str) -> int:
    return channel.app.test_cli_runner().invoke(args=command).exit_code


@pytest.mark.rule("STAT-1", "STAT-6")
@pytest.mark.parametrize("headers", [KEY, {}], ids=["a key", "a number"])
def test_its_orders_are_shown_and_canceled(later: tuple[CancelingAdapter, Channel], headers: dict[str, str]) -> None:
    adapter, channel = later
    adapter.words = [GRILL, GRILL, BINNED]
    assert channel.get(PATH, **headers).order["status"] == "preparing"
    assert channel.send("POST", f"{PATH}/cancellation", headers=headers).order["status"] == "cancelled"
    assert adapter.canceled == ["technical-1-1"]


@pytest.mark.rule("STAT-5")
def test_its_orders_are_watched(later: tuple[CancelingAdapter, Channel]) -> None:
    adapter, channel = later
    adapter.words = [GRILL]
    assert run(channel, "orders", "watch") == 0
    assert adapter.asked == ["technical-1-1"]


@pytest.mark.rule("STAT-1", "STAT-6")
@pytest.mark.parametrize(
    "failure", [Refused("order_refused", "no"), Unanswered("provider_credentials_refused", "no", sent=False)]
)
def test_a_provider_that_shows_nothing_is_no_proof(later: tuple[CancelingAdapter, Channel], failure: Exception) -> None:
    adapter, channel = later
    adapter.words = [failure, failure]
    for answer in (channel.get(PATH, **KEY), channel.send("POST", f"{PATH}/cancellation", headers=KEY)):
        assert (answer.refusal[:2], answer.error["retryable"]) == ((503, "provider_unavailable"), True)
    assert adapter.canceled == []


@pytest.mark.rule("EP-7")
def test_other_numbers_are_those_of_no_location(later: tuple[CancelingAdapter, Channel]) -> None:
    adapter, channel = later
    for path in ("/locations/fake.one/orders/A-2", "/locations/fake.three/orders/A-1"):
        assert channel.get(path, **KEY).refusal[:2] == (404, "location_not_found")
    assert adapter.asked == []


@pytest.mark.rule("SUB-4", "SUB-5")
@pytest.mark.parametrize("by", ["a repetition", "a command"])
def test_its_unknown_order_is_found(fake: MakeFake, by: str) -> None:
    CookingAdapter.script.append("lost")
    assert submit(serve(fake, "CookingAdapter", "one")[1]).error["code"] == "outcome_unknown"
    channel = serve(fake, "CookingAdapter", "two")[1]
    if by == "a command":
        assert run(channel, "submissions", "reconcile") == 0
    assert submit(channel).order["order_id"] == "A-1"
    assert CookingAdapter.made == ["A-1"]


@pytest.mark.rule("SUB-2", "SUB-5")
def test_that_its_order_is_not_found_proves_nothing(fake: MakeFake) -> None:
    CookingAdapter.script.append("unreached")
    assert submit(serve(fake, "CookingAdapter", "one")[1]).error["code"] == "outcome_unknown"
    channel = serve(fake, "CookingAdapter", "two")[1]
    for _ in range(3):
        answer = submit(channel)
        assert answer.error["code"] == "outcome_unknown" and "does not list the location" in answer.error["message"]
    assert run(channel, "submissions", "reconcile") == 1
    assert CookingAdapter.made == []
