"""What an order costs, as the channel gets it: MONEY-1 to MONEY-9."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from levelup_ov.domain.outcome import Fee, Quote
from tests.channel import Channel, item, order
from tests.contract.conftest import Kitchen, MakeFake

AMOUNTS = ("total", "tax", "tip", "merchant_funded_discount", "provider_funded_discount")


@pytest.mark.rule("MONEY-1")
@pytest.mark.parametrize(
    "amount", ["10.0", '"10"', "1e3", "true", "false", "-1", "100000000", "1e-2", "[]", "{}", '""']
)
@pytest.mark.parametrize(
    ("members", "path"),
    [
        ({"tip": "AMOUNT"}, "tip"),
        ({"merchant_funded_discount": "AMOUNT"}, "merchant_funded_discount"),
        ({"items": [item("sandwich", price="AMOUNT")]}, "items[0].item.price"),
        (
            {"items": [item("sandwich", {"provider_id": "x", "price": "AMOUNT"})]},
            "items[0].item.options[0].option.price",
        ),
    ],
)
def test_anything_but_an_integer_of_cents_is_refused(refused: Channel, members: Any, path: str, amount: str) -> None:
    for root in ("order_validation", "order_submission"):
        body = json.dumps({root: order(**members)}).replace('"AMOUNT"', amount)
        answer = refused.post("sandbox.congress", root, body.encode())
        assert answer.refusal == (422, "invalid_member", f"$.{root}.{path}")


@pytest.mark.rule("MONEY-1")
def test_amounts_go_out_as_integers_in_cents(fake: MakeFake) -> None:
    provider, channel = fake()
    provider.quote = Quote(99_999_999, 0, 0, None, provider_funded_discount=99_999_999)
    text = json.dumps(channel.validate("fake.one").json)
    assert '"total": 99999999, "tax": 0, "tip": 0, "merchant_funded_discount": 0' in text
    assert '"provider_funded_discount": 99999999' in text


@pytest.mark.rule("MONEY-1", "MONEY-9")
@pytest.mark.parametrize(
    "changes",
    [
        {"food": 100_000_000}, {"food": -1}, {"food": 10.0}, {"food": True}, {"tax": -1}, {"tip": -1}, {"tip": 0.5},
        {"provider_funded_discount": -1}, {"provider_funded_discount": 100_000_000},
        {"food": 99_999_999, "fees": (Fee("Bag", 1),)}, {"fees": (Fee("Rebate", -1),)},
        {"food": -5, "fees": (Fee("Bag", 5),)}, {"fees": (Fee("Bag", 0.5), Fee("Box", 0.5))},  # type: ignore[arg-type]
    ],
)  # fmt: skip
def test_an_invalid_amount_of_the_provider_is_not_passed_on(fake: MakeFake, changes: dict[str, Any]) -> None:
    provider, channel = fake()
    assert isinstance(provider.quote, Quote)
    provider.quote = replace(provider.quote, **changes)
    assert channel.validate("fake.one").refusal == (502, "provider_protocol_error", None)


@pytest.mark.rule("MONEY-2", "MONEY-3", "MONEY-6", "MONEY-8")
def test_the_worked_example_to_the_cent(channel: Channel) -> None:
    answer = channel.validate(tip=200, merchant_funded_discount=100).order
    assert {name: answer[name] for name in AMOUNTS} == {
        "total": 1000, "tax": 70, "tip": 200, "merchant_funded_discount": 100, "provider_funded_discount": 0,
    }  # fmt: skip


@pytest.mark.rule("MONEY-2", "MONEY-3", "MONEY-6")
def test_the_total_has_no_tax_tip_or_discount(channel: Channel) -> None:
    answer = channel.validate(
        "sandbox.tokyo", items=[item("bento", quantity=2)], tip=150, merchant_funded_discount=300
    ).order
    assert {name: answer[name] for name in AMOUNTS} == {
        "total": 2000, "tax": 160, "tip": 150, "merchant_funded_discount": 300, "provider_funded_discount": 200,
    }  # fmt: skip


@pytest.mark.rule("MONEY-4")
@pytest.mark.parametrize(("sent", "echoed"), [({"tip": 1}, 1), ({"tip": 0}, 0), ({"tip": None}, 0), ({}, 0)])
def test_a_tip_is_echoed_where_tips_are_taken(channel: Channel, sent: dict[str, Any], echoed: int) -> None:
    assert channel.validate(**sent).order["tip"] == echoed


@pytest.mark.rule("MONEY-4")
@pytest.mark.parametrize("sent", [{"tip": 250}, {"tip": 0}, {"tip": None}, {}])
def test_a_tip_is_null_where_none_are_taken_and_all_else_is_fine(
    channel: Channel, kitchen: Kitchen, sent: dict[str, Any]
) -> None:
    answer = channel.validate("sandbox.notips", **sent).order
    assert (answer["tip"], answer["total"]) == (None, 1000)
    ticket = channel.submit("sandbox.notips", **sent).order["order_id"]
    assert kitchen.order("notips", ticket)["charged"] == 1070


@pytest.mark.rule("MONEY-4")
def test_a_tip_that_failed_is_null_and_the_order_still_validates(fake: MakeFake) -> None:
    provider, channel = fake()
    provider.quote = Quote(1000, 70, None, 1070)
    answer = channel.validate("fake.one", tip=200).order
    assert (answer["tip"], answer["total"]) == (None, 1000)
    assert provider.orders[0].tip == 200


@pytest.mark.rule("MONEY-4")
def test_tips_are_taken_on_pickup_or_on_delivery_alone(fake: MakeFake) -> None:
    provider, channel = fake()
    assert isinstance(provider.locations, list)
    provider.locations[0] = replace(provider.locations[0], accepts_tips_on_pickup=False)
    assert isinstance(provider.quote, Quote)
    provider.quote = replace(provider.quote, tip=0)
    assert channel.validate("fake.one", tip=200).order["tip"] is None
    provider.quote = replace(provider.quote, tip=200)
    assert channel.validate("fake.one", tip=200, fulfillment_type="delivery").order["tip"] == 200
    assert [order.tip for order in provider.orders] == [0, 200]


@pytest.mark.rule("MONEY-5")
@pytest.mark.parametrize(
    ("sent", "applied"), [({"merchant_funded_discount": 100}, 100), ({"merchant_funded_discount": None}, 0), ({}, 0)]
)
def test_the_merchants_discount_is_handed_on_and_echoed(fake: MakeFake, sent: dict[str, Any], applied: int) -> None:
    provider, channel = fake()
    provider.quote = Quote(1000, 63, 0, None, merchant_funded_discount=applied)
    answer = channel.validate("fake.one", **sent).order
    assert (answer["merchant_funded_discount"], answer["total"], answer["tax"]) == (applied, 1000, 63)
    assert channel.submit("fake.one", **sent).status == 200
    assert [order.merchant_funded_discount for order in provider.orders] == [applied, applied]


@pytest.mark.rule("MONEY-7", "MONEY-3")
@pytest.mark.parametrize("location", ["congress", "tokyo", "notips"])
def test_the_consumer_pays_the_sum_which_is_not_returned(channel: Channel, kitchen: Kitchen, location: str) -> None:
    members = {
        "items": [item("burger", "side:fries", "side:fries:dips:aioli")],
        "tip": 123,
        "merchant_funded_discount": 45,
    }
    answer = channel.validate(f"sandbox.{location}", **members).order
    pays = answer["total"] + answer["tax"] + (answer["tip"] or 0)
    pays -= answer["merchant_funded_discount"] + answer["provider_funded_discount"]
    ticket = channel.submit(f"sandbox.{location}", **members, metadata=answer["metadata"]).order["order_id"]
    assert kitchen.order(location, ticket)["charged"] == pays
    assert pays not in [value for name, value in answer.items() if name != "metadata"]


@pytest.mark.rule("MONEY-5", "MONEY-9")
@pytest.mark.parametrize("taken", [0, 99, 101])
def test_a_price_with_a_different_discount_is_refused(fake: MakeFake, taken: int) -> None:
    provider, channel = fake()
    provider.quote = Quote(1000, 70, 0, 1070 - taken, merchant_funded_discount=taken)
    answer = channel.validate("fake.one", merchant_funded_discount=100)
    assert answer.refusal == (502, "provider_protocol_error", None)


@pytest.mark.rule("MONEY-9")
@pytest.mark.parametrize("charged", [1169, 1171, 0, 1270])
def test_a_price_that_does_not_add_up_is_not_passed_on(fake: MakeFake, charged: int) -> None:
    provider, channel = fake()
    quote = Quote(food=1000, tax=70, tip=200, charged=charged, merchant_funded_discount=100)
    provider.quote = quote
    answer = channel.validate("fake.one", tip=200, merchant_funded_discount=100)
    assert answer.refusal == (502, "provider_protocol_error", None)
    provider.quote = replace(quote, charged=1170)
    assert channel.validate("fake.one", tip=200, merchant_funded_discount=100).order["total"] == 1000


@pytest.mark.rule("MONEY-9")
def test_fees_are_added_to_the_total_and_itemized(fake: MakeFake) -> None:
    provider, channel = fake()
    provider.quote = Quote(1000, 70, 0, 1105, fees=(Fee("Bag", 10), Fee("Service", 25)))
    answer = channel.validate("fake.one").order
    assert (answer["total"], answer["tax"]) == (1035, 70)
    assert answer["metadata"]["order_fees"] == [{"name": "Bag", "amount": 10}, {"name": "Service", "amount": 25}]
    provider.quote = Quote(1000, 70, 0, 1070)
    assert "order_fees" not in channel.validate("fake.one").order["metadata"]


@pytest.mark.rule("MONEY-9")
def test_fees_can_be_refused_instead(fake: MakeFake) -> None:
    provider, channel = fake(LEVELUP_OV_FEES="refuse")
    provider.quote = Quote(1000, 70, 0, 1080, fees=(Fee("Bag", 10),))
    answer = channel.validate("fake.one")
    assert answer.refusal == (422, "fees_not_representable", None)
    assert "Bag" in answer.error["message"]
    provider.quote = Quote(1000, 70, 0, 1070)
    assert channel.validate("fake.one").order["total"] == 1000
