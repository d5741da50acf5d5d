"""A platform at a stated time, and the few requests and clicks that its tests are made of."""

from __future__ import annotations

import html
import re
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import parse_qsl, urlencode, urlsplit

from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from levelup_ov.standins.levelup import create_levelup
from levelup_ov.standins.levelup.access import new_token
from levelup_ov.standins.levelup.world import (
    CARDS_PERMISSION,
    EDITING_PERMISSION,
    MERCHANT_PERMISSION,
    OTHER_APP,
    PEOPLE,
    SHOP_APP,
    USER_PERMISSIONS,
)

CALLBACK = "http://127.0.0.1:8000/checkout/users/callback"
IDS = {person.email.partition("@")[0]: person.id for person in PEOPLE}
PASSWORDS = {person.email: person.password for person in PEOPLE}
ADA, BEN, CLEO, DORA, EVE = (IDS[name] for name in ("ada", "ben", "cleo", "dora", "eve"))
BEACON, HARBOR = 1, 2


class LevelUp:
    """A client of one platform; ``now`` is its clock, ``notices`` what it sent to apps."""

    def __init__(self, database: Path) -> None:
        self.now = datetime(2026, 11, 20, 17, 0, tzinfo=timezone.utc)
        self.notices: list[tuple[str, Any]] = []
        self.app = create_levelup(
            database,
            callback_url="http://127.0.0.1:8000/checkout/callback",
            clock=lambda: self.now,
            notify=self._notify,
        )
        self.client = self.app.test_client()
        self.store = self.app.extensions["levelup"].store

    def pass_time(self, **delta: float) -> None:
        self.now += timedelta(**delta)

    def token(
        self, *permissions: str, user: int | None = None, merchant: int | None = None, app: int = SHOP_APP.id
    ) -> str:
        """A token, without the pages on which it is allowed. Without permissions: all that change no account."""
        allowed = frozenset(permissions or (USER_PERMISSIONS - {EDITING_PERMISSION, CARDS_PERMISSION} if user else ()))
        if merchant:
            allowed = frozenset(permissions or {MERCHANT_PERMISSION})
        with self.store.writing() as transaction:
            return new_token(transaction, self.now, app, allowed, user_id=user, merchant_id=merchant)

    def tokens(self, user: int = ADA, merchant: int = BEACON, **arguments: Any) -> str:
        """The header of an order."""
        merchant_token, user_token = self.token(merchant=merchant, **arguments), self.token(user=user, **arguments)
        return f'token merchant="{merchant_token}", user="{user_token}"'

    def call(
        self, method: str, path: str, body: Any = None, *, auth: str = "", status: int = 200, **headers: str
    ) -> Any:
        """The JSON of an answer with this status."""
        answer = self.open(method, path, body, auth=auth, **headers)
        assert answer.status_code == status, f"{answer.status_code} {answer.text}"
        return answer.json if answer.data else None

    def open(self, method: str, path: str, body: Any = None, *, auth: str = "", **headers: str) -> TestResponse:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.client.open(
            path, method=method, json=body, headers={"Accept": "application/json", "Authorization": auth, **named}
        )

    def refused(self, method: str, path: str, body: Any = None, *, auth: str = "", status: int = 422) -> Any:
        """``object/property/code`` of each error of a refusal."""
        errors = self.call(method, path, body, auth=auth, status=status)
        assert errors and all(set(entry) == {"error"} and entry["error"]["message"] for entry in errors)
        return ["/".join(entry["error"].get(name, "") for name in ("object", "property", "code")) for entry in errors]

    def app_auth(self, app: int = SHOP_APP.id) -> str:
        return f"token {self.token(app=app)}"

    def user_auth(self, user: int = ADA, *permissions: str, **arguments: Any) -> str:
        return f'token user="{self.token(*permissions, user=user, **arguments)}"'

    def merchant_auth(self, merchant: int = BEACON, *permissions: str, **arguments: Any) -> str:
        return f'token merchant="{self.token(*permissions, merchant=merchant, **arguments)}"'

    def propose(self, auth: str, **members: Any) -> Any:
        return self.call("POST", "/v15/proposed_orders", proposal(**members), auth=auth)["proposed_order"]

    def complete(self, auth: str, uuid: str, **members: Any) -> Any:
        return self.call("POST", "/v15/completed_orders", completion(uuid, **members), auth=auth)["order"]

    def ordered(self, auth: str, **members: Any) -> Any:
        """Proposed and completed, with the discount that was offered."""
        proposed = self.propose(auth, **members)
        applied = {"applied_discount_amount": proposed["discount_amount"], **members}
        return self.complete(auth, proposed["uuid"], **applied)

    def credit(self, user: int = ADA, location: int = 11) -> int:
        path = f"/v15/locations/{location}/credit"
        return self.call("GET", path, auth=self.user_auth(user))["credit"]["total_amount"]

    def discount(self, user: int = ADA, location: int = 11) -> int:
        """Merchant-funded credit."""
        path = f"/v15/locations/{location}/merchant_funded_credit"
        return self.call("GET", path, auth=self.user_auth(user))["merchant_funded_credit"]["discount_amount"]

    def loyalty(self, user: int = ADA, merchant: int = BEACON) -> Any:
        return self.call("GET", f"/v15/merchants/{merchant}/loyalty", auth=self.user_auth(user))["loyalty"]

    def _notify(self, url: str, body: Any) -> bool:
        self.notices.append((url, body))
        return True


class Platform(Protocol):
    """Whatever has the platform's application."""

    app: Flask


class Browser:
    """Reads pages and sends their forms, as a browser without scripts does."""

    def __init__(self, levelup: Platform) -> None:
        self.client: FlaskClient = levelup.app.test_client()
        self.page: TestResponse

    def open(self, path: str) -> Browser:
        self.page = self.client.get(path, buffered=True)
        return self

    def send(self, action: str, **fields: str) -> Browser:
        """Send the first form of the page whose action starts so."""
        forms = re.findall(r'<form[^>]*action="([^"]*)"[^>]*>.*?name="csrf" value="([^"]*)"', self.page.text, re.S)
        target, csrf = next(form for form in forms if html.unescape(form[0]).startswith(action))
        self.page = self.client.post(html.unescape(target), data={"csrf": csrf, **fields})
        return self

    def follow(self) -> Browser:
        assert self.page.status_code == 303, f"{self.page.status_code} {self.page.text}"
        return self.open(self.page.headers["Location"])

    def sign_in(self, email: str) -> Browser:
        return self.send("/sign_in", email=email, password=PASSWORDS[email]).follow()

    def sent_to(self) -> tuple[str, dict[str, str]]:
        """Where the browser was sent, away from the platform, and with which parameters."""
        assert self.page.status_code == 303, f"{self.page.status_code} {self.page.text}"
        parts = urlsplit(self.page.headers["Location"])
        return parts._replace(query="").geturl(), dict(parse_qsl(parts.query))


def authorization(**members: str | None) -> str:
    """The address of the OAuth page."""
    asked = {
        "client_id": SHOP_APP.api_key,
        "redirect_uri": CALLBACK,
        "response_type": "code",
        "scope": "create_orders read_user_basic_info",
        "state": "the state",
        **members,
    }
    given = {name: value for name, value in asked.items() if value is not None}
    return "/oauth2/authorizations/new?" + urlencode(given)


def proposal(**members: Any) -> Any:
    """An order of two sandwiches: 1000, of which 100 are tax."""
    return {
        "proposed_order": {
            "location_id": 11,
            "identifier_from_merchant": "A-1",
            "spend_amount": 1000,
            "tax_amount": 100,
            "tip_amount": 0,
            "exemption_amount": 0,
            "items": items(),
            **members,
        }
    }


def completion(uuid: str, **members: Any) -> Any:
    return {"completed_order": {**proposal(**members)["proposed_order"], "proposed_order_uuid": uuid}}


def items(charged: str = "charged_price_amount", standard: str = "standard_price_amount") -> Any:
    extra = {"item": {"name": "Cheese", charged: 50}}
    sandwich = {"name": "Sandwich", "quantity": 2, "sku": "S-1", charged: 900, standard: 900, "children": [extra]}
    return [{"item": sandwich}]


SECRETS = {"client_id": SHOP_APP.api_key, "client_secret": SHOP_APP.client_secret}
OTHER = OTHER_APP.id
