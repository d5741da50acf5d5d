"""A provider that answers what a test put into it, for what the sandbox cannot show."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar, TypeVar
from urllib.parse import urlsplit

from adapters.sandbox import SandboxAdapter
from levelup_ov.adapter import Account, Adapter, Setting
from levelup_ov.domain.location import Location
from levelup_ov.domain.menu import Category, Menu, MenuItem
from levelup_ov.domain.order import Order
from levelup_ov.domain.outcome import Placed, Quote
from levelup_ov.domain.status import OrderStatus, Stage
from levelup_ov.domain.tender import Tender
from levelup_ov.errors import ReferenceFenced, Refused, Unanswered
from levelup_ov.transport.session import Reply, Session

Answer = TypeVar("Answer")

QUOTE = Quote(food=1000, tax=70, tip=0, charged=None)
MENU = Menu("menu", "Menu", (Category("mains", "Mains", (MenuItem("sandwich", "Sandwich", 1000),)),))


class FakeAdapter(Adapter):
    """``quote``, ``placed``, ``menu`` and ``locations`` are answered, or raised where they are exceptions.

    At first every order costs 1000 cents and 70 of tax, whatever its discount.

    ``orders`` and ``paid_with`` are what it was asked for, in turn.
    """

    interface_version = 2
    tenders = frozenset({"levelup", "credit_card"})
    fulfillments = frozenset({"pickup", "delivery"})
    settings: ClassVar[Mapping[str, Setting]] = {"token": Setting("a token", secret=True)}

    def __init__(self, account: Account) -> None:
        super().__init__(account)
        self.locations: Sequence[Location] | Exception = [
            Location(
                "one",
                "One",
                time_zone="America/New_York",
                accepts_tips_on_pickup=True,
                accepts_tips_on_delivery=True,
                fulfills_deliveries=True,
            )
        ]
        self.menu: Menu | Exception = MENU
        self.quote: Quote | Exception = QUOTE
        self.placed: Placed | Exception = Placed("A-1", "technical-1", reference=None)
        self.orders: list[Order] = []
        self.paid_with: list[Tender] = []

    def list_locations(self, session: Session) -> Sequence[Location]:
        return _answered(self.locations)

    def show_menu(self, location: Location, session: Session) -> Menu:
        return _answered(self.menu)

    def validate_order(self, order: Order, session: Session) -> Quote:
        self.orders.append(order)
        if self.quote is QUOTE:
            return replace(QUOTE, merchant_funded_discount=order.merchant_funded_discount)
        return _answered(self.quote)

    def submit_order(self, order: Order, tender: Tender, session: Session) -> Placed:
        self.orders.append(order)
        self.paid_with.append(tender)
        placed = _answered(self.placed)
        if session.placement.may_send_another:
            session.placement.look(None)
            session.placement.begin()
        number = f"{placed.provider_order_id}-{len(self.orders)}"
        return replace(placed, provider_order_id=number, reference=order.reference)

    def error_from(self, reply: Reply) -> Refused | None:
        return None


class ReportingAdapter(FakeAdapter):
    """``status`` is what becomes of every order, or raised; without a reference it is of the order that was asked for.

    ``asked`` are the provider's ids of the orders that it was asked about.
    """

    order_status: ClassVar[Mapping[str, Stage]] = {"on the grill": "preparing", "gone": "picked_up"}

    def __init__(self, account: Account) -> None:
        super().__init__(account)
        self.status: OrderStatus | Exception = OrderStatus("on the grill", reference=None)
        self.asked: list[str] = []

    def submit_order(self, order: Order, tender: Tender, session: Session) -> Placed:
        session.placement.look(None)
        session.placement.begin()
        return super().submit_order(order, tender, session)

    def show_status(self, location: Location, provider_order_id: str, reference: str, session: Session) -> OrderStatus:
        self.asked.append(provider_order_id)
        status = _answered(self.status)
        return status if status.reference else replace(status, reference=reference)


class CancelingAdapter(ReportingAdapter):
    """``words`` are the statuses that it reports, one after the other; ``cancellation`` is raised, if anything."""

    order_status: ClassVar[Mapping[str, Stage]] = {
        **ReportingAdapter.order_status, "binned": "cancelled", "turned away": "refused",
    }  # fmt: skip
    cancels = True

    def __init__(self, account: Account) -> None:
        super().__init__(account)
        self.words: list[OrderStatus | Exception] = []
        self.cancellation: Exception | None = None
        self.canceled: list[str] = []

    def show_status(self, location: Location, provider_order_id: str, reference: str, session: Session) -> OrderStatus:
        self.status = self.words.pop(0)
        return super().show_status(location, provider_order_id, reference, session)

    def cancel_order(self, location: Location, provider_order_id: str, reference: str, session: Session) -> None:
        self.canceled.append(provider_order_id)
        if self.cancellation is not None:
            raise self.cancellation


class MovingAdapter(FakeAdapter):
    """``servers`` are the orders of each address and tenant, by reference; the answer to the first one of all is lost.

    ``fenced`` are the addresses that were asked to fence, and ``traces`` what it was asked with.
    """

    settings: ClassVar[Mapping[str, Setting]] = {
        "base_url": Setting("its address", required=True, url=True),
        "tenant": Setting("whose orders the server shows", finds_orders=True),
        "kitchen": Setting("what it is called"),
    }
    servers: ClassVar[dict[str, dict[str, str]]] = {}
    fenced: ClassVar[list[str]] = []
    traces: ClassVar[list[Mapping[str, Any]]] = []

    @property
    def tenancy(self) -> str:
        parts = urlsplit(self.base_url)
        return parts._replace(netloc=parts.netloc.lower()).geturl() + self.account.setting("tenant")

    def submit_order(self, order: Order, tender: Tender, session: Session) -> Placed:
        session.placement.look({"cart": "c-1"})
        session.placement.begin()
        is_first = not self.servers
        orders = self.servers.setdefault(self.tenancy, {})
        number = orders.setdefault(order.reference, f"{self.base_url}/{len(orders)}")
        if is_first:
            raise Unanswered("provider_timeout", "no answer", sent=True)
        return Placed(number, number, reference=order.reference)

    def find_order(
        self, location: Location, reference: str, trace: Mapping[str, Any], session: Session
    ) -> Placed | None:
        self.traces.append(trace)
        number = self.servers.get(self.tenancy, {}).get(reference)
        return Placed(number, number, reference=reference) if number else None


class RefusingAdapter(MovingAdapter):
    def submit_order(self, order: Order, tender: Tender, session: Session) -> Placed:
        session.placement.look({"cart": "c-1"})
        session.placement.begin()
        raise Refused("item_unavailable", "sold out")


class FencingAdapter(MovingAdapter):
    fences = True

    def fence_order(self, location: Location, reference: str, trace: Mapping[str, Any], session: Session) -> None:
        self.traces.append(trace)
        self.fenced.append(self.base_url)


class RepeatingAdapter(MovingAdapter):
    recovery = "replay"


class CookingAdapter(ReportingAdapter):
    """Makes an order of each placing call, whatever its reference; ``made`` are their numbers, on all hosts.

    ``script``: what becomes of the next calls: ``made``, also after it; ``lost``: made, without an answer;
    ``unreached``: not even made; ``refused``.
    """

    made: ClassVar[list[str]] = []
    references: ClassVar[list[str | None]] = []
    script: ClassVar[list[str]] = []

    def submit_order(self, order: Order, tender: Tender, session: Session) -> Placed:
        session.placement.look({"cart": "c-1"})
        session.placement.begin()
        what = self.script.pop(0) if self.script else "made"
        if what == "refused":
            raise Refused("item_unavailable", "sold out")
        if what == "unreached":
            raise Unanswered("provider_timeout", "no answer", sent=True)
        number = f"A-{len(self.made) + 1}"
        self.made.append(number)
        self.references.append(order.reference)
        if what == "lost":
            raise Unanswered("provider_timeout", "no answer", sent=True)
        return Placed(number, number, reference=order.reference)

    def find_order(
        self, location: Location, reference: str, trace: Mapping[str, Any], session: Session
    ) -> Placed | None:
        numbers = dict(zip(self.references, self.made, strict=True))
        number = numbers.get(reference)
        return Placed(number, number, reference=reference) if number else None


class DoublingAdapter(FakeAdapter):
    """Refuses each placing call with ``refusal``, unless that is None.

    ``makes``: the first delivery of the call has made the order before. ``look_up`` is raised by look-ups, if anything;
    ``traces`` are those that it was asked with. ``late`` are the orders whose calls were refused without that:
    :meth:`deliver` accepts a late copy of them.
    """

    refusal: Refused | None = Refused("item_unavailable", "sold out")

    def __init__(self, account: Account) -> None:
        super().__init__(account)
        self.makes = True
        self.look_up: Exception | None = None
        self.made: dict[str, Placed] = {}
        self.late: list[str] = []
        self.traces: list[Mapping[str, Any]] = []

    def submit_order(self, order: Order, tender: Tender, session: Session) -> Placed:
        session.placement.look({"cart": "c-1"})
        session.placement.begin()
        reference = order.reference or ""
        if self.makes or self.refusal is None:
            self._make(reference)
        else:
            self.late.append(reference)
        if self.refusal is not None:
            raise self.refusal
        return self.made[reference]

    def deliver(self) -> None:
        """Make the orders that were refused."""
        for reference in self.late:
            self._make(reference)

    def _make(self, reference: str) -> None:
        number = f"A-{len(self.made) + 1}"
        self.made[reference] = Placed(number, number, reference=reference)

    def find_order(
        self, location: Location, reference: str, trace: Mapping[str, Any], session: Session
    ) -> Placed | None:
        self.traces.append(trace)
        if self.look_up is not None:
            raise self.look_up
        return self.made.get(reference)


class DoublingReporter(DoublingAdapter):
    """As above. ``word`` is what becomes of every order."""

    order_status: ClassVar[Mapping[str, Stage]] = {"on the grill": "preparing", "binned": "cancelled"}
    word = "on the grill"

    def show_status(self, location: Location, provider_order_id: str, reference: str, session: Session) -> OrderStatus:
        return OrderStatus(self.word, reference=reference)


class DoublingFence(DoublingAdapter):
    refusal = ReferenceFenced()


class DoublingFencer(DoublingAdapter):
    """As above. ``fenced``: the references that it was asked to fence; ``fence`` is raised then, if anything."""

    fences = True

    def __init__(self, account: Account) -> None:
        super().__init__(account)
        self.fence: Exception | None = None
        self.fenced: list[str] = []

    def fence_order(self, location: Location, reference: str, trace: Mapping[str, Any], session: Session) -> None:
        # Each fence comes before the look that goes with it.
        assert len(self.traces) <= len(self.fenced) and trace == {"cart": "c-1"}
        self.fenced.append(reference)
        if self.fence is not None:
            raise self.fence


class EchoingAdapter(SandboxAdapter):
    """The sandbox's, whose orders say ``echo`` back in place of the reference; not if that is ``...``."""

    interface_version = 2
    echo: ClassVar[Any] = ...
    looked_up: ClassVar[Any] = ...

    def submit_order(self, order: Order, tender: Tender, session: Session) -> Placed:
        return _with(super().submit_order(order, tender, session), self.echo)

    def find_order(
        self, location: Location, reference: str, trace: Mapping[str, Any], session: Session
    ) -> Placed | None:
        placed = super().find_order(location, reference, trace, session)
        return placed and _with(placed, self.looked_up)


class SilentAdapter(EchoingAdapter):
    echoes_nothing = "the provider's guide, section 4: orders are returned without the caller's reference"


def _with(placed: Placed, echo: Any) -> Placed:
    return placed if echo is ... else replace(placed, reference=echo)


def _answered(answer: Answer | Exception) -> Answer:
    if isinstance(answer, Exception):
        raise answer
    return answer
