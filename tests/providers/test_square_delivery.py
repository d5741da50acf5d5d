"""Square's deliveries against the stand-in, held to the official specification (DELIVERY-1 to DELIVERY-3)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from levelup_ov.domain.order import DeliveryAddress
from levelup_ov.domain.outcome import Fee
from levelup_ov.errors import Refused, Unanswered
from levelup_ov.testing.deliveries import ADDRESS
from tests.providers.test_square import ADA, CALCULATE, NOON, Bench, reported
from tests.servers.square import Square

BY: dict[str, Any] = {"fulfillment_type": "delivery", "delivery_address": ADDRESS}
TERMS = {
    "delivery_areas": "02114, 0211*", "delivery_fee": "350", "delivery_minimum": "900", "delivery_minutes": "25",
    "prep_minutes": "20",
}  # fmt: skip


@pytest.fixture
def bench() -> Iterator[Bench]:
    bench = Bench(**TERMS)
    yield bench
    assert bench.square.violations == []


@pytest.mark.rule("DELIVERY-2", "DELIVERY-3", "EP-12", "MONEY-9")
def test_a_delivery_has_its_address_and_its_fee(bench: Bench) -> None:
    quote = bench.validate(**BY)
    plain = bench.validate()
    assert (quote.fees, quote.food, quote.tax) == ((Fee("Delivery", 350),), plain.food, plain.tax)
    assert quote.ready.soonest == NOON + timedelta(minutes=45)
    assert quote.address_decides == frozenset()
    placed = bench.submit(**BY, special_instructions="no onions", cart=quote.cart)
    assert placed.charged == placed.expected_charge == quote.consumer_pays
    (fulfillment,) = bench.square.orders["order-1"]["fulfillments"]
    details = fulfillment["delivery_details"]
    assert (fulfillment["type"], details["schedule_type"], details["prep_time_duration"]) == (
        "DELIVERY",
        "ASAP",
        "PT45M",
    )
    assert details["recipient"]["address"] == {
        "address_line_1": "21 Blue Street", "address_line_2": "Floor 9", "locality": "Boston",
        "administrative_district_level_1": "MA", "postal_code": "02114",
    }  # fmt: skip
    assert (details["note"], details["dropoff_notes"]) == ("no onions", "knock twice at the side door")


@pytest.mark.rule("DELIVERY-2", "TIME-6")
def test_a_delivery_for_later_is_delivered_then(bench: Bench) -> None:
    later = NOON + timedelta(hours=3)
    assert bench.validate(**BY, desired_ready_time=later).ready.soonest == later
    details = bench.sent(CALCULATE)["order"]["fulfillments"][0]["delivery_details"]
    assert (details["schedule_type"], details["deliver_at"]) == ("SCHEDULED", f"{later:%Y-%m-%dT%H:%M:%SZ}")


@pytest.mark.rule("DELIVERY-1")
def test_without_an_address_the_price_is_known_the_area_is_not(bench: Bench) -> None:
    quote = bench.validate(fulfillment_type="delivery")
    assert "fulfillments" not in bench.sent(CALCULATE)["order"]
    assert (quote.fees, quote.address_decides) == ((Fee("Delivery", 350),), {"availability"})
    assert bench.submit(**BY, cart=quote.cart).charged == quote.consumer_pays


@pytest.mark.rule("DELIVERY-2", "EP-14")
@pytest.mark.parametrize(
    ("address", "code", "path"),
    [
        (replace(ADDRESS, postal_code="99999"), "address_not_served", "delivery_address.postal_code"),
        (replace(ADDRESS, postal_code="SW1A 1AA"), "address_not_served", "delivery_address.postal_code"),
        (replace(ADDRESS, postal_code=None), "delivery_address_incomplete", "delivery_address.postal_code"),
        (replace(ADDRESS, locality=" "), "delivery_address_incomplete", "delivery_address.locality"),
        (DeliveryAddress(""), "delivery_address_incomplete", "delivery_address.street_address"),
    ],
)
def test_an_address_is_refused_before_any_call(bench: Bench, address: Any, code: str, path: str) -> None:
    assert bench.refusal(**{**BY, "delivery_address": address}) == (code, f"$.{path}")
    assert bench.square.calls == []


@pytest.mark.rule("DELIVERY-2", "EP-14")
def test_a_minimum_and_a_telephone_are_asked_for() -> None:
    bench = Bench(**{**TERMS, "delivery_minimum": "2000000"})
    with pytest.raises(Refused, match=r"at least \$20000\.00") as caught:
        bench.validate(**BY)
    assert (caught.value.code, caught.value.path) == ("order_minimum_not_reached", "$.items")
    assert bench.refusal(**BY, user=replace(ADA, phone=None)) == ("customer_refused", "$.user.phone")
    assert bench.adapter.settings["delivery_areas"].default is None
    assert not any(place.fulfills_deliveries for place in Bench().locations.values())


@pytest.mark.rule("DELIVERY-3", "MONEY-9")
@pytest.mark.parametrize("amount", [-350, 0, 349])
def test_another_fee_than_ours_is_a_broken_protocol(bench: Bench, amount: int) -> None:
    def change(path: str, answer: Any) -> Any:
        for charge in answer.get("order", {}).get("service_charges", []):
            charge["applied_money"]["amount"] = amount
        return answer

    bench.square.change = change
    with pytest.raises(Unanswered):
        bench.validate(**BY)


@pytest.mark.rule("DELIVERY-2", "SUB-8")
def test_an_order_that_goes_elsewhere_is_not_paid(bench: Bench) -> None:
    def change(path: str, answer: Any) -> Any:
        return json.loads(json.dumps(answer).replace("21 Blue Street", "9 Red Street"))

    bench.square.change = change
    with pytest.raises(Unanswered, match="goes to another address"):
        bench.submit(**BY)
    assert bench.square.payments == []


@pytest.mark.rule("STAT-2", "STAT-4")
def test_a_delivery_is_delivered(bench: Bench) -> None:
    bench.submit(**BY)
    for state, stamp, word in (
        ("RESERVED", "in_progress_at", "RESERVED"),
        ("COMPLETED", "delivered_at", "COMPLETED, delivered"),
    ):
        bench.square.move("order-1", state, **{stamp: "2026-11-23T16:00:00Z"})
        status = reported(bench)
        assert (status.word, status.changed_at) == (word, datetime(2026, 11, 23, 16, tzinfo=timezone.utc))
    assert bench.adapter.order_status[status.word] == "delivered"


@pytest.mark.parametrize(
    "wrong", [{"delivery_minutes": ""}, {"delivery_areas": "*"}, {"delivery_fee": "-1"}, {"delivery_areas": "near;far"}]
)
def test_settings_that_are_not_complete_are_a_mistake(wrong: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="delivery|postal code"):
        Bench(Square(), **{**TERMS, **wrong})
