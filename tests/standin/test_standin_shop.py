"""The sample shop: three ways to connect, what is paid, what is refunded, and what goes wrong."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from werkzeug.serving import make_server

from levelup_ov.domain.secret import Secret
from levelup_ov.standins.levelup import create_levelup, over_http
from tests.standin.checkout_service import CheckoutService
from tests.standin.visitors import Browser


class Shop:
    """The shop with a service behind it."""

    def __init__(self, database: Path) -> None:
        self.service = CheckoutService()
        self.app = create_levelup(database, shop_service=self.service)


class Visitor(Browser):
    """At the shop, whose merchant is connected."""

    def enter(self) -> Visitor:
        self.open("/shop").send("/shop/merchant").follow().follow()
        return self

    def connect(self) -> Visitor:
        self.send("/shop/connect").follow().follow()
        return self


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    shop = Shop(tmp_path / "levelup.db")
    yield shop
    shop.app.extensions["levelup"].store.close()


@pytest.fixture
def visitor(shop: Shop) -> Visitor:
    return Visitor(shop)  # type: ignore[arg-type]


def test_without_a_service_there_is_no_shop(browser: Browser) -> None:
    page = browser.open("/shop").page
    assert page.status_code == 404 and "--shop-service" in page.text and 'href="/"' in page.text


def test_a_service_without_checkout_is_shown(shop: Shop, visitor: Visitor) -> None:
    refusal = {"error": {"code": "not_found", "message": "there is nothing at this address", "retryable": False}}
    shop.app.extensions["shop"] = lambda *_: (404, refusal)
    page = visitor.open("/shop").page
    assert "has no web checkout" in page.text and 'href="/"' in page.text


def test_the_owner_sets_the_shop_up(visitor: Visitor) -> None:
    assert "Set up this shop" in visitor.open("/shop").page.text
    assert "Connect with LevelUp" in visitor.enter().page.text


def test_a_visitor_connects_pays_what_they_saw_and_refunds(shop: Shop, visitor: Visitor) -> None:
    page = visitor.enter().connect().page.text
    # Food 12.50, tax 0.88, tip 1.88, credit 2.00.
    for shown in ("Ada Example", "ada@example.com", "7 Garden Street", "$3.00 of credit", "Pay $13.26 with LevelUp"):
        assert shown in page
    page = visitor.send("/shop/pay").follow().page.text
    ((uuid, order),) = shop.service.charged.items()
    assert uuid in page and "Your order is paid." in page
    assert (order["spend_amount"], order["tax_amount"], order["discount_amount"]) == (1338, 88, 200)
    assert "was refunded" in visitor.send(f"/shop/orders/{uuid}/refund").page.text
    assert order["refunded_at"]


def test_the_basket_decides_the_price(visitor: Visitor) -> None:
    visitor.enter().connect().send("/shop/basket", sandwich="2", soup="99", lemonade="x", tip="7").follow()
    # 2 * 9.50 + 9 * 6.00 = 73.00, tax 5.11, no tip of 7 %, credit 2.00.
    assert "Pay $76.11 with LevelUp" in visitor.page.text
    visitor.send("/shop/basket", sandwich="0", soup="0", lemonade="0", tip="0").follow()
    assert "The basket is empty." in visitor.page.text


def test_a_visitor_is_asked_by_e_mail(visitor: Visitor) -> None:
    visitor.enter().send("/shop/request", email="ada@example.com").follow()
    assert "Waiting for your answer" in visitor.page.text
    assert "Pay $13.26" in visitor.send("/shop/poll").follow().page.text


def test_a_visitor_without_an_account_gets_one_and_adds_a_card(visitor: Visitor) -> None:
    visitor.enter().send("/shop/create", email="new@example.com", first_name="New", last_name="User").follow()
    visitor.send("/shop/card")
    assert visitor.sent_to()[0] == "https://levelup.example/card"


def test_a_visitor_disconnects(shop: Shop, visitor: Visitor) -> None:
    page = visitor.enter().connect().send("/shop/disconnect").follow().page.text
    assert "Connect with LevelUp" in page
    assert [found["state"] for found in shop.service.connections.values()] == ["connected", "disconnected"]


def test_a_connection_of_another_visitor_is_not_taken(shop: Shop, visitor: Visitor) -> None:
    visitor.enter().send("/shop/connect")
    somebody_else = Visitor(shop)  # type: ignore[arg-type]
    assert somebody_else.open(visitor.page.headers["Location"]).page.status_code == 400
    assert "Connect with LevelUp" in somebody_else.open("/shop").page.text


def test_a_refusal_at_levelup_is_shown(visitor: Visitor) -> None:
    visitor.enter().send("/shop/connect")
    back = visitor.page.headers["Location"].replace("confirmation=yes", "error=access_denied")
    assert "LevelUp was not connected." in visitor.open(back).follow().page.text


@pytest.mark.parametrize("status, code", [(504, "outcome_unknown"), (409, "submission_in_progress")])
def test_a_payment_of_unknown_outcome_is_repeated_under_its_key(
    shop: Shop, visitor: Visitor, status: int, code: str
) -> None:
    visitor.enter().connect()
    shop.service.loses["/checkout/orders"] = (status, code)
    assert "never charged twice" in visitor.send("/shop/pay").follow().page.text
    assert "Your order is paid." in visitor.send("/shop/pay").follow().page.text
    assert len(shop.service.charged) == len(shop.service.bodies) == 1


def test_an_unknown_payment_offers_nothing_else(shop: Shop, visitor: Visitor) -> None:
    visitor.enter().connect()
    shop.service.loses["/checkout/orders"] = (504, "outcome_unknown")
    visitor.send("/shop/pay").follow().send("/shop/basket", sandwich="9").follow()
    assert "Pay $13.26" in visitor.page.text
    visitor.send("/shop/pay").follow()
    assert len(shop.service.charged) == 1


def test_a_later_answer_without_verdict_leaves_it_unknown(shop: Shop, visitor: Visitor) -> None:
    visitor.enter().connect()
    shop.service.loses["/checkout/orders"] = (504, "outcome_unknown")
    visitor.send("/shop/pay").follow()
    shop.service.fails["/checkout/orders"] = (503, "ledger_unavailable")
    assert "never charged twice" in visitor.send("/shop/pay").follow().page.text
    visitor.send("/shop/disconnect").follow()
    assert "never charged twice" in visitor.page.text
    assert "Your order is paid." in visitor.send("/shop/pay").follow().page.text
    assert len(shop.service.charged) == 1


def test_a_page_that_loads_while_another_pays_offers_nothing_new(
    shop: Shop, visitor: Visitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    offered = visitor.enter().connect().page
    preview = shop.service.post_order_previews

    def slow(*arguments: Any) -> Any:
        monkeypatch.undo()
        shop.service.loses["/checkout/orders"] = (504, "outcome_unknown")
        other = Visitor(shop)  # type: ignore[arg-type]
        other.client, other.page = visitor.client, offered
        other.send("/shop/pay")
        return preview(*arguments)

    monkeypatch.setattr(shop.service, "post_order_previews", slow)
    visitor.open("/shop")
    assert "Your order is paid." in visitor.send("/shop/pay").follow().page.text
    assert len(shop.service.charged) == 1


def test_paying_again_from_the_page_before_shows_the_receipt(shop: Shop, visitor: Visitor) -> None:
    offered = visitor.enter().connect().page
    receipt = visitor.send("/shop/pay").follow().page.text
    visitor.page = offered  # the button "back"
    assert visitor.send("/shop/pay").follow().page.text == receipt
    assert len(shop.service.charged) == 1


def test_an_offer_of_before_is_not_charged(shop: Shop, visitor: Visitor) -> None:
    offered = visitor.enter().connect().page
    visitor.send("/shop/basket", sandwich="9").follow()
    visitor.page = offered
    assert "nothing was charged" in visitor.send("/shop/pay").follow().page.text
    assert shop.service.charged == {}


def test_a_declined_card_is_shown_and_the_next_try_is_a_new_one(shop: Shop, visitor: Visitor) -> None:
    visitor.enter().connect()
    shop.service.fails["/checkout/orders"] = (422, "card_declined")
    assert "The service says card_declined." in visitor.send("/shop/pay").follow().page.text
    visitor.send("/shop/pay").follow()
    assert len(shop.service.charged) == 1


def test_a_refund_that_needs_a_manager_asks_for_one(shop: Shop, visitor: Visitor) -> None:
    visitor.enter().connect().send("/shop/pay").follow()
    (uuid,) = shop.service.charged
    path = f"/checkout/orders/{uuid}/refund"
    shop.service.fails[path] = (422, "manager_confirmation_required")
    page = visitor.send(f"/shop/orders/{uuid}/refund").page
    assert page.status_code == 422 and "Manager&#39;s confirmation" in page.text
    visitor.send(f"/shop/orders/{uuid}/refund", manager_confirmation="4321")
    assert {"refund": {"manager_confirmation": "4321"}} in shop.service.bodies.values()


def test_another_visitors_order_is_neither_shown_nor_refunded(shop: Shop, visitor: Visitor) -> None:
    visitor.enter().connect().send("/shop/pay").follow()
    (uuid,) = shop.service.charged
    somebody_else = Visitor(shop)  # type: ignore[arg-type]
    assert somebody_else.open(f"/shop/orders/{uuid}").page.status_code == 404


def test_a_form_from_elsewhere_is_refused(shop: Shop, visitor: Visitor) -> None:
    visitor.enter().connect()
    assert visitor.client.post("/shop/pay/1").status_code == 403
    assert shop.service.charged == {}


def test_the_service_is_called_over_http_with_its_key() -> None:
    seen: list[tuple[str, ...]] = []

    def application(environ: Any, start_response: Any) -> list[bytes]:
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        names = ("REQUEST_METHOD", "PATH_INFO", "HTTP_AUTHORIZATION", "HTTP_IDEMPOTENCY_KEY")
        seen.append((*(environ.get(name, "") for name in names), body.decode()))
        start_response("422 No" if body else "200 OK", [("Content-Type", "application/json")])
        return [b'{"a": 1}']

    server = make_server("127.0.0.1", 0, application)
    thread = Thread(target=server.serve_forever)
    thread.start()
    try:
        send = over_http(f"http://127.0.0.1:{server.server_port}/", Secret("key"))
        assert send("GET", "/checkout/merchants", None, {}) == (200, {"a": 1})
        assert send("POST", "/checkout/orders", {"b": 2}, {"Idempotency-Key": "k"}) == (422, {"a": 1})
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
    assert seen == [
        ("GET", "/checkout/merchants", "token key", "", ""),
        ("POST", "/checkout/orders", "token key", "k", '{"b": 2}'),
    ]
    with pytest.raises(OSError):
        send("GET", "/checkout/merchants", None, {})


def test_a_service_that_does_not_answer_is_shown(shop: Shop, visitor: Visitor) -> None:
    def silent(*_: Any) -> Any:
        raise ConnectionRefusedError

    shop.app.extensions["shop"] = silent
    page = visitor.open("/shop").page
    assert page.status_code == 502 and "does not answer" in page.text
