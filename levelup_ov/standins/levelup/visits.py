"""A browser's visit: one cookie, a CSRF token derived from it, and who is signed in."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from dataclasses import dataclass
from urllib.parse import urlsplit

from flask import Response, g, request

from levelup_ov.screens import policy
from levelup_ov.standins.levelup.platform import platform
from levelup_ov.standins.levelup.store import SESSION_LIFETIME, PlatformUser, hashed

PHONE_POLICY = policy(img_src="'self' https: http:", script_src="'self'", connect_src="'self'", form_action="'none'")
"""For the page of an app, which is a script that calls the API; pictures of food come from anywhere."""


@dataclass(frozen=True, slots=True)
class Visits:
    """The visits of one site: ``cookie`` is sent with the paths that start with ``path``."""

    cookie: str
    path: str = "/"

    @property
    def id(self) -> str:
        """The visit that the cookie names, or a new one."""
        if self.cookie not in g:
            setattr(g, self.cookie, request.cookies.get(self.cookie) or secrets.token_urlsafe(32))
        return g.get(self.cookie)

    def renew(self) -> None:
        """Go on under a new cookie, so that one that was planted before is worth nothing."""
        setattr(g, self.cookie, secrets.token_urlsafe(32))

    def csrf(self) -> str:
        """The hidden field of every form."""
        return hashlib.sha256(f"csrf:{self.id}".encode()).hexdigest()

    def forged(self) -> bool:
        """Whether a form was not sent from a page of this visit."""
        return not hmac.compare_digest(request.form.get("csrf", "").encode(), self.csrf().encode())

    def keep(self, response: Response) -> Response:
        """After each request: send the cookie of a new visit."""
        if g.get(self.cookie) not in (None, request.cookies.get(self.cookie)):
            response.set_cookie(
                self.cookie, self.id, int(SESSION_LIFETIME.total_seconds()), path=self.path, httponly=True,
                samesite="Lax", secure=request.is_secure,
            )  # fmt: skip
        return response


LEVELUP = Visits("levelup_visit")


def user() -> PlatformUser | None:
    """Who is signed in."""
    with platform().store.reading() as transaction:
        return transaction.session(hashed(LEVELUP.id), platform().clock())


def sign_in(user_id: int) -> None:
    LEVELUP.renew()
    with platform().store.writing() as transaction:
        transaction.add_session(hashed(LEVELUP.id), user_id, platform().clock())


def sign_out() -> None:
    with platform().store.writing() as transaction:
        transaction.end_session(hashed(LEVELUP.id))
    LEVELUP.renew()


def local(target: str | None) -> str | None:
    """``target`` if it is a path of this server, so that no redirect leads elsewhere."""
    if not target or not target.startswith("/") or target.startswith(("//", "/\\")):
        return None
    return target if not urlsplit(target).netloc and "\n" not in target and "\r" not in target else None
