"""axe-core, which finds what keeps people from using a page, from the npm package that ``axe/package.json`` pins."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from selenium.webdriver import Chrome

from tests.servers.process import CACHE, npm_modules

_RUN = """
const done = arguments[arguments.length - 1];
const [rules] = arguments;
axe.run({resultTypes: ['violations'], ...(rules ? {runOnly: rules} : {})}).then(
  (found) => done(found.violations.flatMap((each) => each.nodes.map((node) => `${each.id}: ${node.html}`))),
  (error) => done([String(error)]));
"""


@cache
def script() -> str:
    """The text of the library.

    :raises SystemMissing: it cannot be installed.
    """
    modules = npm_modules(Path(__file__).with_name("axe"), CACHE / "axe")
    return (modules / "axe-core" / "axe.min.js").read_text(encoding="utf-8")


def violations(chrome: Chrome) -> list[str]:
    """Each rule that the page breaks, with the element that does, in light and in dark."""
    found = []
    # In the dark, nothing but the colors is different.
    for scheme, rules in (("light", None), ("dark", ["color-contrast"])):
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        chrome.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
        # The driver runs it beside the page's own scripts, whatever the page's policy says.
        chrome.execute_script(f"if (!window.axe) {{ {script()} }}")
        found += [f"{scheme}, {each}" for each in chrome.execute_async_script(_RUN, rules)]
    chrome.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})
    return found
