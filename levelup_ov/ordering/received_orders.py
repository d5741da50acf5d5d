"""An order as its adapter receives it, made of what the channel sent; refused if the location cannot take it."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from levelup_ov.adapter.delivery import check_address
from levelup_ov.domain import ready_time
from levelup_ov.domain.failure import Failure
from levelup_ov.domain.order import Order
from levelup_ov.domain.request import OrderRequest
from levelup_ov.domain.tender import Tender
from levelup_ov.ordering.attempts import Attempt
from levelup_ov.ordering.locations import RoutedLocation
from levelup_ov.ordering.metadata import MetadataKeeper


def received_order(
    request: OrderRequest,
    routed: RoutedLocation,
    keeper: MetadataKeeper,
    now: datetime,
    attempt: Attempt | None = None,
    *,
    submits: bool = False,
) -> Order:
    """The order of a request; ``submits``: for a submission, not for a validation. ``now``: aware.

    :raises Failure: ``fulfillment_not_supported``, ``delivery_address_incomplete``, ``ready_time_in_past``,
        ``ready_time_unavailable``.
    """
    account, location = routed.adapter.account.name, routed.location
    order = Order(
        location=location,
        items=request.items,
        user=request.user,
        # A repeated request must say what the first one said.
        received_at=(attempt.received_at if attempt else None) or now,
        desired_ready_time=request.desired_ready_time,
        fulfillment_type=request.fulfillment_type,
        special_instructions=request.special_instructions,
        tip=request.tip if location.accepts_tips(request.fulfillment_type) else 0,
        merchant_funded_discount=request.merchant_funded_discount,
        delivery_address=request.delivery_address,
        customer_account=keeper.open_customer_account(account, request.metadata, request.user),
        cart=keeper.open_cart(account, routed.id, request.metadata, request.user) if submits else {},
        reference=attempt.reference if attempt else None,
    )
    if attempt is not None and attempt.is_new:
        # An order that may have been placed already is no longer refused.
        if (validation := keeper.open_validation_id(routed.id, request.metadata)) is not None:
            order = replace(order, shown=validation.shown)
    if order.fulfillment_type not in routed.adapter.fulfillments or not location.fulfills(order.fulfillment_type):
        words = f"this location does not offer {order.fulfillment_type}"
        raise Failure("fulfillment_not_supported", words, path="$.fulfillment_type")
    if order.fulfillment_type == "delivery":
        check_address(order.delivery_address, missing_is_fine=not submits)
    if (desired := order.desired_ready_time) is None:
        return order
    path = "$.desired_ready_time"
    if routed.zone is not None:
        desired = ready_time.localize(desired, routed.zone)
    elif desired.tzinfo is None:
        raise Failure("ready_time_unavailable", "the time zone of this location is not known", path=path)
    if attempt is None or attempt.is_new:
        ready_time.check_not_past(desired, now, path=path)
    return replace(order, desired_ready_time=desired)


def check_tender(routed: RoutedLocation, tender: Tender) -> None:
    """:raises Failure: ``tender_not_accepted``."""
    if tender.kind not in routed.tenders:
        path = "$.credit_card" if tender.kind == "credit_card" else "$.tender"
        raise Failure("tender_not_accepted", f"this location does not take {tender.kind}", path=path)
