"""Toast's deliveries against the stand-in (DELIVERY-1 to DELIVERY-3)."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timezone
from typing import Any

import pytest

from levelup_ov.domain.order import DeliveryAddress, Item
from levelup_ov.domain.outcome import Fee
from levelup_ov.errors import Refused, Unanswered
from levelup_ov.testing.deliveries import ADDRESS
from tests.providers.test_toast import ORDERS, PRICES, SODA, Bench, burger, refusal_of, toast
from tests.servers.toast import BOSTON, DELIVERY, ToastServer

__all__ = ["toast"]

BY: dict[str, Any] = {"fulfillment_type": "delivery", "delivery_address": ADDRESS}


@pytest.fixture
def bench(toast: ToastServer) -> Bench:
    return Bench(toast, delivery_option=DELIVERY, delivery_areas="0211*")


@pytest.mark.rule("DELIVERY-2", "DELIVERY-3", "EP-12", "MONEY-9", "LOC-1")
def test_a_delivery_has_its_dining_option_and_address(bench: Bench, toast: ToastServer) -> None:
    places = bench.adapter.list_locations(bench.new_session())
    assert [place.fulfills_deliveries for place in places] == [True, False]
    picked_up = bench.validate(burger(quantity=2))
    quote = bench.validate(burger(quantity=2), **BY)
    assert (quote.food, quote.fees) == (picked_up.food, (Fee("Delivery", 399),))
    assert quote.ready.soonest == datetime(2026, 11, 20, 17, 45, tzinfo=timezone.utc)
    placed = bench.submit(burger(quantity=2), cart=quote.cart, **BY)
    assert placed.charged == quote.consumer_pays
    assert bench.sent(ORDERS)["diningOption"] == {"guid": DELIVERY}
    assert bench.sent(ORDERS)["deliveryInfo"] == {
        "address1": "21 Blue Street", "address2": "Floor 9", "city": "Boston", "state": "MA", "zipCode": "02114",
        "notes": "knock twice at the side door",
    }  # fmt: skip
    assert "deliveryInfo" not in bench.toast.bodies[0][1]


@pytest.mark.rule("DELIVERY-1", "DELIVERY-2")
@pytest.mark.parametrize(
    ("address", "code", "path"),
    [
        (None, "delivery_address_incomplete", "delivery_address"),
        (DeliveryAddress("21 Blue Street"), "delivery_address_incomplete", "delivery_address.locality"),
        (replace(ADDRESS, region=None), "delivery_address_incomplete", "delivery_address.region"),
        (replace(ADDRESS, postal_code="99999"), "address_not_served", "delivery_address.postal_code"),
        (replace(ADDRESS, postal_code="SW1A 1AA"), "address_not_served", "delivery_address.postal_code"),
    ],
)
def test_an_address_is_refused_before_it_is_priced(bench: Bench, address: Any, code: str, path: str) -> None:
    failure = refusal_of(bench.validate, burger(quantity=2), fulfillment_type="delivery", delivery_address=address)
    assert (failure.code, failure.path) == (code, f"$.{path}")
    assert not bench.toast.calls[f"POST {PRICES}"]


@pytest.mark.rule("DELIVERY-2", "TIME-4", "TIME-10")
def test_minimum_and_hours_are_those_of_deliveries(bench: Bench) -> None:
    small = refusal_of(bench.validate, Item(SODA, 1), **BY)
    assert (small.code, small.path) == ("order_minimum_not_reached", "$.items") and "$12.50" in small.message
    # Takeout orders are accepted until 20, deliveries until 18.
    evening = datetime(2026, 11, 20, 23, 30, tzinfo=timezone.utc)
    assert bench.validate(burger(quantity=2), desired_ready_time=evening).ready.soonest == evening
    late = bench.validate(burger(quantity=2), desired_ready_time=evening, **BY).ready.soonest
    assert late is not None and late > evening


@pytest.mark.rule("DELIVERY-3", "META-5")
def test_an_address_that_costs_more_than_shown_is_refused(bench: Bench, toast: ToastServer) -> None:
    quote = bench.validate(burger(quantity=2), **BY)
    toast.delivery_fee += 100
    elsewhere = {**BY, "delivery_address": replace(ADDRESS, street_address="9 Red Street")}
    with pytest.raises(Refused, match="costs") as caught:
        bench.submit(burger(quantity=2), cart=quote.cart, **elsewhere)
    assert caught.value.code == "price_changed" and not toast.orders


@pytest.mark.rule("DELIVERY-3", "MONEY-9")
def test_a_fee_below_zero_is_not_believed(bench: Bench, toast: ToastServer) -> None:
    toast.delivery_fee = -100
    with pytest.raises(Unanswered):
        bench.validate(burger(quantity=2), **BY)


@pytest.mark.rule("DELIVERY-2", "SUB-8")
def test_a_price_for_another_address_is_not_believed(bench: Bench, toast: ToastServer) -> None:
    bench.validate(burger(quantity=2), **BY)
    toast.overrides[PRICES] = {**toast.answers[PRICES], "deliveryInfo": {"address1": "9 Red Street"}}
    with pytest.raises(Unanswered, match="another address"):
        bench.validate(burger(quantity=2), **BY)


@pytest.mark.rule("STAT-2")
@pytest.mark.parametrize(
    ("driver", "in_kitchen", "expected"),
    [
        ("PENDING", "READY_FOR_PICKUP", ("READY_FOR_PICKUP", "ready")),
        ("DELIVERED", "READY_FOR_PICKUP", ("DELIVERED", "delivered")),
        ("IN_PROGRESS", "CLOSED", ("CLOSED, delivery", "delivered")),
    ],
)
def test_a_delivery_is_delivered(bench: Bench, driver: str, in_kitchen: str, expected: tuple[str, str]) -> None:
    placed = bench.submit(burger(quantity=2), **BY)
    (order,) = bench.toast.orders.values()
    order |= {"approvalStatus": "APPROVED", "guestOrderStatus": in_kitchen}
    order["deliveryInfo"] = {**order["deliveryInfo"], "deliveryState": driver}
    location = bench.adapter.list_locations(bench.new_session())[0]
    status = bench.adapter.show_status(location, placed.provider_order_id, "ref-1", bench.new_session())
    assert (status.word, bench.adapter.order_status[status.word]) == expected
    assert location.provider_id == BOSTON


def test_a_dining_option_needs_an_area(toast: ToastServer) -> None:
    with pytest.raises(ValueError, match="delivery_areas"):
        Bench(toast, delivery_option=DELIVERY)
