"""Toast behind the service: over the contract's HTTP interface, against the stand-in."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.channel import CARD, Answer, Channel, Clock, item
from tests.conftest import MakeApp
from tests.servers.toast import BOSTON, CAMBRIDGE, CLIENT_SECRET, Refusal, ToastServer

ORDERS = "/orders/v2/orders"
FOUND = f"{ORDERS}/<key>"
LOCATION = f"grill.{BOSTON}"
BURGER = item("lunch:mains:burger", "side:fries", "side:fries:dip@2:mayo", "side:fries:dip@2:mayo:heat:hot")
ACCOUNT = """
[accounts.grill]
provider = "toast"
name = "Boston Grill"
accepts_tips = true
[accounts.grill.settings]
client_secret = "env:TOAST_SECRET"
"""


@pytest.fixture
def toast(clock: Clock) -> Iterator[ToastServer]:
    clock.set("2026-11-20T17:00Z")
    with ToastServer() as server:
        yield server


@pytest.fixture
def channel(toast: ToastServer, make_app: MakeApp, tmp_path: Path) -> Channel:
    accounts = tmp_path / "accounts.toml"
    accounts.write_text(ACCOUNT + "".join(f'{name} = "{value}"\n' for name, value in toast.settings().items()))
    return Channel(make_app(LEVELUP_OV_ACCOUNTS=str(accounts), TOAST_SECRET=CLIENT_SECRET))


def validate(channel: Channel, *items: Any, **members: Any) -> Answer:
    return channel.validate(LOCATION, items=list(items) or [BURGER], **members)


def submit(channel: Channel, *items: Any, **members: Any) -> Answer:
    return channel.submit(LOCATION, items=list(items) or [BURGER], **members)


def made(toast: ToastServer, since: int = 0) -> int:
    return sum(toast.calls.values()) - since


@pytest.mark.rule("EP-2", "EP-3", "LOC-1", "MENU-1", "MENU-3")
def test_locations_and_menu(channel: Channel) -> None:
    locations = channel.get("/merchants/grill/locations").json["locations"]
    menu = channel.get(f"/locations/{LOCATION}/menu").json["menu"]

    assert [each["location"]["provider_id"] for each in locations] == [LOCATION, f"grill.{CAMBRIDGE}"]
    assert "side:fries:dip@2:mayo:heat" in [group["option_group"]["provider_id"] for group in menu["option_groups"]]


@pytest.mark.rule("EP-4", "MONEY-2", "MONEY-3", "MONEY-4", "MONEY-5", "MONEY-8", "TIME-1", "TIME-3", "TIME-8", "ITEM-3")
def test_a_validation(channel: Channel) -> None:
    order = validate(channel, tip=200, merchant_funded_discount=100).order

    assert (order["total"], order["tax"], order["tip"]) == (1085, 69, 200)
    assert (order["merchant_funded_discount"], order["provider_funded_discount"]) == (100, 0)
    assert order["soonest_available_at"] == order["ready_at"] == "2026-11-20T12:20"
    assert order["available_at"][:2] == ["2026-11-20T12:30", "2026-11-20T12:45"]


@pytest.mark.rule("TIME-2", "TIME-4", "TIME-5", "TIME-10")
def test_times_of_a_validation(channel: Channel, clock: Clock) -> None:
    assert validate(channel, desired_ready_time="2026-11-20T17:31").order["ready_at"] == "2026-11-20T17:45"
    clock.set("2026-11-22T03:00Z")
    closed = validate(channel).order
    assert (closed["ready_at"], closed["available_at"][0]) == ("2026-11-22T11:30", "2026-11-22T11:45")
    late = validate(channel, desired_ready_time="2026-12-24T12:00")
    assert late.refusal == (422, "ready_time_unavailable", "$.order_validation.desired_ready_time")


@pytest.mark.rule("EP-5", "SUB-1", "META-2", "PAY-1", "PAY-4")
def test_a_submission_after_a_validation(
    channel: Channel, toast: ToastServer, caplog: pytest.LogCaptureFixture
) -> None:
    metadata = validate(channel, tip=200).order["metadata"]

    order = submit(channel, tip=200, metadata=metadata).order

    assert (order["order_id"], order["expected_ready_at"]) == ("1", "2026-11-20T12:20")
    [placed] = toast.orders.values()
    [payment] = placed["checks"][0]["payments"]
    assert (payment["amount"], payment["tipAmount"]) == (11.61, 2.0)
    assert "charge_mismatch" not in caplog.text
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]


@pytest.mark.rule("PAY-3", "ERR-2", "ITEM-5", "EP-12")
def test_refusals(channel: Channel, toast: ToastServer) -> None:
    assert submit(channel, credit_card=CARD).refusal[:2] == (422, "tender_not_accepted")
    assert validate(channel, fulfillment_type="delivery").refusal[:2] == (422, "fulfillment_not_supported")
    orphan = validate(channel, item("lunch:mains:burger", "side:fries:dip@2:mayo"))
    assert orphan.refusal == (
        422, "orphan_option", "$.order_validation.items[0].item.options[0].option.provider_id",
    )  # fmt: skip
    refused = validate(channel, item("lunch:mains:burger"))
    assert refused.refusal[:2] == (422, "invalid_choices")
    assert refused.error["message"] == "Modifier group Side needs at least 1 selections"
    assert toast.orders == {}


@pytest.mark.rule("SUB-2", "SUB-4", "SUB-5")
@pytest.mark.parametrize("effect", ["lost", "garbled"])
def test_a_lost_answer_is_reconciled_without_a_second_order(channel: Channel, toast: ToastServer, effect: str) -> None:
    toast.fault(ORDERS, effect)
    lost = submit(channel, order_number="A-1")
    assert lost.refusal[:2] == (504, "outcome_unknown")

    again = submit(channel, order_number="A-1")

    assert again.order["order_id"] == "1" and again.headers["Idempotency-Replayed"] == "true"
    assert len(toast.orders) == toast.calls[f"POST {ORDERS}"] == 1


@pytest.mark.rule("SUB-5", "SUB-8", "STAT-1", "STAT-6")
def test_a_lost_order_whose_check_is_split_is_found(channel: Channel, toast: ToastServer) -> None:
    toast.fault(ORDERS, "lost")
    assert submit(channel, order_number="A-1").refusal[:2] == (504, "outcome_unknown")
    [order] = toast.orders.values()
    order["checks"].append({**order["checks"][0], "guid": "another", "payments": [], "totalAmount": 0.0})

    order_id = submit(channel, order_number="A-1").order["order_id"]

    assert len(toast.orders) == toast.calls[f"POST {ORDERS}"] == 1
    assert channel.get(f"/locations/{LOCATION}/orders/{order_id}").order["status"] == "placed"
    canceled = channel.send("POST", f"/locations/{LOCATION}/orders/{order_id}/cancellation")
    assert canceled.order["status"] == "cancelled"


@pytest.mark.rule("SUB-2", "SUB-4", "SUB-5")
def test_an_order_not_found_stays_unknown_while_it_may_arrive(channel: Channel, toast: ToastServer) -> None:
    toast.fault(ORDERS, 500)
    assert submit(channel, order_number="A-2").refusal[:2] == (504, "outcome_unknown")

    assert submit(channel, order_number="A-2").refusal[:2] == (504, "outcome_unknown")

    assert toast.orders == {} and toast.calls[f"POST {ORDERS}"] == 1


@pytest.mark.rule("SUB-5")
def test_a_look_up_without_proof_leaves_the_outcome_unknown(channel: Channel, toast: ToastServer) -> None:
    toast.fault(ORDERS, "lost")
    submit(channel, order_number="A-3")
    [external_id] = toast.orders
    toast.fault(f"{ORDERS}/{external_id}", 400)

    assert submit(channel, order_number="A-3").refusal[:2] == (504, "outcome_unknown")
    assert submit(channel, order_number="A-3").order["order_id"] == "1"
    assert toast.calls[f"POST {ORDERS}"] == 1


SAID_TWICE = (
    "An order with externalId LEVELUP:1 already exists", "Duplicate entry for key", "Conflict", "Soup is sold out",
    "The restaurant takes no online orders",
)  # fmt: skip


@pytest.mark.rule("SUB-2", "SUB-8")
@pytest.mark.parametrize("words", SAID_TWICE)
def test_a_call_that_arrives_twice_is_one_order(channel: Channel, toast: ToastServer, words: str) -> None:
    """The first delivery makes the order, and the answer to the second one comes back."""
    toast.fault(ORDERS, words)

    placed = submit(channel, order_number="A-4")

    assert placed.order["order_id"] == "1" and "Idempotency-Replayed" not in placed.headers
    assert submit(channel, order_number="A-4").order["order_id"] == "1"
    assert len(toast.orders) == toast.calls[f"POST {ORDERS}"] == 1


@pytest.mark.rule("SUB-2", "SUB-5", "SUB-8")
@pytest.mark.parametrize("answer", [429, 400, 503, Refusal(404, "Restaurant not found")])
def test_a_refusal_that_cannot_be_looked_up_is_unknown(channel: Channel, toast: ToastServer, answer: Any) -> None:
    toast.fault(ORDERS, "Conflict")
    if isinstance(answer, int):
        toast.fault(FOUND, answer, answer, answer)
    else:
        toast.overrides[FOUND] = answer

    assert submit(channel, order_number="A-5").refusal[:2] == (504, "outcome_unknown")
    toast.overrides.clear()
    toast.faults.clear()

    assert submit(channel, order_number="A-5").order["order_id"] == "1"
    assert len(toast.orders) == 1


@pytest.mark.rule("SUB-2", "SUB-5")
def test_a_refused_order_is_not_placed(channel: Channel, toast: ToastServer) -> None:
    toast.fault(ORDERS, 400)

    assert submit(channel, order_number="A-6").refusal[:2] == (422, "order_refused")
    assert toast.orders == {}
    assert submit(channel, order_number="A-6").order["order_id"] == "1"


@pytest.mark.rule("SUB-2", "SUB-8")
def test_a_late_copy_of_a_refused_call_is_told_to_the_next_try(channel: Channel, toast: ToastServer) -> None:
    toast.fault(ORDERS, 400)
    assert submit(channel, order_number="A-6").refusal[:2] == (422, "order_refused")
    [refused] = [body["externalId"] for path, body in toast.bodies if path == ORDERS]
    assert submit(channel, order_number="A-7").order["order_id"] == "1"
    _, made = toast.orders.popitem()
    toast.orders[refused] = {**made, "externalId": refused, "guid": "of-the-copy"}

    assert submit(channel, order_number="A-6").order["order_id"] == "1"
    assert toast.calls[f"POST {ORDERS}"] == 2


@pytest.mark.rule("SUB-2", "SUB-10")
@pytest.mark.parametrize("name, value", [("naming_authority", "OTHER"), ("client_id", "client-2")])
def test_another_name_proves_no_absence(
    channel: Channel, toast: ToastServer, make_app: MakeApp, tmp_path: Path, name: str, value: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """Toast has no order under the new name, and says so."""
    monkeypatch.setattr("levelup_ov.ordering.reconciling.CONFIRMED_AFTER", 0.01)
    toast.fault(ORDERS, "lost")
    assert submit(channel, order_number="A-7").refusal[:2] == (504, "outcome_unknown")
    accounts = tmp_path / "accounts.toml"
    settings = toast.settings(**{name: value})
    accounts.write_text(ACCOUNT + "".join(f'{name} = "{value}"\n' for name, value in settings.items()))
    toast.client_id = settings["client_id"]
    hidden = dict(toast.orders)
    toast.orders.clear()
    moved = Channel(make_app(
        LEVELUP_OV_ACCOUNTS=str(accounts), TOAST_SECRET=CLIENT_SECRET, LEVELUP_OV_RECONCILE_GRACE="0.1"
    ))  # fmt: skip
    for _ in range(3):
        assert submit(moved, order_number="A-7").refusal[:2] == (504, "outcome_unknown")
        time.sleep(0.15)
    assert toast.orders == {} and toast.calls[f"POST {ORDERS}"] == 1
    toast.orders.update(hidden)
    # What is found counts, but for another name it is another order.
    assert submit(moved, order_number="A-7").status == (504 if name == "naming_authority" else 200)


@pytest.mark.rule("ERR-3")
@pytest.mark.parametrize("status, expected", [
    (401, (502, "provider_credentials_refused")), (429, (429, "rate_limited")), (503, (503, "provider_unavailable")),
])  # fmt: skip
def test_what_toast_fails_to_say(channel: Channel, toast: ToastServer, status: int, expected: tuple[int, str]) -> None:
    validate(channel)
    toast.fault("/orders/v2/prices", status, status, status)

    assert validate(channel).refusal[:2] == expected


@pytest.mark.rule("ERR-4")
def test_no_secret_is_logged(channel: Channel, toast: ToastServer, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    toast.fault(ORDERS, "lost")
    submit(channel)

    assert "t0ken" not in caplog.text and CLIENT_SECRET not in caplog.text


@pytest.mark.rule("SUB-6")
def test_calls_are_the_fewest_possible(channel: Channel, toast: ToastServer) -> None:
    """As the page of the provider says: a price, and a price and an order."""
    metadata = validate(channel).order["metadata"]
    # A login, both restaurants for the list of locations, the schedule, the price.
    assert (before := made(toast)) == 5
    validate(channel)
    assert made(toast, before) == 1
    before = made(toast)
    submit(channel, metadata=metadata)
    assert made(toast, before) == 2
    metadata = validate(channel, tip=100).order["metadata"]
    toast.fault(ORDERS, 400)
    before = made(toast)
    assert submit(channel, tip=100, metadata=metadata).refusal[0] == 422
    assert made(toast, before) == 3
