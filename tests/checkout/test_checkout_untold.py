"""A charge that the command finds, and that no request waits for, goes back at the age that is set (WEB-4)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from unittest.mock import Mock

import pytest

from levelup_ov.checkout.leases import Leases
from levelup_ov.checkout.orders import Orders
from levelup_ov.checkout.store import StoredOrder
from levelup_ov.ledger.engine import LedgerUnavailable
from levelup_ov.ledger.transitions import Transitions
from tests.channel import Clock
from tests.checkout.conftest import MakeSite
from tests.checkout.site import PAYMENT, Site, meal, order
from tests.checkout.test_checkout_interrupted import NOTHING, state
from tests.checkout.test_checkout_submissions import Killed, submitted_past

FOUND, BEFORE, AGED = "2030-06-03T16:02Z", "2030-06-03T16:09Z", "2030-06-03T16:11Z"
"""When the command finds the charge of noon; shortly before its age, which is 600 seconds; and after it."""


@pytest.fixture
def untold(site: Site, merchant: str, user: str, clock: Clock) -> str:
    """A charge whose answer was lost, and that the command has found since."""
    return lost(site, order(merchant, user), clock)


def lost(site: Site, body: Any, clock: Clock, answer: str = "lost") -> str:
    site.line.faults["/completed_orders"] = [answer] * 3
    assert site.charge(body, "K").error["code"] == "outcome_unknown"
    site.line.faults.clear()
    clock.set(FOUND)
    assert site.reconcile()[0] == 0
    (uuid,) = site.unrefunded()
    return uuid


@pytest.mark.rule("WEB-4")
@pytest.mark.parametrize("answer", ["lost", "unreached"])
def test_a_charge_that_nobody_asks_for_goes_back(
    site: Site, merchant: str, clock: Clock, answer: str, caplog: pytest.LogCaptureFixture
) -> None:
    """LevelUp never got it, or its answer was lost, and the history of the user cannot be read."""
    user = site.connect_user(permissions=PAYMENT)
    uuid = lost(site, order(merchant, user), clock, answer)
    clock.set(BEFORE)
    assert site.reconcile() == NOTHING and site.unrefunded() == [uuid]
    clock.set(AGED)
    status, said = site.reconcile()
    assert status == 0 and "refunded" in said and "untold_charge_refunded" in caplog.messages
    assert (site.unrefunded(), site.refunded()) == ([], [uuid])
    assert site.reconcile() == NOTHING and site.line.count("/refund") == 1
    # Whoever asks later is told the truth.
    assert site.charge(order(merchant, user), "K").refusal == (422, "charge_refunded", None)
    assert state(site, uuid) == "refunded"


@pytest.mark.rule("WEB-4")
@pytest.mark.parametrize("ask", [
    lambda site, body, _: site.charged(body, "K")["state"] == "charged",
    lambda site, _, uuid: state(site, uuid) == "charged",
], ids=["again", "by its UUID"])  # fmt: skip
def test_a_charge_that_a_site_learns_of_stays(
    site: Site, merchant: str, user: str, untold: str, clock: Clock, ask: Callable[[Site, Any, str], bool]
) -> None:
    clock.set(BEFORE)
    assert ask(site, order(merchant, user), untold)
    clock.set(AGED)
    assert site.reconcile() == NOTHING and site.unrefunded() == [untold]
    assert site.charged(order(merchant, user), "K")["uuid"] == untold


@pytest.mark.rule("WEB-4")
def test_a_site_asks_while_the_command_is_about_to_refund(
    site: Site, merchant: str, user: str, untold: str, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = Orders.tried

    def tried(orders: Orders, left: StoredOrder) -> None:
        whole(orders, left)
        assert site.charged(order(merchant, user), "K")["state"] == "charged"

    clock.set(AGED)
    with monkeypatch.context() as patch:
        patch.setattr(Orders, "tried", tried)
        assert site.reconcile()[0] == 0
    assert site.unrefunded() == [untold] and site.reconcile() == NOTHING


@pytest.mark.rule("WEB-4", "WEB-6")
@pytest.mark.parametrize("refused", [True, False])
def test_a_site_refunds_a_charge_that_it_was_not_told_of(site: Site, untold: str, clock: Clock, refused: bool) -> None:
    if refused:
        site.line.faults["/refund"] = [(422, [{"error": {"object": "refund", "property": "manager_confirmation"}}])]
    assert (site.refund(untold, "R").status == 200) != refused
    clock.set(AGED)
    # A site that knows of it decides what becomes of it.
    assert site.reconcile() == NOTHING
    assert site.unrefunded() == [untold] * refused


@pytest.mark.rule("WEB-4", "WEB-7")
def test_a_second_charge_for_a_new_connection_stays_alone(
    site: Site, merchant: str, user: str, untold: str, clock: Clock
) -> None:
    """The key belongs to the earlier connection, so the site needs another one."""
    anew = order(merchant, site.connect_user())
    assert site.charge(anew, "K").error["code"] == "idempotency_key_reused"
    second = site.charged(anew, "L")["uuid"]
    clock.set(AGED)
    assert site.reconcile()[0] == 0
    assert (site.unrefunded(), site.refunded()) == ([second], [untold])


@pytest.mark.rule("WEB-4", "WEB-5")
def test_a_meal_that_is_paid_some_other_way_is_not_charged(site: Site, merchant: str, user: str, clock: Clock) -> None:
    """The site gave up, and placed the same order number without this charge."""
    body = meal(merchant, user, discount_amount=0, number="N-1")
    site.line.faults["/completed_orders"] = ["lost"] * 3
    assert site.charge(body, "K").error["code"] == "outcome_unknown"
    site.line.faults.clear()
    assert submitted_past(site, body).status == 200
    clock.set(FOUND)
    assert site.reconcile()[0] == 0
    assert (site.unrefunded(), len(site.refunded()), site.meals()) == ([], 1, 1)
    assert site.charge(body, "K").refusal == (422, "charge_refunded", None)


@pytest.mark.rule("WEB-4")
def test_the_age_is_the_sites(make_site: MakeSite, merchant: str, user: str, clock: Clock) -> None:
    site = make_site(LEVELUP_OV_CHECKOUT_CHARGE_AGE="3600")
    uuid = lost(site, order(merchant, user), clock)
    clock.set(AGED)
    assert site.reconcile() == NOTHING and site.unrefunded() == [uuid]
    clock.set("2030-06-03T17:00Z")
    assert site.reconcile()[0] == 0 and site.refunded() == [uuid]


def killed(site: Site, body: Any, clock: Clock) -> str:
    """A charge whose worker has ended after it recorded it, and before it answered."""
    with pytest.MonkeyPatch.context() as patch, pytest.raises(Killed):
        patch.setattr(Transitions, "place", Mock(side_effect=Killed))
        site.charge(body, "K")
    clock.set(FOUND)
    (uuid,) = site.unrefunded()
    return uuid


@pytest.mark.rule("WEB-4", "SUB-5")
def test_a_recorded_charge_whose_worker_ended_goes_back(site: Site, merchant: str, user: str, clock: Clock) -> None:
    uuid = killed(site, order(merchant, user), clock)
    assert site.reconcile()[0] == 0 and site.unrefunded() == [uuid]
    clock.set(AGED)
    assert site.reconcile()[0] == 0 and site.refunded() == [uuid] and site.reconcile() == NOTHING
    assert site.charge(order(merchant, user), "K").refusal == (422, "charge_refunded", None)


ASKS = pytest.mark.parametrize("ask", [
    lambda site, body, _: site.charged(body, "K"),
    lambda site, _, uuid: state(site, uuid),
    lambda site, _, uuid: site.refund(uuid, "R"),
], ids=["again", "by its UUID", "a refund that is refused"])  # fmt: skip


@pytest.mark.rule("WEB-4", "WEB-6")
@ASKS
@pytest.mark.parametrize("is_found", [True, False])
def test_a_site_learns_of_what_an_ended_worker_charged(
    site: Site, merchant: str, user: str, clock: Clock, ask: Callable[[Site, Any, str], object], is_found: bool
) -> None:
    uuid = killed(site, order(merchant, user), clock)
    if is_found:
        assert site.reconcile()[0] == 0
    site.line.faults["/refund"] = [(422, [{"error": {"object": "refund", "property": "manager_confirmation"}}])]
    ask(site, order(merchant, user), uuid)
    clock.set(AGED)
    assert site.reconcile() == NOTHING and site.unrefunded() == [uuid]


@pytest.mark.rule("WEB-4", "WEB-6")
@ASKS
def test_a_site_asks_while_the_command_takes_a_charge_for_untold(
    site: Site, merchant: str, user: str, clock: Clock, ask: Callable[[Site, Any, str], object]
) -> None:
    """The command has read the order, and is suspended before it notes that nobody was told of it."""
    uuid = killed(site, order(merchant, user), clock)
    site.line.faults["/refund"] = [(422, [{"error": {"object": "refund", "property": "manager_confirmation"}}])]
    whole = Leases.left

    def left(*arguments: Any) -> float:
        patch.undo()
        ask(site, order(merchant, user), uuid)
        return whole(*arguments)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Leases, "left", left)
        site.reconcile()
    clock.set(AGED)
    assert site.reconcile() == NOTHING and site.unrefunded() == [uuid]


@pytest.mark.rule("WEB-4", "WEB-5")
def test_a_meal_of_an_ended_worker_is_charged_and_made(site: Site, merchant: str, user: str, clock: Clock) -> None:
    body = meal(merchant, user)
    uuid = killed(site, body, clock)
    assert site.charged(body, "K")["state"] == "submitted"
    clock.set(AGED)
    assert site.reconcile() == NOTHING and (site.unrefunded(), site.meals()) == ([uuid], 1)


@pytest.mark.rule("WEB-4")
def test_nobody_is_told_of_a_charge_that_the_command_may_refund(
    site: Site, merchant: str, user: str, clock: Clock
) -> None:
    """The ledger fails when it is to record it, so that nothing would say later that it was told."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Transitions, "place", Mock(side_effect=LedgerUnavailable("no room on the disk")))
        assert site.charge(order(merchant, user), "K").refusal == (504, "outcome_unknown", None)
    clock.set(AGED)
    assert site.reconcile()[0] == 0 and site.unrefunded() == []


def check_kept(site: Site, body: Any, clock: Clock, asks: bool) -> None:
    """The charge of a suspended worker stays if its site asks again, and goes back at its age if it does not."""
    (uuid,) = site.unrefunded()
    if asks:
        assert site.charged(body, "K")["uuid"] == uuid
    site.reconcile()
    clock.set(AGED)
    site.reconcile()
    assert (site.unrefunded(), site.refunded()) == (([uuid], []) if asks else ([], [uuid]))


SUSPENDED = pytest.mark.parametrize("path, lost", [
    ("/completed_orders", ()),
    # Its answer was lost once, so the user's orders are read for a second charge.
    ("/users/orders", ("lost",)),
], ids=["while it charges", "after it has charged"])  # fmt: skip


@pytest.mark.rule("WEB-4", "SUB-9")
@SUSPENDED
@pytest.mark.parametrize("asks", [True, False])
def test_a_charge_of_a_suspended_worker_is_told_or_goes_back(
    site: Site, merchant: str, user: str, clock: Clock, path: str, lost: tuple[str, ...], asks: bool
) -> None:
    """It wakes up long after its site gave up, and before the command has looked."""
    site.line.faults["/completed_orders"] = [*lost]
    site.line.meanwhile[path] = [lambda: clock.set(FOUND)]
    assert site.charge(order(merchant, user), "K").refusal == (504, "outcome_unknown", None)
    check_kept(site, order(merchant, user), clock, asks)


@pytest.mark.rule("WEB-4", "SUB-9")
@pytest.mark.parametrize("asks", [True, False])
def test_a_charge_that_a_suspended_worker_looked_for_goes_back(
    site: Site, merchant: str, clock: Clock, asks: bool
) -> None:
    """The site's second request was to find what the first one charged, and its worker was suspended."""
    user = site.connect_user(permissions=PAYMENT)
    site.line.faults["/completed_orders"] = ["lost"] * 3
    assert site.charge(order(merchant, user), "K").error["code"] == "outcome_unknown"
    site.line.faults.clear()
    clock.set(FOUND)
    site.line.meanwhile["/completed_orders"] = [lambda: clock.set(BEFORE)]
    assert site.charge(order(merchant, user), "K").refusal == (504, "outcome_unknown", None)
    check_kept(site, order(merchant, user), clock, asks)


@pytest.mark.rule("WEB-4", "SUB-9")
@pytest.mark.parametrize("asks", [True, False])
def test_a_worker_that_wakes_after_the_command_tells_nobody(
    site: Site, make_site: MakeSite, merchant: str, user: str, clock: Clock, asks: bool
) -> None:
    whole = Transitions.place

    def place(*arguments: Any, **named: Any) -> None:
        patch.undo()
        clock.set(FOUND)
        assert make_site().reconcile()[0] == 0
        whole(*arguments, **named)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Transitions, "place", place)
        assert site.charge(order(merchant, user), "K").refusal == (504, "outcome_unknown", None)
    check_kept(site, order(merchant, user), clock, asks)
