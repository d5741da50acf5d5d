"""Charged orders that are canceled, or asked to be, but not through web checkout (STAT-6, EVT-8)."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from typing import Any
from unittest.mock import Mock

import pytest

from adapters.sandbox import SandboxAdapter
from levelup_ov.checkout.store import CheckoutStore
from levelup_ov.domain.status import OrderStatus
from levelup_ov.errors import Refused
from levelup_ov.ledger.engine import LedgerUnavailable
from levelup_ov.ledger.statuses import Statuses
from tests.channel import Answer, Clock, order
from tests.checkout.conftest import MakeSite
from tests.checkout.site import PLACE, VARIABLES, Site, meal
from tests.checkout.site import order as charge
from tests.checkout.test_checkout_canceled import NO_ANSWER, status_of
from tests.checkout.test_checkout_cancellations import cancel, uuid
from tests.checkout.test_checkout_interrupted import ADAPTER, LATER, NOTHING, refund_pending, stage, state
from tests.checkout.test_checkout_money import refusal
from tests.checkout.test_checkout_operator import Watched, watched
from tests.checkout.test_checkout_submissions import Killed, _die, submitted_past

__all__ = ["uuid", "watched"]


def canceled_here(site: Site, uuid: str) -> Answer:
    """The channel cancels it as it cancels orders that are not charged."""
    number = site.get(f"/orders/{uuid}")["order"]["order_submission"]["order_id"]
    return site.channel.send("POST", f"/locations/{PLACE}/orders/{number}/cancellation")


def address_of(site: Site, uuid: str) -> str:
    """Where a charged order is canceled; with our id, which is in every message as it is."""
    return f"/checkout/orders/{site.get(f'/orders/{uuid}')['order']['id']}/cancellation"


def watch(site: Site) -> str:
    return str(site.app.test_cli_runner().invoke(args=["orders", "watch", "--every", "0"]).output)


@pytest.mark.rule("STAT-6")
def test_a_charged_order_is_canceled_where_it_is_refunded(site: Site, uuid: str, clock: Clock) -> None:
    answer = canceled_here(site, uuid)
    assert answer.refusal == (422, "cancellation_refused", None)
    assert stage(site, uuid) == "placed"
    assert f"POST {address_of(site, uuid)} cancels and refunds it" in answer.error["message"]
    path = address_of(site, uuid).removeprefix("/checkout")
    assert site.call("POST", path, None, Idempotency_Key="C").status == 200 and site.refunded() == [uuid]
    # Now there is nothing to refund.
    assert canceled_here(site, uuid).json["order"]["status"] == "cancelled"


def placed_beside(site: Site, merchant: str, user: str) -> tuple[dict[str, Any], Any]:
    """A meal that was placed past web checkout: the body of its charge, and its number."""
    body = meal(merchant, user, discount_amount=0, number="N-1")
    return body, submitted_past(site, body).order["order_id"]


@pytest.mark.rule("STAT-6", "EVT-8")
def test_a_meal_that_was_placed_beside_checkout(watched: Watched, merchant: str, user: str) -> None:
    """It was placed first, and then charged."""
    site, body = watched.site, meal(merchant, user, discount_amount=0, number="N-1")
    assert submitted_past(site, body).status == 200
    uuid = site.charged(body)["uuid"]
    answer = canceled_here(site, uuid)
    assert answer.refusal == (422, "cancellation_refused", None)
    assert address_of(site, uuid) in answer.error["message"]
    call_off(site, uuid)
    (data,) = watched.reported()
    assert data["what"] == "canceled_not_refunded" and data["provider_order_id"] and uuid in site.command("cases")[1]
    call_off(site, uuid, "cooking")
    assert site.command("cases")[0] == 0 and cancel(site, uuid).status == 200
    assert canceled_here(site, uuid).json["order"]["status"] == "cancelled"


@pytest.mark.rule("STAT-6", "WEB-5")
def test_a_meal_is_charged_while_it_is_to_be_canceled(
    site: Site, merchant: str, user: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its status is asked for before the provider is asked to cancel."""
    body, number = placed_beside(site, merchant, user)
    whole = SandboxAdapter.show_status

    def status(*arguments: Any) -> Any:
        monkeypatch.undo()
        assert site.charged(body)["state"] == "submitted"
        return whole(*arguments)

    monkeypatch.setattr(SandboxAdapter, "show_status", status)
    path = f"/locations/{PLACE}/orders/{number}"
    assert site.channel.send("POST", f"{path}/cancellation").refusal == (422, "cancellation_refused", None)
    assert site.channel.get(path).order["status"] == "placed" and site.command("cases")[0] == 0


@pytest.mark.rule("STAT-6", "WEB-5", "EVT-8")
def test_a_meal_is_charged_while_its_cancellation_is_recorded(
    watched: Watched, merchant: str, user: str, monkeypatch: pytest.MonkeyPatch, clock: Clock
) -> None:
    """It was placed first. Its status has been read, and is not in the ledger yet."""
    site = watched.site
    body, number = placed_beside(site, merchant, user)
    site.call_off(clock())
    whole = Statuses.record

    def record(*arguments: Any) -> bool:
        monkeypatch.undo()
        assert site.charged(body)["state"] == "submitted"
        return whole(*arguments)

    monkeypatch.setattr(Statuses, "record", record)
    assert site.channel.get(f"/locations/{PLACE}/orders/{number}").order["status"] == "cancelled"
    assert site.command("cases")[0] == 1 and watched.words() == ["canceled_not_refunded"]


@pytest.mark.rule("STAT-6")
def test_a_refusal_to_cancel_says_what_to_do(
    site: Site, merchant: str, user: str, monkeypatch: pytest.MonkeyPatch, clock: Clock
) -> None:
    def told() -> str:
        answer = site.channel.send("POST", f"/locations/{PLACE}/orders/1/cancellation")
        assert answer.refusal == (422, "cancellation_refused", None)
        return str(answer.error["message"])

    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr("levelup_ov.checkout.submitting.mischarge", _die)
        site.charge(meal(merchant, user), "K")
    (uuid,) = site.unrefunded()
    path = address_of(site, uuid)
    assert "still being placed; once that is finished" in told() and path in told()
    clock.set(LATER)
    assert site.charged(meal(merchant, user), "K")["state"] == "submitted"
    assert "POST" in told() and "still" not in told()
    site.line.changes["/refund"] = [{"spend_amount": 500}]
    assert site.refund(uuid).error["code"] == "refund_impossible"
    assert "could not be given back" in told() and path not in told()
    assert site.command("settle", uuid, "--by", "Olive", "--why", "the guest keeps the meal")[0] == 0
    assert "operator has settled it" in told() and path not in told()


@pytest.mark.rule("STAT-6")
@pytest.mark.parametrize("with_meal", [True, False])
def test_a_request_id_alone_says_nothing_of_a_charge(
    site: Site, uuid: str, merchant: str, user: str, with_meal: bool
) -> None:
    """A channel may use the id of any charge, and submit the meal of one itself."""
    if not with_meal:
        uuid = site.charged(charge(merchant, user), "K")["uuid"]
    id = site.get(f"/orders/{uuid}")["order"]["id"]
    body = {"order_submission": {**order(), "order_number": "B-1"}}
    path = f"/locations/{PLACE}/orders"
    headers = {"X-Request-ID": id}
    placed = site.channel.send(
        "POST", f"/locations/{PLACE}/order_submissions", data=json.dumps(body), headers=headers,
        content_type="application/json",
    )  # fmt: skip
    number = placed.json["order_submission"]["order_id"]
    assert site.channel.send("POST", f"{path}/{number}/cancellation").status == 200


@pytest.mark.rule("STAT-5")
def test_a_charge_is_no_order_of_a_removed_account(site: Site, uuid: str) -> None:
    watched = site.app.test_cli_runner().invoke(args=["orders", "watch", "--every", "0"])
    assert (watched.exit_code, "not watched" in watched.output) == (0, False) and "1 checked" in watched.output


@pytest.mark.rule("STAT-5", "EVT-8")
@pytest.mark.parametrize("word", ["called-off", "turned-down"])
def test_a_restaurant_that_cancels_keeps_no_charge_unseen(
    watched: Watched, uuid: str, monkeypatch: pytest.MonkeyPatch, word: str
) -> None:
    site = watched.site
    with monkeypatch.context() as patch:
        status_of(patch, lambda reference: OrderStatus(word, reference=reference))
        assert "1 changed" in watch(site) and "0 checked" in watch(site)
    # It may have entered the order again.
    assert (state(site, uuid), site.line.count("/refund")) == ("submitted", 0)
    status, said = site.command("cases")
    assert status == 1 and uuid in said and "was canceled, and its charge was not refunded" in said
    status, said = site.reconcile()
    assert status == 1 and "still submitted: a person must settle it" in said
    (data,) = (each for each in watched.reported() if each["what"] == "canceled_not_refunded")
    assert (data["order_id"], data["levelup_uuid"]) == (1, uuid) and data["provider_order_id"] is not None


@pytest.mark.rule("STAT-6", "EVT-8")
@pytest.mark.parametrize("how", ["cancellation", "refund", "settled"])
def test_a_person_decides_about_the_charge(
    site: Site, uuid: str, monkeypatch: pytest.MonkeyPatch, how: str, clock: Clock
) -> None:
    status_of(monkeypatch, lambda reference: OrderStatus("called-off", reference=reference))
    assert "1 changed" in watch(site)
    clock.set(LATER)
    if how == "settled":
        assert site.command("settle", uuid, "--by", "Olive", "--why", "they made another one")[0] == 0
        answer = cancel(site, uuid)
        assert answer.refusal == (502, "refund_impossible", None)
        assert answer.error["message"].startswith("this order was canceled (")
    else:
        # A refund that is refused for now changes nothing of it.
        site.line.faults["/refund"] = [refusal(422, "refund", "manager_confirmation")]
        assert site.refund(uuid).error["code"] == "manager_confirmation_required"
        assert site.command("cases")[0] == 1
        assert site.call("POST", f"/orders/{uuid}/{how}", None, Idempotency_Key="C").status == 200
        assert site.refunded() == [uuid]
    assert site.command("cases")[0] == 0 and site.reconcile() == NOTHING


@pytest.mark.rule("STAT-5", "EVT-8")
def test_a_status_is_not_known_before_its_case_is(
    site: Site, uuid: str, monkeypatch: pytest.MonkeyPatch, clock: Clock
) -> None:
    status_of(monkeypatch, lambda reference: OrderStatus("called-off", reference=reference))
    with monkeypatch.context() as patch:
        patch.setattr(CheckoutStore, "change_within", Mock(side_effect=LedgerUnavailable("no room on the disk")))
        assert "0 changed" in watch(site)
    assert site.command("cases")[0] == 0
    clock.set(LATER)
    assert "1 changed" in watch(site) and site.command("cases")[0] == 1


@pytest.mark.rule("STAT-7", "EVT-8")
def test_a_cancellation_through_web_checkout_is_no_case(watched: Watched, uuid: str) -> None:
    watched.site.line.faults["/refund"] = ["unreached"]
    assert cancel(watched.site, uuid).error["code"] == "refund_pending"
    assert watched.site.command("cases")[0] == 0 and watched.words() == []


def call_off(site: Site, uuid: str, word: str = "called-off") -> None:
    """The restaurant changes the status of an order, and the service sees it."""
    with pytest.MonkeyPatch.context() as patch:
        status_of(patch, lambda reference: OrderStatus(word, reference=reference))
        stage(site, uuid)


FOR_GOOD = refusal(422, "order", "base")


@pytest.mark.rule("STAT-6", "WEB-3", "EVT-8")
@pytest.mark.parametrize("order", ["called off first", "called off last"])
@pytest.mark.parametrize("other", ["refund_unproven", "not_connected", ""])
def test_another_case_hides_no_canceled_order(
    watched: Watched, uuid: str, merchant: str, clock: Clock, other: str, order: str
) -> None:
    site = watched.site
    refund_pending(site, uuid)
    clock.set(LATER)
    if order == "called off first":
        call_off(site, uuid)
    if other == "refund_unproven":
        site.line.faults["/refund"] = ["unreached"] * 9
        for now in (LATER, "2030-06-04T16:10Z"):
            clock.set(now)
            assert site.reconcile()[0] == 1
    elif other == "not_connected":
        site.call("DELETE", f"/merchants/{merchant}")
        assert site.reconcile()[0] == 1
        site.connect_merchant()
    if order == "called off last":
        call_off(site, uuid)
    assert site.command("cases")[0] == 1
    # The other case ends, and nothing was refunded.
    site.line.faults["/refund"] = [FOR_GOOD] * 9
    clock.now += timedelta(minutes=20)
    assert site.reconcile()[0] == 1 and state(site, uuid) == "submitted"
    status, said = site.command("cases")
    assert status == 1 and uuid in said and "was canceled, and its charge was not refunded" in said
    assert sorted(watched.words()) == sorted(filter(None, [other, "canceled_not_refunded"]))
    del site.line.faults["/refund"]
    assert site.refund(uuid).status == 200 and site.reconcile() == NOTHING and site.command("cases")[0] == 0


@pytest.mark.rule("STAT-7", "EVT-8")
@pytest.mark.parametrize("asks", ["command", "site"])
def test_a_restaurant_cancels_while_a_cancellation_ends(
    watched: Watched, uuid: str, monkeypatch: pytest.MonkeyPatch, clock: Clock, asks: str
) -> None:
    """The provider has not canceled it for the site, but the restaurant does at that moment."""
    site = watched.site
    if asks == "command":
        with monkeypatch.context() as patch:
            status_of(patch, NO_ANSWER)
            assert cancel(site, uuid).error["code"] == "provider_timeout"
        clock.set(LATER)
    else:
        monkeypatch.setattr(f"{ADAPTER}.cancel_order", Mock(side_effect=Refused("cancellation_refused", "no")))
    change_order, called = CheckoutStore.change_order, list[str]()

    def change(store: CheckoutStore, id: str, *rest: Any, **named: Any) -> Any:
        if named["values"].get("cancellation", "") is None and not called:
            called.append(id)
            call_off(site, uuid)
        return change_order(store, id, *rest, **named)

    monkeypatch.setattr(CheckoutStore, "change_order", change)
    if asks == "command":
        site.reconcile()
    else:
        assert cancel(site, uuid).error["code"] == "cancellation_refused"
    assert called and state(site, uuid) == "submitted"
    status, said = site.command("cases")
    assert status == 1 and uuid in said and watched.words() == ["canceled_not_refunded"]


@pytest.mark.rule("STAT-5", "EVT-8")
def test_an_order_that_is_made_again_is_no_case(site: Site, uuid: str) -> None:
    for word, cases in (
        ("called-off", 1),
        ("in orbit", 1),
        ("cooking", 0),
        ("in orbit", 0),
        ("turned-down", 1),
        ("cooking", 0),
    ):
        call_off(site, uuid, word)
        assert site.command("cases")[0] == cases, word
    assert site.reconcile() == NOTHING


@pytest.mark.rule("STAT-5", "EVT-8")
@pytest.mark.parametrize("is_dated", [True, False])
def test_a_status_that_goes_to_and_fro_is_reported_once(
    watched: Watched, uuid: str, monkeypatch: pytest.MonkeyPatch, clock: Clock, is_dated: bool
) -> None:
    """The provider's answers come from now this, now that copy of its data."""
    site, canceled = watched.site, clock() + timedelta(minutes=5)
    answers = [("called-off", canceled), ("confirmed", clock())] * 4
    for word, at in answers:
        with monkeypatch.context() as patch:
            found = OrderStatus(word, reference=None, changed_at=at if is_dated else None)
            status_of(patch, lambda reference, found=found: replace(found, reference=reference))  # type: ignore[misc]
            stage(site, uuid)
    assert site.command("cases")[0] == is_dated and watched.words() == ["canceled_not_refunded"]


@pytest.mark.rule("STAT-6", "EVT-8")
def test_a_host_without_web_checkout_knows_what_was_charged(
    make_site: MakeSite, site: Site, uuid: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    number = site.get(f"/orders/{uuid}")["order"]["order_submission"]["order_id"]
    other = make_site(**dict.fromkeys(VARIABLES, ""))
    assert other.call("GET", f"/orders/{uuid}").status == 404
    answer = other.channel.send("POST", f"/locations/{PLACE}/orders/{number}/cancellation")
    assert answer.refusal == (422, "cancellation_refused", None)
    assert f"POST {address_of(site, uuid)} cancels" in answer.error["message"] and stage(site, uuid) == "placed"
    with monkeypatch.context() as patch:
        status_of(patch, lambda reference: OrderStatus("called-off", reference=reference))
        assert "1 changed" in watch(other)
    status, said = site.command("cases")
    assert status == 1 and uuid in said and "was canceled, and its charge was not refunded" in said
