"""A service with checkout sessions, and what a front does with them."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import pytest
from flask import Flask

from levelup_ov.domain.secret import Secret
from levelup_ov.domain.tender import CreditCard
from levelup_ov.ordering.service import RequestContext, Service
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


def card(number: str = CARD["number"]) -> CreditCard:
    """Robin's card."""
    month, year = CARD["expiration_month"], CARD["expiration_year"]
    return CreditCard(Secret(number), Secret(CARD["cvv"]), month, year, CARD["zip"], CARD["name"])


@dataclass
class Front:
    """A front of ``sessions`` that speaks for ``caller``."""

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

    def of(self, caller: str) -> Front:
        """The same front for another caller."""
        return replace(self, caller=caller)


MakeFront = Callable[[Flask], Front]


@pytest.fixture
def make_front(clock: Clock) -> MakeFront:
    def make(app: Flask) -> Front:
        service, checkout = app.extensions["levelup_ov"], app.extensions["levelup_ov.checkout"]
        return Front(open_sessions(app.extensions["levelup_ov.settings"], service, checkout, clock), service)

    return make


@pytest.fixture
def front(app: Flask, make_front: MakeFront) -> Front:
    return make_front(app)
