"""Tokens of apps, merchants and users, and the permissions that users are asked for."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime

from flask import Response
from werkzeug.security import check_password_hash

from levelup_ov.standins.levelup.access import new_token
from levelup_ov.standins.levelup.api.base import JSON, api, body, writing
from levelup_ov.standins.levelup.platform import platform
from levelup_ov.standins.levelup.problems import ErrorResponse, invalid, not_found
from levelup_ov.standins.levelup.reading import ObjectReader, unwrap
from levelup_ov.standins.levelup.store import PermissionsRequest, PlatformUser, Transaction
from levelup_ov.standins.levelup.world import (
    ACCOUNT_PERMISSION,
    MERCHANT_PERMISSIONS,
    PERMISSIONS,
    USER_PERMISSIONS,
)


@api.post("/v15/access_tokens")
@api.post("/v14/access_tokens")
def create_access_token() -> JSON:
    """An app's token; with ``username`` and ``password`` that of a user, or of a merchant through its owner.

    LevelUp's own PowerShell module calls the key ``client_id``.
    """
    members = body()
    reader = ObjectReader("access_token", members.get("access_token", members))
    api_key, client_id, secret, username, password = (
        reader.text(name) or "" for name in ("api_key", "client_id", "client_secret", "username", "password")
    )
    reader.check()
    now = platform().clock()
    if not username:
        app = platform().authenticated_app(api_key or client_id, secret)
        if app is None:
            raise _wrong_key("api_key and client_secret do not belong together.")
        with writing() as (transaction, _):
            return {"access_token": token_as_json(app.id, new_token(transaction, now, app.id))}
    app = platform().app_of_key(api_key or client_id)
    if app is None:
        raise _wrong_key("There is no app with this api_key.")
    with platform().store.reading() as transaction:
        user = transaction.user_by_email(username)
    if user is None or not check_password_hash(user.password_hash or "", password):
        raise invalid("access_token", "base", "username and password do not belong together.", "not_authorized")
    permissions = (MERCHANT_PERMISSIONS if user.merchant_id else USER_PERMISSIONS) | {ACCOUNT_PERMISSION}
    with writing() as (transaction, _):
        token = new_token(transaction, now, app.id, permissions, user_id=user.id, merchant_id=user.merchant_id)
    return {"access_token": token_as_json(app.id, token, user_id=user.id, merchant_id=user.merchant_id)}


def _wrong_key(message: str) -> ErrorResponse:
    """422, as all pages of v14 and the later ones of v15 say; in 2014, an app's own key was a 404 under v15."""
    return invalid("access_token", "api_key", message, "not_found")


@api.post("/v15/access_tokens/downgrades")
def downgrade_access_token() -> JSON:
    """Another token of the same user with fewer permissions (iOS and Android libraries)."""
    with writing() as (transaction, caller):
        token, user = caller.user()
        reader = unwrap(body(), "access_token")
        names = keynames(reader, token.permissions & USER_PERMISSIONS)
        reader.check()
        made = new_token(transaction, platform().clock(), token.app_id, frozenset(names), user_id=user.id)
        return {"access_token": token_as_json(token.app_id, made, user_id=user.id)}


@api.delete("/v15/access_tokens")
def revoke_access_token() -> Response:
    """Revoke the tokens that the request itself carries."""
    with writing() as (transaction, caller):
        tokens = caller.all()
        for token in tokens:
            transaction.revoke_token(token.hash, platform().clock())
    return Response(status=204)


@api.post("/v15/apps/permissions_requests")
def request_permissions() -> JSON:
    with writing() as (transaction, caller):
        token = caller.app()
        reader = unwrap(body(), "permissions_request")
        email = reader.text("email", required=True)
        names = keynames(reader, PERMISSIONS)
        user = transaction.user_by_email(email or "")
        if email and user is None:
            reader.refuse("email", "There is no user with this e-mail address.", "not_found")
        if MERCHANT_PERMISSIONS.intersection(names):
            # A merchant's token and a user's are two things.
            if not MERCHANT_PERMISSIONS.issuperset(names):
                reader.refuse("permission_keynames", "Permissions of merchants and of users are asked for apart.")
            elif user is not None and user.merchant_id is None:
                reader.refuse("permission_keynames", "The account owns no business.")
        reader.check()
        assert user
        number = transaction.add_request(token.app_id, user.id, names, platform().clock())
        return request_as_json(PermissionsRequest(number, token.app_id, user.id, names, "pending"), user)


@api.get("/v15/apps/permissions_requests/<int:number>")
def show_permissions_request(number: int) -> JSON:
    with writing() as (transaction, caller):
        token = caller.app()
        found = transaction.request(number)
        if found is None or found.app_id != token.app_id:
            raise not_found("permissions_request", "id", "There is no such permissions request.")
        user = transaction.user(found.user_id)
        return request_as_json(found, user, token_for(transaction, found, platform().clock()))


def token_for(transaction: Transaction, found: PermissionsRequest, now: datetime) -> str | None:
    """A token for a request that was accepted. Each reading gets a new one, for none is kept to be shown again."""
    if found.state != "accepted":
        return None
    user = transaction.user(found.user_id)
    merchant_id = user.merchant_id if user and MERCHANT_PERMISSIONS.intersection(found.permissions) else None
    permissions = frozenset(found.permissions)
    return new_token(transaction, now, found.app_id, permissions, user_id=found.user_id, merchant_id=merchant_id)


def keynames(reader: ObjectReader, allowed: Collection[str]) -> tuple[str, ...]:
    """The permissions asked for, each once."""
    names = reader.list("permission_keynames")
    known = [name for name in names if isinstance(name, str) and name in allowed]
    if not names:
        reader.refuse("permission_keynames", "permission_keynames can't be blank.", "blank")
    elif len(known) < len(names):
        reader.refuse("permission_keynames", f"Known are {', '.join(sorted(allowed))}.")
    return tuple(dict.fromkeys(known))


def token_as_json(app_id: int, token: str, *, user_id: int | None = None, merchant_id: int | None = None) -> JSON:
    """A new token."""
    return {"app_id": app_id, "merchant_id": merchant_id, "token": token, "user_id": user_id}


def request_as_json(found: PermissionsRequest, user: PlatformUser | None, token: str | None = None) -> JSON:
    """A permissions request."""
    members: JSON = {
        "app_id": found.app_id,
        "email": user and user.email,
        "id": found.id,
        "permission_keynames": list(found.permissions),
        "state": found.state,
    }
    if token:
        members["token"] = token
    return {"permissions_request": members}
