"""The call that charges an order with LevelUp and submits it: what it needs, and what it sends upstream."""

from __future__ import annotations

import http.client
import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qs, urlsplit

from bench.order import API_KEY, ITEMS, NUMBER, ORDER

PATH = "/checkout/orders"
HEADERS = {"Idempotency-Key": NUMBER}
SHOP = "http://127.0.0.1/shop"
UPSTREAM = ("/v15/proposed_orders", "/v15/completed_orders", "/orders")
"""The calls that one request leads to: propose, complete, submit."""


def variables(base_url: str) -> dict[str, str]:
    """The environment of a service whose LevelUp is at ``base_url``."""
    return {
        "LEVELUP_OV_CHECKOUT_URL": base_url,
        "LEVELUP_OV_CHECKOUT_API_KEY": "bench",
        "LEVELUP_OV_CHECKOUT_CLIENT_SECRET": "bench",
        "LEVELUP_OV_CHECKOUT_RETURN_URL": "http://127.0.0.1",
    }


def connect(port: int, location_id: str) -> bytes:
    """Connect a merchant and a user to the service; the body of an order of theirs."""
    site = _Site(port)
    started = site.call("POST", "/merchants", {"merchant": {"return_to": SHOP}})["merchant"]
    state = _query(started["authorization_url"])["state"]
    returned = _query(site.follow(f"/merchants/callback?state={state}&code=code"))
    merchant = site.call(
        "POST", f"/merchants/{returned['connection']}/confirm", {"confirmation": returned["confirmation"]}
    )
    person = {"email": "sample@example.com", "first_name": "Sample", "last_name": "Person"}
    user = site.call("POST", "/users", {"user": {**person, "permissions": ["create_orders"]}})
    return json.dumps(_order(merchant["merchant"]["id"], user["user"]["id"], location_id)).encode()


def _order(merchant: str, user: str, location_id: str) -> dict[str, Any]:
    lines = [{"name": f"Sandwich number {n}", "quantity": 1 + n % 2, "charged_price_amount": 1150} for n in ITEMS]
    submission = {name: value for name, value in ORDER.items() if name not in ("tip", "merchant_funded_discount")}
    return {
        "order": {
            "merchant": merchant,
            "user": user,
            "location_id": 11,
            "outstanding_amount": 9837,
            "tax_amount": 637,
            "tip_amount": 200,
            "items": [{"item": line} for line in lines],
        },
        "provider_location_id": location_id,
        "order_submission": submission,
    }


def _query(url: str) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}


class _Site:
    def __init__(self, port: int) -> None:
        self._port = port

    def call(self, method: str, path: str, body: Mapping[str, Any]) -> Any:
        headers = {"Authorization": f"token {API_KEY}", "Content-Type": "application/json"}
        status, _, content = self._send(method, path, json.dumps(body), headers)
        if status != 200:
            raise RuntimeError(f"{method} {path} is answered with {status}: {content!r}")
        return json.loads(content)

    def follow(self, path: str) -> str:
        """Where a browser is sent on to."""
        status, location, content = self._send("GET", path, None, {})
        if status != 303:
            raise RuntimeError(f"GET {path} is answered with {status}: {content!r}")
        return location

    def _send(self, method: str, path: str, body: str | None, headers: Mapping[str, str]) -> tuple[int, str, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=20)
        try:
            connection.request(method, f"/checkout{path}", body, headers)
            response = connection.getresponse()
            return response.status, response.getheader("Location", ""), response.read()
        finally:
            connection.close()
