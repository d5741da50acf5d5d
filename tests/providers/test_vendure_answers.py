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

import pytest
import requests
import responses
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.vendure import VendureAdapter
from adapters.vendure_refusals import CODES, Problem
from levelup_ov.adapter import Account
from levelup_ov.app import create_app
from levelup_ov.config import load_settings
from levelup_ov.domain.failure import Failure
from levelup_ov.domain.location import Location
from levelup_ov.errors import KINDS, Unanswered
from levelup_ov.transport.cache import AnswerCache, MemoryStore
from levelup_ov.transport.deadline import Deadline
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
CODE = "3L1FPPLNYKGXA483"
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
        self.headers = {"vendure-auth-token": "t0ken"}
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
        return 200, self.headers, json.dumps(answer)


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
    TRANSPORT.cache = AnswerCache(MemoryStore())
    return Session(
        TRANSPORT,
        "boston",
        base_url=ADAPTER.base_url,
        headers=ADAPTER.headers(),
        error_from=ADAPTER.error_from,
        deadline=Deadline(10),
    )


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

    submitted = channel.submit(PLACE, **ORDER, metadata=metadata)

    if submitted.status == 200:
        # An id may be any text; that of another type is not one.
        assert type(submitted.order["order_id"]) is str
        assert submitted.order["order_id"] == answer["data"]["pay"]["code"]
        assert submitted.order["expected_ready_at"] in (None, ORDER["desired_ready_time"])
    else:
        assert submitted.refusal[:2] == (504, "outcome_unknown")


@pytest.mark.rule("SUB-5")
@EXAMPLES
@given(answer=mutate(RECORDED["Find"]))
def test_only_an_explicit_null_proves_that_there_is_no_order(the_shop: Shop, answer: Any) -> None:
    the_shop.answers = {"Find": answer}

    try:
        found = ADAPTER.find_order(CONGRESS, "ref-1", {"code": CODE}, session())
    except Failure as failure:
        assert isinstance(failure, Unanswered) and failure.code == "provider_protocol_error"
    else:
        if found is None:
            assert answer["data"] == {"orderPlacedAs": None}
        else:
            assert found.order_id == answer["data"]["orderPlacedAs"]["code"]


@pytest.mark.rule("MENU-3", "LOC-1", "ERR-3")
@EXAMPLES
@given(data=st.data())
@pytest.mark.parametrize("document", ["Menu", "Location"])
def test_a_menu_and_a_location_are_read_or_refused(the_shop: Shop, document: str, data: st.DataObject) -> None:
    the_shop.answers = {document: data.draw(mutate(RECORDED[document]))}

    try:
        if document == "Menu":
            menu = ADAPTER.show_menu(CONGRESS, session())
            assert all(type(each.price) is int for category in menu.categories for each in category.items)
        else:
            [location] = ADAPTER.list_locations(session())
            assert location.provider_id == "congress" and location.name
    except Failure as failure:
        assert isinstance(failure, Unanswered) and failure.code == "provider_protocol_error"


@pytest.mark.rule("SUB-2", "SUB-5")
@pytest.mark.parametrize(
    "answer",
    [
        {"errors": [{"message": "no", "path": ["pay"], "extensions": {"code": "BAD_USER_INPUT"}}], "data": None},
        {
            "errors": [
                {"message": "no", "path": ["state"], "extensions": {"code": "FORBIDDEN"}},
                {"message": "no", "path": ["pay"], "extensions": {"code": "FORBIDDEN"}},
            ],
            "data": None,
        },
        {"errors": [{"message": "no", "path": ["tip"], "extensions": {"code": "INTERNAL_SERVER_ERROR"}}], "data": None},
        {"errors": [{"message": "no", "path": ["pay", "payments"]}], "data": RECORDED["Place"]["data"]},
        {"data": None},
        500,
    ],
    ids=["the payment threw", "two steps threw", "an error of its own", "an error beside it", "nothing", "a fault"],
)
def test_what_proves_nothing_about_the_order_is_unknown(shop: Shop, channel: Channel, answer: Any) -> None:
    metadata = {"order_cart": channel.validate(PLACE, **ORDER).order["metadata"]["order_cart"]}
    shop.answers = {"Place": answer}
    shop.asked.clear()

    assert channel.submit(PLACE, **ORDER, metadata=metadata).refusal[:2] == (504, "outcome_unknown")

    assert [name for name, _ in shop.asked] == ["Place"]


@pytest.mark.rule("SUB-5")
def test_an_error_beside_a_null_is_no_proof(shop: Shop) -> None:
    shop.answers = {"Find": {"errors": [{"message": "no"}], "data": {"orderPlacedAs": None}}}

    with pytest.raises(Unanswered):
        ADAPTER.find_order(CONGRESS, "ref-1", {}, session())
    shop.answers = {"Find": {"data": {"orderPlacedAs": None}}}
    assert ADAPTER.find_order(CONGRESS, "ref-1", {}, session()) is None


def error(name: str, **members: str) -> dict[str, Any]:
    return {"__typename": name, "errorCode": "CODE", "message": f"{name} said", **members}


def placing(**members: Any) -> dict[str, Any]:
    return {"data": {**RECORDED["Place"]["data"], **members}}


LATE = error("OrderPaymentStateError")
REFUSALS: Mapping[str, tuple[dict[str, Any], str, str]] = {
    "the words of the bank": (
        placing(pay=error("PaymentDeclinedError", paymentErrorMessage="no funds")), "card_declined", "no funds",
    ),
    "no words of the bank": (
        placing(pay=error("PaymentFailedError", paymentErrorMessage="")), "order_refused", "PaymentFailedError said",
    ),
    "another price": (
        placing(pay=error("PaymentDeclinedError", paymentErrorMessage="the order costs 2, not 1")),
        "price_changed", "the order costs 2, not 1",
    ),
    "a step before the payment": (
        placing(state=error("OrderStateTransitionError", transitionError="closed today"), pay=LATE),
        "order_refused", "closed today",
    ),
    "the payment alone": (placing(pay=LATE), "order_refused", "OrderPaymentStateError said"),
    "a card that is tried again": (
        placing(state=error("OrderStateTransitionError"), pay=error("PaymentDeclinedError", paymentErrorMessage="no")),
        "card_declined", "no",
    ),
    "a line": (
        {"data": {"lines": {"errorResults": [error("OrderLimitError", message="ORDER_LIMIT_ERROR")]}}},
        "invalid_choices", "the order has too many items",
    ),
    "an error of a later version": ({"data": {"lines": error("NovelError")}}, "order_refused", "NovelError said"),
    "a thrown one": (
        {"errors": [{"message": "No such", "path": ["lines"], "extensions": {"code": "ENTITY_NOT_FOUND"}}]},
        "unknown_item", "No such",
    ),
    "a document that is not run": (
        {"errors": [{"message": "too large", "extensions": {"code": "BAD_USER_INPUT"}}]}, "order_refused", "too large",
    ),
}  # fmt: skip


@pytest.mark.rule("ERR-2")
@pytest.mark.parametrize(("answer", "code", "words"), REFUSALS.values(), ids=REFUSALS)
def test_a_refusal_is_told_in_the_shops_words(answer: dict[str, Any], code: str, words: str) -> None:
    refusal = ADAPTER.error_from(Reply(200, {}, json.dumps(answer).encode()))

    assert isinstance(refusal, Problem)
    assert (refusal.code, refusal.message) == (code, words)


@pytest.mark.rule("ERR-1")
def test_every_code_is_of_the_closed_list() -> None:
    assert set(CODES.values()) <= set(KINDS)


@pytest.mark.rule("PAY-4")
def test_an_order_whose_state_changed_after_it_was_paid_is_placed() -> None:
    answer = placing(state=error("OrderStateTransitionError"))

    assert ADAPTER.error_from(Reply(200, {}, json.dumps(answer).encode())) is None


def cart(change: Callable[[dict[str, Any]], None]) -> dict[str, Any]:
    answer = copy.deepcopy(RECORDED["Open"])
    change(answer["data"]["cart"])
    return answer


def add_fee(cart: dict[str, Any]) -> None:
    cart["surcharges"].append({"sku": "bag", "description": "Bag fee", "price": 10})
    cart["totalWithTax"] += 10


@pytest.mark.rule("MONEY-9")
def test_a_fee_is_told_as_one(shop: Shop, channel: Channel) -> None:
    shop.answers = {"Open": cart(add_fee)}

    validated = channel.validate(PLACE, **ORDER).order

    assert validated["total"] == 3010
    assert validated["metadata"]["order_fees"] == [{"name": "Bag fee", "amount": 10}]


@pytest.mark.rule("MONEY-4")
def test_a_tip_that_the_shop_does_not_take_is_null(shop: Shop, channel: Channel) -> None:
    def take_no_tip(cart: dict[str, Any]) -> None:
        cart["surcharges"].clear()
        cart["totalWithTax"] -= 200

    shop.answers = {"Open": cart(take_no_tip)}

    assert channel.validate(PLACE, **ORDER).order["tip"] is None


@pytest.mark.rule("MONEY-9")
@pytest.mark.parametrize(
    "change",
    [
        lambda cart: cart["lines"].append(cart["lines"][0]),
        lambda cart: cart["lines"][0].update(quantity=3),
        lambda cart: cart["discounts"][1].update(amount=30),
        lambda cart: cart.update(totalWithTax=3270),
        lambda cart: cart["customFields"].update(pickupAt="2030-06-03T22:31:00.000Z"),
    ],
    ids=["a line more", "one more of a line", "a discount that adds", "a cent less", "another time"],
)
def test_a_cart_that_is_not_the_order_is_a_broken_protocol(
    change: Callable[[dict[str, Any]], None], shop: Shop, channel: Channel
) -> None:
    shop.answers = {"Open": cart(change)}

    assert channel.validate(PLACE, **ORDER).refusal[:2] == (502, "provider_protocol_error")


@pytest.mark.rule("ERR-3")
def test_a_cart_without_a_session_is_a_broken_protocol(
    shop: Shop, channel: Channel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shop, "headers", {})

    assert channel.validate(PLACE, **ORDER).refusal[:2] == (502, "provider_protocol_error")


@pytest.mark.rule("PAY-2", "ERR-4", "SUB-5")
def test_the_card_goes_into_the_payment_alone_and_nothing_private_into_the_trace(shop: Shop, channel: Channel) -> None:
    metadata = {"order_cart": channel.validate(PLACE, **ORDER).order["metadata"]["order_cart"]}
    shop.answers = {"Place": placing(pay=error("PaymentDeclinedError", paymentErrorMessage=f"no: {CARD['number']}"))}

    refusal = channel.submit(PLACE, **ORDER, credit_card=CARD, metadata=metadata)

    assert refusal.error["message"] == "no: ***"
    [(_, opened), (name, placed)] = shop.asked[-2:]
    assert name == "Place" and CARD["number"] not in json.dumps(opened)
    payment = placed.pop("metadata")
    assert payment == {
        "amount": 3271, "number": CARD["number"], "cvv": CARD["cvv"], "month": "06", "year": "2031", "zip": "02114",
        "name": "Robin Example",
    }  # fmt: skip
    assert placed.pop("fields").pop("levelupReference")
    assert placed == {"code": CODE, "tip": 200, "method": "card"}


@pytest.mark.rule("MENU-1")
def test_a_menu_of_many_pages_is_read_to_its_end(shop: Shop) -> None:
    products = RECORDED["Menu"]["data"]["products"]["items"]

    def page(variables: dict[str, int]) -> Any:
        found = products[variables["skip"] :][:3]
        return {"data": {"products": {"totalItems": len(products), "items": found}}}

    shop.answers = {"Menu": page}

    menu = ADAPTER.show_menu(CONGRESS, session())

    assert [variables for _, variables in shop.asked] == [{"skip": 0}, {"skip": 3}]
    assert sum(len(category.items) for category in menu.categories) == len(products)


@pytest.mark.parametrize("wrong", [{"checkout": "members"}, {"channels": " , "}])
def test_settings_that_mean_nothing_are_told_at_boot(wrong: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="|".join(wrong)):
        VendureAdapter(Account("boston", "vendure", "Boston Burgers", {**SETTINGS, **wrong}))
