"""Canceling: the order at its provider first, the refund after the proof, also if it is interrupted (STAT-6, STAT-7).

Before a provider is asked to cancel an order, the order's row says so. If the request ends there, the row remains, and
``checkout reconcile`` asks for the order's status once no request can be under way any more.
"""

from __future__ import annotations

import json
import logging
from contextlib import suppress
from dataclasses import asdict, dataclass

from levelup_ov.checkout.failed_orders import in_progress
from levelup_ov.checkout.leases import Leases
from levelup_ov.checkout.refunds import Refunds
from levelup_ov.checkout.store import CheckoutStore, StoredOrder
from levelup_ov.checkout.submitting import key_of
from levelup_ov.domain.failure import Failure
from levelup_ov.domain.status import CALLED_OFF
from levelup_ov.ledger.engine import LedgerUnavailable
from levelup_ov.ordering.service import RequestContext, Service
from levelup_ov.ordering.tracking import cancellation_unknown

MOST_REFUND_KEYS = 20
"""The most keys under which one refund may be requested and later replayed."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Cancellation:
    """A cancellation whose charge is not refunded yet.

    ``asked``: digests of the key under which a site asked for it, and of the body, as in an order's ``refund_key``.
    ``mark``: when the provider was last asked to cancel the order, as :class:`levelup_ov.checkout.leases.Leases` makes
    it; None: the order's status has proven that it is canceled.
    """

    asked: str
    mark: str | None = None

    def stored(self) -> str:
        """The form in which it is stored with its order."""
        return json.dumps(asdict(self))


class Canceler:
    """Cancels submitted orders at their providers."""

    def __init__(self, store: CheckoutStore, service: Service, refunds: Refunds, leases: Leases) -> None:
        self._store = store
        self._service = service
        self._refunds = refunds
        self._leases = leases

    def cancel(self, order: StoredOrder, asked: str, context: RequestContext) -> None:
        """Cancel an order at its provider; ``asked`` is as in :class:`Cancellation`.

        :raises Failure: it is not known to be canceled.
        """
        begun: StoredOrder | None = None

        def begin() -> None:
            nonlocal begun
            # Otherwise it is known already what becomes of the charge.
            if order.state == "submitted":
                values = {"cancellation": Cancellation(asked, self._leases.new()).stored()}
                if (begun := self._store.change_cancellation(order, values)) is None:
                    raise in_progress("another request is processing this order")

        try:
            self._service.cancel_order(*_place(order), context, begin=begin)
        except Failure as failure:
            # An earlier request may still be under way; whether that one cancels the order is not known yet.
            if begun and order.cancellation is None and failure.code != "cancellation_unknown":
                with suppress(LedgerUnavailable):
                    self._store.change_cancellation(begun, {"cancellation": None})
            raise

    def is_under_way(self, order: StoredOrder) -> bool:
        """Whether a provider may just be canceling the order for somebody."""
        begun = _cancellation_of(order)
        return begun is not None and not self._leases.has_ended(begun.mark)

    def finish(self, order: StoredOrder, context: RequestContext) -> StoredOrder:
        """Find out what became of a cancellation that was begun, and refund the order if it is canceled.

        :raises Failure: it is not known, or the refund failed.
        """
        begun = _cancellation_of(order)
        if begun is None or self.is_under_way(order) or (taken := self._leases.take(order)) is None:
            raise in_progress("another request is processing this order")
        try:
            status = self._service.order_status(*_place(order), context)
            if status.status is None:
                raise cancellation_unknown(f"the order's status is {status.provider_status}")
        except BaseException:
            self._refunds.release(taken)
            raise
        is_canceled = status.status in CALLED_OFF
        facts = {"order": order.id, "stage": status.status}
        if not is_canceled:
            log.info("interrupted_cancellation_not_made", extra=facts)
            done = self._store.change_cancellation(taken, {"cancellation": None, "held": None})
            if done is None:
                raise in_progress("another request is processing this order")
            return done
        values = {"state": "refunding", "held": self._leases.new(), **proven(order, begun.asked)}
        refunding = self._store.change_order(order.id, ("submitted",), held=taken.held, values=values)
        if refunding is None:
            raise in_progress("another request is processing this order")
        log.warning("interrupted_cancellation_refunded", extra=facts)
        try:
            return self._refunds.take_back(refunding, None, context, before=taken)
        except Failure as failure:
            if failure.code == "already_refunded":
                return self._store.order(order.id) or order
            raise


def proven(order: StoredOrder, asked: str) -> dict[str, str]:
    """What changes in the row of an order that is proven to be canceled, and whose charge is to be refunded."""
    return {"cancellation": Cancellation(asked).stored(), **with_key(order, asked)}


def with_key(order: StoredOrder, asked: str) -> dict[str, str]:
    """What changes in the row of an order whose refund is requested as ``asked`` says."""
    earlier = (order.refund_key or "").split()
    key = asked.partition("=")[0]
    if len(earlier) >= MOST_REFUND_KEYS or any(each.partition("=")[0] == key for each in earlier):
        return {}
    return {"refund_key": " ".join([*earlier, asked])}


def _cancellation_of(order: StoredOrder) -> Cancellation | None:
    return None if order.cancellation is None else Cancellation(**json.loads(order.cancellation))


def _place(order: StoredOrder) -> tuple[str, str, str]:
    """The location of an order, its number there, and the key under which it was submitted."""
    number = json.loads(order.submitted or "{}")["order_id"]
    return order.provider_location_id or "", str(number), key_of(order)
