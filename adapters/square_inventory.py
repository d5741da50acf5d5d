"""Square's inventory: the variations of which none is left at a location (MENU-8).

From ``BatchRetrieveInventoryCounts``, ``InventoryCount`` and ``ItemVariationLocationOverrides`` of Square's official
specification (release 2025-08-20); not verified on a live account:

- Square marks a variation that it tracks as sold out when its count reaches zero. The count may say so earlier: it
  changes with each sale. The mark is in the catalog, which is cached, and nothing says that it changes the version.
- Nothing says that an order for more than the count is refused, so that is left to Square.
- A variation without a count in state ``IN_STOCK`` was never counted: nothing is known about it.
- A count is the whole quantity in its state, and the newest come first. Of several for one variation, as when one
  changes between two pages, the one with the newest ``calculated_at`` counts.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from datetime import datetime, timezone
from decimal import Decimal, InvalidOperation
from typing import Any

from levelup_ov.adapter import JSONObject, Session, Setting, broken_protocol

INVENTORY_SETTINGS = {
    "inventory_counts": Setting("yes: sold out is also what Square's inventory counts none of (MENU-8)", default="no")
}
FORMS = {"inventory_counts": "yes|no"}
PATH = "/v2/inventory/counts/batch-retrieve"
MOST_AT_ONCE = 1000
"""Variations that one call asks for; also the most counts of a page, by the specification."""
MOST_CALLS = 5
"""Calls for one location at most; about the rest nothing is known."""
_UNKNOWN = datetime.min.replace(tzinfo=timezone.utc)


def none_left(variations: Sequence[str], location_id: str, session: Session) -> frozenset[str]:
    """Those of ``variations``, ids of the catalog, whose count at the location is zero or below.

    :raises levelup_ov.errors.Unanswered: the answer cannot be understood.
    """
    asked, newest = frozenset(variations), dict[str, tuple[datetime, Decimal]]()
    for each in _counts(variations, location_id, session):
        variation = each.identifier("catalog_object_id")
        if (each.text("state"), each.text("location_id")) != ("IN_STOCK", location_id) or variation not in asked:
            continue
        at = each.instant("calculated_at", _UNKNOWN)
        if variation not in newest or at > newest[variation][0]:
            newest[variation] = at, _quantity(each)
    return frozenset(variation for variation, (_, quantity) in newest.items() if quantity <= 0)


def _counts(variations: Sequence[str], location_id: str, session: Session) -> Iterator[JSONObject]:
    calls = 0
    for start in range(0, len(variations), MOST_AT_ONCE):
        body: dict[str, Any] = {
            "catalog_object_ids": list(variations[start : start + MOST_AT_ONCE]),
            "location_ids": [location_id],
            "states": ["IN_STOCK"],
            "limit": MOST_AT_ONCE,
        }
        while calls < MOST_CALLS:
            calls += 1
            page = session.post(PATH, body, repeatable=True).object()
            if page.checked().value and not (page.has("counts") or page.has("cursor")):
                raise broken_protocol("the provider's answer is not a page of inventory counts")
            yield from page.each("counts", [])
            if not (cursor := page.text("cursor", "")):
                break
            body["cursor"] = cursor


def _quantity(count: JSONObject) -> Decimal:
    with suppress(InvalidOperation):
        if (quantity := Decimal(count.text("quantity"))).is_finite():
            return quantity
    raise broken_protocol(f"the provider's answer needs a number at {count.path}.quantity")
