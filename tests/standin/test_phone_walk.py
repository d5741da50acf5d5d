"""The whole way in a real browser: a phone's app, the platform, the service and the sandbox, over HTTP."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from selenium.common.exceptions import WebDriverException
from selenium.webdriver import Chrome
from selenium.webdriver.common.by import By
from selenium.webdriver.support.wait import WebDriverWait

from levelup_ov.domain.secret import Secret
from levelup_ov.standins.levelup import HttpGateway, create_levelup, levelup_server
from tests.servers.axe import violations
from tests.servers.gateway import Gateway
from tests.servers.process import http
from tests.standin.person import Person
from tests.standin.visitors import PASSWORDS

ROOT = Path(__file__).parents[2]
KEY = "key-of-the-platform"


class Service(Gateway):
    """The service with the sandbox."""

    def meals(self) -> list[str]:
        """The numbers of the orders that the sandbox has."""
        with closing(sqlite3.connect(self.directory / "data" / "sandbox.db")) as connection:
            return [str(row[0]) for row in connection.execute("SELECT ticket FROM orders")]


@pytest.fixture(scope="module")
def service() -> Iterator[Service]:
    with Service(LEVELUP_OV_API_KEYS=KEY) as service:
        yield service


@pytest.fixture(scope="module")
def base_url(service: Service, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Where the platform is."""
    levelup = create_levelup(
        tmp_path_factory.mktemp("levelup") / "levelup.db", gateway=HttpGateway(service.base_url, Secret(KEY))
    )
    server = levelup_server(levelup, 0)
    thread = Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()
    levelup.extensions["levelup"].store.close()


class Phone(Person):
    """A person at the app. Its screens change without a page being loaded."""

    def wait_for(self, title: str) -> None:
        # A screen may be replaced while it is looked at.
        WebDriverWait(self.chrome, 30, 0.05, [WebDriverException]).until(
            lambda chrome: chrome.find_element(By.CSS_SELECTOR, "main h1").text == title,
            f"{title!r} is not shown but: {self.text()} {self.chrome.find_element(By.ID, 'problem').text}",
        )

    def tap(self, words: str, *, within: str = "body") -> None:
        """Tap what starts with these words: a button or a label, as a thumb finds it."""
        path = f".//*[self::button or self::label or self::summary][starts-with(normalize-space(), '{words}')]"
        found = [
            element
            for element in self.chrome.find_element(By.CSS_SELECTOR, within).find_elements(By.XPATH, path)
            if element.is_displayed()
        ]
        assert found, f"nothing to tap with {words!r}"
        self.chrome.execute_script("arguments[0].scrollIntoView({block: 'center'})", found[0])
        box = found[0].size
        assert box["height"] >= 24, f"{words!r} is too small for a thumb"
        found[0].click()

    def fits(self) -> None:
        """Nothing is wider than the screen, and every field has a name."""
        script = "return [document.documentElement.scrollWidth, window.innerWidth]"
        wide, room = self.chrome.execute_script(script)
        assert wide <= room, f"{wide} pixels on a screen of {room}"
        unnamed = """return [...document.querySelectorAll('input, select, textarea')].filter(
            (each) => !each.labels?.length && !each.ariaLabel).map((each) => each.outerHTML)"""
        assert self.chrome.execute_script(unnamed) == []
        assert violations(self.chrome) == []


@pytest.fixture(params=[390, 1280])
def phone(request: pytest.FixtureRequest, chrome: Chrome, base_url: str) -> Iterator[Phone]:
    size = chrome.get_window_size()
    chrome.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride",
        {"width": request.param, "height": 844, "deviceScaleFactor": 1, "mobile": request.param < 500},
    )
    phone = Phone(chrome, base_url)
    phone.open("/order")
    chrome.execute_script("sessionStorage.clear()")
    phone.open("/order")
    yield phone
    chrome.execute_script("sessionStorage.clear()")
    chrome.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    chrome.set_window_size(size["width"], size["height"])


def sign_in(phone: Phone, email: str = "ada@example.com") -> None:
    phone.wait_for("Lunch without a line")
    phone.fill(**{"E-mail_address": email, "Password": PASSWORDS[email]})
    phone.tap("Sign in")
    phone.wait_for("Where do you want to order?")


def name_of(phone: Phone) -> str:
    return f"order-{phone.chrome.execute_script('return window.innerWidth')}"


def test_a_person_orders_with_nested_options(phone: Phone, service: Service) -> None:
    sign_in(phone)
    phone.fits()
    phone.picture(f"{name_of(phone)}-places")
    phone.tap("Congress Street")
    phone.wait_for("Congress Street")
    phone.fits()
    phone.picture(f"{name_of(phone)}-menu")
    phone.tap("Club sandwich")
    for words in ("Sourdough", "Cheese", "Fries"):
        phone.tap(words, within="dialog")
    # What belongs to the fries appears once they are chosen.
    assert "Fries: Dips" in phone.chrome.find_element(By.CSS_SELECTOR, "dialog").text
    phone.tap("Aioli", within="dialog")
    assert "Fries: Aioli: How hot?" in phone.chrome.find_element(By.CSS_SELECTOR, "dialog").text
    phone.tap("Hot", within="dialog")
    phone.fits()
    phone.picture(f"{name_of(phone)}-dish")
    phone.tap("Add 1 to cart", within="dialog")
    phone.wait_for("Congress Street")
    phone.tap("View cart (1)")
    phone.wait_for("Your cart")
    assert "Sourdough, Cheese, Fries, Aioli, Hot" in phone.text()
    phone.tap("20 %")
    phone.fits()
    phone.picture(f"{name_of(phone)}-cart")
    phone.tap("Check price and time")
    phone.wait_for("Your order")
    phone.fits()
    phone.picture(f"{name_of(phone)}-order")
    before = service.meals()
    phone.tap("Pay $")
    phone.wait_for("It is being made")
    phone.fits()
    phone.picture(f"{name_of(phone)}-done")
    number = phone.chrome.find_element(By.ID, "order-number").text
    (new,) = [meal for meal in service.meals() if meal not in before]
    assert number == new
    # The page may be loaded again.
    phone.open("/order")
    phone.wait_for("It is being made")
    assert phone.chrome.find_element(By.ID, "order-number").text == number
    # It can be ordered again.
    phone.tap("Order something else")
    phone.wait_for("Where do you want to order?")
    phone.tap("Club sandwich")
    phone.wait_for("Your cart")
    assert "Sourdough, Cheese, Fries, Aioli, Hot" in phone.text()


def order_a_cookie(phone: Phone) -> None:
    """To the page with the button to pay."""
    phone.tap("Congress Street")
    phone.wait_for("Congress Street")
    phone.tap("Cookie")
    phone.tap("Add 1 to cart", within="dialog")
    phone.tap("View cart (1)")
    phone.wait_for("Your cart")
    phone.tap("Check price and time")
    phone.wait_for("Your order")


def test_an_order_is_found_again_after_a_broken_connection(phone: Phone) -> None:
    sign_in(phone)
    order_a_cookie(phone)
    phone.chrome.execute_script("""
        window.whole = window.fetch;
        window.fetch = (path, given) => given.method === "GET" && path.endsWith("/complete")
            ? Promise.reject(new TypeError("broken")) : window.whole(path, given);
    """)
    phone.tap("Pay $")
    problem = phone.chrome.find_element(By.ID, "problem")
    WebDriverWait(phone.chrome, 20, 0.05).until(lambda _: "no connection" in problem.text)
    assert "It is not known yet whether Congress Street has your order." in phone.text()
    phone.fits()
    phone.tap("Look again")
    WebDriverWait(phone.chrome, 20, 0.05).until(lambda _: "no connection" in problem.text)
    phone.tap("Back")
    phone.wait_for("Where do you want to order?")
    phone.chrome.execute_script("window.fetch = window.whole")
    phone.tap("An order is on its way")
    phone.wait_for("It is being made")
    phone.tap("Order something else")
    phone.wait_for("Where do you want to order?")
    assert "An order is on its way" not in phone.text()
    phone.tap("Your orders")
    phone.wait_for("Your orders")
    assert "1 × Cookie" in phone.text()
    phone.fits()
    phone.picture(f"{name_of(phone)}-history")
    phone.tap("Back")
    phone.wait_for("Where do you want to order?")


def test_a_time_is_asked_for_only_where_it_is_taken(phone: Phone) -> None:
    sign_in(phone)
    phone.tap("No Tips Counter")
    phone.wait_for("No Tips Counter")
    phone.tap("Cookie")
    phone.tap("Add 1 to cart", within="dialog")
    phone.tap("View cart (1)")
    phone.wait_for("Your cart")
    # At the other width it is known already.
    if "Pick up at" in phone.text():
        phone.chrome.execute_script("""
            const at = document.getElementById("at"), soon = new Date(Date.now() + 3600e3);
            const parts = Object.fromEntries(new Intl.DateTimeFormat("en-CA", {
                timeZone: "America/New_York", year: "numeric", month: "2-digit", day: "2-digit", hour: "2-digit",
                minute: "2-digit", hourCycle: "h23",
            }).formatToParts(soon).map(({ type, value }) => [type, value]));
            at.value = `${parts.year}-${parts.month}-${parts.day}T${parts.hour}:${parts.minute}`;
            at.dispatchEvent(new Event("change"));
        """)
        phone.tap("Check price and time")
        problem = phone.chrome.find_element(By.ID, "problem")
        WebDriverWait(phone.chrome, 20, 0.05).until(lambda _: "Please order without a time" in problem.text)
    phone.wait_for("Your cart")
    assert "Pick up at" not in phone.text() and "Tip" not in phone.text().split()
    phone.fits()
    phone.tap("Check price and time")
    phone.wait_for("Your order")


def test_what_goes_wrong_is_shown(phone: Phone, base_url: str) -> None:
    phone.wait_for("Lunch without a line")
    phone.fill(**{"E-mail_address": "ben@example.com", "Password": "wrong"})
    phone.tap("Sign in")
    problem = phone.chrome.find_element(By.ID, "problem")
    WebDriverWait(phone.chrome, 10, 0.05).until(lambda _: "do not belong together" in problem.text)
    sign_in(phone, "ben@example.com")
    order_a_cookie(phone)
    phone.tap("Pay $")
    WebDriverWait(phone.chrome, 20, 0.05).until(lambda _: "declined" in problem.text)
    assert http("GET", f"{base_url}/favicon.ico").headers["Content-Type"].startswith("image/svg")
    assert not [entry for entry in logs(phone) if entry["level"] == "SEVERE" and "favicon" in entry["message"]]


def logs(phone: Phone) -> list[Any]:
    return phone.chrome.get_log("browser")  # type: ignore[no-any-return]
