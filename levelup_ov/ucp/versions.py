"""What this service declares of UCP: the one place for versions and names.

``dev.ucp.food`` is a draft: it has no dated edition of its own yet. Its entries therefore name the edition whose common
schemas it builds on, and say in their ``config`` that they follow a draft, at which commit of the repository.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

SHOPPING_VERSION = "2026-04-08"
"""The edition of UCP that the profile, and the shopping face, follow."""
FOOD_VERSION = "2026-08-25"
"""The edition that the food draft builds on."""
FOOD_DRAFT = "30f51406b0e9a3c74aa433f7ebf068185dae5743"
"""The commit of Universal-Commerce-Protocol/ucp whose schemas of food this face follows."""

FaceName = Literal["shopping", "food"]

_SITE = "https://ucp.dev"
_DRAFT = {"stage": "draft", "commit": FOOD_DRAFT}


@dataclass(frozen=True, slots=True)
class Capability:
    """A capability as the profile declares it; ``extends`` names its parent, empty for a root."""

    name: str
    version: str
    spec: str
    schema: str
    extends: str = ""
    config: Mapping[str, Any] = field(default_factory=dict)

    def entry(self) -> dict[str, Any]:
        """Its entry in the profile."""
        entry: dict[str, Any] = {"version": self.version, "spec": self.spec, "schema": self.schema}
        if self.extends:
            entry["extends"] = self.extends
        if self.config:
            entry["config"] = dict(self.config)
        return entry

    def short(self) -> dict[str, Any]:
        """Its entry in a response."""
        return {"version": self.version, **({"extends": self.extends} if self.extends else {})}


def _shopping(name: str, page: str, schema: str) -> Capability:
    site = f"{_SITE}/{SHOPPING_VERSION}"
    return Capability(
        f"dev.ucp.shopping.{name}",
        SHOPPING_VERSION,
        f"{site}/specification/{page}",
        f"{site}/schemas/shopping/{schema}.json",
    )


def _food(name: str, schema: str, extends: str = "") -> Capability:
    return Capability(
        f"dev.ucp.food.{name}",
        FOOD_VERSION,
        f"{_SITE}/draft/specification/food/{name}",
        f"{_SITE}/draft/schemas/food/{schema}.json",
        extends,
        _DRAFT,
    )


CHECKOUT: Mapping[FaceName, str] = {"shopping": "dev.ucp.shopping.checkout", "food": "dev.ucp.food.checkout"}
FULFILLMENT = "dev.ucp.food.fulfillment"
ORDER = "dev.ucp.shopping.order"
SEARCH, LOOKUP = "dev.ucp.shopping.catalog.search", "dev.ucp.shopping.catalog.lookup"

CAPABILITIES: Mapping[str, Capability] = {
    each.name: each
    for each in (
        _shopping("checkout", "checkout", "checkout"),
        _shopping("order", "order", "order"),
        _shopping("catalog.search", "catalog/search", "catalog_search"),
        _shopping("catalog.lookup", "catalog/lookup", "catalog_lookup"),
        _food("checkout", "checkout"),
        _food("fulfillment", "fulfillment", "dev.ucp.food.checkout"),
    )
}
"""Everything that is declared, by name."""

RELEVANT: Mapping[str, tuple[str, ...]] = {
    "shopping": ("dev.ucp.shopping.checkout",),
    "food": ("dev.ucp.food.checkout", FULFILLMENT),
    "order": (ORDER,),
    "search": (SEARCH,),
    "lookup": (LOOKUP,),
}
"""The capabilities that a response of each kind of operation is about."""

VERSION_OF: Mapping[str, str] = {kind: FOOD_VERSION if kind == "food" else SHOPPING_VERSION for kind in RELEVANT}
"""The version that a response of each kind declares."""

SERVICES: Mapping[FaceName, Mapping[str, Any]] = {
    "shopping": {
        "version": SHOPPING_VERSION,
        "spec": f"{_SITE}/{SHOPPING_VERSION}/specification/overview",
        "schema": f"{_SITE}/{SHOPPING_VERSION}/services/shopping",
    },
    "food": {
        "version": FOOD_VERSION,
        "spec": f"{_SITE}/draft/specification/food",
        "schema": f"{_SITE}/draft/services/food",
        "config": _DRAFT,
    },
}
"""Each service; the profile adds the endpoint and the file in ``schema`` of each transport."""

TRANSPORT_SCHEMAS: Mapping[str, str] = {"rest": "rest.openapi.json", "mcp": "mcp.openrpc.json"}

SUPPORTED = (SHOPPING_VERSION, FOOD_VERSION)
"""The protocol versions that a platform may name."""
