"""Web checkout: what ``docs/checkout.rst`` describes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any

from flask import Blueprint, Response, g, redirect, request
from werkzeug.wrappers import Response as Redirect

from levelup_ov.blueprints.http import json_response, read_body, read_idempotency_key
from levelup_ov.checkout import Checkout
from levelup_ov.checkout.callbacks import Callbacks
from levelup_ov.checkout.store import Connected, Kind, StoredOrder
from levelup_ov.config import Settings
from levelup_ov.domain.failure import Failure
from levelup_ov.schemas.body import parse
from levelup_ov.schemas.checkout import read, read_answered_request, read_confirmation, read_order, read_page
from levelup_ov.schemas.checkout_responses import ANSWERS, charged_order
from levelup_ov.transport.deadline import Deadline

CALLBACK_DEADLINE = 5.0
"""Seconds for a callback, which anybody may send."""


def blueprint(checkout: Checkout, settings: Settings) -> Blueprint:
    """The endpoints under ``/checkout``."""
    pages = Blueprint("checkout", __name__, url_prefix="/checkout")
    connections, orders = checkout.connections, checkout.orders
    callbacks = Callbacks()

    @pages.before_request
    def name_provider() -> None:
        g.context.provider = "levelup"

    # Merchants.

    @pages.post("/merchants")
    def start_merchant() -> Response:
        started = connections.start_merchant(read("merchant", _body())["return_to"])
        return _respond("merchant", _started(*started))

    @pages.get("/merchants/callback")
    def merchant_callback() -> Redirect:
        return _come_back("merchant")

    @pages.post("/merchants/<id>/confirm")
    def confirm_merchant(id: str) -> Response:
        return _respond("merchant", connections.confirm("merchant", id, read_confirmation(_body()), g.context))

    @pages.get("/merchants")
    def list_connected_merchants() -> Response:
        return _respond("merchants", {"merchants": connections.merchants()})

    @pages.get("/merchants/<id>")
    def show_merchant(id: str) -> Response:
        return _respond("merchant", connections.show("merchant", id))

    @pages.get("/merchants/<id>/locations")
    def list_merchant_locations(id: str) -> Response:
        return _respond("locations", {"locations": connections.locations(id, g.context)})

    @pages.delete("/merchants/<id>")
    def disconnect_merchant(id: str) -> Response:
        return _respond("merchant", connections.disconnect("merchant", id, g.context))

    # Users.

    @pages.post("/users/authorizations")
    def start_user() -> Response:
        asked = read("authorization", _body())
        hints = {name: asked[name] for name in ("login_hint", "first_name", "last_name")}
        started = connections.start_user(asked["return_to"], _once(asked["permissions"]), hints)
        return _respond("user", _started(*started))

    @pages.get("/users/callback")
    def user_callback() -> Redirect:
        return _come_back("user")

    @pages.post("/users/<id>/confirm")
    def confirm_user(id: str) -> Response:
        return _respond("user", connections.confirm("user", id, read_confirmation(_body()), g.context))

    @pages.post("/users/permissions_requests")
    def request_permissions() -> Response:
        asked = read("permissions_request", _body())
        return _respond("user", connections.request_permissions(asked["email"], _once(asked["permissions"]), g.context))

    @pages.post("/users/permissions_requests/callback")
    def permissions_callback() -> Response:
        id = read_answered_request(_body())
        g.context.deadline = Deadline(min(CALLBACK_DEADLINE, settings.reading_deadline))
        with callbacks.room(id):
            connections.permissions_answered(id, g.context)
        return _respond("nothing", {})

    @pages.post("/users/<id>/poll")
    def poll_user(id: str) -> Response:
        return _respond("user", connections.poll(id, g.context))

    @pages.post("/users")
    def create_user() -> Response:
        asked = read("user", _body())
        permissions = _once(asked["permissions"])
        names = (asked["email"], asked["first_name"], asked["last_name"])
        return _respond("user", connections.create_user(*names, permissions, g.context))

    @pages.get("/users/<id>")
    def show_user(id: str) -> Response:
        return _respond("user", connections.show("user", id))

    @pages.delete("/users/<id>")
    def disconnect_user(id: str) -> Response:
        return _respond("user", connections.disconnect("user", id, g.context))

    @pages.get("/users/<id>/profile")
    def show_profile(id: str) -> Response:
        return _respond("profile", connections.profile(id, g.context))

    @pages.get("/users/<id>/addresses")
    def list_addresses(id: str) -> Response:
        return _respond("addresses", {"addresses": connections.addresses(id, g.context)})

    @pages.post("/users/<id>/addresses")
    def add_address(id: str) -> Response:
        return _respond("address", connections.add_address(id, read("address", _body()), g.context))

    @pages.post("/users/<id>/card_page")
    def create_card_page(id: str) -> Response:
        return_to = read("card_page", _optional_body("card_page"))["return_to"]
        return _respond("card_page", connections.card_page(id, return_to, g.context))

    @pages.get("/users/<id>/orders")
    def list_past_orders(id: str) -> Response:
        found, following = connections.past_orders(id, read_page(request.args.get("page", "1")), g.context)
        return _respond("past_orders", {"orders": found, "next_page": following})

    # Orders.

    @pages.post("/order_previews")
    def preview_order() -> Response:
        return _respond("preview", orders.preview(read("order", _body()), g.context))

    @pages.post("/orders")
    def charge_order() -> Response:
        g.context.deadline = Deadline(settings.submission_deadline)
        key = _required_key()
        order, delivery = read_order(_body())
        return _replayable(lambda: orders.charge(order, delivery, key, g.context))

    @pages.get("/orders/<id>")
    def show_order(id: str) -> Response:
        return json_response(charged_order(orders.tell(id)))

    @pages.post("/orders/<id>/refund")
    def refund_order(id: str) -> Response:
        g.context.deadline = Deadline(settings.submission_deadline)
        key = _required_key()
        confirmation = read("refund", _optional_body("refund"))["manager_confirmation"]
        return _replayable(lambda: orders.refund(id, key, confirmation, g.context))

    @pages.post("/orders/<id>/cancellation")
    def cancel_order(id: str) -> Response:
        g.context.deadline = Deadline(settings.submission_deadline)
        key = _required_key()
        confirmation = read("refund", _optional_body("refund"))["manager_confirmation"]
        return _replayable(lambda: orders.cancel(id, key, confirmation, g.context))

    def _come_back(kind: Kind) -> Redirect:
        answer = redirect(connections.come_back(kind, request.url, g.context), 303)
        # The URL contains a confirmation, so only the site may see it.
        answer.headers["Referrer-Policy"] = "no-referrer"
        answer.headers["Cache-Control"] = "no-store"
        return answer

    return pages


def _body() -> Any:
    return parse(read_body())


def _optional_body(root: str) -> Any:
    """The body. A missing body or a missing ``root`` counts as an empty one."""
    if not request.content_length and "Transfer-Encoding" not in request.headers:
        return {root: {}}
    body = _body()
    return {root: {}, **body} if type(body) is dict else body


def _required_key() -> str:
    if (key := read_idempotency_key()) is None:
        raise Failure("invalid_idempotency_key", "this request moves money: expected the header Idempotency-Key")
    return key


def _once(permissions: list[str]) -> list[str]:
    return list(dict.fromkeys(permissions))


def _started(connection: Connected, authorization_url: str) -> Mapping[str, Any]:
    return {**asdict(connection), "authorization_url": authorization_url}


def _respond(answer: str, content: Any) -> Response:
    return json_response(ANSWERS[answer].dump(content))


def _replayable(call: Callable[[], StoredOrder]) -> Response:
    response = json_response(charged_order(call()))
    if g.context.replayed:
        response.headers["Idempotency-Replayed"] = "true"
    return response
