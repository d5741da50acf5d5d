"""Cancellations that a person decides, what proves them, and whose refund their keys ask for (STAT-7, WEB-6)."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest

from adapters.sandbox import SandboxAdapter
from levelup_ov.checkout.cancellation import Cancellation
from levelup_ov.checkout.client import LevelUpSession
from levelup_ov.config import new_secret_key
from levelup_ov.domain.failure import Failure
from levelup_ov.domain.status import OrderStatus
from levelup_ov.errors import Unanswered
from tests.channel import Clock
from tests.checkout.conftest import MakeSite
from tests.checkout.site import Site, meal, order
from tests.checkout.test_checkout_cancellations import cancel, uuid
from tests.checkout.test_checkout_interrupted import (
    ADAPTER,
    LATER,
    NOTHING,
    _kill,
    interrupted,
    kill_after_cancel,
    refund_pending,
    stage,
    state,
)
from tests.checkout.test_checkout_money import refusal
from tests.checkout.test_checkout_submissions import Killed, submitted_past

__all__ = ["interrupted", "uuid"]


def status_of(monkeypatch: pytest.MonkeyPatch, status: Callable[[str], OrderStatus] | Exception) -> None:
    """What the provider reports of every order."""

    def show_status(_adapter: object, _location: object, _id: str, reference: str, _session: object) -> OrderStatus:
        if isinstance(status, Exception):
            raise status
        return status(reference)

    monkeypatch.setattr(f"{ADAPTER}.show_status", show_status)


def made(reference: str) -> OrderStatus:
    return OrderStatus("cooking", reference=reference)


NO_ANSWER = Unanswered("provider_timeout", "no answer", sent=True)
GONE = Unanswered("provider_protocol_error", "no such order", sent=True)


@pytest.fixture
def unrefunded(site: Site, uuid: str, clock: Clock) -> str:
    """An order that is proven to be canceled; LevelUp asks for a manager's confirmation of its refund."""
    site.line.faults["/refund"] = [refusal(422, "refund", "manager_confirmation")]
    assert cancel(site, uuid).error["code"] == "manager_confirmation_required"
    clock.set(LATER)
    return uuid


@pytest.mark.rule("STAT-7", "EVT-8")
@pytest.mark.parametrize("asks_again", [False, True], ids=["command", "site"])
def test_a_proof_that_is_contradicted_is_a_persons(
    site: Site, unrefunded: str, monkeypatch: pytest.MonkeyPatch, clock: Clock, asks_again: bool
) -> None:
    with monkeypatch.context() as patch:
        status_of(patch, made)
        if asks_again:
            patch.setattr(f"{ADAPTER}.cancel_order", lambda *_: None)
            assert cancel(site, unrefunded).error["code"] == "cancellation_unknown"
        clock.set("2030-06-03T16:04Z")
        for _ in range(2):
            assert site.reconcile()[0] == 1
        status, said = site.command("cases")
        assert status == 1 and unrefunded in said and "was canceled, and is preparing now" in said
    # It is canceled after all.
    assert site.reconcile()[0] == 0 and site.refunded() == [unrefunded]
    assert site.command("cases")[0] == 0


@pytest.mark.rule("STAT-7")
@pytest.mark.parametrize("status", [NO_ANSWER, GONE], ids=["no answer", "gone"])
def test_a_proof_needs_no_second_one(
    site: Site, unrefunded: str, monkeypatch: pytest.MonkeyPatch, status: Exception
) -> None:
    status_of(monkeypatch, status)
    assert site.reconcile()[0] == 0
    assert site.refunded() == [unrefunded]


@pytest.mark.rule("STAT-7", "EVT-8")
@pytest.mark.parametrize("status", [NO_ANSWER, GONE], ids=["no answer", "gone"])
def test_an_order_that_its_provider_forgot_is_a_persons(
    site: Site, interrupted: str, monkeypatch: pytest.MonkeyPatch, clock: Clock, status: Exception
) -> None:
    with monkeypatch.context() as patch:
        status_of(patch, status)
        assert site.reconcile()[0] == 1 and site.command("cases")[0] == 0
        clock.set("2030-06-04T16:01Z")
        assert site.reconcile()[0] == 1 and interrupted in site.command("cases")[1]
        done = site.command("settle", interrupted, "--by", "Olive", "--why", "paid back by transfer")
        assert done[0] == 0 and "settled" in done[1]
    assert site.reconcile() == NOTHING and site.command("cases")[0] == 0
    answer = cancel(site, interrupted)
    assert answer.refusal == (502, "refund_impossible", None) and "canceled" in answer.error["message"]
    assert site.line.count("/refund") == 0


@pytest.mark.rule("STAT-6", "STAT-7")
def test_a_meal_that_a_person_left_is_not_canceled(
    site: Site, uuid: str, monkeypatch: pytest.MonkeyPatch, clock: Clock
) -> None:
    def lose(*_: object) -> None:
        raise NO_ANSWER

    with monkeypatch.context() as patch:
        patch.setattr(f"{ADAPTER}.cancel_order", lose)
        assert cancel(site, uuid).error["code"] == "cancellation_unknown"
    clock.set(LATER)
    assert site.command("settle", uuid, "--by", "Olive", "--why", "the restaurant makes it")[0] == 0
    # The site still asks for the outcome of its request.
    assert cancel(site, uuid).refusal == (502, "refund_impossible", None)
    assert (stage(site, uuid), site.unrefunded()) == ("preparing", [uuid])


@pytest.mark.rule("STAT-7")
@pytest.mark.parametrize("since", [{}, {"since": 1 << 42}], ids=["not recorded", "clock set back"])
def test_a_day_of_unknown_begin_begins_now(
    site: Site, uuid: str, monkeypatch: pytest.MonkeyPatch, clock: Clock, since: dict[str, int]
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(Cancellation, "stored", lambda it: json.dumps({"asked": it.asked, "mark": it.mark, **since}))
        kill_after_cancel(site, uuid, monkeypatch)
    status_of(monkeypatch, NO_ANSWER)
    for now, cases in (("03T16:02", 0), ("04T16:01", 0), ("04T16:02", 1)):
        clock.set(f"2030-06-{now}Z")
        assert site.reconcile()[0] == 1 and site.command("cases")[0] == cases


@pytest.mark.rule("STAT-7")
def test_nobody_settles_what_may_still_go_on(
    site: Site, uuid: str, monkeypatch: pytest.MonkeyPatch, clock: Clock
) -> None:
    settle = ("settle", uuid, "--by", "Olive", "--why", "the restaurant says so")
    assert "needs no settling" in site.command(*settle)[1]
    kill_after_cancel(site, uuid, monkeypatch)
    assert "another request" in site.command(*settle)[1]
    clock.set(LATER)
    assert site.command(*settle)[0] == 0 and site.reconcile() == NOTHING


@pytest.mark.rule("STAT-7", "WEB-3")
def test_nobody_settles_while_a_refund_may_still_arrive(site: Site, uuid: str, clock: Clock) -> None:
    settle = ("settle", uuid, "--by", "Olive", "--why", "paid back by transfer")
    kept: list[Any] = []
    site.line.keeps["/refund"] = kept
    assert cancel(site, uuid).error["code"] == "refund_pending"
    del site.line.keeps["/refund"]
    assert "another request" in site.command(*settle)[1]
    kept[0]()
    assert site.refunded() == [uuid] and "another request" in site.command(*settle)[1]
    clock.set(LATER)
    assert site.reconcile()[0] == 0 and state(site, uuid) == "refunded"
    assert "needs no settling" in site.command(*settle)[1]


@pytest.mark.rule("STAT-7")
@pytest.mark.parametrize(("place", "call"), [(SandboxAdapter, "show_status"), (LevelUpSession, "refund")])
def test_nobody_settles_a_case_that_is_just_being_refunded(
    make_site: MakeSite, interrupted: str, monkeypatch: pytest.MonkeyPatch, clock: Clock, place: type, call: str
) -> None:
    one, two = make_site(), make_site()
    with monkeypatch.context() as patch:
        status_of(patch, NO_ANSWER)
        clock.set("2030-06-04T16:01Z")
        assert one.reconcile()[0] == 1 and interrupted in one.command("cases")[1]
    whole, said = getattr(place, call), []

    def beside(*arguments: Any) -> Any:
        if not said:
            said.append(two.command("settle", interrupted, "--by", "Olive", "--why", "paid back by transfer")[1])
        return whole(*arguments)

    monkeypatch.setattr(place, call, beside)
    assert cancel(one, interrupted).status == 200
    assert "another request" in said[0] and state(one, interrupted) == "refunded"


@pytest.mark.rule("STAT-7", "WEB-6")
def test_a_key_belongs_to_one_body_before_the_provider_is_asked(site: Site, uuid: str, interrupted: str) -> None:
    other = {"refund": {"manager_confirmation": "1"}}
    calls = len(site.line.calls)
    for path in ("cancellation", "refund"):
        answer = site.call("POST", f"/orders/{interrupted}/{path}", other, Idempotency_Key="C")
        assert answer.refusal == (422, "idempotency_key_reused", None)
    assert len(site.line.calls) == calls


@pytest.mark.rule("STAT-7", "WEB-6")
@pytest.mark.parametrize("path", ["cancellation", "refund"])
def test_a_key_has_the_body_that_was_refunded(site: Site, unrefunded: str, path: str) -> None:
    """Its first request was refused, and had another body."""
    for replayed in (None, "true"):
        answer = site.call(
            "POST", f"/orders/{unrefunded}/{path}", {"refund": {"manager_confirmation": "1"}}, Idempotency_Key="C"
        )
        assert (answer.status, answer.headers.get("Idempotency-Replayed")) == (200, replayed)
    assert cancel(site, unrefunded).refusal == (422, "idempotency_key_reused", None)


@pytest.mark.rule("WEB-6")
def test_a_reused_key_cancels_nothing(site: Site, uuid: str) -> None:
    refund_pending(site, uuid)
    other = {"refund": {"manager_confirmation": "1"}}
    answer = site.call("POST", f"/orders/{uuid}/cancellation", other, Idempotency_Key="R")
    assert answer.refusal == (422, "idempotency_key_reused", None)
    assert stage(site, uuid) == "placed"


@pytest.mark.rule("STAT-7", "WEB-6")
@pytest.mark.parametrize("refused", [False, True], ids=["refunded", "refused"])
def test_a_cancellation_during_a_refund(
    make_site: MakeSite, uuid: str, monkeypatch: pytest.MonkeyPatch, clock: Clock, refused: bool
) -> None:
    one, two = make_site(), make_site()
    whole = LevelUpSession.refund
    answers: list[Any] = []

    def refund(*arguments: Any) -> Any:
        if not answers:
            answers.append(None)
            answers[0] = cancel(two, uuid)
        return whole(*arguments)

    monkeypatch.setattr(LevelUpSession, "refund", refund)
    one.line.faults["/refund"] = [refusal(422, "order", "base")] * (2 if refused else 0)
    assert one.refund(uuid, "R").status == (502 if refused else 200)
    # The refund was still under way.
    assert (answers[0].error["code"], stage(one, uuid)) == ("submission_in_progress", "cancelled")
    clock.set(LATER)
    if refused:
        assert one.reconcile()[0] == 1 and uuid in one.command("cases")[1]
    else:
        assert one.reconcile() == NOTHING
        assert cancel(one, uuid).headers["Idempotency-Replayed"] == "true"
    assert state(one, uuid) == ("stuck" if refused else "refunded")


@pytest.mark.rule("STAT-7")
def test_a_host_that_was_suspended_cancels_nothing(
    make_site: MakeSite, uuid: str, monkeypatch: pytest.MonkeyPatch, clock: Clock
) -> None:
    one, two = make_site(), make_site()
    whole = SandboxAdapter.show_status

    def suspended(*arguments: Any) -> Any:
        status = whole(*arguments)
        if clock() < (later := datetime.fromisoformat(LATER)):
            clock.now = later
            assert two.reconcile()[0] == 0
        return status

    monkeypatch.setattr(SandboxAdapter, "show_status", suspended)
    assert cancel(one, uuid).error["code"] == "submission_in_progress"
    assert (stage(one, uuid), state(one, uuid), one.reconcile()) == ("preparing", "submitted", NOTHING)


@pytest.mark.rule("STAT-7")
def test_a_request_that_failed_before_it_canceled_is_finished(
    site: Site, uuid: str, monkeypatch: pytest.MonkeyPatch, clock: Clock
) -> None:
    with monkeypatch.context() as patch:
        status_of(patch, NO_ANSWER)
        assert cancel(site, uuid).error["code"] == "provider_timeout"
    # Meanwhile the restaurant cancels it.
    site.call_off(clock())
    clock.set(LATER)
    assert site.reconcile()[0] == 0 and site.refunded() == [uuid]


@pytest.mark.rule("STAT-7")
def test_a_refund_that_finds_no_slot_is_finished(
    site: Site, uuid: str, monkeypatch: pytest.MonkeyPatch, clock: Clock
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(LevelUpSession, "refund", _busy)
        assert cancel(site, uuid).error["code"] == "provider_busy"
    assert (stage(site, uuid), state(site, uuid)) == ("cancelled", "refunding")
    clock.set(LATER)
    assert site.reconcile()[0] == 0 and site.refunded() == [uuid]


def _busy(*_: object) -> None:
    raise Failure("provider_busy", "all slots are taken")


@pytest.mark.rule("STAT-7")
def test_a_settled_order_that_is_canceled_is_reported_so(site: Site, unrefunded: str) -> None:
    for by, why in (("Olive", "  "), ("", "paid back by transfer")):
        assert site.command("settle", unrefunded, "--by", by, "--why", why)[0] == 2, "nobody, or nothing, settles it"
    done = site.command("settle", unrefunded, "--by", "Olive", "--why", "paid back by transfer")
    assert done[0] == 0
    answer = cancel(site, unrefunded)
    assert answer.refusal == (502, "refund_impossible", None)
    assert answer.error["message"] == "this order was canceled (the operator has settled this order)"


@pytest.mark.rule("WEB-6", "STAT-7")
def test_a_refund_that_a_cancellation_overtook_is_reported(
    make_site: MakeSite, uuid: str, monkeypatch: pytest.MonkeyPatch, clock: Clock
) -> None:
    one, two = make_site(), make_site()
    whole = LevelUpSession.order
    hung: list[Any] = []

    def read(*arguments: Any) -> Any:
        if not hung:
            hung.append(None)
            clock.set(LATER)
            hung[0] = cancel(two, uuid)
        return whole(*arguments)

    monkeypatch.setattr(LevelUpSession, "order", read)
    answer = one.refund(uuid, "R")
    assert hung[0].status == 200 and (answer.status, one.refunded()) == (200, [uuid])
    assert one.refund(uuid, "R").headers["Idempotency-Replayed"] == "true"
    assert one.refund(uuid, "S").refusal == (422, "already_refunded", None)
    assert one.line.count("/refund") == 1


@pytest.mark.rule("STAT-7")
def test_a_canceled_order_is_reported_as_being_refunded(site: Site, unrefunded: str) -> None:
    found = site.get(f"/orders/{unrefunded}")["order"]
    assert (found["state"], found["problem"]) == ("refunding", None)


@pytest.mark.rule("STAT-6", "STAT-7")
@pytest.mark.parametrize("interrupts", [False, True], ids=["site", "command"])
@pytest.mark.parametrize("placed", ["at once", "beside checkout", "at the second attempt"])
def test_a_cancellation_needs_no_key_of_that_time(
    make_site: MakeSite, clock: Clock, monkeypatch: pytest.MonkeyPatch, interrupts: bool, placed: str
) -> None:
    """Keys are changed one after another, and the first one is dropped."""
    old, new = new_secret_key(), new_secret_key()
    first = make_site(LEVELUP_OV_SECRET_KEYS=old)
    merchant, user = first.connect_merchant(), first.connect_user()
    body = meal(merchant, user, discount_amount=0, number="N-1")
    if placed == "beside checkout":
        assert submitted_past(first, body).status == 200
    elif placed == "at the second attempt":
        with monkeypatch.context() as patch, pytest.raises(Killed):
            patch.setattr("levelup_ov.ordering.service.Service._place_order", _kill)
            first.charge(body, "K")
        clock.now += timedelta(minutes=2)
    uuid = first.charged(body, "K")["uuid"]
    if interrupts:
        kill_after_cancel(first, uuid, monkeypatch)
        clock.now += timedelta(minutes=2)
    # The tokens are sealed again where they are used.
    make_site(LEVELUP_OV_SECRET_KEYS=f"{new},{old}").charged(order(merchant, user))
    last = make_site(LEVELUP_OV_SECRET_KEYS=new)
    if interrupts:
        assert last.reconcile()[0] == 0
    else:
        assert cancel(last, uuid).json["order"]["state"] == "refunded"
    assert last.refunded() == [uuid]
