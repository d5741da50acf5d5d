"""The content of a session as one sealed text: all that its row does not say in the clear."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import orjson

from levelup_ov.domain.order import DeliveryAddress
from levelup_ov.domain.tender import TenderKind
from levelup_ov.sessions.model import (
    Basket,
    Buyer,
    Charge,
    LevelUpTender,
    Line,
    Price,
    PricedLine,
    PricedOption,
    Problem,
    Totals,
)


@dataclass(frozen=True, slots=True)
class Content:
    """What is sealed. ``metadata`` is that of the price's validation, for the submission.

    ``is_stale``: the basket must be priced again before it is completed. ``tender``: the kind of the tender that the
    session is being completed with; ``levelup``: its members, if it is LevelUp. A card is never here.
    ``ready_at``: when the order will be ready. ``slots`` and ``offered``: see :class:`CheckoutSession`. ``known``: what
    the menu says of the lines if they have no price.
    """

    basket: Basket
    location_name: str
    currency: str
    time_zone: str | None
    price: Price | None = None
    problems: tuple[Problem, ...] = ()
    changed: bool = False
    metadata: Mapping[str, Any] = field(default_factory=dict)
    is_stale: bool = False
    tender: str | None = None
    levelup: LevelUpTender | None = None
    ready_at: datetime | None = None
    tenders: tuple[TenderKind, ...] = ()
    fulfillments: tuple[str, ...] = ()
    accepts_tips: bool = False
    slots: tuple[datetime, ...] = ()
    offered: tuple[datetime, ...] = ()
    known: tuple[PricedLine, ...] = ()


def dump(content: Content) -> str:
    """The content as text."""
    return orjson.dumps(content).decode()


def load(text: str) -> Content:
    """The content that :func:`dump` wrote."""
    plain: dict[str, Any] = orjson.loads(text)
    return Content(
        **{
            **plain,
            "basket": _basket(plain["basket"]),
            "price": plain["price"] and _price(plain["price"]),
            "problems": tuple([Problem(**each) for each in plain["problems"]]),
            "levelup": plain["levelup"] and LevelUpTender(**plain["levelup"]),
            "ready_at": _instant(plain["ready_at"]),
            "tenders": tuple(plain["tenders"]),
            "fulfillments": tuple(plain["fulfillments"]),
            "known": tuple([_priced_line(each) for each in plain.get("known", ())]),
            **{name: tuple(map(datetime.fromisoformat, plain.get(name, ()))) for name in ("slots", "offered")},
        }
    )


def _basket(plain: dict[str, Any]) -> Basket:
    return Basket(
        **{
            **plain,
            "lines": tuple([Line(**{**each, "options": tuple(each["options"])}) for each in plain["lines"]]),
            "buyer": plain["buyer"] and Buyer(**plain["buyer"]),
            "desired_ready_time": _instant(plain["desired_ready_time"]),
            "delivery_address": plain["delivery_address"] and DeliveryAddress(**plain["delivery_address"]),
        }
    )


def _price(plain: dict[str, Any]) -> Price:
    slots, totals = plain["slots"], plain["totals"]
    charges = {name: tuple([Charge(**each) for each in totals[name]]) for name in ("fees", "discounts")}
    return Price(
        **{
            **plain,
            "at": datetime.fromisoformat(plain["at"]),
            "lines": tuple([_priced_line(each) for each in plain["lines"]]),
            "totals": Totals(**{**totals, **charges}),
            "soonest": _instant(plain["soonest"]),
            "slots": None if slots is None else tuple(map(datetime.fromisoformat, slots)),
            "desired": _instant(plain.get("desired")),
            "address_decides": tuple(plain["address_decides"]),
        }
    )


def _priced_line(plain: dict[str, Any]) -> PricedLine:
    return PricedLine(**{**plain, "options": tuple([PricedOption(**each) for each in plain["options"]])})


def _instant(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)
