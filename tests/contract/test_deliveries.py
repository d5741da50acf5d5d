"""Deliveries through the service, with the sandbox: address, zone, fee and minimum, and no trace of the address."""

from __future__ import annotations

import json
import logging
import re
from pathlib import Path
from typing import Any

import pytest

from levelup_ov.domain.outcome import Fee, Quote
from levelup_ov.domain.status import OrderStatus
from levelup_ov.errors import Refused
from levelup_ov.observability import JsonFormatter
from tests.channel import Channel, item
from tests.contract.conftest import Kitchen, MakeFake
from tests.contract.fakes import CancelingAdapter

NEAR = {
    "street_address": "21 Canary Street", "extended_address": "Floor 9 canary", "locality": "Boston", "region": "MA",
    "postal_code": "02114", "delivery_instructions": "canary at the side door",
}  # fmt: skip
FAR = {**NEAR, "postal_code": "02116"}
BY = {"fulfillment_type": "delivery"}
DEAR = [item("burger", "side:slaw"), item("burger", "side:slaw")]


def deliver(address: dict[str, Any] | None = NEAR, **members: Any) -> dict[str, Any]:
    return {**BY, "delivery_address": address, **members}


@pytest.mark.rule("DELIVERY-3", "MONEY-9", "MONEY-3")
def test_the_fee_is_a_fee_and_is_paid(channel: Channel, kitchen: Kitchen) -> None:
    reported = channel.validate(**deliver(tip=200)).order
    assert (reported["total"], reported["tax"], reported["tip"]) == (1300, 70, 200)
    assert reported["metadata"]["order_fees"] == [{"name": "Delivery", "amount": 300}]
    assert "order_address_decides" not in reported["metadata"]
    placed = channel.submit(**deliver(tip=200, metadata=reported["metadata"])).order
    order = kitchen.order("congress", placed["order_id"])
    assert order["charged"] == 1570
    assert order["delivery"]["address"] == {
        "street": "21 Canary Street", "extra": "Floor 9 canary", "city": "Boston", "state": "MA", "postcode": "02114",
        "directions": "canary at the side door",
    }  # fmt: skip


@pytest.mark.rule("DELIVERY-1", "DELIVERY-2")
def test_a_delivery_arrives_later_than_a_pickup_is_ready(channel: Channel) -> None:
    ready = [channel.validate(**members).order["ready_at"] for members in ({}, deliver(), deliver(FAR, items=DEAR))]
    assert ready == ["2030-06-03T12:10", "2030-06-03T12:25", "2030-06-03T12:40"]


@pytest.mark.rule("DELIVERY-1", "META-4")
def test_a_validation_says_what_only_an_address_decides(channel: Channel, kitchen: Kitchen) -> None:
    reported = channel.validate(**BY).order
    assert reported["metadata"]["order_address_decides"] == ["availability", "fee", "minimum", "time"]
    assert reported["total"] == 1300
    answer = channel.submit(**BY, metadata=reported["metadata"])
    path = "$.order_submission.delivery_address"
    assert answer.refusal == (422, "delivery_address_incomplete", path)
    assert kitchen.count("orders") == 0
    assert channel.submit(**deliver(metadata=reported["metadata"])).status == 200
    assert channel.submit(**deliver()).status == 200


@pytest.mark.rule("DELIVERY-3", "META-5")
def test_an_address_that_costs_more_than_shown_is_refused(channel: Channel, kitchen: Kitchen) -> None:
    reported = channel.validate(**BY, items=DEAR).order
    answer = channel.submit(**deliver(FAR, items=DEAR, metadata=reported["metadata"]))
    assert answer.refusal == (422, "price_changed", "$.order_submission.delivery_address")
    assert kitchen.count("orders") == 0
    again = channel.validate(**deliver(FAR, items=DEAR)).order
    assert again["metadata"]["order_fees"] == [{"name": "Delivery", "amount": 600}]
    assert channel.submit(**deliver(FAR, items=DEAR, metadata=again["metadata"])).status == 200


@pytest.mark.rule("DELIVERY-2")
@pytest.mark.parametrize(
    ("members", "code", "path"),
    [
        (deliver({**NEAR, "postal_code": "99999"}), "address_not_served", "delivery_address.postal_code"),
        (deliver({**NEAR, "postal_code": "SW1A 1AA"}), "address_not_served", "delivery_address.postal_code"),
        (deliver({**NEAR, "postal_code": None}), "delivery_address_incomplete", "delivery_address.postal_code"),
        (deliver({**NEAR, "street_address": " "}), "delivery_address_incomplete", "delivery_address.street_address"),
        (deliver(items=[item("cookie")]), "order_minimum_not_reached", "items"),
        ({**BY, "items": [item("cookie")]}, "order_minimum_not_reached", "items"),
        (deliver(FAR), "order_minimum_not_reached", "items"),
    ],
    ids=["outside", "abroad", "no postcode", "blank", "minimum", "minimum without an address", "minimum of the zone"],
)
def test_what_cannot_be_delivered_is_refused_with_its_path(
    refused: Channel, members: dict[str, Any], code: str, path: str
) -> None:
    answer = refused.validate(**members)
    assert answer.refusal == (422, code, f"$.order_validation.{path}")
    assert "minimum" not in code or "$8.00" in answer.error["message"] or "$20.00" in answer.error["message"]
    if members.get("delivery_address"):
        assert refused.submit(**members).refusal == (422, code, f"$.order_submission.{path}")


@pytest.mark.rule("DELIVERY-2", "EP-9")
@pytest.mark.parametrize("value", ["x" * 501, "a\x00b", 7, ["x"], {"a": "b"}])
def test_a_hostile_part_of_an_address_is_named(refused: Channel, value: Any) -> None:
    for part in ("street_address", "postal_code", "delivery_instructions"):
        answer = refused.validate(**deliver({**NEAR, part: value}))
        assert answer.refusal == (422, "invalid_member", f"$.order_validation.delivery_address.{part}")
    assert refused.validate(**deliver({"locality": "Boston"})).error["code"] == "invalid_member"


@pytest.mark.rule("DELIVERY-3", "MONEY-9")
def test_a_fee_below_zero_is_a_broken_protocol(channel: Channel, kitchen: Kitchen) -> None:
    answer = channel.validate(**deliver(special_instructions="sandbox:negative-fee"))
    assert answer.refusal == (502, "provider_protocol_error", None)


@pytest.mark.rule("DELIVERY-3")
@pytest.mark.parametrize(("token", "code"), [("no-driver", "order_refused"), ("fee-change", "price_changed")])
def test_magic_values_rehearse_a_delivery(channel: Channel, kitchen: Kitchen, token: str, code: str) -> None:
    members = deliver(special_instructions=f"sandbox:{token}")
    reported = channel.validate(**members).order
    answer = channel.submit(**{**members, "metadata": reported["metadata"]})
    assert (answer.status, answer.error["code"], kitchen.count("orders")) == (422, code, 0)


@pytest.mark.rule("DELIVERY-4", "ERR-4")
def test_an_address_leaves_no_trace(
    channel: Channel, environ: dict[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG):
        reported = channel.validate(**deliver()).order
        channel.submit(**deliver(metadata=reported["metadata"]))
        channel.submit(**deliver({**NEAR, "postal_code": "99999"}))
        channel.submit(**deliver(special_instructions="sandbox:no-driver"))
    lines = [JsonFormatter().format(record) for record in caplog.records]
    assert lines and "canary" not in "".join(lines).casefold()
    kept = [path for path in Path(environ["LEVELUP_OV_DATA_DIR"]).rglob("*") if "ledger" in path.name]
    assert kept and all(b"canary" not in path.read_bytes().lower() for path in kept if path.is_file())


@pytest.mark.rule("DELIVERY-4")
def test_a_provider_that_repeats_an_address_is_masked(fake: MakeFake) -> None:
    provider, channel = fake()
    provider.quote = Refused("order_refused", "Nobody brings anything to 21 Canary Street, Floor 9 canary.")
    answer = channel.validate("fake.one", **deliver())
    assert answer.error["message"] == "Nobody brings anything to ***."


HOME = {
    "street_address": "21 Ca\u00f1ary Street", "extended_address": "Penthouse B", "locality": "Boston", "region": "MA",
    "postal_code": "02114", "delivery_instructions": "Ring twice at the side door, gate 4711",
}  # fmt: skip
QUOTED = [
    "21 CAN\u0303ARY STREET, PENTHOUSE B, BOSTON, MA 02114", "21  canary\tstreet\r\nPENTHOUSE  b", "Canary St., 21",
    "2 1 Ca\u00f1ary", "CanaryStreet 21", "Cana. Str. 21", "penthouse", "02114", "02114-1234", "zip 2114", "0 2 1 1 4",
    "RING TWICE", "gate: 4711", "21%20Ca%C3%B1ary%20Street", "21%2520Ca%25C3%25B1ary", "21+Canary+Street",
    "Ca\\u00f1ary\\/Penthouse", "&#50;1 Ca&ntilde;ary", "C\u00ada\u200bnary", "\uff12\uff11 \uff23anary",
    "ROBIN.EXAMPLE", "Example, Robin", "(617) 555 0142", "+1 617.555.0142", "6 1 7 5 5 5 0 1 4 2",
    "robin%40example.com", "21CanaryAveMA", "%2525252521%2525252520Ca%25252525C3%25252525B1ary",
    "&lt;ROBIN@EXAMPLE.COM&gt;",
    "Ca\\xf1ary", "b'Ca\\xc3\\xb1ary'", "Ca\\303\\261ary", "Ca=C3=B1ary", "Ca=F1ary", "Ca\\u{f1}ary",
    "Ca\\U000000f1ary", "Ca\\\\xf1ary", "\\x43a\\u{00F1}ary",
    "Ca\u00c3\u00b1ary", "Ca\u00c3\u0192\u00c2\u00b1ary",
    "21%20Ca%F1ary", "Ca?ary", "Ca\ufffdary St", "Ca_ary", "CA??ARY",
]  # fmt: skip
TELLING = (
    "ca.{1,6}ary|can\u0303ary|canary|cana|penthouse|2114|0 2 1 1|4711|twice|robin|0142|0 1 4 2|%c3|ntilde|\u200b|\uff12"
)


@pytest.mark.rule("DELIVERY-4", "ERR-4")
@pytest.mark.parametrize("quoted", QUOTED)
def test_no_spelling_of_an_address_or_a_guest_passes(fake: MakeFake, quoted: str) -> None:
    provider, channel = fake()
    words = f"The address {quoted} is outside our delivery zone. Deliveries need $21.00 by 21:30, 3 items at most."
    provider.quote = provider.placed = Refused("address_not_served", words, path="$.delivery_address")
    for answer in (channel.validate("fake.one", **deliver(HOME)), channel.submit("fake.one", **deliver(HOME))):
        assert answer.error["code"] == "address_not_served"
        said = answer.error["message"]
        assert said.endswith("is outside our delivery zone. Deliveries need $21.00 by 21:30, 3 items at most.")
        assert "***" in said and not re.search(TELLING, said.casefold()), said


@pytest.mark.rule("DELIVERY-4", "ERR-4")
@pytest.mark.parametrize(
    "words",
    [
        "The restaurant does not deliver to this street; its delivery zone ends at the city.",
        "Deliveries need an order of at least $21.14; this one has $4.71. Try again at 2:11.",
        "the provider's price does not add up: its parts add up to 21 cents, its total is 4711 cents",
        "Item 3 is sold out (100% sure \\o/ &c.), caf\u00e9 au lait too",
        "total=4812 at=BAD, C:\\x4\\u{110000}\\U0011ffff, 5\\8 of it\\099",
    ],
)
def test_a_refusal_without_an_address_stays_as_it_is(fake: MakeFake, words: str) -> None:
    provider, channel = fake()
    provider.quote = Refused("order_refused", words)
    assert channel.validate("fake.one", **deliver(HOME)).error["message"] == words


@pytest.mark.rule("DELIVERY-4", "ERR-4")
@pytest.mark.parametrize(
    ("street", "quoted"),
    [
        ("Park Place", "PARK-PLACE"),
        ("Park Street", "Park St"),
        ("5 A St", "5 a st, BOSTON"),
        ("Haupt Stra\u00dfe 7", "HAUPTSTR 7"),
        ("Gr\u00fcner Weg 8", "GRUENER WEG 8"),
        ("Gr\u00fcner Weg 8", "gruner weg 8"),
        ("\u0141\u00f3dzka 12", "LODZKA 12"),
        ("12-14 Rue de la Paix", "RUE DE LA PAIX 12"),
    ],
)
def test_a_street_of_common_words_is_masked(fake: MakeFake, street: str, quoted: str) -> None:
    provider, channel = fake()
    provider.quote = Refused("order_refused", f"This is {quoted}: outside our zone")
    answer = channel.validate("fake.one", **deliver({**HOME, "street_address": street}))
    assert answer.error["message"] == "This is ***: outside our zone"


@pytest.mark.rule("DELIVERY-4", "ERR-4")
@pytest.mark.parametrize(
    ("name", "quoted"),
    [("Al Ng", "Ng, Al"), ("Al Ng", "NG AL"), ("\u674e\u4f1f", "\u674e\u4f1f"), ("\u674e \u4f1f", "\u674e\u4f1f"),
     ("\u674e\u4f1f", "\u4e0e\u674e\u4f1f\u5148\u751f"), ("Zo\u00eb Gro\u00dfkopf", "Gro\u00c3\u0178kopf"),
     ("Zo\u00eb Gro\u00dfkopf", "Gro?kopf"), ("Zo\u00eb Gro\u00dfkopf", "Gro%DFkopf"), ("Ann \u00d6zil", "?zil")],
)  # fmt: skip
def test_a_short_or_damaged_name_is_masked(fake: MakeFake, name: str, quoted: str) -> None:
    provider, channel = fake()
    provider.quote = Refused("customer_refused", f"We know {quoted}: what? the_menu has items?")
    answer = channel.validate("fake.one", **deliver(HOME), user={"name": name, "phone": "617-555-0142"})
    assert answer.error["message"] == "We know ***: what? the_menu has items?"


@pytest.mark.rule("DELIVERY-4", "ERR-4")
def test_linking_words_of_an_instruction_are_not_masked(fake: MakeFake) -> None:
    provider, channel = fake()
    provider.quote = Refused("order_refused", "21 Canary Street is not in our zone")
    instructions = "The bell is not working: ring at the door"
    answer = channel.validate("fake.one", **deliver({**HOME, "delivery_instructions": instructions}))
    assert answer.error["message"] == "*** is not in our zone"


@pytest.mark.rule("DELIVERY-4")
def test_a_very_long_refusal_is_masked_as_a_whole(fake: MakeFake) -> None:
    provider, channel = fake()
    provider.quote = Refused("order_refused", "no " * 10_000)
    assert channel.validate("fake.one", **deliver(HOME)).error["message"] == "***"


@pytest.mark.rule("DELIVERY-4", "STAT-6")
def test_words_about_a_placed_delivery_are_not_passed_on(fake: MakeFake, caplog: pytest.LogCaptureFixture) -> None:
    provider, channel = fake(LEVELUP_OV_ADAPTERS="fake=tests.contract.fakes:CancelingAdapter")
    assert isinstance(provider, CancelingAdapter)
    placed = channel.submit("fake.one", **deliver(HOME)).order
    refusal = Refused("order_refused", "The driver is at 21 CA\u00d1ARY ST already")
    path = f"/locations/fake.one/orders/{placed['order_id']}"
    says = [refusal, "on its way to 21 Canary", "out for delivery", "on the grill", "on the grill"]
    provider.words = [OrderStatus(each, reference=None) if isinstance(each, str) else each for each in says]
    provider.cancellation = refusal
    with caplog.at_level(logging.DEBUG):
        refused = channel.get(path)
        statuses = [channel.get(path).order["provider_status"] for _ in range(2)]
        canceled = channel.send("POST", f"{path}/cancellation")
    assert refused.error["code"] == "provider_protocol_error" and canceled.error["code"] == "cancellation_refused"
    assert statuses == ["***", "out for delivery"]
    told = json.dumps([refused.json, canceled.json, *(JsonFormatter().format(each) for each in caplog.records)])
    assert "not passed on" in canceled.error["message"] and "driver" not in told and "anary" not in told.casefold()


@pytest.mark.rule("DELIVERY-1", "EP-12")
def test_an_address_reaches_the_provider_with_a_validation(fake: MakeFake) -> None:
    provider, channel = fake()
    provider.quote = Quote(1000, 70, 0, 1370, fees=(Fee("Delivery", 300),), address_decides=frozenset({"tax"}))
    reported = channel.validate("fake.one", **deliver()).order
    address = provider.orders[-1].delivery_address
    assert address is not None and {name: getattr(address, name) for name in NEAR} == NEAR
    assert reported["metadata"]["order_address_decides"] == ["tax"]
