"""Vendure, a commerce server, with the plugin of ``plugins/vendure``: guests, accounts, both tenders.

How version 3.7.3 behaves with version 2.2 of the plugin, from their source and on a running server (2026-11):

- A location is a channel, named by its token in a header. The token is not a secret: every storefront sends it.
- Each call of the plugin is one transaction. A refused call leaves nothing behind, except attempts to pay.
- A cart belongs to one order of one guest. Only its token opens it: no session does, and no login finds it.
- An order is placed with the price that was shown, or not at all. Tips are neither discounted nor taxed.
- References are unique in the shop, in all channels. Once one is fenced, only carts opened later are placed under it.
- Vendure knows no preparation times, hours or slots. The desired time is kept with the order as its pickup time.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

from adapters.vendure_cart import CART, DELIVERY, changing, content_of, delivery_digest, digest_of, read_quote
from adapters.vendure_menu import LOCATION, MENU, METHODS, Page, read_location, read_menu, read_page
from adapters.vendure_refusals import CART_GONE, NOT_THIS_CUSTOMER, PERHAPS_ORDERED, VendureRefused, problem_in
from levelup_ov.adapter import (
    Account,
    Adapter,
    JSONObject,
    LevelUp,
    Location,
    Menu,
    Order,
    OrderStatus,
    Placed,
    Quote,
    Refused,
    Reply,
    Secret,
    Session,
    Setting,
    Stock,
    Tender,
    broken_protocol,
    read_each,
)

MENU_LIFETIME = 60.0
"""Seconds for which a menu is cached."""
REFUSAL = "refusal { kind message item }"
OPEN = "mutation Open($input: LevelUpOpenInput!) { cart: levelUpOpen(input: $input) { " + REFUSAL + CART + "} }"
STOCK = """query Stock($skip: Int!) {
  products(options: {skip: $skip, sort: {id: ASC}}) { totalItems items { variants { id stockLevel } } } }"""
PLACE = (
    """mutation Place($input: LevelUpPlaceInput!) { placed: levelUpPlace(input: $input) {
  reference order { id code customFields { pickupAt } payments { state amount } } """
    + REFUSAL
    + "} }"
)
OPEN_DELIVERY = (
    "mutation Open($input: LevelUpOpenInput!) { cart: levelUpOpen(input: $input) { "
    + REFUSAL
    + CART
    + "delivery: order { "
    + DELIVERY
    + " } } }"
)
HELD = "{ reference fences order { id code pickupAt } others }"
FIND = "query Find($reference: String!) { held: levelUpFind(reference: $reference) " + HELD + " }"
STATUS = """query Status($reference: String!) {
  held: levelUpFind(reference: $reference) { reference order { id state stateSince pickupAt } } }"""
STATUS_OF_DELIVERY = STATUS.replace("pickupAt", "pickupAt fulfillment")
FENCE = (
    """mutation Fence($reference: String!, $key: String!) {
  held: levelUpFence(reference: $reference, key: $key) """
    + HELD
    + " }"
)
CANCEL = (
    "mutation Cancel($reference: String!, $key: String!) { canceled: levelUpCancel(reference: $reference, key: $key) { "
    + REFUSAL
    + " } }"
)


class Cart(NamedTuple):
    """A cart. ``token`` opens it; ``total``: its price in cents without the tip; ``digest`` is of its content.

    ``delivery``: the digest of where it is brought; empty for a pickup.
    """

    code: str
    token: str
    total: int
    digest: str
    delivery: str = ""


class VendureAdapter(Adapter):
    """One shop; its channels are the locations."""

    interface_version = 2
    fulfillments = frozenset({"pickup", "delivery"})
    tenders = frozenset(METHODS.values())
    creates_customer_accounts = True
    schedules = True
    fences = True
    order_status = {
        "PaymentAuthorized": "placed",
        "PaymentSettled": "placed",
        "PartiallyShipped": "preparing",
        "Shipped": "ready",
        "PartiallyDelivered": "ready",
        "Delivered": "picked_up",
        "Delivered, delivery": "delivered",
        "Cancelled": "cancelled",
    }
    cancels = True
    reports_stock = True
    settings = {
        "base_url": Setting("address of the shop", required=True, url=True),
        "channels": Setting("tokens of the channels that are locations, comma-separated", required=True),
        "tender_key": Setting("the key of the shop's payment method levelup", required=True, secret=True),
        "currency": Setting("code of the currency of all prices, if not that of the first channel"),
        "checkout": Setting("guest, or account: orders run on a customer's account at the shop", default="guest"),
    }

    def __init__(self, account: Account) -> None:
        super().__init__(account)
        self._channels = [token for token in (each.strip() for each in account.setting("channels").split(",")) if token]
        if not self._channels:
            raise ValueError("channels is empty; write their tokens, comma-separated")
        if account.setting("checkout") not in ("guest", "account"):
            raise ValueError("checkout must be guest or account")

    def list_locations(self, session: Session) -> Sequence[Location]:
        currency = self.account.setting("currency")

        def read(token: str) -> Location:
            nonlocal currency
            hurried = session.within(session.deadline.remaining() / 2, token)
            location = read_location(token, _data(_ask(hurried, token, LOCATION)))
            currency = currency or location.currency or ""
            return location if location.currency == currency else replace(location, active=False)

        return read_each((token, partial(read, token)) for token in self._channels)

    def show_menu(self, location: Location, session: Session) -> Menu:
        pages, changed = self._pages(location, session, cache_for=MENU_LIFETIME)
        if changed:
            # Pages from different times do not form a menu, so all are read again, and that result counts.
            pages, changed = self._pages(location, session, repeatable=True)
        return read_menu(location, pages)

    def _pages(self, location: Location, session: Session, **how: Any) -> tuple[list[Page], bool]:
        """All pages, and whether products were added or removed in between."""
        pages: list[Page] = []
        check = partial(_check_page, location) if "cache_for" in how else None
        while True:
            skip = sum(len(page.products) for page in pages)
            extra = {**how, "check": check} if check else how
            pages.append(page := read_page(_data(_ask(session, location.provider_id, MENU, {"skip": skip}, **extra))))
            if not page.products or skip + len(page.products) >= page.total:
                return pages, len({page.total for page in pages}) > 1 or skip + len(page.products) != page.total

    def show_stock(self, location: Location, session: Session) -> Stock:
        """The variants that the shop displays as out of stock, page by page."""
        gone: set[str] = set()
        seen = 0
        while True:
            found = _data(_ask(session, location.provider_id, STOCK, {"skip": seen})).member("products")
            products = found.each("items")
            for variant in (each for product in products for each in product.each("variants")):
                if variant.text("stockLevel") == "OUT_OF_STOCK":
                    gone.add(variant.identifier("id"))
            seen += len(products)
            if not products or seen >= found.integer("totalItems"):
                return Stock(frozenset(gone))

    def validate_order(self, order: Order, session: Session) -> Quote:
        return self._open_cart(order, session)[0]

    def submit_order(self, order: Order, tender: Tender, session: Session) -> Placed:
        validated = _recorded(order)
        if validated and validated.delivery == delivery_digest(order):
            if placed := self._order_cart(validated, validated.total, order, tender, session):
                return placed
        quote, cart = self._open_cart(order, session)
        if validated and validated.delivery != cart.delivery and validated.total != cart.total:
            words = "with this address the order has another price than shown: validate it with the address"
            raise Refused("price_changed", words, path="$.delivery_address")
        placed = self._order_cart(cart, validated.total if validated else cart.total, order, tender, session)
        if placed is None:
            raise Refused("order_refused", "the shop does not keep its carts")
        return replace(placed, customer_account=quote.customer_account)

    def find_order(
        self, location: Location, reference: str, trace: Mapping[str, Any], session: Session
    ) -> Placed | None:
        return _placed(_ask(session, location.provider_id, FIND, {"reference": reference}), reference)

    def fence_order(self, location: Location, reference: str, trace: Mapping[str, Any], session: Session) -> None:
        """No open cart will be placed under the reference any more. An existing order stays."""
        variables = {"reference": reference, "key": self.account.setting("tender_key")}
        _placed(_ask(session, location.provider_id, FENCE, variables), reference, fenced=True)

    def show_status(self, location: Location, provider_order_id: str, reference: str, session: Session) -> OrderStatus:
        """The order's state. The plugin has it since version 2.1."""
        query = STATUS_OF_DELIVERY if location.fulfills_deliveries else STATUS
        held = _data(_ask(session, location.provider_id, query, {"reference": reference})).member("held")
        order = held.member("order")
        if held.text("reference") != reference or order.identifier("id") != provider_order_id:
            raise broken_protocol("the provider's answer is about another order")
        word = order.text("state")
        if word == "Delivered" and order.text("fulfillment", "pickup") == "delivery":
            word += ", delivery"
        return OrderStatus(
            word,
            reference=held.text("reference"),
            changed_at=order.instant("stateSince", None),
            expected_ready_at=order.instant("pickupAt", None),
        )

    def cancel_order(self, location: Location, provider_order_id: str, reference: str, session: Session) -> None:
        """The plugin can do it since version 2.2."""
        variables = {"reference": reference, "key": self.account.setting("tender_key")}
        _data(_ask(session, location.provider_id, CANCEL, variables))

    def error_from(self, reply: Reply) -> Refused | None:
        return problem_in(reply.object()) if reply.status == 200 else None

    def _order_cart(self, cart: Cart, total: int, order: Order, tender: Tender, session: Session) -> Placed | None:
        """Order a cart with the submission's final values (META-5), if it costs ``total`` and the tip.

        None: the cart no longer exists. If it may have been ordered, because the network delivered a request twice,
        the order is looked up.
        """
        place, amount = order.location.provider_id, total + order.tip
        variables = {
            "key": self.account.setting("tender_key"),
            "token": session.add_secret(cart.token),
            "code": cart.code,
            "reference": order.reference,
            "amount": amount,
            "method": next(code for code, kind in METHODS.items() if kind == tender.kind),
            "payment": self._payment(tender),
            **changing(order),
        }
        try:
            reply = _ask(session, place, PLACE, {"input": variables}, places_order=True, trace={"code": cart.code})
        except VendureRefused as problem:
            if problem.name not in PERHAPS_ORDERED:
                raise
            placed = self.find_order(order.location, order.reference or "", {}, session)
            if placed is None:
                if problem.name != CART_GONE:
                    raise
                session.nothing_placed()
            return placed
        answer = _data(reply).member("placed")
        if answer.has("refusal"):
            raise broken_protocol("the provider's answer both refuses and contains the order")
        paid = answer.member("order")
        settled = [each.cents("amount") for each in paid.each("payments") if each.text("state") == "Settled"]
        return Placed(
            paid.text("code"), paid.identifier("id"), reference=answer.text("reference"),
            expected_ready_at=paid.member("customFields").instant("pickupAt", None),
            expected_charge=amount, charged=sum(settled) if settled else None,
        )  # fmt: skip

    def _payment(self, tender: Tender) -> dict[str, str | None]:
        if isinstance(tender, LevelUp):
            return {"key": self.account.setting("tender_key")}
        month, year = tender.expiration_month, tender.expiration_year
        number, cvv = tender.number.reveal(), tender.cvv.reveal()
        return {"number": number, "cvv": cvv, "month": month, "year": year, "zip": tender.zip, "name": tender.name}

    def _open_cart(self, order: Order, session: Session) -> tuple[Quote, Cart]:
        """A new cart with the order in it (META-3), a guest's or a customer's (META-6)."""
        guest, key = self.account.setting("checkout") == "guest", self.account.setting("tender_key")
        content = content_of(order)
        for customer in _customers(order, guest):
            if customer["password"]:
                session.add_secret(customer["password"])
            variables = {"input": {"key": key, "customer": customer, **content}}
            query = OPEN_DELIVERY if order.fulfillment_type == "delivery" else OPEN
            try:
                reply = _ask(session, order.location.provider_id, query, variables)
            except VendureRefused as problem:
                refusal = problem
                if problem.name not in NOT_THIS_CUSTOMER:
                    raise
            else:
                answer = _data(reply).member("cart")
                account = {} if guest else {name: Secret(customer[name]) for name in ("email", "password")}
                quote = replace(read_quote(answer, order), customer_account=account)
                held = answer.member("order")
                total = held.cents("totalWithTax") - (quote.tip or 0)
                token = session.add_secret(answer.text("token"))
                cart = Cart(held.text("code"), token, total, digest_of(order), delivery_digest(order))
                return replace(quote, cart={"cart": Secret(json.dumps(cart))}), cart
        raise refusal


def _ask(session: Session, channel: str, query: str, variables: Mapping[str, Any] | None = None, **how: Any) -> Reply:
    """Send one document. All except the one that places the order may be repeated: a lost cart costs nothing."""
    # The channel's token is not a secret, but it means nothing to people.
    headers = {"vendure-token": session.add_secret(channel)}
    how = how or {"repeatable": True}
    return session.call("POST", "/shop-api", body={"query": query, "variables": variables}, headers=headers, **how)


def _placed(reply: Reply, reference: str, *, fenced: bool = False) -> Placed | None:
    """The order that the shop has under ``reference``; None proves that it has none.

    :raises Unanswered: the answer is about something else, or is incomplete.
    """
    held = _data(reply).member("held")
    if (echoed := held.text("reference")) != reference:
        raise broken_protocol("the provider's answer is about another order")
    fences, others = held.integer("fences"), held.identifiers("others")
    if "order" not in held.value or (others and not held.has("order")):
        raise broken_protocol("the provider's answer does not say whether there is an order")
    if not held.has("order"):
        if fenced and not fences:
            raise broken_protocol("the provider does not fence the reference")
        return None
    order = held.member("order")
    return Placed(
        order.text("code"), order.identifier("id"), reference=echoed,
        expected_ready_at=order.instant("pickupAt", None), duplicates=tuple(others),
    )  # fmt: skip


def _check_page(location: Location, answer: JSONObject) -> None:
    """:raises Unanswered: it is not a page of a menu."""
    read_menu(location, [read_page(_data_of(answer))])


def _data(reply: Reply) -> JSONObject:
    return _data_of(reply.object())


def _data_of(answer: JSONObject) -> JSONObject:
    """The requested data; if there is also an error, a null proves nothing."""
    if answer.has("errors"):
        raise broken_protocol("the provider reports an internal error")
    return answer.member("data")


def _customers(order: Order, guest: bool) -> Iterator[dict[str, Any]]:
    """The customer accounts to try for the order, one after the other; no account is taken over."""
    user, stored = order.user, order.customer_account
    if user.email is None:
        raise Refused("customer_refused", "this shop needs an e-mail address", path="$.user.email")
    local, _, domain = user.email.rpartition("@")
    derived = f"{local}+{secrets.token_hex(6)}@{domain}"
    if not guest and "email" in stored and "password" in stored:
        yield {"email": stored["email"].reveal(), "password": stored["password"].reveal(), "register": False}
    for email in (user.email, derived):
        yield {"email": email, "password": None if guest else secrets.token_urlsafe(24), "register": not guest}


def _recorded(order: Order) -> Cart | None:
    """The cart of the validation, if it was for this order (META-4)."""
    try:
        cart = Cart(*json.loads(order.cart["cart"].reveal()))
    except (KeyError, TypeError, ValueError):
        return None
    return cart if cart.digest == digest_of(order) else None
