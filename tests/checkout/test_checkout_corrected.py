"""A person's settlement of a charged order that was wrong, and is taken back (SUB-5, WEB-5)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from unittest.mock import Mock

import pytest

from levelup_ov.checkout.client import LevelUpSession
from levelup_ov.checkout.store import CheckoutStore
from levelup_ov.ledger.records import Submission
from levelup_ov.ordering.look_ups import LookUps
from tests.channel import Clock
from tests.checkout.site import Site, meal
from tests.checkout.test_checkout_canceled import NO_ANSWER
from tests.checkout.test_checkout_cancellations import cancel
from tests.checkout.test_checkout_money import refusal
from tests.checkout.test_checkout_operator import Watched, watched
from tests.checkout.test_checkout_submissions import LATER, LOST

__all__ = ["watched"]


def row(site: Site) -> Submission:
    """What was submitted to the provider."""
    (found,) = site.app.extensions["levelup_ov"].submissions.ledger.reader.find(account="sandbox")
    return found


def submissions(site: Site, *arguments: str) -> tuple[int, str]:
    result = site.app.test_cli_runner().invoke(args=["submissions", *arguments])
    return result.exit_code, result.output


def lost(site: Site, merchant: str, user: str) -> Any:
    """An order that was charged under the key K, while it is unknown whether the provider has it."""
    body = meal(merchant, user, note=LOST)
    assert site.charge(body, "K").error["code"] == "outcome_unknown"
    return body


def settled(site: Site, *said: str) -> None:
    assert submissions(site, "settle", row(site).id, *said, "--by", "Olive", "--yes")[0] == 0


def corrected(site: Site) -> None:
    assert submissions(site, "correct", row(site).id, "--by", "Olive", "--why", "another table", "--yes")[0] == 0


def number(site: Site, uuid: str) -> str | None:
    submission = site.get(f"/orders/{uuid}")["order"]["order_submission"]
    return submission and str(submission["order_id"])


@pytest.mark.rule("SUB-5", "WEB-5")
def test_a_wrong_number_is_not_told_for_good(site: Site, merchant: str, user: str) -> None:
    body = lost(site, merchant, user)
    (uuid,) = site.unrefunded()
    settled(site, "--placed", "999")
    assert site.charged(body, "K")["order_submission"]["order_id"] == "999"
    corrected(site)
    assert number(site, uuid) is None and site.get(f"/orders/{uuid}")["order"]["state"] == "submitting"
    assert site.reconcile()[0] == 0
    assert number(site, uuid) == str(row(site).order_id) != "999"
    assert site.charged(body, "K")["order_submission"]["order_id"] == row(site).order_id
    assert cancel(site, uuid).status == 200 and site.refunded() == [uuid]


@pytest.mark.rule("SUB-5", "WEB-5")
def test_a_replay_finds_the_right_number_too(site: Site, merchant: str, user: str) -> None:
    body = lost(site, merchant, user)
    settled(site, "--placed", "999")
    site.charged(body, "K")
    corrected(site)
    assert site.charged(body, "K")["order_submission"]["order_id"] == row(site).order_id
    assert (site.meals(), len(site.unrefunded())) == (1, 1)


@pytest.mark.rule("SUB-5", "WEB-5")
def test_another_settlement_replaces_a_wrong_one(site: Site, merchant: str, user: str) -> None:
    body = lost(site, merchant, user)
    settled(site, "--placed", "999")
    charge = site.charged(body, "K")
    corrected(site)
    settled(site, "--placed", "1000")
    assert site.reconcile()[0] == 0 and number(site, charge["uuid"]) == "1000"


@pytest.mark.rule("SUB-5", "WEB-5")
def test_no_charge_stays_for_a_meal_that_is_not_there(site: Site, merchant: str, user: str) -> None:
    body = lost(site, merchant, user)
    settled(site, "--placed", "555")
    uuid = site.charged(body, "K")["uuid"]
    corrected(site)
    settled(site, "--not-placed")
    assert site.reconcile()[0] == 0 and site.refunded() == [uuid]
    assert site.charge(body, "K").error["code"] == "charge_refunded" and number(site, uuid) is None


@pytest.mark.rule("SUB-5", "WEB-5", "EVT-8")
@pytest.mark.parametrize("by", ["reconciliation", "replay", "person"])
def test_a_meal_whose_charge_went_back_is_a_case(
    watched: Watched, merchant: str, user: str, by: str, caplog: pytest.LogCaptureFixture, clock: Clock
) -> None:
    site = watched.site
    body = lost(site, merchant, user)
    settled(site, "--not-placed")
    assert site.reconcile()[0] == 0
    (uuid,) = site.refunded()
    corrected(site)
    if by == "reconciliation":
        assert submissions(site, "reconcile")[0] == 0
    elif by == "person":
        settled(site, "--placed", str(site.meals()))
    done = site.charged(body, "K")
    assert (done["state"], done["problem"]) == ("refunded", None)
    assert str(done["order_submission"]["order_id"]) == str(row(site).order_id) == number(site, uuid)
    assert "submitted_and_refunded" in caplog.messages
    assert "its charge was given back" in site.command("cases")[1] and site.reconcile()[0] == 1
    assert watched.words() == ["submitted_and_refunded"]
    clock.set(LATER)
    assert site.command("settle", uuid, "--by", "Olive", "--why", "the guest has paid there")[0] == 0
    assert site.command("cases")[0] == 0 and site.reconcile()[0] == 0
    assert site.charged(body, "K")["state"] == "refunded"


@pytest.mark.rule("STAT-6", "STAT-7", "EVT-8")
def test_a_meal_that_nobody_makes_or_pays_is_no_case(site: Site, merchant: str, user: str) -> None:
    lost(site, merchant, user)
    settled(site, "--not-placed")
    assert site.reconcile()[0] == 0
    corrected(site)
    assert submissions(site, "reconcile")[0] == 0 and site.command("cases")[0] == 1
    (uuid,) = site.refunded()
    assert cancel(site, uuid).error["code"] == "already_refunded"
    assert site.command("cases")[0] == 0 and site.reconcile()[0] == 0


@pytest.mark.rule("SUB-5", "WEB-3", "WEB-5")
def test_a_meal_is_found_while_its_charge_goes_back(site: Site, merchant: str, user: str, clock: Clock) -> None:
    lost(site, merchant, user)
    settled(site, "--not-placed")
    site.line.faults["/refund"] = ["unreached"]
    assert site.reconcile()[0] == 1 and len(site.unrefunded()) == 1
    corrected(site)
    assert submissions(site, "reconcile")[0] == 0
    assert "its charge is to be given back" in site.command("cases")[1]
    clock.set(LATER)
    assert site.reconcile()[0] == 1 and site.unrefunded() == []
    assert "its charge was given back" in site.command("cases")[1]


@pytest.mark.rule("SUB-5", "WEB-3", "WEB-5")
def test_a_meal_whose_charge_stays_is_reported_as_that(site: Site, merchant: str, user: str) -> None:
    lost(site, merchant, user)
    settled(site, "--not-placed")
    site.line.faults["/refund"] = [refusal(422, "order", "base")] * 9
    assert site.reconcile()[0] == 1 and len(site.unrefunded()) == 1
    corrected(site)
    assert submissions(site, "reconcile")[0] == 0
    said = site.command("cases")[1]
    assert f"has this order as {row(site).order_id}, and its charge could not be given back" in said


@pytest.mark.rule("SUB-5", "WEB-5")
def test_a_refunded_order_is_unknown_again(
    site: Site, merchant: str, user: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    body = lost(site, merchant, user)
    settled(site, "--not-placed")
    site.reconcile()
    corrected(site)
    with monkeypatch.context() as patch:
        patch.setattr(LookUps, "find_order", Mock(side_effect=NO_ANSWER))
        assert site.charge(body, "K").error["code"] == "outcome_unknown"
    settled(site, "--not-placed")
    assert site.charge(body, "K").error["code"] == "charge_refunded" and site.command("cases")[0] == 0


def refused_meanwhile(site: Site, patch: pytest.MonkeyPatch, meanwhile: Callable[[Site], object]) -> None:
    """LevelUp refuses the next refund for good, once ``meanwhile`` has happened."""
    whole = LevelUpSession.refund

    def refund(*arguments: Any) -> Any:
        patch.undo()
        meanwhile(site)
        return whole(*arguments)

    patch.setattr(LevelUpSession, "refund", refund)
    site.line.faults["/refund"] = [refusal(422, "order", "base")]


@pytest.mark.rule("SUB-5", "WEB-5")
@pytest.mark.parametrize("is_there", [True, False])
def test_a_settlement_is_taken_back_while_a_refund_is_refused(
    site: Site, merchant: str, user: str, is_there: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is recorded of the meal by then counts, and not what was when the refund was asked for."""
    lost(site, merchant, user)
    settled(site, "--placed", "999")
    assert site.reconcile()[0] == 0
    (uuid,) = site.unrefunded()
    refused_meanwhile(site, monkeypatch, corrected)
    assert site.refund(uuid, "R").refusal == (422, "refund_refused", None)
    done = site.get(f"/orders/{uuid}")["order"]
    assert (done["state"], done["order_submission"]) == ("submitting", None)
    if not is_there:
        settled(site, "--not-placed")
    assert site.reconcile()[0] == 0
    assert (site.unrefunded(), site.refunded()) == (([uuid], []) if is_there else ([], [uuid]))
    assert number(site, uuid) == (str(row(site).order_id) if is_there else None)


@pytest.mark.rule("SUB-5", "WEB-3", "WEB-5")
def test_a_meal_is_found_while_its_refund_is_refused(
    site: Site, merchant: str, user: str, monkeypatch: pytest.MonkeyPatch, clock: Clock
) -> None:
    """The guest eats, and has paid: nothing is left to settle."""
    body = lost(site, merchant, user)
    settled(site, "--not-placed")
    site.line.faults["/refund"] = ["unreached"]
    assert site.reconcile()[0] == 1
    corrected(site)
    clock.set(LATER)
    refused_meanwhile(site, monkeypatch, lambda _: submissions(site, "reconcile"))
    assert site.reconcile()[0] == 1
    done = site.charged(body, "K")
    assert (done["state"], done["problem"], len(site.unrefunded())) == ("submitted", None, 1)
    assert site.command("cases")[0] == 0 and site.reconcile()[0] == 0


@pytest.mark.rule("SUB-5", "WEB-5")
@pytest.mark.parametrize("by", ["replay", "command"])
def test_a_settlement_is_taken_back_while_it_is_recorded(
    site: Site, merchant: str, user: str, by: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    body = lost(site, merchant, user)
    settled(site, "--placed", "999")
    whole = CheckoutStore.change_order

    def change(store: CheckoutStore, *rest: Any, **named: Any) -> Any:
        if named["values"].get("state") == "submitted":
            monkeypatch.undo()
            corrected(site)
        return whole(store, *rest, **named)

    monkeypatch.setattr(CheckoutStore, "change_order", change)
    if by == "replay":
        assert site.charge(body, "K").refusal == (504, "outcome_unknown", None)
    else:
        assert site.reconcile()[0] == 1
    settled(site, "--not-placed")
    assert site.reconcile()[0] == 0 and len(site.refunded()) == 1
