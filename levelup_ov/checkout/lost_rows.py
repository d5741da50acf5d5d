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
from typing import Any

from levelup_ov.checkout.charged_orders import settlement
from levelup_ov.checkout.failed_orders import SETTLE, case, problem
from levelup_ov.checkout.leases import Leases
from levelup_ov.checkout.store import LOOKS, CheckoutStore, StoredOrder
from levelup_ov.domain.checkout import OrderState
from levelup_ov.domain.failure import Failure
from levelup_ov.ledger.engine import LedgerUnavailable
from levelup_ov.ledger.records import Submission, Superseded, to_ms
from levelup_ov.ordering.attempts import SubmissionKey
from levelup_ov.ordering.submissions import Submissions

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

    def key_of(self, order: StoredOrder) -> SubmissionKey | None:
        """The key of the charge of an order, for somebody who did not charge it; None if the ledger has it no more.

        The names that it has in the ledger are digests, which are enough to write it again.
        """
        with suppress(LedgerUnavailable):
            ledger = self._submissions.ledger
            row, named = ledger.reader.show(order.id), ledger.reader.identities_of(order.id)
            if row is not None and named:
                return SubmissionKey(
                    row.account, row.location, named, row.content, row.request_id, now=row.received_at, alike=row.alike
                )
        return None

    def keep(self, order: StoredOrder, key: SubmissionKey | None = None) -> bool:
        """Write ``order`` again as its caller has it, if the database has lost that; returns whether it had.

        ``key``: that of its charge. If another charge has it by now, or it is not known, the order is written as one
        whose charge has to go back.
        """
        is_held = not self._leases.has_ended(order.held)

        def is_lost(now: StoredOrder | None) -> bool:
            return now is None or is_held and _is_earlier(now, order)

        if not is_lost(self._store.order(order.id)):
            return False
        log.error("submission_restored_to_ledger", extra={"submission": order.id})

        # What it was read as may have changed since: somebody else may have written it again, and continued.
        def known(now: StoredOrder | None) -> StoredOrder | None:
            return order if is_lost(now) else None

        def given_back(now: StoredOrder | None) -> StoredOrder | None:
            return self._given_back(order) if is_lost(now) else None

        if key is None:
            return self._store.put(order.id, lambda now: given_back(now) if now is None else known(now)) is not None
        charged = None if order.uuid is None else settlement(order)

        def also(cursor: Any) -> None:
            self._store.put_within(cursor, order.id, known)

        trace = {"proposed_order_uuid": order.proposed_uuid}
        try:
            self._submissions.restore(key, order.id, charged, also, trace)
        except Superseded as superseded:
            self._store.put(order.id, given_back)
            if order.uuid is not None:
                other = superseded.submission and superseded.submission.id
                log.error("two_charges_for_one_order", extra={"order": order.id, "uuid": order.uuid, "other": other})
        return True

    def changed(
        self, order: StoredOrder, key: SubmissionKey | None, change: Callable[[], StoredOrder | None]
    ) -> StoredOrder | None:
        """What ``change`` returns of ``order``; if that is None because the row is lost, once more on the kept row.

        For ``key`` see :meth:`keep`.
        """
        done = change()
        if done is None and self.keep(order, key):
            done = change()
        return done

    def keep_charge(self, order: StoredOrder, key: SubmissionKey) -> None:
        """Write the charge of an order into the ledger again, if it has lost it: ``key`` charges nothing more."""
        if self._submissions.ledger.reader.show(order.id) is not None:
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
        return self._store.put(order.id, lambda now: order if now is None else None) is not None

    def open_case(self, submission: Submission, order: StoredOrder) -> StoredOrder:
        """Store what is known of an ``order`` of whose charge only the ledger's row is left: it may stand."""
        what = case("charge_unproven", "it is unknown whether this was charged: the database has lost its record")
        trace = submission.trace or {}
        order = replace(
            order, id=submission.id, proposed_uuid=str(trace.get("proposed_order_uuid", "")), body=None,
            sent=self._leases.new(), operator_case=what,
        )  # fmt: skip
        found: StoredOrder | None = None

        def write(now: StoredOrder | None) -> StoredOrder | None:
            nonlocal found
            found = now
            # Somebody else may have written it again, and know more of it.
            return order if now is None or now.state == "charging" and not now.user else None

        if self._store.put(order.id, write) is None:
            assert found is not None
            return found
        if found is None:
            self._store.report(order, order.case_kind)
        facts = {"order": order.id, "uuid": None, "kind": order.case_kind, "remedy": SETTLE}
        log.error("order_needs_settling", extra=facts)
        return order

    def _given_back(self, order: StoredOrder) -> StoredOrder:
        """``order`` as one whose charge has to go back, or if none is known, is looked for."""
        if order.state == "charging":
            look_at = to_ms(self._clock()) + LOOKS[0] // timedelta(milliseconds=1)
            return replace(order, state="not_charged", looks=0, look_at=look_at, held=None)
        if order.state in ("charged", "submitting", "submitted"):
            return replace(order, state="refunding", problem=problem(_GOES_BACK), held=None, look_at=None)
        return order


def _is_earlier(now: StoredOrder, order: StoredOrder) -> bool:
    """Whether the database has gone back: what it has is older than what the holder of the lease has."""
    return now.state in _STEPS and order.state in _STEPS and _STEPS.index(now.state) < _STEPS.index(order.state)
