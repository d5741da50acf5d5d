"""Refunds: whole orders, once, and every refusal that is documented."""

from __future__ import annotations

import pytest

from levelup_ov.standins.levelup.world import OTHER_APP
from tests.channel import Clock
from tests.checkout.site import Site, order
from tests.standin.visitors import ADA


@pytest.fixture
def uuid(site: Site, merchant: str, user: str) -> str:
    """An order that has been charged."""
    return site.charged(order(merchant, user))["uuid"]


def test_a_refund_gives_all_back(site: Site, uuid: str) -> None:
    assert site.levelup.discount() == 0
    assert site.done(site.refund(uuid))["order"]["state"] == "refunded"
    assert site.levelup.discount() == 200


def test_the_same_refund_again_is_the_same_answer(site: Site, uuid: str) -> None:
    first, again = site.refund(uuid, "K"), site.refund(uuid, "K")
    assert again.json == first.json
    assert ("Idempotency-Replayed" in first.headers, again.headers["Idempotency-Replayed"]) == (False, "true")
    assert site.line.count("/refund") == 1


def test_an_order_is_refunded_once(site: Site, uuid: str) -> None:
    site.done(site.refund(uuid, "K"))
    assert site.refund(uuid, "L").refusal == (422, "already_refunded", None)
    assert site.line.count("/refund") == 1


def test_our_own_id_will_do(site: Site, uuid: str) -> None:
    id = site.get(f"/orders/{uuid}")["order"]["id"]
    assert site.done(site.refund(id))["order"]["uuid"] == uuid


def test_an_unknown_order(site: Site) -> None:
    assert site.refund("00000000000000000000000000000000").refusal == (404, "order_not_found", None)
    assert not site.line.count("/refund")


def test_an_order_of_another_app(site: Site) -> None:
    auth = site.levelup.tokens(ADA, app=OTHER_APP.id)
    other = site.levelup.ordered(auth)["uuid"]
    assert site.refund(other).refusal == (404, "order_not_found", None)
    assert site.unrefunded() == [other]


def test_an_order_that_levelup_does_not_know(site: Site, uuid: str) -> None:
    site.line.faults["/refund"] = [(404, b"")]
    assert site.refund(uuid).refusal == (404, "order_not_found", None)
    assert site.get(f"/orders/{uuid}")["order"]["state"] == "charged"


def test_an_order_that_was_refunded_elsewhere(site: Site, uuid: str) -> None:
    site.levelup.call("POST", f"/v15/orders/{uuid}/refund", auth=site.levelup.merchant_auth())
    for _ in range(2):
        answer = site.refund(uuid, "K")
        assert answer.refusal == (422, "already_refunded", None)
    order = site.get(f"/orders/{uuid}")["order"]
    assert (order["state"], order["refunded_at"]) == ("refunded", "2026-11-20T17:00:00Z")
    # That is read first: nothing is asked for that was made.
    assert not site.line.count("/refund")


@pytest.mark.rule("WEB-3")
def test_a_refund_that_is_delivered_twice_is_ours(site: Site, uuid: str) -> None:
    site.line.faults["/refund"] = ["twice"]
    assert site.done(site.refund(uuid, "K"))["order"]["state"] == "refunded"
    assert site.done(site.refund(uuid, "K"))["order"]["state"] == "refunded"
    assert site.refunded() == [uuid]


@pytest.mark.rule("WEB-3")
def test_a_merchant_whose_id_is_unknown_refunds(site: Site, user: str) -> None:
    """LevelUp did not say whose token it is as the merchant came back, so it is asked before orders are read."""
    site.line.faults["/managed_locations"] = [(503, b"")]
    merchant = site.connect_merchant()
    uuid = site.charged(order(merchant, user))["uuid"]
    site.line.faults["/refund"] = ["twice"]
    assert site.done(site.refund(uuid, "K"))["order"]["state"] == "refunded"


@pytest.mark.rule("WEB-2")
def test_an_order_that_is_not_known(site: Site, merchant: str, clock: Clock) -> None:
    ben = site.connect_user("ben@example.com")
    site.line.faults["/completed_orders"] = ["unreached"] * 3
    assert site.charge(order(merchant, ben), "K").error["code"] == "outcome_unknown"
    (left,) = open_checkout_orders(site)
    # Whether it was charged is unknown, and the answer says so.
    assert site.refund(left).refusal == (504, "outcome_unknown", None)
    assert not site.line.count("/refund")
    clock.set("2030-06-03T16:05Z")
    assert site.reconcile_twice(clock)[0] == 0
    assert site.refund(left).refusal == (404, "order_not_found", None)


def test_a_manager_must_confirm(site: Site, user: str) -> None:
    harbor = site.connect_merchant("owner@harbor.example")
    uuid = site.charged(order(harbor, user, location_id=21))["uuid"]
    for members in ({}, {"manager_confirmation": "9999"}):
        assert site.refund(uuid, **members).refusal == (422, "manager_confirmation_required", None)
        assert site.get(f"/orders/{uuid}")["order"]["state"] == "charged"
    assert site.done(site.refund(uuid, manager_confirmation="4321"))["order"]["state"] == "refunded"


def test_a_refund_whose_answer_is_lost_is_reconciled(site: Site, uuid: str) -> None:
    site.line.faults["/refund"] = ["lost"]
    assert site.refund(uuid, "K").refusal == (503, "refund_pending", None)
    # Never repeated automatically.
    assert site.line.count("/refund") == 1
    refunded = site.done(site.refund(uuid, "K"))["order"]
    assert (refunded["state"], site.refunded()) == ("refunded", [uuid])


def test_a_refund_that_did_not_arrive_is_made_by_the_command(site: Site, uuid: str) -> None:
    site.line.faults["/refund"] = ["unreached"]
    assert site.refund(uuid, "K").error["code"] == "refund_pending"
    assert site.reconcile()[0] == 0
    assert site.refunded() == [uuid]
    assert site.done(site.refund(uuid, "K"))["order"]["state"] == "refunded"


def test_maintenance_leaves_the_order_as_it_was(site: Site, uuid: str) -> None:
    site.line.faults["/refund"] = [(503, [])]
    assert site.refund(uuid, "K").error["code"] == "refund_pending"
    assert site.done(site.refund(uuid, "K"))["order"]["state"] == "refunded"


def test_without_the_merchant_nothing_is_refunded(site: Site, merchant: str, uuid: str) -> None:
    site.call("DELETE", f"/merchants/{merchant}")
    assert site.refund(uuid).refusal == (422, "not_connected", None)
    assert site.get(f"/orders/{uuid}")["order"]["state"] == "charged"
    site.connect_merchant("owner@harbor.example")
    assert site.refund(uuid).error["code"] == "not_connected"
    site.connect_merchant("owner@beacon.example")
    assert site.done(site.refund(uuid))["order"]["state"] == "refunded"


def test_an_invalid_refund_body(site: Site, uuid: str) -> None:
    for body in ([], {"refund": {"manager_confirmation": 4321}}, {"refund": "yes"}):
        answer = site.call("POST", f"/orders/{uuid}/refund", body, Idempotency_Key="K")
        assert answer.refusal[:2] == (422, "invalid_member")
    assert site.unrefunded() == [uuid]


def open_checkout_orders(site: Site) -> list[str]:
    """Our ids of the charges that are not settled."""
    ledger = site.app.extensions["levelup_ov"].submissions.ledger
    return [submission.id for submission in ledger.reader.open_submissions()]
