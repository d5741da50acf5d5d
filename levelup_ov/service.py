"""The use cases: what happens to a request between the wire and the adapter."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from levelup_ov import sealing
from levelup_ov.adapter import Adapter
from levelup_ov.config import Settings
from levelup_ov.deadline import Deadline
from levelup_ov.directory import Directory, Place
from levelup_ov.domain import menu as menus
from levelup_ov.domain import money, ready_time
from levelup_ov.domain.failure import Failure
from levelup_ov.domain.location import Merchant
from levelup_ov.domain.order import Order
from levelup_ov.domain.outcome import Placed, Quote
from levelup_ov.domain.request import OrderRequest, SubmissionRequest
from levelup_ov.domain.secret import Secret
from levelup_ov.domain.tender import CreditCard, Tender
from levelup_ov.errors import Refused, Unanswered, broken_protocol
from levelup_ov.redaction import scrub
from levelup_ov.transport import Call, Session, Transport


@dataclass(slots=True)
class Trace:
    """What the log says about one request; ``calls`` are the calls to the provider."""

    deadline: Deadline
    account: str | None = None
    location: str | None = None
    provider: str | None = None
    calls: list[Call] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class ValidatedOrder:
    """The members of an order validation's answer; times in the contract's form."""

    total: int
    tax: int
    tip: int | None
    merchant_funded_discount: int
    provider_funded_discount: int
    soonest_available_at: str | None
    ready_at: str | None
    available_at: list[str] | None
    metadata: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class SubmittedOrder:
    """The members of an order submission's answer (SUB-1)."""

    order_id: str | int
    expected_ready_at: str | None
    metadata: Mapping[str, Any]


class Service:
    """All use cases, over one set of accounts. ``clock`` gives the aware present."""

    def __init__(self, settings: Settings, transport: Transport, clock: Callable[[], datetime]) -> None:
        self._settings = settings
        self._transport = transport
        self._clock = clock
        self._directory = Directory(settings.accounts, settings.locations_ttl)
        self._sealer = sealing.Sealer(settings.secret_keys, "metadata")

    def merchants(self) -> list[Merchant]:
        """EP-1."""
        return self._directory.merchants()

    def locations(self, merchant_id: str, trace: Trace) -> list[Place]:
        """EP-2. :raises Failure: ``merchant_not_found``, or what the provider answered."""
        adapter = self._directory.adapter(merchant_id)
        with self._session(adapter, trace) as session:
            return list(
                self._directory.places(adapter, lambda adapter: adapter.list_locations(session), trace.deadline)
            )

    def menu(self, location_id: str, trace: Trace) -> menus.Menu:
        """EP-3. :raises Failure: ``location_not_found``, ``menu_invalid``, or what the provider answered."""
        menu = self.read_menu(location_id, trace)
        if problems := menus.check(menu):
            more = f" (and {len(problems) - 3} more)" if len(problems) > 3 else ""
            raise Failure("menu_invalid", "; ".join(problems[:3]) + more)
        return menu

    def read_menu(self, location_id: str, trace: Trace) -> menus.Menu:
        """The menu as the adapter gives it, sound or not."""
        place = self._place(location_id, trace)
        with self._session(place.adapter, trace) as session:
            return place.adapter.show_menu(place.location, session)

    def validate_order(self, location_id: str, request: OrderRequest, trace: Trace) -> ValidatedOrder:
        """EP-4. :raises Failure: why the order cannot be placed like this."""
        place = self._place(location_id, trace)
        order = self._order(place, request)
        with self._session(place.adapter, trace, order) as session:
            quote = place.adapter.validate_order(order, session)
            self._check(quote)
        soonest = ready_time.to_wire(quote.ready.soonest, place.zone)
        slots = ready_time.available_at(quote.ready, order.desired_ready_time, order.received_at)
        return ValidatedOrder(
            total=quote.total,
            tax=quote.tax,
            tip=quote.tip if place.location.accepts_tips(order.fulfillment_type) else None,
            merchant_funded_discount=request.merchant_funded_discount,
            provider_funded_discount=quote.provider_funded_discount,
            soonest_available_at=soonest,
            ready_at=soonest,
            available_at=None if slots is None else [ready_time.to_wire(slot, place.zone) or "" for slot in slots],
            metadata={
                **self._outgoing(f"user_{place.adapter.account.name}_", quote.account, place),
                **self._outgoing("order_", quote.cart, place),
                **(
                    {"order_fees": [{"name": fee.name, "amount": fee.amount} for fee in quote.fees]}
                    if quote.fees
                    else {}
                ),
            },
        )

    def submit_order(self, location_id: str, request: SubmissionRequest, trace: Trace) -> SubmittedOrder:
        """EP-5. :raises Failure: why the order was not placed."""
        place = self._place(location_id, trace)
        _check_tender(place, request.tender)
        order = self._order(place, request.order, submission=request)
        with self._session(place.adapter, trace, order, request.tender) as session:
            placed = place.adapter.submit_order(order, request.tender, session)
        return self._submitted(place, placed)

    def _submitted(self, place: Place, placed: Placed) -> SubmittedOrder:
        return SubmittedOrder(
            order_id=placed.order_id,
            expected_ready_at=ready_time.to_wire(placed.expected_ready_at, place.zone),
            metadata=self._outgoing(f"user_{place.adapter.account.name}_", placed.account, place),
        )

    def _place(self, location_id: str, trace: Trace) -> Place:
        adapter = self._directory.account_of(location_id)
        with self._session(adapter, trace) as session:
            place = self._directory.place(location_id, lambda adapter: adapter.list_locations(session), trace.deadline)
        trace.location = place.id
        return place

    @contextmanager
    def _session(
        self, adapter: Adapter, trace: Trace, order: Order | None = None, tender: Tender | None = None
    ) -> Iterator[Session]:
        """Calls to one account's provider; what they fail with is fit to be shown afterwards."""
        trace.account, trace.provider = adapter.account.name, adapter.account.provider
        session = Session(
            self._transport,
            adapter.account.name,
            base_url=adapter.base_url,
            headers=adapter.headers(),
            error_from=adapter.error_from,
            deadline=trace.deadline,
        )
        session.calls = trace.calls
        try:
            yield session
        except (Refused, Unanswered) as failure:
            failure.message = scrub(failure.message, _secrets(adapter, order, tender))
            raise

    def _order(self, place: Place, request: OrderRequest, submission: SubmissionRequest | None = None) -> Order:
        """The order as the adapter gets it.

        :raises Failure: ``fulfillment_not_supported``, ``ready_time_in_past``.
        """
        fulfillment, location = request.fulfillment_type, place.location
        root = "order_validation" if submission is None else "order_submission"
        if fulfillment not in place.adapter.fulfillments or not location.fulfills(fulfillment):
            raise Failure(
                "fulfillment_not_supported", f"this location has no {fulfillment}", path=f"$.{root}.fulfillment_type"
            )
        now = self._clock()
        desired = request.desired_ready_time
        if desired is not None:
            path = f"$.{root}.desired_ready_time"
            if place.zone is None and desired.tzinfo is None:
                raise Failure("ready_time_unavailable", "the time zone of this location is not known", path=path)
            desired = ready_time.localize(desired, place.zone) if place.zone else desired
            ready_time.check_not_past(desired, now, path=path)
        return Order(
            location=location,
            items=request.items,
            user=request.user,
            received_at=now,
            desired_ready_time=desired,
            fulfillment_type=fulfillment,
            special_instructions=request.special_instructions,
            tip=request.tip if location.accepts_tips(fulfillment) else 0,
            merchant_funded_discount=request.merchant_funded_discount,
            delivery_address=submission.delivery_address if submission else None,
            account=self._incoming(f"user_{place.adapter.account.name}_", request.metadata, place),
            cart=self._incoming("order_", request.metadata, place) if submission else {},
            reference=str(uuid.uuid4()) if submission else None,
        )

    def _check(self, quote: Quote) -> None:
        """Refuse a price that cannot be accounted for (MONEY-9)."""
        amounts = (
            quote.total,
            quote.tax,
            quote.tip or 0,
            quote.merchant_funded_discount,
            quote.provider_funded_discount,
        )
        if not all(money.is_cents(amount) for amount in amounts):
            raise broken_protocol("the provider's price holds an amount out of range")
        if quote.charged is not None and quote.charged != quote.consumer_pays:
            sums = f"its parts make {quote.consumer_pays} cents, its total is {quote.charged}"
            raise broken_protocol(f"the provider's price does not add up: {sums}")
        if quote.fees and self._settings.refuse_fees:
            names = ", ".join(fee.name for fee in quote.fees)
            raise Failure("fees_not_representable", f"the provider adds a fee: {names}")

    def _outgoing(self, prefix: str, values: Mapping[str, str | Secret], place: Place) -> dict[str, str]:
        """Members for the channel to keep, secrets sealed for the account (META-1, META-2, META-7)."""
        account = place.adapter.account.name
        return {
            prefix + name: self._sealer.seal(value.reveal(), account) if isinstance(value, Secret) else value
            for name, value in values.items()
        }

    def _incoming(self, prefix: str, metadata: Mapping[str, Any], place: Place) -> dict[str, str | Secret]:
        """Members that the channel kept for us; what does not open is absent (META-7)."""
        found: dict[str, str | Secret] = {}
        for name, value in metadata.items():
            if not name.startswith(prefix) or not isinstance(value, str):
                continue
            if not sealing.is_sealed(value):
                found[name.removeprefix(prefix)] = value
            elif (opened := self._sealer.open(value, place.adapter.account.name)) is not None:
                found[name.removeprefix(prefix)] = Secret(opened)
        return found


def _check_tender(place: Place, tender: Tender) -> None:
    taken = place.adapter.tenders if place.location.tenders is None else place.adapter.tenders & place.location.tenders
    if tender.kind not in taken:
        path = "$.order_submission." + ("credit_card" if tender.kind == "credit_card" else "tender")
        raise Failure("tender_not_accepted", f"this location does not take {tender.kind}", path=path)


def _secrets(adapter: Adapter, order: Order | None, tender: Tender | None) -> Iterator[Secret]:
    values: list[Any] = list(adapter.account.settings.values())
    if order is not None:
        values += [*order.account.values(), *order.cart.values()]
    if isinstance(tender, CreditCard):
        values += [tender.number, tender.cvv]
    return (value for value in values if isinstance(value, Secret))
