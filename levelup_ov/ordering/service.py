"""The use cases: validate, submit, list and show, between HTTP and the adapter.

A failure's path starts at the order (``$.items[0].item``), as in adapters; the HTTP layer prepends the root member.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import partial
from typing import Any
from urllib.parse import unquote

from levelup_ov import sealing
from levelup_ov.adapter import Adapter
from levelup_ov.adapter.delivery import check_address
from levelup_ov.config import Settings
from levelup_ov.domain import menu as menus
from levelup_ov.domain import money, ready_time
from levelup_ov.domain.event import Event
from levelup_ov.domain.failure import Failure
from levelup_ov.domain.location import Merchant
from levelup_ov.domain.order import Order, User
from levelup_ov.domain.orderable import orderable
from levelup_ov.domain.outcome import Placed, Quote
from levelup_ov.domain.request import OrderRequest, SubmissionRequest
from levelup_ov.domain.secret import Secret
from levelup_ov.domain.status import CALLED_OFF
from levelup_ov.domain.stock import Stock, in_stock
from levelup_ov.domain.submission import LOOKED_AGAIN, Finding
from levelup_ov.domain.tender import Tender, TenderKind
from levelup_ov.errors import Unanswered, broken_protocol, reading
from levelup_ov.ledger import identity, limits
from levelup_ov.ledger.engine import LedgerUnavailable
from levelup_ov.ledger.ledger import Ledger
from levelup_ov.ledger.menu_watches import MenuWatches
from levelup_ov.ledger.records import Submission
from levelup_ov.ledger.statuses import PlacedOrder
from levelup_ov.ordering.addresses import destination, moved, own_trace
from levelup_ov.ordering.bulkhead import Bulkhead
from levelup_ov.ordering.locations import Directory, RoutedLocation, wire_id
from levelup_ov.ordering.menu_changes import changes, seen_menu, stock_digest
from levelup_ov.ordering.metadata import MetadataKeeper, ValidationId
from levelup_ov.ordering.placing import place_order
from levelup_ov.ordering.reported_orders import UNSTORABLE, is_whole, last_call, order_status, placed_order
from levelup_ov.ordering.stock_and_pauses import PATIENCE, KnownStock, check_stock
from levelup_ov.ordering.submissions import Attempt, Settlement, SubmissionKey, Submissions
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
from levelup_ov.ordering.written_menus import WrittenMenu, WrittenMenus
from levelup_ov.personal import PersonalWords, Withheld, mask_status
from levelup_ov.redaction import clean, scrub
from levelup_ov.transport import net
from levelup_ov.transport.connections import OwnConnections
from levelup_ov.transport.deadline import Deadline
from levelup_ov.transport.session import Call, Session, Transport

SHORTEST_PRIVATE = 4
"""Characters from which a part of a delivery address is masked in messages."""

CHECKS = 3
"""How often a status is requested again because another one was recorded in between."""

_NOT_WHOLE = "the provider's id of this order could not be kept, so it cannot be asked: ask the restaurant"

log = logging.getLogger(__name__)


@dataclass(slots=True)
class RequestContext:
    """The facts that are logged about one request; ``calls`` are the calls to the provider.

    ``expected_charge``: the cents that the provider was asked to charge for a newly placed order, if known.
    ``reserve``: the seconds of the deadline that calls to the provider leave for the ledger.
    ``ahead``: connections that were opened ahead for placing the order.
    """

    deadline: Deadline
    request_id: str | None = None
    account: str | None = None
    location: str | None = None
    provider: str | None = None
    replayed: bool = False
    expected_charge: int | None = None
    calls: list[Call] = field(default_factory=list)
    reserve: float = 0.0
    ahead: OwnConnections | None = None


@dataclass(frozen=True, slots=True)
class ValidatedOrder:
    """The members of an order validation's answer; times in the contract's form."""

    total: int
    tax: int
    tip: int | None
    merchant_funded_discount: int
    provider_funded_discount: int
    soonest_available_at: str | None
    ready_at: str | None
    available_at: list[str] | None
    metadata: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class QuotedOrder:
    """An order with its price, and the metadata that its submission needs (META-2, META-8)."""

    routed: RoutedLocation
    order: Order
    quote: Quote
    metadata: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class SubmittedOrder:
    """The members of an order submission's answer (SUB-1)."""

    order_id: str | int
    expected_ready_at: str | None
    metadata: Mapping[str, Any]


class Service:
    """All use cases, for one set of accounts, whose providers are reached by ``transport``.

    ``clock`` returns the current time, aware.
    """

    def __init__(self, settings: Settings, transport: Transport, ledger: Ledger, clock: Callable[[], datetime]) -> None:
        self._settings = settings
        self.transport = transport
        self._clock = clock
        self._directory = Directory(settings.accounts, settings.locations_ttl, transport.cache.store)
        self._bulkhead = Bulkhead(
            settings.account_threads,
            threads=settings.threads,
            accounts=len(settings.accounts),
            most=settings.account_most,
        )
        self._keeper = MetadataKeeper(settings.secret_keys)
        self._identity_keys = [sealing.derive(key, "identity") for key in settings.secret_keys]
        self._reference_key = partial(ledger.reference_key, sealing.derive(settings.secret_keys[0], "reference"))
        self.submissions = Submissions(
            ledger,
            deadline=settings.submission_deadline,
            grace=settings.reconcile_grace,
            claims=max(settings.threads // 2, 1),
        )
        self.tracking = OrderTracking(ledger)
        self.stock = KnownStock(settings.stock_ttl)
        self._written = WrittenMenus()
        self._versions: dict[str, tuple[str | None, float]] = {}
        self.menu_watches = MenuWatches(ledger)

    def load_ahead(self) -> None:
        """Before a fork: what serving needs, and no command, so that the processes share it."""
        self.submissions.ledger.load_ahead(len(self._settings.secret_keys))
        if any(adapter.base_url.startswith("https:") for adapter in self._settings.accounts.values()):
            self.transport.load_authorities()

    def merchants(self) -> list[Merchant]:
        """EP-1."""
        return self._directory.merchants()

    def locations(self, merchant_id: str, context: RequestContext) -> list[RoutedLocation]:
        """EP-2. :raises Failure: ``merchant_not_found``, or the provider's failure."""
        adapter = self._directory.adapter(merchant_id)
        context.account, context.provider = merchant_id, adapter.account.provider
        with self._bulkhead.room(merchant_id), self._session(adapter, context) as session:
            found = self._directory.locations(adapter, session)
        return [self._unless_paused(routed) for routed in found]

    def _unless_paused(self, routed: RoutedLocation) -> RoutedLocation:
        """The location, not active while it is known to take no orders (MENU-8)."""
        stock = self.stock.known(routed.id)
        if stock is None or not stock.paused:
            return routed
        return replace(routed, location=replace(routed.location, active=False))

    @property
    def location_failures(self) -> Mapping[tuple[str, str], int]:
        """How often locations could not be read since the start, by account and code (LOC-3)."""
        return self._directory.failures

    @property
    def unread_locations(self) -> Mapping[tuple[str, str], str]:
        """The locations that cannot be read now, by account and id: each the code of its failure (LOC-3)."""
        return self._directory.unread

    @property
    def in_progress(self) -> Mapping[str, int]:
        """The requests that hold a slot of the bulkhead, by account."""
        return self._bulkhead.in_progress

    def menu(self, location_id: str, context: RequestContext) -> menus.Menu:
        """EP-3. :raises Failure: ``location_not_found``, ``menu_invalid``, or the provider's failure."""
        return _checked(self.read_menu(location_id, context))

    def written_menu(
        self, location_id: str, context: RequestContext, write: Callable[[menus.Menu], tuple[bytes, str]]
    ) -> WrittenMenu:
        """The same, as ``write`` writes it: its content and ETag.

        While nothing that it is made of has changed, it is neither made nor written again.
        """
        adapter = self._account_of(location_id, context)
        with self._bulkhead.room(adapter.account.name):
            routed = self._routed(location_id, context)
            with self._session(adapter, context) as session, reading():
                written = self._written.find(routed)
                if written is not None and written.stock == self.read_stock(routed, session):
                    return written
                menu, stock, fresh_until = self._read_menu(routed, session)
        content, etag = write(_checked(_orderable(menu, stock)))
        written = WrittenMenu(content, etag, fresh_until, routed.location, stock)
        self._written.keep(routed, written)
        return written

    def read_menu(self, location_id: str, context: RequestContext) -> menus.Menu:
        """The orderable part of the adapter's menu (MENU-6), valid or not."""
        adapter = self._account_of(location_id, context)
        with self._bulkhead.room(adapter.account.name):
            routed = self._routed(location_id, context)
            with self._session(adapter, context) as session, reading():
                menu, stock, _ = self._read_menu(routed, session)
        return _orderable(menu, stock)

    def _read_menu(self, routed: RoutedLocation, session: Session) -> tuple[menus.Menu, Stock | None, float]:
        """The adapter's menu, the stock, and until when the menu would be the same."""
        menu, fresh_until = routed.adapter.show_menu(routed.location, session), session.freshness.until
        return menu, self.read_stock(routed, session), fresh_until

    def read_stock(self, routed: RoutedLocation, session: Session) -> Stock | None:
        """What the location has run out of, as far as its provider reports it (MENU-8); None if nothing is known."""
        adapter = routed.adapter
        if not adapter.reports_stock or not self.stock.ttl:
            return None

        def read() -> Stock:
            # Its failures must not stop other calls to the provider.
            part = f"stock of {routed.location.provider_id}"
            with reading():
                return adapter.show_stock(routed.location, session.within(PATIENCE, part))

        return self.stock.now(routed.id, read)

    def _check_known_stock(self, routed: RoutedLocation, order: Order) -> None:
        """Refuse a submission by a stock that was read just now, usually by its validation (MENU-8).

        Nothing is asked here: the provider decides by its own stock.

        :raises Refused: as :func:`check_stock`.
        """
        if (stock := self.stock.fresh(routed.id)) is not None:
            check_stock(order, stock)

    def menus_to_watch(self, merchant_id: str, context: RequestContext) -> list[RoutedLocation]:
        """The locations whose menus are watched, those first that were looked at longest ago, or never.

        :raises Failure: as :meth:`locations`, or the ledger's.
        """
        found = self.locations(merchant_id, context)
        asked = self.menu_watches.asked(merchant_id)
        return sorted((each for each in found if not each.location.terminated), key=lambda each: asked.get(each.id, 0))

    def watch_menu(self, location_id: str, context: RequestContext, *, every: timedelta) -> list[Event] | None:
        """Look at a location's menu and record what changed, with its events (MENU-9); None: it was just looked at.

        If the provider has versions, a menu is read only if its version or the stock has changed.

        :raises Failure: the menu or the stock is not known.
        """
        adapter = self._account_of(location_id, context)
        routed = self._routed(location_id, context, adapter)
        look = self.menu_watches.claim(adapter.account.name, routed.id, every)
        if look is None:
            return None
        before, location = look.before, routed.location
        with self._session(adapter, context) as session, reading():
            version = adapter.show_menu_version(location, session) if adapter.versions_menus else None
            since = self._known_since(adapter.account.name, version)
            stock = adapter.show_stock(location, session) if adapter.reports_stock else Stock()
            if stock.unread is not None and stock.unread.code != "provider_credentials_refused":
                # What is missing now is not on sale again; without the permission for it, it is never there.
                raise stock.unread
            is_known = before is not None and version is not None and version == before.version
            if before is not None and is_known and stock_digest(stock) == before.stock:
                return []
            # A cached menu may be older than the version.
            menu = orderable(adapter.show_menu(location, session.fresh(since)))
            seen = seen_menu(version, menu, stock, before)
        events = list(changes(adapter.account.name, routed.id, before, seen))
        if seen != before and not self.menu_watches.record(look, seen, events):
            return []
        for event in events:
            log.info("menu_changed", extra={"location": routed.id, "event": event.kind, **event.data})
        return events

    def _known_since(self, account: str, version: str | None) -> float:
        """Since when this process knows ``version``: an answer that was fetched since then is not older.

        The locations of an account may share a version, and the answers that have it.
        """
        known, since = self._versions.get(account, (None, 0.0))
        if version is None or version != known:
            since = net.now()
            self._versions[account] = version, since
        return since

    def validate_order(self, location_id: str, request: OrderRequest, context: RequestContext) -> ValidatedOrder:
        """EP-4. :raises Failure: why the order cannot be placed like this."""
        return _validated(self.quote_order(location_id, request, context))

    def quote_order(self, location_id: str, request: OrderRequest, context: RequestContext) -> QuotedOrder:
        """Like :meth:`validate_order`, for callers inside the service."""
        adapter = self._account_of(location_id, context)
        with self._bulkhead.room(adapter.account.name):
            routed = self._routed(location_id, context, adapter)
            order = self._order(routed, request)
            with self._session(adapter, context, order) as session:
                if (stock := self.read_stock(routed, session)) is not None:
                    check_stock(order, stock)
                quote = adapter.validate_order(order, session)
                self._check(order, quote)
        return QuotedOrder(routed, order, quote, self._metadata(routed, order, quote))

    def find_location(self, location_id: str, context: RequestContext) -> RoutedLocation:
        """:raises Failure: ``location_not_found``, or why it could not be read."""
        adapter = self._account_of(location_id, context)
        with self._bulkhead.room(adapter.account.name):
            return self._routed(location_id, context, adapter)

    def submit_order(
        self,
        location_id: str,
        request: SubmissionRequest,
        idempotency_key: str | None,
        context: RequestContext,
        *,
        last_look: Callable[[], None] | None = None,
        is_paid: bool = False,
    ) -> SubmittedOrder:
        """EP-5. ``context.replayed`` says whether the answer is a recorded one (SUB-4).

        ``last_look`` is called each time just before the order is placed, after the ledger's mark. If it raises a
        failure, nothing is placed. ``is_paid``: see :class:`~levelup_ov.ordering.submissions.SubmissionKey`.

        :raises Failure: why the order was not placed, or that the outcome is unknown.
        """
        context.reserve = self.submissions.settling_time
        adapter = self._account_of(location_id, context)

        # All checks come after the look-up, so that a replay stays a replay whatever has changed since.
        def place_order(attempt: Attempt) -> Settlement:
            if expired:
                path = "$.metadata.order_validation_id"
                raise Failure("order_validation_expired", "the order was validated too long ago", path=path)
            attempt.also, attempt.sent_to = last_look, destination(adapter)
            return self._place_order(adapter, location_id, request, attempt, context)

        def find_order(submission: Submission) -> Settlement | None:
            if adapter.recovery == "look_up":
                return self.look_up(submission, context, request.order)
            _check_address(submission, adapter)

            def place_again(again: Attempt) -> Settlement:
                again.also = last_look
                return self._place_order(adapter, location_id, request, again, context)

            return self.submissions.repeat(submission, place_again)

        with self._bulkhead.room(adapter.account.name), limits.within(context.deadline.remaining()):
            # First, because what a submission is called depends on where its location is in the list.
            not_found = self._find_location(location_id, context, adapter)
            key, expired = self._submission_key(adapter, location_id, request, idempotency_key, context)
            if is_paid:
                key = replace(key, is_paid=True)
            if not_found is not None and not self.submissions.knows(key):
                # Ids that are not in a list of locations stay out of the ledger, unless they are in it already.
                raise not_found
            settlement = self.submissions.submit(
                key, place_order, find_order, deadline=context.deadline, fence_order=self.fence_of(adapter, context)
            )
        context.replayed, context.expected_charge = settlement.replayed, settlement.placed.expected_charge
        return SubmittedOrder(**settlement.answer)

    def open_ahead(self, location_id: str, own: OwnConnections, deadline: Deadline) -> None:
        """Open one of ``own`` to a location's provider in the background; see ``RequestContext.ahead``."""
        adapter = self._directory.account_of(location_id)
        self.transport.open_ahead(adapter.account.name, adapter.base_url, own, deadline)

    def order_status(
        self,
        location_id: str,
        order_id: str,
        idempotency_key: str | None,
        context: RequestContext,
        *,
        submitted_for: str | None = None,
    ) -> TrackedOrder:
        """STAT-1. ``idempotency_key``: that of the submission; without it the number must name one order.

        ``submitted_for``: the id of the submission's request, by which it is also found; see :meth:`submitted_for`.

        :raises Failure: ``status_not_supported``, ``order_not_found``, ``order_id_ambiguous``, or why the status is not
            known.
        """
        adapter = self._account_of(location_id, context)
        if not adapter.order_status:
            raise Failure("status_not_supported", f"{adapter.account.provider} does not report the status of orders")
        with self._bulkhead.room(adapter.account.name), limits.within(context.deadline.remaining()):
            routed, order = self._placed_order(adapter, location_id, order_id, idempotency_key, submitted_for, context)
            status = self._ask_status(routed, order, context)
            with suppress(LedgerUnavailable):
                # The next request records it.
                self.tracking.record(order, status)
        return shown(order, status, routed.zone)

    def cancel_order(
        self,
        location_id: str,
        order_id: str,
        idempotency_key: str | None,
        context: RequestContext,
        *,
        begin: Callable[[], None] | None = None,
        submitted_for: str | None = None,
    ) -> TrackedOrder:
        """STAT-6: the order with its status, which proves that it is canceled; arguments as in :meth:`order_status`.

        ``begin`` is called before the provider is asked for anything, and again just before it is asked to cancel.
        If it raises a failure, nothing more is sent. Without it, an order with a charge to refund is not canceled; that
        is looked up as often.

        :raises Failure: ``cancellation_refused``, ``cancellation_unknown``, or why nothing was sent.
        """
        adapter = self._account_of(location_id, context)
        if not adapter.cancels:
            raise Failure("cancellation_not_supported", f"{adapter.account.provider} cannot cancel orders")
        # What becomes of the order is recorded after the last call, whatever that gives.
        context.reserve = self.submissions.settling_time
        with self._bulkhead.room(adapter.account.name), limits.within(context.deadline.remaining()):
            # The order may be canceled already, and then the next thing to do is a refund.
            if begin is not None:
                begin()
            try:
                routed, order = self._placed_order(
                    adapter, location_id, order_id, idempotency_key, submitted_for, context, to_cancel=True
                )
                if not is_whole(order.provider_order_id):
                    raise Failure("cancellation_not_supported", _NOT_WHOLE)
                if begin is None:
                    self.tracking.check_not_charged(order)
                status = self._ask_status(routed, order, context)
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
                    self.tracking.check_not_charged(order)
                order = self.tracking.begin_cancellation(order)
                try:
                    status = self._cancel_at_provider(routed, order, context)
                except Failure as failure:
                    if failure.code != "cancellation_unknown":
                        self.tracking.end_cancellation(order)
                    raise
            with suppress(LedgerUnavailable):
                self.tracking.record_proof(order, status)
        return shown(order, status, routed.zone)

    def _cancel_at_provider(
        self, routed: RoutedLocation, order: PlacedOrder, context: RequestContext
    ) -> ReportedStatus:
        """Cancel an order; the status that proves it.

        :raises Failure: ``cancellation_unknown``, or why the provider has canceled nothing.
        """
        refusal = self._cancel(routed, order, context)
        try:
            status = self._ask_status(routed, order, context)
        except Failure as failure:
            raise cancellation_unknown(failure.message) from None
        check_canceled(status, refusal)
        return status

    def _cancel(self, routed: RoutedLocation, order: PlacedOrder, context: RequestContext) -> Failure | None:
        """Ask the provider to cancel an order; its refusal, or why it may not have got the request.

        :raises Failure: nothing was sent.
        """
        try:
            with self._session(routed.adapter, context, own=True, personal=_unknown(routed)) as session:
                # The other half is for the status.
                hurried = session.within(context.deadline.remaining() / 2, "")
                routed.adapter.cancel_order(routed.location, order.provider_order_id, order.reference, hurried)
        except Failure as failure:
            if not getattr(failure, "sent", True):
                raise
            return failure
        return None

    def _placed_order(
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
        routed, key = self._routed(location_id, context, adapter), tuple[identity.Identity, ...]()
        location = routed.id
        if idempotency_key is not None:
            key = identity.identities(location, content=b"", keys=self._identity_keys, idempotency_key=idempotency_key)
        return routed, self.tracking.find(location, order_id, key, submitted_for, to_cancel=to_cancel)

    def watch_order(self, order: PlacedOrder, context: RequestContext, *, lease: timedelta) -> ReportedStatus | None:
        """Ask the provider once for the status of an order and record it (STAT-5); None: somebody else does.

        :raises Failure: why the status is not known.
        """
        return self.tracking.ask(
            order,
            lambda claimed: self._ask_status(self._routed(order.location, context), claimed, context),
            lease=lease,
        )

    def check_menu(self, location_id: str, context: RequestContext, *, every: timedelta) -> None:
        """Look at a location's menu now, as :meth:`watch_menu` does, in one of the account's slots (EVT-9)."""
        with self._bulkhead.room(self._account_of(location_id, context).account.name):
            self.watch_menu(location_id, context, every=every)

    def check_order(self, order: PlacedOrder, context: RequestContext) -> None:
        """Ask the provider for the status of an order now, and record it, however recently that was done (EVT-9).

        :raises Failure: why the status is not known.
        """
        for _ in range(CHECKS):
            with self._bulkhead.room(order.account), limits.within(context.deadline.remaining()):
                status = self._ask_status(self._routed(order.location, context), order, context)
                if self.tracking.record(order, status):
                    return
            # Another request recorded one in between, which may be the older one.
            if (now := self.tracking.of(order.submission)) is None:
                # The database has lost the order, and so all that could be recorded of it.
                return
            order = now
        raise Failure("provider_busy", "others ask for the status of this order", retry_after=1)

    def _ask_status(self, routed: RoutedLocation, order: PlacedOrder, context: RequestContext) -> ReportedStatus:
        adapter = routed.adapter
        if not is_whole(order.provider_order_id):
            raise Failure("status_not_supported", _NOT_WHOLE)
        with self._session(adapter, context, own=True, personal=_unknown(routed)) as session, reading():
            reported = adapter.show_status(routed.location, order.provider_order_id, order.reference, session)
            status = order_status(reported, order.reference, adapter, session)
            stage, word = adapter.order_status.get(status.word), status.word
            if stage is None:
                word = mask_status(word)
            word = scrub(word, [*_secrets(adapter, None, None), *session.secrets])[:LONGEST_WORD]
            word = UNSTORABLE.sub("\ufffd", word)
        return ReportedStatus(stage, word, status.changed_at, status.expected_ready_at)

    def check_submission(
        self, location_id: str, request: SubmissionRequest, context: RequestContext, *, charged_in: str
    ) -> None:
        """Refuse what can be refused before anything is sent or charged: location, tender, fulfillment and time.

        ``charged_in``: the currency of its charge.

        :raises Failure: why the order could not be submitted.
        """
        with self._bulkhead.room(self._account_of(location_id, context).account.name):
            routed = self._routed(location_id, context)
            _check_tender(routed, request.tender)
            if routed.location.currency != charged_in:
                why = f"LevelUp charges {charged_in}, and this location's prices are in {routed.location.currency}"
                raise Failure("tender_not_accepted", why, path="$.provider_location_id")
            self._check_known_stock(routed, self._order(routed, request.order, submits=True))

    def validation_id(self, location_id: str, request: OrderRequest) -> ValidationId | None:
        """The id of the validation that an order comes from; None if it has no id of this service (META-8)."""
        return self._keeper.open_validation_id(self._published(location_id), request.metadata)

    def submitted_under(self, location_id: str, idempotency_key: str) -> tuple[Submission, ...]:
        """What was submitted under a key last, or was found to be the same order as that."""
        location, keys = self._published(location_id), self._identity_keys
        named = identity.identities(location, content=b"", keys=keys, idempotency_key=idempotency_key)
        return self.submissions.ledger.named(named)

    def submitted_for(self, location_id: str, request_id: str) -> tuple[Submission, ...]:
        """What was submitted for a request, also under secret keys that were dropped since."""
        return self.submissions.ledger.requested(self._published(location_id), request_id)

    def outline(
        self, location_id: str, request: SubmissionRequest, idempotency_key: str, context: RequestContext
    ) -> Mapping[str, Any]:
        """What :meth:`suspect` needs to know of a submission; digests only."""
        adapter = self._directory.account_of(location_id)
        key, _ = self._submission_key(adapter, location_id, request, idempotency_key, context)
        names = {each.kind: each.digests[0] for each in key.identities}
        return {"names": names, "content": key.content[0], "alike": key.alike[0]}

    def suspect(
        self,
        location_id: str,
        idempotency_key: str,
        outline: Mapping[str, Any],
        at: datetime,
        context: RequestContext,
    ) -> Submission:
        """A paid submission that may have been sent although the ledger has no record of that, to be reconciled.

        ``outline``: see :meth:`outline`; empty if it is lost, too. ``at``: when it was to be sent.

        :raises Failure: ``outcome_unknown``: its reference is not known; ``submission_in_progress``.
        """
        adapter = self._account_of(location_id, context)
        location, period = self._published(location_id), identity.period_of(at)
        if identity.period_of(self._clock()) != period:
            raise Failure("outcome_unknown", "the reference of this order depends on when it was sent")
        keys = self._identity_keys
        own = identity.identities(location, content=b"", keys=keys, idempotency_key=idempotency_key)
        names: Mapping[identity.Kind, str] = outline.get("names", {})
        others = [identity.Identity(kind, (digest,)) for kind, digest in names.items() if kind != "idempotency_key"]
        # An order whose content is lost equals no other.
        content = outline.get("content", f"lost:{idempotency_key.replace(' ', ':')}")
        # An order that was placed, or another one that was begun, under its number does not belong to it.
        others = [each for each in others if self._may_precede(each, content)]
        key = SubmissionKey(
            adapter.account.name,
            location,
            (*own, *others),
            (content,),
            context.request_id,
            identity.reference_of(location, key=self._reference_key, period=period, idempotency_key=idempotency_key),
            now=at,
            alike=(outline.get("alike", content),),
            is_paid=True,
        )
        return self.submissions.suspect(key)

    def _may_precede(self, named: identity.Identity, content: str) -> bool:
        """Whether all that was submitted under an identity was ruled out, or is unknown and the same order."""
        return all(
            each.state == "not_placed" or each.state == "unknown" and content in each.content
            for each in self.submissions.ledger.named((named,))
        )

    def is_called_off(self, submission: Submission) -> bool:
        """Whether nobody makes a placed order, by its last known status; asks no provider."""
        order = self.tracking.of(submission.id)
        return order is not None and order.stage in CALLED_OFF

    def note_location(self, location_id: str, context: RequestContext) -> None:
        """Let the log line of a request name a location, without asking its provider."""
        with suppress(Failure):
            self._account_of(location_id, context)
        context.location = location_id

    def reconcile(self, submission: Submission, context: RequestContext) -> Settlement | None:
        """Reconcile an unknown submission; None: no order exists.

        :raises Failure: ``outcome_unknown``: the outcome could not be determined now.
        """
        return self.submissions.reconcile(
            submission,
            lambda unknown: self.look_up(unknown, context),
            deadline=context.deadline,
            fence_order=self.fence_of(self._directory.account_of(submission.location), context),
        )

    def look_again(self, submission: Submission, context: RequestContext) -> Finding | None:
        """Look up a ruled-out submission once more (SUB-12); returns what a person must look at.

        Where the account has moved, a look counts only if it finds an order, until the last one is due.

        :raises Failure: ``outcome_unknown``: the outcome could not be determined now.
        """

        def find_order(found: Submission) -> Settlement | None:
            is_over = found.settled_at is None or found.seen_at - found.settled_at >= LOOKED_AGAIN[-1]
            return self._find_order(found, context) if is_over else self.look_up(found, context)

        return self.submissions.look_again(submission, find_order)

    def fence_of(self, adapter: Adapter, context: RequestContext) -> Callable[[Submission], None] | None:
        """Makes the provider refuse a late order of a submission (SUB-10); None if it cannot do that."""
        if not adapter.fences:
            return None

        def fence_order(submission: Submission) -> None:
            routed = self._routed(submission.location, context)
            if moved(submission, adapter):
                return  # a fence elsewhere stops nothing; look_up says so if there is no order
            with self._session(routed.adapter, context, own=True, personal=_unknown(routed)) as session:
                routed.adapter.fence_order(routed.location, submission.reference, own_trace(submission), session)

        return fence_order

    def look_up(
        self, submission: Submission, context: RequestContext, request: OrderRequest | None = None
    ) -> Settlement | None:
        """The order of a submission, as its provider knows it; None if there is none (SUB-5).

        ``request``: what was submitted, if it is known. The answer may contain its guest's account data (META-1).

        :raises Failure: ``outcome_unknown``: only sending the same submission again can determine the outcome; or there
            is none at the account's address, and it was sent to another one.
        """
        settlement = self._find_order(submission, context, request)
        if settlement is None:
            _check_address(submission, self._directory.account_of(submission.location))
        return settlement

    def _find_order(
        self, submission: Submission, context: RequestContext, request: OrderRequest | None = None
    ) -> Settlement | None:
        """The order of a submission at the account's present address."""
        routed = self._routed(submission.location, context)
        if routed.adapter.recovery != "look_up":
            raise Failure("outcome_unknown", "this provider cannot look up orders; send the same submission again")
        personal = _personal(request) if request else _unknown(routed)
        with self._session(routed.adapter, context, own=True, personal=personal) as session:
            reference = submission.reference
            found = routed.adapter.find_order(routed.location, reference, own_trace(submission), session)
            if found is None:
                return None
            secrets = [*_secrets(routed.adapter, None, None), *session.secrets]
            placed = placed_order(found, reference, routed.adapter, session, secrets)
        return self._settlement(routed, placed, request.user if request else None)

    def _submission_key(
        self,
        adapter: Adapter,
        location_id: str,
        request: SubmissionRequest,
        idempotency_key: str | None,
        context: RequestContext,
    ) -> tuple[SubmissionKey, bool]:
        """The identities of the submission (SUB-3), and whether its validation has expired (META-8)."""
        account, location = adapter.account.name, self._published(location_id)
        validation_id = self.validation_id(location_id, request.order)
        content, now = identity.content(request), self._clock()
        card = request.tender.single_use
        named = {
            "idempotency_key": idempotency_key,
            "order_number": request.order_number,
            "grubhub_order_number": request.grubhub_order_number,
            "order_validation_id": validation_id.value if validation_id else None,
        }
        key = SubmissionKey(
            account,
            location,
            identity.identities(location, content=content, keys=self._identity_keys, card_number=card, **named),
            identity.content_digests(location, content, self._identity_keys),
            context.request_id,
            identity.reference_of(location, key=self._reference_key, period=identity.period_of(now), **named),
            card is not None,
            now,
            identity.alike_digests(location, content, request.order.user.name, self._identity_keys),
        )
        return key, validation_id is not None and validation_id.expired(now)

    def _place_order(
        self,
        adapter: Adapter,
        location_id: str,
        request: SubmissionRequest,
        attempt: Attempt,
        context: RequestContext,
    ) -> Settlement:
        routed = self._routed(location_id, context, adapter)
        _check_tender(routed, request.tender)
        order = self._order(routed, request.order, attempt, submits=True)
        if attempt.is_new:
            self._check_known_stock(routed, order)
        with self._session(routed.adapter, context, order, request.tender, attempt, own=True) as session:
            placed = place_order(routed.adapter, order, request.tender, session)
            if not attempt.reported():
                _report_unmarked(routed.adapter, attempt, session)
            secrets = [*_secrets(routed.adapter, order, request.tender), *session.secrets]
            placed = placed_order(placed, order.reference, routed.adapter, session, secrets)
        return self._settlement(routed, placed, order.user)

    def _account_of(self, location_id: str, context: RequestContext) -> Adapter:
        adapter = self._directory.account_of(location_id)
        context.account, context.provider = adapter.account.name, adapter.account.provider
        context.location = self._directory.known_id(location_id)
        if context.location is None and clean(location_id) != location_id:
            # A key or card number in the URL must not reach the ledger either.
            raise Failure("location_not_found", "there is no such location")
        return adapter

    def _find_location(self, location_id: str, context: RequestContext, adapter: Adapter) -> Failure | None:
        """Read the list of locations, unless this location is known; why it was not found there."""
        if context.location is None:
            try:
                self._routed(location_id, context, adapter)
            except Failure as failure:
                return failure
        return None

    def _published(self, location_id: str) -> str:
        """The published id of a location, however it was escaped."""
        return self._directory.known_id(location_id) or _canonical(location_id)

    def _routed(self, location_id: str, context: RequestContext, adapter: Adapter | None = None) -> RoutedLocation:
        adapter = adapter or self._account_of(location_id, context)
        if (routed := self._directory.current(location_id)) is None:
            with self._session(adapter, context) as session:
                routed = self._directory.location(location_id, session)
        context.location = routed.id
        return routed

    def _session(
        self,
        adapter: Adapter,
        context: RequestContext,
        order: Order | None = None,
        tender: Tender | None = None,
        attempt: Attempt | None = None,
        own: bool = False,
        personal: PersonalWords | Withheld | None = None,
    ) -> Session:
        """Calls to one account's provider.

        ``own``: over separate connections, as for every call that decides the outcome of an order. ``personal``: for
        calls about an order other than ``order``.
        """
        return Session(
            self.transport,
            adapter.account.name,
            base_url=adapter.base_url,
            headers=adapter.headers(),
            error_from=adapter.error_from,
            deadline=context.deadline.before(context.reserve),
            calls=context.calls,
            own=own,
            ahead=context.ahead if attempt else None,
            placement=attempt.placement if attempt else None,
            known=[*_secrets(adapter, order, tender), *_private(order)],
            personal=_personal(order) if order else personal,
        )

    def _order(
        self,
        routed: RoutedLocation,
        request: OrderRequest,
        attempt: Attempt | None = None,
        *,
        submits: bool = False,
    ) -> Order:
        """The order as the adapter receives it; ``submits``: for a submission, not for a validation.

        :raises Failure: ``fulfillment_not_supported``, ``delivery_address_incomplete``, ``ready_time_in_past``,
            ``ready_time_unavailable``.
        """
        account, location, now = routed.adapter.account.name, routed.location, self._clock()
        order = Order(
            location=location,
            items=request.items,
            user=request.user,
            # A repeated request must say what the first one said.
            received_at=(attempt.received_at if attempt else None) or now,
            desired_ready_time=request.desired_ready_time,
            fulfillment_type=request.fulfillment_type,
            special_instructions=request.special_instructions,
            tip=request.tip if location.accepts_tips(request.fulfillment_type) else 0,
            merchant_funded_discount=request.merchant_funded_discount,
            delivery_address=request.delivery_address,
            customer_account=self._keeper.open_customer_account(account, request.metadata, request.user),
            cart=self._keeper.open_cart(account, routed.id, request.metadata, request.user) if submits else {},
            reference=attempt.reference if attempt else None,
        )
        if attempt is not None and attempt.is_new:
            # An order that may have been placed already is no longer refused.
            if (validation := self._keeper.open_validation_id(routed.id, request.metadata)) is not None:
                order = replace(order, shown=validation.shown)
        if order.fulfillment_type not in routed.adapter.fulfillments or not location.fulfills(order.fulfillment_type):
            words = f"this location does not offer {order.fulfillment_type}"
            raise Failure("fulfillment_not_supported", words, path="$.fulfillment_type")
        if order.fulfillment_type == "delivery":
            check_address(order.delivery_address, missing_is_fine=not submits)
        if (desired := order.desired_ready_time) is None:
            return order
        path = "$.desired_ready_time"
        if routed.zone is not None:
            desired = ready_time.localize(desired, routed.zone)
        elif desired.tzinfo is None:
            raise Failure("ready_time_unavailable", "the time zone of this location is not known", path=path)
        if attempt is None or attempt.is_new:
            ready_time.check_not_past(desired, now, path=path)
        return replace(order, desired_ready_time=desired)

    def _check(self, order: Order, quote: Quote) -> None:
        """Refuse a price that does not add up (MONEY-9)."""
        if quote.merchant_funded_discount != order.merchant_funded_discount:
            discounts = f"{quote.merchant_funded_discount} of {order.merchant_funded_discount} cents"
            raise broken_protocol(f"the provider applied a different merchant-funded discount: {discounts}")
        parts = (quote.food, quote.tax, quote.tip or 0, quote.provider_funded_discount)
        amounts = (*parts, *(fee.amount for fee in quote.fees), *(quote.lines or ()), quote.total)
        if not all(money.is_cents(amount) for amount in amounts):
            raise broken_protocol("the provider's price contains an amount out of range")
        if quote.charged is not None and quote.charged != quote.consumer_pays:
            sums = f"its parts add up to {quote.consumer_pays} cents, its total is {quote.charged}"
            raise broken_protocol(f"the provider's price does not add up: {sums}")
        if quote.lines is not None and (len(quote.lines) != len(order.items) or sum(quote.lines) != quote.food):
            sums = f"{len(quote.lines)} lines of {len(order.items)} add up to {sum(quote.lines)} cents of {quote.food}"
            raise broken_protocol(f"the provider's price does not add up: {sums}")
        if quote.fees and self._settings.refuse_fees:
            names = ", ".join(fee.name for fee in quote.fees)
            raise Failure("fees_not_representable", f"the provider adds a fee: {names}")

    def _metadata(self, routed: RoutedLocation, order: Order, quote: Quote) -> Mapping[str, Any]:
        account = routed.adapter.account.name
        metadata: dict[str, Any] = {
            **self._keeper.issue_validation_id(
                routed.id, order.received_at, order.desired_ready_time, quote.ready.soonest
            ),
            **self._keeper.seal_customer_account(account, quote.customer_account, order.user),
            **self._keeper.seal_cart(account, routed.id, quote.cart, order.user),
        }
        if quote.address_decides:
            metadata["order_address_decides"] = sorted(quote.address_decides)
        if quote.fees:
            metadata["order_fees"] = [{"name": fee.name, "amount": fee.amount} for fee in quote.fees]
        return metadata

    def _settlement(self, routed: RoutedLocation, placed: Placed, guest: User | None) -> Settlement:
        account, metadata = routed.adapter.account.name, dict[str, str]()
        if guest:
            metadata = self._keeper.seal_customer_account(account, placed.customer_account, guest)
        ready_at = ready_time.to_wire(placed.expected_ready_at, routed.zone)
        # The members of a SubmittedOrder.
        answer = {"order_id": placed.order_id, "expected_ready_at": ready_at, "metadata": metadata}
        return Settlement(placed, answer)


def _orderable(menu: menus.Menu, stock: Stock | None) -> menus.Menu:
    return orderable(in_stock(menu, stock) if stock else menu)


def _checked(menu: menus.Menu) -> menus.Menu:
    """The menu. :raises Failure: ``menu_invalid``."""
    problems = menus.check(menu)
    if not any(category.items for category in menu.categories):
        # The channel's last good menu is better than one that contradicts itself.
        problems += menu.left_out
    if problems:
        more = f" (and {len(problems) - 3} more)" if len(problems) > 3 else ""
        raise Failure("menu_invalid", "; ".join(problems[:3]) + more)
    return menu


def _validated(quoted: QuotedOrder) -> ValidatedOrder:
    routed, order, quote = quoted.routed, quoted.order, quoted.quote
    soonest = ready_time.to_wire(quote.ready.soonest, routed.zone)
    slots = ready_time.available_at(quote.ready, order.desired_ready_time, order.received_at)
    return ValidatedOrder(
        total=quote.total,
        tax=quote.tax,
        tip=quote.tip if routed.location.accepts_tips(order.fulfillment_type) else None,
        merchant_funded_discount=order.merchant_funded_discount,
        provider_funded_discount=quote.provider_funded_discount,
        soonest_available_at=soonest,
        ready_at=soonest,
        available_at=None if slots is None else [ready_time.to_wire(slot, routed.zone) or "" for slot in slots],
        metadata=quoted.metadata,
    )


def _canonical(location_id: str) -> str:
    """The canonical form of a location's id, however it was escaped."""
    account, _, provider_id = location_id.partition(".")
    return wire_id(account, unquote(provider_id))


def tenders_at(routed: RoutedLocation) -> frozenset[TenderKind]:
    """The tenders that a location takes (PAY-3)."""
    adapter, location = routed.adapter, routed.location
    return adapter.tenders if location.tenders is None else adapter.tenders & location.tenders


def _check_tender(routed: RoutedLocation, tender: Tender) -> None:
    if tender.kind not in tenders_at(routed):
        path = "$.credit_card" if tender.kind == "credit_card" else "$.tender"
        raise Failure("tender_not_accepted", f"this location does not take {tender.kind}", path=path)


def _report_unmarked(adapter: Adapter, attempt: Attempt, session: Session) -> None:
    """Report an adapter that says that the order is placed, although no call of it said that it places one (SUB-2)."""
    name, remedy = type(adapter).__name__, "correct the adapter: the call that places an order says places_order=True"
    facts = {"account": adapter.account.name, "submission": attempt.id, "reference": attempt.reference}
    log.error(
        "placed_without_placing_call",
        extra={**facts, "cause": f"{name} returned an order{last_call(session)}", "remedy": remedy},
    )


def _personal(order: Order | OrderRequest) -> PersonalWords:
    return PersonalWords(order.user, order.delivery_address)


def _check_address(submission: Submission, adapter: Adapter) -> None:
    """:raises Failure: it was sent elsewhere, or under another name, than the account has now, which proves nothing."""
    if (move := moved(submission, adapter)) is not None:
        facts = {
            "submission": submission.id, "reference": submission.reference, "account": submission.account,
            "sent_to": move.sent_to, "address": move.address, "changed": list(move.changed),
        }  # fmt: skip
        log.error("provider_address_changed", extra={**facts, "remedy": move.remedy})
        words = f"it was sent with another {' and '.join(move.changed)} than the account has now"
        raise Failure("outcome_unknown", words)


def _unknown(routed: RoutedLocation) -> Withheld | None:
    """For calls about an order whose content is not known any more, and which may be a delivery (DELIVERY-4)."""
    return Withheld() if "delivery" in routed.adapter.fulfillments else None


def _private(order: Order | None) -> Iterator[Secret]:
    """The parts of a delivery address, which a provider may repeat in its words (DELIVERY-4)."""
    if order is not None and order.delivery_address is not None:
        # A shorter one, such as the number of a floor, says nothing, and occurs in amounts.
        yield from (Secret(part) for part in order.delivery_address.private if len(part) >= SHORTEST_PRIVATE)


def _secrets(adapter: Adapter, order: Order | None, tender: Tender | None) -> Iterator[Secret]:
    values: list[Any] = list(adapter.account.settings.values())
    if order is not None:
        values += [*order.customer_account.values(), *order.cart.values()]
    if tender is not None:
        values += tender.secrets
    return (value for value in values if isinstance(value, Secret))
