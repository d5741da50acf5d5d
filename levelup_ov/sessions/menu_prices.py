"""Names and prices of the dishes of a location, for providers that name no price of a line."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass

from levelup_ov.domain.menu import Menu
from levelup_ov.domain.money import Cents
from levelup_ov.ordering.service import RequestContext, Service
from levelup_ov.sessions.model import Line, PricedOption

KEPT_FOR = 60.0
"""Seconds for which names and prices are used without reading the menu again."""
MOST_LOCATIONS = 256
"""How many locations' prices a process keeps."""


@dataclass(frozen=True, slots=True)
class MenuPrices:
    """The names and prices of items and options, by their ids, read at a time of the monotonic clock.

    ``options`` are prices; ``chosen_options`` has every option as it is in a line of a basket.
    """

    names: Mapping[str, str]
    items: Mapping[str, Cents]
    options: Mapping[str, Cents]
    chosen_options: Mapping[str, PricedOption]
    read_at: float

    def chosen(self, line: Line) -> tuple[PricedOption, ...]:
        """The options of a line; one that is not on the menu has its id as its name, and no price."""
        known = self.chosen_options
        try:
            return tuple([known[id] for id in line.options])
        except KeyError:
            return tuple([known.get(id) or PricedOption(id, id, 0) for id in line.options])

    def subtotal(self, line: Line) -> Cents | None:
        """A line's price, with every option at its full price; None: something of it is not on the menu."""
        try:
            return (self.items[line.item_id] + sum([self.options[id] for id in line.options])) * line.quantity
        except KeyError:
            return None


class KnownMenuPrices:
    """The prices of the menus that ``service`` shows."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._known: dict[str, MenuPrices] = {}

    def of(self, location_id: str, context: RequestContext, *, read_after: float | None = None) -> MenuPrices:
        """The prices of a location, at most :data:`KEPT_FOR` seconds old, or read after ``read_after``.

        :raises Failure: the menu cannot be read.
        """
        known = self._known.get(location_id)
        after = time.monotonic() - KEPT_FOR if read_after is None else read_after
        if known is None or known.read_at < after:
            read_at = time.monotonic()
            known = prices_of(self._service.read_menu(location_id, context), read_at)
            if len(self._known) >= MOST_LOCATIONS:
                self._known.clear()
            self._known[location_id] = known
        return known


def prices_of(menu: Menu, read_at: float) -> MenuPrices:
    """The prices of a menu's orderable part."""
    items = [item for category in menu.categories for item in category.items]
    options = [option for group in menu.option_groups for option in group.options]
    names = {option.provider_id: option.name for option in options}
    prices = {option.provider_id: option.price for option in options if option.price is not None}
    return MenuPrices(
        {item.provider_id: item.name for item in items},
        {item.provider_id: item.price for item in items if item.price is not None},
        prices,
        {id: PricedOption(id, name, prices.get(id, 0)) for id, name in names.items()},
        read_at,
    )
