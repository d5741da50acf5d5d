"""The menu check over menus as the wire has them."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from flask import Flask

from levelup_ov.__main__ import main
from levelup_ov.certify.sample_orders import Kitchen
from levelup_ov.certify.wire_menu import problems, read
from levelup_ov.config import DEVELOPMENT_API_KEY
from levelup_ov.domain.menu import Menu, MenuItem, MenuOption, OptionGroup
from tests.certify.serving import serving
from tests.certify.wrong import Wrong, dangling

Change = Callable[[dict[str, Any]], object]


@pytest.fixture(scope="session")
def menu(sound: Flask) -> dict[str, Any]:
    """The menu of the sandbox, as EP-3 answers it."""
    headers = {"Authorization": f"token {DEVELOPMENT_API_KEY}"}
    return sound.test_client().get("/locations/sandbox.congress/menu", headers=headers).get_json()


def item(menu: dict[str, Any]) -> dict[str, Any]:
    return menu["categories"][0]["category"]["items"][0]["item"]


def group(menu: dict[str, Any]) -> dict[str, Any]:
    return menu["option_groups"][0]["option_group"]


@pytest.mark.rule("MENU-3")
def test_a_sound_menu_has_no_problems(menu: dict[str, Any]) -> None:
    assert problems(menu) == problems(menu["menu"]) == ()


IN_ITEM = "item_provider_id=sandwich category_provider_id=mains"
ITEM = "$.menu.categories[0].category.items[0].item"


@pytest.mark.rule("MENU-1", "MENU-2", "MENU-3", "MENU-5")
@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda menu: item(menu).update(name=" "), f"item name can't be blank {IN_ITEM}"),
        (lambda menu: item(menu).update(name=None), f"item name can't be blank {IN_ITEM}"),
        (lambda menu: item(menu).pop("name"), f"item name can't be blank {IN_ITEM}"),
        (lambda menu: item(menu).update(price=10.5), f"item price 10.5 isn't an amount in cents {IN_ITEM}"),
        (lambda menu: item(menu).pop("price"), f"item price None isn't an amount in cents {IN_ITEM}"),
        (lambda menu: item(menu).pop("image"), f"{ITEM}.image: is missing, expected string"),
        (lambda menu: item(menu).update(metadata=[]), f"{ITEM}.metadata: expected object, got a list"),
        (
            lambda menu: item(menu).update(option_groups=[7]),
            f"{ITEM}.option_groups: expected list of strings, got a list",
        ),
        (lambda menu: menu.update(categories={}), "$.menu.categories: expected list, got an object"),
        (
            lambda menu: menu["categories"][0]["category"].update(price=100),
            "category can't have a price category_provider_id=mains",
        ),
        (
            lambda menu: group(menu).update(minimum_choices="1"),
            "$.menu.option_groups[0].option_group.minimum_choices: expected integer, got '1'",
        ),
        (
            lambda menu: group(menu).update(defaults=["bread:none"]),
            "option group default doesn't exist option_provider_id=bread:none option_group_provider_id=bread",
        ),
    ],
)
def test_each_problem_is_reported_once_with_ids_or_path(menu: dict[str, Any], change: Change, expected: str) -> None:
    broken = copy.deepcopy(menu)
    change(broken["menu"])
    assert problems(broken) == (expected,)


@pytest.mark.parametrize("wire", [None, [], 7, {"menu": None}, {"menu": []}])
def test_anything_but_a_menu_is_reported(wire: Any) -> None:
    assert len(problems(wire)) == 1


def test_nothing_in_a_menu_can_stop_the_check(menu: dict[str, Any]) -> None:
    for junk in (None, 7, "x", [], {}, [None], [{"option_group": 7}], {"a": 1}):
        for name in menu["menu"]:
            assert problems({"menu": {**menu["menu"], name: junk}}) is not None


def check(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["menu", "check", *arguments])


@pytest.mark.rule("MENU-3")
def test_the_command_reads_a_file(menu: dict[str, Any], tmp_path: Path) -> None:
    file = tmp_path / "menu.json"
    file.write_text(json.dumps(menu))
    found = check(str(file))
    assert (found.exit_code, found.stdout) == (0, "")
    broken = copy.deepcopy(menu)
    item(broken["menu"])["name"] = ""
    file.write_text(json.dumps(broken))
    found = check(str(file))
    assert (found.exit_code, found.stdout) == (1, f"item name can't be blank {IN_ITEM}\n")


@pytest.mark.rule("MENU-3")
def test_the_command_reads_a_service_or_one_menu(service: str, sound: Flask) -> None:
    key = ["--key", DEVELOPMENT_API_KEY]
    everything = check(service, *key)
    assert (everything.exit_code, everything.stdout) == (0, "")
    assert everything.stderr.count(": healthy") == 7
    one = check(f"{service}/locations/sandbox.day/menu", *key)
    assert (one.exit_code, one.stderr) == (0, "/locations/sandbox.day/menu: healthy\n")
    with serving(Wrong(frozenset(), answer=dangling).around(sound.wsgi_app)) as address:
        found = check(address, *key, "--location", "sandbox.day")
    assert found.exit_code == 1
    assert "item refers to an unknown option group option_group_provider_id=bread " + IN_ITEM in found.stdout


def test_what_cannot_be_read_ends_with_2(service: str, tmp_path: Path) -> None:
    (tmp_path / "text").write_text("{")
    for source in (str(tmp_path / "none"), str(tmp_path / "text"), service, f"{service}/locations/x/menu"):
        found = check(source, "--key", "wrong")
        assert (found.exit_code, found.stdout) == (2, ""), found.output
        assert found.stderr.startswith("Error: ")


def option(id: str, **members: Any) -> MenuOption:
    return MenuOption(id, id, **members)


@pytest.mark.rule("ITEM-7")
def test_orders_have_the_least_that_a_menu_asks_for(menu: dict[str, Any]) -> None:
    chosen = {line.item.provider_id: [(pick.option.provider_id, pick.quantity) for pick in line.picks]
              for line in Kitchen(read(menu["menu"])).lines()}  # fmt: skip
    assert chosen["lemonade"] == []
    assert [quantity for _, quantity in chosen["salad"]] == [1, 1]
    assert len(chosen["burger"]) == 1


@pytest.mark.parametrize(
    ("bounds", "expected"),
    [
        ({"minimum_choices": 3}, {"g:a": 2, "g:b": 1}),
        ({"minimum_choices": 3, "minimum_unique_options": 3}, {"g:a": 1, "g:b": 1, "g:c": 1}),
        ({"minimum_unique_options": 2}, {"g:a": 1, "g:b": 1}),
        ({"minimum_choices": 3, "maximum_unique_options": 1}, None),
        ({"minimum_choices": 9}, None),
        ({"minimum_choices": 2, "maximum_choices": 1}, None),
    ],
)
def test_choices_meet_the_bounds_of_their_group(bounds: dict[str, int], expected: dict[str, int] | None) -> None:
    options = (option("g:a", maximum_quantity=2), option("g:b", maximum_quantity=2), option("g:c", maximum_quantity=1))
    dish = MenuItem("dish", "Dish", 100, option_groups=("g",))
    line = Kitchen(Menu("m", "M", (), (OptionGroup("g", "G", options, **bounds),))).line(dish)
    chosen = {pick.option.provider_id: pick.quantity for pick in line.picks} if line else None
    assert chosen == expected
