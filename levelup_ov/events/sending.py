"""One attempt to deliver one event: a signed request, or a mail."""

from __future__ import annotations

import smtplib
import socket
import ssl
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timezone
from email.message import EmailMessage
from email.utils import format_datetime
from typing import Any

import orjson
from standardwebhooks import Webhook

from levelup_ov.domain.failure import Failure
from levelup_ov.domain.secret import Secret
from levelup_ov.errors import Unanswered
from levelup_ov.event_settings import EventSettings, is_email, mail_server
from levelup_ov.events import messages
from levelup_ov.events.receivers import AGENT, Receiver
from levelup_ov.ledger.event_deliveries import EventDelivery
from levelup_ov.transport.deadline import Deadline
from levelup_ov.transport.session import Session, Transport

PATIENCE = 10.0
"""Seconds for one attempt."""
ACCEPTED = range(200, 300)
OF_THE_EVENT = frozenset({400, 409, 413, 415, 422})
"""Answers about the event; every other failure is the receiver's, which then gets one event at a time."""
LARGEST_ANSWER = 64 * 1024
"""Bytes of an answer that are read; none of them is used."""
LONGEST_WAIT = 600.0
"""Seconds that a receiver may ask us to wait."""
UNREADABLE = "unreadable"
"""The problem of an event that cannot be sent as it is recorded."""

Send = Callable[[Receiver, EventDelivery], None]


@dataclass(frozen=True, slots=True)
class EventRequest:
    """A POST of JSON: ``body`` is sent as it is."""

    address: Secret
    headers: Mapping[str, str]
    body: bytes
    transport: Transport


RequestOf = Callable[[EventDelivery], EventRequest]
"""Gives the request for an event, or raises :class:`SendFailed`."""


class SendFailed(Exception):
    """The receiver has not accepted the event. ``problem``: a status, or why there was none.

    ``is_down``: it would not accept another one either. ``is_final``: nor will it accept this one before a person acts.
    ``wait``: the seconds that it asks us to wait.
    """

    def __init__(self, problem: str, *, is_down: bool, is_final: bool = False, wait: float = 0.0) -> None:
        super().__init__(problem)
        self.problem = problem
        self.is_down = is_down
        self.is_final = is_final
        self.wait = min(wait, LONGEST_WAIT)


class Sender:
    """Sends events. ``clock`` returns the time that is signed, aware; ``to_agent``: see :data:`RequestOf`."""

    def __init__(
        self,
        settings: EventSettings,
        transport: Transport,
        clock: Callable[[], datetime],
        to_agent: RequestOf | None = None,
    ) -> None:
        self._settings = settings
        self._transport = transport
        self._clock = clock
        self._to_agent = to_agent

    def __call__(self, receiver: Receiver, delivery: EventDelivery) -> None:
        """:raises SendFailed: the receiver has not accepted it."""
        try:
            make = self._mail if is_email(receiver.address) else self._request
            content = make(receiver, delivery)
        except (ValueError, KeyError, TypeError, AttributeError):
            # What the database has is not what was recorded, and will not be at the next attempt.
            raise SendFailed(UNREADABLE, is_down=False, is_final=True) from None
        if isinstance(content, EventRequest):
            self._post(receiver, content)
        else:
            self._submit(content)

    def _request(self, receiver: Receiver, delivery: EventDelivery) -> EventRequest:
        if receiver.group == AGENT:
            assert self._to_agent is not None
            return self._to_agent(delivery)
        body = messages.body(delivery)
        headers = signed(delivery.id, body, self._clock(), receiver.secrets)
        return EventRequest(receiver.address, headers, body.encode(), self._transport)

    @staticmethod
    def _post(receiver: Receiver, request: EventRequest) -> None:
        session = Session(
            request.transport,
            receiver.name,
            base_url=request.address.reveal(),
            headers=request.headers,
            error_from=lambda reply: None,
            deadline=Deadline(PATIENCE),
        )
        try:
            with session:
                session.post("", orjson.Fragment(request.body), also=ACCEPTED)
        except Unanswered as failure:
            if session.calls and session.calls[-1].status in ACCEPTED:
                # Nobody needs what comes after the status: too much, too late, or cut off.
                return
            problem = str(failure.status or failure.code.removeprefix("provider_"))
            wait = failure.retry_after or 0.0
            raise SendFailed(problem, is_down=failure.status not in OF_THE_EVENT, wait=wait) from None
        except Failure as failure:
            raise SendFailed(failure.code.removeprefix("provider_"), is_down=True) from None

    def _mail(self, receiver: Receiver, delivery: EventDelivery) -> EmailMessage:
        mail = EmailMessage()
        mail["From"], mail["To"] = self._settings.mail_from, receiver.address.reveal()
        mail["Date"] = format_datetime(self._clock())
        mail["Message-ID"] = f"<{delivery.id}@{self._settings.mail_from.rpartition('@')[2]}>"
        mail["Auto-Submitted"] = "auto-generated"
        mail["Subject"], text = messages.mail(delivery)
        mail.set_content(text)
        return mail

    def _submit(self, mail: EmailMessage) -> None:
        assert self._settings.smtp is not None
        try:
            _submit(mail, self._settings.smtp)
        except smtplib.SMTPResponseException as error:
            raise SendFailed(str(error.smtp_code), is_down=True) from None
        except (OSError, smtplib.SMTPException) as error:
            raise SendFailed(type(error).__name__, is_down=True) from None


def signed(id: str, body: str, now: datetime, secrets: tuple[Secret, ...]) -> dict[str, str]:
    """The headers of the Standard Webhooks, with one signature for each secret."""
    now = now.astimezone(timezone.utc)
    signatures = [Webhook(secret.reveal()).sign(id, now, body) for secret in secrets]
    return {
        "webhook-id": id,
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": " ".join(signatures),
        "User-Agent": "levelup_ov",
    }


class _Client(smtplib.SMTP):
    """Its replies all come within :data:`PATIENCE`; smtplib itself limits each part of one that arrives."""

    def __init__(self, host: str, port: int, **more: Any) -> None:
        self._deadline = Deadline(PATIENCE)
        super().__init__(host, port, timeout=PATIENCE, **more)

    def getreply(self) -> tuple[int, bytes]:
        timer = threading.Timer(max(self._deadline.remaining(), 0), self._hang_up)
        timer.start()
        try:
            return super().getreply()
        finally:
            timer.cancel()

    def _hang_up(self) -> None:
        with suppress(OSError, AttributeError):
            self.sock.shutdown(socket.SHUT_RDWR)  # type: ignore[union-attr]


class _TLSClient(_Client, smtplib.SMTP_SSL):
    """The same, with TLS from the start."""


def _submit(mail: EmailMessage, server: Secret) -> None:
    """Hand a mail to the server: over TLS, except to this host; a password never without it."""
    host, port, user, password, immediately = mail_server(server.reveal())
    context = ssl.create_default_context()
    client = _TLSClient(host, port, context=context) if immediately else _Client(host, port)
    try:
        if not immediately and (user or host not in ("127.0.0.1", "localhost", "::1")):
            client.starttls(context=context)
        if user:
            client.login(user, password)
        client.send_message(mail)
    finally:
        with suppress(OSError, smtplib.SMTPException):
            client.quit()
