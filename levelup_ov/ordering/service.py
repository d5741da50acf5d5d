"""The use cases of a channel: list merchants and locations, validate and submit orders, between HTTP and the adapter.

A failure's path starts at the order (``$.items[0].item``), as in adapters; the HTTP layer prepends the root member.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime

from levelup_ov.adapter import Adapter
from levelup_ov.config import Settings
from levelup_ov.domain.failure import Failure
from levelup_ov.domain.location import Merchant
from levelup_ov.domain.request import OrderRequest, SubmissionRequest
from levelup_ov.ledger import limits
from levelup_ov.ledger.ledger import Ledger
from levelup_ov.ledger.menu_watches import MenuWatches
from levelup_ov.ledger.records import Submission
from levelup_ov.ordering.addresses import destination
from levelup_ov.ordering.attempts import Attempt, SubmissionKey
from levelup_ov.ordering.bulkhead import Bulkhead
from levelup_ov.ordering.locations import Directory, RoutedLocation
from levelup_ov.ordering.look_ups import NOT_CONFIGURED, LookUps, check_not_moved
from levelup_ov.ordering.menu_watching import MenuWatching
from levelup_ov.ordering.menus import Menus
from levelup_ov.ordering.metadata import MetadataKeeper
from levelup_ov.ordering.outcomes import Settlement
from levelup_ov.ordering.placed_orders import PlacedOrders
from levelup_ov.ordering.placing import place_order
from levelup_ov.ordering.prices import check_price
from levelup_ov.ordering.received_orders import check_tender, received_order
from levelup_ov.ordering.reported_orders import last_call, placed_order
from levelup_ov.ordering.request_context import RequestContext
from levelup_ov.ordering.responses import (
    QuotedOrder,
    SubmittedOrder,
    ValidatedOrder,
    metadata_of,
    settlement_of,
    validated,
)
from levelup_ov.ordering.routing import Routing
from levelup_ov.ordering.session_secrets import secrets_of
from levelup_ov.ordering.stock_and_pauses import KnownStock, check_stock
from levelup_ov.ordering.submission_keys import SubmissionKeys
from levelup_ov.ordering.submissions import Submissions
from levelup_ov.ordering.tracking import OrderTracking
from levelup_ov.transport.session import Session, Transport

log = logging.getLogger(__name__)


class Service:
    """The use cases for one set of accounts, whose providers are reached by ``transport``, and what they share.

    ``clock`` returns the current time, aware.
    """

    def __init__(self, settings: Settings, transport: Transport, ledger: Ledger, clock: Callable[[], datetime]) -> None:
        self._settings = settings
        self._clock = clock
        self._keeper = MetadataKeeper(settings.secret_keys)
        self.transport = transport
        self.routing = Routing(
            Directory(settings.accounts, settings.locations_ttl, transport.cache.store),
            Bulkhead(
                settings.account_threads,
                threads=settings.threads,
                accounts=len(settings.accounts),
                most=settings.account_most,
            ),
            transport,
        )
        self.submissions = Submissions(
            ledger,
            deadline=settings.submission_deadline,
            grace=settings.reconcile_grace,
            claims=max(settings.threads // 2, 1),
        )
        self.keys = SubmissionKeys(self.routing, self.submissions, self._keeper, settings.secret_keys, clock)
        self.look_ups = LookUps(self.routing, self.submissions.reconciler, self._keeper)
        self.tracking = OrderTracking(ledger)
        self.placed_orders = PlacedOrders(self.routing, self.keys, self.tracking, self.submissions.settling_time)
        self._stock = KnownStock(settings.stock_ttl)
        self.menus = Menus(self.routing, self._stock)
        self.menu_watching = MenuWatching(self.routing, MenuWatches(ledger))

    def load_ahead(self) -> None:
        """Before a fork: what serving needs, and no command, so that the processes share it."""
        self.submissions.ledger.load_ahead(len(self._settings.secret_keys))
        if any(adapter.base_url.startswith("https:") for adapter in self._settings.accounts.values()):
            self.transport.load_authorities()

    def merchants(self) -> list[Merchant]:
        """EP-1."""
        return self.routing.directory.merchants()

    def locations(self, merchant_id: str, context: RequestContext) -> list[RoutedLocation]:
        """EP-2. :raises Failure: ``merchant_not_found``, or the provider's failure."""
        return [self._unless_paused(routed) for routed in self.routing.locations(merchant_id, context)]

    def _unless_paused(self, routed: RoutedLocation) -> RoutedLocation:
        """The location, not active while it is known to take no orders (MENU-8)."""
        stock = self._stock.known(routed.id)
        if stock is None or not stock.paused:
            return routed
        return replace(routed, location=replace(routed.location, active=False))

    def validate_order(self, location_id: str, request: OrderRequest, context: RequestContext) -> ValidatedOrder:
        """EP-4. :raises Failure: why the order cannot be placed like this."""
        return validated(self.quote_order(location_id, request, context))

    def quote_order(self, location_id: str, request: OrderRequest, context: RequestContext) -> QuotedOrder:
        """Like :meth:`validate_order`, for callers inside the service."""
        adapter = self.routing.account_of(location_id, context)
        with self.routing.bulkhead.room(adapter.account.name):
            routed = self.routing.location(location_id, context, adapter)
            order = received_order(request, routed, self._keeper, self._clock())
            with self.routing.session(adapter, context, order) as session:
                if (stock := self._stock.read(routed, session)) is not None:
                    check_stock(order, stock)
                quote = adapter.validate_order(order, session)
                check_price(order, quote, refuse_fees=self._settings.refuse_fees)
        return QuotedOrder(routed, order, quote, metadata_of(quote, order, routed, self._keeper))

    def check_submission(
        self, location_id: str, request: SubmissionRequest, context: RequestContext, *, charged_in: str
    ) -> None:
        """Refuse what can be refused before anything is sent or charged: location, tender, fulfillment, tip and time.

        ``charged_in``: the currency of its charge.

        :raises Failure: why the order could not be submitted.
        """
        adapter = self.routing.account_of(location_id, context)
        with self.routing.bulkhead.room(adapter.account.name):
            routed = self.routing.location(location_id, context, adapter)
            check_tender(routed, request.tender)
            if routed.location.currency != charged_in:
                why = f"LevelUp charges {charged_in}, and this location's prices are in {routed.location.currency}"
                raise Failure("tender_not_accepted", why, path="$.provider_location_id")
            order = received_order(request.order, routed, self._keeper, self._clock(), submits=True)
            if order.tip != request.order.tip:
                # It would be charged, and the provider would not be asked to charge it.
                raise Failure("amounts_do_not_add_up", "this location takes no tips", path="$.order.tip_amount")
            self._stock.check(order, routed)

    def submit_order(
        self,
        location_id: str,
        request: SubmissionRequest,
        idempotency_key: str | None,
        context: RequestContext,
        *,
        last_look: Callable[[], None] | None = None,
        is_ours: bool = False,
        is_paid: bool = False,
    ) -> SubmittedOrder:
        """EP-5. ``context.replayed`` says whether the answer is a recorded one (SUB-4).

        ``last_look`` is called each time just before the order is placed, after the ledger's mark. If it raises a
        failure, nothing is placed. ``is_ours``: see :meth:`SubmissionKeys.key_of`; ``is_paid``: see
        :class:`~levelup_ov.ordering.attempts.SubmissionKey`.

        :raises Failure: why the order was not placed, or that the outcome is unknown.
        """
        context.reserve = self.submissions.settling_time

        def key_of() -> tuple[SubmissionKey, bool]:
            key, expired = self.keys.key_of(location_id, request, idempotency_key, context, is_ours=is_ours)
            return (replace(key, is_paid=True) if is_paid else key), expired

        try:
            adapter = self.routing.account_of(location_id, context)
        except Failure as gone:
            # It may have been sent by another host, or before its account was removed.
            with limits.within(context.deadline.remaining()):
                recorded = self.submissions.recall(key_of()[0], NOT_CONFIGURED)
            if recorded is None:
                raise gone
            return _answered(recorded, context)

        # All checks come after the look-up, so that a replay stays a replay whatever has changed since.
        def place_order(attempt: Attempt) -> Settlement:
            if expired:
                path = "$.metadata.order_validation_id"
                raise Failure("order_validation_expired", "the order was validated too long ago", path=path)
            attempt.also, attempt.sent_to = last_look, destination(adapter)
            return self._place_order(adapter, location_id, request, attempt, context)

        def find_order(submission: Submission) -> Settlement | None:
            if adapter.recovery == "look_up":
                return self.look_ups.find_order(submission, context, request.order)
            check_not_moved(submission, adapter)

            def place_again(again: Attempt) -> Settlement:
                again.also = last_look
                return self._place_order(adapter, location_id, request, again, context)

            return self.submissions.reconciler.repeat(submission, place_again)

        def find_refused(refused: Submission) -> Settlement | None:
            return self.look_ups.find_refused(refused, context, request.order)

        with self.routing.bulkhead.room(adapter.account.name), limits.within(context.deadline.remaining()):
            # First, because what a submission is called depends on where its location is in the list.
            not_found = self._find_location(location_id, context, adapter)
            key, expired = key_of()
            if not_found is not None and not self.submissions.knows(key):
                # Ids that are not in a list of locations stay out of the ledger, unless they are in it already.
                raise not_found
            fence = self.look_ups.fence_of(adapter, context)
            settlement = self.submissions.submit(
                key, place_order, find_order, deadline=context.deadline, fence=fence,
                find_refused=find_refused if self.look_ups.may_come_late(adapter) else None,
            )  # fmt: skip
        return _answered(settlement, context)

    def _find_location(self, location_id: str, context: RequestContext, adapter: Adapter) -> Failure | None:
        """Read the list of locations, unless this location is known; why it was not found there."""
        if context.location is None:
            try:
                self.routing.location(location_id, context, adapter)
            except Failure as failure:
                return failure
        return None

    def _place_order(
        self,
        adapter: Adapter,
        location_id: str,
        request: SubmissionRequest,
        attempt: Attempt,
        context: RequestContext,
    ) -> Settlement:
        routed, tender = self.routing.location(location_id, context, adapter), request.tender
        adapter = routed.adapter
        check_tender(routed, tender)
        order = received_order(request.order, routed, self._keeper, self._clock(), attempt, submits=True)
        if attempt.is_new:
            self._stock.check(order, routed)
        with self.routing.session(adapter, context, order, tender, attempt.placement, own=True) as session:
            placed = place_order(adapter, order, tender, session)
            if not attempt.reported():
                _report_unmarked(adapter, attempt, session)
            secrets = [*secrets_of(adapter, order, tender), *session.secrets]
            placed = placed_order(placed, order.reference, adapter, session, secrets)
        return settlement_of(placed, routed, order.user, self._keeper)


def _answered(settlement: Settlement, context: RequestContext) -> SubmittedOrder:
    context.replayed, context.expected_charge = settlement.replayed, settlement.placed.expected_charge
    return SubmittedOrder(**settlement.answer)


def _report_unmarked(adapter: Adapter, attempt: Attempt, session: Session) -> None:
    """Report an adapter that says that the order is placed, although no call of it said that it places one (SUB-2)."""
    name, remedy = type(adapter).__name__, "correct the adapter: the call that places an order says places_order=True"
    facts = {"account": adapter.account.name, "submission": attempt.id, "reference": attempt.reference}
    log.error(
        "placed_without_placing_call",
        extra={**facts, "cause": f"{name} returned an order{last_call(session)}", "remedy": remedy},
    )
