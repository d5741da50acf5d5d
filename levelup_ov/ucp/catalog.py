"""The catalog of the shopping face, and what UCP has no word for yet: establishments and their menus (UCP-11)."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any

from levelup_ov.config import Settings
from levelup_ov.domain.failure import Failure
from levelup_ov.ordering.locations import RoutedLocation
from levelup_ov.ordering.service import Service
from levelup_ov.schemas import agent_catalog as requests
from levelup_ov.schemas import responses
from levelup_ov.transport.deadline import Deadline
from levelup_ov.ucp.baskets import SEPARATOR
from levelup_ov.ucp.food import establishment
from levelup_ov.ucp.operations import AgentCall, in_words_of_ucp
from levelup_ov.ucp.problems import Message, Rejected, outcome
from levelup_ov.ucp.products import Product, products
from levelup_ov.ucp.profile import envelope
from levelup_ov.ucp.versions import LOOKUP, SEARCH

MOST_MENUS = 5
"""Menus that one search reads; the next page goes on with the next one."""
MOST_IDS = 50
"""Ids of one lookup."""


class Catalog:
    """Products of all locations of all accounts."""

    def __init__(self, service: Service, settings: Settings) -> None:
        self._service = service
        self._settings = settings

    def search(self, call: AgentCall, body: Any) -> dict[str, Any]:
        """The products that match, from page to page. A location that cannot be read is left out."""
        call.negotiated.require(SEARCH)
        self._begin(call)
        with in_words_of_ucp():
            request = requests.read_search(body)
            found, cursor = self._page(call, request)
        pagination = {"has_next_page": False} if cursor is None else {"has_next_page": True, "cursor": cursor}
        return {
            "ucp": envelope("search", call.negotiated),
            "products": [product.wire() for product in found],
            "pagination": pagination,
        }

    def lookup(self, call: AgentCall, body: Any) -> dict[str, Any]:
        """The products with these ids; what there is not is a message."""
        call.negotiated.require(LOOKUP)
        self._begin(call)
        with in_words_of_ucp():
            ids = requests.read_lookup(body)
            if len(ids) > MOST_IDS:
                words = f"expected at most {MOST_IDS} ids"
                raise Rejected("request_too_large", words, 400, path="$.ids")
            found = self._find(call, ids)
        messages = [each.wire() for id, position in ids.items() if (each := _why_not(found.get(id), id, position))]
        return {
            "ucp": envelope("lookup", call.negotiated),
            "products": [found[id].wire([id]) for id in ids if id in found and not found[id].needs_options],
            **({"messages": messages} if messages else {}),
        }

    def product(self, call: AgentCall, body: Any) -> dict[str, Any]:
        """One product. :raises BusinessOutcome: ``not_found``, or it needs options."""
        call.negotiated.require(LOOKUP)
        self._begin(call)
        with in_words_of_ucp():
            id = requests.read_product(body)
            product = self._find(call, (id,)).get(id)
        if product is None or product.needs_options:
            message = _why_not(product, id, 0)
            assert message is not None
            raise outcome(message.code, message.content, "$.id")
        return {"ucp": envelope("lookup", call.negotiated), "product": product.wire()}

    def needs_options(self, call: AgentCall, id: str) -> bool:
        """Whether a product cannot be bought without options. :raises Failure: its menu cannot be read."""
        product = self._find(call, (id,)).get(id)
        return product is not None and product.needs_options

    def establishments(self, call: AgentCall) -> dict[str, Any]:
        """Every location of every account; UCP has no operation for that."""
        self._begin(call)
        found = [establishment(place) for place in self._places(call)]
        return {"ucp": envelope("food", call.negotiated), "food_establishments": found}

    def menu(self, call: AgentCall, location_id: str) -> dict[str, Any]:
        """The menu of a location, as our own contract has it (MENU-1). :raises BusinessOutcome: ``not_found``."""
        self._begin(call)
        with in_words_of_ucp():
            menu = self._service.menus.show(location_id, call.context)
        return {"ucp": envelope("food", call.negotiated), **responses.menu(menu)}

    def _begin(self, call: AgentCall) -> None:
        call.context.deadline = Deadline(self._settings.reading_deadline)

    def _places(self, call: AgentCall) -> Iterator[RoutedLocation]:
        """The locations that take orders."""
        for merchant in self._service.merchants():
            try:
                found = self._service.locations(merchant.provider_id, call.context)
            except Failure:
                # The others can still be shown; the failure is counted (LOC-3).
                continue
            yield from (place for place in found if place.location.active and not place.location.terminated)

    def _page(self, call: AgentCall, request: requests.SearchRequest) -> tuple[list[Product], str | None]:
        """The products of a page, and where the next one starts; None: nowhere.

        The cursor is the number of items to skip at a location, and its id.
        """
        places = list(self._places(call))
        skip, _, at = request.cursor.partition(SEPARATOR)
        begin = next((position for position, place in enumerate(places) if place.id == at), 0) if at else 0
        offset = int(skip) if at and skip.isdecimal() and len(skip) < 10 else 0
        found: list[Product] = []
        for read, place in enumerate(places[begin:]):
            if read == MOST_MENUS:
                return found, f"0{SEPARATOR}{place.id}"
            for position, product in enumerate(self._products(call, place)):
                if position < offset or product.needs_options or not product.matches(request):
                    continue
                if len(found) == request.limit:
                    return found, f"{position}{SEPARATOR}{place.id}"
                found.append(product)
            offset = 0
        return found, None

    def _products(self, call: AgentCall, place: RoutedLocation) -> list[Product]:
        try:
            return list(products(self._service.menus.show(place.id, call.context), place))
        except Failure:
            return []

    def _find(self, call: AgentCall, ids: Collection[str]) -> Mapping[str, Product]:
        """The products with these ids, with one menu for each location."""
        found: dict[str, Product] = {}
        locations = dict.fromkeys(id.partition(SEPARATOR)[0] for id in ids if SEPARATOR in id)
        if len(locations) > MOST_MENUS:
            raise Rejected(
                "request_too_large", f"expected products of at most {MOST_MENUS} locations", 400, path="$.ids"
            )
        for location in locations:
            try:
                place = self._service.routing.find(location, call.context)
                menu = self._service.menus.show(location, call.context)
            except Failure as failure:
                if failure.code != "location_not_found":
                    raise
                continue
            found |= {product.id: product for product in products(menu, place) if product.id in ids}
        return found


def _why_not(product: Product | None, id: str, position: int) -> Message | None:
    """Why a product is not among the answers; None: it is."""
    path = f"$.ids[{position}]"
    if product is None:
        return Message("info", "not_found", f"there is no product {id}", path)
    if product.needs_options:
        words = f"{id} needs options, which only dev.ucp.food can name"
        return Message("info", "options_required", words, path)
    return None
