"""A service with a receiver of its events."""

from __future__ import annotations

import io
import json
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest
from flask import Flask

from levelup_ov.app import create_app
from levelup_ov.config import load_settings, upgrade_ledger
from levelup_ov.event_settings import EVENTS, PREFIX
from levelup_ov.events import Deliverer
from levelup_ov.ledger.ledger import open_ledger
from tests.channel import Clock

SECRET = PREFIX + "b25lIHNlY3JldCBvZiB0aGVzZSB0ZXN0cyAuLi4="
OLD_SECRET = PREFIX + "YW4gb2xkZXIgc2VjcmV0IG9mIHRoZXNlIHRlc3Q="
OPERATOR_SECRET = PREFIX + "b25lIG9mIHRoZSBvcGVyYXRvcidzIG93biAuLi4="
URL = "LEVELUP_OV_EVENTS_URL"
ON = {URL: "http://receiver.internal/events", "LEVELUP_OV_EVENTS_SECRETS": SECRET}


class Inbox:
    """A receiver. ``answers`` are the statuses that it gives, 200 after these; ``hang`` is how long it takes."""

    def __init__(self) -> None:
        self.answers: list[int] = []
        self.hang = 0.0
        self.requests: list[tuple[Mapping[str, str], str]] = []

    def __call__(self, environ: Any, start_response: Any) -> Any:
        body = environ["wsgi.input"].read().decode()
        headers = {name[5:].replace("_", "-").lower(): environ[name] for name in environ if name.startswith("HTTP_")}
        self.requests.append(({**headers, "path": environ["PATH_INFO"]}, body))
        time.sleep(self.hang)
        status = self.answers.pop(0) if self.answers else 200
        start_response(f"{status} Whatever", [("Location", "http://elsewhere.internal/"), ("Content-Length", "2")])
        return io.BytesIO(b"ok")

    @property
    def events(self) -> list[tuple[str, Any]]:
        """Type and data of everything that arrived."""
        contents = [json.loads(body) for _, body in self.requests]
        return [(content["type"], content["data"]) for content in contents]

    @property
    def ids(self) -> list[str]:
        return [headers["webhook-id"] for headers, _ in self.requests]


@pytest.fixture
def inbox() -> Inbox:
    return Inbox()


@pytest.fixture
def serve(environ: dict[str, str], clock: Clock, inbox: Inbox) -> Iterator[Callable[..., Flask]]:
    """A service with these variables, whose receivers are ``inbox`` and what ``in_process`` names."""
    apps = []

    def make(in_process: Mapping[str, Any] | None = None, **variables: str) -> Flask:
        settings = load_settings({**environ, **ON, **variables})
        hosts = {"receiver.internal": inbox, **(in_process or {})}
        settings.data_dir.mkdir(exist_ok=True)
        upgrade_ledger(settings.ledger.reveal())
        # Its times are those of the clock too.
        ledger = open_ledger(settings.ledger.reveal(), clock=clock)
        apps.append(create_app(settings, clock=clock, ledger=ledger, in_process=hosts))
        return apps[-1]

    yield make
    for app in apps:
        deliverer(app).stop()


def deliverer(app: Flask) -> Deliverer:
    found = app.extensions[EVENTS]
    assert isinstance(found, Deliverer)
    return found
