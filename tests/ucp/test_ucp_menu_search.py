"""A menu in bounded parts: words find dishes, and no dish is too large to be shown."""

from __future__ import annotations

import pytest

from levelup_ov.domain.menu import Category, Menu, MenuItem, MenuOption, OptionGroup
from levelup_ov.ucp.menu_search import MOST_MODIFICATIONS, dish, find_dishes

pytestmark = pytest.mark.rule("UCP-10")

SOUPS = Category(
    "soups", "Soups", (MenuItem("pho", "Phở bò", 1200, "Beef and noodles"), MenuItem("miso", "Miso", 400, "With beef"))
)
MAINS = Category("mains", "Mains", (MenuItem("beef", "Roast Beef Sandwich", 900), MenuItem("berry", "Berries", 300)))
MENU = Menu("menu", "Menu", (SOUPS, MAINS))


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("beef", ["beef", "pho", "miso"]),
        ("BEEF noodles", ["beef", "pho", "miso"]),
        ("pho bo", ["pho"]),
        ("soup", ["pho", "miso"]),
        ("sandwiches", ["beef"]),
        ("sand", ["beef"]),
        ("caviar", []),
        ("  !", ["pho", "miso", "beef", "berry"]),
        ("", ["pho", "miso", "beef", "berry"]),
    ],
)
def test_words_find_dishes(query: str, found: list[str]) -> None:
    assert [each["id"] for each in find_dishes(MENU, query, 10, 0).entries] == found


def nested(width: int, depth: int) -> Menu:
    """A dish with a group of ``width`` modifications, each of which has such a group below it, and so on."""
    groups = []

    def group(path: str, left: int) -> str:
        def below(id: str) -> tuple[str, ...]:
            return (group(f"{id}:more", left - 1),) if left else ()

        ids = [f"{path}:{n}" for n in range(width)]
        options = tuple(MenuOption(id, f"Option {n}", 10, option_groups=below(id)) for n, id in enumerate(ids))
        groups.append(OptionGroup(path, "Group", options))
        return path

    top = group("top", depth)
    item = MenuItem("dish", "Dish", 500, option_groups=(top,))
    return Menu("menu", "Menu", (Category("all", "All", (item,)),), tuple(groups))


def test_a_large_dish_is_shown_from_the_top() -> None:
    menu = nested(25, 1)
    shown = dish(menu, "dish")
    assert shown is not None
    (top,) = shown["modification_groups"]
    assert [option["id"] for option in top["modifications"]] == [f"top:{n}" for n in range(25)]
    below = [option for option in top["modifications"] if "more_below" in option]
    assert below and str(shown).count("Option ") == MOST_MODIFICATIONS
    # What did not fit is shown on request.
    rest = dish(menu, "dish", below[-1]["id"])
    assert rest is not None and len(rest["modification_groups"][0]["modifications"]) == 25


def test_a_group_that_does_not_fit_says_so() -> None:
    shown = dish(nested(MOST_MODIFICATIONS + 1, 0), "dish")
    assert shown is not None
    (group,) = shown["modification_groups"]
    assert group["more"] and len(group["modifications"]) == MOST_MODIFICATIONS


def test_what_is_not_there_is_not_shown() -> None:
    menu = nested(2, 1)
    assert dish(menu, "other") is None and dish(menu, "dish", "top:7") is None
    leaf = dish(menu, "dish", "top:0:more:1")
    assert leaf is not None and leaf["modification_groups"] == []
