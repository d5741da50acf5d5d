"""Names and prices of the dishes of a location, for providers that name no price of a line."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field

import msgspec

from levelup_ov.domain.menu import Menu
from levelup_ov.domain.money import Cents
from levelup_ov.ordering.request_context import RequestContext
from levelup_ov.ordering.service import Service
from levelup_ov.sessions.model import Line, PricedOption

KEPT_FOR = 60.0
"""Seconds for which names and prices are used without reading the menu again."""
MOST_LOCATIONS = 256
"""How many locations' prices a process keeps."""
MOST_DISHES = 1024
"""How many dishes with their options are kept of a location."""


class ChosenDish(msgspec.Struct, frozen=True):
    """A dish with its options, in the words of the menu. What is not there has its id as its name.

    ``base_price`` is the dish alone; ``price`` has every option at its full price. Each is None if something of it has
    no price on the menu.
    """

    name: str
    base_price: Cents | None
    options: tuple[PricedOption, ...]
    price: Cents | None


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
    _dishes: dict[tuple[str, tuple[str, ...]], ChosenDish] = field(default_factory=dict, repr=False)

    def dish(self, line: Line) -> ChosenDish:
        """The dish of a line. The same ones are ordered again and again."""
        key = line.item_id, line.options
        if (known := self._dishes.get(key)) is None:
            if len(self._dishes) >= MOST_DISHES:
                self._dishes.clear()
            known = self._dishes[key] = self._dish(*key)
        return known

    def _dish(self, id: str, options: tuple[str, ...]) -> ChosenDish:
        base, prices = self.items.get(id), [self.options.get(each) for each in options]
        known = [each for each in prices if each is not None]
        price = base + sum(known) if base is not None and len(known) == len(prices) else None
        chosen = tuple(self.chosen_options.get(each) or PricedOption(each, each, 0) for each in options)
        return ChosenDish(self.names.get(id, id), base, chosen, price)


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
            known = prices_of(self._service.menus.read(location_id, context), read_at)
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
