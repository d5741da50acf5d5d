"""The profile at /.well-known/ucp, and who may call."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
from flask import Flask

from levelup_ov.blueprints.http import BODY_LIMIT, MAX_BODY
from levelup_ov.ucp.versions import CHECKOUT, FOOD_VERSION, SHOPPING_VERSION
from tests.channel import Channel
from tests.conftest import MakeApp
from tests.ucp.agent import AGENTS, KEY, PROFILE, Agent, item, messages
from tests.ucp.official import Official

FOOD = CHECKOUT["food"]


@pytest.mark.rule("UCP-1")
def test_there_is_no_ucp_without_agents(app: Flask) -> None:
    for path in ("/.well-known/ucp", "/ucp/food/checkout-sessions/x"):
        assert Channel(app).get(path).status == 404
    code = "import sys, levelup_ov.app; print([name for name in sys.modules if name.startswith('levelup_ov.ucp')])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "[]"


@pytest.mark.rule("UCP-1")
def test_the_profile_is_an_official_one(ucp_app: Flask, official: Official) -> None:
    answer = ucp_app.test_client().get("/.well-known/ucp")
    assert official.profile(answer.json) == []
    assert answer.status_code == 200 and answer.headers["Cache-Control"] == "public, max-age=300"
    ucp = answer.json["ucp"]
    assert {"dev.ucp.food", "dev.ucp.shopping"} == set(ucp["services"])
    assert ucp["services"]["dev.ucp.food"][0]["config"]["stage"] == "draft"
    assert [entry["endpoint"] for entry in ucp["services"]["dev.ucp.shopping"] if entry["transport"] == "rest"] == [
        "http://localhost/ucp/shopping"
    ]
    # LevelUp charges through web checkout, which this service does not have.
    assert set(ucp["payment_handlers"]) == {"org.levelup_ov.card"}
    assert official.profile({"ucp": {**ucp, "version": "draft"}}) != []


@pytest.mark.rule("UCP-1")
def test_the_profile_has_the_address_that_is_set(make_app: MakeApp) -> None:
    app = make_app(
        **AGENTS, LEVELUP_OV_UCP_URL="https://orders.example/", LEVELUP_OV_UCP_LINKS="faq=https://a.example/f"
    )
    ucp = app.test_client().get("/.well-known/ucp", headers={"Host": "attacker.example"}).json["ucp"]
    assert ucp["services"]["dev.ucp.food"][0]["endpoint"] == "https://orders.example/ucp/food"
    session = Agent(app).session()
    assert session["links"][0] == {"type": "faq", "url": "https://a.example/f"}
    assert session["links"][1]["url"].startswith("https://orders.example/ucp/food/establishments/sandbox.congress")


@pytest.mark.rule("UCP-2")
@pytest.mark.parametrize(
    "headers",
    [{"X_API_Key": None}, {"X_API_Key": "dev-key"}, {"X_API_Key": None, "Authorization": "Bearer wrong"}],
    ids=["no key", "the channel's key", "a wrong key"],
)
def test_an_agent_needs_its_own_key(agent: Agent, headers: dict[str, str | None]) -> None:
    for method, path in (("GET", "/ucp/food/checkout-sessions/x"), ("POST", "/ucp/shopping/catalog/search")):
        answer = agent.send(method, path, {} if method == "POST" else None, **headers)
        assert (answer.status, answer.json["code"]) == (401, "unauthorized")
        assert answer.headers["WWW-Authenticate"] == 'Bearer realm="ucp"'


@pytest.mark.rule("UCP-2")
def test_a_bearer_token_is_a_key_too(agent: Agent, app: Flask) -> None:
    answer = agent.send("GET", "/ucp/food/establishments", X_API_Key=None, Authorization=f"Bearer {KEY}")
    assert "sandbox.congress" in [each["id"] for each in answer.json["food_establishments"]]
    assert Channel(agent.app, KEY).get("/merchants").status == 401


@pytest.mark.rule("UCP-3")
def test_an_agent_gets_what_its_profile_declares(agent: Agent, monkeypatch: pytest.MonkeyPatch) -> None:
    names = [FOOD]

    def fetch(_: object, url: str) -> dict[str, Any]:
        assert url == PROFILE
        return {"ucp": {"version": FOOD_VERSION, "capabilities": {name: [{"version": FOOD_VERSION}] for name in names}}}

    monkeypatch.setattr("levelup_ov.ucp.agents.Profiles.fetch", fetch)
    session = agent.session()
    assert session["ucp"]["capabilities"] == {FOOD: [{"version": FOOD_VERSION}]}
    for answer in (agent.create(item("cookie"), face="shopping"), agent.send("GET", "/ucp/shopping/orders/x"),
                   agent.send("POST", "/ucp/shopping/catalog/search", {"query": "*"})):  # fmt: skip
        assert (answer.status, answer.json["ucp"]) == (
            200,
            {"version": SHOPPING_VERSION, "status": "error", "capabilities": {}},
        )
        assert messages(answer) == [("error", "capabilities_incompatible", "")]
    names[:] = ["org.example.books"]
    assert messages(agent.act(session, "get")) == [("error", "capabilities_incompatible", "")]


@pytest.mark.rule("UCP-2", "EP-9")
def test_the_server_waits_for_bodies_of_agents_only(ucp_app: Flask, app: Flask) -> None:
    limit, path = ucp_app.extensions[BODY_LIMIT], "/ucp/food/checkout-sessions"
    for headers in ([("X-API-KEY", KEY)], [("AUTHORIZATION", f"Bearer {KEY}"), ("HOST", "x")]):
        assert limit(path, headers) == MAX_BODY
        assert limit("/locations/sandbox.congress/order_validations", headers) == 0
        assert app.extensions[BODY_LIMIT](path, headers) == 0
    for headers in ([], [("X-API-KEY", "wrong")], [("AUTHORIZATION", "token dev-key")]):
        assert limit(path, headers) == 0


@pytest.mark.rule("UCP-2", "UCP-7")
@pytest.mark.parametrize(
    ("headers", "code", "status"),
    [
        ({"UCP_Agent": None}, "invalid_profile_url", 400),
        ({"UCP_Agent": 'profile="http://agents.example/p"'}, "invalid_profile_url", 400),
        ({"UCP_Agent": 'profile="https://agents.example/p"; version="2024-01-01"'}, "version_unsupported", 422),
        ({"Request_Id": None}, "invalid_request", 400),
        ({"Request_Id": "7" * 129}, "invalid_request", 400),
        ({"Idempotency_Key": None}, "invalid_request", 400),
        ({"Idempotency_Key": "nächste"}, "invalid_request", 400),
        ({"Idempotency_Key": "  "}, "invalid_request", 400),
        ({"Accept": "text/html"}, "not_acceptable", 406),
    ],
    ids=range(9),
)
def test_headers_that_are_missing_or_wrong(
    agent: Agent, headers: dict[str, str | None], code: str, status: int
) -> None:
    answer = agent.send("POST", "/ucp/food/checkout-sessions", {"line_items": []}, **headers)
    assert (answer.status, answer.json["code"]) == (status, code)
    assert answer.json["content"]
