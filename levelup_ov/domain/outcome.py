"""A provider's result for an order: a price and a time, or a placed order."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field
from datetime import datetime
from typing import Literal

from levelup_ov.domain.money import Cents
from levelup_ov.domain.ready_time import Ready
from levelup_ov.domain.secret import Secret

AddressDecides = Literal["availability", "fee", "minimum", "tax", "time"]
"""What a delivery's address may decide. ``availability``: whether the location delivers there at all."""


@dataclass(frozen=True, slots=True)
class Fee:
    """A charge that the contract has no member for, such as a bag fee (MONEY-9)."""

    name: str
    amount: Cents


@dataclass(frozen=True, slots=True)
class Quote:
    """A provider's answer to a validation; all amounts in cents.

    ``food``: the food before every discount, without tax, tip and fees (MONEY-3).
    ``tip``: how much of the tip the provider took; None if it took none (MONEY-4).
    ``charged``: the provider's own grand total, None if it states none; the parts must add up to it (MONEY-9).
    ``lines``: the food of each item of the order, in its sequence, None if the provider does not say; they must add
    up to ``food``.
    ``address_decides``: what a delivery's address may still change, if the order came without one (DELIVERY-1).
    ``customer_account`` comes back with later orders of this user, ``cart`` with the submission of this order; both
    leave the service sealed (META-1, META-2, META-7).
    """

    food: Cents
    tax: Cents
    tip: Cents | None
    charged: Cents | None
    merchant_funded_discount: Cents = 0
    provider_funded_discount: Cents = 0
    fees: tuple[Fee, ...] = ()
    ready: Ready = Ready()
    address_decides: frozenset[AddressDecides] = frozenset()
    customer_account: Mapping[str, Secret] = field(default_factory=dict)
    cart: Mapping[str, Secret] = field(default_factory=dict)
    lines: tuple[Cents, ...] | None = None

    @property
    def total(self) -> Cents:
        """``total`` in the response: the food and the fees (MONEY-3, MONEY-9)."""
        return self.food + sum(fee.amount for fee in self.fees)

    @property
    def consumer_pays(self) -> Cents:
        """What the parts add up to; never sent to the channel (MONEY-7)."""
        discounts = self.merchant_funded_discount + self.provider_funded_discount
        return self.total + self.tax + (self.tip or 0) - discounts


@dataclass(frozen=True, slots=True)
class Placed:
    """A placed order.

    ``order_id``: the merchant's own number where there is one (SUB-1).
    ``provider_order_id``: the provider's technical id, for looking the order up. No other order of the account has it,
    at any location (SUB-8): where a provider counts at each location, put the location's id in front.
    ``reference``: our reference as read from the provider's answer, never copied from the order: an answer without
    it could be about any order (SUB-8). None only if the adapter declares ``echoes_nothing``.
    ``expected_ready_at``: an aware instant, None if the provider gave no real estimate.
    ``expected_charge``: the cents that the provider was asked to charge; ``charged``: the cents that it says
    it took; None if unknown (PAY-4).
    ``duplicates``: provider ids of further orders under the same reference.
    """

    order_id: str | int
    provider_order_id: str
    _: KW_ONLY
    reference: str | None
    expected_ready_at: datetime | None = None
    expected_charge: Cents | None = None
    charged: Cents | None = None
    customer_account: Mapping[str, Secret] = field(default_factory=dict)
    duplicates: tuple[str, ...] = ()

    @property
    def charge_mismatch(self) -> bool:
        """Whether the provider charged a different amount than requested (PAY-4)."""
        return mischarge(self.expected_charge, self.charged) is not None


def mischarge(expected: Cents | None, charged: Cents | None) -> tuple[Cents, Cents] | None:
    """What was asked for, and what was charged instead; None: they agree, or one of them is not known (PAY-4)."""
    if expected is None or charged is None or expected == charged:
        return None
    return expected, charged


def line_prices(ordered: Sequence[Hashable], held: Iterable[tuple[Hashable, Cents]]) -> tuple[Cents, ...] | None:
    """``Quote.lines`` for the lines that a provider holds, in any order, each with its price.

    A line is one value, as for ``check_basket``. None if the provider has merged or split lines.
    """
    prices: defaultdict[Hashable, list[Cents]] = defaultdict(list)
    for line, price in held:
        prices[line].append(price)
    found = [prices[line].pop(0) for line in ordered if prices[line]]
    return tuple(found) if len(found) == len(ordered) and not any(prices.values()) else None
