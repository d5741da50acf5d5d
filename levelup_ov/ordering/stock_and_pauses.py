"""The stock of each location, read between menus: bounded, one request at a time, and never in the way (MENU-8)."""

from __future__ import annotations

import logging
import threading
from dataclasses import dataclass

from levelup_ov.domain.failure import Failure
from levelup_ov.domain.order import Order
from levelup_ov.domain.stock import Stock
from levelup_ov.errors import Refused, reading
from levelup_ov.ordering.locations import RoutedLocation
from levelup_ov.transport import net
from levelup_ov.transport.session import Session

PATIENCE = 2.0
"""Seconds that a request waits for the stock, at most."""
STALE_FOR = 600.0
"""Seconds for which an older stock serves while the provider reports no newer one."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _StockEntry:
    """``asked_at`` is the last attempt, ``read_at`` the last success; both by the monotonic clock."""

    stock: Stock | None
    read_at: float
    asked_at: float


class KnownStock:
    """The last known stock of each location, used for ``ttl`` seconds without asking again; 0: nothing is asked."""

    def __init__(self, ttl: float) -> None:
        self.ttl = ttl
        self._entries: dict[str, _StockEntry] = {}
        self._locks: dict[str, threading.Lock] = {}

    def known(self, location: str) -> Stock | None:
        """The stock as it was read last, without asking; None if that is too long ago."""
        entry = self._entries.get(location)
        return entry.stock if entry is not None and net.now() - entry.read_at <= self.ttl + STALE_FOR else None

    def fresh(self, location: str) -> Stock | None:
        """The stock, without asking, if it was read within ``ttl``."""
        entry = self._entries.get(location)
        return entry.stock if entry is not None and net.now() - entry.read_at <= self.ttl else None

    def read(self, routed: RoutedLocation, session: Session) -> Stock | None:
        """The stock, from its provider if it is time to ask again. Another request that asks already is not waited for.

        A failure is logged, and older data serves; None: nothing is known, or the provider does not report it.
        """
        if not routed.adapter.reports_stock or not self.ttl:
            return None
        location, entry = routed.id, self._entries.get(routed.id)
        if entry is None or net.now() - entry.asked_at > self.ttl:
            lock = self._locks.setdefault(location, threading.Lock())
            if lock.acquire(blocking=False):
                try:
                    self._refresh(routed, entry, session)
                finally:
                    lock.release()
        return self.known(location)

    def check(self, order: Order, routed: RoutedLocation) -> None:
        """Refuse a submission by a stock that was read just now, usually by its validation.

        Nothing is asked here: the provider decides by its own stock.

        :raises Refused: as :func:`check_stock`.
        """
        if (stock := self.fresh(routed.id)) is not None:
            check_stock(order, stock)

    def _refresh(self, routed: RoutedLocation, entry: _StockEntry | None, session: Session) -> None:
        location = routed.id
        try:
            # Its failures must not stop other calls to the provider.
            part = f"stock of {routed.location.provider_id}"
            with reading():
                stock = routed.adapter.show_stock(routed.location, session.within(PATIENCE, part))
        except Failure as failure:
            log.warning("stock_not_read", extra={"location": location, "code": failure.code})
            older = entry or _StockEntry(None, 0.0, 0.0)
            self._entries[location] = _StockEntry(older.stock, older.read_at, net.now())
        else:
            if stock.unread is not None:
                log.warning("stock_read_in_part", extra={"location": location, "code": stock.unread.code})
            self._entries[location] = _StockEntry(stock, net.now(), net.now())


def check_stock(order: Order, stock: Stock) -> None:
    """Refuse an order that cannot be made with this stock.

    :raises Refused: ``location_closed``, or ``item_unavailable`` with the path of the item or option.
    """
    if stock.paused:
        raise Refused("location_closed", "the location takes no orders at the moment")
    for position, item in enumerate(order.items):
        path = f"$.items[{position}].item"
        if stock.lacks_item(item.provider_id):
            raise Refused("item_unavailable", f"item {item.provider_id} is sold out", path=path)
        for number, option in enumerate(item.options):
            if stock.lacks_option(option.provider_id):
                where = f"{path}.options[{number}].option"
                raise Refused("item_unavailable", f"option {option.provider_id} is sold out", path=where)
