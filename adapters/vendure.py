"""Vendure, a commerce server, in the configuration of ``tests/servers/vendure``: guests, accounts, both tenders.

What version 3.7.3 does, read in its source and seen on the running server (2026-11):

- A location is a channel, named by its token in a header. The token is no secret: every storefront sends it.
- The mutations of one document run one after another; one that throws ends the document, one that answers
  with an error does not. The same mutation twice in a document sees the session as it was before the first.
- A session comes into being with its first cart. Its token is in a header of the answer.
- A customer who is logged in has one cart, so it is left for a new one first (META-3). To register an address
  that is taken is answered with success; only that the login then fails tells.
- Payment with a wrong amount is refused by the shop's own handlers, so what was shown is what is charged.
- Discounts and tax are worked out by the shop: its order-level discounts lower what is taxed.
- It knows no preparation times, hours or slots. The desired time is kept with the order as its pickup time.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from adapters.vendure_cart import CART, HELD, content_of, digest_of, fields_of, missing_item, read_quote
from adapters.vendure_menu import LOCATION, MENU, METHODS, read_location, read_menu
from adapters.vendure_refusals import CART_GONE, NOT_THIS_CUSTOMER, PERHAPS_ORDERED, PROBLEM, Problem, problem_in
from levelup_ov.adapter import Account, Adapter, Setting
from levelup_ov.domain.location import Location
from levelup_ov.domain.menu import Menu
from levelup_ov.domain.order import Order
from levelup_ov.domain.outcome import Placed, Quote
from levelup_ov.domain.secret import Secret
from levelup_ov.domain.tender import CreditCard, Tender
from levelup_ov.errors import Refused, broken_protocol
from levelup_ov.transport.answer import Answer
from levelup_ov.transport.session import Reply, Session

MENU_LIFETIME = 60.0
"""Seconds for which a menu is kept."""

_TOKEN = "vendure-auth-token"

OPEN = """mutation Open(
  $guest: Boolean!, $register: Boolean!, $account: RegisterCustomerInput!, $email: String!, $password: String!,
  $person: UpdateCustomerInput!, $customer: CreateCustomerInput!, $lines: [AddItemInput!]!,
  $fields: UpdateOrderCustomFieldsInput!, $tip: Int!
) {
  register: registerCustomerAccount(input: $account) @include(if: $register) { __typename ...Problem }
  login: login(username: $email, password: $password) @skip(if: $guest) { __typename ...Problem }
  person: updateCustomer(input: $person) @skip(if: $guest) { __typename }
  start: startCart @skip(if: $guest)
  lines: addItemsToOrder(inputs: $lines) { order { ...Held } errorResults { __typename ...Problem } }
  fields: setOrderCustomFields(input: {customFields: $fields}) { __typename ...Problem }
  customer: setCustomerForOrder(input: $customer) @include(if: $guest) { __typename ...Problem }
  cart: setTip(amount: $tip) { ...Cart }
}
""" + CART + HELD + PROBLEM
PLACE = """mutation Place(
  $code: String!, $tip: Int!, $fields: UpdateOrderCustomFieldsInput!, $method: String!, $metadata: JSON!
) {
  tip: setTip(amount: $tip, code: $code) { code }
  fields: setOrderCustomFields(input: {customFields: $fields}) { __typename ...Problem }
  state: transitionOrderToState(state: "ArrangingPayment") { __typename ...Problem }
  pay: addPaymentToOrder(input: {method: $method, metadata: $metadata}) { __typename ...Problem
    ... on Order { id code customFields { pickupAt } payments { state amount } } }
}
""" + PROBLEM  # fmt: skip
FIND = """query Find($reference: String!) {
  orderPlacedAs(reference: $reference) { id code pickupAt }
}"""


class Cart(NamedTuple):
    """A cart. ``token``: its session; ``total``: the cents it costs without the tip; ``digest``: of its content."""

    code: str
    token: str
    total: int
    digest: str


class VendureAdapter(Adapter):
    """One shop; its channels are the locations."""

    tenders = frozenset(METHODS.values())
    creates_accounts = True
    schedules = True
    settings = {
        "base_url": Setting("address of the shop", required=True, url=True),
        "channels": Setting("tokens of the channels that are locations, comma-separated", required=True),
        "tender_key": Setting("the key of the shop's payment method levelup", required=True, secret=True),
        "checkout": Setting("guest, or account: orders run on a customer's account at the shop", default="guest"),
    }

    def __init__(self, account: Account) -> None:
        super().__init__(account)
        self._channels = [token for token in (each.strip() for each in account.setting("channels").split(",")) if token]
        if not self._channels:
            raise ValueError("channels names no channel; write their tokens, comma-separated")
        if account.setting("checkout") not in ("guest", "account"):
            raise ValueError("checkout is neither guest nor account")

    def list_locations(self, session: Session) -> Sequence[Location]:
        return [read_location(token, _data(_ask(session, token, LOCATION))) for token in self._channels]

    def show_menu(self, location: Location, session: Session) -> Menu:
        products: list[Answer] = []
        while True:
            page = _page(
                _ask(
                    session,
                    location.provider_id,
                    MENU,
                    {"skip": len(products)},
                    cache_for=MENU_LIFETIME,
                    check=lambda answer: read_menu(location, _page(answer).each("items")),
                ).answer()
            )
            products += (found := page.each("items"))
            if not found or len(products) >= page.integer("totalItems"):
                return read_menu(location, products)

    def validate_order(self, order: Order, session: Session) -> Quote:
        return self._open_cart(order, session)[0]

    def submit_order(self, order: Order, tender: Tender, session: Session) -> Placed:
        validated = _recorded(order)
        placed = validated and self._order_cart(validated, validated.total, order, tender, session)
        if placed:
            return placed
        quote, cart = self._open_cart(order, session)
        placed = self._order_cart(cart, validated.total if validated else cart.total, order, tender, session)
        if placed is None:
            raise Refused("order_refused", "the shop does not keep its carts")
        return replace(placed, account=quote.account)

    def find_order(
        self, location: Location, reference: str, trace: Mapping[str, Any], session: Session
    ) -> Placed | None:
        data = _data(_ask(session, location.provider_id, FIND, {"reference": reference}))
        if "orderPlacedAs" in data.value and not data.has("orderPlacedAs"):
            return None
        order = data.member("orderPlacedAs")
        return Placed(order.text("code"), order.identifier("id"), order.instant("pickupAt", None))

    def error_from(self, reply: Reply) -> Refused | None:
        return problem_in(reply.answer()) if reply.ok else None

    def _order_cart(
        self, cart: Cart, total: int, order: Order, tender: Tender, session: Session
    ) -> Placed | None:
        """Order a cart with the submission's final values (META-5), if it costs ``total`` and the tip.

        None: it is gone. Where that may be because it was ordered, which is so for a request that the network
        delivered twice, the order is looked for.
        """
        place, amount = order.location.provider_id, total + order.tip
        variables = {
            "code": cart.code,
            "tip": order.tip,
            "fields": {**fields_of(order), "levelupReference": order.reference},
            "method": next(code for code, kind in METHODS.items() if kind == tender.kind),
            "metadata": {"amount": amount, **self._payment(tender)},
        }
        try:
            reply = _ask(session, place, PLACE, variables, cart.token, places_order=True, trace={"code": cart.code})
        except Problem as problem:
            if problem.name not in PERHAPS_ORDERED:
                raise
            placed = self.find_order(order.location, order.reference or "", {}, session)
            if placed is None:
                if problem.name != CART_GONE:
                    raise
                session.nothing_placed()
            return placed
        paid = _data(reply).member("pay")
        settled = [each.cents("amount") for each in paid.each("payments") if each.text("state") == "Settled"]
        ready_at, charged = paid.member("customFields").instant("pickupAt", None), sum(settled) if settled else None
        return Placed(paid.text("code"), paid.identifier("id"), ready_at, expected_charge=amount, charged=charged)

    def _payment(self, tender: Tender) -> dict[str, str | None]:
        if not isinstance(tender, CreditCard):
            return {"key": self.account.setting("tender_key")}
        month, year = tender.expiration_month, tender.expiration_year
        number, cvv = tender.number.reveal(), tender.cvv.reveal()
        return {"number": number, "cvv": cvv, "month": month, "year": year, "zip": tender.zip, "name": tender.name}

    def _open_cart(self, order: Order, session: Session) -> tuple[Quote, Cart]:
        """A new cart with the order in it (META-3), a guest's or a customer's (META-6)."""
        guest = self.account.setting("checkout") == "guest"
        for customer in _customers(order, guest):
            session.conceal(customer["password"])
            try:
                reply = _ask(session, order.location.provider_id, OPEN, {**customer, **content_of(order)})
            except Problem as problem:
                refusal = problem
                if problem.cart is not None and (position := missing_item(order, problem.cart)) is not None:
                    problem.path = f"$.items[{position}].item"
                if problem.name not in NOT_THIS_CUSTOMER:
                    raise
            else:
                answer = _data(reply).member("cart")
                if not (token := reply.headers.get(_TOKEN)):
                    raise broken_protocol(f"the provider's answer has no {_TOKEN}")
                account = {} if guest else {name: Secret(customer[name]) for name in ("email", "password")}
                quote = replace(read_quote(answer, order), account=account)
                total = answer.cents("totalWithTax") - (quote.tip or 0)
                cart = Cart(answer.text("code"), token, total, digest_of(order))
                return replace(quote, cart={"cart": Secret(json.dumps(cart))}), cart
        raise refusal


def _ask(
    session: Session, channel: str, query: str, variables: Mapping[str, Any] | None = None, token: str = "", **how: Any
) -> Reply:
    """Send one document. All but the one that places the order may be sent again: a lost cart costs nothing."""
    # The channel's token is no secret, but no word for people either.
    headers = {"vendure-token": session.conceal(channel)}
    if token:
        headers["Authorization"] = f"Bearer {session.conceal(token)}"
    how = how or {"repeatable": True}
    return session.call("POST", "/shop-api", body={"query": query, "variables": variables}, headers=headers, **how)


def _page(answer: Answer) -> Answer:
    """A page of products."""
    page = _data_of(answer).member("products")
    page.integer("totalItems")
    return page


def _data(reply: Reply) -> Answer:
    return _data_of(reply.answer())


def _data_of(answer: Answer) -> Answer:
    """What was asked for; with any error beside it, a null in it proves nothing."""
    if answer.has("errors"):
        raise broken_protocol("the provider reports an error of its own")
    return answer.member("data")


def _customers(order: Order, guest: bool) -> Iterator[dict[str, Any]]:
    """The customers that the order may run on, one to be tried after the other; no account is taken over."""
    user, stored = order.user, order.account
    if user.email is None:
        raise Refused("customer_refused", "this shop needs an e-mail address", path="$.user.email")
    person = {"firstName": user.first_name, "lastName": user.last_name, "phoneNumber": user.phone}
    local, _, domain = user.email.rpartition("@")
    derived = f"{local}+{secrets.token_hex(6)}@{domain}"
    attempts = [(email, secrets.token_urlsafe(24), not guest) for email in (user.email, derived)]
    if not guest and "email" in stored and "password" in stored:
        attempts.insert(0, (stored["email"].reveal(), stored["password"].reveal(), False))
    for email, password, register in attempts:
        customer = {**person, "emailAddress": email}
        sign_in = {"guest": guest, "register": register, "email": email, "password": password}
        yield {**sign_in, "person": person, "customer": customer, "account": {**customer, "password": password}}


def _recorded(order: Order) -> Cart | None:
    """The cart of the validation before, if it was for this order (META-4)."""
    try:
        cart = Cart(*json.loads(order.cart["cart"].reveal()))
    except (KeyError, TypeError, ValueError):
        return None
    return cart if cart.digest == digest_of(order) else None
