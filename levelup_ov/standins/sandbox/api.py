"""The engine's HTTP API.

Every request carries the key in ``X-Sandbox-Key``; at a place for members only, carts and orders also need a
session in ``X-Sandbox-Session``. Bodies and answers are JSON, amounts are cents, times RFC 3339, opening hours
minutes after midnight by weekday (0 is Monday). A refusal is ``{"problem": {"code", "text", "where"}}``.

A reference belongs to one order of a location at the most: a second one is refused with ``reference_taken``.
``POST /locations/{id}/voids`` makes the engine refuse what is still on its way: nothing is ordered under that
reference any more. A cart keeps the customer who opened it: the e-mail address or the telephone number
stays the same. An order that names its ``customer`` is refused with ``cart_of_another`` where the cart is not theirs.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

from flask import Blueprint, Flask, current_app, request
from werkzeug.exceptions import HTTPException
from werkzeug.security import check_password_hash, generate_password_hash

from levelup_ov.domain.money import is_cents
from levelup_ov.standins.dropped_connection import LosesAnswers, lose_answer
from levelup_ov.standins.sandbox import delivery, dishes, kitchen, places, slots
from levelup_ov.standins.sandbox.content import (
    CartContent,
    instant_of,
    malformed,
    members_of,
    read_content,
    read_customer,
    text_of,
)
from levelup_ov.standins.sandbox.magic import SURCHARGE, magic_in
from levelup_ov.standins.sandbox.payments import take
from levelup_ov.standins.sandbox.pricing import Prices, price
from levelup_ov.standins.sandbox.problems import EngineError
from levelup_ov.standins.sandbox.store import CART_LIFETIME, EngineCart, EngineOrder, EngineStore, Transaction

DEVELOPMENT_KEY = "sandbox"
"""The key of an engine that was given no other. It guards nothing but made-up orders."""
LARGEST_BODY = 1024 * 1024
SHORTEST_PASSWORD = 8
REFERENCE_LIMIT = 255
PAUSE = "*"
"""What means a whole place among the dishes that have run out."""
PASSWORD_HASH = "pbkdf2:sha256:1000"
"""Adapters make these passwords up, and nothing of value is behind them: a slow hash would only cost time."""

_JSON = dict[str, Any]

v1 = Blueprint("v1", __name__, url_prefix="/v1")


def create_sandbox(
    database: Path,
    *,
    key: str = DEVELOPMENT_KEY,
    clock: Callable[[], datetime] = lambda: datetime.now(timezone.utc),
    sleep: Callable[[float], object] = time.sleep,
) -> Flask:
    """The engine as a WSGI application.

    ``database``: its file, made when first needed. ``clock`` gives the present as an aware instant;
    ``sleep`` waits for seconds.
    """
    app = Flask(__name__, static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = LARGEST_BODY
    app.json.sort_keys = False  # type: ignore[attr-defined]
    app.extensions["sandbox"] = Engine(EngineStore(database), key, clock, sleep)
    app.register_blueprint(v1)
    app.register_error_handler(EngineError, _answer_problem)
    app.register_error_handler(HTTPException, _answer_http_error)
    app.wsgi_app = LosesAnswers(app.wsgi_app)  # type: ignore[method-assign]
    return app


class Engine:
    """What the views of one application share."""

    def __init__(
        self, store: EngineStore, key: str, clock: Callable[[], datetime], sleep: Callable[[float], object]
    ) -> None:
        self.store = store
        self.key = key
        self.clock = clock
        self.sleep = sleep


@v1.before_request
def check_key() -> None:
    given = request.headers.get("X-Sandbox-Key", "")
    if not hmac.compare_digest(given.encode(), _engine().key.encode()):
        raise EngineError("key_refused", "This key is not ours.")


@v1.get("/locations")
def list_locations() -> _JSON:
    return {"locations": [_place_as_json(place) for place in places.PLACES.values()]}


@v1.get("/locations/<place_id>/menu")
def show_menu(place_id: str) -> _JSON:
    return {"menu": _menu_as_json(_place(place_id))}


@v1.get("/locations/<place_id>/stock")
def show_stock(place_id: str) -> _JSON:
    """What has run out since it was on the menu, and whether the place pauses."""
    place = _place(place_id)
    with _engine().store.reading() as transaction:
        gone = transaction.shortages(place.id, _engine().clock())
    return {"stock": {"location": place.id, "sold_out": sorted(gone - {PAUSE}), "paused": PAUSE in gone}}


@v1.post("/locations/<place_id>/carts")
def open_cart(place_id: str) -> tuple[_JSON, int]:
    engine, place, body = _engine(), _place(place_id), _body()
    now = engine.clock()
    # A caller that may not order here learns nothing about prices.
    with engine.store.reading() as transaction:
        account = _account(transaction, place, now)
    content = read_content(body)
    prices = price(place, content)
    with engine.store.writing() as transaction:
        _check_stock(transaction, place, content, now)
        offer = _offer(transaction, place, content, now)
        cart = EngineCart(str(uuid.uuid4()), place.id, account, body, now, ordered=False)
        transaction.add_cart(cart)
    engine.sleep(magic_in(content.note).slow)
    return _quote_as_json(place, cart, content, prices, offer), 201


@v1.put("/carts/<cart_id>")
def fill_cart(cart_id: str) -> _JSON:
    engine, body = _engine(), _body()
    now = engine.clock()
    with engine.store.writing() as transaction:
        cart, place = _cart(transaction, cart_id, now)
        content = read_content(body)
        if not content.customer.is_reached_like(read_content(cart.content).customer):
            raise EngineError("cart_of_another", "This cart was opened by somebody else.", "customer")
        prices = price(place, content)
        _check_stock(transaction, place, content, now)
        offer = _offer(transaction, place, content, now)
        transaction.fill_cart(cart_id, body)
    engine.sleep(magic_in(content.note).slow)
    return _quote_as_json(place, replace(cart, content=body), content, prices, offer)


@v1.post("/carts/<cart_id>/orders")
def place_order(cart_id: str) -> tuple[_JSON, int]:
    engine = _engine()
    body = members_of(_body(), "$", {"payment", "reference", "expected_total", "earliest", "latest", "customer"})
    earliest, latest = instant_of(body, "earliest"), instant_of(body, "latest")
    reference, expected = _reference(body), body.get("expected_total")
    if expected is not None and not is_cents(expected):
        raise malformed("expected_total", "an amount in cents")
    now = engine.clock()
    with engine.store.writing() as transaction:
        cart, place = _cart(transaction, cart_id, now, reference)
        content = read_content(cart.content)
        if body.get("customer") is not None and not read_customer(body["customer"]).is_reached_like(content.customer):
            raise EngineError("cart_of_another", "This cart was opened by somebody else.", "customer")
        magic = magic_in(content.note)
        prices = price(place, content)
        _check_stock(transaction, place, content, now)
        offer = _offer(transaction, place, content, now)
        if magic.sold_out:
            raise EngineError("dish_sold_out", "We have just sold the last one.")
        if magic.no_driver and content.delivery is not None:
            raise EngineError("no_driver", "Nobody is there to bring it.")
        if content.delivery is not None and content.delivery.address is None:
            raise EngineError("address_incomplete", "We need the address.", "delivery.address")
        if magic.price_change:
            prices = replace(prices, subtotal=prices.subtotal + SURCHARGE)
        if magic.fee_change and content.delivery is not None:
            prices = replace(prices, fee=prices.fee + SURCHARGE)
        if expected is not None and expected != prices.grand_total:
            raise EngineError("price_changed", "The price has changed since you asked for it.", "expected_total")
        if offer.at is not None and not (earliest or offer.at) <= offer.at <= (latest or offer.at):
            raise EngineError(
                "time_changed", "We can no longer have it ready at the time that we gave you.", "wanted_at"
            )
        payment = take(body.get("payment"), place, now, decline=magic.decline)
        details = {
            **cart.content,
            **_prices_as_json(prices),
            "charged": prices.grand_total + (SURCHARGE if magic.overcharge else 0),
            "payment": {"kind": payment.kind, "source": payment.source},
            "promise": offer.words,
            "travel": delivery.travel(place.zones, content.delivery) // timedelta(minutes=1),
        }
        ticket = transaction.next_ticket(place.id)
        order = EngineOrder(str(uuid.uuid4()), place.id, ticket, reference, cart.account, offer.at, now, details)
        transaction.add_order(order)
        transaction.close_cart(cart_id)
        if magic.sells_out:
            for dish in {line.dish for line in content.lines}:
                transaction.run_out(place.id, dish, now + timedelta(minutes=magic.sells_out))
        if magic.pauses:
            transaction.run_out(place.id, PAUSE, now + timedelta(minutes=magic.pauses))
    engine.sleep(magic.slow)
    if magic.lost_answer or payment.answer_lost:
        lose_answer(request.environ)
    return {"order": _receipt_as_json(order)}, 201


@v1.get("/locations/<place_id>/orders")
def find_orders(place_id: str) -> _JSON:
    place, reference = _place(place_id), request.args.get("reference")
    if not reference:
        raise malformed("reference", "a text in the query")
    with _engine().store.reading() as transaction:
        orders = transaction.orders_by_reference(place.id, reference)
    return {"orders": [_receipt_as_json(order) for order in orders]}


@v1.post("/locations/<place_id>/voids")
def void_reference(place_id: str) -> _JSON:
    """What may still arrive under a reference is refused; an order that it has stays."""
    engine, place = _engine(), _place(place_id)
    reference = _reference(members_of(_body(), "$", {"reference"}))
    if reference is None:
        raise malformed("reference", "a text")
    with engine.store.writing() as transaction:
        transaction.void_reference(place.id, reference)
    return {"void": {"location": place.id, "reference": reference}}


@v1.get("/orders/<order_id>")
def show_order(order_id: str) -> _JSON:
    """The order as the kitchen sees it."""
    with _engine().store.reading() as transaction:
        order = _order(transaction, order_id)
    placed_at = slots.write(places.PLACES[order.place], order.placed_at)
    return {"order": {**order.details, **_receipt_as_json(order), "account": order.account, "placed_at": placed_at}}


@v1.get("/orders/<order_id>/state")
def show_state(order_id: str) -> _JSON:
    """The state of the order in the kitchen, without the customer."""
    with _engine().store.reading() as transaction:
        order = _order(transaction, order_id)
        state = _state(transaction, order)
    return {"state": _state_as_json(order, state)}


@v1.post("/orders/<order_id>/cancellation")
def cancel_order(order_id: str) -> _JSON:
    """The state of the order, which is canceled now or was so before."""
    with _engine().store.writing() as transaction:
        order = _order(transaction, order_id)
        state = _state(transaction, order)
        if state.word in kitchen.CANCELABLE:
            transaction.cancel(order.id, _engine().clock())
            state = _state(transaction, order)
        elif state.word != kitchen.CANCELED:
            raise EngineError("too_late", "We cannot cancel this order any more.")
    if magic_in(order.details.get("note")).lost_cancellation:
        lose_answer(request.environ)
    return {"state": _state_as_json(order, state)}


@v1.post("/accounts")
def open_account() -> tuple[_JSON, int]:
    engine = _engine()
    members = members_of(_body(), "$", {"email", "password", "name", "phone"})
    email, password, name, phone = (text_of(members, key, key) for key in ("email", "password", "name", "phone"))
    if email is None or "@" not in email.strip("@") or len(email) > 254:
        raise EngineError("email_invalid", "We need an e-mail address for an account.", "email")
    if password is None or len(password) < SHORTEST_PASSWORD:
        raise EngineError("password_too_short", f"A password has at least {SHORTEST_PASSWORD} characters.", "password")
    if name is None:
        raise EngineError("customer_incomplete", "We need a name for an account.", "name")
    account, password_hash = str(uuid.uuid4()), generate_password_hash(password, PASSWORD_HASH)
    with engine.store.writing() as transaction:
        if not transaction.add_account(account, _canonical(email), password_hash, name, phone):
            raise EngineError("email_taken", "There is an account with this e-mail address already.", "email")
        token = _new_session(transaction, account, engine.clock())
    return {"account": {"id": account, "email": email}, "session": {"token": token}}, 201


@v1.post("/sessions")
def open_session() -> tuple[_JSON, int]:
    engine = _engine()
    members = members_of(_body(), "$", {"email", "password"})
    email, password = (text_of(members, key, key) or "" for key in ("email", "password"))
    with engine.store.reading() as transaction:
        found = transaction.account(_canonical(email))
    if found is None or not check_password_hash(found[1], password):
        raise EngineError("login_refused", "E-mail address and password do not belong together.")
    with engine.store.writing() as transaction:
        token = _new_session(transaction, found[0], engine.clock())
    return {"account": {"id": found[0], "email": email}, "session": {"token": token}}, 201


def _engine() -> Engine:
    return current_app.extensions["sandbox"]


def _body() -> Any:
    try:
        return request.get_json(force=True)
    except RecursionError:
        raise malformed("$", "less nesting") from None


def _reference(body: Mapping[str, Any]) -> str | None:
    reference = text_of(body, "reference", "reference")
    if reference is not None and len(reference) > REFERENCE_LIMIT:
        raise malformed("reference", f"at most {REFERENCE_LIMIT} characters")
    return reference


def _place(place_id: str) -> places.Place:
    if (place := places.PLACES.get(place_id)) is None:
        raise EngineError("place_unknown", "We have no such location.")
    return place


def _order(transaction: Transaction, order_id: str) -> EngineOrder:
    order = transaction.order(order_id)
    if order is None:
        raise EngineError("order_unknown", "We have no such order.")
    return order


def _state(transaction: Transaction, order: EngineOrder) -> kitchen.KitchenState:
    return kitchen.state_of(order, _engine().clock(), transaction.canceled_at(order.id))


def _cart(
    transaction: Transaction, cart_id: str, now: datetime, reference: str | None = None
) -> tuple[EngineCart, places.Place]:
    cart = transaction.cart(cart_id, now)
    if cart is None:
        raise EngineError("cart_unknown", "We have no such cart any more.")
    place = places.PLACES[cart.place]
    if cart.account != _account(transaction, place, now):
        raise EngineError("cart_unknown", "We have no such cart any more.")
    # First: a caller that has lost its record of the void goes on to its next reference, which may have an order.
    if reference is not None:
        _check_reference(transaction, cart, reference)
    if cart.ordered:
        raise EngineError("cart_ordered", "This cart has been ordered already.")
    return cart, place


def _check_reference(transaction: Transaction, cart: EngineCart, reference: str) -> None:
    if transaction.orders_by_reference(cart.place, reference):
        raise EngineError("reference_taken", "There is an order with this reference already.", "reference")
    if transaction.is_void(cart.place, reference):
        raise EngineError("reference_voided", "Nothing is ordered under this reference any more.", "reference")


def _account(transaction: Transaction, place: places.Place, now: datetime) -> str | None:
    """The account that a request is made with; None where guests order."""
    if not place.members_only:
        return None
    account = transaction.session(_hashed(request.headers.get("X-Sandbox-Session", "")), now)
    if account is None:
        raise EngineError("session_refused", f"{place.title} serves members only: please log in.")
    return account


def _check_stock(transaction: Transaction, place: places.Place, content: CartContent, now: datetime) -> None:
    """:raises EngineError: ``place_paused`` or ``dish_sold_out``."""
    gone = transaction.shortages(place.id, now)
    if PAUSE in gone:
        raise EngineError("place_paused", f"{place.title} takes no orders at the moment.")
    for position, line in enumerate(content.lines):
        if line.dish in gone:
            raise EngineError("dish_sold_out", f"We have no {line.dish} left.", f"lines[{position}]")


def _offer(transaction: Transaction, place: places.Place, content: CartContent, now: datetime) -> slots.Offer:
    full = transaction.full_slots(place.id, place.capacity, now) if place.scheduling == "slots" else frozenset()
    return slots.offer(place, content.wanted_at, now, full, delivery.travel(place.zones, content.delivery))


def _new_session(transaction: Transaction, account: str, now: datetime) -> str:
    token = secrets.token_urlsafe(32)
    transaction.add_session(_hashed(token), account, now)
    return token


def _hashed(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


def _canonical(email: str) -> str:
    return email.strip().casefold()


def _place_as_json(place: places.Place) -> _JSON:
    return {
        "id": place.id,
        "title": place.title,
        "address": {"street": place.street, "city": place.city, "state": place.state, "postcode": place.postcode},
        "position": {"latitude": place.latitude, "longitude": place.longitude},
        "telephone": place.telephone,
        "zone": place.zone_name,
        "weekly_hours": [{"weekday": day, "from": place.opens, "to": place.closes} for day in range(7)],
        "scheduling": place.scheduling,
        "payments": list(place.payments),
        "takes_gratuity": place.tips,
        "delivers": bool(place.zones),
        "members_only": place.members_only,
        "changed": places.CHANGED,
    }


def _menu_as_json(place: places.Place) -> _JSON:
    return {
        "id": f"{place.id}-menu",
        "title": f"Menu of {place.title}",
        "changed": dishes.CHANGED,
        "note_limit": dishes.NOTE_LIMIT,
        "sections": [{"id": key, "title": title} for key, title in dishes.SECTIONS.items()],
        "headings": [
            {
                "id": heading.id,
                "title": heading.title,
                "about": heading.about,
                "section": heading.section,
                "dishes": [
                    {
                        "id": dish.id,
                        "title": dish.title,
                        "about": dish.about,
                        "cents": dish.cents,
                        "sold_out": dish.sold_out,
                        "takes_note": dish.takes_note,
                        "groups": _groups_as_json(dish.groups),
                    }
                    for dish in offered
                ],
            }
            for heading, offered in dishes.dishes_at(place)
        ],
    }


def _groups_as_json(groups: tuple[dishes.Group, ...]) -> list[_JSON]:
    return [
        {
            "id": group.id,
            "title": group.title,
            "least": group.least,
            "most": group.most,
            "least_kinds": group.least_kinds,
            "most_kinds": group.most_kinds,
            "free": group.free,
            "choices": [
                {
                    "id": choice.id,
                    "title": choice.title,
                    "cents": choice.cents,
                    "most": choice.most,
                    "preset": choice.preset,
                    "sold_out": choice.sold_out,
                    "groups": _groups_as_json(choice.groups),
                }
                for choice in group.choices
            ],
        }
        for group in groups
    ]


def _quote_as_json(
    place: places.Place, cart: EngineCart, content: CartContent, prices: Prices, offer: slots.Offer
) -> _JSON:
    return {
        "cart": {
            "id": cart.id,
            "expires": slots.write(place, cart.created_at + CART_LIFETIME),
            "location": cart.place,
            "content": cart.content,
        },
        "quote": {
            **_prices_as_json(prices),
            "lines": [{"cost": cost} for cost in prices.lines],
            "delivery": delivery.as_json(place.zones, content.delivery, prices.fee),
            "ready": {
                "at": offer.at and slots.write(place, offer.at),
                "words": offer.words,
                "slots": None if offer.slots is None else [{"at": slots.write(place, slot)} for slot in offer.slots],
            },
        },
    }


def _prices_as_json(prices: Prices) -> _JSON:
    return {
        "subtotal": prices.subtotal,
        "tax": prices.tax,
        "gratuity": prices.gratuity,
        "discounts": {"coupon": prices.coupon, "house": prices.house},
        "grand_total": prices.grand_total,
    }


def _receipt_as_json(order: EngineOrder) -> _JSON:
    return {
        "id": order.id,
        "ticket": order.ticket,
        "location": order.place,
        "reference": order.reference,
        "ready": {
            "at": order.ready_at and slots.write(places.PLACES[order.place], order.ready_at),
            "words": order.details["promise"],
        },
        "charged": order.details["charged"],
    }


def _state_as_json(order: EngineOrder, state: kitchen.KitchenState) -> _JSON:
    receipt = _receipt_as_json(order)
    said = {"word": state.word, "since": slots.write(places.PLACES[order.place], state.since)}
    return {**said, **{name: receipt[name] for name in ("id", "location", "reference", "ready")}}


def _answer_problem(problem: EngineError) -> tuple[_JSON, int]:
    return {"problem": {"code": problem.code, "text": problem.text, "where": problem.where}}, problem.status


def _answer_http_error(error: HTTPException) -> tuple[_JSON, int]:
    code = "malformed" if error.code == 400 else "http"
    return {"problem": {"code": code, "text": error.description or error.name, "where": None}}, error.code or 500
