"""The channel's side of the contract, for tests: it sends orders, with a key and in their envelope."""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from flask import Flask

from levelup_ov.config import DEVELOPMENT_API_KEY

USER = {"name": "Robin Example", "phone": "617-555-0142", "email": "robin@example.com"}
CARD = {
    "number": "4111111111111111",
    "cvv": "9137",
    "zip": "02114",
    "expiration_month": "06",
    "expiration_year": "2031",
    "name": "Robin Example",
}

_ORDER_NUMBERS = itertools.count(1)


class Clock:
    """The present of a service under test: a Monday at noon in Boston, until it is set."""

    def __init__(self) -> None:
        self.set("2030-06-03T16:00Z")

    def __call__(self) -> datetime:
        return self.now

    def set(self, instant: str) -> None:
        """``instant`` has an offset."""
        self.now = datetime.fromisoformat(instant)


@dataclass(frozen=True)
class Answer:
    """An answer of the service."""

    status: int
    headers: Mapping[str, str]
    json: Any

    @property
    def order(self) -> dict[str, Any]:
        """The content of a success, without its root member."""
        assert self.status == 200, self.json
        (members,) = self.json.values()
        return members

    @property
    def error(self) -> dict[str, Any]:
        """The members of an error."""
        assert self.status >= 400, self.json
        return self.json["error"]

    @property
    def refusal(self) -> tuple[int, str, str | None]:
        """Status, code and path of an error."""
        return self.status, self.error["code"], self.error["path"]


class Channel:
    """Calls to ``app`` with ``key``."""

    def __init__(self, app: Flask, key: str = DEVELOPMENT_API_KEY) -> None:
        self.app = app
        self._client = app.test_client()
        self._key = key

    def send(self, method: str, path: str, **arguments: Any) -> Answer:
        """One request as given, besides the key; ``arguments`` are those of Werkzeug's test client."""
        headers = {"Authorization": f"token {self._key}", **arguments.pop("headers", {})}
        reply = self._client.open(path, method=method, headers=headers, **arguments)
        return Answer(reply.status_code, dict(reply.headers), json.loads(reply.data) if reply.data else None)

    def get(self, path: str, **headers: str) -> Answer:
        """Read something."""
        return self.send("GET", path, headers=headers)

    def post(self, location: str, root: str, body: Any) -> Answer:
        """Send ``body``, JSON or its bytes, to the endpoint of orders in ``root``."""
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        return self.send("POST", f"/locations/{location}/{root}s", data=data, content_type="application/json")

    def validate(self, location: str = "sandbox.congress", **members: Any) -> Answer:
        """An OV of a sandwich, changed by ``members``."""
        return self.post(location, "order_validation", {"order_validation": order(**members)})

    def submit(self, location: str = "sandbox.congress", **members: Any) -> Answer:
        """The OS of the same, each call a submission of its own unless it says otherwise."""
        members = {"order_number": f"test-{next(_ORDER_NUMBERS)}", **members}
        return self.post(location, "order_submission", {"order_submission": order(**members)})


def order(**members: Any) -> dict[str, Any]:
    """The members of an order."""
    return {"user": USER, "items": [item("sandwich")], **members}


def item(provider_id: str, *options: str | dict[str, Any], **members: Any) -> dict[str, Any]:
    """One line of an order; an option is its id or its members."""
    chosen = [{"option": {"provider_id": option} if isinstance(option, str) else option} for option in options]
    return {"item": {"provider_id": provider_id, "quantity": 1, "options": chosen, **members}}
