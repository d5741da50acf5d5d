"""A shop system as many are: a bearer login, one basket for each cookie, amounts as text, lists at the root.

The adapter for it is an example of the documentation.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from decimal import Decimal
from itertools import count
from typing import Any

from werkzeug.exceptions import HTTPException, NotFound
from werkzeug.routing import Map, Rule
from werkzeug.wrappers import Request, Response

from docs.package.basket import BasketAdapter as TillAdapter
from docs.package.basket import line_of

__all__ = ["Till", "TillAdapter", "line_of"]

DISHES: Mapping[str, tuple[str, Mapping[str, str]]] = {
    "pho": ("1150.50", {"beef": "2.00", "tofu": "0.00", "egg": "1.25"}),
    "tea": ("3.20", {}),
}
"""Dishes with their prices, and the extras of each."""


class Till:
    """The shop, as a WSGI application. ``orders``: those that were placed; ``surcharge``: of every dish."""

    def __init__(self, password: str) -> None:
        self._password = password
        self._numbers = count(1)
        self._baskets: dict[str, list[dict[str, Any]]] = {}
        self.orders: list[dict[str, Any]] = []
        self.surcharge = Decimal(0)
        self._map = Map([
            Rule("/login", endpoint="login", methods=["POST"]), Rule("/shops", endpoint="shops"),
            Rule("/dishes", endpoint="dishes"), Rule("/basket/lines", endpoint="add", methods=["POST"]),
            Rule("/basket/orders", endpoint="order", methods=["POST"]), Rule("/orders", endpoint="find"),
        ])  # fmt: skip

    def __call__(self, environ: Any, start_response: Any) -> Any:
        request = Request(environ)
        try:
            endpoint, _ = self._map.bind_to_environ(environ).match()
            if endpoint != "login" and request.headers.get("Authorization") != "Bearer of-the-till":
                return Response(status=401)(environ, start_response)
            answer = getattr(self, f"_{endpoint}")(request)
        except HTTPException as error:
            answer = Response(json.dumps({"why": error.description}), error.code)
        return answer(environ, start_response)

    def _login(self, request: Request) -> Response:
        if request.get_json()["password"] != self._password:
            return Response(status=401)
        return _json({"token": "of-the-till", "seconds": 3600})

    def _shops(self, request: Request) -> Response:
        return _json([{"no": 1, "name": "Pho Bar", "zone": "America/New_York"}])

    def _dishes(self, request: Request) -> Response:
        return _json([
            {"dish": dish, "price": price, "extras": [{"extra": name, "price": more} for name, more in extras.items()]}
            for dish, (price, extras) in DISHES.items()
        ])  # fmt: skip

    def _add(self, request: Request) -> Response:
        line = request.get_json()
        if line["dish"] not in DISHES:
            raise NotFound("no such dish")
        if not set(line["extras"]) <= set(DISHES[line["dish"]][1]):
            raise NotFound("no such extra")
        if line["count"] > 9:
            return _json({"why": "too many"}, 409)
        name = request.cookies.get("basket") or f"basket-{next(self._numbers)}-0123456789abcdef"
        lines = self._baskets.setdefault(name, [])
        lines.append(line)
        answer = _json({"lines": lines, "total": str(self._price(lines))})
        answer.set_cookie("basket", name)
        return answer

    def _order(self, request: Request) -> Response:
        asked, lines = request.get_json(), self._baskets.pop(request.cookies.get("basket", ""), [])
        if not lines:
            return _json({"why": "the basket is empty"}, 409)
        if asked["total"] is not None and Decimal(asked["total"]) != self._price(lines):
            return _json({"why": "another price"}, 409)
        total = str(self._price(lines))
        self.orders.append({"no": 4000 + len(self.orders), "lines": lines, **asked, "total": total})
        return _json(self.orders[-1], 201)

    def _find(self, request: Request) -> Response:
        return _json([order for order in self.orders if order["reference"] == request.args["reference"]])

    def _price(self, lines: Sequence[Mapping[str, Any]]) -> Decimal:
        return sum((self._each(line) * line["count"] for line in lines), Decimal(0))

    def _each(self, line: Mapping[str, Any]) -> Decimal:
        price, extras = DISHES[line["dish"]]
        return Decimal(price) + self.surcharge + sum(Decimal(extras[extra]) for extra in line["extras"])


def _json(value: Any, status: int = 200) -> Response:
    return Response(json.dumps(value), status, content_type="application/json")
