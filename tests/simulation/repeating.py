"""FFTP as adapters would use it that trust its keys: they send the placing call again, as Square's does."""

from __future__ import annotations

import copy
from typing import Any

from adapters.fftp import FftpAdapter
from levelup_ov.domain.order import Order
from levelup_ov.domain.outcome import Placed
from levelup_ov.domain.tender import Tender
from levelup_ov.transport.session import Reply, Session


class RepeatingFftp(FftpAdapter):
    """Its placing call goes out again where it was not answered."""

    def submit_order(self, order: Order, tender: Tender, session: Session) -> Placed:
        repeating = copy.copy(session)
        repeating.__class__ = _RepeatingSession
        return super().submit_order(order, tender, repeating)


class ReplayingFftp(RepeatingFftp):
    """What became of an order is found out by submitting it again."""

    recovery = "replay"


class _RepeatingSession(Session):
    def call(self, *request: Any, repeatable: bool = False, **how: Any) -> Reply:
        return super().call(*request, repeatable=True, **how)
