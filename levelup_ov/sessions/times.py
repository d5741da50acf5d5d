"""Which times an agent can choose among, and whether the one that it chose can be had (TIME-5, UCP-5). Pure."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from msgspec import structs

from levelup_ov.domain.ready_time import SLOT_WINDOW
from levelup_ov.sessions.content import Content
from levelup_ov.sessions.model import Price, Problem

MOST_OFFERED = 1000
"""How many times a session remembers to have offered."""


def untimely(price: Price) -> Iterator[Problem]:
    """The problem of an order that cannot be ready when it was asked for, but later."""
    if not price.is_at_desired_time:
        words = "the order cannot be ready at the time asked for; choose one of the times that are offered"
        yield Problem("ready_time_unavailable", words, "desired_ready_time")


def with_earlier_offers(before: Content, newer: Content, now: datetime) -> Content:
    """The newer content, which offers also what was offered before and is earlier.

    A provider names only times after the one that it was asked for. Without a new price, all of them are kept.
    """
    kept: set[datetime] = set()
    if before.basket.fulfillment == newer.basket.fulfillment:
        kept = {at for at in before.slots if at >= now}
        if newer.slots:
            first = newer.slots[0]
            kept = {at for at in kept if first - SLOT_WINDOW <= at < first}
        elif newer.price is not None:
            kept.clear()
    offered = tuple(dict.fromkeys((*before.offered, *newer.offered)))
    return structs.replace(newer, slots=tuple(sorted({*kept, *newer.slots})), offered=offered[-MOST_OFFERED:])
