"""What Square's catalog says of stock, in the cached pages and changed since (MENU-8)."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from levelup_ov.errors import Unanswered
from tests.providers.test_square import BOSTON, Bench
from tests.servers.square import AIRPORT, Fault

pytestmark = pytest.mark.rule("MENU-8")
SEARCH, COUNTS = "POST /v2/catalog/search", "POST /v2/inventory/counts/batch-retrieve"
COUNTS_PATH = COUNTS.removeprefix("POST ")


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


def count(variation: str, quantity: str, **more: str) -> dict[str, str]:
    return {
        "catalog_object_id": variation, "catalog_object_type": "ITEM_VARIATION", "state": "IN_STOCK",
        "location_id": BOSTON, "quantity": quantity, "calculated_at": "2026-11-29T12:00:00Z", **more,
    }  # fmt: skip


def counting(**tracked: Any) -> Bench:
    """A seller with inventory, whose account reads counts; ``tracked``: more members of variations."""
    bench = Bench(inventory_counts="yes")
    for each in bench.square.catalog:
        for variation in each.get("item_data", {}).get("variations", ()):
            variation["item_variation_data"].update(tracked.get(variation["id"], {}))
    return bench


def sold_out(bench: Bench) -> frozenset[str]:
    """What the account's stock in Boston lacks, beside what the fixture's catalog marks."""
    found = bench.adapter.show_stock(bench.locations[BOSTON], bench.new_session())
    assert bench.square.violations == []
    return found.items - {"VICED"}


TRACKED = {"track_inventory": True}


def test_what_is_counted_as_none_is_sold_out() -> None:
    here = {"track_inventory": False, "location_overrides": [{"location_id": BOSTON, "track_inventory": True}]}
    away = {"track_inventory": True, "location_overrides": [{"location_id": BOSTON, "track_inventory": False}]}
    bench = counting(
        VBURGER=TRACKED, VCOOKIE=here, VWATER=away, VSMALL=TRACKED, VLARGE=TRACKED, VMUG=TRACKED, VAWAY=TRACKED,
        VICED={**TRACKED, "location_overrides": [{"location_id": BOSTON, "sold_out": True}]},
        VCARD=TRACKED, VOLD=TRACKED, VPRETZEL=TRACKED, VBEANS=TRACKED, VKEG=TRACKED,
    )  # fmt: skip
    bench.square.counts = [
        count("VBURGER", "0"), count("VCOOKIE", "-2"), count("VWATER", "0"), count("VSMALL", "0.00001"),
        count("VLARGE", "0", location_id=AIRPORT), count("VAWAY", "0", state="WASTE"), count("VAWAY", "5"),
        count("VICED", "7"), count("VMUG", "0"),
    ]  # fmt: skip
    assert sold_out(bench) == {"VBURGER", "VCOOKIE"}
    # Only what is on the menu and counted is asked for; two counts on a page.
    asked = [body for body in bench.square.bodies if body and "catalog_object_ids" in body]
    assert asked[0]["catalog_object_ids"] == ["VAWAY", "VBURGER", "VCOOKIE", "VLARGE", "VSMALL"]
    assert bench.square.calls.count(COUNTS) == len(asked) == 2


def test_counts_are_read_only_where_they_are_asked_for() -> None:
    bench = Bench()
    bench.square.counts = [count("VBURGER", "0")]
    assert sold_out(bench) == frozenset() and COUNTS not in bench.square.calls
    # Nothing of this seller is counted.
    bench = counting()
    assert sold_out(bench) == frozenset() and COUNTS not in bench.square.calls
    with pytest.raises(ValueError, match="inventory_counts"):
        Bench(inventory_counts="on")


def test_the_calls_for_counts_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    names = ("VBURGER", "VCOOKIE", "VSMALL", "VLARGE", "VWATER", "VAWAY")
    bench = counting(**dict.fromkeys(names, TRACKED))
    bench.square.counts = [count(name, "0") for name in names]
    bench.square.counts_page = 1
    assert len(sold_out(bench)) == bench.square.calls.count(COUNTS) == 5
    bench.square.calls.clear()
    monkeypatch.setattr("adapters.square_inventory.MOST_AT_ONCE", 4)
    bench.square.counts_page = 4
    assert len(sold_out(bench)) == 6 and bench.square.calls.count(COUNTS) == 2


def test_what_is_stocked_in_another_unit_is_not_counted() -> None:
    bench = counting(VBURGER={**TRACKED, "stockable": False})
    bench.square.counts = [count("VBURGER", "0")]
    assert sold_out(bench) == frozenset() and COUNTS not in bench.square.calls


@pytest.mark.parametrize("quantities", [("5", "0"), ("0", "5")])
def test_the_newest_of_two_counts_counts(quantities: tuple[str, str]) -> None:
    """One that changed between two pages is on both of them."""
    bench = counting(VBURGER=TRACKED)
    bench.square.counts_page = 1
    older, newer = quantities
    times = {"2026-11-29T12:00:00Z": older, "2026-11-29T13:00:00Z": newer}
    for order in (list, reversed):
        bench.square.counts = [count("VBURGER", times[at], calculated_at=at) for at in order(list(times))]
        assert sold_out(bench) == ({"VBURGER"} if newer == "0" else frozenset())


FORBIDDEN = {"errors": [{"category": "AUTHENTICATION_ERROR", "code": "FORBIDDEN", "detail": "no permission"}]}


@pytest.mark.parametrize(("fault", "code"), [
    (Fault(COUNTS_PATH, status=403, body=FORBIDDEN), "provider_credentials_refused"),
    (Fault(COUNTS_PATH, status=500), "provider_unavailable"),
    (Fault(COUNTS_PATH, lost="before"), "provider_unavailable"),
], ids=["forbidden", "broken", "no answer"])  # fmt: skip
def test_marks_are_known_without_counts(fault: Fault, code: str) -> None:
    bench = counting(VBURGER=TRACKED)
    bench.menu()
    changed(bench, sold_out=True)
    bench.square.faults.extend([fault] * 18)
    read = [bench.adapter.show_stock(bench.locations[BOSTON], bench.new_session()) for _ in range(6)]
    # However often the counts fail, the marks are read.
    assert {stock.items for stock in read} == {frozenset({"VICED", "VCOOKIE"})}
    assert read[0].unread is not None and read[0].unread.code == code and all(stock.unread for stock in read)


@pytest.mark.parametrize("answer", [
    {"counts": [{**count("VBURGER", "many")}]}, {"counts": [{**count("VBURGER", "NaN")}]}, {"counts": [{}]},
    {"counts": "none"}, [], {"objects": []},
], ids=["words", "NaN", "empty", "text", "list", "other"])  # fmt: skip
def test_counts_that_cannot_be_understood_are_none(answer: Any) -> None:
    bench = counting(VBURGER=TRACKED)
    bench.square.change = lambda path, given: answer if path.endswith("batch-retrieve") else given
    stock = bench.adapter.show_stock(bench.locations[BOSTON], bench.new_session())
    assert (stock.items, stock.unread and stock.unread.code) == ({"VICED"}, "provider_protocol_error")
