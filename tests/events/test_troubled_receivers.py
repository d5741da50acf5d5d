"""A receiver in trouble, or an event that cannot be sent, delays no other one (EVT-5, EVT-6)."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from flask import Flask

from levelup_ov.domain.event import Event
from levelup_ov.event_settings import EventSettings
from levelup_ov.events import sending
from levelup_ov.events.deliverer import Deliverer
from levelup_ov.events.receivers import Receiver, Receivers
from levelup_ov.ledger.event_deliveries import EventDeliveries, EventDelivery
from levelup_ov.ledger.outbox import Outbox
from tests.channel import Clock
from tests.events.conftest import URL, Inbox, deliverer
from tests.transport.wire import Peer, peer, read_request

Serve = Callable[..., Flask]


@pytest.fixture
def app(serve: Serve) -> Flask:
    return serve()


@pytest.fixture
def outbox(app: Flask) -> Outbox:
    found: Outbox = app.extensions["levelup_ov"].submissions.ledger.outbox
    return found


@pytest.fixture
def deliveries(app: Flask) -> EventDeliveries:
    return EventDeliveries(app.extensions["levelup_ov"].submissions.ledger)


class Crowd:
    """Receivers that accept nothing before ``released``, except ``agent.sound``."""

    def __init__(self) -> None:
        self.released, self.is_done = threading.Event(), threading.Event()
        self.hanging: set[str] = set()
        self.arrived = 0

    def __call__(self, receiver: Receiver, _delivery: EventDelivery) -> None:
        if receiver.name != "agent.sound":
            self.hanging.add(receiver.name)
            self.released.wait(30)
            return
        self.arrived += 1
        if self.arrived == 20:
            self.is_done.set()


@pytest.fixture
def crowd() -> Iterator[Crowd]:
    crowd = Crowd()
    yield crowd
    crowd.released.set()


@pytest.mark.rule("EVT-6", "UCP-15")
def test_many_receivers_that_hang_delay_no_other(outbox: Outbox, deliveries: EventDeliveries, crowd: Crowd) -> None:
    names = [f"agent.{number}" for number in range(100)]
    outbox.route = lambda event: ("agent.sound", *names) if event.subject < "3" else ("agent.sound",)
    for number in range(20):
        outbox.add(Event("order.status_changed", "sandbox", "sandbox.congress", str(number), {}))
    own = Deliverer(deliveries, Receivers(EventSettings(), has_agents=True), crowd)
    own.start()
    assert crowd.is_done.wait(20)
    own.stop()
    assert crowd.hanging == {*names}


def cut_off(server: Peer, connection: socket.socket) -> None:
    read_request(connection)
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc")


def too_much(server: Peer, connection: socket.socket) -> None:
    read_request(connection)
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n" + b"x" * 1_000_000)


def too_slow(server: Peer, connection: socket.socket) -> None:
    read_request(connection)
    connection.sendall(b"HTTP/1.1 202 Accepted\r\nContent-Length: 10\r\n\r\nabc")
    server.pause(30)


@pytest.mark.rule("EVT-5")
@pytest.mark.parametrize("answer", [cut_off, too_much, too_slow])
def test_the_status_alone_accepts(
    serve: Serve, monkeypatch: pytest.MonkeyPatch, answer: Callable[[Peer, socket.socket], None]
) -> None:
    monkeypatch.setattr(sending, "PATIENCE", 0.3)
    with peer(answer) as receiver:
        app = serve(**{URL: f"{receiver.url}/events"})
        ledger = app.extensions["levelup_ov"].submissions.ledger
        ledger.outbox.add(Event("menu.changed", "sandbox", "sandbox.congress", "a", {}))
        deliverer(app).drain(0.01)
    assert [each.state for each in EventDeliveries(ledger).find()] == ["accepted"]


@pytest.mark.rule("EVT-5")
def test_an_event_that_cannot_be_read_is_reported(
    app: Flask, outbox: Outbox, deliveries: EventDeliveries, inbox: Inbox, caplog: pytest.LogCaptureFixture
) -> None:
    def report(*subjects: str) -> None:
        for subject in subjects:
            outbox.add(Event("menu.changed", "sandbox", "sandbox.congress", subject, {}))

    report("a")
    ledger = app.extensions["levelup_ov"].submissions.ledger
    ledger.database.run(lambda cursor, _: cursor.execute("UPDATE outbox SET data = '{'"))
    report("a", "b")
    deliverer(app).drain(5)
    assert [each.subject for each in deliveries.find(state="parked")] == ["a", "a"]
    assert [json.loads(body)["type"] for _, body in inbox.requests] == ["menu.changed"]
    (parked,) = [record for record in caplog.records if record.message == "events_parked"]
    assert (parked.levelname, vars(parked)["problem"]) == ("ERROR", "unreadable")


@pytest.mark.rule("EVT-6")
def test_an_error_of_our_own_stops_nothing(
    app: Flask, outbox: Outbox, deliveries: EventDeliveries, inbox: Inbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    send = deliverer(app)._send

    def broken(receiver: Receiver, delivery: EventDelivery) -> Any:
        return send(receiver, delivery) if delivery.subject == "b" else 1 / 0

    monkeypatch.setattr(deliverer(app), "_send", broken)
    for subject in "ab":
        outbox.add(Event("menu.changed", "sandbox", "sandbox.congress", subject, {}))
    deliverer(app).drain(5)
    assert len(inbox.requests) == 1
    assert [(each.state, each.problem) for each in deliveries.find(subject="a")] == [("waiting", "internal")]


@pytest.mark.rule("EVT-5", "SUB-13")
def test_a_clock_that_is_set_back_delays_no_event(
    serve: Serve, app: Flask, outbox: Outbox, deliveries: EventDeliveries, inbox: Inbox, clock: Clock
) -> None:
    clock.set("2030-06-03T20:00Z")
    outbox.add(Event("menu.changed", "sandbox", "sandbox.congress", "a", {}))
    inbox.answers = [503]
    deliverer(app).drain(0.01)
    assert [each.state for each in deliveries.find()] == ["waiting"]
    clock.set("2030-06-03T16:00Z")
    # The host that saw it fail waits a little.
    serve().test_cli_runner().invoke(args=["events", "send"])
    assert [each.state for each in deliveries.find()] == ["accepted"]
