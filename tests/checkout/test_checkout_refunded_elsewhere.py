"""A charge of unknown outcome that somebody has refunded at LevelUp before the site asks again (WEB-4, WEB-5)."""

from __future__ import annotations

from typing import Any
from unittest.mock import Mock

import pytest

from levelup_ov.ordering.service import Service
from levelup_ov.sessions.model import LevelUpTender
from tests.channel import Clock
from tests.checkout.site import LOGIN, PAYMENT, Site, meal, order
from tests.checkout.test_checkout_interrupted import NOTHING, state
from tests.checkout.test_checkout_submissions import Killed, submitted_past
from tests.checkout.test_checkout_untold import AGED, FOUND, killed
from tests.sessions.conftest import Front, codes, front_of

REFUNDED = (422, "charge_refunded", None)


def lose(site: Site, body: Any, clock: Clock) -> str:
    """LevelUp charges this, and its answer is lost."""
    site.line.faults["/completed_orders"] = ["lost"] * 3
    assert site.charge(body, "K").error["code"] == "outcome_unknown"
    site.line.faults.clear()
    clock.set(FOUND)
    (uuid,) = site.unrefunded()
    return uuid


def refund_there(site: Site, uuid: str, clock: Clock) -> None:
    """LevelUp's support refunds it, or the merchant does in LevelUp's own app."""
    with site.levelup.store.writing() as transaction:
        transaction.refund(uuid, clock())


@pytest.fixture
def user(site: Site) -> str:
    """Her orders cannot be read."""
    return site.connect_user(permissions=PAYMENT)


KINDS = pytest.mark.parametrize("make", [meal, order], ids=["meal", "charge alone"])


@KINDS
@pytest.mark.rule("WEB-4", "WEB-5")
def test_nothing_is_made_or_told_of_a_charge_that_went_back(
    site: Site, merchant: str, user: str, clock: Clock, make: Any
) -> None:
    body = make(merchant, user)
    uuid = lose(site, body, clock)
    refund_there(site, uuid, clock)
    for _ in range(2):
        assert site.charge(body, "K").refusal == REFUNDED
    assert state(site, uuid) == "refunded" and site.get(f"/orders/{uuid}")["order"]["refunded_at"]
    assert (site.unrefunded(), site.refunded(), site.meals()) == ([], [uuid], 0)
    assert site.reconcile() == NOTHING


@KINDS
@pytest.mark.rule("WEB-4", "WEB-5")
def test_a_charge_that_stands_is_read_once(site: Site, merchant: str, user: str, clock: Clock, make: Any) -> None:
    body = make(merchant, user)
    uuid = lose(site, body, clock)
    for _ in range(2):
        assert site.charged(body, "K")["uuid"] == uuid
    assert site.line.count(f"/orders/{uuid}") == 1
    clock.set(AGED)
    assert site.reconcile() == NOTHING and site.unrefunded() == [uuid]


@pytest.mark.rule("WEB-4")
def test_what_the_command_has_found_is_read_before_it_is_told(
    site: Site, merchant: str, user: str, clock: Clock
) -> None:
    body = order(merchant, user)
    uuid = lose(site, body, clock)
    assert site.reconcile()[0] == 0 and site.unrefunded() == [uuid]
    refund_there(site, uuid, clock)
    assert site.charge(body, "K").refusal == REFUNDED


@KINDS
@pytest.mark.rule("WEB-4", "WEB-5")
def test_a_charge_that_an_ended_worker_has_recorded_is_read(
    site: Site, merchant: str, user: str, clock: Clock, make: Any
) -> None:
    body = make(merchant, user)
    uuid = killed(site, body, clock)
    refund_there(site, uuid, clock)
    assert site.charge(body, "K").refusal == REFUNDED
    assert (site.meals(), state(site, uuid)) == (0, "refunded")


@pytest.mark.rule("WEB-5")
def test_a_meal_is_not_sent_again_once_its_charge_went_back(
    site: Site, merchant: str, user: str, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its worker ended just before the provider was called."""
    body = meal(merchant, user)
    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(Service, "submit_order", Mock(side_effect=Killed))
        site.charge(body, "K")
    clock.set(FOUND)
    refund_there(site, *site.unrefunded(), clock)
    assert site.charge(body, "K").refusal == REFUNDED and site.meals() == 0


@pytest.mark.rule("WEB-5")
def test_a_meal_that_the_provider_has_is_told_without_a_read(
    site: Site, merchant: str, user: str, clock: Clock
) -> None:
    body = meal(merchant, user, discount_amount=0, number="N-1")
    uuid = lose(site, body, clock)
    assert submitted_past(site, body).status == 200
    assert site.charged(body, "K")["state"] == "submitted"
    assert site.line.count(f"/orders/{uuid}") == 0


@KINDS
@pytest.mark.rule("WEB-4", "WEB-5")
@pytest.mark.parametrize("answer", ["unreached", (404, b""), (200, {}), (500, b"")])
def test_a_charge_that_cannot_be_read_is_not_told_yet(
    site: Site, merchant: str, user: str, clock: Clock, make: Any, answer: Any
) -> None:
    body = make(merchant, user)
    uuid = lose(site, body, clock)
    site.line.faults[f"/orders/{uuid}"] = [answer] * 3
    assert site.charge(body, "K").refusal == (504, "outcome_unknown", None)
    site.line.faults.clear()
    assert site.meals() == 0
    assert site.charged(body, "K")["uuid"] == uuid and site.unrefunded() == [uuid]


@KINDS
@pytest.mark.rule("WEB-4", "WEB-5")
def test_a_charge_that_is_never_read_goes_back(site: Site, merchant: str, user: str, clock: Clock, make: Any) -> None:
    """The site has given up: nobody was told of it."""
    body = make(merchant, user)
    uuid = lose(site, body, clock)
    site.line.faults[f"/orders/{uuid}"] = ["unreached"] * 3
    assert site.charge(body, "K").error["code"] == "outcome_unknown"
    site.line.faults.clear()
    clock.set(AGED)
    site.reconcile()
    assert (site.unrefunded(), site.refunded(), site.meals()) == ([], [uuid], 0)


@KINDS
@pytest.mark.rule("WEB-4", "WEB-5")
def test_a_charge_counts_if_nobody_says_which_merchant_it_is(site: Site, clock: Clock, user: str, make: Any) -> None:
    site.line.faults["/managed_locations"] = [(200, [])] * 50
    body = make(site.connect_merchant(), user)
    site.line.faults["/completed_orders"] = ["lost"] * 3
    assert site.charge(body, "K").error["code"] == "outcome_unknown"
    clock.set(FOUND)
    assert site.charged(body, "K")["uuid"] in site.unrefunded()
    assert not any("/merchants/" in call for call in site.line.calls)


@pytest.mark.rule("WEB-4", "WEB-5")
def test_whose_orders_can_be_read_is_charged_anew(site: Site, merchant: str, clock: Clock) -> None:
    """LevelUp shows no charge that stands, so nothing was charged, and the order is made and paid."""
    body = meal(merchant, site.connect_user(permissions=LOGIN))
    uuid = lose(site, body, clock)
    refund_there(site, uuid, clock)
    assert site.reconcile_twice(clock)[0] == 0
    assert site.charged(body, "K")["state"] == "submitted"
    assert (len(site.unrefunded()), site.refunded(), site.meals()) == (1, [uuid], 1)


@pytest.mark.rule("WEB-5", "SUB-9")
@pytest.mark.parametrize("goes_back", [True, False])
def test_a_suspended_worker_reads_what_it_has_charged(
    site: Site, merchant: str, user: str, clock: Clock, goes_back: bool
) -> None:
    """The answer of its first call was lost. It wakes up, and completes the order again."""

    def suspended() -> None:
        clock.set(FOUND)
        if goes_back:
            refund_there(site, *site.unrefunded(), clock)

    site.line.faults["/completed_orders"] = ["lost"]
    site.line.meanwhile["/completed_orders"] = [suspended]
    answer = site.charge(meal(merchant, user), "K")
    if goes_back:
        assert answer.refusal == REFUNDED
    assert (len(site.unrefunded()), site.meals()) == ((0, 0) if goes_back else (1, 1))


@pytest.mark.rule("UCP-7", "UCP-13")
def test_a_session_whose_charge_went_back_can_be_paid_anew(site: Site, merchant: str, user: str, clock: Clock) -> None:
    front: Front = front_of(site.app, clock)
    pay = LevelUpTender(merchant, user, 11)
    made = front.create()
    site.line.faults["/completed_orders"] = ["lost"] * 3
    assert front.complete(made, pay).state == "complete_in_progress"
    site.line.faults.clear()
    front.later(minutes=5)
    refund_there(site, *site.unrefunded(), clock)
    told = front.complete(made, pay)
    assert (told.state, codes(told)) == ("ready_for_complete", [("charge_refunded", None)])
    assert (site.unrefunded(), front.meals()) == ([], 0)
    assert front.complete(made, pay).state == "completed"
    assert (len(site.unrefunded()), front.meals()) == (1, 1)
