"""The engine's menu: every group of choices is defined once, however often it is used.

Only the customer's choices count: presets are for a screen, and the engine adds nothing that was not chosen.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from levelup_ov.standins.sandbox.places import Place

NOTE_LIMIT = 250
"""Characters of a note, on the order or on a line."""
LINE_LIMIT = 99
"""Portions on one line."""
CHANGED = "2026-11-01T00:00:00Z"


@dataclass(frozen=True, slots=True)
class DishChoice:
    """``cents`` each; at most ``most`` of it per portion of what it belongs to; ``preset`` on a screen."""

    id: str
    title: str
    cents: int = 0
    most: int = 1
    preset: int = 0
    groups: tuple[Group, ...] = ()
    sold_out: bool = False


@dataclass(frozen=True, slots=True)
class Group:
    """Choices of which ``least`` to ``most`` units, of ``least_kinds`` to ``most_kinds`` kinds, are chosen.

    The first ``free`` units, in the order in which they are chosen, cost nothing; what is chosen below
    them does. None means no limit.
    """

    id: str
    title: str
    choices: tuple[DishChoice, ...]
    least: int = 0
    most: int | None = None
    least_kinds: int = 0
    most_kinds: int | None = None
    free: int = 0


@dataclass(frozen=True, slots=True)
class Dish:
    """Something to order. ``only_at``: ids of the places that have it; None for all."""

    id: str
    title: str
    cents: int
    about: str
    groups: tuple[Group, ...] = ()
    takes_note: bool = True
    sold_out: bool = False
    only_at: frozenset[str] | None = None


@dataclass(frozen=True, slots=True)
class Heading:
    """Dishes under one title."""

    id: str
    title: str
    about: str
    section: str
    dishes: tuple[Dish, ...]


_HEAT = Group("heat", "How hot?", (DishChoice("mild", "Mild"), DishChoice("hot", "Hot", 25)), most=1)
_DIPS = Group(
    "dips", "Dips",
    (DishChoice("ketchup", "Ketchup", 50, most=3), DishChoice("aioli", "Aioli", 75, most=2, groups=(_HEAT,))),
    most=4, free=1,
)  # fmt: skip
_SIDES = (
    DishChoice("fries", "Fries", 300, groups=(_DIPS,)),
    DishChoice("rings", "Onion rings", 350, groups=(_DIPS,)),
    DishChoice("slaw", "Coleslaw", 250),
)
_ADDED_SIDE = Group("added-side", "Add a side?", _SIDES, most=1)
_SIDE = Group("side", "Which side?", _SIDES, least=1, most=1)
_BREAD = Group(
    "bread", "Bread", (DishChoice("rye", "Rye", preset=1), DishChoice("sourdough", "Sourdough", 100)), most=1
)
_TOPPINGS = Group(
    "toppings", "Toppings",
    (
        DishChoice("lettuce", "Lettuce", 50, most=2),
        DishChoice("tomato", "Tomato", 50, most=2),
        DishChoice("cheese", "Cheese", 150, most=3),
        DishChoice("avocado", "Avocado", 200, sold_out=True),
        DishChoice("pickles", "Pickles", 75, most=2),
    ),
    most=6, most_kinds=3, free=2,
)  # fmt: skip
_GREENS = Group(
    "greens", "Greens",
    (
        DishChoice("romaine", "Romaine", most=2, preset=1),
        DishChoice("spinach", "Spinach", most=2, preset=1),
        DishChoice("kale", "Kale", 50, most=2),
        DishChoice("rocket", "Rocket", 50, most=2),
    ),
    least=2, most=4, least_kinds=2, most_kinds=3,
)  # fmt: skip
# Both characters that an id path has to escape (ITEM-4).
_CHILI = Group("chili:level", "Chili level", (DishChoice("50%", "Half"), DishChoice("100%", "Full", 25)), most=1)

SECTIONS: Mapping[str, str] = {"food": "Food", "drinks-sweets": "Drinks and sweets"}
HEADINGS = (
    Heading(
        "mains", "Mains", "Made to order.", "food",
        (
            Dish("sandwich", "Club sandwich", 1000, "On bread of your choice.", (_BREAD, _TOPPINGS, _ADDED_SIDE)),
            Dish("burger", "Burger", 1250, "With a side.", (_SIDE, _TOPPINGS)),
            Dish("noodles", "Chili noodles", 1100, "Wheat noodles, spring onion.", (_CHILI,)),
            Dish("bento", "Bento", 1000, "Rice, salmon, egg.", only_at=frozenset({"congress", "tokyo"})),
        ),
    ),
    Heading(
        "light", "Salads and soups", "Lighter dishes.", "food",
        (
            Dish("salad", "House salad", 900, "Two or three kinds of leaves.", (_GREENS,)),
            Dish("soup", "Soup of yesterday", 600, "Gone before it was on the menu.", sold_out=True),
        ),
    ),
    Heading(
        "drinks", "Drinks", "Bottled.", "drinks-sweets",
        (Dish("lemonade", "Bottled lemonade", 295, "0.33 l; nothing to change about it.", takes_note=False),),
    ),
    Heading("sweets", "Sweets", "Baked daily.", "drinks-sweets", (Dish("cookie", "Cookie", 199, "Oat and raisin."),)),
)  # fmt: skip


def dishes_at(place: Place) -> Iterator[tuple[Heading, tuple[Dish, ...]]]:
    """Each heading with the dishes that ``place`` has."""
    for heading in HEADINGS:
        yield heading, tuple(dish for dish in heading.dishes if dish.only_at is None or place.id in dish.only_at)


def dish_at(place: Place, dish_id: str) -> Dish | None:
    """The dish with this id, if ``place`` has it."""
    return next((dish for _, dishes in dishes_at(place) for dish in dishes if dish.id == dish_id), None)
