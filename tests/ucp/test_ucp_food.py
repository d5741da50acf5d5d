"""Food orders of an agent: from a basket to an order, over REST and the embedded sandbox."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from levelup_ov.standins.sandbox.dishes import HEADINGS
from levelup_ov.standins.sandbox.places import PLACES
from tests.channel import Channel, Clock
from tests.ucp.agent import BUYER, NUMBER, Agent, amounts, dish, messages, pays_by_card, uid

FRIES = ("side:fries", "side:fries:dips:aioli")
METHOD = "$.fulfillment.methods[0]"
ADDRESS = {"street_address": "9 Beacon Street", "address_locality": "Boston", "postal_code": "02108"}


def method(**members: Any) -> dict[str, Any]:
    return {"methods": [{"type": "pickup", **members}]}


@pytest.mark.rule("UCP-4", "UCP-6")
def test_a_dish_with_modifications_is_priced(agent: Agent) -> None:
    answer = agent.create(dish("burger", *FRIES, quantity=2, note="well done"), buyer=BUYER)
    assert (answer.status, answer.json["status"], messages(answer)) == (201, "ready_for_complete", [])
    (line,) = answer.json["line_items"]
    assert line["dish"]["title"] == "Burger" and line["dish"]["price"] == 1250 and line["dish"]["note"] == "well done"
    assert line["dish"]["modifications"] == [
        {"id": FRIES[0], "title": "Fries", "price": 300},
        {"id": FRIES[1], "title": "Aioli", "price": 75},
    ]
    assert line["totals"][0] == {"type": "subtotal", "amount": amounts(answer.json)["subtotal"]}
    # The first dip is free: it is a discount, unless the provider names the price of the line.
    totals = amounts(answer.json)
    assert totals["subtotal"] + totals.get("discount", 0) == 3100 and answer.json["currency"] == "USD"
    assert (totals["tax"], totals["total"]) == (217, 3317)


@pytest.mark.rule("UCP-4")
def test_a_modification_has_a_quantity(agent: Agent) -> None:
    chosen = [{"id": FRIES[0], "quantity": 1}, {"id": FRIES[1], "quantity": 2.0}, {"id": f"{FRIES[1]}:heat:hot"}]
    line = {"dish": {"id": "burger", "modifications": chosen}, "quantity": 2.0}
    session = agent.session(line, tip={"custom_amount": 100.0})
    (found,) = session["line_items"]
    assert [(each["title"], each["price"], each.get("quantity")) for each in found["dish"]["modifications"]] == [
        ("Fries", 300, None), ("Aioli", 75, 2), ("Hot", 25, None)
    ]  # fmt: skip
    assert (found["quantity"], amounts(session)["tip"]) == (2, 100)
    # One dip is free with what is below it, for each burger; the other costs 75, or 100 if it is the hot one.
    once = agent.session(dish("burger", *FRIES, f"{FRIES[1]}:heat:hot", quantity=2), tip={"custom_amount": 100})
    food, tax = 2 * 100, 14
    assert amounts(session)["total"] - amounts(once)["total"] == food + tax
    line["dish"]["modifications"].append({"id": "side"})
    (message,) = agent.create(line, buyer=BUYER).json["messages"]
    assert message["path"] == "$.line_items[0].dish.modifications[3]"


@pytest.mark.rule("UCP-4")
@pytest.mark.parametrize(
    ("line", "code", "path"),
    [
        (dish("pizza"), "item_unavailable", "$.line_items[1].dish"),
        (dish("soup"), "out_of_stock", "$.line_items[1].dish"),
        (dish("sandwich", "toppings:avocado"), "out_of_stock", "$.line_items[1].dish"),
        (dish("sandwich", "toppings:truffle"), "unknown_option", "$.line_items[1].dish"),
        (dish("burger"), "invalid_choices", "$.line_items[1].dish"),
        (
            dish("burger", "side:slaw", "side:fries:dips:aioli"),
            "orphan_option",
            "$.line_items[1].dish.modifications[1]",
        ),
        (dish("sandwich", "bread"), "unknown_option", "$.line_items[1].dish.modifications[0]"),
        (dish("lemonade", note="cold"), "special_instructions_not_allowed", "$.line_items[1].dish.note"),
    ],
    ids=["unknown", "sold out", "option sold out", "option unknown", "too few", "orphan", "not a path", "note"],
)
def test_what_cannot_be_ordered_is_a_message(agent: Agent, line: dict[str, Any], code: str, path: str) -> None:
    answer = agent.create(dish("cookie"), line, buyer=BUYER)
    assert (answer.status, answer.json["status"], messages(answer)) == (201, "incomplete", [("error", code, path)])
    (message,) = answer.json["messages"]
    first, second = answer.json["line_items"]
    assert message["severity"] == "recoverable" and second["dish"]["title"].lower() in message["content"].lower()
    assert "ITEM-" not in message["content"]
    assert (first["dish"]["title"], first["dish"]["price"], first["totals"]) == ("Cookie", 199, [])
    assert second["dish"]["title"] and amounts(answer.json)["total"] == 0
    mended = agent.act(answer.json, "update", {"line_items": [dish("cookie")], "buyer": BUYER})
    assert (mended.json["status"], amounts(mended.json)["subtotal"]) == ("ready_for_complete", 199)


@pytest.mark.rule("UCP-4", "UCP-7")
def test_an_update_replaces_the_whole_checkout(agent: Agent) -> None:
    going = {"methods": [{"type": "delivery", "destination": ADDRESS, "notes": "ring twice"}]}
    session = agent.session(
        dish("sandwich", id="mine"), dish("lemonade"), tip={"custom_amount": 100}, fulfillment=going
    )
    assert [line["id"] for line in session["line_items"]] == ["mine", "li_1"]
    same = agent.act(session, "update", session).json
    assert {**same, "messages": []} == session and same["messages"] == []
    more = agent.act(session, "update", {**session, "line_items": [dish("sandwich", quantity=3, id="mine")]}).json
    assert amounts(more) == {"subtotal": 3000, "fee": 300, "tax": 210, "tip": 100, "total": 3610}
    assert (more["buyer"], more["fulfillment"]) == (BUYER, session["fulfillment"])
    for nothing in ({}, {"buyer": None, "tip": None, "fulfillment": None}, {"fulfillment": {"methods": []}}):
        less = agent.act(session, "update", {"line_items": [dish("sandwich")], **nothing}).json
        (found,) = less["fulfillment"]["methods"]
        assert (less["status"], "buyer" in less, set(less["tip"])) == ("incomplete", False, {"options"})
        assert amounts(less) == {"subtotal": 1000, "tax": 70, "total": 1070}
        assert (found["type"], found["selected_option_id"], "notes" in found) == ("pickup", "asap", False)
    back = agent.act(session, "update", session).json
    assert (back["status"], amounts(back)["total"]) == ("ready_for_complete", amounts(session)["total"])


@pytest.mark.rule("UCP-5", "UCP-7")
def test_a_method_without_a_type_keeps_its_type(agent: Agent) -> None:
    going = {"methods": [{"type": "delivery", "destination": ADDRESS, "notes": "ring twice"}]}
    session = agent.session(fulfillment=going)
    for destination, status in ((ADDRESS, "ready_for_complete"), (None, "incomplete")):
        wanted = {"methods": [{"destination": destination}]}
        changed = agent.act(session, "update", {**session, "fulfillment": wanted}).json
        (found,) = changed["fulfillment"]["methods"]
        assert (changed["status"], found["type"], "notes" in found) == (status, "delivery", False)
    assert agent.create(fulfillment={"methods": [{"destination": ADDRESS}]}).json["fulfillment"]["methods"][0][
        "type"
    ] == ("delivery")


@pytest.mark.rule("UCP-5")
def test_a_requested_time_comes_back_with_windows(agent: Agent) -> None:
    where = {"food_establishment": {"id": "sandbox.day"}}
    session = agent.session(fulfillment=method(), **where)
    (found,) = session["fulfillment"]["methods"]
    assert found["options"][0]["id"] == found["selected_option_id"] == "asap" and len(found["options"]) > 5
    assert found["destination"] == {"type": "business_location", "id": "sandbox.day", "name": "Day Kitchen"}
    window = found["options"][3]
    chosen = agent.act(session, "update", {**session, "fulfillment": method(selected_option_id=window["id"])})
    (found,) = chosen.json["fulfillment"]["methods"]
    assert found["selected_option_id"] == window["id"] == found["requested_fulfillment_time"]
    requested = agent.create(
        fulfillment=method(requested_fulfillment_time="2030-06-03T14:15:00-04:00"), buyer=BUYER, **where
    )
    (found,) = requested.json["fulfillment"]["methods"]
    assert (found["selected_option_id"], requested.json["status"]) == ("2030-06-03T18:15:00Z", "ready_for_complete")
    titles = {each["id"]: each["title"] for each in found["options"]}
    assert titles["2030-06-03T18:15:00Z"] == "Mon Jun 3, 2:15 PM"


@pytest.mark.rule("UCP-5")
@pytest.mark.parametrize(
    ("location", "time", "code"),
    [
        ("sandbox.congress", "2030-06-03T11:00:00Z", "ready_time_in_past"),
        ("sandbox.notips", "2030-06-03T18:00:00Z", "ready_time_unavailable"),
    ],
)
def test_a_time_that_is_not_offered_is_a_message(agent: Agent, location: str, time: str, code: str) -> None:
    wanted = method(requested_fulfillment_time=time)
    answer = agent.create(fulfillment=wanted, buyer=BUYER, food_establishment={"id": location})
    path = f"{METHOD}.requested_fulfillment_time"
    assert (answer.json["status"], messages(answer)) == ("incomplete", [("error", code, path)])
    assert [each["id"] for each in answer.json["fulfillment"]["methods"][0]["options"]] == ["asap"]


def chosen(session: Mapping[str, Any]) -> tuple[str | None, list[str]]:
    """The selected option, and all of them."""
    (found,) = session["fulfillment"]["methods"]
    return found.get("selected_option_id"), [each["id"] for each in found["options"]]


@pytest.mark.rule("UCP-5", "TIME-5")
@pytest.mark.parametrize(
    ("location", "wanted", "had"),
    [
        ("sandbox.night", "2030-06-03T17:00:00Z", "2030-06-03T22:00:00Z"),
        ("sandbox.day", "2030-06-03T18:07:00Z", "2030-06-03T18:15:00Z"),
    ],
    ids=["closed", "between"],
)
def test_no_time_is_promised_that_cannot_be_had(agent: Agent, location: str, wanted: str, had: str) -> None:
    asked = {"fulfillment": method(requested_fulfillment_time=wanted), "food_establishment": {"id": location}}
    answer = agent.create(buyer=BUYER, **asked)
    expected = [("error", "ready_time_unavailable", f"{METHOD}.requested_fulfillment_time")]
    assert (answer.json["status"], messages(answer)) == ("incomplete", expected)
    selected, options = chosen(answer.json)
    assert (selected, options[1]) == (None, had) and wanted not in options and amounts(answer.json)["total"] == 1070
    for again in (agent.act(answer.json, "complete", pays_by_card()), agent.act(answer.json, "get")):
        assert (again.json["status"], messages(again)) == ("incomplete", expected)
    # The same basket in other words is as late as before.
    for lines in (answer.json["line_items"], [dish("sandwich", id="mine")]):
        named = agent.act(answer.json, "update", {**answer.json, "line_items": lines})
        assert (named.json["status"], messages(named), chosen(named.json)[0]) == ("incomplete", expected, None)
    ready = agent.act(answer.json, "update", {**answer.json, "fulfillment": method(selected_option_id=had)})
    assert (ready.json["status"], chosen(ready.json)[0], messages(ready)) == ("ready_for_complete", had, [])
    done = agent.act(answer.json, "complete", pays_by_card()).json
    (option,) = (each for each in done["fulfillment"]["methods"][0]["options"] if each["id"] == had)
    assert (done["status"], option["earliest_fulfillment_time"]) == ("completed", had)


@pytest.mark.rule("UCP-5")
def test_earlier_options_can_still_be_chosen(agent: Agent) -> None:
    session = agent.session(food_establishment={"id": "sandbox.day"}, fulfillment=method())
    first = chosen(session)[1]
    for option in (first[8], first[2]):
        changed = agent.act(session, "update", {**session, "fulfillment": method(selected_option_id=option)})
        assert (changed.json["status"], chosen(changed.json)) == ("ready_for_complete", (option, first))
    # Without a price there is nothing better to offer than before.
    body = {"line_items": [dish("soup")], "fulfillment": method(requested_fulfillment_time="2030-06-03T18:07:00Z")}
    assert chosen(agent.act(session, "update", body).json) == (None, first)


@pytest.mark.rule("UCP-5")
def test_an_option_that_was_never_offered_is_refused(agent: Agent) -> None:
    body = {"line_items": [dish("sandwich")], "fulfillment": method(selected_option_id="2030-06-03T18:07:00Z"),
            "food_establishment": {"id": "sandbox.day"}}  # fmt: skip
    session = agent.session(food_establishment={"id": "sandbox.day"}, fulfillment=method())
    for refused in (agent.send("POST", "/ucp/food/checkout-sessions", body), agent.act(session, "update", body)):
        assert (refused.status, messages(refused)) == (
            400,
            [("error", "invalid_request", f"{METHOD}.selected_option_id")],
        )
    both = method(selected_option_id="asap", requested_fulfillment_time="2030-06-03T18:15:00Z")
    warned = agent.act(session, "update", {**session, "fulfillment": both})
    assert messages(warned) == [("warning", "requested_time_ignored", f"{METHOD}.requested_fulfillment_time")]
    assert (warned.json["status"], chosen(warned.json)[0]) == ("ready_for_complete", "asap")


@pytest.mark.rule("UCP-5")
def test_a_delivery_has_an_address_and_a_fee(agent: Agent) -> None:
    going = {"methods": [{"type": "delivery", "destination": {**ADDRESS, "id": "home"}, "notes": "ring twice"}]}
    session = agent.session(fulfillment=going)
    (found,) = session["fulfillment"]["methods"]
    assert found["destination"] == {"type": "delivery_address", "id": "address", **ADDRESS}
    assert found["notes"] == "ring twice" and amounts(session)["fee"] == 300
    listed = {"methods": [{"type": "delivery", "destinations": [ADDRESS]}]}
    assert agent.create(fulfillment=listed).json["fulfillment"]["methods"][0]["destination"]["postal_code"] == "02108"
    far = {"methods": [{"type": "delivery", "destination": {**ADDRESS, "postal_code": "99999"}}]}
    refused = agent.create(fulfillment=far, buyer=BUYER)
    assert [code for _, code, _ in messages(refused)] == ["address_undeliverable"]
    small = agent.create(dish("cookie"), fulfillment=going, buyer=BUYER)
    assert messages(small) == [("error", "minimum_order_unmet", "$.totals")]
    assert small.json["messages"][0]["content"] == "We deliver orders of $8.00 of food or more."


@pytest.mark.rule("UCP-5", "UCP-9")
def test_a_delivery_without_an_address_is_incomplete(agent: Agent) -> None:
    going = {"methods": [{"type": "delivery", "destination": ADDRESS}]}
    nowhere = agent.create(fulfillment={"methods": [{"type": "delivery"}]}, buyer=BUYER)
    path = f"{METHOD}.destination"
    assert (nowhere.json["status"], messages(nowhere)) == (
        "incomplete",
        [("error", "delivery_address_incomplete", path)],
    )
    assert nowhere.json["messages"][0]["severity"] == "recoverable" and amounts(nowhere.json)["total"] > 0
    (message,) = agent.create(fulfillment=going, buyer=BUYER, food_establishment={"id": "sandbox.day"}).json["messages"]
    assert message["content"] == "this establishment does not offer delivery"
    refused = agent.act(nowhere.json, "complete", pays_by_card())
    assert (refused.json["status"], "order" in refused.json) == ("incomplete", False)
    mended = agent.act(nowhere.json, "update", {**nowhere.json, "fulfillment": going})
    assert (mended.json["status"], messages(mended)) == ("ready_for_complete", [])


@pytest.mark.rule("UCP-6")
def test_a_preset_tip_follows_the_price(agent: Agent) -> None:
    session = agent.session(tip={"selected_option_id": "percent-18"})
    assert amounts(session) == {"subtotal": 1000, "tax": 70, "tip": 180, "total": 1250} and not session["messages"]
    more = agent.act(session, "update", {**session, "line_items": [dish("sandwich", quantity=2)]}).json
    assert amounts(more)["tip"] == 360 and more["tip"]["selected_option_id"] == "percent-18"
    own = agent.act(session, "update", {"line_items": [dish("sandwich")], "tip": {"custom_amount": 5}}).json
    assert (amounts(own)["tip"], own["tip"]["custom_amount"]) == (5, 5)
    for lost in ({"custom_amount": 100}, {"selected_option_id": "percent-15"}):
        none = agent.create(food_establishment={"id": "sandbox.notips"}, buyer=BUYER, tip=lost)
        assert "tip" not in none.json and messages(none) == [("warning", "tip_not_accepted", "$.tip")]


@pytest.mark.rule("UCP-6")
def test_a_discount_of_the_house_is_a_line(agent: Agent) -> None:
    session = agent.session(dish("bento"), food_establishment={"id": "sandbox.tokyo"})
    assert amounts(session) == {"subtotal": 1000, "discount": -100, "tax": 80, "total": 980}


@pytest.mark.rule("UCP-7", "UCP-8")
def test_a_completion_places_one_order(agent: Agent) -> None:
    session, key = agent.session(), uid()
    first = agent.act(session, "complete", pays_by_card(), Idempotency_Key=key)
    assert (first.status, first.json["status"]) == (200, "completed")
    assert first.json["order"]["label"] == "1" and first.json["order"]["id"] == session["id"]
    assert agent.act(session, "complete", pays_by_card(), Idempotency_Key=key).json == first.json
    assert agent.act(session, "complete", pays_by_card()).json["order"] == first.json["order"]
    assert agent.act(session, "get").json["status"] == "completed"
    assert NUMBER not in str(first.json) and "payment" not in first.json
    # The next order of anybody is the second one.
    assert str(Channel(agent.app).submit().order["order_id"]) == "2"


@pytest.mark.rule("UCP-8")
def test_the_payer_is_the_buyer_if_no_other_is_named(agent: Agent) -> None:
    answer = agent.create()
    assert {path for _, _, path in messages(answer)} == {
        "$.buyer.first_name", "$.buyer.last_name", "$.buyer.phone_number"
    }  # fmt: skip
    assert agent.act(answer.json, "complete", pays_by_card(billing_address={"postal_code": "02114"})).json[
        "status"
    ] == ("incomplete")
    done = agent.act(answer.json, "complete", pays_by_card())
    assert done.json["status"] == "completed" and done.json["buyer"] == BUYER


@pytest.mark.rule("UCP-6", "UCP-8")
def test_a_buyer_sees_another_price_before_paying_it(agent: Agent, monkeypatch: pytest.MonkeyPatch) -> None:
    shown, key = agent.create().json, uid()
    monkeypatch.setitem(PLACES, "congress", replace(PLACES["congress"], tax=900))
    for _ in range(2):
        changed = agent.act(shown, "complete", pays_by_card(), Idempotency_Key=key)
        assert changed.json["status"] == "ready_for_complete" and "order" not in changed.json
        assert messages(changed) == [("warning", "totals_changed", "$.totals")]
    assert (amounts(shown)["total"], amounts(changed.json)["total"]) == (1070, 1090)
    assert agent.act(shown, "complete", pays_by_card()).json["order"]["label"] == "1"


@pytest.mark.rule("UCP-8")
@pytest.mark.parametrize(
    ("body", "path"),
    [
        (pays_by_card("4000000000000002"), "$.payment.instruments[0]"),
        (pays_by_card(handler_id="levelup"), "$.payment.instruments[0].handler_id"),
        (pays_by_card(handler_id="gpay"), "$.payment.instruments[0].handler_id"),
        (pays_by_card(credential={"type": "card", "number": NUMBER}), "$.payment.instruments[0].credential"),
        (pays_by_card(type="gift_card"), "$.payment.instruments[0].type"),
        (pays_by_card(credential=None), "$.payment.instruments[0].credential"),
        (pays_by_card(credential={"type": "single_use_card"}), "$.payment.instruments[0].credential.number"),
        (pays_by_card(billing_address=None), "$.payment.instruments[0].billing_address.postal_code"),
    ],
    ids=[
        "declined",
        "no web checkout",
        "unknown handler",
        "another form",
        "another kind",
        "none",
        "incomplete",
        "no postal code",
    ],
)
def test_a_payment_that_fails_leaves_the_checkout_open(agent: Agent, body: dict[str, Any], path: str) -> None:
    session = agent.session()
    refused = agent.act(session, "complete", body)
    assert refused.status == 200 and messages(refused) == [("error", "payment_failed", path)]
    assert refused.json["status"] == "ready_for_complete" and "order" not in refused.json
    assert agent.act(session, "complete", pays_by_card()).json["status"] == "completed"


@pytest.mark.rule("UCP-4", "UCP-5", "UCP-6", "UCP-7")
def test_the_order_of_the_page_is_placed(agent: Agent) -> None:
    page = (Path(__file__).parents[2] / "docs" / "ucp.rst").read_text(encoding="utf-8")
    blocks = [
        json.loads(block) for block in re.findall(r"^\.\. code-block:: json\n\n((?:   .*\n)+)", page, re.MULTILINE)
    ]
    (checkout,) = [block for block in blocks if "food_establishment" in block]
    (payment,) = [block for block in blocks if "payment" in block]
    session = agent.send("POST", "/ucp/food/checkout-sessions", checkout).json
    assert (session["status"], session.get("messages", [])) == ("ready_for_complete", [])
    assert agent.act(session, "complete", payment).json["status"] == "completed"


@pytest.mark.rule("UCP-8")
def test_a_payment_is_not_blamed_for_the_one_before(agent: Agent) -> None:
    session = agent.session()
    agent.act(session, "complete", pays_by_card("4000000000000002"))
    refused = agent.act(session, "complete", pays_by_card(handler_id="gpay"))
    assert messages(refused) == [("error", "payment_failed", "$.payment.instruments[0].handler_id")]
    assert refused.json["messages"][0]["content"].endswith("usable here: card")


@pytest.mark.rule("UCP-7")
def test_an_unknown_outcome_is_in_progress_until_it_is_known(agent: Agent) -> None:
    session = agent.session(fulfillment=method(notes="sandbox:lost-answer"))
    lost = agent.act(session, "complete", pays_by_card())
    assert lost.json["status"] == "complete_in_progress" and "order" not in lost.json
    assert messages(lost) == [("warning", "outcome_unknown", "")]
    assert "read the checkout again" in lost.json["messages"][0]["content"]
    found = agent.act(session, "get")
    assert (found.json["status"], found.json["order"]["label"]) == ("completed", "1")


@pytest.mark.rule("UCP-7")
def test_a_checkout_in_progress_is_not_changed(agent: Agent) -> None:
    session = agent.session(fulfillment=method(notes="sandbox:lost-answer"))
    assert agent.act(session, "complete", pays_by_card()).json["status"] == "complete_in_progress"
    for action, body in (("update", {"line_items": [dish("cookie")]}), ("cancel", None)):
        refused = agent.act(session, action, body)
        assert (refused.status, refused.json["code"]) == (409, "session_closed")
    assert agent.act(session, "get").json["line_items"] == session["line_items"]


@pytest.mark.rule("UCP-6", "UCP-7")
def test_a_price_that_changed_is_never_charged_silently(agent: Agent) -> None:
    session = agent.session(fulfillment=method(notes="sandbox:price-change"))
    refused = agent.act(session, "complete", pays_by_card())
    assert refused.json["status"] == "ready_for_complete" and "order" not in refused.json
    assert messages(refused) == [("warning", "price_changed", "$.totals")]


@pytest.mark.rule("UCP-9")
def test_a_basket_that_is_refused_late_is_incomplete(agent: Agent) -> None:
    session = agent.session(fulfillment=method(notes="sandbox:sold-out"))
    for body in (pays_by_card(), pays_by_card()):
        refused = agent.act(session, "complete", body)
        assert (refused.json["status"], messages(refused)[0][:2]) == ("incomplete", ("error", "out_of_stock"))
    assert agent.act(session, "get").json["status"] == "incomplete"
    again = agent.act(session, "update", {**session, "fulfillment": method(notes="")})
    assert (again.json["status"], messages(again)) == ("ready_for_complete", [])
    assert agent.act(session, "complete", pays_by_card()).json["status"] == "completed"


@pytest.mark.rule("UCP-6", "PAY-4")
def test_another_charge_than_shown_is_reported(agent: Agent) -> None:
    session = agent.session(fulfillment=method(notes="sandbox:overcharge"))
    for action, body in (("complete", pays_by_card()), ("get", None)):
        answer = agent.act(session, action, body)
        assert (answer.json["status"], messages(answer)) == ("completed", [("warning", "charge_mismatch", "$.totals")])
        assert "1120 cents instead of 1070" in answer.json["messages"][0]["content"]


@pytest.mark.rule("UCP-6", "UCP-7")
def test_an_old_price_is_asked_for_again_first(agent: Agent, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    session, key = agent.session(), uid()
    monkeypatch.setitem(PLACES, "congress", replace(PLACES["congress"], tax=900))
    clock.set("2030-06-03T16:30Z")
    for _ in range(2):
        changed = agent.act(session, "complete", pays_by_card(), Idempotency_Key=key)
        assert changed.json["status"] == "ready_for_complete" and amounts(changed.json)["total"] == 1090
        assert messages(changed) == [("warning", "totals_changed", "$.totals")]
    assert agent.act(session, "complete", pays_by_card()).json["status"] == "completed"


@pytest.mark.rule("UCP-7")
def test_a_checkout_can_be_given_up_once(agent: Agent) -> None:
    session = agent.session()
    assert agent.act(session, "cancel").json["status"] == "canceled"
    for action, body in (("cancel", None), ("update", {"line_items": [dish("cookie")]}), ("complete", pays_by_card())):
        refused = agent.act(session, action, body)
        assert (refused.status, refused.json["code"]) == (409, "session_closed")


@pytest.mark.rule("UCP-11")
def test_the_menu_is_linked_and_readable(agent: Agent) -> None:
    session = agent.session()
    link = next(each["url"] for each in session["links"] if each["type"] == "menu")
    menu = agent.send("GET", link.removeprefix("http://localhost"))
    own = Channel(agent.app).get("/locations/sandbox.congress/menu").json
    assert menu.json["menu"] == own["menu"] and menu.json["ucp"]["status"] == "success"
    assert messages(agent.send("GET", "/ucp/food/establishments/sandbox.nowhere/menu")) == [("error", "not_found", "")]


def become(monkeypatch: pytest.MonkeyPatch, **changes: Any) -> None:
    """The restaurant changes its sandwich."""
    changed = [
        replace(
            heading,
            dishes=tuple(replace(each, **(changes if each.id == "sandwich" else {})) for each in heading.dishes),
        )
        for heading in HEADINGS
    ]
    monkeypatch.setattr("levelup_ov.standins.sandbox.dishes.HEADINGS", changed)


@pytest.mark.rule("UCP-6")
@pytest.mark.parametrize("cents", [700, 1300])
def test_a_preset_tip_stays_a_percentage(agent: Agent, monkeypatch: pytest.MonkeyPatch, cents: int) -> None:
    """The price changes when it is completed: the tip follows, and nothing is charged that was not shown."""
    session, key = agent.session(tip={"selected_option_id": "percent-20"}), uid()
    become(monkeypatch, cents=cents)
    for _ in range(2):
        changed = agent.act(session, "complete", pays_by_card(), Idempotency_Key=key)
        assert changed.json["status"] == "ready_for_complete" and "order" not in changed.json
        assert amounts(changed.json) == {
            "subtotal": cents, "tax": cents * 7 // 100, "tip": cents // 5, "total": cents * 127 // 100
        }  # fmt: skip
        assert ("warning", "totals_changed", "$.totals") in messages(changed)
    assert amounts(agent.act(session, "get").json) == amounts(changed.json)
    done = agent.act(session, "complete", pays_by_card()).json
    assert (done["status"], amounts(done)) == ("completed", amounts(changed.json))


@pytest.mark.rule("UCP-6")
def test_a_tip_in_cents_stays_as_it_is(agent: Agent, monkeypatch: pytest.MonkeyPatch) -> None:
    session = agent.session(tip={"custom_amount": 200})
    become(monkeypatch, cents=700)
    changed = agent.act(session, "complete", pays_by_card())
    assert "order" not in changed.json and amounts(changed.json)["tip"] == 200
    assert amounts(agent.act(session, "complete", pays_by_card()).json)["total"] == 949


@pytest.mark.rule("UCP-9")
def test_a_late_refusal_is_told_once(agent: Agent, monkeypatch: pytest.MonkeyPatch) -> None:
    session = agent.session()
    become(monkeypatch, sold_out=True)
    for action, body in (("complete", pays_by_card()), ("get", None)):
        assert messages(agent.act(session, action, body)) == [("error", "out_of_stock", "$.line_items[0].dish")]


@pytest.mark.rule("UCP-8")
@pytest.mark.parametrize("nobody", [{}, {"first_name": "", "email": ""}, None])
def test_a_buyer_of_nothing_is_no_buyer(agent: Agent, nobody: Any) -> None:
    session = agent.create(buyer=nobody).json
    part = pays_by_card(billing_address={"first_name": "Robin", "postal_code": "02114"})
    assert agent.act(session, "complete", part).json["status"] == "incomplete"
    done = agent.act(session, "complete", pays_by_card()).json
    assert (done["status"], done["buyer"]) == ("completed", BUYER)


@pytest.mark.rule("UCP-7", "UCP-9")
def test_a_canceled_checkout_has_no_errors(agent: Agent) -> None:
    session = agent.create().json
    assert session["messages"]
    for action in ("cancel", "get"):
        answer = agent.act(session, action)
        assert (answer.json["status"], messages(answer)) == ("canceled", [])


OTHER = {"id": "other", "handler_id": "gpay", "type": "wallet",
         "credential": {"type": "t", "name": {"first": "a"}, "expiry_month": "01", "number": 1, "merchant": {"id": 1}},
         "billing_address": {"postal_code": "", "phone_number": "n/a", "first_name": {}}}  # fmt: skip


@pytest.mark.rule("UCP-8")
def test_only_the_instrument_that_pays_is_read(agent: Agent) -> None:
    session = agent.session()
    refused = agent.act(session, "complete", {"payment": {"instruments": [OTHER]}})
    assert messages(refused) == [("error", "payment_failed", "$.payment.instruments[0].handler_id")]
    (ours,) = pays_by_card(selected=True, billing_address={"postal_code": ""})["payment"]["instruments"]
    blank = agent.act(session, "complete", {"payment": {"instruments": [OTHER, ours]}})
    assert messages(blank) == [("error", "payment_failed", "$.payment.instruments[1].billing_address.postal_code")]
    wrong = {**ours, "credential": {**ours["credential"], "expiry_month": "01"}}
    invalid = agent.act(session, "complete", {"payment": {"instruments": [OTHER, wrong]}})
    path = "$.payment.instruments[1].credential.expiry_month"
    assert (invalid.status, messages(invalid)) == (400, [("error", "invalid_request", path)])
    ours["billing_address"]["postal_code"] = "02114"
    paid = agent.act(session, "complete", {"payment": {"instruments": [OTHER, ours]}})
    assert paid.json["status"] == "completed"
