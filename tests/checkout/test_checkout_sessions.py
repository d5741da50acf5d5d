"""Sessions that are paid with LevelUp: charged through web checkout, and given back if there is no order."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from adapters.sandbox import SandboxAdapter
from levelup_ov.checkout.orders import Orders
from levelup_ov.checkout.submitting import Submitter
from levelup_ov.errors import timed_out
from levelup_ov.ledger.corrections import Corrections
from levelup_ov.ledger.sessions import StoredSessions
from levelup_ov.sessions.model import LevelUpTender
from tests.channel import Clock
from tests.checkout.site import Site
from tests.checkout.test_checkout_money import ledger_of
from tests.checkout.test_checkout_restored import copy
from tests.sessions.conftest import Front, basket, card, codes, front_of, refusal
from tests.sessions.test_completing import Killed

NOT_REFUNDED = 9901
"""The tip of an order that the platform refuses to refund."""


@pytest.fixture
def front(site: Site, clock: Clock) -> Front:
    return front_of(site.app, clock)


@pytest.fixture
def pay(merchant: str, user: str) -> LevelUpTender:
    return LevelUpTender(merchant, user, 11)


def test_levelup_pays_what_was_shown(front: Front, site: Site, pay: LevelUpTender) -> None:
    made = front.create(basket(tip=200))
    done = front.complete(made, pay)
    assert done.state == "completed" and done.order is not None
    (submission,) = front.service.submissions.ledger.reader.find(account="sandbox")
    assert made.price and submission.expected_charge == made.price.totals.total
    assert (len(site.unrefunded()), front.meals()) == (1, 1)
    assert front.sessions.track(front.caller, made.id, front.context()).status == "placed"


@pytest.mark.rule("UCP-13")
def test_a_refused_order_is_given_back(front: Front, site: Site, pay: LevelUpTender) -> None:
    made = front.create(basket(note="sandbox:sold-out"))
    refused = front.complete(made, pay)
    assert refused.state == "incomplete" and codes(refused)[0][0] == "item_unavailable"
    assert (site.unrefunded(), front.meals()) == ([], 0)
    again = front.complete(front.replace(made, basket()), pay)
    assert again.state == "completed" and (len(site.unrefunded()), front.meals()) == (1, 1)


def test_a_refused_charge_orders_nothing(front: Front, site: Site, pay: LevelUpTender) -> None:
    no = [{"error": {"object": "order", "property": "base", "message": "No.", "code": "x"}}]
    site.line.faults["completed_orders"] = [(422, no)]
    made = front.create()
    refused = front.complete(made, pay)
    assert (refused.state, codes(refused)) == ("ready_for_complete", [("card_declined", None)])
    assert (site.unrefunded(), front.meals()) == ([], 0)
    assert front.complete(made).state == "completed"


@pytest.mark.rule("UCP-7", "UCP-13")
@pytest.mark.parametrize("reads", [True, False])
def test_a_lost_charge_is_found(front: Front, site: Site, pay: LevelUpTender, reads: bool) -> None:
    site.line.faults["completed_orders"] = ["lost"] * 3
    made = front.create()
    assert front.complete(made, pay).state == "complete_in_progress"
    site.line.faults.clear()
    front.later(minutes=5)
    if reads:
        # Nobody asks for the order.
        read = front.read(made)
        assert (read.state, codes(read)) == ("ready_for_complete", [("charge_refunded", None)])
        assert (site.unrefunded(), front.meals()) == ([], 0)
    done = front.complete(made, pay)
    assert done.state == "completed" and (len(site.unrefunded()), front.meals()) == (1, 1)


@pytest.mark.rule("UCP-7", "UCP-13", "SUB-5")
def test_a_read_orders_nothing(front: Front, site: Site, pay: LevelUpTender) -> None:
    """A person has settled the submission: the provider has no order."""
    made, ledger = front.create(basket(note="sandbox:lost-answer")), front.service.submissions.ledger
    assert front.complete(made, pay).state == "complete_in_progress"
    meals = front.meals()
    (lost,) = ledger.reader.find(account="sandbox")
    front.service.submissions.reconciler.settle(lost, None, "Olive")
    read = front.read(made)
    assert (read.state, codes(read)) == ("ready_for_complete", [("charge_refunded", None)])
    assert (site.unrefunded(), front.meals()) == ([], meals)


@pytest.mark.rule("UCP-13")
def test_a_charge_that_cannot_go_back_ends_the_session(
    front: Front,
    site: Site,
    pay: LevelUpTender,
) -> None:
    ended = front.complete(front.create(basket(note="sandbox:sold-out", tip=NOT_REFUNDED)), pay)
    assert (ended.state, codes(ended)) == ("canceled", [("refund_impossible", None)])
    assert not ended.problems[0].recoverable


STEPS: dict[str, tuple[Any, str, int]] = {
    "charge": (Orders, "charge", 1),
    "submission": (Submitter, "deliver", 1),
    "session is completed": (StoredSessions, "change", 2),
}


@pytest.mark.rule("UCP-13")
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("step", STEPS)
def test_killed_between_steps_charges_once(
    front: Front,
    site: Site,
    pay: LevelUpTender,
    step: str,
    after: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    owner, name, number = STEPS[step]
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
            front.complete(made, pay)
    front.later(minutes=5)
    is_placed = front.meals() == 1
    assert front.read(made).state == ("completed" if is_placed else "ready_for_complete")
    assert len(site.unrefunded()) == front.meals() == is_placed
    assert front.complete(made, pay).state == "completed"
    assert (len(site.unrefunded()), front.meals()) == (1, 1)


@pytest.mark.rule("UCP-13")
def test_another_tender_waits_for_the_first(front: Front, site: Site, pay: LevelUpTender) -> None:
    site.line.faults["completed_orders"] = ["lost"] * 3
    made = front.create()
    assert front.complete(made, pay).state == "complete_in_progress"
    site.line.faults.clear()
    front.later(minutes=5)
    done = front.complete(made, card())
    assert done.state == "completed" and (len(site.unrefunded()), front.meals()) == (0, 1)


@pytest.mark.rule("SUB-5", "UCP-13")
def test_a_charged_order_that_was_settled_wrongly(front: Front, site: Site, pay: LevelUpTender) -> None:
    made, ledger = front.create(basket(note="sandbox:lost-answer")), front.service.submissions.ledger
    assert front.complete(made, pay).state == "complete_in_progress"
    (lost,) = ledger.reader.find(account="sandbox")
    front.service.submissions.reconciler.settle(lost, "999", "Olive")
    (done, settled) = front.complete(made, pay), ledger.reader.find(account="sandbox")[0]
    assert done.order is not None and done.order.number == "999"
    Corrections(ledger).take_back(settled, "Olive", "another table")
    assert site.reconcile()[0] == 0
    now = front.read(made)
    assert now.order is not None and now.order.number == str(ledger.reader.find(account="sandbox")[0].order_id) != "999"
    assert (len(site.unrefunded()), front.meals()) == (1, 1)


@pytest.mark.rule("UCP-13", "WEB-5")
@pytest.mark.parametrize("answer", ["received", "lost"])
@pytest.mark.parametrize("call", ["charge", "meal"])
@pytest.mark.parametrize("since", ["the checkout", "its completion"])
def test_a_charge_is_told_by_its_owner(
    front: Front, site: Site, pay: LevelUpTender, since: str, call: str, answer: str, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """The database goes back to an earlier moment while the session is completed."""
    kept, places = tmp_path / "copy.db", SandboxAdapter.submit_order
    if since == "the checkout":
        copy(ledger_of(site), kept)
    made = front.create(basket(tip=200))
    if since == "its completion":
        copy(ledger_of(site), kept)

    def submit_order(*arguments: Any) -> Any:
        placed = places(*arguments)
        if call == "meal":
            copy(kept, ledger_of(site))
            if answer == "lost":
                raise timed_out(sent=True)
        return placed

    monkeypatch.setattr(SandboxAdapter, "submit_order", submit_order)
    if call == "charge":
        site.line.meanwhile["/completed_orders"] = [lambda: copy(kept, ledger_of(site))]
        if answer == "lost":
            site.line.faults["completed_orders"] = ["lost"] * 3
    told = front.complete(made, pay)
    assert told.state == ("completed" if answer == "received" else "complete_in_progress")
    site.line.faults.clear()
    front.later(minutes=5)
    if (call, answer) == ("charge", "lost"):
        assert codes(front.read(made)) == [("charge_refunded", None)]
        assert (site.unrefunded(), front.meals()) == ([], 0)
        return
    assert refusal(front.cancel, made) == "session_closed"
    assert front.read(made).state == "completed" and (len(site.unrefunded()), front.meals()) == (1, 1)


@pytest.mark.rule("UCP-13")
def test_levelup_pays_no_order_that_was_paid(front: Front, site: Site, pay: LevelUpTender, tmp_path: Path) -> None:
    """The owner of an order paid by card has ended before it wrote the session again."""
    made = front.create()
    kept = tmp_path / "copy.db"
    copy(ledger_of(site), kept)
    done = front.complete(made)
    with closing(sqlite3.connect(ledger_of(site))) as ledger, ledger:
        ledger.execute("ATTACH ? AS kept", (str(kept),))
        ledger.execute("DELETE FROM sessions")
        ledger.execute("INSERT INTO sessions SELECT * FROM kept.sessions")
    again = front.complete(made, pay)
    assert again.order == done.order
    assert (site.unrefunded(), front.meals()) == ([], 1)
