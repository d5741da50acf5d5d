"""From an agent's request to the basket of a session. Pure (UCP-4 to UCP-7)."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import count, filterfalse
from typing import Any

from msgspec import Struct, structs

from levelup_ov.domain import ready_time
from levelup_ov.schemas.agent_checkouts import (
    BuyerRequest,
    CheckoutRequest,
    LineRequest,
    MethodRequest,
    TipRequest,
)
from levelup_ov.sessions.model import Basket, Buyer, CheckoutSession, Line
from levelup_ov.ucp.problems import BusinessOutcome, Message, Rejected, outcome

TIPS: Mapping[str, int] = {"percent-15": 15, "percent-18": 18, "percent-20": 20}
"""The presets of a tip: percents of the subtotal, by id."""
ASAP = "asap"
"""The id of the fulfillment option without a time."""
SEPARATOR = "/"
"""Between the location and the item in a product's id. A location's id has none."""

PICKUP = MethodRequest("pickup", None, None, None, None)
"""How a food order gets to its buyer if the agent says nothing about it: as a pickup, as soon as possible."""

_FACE, _SHOWN, _FOLLOWER = "face", "shown", "follower"


class BasketDraft(Struct, frozen=True):
    """A basket to be priced, and what must be said beside it.

    ``positions``: where each of its lines, by its reference, is in the request.
    """

    basket: Basket
    positions: Mapping[str, int]
    messages: tuple[Message, ...] = ()


@dataclass(frozen=True, slots=True)
class Follower:
    """Where changes of an order are sent, and the public address of this service, as that agent knows it."""

    url: str
    base_url: str


def followed(basket: Basket, webhook: str | None, base_url: str) -> Basket:
    """The basket of an order whose changes are sent to ``webhook``; None: they are not sent."""
    others = {name: value for name, value in basket.extra.items() if name != _FOLLOWER}
    return structs.replace(basket, extra={**others, _FOLLOWER: [webhook, base_url]} if webhook else others)


def follower(basket: Basket) -> Follower | None:
    """The receiver of the changes of a basket's order."""
    known = basket.extra.get(_FOLLOWER)
    return Follower(*known) if known else None


def food_basket(request: CheckoutRequest, session: CheckoutSession | None) -> BasketDraft:
    """The basket of a food checkout; ``session``: what it updates.

    :raises BusinessOutcome: no location is named, or another one than before.
    :raises Rejected: ``invalid_request``: an id was never offered.
    """
    before = session.basket if session else None
    location = request.location_id or (before.location_id if before else None)
    if location is None:
        raise outcome("food_establishment_required", "name the food establishment", "$.food_establishment.id")
    if before is not None and location != before.location_id:
        raise outcome(
            "food_establishment_changed",
            "a checkout is of one food establishment; create another checkout for this one",
            "$.food_establishment.id",
        )
    basket = Basket(
        location,
        _lines(request.lines),
        buyer=buyer_of(request.buyer),
        extra=before.extra if before else {_FACE: "food"},
        **_fulfilled(request.method or PICKUP, session),
        **_tipped(request.tip, before),
    )
    positions = {line.reference: position for position, line in enumerate(basket.lines)}
    return BasketDraft(basket, positions, tuple(_contradictions(request.method, basket)))


def shopping_basket(request: CheckoutRequest, session: CheckoutSession | None) -> BasketDraft:
    """The basket of a shopping checkout; ``session``: what it updates.

    :raises BusinessOutcome: its items are of two locations, or none of them can be on our menu.
    """
    before = session.basket if session else None
    parted = [line.item_id.partition(SEPARATOR) for line in request.lines]
    ours = {position for position, (location, _, item) in enumerate(parted) if location and item}
    messages = tuple(
        unavailable(position, line.item_id, "there is no such item")
        for position, line in enumerate(request.lines)
        if position not in ours
    )
    if not ours:
        raise nothing_left(messages)
    location = before.location_id if before else parted[min(ours)][0]
    if others := [position for position in sorted(ours) if parted[position][0] != location]:
        words, path = "a checkout holds the items of one location", f"$.line_items[{others[0]}].item.id"
        raise outcome("several_locations", words, path)
    lines = _lines(
        LineRequest(parted[position][2], line.quantity, line.id, line.options, line.note)
        for position, line in enumerate(request.lines)
        if position in ours
    )
    extra = before.extra if before else {_FACE: "shopping"}
    basket = Basket(location, lines, buyer=buyer_of(request.buyer), extra=extra)
    return BasketDraft(basket, {line.reference: at for line, at in zip(lines, sorted(ours), strict=True)}, messages)


def nothing_left(messages: Iterable[Message]) -> BusinessOutcome:
    """The outcome if every item was left out, for the reasons of ``messages``."""
    return BusinessOutcome(*(replace(each, type="error", severity="unrecoverable") for each in messages))


def unavailable(position: int, item_id: str, words: str, code: str = "item_unavailable") -> Message:
    """What is said about an item that a shopping checkout was created without."""
    return Message("warning", code, f"{item_id} was left out: {words}", f"$.line_items[{position}].item.id")


def face_of(basket: Basket) -> str:
    """The face through which a session was created."""
    return str(basket.extra.get(_FACE, ""))


def product_id(basket: Basket, item_id: str) -> str:
    """The id of an item in the shopping face."""
    return f"{basket.location_id}{SEPARATOR}{item_id}"


def chosen_tip(basket: Basket) -> str | None:
    """The id of the preset that the tip follows."""
    return next((id for id, percent in TIPS.items() if percent == basket.tip_percent), None)


def bought_by(contact: Buyer, session: CheckoutSession, key: str) -> Basket:
    """The session's basket for a buyer whom a completion names. The price may depend on who buys.

    The total that was shown stays with it, and the completion's ``key``: see :func:`costs_otherwise`.
    """
    shown = [key, session.price.totals.total if session.price else None]
    return structs.replace(session.basket, buyer=contact, extra={**session.basket.extra, _SHOWN: shown})


def costs_otherwise(session: CheckoutSession, key: str) -> bool:
    """Whether the completion with this key, which named the buyer, was sent for another total (UCP-6).

    It must not be charged then, however often it is repeated. The next one, with a key of its own, knows the total.
    """
    named_by, total = session.basket.extra.get(_SHOWN, (None, None))
    return named_by == key and session.price is not None and total != session.price.totals.total


def buyer_of(contact: BuyerRequest | None) -> Buyer | None:
    """A buyer, as the core knows one; None: nothing is said about them."""
    if contact is None or contact == BuyerRequest():
        return None
    return Buyer(contact.first_name, contact.last_name, contact.phone, contact.email)


def _lines(requests: Iterable[LineRequest]) -> tuple[Line, ...]:
    """The lines with an id each: the agent's own, or the first one that is free."""
    requests = list(requests)
    taken = {line.id for line in requests}
    if taken == {None}:
        numbered = enumerate(requests, 1)
        return tuple([Line(each.item_id, each.quantity, each.options, each.note, f"li_{n}") for n, each in numbered])
    free = filterfalse(taken.__contains__, map("li_{}".format, count(1)))
    lines = [Line(line.item_id, line.quantity, line.options, line.note, line.id or next(free)) for line in requests]
    return tuple(lines)


def _fulfilled(method: MethodRequest, session: CheckoutSession | None) -> dict[str, Any]:
    """The members of a basket that a method is about; one without a type is of that of ``session``."""
    known = session.basket.fulfillment if session else "pickup"
    is_delivery = (method.kind or ("delivery" if method.address else known)) == "delivery"
    address = method.address if is_delivery else None
    return {
        "fulfillment": "delivery" if is_delivery else "pickup",
        "desired_ready_time": _desired(method, session.offered if session else ()),
        "delivery_address": address and replace(address, delivery_instructions=method.notes or None),
        "note": None if is_delivery else method.notes or None,
    }


def _desired(method: MethodRequest, offered: Collection[datetime]) -> datetime | None:
    """The id of a selected option is its time. It counts more than a requested time."""
    option = method.selected_option
    if option is None:
        return method.requested_time
    if option == ASAP:
        return None
    try:
        if (selected := ready_time.parse(option)) in offered:
            return selected
    except ValueError:
        pass
    raise _unknown_id("fulfillment option", option, "$.fulfillment.methods[0].selected_option_id")


def _contradictions(method: MethodRequest | None, basket: Basket) -> Iterator[Message]:
    """A requested time beside another selected option."""
    if method is not None and method.selected_option is not None:
        wanted = method.requested_time
        if wanted is not None and wanted != basket.desired_ready_time:
            words = "another option is selected, which counts more than the requested time"
            path = "$.fulfillment.methods[0].requested_fulfillment_time"
            yield Message("warning", "requested_time_ignored", words, path)


def _tipped(tip: TipRequest | None, before: Basket | None) -> dict[str, Any]:
    """The members of a basket that a tip is about."""
    if tip is None or tip.option is None:
        return {"tip": tip and tip.amount}
    if tip.option not in TIPS:
        raise _unknown_id("tip option", tip.option, "$.tip.selected_option_id")
    percent = TIPS[tip.option]
    # What it was before saves a second price where that has not changed.
    return {"tip": before.tip if before and before.tip_percent == percent else None, "tip_percent": percent}


def _unknown_id(kind: str, id: str, path: str) -> Rejected:
    return Rejected("invalid_request", f"{path}: there is no {kind} {id!r}", 400, path=path)
