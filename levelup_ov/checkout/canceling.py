"""Canceling: the order at its provider first, the refund after the proof, also if it is interrupted (STAT-6, STAT-7).

Before a provider is asked for anything, the order's row says that it is to be canceled. If the request ends there, the
row remains, and ``checkout reconcile`` asks for the order's status once no request can be under way any more.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import datetime
from typing import Any

from levelup_ov.checkout.cancellation import Cancellation, cancellation_of, is_old, merged, proven
from levelup_ov.checkout.charged_orders import key_of, number_of
from levelup_ov.checkout.failed_orders import CANCELED, UNPROVEN, case, in_progress, pending, without
from levelup_ov.checkout.leases import Leases
from levelup_ov.checkout.lost_rows import LostRows
from levelup_ov.checkout.refunds import Refunds
from levelup_ov.checkout.store import CheckoutStore, StoredOrder
from levelup_ov.domain.checkout import OrderState
from levelup_ov.domain.failure import Failure
from levelup_ov.domain.status import CALLED_OFF, Stage
from levelup_ov.errors import KINDS
from levelup_ov.ledger.engine import LedgerUnavailable
from levelup_ov.ledger.records import to_ms
from levelup_ov.ordering.request_context import RequestContext
from levelup_ov.ordering.service import Service
from levelup_ov.ordering.tracking import cancellation_unknown
from levelup_ov.transport.deadline import Deadline

_OPEN: tuple[OrderState, ...] = ("submitted", "refunding")
"""The states in which it is open what becomes of the charge."""

log = logging.getLogger(__name__)


class Canceler:
    """Cancels submitted orders at their providers; ``clock`` returns the current time, aware."""

    def __init__(
        self,
        store: CheckoutStore,
        service: Service,
        refunds: Refunds,
        leases: Leases,
        lost_rows: LostRows,
        clock: Callable[[], datetime],
    ) -> None:
        self._store = store
        self._service = service
        self._refunds = refunds
        self._leases = leases
        self._lost_rows = lost_rows
        self._clock = clock

    def cancel(self, order: StoredOrder, asked: str, context: RequestContext) -> None:
        """Cancel an order at its provider and record the proof; ``asked``: digests of the request's key and body.

        :raises Failure: it is not known to be canceled.
        """
        earlier = cancellation_of(order)
        if earlier and order.case_kind == UNPROVEN and self._leases.is_recent(earlier.mark):
            # A site that keeps asking leaves a person time to settle it.
            raise cancellation_unknown("the operator has been notified")
        begun: StoredOrder | None = None

        def begin() -> None:
            nonlocal begun
            if order.state in _OPEN:
                # The second time it fails if this request was taken for dead in the meantime.
                begun = self._begin(begun or order, asked)

        try:
            self._service.placed_orders.cancel(*_place(order), context, begin=begin, submitted_for=order.id)
        except Failure as failure:
            with suppress(LedgerUnavailable):
                # Only before something is sent.
                is_begun = begun and failure.code != "submission_in_progress"
                self._keep(begun if begun and is_begun else order)
                if begun:
                    self._not_canceled(begun, failure, is_first=order.cancellation is None)
            if failure.code == "order_not_found" and order.called_off_at is not None and not order.is_called_off:
                # It was canceled here, and the ledger has lost its meal since.
                return
            if earlier and (isinstance(failure, LedgerUnavailable) or failure.code == "order_not_found"):
                raise cancellation_unknown("an earlier request may have canceled the order") from None
            raise
        try:
            self._keep(begun or order)
            while begun and begun.state in _OPEN and not self._prove(begun, asked):
                # Another cancellation has begun in the meantime, or the charge was refunded.
                begun = self._store.order(order.id)
        except LedgerUnavailable:
            # The row says that it may be canceled, so that its status is asked for again.
            raise pending(CANCELED) from None

    def is_open(self, order: StoredOrder) -> bool:
        """Whether a cancellation was requested, and it is open what becomes of the charge."""
        return order.state in _OPEN and order.cancellation is not None

    def is_under_way(self, order: StoredOrder) -> bool:
        """Whether a provider may just be canceling the order for somebody."""
        begun = cancellation_of(order)
        return begun is not None and not self._leases.has_ended(begun.mark)

    def is_left(self, order: StoredOrder) -> bool:
        """Whether it is to be found out what became of a cancellation, while a refund is requested or not."""
        if order.state == "refunding":
            is_unproven = order.cancellation is not None and not order.is_canceled and not self.is_under_way(order)
            return is_unproven or order.is_made_again
        return order.state == "submitted" and order.cancellation is not None

    def finish(self, order: StoredOrder, context: RequestContext) -> StoredOrder:
        """Find out what became of a cancellation that was begun, and refund the order if it is canceled.

        It is a case for a person if that is not known after a day, or if the order was proven to be canceled, and its
        status is another one now. A refund that was requested on its own continues whatever the status is, unless the
        order was proven to be canceled.

        :raises Failure: it is not known, or the refund failed.
        """
        if self.is_under_way(order) or (taken := self._leases.take(order)) is None:
            raise _busy()
        begun = cancellation_of(taken)
        if begun is None or self.is_under_way(taken):
            raise self._overtaken(taken)
        begun = begun.dated(now := self._clock())
        is_refunding = taken.state == "refunding"
        try:
            stage = self._stage(taken, context)
        except Failure as failure:
            if begun.mark is not None:
                if is_refunding:
                    return self._refunds.take_back(taken, None, context, before=taken)
                return self._leave_open(taken, begun, failure, is_case=is_old(begun.since, now))
            if taken.is_made_again:
                return self._contradicted(taken, begun, None, context)
            # It was proven before.
            stage = None
        except BaseException:
            self._refunds.release(taken)
            raise
        if stage is None or stage in CALLED_OFF:
            return self._refund(taken, stage, context)
        if begun.mark is None:
            return self._contradicted(taken, begun, stage, context)
        log.info("interrupted_cancellation_not_made", extra={"order": order.id, "stage": stage})
        values: dict[str, str | None] = {"cancellation": None, "operator_case": None, "held": None}
        if is_refunding:
            values = {"cancellation": None, "refund_key": merged(taken.refund_key, begun.asked)}
        done = self._store.change_order(
            order.id, (taken.state,), held=taken.held, cancellation=taken.cancellation, values=values
        )
        if done is None:
            raise self._overtaken(taken)
        return self._refunds.take_back(done, None, context, before=taken) if is_refunding else done

    def _begin(self, order: StoredOrder, asked: str) -> StoredOrder:
        """Record that the order is to be canceled; a proof that it is canceled stays one."""
        earlier = (cancellation_of(order) or Cancellation("", "")).dated(self._clock())
        mark = None if earlier.mark is None else self._leases.new()
        begun = self._change(order, Cancellation(merged(asked, earlier.asked), mark, earlier.since))
        if begun is None:
            raise _busy()
        return begun

    def _keep(self, order: StoredOrder) -> None:
        """Write an order again, or its cancellation, if the database has lost it."""
        if self._lost_rows.keep_submitted(order):
            return
        now, begun = self._store.order(order.id), cancellation_of(order)
        if begun and now and now.cancellation is None and not self._leases.has_ended(begun.mark):
            # Nobody else can have ended it.
            self._change(now, begun)

    def _overtaken(self, order: StoredOrder) -> Failure:
        """The failure where another request has changed a cancellation; releases the order."""
        self._refunds.release(order)
        return _busy()

    def _not_canceled(self, order: StoredOrder, failure: Failure, *, is_first: bool) -> None:
        """Record what is left of a request that failed; ``is_first``: none before it may have canceled the order."""
        begun = cancellation_of(order)
        if is_first and not KINDS[failure.code].retryable:
            self._change(order, None)
        elif begun and begun.mark is not None and is_old(begun.since, self._clock()):
            # The command leaves an order alone while the site keeps asking.
            values = {"operator_case": case(UNPROVEN, failure.message, uuid=order.uuid)}
            self._store.change_order(order.id, ("submitted",), cancellation=order.cancellation, values=values)

    def _change(self, order: StoredOrder, cancellation: Cancellation | None, **more: int) -> StoredOrder | None:
        """Change the cancellation of an order, and ``more``, if it is still the one that was read; None: it is not."""
        values = {"cancellation": cancellation and cancellation.stored(), **more}
        return self._store.change_order(order.id, _OPEN, cancellation=order.cancellation, values=values)

    def _prove(self, order: StoredOrder, asked: str) -> StoredOrder | None:
        """Record that an order is canceled; for ``asked`` and None see :meth:`cancel` and :meth:`_change`."""
        off = {"called_off_at": order.called_off_at or to_ms(self._clock())}
        return self._change(order, proven(order, asked), **off)

    def _stage(self, order: StoredOrder, context: RequestContext) -> Stage:
        """The stage of the order's status. :raises Failure: it is not known."""
        # The other half is for the refund.
        deadline = Deadline(context.deadline.remaining() / 2)
        inner = RequestContext(deadline, context.request_id, calls=context.calls)
        status = self._service.placed_orders.show(*_place(order), inner, submitted_for=order.id)
        if status.status is None:
            raise cancellation_unknown(f"the order's status is {status.provider_status}")
        return status.status

    def _contradicted(
        self, order: StoredOrder, begun: Cancellation, stage: Stage | None, context: RequestContext
    ) -> StoredOrder:
        """Leave an order to a person that was proven to be canceled, and is made again; ``stage``: None if not known.

        A refund that was requested may have been made: that is found out first, and no other is requested.
        """
        message = f"the order was canceled, and is {stage or 'made again'} now"
        if order.state == "refunding":
            try:
                if (refunded := self._refunds.found(order, context)) is not None:
                    return refunded
                message += "; LevelUp has not made the refund that was requested"
            except Failure as failure:
                message += (
                    f"; it is not known whether LevelUp has made the refund that was requested: {failure.message}"
                )
            except BaseException:
                self._refunds.release(order)
                raise
        contradiction = Failure("cancellation_unknown", message)
        return self._leave_open(order, begun, contradiction, is_case=True, made_again=True)

    def _leave_open(
        self, order: StoredOrder, begun: Cancellation, failure: Failure, *, is_case: bool, **found: bool
    ) -> StoredOrder:
        """Release an order whose cancellation is not finished. :raises Failure: it is not a case for a person."""
        values: dict[str, str | None] = {"held": None, "cancellation": begun.stored()}
        if is_case:
            values["operator_case"] = case(UNPROVEN, failure.message, uuid=order.uuid, **found)
        done = self._store.change_order(
            order.id, (order.state,), held=order.held, cancellation=order.cancellation, values=values
        )
        if done is None or done.operator_case is None:
            raise failure
        return done

    def _refund(self, order: StoredOrder, stage: Stage | None, context: RequestContext) -> StoredOrder:
        """Refund an order that is canceled. :raises Failure: the refund failed."""
        canceled = proven(order, "").dated(self._clock())
        values = {
            "state": "refunding", "held": self._leases.new(), "operator_case": without(UNPROVEN, order),
            "cancellation": canceled.stored(), "refund_key": canceled.asked,
        }  # fmt: skip

        def refund(now: StoredOrder) -> Mapping[str, Any]:
            # A status that contradicts the cancellation may have been recorded since this one was asked for.
            is_contradicted = now.is_made_again and not order.is_made_again
            is_same = (now.state, now.held, now.cancellation) == (order.state, order.held, order.cancellation)
            return values if is_same and not is_contradicted else {}

        refunding = self._store.change_locked(order.id, refund)
        if refunding is None:
            raise self._overtaken(order)
        log.warning("interrupted_cancellation_refunded", extra={"order": order.id, "stage": stage})
        try:
            return self._refunds.take_back(refunding, None, context, before=order)
        except Failure as failure:
            if failure.code == "already_refunded":
                return self._store.order(order.id) or order
            raise


def _busy() -> Failure:
    return in_progress("another request is processing this order")


def _place(order: StoredOrder) -> tuple[str, str, str]:
    """The location of an order, its number there, and the key under which it was submitted."""
    return order.provider_location_id or "", number_of(order) or "", key_of(order)
