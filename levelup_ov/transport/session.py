"""One request's access to its provider: every call that an adapter makes goes through a :class:`Session`.

Each account has its own pool, and a session may have its own connections. Nothing is read from the environment (no
proxies, no ``.netrc``), no cookies are stored, no redirects followed, every answer is limited in time and size, and
every failure is an :class:`~levelup_ov.errors.Unanswered` that says whether anything was sent.
"""

from __future__ import annotations

import copy
import json
import logging
import math
import random
import re
import threading
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timezone
from decimal import Decimal
from email.utils import parsedate_to_datetime
from typing import Any, NoReturn, Self
from urllib.parse import urlencode, urlsplit

import orjson
import requests
from requests.adapters import BaseAdapter
from requests.models import PreparedRequest
from requests.structures import CaseInsensitiveDict
from urllib3.exceptions import HTTPError, MaxRetryError, NewConnectionError

from levelup_ov import tracing
from levelup_ov.domain.failure import Failure
from levelup_ov.domain.secret import Secret
from levelup_ov.errors import Refused, Unanswered, broken_protocol, timed_out
from levelup_ov.personal import PersonalWords, Withheld
from levelup_ov.redaction import scrub
from levelup_ov.transport import net
from levelup_ov.transport.breaker import Breaker
from levelup_ov.transport.connections import (
    DeadlineAdapter,
    OwnConnections,
    SendState,
    current_exchange,
    tls_context,
)
from levelup_ov.transport.deadline import Deadline
from levelup_ov.transport.in_process import InProcessAdapter, WSGIApplication
from levelup_ov.transport.json_object import JSONObject
from levelup_ov.transport.placement import Placement
from levelup_ov.transport.response_cache import CacheStore, MemoryStore, ResponseCache, cache_key

CONNECT_TIMEOUT = 3.05
"""Seconds for a TCP and TLS connection; just above a multiple of TCP's 3 s retransmission."""
MAX_ANSWER = 16 * 1024 * 1024
"""The most bytes of an answer, decoded; a big catalog has a few MiB."""
MIN_TIME_TO_PLACE = 2.0
"""Minimum seconds left before placing an order, so that its answer can arrive."""
ATTEMPTS = 3
"""The most attempts for a call that is safe to repeat."""
BACKOFF = 0.2
"""Seconds of the first pause between attempts; it doubles, and a random part of it is used."""
LONGEST_WAIT = 24 * 3600.0
"""The most seconds of a Retry-After that are believed; a provider that is wrong about its clock says years."""

log = logging.getLogger(__name__)

_CHUNK = 65536
_SMALL = 16384
_SURROGATE_ESCAPE = re.compile(rb"\\u[dD][89a-fA-F]")
_READING = ("GET", "HEAD")
_FRESH = "no-cache"
_SUCCESS = {"GET": (200,), "HEAD": (200,)}
"""The statuses of an expected answer (RFC 9110, 15.3); for all other methods :data:`_ACCEPTED`."""
_OF_ORDER = re.compile(r"\$(?:\.[a-z][a-z_]{0,40}|\[\d{1,6}\])*")
_ACCEPTED = (200, 201)
_STATUSES = {
    401: "provider_credentials_refused",
    403: "provider_credentials_refused",
    408: "provider_timeout",
    429: "rate_limited",
    504: "provider_timeout",
}
_NOT_PROCESSED = ("provider_credentials_refused", "rate_limited")
"""These answers refuse the request before it has any effect."""
_TRANSIENT = ("provider_unavailable", "provider_timeout", "rate_limited")
"""Failures that another attempt may avoid."""
_MESSAGES = {
    "provider_credentials_refused": "the provider refuses the account's credentials",
    "provider_protocol_error": "the provider answered against its own interface",
    "provider_timeout": "the provider reports a timeout",
    "provider_unavailable": "the provider reports an internal error",
    "rate_limited": "the provider answers that it gets too many requests",
}


@dataclass(frozen=True, slots=True)
class Reply:
    """A provider's answer, whatever its status. ``decides``: the outcome of an order, or money, depends on it."""

    status: int
    headers: Mapping[str, str]
    body: bytes = field(repr=False)
    decides: bool = False

    @property
    def ok(self) -> bool:
        """Whether the status is 2xx."""
        return 200 <= self.status < 300

    def json(self) -> Any:
        """The body as JSON; numbers with a point are :class:`~decimal.Decimal`.

        If a member is repeated, the last one counts. In what decides about an order, another value of it is an error: a
        second reference or id is not proof of either.

        :raises levelup_ov.errors.Unanswered: ``provider_protocol_error``: it is not JSON.
        """
        try:
            # In a long list of orders, looking for that would take as long as reading it.
            decoder = _EXACT_JSON if self.decides and len(self.body) <= _SMALL else _JSON
            value = decoder.decode(self.body.decode("utf-8-sig"))
            if _SURROGATE_ESCAPE.search(self.body):
                # Half a surrogate pair is not text, and our own answer could not contain it.
                json.dumps(value, ensure_ascii=False, default=str).encode()
            return value
        except _TwoValues:
            raise broken_protocol("the provider's answer repeats a member with another value") from None
        except (ValueError, RecursionError):
            raise broken_protocol("the provider's answer is not JSON") from None

    def object(self) -> JSONObject:
        """The body as a JSON object, for reading member by member."""
        return JSONObject(self.json()).checked()

    def objects(self) -> list[JSONObject]:
        """The body as a JSON list of objects at the root; an object, string or null is not an empty list.

        :raises levelup_ov.errors.Unanswered: ``provider_protocol_error``.
        """
        value = self.json()
        if type(value) is not list:
            raise broken_protocol("the provider's answer needs a list at $")
        return [JSONObject(each, f"$[{position}]").checked() for position, each in enumerate(value)]


@dataclass(frozen=True, slots=True)
class Call:
    """The log entry of one provider call. ``milliseconds`` is its duration."""

    method: str
    path: str
    status: int | None
    milliseconds: int
    failure: str | None = None
    new_connection: bool = False


class Transport:
    """The pools of one process.

    ``pool_size``: connections kept open per account; at least the number of threads.
    ``in_process``: WSGI applications by host name, answered without a socket.
    ``proxy``: address of a proxy for all provider traffic, if any.
    ``store``: where menus and catalogs are cached; this process's memory by default.
    ``breaks``: whether calls to an account whose provider fails are paused; not for callers that do so themselves.
    ``public_only``: nothing but https is spoken, and only to addresses of the public internet.
    ``max_answer``: the most bytes of an answer, decoded.
    """

    watch: Callable[[Session, Call, str, bytes, Reply | None], None] | None = None
    """Gets every call with its URL, the body that was sent and the reply; set by the workbench, in development mode."""

    def __init__(
        self,
        *,
        pool_size: int,
        in_process: Mapping[str, WSGIApplication] | None = None,
        proxy: str | None = None,
        store: CacheStore | None = None,
        breaks: bool = True,
        public_only: bool = False,
        max_answer: int = MAX_ANSWER,
    ) -> None:
        self._breaks = breaks
        self._public_only = public_only
        self.max_answer = max_answer
        self._pool_size = pool_size
        self._in_process = {host: InProcessAdapter(app) for host, app in (in_process or {}).items()}
        self.proxies = {"http": proxy, "https": proxy} if proxy else {}
        self._tls = tls_context()
        self._pools: dict[str, DeadlineAdapter] = {}
        self.cache = ResponseCache(store or MemoryStore())
        self._breakers: dict[tuple[str, str], Breaker] = {}
        self._lock = threading.Lock()

    def load_authorities(self) -> None:
        """Load now what certificates are verified by; otherwise the first connection over TLS does."""
        self._tls.trust_authorities()

    def pool(self, account: str, host: str) -> BaseAdapter:
        """The account's own connections."""
        if host in self._in_process:
            return self._in_process[host]
        if (pool := self._pools.get(account)) is None:
            with self._lock:
                pool = self._pools.setdefault(account, self._new_pool())
        return pool

    def _new_pool(self) -> DeadlineAdapter:
        return DeadlineAdapter(self._tls, self._pool_size, public_only=self._public_only)

    def open_ahead(self, account: str, base_url: str, own: OwnConnections, deadline: Deadline) -> None:
        """Open one of ``own`` to ``base_url`` in the background, for a session that is soon to use it.

        Best effort: where it fails, the session opens one itself.
        """
        host = urlsplit(base_url).hostname or ""
        pool = self.pool(account, host)
        if isinstance(pool, DeadlineAdapter) and not self.proxies and not self.breaker(account, host).is_open:
            # A URL that is none, or a process that may start no more threads.
            with suppress(ValueError, RuntimeError):
                pool.open_ahead(base_url + "/", own, deadline, CONNECT_TIMEOUT)

    def breaker(self, account: str, host: str) -> Breaker:
        """The circuit breaker of the account's calls to ``host``."""
        if not self._breaks:
            return Breaker()
        if (breaker := self._breakers.get((account, host))) is None:
            with self._lock:
                breaker = self._breakers.setdefault((account, host), Breaker())
        return breaker

    def open_breakers(self) -> Counter[str]:
        """How many circuit breakers are open, by account; an account has one for each host."""
        with self._lock:
            breakers = list(self._breakers.items())
        return Counter(account for (account, _), breaker in breakers if breaker.is_open)


@dataclass(slots=True)
class Freshness:
    """Until when all the answers that a session got would be the same from the cache, in seconds since 1970.

    Zero: one of them did not come from the cache. Infinite: there was none.
    """

    until: float = math.inf


@dataclass(slots=True)
class Doubt:
    """See :attr:`Session.is_unanswered`; one for a session and those that :meth:`Session.within` makes of it."""

    exists: bool = False


class Session:
    """The calls of one request to one account's provider, all within one deadline.

    ``calls`` lists them, ``secrets`` has what :meth:`add_secret` received, ``known`` are further secrets. ``personal``
    takes out of failures what is personal in the order.
    ``freshness`` says how long their answers would be the same.

    Use it in a ``with`` statement, whose failures are then safe to show: this is the one place that takes secrets out
    of them (ERR-4). It also closes the session.

    ``own``: the session has its own connections. Nobody else uses them, and none is reused after an attempt without
    the expected answer, so that a late answer is never read as the answer to another call. For everything that must
    not be mixed up: orders, their look-ups, money. ``ahead``: those that were opened for it by
    :meth:`Transport.open_ahead`.

    ``placement`` knows whether an order may exist. Its last look is taken for each attempt to send the placing call:
    after the name look-up, the connection, TLS and the proxy, immediately before the first byte. If it raises, or
    takes too long, nothing is sent.
    """

    def __init__(
        self,
        transport: Transport,
        account: str,
        *,
        base_url: str,
        headers: Mapping[str, str],
        error_from: Callable[[Reply], Refused | None],
        deadline: Deadline,
        calls: list[Call] | None = None,
        own: bool = False,
        ahead: OwnConnections | None = None,
        placement: Placement | None = None,
        known: Sequence[Secret] = (),
        personal: PersonalWords | Withheld | None = None,
    ) -> None:
        self._transport = transport
        self._account = account
        self._base_url = base_url
        self._headers = headers
        self._error_from = error_from
        self._part = ""
        self._since: float | None = None
        self._own = (ahead or OwnConnections()) if own else None
        self.placement = placement or Placement()
        self.deadline = deadline
        self.calls = [] if calls is None else calls
        self.freshness = Freshness()
        self.secrets: list[Secret] = []
        self._doubt = Doubt()
        self._known = known
        self._personal = personal

    @property
    def placing(self) -> bool:
        """Whether an order may exist; see :class:`~levelup_ov.transport.placement.Placement`."""
        return self.placement.may_exist

    @property
    def is_unanswered(self) -> bool:
        """Whether a call that may change something was sent, and its answer is missing or was not understood."""
        return self._doubt.exists

    def __enter__(self) -> Self:
        return self

    def __exit__(self, _: object, failure: BaseException | None, __: object) -> None:
        self.close()
        if not isinstance(failure, Failure):
            return
        if (safe := _safe(failure, self.all_secrets(), self._personal)) is not failure:
            context = safe.__context__
            try:
                raise safe
            finally:
                # Raising it has set this to ``failure``, which has the secrets.
                safe.__context__ = context

    def all_secrets(self) -> list[Secret]:
        """Everything that no text of this session may show."""
        return [*self._known, *self.secrets]

    def close(self) -> None:
        """Close the session's own connections."""
        if self._own is not None:
            self._own.close()

    def within(self, seconds: float, part: str) -> Session:
        """This session with at most ``seconds`` for its calls, so that a slow answer leaves time for others.

        ``part`` names a part of the provider, such as one restaurant of many: it has its own circuit breaker, so that
        its failures do not stop calls to the rest.
        """
        hurried = copy.copy(self)
        hurried._part = part
        hurried.deadline = Deadline(min(seconds, self.deadline.remaining()))
        return hurried

    def fresh(self, since: float) -> Session:
        """This session, with cached answers only if this process has fetched them since then (:func:`net.now`)."""
        fresh = copy.copy(self)
        fresh._since = since
        return fresh

    def add_secret(self, text: str) -> str:
        """Returns ``text``, and masks it in the provider's messages from now on (ERR-4).

        For secrets that arise within this request, such as a new password or a login token. The account's settings,
        the tender's card and returned sealed values are masked anyway.
        """
        self.secrets.append(Secret(text))
        return text

    def get(
        self,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        also: Collection[int] = (),
        cache_for: float | None = None,
        check: Callable[[JSONObject], object] | None = None,
    ) -> Reply:
        """Send a GET; repeated on failure while time is left.

        For ``also``, ``cache_for`` and ``check`` see :meth:`call`.
        """
        return self.call("GET", path, params=params, headers=headers, also=also, cache_for=cache_for, check=check)

    def post(
        self,
        path: str,
        body: Any = None,
        *,
        headers: Mapping[str, str] | None = None,
        repeatable: bool = False,
        places_order: bool = False,
        trace: Mapping[str, Any] | None = None,
        also: Collection[int] = (),
    ) -> Reply:
        """Send ``body`` as JSON, a Decimal as an exact number.

        For ``repeatable``, ``places_order``, ``trace`` and ``also`` see :meth:`call`.
        """
        return self.call(
            "POST",
            path,
            body=body,
            headers=headers,
            repeatable=repeatable,
            places_order=places_order,
            trace=trace,
            also=also,
        )

    def call(
        self,
        method: str,
        path: str,
        *,
        body: Any = None,
        form: Mapping[str, str] | None = None,
        params: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        repeatable: bool = False,
        places_order: bool = False,
        trace: Mapping[str, Any] | None = None,
        also: Collection[int] = (),
        cache_for: float | None = None,
        check: Callable[[JSONObject], object] | None = None,
    ) -> Reply:
        """One call. ``path`` is appended to the account's base URL, or is a whole URL.

        ``repeatable``: sending it twice has the same effect as once (a price calculation, or a call under an
        idempotency key that the provider honors). Reading always is.
        ``places_order``: it commits the provider to the order. It is not started with less than
        :data:`MIN_TIME_TO_PLACE` left, and sent again only if it provably had no effect, or is ``repeatable`` too.
        The same holds if the adapter calls it a second time.
        ``trace``: a small object, nothing personal, by which the adapter can find that order later. The names
        ``sent_to`` and ``sent_with`` in it are taken.
        ``also``: statuses in addition to 200 (and 201, unless it reads) that the provider documents as success of
        this call. Any other status in which ``error_from`` finds no refusal is a broken protocol.
        ``cache_for``: seconds for which a JSON answer is cached for the whole account, and then revalidated by its
        ETag; only for menus and catalogs. It needs ``check``, which reads the answer as its reader will, and raises
        a :class:`~levelup_ov.domain.failure.Failure` if it is unusable: such an answer is not cached.

        :raises levelup_ov.errors.Refused: the refusal that ``error_from`` found in the answer.
        :raises levelup_ov.errors.Unanswered: no answer, or no usable one.
        """
        request = self._prepare(method, path, body, form, params, headers)
        repeatable = repeatable or method in _READING
        if cache_for is None:
            self.freshness.until = 0.0
            if self._own is not None and method in _READING:
                # A look-up must not be answered from an intermediate cache.
                request.headers["Cache-Control"] = _FRESH
            return self._exchange(request, repeatable, places_order, trace, also)
        if check is None:
            raise TypeError("cache_for needs check: only an answer that was understood is kept")

        def fetch(etag: str) -> tuple[bytes | None, str]:
            if etag:
                request.headers["If-None-Match"] = etag
            else:
                request.headers.pop("If-None-Match", None)
            reply = self._exchange(request, repeatable, False, None, also)
            if reply.status == 304:
                return None, reply.headers.get("ETag", etag)
            reply.json()  # what cannot be read is not cached
            return reply.body, reply.headers.get("ETag", "")

        def read(body: bytes) -> object:
            return check(JSONObject(Reply(200, {}, body).json()))

        url = request.url or ""
        key = cache_key(self._account, self._headers, method, url, headers or {}, _bytes(request))
        kept = self._transport.cache.answer(key, cache_for, self.deadline, fetch, read, since=self._since)
        self.freshness.until = min(self.freshness.until, kept.fresh_until)
        return Reply(200, {}, kept.body)

    def _exchange(
        self,
        request: PreparedRequest,
        repeatable: bool,
        places_order: bool,
        trace: Mapping[str, Any] | None,
        also: Collection[int],
    ) -> Reply:
        """Send the request until there is an answer, or no chance of one."""
        host = urlsplit(request.url or "").hostname or ""
        breaker = self._transport.breaker(self._account, f"{host} {self._part}".strip())
        breaker.admit()
        placement, before = self.placement, self.placement.may_exist
        if places_order:
            if not (repeatable or placement.may_send_another):
                self._refuse_another(request)
            self._check_time_to_place()
        look = (lambda: self._look(trace)) if places_order else None
        attempt, sent = 1, False
        while True:
            exchange = SendState(self.deadline, own=self._own, last_look=look)
            try:
                with tracing.call(request.headers, method=request.method, host=host) as span:
                    reply = self._send(request, exchange, span)
                _check_fresh(reply, request)
                if places_order:
                    placement.begin()
                if (refusal := self._error_from(reply)) is None:
                    _check_status(reply, request, also)
            except Failure as failure:
                exchange.settle(keep=False)
                pause = None
                if isinstance(failure, Unanswered) and not exchange.held_back:
                    breaker.record(failure)
                    sent = sent or failure.sent
                    again = (repeatable or not failure.sent) and not breaker.is_open
                    pause = _pause(failure, attempt) if again else None
                if pause is None or self.deadline.remaining() - pause <= (MIN_TIME_TO_PLACE if places_order else 0):
                    # An earlier attempt may have arrived, whatever happened to this one.
                    if places_order and (exchange.held_back or isinstance(failure, Unanswered)):
                        placement.unanswered(before=before, sent=sent)
                    self._note_unanswered(request, sent)
                    if isinstance(failure, Unanswered) and failure.sent != sent:
                        raise failure.replace(sent=sent) from failure
                    raise
            except BaseException:
                exchange.settle(keep=False)
                if places_order and placement.may_exist:
                    placement.unanswered(before=before, sent=True)
                raise
            else:
                breaker.record(None)
                # The session's own connections are kept only after the expected answer.
                exchange.settle(keep=refusal is None or self._own is None, understood=True)
                if refusal is None:
                    return reply
                self._note_unanswered(request, sent)
                if places_order:
                    proof = placement.refused(before=before, sent=sent)
                else:
                    # An earlier attempt may still arrive; only where the call reads, that changes nothing.
                    proof = not placement.may_exist and (request.method in _READING or not sent)
                raise refusal.replace(proof=proof)
            net.sleep(pause)
            attempt += 1

    def _note_unanswered(self, request: PreparedRequest, sent: bool) -> None:
        """``sent``: whether any try of this call was sent, and not answered."""
        if sent and request.method not in _READING:
            self._doubt.exists = True

    def nothing_placed(self) -> None:
        """Called by an adapter that continues after a refused placing call, whose answer proved that no order exists.

        After an attempt that was sent and not answered, it proves nothing.
        """
        self.placement.nothing_placed()

    def _refuse_another(self, request: PreparedRequest) -> NoReturn:
        """The adapter sends the order again, although an earlier placing call may have placed it.

        :raises Unanswered: always; nothing is sent.
        """
        call = f"{request.method} {urlsplit(request.url or '').path}"
        log.error(
            "order_not_sent_again",
            extra={
                "account": self._account,
                "call": call,
                "remedy": "correct the adapter: it must let the failure of its placing call pass",
            },
        )
        raise Unanswered("outcome_unknown", f"{call} may have placed the order, so it is not sent again", sent=True)

    def _look(self, trace: Mapping[str, Any] | None) -> None:
        self.placement.look(trace)
        # The last look may have waited for the ledger, or the host may have been suspended.
        self._check_time_to_place()
        self.placement.begin()

    def _check_time_to_place(self) -> None:
        if self.deadline.remaining() < MIN_TIME_TO_PLACE:
            raise Unanswered("provider_timeout", "too little time was left to place the order", sent=False)

    def _prepare(
        self,
        method: str,
        path: str,
        body: Any,
        form: Mapping[str, str] | None,
        params: Mapping[str, str] | None,
        headers: Mapping[str, str] | None,
    ) -> PreparedRequest:
        # Built by hand: requests' own preparation merges cookies, hooks and environment, which do not belong here, and
        # costs more than the rest of a call.
        request = PreparedRequest()
        request.method = method
        request.url = path if path.startswith(("http://", "https://")) else self._base_url + path
        if params:
            request.url += "?" + urlencode(params)
        request.headers = CaseInsensitiveDict(
            {"Accept": "application/json", "Accept-Encoding": "identity", **self._headers}
        )
        if headers:
            request.headers.update(headers)
        if body is not None:
            request.body = orjson.dumps(body, default=_number)
            request.headers["Content-Type"] = "application/json"
        elif form is not None:
            request.body = urlencode(form).encode()
            request.headers["Content-Type"] = "application/x-www-form-urlencoded"
        if method != "GET":
            request.headers["Content-Length"] = str(len(_bytes(request)))
        return request

    def _send(self, request: PreparedRequest, exchange: SendState, span: Any) -> Reply:
        started = net.now()
        remaining = self.deadline.remaining()
        url = urlsplit(request.url or "")
        status: int | None = None
        reply: Reply | None = None
        failure: Failure | None = None
        token = current_exchange.set(exchange)
        try:
            if remaining <= 0:
                raise requests.ConnectTimeout
            response = self._transport.pool(self._account, url.hostname or "").send(
                request,
                stream=True,
                timeout=(min(CONNECT_TIMEOUT, remaining), remaining),
                proxies=self._transport.proxies,
            )
            status = response.status_code
            body = _read(response, self._transport.max_answer)
            reply = Reply(status, response.headers, body, decides=self._own is not None)
            return reply
        except Failure as error:
            failure = error
            raise
        except (requests.RequestException, HTTPError, OSError, ValueError) as error:
            failure = _classify(error, exchange, self.deadline)
            # Not chained: the text of the cause contains the URL with its query, keys included.
            raise failure from None
        finally:
            current_exchange.reset(token)
            call = Call(
                request.method or "",
                url.path,
                status,
                round((net.now() - started) * 1000),
                failure.code if failure else None,
                exchange.connected,
            )
            self.calls.append(call)
            tracing.describe_call(span, status, call.failure)
            if self._transport.watch is not None:
                self._transport.watch(self, call, request.url or "", _bytes(request), reply)


def _safe(failure: Failure, secrets: Sequence[Secret], personal: PersonalWords | Withheld | None) -> Failure:
    """``failure`` without secrets and what is ``personal``, also in what led to it.

    A traceback shows the whole chain. The same one if there are none.
    """
    chain: dict[int, BaseException] = {}
    rest: list[BaseException | None] = [failure]
    while rest:
        if (error := rest.pop()) is not None and id(error) not in chain:
            chain[id(error)] = error
            rest += error.__cause__, error.__context__
    copies = {key: _scrubbed(error, secrets, personal) for key, error in chain.items() if isinstance(error, Failure)}
    if all(repr(copy) == repr(chain[key]) for key, copy in copies.items()):
        return failure
    safe = {**chain, **copies}
    for key, error in chain.items():
        copy, suppressed = safe[key], error.__suppress_context__
        links = safe.get(id(error.__cause__)), safe.get(id(error.__context__))
        copy.__traceback__ = error.__traceback__
        copy.__cause__, copy.__context__ = links
        copy.__suppress_context__ = suppressed
    return copies[id(failure)]


def _scrubbed(failure: Failure, secrets: Sequence[Secret], personal: PersonalWords | Withheld | None) -> Failure:
    # A path that is not a path in an order comes from the provider.
    path = failure.path if failure.path and _OF_ORDER.fullmatch(failure.path) else None
    message = personal.message_of(failure) if personal else failure.message
    return failure.replace(message=scrub(message, secrets), path=path)


def _bytes(request: PreparedRequest) -> bytes:
    return request.body if isinstance(request.body, bytes) else b""


def _read(response: requests.Response, most: int) -> bytes:
    """The whole body, at most ``most`` bytes."""
    content = bytearray()
    raw = response.raw
    while chunk := raw.read(_CHUNK, decode_content=True):
        content += chunk
        if len(content) > most:
            raw.close()
            raise broken_protocol(f"the provider's answer is over {most} bytes")
    return bytes(content)


def _classify(error: Exception, exchange: SendState, deadline: Deadline) -> Unanswered:
    """The typed failure of an exchange.

    The same class is raised for a refused connection and for one dropped after the provider read the order; only the
    connection knows whether a byte went out. For an exception from elsewhere, only a failed connect proves that none
    did.
    """
    unsent = exchange.sent is False
    if exchange.sent is None:
        unsent = isinstance(error, requests.ConnectTimeout) or _is_connect_failure(error)
    if unsent:
        tls = isinstance(error, requests.exceptions.SSLError)
        what = "the provider's TLS certificate or handshake is not valid" if tls else "the provider cannot be reached"
        return Unanswered("provider_unavailable", what, sent=False)
    if isinstance(error, (requests.Timeout, TimeoutError)) or deadline.remaining() <= 0:
        return timed_out(sent=True)
    return Unanswered("provider_unavailable", "the connection to the provider broke before its answer", sent=True)


def _is_connect_failure(error: Exception) -> bool:
    cause = error.args[0] if error.args else None
    return isinstance(cause, MaxRetryError) and isinstance(cause.reason, NewConnectionError)


def _check_fresh(reply: Reply, request: PreparedRequest) -> None:
    """:raises Unanswered: a cache answered instead of the provider (RFC 9111, 5.1)."""
    if request.headers.get("Cache-Control") == _FRESH and reply.headers.get("Age", "0").strip() != "0":
        raise broken_protocol("a cache on the way has answered, not the provider (Age)")


def _check_status(reply: Reply, request: PreparedRequest, also: Collection[int]) -> None:
    """The meaning of a status in which the adapter finds no refusal."""
    if reply.status in _SUCCESS.get(request.method or "", _ACCEPTED) or reply.status in also:
        return
    if reply.status == 304 and "If-None-Match" in request.headers:
        return
    fault = "provider_unavailable" if reply.status >= 500 else "provider_protocol_error"
    code = _STATUSES.get(reply.status, fault)
    raise Unanswered(
        code,
        f"{_MESSAGES[code]} (status {reply.status})",
        sent=code not in _NOT_PROCESSED,
        status=reply.status,
        retry_after=_retry_after(reply.headers.get("Retry-After", "")),
    )


def _retry_after(value: str) -> float | None:
    """Seconds of a Retry-After header, in either of its forms; at most :data:`LONGEST_WAIT`."""
    if value.isascii() and value.isdigit():
        return min(float(value[:9]), LONGEST_WAIT)
    try:
        left = (parsedate_to_datetime(value) - datetime.now(timezone.utc)).total_seconds()
        return min(max(left, 0), LONGEST_WAIT)
    except (ValueError, TypeError, OverflowError):
        return None


def _pause(failure: Unanswered, attempt: int) -> float | None:
    """Seconds to wait before the next attempt; None if another attempt cannot help.

    Not urllib3's Retry, which knows neither the deadline nor whether anything was sent.
    """
    if failure.code not in _TRANSIENT or attempt >= ATTEMPTS:
        return None
    backoff = random.uniform(0.5, 1) * BACKOFF * 2 ** (attempt - 1)
    return max(backoff, failure.retry_after or 0)


def _number(value: Any) -> orjson.Fragment:
    """A Decimal as a JSON number, digit by digit: amounts never pass through a float."""
    if isinstance(value, Decimal) and value.is_finite():
        return orjson.Fragment(format(value, "f"))
    raise TypeError(f"{type(value).__name__} is not JSON")


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


class _TwoValues(ValueError):
    """An object has a member twice, with different values."""


def _members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) < len(pairs) and any(members[name] != value for name, value in pairs):
        raise _TwoValues
    return members


_JSON = json.JSONDecoder(parse_float=Decimal, parse_constant=_no_constant)
_EXACT_JSON = json.JSONDecoder(parse_float=Decimal, parse_constant=_no_constant, object_pairs_hook=_members)
