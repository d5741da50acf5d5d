"""The members of our responses about an order: its price and times, or its number, and the metadata of both."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from levelup_ov.domain import ready_time
from levelup_ov.domain.order import Order, User
from levelup_ov.domain.outcome import Placed, Quote
from levelup_ov.ordering.locations import RoutedLocation
from levelup_ov.ordering.metadata import MetadataKeeper
from levelup_ov.ordering.outcomes import Settlement


@dataclass(frozen=True, slots=True)
class ValidatedOrder:
    """The members of an order validation's answer; times in the contract's form."""

    total: int
    tax: int
    tip: int | None
    merchant_funded_discount: int
    provider_funded_discount: int
    soonest_available_at: str | None
    ready_at: str | None
    available_at: list[str] | None
    metadata: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class QuotedOrder:
    """An order with its price, and the metadata that its submission needs (META-2, META-8)."""

    routed: RoutedLocation
    order: Order
    quote: Quote
    metadata: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class SubmittedOrder:
    """The members of an order submission's answer (SUB-1)."""

    order_id: str | int
    expected_ready_at: str | None
    metadata: Mapping[str, Any]


def validated(quoted: QuotedOrder) -> ValidatedOrder:
    """The response to an order validation."""
    routed, order, quote = quoted.routed, quoted.order, quoted.quote
    soonest = ready_time.to_wire(quote.ready.soonest, routed.zone)
    slots = ready_time.available_at(quote.ready, order.desired_ready_time, order.received_at)
    return ValidatedOrder(
        total=quote.total,
        tax=quote.tax,
        tip=quote.tip if routed.location.accepts_tips(order.fulfillment_type) else None,
        merchant_funded_discount=order.merchant_funded_discount,
        provider_funded_discount=quote.provider_funded_discount,
        soonest_available_at=soonest,
        ready_at=soonest,
        available_at=None if slots is None else [ready_time.to_wire(slot, routed.zone) or "" for slot in slots],
        metadata=quoted.metadata,
    )


def metadata_of(quote: Quote, order: Order, routed: RoutedLocation, keeper: MetadataKeeper) -> Mapping[str, Any]:
    """The metadata of a validation: what its submission needs sealed, and what the guest is to see."""
    account = routed.adapter.account.name
    metadata: dict[str, Any] = {
        **keeper.issue_validation_id(routed.id, order.received_at, order.desired_ready_time, quote.ready.soonest),
        **keeper.seal_customer_account(account, quote.customer_account, order.user),
        **keeper.seal_cart(account, routed.id, quote.cart, order.user),
    }
    if quote.address_decides:
        metadata["order_address_decides"] = sorted(quote.address_decides)
    if quote.fees:
        metadata["order_fees"] = [{"name": fee.name, "amount": fee.amount} for fee in quote.fees]
    return metadata


def settlement_of(placed: Placed, routed: RoutedLocation, guest: User | None, keeper: MetadataKeeper) -> Settlement:
    """A placed order with the members of its :class:`SubmittedOrder`; ``guest``: None if it is not known."""
    account, metadata = routed.adapter.account.name, dict[str, str]()
    if guest:
        metadata = keeper.seal_customer_account(account, placed.customer_account, guest)
    ready_at = ready_time.to_wire(placed.expected_ready_at, routed.zone)
    answer = {"order_id": placed.order_id, "expected_ready_at": ready_at, "metadata": metadata}
    return Settlement(placed, answer)
