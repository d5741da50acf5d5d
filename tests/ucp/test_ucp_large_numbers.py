"""Integers of any size, in every member that an agent can send, over both transports."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from typing import Any

import pytest
from flask import Flask

from tests.conftest import MakeApp
from tests.ucp.agent import AGENTS, BUYER, KEY, PROFILE, Agent, dish, item, pays_by_card, uid
from tests.ucp.agent_platform import VERSION, served

SIZES = {"64 bits": 2**64, "below": -(2**63) - 1, "long": 10**500, "longest": 10**700}
METHOD = {
    "type": "delivery",
    "destination": {"street_address": "9 Beacon Street", "postal_code": "02108"},
    "notes": "a",
}
BODIES: dict[str, tuple[str, dict[str, Any]]] = {
    "food": (
        "create_checkout",
        {"food_establishment": {"id": "sandbox.congress"}, "buyer": BUYER, "tip": {"custom_amount": 1},
         "line_items": [dish("burger", "side:fries", note="a", id="b")], "fulfillment": {"methods": [METHOD]},
         "context": {"eligibility": ["a"]}},
    ),
    "shopping": ("create_checkout", {"line_items": [item("cookie", id="a")], "buyer": BUYER}),
    "search": (
        "search_catalog",
        {"query": "cookie", "filters": {"price": {"min": 1, "max": 999}, "categories": ["Sweets"]},
         "pagination": {"limit": 1, "cursor": "a"}},
    ),
    "lookup": ("lookup_catalog", {"ids": ["sandbox.congress/cookie"]}),
}  # fmt: skip
ADDRESSES = {
    "food": "/ucp/food/checkout-sessions", "shopping": "/ucp/shopping/checkout-sessions",
    "search": "/ucp/shopping/catalog/search", "lookup": "/ucp/shopping/catalog/lookup",
}  # fmt: skip


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Where a number could be: in place of each part of ``value``, and as a member that nobody knows."""
    if isinstance(value, (dict, list)):
        members = value.items() if isinstance(value, dict) else enumerate(value)
        for name, member in members:
            yield (*path, name)
            yield from places(member, (*path, name))
        if isinstance(value, dict):
            yield (*path, "unknown")


def changed(body: Any, path: tuple[Any, ...], value: Any) -> Any:
    found = changed_body = copy.deepcopy(body)
    for name in path[:-1]:
        found = found[name]
    found[path[-1]] = value
    return changed_body


def call(app: Flask, face: str, body: Any) -> tuple[int, Any]:
    """Status and answer of one request of JSON-RPC."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    headers = {"X-API-Key": KEY, "Accept": "application/json, text/event-stream"}
    reply = app.test_client().post(f"/ucp/{face}/mcp", data=data, headers=headers, content_type="application/json")
    return reply.status_code, json.loads(reply.data)


def tool(name: str, arguments: dict[str, Any], id: Any = 7) -> dict[str, Any]:
    meta = {"ucp-agent": {"profile": PROFILE}, "idempotency-key": uid()}
    params = {"name": name, "arguments": {"meta": meta, **arguments}}
    return {"jsonrpc": "2.0", "id": id, "method": "tools/call", "params": params}


@pytest.mark.rule("UCP-9", "UCP-10")
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("kind", BODIES)
def test_any_member_may_be_a_large_number(ucp_app: Flask, agent: Agent, kind: str, size: str) -> None:
    name, body = BODIES[kind]
    face, wrapper = "food" if kind == "food" else "shopping", "checkout" if "checkout" in name else "catalog"
    for path in places(body):
        wrong = changed(body, path, SIZES[size])
        rest = agent.send("POST", ADDRESSES[kind], wrong)
        status, answer = call(ucp_app, face, tool(name, {wrapper: wrong}))
        assert rest.status in (200, 201, 400), (path, rest.json)
        assert status == (200 if rest.status < 400 else 400), (path, answer)
        assert path[-1] != "unknown" or rest.status < 400 or path[0] == "tip", path


@pytest.mark.rule("UCP-8", "UCP-10")
@pytest.mark.parametrize("size", SIZES)
def test_any_member_of_a_payment_may_be_large(ucp_app: Flask, agent: Agent, size: str) -> None:
    session = agent.session()
    for path in places(pays_by_card()):
        if path[-1] in ("unknown", "street_address"):
            continue  # it is not read, so the order is placed
        wrong = changed(pays_by_card(), path, SIZES[size])
        rest = agent.act(session, "complete", wrong)
        status, answer = call(ucp_app, "food", tool("complete_checkout", {"id": session["id"], "checkout": wrong}))
        assert rest.status == status in (200, 400), (path, rest.json, answer)
        assert agent.act(session, "get").json["status"] == "ready_for_complete", path


@pytest.mark.rule("UCP-7", "UCP-10")
def test_an_id_that_cannot_be_answered_orders_nothing(ucp_app: Flask, agent: Agent) -> None:
    session = agent.session()
    for size in SIZES.values():
        request = tool("complete_checkout", {"id": session["id"], "checkout": pays_by_card()}, size)
        status, answer = call(ucp_app, "food", request)
        assert (status, answer["id"], answer["error"]["code"]) == (400, None, -32600)
        assert agent.act(session, "get").json["status"] == "ready_for_complete"
    for id in (2**64 - 1, -(2**63), 0):
        assert call(ucp_app, "food", {"jsonrpc": "2.0", "id": id, "method": "ping"})[1]["id"] == id


@pytest.mark.rule("UCP-10")
def test_any_argument_may_be_a_large_number(ucp_app: Flask, agent: Agent) -> None:
    for size in SIZES.values():
        for name in ("limit", "cursor", "query", "unknown", "meta"):
            status, answer = call(ucp_app, "food", tool("list_establishments", {name: size}))
            assert status == (200 if name == "unknown" else 400), (name, answer)
        for params in ({"name": size}, {"name": "get_dish", "arguments": size}, {"_meta": size}, size):
            asked = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}
            assert call(ucp_app, "food", asked)[0] == 400
        asked = {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {"protocolVersion": size}}
        assert call(ucp_app, "food", asked)[0] == 200


@pytest.mark.rule("UCP-7", "UCP-10")
def test_a_large_number_belongs_to_the_key(ucp_app: Flask) -> None:
    request = tool("create_checkout", {"checkout": {**BODIES["food"][1], "unknown": [[2**64], {"a": "é"}]}})
    first, again = call(ucp_app, "food", request)[1], call(ucp_app, "food", request)[1]
    assert first["result"]["structuredContent"]["id"] == again["result"]["structuredContent"]["id"]
    request["params"]["arguments"]["checkout"]["unknown"][0][0] += 1
    assert call(ucp_app, "food", request)[1]["error"]["data"]["code"] == "idempotency_key_reused"


@pytest.mark.rule("UCP-10")
@pytest.mark.parametrize("depth", [100, 300, 900])
def test_an_unknown_member_may_be_deep(ucp_app: Flask, depth: int) -> None:
    request = tool("create_checkout", {"checkout": {**BODIES["food"][1], "unknown": "DEEP"}})
    data = json.dumps(request).replace('"DEEP"', "[" * depth + "]" * depth).encode()
    assert call(ucp_app, "food", data)[0] == 200


@pytest.mark.rule("UCP-3")
def test_a_profile_may_have_large_numbers(make_app: MakeApp) -> None:
    checkout = [{"version": VERSION, "config": {"unknown": [2**64, 1.5]}}]
    profile = {"ucp": {"version": VERSION, "capabilities": {"dev.ucp.shopping.checkout": checkout}}, "unknown": 10**500}

    def serve(_environ: Any, start_response: Any) -> list[bytes]:
        start_response("200 OK", [("Content-Type", "application/json")])
        return [json.dumps(profile).encode()]

    with served(serve) as address:
        agent = Agent(make_app(**AGENTS, LEVELUP_OV_UCP_PROFILES=address), profile=f"{address}/profile")
        assert agent.create(item("cookie"), face="shopping").status == 201
