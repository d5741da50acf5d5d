"""One line per request that an operator can act on, and no line that anybody else could make use of."""

from __future__ import annotations

import base64
import io
import json
import logging
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote, quote_plus

import pytest
from flask.testing import FlaskClient

from levelup_ov.app import create_app
from levelup_ov.config import Settings, load_settings
from levelup_ov.observability import _CHATTY, JsonFormatter, configure_logging
from tests.transport.wire import DROP, answering, closed_port, peer, reply

API_KEY = "canary-channel/key+1"
PROVIDER_KEY = "canary-provider/key+2"
CARD, CVV = "4012888888881881", "7531"
PASSWORD = "canary-password/3"
NAME, EMAIL, PHONE = "Canary Customer", "canary.customer@example.com", "6175550199"
NOTE, STREET = "canary note: no onions", "1 Canary Street"
CANARIES = (API_KEY, PROVIDER_KEY, CARD, CVV, PASSWORD, *NAME.split(), EMAIL, PHONE, NOTE, STREET)
HEADERS = {"Authorization": f"token {API_KEY}"}


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch) -> Iterator[io.StringIO]:
    """Everything that is logged at DEBUG, as the service writes it."""
    root, written = logging.getLogger(), io.StringIO()
    handlers, level = root.handlers[:], root.level
    levels = {name: logging.getLogger(name).level for name in _CHATTY}
    monkeypatch.setattr(sys, "stderr", written)
    configure_logging("DEBUG")
    yield written
    root.handlers[:] = handlers
    root.setLevel(level)
    for name, before in levels.items():
        logging.getLogger(name).setLevel(before)


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    return {
        "LEVELUP_OV_ENV": "development",
        "LEVELUP_OV_API_KEYS": API_KEY,
        "LEVELUP_OV_DATA_DIR": str(tmp_path / "data"),
        "PROVIDER_KEY": PROVIDER_KEY,
    }


@pytest.fixture
def client(environ: dict[str, str]) -> FlaskClient:
    return create_app(load_settings(environ)).test_client()


def at_provider(environ: dict[str, str], tmp_path: Path, base_url: str) -> FlaskClient:
    """A client of a service whose only provider is a sandbox at ``base_url``."""
    accounts = tmp_path / "accounts.toml"
    accounts.write_text(
        f'[accounts.diner]\nprovider = "sandbox"\nname = "Diner"\n[accounts.diner.settings]\n'
        f'base_url = "{base_url}"\napi_key = "env:PROVIDER_KEY"\n'
    )
    settings: Settings = load_settings({**environ, "LEVELUP_OV_ACCOUNTS": str(accounts)})
    return create_app(settings).test_client()


def lines(log: io.StringIO) -> list[dict[str, Any]]:
    """Every line, parsed; and none of them holds a canary in any form."""
    text = log.getvalue()
    for canary in CANARIES:
        raw = canary.encode()
        forms = {canary, quote(canary, safe=""), quote_plus(canary)}
        if len(canary) > 5:
            forms |= {base64.b64encode(raw).decode().rstrip("="), base64.urlsafe_b64encode(raw).decode().rstrip("=")}
        for form in forms:  # a random id or a time may hold four digits: only a number of its own counts
            found = re.search(rf"(?<![0-9a-f]){form}(?![0-9a-f])", text) if form == CVV else form in text
            assert not found, f"{form} in the log"
    return [json.loads(line) for line in text.splitlines()]


def order(**more: Any) -> dict[str, Any]:
    return {
        "items": [{"item": {"provider_id": "sandwich", "quantity": 1, "special_instructions": NOTE}}],
        "user": {"name": NAME, "email": EMAIL, "phone": PHONE},
        "metadata": {"user_sandbox_password": PASSWORD, "user_sandbox_token": PASSWORD},
        **more,
    }


CREDIT_CARD = {
    "number": CARD, "cvv": CVV, "expiration_month": "01", "expiration_year": "2099", "zip": "02110", "name": NAME,
}  # fmt: skip


def test_a_request_is_one_line_with_all_an_operator_needs(log: io.StringIO, client: FlaskClient) -> None:
    response = client.post(
        "/locations/sandbox.congress/order_validations",
        json={"order_validation": order()},
        headers={**HEADERS, "X-Request-ID": "request-1"},
    )
    assert response.status_code == 200, response.text
    (line,) = (line for line in lines(log) if line["logger"] == "levelup_ov.request")
    assert {name: line[name] for name in ("request_id", "account", "location", "provider", "operation", "outcome")} == {
        "request_id": "request-1",
        "account": "sandbox",
        "location": "sandbox.congress",
        "provider": "sandbox",
        "operation": "validate_order",
        "outcome": "ok",
    }
    assert (line["level"], line["status"], line["message"]) == ("INFO", 200, "request")
    assert 0 <= line["milliseconds"] < 60_000
    assert line["provider_calls"]
    for call in line["provider_calls"]:
        assert {"method", "path", "status", "milliseconds"} <= set(call)
        assert "?" not in call["path"]


@pytest.mark.rule("ERR-4", "PAY-2")
@pytest.mark.parametrize("note", ["", "sandbox:decline", "sandbox:sold-out", "sandbox:lost-answer"])
def test_neither_card_nor_customer_is_logged(log: io.StringIO, client: FlaskClient, note: str) -> None:
    body = order(credit_card=CREDIT_CARD, special_instructions=f"{NOTE} {note}", order_number=f"n-{note}")
    response = client.post(
        "/locations/sandbox.congress/order_submissions", json={"order_submission": body}, headers=HEADERS
    )
    found = [line for line in lines(log) if line["logger"] == "levelup_ov.request"]
    assert len(found) == 1
    assert found[0]["status"] == response.status_code
    assert found[0]["operation"] == "submit_order"
    assert response.status_code == 200 if not note else response.status_code >= 400


@pytest.mark.rule("ERR-4")
@pytest.mark.parametrize(
    "request_body, headers",
    [
        (json.dumps({"order_submission": order(credit_card={**CREDIT_CARD, "number": f"x{CARD}"})}), HEADERS),
        (json.dumps({"order_submission": order(credit_card=CREDIT_CARD)})[:-1], HEADERS),
        (json.dumps({"order_submission": order(credit_card=CREDIT_CARD)}), {"Authorization": f"token x{API_KEY}"}),
        (json.dumps({"order_submission": order(credit_card=CREDIT_CARD)}), {**HEADERS, "Idempotency-Key": "é"}),
    ],
    ids=["wrong card", "no JSON", "wrong key", "wrong idempotency key"],
)
def test_what_was_wrong_is_named_and_not_repeated(
    log: io.StringIO, client: FlaskClient, request_body: str, headers: dict[str, str]
) -> None:
    response = client.post(
        "/locations/sandbox.congress/order_submissions",
        data=request_body,
        headers={**headers, "Content-Type": "application/json"},
    )
    assert 400 <= response.status_code < 500
    assert CARD not in response.text and API_KEY not in response.text
    (line,) = (line for line in lines(log) if line["logger"] == "levelup_ov.request")
    assert line["outcome"] == response.get_json()["error"]["code"]


@pytest.mark.rule("ERR-4", "PAY-2")
@pytest.mark.parametrize(
    "answer",
    [
        reply(json.dumps({"key": PROVIDER_KEY, "card": CARD, "customer": NAME}).encode(), status=500),
        reply(f'{{"problem": {{"code": "card_declined", "text": "{CARD} {PROVIDER_KEY}"}}}}'.encode(), status=422),
        reply(f"<html>{CARD} {PROVIDER_KEY} {NAME}".encode()),
        DROP,
    ],
    ids=["fault", "refusal", "no JSON", "drop"],
)
def test_what_a_provider_says_is_not_logged(
    log: io.StringIO, environ: dict[str, str], tmp_path: Path, answer: bytes
) -> None:
    with peer(answering(answer)) as provider:
        client = at_provider(environ, tmp_path, f"{provider.url}/api")
        response = client.get("/merchants/diner/locations", headers=HEADERS)
    assert response.status_code >= 400
    assert not any(canary in response.text for canary in CANARIES)
    (line,) = (line for line in lines(log) if line["logger"] == "levelup_ov.request")
    assert (line["account"], line["provider"], line["operation"]) == ("diner", "sandbox", "list_locations")
    assert all(call["path"] == "/api/v1/locations" for call in line["provider_calls"])


def test_a_provider_that_is_down_is_a_warning_with_its_calls(
    log: io.StringIO, environ: dict[str, str], tmp_path: Path
) -> None:
    with closed_port() as port:
        client = at_provider(environ, tmp_path, f"http://127.0.0.1:{port}")
        assert client.get("/merchants/diner/locations", headers=HEADERS).status_code == 503
    (line,) = (line for line in lines(log) if line["logger"] == "levelup_ov.request")
    assert (line["level"], line["outcome"]) == ("WARNING", "provider_unavailable")
    assert {call["failure"] for call in line["provider_calls"]} == {"provider_unavailable"}


@pytest.mark.rule("ERR-4")
def test_a_bug_is_logged_by_class_and_place_and_not_by_its_text(log: io.StringIO, environ: dict[str, str]) -> None:
    app = create_app(load_settings(environ))

    def broken(*args: object) -> None:
        raise KeyError(f"{CARD} of {NAME}")

    app.extensions["levelup_ov"].validate_order = broken
    response = app.test_client().post(
        "/locations/sandbox.congress/order_validations", json={"order_validation": order()}, headers=HEADERS
    )
    error = response.get_json()["error"]
    assert (response.status_code, error["code"]) == (500, "internal_error")
    assert not any(canary in response.text for canary in CANARIES)
    (bug,) = (line for line in lines(log) if line["message"] == "internal_error")
    assert (bug["level"], bug["exception"], bug["request_id"]) == ("ERROR", "KeyError", error["request_id"])
    assert any("test_logging.py" in frame and "broken" in frame for frame in bug["frames"])


@pytest.mark.rule("ERR-4")
def test_a_record_is_one_line_whatever_it_holds() -> None:
    record = logging.LogRecord("x", logging.INFO, "", 0, "two\nlines, card %s", (CARD,), None)
    record.thing, record.text, record.number = object(), "\ud800\n", 10**30
    formatted = JsonFormatter().format(record)
    assert "\n" not in formatted and CARD not in formatted
    assert json.loads(formatted)["message"].startswith("two\nlines, card ***")


def test_what_http_libraries_say_at_debug_is_not_written(log: io.StringIO) -> None:
    for name in (*_CHATTY, "urllib3.connectionpool"):
        logging.getLogger(name).debug("GET /menu?api_key=%s", API_KEY)
    assert lines(log) == []
