"""An agent is sent its orders, signed, and each change of them (UCP-15)."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import pytest
from flask import Flask
from http_message_signatures import InvalidSignature

from adapters.sandbox import SandboxAdapter
from levelup_ov.config import new_secret_key
from levelup_ov.console.needs import of_outbox
from levelup_ov.domain.status import OrderStatus
from levelup_ov.event_settings import EVENTS
from levelup_ov.events import Deliverer
from levelup_ov.events.receivers import AGENT
from levelup_ov.ledger.event_deliveries import GIVEN_UP, KEPT, EventDeliveries, EventDelivery
from levelup_ov.standins.sandbox.magic import LOST_ANSWER_CARD
from levelup_ov.ucp import shopping
from tests.channel import Clock
from tests.ucp.agent import Agent, item, pays_by_card
from tests.ucp.agent_platform import Platform, call_off, new_key, watch
from tests.ucp.conftest import Serve
from tests.ucp.official import Official

KEY = new_key()
SIGNED = {"LEVELUP_OV_UCP_SIGNING_KEYS": KEY}


@pytest.fixture
def agent(serve: Serve) -> Agent:
    return serve(**SIGNED)


def order(agent: Agent, face: str = "shopping") -> dict[str, Any]:
    """A completed checkout of two cookies."""
    session = agent.session(item("cookie", 2), face="shopping") if face == "shopping" else agent.session()
    done = agent.act(session, "complete", pays_by_card())
    assert done.json["status"] == "completed"
    return dict(done.json)


def deliver(app: Flask) -> Mapping[str, int]:
    """Send what is due; returns how many came to which end."""
    deliverer = app.extensions[EVENTS]
    assert isinstance(deliverer, Deliverer)
    deliverer.drain(5)
    return deliverer.counts


def deliveries(app: Flask) -> EventDeliveries:
    return EventDeliveries(app.extensions["levelup_ov"].submissions.ledger)


def waiting(app: Flask) -> list[EventDelivery]:
    """Every event, oldest first."""
    return list(reversed(deliveries(app).find()))


@pytest.mark.rule("UCP-15")
def test_an_order_is_sent_whole_and_signed(agent: Agent, platform: Platform) -> None:
    done = order(agent)
    assert platform.received == [], "the agent's host is not asked while an order is placed"
    deliver(agent.app)
    (hook,) = platform.received
    profile = agent.send("GET", "/.well-known/ucp").json
    assert hook.verify(profile["signing_keys"]) == {
        "@method", "@authority", "@path", "@query", "content-type", "ucp-agent", "idempotency-key", "webhook-id",
        "webhook-timestamp", "content-digest",
    }  # fmt: skip
    assert hook.url == f"{platform.address}/hooks/orders%2F?channel=lunch%20bot"
    assert hook.headers["ucp-agent"] == 'profile="http://localhost/.well-known/ucp"'
    assert hook.headers["idempotency-key"] == hook.headers["webhook-id"] == str(uuid.UUID(hook.headers["webhook-id"]))
    assert "alg=" not in hook.headers["signature-input"]
    assert hook.order["totals"] == done["totals"] and hook.order["checkout_id"] == done["id"]
    assert hook.order["label"] == done["order"]["label"]
    assert b"Robin" not in hook.body and b"617" not in hook.body
    hook.body += b" "
    with pytest.raises(InvalidSignature):
        hook.verify(profile["signing_keys"])


@pytest.mark.rule("UCP-15", "EVT-1")
def test_each_change_of_an_order_is_sent(agent: Agent, platform: Platform, clock: Clock) -> None:
    order(agent)
    for minute in ("16:00", "16:01", "16:01", "16:10", "16:30"):
        clock.set(f"2030-06-03T{minute}:40Z")
        watch(agent.app)
    deliver(agent.app)
    orders = [hook.order for hook in platform.received]
    assert [[event["type"] for event in each["fulfillment"]["events"]] for each in orders] == [
        [], ["placed"], ["preparing"], ["ready"], ["picked_up"],
    ]  # fmt: skip
    assert [each["line_items"][0]["quantity"]["fulfilled"] for each in orders] == [0, 0, 0, 0, 2]
    read = agent.send("GET", f"/ucp/shopping/orders/{orders[-1]['id']}").json
    assert {**orders[-1], "ucp": read["ucp"]} == read
    assert len({hook.headers["webhook-id"] for hook in platform.received}) == len(orders)


@pytest.mark.rule("UCP-15")
def test_a_word_that_is_not_known_is_not_sent(
    agent: Agent, platform: Platform, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    order(agent)
    clock.set("2030-06-03T16:10:40Z")
    watch(agent.app)
    for word in ("in orbit", "on the moon"):
        monkeypatch.setattr(
            SandboxAdapter,
            "show_status",
            lambda *each, word=word: OrderStatus(word, reference=each[3], changed_at=None),
        )
        clock.now += timedelta(minutes=1)
        watch(agent.app)
    deliver(agent.app)
    assert [[event["type"] for event in hook.order["fulfillment"]["events"]] for hook in platform.received] == [
        [],
        ["ready"],
    ]


@pytest.mark.rule("UCP-15")
def test_an_order_that_is_called_off_is_sent(agent: Agent, platform: Platform, official: Official) -> None:
    order(agent)
    call_off(agent.app)
    watch(agent.app)
    deliver(agent.app)
    before, after = [hook.order for hook in platform.received]
    assert official.answer("/orders/{id}", 200, before) == official.answer("/orders/{id}", 200, after) == []
    ((adjustment,), (line,)) = after["adjustments"], after["line_items"]
    assert (adjustment["type"], adjustment["line_items"][0]["quantity"]) == ("cancellation", -2)
    assert (line["status"], after["fulfillment"]["expectations"]) == ("removed", [])


@pytest.mark.rule("UCP-15", "EVT-5")
def test_a_receiver_that_fails_gets_the_same_again(agent: Agent, platform: Platform, clock: Clock) -> None:
    platform.answers = [500, 302]
    order(agent)
    watch(agent.app)
    own = agent.app.extensions[EVENTS]
    patient = Deliverer(deliveries(agent.app), own._receivers, own._send, now=lambda: clock().timestamp())
    for _ in range(3):
        patient.drain(5)
        clock.now += timedelta(minutes=1)
    first, second, third, change = platform.received
    assert {hook.url for hook in platform.received} == {first.url}, "no redirect is followed"
    for name in ("webhook-id", "idempotency-key", "webhook-timestamp", "content-digest"):
        assert first.headers[name] == second.headers[name] == third.headers[name]
    assert change.headers["webhook-id"] != first.headers["webhook-id"]
    assert third.verify(agent.send("GET", "/.well-known/ucp").json["signing_keys"])


@pytest.mark.rule("UCP-15", "EVT-5")
def test_a_receiver_that_is_gone_is_no_operators_case(
    agent: Agent, platform: Platform, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    platform.answers = [500] * 3
    order(agent)
    own, kept = agent.app.extensions[EVENTS], deliveries(agent.app)
    patient = Deliverer(kept, own._receivers, own._send, now=lambda: clock().timestamp())
    patient.drain(5)
    clock.now += GIVEN_UP + timedelta(minutes=30)
    patient.drain(5)
    assert [each.state for each in kept.find()] == ["parked"]
    assert [record.levelname for record in caplog.records if record.msg.endswith("events_parked")] == ["WARNING"]
    assert list(of_outbox(kept.backlog())) == [], "the console asks nobody to repair it"
    clock.now += KEPT - timedelta(hours=1)
    assert kept.purge_parked(AGENT) == 0
    clock.now += timedelta(hours=1)
    assert kept.purge_parked("channel") == 0
    assert kept.purge_parked(AGENT) == 1
    assert kept.find() == ()


@pytest.mark.rule("UCP-15", "EVT-5", "META-7")
def test_what_cannot_be_opened_is_reported_at_once(
    agent: Agent, serve: Serve, platform: Platform, caplog: pytest.LogCaptureFixture
) -> None:
    order(agent)
    other = serve(**SIGNED, LEVELUP_OV_SECRET_KEYS=new_secret_key())
    deliver(other.app)
    assert [(each.state, each.problem) for each in waiting(other.app)] == [("parked", "unreadable")]
    (parked,) = [record for record in caplog.records if record.msg == "events_parked"]
    assert parked.levelname == "ERROR" and "LEVELUP_OV_SECRET_KEYS" in vars(parked)["remedy"]
    assert agent.app.test_cli_runner().invoke(args=["events", "replay", "--parked"]).exit_code == 0
    deliver(agent.app)
    assert len(platform.received) == 1


@pytest.mark.rule("UCP-15", "EVT-3")
def test_what_a_killed_process_has_not_sent_another_sends(
    agent: Agent, serve: Serve, platform: Platform, clock: Clock
) -> None:
    done = order(agent)
    (event,) = waiting(agent.app)
    # It dies with the event in its hands.
    assert deliveries(agent.app).claim(event.receiver, limit=1, term=timedelta(seconds=30))
    other = serve(**SIGNED)
    deliver(other.app)
    assert platform.received == []
    clock.now += timedelta(seconds=31)
    deliver(other.app)
    assert [hook.order["id"] for hook in platform.received] == [done["id"]]


@pytest.mark.rule("UCP-15", "UCP-13")
def test_an_order_that_is_found_later_is_sent_then(agent: Agent, platform: Platform) -> None:
    session = agent.session(item("cookie"), face="shopping")
    unknown = agent.act(session, "complete", pays_by_card(LOST_ANSWER_CARD))
    assert unknown.json["status"] == "complete_in_progress" and waiting(agent.app) == []
    for _ in range(2):
        assert agent.act(session, "get").json["status"] == "completed"
    deliver(agent.app)
    assert [hook.order["id"] for hook in platform.received] == [session["id"]]


@pytest.mark.rule("UCP-15")
def test_a_replaced_key_stays_published(agent: Agent, serve: Serve, platform: Platform) -> None:
    order(agent)
    newer = serve(LEVELUP_OV_UCP_SIGNING_KEYS=f"{new_key()},{KEY}")
    deliver(newer.app)
    first, second = newer.send("GET", "/.well-known/ucp").json["signing_keys"]
    assert second == agent.send("GET", "/.well-known/ucp").json["signing_keys"][0]
    assert platform.received[0].verify([first])
    assert all({*key} == {"kty", "crv", "x", "y", "kid", "use", "alg"} for key in (first, second)), "nothing private"


@pytest.mark.rule("UCP-15")
def test_without_a_key_nothing_is_sent(serve: Serve, platform: Platform) -> None:
    unsigned = serve()
    assert "signing_keys" not in unsigned.send("GET", "/.well-known/ucp").json
    order(unsigned)
    signed = serve(**SIGNED)
    order(signed, "food")
    assert waiting(signed.app) == []


@pytest.mark.rule("UCP-15")
def test_an_address_that_cannot_be_used_is_ignored(agent: Agent, platform: Platform) -> None:
    for number, address in enumerate((
        "", None, 7, "http://10.0.0.1/hook", "http://agents.example/hook", "ftp://127.0.0.1/hook", "https://a b/",
        "https://user@agents.example/hook", "https://agents.example/hook#part", "https://agents.example/%zz",
        "https://[:::::]/hook", "https://[1.2.3.4]/hook", "https://agents.example:99999/hook", "http://[:::::]/hook",
    )):  # fmt: skip
        platform.webhook, agent.profile = address, f"{platform.address}/profile/{number}"
        order(agent)
        assert waiting(agent.app) == [], address


@pytest.mark.rule("UCP-15", "UCP-8")
def test_a_webhook_that_cannot_be_made_stops_no_order(
    agent: Agent, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(shopping, "order", lambda *_: 1 / 0)
    order(agent)
    assert waiting(agent.app) == [] and "order_not_followed" in caplog.messages


@pytest.mark.rule("UCP-15")
def test_no_address_inside_is_ever_called(agent: Agent, platform: Platform) -> None:
    platform.webhook = platform.address.replace("http:", "https:") + "/hook"
    order(agent)
    deliver(agent.app)
    (event,) = waiting(agent.app)
    assert (event.state, event.problem, event.attempts) == ("waiting", "unavailable", 1)
    assert platform.received == []
