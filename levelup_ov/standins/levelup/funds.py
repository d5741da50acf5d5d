"""What pays for an order, and what it earns. Pure. All amounts are cents."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Program:
    """A merchant's loyalty: ``reward`` for each ``goal`` spent (cents), or for each ``goal`` visits."""

    kind: Literal["spend", "visit"]
    goal: int
    reward: int

    def earned(self, sums: OrderSums) -> int:
        """All credit earned so far."""
        return self._reached(sums) // self.goal * self.reward

    def progress(self, sums: OrderSums) -> int:
        """How far toward the next reward, in the unit of ``goal``."""
        return self._reached(sums) % self.goal

    def _reached(self, sums: OrderSums) -> int:
        return sums.eligible if self.kind == "spend" else sums.visits


@dataclass(frozen=True, slots=True)
class OrderSums:
    """The sums of a user's orders with a merchant, refunded ones left out.

    ``eligible``: spend that earns. ``credit``, ``gift_card``: what was redeemed.
    """

    visits: int = 0
    spend: int = 0
    eligible: int = 0
    credit: int = 0
    gift_card: int = 0


@dataclass(frozen=True, slots=True)
class Funds:
    """What a user can pay with at a merchant.

    ``credit``: merchant-funded, a discount to the merchant's check. ``gift_card``: of this merchant.
    ``global_credit``: of the platform, which pays the merchant for it. ``chargeable``: there is a card and it
    is not declined.
    """

    credit: int
    gift_card: int
    global_credit: int
    chargeable: bool


@dataclass(frozen=True, slots=True)
class FundsSplit:
    """``spend + tip == discount + gift_card + global_credit + card``; ``gift_card_tip`` is part of ``gift_card``."""

    spend: int
    tip: int
    discount: int
    gift_card: int
    gift_card_tip: int
    global_credit: int
    card: int


def available(granted: int, earned: int, redeemed: int, expired: int = 0) -> int:
    """Credit left. A refund takes earned credit back that may be gone: the debt is what is earned next.

    ``expired`` is a part of ``granted``; what was redeemed was that first.
    """
    return max(0, granted - expired + earned - max(0, redeemed - expired))


def pay(spend: int, tip: int, discount: int, funds: Funds, *, partial: bool) -> FundsSplit | None:
    """Credit first, then gift card, then global credit; the card pays the rest.

    ``partial``: without a card that can be charged, pay as much as the rest allows. None: it cannot be paid.
    """
    stored = discount + funds.gift_card + funds.global_credit
    if spend + tip > stored and not funds.chargeable:
        if not partial or not stored:
            return None
        spend = min(spend, stored)
        tip = min(tip, stored - spend)
    due = spend + tip - discount
    gift_card = min(funds.gift_card, due)
    global_credit = min(funds.global_credit, due - gift_card)
    return FundsSplit(
        spend,
        tip,
        discount,
        gift_card,
        max(0, gift_card - (spend - discount)),
        global_credit,
        due - gift_card - global_credit,
    )
