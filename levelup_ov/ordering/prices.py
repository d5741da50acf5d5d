"""A provider's price must add up, or nobody is asked to pay it (MONEY-9)."""

from __future__ import annotations

from levelup_ov.domain import money
from levelup_ov.domain.failure import Failure
from levelup_ov.domain.order import Order
from levelup_ov.domain.outcome import Quote
from levelup_ov.errors import broken_protocol


def check_price(order: Order, quote: Quote, *, refuse_fees: bool) -> None:
    """Refuse a price that does not add up, and with ``refuse_fees`` also one with a fee.

    :raises Failure: ``provider_protocol_error``, ``fees_not_representable``.
    """
    if quote.merchant_funded_discount != order.merchant_funded_discount:
        discounts = f"{quote.merchant_funded_discount} of {order.merchant_funded_discount} cents"
        raise broken_protocol(f"the provider applied a different merchant-funded discount: {discounts}")
    parts = (quote.food, quote.tax, quote.tip or 0, quote.provider_funded_discount)
    amounts = (*parts, *(fee.amount for fee in quote.fees), *(quote.lines or ()), quote.total)
    if not all(money.is_cents(amount) for amount in amounts):
        raise broken_protocol("the provider's price contains an amount out of range")
    if quote.charged is not None and quote.charged != quote.consumer_pays:
        sums = f"its parts add up to {quote.consumer_pays} cents, its total is {quote.charged}"
        raise broken_protocol(f"the provider's price does not add up: {sums}")
    if quote.lines is not None and (len(quote.lines) != len(order.items) or sum(quote.lines) != quote.food):
        sums = f"{len(quote.lines)} lines of {len(order.items)} add up to {sum(quote.lines)} cents of {quote.food}"
        raise broken_protocol(f"the provider's price does not add up: {sums}")
    if quote.fees and refuse_fees:
        names = ", ".join(fee.name for fee in quote.fees)
        raise Failure("fees_not_representable", f"the provider adds a fee: {names}")
