"""Orders of the shopping face, all of whose traffic is held against the official schemas."""

from __future__ import annotations

import pytest

from levelup_ov.ordering.tracking import TrackedOrder
from levelup_ov.sessions.model import Basket, CheckoutSession, Line, SessionOrder
from levelup_ov.ucp import shopping
from levelup_ov.ucp.versions import SHOPPING_VERSION
from tests.channel import Clock
from tests.ucp.agent import BUYER, Agent, amounts, dish, item, messages, pays_by_card, uid
from tests.ucp.official import Official

SEARCH, LOOKUP = "/ucp/shopping/catalog/search", "/ucp/shopping/catalog/lookup"
PRODUCT, ORDERS = "/ucp/shopping/catalog/product", "/ucp/shopping/orders"


@pytest.mark.rule("UCP-6", "UCP-12")
def test_items_without_options_are_sold(shopper: Agent) -> None:
    session = shopper.session(item("cookie", 2), item("lemonade", id="mine"), face="shopping")
    assert [line["item"]["title"] for line in session["line_items"]] == ["Cookie", "Bottled lemonade"]
    assert [line["id"] for line in session["line_items"]] == ["li_1", "mine"]
    assert amounts(session) == {"subtotal": 693, "tax": 49, "total": 742}
    key = uid()
    done = shopper.act(session, "complete", pays_by_card(), Idempotency_Key=key)
    assert done.json["status"] == "completed"
    assert shopper.act(session, "complete", pays_by_card(), Idempotency_Key=key).json == done.json
    order = shopper.send("GET", f"{ORDERS}/{done.json['order']['id']}").json
    assert (order["label"], order["checkout_id"], order["currency"]) == ("1", session["id"], "USD")
    assert order["totals"] == session["totals"] and order["fulfillment"]["expectations"][0]["fulfillable_on"]
    assert [line["quantity"]["total"] for line in order["line_items"]] == [2, 1]


@pytest.mark.rule("UCP-12")
def test_an_order_has_the_status_of_its_provider(shopper: Agent, clock: Clock) -> None:
    session = shopper.session(item("cookie", 2), face="shopping")
    shopper.act(session, "complete", pays_by_card())
    path = f"{ORDERS}/{session['id']}"

    def state() -> tuple[list[str], int, str]:
        order = shopper.send("GET", path).json
        (line,) = order["line_items"]
        return [each["type"] for each in order["fulfillment"]["events"]], line["quantity"]["fulfilled"], line["status"]

    assert state() == (["placed"], 0, "processing")
    clock.set("2030-06-03T19:00Z")
    assert state() == (["picked_up"], 2, "fulfilled")


@pytest.mark.rule("UCP-12")
def test_an_order_that_is_called_off_is_removed(official: Official, clock: Clock) -> None:
    # This service has no notes, which would make the sandbox cancel an order.
    basket = Basket("sandbox.congress", (Line("cookie", 2, reference="li_1"),))
    session = CheckoutSession(
        "id", "lunch", "completed", 3, basket, "Congress Street", "USD", "America/New_York", clock(), clock(),
        order=SessionOrder("7"),
    )  # fmt: skip
    tracked = TrackedOrder("7", "cancelled", "called-off", "2030-06-03T12:30", None)
    order = shopping.order(session, {"version": SHOPPING_VERSION}, "https://orders.example", tracked)
    assert official.answer("/orders/{id}", 200, order) == []
    assert order["line_items"][0]["status"] == "removed" and order["fulfillment"]["expectations"] == []
    (adjustment,) = order["adjustments"]
    assert (adjustment["type"], adjustment["occurred_at"]) == ("cancellation", "2030-06-03T16:30:00Z")
    assert adjustment["line_items"] == [{"id": "li_1", "quantity": -2}]


@pytest.mark.rule("UCP-12")
def test_items_that_cannot_be_sold_are_left_out(shopper: Agent) -> None:
    answer = shopper.create(
        item("soup"), item("cookie", 3), item("burger"), item("pizza"), {"item": {"id": "?"}, "quantity": 1},
        face="shopping", buyer=BUYER,
    )  # fmt: skip
    assert (answer.status, answer.json["status"]) == (201, "ready_for_complete")
    assert [line["item"]["id"] for line in answer.json["line_items"]] == ["sandbox.congress/cookie"]
    assert sorted(messages(answer)) == [
        ("warning", "item_unavailable", "$.line_items[2].item.id"),
        ("warning", "item_unavailable", "$.line_items[3].item.id"),
        ("warning", "item_unavailable", "$.line_items[4].item.id"),
        ("warning", "out_of_stock", "$.line_items[0].item.id"),
    ]
    assert "dev.ucp.food" in str(answer.json["messages"])


@pytest.mark.rule("UCP-9", "UCP-12")
def test_too_many_of_an_item_are_a_message(shopper: Agent) -> None:
    lines = [item("cookie"), item("lemonade", 100)]
    for wanted in (lines, lines[1:]):
        many = shopper.create(*wanted, face="shopping", buyer=BUYER)
        path = f"$.line_items[{len(wanted) - 1}]"
        assert (many.json["status"], messages(many)) == ("incomplete", [("error", "invalid_choices", path)])
        (message,) = many.json["messages"]
        assert (message["content"], message["severity"]) == (
            "At most 99 of Bottled lemonade on one line.",
            "recoverable",
        )
        mended = shopper.act(many.json, "update", {"line_items": [item("lemonade", 99)], "buyer": BUYER})
        assert (mended.json["status"], messages(mended)) == ("ready_for_complete", [])


@pytest.mark.rule("UCP-9", "UCP-12")
def test_a_checkout_of_nothing_is_not_created(shopper: Agent) -> None:
    for lines, code in (([item("soup")], "out_of_stock"), ([{"item": {"id": "?"}, "quantity": 1}], "item_unavailable"),
                        ([item("cookie", location="sandbox.nowhere")], "not_found")):  # fmt: skip
        answer = shopper.create(*lines, face="shopping")
        assert (answer.status, set(answer.json)) == (200, {"ucp", "messages"})
        assert [each["code"] for each in answer.json["messages"]] == [code]
        assert answer.json["messages"][0]["severity"] == "unrecoverable"


@pytest.mark.rule("UCP-12")
def test_an_update_to_nothing_keeps_the_checkout(shopper: Agent) -> None:
    session = shopper.session(item("cookie"), face="shopping")
    less = shopper.act(session, "update", {"line_items": [item("cookie"), item("soup")], "buyer": BUYER})
    assert messages(less) == [("warning", "out_of_stock", "$.line_items[1].item.id")]
    nothing = shopper.act(session, "update", {"line_items": [item("soup")], "buyer": BUYER})
    assert (nothing.json["status"], messages(nothing)) == ("incomplete", [("error", "out_of_stock", "$.line_items[0]")])
    assert nothing.json["line_items"][0]["item"]["price"] > 0
    back = shopper.act(session, "update", {"line_items": [item("cookie")], "buyer": BUYER})
    assert shopper.act(back.json, "complete", pays_by_card()).json["status"] == "completed"


@pytest.mark.rule("UCP-7", "UCP-12")
def test_an_order_is_its_agents_alone(shopper: Agent, stranger: Agent) -> None:
    session = shopper.session(item("cookie"), face="shopping")
    for path in (f"{ORDERS}/{session['id']}", f"{ORDERS}/x", f"{ORDERS}/{'9' * 300}"):
        assert messages(shopper.send("GET", path)) == [("error", "not_found", "")]
    shopper.act(session, "complete", pays_by_card())
    assert messages(stranger.send("GET", f"{ORDERS}/{session['id']}")) == [("error", "not_found", "")]
    assert messages(shopper.act(session, "get", face="food")) == [("error", "not_found", "")]


@pytest.mark.rule("UCP-8")
def test_only_handlers_that_the_location_takes_are_shown(shopper: Agent) -> None:
    session = shopper.session(item("cookie", location="sandbox.card"), face="shopping")
    assert set(session["ucp"]["payment_handlers"]) == {"org.levelup_ov.card"}


@pytest.mark.rule("UCP-11")
def test_a_search_finds_what_can_be_sold(shopper: Agent) -> None:
    found = shopper.send("POST", SEARCH, {"query": "club sandwich"}).json
    assert {product["title"] for product in found["products"]} == {"Club sandwich"}
    first = found["products"][0]
    assert (first["id"], first["price_range"]["min"]) == (
        "sandbox.congress/sandwich",
        {"amount": 1000, "currency": "USD"},
    )
    for query in ("burger", "zzz_no_such_product_zzz", "!?"):
        assert shopper.send("POST", SEARCH, {"query": query}).json["products"] == []
    cheap = {"filters": {"price": {"max": 200}, "categories": ["Sweets"]}}
    assert {each["title"] for each in shopper.send("POST", SEARCH, cheap).json["products"]} == {"Cookie"}
    for nothing in ({}, {"query": " "}, {"filters": {}}):
        refused = shopper.send("POST", SEARCH, nothing)
        assert (refused.status, refused.json["code"]) == (400, "invalid_request")


@pytest.mark.rule("UCP-11")
def test_pages_of_a_search_have_every_product_once(shopper: Agent) -> None:
    ids: list[str] = []
    body: dict[str, object] = {"query": "*"}
    for _ in range(20):
        page = shopper.send("POST", SEARCH, body).json
        assert len(page["products"]) <= 10
        ids += [product["id"] for product in page["products"]]
        if not page["pagination"]["has_next_page"]:
            break
        body = {"query": "*", "pagination": {"cursor": page["pagination"]["cursor"]}}
    assert len(ids) == len(set(ids)) > 30 and {"sandbox.tokyo/bento", "sandbox.card/cookie"} <= set(ids)
    assert shopper.send("POST", SEARCH, {"query": "*", "cursor": "forged"}).json["products"]


@pytest.mark.rule("UCP-11")
def test_a_lookup_says_what_there_is_not(shopper: Agent) -> None:
    ids = ["sandbox.congress/cookie", "sandbox.congress/cookie", "sandbox.congress/burger", "sandbox.nowhere/x", "y"]
    answer = shopper.send("POST", LOOKUP, {"ids": ids})
    assert [each["variants"][0]["inputs"] for each in answer.json["products"]] == [[{"id": ids[0], "match": "exact"}]]
    assert messages(answer) == [
        ("info", "options_required", "$.ids[2]"),
        ("info", "not_found", "$.ids[3]"),
        ("info", "not_found", "$.ids[4]"),
    ]
    repeated = shopper.send("POST", LOOKUP, {"ids": [ids[0], ids[0], ids[0], "y", ids[2], "y"]})
    assert messages(repeated) == [("info", "not_found", "$.ids[3]"), ("info", "options_required", "$.ids[4]")]
    many = shopper.send("POST", LOOKUP, {"ids": [f"sandbox.congress/{number}" for number in range(51)]})
    assert (many.status, many.json["code"]) == (400, "request_too_large")
    assert shopper.send("POST", PRODUCT, {"id": ids[0]}).json["product"]["title"] == "Cookie"
    for id, code in ((ids[2], "options_required"), (ids[3], "not_found")):
        assert messages(shopper.send("POST", PRODUCT, {"id": id})) == [("error", code, "$.id")]


@pytest.mark.rule("UCP-12")
def test_the_official_schemas_are_asked(shopper: Agent) -> None:
    assert shopper.official is not None
    session = shopper.session(item("cookie"), face="shopping")
    assert shopper.checked == ["POST /checkout-sessions"]
    assert shopper.official.answer("/checkout-sessions", 201, {**session, "currency": 7})
    assert shopper.official.answer("/checkout-sessions", 409, {"code": "x"})
    assert shopper.official.request("POST", "/checkout-sessions", {"line_items": [dish("cookie")]})
