"""The amounts of an order: which part of a payment is tax, which is exempt, and how much credit it can take.

Pure. All amounts are cents.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Amounts:
    """``spend`` holds ``tax``; ``exemption`` is the part of it that earns nothing and takes no credit."""

    spend: int
    tax: int
    exemption: int

    @property
    def eligible(self) -> int:
        """The part that takes credit and earns loyalty."""
        return max(0, self.spend - self.tax - self.exemption)

    @property
    def add_up(self) -> bool:
        """Whether the calculator leaves them as they are: tax within spend, exemption within the rest."""
        return calculate(self.spend, self.tax, self.exemption, self.spend) == self


def calculate(outstanding: int, tax: int, exemption: int, payment: int, applied_discount: int = 0) -> Amounts:
    """The amounts to send for ``payment`` toward a check with ``outstanding``, tax included, left to pay.

    ``applied_discount`` is already subtracted from ``outstanding``, whatever its sign; 0 for a proposal. The
    payment covers first what earns, then what is exempt, and finally the tax.
    """
    outstanding += abs(applied_discount)
    payment = _within(payment, outstanding)
    tax = _within(tax, outstanding)
    exemption = _within(exemption, outstanding - tax)
    untaxed = outstanding - tax
    earning = untaxed - exemption
    return Amounts(
        payment,
        tax if payment >= outstanding else max(0, payment - untaxed),
        exemption if payment >= untaxed else max(0, payment - earning),
    )


def discount(amounts: Amounts, credit: int) -> int:
    """How much of ``credit`` an order takes. Sales tax is paid in full, whatever credit is redeemed."""
    return min(credit, amounts.eligible)


def _within(amount: int, limit: int) -> int:
    return max(0, min(amount, limit))
