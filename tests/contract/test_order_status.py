"""The status of a placed order, as the channel gets it: STAT-1 to STAT-4."""

from __future__ import annotations

import logging
from datetime import datetime, timezone
from typing import Any
from urllib.parse import quote

import pytest

from levelup_ov.domain.outcome import Placed
from levelup_ov.domain.status import OrderStatus
from levelup_ov.errors import Refused, Unanswered
from levelup_ov.ledger.engine import LedgerUnavailable
from levelup_ov.ledger.statuses import Statuses
from levelup_ov.observability import JsonFormatter
from tests.channel import Answer, Channel, Clock
from tests.contract.conftest import FAKE_TOKEN, MakeFake
from tests.contract.fakes import CancelingAdapter, ReportingAdapter

SLASHES = (
    "Table 4/5",
    "A%2F17",
    "a//b/",
    "/17",
    "..",
    "cancellation",
    "a/cancellation",
    "a/menu",
    "a/orders/b",
    "a\n1",
)
"""Numbers that look like a part of a path."""


def status(channel: Channel, order_id: str | int = 1, location: str = "sandbox.congress", **headers: str) -> Answer:
    return channel.get(f"/locations/{location}/orders/{quote(str(order_id), safe='')}", **headers)


@pytest.fixture
def reporting(fake: MakeFake) -> tuple[ReportingAdapter, Channel]:
    """A provider that says of orders what a test has it say."""
    adapter, channel = fake(LEVELUP_OV_ADAPTERS="fake=tests.contract.fakes:ReportingAdapter")
    assert isinstance(adapter, ReportingAdapter)
    return adapter, channel


@pytest.mark.rule("STAT-1", "STAT-2", "STAT-4", "TIME-1")
def test_an_order_passes_through_its_stages(channel: Channel, clock: Clock) -> None:
    assert channel.submit().order["expected_ready_at"] == "2030-06-03T12:10"
    seen = []
    for minute in ("16:00", "16:01", "16:10", "16:30"):
        clock.set(f"2030-06-03T{minute}:40Z")
        order = status(channel).order
        assert (order["order_id"], order["expected_ready_at"]) == (1, "2030-06-03T12:10")
        seen.append((order["status"], order["provider_status"], order["changed_at"]))
    assert seen == [
        ("placed", "taken", "2030-06-03T12:00"), ("preparing", "cooking", "2030-06-03T12:01"),
        ("ready", "waiting", "2030-06-03T12:10"), ("picked_up", "collected", "2030-06-03T12:20"),
    ]  # fmt: skip


@pytest.mark.rule("STAT-2")
@pytest.mark.parametrize(
    ("note", "expected"),
    [("sandbox:turned-down", ("refused", "turned-down")), ("sandbox:called-off", ("cancelled", "called-off")),
     ("sandbox:stage=on-fire", (None, "on-fire"))],
)  # fmt: skip
def test_an_order_may_come_to_another_end(
    channel: Channel, clock: Clock, note: str, expected: tuple[str | None, str], caplog: pytest.LogCaptureFixture
) -> None:
    channel.submit(special_instructions=note)
    clock.set("2030-06-03T16:05Z")
    order = status(channel).order
    assert (order["status"], order["provider_status"]) == expected
    unknown = [record for record in caplog.records if record.message == "order_status_unknown"]
    assert len(unknown) == (expected[0] is None)


@pytest.mark.rule("STAT-1", "ERR-3", "EP-7")
def test_what_was_never_placed_has_no_status(channel: Channel) -> None:
    channel.submit(special_instructions="sandbox:decline")
    assert status(channel).refusal == (404, "order_not_found", None)
    channel.submit()
    assert status(channel, location="sandbox.day").refusal == (404, "order_not_found", None)
    assert status(channel, location="sandbox.nowhere").refusal == (404, "location_not_found", None)
    assert status(channel, location="nobody.congress").refusal == (404, "location_not_found", None)


@pytest.mark.rule("STAT-1")
def test_a_provider_without_statuses_is_not_asked(fake: MakeFake) -> None:
    _, channel = fake()
    channel.submit("fake.one")
    assert status(channel, "A-1", "fake.one").refusal == (422, "status_not_supported", None)


@pytest.mark.rule("STAT-1")
@pytest.mark.parametrize("order_id", ["A-17", "0042", 1042, "日本", "a b?c#d%", *SLASHES])
def test_any_number_can_be_asked_for(reporting: tuple[ReportingAdapter, Channel], order_id: str | int) -> None:
    provider, channel = reporting
    provider.placed = Placed(order_id, "technical", reference=None)
    channel.submit("fake.one")
    order = status(channel, order_id, "fake.one").order
    assert order == {
        "order_id": order_id, "status": "preparing", "provider_status": "on the grill", "changed_at": None,
        "expected_ready_at": None,
    }  # fmt: skip


@pytest.mark.rule("STAT-1", "STAT-6", "ERR-3")
def test_a_slash_in_a_number_ends_no_address(reporting: tuple[ReportingAdapter, Channel]) -> None:
    provider, channel = reporting
    provider.placed = Placed("a", "technical", reference=None)
    channel.submit("fake.one")
    orders = "/locations/fake.one/orders"
    for answer, methods in (
        (channel.get(f"{orders}/a/cancellation"), "POST"),
        (channel.send("POST", f"{orders}/a%2Fcancellation"), "GET, HEAD"),
        (channel.send("POST", f"{orders}/a"), "GET, HEAD"),
    ):
        assert answer.refusal == (405, "method_not_allowed", None)
        assert set(answer.headers["Allow"].split(", ")) == set(methods.split(", "))
    assert status(channel, "a/cancellation", "fake.one").refusal == (404, "order_not_found", None)
    assert channel.get(f"{orders}/").refusal == (404, "not_found", None)
    assert provider.asked == []


@pytest.mark.rule("STAT-1")
def test_where_numbers_repeat_the_newest_order_counts(reporting: tuple[ReportingAdapter, Channel]) -> None:
    provider, channel = reporting
    channel.submit("fake.one")
    provider.status = OrderStatus("gone", reference=None)
    status(channel, "A-1", "fake.one")
    channel.submit("fake.one")
    status(channel, "A-1", "fake.one")
    assert provider.asked == ["technical-1-1", "technical-1-2"]


@pytest.mark.rule("STAT-1")
def test_a_number_of_several_open_orders_is_ambiguous(reporting: tuple[ReportingAdapter, Channel]) -> None:
    provider, channel = reporting
    submit_under(channel, "ada")
    submit_under(channel, "bob")
    answer = status(channel, "A-1", "fake.one")
    assert answer.refusal == (409, "order_id_ambiguous", None) and not answer.error["retryable"]
    assert "Idempotency-Key" in answer.error["message"] and provider.asked == []
    status(channel, "A-1", "fake.one", **{"Idempotency-Key": "ada"})
    status(channel, "A-1", "fake.one", **{"Idempotency-Key": "bob"})
    assert provider.asked == ["technical-1-1", "technical-1-2"]


def submit_under(channel: Channel, key: str, **members: Any) -> Answer:
    body = {"items": [{"item": {"provider_id": "sandwich", "quantity": 1}}],
            "user": {"name": "Robin Example", "phone": "617-555-0142"}, **members}  # fmt: skip
    return channel.send("POST", "/locations/fake.one/order_submissions", json={"order_submission": body},
                        headers={"Idempotency-Key": key})  # fmt: skip


@pytest.mark.rule("STAT-1", "SUB-4", "SUB-5")
def test_a_key_says_which_order_is_meant(reporting: tuple[ReportingAdapter, Channel]) -> None:
    provider, channel = reporting
    for key in ("one", "two"):
        assert submit_under(channel, key, tip=len(key) + (key == "two")).order["order_id"] == "A-1"
    assert status(channel, "A-1", "fake.one", **{"Idempotency-Key": "one"}).order["status"] == "preparing"
    assert provider.asked == ["technical-1-1"]
    for number, key in (("A-2", "one"), ("A-1", "three")):
        refused = status(channel, number, "fake.one", **{"Idempotency-Key": key})
        assert refused.refusal == (404, "order_not_found", None)
    for key in ("x" * 256, "  "):
        wrong = status(channel, "A-1", "fake.one", **{"Idempotency-Key": key})
        assert wrong.refusal == (400, "invalid_idempotency_key", None)


@pytest.mark.rule("STAT-1", "SUB-5")
def test_an_order_that_may_exist_is_unknown_by_its_key(reporting: tuple[ReportingAdapter, Channel]) -> None:
    provider, channel = reporting
    provider.placed = Unanswered("provider_timeout", "no answer", sent=True)
    assert submit_under(channel, "lost").refusal[:2] == (504, "outcome_unknown")
    answer = status(channel, "-", "fake.one", **{"Idempotency-Key": "lost"})
    assert answer.refusal == (504, "outcome_unknown", None) and answer.error["retryable"]


@pytest.mark.rule("STAT-3")
@pytest.mark.parametrize(
    "reported",
    [OrderStatus("on the grill", reference="another"), OrderStatus("on the grill", reference=17),  # type: ignore[arg-type]
     Refused("order_refused", "order not found"), Unanswered("provider_protocol_error", "nonsense", sent=True)],
    ids=["another order", "no text", "no such order", "nonsense"],
)  # fmt: skip
def test_only_the_orders_own_status_is_believed(
    reporting: tuple[ReportingAdapter, Channel], reported: OrderStatus | Exception
) -> None:
    provider, channel = reporting
    channel.submit("fake.one")
    provider.status = reported
    assert status(channel, "A-1", "fake.one").refusal == (502, "provider_protocol_error", None)
    tracking = channel.app.extensions["levelup_ov"].tracking
    assert [order.word for order in tracking.open_orders("fake", limit=9)] == [None]


@pytest.mark.rule("STAT-4")
def test_the_providers_times_are_local_and_its_latest(reporting: tuple[ReportingAdapter, Channel]) -> None:
    provider, channel = reporting
    ready, later, since = (datetime.fromisoformat(f"2030-06-03T{each}Z") for each in ("16:20", "16:35", "16:03:50"))
    provider.placed = Placed("A-1", "technical", reference=None, expected_ready_at=ready)
    channel.submit("fake.one")
    assert status(channel, "A-1", "fake.one").order["expected_ready_at"] == "2030-06-03T12:20"
    provider.status = OrderStatus("on the grill", reference=None, changed_at=since, expected_ready_at=later)
    order = status(channel, "A-1", "fake.one").order
    assert (order["changed_at"], order["expected_ready_at"]) == ("2030-06-03T12:03", "2030-06-03T12:35")


@pytest.mark.rule("STAT-1", "MENU-4")
def test_an_unchanged_status_is_not_sent_again(channel: Channel, clock: Clock) -> None:
    channel.submit()
    etag = status(channel).headers["ETag"]
    assert status(channel, **{"If-None-Match": etag}).status == 304
    clock.set("2030-06-03T16:05Z")
    assert status(channel, **{"If-None-Match": etag}).order["status"] == "preparing"


@pytest.mark.rule("STAT-5")
def test_what_is_news_is_kept_and_logged_once(
    reporting: tuple[ReportingAdapter, Channel], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    provider, channel = reporting
    channel.submit("fake.one")
    for word in ("on the grill", "on the grill", "in orbit", "gone", "gone"):
        provider.status = OrderStatus(word, reference=None)
        status(channel, "A-1", "fake.one")
    changes = [record for record in caplog.records if record.message == "order_status_changed"]
    assert [(each.before, each.stage, each.word) for each in changes] == [  # type: ignore[attr-defined]
        (None, "preparing", "on the grill"), ("preparing", None, "in orbit"), (None, "picked_up", "gone"),
    ]  # fmt: skip


@pytest.mark.rule("STAT-5")
@pytest.mark.parametrize(("minute", "is_news"), [(4, False), (5, True), (6, True), (None, True)])
def test_an_older_status_makes_no_order_again(
    fake: MakeFake, caplog: pytest.LogCaptureFixture, minute: int | None, is_news: bool
) -> None:
    """As from a replica of the provider's database that lags behind."""
    caplog.set_level(logging.INFO)
    provider, channel = fake(LEVELUP_OV_ADAPTERS="fake=tests.contract.fakes:CancelingAdapter")
    assert isinstance(provider, CancelingAdapter)
    canceled = datetime(2030, 6, 3, 16, 5, tzinfo=timezone.utc)
    channel.submit("fake.one")
    older = None if minute is None else canceled.replace(minute=minute)
    for _ in range(2):
        provider.words = [
            OrderStatus("binned", reference=None, changed_at=canceled),
            OrderStatus("on the grill", reference=None, changed_at=older),
        ]
        assert status(channel, "A-1", "fake.one").order["status"] == "cancelled"
        assert status(channel, "A-1", "fake.one").order["status"] == "preparing"
    changes = [record.stage for record in caplog.records if record.message == "order_status_changed"]  # type: ignore[attr-defined]
    assert changes == ["cancelled", *["preparing", "cancelled", "preparing"] * is_news]


@pytest.mark.rule("STAT-2", "ERR-4")
def test_a_word_is_short_and_holds_no_secret(reporting: tuple[ReportingAdapter, Channel]) -> None:
    provider, channel = reporting
    channel.submit("fake.one")
    for word, known in (("x" * 1000, "x" * 100), (FAKE_TOKEN, "***"), (f"x {FAKE_TOKEN}", "***")):
        provider.status = OrderStatus(word, reference=None)
        answer = status(channel, "A-1", "fake.one").order
        assert (answer["status"], answer["provider_status"]) == (None, known)


@pytest.mark.rule("STAT-1", "TIME-1")
@pytest.mark.parametrize("wrong", [datetime(2030, 6, 3, 12), "2030-06-03T16:00Z", 17], ids=repr)
def test_a_time_of_a_wrong_type_is_left_out(
    reporting: tuple[ReportingAdapter, Channel], caplog: pytest.LogCaptureFixture, wrong: Any
) -> None:
    provider, channel = reporting
    channel.submit("fake.one")
    provider.status = OrderStatus("on the grill", reference=None, changed_at=wrong)
    answer = status(channel, "A-1", "fake.one").order
    assert (answer["status"], answer["changed_at"]) == ("preparing", None)
    causes = [record.__dict__.get("cause", "") for record in caplog.records]
    assert any(cause.startswith("ReportingAdapter returned OrderStatus.changed_at as ") for cause in causes)


@pytest.mark.rule("STAT-2", "EVT-2")
def test_no_sentence_of_a_person_is_a_status(
    reporting: tuple[ReportingAdapter, Channel], caplog: pytest.LogCaptureFixture
) -> None:
    """Also of a provider that takes no deliveries."""
    provider, channel = reporting
    channel.submit("fake.one")
    for word, known in (
        ("held for Zebulon, call 617-555-0177", "***"), ("call 0177", "***"), ("waiting for a guest", "***"),
        ("in the oven", "in the oven"), ("ON_HOLD", "ON_HOLD"), ("re-fired", "re-fired"),
    ):  # fmt: skip
        provider.status = OrderStatus(word, reference=None)
        assert status(channel, "A-1", "fake.one").order["provider_status"] == known
    logged = " ".join(JsonFormatter().format(each) for each in caplog.records)
    assert "in the oven" in logged and "Zebulon" not in logged and "0177" not in logged


@pytest.mark.rule("STAT-1")
def test_a_status_that_cannot_be_kept_is_reported(
    reporting: tuple[ReportingAdapter, Channel], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any) -> bool:
        raise LedgerUnavailable()

    _, channel = reporting
    channel.submit("fake.one")
    monkeypatch.setattr(Statuses, "record", fail)
    assert status(channel, "A-1", "fake.one").order["status"] == "preparing"
