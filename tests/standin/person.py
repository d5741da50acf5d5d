"""A person at a real browser."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from selenium.common.exceptions import WebDriverException
from selenium.webdriver import Chrome
from selenium.webdriver.common.by import By
from selenium.webdriver.support.wait import WebDriverWait

from tests.standin.visitors import PASSWORDS


@dataclass
class Person:
    """A person at a browser; ``LEVELUP_OV_SCREENSHOTS`` names a folder that gets a picture of each step."""

    chrome: Chrome
    base_url: str

    def open(self, path: str) -> None:
        self.chrome.get(self.base_url + path)

    def fill(self, **fields: str) -> None:
        for name, value in fields.items():
            # By its label, as a person finds it.
            label = self.chrome.find_element(By.XPATH, f"//label[normalize-space()='{name.replace('_', ' ')}']")
            box = self.chrome.find_element(By.ID, label.get_attribute("for") or "")
            box.clear()
            box.send_keys(value)

    def press(self, words: str) -> None:
        """Press the button with these words, and wait for the page that follows."""
        with self.next_page():
            self.chrome.find_element(By.XPATH, f"//button[normalize-space()='{words}']").click()

    def follow(self, words: str) -> None:
        """Follow the link with these words."""
        with self.next_page():
            self.chrome.find_element(By.LINK_TEXT, words).click()

    @contextmanager
    def next_page(self) -> Iterator[None]:
        """Whatever is done here leads to another page; wait until it is there."""
        self.chrome.execute_script("document.documentElement.dataset.before = 'yes'")
        yield
        arrived = "return document.readyState === 'complete' && !document.documentElement.dataset.before"
        # Between two pages, the driver has none to run the script in.
        waiting = WebDriverWait(self.chrome, 20, 0.02, [WebDriverException])
        waiting.until(lambda chrome: chrome.execute_script(arrived))

    def sign_in(self, email: str) -> None:
        self.fill(**{"E-mail_address": email, "Password": PASSWORDS[email]})
        self.press("Sign in")

    def text(self) -> str:
        return self.chrome.find_element(By.TAG_NAME, "main").text

    def picture(self, name: str) -> None:
        if folder := os.environ.get("LEVELUP_OV_SCREENSHOTS"):
            Path(folder).mkdir(parents=True, exist_ok=True)
            self.chrome.save_screenshot(f"{folder}/{name}.png")

    def answer(self) -> dict[str, list[str]]:
        """What the app got at its redirect URI."""
        parts = urlsplit(self.chrome.current_url)
        assert parts.path == "/checkout/users/callback"
        return parse_qs(parts.query)
