"""Watched menus: look at one, and record what has changed since the last look, with its events (MENU-9)."""

from __future__ import annotations

import logging
from datetime import timedelta

from levelup_ov.domain.event import Event
from levelup_ov.domain.orderable import orderable
from levelup_ov.domain.stock import Stock
from levelup_ov.errors import reading
from levelup_ov.ledger.menu_watches import MenuWatches
from levelup_ov.ordering.locations import RoutedLocation
from levelup_ov.ordering.menu_changes import changes, kept_version, seen_menu, stock_digest
from levelup_ov.ordering.request_context import RequestContext
from levelup_ov.ordering.routing import Routing
from levelup_ov.transport import net

log = logging.getLogger(__name__)


class MenuWatching:
    """Looks at the menus of the locations that ``routing`` finds; ``watches`` has what was seen last."""

    def __init__(self, routing: Routing, watches: MenuWatches) -> None:
        self._routing = routing
        self._watches = watches
        self._versions: dict[str, tuple[str | None, float]] = {}

    def locations(self, merchant_id: str, context: RequestContext) -> list[RoutedLocation]:
        """The locations whose menus are watched, those first that were looked at longest ago, or never.

        :raises Failure: as :meth:`Routing.locations`, or the ledger's.
        """
        found = self._routing.locations(merchant_id, context)
        asked = self._watches.asked(merchant_id)
        return sorted((each for each in found if not each.location.terminated), key=lambda each: asked.get(each.id, 0))

    def look(self, location_id: str, context: RequestContext, *, every: timedelta) -> list[Event] | None:
        """Look at a location's menu and record what changed, with its events; None: it was just looked at.

        If the provider has versions, a menu is read only if its version or the stock has changed.

        :raises Failure: the menu or the stock is not known.
        """
        adapter = self._routing.account_of(location_id, context)
        routed = self._routing.location(location_id, context, adapter)
        look = self._watches.claim(adapter.account.name, routed.id, every)
        if look is None:
            return None
        before, location = look.before, routed.location
        with self._routing.session(adapter, context) as session, reading():
            version = kept_version(adapter.show_menu_version(location, session)) if adapter.versions_menus else None
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
        if seen != before and not self._watches.record(look, seen, events):
            return []
        for event in events:
            log.info("menu_changed", extra={"location": routed.id, "event": event.kind, **event.data})
        return events

    def look_now(self, location_id: str, context: RequestContext, *, every: timedelta) -> None:
        """The same, in one of the account's slots (EVT-9)."""
        with self._routing.bulkhead.room(self._routing.account_of(location_id, context).account.name):
            self.look(location_id, context, every=every)

    def _known_since(self, account: str, version: str | None) -> float:
        """Since when this process knows ``version``: an answer that was fetched since then is not older.

        The locations of an account may share a version, and the answers that have it.
        """
        known, since = self._versions.get(account, (None, 0.0))
        if version is None or version != known:
            since = net.now()
            self._versions[account] = version, since
        return since
