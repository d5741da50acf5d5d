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

    @property
    def single_use(self) -> Secret | None:
        """What no other order can be paid with (SUB-3); None: it pays for many."""
        return None

    @property
    def secrets(self) -> tuple[Secret, ...]:
        """What must not appear in any text."""
        return ()


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

    @property
    def single_use(self) -> Secret | None:
        """See :attr:`LevelUp.single_use`."""
        return self.number

    @property
    def secrets(self) -> tuple[Secret, ...]:
        """See :attr:`LevelUp.secrets`."""
        return (self.number, self.cvv)


Tender = LevelUp | CreditCard
