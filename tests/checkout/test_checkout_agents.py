"""An agent's order that is paid with LevelUp: the ids of the connections are its credential (UCP-8)."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from unittest.mock import Mock

import pytest

from levelup_ov.config import new_secret_key
from levelup_ov.domain.failure import Failure
from levelup_ov.event_settings import EVENTS
from tests.channel import Clock
from tests.checkout.conftest import MakeSite
from tests.checkout.site import PAYMENT, Site
from tests.ucp.agent import AGENTS, BUYER, Agent, amounts, dish, item, messages, pays_by_card
from tests.ucp.agent_platform import HOOK, Platform, new_key, served, watch


def pays_by_levelup(merchant: str, user: str, **members: Any) -> dict[str, Any]:
    credential = {"type": "levelup_connection", "merchant": merchant, "user": user, "location_id": 11, **members}
    return {"payment": {"instruments": [
        {"id": "instrument", "handler_id": "levelup", "type": "levelup", "credential": credential}
    ]}}  # fmt: skip


@pytest.fixture
def paying(make_site: MakeSite) -> Site:
    return make_site(**AGENTS)


@pytest.mark.rule("UCP-8")
def test_levelup_is_charged_what_was_shown(paying: Site, merchant: str, user: str) -> None:
    agent = Agent(paying.app)
    session = agent.session(dish("sandwich"), tip={"custom_amount": 200})
    assert set(session["ucp"]["payment_handlers"]) == {"org.levelup_ov.card", "org.levelup_ov.levelup"}
    done = agent.act(session, "complete", pays_by_levelup(merchant, user))
    assert done.json["status"] == "completed" and done.json["order"]["label"] == "1"
    (submission,) = paying.app.extensions["levelup_ov"].submissions.ledger.reader.find(account="sandbox")
    assert submission.expected_charge == amounts(session)["total"] and len(paying.unrefunded()) == 1
    assert user not in str(done.json)


@pytest.mark.rule("UCP-15")
def test_an_order_that_levelup_pays_is_sent(make_site: MakeSite, merchant: str, user: str) -> None:
    platform = Platform()
    with served(platform) as platform.address:
        platform.webhook = platform.address + HOOK
        variables = {"LEVELUP_OV_UCP_PROFILES": platform.address, "LEVELUP_OV_UCP_SIGNING_KEYS": new_key()}
        app = make_site(**AGENTS, **variables).app
        agent = Agent(app, profile=f"{platform.address}/profile")
        session = agent.session(item("cookie"), face="shopping")
        assert agent.act(session, "complete", pays_by_levelup(merchant, user)).json["status"] == "completed"
        watch(app)
        app.extensions[EVENTS].drain(5)
        app.extensions[EVENTS].stop()
    assert [hook.order["id"] for hook in platform.received] == [session["id"]] * 2
    assert all(user.encode() not in hook.body for hook in platform.received)


@pytest.mark.rule("UCP-8")
def test_a_connection_that_is_not_one_pays_nothing(paying: Site, merchant: str, user: str) -> None:
    agent = Agent(paying.app)
    session = agent.session()
    unknown = agent.act(session, "complete", pays_by_levelup(merchant, "nobody"))
    missing = agent.act(session, "complete", pays_by_levelup(merchant, user, location_id=None))
    abroad = agent.act(session, "complete", pays_by_levelup(merchant, user, location_id=99))
    path = "$.payment.instruments[0]"
    for answer, where in ((unknown, path), (missing, f"{path}.credential.location_id"), (abroad, path)):
        assert (answer.status, answer.json["status"]) == (200, "ready_for_complete")
        assert messages(answer)[0] == ("error", "payment_failed", where)
    assert paying.unrefunded() == []
    elsewhere = agent.create(food_establishment={"id": "sandbox.card"}, buyer=BUYER)
    assert set(elsewhere.json["ucp"]["payment_handlers"]) == {"org.levelup_ov.card"}


@pytest.mark.rule("UCP-8", "UCP-9")
@pytest.mark.parametrize("words", ["sandbox:sold-out", "sandbox:price-change"])
def test_a_refused_basket_is_charged_once_at_most(paying: Site, merchant: str, user: str, words: str) -> None:
    agent = Agent(paying.app)
    session = agent.session(fulfillment={"methods": [{"notes": words}]})
    for _ in range(3):
        refused = agent.act(session, "complete", pays_by_levelup(merchant, user))
        assert refused.json["status"] == "incomplete" and messages(refused)[0][0] == "error"
    assert len(paying.refunded()) == 1 and paying.unrefunded() == []
    mended = {**session, "line_items": [dish("cookie")], "fulfillment": {"methods": [{"notes": ""}]}}
    assert agent.act(session, "update", mended).json["status"] == "ready_for_complete"
    assert agent.act(session, "complete", pays_by_levelup(merchant, user)).json["status"] == "completed"


@pytest.mark.rule("UCP-13", "WEB-4")
@pytest.mark.parametrize("answer", ["lost", (422, [{"error": {"object": "user", "property": "email"}}])], ids=str)
def test_a_charge_that_is_not_known_is_not_told_as_refunded(
    paying: Site, merchant: str, clock: Clock, answer: Any
) -> None:
    agent, user = Agent(paying.app), paying.connect_user(permissions=PAYMENT)
    session = agent.session()
    paying.line.faults["/completed_orders"] = ["lost"] * 3
    read = agent.act(session, "complete", pays_by_levelup(merchant, user))
    for pause in (timedelta(minutes=2), timedelta(days=1), timedelta(seconds=5), timedelta(seconds=5)):
        assert read.json["status"] == "complete_in_progress" and "refunded" not in str(messages(read))
        clock.now += pause
        paying.line.faults["/completed_orders"] = [answer] * 3
        paying.reconcile()
        read = agent.act(session, "get")
    assert len(paying.unrefunded()) == 1 and paying.command("cases")[0] == 1


@pytest.mark.rule("UCP-13", "META-7", "WEB-1")
@pytest.mark.parametrize("action", ["get", "complete"])
@pytest.mark.parametrize("tender", ["levelup", "card"])
def test_an_order_under_a_dropped_key_is_found(make_site: MakeSite, clock: Clock, tender: str, action: str) -> None:
    old, new = new_secret_key(), new_secret_key()
    first = make_site(LEVELUP_OV_SECRET_KEYS=old, **AGENTS)
    pays = pays_by_card()
    if tender == "levelup":
        pays = pays_by_levelup(first.connect_merchant(), first.connect_user())
    session = Agent(first.app).session(fulfillment={"methods": [{"notes": "sandbox:lost-answer"}]})
    with pytest.MonkeyPatch.context() as patch:
        unanswered = Failure("outcome_unknown", "the provider does not answer")
        patch.setattr("levelup_ov.ordering.look_ups.LookUps.find_order", Mock(side_effect=unanswered))
        assert Agent(first.app).act(session, "complete", pays).json["status"] == "complete_in_progress"
        clock.now += timedelta(minutes=5)
        both = Agent(make_site(LEVELUP_OV_SECRET_KEYS=f"{new},{old}", **AGENTS).app)
        # This seals the checkout under the new key.
        assert both.act(session, "get").json["status"] == "complete_in_progress"
    clock.now += timedelta(minutes=5)
    site = make_site(LEVELUP_OV_SECRET_KEYS=new, **AGENTS)
    done = Agent(site.app).act(session, action, pays if action == "complete" else None).json
    assert (done["status"], done["order"]["label"]) == ("completed", "1")
    assert (site.meals(), len(site.unrefunded()), len(site.refunded())) == (1, tender == "levelup", 0)
