"""OAuth 2: what is asked for, and the token endpoint. The pages in between are in :mod:`pages`.

Not Authlib's server: this imitates one platform, with its own words and gaps.
"""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

from flask import Blueprint, Response, jsonify, request

from levelup_ov.standins.levelup.access import new_token
from levelup_ov.standins.levelup.platform import platform, registered
from levelup_ov.standins.levelup.store import Code, PlatformUser, hashed
from levelup_ov.standins.levelup.world import MERCHANT_PERMISSIONS, PERMISSIONS, App

CODE_LIFETIME = timedelta(minutes=5)
STATE_LIMIT = 100

oauth = Blueprint("oauth", __name__, url_prefix="/oauth2")


class Unsafe(Exception):
    """A request for permission that must not be answered at its redirect URI, whose owner is unknown."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A request for permission whose app and redirect URI are known. ``error``: what else is wrong with it."""

    app: App
    redirect_uri: str
    state: str | None
    permissions: tuple[str, ...]
    error: str | None = None

    @property
    def for_merchant(self) -> bool:
        return bool(MERCHANT_PERMISSIONS.intersection(self.permissions))

    def answer(self, **members: str) -> str:
        """The redirect URI with an answer and the state."""
        parts = urlsplit(self.redirect_uri)
        state = {} if self.state is None else {"state": self.state}
        return parts._replace(query=urlencode([*parse_qsl(parts.query), *members.items(), *state.items()])).geturl()


def read_request(arguments: Mapping[str, str]) -> Asked:
    """:raises Unsafe: the app is unknown or the redirect URI is not one of its own."""
    app = platform().app_of_key(arguments.get("client_id", ""))
    if app is None:
        raise Unsafe("No app has this client_id.")
    redirect_uri = arguments.get("redirect_uri", "")
    if not registered(app, redirect_uri):
        raise Unsafe(f"This redirect_uri is not registered for {app.name}.")
    permissions = tuple(dict.fromkeys(arguments.get("scope", "").split()))
    state = arguments.get("state")
    error = None
    if arguments.get("response_type") != "code":
        error = "unsupported_response_type"
    elif state is not None and len(state) > STATE_LIMIT:
        state, error = None, "invalid_request"
    elif not permissions or not set(permissions) <= set(PERMISSIONS):
        error = "invalid_scope"
    elif MERCHANT_PERMISSIONS.intersection(permissions) and not MERCHANT_PERMISSIONS.issuperset(permissions):
        # A merchant's token and a user's are two things.
        error = "invalid_scope"
    return Asked(app, redirect_uri, state, permissions, error)


def grant(asked: Asked, user: PlatformUser) -> str:
    """Where the browser goes, with a code that is good once."""
    code = secrets.token_urlsafe(24)
    with platform().store.writing() as transaction:
        expires_at = platform().clock() + CODE_LIFETIME
        transaction.add_code(
            hashed(code),
            Code(asked.app.id, user.id, asked.redirect_uri, frozenset(asked.permissions), expires_at, None),
        )
    return asked.answer(code=code)


@oauth.post("/token")
def exchange_code() -> Response | tuple[Response, int]:
    """A code for a token. The app proves itself by Basic authentication, or by its secret in the form."""
    app = _authenticated()
    if app is None:
        return _refused("invalid_client", 401)
    if request.form.get("grant_type") != "authorization_code":
        return _refused("unsupported_grant_type")
    code_hash, now = hashed(request.form.get("code", "")), platform().clock()
    with platform().store.writing() as transaction:
        code = transaction.code(code_hash)
        if code is None or code.app_id != app.id:
            return _refused("invalid_grant")
        if code.token_hash:
            # Somebody else has the code too: what it was exchanged for is good no longer (RFC 6749, 4.1.2).
            transaction.revoke_token(code.token_hash, now)
            return _refused("invalid_grant")
        redirect_uri = request.form.get("redirect_uri", "")
        if code.expires_at <= now or not hmac.compare_digest(code.redirect_uri.encode(), redirect_uri.encode()):
            return _refused("invalid_grant")
        user = transaction.user(code.user_id)
        merchant_id = user.merchant_id if user and MERCHANT_PERMISSIONS & code.permissions else None
        token = new_token(transaction, now, app.id, code.permissions, user_id=code.user_id, merchant_id=merchant_id)
        transaction.spend_code(code_hash, hashed(token))
    return _uncached(
        {
            "access_token": token,
            "token_type": "bearer",
            "scope": " ".join(sorted(code.permissions)),
            "user_id": code.user_id,
        }
    )


@oauth.post("/revoke")
def revoke() -> Response | tuple[Response, int]:
    """Revoke a token (RFC 7009); one that is unknown counts as revoked."""
    app = _authenticated()
    if app is None:
        return _refused("invalid_client", 401)
    with platform().store.writing() as transaction:
        token = transaction.token(hashed(request.form.get("token", "")))
        if token and token.app_id == app.id:
            transaction.revoke_token(token.hash, platform().clock())
    return _uncached({})


def _authenticated() -> App | None:
    basic = request.authorization
    if basic and basic.type == "basic":
        return platform().authenticated_app(basic.username or "", basic.password or "")
    return platform().authenticated_app(request.form.get("client_id", ""), request.form.get("client_secret", ""))


def _refused(code: str, status: int = 400) -> tuple[Response, int]:
    answer = _uncached({"error": code})
    if status == 401:
        answer.headers["WWW-Authenticate"] = 'Basic realm="levelup"'
    return answer, status


def _uncached(members: dict[str, Any]) -> Response:
    answer = jsonify(members)
    answer.headers["Cache-Control"] = "no-store"
    return answer
