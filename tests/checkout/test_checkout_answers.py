"""The answer with an order is written as its schema, which the documentation shows, writes it."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from levelup_ov.checkout.store import StoredOrder
from levelup_ov.schemas.checkout_responses import ANSWERS, charged_order

CHARGED = StoredOrder(
    "id-1", "charged", "mer_1", "usr_1", 11, "proposed-1", 1070, 70, 0, 200, 100,
    created_at=1_790_000_000_999, uuid="1b0e", total=1270, gift_card_total=5, gift_card_tip=0,
)  # fmt: skip
SUBMITTED = '{"metadata": {"user_a": "x"}, "order_id": "A-17", "expected_ready_at": null, "newer": 1}'
PROBLEM = json.dumps({"message": "the shop is closed", "code": "order_refused", "path": "$.order"})
CANCELED = json.dumps({"mark": None})


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"uuid": None, "total": None, "gift_card_total": None, "gift_card_tip": None, "state": "charging"},
        {"state": "submitted", "provider_location_id": "bistro.main", "submitted": SUBMITTED},
        {"state": "submitted", "submitted": SUBMITTED, "cancellation": CANCELED},
        {"state": "refunded", "problem": PROBLEM, "refunded_at": 1_790_000_060_000},
        {"state": "stuck", "operator_case": '{"kind": "refund_impossible", "message": "too old"}'},
    ],
    ids=["charged", "charging", "submitted", "canceled", "refunded", "stuck"],
)
def test_an_order_is_written_as_its_schema_says(changes: dict[str, Any]) -> None:
    order = replace(CHARGED, **changes)
    assert json.dumps(charged_order(order)) == json.dumps(ANSWERS["order"].dump(order))
