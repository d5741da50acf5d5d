"""A menu is made and written once, for as long as nothing has changed that it is made of."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest

from levelup_ov.domain.stock import Stock
from tests.channel import Channel
from tests.contract.conftest import MakeFake
from tests.contract.fakes import MENU, FakeAdapter

pytestmark = pytest.mark.rule("MENU-4")

PATH = "/locations/fake.one/menu"


@pytest.fixture
def passes(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[float], None]]:
    """Lets time pass for the cache."""
    passed, clock = [0.0], time.time
    monkeypatch.setattr(time, "time", lambda: clock() + sum(passed))
    yield passed.append


class Kitchen:
    """A fake provider with a stock, whose menu is cached for ``seconds``; ``made`` counts how often it was made."""

    def __init__(self, fake: MakeFake, seconds: float = 60.0) -> None:
        # The stock is read for each request.
        provider, self.channel = fake(LEVELUP_OV_LOCATIONS_TTL="0", LEVELUP_OV_STOCK_TTL="0.000001")
        self.provider: FakeAdapter = provider
        self.stock, self.seconds, self.made = Stock(), seconds, 0
        provider.reports_stock = True  # type: ignore[misc]
        provider.show_stock = lambda *_: self.stock  # type: ignore[method-assign]
        provider.show_menu = self._show_menu  # type: ignore[method-assign]

    def _show_menu(self, _location: Any, session: Any) -> Any:
        session.freshness.until = time.time() + self.seconds
        self.made += 1
        return self.provider.menu

    def menu(self) -> str:
        return str(self.channel.get(PATH).json)


def test_it_is_the_same_until_it_is_not_fresh(fake: MakeFake, passes: Callable[[float], None]) -> None:
    kitchen = Kitchen(fake)
    first = kitchen.channel.get(PATH)
    kitchen.provider.menu = replace(MENU, name="Another menu")
    again = kitchen.channel.get(PATH)
    assert (again.json, again.headers["ETag"], kitchen.made) == (first.json, first.headers["ETag"], 1)
    assert kitchen.channel.get(PATH, **{"If-None-Match": first.headers["ETag"]}).status == 304
    assert kitchen.made == 1
    passes(61)
    assert "Another menu" in kitchen.menu()
    assert kitchen.made == 2


def test_what_is_sold_out_disappears_at_once(fake: MakeFake) -> None:
    kitchen = Kitchen(fake)
    assert "'sandwich'" in kitchen.menu()
    kitchen.stock = Stock(frozenset({"sandwich"}))
    assert "'sandwich'" not in kitchen.menu()
    kitchen.stock = Stock()
    assert "'sandwich'" in kitchen.menu()


def test_a_location_that_changes_has_its_menu_made_again(fake: MakeFake) -> None:
    kitchen = Kitchen(fake)
    kitchen.menu()
    assert isinstance(kitchen.provider.locations, list)
    kitchen.provider.locations = [replace(kitchen.provider.locations[0], name="Another name")]
    kitchen.menu()
    assert kitchen.made == 2


def test_a_menu_that_is_not_cached_is_made_each_time(fake: MakeFake) -> None:
    kitchen = Kitchen(fake, seconds=0)
    assert kitchen.menu() == kitchen.menu()
    assert kitchen.made == 2


def test_a_menu_from_the_cache_of_a_provider_is_made_once(channel: Channel, monkeypatch: pytest.MonkeyPatch) -> None:
    adapter = channel.app.extensions["levelup_ov.settings"].accounts["sandbox"]
    made: list[object] = []
    show = adapter.show_menu
    monkeypatch.setattr(adapter, "show_menu", lambda *given: made.append(given) or show(*given))
    first, again = (channel.get("/locations/sandbox.congress/menu") for _ in range(2))
    assert (first.status, again.json, len(made)) == (200, first.json, 1)
