"""What becomes of a charged order when the ledger learns something else about its submission (SUB-5, WEB-5).

What a person recorded may be taken back, and an order may turn out to be another guest's. Then it is unknown again
whether the provider has the order. It is as before it was submitted, so that the next identical request or the command
finishes it. If the provider has it and its charge was to be given back in the meantime, a person must settle it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from levelup_ov.checkout.attention import event_of
from levelup_ov.checkout.charged_orders import charged_for, key_of
from levelup_ov.checkout.failed_orders import found_placed, unplaced
from levelup_ov.checkout.store import CheckoutStore, StoredOrder
from levelup_ov.ledger.ledger import Ledger
from levelup_ov.ledger.records import Submission

log = logging.getLogger(__name__)


class SubmittedOrders:
    """Follows the submissions of charged orders in ``ledger``, also for a host without web checkout.

    ``submitted_under`` returns the submissions to a location under a key.
    """

    def __init__(self, ledger: Ledger, submitted_under: Callable[[str, str], Sequence[Submission]]) -> None:
        self._store = CheckoutStore(ledger.database, ledger.outbox, event_of)
        self._ledger = ledger
        self._submitted_under = submitted_under

    def follow(self, submission: Submission) -> Callable[[Any, Submission], None]:
        """What to do in the transaction in which another outcome of ``submission`` is recorded."""
        own = submission.request_id if self._is_own(submission) else None

        def record(cursor: Any, now: Submission) -> None:
            for order in charged_for(cursor, self._ledger, self._store, submission.id, own, submission.order_id):
                done = self._store.change_within(cursor, order, _changed(order, now))
                if done is not None and now.state == "placed":
                    log.error("submitted_and_refunded", extra={"order": order.id, "state": order.state})

        return record

    def _is_own(self, submission: Submission) -> bool:
        """Whether its request was that of a charge: a channel may have sent any request id."""
        order = submission.request_id and self._store.order(submission.request_id)
        if not order:
            return False
        found = self._submitted_under(order.provider_location_id or "", key_of(order))
        # Without the secret key of that time, nothing is found under its key.
        return not found or submission.id in [each.id for each in found]


def _changed(order: StoredOrder, submission: Submission) -> Mapping[str, Any]:
    """What to change of an order whose submission is unknown again, or was unknown and is placed."""
    if submission.state == "placed":
        return found_placed(order, submission.answer or "{}")
    if order.submitted is None:
        return {}
    if order.state != "submitted":
        return {"submitted": None}
    return unplaced(order)
