"""Answers that are not quite Toast's: a clear error or a correct result, never a traceback or a wrong price."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from adapters.toast import ToastAdapter
from levelup_ov.domain.failure import Failure
from levelup_ov.domain.menu import check
from levelup_ov.domain.orderable import orderable
from levelup_ov.domain.tender import LevelUp
from levelup_ov.errors import KINDS, Refused, Unanswered
from tests.providers.mutations import mutate
from tests.providers.test_toast import HOT, LOGIN, MAYO, ORDERS, PRICES, Bench, burger
from tests.servers.toast import BOSTON, CAMBRIDGE, ToastServer

RESTAURANT = f"/restaurants/v1/restaurants/{BOSTON}"
SCHEDULE = "/ordermgmt-config/v1/published/orderingSchedule"
MENUS = "/menus/v3/menus"
FOUND = f"{ORDERS}/LEVELUP:ref-1"
CHARGE = {"serviceCharge": {"guid": "bag"}, "chargeAmount": 0.1, "name": "Bag", "gratuity": False}


@pytest.fixture(scope="module")
def bench() -> Iterator[Bench]:
    with ToastServer() as toast:
        toast.service_charges, toast.house_discount = [CHARGE], 20
        yield Bench(toast)


@pytest.fixture(scope="module")
def recorded(bench: Bench) -> dict[str, Any]:
    """What the stand-in says at each address, for one order."""
    order = bench.order(burger(MAYO, HOT), tip=100, merchant_funded_discount=50, reference="ref-1")
    menu = bench.menu()
    bench.adapter.submit_order(order, LevelUp(), bench.new_session())
    bench.find()
    paths = (LOGIN, RESTAURANT, SCHEDULE, MENUS, PRICES, ORDERS, FOUND)
    return {"menu": menu, **{path: bench.toast.answers[path] for path in paths}}


@contextmanager
def answered(bench: Bench, path: str, answer: Any) -> Iterator[None]:
    """Within the block, ``answer`` is at ``path``; nothing cached before is used in it, nothing cached in it after."""
    adapter = bench.adapter
    if path == LOGIN:
        bench.adapter = ToastAdapter(adapter.account)
    bench.forget_answers()
    bench.toast.orders.clear()
    bench.toast.overrides = {path: answer}
    try:
        yield
    finally:
        bench.toast.overrides = {}
        bench.forget_answers()
        bench.adapter = adapter


@pytest.fixture(scope="module")
def mutations(recorded: dict[str, Any]) -> Mutations:
    return {path: mutate(answer) for path, answer in recorded.items() if path != "menu"}


Mutations = Mapping[str, st.SearchStrategy[Any]]
thoroughly = settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)


@pytest.mark.rule("ERR-3", "LOC-1", "LOC-2")
@thoroughly
@given(data=st.data())
def test_restaurants(bench: Bench, recorded: dict[str, Any], mutations: Mutations, data: st.DataObject) -> None:
    try:
        with answered(bench, RESTAURANT, data.draw(mutations[RESTAURANT])):
            listed = bench.adapter.list_locations(bench.new_session())
    except Failure as failure:
        assert failure.code in KINDS
    else:
        # What is wrong with one restaurant takes away no other.
        boston, *_ = [place for place in listed if place.provider_id == BOSTON] or [None]
        assert CAMBRIDGE in {place.provider_id for place in listed}
        if boston is None:
            assert listed.unread[BOSTON].code in KINDS
            return
        assert boston.provider_id == BOSTON and boston.name
        assert set(boston.hours) == {"monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"}


@pytest.mark.rule("ERR-3", "MENU-3", "MENU-5")
@thoroughly
@given(data=st.data())
def test_menus(bench: Bench, recorded: dict[str, Any], mutations: Mutations, data: st.DataObject) -> None:
    sound, answer = prices(recorded["menu"]), data.draw(mutations[MENUS])
    try:
        with answered(bench, MENUS, answer):
            menu = orderable(bench.menu())
    except Failure as failure:
        assert failure.code in KINDS
    else:
        # Prices are those of the answer, and a change of one place changes those of one thing.
        changed = {key.rpartition(":")[2] for key, price in prices(menu).items() if sound.get(key, price) != price}
        assert set(prices(menu).values()) <= {0, *amounts(answer)} and len(changed) <= 1
        assert isinstance(check(menu), tuple)


def amounts(answer: Any) -> Iterator[int]:
    """The cents of all prices in an answer."""
    members = answer.items() if isinstance(answer, dict) else enumerate(answer) if isinstance(answer, list) else ()
    for key, value in members:
        if key == "price" and type(value) in (int, float) and value < 10**6:
            yield cents(value)
        yield from amounts(value)


def prices(menu: Any) -> dict[str, int]:
    items = {item.provider_id: item.price for category in menu.categories for item in category.items}
    return items | {option.provider_id: option.price for group in menu.option_groups for option in group.options}


@pytest.mark.rule("ERR-3", "MONEY-3", "MONEY-9", "TIME-7")
@pytest.mark.parametrize("path", [PRICES, SCHEDULE, RESTAURANT, LOGIN])
@thoroughly
@given(data=st.data())
def test_validations(
    bench: Bench, recorded: dict[str, Any], mutations: Mutations, path: str, data: st.DataObject
) -> None:
    order = bench.order(burger(MAYO, HOT), tip=100, merchant_funded_discount=50)
    answer = data.draw(mutations[path])
    try:
        with answered(bench, path, answer):
            quote = bench.adapter.validate_order(order, bench.new_session())
    except Failure as failure:
        assert failure.code in KINDS
    else:
        [said] = (answer if path == PRICES else recorded[PRICES])["checks"]
        assert quote.charged == quote.consumer_pays == cents(said["totalAmount"]) + 100
        assert quote.tax == cents(said["taxAmount"])
        assert quote.total - 50 - quote.provider_funded_discount == cents(said["amount"])


@pytest.mark.rule("ERR-3", "SUB-2", "SUB-5", "PAY-4")
@thoroughly
@given(data=st.data())
def test_placed_orders(bench: Bench, recorded: dict[str, Any], mutations: Mutations, data: st.DataObject) -> None:
    order = bench.order(burger(MAYO, HOT), tip=100, merchant_funded_discount=50, reference="ref-1")
    answer = data.draw(mutations[ORDERS])
    try:
        with answered(bench, ORDERS, answer):
            placed = bench.adapter.submit_order(order, LevelUp(), bench.new_session())
    except Failure as failure:
        # Toast was asked to place it: whatever it says, this proves nothing.
        assert isinstance(failure, Unanswered) and not isinstance(failure, Refused) and failure.sent
        assert bench.session.placing
    else:
        assert placed.provider_order_id == str(answer["guid"])
        assert placed.expected_charge == cents(recorded[PRICES]["checks"][0]["totalAmount"]) + 100
        tips = sum(cents(payment["tipAmount"]) for payment in answer["checks"][0].get("payments") or [])
        assert placed.charged == cents(answer["checks"][0]["totalAmount"]) + tips


@pytest.mark.rule("ERR-3", "SUB-5")
@thoroughly
@given(data=st.data())
def test_found_orders(bench: Bench, recorded: dict[str, Any], mutations: Mutations, data: st.DataObject) -> None:
    location = bench.order().location
    answer = data.draw(mutations[FOUND])
    try:
        with answered(bench, FOUND, answer):
            found = bench.adapter.find_order(location, "ref-1", {}, bench.new_session())
    except Failure as failure:
        assert isinstance(failure, Unanswered)
    else:
        assert found is not None and found.provider_order_id == str(answer["guid"])
        assert answer.get("externalId") in (None, "LEVELUP:ref-1")


def cents(amount: Any) -> int:
    return int(Decimal(str(amount)) * 100)
