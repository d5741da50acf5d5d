"""What the views of the API share: the blueprint, how a request is read, and what every request must be."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timezone
from typing import Any
from urllib.parse import urlencode

from flask import Blueprint, Response, request

from levelup_ov.standins.levelup.access import Caller
from levelup_ov.standins.levelup.platform import platform
from levelup_ov.standins.levelup.problems import ErrorResponse, error, invalid, not_found
from levelup_ov.standins.levelup.qr import Scanned, read_code
from levelup_ov.standins.levelup.store import PlatformUser, Transaction
from levelup_ov.standins.levelup.world import MAINTENANCE, PlatformLocation, PlatformMerchant

PAGE = 10
"""Orders on one page of a history."""
OLDEST_VERSION = 14
REALM = 'OAuth2 realm="levelup", error="invalid_token"'

JSON = dict[str, Any]
Listed = Response | tuple[list[JSON], int, dict[str, str]]
"""A page of a list, or 204 past its end."""

api = Blueprint("api", __name__)


POLLED = ("api.show_ahead", "api.show_completed")
"""What phones call all the time: these look for maintenance in the one statement that they need anyway."""


@api.before_request
def check_request() -> None:
    """:raises ErrorResponse: 503 or 406."""
    if request.endpoint not in POLLED:
        with platform().store.reading() as transaction:
            check_maintenance(transaction)
    if request.headers.get("Accept") == "application/json":
        return
    if request.accept_mimetypes and not request.accept_mimetypes.accept_json:
        raise ErrorResponse(406, [error("Only application/json can be had.", code="not_acceptable")])


def check_maintenance(transaction: Transaction) -> None:
    """:raises ErrorResponse: 503."""
    if transaction.switched_on(MAINTENANCE):
        raise ErrorResponse(503, [error("LevelUp is down for maintenance.", code="maintenance")])


@api.after_request
def answer_conditionally(response: Response) -> Response:
    """304 for a GET whose answer the client has already."""
    if request.method == "GET" and response.status_code == 200:
        response.add_etag()
        response.make_conditional(request)
    return response


@api.route("/v<int:version>/<path:rest>", methods=["GET", "POST", "PUT", "PATCH", "DELETE"])
def other_version(version: int, rest: str) -> Response:
    """:raises ErrorResponse: 501 for a version that is no longer served, 404 for what never was."""
    if version < OLDEST_VERSION:
        raise ErrorResponse(501, [error("This client is too old. Please update it.", code="client_too_old")])
    raise ErrorResponse(404, [error("There is nothing at this address.", code="not_found")])


@contextmanager
def reading() -> Iterator[tuple[Transaction, Caller]]:
    """A transaction that reads, and who calls."""
    with platform().store.reading() as transaction:
        yield transaction, Caller(request.headers.get("Authorization", ""), transaction)


@contextmanager
def writing(object: str = "access_token") -> Iterator[tuple[Transaction, Caller]]:
    """A transaction that writes, and who calls; refusals of their tokens name ``object``."""
    with platform().store.writing() as transaction:
        yield transaction, Caller(request.headers.get("Authorization", ""), transaction, object)


def body() -> JSON:
    """The body, which must be there.

    :raises ErrorResponse: 400, it is not a JSON object.
    """
    if request.mimetype != "application/json":
        raise ErrorResponse(400, [error("The body must be sent as application/json.", code="bad_request")])
    try:
        found = json.loads(request.get_data())
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise ErrorResponse(400, [error("The body is not a JSON object.", code="bad_request")])
    return found


def optional_body() -> JSON | None:
    """The body, if there is one."""
    return body() if request.get_data() else None


def page_number() -> int:
    """The page of a list that is asked for, from 1."""
    return min(max(1, request.args.get("page", 1, int)), 10**9)


def page_of(listed: list[JSON]) -> Listed:
    """A page of a list with the link to the next one; without entries 204: the page after the last one."""
    if not listed:
        return Response(status=204)
    link = f"{request.base_url}?{urlencode({**request.args, 'page': page_number() + 1})}"
    return listed, 200, {"Link": f'<{link}>; rel="next"'}


def location_of(transaction: Transaction, number: int) -> PlatformLocation:
    """:raises ErrorResponse: 404."""
    if (location := transaction.location(number)) is None:
        raise not_found("location", "location_id", "There is no location with this id.")
    return location


def merchant_of(transaction: Transaction, number: int) -> PlatformMerchant:
    """:raises ErrorResponse: 404."""
    if (merchant := transaction.merchant(number)) is None:
        raise not_found("merchant", "id", "There is no merchant with this id.")
    return merchant


def scanned(transaction: Transaction, text: str, object: str) -> tuple[Scanned, PlatformUser]:
    """A code that was scanned, and whose it is.

    :raises ErrorResponse: 422: it is not a code, or belongs to no user.
    """
    code = read_code(text)
    if code is None:
        message = "We couldn't recognize that as a valid LevelUp Code. Perhaps scan again?"
        raise ErrorResponse(422, [error(message, object=object, property="base")])
    user = transaction.user_of_payment_token(code.data)
    if user is None:
        raise invalid(object, "payment_token_data", "Payment token is invalid.")
    return code, user


def loyalty_id(merchant_id: int, user_id: int) -> int:
    """The id of a user's loyalty with a merchant: one for each pair of them."""
    return merchant_id * 1_000_000 + user_id


def time_as_text(instant: datetime) -> str:
    """An instant as every answer shows it."""
    return instant.astimezone(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
