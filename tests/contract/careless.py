"""A provider on a wire, and adapters for it with the mistakes that a partner may make."""

from __future__ import annotations

import json
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

from levelup_ov.adapter import Setting
from levelup_ov.domain.location import Location
from levelup_ov.domain.order import Order
from levelup_ov.domain.outcome import Placed
from levelup_ov.domain.status import OrderStatus, Stage
from levelup_ov.domain.tender import Tender
from levelup_ov.errors import Refused, Unanswered
from levelup_ov.transport.session import Session
from tests.contract.fakes import FakeAdapter
from tests.transport.wire import Peer, read_request, reply


@dataclass
class Till:
    """The provider: ``orders`` are the references of what it took. It loses the first ``losing`` answers to orders."""

    losing: int = 0
    orders: list[str] = field(default_factory=list)

    def serve(self, server: Peer, connection: socket.socket) -> None:
        while (request := read_request(connection)) is not None:
            if request.line.startswith("POST"):
                self.orders.append(json.loads(request.body)["reference"])
                if len(self.orders) <= self.losing:
                    return
                connection.sendall(reply(json.dumps(self.row(len(self.orders))).encode()))
            else:
                rows = [self.row(number) for number in range(1, len(self.orders) + 1)]
                connection.sendall(reply(json.dumps(rows).encode()))

    def row(self, number: int) -> dict[str, Any]:
        return {"id": f"order-{number}", "number": f"T-{number}", "reference": self.orders[number - 1]}


class TillAdapter(FakeAdapter):
    """Correct. ``members`` replaces what it reports of an order, when it is placed and when it is found."""

    settings: ClassVar[Mapping[str, Setting]] = {"base_url": Setting("its address", required=True, url=True)}
    members: ClassVar[Mapping[str, Any]] = {}

    def submit_order(self, order: Order, tender: Tender, session: Session) -> Placed:
        return self._placed(self._place(order, session))

    def _place(self, order: Order, session: Session, **how: Any) -> dict[str, Any]:
        answer: dict[str, Any] = session.post(
            "/orders", {"reference": order.reference}, **{"places_order": True, **how}
        ).json()
        return answer

    def _placed(self, row: Mapping[str, Any]) -> Placed:
        return replace(Placed(row["number"], row["id"], reference=row["reference"]), **self.members)

    def find_order(
        self, location: Location, reference: str, trace: Mapping[str, Any], session: Session
    ) -> Placed | None:
        rows = [row for row in session.get("/orders").json() if row["reference"] == reference]
        return self._placed(rows[0]) if rows else None


class TriesAgain(TillAdapter):
    """Sends the order again, whatever went wrong."""

    def submit_order(self, order: Order, tender: Tender, session: Session) -> Placed:
        try:
            return super().submit_order(order, tender, session)
        except Unanswered:
            return super().submit_order(order, tender, session)


class TurnsLostIntoRefused(TillAdapter):
    """Takes an order without an answer for one that was refused."""

    def submit_order(self, order: Order, tender: Tender, session: Session) -> Placed:
        try:
            return super().submit_order(order, tender, session)
        except Unanswered:
            raise Refused("order_refused", "the till is offline") from None


class RepeatsLostAsRefused(TurnsLostIntoRefused):
    """The same where the order is sent again to find it."""

    recovery = "replay"


class NeverSaysPlaces(TillAdapter):
    """Does not say which call places the order."""

    def _place(self, order: Order, session: Session, **how: Any) -> dict[str, Any]:
        return super()._place(order, session, places_order=False)


class ReportsNothing(NeverSaysPlaces):
    """And forgets to return it."""

    def submit_order(self, order: Order, tender: Tender, session: Session) -> Placed:
        self._place(order, session)
        return None  # type: ignore[return-value]


class AsksAndCancels(TillAdapter):
    """Knows how to ask for the status of an order, and how to cancel it; must not be asked to."""

    order_status: ClassVar[Mapping[str, Stage]] = {"on the grill": "preparing"}
    cancels = True

    def show_status(self, location: Location, provider_order_id: str, reference: str, session: Session) -> OrderStatus:
        raise AssertionError("the provider is asked for an order whose id is not known")

    def cancel_order(self, location: Location, provider_order_id: str, reference: str, session: Session) -> None:
        raise AssertionError("the provider is asked to cancel an order whose id is not known")
