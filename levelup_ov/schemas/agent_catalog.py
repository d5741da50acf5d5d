"""Reading what an agent asks the catalog of the shopping face."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from marshmallow import fields

from levelup_ov.domain.failure import Failure
from levelup_ov.domain.money import MAX_CENTS
from levelup_ov.schemas.agent_checkouts import MOST_OPTIONS, Whole, list_of, optional
from levelup_ov.schemas.base import WireSchema, read_body
from levelup_ov.schemas.orders import Identifier, Text

PAGE = 10
"""Products on a page, if the agent names no number; UCP's default."""
LONGEST_PAGE = 50
LONGEST_CURSOR = 2_000


@dataclass(frozen=True, slots=True)
class SearchRequest:
    """Words to search for, and filters; ``categories`` empty: all. Prices are cents."""

    query: str
    categories: frozenset[str]
    lowest: int
    highest: int
    limit: int
    cursor: str


class PriceFilterSchema(WireSchema):
    """``filters.price``."""

    min = optional(Whole, 0, MAX_CENTS)
    max = optional(Whole, 0, MAX_CENTS)


class FiltersSchema(WireSchema):
    """``filters``."""

    categories = optional(list_of, Text(), MOST_OPTIONS)
    price = optional(fields.Nested, PriceFilterSchema)


class PaginationSchema(WireSchema):
    """``pagination``."""

    cursor = optional(Text)
    limit = optional(Whole, 1, 2**31)


class SearchSchema(WireSchema):
    """A search. Some agents send the cursor beside ``pagination``."""

    query = optional(Text)
    filters = optional(fields.Nested, FiltersSchema)
    pagination = optional(fields.Nested, PaginationSchema)
    cursor = optional(Text)

    def build(self, values: dict[str, Any]) -> SearchRequest:
        filters, page = values["filters"] or {}, values["pagination"] or {}
        price = filters.get("price") or {}
        return SearchRequest(
            query=(values["query"] or "").strip(),
            categories=frozenset(filters.get("categories") or ()),
            lowest=price.get("min") or 0,
            highest=MAX_CENTS if price.get("max") is None else price["max"],
            limit=min(page.get("limit") or PAGE, LONGEST_PAGE),
            cursor=(page.get("cursor") or values["cursor"] or "")[:LONGEST_CURSOR],
        )


class LookupSchema(WireSchema):
    """A lookup of several products."""

    ids = list_of(Identifier(), 10_000, 1, required=True)

    def build(self, values: dict[str, Any]) -> Any:
        ids: list[str] = values["ids"]
        first: dict[str, int] = {}
        for position, id in enumerate(ids):
            first.setdefault(id, position)
        return first


class ProductSchema(WireSchema):
    """A lookup of one product."""

    id = Identifier(required=True)

    def build(self, values: dict[str, Any]) -> Any:
        return values["id"]


_SEARCH, _LOOKUP, _PRODUCT = SearchSchema(), LookupSchema(), ProductSchema()


def read_search(body: Any) -> SearchRequest:
    """A search in parsed JSON. :raises Failure: ``invalid_member``, also if it searches for nothing."""
    request: SearchRequest = read_body(_SEARCH, body)
    if not (request.query or body.get("filters")):
        raise Failure("invalid_member", "$.query: expected a query or filters", path="$.query")
    return request


def read_lookup(body: Any) -> dict[str, int]:
    """The different ids of a lookup, each with its first position. :raises Failure: ``invalid_member``."""
    ids: dict[str, int] = read_body(_LOOKUP, body)
    return ids


def read_product(body: Any) -> str:
    """The id of one product. :raises Failure: ``invalid_member``."""
    id: str = read_body(_PRODUCT, body)
    return id
