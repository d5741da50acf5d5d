"""Which amounts to send to LevelUp for a check. Pure; all amounts are cents.

A check has the amounts that a site knows of its order. LevelUp needs to know which part of the payment is tax and
which is exempt, and so which part can get a discount and earns loyalty.
"""

from __future__ import annotations

from dataclasses import dataclass

from levelup_ov.domain.checkout import OrderAmounts
from levelup_ov.domain.failure import Failure
from levelup_ov.domain.money import Cents, is_cents


@dataclass(frozen=True, slots=True)
class Amounts:
    """The amounts to send. ``spend`` includes ``tax``, ``exemption`` and the discount."""

    spend: Cents
    tax: Cents
    exemption: Cents

    @property
    def discountable(self) -> Cents:
        """The largest possible discount: sales tax is paid in full, whatever credit is redeemed."""
        return max(0, self.spend - self.tax - self.exemption)


def calculate(outstanding: int, tax: int, exemption: int, payment: int, applied_discount: int = 0) -> Amounts:
    """The amounts for ``payment`` toward a check with ``outstanding`` left after ``applied_discount``.

    A payment covers first what earns, then what is exempt, and finally the tax. Numbers out of range are clamped;
    :func:`check_amounts` refuses them before.
    """
    outstanding += abs(applied_discount)
    payment = _clamp(payment, outstanding)
    tax = _clamp(tax, outstanding)
    exemption = _clamp(exemption, outstanding - tax)
    subtotal = outstanding - tax
    earning = subtotal - exemption
    return Amounts(
        spend=payment,
        tax=tax if payment >= outstanding else max(0, payment - subtotal),
        exemption=exemption if payment >= subtotal else max(0, payment - earning),
    )


def proposed(check: OrderAmounts) -> Amounts:
    """The amounts of the proposed order."""
    return calculate(check.outstanding, check.tax, check.exemption, check.payment)


def completed(check: OrderAmounts, discount: Cents) -> Amounts:
    """The amounts of the completed order, after ``discount`` and the tax that it saves are subtracted."""
    tax = check.tax if check.tax_after_discount is None else check.tax_after_discount
    outstanding = check.outstanding - discount - (check.tax - tax)
    return calculate(outstanding, tax, check.exemption, check.payment, discount)


def check_amounts(check: OrderAmounts, discount: Cents | None) -> None:
    """Refuse contradictory amounts, before calling anybody.

    :raises Failure: ``amounts_do_not_add_up``, ``discount_too_large``.
    """
    if check.outstanding == 0 or check.payment == 0:
        _refuse("there is nothing to pay", "outstanding_amount" if check.outstanding == 0 else "payment_amount")
    if check.tax > check.outstanding:
        _refuse(f"{check.tax} cents of tax in {check.outstanding} outstanding", "tax_amount")
    if check.exemption > check.outstanding - check.tax:
        rest = check.outstanding - check.tax
        _refuse(f"{check.exemption} cents exempt of {rest} outstanding without tax", "exemption_amount")
    if check.payment > check.outstanding:
        _refuse(f"{check.payment} cents are to be paid out of {check.outstanding} outstanding", "payment_amount")
    if not is_cents(check.payment + check.tip):
        _refuse(f"{check.payment} cents and a tip of {check.tip} are more than can be charged", "tip_amount")
    after = check.tax_after_discount
    if after is not None and discount is None:
        _refuse("the tax after the discount needs the discount", "discount_amount")
    if after is not None and after > check.tax:
        _refuse(f"{after} cents of tax after the discount, {check.tax} before", "tax_amount_after_discount")
    if after is not None and after < check.tax and not discount:
        _refuse("without a discount, the tax cannot change", "tax_amount_after_discount")
    if discount is not None and discount > (most := proposed(check).discountable):
        raise discount_too_large(discount, most)


def applied_discount(check: OrderAmounts, wanted: Cents | None, offered: Cents) -> Cents:
    """The discount to apply: ``wanted``, or everything that LevelUp ``offered``.

    :raises Failure: ``discount_too_large``: more is wanted than offered.
    """
    if wanted is not None and wanted > offered:
        raise discount_too_large(wanted, offered)
    return min(offered if wanted is None else wanted, proposed(check).discountable)


def discount_too_large(discount: Cents, most: Cents) -> Failure:
    """The failure for a discount that is too large for the order, or that LevelUp does not offer."""
    message = f"a discount of {discount} cents was requested, {most} can be applied"
    return Failure("discount_too_large", message, path="$.order.discount_amount")


def _refuse(message: str, member: str) -> None:
    raise Failure("amounts_do_not_add_up", message, path=f"$.order.{member}")


def _clamp(amount: int, most: int) -> int:
    return max(0, min(amount, most))
