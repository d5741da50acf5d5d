"""The workbench in a real browser: on a phone and on a desk, in light and dark, with mouse and with keyboard."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from selenium.webdriver import Chrome
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.wait import WebDriverWait

from tests.servers.axe import violations
from tests.servers.gateway import Gateway
from tests.standin.person import Person

CONGRESS = "/workbench/order?location=sandbox.congress"


class Partner(Person):
    """An engineer who tries out an adapter."""

    width = 1280

    def all(self, selector: str) -> list[WebElement]:
        return self.chrome.find_elements(By.CSS_SELECTOR, selector)

    def wait(self, selector: str, number: int = 1) -> WebElement:
        """The first of at least ``number`` such elements."""
        WebDriverWait(self.chrome, 20, 0.02).until(
            lambda _: len(self.all(selector)) >= number, f"no {selector} in: {self.text()}"
        )
        return self.all(selector)[0]

    def click(self, selector: str, words: str = "") -> None:
        self.wait(selector)
        found = [each for each in self.all(selector) if each.is_displayed() and each.text.startswith(words)]
        assert found, f"no {selector} with {words!r}"
        self.chrome.execute_script("arguments[0].scrollIntoView({block: 'center'})", found[0])
        found[0].click()

    def choose(self, id: str, words: str) -> None:
        """Choose the option of a list that starts with these words."""
        for option in self.all(f"#{id} option"):
            if option.text.startswith(words):
                option.click()
                return
        raise AssertionError(f"#{id} has no {words!r}")

    def order(self, path: str = CONGRESS) -> None:
        """Start an order with the first dish of the menu."""
        self.open(path)
        self.chrome.execute_script("sessionStorage.clear()")
        self.open(path)
        self.click("#menu .row")
        self.click("#dish button.primary")
        self.wait("#lines li")

    def result(self, number: int) -> str:
        """What the newest of so many results says."""
        self.wait(".result", number)
        return self.all(".result")[0].text

    def look(self, name: str, *, long: bool = False) -> None:
        """Nothing is wider than the screen, and nothing keeps anybody from using the page.

        ``long``: a page of a hundred equal parts, which need not be looked through at each width.
        """
        script = "return [document.documentElement.scrollWidth, window.innerWidth]"
        wide, room = self.chrome.execute_script(script)
        assert wide <= room, f"{wide} pixels on a screen of {room}"
        self.picture(f"workbench-{self.width}-{name}")
        assert (self.width != 1280 and long) or violations(self.chrome) == []


@pytest.fixture(params=[390, 1280])
def partner(request: pytest.FixtureRequest, chrome: Chrome, service: Gateway) -> Iterator[Partner]:
    screen = {"width": request.param, "height": 844, "deviceScaleFactor": 1, "mobile": request.param < 500}
    chrome.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", screen)
    partner = Partner(chrome, service.base_url)
    partner.width = request.param
    yield partner
    chrome.execute_script("sessionStorage.clear()")
    chrome.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def test_a_new_user_places_an_order_with_the_mouse(partner: Partner) -> None:
    partner.open("/")
    partner.wait(".places h3", 15)
    partner.look("locations")
    with partner.next_page():
        partner.click(".places a", "Order")
    partner.click("#menu .row", "Club sandwich")
    partner.click("#dish .choice", "Fries")
    partner.wait("#dish fieldset fieldset")
    partner.look("dish")
    partner.click("#dish button.primary")
    assert "Fries" in partner.wait("#lines li").text
    partner.look("order")
    partner.click("#validate")
    receipt = partner.result(1)
    assert "Food MONEY-3 $13.00" in receipt.replace("\n", " ")
    assert "The customer pays MONEY-7 $15.91" in receipt.replace("\n", " ")
    assert "sandbox.internal/v1/locations/congress/carts" in receipt
    partner.look("receipt")
    partner.click(".next button", "Submit this order")
    assert "placed now" in partner.result(2)
    number = partner.wait(".order-id").text
    partner.click(".next button", "Send the same again")
    again = partner.result(3)
    if "It did not ask the provider" not in again:
        # On a slow machine the locations are read anew meanwhile; then they are fresh.
        partner.click(".next button", "Send the same again")
        again = partner.result(4)
    assert "It did not ask the provider" in again and "Idempotency-Replayed: true" in again
    assert partner.wait(".order-id").text == number
    partner.look("again")


def test_a_lost_answer_is_reconciled(partner: Partner) -> None:
    partner.order()
    partner.click("#lose")
    assert "outcome_unknown" in partner.result(1)
    partner.click(".next button", "Send the same again")
    found = partner.result(2)
    assert "found at the provider" in found and "orders?reference=" in found
    partner.look("reconciled")


def test_a_refusal_shows_member_meaning_remedy_and_curl(partner: Partner) -> None:
    partner.order()
    partner.click("#by-hand summary")
    box = partner.wait("#body")
    box.clear()
    box.send_keys(
        '{"items": [{"item": {"provider_id": "nothing", "quantity": 1}}], "user": {"name": "A", "email": "a@b.c"}}'
    )
    partner.click("#validate")
    refusal = partner.result(1)
    assert "unknown_item" in refusal and "Read the menu again." in refusal
    assert partner.wait(".result mark").text == '"item": {'
    partner.click(".result summary", "The same with curl")
    line = partner.wait(".curl pre").text
    assert line.startswith(f"curl -s '{partner.base_url}/locations/sandbox.congress/order_validations'")
    partner.look("refusal")
    box.clear()
    box.send_keys("{no JSON")
    partner.click("#validate")
    assert "malformed_json" in partner.result(2)


def test_slots_magic_and_cards_come_as_lists(partner: Partner) -> None:
    partner.order("/workbench/order?location=sandbox.day")
    partner.choose("token", "sold-out")
    partner.choose("tender", "Card 4000000000000002")
    partner.choose("ready", "Another time")
    partner.chrome.execute_script("document.getElementById('at').value = '2001-01-01T10:00'")
    partner.click("#validate")
    assert "ready_time_in_past" in partner.result(1)
    partner.choose("ready", "As soon as possible")
    partner.click("#validate")
    assert "$12.70" in partner.result(2)
    slots = partner.all("#ready option")
    partner.choose("ready", slots[1].text)
    partner.click("#submit")
    assert "item_unavailable" in partner.result(3)
    partner.choose("token", "It behaves")
    partner.click("#submit")
    assert "card_declined" in partner.result(4)
    partner.choose("tender", "LevelUp")
    partner.click("#submit")
    assert "placed now" in partner.result(5)


def test_a_location_is_certified_rule_by_rule(partner: Partner) -> None:
    partner.open("/workbench/certification?location=sandbox.congress")
    partner.wait("#location option")
    partner.click("#plan button")
    assert "No rule is broken." in partner.wait("#summary [role=status]").text
    assert len(partner.all(".rule-row .tag.good")) > 50
    partner.picture(f"workbench-{partner.width}-certified")
    partner.choose("location", "Congress Street (wrong")
    partner.click("#plan button")
    partner.wait("#summary .problem")
    broken = partner.wait(".rule-row[data-id=MONEY-4]").text
    assert "violation" in broken and "> POST /locations/wrong.congress/order_validations" in broken
    partner.look("not-certified", long=True)


def test_hostile_texts_are_texts(partner: Partner) -> None:
    partner.open("/")
    partner.wait(".places h3", 15)
    assert "<script>" in partner.text()
    partner.order("/workbench/order?location=hostile.congress")
    partner.click("#validate")
    assert "$12.70" in partner.result(1)
    partner.click("#menu .row", "<script>")
    partner.wait("#dish[open]")
    partner.look("hostile")
    partner.click("#dish button.primary")
    partner.wait("#lines li", 2)
    partner.look("hostile-order")
    assert partner.chrome.title.startswith("<script>") and "taken over" in partner.chrome.title
    assert partner.all("main script:not([type='application/json']), main img") == []


def test_the_other_pages(partner: Partner) -> None:
    partner.open("/workbench/checkout")
    assert "make demo-checkout" in partner.text()
    partner.look("checkout")
    partner.open("/workbench/rules")
    assert "MONEY-3" in partner.text()
    partner.look("rules", long=True)


def test_what_keeps_people_out_is_found(partner: Partner) -> None:
    partner.open("/workbench/checkout")
    partner.chrome.execute_script("document.querySelector('.lead').style.color = '#888'")
    assert [each[:21] for each in violations(partner.chrome)] == ["light, color-contrast"]


def test_everything_is_reached_with_the_keyboard(partner: Partner) -> None:
    partner.order()
    partner.chrome.execute_script("document.activeElement.blur(); window.scrollTo(0, 0)")
    passed: set[str] = set()
    for _ in range(60):
        partner.chrome.switch_to.active_element.send_keys(Keys.TAB)
        focused = partner.chrome.switch_to.active_element
        assert focused.value_of_css_property("outline-style") == "solid", focused.get_attribute("outerHTML")
        passed.add(focused.get_attribute("id") or "")
        if "validate" in passed:
            break
    assert passed >= {"ready", "tip", "discount", "tender", "token", "validate"}
    partner.chrome.switch_to.active_element.send_keys(Keys.ENTER)
    partner.result(1)
    rule = partner.all(".receipt .rule")[0]
    rule.send_keys(Keys.ENTER)
    assert "food" in partner.wait("#rule[open]").text
    partner.chrome.switch_to.active_element.send_keys(Keys.ESCAPE)
    assert partner.chrome.switch_to.active_element == rule


def test_a_chosen_key_is_asked_for(chrome: Chrome) -> None:
    with Gateway(LEVELUP_OV_API_KEYS="a-key-of-the-operator") as service:
        partner = Partner(chrome, service.base_url)
        partner.open("/")
        partner.look("key")
        for key in ("wrong", "a-key-of-the-operator"):
            partner.wait("#key").send_keys(key)
            with partner.next_page():
                partner.click("#key-form button")
            partner.wait(".places h3" if key != "wrong" else ".account .problem")
        assert not partner.wait("#key-form").is_displayed()
