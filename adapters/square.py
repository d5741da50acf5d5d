"""Square: guest checkout through the Orders API, LevelUp as tender.

From Square's official specification (release 2025-08-20) and developer guides (2026-11); not verified on a live
account:

- ``/orders/calculate`` prices an order and creates nothing. A created order reaches the kitchen only when it is
  paid, so the payment is the call that places. Creation and payment have separate idempotency keys.
- The tip is a member of the payment, not of the order. Square accepts no payment of zero: an order that costs
  nothing is settled by ``/pay``, which leaves no tender, only a higher version.
- Orders and payments return our ``reference_id``. A canceled order cannot be paid or updated (``OrderState``,
  ``UpdateOrder``), and an update names the version that it changes: canceling an unpaid version makes Square refuse
  a later payment. ``CancelPaymentByIdempotencyKey`` is not such a fence: "if no payment with the specified
  idempotency key is found, no action is taken and the endpoint returns successfully".
- ``SearchOrders`` finds an order by its ``reference_id`` on the pages of a location's newest ones. The documents do not
  say that it shows each order at once, and ``ListPayments`` is "eventually consistent": what it does not show proves
  nothing.
- The fulfillment of an order has its status; a canceled order is itself ``CANCELED``. A fulfillment that ``FAILED`` was
  rejected if it has ``rejected_at``; else nobody may have picked it up.
- A line names an item variation, so a variation is an item of our menu. A modifier is named without its list.
- Orders are accepted for any time; the location's hours decide when an order for "as soon as possible" is due (TIME-4).
  The documents do not say that the Orders API enforces numbers of modifiers (ITEM-7) or refuses what is sold out.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Hashable, Iterator, Mapping, Sequence, Set
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from functools import partial
from typing import Any
from urllib.parse import quote
from uuid import NAMESPACE_URL, uuid4, uuid5

from adapters.square_delivery import (
    CHARGE,
    DELIVERED_SINCE,
    FORMS,
    SETTINGS,
    DeliveryTerms,
    address_of,
    check_destination,
    details_of,
)
from adapters.square_inventory import FORMS as INVENTORY_FORMS
from adapters.square_inventory import INVENTORY_SETTINGS, none_left
from adapters.square_menu import KINDS, NOTE_LIMIT, SquareCatalog, cents, read_location
from adapters.square_webhooks import NOTICE_SETTINGS, read_notice, takes_notices
from levelup_ov.adapter import (
    Account,
    Adapter,
    Cents,
    Failure,
    Fee,
    Item,
    JSONObject,
    Location,
    Menu,
    Notice,
    Order,
    OrderStatus,
    Placed,
    Quote,
    Ready,
    ReferenceFenced,
    Refused,
    Reply,
    Secret,
    Session,
    Setting,
    Stock,
    Tender,
    Unanswered,
    User,
    broken_protocol,
    check_basket,
    check_minimum,
    in_minutes,
    line_prices,
    nest,
    next_opening,
    read_each,
)

API_VERSION = "2025-08-20"
"""Square-Version: the release that this adapter was written against."""
HOSTS = {"production": "https://connect.squareup.com", "sandbox": "https://connect.squareupsandbox.com"}
MENU_TTL = 300.0
"""Seconds for which the pages of a catalog are cached."""
MARGIN = 60.0
"""Seconds by which changes of the catalog are asked for earlier than a cached page can be old."""
MOST_PAGES = 5
"""Pages of changes, or of a search for an order, that are read at most."""
SEARCHED = timedelta(days=7)
"""How old an order is at most that is searched for."""
SOURCE = "LevelUp"
"""The name of the source of all our orders."""
DISCOUNT = "levelup"
"""The ``uid`` of LevelUp's discount (MONEY-5)."""

_REFUSALS: Sequence[tuple[str, str | None]] = (
    ("IDEMPOTENCY_KEY_REUSED|CONFLICT|GONE|REQUEST_TIMEOUT", None),
    ("UNKNOWN_|EXPECTED_|INCORRECT_TYPE|INVALID_SQUARE_VERSION|API_VERSION|NOT_IMPLEMENTED", None),
    ("NOT_FOUND .*modifier", "unknown_option"),
    ("NOT_FOUND .*(item|variation)", "unknown_item"),
    ("(NOT_FOUND|INVALID_LOCATION|LOCATION_MISMATCH) .*location", "location_not_found"),
    ("INVALID_(PHONE_NUMBER|EMAIL_ADDRESS)|.*recipient", "customer_refused"),
    ("VALUE_TOO_LONG .*note", "special_instructions_too_long"),
    ("INVALID_TIME|.*pickup_at", "ready_time_unavailable"),
    (".*(quantity|modifier)", "invalid_choices"),
    ("", "order_refused"),
)
"""Patterns for ``CODE field detail`` of an error, and our code; None: it proves nothing, or the fault is ours."""
_SINCE = {
    "PROPOSED": "placed_at",
    "RESERVED": "accepted_at",
    "PREPARED": "ready_at",
    "COMPLETED": "picked_up_at",
    "CANCELED": "canceled_at",
    "FAILED, rejected": "rejected_at",
}
"""The member of a pickup with the time at which its fulfillment came to a state."""
_ENDED = {"COMPLETED", "CANCELED", "FAILED"}
"""The states of a fulfillment that never change."""
_EXTENSION = re.compile(
    r"[\s,;]*(?:\b(?:extension|extensi[oó]n|extn|ext|anexo|interno|int|poste)\b|x|#)[.:=\s]*([0-9]{1,9})\s*$",
    re.IGNORECASE,
)
"""How people write the extension of a telephone number, behind it."""
_REFUSING = ("INVALID_REQUEST_ERROR", "PAYMENT_METHOD_ERROR")
_REFUSING_STATUSES = (400, 402, 404, 409, 422)


class CursorRefused(Refused):
    """Square refuses to show a page of the catalog."""


class SquareAdapter(Adapter):
    """One seller's Square account with all its locations."""

    interface_version = 2
    fulfillments = frozenset({"pickup", "delivery"})
    tenders = frozenset({"levelup"})
    schedules = True
    needs_trace = True
    fences = True
    order_status = {
        "PROPOSED": "placed",
        "RESERVED": "preparing",
        "PREPARED": "ready",
        "COMPLETED": "picked_up",
        "COMPLETED, delivered": "delivered",
        "CANCELED": "cancelled",
        "FAILED, rejected": "refused",
    }
    cancels = True
    reports_stock = True
    versions_menus = True
    settings = {
        "access_token": Setting("the seller's access token", required=True, secret=True),
        "environment": Setting("production or sandbox", default="production"),
        "currency": Setting("ISO 4217 code of the currency that the seller's prices are in", default="USD"),
        "prep_minutes": Setting("minutes that an order takes; without it no ready time is known (TIME-7)"),
        "base_url": Setting("address to use in place of the environment's own", url=True),
        **SETTINGS,
        **INVENTORY_SETTINGS,
        **NOTICE_SETTINGS,
    }

    def __init__(self, account: Account) -> None:
        super().__init__(account)
        forms = {"environment": "production|sandbox", "currency": "[A-Z]{3}", "prep_minutes": "([1-9][0-9]{0,2})?"}
        forms |= {**FORMS, **INVENTORY_FORMS}
        for name, form in forms.items():
            if not re.fullmatch(form, account.setting(name)):
                raise ValueError(f"{name} is not as expected: {self.settings[name].meaning}")
        self._terms = DeliveryTerms.of(account)
        self._prep, self._currency = int(account.setting("prep_minutes") or 0), account.setting("currency")

    @property
    def base_url(self) -> str:
        return self.account.setting("base_url") or HOSTS[self.account.setting("environment")]

    def headers(self) -> Mapping[str, str]:
        return {"Authorization": f"Bearer {self.account.setting('access_token')}", "Square-Version": API_VERSION}

    @property
    def takes_notices(self) -> bool:
        return takes_notices(self.account)

    def read_notice(self, headers: Mapping[str, str], body: bytes) -> Notice:
        return read_notice(self.account, headers, body)

    def list_locations(self, session: Session) -> Sequence[Location]:
        rows = session.get("/v2/locations").object().each("locations")
        return read_each((str(row.value.get("id")), partial(self._location, row)) for row in rows)

    def _location(self, row: JSONObject) -> Location:
        return replace(read_location(row, self._currency), fulfills_deliveries=bool(self._terms.area))

    def show_menu(self, location: Location, session: Session) -> Menu:
        return SquareCatalog(_objects(session), location, self._currency, datetime.now(timezone.utc)).menu()

    def show_menu_version(self, location: Location, session: Session) -> str:
        """``latest_time`` of a search for the newest changes: when the catalog was updated last."""
        since = datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
        body = {"object_types": ["ITEM"], "begin_time": since, "limit": 1}
        return session.post("/v2/catalog/search", body, repeatable=True).object().text("latest_time")

    def show_stock(self, location: Location, session: Session) -> Stock:
        """What is marked as sold out, in the catalog and changed since, or has an inventory count of none.

        The marks are known even if the counts are not, for example without the permission ``INVENTORY_READ``.
        """
        now = datetime.now(timezone.utc)
        since = (now - timedelta(seconds=MENU_TTL + MARGIN)).isoformat(timespec="seconds").replace("+00:00", "Z")
        body: dict[str, Any] = {"object_types": ["ITEM", "MODIFIER_LIST"], "begin_time": since}
        known = {each.identifier("id"): each for each in _objects(session)}
        for _ in range(MOST_PAGES):
            changed, cursor = _page(session.post("/v2/catalog/search", body, repeatable=True).object())
            known |= {each.identifier("id"): each for each in changed}
            if not cursor:
                break
            body["cursor"] = cursor
        catalog = SquareCatalog(list(known.values()), location, self._currency, now)
        stock = catalog.stock()
        if self.account.setting("inventory_counts") != "yes":
            return stock
        # With a circuit breaker of its own, which stops no other call.
        counting = session.within(session.deadline.remaining(), "inventory counts")
        try:
            counted_out = none_left(sorted(catalog.counted()), location.provider_id, counting)
        except Failure as failure:
            return replace(stock, unread=failure)
        return replace(stock, items=stock.items | counted_out)

    def validate_order(self, order: Order, session: Session) -> Quote:
        reply = session.post("/v2/orders/calculate", {"order": self._order(order)}, repeatable=True)
        return self._quote(reply.object().member("order"), order)

    def submit_order(self, order: Order, tender: Tender, session: Session) -> Placed:
        order.check_ready(self._ready(order)[1])
        reference = order.reference or str(uuid4())
        content, validated = {**self._order(order), "reference_id": reference}, order.cart.get("validated")
        # A try after one that created and did not pay may differ in what the ledger does not compare: for whom an item
        # is, the sequence of the lines, the price that was shown. It is another order, under the same key of payment.
        key = _key(reference, f"order:{_digest(content, validated and validated.reveal())}")
        body = {"idempotency_key": key, "order": content}
        created = session.post("/v2/orders", body, repeatable=True).object().member("order")
        _check_echo(created, "POST /v2/orders", reference_id=reference, location_id=order.location.provider_id)
        quoted = self._quote(created, order)
        if _is_delivery(order):
            check_destination(created, order, "POST /v2/orders")
        if validated not in (None, quoted.cart["validated"]):
            raise Refused("price_changed", "The price has changed since the validation.")
        order_id, charge = created.identifier("id"), quoted.consumer_pays
        trace = {"order_id": order_id, "version": created.integer("version"), "charge": charge}
        try:
            charged, echoed = self._pay(order, reference, trace, session)
        except Refused as refusal:
            # An earlier attempt at this payment may have succeeded. That none did is proven by a fence and a look-up.
            held = self._show(order.location, order_id, reference, session)
            if (placed := self._placed(held, trace)) is not None:
                return placed
            if refusal.proof and held.text("state") == "CANCELED":
                raise ReferenceFenced from None
            raise
        return Placed(
            _number(created),
            order_id,
            reference=echoed,
            expected_ready_at=_pickup_at(created) or quoted.ready.soonest,
            expected_charge=charge,
            charged=charged,
        )

    def find_order(
        self, location: Location, reference: str, trace: Mapping[str, Any], session: Session
    ) -> Placed | None:
        """The order that ``trace`` names, if it is paid: an order is placed by its payment (SUB-5).

        An unpaid order proves that nothing was placed, if it is unchanged since its creation, or canceled.
        """
        if not trace:
            return self._search(location, reference, session)
        known = JSONObject(trace)
        order = self._show(location, known.identifier("order_id"), reference, session)
        placed, state = self._placed(order, trace), order.text("state")
        if placed is None and state != "CANCELED" and (state != "OPEN" or _version(order) > _version(known)):
            words = "it is unclear whether the order is paid: $.order has no tenders, but another state or version"
            raise broken_protocol(words)
        return placed

    def _search(self, location: Location, reference: str, session: Session) -> Placed | None:
        """A paid order of this reference, among the newest ones of the location."""
        since = (datetime.now(timezone.utc) - SEARCHED).strftime("%Y-%m-%dT%H:%M:%SZ")
        newest = {"date_time_filter": {"created_at": {"start_at": since}}, "source_filter": {"source_names": [SOURCE]}}
        query = {"filter": newest, "sort": {"sort_field": "CREATED_AT", "sort_order": "DESC"}}
        body: dict[str, Any] = {"location_ids": [location.provider_id], "query": query}
        for _ in range(MOST_PAGES):
            page = session.post("/v2/orders/search", body, repeatable=True).object()
            for order in page.each("orders", []):
                if (order.text("reference_id", ""), order.text("location_id")) != (reference, location.provider_id):
                    continue
                charged = sum(self._cents(tender, "amount_money") for tender in order.each("tenders", []))
                # One that costs nothing is settled without a tender, so this does not find it.
                if charged:
                    return self._found(order, None, charged)
            if not (cursor := page.text("cursor", "")):
                break
            body["cursor"] = cursor
        return None

    def _placed(self, order: JSONObject, trace: Mapping[str, Any]) -> Placed | None:
        """The order, if it is paid. None proves nothing: an app of the seller may have changed an unpaid one."""
        known = JSONObject(trace)
        charge, state = known.cents("charge"), order.text("state")
        charged = sum(self._cents(tender, "amount_money") for tender in order.each("tenders", []))
        if state == "CANCELED":
            if charged:
                raise broken_protocol(
                    "the provider reports the order as paid and canceled: $.order.state, $.order.tenders"
                )
            return None
        settled = charge == 0 and _version(order) > _version(known)
        return self._found(order, charge, charged) if charged or settled or state == "COMPLETED" else None

    def _found(self, order: JSONObject, expected: Cents | None, charged: Cents) -> Placed:
        return Placed(
            _number(order),
            order.identifier("id"),
            reference=order.text("reference_id"),
            expected_ready_at=_pickup_at(order),
            expected_charge=expected,
            charged=charged,
        )

    def fence_order(self, location: Location, reference: str, trace: Mapping[str, Any], session: Session) -> None:
        """Cancel the unpaid version of the order: Square then refuses to take a payment for it.

        Without a trace it is not known which one; its absence is not believed then.
        """
        if not trace:
            return
        known = JSONObject(trace)
        order = self._show(location, known.identifier("order_id"), reference, session)
        version = _version(order)
        # Apps of the seller change unpaid orders, too. One that costs nothing has no other mark of being settled.
        may_be_settled = known.cents("charge") == 0 and version > _version(known)
        if order.text("state") != "OPEN" or order.each("tenders", []) or may_be_settled:
            return
        canceled = {
            "location_id": location.provider_id,
            "version": version,
            "state": "CANCELED",
            "fulfillments": _canceled(order, _ENDED),
        }
        path = f"/v2/orders/{quote(order.identifier('id'), safe='')}"
        key = _key(reference, f"cancel:{order.identifier('id')}:{version}")
        body = {"idempotency_key": key, "order": canceled}
        after = session.call("PUT", path, body=body, repeatable=True).object().member("order")
        _check_echo(after, f"PUT {path}", id=order.identifier("id"), reference_id=reference)
        if after.text("state") != "CANCELED":
            raise broken_protocol(f"the provider did not cancel the order: $.order.state in the answer to PUT {path}")

    def show_status(self, location: Location, provider_order_id: str, reference: str, session: Session) -> OrderStatus:
        order = self._show(location, provider_order_id, reference, session)
        word, changed_at = _status(order)
        return OrderStatus(
            word,
            reference=order.text("reference_id"),
            changed_at=changed_at,
            expected_ready_at=_pickup_at(order),
        )

    def cancel_order(self, location: Location, provider_order_id: str, reference: str, session: Session) -> None:
        """Cancel the order's fulfillments: Square does not cancel a paid order itself."""
        order = self._show(location, provider_order_id, reference, session)
        version = _version(order)
        # Square is to refuse it if a part of the order has ended in another way.
        canceled = {
            "location_id": location.provider_id,
            "version": version,
            "fulfillments": _canceled(order, {"CANCELED"}),
        }
        key = _key(reference, f"cancellation of version {version}")
        path = f"/v2/orders/{quote(provider_order_id, safe='')}"
        session.call("PUT", path, body={"idempotency_key": key, "order": canceled}, repeatable=True)

    def _show(self, location: Location, order_id: str, reference: str, session: Session) -> JSONObject:
        path = f"/v2/orders/{quote(order_id, safe='')}"
        order = session.get(path).object().member("order")
        echoed = {"id": order_id, "reference_id": reference, "location_id": location.provider_id}
        _check_echo(order, f"GET {path}", **echoed)
        return order

    def error_from(self, reply: Reply) -> Refused | None:
        if reply.status not in _REFUSING_STATUSES:
            return None
        try:
            error = reply.object().each("errors")[0]
            words, field = error.text("detail", "") or error.text("code"), error.text("field", "")
            reported = f"{error.text('code')} {field} {words}"
            refuses = error.text("category") in _REFUSING
        except (Unanswered, IndexError):
            return None
        ours = next(ours for beginning, ours in _REFUSALS if re.match(beginning, reported, re.IGNORECASE | re.DOTALL))
        line = re.search(r"line_items\[(\d+)\]", field)
        return Refused(ours, words, path=line and f"$.items[{line[1]}].item") if refuses and ours else None

    def _pay(self, order: Order, reference: str, trace: Mapping[str, Any], session: Session) -> tuple[int, str]:
        """Pay a created order, which places it; the cents that Square recorded, and the reference that it echoes."""
        order_id, charge, key = trace["order_id"], trace["charge"], _key(reference, "payment")
        if charge == 0:
            path = f"/v2/orders/{quote(order_id, safe='')}/pay"
            body = {"idempotency_key": key, "order_version": trace["version"], "payment_ids": []}
            reply = session.post(path, body, repeatable=True, places_order=True, trace=trace)
            settled = reply.object().member("order")
            _check_echo(settled, f"POST {path}", id=order_id, reference_id=reference)
            if settled.text("state") == "CANCELED":
                raise broken_protocol(f"the provider settled an order but reports it canceled: $.order.state of {path}")
            if settled.text("state") != "COMPLETED" and _version(settled) <= trace["version"]:
                # A repeated answer to the creation looks like this.
                raise broken_protocol(f"the provider's answer does not settle the order: $.order.version of {path}")
            return self._cents(settled, "total_money"), settled.text("reference_id")
        body = {
            "idempotency_key": key,
            "source_id": "EXTERNAL",
            "external_details": {"type": "OTHER", "source": "LevelUp", "source_id": reference},
            "amount_money": self._money(charge - order.tip),
            "order_id": order_id,
            "location_id": order.location.provider_id,
            "reference_id": reference,
            **({"tip_money": self._money(order.tip)} if order.tip else {}),
        }
        reply = session.post("/v2/payments", body, repeatable=True, places_order=True, trace=trace)
        payment = reply.object().member("payment")
        _check_echo(payment, "POST /v2/payments", order_id=order_id, reference_id=reference)
        if (status := payment.text("status")) in ("CANCELED", "FAILED"):
            raise Refused("order_refused", f"Square's payment is {status}.")
        if status not in ("COMPLETED", "APPROVED"):
            raise broken_protocol("the provider has not decided on the payment")
        return self._cents(payment, "total_money"), payment.text("reference_id")

    def _order(self, order: Order) -> dict[str, Any]:
        """The order in Square's members."""
        if _is_delivery(order):
            self._terms.check(order)
        scheduled, ready_at = self._ready(order)
        pickup_at = ready_at.astimezone(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ") if scheduled and ready_at else ""
        discount = order.merchant_funded_discount
        return _given(
            location_id=order.location.provider_id,
            source={"name": SOURCE},
            line_items=[_line(item, f"$.items[{position}].item") for position, item in enumerate(order.items)],
            discounts=discount and [{
                "uid": DISCOUNT, "name": "LevelUp", "type": "FIXED_AMOUNT", "scope": "ORDER",
                "amount_money": self._money(discount),
            }],
            service_charges=self._terms.charges(self._currency) if _is_delivery(order) else [],
            fulfillments=self._fulfillments(order, scheduled, pickup_at),
            pricing_options={"auto_apply_taxes": True, "auto_apply_discounts": True},
        )  # fmt: skip

    def _fulfillments(self, order: Order, scheduled: bool, ready_at: str) -> list[dict[str, Any]]:
        """How the order reaches the guest; nothing for a delivery that does not say yet where to."""
        recipient, minutes = _recipient(order.user), self._minutes(order)
        how = _given(
            schedule_type="SCHEDULED" if scheduled else "ASAP",
            prep_time_duration=minutes and f"PT{minutes}M",
            note=_note(order.special_instructions, "$.special_instructions"),
        )
        if not _is_delivery(order):
            pickup = {"recipient": recipient, **how, **_given(pickup_at=ready_at)}
            return [{"type": "PICKUP", "state": "PROPOSED", "pickup_details": pickup}]
        if (address := order.delivery_address) is None:
            return []
        where = {"recipient": {**recipient, "address": address_of(order)}}
        directions = _given(deliver_at=ready_at, dropoff_notes=address.delivery_instructions)
        return [{"type": "DELIVERY", "state": "PROPOSED", "delivery_details": {**where, **how, **directions}}]

    def _minutes(self, order: Order) -> int:
        return self._prep + (self._terms.minutes if _is_delivery(order) else 0)

    def _ready(self, order: Order) -> tuple[bool, datetime | None]:
        """Whether the order is for a set time, and when it is ready; None if unknown (TIME-3 to TIME-7)."""
        if order.desired_ready_time is not None:
            return True, order.desired_ready_time
        if (opening := next_opening(order.location, order.received_at)) is not None:
            return True, in_minutes(self._minutes(order), opening)
        minutes = self._minutes(order)
        return False, in_minutes(minutes, order.received_at) if minutes else None

    def _quote(self, priced: JSONObject, order: Order) -> Quote:
        """Square's price of an order, checked against its lines to the cent (MONEY-9).

        :raises Refused: ``order_refused``: Square cannot take the whole discount off.
        """
        lines = _check_lines(priced, order)
        total, tip = self._cents(priced, "total_money"), self._cents(priced, "total_tip_money", 0)
        tax, discounts = self._cents(priced, "total_tax_money", 0), self._cents(priced, "total_discount_money", 0)
        charges = self._cents(priced, "total_service_charge_money", 0)
        fees = tuple(
            Fee(each.text("name", "") or "Service charge", self._cents(each, "applied_money"))
            for each in priced.each("service_charges", [])
        )
        brought = [each for each in priced.each("discounts", []) if each.text("uid", "") == DISCOUNT]
        ours = sum(self._cents(each, "applied_money") for each in brought)
        amounts = [self._cents(line, "gross_sales_money") for line in priced.each("line_items")]
        gross = sum(amounts)
        # Outside the US, Canada and Japan a line's price holds its inclusive tax.
        taxes = [each for each in priced.each("taxes", []) if each.text("type", "") == "INCLUSIVE"]
        inclusive = sum(self._cents(each, "applied_money") for each in taxes)
        food = total - tip - tax + discounts - charges
        if gross - food not in (0, inclusive) or charges != sum(fee.amount for fee in fees) or ours > discounts:
            raise broken_protocol("the provider's price does not add up: its lines have another total")
        if _is_delivery(order):
            self._check_delivery(priced, food)
        if ours != order.merchant_funded_discount:
            words = f"Square takes {ours} cents off for a discount of {order.merchant_funded_discount}."
            raise Refused("order_refused", words, path="$.merchant_funded_discount")
        return Quote(
            food, tax, tip=order.tip, charged=total - tip + order.tip, fees=tuple(fee for fee in fees if fee.amount),
            merchant_funded_discount=ours, provider_funded_discount=discounts - ours,
            ready=Ready(self._ready(order)[1]), cart={"validated": Secret(str(total - tip))},
            lines=line_prices(lines, zip(_lines_of(priced), amounts, strict=True)) if gross == food else None,
            address_decides=frozenset({"availability"} if _is_delivery(order) and not order.delivery_address else ()),
        )  # fmt: skip

    def _check_delivery(self, priced: JSONObject, food: Cents) -> None:
        """:raises Failure: Square does not charge the fee, or the food costs less than the minimum."""
        own = (each for each in priced.each("service_charges", []) if each.text("uid", "") == CHARGE)
        if (charged := sum(self._cents(each, "applied_money") for each in own)) != self._terms.fee:
            words = f"the provider charges {charged} for a delivery of {self._terms.fee} cents: $.order.service_charges"
            raise broken_protocol(words)
        check_minimum(food, self._terms.minimum)

    def _money(self, amount: Cents) -> dict[str, Any]:
        return {"amount": amount, "currency": self._currency}

    def _cents(self, answer: JSONObject, name: str, *default: Cents) -> Cents:
        return cents(answer, name, self._currency, *default)


def _check_echo(answer: JSONObject, call: str, **wanted: str) -> None:
    """Check that Square's answer to ``call`` is about our order.

    :raises Unanswered: ``provider_protocol_error``, with the call and the member.
    """
    for member, value in wanted.items():
        if answer.text(member, None) != value:
            words = f"the provider's answer to {call} is about another order: {answer.path}.{member} is not ours"
            raise broken_protocol(words)


def _check_lines(held: JSONObject, order: Order) -> Sequence[Hashable]:
    """Our lines, which Square's order must have (ITEM-11)."""
    ordered = [_line(item, "$") for item in order.items]
    ours = [(line["catalog_object_id"], line["quantity"], *_modifiers(JSONObject(line))) for line in ordered]
    check_basket(ours, _lines_of(held), f"{held.path}.line_items")
    return ours


def _lines_of(held: JSONObject) -> list[Hashable]:
    return [
        (each.text("catalog_object_id", ""), each.text("quantity", ""), *_modifiers(each))
        for each in held.each("line_items")
    ]


def _modifiers(line: JSONObject) -> list[tuple[str, str]]:
    return sorted(
        (each.text("catalog_object_id", ""), each.text("quantity", "1")) for each in line.each("modifiers", [])
    )


def _version(order: JSONObject) -> int:
    return order.integer("version")


def _objects(session: Session) -> list[JSONObject]:
    """The seller's catalog. A cursor is valid for some minutes: if one is refused, the pages are read again, once."""
    try:
        return list(_pages(session, MENU_TTL))
    except CursorRefused:
        return list(_pages(session, None))


def _pages(session: Session, cache_for: float | None) -> Iterator[JSONObject]:
    """The objects of the catalog, page by page."""
    params, cursors = {"types": ",".join(KINDS)}, {""}
    while True:
        try:
            reply = session.get("/v2/catalog/list", params=params, cache_for=cache_for, check=_page)
        except Refused as refusal:
            raise CursorRefused(refusal.code, refusal.message) from refusal
        found, params["cursor"] = _page(reply.object())
        yield from found
        if not params["cursor"]:
            return
        if params["cursor"] in cursors:
            raise broken_protocol("the pages of the provider's catalog form a loop")
        cursors.add(params["cursor"])


def _page(page: JSONObject) -> tuple[list[JSONObject], str]:
    """The objects of a page, and the cursor of the next page. An empty answer is an empty catalog."""
    if page.checked().value.keys() - {"latest_time"} and not (page.has("objects") or page.has("cursor")):
        raise broken_protocol("the provider's answer is not a page of the catalog")
    objects = page.each("objects", [])
    for each in objects:
        each.identifier("id")
        each.text("type")
    return objects, page.text("cursor", "")


def _line(item: Item, path: str) -> dict[str, Any]:
    modifiers = []
    for choice in nest(item.options, path=path):
        if choice.children:
            raise Refused("unknown_option", f"{choice.option_id} has no options of its own", path=f"{path}.options")
        modifiers.append({"catalog_object_id": choice.option_id, "quantity": str(choice.quantity)})
    note = _note(item.special_instructions, f"{path}.special_instructions")
    notes = [item.recipient_name and f"for {item.recipient_name}", note]
    line = {"catalog_object_id": item.provider_id, "quantity": str(item.quantity)}
    return line | _given(modifiers=modifiers, note=" / ".join(note for note in notes if note))


def _recipient(user: User) -> dict[str, Any]:
    """Who picks the order up; the extension of a telephone, for which Square has no member, follows the name.

    :raises Refused: ``customer_refused``: Square has no room for a member.
    """
    written = user.phone or ""
    extension = _EXTENSION.search(written)
    phone = re.sub(r"[\s()./\u2010-\u2015-]", "", written[: extension.start()] if extension else written)
    name = f"{user.name} (ext. {extension[1]})" if extension else user.name
    for member, value, most in (("name", name, 255), ("phone", phone, 17), ("email", user.email or "", 255)):
        if len(value) > most:
            words = f"Square takes at most {most} characters of it."
            raise Refused("customer_refused", words, path=f"$.user.{member}")
    if phone and not re.fullmatch(r"\+?[0-9]+", phone):
        raise Refused("customer_refused", "Square takes the digits of a telephone number.", path="$.user.phone")
    return _given(display_name=name, phone_number=phone, email_address=user.email)


def _note(words: str | None, path: str) -> str | None:
    if words is not None and len(words) > NOTE_LIMIT:
        limit = f"Special instructions may have {NOTE_LIMIT} characters."
        raise Refused("special_instructions_too_long", limit, path=path)
    return words


def _number(order: JSONObject) -> str:
    """The order's number at the counter, if it has one (SUB-1)."""
    return order.text("ticket_name", "") or order.identifier("id")


def _pickup_at(order: JSONObject) -> datetime | None:
    """Square's own ready time; without a preparation time, Square reports the placing time for an ASAP order."""
    for fulfillment in order.each("fulfillments", []):
        kind, details = details_of(fulfillment)
        if details.text("schedule_type", "") == "SCHEDULED" or details.has("prep_time_duration"):
            return details.instant("deliver_at" if kind == "DELIVERY" else "pickup_at", None)
    return None


def _is_delivery(order: Order) -> bool:
    return order.fulfillment_type == "delivery"


def _status(order: JSONObject) -> tuple[str, datetime | None]:
    """The state of an order's fulfillment, and since when; the order's own state if it has none or is canceled.

    An order with several fulfillments, which only the seller can make, has the states of all of them.
    """
    fulfillments = order.each("fulfillments", [])
    if order.text("state") == "CANCELED" or not fulfillments:
        return order.text("state"), None
    found = [_state(each) for each in fulfillments]
    return found[0] if len(found) == 1 else (", ".join(sorted({word for word, _ in found})), None)


def _state(fulfillment: JSONObject) -> tuple[str, datetime | None]:
    """The state of a fulfillment in the words of ``order_status``, and since when."""
    kind, details = details_of(fulfillment)
    word = state = fulfillment.text("state")
    if state == "FAILED" and details.has("rejected_at"):
        word = "FAILED, rejected"
    since = (DELIVERED_SINCE if kind == "DELIVERY" else _SINCE).get(word)
    changed_at = details.instant(since, None) if since is not None else None
    if state == "COMPLETED" and kind != "PICKUP":
        how = "delivered" if kind == "DELIVERY" else "shipped"
        return f"{word}, {how}", changed_at or details.instant("completed_at", None)
    return word, changed_at


def _canceled(order: JSONObject, ended: Set[str]) -> list[dict[str, str]]:
    """The fulfillments of an order, canceled, except for those in the states ``ended``."""
    fulfillments = order.each("fulfillments", [])
    return [{"uid": each.text("uid"), "state": "CANCELED"} for each in fulfillments if each.text("state") not in ended]


def _given(**members: Any) -> dict[str, Any]:
    """The members that have a value."""
    return {name: value for name, value in members.items() if value}


def _digest(*content: Any) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _key(reference: str, call: str) -> str:
    """The idempotency key of one call of one submission; Square takes at most 45 characters."""
    return str(uuid5(NAMESPACE_URL, f"levelup:{call}:{reference}"))
