"""An e-commerce site, the platform it takes payments with, and the line between the service and the platform."""

from __future__ import annotations

import io
import itertools
import json
import re
import sqlite3
import time
from collections.abc import Callable, Iterable
from contextlib import closing
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from flask import Flask

from levelup_ov.schemas.checkout_operations import CHECKOUT
from levelup_ov.standins.levelup.world import GOOD_CARD, SHOP_APP
from tests.channel import USER, Answer, Channel, Clock, item
from tests.standin.visitors import Browser, LevelUp

HOST = "levelup.internal"
RETURN_URL = "http://127.0.0.1:8000"
SHOP = "https://shop.example/back?basket=7"
VARIABLES = {
    "LEVELUP_OV_CHECKOUT_URL": f"http://{HOST}",
    "LEVELUP_OV_CHECKOUT_API_KEY": SHOP_APP.api_key,
    "LEVELUP_OV_CHECKOUT_CLIENT_SECRET": SHOP_APP.client_secret,
    "LEVELUP_OV_CHECKOUT_RETURN_URL": RETURN_URL,
}
PAYMENT = ("create_orders",)
LOGIN = ("create_orders", "read_user_basic_info", "manage_user_addresses", "read_user_orders")
RECORD = (*LOGIN, "create_first_credit_card")
PLACE = "sandbox.congress"

_KEYS = itertools.count(1)


class Line:
    """What the service reaches as LevelUp. ``calls``: method and path of each.

    ``faults``: for the next calls of a path, what happens: ``lost`` (done, but the answer is dropped), ``unreached``
    (not even done, and nobody can know), ``twice`` (done twice, with the second answer), or a status with a body in
    place of LevelUp's answer, after ``"done"`` if it is done. ``changes``: members
    that the next answers of a path have otherwise. ``keeps``: the calls of a path are kept there and not done; each can
    be done later by calling it. ``delays``: for how many seconds the calls of a path are held up. ``others``: other
    hosts that the service reaches. ``drops``: headers of answers that are lost on the way, in lower case.
    ``meanwhile``: what happens while the next calls of a path are answered.
    """

    def __init__(self, levelup: Flask) -> None:
        self._levelup = levelup
        self.calls: list[str] = []
        self.faults: dict[str, list[str | tuple[Any, ...]]] = {}
        self.delays: dict[str, float] = {}
        self.changes: dict[str, list[Any]] = {}
        self.keeps: dict[str, list[Any]] = {}
        self.others: dict[str, Any] = {}
        self.drops: set[str] = set()
        self.meanwhile: dict[str, list[Callable[[], None]]] = {}

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        path = environ["PATH_INFO"]
        self.calls.append(f"{environ['REQUEST_METHOD']} {path}")
        time.sleep(next((seconds for ending, seconds in self.delays.items() if path.endswith(ending)), 0))
        waiting = next((faults for ending, faults in self.faults.items() if path.endswith(ending) and faults), None)
        fault = waiting.pop(0) if waiting else None
        if fault == "unreached":
            raise ConnectionAbortedError
        if (kept := next((kept for ending, kept in self.keeps.items() if path.endswith(ending)), None)) is not None:
            late = {**environ, "wsgi.input": io.BytesIO(environ["wsgi.input"].read())}
            kept.append(lambda: list(self._levelup(late, lambda *_: None)))
            raise ConnectionAbortedError
        if isinstance(fault, tuple):
            *done, status, body = fault
            if done:
                list(self._levelup(environ, lambda *_: None))
            content = body if isinstance(body, bytes) else json.dumps(body).encode()
            start_response(f"{status} Fault", [("Content-Type", "application/json")])
            return [content]
        answered: list[Any] = []
        body = environ["wsgi.input"].read()
        for _ in range(2 if fault == "twice" else 1):
            again = {**environ, "wsgi.input": io.BytesIO(body)}
            answered.clear()
            answer = list(self._levelup(again, lambda *head: answered.append(head)))
        if waiting_for := next(
            (each for ending, each in self.meanwhile.items() if path.endswith(ending) and each), None
        ):
            waiting_for.pop(0)()
        if fault == "lost":
            raise ConnectionAbortedError
        if changed := next((each for ending, each in self.changes.items() if path.endswith(ending) and each), None):
            reported = json.loads(b"".join(answer))
            members = next(iter(reported.values())) if len(reported) == 1 else reported
            members.update(changed.pop(0))
            answer = [json.dumps(reported).encode()]
        status, headers = answered[0][:2]
        start_response(status, [each for each in headers if each[0].lower() not in {"content-length", *self.drops}])
        return answer

    def count(self, path: str) -> int:
        """How often a path was called."""
        return sum(call.endswith(path) for call in self.calls)


def _documented(method: str, path: str) -> frozenset[str]:
    """The codes that an endpoint is said to give."""
    patterns = ((operation, re.sub("{.+?}", "[^/]+", operation.path)) for operation in CHECKOUT)
    return next(each.codes for each, form in patterns if each.method == method.lower() and re.fullmatch(form, path))


class Site:
    """Calls of a site to the service ``app``, and the browsers of its visitors."""

    def __init__(self, app: Flask, levelup: LevelUp, line: Line, sandbox: Path) -> None:
        self.app = app
        self.channel = Channel(app)
        self.levelup = levelup
        self.line = line
        self._sandbox = sandbox
        self._visitor = app.test_client()

    def call(self, method: str, path: str, body: Any = None, **headers: str) -> Answer:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        sent = {"data": json.dumps(body), "content_type": "application/json"} if body is not None else {}
        answer = self.channel.send(method, f"/checkout{path}", headers=named, **sent)
        if answer.status != 200:
            assert answer.error["code"] in _documented(method, f"/checkout{path.partition('?')[0]}")
        return answer

    def get(self, path: str) -> Any:
        return self.done(self.call("GET", path))

    def post(self, path: str, body: Any = None, **headers: str) -> Any:
        return self.done(self.call("POST", path, body, **headers))

    @staticmethod
    def done(answer: Answer) -> Any:
        assert answer.status == 200, answer.json
        return answer.json

    # Connecting.

    def approve(self, authorization_url: str, email: str, answer: str = "grant") -> str:
        """A person signs in at LevelUp and answers; the address to which the browser is sent back."""
        url = urlsplit(authorization_url)
        browser = Browser(self.levelup).open(f"{url.path}?{url.query}").sign_in(email)
        browser.send("/oauth2/authorizations/new", answer=answer)
        assert browser.page.status_code == 303, browser.page.text
        return browser.page.headers["Location"]

    def visit(self, url: str) -> Any:
        """A browser opens an address of the service; without any key."""
        parts = urlsplit(url)
        return self._visitor.get(f"{parts.path}?{parts.query}")

    def come_back(self, url: str) -> dict[str, str]:
        """The same, for a callback that leads back to the shop: what the shop gets."""
        reply = self.visit(url)
        assert reply.status_code == 303, reply.text
        assert reply.headers["Location"].startswith(SHOP)
        return dict(parse_qsl(urlsplit(reply.headers["Location"]).query))

    def connect_merchant(self, email: str = "owner@beacon.example") -> str:
        started = self.post("/merchants", {"merchant": {"return_to": SHOP}})["merchant"]
        reported = self.come_back(self.approve(started["authorization_url"], email))
        assert reported["connection"] == started["id"]
        confirmed = self.post(f"/merchants/{started['id']}/confirm", {"confirmation": reported["confirmation"]})
        assert confirmed["merchant"]["state"] == "connected"
        return started["id"]

    def start_user(self, permissions: Iterable[str] = LOGIN, **members: Any) -> Any:
        body = {"authorization": {"return_to": SHOP, "permissions": list(permissions), **members}}
        return self.post("/users/authorizations", body)["user"]

    def connect_user(self, email: str = "ada@example.com", permissions: Iterable[str] = LOGIN) -> str:
        started = self.start_user(permissions)
        reported = self.come_back(self.approve(started["authorization_url"], email))
        self.post(f"/users/{started['id']}/confirm", {"confirmation": reported["confirmation"]})
        return started["id"]

    def request_permissions(self, email: str = "ada@example.com", permissions: Iterable[str] = PAYMENT) -> Any:
        body = {"permissions_request": {"email": email, "permissions": list(permissions)}}
        return self.post("/users/permissions_requests", body)["user"]

    def answer_request(self, number: int, email: str = "ada@example.com", answer: str = "grant") -> None:
        """The user answers a permissions request on LevelUp's page."""
        page = f"/permissions_requests/{number}"
        Browser(self.levelup).open(page).sign_in(email).send(page, answer=answer)

    def create_user(self, email: str = "new@example.com", permissions: Iterable[str] = RECORD) -> Any:
        body = {"email": email, "first_name": "New", "last_name": "User", "permissions": list(permissions)}
        return self.post("/users", {"user": body})["user"]

    def add_card(self, user: str, number: str = GOOD_CARD) -> None:
        """The user types a card into LevelUp's page."""
        page = self.post(f"/users/{user}/card_page", {"card_page": {}})["card_page"]
        url = urlsplit(page["url"])
        fields = {"cvv": "123", "expiration_month": "1", "expiration_year": "2040", "postal_code": "02110"}
        browser = Browser(self.levelup).open(f"{url.path}?{url.query}")
        assert "Your card is added" in browser.send("/credit_cards/new", number=number, **fields).page.text

    # Orders.

    def charge(self, body: Any, key: str | None = None) -> Answer:
        """Charge an order, each time under a key of its own unless one is given."""
        return self.call("POST", "/orders", body, Idempotency_Key=key or f"key {next(_KEYS)}")

    def charged(self, body: Any, key: str | None = None) -> Any:
        return self.done(self.charge(body, key))["order"]

    def refund(self, id: str, key: str | None = None, **members: Any) -> Answer:
        body = {"refund": members} if members else None
        return self.call("POST", f"/orders/{id}/refund", body, Idempotency_Key=key or f"key {next(_KEYS)}")

    def reconcile(self) -> tuple[int, str]:
        """Run the command; its exit status and what it said."""
        return self.command("reconcile")

    def reconcile_twice(self, clock: Clock) -> tuple[int, str]:
        """The same, and once more after the grace period: that there is no charge is believed then."""
        assert self.reconcile()[0] == 1
        clock.now += timedelta(seconds=31)
        return self.reconcile()

    def command(self, *arguments: str) -> tuple[int, str]:
        """The same for any command of web checkout; its question is answered with yes."""
        result = self.app.test_cli_runner().invoke(args=["checkout", *arguments], input="y\n")
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
        return result.exit_code, result.output

    # What the others know.

    def unrefunded(self) -> list[str]:
        """The UUIDs of all orders at LevelUp that are not refunded."""
        return self._levelup_orders(False)

    def refunded(self) -> list[str]:
        """And of those that are."""
        return self._levelup_orders(True)

    def _levelup_orders(self, refunded: bool) -> list[str]:
        with self.levelup.store.reading() as transaction:
            return [each.uuid for each in transaction.newest_orders(1000) if bool(each.refunded_at) == refunded]

    def call_off(self, now: datetime) -> None:
        """The restaurant cancels each order that the ordering provider has."""
        with closing(sqlite3.connect(self._sandbox)) as connection, connection:
            connection.execute("INSERT OR IGNORE INTO cancellations SELECT id, ? FROM orders", (int(now.timestamp()),))

    def meals(self) -> int:
        """How many orders the ordering provider has."""
        with closing(sqlite3.connect(self._sandbox)) as connection:
            if not connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'orders'").fetchone():
                return 0
            return connection.execute("SELECT count(*) FROM orders").fetchone()[0]


def order(merchant: str, user: str, **members: Any) -> Any:
    """A sandwich with 7 percent of tax."""
    line = {"name": "Sandwich", "quantity": 1, "charged_price_amount": 1000}
    return {
        "order": {
            "merchant": merchant,
            "user": user,
            "location_id": 11,
            "identifier": "A-17",
            "outstanding_amount": 1070,
            "tax_amount": 70,
            "items": [{"item": line}],
            **members,
        }
    }


def meal(
    merchant: str, user: str, *, place: str = PLACE, note: str | None = None, number: str | None = None, **members: Any
) -> Any:
    """The same, to be submitted to the sandbox; ``number``: with this order number."""
    submission = {"user": USER, "items": [item("sandwich")], "special_instructions": note}
    if number is not None:
        submission["order_number"] = number
    return {**order(merchant, user, **members), "provider_location_id": place, "order_submission": submission}
