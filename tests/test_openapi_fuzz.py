"""Whatever is sent, the answer is one of the contract's: no fault of the service, and errors in their one form."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Iterator
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
from levelup_ov.blueprints.http import OPEN_ENDPOINTS
from levelup_ov.config import DEVELOPMENT_API_KEY, load_settings
from levelup_ov.errors import KINDS
from levelup_ov.schemas.checkout_operations import CHECKOUT
from tests.channel import Channel
from tests.checkout.site import HOST, VARIABLES, Line, Site, order
from tests.standin.visitors import LevelUp

HEADERS = {"Authorization": f"token {DEVELOPMENT_API_KEY}"}
CHECKS = [status_code_conformance, content_type_conformance, response_schema_conformance]
REQUESTS = Path(__file__).parents[1] / "docs" / "requests"
BOUNDED = settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck), database=None)
MEMBERS = {"type", "message", "code", "path", "retryable", "request_id"}


def environ(directory: Path, **variables: str) -> dict[str, str]:
    return {"LEVELUP_OV_ENV": "development", "LEVELUP_OV_DATA_DIR": str(directory), **variables}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    directory = tmp_path_factory.mktemp("data")
    levelup = LevelUp(directory / "levelup.db")
    line = Line(levelup.app)
    app = create_app(load_settings(environ(directory, **VARIABLES)), in_process={HOST: line})
    yield Site(app, levelup, line, directory / "sandbox.db")
    levelup.store.close()


@pytest.fixture(scope="module")
def client(site: Site) -> FlaskClient:
    return site.app.test_client()


@pytest.fixture(scope="module")
def api(site: Site) -> schemathesis.BaseSchema:
    return schemathesis.openapi.from_wsgi("/openapi.json", site.app)


@pytest.fixture(scope="module")
def real(site: Site) -> dict[str, str]:
    """Ids that exist, by the path segment or parameter that they are for."""
    merchant, user = site.connect_merchant(), site.connect_user()
    charged = site.charged(order(merchant, user))["id"]
    placed = Channel(site.app).submit().order["order_id"]
    ordering = {"location_id": "sandbox.congress", "merchant_id": "sandbox", "order_id": str(placed)}
    return {**ordering, "merchants": merchant, "users": user, "orders": charged}


def assert_answer(status: int, body: bytes) -> None:
    """An answer that the contract knows: never a fault of the service, and an error has the form of ERR-1."""
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
    ("GET", "/locations/{location_id}/orders/{order_id}"),
    ("POST", "/locations/{location_id}/orders/{order_id}/cancellation"),
    ("GET", "/health"),
    ("GET", "/ready"),
    ("GET", "/openapi.json"),
    # Those that disconnect come last, since the others need what is connected.
    *sorted(((each.method.upper(), each.path) for each in CHECKOUT), key=lambda each: each[0] == "DELETE"),
]
FIXED = {("GET", path) for path in ("/health", "/ready", "/openapi.json", "/checkout/merchants")}
"""What takes no input, so that none of it can be wrong."""
CHECKOUT_CODES = {
    "charge_refunded", "refund_impossible",
    "invalid_state", "connection_not_found", "invalid_confirmation", "not_connected",
    "amounts_do_not_add_up", "discount_too_large", "already_refunded", "user_token_refused", "merchant_token_refused",
    "email_taken", "manager_confirmation_required", "refund_refused", "refund_pending", "levelup_refused",
}  # fmt: skip
SESSIONS = {"session_not_found", "session_closed", "session_changed"}
"""UCP has documents of its own, and words of its own for these."""
NEVER_DOCUMENTED = {"method_not_allowed", "authorization_refused", *SESSIONS}
"""No endpoint answers the first; the second is in an address to which a browser is sent."""
SOUND_INPUT, WRONG_INPUT = GenerationMode.POSITIVE, GenerationMode.NEGATIVE
WAYS = [("anywhere", SOUND_INPUT), ("a place that exists", SOUND_INPUT), ("anywhere", WRONG_INPUT)]
CASES = [
    (method, path, place, mode)
    for method, path in ENDPOINTS
    # The ids of web checkout are random: anywhere else there is nothing to be found.
    for place, mode in (WAYS[:1] if (method, path) in FIXED else WAYS[1:] if path.startswith("/checkout") else WAYS)
]


@pytest.mark.rule("ERR-1", "ERR-3", "EP-9")
@pytest.mark.parametrize("method, path, place, mode", CASES)
def test_every_endpoint_answers_whatever_it_is_asked(
    api: schemathesis.BaseSchema, real: dict[str, str], method: str, path: str, place: str, mode: GenerationMode
) -> None:
    cases = api[path][method].as_strategy(generation_mode=mode)
    responses = api.raw_schema["paths"][path][method.lower()]["responses"]
    kind = path.split("/")[2] if path.startswith("/checkout") else ""
    asked = 0

    # Its own plugin for pytest does not know the pytest in use (2026-11), so the cases are drawn here.
    @settings(BOUNDED, max_examples=10 if path.startswith("/checkout") else 25)
    @given(cases)
    def ask(case: schemathesis.Case) -> None:
        nonlocal asked
        asked += 1
        if place != "anywhere":
            case.path_parameters = {name: real.get(name, real.get(kind, "")) for name in case.path_parameters or {}}
            if path in ("/checkout/orders", "/checkout/order_previews"):
                case.body["order"] |= {"merchant": real["merchants"], "user": real["users"], "location_id": 11}
        case.headers = {**(case.headers or {}), **HEADERS}
        response = case.call()
        assert_answer(response.status_code, response.content)
        assert response.status_code != 401
        if response.status_code not in (404, 405, 415):  # other addresses, methods and types than documented
            case.validate_response(response, checks=CHECKS)
            if response.status_code >= 400:
                assert response.json()["error"]["code"] in responses[str(response.status_code)]["description"]

    ask()
    assert asked


def test_the_document_is_openapi(api: schemathesis.BaseSchema) -> None:
    api.validate()
    assert api.raw_schema["openapi"].startswith("3.")


@pytest.mark.rule("SUB-3")
def test_the_document_says_who_takes_an_idempotency_key(api: schemathesis.BaseSchema) -> None:
    takes = {
        (path, parameter["required"])
        for path, operations in api.raw_schema["paths"].items()
        for operation in operations.values()
        for parameter in operation.get("parameters", ())
        if parameter["name"] == "Idempotency-Key"
    }
    charge, refund = ("/checkout/orders", True), ("/checkout/orders/{id}/refund", True)
    status = ("/locations/{location_id}/orders/{order_id}", False)
    cancellations = {(f"{status[0]}/cancellation", False), ("/checkout/orders/{id}/cancellation", True)}
    assert takes == {("/locations/{location_id}/order_submissions", False), status, charge, refund, *cancellations}


def codes(document: Any) -> set[str]:
    """The codes of errors in a document."""
    answers = (
        answer
        for operations in document["paths"].values()
        for operation in operations.values()
        for status, answer in operation["responses"].items()
        if int(status) >= 400 and "content" in answer
    )
    return {code for answer in answers for code in answer["description"].split(", ")}


PAGES = {"screens", "workbench"}
"""What a browser shows, which is not part of the API."""


@pytest.mark.rule("EP-6")
@pytest.mark.parametrize(
    "variables, elsewhere", [({}, CHECKOUT_CODES), (VARIABLES, set())], ids=["alone", "with web checkout"]
)
def test_the_document_lists_every_endpoint_and_code(
    tmp_path: Path, variables: dict[str, str], elsewhere: set[str]
) -> None:
    app = create_app(load_settings(environ(tmp_path, **variables)))
    document = app.test_client().get("/openapi.json").json
    documented = {
        (method.upper(), path, operation.get("security") == [])
        for path, operations in document["paths"].items()
        for method, operation in operations.items()
    }
    served = {
        (method, re.sub(r"<(?:\w+:)?(.+?)>", r"{\1}", rule.rule), rule.endpoint in OPEN_ENDPOINTS)
        for rule in app.url_map.iter_rules()
        if rule.endpoint.partition(".")[0] not in PAGES
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
    }
    # The page for Prometheus has keys of its own, and a format of its own.
    assert documented == served - {("GET", "/metrics", False)}
    assert codes(document) == set(KINDS) - NEVER_DOCUMENTED - elsewhere


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
    "/locations/sandbox.congress/orders/%00",
    "/locations/sandbox.congress/orders/%ED%A0%80",
    "/locations/sandbox.congress/orders/" + "9" * 5_000,
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
)
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


@pytest.mark.rule("MENU-4")
def test_conditional_requests_are_described(api: schemathesis.BaseSchema, app: Flask) -> None:
    for path, real_path in (
        ("/merchants/{merchant_id}/locations", "/merchants/sandbox/locations"),
        ("/locations/{location_id}/menu", "/locations/sandbox.congress/menu"),
    ):
        described = api.raw_schema["paths"][path]["get"]
        assert {"If-None-Match"} <= {parameter["name"] for parameter in described["parameters"]}
        answer = app.test_client().get(real_path, headers=HEADERS)
        assert "ETag" in described["responses"]["200"]["headers"] and answer.headers["ETag"]
        again = app.test_client().get(real_path, headers={**HEADERS, "If-None-Match": answer.headers["ETag"]})
        assert str(again.status_code) in described["responses"] and again.status_code == 304
