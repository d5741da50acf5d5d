"""A channel names nothing, an order is called off, and the same is ordered again: SUB-3, SUB-4."""

from __future__ import annotations

from typing import Any

import pytest

from levelup_ov.domain.outcome import Placed
from levelup_ov.domain.status import OrderStatus
from levelup_ov.errors import Refused, Unanswered
from tests.channel import CARD, Answer, Channel, order
from tests.contract.conftest import MakeFake
from tests.contract.fakes import CancelingAdapter

MakeCanceling = tuple[CancelingAdapter, Channel]
LOST = Unanswered("provider_timeout", "no answer", sent=True)
UNSENT = Unanswered("provider_unavailable", "no route", sent=False)
TOO_LATE = Refused("order_refused", "too late")


@pytest.fixture
def canceling(fake: MakeFake) -> MakeCanceling:
    """A provider that cancels as a test says."""
    adapter, channel = fake(LEVELUP_OV_ADAPTERS="fake=tests.contract.fakes:CancelingAdapter")
    assert isinstance(adapter, CancelingAdapter)
    return adapter, channel


def submit(channel: Channel, **members: Any) -> Answer:
    """An OS without any identity, unless ``members`` has one."""
    return channel.post("fake.one", "order_submission", {"order_submission": order(**members)})


def says(adapter: CancelingAdapter, *words: str | Exception) -> None:
    adapter.words = [each if isinstance(each, Exception) else OrderStatus(each, reference=None) for each in words]


def cancel(canceling: MakeCanceling, *words: str | Exception) -> Answer:
    """Cancel the order A-1, of which the provider says ``words``; from now on it gives the number A-2."""
    adapter, channel = canceling
    adapter.placed = Placed("A-2", "technical", reference=None)
    says(adapter, *words)
    return channel.send("POST", "/locations/fake.one/orders/A-1/cancellation")


def told(answer: Answer) -> tuple[str, bool]:
    """The number that was answered, and whether it was an answer given before."""
    return answer.order["order_id"], "Idempotency-Replayed" in answer.headers


def findings(channel: Channel) -> str:
    return channel.app.test_cli_runner().invoke(args=["submissions", "list", "--findings"]).output


@pytest.mark.rule("SUB-3", "STAT-6")
@pytest.mark.parametrize("word", ["binned", "turned away"])
def test_what_was_canceled_is_made_when_ordered_again(canceling: MakeCanceling, word: str) -> None:
    adapter, channel = canceling
    assert told(submit(channel)) == ("A-1", False)
    assert cancel(canceling, "on the grill", word).status == 200
    assert told(submit(channel)) == ("A-2", False)
    assert told(submit(channel)) == ("A-2", True)
    assert len(adapter.orders) == 2


@pytest.mark.rule("SUB-3", "STAT-1")
@pytest.mark.parametrize("tender", [{}, {"credit_card": CARD}], ids=["levelup", "card"])
def test_what_the_restaurant_refused_can_be_ordered_again(canceling: MakeCanceling, tender: dict[str, Any]) -> None:
    adapter, channel = canceling
    assert told(submit(channel, **tender)) == ("A-1", False)
    adapter.placed = Placed("A-2", "technical", reference=None)
    assert told(submit(channel, **tender)) == ("A-1", True)
    says(adapter, "turned away")
    assert channel.get("/locations/fake.one/orders/A-1").order["status"] == "refused"
    assert told(submit(channel, **tender)) == ("A-2", False)


@pytest.mark.rule("SUB-4")
def test_a_named_order_is_answered_as_before(canceling: MakeCanceling) -> None:
    adapter, channel = canceling
    assert told(submit(channel, order_number="17")) == ("A-1", False)
    assert cancel(canceling, "on the grill", "binned").status == 200
    assert told(submit(channel, order_number="17")) == ("A-1", True)
    assert len(adapter.orders) == 1


@pytest.mark.rule("SUB-3", "STAT-6")
@pytest.mark.parametrize("last", ["on the grill", "in orbit", LOST])
def test_what_may_be_canceled_is_not_answered_as_placed(canceling: MakeCanceling, last: str | Exception) -> None:
    adapter, channel = canceling
    submit(channel)
    adapter.cancellation = LOST
    assert cancel(canceling, "on the grill", last).refusal[1] == "cancellation_unknown"
    assert submit(channel).refusal == (409, "submission_in_progress", None)
    assert len(adapter.orders) == 1
    assert cancel(canceling, "binned").status == 200
    assert told(submit(channel)) == ("A-2", False)


@pytest.mark.rule("SUB-4", "STAT-6")
@pytest.mark.parametrize("cancellation", [TOO_LATE, UNSENT], ids=["refused", "not sent"])
def test_what_is_not_canceled_is_answered_as_placed(canceling: MakeCanceling, cancellation: Exception) -> None:
    adapter, channel = canceling
    submit(channel)
    adapter.cancellation = cancellation
    assert cancel(canceling, "on the grill", "on the grill").status in (422, 503)
    assert told(submit(channel)) == ("A-1", True)


@pytest.mark.rule("SUB-3", "STAT-7")
def test_a_refusal_says_nothing_of_an_earlier_cancellation(canceling: MakeCanceling) -> None:
    adapter, channel = canceling
    submit(channel)
    adapter.cancellation = LOST
    assert cancel(canceling, "on the grill", "on the grill").refusal[1] == "cancellation_unknown"
    adapter.cancellation = TOO_LATE
    assert cancel(canceling, "on the grill", "on the grill").refusal[1] == "cancellation_refused"
    assert submit(channel).refusal[1] == "submission_in_progress"


@pytest.mark.rule("SUB-12", "STAT-5")
def test_two_orders_are_reported_if_the_first_is_made_again(
    canceling: MakeCanceling, caplog: pytest.LogCaptureFixture
) -> None:
    adapter, channel = canceling
    submit(channel)
    cancel(canceling, "on the grill", "binned")
    submit(channel)
    assert findings(channel) == "0 submissions\n"
    says(adapter, "on the grill")
    assert channel.get("/locations/fake.one/orders/A-1").order["status"] == "preparing"
    (found,) = (record for record in caplog.records if record.getMessage() == "two_orders_for_one_submission")
    assert getattr(found, "order_id", None) == "A-1"
    assert "order=A-2" in findings(channel)


@pytest.mark.rule("SUB-12", "STAT-5")
def test_one_order_is_no_finding_if_it_is_made_again(canceling: MakeCanceling) -> None:
    adapter, channel = canceling
    submit(channel)
    cancel(canceling, "on the grill", "binned")
    submit(channel)
    for number, word in (("A-2", "binned"), ("A-1", "on the grill")):
        says(adapter, word)
        channel.get(f"/locations/fake.one/orders/{number}")
    assert findings(channel) == "0 submissions\n"
