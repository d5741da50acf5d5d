"""What an agent may get wrong: each has its documented form, in both faces."""

from __future__ import annotations

import logging
import re
from pathlib import Path
from typing import Any, NoReturn

import pytest
import requests

from levelup_ov.domain.failure import Failure
from levelup_ov.errors import KINDS
from levelup_ov.ucp.agents import Profiles
from levelup_ov.ucp.problems import rejected
from levelup_ov.ucp.versions import FOOD_VERSION
from tests.ucp.agent import BUYER, CVC, NUMBER, Agent, dish, item, messages, pays_by_card, uid

FOOD, SHOPPING = "/ucp/food/checkout-sessions", "/ucp/shopping/checkout-sessions"
PLACE = {"food_establishment": {"id": "sandbox.congress"}}
SALE = {"line_items": [dish("cookie")], **PLACE}


def with_side(**members: Any) -> dict[str, Any]:
    """A line whose first modification has ``members`` of its own."""
    return {"dish": {"id": "burger", "modifications": [{"id": "side:fries", **members}]}, "quantity": 1}


@pytest.mark.rule("UCP-4", "UCP-9")
@pytest.mark.parametrize(
    ("body", "path"),
    [
        ({}, "$.line_items"),
        ({**SALE, "line_items": []}, "$.line_items"),
        ({**SALE, "line_items": [dish("cookie", quantity=0)]}, "$.line_items[0].quantity"),
        ({**SALE, "line_items": [dish("cookie", quantity=-1)]}, "$.line_items[0].quantity"),
        ({**SALE, "line_items": [dish("")]}, "$.line_items[0].dish.id"),
        ({**SALE, "line_items": [{"quantity": 1}]}, "$.line_items[0].dish"),
        ({**SALE, "line_items": [dish("cookie", id="a"), dish("cookie", id="a")]}, "$.line_items"),
        ({**SALE, "tip": {"custom_amount": -1}}, "$.tip.custom_amount"),
        ({**SALE, "tip": {"custom_amount": 1.5}}, "$.tip.custom_amount"),
        ({**SALE, "tip": {"custom_amount": 1, "selected_option_id": "percent-15"}}, "$.tip.custom_amount"),
        ({**SALE, "tip": {"custom_tip": {"amount": 200}}}, "$.tip.custom_tip"),
        ({**SALE, "tip": {"custom": 200, "options": []}}, "$.tip.custom"),
        ({**SALE, "tip": {"selected_option_id": "percent-99"}}, "$.tip.selected_option_id"),
        ({**SALE, "fulfillment": {"methods": [{"type": "shipping"}]}}, "$.fulfillment.methods[0].type"),
        ({**SALE, "fulfillment": {"methods": [{}, {}]}}, "$.fulfillment.methods"),
        ({**SALE, "fulfillment": {"methods": [{"requested_fulfillment_time": "2030-06-03T12:30"}]}},
         "$.fulfillment.methods[0].requested_fulfillment_time"),
        ({**SALE, "fulfillment": {"methods": [{"selected_option_id": "later"}]}},
         "$.fulfillment.methods[0].selected_option_id"),
        ({**SALE, "line_items": [with_side(quantity=1.5)]}, "$.line_items[0].dish.modifications[0].quantity"),
        ({**SALE, "line_items": [with_side(quantity=201)]}, "$.line_items[0].dish.modifications"),
        ({**SALE, "line_items": [dish("burger", "side:fries", "side:fries")]}, "$.line_items[0].dish.modifications"),
        ({**SALE, "line_items": [dish("cookie", quantity=1.5)]}, "$.line_items[0].quantity"),
        ({**SALE, "line_items": [dish("cookie", quantity=1e300)]}, "$.line_items[0].quantity"),
        ({**SALE, "line_items": [with_side(modifications=[{"id": "side:fries:dips:aioli"}])]},
         "$.line_items[0].dish.modifications[0].modifications"),
        ({**SALE, "buyer": "Robin"}, "$.buyer"),
        ({**SALE, "buyer": {"first_name": "x" * 256}}, "$.buyer.first_name"),
        ({**SALE, "buyer": {"phone_number": "12"}}, "$.buyer.phone_number"),
        ({**SALE, "buyer": {"email": "nope"}}, "$.buyer.email"),
        ({**SALE, "buyer": {"phone_number": "617-555-0142\r\nX: y"}}, "$.buyer.phone_number"),
        ([], "$"),
    ],
    ids=range(29),
)  # fmt: skip
def test_a_body_that_is_wrong_names_the_member(agent: Agent, body: Any, path: str) -> None:
    answer = agent.send("POST", FOOD, body)
    assert (answer.status, answer.json["code"]) == (400, "invalid_request") and answer.json["content"]
    assert messages(answer) == [("error", "invalid_request", path)]
    # No agent knows the numbers of our rules.
    assert not re.search(r"[A-Z]-[0-9]", answer.json["content"])


@pytest.mark.rule("UCP-9")
@pytest.mark.parametrize(
    ("body", "code", "status"),
    [
        (b"{", "malformed_json", 400),
        (b'{"tip": {}, "tip": {}}', "duplicate_member", 400),
        (b"\xff", "malformed_json", 400),
        (b"x" * (1024 * 1024 + 1), "payload_too_large", 413),
    ],
    ids=["broken", "twice", "not UTF-8", "too large"],
)
def test_a_body_that_is_not_json_is_refused(agent: Agent, body: bytes, code: str, status: int) -> None:
    answer = agent.send("POST", FOOD, body)
    assert (answer.status, answer.json["code"]) == (status, code)


@pytest.mark.rule("UCP-8")
def test_an_instrument_that_is_not_selected_pays_nothing(agent: Agent) -> None:
    session = agent.session()
    refused = agent.act(session, "complete", pays_by_card(selected=False))
    assert (refused.status, messages(refused)) == (400, [("error", "invalid_request", "$.payment.instruments")])
    assert agent.act(session, "complete", pays_by_card(selected=True)).json["status"] == "completed"


@pytest.mark.rule("UCP-9")
def test_the_log_says_which_location_was_meant(agent: Agent, caplog: pytest.LogCaptureFixture) -> None:
    session, key = agent.session(), uid()
    caplog.set_level(logging.INFO, "levelup_ov.request")
    caplog.clear()
    agent.act(session, "get")
    agent.act(session, "update", {"line_items": [dish("sandwich")]})
    for _ in range(2):
        agent.act(session, "complete", pays_by_card(), Idempotency_Key=key)
    agent.act(session, "cancel")
    lines = [record for record in caplog.records if record.name == "levelup_ov.request"]
    facts = {(record.account, record.location, record.provider) for record in lines}  # type: ignore[attr-defined]
    assert len(lines) == 5 and facts == {("sandbox", "sandbox.congress", "sandbox")}


@pytest.mark.rule("UCP-9")
@pytest.mark.parametrize(
    ("method", "path", "status", "code", "allowed"),
    [
        ("GET", FOOD, 405, "method_not_allowed", "POST"),
        ("DELETE", f"{SHOPPING}/x", 405, "method_not_allowed", "GET, HEAD, PUT"),
        ("GET", "/ucp/food/orders/x", 404, "not_found", None),
        ("POST", f"{FOOD}/", 404, "not_found", None),
        ("PUT", "/ucp/food/mcp", 405, "method_not_allowed", "POST"),
    ],
    ids=range(5),
)
def test_what_has_no_address_says_so(
    agent: Agent, method: str, path: str, status: int, code: str, allowed: str | None
) -> None:
    unchecked = Agent(agent.app)
    answer = unchecked.send(method, path, Accept="text/event-stream")
    assert (answer.status, answer.json["code"], answer.headers.get("Allow")) == (status, code, allowed)
    assert messages(answer) == [("error", code, "")]
    unknown = unchecked.send(method, path, X_API_Key="another")
    assert (unknown.status, unknown.json["code"]) == (401, "unauthorized")


@pytest.mark.rule("UCP-9")
def test_every_error_has_a_documented_status() -> None:
    # Of ours besides: a method, a type or a length that HTTP refuses.
    documented = {400, 401, 409, 429, 500, 503} | {405, 406, 413, 415}
    for code, kind in KINDS.items():
        error = rejected(Failure(code, "words", path="$.tip", retry_after=2))
        assert error.status in documented and (error.status >= 500) == (kind.status >= 500)
        assert error.body()["messages"][0]["path"] == "$.tip" and error.retry_after == 2


@pytest.mark.rule("UCP-9")
def test_a_provider_that_is_down_is_a_pause(agent: Agent, monkeypatch: pytest.MonkeyPatch) -> None:
    session = agent.session()

    def down(*_: Any, **__: Any) -> NoReturn:
        raise requests.ConnectionError

    monkeypatch.setattr("levelup_ov.transport.in_process.InProcessAdapter.send", down)
    answer = agent.act(session, "update", {"line_items": [dish("cookie")]})
    assert (answer.status, answer.json["code"]) == (503, "provider_unavailable")
    assert int(answer.headers["Retry-After"]) >= 1
    monkeypatch.undo()
    assert agent.act(session, "get").json["line_items"] == session["line_items"]


@pytest.mark.rule("UCP-9")
def test_a_location_that_does_not_exist_is_an_outcome(agent: Agent) -> None:
    for place in ("sandbox.nowhere", "nobody.congress", "x"):
        answer = agent.create(food_establishment={"id": place})
        assert (answer.status, answer.json["ucp"]["status"]) == (200, "error")
        assert messages(answer) == [("error", "not_found", "")]
    missing = agent.send("POST", FOOD, {"line_items": [dish("cookie")]})
    assert messages(missing) == [("error", "food_establishment_required", "$.food_establishment.id")]


@pytest.mark.rule("UCP-4", "UCP-12")
def test_a_basket_is_of_one_establishment(agent: Agent, shopper: Agent) -> None:
    session = agent.session()
    moved = agent.act(session, "update", {"line_items": [dish("cookie")], "food_establishment": {"id": "sandbox.day"}})
    assert messages(moved) == [("error", "food_establishment_changed", "$.food_establishment.id")]
    assert agent.act(session, "get").json["status"] == "ready_for_complete"
    two = shopper.create(item("cookie"), item("cookie", location="sandbox.day"), face="shopping")
    assert (two.status, messages(two)) == (200, [("error", "several_locations", "$.line_items[1].item.id")])
    one = shopper.create(item("cookie"), face="shopping").json
    other = shopper.act(one, "update", {"line_items": [item("cookie", location="sandbox.day")]})
    assert messages(other) == [("error", "several_locations", "$.line_items[0].item.id")]


@pytest.mark.rule("UCP-7")
def test_a_body_with_another_checkouts_id_is_refused(agent: Agent) -> None:
    session, other = agent.session(), agent.session()
    body = {"line_items": [dish("cookie")]}
    refused = agent.act(session, "update", {**body, "id": other["id"]})
    assert (refused.status, messages(refused)) == (400, [("error", "invalid_request", "$.id")])
    assert agent.act(session, "update", {**body, "id": session["id"]}).status == 200


@pytest.mark.rule("UCP-3")
def test_what_an_agent_does_not_declare_is_not_used(agent: Agent, monkeypatch: pytest.MonkeyPatch) -> None:
    declared = {"dev.ucp.food.checkout": [{"version": FOOD_VERSION}]}
    monkeypatch.setattr(Profiles, "fetch", lambda *_: {"ucp": {"version": FOOD_VERSION, "capabilities": declared}})
    wanted = {"methods": [{"type": "delivery", "destination": {"street_address": "1 X Street"}}]}
    session = agent.session(fulfillment=wanted)
    assert "fulfillment" not in session and list(session["ucp"]["capabilities"]) == ["dev.ucp.food.checkout"]
    for action, body in (("update", {**session, "fulfillment": {"methods": [{"type": "delivery"}]}}), ("get", None)):
        answer = agent.act(session, action, body)
        warned = [("warning", "fulfillment_ignored", "$.fulfillment")] if body else []
        assert (answer.json["status"], messages(answer)) == ("ready_for_complete", warned)
    done = agent.act(session, "complete", pays_by_card()).json
    assert (done["status"], "fulfillment" in done) == ("completed", False)


@pytest.mark.rule("UCP-7")
def test_a_key_with_another_body_is_a_conflict(agent: Agent) -> None:
    key = uid()
    first = agent.send("POST", FOOD, SALE, Idempotency_Key=key)
    assert agent.send("POST", FOOD, SALE, Idempotency_Key=key).json == first.json
    for path, body in ((FOOD, {**SALE, "tip": {"custom_amount": 1}}), (f"{FOOD}/{first.json['id']}/cancel", None)):
        answer = agent.send("POST", path, body, Idempotency_Key=key)
        assert (answer.status, answer.json["code"]) == (409, "idempotency_key_reused")


@pytest.mark.rule("UCP-2", "UCP-7")
def test_a_session_is_its_agents_alone(agent: Agent, stranger: Agent) -> None:
    session, key = agent.session(), uid()
    for action, body in (("get", None), ("update", {"line_items": [dish("cookie")]}), ("complete", pays_by_card()),
                         ("cancel", None)):  # fmt: skip
        answer = stranger.act(session, action, body, Idempotency_Key=key)
        assert (answer.status, answer.json["ucp"]["status"]) == (200, "error")
        assert messages(answer) == [("error", "not_found", "")]
    elsewhere = agent.act(session, "get", face="shopping")
    assert messages(elsewhere) == [("error", "not_found", "")]
    assert agent.act(session, "get").json["status"] == "ready_for_complete"


@pytest.mark.rule("UCP-5", "UCP-9")
def test_a_closed_restaurant_is_a_message(agent: Agent) -> None:
    last = agent.session(fulfillment={"methods": [{"notes": "sandbox:pauses=30"}]})
    assert agent.act(last, "complete", pays_by_card()).json["status"] == "completed"
    for face, line, path in (("food", dish("cookie"), "$.food_establishment"), ("shopping", item("cookie"), "")):
        answer = agent.create(line, face=face, buyer=BUYER)
        assert (answer.status, answer.json["status"]) == (201, "incomplete")
        assert messages(answer) == [("error", "location_closed", path)]


@pytest.mark.rule("UCP-5", "UCP-9")
def test_a_kind_of_fulfillment_that_is_not_offered(agent: Agent) -> None:
    answer = agent.create(
        food_establishment={"id": "sandbox.notips"},
        buyer=BUYER,
        fulfillment={"methods": [{"type": "delivery", "destination": {"street_address": "1 X Street"}}]},
    )
    assert messages(answer) == [("error", "fulfillment_not_supported", "$.fulfillment.methods[0].type")]
    assert answer.json["status"] == "incomplete"


@pytest.mark.rule("UCP-8", "PAY-2")
def test_no_card_and_no_buyer_is_kept_in_the_clear(
    agent: Agent, environ: dict[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    session = agent.session(buyer={**BUYER, "last_name": "Lastnamecanary"})
    for number in ("4000000000000002", NUMBER):
        answer = agent.act(session, "complete", pays_by_card(number))
        assert CVC not in str(answer.json) and number not in str(answer.json)
    broken = pays_by_card()
    broken["payment"]["instruments"][0]["credential"]["number"] = f"{NUMBER}x"
    assert NUMBER not in str(agent.act(agent.session(), "complete", broken).json)
    kept = b"".join(path.read_bytes() for path in Path(environ["LEVELUP_OV_DATA_DIR"]).glob("ledger.db*"))
    for secret in (NUMBER, "4000000000000002", "Lastnamecanary", BUYER["phone_number"]):
        assert secret.encode() not in kept and secret not in caplog.text


@pytest.mark.rule("UCP-9")
def test_claims_of_a_buyer_are_warned_about(agent: Agent) -> None:
    answer = agent.create(buyer=BUYER, context={"eligibility": ["com.example.gold"], "language": "en"})
    assert messages(answer) == [("warning", "eligibility_not_accepted", "$.context.eligibility[0]")]
    assert answer.json["status"] == "ready_for_complete"
