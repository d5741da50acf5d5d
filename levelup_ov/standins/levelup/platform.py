"""What the views of one application share."""

from __future__ import annotations

import hmac
import json
import logging
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

from flask import current_app

from levelup_ov.standins.levelup.encrypted import new_key, public_key_of
from levelup_ov.standins.levelup.store import PlatformStore
from levelup_ov.standins.levelup.world import App

NOTICE_TIMEOUT = 5.0
"""Seconds that an app has to take a callback."""

_LOOPBACK = ("127.0.0.1", "localhost", "::1")
_log = logging.getLogger(__name__)

Notify = Callable[[str, dict[str, Any]], bool]
"""Calls an app's callback URL; returns whether it answered with success."""


class Platform:
    """``apps`` by their ids."""

    def __init__(
        self, store: PlatformStore, apps: Mapping[int, App], clock: Callable[[], datetime], notify: Notify
    ) -> None:
        self.store = store
        self.apps = apps
        self.clock = clock
        self.notify = notify

    def app_of_key(self, api_key: str) -> App | None:
        """The app with this ``api_key``, which is its ``client_id`` too."""
        return next((app for app in self.apps.values() if app.api_key == api_key), None)

    def authenticated_app(self, api_key: str, client_secret: str) -> App | None:
        """The app, if the secret is its own."""
        app = self.app_of_key(api_key)
        given = client_secret.encode("utf-8", "surrogatepass")
        return app if app and hmac.compare_digest(app.client_secret.encode(), given) else None

    def card_key(self) -> str:
        """The public key that apps encrypt cards with."""
        with self.store.reading() as transaction:
            pem = transaction.card_key()
        if pem is None:
            made = new_key()
            with self.store.writing() as transaction:
                pem = transaction.keep_card_key(made)
        return public_key_of(pem)


def platform() -> Platform:
    """That of the current application."""
    return current_app.extensions["levelup"]


def registered(app: App, redirect_uri: str) -> bool:
    """Whether ``redirect_uri`` is https and one of the app's; a loopback one may be http, with any port."""
    try:
        parts = urlsplit(redirect_uri)
        loopback = parts.hostname in _LOOPBACK
        stripped = parts._replace(netloc=parts.hostname or "").geturl() if loopback else redirect_uri
    except ValueError:
        return False
    if parts.fragment or parts.username or not (parts.scheme == "https" or loopback and parts.scheme == "http"):
        return False
    return stripped in {_without_port(uri) for uri in app.redirect_uris}


def post_notice(url: str, body: dict[str, Any]) -> bool:
    """POST ``body`` to an app's callback URL; whether it answered with success."""
    request = urllib.request.Request(
        url, json.dumps(body).encode(), {"Content-Type": "application/json", "Accept": "application/json"}
    )
    # The standard library, because only the transport of the service may use requests (tests/test_arrows.py).
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=NOTICE_TIMEOUT) as answer:
            return 200 <= answer.status < 300
    except (OSError, ValueError) as problem:
        _log.warning("callback_failed", extra={"cause": type(problem).__name__})
        return False


def _without_port(uri: str) -> str:
    parts = urlsplit(uri)
    return parts._replace(netloc=parts.hostname or "").geturl() if parts.hostname in _LOOPBACK else uri
