"""The client against LevelUp's answers in the forms of its documentation and its own libraries."""

from __future__ import annotations

import logging
from typing import Any

import pytest
import responses

from levelup_ov.checkout.client import MAX_PAGES, LevelUpLocation, LevelUpSession
from levelup_ov.domain.failure import Failure
from levelup_ov.errors import Refused, Unanswered
from levelup_ov.transport.deadline import Deadline
from tests.checkout.conftest import MakeSite
from tests.checkout.site import SHOP, Site, order
from tests.checkout.test_checkout_client import MERCHANT, URL, USER, calls, client, refusal

__all__ = ["calls"]

LOYALTY = f"{URL}/v15/merchants/1/loyalty"


@pytest.mark.parametrize(
    ("given", "read"), [("42.0", 42), ("42", 42), ("20.0", 20), ("99.9", 99), ("0", 0), ("null", None)]
)
def test_progress_is_a_decimal(calls: LevelUpSession, given: str, read: int | None) -> None:
    """Documentation of 2014 ("Decimal"), the C# and iOS libraries (20.0)."""
    with responses.RequestsMock() as line:
        line.get(LOYALTY, body=f'{{"loyalty": {{"progress_percentage": {given}}}}}')
        assert calls.loyalty(USER, 1).progress_percentage == read


@pytest.mark.parametrize("given", ["-1", "1e999999", '"42"', "true"])
def test_progress_that_is_none(calls: LevelUpSession, given: str) -> None:
    with responses.RequestsMock() as line, pytest.raises(Unanswered) as failed:
        line.get(LOYALTY, body=f'{{"loyalty": {{"progress_percentage": {given}}}}}')
        calls.loyalty(USER, 1)
    assert failed.value.code == "provider_protocol_error"


def page(number: int, *, last: bool = False) -> dict[str, Any]:
    """One page of locations of a merchant, as the later pages of the documentation show it."""
    location = {"id": number, "merchant_id": 1, "name": f"LevelUpLocation {number}"}
    link = {} if last else {"Link": f'<{URL}/v15/merchants/1/locations?page={number + 1}>; rel="next"'}
    return {"json": [{"location": location}], "headers": link}


@pytest.mark.parametrize("end", ["no link", "204"])
def test_all_pages_of_locations_are_read(calls: LevelUpSession, end: str) -> None:
    with responses.RequestsMock() as line:
        path = f"{URL}/v15/merchants/1/locations"
        line.get(path, **page(1))
        line.get(path, **page(2), match=[responses.matchers.query_param_matcher({"page": "2"})])
        last = {"status": 204} if end == "204" else page(3, last=True)
        line.get(path, **last, match=[responses.matchers.query_param_matcher({"page": "3"})])
        found = calls.locations(MERCHANT, 1)
    count = 2 if end == "204" else 3
    assert found == [LevelUpLocation(number, f"LevelUpLocation {number}", 1) for number in range(1, count + 1)]


def test_a_list_that_never_ends_is_a_broken_protocol(calls: LevelUpSession) -> None:
    with responses.RequestsMock() as line:
        line.get(f"{URL}/v15/merchants/1/locations", **page(1))
        with pytest.raises(Unanswered) as failed:
            calls.locations(MERCHANT, 1)
        assert len(line.calls) == MAX_PAGES
    assert failed.value.code == "provider_protocol_error"


def connect(site: Site) -> Any:
    begun = site.post("/merchants", {"merchant": {"return_to": SHOP}})["merchant"]
    reported = site.come_back(site.approve(begun["authorization_url"], "owner@beacon.example"))
    return site.post(f"/merchants/{begun['id']}/confirm", {"confirmation": reported["confirmation"]})["merchant"]


def test_whose_token_it_is_comes_from_its_locations(site: Site) -> None:
    """``GET /v15/managed_locations`` (C# library, LevelUp's own PowerShell module)."""
    connected = connect(site)
    assert connected["levelup_merchant_id"] == 1
    assert site.line.calls[-1] == "GET /v15/managed_locations"
    assert len(site.get(f"/merchants/{connected['id']}/locations")["locations"]) == 2


def test_a_merchant_not_known_yet_is_asked_for_again(site: Site, user: str) -> None:
    site.line.faults["/v15/managed_locations"] = [(200, [])] * 2
    connected = connect(site)
    assert connected["levelup_merchant_id"] is None
    preview = site.post("/order_previews", order(connected["id"], user))["preview"]
    assert preview["loyalty"] is None
    assert len(site.get(f"/merchants/{connected['id']}/locations")["locations"]) == 2
    assert site.get(f"/merchants/{connected['id']}")["merchant"]["levelup_merchant_id"] == 1
    assert site.post("/order_previews", order(connected["id"], user))["preview"]["loyalty"]


@pytest.mark.parametrize("status", [404, 422])
def test_refused_app_keys_are_the_operators_matter(
    make_site: MakeSite, status: int, caplog: pytest.LogCaptureFixture
) -> None:
    """404 in the documentation of 2014, 422 in later pages and the Ruby library."""
    site = make_site()
    error = {"object": "access_token", "property": "api_key", "message": "Not found", "code": "not_found"}
    site.line.faults["/v15/access_tokens"] = [(status, refusal(error))]
    body = {"permissions_request": {"email": "ada@example.com", "permissions": ["create_orders"]}}
    with caplog.at_level(logging.ERROR):
        answer = site.call("POST", "/users/permissions_requests", body)
    assert (answer.status, answer.error["code"]) == (502, "provider_credentials_refused")
    assert "levelup_app_credentials_refused" in caplog.messages


def test_addresses_without_an_id(calls: LevelUpSession) -> None:
    """As the documentation of 2014 lists and creates them."""
    address = {"address_type": "home", "street_address": "1", "locality": "B", "region": "MA", "postal_code": "0"}
    with responses.RequestsMock() as line:
        line.get(f"{URL}/v15/user_addresses", json=[{"user_address": address}])
        line.post(f"{URL}/v15/user_addresses", json={"user_address": address})
        assert calls.addresses(USER) == [calls.add_address(USER, address)]


def test_an_address_without_an_id_is_answered(site: Site, user: str) -> None:
    address = {"address_type": "home", "street_address": "1", "locality": "B", "region": "MA", "postal_code": "0"}
    site.line.faults["/v15/user_addresses"] = [(200, [{"user_address": address}])]
    (found,) = site.get(f"/users/{user}/addresses")["addresses"]
    assert found["address"] == {"id": None, "extended_address": None, **address}


def test_maintenance_has_levelups_words(calls: LevelUpSession, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("levelup_ov.transport.session.BACKOFF", 0)
    with responses.RequestsMock() as line:
        line.get(f"{URL}/v15/users", status=503, json=refusal({"message": "We are back at noon."}))
        with pytest.raises(Failure) as failed, client().calls(Deadline(5), []) as fresh:
            fresh.profile(USER)
    assert (failed.value.code, failed.value.message) == ("provider_unavailable", "LevelUp: We are back at noon.")
    assert not isinstance(failed.value, Refused)


def test_the_tax_after_the_discount_is_what_levelup_gets(site: Site, merchant: str, user: str) -> None:
    body = order(merchant, user, discount_amount=200, tax_amount_after_discount=56)
    charged = site.charged(body)
    assert (charged["spend_amount"], charged["tax_amount"], charged["user_pays_amount"]) == (1056, 56, 856)
