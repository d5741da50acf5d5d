"""A real browser: headless Chromium, driven through its own driver; from the path or from Debian's packages."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from selenium.common.exceptions import WebDriverException
from selenium.webdriver import Chrome, ChromeOptions, ChromeService

from tests.servers.process import SystemMissing, required, run

PACKAGES = ("chromium", "chromium-driver", "fonts-dejavu-core")
_BROWSERS = ("chromium", "chromium-browser", "google-chrome")
_DRIVERS = ("chromedriver",)
# No sandbox of its own: it does not start as root with one. Nothing but the pages under test is fetched.
_FLAGS = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-default-apps",
    "--no-proxy-server", "--window-size=1100,1050", "--hide-scrollbars",
)  # fmt: skip


def install() -> tuple[Path, Path]:
    """Browser and driver.

    :raises SystemMissing: they are not on the path and cannot be installed.
    """
    found = _found()
    if found is None:
        if os.geteuid() != 0 or shutil.which("apt-get") is None:
            raise SystemMissing("no Chromium with its driver on the path, and Debian's packages need root")
        run(["apt-get", "update"], seconds=300)
        run(["apt-get", "install", "--yes", "--no-install-recommends", *PACKAGES], seconds=900)
        found = _found()
    if found is None:
        raise SystemMissing("Debian's packages brought no Chromium with its driver")
    return found


@contextmanager
def browser(paths: tuple[Path, Path]) -> Iterator[Chrome]:
    """A browser with a profile of its own, closed at the end.

    :raises SystemMissing: it does not start.
    """
    executable, driver = paths
    with tempfile.TemporaryDirectory(prefix="browser-", ignore_cleanup_errors=True) as profile:
        options = ChromeOptions()
        options.binary_location = str(executable)
        for flag in (*_FLAGS, f"--user-data-dir={profile}"):
            options.add_argument(flag)
        try:
            # With both paths given, nothing is looked for or downloaded.
            chrome = Chrome(options=options, service=ChromeService(executable_path=str(driver)))
        except WebDriverException as problem:
            raise SystemMissing(f"Chromium does not start: {problem.msg}") from None
        try:
            chrome.set_page_load_timeout(20)
            yield chrome
        finally:
            chrome.quit()


@pytest.fixture(scope="package")
def chrome(request: pytest.FixtureRequest) -> Iterator[Chrome]:
    """One browser for the tests of a folder."""
    with required(request, "Chromium"):
        with browser(install()) as chrome:
            yield chrome


def _found() -> tuple[Path, Path] | None:
    executable, driver = (
        next((path for name in names if (path := shutil.which(name))), None) for names in (_BROWSERS, _DRIVERS)
    )
    return (Path(executable), Path(driver)) if executable and driver else None
