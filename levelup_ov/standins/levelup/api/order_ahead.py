"""Ordering ahead, as apps call it: start, poll, complete, poll."""

from __future__ import annotations

from collections import Counter
from datetime import datetime, timezone

from flask import Response, request, url_for

from levelup_ov.standins.levelup.access import read_authorization
from levelup_ov.standins.levelup.ahead import ahead, carts, views
from levelup_ov.standins.levelup.ahead.work import refusal
from levelup_ov.standins.levelup.api.base import JSON, api, body, check_maintenance, reading, time_as_text
from levelup_ov.standins.levelup.store import Ahead, Transaction, hashed

MOST_SUGGESTED = 25
SUGGESTIONS = ("past", "popular")
LOOKED_AT = 200
"""Orders of a place that are counted to find what is popular."""


@api.get("/v15/order_ahead/menus/<int:number>")
def show_menu(number: int) -> JSON:
    """A menu, for everybody. It has the number of its location."""
    return {"menu": ahead().menu(number)}


@api.post("/v15/order_ahead/orders")
def start_order() -> tuple[JSON, int]:
    with reading() as (_, caller):
        token, user = caller.user("create_orders")
    order = ahead().start(token.app_id, user, carts.read_cart(body()))
    return {"order": {"order_url": _url("show_ahead", order), "state": order.state, "uuid": order.uuid}}, 202


@api.get("/v15/order_ahead/orders/<uuid>")
def show_ahead(uuid: str) -> Response:
    """202 without a body until it is validated."""
    state, answer = _known(uuid) or ("", None)
    if state == "validating":
        return _answer(None, 202)
    if state == "valid" and answer:
        return _answer(views.with_url(answer, f"{request.base_url}/complete"), 200)
    order = _own(uuid)
    if order.state == "validating":
        return _answer(None, 202)
    if order.state == "invalid":
        raise refusal(order)
    with reading() as (transaction, _):
        answer = views.validated(transaction, order)
    return _answer(views.with_url(answer, f"{request.base_url}/complete"), 200)


@api.post("/v15/order_ahead/orders/<uuid>/complete")
def complete_ahead(uuid: str) -> tuple[JSON, int]:
    with reading() as (_, caller):
        _, user = caller.user("create_orders")
    order = ahead().complete(uuid, user.id)
    state = "submitting" if order.state == "charging" else order.state
    return {"order": {"order_url": _url("show_completed", order), "state": state, "uuid": order.uuid}}, 202


@api.get("/v15/order_ahead/orders/<uuid>/complete")
def show_completed(uuid: str) -> Response:
    """202 with what is known until the restaurant has it, then 200."""
    state, answer = _known(uuid) or ("", None)
    if answer is None or state not in views.SUBMITTED:
        order = _own(uuid)
        if order.state not in views.SUBMITTED:
            raise refusal(order)
        state = order.state
        with reading() as (transaction, _):
            answer = views.completed(transaction, order)
    return _answer(answer, 200 if state == "completed" else 202)


@api.get("/v15/order_ahead/orders/suggested")
def list_suggested() -> list[JSON]:
    """What the user ordered before, and what others order, at a location or anywhere; at most 25."""
    given = [*request.args.getlist("types"), *request.args.getlist("types[]")]
    types = {word.strip() for text in given for word in text.split(",")} or set(SUGGESTIONS)
    location_id = request.args.get("location_id", None, int)
    suggested: list[JSON] = []
    with reading() as (transaction, caller):
        _, user = caller.user()
        seen: set[str] = set()
        own = transaction.completed_ahead(location_id, user.id, MOST_SUGGESTED) if "past" in types else []
        found = [("past", order) for order in own]
        if "popular" in types:
            everybody = transaction.completed_ahead(location_id, None, LOOKED_AT)
            counted = Counter(_content(order) for order in everybody)
            by_count = sorted(everybody, key=lambda order: -counted[_content(order)])
            found += [("suggested", order) for order in by_count]
        for banner, order in found:
            if _content(order) not in seen and len(suggested) < MOST_SUGGESTED:
                seen.add(_content(order))
                suggested.append({"order": _suggested_as_json(transaction, order, banner, own=banner == "past")})
    return suggested


def _known(uuid: str) -> tuple[str, str | None] | None:
    given = read_authorization(request.headers.get("Authorization", ""))
    return ahead().known(uuid, hashed(given.get("user", given.get("app", ""))))


def _answer(text: str | None, status: int) -> Response:
    return Response(text, status, mimetype="application/json")


def _own(uuid: str) -> Ahead:
    with reading() as (transaction, caller):
        check_maintenance(transaction)
        _, user = caller.user()
        order = transaction.ahead(uuid)
    return ahead().look(order, user.id)


def _url(endpoint: str, order: Ahead) -> str:
    return url_for(f"api.{endpoint}", uuid=order.uuid, _external=True)


def _content(order: Ahead) -> str:
    lines = [(item["id"], item["quantity"], tuple(sorted(item["option_ids"]))) for item in order.cart["items"]]
    return f"{order.location_id} {sorted(lines)}"


def _suggested_as_json(transaction: Transaction, order: Ahead, banner: str, *, own: bool) -> JSON:
    where = views.where(transaction, order)
    items = order.cart["described"]
    return {
        "banner": banner,
        "conveyance": {**views.conveyance(order), "desired_ready_time": None},
        "created_at": time_as_text(datetime.fromtimestamp(order.created_at, timezone.utc)),
        "description": ", ".join(str(entry["item"]["name"]) for entry in items),
        # What somebody else wrote is theirs.
        "items": [
            {
                "item": {
                    "id": item["id"],
                    "quantity": item["quantity"],
                    "option_ids": item["option_ids"],
                    "special_instructions": item["special_instructions"] if own else None,
                }
            }
            for item in order.cart["items"]
        ],
        "location_id": order.location_id,
        "menu_url": url_for("api.show_menu", number=order.location_id, _external=True),
        "merchant_name": where["merchant_name"],
        "special_instructions": order.cart["special_instructions"] if own else None,
        "total_amount": carts.amounts_of(order.quote).total,  # type: ignore[union-attr]
        "uuid": order.uuid if own else None,
    }
