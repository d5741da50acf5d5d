"""What the draft ``dev.ucp.food`` demands of an answer, in our own words: its schemas are on no user's machine.

It follows the commit that :data:`levelup_ov.ucp.versions.FOOD_DRAFT` names. A member that the draft does not have is
reported, too: an agent would not understand it.
"""

from __future__ import annotations

from typing import Any

import jsonschema_rs

TEXT = {"type": "string", "minLength": 1}
CENTS = {"type": "integer", "minimum": 0}
TIME = {"type": "string", "format": "date-time"}
URL = {"type": "string", "format": "uri"}


def _object(required: str, optional: str = "", **members: Any) -> dict[str, Any]:
    """An object with these members; what is not described is text."""
    names = required.split() + optional.split()
    return {
        "type": "object",
        "required": required.split(),
        "properties": {name: members.get(name, TEXT) for name in names},
        "additionalProperties": False,
    }


def _list(inner: Any, **more: Any) -> dict[str, Any]:
    return {"type": "array", "items": inner, **more}


_TOTAL = {
    **_object(
        "type amount",
        "display_text lines",
        amount={"type": "integer"},
        lines=_list(_object("display_text amount", amount={"type": "integer"})),
    ),
    "allOf": [
        {"if": {"properties": {"type": {"const": "discount"}}},
         "then": {"properties": {"amount": {"exclusiveMaximum": 0}}}},
        {"if": {"properties": {"type": {"enum": ["subtotal", "tax", "fee", "fulfillment"]}}},
         "then": {"properties": {"amount": {"minimum": 0}}}},
        {"if": {"properties": {"type": {"enum": ["tip"]}}}, "then": {"required": ["display_text"]}},
    ],
}  # fmt: skip
_ADDRESS = "street_address extended_address address_locality address_region postal_code"
_DISH = _object(
    "id title price",
    "modifications note",
    price=CENTS,
    modifications=_list(_object("id title price", "quantity", price=CENTS, quantity={"type": "integer", "minimum": 1})),
)
_LINE = _object("id dish quantity totals", dish=_DISH, quantity={"type": "integer", "minimum": 1}, totals=_list(_TOTAL))
_OPTION = _object(
    "id title totals",
    "earliest_fulfillment_time latest_fulfillment_time",
    totals=_list(_TOTAL),
    earliest_fulfillment_time=TIME,
    latest_fulfillment_time=TIME,
)
_KIND = {"enum": ["pickup", "delivery"]}
_METHOD = _object(
    "id type options",
    "destination requested_fulfillment_time selected_option_id notes",
    type=_KIND,
    options=_list(_OPTION, minItems=1),
    requested_fulfillment_time=TIME,
    destination={
        "oneOf": [
            _object("type id name", type={"const": "business_location"}),
            _object("type id", _ADDRESS, type={"const": "delivery_address"}),
        ]
    },
)
_MESSAGE = {
    "oneOf": [
        _object(
            "type code content severity",
            "path",
            type={"const": "error"},
            severity={"enum": ["recoverable", "unrecoverable"]},
            path={"type": "string", "pattern": r"^\$"},
        ),
        _object(
            "type code content",
            "path",
            type={"enum": ["warning", "info"]},
            path={"type": "string", "pattern": r"^\$"},
        ),
    ]
}
_TIP = {
    **_object(
        "options",
        "selected_option_id custom_amount",
        options=_list(_object("id unit amount", unit={"enum": ["percentage", "absolute"]}, amount=CENTS)),
        custom_amount=CENTS,
    ),
    "not": {"required": ["selected_option_id", "custom_amount"]},
}
CHECKOUT = _object(
    "ucp id food_establishment line_items status currency totals links expires_at messages",
    "buyer tip order fulfillment",
    ucp={"type": "object", "required": ["version", "status", "capabilities", "payment_handlers"]},
    food_establishment=_object("id name"),
    line_items=_list(_LINE),
    status={"enum": ["incomplete", "ready_for_complete", "complete_in_progress", "completed", "canceled"]},
    currency={"type": "string", "pattern": "^[A-Z]{3}$"},
    totals=_list(_TOTAL, contains={"properties": {"type": {"const": "total"}}}, maxContains=1),
    links=_list(_object("type url", "title", url=URL)),
    expires_at=TIME,
    buyer=_object("", "first_name last_name email phone_number"),
    tip=_TIP,
    order=_object("id tracking_url", "label", tracking_url=URL),
    fulfillment=_object(
        "methods", "available_methods", methods=_list(_METHOD), available_methods=_list(_object("type", type=_KIND))
    ),
    messages=_list(_MESSAGE),
)
CHECKOUT["if"] = {"properties": {"ucp": {"properties": {"capabilities": {"required": ["dev.ucp.food.fulfillment"]}}}}}
CHECKOUT["then"] = {"required": ["fulfillment"]}
CHECKOUT["else"] = {"properties": {"fulfillment": False}}
_VALIDATOR = jsonschema_rs.Draft202012Validator(CHECKOUT, validate_formats=True)


def wrong(checkout: Any) -> list[str]:
    """What is wrong with an answer about a checkout."""
    return [f"{'/'.join(map(str, error.instance_path))}: {error.message[:300]}"
            for error, _ in zip(_VALIDATOR.iter_errors(checkout), range(10))]  # fmt: skip
