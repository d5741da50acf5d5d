"""The workbench from outside of a browser: whom it answers, and what it keeps of the calls to a provider."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from levelup_ov.config import new_secret_key
from tests.channel import CARD, order

KEY = {"Authorization": "token dev-key"}


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    return app.test_client()


def calls(client: FlaskClient, request_id: str) -> list[dict[str, Any]]:
    answer = client.get(f"/workbench/calls/{request_id}", headers=KEY)
    assert answer.status_code == 200
    return answer.json["calls"]  # type: ignore[no-any-return,index]


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/workbench/order?location=sandbox.day",
        "/workbench/certification",
        "/workbench/checkout",
        "/workbench/rules",
    ],
)
def test_a_page_needs_no_key_and_asks_no_other_host(client: FlaskClient, path: str) -> None:
    page = client.get(path, headers={"Accept": "text/html"})
    assert (page.status_code, page.mimetype) == (200, "text/html")
    policy = page.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy and "unsafe" not in policy and "http" not in policy
    assert "frame-ancestors 'none'" in policy
    # No attribute leads to another host. The text of a rule may show an address.
    assert not re.search(r"""=["']?https:""", page.text) and " style=" not in page.text and " onclick=" not in page.text


def test_an_unknown_location_is_not_a_page(client: FlaskClient) -> None:
    assert client.get("/workbench/order?location=elsewhere.day").json["error"]["code"] == "location_not_found"  # type: ignore[index]


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8000", "127.0.0.1.evil.example", "[::1", ""])
@pytest.mark.parametrize("path", ["/", "/workbench/rules", "/workbench/calls/x", "/workbench/static/api.js"])
def test_another_name_for_this_machine_gets_nothing(client: FlaskClient, path: str, host: str) -> None:
    answer = client.get(path, headers={**KEY, "Host": host})
    assert answer.status_code == 404
    assert "dev-key" not in answer.text


@pytest.mark.parametrize("host", ["127.0.0.1:8000", "localhost", "localhost:9", "[::1]:8000"])
def test_a_name_of_this_machine_gets_the_page(client: FlaskClient, host: str) -> None:
    assert client.get("/", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize("origin", ["https://evil.example", "http://evil.example:8000", "null", "http://[::1"])
def test_a_page_of_another_site_cannot_order(client: FlaskClient, origin: str) -> None:
    path = "/locations/sandbox.congress/order_submissions"
    answer = client.post(path, headers={**KEY, "Origin": origin}, json={"order_submission": {}})
    assert (answer.status_code, answer.json["error"]["code"]) == (401, "unauthorized")  # type: ignore[index]
    ours = client.post(path, headers={**KEY, "Origin": "http://127.0.0.1:8000"}, json={"order_submission": {}})
    assert ours.status_code == 422


def test_a_chosen_key_is_not_given_away(make_app: Callable[..., Flask]) -> None:
    client = make_app(LEVELUP_OV_API_KEYS="a-key-of-the-operator").test_client()
    page = client.get("/")
    assert page.status_code == 200 and "a-key-of-the-operator" not in page.text
    assert 'id="key-form"' in page.text
    assert client.get("/workbench/calls/x", headers=KEY).status_code == 401


def test_pages_are_not_counted_as_requests(client: FlaskClient) -> None:
    client.get("/")
    client.get("/screens/base.css").close()
    counted = client.get("/metrics", headers=KEY).text
    assert "show_locations" not in counted and "static" not in counted


@pytest.mark.parametrize("path", ["/", "/workbench/order", "/workbench/calls/x", "/workbench/static/api.js"])
def test_in_production_there_is_no_page(make_app: Callable[..., Flask], path: str, tmp_path: Path) -> None:
    accounts = tmp_path / "accounts.toml"
    accounts.write_text('[accounts.sandbox]\nprovider = "sandbox"\nname = "Sandbox"\n')
    client = make_app(
        LEVELUP_OV_ENV="production",
        LEVELUP_OV_API_KEYS="a-key-of-the-operator",
        LEVELUP_OV_SECRET_KEYS=new_secret_key(),
        LEVELUP_OV_ACCOUNTS=str(accounts),
        LEVELUP_OV_LEDGER="sqlite",
    ).test_client()
    answer = client.get(path, headers={"Authorization": "token a-key-of-the-operator", "Accept": "text/html,*/*"})
    assert (answer.status_code, answer.json["error"]["code"]) == (404, "not_found")  # type: ignore[index]


def test_calls_need_a_key(client: FlaskClient) -> None:
    assert client.get("/workbench/calls/x").status_code == 401


def send(client: FlaskClient, kind: str, request_id: str, **members: Any) -> Any:
    """Send a sandwich, and give the answer's members."""
    body = {f"order_{kind}": order(**members)}
    headers = {**KEY, "X-Request-ID": request_id, "Idempotency-Key": "the same"}
    answer = client.post(f"/locations/sandbox.congress/order_{kind}s", json=body, headers=headers).json
    assert answer is not None
    return answer.get(f"order_{kind}") or answer["error"]


def test_a_certification_needs_a_key_and_a_location(client: FlaskClient) -> None:
    assert client.post("/workbench/certifications", json={"location": "sandbox.day"}).status_code == 401
    for body in ([], {"location": 7}, {}):
        refused = client.post("/workbench/certifications", headers=KEY, json=body)
        assert (refused.status_code, refused.json["error"]["code"]) == (422, "invalid_member")  # type: ignore[index]
    assert client.get("/workbench/certifications/never-begun", headers=KEY).json is None


def test_the_calls_of_a_request_are_kept(client: FlaskClient) -> None:
    assert send(client, "validation", "first")["total"] == 1000
    cart = calls(client, "first")[-1]
    assert (cart["method"], cart["path"], cart["status"]) == ("POST", "/v1/locations/congress/carts", 201)
    assert cart["host"] == "sandbox.internal" and cart["milliseconds"] >= 0 and cart["failure"] is None
    assert '"sandwich"' in cart["request"] and '"grand_total"' in cart["response"]
    assert calls(client, "another") is None
    send(client, "validation", "second", items=[])
    assert calls(client, "second") == []


def test_secrets_and_cards_are_masked(client: FlaskClient) -> None:
    assert send(client, "submission", "with-card", credit_card=CARD)["order_id"]
    text = str(calls(client, "with-card"))
    assert '"***"' in text
    assert CARD["number"] not in text
    # So few digits are also within an id now and then.
    assert not re.search(rf"(?<![\w-]){CARD['cvv']}(?![\w-])", text)


def test_what_became_of_a_lost_answer_is_kept(client: FlaskClient) -> None:
    same = {"special_instructions": "sandbox:lost-answer"}
    assert send(client, "submission", "lost", **same)["code"] == "outcome_unknown"
    assert calls(client, "lost")[-1]["failure"] == "provider_unavailable"
    found = send(client, "submission", "found", **same)
    assert [each["method"] for each in calls(client, "found")] == ["POST", "GET"]
    assert send(client, "submission", "replayed", **same)["order_id"] == found["order_id"]
    assert calls(client, "replayed") == []
