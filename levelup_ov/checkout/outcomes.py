"""What becomes of a charged order when the ledger learns something else about its submission (SUB-5, WEB-5).

What a person recorded may be taken back, and an order may turn out to be another guest's. Then it is open again whether
the provider has the order: it is as before it was submitted, so that the next identical request, or the command,
finishes it. If its charge was given back in the meantime and the provider does have it, it is a person's.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any

from levelup_ov.checkout.attention import event_of
from levelup_ov.checkout.charged_orders import charged_for, key_of
from levelup_ov.checkout.failed_orders import GIVEN_BACK, UNPROVEN, found_placed, without
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

    def follow(self, submission: Submission) -> Callable[[Any, Submission], None] | None:
        """What to do in the transaction in which another outcome of ``submission`` is recorded."""
        charged = charged_for(self._ledger, self._store, submission.id, submission.request_id, submission.order_id)
        orders = [each for each in charged if self._is_of(submission, each)]
        if not orders:
            return None

        def record(cursor: Any, now: Submission) -> None:
            for order in orders:
                self._store.change_within(cursor, order.id, lambda each: _changed(each, now))
                if now.state == "placed" and order.state in GIVEN_BACK:
                    log.error("submitted_and_refunded", extra={"order": order.id, "state": order.state})

        return record

    def _is_of(self, submission: Submission, order: StoredOrder) -> bool:
        found = self._submitted_under(order.provider_location_id or "", key_of(order))
        # Without the secret key of that time, none has its key.
        return not found or submission.id in [each.id for each in found]


def _changed(order: StoredOrder, submission: Submission) -> dict[str, Any]:
    """What to change of an order whose submission is unknown again, or was unknown and is placed."""
    if submission.state == "placed":
        return found_placed(order, submission.answer or "{}") if order.state in GIVEN_BACK else {}
    if order.submitted is None:
        return {}
    if order.state != "submitted":
        return {"submitted": None}
    return {
        "state": "submitting", "submitted": None, "held": None, "called_off_at": None,
        # That was about the order which this one is not.
        "cancellation": None, "operator_case": without(UNPROVEN, order),
    }  # fmt: skip
