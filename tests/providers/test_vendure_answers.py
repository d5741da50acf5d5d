"""The Vendure adapter and answers that a sound shop gives rarely, or never.

``vendure_answers.json`` was recorded from the running server (3.7.3, 2026-11): the menu, and an order of two
burgers and a soda with everything that an order can have.
"""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import requests
import responses
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.vendure import VendureAdapter
from adapters.vendure_refusals import CODES, VendureRefused
from levelup_ov.adapter import Account
from levelup_ov.app import create_app
from levelup_ov.config import load_settings
from levelup_ov.domain.failure import Failure
from levelup_ov.domain.location import Location
from levelup_ov.errors import KINDS, Unanswered
from levelup_ov.transport.deadline import Deadline
from levelup_ov.transport.response_cache import MemoryStore, ResponseCache
from levelup_ov.transport.session import Reply, Session, Transport
from tests.channel import CARD, Answer, Channel, Clock, item
from tests.providers.mutations import mutate

RECORDED: Mapping[str, Any] = json.loads(Path(__file__).with_name("vendure_answers.json").read_text())
URL = "http://shop.test"
ACCOUNTS = f"""
[accounts.boston]
provider = "vendure"
name = "Boston Burgers"
settings = {{base_url = "{URL}", channels = "congress", tender_key = "env:TENDER_KEY"}}

[accounts.club]
provider = "vendure"
name = "Burger Club"
settings = {{base_url = "{URL}", channels = "congress", checkout = "account", tender_key = "env:TENDER_KEY"}}
"""
PLACE, CLUB = "boston.congress", "club.congress"
ORDER = {
    "items": [item("1", "1:2", "2:3", quantity=2, special_instructions="no onions"), item("3")],
    "tip": 200,
    "merchant_funded_discount": 100,
    "desired_ready_time": "2030-06-03T18:30",
}
PRICE = {
    "total": 3000, "tax": 201, "tip": 200, "merchant_funded_discount": 100, "provider_funded_discount": 30,
    "soonest_available_at": "2030-06-03T18:30", "ready_at": "2030-06-03T18:30", "available_at": None,
}  # fmt: skip
CODE = RECORDED["Open"]["data"]["cart"]["order"]["code"]
REFERENCE = "ref-1"
"""What the recorded order was placed under."""
SETTINGS = {"base_url": URL, "channels": "congress", "checkout": "guest"}
ADAPTER = VendureAdapter(Account("boston", "vendure", "Boston Burgers", SETTINGS))
CONGRESS = Location("congress", "Congress Street")
TRANSPORT = Transport(pool_size=1)
EXAMPLES = settings(max_examples=150, deadline=None)


class Shop:
    """Answers each document by its name: as recorded, or as ``answers`` say, a status, a body or what gives one."""

    def __init__(self, mock: responses.RequestsMock) -> None:
        self.answers: dict[str, Any] = {}
        self.asked: list[tuple[str, dict[str, Any]]] = []
        mock.add_callback("POST", f"{URL}/shop-api", self._answer)

    def _answer(self, request: requests.PreparedRequest) -> tuple[int, dict[str, str], str]:
        body = json.loads(request.body or "")
        name = re.match(r"(?:query|mutation) (\w+)", body["query"])
        assert name
        self.asked.append((name[1], body["variables"]))
        answer = self.answers.get(name[1], RECORDED[name[1]])
        if callable(answer):
            answer = answer(body["variables"])
        if isinstance(answer, int):
            return answer, {}, ""
        variables = body["variables"] or {}
        asked = variables.get("input", variables).get("reference")
        # A shop says back what it was asked about.
        return 200, {}, json.dumps(answer).replace(REFERENCE, asked or REFERENCE)


@pytest.fixture(scope="module")
def mock() -> Iterator[responses.RequestsMock]:
    with responses.RequestsMock(assert_all_requests_are_fired=False) as mock:
        yield mock


@pytest.fixture(scope="module")
def the_shop(mock: responses.RequestsMock) -> Shop:
    return Shop(mock)


@pytest.fixture
def shop(the_shop: Shop) -> Shop:
    the_shop.answers.clear()
    the_shop.asked.clear()
    return the_shop


@pytest.fixture(scope="module")
def channel(the_shop: Shop, tmp_path_factory: pytest.TempPathFactory) -> Channel:
    data = tmp_path_factory.mktemp("vendure")
    (data / "accounts.toml").write_text(ACCOUNTS)
    environ = {
        "LEVELUP_OV_ENV": "development",
        "LEVELUP_OV_DATA_DIR": str(data),
        "LEVELUP_OV_ACCOUNTS": str(data / "accounts.toml"),
        "TENDER_KEY": "k3y",
    }
    channel = Channel(create_app(load_settings(environ), clock=Clock()))
    for merchant in ("boston", "club"):
        assert channel.get(f"/merchants/{merchant}/locations").status == 200
    return channel


def session() -> Session:
    """Calls that nothing was kept for."""
    TRANSPORT.cache = ResponseCache(MemoryStore())
    return Session(
        TRANSPORT,
        "boston",
        base_url=ADAPTER.base_url,
        headers=ADAPTER.headers(),
        error_from=ADAPTER.error_from,
        deadline=Deadline(10),
    )


def another(order: Mapping[str, Any]) -> dict[str, Any]:
    """The order as a submission of its own: while an outcome is unknown, its content is taken (SUB-3)."""
    return {**order, "special_instructions": uuid4().hex}


def is_a_clear_error(answer: Answer) -> bool:
    """An error of the closed list that is not a fault of our own."""
    return answer.status in (422, 502, 504) and answer.error["code"] in KINDS


@pytest.mark.rule("MONEY-9", "ERR-3")
@EXAMPLES
@given(data=st.data())
@pytest.mark.parametrize(("place", "recorded"), [(PLACE, "Open"), (CLUB, "OpenAccount")])
def test_a_price_is_right_or_refused(
    the_shop: Shop, channel: Channel, place: str, recorded: str, data: st.DataObject
) -> None:
    the_shop.answers = {"Open": data.draw(mutate(RECORDED[recorded]))}

    validated = channel.validate(place, **ORDER)

    if validated.status == 200:
        assert {name: validated.order[name] for name in PRICE} == PRICE
    else:
        assert is_a_clear_error(validated)


@pytest.mark.rule("SUB-1", "SUB-5", "ERR-3")
@EXAMPLES
@given(answer=mutate(RECORDED["Place"]))
def test_an_order_is_the_one_that_was_placed_or_unknown(the_shop: Shop, channel: Channel, answer: Any) -> None:
    the_shop.answers = {}
    metadata = {"order_cart": channel.validate(PLACE, **ORDER).order["metadata"]["order_cart"]}
    the_shop.answers = {"Place": answer}

    submitted = channel.submit(PLACE, **another(ORDER), metadata=metadata)

    if submitted.status == 200:
        # An id may be any text; that of another type is not one.
        assert type(submitted.order["order_id"]) is str
        placed = answer["data"]["placed"]
        assert submitted.order["order_id"] == placed["order"]["code"] and placed["reference"] == REFERENCE
        assert submitted.order["expected_ready_at"] in (None, ORDER["desired_ready_time"])
    else:
        assert submitted.refusal[:2] == (504, "outcome_unknown")


NOTHING = {"reference": REFERENCE, "fences": 0, "order": None, "others": []}


@pytest.mark.rule("SUB-5", "SUB-8")
@EXAMPLES
@given(data=st.data())
@pytest.mark.parametrize("recorded", [RECORDED["Find"], {"data": {"held": NOTHING}}], ids=["placed", "nothing"])
def test_only_the_whole_answer_proves_anything(the_shop: Shop, recorded: Any, data: st.DataObject) -> None:
    the_shop.answers = {"Find": (answer := data.draw(mutate(recorded)))}

    try:
        found = ADAPTER.find_order(CONGRESS, REFERENCE, {"code": CODE}, session())
    except Failure as failure:
        assert isinstance(failure, Unanswered) and failure.code == "provider_protocol_error"
    else:
        held = answer["data"]["held"]
        assert held["reference"] == REFERENCE
        if found is None:
            assert held["order"] is None and held["others"] == []
        else:
            assert (found.order_id, found.reference) == (held["order"]["code"], REFERENCE)


def held(**members: Any) -> dict[str, Any]:
    return {"data": {"held": {**NOTHING, **members}}}


WRONG_ANSWERS = {
    "another reference": held(reference="ref-2"),
    "an error beside it": {"errors": [{"message": "no"}], **held()},
    "no order, and others": held(others=["7"]),
    "null": {"data": {"held": None}},
    "a list": [],
    "202": 202,
    "203": 203,
    "206": 206,
}


@pytest.mark.rule("SUB-5", "SUB-8")
@pytest.mark.parametrize("answer", WRONG_ANSWERS.values(), ids=WRONG_ANSWERS)
def test_what_is_not_about_the_order_proves_nothing(shop: Shop, answer: Any) -> None:
    shop.answers = {"Find": answer}

    with pytest.raises(Unanswered):
        ADAPTER.find_order(CONGRESS, "ref-0", {}, session())


@pytest.mark.rule("SUB-8")
def test_further_orders_of_a_reference_are_reported(shop: Shop) -> None:
    first = RECORDED["Find"]["data"]["held"]["order"]
    shop.answers = {"Find": held(order=first, others=["7", "9"])}

    found = ADAPTER.find_order(CONGRESS, REFERENCE, {}, session())

    assert found is not None and (found.order_id, found.duplicates) == (CODE, ("7", "9"))


@pytest.mark.rule("SUB-10")
@pytest.mark.parametrize(
    "answer", [held(), held(reference="ref-2", fences=1), {"data": None}], ids=["not fenced", "another", "nothing"]
)
def test_a_fence_that_is_not_confirmed_is_none(shop: Shop, answer: Any) -> None:
    shop.answers = {"Fence": answer}

    with pytest.raises(Unanswered):
        ADAPTER.fence_order(CONGRESS, "ref-0", {}, session())


@pytest.mark.rule("SUB-8")
def test_an_answer_about_another_order_is_not_believed(shop: Shop, channel: Channel) -> None:
    metadata = {"order_cart": channel.validate(PLACE, **ORDER).order["metadata"]["order_cart"]}
    shop.answers = {"Place": placing(reference="somebody-elses")}

    assert channel.submit(PLACE, **another(ORDER), metadata=metadata).refusal[:2] == (504, "outcome_unknown")


@pytest.mark.rule("MENU-3", "LOC-1", "ERR-3")
@EXAMPLES
@given(data=st.data())
@pytest.mark.parametrize("document", ["Menu", "Location"])
def test_a_menu_and_a_location_are_read_or_refused(the_shop: Shop, document: str, data: st.DataObject) -> None:
    the_shop.answers = {document: data.draw(mutate(RECORDED[document]))}

    try:
        if document == "Menu":
            menu = ADAPTER.show_menu(CONGRESS, session())
            # What has no price is left out further up (MENU-6).
            prices = [each.price for category in menu.categories for each in category.items]
            assert all(price is None or type(price) is int for price in prices)
        else:
            [location] = ADAPTER.list_locations(session())
            assert location.provider_id == "congress" and location.name
    except Failure as failure:
        assert isinstance(failure, Unanswered) and failure.code == "provider_protocol_error"


@pytest.mark.rule("SUB-2", "SUB-5")
@pytest.mark.parametrize(
    "answer",
    [
        {"errors": [{"message": "no", "path": ["placed"], "extensions": {"code": "BAD_USER_INPUT"}}], "data": None},
        {
            "errors": [
                {"message": "no", "path": ["other"], "extensions": {"code": "FORBIDDEN"}},
                {"message": "no", "path": ["placed"], "extensions": {"code": "FORBIDDEN"}},
            ],
            "data": None,
        },
        {"errors": [{"message": "no", "path": ["placed"], "extensions": {"code": "ODD"}}], "data": None},
        {"errors": [{"message": "no", "path": ["placed", "order"]}], "data": RECORDED["Place"]["data"]},
        {"data": None},
        {"data": {"placed": {**RECORDED["Place"]["data"]["placed"], "refusal": {"kind": "CartGone", "message": "no"}}}},
        {"data": {"placed": {"refusal": None, "reference": None, "order": None}}},
        500,
    ],
    ids=[
        "it threw", "two threw", "an error of its own", "an error beside it", "nothing", "refused and placed",
        "neither", "a fault",
    ],
)  # fmt: skip
def test_what_proves_nothing_about_the_order_is_unknown(shop: Shop, channel: Channel, answer: Any) -> None:
    metadata = {"order_cart": channel.validate(PLACE, **ORDER).order["metadata"]["order_cart"]}
    shop.answers = {"Place": answer}
    shop.asked.clear()

    assert channel.submit(PLACE, **another(ORDER), metadata=metadata).refusal[:2] == (504, "outcome_unknown")

    assert [name for name, _ in shop.asked] == ["Place"]


def refused(member: str, kind: str, message: str, **more: Any) -> dict[str, Any]:
    return {"data": {member: {"refusal": {"kind": kind, "message": message, "item": None, **more}}}}


def placing(**members: Any) -> dict[str, Any]:
    return {"data": {"placed": {**RECORDED["Place"]["data"]["placed"], **members}}}


REFUSALS: Mapping[str, tuple[dict[str, Any], str, str, str | None]] = {
    "the words of the bank": (
        refused("placed", "PaymentDeclinedError", "no funds"), "card_declined", "no funds", None,
    ),
    "the bank is silent": (refused("placed", "PaymentFailedError", "failed"), "order_refused", "failed", None),
    "another price": (
        refused("placed", "PriceChanged", "the order costs 2, not 1"),
        "price_changed", "the order costs 2, not 1", None,
    ),
    "another price, in a payment's words": (
        refused("placed", "PaymentDeclinedError", "the order costs 2, not 1"),
        "price_changed", "the order costs 2, not 1", None,
    ),
    "a step before the payment": (
        refused("placed", "OrderStateTransitionError", "closed today"), "order_refused", "closed today", None,
    ),
    "a line": (
        refused("cart", "OrderLimitError", "too many", item=1), "invalid_choices", "too many", "$.items[1].item",
    ),
    "an item that staff took away": (refused("placed", "ItemGone", "gone"), "item_unavailable", "gone", None),
    "a kind of a later version": (refused("cart", "NovelError", "no"), "order_refused", "no", None),
    "a thrown one": (
        {"errors": [{"message": "No such", "path": ["cart"], "extensions": {"code": "ENTITY_NOT_FOUND"}}]},
        "unknown_item", "No such", None,
    ),
    "a document that is not run": (
        {"errors": [{"message": "too large", "extensions": {"code": "BAD_USER_INPUT"}}]},
        "order_refused", "too large", None,
    ),
}  # fmt: skip


@pytest.mark.rule("SUB-8")
@pytest.mark.parametrize("status", [201, 202, 203, 206])
def test_a_refusal_of_another_status_is_none(status: int) -> None:
    answer = json.dumps(refused("placed", "CartGone", "no")).encode()
    assert ADAPTER.error_from(Reply(status, {}, answer)) is None
    assert ADAPTER.error_from(Reply(200, {}, answer)) is not None


@pytest.mark.rule("ERR-2")
@pytest.mark.parametrize(("answer", "code", "words", "path"), REFUSALS.values(), ids=REFUSALS)
def test_a_refusal_has_the_shops_words(answer: dict[str, Any], code: str, words: str, path: str | None) -> None:
    refusal = ADAPTER.error_from(Reply(200, {}, json.dumps(answer).encode()))

    assert isinstance(refusal, VendureRefused)
    assert (refusal.code, refusal.message, refusal.path) == (code, words, path)


@pytest.mark.rule("ERR-1")
def test_every_code_is_of_the_closed_list() -> None:
    assert set(CODES.values()) <= set(KINDS)


def cart(change: Callable[[dict[str, Any]], None]) -> dict[str, Any]:
    answer = copy.deepcopy(RECORDED["Open"])
    change(answer["data"]["cart"]["order"])
    return answer


def add_fee(cart: dict[str, Any]) -> None:
    cart["surcharges"].append({"sku": "bag", "description": "Bag fee", "price": 10, "priceWithTax": 10})
    cart["total"] += 10
    cart["totalWithTax"] += 10


@pytest.mark.rule("MONEY-9")
def test_a_fee_is_reported_as_one(shop: Shop, channel: Channel) -> None:
    shop.answers = {"Open": cart(add_fee)}

    validated = channel.validate(PLACE, **ORDER).order

    assert validated["total"] == 3010
    assert validated["metadata"]["order_fees"] == [{"name": "Bag fee", "amount": 10}]


@pytest.mark.rule("MONEY-4")
def test_a_tip_that_the_shop_does_not_take_is_null(shop: Shop, channel: Channel) -> None:
    def take_no_tip(cart: dict[str, Any]) -> None:
        cart["surcharges"].clear()
        cart["total"] -= 200
        cart["totalWithTax"] -= 200

    shop.answers = {"Open": cart(take_no_tip)}

    assert channel.validate(PLACE, **ORDER).order["tip"] is None


@pytest.mark.rule("MONEY-9")
@pytest.mark.parametrize(
    "change",
    [
        lambda cart: cart["lines"].append(cart["lines"][0]),
        lambda cart: cart["lines"][0].update(quantity=3),
        lambda cart: cart.update(total=3069),
        lambda cart: cart.update(totalWithTax=3270),
        lambda cart: cart["customFields"].update(pickupAt="2030-06-03T22:31:00.000Z"),
    ],
    ids=["a line more", "one more of a line", "a cent less", "a cent less with tax", "another time"],
)
def test_a_cart_that_is_not_the_order_is_a_broken_protocol(
    change: Callable[[dict[str, Any]], None], shop: Shop, channel: Channel
) -> None:
    shop.answers = {"Open": cart(change)}

    assert channel.validate(PLACE, **ORDER).refusal[:2] == (502, "provider_protocol_error")


GUEST = {"guestName": "Robin Example", "guestPhone": "617-555-0142", "guestEmail": "robin@example.com"}


@pytest.mark.rule("SUB-8", "META-11")
@pytest.mark.parametrize("member", GUEST)
@pytest.mark.parametrize("reported", ["Ada Other", None])
def test_the_cart_of_another_guest_is_not_ours(member: str, reported: str | None, shop: Shop, channel: Channel) -> None:
    """The lines, the time and the price are the same: only whose they are differs."""
    shop.answers = {"Open": cart(lambda theirs: theirs["customFields"].update({member: reported}))}

    assert channel.validate(PLACE, **ORDER).refusal[:2] == (502, "provider_protocol_error")


@pytest.mark.rule("SUB-8", "EP-11")
def test_the_shop_may_trim_a_name(shop: Shop, channel: Channel) -> None:
    shop.answers = {"Open": cart(lambda ours: ours["customFields"].update(guestName="Robin  Example "))}

    assert channel.validate(PLACE, **ORDER).status == 200


@pytest.mark.rule("MONEY-6", "MONEY-9")
@pytest.mark.parametrize("members", [{"providerDiscount": -30}, {"merchantDiscount": -100}, {"token": None}])
def test_a_cart_that_makes_no_sense_is_a_broken_protocol(members: Any, shop: Shop, channel: Channel) -> None:
    shop.answers = {"Open": {"data": {"cart": {**RECORDED["Open"]["data"]["cart"], **members}}}}

    assert channel.validate(PLACE, **ORDER).refusal[:2] == (502, "provider_protocol_error")


@pytest.mark.rule("PAY-2", "ERR-4", "SUB-5")
def test_card_data_is_in_the_payment_alone_and_not_the_trace(shop: Shop, channel: Channel) -> None:
    metadata = {"order_cart": channel.validate(PLACE, **ORDER).order["metadata"]["order_cart"]}
    shop.answers = {"Place": refused("placed", "PaymentDeclinedError", f"no: {CARD['number']}"), "Find": held()}

    refusal = channel.submit(PLACE, **ORDER, credit_card=CARD, order_number=uuid4().hex, metadata=metadata)

    assert refusal.error["message"] == "no: ***"
    [(_, opened), (name, variables), *after] = shop.asked[-4:]
    placed = variables["input"]
    assert [name, *(each for each, _ in after)] == ["Place", "Fence", "Find"]
    assert CARD["number"] not in json.dumps([opened, after])
    assert placed.pop("payment") == {
        "number": CARD["number"], "cvv": CARD["cvv"], "month": "06", "year": "2031", "zip": "02114",
        "name": "Robin Example",
    }  # fmt: skip
    assert placed.pop("reference")
    assert placed == {
        "key": "k3y", "token": RECORDED["Open"]["data"]["cart"]["token"], "code": CODE, "amount": 3271, "tip": 200,
        "method": "card", "pickupAt": "2030-06-03T22:30:00+00:00", "instructions": None,
    }  # fmt: skip


def menu_page(products: list[Any], total: int) -> dict[str, Any]:
    channel = RECORDED["Menu"]["data"]["activeChannel"]
    return {"data": {"activeChannel": channel, "products": {"totalItems": total, "items": products}}}


@pytest.mark.rule("MENU-1")
def test_a_menu_of_many_pages_is_read_to_its_end(shop: Shop) -> None:
    products = RECORDED["Menu"]["data"]["products"]["items"]

    def page(variables: dict[str, int]) -> Any:
        found = products[variables["skip"] :][:3]
        return menu_page(found, len(products))

    shop.answers = {"Menu": page}

    menu = ADAPTER.show_menu(CONGRESS, session())

    assert [variables for _, variables in shop.asked] == [{"skip": 0}, {"skip": 3}]
    assert sum(len(category.items) for category in menu.categories) == len(products)


@pytest.mark.rule("MENU-1")
def test_pages_between_which_staff_edits_are_read_again(shop: Shop) -> None:
    products = RECORDED["Menu"]["data"]["products"]["items"]

    def page(variables: dict[str, int]) -> Any:
        """After the first page, the first product goes."""
        found = products if len(shop.asked) == 1 else products[1:]
        return menu_page(found[variables["skip"] :][:3], len(found))

    shop.answers = {"Menu": page}

    menu = ADAPTER.show_menu(CONGRESS, session())

    assert [variables["skip"] for _, variables in shop.asked] == [0, 3, 0]
    assert {each.name for category in menu.categories for each in category.items} == {
        variant["name"] for product in products[1:] for variant in product["variants"]
    }


@pytest.mark.rule("MENU-6")
def test_what_has_no_price_in_cents_has_none_in_the_menu(shop: Shop) -> None:
    answer = copy.deepcopy(RECORDED["Menu"])
    [burger, tea, *_] = answer["data"]["products"]["items"]
    burger["variants"][0]["price"] = -100
    tea["customFields"]["modifierGroups"][0]["values"][0]["customFields"]["price"] = -1
    shop.answers = {"Menu": answer}

    menu = ADAPTER.show_menu(CONGRESS, session())

    prices = {each.name: each.price for category in menu.categories for each in category.items}
    assert prices["Burger"] is None and prices["Tea"] == 333
    [milk] = [group for group in menu.option_groups if group.name == "Milk"]
    assert [option.price for option in milk.options].count(None) == 1


@pytest.mark.rule("MENU-1", "MONEY-1")
def test_prices_that_include_tax_are_those_of_the_menu(shop: Shop) -> None:
    answer = copy.deepcopy(RECORDED["Menu"])
    answer["data"]["activeChannel"]["pricesIncludeTax"] = True
    [burger, *_] = answer["data"]["products"]["items"]
    burger["variants"][0].update(price=935, priceWithTax=1000)
    shop.answers = {"Menu": answer}

    menu = ADAPTER.show_menu(CONGRESS, session())

    assert {each.name: each.price for category in menu.categories for each in category.items}["Burger"] == 1000


@pytest.mark.rule("LOC-1", "ERR-3")
def test_another_version_of_the_plugin_is_reported(shop: Shop) -> None:
    answer = copy.deepcopy(RECORDED["Location"])
    answer["data"]["levelUp"]["version"] = "3.0.0"
    shop.answers = {"Location": answer}

    with pytest.raises(Unanswered, match="the shop's plugin has version 3.0.0; this adapter needs version 2"):
        ADAPTER.list_locations(session())


@pytest.mark.rule("LOC-1", "MONEY-1")
def test_a_channel_in_another_currency_is_not_active(shop: Shop) -> None:
    euros = copy.deepcopy(RECORDED["Location"])
    euros["data"]["activeChannel"]["defaultCurrencyCode"] = "EUR"
    answers = iter([RECORDED["Location"], euros] * 2)
    shop.answers = {"Location": lambda variables: next(answers)}

    def active(**more: str) -> list[bool]:
        account = Account("boston", "vendure", "Boston Burgers", {**SETTINGS, "channels": "one,two", **more})
        return [each.active for each in VendureAdapter(account).list_locations(session())]

    assert active() == [True, False]
    assert active(currency="EUR") == [False, True]


@pytest.mark.parametrize("wrong", [{"checkout": "members"}, {"channels": " , "}])
def test_settings_that_mean_nothing_are_reported_at_startup(wrong: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="|".join(wrong)):
        VendureAdapter(Account("boston", "vendure", "Boston Burgers", {**SETTINGS, **wrong}))
