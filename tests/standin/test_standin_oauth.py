"""The OAuth flow through pages and token endpoint, the card page and the account, without a browser's scripts."""

from __future__ import annotations

from typing import Any

import pytest

from levelup_ov.standins.levelup.platform import registered
from levelup_ov.standins.levelup.visits import local
from levelup_ov.standins.levelup.world import GOOD_CARD, OTHER_APP, SHOP_APP, App
from tests.standin.visitors import (
    ADA,
    BEACON,
    CALLBACK,
    CLEO,
    HARBOR,
    SECRETS,
    Browser,
    LevelUp,
    authorization,
)

TYPED = {"number": GOOD_CARD, "cvv": "123", "expiration_month": "1", "expiration_year": "2030", "postal_code": "02110"}


def code(browser: Browser, email: str = "ada@example.com", **members: str) -> str:
    browser.open(authorization(**members)).sign_in(email)
    address, answer = browser.send("/oauth2/authorizations/new", answer="grant").sent_to()
    assert address == members.get("redirect_uri", CALLBACK)
    assert answer["state"] == "the state"
    return answer["code"]


def exchange(levelup: LevelUp, code: str, status: int = 200, **members: str) -> Any:
    form = {"grant_type": "authorization_code", "code": code, "redirect_uri": CALLBACK, **SECRETS, **members}
    answer = levelup.client.post("/oauth2/token", data=form)
    assert answer.status_code == status, answer.text
    assert answer.headers["Cache-Control"] == "no-store"
    return answer.get_json()


def test_a_user_connects(levelup: LevelUp, browser: Browser) -> None:
    answer = exchange(levelup, code(browser))
    assert answer == {
        "access_token": answer["access_token"],
        "token_type": "bearer",
        "scope": "create_orders read_user_basic_info",
        "user_id": ADA,
    }
    auth = f'token user="{answer["access_token"]}"'
    assert levelup.call("GET", "/v15/users", auth=auth)["user"]["first_name"] == "Ada"
    levelup.refused("GET", "/v15/user_addresses", auth=auth, status=401)


@pytest.mark.parametrize("email, merchant", [("owner@beacon.example", BEACON), ("owner@harbor.example", HARBOR)])
def test_a_merchant_connects(levelup: LevelUp, browser: Browser, email: str, merchant: int) -> None:
    answer = exchange(levelup, code(browser, email, scope="manage_merchant_orders"))
    assert "merchant_id" not in answer
    auth = f"token merchant={answer['access_token']}"
    listed = levelup.call("GET", "/v15/managed_locations", auth=auth)
    assert {entry["location"]["merchant_id"] for entry in listed} == {merchant}


def test_who_owns_no_business_cannot_connect_one(levelup: LevelUp, browser: Browser) -> None:
    browser.open(authorization(scope="manage_merchant_orders")).sign_in("ada@example.com")
    assert "owns no business" in browser.page.text
    assert browser.send("/oauth2/authorizations/new", answer="grant").page.status_code == 403
    browser.open(authorization(scope="manage_merchant_orders")).send("/sign_out").follow()
    assert "Sign in" in browser.page.text


def test_a_refusal_goes_back_to_the_app(browser: Browser) -> None:
    browser.open(authorization()).sign_in("ada@example.com").send("/oauth2/authorizations/new", answer="refuse")
    assert browser.sent_to() == (CALLBACK, {"error": "access_denied", "state": "the state"})


@pytest.mark.parametrize(
    "members, error",
    [
        ({"response_type": "token"}, "unsupported_response_type"),
        ({"response_type": None}, "unsupported_response_type"),
        ({"scope": None}, "invalid_scope"),
        ({"scope": "create_orders fly"}, "invalid_scope"),
        ({"scope": "create_orders manage_merchant_orders"}, "invalid_scope"),
        ({"state": "s" * 101}, "invalid_request"),
    ],
)
def test_what_is_wrong_with_a_request_is_reported_to_the_app(browser: Browser, members: Any, error: str) -> None:
    state = {} if error == "invalid_request" else {"state": "the state"}
    assert browser.open(authorization(**members)).sent_to() == (CALLBACK, {"error": error, **state})


def test_a_state_of_100_characters_comes_back_whole(browser: Browser) -> None:
    state = "ä&=?#" * 20
    browser.open(authorization(state=state)).sign_in("ada@example.com")
    assert browser.send("/oauth2/authorizations/new", answer="grant").sent_to()[1]["state"] == state


@pytest.mark.parametrize(
    "members",
    [
        {"client_id": "unknown"},
        {"client_id": None},
        {"redirect_uri": None},
        {"redirect_uri": "http://127.0.0.1:8000/elsewhere"},
        {"redirect_uri": "https://evil.example/checkout/users/callback"},
        {"redirect_uri": "javascript:alert(1)"},
        {"client_id": OTHER_APP.api_key},
    ],
)
def test_a_browser_is_sent_to_registered_addresses_only(browser: Browser, members: Any) -> None:
    page = browser.open(authorization(**members)).page
    assert page.status_code == 400
    assert "Location" not in page.headers
    assert "cannot be answered" in page.text


@pytest.mark.parametrize(
    "uri, expected",
    [
        ("https://shop.example/back", True),
        ("https://shop.example/back?a=1", False),
        ("https://shop.example:444/back", False),
        ("https://shop.example/back#part", False),
        ("http://shop.example/back", False),
        ("https://user@shop.example/back", False),
        ("http://127.0.0.1/local", True),
        ("http://127.0.0.1:5000/local", True),
        ("http://127.0.0.1:5000/other", False),
        ("http://user@127.0.0.1/local", False),
        ("ftp://127.0.0.1/local", False),
        ("http://[bad", False),
        ("", False),
    ],
)
def test_where_an_app_may_be_answered(uri: str, expected: bool) -> None:
    uris = ("https://shop.example/back", "http://127.0.0.1:1/local", "http://shop.example/back")
    assert registered(App(9, "Any", "key", "secret", uris), uri) is expected


@pytest.mark.parametrize(
    "members, status, error",
    [
        ({"client_secret": "wrong"}, 401, "invalid_client"),
        ({"client_id": "unknown"}, 401, "invalid_client"),
        ({"grant_type": "password"}, 400, "unsupported_grant_type"),
        ({"redirect_uri": "http://127.0.0.1:9/checkout/users/callback"}, 400, "invalid_grant"),
        ({"client_id": OTHER_APP.api_key, "client_secret": OTHER_APP.client_secret}, 400, "invalid_grant"),
    ],
)
def test_a_code_is_exchanged_only_by_its_app(
    levelup: LevelUp, browser: Browser, members: Any, status: int, error: str
) -> None:
    given = code(browser)
    assert exchange(levelup, given, status, **members) == {"error": error}
    exchange(levelup, given)


def test_an_app_may_use_basic_authentication(levelup: LevelUp, browser: Browser) -> None:
    form = {"grant_type": "authorization_code", "code": code(browser), "redirect_uri": CALLBACK}
    keys = (SHOP_APP.api_key, SHOP_APP.client_secret)
    assert levelup.client.post("/oauth2/token", data=form, auth=(keys[0], "wrong")).status_code == 401
    assert levelup.client.post("/oauth2/token", data=form, auth=keys).status_code == 200


def test_a_code_is_good_once_and_a_replay_revokes_its_token(levelup: LevelUp, browser: Browser) -> None:
    given = code(browser)
    auth = f"token user={exchange(levelup, given)['access_token']}"
    levelup.call("GET", "/v15/users", auth=auth)
    assert exchange(levelup, given, 400) == {"error": "invalid_grant"}
    levelup.refused("GET", "/v15/users", auth=auth, status=401)


def test_a_code_is_short_lived(levelup: LevelUp, browser: Browser) -> None:
    given = code(browser)
    levelup.pass_time(minutes=5)
    assert exchange(levelup, given, 400) == {"error": "invalid_grant"}


def test_an_unknown_code_is_refused(levelup: LevelUp) -> None:
    assert exchange(levelup, "unknown", 400) == {"error": "invalid_grant"}


def test_a_person_registers_on_the_way_and_adds_a_card(levelup: LevelUp, browser: Browser) -> None:
    hints = {"login_hint": "gil@example.com", "first_name": "Gil", "last_name": "Example"}
    page = browser.open(authorization(**hints)).page.text
    assert all(f'value="{hint}"' in page for hint in hints.values())
    names = {"first_name": "Gil", "last_name": "Example"}
    browser.send("/register", email="gil@example.com", password="gil-password", **names).follow()
    assert "no card on this account" in browser.page.text
    browser.open("/credit_cards/new?next=/account").send("/credit_cards/new", **TYPED).follow()
    assert "Visa ending in 1111" in browser.page.text
    browser.open(authorization(**hints)).send("/oauth2/authorizations/new", answer="grant")
    token = exchange(levelup, browser.sent_to()[1]["code"])["access_token"]
    both = levelup.merchant_auth() + f', user="{token}"'
    assert levelup.ordered(both)["total_amount"] == 1000


@pytest.mark.parametrize(
    "wrong, problem",
    [
        ({"email": "ada@example.com"}, "registered already"),
        ({"email": "none"}, "give an e-mail address"),
        ({"password": "short"}, "at least 8 characters"),
        ({"first_name": " "}, "first and last name"),
    ],
)
def test_a_registration_that_is_wrong(browser: Browser, wrong: Any, problem: str) -> None:
    fields = {"email": "hal@example.com", "password": "hal-password", "first_name": "Hal", "last_name": "E", **wrong}
    page = browser.open(authorization()).send("/register", **fields).page
    assert page.status_code == 422 and problem in page.text
    assert "hal-password" not in page.text


@pytest.mark.parametrize("email, password", [("ada@example.com", "wrong"), ("nobody@example.com", ""), ("", "")])
def test_a_wrong_password_does_not_sign_in(browser: Browser, email: str, password: str) -> None:
    page = browser.open(authorization()).send("/sign_in", email=email, password=password).page
    assert page.status_code == 422 and "Wrong e-mail address or password" in page.text
    assert "Sign in" in browser.open("/account").page.text


def test_a_user_without_a_password_cannot_sign_in(levelup: LevelUp, browser: Browser) -> None:
    with levelup.store.writing() as transaction:
        transaction.add_user("fay@example.com", "Fay", "Example", levelup.now, app_id=1)
    assert browser.open("/sign_in").send("/sign_in", email="fay@example.com", password="").page.status_code == 422


def test_another_account_than_expected_is_pointed_out(browser: Browser) -> None:
    browser.open(authorization(login_hint="ada@example.com")).sign_in("ben@example.com")
    assert "expected <strong>ada@example.com</strong>" in browser.page.text


# Forms and cookies.


@pytest.mark.parametrize(
    "path", ["/sign_in", "/register", "/sign_out", authorization(), "/permissions_requests/1", "/account/disconnect/1",
             "/credit_cards/new", "/maintenance"],
)  # fmt: skip
@pytest.mark.parametrize("csrf", [{}, {"csrf": ""}, {"csrf": "0" * 64}, {"csrf": "\u00e4"}])
def test_a_form_from_elsewhere_is_refused(browser: Browser, path: str, csrf: Any) -> None:
    browser.open("/sign_in").sign_in("ada@example.com")
    assert browser.client.post(path, data={**csrf, "answer": "grant"}).status_code == 403


def test_signing_in_starts_a_new_visit(browser: Browser) -> None:
    browser.open("/sign_in")
    planted = browser.client.get_cookie("levelup_visit")
    browser.sign_in("ada@example.com")
    cookie = browser.client.get_cookie("levelup_visit")
    assert planted and cookie and planted.value != cookie.value
    assert cookie.http_only and cookie.same_site == "Lax"


def test_a_visit_ends_after_twelve_hours_and_with_signing_out(levelup: LevelUp, browser: Browser) -> None:
    browser.open("/account").sign_in("ada@example.com")
    levelup.pass_time(hours=12)
    assert "Sign in" in browser.open("/account").page.text
    browser.sign_in("ada@example.com").send("/sign_out").follow()
    assert "Sign in" in browser.open("/account").page.text


@pytest.mark.parametrize(
    "target, expected",
    [("/account", "/account"), ("//evil.example", None), ("/\\evil.example", None), ("https://evil.example", None),
     ("/a\nb", None), ("", None), (None, None), ("account", None)],
)  # fmt: skip
def test_a_browser_is_sent_on_only_within_the_platform(target: str | None, expected: str | None) -> None:
    assert local(target) == expected


def test_pages_load_nothing_from_elsewhere_and_cannot_be_framed(browser: Browser) -> None:
    for path in ("/", "/sign_in", authorization(), "/nothing"):
        page = browser.open(path).page
        assert "http://" not in page.text.replace("http://localhost", "").replace("http://127.0.0.1", "")
        assert "<script" not in page.text
        assert "default-src 'none'" in page.headers["Content-Security-Policy"]
        assert "frame-ancestors 'none'" in page.headers["Content-Security-Policy"]
        assert page.headers["Cache-Control"] == "no-store"
    assert browser.open("/static/style.css").page.mimetype == "text/css"


# Card and account.


def test_a_link_to_the_card_page_needs_no_password(levelup: LevelUp, browser: Browser) -> None:
    auth = levelup.user_auth(CLEO)
    body = {"credit_card_page": {"redirect_uri": CALLBACK}}
    made = levelup.call("POST", "/v15/credit_card_pages", body, auth=auth)["credit_card_page"]
    assert made["expires_at"] == "2026-11-20T18:00:00Z"
    browser.open(made["url"]).send("/credit_cards/new", **TYPED)
    assert browser.sent_to()[0] == CALLBACK
    assert levelup.call("GET", "/v15/credit_cards", auth=auth)[0]["credit_card"]["last_4"] == "1111"
    # One card.
    assert "There is a card already" in browser.open(made["url"]).page.text
    levelup.refused("POST", "/v15/credit_card_pages", auth=auth)


def test_a_link_to_the_card_page_lapses(levelup: LevelUp, browser: Browser) -> None:
    url = levelup.call("POST", "/v15/credit_card_pages", auth=levelup.user_auth(CLEO))["credit_card_page"]["url"]
    levelup.pass_time(hours=1)
    assert browser.open(url).page.status_code == 404
    assert browser.open("/credit_cards/new?link=unknown").page.status_code == 404


def test_a_link_back_must_be_registered(levelup: LevelUp) -> None:
    body = {"credit_card_page": {"redirect_uri": "https://evil.example/"}}
    refusal = levelup.refused("POST", "/v15/credit_card_pages", body, auth=levelup.user_auth(CLEO))
    assert refusal == ["credit_card_page/redirect_uri/not_registered"]


def test_a_card_that_is_wrong_is_asked_for_again_and_not_shown(browser: Browser) -> None:
    browser.open("/credit_cards/new").sign_in("cleo@example.com")
    page = browser.send("/credit_cards/new", **{**TYPED, "cvv": "9", "expiration_year": "2020"}).page
    assert page.status_code == 422
    assert "three or four digits" in page.text and "has expired" in page.text
    assert "4111" not in page.text and 'value="02110"' in page.text


def test_a_second_card_is_refused(browser: Browser) -> None:
    browser.open("/credit_cards/new").sign_in("cleo@example.com")
    form = browser.page.text.split('name="csrf" value="')[2].split('"')[0]
    for status in (200, 422):
        answer = browser.client.post("/credit_cards/new", data={"csrf": form, **TYPED})
        assert answer.status_code == status


def test_a_user_disconnects_an_app(levelup: LevelUp, browser: Browser) -> None:
    ours, theirs = levelup.user_auth(), levelup.user_auth(app=OTHER_APP.id)
    browser.open("/account").sign_in("ada@example.com").send("/account/disconnect/1").follow()
    levelup.refused("GET", "/v15/users", auth=ours, status=401)
    levelup.call("GET", "/v15/users", auth=theirs)
    assert "Another Shop" in browser.page.text and "Disconnect Sample Shop" not in browser.page.text


def test_the_first_page_lists_what_a_developer_needs(levelup: LevelUp, browser: Browser) -> None:
    levelup.ordered(levelup.tokens())
    request = {"permissions_request": {"email": "ada@example.com", "permission_keynames": ["create_orders"]}}
    levelup.call("POST", "/v15/apps/permissions_requests", request, auth=levelup.app_auth())
    page = browser.open("/").page.text
    for shown in (
        SHOP_APP.api_key, SHOP_APP.client_secret, "ada@example.com", "ada-password", "owner@harbor.example", GOOD_CARD,
        "4000 0000 0000 0002", "Harbor Coffee, Pier Four", "4321", "/permissions_requests/1", "gift card $10.00",
    ):  # fmt: skip
        assert shown in page
