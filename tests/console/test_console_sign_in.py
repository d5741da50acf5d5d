"""The console's door: keys, cookies, forms, and how many may be there at once."""

from __future__ import annotations

import dataclasses
import logging
import re
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from flask import Flask
from werkzeug.test import TestResponse

from levelup_ov.app import create_app
from levelup_ov.config import ConfigError, load_settings
from levelup_ov.console import gate, throttle
from levelup_ov.console.sessions import SESSION_SECONDS
from tests.channel import Clock
from tests.console.conftest import KEYS, VARIABLES, Operator

MakeApp = Callable[..., Flask]


def test_without_keys_there_is_no_console(app: Flask) -> None:
    assert Operator(app).open("/login").status_code == 401
    assert not any(rule.endpoint.startswith("console") for rule in app.url_map.iter_rules())


def test_every_page_asks_for_a_key_first(console: Flask) -> None:
    stranger = Operator(console)
    pages = [rule for rule in console.url_map.iter_rules() if rule.endpoint.startswith("console.")]
    assert len(pages) >= 8
    for rule in pages:
        path = rule.rule.replace("<id>", "01a22712-c820-76ac-929c-d9f705bdd10b").removeprefix("/console")
        if rule.endpoint not in ("console.login", "console.static"):
            assert {stranger.open(path).status_code, stranger.send(path).status_code} <= {303, 401, 403, 405}, rule
    # A key of the channel is not one of the console.
    assert stranger.sign_in("dev-key").status_code == 403


def test_a_session_ends_with_its_key(make_app: MakeApp) -> None:
    olive = Operator(make_app(**VARIABLES))
    olive.sign_in(KEYS["olive"])
    assert olive.open().status_code == 200
    cookie = olive.client.get_cookie("levelup_ov_console")
    assert cookie is not None
    for keys, expected in (
        (f"rita={KEYS['rita']}", 303),
        (f"olive={KEYS['olive']}", 200),
        ("olive=another-key-1234", 303),
    ):
        other = Operator(make_app(LEVELUP_OV_CONSOLE_KEYS=keys))
        other.client.set_cookie("levelup_ov_console", cookie.value)
        assert other.open().status_code == expected


def test_a_session_ends_after_a_shift(olive: Operator, monkeypatch: pytest.MonkeyPatch) -> None:
    later = int(time.time()) + SESSION_SECONDS + 5
    monkeypatch.setattr("itsdangerous.timed.TimestampSigner.get_timestamp", lambda _: later)
    assert olive.open().status_code == 303


def test_signing_out_takes_the_cookie(olive: Operator) -> None:
    assert olive.send("/logout", form=olive.token("", "/logout")).status_code == 303
    assert olive.open().status_code == 303


def test_the_cookie_is_for_this_host_and_its_own_pages(
    environ: dict[str, str], make_app: MakeApp, clock: Clock
) -> None:
    def cookie(app: Flask) -> list[str]:
        page = Operator(app).open("/login")
        return page.headers["Set-Cookie"].split("; ")

    assert {"HttpOnly", "SameSite=Strict", "Path=/"} <= set(cookie(make_app(**VARIABLES)))
    settings = dataclasses.replace(load_settings({**environ, **VARIABLES}), development=False)
    in_production = cookie(create_app(settings, clock=clock))
    assert in_production[0].startswith("__Host-") and "Secure" in in_production
    assert not any(part.startswith("Domain") for part in in_production)


def test_a_page_forbids_whatever_is_not_its_own(olive: Operator) -> None:
    page = olive.open()
    policy = page.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy and "frame-ancestors 'none'" in policy and "unsafe" not in policy
    assert page.headers["Cache-Control"] == "no-store"
    assert page.headers["X-Content-Type-Options"] == "nosniff"
    addresses = re.findall(r'(?:src|href|action)="([^"]*)"', page.text)
    assert addresses and all(address.startswith(("/", "#", "https://docs.example/ov/")) for address in addresses)
    assert "style=" not in page.text and "onclick" not in page.text


def test_forged_forms_are_refused(console: Flask, olive: Operator) -> None:
    rita = Operator(console)
    rita.sign_in(KEYS["rita"])
    foreign, other = rita.token("", "/logout"), Operator(console).token("/login")
    for token in ("", "x", "e30.x.y", foreign, other):
        assert olive.send("/logout", form=token).status_code == 403
    mine = olive.token("", "/logout")
    headers = {"Sec-Fetch-Site": "cross-site"}
    assert olive.client.post("/console/logout", data={"form": mine}, headers=headers).status_code == 403
    assert olive.open().status_code == 200


def test_a_form_is_too_old_after_an_hour(olive: Operator, monkeypatch: pytest.MonkeyPatch) -> None:
    token = olive.token("", "/logout")
    later = int(time.time()) + 3605
    monkeypatch.setattr("itsdangerous.timed.TimestampSigner.get_timestamp", lambda _: later)
    assert olive.send("/logout", form=token).status_code == 403


def test_a_hundred_wrong_keys_are_slowed_and_logged(
    console: Flask, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 1000.0
    monkeypatch.setattr(throttle, "monotonic", lambda: now)
    caplog.set_level(logging.WARNING)
    stranger = Operator(console)
    form = stranger.token("/login")
    tried = []
    for number in range(100):
        answer = stranger.send("/login", form=form, key=f"wrong-{number}")
        tried.append(answer.status_code)
        if answer.status_code == 429:
            # After the wait that the page names, one more try is possible.
            now += int(answer.headers["Retry-After"])
    assert tried[: throttle.FREE] == [403] * throttle.FREE
    assert tried.count(429) >= 45
    assert now - 1000 >= 40 * throttle.LONGEST
    refused = [record for record in caplog.records if record.message == "console_key_refused"]
    assert len(refused) == tried.count(403)
    assert "wrong-" not in caplog.text
    # The right key waits as well, and nobody else does.
    stranger.send("/login", form=form, key="wrong-100")
    assert stranger.send("/login", form=form, key=KEYS["olive"]).status_code == 429
    assert Operator(console, "192.0.2.2").sign_in(KEYS["olive"]).status_code == 303


def test_one_page_too_many_says_that_it_is_busy(
    console: Flask, olive: Operator, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened, seen = [1], list[TestResponse]()

    def look_around(*_: object) -> tuple[object, ...]:
        # While this page is made, another one is opened.
        if len(opened) <= gate.AT_ONCE:
            visitor = Operator(console)
            visitor.client.set_cookie("levelup_ov_console", cookie.value)
            opened.append(1)
            with ThreadPoolExecutor(1) as elsewhere:
                seen.append(elsewhere.submit(visitor.open).result())
        return ()

    cookie = olive.client.get_cookie("levelup_ov_console")
    assert cookie is not None
    monkeypatch.setattr("levelup_ov.ledger.browsing.Browser.backlog", look_around)
    assert olive.open().status_code == 200
    busy = [page for page in seen if page.status_code == 503]
    assert len(seen) == gate.AT_ONCE and len(busy) == 1
    assert "The console is busy" in busy[0].text and busy[0].headers["Retry-After"]
    # All places are free again.
    assert olive.open().status_code == 200


@pytest.mark.parametrize(
    ("variables", "wrong"),
    [
        ({"LEVELUP_OV_CONSOLE_KEYS": "a-key-without-a-name"}, "entry 1 is not NAME=key"),
        ({"LEVELUP_OV_CONSOLE_KEYS": "olive=one-key-of-hers,olive=another-of-hers"}, "twice"),
        ({"LEVELUP_OV_CONSOLE_KEYS": "olive=dev-key"}, "a key of another variable"),
        ({"LEVELUP_OV_CONSOLE_KEYS": "olive=changeme"}, "is a placeholder"),
        ({"LEVELUP_OV_CONSOLE_WRITERS": "sam"}, "has no key"),
        ({"LEVELUP_OV_GUIDE_URL": "docs"}, "not an http(s) address"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_settings_of_the_console_are_checked(environ: dict[str, str], variables: dict[str, str], wrong: str) -> None:
    with pytest.raises(ConfigError) as refused:
        load_settings({**environ, **variables})
    assert wrong in str(refused.value)
