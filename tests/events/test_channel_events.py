"""The channel gets events of changes that it did not ask for (EVT-1 to EVT-7)."""

from __future__ import annotations

import json
import runpy
import time
from collections.abc import Callable
from datetime import datetime, timedelta, timezone

import pytest
from flask import Flask
from standardwebhooks import Webhook

from levelup_ov.domain.event import CHANNEL_KINDS, OPERATOR_KIND, Event
from levelup_ov.events import sending
from levelup_ov.events.deliverer import LANES, Deliverer
from levelup_ov.events.receivers import Receivers
from levelup_ov.ledger.event_deliveries import GIVEN_UP, KEPT, EventDeliveries
from tests.channel import Channel, Clock
from tests.events.conftest import OLD_SECRET, SECRET, URL, Inbox, deliverer
from tests.pages import DOCS

Serve = Callable[..., Flask]


def watch(app: Flask, *more: str) -> None:
    app.test_cli_runner().invoke(args=["orders", "watch", "--every", "0", *more])


@pytest.fixture
def patient(app_of: Flask, clock: Clock) -> Deliverer:
    """A deliverer that measures its pauses by ``clock``."""
    settings = app_of.extensions["levelup_ov.settings"].events
    return Deliverer(
        EventDeliveries(app_of.extensions["levelup_ov"].submissions.ledger),
        Receivers(settings),
        deliverer(app_of)._send,
        now=lambda: clock().timestamp(),
    )


@pytest.fixture
def app_of(serve: Serve) -> Flask:
    return serve()


def report_to(app: Flask, *subjects: str) -> None:
    """Record an event of each subject."""
    outbox = app.extensions["levelup_ov"].submissions.ledger.outbox
    for subject in subjects:
        outbox.add(Event("menu.changed", "sandbox", "sandbox.congress", subject, {}))


@pytest.mark.rule("EVT-1", "EVT-2")
def test_the_stages_of_an_order_arrive_in_order(app_of: Flask, clock: Clock, inbox: Inbox) -> None:
    request_id = Channel(app_of).submit().headers["X-Request-ID"]
    for minute in ("16:00", "16:01", "16:01", "16:10", "16:30"):
        clock.set(f"2030-06-03T{minute}:40Z")
        watch(app_of)
    deliverer(app_of).drain(5)
    assert [(kind, data["status"]) for kind, data in inbox.events] == [
        ("order.status_changed", stage) for stage in ("placed", "preparing", "ready", "picked_up")
    ]
    assert inbox.events[1][1] == {
        "merchant_id": "sandbox", "location_id": "sandbox.congress", "order_id": 1, "status": "preparing",
        "provider_status": "cooking", "changed_at": "2030-06-03T16:01:00+00:00", "previous_status": "placed",
        "request_id": request_id,
    }  # fmt: skip
    assert len(set(inbox.ids)) == 4
    assert {kind for kind, _ in inbox.events} <= set(CHANNEL_KINDS)


@pytest.mark.rule("EVT-1", "STAT-5")
def test_a_status_that_the_channel_requested_is_sent_once(app_of: Flask, clock: Clock, inbox: Inbox) -> None:
    channel = Channel(app_of)
    channel.submit()
    for minute in ("16:01", "16:10", "16:01"):  # the restaurant takes the last one back
        clock.set(f"2030-06-03T{minute}:40Z")
        for _ in range(2):
            channel.get("/locations/sandbox.congress/orders/1")
        watch(app_of)
    clock.set("2030-06-03T16:11Z")
    deliverer(app_of).drain(5)
    assert [(data["previous_status"], data["status"]) for _, data in inbox.events] == [
        (None, "preparing"), ("preparing", "ready"), ("ready", "preparing"),
    ]  # fmt: skip


@pytest.mark.rule("EVT-1")
def test_an_outcome_that_becomes_known_is_sent(app_of: Flask, clock: Clock, inbox: Inbox) -> None:
    channel = Channel(app_of)
    headers = {"X-Request-ID": "channel-17"}
    order = {"user": {"name": "Robin Example", "phone": "617-555-0142", "email": "robin@example.com"},
             "items": [{"item": {"provider_id": "sandwich", "quantity": 1, "options": []}}], "order_number": "n-1",
             "special_instructions": "sandbox:lost-answer"}  # fmt: skip
    answer = channel.send(
        "POST", "/locations/sandbox.congress/order_submissions", json={"order_submission": order}, headers=headers
    )
    assert answer.refusal[:2] == (504, "outcome_unknown")
    app_of.test_cli_runner().invoke(args=["submissions", "reconcile"])
    deliverer(app_of).drain(5)
    where = {"merchant_id": "sandbox", "location_id": "sandbox.congress", "request_id": "channel-17"}
    assert inbox.events == [("submission.resolved", {**where, "outcome": "placed", "order_id": 1})]
    assert "Robin" not in inbox.requests[0][1]


@pytest.mark.rule("EVT-7")
def test_a_receiver_with_either_secret_accepts_it(serve: Serve, clock: Clock, inbox: Inbox) -> None:
    clock.now = datetime.now(timezone.utc)
    app = serve(LEVELUP_OV_EVENTS_SECRETS=f"{SECRET},{OLD_SECRET}")
    report_to(app, "a")
    deliverer(app).drain(5)
    ((headers, body),) = inbox.requests
    for secret in (SECRET, OLD_SECRET):
        assert Webhook(secret).verify(body, dict(headers))["type"] == "menu.changed"
    with pytest.raises(Exception, match="No matching signature"):
        Webhook(SECRET).verify(body.replace("congress", "day"), dict(headers))
    assert json.loads(body)["timestamp"] == clock().isoformat(timespec="milliseconds").replace("+00:00", "Z")


@pytest.mark.rule("EVT-4", "EVT-5")
def test_what_is_not_accepted_is_sent_again_under_its_id(
    app_of: Flask, patient: Deliverer, clock: Clock, inbox: Inbox
) -> None:
    inbox.answers = [500, 400, 302]
    report_to(app_of, "a", "a")
    for _ in range(5):
        patient.drain(5)
        clock.now += timedelta(minutes=1)
    first, *again, second = inbox.ids
    assert again == [first] * 3
    assert second != first
    assert [headers["path"] for headers, _ in inbox.requests] == ["/events"] * 5, "no redirect is followed"
    assert patient.counts == {"accepted": 2, "waiting": 3}


@pytest.mark.rule("EVT-5", "EVT-6")
def test_a_short_failure_makes_a_short_pause(app_of: Flask, patient: Deliverer, clock: Clock, inbox: Inbox) -> None:
    inbox.answers = [503] * 20
    report_to(app_of, *map(str, range(20)))
    patient.drain(5)
    failed = len(inbox.requests)
    assert 1 <= failed <= LANES["channel"], "those that were under way"
    inbox.answers = []
    clock.now += timedelta(seconds=3)
    patient.drain(5)
    assert patient.counts == {"waiting": failed, "accepted": 20}


@pytest.mark.rule("EVT-5")
def test_a_receiver_that_fails_for_a_day_loses_nothing(
    app_of: Flask, patient: Deliverer, clock: Clock, inbox: Inbox, caplog: pytest.LogCaptureFixture
) -> None:
    inbox.answers = [500] * 1000
    report_to(app_of, "a", "a", "b")
    end = clock() + GIVEN_UP + timedelta(minutes=30)
    while clock() < end:
        patient.drain(0.01)
        clock.now += timedelta(minutes=10)
    tries = len(inbox.requests)
    assert 100 < tries < 300
    listed = app_of.test_cli_runner().invoke(args=["events", "list", "--state", "parked"])
    assert listed.output.count("menu.changed for channel parked") == 3
    assert "events_parked" in caplog.text
    patient.drain(5)
    assert len(inbox.requests) == tries
    inbox.answers = []
    runner = app_of.test_cli_runner()
    assert "3 events due again" in runner.invoke(args=["events", "replay", "--parked"]).output
    assert runner.invoke(args=["events", "send"]).exit_code == 0
    assert len(set(inbox.ids)) == 3
    assert inbox.ids[tries:] == sorted(inbox.ids[tries:], key=inbox.ids[tries:].index)
    assert len(inbox.ids) == tries + 3


@pytest.mark.rule("EVT-6")
def test_a_receiver_that_hangs_delays_no_other(
    serve: Serve, clock: Clock, inbox: Inbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sending, "PATIENCE", 1.0)
    hanging = Inbox()
    hanging.hang = 3.0
    app = serve(
        {"operator.internal": hanging},
        LEVELUP_OV_OPERATOR="http://operator.internal/hook",
        LEVELUP_OV_OPERATOR_SECRETS=OLD_SECRET,
    )
    ledger = app.extensions["levelup_ov"].submissions.ledger
    for number in range(5):
        ledger.outbox.add(Event(OPERATOR_KIND, "sandbox", "sandbox.congress", f"o{number}", {"what": "x"}))
    report_to(app, *map(str, range(20)))
    assert Channel(app).submit().status == 200
    deliverer(app).drain(1.5)
    assert len(inbox.requests) == 20
    # After the first ones fail, it gets one event at a time.
    assert 1 <= len(hanging.requests) <= 3
    assert deliverer(app).counts["waiting"] == len(hanging.requests)


@pytest.mark.rule("EVT-3")
def test_without_a_receiver_nothing_is_recorded(make_app: Callable[..., Flask]) -> None:
    app = make_app()
    Channel(app).submit()
    watch(app)
    result = app.test_cli_runner().invoke(args=["events", "list"])
    assert result.output == "0 events\n"
    assert "LEVELUP_OV_EVENTS_URL" in app.test_cli_runner().invoke(args=["events", "send"]).output


@pytest.mark.rule("EVT-4")
def test_hosts_deliver_side_by_side(serve: Serve, inbox: Inbox) -> None:
    one, other = serve(), serve()
    report_to(one, *map(str, range(30)))
    for app in (one, other):
        deliverer(app).start()
    until = datetime.now(timezone.utc) + timedelta(seconds=20)
    while len(inbox.requests) < 30 and datetime.now(timezone.utc) < until:
        deliverer(one).drain(0.05)
    assert sorted(inbox.ids) == sorted(set(inbox.ids))
    assert len(inbox.ids) == 30


@pytest.mark.rule("EVT-5")
def test_what_was_accepted_is_deleted_after_a_week(app_of: Flask, patient: Deliverer, clock: Clock) -> None:
    deliveries = EventDeliveries(app_of.extensions["levelup_ov"].submissions.ledger)
    report_to(app_of, "a", "b", "c")
    patient.drain(5)
    clock.now += KEPT + timedelta(hours=1)
    patient.start()
    until = time.monotonic() + 20
    while deliveries.find() and time.monotonic() < until:
        clock.now += timedelta(minutes=1)
        time.sleep(0.01)
    patient.stop()
    assert deliveries.find() == ()


@pytest.mark.rule("EVT-5")
def test_the_command_names_what_it_did(app_of: Flask, inbox: Inbox) -> None:
    runner = app_of.test_cli_runner()
    report_to(app_of, "a", "b")
    inbox.answers = [500]
    assert runner.invoke(args=["events", "send", "--seconds", "0.1"]).exit_code == 1
    listed = runner.invoke(args=["events", "list", "--state", "waiting"]).output
    assert "waiting (500) after 1 attempt" in listed
    event = inbox.ids[0]
    shown = runner.invoke(args=["events", "show", event]).output
    assert event in shown and '"merchant_id": "sandbox"' in shown
    assert runner.invoke(args=["events", "show", "evt_none"]).exit_code == 1
    assert runner.invoke(args=["events", "replay", "evt_none"]).exit_code == 1
    assert runner.invoke(args=["events", "replay"]).exit_code == 2
    assert runner.invoke(args=["events", "secret"]).output.startswith("whsec_")


@pytest.mark.rule("EVT-5")
def test_a_range_is_replayed_for_one_receiver(app_of: Flask, inbox: Inbox, monkeypatch: pytest.MonkeyPatch) -> None:
    outbox = app_of.extensions["levelup_ov"].submissions.ledger.outbox
    outbox.route = lambda event: ("channel", "operator.sandbox")
    report_to(app_of, *map(str, range(1200)))
    kept = EventDeliveries(app_of.extensions["levelup_ov"].submissions.ledger)
    for receiver in ("channel", "operator.sandbox"):
        kept.accept(*kept.claim(receiver, limit=2000, term=timedelta(seconds=30)))
    runner = app_of.test_cli_runner()
    again = ["events", "replay", "--since", "2026-01-01", "--receiver", "channel"]
    assert "1200 events due again" in runner.invoke(args=again).output
    assert "0 events due again" in runner.invoke(args=again).output, "they are waiting already"
    assert {waiting.receiver for waiting in kept.backlog()} == {"channel"}
    assert runner.invoke(args=["events", "replay", "evt_1", "--receiver", "channel"]).exit_code == 2


@pytest.mark.rule("EVT-5")
def test_the_outbox_is_in_the_metrics(serve: Serve, inbox: Inbox, clock: Clock) -> None:
    app = serve()
    report_to(app, "a")
    clock.now += timedelta(minutes=3)
    headers = {"Authorization": "token dev-key"}
    page = app.test_client().get("/metrics", headers=headers).get_data(as_text=True)
    assert 'levelup_ov_outbox{receiver="channel",state="waiting"} 1.0' in page
    assert 'levelup_ov_outbox_oldest_seconds{receiver="channel",state="waiting"} 180.0' in page


@pytest.mark.rule("EVT-2", "EVT-7")
def test_the_receiver_of_the_page_takes_each_event_once(
    serve: Serve, clock: Clock, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    source = DOCS / "events" / "receiver.py"
    assert len([line for line in source.read_text(encoding="utf-8").splitlines() if line]) <= 15
    monkeypatch.setenv("EVENTS_SECRET", SECRET)
    clock.now = datetime.now(timezone.utc)
    app = serve({"page.internal": runpy.run_path(str(source))["app"]}, **{URL: "http://page.internal/events"})
    report_to(app, "a")
    deliverer(app).drain(5)
    runner = app.test_cli_runner()
    assert "1 event" in runner.invoke(args=["events", "replay", "--since", "2026-01-01"]).output
    deliverer(app).drain(5)
    assert deliverer(app).counts == {"accepted": 2}
    assert capsys.readouterr().out.count("menu.changed {'merchant_id': 'sandbox'") == 1
    forger = serve({"page.internal": runpy.run_path(str(source))["app"]}, **{
        URL: "http://page.internal/events", "LEVELUP_OV_EVENTS_SECRETS": OLD_SECRET,
    })  # fmt: skip
    report_to(forger, "b")
    deliverer(forger).drain(0.1)
    assert deliverer(forger).counts == {"waiting": 1}
