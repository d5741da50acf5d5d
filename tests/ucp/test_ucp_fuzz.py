"""Whatever an operation of the official service is sent, its answer has its form, and is no server fault."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any

import pytest
import schemathesis
from flask import Flask
from hypothesis import HealthCheck, given, settings
from schemathesis import GenerationMode

from levelup_ov.app import create_app
from levelup_ov.config import load_settings
from tests.ucp.agent import AGENTS, KEY, PROFILE, Agent, item, pays_by_card, uid
from tests.ucp.official import Official, bundled

BOUNDED = settings(max_examples=8, deadline=None, suppress_health_check=list(HealthCheck), database=None)
CHECKOUT = "/checkout-sessions/{id}"
OPERATIONS = [
    ("POST", "/checkout-sessions"), ("GET", CHECKOUT), ("PUT", CHECKOUT), ("POST", f"{CHECKOUT}/complete"),
    ("POST", f"{CHECKOUT}/cancel"), ("GET", "/orders/{id}"), ("POST", "/catalog/search"), ("POST", "/catalog/lookup"),
    ("POST", "/catalog/product"),
]  # fmt: skip
UNKNOWN = {"/carts", "/carts/{id}", "/carts/{id}/cancel"}
"""What the service has and this one does not declare."""


@pytest.fixture(scope="module")
def fuzzed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Flask]:
    data = str(tmp_path_factory.mktemp("data"))
    yield create_app(load_settings({"LEVELUP_OV_ENV": "development", "LEVELUP_OV_DATA_DIR": data, **AGENTS}))


def cases(app: Flask, official: Official, method: str, path: str, mode: GenerationMode) -> Any:
    """Requests of one operation, as its document has them, or not."""
    document = json.dumps(bundled(official, path, method)).encode()

    def with_document(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        if environ["PATH_INFO"] != "/official.json":
            return app(environ, start_response)
        start_response("200 OK", [("Content-Type", "application/json")])
        return [document]

    return schemathesis.openapi.from_wsgi("/official.json", with_document)[path][method].as_strategy(
        generation_mode=mode
    )


def checked(official: Official, path: str, status: int, body: bytes) -> None:
    """No fault of the service; and the answer is the operation's, or an error in a documented form."""
    assert status < 500, body
    if status not in (404, 405):
        assert not (found := official.answer(path, status, json.loads(body))), found


@pytest.mark.rule("UCP-9")
@pytest.mark.parametrize(("method", "path"), OPERATIONS)
@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE], ids=["sound", "wrong"])
def test_every_operation_answers_whatever_it_gets(
    fuzzed: Flask, official: Official, method: str, path: str, mode: GenerationMode
) -> None:
    id, statuses = Agent(fuzzed).create(item("cookie"), face="shopping").json["id"], set[int]()

    @BOUNDED
    @given(cases(fuzzed, official, method, path, mode))
    def ask(case: schemathesis.Case) -> None:
        # What is real in a case leads past the first checks.
        own = {"UCP-Agent": f'profile="{PROFILE}"', "Request-Id": uid(), "Idempotency-Key": uid(), "X-API-Key": KEY}
        case.headers = {**(case.headers or {}), **own}
        if case.path_parameters:
            case.path_parameters = {"id": id}
        if isinstance(case.body, dict) and mode is GenerationMode.POSITIVE:
            lines = case.body.get("line_items")
            case.body |= pays_by_card() if path.endswith("complete") else {}
            case.body |= {"line_items": [*lines[:3], item("cookie")]} if lines is not None else {}
        response = case.call()
        checked(official, path, response.status_code, response.content)
        statuses.add(response.status_code)

    ask()
    assert statuses


@pytest.mark.rule("UCP-9")
def test_any_headers_get_a_documented_answer(fuzzed: Flask, official: Official) -> None:
    @BOUNDED
    @given(cases(fuzzed, official, "GET", CHECKOUT, GenerationMode.NEGATIVE))
    def ask(case: schemathesis.Case) -> None:
        case.headers = {**(case.headers or {}), "X-API-Key": KEY}
        response = case.call()
        checked(official, CHECKOUT, response.status_code, response.content)

    ask()


def test_every_operation_of_the_service_is_fuzzed(official: Official) -> None:
    served = {(method.upper(), path) for path, each in official.service["paths"].items() for method in each
              if method != "parameters"}  # fmt: skip
    assert {each for each in served if each[1] not in UNKNOWN} == set(OPERATIONS)


def test_the_check_of_an_answer_can_fail(official: Official) -> None:
    for status, body in ((500, b"{}"), (400, b"{}"), (200, b'{"ucp": {}}')):
        with pytest.raises(AssertionError):
            checked(official, "/checkout-sessions", status, body)
