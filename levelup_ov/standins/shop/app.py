"""A sample shop that takes LevelUp payments through the service's ``/checkout``, in all three ways.

It shows what an e-commerce site must do, and nothing more: it stores ids of connections and UUIDs of orders, and never
sees a token, a password or a card.
"""

from __future__ import annotations

import json
import secrets
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from typing import Any

from flask import Blueprint, Response, current_app, redirect, render_template, request, url_for
from werkzeug.wrappers import Response as Redirect

from levelup_ov.domain.money import percentage
from levelup_ov.domain.secret import Secret
from levelup_ov.standins.levelup.platform import platform
from levelup_ov.standins.levelup.store import hashed
from levelup_ov.standins.levelup.visits import Visits
from levelup_ov.standins.levelup.world import REFUND_TIPS, SILENT_TIP

GOODS: Mapping[str, tuple[str, int]] = {
    "sandwich": ("Sandwich", 950),
    "soup": ("Soup", 600),
    "lemonade": ("Lemonade", 300),
}
"""What it sells: name and price in cents."""
TAX = 700
"""Hundredths of a percent."""
MOST = 9
TIPS = (0, 10, 15, 20)
"""Percents."""
REHEARSALS: Mapping[int, str] = {
    **{tip: f"the refund {what}" for tip, what in REFUND_TIPS.items()},
    SILENT_TIP: "at first it is not known whether it is paid",
}
"""Tips in cents that make LevelUp's stand-in fail, and how."""
CUT_OFF = ("user_token_refused", "not_connected")
"""Codes that say that the visitor has to connect again."""
PERMISSIONS = ("create_orders", "read_user_basic_info", "manage_user_addresses", "read_user_orders")
PATIENCE = 40.0
"""Seconds that it waits for the service."""

_JSON = dict[str, Any]
_FIRST_BASKET: _JSON = {"sandwich": 1, "soup": 0, "lemonade": 1, "tip": 15}

Send = Callable[[str, str, Any, Mapping[str, str]], tuple[int, Any]]
"""One call of the service: method, path, body and headers to status and JSON."""

Answer = str | Response | Redirect | tuple[str, int]

VISITS = Visits("shop_visit", "/shop")

shop = Blueprint("shop", __name__, url_prefix="/shop", template_folder="templates")
shop.after_request(VISITS.keep)


class ServiceRefusal(Exception):
    """The service's error: ``code`` of its closed list, ``message`` for a person.

    ``retryable``: the same call may still succeed; this is not a final refusal.
    """

    def __init__(self, code: str, message: str, retryable: bool) -> None:
        super().__init__(code)
        self.code = code
        self.message = message
        self.retryable = retryable


def over_http(service_url: str, key: Secret) -> Send:
    """Calls of the service at ``service_url`` with one of its API keys."""
    # The standard library, because only the transport of the service may use requests (tests/test_arrows.py).
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    def send(method: str, path: str, body: Any, headers: Mapping[str, str]) -> tuple[int, Any]:
        data = None if body is None else json.dumps(body).encode()
        call = urllib.request.Request(service_url.rstrip("/") + path, data, dict(headers), method=method)
        call.add_header("Authorization", f"token {key.reveal()}")
        if data is not None:
            call.add_header("Content-Type", "application/json")
        try:
            with opener.open(call, timeout=PATIENCE) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as refusal:
            with refusal:
                return refusal.code, json.load(refusal)

    return send


_UNKNOWN = "It is not known yet whether this was paid. Press Pay again: it is never charged twice."


@shop.before_request
def check_origin() -> Answer | None:
    """Refuse forms that come from elsewhere."""
    if request.method == "POST" and VISITS.forged():
        return _problem("This form is out of date. Please load the page again."), 403
    return None


@shop.context_processor
def for_all_pages() -> _JSON:
    return {"csrf": VISITS.csrf}


@shop.errorhandler(ServiceRefusal)
def show_refusal(refusal: ServiceRefusal) -> Answer:
    if refusal.code == "not_found":
        words = "The service that this shop uses has no web checkout. make demo-checkout runs one that has."
        return _problem(words, closed=True), 502
    return _problem(refusal.message), 502


@shop.errorhandler(OSError)
@shop.errorhandler(ValueError)
def show_silence(_: Exception) -> Answer:
    return _problem("The checkout service does not answer. Is it running?", closed=True), 502


@shop.get("")
def show_shop() -> Answer:
    """The shop in the state that this visitor is in."""
    merchant = _merchant()
    if merchant is None:
        return render_template("shop_merchant.html")
    visit = _visit()
    person = _call("GET", f"/checkout/users/{visit['user']}")["user"] if visit.get("user") else None
    basket = {**_FIRST_BASKET, **visit.get("basket", {})}
    shown: _JSON = {
        "merchant": merchant,
        "goods": GOODS,
        "tips": TIPS,
        "rehearsals": REHEARSALS,
        "most": MOST,
        "basket": basket,
        "prices": _prices(basket),
        "person": person,
        "problem": visit.get("problem"),
        "latest": visit.get("latest"),
    }
    if person and person["state"] == "connected":
        try:
            shown |= _offer(merchant, person, basket)
        except ServiceRefusal as refusal:
            if refusal.code not in CUT_OFF:
                raise
            shown["person"] = {**person, "state": "disconnected"}
    _keep(problem=None)
    return render_template("shop.html", **shown)


def _offer(merchant: _JSON, person: _JSON, basket: _JSON) -> _JSON:
    """LevelUp's data about a visitor, and what they would pay."""
    shown: _JSON = {}
    user = person["id"]
    if "read_user_basic_info" in person["permissions"]:
        shown["profile"] = _call("GET", f"/checkout/users/{user}/profile")["profile"]
    if "manage_user_addresses" in person["permissions"]:
        addresses = _call("GET", f"/checkout/users/{user}/addresses")["addresses"]
        shown["addresses"] = [entry["address"] for entry in addresses]
    if _prices(basket)["subtotal"]:
        order = _order(merchant, user, basket)
        shown["preview"] = _call("POST", "/checkout/order_previews", {"order": order})["preview"]
        order["discount_amount"] = shown["preview"]["discount_amount"]
        offer = {"number": secrets.token_urlsafe(16), "order": order, "accepted": False}
        # Another page may have accepted the offer in the meantime.
        kept = _change(lambda now: None if _undecided(now) else now.update(offer=offer))
        shown["number"] = kept["offer"]["number"]
    return shown


@shop.post("/basket")
def fill_basket() -> Answer:
    amounts = {name: min(MOST, max(0, request.form.get(name, 0, int))) for name in GOODS}
    tip = request.form.get("tip", 0, int)
    basket = {**amounts, "tip": tip if tip in TIPS or tip in REHEARSALS else 0}
    _change(lambda now: None if _undecided(now) else now.update(basket=basket))
    return _home()


# Connecting the shop and the visitor.


@shop.post("/merchant")
def connect_merchant() -> Answer:
    body = {"merchant": {"return_to": url_for("shop.merchant_connected", _external=True)}}
    merchant = _call("POST", "/checkout/merchants", body)["merchant"]
    _keep(merchant=merchant["id"])
    return redirect(merchant["authorization_url"], 303)


@shop.get("/merchant-connected")
def merchant_connected() -> Answer:
    return _connected("merchant", "merchants")


@shop.post("/connect")
def connect_user() -> Answer:
    """OAuth: LevelUp asks the visitor in their browser."""
    asked = {"return_to": url_for("shop.user_connected", _external=True), "permissions": list(PERMISSIONS)}
    user = _call("POST", "/checkout/users/authorizations", {"authorization": asked})["user"]
    _keep(asked=user["id"])
    return redirect(user["authorization_url"], 303)


@shop.get("/connected")
def user_connected() -> Answer:
    return _connected("asked", "users")


@shop.post("/request")
def request_permissions() -> Answer:
    """A permissions request: LevelUp asks the owner of an e-mail address."""
    asked = {"email": request.form.get("email", ""), "permissions": list(PERMISSIONS)}
    return _try_connecting("/checkout/users/permissions_requests", {"permissions_request": asked})


@shop.post("/create")
def create_user() -> Answer:
    """The account of record: the shop registers the visitor with LevelUp."""
    names = {name: request.form.get(name, "") for name in ("email", "first_name", "last_name")}
    permissions = [*PERMISSIONS, "create_first_credit_card"]
    return _try_connecting("/checkout/users", {"user": {**names, "permissions": permissions}})


@shop.post("/card")
def add_card() -> Answer:
    """To LevelUp's own page for the card of an account of record."""
    body = {"card_page": {"return_to": url_for("shop.show_shop", _external=True)}}
    page = _call("POST", f"/checkout/users/{_visit()['user']}/card_page", body)["card_page"]
    return redirect(page["url"], 303)


@shop.post("/poll")
def poll() -> Answer:
    _call("POST", f"/checkout/users/{_visit()['user']}/poll")
    return _home()


@shop.post("/disconnect")
def disconnect() -> Answer:
    visit = _visit()
    if _undecided(visit):
        _keep(problem=_UNKNOWN)
    elif user := visit.get("user"):
        _call("DELETE", f"/checkout/users/{user}")
        _keep(user=None)
    return _home()


# Paying and refunding.


@shop.post("/pay/<number>")
def pay(number: str) -> Answer:
    """Charge what the visitor saw, once: the number of the offer is the key, also if they return to its page."""
    # Accepted before the call: whatever becomes of it, this offer is the one to try again.
    visit = _change(lambda now: now["offer"].update(accepted=True) if _offers(now, number) else None)
    if number == visit.get("paid"):
        return redirect(url_for("shop.show_order", uuid=visit["latest"]), 303)
    if not _offers(visit, number):
        _keep(problem="That page was out of date, and nothing was charged. Please look again.")
        return _home()
    try:
        uuid = _call("POST", "/checkout/orders", {"order": visit["offer"]["order"]}, key=number)["order"]["uuid"]
    except ServiceRefusal as refusal:
        if refusal.retryable:
            _keep(problem=_UNKNOWN)
        else:
            _decide(number, problem=refusal.message)
        return _home()
    _decide(number, latest=uuid, paid=number)
    return redirect(url_for("shop.show_order", uuid=uuid), 303)


@shop.get("/orders/<uuid>")
def show_order(uuid: str) -> Answer:
    if _visit().get("latest") != uuid:
        return _problem("This order was not made on this visit."), 404
    return _receipt(_call("GET", f"/checkout/orders/{uuid}")["order"])


@shop.post("/orders/<uuid>/refund")
def refund(uuid: str) -> Answer:
    if _visit().get("latest") != uuid:
        return _problem("This order was not made on this visit."), 404
    confirmation = request.form.get("manager_confirmation", "").strip()
    # The order is refunded once, so its own UUID is a good key; another confirmation is another request.
    key = hashed(f"{uuid} {confirmation}")
    body = {"refund": {"manager_confirmation": confirmation}} if confirmation else {}
    try:
        order = _call("POST", f"/checkout/orders/{uuid}/refund", body, key=key)["order"]
    except ServiceRefusal as refusal:
        order = _call("GET", f"/checkout/orders/{uuid}")["order"]
        return _receipt(order, problem=refusal.message, code=refusal.code), 422
    return _receipt(order)


def _receipt(order: _JSON, **shown: Any) -> str:
    """An order, and who paid what of it."""
    return render_template("shop_order.html", order=order, paid=_paid(order), **shown)


def _paid(order: _JSON) -> list[tuple[str, int]]:
    """How an order was paid, in cents that add up to what the user pays.

    The charge says what the gift card paid; only the user's history shows LevelUp's own credit.
    """
    gift_card, rest = order["gift_card_total_amount"] or 0, "Your card"
    left = order["user_pays_amount"] - gift_card
    card = _paid_by_card(order)
    if card is None or not 0 <= card <= left:
        card, rest = left, "Your card or LevelUp credit"
    shares = (("Your gift card", gift_card), ("LevelUp credit", left - card), (rest, card))
    return [(name, cents) for name, cents in shares if cents]


def _paid_by_card(order: _JSON) -> int | None:
    """What the user's history says; None where it does not, or may not be read."""
    try:
        orders = _call("GET", f"/checkout/users/{order['user']}/orders")["orders"]
    except ServiceRefusal:
        return None
    found = (entry["order"] for entry in orders)
    return next((past["card_amount"] for past in found if past["uuid"] == order["uuid"]), None)


def _connected(asked_for: str, kind: str) -> Answer:
    """The visitor is back from LevelUp: confirm, if it is this visitor that set out."""
    connection = _visit().get(asked_for)
    if connection is None or request.args.get("connection") != connection:
        return _problem("This connection was not started on this visit."), 400
    _keep(**{asked_for: None})
    if error := request.args.get("error"):
        _keep(problem="LevelUp was not connected." if error == "access_denied" else f"LevelUp answered {error}.")
        return _home()
    body = {"confirmation": request.args.get("confirmation", "")}
    _call("POST", f"/checkout/{kind}/{connection}/confirm", body)
    if kind == "users":
        _keep(user=connection)
    return _home()


def _try_connecting(path: str, body: _JSON) -> Answer:
    try:
        _keep(user=_call("POST", path, body)["user"]["id"])
    except ServiceRefusal as refusal:
        _keep(problem=refusal.message)
    return _home()


def _call(method: str, path: str, body: Any = None, *, key: str | None = None) -> Any:
    """The service's answer.

    :raises Refusal: the service's error.
    """
    send: Send = current_app.extensions["shop"]
    status, answer = send(method, path, body, {"Idempotency-Key": key} if key else {})
    if status >= 400:
        error = answer["error"]
        raise ServiceRefusal(error["code"], error["message"], error["retryable"] or status >= 500)
    return answer


def _merchant() -> _JSON | None:
    """The first merchant that is connected, with its first location."""
    merchants = _call("GET", "/checkout/merchants")["merchants"]
    if not merchants:
        return None
    merchant = merchants[0]["merchant"]
    try:
        locations = _call("GET", f"/checkout/merchants/{merchant['id']}/locations")["locations"]
    except ServiceRefusal as refusal:
        if refusal.code != "merchant_token_refused":
            raise
        return None
    first = locations[0]["location"]
    return {"id": merchant["id"], "location": first["id"], "name": first["name"]}


def _prices(basket: _JSON) -> _JSON:
    subtotal = sum(GOODS[name][1] * basket[name] for name in GOODS)
    tip = basket["tip"] if basket["tip"] in REHEARSALS else percentage(subtotal, basket["tip"] * 100)
    return {"subtotal": subtotal, "tax": percentage(subtotal, TAX), "tip": tip}


def _order(merchant: _JSON, user: str, basket: _JSON) -> _JSON:
    prices = _prices(basket)
    return {
        "merchant": merchant["id"],
        "user": user,
        "location_id": merchant["location"],
        "outstanding_amount": prices["subtotal"] + prices["tax"],
        "tax_amount": prices["tax"],
        "tip_amount": prices["tip"],
        "discount_amount": None,
        "items": [
            {"item": {"name": title, "quantity": basket[name], "charged_price_amount": price * basket[name]}}
            for name, (title, price) in GOODS.items()
            if basket[name]
        ],
    }


def _offers(visit: _JSON, number: str) -> bool:
    return visit.get("offer", {}).get("number") == number


def _undecided(visit: _JSON) -> bool:
    """Whether it is not known if the visitor has paid; then nothing else is offered."""
    return bool(visit.get("offer", {}).get("accepted"))


def _decide(number: str, **members: Any) -> None:
    """The outcome of an offer is known."""

    def change(visit: _JSON) -> None:
        if _offers(visit, number):
            del visit["offer"]
        visit.update(members)

    _change(change)


def _visit() -> _JSON:
    with platform().store.reading() as transaction:
        return transaction.shop_visit(hashed(VISITS.id))


def _keep(**members: Any) -> None:
    """Keep these members of the visit; None forgets one."""

    def change(visit: _JSON) -> None:
        kept = {name: value for name, value in {**visit, **members}.items() if value is not None}
        visit.clear()
        visit.update(kept)

    _change(change)


def _change(change: Callable[[_JSON], None]) -> _JSON:
    """Change the visit in its current state, whatever other pages do concurrently; returns the new state."""
    with platform().store.writing() as transaction:
        visit = transaction.shop_visit(hashed(VISITS.id))
        change(visit)
        transaction.keep_shop_visit(hashed(VISITS.id), visit)
        return visit


def _home() -> Answer:
    return redirect(url_for("shop.show_shop"), 303)


def _problem(text: str, *, closed: bool = False) -> str:
    """``closed``: there is nothing to go back to in this shop."""
    return render_template("shop_problem.html", text=text, closed=closed)
