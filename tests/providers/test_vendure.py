"""The Vendure adapter against a real Vendure server, through the service's own interface.

What is compared in the end is what the shop's staff sees: the orders as Vendure's admin API reports them.
"""

from __future__ import annotations

import http.client
import json
import random
import re
import socket
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from flask import Flask
from sqlalchemy import text

from levelup_ov.app import create_app
from levelup_ov.config import load_settings
from levelup_ov.domain.order import User
from levelup_ov.domain.secret import Secret
from levelup_ov.ordering.metadata import MetadataKeeper
from tests.channel import CARD, Answer, Channel, Clock, item
from tests.conftest import MakeApp
from tests.servers.vendure_server import GROUPS, MENU, TAX_PERCENT, VendureServer
from tests.transport.wire import Peer, Request, peer, read_request, reply

ACCOUNTS = """
[accounts.boston]
provider = "vendure"
name = "Boston Burgers"
settings = {{base_url = "{url}", channels = "congress, harbor", tender_key = "env:TENDER_KEY"}}

[accounts.club]
provider = "vendure"
name = "Burger Club"
settings = {{base_url = "{url}", channels = "congress", checkout = "account", tender_key = "env:TENDER_KEY"}}
"""
CONGRESS, HARBOR, CLUB = "boston.congress", "boston.harbor", "club.congress"
DECLINED, FAILING = "4000000000000002", "4000000000000119"
SUPPER, LATER = "2030-06-03T18:30", "2030-06-03T19:15"
SUPPER_UTC, LATER_UTC = "2030-06-03T22:30:00.000Z", "2030-06-03T23:15:00.000Z"


@dataclass
class Line:
    """The line to the shop: what went over it, and what it should lose."""

    port: int
    asked: list[str] = field(default_factory=list)
    lost_requests: set[str] = field(default_factory=set)
    lost_answers: set[str] = field(default_factory=set)
    lost: list[Request] = field(default_factory=list)

    def serve(self, server: Peer, connection: socket.socket) -> None:
        while (request := read_request(connection)) is not None:
            name = re.search(rb"(?:query|mutation) (\w+)", request.body)
            document = name[1].decode() if name else request.line
            self.asked.append(document)
            if document in self.lost_requests:
                self.lost.append(request)
                return
            answer = self._forward(request)
            if document in self.lost_answers:
                return
            connection.sendall(answer)

    def _forward(self, request: Request) -> bytes:
        shop = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            method, path, _ = request.line.split(" ")
            shop.request(method, path, request.body, request.headers)
            response = shop.getresponse()
            token = response.getheader("vendure-auth-token")
            headers = {"vendure_auth_token": token} if token else {}
            return reply(response.read(), response.status, **headers)
        finally:
            shop.close()


@pytest.fixture
def shop(vendure: VendureServer) -> VendureServer:
    return vendure


@pytest.fixture(scope="module")
def the_line(vendure: VendureServer) -> Line:
    return Line(vendure.port)


@pytest.fixture
def line(the_line: Line) -> Line:
    """The line, as if nothing had gone over it yet."""
    for each in (the_line.asked, the_line.lost_requests, the_line.lost_answers, the_line.lost):
        each.clear()
    return the_line


@pytest.fixture(scope="module")
def environ(
    the_line: Line, vendure: VendureServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, str]]:
    """The service's; the shop of its accounts is at the other end of the line."""
    data = tmp_path_factory.mktemp("vendure")
    with peer(the_line.serve) as server:
        (data / "accounts.toml").write_text(ACCOUNTS.format(url=server.url))
        yield {
            "LEVELUP_OV_ENV": "development",
            "LEVELUP_OV_DATA_DIR": str(data),
            "LEVELUP_OV_ACCOUNTS": str(data / "accounts.toml"),
            "TENDER_KEY": vendure.tender_key,
        }


@pytest.fixture(scope="module")
def app(environ: dict[str, str]) -> Flask:
    return create_app(load_settings(environ), clock=Clock())


@pytest.fixture
def channel(app: Flask, line: Line) -> Channel:
    return Channel(app)


@pytest.fixture
def user() -> dict[str, str]:
    """Somebody whom the shop has not seen before. Digits in the address would be masked in the shop's words."""
    unseen = uuid4().hex.translate(str.maketrans("0123456789", "ghijklmnop"))
    return {"name": "Robin van Example", "phone": "617-555-0142", "email": f"robin.{unseen}@example.com"}


@pytest.fixture
def burger(shop: VendureServer) -> dict[str, Any]:
    """A burger with salad and Swiss: 1350 cents."""
    return item(shop.items["Burger"], shop.options["Salad"], shop.options["Swiss"])


@pytest.fixture
def wanted(burger: dict[str, Any], user: dict[str, str]) -> dict[str, Any]:
    return {"items": [burger], "user": user}


@pytest.fixture
def placed(shop: VendureServer) -> Callable[[], list[dict[str, Any]]]:
    """The orders that were placed since the test started, newest first."""
    before = shop.count_orders()

    def since() -> list[dict[str, Any]]:
        count = shop.count_orders() - before
        return shop.orders(newest=count) if count else []

    return since


def charged(validated: Mapping[str, Any]) -> int:
    """What the consumer pays for a validated order (MONEY-7)."""
    discounts = validated["merchant_funded_discount"] + validated["provider_funded_discount"]
    return int(validated["total"] + validated["tax"] + (validated["tip"] or 0) - discounts)


@pytest.mark.rule("EP-1", "EP-2", "LOC-1", "LOC-2")
def test_the_channels_are_the_locations(channel: Channel) -> None:
    congress, harbor = (each["location"] for each in channel.get("/merchants/boston/locations").json["locations"])

    hours = dict.fromkeys(("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"))
    reported = {
        "provider_id": CONGRESS, "name": "Congress Street", "active": True, "terminated": False,
        "accepts_tips_on_pickup": True, "accepts_tips_on_delivery": True, "fulfills_pickups": True,
        "fulfills_deliveries": True, "street_address": "1 Congress St", "locality": "Boston", "region": "MA",
        "postal_code": "02114", "phone": "+16175550100", "time_zone": "America/New_York", "hours": hours,
    }  # fmt: skip
    assert {name: congress[name] for name in reported} == reported
    assert (harbor["provider_id"], harbor["time_zone"]) == (HARBOR, "America/Chicago")
    assert harbor["accepts_tips_on_pickup"] is harbor["fulfills_deliveries"] is False


@pytest.mark.rule("EP-3", "MENU-1", "MENU-2", "MENU-3", "MENU-5", "ITEM-3")
def test_the_menu_is_the_channels_own(channel: Channel, shop: VendureServer, line: Line) -> None:
    menus = {place: channel.get(f"/locations/{place}/menu").json["menu"] for place in (CONGRESS, HARBOR)}

    for place, menu in menus.items():
        token = place.partition(".")[2]
        found = {
            each["item"]["provider_id"]: (category["category"]["name"], each["item"]["name"], each["item"]["price"])
            for category in menu["categories"]
            for each in category["category"]["items"]
        }
        assert found == {
            shop.items[name]: (category or "Menu", name, price)
            for name, (category, price, _, channels) in MENU.items()
            if token in channels
        }
    groups = {
        group["name"]: (
            group["minimum_choices"],
            group["maximum_choices"],
            {each["option"]["name"]: each["option"]["price"] for each in group["options"]},
        )
        for group in (each["option_group"] for each in menus[CONGRESS]["option_groups"])
    }
    assert groups == GROUPS
    option_groups = [each["option_group"] for each in menus[CONGRESS]["option_groups"]]
    options = [each["option"] for group in option_groups for each in group["options"]]
    assert {each["name"]: each["provider_id"] for each in options} == shop.options
    assert menus[CONGRESS]["categories"][0]["category"]["items"][0]["item"]["description"] == (
        "Burger & napkin, as you like it"
    )
    # Kept for the whole account, for each channel separately.
    channel.get(f"/locations/{CONGRESS}/menu")
    assert line.asked.count("Menu") == 2


@pytest.mark.rule("ITEM-1", "ITEM-2", "ITEM-6", "MONEY-3", "MONEY-9")
def test_all_items_and_options_can_be_ordered_at_menu_prices(
    channel: Channel, shop: VendureServer, user: dict[str, str]
) -> None:
    prices = {name: price for _, _, options in GROUPS.values() for name, price in options.items()}
    for name, (_, price, groups, _) in MENU.items():
        if name == "Cookie":
            continue
        place = CONGRESS if "congress" in MENU[name][3] else HARBOR
        choices = [list(GROUPS[group][2]) for group in groups]
        for position in range(max(map(len, choices), default=1)):
            chosen = [options[position % len(options)] for options in choices]
            wanted = item(shop.items[name], *(shop.options[each] for each in chosen), quantity=2)
            validated = channel.validate(place, items=[wanted], user=user).order
            assert validated["total"] == 2 * (price + sum(prices[each] for each in chosen)), (name, chosen)


@pytest.mark.rule("EP-4", "META-2", "META-3", "META-6")
@pytest.mark.rule("MONEY-2", "MONEY-3", "MONEY-4", "MONEY-5", "MONEY-6", "MONEY-8")
def test_a_validation_is_one_call_and_places_nothing(
    channel: Channel, shop: VendureServer, user: dict[str, str], placed: Callable[[], list[Any]], line: Line
) -> None:
    sandwich = item(shop.items["Burger"], shop.options["Fries"])
    channel.get("/merchants/boston/locations")
    line.asked.clear()

    validated = channel.validate(CONGRESS, items=[sandwich], user=user, tip=200, merchant_funded_discount=100).order

    # The discount lowers the taxed amount; the tip is not taxed, and no part of the discount is taken off it.
    assert (validated["total"], validated["tax"], validated["tip"]) == (1000, 63, 200)
    assert (validated["merchant_funded_discount"], validated["provider_funded_discount"]) == (100, 0)
    assert set(validated["metadata"]) == {"order_validation_id", "order_cart"}
    assert line.asked == ["Open"]
    assert placed() == []


@pytest.mark.rule("MONEY-6", "MONEY-9")
def test_the_shops_own_promotion_is_the_providers_discount(
    channel: Channel, shop: VendureServer, burger: dict[str, Any], user: dict[str, str]
) -> None:
    soda = item(shop.items["Soda"], quantity=3)

    validated = channel.validate(CONGRESS, items=[soda, burger], user=user, merchant_funded_discount=333).order

    assert (validated["total"], validated["provider_funded_discount"]) == (2250, 90)
    assert validated["merchant_funded_discount"] == 333
    assert abs(validated["tax"] - (2250 - 90 - 333) * 0.07) <= 1


@pytest.mark.rule("MONEY-2", "MONEY-3", "MONEY-5", "MONEY-6", "MONEY-9")
@pytest.mark.parametrize("seed", range(12))
def test_any_price_adds_up(seed: int, channel: Channel, shop: VendureServer, user: dict[str, str]) -> None:
    dice = random.Random(seed)
    prices = {name: price for _, _, options in GROUPS.values() for name, price in options.items()}
    items, food, sodas = [], 0, 0
    for name in dice.choices(["Burger", "Tea", "Soda"], k=dice.randint(1, 6)):
        chosen = [dice.choice(list(GROUPS[group][2])) for group in MENU[name][2]]
        quantity = dice.randint(1, 9)
        items.append(item(shop.items[name], *(shop.options[each] for each in chosen), quantity=quantity))
        food += quantity * (MENU[name][1] + sum(prices[each] for each in chosen))
        sodas += quantity if name == "Soda" else 0
    discount, tip = dice.randint(0, food // 2), dice.randint(0, 2000)

    validated = channel.validate(CONGRESS, items=items, user=user, tip=tip, merchant_funded_discount=discount).order

    assert (validated["total"], validated["tip"]) == (food, tip)
    assert (validated["merchant_funded_discount"], validated["provider_funded_discount"]) == (discount, 30 * sodas)
    # Vendure rounds each line's tax separately.
    assert abs(validated["tax"] - (food - discount - 30 * sodas) * TAX_PERCENT / 100) <= 0.5 * len(items)


@pytest.mark.rule("TIME-6", "TIME-7", "TIME-8")
def test_any_desired_time_will_do_and_no_other_is_known(channel: Channel, wanted: dict[str, Any]) -> None:
    soon = channel.validate(CONGRESS, **wanted).order
    later = channel.validate(CONGRESS, **wanted, desired_ready_time=SUPPER).order

    assert [soon[name] for name in ("soonest_available_at", "ready_at", "available_at")] == [None, None, None]
    assert [later[name] for name in ("soonest_available_at", "ready_at", "available_at")] == [SUPPER, SUPPER, None]


@pytest.mark.rule("EP-5", "SUB-1", "META-2", "META-6", "PAY-1", "ITEM-8")
def test_a_guests_order_reaches_the_shop_member_by_member(
    channel: Channel,
    shop: VendureServer,
    burger: dict[str, Any],
    user: dict[str, str],
    placed: Callable[[], list[dict[str, Any]]],
    line: Line,
) -> None:
    burger["item"].update(quantity=2, special_instructions="no onions", recipient_name="Bo")
    wanted = {
        "items": [burger, item(shop.items["Soda"])], "user": user, "tip": 250, "merchant_funded_discount": 100,
        "desired_ready_time": SUPPER, "special_instructions": "ring the bell",
    }  # fmt: skip
    validated = channel.validate(CONGRESS, **wanted).order
    line.asked.clear()

    submitted = channel.submit(CONGRESS, **wanted, tender="LevelUp", metadata=validated["metadata"]).order

    assert line.asked == ["Place"]
    [order] = placed()
    assert submitted["order_id"] == order["code"]
    assert submitted["expected_ready_at"] == SUPPER
    assert order["state"] == "PaymentSettled" and order["orderPlacedAt"]
    assert {"token": "congress"} in order["channels"] and {"token": "harbor"} not in order["channels"]
    assert order["customer"] == {
        "firstName": "Robin van", "lastName": "Example", "emailAddress": user["email"],
        "phoneNumber": "617-555-0142", "user": None,
    }  # fmt: skip
    assert order["customFields"].pop("levelupReference")
    assert order["customFields"] == {
        "pickupAt": SUPPER_UTC,
        "instructions": "ring the bell",
        "merchantFundedDiscount": 100,
    }
    assert [
        (each["productVariant"]["name"], each["quantity"], each["linePrice"], each["customFields"])
        for each in order["lines"]
    ] == [
        ("Burger", 2, 2700, {
            "instructions": "no onions", "recipient": "Bo",
            "modifiers": [{"id": "2", "name": "Salad"}, {"id": "3", "name": "Swiss"}],
        }),
        ("Soda", 1, 300, {"instructions": None, "recipient": None, "modifiers": []}),
    ]  # fmt: skip
    assert order["surcharges"] == [{"sku": "tip", "price": 250, "priceWithTax": 250}]
    assert {each["description"]: each["amount"] for each in order["discounts"]} == {
        "Happy hour": -30,
        "LevelUp merchant-funded discount": -100,
    }
    assert sum(each["taxTotal"] for each in order["taxSummary"]) == validated["tax"]
    assert order["totalWithTax"] == charged(validated) == 3000 - 30 - 100 + 250 + validated["tax"]
    [payment] = order["payments"]
    assert (payment["method"], payment["amount"], payment["state"]) == ("levelup", charged(validated), "Settled")


@pytest.mark.rule("META-4")
def test_without_metadata_the_cart_is_made_again(
    channel: Channel, wanted: dict[str, Any], placed: Callable[[], list[dict[str, Any]]], line: Line
) -> None:
    validated = channel.validate(CONGRESS, **wanted, tip=100).order
    line.asked.clear()

    submitted = channel.submit(CONGRESS, **wanted, tip=100).order

    assert line.asked == ["Open", "Place"]
    [order] = placed()
    assert (order["code"], order["totalWithTax"]) == (submitted["order_id"], charged(validated))
    assert submitted["expected_ready_at"] is None


CHANGES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "more tip": ({"tip": 100}, {"tip": 475}),
    "no tip any more": ({"tip": 100}, {}),
    "a tip after all": ({}, {"tip": 1}),
    "another time": ({"desired_ready_time": SUPPER}, {"desired_ready_time": LATER}),
    "at once": ({"desired_ready_time": SUPPER}, {}),
    "words": ({"special_instructions": "ring"}, {"special_instructions": "knock"}),
    "all three": ({"tip": 5}, {"tip": 50, "desired_ready_time": LATER, "special_instructions": "knock"}),
}


@pytest.mark.rule("META-5", "MONEY-4", "PAY-4", "TIME-6")
@pytest.mark.parametrize(("before", "after"), CHANGES.values(), ids=CHANGES)
def test_the_submissions_values_are_the_orders(
    before: dict[str, Any],
    after: dict[str, Any],
    channel: Channel,
    wanted: dict[str, Any],
    placed: Callable[[], list[dict[str, Any]]],
    line: Line,
) -> None:
    validated = channel.validate(CONGRESS, **wanted, **before).order
    line.asked.clear()

    submitted = channel.submit(CONGRESS, **wanted, **after, metadata=validated["metadata"]).order

    assert line.asked == ["Place"]
    [order] = placed()
    tip = after.get("tip", 0)
    assert [each["price"] for each in order["surcharges"]] == ([tip] if tip else [])
    assert order["totalWithTax"] == charged(validated) - before.get("tip", 0) + tip == order["payments"][0]["amount"]
    assert order["customFields"]["instructions"] == after.get("special_instructions")
    later = "desired_ready_time" in after
    assert order["customFields"]["pickupAt"] == (LATER_UTC if later else None)
    assert submitted["expected_ready_at"] == (LATER if later else None)


@pytest.mark.rule("META-4", "META-5", "SUB-2")
def test_a_cart_for_something_else_is_not_used(
    channel: Channel, shop: VendureServer, wanted: dict[str, Any], placed: Callable[[], list[Any]], line: Line
) -> None:
    metadata = channel.validate(CONGRESS, **wanted).order["metadata"]
    line.asked.clear()

    channel.submit(CONGRESS, **{**wanted, "items": [item(shop.items["Soda"])]}, metadata=metadata)

    assert line.asked == ["Open", "Place"]
    assert [each["productVariant"]["name"] for each in placed()[0]["lines"]] == ["Soda"]


@pytest.mark.rule("META-4", "SUB-2")
def test_a_lost_cart_is_made_again_at_the_validated_price(
    channel: Channel, shop: VendureServer, wanted: dict[str, Any], placed: Callable[[], list[Any]], line: Line
) -> None:
    validated = channel.validate(CONGRESS, **wanted).order
    metadata = {"order_cart": validated["metadata"]["order_cart"]}
    first = channel.submit(CONGRESS, **wanted, metadata=metadata).order
    line.asked.clear()

    second = channel.submit(CONGRESS, **wanted, metadata=metadata).order

    assert line.asked == ["Place", "Find", "Open", "Place"]
    assert [each["code"] for each in placed()] == [second["order_id"], first["order_id"]]
    shop.set_price("Burger", 1050)
    try:
        refusal = channel.submit(CONGRESS, **wanted, metadata=metadata)
    finally:
        shop.set_price("Burger", 1000)
    assert refusal.refusal[:2] == (422, "price_changed")
    assert refusal.error["message"] == "the order costs 1498, not 1445"
    assert len(placed()) == 2


@pytest.mark.rule("META-4", "META-5")
def test_a_cart_whose_session_has_expired_is_made_again(
    channel: Channel, environ: dict[str, str], wanted: dict[str, Any], placed: Callable[[], list[Any]], line: Line
) -> None:
    validated = channel.validate(CONGRESS, **wanted, tip=100).order
    line.asked.clear()

    metadata = Keeper(environ, wanted["user"]).with_another_session(validated["metadata"])
    submitted = channel.submit(CONGRESS, **wanted, tip=300, metadata=metadata).order

    assert line.asked == ["Place", "Find", "Open", "Place"]
    [order] = placed()
    assert (order["code"], order["totalWithTax"]) == (submitted["order_id"], charged(validated) + 200)


@pytest.mark.rule("ITEM-7", "SUB-2", "ERR-2")
def test_what_is_sold_out_after_the_validation_is_not_placed(
    channel: Channel, shop: VendureServer, wanted: dict[str, Any], placed: Callable[[], list[Any]]
) -> None:
    metadata = channel.validate(CONGRESS, **wanted).order["metadata"]

    with shop.sold_out("Burger"):
        refusal = channel.submit(CONGRESS, **wanted, metadata=metadata)

    assert refusal.refusal[:2] == (422, "item_unavailable")
    assert refusal.error["message"] == (
        'Cannot transition Order to the "ArrangingPayment" state due to insufficient stock of Burger'
    )
    assert refusal.error["type"] == "provider"
    assert placed() == []
    channel.submit(CONGRESS, **wanted, metadata=metadata)
    assert len(placed()) == 1


@dataclass(frozen=True)
class Wrong:
    """An order that cannot be: an item and options by name or id, and what is said to it."""

    name: str
    options: Sequence[str | dict[str, Any]]
    code: str
    words: str
    place: str = CONGRESS
    quantity: int = 1


NOT_LIKE_THIS = "the shop has no such item, or not with these options"
TOO_MANY = "Cannot add items. An order may consist of a maximum of 999 items"
ONCE = "option 1 can be chosen only once for an item"
WRONG = {
    "unknown item": Wrong("99", (), "unknown_item", 'No ProductVariant with the id "99" could be found'),
    "an id without a number": Wrong("pizza", (), "unknown_item", 'No ProductVariant with the id "-1" could be found'),
    "an id that is read as another": Wrong("3.0", (), "unknown_item", NOT_LIKE_THIS),
    "another channel's item": Wrong("Oysters", (), "unknown_item", "item 5 is not sold here"),
    "an item of the first channel": Wrong("Tea", (), "unknown_item", "item 2 is not sold here", HARBOR),
    "unknown option": Wrong("Burger", ("Fries", "2:99"), "unknown_option", "this item has no option 99"),
    "another item's option": Wrong("Burger", ("Fries", "Oat"), "unknown_option", "this item has no option 5"),
    "another item's option here": Wrong("Soda", ("Fries",), "unknown_option", "this item has no option 1", HARBOR),
    "the wrong group": Wrong("Burger", ("2:1",), "unknown_option", NOT_LIKE_THIS),
    "too few choices": Wrong("Burger", (), "invalid_choices", "Side: choose at least 1"),
    "too many choices": Wrong("Burger", ("Fries", "Salad"), "invalid_choices", "Side: choose at most 1"),
    "sold out": Wrong("Cookie", (), "item_unavailable", "No items were added to the order due to insufficient stock"),
    "too many": Wrong("Soda", (), "invalid_choices", TOO_MANY, quantity=1000),
    "an option twice": Wrong("Burger", ({"provider_id": "1:1", "quantity": 2},), "invalid_choices", ONCE),
    "a nested option": Wrong("Burger", ("Fries", "1:1:9:9"), "unknown_option", "option 1 of 1 has no options"),
    "an orphan": Wrong(
        "Burger", ("1:2:9:9",), "orphan_option", "option 1:2:9:9 was chosen without its parent option 1:2"
    ),
}


@pytest.mark.rule("ITEM-1", "ITEM-3", "ITEM-5", "ITEM-6", "ITEM-7", "ERR-2", "SUB-2")
@pytest.mark.parametrize("wrong", WRONG.values(), ids=WRONG)
def test_what_cannot_be_ordered_is_refused_in_the_shops_words(
    wrong: Wrong, channel: Channel, shop: VendureServer, user: dict[str, str], placed: Callable[[], list[Any]]
) -> None:
    options = [shop.options.get(each, each) if isinstance(each, str) else each for each in wrong.options]
    refused = item(shop.items.get(wrong.name, wrong.name), *options, quantity=wrong.quantity)
    items = [item(shop.items["Soda"]), refused]

    for call in (channel.validate, channel.submit):
        refusal = call(wrong.place, items=items, user=user)
        assert (refusal.status, refusal.error["code"], refusal.error["message"]) == (422, wrong.code, wrong.words)
        thrown = wrong.words.startswith("No ProductVariant")
        assert refusal.error["path"] is None if thrown else ".items[1].item" in refusal.error["path"]
    assert placed() == []


@pytest.mark.rule("MONEY-5", "MONEY-9")
def test_a_discount_that_is_not_used_whole_is_refused(channel: Channel, wanted: dict[str, Any]) -> None:
    refusal = channel.validate(CONGRESS, **wanted, tip=500, merchant_funded_discount=1351)

    assert refusal.refusal == (422, "order_refused", "$.order_validation.merchant_funded_discount")
    assert refusal.error["message"] == "the shop takes 1350 of the merchant-funded discount of 1351"


@pytest.mark.rule("MONEY-4", "PAY-3")
def test_a_location_without_tips(
    channel: Channel, wanted: dict[str, Any], placed: Callable[[], list[dict[str, Any]]]
) -> None:
    validated = channel.validate(HARBOR, **wanted, tip=200).order
    channel.submit(HARBOR, **wanted, tip=200, metadata=validated["metadata"])

    assert validated["tip"] is None
    [order] = placed()
    assert order["surcharges"] == [] and order["totalWithTax"] == charged(validated)
    assert {"token": "harbor"} in order["channels"]


@pytest.mark.rule("PAY-1", "ERR-4")
def test_only_who_has_the_key_can_call_an_order_paid(
    make_app: MakeApp, wanted: dict[str, Any], shop: VendureServer, placed: Callable[[], list[Any]]
) -> None:
    stranger = Channel(make_app(TENDER_KEY="stranger"))

    refusal = stranger.submit(CONGRESS, **wanted)

    assert refusal.refusal[:2] == (502, "provider_credentials_refused")
    assert placed() == []
    assert_kept_nowhere(shop, shop.tender_key)


@pytest.mark.rule("PAY-2", "PAY-3", "ERR-4")
def test_a_card_is_charged_and_kept_nowhere(
    channel: Channel, wanted: dict[str, Any], shop: VendureServer, placed: Callable[[], list[dict[str, Any]]]
) -> None:
    validated = channel.validate(CONGRESS, **wanted, tip=100).order

    channel.submit(CONGRESS, **wanted, tip=100, credit_card=CARD, metadata=validated["metadata"])

    [order] = placed()
    [payment] = order["payments"]
    assert (payment["method"], payment["amount"], payment["state"]) == ("card", charged(validated), "Settled")
    assert payment["metadata"] == {"expires": "06/2031", "zip": "02114", "holder": "Robin Example"}
    assert_kept_nowhere(shop, CARD["number"], CARD["cvv"])


@pytest.mark.rule("PAY-2", "SUB-4", "ERR-2", "ERR-4")
@pytest.mark.parametrize(
    ("number", "code", "words"),
    [
        (DECLINED, "card_declined", "the bank declines the card"),
        (FAILING, "order_refused", "the card processor does not answer"),
        ("4111111111111112", "card_declined", "this is no card number"),
    ],
)
def test_a_refused_card_leaves_the_order_open_for_another(
    number: str,
    code: str,
    words: str,
    channel: Channel,
    wanted: dict[str, Any],
    shop: VendureServer,
    placed: Callable[[], list[dict[str, Any]]],
    line: Line,
) -> None:
    metadata = channel.validate(CONGRESS, **wanted).order["metadata"]
    submission = {**wanted, "metadata": metadata, "order_number": f"card {number}"}

    refusal = channel.submit(CONGRESS, **submission, credit_card={**CARD, "number": number})

    assert (refusal.status, refusal.error["code"], refusal.error["message"]) == (422, code, words)
    assert placed() == []
    line.asked.clear()
    submitted = channel.submit(CONGRESS, **submission, credit_card=CARD, tip=300).order
    assert line.asked == ["Place"]
    [order] = placed()
    assert (order["code"], order["surcharges"][0]["price"]) == (submitted["order_id"], 300)
    assert [each["state"] for each in order["payments"] if each["state"] == "Settled"] == ["Settled"]
    assert_kept_nowhere(shop, number, CARD["number"], CARD["cvv"])


def assert_kept_nowhere(shop: VendureServer, *secrets: str) -> None:
    history = shop.admin("{ orders { items { history { items { type data } } } } }")
    everything = json.dumps([shop.orders(), history]) + shop.log()
    for secret in secrets:
        assert secret not in everything


class Keeper:
    """Opens what the service sealed for a user, with the key that it made for itself."""

    def __init__(self, environ: Mapping[str, str], user: Mapping[str, str]) -> None:
        self._guest = User("Robin van", "Example", user["phone"], user["email"])
        keys = (Path(environ["LEVELUP_OV_DATA_DIR"]) / "secret-keys").read_text().split(",")
        self._keeper = MetadataKeeper([Secret(key.strip()) for key in keys])

    def with_another_session(self, metadata: Mapping[str, Any]) -> dict[str, str]:
        """The cart of a validation, as if the shop had forgotten its session."""
        cart = json.loads(self._keeper.open_cart("boston", CONGRESS, metadata, self._guest)["cart"].reveal())
        cart[1] = cart[1][::-1]
        return self._keeper.seal_cart("boston", CONGRESS, {"cart": Secret(json.dumps(cart))}, self._guest)

    def credentials(self, metadata: Mapping[str, Any]) -> dict[str, str]:
        opened = self._keeper.open_customer_account("club", metadata, self._guest)
        return {name: value.reveal() for name, value in opened.items()}


def kept(answer: Answer) -> dict[str, Any]:
    """The members that the channel keeps with the user (META-1)."""
    return {name: value for name, value in answer.order["metadata"].items() if name.startswith("user_")}


@pytest.mark.rule("META-1", "META-2", "META-3", "META-6", "META-7")
def test_an_account_is_made_once_and_used_again(
    channel: Channel,
    environ: dict[str, str],
    wanted: dict[str, Any],
    shop: VendureServer,
    placed: Callable[[], list[dict[str, Any]]],
    line: Line,
) -> None:
    email = wanted["user"]["email"]
    channel.get("/merchants/club/locations")
    line.asked.clear()

    first = channel.validate(CLUB, **wanted, tip=100)

    credentials = kept(first)
    assert set(credentials) == {"user_club_email", "user_club_password"}
    opened = Keeper(environ, wanted["user"]).credentials(credentials)
    assert opened["email"] == email
    assert not any(secret in json.dumps(first.json) for secret in opened.values())
    channel.submit(CLUB, **wanted, tip=100, metadata=first.order["metadata"])
    moved = {**wanted, "user": {**wanted["user"], "phone": "617-555-0199"}}
    again = channel.validate(CLUB, **moved, metadata=credentials)
    assert Keeper(environ, wanted["user"]).credentials(kept(again)) == opened
    channel.submit(CLUB, **moved, metadata=again.order["metadata"])
    assert line.asked == ["Open", "Place", "Open", "Place"]
    second, one = placed()
    for order, validated in ((one, first.order), (second, again.order)):
        assert order["customer"]["user"] == {"identifier": email}
        assert order["totalWithTax"] == charged(validated)
        assert [each["quantity"] for each in order["lines"]] == [1]
    assert second["customer"]["phoneNumber"] == "617-555-0199"
    assert [each["emailAddress"] for each in shop.customers()].count(email) == 1
    assert opened["password"] not in json.dumps(shop.orders()) + shop.log()


@pytest.mark.rule("META-4", "META-6")
def test_an_account_made_at_the_submission_is_given_back_with_it(
    channel: Channel, environ: dict[str, str], wanted: dict[str, Any], placed: Callable[[], list[dict[str, Any]]]
) -> None:
    submitted = channel.submit(CLUB, **wanted)

    [order] = placed()
    email = wanted["user"]["email"]
    credentials = Keeper(environ, wanted["user"]).credentials(kept(submitted))
    assert credentials["email"] == order["customer"]["user"]["identifier"] == email


@pytest.mark.rule("META-6")
def test_an_account_of_somebody_else_is_not_taken_over(
    channel: Channel,
    environ: dict[str, str],
    wanted: dict[str, Any],
    shop: VendureServer,
    placed: Callable[[], list[dict[str, Any]]],
) -> None:
    email = wanted["user"]["email"]
    shop.create_account(email)

    validated = channel.validate(CLUB, **wanted)
    channel.submit(CLUB, **wanted, metadata=validated.order["metadata"])

    [order] = placed()
    derived = order["customer"]["emailAddress"]
    assert re.fullmatch(re.escape(email).replace("@", r"\+[0-9a-f]{12}@"), derived)
    assert Keeper(environ, wanted["user"]).credentials(kept(validated))["email"] == derived


@pytest.mark.rule("META-6")
def test_a_changed_password_leads_to_a_new_account(
    channel: Channel,
    environ: dict[str, str],
    wanted: dict[str, Any],
    shop: VendureServer,
    placed: Callable[[], list[dict[str, Any]]],
) -> None:
    old = kept(channel.validate(CLUB, **wanted))
    opened = Keeper(environ, wanted["user"]).credentials(old)
    shop.change_password(opened["email"], opened["password"], "a-password-of-their-own")

    validated = channel.validate(CLUB, **wanted, metadata=old)
    channel.submit(CLUB, **wanted, metadata=validated.order["metadata"])

    new = Keeper(environ, wanted["user"]).credentials(kept(validated))
    assert new["email"] != opened["email"]
    [order] = placed()
    assert order["customer"]["user"]["identifier"] == new["email"]


@pytest.mark.rule("META-3", "META-4")
def test_a_members_later_validation_keeps_an_earlier_one_valid(
    channel: Channel, wanted: dict[str, Any], shop: VendureServer, placed: Callable[[], list[dict[str, Any]]]
) -> None:
    first = channel.validate(CLUB, **wanted, special_instructions="the burger")
    soda = {**wanted, "items": [item(shop.items["Soda"])]}
    second = channel.validate(CLUB, **soda, metadata=kept(first))

    channel.submit(CLUB, **wanted, special_instructions="the burger", metadata=first.order["metadata"])
    channel.submit(CLUB, **soda, metadata=second.order["metadata"])

    drink, meal = placed()
    assert [each["productVariant"]["name"] for each in meal["lines"]] == ["Burger"]
    assert [each["productVariant"]["name"] for each in drink["lines"]] == ["Soda"]
    assert (meal["customFields"]["instructions"], drink["customFields"]["instructions"]) == ("the burger", None)
    assert (meal["totalWithTax"], drink["totalWithTax"]) == (charged(first.order), charged(second.order))


@pytest.mark.rule("META-6")
def test_a_guest_with_a_known_address_gets_a_derived_one(
    channel: Channel, wanted: dict[str, Any], shop: VendureServer, placed: Callable[[], list[dict[str, Any]]]
) -> None:
    shop.create_account(wanted["user"]["email"])

    channel.submit(CONGRESS, **wanted)

    customer = placed()[0]["customer"]
    assert customer["user"] is None
    assert customer["emailAddress"] != wanted["user"]["email"]


@pytest.mark.rule("EP-11", "ERR-2")
@pytest.mark.parametrize("place", [CONGRESS, CLUB])
def test_an_order_needs_an_email_address(place: str, channel: Channel, wanted: dict[str, Any]) -> None:
    del wanted["user"]["email"]

    refusal = channel.validate(place, **wanted)

    assert refusal.refusal == (422, "customer_refused", "$.order_validation.user.email")


@pytest.mark.rule("SUB-2", "SUB-4", "SUB-5")
def test_an_order_with_a_lost_answer_is_not_placed_again(
    channel: Channel, wanted: dict[str, Any], placed: Callable[[], list[dict[str, Any]]], line: Line
) -> None:
    metadata = channel.validate(CONGRESS, **wanted, desired_ready_time=SUPPER).order["metadata"]
    submission = {**wanted, "desired_ready_time": SUPPER, "metadata": metadata, "order_number": "lost answer"}
    line.lost_answers.add("Place")
    line.asked.clear()

    unknown = channel.submit(CONGRESS, **submission)

    assert unknown.refusal[:2] == (504, "outcome_unknown")
    found = channel.submit(CONGRESS, **submission)
    assert line.asked == ["Place", "Fence", "Find"]
    [order] = placed()
    assert found.headers["Idempotency-Replayed"] == "true"
    assert (found.order["order_id"], found.order["expected_ready_at"]) == (order["code"], SUPPER)


@pytest.mark.rule("SUB-2", "SUB-4", "SUB-5")
def test_an_order_that_never_arrived_is_placed_once(
    make_app: MakeApp, wanted: dict[str, Any], placed: Callable[[], list[dict[str, Any]]], line: Line
) -> None:
    deadline = {"LEVELUP_OV_SUBMISSION_DEADLINE": "5", "LEVELUP_OV_RECONCILE_GRACE": "0.1"}
    channel = Channel(make_app(**deadline))
    metadata = channel.validate(CONGRESS, **wanted).order["metadata"]
    submission = {**wanted, "metadata": metadata, "order_number": "lost request"}
    line.lost_requests.add("Place")

    assert channel.submit(CONGRESS, **submission).refusal[:2] == (504, "outcome_unknown")

    line.lost_requests.clear()
    # At once: after the fence, what might still arrive is refused (SUB-10).
    line.asked.clear()
    submitted = channel.submit(CONGRESS, **submission).order
    assert line.asked == ["Fence", "Find", "Place"]
    [late] = line.lost
    line._forward(late)
    assert [each["code"] for each in placed()] == [submitted["order_id"]]


@pytest.mark.rule("SUB-2", "SUB-5", "SUB-10")
def test_an_order_that_arrives_after_it_was_ruled_out_is_refused(
    channel: Channel, wanted: dict[str, Any], placed: Callable[[], list[dict[str, Any]]], line: Line
) -> None:
    """It arrives between the fence and the same submission, sent again."""
    metadata = channel.validate(CONGRESS, **wanted).order["metadata"]
    submission = {**wanted, "metadata": metadata, "order_number": "late request"}
    line.lost_requests.add("Place")
    assert channel.submit(CONGRESS, **submission).refusal[:2] == (504, "outcome_unknown")
    assert channel.submit(CONGRESS, **submission).refusal[:2] == (504, "outcome_unknown")

    first, _ = line.lost
    line._forward(first)

    assert placed() == []
    line.lost_requests.clear()
    submitted = channel.submit(CONGRESS, **submission).order
    assert [each["code"] for each in placed()] == [submitted["order_id"]]


@pytest.mark.rule("SUB-2")
def test_a_request_that_arrives_twice_is_one_order(
    channel: Channel,
    wanted: dict[str, Any],
    placed: Callable[[], list[dict[str, Any]]],
    line: Line,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    metadata = channel.validate(CONGRESS, **wanted).order["metadata"]
    forward = line._forward
    monkeypatch.setattr(line, "_forward", lambda request: [forward(request), forward(request)][-1])
    line.asked.clear()

    submitted = channel.submit(CONGRESS, **wanted, metadata=metadata).order

    assert line.asked == ["Place", "Find"]
    assert [each["code"] for each in placed()] == [submitted["order_id"]]


@pytest.mark.rule("SUB-2", "SUB-8", "SUB-10")
def test_what_comes_again_after_its_refusal_is_refused(
    channel: Channel,
    wanted: dict[str, Any],
    placed: Callable[[], list[dict[str, Any]]],
    line: Line,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The network delivers it twice: the first delivery is declined."""
    metadata = channel.validate(CONGRESS, **wanted).order["metadata"]
    submission = {**wanted, "metadata": metadata, "order_number": "a copy"}
    refusal = {"kind": "PaymentDeclinedError", "message": "declined", "item": None}
    declined = reply(json.dumps({"data": {"placed": {"reference": None, "order": None, "refusal": refusal}}}).encode())
    forward, copies = line._forward, list[Request]()

    def decline_first(request: Request) -> bytes:
        if b"mutation Place" not in request.body or copies:
            return forward(request)
        copies.append(request)
        return declined

    monkeypatch.setattr(line, "_forward", decline_first)
    line.asked.clear()
    assert channel.submit(CONGRESS, **submission).refusal[:2] == (422, "card_declined")
    assert line.asked == ["Place", "Fence", "Find"]
    assert b"CartGone" in forward(copies[0]) and placed() == []
    submitted = channel.submit(CONGRESS, **submission).order
    assert [each["code"] for each in placed()] == [submitted["order_id"]]


@pytest.mark.rule("STAT-1", "STAT-2", "STAT-4", "SUB-6")
def test_an_order_that_the_shop_moves_is_seen_by_the_channel(
    channel: Channel,
    shop: VendureServer,
    line: Line,
    wanted: dict[str, Any],
    placed: Callable[[], list[dict[str, Any]]],
) -> None:
    code = channel.submit(CONGRESS, **wanted, desired_ready_time=SUPPER).order["order_id"]
    (order,) = placed()
    line.asked.clear()
    seen = []
    for state in ("", "Shipped", "Delivered", "Cancelled"):
        if state:
            shop.move(order["id"], state)
        reported = channel.get(f"/locations/{CONGRESS}/orders/{code}").order
        assert reported["expected_ready_at"] == SUPPER and re.fullmatch(
            r"[-0-9]{10}T[0-9]{2}:[0-9]{2}", reported["changed_at"]
        )
        seen.append((reported["status"], reported["provider_status"]))
    assert seen == [
        ("placed", "PaymentSettled"), ("ready", "Shipped"), ("picked_up", "Delivered"), ("cancelled", "Cancelled"),
    ]  # fmt: skip
    assert line.asked == ["Status"] * 4


@pytest.mark.rule("STAT-6")
def test_an_order_is_canceled_until_it_is_shipped(
    channel: Channel,
    shop: VendureServer,
    line: Line,
    wanted: dict[str, Any],
    placed: Callable[[], list[dict[str, Any]]],
) -> None:
    code = channel.submit(CONGRESS, **wanted).order["order_id"]
    line.asked.clear()
    for _ in range(2):
        canceled = channel.send("POST", f"/locations/{CONGRESS}/orders/{code}/cancellation").order
        assert (canceled["status"], canceled["provider_status"]) == ("cancelled", "Cancelled")
    assert line.asked == ["Status", "Cancel", "Status", "Status"]
    code = channel.submit(CONGRESS, **wanted, order_number="next").order["order_id"]
    order = next(each for each in placed() if each["code"] == code)
    shop.move(order["id"], "Shipped")
    refused = channel.send("POST", f"/locations/{CONGRESS}/orders/{code}/cancellation")
    assert refused.refusal == (422, "cancellation_refused", None)


@pytest.mark.rule("STAT-6")
def test_the_plugin_refuses_what_the_shop_has_started(
    shop: VendureServer,
    channel: Channel,
    app: Flask,
    wanted: dict[str, Any],
    placed: Callable[[], list[dict[str, Any]]],
) -> None:
    code = channel.submit(CONGRESS, **wanted).order["order_id"]
    order = next(each for each in placed() if each["code"] == code)
    shop.move(order["id"], "Shipped")
    service = app.extensions["levelup_ov"]
    (kept,) = [each for each in service.tracking.open_orders("boston", limit=1000) if each.order_id == code]
    query = "mutation($r: String!, $k: String!) { it: levelUpCancel(reference: $r, key: $k) { refusal { kind } } }"
    for key, reference, kind in (
        (shop.tender_key, kept.reference, "CancellationRefused"),
        (shop.tender_key, "nothing", "CancellationRefused"),
        ("wrong", kept.reference, "KeyRefused"),
    ):
        answer, _ = shop.ask_storefront(query, r=reference, k=key)
        assert answer["data"]["it"]["refusal"]["kind"] == kind


@pytest.mark.rule("STAT-3")
def test_an_order_that_the_shop_does_not_have_has_no_status(
    app: Flask, channel: Channel, shop: VendureServer, wanted: dict[str, Any]
) -> None:
    code = channel.submit(CONGRESS, **wanted).order["order_id"]
    tracking = app.extensions["levelup_ov"].tracking
    database = app.extensions["levelup_ov"].submissions.ledger.database
    (order,) = [each for each in tracking.open_orders("boston", limit=1000) if each.order_id == code]
    with database.connection() as connection:
        connection.execute(text("UPDATE submissions SET reference = 'other' WHERE id = :id"), {"id": order.submission})
    answer = channel.get(f"/locations/{CONGRESS}/orders/{code}")
    assert answer.refusal == (502, "provider_protocol_error", None)
    assert answer.error["message"] == "the provider's answer needs an object at $.data.held.order"
