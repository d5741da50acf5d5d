"""A browser's visit: one cookie, a CSRF token derived from it, and who is signed in."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from urllib.parse import urlsplit

from flask import Response, g, request

from levelup_ov.standin.platform import platform
from levelup_ov.standin.store import SESSION_LIFETIME, User, hashed

COOKIE = "levelup_visit"


HEADERS = {
    # No form-action: browsers hold it against the redirect back to the app too.
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'self'; img-src 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}
"""What a page tells the browser not to do."""


def forged() -> bool:
    """Whether a form was not sent from a page of this visit."""
    return not hmac.compare_digest(request.form.get("csrf", "").encode(), csrf().encode())


def csrf() -> str:
    """The hidden field of every form."""
    return hashlib.sha256(f"csrf:{_visit()}".encode()).hexdigest()


def user() -> User | None:
    """Who is signed in."""
    with platform().store.reading() as transaction:
        return transaction.session(hashed(_visit()), platform().clock())


def sign_in(user_id: int) -> None:
    """Go on under a new cookie, so that one that was planted before is worth nothing."""
    g.visit = _new()
    with platform().store.writing() as transaction:
        transaction.add_session(hashed(g.visit), user_id, platform().clock())


def sign_out() -> None:
    with platform().store.writing() as transaction:
        transaction.end_session(hashed(_visit()))
    g.visit = _new()


def keep(response: Response) -> Response:
    """After each request: send the cookie of a new visit."""
    if g.get("visit") not in (None, request.cookies.get(COOKIE)):
        response.set_cookie(
            COOKIE, g.visit, int(SESSION_LIFETIME.total_seconds()), httponly=True, samesite="Lax",
            secure=request.is_secure,
        )  # fmt: skip
    return response


def local(target: str | None) -> str | None:
    """``target`` if it is a path of this server, so that nobody is sent elsewhere."""
    if not target or not target.startswith("/") or target.startswith(("//", "/\\")):
        return None
    return target if not urlsplit(target).netloc and "\n" not in target and "\r" not in target else None


def _visit() -> str:
    """The one that the cookie names, or a new one."""
    if "visit" not in g:
        g.visit = request.cookies.get(COOKIE) or _new()
    return g.visit


def _new() -> str:
    return secrets.token_urlsafe(32)
