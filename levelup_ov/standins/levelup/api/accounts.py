"""Accounts: who a user is, what they change about that, and new ones."""

from __future__ import annotations

from datetime import datetime

from flask import Response
from werkzeug.security import generate_password_hash

from levelup_ov.standins.levelup import orders
from levelup_ov.standins.levelup.access import Caller, new_token
from levelup_ov.standins.levelup.api.base import JSON, api, body, reading, time_as_text, writing
from levelup_ov.standins.levelup.api.tokens import keynames, token_as_json
from levelup_ov.standins.levelup.platform import platform
from levelup_ov.standins.levelup.problems import ErrorResponse, invalid, not_found, unauthorized
from levelup_ov.standins.levelup.reading import ObjectReader, unwrap
from levelup_ov.standins.levelup.store import PlatformUser, Transaction
from levelup_ov.standins.levelup.world import EDITING_PERMISSION, SHORTEST_PASSWORD, USER_PERMISSIONS, App

BASIC_INFO = "read_user_basic_info"
_TEXTS = ("email", "first_name", "last_name", "phone", "born_at", "gender")


@api.get("/v15/users")
@api.get("/v15/apps/users")
def show_user() -> JSON:
    with reading() as (transaction, caller):
        _, user = caller.user(BASIC_INFO)
        return {"user": _user_as_json(transaction, user)}


@api.get("/v14/users/<int:number>")
def show_older_user(number: int) -> JSON:
    """The same by its id; users may only read of themselves (iOS and C# libraries)."""
    with reading() as (transaction, caller):
        user = _same(caller.account(BASIC_INFO), number)
        return {"user": _user_as_json(transaction, user)}


@api.put("/v15/users")
def change_user() -> JSON:
    """What is given is changed, the rest stays (iOS and Android libraries)."""
    with writing() as (transaction, caller):
        return _change(transaction, caller.account(EDITING_PERMISSION))


@api.put("/v14/users/<int:number>")
def change_older_user(number: int) -> JSON:
    """The same in the form of the C# library."""
    with writing() as (transaction, caller):
        return _change(transaction, _same(caller.account(EDITING_PERMISSION), number))


def _same(user: PlatformUser, number: int) -> PlatformUser:
    if user.id != number:
        raise not_found("user", "id", "This is not your account.")
    return user


def _change(transaction: Transaction, user: PlatformUser) -> JSON:
    reader = unwrap(body(), "user")
    values: JSON = {name: reader.text(name) for name in _TEXTS}
    if values["email"]:
        _check_email(reader, values["email"])
    if values["born_at"] and not _is_time(values["born_at"]):
        reader.refuse("born_at", "born_at must be a date or a time.")
    attributes = reader.object("custom_attributes")
    if not all(isinstance(value, str) for value in attributes.values()):
        reader.refuse("custom_attributes", "custom_attributes must be texts.")
    password = _password(reader, "new_password")
    reader.check()
    values["custom_attributes"] = {**(user.custom_attributes or {}), **attributes} or None
    values["password_hash"] = password and generate_password_hash(password)
    if not transaction.change_user(user.id, **{name: value for name, value in values.items() if value is not None}):
        raise _taken()
    changed = transaction.user(user.id)
    assert changed
    return {"user": _user_as_json(transaction, changed)}


def _is_time(text: str) -> bool:
    try:
        datetime.fromisoformat(text)
    except ValueError:
        return False
    return True


@api.post("/v15/apps/users")
@api.post("/v15/users")
def create_user() -> JSON:
    """Make an account of record: a user without a password, and the app's token for it.

    The app proves itself by its token (documentation of 2014) or by its ``api_key`` in the body (iOS library, and the
    Android library, which sends it to ``users``).
    """
    with writing() as (transaction, caller):
        reader, outer, app = _registration(caller)
        names = keynames(outer, USER_PERMISSIONS)
        user = _add_user(transaction, reader, app, None)
        made = new_token(transaction, platform().clock(), app.id, frozenset(names), user_id=user.id)
        return {
            "user": _user_as_json(transaction, user),
            "access_token": token_as_json(app.id, made, user_id=user.id),
        }


@api.post("/v14/users")
def register_user() -> JSON:
    """Make an account with a password, to log in with (C#, iOS and Android libraries)."""
    with writing() as (transaction, caller):
        reader, _, app = _registration(caller)
        password = _password(reader, "password", required=True)
        user = _add_user(transaction, reader, app, password)
        return {"user": _user_as_json(transaction, user)}


@api.post("/v15/passwords")
@api.post("/v14/passwords")
def reset_password() -> Response:
    """Ask for a new password. The answer is the same for every address, and no mail is sent."""
    reader = ObjectReader("base", body())
    email = reader.text("email")
    if email is None or not _is_email(email):
        raise invalid("base", "email", "Email is invalid")
    return Response(status=204)


def _registration(caller: Caller) -> tuple[ObjectReader, ObjectReader, App]:
    members = body()
    reader = unwrap(members, "user")
    outer = reader.child("user", members)
    return reader, outer, _app_of(caller, outer)


def _add_user(transaction: Transaction, reader: ObjectReader, app: App, password: str | None) -> PlatformUser:
    email, first_name, last_name = (reader.text(name, required=True) for name in ("email", "first_name", "last_name"))
    phone = reader.text("phone")
    _check_email(reader, email)
    reader.check()
    user_id = transaction.add_user(
        email or "", first_name or "", last_name or "", platform().clock(), app_id=app.id, phone=phone,
        password_hash=password and generate_password_hash(password),
    )  # fmt: skip
    if user_id is None:
        raise _taken()
    user = transaction.user(user_id)
    assert user
    return user


def _check_email(reader: ObjectReader, email: str | None) -> None:
    if email and not _is_email(email):
        reader.refuse("email", "This is not an e-mail address.")


def _is_email(text: str) -> bool:
    return "@" in text.strip("@")


def _password(reader: ObjectReader, property: str, *, required: bool = False) -> str | None:
    password = reader.text(property, required=required)
    if password and len(password) < SHORTEST_PASSWORD:
        reader.refuse(property, f"A password has at least {SHORTEST_PASSWORD} characters.", "too_short")
    return password


def _taken() -> ErrorResponse:
    return invalid("user", "email", "This e-mail address is registered already.", "taken")


def _app_of(caller: Caller, outer: ObjectReader) -> App:
    api_key = outer.text("api_key")
    if caller.names_something():
        app = platform().apps[caller.app().app_id]
        if api_key and api_key != app.api_key:
            outer.refuse("api_key", "The key is not that of the app.")
        return app
    found = platform().app_of_key(api_key or "")
    if found is None and api_key:
        raise invalid("user", "api_key", "There is no app with this api_key.", "not_found")
    if found is None:
        raise unauthorized("app_token", "The app token is missing, and there is no api_key.")
    return found


def _user_as_json(transaction: Transaction, user: PlatformUser) -> JSON:
    count, merchants, saved = transaction.totals(user.id)
    return {
        "id": user.id,
        "email": user.email,
        "first_name": user.first_name,
        "last_name": user.last_name,
        "phone": user.phone,
        "born_at": user.born_at,
        "gender": user.gender,
        "cause_id": None,
        "connected_to_facebook": False,
        "custom_attributes": user.custom_attributes,
        "debit_card_only": False,
        "global_credit_amount": orders.global_credit_of(transaction, user.id, platform().clock()),
        "merchants_visited_count": merchants,
        "orders_count": count,
        "terms_accepted_at": time_as_text(user.registered_at),
        "total_savings_amount": saved,
    }
