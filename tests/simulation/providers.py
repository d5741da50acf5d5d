"""Small imitations of two providers: what the adapters use of them, with each order kept as it was made.

``orders`` hold ``id``, ``ticket``, ``reference`` and ``guest``. A guest is known by the telephone number, or by the
name at FFTP, which gets no number.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any
from urllib.parse import parse_qs

PRICE = 650
IMPOSSIBLE = 10**14

Answer = tuple[int, Any]


@dataclass(slots=True)
class Request:
    """A whole request. ``kind``: what it is for, see the providers' own names."""

    method: str
    path: str
    query: Mapping[str, list[str]]
    body: Any
    kind: str
    guest: str | None = None
    session: str = ""

    def __str__(self) -> str:
        return f"{self.method} {self.path}" + (f" of {self.guest}" if self.guest else "")


@dataclass(slots=True)
class Order:
    """An order that was made. ``is_kept``: False once the provider has lost it. ``account``: whose it runs on.

    ``word``: its status, in the provider's word; ``since``: since when.
    """

    id: str
    ticket: Any
    reference: str | None
    guest: str
    said: dict[str, Any] = field(default_factory=dict)
    is_kept: bool = True
    account: str | None = None
    word: str = ""
    since: float = 0.0


class Provider:
    """What both have in common. ``merges``: a reference that was used makes no second order."""

    name = ""
    host = ""
    called_off: tuple[str, ...] = ()
    """The words for an order that nobody makes: canceled first."""

    def __init__(self, *, merges: bool) -> None:
        self.merges = merges
        self.orders: list[Order] = []
        self.is_sold_out = False
        self.refuses_first = False

    def request(self, top: bytes, body: bytes) -> Request:
        """Read a request."""
        method, target, _ = top.split(b"\r\n", 1)[0].decode().split(" ")
        path, _, query = target.partition("?")
        content = json.loads(body) if body else None
        request = Request(method, path, parse_qs(query), content, "")
        request.kind = self.kind_of(request)
        request.guest = self.guest_of(request)
        return request

    def kind_of(self, request: Request) -> str:
        raise NotImplementedError

    def guest_of(self, request: Request) -> str | None:
        raise NotImplementedError

    def handle(self, request: Request, now: float) -> Answer:
        """Do what is asked; status and body."""
        raise NotImplementedError

    def reference_of(self, request: Request) -> str:
        """Our reference in a placing call."""
        raise NotImplementedError

    def is_fenced(self, reference: str) -> bool:
        """Whether nothing more is placed under a reference."""
        return False

    def another(self, request: Request, answer: Answer) -> Answer:
        """The answer to a placing call as somebody else's order of the same kind."""
        raise NotImplementedError

    def call_off(self, order: Order, word: str, now: float) -> None:
        """Change the status of an order."""
        order.word, order.since = word, now

    def is_made(self, order: Order) -> bool:
        """Whether somebody makes an order."""
        return order.is_kept and order.word not in self.called_off

    @property
    def kept(self) -> list[Order]:
        """The orders that it still has."""
        return [order for order in self.orders if order.is_kept]


class Fftp(Provider):
    """FFTP 0.4.0. Without ``merges`` it has lost the keys of its orders, as it may.

    ``refuses_first``: as a provider that looks for a key only in an order that it would take; FFTP looks first.
    """

    name, host = "deli", "deli.test"
    called_off = ("cancelled",)

    def __init__(self, *, merges: bool, refuses_first: bool = False) -> None:
        super().__init__(merges=merges)
        self.refuses_first = refuses_first

    def kind_of(self, request: Request) -> str:
        match request.method, request.path.split("/")[1:]:
            case "GET", [".well-known", _]:
                return "locations"
            case "GET", ["fftp", "v1", "menu"]:
                return "menu"
            case "GET", ["fftp", "v1", "orders"]:
                return "token" if "status" in request.query else "lookup"
            case "POST", ["fftp", "v1", "orders"]:
                return "price" if request.body["client_total_cents"] > IMPOSSIBLE else "order"
            case "POST", [*_, "paid"]:
                return "paid"
            case "POST", [*_, "status"]:
                return "cancel"
        return "show"

    def guest_of(self, request: Request) -> str | None:
        if request.body and "customer_name" in request.body:
            return str(request.body["customer_name"])
        found = [order for order in self.orders if order.id in request.path.split("/")]
        return found[0].guest if found else None

    def reference_of(self, request: Request) -> str:
        return str(request.body["idempotency_key"])

    def call_off(self, order: Order, word: str, now: float) -> None:
        super().call_off(order, word, now)
        order.said["status"] = word

    def handle(self, request: Request, now: float) -> Answer:
        match request.kind:
            case "locations":
                return 200, {"restaurant_name": "Deli", "address": "1 Main"}
            case "menu":
                item = {"id": "soup", "name": "Soup", "price_cents": PRICE, "modifiers": []}
                return 200, {"restaurant_name": "Deli", "default_prep_minutes": 20, "items": [item]}
            case "token":
                return 200, []
            case "lookup":
                return 200, [order.said for order in reversed(self.kept)]
            case "price" | "order":
                return self._order(request, now)
        id = request.path.split("/")[4]
        order = next((each for each in self.kept if each.id == id), None)
        if order is None:
            return 404, {"detail": "order not found"}
        if request.kind == "paid":
            order.said["paid"] = True
        elif request.kind == "cancel":
            self.call_off(order, request.body["status"], now)
        return 200, order.said

    def _order(self, request: Request, now: float) -> Answer:
        body = request.body
        total = PRICE * sum(line["quantity"] for line in body["lines"])
        known = next((order for order in self.kept if order.reference == body["idempotency_key"]), None)
        if self.merges and known is not None and not (self.refuses_first and self.is_sold_out):
            return 200, known.said
        if body["lines"][0]["item_id"] != "soup":
            return 422, {"detail": f"unknown item_id: {body['lines'][0]['item_id']}"}
        if self.is_sold_out:
            return 422, {"detail": "item unavailable: soup"}
        if body["client_total_cents"] != total:
            words = "client total does not match menu prices"
            detail = {"error": "total_mismatch", "message": words, "correct_total_cents": total,
                      "client_total_cents": body["client_total_cents"]}  # fmt: skip
            return 409, {"detail": detail}
        number, name = len(self.orders) + 1, body["customer_name"]
        said = {
            "order_id": f"ord_{number}", "ticket_number": f"T-{number}", "status": "received", "total_cents": total,
            "eta_minutes": 20, "customer_name": name, "payment_proof": body["payment_proof"], "paid": False,
            "created_at": _instant(now),
        }  # fmt: skip
        order = Order(f"ord_{number}", f"T-{number}", body["idempotency_key"], name, said)
        self.orders.append(order)
        return 201, said

    def another(self, request: Request, answer: Answer) -> Answer:
        others = {"order_id": "ord_other", "ticket_number": "T-other", "customer_name": "Carol Other",
                  "payment_proof": "LevelUp of-carol"}  # fmt: skip
        return 201, {**answer[1], **others}


class Sandbox(Provider):
    """The sandbox engine: carts, one order for each cart and reference, references that can be voided.

    Where it ``serves_members`` only, a cart belongs to an account. Accounts are known by their e-mail address.
    """

    name, host = "box", "box.test"
    called_off = ("called-off", "turned-down")
    knows_owners = True
    """Whether a cart is changed only by the guest who opened it."""

    def __init__(self, *, merges: bool) -> None:
        super().__init__(merges=merges)
        self._carts: dict[str, dict[str, Any]] = {}
        self._voids: set[str] = set()
        self.serves_members = False
        self._accounts: dict[str, dict[str, Any]] = {}
        self._sessions: dict[str, str] = {}

    def kind_of(self, request: Request) -> str:
        match request.method, request.path.split("/")[1:]:
            case "GET", ["v1", "locations"]:
                return "locations"
            case "POST", ["v1", "locations", _, "carts"]:
                return "cart"
            case "POST", ["v1", "locations", _, "voids"]:
                return "void"
            case "GET", ["v1", "locations", _, "orders"]:
                return "lookup"
            case "PUT", ["v1", "carts", _]:
                return "refill"
            case "POST", ["v1", "accounts"]:
                return "account"
            case "POST", ["v1", "sessions"]:
                return "session"
            case "GET", ["v1", "orders", _, "state"]:
                return "show"
            case "POST", ["v1", "orders", _, "cancellation"]:
                return "cancel"
        return "order"

    def request(self, top: bytes, body: bytes) -> Request:
        request = super().request(top, body)
        if self.serves_members:
            found = re.search(rb"X-Sandbox-Session: (\S*)", top)
            request.session = found[1].decode() if found else ""
        return request

    def guest_of(self, request: Request) -> str | None:
        if request.kind in ("cart", "refill"):
            return str(request.body["customer"]["name"])
        if request.kind not in ("show", "cancel", "order"):
            return None
        id = request.path.split("/")[3]
        if request.kind == "order":
            return id in self._carts and self._carts[id]["guest"] or None
        return next((order.guest for order in self.orders if order.id == id), None)

    def reference_of(self, request: Request) -> str:
        return str(request.body["reference"])

    def is_fenced(self, reference: str) -> bool:
        return reference in self._voids

    def handle(self, request: Request, now: float) -> Answer:
        place, body = "congress", request.body
        match request.kind:
            case "locations":
                return 200, {"locations": [_LOCATION]}
            case "lookup":
                wanted = request.query["reference"][0]
                return 200, {"orders": [order.said for order in self.kept if order.reference == wanted]}
            case "void":
                self._voids.add(body["reference"])
                return 200, {"void": {"location": place, "reference": body["reference"]}}
            case "account" | "session":
                return self._log_in(request)
            case "show" | "cancel":
                return self._state(request, now)
        owner = self._sessions.get(request.session)
        if self.serves_members and owner is None:
            return _problem(401, "session_refused", "We serve members only.")
        if request.kind == "cart":
            if body["lines"][0]["dish"] != "soup":
                return _problem(422, "dish_unknown", "We do not have this dish.")
            if self.is_sold_out:
                return _problem(422, "dish_sold_out", "Sold out.")
            id = f"cart{len(self._carts) + 1}"
            self._carts[id] = {"guest": body["customer"]["name"], "ordered": False, "content": body, "owner": owner}
            return 201, _cart(id, body, now)
        cart = self._carts.get(request.path.split("/")[3])
        if cart is None or cart["owner"] != owner:
            return _problem(404, "cart_unknown", "There is no such cart.")
        if request.kind == "refill":
            if self.knows_owners and body["customer"]["name"] != cart["guest"]:
                return _problem(404, "cart_of_another", "This cart was opened by somebody else.")
            if cart["ordered"]:
                return _problem(409, "cart_ordered", "This cart has been ordered.")
            cart["content"] = body
            return 200, _cart(request.path.split("/")[3], body, now)
        return self._order(request, cart, now)

    def _order(self, request: Request, cart: dict[str, Any], now: float) -> Answer:
        reference = request.body["reference"]
        if self.knows_owners and request.body["customer"]["name"] != cart["guest"]:
            return _problem(404, "cart_of_another", "This cart was opened by somebody else.")
        is_taken = any(order.reference == reference for order in self.kept)
        if cart["ordered"] and (is_taken or reference not in self._voids):
            return _problem(409, "cart_ordered", "This cart has been ordered.")
        if self.merges and is_taken:
            return _problem(409, "reference_taken", "There is an order with this reference already.")
        if reference in self._voids:
            return _problem(409, "reference_voided", "Nothing is ordered under this reference any more.")
        if self.is_sold_out:
            return _problem(422, "dish_sold_out", "Sold out.")
        quote = _quote(cart["content"], now)
        if request.body["expected_total"] != quote["grand_total"]:
            return _problem(409, "price_changed", "The price has changed.")
        cart["ordered"] = True
        ticket = len(self.orders) + 1
        said = {"id": f"order{ticket}", "ticket": ticket, "reference": reference, "location": "congress",
                "ready": quote["ready"], "charged": quote["grand_total"]}  # fmt: skip
        account = cart["owner"] and self._accounts[cart["owner"]]["name"]
        self.orders.append(Order(said["id"], ticket, reference, cart["guest"], said, account=account, since=now))
        return 201, {"order": said}

    def _state(self, request: Request, now: float) -> Answer:
        id = request.path.split("/")[3]
        order = next((each for each in self.kept if each.id == id), None)
        if order is None:
            return _problem(404, "order_unknown", "There is no such order.")
        if request.kind == "cancel" and order.word == "turned-down":
            return _problem(409, "too_late", "We cannot cancel this order any more.")
        if request.kind == "cancel" and order.word != "called-off":
            self.call_off(order, "called-off", now)
        state = {"word": order.word or "taken", "since": _instant(order.since), "location": "congress",
                 "reference": order.reference, "ready": order.said["ready"]}  # fmt: skip
        return 200, {"state": state}

    def _log_in(self, request: Request) -> Answer:
        email, password = request.body["email"], request.body["password"]
        known = self._accounts.get(email)
        if request.kind == "account" and known is not None:
            return _problem(409, "email_taken", "There is an account with this e-mail address already.")
        if request.kind == "account":
            self._accounts[email] = request.body
        elif known is None or known["password"] != password:
            return _problem(401, "login_refused", "E-mail address and password do not belong together.")
        token = f"session{len(self._sessions) + 1}"
        self._sessions[token] = email
        return 201, {"account": {"id": email, "email": email}, "session": {"token": token}}

    def another(self, request: Request, answer: Answer) -> Answer:
        others = {"id": "order-other", "ticket": 777, "reference": "of-carol"}
        return 201, {"order": {**answer[1]["order"], **others}}


def _problem(status: int, code: str, text: str) -> Answer:
    return status, {"problem": {"code": code, "text": text}}


def _cart(id: str, content: Any, now: float) -> dict[str, Any]:
    return {"cart": {"id": id, "location": "congress", "content": content}, "quote": _quote(content, now)}


def _quote(body: Mapping[str, Any], now: float) -> dict[str, Any]:
    food = PRICE * sum(line["count"] for line in body["lines"])
    ready = _instant(1200 + now)
    return {"subtotal": food, "tax": 0, "gratuity": body["gratuity"], "grand_total": food + body["gratuity"],
            "discounts": {"coupon": 0, "house": 0}, "ready": {"at": ready}}  # fmt: skip


def _instant(at: float) -> str:
    return datetime.fromtimestamp(1_800_000_000 + at, timezone.utc).isoformat()


_LOCATION = {
    "id": "congress", "title": "Congress", "telephone": "+16175550100", "zone": "America/New_York",
    "address": {"street": "1 Congress", "city": "Boston", "state": "MA", "postcode": "02114"},
    "position": {"latitude": 42, "longitude": -71}, "payments": ["external", "card"], "weekly_hours": [],
    "takes_gratuity": True, "changed": "2026-11-01T00:00:00+00:00",
}  # fmt: skip
