"""The shopping face: items that need no options (``dev.ucp.shopping``, 2026-04-08), and their orders."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytz

from levelup_ov.domain import ready_time
from levelup_ov.domain.status import CALLED_OFF, FINAL, Stage
from levelup_ov.ordering.tracking import TrackedOrder
from levelup_ov.sessions.model import CheckoutSession, Line, PricedLine
from levelup_ov.ucp.answers import AnswerContext, common, instant, line_totals, lines, messages, totals
from levelup_ov.ucp.baskets import product_id

_PATHS: Mapping[str, str] = {
    "lines.": "",
    "lines.item_id": ".item.id",
    "lines.quantity": ".quantity",
    "totals": "$.totals",
}


def answer(session: CheckoutSession, ucp: Mapping[str, Any], shown: AnswerContext) -> dict[str, Any]:
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
    portions = [{"id": line.reference, "quantity": line.quantity} for line in session.basket.lines]
    placed = {
        "ucp": ucp,
        "id": session.id,
        "label": session.order.number,
        "checkout_id": session.id,
        "permalink_url": permalink(session, base_url),
        "line_items": [_order_line(session, line, priced) for line, priced in lines(session)],
        "fulfillment": {"expectations": [_expectation(session, portions)], "events": []},
        "adjustments": [],
        "currency": session.currency,
        "totals": totals(session),
    }
    return at_stage(placed, tracked.status, _instant(tracked.changed_at, session)) if tracked else placed


def at_stage(placed: Mapping[str, Any], stage: Stage | None, changed_at: str | None) -> dict[str, Any]:
    """An order as it was placed, at a stage since ``changed_at``; None: unknown."""
    is_off = stage in CALLED_OFF
    fulfillment, adjustments = dict(placed["fulfillment"]), placed["adjustments"]
    if is_off:
        fulfillment["expectations"] = []
    if stage is not None and changed_at is not None:
        event = {
            "id": stage,
            "occurred_at": changed_at,
            "type": stage,
            "line_items": _portions(placed, -1 if is_off else 1),
        }
        if is_off:
            adjustments = [{**event, "type": "cancellation", "status": "completed"}]
        else:
            fulfillment["events"] = [event]
    lines = [_line_at(line, stage) for line in placed["line_items"]]
    return {**placed, "line_items": lines, "fulfillment": fulfillment, "adjustments": adjustments}


def _portions(placed: Mapping[str, Any], sign: int) -> list[dict[str, Any]]:
    return [{"id": line["id"], "quantity": sign * line["quantity"]["original"]} for line in placed["line_items"]]


def _line_at(line: Mapping[str, Any], stage: Stage | None) -> dict[str, Any]:
    original = line["quantity"]["original"]
    total = 0 if stage in CALLED_OFF else original
    fulfilled = total if stage in FINAL else 0
    return {
        **line,
        "quantity": {"original": original, "total": total, "fulfilled": fulfilled},
        "status": "removed" if not total else "fulfilled" if fulfilled else "processing",
    }


def _order_line(session: CheckoutSession, line: Line, priced: PricedLine | None) -> dict[str, Any]:
    return {
        "id": line.reference,
        "item": _item(session, line, priced),
        "quantity": {"original": line.quantity, "total": line.quantity, "fulfilled": 0},
        "totals": line_totals(session, priced),
        "status": "processing",
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
