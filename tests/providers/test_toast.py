"""The Toast adapter against the stand-in, through the transport."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
import pytz

from adapters.toast import NotFound, ToastAdapter
from levelup_ov.adapter import Account
from levelup_ov.domain.failure import Failure
from levelup_ov.domain.location import Listed
from levelup_ov.domain.menu import Menu, MenuItem, MenuOption, check
from levelup_ov.domain.options import Option
from levelup_ov.domain.order import Item, Order, User
from levelup_ov.domain.orderable import orderable
from levelup_ov.domain.outcome import Fee, Quote
from levelup_ov.domain.ready_time import Shown, available_at, to_wire
from levelup_ov.domain.secret import Secret
from levelup_ov.domain.status import OrderStatus
from levelup_ov.domain.tender import LevelUp
from levelup_ov.errors import KINDS, Refused, Unanswered
from levelup_ov.transport import auth as login
from levelup_ov.transport import net
from levelup_ov.transport.deadline import Deadline
from levelup_ov.transport.response_cache import MemoryStore, ResponseCache
from levelup_ov.transport.session import Reply, Session, Transport
from tests.servers.toast import ARCHIVED, BOSTON, CAMBRIDGE, CLIENT_SECRET, OPEN_DISCOUNT, TAKEOUT, ToastServer
from tests.servers.toast import Refusal as ToastRefusal

FRIDAY_NOON = datetime(2026, 11, 20, 17, 0, tzinfo=timezone.utc)
NEW_YORK = pytz.timezone("America/New_York")
ANN = User("Ann", "Example", phone="6175550123", email="ann@example.com")
BURGER, SODA, PIZZA = "lunch:mains:burger", "lunch:cold:soda", "dinner:pizza:pizza"
FRIES, MAYO, HOT = "side:fries", "side:fries:dip@2:mayo", "side:fries:dip@2:mayo:heat:hot"
PRICES, ORDERS = "/orders/v2/prices", "/orders/v2/orders"
LOGIN = "/authentication/v1/authentication/login"


class Bench:
    """The adapter, the stand-in, and a session for each request."""

    def __init__(self, toast: ToastServer, **settings: str) -> None:
        self.toast, self.now = toast, FRIDAY_NOON
        values: dict[str, str | Secret] = {**toast.settings(**settings), "client_secret": Secret(CLIENT_SECRET)}
        self.adapter = ToastAdapter(Account("grill", "toast", "Boston Grill", values))
        self.transport = Transport(pool_size=4)
        self.session = self.new_session()

    def new_session(self, seconds: float = 14.0) -> Session:
        self.session = Session(
            self.transport,
            "grill",
            base_url=self.adapter.base_url,
            headers=self.adapter.headers(),
            error_from=self.adapter.error_from,
            deadline=Deadline(seconds),
        )
        return self.session

    def forget_answers(self) -> None:
        """As when the kept answers have become too old."""
        self.transport.cache = ResponseCache(MemoryStore())

    def menu(self) -> Menu:
        location = self.adapter.list_locations(self.new_session())[0]
        return self.adapter.show_menu(location, self.new_session())

    def order(self, *items: Item, place: int = 0, **members: Any) -> Order:
        location = self.adapter.list_locations(self.new_session())[place]
        return Order(location, items or (Item(SODA, 1),), **{"user": ANN, "received_at": self.now, **members})

    def validate(self, *items: Item, **members: Any) -> Quote:
        return self.adapter.validate_order(self.order(*items, **members), self.new_session())

    def submit(self, *items: Item, reference: str = "ref-1", **members: Any) -> Any:
        order = self.order(*items, reference=reference, **members)
        return self.adapter.submit_order(order, LevelUp(), self.new_session())

    def find(self, reference: str = "ref-1", place: int = 0) -> Any:
        location = self.adapter.list_locations(self.new_session())[place]
        return self.adapter.find_order(location, reference, {}, self.new_session())

    def sent(self, path: str) -> Any:
        """What was sent last to a path."""
        return [body for sent_to, body in self.toast.bodies if sent_to == path][-1]


@pytest.fixture
def toast() -> Iterator[ToastServer]:
    with ToastServer() as server:
        yield server


@pytest.fixture
def bench(toast: ToastServer) -> Bench:
    return Bench(toast)


def burger(*options: str | Option, quantity: int = 1, **members: Any) -> Item:
    chosen = (Option(each) if isinstance(each, str) else each for each in (FRIES, *options))
    return Item(BURGER, quantity, tuple(chosen), **members)


def refusal_of(call: Any, *args: Any, **members: Any) -> Failure:
    with pytest.raises(Failure) as caught:
        call(*args, **members)
    assert caught.value.code in KINDS
    return caught.value


@pytest.mark.rule("LOC-1", "LOC-2", "EP-7")
def test_every_restaurant_of_the_client_is_a_location(bench: Bench) -> None:
    boston, cambridge = bench.adapter.list_locations(bench.new_session())

    assert (boston.provider_id, boston.name) == (BOSTON, "Boston Grill - Back Bay")
    assert (cambridge.provider_id, cambridge.name) == (CAMBRIDGE, "Boston Grill")
    assert (boston.street_address, boston.locality, boston.region) == ("1 Main St", "Boston", "MA")
    assert (boston.time_zone, str(boston.latitude)) == ("America/New_York", "42.3601")
    assert boston.accepts_tips_on_pickup is None and not boston.fulfills("delivery")
    hours = {day: [(span.opens_at, span.closes_at) for span in spans or ()] for day, spans in boston.hours.items()}
    assert hours["monday"] == [] and hours["tuesday"] == [(660, 1260)]
    assert hours["friday"] == [(660, 1440)] and hours["saturday"] == [(0, 120), (660, 1260)]


@pytest.mark.rule("LOC-1")
def test_a_removed_restaurant_is_terminated_and_hides_no_other(toast: ToastServer) -> None:
    toast.restaurants[CAMBRIDGE]["general"]["archived"] = True
    bench = Bench(toast, restaurants=f"{ARCHIVED},{BOSTON},{CAMBRIDGE}")

    places = bench.adapter.list_locations(bench.session)

    assert [(place.provider_id, place.terminated, place.fulfills("pickup")) for place in places] == [
        (ARCHIVED, True, False),
        (BOSTON, False, True),
        (CAMBRIDGE, True, False),
    ]


@pytest.mark.rule("LOC-1", "MONEY-1")
def test_a_restaurant_with_another_currency_is_not_active(toast: ToastServer) -> None:
    toast.restaurants[CAMBRIDGE]["general"]["currencyCode"] = "CAD"

    def active(**settings: str) -> list[bool]:
        bench = Bench(toast, **settings)
        return [place.active for place in bench.adapter.list_locations(bench.session)]

    assert active() == [True, False]
    assert active(currency="CAD") == [False, True]


def test_settings_for_each_restaurant_are_given_in_their_order(toast: ToastServer) -> None:
    bench = Bench(toast, dining_option=f"no-such-option, {TAKEOUT}")

    assert refusal_of(bench.validate).message == "Dining option not found"
    assert bench.validate(place=1).food == 300
    for wrong in ({"payment_type": "a,b,c"}, {"dining_option": ","}, {"menus_version": "v1"}):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            Bench(toast, **wrong)


@pytest.mark.rule("MENU-1", "MENU-2", "MENU-3", "MENU-5", "ITEM-3", "ITEM-4")
@pytest.mark.parametrize("version", ["v2", "v3"])
def test_the_menu_holds_together_and_shows_what_partners_may_see(toast: ToastServer, version: str) -> None:
    menu = Bench(toast, menus_version=version).menu()

    assert check(menu) == ()
    assert [category.provider_id for category in menu.categories] == [
        "lunch:mains", "lunch:cold", "dinner:grill", "dinner:pizza",
    ]  # fmt: skip
    assert {item.provider_id: item.price for category in menu.categories for item in category.items} == {
        "lunch:mains:burger": 1010, "lunch:cold:soda": 300, "dinner:grill:burger": 1250, "dinner:grill:wings": 1100,
        "dinner:pizza:pizza": 0, "dinner:pizza:nachos": 700,
    }  # fmt: skip
    assert {group.provider_id: group.name for group in menu.category_groups} == {"lunch": "Lunch", "dinner": "Dinner"}
    groups = {
        group.provider_id: (
            group.minimum_choices,
            group.maximum_choices,
            {option.provider_id.removeprefix(f"{group.provider_id}:"): option.price for option in group.options},
        )
        for group in menu.option_groups
    }
    heat = {"mild": 0, "hot": 25}
    assert groups == {
        "side": (1, 1, {"fries": 0, "salad": 200}),
        "side:fries:dip@2": (0, 2, {"mayo": 50, "ketchup": 10}),
        "side:fries:dip@2:mayo:heat": (1, 1, heat),
        "toppings": (0, None, {"cheese": 110, "onion": 0, "bacon": 255}),
        # The same GUID twice, at two prices.
        "dip@6": (0, 2, {"mayo": 75}),
        "dip@6:mayo:heat": (1, 1, heat),
        "dip@2": (0, 2, {"mayo": 50, "ketchup": 10}),
        "dip@2:mayo:heat": (1, 1, heat),
        "size": (1, 1, {"small": 800, "large": 1000}),
    }
    toppings = next(group for group in menu.option_groups if group.provider_id == "toppings")
    assert toppings.defaults == ("toppings:onion",)
    assert [option.maximum_quantity for option in toppings.options] == [1, 1, None]
    assert menu.updated_at == datetime(2026, 11, 1, 8, tzinfo=timezone.utc)
    assert menu.allows_special_instructions


@pytest.mark.rule("ITEM-1", "ITEM-3", "MENU-2", "MENU-5")
def test_the_whole_menu_can_be_ordered_by_id_at_its_price(bench: Bench) -> None:
    menu = bench.menu()
    groups = {group.provider_id: group for group in menu.option_groups}
    options = {option.provider_id: option for group in groups.values() for option in group.options}
    parents = {option_id: option_id.rpartition(":")[0] for option_id in options}

    def complete(item: MenuItem, wanted: str) -> set[str]:
        """The option, those above it, and one of each group that needs one."""
        chosen = {wanted}
        while parents[wanted].count(":"):
            chosen.add(wanted := parents[wanted].rpartition(":")[0])
        waiting: list[MenuItem | MenuOption] = [item]
        while waiting:
            for group in (groups[group_id] for group_id in waiting.pop().option_groups):
                ours = {option.provider_id for option in group.options} & chosen
                if group.minimum_choices and not ours:
                    chosen |= (ours := {group.options[0].provider_id})
                waiting += [options[option_id] for option_id in ours]
        return chosen

    ordered: set[str] = set()
    for item in (item for category in menu.categories for item in category.items):
        tops = tuple(f"{group_id}:" for group_id in item.option_groups)
        for chosen in [complete(item, option_id) for option_id in options if option_id.startswith(tops)] or [set()]:
            quote = bench.validate(Item(item.provider_id, 1, tuple(map(Option, sorted(chosen, key=len)))))
            assert quote.food == item.price + sum(options[option_id].price for option_id in chosen), chosen
            ordered |= chosen
    assert ordered == set(options)


def burger_of(menus: Any) -> Any:
    return menus["menus"][0]["menuGroups"][0]["menuItems"][0]


BROKEN_MENUS: dict[str, tuple[Any, str]] = {
    "cycle": (
        lambda menus: menus["modifierOptionReferences"]["31"].update(modifierGroupReferences=[1]),
        "modifier group is part of a cycle or nested too deep referenceId=1",
    ),
    "dangling group": (
        lambda menus: menus["modifierGroupReferences"].pop("3"),
        "modifierGroupReferences has no 3 option_provider_id=side:fries:dip@2:mayo",
    ),
    "dangling option": (
        lambda menus: menus["modifierOptionReferences"].pop("12"),
        "modifierOptionReferences has no 12 option_group_provider_id=side",
    ),
}

LEFT_OUT: dict[str, tuple[Any, str, str]] = {
    "more choices than options": (
        lambda menus: menus["modifierGroupReferences"]["1"].update(minSelections=5, maxSelections=9),
        "item needs choices",
        "lunch:mains:burger",
    ),
    "open price": (
        lambda menus: burger_of(menus).update(pricingStrategy="OPEN_PRICE", price=None),
        "price by the strategy OPEN_PRICE can't be represented item_provider_id=lunch:mains:burger",
        "lunch:mains:burger",
    ),
    "sizes without a group": (
        lambda menus: menus["menus"][1]["menuGroups"][1]["menuItems"][0].update(modifierGroupReferences=[]),
        "price by the strategy SIZE_PRICE can't be represented item_provider_id=dinner:pizza:pizza",
        "dinner:pizza:pizza",
    ),
    "prices in sequence": (
        lambda menus: menus["modifierGroupReferences"]["4"].update(pricingStrategy="SEQUENCE_PRICE"),
        "prices by the strategy SEQUENCE_PRICE can't be represented option_group_provider_id=toppings",
        "toppings",
    ),
    "substitutes": (
        lambda menus: menus["modifierGroupReferences"]["4"].update(defaultOptionsSubstitutionPricing="YES"),
        "prices that depend on what was left out can't be represented option_group_provider_id=toppings",
        "toppings",
    ),
    "by weight": (
        lambda menus: burger_of(menus).update(unitOfMeasure="LB"),
        "item is sold by weight or measure item_provider_id=lunch:mains:burger",
        "lunch:mains:burger",
    ),
    "an item for less than nothing": (
        lambda menus: burger_of(menus).update(price=-1.5),
        "item has a price that isn't an amount in cents item_provider_id=lunch:mains:burger",
        "lunch:mains:burger",
    ),
    "a fraction of a cent": (
        lambda menus: menus["modifierOptionReferences"]["12"].update(price=0.005),
        "option has a price that isn't an amount in cents option_provider_id=side:salad",
        "side:salad",
    ),
    "no price": (
        lambda menus: menus["modifierOptionReferences"]["12"].update(price=None),
        "option has a price that isn't an amount in cents option_provider_id=side:salad",
        "side:salad",
    ),
    "toppings by size": (
        lambda menus: [
            menus["modifierGroupReferences"]["4"].update(pricingStrategy="SIZE_PRICE"),
            *(menus["modifierOptionReferences"][key].update(price=None, pricingStrategy="GROUP_PRICE")
              for key in ("41", "42", "43", "44")),
        ],
        "prices by the strategy SIZE_PRICE can't be represented option_group_provider_id=toppings",
        "toppings",
    ),
    "a required choice without prices": (
        lambda menus: menus["modifierGroupReferences"]["1"].update(pricingStrategy="SEQUENCE_PRICE"),
        "item needs choices that can't be made item_provider_id=lunch:mains:burger",
        "lunch:mains:burger",
    ),
}  # fmt: skip


@pytest.mark.rule("MENU-3", "MENU-5")
@pytest.mark.parametrize("change, words", BROKEN_MENUS.values(), ids=BROKEN_MENUS)
def test_an_unreadable_menu_says_what_and_where(toast: ToastServer, change: Any, words: str) -> None:
    change(toast.menus)

    failure = refusal_of(Bench(toast, menus_version="v2").menu)

    assert failure.code == "menu_invalid"
    assert words in failure.message


@pytest.mark.rule("MENU-6", "MENU-3")
@pytest.mark.parametrize("change, words, gone", LEFT_OUT.values(), ids=LEFT_OUT)
def test_what_has_no_price_in_cents_is_left_out(toast: ToastServer, change: Any, words: str, gone: str) -> None:
    change(toast.menus)

    menu = orderable(Bench(toast, menus_version="v2").menu())

    assert any(reason.startswith(words) for reason in menu.left_out), menu.left_out
    assert check(menu) == ()
    items = {item.provider_id for category in menu.categories for item in category.items}
    options = {option.provider_id for group in menu.option_groups for option in group.options}
    assert gone not in items | options | {group.provider_id for group in menu.option_groups}
    assert SODA in items


@pytest.mark.rule("MENU-5")
def test_a_menu_that_explodes_or_digs_is_cut_off(bench: Bench) -> None:
    groups, options = (bench.toast.menus[f"modifier{kind}References"] for kind in ("Group", "Option"))
    for number in range(100, 140):
        groups[str(number)] = {**groups["2"], "guid": f"g{number}", "modifierOptionReferences": [number, number + 100]}
        for each in (number, number + 100):
            options[str(each)] = {**options["21"], "guid": f"o{each}", "modifierGroupReferences": [number + 1]}
    options["11"]["modifierGroupReferences"] = [100]

    assert refusal_of(bench.menu).code == "menu_invalid"


@pytest.mark.rule("MENU-1")
def test_an_empty_menu_is_a_menu(bench: Bench) -> None:
    bench.toast.menus["menus"] = []

    assert bench.menu().categories == ()


@pytest.mark.rule("EP-4", "META-3", "MONEY-2", "MONEY-3", "MONEY-4", "MONEY-6", "MONEY-9", "ITEM-6")
def test_a_validation_prices_the_order_and_leaves_nothing_behind(bench: Bench) -> None:
    wanted = burger(MAYO, HOT, "toppings:cheese", Option("toppings:bacon", 2), quantity=3)

    quote = bench.validate(wanted, Item(SODA, 2), tip=200)

    food = 3 * (1010 + 50 + 25 + 110 + 2 * 255) + 2 * 300
    assert (quote.food, quote.tax, quote.tip, quote.fees) == (food, round(food * 0.07), 200, ())
    assert quote.charged == quote.consumer_pays == food + quote.tax + 200
    assert bench.toast.orders == {}


@pytest.mark.rule("ITEM-3", "ITEM-8", "ITEM-6")
def test_modifiers_and_words_reach_the_kitchen_as_toast_has_them(bench: Bench) -> None:
    options = (MAYO, HOT, Option("toppings:bacon", 2))
    wanted = burger(*options, quantity=2, recipient_name="Bo", special_instructions="rare")
    bench.validate(wanted, special_instructions="ring the bell")

    body = bench.sent(PRICES)
    [selection] = body["checks"][0]["selections"]

    def entry(group: str, guid: str, *below: Any) -> dict[str, Any]:
        ids = {"entityType": "MenuItemSelection", "optionGroup": {"guid": group}, "item": {"guid": guid}}
        return {**ids, "quantity": 2, "modifiers": list(below)}

    def note(words: str) -> dict[str, Any]:
        return {"selectionType": "SPECIAL_REQUEST", "displayName": words, "quantity": 2}

    assert (selection["itemGroup"], selection["item"]) == ({"guid": "mains"}, {"guid": "burger"})
    assert selection["quantity"] == 2
    assert selection["modifiers"] == [
        entry("side", "fries", entry("dip", "mayo", entry("heat", "hot"))),
        entry("toppings", "bacon"),
        entry("toppings", "bacon"),
        note("for Bo"),
        note("rare"),
        note("whole order: ring the bell"),
    ]
    assert body["diningOption"] == {"guid": TAKEOUT} and "promisedDate" not in body
    assert "payments" not in body["checks"][0]


@pytest.mark.rule("ITEM-8")
def test_words_for_a_kitchen_that_wants_none_are_refused(bench: Bench) -> None:
    bench.toast.restaurants[BOSTON]["onlineOrdering"]["specialRequests"] = False

    assert not bench.menu().allows_special_instructions
    soda, cold = Item(SODA, 1), Item(SODA, 1, special_instructions="cold")
    for failure, path in (
        (refusal_of(bench.validate, soda, special_instructions="rare"), "$.special_instructions"),
        (refusal_of(bench.validate, soda, cold), "$.items[1].item.special_instructions"),
    ):
        assert (failure.code, failure.path) == ("special_instructions_not_allowed", path)
    assert bench.validate().food == 300


@pytest.mark.rule("MONEY-5", "MONEY-6", "MONEY-8")
def test_a_merchant_funded_discount_is_booked_and_lowers_the_tax(bench: Bench) -> None:
    bench.toast.house_discount = 50

    quote = bench.validate(burger(), merchant_funded_discount=100, tip=200)

    [discount] = bench.sent(PRICES)["checks"][0]["appliedDiscounts"]
    assert discount == {"discount": {"guid": OPEN_DISCOUNT}, "discountAmount": 1.0}
    assert (quote.food, quote.tax) == (1010, 60)
    assert (quote.merchant_funded_discount, quote.provider_funded_discount) == (100, 50)
    assert quote.charged == quote.consumer_pays == 1010 - 150 + 60 + 200


@pytest.mark.rule("MONEY-5")
def test_a_discount_that_toast_cannot_book_is_refused(bench: Bench, toast: ToastServer) -> None:
    without = Bench(toast, discount="")
    failure = refusal_of(without.validate, merchant_funded_discount=100)
    assert (failure.code, failure.path) == ("order_refused", "$.merchant_funded_discount")
    assert without.validate().food == 300

    toast.discount_cap = 40
    failure = refusal_of(bench.validate, merchant_funded_discount=100)
    assert failure.message == "the restaurant takes $0.40 of the merchant-funded discount of $1.00"


@pytest.mark.rule("MONEY-9")
def test_service_charges_are_fees(bench: Bench) -> None:
    charge = {"serviceCharge": {"guid": "bag"}, "chargeType": "FIXED", "chargeAmount": 0.1, "name": "Bag"}
    bench.toast.service_charges = [charge, {**charge, "chargeAmount": 0.0, "name": "Nothing"}]

    quote = bench.validate()

    assert (quote.food, quote.fees, quote.total) == (300, (Fee("Bag", 10),), 310)
    assert quote.charged == quote.consumer_pays


@pytest.mark.rule("MONEY-1", "MONEY-9")
@pytest.mark.parametrize("amounts, fault", [
    ({"amount": 10.1, "taxAmount": 1e1, "totalAmount": 20.1}, None),
    ({"amount": 10.1, "taxAmount": 0.71, "totalAmount": 10.8}, "does not add up"),
    ({"amount": 10.101, "taxAmount": 0, "totalAmount": 10.101}, "an amount of money"),
    ({"amount": "10.1", "taxAmount": 0, "totalAmount": 10.1}, "an amount of money"),
    ({"amount": -1, "taxAmount": 0, "totalAmount": -1}, "an amount of money"),
])  # fmt: skip
def test_amounts_are_exact_or_refused(bench: Bench, amounts: dict[str, Any], fault: str | None) -> None:
    bench.toast.overrides[PRICES] = {"checks": [amounts]}

    if fault is None:
        assert (bench.validate().food, bench.validate().tax) == (1010, 1000)
    else:
        failure = refusal_of(bench.validate)
        assert failure.code == "provider_protocol_error" and fault in failure.message


def local(instant: datetime | None) -> str | None:
    return to_wire(instant, NEW_YORK)


def slots(bench: Bench, quote: Quote, desired: datetime | None = None) -> list[str | None]:
    return [local(slot) for slot in available_at(quote.ready, desired, bench.now) or ()]


@pytest.mark.rule("TIME-1", "TIME-3", "TIME-8")
def test_as_soon_as_possible_takes_the_preparation_time(bench: Bench) -> None:
    quote = bench.validate()

    assert local(quote.ready.soonest) == "2026-11-20T12:20"
    offered = slots(bench, quote)
    assert offered[:2] == ["2026-11-20T12:30", "2026-11-20T12:45"]
    # Friday is open till one at night; Saturday opens at eleven, and takes twenty minutes more.
    assert [slot for slot in offered if slot and slot[:10] == "2026-11-21"] == [
        "2026-11-21T00:00", "2026-11-21T00:15", "2026-11-21T00:30", "2026-11-21T00:45", "2026-11-21T01:00",
        "2026-11-21T11:30", "2026-11-21T11:45", "2026-11-21T12:00",
    ]  # fmt: skip


@pytest.mark.rule("TIME-3")
def test_an_estimate_of_toasts_own_is_better_than_ours(bench: Bench) -> None:
    priced = {"amount": 3.0, "taxAmount": 0.21, "totalAmount": 3.21}
    bench.toast.overrides[PRICES] = {"checks": [priced], "estimatedFulfillmentDate": "2026-11-20T17:50:46.235+0000"}

    assert local(bench.validate().ready.soonest) == "2026-11-20T12:51"


@pytest.mark.rule("TIME-4", "META-5")
def test_a_closed_restaurant_schedules_for_the_soonest_slot(bench: Bench) -> None:
    bench.now = datetime(2026, 11, 22, 3, 0, tzinfo=timezone.utc)  # Saturday, ten at night

    quote = bench.validate()

    assert local(quote.ready.soonest) == "2026-11-22T11:30"
    assert slots(bench, quote)[0] == "2026-11-22T11:45" and slots(bench, quote)[-1] == "2026-11-22T20:00"
    body = bench.sent(PRICES)
    assert body["promisedDate"] == body["openedDate"] == "2026-11-22T16:30:00.000+0000"


@pytest.mark.rule("TIME-5", "TIME-8", "TIME-10")
def test_a_desired_time_gets_the_slot_at_it_or_after(bench: Bench) -> None:
    for wanted, given in {"17:30": "17:30", "17:31": "17:45", "12:05": "12:30"}.items():
        desired = datetime.fromisoformat(f"2026-11-20T{wanted}-05:00")
        quote = bench.validate(desired_ready_time=desired)
        assert local(quote.ready.soonest) == f"2026-11-20T{given}"
        assert all(slot and slot > f"2026-11-20T{given}" for slot in slots(bench, quote, desired))
    # The holiday has no hours, and a week ahead is the last day.
    holiday = datetime.fromisoformat("2026-11-26T13:00-05:00")
    assert local(bench.validate(desired_ready_time=holiday).ready.soonest) == "2026-11-27T11:30"
    late = refusal_of(bench.validate, desired_ready_time=holiday + timedelta(days=3))
    assert (late.code, late.path) == ("ready_time_unavailable", "$.desired_ready_time")


@pytest.mark.rule("TIME-4", "TIME-8", "TIME-10")
def test_without_scheduling_there_is_now_or_not_at_all(bench: Bench) -> None:
    bench.toast.schedule["acceptScheduledOrders"] = False

    quote = bench.validate()
    assert local(quote.ready.soonest) == "2026-11-20T12:20" and quote.ready.slots is None
    later = bench.now + timedelta(hours=2)
    assert refusal_of(bench.validate, desired_ready_time=later).code == "ready_time_unavailable"
    bench.now = datetime(2026, 11, 22, 3, 0, tzinfo=timezone.utc)
    assert refusal_of(bench.validate).code == "location_closed"


@pytest.mark.rule("TIME-4")
def test_the_last_order_may_have_to_be_ready_before_closing(bench: Bench) -> None:
    bench.now = datetime(2026, 11, 22, 0, 50, tzinfo=timezone.utc)  # Saturday, ten minutes before closing

    assert local(bench.validate().ready.soonest) == "2026-11-21T20:10"
    bench.toast.schedule["lastOrderConfiguration"] = "UNTIL_PREPTIME_CUTOFF"
    bench.forget_answers()
    assert local(bench.validate().ready.soonest) == "2026-11-22T11:30"


@pytest.mark.rule("EP-5", "SUB-1", "PAY-1", "PAY-4", "META-4")
def test_a_submission_places_the_order_paid_with_levelup(bench: Bench) -> None:
    placed = bench.submit(burger(MAYO, HOT), tip=150, merchant_funded_discount=100)

    [(external_id, order)] = bench.toast.orders.items()
    assert external_id == "LEVELUP:ref-1"
    assert (placed.order_id, placed.provider_order_id) == ("1", order["guid"])
    assert placed.expected_ready_at == bench.now + timedelta(minutes=20)
    [payment] = bench.sent(ORDERS)["checks"][0]["payments"]
    due = 1085 - 100 + 69
    assert (payment["type"], payment["amount"], payment["tipAmount"]) == ("OTHER", due / 100, 1.5)
    assert payment["paidDate"] == "2026-11-20T17:00:00.000+0000"
    assert placed.charged == placed.expected_charge == due + 150
    assert not placed.charge_mismatch


@pytest.mark.rule("META-5", "TIME-5")
def test_the_submission_has_the_final_values(bench: Bench) -> None:
    quote = bench.validate(tip=100)
    desired = datetime.fromisoformat("2026-11-20T17:30-05:00")

    placed = bench.submit(cart=quote.cart, tip=0, desired_ready_time=desired, special_instructions="no ice")

    sent = bench.sent(ORDERS)
    assert sent["promisedDate"] == "2026-11-20T22:30:00.000+0000"
    assert sent["checks"][0]["selections"][0]["modifiers"][0]["displayName"] == "whole order: no ice"
    assert sent["checks"][0]["payments"][0]["tipAmount"] == 0
    assert placed.expected_ready_at == desired


@pytest.mark.rule("META-2", "MONEY-3")
def test_a_price_changed_since_validation_is_refused(bench: Bench) -> None:
    quote = bench.validate()
    bench.toast.menus["menus"][0]["menuGroups"][1]["menuGroups"][0]["menuItems"][0]["price"] = 3.5

    failure = refusal_of(bench.submit, cart=quote.cart)

    assert (failure.code, failure.message) == ("price_changed", "the order costs $3.75 now, not $3.21")
    assert bench.toast.orders == {} and not bench.session.placing
    assert bench.submit().charged == 375


REFUSALS = {
    "another id": (
        Item("soda", 1), "unknown_item", "'soda' is not an item id of the menu", "$.items[0].item.provider_id",
    ),
    "removed item": (Item("lunch:mains:soup", 1), "unknown_item", "Menu item not found", None),
    "wrong group": (Item("lunch:cold:burger", 1), "unknown_item", "Menu item not found", None),
    "unknown option": (burger("toppings:gold"), "unknown_option", "Modifier option not found", None),
    "unknown group": (burger("gold:gold"), "unknown_option", "Option group not found", None),
    "too few": (Item(BURGER, 1), "invalid_choices", "Modifier group Side needs at least 1 selections", None),
    "too few below": (burger(MAYO), "invalid_choices", "Modifier group Heat needs at least 1 selections", None),
    "too many": (burger("side:salad"), "invalid_choices", "Modifier group Side takes at most 1 selections", None),
    "once only": (
        burger(Option("toppings:cheese", 2)), "invalid_choices", "Modifier Cheese can be added only once", None,
    ),
    "sold out": (Item("dinner:grill:wings", 1), "item_unavailable", "Wings is out of stock", None),
    "far too many": (
        burger(Option("toppings:bacon", 10**6)), "invalid_choices", "an item takes at most 200 options",
        "$.items[0].item.options",
    ),
    "orphan": (
        Item(BURGER, 1, (Option(MAYO),)), "orphan_option",
        f"option {MAYO} was chosen without its parent option {FRIES}", "$.items[0].item.options[0].option.provider_id",
    ),
}  # fmt: skip


@pytest.mark.rule("ITEM-1", "ITEM-5", "ITEM-6", "ITEM-7", "ERR-2", "SUB-2")
@pytest.mark.parametrize("item, code, words, path", REFUSALS.values(), ids=REFUSALS)
def test_a_refusal_has_toasts_words_and_no_effect(
    bench: Bench, item: Item, code: str, words: str, path: str | None
) -> None:
    bench.toast.sold_out.add("wings")

    for call in (bench.validate, bench.submit):
        failure = refusal_of(call, item)
        assert (failure.code, failure.message, failure.path) == (code, words, path)
    assert bench.toast.orders == {} and not bench.session.placing


@pytest.mark.rule("ERR-2", "META-6")
@pytest.mark.parametrize("missing", ["phone", "email"])
def test_a_guest_needs_phone_and_email(bench: Bench, missing: str) -> None:
    failure = refusal_of(bench.validate, user=replace(ANN, **{missing: None}))

    assert (failure.code, failure.path) == ("customer_refused", f"$.user.{missing}")


@pytest.mark.rule("SUB-2", "SUB-5")
@pytest.mark.parametrize("effect", ["lost", "garbled"])
def test_an_order_whose_answer_was_lost_is_found(bench: Bench, effect: str) -> None:
    bench.toast.fault(ORDERS, effect)
    lost = refusal_of(bench.submit)
    assert isinstance(lost, Unanswered) and lost.sent and bench.session.placing
    [order] = bench.toast.orders.values()

    found = bench.find()

    assert (found.order_id, found.provider_order_id) == ("1", order["guid"])
    assert found.expected_ready_at == bench.now + timedelta(minutes=20)
    assert bench.toast.calls[f"POST {ORDERS}"] == 1
    assert bench.find("ref-2") is None


@pytest.mark.rule("SUB-5", "SUB-8")
def test_a_404_about_an_order_is_no_refusal_of_one(bench: Bench) -> None:
    bench.toast.overrides[ORDERS] = ToastRefusal(404, "Order not found")

    failure = refusal_of(bench.submit)

    assert isinstance(failure, Unanswered) and failure.sent and bench.session.placing


ANOTHERS: dict[str, tuple[dict[str, Any], str]] = {
    "another's": ({"externalId": "LEVELUP:ref-2"}, "another order: $.externalId"),
    "another client's": ({"externalId": "OTHER:ref-1"}, "another order: $.externalId"),
    "nobody's": ({"externalId": None}, "another order: $.externalId"),
    "deleted": ({"deleted": True}, "contradicts the order: $.deleted"),
}


@pytest.mark.rule("SUB-5", "SUB-8")
@pytest.mark.parametrize("case", ANOTHERS)
def test_an_answer_that_is_not_about_our_order_is_not_believed(bench: Bench, case: str) -> None:
    members, words = ANOTHERS[case]
    bench.submit()
    sound, found = bench.toast.answers[ORDERS], f"{ORDERS}/LEVELUP:ref-1"
    assert bench.find().reference == "ref-1"
    bench.toast.overrides = {ORDERS: {**sound, **members}, found: {**sound, **members}}

    for call, asked in ((bench.submit, f"POST {ORDERS}"), (bench.find, f"GET {found}")):
        failure = refusal_of(call)
        assert isinstance(failure, Unanswered) and failure.sent
        assert f"answer to {asked} " in failure.message and words in failure.message


@pytest.mark.rule("SUB-8")
def test_a_voided_order_is_found_but_not_just_placed(bench: Bench) -> None:
    bench.submit()
    gone, found = {**bench.toast.answers[ORDERS], "voided": True}, f"{ORDERS}/LEVELUP:ref-1"
    bench.toast.overrides = {ORDERS: gone, found: gone}

    failure = refusal_of(bench.submit)

    assert isinstance(failure, Unanswered) and failure.sent
    assert f"answer to POST {ORDERS} contradicts the order: $.voided" in failure.message
    assert bench.find().reference == "ref-1"


CHECK = {"guid": "new", "displayNumber": "7", "totalAmount": 2.0, "payments": [], "deleted": False}
TIPPED = {"amount": 2.0, "tipAmount": 0.5}
ADDED = {"amount": 1.0, "tipAmount": None}
AT_THE_TABLE: dict[str, tuple[Any, tuple[str, int | None]]] = {
    "split": (lambda check: [{**check, "totalAmount": 1.21}, {**CHECK, "payments": [TIPPED]}], ("1", 471)),
    "split in three": (lambda check: [check, CHECK, CHECK], ("1", 821)),
    "replaced": (lambda check: [{**check, "deleted": True}, CHECK], ("7", 200)),
    "moved to another order": (lambda check: [{**check, "deleted": True}], ("1000", None)),
    "gone": (lambda check: [], ("1000", None)),
    "not shown": (lambda check: None, ("1000", None)),
    "paid in cash, too": (lambda check: [{**check, "payments": [*check["payments"], ADDED]}], ("1", 421)),
    "without a total": (lambda check: [check, {**CHECK, "totalAmount": None, "payments": None}], ("1", None)),
    "without a number": (lambda check: [{**check, "displayNumber": None}], ("1000", 421)),
}


@pytest.mark.rule("SUB-5", "SUB-8")
@pytest.mark.parametrize("case", AT_THE_TABLE)
def test_an_order_is_found_whatever_its_checks_are_now(bench: Bench, case: str) -> None:
    """The restaurant splits, replaces and moves checks. The reference proves which order it is."""
    change, expected = AT_THE_TABLE[case]
    bench.submit(tip=100)
    [order] = bench.toast.orders.values()
    order |= {"displayNumber": "1000", "checks": change(order["checks"][0])}

    found = bench.find()

    assert (found.order_id, found.charged) == expected
    assert (found.provider_order_id, found.reference, found.expected_charge) == (order["guid"], "ref-1", None)
    assert reported(bench).word == "NEEDS_APPROVAL"


@pytest.mark.rule("SUB-8")
@pytest.mark.parametrize("case", ["split", "replaced", "gone", "deleted", "voided"])
def test_a_new_order_has_one_check(bench: Bench, case: str) -> None:
    bench.submit()
    sound = bench.toast.answers[ORDERS]
    [check] = sound["checks"]
    checks = AT_THE_TABLE[case][0](check) if case in AT_THE_TABLE else [{**check, case: True}]
    bench.toast.overrides = {ORDERS: {**sound, "checks": checks}}

    failure = refusal_of(bench.submit)

    assert isinstance(failure, Unanswered) and failure.sent and bench.session.placing


@pytest.mark.rule("SUB-2", "SUB-5")
@pytest.mark.parametrize("status", [400, 401, 403, 409, 429, 500, 503])
def test_only_a_404_of_toast_proves_that_there_is_no_order(bench: Bench, status: int) -> None:
    bench.toast.fault(f"{ORDERS}/LEVELUP:ref-1", *[status] * 3)

    assert not isinstance(refusal_of(bench.find), NotFound)


@pytest.mark.rule("SUB-5")
def test_another_order_than_the_one_asked_for_is_not_taken(bench: Bench) -> None:
    bench.toast.overrides[f"{ORDERS}/LEVELUP:ref-1"] = {"guid": "x", "externalId": "LEVELUP:ref-2", "checks": []}

    assert "another order" in refusal_of(bench.find).message


@pytest.mark.rule("SUB-2", "SUB-5")
@pytest.mark.parametrize("status", [409, 500, 503])
def test_an_order_is_never_sent_twice(bench: Bench, status: int) -> None:
    bench.toast.fault(ORDERS, status)

    failure = refusal_of(bench.submit)

    assert isinstance(failure, Unanswered) and failure.sent and bench.session.placing
    assert bench.toast.calls[f"POST {ORDERS}"] == 1


@pytest.mark.rule("ERR-3", "SUB-2")
def test_too_many_requests_and_no_access_had_no_effect(bench: Bench) -> None:
    bench.toast.fault(ORDERS, 429, 429, 429)
    limited = refusal_of(bench.submit)
    assert isinstance(limited, Unanswered) and (limited.code, limited.sent) == ("rate_limited", False)
    assert bench.toast.orders == {} and not bench.session.placing
    bench.toast.fault(PRICES, 403)
    assert refusal_of(bench.validate).code == "provider_credentials_refused"


@pytest.mark.rule("ERR-2")
def test_words_without_a_code_of_their_own_are_passed_on() -> None:
    adapter = ToastAdapter(Account("grill", "toast", "Grill"))
    body = b'{"status": 400, "message": "No.", "errors": [{"message": "The fryer is broken"}, {"message": "No."}]}'

    refusal = adapter.error_from(Reply(400, {}, body))

    assert isinstance(refusal, Refused)
    assert (refusal.code, refusal.message) == ("order_refused", "No.; The fryer is broken")


@pytest.mark.rule("SUB-5")
def test_a_404_that_is_not_toasts_own_proves_nothing() -> None:
    adapter = ToastAdapter(Account("grill", "toast", "Grill"))

    assert isinstance(adapter.error_from(Reply(404, {}, b'{"status": 404, "message": "Order not found"}')), NotFound)
    assert adapter.error_from(Reply(404, {}, b'{"message": "no Route matched"}')) is None
    gateways = b'{"timestamp": "2026-11-20T17:00Z", "status": 404, "error": "Not Found", "message": "-", "path": "/"}'
    assert adapter.error_from(Reply(404, {}, gateways)) is None
    with pytest.raises(Unanswered):
        adapter.error_from(Reply(404, {}, b"<html>not found</html>"))


@pytest.mark.rule("SUB-5", "SUB-8")
@pytest.mark.parametrize(
    "words", ["Restaurant not found", "No order can be shown: the restaurant was not found", "Not found", ""]
)
def test_a_404_about_something_else_proves_no_order_absent(bench: Bench, words: str) -> None:
    """In Toast's own form, to the look-up of an order that exists."""
    bench.submit()
    bench.toast.overrides[f"{ORDERS}/LEVELUP:ref-1"] = ToastRefusal(404, words)

    failure = refusal_of(bench.find)

    assert isinstance(failure, Unanswered) and failure.code == "provider_protocol_error"


NOT_FOUND = {
    "Modifier option not found": "unknown_option",
    "Could not find modifier 1f2e": "unknown_option",
    "Option group not found": "unknown_option",
    "Menu item not found": "unknown_item",
    "Dining option not found": "order_refused",
    "Alternate payment type not found": "order_refused",
    "The modifier is out of stock": "item_unavailable",
    "No": "order_refused",
}


@pytest.mark.rule("ERR-2")
@pytest.mark.parametrize("words", NOT_FOUND)
def test_a_404_to_an_order_has_the_code_of_what_it_names(words: str) -> None:
    adapter = ToastAdapter(Account("grill", "toast", "Grill"))

    refusal = adapter.error_from(Reply(404, {}, json.dumps({"status": 404, "message": words}).encode()))

    assert isinstance(refusal, NotFound) and refusal.code == NOT_FOUND[words]


def test_one_login_serves_all_restaurants_and_threads(bench: Bench) -> None:
    barrier, found = threading.Barrier(6), []

    def ask() -> None:
        session = Bench.new_session(bench)
        barrier.wait()
        found.extend(bench.adapter.list_locations(session))

    threads = [threading.Thread(target=ask) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(found) == 12
    assert bench.toast.calls[f"POST {LOGIN}"] == 1


def test_a_token_is_given_up_before_its_end(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    passed = 0.0
    monkeypatch.setattr(net, "now", lambda: 1000.0 + passed)
    bench.toast.token_life = 3600
    counts = []
    for passed in (0.0, 3569.0, 3571.0, 3600.0):  # noqa: B007 - the clock above reads it
        bench.forget_answers()
        bench.validate()
        counts.append(bench.toast.calls[f"POST {LOGIN}"])
    assert counts == [1, 1, 2, 2]


def test_an_ended_token_is_renewed_once_even_while_placing(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(login, "RENEWAL_PAUSE", -1.0)
    bench.validate()
    bench.toast.expire_tokens()

    assert bench.submit().order_id == "1"
    assert bench.toast.calls[f"POST {LOGIN}"] == 2
    bench.toast.fault(ORDERS, 401)
    assert bench.submit(reference="ref-2").order_id == "2"
    assert bench.toast.calls[f"POST {LOGIN}"] == 3
    bench.toast.fault(ORDERS, 401, 401)
    failure = refusal_of(bench.submit, reference="ref-3")
    assert (failure.code, bench.session.placing) == ("provider_credentials_refused", False)


def test_a_young_token_that_is_refused_is_not_asked_for_again(bench: Bench) -> None:
    bench.validate()
    bench.toast.fault(PRICES, 401, 401)

    assert refusal_of(bench.validate).code == refusal_of(bench.validate).code == "provider_credentials_refused"
    assert bench.toast.calls[f"POST {LOGIN}"] == 1


def test_wrong_credentials_are_reported_as_such(toast: ToastServer) -> None:
    bench = Bench(toast, client_id="another")

    assert refusal_of(bench.validate).code == "provider_credentials_refused"


@pytest.mark.rule("ERR-4")
def test_the_token_goes_nowhere_but_into_its_header(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    bench.submit()

    assert {header for path, header in bench.toast.headers if path != LOGIN} == {"Bearer t0ken-1"}
    assert {header for path, header in bench.toast.headers if path == LOGIN} == {""}
    reported = caplog.text + repr(bench.session.calls) + repr(vars(bench.adapter)) + repr(vars(bench.adapter._login))
    assert "t0ken" not in reported and CLIENT_SECRET not in reported


@pytest.mark.rule("SUB-6")
def test_calls_are_the_fewest_possible(bench: Bench) -> None:
    bench.validate()
    first = sum(bench.toast.calls.values())
    quote = bench.validate()
    validated = sum(bench.toast.calls.values())
    bench.submit(cart=quote.cart)
    submitted = sum(bench.toast.calls.values())

    # One login, two restaurants, one schedule, one price; then one price; then a price and the order.
    assert (first, validated - first, submitted - validated) == (5, 1, 2)


HOURS = ("MONDAY", "TUESDAY", "WEDNESDAY", "THURSDAY", "FRIDAY", "SATURDAY", "SUNDAY")


def open_daily(toast: ToastServer, *ranges: tuple[str, str]) -> None:
    spans = [{"start": start, "end": end} for start, end in ranges]
    periods = [{"day": day, "timeRanges": spans} for day in HOURS]
    toast.schedule["servicePeriods"] = [{"diningOptionBehavior": "TAKE_OUT", "dayPeriods": periods}]
    toast.schedule["overrides"] = []


@pytest.mark.rule("TIME-4", "TIME-5", "TIME-8")
@pytest.mark.parametrize(
    "ranges",
    [
        [("00:00", "24:00")], [("00:00", "00:00")], [("00:00", "12:00"), ("12:00", "24:00")],
        [("18:00", "06:00"), ("06:00", "18:00")],
        [("00:00", "13:00"), ("11:00", "00:00")],
    ],
)  # fmt: skip
def test_hours_that_meet_are_one_opening(bench: Bench, ranges: list[tuple[str, str]]) -> None:
    open_daily(bench.toast, *ranges)
    bench.toast.restaurants[BOSTON]["prepTimes"] |= {"takeoutPrepTime": 90, "takeoutThrottlingTime": 0}

    wanted = NEW_YORK.localize(datetime(2026, 11, 22, 0, 15))
    quote = bench.validate(desired_ready_time=wanted)

    assert local(quote.ready.soonest) == "2026-11-22T00:15"
    assert slots(bench, quote, wanted)[:2] == ["2026-11-22T00:30", "2026-11-22T00:45"]


@pytest.mark.rule("TIME-4", "TIME-5")
def test_margins_of_the_opening_hours_are_kept(bench: Bench) -> None:
    open_daily(bench.toast, ("12:30", "20:00"))
    bench.toast.restaurants[BOSTON]["prepTimes"] |= {"takeoutTimeAfterOpen": 30, "takeoutTimeBeforeClose": 60}

    quote = bench.validate()
    assert local(quote.ready.soonest) == "2026-11-20T13:30"
    last = NEW_YORK.localize(datetime(2026, 11, 20, 19, 0))
    assert bench.validate(desired_ready_time=last).ready.soonest == last
    later = bench.validate(desired_ready_time=last + timedelta(minutes=15))
    assert local(later.ready.soonest) == "2026-11-21T13:30"


@pytest.mark.rule("LOC-3")
@pytest.mark.parametrize("effects", [[403], [400], [500, 500, 500], ["garbled"]])
def test_a_restaurant_that_cannot_be_read_hides_no_other(bench: Bench, effects: list[int | str]) -> None:
    bench.toast.fault(f"/restaurants/v1/restaurants/{BOSTON}", *effects)

    listed = bench.adapter.list_locations(bench.new_session())

    assert isinstance(listed, Listed)
    assert [place.provider_id for place in listed] == [CAMBRIDGE] and list(listed.unread) == [BOSTON]
    again = bench.adapter.list_locations(bench.new_session())
    assert [place.provider_id for place in again] == [BOSTON, CAMBRIDGE]


@pytest.mark.rule("LOC-3")
def test_a_slow_restaurant_leaves_time_for_the_others(bench: Bench) -> None:
    path = f"/restaurants/v1/restaurants/{BOSTON}"
    bench.toast.slow[path] = 2.0

    listed = bench.adapter.list_locations(bench.new_session(2.0))

    assert [place.provider_id for place in listed] == [CAMBRIDGE]


@pytest.mark.rule("META-5", "EP-11")
@pytest.mark.parametrize(
    ("first", "last", "names"),
    [("Robin", "", ("Robin", "Guest")), ("", "Robin", ("Robin", "Guest")), ("Ann", "Example", ("Ann", "Example"))],
)
def test_a_guest_with_one_name_can_order(bench: Bench, first: str, last: str, names: tuple[str, str]) -> None:
    user = replace(ANN, first_name=first, last_name=last)
    bench.validate(user=user)
    bench.submit(user=user)

    customer = bench.sent(ORDERS)["checks"][0]["customer"]
    assert (customer["firstName"], customer["lastName"]) == names


@pytest.mark.rule("META-5", "ERR-2")
def test_a_long_address_is_refused_when_it_is_validated(bench: Bench) -> None:
    fits = "a" * 41 + "@example.com"
    assert len(fits) == 53 and bench.validate(user=replace(ANN, email=fits)).food == 300

    failure = refusal_of(bench.validate, user=replace(ANN, email=f"a{fits}"))

    assert (failure.code, failure.path) == ("customer_refused", "$.user.email")


@pytest.mark.rule("EP-11")
@pytest.mark.parametrize(
    ("currency", "text", "phone", "code"),
    [
        ("USD", "617-555-0123", "617-555-0123", None),
        ("USD", "+1 617 555 0123", "+1 617 555 0123", None),
        ("USD", "738 555 0123", "738 555 0123", None),
        ("USD", "+44 20 7946 0958", "2079460958", "44"),
        ("USD", "call me", "call me", None),
        ("EUR", "01 555 0123", "15550123", "353"),
        ("EUR", "+1 617 555 0123", "6175550123", "1"),
        ("CAD", "416-555-0123", "4165550123", "1"),
    ],
)
def test_a_number_from_abroad_has_its_country(
    bench: Bench, currency: str, text: str, phone: str, code: str | None
) -> None:
    bench.toast.restaurants[BOSTON]["general"]["currencyCode"] = currency

    bench.validate(user=replace(ANN, phone=text))

    customer = bench.sent(PRICES)["checks"][0]["customer"]
    assert (customer["phone"], customer.get("phoneCountryCode")) == (phone, code)


@pytest.mark.rule("MONEY-3", "MONEY-9", "PAY-4")
@pytest.mark.parametrize("amount_holds, total_holds", [(False, False), (False, True), (True, True)])
def test_a_gratuity_is_a_fee_and_paid_once(bench: Bench, amount_holds: bool, total_holds: bool) -> None:
    charge = {"guid": "c", "name": "Gratuity 20 %", "chargeAmount": 0.6, "gratuity": True}
    bench.toast.service_charges = [charge]
    bench.toast.gratuities = (amount_holds, total_holds)

    quote = bench.validate(tip=50)
    placed = bench.submit(tip=50)

    assert (quote.food, quote.fees, quote.tip) == (300, (Fee("Gratuity 20 %", 60),), 50)
    assert quote.charged == quote.consumer_pays == placed.charged == placed.expected_charge
    payment = bench.sent(ORDERS)["checks"][0]["payments"][0]
    assert payment["tipAmount"] == (0.5 if total_holds else 1.1)


@pytest.mark.rule("TIME-11", "META-5")
def test_a_restaurant_that_has_closed_gets_no_order(bench: Bench) -> None:
    shown = Shown(bench.now, None, bench.validate().ready.soonest)
    open_daily(bench.toast, ("17:00", "20:00"))
    bench.forget_answers()

    failure = refusal_of(bench.submit, shown=shown)

    assert (failure.code, failure.path) == ("ready_time_unavailable", "$.desired_ready_time")
    assert bench.toast.orders == {}


@pytest.mark.rule("TIME-11")
def test_a_desired_time_goes_to_no_slot_of_another_day(bench: Bench) -> None:
    wanted = NEW_YORK.localize(datetime(2026, 11, 20, 18, 0))
    shown = Shown(bench.now, wanted, bench.validate(desired_ready_time=wanted).ready.soonest)
    open_daily(bench.toast, ("11:00", "14:00"))
    bench.forget_answers()

    assert refusal_of(bench.submit, shown=shown, desired_ready_time=wanted).code == "ready_time_unavailable"
    assert bench.toast.orders == {}


@pytest.mark.rule("ERR-3")
@pytest.mark.parametrize("path", ["/ordermgmt-config/v1/published/orderingSchedule"])
def test_a_refused_schedule_does_not_refuse_the_order(bench: Bench, path: str) -> None:
    bench.toast.fault(path, 400)

    assert refusal_of(bench.validate).code == "provider_protocol_error"


@pytest.mark.rule("LOC-2", "LOC-3")
@pytest.mark.parametrize(
    "change", [{"weekSchedule": {"monday": "gone"}}, {"daySchedules": {"1": {"openTime": "soon"}}}, {"weekSchedule": 5}]
)
def test_hours_that_cannot_be_read_are_unknown(bench: Bench, change: dict[str, Any]) -> None:
    bench.toast.restaurants[BOSTON]["schedules"] |= change

    boston, cambridge = bench.adapter.list_locations(bench.new_session())

    assert set(boston.hours.values()) == {None} and None not in cambridge.hours.values()
    assert bench.validate().food == 300


def reported(bench: Bench, reference: str = "ref-1") -> OrderStatus:
    [order] = bench.toast.orders.values()
    location = bench.adapter.list_locations(bench.new_session())[0]
    return bench.adapter.show_status(location, order["guid"], reference, bench.new_session())


@pytest.mark.rule("STAT-2", "STAT-4")
@pytest.mark.parametrize(
    ("members", "expected"),
    [
        ({}, ("NEEDS_APPROVAL", "placed")),
        ({"approvalStatus": "FUTURE", "guestOrderStatus": "RECEIVED"}, ("FUTURE", "placed")),
        ({"approvalStatus": "APPROVED"}, ("APPROVED", "accepted")),
        ({"approvalStatus": "APPROVED", "guestOrderStatus": "RECEIVED"}, ("APPROVED", "accepted")),
        ({"approvalStatus": "APPROVED", "guestOrderStatus": "IN_PREPARATION"}, ("IN_PREPARATION", "preparing")),
        ({"approvalStatus": "APPROVED", "guestOrderStatus": "READY_FOR_PICKUP"}, ("READY_FOR_PICKUP", "ready")),
        ({"approvalStatus": "APPROVED", "guestOrderStatus": "CLOSED"}, ("CLOSED", "picked_up")),
        ({"approvalStatus": "NOT_APPROVED"}, ("NOT_APPROVED", "refused")),
        ({"approvalStatus": "APPROVED", "voided": True, "voidDate": "2026-11-20T17:05:00.000+0000"},
         ("voided", "cancelled")),
        ({"approvalStatus": "APPROVED", "deleted": True}, ("deleted", None)),
        ({"approvalStatus": "APPROVED", "guestOrderStatus": "IN_THE_OVEN"}, ("IN_THE_OVEN", None)),
    ],
)  # fmt: skip
def test_an_order_has_its_status(bench: Bench, members: dict[str, Any], expected: tuple[str, str | None]) -> None:
    bench.submit()
    [order] = bench.toast.orders.values()
    order |= members

    status = reported(bench)

    assert (status.word, bench.adapter.order_status.get(status.word), status.reference) == (*expected, "ref-1")
    voided_at = datetime(2026, 11, 20, 17, 5, tzinfo=timezone.utc)
    assert status.changed_at == (voided_at if "voidDate" in members else None)
    assert [call.path for call in bench.session.calls] == [f"{ORDERS}/{order['guid']}"]


@pytest.mark.rule("STAT-3")
@pytest.mark.parametrize("members", [{"externalId": "LEVELUP:ref-2"}, {"externalId": None}, {"guid": "another"}])
def test_the_status_of_another_order_is_none(bench: Bench, members: dict[str, Any]) -> None:
    bench.submit()
    [order] = bench.toast.orders.values()
    bench.toast.overrides[f"{ORDERS}/{order['guid']}"] = {**order, **members}
    with pytest.raises(Unanswered, match="another order"):
        reported(bench)


@pytest.mark.rule("STAT-6")
def test_an_order_is_voided(bench: Bench) -> None:
    bench.submit()
    [order] = bench.toast.orders.values()
    location = bench.adapter.list_locations(bench.new_session())[0]
    session = bench.new_session()
    bench.adapter.cancel_order(location, order["guid"], "ref-1", session)
    status = reported(bench)
    assert (status.word, status.changed_at) == ("voided", bench.toast.now)
    with pytest.raises(Refused, match="already voided") as caught:
        bench.adapter.cancel_order(location, order["guid"], "ref-1", bench.new_session())
    assert caught.value.proof


@pytest.mark.rule("STAT-6")
def test_a_refusal_after_an_unanswered_void_proves_nothing(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(login, "RENEWAL_PAUSE", -1.0)
    bench.submit()
    [order] = bench.toast.orders.values()
    location, path = bench.adapter.list_locations(bench.new_session())[0], f"{ORDERS}/{order['guid']}/void"

    def void(*faults: int) -> Failure:
        bench.toast.fault(path, *faults)
        with pytest.raises(Failure) as caught:
            bench.adapter.cancel_order(location, order["guid"], "ref-1", bench.new_session())
        return caught.value

    # The token may have ended between two attempts.
    unproven = void(503, 401)
    assert isinstance(unproven, Unanswered) and unproven.sent
    bench.adapter.cancel_order(location, order["guid"], "ref-1", bench.new_session())
    refused = void(503)
    assert isinstance(refused, Refused) and not refused.proof
