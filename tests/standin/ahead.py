"""A platform in front of a gateway, both in this process, and a phone that orders through it."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Mapping
from contextlib import closing
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from levelup_ov.app import create_app
from levelup_ov.config import load_settings
from levelup_ov.ledger.engine import upgrade
from levelup_ov.ledger.ledger import open_ledger
from levelup_ov.standins.levelup import create_levelup
from levelup_ov.standins.levelup.ahead import GatewayReply, Unreached
from tests.channel import Clock
from tests.standin.visitors import ADA, LevelUp

Fault = Callable[[Callable[[], GatewayReply]], GatewayReply]


class Gateway:
    """The service as the platform reaches it. ``calls``: method and path of each, ``bodies``: what was sent.

    ``faults``: for the next calls whose path ends so, what happens instead; it may make the call.
    """

    def __init__(self, data_dir: Path, clock: Clock, in_process: Mapping[str, Any] | None = None) -> None:
        environ = {"LEVELUP_OV_ENV": "development", "LEVELUP_OV_DATA_DIR": str(data_dir)}
        self.settings = load_settings(environ)
        upgrade(self.settings.ledger.reveal())
        self.ledger = open_ledger(self.settings.ledger.reveal(), clock=clock)
        self.app = create_app(self.settings, clock=clock, ledger=self.ledger, in_process=in_process)
        self.calls: list[str] = []
        self.bodies: list[Any] = []
        self.keys: list[str | None] = []
        self.faults: dict[str, list[Fault]] = {}
        self._data_dir = data_dir

    def __call__(
        self, method: str, path: str, body: Any = None, headers: Mapping[str, str] | None = None, *, seconds: float
    ) -> GatewayReply:
        self.calls.append(f"{method} {path}")
        if method == "POST":
            self.bodies.append(body)
            self.keys.append((headers or {}).get("Idempotency-Key"))

        def call() -> GatewayReply:
            key = {"Authorization": f"token {self.settings.api_keys[0].reveal()}"}
            answer = self.app.test_client().open(path, method=method, json=body, headers={**key, **(headers or {})})
            replayed = answer.headers.get("Idempotency-Replayed") == "true"
            return GatewayReply(answer.status_code, answer.get_json(silent=True), answer.headers.get("ETag"), replayed)

        waiting = next((faults for ending, faults in self.faults.items() if path.endswith(ending) and faults), None)
        return waiting.pop(0)(call) if waiting else call()

    def meals(self) -> int:
        """How many orders the ordering provider has."""
        with closing(sqlite3.connect(self._data_dir / "sandbox.db")) as connection:
            if not connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'orders'").fetchone():
                return 0
            return connection.execute("SELECT count(*) FROM orders").fetchone()[0]


def unreached(_: Callable[[], GatewayReply]) -> GatewayReply:
    """Nobody is there."""
    raise Unreached("the gateway cannot be reached", sent=False)


def unanswered(_: Callable[[], GatewayReply]) -> GatewayReply:
    """The request is lost on its way, and nobody can know."""
    raise Unreached("the gateway did not answer", sent=True)


def lost(call: Callable[[], GatewayReply]) -> GatewayReply:
    """Done, but the answer is lost."""
    call()
    raise Unreached("the gateway did not answer", sent=True)


def answers(status: int, code: str, *, retryable: bool = False) -> Fault:
    """An error of the gateway's."""
    error = {"type": "provider", "code": code, "message": f"It says {code}.", "retryable": retryable}
    return lambda _: GatewayReply(status, {"error": error})


class Phones(LevelUp):
    """A platform with a gateway. What apps poll for is done when :meth:`work` is called, in sequence."""

    def __init__(self, directory: Path, clock: Clock, in_process: Mapping[str, Any] | None = None) -> None:
        self.clock = clock
        self.waiting: list[Callable[[], None]] = []
        self.slept: list[float] = []
        self.gateway = Gateway(directory / "data", clock, in_process)
        self.notices = []
        self.app = create_levelup(
            directory / "levelup.db", clock=lambda: self.now, gateway=self.gateway, run=self.waiting.append
        )
        service = self.app.extensions["order_ahead"]
        service._sleep, service._monotonic = self._sleep, lambda: clock().timestamp()
        self.client = self.app.test_client()
        self.store = self.app.extensions["levelup"].store

    @property
    def now(self) -> datetime:  # type: ignore[override]
        return self.clock()

    def _sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.clock.now += timedelta(seconds=seconds)

    def work(self) -> None:
        """Do all that waits."""
        while self.waiting:
            self.waiting.pop(0)()

    def auth(self, user: int = ADA) -> str:
        """A phone's token."""
        return f"token {self.token(user=user)}"

    def place(self, name: str = "Congress Street") -> Any:
        found = self.call("GET", "/v15/apps/1/locations?fulfillment_types=pickup")
        return next(entry["location"] for entry in found if entry["location"]["name"] == name)

    def menu(self, name: str = "Congress Street") -> Any:
        return self.call("GET", f"/v15/order_ahead/menus/{self.place(name)['id']}")["menu"]

    def item(self, name: str, place: str = "Congress Street") -> Any:
        return next(item for item in items_of(self.menu(place)) if item["name"] == name)

    def cart(self, *items: Any, place: str = "Congress Street", **members: Any) -> Any:
        conveyance = {"fulfillment_type": "pickup", "desired_ready_time": members.pop("at", None)}
        return {
            "order": {
                "location_id": self.place(place)["id"],
                "conveyance": conveyance,
                "items": [{"item": item} for item in items],
                "special_instructions": None,
                "tip_amount": None,
                **members,
            }
        }

    def start(self, cart: Any, auth: str | None = None) -> str:
        """The UUID of an order that was started and validated."""
        started = self.call("POST", "/v15/order_ahead/orders", cart, auth=auth or self.auth(), status=202)["order"]
        assert started["state"] == "validating"
        path = f"/v15/order_ahead/orders/{started['uuid']}"
        assert self.open("GET", path, auth=auth or self.auth()).status_code == 202
        self.work()
        return started["uuid"]

    def shown(self, uuid: str, auth: str | None = None, status: int = 200) -> Any:
        answer = self.call("GET", f"/v15/order_ahead/orders/{uuid}", auth=auth or self.auth(), status=status)
        return answer["order"] if status == 200 else answer

    def complete(self, uuid: str, auth: str | None = None, status: int = 202) -> Any:
        path = f"/v15/order_ahead/orders/{uuid}/complete"
        answer = self.call("POST", path, auth=auth or self.auth(), status=status)
        return answer["order"] if status == 202 else answer

    def completed(self, uuid: str, auth: str | None = None, status: int = 200) -> Any:
        answer = self.call("GET", f"/v15/order_ahead/orders/{uuid}/complete", auth=auth or self.auth(), status=status)
        return answer["order"] if status in (200, 202) else answer

    def ordered(self, *items: Any, auth: str | None = None, **members: Any) -> Any:  # type: ignore[override]
        """The whole way."""
        uuid = self.start(self.cart(*items, **members), auth)
        self.complete(uuid, auth)
        self.work()
        return self.completed(uuid, auth)

    def charges(self) -> list[Any]:
        """What is not refunded of all charges."""
        with self.store.reading() as transaction:
            return [order for order in transaction.newest_orders(100) if order.refunded_at is None]

    def charges_of_all(self) -> list[Any]:
        """The same, without a limit that a campaign could reach."""
        with self.store.reading() as transaction:
            return [order for order in transaction.newest_orders(10**6) if order.refunded_at is None]

    def refunds(self) -> list[Any]:
        """The charges that were given back."""
        with self.store.reading() as transaction:
            return [order for order in transaction.newest_orders(10**6) if order.refunded_at]


def items_of(menu: Any) -> list[Any]:
    """All items of a menu."""
    return [entry["item"] for category in menu["categories"] for entry in category["category"]["items"]]


def options_of(item: Any) -> dict[str, int]:
    """The numbers of an item's options, by the names of group and option."""
    return {
        f"{group['option_group']['name']}/{option['option']['name']}": option["option"]["id"]
        for group in item["option_groups"]
        for option in group["option_group"]["options"]
    }


def line(item: Any, *option_ids: int, quantity: int = 1, **members: Any) -> Any:
    """An item of a cart."""
    return {"id": item["id"], "quantity": quantity, "option_ids": list(option_ids), **members}
