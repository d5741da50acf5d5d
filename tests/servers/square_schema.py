"""What Square's requests and answers may look like: the official specification, and a small schema of our own.

The official one is read from the folder that ``SQUARE_SPECIFICATION_DIR`` names, or from ``shared/specs``
beside the project; it is not part of the project. It is made strict: a member it does not know is an error, and so
is a member in a request that only Square may set. Our own schema lists the members that the adapter and its
stand-in use. It is checked always, so that a clone without the official one still finds a misspelled member.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema_rs

FILE = "square-openapi.json"
_KEPT = ("type", "enum", "minLength", "maxLength", "minimum", "maximum", "pattern", "required")

Schema = Mapping[str, Any]
Check = Callable[[Any], Iterator[str]]

MONEY = {"amount": int, "currency": str}
_RECIPIENT = {"display_name": str, "phone_number": str, "email_address": str}
_PICKUP = {
    "recipient": _RECIPIENT, "schedule_type": str, "pickup_at": str, "prep_time_duration": str, "note": str,
}  # fmt: skip
_ADDRESS = dict.fromkeys(
    ("address_line_1", "address_line_2", "locality", "administrative_district_level_1", "postal_code"), str
)
_DELIVERY = {
    "recipient": {**_RECIPIENT, "address": _ADDRESS}, "schedule_type": str, "deliver_at": str,
    "prep_time_duration": str, "note": str, "dropoff_notes": str,
}  # fmt: skip
_CHARGE = {"uid": str, "name": str, "amount_money": MONEY, "calculation_phase": str, "taxable": bool}
_CHOSEN = {"catalog_object_id": str, "quantity": str}
_LINE = {**_CHOSEN, "modifiers": [_CHOSEN], "note": str}
_ORDER = {
    "location_id": str,
    "reference_id": str,
    "source": {"name": str},
    "line_items": [_LINE],
    "discounts": [{"uid": str, "name": str, "type": str, "scope": str, "amount_money": MONEY}],
    "service_charges": [_CHARGE],
    "fulfillments": [{"uid": str, "type": str, "state": str, "pickup_details": _PICKUP, "delivery_details": _DELIVERY}],
    "pricing_options": {"auto_apply_taxes": bool, "auto_apply_discounts": bool},
}
OWN_REQUESTS: Mapping[tuple[str, str], Any] = {
    ("POST", "/v2/orders/calculate"): {"order": _ORDER},
    ("POST", "/v2/orders"): {"idempotency_key": str, "order": _ORDER},
    ("PUT", "/v2/orders/{order_id}"): {
        "idempotency_key": str,
        "order": {
            "location_id": str,
            "version": int,
            "state": str,
            "fulfillments": [{"uid": str, "state": str}],
        },
    },
    ("POST", "/v2/orders/search"): {
        "location_ids": [str],
        "cursor": str,
        "query": {
            "filter": {
                "date_time_filter": {"created_at": {"start_at": str}},
                "source_filter": {"source_names": [str]},
            },
            "sort": {"sort_field": str, "sort_order": str},
        },
    },
    ("POST", "/v2/catalog/search"): {
        "object_types": [str],
        "begin_time": str,
        "cursor": str,
        "limit": int,
    },
    ("POST", "/v2/inventory/counts/batch-retrieve"): {
        "catalog_object_ids": [str],
        "location_ids": [str],
        "states": [str],
        "limit": int,
        "cursor": str,
    },
    ("POST", "/v2/orders/{order_id}/pay"): {"idempotency_key": str, "order_version": int, "payment_ids": [str]},
    ("POST", "/v2/payments"): {
        "idempotency_key": str,
        "source_id": str,
        "external_details": {"type": str, "source": str, "source_id": str},
        "amount_money": MONEY,
        "tip_money": MONEY,
        "order_id": str,
        "location_id": str,
        "reference_id": str,
    },
}
"""The bodies that the adapter sends: every member, with its type."""
OWN_QUERIES: Mapping[tuple[str, str], frozenset[str]] = {("GET", "/v2/catalog/list"): frozenset({"types", "cursor"})}

_TENDER = {"id": str, "type": str, "amount_money": MONEY, "tip_money": MONEY, "payment_id": str}
_TOTALS = dict.fromkeys(
    ("total_money", "total_tax_money", "total_discount_money", "total_tip_money", "total_service_charge_money"), MONEY
)
_STAMPS = dict.fromkeys(("placed_at", "accepted_at", "ready_at", "picked_up_at", "canceled_at", "rejected_at"), str)
_DELIVERY_STAMPS = dict.fromkeys(
    ("placed_at", "in_progress_at", "ready_at", "completed_at", "delivered_at", "canceled_at", "rejected_at"), str
)
_PLACED_ORDER = {
    **_ORDER,
    **_TOTALS,
    "id": str,
    "state": str,
    "version": int,
    "ticket_name": str,
    "created_at": str,
    "line_items": [{
        **_LINE, "uid": str, "name": str, "gross_sales_money": MONEY, "base_price_money": MONEY,
        "total_money": MONEY, "total_tax_money": MONEY, "total_discount_money": MONEY,
        "modifiers": [{**_CHOSEN, "uid": str, "name": str, "base_price_money": MONEY, "total_price_money": MONEY}],
    }],
    "discounts": [{
        "uid": str, "name": str, "scope": str, "type": str, "amount_money": MONEY, "applied_money": MONEY,
        "percentage": str, "pricing_rule_id": str,
    }],
    "taxes": [{"uid": str, "name": str, "type": str, "percentage": str, "scope": str, "applied_money": MONEY}],
    "service_charges": [{**_CHARGE, "applied_money": MONEY, "total_money": MONEY}],
    "tenders": [_TENDER],
    "fulfillments": [{
        "uid": str, "type": str, "state": str, "pickup_details": {**_PICKUP, **_STAMPS},
        "delivery_details": {**_DELIVERY, **_DELIVERY_STAMPS},
    }],
}  # fmt: skip
_PRESENCE = {
    "type": str, "id": str, "version": int, "updated_at": str, "is_deleted": bool, "present_at_all_locations": bool,
    "present_at_location_ids": [str], "absent_at_location_ids": [str],
}  # fmt: skip
_OVERRIDE = {
    "location_id": str, "price_money": MONEY, "pricing_type": str, "sold_out": bool, "sold_out_valid_until": str,
    "track_inventory": bool,
}  # fmt: skip
_VARIATION = {
    "item_id": str, "name": str, "ordinal": int, "pricing_type": str, "price_money": MONEY, "sellable": bool,
    "location_overrides": [_OVERRIDE], "measurement_unit_id": str, "image_ids": [str],
    "track_inventory": bool, "stockable": bool,
}  # fmt: skip
_MODIFIER = {
    "name": str, "price_money": MONEY, "ordinal": int, "modifier_list_id": str, "on_by_default": bool,
    "hidden_online": bool, "location_overrides": [_OVERRIDE],
}  # fmt: skip
_CATALOG_OBJECT = {
    **_PRESENCE,
    "item_data": {
        "name": str, "description": str, "description_plaintext": str, "product_type": str, "is_archived": bool,
        "categories": [{"id": str, "ordinal": int}], "category_id": str, "image_ids": [str],
        "modifier_list_info": [{
            "modifier_list_id": str, "min_selected_modifiers": int, "max_selected_modifiers": int, "enabled": bool,
            "ordinal": int, "allow_quantities": str,
            "modifier_overrides": [{
                "modifier_id": str, "on_by_default": bool, "on_by_default_override": str, "hidden_online_override": str,
            }],
        }],
        "variations": [{**_PRESENCE, "item_variation_data": _VARIATION}],
    },
    "modifier_list_data": {
        "name": str, "ordinal": int, "selection_type": str, "modifier_type": str, "text_required": bool,
        "min_selected_modifiers": int, "max_selected_modifiers": int, "allow_quantities": bool,
        "modifiers": [{**_PRESENCE, "modifier_data": _MODIFIER}],
    },
    "category_data": {"name": str, "category_type": str, "parent_category": {"id": str, "ordinal": int}},
    "image_data": {"name": str, "url": str},
}  # fmt: skip
_LOCATION = {
    "id": str, "name": str, "status": str, "timezone": str, "currency": str, "country": str, "phone_number": str,
    "type": str, "business_name": str,
    "address": dict.fromkeys(
        ("address_line_1", "address_line_2", "locality", "administrative_district_level_1", "postal_code", "country"),
        str,
    ),
    "coordinates": {"latitude": float, "longitude": float},
    "business_hours": {"periods": [dict.fromkeys(("day_of_week", "start_local_time", "end_local_time"), str)]},
}  # fmt: skip
_COUNT = dict.fromkeys(
    ("catalog_object_id", "catalog_object_type", "state", "location_id", "quantity", "calculated_at"), str
)
OWN_ANSWERS: Mapping[tuple[str, str], Any] = {
    ("GET", "/v2/locations"): {"locations": [_LOCATION]},
    ("GET", "/v2/catalog/list"): {"objects": [_CATALOG_OBJECT], "cursor": str},
    ("POST", "/v2/catalog/search"): {"objects": [_CATALOG_OBJECT], "cursor": str, "latest_time": str},
    ("POST", "/v2/inventory/counts/batch-retrieve"): {"counts": [_COUNT], "cursor": str},
    ("POST", "/v2/orders/calculate"): {"order": _PLACED_ORDER},
    ("POST", "/v2/orders"): {"order": _PLACED_ORDER},
    ("POST", "/v2/orders/search"): {"orders": [_PLACED_ORDER], "cursor": str},
    ("GET", "/v2/orders/{order_id}"): {"order": _PLACED_ORDER},
    ("PUT", "/v2/orders/{order_id}"): {"order": _PLACED_ORDER},
    ("POST", "/v2/orders/{order_id}/pay"): {"order": _PLACED_ORDER},
    ("POST", "/v2/payments"): {
        "payment": {
            "id": str, "status": str, "source_type": str, "order_id": str, "location_id": str, "reference_id": str,
            "amount_money": MONEY, "tip_money": MONEY, "total_money": MONEY, "receipt_number": str,
            "external_details": {"type": str, "source": str, "source_id": str},
        },
    },
}  # fmt: skip
_ERRORS = {"errors": [{"category": str, "code": str, "detail": str, "field": str}]}


class SpecificationMissing(Exception):
    """The official specification is not on this machine."""


def official_file() -> Path:
    """:raises SpecificationMissing: it is not here."""
    beside = Path(__file__).parents[3] / "shared" / "specs"
    path = Path(os.environ.get("SQUARE_SPECIFICATION_DIR") or beside) / FILE
    if not path.is_file():
        raise SpecificationMissing(f"no official specification of Square's at {path} (set SQUARE_SPECIFICATION_DIR)")
    return path


class Gate:
    """Checks requests and answers against our own schema and, where it is there, the official one.

    Each check gives what is wrong, in words; nothing where all is well.
    """

    def __init__(self, *, official: bool) -> None:
        self._official = _Official(json.loads(official_file().read_text())) if official else None

    def request(self, method: str, path: str, query: Mapping[str, str], body: Any) -> list[str]:
        operation = method, path
        wrong = [f"query: {name} is unknown" for name in query if name not in OWN_QUERIES.get(operation, ())]
        if operation in OWN_REQUESTS:
            wrong += _compare(body, OWN_REQUESTS[operation], "$")
        return wrong + (self._official.request(operation, query, body) if self._official else [])

    def answer(self, method: str, path: str, status: int, body: Any) -> list[str]:
        wrong = list(_compare(body, OWN_ANSWERS[method, path] if status == 200 else _ERRORS, "$"))
        return wrong + (self._official.answer((method, path), status, body) if self._official else [])


@cache
def gate() -> Gate:
    """As strict as this machine allows."""
    try:
        return Gate(official=bool(official_file()))
    except SpecificationMissing:
        return Gate(official=False)


class _Official:
    def __init__(self, document: Schema) -> None:
        self._paths = document["paths"]
        schemas = document["components"]["schemas"]
        self._schemas = {
            side: {"components": {"schemas": {name: _strict(schema, side) for name, schema in schemas.items()}}}
            for side in ("request", "answer")
        }
        self._validator = cache(self._compile)

    def request(self, operation: tuple[str, str], query: Mapping[str, str], body: Any) -> list[str]:
        if (described := self._operation(operation)) is None:
            return []
        known = {each["name"] for each in described.get("parameters", ()) if each["in"] == "query"}
        wrong = [f"query: {name} is not in the specification" for name in query if name not in known]
        if "requestBody" in described:
            name = described["requestBody"]["content"]["application/json"]["schema"]["$ref"].rpartition("/")[2]
            wrong += self._validate("request", name, body)
        elif body is not None:
            wrong.append("the specification has no body here")
        return wrong

    def answer(self, operation: tuple[str, str], status: int, body: Any) -> list[str]:
        if (described := self._operation(operation)) is None:
            return []
        name = described["responses"]["200"]["content"]["application/json"]["schema"]["$ref"].rpartition("/")[2]
        return self._validate("answer", name, body)

    def _operation(self, operation: tuple[str, str]) -> Schema | None:
        """None: the document is an excerpt that has no inventory."""
        method, path = operation
        if path.startswith("/v2/inventory/") and path not in self._paths:
            return None
        found: Schema = self._paths[path][method.lower()]
        return found

    def _validate(self, side: str, name: str, body: Any) -> list[str]:
        found = self._validator(side, name).iter_errors(body)
        return [f"{'.'.join(map(str, error.instance_path)) or '$'}: {error.message}" for error in found]

    def _compile(self, side: str, name: str) -> Any:
        return jsonschema_rs.validator_for({"$ref": f"#/components/schemas/{name}", **self._schemas[side]})


def _strict(schema: Schema, side: str) -> Schema:
    """An OpenAPI 3.0 schema as a JSON schema that allows no unknown member."""
    if "$ref" in schema:
        strict: dict[str, Any] = {"$ref": schema["$ref"]}
    else:
        strict = {key: value for key, value in schema.items() if key in _KEPT}
        if "items" in schema:
            strict["items"] = _strict(schema["items"], side)
        if "additionalProperties" in schema:
            strict["additionalProperties"] = _strict(schema["additionalProperties"], side)
        elif "properties" in schema or schema.get("type") == "object":
            strict["additionalProperties"] = False
        strict["properties"] = {
            name: _strict(member, side)
            for name, member in schema.get("properties", {}).items()
            if side == "answer" or not member.get("readOnly")
        }
    return {"if": {"type": "null"}, "else": strict} if schema.get("nullable") else strict


def _compare(value: Any, shape: Any, path: str) -> Iterator[str]:
    """What in ``value`` has a member or a type that ``shape`` does not have."""
    if isinstance(shape, dict):
        if type(value) is not dict:
            yield f"{path} is not an object"
            return
        for name, inner in value.items():
            if name in shape:
                yield from _compare(inner, shape[name], f"{path}.{name}")
            else:
                yield f"{path}.{name} is unknown"
    elif isinstance(shape, list):
        if type(value) is not list:
            yield f"{path} is not a list"
            return
        for position, inner in enumerate(value):
            yield from _compare(inner, shape[0], f"{path}[{position}]")
    elif type(value) is not shape:
        yield f"{path} is not {shape.__name__}"
