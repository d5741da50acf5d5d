"""What Square's catalog says of stock, in the cached pages and changed since (MENU-8)."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from levelup_ov.errors import Unanswered
from tests.providers.test_square import BOSTON, Bench

pytestmark = pytest.mark.rule("MENU-8")
SEARCH = "POST /v2/catalog/search"


def changed(bench: Bench, sold_out: bool, **more: Any) -> None:
    """The cookie is marked as sold out, or not any more, after the catalog was read."""
    cookie = copy.deepcopy(next(each for each in bench.square.catalog if each["id"] == "ICOOKIE"))
    override = {"location_id": BOSTON, "sold_out": sold_out, **more}
    cookie["item_data"]["variations"][0]["item_variation_data"]["location_overrides"] = [override]
    bench.square.changed = [cookie]


def test_what_sells_out_after_the_catalog_was_read_is_known() -> None:
    bench = Bench()
    bench.menu()
    bench.square.calls.clear()
    location = bench.locations[BOSTON]
    before = bench.adapter.show_stock(location, bench.new_session())
    # The rest of the fixture's catalog is sold out for good.
    assert before.lacks_item("VICED") and before.lacks_option("MSIDE:OSOUP")
    assert not before.lacks_item("VCOOKIE") and not before.lacks_option("MSIDE:OFRIES")
    changed(bench, sold_out=True)
    after = bench.adapter.show_stock(location, bench.new_session())
    assert after.items - before.items == {"VCOOKIE"} and after.options == before.options
    changed(bench, sold_out=True, sold_out_valid_until="2020-01-01T00:00:00Z")
    assert not bench.adapter.show_stock(location, bench.new_session()).lacks_item("VCOOKIE")
    # With a cached catalog it is one call, held to the official specification.
    assert bench.square.calls == [SEARCH] * 3 and bench.square.violations == []


@pytest.mark.rule("MENU-9")
def test_the_version_of_a_catalog_is_when_it_was_updated() -> None:
    bench = Bench()
    location = bench.locations[BOSTON]
    first = bench.adapter.show_menu_version(location, bench.new_session())
    bench.square.latest_time = "2026-11-22T18:00:00Z"
    assert bench.adapter.show_menu_version(location, bench.new_session()) != first
    assert bench.square.calls == [SEARCH] * 2 and bench.square.violations == []


@pytest.mark.parametrize("answer", [{"objects": [{"type": "ITEM"}]}, {"objects": "none"}, [], {"errors": []}])
def test_a_stock_that_cannot_be_understood_is_none(answer: Any) -> None:
    bench = Bench()
    bench.square.change = lambda path, given: answer if path.endswith("search") else given
    with pytest.raises(Unanswered):
        bench.adapter.show_stock(bench.locations[BOSTON], bench.new_session())
