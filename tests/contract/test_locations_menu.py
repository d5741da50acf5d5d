"""Locations, hours and menus as channels read them: LOC-1, LOC-2, MENU-1 to MENU-5."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timezone
from decimal import Decimal
from typing import Any

import pytest

from levelup_ov.domain.failure import Failure
from levelup_ov.domain.location import WEEKDAYS, Listed, Location, Span, opening_hours, unknown_hours
from levelup_ov.domain.menu import Category, CategoryGroup, Menu, MenuItem, MenuOption, OptionGroup
from levelup_ov.errors import Refused, Unanswered
from levelup_ov.transport.response_cache import MemoryStore
from tests.channel import Channel
from tests.contract.conftest import MakeFake
from tests.contract.fakes import MENU
from tests.test_contract_page import table

LOCATION, MENU_TABLE = table("Members of a location"), table("Members of a menu")
PATHS = ["/merchants/sandbox/locations", "/locations/sandbox.congress/menu"]


def locations(channel: Channel, merchant: str = "fake") -> list[dict[str, Any]]:
    return [each["location"] for each in channel.get(f"/merchants/{merchant}/locations").json["locations"]]


def check_type(kind: str, value: Any, path: str) -> None:
    """``value`` is of the type in the words of the page."""
    if kind.endswith(" or null"):
        if value is None:
            return
        kind = kind.removesuffix(" or null")
    if kind == "list of strings":
        assert type(value) is list and all(type(each) is str for each in value), path
    else:
        types = {
            "string": (str,), "boolean": (bool,), "integer": (int,), "cents": (int,), "number": (int, float),
            "object": (dict,), "list": (list,),
        }  # fmt: skip
        assert type(value) in types[kind], path
    if kind == "cents":
        assert 0 <= value <= 99_999_999, path


def check_members(value: Any, members: dict[str, tuple[str, ...]], above: str = "") -> None:
    """All members of the page's table are there, no other, and of their types."""
    names = {
        path.removeprefix(above).partition(".")[0].removesuffix("[]") for path in members if path.startswith(above)
    }
    assert set(value) == names - {""}, above
    for name, inner in value.items():
        path = f"{above}{name}"
        check_type(members[path][0], inner, path)
        if isinstance(inner, list) and f"{path}[]" in {each.rpartition(".")[0] for each in members}:
            for each in inner:
                check_members(each, members, f"{path}[].")
        elif isinstance(inner, dict) and any(each.startswith(f"{path}.") for each in members):
            check_members(inner, members, f"{path}.")


@pytest.mark.rule("LOC-1", "EP-2")
def test_a_location_has_all_its_members(channel: Channel, fake: MakeFake) -> None:
    found = locations(channel, "sandbox")
    assert len(found) == 7
    provider, other = fake()
    provider.locations = [Location("bare", "Bare")]
    for location in [*found, *locations(other)]:
        check_members(location, LOCATION)
        assert list(location["hours"]) == list(WEEKDAYS)


@pytest.mark.rule("LOC-1")
def test_a_locations_members_say_what_the_provider_says(fake: MakeFake) -> None:
    provider, channel = fake()
    full = Location(
        "one", "One", active=False, terminated=True, accepts_tips_on_pickup=False, accepts_tips_on_delivery=True,
        fulfills_pickups=False, fulfills_deliveries=True, street_address="1 Street", extended_address="Floor 2",
        locality="Boston", region="MA", postal_code="02114", phone="+1", latitude=Decimal("42.36"),
        longitude=Decimal("-71.06"), time_zone="America/New_York",
    )  # fmt: skip
    provider.locations = [full, Location("two", "Two")]
    one, two = locations(channel)
    assert (one.pop("provider_id"), two["provider_id"]) == ("fake.one", "fake.two")
    hours = one.pop("hours")
    assert hours == dict.fromkeys(WEEKDAYS)
    assert one == {name: float(value) if isinstance(value := getattr(full, name), Decimal) else value for name in one}
    silent = [name for name, value in two.items() if value is None]
    assert silent == [name for name, (kind, _) in LOCATION.items() if kind.endswith("or null")]


@pytest.mark.rule("LOC-1")
@pytest.mark.parametrize(
    ("updates", "newest"),
    [
        ((None, None), None),
        (("2030-01-01T00:00:00+00:00", None), "2030-01-01T00:00:00Z"),
        (("2030-01-01T00:00:00+00:00", "2030-01-01T00:00:00-05:00"), "2030-01-01T05:00:00Z"),
    ],
)
def test_the_list_is_as_new_as_its_newest_location(
    fake: MakeFake, updates: tuple[str | None, ...], newest: str | None
) -> None:
    provider, channel = fake()
    provider.locations = [
        Location(str(number), "One", updated_at=datetime.fromisoformat(update) if update else None)
        for number, update in enumerate(updates)
    ]
    answer = channel.get("/merchants/fake/locations").json
    assert set(answer) == {"updated_at", "locations"}
    assert answer["updated_at"] == newest


@pytest.mark.rule("LOC-2")
def test_hours_are_spans_closed_or_unknown(fake: MakeFake) -> None:
    provider, channel = fake()
    night = opening_hours([("sunday", 18 * 60, 2 * 60 + 30), ("monday", 11 * 60, 14 * 60), ("friday", 0, 24 * 60)])
    provider.locations = [
        Location("night", "Night", hours=night),
        Location("partly", "Partly", hours={**unknown_hours(), "monday": (), "tuesday": (Span(0, 1),)}),
    ]
    first, second = (each["hours"] for each in locations(channel))
    assert first == {
        "monday": [{"opens_at": "00:00", "closes_at": "02:30"}, {"opens_at": "11:00", "closes_at": "14:00"}],
        "tuesday": "closed", "wednesday": "closed", "thursday": "closed",
        "friday": [{"opens_at": "00:00", "closes_at": "24:00"}],
        "saturday": "closed",
        "sunday": [{"opens_at": "18:00", "closes_at": "24:00"}],
    }  # fmt: skip
    assert (second["monday"], second["tuesday"]) == ("closed", [{"opens_at": "00:00", "closes_at": "00:01"}])
    assert second["wednesday"] is second["sunday"] is None


@pytest.mark.rule("LOC-2")
def test_hours_over_midnight_are_split_in_two(channel: Channel) -> None:
    night = next(each for each in locations(channel, "sandbox") if each["name"] == "Night Kitchen")
    split = [{"opens_at": "00:00", "closes_at": "06:00"}, {"opens_at": "18:00", "closes_at": "24:00"}]
    assert night["hours"] == dict.fromkeys(WEEKDAYS, split)


@pytest.mark.rule("MENU-1", "MENU-2", "MENU-5", "EP-3")
@pytest.mark.parametrize("location", ["congress", "day", "tokyo"])
def test_a_menu_has_all_its_members(channel: Channel, location: str) -> None:
    answer = channel.get(f"/locations/sandbox.{location}/menu").json
    assert list(answer) == ["menu"]
    check_members(answer["menu"], MENU_TABLE)
    assert answer["menu"]["updated_at"] == "2026-11-01T00:00:00Z"


FULL_MENU = Menu(
    "m", "Menu",
    (
        Category(
            "c", "Category", (
                MenuItem(
                    "i", "Item", 1, "Good.", "https://example.com/i.png", {"integration_a": 1}, ("g",), {"kcal": 5},
                    ({"from": "10:00"},),
                ),
            ), "About.", "cg", ({"from": "11:00"},),
        ),
    ),
    (
        OptionGroup(
            "g", "Group",
            (
                MenuOption(
                    "g:o", "Option", 99, 2, 1, ("g:o:g",), 4, {"integration-b": "x"}, Decimal("0.07"), ({"to": 1},)
                ),
            ),
            1, 2, 1, 1, 1, ("g:o",), 3, ({"to": 2},),
        ),
        OptionGroup("g:o:g", "Inner", (MenuOption("g:o:g:o", "Inner option"),)),
    ),
    (CategoryGroup("cg", "Lunch", ({"to": 3},)),),
    False, 140, datetime(2030, 1, 2, 3, 4, 5, tzinfo=timezone.utc),
)  # fmt: skip


@pytest.mark.rule("MENU-1", "MENU-2", "MENU-5")
def test_a_menus_members_say_what_the_provider_says(fake: MakeFake) -> None:
    provider, channel = fake()
    provider.menu = FULL_MENU
    menu = channel.get("/locations/fake.one/menu").json["menu"]
    check_members(menu, MENU_TABLE)
    assert (menu["allows_special_instructions"], menu["special_instructions_character_limit"]) == (False, 140)
    assert menu["updated_at"] == "2030-01-02T03:04:05Z"
    (category,) = menu["categories"]
    assert "price" not in category["category"]
    (item,) = category["category"].pop("items")
    assert category["category"] == {
        "provider_id": "c", "name": "Category", "description": "About.", "category_group": "cg",
        "timescopes": [{"from": "11:00"}],
    }  # fmt: skip
    assert item["item"] == {
        "provider_id": "i", "name": "Item", "description": "Good.", "price": 1, "image": "https://example.com/i.png",
        "metadata": {"integration_a": 1}, "option_groups": ["g"], "nutrition": {"kcal": 5},
        "timescopes": [{"from": "10:00"}],
    }  # fmt: skip
    group, inner = (each["option_group"] for each in menu["option_groups"])
    (option,) = group.pop("options")
    assert group == {
        "provider_id": "g", "name": "Group", "minimum_choices": 1, "maximum_choices": 2, "minimum_unique_options": 1,
        "maximum_unique_options": 1, "free_choices": 1, "defaults": ["g:o"], "display_order": 3,
        "timescopes": [{"to": 2}],
    }  # fmt: skip
    assert option["option"] == {
        "provider_id": "g:o", "name": "Option", "price": 99, "maximum_quantity": 2, "default_quantity": 1,
        "option_groups": ["g:o:g"], "display_order": 4, "metadata": {"integration-b": "x"}, "tax_rate": 0.07,
        "timescopes": [{"to": 1}],
    }  # fmt: skip
    assert inner["options"][0]["option"]["provider_id"] == "g:o:g:o"


@pytest.mark.rule("MENU-1")
def test_a_menu_that_states_no_change_has_none(fake: MakeFake) -> None:
    _, channel = fake()
    menu = channel.get("/locations/fake.one/menu").json["menu"]
    assert menu["updated_at"] is menu["special_instructions_character_limit"] is None
    assert menu["category_groups"] == menu["option_groups"] == []


@pytest.mark.rule("MENU-3", "MENU-5")
def test_references_resolve_and_paths_are_listed_once_each(channel: Channel) -> None:
    menu = channel.get("/locations/sandbox.congress/menu").json["menu"]
    groups = [each["option_group"] for each in menu["option_groups"]]
    ids = [group["provider_id"] for group in groups]
    options = [each["option"] for group in groups for each in group["options"]]
    items = [each["item"] for category in menu["categories"] for each in category["category"]["items"]]
    assert len(ids) == len(set(ids))
    assert len(options) == len({option["provider_id"] for option in options})
    assert {reference for owner in [*options, *items] for reference in owner["option_groups"]} == set(ids)
    # the dips are below four sides, the heat below each of their aioli
    assert len([path for path in ids if path.endswith(":dips")]) == 4
    assert len([path for path in ids if path.endswith(":dips:aioli:heat")]) == 4
    for group in groups:
        assert all(each["option"]["provider_id"].startswith(f"{group['provider_id']}:") for each in group["options"])
        assert set(group["defaults"]) <= {each["option"]["provider_id"] for each in group["options"]}


def broken(**changes: Any) -> Menu:
    return replace(MENU, **changes)


def with_group(**changes: Any) -> Menu:
    group = OptionGroup("g", "Group", (MenuOption("g:o", "Option"),))
    item = MenuItem("i", "Item", 1, option_groups=("g",))
    return Menu("m", "Menu", (Category("c", "Category", (item,)),), (replace(group, **changes),))


BROKEN = [
    (broken(categories=(Category("mains", "Mains", (MenuItem("sandwich", " ", 1000),)),)),
     "item name can't be blank item_provider_id=sandwich category_provider_id=mains"),
    (broken(categories=(Category("mains", "Mains", (MenuItem("x", "X", 1),) * 2),)), "item_provider_id=x"),
    (broken(categories=(Category("mains", "", ()),)), "category_provider_id=mains"),
    (broken(categories=(Category("mains", "Mains", (MenuItem("x", "X", 1, option_groups=("gone",)),)),)),
     "option_group_provider_id=gone"),
    (broken(categories=(Category("mains", "Mains", (), category_group="gone"),)), "category_group_provider_id=gone"),
    (broken(categories=(Category("mains", "Mains", (MenuItem("x", "X", -1),)),)), "item_provider_id=x"),
    (broken(categories=(Category("mains", "Mains", (MenuItem("x", "X", True),)),)), "item_provider_id=x"),
    (with_group(minimum_choices=3, maximum_choices=2), "minimum_choices 3"),
    (with_group(minimum_unique_options=3, maximum_unique_options=2), "minimum_unique_options 3"),
    (with_group(free_choices=-1), "option_group_provider_id=g"),
    (with_group(minimum_choices=-1), "option_group_provider_id=g"),
    (with_group(maximum_choices=-1), "option_group_provider_id=g"),
    (with_group(defaults=("gone",)), "option_provider_id=gone"),
    (with_group(name=""), "option_group_provider_id=g"),
    (with_group(options=(MenuOption("g:o", "Option", maximum_quantity=-1),)), "option_provider_id=g:o"),
    (with_group(options=(MenuOption("g:o", "Option", default_quantity=-1),)), "option_provider_id=g:o"),
    (broken(special_instructions_character_limit=-1), "menu_provider_id=menu"),
    (with_group(options=(MenuOption("g:o", "Option", option_groups=("g",)),)), "option_group_provider_id=g"),
]  # fmt: skip


@pytest.mark.rule("MENU-3", "MENU-5")
@pytest.mark.parametrize(("menu", "words"), BROKEN)
def test_a_broken_menu_is_withheld_and_reported_with_its_ids(fake: MakeFake, menu: Menu, words: str) -> None:
    provider, channel = fake()
    provider.menu = menu
    answer = channel.get("/locations/fake.one/menu")
    assert answer.refusal == (502, "menu_invalid", None)
    assert words in answer.error["message"]


@pytest.mark.rule("MENU-3")
def test_the_menu_check_prints_every_problem(fake: MakeFake) -> None:
    provider, channel = fake()
    item = MenuItem("x", "", 1, option_groups=("gone",))
    provider.menu = broken(name="", categories=(Category("mains", "Mains", (item, item)),))
    result = channel.app.test_cli_runner().invoke(args=["menu", "check", "fake.one"])
    assert result.exit_code == 1
    lines = result.output.splitlines()
    assert "item name can't be blank item_provider_id=x category_provider_id=mains" in lines
    assert len([line for line in lines if "_provider_id=" in line]) == 6
    provider.menu = MENU
    result = channel.app.test_cli_runner().invoke(args=["menu", "check", "fake.one"])
    assert (result.exit_code, "fake.one: healthy" in result.output) == (0, True)


@pytest.mark.rule("MENU-3", "EP-7")
def test_the_menu_check_says_what_it_cannot_read(fake: MakeFake) -> None:
    provider, channel = fake()
    provider.menu = Unanswered("provider_unavailable", "Nobody there.", sent=False)
    for location, words in (("fake.one", "Nobody there."), ("fake.nowhere", "location_not_found")):
        result = channel.app.test_cli_runner().invoke(args=["menu", "check", location])
        assert result.exit_code == 2
        assert words in result.output


@pytest.mark.rule("MENU-4")
@pytest.mark.parametrize("path", PATHS)
def test_what_has_not_changed_is_not_sent_again(refused: Channel, path: str) -> None:
    first = refused.get(path)
    tag = first.headers["ETag"]
    for named in (tag, f"W/{tag}", f'"other", {tag}', "*"):
        again = refused.get(path, **{"If-None-Match": named})
        assert (again.status, again.json, again.headers["ETag"]) == (304, None, tag)
    for named in ('"other"', 'W/"other"', ""):
        assert refused.get(path, **{"If-None-Match": named}).json == first.json


@pytest.mark.rule("MENU-4")
def test_what_has_changed_is_sent_under_another_tag(fake: MakeFake) -> None:
    provider, channel = fake(LEVELUP_OV_LOCATIONS_TTL="0")
    before = {path: channel.get(path) for path in ("/locations/fake.one/menu", "/merchants/fake/locations")}
    provider.menu = replace(MENU, name="Another menu")
    assert isinstance(provider.locations, list)
    provider.locations = [replace(provider.locations[0], name="Another name")]
    later, channel = fake(LEVELUP_OV_LOCATIONS_TTL="0")
    later.menu, later.locations = provider.menu, provider.locations
    for path, old in before.items():
        new = channel.get(path, **{"If-None-Match": old.headers["ETag"]})
        assert new.status == 200
        assert new.headers["ETag"] != old.headers["ETag"]
        assert new.json != old.json


@pytest.mark.rule("MENU-4")
def test_two_processes_give_the_same_tag(fake: MakeFake) -> None:
    for path in ("/locations/fake.one/menu", "/merchants/fake/locations"):
        tags = {fake()[1].get(path).headers["ETag"] for _ in range(2)}
        assert len(tags) == 1


ONE = Location("one", "One", time_zone="America/New_York")
TWO = replace(ONE, provider_id="two", name="Two", latitude=Decimal("42.36"), hours=opening_hours([("monday", 660, 60)]))
GONE = Unanswered("provider_credentials_refused", "no access", sent=False)


@pytest.mark.rule("LOC-3", "EP-2", "EP-7")
@pytest.mark.parametrize(
    ("failure", "status"),
    [(GONE, 502), (Unanswered("provider_timeout", "slow", sent=True), 504), (Refused("order_refused", "no"), 502)],
)
def test_a_location_that_cannot_be_read_hides_no_other(
    fake: MakeFake, caplog: pytest.LogCaptureFixture, failure: Failure, status: int
) -> None:
    adapter, channel = fake()
    adapter.locations = Listed([ONE], {"two": failure})

    assert [each["provider_id"] for each in locations(channel)] == ["fake.one"]
    assert channel.validate("fake.one").status == 200
    # Not 404: the channel would drop it.
    assert channel.validate("fake.two").status == channel.get("/locations/fake.two/menu").status == status
    assert channel.validate("fake.three").status == 404
    [record] = [each for each in caplog.records if each.getMessage() == "location_not_read"]
    assert (record.account, record.location) == ("fake", "fake.two")
    assert channel.app.extensions["levelup_ov"].routing.directory.failures == {("fake", record.code): 1}


@pytest.mark.rule("LOC-3")
def test_a_location_comes_back_without_help(fake: MakeFake, monkeypatch: pytest.MonkeyPatch) -> None:
    adapter, channel = fake()
    adapter.locations = Listed([ONE], {"two": GONE})
    assert channel.validate("fake.two").status == 502

    adapter.locations = [ONE, TWO]
    monkeypatch.setattr("levelup_ov.ordering.locations.MISS_PAUSE", 0)

    assert channel.validate("fake.two").status == 200
    assert [each["provider_id"] for each in locations(channel)] == ["fake.one", "fake.two"]


@pytest.mark.rule("LOC-3")
@pytest.mark.parametrize("later", [GONE, Listed([ONE], {"two": GONE}), Refused("order_refused", "Bad request.")])
def test_a_list_that_was_read_outlives_a_restart(fake: MakeFake, monkeypatch: pytest.MonkeyPatch, later: Any) -> None:
    store = MemoryStore()
    monkeypatch.setattr("levelup_ov.app._store", lambda settings: store)
    adapter, channel = fake()
    adapter.locations = [ONE, TWO]
    before = locations(channel)

    adapter, channel = fake()
    adapter.locations = later

    assert locations(channel) == before
    assert channel.validate("fake.two").status == 200


@pytest.mark.rule("LOC-3")
def test_a_list_that_was_read_serves_for_a_day(fake: MakeFake, monkeypatch: pytest.MonkeyPatch) -> None:
    store = MemoryStore()
    monkeypatch.setattr("levelup_ov.app._store", lambda settings: store)
    adapter, channel = fake()
    assert len(locations(channel)) == 1
    adapter, channel = fake()
    adapter.locations = GONE
    monkeypatch.setattr("levelup_ov.ordering.locations.STALE_FOR", -1)

    assert channel.get("/merchants/fake/locations").status == 502


@pytest.mark.rule("MENU-6", "MENU-3")
def test_a_menu_of_which_nothing_is_left_is_invalid(fake: MakeFake) -> None:
    adapter, channel = fake()
    adapter.menu = replace(MENU, categories=(Category("c", "C", (MenuItem("soda", "Soda", None),)),))

    answer = channel.get("/locations/fake.one/menu")

    assert (answer.status, answer.error["code"]) == (502, "menu_invalid")
    assert "item_provider_id=soda category_provider_id=c" in answer.error["message"]


@pytest.mark.rule("MENU-6")
def test_what_cannot_be_ordered_is_not_in_the_menu(fake: MakeFake) -> None:
    adapter, channel = fake()
    side = OptionGroup("side", "Side", (MenuOption("side:fries", "Fries", maximum_quantity=1),), minimum_choices=2)
    plate, tea = MenuItem("plate", "Plate", 900, option_groups=("side",)), MenuItem("tea", "Tea", 300)
    open_price = MenuItem("open", "Open", None)
    adapter.menu = replace(MENU, categories=(Category("c", "C", (plate, open_price, tea)),), option_groups=(side,))

    menu = channel.get("/locations/fake.one/menu").json["menu"]

    assert [each["item"]["provider_id"] for each in menu["categories"][0]["category"]["items"]] == ["tea"]
    assert menu["option_groups"] == []


@pytest.mark.rule("ERR-3", "MENU-3")
def test_the_refusal_of_a_read_is_the_providers_fault(fake: MakeFake) -> None:
    adapter, channel = fake()
    adapter.menu = Refused("order_refused", "Bad request.")
    answer = channel.get("/locations/fake.one/menu")
    assert (answer.status, answer.error["code"]) == (502, "provider_protocol_error")
    assert "Bad request." in answer.error["message"]

    adapter, channel = fake("other")
    adapter.locations = Refused("order_refused", "Bad request.")
    for answer in (channel.get("/merchants/other/locations"), channel.validate("other.one")):
        assert (answer.status, answer.error["code"]) == (502, "provider_protocol_error")


@pytest.mark.rule("ERR-3", "LOC-3")
def test_an_older_list_serves_where_a_newer_one_is_refused(fake: MakeFake) -> None:
    adapter, channel = fake(LEVELUP_OV_LOCATIONS_TTL="0")
    assert len(locations(channel)) == 1

    adapter.locations = Refused("order_refused", "Bad request.")

    assert len(locations(channel)) == 1
    assert channel.validate("fake.one").status == 200
