"""Orders whose rows the database loses while they are processed, as a copy that lacks the last changes does.

Whoever processes such an order writes it again, together with its charge in the ledger: nobody else knows any more that
something was charged. The charge has to go back if another one was made for the same order in the meantime.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta

from levelup_ov.checkout.charged_orders import settlement
from levelup_ov.checkout.failed_orders import SETTLE, case, problem
from levelup_ov.checkout.leases import Leases
from levelup_ov.checkout.store import LOOKS, CheckoutStore, StoredOrder
from levelup_ov.domain.checkout import OrderState
from levelup_ov.domain.failure import Failure
from levelup_ov.ledger.records import Submission, Superseded, to_ms
from levelup_ov.ordering.submissions import SubmissionKey, Submissions

_STEPS: tuple[OrderState, ...] = ("charging", "charged", "submitting", "submitted", "refunding")
"""The states of an order in their sequence: while a request has its lease, none but this request goes back."""
_GOES_BACK = Failure("charge_refunded", "this charge was lost, and another one may stand for the same order")

log = logging.getLogger(__name__)


class LostRows:
    """Writes orders again; ``clock`` returns the current time, aware."""

    def __init__(
        self, store: CheckoutStore, submissions: Submissions, leases: Leases, clock: Callable[[], datetime]
    ) -> None:
        self._store = store
        self._submissions = submissions
        self._leases = leases
        self._clock = clock

    def keep(self, order: StoredOrder, key: SubmissionKey | None = None) -> bool:
        """Write ``order`` again as its caller has it, if the database has lost that; returns whether it had.

        ``key``: that of its charge. If another charge has it by now, or it is not known, the order is written as one
        whose charge has to go back.
        """
        now = self._store.order(order.id)
        if now is not None and not self._is_earlier(now, order):
            return False
        log.error("submission_restored_to_ledger", extra={"submission": order.id})
        if key is None:
            self._store.put(order if now is not None else self._given_back(order))
            return True
        charged = None if order.uuid is None else settlement(order)
        try:
            self._submissions.restore(
                key, order.id, charged, lambda cursor: self._store.put_within(cursor, order),
                trace={"proposed_order_uuid": order.proposed_uuid},
            )  # fmt: skip
        except Superseded as superseded:
            self._store.put(self._given_back(order))
            if order.uuid is not None:
                other = superseded.submission and superseded.submission.id
                log.error("two_charges_for_one_order", extra={"order": order.id, "uuid": order.uuid, "other": other})
        return True

    def keep_charge(self, order: StoredOrder, key: SubmissionKey) -> None:
        """Write the charge of an order into the ledger again, if it has lost it: ``key`` charges nothing more."""
        if self._submissions.ledger.show(order.id) is not None:
            return
        log.error("submission_restored_to_ledger", extra={"submission": order.id})
        with suppress(Superseded):
            self._submissions.restore(
                key, order.id, settlement(order), lambda _: None,
                trace={"proposed_order_uuid": order.proposed_uuid},
            )  # fmt: skip

    def keep_submitted(self, order: StoredOrder) -> bool:
        """Write an order again as its caller has it, if the database has lost it; returns whether it had.

        For an order that is canceled, or is not: that says what becomes of its charge, whatever else was made for it.
        """
        if self._store.order(order.id) is not None:
            return False
        log.error("submission_restored_to_ledger", extra={"submission": order.id})
        self._store.put(order)
        return True

    def open_case(self, submission: Submission, order: StoredOrder) -> StoredOrder:
        """Store what is known of an ``order`` of whose charge only the ledger's row is left: it may stand."""
        what = case("charge_unproven", "it is unknown whether this was charged: the database has lost its record")
        trace = submission.trace or {}
        order = replace(
            order, id=submission.id, proposed_uuid=str(trace.get("proposed_order_uuid", "")), body=None,
            sent=self._leases.new(), operator_case=what,
        )  # fmt: skip
        is_new = self._store.order(order.id) is None
        self._store.put(order)
        if is_new:
            self._store.report(order, order.case_kind)
        facts = {"order": order.id, "uuid": None, "kind": order.case_kind, "remedy": SETTLE}
        log.error("order_needs_settling", extra=facts)
        return order

    def _is_earlier(self, now: StoredOrder, order: StoredOrder) -> bool:
        """Whether the database has gone back: what it has is older than what the holder of the lease has."""
        if now.state not in _STEPS or order.state not in _STEPS or self._leases.has_ended(order.held):
            return False
        return _STEPS.index(now.state) < _STEPS.index(order.state)

    def _given_back(self, order: StoredOrder) -> StoredOrder:
        """``order`` as one whose charge has to go back, or if none is known, is looked for."""
        if order.state == "charging":
            look_at = to_ms(self._clock()) + LOOKS[0] // timedelta(milliseconds=1)
            return replace(order, state="not_charged", looks=0, look_at=look_at, held=None)
        if order.state in ("charged", "submitting", "submitted"):
            return replace(order, state="refunding", problem=problem(_GOES_BACK), held=None, look_at=None)
        return order
