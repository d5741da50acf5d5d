"""Tokens in headers, and OAuth's code flow with Authlib's pure functions; the client makes the calls (RFC 6749).

The functions that use Authlib import it: it takes 4 MB, and people connect rarely.
"""

from __future__ import annotations

import base64
import hashlib
import secrets
from collections.abc import Mapping, Sequence
from urllib.parse import parse_qsl, quote

from levelup_ov.domain.failure import Failure
from levelup_ov.domain.secret import Secret

MERCHANT_PERMISSION = "manage_merchant_orders"
AUTHORIZATION_PATH = "/oauth2/authorizations/new"
TOKEN_PATH = "/oauth2/token"


def header(*, app: Secret | None = None, merchant: Secret | None = None, user: Secret | None = None) -> dict[str, str]:
    """The ``Authorization`` header: the app's token alone, or a merchant's, a user's or both."""
    if app is not None:
        return {"Authorization": f"token {app.reveal()}"}
    named = (("merchant", merchant), ("user", user))
    tokens = ", ".join(f'{name}="{token.reveal()}"' for name, token in named if token is not None)
    return {"Authorization": f"token {tokens}"}


def basic(client_id: str, client_secret: Secret) -> dict[str, str]:
    """The header that authenticates the app at the token endpoint (RFC 6749, 2.3.1)."""
    pair = f"{quote(client_id, safe='')}:{quote(client_secret.reveal(), safe='')}"
    return {"Authorization": f"Basic {base64.b64encode(pair.encode()).decode()}"}


def new_secret() -> str:
    """A random, unguessable value of 43 URL-safe characters; LevelUp accepts a state of up to 100."""
    return secrets.token_urlsafe(32)


def digest(secret: str) -> str:
    """The stored form of such a value. It is random and long, so a plain hash reveals nothing."""
    return hashlib.sha256(secret.encode("utf-8", "replace")).hexdigest()


def authorization_url(
    base_url: str,
    client_id: str,
    redirect_uri: str,
    permissions: Sequence[str],
    state: str,
    hints: Mapping[str, str | None],
) -> str:
    """LevelUp's page on which a person decides. ``hints``: e-mail and name that the page may fill in."""
    from authlib.oauth2.rfc6749.parameters import prepare_grant_uri

    return prepare_grant_uri(
        base_url + AUTHORIZATION_PATH, client_id, "code", redirect_uri, list(permissions), state, **hints
    )


def authorization_code(url: str, state: str) -> str:
    """The code in the URL of the browser's return. :raises Failure: ``authorization_refused``."""
    from authlib.oauth2.rfc6749.errors import OAuth2Error
    from authlib.oauth2.rfc6749.parameters import parse_authorization_code_response

    try:
        return parse_authorization_code_response(url, state)["code"]
    except OAuth2Error:
        raise Failure("authorization_refused", "LevelUp sent neither a code nor a reason") from None


def token_form(code: str, redirect_uri: str) -> dict[str, str]:
    """The form that exchanges a code for a token."""
    from authlib.oauth2.rfc6749.parameters import prepare_token_request

    return dict(parse_qsl(prepare_token_request("authorization_code", redirect_uri=redirect_uri, code=code)))
