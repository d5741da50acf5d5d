"""What providers send by themselves makes the service look, and is never believed (EVT-9)."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from flask import Flask

from tests.channel import Answer, Channel, Clock, item
from tests.conftest import MakeApp
from tests.events.conftest import Inbox, deliverer
from tests.servers.square import TOKEN, Square, serving
from tests.servers.toast import BOSTON, CLIENT_SECRET, ToastServer

ACCOUNTS = """
[accounts.ada]
provider = "square"
name = "Ada's"
[accounts.ada.settings]
access_token = "env:SQUARE_TOKEN"
base_url = "{url}"
webhook_signature_key = "env:SQUARE_KEY"
webhook_url = "https://orders.example/webhooks/ada"

[accounts.other]
provider = "square"
name = "Other's"
settings = {{access_token = "env:SQUARE_TOKEN", base_url = "{url}"}}
"""
TOAST_ACCOUNT = """
[accounts.grill]
provider = "toast"
name = "Boston Grill"
[accounts.grill.settings]
client_secret = "env:TOAST_SECRET"
webhook_secrets = "env:TOAST_KEYS"
"""
KEY, NEXT_KEY = "signature-key-of-square", "next-key-of-square"
KEYS = "secret-of-stock, secret-of-orders,"
ORDER = {"items": [item("VBURGER", "MSIDE:OFRIES")]}


@pytest.fixture
def square() -> Iterator[Square]:
    square = Square()
    yield square
    assert square.violations == []


@pytest.fixture
def app(square: Square, serve: Callable[..., Flask], tmp_path: Path, clock: Clock) -> Iterator[Flask]:
    with serving(square) as url:
        (tmp_path / "accounts.toml").write_text(ACCOUNTS.format(url=url))
        accounts = str(tmp_path / "accounts.toml")
        yield serve(LEVELUP_OV_ACCOUNTS=accounts, SQUARE_TOKEN=TOKEN, SQUARE_KEY=f"{NEXT_KEY}, {KEY}")


@pytest.fixture
def order(app: Flask, square: Square) -> str:
    """Square's id of an order that was placed."""
    assert Channel(app).submit("ada.LBOSTON", **ORDER).status == 200
    square.calls.clear()
    return next(iter(square.orders))


@pytest.fixture
def toast() -> Iterator[ToastServer]:
    with ToastServer() as toast:
        yield toast


@pytest.fixture
def grill(toast: ToastServer, make_app: MakeApp, tmp_path: Path, clock: Clock) -> Flask:
    """A service with an account at Toast."""
    clock.set("2026-11-20T17:00Z")
    settings = "".join(f'{name} = "{value}"\n' for name, value in toast.settings().items())
    (tmp_path / "accounts.toml").write_text(TOAST_ACCOUNT + settings)
    accounts = str(tmp_path / "accounts.toml")
    return make_app(LEVELUP_OV_ACCOUNTS=accounts, TOAST_SECRET=CLIENT_SECRET, TOAST_KEYS=KEYS)


def message(order_id: str, event_id: str = "e-1", at: str = "2030-06-03T16:00:00Z", state: str = "CANCELED") -> bytes:
    content = {"order_fulfillment_updated": {"order_id": order_id, "fulfillment_update": [{"new_state": state}]}}
    data = {"type": "order_fulfillment_updated", "id": order_id, "object": content}
    event = {"merchant_id": "M1", "type": "order.fulfillment.updated", "event_id": event_id, "created_at": at}
    return json.dumps({**event, "data": data}).encode()


def send(app: Flask, body: bytes, *, key: str = KEY, account: str = "ada", **headers: str) -> Answer:
    """Send a message as Square does, without a key of the service."""
    url = f"https://orders.example/webhooks/{account}"
    digest = hmac.new(key.encode(), url.encode() + body, hashlib.sha256).digest()
    signature = {"X-Square-HmacSha256-Signature": base64.b64encode(digest).decode()}
    return post(app, f"/webhooks/{account}", body, {**signature, **headers})


def post(app: Flask, path: str, body: bytes, headers: dict[str, str]) -> Answer:
    reply = app.test_client().post(path, data=body, headers=headers, content_type="application/json")
    return Answer(reply.status_code, dict(reply.headers), reply.get_json())


def stages(app: Flask, inbox: Inbox) -> list[Any]:
    deliverer(app).drain(5)
    return [data["status"] for _, data in inbox.events]


@pytest.mark.rule("EVT-9", "EVT-1")
def test_a_message_makes_the_service_look(app: Flask, square: Square, order: str, inbox: Inbox) -> None:
    square.move(order, "PREPARED", ready_at="2030-06-03T16:01:00Z")
    assert send(app, message(order)).status == 200
    # It said canceled; Square itself says ready.
    assert stages(app, inbox) == ["ready"]
    assert square.calls == [f"GET /v2/orders/{order}"]


@pytest.mark.rule("EVT-9")
def test_a_repeated_message_costs_no_call(app: Flask, square: Square, order: str) -> None:
    for _ in range(3):
        assert send(app, message(order)).status == 200
    assert len(square.calls) == 1
    assert send(app, message(order, "e-2")).status == 200
    assert len(square.calls) == 2


@pytest.mark.rule("EVT-9")
def test_a_key_is_replaced_without_a_gap(app: Flask, order: str) -> None:
    assert [send(app, message(order, f"e-{key}"), key=key).status for key in (KEY, NEXT_KEY, "")] == [200, 200, 401]
    body = message(order, "e-3")
    content = b"https://orders.example/webhooks/ada" + body
    made = [base64.b64encode(hmac.digest(key.encode(), content, "sha256")).decode() for key in ("another", NEXT_KEY)]
    assert post(app, "/webhooks/ada", body, {"X-Square-HmacSha256-Signature": " ".join(made)}).status == 200


@pytest.mark.rule("EVT-9")
def test_messages_out_of_order_end_in_the_newest_state(app: Flask, square: Square, order: str, inbox: Inbox) -> None:
    square.move(order, "PREPARED", ready_at="2030-06-03T16:02:00Z")
    for event, state in (("e-2", "PREPARED"), ("e-1", "RESERVED")):
        assert send(app, message(order, event, state=state)).status == 200
    assert stages(app, inbox) == ["ready"]


@pytest.mark.rule("EVT-9", "STAT-2")
def test_a_word_that_nobody_knows_is_kept(
    app: Flask, square: Square, order: str, inbox: Inbox, caplog: pytest.LogCaptureFixture
) -> None:
    square.orders[order]["fulfillments"][0]["state"] = "COMPLETED"
    send(app, message(order))
    square.violations.clear()
    square.orders[order]["fulfillments"][0]["state"] = "ON_THE_MOON"
    send(app, message(order, "e-2"))
    square.violations.clear()
    assert stages(app, inbox) == ["picked_up", None]
    assert inbox.events[1][1]["provider_status"] == "ON_THE_MOON"
    assert "order_status_unknown" in caplog.text


@pytest.mark.rule("EVT-9", "ERR-1")
def test_a_forged_message_is_refused(app: Flask, square: Square, order: str, caplog: pytest.LogCaptureFixture) -> None:
    refused = (401, "notice_refused", None)
    assert send(app, message(order), key="another key").refusal == refused
    body = message(order)
    genuine = base64.b64encode(hmac.digest(KEY.encode(), b"https://orders.example/webhooks/ada" + body, "sha256"))
    header = {"X-Square-HmacSha256-Signature": genuine.decode()}
    assert post(app, "/webhooks/ada", body.replace(b"e-1", b"e-9"), header).refusal == refused
    assert post(app, "/webhooks/ada", body, {}).refusal == refused
    assert post(app, "/webhooks/ada", body, {"X-Square-HmacSha256-Signature": "\u00e9"}).refusal == refused
    assert send(app, b"[]").refusal == refused
    assert send(app, b"[" * 100_000).refusal == refused
    for odd in ("e-\0", "e-\ud800"):
        assert send(app, message(order, odd)).refusal == send(app, message(odd)).refusal == refused
    assert square.calls == []
    assert post(app, "/webhooks/ada", body, header).status == 200
    assert KEY not in caplog.text


@pytest.mark.rule("EVT-9")
@pytest.mark.parametrize("at", ["2030-06-02T14:59:00Z", "2030-06-03T16:06:00Z"])
def test_a_message_of_another_time_is_refused(app: Flask, square: Square, order: str, at: str) -> None:
    assert send(app, message(order, at=at)).refusal == (401, "notice_refused", None)
    assert square.calls == []


@pytest.mark.rule("EVT-9")
def test_a_look_that_fails_is_asked_for_again(app: Flask, square: Square, order: str, inbox: Inbox) -> None:
    square.move(order, "PREPARED", ready_at="2030-06-03T16:01:00Z")
    kept = square.orders.pop(order)
    assert send(app, message(order)).status >= 500
    square.orders[order] = kept
    assert send(app, message(order)).status == 200
    assert stages(app, inbox) == ["ready"]


@pytest.mark.rule("EVT-9")
def test_orders_of_others_are_ignored(app: Flask, square: Square, order: str) -> None:
    assert send(app, message("an-order-of-the-restaurant")).status == 200
    assert square.calls == []
    assert send(app, message(order), account="other").refusal == (404, "not_found", None)
    assert send(app, message(order), account="nobody").refusal == (404, "not_found", None)
    # Nobody waits for its body, which may be slow.
    assert send(app, b"x" * 2_000_000, account="nobody").refusal == (404, "not_found", None)


@pytest.mark.rule("EVT-9", "EVT-1")
@pytest.mark.parametrize(
    ("kind", "content", "is_looked_at"),
    [("inventory.count.updated", {"inventory_counts": [{"location_id": "LBOSTON", "state": "IN_STOCK"}]}, True),
     ("inventory.count.updated", {"inventory_counts": [{"location_id": "LNOWHERE"}]}, False),
     ("catalog.version.updated", {"catalog_version": {"updated_at": "2030-06-03T16:00:00Z"}}, True),
     ("payment.updated", {"payment": {"id": "p"}}, False)],
)  # fmt: skip
def test_a_changed_menu_is_looked_at(app: Flask, square: Square, kind: str, content: Any, is_looked_at: bool) -> None:
    event = {"merchant_id": "M1", "type": kind, "event_id": "e-1", "created_at": "2030-06-03T16:00:00Z"}
    body = json.dumps({**event, "data": {"type": "x", "id": "x", "object": content}}).encode()
    Channel(app).get("/merchants/ada/locations")
    for calls in (is_looked_at, False):
        square.calls.clear()
        assert send(app, body).status == 200
        assert any("catalog" in call for call in square.calls) == calls


@pytest.mark.rule("EVT-9", "MENU-9")
def test_what_was_looked_at_since_is_not_looked_at_again(app: Flask, square: Square, clock: Clock) -> None:
    def looks(event: str, at: str) -> bool:
        """Whether a message that was first sent at this time makes the service look at menus."""
        content = {"merchant_id": "M1", "type": "catalog.version.updated", "event_id": event, "created_at": at}
        square.calls.clear()
        data = {"type": "catalog", "id": "", "object": {"catalog_version": {"updated_at": at}}}
        assert send(app, json.dumps({**content, "data": data}).encode()).status == 200
        return any("catalog" in call for call in square.calls)

    assert looks("e-1", "2030-06-03T16:00:00Z")
    clock.set("2030-06-03T16:10Z")
    assert not looks("e-2", "2030-06-03T15:50:00Z")
    assert looks("e-3", "2030-06-03T15:58:00Z"), "the clock of the provider may be slow"


@pytest.mark.rule("EVT-9")
def test_the_order_of_another_account_is_found(app: Flask, square: Square, inbox: Inbox) -> None:
    Channel(app).submit("other.LBOSTON", **ORDER)
    (order,) = square.orders
    assert send(app, message(order)).status == 200
    deliverer(app).drain(5)
    assert inbox.events[0][1]["merchant_id"] == "other"


@pytest.mark.rule("EVT-9")
def test_toast_signs_body_and_time(grill: Flask, toast: ToastServer, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    burger = item("lunch:mains:burger", "side:fries", "side:fries:dip@2:mayo", "side:fries:dip@2:mayo:heat:hot")
    assert Channel(grill).submit(f"grill.{BOSTON}", items=[burger]).status == 200
    (order,) = toast.orders.values()
    at = "2026-11-20T17:00:30.000+0000"
    for number, details in enumerate(({"order": order}, {"orderGuid": order["guid"]}, {})):
        content = {"timestamp": at, "eventType": "order_updated", "guid": f"g-{number}", "details": details}
        body = json.dumps(content).encode()
        digest = hmac.digest(b"secret-of-orders", body + at.encode(), "sha256")
        signature = (digest.hex(), digest.hex().upper(), base64.b64encode(digest).decode())[number]
        before = sum(toast.calls.values())
        assert post(grill, "/webhooks/grill", body, {"Toast-Signature": signature}).status == 200
        assert (sum(toast.calls.values()) > before) == bool(details)
        nobodys = base64.b64encode(hmac.digest(b"", body + at.encode(), "sha256")).decode()
        assert post(grill, "/webhooks/grill", body, {"Toast-Signature": nobodys}).status == 401
        later = body.replace(b"17:00:30", b"17:00:31")
        assert post(grill, "/webhooks/grill", later, {"Toast-Signature": signature}).status == 401
    changed = [record for record in caplog.records if record.message == "order_status_changed"]
    assert len(changed) == 1


@pytest.mark.rule("EVT-9", "MENU-9")
def test_the_case_of_a_guid_says_nothing(grill: Flask, toast: ToastServer) -> None:
    assert Channel(grill).submit(f"grill.{BOSTON}", items=[item("dinner:grill:wings")]).status == 200
    (order,) = toast.orders.values()
    at, looks = "2026-11-20T17:00:30.000+0000", toast.calls.total()
    for category, details in (("stock", {}), ("order_updated", {"orderGuid": order["guid"].upper()})):
        message = {"timestamp": at, "eventType": category, "eventCategory": category, "guid": f"of-{category}"}
        body = json.dumps({**message, "details": details}).encode()
        signature = hmac.digest(b"secret-of-stock", body + at.encode(), "sha256").hex()
        headers = {"Toast-Signature": signature, "Toast-Restaurant-External-ID": BOSTON.upper()}
        assert post(grill, "/webhooks/grill", body, headers).status == 200
        assert toast.calls.total() > looks
        looks = toast.calls.total()
