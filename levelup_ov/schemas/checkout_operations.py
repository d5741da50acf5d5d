"""The endpoints of web checkout for the OpenAPI document; ``docs/checkout.rst`` describes them to people."""

from __future__ import annotations

from marshmallow import Schema, fields

from levelup_ov.schemas.base import WrapperSchema
from levelup_ov.schemas.checkout import LARGEST_PAGE, SCHEMAS, AnsweredRequestSchema, ConfirmationSchema
from levelup_ov.schemas.checkout_responses import ANSWERS
from levelup_ov.schemas.operations import CALL, ORDER, PLACING, Operation, asked
from levelup_ov.schemas.orders import Identifier, OrderSubmissionSchema

_STORE = frozenset({"ledger_unavailable"})
_KNOWN = _STORE | {"connection_not_found"}
_LEVELUP = CALL | {"levelup_refused"}
_MERCHANT = _KNOWN | _LEVELUP | {"not_connected", "merchant_token_refused"}
_USER = _KNOWN | _LEVELUP | {"not_connected", "user_token_refused"}
_ORDER = _MERCHANT | _USER | {"amounts_do_not_add_up", "discount_too_large", "location_not_found"}
_REFUND = {
    "order_not_found", "already_refunded", "manager_confirmation_required", "refund_refused", "refund_pending",
    "submission_in_progress", "outcome_unknown", "refund_impossible", "idempotency_key_reused",
}  # fmt: skip
_TEXT = {"type": "string"}
_OAUTH = {"state": _TEXT, "code": _TEXT, "error": _TEXT}


class ChargeSchema(WrapperSchema):
    """An order, and where to submit it, if anywhere."""

    order = fields.Nested(SCHEMAS["order"], required=True)
    provider_location_id = Identifier(allow_none=True)
    order_submission = fields.Nested(
        OrderSubmissionSchema, allow_none=True, metadata={"description": "without credit_card: LevelUp is the tender"}
    )


def _asked(root: str, *, required: bool = True) -> type[Schema]:
    return asked(root, SCHEMAS[root], required=required)


CHECKOUT = [
    Operation(
        "post", "/checkout/merchants", "Start a merchant's connection", ANSWERS["merchant"], _STORE, _asked("merchant")
    ),
    Operation(
        "get", "/checkout/merchants/callback", "LevelUp sends a merchant's browser back here", None,
        _STORE | {"invalid_state"}, query=_OAUTH, open=True,
    ),
    Operation(
        "post", "/checkout/merchants/{id}/confirm", "Make a merchant's connection usable", ANSWERS["merchant"],
        _KNOWN | {"invalid_confirmation"}, ConfirmationSchema,
    ),
    Operation("get", "/checkout/merchants", "Merchants that are connected", ANSWERS["merchants"], _STORE),
    Operation("get", "/checkout/merchants/{id}", "A merchant's connection", ANSWERS["merchant"], _KNOWN),
    Operation("get", "/checkout/merchants/{id}/locations", "A merchant's locations", ANSWERS["locations"], _MERCHANT),
    Operation("delete", "/checkout/merchants/{id}", "Disconnect a merchant", ANSWERS["merchant"], _KNOWN),
    Operation(
        "post", "/checkout/users/authorizations", "Start a user's connection by OAuth", ANSWERS["user"], _STORE,
        _asked("authorization"),
    ),
    Operation(
        "get", "/checkout/users/callback", "LevelUp sends a user's browser back here", None,
        _STORE | {"invalid_state"}, query=_OAUTH, open=True,
    ),
    Operation(
        "post", "/checkout/users/{id}/confirm", "Make a user's connection usable", ANSWERS["user"],
        _KNOWN | {"invalid_confirmation"}, ConfirmationSchema,
    ),
    Operation(
        "post", "/checkout/users/permissions_requests", "Ask a user for permissions", ANSWERS["user"],
        _STORE | _LEVELUP, _asked("permissions_request"),
    ),
    Operation(
        "post", "/checkout/users/permissions_requests/callback", "LevelUp reports a user's answer",
        ANSWERS["nothing"], _KNOWN | _LEVELUP, asked("permissions_request", AnsweredRequestSchema), open=True,
    ),
    Operation(
        "post", "/checkout/users/{id}/poll", "Ask LevelUp what the user has answered", ANSWERS["user"],
        _KNOWN | _LEVELUP,
    ),
    Operation(
        "post", "/checkout/users", "Create an account of record", ANSWERS["user"], _STORE | _LEVELUP | {"email_taken"},
        _asked("user"),
    ),
    Operation("get", "/checkout/users/{id}", "A user's connection", ANSWERS["user"], _KNOWN),
    Operation("delete", "/checkout/users/{id}", "Disconnect a user", ANSWERS["user"], _KNOWN),
    Operation("get", "/checkout/users/{id}/profile", "A user's basic information", ANSWERS["profile"], _USER),
    Operation("get", "/checkout/users/{id}/addresses", "A user's addresses", ANSWERS["addresses"], _USER),
    Operation(
        "post", "/checkout/users/{id}/addresses", "Add an address", ANSWERS["address"], _USER, _asked("address")
    ),
    Operation(
        "post", "/checkout/users/{id}/card_page", "LevelUp's page for the one card of an account of record",
        ANSWERS["card_page"], _USER, _asked("card_page", required=False),
    ),
    Operation(
        "get", "/checkout/users/{id}/orders", "A user's past orders, newest first", ANSWERS["past_orders"],
        _USER | {"invalid_member"},
        query={"page": {"type": "integer", "minimum": 1, "maximum": LARGEST_PAGE, "default": 1}},
    ),
    Operation(
        "post", "/checkout/order_previews", "What an order would trigger; nothing is charged", ANSWERS["preview"],
        _ORDER, _asked("order"),
    ),
    Operation(
        "post", "/checkout/orders", "Charge an order, and submit it", ANSWERS["order"],
        _ORDER | ORDER | PLACING | {"refund_pending", "refund_impossible", "charge_refunded"}, ChargeSchema,
        idempotency_key="required",
    ),
    Operation("get", "/checkout/orders/{id}", "An order", ANSWERS["order"], _STORE | {"order_not_found"}),
    Operation(
        "post", "/checkout/orders/{id}/refund", "Refund a whole order", ANSWERS["order"], _MERCHANT | _REFUND,
        _asked("refund", required=False), idempotency_key="required",
    ),
    Operation(
        "post", "/checkout/orders/{id}/cancellation", "Cancel an order at its provider, then refund it",
        ANSWERS["order"],
        _MERCHANT | _REFUND
        | {"location_not_found", "cancellation_not_supported", "cancellation_refused", "cancellation_unknown"},
        _asked("refund", required=False), idempotency_key="required",
    ),
]  # fmt: skip
