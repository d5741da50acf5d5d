"""From an agent's request to the basket of a session. Pure (UCP-4 to UCP-7)."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import count, filterfalse
from typing import Any, TypeVar

from msgspec import Struct, structs

from levelup_ov.domain import ready_time
from levelup_ov.domain.money import percentage
from levelup_ov.schemas.agent_checkouts import (
    BuyerRequest,
    CheckoutRequest,
    LineRequest,
    MethodRequest,
    Omitted,
    TipRequest,
)
from levelup_ov.sessions.model import Basket, Buyer, CheckoutSession, Line
from levelup_ov.ucp.problems import BusinessOutcome, Message, Rejected, outcome

T = TypeVar("T")

TIPS: Mapping[str, int] = {"percent-15": 15, "percent-18": 18, "percent-20": 20}
"""The presets of a tip: percents of the subtotal, by id."""
ASAP = "asap"
"""The id of the fulfillment option without a time."""
SEPARATOR = "/"
"""Between the location and the item in a product's id. A location's id has none."""

_FACE, _TIP, _SHOWN, _FOLLOWER = "face", "tip", "shown", "follower"


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
    empty = before or Basket(location, (), extra={_FACE: "food"})
    members: dict[str, Any] = {
        "lines": _lines(request.lines),
        "buyer": _buyer(request.buyer, empty.buyer),
        "extra": empty.extra,
        **_fulfilled(empty, request.method, session.offered if session else ()),
        **_tipped(empty, request.tip),
    }
    basket = structs.replace(before, **members) if before else Basket(location, **members)
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
    basket = before or Basket(location, (), extra={_FACE: "shopping"})
    lines = _lines(
        LineRequest(parted[position][2], line.quantity, line.id, line.options, line.note)
        for position, line in enumerate(request.lines)
        if position in ours
    )
    basket = structs.replace(basket, lines=lines, buyer=_buyer(request.buyer, basket.buyer))
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
    return basket.extra.get(_TIP)


def with_preset_tip(session: CheckoutSession) -> Basket | None:
    """The session's basket with the tip that its preset means at the session's price; None: it has that tip."""
    percent = TIPS.get(chosen_tip(session.basket) or "")
    if percent is None or session.price is None or not session.price.tip_accepted:
        return None
    wanted = percentage(session.price.totals.subtotal, percent * 100)
    return structs.replace(session.basket, tip=wanted) if session.basket.tip != wanted else None


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


def buyer_of(contact: BuyerRequest) -> Buyer:
    """A buyer, as the core knows one."""
    return Buyer(contact.first_name, contact.last_name, contact.phone, contact.email)


def _buyer(request: BuyerRequest | None | Omitted, before: Buyer | None) -> Buyer | None:
    if isinstance(request, Omitted):
        return before
    return buyer_of(request) if request is not None else None


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


def _fulfilled(basket: Basket, method: MethodRequest | None | Omitted, offered: Collection[datetime]) -> dict[str, Any]:
    """The members of the basket that ``method`` replaces."""
    if isinstance(method, Omitted):
        return {}
    if method is None:
        return {"fulfillment": "pickup", "desired_ready_time": None, "delivery_address": None, "note": None}
    kind, known = method.kind or basket.fulfillment, basket.delivery_address
    before = (known.delivery_instructions if known else None) if kind == "delivery" else basket.note
    notes = _given(method.notes, before) or None
    address = _given(method.address, known) if kind == "delivery" else None
    return {
        "fulfillment": kind,
        "desired_ready_time": _desired(method, basket.desired_ready_time, offered),
        "delivery_address": replace(address, delivery_instructions=notes) if address is not None else None,
        "note": notes if kind == "pickup" else None,
    }


def _desired(method: MethodRequest, before: datetime | None, offered: Collection[datetime]) -> datetime | None:
    """The id of a selected option is its time. It counts more than a requested time."""
    option = method.selected_option
    if option is None or isinstance(option, Omitted):
        return _given(method.requested_time, before)
    if option == ASAP:
        return None
    try:
        if (selected := ready_time.parse(option)) in offered:
            return selected
    except ValueError:
        pass
    raise _unknown_id("fulfillment option", option, "$.fulfillment.methods[0].selected_option_id")


def _contradictions(method: MethodRequest | None | Omitted, basket: Basket) -> Iterator[Message]:
    """A requested time beside another selected option."""
    if isinstance(method, MethodRequest) and isinstance(method.selected_option, str):
        wanted = method.requested_time
        if isinstance(wanted, datetime) and wanted != basket.desired_ready_time:
            words = "another option is selected, which counts more than the requested time"
            path = "$.fulfillment.methods[0].requested_fulfillment_time"
            yield Message("warning", "requested_time_ignored", words, path)


def _tipped(basket: Basket, tip: TipRequest | None | Omitted) -> dict[str, Any]:
    """The members of the basket that ``tip`` replaces."""
    if isinstance(tip, Omitted):
        return {}
    extra = {name: value for name, value in basket.extra.items() if name != _TIP}
    if tip is None or tip.option is None:
        return {"tip": tip.amount if tip else None, "extra": extra}
    if tip.option not in TIPS:
        raise _unknown_id("tip option", tip.option, "$.tip.selected_option_id")
    return {"extra": {**extra, _TIP: tip.option}}


def _unknown_id(kind: str, id: str, path: str) -> Rejected:
    return Rejected("invalid_request", f"{path}: there is no {kind} {id!r}", 400, path=path)


def _given(value: T | Omitted, before: T) -> T:
    return before if isinstance(value, Omitted) else value
