"""Menu items as products of the shopping face: those that need no options, each with one variant. Pure (UCP-11)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from levelup_ov.domain.menu import Category, Menu, MenuItem
from levelup_ov.domain.money import Cents
from levelup_ov.ordering.locations import RoutedLocation
from levelup_ov.schemas.agent_catalog import SearchRequest
from levelup_ov.ucp.baskets import SEPARATOR

EVERYTHING = "*"
"""The query that matches every product."""

_WORD = re.compile(r"\w+")


@dataclass(frozen=True, slots=True)
class Product:
    """An item of a location's menu; ``needs_options``: it cannot be ordered through the shopping face."""

    id: str
    item: MenuItem
    category: Category
    place: RoutedLocation
    price: Cents
    needs_options: bool

    def matches(self, request: SearchRequest) -> bool:
        """Whether a search finds it: every word of the query starts a word of it."""
        if request.categories and self.category.name not in request.categories:
            return False
        if not request.lowest <= self.price <= request.highest:
            return False
        texts = (self.item.name, self.item.description or "", self.category.name, self.place.location.name)
        own = {word for text in texts for word in _words(text)}
        wanted = () if request.query == EVERYTHING else _words(request.query)
        return all(any(each.startswith(word) for each in own) for word in wanted) and self._is_found_by(request.query)

    def _is_found_by(self, query: str) -> bool:
        # A query of signs alone is a query that nothing matches.
        return query in ("", EVERYTHING) or any(True for _ in _words(query))

    def wire(self, inputs: Iterable[str] = ()) -> dict[str, Any]:
        """The product; ``inputs``: the ids of a lookup that led to it."""
        description = {"plain": self.item.description or self.item.name}
        price = {"amount": self.price, "currency": self.place.location.currency}
        categories = [{"value": self.category.name}]
        variant: dict[str, Any] = {
            "id": self.id,
            "title": self.item.name,
            "description": description,
            "categories": categories,
            "price": price,
            "availability": {"available": True, "status": "in_stock"},
            "seller": {"name": self.place.location.name},
        }
        if found := [{"id": id, "match": "exact"} for id in inputs]:
            variant["inputs"] = found
        product: dict[str, Any] = {
            "id": self.id,
            "title": self.item.name,
            "description": description,
            "categories": categories,
            "price_range": {"min": price, "max": price},
            "variants": [variant],
        }
        if self.item.image:
            product["media"] = [{"type": "image", "url": self.item.image}]
        return product


def products(menu: Menu, place: RoutedLocation) -> Iterator[Product]:
    """The items of a menu, in its order."""
    demanding = {
        group.provider_id
        for group in menu.option_groups
        if group.minimum_choices > 0 or (group.minimum_unique_options or 0) > 0
    }
    for category in menu.categories:
        for item in category.items:
            if item.price is not None:
                id = f"{place.id}{SEPARATOR}{item.provider_id}"
                yield Product(id, item, category, place, item.price, not demanding.isdisjoint(item.option_groups))


def _words(text: str) -> Iterator[str]:
    return (match[0] for match in _WORD.finditer(text.casefold()))
