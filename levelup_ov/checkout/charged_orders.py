"""Which orders of the ledger web checkout has charged, also for a host on which web checkout is not configured.

A charged order is not canceled without its refund (STAT-6). If nobody makes it, a person must settle it (EVT-8).
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from levelup_ov.checkout.attention import event_of
from levelup_ov.checkout.failed_orders import SETTLE, SUPPORT, made_again, made_unpaid, of_no_meal
from levelup_ov.checkout.store import CheckoutStore, StoredOrder
from levelup_ov.domain.checkout import OrderState
from levelup_ov.domain.failure import Failure
from levelup_ov.domain.money import Cents
from levelup_ov.domain.outcome import Placed
from levelup_ov.ledger.ledger import Ledger
from levelup_ov.ledger.records import Submission, to_ms
from levelup_ov.ledger.statuses import PlacedOrder
from levelup_ov.ordering.outcomes import Settlement

_CANCELS = "POST {} cancels and refunds it"
_INSTEAD: Mapping[OrderState, str] = {
    "submitting": f"it is still being placed; once that is finished, {_CANCELS}",
    "stuck": SUPPORT,
    "settled": "the operator has settled it",
}
"""What to say of a charged order that is to be canceled without its refund, by its state."""

MEAL = "meal"
"""The member of a charge's trace by which its submission to the provider is recognized if that is lost."""

_ENDED = "ended"

log = logging.getLogger(__name__)


def ended(trace: Mapping[str, Any]) -> Mapping[str, Any]:
    """The trace of a charge whose request has ended without its answer, and so has submitted nothing."""
    return {**trace, _ENDED: True}


def is_new(charge: Submission | None, order: StoredOrder) -> bool:
    """Whether nobody has begun to submit an order, by the ledger's row of its charge, and its own.

    Its request has ended without an answer, and nobody has found its charge since, or only the command, which holds no
    lease then.
    """
    if charge is None or not (charge.trace or {}).get(_ENDED):
        return False
    return charge.state == "unknown" or (order.state, order.held) == ("charged", None)


class ChargedOrders:
    """Implements :class:`~levelup_ov.ordering.tracking.PaidOrders`; ``clock`` returns the current time, aware."""

    def __init__(self, ledger: Ledger, clock: Callable[[], datetime]) -> None:
        self._ledger = ledger
        self._store = CheckoutStore(ledger.database, ledger.outbox, event_of)
        self._clock = clock

    def check_not_charged(self, order: PlacedOrder) -> None:
        """:raises Failure: ``cancellation_refused``: web checkout has charged this order, and has not refunded it."""
        for charged in self._ledger.database.run(lambda cursor, _: self._charged(cursor, order)):
            if charged.uuid is not None and charged.state != "refunded":
                # LevelUp's UUID has no hyphens, and may look like a card number, which is masked.
                what = _INSTEAD.get(charged.state, _CANCELS).format(f"/checkout/orders/{charged.id}/cancellation")
                raise Failure("cancellation_refused", f"web checkout charged this order: {what}")

    def called_off(self, cursor: Any, order: PlacedOrder, is_off: bool) -> None:
        """Record this of its charge, which a person must settle then, unless a cancellation was requested here.

        It is not refunded, because a restaurant may void an order and enter it again.
        """
        at = to_ms(self._clock()) if is_off else None
        for charged in self._charged(cursor, order):
            facts = {"order": charged.id, "uuid": charged.uuid}
            now = self._store.change_within(cursor, charged, _called_off(charged, at))
            if now is not None and now.is_called_off:
                log.error("canceled_and_not_refunded", extra={**facts, "remedy": f"refund it, or {SETTLE}"})
            elif now is not None and now.is_made_again:
                log.error("order_needs_settling", extra={**facts, "kind": now.case_kind, "remedy": SETTLE})

    def _charged(self, cursor: Any, order: PlacedOrder) -> list[StoredOrder]:
        return charged_for(cursor, self._ledger, self._store, order.submission, order.request_id, order.order_id)


def charged_for(
    cursor: Any,
    ledger: Ledger,
    store: CheckoutStore,
    submission: str,
    request_id: str | None,
    number: str | int | None,
) -> list[StoredOrder]:
    """The orders of web checkout that made a submission with this id, or turned out to be the same order.

    They are locked, and there are no more of them, until the transaction of ``cursor`` ends.
    """
    ids = ledger.reader.charges_of(cursor, submission)
    orders = (store.locked(cursor, id) for id in (request_id, *ids) if id)
    # A channel may have sent any request id, also that of a charge whose meal it submits itself.
    submitted = (each for each in orders if each and each.is_to_be_submitted)
    return [each for each in submitted if number_of(each) in (None, str(number))]


def _called_off(order: StoredOrder, at: int | None) -> dict[str, Any]:
    """What to change of an order that nobody makes since ``at``, or with None, that is made again.

    A person must settle an order that is made again if it was proven to be canceled: its charge has gone back, or was
    about to.
    """
    if (order.called_off_at is None) == (at is None):
        return {}
    what = of_no_meal(order)
    if at is None and order.state == "refunded":
        what = made_unpaid(order)
    elif at is None and order.is_canceled and order.state in ("submitted", "refunding", "stuck"):
        what = made_again(order, order.operator_case if order.state == "stuck" else None)
    return {"called_off_at": at, "operator_case": what}


def settlement(order: StoredOrder, expected: Cents | None = None) -> Settlement:
    """What the ledger records of a charge, or of what a person has settled: its key charges nothing more."""
    uuid = order.uuid or f"settled {order.id}"
    expected = order.gross if expected is None else expected
    placed = Placed(uuid, uuid, reference=uuid, expected_charge=expected, charged=order.total)
    return Settlement(placed, {"order": order.id})


def number_of(order: StoredOrder) -> str | None:
    """The number that its provider gave to an order; None while it is not submitted."""
    return None if order.submitted is None else str(json.loads(order.submitted)["order_id"])


def key_of(order: StoredOrder) -> str:
    """The idempotency key under which an order is submitted."""
    return f"checkout {order.id}"
