"""Users and what is theirs: addresses, cards, and the code that they show to pay."""

from __future__ import annotations

import secrets
from datetime import datetime, timedelta, timezone

from flask import request, url_for

from levelup_ov.domain.secret import Secret
from levelup_ov.standins.levelup import orders
from levelup_ov.standins.levelup.access import Caller
from levelup_ov.standins.levelup.api.base import JSON, api, body, optional_body, reading, time_as_text, writing
from levelup_ov.standins.levelup.cards import TypedCard, read_card
from levelup_ov.standins.levelup.platform import platform, registered
from levelup_ov.standins.levelup.problems import ErrorResponse, invalid, not_found, unauthorized
from levelup_ov.standins.levelup.qr import MOST_COLOUR, MOST_TIP, code_of
from levelup_ov.standins.levelup.reading import ObjectReader, unwrap
from levelup_ov.standins.levelup.store import PlatformUser, Transaction, hashed
from levelup_ov.standins.levelup.world import ADDRESS_TYPES, FIRST_CARD_PERMISSION, Address

FIRST_CARD_WINDOW = timedelta(hours=24)
CARD_PAGE_LIFETIME = timedelta(hours=1)


@api.get("/v15/users")
@api.get("/v15/apps/users")
def show_user() -> JSON:
    with reading() as (transaction, caller):
        _, user = caller.user("read_user_basic_info")
        return {"user": _user_as_json(transaction, user)}


def _user_as_json(transaction: Transaction, user: PlatformUser) -> JSON:
    count, merchants, saved = transaction.totals(user.id)
    return {
        "id": user.id,
        "email": user.email,
        "first_name": user.first_name,
        "last_name": user.last_name,
        "phone": user.phone,
        "born_at": None,
        "gender": None,
        "cause_id": None,
        "connected_to_facebook": False,
        "custom_attributes": None,
        "debit_card_only": False,
        "global_credit_amount": orders.global_credit_of(transaction, user.id),
        "merchants_visited_count": merchants,
        "orders_count": count,
        "terms_accepted_at": _seconds_as_text(user.created_at),
        "total_savings_amount": saved,
    }


@api.get("/v15/user_addresses")
def list_addresses() -> list[JSON]:
    with reading() as (transaction, caller):
        _, user = caller.user("manage_user_addresses")
        return [_address_as_json(*found) for found in transaction.addresses(user.id)]


@api.post("/v15/user_addresses")
def add_address() -> JSON:
    with writing() as (transaction, caller):
        _, user = caller.user("manage_user_addresses")
        reader = unwrap(body(), "user_address")
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


@api.get("/v15/user_addresses/<int:number>/delivery_location")
def show_delivery_location(number: int) -> JSON:
    """:raises ErrorResponse: 404: no location here delivers."""
    with reading() as (transaction, caller):
        _, user = caller.user("manage_user_addresses")
        if number not in dict(transaction.addresses(user.id)):
            raise not_found("user_address", "id", "There is no such address.")
    raise not_found("location", "location_id", "No location delivers to this address.")


@api.get("/v15/credit_cards")
@api.get("/v14/credit_cards")
def list_cards() -> list[JSON]:
    with reading() as (transaction, caller):
        _, user = caller.user()
        return [_card_as_json(transaction, user)] if transaction.card(user.id) else []


@api.post("/v15/credit_cards")
def add_card() -> JSON:
    """The first card of an account of record, sent by the user's browser: never through an app's server."""
    with writing() as (transaction, caller):
        user = _may_add_card(transaction, caller)
        reader = unwrap(body(), "credit_card")
        names = ("number", "cvv", "expiration_month", "expiration_year", "postal_code")
        number, cvv, month, year, postal_code = (reader.text(name, required=True) or "" for name in names)
        reader.check()
        card, errors = read_card(TypedCard(Secret(number), Secret(cvv), month, year, postal_code), platform().clock())
        if card is None:
            raise ErrorResponse(422, errors)
        transaction.add_card(user.id, card)
        return _card_as_json(transaction, user)


@api.post("/v15/credit_card_pages")
def create_card_page() -> JSON:
    """A link to LevelUp's own page on which the user types the card; ``redirect_uri`` is where they go then."""
    with writing() as (transaction, caller):
        user = _may_add_card(transaction, caller)
        token, _ = caller.user(FIRST_CARD_PERMISSION)
        reader = ObjectReader("credit_card_page", (optional_body() or {}).get("credit_card_page", {}))
        redirect_uri = reader.text("redirect_uri", limit=1000)
        if redirect_uri and not registered(platform().apps[token.app_id], redirect_uri):
            reader.refuse("redirect_uri", "This redirect_uri is not registered.", "not_registered")
        reader.check()
        link, expires_at = secrets.token_urlsafe(32), platform().clock() + CARD_PAGE_LIFETIME
        transaction.add_card_page(hashed(link), user.id, redirect_uri, expires_at)
        url = url_for("pages.new_card", link=link, _external=True)
        return {"credit_card_page": {"url": url, "expires_at": time_as_text(expires_at)}}


def _may_add_card(transaction: Transaction, caller: Caller) -> PlatformUser:
    token, user = caller.user(FIRST_CARD_PERMISSION)
    if platform().clock() > token.created_at + FIRST_CARD_WINDOW:
        raise unauthorized("user_token", f"The permission {FIRST_CARD_PERMISSION} has lapsed after 24 hours.")
    if transaction.card(user.id):
        raise invalid("credit_card", "base", "There is a card on this account already.", "taken")
    return user


# The code that a phone shows.


@api.get("/v15/payment_token")
def show_payment_token() -> JSON:
    """What the code is made of; the app adds tip and colour (C#, iOS and Android libraries)."""
    with writing() as (transaction, caller):
        _, user = caller.user("read_qr_code")
        number, data = transaction.payment_token(user.id)
        return {"payment_token": {"id": number, "data": data}}


@api.get("/v15/qr_codes")
def show_qr_code() -> JSON:
    """The whole code, with the colour and the tip of the query (Ruby library)."""
    with writing() as (transaction, caller):
        _, user = caller.user("read_qr_code")
        wanted = {name: _preference(name, most) for name, most in (("tip", MOST_TIP), ("color", MOST_COLOUR))}
        code = code_of(transaction.payment_token(user.id)[1], wanted["tip"], wanted["color"])
        return {"qr_code": {"code": code}}


def _preference(name: str, most: int) -> int:
    text = request.args.get(f"preferences[{name}]", "0")
    if not (text.isascii() and text.isdigit() and len(text) < 9 and int(text) <= most):
        raise invalid("qr_code", f"preferences[{name}]", f"This is a number from 0 to {most}.")
    return int(text)


def _address_as_json(number: int, address: Address) -> JSON:
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


def _card_as_json(transaction: Transaction, user: PlatformUser) -> JSON:
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
            "debit": False,
            # The first six digits are not kept.
            "bin": None,
            "description": f"{card.brand} ending in {card.last_4}",
            "state": "active",
        }
    }


def _seconds_as_text(seconds: int) -> str:
    return time_as_text(datetime.fromtimestamp(seconds, timezone.utc))
