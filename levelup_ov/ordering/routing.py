"""Which account and location a request is about, and the calls to its provider."""

from __future__ import annotations

from contextlib import suppress
from urllib.parse import unquote

from levelup_ov.adapter import Adapter
from levelup_ov.domain.failure import Failure
from levelup_ov.domain.order import Order
from levelup_ov.domain.tender import Tender
from levelup_ov.ordering.bulkhead import Bulkhead
from levelup_ov.ordering.locations import Directory, RoutedLocation, meanings, wire_id
from levelup_ov.ordering.request_context import RequestContext
from levelup_ov.ordering.session_secrets import address_parts, personal_words, secrets_of
from levelup_ov.personal import PersonalWords, Withheld
from levelup_ov.redaction import clean
from levelup_ov.transport.connections import OwnConnections
from levelup_ov.transport.deadline import Deadline
from levelup_ov.transport.placement import Placement
from levelup_ov.transport.session import Session, Transport


class Routing:
    """The locations of ``directory``, reached by ``transport`` within the slots of ``bulkhead``."""

    def __init__(self, directory: Directory, bulkhead: Bulkhead, transport: Transport) -> None:
        self.directory = directory
        self.bulkhead = bulkhead
        self._transport = transport

    def account_of(self, location_id: str, context: RequestContext) -> Adapter:
        """The account of a location, by its id alone. :raises Failure: ``location_not_found``."""
        adapter = self.directory.account_of(location_id)
        context.account, context.provider = adapter.account.name, adapter.account.provider
        context.location = self.directory.known_id(location_id)
        if context.location is None and clean(location_id) != location_id:
            # A key or card number in the URL must not reach the ledger either.
            raise Failure("location_not_found", "there is no such location")
        return adapter

    def location(self, location_id: str, context: RequestContext, adapter: Adapter | None = None) -> RoutedLocation:
        """A location; ``adapter``: that of its account, if the caller has it. Asks its provider if due.

        :raises Failure: ``location_not_found``, or why it could not be read.
        """
        adapter = adapter or self.account_of(location_id, context)
        if (routed := self.directory.current(location_id)) is None:
            with self.session(adapter, context) as session:
                routed = self.directory.location(location_id, session)
        context.location = routed.id
        return routed

    def of_order(self, location_id: str, context: RequestContext, adapter: Adapter | None = None) -> RoutedLocation:
        """The same for an order that was sent there before, also if the account does not list the location any more."""
        adapter = adapter or self.account_of(location_id, context)
        try:
            return self.location(location_id, context, adapter)
        except Failure as failure:
            if failure.code != "location_not_found":
                raise
            return self.directory.unlisted(self.published_id(location_id))

    def find(self, location_id: str, context: RequestContext) -> RoutedLocation:
        """The same, in one of the account's slots."""
        adapter = self.account_of(location_id, context)
        with self.bulkhead.room(adapter.account.name):
            return self.location(location_id, context, adapter)

    def locations(self, merchant_id: str, context: RequestContext) -> list[RoutedLocation]:
        """The locations of an account. :raises Failure: ``merchant_not_found``, or the provider's failure."""
        adapter = self.directory.adapter(merchant_id)
        context.account, context.provider = merchant_id, adapter.account.provider
        with self.bulkhead.room(merchant_id), self.session(adapter, context) as session:
            return self.directory.locations(adapter, session)

    def published_id(self, location_id: str) -> str:
        """The published id of a location, however it was escaped, as far as that is known without its list."""
        return self.directory.known_id(location_id) or _canonical(location_id)

    def certain_id(self, location_id: str, context: RequestContext) -> str:
        """The published id of a location, however it was escaped. Its list is read if it could be either of two.

        :raises Failure: ``location_not_found``, or why the list could not be read.
        """
        if (known := self.directory.known_id(location_id)) is not None:
            return known
        possible = meanings(location_id)
        return possible[0] if len(possible) == 1 else self.find(location_id, context).id

    def note(self, location_id: str, context: RequestContext) -> None:
        """Let the log line of a request name a location, without asking its provider."""
        with suppress(Failure):
            self.account_of(location_id, context)
        context.location = location_id

    def open_ahead(self, location_id: str, own: OwnConnections, deadline: Deadline) -> None:
        """Open one of ``own`` to a location's provider in the background; see ``RequestContext.ahead``."""
        adapter = self.directory.account_of(location_id)
        self._transport.open_ahead(adapter.account.name, adapter.base_url, own, deadline)

    def session(
        self,
        adapter: Adapter,
        context: RequestContext,
        order: Order | None = None,
        tender: Tender | None = None,
        placement: Placement | None = None,
        own: bool = False,
        personal: PersonalWords | Withheld | None = None,
    ) -> Session:
        """Calls to one account's provider.

        ``placement``: that of the attempt, if it is to place the order. ``own``: over separate connections, as for
        every call that decides the outcome of an order. ``personal``: for calls about an order other than ``order``.
        """
        return Session(
            self._transport,
            adapter.account.name,
            base_url=adapter.base_url,
            headers=adapter.headers(),
            error_from=adapter.error_from,
            deadline=context.deadline.before(context.reserve),
            calls=context.calls,
            own=own,
            ahead=context.ahead if placement else None,
            placement=placement,
            known=[*secrets_of(adapter, order, tender), *address_parts(order)],
            personal=personal_words(order) if order else personal,
        )


def _canonical(location_id: str) -> str:
    """The canonical form of a location's id, however it was escaped."""
    account, _, provider_id = location_id.partition(".")
    return wire_id(account, unquote(provider_id))
