"""A service with checkout sessions, and what a front does with them."""

from __future__ import annotations

import itertools
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from flask import Flask

from levelup_ov.app import create_app
from levelup_ov.config import load_settings
from levelup_ov.domain.failure import Failure
from levelup_ov.domain.secret import Secret
from levelup_ov.domain.tender import CreditCard
from levelup_ov.ledger.engine import upgrade
from levelup_ov.ledger.ledger import open_ledger
from levelup_ov.ordering.request_context import RequestContext
from levelup_ov.ordering.service import Service
from levelup_ov.sessions import Sessions, open_sessions
from levelup_ov.sessions.model import Basket, Buyer, CheckoutSession, Line, RequestKey, SessionTender
from levelup_ov.transport.deadline import Deadline
from tests.channel import CARD, Clock

AGENT = "lunchbot"
ROBIN = Buyer("Robin", "Example", "617-555-0142", "robin@example.com")
_KEYS = itertools.count(1)


def basket(*lines: Line, **members: Any) -> Basket:
    """A sandwich for Robin, changed by ``members``."""
    given = {"location_id": "sandbox.congress", "buyer": ROBIN, **members}
    return Basket(lines=lines or (Line("sandwich", 1),), **given)


def codes(session: CheckoutSession) -> list[tuple[str, str | None]]:
    """The problems of a session, each with its path."""
    return [(problem.code, problem.path) for problem in session.problems]


def refusal(call: Callable[..., object], *arguments: object) -> str:
    """The code that a call fails with."""
    with pytest.raises(Failure) as failed:
        call(*arguments)
    return failed.value.code


def card(number: str = CARD["number"]) -> CreditCard:
    """Robin's card."""
    month, year = CARD["expiration_month"], CARD["expiration_year"]
    return CreditCard(Secret(number), Secret(CARD["cvv"]), month, year, CARD["zip"], CARD["name"])


@dataclass
class Front:
    """The interface of ``sessions`` for ``caller``."""

    app: Flask
    clock: Clock
    sessions: Sessions
    service: Service
    caller: str = AGENT
    seconds: float = 20.0

    def context(self) -> RequestContext:
        return RequestContext(Deadline(self.seconds), "test")

    @staticmethod
    def key(key: str | None = None, body: bytes = b"{}") -> RequestKey:
        return RequestKey(key or f"key {next(_KEYS)}", body)

    def create(self, what: Basket | None = None, key: RequestKey | None = None) -> CheckoutSession:
        return self.sessions.create(self.caller, what or basket(), key, self.context())

    def read(self, session: CheckoutSession) -> CheckoutSession:
        return self.sessions.read(self.caller, session.id, self.context())

    def replace(self, session: CheckoutSession, what: Basket, key: RequestKey | None = None) -> CheckoutSession:
        return self.sessions.replace(self.caller, session.id, what, key, self.context())

    def complete(
        self, session: CheckoutSession, tender: SessionTender | None = None, key: RequestKey | None = None
    ) -> CheckoutSession:
        return self.sessions.complete(self.caller, session.id, tender or card(), key, self.context())

    def cancel(self, session: CheckoutSession, key: RequestKey | None = None) -> CheckoutSession:
        return self.sessions.cancel(self.caller, session.id, key, self.context())

    def later(self, **by: float) -> None:
        """Time passes, for service and ledger alike."""
        self.clock.now += timedelta(**by)

    def restart(self) -> Front:
        """Another process, with the same database and clock."""
        return front_of(app_of(self.app.extensions["levelup_ov.settings"], self.clock), self.clock)

    def meals(self) -> int:
        """How many orders the provider has."""
        with closing(sqlite3.connect(self.data / "sandbox.db")) as connection:
            return connection.execute("SELECT count(*) FROM orders").fetchone()[0]

    @property
    def data(self) -> Path:
        return self.app.extensions["levelup_ov.settings"].data_dir

    def of(self, caller: str) -> Front:
        """The same front for another caller."""
        return replace(self, caller=caller)


MakeFront = Callable[..., Front]


def app_of(settings: Any, clock: Clock) -> Flask:
    """The service, whose ledger has the same clock."""
    ledger = open_ledger(settings.ledger.reveal(), clock=clock)
    return create_app(settings, clock=clock, ledger=ledger)


def front_of(app: Flask, clock: Clock) -> Front:
    service, checkout = app.extensions["levelup_ov"], app.extensions["levelup_ov.checkout"]
    sessions = open_sessions(app.extensions["levelup_ov.settings"], service, checkout, clock)
    return Front(app, clock, sessions, service)


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("levelup_ov.transport.session.BACKOFF", 0)


@pytest.fixture
def make_front(environ: dict[str, str], clock: Clock) -> MakeFront:
    """A front of the service with further environment variables."""

    def make(**variables: str) -> Front:
        settings = load_settings({**environ, **variables})
        settings.data_dir.mkdir(parents=True, exist_ok=True)
        upgrade(settings.ledger.reveal())
        return front_of(app_of(settings, clock), clock)

    return make


@pytest.fixture
def front(make_front: MakeFront) -> Front:
    return make_front()
