"""A cancellation: the provider's order first, the money after the proof (STAT-6)."""

from __future__ import annotations

from typing import Any

import pytest

from levelup_ov.checkout.orders import Orders
from levelup_ov.checkout.store import StoredOrder
from levelup_ov.errors import Refused, Unanswered
from levelup_ov.ordering.placed_orders import PlacedOrders
from tests.channel import Answer, Clock
from tests.checkout.site import PLACE, Site, meal, order
from tests.checkout.test_checkout_money import DECLINED


def cancel(site: Site, id: str, key: str = "C") -> Answer:
    return site.call("POST", f"/orders/{id}/cancellation", None, Idempotency_Key=key)


@pytest.fixture
def uuid(site: Site, merchant: str, user: str) -> str:
    """An order that has been charged and submitted."""
    return str(site.charged(meal(merchant, user))["uuid"])


@pytest.mark.rule("STAT-6")
def test_a_canceled_order_is_refunded_once(site: Site, uuid: str) -> None:
    done = site.done(cancel(site, uuid))["order"]
    assert (done["uuid"], done["state"]) == (uuid, "refunded")
    assert (site.unrefunded(), site.refunded()) == ([], [uuid])
    again = cancel(site, uuid)
    assert again.json["order"]["state"] == "refunded" and again.headers["Idempotency-Replayed"] == "true"
    assert cancel(site, uuid, "D").refusal == (422, "already_refunded", None)
    assert site.line.count("/refund") == 1


@pytest.mark.rule("STAT-6")
def test_what_is_ready_is_not_refunded(site: Site, uuid: str, clock: Clock) -> None:
    clock.set("2030-06-03T17:00Z")
    assert cancel(site, uuid).refusal == (422, "cancellation_refused", None)
    assert (site.unrefunded(), site.line.count("/refund")) == ([uuid], 0)


@pytest.mark.rule("STAT-6")
@pytest.mark.parametrize("failure", [
    Refused("cancellation_refused", "no"), Unanswered("provider_timeout", "no answer", sent=True),
])  # fmt: skip
def test_nothing_is_refunded_without_a_proof(
    site: Site, uuid: str, failure: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise failure

    with monkeypatch.context() as patch:
        patch.setattr("adapters.sandbox.SandboxAdapter.cancel_order", fail)
        answer = cancel(site, uuid)
        assert answer.refusal[1] == ("cancellation_refused" if type(failure) is Refused else "cancellation_unknown")
    assert (site.unrefunded(), site.line.count("/refund")) == ([uuid], 0)
    assert cancel(site, uuid).json["order"]["state"] == "refunded"


@pytest.mark.rule("STAT-6")
def test_a_refund_that_fails_after_a_cancellation_comes_later(site: Site, uuid: str) -> None:
    site.line.faults["/refund"] = ["lost"]
    assert cancel(site, uuid).refusal == (503, "refund_pending", None)
    assert cancel(site, uuid).json["order"]["state"] == "refunded"
    assert (site.refunded(), site.line.count("/refund")) == ([uuid], 1)


@pytest.mark.rule("STAT-6")
def test_an_order_that_was_refunded_already_is_still_canceled(
    site: Site, uuid: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.done(site.refund(uuid, "C"))
    asked: list[str] = []
    whole = PlacedOrders.cancel

    def cancel_order(placed: PlacedOrders, *rest: Any, **named: Any) -> Any:
        asked.append(rest[1])
        return whole(placed, *rest, **named)

    monkeypatch.setattr(PlacedOrders, "cancel", cancel_order)
    assert cancel(site, uuid).json["order"]["state"] == "refunded"
    assert len(asked) == 1 and site.line.count("/refund") == 1


@pytest.mark.rule("STAT-6", "WEB-6")
def test_a_charge_that_went_back_at_levelup_before(site: Site, uuid: str) -> None:
    """Its support has refunded it: then the meal is canceled, and that is all that was to be done."""
    site.levelup.call("POST", f"/v15/orders/{uuid}/refund", auth=site.levelup.merchant_auth())
    for _ in range(2):
        order = cancel(site, uuid).json["order"]
        assert order["state"] == "refunded" and order["refunded_at"]
    number = order["order_submission"]["order_id"]
    assert site.channel.get(f"/locations/{PLACE}/orders/{number}").order["status"] == "cancelled"
    assert site.line.count("/refund") == 0 and site.reconcile() == (0, "0 finished, 0 still unfinished\n")


@pytest.mark.rule("STAT-6")
def test_an_order_that_no_provider_has(site: Site, merchant: str, user: str) -> None:
    uuid = site.charged(order(merchant, user))["uuid"]
    assert cancel(site, uuid).refusal == (404, "order_not_found", None)
    assert site.line.count("/refund") == 0


@pytest.mark.rule("STAT-6", "WEB-3")
@pytest.mark.parametrize("way", ["refund", "cancellation", "reconcile"])
def test_a_part_refunded_elsewhere_is_not_the_whole(site: Site, uuid: str, way: str) -> None:
    if way == "reconcile":
        site.line.faults["/refund"] = [DECLINED]
        assert cancel(site, uuid).error["code"] == "refund_impossible"
    site.levelup.call("POST", f"/v15/orders/{uuid}/refund", auth=site.levelup.merchant_auth())
    site.line.changes[f"/orders/{uuid}"] = [{"spend_amount": 100, "tip_amount": 0, "total_amount": 100}]
    if way == "reconcile":
        assert site.reconcile()[0] == 1
    else:
        answer = cancel(site, uuid) if way == "cancellation" else site.refund(uuid)
        assert answer.refusal[:2] == (502, "refund_impossible")
        assert "gave back 100 of 1070 cents" in answer.error["message"]
    assert site.get(f"/orders/{uuid}")["order"]["state"] == "stuck"
    status, said = site.command("cases")
    assert status == 1 and uuid in said and "gave back 100 of 1070 cents" in said


@pytest.mark.rule("STAT-6")
def test_what_is_placed_meanwhile_is_not_refunded(
    site: Site, merchant: str, user: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    body = meal(merchant, user, note="sandbox:lost-answer")
    assert site.charge(body, "K").error["code"] == "outcome_unknown"
    (uuid,) = site.unrefunded()
    with monkeypatch.context() as patch:
        read = Orders.show

        def show(orders: Orders, id: str) -> StoredOrder:
            found = read(orders, id)
            patch.undo()
            # The cancellation has just read it. Now another host finds that the provider has the order.
            assert site.charged(body, "K")["state"] == "submitted"
            return found

        patch.setattr(Orders, "show", show)
        assert cancel(site, uuid).refusal == (409, "submission_in_progress", None)
    assert (site.unrefunded(), site.line.count("/refund")) == ([uuid], 0)
    assert cancel(site, uuid).json["order"]["state"] == "refunded"


@pytest.mark.rule("STAT-6")
def test_nothing_is_canceled_that_could_not_be_refunded(site: Site, uuid: str, merchant: str) -> None:
    site.done(site.call("DELETE", f"/merchants/{merchant}"))
    calls = len(site.line.calls)
    assert cancel(site, uuid).refusal == (422, "not_connected", None)
    number = site.get(f"/orders/{uuid}")["order"]["order_submission"]["order_id"]
    assert site.channel.get(f"/locations/{PLACE}/orders/{number}").order["status"] == "placed"
    assert len(site.line.calls) == calls
    site.connect_merchant()
    assert cancel(site, uuid).json["order"]["state"] == "refunded"
