"""An agent's side of UCP, for tests, which holds every answer against its schema.

Food: our own statement of the draft. Shopping: the official schemas, if they are given.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from flask import Flask

from tests.channel import Answer
from tests.ucp import food_draft
from tests.ucp.official import Official, template

KEY, OTHER_KEY = "key-of-the-lunch-agent", "key-of-another-agent"
AGENTS = {"LEVELUP_OV_UCP_AGENTS": f"lunch={KEY},other={OTHER_KEY}"}
PROFILE = "https://agents.example/profile.json"
BUYER = {"first_name": "Robin", "last_name": "Example", "phone_number": "617-555-0142"}
BILLING = {**BUYER, "street_address": "1 Example Street", "postal_code": "02114"}
NUMBER, CVC = "4111111111111111", "9137"


def uid() -> str:
    return str(uuid.uuid4())


def pays_by_card(number: str = NUMBER, **members: Any) -> dict[str, Any]:
    """The body of a completion with a single-use card."""
    credential = {
        "type": "single_use_card", "number": number, "cvc": CVC, "expiry_month": 6, "expiry_year": 2031,
        "name": "Robin Example",
    }  # fmt: skip
    instrument = {"id": "instrument", "handler_id": "card", "type": "card", "credential": credential,
                  "billing_address": BILLING, **members}  # fmt: skip
    return {"payment": {"instruments": [instrument]}}


def dish(dish_id: str, *modifications: str, quantity: int = 1, **members: Any) -> dict[str, Any]:
    """A line of food."""
    note = {"note": members.pop("note")} if "note" in members else {}
    chosen = {"modifications": [{"id": each} for each in modifications]} if modifications else {}
    return {"dish": {"id": dish_id, **chosen, **note}, "quantity": quantity, **members}


def item(item_id: str, quantity: int = 1, location: str = "sandbox.congress", **members: Any) -> dict[str, Any]:
    """A line of the shopping face."""
    return {"item": {"id": f"{location}/{item_id}"}, "quantity": quantity, **members}


@dataclass
class Agent:
    """Calls to ``app`` with ``key``; what the schemas find wrong is an error at once."""

    app: Flask
    official: Official | None = None
    key: str = KEY
    profile: str = PROFILE
    checked: list[str] = field(default_factory=list)

    def send(self, method: str, path: str, body: Any = None, **headers: str | None) -> Answer:
        """One request; ``headers`` with _ for -, None for none."""
        own = {"X-API-Key": self.key, "UCP-Agent": f'profile="{self.profile}"', "Request-Id": uid()}
        if method != "GET" and "/catalog/" not in path:
            own["Idempotency-Key"] = uid()
        changed = {**own, **{name.replace("_", "-"): value for name, value in headers.items()}}
        data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        reply = self.app.test_client().open(
            path, method=method, data=data, content_type="application/json" if body is not None else None,
            headers={name: value for name, value in changed.items() if value is not None},
        )  # fmt: skip
        answer = Answer(reply.status_code, dict(reply.headers), json.loads(reply.data))
        self._check(method, path, body, answer)
        return answer

    def _check(self, method: str, path: str, body: Any, answer: Answer) -> None:
        if path.startswith("/ucp/food/checkout-sessions") and "id" in answer.json:
            assert not (found := food_draft.wrong(answer.json)), f"{method} {path}: {found}"
        if self.official is None or not path.startswith("/ucp/shopping/"):
            return
        operation = template(path.removeprefix("/ucp/shopping"))
        found = self.official.answer(operation, answer.status, answer.json)
        if answer.status < 400 and body is not None:
            found += self.official.request(method, operation, body)
        assert not found, f"{method} {path}: {found}"
        self.checked.append(f"{method} {operation}")

    def create(self, *lines: Mapping[str, Any], face: str = "food", **members: Any) -> Answer:
        """A new checkout, of a sandwich at Congress Street unless it says otherwise."""
        if face == "food":
            members = {"food_establishment": {"id": "sandbox.congress"}, **members}
        usual = dish("sandwich") if face == "food" else item("sandwich")
        return self.send("POST", f"/ucp/{face}/checkout-sessions", {"line_items": [*lines] or [usual], **members})

    def session(self, *lines: Mapping[str, Any], **members: Any) -> dict[str, Any]:
        """The same, with a buyer: ready to be completed."""
        answer = self.create(*lines, **{"buyer": BUYER, **members})
        assert (answer.status, answer.json["status"]) == (201, "ready_for_complete"), answer.json
        return dict(answer.json)

    def act(self, session: Mapping[str, Any], action: str, body: Any = None, face: str = "", **headers: Any) -> Answer:
        """``complete``, ``cancel``, ``update`` or ``get`` a checkout of either face."""
        face = face or ("food" if "food_establishment" in session else "shopping")
        path = f"/ucp/{face}/checkout-sessions/{session['id']}"
        method, ending = {"get": ("GET", ""), "update": ("PUT", "")}.get(action, ("POST", f"/{action}"))
        return self.send(method, path + ending, body, **headers)


def messages(answer: Answer) -> list[tuple[str, str, str]]:
    """Type, code and path of each message."""
    return [(each["type"], each["code"], each.get("path", "")) for each in answer.json.get("messages", ())]


def amounts(session: Mapping[str, Any]) -> dict[str, int]:
    """The totals by type; they must add up."""
    totals: dict[str, int] = {}
    for each in session["totals"]:
        totals[each["type"]] = totals.get(each["type"], 0) + each["amount"]
    assert sum(amount for type, amount in totals.items() if type != "total") == totals["total"]
    subtotal = next(each for each in session["totals"] if each["type"] == "subtotal")
    assert sum(line["amount"] for line in subtotal.get("lines", ())) in (subtotal["amount"], 0)
    return totals
