"""The one place that wires things together."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime, timezone
from functools import cache, partial
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from flask import Flask

from levelup_ov.blueprints import http, orders, status
from levelup_ov.cli import Commands
from levelup_ov.config import Settings, load_settings, prepare_ledger
from levelup_ov.event_settings import EVENTS
from levelup_ov.ledger.changes import Follow
from levelup_ov.ledger.ledger import Ledger, open_ledger
from levelup_ov.ledger.records import Submission
from levelup_ov.metrics import METRICS, Metrics
from levelup_ov.metrics.in_use import failed_reads, in_use
from levelup_ov.observability import configure_logging
from levelup_ov.ordering.service import Service
from levelup_ov.ordering.tracking import PaidOrders
from levelup_ov.ordering.webhooks import ProviderNotices
from levelup_ov.redaction import remember
from levelup_ov.transport.in_process import WSGIApplication
from levelup_ov.transport.response_cache import CacheStore
from levelup_ov.transport.session import Transport

if TYPE_CHECKING:
    from levelup_ov.ledger.event_deliveries import EventDeliveries

SANDBOX_HOST = "sandbox.internal"
"""The host name of the embedded sandbox, which is called in process instead of over a port."""


class _Application(Flask):
    """No function of it is a coroutine, for which Flask would look at each before every call."""

    def ensure_sync(self, func: Callable[..., Any]) -> Callable[..., Any]:
        return func


def create_app(
    settings: Settings | None = None,
    *,
    clock: Callable[[], datetime] | None = None,
    ledger: Ledger | None = None,
    in_process: Mapping[str, WSGIApplication] | None = None,
) -> Flask:
    """The WSGI application. Tests replace ``clock`` and ``ledger``.

    ``in_process``: further applications by host name, called in process instead of over a port.

    :raises levelup_ov.config.ConfigError: with every mistake of the configuration.
    """
    if settings is None:
        settings = load_settings()
        configure_logging(settings.log_level)
    remember(settings.secrets())
    clock = clock or _now
    settings.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    if settings.development and ledger is None:
        prepare_ledger(settings.ledger.reveal())
    proxy = settings.proxy.reveal() if settings.proxy else None
    transport = Transport(
        pool_size=settings.threads,
        in_process={**_sandbox(settings, clock), **(in_process or {})},
        proxy=proxy,
        store=_store(settings),
    )
    ledger = ledger or open_ledger(settings.ledger.reveal(), pool_size=settings.ledger_connections)
    service = Service(settings, transport, ledger, clock)
    app = _Application("levelup_ov", static_folder=None)
    app.config.update(PROVIDE_AUTOMATIC_OPTIONS=False)
    app.url_map.merge_slashes = False
    app.extensions.update({"levelup_ov": service, "levelup_ov.settings": settings})
    app.extensions[METRICS] = metrics = Metrics(settings, partial(in_use, service), partial(failed_reads, service))
    http.install(app, settings, metrics)
    notices = ProviderNotices(service, ledger, settings.accounts, clock)
    app.register_blueprint(orders.blueprint(service, settings, notices))
    app.extensions[EVENTS] = deliveries = webhooks = None
    if settings.agents and settings.agent_signing_keys:
        from levelup_ov.ucp.order_webhooks import OrderWebhooks

        webhooks = OrderWebhooks(settings, ledger.outbox, clock)
    if settings.events.is_on or webhooks is not None:
        from levelup_ov.events import deliver  # only who reports anything loads it
        from levelup_ov.ledger.event_deliveries import EventDeliveries

        deliveries = EventDeliveries(ledger)
        app.extensions[EVENTS] = deliver(
            settings.events, deliveries, ledger.outbox, clock, in_process, proxy, webhooks.request if webhooks else None
        )
    check = status.SharedCheck("ledger", partial(_check, ledger, deliveries))
    app.register_blueprint(status.blueprint(check, _document(settings), metrics))
    if settings.development or settings.console_keys:
        from levelup_ov import screens  # a process without pages loads none

        app.register_blueprint(screens.blueprint())
    service.tracking.paid_orders = _charged_orders(ledger, clock)
    ledger.changes.follow = _follow(ledger, service)
    app.extensions["levelup_ov.checkout"] = charges = None
    if settings.checkout is not None:
        # Only who charges through LevelUp loads what that needs.
        from levelup_ov.blueprints import checkout
        from levelup_ov.checkout import open_checkout

        app.extensions["levelup_ov.checkout"] = charges = open_checkout(settings, transport, service, clock)
        app.register_blueprint(checkout.blueprint(charges, settings))
    if settings.console_keys:
        from levelup_ov import console
        from levelup_ov.ledger.browsing import ReadingDatabase

        app.extensions["levelup_ov.console"] = reading = ReadingDatabase(settings.ledger.reveal())
        app.register_blueprint(console.blueprint(settings, service, reading, metrics, check, charges))
    if settings.agents:
        from levelup_ov import ucp  # only who takes orders of agents loads it

        ucp.install(app, settings, service, app.extensions["levelup_ov.checkout"], clock, webhooks)
    if settings.development:
        from levelup_ov import workbench  # production loads no page

        workbench.install(app, settings, service)
    app.cli = Commands()
    return app


def _sandbox(settings: Settings, clock: Callable[[], datetime]) -> Mapping[str, WSGIApplication]:
    """The embedded engine, if an account uses it. Otherwise a production process loads no stand-in."""
    if SANDBOX_HOST not in (urlsplit(adapter.base_url).hostname for adapter in settings.accounts.values()):
        return {}
    from levelup_ov.standins.sandbox import create_sandbox

    return {SANDBOX_HOST: create_sandbox(settings.data_dir / "sandbox.db", clock=clock)}


def _charged_orders(ledger: Ledger, clock: Callable[[], datetime]) -> Callable[[], PaidOrders]:
    """The orders that any host on this ledger has charged, also where web checkout is not configured."""

    @cache
    def charged() -> PaidOrders:
        from levelup_ov.checkout.charged_orders import ChargedOrders  # needed only if an order is canceled

        return ChargedOrders(ledger, clock)

    return charged


def _follow(ledger: Ledger, service: Service) -> Follow:
    """What a new outcome of a submission means for the order that any host on this ledger has charged."""

    def follow(submission: Submission) -> Callable[[Any, Submission], None]:
        from levelup_ov.checkout.outcomes import SubmittedOrders  # needed only if an outcome changes

        return SubmittedOrders(ledger, service.keys.submitted_under).follow(submission)

    return follow


def _check(ledger: Ledger, deliveries: EventDeliveries | None) -> status.InLedger:
    """Whether submissions can be taken; gives what is not settled, and what is not delivered."""
    ledger.ready()
    return ledger.reader.count_open(), () if deliveries is None else deliveries.backlog()


def _store(settings: Settings) -> CacheStore | None:
    if settings.redis is None:
        return None
    from levelup_ov.transport.redis_cache import RedisStore  # its library is an extra

    return RedisStore(settings.redis.reveal(), settings.secret_keys[0].reveal().encode())


def _document(settings: Settings) -> Callable[[], dict[str, Any]]:
    @cache
    def written() -> dict[str, Any]:
        from levelup_ov.schemas.openapi import document  # its library is needed for nothing else

        return document(envelope=settings.response_envelope, checkout=settings.checkout is not None)

    return written


def _now() -> datetime:
    return datetime.now(timezone.utc)
