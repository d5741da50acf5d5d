"""A platform and its visitors for each test, and one real browser for all."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from selenium.webdriver import Chrome

from tests.servers.browser import browser as real_browser
from tests.servers.browser import install
from tests.servers.process import required
from tests.standin.visitors import Browser, LevelUp


@pytest.fixture
def levelup(tmp_path: Path) -> Iterator[LevelUp]:
    levelup = LevelUp(tmp_path / "levelup.db")
    yield levelup
    levelup.store.close()


@pytest.fixture
def browser(levelup: LevelUp) -> Browser:
    return Browser(levelup)


@pytest.fixture(scope="package")
def chrome(request: pytest.FixtureRequest) -> Iterator[Chrome]:
    with required(request, "Chromium"):
        with real_browser(install()) as chrome:
            yield chrome
