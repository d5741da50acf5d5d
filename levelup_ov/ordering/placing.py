"""The call of an adapter that places an order, whose refusal counts only if the provider has no such order (SUB-8)."""

from __future__ import annotations

import logging

from levelup_ov.adapter import Adapter
from levelup_ov.domain.order import Order
from levelup_ov.domain.outcome import Placed
from levelup_ov.domain.tender import Tender
from levelup_ov.errors import ReferenceFenced, Refused, broken_protocol
from levelup_ov.transport.session import Session

log = logging.getLogger(__name__)


def place_order(adapter: Adapter, order: Order, tender: Tender, session: Session) -> Placed:
    """Place an order; the order itself, if the placing call was refused and the provider has it all the same.

    A network may deliver a call twice, and only one answer comes back. If that one is a refusal, the other delivery may
    have placed the order, and is looked for once. Or it is still to come: a provider that can be made to refuse it is.

    :raises levelup_ov.errors.Refused: nothing was placed.
    :raises levelup_ov.domain.failure.Failure: as :meth:`~levelup_ov.adapter.Adapter.submit_order`.
    """
    try:
        return adapter.submit_order(order, tender, session)
    except Refused as refusal:
        is_proof = refusal.proof and not session.placement.is_unanswered
        # A provider with recovery = "replay" promises the same answer for the same key.
        if not (session.placing and is_proof) or adapter.recovery != "look_up":
            raise
        facts = {"account": adapter.account.name, "reference": order.reference, "cause": refusal.code}
        if adapter.fences and not isinstance(refusal, ReferenceFenced):
            _fence_order(adapter, order, session)
        placed = _find_order(adapter, order, session)
        if placed is None:
            raise
        log.warning("refused_order_was_placed", extra=facts)
        return placed


def _fence_order(adapter: Adapter, order: Order, session: Session) -> None:
    """Have the provider refuse another delivery (SUB-10). Without that, the refusal does not count."""
    hurried = session.within(session.deadline.remaining() / 2, "fence")
    try:
        adapter.fence_order(order.location, order.reference or "", session.placement.trace or {}, hurried)
    except Refused as refusal:
        raise broken_protocol(f"the provider refuses to fence an order that it refused: {refusal.message}") from None


def _find_order(adapter: Adapter, order: Order, session: Session) -> Placed | None:
    try:
        return adapter.find_order(order.location, order.reference or "", session.placement.trace or {}, session)
    except Refused as refusal:
        # Of the look-up: it says nothing about the order.
        raise broken_protocol(f"the provider refuses to look up an order that it refused: {refusal.message}") from None
