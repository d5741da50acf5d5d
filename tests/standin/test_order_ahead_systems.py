"""What ``make demo-order`` and ``make demo-agent`` start: orders of a phone and of an agent reach real systems.

The systems report them themselves.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from levelup_ov.standins.levelup.world import owner_login
from tests.servers.mcp_client import install
from tests.servers.process import http, required
from tests.standin.visitors import PASSWORDS

ADA = "ada@example.com"


@pytest.fixture(scope="module")
def town() -> Iterator[Any]:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(Path(__file__).parents[2] / "scripts")
        import demo_order

        with demo_order.ordering() as town:
            yield town


def phone(town: Any, method: str, path: str, body: Any = None, token: str | None = None) -> Any:
    headers = {"Authorization": f"token {token}"} if token else {}
    url = path if path.startswith("http") else town.base_url + path
    answer = http(method, url, json=body, headers=headers)
    assert answer.ok, answer.text
    return answer


def poll(town: Any, url: str, token: str) -> Any:
    for _ in range(300):
        answer = phone(town, "GET", url, token=token)
        if answer.status_code == 200:
            return answer.json()["order"]
        time.sleep(0.1)
    raise AssertionError("nothing came of it")


@pytest.mark.parametrize(
    "merchant, system", [("Boston Deli", "deli"), ("Boston Burgers", "shop"), ("Sandbox Diner", None)]
)
def test_an_order_is_found_where_it_was_placed(town: Any, merchant: str, system: str | None) -> None:
    if system and getattr(town, system) is None:
        pytest.skip("; ".join(town.left_out))
    token, place = token_of(town, ADA, PASSWORDS[ADA]), place_of(town, merchant)
    menu = phone(town, "GET", f"/v15/order_ahead/menus/{place['id']}").json()["menu"]
    dish = menu["categories"][0]["category"]["items"][0]["item"]
    before = town.tickets()
    started = phone(town, "POST", "/v15/order_ahead/orders", cart_of(place, dish), token).json()["order"]
    shown = poll(town, started["order_url"], token)
    begun = phone(town, "POST", shown["order_completion_url"], token=token).json()["order"]
    done = poll(town, begun["order_url"], token)
    assert done["order_number"] and done["total_amount"] == shown["total_amount"]
    if system:
        (new,) = [ticket for ticket in town.tickets() if ticket not in before]
        assert done["order_number"] in new


def test_credit_is_what_a_shops_own_discount_leaves(town: Any) -> None:
    """The shop takes 10 % off itself, so it takes less credit than the food costs."""
    if town.shop is None:
        pytest.skip("; ".join(town.left_out))
    email = "dora@example.com"
    token = token_of(town, email, PASSWORDS[email])
    place = place_of(town, "Boston Burgers")
    owner = token_of(town, *owner_login(place["merchant_id"]))
    menu = phone(town, "GET", f"/v15/order_ahead/menus/{place['id']}").json()["menu"]
    items = [entry["item"] for category in menu["categories"] for entry in category["category"]["items"]]
    dish = next(item for item in items if "soda" in item["name"].lower())
    given = {"merchant_funded_credit": {"email": email, "value_amount": 100_000}}
    phone(town, "POST", "/v15/merchant_funded_credits", given, owner)
    started = phone(town, "POST", "/v15/order_ahead/orders", cart_of(place, dish), token).json()["order"]
    shown = poll(town, started["order_url"], token)
    assert shown["discount_amount"] == shown["subtotal"] > 0
    begun = phone(town, "POST", shown["order_completion_url"], token=token).json()["order"]
    done = poll(town, begun["order_url"], token)
    assert done["order_number"] and 0 < done["payment"]["merchant_funded_credit_amount"] < shown["subtotal"]


def token_of(town: Any, email: str, password: str) -> str:
    login = {"api_key": "standin-api-key", "username": email, "password": password}
    return phone(town, "POST", "/v14/access_tokens", {"access_token": login}).json()["access_token"]["token"]


def place_of(town: Any, merchant: str) -> Any:
    places = phone(town, "GET", "/v15/apps/1/locations?fulfillment_types=pickup").json()
    return next(each["location"] for each in places if each["location"]["merchant_name"] == merchant)


def cart_of(place: Any, dish: Any) -> Any:
    item = {"id": dish["id"], "quantity": 1, "option_ids": enough(dish)}
    return {"order": {"location_id": place["id"], "items": [{"item": item}], "tip_amount": None}}


@pytest.mark.rule("UCP-10")
def test_an_agents_orders_are_found_where_they_were_placed(town: Any, request: pytest.FixtureRequest) -> None:
    import demo_agent

    with required(request, "the client of the Model Context Protocol"):
        python = install()
    before, placed = town.tickets(), []
    with demo_agent.agent(town, python) as client:
        for errand in demo_agent.errands_of(town):
            placed.append(demo_agent.order(client, *errand)["order"]["label"])
    new = [ticket for ticket in town.tickets() if ticket not in before]
    assert len(new) == len(placed) == (town.deli is not None) + (town.shop is not None)
    assert all(label in ticket for label, ticket in zip(placed, new, strict=True))


def enough(dish: Any) -> list[int]:
    """The defaults, and as many more options as each group asks for."""
    chosen: list[int] = []
    for entry in dish["option_groups"]:
        group = entry["option_group"]
        others = [each["option"]["id"] for each in group["options"]]
        wanted = [*group["default_option_ids"], *(id for id in others if id not in group["default_option_ids"])]
        chosen += wanted[: max(group["minimum_choices"], len(group["default_option_ids"]))]
    return chosen
