"""What a provider makes of an order: a price and a time, or a placed order."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass, field
from datetime import datetime

from levelup_ov.domain.money import Cents
from levelup_ov.domain.ready_time import Ready
from levelup_ov.domain.secret import Secret


@dataclass(frozen=True, slots=True)
class Fee:
    """A charge that the contract has no member for, such as a bag fee (MONEY-9)."""

    name: str
    amount: Cents


@dataclass(frozen=True, slots=True)
class Quote:
    """A provider's answer to a validation; all amounts in cents.

    ``food``: the food before every discount, without tax, tip and fees (MONEY-3).
    ``tip``: what the provider took of the tip sent; None where it took none (MONEY-4).
    ``charged``: the provider's own grand total, None where it states none; the parts must add up to it
    (MONEY-9).
    ``customer_account`` and ``cart``: what shall come back with later orders of this user, and with the
    submission of this order; all of it leaves the service sealed (META-1, META-2, META-7).
    """

    food: Cents
    tax: Cents
    tip: Cents | None
    charged: Cents | None
    merchant_funded_discount: Cents = 0
    provider_funded_discount: Cents = 0
    fees: tuple[Fee, ...] = ()
    ready: Ready = Ready()
    customer_account: Mapping[str, Secret] = field(default_factory=dict)
    cart: Mapping[str, Secret] = field(default_factory=dict)

    @property
    def total(self) -> Cents:
        """``total`` of the wire: the food and the fees (MONEY-3, MONEY-9)."""
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
    ``provider_order_id``: the provider's technical id, for looking the order up.
    ``reference``: our reference as the provider's own answer says it back, never copied from the order: an answer
    without it may be about anybody's order (SUB-8). None only where the adapter declares ``echoes_nothing``.
    ``expected_ready_at``: an aware instant, None where no real estimate was given.
    ``expected_charge``: the cents that the provider was asked to charge, ``charged``: those that it says
    it took; None where that is not known (PAY-4).
    ``duplicates``: provider ids of further orders that the provider holds under the same reference.
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
        """Whether the provider took another amount than it was asked to (PAY-4)."""
        return None not in (self.charged, self.expected_charge) and self.charged != self.expected_charge
