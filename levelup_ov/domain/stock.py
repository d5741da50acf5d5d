"""What a location has run out of since its menu was read (MENU-8)."""

from __future__ import annotations

from dataclasses import dataclass, replace

from levelup_ov.domain.failure import Failure
from levelup_ov.domain.menu import Menu, MenuItem, MenuOption
from levelup_ov.domain.options import decode_path


@dataclass(frozen=True, slots=True)
class Stock:
    """What is sold out now, and whether the location takes no orders at the moment.

    ``items`` and ``options`` are ids of our menu; with ``by_last_part`` the last parts of them, for a provider that
    names an item or option by one id that is unique, wherever it is on the menu. ``unread``: why more may be sold out
    than is said here; None if nothing is missing.
    """

    items: frozenset[str] = frozenset()
    options: frozenset[str] = frozenset()
    paused: bool = False
    by_last_part: bool = False
    unread: Failure | None = None

    def lacks_item(self, provider_id: str) -> bool:
        """Whether the item with this id of our menu is sold out."""
        return bool(self.items) and self._key(provider_id) in self.items

    def lacks_option(self, provider_id: str) -> bool:
        """Whether the option with this id of our menu is sold out."""
        return bool(self.options) and self._key(provider_id) in self.options

    def _key(self, provider_id: str) -> str:
        if not self.by_last_part:
            return provider_id
        try:
            return decode_path(provider_id)[-1]
        except ValueError:
            return provider_id


def in_stock(menu: Menu, stock: Stock) -> Menu:
    """``menu`` without what is sold out; what cannot be chosen any more is up to ``orderable`` (MENU-6)."""
    if not stock.items and not stock.options:
        return menu
    categories = tuple(
        replace(category, items=tuple(item for item in category.items if not _lacks(stock, item)))
        for category in menu.categories
    )
    groups = tuple(
        replace(group, options=options, defaults=tuple(key for key in group.defaults if not stock.lacks_option(key)))
        if len(options := tuple(option for option in group.options if not _lacks(stock, option))) < len(group.options)
        else group
        for group in menu.option_groups
    )
    return replace(menu, categories=tuple(each for each in categories if each.items), option_groups=groups)


def _lacks(stock: Stock, thing: MenuItem | MenuOption) -> bool:
    known = stock.lacks_item if isinstance(thing, MenuItem) else stock.lacks_option
    return known(thing.provider_id)
