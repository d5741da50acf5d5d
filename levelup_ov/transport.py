"""Calls to providers: the one way out of the service.

Each account has a pool of its own. Nothing is taken from the environment (no proxies, no ``.netrc``),
no cookie is kept, no redirect followed, every answer is bounded in time and size, and every way to fail
is an :class:`~levelup_ov.errors.Unanswered` that says whether anything was sent.
"""

from __future__ import annotations

import json
import random
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any
from urllib.parse import urlencode, urlsplit

import orjson
import requests
from requests.adapters import BaseAdapter
from requests.models import PreparedRequest
from requests.structures import CaseInsensitiveDict
from urllib3.exceptions import HTTPError, MaxRetryError, NewConnectionError

from levelup_ov.answer import Answer
from levelup_ov.connections import DeadlineAdapter, Exchange, current_exchange, tls_context
from levelup_ov.deadline import Deadline
from levelup_ov.errors import Refused, Unanswered, broken_protocol
from levelup_ov.in_process import InProcessAdapter, WSGIApplication

CONNECT_TIMEOUT = 3.05
"""Seconds for a TCP and TLS connection; just above a multiple of TCP's 3 s retransmission."""
MAX_ANSWER = 16 * 1024 * 1024
"""Bytes of the largest answer that is read, decoded; a big catalogue has a few MiB."""
HEARING_TIME = 2.0
"""Seconds that must be left when an order is placed, so that the answer can still be heard."""
ATTEMPTS = 3
"""How often a call that is safe to repeat is sent at the most."""
BACKOFF = 0.2
"""Seconds of the first pause between attempts; it doubles, and a random part of it is waited."""

_CHUNK = 65536
_READING = ("GET", "HEAD")


@dataclass(frozen=True, slots=True)
class Reply:
    """A provider's answer, whatever its status."""

    status: int
    headers: Mapping[str, str]
    body: bytes = field(repr=False)

    @property
    def ok(self) -> bool:
        """Whether the status is 2xx."""
        return 200 <= self.status < 300

    def json(self) -> Any:
        """The body as JSON; numbers with a point are :class:`~decimal.Decimal`.

        :raises levelup_ov.errors.Unanswered: ``provider_protocol_error``: it is no JSON.
        """
        try:
            return json.loads(self.body, parse_float=Decimal, parse_constant=_no_constant)
        except (ValueError, RecursionError):
            raise broken_protocol("the provider's answer is not JSON") from None

    def answer(self) -> Answer:
        """The body as a JSON object, for reading member by member."""
        return Answer(self.json()).checked()


@dataclass(frozen=True, slots=True)
class Call:
    """What is logged about one provider call. ``milliseconds`` is its duration."""

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
    ``proxy``: address of a proxy that all provider traffic goes through, if any.
    """

    def __init__(
        self,
        *,
        pool_size: int,
        in_process: Mapping[str, WSGIApplication] | None = None,
        proxy: str | None = None,
    ) -> None:
        self._pool_size = pool_size
        self._in_process = {host: InProcessAdapter(app) for host, app in (in_process or {}).items()}
        self.proxies = {"http": proxy, "https": proxy} if proxy else {}
        self._tls = tls_context()
        self._pools: dict[str, DeadlineAdapter] = {}
        self._lock = threading.Lock()

    def pool(self, account: str, host: str) -> BaseAdapter:
        """The account's own connections."""
        if host in self._in_process:
            return self._in_process[host]
        if (pool := self._pools.get(account)) is None:
            with self._lock:
                pool = self._pools.setdefault(account, DeadlineAdapter(self._tls, self._pool_size))
        return pool


class Session:
    """The calls of one request to one account's provider, all within one deadline.

    ``calls`` lists them. ``placing`` turns true when the call that places the order begins;
    ``before_placing`` is called just before.
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
        before_placing: Callable[[], None] | None = None,
    ) -> None:
        self._transport = transport
        self._account = account
        self._base_url = base_url
        self._headers = headers
        self._error_from = error_from
        self._before_placing = before_placing
        self.deadline = deadline
        self.calls: list[Call] = []
        self.placing = False

    def get(
        self, path: str, *, params: Mapping[str, str] | None = None, headers: Mapping[str, str] | None = None
    ) -> Reply:
        """Read something; sent again on failure while time is left."""
        return self.call("GET", path, params=params, headers=headers)

    def post(
        self,
        path: str,
        body: Any = None,
        *,
        headers: Mapping[str, str] | None = None,
        repeatable: bool = False,
        places_order: bool = False,
    ) -> Reply:
        """Send ``body`` as JSON. ``repeatable`` and ``places_order`` as in :meth:`call`."""
        return self.call("POST", path, body=body, headers=headers, repeatable=repeatable, places_order=places_order)

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
    ) -> Reply:
        """One call. ``path`` is appended to the account's base URL, or is a whole URL.

        ``repeatable``: sending it twice does what sending it once does (a price calculation, or a call
        under an idempotency key that the provider honours). Reading always is.
        ``places_order``: it commits the provider to the order. It is not begun with less than
        :data:`HEARING_TIME` left, and never sent again unless ``repeatable`` says so too.

        :raises levelup_ov.errors.Refused: what ``error_from`` made of the answer.
        :raises levelup_ov.errors.Unanswered: no answer, or none that can be used.
        """
        if places_order:
            if self.deadline.remaining() < HEARING_TIME:
                raise Unanswered("provider_timeout", "too little time was left to place the order", sent=False)
            if self._before_placing is not None:
                self._before_placing()
            self.placing = True
        request = self._prepare(method, path, body, form, params, headers)
        attempt = 1
        while True:
            try:
                reply = self._send(request)
                if (refusal := self._error_from(reply)) is not None:
                    raise refusal
                _check_status(reply)
                return reply
            except Unanswered as failure:
                again = not failure.sent or repeatable or method in _READING
                pause = _pause(failure, attempt) if again and attempt < ATTEMPTS else None
                if pause is None or self.deadline.remaining() <= pause:
                    raise
            time.sleep(pause)
            attempt += 1

    def _prepare(
        self,
        method: str,
        path: str,
        body: Any,
        form: Mapping[str, str] | None,
        params: Mapping[str, str] | None,
        headers: Mapping[str, str] | None,
    ) -> PreparedRequest:
        # Built by hand: requests' own preparation merges cookies, hooks and environment, none of
        # which belong here, and costs more than all the rest of a call.
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
            request.body = orjson.dumps(body)
            request.headers["Content-Type"] = "application/json"
        elif form is not None:
            request.body = urlencode(form).encode()
            request.headers["Content-Type"] = "application/x-www-form-urlencoded"
        if method != "GET":
            request.headers["Content-Length"] = str(len(request.body or b""))
        return request

    def _send(self, request: PreparedRequest) -> Reply:
        started = time.monotonic()
        remaining = self.deadline.remaining()
        url = urlsplit(request.url or "")
        exchange = Exchange(self.deadline)
        status: int | None = None
        failure: Unanswered | None = None
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
            return Reply(status, response.headers, _read(response))
        except Unanswered as error:
            failure = error
            raise
        except (requests.RequestException, HTTPError, OSError, ValueError) as error:
            failure = _classify(error, exchange, self.deadline)
            # Not chained: the text of the cause holds the address with its query, keys included.
            raise failure from None
        finally:
            current_exchange.reset(token)
            self.calls.append(
                Call(
                    request.method or "",
                    url.path,
                    status,
                    round((time.monotonic() - started) * 1000),
                    failure.code if failure else None,
                    exchange.connected,
                )
            )


def _read(response: requests.Response) -> bytes:
    """The whole body, at most :data:`MAX_ANSWER` bytes."""
    content = bytearray()
    raw = response.raw
    while chunk := raw.read(_CHUNK, decode_content=True):
        content += chunk
        if len(content) > MAX_ANSWER:
            raw.close()
            raise broken_protocol(f"the provider's answer is over {MAX_ANSWER} bytes")
    return bytes(content)


def _classify(error: Exception, exchange: Exchange, deadline: Deadline) -> Unanswered:
    """The typed failure of an exchange.

    One class is raised for a refused connection and for one dropped after the provider read the order;
    only the connection knows whether a byte went out. For an exception that comes from elsewhere,
    nothing but a failed connect proves that none did.
    """
    unsent = not exchange.sent and (isinstance(error, requests.ConnectTimeout) or _is_connect_failure(error))
    timed_out = isinstance(error, (requests.Timeout, TimeoutError)) or deadline.remaining() <= 0
    if timed_out and not unsent:
        return Unanswered("provider_timeout", "the provider gave no answer within the deadline", sent=True)
    if unsent:
        return Unanswered("provider_unavailable", "the provider cannot be reached", sent=False)
    if isinstance(error, requests.exceptions.SSLError) and not exchange.sent:
        return Unanswered(
            "provider_unavailable", "the provider's TLS certificate or handshake is not valid", sent=False
        )
    return Unanswered("provider_unavailable", "the connection to the provider broke before its answer", sent=True)


def _is_connect_failure(error: Exception) -> bool:
    cause = error.args[0] if error.args else None
    return isinstance(cause, MaxRetryError) and isinstance(cause.reason, NewConnectionError)


def _check_status(reply: Reply) -> None:
    """What a status means where the adapter reads no refusal in it."""
    status = reply.status
    if reply.ok:
        return
    code, message = "provider_protocol_error", f"the provider answered with status {status}"
    if status in (401, 403):
        code, message = (
            "provider_credentials_refused",
            f"the provider refuses the account's credentials (status {status})",
        )
    elif status == 429:
        code, message = "rate_limited", "the provider answers that it gets too many requests"
    elif status in (408, 504):
        code, message = "provider_timeout", f"the provider reports a time-out of its own (status {status})"
    elif status >= 500:
        code, message = "provider_unavailable", f"the provider reports a fault of its own (status {status})"
    raise Unanswered(code, message, sent=True, status=status, retry_after=_retry_after(reply))


def _retry_after(reply: Reply) -> float | None:
    """Seconds of a Retry-After header in its numeric form."""
    value = reply.headers.get("Retry-After", "")
    return float(value) if value.isascii() and value.isdigit() else None


def _pause(failure: Unanswered, attempt: int) -> float | None:
    """Seconds to wait before the next attempt; None where another attempt cannot help."""
    if failure.code not in ("provider_unavailable", "rate_limited", "provider_timeout"):
        return None
    if failure.retry_after is not None:
        return failure.retry_after
    return random.uniform(0.5, 1) * BACKOFF * 2 ** (attempt - 1)


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON")
