"""The OpenAPI document, generated from the schemas that read and write the wire."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from apispec import APISpec
from apispec.ext.marshmallow import MarshmallowPlugin

import levelup_ov
from levelup_ov.errors import KINDS
from levelup_ov.schemas.base import WrapperSchema
from levelup_ov.schemas.checkout_operations import CHECKOUT
from levelup_ov.schemas.operations import Operation, contract
from levelup_ov.schemas.responses import ErrorAnswerSchema, Wrapper

_JSON = "application/json"
_EXAMPLES = {"location_id": {"example": "sandbox.congress"}, "merchant_id": {"example": "sandbox"}}
_IDEMPOTENCY_KEY = {"type": "string", "pattern": "^ *[!-~][ -~]*$", "minLength": 1, "maxLength": 255}
_TEXT = {"schema": {"type": "string"}}


def document(*, envelope: bool, checkout: bool) -> dict[str, Any]:
    """The document for responses with or without their root member (EP-10), with or without web checkout."""
    spec = APISpec(
        title="levelup_ov",
        version=levelup_ov.__version__,
        openapi_version="3.0.3",
        info={"description": "Order validation and submission between LevelUp order-ahead and ordering providers."},
        plugins=[MarshmallowPlugin(schema_name_resolver=_name)],
    )
    spec.components.security_scheme(
        "key",
        {
            "type": "apiKey",
            "in": "header",
            "name": "Authorization",
            "description": "`token <key>` or `Bearer <key>` (EP-6)",
        },
    )
    spec.options["security"] = [{"key": []}]
    for operation in [*contract(envelope=envelope), *(CHECKOUT if checkout else ())]:
        spec.path(path=operation.path, operations={operation.method: _described(operation)})
    for path in ("/health", "/ready", "/openapi.json"):
        described: dict[str, Any] = {
            "summary": "Needs no key (EP-6)",
            "security": [],
            "responses": {"200": {"description": "healthy"}, "406": {"description": "not_acceptable"}},
        }
        if path == "/ready":
            described["responses"]["503"] = {"description": "not ready"}
        spec.path(path=path, operations={"get": described})
    return spec.to_dict()


def _described(operation: Operation) -> dict[str, Any]:
    described: dict[str, Any] = {
        "summary": operation.summary,
        "parameters": list(_parameters(operation)),
        "responses": _responses(operation),
    }
    if operation.open:
        described["security"] = []
    if operation.body is not None:
        described["requestBody"] = {
            "required": any(member.required for member in operation.body().fields.values()),
            "content": {_JSON: {"schema": operation.body}},
        }
    return described


def _parameters(operation: Operation) -> Iterator[dict[str, Any]]:
    for name in re.findall("{(.+?)}", operation.path):
        yield {"name": name, "in": "path", "required": True, **_TEXT, **_EXAMPLES.get(name, {})}
    for name, schema in operation.query.items():
        yield {"name": name, "in": "query", "schema": schema}
    if operation.idempotency_key:
        required = operation.idempotency_key == "required"
        yield {"name": "Idempotency-Key", "in": "header", "required": required, "schema": _IDEMPOTENCY_KEY}
    if operation.conditional:
        yield {"name": "If-None-Match", "in": "header", "required": False, **_TEXT}


def _responses(operation: Operation) -> dict[str, Any]:
    if operation.answer is None:
        responses: dict[str, Any] = {"303": {"description": "redirect to return_to", "headers": {"Location": _TEXT}}}
    else:
        responses = {"200": {"description": operation.summary, "content": {_JSON: {"schema": operation.answer}}}}
        if operation.idempotency_key and operation.body:
            responses["200"]["headers"] = {"Idempotency-Replayed": {"schema": {"type": "string", "enum": ["true"]}}}
    if operation.conditional:
        responses["200"]["headers"] = {"ETag": _TEXT}
        responses["304"] = {"description": "not modified"}
    for status in sorted({KINDS[code].status for code in operation.codes}):
        codes = (code for code, kind in KINDS.items() if kind.status == status and code in operation.codes)
        responses[str(status)] = {
            "description": ", ".join(codes),
            "content": {_JSON: {"schema": ErrorAnswerSchema}},
        }
    return responses


def _name(schema: Any) -> str:
    """The name of a component; wrappers have none and are written inline."""
    found = schema if isinstance(schema, type) else type(schema)
    return "" if issubclass(found, (Wrapper, WrapperSchema)) else found.__name__.removesuffix("Schema")
