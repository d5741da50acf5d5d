"""Connecting merchants and users in all ways, and what is read of them."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any
from unittest.mock import Mock
from urllib.parse import parse_qs, urlsplit

import pytest

from levelup_ov.blueprints.http import MAX_OPEN_BODY
from levelup_ov.checkout.callbacks import AT_ONCE, PER_ID
from levelup_ov.checkout.connections import Connections
from levelup_ov.checkout.store import CheckoutStore
from levelup_ov.ledger.engine import LedgerUnavailable
from levelup_ov.standins.levelup.world import SHOP_APP
from tests.channel import Clock
from tests.checkout.conftest import MakeSite
from tests.checkout.site import LOGIN, PAYMENT, RETURN_URL, SHOP, Site, order
from tests.standin.visitors import BEACON, HARBOR


def started(site: Site, kind: str) -> Any:
    if kind == "user":
        return site.start_user()
    return site.post("/merchants", {"merchant": {"return_to": SHOP}})["merchant"]


def approved(site: Site, kind: str, begun: Any, answer: str = "grant") -> str:
    email = {"user": "ada@example.com", "merchant": "owner@beacon.example"}[kind]
    return site.approve(begun["authorization_url"], email, answer)


KINDS = pytest.mark.parametrize("kind", ["user", "merchant"])


@KINDS
def test_a_connection_step_by_step(site: Site, kind: str) -> None:
    begun = started(site, kind)
    assert begun["state"] == "pending"
    asked = {name: values[0] for name, values in parse_qs(urlsplit(begun["authorization_url"]).query).items()}
    assert asked["redirect_uri"] == f"{RETURN_URL}/checkout/{kind}s/callback"
    assert asked["scope"] == {"user": " ".join(LOGIN), "merchant": "manage_merchant_orders"}[kind]
    assert (asked["client_id"], asked["response_type"]) == (SHOP_APP.api_key, "code")
    assert 40 <= len(asked["state"]) <= 100
    reported = site.come_back(approved(site, kind, begun))
    assert set(reported) == {"basket", "connection", "confirmation"}
    path = f"/{kind}s/{begun['id']}"
    assert site.get(path)[kind]["state"] == "granted"
    confirmed = site.post(f"{path}/confirm", {"confirmation": reported["confirmation"]})[kind]
    assert confirmed["state"] == site.get(path)[kind]["state"] == "connected"


def test_what_the_login_page_is_filled_in_with(site: Site) -> None:
    begun = site.start_user(login_hint="ada@example.com", first_name="Ada", last_name="Example")
    asked = parse_qs(urlsplit(begun["authorization_url"]).query)
    assert (asked["login_hint"], asked["first_name"], asked["last_name"]) == (["ada@example.com"], ["Ada"], ["Example"])


def test_many_merchants_connect(site: Site, merchant: str) -> None:
    harbor = site.connect_merchant("owner@harbor.example")
    listed = [each["merchant"] for each in site.get("/merchants")["merchants"]]
    assert {each["id"]: each["levelup_merchant_id"] for each in listed} == {merchant: BEACON, harbor: HARBOR}
    assert site.get(f"/merchants/{merchant}/locations")["locations"] == [
        {"location": {"id": 11, "name": "Beacon Sandwiches, Congress Street"}},
        {"location": {"id": 12, "name": "Beacon Sandwiches, Elm Street"}},
    ]


# Bad input.


@KINDS
def test_a_forged_state_is_refused(site: Site, kind: str) -> None:
    begun = started(site, kind)
    come_back = approved(site, kind, begun)
    state = parse_qs(urlsplit(come_back).query)["state"][0]
    for forged in (come_back.replace(state, "x" * 43), come_back.replace(state, ""), f"{come_back}&state=other"):
        reply = site.visit(forged)
        assert (reply.status_code, reply.get_json()["error"]["code"]) == (400, "invalid_state")
    assert site.get(f"/{kind}s/{begun['id']}")[kind]["state"] == "pending"


@KINDS
def test_a_replayed_state_is_refused(site: Site, kind: str) -> None:
    begun = started(site, kind)
    come_back = approved(site, kind, begun)
    reported = site.come_back(come_back)
    assert site.visit(come_back).get_json()["error"]["code"] == "invalid_state"
    # And spoils nothing.
    site.post(f"/{kind}s/{begun['id']}/confirm", {"confirmation": reported["confirmation"]})


@KINDS
def test_a_state_lives_ten_minutes(site: Site, kind: str, clock: Clock) -> None:
    begun = started(site, kind)
    come_back = approved(site, kind, begun)
    clock.set("2030-06-03T16:10Z")
    assert site.visit(come_back).get_json()["error"]["code"] == "invalid_state"


def test_a_state_belongs_to_its_kind(site: Site) -> None:
    come_back = approved(site, "user", started(site, "user"))
    crossed = come_back.replace("/users/", "/merchants/")
    assert site.visit(crossed).get_json()["error"]["code"] == "invalid_state"
    assert "confirmation" in site.come_back(come_back)


@KINDS
def test_a_person_may_refuse(site: Site, kind: str) -> None:
    begun = started(site, kind)
    reported = site.come_back(approved(site, kind, begun, answer="refuse"))
    assert reported == {"basket": "7", "connection": begun["id"], "error": "access_denied"}
    assert site.get(f"/{kind}s/{begun['id']}")[kind]["state"] == "refused"


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        ((400, {"error": "invalid_grant"}), "authorization_refused"),
        ((401, {"error": "invalid_client"}), "provider_credentials_refused"),
        ("lost", "provider_unavailable"),
        ((200, {"access_token": "two words", "token_type": "bearer"}), "provider_protocol_error"),
        ((200, {"access_token": "token", "token_type": "mac"}), "provider_protocol_error"),
        ((200, {"token_type": "bearer"}), "provider_protocol_error"),
    ],
)
def test_a_code_that_gives_no_token(site: Site, fault: Any, error: str) -> None:
    begun = started(site, "user")
    site.line.faults["/oauth2/token"] = [fault]
    assert site.come_back(approved(site, "user", begun))["error"] == error
    assert site.get(f"/users/{begun['id']}")["user"]["state"] == "refused"
    assert site.line.count("/oauth2/token") == 1


def test_a_callback_without_code_or_reason(site: Site) -> None:
    begun = started(site, "user")
    state = parse_qs(urlsplit(begun["authorization_url"]).query)["state"][0]
    reported = site.come_back(f"{RETURN_URL}/checkout/users/callback?state={state}")
    assert reported["error"] == "authorization_refused"


@KINDS
def test_what_another_browser_granted_is_of_no_use_unconfirmed(site: Site, kind: str, clock: Clock) -> None:
    """Starting a connection never shows the confirmation that went to the browser of the user who granted it."""
    begun = started(site, kind)
    reported = site.come_back(approved(site, kind, begun))
    path = f"/{kind}s/{begun['id']}"
    wrong = site.call("POST", f"{path}/confirm", {"confirmation": "guessed"})
    assert wrong.refusal == (422, "invalid_confirmation", None)
    use = f"{path}/profile" if kind == "user" else f"{path}/locations"
    assert site.call("GET", use).refusal == (422, "not_connected", None)
    clock.set("2030-06-03T16:11Z")
    late = site.call("POST", f"{path}/confirm", {"confirmation": reported["confirmation"]})
    assert late.refusal == (422, "invalid_confirmation", None)


def test_a_confirmation_is_good_once_and_only_for_its_connection(site: Site) -> None:
    first, second = (started(site, "user") for _ in range(2))
    reported = site.come_back(approved(site, "user", first))
    site.come_back(approved(site, "user", second))
    body = {"confirmation": reported["confirmation"]}
    assert site.call("POST", f"/users/{second['id']}/confirm", body).error["code"] == "invalid_confirmation"
    assert site.call("POST", f"/merchants/{first['id']}/confirm", body).error["code"] == "connection_not_found"
    site.post(f"/users/{first['id']}/confirm", body)
    assert site.call("POST", f"/users/{first['id']}/confirm", body).error["code"] == "invalid_confirmation"


@pytest.mark.parametrize(
    "return_to",
    ["http://shop.example/", "javascript:alert(1)", "//shop.example", "https://user@shop.example/", "https://", "", 7,
     "https://shop.example/#part", "https://shop.example/\nx", "https://[/", "https://shop.example:0/"],
)  # fmt: skip
def test_a_place_to_return_to_is_https_and_whole(site: Site, return_to: Any) -> None:
    answer = site.call("POST", "/merchants", {"merchant": {"return_to": return_to}})
    assert answer.refusal == (422, "invalid_member", "$.merchant.return_to")


def test_only_permissions_that_there_are_can_be_asked_for(site: Site) -> None:
    for permissions in ([], ["manage_merchant_orders"], ["create_orders", "everything"], "create_orders"):
        body = {"authorization": {"return_to": SHOP, "permissions": permissions}}
        answer = site.call("POST", "/users/authorizations", body)
        assert answer.refusal[:2] == (422, "invalid_member") and "permissions" in (answer.refusal[2] or "")


@pytest.mark.rule("EP-6")
def test_only_the_callbacks_need_no_key(site: Site) -> None:
    rules = [rule for rule in site.app.url_map.iter_rules() if rule.rule.startswith("/checkout")]
    client = site.app.test_client()
    open_ones = set()
    for rule in rules:
        (method,) = rule.methods - {"HEAD", "OPTIONS"}
        if client.open(rule.rule.replace("<id>", "x"), method=method).status_code != 401:
            open_ones.add(rule.rule.removeprefix("/checkout"))
    assert len(rules) >= 25
    assert open_ones == {"/merchants/callback", "/users/callback", "/users/permissions_requests/callback"}


# Permissions requests.


def test_a_permissions_request_is_granted_and_polled(site: Site) -> None:
    asked = site.request_permissions()
    assert asked["state"] == "pending" and asked["permissions"] == list(PAYMENT)
    path = f"/users/{asked['id']}"
    assert site.post(f"{path}/poll")["user"]["state"] == "pending"
    site.answer_request(1)
    assert site.post(f"{path}/poll")["user"]["state"] == "connected"
    calls = len(site.line.calls)
    assert site.post(f"{path}/poll")["user"]["state"] == "connected"
    assert len(site.line.calls) == calls


def test_a_permissions_request_is_granted_and_called_back(site: Site) -> None:
    asked = site.request_permissions()
    site.answer_request(1)
    ((_, notice),) = site.levelup.notices
    assert call_back(site, notice).status_code == 200
    assert site.get(f"/users/{asked['id']}")["user"]["state"] == "connected"


@pytest.mark.parametrize("answered", [False, True])
def test_a_forged_callback_connects_no_user(site: Site, answered: bool) -> None:
    asked = site.request_permissions()
    if answered:
        site.answer_request(1, answer="refuse")
    forged = {"permissions_request": {"id": 1, "state": "accepted", "token": "forged"}}
    assert call_back(site, forged).get_json() == {}
    assert site.get(f"/users/{asked['id']}")["user"]["state"] == ("refused" if answered else "pending")


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"permissions_request": {"id": 99, "state": "accepted", "token": "t"}}, 404, "connection_not_found"),
        ({"permissions_request": {"id": "1"}}, 422, "invalid_member"),
        ({"permissions_request": {"id": True}}, 422, "invalid_member"),
        ({"permissions_request": []}, 422, "invalid_member"),
        ([], 422, "invalid_member"),
    ],
)
def test_a_callback_for_an_unknown_request(site: Site, body: Any, status: int, code: str) -> None:
    calls = len(site.line.calls)
    reply = call_back(site, body)
    assert (reply.status_code, reply.get_json()["error"]["code"]) == (status, code)
    assert len(site.line.calls) == calls


def test_a_request_to_somebody_whom_levelup_does_not_know(site: Site) -> None:
    body = {"permissions_request": {"email": "nobody@example.com", "permissions": ["create_orders"]}}
    answer = site.call("POST", "/users/permissions_requests", body)
    assert answer.refusal == (422, "levelup_refused", None)
    assert answer.error["message"] == "LevelUp: There is no user with this e-mail address."


def test_the_app_token_is_fetched_once_and_after_a_refusal(site: Site) -> None:
    asked = site.request_permissions()
    site.post(f"/users/{asked['id']}/poll")
    assert site.line.count("/access_tokens") == 1
    refused = [{"error": {"object": "access_token", "property": "app_token", "message": "no"}}]
    site.line.faults["/permissions_requests/1"] = [(401, refused)]
    assert site.post(f"/users/{asked['id']}/poll")["user"]["state"] == "pending"
    assert site.line.count("/access_tokens") == 2
    site.line.faults["/permissions_requests/1"] = [(401, refused)] * 2
    answer = site.call("POST", f"/users/{asked['id']}/poll")
    assert answer.refusal == (502, "provider_credentials_refused", None)


def test_credentials_of_the_service_that_are_wrong(make_site: MakeSite) -> None:
    site = make_site(LEVELUP_OV_CHECKOUT_CLIENT_SECRET="wrong")
    body = {"permissions_request": {"email": "ada@example.com", "permissions": ["create_orders"]}}
    answer = site.call("POST", "/users/permissions_requests", body)
    assert answer.refusal == (502, "provider_credentials_refused", None)


# Accounts of record.


def test_an_account_of_record_has_one_card_typed_at_levelup(site: Site) -> None:
    made = site.create_user()
    assert made["state"] == "connected"
    site.add_card(made["id"])
    again = site.call("POST", f"/users/{made['id']}/card_page", {"card_page": {}})
    assert again.refusal == (422, "levelup_refused", None)
    assert "already" in again.error["message"]


def test_the_card_page_leads_back_only_to_what_is_registered(site: Site) -> None:
    made = site.create_user()
    body = {"card_page": {"return_to": "https://elsewhere.example/"}}
    assert site.call("POST", f"/users/{made['id']}/card_page", body).refusal[:2] == (422, "levelup_refused")


def test_the_first_card_has_a_day(site: Site) -> None:
    made = site.create_user()
    site.levelup.pass_time(hours=25)
    assert site.call("POST", f"/users/{made['id']}/card_page").refusal == (422, "user_token_refused", None)


def test_an_address_that_is_taken(site: Site) -> None:
    body = {"user": {"email": "ada@example.com", "first_name": "A", "last_name": "B", "permissions": ["create_orders"]}}
    assert site.call("POST", "/users", body).refusal == (422, "email_taken", None)


@pytest.mark.parametrize("missing", ["email", "first_name", "last_name", "permissions"])
def test_an_account_of_record_needs_all_of_it(site: Site, missing: str) -> None:
    body = {"email": "a@example.com", "first_name": "A", "last_name": "B", "permissions": ["create_orders"]}
    del body[missing]
    assert site.call("POST", "/users", {"user": body}).refusal == (422, "invalid_member", f"$.user.{missing}")


# Reading and disconnecting.


def test_name_and_addresses_fill_in_the_checkout(site: Site, user: str) -> None:
    profile = site.get(f"/users/{user}/profile")["profile"]
    assert profile == {"email": "ada@example.com", "first_name": "Ada", "last_name": "Example"}
    addresses = [each["address"] for each in site.get(f"/users/{user}/addresses")["addresses"]]
    assert [(each["address_type"], each["locality"]) for each in addresses] == [
        ("home", "Cambridge"),
        ("work", "Boston"),
    ]


def test_an_address_is_added(site: Site, user: str) -> None:
    address = {
        "address_type": "delivery", "street_address": "9 Hill Road", "extended_address": None, "locality": "Boston",
        "region": "MA", "postal_code": "02108",
    }  # fmt: skip
    added = site.post(f"/users/{user}/addresses", {"address": address})["address"]
    assert added == {"id": added["id"], **address}
    assert {"address": added} in site.get(f"/users/{user}/addresses")["addresses"]
    wrong = site.call("POST", f"/users/{user}/addresses", {"address": {**address, "address_type": "moon"}})
    assert wrong.refusal == (422, "invalid_member", "$.address.address_type")


def test_the_history_is_read_page_by_page(site: Site, merchant: str, user: str) -> None:
    uuids = [site.charged(order(merchant, user))["uuid"] for _ in range(11)]
    first = site.get(f"/users/{user}/orders")
    second = site.get(f"/users/{user}/orders?page={first['next_page']}")
    found = [each["order"]["uuid"] for each in first["orders"] + second["orders"]]
    assert sorted(found) == sorted(uuids)
    assert site.get(f"/users/{user}/orders?page=9") == {"orders": [], "next_page": None}
    for page in ("0", "x", "1e3", "99999999999"):
        assert site.call("GET", f"/users/{user}/orders?page={page}").refusal[:2] == (422, "invalid_member")


def test_what_was_not_granted_is_not_read(site: Site) -> None:
    payer = site.connect_user(permissions=PAYMENT)
    assert site.call("GET", f"/users/{payer}/profile").refusal == (422, "user_token_refused", None)


@KINDS
def test_disconnecting_revokes_and_forgets(site: Site, merchant: str, user: str, kind: str) -> None:
    id = {"user": user, "merchant": merchant}[kind]
    for _ in range(2):
        answer = site.done(site.call("DELETE", f"/{kind}s/{id}"))
        assert answer[kind]["state"] == "disconnected"
    assert site.line.count("/access_tokens") == 1
    refusal = site.charge(order(merchant, user)).refusal
    assert refusal == (422, "not_connected", f"$.order.{kind}")
    with site.levelup.store.reading() as transaction:
        owner = transaction.user_by_email({"user": "ada@example.com", "merchant": "owner@beacon.example"}[kind])
        assert owner and not [token for token in transaction.tokens_of(owner.id) if token.kind == kind]


def test_a_token_is_forgotten_even_where_levelup_is_down(site: Site, user: str) -> None:
    site.line.faults["/access_tokens"] = ["unreached"] * 3
    assert site.done(site.call("DELETE", f"/users/{user}"))["user"]["state"] == "disconnected"
    assert site.call("GET", f"/users/{user}/profile").refusal == (422, "not_connected", None)


def tokens(site: Site, kind: str) -> int:
    """How many tokens LevelUp has of this person."""
    with site.levelup.store.reading() as transaction:
        owner = transaction.user_by_email({"user": "ada@example.com", "merchant": "owner@beacon.example"}[kind])
        assert owner is not None
        return sum(token.kind == kind for token in transaction.tokens_of(owner.id))


@KINDS
def test_a_token_that_comes_after_disconnecting_is_revoked(site: Site, kind: str) -> None:
    begun, before = started(site, kind), tokens(site, kind)
    come_back = approved(site, kind, begun)
    site.done(site.call("DELETE", f"/{kind}s/{begun['id']}"))
    assert site.come_back(come_back) == {"basket": "7", "connection": begun["id"], "error": "not_connected"}
    confirm = site.call("POST", f"/{kind}s/{begun['id']}/confirm", {"confirmation": "none"})
    assert confirm.error["code"] == "invalid_confirmation"
    assert tokens(site, kind) == before and site.line.count("/access_tokens") == 1


@KINDS
def test_a_token_that_comes_while_disconnecting_is_revoked(
    site: Site, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, before = started(site, kind), tokens(site, kind)
    come_back = approved(site, kind, begun)
    show, left = Connections.show, [come_back]

    def meanwhile(connections: Connections, kind: Any, id: str) -> Any:
        shown = show(connections, kind, id)
        if left:
            site.come_back(left.pop())
        return shown

    with monkeypatch.context() as patch:
        patch.setattr(Connections, "show", meanwhile)
        site.done(site.call("DELETE", f"/{kind}s/{begun['id']}"))
    assert tokens(site, kind) == before


@pytest.mark.parametrize("when", ["before a callback", "during a poll"])
def test_an_answer_that_comes_after_disconnecting_is_revoked(site: Site, when: str) -> None:
    begun = site.request_permissions()
    site.answer_request(1)
    before = tokens(site, "user")
    disconnect = f"/users/{begun['id']}"
    if when == "during a poll":
        site.line.meanwhile["/permissions_requests/1"] = [lambda: site.done(site.call("DELETE", disconnect))]
        site.post(f"/users/{begun['id']}/poll")
    else:
        site.done(site.call("DELETE", disconnect))
        assert call_back(site, {"permissions_request": {"id": 1}}).status_code == 200
    assert site.get(disconnect)["user"]["state"] == "disconnected"
    assert tokens(site, "user") == before and "DELETE /v15/access_tokens" in site.line.calls


def test_connections_that_are_not_there(site: Site, merchant: str, user: str) -> None:
    for path in ("/users/none", f"/users/{merchant}", f"/merchants/{user}", "/users/none/profile"):
        assert site.call("GET", path).refusal == (404, "connection_not_found", None)
    assert site.call("DELETE", "/users/none").refusal == (404, "connection_not_found", None)


def call_back(site: Site, body: Any) -> Any:
    """LevelUp, or somebody else, calls the callback URL; without any key."""
    return site.app.test_client().post("/checkout/users/permissions_requests/callback", json=body)


def test_forged_callbacks_cost_levelup_little(site: Site) -> None:
    site.request_permissions()
    before = len(site.line.calls)
    codes = [call_back(site, {"permissions_request": {"id": 1}}).status_code for _ in range(20)]
    assert codes == [200] * PER_ID + [503] * (20 - PER_ID)
    assert len(site.line.calls) - before <= 2 * PER_ID


def test_forged_callbacks_hold_few_threads(site: Site) -> None:
    for _ in range(4):
        site.request_permissions()
    site.line.delays["/1"] = site.line.delays["/2"] = site.line.delays["/3"] = 1.0
    with ThreadPoolExecutor(4) as pool:
        bodies = [{"permissions_request": {"id": id}} for id in (1, 2, 3)]
        codes = sorted(answer.status_code for answer in pool.map(lambda body: call_back(site, body), bodies))
    assert codes == [200] * AT_ONCE + [503] * (3 - AT_ONCE)


def test_a_forged_callback_is_short(site: Site) -> None:
    padding = "x" * MAX_OPEN_BODY
    assert call_back(site, {"permissions_request": {"id": 1}, "padding": padding}).status_code == 413


@KINDS
def test_a_token_that_nobody_confirms_is_revoked_after_a_day(site: Site, kind: str, clock: Clock) -> None:
    """The visitor has closed the browser."""
    begun, before = started(site, kind), tokens(site, kind)
    site.come_back(approved(site, kind, begun))
    clock.set("2030-06-04T15:59Z")
    assert site.reconcile()[0] == 0 and site.get(f"/{kind}s/{begun['id']}")[kind]["state"] == "granted"
    clock.set("2030-06-04T16:01Z")
    started(site, kind)
    assert tokens(site, kind) == before + 1
    assert site.reconcile()[0] == 0 and tokens(site, kind) == before
    assert site.get(f"/{kind}s/{begun['id']}")[kind]["state"] == "disconnected"


@KINDS
def test_a_token_that_cannot_be_kept_is_revoked(site: Site, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    begun, before = started(site, kind), tokens(site, kind)
    come_back = approved(site, kind, begun)
    with monkeypatch.context() as patch:
        patch.setattr(CheckoutStore, "change_connection", Mock(side_effect=LedgerUnavailable("no room on the disk")))
        assert site.visit(come_back).status_code == 503
    assert tokens(site, kind) == before


def test_a_token_of_another_user_than_the_profile_is_revoked(site: Site) -> None:
    begun, before = started(site, "user"), tokens(site, "user")
    site.line.changes["/v15/users"] = [{"id": 99}]
    site.line.changes["/oauth2/token"] = [{"user_id": 1}]
    assert site.come_back(approved(site, "user", begun))["error"] == "provider_protocol_error"
    assert tokens(site, "user") == before
