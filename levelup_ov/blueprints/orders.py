"""EP-1 to EP-5, the status of orders (STAT-1, STAT-6), and webhooks of providers (EVT-9)."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import unquote

from flask import Blueprint, Response, current_app, g, request
from flask.blueprints import BlueprintSetupState
from werkzeug.exceptions import MethodNotAllowed
from werkzeug.http import generate_etag
from werkzeug.routing import BaseConverter

from levelup_ov.blueprints.http import json_bytes, json_response, read_body, read_idempotency_key
from levelup_ov.config import Settings
from levelup_ov.domain.failure import Failure
from levelup_ov.ordering.locations import published_id
from levelup_ov.ordering.service import Service
from levelup_ov.ordering.webhooks import ProviderNotices
from levelup_ov.schemas import responses
from levelup_ov.schemas.orders import read_submission, read_validation
from levelup_ov.transport.deadline import Deadline

NOTICE_SECONDS = 8.0
"""Providers wait ten seconds for an answer to a message."""


def blueprint(service: Service, settings: Settings, notices: ProviderNotices) -> Blueprint:
    """The endpoints of the contract."""
    orders = Blueprint("orders", __name__)
    orders.record_once(_know_order_ids)

    @orders.get("/merchants")
    def list_merchants() -> Response:
        return json_response(responses.merchants(service.merchants()))

    @orders.get("/merchants/<merchant_id>/locations")
    def list_locations(merchant_id: str) -> Response:
        routed = service.locations(merchant_id, g.context)
        return _conditional(*_tagged(responses.locations((each.id, each.location) for each in routed)))

    @orders.get("/locations/<path:location_id>/menu")
    def show_menu(location_id: str) -> Response:
        id = published_id(location_id)
        written = service.menus.written(id, g.context, lambda menu: _tagged(responses.menu(menu)))
        return _conditional(written.body, written.etag)

    @orders.post("/locations/<path:location_id>/order_validations")
    def validate_order(location_id: str) -> Response:
        g.context.deadline = Deadline(settings.validation_deadline)
        order = read_validation(read_body())
        with _rooted("order_validation"):
            return respond("order_validation", service.validate_order(published_id(location_id), order, g.context))

    @orders.post("/locations/<path:location_id>/order_submissions")
    def submit_order(location_id: str) -> Response:
        g.context.deadline = Deadline(settings.submission_deadline)
        idempotency_key = read_idempotency_key()
        order = read_submission(read_body())
        with _rooted("order_submission"):
            response = respond(
                "order_submission", service.submit_order(published_id(location_id), order, idempotency_key, g.context)
            )
        if g.context.replayed:
            response.headers["Idempotency-Replayed"] = "true"
        return response

    @orders.get("/locations/<path:location_id>/orders/<order_number:order_id>")
    def show_order(location_id: str, order_id: str) -> Response:
        if order_id.endswith("/cancellation") and _asks_for_cancellation():
            raise MethodNotAllowed(["POST"])
        key = read_idempotency_key()
        return _conditional(
            *_tagged(responses.order(service.placed_orders.show(published_id(location_id), order_id, key, g.context)))
        )

    @orders.post("/locations/<path:location_id>/orders/<order_number:order_id>/cancellation")
    def cancel_order(location_id: str, order_id: str) -> Response:
        if not _asks_for_cancellation():
            raise MethodNotAllowed(["GET", "HEAD"])
        g.context.deadline = Deadline(settings.submission_deadline)
        key = read_idempotency_key()
        canceled = service.placed_orders.cancel(published_id(location_id), order_id, key, g.context)
        return json_response(responses.order(canceled))

    @orders.post("/webhooks/<account>")
    def receive_notice(account: str) -> Response:
        g.context.deadline = Deadline(NOTICE_SECONDS)
        notices.receive(account, dict(request.headers), read_body, g.context)
        return json_response({"status": "ok"})

    def respond(root: str, answer: Any) -> Response:
        members = {field.name: getattr(answer, field.name) for field in dataclasses.fields(answer)}
        return json_response({root: members} if settings.response_envelope else members)

    return orders


class OrderNumberInPath(BaseConverter):
    """An ``order_id`` in a path: anything, because restaurants choose their numbers (STAT-1).

    WSGI has decoded the path, so a slash in a number is one of the path's.
    """

    part_isolating = False
    regex = r"[\s\S]+?"
    weight = 200


def _know_order_ids(state: BlueprintSetupState) -> None:
    state.app.url_map.converters["order_number"] = OrderNumberInPath


def _asks_for_cancellation() -> bool:
    """Whether the path as it was sent ends with that segment: decoded, so may a number."""
    sent = request.environ.get("RAW_URI", request.path).partition("?")[0]
    return unquote(sent.rpartition("/")[2]) == "cancellation"


@contextmanager
def _rooted(root: str) -> Iterator[None]:
    """Adapters see an order without its root member, so prepend it to paths that start at the order (ERR-1, EP-10)."""
    try:
        yield
    except Failure as failure:
        if failure.path is None:
            raise
        raise failure.replace(path=f"$.{root}{failure.path.removeprefix('$')}") from failure


def _tagged(content: dict[str, Any]) -> tuple[bytes, str]:
    """The JSON and its ETag."""
    written = json_bytes(content)
    return written, generate_etag(written)


def _conditional(content: bytes, etag: str) -> Response:
    """The response with its ETag, or 304 if the caller already has it (MENU-4)."""
    response = current_app.response_class(content, mimetype="application/json")
    response.set_etag(etag)
    response.cache_control.no_cache = True
    response.make_conditional(request)
    return response
