"""Charge and submit: both or neither, whatever fails between the steps."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest

from levelup_ov.checkout.store import CheckoutStore
from levelup_ov.config import new_secret_key
from levelup_ov.domain.failure import Failure
from levelup_ov.ledger.claims import Claims
from levelup_ov.ledger.engine import LedgerUnavailable
from levelup_ov.ledger.statuses import Statuses
from levelup_ov.ledger.transitions import Transitions
from levelup_ov.transport import net
from levelup_ov.transport.connections import OwnConnections
from levelup_ov.transport.deadline import Deadline
from levelup_ov.transport.session import Session, Transport
from tests.channel import Answer, Clock
from tests.checkout.conftest import MakeSite
from tests.checkout.site import PLACE, Site, meal, order

LATER = "2030-06-03T16:05Z"
REFUSED = "sandbox:sold-out"
LOST = "sandbox:lost-answer"
DECLINED = [{"error": {"object": "order", "property": "base", "message": "No.", "code": "x"}}]


def test_all_ways_charge_and_submit(site: Site, merchant: str, payer: str) -> None:
    before = len(site.line.calls)
    done = site.charged(meal(merchant, payer, tip_amount=200))
    assert done["state"] == "submitted" and done["provider_location_id"] == "sandbox.congress"
    assert done["order_submission"]["order_id"] and "expected_ready_at" in done["order_submission"]
    assert (site.unrefunded(), site.meals()) == ([done["uuid"]], 1)
    assert site.line.calls[before:] == ["POST /v15/proposed_orders", "POST /v15/completed_orders"]


@pytest.mark.rule("SUB-3", "WEB-5")
def test_a_charge_of_its_own_gets_no_meal_of_another(site: Site, merchant: str, user: str, clock: Clock) -> None:
    body = meal(merchant, user, note=LOST, discount_amount=0)
    assert site.charge(body, "K").error["code"] == "outcome_unknown"
    # A new key is a new order. It waits until the outcome of the equal one is known.
    waits = site.charge(body, "L").error
    assert (waits["code"], waits["retryable"], site.meals()) == ("submission_in_progress", True, 1)
    first = site.charged(body, "K")
    assert site.charge(body, "L").error["code"] == "outcome_unknown"  # it is placed, and this answer is lost, too
    second = site.charged(body, "L")
    assert first["order_submission"]["order_id"] != second["order_submission"]["order_id"]
    assert (len(site.unrefunded()), site.meals()) == (2, 2)


def test_the_discount_is_the_merchants(site: Site, merchant: str, user: str) -> None:
    """What the provider is asked to charge is what the user has paid, after LevelUp's discount."""
    done = site.charged(meal(merchant, user, tip_amount=200, discount_amount=200))
    (submission,) = site.app.extensions["levelup_ov"].submissions.ledger.reader.find(account="sandbox")
    assert submission.expected_charge == done["user_pays_amount"] == 1000 + 70 + 200 - 200


@pytest.mark.rule("PAY-4")
def test_another_price_than_the_user_paid_is_reported(
    site: Site, merchant: str, user: str, caplog: pytest.LogCaptureFixture
) -> None:
    assert site.charged(meal(merchant, user, outstanding_amount=1080))["state"] == "submitted"
    assert "charge_mismatch" in caplog.messages
    runner = site.app.test_cli_runner()
    listed = runner.invoke(args=["submissions", "list", "--charge-mismatch"]).output
    assert PLACE in listed and "1 submission" in listed
    id = site.app.extensions["levelup_ov"].submissions.ledger.reader.find(charge_mismatch=True)[0].id
    assert "charged:                 880" in runner.invoke(args=["submissions", "show", id]).output
    assert runner.invoke(args=["submissions", "close", id, "--why", "the difference was paid"]).exit_code == 0
    assert "0 submissions" in runner.invoke(args=["submissions", "list", "--charge-mismatch"]).output


@pytest.mark.rule("SUB-4")
def test_the_same_key_does_neither_again(site: Site, merchant: str, user: str) -> None:
    first, again = (site.charge(meal(merchant, user), "K") for _ in range(2))
    assert again.json == first.json
    assert again.headers["Idempotency-Replayed"] == "true"
    assert (len(site.unrefunded()), site.meals()) == (1, 1)


@pytest.mark.rule("SUB-3")
def test_an_order_number_is_an_identity_of_the_whole(site: Site, merchant: str, user: str) -> None:
    body = meal(merchant, user, number="N-1")
    first, again = site.charged(body, "K"), site.charged(body, "L")
    assert again == first
    assert (len(site.unrefunded()), site.meals()) == (1, 1)


def test_what_a_location_does_not_take_is_refused_uncharged(site: Site, merchant: str, user: str) -> None:
    assert site.charge(meal(merchant, user, place="sandbox.card")).refusal[:2] == (422, "tender_not_accepted")
    assert site.charge(meal(merchant, user, place="sandbox.nowhere")).refusal[:2] == (404, "location_not_found")
    late = meal(merchant, user)
    late["order_submission"]["desired_ready_time"] = "2030-06-01T12:00"
    assert site.charge(late).refusal[:2] == (422, "ready_time_in_past")
    assert not site.line.count("orders")


@pytest.mark.parametrize(
    ("change", "refusal"),
    [
        ({"tip": 1}, (422, "amounts_do_not_add_up", "$.order_submission.tip")),
        ({"merchant_funded_discount": 1}, (422, "amounts_do_not_add_up",
                                           "$.order_submission.merchant_funded_discount")),
        ({"credit_card": {"number": "4111111111111111", "cvv": "123", "zip": "02110", "expiration_month": "01",
                          "expiration_year": "2040"}}, (422, "invalid_member", "$.order_submission.credit_card")),
        ({"items": []}, (422, "invalid_member", "$.order_submission.items")),
    ],
    ids=["tip", "discount", "card", "items"],
)  # fmt: skip
def test_a_submission_that_contradicts_the_order(
    site: Site, merchant: str, user: str, change: Any, refusal: tuple[int, str, str]
) -> None:
    body = meal(merchant, user, tip_amount=200, discount_amount=100)
    body["order_submission"] |= change
    assert site.charge(body).refusal == refusal
    assert not site.line.count("orders")


def test_it_is_paid_whole_and_goes_somewhere(site: Site, merchant: str, user: str) -> None:
    part = site.charge(meal(merchant, user, payment_amount=500))
    assert part.refusal == (422, "amounts_do_not_add_up", "$.order.payment_amount")
    nowhere = meal(merchant, user)
    del nowhere["provider_location_id"]
    assert site.charge(nowhere).refusal == (422, "invalid_member", "$.provider_location_id")
    unsaid = meal(merchant, user)
    unsaid["order_submission"]["merchant_funded_discount"] = 100
    assert site.charge(unsaid).refusal == (422, "invalid_member", "$.order.discount_amount")


def test_a_refused_submission_is_refunded_and_recorded(site: Site, merchant: str, user: str) -> None:
    body = meal(merchant, user, note=REFUSED)
    for _ in range(2):
        answer = site.charge(body, "K")
        assert answer.refusal[:2] == (422, "item_unavailable")
        assert answer.error["message"].endswith("(the charge was refunded)")
    assert (site.unrefunded(), len(site.refunded()), site.meals()) == ([], 1, 0)
    recorded = site.get(f"/orders/{site.refunded()[0]}")["order"]
    assert (recorded["state"], recorded["problem"]["code"]) == ("refunded", "item_unavailable")
    assert site.levelup.discount() == 200
    assert site.refund(recorded["uuid"]).refusal == (422, "already_refunded", None)
    # A new try is a new order.
    assert site.charged(meal(merchant, user), "L")["state"] == "submitted"


def test_a_failed_submission_is_refunded(site: Site, merchant: str, user: str, monkeypatch: pytest.MonkeyPatch) -> None:
    call = Session.call

    def unreachable(session: Session, method: str, path: str, **arguments: Any) -> Any:
        if arguments.get("places_order") and session._account == "sandbox":
            path = "http://127.0.0.1:9/nobody"
        return call(session, method, path, **arguments)

    monkeypatch.setattr(Session, "call", unreachable)
    body = meal(merchant, user)
    for _ in range(2):
        # Final: the same request changes nothing, so no code invites one.
        assert site.charge(body, "K").refusal[:2] == (422, "charge_refunded")
    assert (site.unrefunded(), len(site.refunded()), site.meals()) == ([], 1, 0)


@pytest.mark.rule("SUB-5")
def test_an_unknown_submission_is_reconciled_and_not_refunded(site: Site, merchant: str, user: str) -> None:
    body = meal(merchant, user, note=LOST)
    assert site.charge(body, "K").refusal[:2] == (504, "outcome_unknown")
    assert (len(site.unrefunded()), site.meals()) == (1, 1)
    assert site.refund(site.unrefunded()[0]).refusal == (409, "submission_in_progress", None)
    assert site.charged(body, "K")["state"] == "submitted"
    assert (len(site.unrefunded()), site.meals(), site.refunded()) == (1, 1, [])


@pytest.mark.rule("SUB-5")
def test_an_unknown_submission_is_reconciled_by_the_command(site: Site, merchant: str, user: str) -> None:
    body = meal(merchant, user, note=LOST)
    assert site.charge(body, "K").error["code"] == "outcome_unknown"
    status, said = site.reconcile()
    assert (status, said.count(": submitted")) == (0, 1)
    assert site.charged(body, "K")["state"] == "submitted"
    assert (len(site.unrefunded()), site.meals(), site.refunded()) == (1, 1, [])


@pytest.mark.rule("SUB-5")
def test_a_possible_order_is_not_refunded_for_an_early_failure(
    site: Site, merchant: str, user: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second try is turned away before anybody has looked for the order of the first."""

    def busy(_: str) -> Any:
        raise Failure("provider_busy", "8 requests to this provider are in progress already")

    body = meal(merchant, user, note=LOST)
    assert site.charge(body, "K").error["code"] == "outcome_unknown"
    with monkeypatch.context() as patch:
        patch.setattr(site.app.extensions["levelup_ov"].routing.bulkhead, "room", busy)
        again = site.charge(body, "K")
    assert again.refusal[:2] == (504, "outcome_unknown") and "in progress already" in again.error["message"]
    assert (len(site.unrefunded()), site.meals(), site.refunded()) == (1, 1, [])
    assert site.charged(body, "K")["state"] == "submitted"


def test_a_refund_that_failed_is_pending_until_it_is_made(site: Site, merchant: str, user: str) -> None:
    body = meal(merchant, user, note=REFUSED)
    site.line.faults["/refund"] = ["unreached"]
    pending = site.charge(body, "K")
    assert pending.refusal == (503, "refund_pending", None)
    assert (len(site.unrefunded()), site.meals()) == (1, 0)
    assert site.charge(body, "K").refusal[:2] == (422, "item_unavailable")
    assert (site.unrefunded(), len(site.refunded())) == ([], 1)


def test_a_refund_whose_answer_is_lost_is_made_once(site: Site, merchant: str, user: str) -> None:
    site.line.faults["/refund"] = ["lost"]
    body = meal(merchant, user, note=REFUSED)
    assert site.charge(body, "K").error["code"] == "refund_pending"
    status, said = site.reconcile()
    assert (status, said.count(": refunded")) == (0, 1)
    assert site.charge(body, "K").error["code"] == "item_unavailable"
    assert (site.unrefunded(), len(site.refunded())) == ([], 1)


@pytest.mark.rule("STAT-7")
def test_a_manager_refunds_by_hand_what_the_service_may_not(site: Site, user: str, clock: Clock) -> None:
    harbor = site.connect_merchant("owner@harbor.example")
    answer = site.charge(meal(harbor, user, location_id=21, note=REFUSED), "K")
    assert answer.error["code"] == "refund_pending" and "manager" in answer.error["message"]
    assert site.reconcile()[0] == 1 and site.command("cases")[0] == 0
    (uuid,) = site.unrefunded()
    assert site.refund(uuid).error["code"] == "refund_pending"
    clock.set("2030-06-04T16:00Z")
    assert site.reconcile()[0] == 1 and uuid in site.command("cases")[1]
    refunded = site.done(site.refund(uuid, manager_confirmation="4321"))["order"]
    assert (refunded["state"], site.unrefunded(), site.command("cases")[0]) == ("refunded", [], 0)
    assert site.charge(meal(harbor, user, location_id=21, note=REFUSED), "K").error["code"] == "item_unavailable"


def test_many_at_once_charge_and_submit_once(site: Site, merchant: str, user: str) -> None:
    body, answers = meal(merchant, user), []

    def send() -> None:
        answers.append(Site(site.app, site.levelup, site.line, site._sandbox).charge(body, "K"))

    threads = [threading.Thread(target=send) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {answer.status for answer in answers} <= {200, 409}
    assert site.charged(body, "K")["state"] == "submitted"
    assert (len(site.unrefunded()), site.meals(), site.refunded()) == (1, 1, [])


def test_what_the_site_refunded_is_not_submitted_again(site: Site, merchant: str, user: str) -> None:
    body = meal(merchant, user)
    done = site.charged(body, "K")
    site.done(site.refund(done["uuid"]))
    assert site.charged(body, "K")["state"] == "refunded"
    assert (site.unrefunded(), site.meals()) == ([], 1)


def test_a_refund_that_is_refused_leaves_the_order_submitted(site: Site, user: str) -> None:
    harbor = site.connect_merchant("owner@harbor.example")
    done = site.charged(meal(harbor, user, location_id=21))
    assert site.refund(done["uuid"]).error["code"] == "manager_confirmation_required"
    assert site.get(f"/orders/{done['uuid']}")["order"] == done


@pytest.mark.rule("SUB-3", "META-8", "WEB-5")
def test_a_validation_is_one_identity_at_every_endpoint(site: Site, merchant: str, user: str) -> None:
    validated = site.channel.validate().order["metadata"]
    metadata = {"order_validation_id": validated["order_validation_id"]}
    body = meal(merchant, user)
    body["order_submission"]["metadata"] = metadata
    first, again = site.charged(body, "K"), site.charged(body, "L")
    assert again == first
    # The same validation, submitted past the web checkout.
    past = site.channel.submit(metadata=metadata, special_instructions=None)
    assert past.status in (200, 422)
    assert (len(site.unrefunded()), site.meals()) == (1, 1)


@pytest.mark.rule("SUB-3", "WEB-5")
def test_a_submission_beside_checkout_is_not_cooked_twice(site: Site, merchant: str, user: str) -> None:
    body = meal(merchant, user, discount_amount=0, number="N-1")
    past = submitted_past(site, body)
    assert past.status == 200, past.json
    done = site.charged(body, "K")
    assert done["order_submission"]["order_id"] == past.order["order_id"]
    assert (len(site.unrefunded()), site.meals()) == (1, 1)


@pytest.mark.rule("SUB-3", "WEB-5")
def test_a_submission_after_checkout_is_not_cooked_twice(site: Site, merchant: str, user: str) -> None:
    body = meal(merchant, user, discount_amount=0, number="N-1")
    done = site.charged(body, "K")
    past = submitted_past(site, body)
    assert (past.status, past.order["order_id"]) == (200, done["order_submission"]["order_id"])
    assert (len(site.unrefunded()), site.meals()) == (1, 1)


@pytest.mark.rule("WEB-5")
@pytest.mark.parametrize("is_killed", [False, True], ids=["charged", "found"])
def test_a_meal_that_was_canceled_before_is_not_paid(
    site: Site, merchant: str, user: str, clock: Clock, monkeypatch: pytest.MonkeyPatch, is_killed: bool
) -> None:
    body = meal(merchant, user, discount_amount=0, number="N-1")
    path = f"/locations/{PLACE}/orders/{submitted_past(site, body).order['order_id']}"

    def canceled() -> None:
        site.call_off(clock())
        assert site.channel.get(path).order["status"] == "cancelled"

    if is_killed:
        with monkeypatch.context() as patch, pytest.raises(Killed):
            patch.setattr("levelup_ov.checkout.submitting.mischarge", _die)
            site.charge(body, "K")
        assert len(site.unrefunded()) == 1
        canceled()
        clock.now += timedelta(minutes=2)
        assert site.reconcile()[0] == 0
    else:
        canceled()
    answer = site.charge(body, "K")
    assert answer.refusal == (422, "order_refused", None) and "has been canceled" in answer.error["message"]
    assert (len(site.unrefunded()), len(site.refunded()), site.line.count("/refund")) == (0, 1, 1)


def _die(*_: object) -> None:
    raise Killed


@pytest.mark.rule("SUB-3", "WEB-5")
@pytest.mark.parametrize("note", [None, LOST])
def test_a_crash_after_a_submission_beside_is_resolved(
    site: Site, merchant: str, user: str, killer: Killer, clock: Clock, note: str | None
) -> None:
    for step in range(100):
        body = meal(merchant, user, discount_amount=0, note=note, number=f"N-{step}")
        assert submitted_past(site, body).status == (200 if note is None else 504)
        killer.arm(step)
        try:
            site.charge(body, f"killed at {step}")
        except Killed:
            pass
        dead = killer.dead
        killer.arm(None)
        check_nothing_is_left(site, clock)
        answer = site.charge(body, f"killed at {step}")
        while answer.status >= 400 and answer.error["retryable"]:
            answer = site.charge(body, f"killed at {step}")
        # The meal is cooked, so the charge for it stays, or was refunded and is reported as such.
        is_charged = answer.status == 200
        assert is_charged or answer.error["code"] in ("order_refused", "charge_refunded"), answer.json
        assert submitted_past(site, body).status == 200
        assert site.meals() == step + 1
        if not dead:
            break
    assert step >= 8
    assert len(site.unrefunded()) <= site.meals()


@pytest.mark.rule("WEB-5", "META-7")
def test_a_meal_under_a_dropped_key_is_not_refunded(make_site: MakeSite, clock: Clock) -> None:
    old, new = new_secret_key(), new_secret_key()
    site = make_site(LEVELUP_OV_SECRET_KEYS=old)
    merchant, user = site.connect_merchant(), site.connect_user()
    assert site.charge(meal(merchant, user, note=LOST)).error["code"] == "outcome_unknown"
    both = make_site(LEVELUP_OV_SECRET_KEYS=f"{new},{old}")
    # Another charge seals the tokens under the new key.
    both.charged(order(merchant, user))
    clock.now += timedelta(minutes=2)
    assert make_site(LEVELUP_OV_SECRET_KEYS=new).reconcile()[0] == 0
    assert (site.meals(), len(site.unrefunded()), site.line.count("/refund")) == (1, 2, 0)


@pytest.mark.rule("WEB-5", "META-7")
def test_a_meal_beside_checkout_under_a_dropped_key(make_site: MakeSite, clock: Clock) -> None:
    old, new = new_secret_key(), new_secret_key()
    site = make_site(LEVELUP_OV_SECRET_KEYS=old)
    merchant, user = site.connect_merchant(), site.connect_user()
    body = meal(merchant, user, note=LOST, discount_amount=0, number="N-1")
    assert submitted_past(site, body).error["code"] == "outcome_unknown"
    with pytest.MonkeyPatch.context() as patch:
        unanswered = Failure("outcome_unknown", "the provider does not answer")
        patch.setattr("levelup_ov.ordering.look_ups.LookUps.find_order", Mock(side_effect=unanswered))
        assert site.charge(body, "K").error["code"] == "outcome_unknown"
    make_site(LEVELUP_OV_SECRET_KEYS=f"{new},{old}").charged(order(merchant, user))
    clock.now += timedelta(minutes=2)
    last = make_site(LEVELUP_OV_SECRET_KEYS=new)
    assert last.reconcile()[0] == 0
    assert (last.meals(), len(last.unrefunded()), last.line.count("/refund")) == (1, 2, 0)


@pytest.mark.rule("WEB-5", "SUB-4", "SUB-5", "STAT-6")
@pytest.mark.parametrize("note", [None, LOST])
def test_a_meal_of_an_account_that_is_gone(
    make_site: MakeSite, site: Site, merchant: str, user: str, tmp_path: Path, note: str | None
) -> None:
    """It was removed from the accounts file, or another host has it already."""
    accounts = tmp_path / "accounts.toml"
    accounts.write_text('[accounts.elsewhere]\nprovider = "sandbox"\nname = "Elsewhere"\n')
    gone, body = make_site(LEVELUP_OV_ACCOUNTS=str(accounts)), meal(merchant, user, note=note)
    if note is None:
        site.charged(body, "K")
    else:
        assert site.charge(body, "K").error["code"] == "outcome_unknown"
        refusal = gone.charge(body, "K")
        assert (refusal.refusal[:2], refusal.error["retryable"]) == ((504, "outcome_unknown"), True)
        assert gone.reconcile()[0] == 1
        assert (len(site.unrefunded()), site.meals()) == (1, 1)
    done = site.charged(body, "K")
    assert gone.charged(body, "K") == done
    canceled = gone.call("POST", f"/orders/{done['id']}/cancellation", Idempotency_Key="C")
    assert canceled.refusal[:2] == (503, "provider_unavailable")
    assert (site.unrefunded(), site.meals()) == ([done["uuid"]], 1)
    assert gone.charge(meal(merchant, user), "L").refusal[:2] == (404, "location_not_found")


def submitted_past(site: Site, body: Any) -> Answer:
    """The same order, sent to its provider past the web checkout."""
    sent = {**body["order_submission"], "tip": 0, "merchant_funded_discount": 0}
    return site.channel.post(body["provider_location_id"], "order_submission", {"order_submission": sent})


@pytest.mark.rule("META-8")
@pytest.mark.parametrize("forged", ["", "x", 1])
def test_a_validation_that_is_not_ours_names_no_submission(
    site: Site, merchant: str, user: str, forged: object
) -> None:
    for key in ("K", "L"):
        body = meal(merchant, user)
        body["order_submission"]["metadata"] = {"order_validation_id": forged}
        site.charged(body, key)
    assert (len(site.unrefunded()), site.meals()) == (2, 2)


def test_where_the_ledger_fails_nothing_is_given_up(
    site: Site, merchant: str, user: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    claim = Claims.claim

    def fail(self: Claims, **arguments: Any) -> Any:
        if arguments["account"] == "sandbox":
            raise LedgerUnavailable
        return claim(self, **arguments)

    body = meal(merchant, user)
    with monkeypatch.context() as patch:
        patch.setattr(Claims, "claim", fail)
        assert site.charge(body, "K").refusal == (504, "outcome_unknown", None)
    assert site.charged(body, "K")["state"] == "submitted"
    assert (len(site.unrefunded()), site.refunded()) == (1, [])


def test_charging_leaves_time_for_the_rest(make_site: MakeSite, merchant: str, user: str) -> None:
    site = make_site(LEVELUP_OV_SUBMISSION_DEADLINE="7")
    site.line.delays["/proposed_orders"] = 3.5
    assert site.charge(meal(merchant, user)).refusal == (504, "provider_timeout", None)
    assert (site.unrefunded(), site.refunded()) == ([], [])


def test_submitting_leaves_time_for_the_refund(
    make_site: MakeSite, merchant: str, user: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Just enough to charge and too little to submit, however long either takes here.
    site = make_site(LEVELUP_OV_SUBMISSION_DEADLINE="7")
    monkeypatch.setattr(net, "now", lambda: 1.2 if site.line.count("/completed_orders") else 0.0)
    assert site.charge(meal(merchant, user)).refusal[:2] == (422, "charge_refunded")
    assert (site.unrefunded(), len(site.refunded()), site.meals()) == ([], 1, 0)


class Killed(BaseException):
    """The process is gone."""


class Killer:
    """Ends the process at its n-th step: a call to others, or a write; what is gone does nothing any more."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._left: int | None = None
        self.dead = False
        for owner, names in (
            (Session, ("call",)),
            (CheckoutStore, ("add_order", "change_order")),
            (Statuses, ("begin_cancellation", "record")),
            (Claims, ("claim",)),
            (Transitions, ("begin_sending", "place", "fail", "lose")),
        ):
            for name in names:
                monkeypatch.setattr(owner, name, self._step(getattr(owner, name)))

    def arm(self, steps: int | None) -> None:
        self._left, self.dead = steps, False

    def _step(self, call: Callable[..., Any]) -> Callable[..., Any]:
        def step(*arguments: Any, **named: Any) -> Any:
            if self._left is not None:
                self._left -= 1
                if self._left < 0:
                    self.dead = True
                    raise Killed
            return call(*arguments, **named)

        return step


@pytest.fixture
def killer(monkeypatch: pytest.MonkeyPatch) -> Iterator[Killer]:
    killer = Killer(monkeypatch)
    yield killer
    killer.arm(None)


def killed_at_each_step(site: Site, killer: Killer, merchant: str, user: str, note: str | None) -> Iterator[Any]:
    """The body and key of a request that was killed one step later each time; time passes after each."""
    for step in range(100):
        body, key = meal(merchant, user, note=note), f"killed at {step}"
        killer.arm(step)
        try:
            site.charge(body, key)
        except Killed:
            pass
        dead = killer.dead
        killer.arm(None)
        if not dead:
            return
        yield body, key
    raise AssertionError("it never ended")


@pytest.mark.rule("SUB-2", "SUB-5")
@pytest.mark.parametrize("note", [None, REFUSED, LOST])
def test_a_crash_at_any_step_is_resolved_by_the_same_request(
    site: Site, merchant: str, user: str, killer: Killer, clock: Clock, note: str | None
) -> None:
    steps = 0
    for steps, (body, key) in enumerate(killed_at_each_step(site, killer, merchant, user, note), start=1):
        pass_time(clock)
        before = (len(site.unrefunded()), site.meals())
        answer = site.charge(body, key)
        while answer.error["code"] == "outcome_unknown" if answer.status >= 400 else False:
            answer = site.charge(body, key)
        check_both_or_neither(site, answer)
        assert answer.status == (422 if note == REFUSED else 200), (steps, before, answer.json)
    assert steps >= 8
    check_nothing_is_left(site, clock)


@pytest.mark.rule("SUB-2", "SUB-5")
@pytest.mark.parametrize("note", [None, REFUSED, LOST])
def test_a_crash_at_any_step_is_resolved_by_the_command(
    site: Site, merchant: str, user: str, killer: Killer, clock: Clock, note: str | None
) -> None:
    for body, key in killed_at_each_step(site, killer, merchant, user, note):
        check_nothing_is_left(site, clock)
        assert len(site.unrefunded()) == site.meals()
        # A request after that gets the truth.
        check_both_or_neither(site, site.charge(body, key))


def check_both_or_neither(site: Site, answer: Answer) -> None:
    assert len(site.unrefunded()) == site.meals(), answer.json
    if answer.status == 200:
        assert answer.json["order"]["uuid"] in site.unrefunded()


def check_nothing_is_left(site: Site, clock: Clock) -> None:
    """The command finishes everything at once."""
    pass_time(clock)
    status, said = site.reconcile()
    assert status == 0, said
    assert site.reconcile() == (0, "0 finished, 0 still unfinished\n")


def pass_time(clock: Clock) -> None:
    """All leases end."""
    clock.now += timedelta(minutes=2)


@pytest.mark.rule("SUB-2")
def test_the_provider_is_connected_while_levelup_charges(
    site: Site, merchant: str, user: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str] = []

    def open_ahead(self: Transport, account: str, base_url: str, own: OwnConnections, deadline: Deadline) -> None:
        seen.append(f"{account} after {len(site.line.calls) - before} calls")
        monkeypatch.setattr(own, "close", lambda: seen.append("closed"))

    monkeypatch.setattr(Transport, "open_ahead", open_ahead)
    before = len(site.line.calls)
    assert [site.charge(meal(merchant, user), "K").status for _ in range(2)] == [200, 200]
    assert seen == ["sandbox after 0 calls", "closed", "closed"]
    site.line.faults["/completed_orders"] = [(422, DECLINED)]
    before = len(site.line.calls)
    assert site.charge(meal(merchant, user), "L").status == 422
    assert seen[3:] == ["sandbox after 0 calls", "closed"]
