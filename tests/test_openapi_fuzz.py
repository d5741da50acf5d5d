"""Whatever is sent, the answer is one of the contract's: no fault of ours, and errors in their one form."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from flask import Flask
from flask.testing import FlaskClient
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode
from schemathesis.checks import content_type_conformance, response_schema_conformance, status_code_conformance

from levelup_ov.app import create_app
from levelup_ov.config import DEVELOPMENT_API_KEY, load_settings
from levelup_ov.errors import KINDS

HEADERS = {"Authorization": f"token {DEVELOPMENT_API_KEY}"}
REAL = {"location_id": "sandbox.congress", "merchant_id": "sandbox"}
CHECKS = [status_code_conformance, content_type_conformance, response_schema_conformance]
REQUESTS = Path(__file__).parents[1] / "docs" / "requests"
BOUNDED = settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck), database=None)
MEMBERS = {"type", "message", "code", "path", "retryable", "request_id"}


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Flask:
    directory = tmp_path_factory.mktemp("data")
    return create_app(load_settings({"LEVELUP_OV_ENV": "development", "LEVELUP_OV_DATA_DIR": str(directory)}))


@pytest.fixture(scope="module")
def client(app: Flask) -> FlaskClient:
    return app.test_client()


@pytest.fixture(scope="module")
def api(app: Flask) -> schemathesis.BaseSchema:
    return schemathesis.openapi.from_wsgi("/openapi.json", app)


def assert_answer(status: int, body: bytes) -> None:
    """An answer that the contract knows: never a fault of ours, and an error has the form of ERR-1."""
    assert status < 500, body
    if status < 400:
        return
    answer = json.loads(body)
    assert set(answer) == {"error"} and set(answer["error"]) == MEMBERS
    error = answer["error"]
    kind = KINDS[error["code"]]
    assert (error["type"], error["retryable"], status) == (kind.type, kind.retryable, kind.status)
    assert error["message"] and error["request_id"]
    assert error["path"] is None or error["path"].startswith("$")


ENDPOINTS = [
    ("GET", "/merchants"),
    ("GET", "/merchants/{merchant_id}/locations"),
    ("GET", "/locations/{location_id}/menu"),
    ("POST", "/locations/{location_id}/order_validations"),
    ("POST", "/locations/{location_id}/order_submissions"),
    ("GET", "/health"),
    ("GET", "/ready"),
    ("GET", "/openapi.json"),
]
OPEN = {"/health", "/ready", "/openapi.json"}
"""Endpoints that take no input, so that none of it can be wrong."""
SOUND_INPUT, WRONG_INPUT = GenerationMode.POSITIVE, GenerationMode.NEGATIVE
CASES = [
    (method, path, place, mode)
    for method, path in ENDPOINTS
    for place, mode in (("anywhere", SOUND_INPUT), ("a place that exists", SOUND_INPUT), ("anywhere", WRONG_INPUT))
    if path not in OPEN or (place, mode) == ("anywhere", SOUND_INPUT)
]


@pytest.mark.rule("ERR-1", "ERR-3", "EP-9")
@pytest.mark.parametrize("method, path, place, mode", CASES)
def test_every_endpoint_answers_whatever_it_is_asked(
    api: schemathesis.BaseSchema, method: str, path: str, place: str, mode: GenerationMode
) -> None:
    cases = api[path][method].as_strategy(generation_mode=mode)
    asked = 0

    # Its own plugin for pytest does not know the pytest in use (2026-11), so the cases are drawn here.
    @BOUNDED
    @given(cases)
    def ask(case: schemathesis.Case) -> None:
        nonlocal asked
        asked += 1
        if place != "anywhere":
            case.path_parameters = {name: REAL[name] for name in case.path_parameters or {}}
        case.headers = {**(case.headers or {}), **HEADERS}
        response = case.call()
        assert_answer(response.status_code, response.content)
        assert response.status_code != 401
        if response.status_code not in (404, 405, 415):  # other addresses, methods and types than documented
            case.validate_response(response, checks=CHECKS)

    ask()
    assert asked


def test_the_document_is_openapi_and_tells_of_every_endpoint(api: schemathesis.BaseSchema, app: Flask) -> None:
    api.validate()
    document = api.raw_schema
    assert document["openapi"].startswith("3.")
    documented = {
        (method.upper(), path) for path, operations in document["paths"].items() for method in operations
        if method != "parameters"
    }  # fmt: skip
    served = {
        (method, rule.rule.replace("<path:", "<").replace("<", "{").replace(">", "}"))
        for rule in app.url_map.iter_rules()
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
    }
    assert documented == served == set(ENDPOINTS)


def test_the_checks_of_this_file_can_fail() -> None:
    for status, body in ((500, b"{}"), (400, b"{}"), (404, b'{"error": {"code": "not_found"}}')):
        with pytest.raises((AssertionError, KeyError)):
            assert_answer(status, body)


ORDERS = [
    ("POST", "/locations/sandbox.congress/order_validations"),
    ("POST", "/locations/sandbox.congress/order_submissions"),
]
METHODS = ["GET", "PUT", "PATCH", "DELETE", "OPTIONS", "HEAD", "TRACE", "BREW"]
PATHS = [
    *(path for _, path in ORDERS),
    "/locations/%00/order_validations",
    "/locations/sandbox.%ff%fe/menu",
    "/locations/sandbox.congress/menu",
    "/locations//menu",
    "/locations/../merchants",
    "/merchants",
    "/merchants/%E2%80%AE/locations",
    "/openapi.json",
    "/ready",
    "/" + "x" * 5_000,
]
ORDER = st.sampled_from(ORDERS)
TARGETS = ORDER | ORDER | st.tuples(st.sampled_from(METHODS), st.sampled_from(PATHS))
TYPES = st.sampled_from(
    ["application/json"] * 12
    + ["", "text/plain", "application/json; charset=utf-16", "application/json; charset=", "multipart/form-data", "é"]
)  # fmt: skip
HOSTILE = [
    b"",
    b"\x00" * 100,
    b"\xff\xfe{\x00}\x00",
    b"[" * 50_000,
    b'{"order_validation":' * 20_000,
    b'{"order_validation": {}, "order_validation": {}}',
    b'{"order_validation": {"tip": 1e999999999}}',
    b'{"order_validation": {"tip": ' + b"9" * 10_000 + b"}}",
    b'{"order_validation": {"user": {"name": "\\ud800"}}}',
    b'{"order_validation": {"user": {"name": "\\u0000"}}}',
    b'{"order_validation": {"items": [' + b'{"item": {}},' * 5_000 + b"{}]}}",
    b'{"order_submission": {"order_number": NaN}}',
    b'{"order_submission": null}',
    b"null",
]
SOUND = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(REQUESTS.glob("*.json"))]
ODD_VALUES = st.sampled_from(
    [None, True, -1, 0, 2**63, 2**64, 10**400, 1.5, 1e308, "", "\x00", "\ud83c", "\U0010ffff", "‮", "a" * 100_000,
     "sandbox:unknown", ":" * 400, "a:b:" * 200 + "a:b", "%", "0001-01-01T00:00", "2037-12-31T23:59", [], {}, [[]]]
).map(copy.deepcopy)  # fmt: skip


@st.composite
def bodies(draw: st.DrawFn) -> bytes:
    """Hostile bytes, or a sound order with one value in it replaced by an odd one."""
    if draw(st.booleans()):
        return draw(st.sampled_from(HOSTILE) | st.binary(max_size=200))
    body = copy.deepcopy(draw(st.sampled_from(SOUND)))
    container: Any = next(iter(body.values()))
    while True:
        key = draw(st.sampled_from(sorted(container) if isinstance(container, dict) else range(len(container))))
        if not isinstance(container[key], (dict, list)) or not container[key] or draw(st.integers(0, 4)) == 0:
            container[key] = draw(ODD_VALUES)
            return json.dumps(body).encode()
        container = container[key]


@pytest.mark.rule("EP-8", "EP-9", "ERR-1", "ERR-3")
@settings(BOUNDED, max_examples=600)
@given(TARGETS, TYPES, bodies())
def test_hostile_requests_get_an_error_of_the_list(
    client: FlaskClient, target: tuple[str, str], content_type: str, body: bytes
) -> None:
    method, path = target
    response = client.open(path, method=method, data=body, headers={**HEADERS, "Content-Type": content_type})
    if method == "HEAD":
        assert response.status_code < 500 and not response.data
    else:
        assert_answer(response.status_code, response.data)


@pytest.mark.rule("EP-6", "ERR-1")
@settings(BOUNDED, max_examples=150)
@given(
    st.sampled_from(["Authorization", "Accept", "Idempotency-Key", "X-Request-ID", "If-None-Match", "Content-Length",
                     "Content-Encoding", "Transfer-Encoding", "Expect", "Host", "Range"]),
    st.text(st.characters(min_codepoint=32, max_codepoint=255), max_size=300)
    | st.sampled_from(["token", "token ", "Bearer é", "-1", "9" * 30, "chunked", "gzip", "*", "bytes=0-", "q=;,"]),
)  # fmt: skip
def test_hostile_headers_get_an_error_of_the_list(client: FlaskClient, name: str, value: str) -> None:
    for method, path in (("POST", "/locations/sandbox.congress/order_submissions"), ("GET", "/merchants")):
        response = client.open(
            path, method=method, data=b"{}", headers={**HEADERS, "Content-Type": "application/json", name: value}
        )
        assert_answer(response.status_code, response.data)
        assert response.headers["X-Request-ID"].isprintable()
