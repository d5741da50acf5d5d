"""What is sent again after a refusal, where a late copy of the refused call may have placed the order (SUB-8)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest

from levelup_ov.domain.outcome import Placed
from levelup_ov.errors import Refused, Unanswered
from levelup_ov.ledger.engine import upgrade
from levelup_ov.ledger.ledger import open_ledger
from levelup_ov.ledger.records import Submission
from tests.channel import CARD, Answer, Channel, Clock, item
from tests.contract.conftest import MakeFake
from tests.contract.fakes import DoublingAdapter, DoublingReporter

Both = tuple[DoublingAdapter, Channel]

SOLD_OUT = (422, "item_unavailable")


@pytest.fixture
def fresh(request: pytest.FixtureRequest, fake: MakeFake, tmp_path: Path, clock: Clock) -> Iterator[Both]:
    """The provider, which refuses orders, and a service in front of it."""
    name = getattr(request, "param", "DoublingAdapter")
    upgrade(url := f"sqlite:///{tmp_path}/ledger.db")
    with closing(open_ledger(url, clock=clock)) as ledger:
        provider, channel = fake(
            ledger=ledger, DATABASE_URL=url, LEVELUP_OV_ADAPTERS=f"fake=tests.contract.fakes:{name}"
        )
        assert isinstance(provider, DoublingAdapter)
        provider.makes = False
        yield provider, channel


@pytest.fixture
def both(fresh: Both) -> Both:
    """The provider has refused an order."""
    provider, channel = fresh
    assert submit(channel).refusal[:2] == SOLD_OUT
    provider.traces.clear()
    return fresh


def submit(channel: Channel, **members: object) -> Answer:
    return channel.submit("fake.one", **{"order_number": "1", **members})


def rows(channel: Channel) -> list[Submission]:
    """The ledger, newest first."""
    return list(channel.app.extensions["levelup_ov"].submissions.ledger.reader.find())


def reconcile(channel: Channel) -> int:
    return channel.app.test_cli_runner().invoke(args=["submissions", "reconcile"]).exit_code


@pytest.mark.rule("SUB-2", "SUB-8", "SUB-12")
@pytest.mark.parametrize("was_found", [False, True])
def test_the_order_of_a_late_copy_is_told(
    both: Both, clock: Clock, caplog: pytest.LogCaptureFixture, was_found: bool
) -> None:
    provider, channel = both
    provider.deliver()
    if was_found:
        # A look of the command was first, and a person is to call the restaurant.
        clock.now += timedelta(seconds=61)
        assert reconcile(channel) == 1
    found = submit(channel)
    assert (found.order["order_id"], found.headers["Idempotency-Replayed"]) == ("A-1", "true")
    assert submit(channel).order == found.order and len(provider.made) == 1
    assert caplog.messages.count("refused_order_was_placed") == 1
    new, refused = rows(channel)
    assert (new.state, new.reference, refused.state) == ("placed", refused.reference, "not_placed")
    assert (refused.finding is not None, refused.open_finding) == (was_found, None)
    for _ in range(5):
        clock.now += timedelta(hours=24)
        assert reconcile(channel) == 0
    assert not any(each.open_finding for each in rows(channel))


@pytest.mark.rule("SUB-8")
def test_a_retry_is_placed_if_there_is_no_order(both: Both) -> None:
    provider, channel = both
    provider.refusal = None
    assert submit(channel).order["order_id"] == "A-1"
    assert provider.traces == [{"cart": "c-1"}]
    new, refused = rows(channel)
    assert new.reference != refused.reference


@pytest.mark.rule("SUB-8", "SUB-12")
def test_a_copy_that_comes_after_the_retry_is_reported(both: Both, clock: Clock) -> None:
    provider, channel = both
    provider.refusal = None
    assert submit(channel).order["order_id"] == "A-1"
    provider.deliver()
    clock.now += timedelta(seconds=61)
    assert reconcile(channel) == 1
    assert [each.finding for each in rows(channel)] == [None, "two_orders_for_one_submission"]


@pytest.mark.rule("SUB-8", "ERR-3")
@pytest.mark.parametrize(
    ("failure", "told"),
    [
        (Unanswered("provider_timeout", "no answer", sent=True), (504, "provider_timeout", None)),
        (Unanswered("provider_unavailable", "down", sent=False), (503, "provider_unavailable", None)),
        (Refused("order_refused", "no"), (502, "provider_protocol_error", None)),
        (KeyError("a defect of the adapter"), (502, "provider_protocol_error", None)),
    ],
)
def test_nothing_is_sent_without_that_look(both: Both, failure: Exception, told: tuple[int, str, None]) -> None:
    provider, channel = both
    provider.deliver()
    provider.look_up = failure
    for _ in range(2):
        assert submit(channel).refusal == told
    assert len(provider.late) == 1
    provider.look_up = None
    assert submit(channel).order["order_id"] == "A-1"
    assert [(each.state, each.ended) for each in rows(channel)] == [
        ("placed", None), ("not_placed", "unsent"), ("not_placed", "unsent"), ("not_placed", "refused"),
    ]  # fmt: skip


@pytest.mark.rule("SUB-2", "SUB-8")
def test_a_look_is_made_after_any_number_of_tries(both: Both) -> None:
    provider, channel = both
    provider.deliver()
    provider.look_up, provider.refusal = Unanswered("provider_timeout", "no answer", sent=True), None
    for _ in range(60):
        assert submit(channel).refusal[:2] == (504, "provider_timeout")
    provider.look_up = None
    assert submit(channel).order["order_id"] == "A-1" and len(provider.made) == 1


@pytest.mark.rule("SUB-4")
def test_another_order_is_not_the_refused_one(both: Both) -> None:
    """What a guest has changed since the refusal was not in the copy."""
    provider, channel = both
    provider.deliver()
    provider.refusal = None
    assert submit(channel, items=[item("sandwich"), item("sandwich")]).order["order_id"] == "A-2"
    assert provider.traces == []


@pytest.mark.rule("SUB-3")
def test_an_equal_order_without_a_name_is_a_new_one(fresh: Both, clock: Clock) -> None:
    provider, channel = fresh
    assert submit(channel, order_number=None).refusal[:2] == SOLD_OUT
    provider.deliver()
    provider.refusal = None
    clock.now += timedelta(seconds=91)
    assert submit(channel, order_number=None).order["order_id"] == "A-2"


@pytest.mark.rule("SUB-12")
def test_what_a_person_has_dealt_with_is_not_told(both: Both, clock: Clock) -> None:
    """They may have had the restaurant cancel it."""
    provider, channel = both
    provider.deliver()
    clock.now += timedelta(seconds=61)
    assert reconcile(channel) == 1
    (refused,) = rows(channel)
    close = ["submissions", "close", refused.id, "--why", "canceled by telephone", "--by", "Olive"]
    assert channel.app.test_cli_runner().invoke(args=close).exit_code == 0
    provider.refusal = None
    assert submit(channel).order["order_id"] == "A-2"


@pytest.mark.rule("SUB-8", "STAT-2")
@pytest.mark.parametrize("fresh", ["DoublingReporter"], indirect=True)
@pytest.mark.parametrize(("word", "number"), [("on the grill", "A-1"), ("in the oven", "A-1"), ("binned", "A-2")])
def test_an_order_that_nobody_makes_is_not_told(both: Both, word: str, number: str) -> None:
    provider, channel = both
    assert isinstance(provider, DoublingReporter)
    provider.deliver()
    provider.word, provider.refusal = word, None
    assert submit(channel).order["order_id"] == number


@pytest.mark.rule("SUB-8")
def test_what_is_found_must_be_that_order(both: Both) -> None:
    provider, channel = both
    provider.find_order = lambda *_: Placed("A-7", "A-7", reference="of-another")  # type: ignore[method-assign]
    assert submit(channel).refusal[:2] == (502, "provider_protocol_error")
    assert len(provider.late) == 1


@pytest.mark.rule("SUB-10")
@pytest.mark.parametrize("fresh", ["DoublingFencer"], indirect=True)
def test_a_fenced_order_is_not_looked_for(both: Both) -> None:
    provider, channel = both
    provider.refusal = None
    assert submit(channel).status == 200 and provider.traces == []


@pytest.mark.rule("SUB-8", "PAY-2")
def test_another_card_gets_the_order_of_the_first_one(fresh: Both) -> None:
    provider, channel = fresh
    assert submit(channel, credit_card=CARD).refusal[:2] == SOLD_OUT
    provider.deliver()
    other = {**CARD, "number": "4012888888881881"}
    assert submit(channel, credit_card=other).order["order_id"] == "A-1"
