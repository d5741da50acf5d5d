"""What an account's adapter declares, in words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from levelup_ov.adapter import Adapter


def abilities(adapter: Adapter) -> list[tuple[str, str, bool]]:
    """Rule, words and whether the adapter can do it."""
    kind = type(adapter)
    return [
        ("PAY-1", "paid with LevelUp", "levelup" in kind.tenders),
        ("PAY-2", "paid with a single-use card", "credit_card" in kind.tenders),
        ("EP-12", "pickup", "pickup" in kind.fulfillments),
        ("EP-12", "delivery", "delivery" in kind.fulfillments),
        ("TIME-4", "orders for later", kind.schedules),
        ("META-6", "customers' accounts", kind.creates_customer_accounts),
        ("STAT-1", "order status", bool(kind.order_status)),
        ("STAT-6", "cancellation", kind.cancels),
        ("SUB-5", "looks orders up" if kind.recovery == "look_up" else "replays by key", True),
        ("SUB-10", "fences late orders", kind.fences),
    ]


def account_facts(adapter: Adapter) -> Mapping[str, Any]:
    """What the page of an order needs to know of an account."""
    kind = type(adapter)
    return {
        "provider": adapter.account.provider,
        "tenders": sorted(kind.tenders),
        "fulfillments": sorted(kind.fulfillments),
        "schedules": kind.schedules,
        "recovery": kind.recovery,
        "is_sandbox": adapter.account.provider == "sandbox",
    }
