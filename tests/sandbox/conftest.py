"""An engine at a stated time, and the few requests that its tests are made of."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from werkzeug.test import TestResponse

from levelup_ov.standins.sandbox import DEVELOPMENT_KEY, create_sandbox

KEY = {"X-Sandbox-Key": DEVELOPMENT_KEY}


class Kitchen:
    """A client of one engine; ``now`` is its clock, ``slept`` what it waited.

    Each order has a reference of its own: ``ref-1``, ``ref-2`` and so on.
    """

    def __init__(self, database: Path) -> None:
        self.now = datetime(2026, 11, 20, 17, 0, tzinfo=timezone.utc)
        self.slept: list[float] = []
        self._orders = itertools.count(1)
        self.app = create_sandbox(database, clock=lambda: self.now, sleep=self.slept.append)
        self.client = self.app.test_client()

    def pass_time(self, **delta: float) -> None:
        self.now += timedelta(**delta)

    def call(self, method: str, path: str, body: Any = None, *, session: str = "", status: int | None = None) -> Any:
        answer = self.client.open(path, method=method, json=body, headers={**KEY, "X-Sandbox-Session": session})
        if status is not None:
            assert answer.status_code == status, answer.text
        return answer.json

    def cart(self, place: str, *, session: str = "", **content: Any) -> Any:
        return self.call("POST", f"/v1/locations/{place}/carts", cart_of(**content), session=session, status=201)

    def order(self, cart_id: str, *, session: str = "", **members: Any) -> Any:
        body = {"payment": {"external": "LevelUp"}, "reference": f"ref-{next(self._orders)}", **members}
        return self.call("POST", f"/v1/carts/{cart_id}/orders", body, session=session, status=201)["order"]

    def ordered(self, place: str, *, payment: Any = None, **content: Any) -> Any:
        members = {} if payment is None else {"payment": payment}
        return self.order(self.cart(place, **content)["cart"]["id"], **members)

    def refused(self, place: str, *, session: str = "", **content: Any) -> Any:
        return problem_of(self._post(f"/v1/locations/{place}/carts", cart_of(**content), session))

    def void(self, place: str, reference: str) -> Any:
        return self.call("POST", f"/v1/locations/{place}/voids", {"reference": reference}, status=200)["void"]

    def order_refused(self, cart_id: str, *, session: str = "", **members: Any) -> Any:
        body = {"payment": {"external": "LevelUp"}, "reference": "ref-1", **members}
        return problem_of(self._post(f"/v1/carts/{cart_id}/orders", body, session))

    def placed(self, place: str, reference: str = "ref-1") -> Any:
        return self.call("GET", f"/v1/locations/{place}/orders?reference={reference}", status=200)["orders"]

    def _post(self, path: str, body: Any, session: str) -> TestResponse:
        return self.client.post(path, json=body, headers={**KEY, "X-Sandbox-Session": session})


def cart_of(**content: Any) -> Any:
    lines = content.pop("lines", [{"dish": "sandwich"}])
    return {"lines": lines, "customer": {"name": "Ada Eater", "phone": "+16175550199"}, **content}


def problem_of(answer: TestResponse) -> Any:
    assert 400 <= answer.status_code < 500, answer.text
    problem = answer.get_json()["problem"]
    assert problem["text"]
    return problem["code"]


@pytest.fixture
def kitchen(tmp_path: Path) -> Iterator[Kitchen]:
    kitchen = Kitchen(tmp_path / "sandbox.db")
    yield kitchen
    kitchen.app.extensions["sandbox"].store.close()
