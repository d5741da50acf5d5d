"""The sample shop with the service itself behind it: what it shows, charges and refunds is LevelUp's."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta, timezone
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


def test_a_person_who_refuses_sees_that(visitor: Visitor) -> None:
    visitor.send("/shop/connect").follow()
    visitor.sign_in("ada@example.com").send("/oauth2/authorizations/new", answer="refuse").follow()
    assert "LevelUp was not connected." in visitor.page.text


def paid(visitor: Visitor, tip: int) -> str:
    """What the shop shows after a payment with a tip that triggers something."""
    visitor.connect("/shop/connect", "ada@example.com")
    visitor.send("/shop/basket", sandwich="1", tip=str(tip)).follow()
    return visitor.send("/shop/pay").follow().page.text


@pytest.mark.rule("WEB-3")
@pytest.mark.parametrize("tip, words", [(9901, "too old"), (9902, "disputed"), (9903, "never paid")])
def test_a_refund_that_is_refused_is_reported(visitor: Visitor, tip: int, words: str) -> None:
    assert "Your order is paid." in paid(visitor, tip)
    page = visitor.send("/shop/orders/").page.text
    assert words in page and "Your order is paid." in page and "was refunded." not in page
    assert "support has been notified" in page


@pytest.mark.rule("WEB-3")
def test_a_part_is_reported_as_a_part_for_good(visitor: Visitor) -> None:
    paid(visitor, 9907)
    receipt = visitor.page.request.path
    for page in (visitor.send("/shop/orders/").page.text, visitor.open(receipt).page.text):
        assert "Not refunded" in page and "LevelUp gave back 508 of" in page
        assert "Refund this order" not in page


@pytest.mark.rule("WEB-3")
def test_a_refund_of_somebody_else_is_reported(visitor: Visitor) -> None:
    assert "Your order is paid." in paid(visitor, 9908)
    page = visitor.send("/shop/orders/").page.text
    assert "somebody else has refunded this order already" in page and "The whole order was refunded." in page


@pytest.mark.rule("WEB-3")
def test_a_refund_without_answer_is_asked_again(visitor: Visitor) -> None:
    paid(visitor, 9905)
    page = visitor.send("/shop/orders/").page.text
    assert "not known yet whether it was made" in page
    assert "The whole order was refunded." in visitor.send("/shop/orders/").page.text


@pytest.mark.rule("WEB-1")
def test_an_unreported_charge_is_paid_once(visitor: Visitor) -> None:
    assert "never charged twice" in paid(visitor, 9911)
    clock = visitor.client.application.extensions["levelup"]
    clock.clock = lambda: datetime.now(timezone.utc) + timedelta(minutes=1)
    assert "Your order is paid." in visitor.send("/shop/pay").follow().page.text
    with clock.store.reading() as transaction:
        assert len(transaction.newest_orders(10)) == 1


@pytest.mark.rule("WEB-7")
def test_a_visitor_who_left_at_levelup_connects_again(visitor: Visitor) -> None:
    visitor.connect("/shop/connect", "ada@example.com")
    visitor.open("/account").send("/account/").open("/shop")
    assert "does not let this shop charge you any more" in visitor.page.text
    assert "Pay $13.26 with LevelUp" in visitor.send("/shop/connect").follow().page.text or "Allow" in visitor.page.text


def rows(page: str) -> dict[str, int]:
    """The lines of the sums that a page shows, in cents."""
    found = re.findall(r"<tr[^>]*><td>([^<]*)</td>\s*<td class=\"number\">(&minus;)?\$([\d,.]+)</td></tr>", page)
    return {name: int(cents.replace(",", "").replace(".", "")) * (-1 if minus else 1) for name, minus, cents in found}


SHARES = ("Your gift card", "LevelUp credit", "Your card")


@pytest.mark.parametrize(
    ("email", "shares", "discount"),
    [
        ("dora@example.com", {"Your gift card": 1000, "Your card": 526}, None),
        ("ada@example.com", {"LevelUp credit": 100, "Your card": 1226}, -200),
    ],
)
def test_who_pays_what_adds_up(visitor: Visitor, email: str, shares: dict[str, int], discount: int | None) -> None:
    page = visitor.connect("/shop/connect", email).page.text
    for shown in (page, visitor.send("/shop/pay").follow().page.text):
        sums = rows(shown)
        assert {name: sums[name] for name in SHARES if name in sums} == shares
        assert sum(shares.values()) == sums["You pay"]
        # Nobody is shown credit of nothing.
        assert sums.get("Credit from the merchant") == discount
    refunded = rows(visitor.send("/shop/orders/").page.text)
    assert refunded["You paid"] == -refunded["Refunded"] == sum(shares.values())
    assert refunded["After the refund"] == 0 and "You pay" not in refunded


def test_who_may_not_read_the_history_sees_less(visitor: Visitor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("levelup_ov.standins.shop.app.PERMISSIONS", ("create_orders",))
    visitor.connect("/shop/connect", "dora@example.com")
    sums = rows(visitor.send("/shop/pay").follow().page.text)
    assert sums["Your gift card"] + sums["Your card or LevelUp credit"] == sums["You pay"]


def test_an_answered_request_leads_back_to_the_shop(visitor: Visitor) -> None:
    visitor.send("/shop/request", email="ada@example.com").follow()
    answering = Browser(SimpleNamespace(app=visitor.client.application))  # type: ignore[arg-type]
    answering.open("/permissions_requests/1").sign_in("ada@example.com").send("/permissions_requests/1", answer="grant")
    assert "Back to Sample Shop" in answering.page.text
    again = answering.open("/permissions_requests/1").page.text
    assert "Back to Sample Shop" in again and 'href="/shop"' in again


def test_card_errors_are_tied_to_their_fields(visitor: Visitor) -> None:
    visitor.send("/shop/create", email="new@example.com", first_name="New", last_name="User").follow()
    visitor.send("/shop/card").follow()
    typed = {"cvv": "1", "expiration_month": "13", "expiration_year": "2040", "postal_code": "1"}
    page = visitor.send("/credit_cards/new", number="4111", **typed).page.text
    for name in ("number", "cvv", "expiration_month", "postal_code"):
        assert re.search(rf'<input id="{name}"[^>]*aria-invalid="true" aria-describedby="{name}-error"', page)
        assert f'id="{name}-error"' in page
    assert "the 4 fields marked below" in page


def test_maintenance_has_levelups_words(visitor: Visitor) -> None:
    visitor.connect("/shop/connect", "ada@example.com")
    visitor.open("/").send("/maintenance")
    assert "LevelUp is down for maintenance." in visitor.open("/shop").page.text
    assert visitor.open("/favicon.ico").page.location.endswith(".svg")
    assert 'rel="icon"' in visitor.open("/shop").page.text
