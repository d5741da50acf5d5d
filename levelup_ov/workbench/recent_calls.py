"""The provider calls of the latest requests, redacted, for the page that shows the way of an order."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any
from urllib.parse import urlsplit

import orjson

from levelup_ov.ordering.request_context import RequestContext
from levelup_ov.redaction import scrub
from levelup_ov.transport.session import Call, Reply, Session
from levelup_ov.workbench.shared_memory import Shelf

LONGEST = 512 * 1024
"""Bytes of a body that is redacted and shown; a secret may be anywhere, so it is never cut before that."""
SHOWN = (24_000, 4_000, 500)
"""Characters of a body that are shown; the next smaller number is tried when there are too many calls."""
PLACES, ROOM = 64, 256 * 1024


@dataclass(frozen=True, slots=True)
class _SeenCall:
    session: Session
    call: Call
    url: str
    sent: bytes
    reply: Reply | None


class CallRecorder:
    """Watches the calls of requests that are open, and keeps them when they end.

    ``public``: values of secret settings that everybody knows, such as the sandbox's default; they are shown.
    """

    def __init__(self, public: Collection[str] = ()) -> None:
        self._public = frozenset(public)
        self._shelf = Shelf(PLACES, ROOM)
        self._open: dict[int, list[_SeenCall]] = {}

    def begin(self, context: RequestContext) -> None:
        """Record the calls of this request."""
        self._open[id(context.calls)] = []

    def watch(self, session: Session, call: Call, url: str, sent: bytes, reply: Reply | None) -> None:
        """:attr:`levelup_ov.transport.session.Transport.watch`."""
        if (seen := self._open.get(id(session.calls))) is not None:
            seen.append(_SeenCall(session, call, url, sent, reply))

    def end(self, context: RequestContext, request_id: str) -> None:
        """Keep what was recorded under ``request_id``, without secrets."""
        seen = self._open.pop(id(context.calls), None)
        if seen is None:
            return
        calls = [self._shown(each) for each in seen]
        for limit in SHOWN:
            if self._shelf.put(request_id, [{**call, **_cut(call, limit)} for call in calls]):
                return

    def calls(self, request_id: str) -> Sequence[Any] | None:
        """The calls of a request, in order; None if they are gone, or never were there."""
        found: Sequence[Any] | None = self._shelf.get(request_id)
        return found

    def _shown(self, seen: _SeenCall) -> dict[str, Any]:
        secrets = [secret for secret in seen.session.all_secrets() if secret.reveal() not in self._public]

        def shown(body: bytes) -> str:
            if len(body) > LONGEST:
                return f"({len(body)} bytes)"
            return _indented(scrub(body.decode("utf-8", "replace"), secrets))

        url = urlsplit(seen.url)
        return {
            "method": seen.call.method,
            "host": scrub(url.netloc, secrets),
            "path": scrub(url.path + (f"?{url.query}" if url.query else ""), secrets),
            "status": seen.call.status,
            "milliseconds": seen.call.milliseconds,
            "failure": seen.call.failure,
            "request": shown(seen.sent),
            "response": shown(seen.reply.body) if seen.reply else "",
        }


def _indented(text: str) -> str:
    """JSON over several lines, its numbers as they were written; anything else as it is."""
    try:
        value = json.loads(text, parse_float=Decimal)
        return orjson.dumps(value, default=_number, option=orjson.OPT_INDENT_2).decode()
    except (ValueError, TypeError, RecursionError):
        return text


def _number(value: Decimal) -> orjson.Fragment:
    return orjson.Fragment(str(value))


def _cut(call: dict[str, Any], limit: int) -> dict[str, str]:
    return {
        name: f"{text[:limit]}\n(and {len(text) - limit} more characters)"
        for name in ("request", "response")
        if len(text := call[name]) > limit
    }
