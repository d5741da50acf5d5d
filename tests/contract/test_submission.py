"""The answer to a submission, and how long anybody waits: SUB-1 and SUB-6."""

from __future__ import annotations

import time
from datetime import datetime
from typing import Any
from unittest.mock import Mock

import pytest

from levelup_ov.config import load_settings
from levelup_ov.domain.order import Order
from levelup_ov.domain.outcome import Placed
from levelup_ov.domain.secret import Secret
from levelup_ov.domain.tender import Tender
from levelup_ov.errors import Refused, Unanswered
from levelup_ov.ordering.locations import Directory
from levelup_ov.transport.session import Session
from tests.channel import Channel
from tests.conftest import MakeApp
from tests.contract.conftest import Kitchen, MakeFake
from tests.stopwatch import within


@pytest.mark.rule("SUB-1", "EP-5")
def test_the_number_is_the_merchants_own(channel: Channel, kitchen: Kitchen) -> None:
    for ticket in (1, 2):
        answer = channel.submit(tip=ticket).order
        assert answer["order_id"] == ticket
        assert kitchen.order("congress", ticket)["gratuity"] == ticket
    assert channel.submit("sandbox.day").order["order_id"] == 1


@pytest.mark.rule("SUB-1", "TIME-7")
@pytest.mark.parametrize("order_id", ["A-17", "0042", 1042, 0, "日本"])
@pytest.mark.parametrize(
    ("expected", "sent"), [(None, None), (datetime.fromisoformat("2030-06-03T16:20:30Z"), "2030-06-03T12:21")]
)
def test_numbers_are_strings_or_integers_and_times_may_be_null(
    fake: MakeFake, order_id: str | int, expected: datetime | None, sent: str | None
) -> None:
    provider, channel = fake()
    account = {"id": Secret("x")}
    provider.placed = Placed(
        order_id, "technical-1", reference=None, expected_ready_at=expected, customer_account=account
    )
    answer = channel.submit("fake.one").order
    assert (answer["order_id"], answer["expected_ready_at"]) == (order_id, sent)
    assert type(answer["order_id"]) is type(order_id)
    assert list(answer["metadata"]) == ["user_fake_id"]


@pytest.mark.rule("SUB-6")
def test_the_deadlines_leave_time_to_answer(environ: dict[str, str]) -> None:
    settings = load_settings(environ)
    assert (settings.validation_deadline, settings.submission_deadline) == (14, 25)
    changed = load_settings({**environ, "LEVELUP_OV_VALIDATION_DEADLINE": "7.5", "LEVELUP_OV_SUBMISSION_DEADLINE": "9"})
    assert (changed.validation_deadline, changed.submission_deadline) == (7.5, 9)


@pytest.mark.rule("SUB-6")
def test_an_ov_is_answered_at_its_deadline(make_app: MakeApp) -> None:
    channel = Channel(make_app(LEVELUP_OV_VALIDATION_DEADLINE="0.5"))
    assert channel.validate().status == 200
    with within(1, at_least=0.4):
        answer = channel.validate(special_instructions="sandbox:slow=2")
    assert answer.refusal == (504, "provider_timeout", None)
    assert (answer.error["type"], answer.error["retryable"]) == ("provider", True)


@pytest.mark.rule("SUB-6")
def test_an_os_has_its_own_deadline(make_app: MakeApp) -> None:
    channel = Channel(make_app(LEVELUP_OV_VALIDATION_DEADLINE="0.5", LEVELUP_OV_SUBMISSION_DEADLINE="5"))
    answer = channel.submit(special_instructions="sandbox:slow=1")
    assert answer.order["order_id"] == 1


@pytest.mark.rule("SUB-6", "ERR-3")
def test_an_os_is_answered_at_its_deadline(make_app: MakeApp, kitchen: Kitchen) -> None:
    channel = Channel(make_app(LEVELUP_OV_SUBMISSION_DEADLINE="2.5"))
    with within(3.5):
        answer = channel.submit(special_instructions="sandbox:slow=4")
    assert (answer.status, answer.error["type"], answer.error["retryable"]) == (504, "provider", True)
    assert kitchen.count("orders") == 0


@pytest.mark.rule("SUB-6")
@pytest.mark.parametrize("sent", [True, False])
def test_a_provider_that_does_not_answer_is_a_timeout(fake: MakeFake, sent: bool) -> None:
    provider, channel = fake()
    provider.quote = Unanswered("provider_timeout", "no answer", sent=sent)
    assert channel.validate("fake.one").refusal == (504, "provider_timeout", None)


@pytest.mark.rule("SUB-1", "META-4")
def test_what_a_delivery_needs_reaches_the_provider(fake: MakeFake) -> None:
    provider, channel = fake()
    address: dict[str, Any] = {
        "street_address": "1 Example Street", "extended_address": "Floor 2", "locality": "Boston", "region": "MA",
        "postal_code": "02114", "delivery_instructions": "Ring twice.",
    }  # fmt: skip
    assert channel.submit("fake.one", fulfillment_type="delivery", delivery_address=address).status == 200
    order = provider.orders[0]
    found = order.delivery_address
    assert found is not None
    assert {name: getattr(found, name) for name in address} == address
    assert order.fulfillment_type == "delivery"


@pytest.mark.rule("SUB-1")
def test_each_submission_has_its_reference_and_no_ov_has_one(fake: MakeFake) -> None:
    provider, channel = fake()
    channel.validate("fake.one")
    for _ in range(3):
        channel.submit("fake.one")
    first, *others = (order.reference for order in provider.orders)
    assert first is None
    assert None not in others and len(set(others)) == 3


@pytest.mark.rule("PAY-2", "EP-7")
def test_an_invalid_location_does_not_reach_the_ledger(channel: Channel) -> None:
    assert channel.submit("sandbox.Sample%20Person").refusal[:2] == (404, "location_not_found")
    assert channel.app.extensions["levelup_ov"].submissions.ledger.reader.find() == ()


@pytest.mark.rule("SUB-4")
def test_a_replay_needs_no_list_of_locations(make_app: MakeApp, monkeypatch: pytest.MonkeyPatch) -> None:
    number = {"order_number": "known-before"}
    first = Channel(make_app()).submit(**number)
    # A new process, and a provider that does not answer.
    again = Channel(make_app())
    gone = Unanswered("provider_unavailable", "the provider cannot be reached", sent=False)
    monkeypatch.setattr(Directory, "location", Mock(side_effect=gone))
    replayed = again.submit(**number)
    assert (replayed.order, replayed.headers["Idempotency-Replayed"]) == (first.order, "true")
    assert again.submit().refusal[:2] == (503, "provider_unavailable")
    assert len(again.app.extensions["levelup_ov"].submissions.ledger.reader.find()) == 1


@pytest.mark.rule("SUB-5", "SUB-10")
@pytest.mark.parametrize("begins", [False, True], ids=["of another call", "after a try without an answer"])
def test_a_refusal_that_proves_nothing_rules_out_nothing(
    fake: MakeFake, monkeypatch: pytest.MonkeyPatch, begins: bool
) -> None:
    """The provider promises the same order for the same key, so the submission is sent again to find it."""
    monkeypatch.setattr("levelup_ov.ordering.reconciling.CONFIRMED_AFTER", 0.01)
    provider, channel = fake(
        LEVELUP_OV_ADAPTERS="fake=tests.contract.fakes:ReportingAdapter", LEVELUP_OV_RECONCILE_GRACE="0.1"
    )
    provider.recovery = "replay"  # type: ignore[misc]
    usual, provider.placed = provider.placed, Unanswered("provider_timeout", "no answer", sent=True)
    assert channel.submit("fake.one", order_number="1").error["code"] == "outcome_unknown"

    def refuse(order: Order, tender: Tender, session: Session) -> Placed:
        if begins:
            session.placement.look(None)
            session.placement.begin()
        raise Refused("item_unavailable", "sold out").replace(proof=not begins)

    with monkeypatch.context() as patch:
        patch.setattr(provider, "submit_order", refuse)
        for _ in range(4):
            time.sleep(0.15)
            assert channel.submit("fake.one", order_number="1").error["code"] == "outcome_unknown"
    provider.placed = usual
    assert channel.submit("fake.one", order_number="1").status == 200
    assert len({order.reference for order in provider.orders}) == 1
