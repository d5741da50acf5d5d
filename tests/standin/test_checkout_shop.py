"""The whole way in a real browser: sample shop, the service and the platform, in all three ways to connect."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from selenium.webdriver import Chrome
from selenium.webdriver.common.by import By
from selenium.webdriver.support.select import Select

from levelup_ov.domain.secret import Secret
from levelup_ov.standins.levelup import create_levelup, levelup_server, over_http
from levelup_ov.standins.levelup.world import GOOD_CARD, SHOP_APP
from tests.servers.gateway import Gateway
from tests.standin.person import Person

ROOT = Path(__file__).parents[2]
KEY = "key-of-the-shop"


class Service(Gateway):
    """The service, connected with the platform at ``levelup_url``."""

    def __init__(self, levelup_url: str) -> None:
        super().__init__(
            LEVELUP_OV_API_KEYS=KEY,
            LEVELUP_OV_CHECKOUT_URL=levelup_url,
            LEVELUP_OV_CHECKOUT_API_KEY=SHOP_APP.api_key,
            LEVELUP_OV_CHECKOUT_CLIENT_SECRET=SHOP_APP.client_secret,
        )

    def environment(self) -> dict[str, str]:
        return {**super().environment(), "LEVELUP_OV_CHECKOUT_RETURN_URL": self.base_url}


@pytest.fixture(scope="module")
def levelup_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Where the platform and its shop are; the service is beside them."""
    service: Service

    def send(*call: Any) -> tuple[int, Any]:
        return over_http(service.base_url, Secret(KEY))(*call)

    levelup = create_levelup(tmp_path_factory.mktemp("levelup") / "levelup.db", shop_service=send)
    platform = levelup_server(levelup, 0)
    thread = Thread(target=platform.serve_forever)
    thread.start()
    try:
        with Service(f"http://127.0.0.1:{platform.server_port}") as service:  # type: ignore[assignment]
            yield f"http://127.0.0.1:{platform.server_port}"
    finally:
        platform.shutdown()
        thread.join()
        platform.server_close()
        levelup.extensions["levelup"].store.close()


@pytest.fixture
def person(chrome: Chrome, levelup_url: str) -> Iterator[Person]:
    """A person at the shop, which its owner has set up."""
    person = Person(chrome, levelup_url)
    person.open("/shop")
    if "Set up this shop" in person.text():
        person.picture("shop-set-up")
        person.press("Connect the shop with LevelUp")
        person.sign_in("owner@beacon.example")
        person.press("Allow")
        person.picture("shop")
    chrome.delete_all_cookies()
    person.open("/shop")
    assert "Lunch from Beacon Sandwiches" in person.text()
    yield person
    chrome.get("about:blank")


def pay_and_refund(person: Person, amount: str) -> str:
    """The order's UUID."""
    person.press(f"Pay {amount} with LevelUp")
    assert "Your order is paid." in person.text()
    uuid = person.chrome.find_element(By.ID, "uuid").text
    assert re.fullmatch("[0-9a-f]{32}", uuid)
    person.picture("shop-paid")
    person.press("Refund this order")
    assert "The whole order was refunded." in person.text()
    person.picture("shop-refunded")
    return uuid


def value(person: Person, name: str) -> Any:
    return person.chrome.find_element(By.ID, name).get_attribute("value")


def test_a_person_connects_sees_their_details_pays_and_refunds(person: Person) -> None:
    person.press("Connect with LevelUp")
    person.sign_in("ada@example.com")
    person.picture("approve-shop")
    person.press("Allow")
    assert (value(person, "name"), value(person, "email")) == ("Ada Example", "ada@example.com")
    assert "7 Garden Street" in person.text() and "$3.00 of credit" in person.text()
    person.picture("shop-connected")
    # Food 12.50, tax 0.88, tip 1.88, credit 2.00.
    uuid = pay_and_refund(person, "$13.26")
    person.open("/")
    assert uuid in person.text() and "refunded" in person.text()
    person.open("/shop")
    assert "$3.00 of credit" in person.text()
    person.press("Disconnect")
    person.open("/account")
    assert "None." in person.text()


def test_a_person_refuses_and_nothing_is_connected(person: Person) -> None:
    person.press("Connect with LevelUp")
    person.sign_in("cleo@example.com")
    person.press("Deny")
    assert "LevelUp was not connected." in person.text()


def test_a_declined_card_charges_nothing(person: Person) -> None:
    person.press("Connect with LevelUp")
    person.sign_in("ben@example.com")
    person.press("Allow")
    # Of 15.26, credit pays 1.50.
    person.press("Pay $13.76 with LevelUp")
    assert "The card was declined." in person.text()
    assert "$1.50 of credit" in person.text()


def test_a_person_is_asked_by_a_permissions_request(person: Person) -> None:
    person.chrome.find_element(By.XPATH, "//summary[starts-with(., 'Ask')]").click()
    person.chrome.find_element(By.ID, "email").send_keys("dora@example.com")
    person.press("Ask")
    assert "Waiting for your answer" in person.text()
    person.follow("there")
    person.follow("Request 1")
    person.sign_in("dora@example.com")
    person.press("Allow")
    person.open("/shop")
    person.press("Check again")
    assert value(person, "email") == "dora@example.com"
    pay_and_refund(person, "$15.26")
    person.open("/shop")
    Select(person.chrome.find_element(By.ID, "tip")).select_by_value("9907")
    person.press("Update the basket")
    # Food 12.50, tax 0.88, tip 99.07.
    person.press("Pay $112.45 with LevelUp")
    person.press("Refund this order")
    assert "LevelUp gave back 669 of 11245 cents" in person.text() and "support has been notified" in person.text()
    person.open("/account")
    person.press("Disconnect Sample Shop")
    person.open("/shop")
    assert "LevelUp does not let this shop charge you any more." in person.text()


def test_a_new_person_gets_an_account_and_adds_a_card(person: Person) -> None:
    person.chrome.find_element(By.XPATH, "//summary[starts-with(., 'No LevelUp')]").click()
    person.fill(First_name="New", Last_name="User")
    person.chrome.find_element(By.ID, "new-email").send_keys("new@example.com")
    person.press("Create account")
    person.press("Pay $15.26 with LevelUp")
    assert "There is no card on this account" in person.text()
    person.press("Add a card at LevelUp")
    person.picture("shop-card")
    person.fill(Card_number=GOOD_CARD, Expiry_month="12", Expiry_year="2031", Security_code="123", Postal_code="02110")
    person.press("Add card")
    pay_and_refund(person, "$15.26")
