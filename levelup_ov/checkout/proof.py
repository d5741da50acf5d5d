"""What an answer from LevelUp proves about money, and what it does not. Pure; amounts are cents.

A status alone proves nothing. A charge is proven by a UUID and the requested amounts; a refund by the requested UUID,
a time and the whole amount; and "not charged" only by the refusals that LevelUp documents. Everything else leaves the
outcome unknown.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from levelup_ov.domain.money import Cents

UUID = re.compile(r"[0-9A-Za-z_-]{1,64}")
"""The form of LevelUp's UUIDs, which become part of URLs."""
_HEXADECIMAL = re.compile(r"[0-9A-Fa-f]{8}(-?[0-9A-Fa-f]{4}){3}-?[0-9A-Fa-f]{12}")
MADE_BEFORE = timedelta(days=1)
"""How much older than a charge an order of the user's is that cannot be this charge, whatever the clocks say."""
CURRENCY = "USD"
"""LevelUp's amounts name no currency; the platform charges only in the United States."""


@dataclass(frozen=True, slots=True)
class Charge:
    """A completed order; ``total`` is spend and tip, before the discount."""

    uuid: str
    spend: Cents
    tip: Cents
    total: Cents
    gift_card_total: Cents = 0
    gift_card_tip: Cents = 0


@dataclass(frozen=True, slots=True)
class PastOrder:
    """An order as LevelUp shows it later. ``card``, ``credit_applied``: how it was paid, if its user may read that."""

    uuid: str
    created_at: datetime
    location_id: int | None
    spend: Cents
    tip: Cents
    total: Cents
    refunded_at: datetime | None
    card: Cents | None = None
    credit_applied: Cents | None = None

    @property
    def given(self) -> Cents:
        """What went back of a refunded order: the smaller one, where its amounts do not add up."""
        return min(self.total, self.spend + self.tip)


@dataclass(frozen=True, slots=True)
class UnreadOrder:
    """An order of a user's history that cannot be read. ``uuid``: its own, or one that is made of all that it says.

    ``location_id``, ``created_at``: None if not known. Whether it was refunded is not known.
    """

    uuid: str
    location_id: int | None
    created_at: datetime | None = None
    refunded_at: None = None


@dataclass(frozen=True, slots=True)
class DocumentedRefusal:
    """A refusal that LevelUp documents. An empty member means an error without it.

    ``again``: whether, as the answer to completing an order *again*, it also proves that it was not completed before.
    This is our decision, because LevelUp's pages do not say: a completed order is answered again, whatever has
    happened to the card and the credit since.
    """

    status: int
    objects: tuple[str, ...]
    properties: tuple[str, ...]
    source: str
    again: bool = False


_ORDERS = ("order", "completed_order")
_TOKENS = ("access_token", "order", "completed_order", "")
NOT_CHARGED: Sequence[DocumentedRefusal] = (
    DocumentedRefusal(422, _ORDERS, ("base",), "orders page: the card cannot be charged", again=True),
    DocumentedRefusal(422, _ORDERS, ("applied_discount_amount",), "completed orders page; form decided", again=True),
    DocumentedRefusal(401, _TOKENS, ("user_token", "merchant_token"), "orders page: not_authorized"),
    DocumentedRefusal(404, _ORDERS, ("location_id",), "orders page: not_found"),
    DocumentedRefusal(
        422, _ORDERS,
        (
            "location_id", "identifier_from_merchant", "spend_amount", "tax_amount", "tip_amount", "exemption_amount",
            "items", "cashier", "register", "receipt_message_html",
        ),
        "conventions: a member is not valid",
    ),
)  # fmt: skip
"""Answers that prove that completing an order charged nothing, if only one attempt was sent."""

RefundRefusal = Literal["not_refundable", "unknown_order", "manager"]
_REFUND: Sequence[tuple[DocumentedRefusal, RefundRefusal]] = (
    (
        DocumentedRefusal(422, ("order",), ("base",), "refund page: already refunded, or never succeeded"),
        "not_refundable",
    ),
    (DocumentedRefusal(404, ("",), ("",), "refund page: an empty body where the order is unknown"), "unknown_order"),
    (DocumentedRefusal(422, ("refund",), ("manager_confirmation",), "refund page"), "manager"),
)


def one_case(uuid: str) -> str:
    """A UUID in lower case, because its letter case makes no difference (RFC 9562); other ids as they are."""
    return uuid.lower() if _HEXADECIMAL.fullmatch(uuid) else uuid


def proves_no_charge(status: int, named: Sequence[tuple[str, str]], *, again: bool) -> bool:
    """Whether a refusal proves that nothing was charged; ``again``: it answers a repetition of an earlier attempt.

    ``named``: object and property of each of its errors.
    """
    counting = [each for each in NOT_CHARGED if each.again or not again]
    return all(any(_matches(each, status, *names) for each in counting) for names in named)


def refund_refusal(status: int, named: Sequence[tuple[str, str]]) -> RefundRefusal | None:
    """The meaning of a refused refund, ``named`` as above; None if LevelUp does not document it."""
    kinds = {next((kind for each, kind in _REFUND if _matches(each, status, *names)), None) for names in named}
    return kinds.pop() if len(kinds) == 1 else None


def _matches(refusal: DocumentedRefusal, status: int, object: str, property: str) -> bool:
    return status == refusal.status and object in refusal.objects and property in refusal.properties


def differences(charge: Charge, spend: Cents, tip: Cents) -> list[str]:
    """The members of an answer that differ from the request; empty: it is the requested charge."""
    checks = {
        "uuid": (UUID.fullmatch(charge.uuid) is not None, "is none"),
        "spend_amount": (charge.spend == spend, f"is {charge.spend}, {spend} was requested"),
        "tip_amount": (charge.tip == tip, f"is {charge.tip}, {tip} was requested"),
        "total_amount": (charge.total == spend + tip, f"is {charge.total}, {spend + tip} was requested"),
        "gift_card_total_amount": (charge.gift_card_total <= spend + tip, f"is {charge.gift_card_total}"),
        "gift_card_tip_amount": (charge.gift_card_tip <= charge.gift_card_total, f"is {charge.gift_card_tip}"),
    }
    return [f"{member} {what}" for member, (right, what) in checks.items() if not right]


def may_be_ours(history: Iterable[PastOrder | UnreadOrder], *, location_id: int) -> list[PastOrder | UnreadOrder]:
    """The orders of a user that may be our charge: at the same location, and not refunded.

    No documented member of a history links an order to a proposal. Amounts are not compared, because LevelUp may have
    charged different ones, and times are not, because its clock may differ from ours.
    """
    return [each for each in history if each.location_id in (location_id, None) and each.refunded_at is None]


def may_be_since(history: Iterable[PastOrder | UnreadOrder], since: datetime) -> list[PastOrder | UnreadOrder]:
    """The orders of a history that may have been made since then."""
    return [each for each in history if each.created_at is None or each.created_at >= since - MADE_BEFORE]


def may_be_a_copy(
    history: Iterable[PastOrder | UnreadOrder],
    location_id: int,
    spend: Cents,
    tip: Cents,
    since: datetime,
    until: datetime,
) -> list[PastOrder]:
    """The orders of a user that may be a copy of a charge that LevelUp has refused, made between these times.

    A copy is the same call, so it charges the same amounts. Nothing is known to be wrong, unlike where a charge was not
    answered: a meal at the counter must not look like it.
    """
    read = [each for each in may_be_ours(history, location_id=location_id) if isinstance(each, PastOrder)]
    return [each for each in read if (each.spend, each.tip) == (spend, tip) and since <= each.created_at <= until]
