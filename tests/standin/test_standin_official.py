"""The requests of LevelUp's own libraries, tools and pages, as they send them.

Sources: D14 the documentation of 2014, W its later pages, RB the Ruby, CS the C#, IOS and AND the phone libraries, PS
the PowerShell module of LevelUp's own staff.
"""

from __future__ import annotations

import http.client
import json
import socket
from email.utils import parsedate_to_datetime
from threading import Thread
from typing import Any

import pytest

from levelup_ov.standins.levelup import levelup_server
from levelup_ov.standins.levelup.qr import code_of, new_token_data, read_code
from levelup_ov.standins.levelup.store import hashed
from levelup_ov.standins.levelup.world import MERCHANT_PERMISSIONS, PERMISSIONS, SHOP_APP, USER_PERMISSIONS
from tests.standin.visitors import (
    ADA,
    BEACON,
    BEN,
    DORA,
    HARBOR,
    OTHER,
    PASSWORDS,
    LevelUp,
    completion,
    items,
    proposal,
)

GIVING = "give_merchant_funded_credit"
KEYS = {"api_key": SHOP_APP.api_key, "client_secret": SHOP_APP.client_secret}


def untagged(levelup: LevelUp, **whose: Any) -> str:
    """A token as older clients and phones send it."""
    return f"token {levelup.token(**whose)}"


# A user's token untagged (IOS, AND; CS for addresses, cards and the history).


@pytest.mark.parametrize(
    "path",
    [
        "/v15/users", "/v15/user_addresses", "/v15/credit_cards", "/v15/users/orders", "/v15/apps/orders",
        "/v15/locations/11/credit", "/v15/merchants/1/loyalty", "/v15/payment_token", "/v14/credit_cards",
        "/v15/locations/11/merchant_funded_credit",
    ],
)  # fmt: skip
def test_a_users_token_may_be_untagged(levelup: LevelUp, path: str) -> None:
    tagged = levelup.open("GET", path, auth=levelup.user_auth())
    answer = levelup.open("GET", path, auth=untagged(levelup, user=ADA))
    assert answer.status_code in (200, 204)
    assert answer.data == tagged.data
    levelup.refused("GET", path, auth=untagged(levelup, merchant=BEACON), status=401)


def test_an_untagged_token_needs_its_permission(levelup: LevelUp) -> None:
    with_less = f"token {levelup.token('create_orders', user=ADA)}"
    assert levelup.refused("GET", "/v15/users", auth=with_less, status=401)


# The code that a phone shows.


def payment_data(levelup: LevelUp, user: int = ADA) -> str:
    """CS, IOS, AND."""
    answer = levelup.call("GET", "/v15/payment_token", auth=untagged(levelup, user=user))["payment_token"]
    assert isinstance(answer["id"], int)
    return answer["data"]


def qr_code(levelup: LevelUp, user: int = ADA, **preferences: int) -> str:
    """RB."""
    query = "&".join(f"preferences[{name}]={value}" for name, value in preferences.items())
    return levelup.call("GET", f"/v15/qr_codes?{query}", auth=levelup.user_auth(user))["qr_code"]["code"]


def test_a_code_is_made_as_the_pages_say(levelup: LevelUp) -> None:
    data = payment_data(levelup)
    assert (len(data), data[:4]) == (24, "LU02")
    assert payment_data(levelup) == data != payment_data(levelup, BEN)
    assert qr_code(levelup) == f"{data}030000LU"
    assert qr_code(levelup, tip_percent=10, tip_amount=0, color=0) == f"{data}0300A0LU"
    # 1296 and 250 cents, in base 36.
    assert qr_code(levelup, tip_amount=250, tip_percent=0, color=7) == f"{data}0316Y7LU"
    for wrong in ("tip_percent]=101", "tip_amount]=46656", "tip_amount]=x", "color]=36", "tip_percent]=-1"):
        query = f"/v15/qr_codes?preferences[{wrong}"
        assert levelup.refused("GET", query, auth=levelup.user_auth()) == ["qr_code/base/invalid"]
    for path in ("/v15/qr_codes", "/v15/payment_token"):
        levelup.refused("GET", path, auth=levelup.user_auth(ADA, "create_orders"), status=401)


@pytest.mark.parametrize(
    ("code", "tip"),
    [
        ("LU0200018SECH4O89A4NBOT7030000LU", 0),  # the example of the page
        ("LU020000029080KFZ02I9A8V030000LU", 0),  # of the C# suite
        ("LU020000029080KFZ02I9A8V0300A0LU", 100),  # 10 percent of 1000
        ("LU020000029080KFZ02I9A8V031008LU", 0),  # 1296: no cents
        ("lu020000029080kfz02i9a8v03109 LU".replace(" ", "0"), 9),
        ("LU020000029080KFZ02I9A8V", 0),  # the payment token by itself
    ],
)
def test_codes_are_read(code: str, tip: int) -> None:
    scanned = read_code(code)
    assert scanned and scanned.tip_on(1000) == tip


@pytest.mark.parametrize(
    "code",
    ["", "LU", "XX0200018SECH4O89A4NBOT7030000LU", "LU0200018SECH4O89A4NBOT7040000LU",
     "LU0200018SECH4O89A4NBOT70300*0LU", "LU0200018SECH4O89A4NBOT7030000LULU"],
)  # fmt: skip
def test_an_invalid_code_reads_as_none(code: str) -> None:
    assert read_code(code) is None


def test_codes_survive_being_written_and_read() -> None:
    data = new_token_data()
    for tip in (0, 1, 15, 100, 1295, 1296, 1297, 46655):
        scanned = read_code(code_of(data, tip, 5))
        assert scanned and (scanned.data, scanned.tip) == (data, tip)


@pytest.mark.parametrize("tagged", [True, False], ids=["merchant=", "untagged"])
@pytest.mark.parametrize("way", ["body", "header"])
def test_an_order_is_paid_with_a_code(levelup: LevelUp, tagged: bool, way: str) -> None:
    """CS and PS: merchant's token and code in the body. RB and W: the code in the header as the user's token."""
    code = qr_code(levelup)
    token = levelup.token(merchant=BEACON)
    auth = f'token merchant="{token}"' if tagged else f"token {token}"
    members: Any = {"payment_token_data": code} if way == "body" else {}
    if way == "header":
        auth = f'token merchant="{token}", user="{code}"'
    order = levelup.ordered(auth, **members)
    assert order["total_amount"] == 1000
    older = {"order": proposal(**members)["proposed_order"]}
    assert levelup.call("POST", "/v15/orders", older, auth=auth)["order"]["total_amount"] == 1000
    assert len(levelup.call("GET", "/v15/users/orders", auth=levelup.user_auth())) == 2


def test_the_tip_is_in_the_code(levelup: LevelUp) -> None:
    auth = levelup.merchant_auth()
    ten_percent, dollars = qr_code(levelup, tip_percent=10), qr_code(levelup, tip_amount=250)
    assert levelup.ordered(auth, payment_token_data=ten_percent)["tip_amount"] == 100
    assert levelup.ordered(auth, payment_token_data=dollars)["tip_amount"] == 250
    # The tip of the body is the one that counts.
    assert levelup.ordered(auth, payment_token_data=ten_percent, tip_amount=50)["tip_amount"] == 50


def test_the_tip_stays_while_the_spend_falls(levelup: LevelUp) -> None:
    auth, code = levelup.merchant_auth(), qr_code(levelup, tip_percent=10)
    uuid = levelup.propose(auth, payment_token_data=code)["uuid"]
    less = completion(uuid, payment_token_data=code, spend_amount=900, applied_discount_amount=200)
    order = levelup.call("POST", "/v15/completed_orders", less, auth=auth)["order"]
    assert (order["spend_amount"], order["tip_amount"]) == (900, 100)
    assert levelup.call("POST", "/v15/completed_orders", less, auth=auth)["order"] == order


def test_a_code_without_an_owner(levelup: LevelUp) -> None:
    """D14: what is no code names ``base``, a code of nobody ``payment_token_data``; W: a token in its place."""
    auth, unknown = levelup.merchant_auth(), code_of(new_token_data())
    body = proposal(payment_token_data=unknown)
    assert levelup.refused("POST", "/v15/proposed_orders", body, auth=auth) == ["order/payment_token_data/invalid"]
    unreadable = proposal(payment_token_data="LU02111222333444555666777888999LU")
    assert levelup.refused("POST", "/v15/proposed_orders", unreadable, auth=auth) == ["order/base/"]
    header = f'{auth}, user="{unknown}"'
    assert levelup.refused("POST", "/v15/proposed_orders", proposal(), auth=header, status=401) == [
        "order/user_token/not_authorized"
    ]
    both = proposal(payment_token_data=qr_code(levelup), location_id=21)
    assert levelup.refused("POST", "/v15/proposed_orders", both, auth=auth, status=401)


# Items.


@pytest.mark.parametrize("given", [[], None, "absent"])
@pytest.mark.parametrize("root", ["order", "proposed_order"])
def test_items_are_optional(levelup: LevelUp, root: str, given: Any) -> None:
    """D14 (not required), RB's own specs (empty), CS (null)."""
    members = proposal(items=given)["proposed_order"]
    if given == "absent":
        del members["items"]
    path = "/v15/orders" if root == "order" else "/v15/proposed_orders"
    assert levelup.call("POST", path, {root: members}, auth=levelup.tokens())


@pytest.mark.parametrize(
    "names", [("charged_price_amount", "standard_price_amount"), ("charged_price", "standard_price")]
)
@pytest.mark.parametrize("path, root", [("/v15/orders", "order"), ("/v15/proposed_orders", "proposed_order")])
def test_prices_have_two_names(levelup: LevelUp, names: tuple[str, str], path: str, root: str) -> None:
    """D14 and RB the shorter ones; W, CS and PS the longer ones."""
    body = {root: proposal(items=items(*names))["proposed_order"]}
    assert levelup.call("POST", path, body, auth=levelup.tokens())


# Users of an app.

NEW = {"email": "fay@example.com", "first_name": "Fay", "last_name": "Example"}


@pytest.mark.parametrize("way", ["token (D14)", "api_key (IOS)", "both (RB)"])
def test_a_user_of_an_app_in_all_forms(levelup: LevelUp, way: str) -> None:
    body: Any = {"user": NEW, "permission_keynames": ["create_orders", "read_user_basic_info"]}
    if "token" not in way:
        body["api_key"] = SHOP_APP.api_key
    auth = "" if "api_key" in way else levelup.app_auth()
    answer = levelup.call("POST", "/v15/apps/users", body, auth=auth)
    assert {**answer["user"], **NEW} == answer["user"]
    token = answer["access_token"]
    assert (token["app_id"], token["user_id"]) == (SHOP_APP.id, answer["user"]["id"])
    assert levelup.call("GET", "/v15/users", auth=f"token {token['token']}")["user"]["last_name"] == "Example"


def test_a_user_of_no_app(levelup: LevelUp) -> None:
    body: Any = {"user": NEW, "permission_keynames": ["create_orders"]}
    assert levelup.refused("POST", "/v15/apps/users", body, status=401) == ["access_token/app_token/not_authorized"]
    body["api_key"] = "nonsense"
    assert levelup.refused("POST", "/v15/apps/users", body) == ["user/api_key/not_found"]


# Loyalty and campaigns.


@pytest.mark.parametrize("merchant, spend", [(BEACON, 5000), (HARBOR, 0)])
def test_loyalty_has_the_documented_members(levelup: LevelUp, merchant: int, spend: int) -> None:
    """CS reads integers, and a decimal for the progress."""
    loyalty = levelup.loyalty(merchant=merchant)
    integers = {name: value for name, value in loyalty.items() if name.endswith(("_amount", "_count", "_id"))}
    assert all(type(value) is int for value in integers.values())
    assert type(loyalty["progress_percentage"]) is float and "visits_remaining" not in loyalty
    assert loyalty["merchant_spend_amount"] == spend


@pytest.mark.parametrize(
    "path, members",
    [
        ("101/basic_v1", {"title", "description"}),
        ("101/spend_based_loyalty_v1", {"earn_amount", "progress_amount", "required_spend_amount"}),
        ("201/visit_based_loyalty_v1",
         {"earn_amount", "progress_visit_count", "required_visit_count", "qualifying_order_spend_amount"}),
    ],
)  # fmt: skip
def test_campaigns_have_the_documented_members(levelup: LevelUp, path: str, members: set[str]) -> None:
    """IOS."""
    assert set(levelup.call("GET", f"/v15/campaigns/{path}")["campaign"]) == members


# Places.


@pytest.mark.parametrize("version", ["v14", "v15"])
@pytest.mark.parametrize("path", ["apps/1/locations", "merchants/1/locations", "locations/11"])
def test_places_need_no_token(levelup: LevelUp, version: str, path: str) -> None:
    """RB, IOS and AND call v14; by W authentication is optional."""
    found = levelup.call("GET", f"/{version}/{path}")
    for auth in (levelup.user_auth(), untagged(levelup, merchant=HARBOR)):
        assert levelup.call("GET", f"/{version}/{path}", auth=auth) == found


@pytest.mark.parametrize("path", ["/v15/apps/1/locations", "/v14/merchants/1/locations"])
def test_lists_of_places_end(levelup: LevelUp, path: str) -> None:
    """W: a client pages by ``Link`` until 204."""
    seen, page = [], path
    for _ in range(5):
        answer = levelup.open("GET", page)
        if answer.status_code == 204:
            break
        seen += [entry["location"]["id"] for entry in answer.get_json()]
        page = answer.headers["Link"].partition("<")[2].partition(">")[0].partition("localhost")[2]
        assert page.startswith(f"{path}?"), "the next page is one of the same generation"
    else:
        pytest.fail("the list does not end")
    assert len(seen) == len(set(seen)) >= 2
    assert levelup.open("GET", f"{path}?page=99").status_code == 204


def test_places_by_distance_and_by_what_they_do(levelup: LevelUp) -> None:
    near_somerville = levelup.call("GET", "/v15/apps/1/locations?lat=42.39&lng=-71.12")
    assert [entry["location"]["id"] for entry in near_somerville] == [12, 11, 21]
    assert levelup.open("GET", "/v15/apps/1/locations?fulfillment_types=pickup").status_code == 204
    both = levelup.call("GET", "/v15/apps/1/locations?fulfillment_types[]=pickup&fulfillment_types[]=in_store")
    assert len(both) == 3
    assert levelup.refused("GET", "/v15/apps/1/locations?fulfillment_types=drone") == [
        "location/fulfillment_types/invalid"
    ]


@pytest.mark.parametrize(
    "member",
    ["shown", "updated_at", "latitude", "longitude", "hours", "merchant_tip_preference", "categories", "menu_url",
     "phone", "extended_address", "merchant_name", "pickup_menu_url", "delivery_menu_url", "fulfillment_types"],
)  # fmt: skip
def test_a_place_has_the_documented_members(levelup: LevelUp, member: str) -> None:
    """D14, CS, IOS."""
    assert member in levelup.call("GET", "/v15/locations/11")["location"]


def test_managed_locations_are_those_of_the_token(levelup: LevelUp) -> None:
    """CS, PS."""
    for auth in (levelup.merchant_auth(HARBOR), untagged(levelup, merchant=HARBOR)):
        (entry,) = levelup.call("GET", "/v15/managed_locations", auth=auth)
        assert {"id", "merchant_id", "address", "name", "merchant_name", "tip_preference"} <= set(entry["location"])
        assert entry["location"]["merchant_id"] == HARBOR


# Credit, and gift cards.


@pytest.mark.parametrize("version", ["v14", "v15"])
def test_both_generations_charge_and_read_alike(levelup: LevelUp, version: str) -> None:
    """CS (v14), RB (v15)."""
    mine, register = untagged(levelup, user=ADA), untagged(levelup, merchant=BEACON)
    code = levelup.call("GET", f"/{version}/payment_token", auth=mine)["payment_token"]["data"]
    draft = {"order": {"location_id": 11, "spend_amount": 500, "payment_token_data": code, "items": []}}
    placed = levelup.call("POST", f"/{version}/orders", draft, auth=register)["order"]
    assert placed["spend_amount"] == 500
    read = levelup.call("GET", f"/{version}/orders/{placed['uuid']}", auth=mine)["order"]
    assert read["uuid"] == placed["uuid"]
    credit = f"/{version}/locations/11/merchant_funded_credit?payment_token_data={code}"
    assert levelup.call("GET", credit, auth=register)["merchant_funded_credit"]["gift_card_amount"] == 0
    assert levelup.call("GET", f"/{version}/merchants/1/loyalty", auth=mine)["loyalty"]
    assert len(levelup.call("GET", f"/{version}/user_addresses", auth=mine)) == 2


@pytest.mark.parametrize("tagged", [True, False], ids=["merchant=", "untagged"])
def test_a_register_asks_for_the_credit_of_a_code(levelup: LevelUp, tagged: bool) -> None:
    auth = levelup.merchant_auth() if tagged else untagged(levelup, merchant=BEACON)
    path = "/v15/locations/11/merchant_funded_credit?payment_token_data="
    for user, credit, gift_card in ((ADA, 200, 0), (DORA, 0, 1000)):
        found = levelup.call("GET", path + qr_code(levelup, user), auth=auth)["merchant_funded_credit"]
        assert found == {
            "discount_amount": credit, "gift_card_amount": gift_card, "total_amount": credit + gift_card,
        }  # fmt: skip
    later = "/v15/locations/11/merchant_funded_credit"
    asked: Any = {"credit_query": {"payment_token_data": qr_code(levelup), "items": items()}}
    assert levelup.call("POST", later, asked, auth=auth)["merchant_funded_credit"]["discount_amount"] == 200
    assert (
        levelup.call("POST", later, {"credit_query": {}}, auth=levelup.tokens(DORA))["merchant_funded_credit"][
            "gift_card_amount"
        ]
        == 1000
    )
    for query in ("payment_token_data", "base"):
        code = code_of(new_token_data()) if query == "payment_token_data" else "LU"
        assert query in levelup.refused("GET", path + code, auth=auth)[0]
    assert levelup.refused("GET", path + qr_code(levelup), auth=levelup.merchant_auth(HARBOR), status=401)


def give(**members: Any) -> Any:
    return {"merchant_funded_credit": {"email": "ben@example.com", "value_amount": 300, **members}}


def test_a_merchant_gives_credit(levelup: LevelUp) -> None:
    """RB, CS, PS; CS sends a duration, a merchant, a message and whether it is global."""
    auth = levelup.merchant_auth(BEACON, GIVING)
    levelup.call("POST", "/v15/merchant_funded_credits", give(), auth=auth, status=204)
    assert levelup.discount(BEN) == 450
    rest = {"duration_in_seconds": 60, "merchant_id": BEACON, "message": "For you.", "global": False}
    levelup.call("POST", "/v15/merchant_funded_credits", give(**rest), auth=auth, status=204)
    assert levelup.discount(BEN) == 750
    levelup.pass_time(seconds=61)
    assert levelup.discount(BEN) == 450


def test_a_merchant_gives_credit_for_everywhere(levelup: LevelUp) -> None:
    """W: ``global``."""
    auth, before = levelup.merchant_auth(BEACON, GIVING), levelup.credit(BEN, 21)
    body = give(duration_in_seconds=60, **{"global": True})
    levelup.call("POST", "/v15/merchant_funded_credits", body, auth=auth, status=204)
    assert levelup.credit(BEN, 21) == before + 300
    levelup.pass_time(seconds=61)
    assert levelup.credit(BEN, 21) == before


def test_credit_that_expires_is_spent_first(levelup: LevelUp) -> None:
    body = {"merchant_funded_credit": {"email": "ada@example.com", "value_amount": 100, "duration_in_seconds": 60}}
    levelup.call("POST", "/v15/merchant_funded_credits", body, auth=levelup.merchant_auth(BEACON, GIVING), status=204)
    levelup.ordered(levelup.tokens(), applied_discount_amount=50, spend_amount=150)
    levelup.pass_time(seconds=61)
    assert levelup.discount() == 200


@pytest.mark.parametrize(
    "members, error",
    [
        ({"email": "nobody@example.com"}, "email/not_found"),
        ({"value_amount": 0}, "value_amount/invalid"),
        ({"merchant_id": HARBOR}, "merchant_id/invalid"),
        ({"global": "yes"}, "global/invalid"),
    ],
)
def test_credit_that_is_not_given(levelup: LevelUp, members: Any, error: str) -> None:
    auth = levelup.merchant_auth(BEACON, GIVING)
    refused = levelup.refused("POST", "/v15/merchant_funded_credits", give(**members), auth=auth)
    assert refused == [f"merchant_funded_credit/{error}"]


def test_giving_credit_needs_its_permission(levelup: LevelUp) -> None:
    for auth in (levelup.user_auth(), levelup.app_auth(), levelup.merchant_auth(), ""):
        levelup.refused("POST", "/v15/merchant_funded_credits", give(), auth=auth, status=401)


def test_value_is_put_on_a_gift_card_and_taken_off(levelup: LevelUp) -> None:
    """CS, PS."""
    auth, code = untagged(levelup, merchant=BEACON), qr_code(levelup, BEN)

    def change(what: str, cents: int, status: int = 200) -> Any:
        body = {f"gift_card_value_{what}": {"payment_token_data": code, "value_amount": cents}}
        return levelup.call("POST", f"/v15/merchants/1/gift_card_value_{what}s", body, auth=auth, status=status)

    assert change("addition", 1000) == {
        "gift_card_value_addition": {
            "added_value_amount": 1000, "new_value_at_merchant_amount": 1000, "old_value_at_merchant_amount": 0,
        }
    }  # fmt: skip
    assert change("removal", 300)["gift_card_value_removal"]["new_value_at_merchant_amount"] == 700
    assert change("removal", 701, 422)[0]["error"]["property"] == "value_amount"
    asked = {"get_merchant_funded_gift_card_credit": {"payment_token_data": code}}
    path = "/v15/locations/11/get_merchant_funded_gift_card_credit"
    found = levelup.call("POST", path, asked, auth=levelup.merchant_auth())
    assert found == {"merchant_funded_gift_card_credit": {"total_amount": 700}}
    assert levelup.ordered(levelup.merchant_auth(), payment_token_data=code, spend_amount=700)
    assert levelup.refused("POST", path, asked, auth=levelup.merchant_auth(HARBOR), status=401)


# Histories.

HISTORY = {
    "balance_amount", "bundle_closed_at", "bundle_descriptor", "contribution_amount", "contribution_target",
    "created_at", "credit_applied_amount", "credit_earned_amount", "earn_amount", "id", "identifier_from_merchant",
    "items", "location_extended_address", "location_id", "location_latitude", "location_locality", "location_longitude",
    "location_name", "location_postal_code", "location_region", "location_street_address", "merchant_id",
    "merchant_name", "pos_app_id", "refunded_at", "spend_amount", "tax_amount", "tip_amount", "total_amount",
    "transacted_at", "uuid",
}  # fmt: skip
"""IOS fixture ``order.json``, W."""
DETAILS = {
    "balance_amount": 700, "contribution_amount": 0, "credit_applied_amount": 300, "credit_earned_amount": 0,
    "display_balance_amount": 700, "exemption_amount": 0, "id": 1, "merchant_id": BEACON,
    "merchant_name": "Beacon Sandwiches", "requested_spend_amount": 1000, "requested_tip_amount": 0,
    "requested_total_amount": 1000, "tax_amount": 100,
}  # fmt: skip
"""CS ``OrderDetailsResponse``: what it reads besides D14."""


def test_a_user_reads_orders_in_all_ways(levelup: LevelUp) -> None:
    uuid = levelup.ordered(levelup.tokens())["uuid"]
    auth = untagged(levelup, user=ADA)
    for path in ("/v15/users/orders", "/v15/apps/orders", "/v14/apps/orders", "/v14/apps/1/orders"):
        (entry,) = levelup.call("GET", path, auth=auth)
        assert set(entry["order"]) >= HISTORY
        assert levelup.open("GET", f"{path}?page=2", auth=auth).status_code == 204
    shown = levelup.call("GET", f"/v15/orders/{uuid}", auth=auth)["order"]
    assert set(shown) >= HISTORY
    item = shown["items"][0]["item"]
    assert (item["name"], item["charged_price"], item["charged_price_amount"]) == ("Sandwich", 900, 900)
    assert type(shown["id"]) is int and (shown["tax_amount"], shown["pos_app_id"]) == (100, SHOP_APP.id)
    assert shown["balance_amount"] + shown["credit_applied_amount"] == shown["total_amount"]
    others = f"token {levelup.token(user=ADA, app=OTHER)}"
    assert levelup.open("GET", "/v15/apps/orders", auth=others).status_code == 204
    assert levelup.open("GET", "/v14/apps/2/orders", auth=auth).status_code == 204
    for unknown in ("/v15/orders/x", "/v14/orders/x"):
        assert levelup.refused("GET", unknown, auth=auth, status=404) == ["order/id/not_found"]


@pytest.mark.parametrize("version", ["v14", "v15"])
def test_a_merchant_reads_orders_in_all_ways(levelup: LevelUp, version: str) -> None:
    """CS, PS; D14 has the refusals, and ``refund_source``."""
    uuid = levelup.ordered(levelup.tokens())["uuid"]
    for auth in (levelup.merchant_auth(), untagged(levelup, merchant=BEACON)):
        (listed,) = levelup.call("GET", f"/{version}/locations/11/orders", auth=auth)
        details = levelup.call("GET", f"/{version}/merchants/1/orders/{uuid}", auth=auth)
        assert listed == details
        assert {
            "cashier", "earn_amount", "loyalty_id", "merchant_funded_credit_amount", "register", "user_display_name",
        } <= set(details["order"])  # fmt: skip
        assert details["order"]["refund_source"] is None
        assert {name: details["order"].get(name, "absent") for name in DETAILS} == DETAILS
        for path, error in (("1/orders/x", "order/id/not_found"), (f"9/orders/{uuid}", "merchant/id/not_found")):
            assert levelup.refused("GET", f"/{version}/merchants/{path}", auth=auth, status=404) == [error]


# Keys and logins. Wrong ones are in test_standin_api.


def test_the_key_may_be_called_client_id(levelup: LevelUp) -> None:
    """PS."""
    body = {"access_token": {"client_id": KEYS["api_key"], "client_secret": KEYS["client_secret"]}}
    assert levelup.call("POST", "/v15/access_tokens", body)["access_token"]["app_id"] == SHOP_APP.id
    login = {"client_id": KEYS["api_key"], "username": "ada@example.com", "password": PASSWORDS["ada@example.com"]}
    token = levelup.call("POST", "/v15/access_tokens", {"access_token": login})["access_token"]
    assert levelup.call("GET", "/v15/users", auth=f"token {token['token']}")["user"]["id"] == ADA


# Permissions: all names, and who is asked.


@pytest.mark.parametrize("name", sorted(USER_PERMISSIONS))
def test_every_permission_of_users_can_be_asked_for(levelup: LevelUp, name: str) -> None:
    body = {"permissions_request": {"email": "ada@example.com", "permission_keynames": ["create_orders", name]}}
    asked = levelup.call("POST", "/v15/apps/permissions_requests", body, auth=levelup.app_auth())
    assert asked["permissions_request"]["email"] == "ada@example.com"


@pytest.mark.parametrize("name", sorted(MERCHANT_PERMISSIONS))
def test_every_permission_of_merchants_can_be_asked_for(levelup: LevelUp, name: str) -> None:
    auth = levelup.app_auth()
    body = {"permissions_request": {"email": "owner@beacon.example", "permission_keynames": [name]}}
    number = levelup.call("POST", "/v15/apps/permissions_requests", body, auth=auth)["permissions_request"]["id"]
    with levelup.store.writing() as transaction:
        transaction.answer_request(number, "accepted")
    answer = levelup.call("GET", f"/v15/apps/permissions_requests/{number}", auth=auth)["permissions_request"]
    with levelup.store.reading() as transaction:
        token = transaction.token(hashed(answer["token"]))
    assert token and (token.kind, token.merchant_id, token.permissions) == ("merchant", BEACON, frozenset({name}))


@pytest.mark.parametrize("answer", ["pending", "accepted", "rejected"])
def test_a_permissions_request_names_its_user(levelup: LevelUp, answer: str) -> None:
    """D14 shows ``email`` when one is read, whatever became of it."""
    auth = levelup.app_auth()
    body = {"permissions_request": {"email": "Ada@example.com", "permission_keynames": ["create_orders"]}}
    asked = levelup.call("POST", "/v15/apps/permissions_requests", body, auth=auth)["permissions_request"]
    with levelup.store.writing() as transaction:
        transaction.answer_request(asked["id"], answer)
    read = levelup.call("GET", f"/v15/apps/permissions_requests/{asked['id']}", auth=auth)["permissions_request"]
    assert (read["email"], read["state"]) == ("ada@example.com", answer)


def test_merchants_and_users_are_asked_apart(levelup: LevelUp) -> None:
    both = {"email": "owner@beacon.example", "permission_keynames": ["create_orders", "manage_merchant_orders"]}
    path, auth = "/v15/apps/permissions_requests", levelup.app_auth()
    assert levelup.refused("POST", path, {"permissions_request": both}, auth=auth) == [
        "permissions_request/permission_keynames/invalid"
    ]
    assert MERCHANT_PERMISSIONS | USER_PERMISSIONS == set(PERMISSIONS)


# CS asks with ``int.MaxValue`` for all credit there is.


def test_the_largest_spend_asks_for_all_credit(levelup: LevelUp) -> None:
    proposed = levelup.propose(levelup.tokens(), spend_amount=2**31 - 1, tax_amount=0)
    assert proposed["discount_amount"] == 200


# Users and cards.


def test_users_and_cards_have_the_documented_members(levelup: LevelUp) -> None:
    """D14, CS and the IOS fixtures ``current_user.json`` and ``credit_card.json``."""
    levelup.ordered(levelup.tokens())
    user = levelup.call("GET", "/v15/users", auth=untagged(levelup, user=ADA))["user"]
    assert {
        "born_at", "cause_id", "connected_to_facebook", "custom_attributes", "debit_card_only", "email", "first_name",
        "gender", "id", "last_name", "merchants_visited_count", "orders_count", "phone", "global_credit_amount",
        "terms_accepted_at", "total_savings_amount",
    } <= set(user)  # fmt: skip
    assert (user["orders_count"], user["merchants_visited_count"], user["total_savings_amount"]) == (1, 1, 300)
    (card,) = levelup.call("GET", "/v15/credit_cards", auth=untagged(levelup, user=ADA))
    assert {"bin", "description", "state", "debit", "promoted", "last_4"} <= set(card["credit_card"])
    assert (card["credit_card"]["state"], card["credit_card"]["bin"]) == ("active", "411111")


# The total volume includes tips (D14).


def test_the_total_volume_includes_tips(levelup: LevelUp) -> None:
    levelup.ordered(levelup.tokens(), spend_amount=1060, tip_amount=200)
    assert levelup.loyalty()["total_volume_amount"] == 1260


# One Date, it is a singleton field.


WIRE = {
    "with an ETag": ("GET", "/v15/locations/11", 200),
    "a token": ("POST", "/v14/access_tokens", 200),
    "no token": ("GET", "/v15/users", 401),
    "HTML": ("GET", "/", 200),
    "a style": ("GET", "/static/style.css", 200),
    "nothing there": ("GET", "/nothing", 404),
    "no content": ("GET", "/v15/apps/1/locations?page=99", 204),
    "a bad body": ("POST", "/v15/access_tokens", 422),
    "no method": ("BREW", "/", 405),
}


def test_every_answer_on_the_wire_has_one_date(levelup: LevelUp) -> None:
    login = {"api_key": "standin-api-key", "username": "ada@example.com", "password": "ada-password"}
    body = {"/v14/access_tokens": json.dumps({"access_token": login}), "/v15/access_tokens": "{}"}
    server = levelup_server(levelup.app, 0)
    thread = Thread(target=server.serve_forever)
    thread.start()
    try:
        for kind, (method, path, status) in WIRE.items():
            connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=60)
            connection.request(method, path, body.get(path), {"Content-Type": "application/json"})
            answer = connection.getresponse()
            answer.read()
            dates = answer.headers.get_all("Date") or []
            assert (answer.status, len(dates)) == (status, 1), kind
            assert parsedate_to_datetime(dates[0]).tzinfo, kind
            connection.close()
        # The server's own refusal, which no application sees.
        with socket.create_connection(("127.0.0.1", server.server_port), timeout=60) as raw:
            raw.sendall(b"GET / x HTTP/1.1\r\n\r\n")
            assert b"".join(iter(lambda: raw.recv(4096), b"")).count(b"Date: ") == 1
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


# PS sends an identifier of 20 characters, the pages allow 10.


def test_an_identifier_of_twenty_characters_is_taken(levelup: LevelUp) -> None:
    levelup.propose(levelup.tokens(), identifier_from_merchant="x" * 20)


def test_there_are_no_deliveries(levelup: LevelUp) -> None:
    """IOS asks where an address is delivered from."""
    auth = untagged(levelup, user=ADA)
    assert levelup.refused("GET", "/v15/user_addresses/1/delivery_location", auth=auth, status=404) == [
        "location/location_id/not_found"
    ]
    assert levelup.refused("GET", "/v15/user_addresses/99/delivery_location", auth=auth, status=404) == [
        "user_address/id/not_found"
    ]
