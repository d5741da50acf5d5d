"""The engine's places and its menu."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

EVERYWHERE = ("congress", "day", "night", "notips", "account", "card", "tokyo")


def dishes(kitchen: Any, place: str) -> dict[str, Any]:
    menu = kitchen.call("GET", f"/v1/locations/{place}/menu", status=200)["menu"]
    return {dish["id"]: dish for heading in menu["headings"] for dish in heading["dishes"]}


def depths(groups: Any, depth: int = 1) -> Iterator[int]:
    for group in groups:
        yield depth
        for choice in group["choices"]:
            yield from depths(choice["groups"], depth + 1)


@pytest.mark.rule("LOC-1", "LOC-2", "PAY-3")
def test_each_place_has_the_character_it_is_there_for(kitchen):
    found = {place["id"]: place for place in kitchen.call("GET", "/v1/locations", status=200)["locations"]}
    assert tuple(found) == EVERYWHERE
    assert {key for key, place in found.items() if not place["takes_gratuity"]} == {"notips"}
    assert {key for key, place in found.items() if place["members_only"]} == {"account"}
    assert {key for key, place in found.items() if place["payments"] != ["external", "card"]} == {"card"}
    assert {key: place["scheduling"] for key, place in found.items() if place["scheduling"] != "free"} == {
        "day": "slots",
        "night": "slots",
        "notips": "none",
    }
    assert {key: place["zone"] for key, place in found.items() if place["zone"] != "America/New_York"} == {
        "tokyo": "Asia/Tokyo"
    }
    assert found["night"]["weekly_hours"][6] == {"weekday": 6, "from": 1080, "to": 360}
    assert found["congress"]["weekly_hours"][0] == {"weekday": 0, "from": 0, "to": 1440}


@pytest.mark.parametrize("place", EVERYWHERE)
def test_every_place_sells_the_ten_dollar_sandwich(kitchen, place):
    sandwich = dishes(kitchen, place)["sandwich"]
    assert sandwich["cents"] == 1000
    assert all(group["least"] == 0 for group in sandwich["groups"])


@pytest.mark.rule("ITEM-3", "ITEM-7", "MENU-2")
def test_the_menu_shows_every_kind_of_rule(kitchen):
    menu = kitchen.call("GET", "/v1/locations/congress/menu", status=200)["menu"]
    everything = dishes(kitchen, "congress")
    assert [section["id"] for section in menu["sections"]] == ["food", "drinks-sweets"]
    assert set(everything) == {"sandwich", "burger", "noodles", "bento", "salad", "soup", "lemonade", "cookie"}
    assert [key for key, dish in everything.items() if dish["sold_out"]] == ["soup"]
    assert [key for key, dish in everything.items() if not dish["takes_note"]] == ["lemonade"]
    assert max(depths(everything["sandwich"]["groups"])) == 3
    assert "bento" in dishes(kitchen, "tokyo")
    assert "bento" not in dishes(kitchen, "day")


@pytest.mark.rule("MENU-4")
def test_the_menu_stays_the_same(kitchen):
    first = kitchen.call("GET", "/v1/locations/congress/menu")
    kitchen.pass_time(days=3)
    assert kitchen.call("GET", "/v1/locations/congress/menu") == first


@pytest.mark.parametrize("path", ["/v1/locations", "/v1/locations/congress/menu", "/v1/orders/x"])
def test_no_key_no_answer(kitchen, path):
    answer = kitchen.client.get(path, headers={"X-Sandbox-Key": "wrong"})
    assert (answer.status_code, answer.json["problem"]["code"]) == (401, "key_refused")


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        ("/v1/locations/nowhere/menu", 404, "place_unknown"),
        ("/v1/locations/nowhere/orders?reference=r", 404, "place_unknown"),
        ("/v1/locations/congress/orders", 400, "malformed"),
        ("/v1/orders/none", 404, "order_unknown"),
        ("/v1/nothing", 404, "http"),
    ],
)
def test_what_is_not_there_is_said_so(kitchen, path, status, code):
    assert kitchen.call("GET", path, status=status)["problem"]["code"] == code
