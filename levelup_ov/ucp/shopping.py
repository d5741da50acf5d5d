"""The shopping face: items that need no options (``dev.ucp.shopping``, 2026-04-08), and their orders."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from levelup_ov.sessions.model import CheckoutSession, Line, PricedLine
from levelup_ov.ucp.answers import Shown, common, instant, line_totals, lines, messages, totals
from levelup_ov.ucp.baskets import product_id

_PATHS: Mapping[str, str] = {
    "lines.": "",
    "lines.item_id": ".item.id",
    "lines.quantity": ".quantity",
}


def answer(session: CheckoutSession, ucp: Mapping[str, Any], shown: Shown) -> dict[str, Any]:
    """The checkout."""
    members = {
        "ucp": ucp,
        **common(session),
        "line_items": [
            {"id": line.reference, "item": _item(session, line, priced), "quantity": line.quantity,
             "totals": line_totals(priced)}
            for line, priced in lines(session)
        ],
        "messages": messages(session, shown, _PATHS),
        "links": list(shown.links),
    }  # fmt: skip
    if session.order is not None:
        url = permalink(session, shown.base_url)
        members["order"] = {"id": session.id, "label": session.order.number, "permalink_url": url}
    return members


def order(session: CheckoutSession, ucp: Mapping[str, Any], base_url: str) -> dict[str, Any]:
    """The order of a completed session. Its id is the session's: a provider's number may come again."""
    assert session.order is not None
    kind = "shipping" if session.basket.fulfillment == "delivery" else "pickup"
    expectation: dict[str, Any] = {
        "id": "expectation",
        "line_items": [{"id": line.reference, "quantity": line.quantity} for line in session.basket.lines],
        "method_type": kind,
        "destination": {},
        "description": f"{kind} at {session.location_name}",
    }
    if session.order.ready_at is not None:
        expectation["fulfillable_on"] = instant(session.order.ready_at)
    return {
        "ucp": ucp,
        "id": session.id,
        "label": session.order.number,
        "checkout_id": session.id,
        "permalink_url": permalink(session, base_url),
        "line_items": [
            {
                "id": line.reference,
                "item": _item(session, line, priced),
                "quantity": {"original": line.quantity, "total": line.quantity, "fulfilled": 0},
                "totals": line_totals(priced),
                "status": "processing",
            }
            for line, priced in lines(session)
        ],
        "fulfillment": {"expectations": [expectation], "events": []},
        "adjustments": [],
        "currency": session.currency,
        "totals": totals(session),
    }


def permalink(session: CheckoutSession, base_url: str) -> str:
    """Where the order can be read again, with the agent's key: the service has no page for a buyer."""
    return f"{base_url}/ucp/shopping/orders/{session.id}"


def _item(session: CheckoutSession, line: Line, priced: PricedLine | None) -> dict[str, Any]:
    price = priced.unit_price if priced and priced.unit_price is not None else 0
    title = priced.name if priced else line.item_id
    return {"id": product_id(session.basket, line.item_id), "title": title, "price": price}
