"""An order is canceled, or the channel learns that it is not, or that it is not known yet: STAT-6."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime
from typing import Any
from urllib.parse import quote

import pytest

from adapters.sandbox import SandboxAdapter
from levelup_ov.domain.failure import Failure
from levelup_ov.domain.outcome import Placed
from levelup_ov.domain.status import OrderStatus
from levelup_ov.errors import Refused, Unanswered
from tests.channel import CARD, Answer, Channel, Clock, order
from tests.contract.conftest import MakeFake
from tests.contract.fakes import CancelingAdapter, ReportingAdapter

MakeCanceling = tuple[CancelingAdapter, Channel]
LOST = Unanswered("provider_timeout", "no answer", sent=True)
GARBAGE = Unanswered("provider_protocol_error", "not JSON", sent=True)


def cancel(channel: Channel, order_id: str | int = 1, location: str = "sandbox.congress", **headers: str) -> Answer:
    path = f"/locations/{location}/orders/{quote(str(order_id), safe='')}/cancellation"
    return channel.send("POST", path, headers=headers)


@pytest.fixture
def canceling(fake: MakeFake) -> MakeCanceling:
    """A provider that cancels as a test says, with one order."""
    adapter, channel = fake(LEVELUP_OV_ADAPTERS="fake=tests.contract.fakes:CancelingAdapter")
    assert isinstance(adapter, CancelingAdapter)
    adapter.placed = Placed("A-1", "technical", reference=None)
    channel.submit("fake.one")
    return adapter, channel


def says(adapter: CancelingAdapter, words: Iterable[str | Exception]) -> None:
    """The provider's words for the status, one after the other."""
    adapter.words = [each if isinstance(each, Exception) else OrderStatus(each, reference=None) for each in words]


@pytest.mark.rule("STAT-6", "TIME-1")
def test_an_order_is_canceled_once(channel: Channel, clock: Clock) -> None:
    channel.submit()
    clock.set("2030-06-03T16:05Z")
    canceled = cancel(channel).order
    assert (canceled["order_id"], canceled["status"], canceled["provider_status"]) == (1, "cancelled", "called-off")
    assert canceled["changed_at"] == "2030-06-03T12:05"
    clock.set("2030-06-03T16:08Z")
    assert cancel(channel).order == canceled == channel.get("/locations/sandbox.congress/orders/1").order


@pytest.mark.rule("STAT-6")
@pytest.mark.parametrize("order_id", ["Table 4/5", "/17", "a//", "/", "a/cancellation", "cancellation"])
def test_any_number_can_be_canceled(fake: MakeFake, order_id: str) -> None:
    adapter, channel = fake(LEVELUP_OV_ADAPTERS="fake=tests.contract.fakes:CancelingAdapter")
    assert isinstance(adapter, CancelingAdapter)
    adapter.placed = Placed(order_id, "technical", reference=None)
    channel.submit("fake.one")
    says(adapter, ["on the grill", "binned"])
    assert cancel(channel, order_id, "fake.one").order["order_id"] == order_id
    assert len(adapter.canceled) == 1


@pytest.mark.rule("STAT-6")
@pytest.mark.parametrize("minute", ["16:10", "16:30"])
def test_an_order_that_is_ready_is_not_canceled(channel: Channel, clock: Clock, minute: str) -> None:
    channel.submit()
    clock.set(f"2030-06-03T{minute}Z")
    assert cancel(channel).refusal == (422, "cancellation_refused", None)
    clock.set("2030-06-03T16:30Z")
    assert channel.get("/locations/sandbox.congress/orders/1").order["status"] == "picked_up"


@pytest.mark.rule("STAT-6")
def test_a_word_that_nobody_knows_may_be_too_late(canceling: MakeCanceling) -> None:
    adapter, channel = canceling
    says(adapter, ["in orbit"])
    answer = cancel(channel, "A-1", "fake.one")
    assert answer.refusal == (504, "cancellation_unknown", None) and "status in orbit" in answer.error["message"]
    assert adapter.canceled == []


@pytest.mark.rule("STAT-6", "EVT-1")
def test_an_older_answer_hides_no_cancellation(canceling: MakeCanceling, monkeypatch: pytest.MonkeyPatch) -> None:
    """`orders watch` asks before the order is canceled, and is answered after that."""
    adapter, channel = canceling
    says(adapter, ["on the grill", "binned"])
    asks, is_canceled = threading.Event(), threading.Event()
    whole = type(adapter).show_status

    def watch() -> None:
        channel.app.test_cli_runner().invoke(args=["orders", "watch", "--every", "0"])

    watcher = threading.Thread(target=watch)

    def show_status(self: CancelingAdapter, *rest: Any) -> OrderStatus:
        if threading.current_thread() is threading.main_thread():
            return whole(self, *rest)
        asks.set()
        assert is_canceled.wait(20)
        return OrderStatus("on the grill", reference=None)

    def cancel_order(*_: Any) -> None:
        watcher.start()
        assert asks.wait(20)

    monkeypatch.setattr(type(adapter), "show_status", show_status)
    monkeypatch.setattr(type(adapter), "cancel_order", cancel_order)
    assert cancel(channel, "A-1", "fake.one").order["status"] == "cancelled"
    is_canceled.set()
    watcher.join()
    assert "0 open orders" in channel.app.test_cli_runner().invoke(args=["orders", "list"]).output


@pytest.mark.rule("STAT-6")
def test_a_lost_answer_is_looked_up(channel: Channel) -> None:
    channel.submit(special_instructions="sandbox:lost-cancellation")
    assert cancel(channel).order["status"] == "cancelled"


@pytest.mark.rule("STAT-6")
def test_an_order_paid_with_a_card_is_the_restaurants(channel: Channel) -> None:
    assert channel.submit("sandbox.card", credit_card=CARD).status == 200
    answer = cancel(channel, location="sandbox.card")
    assert answer.refusal == (422, "cancellation_refused", None) and "card" in answer.error["message"]
    assert channel.get("/locations/sandbox.card/orders/1").order["status"] == "placed"


@pytest.mark.rule("STAT-6", "ERR-3")
def test_what_cannot_be_canceled(channel: Channel, fake: MakeFake) -> None:
    assert cancel(channel).refusal == (404, "order_not_found", None)
    assert cancel(channel, location="sandbox.nowhere").refusal == (404, "location_not_found", None)
    channel.submit()
    wrong = cancel(channel, **{"Idempotency-Key": "never used"})
    assert wrong.refusal == (404, "order_not_found", None)


@pytest.mark.rule("STAT-6")
def test_a_provider_that_cannot_cancel_is_not_asked(fake: MakeFake) -> None:
    provider, channel = fake(LEVELUP_OV_ADAPTERS="fake=tests.contract.fakes:ReportingAdapter")
    assert isinstance(provider, ReportingAdapter)
    channel.submit("fake.one")
    assert cancel(channel, "A-1", "fake.one").refusal == (422, "cancellation_not_supported", None)
    assert provider.asked == []


@pytest.mark.rule("STAT-6")
@pytest.mark.parametrize(
    ("answer", "words", "expected"),
    [
        (None, ["on the grill", "binned"], "cancelled"),
        (LOST, ["on the grill", "binned"], "cancelled"),
        (Refused("order_refused", "no"), ["on the grill", "binned"], "cancelled"),
        (None, ["on the grill", "turned away"], "refused"),
        (Refused("order_refused", "too late"), ["on the grill", "on the grill"], "cancellation_refused"),
        (Refused("order_refused", "too late"), ["on the grill", "in orbit"], "cancellation_refused"),
        (None, ["on the grill", "on the grill"], "cancellation_unknown"),
        (None, ["on the grill", "in orbit"], "cancellation_unknown"),
        (None, ["on the grill", "gone"], "cancellation_unknown"),
        (LOST, ["on the grill", "on the grill"], "cancellation_unknown"),
        (None, ["on the grill", LOST], "cancellation_unknown"),
        (Refused("order_refused", "too late"), ["on the grill", LOST], "cancellation_unknown"),
    ],
)
def test_only_the_status_proves_a_cancellation(
    canceling: MakeCanceling, answer: Exception | None, words: list[str | Exception], expected: str
) -> None:
    provider, channel = canceling
    provider.cancellation = answer
    says(provider, words)
    result = cancel(channel, "A-1", "fake.one")
    assert provider.canceled == ["technical-1"] and provider.words == []
    if expected in ("cancelled", "refused"):
        assert result.order["status"] == expected
    else:
        assert result.refusal[1] == expected and result.error["retryable"] == (expected == "cancellation_unknown")


@pytest.mark.rule("STAT-6")
@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("binned", 200),
        ("turned away", 200),
        ("gone", "cancellation_refused"),
        (LOST, "provider_timeout"),
        # An earlier request may have canceled it: not an answer that ends the tries.
        (GARBAGE, "cancellation_unknown"),
    ],
    ids=["canceled", "refused", "picked up", "no answer", "garbage"],
)
def test_an_ended_order_is_not_canceled_again(canceling: MakeCanceling, word: Any, expected: int | str) -> None:
    provider, channel = canceling
    says(provider, [word])
    answer = cancel(channel, "A-1", "fake.one")
    assert expected in (answer.status, answer.status != 200 and answer.refusal[1])
    assert provider.canceled == [] and provider.words == []


@pytest.mark.rule("STAT-6", "STAT-7")
@pytest.mark.parametrize(
    "told", [Refused("order_refused", "too late"), Unanswered("provider_unavailable", "no route", sent=False)]
)
def test_no_adapter_decides_after_an_unanswered_call(
    channel: Channel, told: Failure, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The provider cancels the order after its status was asked for."""
    channel.submit(special_instructions="sandbox:lost-cancellation")
    cancel_order, show_status = SandboxAdapter.cancel_order, SandboxAdapter.show_status

    def concludes(*asked: Any) -> None:
        try:
            cancel_order(*asked)
        except Unanswered:
            raise told from None

    def cooks(*asked: Any) -> OrderStatus:
        return replace(show_status(*asked), word="cooking")

    with monkeypatch.context() as patch:
        patch.setattr(SandboxAdapter, "cancel_order", concludes)
        patch.setattr(SandboxAdapter, "show_status", cooks)
        answer = cancel(channel)
        assert answer.refusal == (504, "cancellation_unknown", None)
    assert cancel(channel).order["status"] == "cancelled"


@pytest.mark.rule("STAT-6")
def test_what_was_not_sent_is_reported_as_it_is(canceling: MakeCanceling) -> None:
    provider, channel = canceling
    provider.cancellation = Unanswered("provider_unavailable", "no route", sent=False)
    says(provider, ["on the grill"])
    assert cancel(channel, "A-1", "fake.one").refusal[1] == "provider_unavailable"


@pytest.mark.rule("STAT-3", "STAT-6")
def test_the_cancellation_of_another_order_proves_nothing(canceling: MakeCanceling) -> None:
    provider, channel = canceling
    provider.words = [
        OrderStatus("on the grill", reference=None),
        OrderStatus("binned", reference="another", changed_at=datetime.fromisoformat("2030-06-03T16:00Z")),
    ]
    assert cancel(channel, "A-1", "fake.one").refusal == (504, "cancellation_unknown", None)


@pytest.mark.rule("STAT-6")
@pytest.mark.parametrize("first", ["on the grill", "in orbit", "gone", "binned"])
def test_a_number_of_several_orders_cancels_none(canceling: MakeCanceling, first: str) -> None:
    """The channel may mean either, and repeats its request for the one that was canceled."""
    provider, channel = canceling
    says(provider, [first])
    channel.get("/locations/fake.one/orders/A-1")
    channel.send(
        "POST", "/locations/fake.one/order_submissions",
        json={"order_submission": order(special_instructions="for Bob")}, headers={"Idempotency-Key": "bob"},
    )  # fmt: skip
    answer = cancel(channel, "A-1", "fake.one")
    assert answer.refusal == (409, "order_id_ambiguous", None) and not answer.error["retryable"]
    assert "Idempotency-Key" in answer.error["message"] and provider.canceled == []
    says(provider, ["on the grill", "binned"])
    assert cancel(channel, "A-1", "fake.one", **{"Idempotency-Key": "bob"}).order["status"] == "cancelled"
    assert provider.canceled == ["technical-2"]


@pytest.mark.rule("STAT-6")
def test_a_number_of_another_location_is_another_number(channel: Channel) -> None:
    channel.submit()
    channel.submit("sandbox.card", credit_card=CARD)
    assert cancel(channel).order["status"] == "cancelled"
    assert channel.get("/locations/sandbox.card/orders/1").order["status"] == "placed"
