"""REST: the profile, and the endpoints of both faces (UCP-1, UCP-2, UCP-7, UCP-9)."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any

from flask import Blueprint, Response, g, request
from werkzeug.exceptions import HTTPException, MethodNotAllowed

from levelup_ov.blueprints.http import AGENTS, UUID, json_answer, json_bytes, json_response, read_body, this_request
from levelup_ov.config import Settings
from levelup_ov.domain.failure import Failure
from levelup_ov.ordering.locations import published_id
from levelup_ov.ordering.request_context import RequestContext
from levelup_ov.redaction import clean
from levelup_ov.schemas.body import parse
from levelup_ov.sessions.model import RequestKey
from levelup_ov.ucp.agents import Agents, Profiles
from levelup_ov.ucp.catalog import Catalog
from levelup_ov.ucp.negotiation import Agent, negotiate, read_agent
from levelup_ov.ucp.operations import AgentCall, Operations
from levelup_ov.ucp.problems import BusinessOutcome, Rejected, rejected
from levelup_ov.ucp.profile import CACHE_SECONDS, PROFILE, error_envelope, profile
from levelup_ov.ucp.versions import FaceName

SHOPPING, FOOD = "/ucp/shopping", "/ucp/food"
REST: Mapping[FaceName, str] = {"shopping": SHOPPING, "food": FOOD}
"""The path of each face."""
LONGEST_HEADER = 128
"""Characters of a request's id or key; UCP means UUIDs, but not everybody sends one."""

_agent = lru_cache(256)(read_agent)
"""Agents send the same header again and again."""

log = logging.getLogger(__name__)


class Door:
    """Who calls, and what both sides can do: the same for every transport over HTTP."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._agents = Agents(settings.agents)
        proxy = settings.proxy.reveal() if settings.proxy else None
        self._profiles = Profiles(settings.agent_profiles, proxy=proxy)

    @property
    def base_url(self) -> str:
        """The public address of this service; only development has none set."""
        return self._settings.agent_url or request.host_url.rstrip("/")

    def caller(self) -> str:
        """The name of the key of this request. :raises Rejected: ``unauthorized``."""
        this = this_request()
        name: str | None = this.get("ucp_caller") or self._agents.name_of(this.headers)
        if name is None:
            words = "expected the header X-API-Key, or Authorization: Bearer, with an agent's key of this service"
            raise rejected(Failure("unauthorized", words))
        this.ucp_caller = name
        return name

    def call(self, key: RequestKey | None = None) -> AgentCall:
        """The call of this request.

        :raises Rejected: a header is missing or wrong, or the agent's profile cannot be used.
        :raises BusinessOutcome: the two sides share no capability.
        """
        caller, this = self.caller(), this_request()
        this.request_id = this.context.request_id = _header("Request-Id")
        agent = _agent(this.headers.get("UCP-Agent", ""), self._settings.agent_profiles)
        return self.call_of(caller, agent, key, this.context)

    def call_of(self, caller: str, agent: Agent, key: RequestKey | None, context: RequestContext) -> AgentCall:
        """The call of a caller's agent.

        :raises Rejected: its profile cannot be used, or the request has a signature that its profile does not verify.
        :raises BusinessOutcome: the two sides share no capability.
        """
        profile = self._profiles.fetch(agent.profile)
        if profile is not None and ("Signature" in request.headers or "Signature-Input" in request.headers):
            from levelup_ov.ucp import verifying  # loaded only where requests are signed

            target = str(request.environ.get("RAW_URI") or request.path)
            # A request in absolute form names the host, too.
            url = self.base_url + target[target.find("/", target.find("://") + 3) if "://" in target[:8] else 0 :]
            signed = verifying.SignedRequest(request.method, url, request.headers, g.get("ucp_body", b""))
            verifying.verify(signed, profile)
        return AgentCall(caller, context, negotiate(agent, profile), self.base_url, key)

    def body(self) -> bytes:
        """The body of this request; that of a caller without a key is not read.

        :raises Rejected: ``unauthorized``.
        :raises Failure: it cannot be read.
        """
        self.caller()
        body: bytes = read_body()
        g.ucp_body = body
        return body

    def changing(self, body: bytes) -> AgentCall:
        """The call of a request that changes something, which needs a key (UCP-7)."""
        return self.call(RequestKey(_header("Idempotency-Key"), body))


def refuse(error: Rejected) -> Response:
    """The answer of a protocol error."""
    cause = error.__cause__
    g.failure = cause if isinstance(cause, Failure) else Failure("bad_request", error.content)
    response = json_response(error.body(), error.status)
    if error.status == 401:
        response.headers["WWW-Authenticate"] = 'Bearer realm="ucp"'
    if error.retry_after is not None or error.status in (429, 503):
        response.headers["Retry-After"] = str(math.ceil(error.retry_after or 1))
    return response


def guard(pages: Blueprint, kind: Callable[[], str]) -> None:
    """The documented forms of errors, for all endpoints of a blueprint; ``kind`` is what the operation is about."""

    def answer(error: BusinessOutcome) -> Response:
        return json_response({"ucp": error_envelope(kind()), "messages": [each.wire() for each in error.messages]})

    def refuse_failure(failure: Failure) -> Response:
        return refuse(rejected(failure))

    def refuse_http(error: HTTPException) -> Response:
        return refuse(Rejected("invalid_request", error.description or "bad request", error.code or 400))

    def crash(error: Exception) -> Response:
        log.error("internal_error", exc_info=error, extra={"request_id": g.request_id})
        return refuse_failure(Failure("internal_error", "an internal error; the request id identifies its log line"))

    pages.register_error_handler(Rejected, refuse)
    pages.register_error_handler(BusinessOutcome, answer)
    pages.register_error_handler(Failure, refuse_failure)
    pages.register_error_handler(HTTPException, refuse_http)
    pages.register_error_handler(Exception, crash)


def blueprint(
    settings: Settings, door: Door, faces: Mapping[FaceName, Operations], catalog: Catalog,
    transports: Mapping[FaceName, Mapping[str, str]], signing_keys: Sequence[Mapping[str, Any]],
) -> Blueprint:  # fmt: skip
    """The profile and the endpoints. ``transports``, ``signing_keys``: see :func:`levelup_ov.ucp.profile.profile`."""
    pages = Blueprint("ucp", __name__)
    guard(pages, _kind)
    taken = {kind for adapter in settings.accounts.values() for kind in adapter.tenders}
    tenders = frozenset(kind for kind in taken if kind != "levelup" or settings.checkout is not None)

    @pages.before_app_request
    def refuse_unrouted() -> Response | None:
        """An agent whose address or method is wrong must not think that its key is."""
        error = request.routing_exception
        if error is None or not request.path.startswith(AGENTS):
            return None
        try:
            door.caller()
        except Rejected as refused:
            return refuse(refused)
        if not isinstance(error, MethodNotAllowed):
            return refuse(Rejected("not_found", "there is nothing at this address", 404))
        response = refuse(Rejected("method_not_allowed", "this address does not support this method", 405))
        response.headers["Allow"] = ", ".join(sorted(error.valid_methods or ()))
        return response

    @pages.get(PROFILE)
    def show_profile() -> Response:
        response = json_response(profile(door.base_url, tenders, transports, signing_keys))
        response.headers["Cache-Control"] = f"public, max-age={CACHE_SECONDS}"
        return response

    for name, path in REST.items():
        _add_checkouts(pages, path, name, faces[name], door)

    @pages.get(f"{SHOPPING}/orders/<id>")
    def get_order(id: str) -> Response:
        return json_response(faces["shopping"].order(door.call(), id))

    @pages.post(f"{SHOPPING}/catalog/search")
    def search_catalog() -> Response:
        body = door.body()
        return json_response(catalog.search(door.call(), parse(body)))

    @pages.post(f"{SHOPPING}/catalog/lookup")
    def lookup_catalog() -> Response:
        body = door.body()
        return json_response(catalog.lookup(door.call(), parse(body)))

    @pages.post(f"{SHOPPING}/catalog/product")
    def get_product() -> Response:
        body = door.body()
        return json_response(catalog.product(door.call(), parse(body)))

    @pages.get(f"{FOOD}/establishments")
    def list_establishments() -> Response:
        return json_response(catalog.establishments(door.call()))

    @pages.get(f"{FOOD}/establishments/<path:id>/menu")
    def show_menu(id: str) -> Response:
        return json_response(catalog.menu(door.call(), published_id(id)))

    return pages


def _add_checkouts(pages: Blueprint, path: str, name: FaceName, operations: Operations, door: Door) -> None:
    """The five operations on checkouts of one face."""
    sessions = f"{path}/checkout-sessions"

    def create_checkout() -> Response:
        call, body = _changing()
        return json_response(operations.create(call, body), 201)

    def get_checkout(id: str) -> Response:
        return json_answer(operations.read_written(door.call(), id, json_bytes))

    def update_checkout(id: str) -> Response:
        call, body = _changing()
        return json_response(operations.update(call, id, parse(body)))

    def complete_checkout(id: str) -> Response:
        call, body = _changing()
        return json_response(operations.complete(call, id, parse(body)))

    def cancel_checkout(id: str) -> Response:
        has_body = request.content_length or "Transfer-Encoding" in request.headers
        return json_response(operations.cancel(door.changing(door.body() if has_body else b""), id))

    def _changing() -> tuple[AgentCall, bytes]:
        body = door.body()
        return door.changing(body), body

    for method, rule, view in (
        ("POST", sessions, create_checkout),
        ("GET", f"{sessions}/<id>", get_checkout),
        ("PUT", f"{sessions}/<id>", update_checkout),
        ("POST", f"{sessions}/<id>/complete", complete_checkout),
        ("POST", f"{sessions}/<id>/cancel", cancel_checkout),
    ):
        pages.add_url_rule(rule, f"{name}_{view.__name__}", view, methods=[method])


def _kind() -> str:
    """What the operation is about, by its address."""
    path = request.path
    for part, kind in (("/catalog/search", "search"), ("/catalog/", "lookup"), ("/orders/", "order")):
        if path.startswith(f"{SHOPPING}{part}"):
            return kind
    return "food" if path.startswith(FOOD) else "shopping"


def _header(header: str) -> str:
    """A header that UCP demands, as printable text. :raises Rejected: ``invalid_request``."""
    given = this_request().headers.get(header, "")
    if UUID.fullmatch(given):
        return given
    is_text = given.isascii() and given.isprintable() and clean(given) == given
    if not given.strip() or len(given) > LONGEST_HEADER or not is_text:
        wrong = f"is not printable ASCII of at most {LONGEST_HEADER} characters" if given.strip() else "is missing"
        raise Rejected("invalid_request", f"the header {header} {wrong}", 400)
    return given
