"""The console's pages about orders of web checkout."""

from __future__ import annotations

import logging
import time
from typing import get_args

from flask import Blueprint, Response, abort, g, redirect, render_template, request, url_for
from werkzeug.wrappers import Response as AnyResponse

from levelup_ov.checkout.browsing import OrdersBrowser
from levelup_ov.checkout.failed_orders import case_of
from levelup_ov.checkout.orders import Orders
from levelup_ov.checkout.store import ACTIONS, StoredOrder
from levelup_ov.config import Settings
from levelup_ov.console import needs, timeline
from levelup_ov.console.parameters import PAGE, PATIENCE, id_of
from levelup_ov.domain.checkout import OrderState
from levelup_ov.domain.failure import Failure
from levelup_ov.ledger import limits
from levelup_ov.ledger.ledger import Ledger
from levelup_ov.ledger.operator_actions import FormUsed, OperatorActions
from levelup_ov.ordering.request_context import RequestContext
from levelup_ov.transport.deadline import Deadline

log = logging.getLogger(__name__)

_STATES = get_args(OrderState)


def add_checkout(pages: Blueprint, settings: Settings, browser: OrdersBrowser, orders: Orders, ledger: Ledger) -> None:
    """The list, an order, and its reconciliation."""
    actions = OperatorActions(ledger, ACTIONS)

    @pages.get("/checkout")
    def checkout() -> str:
        state, below = request.args.get("state", ""), request.args.get("below", "")
        rows, more = browser.page(next((each for each in _STATES if each == state), None), id_of(below), PAGE)
        return render_template(
            "console/checkout.html", rows=rows, state=state, states=_STATES, is_first=not below,
            older=rows[-1].id if more else None, cases=browser.cases(PAGE), case_of=case_of,
        )  # fmt: skip

    @pages.get("/checkout/<id>")
    def checkout_order(id: str) -> str:
        order = _found(id, browser)
        return render_template(
            "console/checkout_order.html", order=order, steps=timeline.of_order(order, browser.actions(order)),
            case=case_of(order), advice=needs.ADVICE[needs.kind_of(order)], obstacle=_obstacle(order),
        )  # fmt: skip

    @pages.route("/checkout/<id>/reconcile", methods=["GET", "POST"])
    def reconcile_order(id: str) -> AnyResponse:
        if g.session.name not in settings.console_writers:
            abort(403)
        order = _found(id, browser)
        obstacle = _obstacle(order)
        if request.method == "GET" or obstacle:
            return _form(order, obstacle, 409 if obstacle and request.method == "POST" else 200)
        try:
            actions.begin(g.form, order.id, g.session.name, g.request_id)
        except FormUsed:
            return _form(order, "This form was sent before. What it did is in the timeline.", 409)
        outcome = _reconcile(order, orders)
        actions.finish(g.form, outcome)
        facts = {"order": order.id, "operator": g.session.name, "outcome": outcome, "request_id": g.request_id}
        log.info("order_reconciled_in_console", extra=facts)
        return redirect(url_for("console.checkout_order", id=order.id), 303)


def _found(id: str, browser: OrdersBrowser) -> StoredOrder:
    order = None if "\0" in id else browser.order(id)
    return abort(404) if order is None else order


def _form(order: StoredOrder, obstacle: str, status: int) -> Response:
    page = render_template("console/reconcile_order.html", order=order, obstacle=obstacle, seconds=round(PATIENCE))
    return Response(page, status)


def _obstacle(order: StoredOrder) -> str:
    """Why an order cannot be reconciled here; empty if it can."""
    if order.is_unfinished(time.time_ns() // 1_000_000):
        return ""
    return f"Its state is {order.state}: there is nothing to reconcile."


def _reconcile(order: StoredOrder, orders: Orders) -> str:
    """Finish an order as far as that is possible now; the result in words."""
    try:
        with limits.within(PATIENCE):
            orders.tried(order)
            return orders.reconcile(order, RequestContext(Deadline(PATIENCE), g.request_id)).state
    except Failure as failure:
        return f"not finished: {failure.message}"
