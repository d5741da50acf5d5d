"""The Model Context Protocol over HTTP: one request, one answer in JSON, and nothing kept between them (UCP-10)."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

import orjson
from flask import Blueprint, Response, g, request
from werkzeug.exceptions import HTTPException

import levelup_ov
from levelup_ov.blueprints.http import json_response
from levelup_ov.domain.failure import Failure
from levelup_ov.errors import KINDS
from levelup_ov.schemas.body import parse
from levelup_ov.ucp import jsonrpc
from levelup_ov.ucp.jsonrpc import RPCError
from levelup_ov.ucp.mcp_methods import Server, Tool, answer, called, is_modern
from levelup_ov.ucp.problems import Rejected, rejected
from levelup_ov.ucp.rest import Door
from levelup_ov.ucp.versions import FaceName

MCP: Mapping[FaceName, str] = {"shopping": "/ucp/shopping/mcp", "food": "/ucp/food/mcp"}
"""The path of each face."""

log = logging.getLogger(__name__)

_PARSE_ERRORS = ("malformed_json", "duplicate_member")
_DISCOVERY = ("invalid_profile_url", "profile_unreachable", "profile_malformed", "version_unsupported")

_HOW = (
    "Prices are integers in the smallest unit of the currency. Create a checkout, read its messages, update it until "
    "it is ready_for_complete, show the buyer its totals, and then complete it. Nothing is charged if a total changes."
)
SERVERS: Mapping[FaceName, Server] = {
    "food": Server(
        "levelup-ov-food",
        "Orders at restaurants",
        levelup_ov.__version__,
        "Find an establishment with list_establishments, dishes with search_menu, their modifications with get_dish. "
        f"{_HOW}",
    ),
    "shopping": Server(
        "levelup-ov-shopping",
        "Orders at restaurants, without modifications",
        levelup_ov.__version__,
        f"Find products with search_catalog. {_HOW}",
    ),
}


def blueprint(face: FaceName, tools: Mapping[str, Tool], door: Door) -> Blueprint:
    """The endpoint of a face."""
    front, server = Blueprint(f"ucp_mcp_{face}", __name__), SERVERS[face]

    @front.post(MCP[face])
    def call() -> Response:
        g.rpc_id = None
        caller = door.caller()
        if not _is_own_origin():
            raise Rejected("forbidden", "pages of other sites may not call", 403)
        value = parse(door.body())
        g.rpc_id = jsonrpc.id_of(value)
        asked = jsonrpc.read_request(value)
        modern = is_modern(asked, request.headers)
        if asked.id is None:
            # None of the notifications changes anything here; a tool is called by requests only.
            return Response(status=202)
        if asked.method == "tools/call":
            tool, arguments = called(asked, tools)
            return _answered(_result(tool.call(caller, arguments, g.context)))
        return _answered(answer(asked, server, tools, modern=modern))

    front.register_error_handler(RPCError, _failed)
    front.register_error_handler(Rejected, _rejected)
    front.register_error_handler(Failure, lambda failure: _rejected(rejected(failure)))
    front.register_error_handler(HTTPException, _http_failed)
    front.register_error_handler(Exception, _crashed)
    return front


def _is_own_origin() -> bool:
    """Browsers name the site of the page that calls; no page of another site has any business here."""
    origin = request.headers.get("Origin")
    try:
        return origin is None or urlsplit(origin).netloc == request.host
    except ValueError:
        # As of http://[, which is no address.
        return False


def _result(content: Mapping[str, Any]) -> dict[str, Any]:
    text = orjson.dumps(content).decode()
    return {"structuredContent": content, "content": [{"type": "text", "text": text}], "resultType": "complete"}


def _answered(result: Mapping[str, Any]) -> Response:
    return json_response(jsonrpc.answered(g.rpc_id, result))


def _failed(error: RPCError) -> Response:
    g.failure = g.failure or Failure("bad_request", error.message)
    return json_response(jsonrpc.failed(g.get("rpc_id"), error), error.status)


def _rejected(error: Rejected) -> Response:
    cause = error.__cause__
    known = Failure(error.code if error.code in KINDS else "bad_request", error.content)
    g.failure = failure = cause if isinstance(cause, Failure) else known
    code = jsonrpc.DISCOVERY_FAILED if error.code in _DISCOVERY else jsonrpc.REFUSED
    if error.code in _PARSE_ERRORS:
        code = jsonrpc.PARSE_ERROR
    elif error.status >= 500 and not KINDS[failure.code].retryable:
        code = jsonrpc.INTERNAL_ERROR
    data = error.body()
    if error.retry_after is not None:
        data["retry_after"] = error.retry_after
    response = _failed(RPCError(code, data["content"], data, status=error.status))
    if error.status == 401:
        response.headers["WWW-Authenticate"] = 'Bearer realm="ucp"'
    return response


def _http_failed(error: HTTPException) -> Response:
    response = _failed(RPCError(jsonrpc.INVALID_REQUEST, error.name, status=error.code or 500))
    if error.code == 405:
        response.headers["Allow"] = "POST"
    return response


def _crashed(error: Exception) -> Response:
    log.error("internal_error", exc_info=error, extra={"request_id": g.request_id})
    return _rejected(rejected(Failure("internal_error", "an internal error; the request id identifies its log line")))
