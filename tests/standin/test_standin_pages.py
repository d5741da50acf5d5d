"""The pages in a real browser: what a person does to connect, approve, add a card and look around."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from threading import Thread
from urllib.parse import urlsplit

import pytest
from selenium.webdriver import Chrome
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from levelup_ov.standins.levelup import create_levelup, levelup_server
from levelup_ov.standins.levelup.platform import Platform
from levelup_ov.standins.levelup.world import GOOD_CARD, SHOP_APP
from tests.servers.axe import violations
from tests.standin.checkout_service import CheckoutService
from tests.standin.person import Person
from tests.standin.visitors import authorization


@dataclass
class Visitor(Person):
    """At the platform."""

    platform: Platform


@pytest.fixture
def visitor(chrome: Chrome, tmp_path: Path) -> Iterator[Visitor]:
    levelup = create_levelup(tmp_path / "levelup.db", shop_service=CheckoutService())
    server = levelup_server(levelup, 0)
    thread = Thread(target=server.serve_forever)
    thread.start()
    try:
        chrome.delete_all_cookies()
        yield Visitor(chrome, f"http://127.0.0.1:{server.server_port}", levelup.extensions["levelup"])
        chrome.get("about:blank")
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
        levelup.extensions["levelup"].store.close()


def back_to(visitor: Visitor, **members: str) -> str:
    """The OAuth page of an app that listens where the platform does; it answers 404 there, which is enough."""
    return authorization(redirect_uri=f"{visitor.base_url}/checkout/users/callback", **members)


def test_a_person_signs_in_and_allows(visitor: Visitor) -> None:
    visitor.open(back_to(visitor, login_hint="ada@example.com"))
    assert "Sample Shop asks to connect with your account" in visitor.text()
    visitor.picture("sign-in")
    visitor.fill(Password="wrong")
    visitor.press("Sign in")
    assert "Wrong e-mail address or password" in visitor.text()
    visitor.picture("sign-in-wrong")
    visitor.sign_in("ada@example.com")
    assert "Charge your account for orders that you place" in visitor.text()
    visitor.picture("approve")
    visitor.press("Allow")
    answer = visitor.answer()
    assert answer["state"] == ["the state"] and answer["code"]


def test_a_person_refuses_with_the_keyboard(visitor: Visitor) -> None:
    visitor.open(back_to(visitor))
    visitor.sign_in("ben@example.com")
    button = visitor.chrome.find_element(By.XPATH, "//button[normalize-space()='Deny']")
    for _ in range(20):
        visitor.chrome.switch_to.active_element.send_keys(Keys.TAB)
        if visitor.chrome.switch_to.active_element == button:
            break
    focused = visitor.chrome.switch_to.active_element
    assert focused == button
    # Keyboard users see where they are.
    assert focused.value_of_css_property("outline-style") == "solid"
    with visitor.next_page():
        focused.send_keys(Keys.ENTER)
    assert visitor.answer()["error"] == ["access_denied"]


def test_a_person_registers_adds_a_card_and_allows(visitor: Visitor) -> None:
    visitor.open(back_to(visitor, login_hint="gil@example.com", first_name="Gil", last_name="Example"))
    visitor.chrome.find_element(By.TAG_NAME, "summary").click()
    visitor.chrome.find_element(By.ID, "new-password").send_keys("gil-password")
    visitor.picture("register")
    visitor.press("Create account")
    visitor.picture("approve-without-card")
    visitor.follow("Add a card")
    typed = {"Expiry_month": "12", "Expiry_year": "2031", "Security_code": "123", "Postal_code": "02110"}
    visitor.fill(Card_number="4111 1111 1111 1112", **typed)
    visitor.press("Add card")
    assert "This is not a card number." in visitor.text()
    assert visitor.chrome.find_element(By.ID, "number").get_attribute("value") == ""
    visitor.picture("card-wrong")
    visitor.fill(Card_number=GOOD_CARD, Security_code="123")
    visitor.press("Add card")
    assert "Connect Sample Shop?" in visitor.text() and "no card" not in visitor.text()
    visitor.press("Allow")
    assert visitor.answer()["code"]


def test_an_owner_connects_a_business(visitor: Visitor) -> None:
    visitor.open(back_to(visitor, scope="manage_merchant_orders"))
    visitor.sign_in("ada@example.com")
    assert "owns no business" in visitor.text()
    visitor.picture("owns-nothing")
    visitor.press("Use another account")
    visitor.sign_in("owner@beacon.example")
    assert "As the owner of Beacon Sandwiches" in visitor.text()
    visitor.picture("approve-merchant")
    visitor.press("Allow")
    assert visitor.answer()["code"]


def test_a_person_answers_a_permissions_request_and_disconnects(visitor: Visitor) -> None:
    with visitor.platform.store.writing() as transaction:
        user = transaction.user_by_email("ada@example.com")
        assert user
        transaction.add_request(SHOP_APP.id, user.id, ("create_orders",), visitor.platform.clock())
    visitor.open("/")
    visitor.follow("Request 1")
    visitor.sign_in("ada@example.com")
    visitor.press("Allow")
    assert "You have accepted the request" in visitor.text()
    visitor.picture("request-accepted")
    visitor.follow("ada@example.com")
    visitor.picture("account")
    visitor.press("Disconnect Sample Shop")
    assert "None." in visitor.text()


def test_the_developers_page(visitor: Visitor) -> None:
    visitor.open("/")
    visitor.picture("world")
    assert SHOP_APP.client_secret in visitor.text()
    assert "dora@example.com" in visitor.text()
    visitor.press("Start maintenance")
    assert "Maintenance is on" in visitor.text()


@pytest.mark.parametrize("path", ["/", "/sign_in", authorization(), "/credit_cards/new", "/account", "/shop"])
def test_every_page_fits_a_narrow_screen_with_good_contrast(visitor: Visitor, path: str) -> None:
    chrome = visitor.chrome
    visitor.open("/sign_in")
    if path not in ("/", "/sign_in"):
        visitor.sign_in("cleo@example.com")
    size = chrome.get_window_size()
    chrome.set_window_size(500, 900)
    try:
        visitor.open(path)
        visitor.picture("narrow" + re.sub(r"\W+", "-", urlsplit(path).path).rstrip("-"))
        assert chrome.execute_script("return document.documentElement.scrollWidth <= window.innerWidth")
        assert chrome.execute_script(_UNLABELED) == 0
        assert chrome.find_element(By.TAG_NAME, "html").get_attribute("lang") == "en"
        assert len(chrome.find_elements(By.TAG_NAME, "h1")) == 1
        assert [ratio for ratio in chrome.execute_script(_CONTRASTS) if ratio < 4.5] == []
        assert violations(chrome) == []
    finally:
        chrome.set_window_size(size["width"], size["height"])


_UNLABELED = """
return [...document.querySelectorAll('input:not([type=hidden]), select')].filter(i => !i.labels.length).length;
"""
_CONTRASTS = """
const lightness = color => {
  const [r, g, b] = color.match(/[\\d.]+/g).slice(0, 3).map(v => v / 255)
    .map(v => v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
};
const ground = element => {
  for (; element; element = element.parentElement) {
    const color = getComputedStyle(element).backgroundColor;
    if (!color.endsWith(', 0)')) return color;
  }
  return 'rgb(255, 255, 255)';
};
return [...document.querySelectorAll('body *')]
  .filter(e => [...e.childNodes].some(n => n.nodeType === 3 && n.data.trim()))
  .map(e => [lightness(getComputedStyle(e).color), lightness(ground(e))].sort((a, b) => b - a))
  .map(([light, dark]) => (light + 0.05) / (dark + 0.05));
"""
