"""Ordering ahead: a phone, the platform, the service and an ordering provider, all in this process.

Sources of the forms: OA the order-ahead pages, IOS the iOS library and its fixtures, PS the staff's PowerShell module.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from levelup_ov.errors import KINDS
from levelup_ov.standins.levelup.ahead import lines, menus, words
from levelup_ov.standins.levelup.ahead.carts import CartAmounts, instant_of, local_time
from levelup_ov.standins.levelup.ahead.gateway import GatewayReply
from levelup_ov.standins.levelup.ahead.places import hours_in_words
from levelup_ov.standins.levelup.ahead.words import in_plain_words
from levelup_ov.standins.levelup.ahead.work import IN_FLIGHT_SECONDS, LOOK_AGAIN_SECONDS
from levelup_ov.standins.levelup.world import MAINTENANCE, SHOP_APP, Grant, owner_login
from tests.channel import Clock
from tests.standin.ahead import (
    Fault,
    Phones,
    answers,
    items_of,
    line,
    lost,
    options_of,
    unanswered,
    unreached,
)
from tests.standin.visitors import ADA, BEACON, BEN, CLEO, DORA, LevelUp

ORDERS = "/v15/order_ahead/orders"


@pytest.fixture
def phones(tmp_path: Path) -> Iterator[Phones]:
    phones = Phones(tmp_path, Clock())
    yield phones
    phones.store.close()


# Places and menus.


def test_the_gateways_places_are_levelups(phones: Phones) -> None:
    place = phones.place()
    assert place["merchant_name"] == "Sandbox Diner" and place["id"] > 1000
    assert place["fulfillment_types"] == ["pickup"]
    assert place["pickup_menu_url"].endswith(f"/v15/order_ahead/menus/{place['id']}")
    assert (place["delivery_menu_url"], place["hours"]) == (None, "Mon - Sun 00:00 - 24:00")
    shown = phones.call("GET", f"/v15/locations/{place['id']}")["location"]
    assert shown["accepts_tips_on_pickup"] and shown["open_hours"]["monday"]
    listed = phones.call("GET", f"/v15/merchants/{place['merchant_id']}/locations")
    assert place["id"] in [entry["location"]["id"] for entry in listed]


def test_the_front_page_leads_to_the_phone(phones: Phones, levelup: LevelUp) -> None:
    merchant = phones.place()["merchant_id"]
    page = phones.client.get("/").get_data(as_text=True)
    assert 'href="/order"' in page and all(words in page for words in owner_login(merchant))
    assert 'href="/order"' not in levelup.client.get("/").get_data(as_text=True)


def test_in_store_lists_have_no_places_of_the_gateway(phones: Phones) -> None:
    assert [entry["location"]["id"] for entry in phones.call("GET", "/v15/apps/1/locations")] == [11, 12, 21]


def test_numbers_stay(phones: Phones) -> None:
    before = phones.menu()
    phones.store.close()
    again = Phones(Path(phones.gateway._data_dir).parent, phones.clock)
    assert again.menu() == before
    again.store.close()


def test_a_menu_is_asked_for_with_its_tag(phones: Phones) -> None:
    phones.menu()
    seen: list[int] = []

    def watched(call: Any) -> GatewayReply:
        reply = call()
        seen.append(reply.status)
        return reply

    phones.gateway.faults["/menu"] = [watched]
    assert phones.menu()
    assert seen == [304]


def test_a_menu_has_integer_ids_and_whole_items(phones: Phones) -> None:
    """OA; IOS fixture ``order_ahead_menu.json``."""
    menu = phones.menu()
    item = phones.item("Club sandwich")
    assert {"id", "name", "description", "display_order", "price_amount", "price_with_defaults_amount", "image_url",
            "nutrition", "sku", "upc", "option_groups"} <= set(item)  # fmt: skip
    for category in menu["categories"]:
        assert {"id", "name", "description", "display_order", "category_group_id", "items"} <= set(category["category"])
    groups = [entry["option_group"] for entry in item["option_groups"]]
    for group in groups:
        assert {"id", "name", "display_order", "minimum_choices", "maximum_choices", "free_choices",
                "default_option_ids", "options"} <= set(group)  # fmt: skip
        for option in group["options"]:
            assert set(option["option"]) == {"id", "name", "display_order", "price_amount"}
    numbers = [option for item in items_of(menu) for option in options_of(item).values()]
    assert len(numbers) == len(set(numbers)) and all(type(number) is int for number in numbers)
    assert [group["display_order"] for group in groups] == list(range(1, len(groups) + 1))


def test_a_nested_group_is_one_more_of_the_item(phones: Phones) -> None:
    groups = {
        entry["option_group"]["name"]: entry["option_group"] for entry in phones.item("Club sandwich")["option_groups"]
    }
    assert {"Fries: Dips", "Fries: Aioli: How hot?"} <= set(groups)
    assert all(groups[name]["minimum_choices"] == 0 for name in ("Fries: Dips", "Fries: Aioli: How hot?"))
    assert groups["Bread"]["parent_option_id"] is None


def test_the_dearest_are_free() -> None:
    """OA; the worked prices of the IOS fixture: 398 and 699."""
    prices = ((1, 199), (2, 499), (3, 399))
    options = [{"option": {"id": number, "price_amount": price}} for number, price in prices]
    toppings = {"free_choices": 2, "options": options}
    assert menus.options_price([toppings], [1]) == 0
    assert menus.options_price([toppings], [1, 2, 3]) == 199
    assert menus.options_price([toppings], [2, 2, 3]) == 399
    assert menus.options_price([{**toppings, "free_choices": 0}], [1]) == 199


def test_defaults_are_in_the_price(phones: Phones) -> None:
    item = phones.item("Club sandwich")
    bread = next(each["option_group"] for each in item["option_groups"] if each["option_group"]["name"] == "Bread")
    assert bread["default_option_ids"] == [options_of(item)["Bread/Rye"]]
    assert item["price_with_defaults_amount"] == 1000


def test_a_menu_that_is_not_there(phones: Phones) -> None:
    for number in (11, 999_999):
        assert phones.refused("GET", f"/v15/order_ahead/menus/{number}", status=404) == ["menu/id/not_found"]


def test_a_kept_menu_is_shown_while_the_gateway_is_down(phones: Phones) -> None:
    kept = phones.menu()
    place = phones.place("Day Kitchen")
    phones.gateway.faults["/menu"] = [unreached, unreached]
    assert phones.menu() == kept
    refused = phones.refused("GET", f"/v15/order_ahead/menus/{place['id']}", status=503)
    assert refused == ["menu//provider_unavailable"]


def test_without_a_gateway_nothing_can_be_ordered(levelup: LevelUp) -> None:
    order = {"location_id": 11, "items": [{"item": {"id": 1}}]}
    assert levelup.refused("POST", ORDERS, {"order": order}, auth=levelup.user_auth(), status=404) == [
        "order/location_id/not_found"
    ]


# The whole way.


def test_an_order_from_the_phone_to_the_kitchen(phones: Phones) -> None:
    sandwich = phones.item("Club sandwich")
    options = options_of(sandwich)
    chosen = [options["Toppings/Cheese"], options["Toppings/Cheese"], options["Bread/Sourdough"]]
    uuid = phones.start(phones.cart(line(sandwich, *chosen), tip_amount=150))
    shown = phones.shown(uuid)
    assert shown["state"] == "valid" and shown["uuid"] == uuid
    assert shown["order_completion_url"].endswith(f"{ORDERS}/{uuid}/complete")
    assert shown["spend_amount"] == shown["subtotal"] + shown["tax_amount"]
    assert shown["total_amount"] == shown["spend_amount"] + shown["tip_amount"]
    assert (shown["tip_amount"], shown["discount_amount"]) == (150, 0)
    assert shown["soonest_available_at"].endswith("Z")
    (item,) = shown["items"]
    assert item["item"]["selected_options_description"] == "Cheese (Quantity: 2), Sourdough"
    assert item["item"]["price_amount"] == sandwich["price_amount"]
    cheese = {"id": chosen[0], "name": "Cheese", "price_amount": 150, "quantity": 2, "free_quantity": 2}
    assert item["item"]["selected_options"][0] == {"option": cheese}
    begun = phones.complete(uuid)
    assert begun == {"order_url": begun["order_url"], "state": "submitting", "uuid": uuid}
    assert phones.completed(uuid, status=202)["order_number"] is None
    phones.work()
    done = phones.completed(uuid)
    assert done["order_number"] and done["ready_at"].endswith("Z")
    assert done["merchant_name"] == "Sandbox Diner" and done["location_id"] == phones.place()["id"]
    (charged,) = phones.charges()
    assert charged.payment.spend + charged.payment.tip == done["total_amount"]
    assert phones.gateway.meals() == 1
    history = phones.call("GET", "/v15/users/orders", auth=phones.auth())[0]["order"]
    assert (history["total_amount"], history["location_name"]) == (done["total_amount"], "Congress Street")


def test_an_order_as_the_iphone_sends_it(phones: Phones) -> None:
    """IOS leaves nil members out, or sends null; PS has no option ids."""
    item = {"id": phones.item("Cookie")["id"], "quantity": 1}
    sent = {"order": {"location_id": phones.place()["id"], "items": [{"item": item}]}}
    answer = phones.call("POST", ORDERS, sent, auth=phones.auth(), status=202)["order"]
    assert set(answer) == {"order_url", "state", "uuid"} and answer["order_url"].startswith("http")
    phones.work()
    assert phones.shown(answer["uuid"])["state"] == "valid"


def test_nested_options_reach_the_kitchen(phones: Phones) -> None:
    sandwich = phones.item("Club sandwich")
    names = options_of(sandwich)
    side = next(number for name, number in names.items() if name.endswith("/Fries"))
    dip, heat = names["Fries: Dips/Aioli"], names["Fries: Aioli: How hot?/Hot"]
    phones.ordered(line(sandwich, side, dip, heat))
    sent = phones.gateway.bodies[-1]["order_submission"]["items"][0]["item"]["options"]
    assert [entry["option"]["provider_id"] for entry in sent] == [
        "added-side:fries", "added-side:fries:dips:aioli", "added-side:fries:dips:aioli:heat:hot",
    ]  # fmt: skip
    assert phones.gateway.meals() == 1


def test_an_option_without_its_parent_is_an_invalid_cart(phones: Phones) -> None:
    sandwich = phones.item("Club sandwich")
    uuid = phones.start(phones.cart(line(sandwich, options_of(sandwich)["Fries: Dips/Aioli"])))
    (entry,) = phones.shown(uuid, status=422)
    assert {name: entry["error"][name] for name in ("code", "object", "property")} == {
        "code": "cart_invalid", "object": "order", "property": "items",
    }  # fmt: skip
    assert entry["error"]["message"]
    phones.refused("POST", f"{ORDERS}/{uuid}/complete", auth=phones.auth())
    assert phones.charges() == []


def test_a_time_slot_is_local_to_the_place(phones: Phones) -> None:
    uuid = phones.start(phones.cart(line(phones.item("Cookie")), at="2030-06-03T22:30:00Z"))
    sent = phones.gateway.bodies[-1]["order_validation"]
    assert sent["desired_ready_time"] == "2030-06-03T18:30"
    assert phones.shown(uuid)["soonest_available_at"] == "2030-06-03T22:30:00Z"
    assert phones.shown(uuid)["conveyance"]["desired_ready_time"] == "2030-06-03T22:30:00Z"


def test_slots_are_shown_as_instants(phones: Phones) -> None:
    phones.clock.set("2030-06-03T03:00Z")
    uuid = phones.start(phones.cart(line(phones.item("Cookie", "Day Kitchen")), place="Day Kitchen"))
    shown = phones.shown(uuid)
    assert shown["soonest_available_at"] == "2030-06-03T10:00:00Z"
    assert shown["available_at"] is None or all(slot.endswith("Z") for slot in shown["available_at"])


def test_a_place_without_tips_gets_none(phones: Phones) -> None:
    place = next(
        entry["location"]
        for entry in phones.call("GET", "/v15/apps/1/locations?fulfillment_types=pickup")
        if entry["location"]["id"]
        and not phones.call("GET", f"/v15/locations/{entry['location']['id']}")["location"]["accepts_tips_on_pickup"]
    )
    item = items_of(phones.call("GET", f"/v15/order_ahead/menus/{place['id']}")["menu"])[0]
    cart = phones.cart(line(item), place=place["name"], tip_amount=300)
    uuid = phones.start(cart)
    assert phones.shown(uuid)["tip_amount"] == 0
    preferences = [phones.place(name)["merchant_tip_preference"] for name in (place["name"], "Congress Street")]
    assert preferences == ["no preference", "expected"]
    phones.complete(uuid)
    phones.work()
    assert phones.charges()[0].payment.tip == 0


# Whether a place takes orders for later.


def takes_for_later(phones: Phones, name: str) -> bool:
    location = phones.call("GET", f"/v15/locations/{phones.place(name)['id']}")["location"]
    return location["supports_scheduling"]


def in_an_hour(phones: Phones) -> str:
    return (phones.clock() + timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M:00Z")


def test_a_refused_time_shows_that_nothing_is_scheduled(phones: Phones) -> None:
    name = "No Tips Counter"
    assert takes_for_later(phones, name)
    cookie = line(phones.item("Cookie", name))
    far = phones.start(phones.cart(cookie, place=name, at="2031-06-03T22:30:00Z"))
    assert phones.shown(far, status=422)[0]["error"]["message"] == words.ONLY_NOW
    assert takes_for_later(phones, name)
    near = phones.start(phones.cart(cookie, place=name, at=in_an_hour(phones)))
    assert phones.shown(near, status=422)[0]["error"]["message"] == words.ONLY_NOW
    assert not takes_for_later(phones, name)
    # The gateway's list, read again, does not say otherwise; and orders go on without a time.
    phones.app.extensions["order_ahead"].places._fresh_until = 0.0
    assert phones.place(name) and not takes_for_later(phones, name)
    assert phones.ordered(cookie, place=name)["order_number"]


@pytest.mark.parametrize("name, at", [("Congress Street", "time"), ("Day Kitchen", None)])
def test_a_place_that_schedules_stays_one(phones: Phones, name: str, at: str | None) -> None:
    """An accepted time shows it, and so do slots."""
    phones.clock.set("2030-06-03T15:00Z")
    cookie = line(phones.item("Cookie", name))
    phones.start(phones.cart(cookie, place=name, at=at and in_an_hour(phones)))
    phones.gateway.faults["/order_validations"] = [answers(422, "ready_time_unavailable")]
    refused = phones.start(phones.cart(cookie, place=name, at=in_an_hour(phones)))
    message = phones.shown(refused, status=422)[0]["error"]["message"]
    assert message == "The order cannot be ready at that time. Please choose another one."
    assert takes_for_later(phones, name)


def test_a_time_that_is_taken_later_on_outweighs_a_refusal(phones: Phones) -> None:
    cookie = line(phones.item("Cookie"))
    phones.gateway.faults["/order_validations"] = [answers(422, "ready_time_unavailable")]
    phones.start(phones.cart(cookie, at=in_an_hour(phones)))
    assert not takes_for_later(phones, "Congress Street")
    phones.start(phones.cart(cookie, at=in_an_hour(phones)))
    assert takes_for_later(phones, "Congress Street")


# Credit.


def give(phones: Phones, cents: int, user: str = "ada@example.com") -> None:
    """Credit of the sandbox's merchant, by its owner."""
    body = {"merchant_funded_credit": {"email": user, "value_amount": cents}}
    merchant = phones.place()["merchant_id"]
    email, password = owner_login(merchant)
    login = {"api_key": SHOP_APP.api_key, "username": email, "password": password}
    owner = phones.call("POST", "/v14/access_tokens", {"access_token": login})["access_token"]
    assert owner["merchant_id"] == merchant
    auth = f"token {owner['token']}"
    phones.call("POST", "/v15/merchant_funded_credits", body, auth=auth, status=204)


def test_credit_is_the_merchants_discount(phones: Phones) -> None:
    give(phones, 300)
    uuid = phones.start(phones.cart(line(phones.item("Club sandwich"))))
    assert phones.gateway.bodies[-1]["order_validation"]["merchant_funded_discount"] == 300
    assert phones.shown(uuid)["discount_amount"] == 300
    phones.complete(uuid)
    phones.work()
    payment = phones.completed(uuid)["payment"]
    assert payment["merchant_funded_credit_amount"] == 300
    total = phones.completed(uuid)["total_amount"]
    assert sum(value for name, value in payment.items() if name.endswith("_amount")) == total
    assert phones.gateway.bodies[-1]["order_submission"]["merchant_funded_discount"] == 300


def test_credit_takes_no_more_off_than_the_food(phones: Phones) -> None:
    give(phones, 100_000)
    done = phones.ordered(line(phones.item("Cookie")))
    assert done["discount_amount"] == done["subtotal"] == 199
    (charged,) = phones.charges()
    assert charged.payment.discount == 199


def refuses_credit(most: int) -> GatewayReply:
    error = {"type": "provider", "code": "order_refused", "message": f"the shop takes {most} of it", "retryable": False}
    return GatewayReply(422, {"error": {**error, "path": "$.order_validation.merchant_funded_discount"}})


@pytest.mark.parametrize("most, asked", [(169, [199, 0, 169]), (100, [199, 0, 169, 0]), (0, [199, 0, 169, 0])])
def test_a_place_may_take_less_of_the_credit(phones: Phones, most: int, asked: list[int]) -> None:
    """As a shop whose own discount leaves less to take credit off."""

    def shop(call: Any) -> GatewayReply:
        if phones.gateway.bodies[-1]["order_validation"]["merchant_funded_discount"] > most:
            return refuses_credit(most)
        reply = call()
        reply.body["order_validation"]["provider_funded_discount"] = 30
        return reply

    give(phones, 300)
    phones.gateway.faults["/order_validations"] = [shop] * 9
    uuid = phones.start(phones.cart(line(phones.item("Cookie"))))
    assert [body["order_validation"]["merchant_funded_discount"] for body in phones.gateway.bodies] == asked
    assert phones.shown(uuid)["discount_amount"] == asked[-1] + 30
    phones.complete(uuid)
    phones.work()
    assert phones.completed(uuid)["payment"]["merchant_funded_credit_amount"] == asked[-1]
    assert phones.gateway.bodies[-1]["order_submission"]["merchant_funded_discount"] == asked[-1]
    (charged,) = phones.charges()
    assert charged.payment.discount == asked[-1] and phones.gateway.meals() == 1


def test_credit_that_is_refused_in_the_end_is_plain_words(phones: Phones) -> None:
    give(phones, 300)
    uuid = phones.start(phones.cart(line(phones.item("Cookie"))))
    phones.gateway.faults["/order_submissions"] = [lambda _: refuses_credit(0)]
    phones.complete(uuid)
    phones.work()
    message = phones.completed(uuid, status=422)[0]["error"]["message"]
    assert message == "The restaurant does not take your credit for this order. You get your money back."
    assert phones.charges() == []


def test_credit_spent_in_between_charges_nothing(phones: Phones) -> None:
    give(phones, 300)
    uuid = phones.start(phones.cart(line(phones.item("Club sandwich"))))
    phones.ordered(line(phones.item("Club sandwich")))
    phones.complete(uuid)
    phones.work()
    assert phones.completed(uuid, status=422)[0]["error"]["code"] == "credit_changed"
    assert len(phones.charges()) == phones.gateway.meals() == 1


# Metadata.


def with_metadata(what: str, **metadata: Any) -> Fault:
    def fault(call: Any) -> GatewayReply:
        reply = call()
        reply.body[what]["metadata"].update(metadata)
        return reply

    return fault


@pytest.mark.rule("META-1", "META-2")
def test_metadata_of_users_stays_and_of_orders_goes(phones: Phones) -> None:
    phones.gateway.faults["/order_validations"] = [with_metadata("order_validation", user_a="1", order_b="2")]
    phones.gateway.faults["/order_submissions"] = [with_metadata("order_submission", user_c="3")]
    phones.ordered(line(phones.item("Cookie")))
    first, second = phones.gateway.bodies
    assert first["order_validation"]["metadata"] == {}
    assert second["order_submission"]["metadata"].items() >= {"user_a": "1", "order_b": "2"}.items()
    assert "order_validation_id" in second["order_submission"]["metadata"]
    phones.ordered(line(phones.item("Cookie")))
    third = phones.gateway.bodies[2]["order_validation"]["metadata"]
    assert third == {"user_a": "1", "user_c": "3"}
    phones.start(phones.cart(line(phones.item("Cookie"))), phones.auth(BEN))
    assert phones.gateway.bodies[-1]["order_validation"]["metadata"] == {}


def with_fees(*cents: Any) -> Fault:
    """A provider adds fees to its total, and the gateway says so."""

    def fault(call: Any) -> GatewayReply:
        reply = call()
        quote = reply.body["order_validation"]
        quote["total"] += sum(amount for amount in cents if type(amount) is int)
        quote["metadata"]["order_fees"] = [{"name": "Bag", "amount": amount} for amount in cents]
        return reply

    return fault


@pytest.mark.rule("MONEY-9")
def test_fees_are_shown_apart_and_paid(phones: Phones) -> None:
    phones.gateway.faults["/order_validations"] = [with_fees(25, 10)]
    done = phones.ordered(line(phones.item("Cookie")), tip_amount=100)
    assert (done["subtotal"], done["service_fee_amount"], done["tip_amount"]) == (199, 35, 100)
    assert done["spend_amount"] == 199 + done["tax_amount"]
    assert done["total_amount"] == done["spend_amount"] + 35 + 100
    (charged,) = phones.charges()
    assert charged.payment.spend + charged.payment.tip == done["total_amount"]


@pytest.mark.parametrize("fees", [("x",), (None,), (-5,), (10**9,)])
def test_fees_that_are_none_break_nothing(phones: Phones, fees: tuple[Any, ...]) -> None:
    phones.gateway.faults["/order_validations"] = [
        with_metadata("order_validation", order_fees=[{"name": "Bag", "amount": fees[0]}, "x"])
    ]
    shown = phones.shown(phones.start(phones.cart(line(phones.item("Cookie")))))
    assert shown["total_amount"] == shown["subtotal"] + shown["tax_amount"] + shown["service_fee_amount"]


# Bad input.


@pytest.mark.parametrize(
    "change, error",
    [
        ({"items": []}, "order/items/cart_invalid"),
        ({"items": [{"item": {"id": 11}}]}, "order/items/cart_invalid"),
        ({"items": [{"item": {"id": "x"}}]}, "item/id/invalid"),
        ({"items": [{"item": {"quantity": 1}}]}, "item/id/blank"),
        ({"conveyance": {"fulfillment_type": "delivery"}}, "conveyance/fulfillment_type/invalid"),
        ({"conveyance": {"desired_ready_time": "soon"}}, "conveyance/desired_ready_time/invalid"),
        ({"conveyance": 7}, "order/conveyance/invalid"),
        ({"tip_amount": -1}, "order/tip_amount/invalid"),
        ({"location_id": None}, "order/location_id/blank"),
    ],
)
def test_a_cart_that_is_wrong(phones: Phones, change: Any, error: str) -> None:
    cart = phones.cart(line(phones.item("Cookie")))
    cart["order"].update(change)
    assert phones.refused("POST", ORDERS, cart, auth=phones.auth()) == [error]
    assert phones.gateway.bodies == []


def test_ids_of_another_menu_are_an_invalid_cart(phones: Phones) -> None:
    elsewhere = phones.item("Cookie", "Day Kitchen")
    assert phones.refused("POST", ORDERS, phones.cart(line(elsewhere)), auth=phones.auth()) == [
        "order/items/cart_invalid"
    ]
    sandwich, burger = phones.item("Club sandwich"), phones.item("Burger")
    foreign = line(sandwich, options_of(burger)["Toppings/Cheese"])
    assert phones.refused("POST", ORDERS, phones.cart(foreign), auth=phones.auth()) == ["order/items/cart_invalid"]


def test_an_item_that_has_lost_its_options_is_an_invalid_cart(phones: Phones) -> None:
    sandwich = phones.item("Club sandwich")
    cart = phones.cart(line(sandwich, options_of(sandwich)["Toppings/Cheese"]))

    def without_groups(call: Any) -> GatewayReply:
        reply = call()
        for category in reply.body["menu"]["categories"]:
            for entry in category["category"]["items"]:
                entry["item"]["option_groups"] = []
        return reply

    def forget_the_tag() -> None:
        place = phones.place()["id"]
        with phones.store.writing() as transaction:
            _, menu, layout = transaction.menu(place) or (None, None, None)
            transaction.keep_menu(place, None, menu, layout)

    phones.gateway.faults["/menu"] = [without_groups] * 2
    forget_the_tag()
    phones.menu()
    forget_the_tag()
    assert phones.refused("POST", ORDERS, cart, auth=phones.auth()) == ["order/items/cart_invalid"]


def test_ordering_needs_a_users_token_with_its_permission(phones: Phones) -> None:
    cart = phones.cart(line(phones.item("Cookie")))
    for auth in ("", phones.app_auth(), phones.merchant_auth(), phones.user_auth(ADA, "read_user_orders")):
        phones.refused("POST", ORDERS, cart, auth=auth, status=401)


def test_an_order_of_somebody_else_is_unknown(phones: Phones) -> None:
    uuid = phones.start(phones.cart(line(phones.item("Cookie"))))
    for method, path in (("GET", uuid), ("POST", f"{uuid}/complete"), ("GET", f"{uuid}/complete"), ("GET", "nothing")):
        assert phones.refused(method, f"{ORDERS}/{path}", auth=phones.auth(BEN), status=404) == ["order/uuid/not_found"]


@pytest.mark.parametrize("tagged", [True, False], ids=["tagged", "untagged"])
def test_a_waiting_poll_is_its_owners_alone(phones: Phones, tagged: bool) -> None:
    cart = phones.cart(line(phones.item("Cookie")))
    uuid = phones.call("POST", ORDERS, cart, auth=phones.auth(), status=202)["order"]["uuid"]
    token = phones.token(user=ADA)
    own = f'token user="{token}"' if tagged else f"token {token}"
    both = f'token merchant="{phones.token(merchant=BEACON)}", user="{token}"'
    for path in (f"{ORDERS}/{uuid}", f"{ORDERS}/{uuid}/complete"):
        for auth in (own, both):
            assert phones.open("GET", path, auth=auth).status_code == 202
        for auth in ("", "token nonsense", phones.app_auth(), phones.merchant_auth()):
            phones.refused("GET", path, auth=auth, status=401)
        phones.refused("GET", path, auth=phones.auth(DORA), status=404)
        with phones.store.writing() as transaction:
            transaction.switch(MAINTENANCE, True)
        assert phones.refused("GET", path, auth=own, status=503) == ["//maintenance"]
        with phones.store.writing() as transaction:
            transaction.switch(MAINTENANCE, False)
        phones.work()
        phones.complete(uuid)
    phones.call("DELETE", "/v15/access_tokens", auth=own, status=204)
    phones.refused("GET", f"{ORDERS}/{uuid}/complete", auth=own, status=401)


def test_a_poll_is_one_statement(phones: Phones) -> None:
    """Phones poll all the time; ``bench/ahead.py`` says what that costs."""
    cart = phones.cart(line(phones.item("Cookie")))
    uuid = phones.call("POST", ORDERS, cart, auth=phones.auth(), status=202)["order"]["uuid"]
    auth = phones.auth()
    (connection,) = phones.store._idle[os.getpid()]

    def statements(path: str, status: int) -> int:
        seen: list[str] = []
        connection.set_trace_callback(seen.append)
        assert phones.open("GET", f"{ORDERS}/{uuid}{path}", auth=auth).status_code == status
        connection.set_trace_callback(None)
        return len(seen)

    counts = [statements("", 202)]
    phones.work()
    counts.append(statements("", 200))
    phones.complete(uuid)
    counts.append(statements("/complete", 202))
    phones.work()
    counts.append(statements("/complete", 200))
    assert counts == [1, 1, 1, 1]


def test_the_diner_is_charged_before_the_order_is_sent(phones: Phones) -> None:
    charges: list[int] = []

    def watched(call: Any) -> GatewayReply:
        charges.append(len(phones.charges()))
        return call()

    phones.gateway.faults = {"/order_validations": [watched], "/order_submissions": [watched]}
    phones.ordered(line(phones.item("Cookie")))
    assert charges == [0, 1]


def test_completing_twice_charges_once(phones: Phones) -> None:
    uuid = phones.start(phones.cart(line(phones.item("Cookie"))))
    first, second = phones.complete(uuid), phones.complete(uuid)
    assert first == second
    phones.work()
    assert phones.complete(uuid)["state"] == "completed"
    phones.work()
    assert len(phones.charges()) == phones.gateway.meals() == 1


def test_what_was_never_completed_has_no_answer(phones: Phones) -> None:
    uuid = phones.start(phones.cart(line(phones.item("Cookie"))))
    assert phones.completed(uuid, status=422)[0]["error"]["code"] == "valid"


def test_a_menu_that_changes_before_the_order_completes(phones: Phones) -> None:
    uuid = phones.start(phones.cart(line(phones.item("Cookie"))))
    phones.gateway.faults["/order_submissions"] = [answers(422, "unknown_item")]
    phones.complete(uuid)
    phones.work()
    (entry,) = phones.completed(uuid, status=422)
    assert entry["error"]["message"] == "Cookie is not on the menu any more. You get your money back."
    assert (phones.charges(), len(phones.refunds())) == ([], 1)


def test_a_card_that_is_declined_submits_nothing(phones: Phones) -> None:
    for user in (BEN, CLEO):
        uuid = phones.start(phones.cart(line(phones.item("Cookie"))), phones.auth(user))
        phones.complete(uuid, phones.auth(user))
        phones.work()
        assert phones.completed(uuid, phones.auth(user), status=422)[0]["error"]["code"] == "card_declined"
    assert phones.gateway.meals() == 0 and phones.charges() == []


def test_a_gift_card_pays(phones: Phones) -> None:
    merchant = phones.place()["merchant_id"]
    with phones.store.writing() as transaction:
        transaction.add_grant(DORA, Grant("gift_card", merchant, 150))
    payment = phones.ordered(line(phones.item("Cookie")), auth=phones.auth(DORA))["payment"]
    assert payment["gift_card_amount"] == 150 and payment["card_amount"] > 0


# A gateway that fails.


def test_a_validation_is_tried_for_fifteen_seconds(phones: Phones) -> None:
    phones.gateway.faults["/order_validations"] = [unreached, unanswered, answers(503, "provider_unavailable")]
    uuid = phones.start(phones.cart(line(phones.item("Cookie"))))
    assert phones.shown(uuid)["state"] == "valid"
    phones.gateway.faults["/order_validations"] = [unreached] * 100
    uuid = phones.start(phones.cart(line(phones.item("Cookie"))))
    error = phones.shown(uuid, status=422)[0]["error"]
    assert (error["code"], error["message"]) == ("provider_unavailable", words.UNREACHED)


def test_a_gateway_that_is_down_charges_nothing(phones: Phones, caplog: pytest.LogCaptureFixture) -> None:
    uuid = phones.start(phones.cart(line(phones.item("Cookie"))))
    phones.gateway.faults["/health"] = [unreached]
    phones.complete(uuid)
    phones.work()
    (entry,) = phones.completed(uuid, status=422)
    assert entry["error"]["message"] == words.NOT_CHARGED
    # What failed is the operator's to know.
    (record,) = [record for record in caplog.records if record.message == "gateway_unreached"]
    assert record.__dict__["cause"] == "the gateway cannot be reached"
    assert phones.charges() == []
    # The order stays.
    assert phones.shown(uuid)["state"] == "valid"
    phones.complete(uuid)
    phones.work()
    assert phones.completed(uuid)["order_number"]
    assert len(phones.charges()) == 1


def test_a_gateway_that_goes_down_after_the_charge_gives_it_back(phones: Phones) -> None:
    uuid = phones.start(phones.cart(line(phones.item("Cookie"))))
    phones.gateway.faults["/order_submissions"] = [unreached] * 1000
    phones.complete(uuid)
    phones.work()
    assert phones.completed(uuid, status=422)[0]["error"]["code"] == "provider_unavailable"
    assert (phones.charges(), len(phones.refunds()), phones.gateway.meals()) == ([], 1, 0)


@pytest.mark.rule("SUB-2", "SUB-5")
@pytest.mark.parametrize("fault", [lost, unanswered], ids=["answer lost", "request lost"])
def test_a_lost_answer_is_asked_for_with_the_same_key(phones: Phones, fault: Fault) -> None:
    uuid = phones.start(phones.cart(line(phones.item("Cookie"))))
    phones.gateway.faults["/order_submissions"] = [fault, fault]
    phones.complete(uuid)
    phones.work()
    assert phones.completed(uuid)["order_number"]
    bodies = [body for body in phones.gateway.bodies if "order_submission" in body]
    assert len(bodies) == 3 and bodies[0] == bodies[1] == bodies[2]
    assert phones.gateway.keys[-3:] == [uuid] * 3
    assert len(phones.charges()) == phones.gateway.meals() == 1


def test_a_refusal_after_silence_proves_nothing_yet(phones: Phones) -> None:
    """The silent request may still arrive: the money stays until it cannot any more."""
    uuid = phones.start(phones.cart(line(phones.item("Cookie"))))
    phones.gateway.faults["/order_submissions"] = [unanswered, *[answers(422, "sold_out")] * 1000]
    phones.complete(uuid)
    phones.work()
    assert phones.completed(uuid, status=202)["order_number"] is None
    assert len(phones.charges()) == 1
    phones.clock.now += timedelta(seconds=max(IN_FLIGHT_SECONDS, LOOK_AGAIN_SECONDS) + 1)
    assert phones.completed(uuid, status=202)
    phones.work()
    message = phones.completed(uuid, status=422)[0]["error"]["message"]
    assert message == "The restaurant cannot take this order. You get your money back."
    assert (phones.charges(), len(phones.refunds())) == ([], 1)


@pytest.mark.parametrize(
    "fault",
    [answers(504, "outcome_unknown"), answers(409, "submission_in_progress", retryable=True),
     answers(422, "idempotency_key_reused"), lambda _: GatewayReply(500, None),
     lambda _: GatewayReply(200, {"else": 1}), lost],
    ids=["unknown", "in progress", "reused", "500", "not our answer", "lost"],
)  # fmt: skip
def test_money_never_goes_back_while_an_order_may_exist(
    phones: Phones, fault: Fault, caplog: pytest.LogCaptureFixture
) -> None:
    uuid = phones.start(phones.cart(line(phones.item("Cookie"))))
    phones.gateway.faults["/order_submissions"] = [fault] * 1000
    phones.complete(uuid)
    phones.work()
    assert phones.completed(uuid, status=202)["state"] == "submitting"
    assert len(phones.charges()) == 1 and "order_outcome_unknown" in caplog.messages
    # It is not asked before its time; then the same is sent again.
    assert phones.completed(uuid, status=202) and not phones.waiting
    phones.gateway.faults.clear()
    phones.clock.now += timedelta(seconds=LOOK_AGAIN_SECONDS + 1)
    phones.completed(uuid, status=202)
    phones.work()
    assert phones.completed(uuid)["order_number"]
    assert len(phones.charges()) == phones.gateway.meals() == 1


@pytest.mark.rule("SUB-3")
def test_a_repetition_by_mistake_is_given_back(phones: Phones) -> None:
    """The service takes the same content after an unknown outcome for the same order: one order, one charge."""
    cart = phones.cart(line(phones.item("Cookie")))
    first, second = phones.start(cart), phones.start(cart)
    phones.complete(first)
    phones.work()
    number = phones.completed(first)["order_number"]
    with phones.store.reading() as transaction:
        placed = transaction.ahead(first).placed
    replay = GatewayReply(200, {"order_submission": placed}, replayed=True)
    phones.gateway.faults["/order_submissions"] = [lambda _: replay]
    phones.complete(second)
    phones.work()
    (entry,) = phones.completed(second, status=422)
    assert f"repetition of order {number}" in entry["error"]["message"]
    assert len(phones.charges()) == phones.gateway.meals() == 1
    # Its own answer, given again, is its own.
    phones.clock.now += timedelta(hours=2)
    phones.gateway.faults["/order_submissions"] = [lost]
    assert phones.ordered(line(phones.item("Cookie")))["order_number"] != number


@pytest.mark.parametrize("state", ["validating", "charging", "submitting"])
def test_what_a_dead_process_left_is_taken_up(phones: Phones, state: str) -> None:
    uuid = phones.call("POST", ORDERS, phones.cart(line(phones.item("Cookie"))), auth=phones.auth(), status=202)[
        "order"
    ]["uuid"]
    if state == "validating":
        phones.waiting.clear()
    else:
        phones.work()
        phones.complete(uuid)
        if state == "charging":
            phones.waiting.clear()
        else:
            phones.gateway.faults["/order_submissions"] = [lost, _die]
            with pytest.raises(KeyboardInterrupt):
                phones.work()
    phones.clock.now += timedelta(minutes=10)
    phones.open("GET", f"{ORDERS}/{uuid}", auth=phones.auth())
    phones.open("GET", f"{ORDERS}/{uuid}", auth=phones.auth())
    assert len(phones.waiting) == 1, "two took it up"
    phones.work()
    if state == "validating":
        assert phones.shown(uuid)["state"] == "valid"
    else:
        assert phones.completed(uuid)["order_number"]
        assert len(phones.charges()) == phones.gateway.meals() == 1


def _die(_: Any) -> GatewayReply:
    raise KeyboardInterrupt


# What the diner is charged for, item by item.


def test_the_items_of_a_charge_have_their_options(phones: Phones) -> None:
    """D14, W: options are children, and a note is one more; what is free costs nothing."""
    sandwich = phones.item("Club sandwich")
    options = options_of(sandwich)
    chosen = [options[name] for name in (*["Toppings/Cheese"] * 3, "Bread/Sourdough")]
    phones.gateway.faults["/order_validations"] = [with_fees(25)]
    order = line(sandwich, *chosen, quantity=2, special_instructions="No onions.")
    done = phones.ordered(order, line(phones.item("Cookie")), tip_amount=150)
    history = phones.call("GET", "/v15/users/orders", auth=phones.auth())[0]["order"]
    club, cookie, fee = (entry["item"] for entry in history["items"])
    assert (club["name"], club["quantity"], club["charged_price_amount"]) == ("Club sandwich", 2, 2000)
    children = [entry["item"] for entry in club["children"]]
    assert [(child["name"], child["quantity"], child["charged_price_amount"], child["standard_price_amount"])
            for child in children] == [
        ("Cheese", 6, 300, 900), ("Sourdough", 2, 200, 200), ("Special Instructions", 1, 0, 0),
    ]  # fmt: skip
    assert children[-1]["description"] == "No onions."
    assert (cookie["charged_price_amount"], fee["name"], fee["charged_price_amount"]) == (199, "Bag", 25)
    assert total_of(history["items"]) + history["tax_amount"] == history["spend_amount"]
    assert history["spend_amount"] + 150 == history["total_amount"] == done["total_amount"]


def total_of(items: Any) -> int:
    lines = [entry["item"] for entry in items]
    return sum(each["charged_price_amount"] + total_of(each["children"]) for each in lines)


@pytest.mark.parametrize("food, off", [(1000, 0), (1000, 333), (777, 0), (1203, 1), (0, 0)])
def test_the_items_of_a_charge_add_up(food: int, off: int) -> None:
    """Also where the provider takes something off, or asks for other prices than those of its menu."""
    option = {"id": 2, "name": "Cheese", "price_amount": 33, "quantity": 3, "free_quantity": 1}
    one = {"name": "Soup", "price_amount": 301, "quantity": 3, "special_instructions": None}
    item = {"item": {**one, "selected_options": [{"option": option}]}}
    amounts = CartAmounts(food, 70, 50, 10, off, 20)
    draft = lines.draft_of(11, [item, item], [("Bag", 20)], amounts)
    assert draft.spend_amount == food + 70 + 20 - off
    flat = [line for item in draft.items for line in (item, *item["children"])]
    assert sum(line["charged_price_amount"] for line in flat) == draft.spend_amount - draft.tax_amount
    assert all(line["charged_price_amount"] >= 0 for line in flat)
    assert [line["standard_price_amount"] for line in flat] == [903, 297, 903, 297, 20]


def test_an_order_without_known_items_is_charged(phones: Phones) -> None:
    assert lines.draft_of(11, [], [], CartAmounts(100, 7, 0, 0, 0, 0)).items == []


# Why an order failed, for the diner.


@pytest.mark.parametrize("code", [*KINDS, "no_such_code"])
def test_the_diner_reads_plain_words(code: str) -> None:
    technical = "$.order_validation.items[0].item: the group 5:12 has no option beef-17"
    shown = in_plain_words(code, technical, "$.order_validation.items[0].item", [{"item": {"name": "Soup"}}])
    assert shown[0].isupper() and shown.endswith((".", technical))
    assert technical not in shown or code == "order_refused"
    assert in_plain_words(code, None, None, [])


@pytest.mark.parametrize("path", ["$.items[1].item", "$.items[9]", None])
def test_the_diner_reads_which_item_it_is(path: str | None) -> None:
    described = [{"item": {"name": "Soup"}}, {"item": {"name": "Pie"}}]
    shown = in_plain_words("unknown_item", "unknown item 7", path, described)
    assert shown.startswith("Pie is not" if path == "$.items[1].item" else "An item is not")


def test_a_refusal_is_logged_as_the_gateway_says_it(phones: Phones, caplog: pytest.LogCaptureFixture) -> None:
    phones.gateway.faults["/order_validations"] = [answers(422, "location_closed")]
    uuid = phones.start(phones.cart(line(phones.item("Cookie"))))
    assert phones.shown(uuid, status=422)[0]["error"]["message"] == "The restaurant takes no orders at the moment."
    (record,) = [record for record in caplog.records if record.message == "order_not_validated"]
    facts = {name: record.__dict__[name] for name in ("order", "status", "code", "cause")}
    assert facts == {"order": uuid, "status": 422, "code": "location_closed", "cause": "It says location_closed."}


# Suggested orders.


def test_orders_are_suggested(phones: Phones) -> None:
    """OA, IOS: past ones and popular ones, at most 25."""
    cookie, soup = phones.item("Cookie"), phones.item("Bento")
    phones.ordered(line(cookie, special_instructions="For Ada."))
    for _ in range(2):
        phones.ordered(line(soup), auth=phones.auth(DORA))
        phones.clock.now += timedelta(minutes=5)
    place = phones.place()["id"]
    path = f"{ORDERS}/suggested?location_id={place}"
    found = [entry["order"] for entry in phones.call("GET", path, auth=phones.auth())]
    assert [(order["banner"], order["description"]) for order in found] == [("past", "Cookie"), ("suggested", "Bento")]
    assert {"banner", "conveyance", "created_at", "description", "items", "location_id", "menu_url", "merchant_name",
            "total_amount", "uuid"} <= set(found[0])  # fmt: skip
    assert found[0]["items"][0]["item"]["special_instructions"] == "For Ada."
    # Of others, nothing personal.
    for_dora = phones.call("GET", path + "&types[]=popular", auth=phones.auth(DORA))
    assert all(entry["order"]["banner"] == "suggested" for entry in for_dora)
    assert "For Ada." not in str(for_dora)
    again = phones.cart(*(entry["item"] for entry in found[1]["items"]))
    assert phones.shown(phones.start(again))["state"] == "valid"
    assert phones.call("GET", f"{ORDERS}/suggested?location_id=11", auth=phones.auth()) == []


# Small things.


@pytest.mark.parametrize(
    "instant, zone, local",
    [
        ("2030-06-03T22:30:00Z", "America/New_York", "2030-06-03T18:30"),
        ("2030-12-03T22:30:00+01:00", "Asia/Tokyo", "2030-12-04T06:30"),
        ("2030-06-03T22:30:00Z", None, "2030-06-03T22:30Z"),
    ],
)
def test_times_go_in_by_the_places_clock(instant: str, zone: str | None, local: str) -> None:
    assert local_time(instant, zone) == local


@pytest.mark.parametrize(
    "text, zone, instant",
    [
        ("2030-06-03T18:30", "America/New_York", "2030-06-03T22:30:00Z"),
        ("2030-11-03T05:30Z", "America/New_York", "2030-11-03T05:30:00Z"),
        ("2030-06-03T18:30", None, None),
        (None, "America/New_York", None),
        ("soon", "America/New_York", None),
    ],
)
def test_times_come_out_as_instants(text: Any, zone: str | None, instant: str | None) -> None:
    assert instant_of(text, zone) == instant


def test_hours_in_words() -> None:
    span = [{"opens_at": "09:00", "closes_at": "17:00"}]
    days = ("monday", "tuesday", "wednesday", "thursday", "friday")
    hours = {**dict.fromkeys(days, span), "saturday": "closed", "sunday": None}
    assert hours_in_words(hours) == "Mon - Fri 09:00 - 17:00\nSat closed\nSun not known"
    assert hours_in_words(None) is None
