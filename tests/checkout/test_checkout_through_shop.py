"""The sample shop with the service itself behind it: what it shows, charges and refunds is LevelUp's."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from flask.testing import FlaskClient

from levelup_ov.app import create_app
from levelup_ov.config import DEVELOPMENT_API_KEY, load_settings
from levelup_ov.standins.levelup import create_levelup
from levelup_ov.standins.levelup.world import GOOD_CARD
from tests.checkout.site import HOST, RETURN_URL, VARIABLES
from tests.standin.visitors import Browser


class Visitor(Browser):
    """At the shop. The shop, LevelUp and the service are three sites; a browser goes from one to the other."""

    def __init__(self, levelup: Any, service: FlaskClient) -> None:
        super().__init__(levelup)
        self._service = service

    def follow(self) -> Visitor:
        """Follow all redirects, through the service's callback as well."""
        while self.page.status_code == 303:
            target = self.page.headers["Location"].replace(f"http://{HOST}", "")
            if target.startswith(RETURN_URL):
                self.page = self._service.get(target.removeprefix(RETURN_URL))
            else:
                self.open(target)
        return self

    def connect(self, action: str, email: str) -> Visitor:
        self.send(action).follow()
        self.sign_in(email).send("/oauth2/authorizations/new", answer="grant").follow()
        return self


@pytest.fixture
def visitor(tmp_path: Path, environ: dict[str, str]) -> Iterator[Visitor]:
    """At a shop whose owner has connected it."""
    service: list[FlaskClient] = []

    def send(method: str, path: str, body: Any, headers: Mapping[str, str]) -> tuple[int, Any]:
        named = {"Authorization": f"token {DEVELOPMENT_API_KEY}", **headers}
        reply = service[0].open(path, method=method, headers=named, json=body)
        return reply.status_code, json.loads(reply.data)

    levelup = create_levelup(tmp_path / "levelup.db", shop_service=send)
    # The address by which LevelUp knows the shop.
    levelup.config["SERVER_NAME"] = "127.0.0.1"
    app = create_app(load_settings({**environ, **VARIABLES}), in_process={HOST: levelup})
    service.append(app.test_client())
    visitor = Visitor(SimpleNamespace(app=levelup), service[0])
    visitor.open("/shop").connect("/shop/merchant", "owner@beacon.example")
    visitor.open("/account").send("/sign_out").open("/shop")
    yield visitor
    levelup.extensions["levelup"].store.close()


def test_connect_pay_and_refund(visitor: Visitor) -> None:
    page = visitor.connect("/shop/connect", "ada@example.com").page.text
    for shown in ("Ada Example", "ada@example.com", "7 Garden Street", "$3.00 of credit", "Pay $13.26 with LevelUp"):
        assert shown in page
    assert "Your order is paid." in visitor.send("/shop/pay").follow().page.text
    assert "was refunded" in visitor.send("/shop/orders/").page.text


def test_an_account_of_record_pays(visitor: Visitor) -> None:
    visitor.send("/shop/create", email="new@example.com", first_name="New", last_name="User").follow()
    visitor.send("/shop/card").follow()
    typed = {"cvv": "123", "expiration_month": "1", "expiration_year": "2040", "postal_code": "02110"}
    visitor.send("/credit_cards/new", number=GOOD_CARD, **typed).follow()
    assert "Your order is paid." in visitor.open("/shop").send("/shop/pay").follow().page.text


def test_a_permissions_request_pays(visitor: Visitor) -> None:
    visitor.send("/shop/request", email="ada@example.com").follow()
    answering = Browser(SimpleNamespace(app=visitor.client.application))  # type: ignore[arg-type]
    answering.open("/permissions_requests/1").sign_in("ada@example.com").send("/permissions_requests/1", answer="grant")
    visitor.send("/shop/poll").follow()
    assert "Your order is paid." in visitor.send("/shop/pay").follow().page.text


def test_a_person_who_refuses_is_told_so(visitor: Visitor) -> None:
    visitor.send("/shop/connect").follow()
    visitor.sign_in("ada@example.com").send("/oauth2/authorizations/new", answer="refuse").follow()
    assert "LevelUp was not connected." in visitor.page.text
