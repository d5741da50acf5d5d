"""The calls to Vendure's plugin, which all have one address: what is asked, and of whom."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

PATH = "/shop-api"
_KINDS: Mapping[str, str] = {
    "Location": "locations",
    "Menu": "menu",
    "Open": "cart",
    "Place": "order",
    "Find": "lookup",
    "Fence": "fence",
}
"""The names of the documents that the adapter sends, and what other providers' calls for the same are called."""


def kind_of(content: Mapping[str, Any]) -> str:
    """What a call is for."""
    named = re.match(r"\s*(?:query|mutation) (\w+)", content["query"])
    return _KINDS.get(named[1] if named else "", "unknown")


def asked_of(content: Mapping[str, Any]) -> Mapping[str, Any]:
    """What a call says: ``reference`` and ``code`` of the cart, ``guest``."""
    variables = content.get("variables") or {}
    asked: Mapping[str, Any] = variables.get("input") or variables
    return asked


def cart_in(answer: bytes) -> str | None:
    """The code of the cart in an answer."""
    found = re.search(rb'"code": *"([A-Z0-9]+)"', answer)
    return found and found[1].decode()


def nothing(content: Mapping[str, Any]) -> bytes:
    """How the plugin says that it has no order."""
    held = {"reference": asked_of(content).get("reference"), "fences": 0, "order": None, "others": []}
    return json.dumps({"data": {"held": held}}).encode()


def names_nobody(answer: bytes) -> bool:
    """Whether an answer does not say whose it is: a refusal."""
    return re.search(rb'"refusal": *{', answer) is not None
