"""The menus of locations, without what is sold out (EP-3)."""

from __future__ import annotations

from collections.abc import Callable

from levelup_ov.domain.failure import Failure
from levelup_ov.domain.menu import Menu, check
from levelup_ov.domain.orderable import orderable
from levelup_ov.domain.stock import Stock, in_stock
from levelup_ov.errors import reading
from levelup_ov.ordering.locations import RoutedLocation
from levelup_ov.ordering.request_context import RequestContext
from levelup_ov.ordering.routing import Routing
from levelup_ov.ordering.stock_and_pauses import KnownStock
from levelup_ov.ordering.written_menus import WrittenMenu, WrittenMenus
from levelup_ov.transport.session import Session


class Menus:
    """The menus of the locations that ``routing`` finds, with what ``stock`` knows of them."""

    def __init__(self, routing: Routing, stock: KnownStock) -> None:
        self._routing = routing
        self._stock = stock
        self._written = WrittenMenus()

    def show(self, location_id: str, context: RequestContext) -> Menu:
        """The menu. :raises Failure: ``location_not_found``, ``menu_invalid``, or the provider's failure."""
        return _checked(self.read(location_id, context))

    def written(
        self, location_id: str, context: RequestContext, write: Callable[[Menu], tuple[bytes, str]]
    ) -> WrittenMenu:
        """The same, as ``write`` writes it: its content and ETag.

        While nothing that it is made of has changed, it is neither made nor written again.
        """
        adapter = self._routing.account_of(location_id, context)
        with self._routing.bulkhead.room(adapter.account.name):
            routed = self._routing.location(location_id, context, adapter)
            with self._routing.session(adapter, context) as session, reading():
                written = self._written.find(routed)
                if written is not None and written.stock == self._stock.read(routed, session):
                    return written
                menu, stock, fresh_until = self._read(routed, session)
        content, etag = write(_checked(_orderable(menu, stock)))
        written = WrittenMenu(content, etag, fresh_until, routed.location, stock)
        self._written.keep(routed, written)
        return written

    def read(self, location_id: str, context: RequestContext) -> Menu:
        """The orderable part of the adapter's menu (MENU-6), valid or not."""
        adapter = self._routing.account_of(location_id, context)
        with self._routing.bulkhead.room(adapter.account.name):
            routed = self._routing.location(location_id, context, adapter)
            with self._routing.session(adapter, context) as session, reading():
                menu, stock, _ = self._read(routed, session)
        return _orderable(menu, stock)

    def _read(self, routed: RoutedLocation, session: Session) -> tuple[Menu, Stock | None, float]:
        """The adapter's menu, the stock, and until when the menu would be the same."""
        menu, fresh_until = routed.adapter.show_menu(routed.location, session), session.freshness.until
        return menu, self._stock.read(routed, session), fresh_until


def _orderable(menu: Menu, stock: Stock | None) -> Menu:
    return orderable(in_stock(menu, stock) if stock else menu)


def _checked(menu: Menu) -> Menu:
    """The menu. :raises Failure: ``menu_invalid``."""
    problems = check(menu)
    if not any(category.items for category in menu.categories):
        # The channel's last good menu is better than one that contradicts itself.
        problems += menu.left_out
    if problems:
        more = f" (and {len(problems) - 3} more)" if len(problems) > 3 else ""
        raise Failure("menu_invalid", "; ".join(problems[:3]) + more)
    return menu
