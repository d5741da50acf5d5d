"""A shop system as many are: a bearer login, one basket for each cookie, amounts as text, lists at the root.

And the adapter for it, which is right.
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

from levelup_ov.adapter import Account, Adapter, Setting
from levelup_ov.domain.location import Location
from levelup_ov.domain.menu import Category, Menu, MenuItem, MenuOption, OptionGroup
from levelup_ov.domain.options import encode_path, nest
from levelup_ov.domain.order import Item, Order
from levelup_ov.domain.outcome import Placed, Quote
from levelup_ov.domain.secret import Secret
from levelup_ov.domain.tender import Tender
from levelup_ov.errors import Refused, broken_protocol, check_basket
from levelup_ov.transport.answer import Answer
from levelup_ov.transport.auth import Login
from levelup_ov.transport.cookies import cookie_of
from levelup_ov.transport.session import Reply, Session

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


class TillAdapter(Adapter):
    """Every order fills a basket of its own, under a cookie that no other order sends."""

    interface_version = 2
    tenders = frozenset({"levelup"})
    settings = {
        "base_url": Setting("address of the till", required=True, url=True),
        "password": Setting("of the till", required=True, secret=True),
    }

    def __init__(self, account: Account) -> None:
        super().__init__(account)
        self._login = Login(self._log_in)

    def _log_in(self, session: Session) -> tuple[Secret, float]:
        answer = session.post("/login", {"password": self.account.setting("password")}, repeatable=True).answer()
        return Secret(answer.text("token")), answer.integer("seconds")

    def list_locations(self, session: Session) -> Sequence[Location]:
        rows = self._login.call(session, "GET", "/shops").answers()
        return [Location(row.identifier("no"), row.text("name"), time_zone=row.text("zone")) for row in rows]

    def show_menu(self, location: Location, session: Session) -> Menu:
        rows, items, groups = self._login.call(session, "GET", "/dishes").answers(), [], []
        for row in rows:
            dish = row.identifier("dish")
            group = encode_path(dish)
            options = tuple(MenuOption(encode_path(dish, each.identifier("extra")), each.text("extra"),
                                       each.amount("price"), 1) for each in row.each("extras"))  # fmt: skip
            groups += [OptionGroup(group, "Extras", options)] * bool(options)
            items.append(MenuItem(dish, dish, row.amount("price"), option_groups=(group,) * bool(options)))
        return Menu(location.provider_id, "Pho Bar", (Category("all", "All", tuple(items)),), tuple(groups))

    def validate_order(self, order: Order, session: Session) -> Quote:
        _, total = self._fill(order, session)
        charged = None if order.merchant_funded_discount else total
        return Quote(total, 0, None, charged, merchant_funded_discount=order.merchant_funded_discount,
                     cart={"total": Secret(str(total))})  # fmt: skip

    def submit_order(self, order: Order, tender: Tender, session: Session) -> Placed:
        basket, total = self._fill(order, session)
        shown = int(order.cart["total"].reveal()) if "total" in order.cart else total
        return self._place(order, basket, shown, session)

    def _place(self, order: Order, basket: str, total: int, session: Session) -> Placed:
        body = {"reference": order.reference, "name": order.user.name, "note": order.special_instructions,
                "total": str(Decimal(total) / 100)}  # fmt: skip
        headers = {"Cookie": f"basket={basket}"}
        placed = self._login.call(session, "POST", "/basket/orders", body=body, headers=headers, places_order=True)
        return _placed(placed.answer(), order.reference or "", [line_of(item) for item in order.items])

    def find_order(
        self, location: Location, reference: str, trace: Mapping[str, Any], session: Session
    ) -> Placed | None:
        rows = self._login.call(session, "GET", "/orders", params={"reference": reference}).answers()
        return _placed(rows[0], reference) if rows else None

    def error_from(self, reply: Reply) -> Refused | None:
        why = reply.json() if reply.status in (404, 409) else None
        said = why.get("why") if isinstance(why, dict) else None
        codes = {"no such dish": "unknown_item", "no such extra": "unknown_option", "too many": "invalid_choices",
                 "another price": "price_changed"}  # fmt: skip
        return Refused(codes[said], said) if said in codes else None

    def _fill(self, order: Order, session: Session) -> tuple[str, int]:
        """A new basket with the order in it: its cookie, and what it costs."""
        if order.desired_ready_time is not None:
            raise Refused("ready_time_unavailable", "the shop cooks at once", path="$.desired_ready_time")
        basket, answer = "", Answer({})
        for item in order.items:
            headers = {"Cookie": f"basket={basket}"} if basket else {}
            reply = self._login.call(session, "POST", "/basket/lines", body=line_of(item), headers=headers)
            basket, answer = basket or session.conceal(cookie_of(reply, "basket")), reply.answer()
        check_basket(map(_line, map(line_of, order.items)), _lines(answer), "$.lines in the answer to /basket/lines")
        return basket, answer.amount("total")


def line_of(item: Item) -> dict[str, Any]:
    choices = nest(item.options)
    if any(choice.quantity > 1 or choice.children or choice.group_id != item.provider_id for choice in choices):
        raise Refused("unknown_option", "an extra is of its dish, and taken once")
    extras = [choice.option_id for choice in choices]
    return {"dish": item.provider_id, "count": item.quantity, "extras": extras,
            "note": item.special_instructions, "for": item.recipient_name}  # fmt: skip


def _line(line: Mapping[str, Any]) -> tuple[Any, ...]:
    return line["dish"], line["count"], *sorted(line["extras"])


def _lines(answer: Answer) -> list[tuple[Any, ...]]:
    return [(each.text("dish"), each.integer("count"), *sorted(each.texts("extras"))) for each in answer.each("lines")]


def _placed(answer: Answer, reference: str, lines: Sequence[Mapping[str, Any]] | None = None) -> Placed:
    if answer.text("reference") != reference:
        raise broken_protocol("the answer is about another order: $.reference is not ours")
    if lines is not None:
        check_basket(map(_line, lines), _lines(answer), "$.lines in the answer to /basket/orders")
    total = answer.amount("total")
    return Placed(answer.integer("no"), answer.identifier("no"), reference=answer.text("reference"),
                  expected_charge=total, charged=total)  # fmt: skip
