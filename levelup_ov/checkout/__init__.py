"""LevelUp web checkout: connect merchants and users, charge, refund. ``docs/checkout.rst`` describes its interface."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from levelup_ov.checkout.attention import event_of
from levelup_ov.checkout.client import LevelUpClient
from levelup_ov.checkout.connections import Connections, Tokens
from levelup_ov.checkout.leases import Leases
from levelup_ov.checkout.orders import Orders
from levelup_ov.checkout.store import CheckoutStore
from levelup_ov.config import Settings
from levelup_ov.ordering.service import Service
from levelup_ov.transport.session import Transport

__all__ = ["Checkout", "open_checkout"]


@dataclass(frozen=True, slots=True)
class Checkout:
    """All use cases."""

    connections: Connections
    orders: Orders


def open_checkout(
    settings: Settings, transport: Transport, service: Service, clock: Callable[[], datetime]
) -> Checkout:
    """The web checkout that ``settings.checkout`` describes. ``clock`` returns the current time, aware."""
    ours = settings.checkout
    assert ours is not None
    # As for providers: a hanging LevelUp must not block all threads.
    threads = max(settings.threads // 2, 1)
    levelup = LevelUpClient(
        transport,
        ours.url,
        ours.api_key,
        ours.client_secret,
        threads=threads,
        reserve=service.submissions.settling_time,
    )
    ledger = service.submissions.ledger
    store = CheckoutStore(ledger.database, ledger.outbox, event_of)
    connections = Connections(store, levelup, Tokens(store, settings.secret_keys), ours.return_url, clock)
    lease = round((settings.submission_deadline + settings.reconcile_grace) * 1000)
    leases = Leases(store, ledger.clocks.observer, lease)
    age = timedelta(seconds=settings.charge_age)
    orders = Orders(store, levelup, connections, service, settings.secret_keys, leases, age, clock)
    return Checkout(connections, orders)
