"""Toast: a point of sale in restaurants (guest checkout, LevelUp as tender, modifiers nested in modifiers).

From Toast's public API specification and developer guide (orders 2.9, menus 2.4, restaurants 1.0, order management
configuration 1.0; 2026-11); not verified on a live account:

- A client logs in once for all its restaurants; a token lasts a day, and logging in earlier than a minute
  before its end returns the same token. A header names the restaurant of a call.
- ``/prices`` takes an order without its payment and stores nothing. It is the only source of the amount to pay.
  It may lack a ready time; the guide then adds ``takeoutPrepTime`` and ``takeoutThrottlingTime``.
- An order is found by its ``externalId``, which is unique and starts with a name that Toast gave the client.
- The quantity of a modifier must be that of its item: a modifier wanted twice is listed twice.
- Employees approve an order or not (``approvalStatus``). An approved order has the kitchen's ``guestOrderStatus``, a
  voided one ``voided``.
- A guest needs a phone number and an e-mail address. A note for the kitchen is a modifier without an item.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any
from urllib.parse import quote

from adapters.toast_delivery import (
    SETTINGS,
    area_of,
    check_destination,
    check_food,
    delivers,
    delivery_info,
    is_delivery,
    service_of,
)
from adapters.toast_menu import MenuReader
from adapters.toast_orders import (
    ORDER_STATUS,
    check_price,
    check_selections,
    customer,
    order_body,
    payment,
    read_found,
    read_placed,
    read_quote,
    read_status,
    refuse_notes,
)
from adapters.toast_restaurants import plan, read_location, read_timetable, region, takes_notes
from adapters.toast_webhooks import NOTICE_SETTINGS, read_notice
from levelup_ov.adapter import (
    Account,
    Adapter,
    JSONObject,
    Location,
    Login,
    Menu,
    Notice,
    Order,
    OrderStatus,
    Placed,
    Quote,
    Ready,
    Refused,
    Reply,
    Secret,
    Session,
    Setting,
    Stock,
    Tender,
    broken_protocol,
    read_each,
    reading,
)

MENU_TTL, CONFIGURATION_TTL = 300.0, 60.0
"""Seconds for which menus, and a restaurant's hours and preparation times, are cached."""

_REFUSALS = (
    (r"promised|opened ?date", "ready_time_unavailable"),
    (r"out of stock|sold out|unavailable|86'?d", "item_unavailable"),
    (r"(dining ?option|payment|discount).*not found", "order_refused"),
    (r"(modifier|option).*not found", "unknown_option"),
    (r"item.*not found", "unknown_item"),
    (r"modifier|option ?group|selection", "invalid_choices"),
    (r"customer|e-?mail|phone|(first|last) ?name", "customer_refused"),
)
"""Patterns for the text of Toast's refusals, and our code for each; any other is ``order_refused``.

A 404 is read as if it ended with *not found*.
"""
_OF_GATEWAYS = ("error", "path", "timestamp")
"""Members of a 404 from servers in front of Toast, for an unknown address."""
_OF_AN_ORDER = re.compile(r"(?!.*(restaurant|location|merchant))(?=.*\border\b).*", re.IGNORECASE | re.DOTALL)
"""The text of a 404 about an order; one about the restaurant proves nothing about its orders."""


OUT_OF_STOCK = "OUT_OF_STOCK"
VOID_ALL = {"selections": {"voidAll": True}, "payments": {"voidAll": True}}
"""Voids an order with all that is in it and its payment, which must be of type ``OTHER``."""


class NotFound(Refused):
    """Toast does not know the order, the restaurant, or something named in an order."""


class ToastAdapter(Adapter):
    """The restaurants of one Toast client."""

    interface_version = 2
    fulfillments = frozenset({"pickup", "delivery"})
    tenders = frozenset({"levelup"})
    schedules = True
    order_status = ORDER_STATUS
    cancels = True
    reports_stock = True
    versions_menus = True
    settings = {
        "base_url": Setting("address of the Toast API, from Toast", required=True, url=True),
        # Nothing says that one client sees the orders of another.
        "client_id": Setting("the client's id", required=True, finds_orders=True),
        "client_secret": Setting("the client's secret", required=True, secret=True),
        "naming_authority": Setting(
            "the name that Toast gave the client for its external ids", required=True, finds_orders=True
        ),
        "restaurants": Setting("GUIDs of the restaurants, comma-separated: the locations", required=True),
        "dining_option": Setting("GUID of the takeout dining option: one for all, or one each", required=True),
        "payment_type": Setting("GUID of the alternate payment type for LevelUp: one for all, or each", required=True),
        "discount": Setting("GUID of an open amount check discount, for merchant-funded ones: one for all, or each"),
        "currency": Setting("ISO 4217 code of the currency that prices are in", default="USD"),
        "menus_version": Setting("v3 for ordering partners, v2 for other clients", default="v3"),
        **SETTINGS,
        **NOTICE_SETTINGS,
    }

    def __init__(self, account: Account) -> None:
        super().__init__(account)
        self._restaurants = _listed(account, "restaurants")
        self._own = {
            name: _each(account, name) for name in ("dining_option", "payment_type", "discount", "delivery_option")
        }
        self._area = area_of(account)
        if account.setting("menus_version") not in ("", "v2", "v3"):
            raise ValueError("menus_version must be v2 or v3")
        self._currency = account.setting("currency") or "USD"
        self._login = Login(self._log_in)
        self._unread: frozenset[str] = frozenset()

    @property
    def takes_notices(self) -> bool:
        return bool(self.account.setting("webhook_secrets"))

    def read_notice(self, headers: Mapping[str, str], body: bytes) -> Notice:
        return read_notice(self.account, headers, body)

    def list_locations(self, session: Session) -> Sequence[Location]:
        # Read those that failed last time at the end, so that they take no time from the others.
        guids = sorted(self._restaurants, key=lambda guid: guid in self._unread)
        listed = read_each((guid, partial(self._hurried_location, guid, session)) for guid in guids)
        self._unread = frozenset(listed.unread)
        listed.sort(key=lambda location: self._restaurants.index(location.provider_id))
        return listed

    def show_menu(self, location: Location, session: Session) -> Menu:
        version, guid = self.account.setting("menus_version"), location.provider_id

        def read(menus: JSONObject, notes: bool = True) -> Menu:
            return MenuReader(menus, only_visible=version == "v2").menu(location, notes)

        path = f"/menus/{version}/menus"
        menus = self._call(session, "GET", path, guid, cache_for=MENU_TTL, check=read).object()
        return read(menus, takes_notes(self._restaurant(guid, session)))

    def show_menu_version(self, location: Location, session: Session) -> str:
        path = f"/menus/{self.account.setting('menus_version') or 'v3'}/metadata"
        metadata = self._call(session, "GET", path, location.provider_id).object()
        if metadata.text("restaurantGuid", location.provider_id) != location.provider_id:
            raise broken_protocol(f"the provider's answer to GET {path} is about another restaurant: $.restaurantGuid")
        return metadata.text("lastUpdated")

    def show_stock(self, location: Location, session: Session) -> Stock:
        """Toast's stock API, and whether the restaurant takes online orders; modifiers are items there, too."""
        guid = location.provider_id
        rows = self._call(session, "GET", "/stock/v1/inventory", guid, params={"status": OUT_OF_STOCK}).objects()
        gone = frozenset(row.identifier("guid") for row in rows if row.text("status") == OUT_OF_STOCK)
        restaurant = self._restaurant(guid, session)
        # An answer without a restaurant must not count as an open one.
        read_location(guid, restaurant, self._currency)
        ordering = restaurant.member("onlineOrdering") if restaurant.has("onlineOrdering") else None
        return Stock(
            gone, gone, by_last_part=True, paused=ordering is not None and not ordering.boolean("enabled", True)
        )

    def validate_order(self, order: Order, session: Session) -> Quote:
        body, ready = self._order(order, session)
        priced = self._prices(body, order, session)
        return self._quote(priced, order, body, ready, session)

    def submit_order(self, order: Order, tender: Tender, session: Session) -> Placed:
        body, ready = self._order(order, session)
        priced = self._prices(body, order, session)
        quote = self._quote(priced, order, body, ready, session)
        order.check_ready(quote.ready.soonest)
        check_price(quote, order, body)
        body["externalId"] = self._external_id(order.reference or "")
        guid = order.location.provider_id
        body["checks"][0]["payments"] = [payment(self._own["payment_type"][guid], quote, order)]
        try:
            reply = self._call(session, "POST", "/orders/v2/orders", guid, body=body, places_order=True)
        except NotFound as refusal:
            if not _OF_AN_ORDER.fullmatch(refusal.message):
                raise
            # Not a refusal of this call: Toast answers this for an order that is requested by its id.
            words = f"the provider answers POST /orders/v2/orders with a 404 about an order: {refusal.message}"
            raise broken_protocol(words) from None
        placed = read_placed(reply.object(), body["externalId"], quote.charged, "POST /orders/v2/orders")
        check_selections(reply.object(), body, "POST /orders/v2/orders")
        check_destination(reply.object(), body, "POST /orders/v2/orders")
        return placed

    def find_order(
        self, location: Location, reference: str, trace: Mapping[str, Any], session: Session
    ) -> Placed | None:
        """Only Toast's own 404 about the order proves that there is none: an invalid id is a 400."""
        external_id = self._external_id(reference)
        path = f"/orders/v2/orders/{quote(external_id, safe=':')}"
        try:
            order = self._call(session, "GET", path, location.provider_id).object()
        except NotFound as refusal:
            if not _OF_AN_ORDER.fullmatch(refusal.message):
                words = f"the provider's 404 to GET {path} is not about the order: {refusal.message}"
                raise broken_protocol(words) from None
            return None
        return read_found(order, external_id, f"GET {path}")

    def show_status(self, location: Location, provider_order_id: str, reference: str, session: Session) -> OrderStatus:
        path = f"/orders/v2/orders/{quote(provider_order_id, safe='')}"
        order = self._call(session, "GET", path, location.provider_id).object()
        return read_status(order, provider_order_id, self._external_id(reference), f"GET {path}")

    def cancel_order(self, location: Location, provider_order_id: str, reference: str, session: Session) -> None:
        path = f"/orders/v2/orders/{quote(provider_order_id, safe='')}/void"
        self._call(session, "POST", path, location.provider_id, body=VOID_ALL, repeatable=True)

    def error_from(self, reply: Reply) -> Refused | None:
        if reply.status not in (400, 404):
            return None
        problem = reply.object()
        words = "; ".join(dict.fromkeys(each.text("message") for each in (problem, *problem.each("errors", []))))
        if reply.status == 404:
            # A gateway's 404 is not Toast's, and must not prove that there is no order.
            own = problem.identifier("status", "") == "404" and not any(map(problem.has, _OF_GATEWAYS))
            return NotFound(_code_of(f"{words} not found"), words) if own else None
        return Refused(_code_of(words), words)

    def _call(self, session: Session, method: str, path: str, restaurant: str, **more: Any) -> Reply:
        return self._login.call(session, method, path, headers={"Toast-Restaurant-External-ID": restaurant}, **more)

    def _log_in(self, session: Session) -> tuple[Secret, float]:
        account = self.account
        body = {"clientId": account.setting("client_id"), "clientSecret": account.setting("client_secret")}
        body["userAccessType"] = "TOAST_MACHINE_CLIENT"
        reply = session.post("/authentication/v1/authentication/login", body, repeatable=True)
        token = reply.object().member("token")
        return Secret(token.text("accessToken")), token.integer("expiresIn")

    def _restaurant(self, guid: str, session: Session) -> JSONObject:
        path = f"/restaurants/v1/restaurants/{quote(guid, safe='')}"

        def check(restaurant: JSONObject) -> None:
            read_location(guid, restaurant, self._currency)
            takes_notes(restaurant)

        return self._call(session, "GET", path, guid, cache_for=CONFIGURATION_TTL, check=check).object()

    def _hurried_location(self, guid: str, session: Session) -> Location:
        return self._location(guid, session.within(session.deadline.remaining() / 2, guid))

    def _location(self, guid: str, session: Session) -> Location:
        try:
            restaurant = self._restaurant(guid, session)
            location = read_location(guid, restaurant, self._currency)
            offered = bool(self._own["delivery_option"].get(guid)) and delivers(restaurant) and location.active
            return replace(location, fulfills_deliveries=offered)
        except NotFound:
            return Location(guid, guid, active=False, terminated=True, fulfills_pickups=False)

    def _order(self, order: Order, session: Session) -> tuple[dict[str, Any], Ready]:
        """The order in Toast's form, without a payment, and when it can be ready."""
        guid = order.location.provider_id
        path = "/ordermgmt-config/v1/published/orderingSchedule"
        with reading():
            restaurant = self._restaurant(guid, session)
            times = restaurant.member("prepTimes")

            def check(schedule: JSONObject) -> object:
                return read_timetable(order.location, schedule, times, service_of(order))

            schedule = self._call(session, "GET", path, guid, cache_for=CONFIGURATION_TTL, check=check).object()
        if not takes_notes(restaurant):
            refuse_notes(order)
        promised, ready = plan(order, restaurant, schedule)
        people = customer(order.user, region(restaurant))
        option = self._own["delivery_option" if is_delivery(order) else "dining_option"][guid]
        body = order_body(order, people, option, self._discount(order), promised)
        return body | ({"deliveryInfo": delivery_info(order, self._area)} if is_delivery(order) else {}), ready

    def _quote(
        self, priced: JSONObject, order: Order, body: Mapping[str, Any], ready: Ready, session: Session
    ) -> Quote:
        check_destination(priced, body, "POST /orders/v2/prices")
        quote = read_quote(priced, order, self._discount(order), _estimated(priced, body, ready), body)
        if is_delivery(order):
            check_food(quote.food, self._restaurant(order.location.provider_id, session))
        return quote

    def _prices(self, body: Mapping[str, Any], order: Order, session: Session) -> JSONObject:
        guid = order.location.provider_id
        return self._call(session, "POST", "/orders/v2/prices", guid, body=body, repeatable=True).object()

    def _discount(self, order: Order) -> str:
        guid = self._own["discount"].get(order.location.provider_id, "")
        if order.merchant_funded_discount and not guid:
            words = "this restaurant has no discount at Toast that a merchant-funded one could be booked as"
            raise Refused("order_refused", words, path="$.merchant_funded_discount")
        return guid

    def _external_id(self, reference: str) -> str:
        return f"{self.account.setting('naming_authority')}:{reference}"


def _code_of(words: str) -> str:
    return next((code for pattern, code in _REFUSALS if re.search(pattern, words, re.IGNORECASE)), "order_refused")


def _estimated(priced: JSONObject, body: Mapping[str, Any], ready: Ready) -> Ready:
    """When an order can be ready; for "as soon as possible", Toast may know better."""
    estimate = priced.instant("estimatedFulfillmentDate", None)
    return ready if "promisedDate" in body or estimate is None else Ready(estimate, ready.slots)


def _listed(account: Account, name: str) -> list[str]:
    return [guid for part in account.setting(name).split(",") if (guid := part.strip())]


def _each(account: Account, name: str) -> Mapping[str, str]:
    """A setting for each restaurant, from one value for all, or one value each in the same order."""
    restaurants, values = _listed(account, "restaurants"), _listed(account, name)
    if account.setting(name) and len(values) not in (1, len(restaurants)):
        raise ValueError(f"{name} holds {len(values)} ids for {len(restaurants)} restaurants")
    return dict(zip(restaurants, values if len(values) > 1 else values * len(restaurants)))
