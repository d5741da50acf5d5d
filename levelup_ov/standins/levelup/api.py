"""The API under ``/v15/``, and what older clients call under ``/v14/``.

JSON in and out; amounts are cents. A refusal is an array of errors.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta, timezone
from typing import Any

from flask import Blueprint, Response, request, url_for
from werkzeug.security import check_password_hash

from levelup_ov.domain.secret import Secret
from levelup_ov.standins.levelup import orders
from levelup_ov.standins.levelup.access import Caller, new_token
from levelup_ov.standins.levelup.cards import TypedCard, read_card
from levelup_ov.standins.levelup.drafts import read_completion, read_one_step, read_proposal
from levelup_ov.standins.levelup.funds import Programme, Standing
from levelup_ov.standins.levelup.platform import MAINTENANCE, platform, registered
from levelup_ov.standins.levelup.problems import Problem, error, invalid, not_found, unauthorized
from levelup_ov.standins.levelup.reading import Reader, unwrap
from levelup_ov.standins.levelup.store import Order, PermissionsRequest, Token, Transaction, User, hashed
from levelup_ov.standins.levelup.world import (
    ADDRESS_TYPES,
    CAMPAIGNS,
    FIRST_CARD_PERMISSION,
    LOCATIONS,
    MERCHANT_PERMISSION,
    MERCHANTS,
    USER_PERMISSIONS,
    Address,
    Campaign,
    Location,
    Merchant,
)
from levelup_ov.standins.lost_answer import lose_answer

PAGE = 10
"""Orders on one page of a history."""
FIRST_CARD_WINDOW = timedelta(hours=24)
CARD_PAGE_LIFETIME = timedelta(hours=1)
OLDEST_VERSION = 14
REALM = 'OAuth2 realm="levelup", error="invalid_token"'

_JSON = dict[str, Any]

api = Blueprint("api", __name__)


@api.before_request
def check_request() -> None:
    """:raises Problem: 503 or 406."""
    with platform().store.reading() as transaction:
        if transaction.switched_on(MAINTENANCE):
            raise Problem(503, [error("LevelUp is down for maintenance.", code="maintenance")])
    if request.accept_mimetypes and not request.accept_mimetypes.accept_json:
        raise Problem(406, [error("Only application/json can be had.", code="not_acceptable")])


@api.after_request
def answer_conditionally(response: Response) -> Response:
    """304 for a GET whose answer the client has already."""
    if request.method == "GET" and response.status_code == 200:
        response.add_etag()
        response.make_conditional(request)
    return response


# Tokens.


@api.post("/v15/access_tokens")
@api.post("/v14/access_tokens")
def create_access_token() -> _JSON:
    """An app's token; with ``username`` and ``password`` that of a user, or of a merchant through its owner."""
    body = _body()
    reader = Reader("access_token", body.get("access_token", body))
    api_key, secret, username, password = (
        reader.text(name) or "" for name in ("api_key", "client_secret", "username", "password")
    )
    reader.check()
    now = platform().clock()
    if not username:
        app = platform().authenticated_app(api_key, secret)
        if app is None:
            raise unauthorized("api_key", "api_key and client_secret do not belong together.")
        with _writing() as (transaction, _):
            return _token_as_json(app.id, new_token(transaction, now, app.id))
    app = platform().app_of_key(api_key)
    with platform().store.reading() as transaction:
        user = transaction.user_by_email(username)
    if app is None or user is None or not check_password_hash(user.password_hash or "", password):
        raise unauthorized("username", "username and password do not belong together.")
    permissions = frozenset({MERCHANT_PERMISSION}) if user.merchant_id else USER_PERMISSIONS
    with _writing() as (transaction, _):
        token = new_token(transaction, now, app.id, permissions, user_id=user.id, merchant_id=user.merchant_id)
    return _token_as_json(app.id, token, user_id=user.id, merchant_id=user.merchant_id)


@api.delete("/v15/access_tokens")
def revoke_access_token() -> Response:
    """Revoke the tokens that the request itself carries."""
    with _writing() as (transaction, caller):
        tokens = caller.all()
        for token in tokens:
            transaction.revoke_token(token.hash, platform().clock())
    return Response(status=204)


# Permissions.


@api.post("/v15/apps/permissions_requests")
def request_permissions() -> _JSON:
    with _writing() as (transaction, caller):
        token = caller.app()
        reader = unwrap(_body(), "permissions_request")
        email = reader.text("email", required=True)
        keynames = _keynames(reader)
        user = transaction.user_by_email(email or "")
        if email and user is None:
            reader.refuse("email", "There is no user with this e-mail address.", "not_found")
        reader.check()
        assert user
        number = transaction.add_request(token.app_id, user.id, keynames, platform().clock())
        return _request_as_json(PermissionsRequest(number, token.app_id, user.id, keynames, "pending"))


@api.get("/v15/apps/permissions_requests/<int:number>")
def show_permissions_request(number: int) -> _JSON:
    with _writing() as (transaction, caller):
        token = caller.app()
        found = transaction.request(number)
        if found is None or found.app_id != token.app_id:
            raise not_found("permissions_request", "id", "There is no such permissions request.")
        return _request_as_json(found, token_for(transaction, found, platform().clock()))


def token_for(transaction: Transaction, found: PermissionsRequest, now: datetime) -> str | None:
    """A token for a request that was accepted. Each reading gets a new one, for none is kept to be shown again."""
    if found.state != "accepted":
        return None
    return new_token(transaction, now, found.app_id, frozenset(found.permissions), user_id=found.user_id)


@api.post("/v15/apps/users")
def create_user() -> _JSON:
    """Make an account of record: a user without a password, and the app's token for it."""
    with _writing() as (transaction, caller):
        token = caller.app()
        body = _body()
        reader = unwrap(body, "user")
        outer = reader.child("user", body)
        email, first_name, last_name = (
            reader.text(name, required=True) for name in ("email", "first_name", "last_name")
        )
        if email and "@" not in email.strip("@"):
            reader.refuse("email", "This is not an e-mail address.")
        api_key = outer.text("api_key", required=True)
        if api_key and api_key != platform().apps[token.app_id].api_key:
            reader.refuse("api_key", "The key is not that of the app.")
        keynames = _keynames(outer)
        reader.check()
        now = platform().clock()
        user_id = transaction.add_user(email or "", first_name or "", last_name or "", now, app_id=token.app_id)
        if user_id is None:
            raise invalid("user", "email", "This e-mail address is registered already.", "taken")
        made = new_token(transaction, now, token.app_id, frozenset(keynames), user_id=user_id)
        return _token_as_json(token.app_id, made, user_id=user_id)


# Users and what is theirs.


@api.get("/v15/users")
@api.get("/v15/apps/users")
def show_user() -> _JSON:
    with _reading() as (transaction, caller):
        _, user = caller.user("read_user_basic_info")
        return {
            "user": {
                "id": user.id,
                "email": user.email,
                "first_name": user.first_name,
                "last_name": user.last_name,
                "born_at": None,
                "gender": None,
                "global_credit_amount": orders.global_credit_of(transaction, user.id),
            }
        }


@api.get("/v15/user_addresses")
def list_addresses() -> list[_JSON]:
    with _reading() as (transaction, caller):
        _, user = caller.user("manage_user_addresses")
        return [_address_as_json(*found) for found in transaction.addresses(user.id)]


@api.post("/v15/user_addresses")
def add_address() -> _JSON:
    with _writing() as (transaction, caller):
        _, user = caller.user("manage_user_addresses")
        reader = unwrap(_body(), "user_address")
        kind = reader.text("address_type", required=True)
        if kind and kind not in ADDRESS_TYPES:
            reader.refuse("address_type", f"address_type must be one of {', '.join(ADDRESS_TYPES)}.")
        street, locality, region, postal_code = (
            reader.text(name, required=True) for name in ("street_address", "locality", "region", "postal_code")
        )
        extended = reader.text("extended_address")
        reader.check()
        address = Address(kind or "", street or "", extended, locality or "", region or "", postal_code or "")
        return _address_as_json(transaction.add_address(user.id, address), address)


@api.get("/v15/credit_cards")
def list_cards() -> list[_JSON]:
    with _reading() as (transaction, caller):
        _, user = caller.user()
        return [_card_as_json(transaction, user)] if transaction.card(user.id) else []


@api.post("/v15/credit_cards")
def add_card() -> _JSON:
    """The first card of an account of record, sent by the user's browser: never through an app's server."""
    with _writing() as (transaction, caller):
        user = _may_add_card(transaction, caller)
        reader = unwrap(_body(), "credit_card")
        names = ("number", "cvv", "expiration_month", "expiration_year", "postal_code")
        number, cvv, month, year, postal_code = (reader.text(name, required=True) or "" for name in names)
        reader.check()
        card, errors = read_card(TypedCard(Secret(number), Secret(cvv), month, year, postal_code), platform().clock())
        if card is None:
            raise Problem(422, errors)
        transaction.add_card(user.id, card)
        return _card_as_json(transaction, user)


@api.post("/v15/credit_card_pages")
def create_card_page() -> _JSON:
    """A link to LevelUp's own page on which the user types the card; ``redirect_uri`` is where they go then."""
    with _writing() as (transaction, caller):
        user = _may_add_card(transaction, caller)
        token, _ = caller.user(FIRST_CARD_PERMISSION)
        reader = Reader("credit_card_page", (_optional_body() or {}).get("credit_card_page", {}))
        redirect_uri = reader.text("redirect_uri", limit=1000)
        if redirect_uri and not registered(platform().apps[token.app_id], redirect_uri):
            reader.refuse("redirect_uri", "This redirect_uri is not registered.", "not_registered")
        reader.check()
        link, expires_at = secrets.token_urlsafe(32), platform().clock() + CARD_PAGE_LIFETIME
        transaction.add_card_page(hashed(link), user.id, redirect_uri, expires_at)
        url = url_for("pages.new_card", link=link, _external=True)
        return {"credit_card_page": {"url": url, "expires_at": _time(expires_at)}}


@api.get("/v15/users/orders")
def list_orders() -> Response | tuple[list[_JSON], int, dict[str, str]]:
    """Newest first. The page after the last one is empty: 204."""
    page = max(1, request.args.get("page", 1, int))
    with _reading() as (transaction, caller):
        _, user = caller.user("read_user_orders")
        found = transaction.orders_of(user.id, limit=PAGE, offset=(min(page, 10**9) - 1) * PAGE)
        if not found:
            return Response(status=204)
        link = f'<{url_for("api.list_orders", page=page + 1, _external=True)}>; rel="next"'
        return [{"order": _history_as_json(order, user)} for order in found], 200, {"Link": link}


# Places, credit and campaigns.


@api.get("/v15/apps/<int:number>/locations")
def list_app_locations(number: int) -> list[_JSON]:
    if number not in platform().apps:
        raise not_found("app", "id", "There is no such app.")
    return [_location_as_json(location) for location in LOCATIONS.values()]


@api.get("/v15/merchants/<int:number>/locations")
@api.get("/v14/merchants/<int:number>/locations")
def list_merchant_locations(number: int) -> list[_JSON]:
    with _reading() as (_, caller):
        token = caller.older_merchant()
        if _merchant(number).id != token.merchant_id:
            raise unauthorized("merchant_token", "The merchant token is another merchant's.")
        return [_location_as_json(location) for location in LOCATIONS.values() if location.merchant_id == number]


@api.get("/v15/locations/<int:number>")
def show_location(number: int) -> _JSON:
    return _location_as_json(_location(number))


@api.get("/v15/locations/<int:number>/credit")
def show_credit(number: int) -> _JSON:
    """All of a user's credit that counts at a location."""
    with _reading() as (transaction, caller):
        _, user = caller.user()
        funds = orders.funds_of(transaction, user.id, _merchant(_location(number).merchant_id))
        return {"credit": {"total_amount": funds.credit + funds.gift_card + funds.global_credit}}


@api.get("/v15/locations/<int:number>/merchant_funded_credit")
def show_merchant_funded_credit(number: int) -> _JSON:
    """The part of it that the merchant pays for: a discount to the check, or paid for by a gift card."""
    with _reading() as (transaction, caller):
        _, user = caller.user()
        funds = orders.funds_of(transaction, user.id, _merchant(_location(number).merchant_id))
        return {
            "merchant_funded_credit": {
                "discount_amount": funds.credit,
                "gift_card_amount": funds.gift_card,
                "total_amount": funds.credit + funds.gift_card,
            }
        }


@api.get("/v15/locations/<int:number>/campaigns")
def list_location_campaigns(number: int) -> list[_JSON]:
    return list_merchant_campaigns(_location(number).merchant_id)


@api.get("/v15/merchants/<int:number>/campaigns")
def list_merchant_campaigns(number: int) -> list[_JSON]:
    merchant = _merchant(number)
    return [
        {"campaign": {"id": campaign.id, "representation_types": list(campaign.kinds)}}
        for campaign in CAMPAIGNS.values()
        if campaign.merchant_id == merchant.id
    ]


@api.get("/v15/campaigns/<int:number>/<kind>")
def show_campaign(number: int, kind: str) -> _JSON:
    campaign = CAMPAIGNS.get(number)
    if campaign is None or kind not in campaign.kinds:
        raise not_found("campaign", "id", "There is no such campaign in this representation.")
    with _reading() as (transaction, caller):
        user, merchant = caller.maybe_user(), MERCHANTS[campaign.merchant_id]
        standing = transaction.standing(user.id, merchant.id) if user else None
    return {"campaign": _campaign_as_json(campaign, kind, merchant.programme, standing)}


@api.get("/v15/merchants/<int:number>/loyalty")
def show_loyalty(number: int) -> _JSON:
    merchant = _merchant(number)
    with _reading() as (transaction, caller):
        _, user = caller.user()
        standing = transaction.standing(user.id, merchant.id)
        funds = orders.funds_of(transaction, user.id, merchant)
    return {
        "loyalty": {
            "merchant_id": merchant.id,
            "user_id": user.id,
            "merchant_loyalty_enabled": True,
            "orders_count": standing.visits,
            "total_volume_amount": standing.spend,
            "savings_amount": standing.credit,
            "merchant_earn_amount": merchant.programme.reward,
            "potential_credit_amount": funds.credit + funds.gift_card + funds.global_credit,
            **_progress_as_json(merchant.programme, standing),
        }
    }


# Orders.


@api.post("/v15/proposed_orders")
def propose_order() -> _JSON:
    with _writing() as (transaction, caller):
        app_id, user = _order_tokens(caller)
        draft = read_proposal(_body())
        _check_location(caller, draft.location_id)
        proposal = orders.propose(transaction, app_id, user, draft, platform().clock())
    return {"proposed_order": {"uuid": proposal.uuid, "discount_amount": proposal.discount}}


@api.post("/v15/completed_orders")
def complete_order() -> _JSON:
    with _writing() as (transaction, caller):
        app_id, user = _order_tokens(caller)
        draft = read_completion(_body())
        _check_location(caller, draft.location_id)
        order, new = orders.complete(transaction, app_id, user, draft, platform().clock())
        if new:
            _maybe_lose_answer(transaction, order)
    payment = order.payment
    return {
        "order": {
            **_amounts_as_json(order),
            "gift_card_total_amount": payment.gift_card,
            "gift_card_tip_amount": payment.gift_card_tip,
        }
    }


@api.post("/v15/orders")
def create_order() -> _JSON:
    """Propose and complete in one step; sent twice it charges twice."""
    with _writing() as (transaction, caller):
        app_id, user = _order_tokens(caller)
        draft = read_one_step(_body())
        _check_location(caller, draft.location_id)
        order = orders.charge(transaction, app_id, user, draft, platform().clock())
        _maybe_lose_answer(transaction, order)
    return {"order": _amounts_as_json(order)}


@api.get("/v15/orders/<order_uuid>")
def show_order(order_uuid: str) -> _JSON:
    """An order as its merchant or its user may read it."""
    with _reading() as (transaction, caller):
        if caller.names_user():
            _, user = caller.user("read_user_orders")
            order = transaction.order(order_uuid)
            if order is None or order.user_id != user.id:
                raise Problem(404)
            return {"order": _history_as_json(order, user)}
        return _order_of_merchant(transaction, caller.merchant(), order_uuid)


@api.get("/v15/merchants/<int:number>/orders/<order_uuid>")
@api.get("/v14/merchants/<int:number>/orders/<order_uuid>")
def show_merchant_order(number: int, order_uuid: str) -> _JSON:
    """An order as its merchant reads it, ``refunded_at`` included."""
    with _reading() as (transaction, caller):
        token = caller.older_merchant()
        if _merchant(number).id != token.merchant_id:
            raise unauthorized("merchant_token", "The merchant token is another merchant's.")
        return _order_of_merchant(transaction, token, order_uuid)


@api.get("/v15/locations/<int:number>/orders")
@api.get("/v14/locations/<int:number>/orders")
def list_location_orders(number: int) -> Response | tuple[list[_JSON], int, dict[str, str]]:
    """A location's orders, newest first, in pages; the page after the last one is empty: 204."""
    page = max(1, request.args.get("page", 1, int))
    with _reading() as (transaction, caller):
        token = caller.older_merchant()
        location = _location(number)
        if location.merchant_id != token.merchant_id:
            raise unauthorized("merchant_token", "The location is another merchant's.")
        offset = (min(page, 10**9) - 1) * PAGE
        found = transaction.orders_at(location.id, token.app_id, limit=PAGE, offset=offset)
        if not found:
            return Response(status=204)
        link = url_for("api.list_location_orders", number=number, page=page + 1, _external=True)
        listed = [{"order": _order_as_json(order, _user_of(transaction, order))} for order in found]
        return listed, 200, {"Link": f'<{link}>; rel="next"'}


@api.get("/v15/managed_locations")
def list_managed_locations() -> list[_JSON]:
    """The locations of the merchant that the token is for."""
    with _reading() as (_, caller):
        token = caller.older_merchant()
        return [_location_as_json(each) for each in LOCATIONS.values() if each.merchant_id == token.merchant_id]


def _order_of_merchant(transaction: Transaction, token: Token, order_uuid: str) -> _JSON:
    order = transaction.order(order_uuid)
    if order is None or (order.app_id, order.merchant_id) != (token.app_id, token.merchant_id):
        raise Problem(404)
    return {"order": _order_as_json(order, _user_of(transaction, order))}


def _user_of(transaction: Transaction, order: Order) -> User:
    user = transaction.user(order.user_id)
    assert user
    return user


@api.post("/v15/orders/<order_uuid>/refund")
def refund_order(order_uuid: str) -> _JSON | tuple[_JSON, int]:
    """Refund a whole order. For some tips the answer is one that a client must not take for a refund."""
    with _writing() as (transaction, caller):
        token = caller.merchant()
        reader = Reader("refund", (_optional_body() or {}).get("refund") or {})
        confirmation = reader.text("manager_confirmation")
        reader.check()
        order = orders.refund(
            transaction, token.app_id, token.merchant_id or 0, order_uuid, confirmation, platform().clock()
        )
        told = _order_as_json(order, _user_of(transaction, order))
        if order.payment.tip in orders.UNTOLD:
            return {"order": {**told, "refunded_at": None}}, 202
        if order.payment.tip == orders.IN_PART:
            half = order.payment.spend // 2
            told |= {"spend_amount": half, "tip_amount": 0, "total_amount": half}
        return {"order": told}


@api.route("/v<int:version>/<path:rest>", methods=["GET", "POST", "PUT", "PATCH", "DELETE"])
def other_version(version: int, rest: str) -> Response:
    """:raises Problem: 501 for a version that is no longer served, 404 for what never was."""
    if version < OLDEST_VERSION:
        raise Problem(501, [error("This client is too old. Please update it.", code="client_too_old")])
    raise Problem(404, [error("There is nothing at this address.", code="not_found")])


@contextmanager
def _reading() -> Iterator[tuple[Transaction, Caller]]:
    with platform().store.reading() as transaction:
        yield transaction, Caller(request.headers.get("Authorization", ""), transaction)


@contextmanager
def _writing() -> Iterator[tuple[Transaction, Caller]]:
    with platform().store.writing() as transaction:
        yield transaction, Caller(request.headers.get("Authorization", ""), transaction)


def _body() -> _JSON:
    """The body, which must be there.

    :raises Problem: 400, it is not a JSON object.
    """
    if request.mimetype != "application/json":
        raise Problem(400, [error("The body must be sent as application/json.", code="bad_request")])
    try:
        body = json.loads(request.get_data())
    except (ValueError, RecursionError):
        body = None
    if not isinstance(body, dict):
        raise Problem(400, [error("The body is not a JSON object.", code="bad_request")])
    return body


def _optional_body() -> _JSON | None:
    return _body() if request.get_data() else None


def _keynames(reader: Reader) -> tuple[str, ...]:
    keynames = reader.list("permission_keynames")
    known = [name for name in keynames if isinstance(name, str) and name in USER_PERMISSIONS]
    if not keynames:
        reader.refuse("permission_keynames", "permission_keynames can't be blank.", "blank")
    elif len(known) < len(keynames):
        reader.refuse("permission_keynames", f"Known are {', '.join(sorted(USER_PERMISSIONS))}.")
    return tuple(dict.fromkeys(known))


def _may_add_card(transaction: Transaction, caller: Caller) -> User:
    token, user = caller.user(FIRST_CARD_PERMISSION)
    if platform().clock() > token.created_at + FIRST_CARD_WINDOW:
        raise unauthorized("user_token", f"The permission {FIRST_CARD_PERMISSION} has lapsed after 24 hours.")
    if transaction.card(user.id):
        raise invalid("credit_card", "base", "There is a card on this account already.", "taken")
    return user


def _order_tokens(caller: Caller) -> tuple[int, User]:
    """The app that orders, and for whom; both tokens must be the app's."""
    merchant_token = caller.merchant()
    token, user = caller.user("create_orders")
    if token.app_id != merchant_token.app_id:
        raise unauthorized("user_token", "The user token is another app's.")
    return token.app_id, user


def _check_location(caller: Caller, location_id: int) -> None:
    if orders.merchant_of(location_id).id != caller.merchant().merchant_id:
        raise unauthorized("merchant_token", "The location is another merchant's.")


def _maybe_lose_answer(transaction: Transaction, order: Order) -> None:
    card = transaction.card(order.user_id)
    if order.payment.card and card and card.outcome == "answer_lost":
        lose_answer(request.environ)


def _location(number: int) -> Location:
    if (location := LOCATIONS.get(number)) is None:
        raise not_found("location", "location_id", "There is no location with this id.")
    return location


def _merchant(number: int) -> Merchant:
    if (merchant := MERCHANTS.get(number)) is None:
        raise not_found("merchant", "merchant_id", "There is no merchant with this id.")
    return merchant


def _token_as_json(app_id: int, token: str, *, user_id: int | None = None, merchant_id: int | None = None) -> _JSON:
    return {"access_token": {"app_id": app_id, "merchant_id": merchant_id, "token": token, "user_id": user_id}}


def _request_as_json(found: PermissionsRequest, token: str | None = None) -> _JSON:
    members: _JSON = {
        "app_id": found.app_id,
        "id": found.id,
        "permission_keynames": list(found.permissions),
        "state": found.state,
    }
    if token:
        members["token"] = token
    return {"permissions_request": members}


def _address_as_json(number: int, address: Address) -> _JSON:
    return {
        "user_address": {
            "id": number,
            "address_type": address.type,
            "street_address": address.street_address,
            "extended_address": address.extended_address,
            "locality": address.locality,
            "region": address.region,
            "postal_code": address.postal_code,
        }
    }


def _card_as_json(transaction: Transaction, user: User) -> _JSON:
    card = transaction.card(user.id)
    assert card
    return {
        "credit_card": {
            "id": user.id,
            "type": card.brand,
            "last_4": card.last_4,
            "expiration_month": card.expiration_month,
            "expiration_year": card.expiration_year,
            "promoted": True,
        }
    }


def _location_as_json(location: Location) -> _JSON:
    return {
        "location": {
            "id": location.id,
            "merchant_id": location.merchant_id,
            "merchant_name": MERCHANTS[location.merchant_id].name,
            "name": location.name,
            "street_address": location.street_address,
            "locality": location.locality,
            "region": location.region,
            "postal_code": location.postal_code,
        }
    }


def _campaign_as_json(campaign: Campaign, kind: str, programme: Programme, standing: Standing | None) -> _JSON:
    members = {
        "id": campaign.id,
        "merchant_id": campaign.merchant_id,
        "representation_type": kind,
        "title": campaign.title,
        "offer_html": campaign.offer,
    }
    if kind == "basic_v1":
        return members
    goal = "spend_goal_amount" if programme.kind == "spend" else "visit_goal"
    members |= {goal: programme.goal, "earn_amount": programme.reward}
    return members | _progress_as_json(programme, standing) if standing else members


def _progress_as_json(programme: Programme, standing: Standing) -> _JSON:
    progress = programme.progress(standing)
    remaining = programme.goal - progress
    return {
        "spend_remaining_amount": remaining if programme.kind == "spend" else None,
        "visits_remaining": remaining if programme.kind == "visit" else None,
        "progress_percentage": progress * 100 // programme.goal,
    }


def _amounts_as_json(order: Order) -> _JSON:
    payment = order.payment
    return {
        "uuid": order.uuid,
        "spend_amount": payment.spend,
        "tip_amount": payment.tip,
        "total_amount": payment.spend + payment.tip,
    }


def _order_as_json(order: Order, user: User) -> _JSON:
    return {
        "created_at": _time(order.created_at),
        "location_id": order.location_id,
        # A user's loyalty with a merchant, one for each pair of them.
        "loyalty_id": order.merchant_id * 1_000_000 + order.user_id,
        "refunded_at": order.refunded_at and _time(order.refunded_at),
        "user_display_name": user.display_name,
        "earn_amount": order.earned,
        "merchant_funded_credit_amount": order.payment.discount,
        **_amounts_as_json(order),
    }


def _history_as_json(order: Order, user: User) -> _JSON:
    return {
        **_order_as_json(order, user),
        "identifier_from_merchant": order.draft.identifier_from_merchant,
        "merchant_id": order.merchant_id,
        "merchant_name": MERCHANTS[order.merchant_id].name,
        "location_name": LOCATIONS[order.location_id].name,
        "credit_applied_amount": order.payment.discount + order.payment.gift_card + order.payment.global_credit,
        "balance_amount": order.payment.card,
    }


def _time(instant: datetime) -> str:
    return instant.astimezone(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
