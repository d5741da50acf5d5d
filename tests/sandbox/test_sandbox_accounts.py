"""Customer accounts, and the place that serves members only."""

from __future__ import annotations

import pytest

ADA = {"email": "ada@example.com", "password": "correct horse", "name": "Ada Eater", "phone": None}


def login(kitchen, email, password, status=201):
    return kitchen.call("POST", "/v1/sessions", {"email": email, "password": password}, status=status)


@pytest.fixture
def token(kitchen):
    return kitchen.call("POST", "/v1/accounts", ADA, status=201)["session"]["token"]


@pytest.mark.rule("META-6")
def test_members_order_with_a_session_and_guests_do_not(kitchen, token):
    assert kitchen.refused("account") == "session_refused"
    assert kitchen.refused("account", session="forged") == "session_refused"
    cart = kitchen.cart("account", session=token)["cart"]["id"]
    assert kitchen.order_refused(cart) == "session_refused"
    order = kitchen.order(cart, session=token)
    assert kitchen.call("GET", f"/v1/orders/{order['id']}")["order"]["account"]


def test_a_cart_belongs_to_the_account_that_opened_it(kitchen, token):
    cart = kitchen.cart("account", session=token)["cart"]["id"]
    other = kitchen.call("POST", "/v1/accounts", {**ADA, "email": "eve@example.com"})["session"]["token"]
    assert kitchen.order_refused(cart, session=other) == "cart_unknown"
    assert kitchen.order(cart, session=login(kitchen, "ADA@example.com", ADA["password"])["session"]["token"])


def test_a_session_lasts_twelve_hours(kitchen, token):
    kitchen.pass_time(hours=11, minutes=59)
    kitchen.cart("account", session=token)
    kitchen.pass_time(minutes=1)
    assert kitchen.refused("account", session=token) == "session_refused"


@pytest.mark.rule("META-6")
def test_an_address_has_one_account(kitchen, token):
    for email in ("ada@example.com", " Ada@Example.com"):
        answer = kitchen.call("POST", "/v1/accounts", {**ADA, "email": email, "password": "another one"}, status=409)
        assert answer["problem"]["code"] == "email_taken"
    assert login(kitchen, "ada@example.com", "another one", 401)["problem"]["code"] == "login_refused"


def test_wrong_credentials_do_not_log_in(kitchen, token):
    for email, password in (("ada@example.com", "wrong"), ("eve@example.com", ADA["password"]), ("", "")):
        assert login(kitchen, email, password, 401)["problem"]["code"] == "login_refused"


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"email": "ada"}, "email_invalid"),
        ({"email": "@example.com"}, "email_invalid"),
        ({"email": None}, "email_invalid"),
        ({"email": "a" * 250 + "@b.cc"}, "email_invalid"),
        ({"password": "short"}, "password_too_short"),
        ({"password": None}, "password_too_short"),
        ({"name": ""}, "customer_incomplete"),
    ],
)
def test_an_account_needs_an_address_a_password_and_a_name(kitchen, change, code):
    answer = kitchen.call("POST", "/v1/accounts", {**ADA, **change}, status=422)
    assert answer["problem"]["code"] == code


@pytest.mark.rule("ERR-4", "META-7")
def test_neither_passwords_nor_tokens_are_kept_as_they_are(kitchen, token, tmp_path):
    with kitchen.app.extensions["sandbox"].store.reading():
        kept = b"".join(file.read_bytes() for file in tmp_path.iterdir())
    assert b"ada@example.com" in kept
    assert ADA["password"].encode() not in kept
    assert token.encode() not in kept
