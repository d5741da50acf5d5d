"""Orders of web checkout for a person to look at, newest first."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import or_, select

from levelup_ov.checkout.proof import one_case
from levelup_ov.checkout.store import ACTIONS, HAS_CASE, ORDERS, StoredOrder
from levelup_ov.domain.checkout import OrderState
from levelup_ov.ledger.browsing import ReadingDatabase
from levelup_ov.ledger.operator_actions import OperatorAction
from levelup_ov.ledger.records import from_ms

_O = ORDERS.c


class OrdersBrowser:
    """Raises as :class:`~levelup_ov.ledger.browsing.ReadingDatabase` does."""

    def __init__(self, reading: ReadingDatabase) -> None:
        self._reading = reading

    def page(self, state: OrderState | None, below: str | None, size: int) -> tuple[Sequence[StoredOrder], bool]:
        """The first ``size`` orders in ``state``, of those older than the one with the id ``below``; are there more?"""
        query = select(ORDERS).order_by(_O.id.desc()).limit(size + 1)
        if state is not None:
            query = query.where(_O.state == state)
        if below is not None:
            query = query.where(_O.id < below)
        found = self._orders(query)
        return found[:size], len(found) > size

    def order(self, id: str) -> StoredOrder | None:
        """The order that has this id or this LevelUp UUID."""
        this = one_case(id)
        return next(iter(self._orders(select(ORDERS).where(or_(_O.id == this, _O.uuid == this)))), None)

    def actions(self, order: StoredOrder) -> Sequence[OperatorAction]:
        """What operators did to an order, oldest first."""
        query = select(ACTIONS).where(ACTIONS.c.order_id == order.id).order_by(ACTIONS.c.at)
        rows = self._reading.rows(query)
        return [OperatorAction(row.operator, row.request_id, from_ms(row.at), row.outcome) for row in rows]

    def cases(self, limit: int) -> Sequence[StoredOrder]:
        """Those that a person must settle, oldest first."""
        return self._orders(select(ORDERS).where(HAS_CASE).order_by(_O.id).limit(limit))

    def _orders(self, query: Any) -> list[StoredOrder]:
        return [StoredOrder(**row._asdict()) for row in self._reading.rows(query)]
