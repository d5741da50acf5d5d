"""``python -m tests.faults.outer N SEED``: the outer loop, from the phone to the provider, while everything fails.

N orders of phones go through the platform's stand-in, which retries as the platform did (15 seconds for a validation,
90 for a submission), and through the service to the sandbox. Requests and answers get lost between any two of them, or
arrive late; each of them goes down, answers nonsense, and the platform dies in the middle of an order. Time is moved by
hand, so that a day takes a minute. At the end all is well again, and diner, platform, ledger and provider must agree to
the cent: nobody paid without an order, nobody got two.

A tenth as many more go through the service as it is deployed. Its worker processes are killed at any moment of a call.
"""

from __future__ import annotations

import argparse
import json
import logging
import random
import sqlite3
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any
from unittest.mock import patch

from levelup_ov.app import SANDBOX_HOST
from levelup_ov.config import DEVELOPMENT_API_KEY
from levelup_ov.domain.secret import Secret
from levelup_ov.ledger.ledger import open_ledger
from levelup_ov.standins.levelup.ahead import GatewayReply, HttpGateway, Unreached
from levelup_ov.standins.levelup.ahead.work import IN_FLIGHT_SECONDS, LOOK_AGAIN_SECONDS
from levelup_ov.standins.levelup.store import Ahead
from levelup_ov.standins.levelup.world import Grant
from levelup_ov.standins.sandbox import create_sandbox
from tests.channel import Clock
from tests.faults.stack import children, kill
from tests.servers.gateway import Gateway
from tests.standin.ahead import Phones, items_of, line, options_of
from tests.standin.visitors import ADA, BEN, DORA

BETWEEN = {"unreached": 8, "request lost": 5, "answer lost": 7, "late": 5, "500": 2, "nonsense": 1, "death": 3}
"""Percent of the platform's calls of the service that meet each fault."""
BEHIND = {"unreached": 4, "answer lost": 6, "500": 2, "sold out": 3}
"""The same for the service's calls of the provider. It refuses orders only."""
LONGEST_WAY = IN_FLIGHT_SECONDS - 1
"""Seconds after which a late request arrives at the latest."""
DOWN = 0.015
"""How often the service is down for a while."""
KILLED = 0.2
"""How often all processes of the service are killed during a validation or a submission."""
LONGEST_CALL = 0.06
"""Seconds after the beginning of a call within which they are killed."""
FINAL = ("valid", "invalid", "completed", "rejected")


class Death(BaseException):
    """The platform's process ends here."""


@dataclass
class Report:
    """What became of the orders, what was done to them, and what is wrong."""

    seed: str
    states: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    charged: int = 0
    by_others: int = 0
    placed: int = 0
    violations: list[str] = field(default_factory=list)

    def table(self) -> str:
        """For people."""
        lines = [f"seed {self.seed}", "", *(f"{count:7}  {name}" for name, count in sorted(self.states.items())), ""]
        lines += [f"{count:7}  {name}" for name, count in sorted(self.faults.items())]
        lines += ["", f"{self.charged:7}  cents of the diners' charges, refunds taken off"]
        lines += [f"{self.by_others:7}  cents of credit and gift cards in them and beside them"]
        lines += [f"{self.placed:7}  cents at the provider"]
        lines += ["", *(self.violations or ["nobody paid without an order, nobody got two"])]
        return "\n".join(lines)


class World:
    """Phones, platform, service and provider, and the trouble between them."""

    pause = 0.0
    """Seconds that pass in truth between two rounds of polling."""

    def __init__(self, directory: Path, seed: str) -> None:
        self.random = random.Random(seed)
        self.report = Report(seed)
        self.healthy = False
        self.clock = Clock()
        self._late: list[tuple[float, Callable[[], object]]] = []
        self._down_until = 0.0
        self._database = directory / "data" / "sandbox.db"
        self._sandbox = create_sandbox(self._database, clock=self.clock, sleep=lambda _: None)
        self.phones = Phones(directory, self.clock, {SANDBOX_HOST: self._provider})
        self.reach: Callable[..., GatewayReply] = self.phones.gateway
        self.ledger = self.phones.gateway.ledger
        service = self.phones.app.extensions["order_ahead"]
        service._gateway = service.places._gateway = self._service
        service._sleep = self.sleep

    def close(self) -> None:
        self.phones.store.close()

    def sleep(self, seconds: float) -> None:
        """Time passes, and what was late arrives."""
        self.clock.now += timedelta(seconds=seconds)
        self.arrive()

    def arrive(self) -> None:
        """What is due by now."""
        now = self.clock().timestamp()
        due = [call for at, call in self._late if at <= now]
        self._late = [(at, call) for at, call in self._late if at > now]
        for call in due:
            with suppress(Unreached):
                call()

    def _pick(self, chances: dict[str, int], where: str) -> str:
        if self.healthy:
            return ""
        dice = self.random.uniform(0, 100)
        for name, percent in chances.items():
            if dice < percent:
                self.report.faults[f"{where}: {name}"] += 1
                return name
            dice -= percent
        return ""

    def _service(self, method: str, path: str, *arguments: Any, **named: Any) -> GatewayReply:
        """The platform's call of the service."""
        now = self.clock().timestamp()
        if not self.healthy and now >= self._down_until and self.random.random() < DOWN:
            self.report.faults["service: down"] += 1
            self._down_until = now + self.random.uniform(1, 100)
        if not self.healthy and now < self._down_until:
            raise Unreached("down", sent=False)
        fault = self._pick(BETWEEN, "platform to service")
        if fault == "unreached":
            raise Unreached("unreached", sent=False)
        if fault == "late":
            at = now + self.random.uniform(0, LONGEST_WAY)
            self._late.append((at, lambda: self.reach(method, path, *arguments, **named)))
        if fault in ("late", "request lost"):
            self.clock.now += timedelta(seconds=self.random.uniform(0, 30))
            raise Unreached("unanswered", sent=True)
        if fault == "death" and self.random.random() < 0.5:
            raise Death
        if fault == "500":
            return GatewayReply(500, None)
        reply = self.reach(method, path, *arguments, **named)
        self.clock.now += timedelta(seconds=self.random.uniform(0, 5))
        if fault == "answer lost":
            raise Unreached("unanswered", sent=True)
        if fault == "death":
            raise Death
        return GatewayReply(200, {"nonsense": True}) if fault == "nonsense" else reply

    def _provider(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        """The service's call of the provider."""
        fault = self._pick(BEHIND, "service to provider")
        if fault == "unreached":
            raise ConnectionAbortedError
        if fault == "500":
            start_response("500 Oops", [])
            return [b""]
        if fault == "sold out" and environ["REQUEST_METHOD"] == "POST" and environ["PATH_INFO"].endswith("/orders"):
            start_response("422 No", [("Content-Type", "application/json")])
            return [b'{"problem": {"code": "dish_sold_out", "text": "The last one is sold.", "where": null}}']
        answer = list(self._sandbox(environ, start_response))
        if fault == "answer lost":
            raise ConnectionAbortedError
        return answer

    # What people do.

    def work(self) -> None:
        """The platform works until it has nothing to do, or dies."""
        while self.phones.waiting:
            try:
                self.phones.waiting.pop(0)()
            except Death:
                self.phones.waiting.clear()

    def order(self, users: list[tuple[int, str]], carts: list[Any]) -> tuple[str, str] | None:
        """One person orders; some never pay, some press twice. UUID and token of what was begun."""
        _, auth = self.random.choice(users)
        answer = self.phones.open("POST", "/v15/order_ahead/orders", self.random.choice(carts), auth=auth)
        if answer.status_code != 202:
            return None
        uuid = answer.get_json()["order"]["uuid"]
        self.work()
        if self.random.random() < 0.95:
            for _ in range(self.random.choice((1, 1, 2))):
                self.phones.open("POST", f"/v15/order_ahead/orders/{uuid}/complete", auth=auth)
                if self.random.random() < 0.5:
                    self.work()
        self.sleep(self.random.uniform(0, 30))
        return uuid, auth

    def look(self, uuid: str, auth: str) -> None:
        """A phone polls."""
        self.phones.open("GET", f"/v15/order_ahead/orders/{uuid}/complete", auth=auth)

    def ahead(self, uuid: str) -> Ahead:
        with self.phones.store.reading() as transaction:
            order = transaction.ahead(uuid)
        assert order
        return order

    def at_the_provider(self) -> list[tuple[str, int]]:
        """The number of each of the provider's orders, and what it charged for it, cents."""
        with closing(sqlite3.connect(self._database)) as connection:
            rows = connection.execute("SELECT ticket, details FROM orders")
            return [(str(row[0]), json.loads(row[1])["charged"]) for row in rows]

    def settle(self, begun: list[tuple[str, str]]) -> None:
        """All is well again; everybody polls until there is nothing left to wait for."""
        self.healthy = True
        for _ in range(40):
            time.sleep(self.pause)
            self.sleep(max(LOOK_AGAIN_SECONDS, LONGEST_WAY) * 2)
            for uuid, auth in begun:
                if self.ahead(uuid).state not in FINAL:
                    self.look(uuid, auth)
            self.work()
            if not self._late and all(self.ahead(uuid).state in FINAL for uuid, _ in begun):
                return

    def check(self, begun: list[tuple[str, str]]) -> None:
        """What diner, platform, ledger and provider know must agree."""
        wrong = self.report.violations
        paid_for: list[tuple[str, int]] = []
        given_back = set()
        for uuid, _ in begun:
            order = self.ahead(uuid)
            self.report.states[order.state] += 1
            with self.phones.store.reading() as transaction:
                charge = transaction.order(order.charge) if order.charge else None
            paid = charge is not None and charge.refunded_at is None
            if order.state not in FINAL:
                wrong.append(f"{uuid} is {order.state} to the end")
            elif paid != (order.state == "completed"):
                wrong.append(f"{uuid} is {order.state}, and is {'' if paid else 'not '}paid for")
            if charge and not paid:
                given_back.add(charge.uuid)
            if charge and paid and order.placed:
                cents = charge.payment.spend + charge.payment.tip - charge.payment.discount
                paid_for.append((str(order.placed["order_id"]), cents))
                self.report.by_others += charge.payment.discount + charge.payment.gift_card
        meals = self.at_the_provider()
        numbers = Counter(number for number, _ in meals)
        ledger = Counter(str(each.order_id) for each in self.ledger.reader.find(state="placed", limit=10**6))
        charges, refunds = len(self.phones.charges_of_all()), {each.uuid for each in self.phones.refunds()}
        self.report.charged = sum(cents for _, cents in paid_for)
        self.report.placed = sum(cents for _, cents in meals)
        if charges != len(paid_for):
            wrong.append(f"{charges} charges are not refunded, {len(paid_for)} orders are completed")
        if refunds != given_back:
            wrong.append(f"refunded are {sorted(refunds)}, to be given back were {sorted(given_back)}")
        if Counter(paid_for) != Counter(meals):
            paid_only, made_only = Counter(paid_for) - Counter(meals), Counter(meals) - Counter(paid_for)
            wrong.append(f"paid but not made: {dict(paid_only)}; made but not paid: {dict(made_only)}")
        if ledger != numbers:
            wrong.append(f"the ledger has {dict(ledger - numbers)} alone, the provider {dict(numbers - ledger)}")


class KilledWorld(World):
    """The service runs in processes of its own, with the sandbox in them, and they are killed while they work."""

    pause = 0.2

    def __init__(self, directory: Path, seed: str) -> None:
        super().__init__(directory, seed)
        self._server = Gateway(
            WEB_CONCURRENCY="2",
            LEVELUP_OV_LOG_LEVEL="ERROR",
            LEVELUP_OV_SUBMISSION_DEADLINE="2.6",
            LEVELUP_OV_RECONCILE_GRACE="0.2",
        )
        self._server.__enter__()
        data = self._server.directory / "data"
        self._database = data / "sandbox.db"
        self.ledger = open_ledger(f"sqlite:///{data / 'ledger.db'}")
        self._call = HttpGateway(self._server.base_url, Secret(DEVELOPMENT_API_KEY))
        self.reach = self._reach

    def close(self) -> None:
        self.ledger.close()
        self._server.__exit__()
        super().close()

    def _reach(self, method: str, path: str, *arguments: Any, **named: Any) -> GatewayReply:
        if self.healthy or method != "POST" or self.random.random() > KILLED:
            return self._call(method, path, *arguments, **named)
        self.report.faults["service: killed"] += 1
        killer = threading.Timer(self.random.uniform(0, LONGEST_CALL), self._kill)
        killer.start()
        try:
            return self._call(method, path, *arguments, **named)
        finally:
            killer.join()

    def _kill(self) -> None:
        """Whichever of them works on the call."""
        for pid in children(self._server.pid):
            kill(pid)


@contextmanager
def _quick() -> Iterator[None]:
    """Without the service's own pauses, and without its breaker: time does not pass for these."""
    with patch("levelup_ov.transport.session.BACKOFF", 0), patch("levelup_ov.transport.breaker.FAILURES", 10**9):
        yield


def run(directory: Path, orders: int, seed: str, kind: type[World] = World) -> Report:
    """The whole campaign in a world of this ``kind``."""
    with _quick():
        world = kind(directory, seed)
        try:
            world.healthy = True
            carts = _carts(world.phones)
            users = [(user, world.phones.auth(user)) for user in (ADA, ADA, DORA, BEN)]
            _give(world.phones)
            world.healthy = False
            begun: list[tuple[str, str]] = []
            for _ in range(orders):
                if (made := world.order(users, carts)) is not None:
                    begun.append(made)
                if begun and world.random.random() < 0.3:
                    world.look(*world.random.choice(begun))
                    world.work()
            world.settle(begun)
            world.check(begun)
        finally:
            world.close()
        return world.report


def _give(phones: Phones) -> None:
    """Credit and a gift card, so that more than a card pays."""
    merchant = phones.place()["merchant_id"]
    with phones.store.writing() as transaction:
        transaction.add_grant(ADA, Grant("credit", merchant, 5000))
        transaction.add_grant(DORA, Grant("gift_card", merchant, 5000))


def _carts(phones: Phones) -> list[Any]:
    sandwich = phones.item("Club sandwich")
    cheese = options_of(sandwich)["Toppings/Cheese"]
    carts = [phones.cart(line(sandwich, cheese, cheese), tip_amount=tip) for tip in (0, 150, 275)]
    names = ("Burger", "Cookie", "Bento")
    dishes = [item for item in items_of(phones.menu()) if item["name"] in names and not item["option_groups"]]
    return carts + [phones.cart(line(dish, quantity=count)) for dish in dishes for count in (1, 2, 3)]


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.faults.outer")
    parser.add_argument("orders", type=int)
    parser.add_argument("seed")
    given = parser.parse_args()
    logging.disable(logging.CRITICAL)
    with tempfile.TemporaryDirectory(prefix="outer-") as directory:
        reports = [
            run(Path(directory) / "in-process", given.orders, given.seed),
            run(Path(directory) / "killed", given.orders // 10, given.seed, KilledWorld),
        ]
    print("\n\n".join(report.table() for report in reports))
    return 1 if any(report.violations for report in reports) else 0


if __name__ == "__main__":
    sys.exit(main())
