"""What a person must settle in web checkout reaches the operator (EVT-8)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from levelup_ov.checkout.charges import Charges, Sending
from levelup_ov.checkout.leases import Leases
from levelup_ov.checkout.proof import Charge
from levelup_ov.checkout.store import CheckoutStore, StoredOrder
from tests.channel import Clock
from tests.checkout.conftest import MakeSite
from tests.checkout.site import PAYMENT, Line, Site, meal, order
from tests.checkout.test_checkout_cancellations import cancel, uuid
from tests.checkout.test_checkout_interrupted import interrupted
from tests.checkout.test_checkout_money import LATER, REFUSED, UNREACHED, refusal, ruled_out
from tests.events.conftest import ON, OPERATOR_SECRET, Inbox, deliverer

__all__ = ["interrupted", "uuid"]

pytestmark = pytest.mark.rule("EVT-8")


class Watched:
    """A site whose operators and channel have an inbox each."""

    def __init__(self, make_site: MakeSite, line: Line) -> None:
        self.others, self.channel = Inbox(), Inbox()
        line.others |= {
            "all.internal": self.others,
            "receiver.internal": self.channel,
        }
        self.site = make_site(
            **ON,
            LEVELUP_OV_OPERATOR="http://all.internal/hook",
            LEVELUP_OV_OPERATOR_SECRETS=OPERATOR_SECRET,
        )

    def reported(self, inbox: Inbox | None = None) -> list[Any]:
        """The data of what the operator, or another one, has received by now."""
        deliverer(self.site.app).drain(5)
        return [data for _, data in (inbox or self.others).events]

    def words(self) -> list[str]:
        """What it is about."""
        return [data["what"] for data in self.reported()]


@pytest.fixture
def watched(make_site: MakeSite, site: Site) -> Iterator[Watched]:
    found = Watched(make_site, site.line)
    yield found
    deliverer(found.site.app).stop()


@pytest.mark.rule("WEB-3")
def test_a_stuck_refund_is_reported_once(watched: Watched, merchant: str, user: str) -> None:
    site = watched.site
    assert site.charge(meal(merchant, user, tip_amount=9901, note=REFUSED), "K").error["code"] == "refund_impossible"
    for _ in range(2):
        assert site.reconcile()[0] == 1
    (uuid,) = site.unrefunded()
    (data,) = watched.reported()
    assert (data["what"], data["merchant_id"], data["location_id"]) == ("refund_refused", "sandbox", "sandbox.congress")
    assert (data["levelup_uuid"], data["order_id"]) == (uuid, None)
    assert site.get(f"/orders/{data['reference']}")["order"]["state"] == "stuck"
    assert watched.reported(watched.channel) == []


@pytest.mark.rule("WEB-3")
def test_a_merchant_who_left_is_reported_once(watched: Watched, merchant: str, user: str) -> None:
    """Each run of the command finds the same case."""
    site = watched.site
    site.line.faults["/refund"] = ["unreached"]
    assert site.charge(order(merchant, user, tip_amount=0), "K").status == 200
    (uuid,) = site.unrefunded()
    assert site.refund(uuid, "L").error["code"] == "refund_pending"
    site.call("DELETE", f"/merchants/{merchant}")
    for _ in range(3):
        assert site.reconcile()[0] == 1
    (data,) = watched.reported()
    assert (data["what"], data["location_id"]) == ("not_connected", "levelup.11")


@pytest.mark.rule("STAT-7")
def test_a_canceled_meal_of_a_merchant_who_left_is_a_case(
    watched: Watched, interrupted: str, merchant: str, clock: Clock
) -> None:
    site = watched.site
    site.call("DELETE", f"/merchants/{merchant}")
    assert cancel(site, interrupted).error["code"] == "not_connected"
    for minute in (4, 6):
        clock.set(f"2030-06-03T16:0{minute}Z")
        assert site.reconcile()[0] == 1
        assert cancel(site, interrupted).error["code"] == "not_connected"
        status, said = site.command("cases")
        assert status == 1 and interrupted in said and "has to go back" in said
    assert watched.words() == ["not_connected"]
    site.connect_merchant()
    clock.set("2030-06-03T16:08Z")
    assert site.reconcile()[0] == 0 and site.refunded() == [interrupted]
    assert site.command("cases")[0] == 0


def differs(site: Site, merchant: str, user: str, clock: Clock) -> None:
    changed = {"spend_amount": 1071, "total_amount": 1071}
    site.line.changes |= {"/completed_orders": [changed, changed], "/refund": [changed]}
    for _ in range(2):
        site.charge(order(merchant, user), "K")
    assert len(site.refunded()) == 1


def of_another(site: Site, merchant: str, user: str, clock: Clock) -> None:
    user = site.connect_user(permissions=PAYMENT)
    first = site.charged(order(merchant, user, discount_amount=0))["uuid"]
    site.line.changes["/completed_orders"] = [{"uuid": first}, {"uuid": first}]
    site.charge(order(merchant, user, discount_amount=0), "K")
    clock.set(LATER)
    assert site.reconcile()[0] == 1 and "belongs to another order" in site.command("cases")[1]
    # It is still looked for, and the case is closed when it is found.
    assert site.reconcile()[0] == 0 and site.command("cases")[0] == 0


def unproven(site: Site, merchant: str, user: str, clock: Clock) -> None:
    user = site.connect_user(permissions=PAYMENT)
    site.line.faults["/completed_orders"] = [*UNREACHED, *[refusal(422, "user", "email")] * 2]
    site.charge(order(merchant, user), "K")
    clock.set(LATER)
    for _ in range(2):
        assert site.reconcile()[0] == 1


def stray(site: Site, merchant: str, user: str, clock: Clock) -> None:
    ruled_out(site, merchant, user, clock)()
    clock.set("2030-06-03T16:07Z")
    assert site.reconcile()[0] == 1


def refunded_in_part(site: Site, merchant: str, user: str, clock: Clock) -> None:
    site.line.changes["/refund"] = [{"spend_amount": 500}]
    site.refund(site.charged(order(merchant, user))["uuid"])


def refund_unproven(site: Site, merchant: str, user: str, clock: Clock) -> None:
    uuid = site.charged(order(merchant, user))["uuid"]
    site.line.faults["/refund"] = [refusal(422, "refund", "closed"), "unreached", (401, {})]
    site.refund(uuid)
    for hour in (0, 1):
        clock.set(f"2030-06-04T1{6 + hour}:05Z")
        assert site.reconcile()[0] == 1


@pytest.mark.parametrize("happens", [differs, of_another, unproven, stray, refunded_in_part, refund_unproven])
def test_each_kind_of_case_is_reported(
    watched: Watched, merchant: str, user: str, clock: Clock, happens: Callable[..., None]
) -> None:
    happens(watched.site, merchant, user, clock)
    what = {"differs": "charge_differs", "of_another": "charge_of_another_order", "unproven": "charge_unproven",
            "stray": "stray_charge"}  # fmt: skip
    assert watched.words() == [what.get(happens.__name__, happens.__name__)]
    # A site's charge is not a submission of the channel.
    assert watched.reported(watched.channel) == []


@pytest.mark.rule("PAY-4")
def test_another_price_than_the_user_paid_is_reported(watched: Watched, merchant: str, user: str) -> None:
    done = watched.site.charged(meal(merchant, user, outstanding_amount=1080))
    (data,) = watched.reported()
    assert (data["what"], data["location_id"]) == ("charge_mismatch", "sandbox.congress")
    assert (data["order_id"], data["levelup_uuid"]) == (done["order_submission"]["order_id"], done["uuid"])


@pytest.mark.rule("WEB-5")
def test_a_meal_whose_charge_went_back_is_reported(
    watched: Watched, merchant: str, user: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another host has given the charge back between the last look and the provider's answer."""
    check = Leases.still_ours

    def look(leases: Leases, held: StoredOrder) -> bool:
        still = check(leases, held)
        store: CheckoutStore = leases._store
        store.change_order(held.id, ("submitting",), values={"state": "refunded", "held": None})
        return still

    monkeypatch.setattr(Leases, "still_ours", look)
    assert watched.site.charge(meal(merchant, user), "K").error["code"] == "outcome_unknown"
    (data,) = watched.reported()
    assert data["what"] == "submitted_and_refunded" and watched.site.meals() == 1
    assert data["order_id"] == 1


@pytest.mark.rule("WEB-2")
def test_a_second_charge_of_one_order_is_reported(
    watched: Watched, merchant: str, user: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another host has found another charge of this order while LevelUp answered."""
    complete = Charges._complete

    def held_up(charges: Charges, calls: Any, merchant: Any, user: Any, sending: Sending, body: Any) -> Charge:
        found = complete(charges, calls, merchant, user, sending, body)
        assert sending.row is not None
        values = {"state": "charged", "uuid": "0" * 32}
        assert charges._store.change_order(sending.row.id, ("charging",), values=values)
        return found

    monkeypatch.setattr(Charges, "_complete", held_up)
    assert watched.site.charge(order(merchant, user)).error["code"] == "outcome_unknown"
    assert watched.words() == ["two_charges_for_one_order"]
