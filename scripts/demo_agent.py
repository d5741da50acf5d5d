"""Lunch ordered by an agent: the official client of the Model Context Protocol, unmodified, at real restaurants.

Starts an FFTP server and a Vendure shop (where they can be installed), this service in front of them, and the stand-in
for LevelUp, which the deli is paid with; all on the loopback interface. Shows every call of a tool and its answer, and
the orders as the restaurants' own systems report them. Leaves nothing running. Run it with ``make demo-agent``.
"""

from __future__ import annotations

import logging
import uuid
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

from demo import headline, run, show, show_json
from demo_order import Town, ordering

from tests.servers.mcp_client import McpClient, install
from tests.servers.process import http
from tests.standin.visitors import Browser

PROFILE = "https://agent.example/profile.json"
"""It is not fetched: this service knows the agent by its key."""
BUYER = {"first_name": "Ada", "last_name": "Example", "phone_number": "617-555-0141", "email": "ada@example.com"}
CARD = {
    "type": "single_use_card", "number": "4111111111111111", "cvc": "123", "expiry_month": 1, "expiry_year": 2031,
    "name": "Ada Example", "postal_code": "02114",
}  # fmt: skip
RETURN_TO = "https://agent.example/connected"
PLATFORM_LOCATION = 11
"""Where LevelUp charges."""
POLLS = 20


def main() -> None:
    """Run the demonstration."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    python = install()
    headline("Restaurants open, and the service in front of them")
    print("  The first time, the shop is installed, which takes a few minutes.", flush=True)
    with ordering() as town:
        for line in town.left_out:
            print(f"  {line}")
        with agent(town, python) as client:
            errands = list(errands_of(town))
            print(f"  The official MCP client uses version {client.version} at {town.service.base_url}/ucp/food/mcp")
            print(f"  Its tools: {', '.join(client.tools)}")
            for words, dish, instrument in errands:
                headline(f"Lunch at {words}")
                order(client, words, dish, instrument)
        headline("The orders, as the restaurants' own systems report them")
        tickets = town.tickets()
        for ticket in tickets:
            show(ticket, "1")
        if len(tickets) != len(errands):
            raise SystemExit("each restaurant should hold one order")
    headline("All are stopped")


def agent(town: Town, python: Any) -> McpClient:
    """The client, with the agent's key."""
    return McpClient(python, f"{town.service.base_url}/ucp/food/mcp", town.service.agent_key)


def errands_of(town: Town) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    """Where to go, what for, and how to pay."""
    if town.deli is not None:
        wallet = {"type": "levelup_connection", "location_id": PLATFORM_LOCATION, **connected(town)}
        yield "Boston Deli", "burger", {"handler_id": "levelup", "type": "levelup", "credential": wallet}
    if town.shop is not None:
        yield "Boston Burgers Congress", "burger", {"handler_id": "card", "type": "card", "credential": CARD}


def order(client: McpClient, words: str, dish: str, instrument: Mapping[str, Any]) -> dict[str, Any]:
    """Find a place and a dish by words, choose what its groups need, order it and pay."""
    found = call_tool(client, "list_establishments", query=words)["food_establishments"]
    place = {"food_establishment": {"id": found[0]["id"]}}
    found = call_tool(client, "search_menu", **place, query=dish, limit=1)["dishes"]
    shown = call_tool(client, "get_dish", **place, id=found[0]["id"])["dish"]
    line = {"quantity": 1, "dish": {"id": shown["id"], "modifications": enough(shown), "note": "no onions"}}
    checkout = call_tool(client, "create_checkout", checkout={**place, "line_items": [line], "buyer": BUYER})
    total = next(each["amount"] for each in checkout["totals"] if each["type"] == "total")
    show(f"{checkout['status']}: the buyer pays {total} cents. Nothing is ordered yet.", "1")
    payment = {"payment": {"instruments": [{"id": "wallet", **instrument}]}}
    placed = call_tool(client, "complete_checkout", id=checkout["id"], checkout=payment)
    for _ in range(POLLS):
        if placed["status"] != "complete_in_progress":
            break
        placed = call_tool(client, "get_checkout", id=checkout["id"])
    if placed["status"] != "completed":
        raise SystemExit("the order should be placed")
    show(f"completed: the order's number is {placed['order']['label']}.", "1")
    return placed


def enough(dish: Mapping[str, Any]) -> list[dict[str, str]]:
    """As many modifications as each group at the top asks for."""
    groups = dish["modification_groups"]
    return [{"id": each["id"]} for group in groups for each in group["modifications"][: group["minimum"]]]


def call_tool(client: McpClient, tool: str, **arguments: Any) -> dict[str, Any]:
    """Call a tool and show what comes of it. :raises SystemExit: an error."""
    meta: dict[str, Any] = {"ucp-agent": {"profile": PROFILE}}
    if tool in ("create_checkout", "complete_checkout"):
        meta["idempotency-key"] = str(uuid.uuid4())
    show(f"{tool}", "36")
    show_json(arguments)
    said = client.call(tool, {"meta": meta, **arguments})
    if "error" in said:
        raise SystemExit(f"the tool answers an error: {said}")
    show("answers", "32")
    show_json(said["content"])
    content: dict[str, Any] = said["content"]
    return content


def connected(town: Town) -> dict[str, str]:
    """A merchant and a user allow this service on LevelUp's pages to charge; the ids of the two connections."""
    owner = {"merchant": {"return_to": RETURN_TO}}
    guest = {"authorization": {"return_to": RETURN_TO, "permissions": ["create_orders", "read_user_basic_info"]}}
    return {
        "merchant": _allowed(town, "merchants", "", owner, "owner@beacon.example"),
        "user": _allowed(town, "users", "/authorizations", guest, "ada@example.com"),
    }


def _allowed(town: Town, kind: str, path: str, body: Any, email: str) -> str:
    started = _call(town, f"/checkout/{kind}{path}", body)[kind.removesuffix("s")]
    page = urlsplit(started["authorization_url"])
    browser = Browser(town).open(f"{page.path}?{page.query}").sign_in(email)
    browser.send("/oauth2/authorizations/new", answer="grant")
    back = http("GET", browser.page.headers["Location"], allow_redirects=False)
    query = urlsplit(back.headers["Location"]).query
    confirmation = dict(part.split("=") for part in query.split("&"))["confirmation"]
    _call(town, f"/checkout/{kind}/{started['id']}/confirm", {"confirmation": confirmation})
    id: str = started["id"]
    return id


def _call(town: Town, path: str, body: Any) -> Any:
    headers = {"Authorization": f"token {town.service.key}"}
    answer = http("POST", town.service.base_url + path, headers=headers, json=body)
    answer.raise_for_status()
    return answer.json()


if __name__ == "__main__":
    run(main)
