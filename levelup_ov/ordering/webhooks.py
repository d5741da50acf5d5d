"""Webhooks of providers: each makes the service ask the provider, and nothing that it says is believed (EVT-9)."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from functools import cached_property

from levelup_ov.adapter import Adapter, NotGenuine, Notice
from levelup_ov.domain.failure import Failure
from levelup_ov.ledger.ledger import Ledger
from levelup_ov.ledger.statuses import PlacedOrder
from levelup_ov.ledger.webhooks import Notices
from levelup_ov.ordering.reported_orders import UNSTORABLE
from levelup_ov.ordering.request_context import RequestContext
from levelup_ov.ordering.service import Service

OLDEST = timedelta(hours=25)
"""Providers repeat a message for a day."""
FUTURE = timedelta(minutes=5)
"""How far a provider's clock may be ahead."""
SOON = timedelta(seconds=5)
"""A menu is not looked at again within this time: stock often changes item by item."""
LONGEST_ID = 200

log = logging.getLogger(__name__)


class ProviderNotices:
    """Receives the messages for ``accounts``. ``clock`` returns the current time, aware."""

    def __init__(
        self, service: Service, ledger: Ledger, accounts: Mapping[str, Adapter], clock: Callable[[], datetime]
    ) -> None:
        self._service = service
        self._ledger = ledger
        self._accounts = accounts
        self._clock = clock

    @cached_property
    def _notices(self) -> Notices:
        # Kept for longer than a message is accepted, so that none is accepted twice.
        return Notices(self._ledger, OLDEST + 2 * FUTURE)

    def receive(
        self, account: str, headers: Mapping[str, str], body: Callable[[], bytes], context: RequestContext
    ) -> None:
        """Look up what the message is about. It is kept only after that, so one that fails comes again.

        ``body`` reads it; without an account that takes webhooks, nobody waits for it.

        :raises Failure: ``not_found``, ``notice_refused``, or why the provider could not be asked.
        """
        adapter = self._accounts.get(account)
        if adapter is None or not adapter.takes_notices:
            raise Failure("not_found", "no account takes webhooks at this address")
        context.account, context.provider = account, adapter.account.provider
        try:
            notice = adapter.read_notice({name.lower(): value for name, value in headers.items()}, body())
        except NotGenuine as fault:
            log.warning("notice_refused", extra={"account": account, "reason": fault.why})
            raise Failure("notice_refused", "the message is not signed by the provider") from None
        if not -FUTURE <= self._clock() - notice.sent_at <= OLDEST or len(notice.id) > LONGEST_ID:
            log.warning("notice_refused", extra={"account": account, "reason": "age"})
            raise Failure("notice_refused", "the message is too old, or from the future")
        if any(map(UNSTORABLE.search, (notice.id, *notice.orders))):
            log.warning("notice_refused", extra={"account": account, "reason": "content"})
            raise Failure("notice_refused", "the message has an id that cannot be recorded")
        if self._notices.knows(account, notice.id):
            return
        for provider_order_id in notice.orders:
            if (order := self._order(adapter, provider_order_id)) is not None:
                self._service.placed_orders.check(order, context)
        self._look_at_menus(account, notice, context)
        self._notices.keep(account, notice.id)

    def _look_at_menus(self, account: str, notice: Notice, context: RequestContext) -> None:
        """Look at the menus that may have changed; those that were just looked at wait for the next watch."""
        if notice.menus == ():
            return
        # A message that comes again because time ran out goes on where it stopped.
        every = max(SOON, self._clock() - notice.sent_at - FUTURE)
        for routed in self._service.menu_watching.locations(account, context):
            if notice.menus is None or routed.location.provider_id in notice.menus:
                self._service.menu_watching.look_now(routed.id, context, every=every)

    def _order(self, adapter: Adapter, provider_order_id: str) -> PlacedOrder | None:
        """The order, if it was placed here: restaurants have others. One subscription may serve several accounts."""
        same = [name for name, each in self._accounts.items() if type(each) is type(adapter) and each.order_status]
        for account in sorted(same, key=lambda name: name != adapter.account.name):
            if (holder := self._ledger.reader.holder(account, provider_order_id)) is not None:
                return self._service.tracking.of(holder.id)
        return None
