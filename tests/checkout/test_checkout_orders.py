"""Charging: once per key, with the right amounts, whatever gets lost."""

from __future__ import annotations

from typing import Any

import pytest

from levelup_ov.checkout.client import LevelUpSession
from levelup_ov.checkout.store import CheckoutStore
from levelup_ov.ledger import identity
from levelup_ov.ledger.engine import LedgerUnavailable
from levelup_ov.ledger.transitions import Transitions
from levelup_ov.standins.levelup.world import DECLINED_CARD
from tests.channel import Clock
from tests.checkout.site import Site, order

LOST = ["lost"] * 3


def test_all_ways_charge_and_refund(site: Site, merchant: str, payer: str) -> None:
    preview = site.post("/order_previews", order(merchant, payer, tip_amount=200))["preview"]
    charged = site.charged(order(merchant, payer, tip_amount=200))
    assert charged["state"] == "charged"
    assert site.unrefunded() == [charged["uuid"]]
    assert {name: charged[name] for name in ("spend_amount", "tax_amount", "tip_amount", "total_amount")} == {
        "spend_amount": 1070, "tax_amount": 70, "tip_amount": 200, "total_amount": 1270,
    }  # fmt: skip
    for name in ("discount_amount", "user_pays_amount", "total_amount", "exemption_amount"):
        assert charged[name] == preview[name]
    assert site.get(f"/orders/{charged['uuid']}") == site.get(f"/orders/{charged['id']}") == {"order": charged}
    refunded = site.done(site.refund(charged["uuid"]))["order"]
    assert refunded["state"] == "refunded" and refunded["refunded_at"] == "2026-11-20T17:00:00Z"
    assert (site.unrefunded(), site.refunded()) == ([], [charged["uuid"]])


def test_the_one_step_call_is_never_used(site: Site, merchant: str, user: str) -> None:
    site.charged(order(merchant, user))
    calls = [call for call in site.line.calls if "order" in call]
    assert calls == ["POST /v15/proposed_orders", "POST /v15/completed_orders"]


def test_credit_is_a_discount_and_tax_is_charged_in_full(site: Site, merchant: str, user: str) -> None:
    preview = site.post("/order_previews", order(merchant, user))["preview"]
    assert preview["discount_amount"] == 200 and preview["credit_amount"] == 300
    assert (preview["total_amount"], preview["user_pays_amount"]) == (1070, 870)
    assert preview["loyalty"] == {
        "potential_credit_amount": 300, "spend_remaining_amount": 5000, "progress_percentage": 0,
    }  # fmt: skip
    campaigns = [each["campaign"] for each in preview["campaigns"]]
    assert [(each["id"], each["representation_type"]) for each in campaigns] == [
        (101, "spend_based_loyalty_v1"),
        (102, "basic_v1"),
    ]
    assert not site.unrefunded()
    site.charged(order(merchant, user))
    after = site.post("/order_previews", order(merchant, user))["preview"]
    assert after["discount_amount"] == 0
    # 1070 less 70 of tax less 200 of credit earns.
    assert after["loyalty"]["spend_remaining_amount"] == 5000 - 800


def test_a_part_of_the_discount_can_be_applied(site: Site, merchant: str, user: str) -> None:
    assert site.charged(order(merchant, user, discount_amount=50))["user_pays_amount"] == 1020
    assert site.levelup.discount() == 150
    assert site.charged(order(merchant, user, discount_amount=0))["discount_amount"] == 0


@pytest.mark.rule("SUB-4")
def test_the_same_key_charges_once(site: Site, merchant: str, user: str) -> None:
    body = order(merchant, user)
    first, again = site.charge(body, "K"), site.charge(body, "K")
    assert again.json == first.json
    assert ("Idempotency-Replayed" in first.headers, again.headers["Idempotency-Replayed"]) == (False, "true")
    other = site.charge(order(merchant, user, tip_amount=1), "K")
    assert other.refusal == (422, "idempotency_key_reused", None)
    assert len(site.unrefunded()) == 1
    assert site.charge(body, "L").json["order"]["uuid"] != first.json["order"]["uuid"]


@pytest.mark.rule("SUB-4")
@pytest.mark.parametrize("release", ["this", "last"])
def test_the_same_key_charges_for_no_other_merchant(
    site: Site, merchant: str, user: str, monkeypatch: pytest.MonkeyPatch, release: str
) -> None:
    """In the last release, a key counted per merchant."""
    harbor, all_of = site.connect_merchant("owner@harbor.example"), identity.identities
    with monkeypatch.context() as patch:
        if release == "last":
            patch.setattr(identity, "identities", lambda at, **which: all_of(at, **which) if at != "checkout" else ())
        first = site.charged(order(merchant, user), "K")
    assert site.charged(order(merchant, user), "K") == first
    other = site.charge(order(harbor, user, location_id=21), "K")
    assert other.refusal == (422, "idempotency_key_reused", None)
    assert len(site.unrefunded()) == 1


def test_money_does_not_move_without_a_key(site: Site, merchant: str, user: str) -> None:
    for named in ({}, {"Idempotency-Key": "  "}):
        answer = site.call("POST", "/orders", order(merchant, user), **named)
        assert answer.refusal == (400, "invalid_idempotency_key", None)
    assert site.call("POST", "/orders/any/refund").refusal == (400, "invalid_idempotency_key", None)
    assert not site.unrefunded()


def test_a_lost_answer_is_reconciled_within_the_request(site: Site, merchant: str, user: str) -> None:
    site.line.faults["/completed_orders"] = ["lost"]
    charged = site.charged(order(merchant, user))
    assert site.unrefunded() == [charged["uuid"]]


@pytest.mark.rule("SUB-5")
@pytest.mark.parametrize("fault", ["lost", "unreached"])
def test_an_unknown_charge_is_reconciled_by_the_same_request(site: Site, merchant: str, user: str, fault: str) -> None:
    site.line.faults["/completed_orders"] = [fault] * 3
    body = order(merchant, user)
    assert site.charge(body, "K").refusal == (504, "outcome_unknown", None)
    proposed = site.line.count("/proposed_orders")
    charged = site.charged(body, "K")
    assert site.unrefunded() == [charged["uuid"]]
    # By completing the same proposed order, not by a new one.
    assert site.line.count("/proposed_orders") == proposed


@pytest.mark.rule("SUB-5")
@pytest.mark.parametrize("fault", ["lost", "unreached"])
def test_an_unknown_charge_is_reconciled_by_the_command(
    site: Site, merchant: str, user: str, fault: str, clock: Clock
) -> None:
    site.line.faults["/completed_orders"] = [fault] * 3
    body = order(merchant, user)
    assert site.charge(body, "K").error["code"] == "outcome_unknown"
    assert site.reconcile() == (0, "0 finished, 0 still unfinished\n")
    clock.set("2030-06-03T16:05Z")
    status, said = site.reconcile() if fault == "lost" else site.reconcile_twice(clock)
    # What never arrived is not charged by the command, since no request waits for it: the user's orders show it.
    assert (status, said.split()[3]) == (0, "charged" if fault == "lost" else "not_charged")
    assert len(site.unrefunded()) == (fault == "lost")
    charged = site.charged(body, "K")["uuid"]
    assert site.unrefunded() == [charged]


def test_the_command_for_submissions_leaves_charges_alone(site: Site, merchant: str, user: str) -> None:
    site.line.faults["/completed_orders"] = LOST[:]
    site.charge(order(merchant, user), "K")
    result = site.app.test_cli_runner().invoke(args=["submissions", "reconcile"])
    assert (result.exit_code, result.output) == (0, "0 resolved, 0 still unknown\n")


def test_a_charge_declined_on_asking_again_never_happened(site: Site, merchant: str, clock: Clock) -> None:
    ben = site.connect_user("ben@example.com")
    site.line.faults["/completed_orders"] = ["unreached"] * 3
    body = order(merchant, ben)
    assert site.charge(body, "K").error["code"] == "outcome_unknown"
    # Something may still be on its way.
    assert site.charge(body, "K").error["code"] == "outcome_unknown"
    clock.set("2030-06-03T16:05Z")
    assert site.charge(body, "K").refusal == (422, "card_declined", None)
    assert site.reconcile()[0] == 0
    assert not site.unrefunded()


def test_a_token_revoked_in_between_proves_nothing(site: Site, merchant: str, user: str, clock: Clock) -> None:
    site.line.faults["/completed_orders"] = LOST[:]
    body = order(merchant, user)
    assert site.charge(body, "K").error["code"] == "outcome_unknown"
    revoke(site, "ada@example.com")
    clock.set("2030-06-03T16:05Z")
    assert site.charge(body, "K").error["code"] == "outcome_unknown"
    status, said = site.reconcile()
    assert status == 1 and "still charging" in said
    assert len(site.unrefunded()) == 1


def test_an_unknown_charge_is_reconciled_on_reconnecting(site: Site, merchant: str, user: str, clock: Clock) -> None:
    site.line.faults["/completed_orders"] = LOST[:]
    site.charge(order(merchant, user), "K")
    site.call("DELETE", f"/users/{user}")
    clock.set("2030-06-03T16:05Z")
    assert site.reconcile()[0] == 1
    site.connect_user("dora@example.com")
    assert site.reconcile()[0] == 1
    site.connect_user()
    assert site.reconcile()[0] == 0
    assert len(site.unrefunded()) == 1


def test_a_refusal_after_a_lost_answer_proves_nothing(site: Site, merchant: str, user: str) -> None:
    refusal = [{"error": {"object": "access_token", "property": "user_token", "message": "no", "code": "x"}}]
    site.line.faults["/completed_orders"] = ["lost", (401, refusal)]
    body = order(merchant, user)
    assert site.charge(body, "K").error["code"] == "outcome_unknown"
    assert site.unrefunded() == [site.charged(body, "K")["uuid"]]


# Bad input.


def test_a_declined_card(site: Site, merchant: str) -> None:
    ben = site.connect_user("ben@example.com")
    body = order(merchant, ben)
    answer = site.charge(body, "K")
    assert answer.refusal == (422, "card_declined", None)
    assert answer.error["message"] == "LevelUp: The card was declined."
    assert not site.unrefunded() and not site.refunded()
    # The key is free: with another card, it is charged.
    site.charged(order(merchant, site.connect_user()), "K")


def test_what_was_declined_is_settled(site: Site, merchant: str, clock: Clock) -> None:
    site.charge(order(merchant, site.connect_user("ben@example.com")))
    clock.set("2030-06-03T16:00:59Z")
    assert site.reconcile() == (0, "0 finished, 0 still unfinished\n")


def test_what_was_declined_is_known_though_the_ledger_failed(
    site: Site, merchant: str, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise LedgerUnavailable

    body = order(merchant, site.connect_user("ben@example.com"))
    with monkeypatch.context() as patch:
        patch.setattr(Transitions, "fail", fail)
        assert site.charge(body, "K").error["code"] == "card_declined"
    clock.set("2030-06-03T16:05Z")
    assert site.charge(body, "K").error["code"] == "card_declined"


@pytest.mark.rule("SUB-3")
def test_a_charge_that_the_ledger_could_not_record(
    site: Site, merchant: str, user: str, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    def hangs(*_: Any, **__: Any) -> None:
        raise LedgerUnavailable("it hangs")

    body = order(merchant, user)
    monkeypatch.setattr(Transitions, "place", hangs)
    assert site.charge(body, "K").refusal == (504, "outcome_unknown", None)
    (first,) = site.unrefunded()
    monkeypatch.undo()
    clock.set("2030-06-03T16:05Z")
    assert site.reconcile()[1].endswith("1 finished, 0 still unfinished\n")
    assert site.reconcile() == (0, "0 finished, 0 still unfinished\n")
    # The outcome of an equal one is known, so another key is another order.
    assert {first, site.charged(body, "L")["uuid"]} == {*site.unrefunded()} and len(site.unrefunded()) == 2


@pytest.mark.rule("WEB-4")
def test_a_charge_that_was_ruled_out_goes_back(
    site: Site, merchant: str, user: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody has ruled it out meanwhile, and the same order may have been charged again."""
    complete = LevelUpSession.complete

    def slow(calls: LevelUpSession, *arguments: Any, **named: Any) -> Any:
        charge = complete(calls, *arguments, **named)
        ledger = site.app.extensions["levelup_ov"].submissions.ledger
        (submission,) = ledger.reader.open_submissions()
        ruled_out = {"state": "not_charged", "body": None}
        assert CheckoutStore(ledger.database).change_order(submission.id, ("charging",), values=ruled_out)
        return charge

    monkeypatch.setattr(LevelUpSession, "complete", slow)
    assert site.charge(order(merchant, user)).error["code"] == "charge_refunded"
    assert (site.unrefunded(), len(site.refunded())) == ([], 1)


def test_an_account_of_record_without_or_with_a_declined_card(site: Site, merchant: str) -> None:
    record = site.create_user()["id"]
    assert site.charge(order(merchant, record)).error["code"] == "card_declined"
    site.add_card(record, DECLINED_CARD)
    assert site.charge(order(merchant, record)).error["code"] == "card_declined"
    assert not site.unrefunded()


def test_a_token_revoked_between_propose_and_complete(site: Site, merchant: str, user: str) -> None:
    body = order(merchant, user)
    revoked = [{"error": {"object": "access_token", "property": "user_token", "message": "no", "code": "x"}}]
    site.line.faults["/completed_orders"] = [(401, revoked)]
    assert site.charge(body, "K").refusal == (422, "user_token_refused", None)
    assert not site.unrefunded()
    revoke(site, "ada@example.com")
    assert site.charge(body, "K").refusal == (422, "user_token_refused", None)
    assert not site.unrefunded()


def test_a_merchant_token_revoked(site: Site, merchant: str, user: str) -> None:
    revoke(site, "owner@beacon.example")
    assert site.charge(order(merchant, user)).refusal == (422, "merchant_token_refused", None)


@pytest.mark.parametrize(
    ("members", "refusal"),
    [
        ({"discount_amount": 1001}, (422, "discount_too_large", "$.order.discount_amount")),
        ({"discount_amount": 201}, (422, "discount_too_large", "$.order.discount_amount")),
        ({"tax_amount": 1071}, (422, "amounts_do_not_add_up", "$.order.tax_amount")),
        ({"exemption_amount": 1001}, (422, "amounts_do_not_add_up", "$.order.exemption_amount")),
        ({"payment_amount": 1071}, (422, "amounts_do_not_add_up", "$.order.payment_amount")),
        ({"payment_amount": 0}, (422, "amounts_do_not_add_up", "$.order.payment_amount")),
        ({"tip_amount": 99_999_999}, (422, "amounts_do_not_add_up", "$.order.tip_amount")),
        ({"outstanding_amount": 0, "tax_amount": 0}, (422, "amounts_do_not_add_up", "$.order.outstanding_amount")),
        ({"outstanding_amount": 10.0}, (422, "invalid_member", "$.order.outstanding_amount")),
        ({"tip_amount": -1}, (422, "invalid_member", "$.order.tip_amount")),
        ({"items": []}, (422, "invalid_member", "$.order.items")),
        ({"items": [{"item": {"name": "Soup"}}]}, (422, "invalid_member", "$.order.items")),
        ({"identifier": "12345678901"}, (422, "invalid_member", "$.order.identifier")),
        ({"location_id": 99}, (404, "location_not_found", "$.order.location_id")),
        ({"location_id": 21}, (422, "merchant_token_refused", None)),
        ({"merchant": "mer_none"}, (404, "connection_not_found", "$.order.merchant")),
        ({"user": "usr_none"}, (404, "connection_not_found", "$.order.user")),
    ],
    ids=lambda value: str(value)[:40],
)
def test_an_order_that_cannot_be_right(
    site: Site, merchant: str, user: str, members: Any, refusal: tuple[int, str, str | None]
) -> None:
    body = order(**{"merchant": merchant, "user": user, **members})
    assert site.charge(body).refusal == refusal
    assert site.call("POST", "/order_previews", body).refusal == refusal
    assert not site.unrefunded()


def test_a_user_is_not_a_merchant(site: Site, merchant: str, user: str) -> None:
    assert site.charge(order(user, merchant)).refusal == (404, "connection_not_found", "$.order.merchant")


def test_items_nest_five_deep_and_no_deeper(site: Site, merchant: str, user: str) -> None:
    line: Any = {"name": "Cheese", "charged_price_amount": 10}
    for _ in range(4):
        line = {"name": "Sandwich", "charged_price_amount": 10, "children": [{"item": line}]}
    assert site.charge(order(merchant, user, items=[{"item": line}])).status == 200
    deeper = {"name": "Menu", "charged_price_amount": 10, "children": [{"item": line}]}
    answer = site.charge(order(merchant, user, items=[{"item": deeper}]))
    assert answer.refusal == (422, "invalid_member", "$.order.items")


def test_an_order_that_is_not_there(site: Site) -> None:
    assert site.call("GET", "/orders/none").refusal == (404, "order_not_found", None)


def test_maintenance_charges_nothing(site: Site, merchant: str, user: str) -> None:
    site.line.faults["/proposed_orders"] = [(503, [{"error": {"message": "down"}}])] * 3
    assert site.charge(order(merchant, user), "K").refusal == (503, "provider_unavailable", None)
    assert not site.unrefunded()
    assert len([site.charged(order(merchant, user), "K")]) == len(site.unrefunded())


@pytest.mark.rule("PAY-4", "WEB-1")
def test_another_amount_than_asked_for_is_reported(
    site: Site, merchant: str, user: str, caplog: pytest.LogCaptureFixture
) -> None:
    body, changed = order(merchant, user), {"spend_amount": 1071, "total_amount": 1071}
    site.line.changes |= {"/completed_orders": [changed, changed], "/refund": [changed]}
    # What LevelUp says once may be another's charge; what it says twice, on connections of their own, is ours.
    assert site.charge(body, "K").refusal == (504, "outcome_unknown", None)
    answer = site.charge(body, "K")
    assert answer.refusal == (502, "provider_protocol_error", None)
    assert "spend_amount is 1071, 1070 was requested" in answer.error["message"]
    assert "charge_mismatch" in caplog.messages
    assert (site.unrefunded(), len(site.refunded())) == ([], 1)


def revoke(site: Site, email: str) -> None:
    """The person disconnects the app on LevelUp's page."""
    with site.levelup.store.writing() as transaction:
        user = transaction.user_by_email(email)
        assert user
        transaction.revoke_app(1, user.id, site.levelup.now)
