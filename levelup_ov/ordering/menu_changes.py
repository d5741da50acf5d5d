"""What changed between two looks at a location's menu, as events (MENU-9). Pure."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import asdict, replace

from levelup_ov.domain.event import Event
from levelup_ov.domain.menu import Menu
from levelup_ov.domain.stock import Stock
from levelup_ov.ledger.menu_watches import SeenMenu
from levelup_ov.ordering.reported_orders import LONGEST_ID, UNSTORABLE

MOST_AWAY = 1000
"""How many sold-out ids that have left the menu are remembered, because some never come back."""


def kept_version(version: str | None) -> str | None:
    """A provider's version as it is recorded and told: by its digest if it is too long, or no text for a database."""
    if version is None or len(version) <= LONGEST_ID and not UNSTORABLE.search(version):
        return version
    return _digest(version)


def stock_digest(stock: Stock) -> str:
    """The digest of what is sold out or paused."""
    return _digest([sorted(stock.items), sorted(stock.options), stock.paused])


def seen_menu(version: str | None, menu: Menu, stock: Stock, before: SeenMenu | None) -> SeenMenu:
    """What a look found: ``menu`` before the stock is applied to it; ``before``, what the last one did.

    What left the menu while it was sold out is not on sale: it stays sold out until it is back.
    """
    items = {item.provider_id for category in menu.categories for item in category.items}
    options = {option.provider_id for group in menu.option_groups for option in group.options}
    gone = {id for id in items if stock.lacks_item(id)} | {id for id in options if stock.lacks_option(id)}
    gone.update(sorted({*(before.sold_out if before else ())} - items - options)[:MOST_AWAY])
    # A new time alone is not a change that a channel has to read.
    digest = _digest(asdict(replace(menu, updated_at=None)))
    return SeenMenu(version, digest, stock_digest(stock), tuple(sorted(gone)), stock.paused)


def changes(account: str, location: str, before: SeenMenu | None, after: SeenMenu) -> Iterator[Event]:
    """One event for each change; nothing for the first look, which has nothing to compare with."""
    if before is None:
        return
    if before.menu != after.menu:
        yield Event("menu.changed", account, location, location, {"version": after.version or after.menu})
    for id in sorted({*before.sold_out} ^ {*after.sold_out}):
        yield Event("item.sold_out", account, location, location, {"item_id": id, "sold_out": id in after.sold_out})
    if before.paused != after.paused:
        yield Event("location.paused", account, location, location, {"paused": after.paused})


def _digest(content: object) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True, default=str).encode()).hexdigest()[:32]
