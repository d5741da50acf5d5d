"""Exchanges with a provider as data: observed, changed, recorded and played back.

A :class:`Tap` around any transport sees every request that an adapter sends and every answer that it gets, wherever
the provider runs. The contract suite uses it to inject faults, the recorder to write recordings.
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field
from decimal import Decimal
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, unquote, urlsplit

from requests.models import Response
from requests.structures import CaseInsensitiveDict
from urllib3.response import HTTPResponse

from levelup_ov.transport import net
from levelup_ov.transport.breaker import Breaker
from levelup_ov.transport.connections import current_exchange
from levelup_ov.transport.response_cache import MemoryStore, ResponseCache
from levelup_ov.transport.session import Reply, Session, Transport


class Answered(NamedTuple):
    """An answer of a provider."""

    status: int
    headers: Mapping[str, str]
    body: bytes


@dataclass(slots=True)
class Exchange:
    """One request as it was sent, and its result.

    ``places_order`` and ``repeatable``: what the adapter declared for the call. ``arrived``: whether the provider got
    it. ``answer``: what the adapter got; None for nothing. ``number`` identifies the call, the same for all its
    attempts; None if not counted.
    """

    method: str
    url: str
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    body: bytes = field(default=b"", repr=False)
    places_order: bool = False
    repeatable: bool = False
    arrived: bool = False
    number: int | None = None
    answer: Answered | None = field(default=None, repr=False)

    @property
    def path(self) -> str:
        """The decoded path of the URL."""
        return unquote(urlsplit(self.url).path)

    @property
    def kind(self) -> tuple[str, int, bool]:
        """The constant part of a call whose path contains changing ids."""
        return self.method, self.path.count("/"), self.places_order

    def values(self) -> list[str]:
        """Every value that was sent: parts of the URL, of its query, and of a JSON or form body.

        Numbers are written as in the body.
        """
        url = urlsplit(self.url)
        query = [value for _, value in parse_qsl(url.query)]
        return [*filter(None, map(unquote, url.path.split("/"))), *query, *self._body_values()]

    def _body_values(self) -> Iterator[str]:
        text = self.body.decode("utf-8", "replace")
        try:
            yield from leaves(json.loads(text, parse_float=Decimal))
        except ValueError:
            form = parse_qsl(text)
            yield from (value for _, value in form) if form else [text] * bool(text)


def leaves(value: Any) -> Iterator[str]:
    """The leaf values of a JSON value, as strings."""
    if isinstance(value, Mapping):
        for member in value.values():
            yield from leaves(member)
    elif isinstance(value, list):
        for member in value:
            yield from leaves(member)
    elif isinstance(value, (str, int, Decimal)):
        yield str(value).lower() if isinstance(value, bool) else str(value)


Forward = Callable[[], Answered]
Fault = Callable[[Exchange, Forward], Answered]
"""What happens to an exchange instead of :data:`Forward`, which asks the provider. May raise :class:`OSError`."""


class _Intent(NamedTuple):
    places_order: bool = False
    repeatable: bool = False
    number: int | None = None


_numbers = count()
_intent: ContextVar[_Intent] = ContextVar("intent", default=_Intent())  # noqa: B039 - it is a tuple


class TappedSession(Session):
    """A session that passes to a :class:`Tap` what the adapter declares for its calls.

    ``also``: statuses that it named as documented successes. ``held_back``: the placing calls that were not sent,
    because an earlier one may have placed the order.
    """

    also: frozenset[int] = frozenset()

    def __init__(self, *parts: Any, **members: Any) -> None:
        super().__init__(*parts, **members)
        self.held_back: list[str] = []

    def call(self, method: str, path: str, **how: Any) -> Reply:
        if how.get("places_order") and not (how.get("repeatable") or self.placement.may_send_another):
            self.held_back.append(f"{method} {path}")
        self.also |= frozenset(how.get("also", ()))
        intent = _Intent(how.get("places_order", False), how.get("repeatable", False), next(_numbers))
        token = _intent.set(intent)
        try:
            return super().call(method, path, **how)
        finally:
            _intent.reset(token)


class Tap(Transport):
    """Observes another transport. Call :meth:`begin` before each use; sessions must be :class:`TappedSession`."""

    def __init__(self, inner: Transport) -> None:
        super().__init__(pool_size=1)
        self.proxies = inner.proxies
        self._inner = inner
        self.begin()

    def begin(self, fault: Fault | None = None) -> list[Exchange]:
        """Forget everything seen and cached; returns the list of exchanges, which fills as they happen."""
        self.exchanges: list[Exchange] = []
        self.fault = fault
        self.cache = ResponseCache(MemoryStore())
        self._closed = Breaker()
        return self.exchanges

    def breaker(self, account: str, host: str) -> Breaker:
        return self._closed

    def pool(self, account: str, host: str) -> Any:
        return _TappedPool(self, lambda: self._inner.pool(account, host))


class _TappedPool:
    """Replaces requests' own adapter."""

    def __init__(self, tap: Tap, inner: Callable[[], Any]) -> None:
        self._tap = tap
        self._inner = inner

    def send(self, request: Any, **how: Any) -> Response:
        body = request.body if isinstance(request.body, bytes) else b""
        exchange = Exchange(request.method, request.url, dict(request.headers), body, **_intent.get()._asdict())
        self._tap.exchanges.append(exchange)

        def forward() -> Answered:
            exchange.arrived = True
            response = self._inner().send(request, **how)
            return Answered(response.status_code, response.headers, response.raw.read(decode_content=True))

        if self._tap.fault is not None and self._tap.fault is not unreachable:
            # A fault may answer for the provider, which then never sees the request.
            current_exchange.get().look()
        exchange.answer = self._tap.fault(exchange, forward) if self._tap.fault else forward()
        return response_of(exchange.answer)


def response_of(answer: Answered) -> Response:
    """An answer in the form that the transport reads."""
    response = Response()
    response.status_code, response.headers = answer.status, CaseInsensitiveDict(answer.headers)
    response.raw = HTTPResponse(io.BytesIO(answer.body), status=answer.status, preload_content=False)
    return response


def unreachable(exchange: Exchange, forward: Forward) -> Answered:
    """A fault: the connection is refused, nothing goes out."""
    current_exchange.get().sent = False
    raise ConnectionRefusedError


def lost(exchange: Exchange, forward: Forward) -> Answered:
    """A fault: the provider gets and executes the request, but its answer is lost."""
    forward()
    current_exchange.get().sent = True
    raise ConnectionResetError


def silent(exchange: Exchange, forward: Forward) -> Answered:
    """A fault: no answer, or one so slow that the deadline passes before its end."""
    watched = current_exchange.get()
    watched.sent = True
    net.sleep(max(watched.deadline.remaining(), 0))
    raise TimeoutError


class Player:
    """Answers requests from recorded exchanges, each once and in order; the last of a kind is repeated.

    Exchanges of the same kind have the same method and path, or else the same method and length of path, because the
    caller may generate ids. All attempts of a call get the same answer. As a :data:`Fault` it never asks the provider.
    """

    def __init__(self, recorded: Sequence[Exchange]) -> None:
        self._recorded = [exchange for exchange in recorded if exchange.answer is not None]
        self._played: set[int] = set()
        self._calls: dict[int, int] = {}

    def __call__(self, exchange: Exchange, forward: Forward) -> Answered:
        """:raises OSError: nothing recorded is like the request."""
        for alike in (_same_path, _same_length):
            found = [place for place, other in enumerate(self._recorded) if alike(exchange, other)]
            if found:
                place = next((place for place in found if place not in self._played), found[-1])
                if exchange.number is not None:
                    place = self._calls.setdefault(exchange.number, place)
                self._played.add(place)
                current_exchange.get().look()
                current_exchange.get().sent = True
                answer = self._recorded[place].answer
                assert answer is not None
                return answer
        return unreachable(exchange, forward)


def _same_path(one: Exchange, other: Exchange) -> bool:
    return (one.method, one.path) == (other.method, other.path)


def _same_length(one: Exchange, other: Exchange) -> bool:
    return (one.method, one.path.count("/")) == (other.method, other.path.count("/"))


RECORDED_REFERENCE = "5b3e8f0a-recorded-reference"
"""The reference of an order in recordings, which replaces the original one."""


class Playback(Transport):
    """Replaces a provider with the recordings in ``directory``, the files in the order of their names.

    It answers the same for every order.
    """

    def __init__(self, directory: Path) -> None:
        super().__init__(pool_size=1)
        self.exchanges = [each for path in sorted(directory.glob("*.json")) for each in read_recording(path)]
        self._player = Player(self.exchanges)

    def pool(self, account: str, host: str) -> Any:
        return self

    def send(self, request: Any, **how: Any) -> Response:
        """The recorded answer to a request."""
        return response_of(self._player(Exchange(request.method, request.url), _nobody))


def _nobody() -> Answered:
    raise AssertionError("a recording asks nobody")


def read_recording(path: Path) -> list[Exchange]:
    """The exchanges of one file, as :func:`write_recording` wrote them."""
    exchanges = []
    for each in json.loads(path.read_text(encoding="utf-8"))["exchanges"]:
        request, answer = each["request"], each["answer"]
        answered = Answered(answer["status"], answer["headers"], _as_bytes(answer["body"])) if answer else None
        headers, body = request["headers"], _as_bytes(request["body"])
        exchanges.append(
            Exchange(request["method"], request["url"], headers, body, request["places_order"], answer=answered)
        )
    return exchanges


def _as_bytes(body: Any) -> bytes:
    return b"" if body is None else json.dumps(body, ensure_ascii=False).encode()
