"""What all endpoints share: authentication, request ids, bodies, errors and the log line of a request."""

from __future__ import annotations

import errno
import hmac
import logging
import math
import re
import time
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import unquote

import orjson
from flask import Flask, Request, Response, g, request
from gunicorn.http.errors import ParseException
from werkzeug.exceptions import HTTPException
from werkzeug.routing import Map, UnicodeConverter
from werkzeug.wsgi import get_input_stream

from levelup_ov import tracing
from levelup_ov.config import Settings
from levelup_ov.domain.failure import Failure
from levelup_ov.errors import KINDS, body
from levelup_ov.ledger.records import new_id
from levelup_ov.metrics import Metrics
from levelup_ov.ordering.request_context import RequestContext
from levelup_ov.redaction import clean, shield
from levelup_ov.transport.deadline import Deadline

MAX_BODY = 1024 * 1024
"""Bytes of the largest body that is accepted (EP-9)."""
MAX_OPEN_BODY = 16 * 1024
"""Bytes of the largest body that is accepted from a caller without a key."""
BODY_LIMIT = "levelup_ov.body_limit"
"""The app extension that says how many bytes of a body to wait for, by path and headers; 0 reads none."""
POOL_OF_PATH = "levelup_ov.pool_of_path"
"""The app extension that names the pool of threads for a path; empty for the pool of orders."""
CONSOLE = "/console"
"""Where the console's pages are."""
OPEN_ENDPOINTS = frozenset(
    {
        "status.health",
        "status.ready",
        "status.openapi",
        # Called by browsers and by LevelUp: each checks what it was sent.
        "checkout.merchant_callback",
        "checkout.user_callback",
        "checkout.permissions_callback",
        "orders.receive_notice",
    }
)
PAGES = frozenset({"console", "screens", "workbench"})
"""Blueprints of pages for people: they decide themselves whom they answer."""
AGENTS = "/ucp/"
"""Where agents order; the blueprints there know their callers themselves."""
UNCOUNTED = PAGES - {"console"}
"""Those of them that are neither counted nor logged."""
NOTICES = "/webhooks/"
"""Where providers send their messages, each of which is signed. They may be large: Toast's have the whole order."""
METRICS_ENDPOINT = "status.show_metrics"
OPEN_BODIES = frozenset({"/checkout/users/permissions_requests/callback"})
"""Paths that read a body from a caller without a key."""

UUID = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
"""What an agent's id of a request is."""

_OF_AGENTS = "ucp"
"""How the names of those blueprints start."""
_OF_CONSOLE = (CONSOLE, "/screens")
"""Where pages and their style are."""
_CHUNK = 32 * 1024
"""Bytes of a body that are read at once."""
_JSON = "application/json"
_REQUEST_ID = re.compile(r"[\x21-\x7e]{1,128}")
_EXPECTED_KEY = "expected 1 to 255 printable ASCII characters, and not only spaces, in Idempotency-Key"
_IDEMPOTENCY_KEY = re.compile(r"(?! *$)[\x20-\x7e]{1,255}")
_CODES = {
    404: "not_found",
    405: "method_not_allowed",
    406: "not_acceptable",
    413: "payload_too_large",
    415: "unsupported_media_type",
}
_MESSAGES = {
    "not_found": "there is nothing at this address",
    "method_not_allowed": "this address does not support this method",
}

log = logging.getLogger("levelup_ov.request")


class Segment(UnicodeConverter):
    """A part of a path, without U+0000: PostgreSQL cannot look for such an id."""

    def __init__(self, map: Map) -> None:
        super().__init__(map)
        self.regex = r"[^/\x00]+"


def install(app: Flask, settings: Settings, metrics: Metrics) -> None:
    """Register hooks and error handlers with ``app``."""
    keys = tuple(key.reveal().encode() for key in settings.api_keys)
    agent_keys = tuple(key.reveal().encode() for key in settings.agents.values())
    keys_of = {METRICS_ENDPOINT: keys + tuple(key.reveal().encode() for key in settings.metrics_keys)}

    noticed = {NOTICES + name for name, adapter in settings.accounts.items() if adapter.takes_notices}
    pools = {"/health": "health", "/ready": "ready", "/metrics": "ready"}

    def pool_of_path(path: str) -> str:
        return pools.get(path) or ("console" if unquote(path).startswith(_OF_CONSOLE) else "")

    def body_limit(path: str, headers: Iterable[tuple[str, str]]) -> int:
        given = next((value for name, value in headers if name == "AUTHORIZATION"), "")
        is_open = path in OPEN_BODIES or path.startswith(CONSOLE)
        if agent_keys and path.startswith(AGENTS):
            key = next((f"token {value}" for name, value in headers if name == "X-API-KEY"), given)
            return MAX_BODY if _is_key(agent_keys, key) else 0
        return MAX_BODY if _is_key(keys, given) or path in noticed else MAX_OPEN_BODY if is_open else 0

    app.extensions[BODY_LIMIT] = body_limit
    app.extensions[POOL_OF_PATH] = pool_of_path

    @app.before_request
    def begin() -> None:
        this, incoming = _this_request()
        this.started = time.monotonic()
        this.headers = headers = RequestHeaders(incoming.environ)
        blueprint, endpoint, authorization = incoming.blueprint, incoming.endpoint, headers.get("Authorization", "")
        is_of_agents = (blueprint or "").startswith(_OF_AGENTS)
        given = headers.get("X-Request-ID", "")
        if not given and is_of_agents and UUID.fullmatch(named := headers.get("Request-Id", "")):
            this.request_id = named
        else:
            # A caller can put anything into it, and it is repeated in many places.
            usable = given and _REQUEST_ID.fullmatch(given) and clean(given) == given
            this.request_id = given if usable else new_id()
        this.context = RequestContext(Deadline(settings.reading_deadline), this.request_id)
        this.failure = None
        this.span = None if blueprint in UNCOUNTED else tracing.begin_request(incoming.headers.get)
        this.has_key = _is_key(keys, authorization)
        if endpoint is None and agent_keys and incoming.path.startswith(AGENTS):
            # The blueprint of agents refuses what has no route there.
            return
        if endpoint not in OPEN_ENDPOINTS and not is_of_agents:
            more = keys_of.get(endpoint or "", ())
            if not this.has_key and not _is_key(more, authorization) and blueprint not in PAGES:
                words = "expected the header Authorization: token <key> with a key of this service"
                raise Failure("unauthorized", words)
        if endpoint == METRICS_ENDPOINT or blueprint in PAGES:
            return
        accept = headers.get("Accept", "")
        if accept and accept not in ("*/*", "application/json") and not accepts_json(incoming.accept_mimetypes):
            raise Failure("not_acceptable", "responses are application/json")

    @app.after_request
    def end(response: Response) -> Response:
        this, incoming = _this_request()
        response.headers["X-Request-ID"] = this.request_id
        context, failure = this.context, this.failure
        blueprint, _, operation = (incoming.endpoint or "unknown").rpartition(".")
        if blueprint in UNCOUNTED:
            return response
        outcome = failure.code if failure else "replayed" if context.replayed else "ok"
        seconds = time.monotonic() - this.started
        metrics.request(operation, outcome, context.account or context.provider, seconds, context.calls)
        _log_request(response, this, operation, outcome, seconds)
        if this.span is not None:
            this.span.end(operation, **_traced(response, this, outcome))
        return response

    app.url_map.converters["default"] = Segment
    app.register_error_handler(Failure, _failed)
    app.register_error_handler(HTTPException, _http_failed)
    app.register_error_handler(Exception, _crashed)


class RequestHeaders:
    """The headers of a request, as the server gives them: werkzeug takes eight times as long to find one."""

    def __init__(self, environ: Mapping[str, Any]) -> None:
        self._environ = environ

    def get(self, name: str, default: str, /) -> str:
        """The header with this name, in any case, or ``default``. Not for Content-Type and Content-Length."""
        value: str = self._environ.get(f"HTTP_{name.upper().replace('-', '_')}", default)
        return value


def this_request() -> Any:
    """The object behind ``g``: each use of the proxy looks it up again."""
    proxy: Any = g
    return proxy._get_current_object()


def _this_request() -> tuple[Any, Request]:
    """That object, and the one behind ``request``."""
    proxy: Any = request
    return this_request(), proxy._get_current_object()


def accepts_json(accepted: Iterable[tuple[str, float]]) -> bool:
    """Whether a caller that accepts these types, each with its quality, takes JSON (EP-9).

    application/json defines no parameters (RFC 8259, 11), so they are ignored. The most specific name counts.
    """
    qualities: dict[str, float] = {}
    for value, quality in accepted:
        name = value.partition(";")[0].strip().lower()
        qualities[name] = max(quality, qualities.get(name, 0))
    return next((qualities[name] > 0 for name in (_JSON, "application/*", "*/*") if name in qualities), False)


def json_bytes(content: Any) -> bytes:
    """``content`` as JSON, without secrets."""
    return shield(orjson.dumps(content))


def json_response(content: Any, status: int = 200) -> Response:
    """``content`` as JSON."""
    return json_answer(json_bytes(content), status)


def json_answer(content: bytes, status: int = 200) -> Response:
    """JSON that is written already, by :func:`json_bytes`."""
    return Response(content, status, content_type=_JSON)


def read_body() -> bytes:
    """The body of the request, declared as JSON in UTF-8 (EP-9).

    :raises Failure: ``unsupported_media_type``, ``payload_too_large``, ``bad_request``.
    """
    this, incoming = _this_request()
    if incoming.content_type != _JSON and not _is_json(incoming):
        raise Failure("unsupported_media_type", "expected Content-Type: application/json, in UTF-8")
    if this.headers.get("Content-Encoding", "identity").lower() != "identity":
        raise Failure("unsupported_media_type", "expected a body without Content-Encoding")
    is_small = incoming.endpoint in OPEN_ENDPOINTS and not incoming.path.startswith(NOTICES)
    limit = MAX_OPEN_BODY if is_small else MAX_BODY
    if (incoming.content_length or 0) > limit:
        raise _too_large(limit)
    # Werkzeug's own limit silently truncates a chunked body.
    content = bytearray()
    try:
        stream = get_input_stream(incoming.environ)
        # A read allocates everything it asks for: with the whole limit, that costs as much as the order itself.
        while len(content) <= limit and (chunk := stream.read(min(_CHUNK, limit + 1 - len(content)))):
            content += chunk
    except (OSError, ParseException) as error:
        if isinstance(error, OSError) and error.errno == errno.EMSGSIZE:
            raise _too_large(limit) from None
        raise Failure("bad_request", f"the body cannot be read ({type(error).__name__})") from None
    if len(content) > limit:
        raise _too_large(limit)
    return bytes(content)


def _is_json(incoming: Request) -> bool:
    charset = incoming.mimetype_params.get("charset", "utf-8").lower()
    return incoming.mimetype == _JSON and charset in ("utf-8", "utf8")


def _too_large(limit: int) -> Failure:
    return Failure("payload_too_large", f"expected a body of at most {limit} bytes")


def read_idempotency_key() -> str | None:
    """The Idempotency-Key header (SUB-3). :raises Failure: ``invalid_idempotency_key``."""
    key = request.headers.get("Idempotency-Key")
    if key is not None and not _IDEMPOTENCY_KEY.fullmatch(key):
        raise Failure("invalid_idempotency_key", _EXPECTED_KEY)
    return key


def _is_key(keys: tuple[bytes, ...], authorization: str) -> bool:
    """EP-6. Every key is compared, each in constant time."""
    scheme, _, given = authorization.partition(" ")
    candidate = given.strip().encode("utf-8", "replace")
    matches = [hmac.compare_digest(candidate, key) for key in keys]
    return scheme.lower() in ("token", "bearer") and any(matches)


def _failed(failure: Failure) -> Response:
    failure = failure.replace(message=clean(failure.message), path=failure.path and clean(failure.path))
    g.failure = failure
    kind = KINDS[failure.code]
    response = json_response(body(failure, g.request_id), kind.status)
    if failure.code == "unauthorized":
        response.headers["WWW-Authenticate"] = "token"
    if failure.retry_after is not None:
        response.headers["Retry-After"] = str(math.ceil(failure.retry_after))
    return response


def _http_failed(error: HTTPException) -> Response:
    code = _CODES.get(error.code or 500, "bad_request" if (error.code or 500) < 500 else "internal_error")
    response = _failed(Failure(code, _MESSAGES.get(code, KINDS[code].meaning)))
    if code == "method_not_allowed":
        response.headers["Allow"] = dict(error.get_headers()).get("Allow", "")
    return response


def _crashed(error: Exception) -> Response:
    log.error("internal_error", exc_info=error, extra={"request_id": g.request_id})
    return _failed(Failure("internal_error", "an internal error; the request id identifies its log line"))


def _traced(response: Response, this: Any, outcome: str) -> dict[str, Any]:
    """The attributes of a request's span."""
    return {
        "http.request.method": request.method,
        "http.response.status_code": response.status_code,
        "error.type": outcome if response.status_code >= 500 else None,
        "levelup_ov.outcome": outcome,
        "levelup_ov.account": this.context.account,
        "levelup_ov.location": this.context.location,
        "levelup_ov.request_id": this.request_id,
    }


def _log_request(response: Response, this: Any, operation: str, outcome: str, seconds: float) -> None:
    context: RequestContext = this.context
    failure: Failure | None = this.failure
    kind = KINDS[failure.code] if failure else None
    level = logging.INFO
    if kind is not None and kind.status >= 500:
        level = logging.WARNING if kind.retryable else logging.ERROR
    if not log.isEnabledFor(level):
        return
    log.log(
        level,
        "request",
        extra={
            "request_id": this.request_id,
            "operation": operation,
            "outcome": outcome,
            "status": response.status_code,
            "milliseconds": round(seconds * 1000),
            "account": context.account,
            "location": context.location,
            "provider": context.provider,
            **({"trace_id": this.span.trace_id} if this.span is not None else {}),
            "provider_calls": [
                {
                    "method": call.method,
                    "path": call.path,
                    "status": call.status,
                    "milliseconds": call.milliseconds,
                    **({"failure": call.failure} if call.failure else {}),
                }
                for call in context.calls
            ],
        },
    )
