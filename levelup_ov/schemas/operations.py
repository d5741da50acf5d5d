"""What each endpoint accepts, returns and can fail with; the OpenAPI document is generated from this."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from marshmallow import Schema, fields

from levelup_ov.schemas import orders, responses
from levelup_ov.schemas.base import WrapperSchema
from levelup_ov.schemas.responses import rooted

CALL = frozenset(
    {
        "rate_limited", "provider_protocol_error", "provider_credentials_refused", "provider_unavailable",
        "provider_timeout", "provider_busy",
    }
)  # fmt: skip
"""If a provider or LevelUp is called."""
ORDER = frozenset(
    {
        "orphan_option", "special_instructions_too_long", "special_instructions_not_allowed", "ready_time_in_past",
        "fulfillment_not_supported", "unknown_item", "unknown_option", "item_unavailable", "invalid_choices",
        "ready_time_unavailable", "location_closed", "address_not_served", "delivery_address_incomplete",
        "order_minimum_not_reached", "price_changed", "customer_refused", "order_refused", "fees_not_representable",
        "menu_invalid", "location_not_found",
    }
)  # fmt: skip
"""If a provider checks an order."""
PLACING = frozenset(
    {
        "tender_not_accepted", "order_validation_expired", "card_declined", "idempotency_key_reused",
        "submission_in_progress", "outcome_unknown", "ledger_unavailable",
    }
)  # fmt: skip
"""If an order is placed."""
_BODY = frozenset(
    {
        "malformed_json", "duplicate_member", "bad_request", "payload_too_large", "unsupported_media_type",
        "invalid_member",
    }
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Operation:
    """An endpoint. ``answer`` is the schema of a 200; None: it redirects a browser.

    ``failures``: codes in addition to those that the rest implies. ``idempotency_key``: whether it takes the header.
    ``query``: schemas of its parameters. ``conditional``: it sends an ``ETag`` and takes ``If-None-Match`` (MENU-4).
    ``open``: it needs no API key.
    """

    method: str
    path: str
    summary: str
    answer: Schema | type[Schema] | None
    failures: frozenset[str] = frozenset()
    body: type[Schema] | None = None
    idempotency_key: Literal["", "optional", "required"] = ""
    query: Mapping[str, Any] = field(default_factory=dict)
    conditional: bool = False
    open: bool = False

    @property
    def codes(self) -> frozenset[str]:
        """Codes of the errors that it can return."""
        implied = {
            "unauthorized": not self.open,
            "not_acceptable": True,
            "internal_error": True,
            "not_found": "{" in self.path,
            "invalid_idempotency_key": bool(self.idempotency_key),
        }
        return self.failures.union((code for code, holds in implied.items() if holds), _BODY if self.body else ())


def asked(root: str, schema: Schema | type[Schema], *, required: bool = True) -> type[Schema]:
    """A body whose one member is ``root``."""
    return WrapperSchema.from_dict({root: fields.Nested(schema, required=required)})


def contract(*, envelope: bool) -> list[Operation]:
    """EP-1 to EP-5, STAT-1 and STAT-6, for responses with or without their root member (EP-10)."""

    def answer(root: str, schema: type[Schema]) -> type[Schema]:
        return rooted(root, schema) if envelope else schema

    return [
        Operation("get", "/merchants", "EP-1", responses.MerchantsSchema),
        Operation(
            "get", "/merchants/{merchant_id}/locations", "EP-2", responses.LocationsSchema,
            CALL | {"merchant_not_found"}, conditional=True,
        ),
        Operation(
            "get", "/locations/{location_id}/menu", "EP-3", rooted("menu", responses.MenuSchema),
            CALL | {"location_not_found", "menu_invalid"}, conditional=True,
        ),
        Operation(
            "post", "/locations/{location_id}/order_validations", "EP-4",
            answer("order_validation", responses.ValidatedOrderSchema), CALL | ORDER,
            asked("order_validation", orders.OrderValidationSchema),
        ),
        Operation(
            "post", "/locations/{location_id}/order_submissions", "EP-5",
            answer("order_submission", responses.SubmittedOrderSchema), CALL | ORDER | PLACING,
            asked("order_submission", orders.OrderSubmissionSchema), idempotency_key="optional",
        ),
        Operation(
            "get", "/locations/{location_id}/orders/{order_id}", "STAT-1",
            rooted("order", responses.TrackedOrderSchema),
            CALL | {
                "location_not_found", "order_not_found", "order_id_ambiguous", "status_not_supported",
                "submission_in_progress", "outcome_unknown", "ledger_unavailable",
            },
            idempotency_key="optional", conditional=True,
        ),
        Operation(
            "post", "/locations/{location_id}/orders/{order_id}/cancellation", "STAT-6",
            rooted("order", responses.TrackedOrderSchema),
            CALL | {
                "location_not_found", "order_not_found", "order_id_ambiguous", "cancellation_not_supported",
                "cancellation_refused", "cancellation_unknown", "submission_in_progress", "outcome_unknown",
                "ledger_unavailable",
            },
            idempotency_key="optional",
        ),
        Operation(
            "post", "/webhooks/{account}", "EVT-9", responses.ReceivedSchema,
            CALL | {
                "notice_refused", "bad_request", "payload_too_large", "unsupported_media_type", "location_not_found",
                "ledger_unavailable",
            },
            open=True,
        ),
    ]  # fmt: skip
