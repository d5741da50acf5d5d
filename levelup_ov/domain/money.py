"""Exact money: integer cents in and out (MONEY-1), decimals only at the edge to a provider."""

from __future__ import annotations

from decimal import Context, Decimal, Inexact

Cents = int
"""An amount in cents, 0 to :data:`MAX_CENTS`."""

MAX_CENTS = 99_999_999

WITHOUT_CENTS = frozenset(
    # No smaller unit at all; then thousandths, and more.
    "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF BHD IQD JOD KWD LYD OMR TND CLF UYW".split()
)
"""The currencies whose smallest unit is not a hundredth (ISO 4217, list one of 2024). For a provider that counts in
smallest units their amounts would be wrong by a factor of 10 or 100."""
_BASIS = 10_000
_CENT = Decimal("0.01")
_EXACT = Context(prec=28, traps=[Inexact])


def is_cents(value: object) -> bool:
    """Whether ``value`` is an amount of the contract: an ``int`` (no ``bool``) within range (MONEY-1)."""
    return type(value) is int and 0 <= value <= MAX_CENTS


def percentage(amount: Cents, basis_points: int) -> Cents:
    """``basis_points`` hundredths of a percent of ``amount``, half a cent rounded up (700 = 7 %)."""
    return (amount * basis_points * 2 + _BASIS) // (2 * _BASIS)


def to_decimal(amount: Cents) -> Decimal:
    """``amount`` in whole currency units with two places, for providers that use dollars."""
    return Decimal(amount).scaleb(-2)


def from_decimal(amount: Decimal | int) -> Cents:
    """Cents of an amount in whole currency units.

    :raises ValueError: it is not finite, holds a fraction of a cent, or is out of range.
    """
    value = Decimal(amount)
    if not value.is_finite():
        raise ValueError(f"{amount} is not an amount of money")
    # Check the range first: arithmetic overflows with an exponent that a provider chose, a comparison does not.
    if not 0 <= value <= to_decimal(MAX_CENTS):
        raise ValueError(f"{amount} is out of range")
    try:
        return int(value.quantize(_CENT, context=_EXACT).scaleb(2))
    except Inexact:
        raise ValueError(f"{amount} holds a fraction of a cent") from None
