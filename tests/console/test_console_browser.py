"""The console in a real browser: with a mouse, with a keyboard alone, narrow and wide, light and dark."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator

import pytest
from flask import Flask
from selenium.webdriver import Chrome
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from werkzeug.serving import make_server

from levelup_ov.checkout.store import CheckoutStore
from tests.channel import Channel
from tests.checkout.site import VARIABLES as CHECKOUT
from tests.console.conftest import KEYS, VARIABLES
from tests.console.test_console_pages import HOSTILE, ledger_of, lost, order_of_checkout
from tests.ledger.helpers import begin, claim, claimed
from tests.servers.axe import violations
from tests.standin.person import Person

WIDTHS = (390, 1280)
WIDEST = 1900
FITS = "return document.documentElement.scrollWidth <= innerWidth"


@pytest.fixture
def at_the_console(make_app: Callable[..., Flask], chrome: Chrome) -> Iterator[tuple[Flask, Person]]:
    """The service with its console, and a person at a browser who has not signed in."""
    app = make_app(**VARIABLES, **CHECKOUT)
    server = make_server("127.0.0.1", 0, app, threaded=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    yield app, Person(chrome, f"http://127.0.0.1:{server.port}")
    chrome.delete_all_cookies()
    server.shutdown()
    thread.join()
    server.server_close()


def sign_in(olive: Person) -> None:
    olive.open("/console")
    olive.fill(Your_key=KEYS["olive"])
    olive.press("Sign in")


@pytest.mark.parametrize("width", WIDTHS)
def test_every_page_fits_and_can_be_used_by_everybody(at_the_console: tuple[Flask, Person], width: int) -> None:
    app, olive = at_the_console
    ledger, chrome = ledger_of(app), olive.chrome
    chrome.set_window_size(width, 900)
    assert Channel(app).submit().status == 200
    unknown = lost(ledger)
    for number, text in enumerate(HOSTILE):
        id = claimed(claim(ledger, text.encode(), idempotency_key=f"k{number}"))
        begin(ledger, id)
        ledger.transitions.place(id, answer="{}", order_id=text, provider_order_id=text)
    case = json.dumps({"kind": "refund_impossible", "message": HOSTILE[0]})
    order = order_of_checkout(1, state="stuck", operator_case=case, refunded_at=1_790_000_100_000)
    CheckoutStore(ledger.database).add_order(order)
    placed = next(row.id for row in ledger.reader.find() if row.account == "sandbox")
    olive.open("/console/login")
    assert violations(chrome) == []
    sign_in(olive)
    pages = ("", "/submissions", "/submissions?state=sending", f"/submissions/{unknown}", "/accounts",
             f"/submissions/{id}", f"/submissions/{unknown}/reconcile", "/submissions/none", "/checkout",
             f"/checkout/{order.id}", f"/checkout/{order.id}/reconcile", f"/submissions/{placed}")  # fmt: skip
    for page in pages:
        olive.open(f"/console{page}")
        assert violations(chrome) == [], page
        assert chrome.execute_script(FITS), page
    chrome.set_window_size(WIDEST, 900)
    assert chrome.execute_script(FITS)
    assert [line for line in chrome.get_log("browser") if "404" not in line["message"]] == []


def test_a_keyboard_is_enough_to_reconcile(at_the_console: tuple[Flask, Person]) -> None:
    app, olive = at_the_console
    olive.chrome.set_window_size(1280, 900)
    assert Channel(app).submit().status == 200
    ledger = ledger_of(app)
    (row,) = ledger.reader.find()
    with ledger.database.connection() as connection:
        connection.exec_driver_sql("UPDATE submissions SET state = 'unknown', settled_at = NULL, answer = NULL")
    olive.open("/console")
    # The field for the key has the focus.
    with olive.next_page():
        ActionChains(olive.chrome).send_keys(KEYS["olive"], Keys.ENTER).perform()

    def tab_to(words: str) -> None:
        for _ in range(60):
            ActionChains(olive.chrome).send_keys(Keys.TAB).perform()
            focused = olive.chrome.switch_to.active_element
            if focused.text.startswith(words):
                outline = focused.value_of_css_property("outline-style")
                assert outline == "solid", "nobody sees where the focus is"
                return
        raise AssertionError(f"{words} cannot be reached")

    for words, name in (("sandbox: 1, the oldest", "now"), (row.id, "found"), ("Reconcile", "unknown"),
                        ("Ask the provider", "confirmation")):  # fmt: skip
        olive.picture(f"console-1280-{name}")
        tab_to(words)
        with olive.next_page():
            ActionChains(olive.chrome).send_keys(Keys.ENTER).perform()
    assert "Reconciled by olive" in olive.text() and "placed, order" in olive.text()
    olive.picture("console-1280-reconciled")
    olive.chrome.set_window_size(390, 900)
    olive.picture("console-390-reconciled")
    olive.press("Sign out olive")
    assert olive.chrome.find_element(By.TAG_NAME, "h1").text == "Sign in"
