"""Locations whose ids hold a percent sign: two of them are never one (SUB-3, EP-7)."""

from __future__ import annotations

from dataclasses import replace
from unittest.mock import Mock
from urllib.parse import quote

import pytest

from levelup_ov.domain.outcome import Placed
from levelup_ov.errors import Unanswered
from levelup_ov.ordering.locations import Directory
from tests.channel import Channel
from tests.contract.conftest import MakeFake
from tests.contract.fakes import FakeAdapter

IDS = ("a%62", "ab", "50%25", "50%", "50%2525", "café 5/6", "caf%C3%A9")
"""Some are what others are when they are escaped or decoded."""
REPORTING = {"LEVELUP_OV_ADAPTERS": "fake=tests.contract.fakes:ReportingAdapter"}


def make(fake: MakeFake) -> tuple[FakeAdapter, Channel]:
    provider, channel = fake(**REPORTING)
    assert isinstance(provider.locations, list)
    provider.locations = [replace(provider.locations[0], provider_id=id) for id in IDS]
    return provider, channel


def published(id: str) -> str:
    return f"fake.{quote(id, safe='')}"


def number(id: str) -> str:
    return f"number {IDS.index(id)}"


def submit(provider: FakeAdapter, channel: Channel, id: str) -> tuple[str, bool]:
    """The number of the order at a location, the same identity at all; and whether it is a replay."""
    provider.placed = Placed(number(id), f"order {id}", reference=None)
    answer = channel.submit(published(id), order_number="1")
    return str(answer.order["order_id"]), "Idempotency-Replayed" in answer.headers


@pytest.mark.rule("EP-7", "SUB-3", "SUB-4")
def test_each_location_has_orders_of_its_own(fake: MakeFake) -> None:
    provider, channel = make(fake)
    listed = channel.get("/merchants/fake/locations").json["locations"]
    assert [each["location"]["provider_id"] for each in listed] == [published(id) for id in IDS]
    _, another_host = cold = make(fake)
    for host in ((provider, channel), cold, make(fake)):
        for id in IDS if host[1] is not another_host else IDS[::-1]:
            assert submit(*host, id) == (number(id), host[1] is not channel)
    assert [order.location.provider_id for order in provider.orders] == [*IDS]
    for id in IDS:
        assert another_host.get(f"/locations/{published(id)}/orders/{number(id)}").order["order_id"] == number(id)
        assert channel.validate(published(id)).status == 200
        assert provider.orders[-1].location.provider_id == id


@pytest.mark.rule("SUB-5")
@pytest.mark.parametrize("by", ["channel", "command"])
def test_an_unknown_order_is_looked_up_at_its_location(fake: MakeFake, by: str) -> None:
    provider, channel = make(fake)
    asked = []

    def find_order(location, reference, trace, session):  # type: ignore[no-untyped-def]
        asked.append(location.provider_id)
        return Placed(number(location.provider_id), f"order {location.provider_id}", reference=reference)

    provider.find_order = find_order  # type: ignore[method-assign]
    provider.placed = Unanswered("provider_timeout", "no answer", sent=True)
    for id in IDS:
        assert channel.submit(published(id), order_number="1").error["code"] == "outcome_unknown"
    if by == "command":
        assert channel.app.test_cli_runner().invoke(args=["submissions", "reconcile"]).exit_code == 0
    for id in IDS:
        assert channel.submit(published(id), order_number="1").order["order_id"] == number(id)
    assert sorted(asked) == sorted(IDS)


@pytest.mark.rule("EP-7", "SUB-4")
def test_a_location_that_is_escaped_twice_is_the_same(fake: MakeFake) -> None:
    provider, channel = make(fake)
    again = quote(published("café 5/6"), safe="")
    provider.placed = Placed("A-1", "order", reference=None)
    for path in (published("café 5/6"), again):
        assert channel.submit(path, order_number="1").order["order_id"] == "A-1"
    assert len(provider.orders) == 1


@pytest.mark.rule("SUB-3")
@pytest.mark.parametrize("id", IDS)
def test_without_a_list_no_other_locations_order_is_replayed(
    fake: MakeFake, monkeypatch: pytest.MonkeyPatch, id: str
) -> None:
    provider, channel = make(fake)
    for other in IDS:
        if other != id:
            submit(provider, channel, other)
    cold = make(fake)[1]
    gone = Unanswered("provider_unavailable", "the provider cannot be reached", sent=False)
    monkeypatch.setattr(Directory, "location", Mock(side_effect=gone))
    assert cold.submit(published(id), order_number="1").refusal[:2] == (503, "provider_unavailable")
    if id != "ab":
        assert cold.submit(published("ab"), order_number="1").order["order_id"] == number("ab")
