"""Tokens, permissions, users, places and campaigns over HTTP, and how everything is refused."""

from __future__ import annotations

import http.client
from threading import Thread
from typing import Any

import pytest
from werkzeug.serving import make_server

from levelup_ov.standins.levelup import levelup_server
from levelup_ov.standins.levelup.access import read_authorization
from levelup_ov.standins.levelup.platform import post_notice
from levelup_ov.standins.levelup.world import ADDRESS_TYPES, DECLINED_CARD, GOOD_CARD, LOST_ANSWER_CARD, SHOP_APP
from tests.standin.visitors import (
    ADA,
    BEACON,
    BEN,
    CLEO,
    HARBOR,
    OTHER,
    PASSWORDS,
    SECRETS,
    Browser,
    LevelUp,
    proposal,
)

KEYS = {"api_key": SHOP_APP.api_key, "client_secret": SHOP_APP.client_secret}
NEW_USER = {"email": "fay@example.com", "first_name": "Fay", "last_name": "Example"}
CARD = {
    "number": GOOD_CARD, "cvv": "123", "expiration_month": "01", "expiration_year": "2030", "postal_code": "02110",
}  # fmt: skip


# Tokens.


def test_an_app_gets_its_token_for_key_and_secret(levelup: LevelUp) -> None:
    token = levelup.call("POST", "/v15/access_tokens", KEYS)["access_token"]
    assert token == {"app_id": 1, "merchant_id": None, "token": token["token"], "user_id": None}
    assert len(token["token"].encode()) <= 100
    levelup.pass_time(days=5000)
    asked = {"permissions_request": {"email": "ada@example.com", "permission_keynames": ["create_orders"]}}
    levelup.call("POST", "/v15/apps/permissions_requests", asked, auth=f"token {token['token']}")


@pytest.mark.parametrize(
    "wrong", [{"api_key": "x"}, {"client_secret": "x"}, {"client_secret": None}, {"api_key": None}]
)
def test_an_app_with_a_wrong_secret_gets_none(levelup: LevelUp, wrong: Any) -> None:
    """W, and both generations of the page for v14."""
    for version in ("v15", "v14"):
        refused = levelup.refused("POST", f"/{version}/access_tokens", {**KEYS, **wrong})
        assert refused == ["access_token/api_key/not_found"]


def test_a_merchant_logs_in_with_the_older_version(levelup: LevelUp) -> None:
    login = {
        "api_key": SHOP_APP.api_key, "username": "owner@beacon.example", "password": PASSWORDS["owner@beacon.example"],
    }  # fmt: skip
    token = levelup.call("POST", "/v14/access_tokens", {"access_token": login})["access_token"]
    assert (token["merchant_id"], token["user_id"], token["app_id"]) == (BEACON, 6, 1)
    for auth in (f"token {token['token']}", f'token merchant="{token["token"]}"'):
        assert len(levelup.call("GET", f"/v14/merchants/{BEACON}/locations", auth=auth)) == 2
    wrong = {**login, "password": "wrong"}
    refused = levelup.refused("POST", "/v14/access_tokens", {"access_token": wrong})
    assert refused == ["access_token/base/not_authorized"]


def test_a_token_is_kept_only_as_a_hash(levelup: LevelUp, tmp_path: Any) -> None:
    token = levelup.call("POST", "/v15/access_tokens", KEYS)["access_token"]["token"]
    assert levelup.app_auth()
    levelup.store.close()
    kept = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert token.encode() not in kept
    assert not any(password.encode() in kept for password in PASSWORDS.values())


@pytest.mark.parametrize(
    "header, tokens",
    [
        ("token abc", {"app": "abc"}),
        ('token "abc"', {"app": "abc"}),
        ("Token abc", {"app": "abc"}),
        ('token user="abc"', {"user": "abc"}),
        ("token user=abc", {"user": "abc"}),
        ('token merchant="abc", user="def"', {"merchant": "abc", "user": "def"}),
        ('token merchant="abc",user="def"', {"merchant": "abc", "user": "def"}),
        ("token merchant=abc,user=def", {"merchant": "abc", "user": "def"}),
        ("token user=def, merchant=abc", {"merchant": "abc", "user": "def"}),
        ("", {}),
        ("token", {}),
        ("Bearer abc", {}),
        ("Basic YTpi", {}),
        ('token merchant="abc" user="def"', {}),
        ('token user="abc', {}),
        ("token user=a, user=b", {}),
        ("token other=a", {}),
    ],
)
def test_the_authorization_header_in_all_its_forms(header: str, tokens: Any) -> None:
    assert read_authorization(header) == tokens


@pytest.mark.parametrize("separator", [", ", ","])
@pytest.mark.parametrize("quote", ['"', ""])
def test_orders_are_taken_however_the_header_is_written(levelup: LevelUp, separator: str, quote: str) -> None:
    merchant, user = levelup.token(merchant=BEACON), levelup.token(user=ADA)
    levelup.propose(f"token merchant={quote}{merchant}{quote}{separator}user={quote}{user}{quote}")


@pytest.mark.parametrize(
    "auth", ["", "token", "token nonsense", "Bearer nonsense", 'token user="nonsense"', "token user=\u00e4"]
)
def test_a_request_without_a_valid_token_learns_how(levelup: LevelUp, auth: str) -> None:
    answer = levelup.open("GET", "/v15/users", auth=auth)
    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"] == 'OAuth2 realm="levelup", error="invalid_token"'
    assert answer.get_json()[0]["error"]["property"] == "user_token"


def test_a_token_revokes_itself(levelup: LevelUp) -> None:
    auth = levelup.user_auth()
    levelup.call("DELETE", "/v15/access_tokens", auth=auth, status=204)
    levelup.refused("GET", "/v15/users", auth=auth, status=401)
    levelup.refused("DELETE", "/v15/access_tokens", auth=auth, status=401)
    levelup.refused("DELETE", "/v15/access_tokens", status=401)


def test_an_app_revokes_a_token_that_it_holds(levelup: LevelUp) -> None:
    token = levelup.token(user=ADA)

    def revoke(secret: str = SHOP_APP.client_secret) -> int:
        form = {"token": token, "client_id": SHOP_APP.api_key, "client_secret": secret}
        return levelup.client.post("/oauth2/revoke", data=form).status_code

    assert revoke("wrong") == 401
    levelup.call("GET", "/v15/users", auth=f"token user={token}")
    assert (revoke(), revoke()) == (200, 200)
    levelup.refused("GET", "/v15/users", auth=f"token user={token}", status=401)


def test_another_apps_token_is_not_revoked(levelup: LevelUp) -> None:
    token = levelup.token(user=ADA, app=OTHER)
    assert levelup.client.post("/oauth2/revoke", data={"token": token, **SECRETS}).status_code == 200
    levelup.call("GET", "/v15/users", auth=f"token user={token}")


# Permissions requests.


def asked(email: str = "ada@example.com", *keynames: str) -> Any:
    return {"permissions_request": {"email": email, "permission_keynames": list(keynames or ("create_orders",))}}


REQUESTS = "/v15/apps/permissions_requests"


def test_a_permissions_request_is_pending_until_it_is_answered(levelup: LevelUp, browser: Browser) -> None:
    auth = levelup.app_auth()
    keynames = ("create_orders", "read_user_basic_info")
    made = levelup.call("POST", REQUESTS, asked("ADA@example.com ", *keynames), auth=auth)["permissions_request"]
    assert made == {
        "app_id": 1, "email": "ada@example.com", "id": made["id"], "permission_keynames": list(keynames),
        "state": "pending",
    }  # fmt: skip
    path = f"{REQUESTS}/{made['id']}"
    assert levelup.call("GET", path, auth=auth)["permissions_request"] == made
    page = f"/permissions_requests/{made['id']}"
    browser.open(page).sign_in("ada@example.com").send(page, answer="grant")
    assert "has been notified" in browser.page.text
    polled = levelup.call("GET", path, auth=auth)["permissions_request"]
    ((url, notice),) = levelup.notices
    reported = notice["permissions_request"]
    assert url == "http://127.0.0.1:8000/checkout/callback"
    assert {**reported, "token": ""} == {"id": made["id"], "state": "accepted", "token": ""}
    assert polled["state"] == "accepted"
    for token in (reported["token"], polled["token"]):
        user = levelup.call("GET", "/v15/users", auth=f'token user="{token}"')["user"]
        assert user["email"] == "ada@example.com"
        levelup.refused("GET", "/v15/user_addresses", auth=f'token user="{token}"', status=401)


def test_a_permissions_request_is_refused(levelup: LevelUp, browser: Browser) -> None:
    auth = levelup.app_auth()
    number = levelup.call("POST", REQUESTS, asked(), auth=auth)["permissions_request"]["id"]
    page = f"/permissions_requests/{number}"
    browser.open(page).sign_in("ada@example.com").send(page, answer="refuse")
    answer = levelup.call("GET", f"{REQUESTS}/{number}", auth=auth)["permissions_request"]
    assert answer["state"] == "rejected" and "token" not in answer
    assert levelup.notices[0][1] == {"permissions_request": {"id": number, "state": "rejected"}}
    # An answer is final.
    assert "rejected" in browser.open(page).page.text


def test_a_permissions_request_is_answered_by_its_user_only(levelup: LevelUp, browser: Browser) -> None:
    auth = levelup.app_auth()
    number = levelup.call("POST", REQUESTS, asked(), auth=auth)["permissions_request"]["id"]
    browser.open(f"/permissions_requests/{number}").sign_in("ben@example.com")
    assert browser.page.status_code == 404
    own = levelup.call("POST", REQUESTS, asked("ben@example.com"), auth=auth)["permissions_request"]["id"]
    browser.open(f"/permissions_requests/{own}")
    csrf = browser.page.text.split('name="csrf" value="')[1].split('"')[0]
    answer = browser.client.post(f"/permissions_requests/{number}", data={"csrf": csrf, "answer": "grant"})
    assert answer.status_code == 404
    assert levelup.call("GET", f"{REQUESTS}/{number}", auth=auth)["permissions_request"]["state"] == "pending"


def test_another_apps_permissions_request_is_unknown(levelup: LevelUp) -> None:
    number = levelup.call("POST", REQUESTS, asked(), auth=levelup.app_auth())["permissions_request"]["id"]
    for path, app in ((f"{REQUESTS}/{number}", OTHER), (f"{REQUESTS}/999", SHOP_APP.id)):
        assert levelup.refused("GET", path, auth=levelup.app_auth(app), status=404) == [
            "permissions_request/id/not_found"
        ]


@pytest.mark.parametrize(
    "members, errors",
    [
        ({"email": None}, ["permissions_request/email/blank"]),
        ({"email": "nobody@example.com"}, ["permissions_request/email/not_found"]),
        ({"permission_keynames": []}, ["permissions_request/permission_keynames/blank"]),
        ({"permission_keynames": ["fly"]}, ["permissions_request/permission_keynames/invalid"]),
        ({"permission_keynames": [1]}, ["permissions_request/permission_keynames/invalid"]),
        ({"permission_keynames": ["manage_merchant_orders"]}, ["permissions_request/permission_keynames/invalid"]),
    ],
)
def test_a_permissions_request_that_is_wrong(levelup: LevelUp, members: Any, errors: list[str]) -> None:
    body = {"permissions_request": {**asked()["permissions_request"], **members}}
    assert levelup.refused("POST", REQUESTS, body, auth=levelup.app_auth()) == errors


def test_an_app_is_notified_over_http(levelup: LevelUp) -> None:
    taken: list[bytes] = []

    def application(environ: Any, start_response: Any) -> list[bytes]:
        taken.append(environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"])))
        start_response("204 No Content" if b"accepted" in taken[-1] else "500 Oops", [])
        return [b""]

    server = make_server("127.0.0.1", 0, application)
    thread = Thread(target=server.serve_forever)
    thread.start()
    try:
        url = f"http://127.0.0.1:{server.server_port}/told"
        assert post_notice(url, {"state": "accepted"})
        assert not post_notice(url, {"state": "rejected"})
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
    assert taken[0] == b'{"state": "accepted"}'
    assert not post_notice(url, {"state": "accepted"})


# Accounts of record.


def new_user(**members: Any) -> Any:
    permissions = ["create_orders", "create_first_credit_card", "read_user_basic_info"]
    return {"user": NEW_USER, "permission_keynames": permissions, "api_key": SHOP_APP.api_key, **members}


def test_an_app_makes_a_user_and_gets_its_token(levelup: LevelUp) -> None:
    token = levelup.call("POST", "/v15/apps/users", new_user(), auth=levelup.app_auth())["access_token"]
    assert (token["app_id"], token["merchant_id"]) == (1, None)
    user = levelup.call("GET", "/v15/users", auth=f'token user="{token["token"]}"')["user"]
    assert {**user, **NEW_USER, "id": token["user_id"], "global_credit_amount": 0, "orders_count": 0} == user
    taken = levelup.refused("POST", "/v15/apps/users", new_user(), auth=levelup.app_auth(OTHER))
    assert taken == ["user/api_key/invalid"]
    other_key = new_user(api_key="another-api-key")
    assert levelup.refused("POST", "/v15/apps/users", other_key, auth=levelup.app_auth(OTHER)) == ["user/email/taken"]


@pytest.mark.parametrize(
    "members, errors",
    [
        ({"user": {**NEW_USER, "email": "no address"}}, ["user/email/invalid"]),
        ({"user": {**NEW_USER, "email": "Ada@Example.com"}}, ["user/email/taken"]),
        ({"user": {}}, ["user/email/blank", "user/first_name/blank", "user/last_name/blank"]),
        ({"permission_keynames": None}, ["user/permission_keynames/blank"]),
        ({"user": None}, ["user/base/invalid"]),
    ],
)
def test_a_user_that_is_wrong(levelup: LevelUp, members: Any, errors: list[str]) -> None:
    assert levelup.refused("POST", "/v15/apps/users", new_user(**members), auth=levelup.app_auth()) == errors


def record_auth(levelup: LevelUp) -> str:
    token = levelup.call("POST", "/v15/apps/users", new_user(), auth=levelup.app_auth())["access_token"]["token"]
    return f'token user="{token}"'


def test_an_account_of_record_gets_one_card_and_pays_with_it(levelup: LevelUp, tmp_path: Any) -> None:
    auth = record_auth(levelup)
    assert levelup.call("GET", "/v15/credit_cards", auth=auth) == []
    card = levelup.call("POST", "/v15/credit_cards", {"credit_card": CARD}, auth=auth)["credit_card"]
    assert (card["last_4"], card["type"]) == ("1111", "Visa")
    assert levelup.call("GET", "/v15/credit_cards", auth=auth) == [{"credit_card": card}]
    again = levelup.refused("POST", "/v15/credit_cards", {"credit_card": CARD}, auth=auth)
    assert again == ["credit_card/base/taken"]
    both = levelup.merchant_auth() + "," + auth.removeprefix("token ")
    assert levelup.ordered(both)["total_amount"] == 1000
    levelup.store.close()
    kept = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert GOOD_CARD.replace(" ", "").encode() not in kept and GOOD_CARD.encode() not in kept


@pytest.mark.parametrize("number, charged", [(DECLINED_CARD, False), ("5555 5555 5555 4444", True)])
def test_what_comes_of_a_card_depends_on_its_number(levelup: LevelUp, number: str, charged: bool) -> None:
    auth = record_auth(levelup)
    levelup.call("POST", "/v15/credit_cards", {"credit_card": {**CARD, "number": number}}, auth=auth)
    both = levelup.merchant_auth() + "," + auth.removeprefix("token ")
    uuid = levelup.propose(both)["uuid"]
    body = {"completed_order": {**proposal()["proposed_order"], "proposed_order_uuid": uuid}}
    assert levelup.open("POST", "/v15/completed_orders", body, auth=both).status_code == (200 if charged else 422)


def test_the_first_card_is_added_within_24_hours(levelup: LevelUp) -> None:
    early, late = levelup.user_auth(CLEO), levelup.user_auth(CLEO)
    levelup.pass_time(hours=24, seconds=1)
    body = {"credit_card": CARD}
    assert levelup.refused("POST", "/v15/credit_cards", body, auth=late, status=401) == [
        "access_token/user_token/not_authorized"
    ]
    levelup.pass_time(seconds=-1)
    levelup.call("POST", "/v15/credit_cards", body, auth=early)


def test_a_card_needs_its_permission(levelup: LevelUp) -> None:
    auth = levelup.user_auth(CLEO, "create_orders")
    for path in ("/v15/credit_cards", "/v15/credit_card_pages"):
        levelup.refused("POST", path, {"credit_card": CARD}, auth=auth, status=401)


@pytest.mark.parametrize(
    "members, property",
    [
        ({"number": "4111111111111112"}, "number"),
        ({"number": "4111"}, "number"),
        ({"number": "٤١١١١١١١١١١١١١١١"}, "number"),
        ({"cvv": "12"}, "cvv"),
        ({"expiration_month": "13"}, "expiration_month"),
        ({"expiration_year": "30"}, "expiration_year"),
        ({"expiration_month": "10", "expiration_year": "2026"}, "expiration_year"),
        ({"expiration_month": 10, "expiration_year": 2026}, "expiration_year"),
        ({"postal_code": "1"}, "postal_code"),
    ],
)
def test_a_card_that_is_wrong_is_not_repeated(levelup: LevelUp, members: Any, property: str) -> None:
    answer = levelup.open(
        "POST", "/v15/credit_cards", {"credit_card": {**CARD, **members}}, auth=levelup.user_auth(CLEO)
    )
    assert answer.status_code == 422
    assert [entry["error"]["property"] for entry in answer.get_json()] == [property]
    assert "4111" not in answer.text


def test_a_card_is_good_until_the_end_of_its_month(levelup: LevelUp) -> None:
    body = {"credit_card": {**CARD, "expiration_month": "11", "expiration_year": "2026", "number": LOST_ANSWER_CARD}}
    levelup.call("POST", "/v15/credit_cards", body, auth=levelup.user_auth(CLEO))


# Users and addresses.


def test_the_user_needs_the_permission(levelup: LevelUp) -> None:
    assert levelup.call("GET", "/v15/users", auth=levelup.user_auth(ADA, "read_user_basic_info"))["user"]["id"] == ADA
    for path in ("/v15/users", "/v15/user_addresses", "/v15/users/orders"):
        levelup.refused("GET", path, auth=levelup.user_auth(ADA, "create_orders"), status=401)
        levelup.refused("GET", path, auth=levelup.merchant_auth(), status=401)


def test_addresses_are_listed_and_added(levelup: LevelUp) -> None:
    auth = levelup.user_auth()
    listed = levelup.call("GET", "/v15/user_addresses", auth=auth)
    assert [entry["user_address"]["address_type"] for entry in listed] == ["home", "work"]
    address = {
        "address_type": "delivery", "street_address": "9 New Road", "extended_address": None, "locality": "Boston",
        "region": "MA", "postal_code": "02111",
    }  # fmt: skip
    added = levelup.call("POST", "/v15/user_addresses", {"user_address": address}, auth=auth)
    assert added["user_address"].items() >= address.items()
    assert levelup.call("GET", "/v15/user_addresses", auth=auth) == [*listed, added]
    assert levelup.call("GET", "/v15/user_addresses", auth=levelup.user_auth(CLEO)) == []


@pytest.mark.parametrize("kind", ADDRESS_TYPES)
def test_every_type_of_address_is_taken(levelup: LevelUp, kind: str) -> None:
    address = {"address_type": kind, "street_address": "1", "locality": "B", "region": "MA", "postal_code": "0"}
    levelup.call("POST", "/v15/user_addresses", {"user_address": address}, auth=levelup.user_auth())


def test_an_address_that_is_wrong(levelup: LevelUp) -> None:
    body = {"user_address": {"address_type": "castle", "street_address": " "}}
    assert levelup.refused("POST", "/v15/user_addresses", body, auth=levelup.user_auth()) == [
        "user_address/address_type/invalid",
        "user_address/street_address/blank",
        "user_address/locality/blank",
        "user_address/region/blank",
        "user_address/postal_code/blank",
    ]


# Places, credit and campaigns.


def test_locations_of_a_merchant_an_app_and_one(levelup: LevelUp) -> None:
    listed = levelup.call("GET", "/v15/merchants/1/locations", auth=levelup.merchant_auth())
    assert [entry["location"]["id"] for entry in listed] == [11, 12]
    everywhere = levelup.call("GET", "/v15/apps/1/locations")
    assert [entry["location"]["id"] for entry in everywhere] == [11, 12, 21]
    assert levelup.call("GET", "/v15/locations/11") == listed[0]
    assert levelup.refused("GET", "/v15/apps/9/locations", status=404) == ["app/id/not_found"]
    auth = levelup.merchant_auth(HARBOR)
    assert levelup.call("GET", "/v15/merchants/1/locations", auth=auth) == listed
    assert levelup.refused("GET", "/v15/merchants/9/locations", auth=auth, status=404) == ["merchant/id/not_found"]


def test_credit_is_what_counts_at_the_location(levelup: LevelUp) -> None:
    assert (levelup.credit(ADA, 11), levelup.credit(ADA, 12), levelup.credit(ADA, 21)) == (300, 300, 100)
    assert (levelup.credit(BEN, 11), levelup.credit(CLEO, 11)) == (150, 0)
    levelup.refused("GET", "/v15/locations/11/credit", status=401)
    levelup.refused("GET", "/v15/locations/99/credit", auth=levelup.user_auth(), status=404)


@pytest.mark.parametrize("path", ["/v15/locations/11/campaigns", "/v15/merchants/1/campaigns"])
def test_campaigns_and_their_representations(levelup: LevelUp, path: str) -> None:
    campaigns = [entry["campaign"] for entry in levelup.call("GET", path)]
    assert campaigns[0] == {"id": 101, "representation_types": ["basic_v1", "spend_based_loyalty_v1"]}
    for campaign in campaigns:
        for kind in campaign["representation_types"]:
            shown = levelup.call("GET", f"/v15/campaigns/{campaign['id']}/{kind}")["campaign"]
            assert shown


def test_a_loyalty_campaign_shows_the_users_progress(levelup: LevelUp) -> None:
    levelup.ordered(levelup.tokens(), spend_amount=1300)
    shown = levelup.call("GET", "/v15/campaigns/101/spend_based_loyalty_v1", auth=levelup.user_auth())["campaign"]
    assert shown == {"earn_amount": 500, "progress_amount": 1000, "required_spend_amount": 5000}
    anybody = levelup.call("GET", "/v15/campaigns/201/visit_based_loyalty_v1")["campaign"]
    assert (anybody["required_visit_count"], anybody["progress_visit_count"]) == (5, 0)


@pytest.mark.parametrize(
    "path",
    [
        "/v15/campaigns/101/visit_based_loyalty_v1", "/v15/campaigns/999/basic_v1", "/v15/merchants/9/campaigns",
        "/v15/locations/9/campaigns",
    ],
)  # fmt: skip
def test_what_is_not_there_is_not_found(levelup: LevelUp, path: str) -> None:
    levelup.refused("GET", path, status=404)


# How every request is answered.


@pytest.mark.parametrize(
    "method, path, status",
    [("GET", "/v15/apps/1/locations", 200), ("GET", "/v15/users", 401), ("GET", "/v15/nothing", 404), ("GET", "/", 200),
     ("GET", "/nothing", 404), ("POST", "/oauth2/token", 401), ("PUT", "/v15/nothing", 404), ("PUT", "/sign_in", 405)],
)  # fmt: skip
def test_every_answer_is_signed(levelup: LevelUp, method: str, path: str, status: int) -> None:
    answer = levelup.open(method, path)
    assert answer.status_code == status
    assert answer.headers["Server"] == "LevelUp"


def test_the_signature_is_the_only_one_on_the_wire(levelup: LevelUp) -> None:
    server = levelup_server(levelup.app, 0)
    thread = Thread(target=server.serve_forever)
    thread.start()
    try:
        connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=60)
        # A GET with a body, as some clients send it.
        connection.request("GET", "/v15/apps/1/locations", '{"a": 1}', {"Content-Type": "application/json"})
        answer = connection.getresponse()
        assert answer.status == 200 and answer.read()
        assert answer.headers.get_all("Server") == ["LevelUp"]
        connection.close()
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.mark.parametrize("body", ["{", "[]", "1", '"text"', "", b"\xff", "[" * 100_000])
def test_a_body_that_is_not_a_json_object_is_refused(levelup: LevelUp, body: Any) -> None:
    answer = levelup.client.post("/v15/access_tokens", data=body, content_type="application/json")
    assert answer.status_code == 400
    assert answer.get_json()[0]["error"]["code"] == "bad_request"


def test_a_body_that_is_not_declared_as_json_is_refused(levelup: LevelUp) -> None:
    assert levelup.client.post("/v15/access_tokens", data=KEYS).status_code == 400


def test_a_body_that_is_too_large_is_refused(levelup: LevelUp) -> None:
    body = b'{"a": "' + b"a" * 1024 * 1024 + b'"}'
    assert levelup.client.post("/v15/access_tokens", data=body, content_type="application/json").status_code == 413


@pytest.mark.parametrize("accept, status", [("text/html", 406), ("application/json", 200), ("*/*", 200), ("", 200)])
def test_only_json_can_be_had(levelup: LevelUp, accept: str, status: int) -> None:
    assert levelup.open("GET", "/v15/apps/1/locations", Accept=accept).status_code == status


def test_what_has_not_changed_is_not_sent_again(levelup: LevelUp) -> None:
    auth = levelup.user_auth()
    tag = levelup.open("GET", "/v15/users/orders", auth=auth).headers.get("ETag")
    assert tag is None
    tag = levelup.open("GET", "/v15/locations/11/credit", auth=auth).headers["ETag"]
    assert levelup.open("GET", "/v15/locations/11/credit", auth=auth, If_None_Match=tag).status_code == 304
    levelup.ordered(levelup.tokens())
    assert levelup.open("GET", "/v15/locations/11/credit", auth=auth, If_None_Match=tag).status_code == 200


@pytest.mark.parametrize(
    "path, status",
    [("/v13/users", 501), ("/v1/orders", 501), ("/v14/nothing", 404), ("/v16/users", 404), ("/v15/x/y", 404)],
)
def test_old_clients_get_an_explanation(levelup: LevelUp, path: str, status: int) -> None:
    for method in ("GET", "POST", "PUT", "DELETE"):
        assert levelup.call(method, path, status=status)[0]["error"]["message"]


def test_maintenance_is_switched_on_and_off(levelup: LevelUp, browser: Browser) -> None:
    browser.open("/").send("/maintenance").follow()
    assert "Maintenance is on" in browser.page.text
    for path in ("/v15/apps/1/locations", "/v15/users"):
        assert levelup.call("GET", path, status=503)[0]["error"]["code"] == "maintenance"
    browser.send("/maintenance").follow()
    levelup.call("GET", "/v15/apps/1/locations")
