"""The shopping face: items that need no options (``dev.ucp.shopping``, 2026-04-08), and their orders."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytz

from levelup_ov.domain import ready_time
from levelup_ov.domain.status import CALLED_OFF, FINAL, Stage
from levelup_ov.ordering.tracking import TrackedOrder
from levelup_ov.sessions.model import CheckoutSession, Line, PricedLine
from levelup_ov.ucp.answers import Shown, common, instant, line_totals, lines, messages, totals
from levelup_ov.ucp.baskets import product_id

_PATHS: Mapping[str, str] = {
    "lines.": "",
    "lines.item_id": ".item.id",
    "lines.quantity": ".quantity",
    "totals": "$.totals",
}


def answer(session: CheckoutSession, ucp: Mapping[str, Any], shown: Shown) -> dict[str, Any]:
    """The checkout."""
    members = {
        "ucp": ucp,
        **common(session),
        "line_items": [
            {"id": line.reference, "item": _item(session, line, priced), "quantity": line.quantity,
             "totals": line_totals(session, priced)}
            for line, priced in lines(session)
        ],
        "messages": messages(session, shown, _PATHS),
        "links": list(shown.links),
    }  # fmt: skip
    if session.order is not None:
        url = permalink(session, shown.base_url)
        members["order"] = {"id": session.id, "label": session.order.number, "permalink_url": url}
    return members


def order(
    session: CheckoutSession, ucp: Mapping[str, Any], base_url: str, tracked: TrackedOrder | None
) -> dict[str, Any]:
    """The order of a completed session. Its id is the session's: a provider's number may come again.

    ``tracked``: its status; None: the provider does not report any, or cannot now.
    """
    assert session.order is not None
    stage, changed_at = (tracked.status, _instant(tracked.changed_at, session)) if tracked else (None, None)
    is_off = stage in CALLED_OFF
    portions = _portions(session)
    members: dict[str, Any] = {
        "ucp": ucp,
        "id": session.id,
        "label": session.order.number,
        "checkout_id": session.id,
        "permalink_url": permalink(session, base_url),
        "line_items": [_order_line(session, line, priced, stage) for line, priced in lines(session)],
        "fulfillment": {"expectations": [] if is_off else [_expectation(session, portions)], "events": []},
        "adjustments": [],
        "currency": session.currency,
        "totals": totals(session),
    }
    if stage is None or changed_at is None:
        return members
    event = {"id": stage, "occurred_at": changed_at, "type": stage}
    if is_off:
        gone = _portions(session, -1)
        members["adjustments"] = [{**event, "type": "cancellation", "status": "completed", "line_items": gone}]
    else:
        members["fulfillment"]["events"] = [{**event, "line_items": portions}]
    return members


def _portions(session: CheckoutSession, sign: int = 1) -> list[dict[str, Any]]:
    return [{"id": line.reference, "quantity": sign * line.quantity} for line in session.basket.lines]


def _order_line(session: CheckoutSession, line: Line, priced: PricedLine | None, stage: Stage | None) -> dict[str, Any]:
    total = 0 if stage in CALLED_OFF else line.quantity
    fulfilled = total if stage in FINAL else 0
    return {
        "id": line.reference,
        "item": _item(session, line, priced),
        "quantity": {"original": line.quantity, "total": total, "fulfilled": fulfilled},
        "totals": line_totals(session, priced),
        "status": "removed" if not total else "fulfilled" if fulfilled else "processing",
    }


def _expectation(session: CheckoutSession, portions: list[dict[str, Any]]) -> dict[str, Any]:
    assert session.order is not None
    kind = "shipping" if session.basket.fulfillment == "delivery" else "pickup"
    expectation: dict[str, Any] = {
        "id": "expectation",
        "line_items": portions,
        "method_type": kind,
        "destination": {},
        "description": f"{kind} at {session.location_name}",
    }
    if session.order.ready_at is not None:
        expectation["fulfillable_on"] = instant(session.order.ready_at)
    return expectation


def _instant(wire: str | None, session: CheckoutSession) -> str | None:
    """A time of the contract, local to the location, as UCP has it."""
    if wire is None:
        return None
    at = ready_time.parse(wire)
    if at.tzinfo is None:
        at = ready_time.localize(at, pytz.timezone(session.time_zone) if session.time_zone else pytz.utc)
    return instant(at)


def permalink(session: CheckoutSession, base_url: str) -> str:
    """Where the order can be read again, with the agent's key: the service has no page for a buyer."""
    return f"{base_url}/ucp/shopping/orders/{session.id}"


def _item(session: CheckoutSession, line: Line, priced: PricedLine | None) -> dict[str, Any]:
    price = ((priced.unit_price if session.price else priced.base_price) if priced else None) or 0
    title = priced.name if priced else line.item_id
    return {"id": product_id(session.basket, line.item_id), "title": title, "price": price}
