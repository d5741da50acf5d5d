"""Items, options, quantities and instructions on their way to the kitchen: ITEM-1 to ITEM-10, MENU-5."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.channel import Channel, item
from tests.contract.conftest import Kitchen, MakeFake

KETCHUP, AIOLI, HOT = (f"added-side:fries:dips:{each}" for each in ("ketchup", "aioli", "aioli:heat:hot"))
FRIES = "added-side:fries"


class Menu:
    """A menu as the channel reads it."""

    def __init__(self, answer: dict[str, Any]) -> None:
        menu = answer["menu"]
        self.groups = {each["option_group"]["provider_id"]: each["option_group"] for each in menu["option_groups"]}
        self.items = [each["item"] for category in menu["categories"] for each in category["category"]["items"]]

    def least(self, owner: dict[str, Any]) -> Iterator[dict[str, Any]]:
        """The first options that make the choices of an item or option enough."""
        for group in (self.groups[each] for each in owner["option_groups"]):
            for option in [each["option"] for each in group["options"]][: group["minimum_choices"]]:
                yield option
                yield from self.least(option)

    def options(self, owner: dict[str, Any]) -> Iterator[dict[str, Any]]:
        """All options below an item or option, parents first."""
        for group in (self.groups[each] for each in owner["option_groups"]):
            for option in (each["option"] for each in group["options"]):
                yield option
                yield from self.options(option)


@pytest.fixture(scope="module")
def menu(refused: Channel) -> Menu:
    return Menu(refused.get("/locations/sandbox.congress/menu").json)


@pytest.mark.rule("ITEM-1", "ITEM-7", "MENU-1", "MENU-2")
@pytest.mark.parametrize("location", ["congress", "day", "night", "notips", "card", "tokyo"])
def test_every_item_with_its_minimum_choices_can_be_ordered(refused: Channel, location: str) -> None:
    menu = Menu(refused.get(f"/locations/sandbox.{location}/menu").json)
    assert len(menu.items) >= 7
    for each in menu.items:
        options = list(menu.least(each))
        answer = refused.validate(
            f"sandbox.{location}", items=[item(each["provider_id"], *(option["provider_id"] for option in options))]
        )
        if each["provider_id"] == "soup":
            assert answer.error["code"] == "item_unavailable"
        else:
            assert answer.order["total"] == each["price"] + sum(option["price"] for option in options)


@pytest.mark.rule("ITEM-1", "ITEM-2", "ITEM-3", "MENU-5")
def test_every_option_with_its_parents_is_known(refused: Channel, menu: Menu) -> None:
    known = set()
    for each in menu.items:
        for option in menu.options(each):
            parts = option["provider_id"].split(":")
            chosen = [":".join(parts[:length]) for length in range(2, len(parts) + 1, 2)]
            answer = refused.validate(items=[item(each["provider_id"], *chosen)])
            if answer.status != 200:
                assert answer.error["code"] in ("invalid_choices", "item_unavailable"), option["provider_id"]
            else:
                known.add(option["provider_id"])
    assert {"added-side:fries:dips:aioli:heat:hot", "side:rings:dips:ketchup", "chili%3Alevel:100%25"} <= known


@pytest.mark.rule("ITEM-1", "ITEM-2", "ITEM-5", "ITEM-7")
@settings(max_examples=60, deadline=None, derandomize=True)
@given(data=st.data())
def test_any_choice_from_the_menu_is_priced_or_refused(refused: Channel, menu: Menu, data: st.DataObject) -> None:
    each = data.draw(st.sampled_from(menu.items))
    ids = [option["provider_id"] for option in menu.options(each)]
    chosen = data.draw(st.lists(st.sampled_from(ids), max_size=5) if ids else st.just([]))
    whole = {":".join(path.split(":")[:length]) for path in chosen for length in range(2, path.count(":") + 2, 2)}
    quantity = data.draw(st.integers(1, 3))
    order = data.draw(st.permutations(sorted(whole)))
    answer = refused.validate(items=[item(each["provider_id"], *order, quantity=quantity)])
    if answer.status == 200:
        assert answer.order["total"] >= each["price"] * quantity
    else:
        assert answer.status == 422
        assert answer.error["code"] in ("invalid_choices", "item_unavailable")
    incomplete = [path for path in order if path.rpartition(":")[0].rpartition(":")[0] not in ("", *order)]
    assert not incomplete
    parents = [path for path in order if any(other.startswith(f"{path}:") for other in order)]
    if parents:
        order.remove(parents[0])
        assert refused.validate(items=[item(each["provider_id"], *order)]).error["code"] == "orphan_option"


@pytest.mark.rule("ITEM-1")
@pytest.mark.parametrize("provider_id", ["nothing", "Sandwich", "sandwich ", "bento"])
def test_an_item_that_the_menu_does_not_have_is_unknown(refused: Channel, provider_id: str) -> None:
    answer = refused.validate("sandbox.day", items=[item("sandwich"), item(provider_id)])
    assert answer.refusal == (422, "unknown_item", "$.order_validation.items[1].item")
    assert answer.error["type"] == "provider"


@pytest.mark.rule("ITEM-2", "ITEM-3")
def test_the_kitchen_gets_nested_what_arrived_flat_in_any_order(channel: Channel, kitchen: Kitchen) -> None:
    def picks(*options: str | dict[str, Any]) -> Any:
        ticket = channel.submit(items=[item("sandwich", *options)]).order["order_id"]
        return kitchen.order("congress", ticket)["lines"][0]["picks"]

    def pick(group: str, choice: str, *below: Any, count: int = 1) -> dict[str, Any]:
        return {"group": group, "choice": choice, "count": count, "picks": list(below)}

    two_aioli = {"provider_id": AIOLI, "quantity": 2}
    nested = pick("added-side", "fries", pick("dips", "ketchup"), pick("dips", "aioli", pick("heat", "hot"), count=2))
    assert picks(FRIES, KETCHUP, two_aioli, HOT) == [nested]
    assert picks(KETCHUP, HOT, two_aioli, FRIES) == [nested]
    assert picks("bread:rye", KETCHUP, FRIES) == [
        pick("bread", "rye"),
        pick("added-side", "fries", pick("dips", "ketchup")),
    ]


@pytest.mark.rule("ITEM-2", "ITEM-6")
def test_an_option_that_is_listed_twice_counts_with_the_sum(channel: Channel, kitchen: Kitchen) -> None:
    def lines(*options: str | dict[str, Any]) -> Any:
        ticket = channel.submit(items=[item("sandwich", *options)]).order["order_id"]
        return kitchen.order("congress", ticket)["lines"]

    twice = lines("toppings:cheese", {"provider_id": "toppings:cheese", "quantity": 2})
    assert twice == lines({"provider_id": "toppings:cheese", "quantity": 3})
    too_much = [{"provider_id": "toppings:cheese", "quantity": 2}] * 2
    assert channel.validate(items=[item("sandwich", *too_much)]).error["code"] == "invalid_choices"


@pytest.mark.rule("ITEM-4")
def test_the_delimiter_in_a_provider_id_is_encoded(channel: Channel, kitchen: Kitchen, menu: Menu) -> None:
    group = menu.groups["chili%3Alevel"]
    ids = [each["option"]["provider_id"] for each in group["options"]]
    assert ids == ["chili%3Alevel:50%25", "chili%3Alevel:100%25"]
    ticket = channel.submit(items=[item("noodles", ids[0])]).order["order_id"]
    (pick,) = kitchen.order("congress", ticket)["lines"][0]["picks"]
    assert (pick["group"], pick["choice"]) == ("chili:level", "50%")


@pytest.mark.rule("ITEM-4")
@pytest.mark.parametrize(
    ("dish", "option"),
    [
        ("noodles", "chili:level:50%"), ("noodles", "chili%3Alevel:50%"), ("noodles", "chili%3alevel:50%25"),
        ("noodles", "chili%3Alevel:5%30%25"), ("noodles", "%zz:1"), ("sandwich", "bread"), ("sandwich", "bread:rye:x"),
        ("sandwich", "bread:nothing"), ("sandwich", "nothing:rye"), ("sandwich", "dips:ketchup"),
        ("sandwich", "bread%3Arye"), ("sandwich", "Bread:rye"), ("burger", "bread:rye"), ("sandwich", " bread:rye"),
    ],
)  # fmt: skip
def test_an_option_that_no_menu_published_is_unknown(refused: Channel, dish: str, option: str) -> None:
    answer = refused.validate(items=[item(dish, option)])
    assert answer.refusal[:2] == (422, "unknown_option")
    assert (answer.error["path"] or "").startswith("$.order_validation.items[0].item")


@pytest.mark.rule("ITEM-4", "ITEM-5")
def test_an_id_as_deep_as_it_may_be_long_is_unknown(refused: Channel) -> None:
    paths = [":".join(["a"] * length) for length in range(2, 500, 2)]
    assert refused.validate(items=[item("sandwich", *paths)]).error["code"] == "unknown_option"


@pytest.mark.rule("ITEM-5")
@pytest.mark.parametrize(
    ("chosen", "child", "parent"),
    [
        ((KETCHUP,), KETCHUP, FRIES),
        ((FRIES, HOT), HOT, AIOLI),
        ((HOT, AIOLI), AIOLI, FRIES),
        (("added-side:rings", KETCHUP), KETCHUP, FRIES),
    ],
)
def test_an_orphan_is_refused_naming_child_and_parent(
    channel: Channel, kitchen: Kitchen, chosen: tuple[str, ...], child: str, parent: str
) -> None:
    answer = channel.submit(items=[item("sandwich"), item("sandwich", *chosen)])
    path = f"$.order_submission.items[1].item.options[{chosen.index(child)}].option.provider_id"
    assert answer.refusal == (422, "orphan_option", path)
    assert child in answer.error["message"] and parent in answer.error["message"]
    assert answer.error["type"] == "request"
    assert kitchen.count("orders") == 0


@pytest.mark.rule("ITEM-6")
def test_quantities_multiply_the_price(channel: Channel) -> None:
    wanted = item("sandwich", "bread:sourdough", {"provider_id": "toppings:cheese", "quantity": 3}, quantity=2)
    assert channel.validate(items=[wanted]).order["total"] == 2 * (1000 + 100 + 150)
    assert channel.validate(items=[item("cookie", quantity=3), item("cookie")]).order["total"] == 4 * 199


@pytest.mark.rule("ITEM-6")
@pytest.mark.parametrize("quantity", [{}, {"quantity": None}, {"quantity": 1}])
def test_an_options_quantity_is_one_if_absent(fake: MakeFake, quantity: dict[str, Any]) -> None:
    provider, channel = fake()
    assert channel.validate("fake.one", items=[item("x", {"provider_id": "a:b", **quantity})]).status == 200
    assert provider.orders[0].items[0].options[0].quantity == 1


@pytest.mark.rule("ITEM-7", "ERR-2")
@pytest.mark.parametrize(
    ("wanted", "words"),
    [
        (item("burger"), "Burger, Which side?: please choose at least 1."),
        (item("burger", "side:slaw", "side:rings"), "Burger, Which side?: please choose at most 1."),
        (item("salad", {"provider_id": "greens:kale", "quantity": 2}), "at least 2 different ones."),
        (
            item("sandwich", *(f"toppings:{each}" for each in ("lettuce", "tomato", "cheese", "pickles"))),
            "at most 3 different ones.",
        ),
        (item("sandwich", {"provider_id": "toppings:cheese", "quantity": 4}), "At most 3 of Cheese, please."),
        (item("cookie", quantity=100), "At most 99 of Cookie on one line."),
    ],
)
def test_wrong_choices_are_refused_in_the_providers_words(refused: Channel, wanted: dict[str, Any], words: str) -> None:
    answer = refused.validate(items=[wanted])
    assert answer.refusal[:2] == (422, "invalid_choices")
    assert words in answer.error["message"]
    assert answer.error["type"] == "provider"


@pytest.mark.rule("ITEM-7")
def test_the_limits_of_a_group_are_published(menu: Menu) -> None:
    def limits(group: str) -> tuple[Any, ...]:
        found = menu.groups[group]
        return tuple(found[f"{end}_{what}"] for what in ("choices", "unique_options") for end in ("minimum", "maximum"))

    assert limits("greens") == (2, 4, 2, 3)
    assert limits("side") == (1, 1, 0, None)
    assert (limits("toppings")[1], menu.groups["toppings"]["free_choices"]) == (6, 2)
    cheese = next(each["option"] for each in menu.groups["toppings"]["options"] if each["option"]["name"] == "Cheese")
    assert cheese["maximum_quantity"] == 3


@pytest.mark.rule("ITEM-8")
def test_instructions_reach_the_kitchen(channel: Channel, kitchen: Kitchen) -> None:
    longest = "x" * 250
    for note in (longest, "Ohne Zwiebeln, bitte – danke! \U0001f9c5", None):
        wanted = item("sandwich", special_instructions=note)
        ticket = channel.submit(
            items=[wanted, item("lemonade", special_instructions=None)], special_instructions=note
        ).order["order_id"]
        order = kitchen.order("congress", ticket)
        assert (order["note"], order["lines"][0]["note"], order["lines"][1]["note"]) == (note, note, None)


@pytest.mark.rule("ITEM-8")
def test_instructions_over_the_menus_limit_are_refused_not_cut(channel: Channel, kitchen: Kitchen) -> None:
    menu = channel.get("/locations/sandbox.congress/menu").json["menu"]
    assert (menu["allows_special_instructions"], menu["special_instructions_character_limit"]) == (True, 250)
    too_long = "x" * 251
    for members in ({"special_instructions": too_long}, {"items": [item("sandwich", special_instructions=too_long)]}):
        for answer in (channel.validate(**members), channel.submit(**members)):
            assert (answer.status, answer.error["code"]) == (422, "special_instructions_too_long")
            assert answer.error["type"] == "request"
    assert kitchen.count("orders") == 0


@pytest.mark.rule("ITEM-8")
def test_instructions_where_none_are_taken_are_refused(refused: Channel) -> None:
    answer = refused.validate(items=[item("lemonade", special_instructions="Warm, please.")])
    assert answer.refusal[:2] == (422, "special_instructions_not_allowed")
    assert answer.error["type"] == "request"


@pytest.mark.rule("ITEM-9", "META-9")
def test_only_the_menus_metadata_comes_back_with_the_order(fake: MakeFake) -> None:
    provider, channel = fake()
    ours = {"integration_a": "1", "integration-b": 2, "integration_c": True}
    metadata = {**ours, "integration": "x", "Integration_d": "x", "theirs": "x", "": "x"}
    wanted = item("x", {"provider_id": "a:b", "metadata": metadata}, metadata=metadata)
    assert (
        channel.validate("fake.one", items=[wanted]).status == channel.submit("fake.one", items=[wanted]).status == 200
    )
    for order in provider.orders:
        assert order.items[0].metadata == order.items[0].options[0].metadata == ours


@pytest.mark.rule("ITEM-10")
def test_no_answer_holds_upsells(channel: Channel) -> None:
    for answer in (channel.validate(), channel.submit(), channel.get("/locations/sandbox.congress/menu")):
        assert answer.status == 200
        assert "upsell" not in str(answer.json).lower()
    metadata = channel.validate().order["metadata"]
    assert all(name.startswith(("user_", "order_")) for name in metadata)
