"""A stand-in for Square on the loopback interface, or in this process: prices, orders and payments from a catalog.

It holds all that it is sent, and all that it answers, to :mod:`tests.servers.square_schema`; what does not fit is
kept in ``violations``. What it does was read in the specification and the guides, not seen on a live account:

- Prices: the variation's and its modifiers', for the location; a percentage that the seller gives, then the fixed
  discount of the order, spread over the lines; then tax on each line, half a cent rounded up; then the bag fee.
- A key used before gives the same order or payment again; with another body it is refused.
- An order that nobody paid does not reach the kitchen. A payment must be what the order costs.
"""

from __future__ import annotations

import copy
import json
import re
import socket
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl

from werkzeug.serving import WSGIRequestHandler, make_server

from levelup_ov.domain.money import percentage
from tests.servers.square_schema import gate

TOKEN = "EAAA-stand-in"
VERSION = "2025-08-20"
BOSTON, AIRPORT, OLD, MONTREAL = "LBOSTON", "LAIRPORT", "LOLD", "LMONTREAL"
PATHS = (
    ("GET", "/v2/locations"), ("GET", "/v2/catalog/list"), ("POST", "/v2/orders/calculate"), ("POST", "/v2/orders"),
    ("POST", "/v2/orders/{order_id}/pay"), ("GET", "/v2/orders/{order_id}"), ("PUT", "/v2/orders/{order_id}"),
    ("POST", "/v2/payments"), ("POST", "/v2/orders/search"), ("POST", "/v2/catalog/search"),
    ("POST", "/v2/inventory/counts/batch-retrieve"),
)  # fmt: skip

Money = dict[str, Any]


def usd(amount: int, currency: str = "USD") -> Money:
    return {"amount": amount, "currency": currency}


def location(location_id: str, name: str, **members: Any) -> dict[str, Any]:
    days = ("MON", "TUE", "WED", "THU", "FRI", "SAT", "SUN")
    periods = [{"day_of_week": day, "start_local_time": "08:00:00", "end_local_time": "22:00:00"} for day in days]
    return {
        "id": location_id, "name": name, "status": "ACTIVE", "timezone": "America/New_York", "currency": "USD",
        "country": "US", "phone_number": "+1 617-555-0100", "business_hours": {"periods": periods},
        "address": {
            "address_line_1": "1 Main St", "locality": "Boston", "administrative_district_level_1": "MA",
            "postal_code": "02110", "country": "US",
        },
        "coordinates": {"latitude": 42.36, "longitude": -71.06}, **members,
    }  # fmt: skip


def thing(kind: str, thing_id: str, presence: Mapping[str, Any] | None = None, **data: Any) -> dict[str, Any]:
    """An object of the catalog; ``presence`` is where it is present."""
    return {"type": kind, "id": thing_id, "version": 7, **(presence or {}), f"{kind.lower()}_data": data}


def variation(variation_id: str, name: str, price: int | None, presence: Any = None, **data: Any) -> dict[str, Any]:
    priced = {"pricing_type": "FIXED_PRICING", "price_money": usd(price)} if price is not None else {}
    return thing("ITEM_VARIATION", variation_id, presence, name=name, **{**priced, **data})


def modifier(modifier_id: str, name: str, price: int, **data: Any) -> dict[str, Any]:
    return thing("MODIFIER", modifier_id, name=name, price_money=usd(price), **data)


def item(item_id: str, name: str, *variations: dict[str, Any], **data: Any) -> dict[str, Any]:
    presence, members = data.pop("presence", None), {"product_type": "REGULAR", **data}
    return thing("ITEM", item_id, presence, name=name, variations=list(variations), **members)


def catalog() -> list[dict[str, Any]]:
    """A small menu with one of everything that a seller's catalog may hold."""
    only_airport = {"present_at_all_locations": False, "present_at_location_ids": [AIRPORT]}
    return [
        thing("CATEGORY", "CFOOD", name="Food", category_type="REGULAR_CATEGORY"),
        thing("CATEGORY", "CLUNCH", name="Lunch", parent_category={"id": "CFOOD", "ordinal": -2251799813685248}),
        thing("CATEGORY", "CDRINKS", name="Drinks", parent_category={"ordinal": 1}),
        thing("CATEGORY", "CGRILL", name="Grill", category_type="KITCHEN_CATEGORY"),
        thing("IMAGE", "PBURGER", name="burger.jpg", url="https://images.example/burger.jpg"),
        thing(
            "MODIFIER_LIST", "MSIDE", name="Side", min_selected_modifiers=1, max_selected_modifiers=1,
            allow_quantities=False, modifiers=[
                modifier("OSALAD", "Salad", 200, ordinal=2),
                modifier("OFRIES", "Fries", 0, ordinal=1, on_by_default=True),
                modifier("OSOUP", "Soup", 300, location_overrides=[{"location_id": BOSTON, "sold_out": True}]),
                modifier("OSTAFF", "Staff meal", 0, hidden_online=True),
            ],
        ),
        thing(
            "MODIFIER_LIST", "MEXTRA", name="Extras", min_selected_modifiers=-1, max_selected_modifiers=-1,
            allow_quantities=True, modifiers=[
                modifier("OCHEESE", "Cheese", 150, location_overrides=[
                    {"location_id": AIRPORT, "price_money": usd(175)}
                ]),
                modifier("OBACON", "Bacon", 250),
            ],
        ),
        thing("MODIFIER_LIST", "MMILK", name="Milk", selection_type="SINGLE", modifiers=[modifier("OOAT", "Oat", 60)]),
        thing("MODIFIER_LIST", "MTEXT", name="Engraving", modifier_type="TEXT", text_required=True),
        thing("MODIFIER_LIST", "MWISH", name="Wish", modifier_type="TEXT", text_required=False),
        item(
            "IBURGER", "Burger",
            variation("VBURGER", "Regular", 1000, location_overrides=[
                {"location_id": AIRPORT, "price_money": usd(1200), "pricing_type": "FIXED_PRICING"}
            ]),
            description="Beef", description_plaintext="Beef", image_ids=["PGONE", "PBURGER"],
            categories=[{"id": "CGONE"}, {"id": "CGRILL"}, {"id": "CLUNCH"}, {"id": "CFOOD"}],
            modifier_list_info=[
                {"modifier_list_id": "MEXTRA", "ordinal": 2, "enabled": True},
                {"modifier_list_id": "MSIDE", "ordinal": 1, "min_selected_modifiers": -1, "max_selected_modifiers": -1},
                {"modifier_list_id": "MGONE"}, {"modifier_list_id": "MMILK", "enabled": False},
                {"modifier_list_id": "MWISH"},
            ],
        ),
        item(
            "ICOFFEE", "Coffee",
            variation("VSMALL", "Small", 300), variation("VLARGE", "Large", 400),
            variation("VKEG", "Keg", 9000, presence=only_airport),
            variation("VBEANS", "Beans", 1500, measurement_unit_id="UPOUND"),
            variation("VICED", "Iced", 450, location_overrides=[{"location_id": BOSTON, "sold_out": True}]),
            variation("VTIP", "Pay as you like", None, pricing_type="VARIABLE_PRICING"),
            category_id="CDRINKS",
            modifier_list_info=[
                {"modifier_list_id": "MMILK"},
                {
                    "modifier_list_id": "MEXTRA", "min_selected_modifiers": 0, "max_selected_modifiers": 2,
                    "allow_quantities": "NO", "modifier_overrides": [
                        {"modifier_id": "OBACON", "hidden_online_override": "YES"},
                        {"modifier_id": "OCHEESE", "on_by_default_override": "YES"},
                    ],
                },
            ],
        ),
        item("ICOOKIE", "Cookie", variation("VCOOKIE", "Regular", 250, location_overrides=[
            {"location_id": BOSTON, "sold_out": True, "sold_out_valid_until": "2020-01-01T00:00:00Z"}
        ])),
        item("IPRETZEL", "Pretzel", variation("VPRETZEL", "Regular", 350), presence=only_airport),
        item("IFREE", "Water", variation("VWATER", "Regular", 0)),
        item("IMUG", "Engraved mug", variation("VMUG", "Regular", 1900),
             modifier_list_info=[{"modifier_list_id": "MTEXT"}]),
        item("IOLD", "Eggnog", variation("VOLD", "Regular", 500), is_archived=True),
        item("ICARD", "Gift card", variation("VCARD", "Regular", 2500), product_type="GIFT_CARD"),
        {**item("IDELETED", "Gone", variation("VDELETED", "Regular", 500)), "is_deleted": True},
        item("IAWAY", "Boston only", variation("VAWAY", "Regular", 700),
             presence={"present_at_all_locations": True, "absent_at_location_ids": [AIRPORT]}),
    ]  # fmt: skip


@dataclass
class Fault:
    """What goes wrong with the next call to ``path``: ``lost`` before or after it took effect, or an answer instead."""

    path: str
    lost: str = ""
    status: int = 0
    body: Any = None


class Refusal(Exception):
    """An answer with one error."""

    def __init__(self, status: int, code: str, detail: str, where: str = "", category: str = "INVALID_REQUEST_ERROR"):
        super().__init__(detail)
        self.status = status
        self.body = {"errors": [{"category": category, "code": code, "detail": detail}]}
        if where:
            self.body["errors"][0]["field"] = where


@dataclass
class Square:
    """One seller's account. ``change`` may change any answer of status 200 before it is sent."""

    catalog: list[dict[str, Any]] = field(default_factory=catalog)
    changed: list[dict[str, Any]] = field(default_factory=list)
    """What a search for changes of the catalog finds."""
    counts: list[dict[str, Any]] = field(default_factory=list)
    """The counts of the inventory, newest first; ``counts_page`` are on a page."""
    counts_page: int = 2
    orders_page: int = 1
    shows_orders: bool = True
    """Whether a search for orders shows them, which the documents promise for no time."""
    latest_time: str = "2026-11-22T17:00:00Z"
    page: int = 6
    tax: int = 700
    """Basis points of the sales tax."""
    rebate: int = 0
    """Basis points that the seller takes off every order by a pricing rule."""
    bag_fee: int = 0
    ticket_name: str = ""
    payment_status: str = "COMPLETED"
    faults: deque[Fault] = field(default_factory=deque)
    change: Callable[[str, Any], Any] = lambda path, body: body
    calls: list[str] = field(default_factory=list)
    bodies: list[Any] = field(default_factory=list)
    violations: list[str] = field(default_factory=list)
    orders: dict[str, dict[str, Any]] = field(default_factory=dict)
    payments: list[dict[str, Any]] = field(default_factory=list)
    settled: set[str] = field(default_factory=set)
    """The orders of nothing that were settled."""

    def __post_init__(self) -> None:
        self._lock = threading.Lock()
        self._known: dict[str, tuple[Any, Any]] = {}
        self.locations = [
            location(BOSTON, "Boston"),
            location(AIRPORT, "Airport"),
            location(OLD, "Old", status="INACTIVE", business_hours={}, timezone="America/New_York"),
            location(MONTREAL, "Montreal", currency="CAD", country="CA", timezone="America/Toronto"),
        ]

    @property
    def kitchen(self) -> list[dict[str, Any]]:
        """The orders that the kitchen sees: those that are paid."""
        return [
            order
            for order_id, order in self.orders.items()
            if (order.get("tenders") or order_id in self.settled) and order["state"] != "CANCELED"
        ]

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        method, path = environ["REQUEST_METHOD"], environ["PATH_INFO"]
        raw = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        with self._lock:
            self.calls.append(f"{method} {path}")
            fault = next((fault for fault in self.faults if fault.path == path), None)
            if fault is not None:
                self.faults.remove(fault)
            if fault is not None and fault.lost == "before":
                return self._lose(environ, start_response)
            if fault is not None and fault.status:
                status, body = fault.status, fault.body
            else:
                status, body = self._answer(method, path, environ, raw)
                if fault is not None:
                    return self._lose(environ, start_response)
        start_response(f"{status} -", [("Content-Type", "application/json")])
        return [json.dumps(body).encode()]

    def _lose(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        """Close the connection without an answer."""
        if (connection := environ.get("werkzeug.socket")) is None:
            raise ConnectionAbortedError
        connection.shutdown(socket.SHUT_RDWR)
        start_response("200 -", [])
        return []

    def _answer(self, method: str, path: str, environ: Mapping[str, Any], raw: bytes) -> tuple[int, Any]:
        pattern = next((each for each in PATHS if each[0] == method and _fits(each[1], path)), None)
        if pattern is None:
            return 404, Refusal(404, "NOT_FOUND", "There is no such resource.").body
        query, body = dict(parse_qsl(environ.get("QUERY_STRING", ""))), json.loads(raw) if raw else None
        self.bodies.append(body)
        wrong = gate().request(*pattern, query, body)
        self.violations += [f"{method} {path}: {each}" for each in wrong]
        try:
            if environ.get("HTTP_AUTHORIZATION") != f"Bearer {TOKEN}":
                words = "This request could not be authorized."
                raise Refusal(401, "UNAUTHORIZED", words, category="AUTHENTICATION_ERROR")
            if wrong or environ.get("HTTP_SQUARE_VERSION") != VERSION:
                raise Refusal(400, "BAD_REQUEST", "; ".join(wrong) or "Square-Version")
            status, answer = 200, self._act(pattern, path, query, copy.deepcopy(body))
        except Refusal as refusal:
            status, answer = refusal.status, refusal.body
        answer = copy.deepcopy(answer)
        self.violations += [f"answer to {method} {path}: {each}" for each in gate().answer(*pattern, status, answer)]
        return status, self.change(path, answer) if status == 200 else answer

    def _act(self, operation: tuple[str, str], path: str, query: Mapping[str, str], body: Any) -> Any:
        match operation[1]:
            case "/v2/locations":
                return {"locations": self.locations}
            case "/v2/catalog/list":
                start = int(query.get("cursor", 0))
                kinds = query["types"].split(",")
                found = [each for each in self.catalog if each["type"] in kinds]
                more = {"cursor": str(start + self.page)} if len(found) > start + self.page else {}
                page = found[start : start + self.page]
                return ({"objects": page} if page else {}) | more
            case "/v2/catalog/search":
                found = [each for each in self.changed if each["type"] in body["object_types"]]
                return {"latest_time": self.latest_time} | ({"objects": found} if found else {})
            case "/v2/inventory/counts/batch-retrieve":
                start = int(body.get("cursor", 0))
                found = [each for each in self.counts if _is_asked(each, body)]
                page = found[start : start + self.counts_page]
                more = {"cursor": str(start + len(page))} if found[start + len(page) :] else {}
                return ({"counts": page} if page else {}) | more
            case "/v2/orders/calculate":
                return {"order": self._price(body["order"])}
            case "/v2/orders/search":
                newest = [
                    each for each in reversed(self.orders.values()) if each["location_id"] in body["location_ids"]
                ]
                start = int(body.get("cursor", 0))
                page = newest[start : start + self.orders_page] if self.shows_orders else []
                more = {"cursor": str(start + len(page))} if page and newest[start + len(page) :] else {}
                return ({"orders": page} if page else {}) | more
            case "/v2/orders":
                return {"order": self._once("order", body, lambda: self._create(body["order"]))}
            case "/v2/orders/{order_id}" if body is None:
                return {"order": self._order(path.split("/")[3])}
            case "/v2/orders/{order_id}":
                return {"order": self._once("update", body, lambda: self._update(path.split("/")[3], body["order"]))}
            case "/v2/orders/{order_id}/pay":
                return {"order": self._once("pay", body, lambda: self._settle(path.split("/")[3]))}
        return {"payment": self._once("payment", body, lambda: self._pay(body))}

    def _once(self, kind: str, body: Any, make: Callable[[], Any]) -> Any:
        key = f"{kind} {body['idempotency_key']}"
        if key not in self._known:
            sent = copy.deepcopy(body)
            self._known[key] = sent, make()
        elif self._known[key][0] != body:
            raise Refusal(400, "IDEMPOTENCY_KEY_REUSED", "The idempotency key was used with another request.")
        return self._known[key][1]

    def _create(self, order: dict[str, Any]) -> dict[str, Any]:
        order_id = f"order-{len(self.orders) + 1}"
        extra = {"ticket_name": self.ticket_name} if self.ticket_name else {}
        self.orders[order_id] = {**self._price(order), "id": order_id, "version": 1, **extra}
        for position, fulfillment in enumerate(self.orders[order_id].get("fulfillments", [])):
            fulfillment["uid"] = f"fulfillment-{position}"
        return copy.deepcopy(self.orders[order_id])

    def _order(self, order_id: str) -> dict[str, Any]:
        if order_id not in self.orders:
            raise Refusal(404, "NOT_FOUND", f"Order not found for id {order_id}.")
        return self.orders[order_id]

    def _update(self, order_id: str, sparse: dict[str, Any]) -> dict[str, Any]:
        """A sparse update; a terminal state, and another version than the latest, are refused."""
        order = self._open(order_id)
        if sparse["version"] != order["version"]:
            raise Refusal(409, "CONFLICT", "The order has another version.", "order.version")
        for change in sparse.get("fulfillments", []):
            fulfillment = next(each for each in order["fulfillments"] if each["uid"] == change["uid"])
            if fulfillment["state"] in ("COMPLETED", "CANCELED", "FAILED"):
                raise Refusal(400, "BAD_REQUEST", "The fulfillment has ended.", "order.fulfillments")
            fulfillment["state"] = change["state"]
        canceled = sparse.get("state") == "CANCELED"
        if canceled and any(each["state"] != "CANCELED" for each in order["fulfillments"]):
            raise Refusal(400, "BAD_REQUEST", "The order has open fulfillments.", "order.state")
        order["state"] = sparse.get("state", order["state"])
        order["version"] += 1
        return copy.deepcopy(order)

    def _open(self, order_id: str) -> dict[str, Any]:
        order = self._order(order_id)
        if order["state"] != "OPEN":
            raise Refusal(400, "BAD_REQUEST", f"The order is {order['state']}.", "order_id")
        return order

    def _settle(self, order_id: str) -> dict[str, Any]:
        order = self._open(order_id)
        if order["total_money"]["amount"]:
            raise Refusal(400, "BAD_REQUEST", "The order is not paid by the payments given.", "payment_ids")
        self.settled.add(order_id)
        order["version"] += 1
        return copy.deepcopy(order)

    def _pay(self, body: dict[str, Any]) -> dict[str, Any]:
        order, amount = self._open(body["order_id"]), body["amount_money"]["amount"]
        tip = body.get("tip_money", usd(0))
        if amount + tip["amount"] <= 0:
            raise Refusal(400, "VALUE_TOO_LOW", "total requested amount $0 is below the minimum allowed")
        if order.get("tenders"):
            raise Refusal(400, "BAD_REQUEST", "The order is already paid.", "order_id")
        if amount != order["total_money"]["amount"]:
            raise Refusal(400, "PAYMENT_AMOUNT_MISMATCH", "The payment is not what the order costs.", "amount_money")
        payment_id, total = f"payment-{len(self.payments) + 1}", usd(amount + tip["amount"])
        payment = {
            "id": payment_id, "status": self.payment_status, "source_type": "EXTERNAL", "total_money": total,
            **{name: body[name] for name in (
                "order_id", "location_id", "reference_id", "amount_money", "external_details"
            )},
            "tip_money": tip,
        }  # fmt: skip
        if self.payment_status in ("COMPLETED", "APPROVED"):
            self.payments.append(payment)
            order["version"] += 1
            order["total_money"], order["total_tip_money"] = total, tip
            order["tenders"] = [{
                "id": payment_id, "payment_id": payment_id, "type": "OTHER", "amount_money": total, "tip_money": tip,
            }]  # fmt: skip
        return payment

    def forget(self) -> None:
        """As if no order had ever been created."""
        for known in (self.orders, self.payments, self._known, self.settled):
            known.clear()

    def move(self, order_id: str, state: str, **stamps: str) -> None:
        """What the seller does with the fulfillment of an order; ``stamps`` are times of its pickup."""
        (fulfillment,) = self.orders[order_id]["fulfillments"]
        fulfillment["state"] = state
        fulfillment[f"{fulfillment['type'].lower()}_details"] |= stamps

    def touch(self, order_id: str, **members: Any) -> None:
        """What the seller, or another app of the seller, does to an order: each change is another version."""
        self.orders[order_id] |= members
        self.orders[order_id]["version"] += 1

    def touch_created(self) -> None:
        """From now on, an app of the seller changes each order as soon as it was created."""

        def change(path: str, answer: Any) -> Any:
            if path == "/v2/orders":
                self.touch(answer["order"]["id"])
            return answer

        self.change = change

    def pay_late(self, order_id: str, reference: str) -> None:
        """A payment that arrives now, from any sender."""
        body = {"order_id": order_id, "location_id": BOSTON, "reference_id": reference}
        amount = self.orders[order_id]["total_money"]
        details = {"type": "OTHER", "source": "LevelUp", "source_id": reference}
        self._pay({**body, "amount_money": amount, "external_details": details})

    def _price(self, order: dict[str, Any]) -> dict[str, Any]:
        """The order with everything that Square adds to it."""
        place = next((each for each in self.locations if each["id"] == order["location_id"]), None)
        if place is None:
            raise Refusal(400, "INVALID_LOCATION", "The location is not one of the seller's.", "order.location_id")
        for fulfillment in order.get("fulfillments", []):
            delivers = fulfillment["type"] == "DELIVERY"
            recipient = fulfillment[f"{fulfillment['type'].lower()}_details"]["recipient"]
            needed = ["display_name", *(("address", "phone_number") if delivers else ())]
            if any(name not in recipient for name in needed):
                raise Refusal(400, "MISSING_REQUIRED_PARAMETER", "A name is needed.", "order.fulfillments[0].recipient")
        lines = [self._line(line, place["id"], position) for position, line in enumerate(order["line_items"])]
        gross = sum(line["gross_sales_money"]["amount"] for line in lines)
        discounts = order.get("discounts", [])
        rebate = percentage(gross, self.rebate) if order["pricing_options"].get("auto_apply_discounts") else 0
        for discount in discounts:
            discount["applied_money"] = usd(min(discount["amount_money"]["amount"], gross - rebate))
        if rebate:
            rule = {"pricing_rule_id": "RHAPPY", "name": "Happy hour", "scope": "ORDER", "uid": "rule"}
            discounts = [*discounts, {**rule, "type": "FIXED_PERCENTAGE", "applied_money": usd(rebate)}]
        off = sum(discount["applied_money"]["amount"] for discount in discounts)
        tax = 0
        for line, share in zip(lines, _spread(off, [line["gross_sales_money"]["amount"] for line in lines])):
            owed = line["gross_sales_money"]["amount"] - share
            line_tax = percentage(owed, self.tax) if order["pricing_options"].get("auto_apply_taxes") else 0
            tax += line_tax
            line["total_discount_money"], line["total_tax_money"] = usd(share), usd(line_tax)
            line["total_money"] = usd(owed + line_tax)
        fees = [{
            "uid": "bag", "name": "Bag fee", "calculation_phase": "SUBTOTAL_PHASE",
            "amount_money": usd(self.bag_fee), "applied_money": usd(self.bag_fee), "total_money": usd(self.bag_fee),
        }] if self.bag_fee else []  # fmt: skip
        for charge in order.get("service_charges", []):
            fees.append({**charge, "applied_money": charge["amount_money"], "total_money": charge["amount_money"]})
        charged = sum(fee["applied_money"]["amount"] for fee in fees)
        taxes = [{
            "uid": "tax", "name": "Sales tax", "type": "ADDITIVE", "percentage": f"{self.tax / 100}", "scope": "ORDER",
            "applied_money": usd(tax),
        }] if tax else []  # fmt: skip
        priced = {
            **order, "state": "OPEN", "line_items": lines, "discounts": discounts, "taxes": taxes,
            "service_charges": fees, "created_at": "2026-11-22T17:00:00Z",
            "total_money": usd(gross - off + tax + charged), "total_tax_money": usd(tax),
            "total_discount_money": usd(off), "total_tip_money": usd(0),
            "total_service_charge_money": usd(charged),
        }  # fmt: skip
        # Square leaves empty lists out.
        return json.loads(json.dumps({name: value for name, value in priced.items() if value != []}).replace(
            '"currency": "USD"', f'"currency": "{place["currency"]}"'
        ))  # fmt: skip

    def _line(self, line: dict[str, Any], place: str, position: int) -> dict[str, Any]:
        where = f"order.line_items[{position}]"
        sold = self._find("ITEM", "variations", line["catalog_object_id"], place)
        if sold is None:
            words = f"Item variation with catalog object ID {line['catalog_object_id']} not found."
            raise Refusal(404, "NOT_FOUND", words, f"{where}.catalog_object_id")
        quantity, each = int(line["quantity"]), _price_of(sold["item_variation_data"], place)
        for chosen in line.get("modifiers", []):
            found = self._find("MODIFIER_LIST", "modifiers", chosen["catalog_object_id"], place)
            if found is None:
                words = f"Modifier with catalog object ID {chosen['catalog_object_id']} not found."
                raise Refusal(404, "NOT_FOUND", words, f"{where}.modifiers")
            price = _price_of(found["modifier_data"], place)
            each += price * int(chosen["quantity"])
            chosen["name"], chosen["base_price_money"] = found["modifier_data"]["name"], usd(price)
        base = usd(_price_of(sold["item_variation_data"], place))
        gross = {"base_price_money": base, "gross_sales_money": usd(each * quantity)}
        return {**line, "uid": f"line-{position}", "name": sold["item_variation_data"]["name"], **gross}

    def _find(self, kind: str, within: str, wanted: str, place: str) -> dict[str, Any] | None:
        for each in self.catalog:
            if each["type"] == kind and not each.get("is_deleted") and _present(each, place):
                for inner in each[f"{kind.lower()}_data"].get(within, []):
                    if inner["id"] == wanted and _present(inner, place):
                        return dict(inner)
        return None


def _is_asked(count: Mapping[str, Any], body: Mapping[str, Any]) -> bool:
    filters = (("catalog_object_id", "catalog_object_ids"), ("location_id", "location_ids"), ("state", "states"))
    return all(body.get(names) is None or count[name] in body[names] for name, names in filters)


def _fits(pattern: str, path: str) -> bool:
    return re.fullmatch(pattern.replace("{order_id}", "(?!calculate$|search$)[^/]+"), path) is not None


def _present(each: Mapping[str, Any], place: str) -> bool:
    if each.get("present_at_all_locations", True):
        return place not in each.get("absent_at_location_ids", [])
    return place in each.get("present_at_location_ids", [])


def _price_of(data: Mapping[str, Any], place: str) -> int:
    for override in data.get("location_overrides", []):
        if override["location_id"] == place and "price_money" in override:
            return int(override["price_money"]["amount"])
    return int(data["price_money"]["amount"])


def _spread(amount: int, weights: list[int]) -> list[int]:
    """``amount`` in whole cents, each share as near to its weight as the cents before it leave."""
    shares, left, weight_left = [], amount, sum(weights)
    for weight in weights:
        share = left * weight // weight_left if weight_left else 0
        shares.append(share)
        left, weight_left = left - share, weight_left - weight
    return shares


class _Quiet(WSGIRequestHandler):
    protocol_version = "HTTP/1.1"

    def log(self, *args: Any) -> None:
        """Nothing: the tests look at the calls themselves."""


@contextmanager
def serving(square: Square) -> Iterator[str]:
    """Serve on a free port of the loopback interface; gives the address."""
    server = make_server("127.0.0.1", 0, square, threaded=True, request_handler=_Quiet)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
