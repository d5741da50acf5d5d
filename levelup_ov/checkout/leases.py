"""Leases: which request is processing an order, and since when, by a clock that cannot be set.

A mark says when something happened, in one boot of one host. Processes of that boot know its age; others count from
when they first saw it, and store that in the database. So no lease ends early, whatever the wall clocks say.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from typing import Any

from levelup_ov.checkout.store import CheckoutStore, StoredOrder
from levelup_ov.domain.checkout import OrderState
from levelup_ov.ledger.boot_clock import Observer

REST = 300_000
"""Milliseconds for which the command sends nothing more for a case of unknown outcome.

Nobody can settle it while what was sent may still arrive, and the command runs each minute.
"""


class Leases:
    """Leases on orders; ``lease`` is their length in milliseconds."""

    def __init__(self, store: CheckoutStore, observer: Observer, lease: int) -> None:
        self._store = store
        self._observer = observer
        self.lease = lease

    def new(self) -> str:
        """A mark for now."""
        return f"{secrets.token_hex(8)}|{self._observer.boot}|{self._observer.now_ms()}"

    def age(self, mark: str) -> int:
        """The least age of ``mark`` in milliseconds."""
        token, _, rest = mark.partition("|")
        boot, _, since = rest.rpartition("|")
        now = self._observer.now_ms()
        if boot == self._observer.boot:
            return now - int(since)
        return now - self._store.first_sight(token, self._observer.boot, now)

    def has_ended(self, mark: str | None) -> bool:
        """Whether a lease with this mark is over, or there was none."""
        return mark is None or self.age(mark) >= self.lease

    def is_recent(self, mark: str | None) -> bool:
        """Whether something was sent, and its outcome is not known, so recently that a person could not settle it."""
        return mark is not None and self.age(mark) < REST

    def is_from_before(self, mark: str | None, moment: tuple[str, int] | None) -> bool:
        """Whether ``mark`` was made in the same boot as ``moment``, a boot and its milliseconds, and not after it."""
        if mark is None or moment is None:
            return mark is None
        boot, _, since = mark.partition("|")[2].rpartition("|")
        return boot == moment[0] and int(since) <= moment[1]

    def left(self, mark: str | None) -> float:
        """Seconds until a lease with this mark is over."""
        return 0 if mark is None else max(self.lease - self.age(mark), 0) / 1000

    def take(
        self, order: StoredOrder, sources: Sequence[OrderState] | None = None, *, held: bool = False, **values: Any
    ) -> StoredOrder | None:
        """``order`` with a new lease for the caller; None: another request is processing it, or its state has changed.

        ``held``: even if its lease is not over, because its owner is done.
        """
        if not held and not self.has_ended(order.held):
            return None
        return self._store.change_order(
            order.id, sources or (order.state,), held=order.held, values={**values, "held": self.new()}
        )

    def still_ours(self, order: StoredOrder) -> bool:
        """Whether the caller still has the lease on ``order``."""
        now = self._store.order(order.id)
        return now is not None and (now.held, now.state) == (order.held, order.state)
