"""Web checkout: what ``docs/checkout.rst`` describes."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from datetime import datetime, timezone
from typing import Any

from flask import Blueprint, Response, g, redirect, request
from werkzeug.wrappers import Response as Redirect

from levelup_ov.blueprints.http import json_response, read_body, read_idempotency_key
from levelup_ov.checkout import Checkout
from levelup_ov.checkout.client import PastOrder
from levelup_ov.checkout.orders import Preview
from levelup_ov.checkout.store import Connected, Kind, Order, from_ms
from levelup_ov.config import Settings
from levelup_ov.deadline import Deadline
from levelup_ov.domain.failure import Failure
from levelup_ov.schemas.body import parse
from levelup_ov.schemas.checkout import read, read_answered_request, read_confirmation, read_order

LARGEST_PAGE = 10_000


def blueprint(checkout: Checkout, settings: Settings) -> Blueprint:
    """The endpoints under ``/checkout``."""
    pages = Blueprint("checkout", __name__, url_prefix="/checkout")
    connections, orders = checkout.connections, checkout.orders

    @pages.before_request
    def name_provider() -> None:
        g.trace.provider = "levelup"

    # Merchants.

    @pages.post("/merchants")
    def start_merchant() -> Response:
        return _merchant(*connections.start_merchant(read("merchant", _body())["return_to"]))

    @pages.get("/merchants/callback")
    def merchant_callback() -> Redirect:
        return _come_back("merchant")

    @pages.post("/merchants/<id>/confirm")
    def confirm_merchant(id: str) -> Response:
        return _merchant(connections.confirm("merchant", id, read_confirmation(_body())))

    @pages.get("/merchants")
    def list_connected_merchants() -> Response:
        return json_response({"merchants": [{"merchant": _merchant_json(each)} for each in connections.merchants()]})

    @pages.get("/merchants/<id>")
    def show_merchant(id: str) -> Response:
        return _merchant(connections.show("merchant", id))

    @pages.get("/merchants/<id>/locations")
    def list_merchant_locations(id: str) -> Response:
        found = connections.locations(id, g.trace)
        return json_response({"locations": [{"location": {"id": number, "name": name}} for number, name in found]})

    @pages.delete("/merchants/<id>")
    def disconnect_merchant(id: str) -> Response:
        return _merchant(connections.disconnect("merchant", id, g.trace))

    # Users.

    @pages.post("/users/authorizations")
    def start_user() -> Response:
        asked = read("authorization", _body())
        hints = {name: asked[name] for name in ("login_hint", "first_name", "last_name")}
        return _user(*connections.start_user(asked["return_to"], _once(asked["permissions"]), hints))

    @pages.get("/users/callback")
    def user_callback() -> Redirect:
        return _come_back("user")

    @pages.post("/users/<id>/confirm")
    def confirm_user(id: str) -> Response:
        return _user(connections.confirm("user", id, read_confirmation(_body())))

    @pages.post("/users/permissions_requests")
    def request_permissions() -> Response:
        asked = read("permissions_request", _body())
        return _user(connections.request_permissions(asked["email"], _once(asked["permissions"]), g.trace))

    @pages.post("/users/permissions_requests/callback")
    def permissions_callback() -> Response:
        connections.permissions_answered(read_answered_request(_body()), g.trace)
        return json_response({})

    @pages.post("/users/<id>/poll")
    def poll_user(id: str) -> Response:
        return _user(connections.poll(id, g.trace))

    @pages.post("/users")
    def create_user() -> Response:
        asked = read("user", _body())
        permissions = _once(asked["permissions"])
        names = (asked["email"], asked["first_name"], asked["last_name"])
        return _user(connections.create_user(*names, permissions, g.trace))

    @pages.get("/users/<id>")
    def show_user(id: str) -> Response:
        return _user(connections.show("user", id))

    @pages.delete("/users/<id>")
    def disconnect_user(id: str) -> Response:
        return _user(connections.disconnect("user", id, g.trace))

    @pages.get("/users/<id>/profile")
    def show_profile(id: str) -> Response:
        return json_response({"profile": asdict(connections.profile(id, g.trace))})

    @pages.get("/users/<id>/addresses")
    def list_addresses(id: str) -> Response:
        return json_response({"addresses": [{"address": each} for each in connections.addresses(id, g.trace)]})

    @pages.post("/users/<id>/addresses")
    def add_address(id: str) -> Response:
        return json_response({"address": connections.add_address(id, read("address", _body()), g.trace)})

    @pages.post("/users/<id>/card_page")
    def create_card_page(id: str) -> Response:
        return_to = read("card_page", _optional_body("card_page"))["return_to"]
        page = connections.card_page(id, return_to, g.trace)
        return json_response({"card_page": {"url": page.url, "expires_at": _time(page.expires_at)}})

    @pages.get("/users/<id>/orders")
    def list_past_orders(id: str) -> Response:
        found, following = connections.past_orders(id, _page(), g.trace)
        return json_response({"orders": [{"order": _past_order(each)} for each in found], "next_page": following})

    # Orders.

    @pages.post("/order_previews")
    def preview_order() -> Response:
        return json_response({"preview": _preview(orders.preview(read("order", _body()), g.trace))})

    @pages.post("/orders")
    def charge_order() -> Response:
        g.trace.deadline = Deadline(settings.submission_deadline)
        key = _required_key()
        order, delivery = read_order(_body())
        return _replayable(lambda: orders.charge(order, delivery, key, g.trace))

    @pages.get("/orders/<id>")
    def show_order(id: str) -> Response:
        return json_response({"order": _order(orders.show(id))})

    @pages.post("/orders/<id>/refund")
    def refund_order(id: str) -> Response:
        g.trace.deadline = Deadline(settings.submission_deadline)
        key = _required_key()
        confirmation = read("refund", _optional_body("refund"))["manager_confirmation"]
        return _replayable(lambda: orders.refund(id, key, confirmation, g.trace))

    def _come_back(kind: Kind) -> Redirect:
        answer = redirect(connections.come_back(kind, request.url, g.trace), 303)
        # The address holds a confirmation: it goes nowhere but to the site.
        answer.headers["Referrer-Policy"] = "no-referrer"
        answer.headers["Cache-Control"] = "no-store"
        return answer

    return pages


def _body() -> Any:
    return parse(read_body())


def _optional_body(root: str) -> Any:
    """The body; where it is missing or has no ``root``, as if that were empty."""
    if not request.content_length and "Transfer-Encoding" not in request.headers:
        return {root: {}}
    body = _body()
    return {root: {}, **body} if type(body) is dict else body


def _required_key() -> str:
    if (key := read_idempotency_key()) is None:
        raise Failure("invalid_idempotency_key", "money moves here: expected the header Idempotency-Key")
    return key


def _page() -> int:
    given = request.args.get("page", "1")
    if not given.isascii() or not given.isdecimal() or len(given) > 5 or not 1 <= int(given) <= LARGEST_PAGE:
        raise Failure("invalid_member", f"expected page to be a number from 1 to {LARGEST_PAGE}")
    return int(given)


def _once(permissions: list[str]) -> list[str]:
    return list(dict.fromkeys(permissions))


def _replayable(call: Callable[[], Order]) -> Response:
    response = json_response({"order": _order(call())})
    if g.trace.replayed:
        response.headers["Idempotency-Replayed"] = "true"
    return response


def _merchant(connection: Connected, authorization_url: str | None = None) -> Response:
    return json_response({"merchant": _merchant_json(connection, authorization_url)})


def _merchant_json(connection: Connected, authorization_url: str | None = None) -> dict[str, Any]:
    return {
        "id": connection.id,
        "state": connection.state,
        "levelup_merchant_id": connection.levelup_id,
        "authorization_url": authorization_url,
    }


def _user(connection: Connected, authorization_url: str | None = None) -> Response:
    return json_response(
        {
            "user": {
                "id": connection.id,
                "state": connection.state,
                "permissions": connection.permissions.split(),
                "authorization_url": authorization_url,
            }
        }
    )


def _past_order(order: PastOrder) -> dict[str, Any]:
    return {
        "uuid": order.uuid,
        "created_at": _time(order.created_at),
        "location_id": order.location_id,
        "spend_amount": order.spend,
        "tip_amount": order.tip,
        "total_amount": order.total,
        "refunded_at": _time(order.refunded_at),
    }


def _preview(preview: Preview) -> dict[str, Any]:
    sent, loyalty = preview.amounts, preview.loyalty
    total = sent.spend + preview.tip
    return {
        "spend_amount": sent.spend,
        "tax_amount": sent.tax,
        "exemption_amount": sent.exemption,
        "tip_amount": preview.tip,
        "total_amount": total,
        "discount_amount": preview.discount,
        "user_pays_amount": total - preview.discount,
        "credit_amount": preview.credit,
        "loyalty": loyalty
        and {
            "potential_credit_amount": loyalty.potential_credit,
            "spend_remaining_amount": loyalty.spend_remaining,
            "progress_percentage": loyalty.progress_percentage,
        },
        "campaigns": [{"campaign": campaign} for campaign in preview.campaigns],
    }


def _order(order: Order) -> dict[str, Any]:
    return {
        "id": order.id,
        "uuid": order.uuid,
        "state": order.state,
        "merchant": order.merchant,
        "user": order.user,
        "location_id": order.location_id,
        "spend_amount": order.spend,
        "tax_amount": order.tax,
        "exemption_amount": order.exemption,
        "tip_amount": order.tip,
        "total_amount": order.spend + order.tip if order.total is None else order.total,
        "discount_amount": order.discount,
        "user_pays_amount": order.spend + order.tip - order.discount,
        "gift_card_total_amount": order.gift_card_total,
        "gift_card_tip_amount": order.gift_card_tip,
        "created_at": _time(from_ms(order.created_at)),
        "refunded_at": None if order.refunded_at is None else _time(from_ms(order.refunded_at)),
        "provider_location_id": order.provider_location_id,
        "order_submission": order.submitted and json.loads(order.submitted),
        "problem": order.problem and json.loads(order.problem),
    }


def _time(instant: datetime | None) -> str | None:
    return None if instant is None else instant.astimezone(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
