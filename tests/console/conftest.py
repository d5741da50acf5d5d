"""The service with its console, and people at it."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask
from werkzeug.test import TestResponse

from tests.servers.browser import chrome

__all__ = ["chrome"]

KEYS = {"olive": "a-long-key-of-olive", "rita": "a-long-key-of-rita"}
VARIABLES = {
    "LEVELUP_OV_CONSOLE_KEYS": ",".join(f"{name}={key}" for name, key in KEYS.items()),
    "LEVELUP_OV_CONSOLE_WRITERS": "olive",
    "LEVELUP_OV_GUIDE_URL": "https://docs.example/ov/",
}


class Operator:
    """A browser without scripts: it follows no redirect, and fills in forms."""

    def __init__(self, app: Flask, caller: str = "192.0.2.1") -> None:
        self.client = app.test_client()
        self._caller = {"REMOTE_ADDR": caller}

    def open(self, path: str = "", **query: str) -> TestResponse:
        return self.client.get(f"/console{path}", query_string=query or None, environ_base=self._caller)

    def token(self, path: str, action: str | None = None) -> str:
        """That of the form with this ``action``, or of the page's own one."""
        text = self.open(path).text
        form = re.search(rf'action="/console{action}">\s*<input[^>]* value="([^"]*)"', text) if action else None
        found = form or re.search(r'name="form" value="([^"]*)">\s*<div', text)
        assert found, text
        return found[1]

    def send(self, path: str, **fields: Any) -> TestResponse:
        return self.client.post(f"/console{path}", data=fields, environ_base=self._caller)

    def sign_in(self, key: str) -> TestResponse:
        return self.send("/login", form=self.token("/login"), key=key)


@pytest.fixture
def console(make_app: Callable[..., Flask]) -> Flask:
    return make_app(**VARIABLES)


@pytest.fixture
def olive(console: Flask) -> Operator:
    """Who may reconcile, signed in."""
    olive = Operator(console)
    assert olive.sign_in(KEYS["olive"]).status_code == 303
    return olive


@pytest.fixture
def rita(console: Flask) -> Operator:
    """Who may read, signed in."""
    rita = Operator(console)
    assert rita.sign_in(KEYS["rita"]).status_code == 303
    return rita
