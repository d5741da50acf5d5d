"""A Square account behind the service's own interface: the stand-in on the loopback, the channel in front."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from flask import Flask

from tests.channel import USER, Channel, Clock, item
from tests.conftest import MakeApp
from tests.servers.square import TOKEN, Fault, Refusal, Square, serving

ACCOUNTS = """
[accounts.ada]
provider = "square"
name = "Ada's"
accepts_tips = true
settings = {{access_token = "env:SQUARE_TOKEN", base_url = "{url}", prep_minutes = "20"}}
"""
BOSTON = "ada.LBOSTON"
ORDER = {"items": [item("VBURGER", "MSIDE:OFRIES")], "tip": 200, "merchant_funded_discount": 100}
ORDERS, PAYMENTS = "/v2/orders", "/v2/payments"
DEADLINE, GRACE = 3.0, 0.2
"""Seconds that a submission may take, and for which its request may be under way after that."""
OV = ["POST /v2/orders/calculate"]
OS = ["POST /v2/orders", "POST /v2/payments"]
DECLINED = {"errors": [{"category": "PAYMENT_METHOD_ERROR", "code": "GENERIC_DECLINE", "detail": "declined"}]}


@pytest.fixture
def square() -> Iterator[Square]:
    square = Square()
    yield square
    assert square.violations == []


@pytest.fixture
def service(square: Square, make_app: MakeApp, tmp_path: Path) -> Iterator[Flask]:
    with serving(square) as url:
        accounts = tmp_path / "accounts.toml"
        accounts.write_text(ACCOUNTS.format(url=url))
        yield make_app(
            LEVELUP_OV_ACCOUNTS=str(accounts),
            SQUARE_TOKEN=TOKEN,
            LEVELUP_OV_SUBMISSION_DEADLINE=str(DEADLINE),
            LEVELUP_OV_RECONCILE_GRACE=str(GRACE),
        )


@pytest.fixture
def channel(service: Flask, square: Square) -> Channel:
    """A channel that has read the locations."""
    channel = Channel(service)
    assert channel.get("/merchants/ada/locations").status == 200
    square.calls.clear()
    return channel


def reconcile(service: Flask) -> str:
    result = service.test_cli_runner().invoke(args=["submissions", "reconcile"])
    return result.output


@pytest.mark.rule("EP-2", "EP-3", "MENU-3")
def test_locations_and_menu(channel: Channel) -> None:
    locations = channel.get("/merchants/ada/locations").json["locations"]
    menu = channel.get(f"/locations/{BOSTON}/menu").json["menu"]

    assert locations[0]["location"]["provider_id"] == BOSTON
    assert locations[0]["location"]["accepts_tips_on_pickup"] is True
    assert menu["special_instructions_character_limit"] == 500
    assert {each["option_group"]["provider_id"] for each in menu["option_groups"]} == {
        "MSIDE", "MEXTRA", "MMILK", "ICOFFEE%3AMEXTRA",
    }  # fmt: skip


@pytest.mark.rule("EP-4", "EP-5", "META-2", "MONEY-3", "TIME-1", "SUB-1")
def test_a_validation_is_one_call_and_a_submission_two(channel: Channel, square: Square) -> None:
    validated = channel.validate(BOSTON, **ORDER).order
    assert square.calls == OV
    assert (validated["total"], validated["tax"], validated["tip"]) == (1000, 63, 200)
    assert (validated["merchant_funded_discount"], validated["provider_funded_discount"]) == (100, 0)
    assert (validated["soonest_available_at"], validated["available_at"]) == ("2030-06-03T12:20", None)
    square.calls.clear()

    submitted = channel.submit(BOSTON, **ORDER, metadata=validated["metadata"]).order

    assert square.calls == OS
    assert submitted["order_id"] == "order-1"
    assert [order["tenders"][0]["amount_money"]["amount"] for order in square.kitchen] == [1163]


@pytest.mark.rule("PAY-3", "EP-12")
def test_what_square_cannot_take_is_refused_before_any_call(channel: Channel, square: Square) -> None:
    card = {
        "number": "4111111111111111", "cvv": "123", "zip": "02114",
        "expiration_month": "06", "expiration_year": "2031",
    }  # fmt: skip
    paid = channel.submit(BOSTON, **ORDER, credit_card=card)
    delivered = channel.validate(BOSTON, **ORDER, fulfillment_type="delivery")

    assert paid.refusal == (422, "tender_not_accepted", "$.order_submission.credit_card")
    assert delivered.refusal == (422, "fulfillment_not_supported", "$.order_validation.fulfillment_type")
    assert square.calls == []


@pytest.mark.rule("ERR-1", "ERR-2")
def test_squares_words_reach_the_channel_with_the_place(channel: Channel) -> None:
    answer = channel.validate(BOSTON, items=[item("VBURGER", "MSIDE:OFRIES"), item("VGONE")])

    assert answer.refusal == (422, "unknown_item", "$.order_validation.items[1].item")
    assert answer.error["message"] == "Item variation with catalog object ID VGONE not found."
    assert answer.error["type"] == "provider"


@pytest.mark.rule("SUB-4", "SUB-11")
@pytest.mark.parametrize(
    "changed",
    [{"special_instructions": "no onions"}, {"user": {**USER, "name": "Alex Example"}}],
    ids=["other words", "another name"],
)
def test_a_refused_order_can_be_sent_again_as_another(
    channel: Channel, square: Square, changed: dict[str, Any]
) -> None:
    """Square has an order under the key of the first try, and would refuse another under it for good."""
    metadata = channel.validate(BOSTON, **ORDER).order["metadata"]
    square.tax = 900
    refused = channel.submit(BOSTON, **ORDER, metadata=metadata, order_number="n-1")
    assert (refused.error["code"], square.kitchen) == ("price_changed", [])
    again = {**ORDER, **changed}
    metadata = channel.validate(BOSTON, **again).order["metadata"]

    placed = channel.submit(BOSTON, **again, metadata=metadata, order_number="n-1")

    assert (placed.status, len(square.kitchen)) == (200, 1)


@pytest.mark.rule("META-5", "SUB-4")
def test_a_changed_price_is_refused_and_can_be_sent_again(channel: Channel, square: Square) -> None:
    metadata = channel.validate(BOSTON, **ORDER).order["metadata"]
    square.tax = 900

    refused = channel.submit(BOSTON, **ORDER, metadata=metadata, order_number="n-1")
    assert (refused.error["code"], square.kitchen) == ("price_changed", [])
    assert channel.submit(BOSTON, **ORDER, order_number="n-1").status == 200
    assert len(square.kitchen) == 1


@pytest.mark.rule("SUB-2", "SUB-4", "SUB-5")
@pytest.mark.parametrize("lost", ["before", "after"])
@pytest.mark.parametrize("path", [ORDERS, PAYMENTS])
def test_a_lost_answer_never_makes_a_second_order(channel: Channel, square: Square, path: str, lost: str) -> None:
    square.faults.append(Fault(path, lost))

    first = channel.submit(BOSTON, **ORDER, order_number="n-1")
    again = channel.submit(BOSTON, **ORDER, order_number="n-1")

    assert first.order == again.order
    assert again.headers["Idempotency-Replayed"] == "true"
    assert len(square.kitchen) == len(square.payments) == 1


@pytest.mark.rule("SUB-4", "SUB-5")
def test_a_creation_never_answered_places_nothing(channel: Channel, square: Square) -> None:
    square.faults.extend([Fault(ORDERS, "after")] * 3)

    failed = channel.submit(BOSTON, **ORDER, order_number="n-1")
    assert (failed.status, failed.error["code"], square.kitchen) == (503, "provider_unavailable", [])
    assert channel.submit(BOSTON, **ORDER, order_number="n-1").status == 200
    # The same reference creates the same order.
    assert (len(square.orders), len(square.kitchen)) == (1, 1)


@pytest.mark.rule("SUB-4", "SUB-11")
@pytest.mark.parametrize("change", ["for somebody", "lines turned", "name written otherwise"])
def test_what_no_content_has_may_change_before_the_payment(channel: Channel, square: Square, change: str) -> None:
    """Square would refuse another order under the key of the first creation for good."""
    items = [item("VBURGER", "MSIDE:OFRIES"), item("VCOOKIE")]
    first: dict[str, Any] = {"items": items, "user": USER, "order_number": "n-1"}
    for_ada = [items[0], item("VCOOKIE", recipient_name="Ada")]
    again = (
        first
        | {
            "for somebody": {"items": for_ada},
            "lines turned": {"items": items[::-1]},
            "name written otherwise": {"user": {**USER, "name": USER["name"].upper()}},
        }[change]
    )
    square.faults.extend([Fault(ORDERS, "after")] * 3)
    assert channel.submit(BOSTON, **first).status == 503

    placed = channel.submit(BOSTON, **again)

    assert placed.status == 200, placed.json
    assert (len(square.orders), len(square.kitchen), len(square.payments)) == (2, 1, 1)
    assert square.kitchen[0]["id"] == "order-2"


@pytest.mark.rule("SUB-4", "MONEY-10")
def test_a_price_that_changes_back_is_the_price(channel: Channel, square: Square) -> None:
    """The order that was created at the price in between is not the one that is paid."""
    metadata = channel.validate(BOSTON, **ORDER).order["metadata"]
    square.tax = 900
    assert channel.submit(BOSTON, **ORDER, metadata=metadata, order_number="n-1").error["code"] == "price_changed"
    square.tax = 800
    metadata = channel.validate(BOSTON, **ORDER).order["metadata"]

    placed = channel.submit(BOSTON, **ORDER, metadata=metadata, order_number="n-1")

    assert (placed.status, len(square.kitchen)) == (200, 1)


@pytest.mark.rule("SUB-2", "SUB-5")
@pytest.mark.parametrize("by", ["the channel", "the operator"])
def test_a_payment_that_came_through_unheard_is_found(
    service: Flask, channel: Channel, square: Square, by: str
) -> None:
    square.faults.extend([Fault(PAYMENTS, "after")] * 3)
    assert channel.submit(BOSTON, **ORDER, order_number="n-1").error["code"] == "outcome_unknown"
    square.calls.clear()

    if by == "the operator":
        assert "placed, order order-1" in reconcile(service)
    found = channel.submit(BOSTON, **ORDER, order_number="n-1")

    assert found.order["order_id"] == "order-1"
    assert found.headers["Idempotency-Replayed"] == "true"
    # The fence sees that it is paid, and leaves it; then it is looked up.
    assert square.calls == ["GET /v2/orders/order-1"] * 2
    assert len(square.kitchen) == 1


@pytest.mark.rule("SUB-2", "SUB-5", "SUB-10", "SUB-11")
@pytest.mark.parametrize("by", ["the channel", "the operator"])
def test_a_payment_that_never_came_through_is_fenced(service: Flask, channel: Channel, square: Square, by: str) -> None:
    """Nobody waits for what may come late: Square refuses it. The next submission is another order."""
    square.faults.extend([Fault(PAYMENTS, "before")] * 3)
    assert channel.submit(BOSTON, **ORDER, order_number="n-1").error["code"] == "outcome_unknown"

    if by == "the operator":
        assert "not placed" in reconcile(service)
    again = channel.submit(BOSTON, **ORDER, order_number="n-1")

    assert again.order["order_id"] == "order-2"
    assert [order["state"] for order in square.orders.values()] == ["CANCELED", "OPEN"]
    assert len(square.kitchen) == len(square.payments) == 1
    with pytest.raises(Refusal, match="CANCELED"):
        square.pay_late("order-1", square.orders["order-1"]["reference_id"])


@pytest.mark.rule("SUB-2", "SUB-8", "SUB-10")
def test_a_payment_that_comes_again_after_its_refusal_is_refused(channel: Channel, square: Square) -> None:
    """The network delivers it twice: the first delivery is declined."""
    square.faults.append(Fault(PAYMENTS, status=400, body=DECLINED))
    assert channel.submit(BOSTON, **ORDER, order_number="n-1").refusal[:2] == (422, "order_refused")
    shown = "GET /v2/orders/order-1"
    assert square.calls == [*OS, shown, shown, "PUT /v2/orders/order-1", shown]

    with pytest.raises(Refusal, match="CANCELED"):
        square.pay_late("order-1", square.orders["order-1"]["reference_id"])
    assert channel.submit(BOSTON, **ORDER, order_number="n-1").order["order_id"] == "order-2"
    assert len(square.kitchen) == len(square.payments) == 1


@pytest.mark.rule("SUB-2", "SUB-5", "SUB-10")
@pytest.mark.parametrize("by", ["the channel", "the operator"])
def test_a_lost_order_that_others_have_changed_is_fenced(
    service: Flask, channel: Channel, square: Square, by: str
) -> None:
    """An app of the seller changes each order when it is created, which says nothing about its payment."""
    square.touch_created()
    square.faults.extend([Fault(PAYMENTS, "before")] * 3)
    assert channel.submit(BOSTON, **ORDER, order_number="n-1").error["code"] == "outcome_unknown"

    if by == "the operator":
        assert "not placed" in reconcile(service)
    again = channel.submit(BOSTON, **ORDER, order_number="n-1")

    assert again.order["order_id"] == "order-2"
    assert len(square.kitchen) == len(square.payments) == 1
    with pytest.raises(Refusal, match="CANCELED"):
        square.pay_late("order-1", square.orders["order-1"]["reference_id"])


@pytest.mark.rule("SUB-2", "SUB-8", "SUB-10")
def test_a_refused_order_that_others_have_changed_is_refused(channel: Channel, square: Square) -> None:
    square.touch_created()
    square.faults.append(Fault(PAYMENTS, status=400, body=DECLINED))

    assert channel.submit(BOSTON, **ORDER, order_number="n-1").refusal[:2] == (422, "order_refused")

    assert square.kitchen == [] and square.orders["order-1"]["state"] == "CANCELED"
    assert channel.submit(BOSTON, **ORDER, order_number="n-1").order["order_id"] == "order-2"


@pytest.mark.rule("SUB-5", "SUB-8")
def test_a_paid_order_that_others_have_changed_is_found(channel: Channel, square: Square) -> None:
    square.touch_created()
    square.faults.extend([Fault(PAYMENTS, "after")] * 3)
    assert channel.submit(BOSTON, **ORDER, order_number="n-1").error["code"] == "outcome_unknown"
    square.touch("order-1", ticket_name="42")

    assert channel.submit(BOSTON, **ORDER, order_number="n-1").order["order_id"] == "42"
    assert len(square.kitchen) == 1


@pytest.mark.rule("STAT-1", "STAT-6")
def test_an_order_with_a_shipment_is_canceled(channel: Channel, square: Square) -> None:
    order_id = channel.submit(BOSTON, **ORDER, order_number="n-1").order["order_id"]
    shipment = {"uid": "more", "type": "SHIPMENT", "state": "PROPOSED"}
    square.touch(order_id, fulfillments=[*square.orders[order_id]["fulfillments"], shipment])

    assert channel.get(f"/locations/{BOSTON}/orders/{order_id}").order["status"] == "placed"
    canceled = channel.send("POST", f"/locations/{BOSTON}/orders/{order_id}/cancellation")
    assert canceled.order["status"] == "cancelled"
    assert [each["state"] for each in square.orders[order_id]["fulfillments"]] == ["CANCELED", "CANCELED"]


@pytest.mark.rule("TIME-6", "TIME-8")
def test_a_desired_time_is_the_time(channel: Channel, square: Square, clock: Clock) -> None:
    wanted = "2030-06-03T18:45"
    validated = channel.validate(BOSTON, **ORDER, desired_ready_time=wanted).order
    submitted = channel.submit(BOSTON, **ORDER, desired_ready_time=wanted).order

    assert (validated["soonest_available_at"], submitted["expected_ready_at"]) == (wanted, wanted)
    assert clock.now + timedelta(hours=6, minutes=45) == clock.now.replace(hour=22, minute=45)


@pytest.mark.rule("MENU-9")
def test_a_changed_catalog_is_read_once_for_all_locations(service: Flask, square: Square) -> None:
    def watch() -> tuple[str, int, int]:
        """What was found, and how often catalog and changes were read."""
        square.calls.clear()
        found = service.test_cli_runner().invoke(args=["menu", "watch", "--every", "0"]).output
        return found, square.calls.count("GET /v2/catalog/list"), square.calls.count("POST /v2/catalog/search")

    found, pages, _ = watch()
    locations = int(found.rpartition(" checked")[0].rpartition("\n")[2])
    assert locations > 1 and pages > 1 and watch()[1] == 0
    for version, name in (("2026-11-23T17:00:00Z", "Burger of the day"), ("2026-11-24T17:00:00Z", "Burger")):
        burger = next(each for each in square.catalog if each["id"] == "IBURGER")
        burger["item_data"]["name"] = name
        square.latest_time = version
        found, read, searched = watch()
        assert (found.count("menu.changed"), read) == (locations, pages) and searched == 2 * locations
        assert watch()[0].count("menu.changed") == 0
