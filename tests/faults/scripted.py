"""The service in this process, and an engine behind a proxy that does what a test's script says."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

from flask import Flask

from levelup_ov.app import create_app
from levelup_ov.config import Settings, load_settings
from levelup_ov.ledger.ledger import Ledger, open_ledger
from levelup_ov.ledger.records import Submission
from tests.faults import engine
from tests.faults.proxy import NONE, Call, Choose, Proxy
from tests.faults.stack import API_KEY, Answer, environment

PHONE = "+16175550142"
CARD = {
    "number": "4012888888881881",
    "cvv": "7391",
    "zip": "02114",
    "expiration_month": "06",
    "expiration_year": "2039",
}


class Clock:
    """The time, moved by hand; noon in Boston at first."""

    def __init__(self) -> None:
        self.now = datetime(2026, 11, 10, 17, 0, tzinfo=timezone.utc)

    def __call__(self) -> datetime:
        return self.now

    def advance(self, **by: float) -> None:
        self.now += timedelta(**by)


@dataclass
class Script:
    """Chooses faults by the kind of the call: those given for a kind, one after the other, then none."""

    faults: dict[str, list[Any]] = field(default_factory=dict)

    def __call__(self, call: Call) -> Any:
        waiting = self.faults.get(call.kind)
        return waiting.pop(0) if waiting else NONE

    def add(self, kind: str, *faults: Any) -> None:
        self.faults.setdefault(kind, []).extend(faults)


@dataclass
class ScriptedService:
    """The service and all the systems around it."""

    app: Flask
    settings: Settings
    ledger: Ledger
    clock: Clock
    proxy: Proxy
    script: Script
    directory: Path

    def order(self, **members: Any) -> dict[str, Any]:
        user = {"name": "Robin Example", "phone": PHONE, "email": "robin@example.com"}
        return {"user": user, "items": [{"item": {"provider_id": "sandwich", "quantity": 1}}], **members}

    def submit(self, location: str = "diner.congress", key: str | None = None, **members: Any) -> Answer:
        """Submit the order with these members."""
        headers = {} if key is None else {"Idempotency-Key": key}
        return self._post(f"/locations/{location}/order_submissions", "order_submission", members, headers)

    def validate(self, location: str = "diner.congress", **members: Any) -> Answer:
        return self._post(f"/locations/{location}/order_validations", "order_validation", members, {})

    def validation_id(self, location: str = "diner.congress") -> dict[str, str]:
        """The metadata that makes the submission of a new validation recognizable, and no more."""
        metadata = self.validate(location).body["order_validation"]["metadata"]
        return {"order_validation_id": metadata["order_validation_id"]}

    def rows(self) -> list[Submission]:
        """The ledger, oldest first; open rows resolved as far as they can be."""
        self.ledger.reader.open_submissions()
        return list(reversed(self.ledger.reader.find()))

    def cooked(self) -> list[engine.Cooked]:
        return engine.orders(self.directory / "engine.db")

    def _post(self, path: str, root: str, members: Mapping[str, Any], headers: Mapping[str, str]) -> Answer:
        response = self.app.test_client().post(
            path,
            json={root: self.order(**members)},
            headers={"Authorization": f"token {API_KEY}", **headers},
        )
        return Answer(response.status_code, response.get_json(), dict(response.headers))


@contextmanager
def scripted_service(
    directory: Path,
    *,
    deadline: float = 5.0,
    grace: float = 1.0,
    ledger: str | None = None,
    choose: Choose | None = None,
    key: str = "sandbox",
    accounts: tuple[str, ...] = ("diner",),
    provider: str = "sandbox",
    account: str = "",
    more: Mapping[str, str] | None = None,
) -> Iterator[ScriptedService]:
    """The service with a clock that moves by hand; ``deadline`` and ``grace`` are seconds, ``key`` is the engine's.

    The rest as in :func:`tests.faults.stack.environment`.
    """
    with ExitStack() as cleanup:
        clock, script = Clock(), Script()
        port = cleanup.enter_context(engine.engine(directory / "engine.db", clock=clock, key=key))
        proxy = cleanup.enter_context(Proxy(port, choose or script, ports=len(accounts)))
        url = ledger or f"sqlite:///{directory}/ledger.db"
        urls = {name: f"http://127.0.0.1:{port}" for name, port in zip(accounts, proxy.ports, strict=True)}
        found = load_settings(
            environment(
                directory, urls, url, deadline=deadline, grace=grace, provider=provider, account=account, more=more
            )
        )
        opened = cleanup.enter_context(closing(open_ledger(url, clock=clock)))
        app = create_app(found, clock=clock, ledger=opened)
        yield ScriptedService(app, found, opened, clock, proxy, script, directory)
