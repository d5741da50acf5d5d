"""The cards of a user, and how they pay."""

from __future__ import annotations

import secrets
from datetime import timedelta

from flask import Response, url_for

from levelup_ov.domain.secret import Secret
from levelup_ov.standins.levelup.access import Caller
from levelup_ov.standins.levelup.api.base import JSON, api, body, optional_body, reading, time_as_text, writing
from levelup_ov.standins.levelup.cards import TypedCard, card_of_nonce, read_card
from levelup_ov.standins.levelup.encrypted import decrypted
from levelup_ov.standins.levelup.platform import platform, registered
from levelup_ov.standins.levelup.problems import ErrorResponse, invalid, not_found, unauthorized
from levelup_ov.standins.levelup.reading import ObjectReader, unwrap
from levelup_ov.standins.levelup.store import KeptCard, PlatformUser, Transaction, hashed
from levelup_ov.standins.levelup.world import ACCOUNT_PERMISSION, CARDS_PERMISSION, FIRST_CARD_PERMISSION

FIRST_CARD_WINDOW = timedelta(hours=24)
CARD_PAGE_LIFETIME = timedelta(hours=1)
_ENCRYPTED = ("number", "cvv", "expiration_month", "expiration_year")
_ENCRYPTED_LIMIT = 2000


@api.get("/v15/credit_cards")
@api.get("/v14/credit_cards")
def list_cards() -> list[JSON]:
    with reading() as (transaction, caller):
        _, user = caller.user()
        return [_card_as_json(kept) for kept in transaction.cards(user.id)]


@api.post("/v15/credit_cards")
@api.post("/v14/credit_cards")
def add_card() -> JSON:
    """A card, sent by the user's browser or phone: never through an app's server.

    An app's token adds the first card of an account of record. With ``manage_user_payment_methods`` or the user's own
    login there may be more of them, and the new one is charged from then on (C# library). The phone libraries encrypt
    all but the postal code; later apps send a nonce in place of the card.
    """
    with writing() as (transaction, caller):
        user = _may_add_card(transaction, caller)
        reader = unwrap(body(), "credit_card")
        if nonce := reader.text("braintree_payment_nonce"):
            card, errors = card_of_nonce(nonce)
        else:
            card, errors = read_card(_typed(transaction, reader), platform().clock())
        if card is None:
            raise ErrorResponse(422, errors)
        transaction.add_card(user.id, card)
        return _card_as_json(transaction.cards(user.id)[-1])


def _typed(transaction: Transaction, reader: ObjectReader) -> TypedCard:
    """The members of a card: plain, or as ``encrypted_``.

    :raises ErrorResponse: 422.
    """
    # Without a key, nobody can have encrypted anything with it.
    pem = transaction.card_key()
    found: dict[str, str] = {}
    for name in _ENCRYPTED:
        text = reader.text(f"encrypted_{name}", limit=_ENCRYPTED_LIMIT)
        if text is None:
            found[name] = reader.digits(name)
        elif pem and (plain := decrypted(text, pem)) is not None:
            found[name] = plain
        else:
            reader.refuse(f"encrypted_{name}", "This was not encrypted with the key of this platform.")
    postal_code = reader.text("postal_code", required=True) or ""
    reader.check()
    return TypedCard(
        Secret(found["number"]), Secret(found["cvv"]), found["expiration_month"], found["expiration_year"], postal_code
    )


@api.put("/v15/credit_cards/<int:number>")
@api.put("/v14/credit_cards/<int:number>")
def promote_card(number: int) -> JSON:
    """Charge this card from now on (iOS and Android libraries)."""
    with writing() as (transaction, caller):
        user = caller.account(CARDS_PERMISSION)
        _own_card(transaction, user, number)
        transaction.promote_card(user.id, number)
        return _card_as_json(_own_card(transaction, user, number))


@api.delete("/v15/credit_cards/<int:number>")
@api.delete("/v14/credit_cards/<int:number>")
def delete_card(number: int) -> JSON:
    """Forget a card; the answer shows it once more (iOS library)."""
    with writing() as (transaction, caller):
        user = caller.account(CARDS_PERMISSION)
        kept = _own_card(transaction, user, number)
        transaction.delete_card(user.id, number)
        return _card_as_json(kept, state="inactive")


@api.get("/v15/payment_method")
def show_payment_method() -> JSON:
    """How the user pays: with the card that is charged, order by order (iOS library).

    :raises ErrorResponse: 404: there is none.
    """
    with reading() as (transaction, caller):
        _, user = caller.user()
        card = transaction.card(user.id)
    if card is None:
        raise _no_payment_method()
    return {
        "payment_method": {
            "description": f"{card.brand} *{card.last_4}",
            "metadata": {
                "expiration_month": str(card.expiration_month),
                "expiration_year": str(card.expiration_year),
                "issuer": card.brand,
                "last_4": card.last_4,
            },
            "monthly_billing_day": None,
            "monthly_transaction_limit_amount": None,
            "payment_preference_type": "instant_billing",
            "preload_reload_threshold_amount": None,
            "preload_value_amount": None,
            "type": "credit_card",
        }
    }


@api.delete("/v15/payment_method")
def deactivate_payment_method() -> Response:
    """Charge no card of the user's any more: all are forgotten."""
    with writing() as (transaction, caller):
        user = caller.account(CARDS_PERMISSION)
        kept = transaction.cards(user.id)
        if not kept:
            raise _no_payment_method()
        for each in kept:
            transaction.delete_card(user.id, each.id)
    return Response(status=204)


@api.post("/v15/credit_card_pages")
def create_card_page() -> JSON:
    """A link to LevelUp's own page on which the user types the card; ``redirect_uri`` is where they go then."""
    with writing() as (transaction, caller):
        user = _may_add_card(transaction, caller)
        token, _ = caller.user()
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
    token, user = caller.user()
    if not token.permissions.isdisjoint({ACCOUNT_PERMISSION, CARDS_PERMISSION}):
        return user
    caller.user(FIRST_CARD_PERMISSION)
    if platform().clock() > token.created_at + FIRST_CARD_WINDOW:
        raise unauthorized("user_token", f"The permission {FIRST_CARD_PERMISSION} has lapsed after 24 hours.")
    if transaction.cards(user.id):
        raise invalid("credit_card", "base", "There is a card on this account already.", "taken")
    return user


def _own_card(transaction: Transaction, user: PlatformUser, number: int) -> KeptCard:
    found = next((kept for kept in transaction.cards(user.id) if kept.id == number), None)
    if found is None:
        raise not_found("credit_card", "id", "There is no card with this id.")
    return found


def _no_payment_method() -> ErrorResponse:
    return not_found("payment_method", "base", "There is no card on this account.")


def _card_as_json(kept: KeptCard, state: str = "active") -> JSON:
    card = kept.card
    return {
        "credit_card": {
            "id": kept.id,
            "type": card.brand,
            "last_4": card.last_4,
            "expiration_month": card.expiration_month,
            "expiration_year": card.expiration_year,
            "nickname": None,
            "promoted": kept.promoted,
            "debit": False,
            "bin": card.bin,
            "description": f"{card.brand} ending in {card.last_4}",
            "state": state,
        }
    }
