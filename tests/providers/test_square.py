"""The Square adapter against the stand-in, whose gate is Square's official specification where that is available."""

from __future__ import annotations

import copy
import json
import os
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from adapters.square import _REFUSALS, API_VERSION, HOSTS, SquareAdapter
from adapters.square_menu import SquareCatalog
from levelup_ov.adapter import Account
from levelup_ov.domain import menu as menus
from levelup_ov.domain.failure import Failure
from levelup_ov.domain.location import Listed, Location, opening_hours
from levelup_ov.domain.menu import Menu
from levelup_ov.domain.options import Option
from levelup_ov.domain.order import Item, Order, User
from levelup_ov.domain.orderable import orderable
from levelup_ov.domain.outcome import Placed, Quote
from levelup_ov.domain.ready_time import Shown
from levelup_ov.domain.secret import Secret
from levelup_ov.domain.status import OrderStatus
from levelup_ov.domain.tender import LevelUp
from levelup_ov.errors import KINDS, ReferenceFenced, Refused, Unanswered
from levelup_ov.transport.deadline import Deadline
from levelup_ov.transport.json_object import JSONObject
from levelup_ov.transport.placement import Placement
from levelup_ov.transport.session import Reply, Session, Transport
from tests.providers.mutations import mutate
from tests.servers import square_schema
from tests.servers.square import (
    AIRPORT,
    BOSTON,
    MONTREAL,
    OLD,
    TOKEN,
    VERSION,
    Fault,
    Square,
    item,
    thing,
    usd,
    variation,
)

NOON = datetime(2026, 11, 23, 17, 0, tzinfo=timezone.utc)
ADA = User("Ada", "Eater", phone="+1 (617) 555-0199", email="ada@example.com")
BURGER = Item("VBURGER", 1, (Option("MSIDE:OFRIES"),))
ORDERS, PAYMENTS, CALCULATE, CATALOG = "/v2/orders", "/v2/payments", "/v2/orders/calculate", "/v2/catalog/list"


def account(**members: str) -> Account:
    defaults = {name: setting.default for name, setting in SquareAdapter.settings.items() if setting.default}
    values = {**defaults, "base_url": "http://square.test", "access_token": Secret(TOKEN), **members}
    return Account("square", "square", "Ada's", values, accepts_tips=True)


class Bench:
    """The adapter, a stand-in, and a session for each request."""

    def __init__(self, square: Square | None = None, **members: str) -> None:
        self.square = square or Square()
        self.adapter = SquareAdapter(account(**members))
        self._transport = Transport(pool_size=1, in_process={"square.test": self.square})
        self.session = self.new_session()
        self.locations = {place.provider_id: place for place in self.adapter.list_locations(self.session)}
        self.square.calls.clear()

    def new_session(self, seconds: float = 10.0) -> Session:
        self.session = Session(
            self._transport,
            "square",
            base_url=self.adapter.base_url,
            headers=self.adapter.headers(),
            error_from=self.adapter.error_from,
            deadline=Deadline(seconds),
        )
        return self.session

    def order(self, *items: Item, place: str = BOSTON, **members: Any) -> Order:
        location = self.locations.get(place) or Location(place, place)
        return Order(location, items or (BURGER,), **{"user": ADA, "received_at": NOON, **members})

    def validate(self, *items: Item, **members: Any) -> Quote:
        return self.adapter.validate_order(self.order(*items, **members), self.new_session())

    def submit(self, *items: Item, seconds: float = 10.0, **members: Any) -> Placed:
        order = self.order(*items, **{"reference": "ref-1", **members})
        return self.adapter.submit_order(order, LevelUp(), self.new_session(seconds))

    def submit_again(self) -> Exception | None:
        """The same submission once more; how it failed."""
        try:
            self.submit()
        except Failure as failure:
            return failure
        return None

    def menu(self, place: str = BOSTON) -> Menu:
        return orderable(self.adapter.show_menu(self.locations[place], self.new_session()))

    def refusal(self, *items: Item, **members: Any) -> tuple[str, str | None]:
        with pytest.raises(Failure) as caught:
            self.validate(*items, **members)
        return caught.value.code, caught.value.path

    def sent(self, path: str) -> Any:
        """The body of the last call to ``path``."""
        calls = [call.partition(" ")[2] for call in self.square.calls]
        return self.square.bodies[len(self.square.bodies) - 1 - calls[::-1].index(path)]


@pytest.fixture
def bench() -> Iterator[Bench]:
    bench = Bench()
    yield bench
    assert bench.square.violations == []


# The specification


def test_the_gate_holds_everything_to_the_official_specification() -> None:
    try:
        square_schema.official_file()
    except square_schema.SpecificationMissing as missing:
        assert "CI" not in os.environ, str(missing)
        pytest.skip(f"{missing}; the project's own schema was checked instead")
    official = square_schema.Gate(official=True)
    order = {"location_id": BOSTON, "line_items": [{"quantity": "1", "catalog_objekt_id": "VBURGER"}]}
    wrong = official.request("POST", CALCULATE, {}, {"order": order})
    assert any("catalog_objekt_id" in each and "Additional properties" in each for each in wrong)
    assert any("'id'" in each for each in official.request("POST", CALCULATE, {}, {"order": {**order, "id": "mine"}}))
    assert official.request("GET", CATALOG, {"type": "ITEM"}, None)
    assert official.answer("GET", "/v2/locations", 200, {"locations": [{"id": "L", "timezon": "UTC"}]})


def test_a_misspelled_member_does_not_pass(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    right = bench.adapter._order
    monkeypatch.setattr(bench.adapter, "_order", lambda order: {**right(order), "fulfilments": []})

    with pytest.raises(Refused):
        bench.validate()

    assert "POST /v2/orders/calculate: $.order.fulfilments is unknown" in bench.square.violations
    bench.square.violations.clear()


def test_the_version_is_pinned_in_one_place(bench: Bench) -> None:
    assert bench.adapter.headers()["Square-Version"] == API_VERSION == VERSION


# Settings


@pytest.mark.rule("ERR-4")
def test_the_environment_routes_calls_and_hides_the_token() -> None:
    assert {SquareAdapter(account(base_url="", environment=name)).base_url for name in HOSTS} == set(HOSTS.values())
    assert TOKEN not in repr(account())


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("environment", "staging"),
        ("currency", "usd"),
        ("currency", "US"),
        ("prep_minutes", "soon"),
        ("prep_minutes", "0"),
    ],
)
def test_settings_that_mean_nothing_are_reported_at_startup(name: str, value: str) -> None:
    with pytest.raises(ValueError, match=name):
        SquareAdapter(account(**{name: value}))


# Locations


@pytest.mark.rule("LOC-1", "LOC-2")
def test_locations_in_our_terms(bench: Bench) -> None:
    boston, old = bench.locations[BOSTON], bench.locations[OLD]

    assert (boston.name, boston.time_zone) == ("Boston", "America/New_York")
    assert (boston.locality, boston.region) == ("Boston", "MA")
    assert (boston.street_address, boston.postal_code, str(boston.latitude)) == ("1 Main St", "02110", "42.36")
    assert [(span.opens_at, span.closes_at) for span in boston.hours["sunday"]] == [(480, 1320)]
    assert (boston.active, old.active) == (True, False)
    assert old.hours["monday"] is None
    assert boston.accepts_tips_on_pickup is None
    assert not boston.fulfills_deliveries


@pytest.mark.rule("LOC-2")
@pytest.mark.parametrize(
    ("start", "end", "spans"),
    [
        ("08:30:00", "21:00:00", [(510, 1260)]),
        ("8:30:00", "21:00", [(510, 1260)]),
        ("18:00:00", "02:00:00", [(1080, 1440)]),
        ("00:00:00", "00:00:00", [(0, 1440)]),
        ("25:00:00", "02:00:00", None),
        ("", "02:00:00", None),
    ],
)
def test_hours_over_midnight_are_split_or_unknown(start: str, end: str, spans: list[tuple[int, int]] | None) -> None:
    square = Square()
    period = {"day_of_week": "MON", "start_local_time": start, "end_local_time": end}
    square.locations[0]["business_hours"] = {"periods": [period]}

    found = Bench(square).locations[BOSTON].hours["monday"]

    assert (found and [(span.opens_at, span.closes_at) for span in found]) == spans


# The menu


@pytest.mark.rule("MENU-1", "MENU-2", "MENU-3", "MENU-5", "ITEM-3")
def test_the_menu_of_a_location(bench: Bench) -> None:
    menu = bench.menu()
    items = {item.provider_id: item for category in menu.categories for item in category.items}

    assert menus.check(menu) == ()
    assert {each.provider_id: [item.provider_id for item in each.items] for each in menu.categories} == {
        "CLUNCH": ["VBURGER"], "CDRINKS": ["VSMALL", "VLARGE"], "menu": ["VCOOKIE", "VWATER", "VAWAY"],
    }  # fmt: skip
    assert [(each.provider_id, each.name) for each in menu.category_groups] == [("CFOOD", "Food")]
    assert [each.category_group for each in menu.categories] == ["CFOOD", None, None]
    assert (items["VBURGER"].name, items["VLARGE"].name) == ("Burger", "Coffee (Large)")
    assert (items["VBURGER"].price, items["VBURGER"].image) == (1000, "https://images.example/burger.jpg")
    assert items["VBURGER"].option_groups == ("MSIDE", "MEXTRA")
    assert items["VSMALL"].option_groups == ("MMILK", "ICOFFEE%3AMEXTRA")
    assert menu.special_instructions_character_limit == 500


@pytest.mark.rule("MENU-2", "ITEM-7")
def test_modifier_lists_with_limits_quantities_and_overrides(bench: Bench) -> None:
    groups = {group.provider_id: group for group in bench.menu().option_groups}
    side, extra, milk, coffee = (groups[key] for key in ("MSIDE", "MEXTRA", "MMILK", "ICOFFEE%3AMEXTRA"))

    assert (side.minimum_choices, side.maximum_choices, side.defaults) == (1, 1, ("MSIDE:OFRIES",))
    assert [(option.provider_id, option.price, option.maximum_quantity) for option in side.options] == [
        ("MSIDE:OFRIES", 0, 1),
        ("MSIDE:OSALAD", 200, 1),
    ]
    assert (extra.minimum_choices, extra.maximum_choices, extra.options[0].maximum_quantity) == (0, None, None)
    assert (milk.minimum_choices, milk.maximum_choices) == (0, 1)
    assert (coffee.minimum_choices, coffee.maximum_choices) == (0, 2)
    (cheese,) = coffee.options
    assert (cheese.provider_id, cheese.maximum_quantity) == ("ICOFFEE%3AMEXTRA:OCHEESE", 1)
    assert coffee.defaults == ("ICOFFEE%3AMEXTRA:OCHEESE",)


@pytest.mark.rule("MENU-2")
@pytest.mark.parametrize(
    ("info", "listed", "least", "most"),
    [
        ((-1, -1), (1, 3), 1, 3),
        ((-1, -1), (-1, -1), 0, None),
        ((-1, -1), (0, 0), 0, None),
        ((0, 0), (1, 3), 0, None),
        ((2, -1), (1, 3), 2, None),
        ((-1, 2), (1, 3), 0, 2),
        ((-7, -7), (1, 3), 1, 3),
        ((None, None), (1, 3), 1, 3),
        ((None, 4), (None, None), 0, 4),
    ],
)
def test_zero_is_none_and_minus_one_is_not_set(
    info: tuple[Any, Any], listed: tuple[Any, Any], least: int, most: int | None
) -> None:
    names = ("min_selected_modifiers", "max_selected_modifiers")
    two = [thing("MODIFIER", key, name=key) for key in "OP"]
    attached = {"modifier_list_id": "M", **dict(zip(names, info))}
    objects = [
        thing("MODIFIER_LIST", "M", name="M", modifiers=two, **dict(zip(names, listed))),
        item("I", "I", variation("V", "V", 1), modifier_list_info=[attached]),
    ]

    (group,) = read(objects).option_groups

    assert (group.minimum_choices, group.maximum_choices) == (least, most)


@pytest.mark.rule("MENU-2", "MENU-3")
def test_another_location_has_its_own_items_and_prices(bench: Bench) -> None:
    menu = bench.menu(AIRPORT)
    prices = {item.provider_id: item.price for category in menu.categories for item in category.items}

    assert prices == {
        "VBURGER": 1200, "VSMALL": 300, "VLARGE": 400, "VKEG": 9000, "VICED": 450, "VCOOKIE": 250, "VPRETZEL": 350,
        "VWATER": 0,
    }  # fmt: skip
    options = {option.provider_id: option.price for group in menu.option_groups for option in group.options}
    assert (options["MEXTRA:OCHEESE"], options["MSIDE:OSOUP"]) == (175, 300)


@pytest.mark.rule("MENU-3")
def test_an_item_whose_required_choice_is_sold_out_is_left_out() -> None:
    sold_out = [{"location_id": BOSTON, "sold_out": True}]
    modifiers = [thing("MODIFIER", "O", name="O", location_overrides=sold_out)]
    objects = [
        thing("MODIFIER_LIST", "M", name="M", modifiers=modifiers, min_selected_modifiers=1),
        item("I", "I", variation("V", "V", 1), modifier_list_info=[{"modifier_list_id": "M"}]),
    ]

    assert read(objects).categories == ()


@pytest.mark.rule("MENU-3")
def test_an_empty_catalog_is_an_empty_menu() -> None:
    assert Bench(Square(catalog=[])).menu() == Menu(BOSTON, "Boston", (), special_instructions_character_limit=500)


@pytest.mark.rule("MENU-3")
def test_a_name_that_is_missing_is_reported_with_its_ids() -> None:
    nameless = item("I", "", variation("V", "Regular", 1))
    del nameless["item_data"]["name"]

    assert menus.check(read([nameless])) == ("item name can't be blank item_provider_id=V category_provider_id=menu",)


def test_the_catalog_is_read_page_by_page_and_kept(bench: Bench) -> None:
    bench.menu()
    pages = list(bench.square.calls)
    bench.menu(AIRPORT)

    assert pages == [f"GET {CATALOG}"] * 4
    assert bench.square.calls == pages


@pytest.mark.rule("ERR-3")
def test_pages_that_form_a_loop_are_a_broken_protocol(bench: Bench) -> None:
    bench.square.change = lambda path, body: {**body, "cursor": "6"} if path == CATALOG else body

    with pytest.raises(Unanswered, match="loop"):
        bench.menu()


def read(objects: list[Any], place: str = BOSTON) -> Menu:
    catalog = SquareCatalog([JSONObject(each) for each in objects], Location(place, "Boston"), "USD", NOON)
    return orderable(catalog.menu())


# Validation


@pytest.mark.rule("EP-4", "META-3", "MONEY-2", "MONEY-3", "MONEY-4", "MONEY-5", "MONEY-7")
def test_a_validation_is_one_call_and_accounts_for_every_cent(bench: Bench) -> None:
    quote = bench.validate(tip=200, merchant_funded_discount=100)

    assert bench.square.calls == [f"POST {CALCULATE}"]
    assert bench.square.orders == {}
    # Square takes the discount off before it reckons the tax.
    assert (quote.total, quote.tax, quote.tip, quote.merchant_funded_discount) == (1000, 63, 200, 100)
    assert quote.charged == quote.consumer_pays == 1163
    assert quote.provider_funded_discount == 0


@pytest.mark.rule("ITEM-2", "ITEM-6", "MONEY-3", "MONEY-12")
def test_quantities_of_items_and_options_multiply(bench: Bench) -> None:
    burger = Item("VBURGER", 3, (Option("MSIDE:OSALAD"), Option("MEXTRA:OCHEESE", 2), Option("MEXTRA:OBACON")))
    quote = bench.validate(burger, Item("VLARGE", 2, (Option("ICOFFEE%3AMEXTRA:OCHEESE"),)))

    assert quote.lines == (3 * (1000 + 200 + 2 * 150 + 250), 2 * (400 + 150))
    assert quote.total == sum(quote.lines)


@pytest.mark.rule("MONEY-6", "MONEY-9")
def test_the_sellers_discount_and_service_charge_are_mapped(bench: Bench) -> None:
    bench.square.rebate, bench.square.bag_fee = 1000, 25

    quote = bench.validate(merchant_funded_discount=200, tip=100)

    assert (quote.food, quote.provider_funded_discount, quote.merchant_funded_discount) == (1000, 100, 200)
    assert [(fee.name, fee.amount) for fee in quote.fees] == [("Bag fee", 25)]
    assert (quote.total, quote.tax, quote.charged) == (1025, 49, 1025 + 49 + 100 - 300)
    assert quote.charged == quote.consumer_pays


@pytest.mark.rule("MONEY-2", "MONEY-3")
@pytest.mark.parametrize("in_gross", [0, 65], ids=["the lines are without it", "the lines hold it"])
def test_a_tax_that_prices_include_is_not_food(bench: Bench, in_gross: int) -> None:
    def inclusive(path: str, body: Any) -> Any:
        order = body["order"]
        order["taxes"] = [{"uid": "tax", "type": "INCLUSIVE", "applied_money": usd(65)}]
        order["line_items"][0]["gross_sales_money"] = usd(935 + in_gross)
        return {"order": {**order, "total_money": usd(1000), "total_tax_money": usd(65)}}

    bench.square.change = inclusive

    quote = bench.validate()

    assert (quote.total, quote.tax, quote.charged) == (935, 65, 1000)


@pytest.mark.rule("MONEY-5")
def test_a_discount_that_square_cannot_take_off_whole_is_refused(bench: Bench) -> None:
    assert bench.refusal(merchant_funded_discount=1001) == ("order_refused", "$.merchant_funded_discount")


@pytest.mark.rule("ITEM-8", "META-6", "EP-11", "TIME-3")
def test_what_square_gets_of_an_order(bench: Bench) -> None:
    coffee = Item("VSMALL", 2, special_instructions="hot", recipient_name="Bo")
    bench.validate(BURGER, coffee, special_instructions="ring twice", merchant_funded_discount=5)

    order = bench.sent(CALCULATE)["order"]
    pickup = order["fulfillments"][0]["pickup_details"]
    assert pickup["recipient"] == {
        "display_name": "Ada Eater", "phone_number": "+16175550199", "email_address": "ada@example.com",
    }  # fmt: skip
    assert (pickup["note"], pickup["schedule_type"]) == ("ring twice", "ASAP")
    assert order["line_items"][1] == {"catalog_object_id": "VSMALL", "quantity": "2", "note": "for Bo / hot"}
    assert order["line_items"][0]["modifiers"] == [{"catalog_object_id": "OFRIES", "quantity": "1"}]
    assert order["discounts"][0]["scope"] == "ORDER"
    assert order["pricing_options"] == {"auto_apply_taxes": True, "auto_apply_discounts": True}


@pytest.mark.rule("ITEM-8")
@pytest.mark.parametrize(
    ("members", "items", "path"),
    [
        ({"special_instructions": "x" * 501}, (), "$.special_instructions"),
        ({}, (BURGER, replace(BURGER, special_instructions="x" * 501)), "$.items[1].item.special_instructions"),
    ],
)
def test_words_over_the_menus_limit_are_never_cut(bench: Bench, members: Any, items: Any, path: str) -> None:
    assert bench.refusal(*items, **members) == ("special_instructions_too_long", path)
    assert bench.square.calls == []


@pytest.mark.rule("TIME-3", "TIME-6", "TIME-7", "TIME-8")
def test_ready_times_of_a_location_that_is_open(bench: Bench) -> None:
    slow, wanted = Bench(bench.square, prep_minutes="20"), NOON + timedelta(hours=3)

    assert bench.validate().ready.soonest is None
    assert slow.validate().ready.soonest == NOON + timedelta(minutes=20)
    assert slow.sent(CALCULATE)["order"]["fulfillments"][0]["pickup_details"]["prep_time_duration"] == "PT20M"
    quote = slow.validate(desired_ready_time=wanted)
    assert (quote.ready.soonest, quote.ready.slots) == (wanted, None)
    pickup = slow.sent(CALCULATE)["order"]["fulfillments"][0]["pickup_details"]
    assert (pickup["schedule_type"], pickup["pickup_at"]) == ("SCHEDULED", "2026-11-23T20:00:00Z")


@pytest.mark.rule("TIME-4", "TIME-8")
def test_an_order_at_a_closed_location_waits_for_its_opening(bench: Bench) -> None:
    night, opening = NOON + timedelta(hours=12), datetime(2026, 11, 24, 13, 0, tzinfo=timezone.utc)
    slow = Bench(bench.square, prep_minutes="20")

    assert bench.validate(received_at=night).ready.soonest == opening
    quote = slow.validate(received_at=night)
    assert (quote.ready.soonest, quote.ready.slots) == (opening + timedelta(minutes=20), None)
    pickup = slow.sent(CALCULATE)["order"]["fulfillments"][0]["pickup_details"]
    assert (pickup["schedule_type"], pickup["pickup_at"]) == ("SCHEDULED", "2026-11-24T13:20:00Z")
    placed = slow.submit(received_at=night)
    assert placed.expected_ready_at == opening + timedelta(minutes=20)


@pytest.mark.rule("ERR-2", "ITEM-1", "ITEM-5")
@pytest.mark.parametrize(
    ("ordered", "code", "path"),
    [
        (Item("VGONE", 1), "unknown_item", "$.items[0].item"),
        (Item("VDELETED", 1), "unknown_item", "$.items[0].item"),
        (Item("VPRETZEL", 1), "unknown_item", "$.items[0].item"),
        (Item("IBURGER", 1), "unknown_item", "$.items[0].item"),
        (Item("VBURGER", 1, (Option("MSIDE:OGONE"),)), "unknown_option", "$.items[0].item"),
        (Item("VBURGER", 1, (Option("OFRIES"),)), "unknown_option", "$.items[0].item.options[0].option.provider_id"),
        (
            Item("VBURGER", 1, (Option("MSIDE:OFRIES:MDIP:OMAYO"),)),
            "orphan_option", "$.items[0].item.options[0].option.provider_id",
        ),
        (
            Item("VBURGER", 1, (Option("MSIDE:OFRIES"), Option("MSIDE:OFRIES:MDIP:OMAYO"))),
            "unknown_option", "$.items[0].item.options",
        ),
    ],
)  # fmt: skip
def test_ids_that_this_location_does_not_have(bench: Bench, ordered: Item, code: str, path: str) -> None:
    assert bench.refusal(ordered) == (code, path)


@pytest.mark.rule("ERR-2")
def test_foreign_sellers_and_currencies_are_distinguished(bench: Bench) -> None:
    assert bench.refusal(place="LELSEWHERE") == ("location_not_found", None)
    with pytest.raises(Unanswered, match=r"is not in USD") as caught:
        bench.validate(place=MONTREAL)
    assert caught.value.code == "provider_protocol_error"


# Submission


@pytest.mark.rule("EP-5", "PAY-1", "PAY-4", "SUB-1")
def test_an_order_is_created_then_paid_then_seen_by_the_kitchen(bench: Bench) -> None:
    unpaid: list[int] = []
    bench.square.change = lambda path, body: unpaid.append(len(bench.square.kitchen)) or body

    placed = bench.submit(tip=200, merchant_funded_discount=100)

    assert bench.square.calls == [f"POST {ORDERS}", f"POST {PAYMENTS}"]
    assert unpaid == [0, 1]
    assert (placed.order_id, placed.provider_order_id) == ("order-1", "order-1")
    assert (placed.expected_charge, placed.charged) == (1163, 1163)
    assert bench.sent(ORDERS)["order"]["reference_id"] == "ref-1"
    payment = bench.sent(PAYMENTS)
    assert (payment["amount_money"], payment["tip_money"]) == (usd(963), usd(200))
    assert payment["external_details"] == {"type": "OTHER", "source": "LevelUp", "source_id": "ref-1"}


@pytest.mark.rule("SUB-1", "TIME-7")
def test_the_merchants_own_number_and_squares_own_time(bench: Bench) -> None:
    bench.square.ticket_name = "42"
    wanted = NOON + timedelta(hours=1)

    assert bench.submit().order_id == "42"
    assert bench.submit(reference="ref-2").expected_ready_at is None
    assert bench.submit(reference="ref-3", desired_ready_time=wanted).expected_ready_at == wanted


@pytest.mark.rule("META-5", "SUB-2")
def test_a_price_that_is_no_longer_the_validated_one_is_not_paid(bench: Bench) -> None:
    quote = bench.validate(tip=100)
    assert bench.submit(tip=300, special_instructions="later", cart=quote.cart).charged == 1370
    bench.square.tax = 800

    with pytest.raises(Refused) as caught:
        bench.submit(tip=100, cart=quote.cart, reference="ref-2")

    assert caught.value.code == "price_changed"
    assert not bench.session.placing
    assert len(bench.square.kitchen) == 1


@pytest.mark.rule("META-4")
def test_a_submission_needs_no_validation_before(bench: Bench) -> None:
    assert bench.submit().charged == 1070


@pytest.mark.rule("SUB-2")
@pytest.mark.parametrize("lost", ["before", "after"])
@pytest.mark.parametrize("path", [ORDERS, PAYMENTS])
def test_a_call_whose_answer_is_lost_is_made_again_under_its_key(bench: Bench, path: str, lost: str) -> None:
    bench.square.faults.append(Fault(path, lost))

    assert bench.submit().charged == 1070

    assert len(bench.square.orders) == len(bench.square.payments) == len(bench.square.kitchen) == 1


@pytest.mark.rule("SUB-5")
def test_without_an_answer_to_the_creation_nothing_is_placed(bench: Bench) -> None:
    bench.square.faults.extend([Fault(ORDERS, "after")] * 3)

    with pytest.raises(Unanswered):
        bench.submit()

    assert not bench.session.placing
    assert bench.square.kitchen == []


@pytest.mark.rule("SUB-2", "SUB-5")
@pytest.mark.parametrize(("lost", "exists"), [("before", False), ("after", True)])
def test_without_an_answer_to_the_payment_the_order_decides(bench: Bench, lost: str, exists: bool) -> None:
    bench.square.faults.extend([Fault(PAYMENTS, lost)] * 3)
    traces: list[Any] = []
    order = bench.order(reference="ref-1", tip=30, desired_ready_time=NOON + timedelta(hours=1))
    session = bench.new_session()
    session.placement = Placement(traces.append)

    with pytest.raises(Unanswered):
        bench.adapter.submit_order(order, LevelUp(), session)

    assert session.placing
    # Each attempt to pay has its own last look.
    assert traces == [{"order_id": "order-1", "version": 1, "charge": 1100}] * 3
    found = bench.adapter.find_order(order.location, "ref-1", json.loads(json.dumps(traces[0])), bench.new_session())
    assert found == (placed(1100, NOON + timedelta(hours=1)) if exists else None)
    with pytest.raises(Unanswered, match="another order"):
        bench.adapter.find_order(order.location, "ref-2", traces[0], bench.new_session())


@pytest.mark.rule("SUB-5")
def test_without_a_trace_an_order_is_searched_for(bench: Bench) -> None:
    """A paid one counts, on whatever page it is; what the search does not show proves nothing."""
    for reference in ("ref-1", "ref-2"):
        bench.adapter.submit_order(bench.order(reference=reference), LevelUp(), bench.new_session())
    location = bench.locations[BOSTON]

    def found(reference: str) -> Placed | None:
        return bench.adapter.find_order(location, reference, {}, bench.new_session())

    first = found("ref-1")
    assert first and (first.provider_order_id, first.expected_charge, first.charged) == ("order-1", None, 1070)
    assert found("ref-3") is None and SquareAdapter.needs_trace
    bench.square.orders["order-1"]["tenders"] = []
    assert found("ref-1") is None
    bench.square.calls.clear()
    bench.adapter.fence_order(location, "ref-1", {}, bench.new_session())
    assert bench.square.calls == []


def placed(amount: int, ready_at: datetime | None = None) -> Placed:
    amounts = {"expected_charge": amount, "charged": amount}
    return Placed("order-1", "order-1", reference="ref-1", expected_ready_at=ready_at, **amounts)


UNPAID = {"order_id": "order-1", "version": 1, "charge": 1070}


def look(bench: Bench) -> Placed | None:
    return bench.adapter.find_order(bench.locations[BOSTON], "ref-1", UNPAID, bench.new_session())


def changed(bench: Bench, at: str, **members: Any) -> None:
    """From now on the answers at ``at`` have these members; None takes one out."""

    def change(path: str, body: Any) -> Any:
        if path != at:
            return body
        [(name, value)] = body.items()
        return {name: {key: member for key, member in {**value, **members}.items() if member is not None}}

    bench.square.change = change


ANOTHERS: dict[str, tuple[str, dict[str, Any]]] = {
    "created order": (ORDERS, {"reference_id": "ref-2"}),
    "created order without a reference": (ORDERS, {"reference_id": None}),
    "created at another location": (ORDERS, {"location_id": AIRPORT}),
    "payment": (PAYMENTS, {"reference_id": "ref-2"}),
    "payment without a reference": (PAYMENTS, {"reference_id": None}),
    "payment of another order": (PAYMENTS, {"order_id": "order-2"}),
    "payment of no order": (PAYMENTS, {"order_id": None}),
}


@pytest.mark.rule("SUB-8")
@pytest.mark.parametrize("case", ANOTHERS)
def test_another_guests_order_is_neither_paid_nor_believed(bench: Bench, case: str) -> None:
    at, members = ANOTHERS[case]
    changed(bench, at, **members)

    with pytest.raises(Unanswered, match=rf"answer to POST {at} is about another order: \$\.\w+\.{[*members][0]}"):
        bench.submit()

    assert bench.session.placing is (at == PAYMENTS)
    assert len(bench.square.payments) == (at == PAYMENTS)


@pytest.mark.rule("SUB-8")
@pytest.mark.parametrize(
    "members", [{"id": "order-2"}, {"reference_id": "ref-2"}, {"state": "CANCELED"}, {"version": 1}]
)
def test_a_settled_order_is_compared_too(bench: Bench, members: dict[str, str]) -> None:
    changed(bench, f"{ORDERS}/order-1/pay", **members)

    with pytest.raises(Unanswered):
        bench.submit(merchant_funded_discount=1000)

    assert bench.session.placing


@pytest.mark.rule("SUB-5", "SUB-8")
@pytest.mark.parametrize(
    ("members", "words"),
    [
        ({"id": "order-2"}, "another order"),
        ({"reference_id": None}, "another order"),
        ({"location_id": AIRPORT}, "another order"),
        ({"state": None}, "order.state"),
        ({"state": "DRAFT"}, "it is unclear"),
        ({"version": 2}, "it is unclear"),
        ({"version": None}, "order.version"),
        ({"tenders": {}}, "order.tenders"),
    ],
)
def test_a_look_up_without_proof_proves_nothing(bench: Bench, members: dict[str, Any], words: str) -> None:
    bench.square.faults.extend([Fault(PAYMENTS, "before")] * 3)
    with pytest.raises(Unanswered):
        bench.submit()
    changed(bench, f"{ORDERS}/order-1", **members)

    with pytest.raises(Unanswered, match=words):
        look(bench)


@pytest.mark.rule("SUB-8")
def test_a_paid_order_that_is_canceled_is_a_contradiction(bench: Bench) -> None:
    bench.submit()
    bench.square.orders["order-1"]["state"] = "CANCELED"

    with pytest.raises(Unanswered, match="paid and canceled"):
        look(bench)


def unpaid(bench: Bench) -> None:
    bench.square.faults.extend([Fault(PAYMENTS, "before")] * 3)
    with pytest.raises(Unanswered):
        bench.submit()


def fence(bench: Bench, charge: int = 1070) -> None:
    bench.adapter.fence_order(bench.locations[BOSTON], "ref-1", {**UNPAID, "charge": charge}, bench.new_session())


@pytest.mark.rule("SUB-10")
def test_a_payment_that_comes_after_the_fence_is_refused(bench: Bench) -> None:
    unpaid(bench)

    for _ in range(2):
        fence(bench)
    late = bench.submit_again()

    assert isinstance(late, ReferenceFenced) and bench.square.payments == []
    assert bench.square.orders["order-1"]["state"] == "CANCELED"
    assert look(bench) is None
    assert bench.square.violations == []


@pytest.mark.rule("SUB-10")
@pytest.mark.parametrize("discount", [0, 1000])
def test_a_fence_leaves_an_order_that_is_placed(bench: Bench, discount: int) -> None:
    charge = bench.submit(merchant_funded_discount=discount).charged

    fence(bench, charge or 0)

    assert bench.square.orders["order-1"]["state"] == "OPEN" and len(bench.square.kitchen) == 1


@pytest.mark.rule("SUB-10")
def test_an_order_that_is_paid_beside_the_fence_is_not_canceled(bench: Bench) -> None:
    unpaid(bench)
    shown: list[int] = []

    def pay_meanwhile(path: str, body: Any) -> Any:
        if path == f"{ORDERS}/order-1" and not shown:
            shown.append(1)
            bench.square.pay_late("order-1", "ref-1")
        return body

    bench.square.change = pay_meanwhile
    with pytest.raises(Unanswered):
        fence(bench)

    assert look(bench) == placed(1070)


@pytest.mark.rule("SUB-5", "SUB-10")
def test_an_order_that_others_change_is_fenced(bench: Bench) -> None:
    """Apps of the seller see it before it is paid. What they do between the look and the fence is looked at again."""
    unpaid(bench)
    bench.square.touch("order-1")
    touched: list[int] = []

    def touch_meanwhile(path: str, body: Any) -> Any:
        if path == f"{ORDERS}/order-1" and not touched:
            touched.append(1)
            bench.square.orders["order-1"]["fulfillments"][0]["state"] = "CANCELED"
            bench.square.touch("order-1")
        return body

    bench.square.change = touch_meanwhile
    with pytest.raises(Failure):
        fence(bench)
    with pytest.raises(Unanswered, match="unclear"):
        look(bench)
    fence(bench)

    assert look(bench) is None and bench.square.violations == []
    assert isinstance(bench.submit_again(), ReferenceFenced) and bench.square.kitchen == []


@pytest.mark.rule("SUB-10")
@pytest.mark.parametrize("members", [{"state": "OPEN"}, {"id": "order-2"}, {"reference_id": None}])
def test_a_fence_that_square_does_not_confirm_is_none(bench: Bench, members: dict[str, Any]) -> None:
    unpaid(bench)
    seen: list[str] = []

    def change(path: str, body: Any) -> Any:
        seen.append(path)
        if len(seen) < 2:
            return body
        order = {**body["order"], **members}
        return {"order": {name: value for name, value in order.items() if value is not None}}

    bench.square.change = change

    with pytest.raises(Unanswered):
        fence(bench)


def error(category: str, code: str, detail: str = "no", **members: str) -> Any:
    return {"errors": [{"category": category, "code": code, "detail": detail, **members}]}


@pytest.mark.rule("SUB-5", "ERR-2")
def test_a_refused_payment_leaves_an_order_that_is_looked_at(bench: Bench) -> None:
    declined = error("PAYMENT_METHOD_ERROR", "GENERIC_DECLINE", "no luck")
    bench.square.faults.append(Fault(PAYMENTS, status=402, body=declined))

    with pytest.raises(Refused) as caught:
        bench.submit()

    assert (caught.value.code, caught.value.message) == ("order_refused", "no luck")
    assert bench.square.calls == [f"POST {ORDERS}", f"POST {PAYMENTS}", f"GET {ORDERS}/order-1"]
    assert bench.square.kitchen == []


@pytest.mark.rule("SUB-2", "SUB-5")
def test_a_refusal_after_a_successful_payment_is_not_believed(bench: Bench) -> None:
    paid = error("INVALID_REQUEST_ERROR", "BAD_REQUEST", "The order is already paid.")
    bench.square.faults.extend([Fault(PAYMENTS, "after"), Fault(PAYMENTS, status=400, body=paid)])

    assert bench.submit() == placed(1070)


@pytest.mark.rule("SUB-5")
@pytest.mark.parametrize("status", [404, 500])
def test_a_refused_payment_of_an_order_that_cannot_be_looked_at(bench: Bench, status: int) -> None:
    declined = error("PAYMENT_METHOD_ERROR", "GENERIC_DECLINE")
    bench.square.faults.append(Fault(PAYMENTS, status=402, body=declined))
    bench.square.faults.extend([Fault(f"{ORDERS}/order-1", status=status, body=error("API_ERROR", "NOT_FOUND"))] * 3)

    with pytest.raises(Unanswered):
        bench.submit()

    assert bench.session.placing


@pytest.mark.rule("SUB-5")
def test_an_order_that_square_does_not_know_is_not_ruled_out(bench: Bench) -> None:
    trace = {"order_id": "order-9", "version": 1, "charge": 1070}

    with pytest.raises(Refused, match="Order not found"):
        bench.adapter.find_order(bench.locations[BOSTON], "ref-1", trace, bench.new_session())


@pytest.mark.rule("SUB-5")
@pytest.mark.parametrize(("status", "failure"), [("CANCELED", Refused), ("FAILED", Refused), ("PENDING", Unanswered)])
def test_a_payment_that_is_not_made(bench: Bench, status: str, failure: type[Failure]) -> None:
    bench.square.payment_status = status

    with pytest.raises(failure) as caught:
        bench.submit()

    assert isinstance(caught.value, Refused) or bench.session.placing


@pytest.mark.rule("SUB-5")
def test_a_reused_key_proves_nothing(bench: Bench) -> None:
    reused = error("INVALID_REQUEST_ERROR", "IDEMPOTENCY_KEY_REUSED")
    bench.square.faults.append(Fault(PAYMENTS, status=400, body=reused))

    with pytest.raises(Unanswered) as caught:
        bench.submit()

    assert caught.value.sent and bench.session.placing


@pytest.mark.rule("PAY-4")
def test_another_amount_than_asked_for_is_reported(bench: Bench) -> None:
    def short(path: str, body: Any) -> Any:
        return {"payment": {**body["payment"], "total_money": usd(1)}} if path == PAYMENTS else body

    bench.square.change = short

    placed = bench.submit()

    assert placed.charge_mismatch and (placed.expected_charge, placed.charged) == (1070, 1)


@pytest.mark.rule("MONEY-5", "PAY-1", "SUB-2")
def test_a_free_order_is_settled_without_a_payment(bench: Bench) -> None:
    placed = bench.submit(merchant_funded_discount=1000)

    assert bench.square.calls == [f"POST {ORDERS}", f"POST {ORDERS}/order-1/pay"]
    assert (placed.expected_charge, placed.charged, len(bench.square.kitchen)) == (0, 0, 1)
    assert bench.submit(merchant_funded_discount=1000, tip=50, reference="ref-2").charged == 50


@pytest.mark.rule("SUB-5")
@pytest.mark.parametrize(("lost", "exists"), [("before", False), ("after", True)])
def test_an_order_that_costs_nothing_is_found_by_its_version(bench: Bench, lost: str, exists: bool) -> None:
    bench.square.faults.extend([Fault(f"{ORDERS}/order-1/pay", lost)] * 3)
    with pytest.raises(Unanswered):
        bench.submit(merchant_funded_discount=1000)

    trace = {"order_id": "order-1", "version": 1, "charge": 0}
    found = bench.adapter.find_order(bench.locations[BOSTON], "ref-1", trace, bench.new_session())

    assert found == (placed(0) if exists else None)


# Errors


@pytest.mark.rule("ERR-2", "ERR-3")
@pytest.mark.parametrize(
    ("code", "field", "detail", "ours"),
    [
        ("NOT_FOUND", "", "Item variation with catalog object ID `V` not found.", "unknown_item"),
        ("NOT_FOUND", "order.line_items[3].modifiers[0].catalog_object_id", "nope", "unknown_option"),
        ("INVALID_LOCATION", "order.location_id", "The location is not yours.", "location_not_found"),
        ("INVALID_PHONE_NUMBER", "", "no number", "customer_refused"),
        ("VALUE_TOO_LONG", "order.fulfillments[0].pickup_details.recipient.display_name", "long", "customer_refused"),
        ("VALUE_TOO_LONG", "order.line_items[0].note", "long", "special_instructions_too_long"),
        ("INVALID_VALUE", "order.fulfillments[0].pickup_details.pickup_at", "in the past", "ready_time_unavailable"),
        ("INVALID_VALUE", "order.line_items[0].quantity", "too many", "invalid_choices"),
        ("AMOUNT_TOO_HIGH", "", "too dear", "order_refused"),
    ],
)
def test_squares_errors_in_our_codes_and_its_words(code: str, field: str, detail: str, ours: str) -> None:
    body = json.dumps(error("INVALID_REQUEST_ERROR", code, detail, field=field)).encode()

    refusal = SquareAdapter(account()).error_from(Reply(400, {}, body))

    assert refusal is not None
    assert (refusal.code, refusal.message) == (ours, detail)
    assert refusal.path == (f"$.items[{field[17]}].item" if "line_items" in field else None)


@pytest.mark.rule("ERR-3")
@pytest.mark.parametrize(
    ("status", "body", "code"),
    [
        (401, error("AUTHENTICATION_ERROR", "UNAUTHORIZED"), "provider_credentials_refused"),
        (403, error("AUTHENTICATION_ERROR", "INSUFFICIENT_SCOPES"), "provider_credentials_refused"),
        (429, error("RATE_LIMIT_ERROR", "RATE_LIMITED"), "rate_limited"),
        (503, error("API_ERROR", "SERVICE_UNAVAILABLE"), "provider_unavailable"),
        (400, error("INVALID_REQUEST_ERROR", "UNKNOWN_BODY_PARAMETER"), "provider_protocol_error"),
        (400, error("API_ERROR", "INTERNAL_SERVER_ERROR"), "provider_protocol_error"),
        (400, {"errors": []}, "provider_protocol_error"),
        (404, ["?"], "provider_protocol_error"),
    ],
)
def test_errors_that_are_not_refusals(bench: Bench, status: int, body: Any, code: str) -> None:
    bench.square.faults.extend([Fault(CALCULATE, status=status, body=body)] * 3)

    with pytest.raises(Unanswered) as caught:
        bench.validate()

    assert caught.value.code == code


def test_the_error_map_names_existing_codes() -> None:
    assert {ours for _, ours in _REFUSALS if ours} <= set(KINDS)


# Answers that are not quite what they should be


def recorded() -> dict[str, Any]:
    """One answer of each call, of an order with everything."""
    answers: dict[str, Any] = {}
    bench = Bench(Square(rebate=1000, bag_fee=25, page=100, ticket_name="7"), prep_minutes="20")
    bench.square.change = lambda path, body: answers.setdefault(path, copy.deepcopy(body)) and body
    bench.menu()
    bench.new_session().get("/v2/locations")
    bench.validate(**FULL)
    bench.submit(**FULL)
    bench.adapter.find_order(bench.locations[BOSTON], "ref-1", TRACE, bench.new_session())
    assert bench.square.violations == []
    return answers


FULL: dict[str, Any] = {"tip": 200, "merchant_funded_discount": 100, "special_instructions": "ring"}
TRACE = {"order_id": "order-1", "version": 1, "charge": 1081}
RECORDED = recorded()
RIGHT = Bench(Square(rebate=1000, bag_fee=25), prep_minutes="20").validate(**FULL)
MUTATED = settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow])


class Answering:
    """A session that answers from what was recorded, except for one call."""

    def __init__(self, path: str, body: Any) -> None:
        self._answers = {**RECORDED, path: body}
        self.paid = False

    def get(self, path: str, **_: Any) -> Reply:
        return Reply(200, {}, json.dumps(self._answers[path]).encode())

    def post(self, path: str, body: Any, *, places_order: bool = False, **_: Any) -> Reply:
        self.paid = self.paid or places_order
        return self.get(path)


BENCH = Bench(Square(rebate=1000, bag_fee=25), prep_minutes="20")


@pytest.mark.rule("MONEY-9", "ERR-3")
@MUTATED
@given(mutate(RECORDED[CALCULATE]))
def test_a_price_is_the_right_one_or_a_clear_error(answer: Any) -> None:
    session: Any = Answering(CALCULATE, answer)
    try:
        quote = BENCH.adapter.validate_order(BENCH.order(**FULL), session)
    except (Refused, Unanswered):
        return
    assert replace(quote, fees=()) == replace(RIGHT, fees=())
    assert [fee.amount for fee in quote.fees] == [25]


@pytest.mark.rule("MONEY-9", "PAY-4", "SUB-5")
@MUTATED
@given(st.sampled_from([ORDERS, PAYMENTS]).flatmap(lambda path: st.tuples(st.just(path), mutate(RECORDED[path]))))
def test_an_order_is_paid_at_its_right_price_or_not_at_all(changed: tuple[str, Any]) -> None:
    session: Any = Answering(*changed)
    order = BENCH.order(**FULL, reference="ref-1", cart=RIGHT.cart)
    try:
        placed = BENCH.adapter.submit_order(order, LevelUp(), session)
    except Refused:
        assert not session.paid or changed[0] == PAYMENTS
    except Unanswered:
        return
    else:
        assert session.paid and placed.expected_charge == RIGHT.charged
        assert placed.charge_mismatch == (placed.charged != RIGHT.charged)


@pytest.mark.rule("SUB-5")
@MUTATED
@given(mutate(RECORDED[f"{ORDERS}/order-1"]))
def test_a_look_up_finds_the_order_or_a_clear_error(answer: Any) -> None:
    path = f"{ORDERS}/order-1"
    session: Any = Answering(path, answer)
    try:
        found = BENCH.adapter.find_order(BENCH.locations[BOSTON], "ref-1", TRACE, session)
    except (Refused, Unanswered):
        return
    tenders = answer["order"].get("tenders")
    assert found is not None or not tenders or tenders[0]["amount_money"]["amount"] == 0


@pytest.mark.rule("MENU-3", "MENU-5", "MONEY-1")
@MUTATED
@given(mutate(RECORDED[CATALOG]))
def test_a_menu_has_catalog_prices_or_is_a_clear_error(answer: Any) -> None:
    session: Any = Answering(CATALOG, answer)
    try:
        menu = BENCH.adapter.show_menu(BENCH.locations[BOSTON], session)
    except Unanswered:
        return
    menus.check(menu)
    options = [option for group in menu.option_groups for option in group.options]
    items = [item for category in menu.categories for item in category.items]
    assert {each.price for each in (*items, *options)} <= {0, *amounts(answer)}


@pytest.mark.rule("LOC-1", "LOC-2")
@MUTATED
@given(mutate(RECORDED["/v2/locations"]))
def test_locations_are_right_or_a_clear_error(answer: Any) -> None:
    session: Any = Answering("/v2/locations", answer)
    try:
        places = BENCH.adapter.list_locations(session)
    except Unanswered:
        return
    known = [place for place in places if place.provider_id in BENCH.locations]
    # A dropped location is not there, an id of another type is another one; all others are as they were.
    assert len(known) >= len(BENCH.locations) - 1
    assert sum(place != BENCH.locations[place.provider_id] for place in known) <= 1


def amounts(value: Any) -> Iterator[int]:
    """All amounts of money anywhere in a JSON value."""
    if isinstance(value, list):
        for each in value:
            yield from amounts(each)
    elif isinstance(value, dict):
        if isinstance(value.get("amount"), int):
            yield value["amount"]
        for each in value.values():
            yield from amounts(each)


# What staff and guests do


def refused_page() -> dict[str, Any]:
    detail = "The cursor is invalid."
    error = {"category": "INVALID_REQUEST_ERROR", "code": "INVALID_CURSOR", "detail": detail, "field": "cursor"}
    return {"errors": [error]}


@pytest.mark.rule("ERR-3", "MENU-3")
def test_pages_are_read_again_once_when_a_cursor_expired(bench: Bench) -> None:
    whole = Bench().menu()
    pages: list[str] = []

    def expire(path: str, body: Any) -> Any:
        if path == CATALOG:
            pages.append(path)
            if len(pages) == 2:
                bench.square.faults.append(Fault(CATALOG, status=400, body=refused_page()))
        return body

    bench.square.change = expire

    assert bench.menu() == whole
    assert bench.square.calls == [f"GET {CATALOG}"] * 7


@pytest.mark.rule("ERR-3", "MENU-3")
def test_a_catalog_that_stays_refused_is_read_twice(bench: Bench) -> None:
    bench.square.faults += [Fault(CATALOG, status=400, body=refused_page())] * 2

    with pytest.raises(Refused):
        bench.menu()
    assert len(bench.square.calls) == 2


@pytest.mark.rule("LOC-3", "LOC-1")
@pytest.mark.parametrize("broken", [{"timezone": 5}, {"address": []}, {"status": None}])
def test_a_location_that_cannot_be_read_hides_no_other(broken: dict[str, Any]) -> None:
    bench = Bench()
    bench.square.locations[0] |= broken

    listed = bench.adapter.list_locations(bench.new_session())

    assert isinstance(listed, Listed)
    assert list(listed.unread) == [BOSTON] and AIRPORT in {place.provider_id for place in listed}


@pytest.mark.rule("LOC-1", "MONEY-1")
def test_a_location_with_another_currency_is_not_active(bench: Bench) -> None:
    bench.square.locations[0]["currency"] = "CAD"

    active = {place.provider_id: place.active for place in bench.adapter.list_locations(bench.new_session())}

    assert (active[BOSTON], active[AIRPORT]) == (False, True)


@pytest.mark.rule("MENU-6", "MONEY-1")
@pytest.mark.parametrize("price", [{"amount": -100, "currency": "USD"}, {"amount": 900, "currency": "CAD"}])
def test_what_has_no_price_in_cents_is_left_out(price: dict[str, Any]) -> None:
    odd = variation("V", "Regular", 1)
    odd["item_variation_data"]["price_money"] = price
    menu = read([item("I", "Odd", odd), item("J", "Tea", variation("W", "Regular", 300))])

    assert [each.provider_id for category in menu.categories for each in category.items] == ["W"]
    assert menu.left_out == ("price isn't an amount in cents of USD item_provider_id=V",)


@pytest.mark.rule("MENU-6", "ITEM-7")
@pytest.mark.parametrize("sold_out, kept", [("", True), ("A", True), ("AB", False), ("ABC", False)])
def test_an_item_whose_choices_are_too_few_is_left_out(sold_out: str, kept: bool) -> None:
    gone = [{"location_id": BOSTON, "sold_out": True}]
    modifiers = [
        thing("MODIFIER", key, name=key, **({"location_overrides": gone} if key in sold_out else {})) for key in "ABC"
    ]
    sides = thing("MODIFIER_LIST", "L", name="Two sides", modifiers=modifiers, min_selected_modifiers=2)
    plate = item("I", "Plate", variation("V", "V", 900), modifier_list_info=[{"modifier_list_id": "L"}])

    assert bool(read([sides, plate]).categories) == kept


@pytest.mark.rule("MENU-1", "MENU-3", "MENU-6")
def test_a_catalog_of_hundreds_of_items_is_read_whole() -> None:
    objects = [
        item(f"I{number}", f"Item {number}", variation(f"V{number}", "Regular", number), modifier_list_info=[
            {"modifier_list_id": f"L{number % 7}"}
        ])
        for number in range(1, 701)
    ]  # fmt: skip
    objects += [
        thing("MODIFIER_LIST", f"L{number}", name=f"List {number}", min_selected_modifiers=number % 3, modifiers=[
            thing("MODIFIER", f"M{number}-{each}", name=f"M {each}") for each in range(number % 4)
        ])
        for number in range(7)
    ]  # fmt: skip
    square = Square(catalog=objects)
    square.page = 100

    menu = Bench(square).menu()

    prices = {each.provider_id: each.price for category in menu.categories for each in category.items}
    # The lists whose minimum is above the number of their options: 5 of 1 option needs 2, 4 of none needs 1.
    assert prices == {f"V{number}": number for number in range(1, 701) if number % 7 not in (4, 5)}
    assert menus.check(menu) == ()


@pytest.mark.rule("META-5", "ERR-2")
@pytest.mark.parametrize(
    ("members", "path"),
    [
        ({"phone": "+1 617 555 0199 9999999"}, "$.user.phone"),
        ({"phone": "call me maybe"}, "$.user.phone"),
        ({"phone": "617 555 0199 or 0198"}, "$.user.phone"),
        ({"first_name": "A" * 250}, "$.user.name"),
        ({"email": "a" * 250 + "@b.com"}, "$.user.email"),
    ],
)
def test_a_guest_that_square_does_not_take_is_refused_at_once(bench: Bench, members: dict[str, str], path: str) -> None:
    assert bench.refusal(user=replace(ADA, **members)) == ("customer_refused", path)


@pytest.mark.rule("EP-11", "META-5")
@pytest.mark.parametrize(
    ("written", "phone", "name"),
    [
        ("617-555-0199 extension 5", "6175550199", "Ada Eater (ext. 5)"),
        ("+1 (617) 555-0199 ext. 12345", "+16175550199", "Ada Eater (ext. 12345)"),
        ("617.555.0199 x5", "6175550199", "Ada Eater (ext. 5)"),
        ("617 555 0199, EXT: 5", "6175550199", "Ada Eater (ext. 5)"),
        ("617 555 0199#5", "6175550199", "Ada Eater (ext. 5)"),
        ("617-555-0199", "6175550199", "Ada Eater"),
    ],
)
def test_an_extension_goes_with_the_name(bench: Bench, written: str, phone: str, name: str) -> None:
    """Square has no member for it, and takes no letters in a number."""
    bench.validate(user=replace(ADA, phone=written))

    recipient = bench.square.bodies[-1]["order"]["fulfillments"][0]["pickup_details"]["recipient"]
    assert (recipient["phone_number"], recipient["display_name"]) == (phone, name)


@pytest.mark.rule("TIME-11", "META-5")
def test_a_location_that_has_closed_gets_no_order() -> None:
    bench = Bench(prep_minutes="20")
    shown = Shown(NOON, None, bench.validate().ready.soonest)
    closed = replace(bench.locations[BOSTON], hours=opening_hours([("friday", 660, 720)]))
    bench.locations[BOSTON] = closed

    with pytest.raises(Failure) as caught:
        bench.submit(shown=shown)
    assert (caught.value.code, caught.value.path) == ("ready_time_unavailable", "$.desired_ready_time")
    assert f"POST {ORDERS}" not in bench.square.calls
    # No time was shown: the next opening is what there is.
    assert bench.submit().order_id


@pytest.mark.rule("META-5", "META-2")
def test_a_price_edited_after_the_validation_is_not_charged(bench: Bench) -> None:
    quote = bench.validate()
    for each in bench.square.catalog:
        for size in each.get("item_data", {}).get("variations", []):
            if size["id"] == "VBURGER":
                size["item_variation_data"]["price_money"]["amount"] += 100

    with pytest.raises(Refused) as caught:
        bench.submit(cart=quote.cart)
    assert caught.value.code == "price_changed"
    assert f"POST {PAYMENTS}" not in bench.square.calls


def reported(bench: Bench, reference: str = "ref-1") -> OrderStatus:
    return bench.adapter.show_status(bench.locations[BOSTON], "order-1", reference, bench.new_session())


@pytest.mark.rule("STAT-2", "STAT-4")
@pytest.mark.parametrize(
    ("state", "stamps", "expected"),
    [
        ("PROPOSED", {"placed_at": "16:00"}, ("PROPOSED", "placed")),
        ("RESERVED", {"placed_at": "15:50", "accepted_at": "16:00"}, ("RESERVED", "preparing")),
        ("PREPARED", {"accepted_at": "15:50", "ready_at": "16:00"}, ("PREPARED", "ready")),
        ("COMPLETED", {"ready_at": "15:50", "picked_up_at": "16:00"}, ("COMPLETED", "picked_up")),
        ("CANCELED", {"canceled_at": "16:00"}, ("CANCELED", "cancelled")),
        ("FAILED", {"rejected_at": "16:00"}, ("FAILED, rejected", "refused")),
        ("FAILED", {}, ("FAILED", None)),
    ],
)
def test_a_fulfillment_has_the_status_of_an_order(
    bench: Bench, state: str, stamps: dict[str, str], expected: tuple[str, str | None]
) -> None:
    bench.submit()
    bench.square.calls.clear()
    bench.square.move("order-1", state, **{name: f"2026-11-23T{time}:00Z" for name, time in stamps.items()})

    status = reported(bench)

    assert (status.word, bench.adapter.order_status.get(status.word), status.reference) == (*expected, "ref-1")
    assert status.changed_at == (datetime(2026, 11, 23, 16, 0, tzinfo=timezone.utc) if stamps else None)
    assert bench.square.calls == ["GET /v2/orders/order-1"] and bench.square.violations == []


@pytest.mark.rule("STAT-2")
def test_an_order_of_several_fulfillments_is_not_guessed(bench: Bench) -> None:
    bench.submit()
    more = copy.deepcopy(bench.square.orders["order-1"]["fulfillments"][0])
    bench.square.orders["order-1"]["fulfillments"].append({**more, "uid": "more", "state": "PREPARED"})
    assert reported(bench).word == "PREPARED, PROPOSED"


SHIPMENT = {"uid": "more", "type": "SHIPMENT", "state": "PROPOSED"}
ADDED: dict[str, tuple[Any, str]] = {
    "a shipment": ([SHIPMENT], "PROPOSED"),
    "a shipment that is under way": ([{**SHIPMENT, "state": "COMPLETED"}], "COMPLETED, shipped, PROPOSED"),
    "a pickup without details": ([{"uid": "more", "type": "PICKUP", "state": "PREPARED"}], "PREPARED, PROPOSED"),
    "a delivery without details": ([{**SHIPMENT, "type": "DELIVERY"}], "PROPOSED"),
}


@pytest.mark.rule("STAT-2", "SUB-5", "SUB-8")
@pytest.mark.parametrize("case", ADDED)
@pytest.mark.parametrize("in_front", [True, False])
def test_what_the_seller_adds_is_no_contradiction(bench: Bench, case: str, in_front: bool) -> None:
    added, word = ADDED[case]
    bench.submit()
    [own] = bench.square.orders["order-1"]["fulfillments"]
    bench.square.touch("order-1", fulfillments=[*added, own] if in_front else [own, *added])

    status = reported(bench)

    assert (status.word, status.changed_at, status.expected_ready_at) == (word, None, None)
    assert look(bench) == placed(1070)


@pytest.mark.rule("STAT-2")
@pytest.mark.parametrize(
    ("state", "expected"),
    [("PREPARED", ("PREPARED", "ready")), ("COMPLETED", ("COMPLETED, shipped", None)),
     ("CANCELED", ("CANCELED", "cancelled"))],
)  # fmt: skip
def test_an_order_that_is_shipped_instead_is_not_picked_up(
    bench: Bench, state: str, expected: tuple[str, str | None]
) -> None:
    bench.submit()
    bench.square.touch("order-1", fulfillments=[{**SHIPMENT, "state": state}])

    word = reported(bench).word

    assert (word, bench.adapter.order_status.get(word)) == expected


@pytest.mark.rule("STAT-6")
@pytest.mark.parametrize("own", ["PROPOSED", "CANCELED"])
def test_all_parts_of_an_order_are_canceled(bench: Bench, own: str) -> None:
    """A part that the seller has canceled is left out: it has ended."""
    bench.submit()
    bench.square.move("order-1", own)
    [pickup] = bench.square.orders["order-1"]["fulfillments"]
    bench.square.touch("order-1", fulfillments=[pickup, dict(SHIPMENT)])

    bench.adapter.cancel_order(bench.locations[BOSTON], "order-1", "ref-1", bench.new_session())

    assert reported(bench).word == "CANCELED" and bench.square.violations == []


@pytest.mark.rule("STAT-6")
def test_an_order_that_is_given_out_in_part_is_not_canceled(bench: Bench) -> None:
    bench.submit()
    bench.square.move("order-1", "COMPLETED")
    [pickup] = bench.square.orders["order-1"]["fulfillments"]
    bench.square.touch("order-1", fulfillments=[pickup, dict(SHIPMENT)])

    with pytest.raises(Refused):
        bench.adapter.cancel_order(bench.locations[BOSTON], "order-1", "ref-1", bench.new_session())

    assert reported(bench).word == "COMPLETED, PROPOSED"


@pytest.mark.rule("STAT-2")
def test_a_canceled_order_is_cancelled_whatever_its_fulfillment(bench: Bench) -> None:
    bench.submit()
    bench.square.orders["order-1"]["state"] = "CANCELED"
    assert reported(bench).word == "CANCELED"


@pytest.mark.rule("STAT-3")
@pytest.mark.parametrize("members", [{"id": "order-2"}, {"reference_id": "ref-2"}, {"location_id": AIRPORT}])
def test_the_status_of_another_order_is_none(bench: Bench, members: dict[str, Any]) -> None:
    bench.submit()
    changed(bench, f"{ORDERS}/order-1", **members)
    with pytest.raises(Unanswered, match="another order"):
        reported(bench)


@pytest.mark.rule("STAT-6")
def test_the_fulfillment_of_a_paid_order_is_canceled(bench: Bench) -> None:
    bench.submit()
    bench.square.move("order-1", "RESERVED")
    bench.square.calls.clear()
    before = copy.deepcopy(bench.square.orders["order-1"])
    for _ in range(2):
        bench.adapter.cancel_order(bench.locations[BOSTON], "order-1", "ref-1", bench.new_session())
        # As if the first answer had been lost, and a replica did not know of it yet: the same key again.
        bench.square.change = lambda path, body: {"order": before}
    bench.square.change = lambda path, body: body
    assert reported(bench).word == "CANCELED"
    assert bench.square.calls[:2] == ["GET /v2/orders/order-1", "PUT /v2/orders/order-1"]
    assert bench.square.violations == []


@pytest.mark.rule("STAT-6")
def test_a_fulfillment_that_has_ended_is_not_canceled(bench: Bench) -> None:
    bench.submit()
    bench.square.move("order-1", "COMPLETED")
    with pytest.raises(Refused):
        bench.adapter.cancel_order(bench.locations[BOSTON], "order-1", "ref-1", bench.new_session())
    assert reported(bench).word == "COMPLETED" and bench.square.violations == []


@pytest.mark.rule("STAT-6")
def test_nothing_is_changed_of_another_order(bench: Bench) -> None:
    bench.submit()
    with pytest.raises(Unanswered, match="another order"):
        bench.adapter.cancel_order(bench.locations[BOSTON], "order-1", "ref-2", bench.new_session())
    assert reported(bench).word == "PROPOSED"
