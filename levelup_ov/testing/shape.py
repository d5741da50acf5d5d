"""An adapter's declarations, locations and menus (LOC, MENU)."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import get_args

import pytest
import pytz

from levelup_ov.adapter import INTERFACE_VERSION, Adapter, Recovery, Setting
from levelup_ov.domain import menu as menus
from levelup_ov.domain.location import WEEKDAYS, Fulfillment, Location
from levelup_ov.domain.menu import Menu, MenuItem, MenuOption
from levelup_ov.domain.options import DELIMITER, decode_path
from levelup_ov.domain.orderable import orderable
from levelup_ov.domain.tender import TenderKind
from levelup_ov.testing.harness import Bench
from levelup_ov.testing.provider import Sample


class Shape:
    """Declarations, locations and menus."""

    @pytest.mark.rule("PAY-3", "EP-12", "SUB-5")
    def test_what_the_adapter_declares_holds_together(self, bench: Bench) -> None:
        adapter = bench.provider.adapter
        version = getattr(adapter, "interface_version", None)
        assert version == INTERFACE_VERSION, (
            f"the adapter was built for interface version {version}: write interface_version = {INTERFACE_VERSION} "
            "into its class, once it passes this suite"
        )
        tenders: frozenset[str] = getattr(adapter, "tenders", frozenset())
        assert tenders and tenders <= set(get_args(TenderKind)), "PAY-3: declare `tenders`, how orders can be paid"
        assert adapter.fulfillments and adapter.fulfillments <= set(get_args(Fulfillment)), "EP-12: `fulfillments`"
        assert adapter.recovery in get_args(Recovery), "SUB-5: `recovery` is look_up or replay"
        overridden = adapter.find_order is not Adapter.find_order
        assert adapter.recovery == "replay" or overridden, (
            "SUB-5: write find_order, or declare recovery = 'replay' where the provider promises the same order for "
            "the same reference"
        )
        for name, setting in adapter.settings.items():
            assert isinstance(setting, Setting) and setting.meaning, f"the setting {name!r} needs a meaning"

    @pytest.mark.rule("LOC-1", "LOC-2", "EP-7", "PAY-3")
    def test_locations(self, bench: Bench) -> None:
        locations = bench.do(lambda adapter, session: adapter.list_locations(session)).answer
        assert locations, "LOC-1: there are no locations"
        ids = [location.provider_id for location in locations]
        assert len(set(ids)) == len(ids), f"LOC-1: ids of locations are not unique: {ids}"
        for location in locations:
            _check_location(bench, location)

    @pytest.mark.rule("MENU-1", "MENU-2", "MENU-3", "MENU-5", "ITEM-3", "ITEM-4", "MONEY-1")
    def test_menu(self, bench: Bench, sample: Sample) -> None:
        menu = _menu(bench, sample)
        problems = menus.check(menu)
        assert problems == (), "MENU-3: " + "; ".join(problems[:5])
        assert menu.categories and any(category.items for category in menu.categories), "MENU-1: the menu is empty"
        _check_time("MENU-1: updated_at", menu.updated_at)
        for group in menu.option_groups:
            for option in group.options:
                inside = option.provider_id.rpartition(DELIMITER)[0] == group.provider_id
                assert inside and len(_ids(option.provider_id)) % 2 == 0, (
                    f"ITEM-3: option {option.provider_id!r} must be its group's id {group.provider_id!r}, a colon and "
                    "its own id, as encode_path(group, option) makes it"
                )

    @pytest.mark.rule("MENU-1", "META-11")
    def test_each_location_has_its_own_menu(self, bench: Bench) -> None:
        bench.needs_reactions()
        locations = [place.location for place in bench.places().values()][:2]
        adapter = bench.adapter()
        for location in locations:
            alone = bench.menu(location.provider_id).answer
            shown = bench.do(lambda adapter, session: adapter.show_menu(location, session), adapter=adapter)  # noqa: B023
            assert shown.answer.categories == alone.categories, (
                f"MENU-1: the menu of {location.name} is another one after that of {locations[0].name} was shown: "
                "what does the adapter remember?"
            )

    @pytest.mark.rule("ITEM-1", "MENU-5")
    def test_what_is_ordered_is_in_the_menu(self, bench: Bench, sample: Sample) -> None:
        menu = _menu(bench, sample)
        items = {item.provider_id: item for category in menu.categories for item in category.items}
        groups = {group.provider_id: group for group in menu.option_groups}
        for item in sample.items:
            assert item.provider_id in items, f"ITEM-1: the menu has no item {item.provider_id!r}"
            open_to: list[MenuItem | MenuOption] = [items[item.provider_id]]
            chosen = {option.provider_id for option in item.options}
            reached: set[str] = set()
            while open_to:
                for group_id in open_to.pop().option_groups:
                    options = [option for option in groups[group_id].options if option.provider_id in chosen - reached]
                    reached |= {option.provider_id for option in options}
                    open_to += options
            assert chosen == reached, f"MENU-5: the menu does not lead from {item.provider_id} to {chosen - reached}"


def _menu(bench: Bench, sample: Sample) -> Menu:
    return orderable(bench.menu(sample.location).answer)


def _check_location(bench: Bench, location: Location) -> None:
    name = location.provider_id
    assert name and location.name.strip(), f"LOC-1: location {name!r} has no id or no name"
    zone = location.time_zone or bench.account.time_zone
    assert zone in pytz.all_timezones_set, (
        f"LOC-1: the time zone {zone!r} of location {name} is not one of the IANA database; "
        "where the provider does not say, the account does"
    )
    assert set(location.hours) == set(WEEKDAYS), f"LOC-2: hours of location {name} need all seven days"
    for coordinate in (location.latitude, location.longitude):
        assert coordinate is None or isinstance(coordinate, Decimal), (
            f"LOC-1: {coordinate!r} of {name} is not a Decimal"
        )
    tenders = bench.provider.adapter.tenders
    assert location.tenders is None or location.tenders <= tenders, (
        f"PAY-3: location {name} takes {set(location.tenders)}, the adapter declares {set(tenders)}"
    )
    _check_time(f"LOC-1: updated_at of {name}", location.updated_at)


def _check_time(what: str, instant: datetime | None) -> None:
    assert instant is None or instant.tzinfo is not None, f"{what} is a naive time: {instant}"


def _ids(path: str) -> tuple[str, ...]:
    try:
        return decode_path(path)
    except ValueError as error:
        raise AssertionError(f"ITEM-4: {error}; make ids with encode_path") from None
