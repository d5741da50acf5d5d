"""The Model Context Protocol: the official client orders lunch, and everything else gets the documented answer."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from flask import Flask

from levelup_ov.config import new_secret_key
from tests.certify.serving import serving
from tests.conftest import MakeApp
from tests.servers.mcp_client import McpClient, install
from tests.servers.process import required
from tests.ucp.agent import AGENTS, BUYER, KEY, OTHER_KEY, PROFILE, dish, item, pays_by_card, uid

FOOD, SHOPPING = "/ucp/food/mcp", "/ucp/shopping/mcp"
META = {"ucp-agent": {"profile": PROFILE}}
MODERN = "2026-07-28"
PLACE = {"food_establishment": {"id": "sandbox.congress"}}
FRIES = ("side:fries", "side:fries:dips:aioli")


def keyed(**more: Any) -> dict[str, Any]:
    return {"meta": {**META, "idempotency-key": uid()}, **more}


def path_of(error: Any) -> str:
    return str(error["data"]["messages"][0]["path"])


@pytest.fixture(scope="module")
def python(request: pytest.FixtureRequest) -> Path:
    with required(request, "the client of the Model Context Protocol"):
        return install()


class Rpc:
    """Requests to ``app`` as they go over the wire."""

    def __init__(self, app: Flask, path: str = FOOD) -> None:
        self.app = app
        self.path = path

    def send(self, body: Any, **headers: str | None) -> tuple[int, Any]:
        """Status and answer of one request; ``headers`` with _ for -, None for none."""
        own = {"X-API-Key": KEY, "Content-Type": "application/json", "Accept": "application/json, text/event-stream"}
        named = {**own, **{name.replace("_", "-"): value for name, value in headers.items()}}
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        sent = {name: value for name, value in named.items() if value is not None}
        reply = self.app.test_client().post(self.path, data=data, headers=sent)
        return reply.status_code, json.loads(reply.data) if reply.data else None

    def ask(self, method: str, params: Any = None, **headers: str | None) -> tuple[int, Any]:
        return self.send({"jsonrpc": "2.0", "id": 7, "method": method, "params": params or {}}, **headers)

    def call(self, tool: str, arguments: Any, **headers: str | None) -> Any:
        """What a tool answers, or the error."""
        _, answer = self.ask("tools/call", {"name": tool, "arguments": arguments}, **headers)
        if "error" in answer:
            return answer["error"]
        result = answer["result"]
        assert json.loads(result["content"][0]["text"]) == result["structuredContent"]
        return result["structuredContent"]


@pytest.fixture
def rpc(ucp_app: Flask) -> Rpc:
    return Rpc(ucp_app)


@pytest.fixture
def shopping(ucp_app: Flask) -> Rpc:
    return Rpc(ucp_app, SHOPPING)


@pytest.mark.rule("UCP-10")
@pytest.mark.parametrize(("mode", "version"), [("auto", MODERN), ("legacy", "2025-11-25")])
def test_the_official_client_orders_lunch(python: Path, ucp_app: Flask, mode: str, version: str) -> None:
    with serving(ucp_app) as url, McpClient(python, url + FOOD, KEY, mode) as client:
        assert client.version == version
        found = client.call("list_establishments", {"meta": META, "query": "congress"})["content"]
        place = {"id": found["food_establishments"][0]["id"]}
        dishes = client.call("search_menu", {"meta": META, "food_establishment": place, "query": "burgers"})["content"]
        burger = {"meta": META, "food_establishment": place, "id": dishes["dishes"][0]["id"]}
        groups = client.call("get_dish", burger)["content"]["dish"]["modification_groups"]
        fries = next(each for group in groups for each in group["modifications"] if each["title"] == "Fries")
        basket = {"food_establishment": place, "line_items": [dish(burger["id"], fries["id"])], "buyer": BUYER}
        checkout = client.call("create_checkout", {"meta": META, "checkout": basket})["content"]
        assert checkout["status"] == "ready_for_complete"
        pay = keyed(id=checkout["id"], checkout=pays_by_card())
        placed = client.call("complete_checkout", pay)["content"]
        assert placed["status"] == "completed" and placed["order"]["label"]
        assert client.call("complete_checkout", pay)["content"]["order"] == placed["order"]
        assert client.call("get_checkout", {"meta": META, "id": "unknown"})["content"]["ucp"]["status"] == "error"
        assert client.call("get_checkout", {"id": checkout["id"]})["error"] == -32001
        assert client.call("order_pizza", {})["error"] == -32602


@pytest.mark.rule("UCP-10")
def test_every_tool_says_what_it_takes(rpc: Rpc, shopping: Rpc) -> None:
    names = {}
    for face in (rpc, shopping):
        status, answer = face.ask("tools/list")
        tools = answer["result"]["tools"]
        assert status == 200 and all(
            "ucp-agent" in tool["inputSchema"]["properties"]["meta"]["required"] for tool in tools
        )
        names[face.path] = {tool["name"]: tool["annotations"]["readOnlyHint"] for tool in tools}
    five = {
        "create_checkout": False, "get_checkout": True, "update_checkout": False, "complete_checkout": False,
        "cancel_checkout": False,
    }  # fmt: skip
    assert names[FOOD] == {"list_establishments": True, "search_menu": True, "get_dish": True, **five}
    catalog = ("search_catalog", "lookup_catalog", "get_product", "get_order")
    assert names[SHOPPING] == {**dict.fromkeys(catalog, True), **five}


@pytest.mark.rule("UCP-10")
def test_a_shopping_order_through_tools(shopping: Rpc) -> None:
    found = shopping.call("search_catalog", {"meta": META, "catalog": {"query": "cookie"}})
    cookie = found["products"][0]["id"]
    assert shopping.call("lookup_catalog", {"meta": META, "catalog": {"ids": [cookie]}})["products"][0]["id"] == cookie
    assert shopping.call("get_product", {"meta": META, "catalog": {"id": cookie}})["product"]["id"] == cookie
    basket = {"line_items": [item("cookie")], "buyer": BUYER}
    checkout = shopping.call("create_checkout", {"meta": META, "checkout": basket})
    more = {"line_items": [item("cookie", 2)]}
    changed = shopping.call("update_checkout", {"meta": META, "id": checkout["id"], "checkout": more})
    assert (changed["id"], changed["line_items"][0]["quantity"]) == (checkout["id"], 2)
    placed = shopping.call("complete_checkout", keyed(id=checkout["id"], checkout=pays_by_card()))
    assert placed["status"] == "completed"
    assert shopping.call("get_order", {"meta": META, "id": placed["order"]["id"]})["checkout_id"] == checkout["id"]
    assert shopping.call("get_order", {"meta": META, "id": uid()})["messages"][0]["code"] == "not_found"


@pytest.mark.rule("UCP-10", "UCP-7")
def test_the_key_of_a_call_is_bound_to_it(rpc: Rpc) -> None:
    basket = {**PLACE, "line_items": [dish("cookie")], "buyer": BUYER}
    given = keyed(checkout=basket)
    first = rpc.call("create_checkout", given)
    assert rpc.call("create_checkout", given)["id"] == first["id"]
    other = rpc.call("create_checkout", {**given, "checkout": {**basket, "line_items": [dish("lemonade")]}})
    assert (other["code"], other["data"]["code"]) == (-32000, "idempotency_key_reused")
    for tool, arguments in (("complete_checkout", {"checkout": pays_by_card()}), ("cancel_checkout", {})):
        refused = rpc.call(tool, {"meta": META, "id": first["id"], **arguments})
        assert (refused["code"], path_of(refused)) == (-32000, '$.meta["idempotency-key"]')
    assert rpc.call("cancel_checkout", keyed(id=first["id"]))["status"] == "canceled"
    assert rpc.call("get_checkout", {"meta": META, "id": first["id"]}, X_API_Key=OTHER_KEY)["ucp"]["status"] == "error"


@pytest.mark.rule("UCP-10")
def test_a_menu_comes_in_parts(rpc: Rpc) -> None:
    first = rpc.call("search_menu", {"meta": META, **PLACE, "limit": 2})
    assert len(first["dishes"]) == 2 and first["currency"] == "USD"
    titles = []
    page: dict[str, Any] = {"next_cursor": "0"}
    while "next_cursor" in page:
        page = rpc.call("search_menu", {"meta": META, **PLACE, "limit": 2, "cursor": page["next_cursor"]})
        titles += [each["title"] for each in page["dishes"]]
    assert titles[:2] == [each["title"] for each in first["dishes"]] and len(titles) == len(set(titles)) > 4
    assert not rpc.call("search_menu", {"meta": META, **PLACE, "query": "caviar"})["dishes"]
    fries = rpc.call("get_dish", {"meta": META, **PLACE, "id": "burger", "under": FRIES[0]})["dish"]
    assert [option["id"] for group in fries["modification_groups"] for option in group["modifications"]].count(
        FRIES[1]
    ) == 1
    missing = rpc.call("get_dish", {"meta": META, **PLACE, "id": "pizza"})
    assert (missing["ucp"]["status"], missing["messages"][0]["code"]) == ("error", "not_found")


@pytest.mark.rule("UCP-10")
@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"{", 400, -32700),
        (b"\xff", 400, -32700),
        (b"[]", 400, -32600),
        ([{"jsonrpc": "2.0", "id": 1, "method": "ping"}], 400, -32600),
        (3, 400, -32600),
        ({"id": 1, "method": "ping"}, 400, -32600),
        ({"jsonrpc": "2.0", "id": 1}, 400, -32600),
        ({"jsonrpc": "2.0", "id": None, "method": "ping"}, 400, -32600),
        ({"jsonrpc": "2.0", "id": 1.5, "method": "ping"}, 400, -32600),
        ({"jsonrpc": "2.0", "id": True, "method": "ping"}, 400, -32600),
        ({"jsonrpc": "2.0", "id": 1, "result": {}}, 400, -32600),
        ({"jsonrpc": "2.0", "id": 1, "method": "ping", "params": []}, 400, -32602),
        ({"jsonrpc": "2.0", "id": 1, "method": "resources/list"}, 404, -32601),
        ({"jsonrpc": "2.0", "id": 1, "method": "server/discover"}, 404, -32601),
        ({"jsonrpc": "2.0", "id": 1, "method": "tools/call"}, 400, -32602),
        ({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": []}}, 400, -32602),
        ({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "get_dish", "arguments": 1}},
         400, -32602),
        ({"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {"cursor": "2"}}, 400, -32602),
        (b"[" * 100_000, 400, -32700),
        (b" " * (1024 * 1024 + 1), 413, -32000),
    ],
    ids=lambda value: repr(value)[:40],
)  # fmt: skip
def test_an_invalid_request_is_refused(rpc: Rpc, body: Any, status: int, code: int) -> None:
    answered, error = rpc.send(body)
    assert (answered, error["error"]["code"]) == (status, code) and error["jsonrpc"] == "2.0"
    assert error["id"] == (1 if isinstance(body, dict) and body.get("id") is not True and body.get("id") == 1 else None)


@pytest.mark.rule("UCP-10")
def test_the_log_says_what_was_refused(rpc: Rpc, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO", "levelup_ov.request"):
        rpc.ask("tools/list", X_API_Key=None)
        rpc.ask("resources/list")
        rpc.call("get_checkout", {"meta": META, "id": 4})
        rpc.ask("ping")
    outcomes = [vars(record)["outcome"] for record in caplog.records if record.message == "request"]
    assert outcomes == ["unauthorized", "bad_request", "bad_request", "ok"]


@pytest.mark.rule("UCP-10")
def test_our_own_fault_is_an_error_of_the_protocol(rpc: Rpc, monkeypatch: pytest.MonkeyPatch) -> None:
    def crash(*_: object) -> None:
        raise ValueError

    monkeypatch.setattr("levelup_ov.ucp.catalog.Catalog.establishments", crash)
    error = rpc.call("list_establishments", {"meta": META})
    assert (error["code"], error["data"]["code"]) == (-32603, "internal_error")


@pytest.mark.rule("UCP-10")
def test_a_notification_does_nothing(rpc: Rpc) -> None:
    for params in (
        {},
        {"name": "create_checkout", "arguments": keyed(checkout={**PLACE, "line_items": [dish("cookie")]})},
    ):
        assert rpc.send({"jsonrpc": "2.0", "method": "tools/call", "params": params}) == (202, None)
    assert rpc.send({"jsonrpc": "2.0", "method": "notifications/initialized"}) == (202, None)


@pytest.mark.rule("UCP-10")
@pytest.mark.parametrize(
    ("headers", "status", "code"),
    [
        ({"X_API_Key": None}, 401, -32000),
        ({"X_API_Key": "dev-key"}, 401, -32000),
        ({"Content_Type": "text/plain"}, 415, -32000),
        ({"Accept": "text/html"}, 406, -32000),
        ({"MCP_Protocol_Version": "1999-01-01"}, 400, -32022),
    ],
    ids=lambda value: str(value),
)
def test_a_request_with_wrong_headers_is_refused(rpc: Rpc, headers: dict[str, Any], status: int, code: int) -> None:
    answered, error = rpc.ask("tools/list", **headers)
    assert (answered, error["error"]["code"]) == (status, code)


@pytest.mark.rule("UCP-10")
def test_pages_of_other_sites_may_not_call(make_app: MakeApp, tmp_path: Path) -> None:
    accounts = tmp_path / "accounts.toml"
    engine = 'base_url = "https://engine.example/v1", api_key = "env:ENGINE_KEY"'
    accounts.write_text(f'[accounts.diner]\nprovider = "sandbox"\nname = "Diner"\nsettings = {{{engine}}}\n')
    production = {
        "LEVELUP_OV_ENV": "production", "LEVELUP_OV_ACCOUNTS": str(accounts), "LEVELUP_OV_LEDGER": "sqlite",
        "LEVELUP_OV_API_KEYS": "key-of-the-channel", "LEVELUP_OV_SECRET_KEYS": new_secret_key(),
        "LEVELUP_OV_UCP_URL": "https://orders.example", "ENGINE_KEY": "key-of-the-engine",
    }  # fmt: skip
    rpc = Rpc(make_app(**AGENTS, **production))
    assert rpc.ask("ping", Origin="http://localhost") == (200, {"jsonrpc": "2.0", "id": 7, "result": {}})
    for other in ("https://evil.example", "null", "http://[", "http://[::1", "http://a]b"):
        status, answer = rpc.ask("ping", Origin=other)
        assert (status, answer["error"]["data"]["code"]) == (403, "forbidden")


@pytest.mark.rule("UCP-10")
@pytest.mark.parametrize("method", ["GET", "DELETE"])
def test_there_is_nothing_to_listen_to(rpc: Rpc, method: str) -> None:
    reply = rpc.app.test_client().open(FOOD, method=method, headers={"X-API-Key": KEY})
    assert reply.status_code == 405 and reply.headers["Allow"] == "POST"


@pytest.mark.rule("UCP-10")
def test_a_modern_request_agrees_with_its_headers(rpc: Rpc) -> None:
    meta = {"io.modelcontextprotocol/protocolVersion": MODERN, "io.modelcontextprotocol/clientCapabilities": {}}
    headers = {"MCP_Protocol_Version": MODERN, "Mcp_Method": "server/discover"}
    status, answer = rpc.ask("server/discover", {"_meta": meta}, **headers)
    assert status == 200 and MODERN in answer["result"]["supportedVersions"]
    wrong: list[tuple[dict[str, Any], dict[str, str | None], int]] = [
        (meta, {**headers, "Mcp_Method": "tools/list"}, -32020),
        (meta, {**headers, "MCP_Protocol_Version": "2025-11-25"}, -32020),
        (meta, {}, -32020),
        ({}, headers, -32602),
        ({**meta, "io.modelcontextprotocol/clientCapabilities": 1}, headers, -32602),
        ({**meta, "io.modelcontextprotocol/protocolVersion": "2030-01-01"},
         {**headers, "MCP_Protocol_Version": "2030-01-01"}, -32022),
    ]  # fmt: skip
    for given, named, code in wrong:
        assert rpc.ask("server/discover", {"_meta": given}, **named)[1]["error"]["code"] == code
    assert rpc.ask("initialize", {"protocolVersion": "2024-11-05"})[1]["result"]["protocolVersion"] == "2024-11-05"
    assert rpc.ask("initialize", {"protocolVersion": "1.0"})[1]["result"]["protocolVersion"] == "2025-11-25"


@pytest.mark.rule("UCP-10")
@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        ({}, "invalid_profile_url"),
        ({"meta": {}}, "invalid_profile_url"),
        ({"meta": {"ucp-agent": {"profile": "http://agents.example/"}}}, "invalid_profile_url"),
        ({"meta": {"ucp-agent": {"profile": PROFILE, "version": "2020-01-01"}}}, "version_unsupported"),
    ],
    ids=lambda value: str(value),
)
def test_an_agent_that_is_not_named_is_refused(rpc: Rpc, arguments: dict[str, Any], code: str) -> None:
    error = rpc.call("list_establishments", arguments)
    assert (error["code"], error["data"]["code"]) == (-32001, code)


@pytest.mark.rule("UCP-10")
@pytest.mark.parametrize(
    ("tool", "arguments", "path"),
    [
        ("search_menu", {}, "$.food_establishment"),
        ("search_menu", {"food_establishment": "sandbox.congress"}, "$.food_establishment.id"),
        ("search_menu", {**PLACE, "limit": 51}, "$.limit"),
        ("search_menu", {**PLACE, "cursor": "-1"}, "$.cursor"),
        ("search_menu", {**PLACE, "query": "x" * 201}, "$.query"),
        ("get_dish", PLACE, "$.id"),
        ("create_checkout", {}, "$.checkout"),
        ("create_checkout", {"checkout": 1}, "$"),
        ("create_checkout", {"checkout": {"line_items": "x"}}, "$.line_items"),
        ("get_checkout", {"id": 4}, "$.id"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_wrong_arguments_are_refused(rpc: Rpc, tool: str, arguments: dict[str, Any], path: str) -> None:
    error = rpc.call(tool, {"meta": META, **arguments})
    assert (error["code"], error["data"]["code"], path_of(error)) == (-32000, "invalid_request", path)
