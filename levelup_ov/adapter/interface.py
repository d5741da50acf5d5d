"""The interface of an ordering provider: one subclass per provider, in a module of its own.

It declares its abilities as data, and it translates. It opens no connections, retries nothing, logs nothing, refuses
what it cannot express, and remembers no order (META-11): one instance serves one account, from many threads.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal

from levelup_ov.adapter.account import Account, Setting
from levelup_ov.adapter.menu_updates import ReportsBetweenMenus
from levelup_ov.adapter.notice import Notice
from levelup_ov.domain.location import Location
from levelup_ov.domain.menu import Menu
from levelup_ov.domain.order import Order
from levelup_ov.domain.outcome import Placed, Quote
from levelup_ov.domain.status import OrderStatus, Stage
from levelup_ov.domain.tender import Tender, TenderKind
from levelup_ov.errors import Refused
from levelup_ov.transport.session import Reply, Session

INTERFACE_VERSION = 2
"""Goes up when a correct adapter may no longer be correct; an adapter for another version stops the startup."""

Recovery = Literal["look_up", "replay"]
"""``look_up``: :meth:`Adapter.find_order` asks the provider. ``replay``: :meth:`Adapter.submit_order` is called
again with the same reference, for a provider that promises the same order for the same idempotency key."""


class Adapter(ReportsBetweenMenus, ABC):
    """One provider. Subclasses set the class attributes and write the methods below.

    All but :meth:`error_from` may call the provider through ``session``, and raise :class:`~levelup_ov.errors.Refused`
    (the provider said no; its path starts at the order) or let :class:`~levelup_ov.errors.Unanswered` pass.
    """

    interface_version: ClassVar[int]
    """The :data:`INTERFACE_VERSION` that the adapter was built for and tested with, as a number."""
    tenders: ClassVar[frozenset[TenderKind]]
    """What the provider can be paid with (PAY-1, PAY-2)."""
    fulfillments: ClassVar[frozenset[str]] = frozenset({"pickup"})
    """How orders may reach the customer: ``pickup``, ``delivery`` (EP-12)."""
    creates_customer_accounts: ClassVar[bool] = False
    """Whether orders run on a customer's account at the provider (META-6)."""
    schedules: ClassVar[bool] = False
    """Whether an order can be placed for a later time (TIME-4 to TIME-6)."""
    recovery: ClassVar[Recovery] = "look_up"
    """How an order is reconciled after its answer was lost (SUB-5)."""
    echoes_nothing: ClassVar[str] = ""
    """If the provider documents that it never returns our reference: that statement, and its source (SUB-8)."""
    needs_trace: ClassVar[bool] = False
    """Whether None of :meth:`find_order` proves nothing without what the placing call recorded (SUB-5)."""
    fences: ClassVar[bool] = False
    """Whether :meth:`fence_order` is implemented (SUB-10)."""
    voids_cards: ClassVar[bool] = False
    """Whether it also proves that the single-use card of an order that does not exist was not charged (SUB-12)."""
    order_status: ClassVar[Mapping[str, Stage]] = {}
    """The stage of each word that :meth:`show_status` may give. Others are passed on, never guessed (STAT-2)."""
    cancels: ClassVar[bool] = False
    """Whether :meth:`cancel_order` is implemented; it needs :attr:`order_status`, which proves the result (STAT-6)."""
    settings: ClassVar[Mapping[str, Setting]] = {}
    """The keys that an account's ``settings`` table may have; any other key is reported at startup."""

    def __init__(self, account: Account) -> None:
        """:raises ValueError: the settings contradict one another; reported at startup like all mistakes."""
        self.account = account

    @property
    def base_url(self) -> str:
        """The root that the paths given to ``session`` are appended to."""
        return self.account.setting("base_url")

    @property
    def takes_notices(self) -> bool:
        """Whether the account has what :meth:`read_notice` needs (EVT-9)."""
        return False

    def headers(self) -> Mapping[str, str]:
        """What every request carries, such as an Authorization header."""
        return {}

    @abstractmethod
    def list_locations(self, session: Session) -> Sequence[Location]:
        """All locations of the account (LOC-1), with the provider's own ids.

        :func:`~levelup_ov.domain.location.read_each` reads them so that a faulty one hides no other."""

    @abstractmethod
    def show_menu(self, location: Location, session: Session) -> Menu:
        """The menu of a location, option ids as :func:`~levelup_ov.domain.options.encode_path` makes them."""

    @abstractmethod
    def validate_order(self, order: Order, session: Session) -> Quote:
        """Price and time of an order, in a new cart; nothing is placed (EP-4, META-3)."""

    @abstractmethod
    def submit_order(self, order: Order, tender: Tender, session: Session) -> Placed:
        """Place the order, paid with ``tender`` (EP-5).

        The one call that commits the provider to the order says ``places_order=True``. If it is ``Refused``, then
        :meth:`find_order` is asked, perhaps twice. If a later call contradicts it, raise that as unknown (SUB-8).
        """

    def find_order(
        self, location: Location, reference: str, trace: Mapping[str, Any], session: Session
    ) -> Placed | None:
        """The order placed under ``reference``. None proves that there is none: read all pages and every row.

        ``trace``: what the placing call recorded, if anything. Not called for ``replay``. Here and below, ``location``
        has only its ``provider_id`` if the account does not list it any more."""
        raise LookupError(f"{type(self).__name__} cannot look orders up")

    def fence_order(self, location: Location, reference: str, trace: Mapping[str, Any], session: Session) -> None:
        """Make the provider refuse requests under ``reference``, as ReferenceFenced; called only if :attr:`fences`.

        After it returns, :meth:`find_order` is conclusive. A placed order stays as it is. Called after refusals, too.
        """
        raise LookupError(f"{type(self).__name__} cannot fence orders")

    def show_status(self, location: Location, provider_order_id: str, reference: str, session: Session) -> OrderStatus:
        """The status of a placed order, in the provider's word; called only where there is an :attr:`order_status`.

        One call to the provider. Here a refusal, such as "no such order", is the provider's fault (STAT-3)."""
        raise LookupError(f"{type(self).__name__} reports no order status")

    def cancel_order(self, location: Location, provider_order_id: str, reference: str, session: Session) -> None:
        """Ask the provider to cancel a placed order; called only where :attr:`cancels`, and again after a lost answer.

        What it returns proves nothing: :meth:`show_status` is called after it.

        :raises Refused: the provider does not cancel the order."""
        raise LookupError(f"{type(self).__name__} cannot cancel orders")

    def read_notice(self, headers: Mapping[str, str], body: bytes) -> Notice:
        """A webhook of the provider; called only if :attr:`takes_notices`. Header names are in lower case. Pure.

        :raises NotGenuine: the account's provider has not signed it, or it cannot be read.
        """
        raise LookupError(f"{type(self).__name__} takes no notices")

    @abstractmethod
    def error_from(self, reply: Reply) -> Refused | None:
        """The refusal that ``reply`` expresses, in the provider's words; None if there is none. Pure.

        Called first for every reply. For 401, 403, 429 and 5xx, None means :class:`~levelup_ov.errors.Unanswered`.
        """
