"""What is not finished after a day is a person's, whatever LevelUp or a provider answers (WEB-3, STAT-7)."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from levelup_ov.config import load_settings, new_secret_key
from tests.channel import Clock
from tests.checkout.conftest import MakeSite
from tests.checkout.site import PAYMENT, Site, meal, order
from tests.checkout.test_checkout_canceled import NO_ANSWER, status_of
from tests.checkout.test_checkout_cancellations import cancel, uuid
from tests.checkout.test_checkout_interrupted import (
    ADAPTER,
    LATER,
    NOTHING,
    interrupted,
    kill_after_cancel,
    refund_pending,
    state,
)
from tests.checkout.test_checkout_money import refusal
from tests.checkout.test_checkout_submissions import REFUSED

__all__ = ["interrupted", "uuid"]

A_DAY_LATER = "2030-06-04T16:10Z"
MANAGER = refusal(422, "refund", "manager_confirmation")
ANSWERS = (
    "unreached", (202, {}), (429, []), (500, {}), (503, []), (403, []), (404, [{"error": {"object": "order"}}]),
    refusal(422, "refund", "closed"),
)  # fmt: skip
"""Of a refund: what is not documented, or proves nothing."""


def asked_for(site: Site, merchant: str, user: str, answer: Any) -> str:
    """An order whose refund the site has requested."""
    uuid = str(site.charged(order(merchant, user, discount_amount=0))["uuid"])
    site.line.faults[f"/{uuid}/refund"] = ["unreached", *[answer] * 99]
    assert site.refund(uuid, "K").error["code"] == "refund_pending"
    return uuid


def canceled(site: Site, merchant: str, user: str, answer: Any) -> str:
    """An order that its provider has canceled."""
    uuid = str(site.charged(meal(merchant, user, discount_amount=0))["uuid"])
    site.line.faults[f"/{uuid}/refund"] = [answer] * 99
    assert cancel(site, uuid, "K").status != 200
    return uuid


def not_placed(site: Site, merchant: str, user: str, answer: Any) -> str:
    """An order that its provider has refused."""
    site.line.faults["/refund"] = [answer] * 3
    before = site.unrefunded()
    body = meal(merchant, user, discount_amount=0, note=REFUSED)
    assert site.charge(body, f"M{len(before)}").error["code"] == "refund_pending"
    (uuid,) = set(site.unrefunded()) - set(before)
    site.line.faults = {**site.line.faults, "/refund": [], f"/{uuid}/refund": [answer] * 99}
    return uuid


@pytest.mark.rule("WEB-3", "STAT-7", "EVT-8")
@pytest.mark.parametrize("why", [asked_for, canceled, not_placed], ids=lambda why: why.__name__)
def test_a_refund_that_is_not_made_for_a_day_is_a_persons(
    site: Site, merchant: str, user: str, clock: Clock, why: Callable[..., str], caplog: pytest.LogCaptureFixture
) -> None:
    answers = {why(site, merchant, user, answer): answer for answer in ANSWERS}
    for now in (LATER, "2030-06-04T15:59Z"):
        clock.set(now)
        assert site.reconcile()[0] == 1 and site.command("cases")[0] == 0
    clock.set(A_DAY_LATER)
    caplog.clear()
    assert site.reconcile()[0] == 1
    status, said = site.command("cases")
    assert status == 1
    assert [answer for id, answer in answers.items() if id not in said] == []
    assert caplog.messages.count("order_needs_settling") == len(answers)
    for id in answers:
        told = site.refund(id, "K").error
        assert (told["code"], told["retryable"]) == ("refund_impossible", False) or answers[id] == (403, [])
        assert "support has been notified" in told["message"] or answers[id] == (403, [])
    clock.set("2030-06-04T16:12Z")
    for id in answers:
        assert site.command("settle", id, "--by", "Olive", "--why", "paid back by transfer")[0] == 0
    assert site.reconcile() == NOTHING and site.command("cases")[0] == 0 and site.refunded() == []


@pytest.mark.rule("STAT-7")
@pytest.mark.parametrize("answer", ["unreached", MANAGER], ids=["down", "manager"])
def test_a_cancellation_is_finished_while_a_refund_waits(
    site: Site, uuid: str, monkeypatch: pytest.MonkeyPatch, clock: Clock, answer: Any
) -> None:
    refund_pending(site, uuid)
    kill_after_cancel(site, uuid, monkeypatch)
    site.line.faults["/refund"] = [answer] * 5
    for now, cases in (("03T16:02", 0), ("03T16:04", 0), ("04T16:04", 1)):
        clock.set(f"2030-06-{now}Z")
        assert site.reconcile()[0] == 1 and site.command("cases")[0] == cases
    # LevelUp refuses for good, and nobody makes the meal.
    site.line.faults["/refund"] = [refusal(422, "order", "base")]
    clock.set("2030-06-04T16:10Z")
    assert site.reconcile()[0] == 1 and state(site, uuid) == "stuck"


@pytest.mark.rule("STAT-7")
@pytest.mark.parametrize("known", [True, False], ids=["made", "unknown"])
def test_a_refund_does_not_wait_for_a_cancellation(
    site: Site, uuid: str, monkeypatch: pytest.MonkeyPatch, clock: Clock, known: bool
) -> None:
    refund_pending(site, uuid)
    with monkeypatch.context() as patch:
        patch.setattr(f"{ADAPTER}.cancel_order", lambda *_: None)
        kill_after_cancel(site, uuid, monkeypatch)
    if not known:
        status_of(monkeypatch, NO_ANSWER)
    clock.set(LATER)
    assert site.reconcile()[0] == 0 and site.refunded() == [uuid]
    assert site.refund(uuid, "R").headers["Idempotency-Replayed"] == "true"


@pytest.mark.rule("STAT-7")
def test_a_site_that_keeps_asking_hides_no_unknown_cancellation(
    site: Site, interrupted: str, monkeypatch: pytest.MonkeyPatch, clock: Clock
) -> None:
    with monkeypatch.context() as patch:
        status_of(patch, NO_ANSWER)
        for hour in range(0, 27, 2):
            assert cancel(site, interrupted).error["code"] == "provider_timeout"
            clock.now += timedelta(seconds=20)
            assert site.reconcile()[0] == site.command("cases")[0] == (hour >= 24)
            clock.now += timedelta(hours=2, seconds=-20)
    assert cancel(site, interrupted).status == 200 and site.command("cases")[0] == 0


@pytest.mark.rule("STAT-7")
def test_a_site_that_keeps_asking_leaves_time_to_settle(
    site: Site, interrupted: str, monkeypatch: pytest.MonkeyPatch, clock: Clock
) -> None:
    status_of(monkeypatch, NO_ANSWER)
    clock.set(A_DAY_LATER)
    codes = []
    for _ in range(3):
        codes.append(cancel(site, interrupted).error["code"])
        settled = site.command("settle", interrupted, "--by", "Olive", "--why", "paid back by transfer")
        clock.now += timedelta(seconds=30)
    assert codes == ["provider_timeout", "cancellation_unknown", "cancellation_unknown"] and settled[0] == 0


@pytest.mark.rule("WEB-6")
@pytest.mark.parametrize("refunded", [True, False])
def test_a_refund_key_outlives_the_secret_keys(
    make_site: MakeSite, environ: dict[str, str], uuid: str, refunded: bool
) -> None:
    one = make_site()
    if refunded:
        one.done(one.refund(uuid, "R", manager_confirmation="1"))
    else:
        one.line.faults["/refund"] = ["unreached"]
        assert one.refund(uuid, "R", manager_confirmation="1").error["code"] == "refund_pending"
    old = load_settings(environ).secret_keys[0].reveal()
    two = make_site(LEVELUP_OV_SECRET_KEYS=f"{new_secret_key()},{old}")
    assert two.refund(uuid, "R", manager_confirmation="2").error["code"] == "idempotency_key_reused"
    assert two.done(two.refund(uuid, "R", manager_confirmation="1"))["order"]["state"] == "refunded"
    assert two.refund(uuid, "R").error["code"] == "idempotency_key_reused"


@pytest.mark.rule("WEB-6")
def test_the_last_twenty_keys_of_a_refund_are_replayed(site: Site, uuid: str, clock: Clock) -> None:
    site.line.faults["/refund"] = ["unreached"] * 22
    for number in range(22):
        assert site.refund(uuid, f"K{number}").error["code"] == "refund_pending"
    assert site.reconcile()[0] == 0
    for number in (21, 2):
        assert site.refund(uuid, f"K{number}").headers["Idempotency-Replayed"] == "true"
    for number in (1, 0):
        assert site.refund(uuid, f"K{number}").refusal == (422, "already_refunded", None)


@pytest.mark.rule("WEB-3")
def test_a_clock_set_back_hides_no_charge_that_goes_back(site: Site, merchant: str, user: str, clock: Clock) -> None:
    clock.set("2031-06-03T16:00Z")
    not_placed(site, merchant, user, MANAGER)
    for day, cases in ((3, 0), (4, 1)):
        clock.set(f"2030-06-0{day}T16:02Z")
        assert site.reconcile()[0] == 1 and site.command("cases")[0] == cases


@pytest.mark.rule("WEB-2")
def test_a_charge_that_is_unknown_for_a_day_is_a_persons(
    make_site: MakeSite, merchant: str, user: str, clock: Clock
) -> None:
    site = make_site()
    for path in ("/completed_orders", "/orders"):
        site.line.faults[path] = ["unreached"] * 99
    assert site.charge(order(merchant, user), "K").error["code"] == "outcome_unknown"
    for now, cases in (("03T16:05", 0), ("04T16:04", 0), ("04T16:05", 1)):
        clock.set(f"2030-06-{now}Z")
        assert site.reconcile()[0] == 1 and site.command("cases")[0] == cases
    assert "unknown whether this was charged" in site.command("cases")[1]
    # It is still looked for, and the case is closed when LevelUp answers. This process has paused its calls.
    site.line.faults.clear()
    clock.set("2030-06-04T16:11Z")
    other = make_site()
    assert other.reconcile()[0] == 1
    clock.set("2030-06-04T16:12Z")
    assert other.reconcile()[0] == 0 and other.command("cases")[0] == 0


@pytest.mark.rule("WEB-3")
def test_the_command_leaves_a_person_time_to_settle(site: Site, merchant: str, user: str, clock: Clock) -> None:
    uuid = canceled(site, merchant, user, "unreached")
    later = asked_for(site, merchant, user, "unreached")
    clock.set(LATER)
    assert site.reconcile()[0] == 1
    clock.set(A_DAY_LATER)
    settle = ("settle", uuid, "--by", "Olive", "--why", "paid back by transfer")
    assert site.reconcile()[0] == 1
    calls = site.line.count("/refund")
    assert "try again in 55 seconds" in site.command(*settle)[1]
    clock.set("2030-06-04T16:11Z")
    assert site.reconcile()[0] == 1 and site.line.count("/refund") == calls
    assert site.command(*settle)[0] == 0
    # A refund that arrives late is noticed all the same.
    site.levelup.call("POST", f"/v15/orders/{later}/refund", auth=site.levelup.merchant_auth())
    assert site.reconcile()[0] == 0 and state(site, later) == "refunded"


@pytest.mark.rule("WEB-2")
def test_a_site_that_keeps_asking_leaves_time_to_settle_a_charge(site: Site, merchant: str, clock: Clock) -> None:
    body = order(merchant, site.connect_user(permissions=PAYMENT))
    site.line.faults["/completed_orders"] = [(504, b"")] * 999

    def ask() -> None:
        assert site.charge(body, "K").refusal == (504, "outcome_unknown", None)
        # LevelUp is well, but for this call.
        assert site.get(f"/merchants/{merchant}/locations")

    ask()
    for now in (LATER, A_DAY_LATER):
        clock.set(now)
        assert site.reconcile()[0] == 1 and site.get(f"/merchants/{merchant}/locations")
    (id,) = (line.split()[0] for line in site.command("cases")[1].splitlines()[:1])
    asked = site.line.count("/completed_orders")
    for _ in range(20):
        ask()
        clock.now += timedelta(seconds=3)
    assert site.line.count("/completed_orders") == asked
    assert site.command("settle", id, "--by", "Olive", "--why", "none at LevelUp")[0] == 0
    assert site.charge(body, "K").error["code"] == "refund_impossible"
