"""Toast's stock API, against the stand-in (MENU-8)."""

from __future__ import annotations

from typing import Any

import pytest

from levelup_ov.errors import Unanswered
from tests.providers.test_toast import BURGER, SODA, Bench, toast
from tests.servers.toast import BOSTON, ToastServer

__all__ = ["toast"]

pytestmark = pytest.mark.rule("MENU-8")
INVENTORY = "/stock/v1/inventory"


def test_items_and_modifiers_that_are_out_of_stock_are_known(toast: ToastServer) -> None:
    bench = Bench(toast)
    location = bench.adapter.list_locations(bench.new_session())[0]
    toast.calls.clear()
    toast.sold_out |= {"soda", "mayo"}
    stock = bench.adapter.show_stock(location, bench.new_session())
    assert stock.lacks_item(SODA) and stock.lacks_option("side:fries:dip@2:mayo") and not stock.lacks_item(BURGER)
    # The restaurant's configuration is cached.
    assert not stock.paused and dict(toast.calls) == {f"GET {INVENTORY}": 1}
    toast.restaurants[BOSTON]["onlineOrdering"]["enabled"] = False
    bench.forget_answers()
    assert bench.adapter.show_stock(location, bench.new_session()).paused


@pytest.mark.rule("MENU-9")
def test_the_version_of_a_menu_is_its_last_update(toast: ToastServer) -> None:
    bench = Bench(toast)
    location = bench.adapter.list_locations(bench.new_session())[0]
    first = bench.adapter.show_menu_version(location, bench.new_session())
    toast.menus["lastUpdated"] = "2026-11-20T18:00:00.000+0000"
    assert bench.adapter.show_menu_version(location, bench.new_session()) == toast.menus["lastUpdated"] != first
    assert toast.calls["GET /menus/v3/metadata"] == 2
    toast.overrides["/menus/v3/metadata"] = {"restaurantGuid": "another", "lastUpdated": "2026"}
    with pytest.raises(Unanswered, match="another restaurant"):
        bench.adapter.show_menu_version(location, bench.new_session())


@pytest.mark.parametrize("answer", [{"guid": "soda"}, [{"status": "OUT_OF_STOCK"}], [{"guid": "soda"}], ["soda"]])
def test_a_stock_that_cannot_be_understood_is_none(toast: ToastServer, answer: Any) -> None:
    bench = Bench(toast)
    location = bench.adapter.list_locations(bench.new_session())[0]
    toast.overrides[INVENTORY] = answer
    with pytest.raises(Unanswered):
        bench.adapter.show_stock(location, bench.new_session())
