"""Further forms of answers about money that are not what they seem: none of them is believed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.channel import Clock
from tests.checkout.conftest import MakeSite
from tests.checkout.site import Site, meal, order

UNKNOWN = (504, "outcome_unknown", None)
CARD = {"object": "order", "property": "base", "message": "No.", "code": "card_declined"}
COMPLETED = {"object": "order", "property": "proposed_order_uuid", "message": "It is completed already."}


def refusal(*errors: Any, status: int = 422) -> tuple[int, Any]:
    return status, [{"error": each} for each in errors]


@pytest.mark.rule("WEB-1")
def test_further_charges_that_are_not_as_asked(site: Site, merchant: str, user: str) -> None:
    members: list[Any] = [
        {"spend_amount": True, "total_amount": True},
        {"total_amount": None},
        {"spend_amount": 1070.5},
        {"spend_amount": "1e3"},
        {"tip_amount": -200, "spend_amount": 1270},
        {"gift_card_total_amount": -1},
        {"uuid": " "},
        {"uuid": 17.5},
        {"uuid": 12345},
        {"uuid": True},
        {"currency_code": "CAD"},
        {"currency": ["USD"]},
    ]
    body = order(merchant, user, discount_amount=0)
    for number, member in enumerate(members):
        site.line.changes["/completed_orders"] = [member]
        assert site.charge(body, f"K{number}").refusal == UNKNOWN, member
        assert site.charged(body, f"K{number}")["uuid"] in site.unrefunded()
    assert len(site.unrefunded()) == len(members)


@pytest.mark.rule("WEB-2")
def test_further_refusals_that_prove_nothing(site: Site, merchant: str, user: str) -> None:
    answers: list[Any] = [
        refusal(CARD, COMPLETED),
        refusal(COMPLETED, CARD),
        refusal(CARD, {"message": "Try again later."}),
        (422, {"error": CARD}),
        (422, {"errors": [{"error": CARD}]}),
        (422, [CARD]),
        (422, [[{"error": CARD}]]),
        refusal(CARD, status=400),
        refusal(CARD, status=402),
        refusal(CARD, status=409),
    ]
    body = order(merchant, user)
    for number, answer in enumerate(answers):
        site.line.faults["/completed_orders"] = [answer]
        assert site.charge(body, f"K{number}").refusal == UNKNOWN, answer
        assert site.charged(body, f"K{number}")["uuid"] in site.unrefunded()
    assert len(site.unrefunded()) == len(answers)


@pytest.mark.rule("WEB-2")
def test_histories_that_do_not_say_that_there_is_none(site: Site, merchant: str, user: str, clock: Clock) -> None:
    """The charge is then found without one: the proposed order is completed again."""
    body = order(merchant, user)
    answers: list[Any] = [None, {}, {"orders": []}, [None], [{}], [{"order": {}}], b"", "", b"[]\n[]"]
    for number, answer in enumerate(answers):
        site.line.faults["/completed_orders"] = ["lost"] * 3
        assert site.charge(body, f"K{number}").refusal == UNKNOWN
        clock.set(f"2030-06-03T16:{5 + 5 * number:02}Z")
        site.line.faults["/users/orders"] = [(200, answer)] * 2
        assert site.charged(body, f"K{number}")["uuid"] in site.unrefunded(), answer
    assert len(site.unrefunded()) == len(answers)


@pytest.mark.rule("WEB-3")
def test_further_refunds_that_are_none(site: Site, merchant: str, user: str) -> None:
    members: list[Any] = [
        {"refunded_at": ""},
        {"refunded_at": False},
        {"refunded_at": 0},
        {"refunded_at": "yesterday"},
        {"refunded_at": "1999-01-01T00:00:00Z"},
        {"currency": "CAD"},
        {"spend_amount": 0},
        {"total_amount": 0},
        {"spend_amount": 535, "total_amount": 535},
    ]
    body = order(merchant, user, discount_amount=0)
    for member in members:
        uuid = site.charged(body)["uuid"]
        site.line.changes["/refund"] = [member]
        assert site.refund(uuid).status != 200, member
        assert site.get(f"/orders/{uuid}")["order"]["state"] != "refunded"


@pytest.mark.rule("WEB-3")
def test_a_refund_is_refused_by_all_that_is_said(site: Site, merchant: str, user: str) -> None:
    uuid = site.charged(order(merchant, user, discount_amount=0))["uuid"]
    site.line.faults["/refund"] = [refusal({"object": "refund", "property": "manager_confirmation"}, CARD)]
    assert site.refund(uuid).error["code"] == "refund_pending"
    assert site.unrefunded() == [uuid]


@pytest.mark.rule("WEB-6", "SUB-3")
def test_an_order_number_is_charged_once_for_all_merchants(site: Site, merchant: str, user: str) -> None:
    body = meal(merchant, user, number="N-1")
    site.charged(body)
    for email, location in (("owner@beacon.example", 11), ("owner@harbor.example", 21)):
        body["order"] |= {"merchant": site.connect_merchant(email), "location_id": location}
        assert site.charge(body).status == 422
    assert (len(site.unrefunded()), site.meals()) == (1, 1)


@pytest.mark.rule("WEB-1")
def test_nothing_is_charged_for_a_proposal_without_a_uuid(site: Site, merchant: str, user: str) -> None:
    for uuid in ("../refund", "", " ", None, True, 12345, "a" * 65):
        site.line.changes["/proposed_orders"] = [{"uuid": uuid}]
        assert site.charge(order(merchant, user)).refusal[:2] == (502, "provider_protocol_error"), uuid
    assert not site.line.count("/completed_orders")


def test_no_user_is_connected_as_another(site: Site) -> None:
    for members in ({"user_id": 2}, {"user_id": "1"}, {"token_type": "mac"}, {"access_token": ["x"]}):
        started = site.start_user()
        site.line.changes["/oauth2/token"] = [members]
        reported = site.come_back(site.approve(started["authorization_url"], "ada@example.com"))
        assert reported["error"] == "provider_protocol_error", members
        assert site.get(f"/users/{started['id']}")["user"]["state"] == "refused"


def test_only_documented_answers_end_a_permissions_request(site: Site) -> None:
    user = site.request_permissions()["id"]
    rejected = {"state": "rejected", "token": "t"}
    for members in (rejected, {"state": "Rejected"}, {"state": None}, {"state": "gone"}, {"id": 2}):
        site.line.changes["/permissions_requests/1"] = [members]
        assert site.call("POST", f"/users/{user}/poll").status == 502, members
    site.answer_request(1)
    assert site.post(f"/users/{user}/poll")["user"]["state"] == "connected"


@pytest.mark.rule("PAY-4", "WEB-1")
@pytest.mark.parametrize("currency", ["EUR", "USD"])
def test_a_meal_is_charged_in_the_currency_of_its_prices(
    make_site: MakeSite, merchant: str, user: str, tmp_path: Path, currency: str
) -> None:
    accounts = tmp_path / "accounts.toml"
    accounts.write_text(f'[accounts.sandbox]\nprovider = "sandbox"\nname = "Diner"\ncurrency = "{currency}"\n')
    site = make_site(LEVELUP_OV_ACCOUNTS=str(accounts))
    answer = site.charge(meal(merchant, user))
    if currency == "USD":
        assert answer.status == 200
        return
    assert answer.refusal == (422, "tender_not_accepted", "$.provider_location_id")
    assert (site.unrefunded(), site.refunded(), site.meals()) == ([], [], 0)
