"""What a person must look at, and what to do then (SUB-12)."""

from __future__ import annotations

from collections.abc import Mapping

REMEDIES: Mapping[str, str] = {
    "order_exists_but_ruled_out": "the channel knows the order as not placed: ask the provider to cancel the order, "
    "or tell the guest its number",
    "two_orders_for_one_submission": "ask the provider to cancel one of the two, and to refund what was paid for it",
    "card_may_be_charged": "no order was made: look for a charge of this reference at the provider and refund it",
    "order_disputed": "the order that the guest was told about is another guest's: ask the provider whether there is "
    "one for this reference, and settle it with `levelup-ov submissions settle`",
    "order_refused": "the restaurant refused an order that the guest was told is placed: call it, or tell the guest",
}
"""What a person must do about a finding."""
