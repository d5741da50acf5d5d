"""The OpenAPI document, generated from the schemas that read and write the wire."""

from __future__ import annotations

from typing import Any

from apispec import APISpec
from apispec.ext.marshmallow import MarshmallowPlugin
from marshmallow import Schema, fields

import levelup_ov
from levelup_ov.errors import KINDS
from levelup_ov.schemas import answers, orders

_JSON = "application/json"
_LOCATION = {
    "name": "location_id",
    "in": "path",
    "required": True,
    "schema": {"type": "string"},
    "example": "sandbox.congress",
}
_MERCHANT = {"name": "merchant_id", "in": "path", "required": True, "schema": {"type": "string"}, "example": "sandbox"}
_STATUSES = {kind.status for kind in KINDS.values()}
_READING = _STATUSES - {400, 409, 413, 415, 422}


def document(*, envelope: bool) -> dict[str, Any]:
    """The document for answers with or without their root member (EP-10)."""
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
    spec.components.schema("Error", schema=answers.ErrorAnswerSchema)
    _path(spec, "/merchants", "get", "EP-1", answers.MerchantsSchema, [], _READING - {404})
    _path(spec, "/merchants/{merchant_id}/locations", "get", "EP-2", answers.LocationsSchema, [_MERCHANT], _READING)
    _path(spec, "/locations/{location_id}/menu", "get", "EP-3", answers.MenuAnswerSchema, [_LOCATION], _READING)
    for root, rule, schema, answer in (
        ("order_validation", "EP-4", orders.OrderValidationSchema, answers.ValidatedOrderSchema),
        ("order_submission", "EP-5", orders.OrderSubmissionSchema, answers.SubmittedOrderSchema),
    ):
        wrapped = (
            Schema.from_dict({root: fields.Nested(answer, required=True)}, name=f"{root}_answer")
            if envelope
            else answer
        )
        body = Schema.from_dict({root: fields.Nested(schema, required=True)}, name=f"{root}_request")
        _path(spec, f"/locations/{{location_id}}/{root}s", "post", rule, wrapped, [_LOCATION], _STATUSES, body)
    for path in ("/health", "/ready", "/openapi.json"):
        operation: dict[str, Any] = {
            "summary": "Needs no key (EP-6)",
            "security": [],
            "responses": {"200": {"description": "sound"}},
        }
        if path == "/ready":
            operation["responses"]["503"] = {"description": "not ready"}
        spec.path(path=path, operations={"get": operation})
    return spec.to_dict()


def _path(
    spec: APISpec,
    path: str,
    method: str,
    rule: str,
    answer: type[Schema],
    parameters: list[dict[str, Any]],
    statuses: set[int],
    body: type[Schema] | None = None,
) -> None:
    responses: dict[str, Any] = {"200": {"description": rule, "content": {_JSON: {"schema": answer}}}}
    for status in sorted(statuses):
        codes = ", ".join(code for code, kind in KINDS.items() if kind.status == status)
        responses[str(status)] = {
            "description": codes,
            "content": {_JSON: {"schema": {"$ref": "#/components/schemas/Error"}}},
        }
    operation: dict[str, Any] = {"summary": rule, "responses": responses}
    if body is not None:
        operation["requestBody"] = {"required": True, "content": {_JSON: {"schema": body}}}
    spec.path(path=path, parameters=parameters, operations={method: operation})


def _name(schema: Any) -> str:
    """Names by module, for a menu and an order both have items and options."""
    found = schema if isinstance(schema, type) else type(schema)
    return f"{found.__module__.rpartition('.')[2].title()}{found.__name__.removesuffix('Schema')}"
