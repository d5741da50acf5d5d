"""Calls of the documentation pages that no library makes, or that this world has nothing for.

Sources: D14 the documentation of 2014, W its later pages, CS the C# library.
"""

from __future__ import annotations

from typing import Any

import pytest

from tests.standin.visitors import ADA, BEACON, BEN, CLEO, HARBOR, LevelUp

VERSIONS = pytest.mark.parametrize("version", ["v14", "v15"])


def code(levelup: LevelUp, user: int = ADA) -> str:
    return levelup.call("GET", "/v15/payment_token", auth=levelup.user_auth(user))["payment_token"]["data"]


def detached(levelup: LevelUp, **members: Any) -> Any:
    return {
        "detached_refund": {
            "cashier": "Andrew", "credit_amount": 743, "customer_facing_reason": "Sorry about your coffee!",
            "identifier_from_merchant": "001001", "internal_reason": None, "location_id": 11,
            "manager_confirmation": None, "payment_token_data": code(levelup), "register": "03", **members,
        }
    }  # fmt: skip


@VERSIONS
def test_a_detached_refund_is_credit(levelup: LevelUp, version: str) -> None:
    """D14, W, CS."""
    levelup.ordered(levelup.tokens())
    auth = f"token {levelup.token(merchant=BEACON)}"
    made = levelup.call("POST", f"/{version}/detached_refunds", detached(levelup), auth=auth)["detached_refund"]
    assert type(made.pop("loyalty_id")) is int
    assert made == {
        "cashier": "Andrew", "credit_amount": 743, "customer_facing_reason": "Sorry about your coffee!",
        "identifier_from_merchant": "001001", "internal_reason": None, "location_id": 11,
        "refunded_at": "2026-11-20T17:00:00Z", "register": "03",
    }  # fmt: skip
    assert levelup.discount() == 743


@pytest.mark.parametrize(
    "members, error",
    [
        ({"credit_amount": 1001}, "credit_amount"),
        ({"credit_amount": 0}, "credit_amount"),
        ({"payment_token_data": "LU"}, "base"),
        ({"payment_token_data": "of Cleo"}, "base"),
        ({"payment_token_data": "LU0200018SECH4O89A4NBOT7030000LU"}, "payment_token_data"),
        ({"payment_token_data": None}, "payment_token_data"),
        ({"internal_reason": "x" * 1001}, "internal_reason"),
    ],
)
def test_a_detached_refund_that_is_not_made(levelup: LevelUp, members: Any, error: str) -> None:
    """D14: more than was ever spent there, somebody who never came."""
    levelup.ordered(levelup.tokens())
    if members.get("payment_token_data") == "of Cleo":
        members = {"payment_token_data": code(levelup, CLEO)}
    refused = levelup.refused(
        "POST", "/v15/detached_refunds", detached(levelup, **members), auth=levelup.merchant_auth()
    )
    assert [each.split("/")[:2] for each in refused] == [["detached_refund", error]]
    assert levelup.discount() == 0


def test_who_may_make_a_detached_refund(levelup: LevelUp) -> None:
    """D14: 401 without a body for a place of somebody else, or none."""
    levelup.ordered(levelup.tokens(merchant=HARBOR), location_id=21)
    for location in (21, 99):
        body = detached(levelup, location_id=location)
        assert levelup.call("POST", "/v15/detached_refunds", body, auth=levelup.merchant_auth(), status=401) is None
    for auth in ("", levelup.user_auth(), levelup.app_auth()):
        assert levelup.refused("POST", "/v15/detached_refunds", detached(levelup), auth=auth, status=401)
    for confirmation in (None, "wrong"):
        body = detached(levelup, location_id=21, manager_confirmation=confirmation)
        assert levelup.refused("POST", "/v15/detached_refunds", body, auth=levelup.merchant_auth(HARBOR)) == [
            "detached_refund/manager_confirmation/invalid"
        ]
    body = detached(levelup, location_id=21, manager_confirmation="4321")
    levelup.call("POST", "/v15/detached_refunds", body, auth=levelup.merchant_auth(HARBOR))


@VERSIONS
def test_a_new_password_is_asked_for(levelup: LevelUp, version: str) -> None:
    """D14, W, CS: nobody learns whether there is such an account."""
    for email in ("ada@example.com", "nobody@example.com"):
        levelup.call("POST", f"/{version}/passwords", {"email": email}, status=204)
    for body in ({}, {"email": ""}, {"email": "nobody"}, {"email": 1}):
        assert levelup.refused("POST", f"/{version}/passwords", body) == ["base/email/invalid"]


@VERSIONS
def test_nothing_is_shown_after_an_order(levelup: LevelUp, version: str) -> None:
    """D14, W."""
    uuid = levelup.ordered(levelup.tokens())["uuid"]
    path = f"/{version}/orders/{uuid}/interstitial"
    assert levelup.refused("GET", path, auth=levelup.user_auth(), status=404) == ["interstitial/id/not_found"]
    levelup.refused("GET", path, status=401)


def test_a_phone_without_a_card_in_2014(levelup: LevelUp) -> None:
    """D14: 404; later pages and IOS have a member that asks for a card."""
    assert levelup.refused("GET", "/v14/payment_token", auth=levelup.user_auth(CLEO), status=404) == [
        "payment_token/base/no_credit_card"
    ]
    shown = levelup.call("GET", "/v15/payment_token", auth=levelup.user_auth(CLEO))["payment_token"]
    assert shown["action"] == "add_payment_method"


def test_all_places_in_2014(levelup: LevelUp) -> None:
    """D14: in pages until 204."""
    found = [entry["location"]["id"] for entry in levelup.call("GET", "/v14/locations")]
    assert found == [11, 12, 21]
    assert levelup.open("GET", "/v14/locations?page=2").status_code == 204


def test_the_merchants_of_a_campaign(levelup: LevelUp) -> None:
    """D14."""
    assert levelup.call("GET", "/v14/campaigns/201/merchants") == [HARBOR]
    for path in ("/v14/campaigns/201/merchants?page=2", "/v14/campaigns/999/merchants"):
        assert levelup.open("GET", path).status_code == 204


@VERSIONS
def test_no_campaign_has_a_code(levelup: LevelUp, version: str) -> None:
    """D14, W."""
    path = f"/{version}/codes/N72HFXIYDA/claims"
    assert levelup.refused("POST", path, auth=levelup.user_auth(BEN), status=404) == ["claim/base/"]
    levelup.refused("POST", path, status=401)


@pytest.mark.parametrize(
    "path",
    ["/v14/codes/N72HFXIYDA/campaign", "/v14/campaigns/101/image?density=1&height=212&width=320",
     "/v14/locations/11/image?density=1&height=212&width=320", "/v15/campaigns/101", "/v14/campaigns/999",
     "/v14/locations/99", "/v15/locations/99"],
)  # fmt: skip
def test_what_is_not_there_has_no_body(levelup: LevelUp, path: str) -> None:
    """D14."""
    assert levelup.call("GET", path, status=404) is None


@pytest.mark.parametrize(
    "path",
    ["POST /v15/checks", "PUT /v15/checks/1", "GET /v15/checks/1", "POST /v15/checks/1/orders", "POST /v14/tickets",
     "POST /v14/loyalties/legacy/101/claims", "GET /v15/campaigns/201/user_state"],
)  # fmt: skip
def test_what_the_stand_in_lacks_is_not_found(levelup: LevelUp, path: str) -> None:
    """The page on the stand-in lists these."""
    assert levelup.refused(*path.split(), auth=levelup.user_auth(), status=404)[0].endswith("not_found")
