"""How LevelUp pays for an order (PAY-1, PAY-2)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from levelup_ov.domain.secret import Secret

TenderKind = Literal["levelup", "credit_card"]


@dataclass(frozen=True, slots=True)
class LevelUp:
    """LevelUp as tender: the provider marks the order as paid with LevelUp (PAY-1)."""

    kind: ClassVar[TenderKind] = "levelup"


@dataclass(frozen=True, slots=True)
class CreditCard:
    """A single-use card, passed through the provider's ordinary card flow (PAY-2)."""

    kind: ClassVar[TenderKind] = "credit_card"

    number: Secret
    cvv: Secret
    expiration_month: str
    """``01`` to ``12``"""
    expiration_year: str
    """four digits"""
    zip: str
    name: str | None = None


Tender = LevelUp | CreditCard
