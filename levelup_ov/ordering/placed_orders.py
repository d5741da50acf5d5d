"""Placed orders at their providers: show their status, watch it, cancel them (STAT-1 to STAT-7)."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta

from levelup_ov.adapter import Adapter
from levelup_ov.domain.failure import Failure
from levelup_ov.domain.status import CALLED_OFF
from levelup_ov.errors import KINDS, Unanswered, reading
from levelup_ov.ledger import limits
from levelup_ov.ledger.engine import LedgerUnavailable
from levelup_ov.ledger.identity import Identity
from levelup_ov.ledger.statuses import PlacedOrder
from levelup_ov.ordering.locations import RoutedLocation, location_not_found
from levelup_ov.ordering.look_ups import NOT_CONFIGURED, NOT_LISTED
from levelup_ov.ordering.reported_orders import UNSTORABLE, is_whole, order_status
from levelup_ov.ordering.request_context import RequestContext
from levelup_ov.ordering.routing import Routing
from levelup_ov.ordering.session_secrets import secrets_of, unknown_words
from levelup_ov.ordering.submission_keys import SubmissionKeys
from levelup_ov.ordering.tracking import (
    LONGEST_WORD,
    OrderTracking,
    ReportedStatus,
    TrackedOrder,
    cancellation_unknown,
    check_cancelable,
    check_canceled,
    shown,
)
from levelup_ov.personal import mask_status
from levelup_ov.redaction import scrub

CHECKS = 3
"""How often a status is requested again because another one was recorded in between."""

_NOT_WHOLE = "the provider's id of this order could not be kept, so it cannot be asked: ask the restaurant"


class PlacedOrders:
    """The placed orders that ``tracking`` finds. ``reserve``: seconds of a cancellation's deadline to record it."""

    def __init__(self, routing: Routing, keys: SubmissionKeys, tracking: OrderTracking, reserve: float) -> None:
        self._routing = routing
        self._keys = keys
        self._tracking = tracking
        self._reserve = reserve

    def show(
        self,
        location_id: str,
        order_id: str,
        idempotency_key: str | None,
        context: RequestContext,
        *,
        submitted_for: str | None = None,
    ) -> TrackedOrder:
        """STAT-1. ``idempotency_key``: that of the submission; without it the number must name one order.

        ``submitted_for``: the id of the submission's request, by which it is also found; see
        :meth:`SubmissionKeys.submitted_for`.

        :raises Failure: ``status_not_supported``, ``order_not_found``, ``order_id_ambiguous``, or why the status is not
            known.
        """
        adapter = self._account_of(location_id, order_id, idempotency_key, submitted_for, context)
        if not adapter.order_status:
            raise Failure("status_not_supported", f"{adapter.account.provider} does not report the status of orders")
        with self._routing.bulkhead.room(adapter.account.name), limits.within(context.deadline.remaining()):
            routed, order = self._find(adapter, location_id, order_id, idempotency_key, submitted_for, context)
            status = self._ask(routed, order, context)
            with suppress(LedgerUnavailable):
                # The next request records it.
                self._tracking.record(order, status)
        return shown(order, status, routed.zone)

    def cancel(
        self,
        location_id: str,
        order_id: str,
        idempotency_key: str | None,
        context: RequestContext,
        *,
        begin: Callable[[], None] | None = None,
        submitted_for: str | None = None,
    ) -> TrackedOrder:
        """STAT-6: the order with its status, which proves that it is canceled; arguments as in :meth:`show`.

        ``begin`` is called before the provider is asked for anything, and again just before it is asked to cancel.
        If it raises a failure, nothing more is sent. Without it, an order with a charge to refund is not canceled; that
        is looked up as often.

        :raises Failure: ``cancellation_refused``, ``cancellation_unknown``, or why nothing was sent.
        """
        adapter = self._account_of(location_id, order_id, idempotency_key, submitted_for, context)
        if not adapter.cancels:
            raise Failure("cancellation_not_supported", f"{adapter.account.provider} cannot cancel orders")
        # What becomes of the order is recorded after the last call, whatever that gives.
        context.reserve = self._reserve
        with self._routing.bulkhead.room(adapter.account.name), limits.within(context.deadline.remaining()):
            # The order may be canceled already, and then the next thing to do is a refund.
            if begin is not None:
                begin()
            try:
                routed, order = self._find(
                    adapter, location_id, order_id, idempotency_key, submitted_for, context, to_cancel=True
                )
                if not is_whole(order.provider_order_id):
                    raise Failure("cancellation_not_supported", _NOT_WHOLE)
                if begin is None:
                    self._tracking.check_not_charged(order)
                status = self._ask(routed, order, context)
            except Unanswered as failure:
                if failure.code != "provider_protocol_error":
                    raise
                # An earlier request may have canceled it, so the request must not stop here.
                raise cancellation_unknown(failure.message) from None
            if status.stage not in CALLED_OFF:
                check_cancelable(order, status)
                # This host may have been suspended since, and a meal may just have been charged.
                if begin is not None:
                    begin()
                else:
                    self._tracking.check_not_charged(order)
                order = self._tracking.begin_cancellation(order)
                try:
                    status = self._cancel(routed, order, context)
                except Failure as failure:
                    if failure.code != "cancellation_unknown":
                        self._tracking.end_cancellation(order)
                    raise
            with suppress(LedgerUnavailable):
                self._tracking.record_proof(order, status)
        return shown(order, status, routed.zone)

    def watch(self, order: PlacedOrder, context: RequestContext, *, lease: timedelta) -> ReportedStatus | None:
        """Ask the provider once for the status of an order and record it (STAT-5); None: somebody else does.

        :raises Failure: why the status is not known.
        """
        return self._tracking.ask(
            order,
            lambda claimed: self._ask(self._routing.of_order(order.location, context), claimed, context),
            lease=lease,
        )

    def check(self, order: PlacedOrder, context: RequestContext) -> None:
        """Ask the provider for the status of an order now, and record it, however recently that was done (EVT-9).

        :raises Failure: why the status is not known.
        """
        for _ in range(CHECKS):
            with self._routing.bulkhead.room(order.account), limits.within(context.deadline.remaining()):
                status = self._ask(self._routing.of_order(order.location, context), order, context)
                if self._tracking.record(order, status):
                    return
            # Another request recorded one in between, which may be the older one.
            if (now := self._tracking.of(order.submission)) is None:
                # The database has lost the order, and so all that could be recorded of it.
                return
            order = now
        raise Failure("provider_busy", "others ask for the status of this order", retry_after=1)

    def _account_of(
        self,
        location_id: str,
        order_id: str,
        idempotency_key: str | None,
        submitted_for: str | None,
        context: RequestContext,
    ) -> Adapter:
        """:raises Failure: ``location_not_found``; or why nothing is known of an order whose account is not here."""
        try:
            return self._routing.account_of(location_id, context)
        except Failure as not_found:
            with limits.within(context.deadline.remaining()):
                try:
                    location = self._routing.published_id(location_id)
                    self._tracking.find(location, order_id, self._keys_of(location, idempotency_key), submitted_for)
                except Failure as failure:
                    raise (not_found if failure.code == "order_not_found" else failure) from None
        raise Unanswered("provider_unavailable", NOT_CONFIGURED, sent=False)

    def _find(
        self,
        adapter: Adapter,
        location_id: str,
        order_id: str,
        idempotency_key: str | None,
        submitted_for: str | None,
        context: RequestContext,
        *,
        to_cancel: bool = False,
    ) -> tuple[RoutedLocation, PlacedOrder]:
        routed = self._routing.of_order(location_id, context, adapter)
        key = self._keys_of(routed.id, idempotency_key)
        try:
            return routed, self._tracking.find(routed.id, order_id, key, submitted_for, to_cancel=to_cancel)
        except Failure as failure:
            if failure.code == "order_not_found" and not routed.is_listed:
                raise location_not_found() from None
            raise

    def _keys_of(self, location: str, idempotency_key: str | None) -> tuple[Identity, ...]:
        return () if idempotency_key is None else self._keys.identities(location, idempotency_key)

    def _ask(self, routed: RoutedLocation, order: PlacedOrder, context: RequestContext) -> ReportedStatus:
        """The status of an order, from its provider."""
        try:
            return self._reported(routed, order, context)
        except Unanswered as failure:
            if routed.is_listed or KINDS[failure.code].retryable:
                raise
            # The order may stand, and the location come back.
            raise Unanswered("provider_unavailable", f"{NOT_LISTED}: {failure.message}", sent=False) from None

    def _reported(self, routed: RoutedLocation, order: PlacedOrder, context: RequestContext) -> ReportedStatus:
        adapter = routed.adapter
        if not is_whole(order.provider_order_id):
            raise Failure("status_not_supported", _NOT_WHOLE)
        personal = unknown_words(adapter)
        with self._routing.session(adapter, context, own=True, personal=personal) as session, reading():
            reported = adapter.show_status(routed.location, order.provider_order_id, order.reference, session)
            status = order_status(reported, order.reference, adapter, session)
            stage, word = adapter.order_status.get(status.word), status.word
            if stage is None:
                word = mask_status(word)
            word = scrub(word, [*secrets_of(adapter), *session.secrets])[:LONGEST_WORD]
            word = UNSTORABLE.sub("\ufffd", word)
        return ReportedStatus(stage, word, status.changed_at, status.expected_ready_at)

    def _cancel(self, routed: RoutedLocation, order: PlacedOrder, context: RequestContext) -> ReportedStatus:
        """Cancel an order; the status that proves it.

        :raises Failure: ``cancellation_unknown``, or why the provider has canceled nothing.
        """
        refusal = self._send_cancellation(routed, order, context)
        try:
            status = self._ask(routed, order, context)
        except Failure as failure:
            raise cancellation_unknown(failure.message) from None
        check_canceled(status, refusal)
        return status

    def _send_cancellation(self, routed: RoutedLocation, order: PlacedOrder, context: RequestContext) -> Failure | None:
        """Ask the provider to cancel an order; its refusal, or why it may not have got the request.

        :raises Failure: nothing was sent.
        """
        adapter = routed.adapter
        session = self._routing.session(adapter, context, own=True, personal=unknown_words(adapter))
        try:
            with session:
                # The other half is for the status.
                hurried = session.within(context.deadline.remaining() / 2, "")
                adapter.cancel_order(routed.location, order.provider_order_id, order.reference, hurried)
        except Failure as failure:
            if session.is_unanswered:
                # Whatever the adapter makes of that: the provider may have got it, and cancel the order yet.
                return Unanswered(failure.code, failure.message, sent=True)
            if not getattr(failure, "sent", True):
                raise
            return failure
        return None
