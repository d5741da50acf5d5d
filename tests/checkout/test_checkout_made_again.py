"""Orders that the restaurant makes again after their cancellation was proven (STAT-7, EVT-8)."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any
from unittest.mock import Mock

import pytest

from levelup_ov.checkout.client import LevelUpSession
from levelup_ov.checkout.refunds import Refunds
from levelup_ov.checkout.store import CheckoutStore
from levelup_ov.domain.status import OrderStatus
from tests.channel import Clock
from tests.checkout.test_checkout_called_off import FOR_GOOD, call_off
from tests.checkout.test_checkout_canceled import NO_ANSWER, status_of
from tests.checkout.test_checkout_cancellations import cancel, uuid
from tests.checkout.test_checkout_interrupted import ADAPTER, LATER, NOTHING, state
from tests.checkout.test_checkout_operator import Watched, watched

__all__ = ["uuid", "watched"]

pytestmark = pytest.mark.rule("STAT-7", "EVT-8")

DOWN = (503, {})


@pytest.fixture
def owed(watched: Watched, uuid: str, clock: Clock) -> str:
    """An order that is proven to be canceled, while LevelUp answers no refund."""
    watched.site.line.faults["/refund"] = [DOWN]
    assert cancel(watched.site, uuid).error["code"] == "refund_pending"
    clock.set(LATER)
    return uuid


def makes(monkeypatch: pytest.MonkeyPatch, word: str = "cooking") -> None:
    status_of(monkeypatch, lambda reference: OrderStatus(word, reference=reference))


def test_it_is_not_refunded_without_a_person(
    watched: Watched, owed: str, monkeypatch: pytest.MonkeyPatch, clock: Clock
) -> None:
    site = watched.site
    call_off(site, owed, "cooking")
    (data,) = watched.reported()
    assert (data["what"], data["levelup_uuid"]) == ("cancellation_unproven", owed)
    makes(monkeypatch)
    for _ in range(3):
        clock.now += timedelta(minutes=5)
        assert site.reconcile()[0] == 1 and site.refunded() == []
    status, said = site.command("cases")
    assert status == 1 and "was canceled, and is preparing now; LevelUp has not made the refund" in said
    # What is known of it last counts if no more is known.
    status_of(monkeypatch, NO_ANSWER)
    assert site.reconcile()[0] == 1 and site.refunded() == [] and site.line.count("/refund") == 1
    assert site.command("settle", owed, "--by", "Olive", "--why", "the guest gets the meal")[0] == 0
    assert (site.reconcile(), site.unrefunded(), watched.words()) == (NOTHING, [owed], ["cancellation_unproven"])


def test_it_is_refunded_once_it_is_canceled_after_all(watched: Watched, owed: str, clock: Clock) -> None:
    site = watched.site
    for word in ("cooking", "in orbit", "called-off", "cooking", "called-off"):
        call_off(site, owed, word)
        assert site.command("cases")[0] == (word != "called-off"), word
    assert site.reconcile()[0] == 0 and site.refunded() == [owed]
    assert watched.words() == ["cancellation_unproven"]


@pytest.mark.parametrize("asks", ["cancellation", "refund"])
def test_the_site_may_still_ask(watched: Watched, owed: str, asks: str) -> None:
    site = watched.site
    call_off(site, owed, "cooking")
    assert site.call("POST", f"/orders/{owed}/{asks}", None, Idempotency_Key="C").status == 200
    assert site.refunded() == [owed] and site.command("cases")[0] == (asks == "refund")
    # A refund alone leaves the restaurant with the order.
    assert watched.words() == ["cancellation_unproven", "submitted_and_refunded"][: 1 + (asks == "refund")]


def test_a_refund_that_was_made_is_found(
    watched: Watched, uuid: str, monkeypatch: pytest.MonkeyPatch, clock: Clock
) -> None:
    """LevelUp has made it, and its answer was lost."""
    site = watched.site
    site.line.faults["/refund"] = ["lost"]
    assert cancel(site, uuid).error["code"] == "refund_pending"
    clock.set(LATER)
    call_off(site, uuid, "cooking")
    makes(monkeypatch)
    with monkeypatch.context() as patch:
        patch.setattr(LevelUpSession, "order", Mock(side_effect=NO_ANSWER))
        assert site.reconcile()[0] == 1 and state(site, uuid) == "refunding"
        assert "it is not known whether LevelUp has made the refund" in site.command("cases")[1]
    assert site.reconcile()[0] == 1 and state(site, uuid) == "refunded"
    assert site.line.count("/refund") == 1 and "its charge was given back" in site.command("cases")[1]
    assert watched.words() == ["cancellation_unproven", "submitted_and_refunded"]


def test_a_refund_of_a_part_is_a_case(
    watched: Watched, owed: str, monkeypatch: pytest.MonkeyPatch, clock: Clock
) -> None:
    site = watched.site
    call_off(site, owed, "cooking")
    makes(monkeypatch)
    whole = LevelUpSession.order

    def part(*arguments: Any) -> Any:
        return replace(whole(*arguments), refunded_at=clock(), total=1)

    monkeypatch.setattr(LevelUpSession, "order", part)
    assert site.reconcile()[0] == 1 and state(site, owed) == "stuck"
    assert "LevelUp gave back 1 of" in site.command("cases")[1]


def test_a_restaurant_that_makes_a_refunded_order_is_called(watched: Watched, uuid: str, clock: Clock) -> None:
    site = watched.site
    assert cancel(site, uuid).status == 200
    for word, cases in (("cooking", 1), ("called-off", 0), ("cooking", 1), ("waiting", 1)):
        call_off(site, uuid, word)
        assert site.command("cases")[0] == cases, word
    (data,) = watched.reported()
    assert (data["what"], data["levelup_uuid"], data["order_id"]) == ("submitted_and_refunded", uuid, 1)
    assert site.command("cases")[0] == 1
    clock.set(LATER)
    assert site.command("settle", uuid, "--by", "Olive", "--why", "they stopped")[0] == 0
    assert (state(site, uuid), site.reconcile()) == ("refunded", NOTHING)


def test_it_is_made_again_while_it_is_being_refunded(
    watched: Watched, owed: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    site, whole = watched.site, LevelUpSession.refund

    def refund(*arguments: Any) -> Any:
        call_off(site, owed, "cooking")
        return whole(*arguments)

    monkeypatch.setattr(LevelUpSession, "refund", refund)
    assert site.reconcile()[0] == 1 and site.refunded() == [owed]
    assert watched.words() == ["cancellation_unproven", "submitted_and_refunded"]


def test_it_is_made_again_while_its_refund_is_recorded(
    watched: Watched, owed: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    site, refund, read = watched.site, LevelUpSession.refund, CheckoutStore.order

    def refund_it(*arguments: Any) -> Any:
        monkeypatch.setattr(CheckoutStore, "order", read_before)
        return refund(*arguments)

    def read_before(*arguments: Any) -> Any:
        monkeypatch.setattr(CheckoutStore, "order", read)
        found = read(*arguments)
        call_off(site, owed, "cooking")
        return found

    monkeypatch.setattr(LevelUpSession, "refund", refund_it)
    site.reconcile()
    call_off(site, owed, "cooking")
    assert (site.refunded(), state(site, owed), site.command("cases")[0]) == ([owed], "refunded", 1)


def test_it_is_made_again_just_before_its_refund(watched: Watched, owed: str, monkeypatch: pytest.MonkeyPatch) -> None:
    site = watched.site
    whole = Refunds.take

    def take(*arguments: Any) -> Any:
        call_off(site, owed, "cooking")
        return whole(*arguments)

    monkeypatch.setattr(Refunds, "take", take)
    assert site.reconcile()[0] == 1 and site.refunded() == []
    assert site.command("cases")[0] == 1


@pytest.fixture
def stuck(watched: Watched, uuid: str, clock: Clock) -> str:
    """An order that is proven to be canceled, and that LevelUp does not refund."""
    watched.site.line.faults["/refund"] = [FOR_GOOD]
    assert cancel(watched.site, uuid).error["code"] == "refund_impossible"
    clock.set(LATER)
    assert state(watched.site, uuid) == "stuck"
    return uuid


@pytest.mark.rule("STAT-6", "WEB-3")
@pytest.mark.parametrize("word", ["cooking", "called-off"])
def test_a_refund_that_failed_leaves_the_meal_to_a_person(
    watched: Watched, stuck: str, monkeypatch: pytest.MonkeyPatch, word: str
) -> None:
    site, asked = watched.site, list[str]()
    call_off(site, stuck, word)
    monkeypatch.setattr(f"{ADAPTER}.show_status", lambda *_: asked.append("status"))
    monkeypatch.setattr(f"{ADAPTER}.cancel_order", lambda *_: asked.append("cancel"))
    for _ in range(2):
        assert cancel(site, stuck).refusal == (502, "refund_impossible", None)
    assert asked == []


def test_a_person_learns_that_no_money_has_to_go_back(watched: Watched, stuck: str) -> None:
    site = watched.site
    for word in ("cooking", "called-off", "cooking", "waiting"):
        call_off(site, stuck, word)
        status, said = site.command("cases")
        assert status == 1 and ("is made again; its refund had failed: LevelUp" in said) == (word != "called-off")
        assert site.reconcile()[0] == 1
    assert watched.words() == ["refund_refused", "cancellation_unproven"] and site.refunded() == []
    assert site.command("settle", stuck, "--by", "Olive", "--why", "the guest gets the meal")[0] == 0
    assert cancel(site, stuck).error["message"].startswith("this order was canceled, and is made again (")
    assert site.reconcile() == NOTHING


def test_a_person_refunds_at_levelup_what_is_made_again(watched: Watched, stuck: str, clock: Clock) -> None:
    site = watched.site
    call_off(site, stuck, "cooking")
    with site.levelup.store.writing() as transaction:
        transaction.refund(stuck, clock())
    assert site.reconcile()[0] == 1 and state(site, stuck) == "refunded"
    assert watched.words() == ["refund_refused", "cancellation_unproven", "submitted_and_refunded"]


def test_an_undisturbed_cancellation_asks_no_second_time(
    watched: Watched, owed: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def status(reference: str) -> OrderStatus:
        asked.append(reference)
        return OrderStatus("called-off", reference=reference)

    status_of(monkeypatch, status)
    assert watched.site.reconcile()[0] == 0 and asked == [] and watched.site.refunded() == [owed]
    assert watched.words() == []
