"""The food face: dishes with modifications, fulfillment windows and tips (``dev.ucp.food``, a draft)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from functools import lru_cache
from itertools import islice
from typing import Any

import pytz

from levelup_ov.domain.order import DeliveryAddress
from levelup_ov.ordering.locations import RoutedLocation
from levelup_ov.sessions.model import CheckoutSession, Line, PricedLine, PricedOption
from levelup_ov.ucp.answers import AnswerContext, common, instant, line_totals, lines, messages, without_none
from levelup_ov.ucp.baskets import ASAP, TIPS, chosen_tip
from levelup_ov.ucp.problems import Message

MOST_WINDOWS = 96
"""Windows that are offered: a day of quarters of an hour."""
WINDOW_TITLE = "%a %b %-d, %-I:%M %p"
"""How a buyer reads a window, such as ``Mon Jun 3, 12:30 PM``."""

_METHOD = "$.fulfillment.methods[0]"
_PATHS: Mapping[str, str] = {
    "lines.": ".dish",
    "lines.item_id": ".dish.id",
    "lines.options": ".dish.modifications",
    "lines.note": ".dish.note",
    "lines.quantity": ".quantity",
    "desired_ready_time": f"{_METHOD}.requested_fulfillment_time",
    "fulfillment": f"{_METHOD}.type",
    "delivery_address": f"{_METHOD}.destination",
    "note": f"{_METHOD}.notes",
    "tip": "$.tip",
    "location": "$.food_establishment",
    "totals": "$.totals",
}


_TIP_OPTIONS = [{"id": id, "unit": "percentage", "amount": percent} for id, percent in TIPS.items()]


def answer(session: CheckoutSession, ucp: Mapping[str, Any], shown: AnswerContext) -> dict[str, Any]:
    """The checkout as the draft has it."""
    members = {
        "ucp": ucp,
        **common(session),
        "food_establishment": {"id": session.basket.location_id, "name": session.location_name},
        "line_items": [_line(session, line, priced) for line, priced in lines(session)],
        "fulfillment": _fulfillment(session),
        "messages": messages(session, shown, _PATHS, _lost_tip(session)),
        "links": [*shown.links, _menu_link(session, shown.base_url)],
    }
    if session.accepts_tips:
        members["tip"] = _tip(session)
    if session.order is not None:
        url = f"{shown.base_url}/ucp/food/checkout-sessions/{session.id}"
        members["order"] = {"id": session.id, "label": session.order.number, "tracking_url": url}
    return members


def establishment(place: RoutedLocation) -> dict[str, Any]:
    """A location, for the list of them."""
    location = place.location
    methods = (("pickup", location.fulfills_pickups), ("delivery", location.fulfills_deliveries))
    address = without_none(
        [
            ("street_address", location.street_address),
            ("extended_address", location.extended_address),
            ("address_locality", location.locality),
            ("address_region", location.region),
            ("postal_code", location.postal_code),
        ]
    )
    return {
        "id": place.id,
        "name": location.name,
        "merchant_name": place.adapter.account.merchant_name,
        "address": address,
        "methods": [name for name, is_done in methods if is_done],
    }


def _line(session: CheckoutSession, line: Line, priced: PricedLine | None) -> dict[str, Any]:
    dish: dict[str, Any]
    if priced is not None:
        dish = {"id": line.item_id, "title": priced.name, "price": priced.base_price or 0}
    else:
        dish = {"id": line.item_id, "title": line.item_id, "price": 0}
    if line.options:
        dish["modifications"] = _modifications(line.options, priced.options if priced else ())
    if line.note:
        dish["note"] = line.note
    return {"id": line.reference, "dish": dish, "quantity": line.quantity, "totals": line_totals(session, priced)}


@lru_cache(1024)
def _modifications(chosen: tuple[str, ...], priced: tuple[PricedOption, ...]) -> list[dict[str, Any]]:
    """Each of the chosen options once; ``priced``: the same in the words of the menu, if they are known.

    The same ones are ordered again and again; nobody changes the list.
    """
    if len(set(chosen)) == len(chosen) == len(priced):
        # Most dishes have nothing twice.
        return [{"id": option.id, "title": option.name, "price": option.price} for option in priced]
    known = {option.id: option for option in priced}
    return [_modification(id, chosen.count(id), known.get(id)) for id in dict.fromkeys(chosen)]


def _modification(id: str, quantity: int, option: PricedOption | None) -> dict[str, Any]:
    found = {"id": id, "title": option.name if option else id, "price": option.price if option else 0}
    return found if quantity == 1 else {**found, "quantity": quantity}


def _fulfillment(session: CheckoutSession) -> dict[str, Any]:
    basket = session.basket
    is_delivery = basket.fulfillment == "delivery"
    address, selected = basket.delivery_address, _selected(session)
    method: dict[str, Any] = {
        "id": basket.fulfillment,
        "type": basket.fulfillment,
        "options": _options(session, selected),
    }
    if selected is not None:
        method["selected_option_id"] = selected
    if not is_delivery:
        method["destination"] = {"type": "business_location", "id": basket.location_id, "name": session.location_name}
    elif address is not None:
        method["destination"] = {"type": "delivery_address", "id": "address", **_address(address)}
    if basket.desired_ready_time is not None:
        method["requested_fulfillment_time"] = instant(basket.desired_ready_time)
    if notes := (address.delivery_instructions if address else None) if is_delivery else basket.note:
        method["notes"] = notes
    found: dict[str, Any] = {"methods": [method]}
    if session.fulfillments:
        found["available_methods"] = [{"type": each} for each in session.fulfillments]
    return found


def _selected(session: CheckoutSession) -> str | None:
    """The id of the option that the order is for; None: the requested time is none.

    The first time after it is none, either: an agent that sends the answer back would choose it.
    """
    price, desired = session.price, session.basket.desired_ready_time
    if desired is None:
        return ASAP
    is_had = desired in session.slots and (price is None or price.is_at_desired_time)
    return instant(desired) if is_had else None


def _options(session: CheckoutSession, selected: str | None) -> list[dict[str, Any]]:
    """As soon as possible, and the times to choose among (UCP-5). The placed order's has the time of the order."""
    price = session.price
    soonest = price.soonest if price and selected == ASAP else None
    options = [_option(ASAP, "As soon as possible", soonest)]
    if session.slots:
        zone = pytz.timezone(session.time_zone) if session.time_zone else pytz.utc
        times = {instant(at): at for at in session.slots}
        middle = instant(price.ready) if price and price.desired and price.ready else selected
        first = max(0, list(times).index(middle) - MOST_WINDOWS // 2) if middle in times else 0
        options += [
            _option(id, at.astimezone(zone).strftime(WINDOW_TITLE), at, at)
            for id, at in islice(times.items(), first, first + MOST_WINDOWS)
        ]
    if session.order is not None and (ready_at := session.order.ready_at) is not None:
        options = [_option(each["id"], each["title"], ready_at, ready_at) if each["id"] == selected else each
                   for each in options]  # fmt: skip
    return options


def _option(id: str, title: str, earliest: datetime | None, latest: datetime | None = None) -> dict[str, Any]:
    option: dict[str, Any] = {"id": id, "title": title}
    if earliest is not None:
        option["earliest_fulfillment_time"] = instant(earliest)
    if latest is not None:
        option["latest_fulfillment_time"] = instant(latest)
    option["totals"] = []
    return option


def _tip(session: CheckoutSession) -> dict[str, Any]:
    tip: dict[str, Any] = {"options": _TIP_OPTIONS}
    if (chosen := chosen_tip(session.basket)) is not None:
        tip["selected_option_id"] = chosen
    elif session.basket.tip is not None:
        tip["custom_amount"] = session.basket.tip
    return tip


def _lost_tip(session: CheckoutSession) -> Iterator[Message]:
    """A tip that the location does not take."""
    price = session.price
    is_taken = session.accepts_tips if price is None else price.tip_accepted
    if not is_taken and (session.basket.tip or chosen_tip(session.basket)):
        yield Message("warning", "tip_not_accepted", "no tip can be paid here; it is left out of the totals", "$.tip")


def _menu_link(session: CheckoutSession, base_url: str) -> dict[str, str]:
    """Food has no menu of its own in UCP yet; this is ours (UCP-11)."""
    url = f"{base_url}/ucp/food/establishments/{session.basket.location_id}/menu"
    return {"type": "menu", "title": f"Menu of {session.location_name}", "url": url}


def _address(address: DeliveryAddress) -> dict[str, Any]:
    return without_none(
        [
            ("street_address", address.street_address),
            ("extended_address", address.extended_address),
            ("address_locality", address.locality),
            ("address_region", address.region),
            ("postal_code", address.postal_code),
        ]
    )
