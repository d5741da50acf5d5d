"""The service's ``/checkout`` as the sample shop sees it: answers of the documented form, kept in memory."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

from levelup_ov.errors import KINDS

DISCOUNT = 200


class CheckoutService:
    """What it gets and has charged.

    ``fails`` answers the next call of a path with an error, ``loses`` does the same after having done what was asked.
    """

    def __init__(self) -> None:
        self.connections: dict[str, Any] = {}
        self.charged: dict[str, Any] = {}
        self.bodies: dict[str, Any] = {}
        self.fails: dict[str, tuple[int, str]] = {}
        self.loses: dict[str, tuple[int, str]] = {}

    def __call__(self, method: str, path: str, body: Any, headers: Mapping[str, str]) -> tuple[int, Any]:
        if path in self.fails:
            return _error(*self.fails.pop(path))
        parts = path.removeprefix("/checkout/").split("/")
        answer = getattr(self, "_".join([method.lower(), parts[0], *parts[2:]]).replace("-", "_"), None)
        if path in ("/checkout/users/authorizations", "/checkout/users/permissions_requests"):
            answer = getattr(self, f"post_users_{parts[1]}")
        assert answer, f"{method} {path} is not documented"
        found = answer(parts[1] if len(parts) > 1 else None, body, headers.get("Idempotency-Key"))
        return _error(*self.loses.pop(path)) if path in self.loses else (200, found)

    def connect(self, kind: str, state: str, permissions: Any = (), return_to: str | None = None) -> Any:
        number = f"{kind}_{len(self.connections)}"
        confirmed = return_to and f"{return_to}?{urlencode({'connection': number, 'confirmation': 'yes'})}"
        self.connections[number] = {
            "id": number, "state": state, "permissions": list(permissions), "authorization_url": confirmed,
        }  # fmt: skip
        return self.connections[number]

    def get_merchants(self, *_: Any) -> Any:
        connected = [found for found in self.connections.values() if found["state"] == "connected"]
        return {"merchants": [{"merchant": found} for found in connected if found["id"].startswith("mer_")]}

    def post_merchants(self, _: Any, body: Any, key: Any) -> Any:
        return {"merchant": self.connect("mer", "pending", return_to=body["merchant"]["return_to"])}

    def post_merchants_confirm(self, number: str, body: Any, key: Any) -> Any:
        assert body == {"confirmation": "yes"}
        self.connections[number]["state"] = "connected"
        return {"merchant": self.connections[number]}

    def get_merchants_locations(self, *_: Any) -> Any:
        return {"locations": [{"location": {"id": 11, "name": "Beacon Sandwiches"}}]}

    def post_users_authorizations(self, _: Any, body: Any, key: Any) -> Any:
        asked = body["authorization"]
        return {"user": self.connect("usr", "pending", asked["permissions"], asked["return_to"])}

    def post_users_permissions_requests(self, _: Any, body: Any, key: Any) -> Any:
        return {"user": self.connect("usr", "pending", body["permissions_request"]["permissions"])}

    def post_users(self, _: Any, body: Any, key: Any) -> Any:
        return {"user": self.connect("usr", "connected", body["user"]["permissions"])}

    def post_users_confirm(self, number: str, body: Any, key: Any) -> Any:
        assert body == {"confirmation": "yes"}
        return self.post_users_poll(number, body, key)

    def post_users_poll(self, number: str, body: Any, key: Any) -> Any:
        self.connections[number]["state"] = "connected"
        return {"user": self.connections[number]}

    def post_users_card_page(self, number: str, body: Any, key: Any) -> Any:
        return {"card_page": {"url": "https://levelup.example/card", "expires_at": "2026-11-20T18:00:00Z"}}

    def get_users(self, number: str, *_: Any) -> Any:
        return {"user": self.connections[number]}

    def delete_users(self, number: str, *_: Any) -> Any:
        self.connections[number]["state"] = "disconnected"
        return {"user": self.connections[number]}

    def get_users_profile(self, *_: Any) -> Any:
        return {"profile": {"email": "ada@example.com", "first_name": "Ada", "last_name": "Example"}}

    def get_users_addresses(self, *_: Any) -> Any:
        address = {
            "id": 1, "address_type": "home", "street_address": "7 Garden Street", "extended_address": None,
            "locality": "Cambridge", "region": "MA", "postal_code": "02138",
        }  # fmt: skip
        return {"addresses": [{"address": address}]}

    def get_users_orders(self, *_: Any) -> Any:
        past = [{"uuid": uuid, "card_amount": order["user_pays_amount"] - 100} for uuid, order in self.charged.items()]
        return {"orders": [{"order": order} for order in past], "next_page": None}

    def post_order_previews(self, _: Any, body: Any, key: Any) -> Any:
        priced = self._priced(body["order"])
        loyalty = {"potential_credit_amount": 300, "spend_remaining_amount": 4000, "progress_percentage": 20}
        paid = {"gift_card_amount": 0, "global_credit_amount": 100, "card_amount": priced["user_pays_amount"] - 100}
        return {"preview": {**priced, **paid, "credit_amount": 300, "loyalty": loyalty, "campaigns": []}}

    def post_orders(self, _: Any, body: Any, key: Any) -> Any:
        assert self.bodies.setdefault(key, body) == body, "the same key with another body"
        uuid = f"uuid-of-{key}"
        paid = {
            "user": body["order"]["user"], "gift_card_total_amount": 0, "refunded_at": None, "state": "charged",
        }  # fmt: skip
        self.charged.setdefault(uuid, {"uuid": uuid, **paid, **self._priced(body["order"])})
        return {"order": self.charged[uuid]}

    def get_orders(self, uuid: str, *_: Any) -> Any:
        return {"order": self.charged[uuid]}

    def post_orders_refund(self, uuid: str, body: Any, key: Any) -> Any:
        assert key and self.bodies.setdefault(key, body) == body
        self.charged[uuid] |= {"refunded_at": "2026-11-20T17:00:00Z", "state": "refunded"}
        return {"order": self.charged[uuid]}

    def _priced(self, order: Any) -> Any:
        discount = DISCOUNT if order["discount_amount"] is None else order["discount_amount"]
        assert order["items"] and order["merchant"] in self.connections and order["location_id"] == 11
        total = order["outstanding_amount"] + order["tip_amount"]
        return {
            "spend_amount": order["outstanding_amount"], "tax_amount": order["tax_amount"],
            "tip_amount": order["tip_amount"], "discount_amount": discount, "total_amount": total,
            "user_pays_amount": total - discount,
        }  # fmt: skip


def _error(status: int, code: str) -> tuple[int, Any]:
    error = {"code": code, "message": f"The service says {code}.", "retryable": KINDS[code].retryable}
    return status, {"error": error}
