"""A session has one order at most, whatever is repeated, interrupted or lost."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest

from adapters.sandbox import SandboxAdapter
from levelup_ov.domain.failure import Failure
from levelup_ov.domain.ready_time import Ready
from levelup_ov.domain.secret import Secret
from levelup_ov.domain.tender import CreditCard
from levelup_ov.errors import timed_out
from levelup_ov.ledger.claims import Claims
from levelup_ov.ledger.corrections import Corrections
from levelup_ov.ledger.engine import LedgerUnavailable
from levelup_ov.ledger.sessions import StoredSession, StoredSessions
from levelup_ov.ledger.transitions import Transitions
from levelup_ov.ordering.service import Service
from levelup_ov.sessions.model import CheckoutSession, LevelUpTender, Line
from levelup_ov.standins.sandbox.magic import DECLINED_CARD, LOST_ANSWER_CARD
from tests.channel import CARD
from tests.sessions.conftest import Front, MakeFront, basket, card, codes, refusal


class Killed(BaseException):
    """The process ends here."""


@pytest.mark.rule("UCP-13")
def test_completed_twice_is_one_order(front: Front) -> None:
    made, key = front.create(), front.key()
    first, again = front.complete(made, key=key), front.complete(made, key=key)
    assert again.replayed and again.order == first.order
    assert front.complete(made).order == front.restart().complete(made).order == first.order
    assert front.meals() == 1


@pytest.mark.rule("UCP-13")
def test_completed_at_once_by_many_is_one_order(front: Front) -> None:
    made, fronts = front.create(), [front, front.restart()]
    states: list[str] = []

    def complete(number: int) -> None:
        try:
            states.append(fronts[number % 2].complete(made).state)
        except Failure as failure:
            states.append(failure.code)

    threads = [threading.Thread(target=complete, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(states) <= {"completed", "complete_in_progress"} and "completed" in states
    assert front.read(made).state == "completed" and front.meals() == 1


KILLS: dict[str, tuple[Any, str, int]] = {
    "session is taken": (StoredSessions, "change", 1),
    "claim": (Claims, "claim", 1),
    "mark": (Transitions, "begin_sending", 1),
    "last look": (StoredSessions, "find", 2),
    "placing": (SandboxAdapter, "submit_order", 1),
    "settling": (Transitions, "place", 1),
    "session is completed": (StoredSessions, "change", 2),
}
"""Each step of a completion: where it is, and which call of it."""


@pytest.mark.rule("UCP-13")
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("step", KILLS)
def test_killed_between_steps_is_one_order(
    front: Front, step: str, after: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    owner, name, number = KILLS[step]
    made, calls, real = front.create(), [0], getattr(owner, name)

    def killed(*arguments: Any, **named: Any) -> Any:
        calls[0] += 1
        if calls[0] == number and not after:
            raise Killed
        result = real(*arguments, **named)
        if calls[0] == number:
            raise Killed
        return result

    with monkeypatch.context() as patch:
        patch.setattr(owner, name, killed)
        with pytest.raises(Killed):
            front.complete(made)
    meals, other = front.meals(), front.restart()
    # A read before the lease is over places nothing, and changes nothing back.
    assert other.read(made).state != ("ready_for_complete" if meals else "completed")
    other.later(minutes=5)
    found = other.read(made)
    if found.state == "complete_in_progress":
        # Once more, because the provider must be without the order for a while.
        other.later(minutes=5)
        found = other.read(made)
    assert found.state == ("completed" if meals else "ready_for_complete")
    done = other.complete(made)
    assert done.state == "completed" and done.order is not None
    assert front.meals() == 1 and front.read(made).order == done.order


@pytest.mark.rule("UCP-13")
def test_a_lost_answer_is_found_by_reading(front: Front) -> None:
    made = front.create()
    lost = front.complete(made, card(LOST_ANSWER_CARD))
    assert (lost.state, codes(lost)) == ("complete_in_progress", [("outcome_unknown", None)])
    assert front.read(made).state == "completed"
    assert refusal(front.replace, made, basket(tip=5)) == "session_closed"
    assert front.meals() == 1


def test_a_lost_answer_is_found_by_completing_again(front: Front) -> None:
    made = front.create()
    assert front.complete(made, card(LOST_ANSWER_CARD)).state == "complete_in_progress"
    assert front.complete(made).state == "completed"
    assert front.meals() == 1


def test_a_declined_card_can_be_replaced(front: Front) -> None:
    made, key = front.create(), front.key()
    declined = front.complete(made, card(DECLINED_CARD), key)
    assert (declined.state, codes(declined)) == ("ready_for_complete", [("card_declined", None)])
    again = front.complete(made, card(DECLINED_CARD), key)
    assert again.replayed and codes(again) == codes(declined)
    assert front.complete(made).state == "completed" and front.meals() == 1


@pytest.mark.rule("UCP-13")
def test_another_price_charges_nothing(front: Front) -> None:
    """The provider's price changes between the quote and the order, and stays so."""
    made = front.create(basket(note="sandbox:price-change"))
    answer = front.complete(made)
    assert codes(answer)[0] == ("price_changed", None) and answer.state == "ready_for_complete"
    assert front.meals() == 0


@pytest.mark.rule("UCP-13")
def test_an_old_price_is_asked_for_again(front: Front, monkeypatch: pytest.MonkeyPatch) -> None:
    made = front.create()
    real = SandboxAdapter.validate_order

    def dearer(self: SandboxAdapter, order: Any, session: Any) -> Any:
        quote = real(self, order, session)
        object.__setattr__(quote, "tax", quote.tax + 1)
        object.__setattr__(quote, "charged", quote.charged + 1)
        return quote

    monkeypatch.setattr(SandboxAdapter, "validate_order", dearer)
    front.later(minutes=11)
    answer = front.complete(made)
    assert (answer.state, codes(answer), answer.changed) == ("ready_for_complete", [("totals_changed", None)], True)
    assert answer.price and made.price and answer.price.totals.total == made.price.totals.total + 1
    assert front.meals() == 0


@pytest.mark.rule("UCP-5", "UCP-13")
def test_a_slot_that_is_gone_is_not_ordered(front: Front, monkeypatch: pytest.MonkeyPatch) -> None:
    at = datetime(2030, 6, 3, 18, 15, tzinfo=timezone.utc)
    made = front.create(basket(location_id="sandbox.day", desired_ready_time=at))
    assert made.state == "ready_for_complete" and made.slots[0] == at
    real = SandboxAdapter.validate_order

    def later(self: SandboxAdapter, order: Any, session: Any) -> Any:
        quote = real(self, order, session)
        slots = quote.ready.slots[1:]
        return replace(quote, ready=Ready(slots[0], slots))

    monkeypatch.setattr(SandboxAdapter, "validate_order", later)
    front.later(minutes=11)
    answer = front.complete(made)
    assert (answer.state, codes(answer)) == ("incomplete", [("ready_time_unavailable", "desired_ready_time")])
    assert answer.price and answer.price.ready == at + timedelta(minutes=15) and front.meals() == 0


@pytest.mark.rule("UCP-5", "TIME-5")
def test_a_time_that_moves_on_is_not_offered(front: Front, monkeypatch: pytest.MonkeyPatch) -> None:
    """Some providers schedule nothing, and are ready in some minutes whatever is asked for."""
    real = SandboxAdapter.validate_order

    def in_minutes(self: SandboxAdapter, order: Any, session: Any) -> Any:
        return replace(real(self, order, session), ready=Ready(order.received_at + timedelta(minutes=20)))

    monkeypatch.setattr(SandboxAdapter, "validate_order", in_minutes)
    made = front.create(basket(desired_ready_time=front.clock.now + timedelta(minutes=15)))
    assert (made.state, codes(made)) == ("incomplete", [("ready_time_unavailable", "desired_ready_time")])
    assert made.slots == made.offered == ()
    assert front.replace(made, basket()).state == "ready_for_complete"


def test_an_item_that_sells_out_in_between_is_a_problem(front: Front) -> None:
    made = front.create(basket(note="sandbox:sold-out"))
    answer = front.complete(made)
    assert codes(answer)[0][0] == "item_unavailable" and front.meals() == 0


@pytest.mark.rule("UCP-13")
def test_a_basket_changed_while_completing_is_refused(front: Front, monkeypatch: pytest.MonkeyPatch) -> None:
    made, real, seen = front.create(), SandboxAdapter.submit_order, []

    def meddled(self: SandboxAdapter, *arguments: Any) -> Any:
        seen.append(refusal(front.replace, made, basket(Line("cookie", 1))))
        seen.append(refusal(front.cancel, made))
        return real(self, *arguments)

    monkeypatch.setattr(SandboxAdapter, "submit_order", meddled)
    assert front.complete(made).state == "completed"
    assert seen == ["submission_in_progress", "submission_in_progress"]


@pytest.mark.rule("UCP-13")
def test_a_slow_owner_places_nothing_any_more(front: Front, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process sleeps so long before it claims that the session is open again and has another basket."""
    made, other, real = front.create(), front.restart(), Service.submit_order

    def slept(self: Service, *arguments: Any, **named: Any) -> Any:
        monkeypatch.setattr(Service, "submit_order", real)
        front.later(minutes=5)
        assert other.read(made).state == "ready_for_complete"
        assert other.replace(made, basket(Line("cookie", 3))).state == "ready_for_complete"
        return real(self, *arguments, **named)

    monkeypatch.setattr(Service, "submit_order", slept)
    assert refusal(front.complete, made) == "submission_in_progress"
    assert front.meals() == 0
    assert other.complete(made).state == "completed" and front.meals() == 1


@pytest.mark.parametrize("step", ["validate_order", "submit_order"])
def test_a_provider_that_is_down_changes_nothing(front: Front, step: str, monkeypatch: pytest.MonkeyPatch) -> None:
    made = front.create()

    def down(*_: Any) -> Any:
        raise Failure("provider_unavailable", "the provider is down")

    with monkeypatch.context() as patch:
        patch.setattr(SandboxAdapter, step, down)
        if step == "validate_order":
            assert refusal(front.create) == refusal(front.replace, made, basket(tip=5)) == "provider_unavailable"
        else:
            assert refusal(front.complete, made) == "provider_unavailable"
    now = front.read(made)
    assert (now.state, now.basket, now.price) == (made.state, made.basket, made.price)
    assert front.complete(made).state == "completed"


def fail_after_one_change(patch: pytest.MonkeyPatch) -> None:
    """The database takes one more change of a session."""
    change, changed = StoredSessions.change, list[str]()

    def change_once(self: StoredSessions, before: StoredSession, *rest: Any, **named: Any) -> Any:
        if changed:
            raise LedgerUnavailable("no disk")
        changed.append(before.id)
        return change(self, before, *rest, **named)

    patch.setattr(StoredSessions, "change", change_once)


def test_a_lost_database_loses_no_order(front: Front, monkeypatch: pytest.MonkeyPatch) -> None:
    made = front.create()
    with monkeypatch.context() as patch:
        fail_after_one_change(patch)
        assert front.complete(made).state == "completed"
    assert front.read(made).state == "completed" and front.meals() == 1


@pytest.mark.rule("SUB-9")
def test_an_unknown_order_is_told_without_the_database(front: Front, monkeypatch: pytest.MonkeyPatch) -> None:
    made = front.create()
    with monkeypatch.context() as patch:
        fail_after_one_change(patch)
        answer = front.complete(made, card(LOST_ANSWER_CARD))
    assert (answer.state, codes(answer)) == ("complete_in_progress", [("outcome_unknown", None)])
    front.later(minutes=2)
    assert front.complete(made, card(LOST_ANSWER_CARD)).state == "completed" and front.meals() == 1


def test_levelup_needs_web_checkout(front: Front) -> None:
    made = front.create()
    answer = front.complete(made, LevelUpTender("m", "u", 1))
    assert (answer.state, codes(answer)) == ("ready_for_complete", [("tender_not_accepted", None)])


def test_a_location_can_refuse_a_card(front: Front, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SandboxAdapter, "tenders", frozenset({"levelup"}))
    answer = front.complete(front.create())
    assert (answer.state, codes(answer)) == ("ready_for_complete", [("tender_not_accepted", None)])


@pytest.mark.parametrize("operation", ["replace", "complete", "cancel"])
def test_a_key_belongs_to_one_request(front: Front, operation: str) -> None:
    made, other, key = front.create(), front.create(), front.key("K")
    calls: dict[str, Callable[[CheckoutSession, Any], CheckoutSession]] = {
        "replace": lambda session, key: front.replace(session, basket(tip=5), key),
        "complete": lambda session, key: front.complete(session, key=key),
        "cancel": lambda session, key: front.cancel(session, key),
    }
    first = calls[operation](made, key)
    again = calls[operation](made, key)
    assert again.replayed and (again.state, again.version) == (first.state, first.version)
    assert refusal(calls[operation], other, key) == "idempotency_key_reused"
    assert refusal(calls[operation], made, front.key("K", b"another")) == "idempotency_key_reused"
    assert front.read(other) == other


def test_a_key_makes_one_session(front: Front) -> None:
    key = front.key("K")
    made = front.create(key=key)
    replayed = front.restart().create(key=key)
    assert replayed.replayed and replayed.id == made.id and replayed.price == made.price
    assert refusal(front.create, None, front.key("K", b"another")) == "idempotency_key_reused"
    assert front.of("another").create(key=key).id != made.id


def test_a_replayed_answer_is_the_recorded_one(front: Front) -> None:
    key, creating = front.key(), front.key("K")
    made = front.create(key=creating)
    assert front.create(key=creating) == replace(made, replayed=True)
    first = front.replace(made, basket(tip=100), key)
    assert front.create(key=creating) == replace(made, replayed=True)
    front.replace(made, basket(tip=200))
    assert front.create(key=creating) == replace(made, replayed=True)
    assert front.replace(made, basket(tip=100), key).price == first.price
    now = front.read(made)
    assert now.price and now.price.totals.tip == 200


def test_a_card_is_read_and_forgotten(front: Front) -> None:
    """The tender of another attempt may be another card."""
    made = front.create()
    other = CreditCard(Secret("5555555555554444"), Secret("123"), "01", "2032", "02114", "Robin Example")
    assert front.complete(made, card(LOST_ANSWER_CARD)).state == "complete_in_progress"
    assert front.complete(made, other).state == "completed"
    assert front.meals() == 1


@pytest.mark.rule("SUB-5", "UCP-13")
@pytest.mark.parametrize("was", ["999", None])
def test_an_order_that_was_settled_wrongly(front: Front, was: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    """A person recorded another number, or that there is no order, and takes that back."""
    made, key, ledger = front.create(basket(note="sandbox:lost-answer")), front.key(), front.service.submissions.ledger
    assert front.complete(made, key=key).state == "complete_in_progress"
    (lost,) = ledger.reader.find()
    front.service.submissions.reconciler.settle(lost, "999", "Olive")
    assert number(front.complete(made, key=key)) == number(front.read(made)) == "999"
    (settled,) = ledger.reader.find()
    Corrections(ledger).take_back(settled, "Olive", "another table")
    with monkeypatch.context() as patch:
        patch.setattr(SandboxAdapter, "find_order", Mock(side_effect=timed_out(sent=True)))
        assert front.read(made).state == "complete_in_progress"
        assert front.complete(made, key=key).state == "complete_in_progress"
    if was is None:
        (unknown,) = ledger.reader.find()
        front.service.submissions.reconciler.settle(unknown, None, "Olive")
        assert front.read(made).state == "ready_for_complete"
    else:
        assert (
            number(front.read(made)) == number(front.complete(made, key=key)) == str(ledger.reader.find()[0].order_id)
        )
        assert front.sessions.track(front.caller, made.id, front.context()).status == "placed"


@pytest.mark.rule("SUB-5", "UCP-13")
@pytest.mark.parametrize("is_lost", [True, False])
def test_an_order_of_an_account_that_is_gone(make_front: MakeFront, tmp_path: Path, is_lost: bool) -> None:
    """It was removed from the accounts file, or another host has it already."""
    accounts = tmp_path / "accounts.toml"
    accounts.write_text('[accounts.elsewhere]\nprovider = "sandbox"\nname = "Elsewhere"\n')
    front, gone = make_front(), make_front(LEVELUP_OV_ACCOUNTS=str(accounts))
    made, key = front.create(), front.key()
    done = front.complete(made, card(LOST_ANSWER_CARD if is_lost else CARD["number"]), key)
    if is_lost:
        assert done.state == "complete_in_progress"
        for answer in (gone.read(made), gone.complete(made, card(LOST_ANSWER_CARD), key), gone.complete(made)):
            assert (answer.state, codes(answer)) == ("complete_in_progress", [("outcome_unknown", None)])
        assert front.read(made).state == "completed"
    assert gone.read(made).state == gone.complete(made, key=key).state == "completed"
    assert refusal(gone.sessions.track, gone.caller, made.id, gone.context()) == "provider_unavailable"
    assert front.meals() == 1


def number(session: CheckoutSession) -> str | None:
    return session.order and session.order.number
