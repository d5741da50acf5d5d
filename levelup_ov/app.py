"""The one place that wires things together."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timezone
from functools import cache
from typing import Any

from flask import Flask

from levelup_ov import cli
from levelup_ov.blueprints import http, orders, status
from levelup_ov.config import Settings, load_settings
from levelup_ov.observability import configure_logging
from levelup_ov.sandbox import create_sandbox
from levelup_ov.schemas.openapi import document
from levelup_ov.service import Service
from levelup_ov.transport import Transport

SANDBOX_HOST = "sandbox.internal"
"""The host name under which the embedded sandbox is reached without a port."""


def create_app(settings: Settings | None = None, *, clock: Callable[[], datetime] | None = None) -> Flask:
    """The WSGI application.

    :raises levelup_ov.config.ConfigError: with every mistake of the configuration.
    """
    if settings is None:
        settings = load_settings()
        configure_logging(settings.log_level)
    clock = clock or _now
    transport = Transport(
        pool_size=settings.threads,
        in_process={SANDBOX_HOST: create_sandbox(settings.data_dir / "sandbox.db", clock=clock)},
        proxy=settings.proxy.reveal() if settings.proxy else None,
    )
    service = Service(settings, transport, clock)
    app = Flask("levelup_ov", static_folder=None)
    app.config.update(MAX_CONTENT_LENGTH=http.MAX_BODY, PROVIDE_AUTOMATIC_OPTIONS=False)
    app.url_map.merge_slashes = False
    app.extensions["levelup_ov"] = service
    http.install(app, settings)
    app.register_blueprint(orders.blueprint(service, settings))
    app.register_blueprint(status.blueprint({}, _document(settings)))
    cli.install(app, settings, service)
    return app


def _document(settings: Settings) -> Callable[[], dict[str, Any]]:
    return cache(lambda: document(envelope=settings.response_envelope))


def _now() -> datetime:
    return datetime.now(timezone.utc)
