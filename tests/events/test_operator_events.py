"""A person is notified of an order that the restaurant must be called about (EVT-8)."""

from __future__ import annotations

import email
import socket
import socketserver
import threading
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from email import policy
from email.message import EmailMessage
from pathlib import Path

import pytest
from flask import Flask
from standardwebhooks import Webhook

from levelup_ov.domain.event import Event
from levelup_ov.events import sending
from levelup_ov.events.deliverer import Deliverer
from levelup_ov.events.receivers import Receivers
from levelup_ov.ledger.event_deliveries import EventDeliveries
from tests.channel import Channel, Clock
from tests.events.conftest import OPERATOR_SECRET, Inbox, deliverer
from tests.events.test_channel_events import watch
from tests.transport.wire import Peer, peer

Serve = Callable[..., Flask]
ACCOUNTS = """
[accounts.sandbox]
provider = "sandbox"
name = "Sandbox Diner"
operator = "env:DINER_HOOK"

[accounts.other]
provider = "sandbox"
name = "Other Diner"
"""
HOOKS = {
    "DINER_HOOK": "http://diner.internal/T01/secret-part",
    "LEVELUP_OV_OPERATOR": "http://all.internal/hook",
    "LEVELUP_OV_OPERATOR_SECRETS": OPERATOR_SECRET,
}


class MailServer(socketserver.ThreadingTCPServer):
    """Takes mail over SMTP; ``answer`` is what it says to a mail."""

    allow_reuse_address = True
    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Mail)
        self.mails: list[EmailMessage] = []
        self.answer = "250 taken"

    @property
    def url(self) -> str:
        return f"smtp://127.0.0.1:{self.server_address[1]}"


class _Mail(socketserver.StreamRequestHandler):
    server: MailServer

    def handle(self) -> None:
        self.wfile.write(b"220 ready\r\n")
        while line := self.rfile.readline():
            verb = line[:4].upper()
            if verb == b"DATA":
                self.wfile.write(b"354 go on\r\n")
                text = b""
                while (part := self.rfile.readline()) != b".\r\n":
                    text += part
                self.server.mails.append(email.message_from_bytes(text, policy=policy.default))
                self.wfile.write(f"{self.server.answer}\r\n".encode())
            else:
                self.wfile.write(b"221 bye\r\n" if verb == b"QUIT" else b"250 yes\r\n")
            if verb == b"QUIT":
                return


@pytest.fixture
def mail_server() -> Iterator[MailServer]:
    with MailServer() as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        yield server
        server.shutdown()


def refuse_order(app: Flask, clock: Clock, location: str = "sandbox.congress") -> None:
    """An order that the restaurant refuses after the guest's submission succeeded."""
    assert Channel(app).submit(location, special_instructions="sandbox:turned-down").status == 200
    clock.now += timedelta(minutes=5)
    watch(app)


@pytest.mark.rule("EVT-8", "ERR-4")
def test_the_account_has_its_own_operator(
    serve: Serve, tmp_path: Path, clock: Clock, inbox: Inbox, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "accounts.toml").write_text(ACCOUNTS)
    diner, others = Inbox(), Inbox()
    diner.answers = [500]
    hosts = {"diner.internal": diner, "all.internal": others}
    app = serve(hosts, **HOOKS, LEVELUP_OV_ACCOUNTS=str(tmp_path / "accounts.toml"))
    refuse_order(app, clock)
    deliverer(app).drain(0.1)
    assert "secret-part" not in caplog.text
    app.test_cli_runner().invoke(args=["events", "replay", diner.ids[0]])
    refuse_order(app, clock, "other.congress")
    clock.set("2030-06-03T17:05Z")
    app = serve(hosts, **HOOKS, LEVELUP_OV_ACCOUNTS=str(tmp_path / "accounts.toml"))
    deliverer(app).drain(5)
    assert [data["merchant_id"] for _, data in diner.events] == ["sandbox"] * 2
    assert [data["merchant_id"] for _, data in others.events] == ["other"]
    kind, data = diner.events[1]
    assert kind == "order.needs_attention"
    assert data["what"] == "order_refused"
    assert data["order_id"] == 1
    assert data["submitted_at"] == "2030-06-03T16:00:00+00:00"
    assert {"provider_order_id", "reference", "location_id"} <= data.keys()
    assert {kind for kind, _ in inbox.events} == {"order.status_changed"}
    headers, body = others.requests[0]
    signature = Webhook(OPERATOR_SECRET).sign(headers["webhook-id"], clock(), body)
    assert headers["webhook-signature"] == signature


@pytest.mark.rule("EVT-5", "EVT-8")
def test_the_operator_of_all_hears_of_an_account_that_is_gone(
    serve: Serve, tmp_path: Path, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    accounts = str(tmp_path / "accounts.toml")
    (tmp_path / "accounts.toml").write_text(ACCOUNTS)
    diner, others = Inbox(), Inbox()
    diner.answers = [503]
    hosts = {"diner.internal": diner, "all.internal": others}
    app = serve(hosts, **HOOKS, LEVELUP_OV_ACCOUNTS=accounts)
    refuse_order(app, clock)
    deliverer(app).drain(0.1)
    (tmp_path / "accounts.toml").write_text(ACCOUNTS.partition("[accounts.other]")[2].join(["[accounts.other]", ""]))
    clock.now += timedelta(minutes=1)
    deliverer(serve(hosts, **HOOKS, LEVELUP_OV_ACCOUNTS=accounts)).drain(5)
    assert [data["merchant_id"] for _, data in others.events] == ["sandbox"]


@pytest.mark.rule("EVT-5")
def test_what_nobody_is_to_receive_is_parked(serve: Serve, clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    app = serve()
    ledger = app.extensions["levelup_ov"].submissions.ledger
    ledger.outbox.route = lambda event: ("operator.gone",)
    ledger.outbox.add(Event("order.needs_attention", "gone", "gone.one", "s", {"what": "order_refused"}))
    settings = app.extensions["levelup_ov.settings"].events
    own = Deliverer(EventDeliveries(ledger), Receivers(settings), lambda *_: None, now=lambda: clock().timestamp())
    own.drain(0.1)
    clock.now += timedelta(days=1, minutes=30)
    own.start()
    until = time.monotonic() + 20
    while not EventDeliveries(ledger).find(state="parked") and time.monotonic() < until:
        time.sleep(0.01)
    own.stop()
    (parked,) = [record for record in caplog.records if record.message == "events_parked"]
    assert (vars(parked)["receiver"], vars(parked)["problem"]) == ("operator.gone", "not_configured")


@pytest.mark.rule("EVT-8")
def test_a_mail_says_what_to_do(serve: Serve, clock: Clock, mail_server: MailServer) -> None:
    app = serve(
        LEVELUP_OV_OPERATOR="kitchen@diner.example",
        LEVELUP_OV_SMTP_URL=mail_server.url,
        LEVELUP_OV_MAIL_FROM="gateway@orders.example",
    )
    refuse_order(app, clock)
    mail_server.answer = "451 later"
    deliverer(app).drain(0.1)
    clock.set("2030-06-03T17:05Z")
    mail_server.answer = "250 taken"
    app.test_cli_runner().invoke(args=["events", "send"])
    listed = app.test_cli_runner().invoke(args=["events", "list", "--receiver", "operator.sandbox"]).output
    assert "waiting (451) after 1" in listed, "its gate is closed for a moment"
    app = serve(
        LEVELUP_OV_OPERATOR="kitchen@diner.example",
        LEVELUP_OV_SMTP_URL=mail_server.url,
        LEVELUP_OV_MAIL_FROM="gateway@orders.example",
    )
    deliverer(app).drain(5)
    first, mail = mail_server.mails
    assert mail["Message-ID"] == first["Message-ID"]
    assert (mail["To"], mail["From"]) == ("kitchen@diner.example", "gateway@orders.example")
    assert mail["Subject"] == "order_refused at sandbox.congress"
    text = mail.get_content().replace("\r\n", "\n")
    assert "order id: 1\n" in text and "call it, or tell the guest" in text
    assert "Robin" not in text


@pytest.mark.rule("EVT-6", "EVT-8")
def test_a_mail_server_that_drips_is_left(serve: Serve, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    def drip(server: Peer, connection: socket.socket) -> None:
        while not server.stopped:
            connection.sendall(b"2")
            server.pause(0.02)

    monkeypatch.setattr(sending, "PATIENCE", 0.2)
    with peer(drip) as mail_server:
        app = serve(
            LEVELUP_OV_OPERATOR="kitchen@diner.example",
            LEVELUP_OV_SMTP_URL=f"smtp://127.0.0.1:{mail_server.port}",
            LEVELUP_OV_MAIL_FROM="gateway@orders.example",
        )
        refuse_order(app, clock)
        deliverer(app).drain(0.01)
        assert deliverer(app).counts["waiting"] == 1


@pytest.mark.rule("EVT-8", "PAY-4")
def test_another_charge_than_asked_for_is_reported_once(serve: Serve, clock: Clock, inbox: Inbox) -> None:
    operator = Inbox()
    app = serve({"all.internal": operator}, **{name: HOOKS[name] for name in HOOKS if name != "DINER_HOOK"})
    channel = Channel(app)
    for note, number in (("sandbox:overcharge", 1), ("sandbox:overcharge sandbox:lost-answer", 2)):
        members = {"order_number": f"n{number}", "special_instructions": note}
        assert channel.submit(**members).status == (200 if number == 1 else 504)
    clock.now += timedelta(minutes=5)
    app.test_cli_runner().invoke(args=["submissions", "reconcile"])
    assert channel.submit(**members).status == 200
    deliverer(app).drain(5)
    # Two orders, so their events come in any order.
    assert sorted((data["what"], data["order_id"]) for _, data in operator.events) == [
        ("charge_mismatch", 1),
        ("charge_mismatch", 2),
    ]
    assert [kind for kind, _ in inbox.events] == ["submission.resolved"]
