"""What is a user's: addresses, and the code that they show to pay."""

from __future__ import annotations

from flask import request

from levelup_ov.standins.levelup.api.base import JSON, api, body, reading, writing
from levelup_ov.standins.levelup.problems import invalid, not_found
from levelup_ov.standins.levelup.qr import FIRST_CENTS, MOST_COLOR, MOST_TIP, code_of
from levelup_ov.standins.levelup.reading import unwrap
from levelup_ov.standins.levelup.world import ADDRESS_TYPES, Address


@api.get("/v15/user_addresses")
@api.get("/v14/user_addresses")
def list_addresses() -> list[JSON]:
    with reading() as (transaction, caller):
        _, user = caller.user("manage_user_addresses")
        return [_address_as_json(*found) for found in transaction.addresses(user.id)]


@api.post("/v15/user_addresses")
@api.post("/v14/user_addresses")
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


# The code that a phone shows.


@api.get("/v15/payment_token")
@api.get("/v14/payment_token")
def show_payment_token() -> JSON:
    """What the code is made of; the app adds tip and color (C#, iOS and Android libraries).

    :raises ErrorResponse: 404 in the older version: there is no card.
    """
    with writing() as (transaction, caller):
        _, user = caller.user("read_qr_code")
        number, data = transaction.payment_token(user.id)
        shown: JSON = {"id": number, "data": data, "action": None, "message": None}
        if not transaction.cards(user.id):
            if request.path.startswith("/v14/"):
                raise not_found("payment_token", "base", "There is no card. Add one to pay.", "no_credit_card")
            shown |= {"action": "add_payment_method", "message": "Add a card, and this code pays."}
        return {"payment_token": shown}


@api.get("/v15/qr_codes")
def show_qr_code() -> JSON:
    """The whole code, with color and tip of the query: ``tip_amount`` in cents, or ``tip_percent`` (Ruby library)."""
    with writing() as (transaction, caller):
        _, user = caller.user("read_qr_code")
        amount, percent = _preference("tip_amount", MOST_TIP - FIRST_CENTS), _preference("tip_percent", 100)
        tip = FIRST_CENTS + amount if amount else percent
        code = code_of(transaction.payment_token(user.id)[1], tip, _preference("color", MOST_COLOR))
        return {"qr_code": {"code": code}}


def _preference(name: str, most: int) -> int:
    text = request.args.get(f"preferences[{name}]", "0")
    if not (text.isascii() and text.isdigit() and len(text) < 9 and int(text) <= most):
        raise invalid("qr_code", "base", f"Payment preferences are invalid: {name} is a number from 0 to {most}.")
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
            # Where it is, nobody has looked up.
            "latitude": None,
            "longitude": None,
        }
    }
