"""The price of a basket: one order validation, in lines and totals that add up to the cent (MONEY-7, MONEY-9)."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any

from msgspec import Struct, structs

from levelup_ov.domain import ready_time
from levelup_ov.domain.failure import Failure
from levelup_ov.domain.money import Cents, percentage
from levelup_ov.domain.options import Option
from levelup_ov.domain.order import Item, User
from levelup_ov.domain.outcome import Quote
from levelup_ov.domain.request import OrderRequest
from levelup_ov.errors import broken_protocol
from levelup_ov.ordering.locations import RoutedLocation
from levelup_ov.ordering.request_context import RequestContext
from levelup_ov.ordering.responses import QuotedOrder
from levelup_ov.ordering.service import Service
from levelup_ov.sessions.content import Content
from levelup_ov.sessions.menu_prices import KnownMenuPrices, MenuPrices
from levelup_ov.sessions.model import Basket, Buyer, Line, NamedAmount, Price, PricedLine, Problem, Totals
from levelup_ov.sessions.problems import TOTALS_CHANGED, is_about_basket, lacking, problem_of, undeliverable
from levelup_ov.sessions.times import untimely, with_earlier_offers

FRESH_FOR = timedelta(minutes=10)
"""How long a price is shown again, and completed with, without asking the provider."""

PLACEHOLDER = User("Guest", "Order", phone="+1 202-555-0100")
"""Who a basket is priced for before its buyer is known.

The number is reserved for fiction; without an e-mail address, no provider makes an account."""
DISCOUNT = "Discount"
MOST_TIPS = 2
"""How often a basket is priced again for the tip that follows its price; more than once if that changes meanwhile."""

_option = lru_cache(1024)(Option)
"""The same options are ordered again and again, and to look one up takes a ninth of the time of making it."""


@lru_cache(1024)
def _item(id: str, quantity: int, options: tuple[str, ...]) -> Item:
    """So are items, without what somebody wrote beside them."""
    return Item(id, quantity, tuple(map(_option, options)))


class Priced(Struct, frozen=True):
    """A basket's price, or the problem why it has none; ``metadata`` is for the submission.

    ``basket``: the same, with the tip that follows the price.
    ``known``: what the menu says of the lines if they have no price.
    """

    basket: Basket
    routed: RoutedLocation
    price: Price | None
    problems: tuple[Problem, ...]
    metadata: Mapping[str, Any]
    known: tuple[PricedLine, ...] = ()


class BasketPricer:
    """Prices baskets by ``service``."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._menus = KnownMenuPrices(service)

    def price(self, basket: Basket, context: RequestContext) -> Priced:
        """The price of a basket at its location; a tip in percent is of that price.

        :raises Failure: there is no such location, or no price can be had now.
        """
        priced = self._price(basket, context)
        for _ in range(MOST_TIPS):
            if (tip := _tip(priced)) == priced.basket.tip:
                break
            priced = self._price(structs.replace(basket, tip=tip), context)
        return priced

    def _price(self, basket: Basket, context: RequestContext) -> Priced:
        try:
            if not basket.lines:
                raise Failure("invalid_member", "there is nothing in the basket", path="$.items")
            quoted = self._service.quote_order(basket.location_id, request_of(basket, {}), context)
        except Failure as failure:
            if not is_about_basket(failure):
                raise
            routed = self._service.routing.find(basket.location_id, context)
            problems = problem_of(failure), *missing(basket, None)
            return Priced(basket, routed, None, problems, {}, self._known(basket, routed, context))
        lines, discount = self._lines(basket, quoted, context)
        price = _price(quoted, lines, discount)
        return Priced(basket, quoted.routed, price, missing(basket, price), quoted.metadata)

    def _known(self, basket: Basket, routed: RoutedLocation, context: RequestContext) -> tuple[PricedLine, ...]:
        try:
            menu = self._menus.of(routed.id, context)
        except Failure:
            # Without it, the lines have ids only.
            return ()
        return priced_lines(basket.lines, [0] * len(basket.lines), menu)

    def _lines(
        self, basket: Basket, quoted: QuotedOrder, context: RequestContext
    ) -> tuple[tuple[PricedLine, ...], Cents]:
        """The lines, and by how much the provider's food is cheaper than they are."""
        began, food, given = time.monotonic(), quoted.quote.food, quoted.quote.lines
        menu = self._menus.of(quoted.routed.id, context)
        if given is not None:
            return priced_lines(basket.lines, given, menu), 0
        subtotals = _subtotals(basket, menu)
        if subtotals is None or (sum_ := sum(subtotals)) < food:
            # Perhaps the menu is older than the price.
            menu = self._menus.of(quoted.routed.id, context, read_after=began)
            subtotals = _subtotals(basket, menu)
            if subtotals is None or (sum_ := sum(subtotals)) < food:
                words = "the provider's price is more than its menu says, and no fee explains it (MONEY-9)"
                raise broken_protocol(words)
        return priced_lines(basket.lines, subtotals, menu), sum_ - food


def _tip(priced: Priced) -> Cents | None:
    """The tip that a basket has at its price."""
    basket, price = priced.basket, priced.price
    if basket.tip_percent is None or price is None or not price.tip_accepted:
        return basket.tip
    return percentage(price.totals.subtotal, basket.tip_percent * 100)


def request_of(basket: Basket, metadata: Mapping[str, Any]) -> OrderRequest:
    """The order of a basket; ``metadata`` is that of its validation, if it is to be submitted."""
    return OrderRequest(
        items=tuple([_item_of(line) for line in basket.lines]),
        user=user_of(basket.buyer),
        desired_ready_time=basket.desired_ready_time,
        fulfillment_type=basket.fulfillment,
        special_instructions=basket.note,
        tip=basket.tip or 0,
        delivery_address=basket.delivery_address,
        metadata=metadata,
    )


def _item_of(line: Line) -> Item:
    item = _item(line.item_id, line.quantity, line.options)
    return item if line.note is None else Item(line.item_id, line.quantity, item.options, line.note)


def user_of(buyer: Buyer | None) -> User:
    """The user of an order; a placeholder as long as the buyer lacks something."""
    if buyer is None or lacking(buyer):
        return PLACEHOLDER
    return User((buyer.first_name or "").strip(), (buyer.last_name or "").strip(), buyer.phone, buyer.email)


def is_same_order(one: Basket, other: Basket) -> bool:
    """Whether two baskets are the same order, with the same price."""
    return one.location_id == other.location_id and request_of(one, {}) == request_of(other, {})


def priced_lines(lines: Iterable[Line], subtotals: Sequence[Cents], menu: MenuPrices) -> tuple[PricedLine, ...]:
    """The lines of a basket with their prices, in the words of the menu."""
    priced = [
        PricedLine(
            line.reference,
            line.item_id,
            (dish := menu.dish(line)).name,
            line.quantity,
            None if subtotal % line.quantity else subtotal // line.quantity,
            subtotal,
            dish.base_price,
            dish.options,
        )
        for line, subtotal in zip(lines, subtotals, strict=True)
    ]
    return tuple(priced)


def is_fresh(content: Content, now: datetime) -> bool:
    """Whether a session's price can be shown again, and completed with, without asking the provider."""
    return content.price is not None and not content.is_stale and now - content.price.at < FRESH_FOR


def with_basket(content: Content, basket: Basket) -> Content:
    """The content with the same order in other words: with the front's new references."""
    assert content.price is not None
    pairs = zip(content.price.lines, basket.lines, strict=True)
    lines = tuple(structs.replace(line, reference=asked.reference) for line, asked in pairs)
    price = structs.replace(content.price, lines=lines)
    return structs.replace(content, basket=basket, price=price, problems=missing(basket, price), changed=False)


def missing(basket: Basket, price: Price | None) -> tuple[Problem, ...]:
    """What must be solved before a basket with this price can be completed."""
    of_price = (*untimely(price), *undeliverable(basket)) if price else ()
    return (*of_price, *lacking(basket.buyer))


def repriced(shown: Content, newer: Content, now: datetime) -> Content:
    """The newer content, with a problem if the same order costs another amount than was shown."""
    newer = with_earlier_offers(shown, newer, now)
    basket = newer.basket
    if basket.tip_percent is not None and basket.tip_percent == shown.basket.tip_percent:
        # A tip that follows the price makes it no other order.
        basket = structs.replace(basket, tip=shown.basket.tip)
    if shown.price is None or newer.price is None or not is_same_order(shown.basket, basket):
        return newer
    before, after = shown.price.totals.total, newer.price.totals.total
    if before == after:
        return newer
    words = f"the total has changed from {before} to {after} cents; nothing was ordered"
    return structs.replace(newer, changed=True, problems=(Problem(TOTALS_CHANGED, words), *newer.problems))


def totals_of(quote: Quote, subtotal: Cents) -> Totals:
    """The totals of a quote whose lines add up to ``subtotal``, which is at least its food."""
    given = subtotal - quote.food, quote.provider_funded_discount, quote.merchant_funded_discount
    return Totals(
        subtotal,
        quote.tax,
        quote.tip or 0,
        tuple(NamedAmount(fee.name, fee.amount) for fee in quote.fees if fee.amount),
        tuple(NamedAmount(DISCOUNT, amount) for amount in given if amount),
    )


def _price(quoted: QuotedOrder, lines: tuple[PricedLine, ...], discount: Cents) -> Price:
    order, quote, ready = quoted.order, quoted.quote, quoted.quote.ready
    slots = ready_time.available_at(ready, order.desired_ready_time, order.received_at)
    tips = quoted.routed.location.accepts_tips(order.fulfillment_type)
    return Price(
        at=order.received_at,
        lines=lines,
        totals=totals_of(quote, quote.food + discount),
        tip_accepted=tips and quote.tip is not None,
        soonest=None if ready.soonest is None else ready_time.whole_minute(ready.soonest),
        slots=None if slots is None else tuple(map(ready_time.whole_minute, slots)),
        address_decides=tuple(sorted(quote.address_decides)),
        desired=order.desired_ready_time,
    )


def _subtotals(basket: Basket, menu: MenuPrices) -> list[Cents] | None:
    found = [(price, line.quantity) for line in basket.lines if (price := menu.dish(line).price) is not None]
    return [price * quantity for price, quantity in found] if len(found) == len(basket.lines) else None
