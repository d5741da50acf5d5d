"""The two ways in which UCP says no, and how an error of the service becomes one of them.

A *protocol error* has an HTTP status and a body of ``code`` and ``content``. A *business outcome* is an ordinary answer
with ``messages``; if there is no session to show, its ``ucp.status`` is ``error``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from levelup_ov.domain.failure import Failure
from levelup_ov.errors import KINDS
from levelup_ov.redaction import clean

Severity = Literal["recoverable", "requires_buyer_input", "requires_buyer_review", "unrecoverable"]


@dataclass(frozen=True, slots=True)
class Message:
    """An entry of ``messages``; ``path`` is a JSONPath into the answer or the request, empty for none."""

    type: Literal["error", "warning", "info"]
    code: str
    content: str
    path: str = ""
    severity: Severity = "recoverable"

    def wire(self) -> dict[str, Any]:
        """Its JSON; only errors have a severity."""
        members = {"type": self.type, "code": self.code, "content": clean(self.content)}
        if self.path:
            members["path"] = clean(self.path)
        if self.type == "error":
            members["severity"] = self.severity
        return members


class Rejected(Exception):
    """A protocol error: REST answers ``status`` with ``code`` and ``content``, MCP an error of JSON-RPC.

    ``path``: the JSONPath of the offending member, where there is one. ``retry_after``: seconds.
    """

    def __init__(
        self, code: str, content: str, status: int, *, path: str | None = None, retry_after: float | None = None
    ) -> None:
        super().__init__(code)
        self.code = code
        self.content = content
        self.status = status
        self.path = path
        self.retry_after = retry_after

    def __str__(self) -> str:
        return self.content

    def body(self) -> dict[str, Any]:
        """The body of the answer: what UCP documents, and the same as a message, which has a place for the path."""
        message = Message("error", self.code, self.content, self.path or "").wire()
        return {"code": self.code, "content": message["content"], "messages": [message]}


class BusinessOutcome(Exception):
    """A business outcome without a resource: ``ucp.status`` is ``error``. REST answers 200, MCP a result."""

    def __init__(self, *messages: Message) -> None:
        super().__init__(messages[0].code)
        self.messages = messages


def outcome(code: str, content: str, path: str = "") -> BusinessOutcome:
    """The outcome of one error after which there is nothing to act on."""
    return BusinessOutcome(Message("error", code, content, path, "unrecoverable"))


STANDARD: Mapping[str, str] = {
    "item_unavailable": "out_of_stock",
    "unknown_item": "item_unavailable",
    "address_not_served": "address_undeliverable",
    "order_minimum_not_reached": "minimum_order_unmet",
    "card_declined": "payment_failed",
    "tender_not_accepted": "payment_failed",
    "not_connected": "payment_failed",
    "connection_not_found": "payment_failed",
    "discount_too_large": "payment_failed",
    "user_token_refused": "payment_failed",
    "merchant_token_refused": "payment_failed",
    "levelup_refused": "payment_failed",
}
"""Our codes for which UCP has a standard one; the others keep their name."""

_RENAMED: Mapping[str, str] = {"invalid_member": "invalid_request", "bad_request": "invalid_request"}


_RULE = re.compile(r" \((?:[^()]*, )?(?:DELIVERY|EP|ERR|EVT|ITEM|LOC|MENU|META|MONEY|PAY|STAT|SUB|TIME|UCP|WEB)-\d+\)")
_OUR_WORD = re.compile(r"\b([Tt]his|[Tt]he) location\b")


def plain(words: str) -> str:
    """A message in the words of an agent: without the numbers of our rules, and with UCP's establishments."""
    return _OUR_WORD.sub(r"\1 establishment", _RULE.sub("", words))


def rejected(failure: Failure) -> Rejected:
    """The protocol error of a failure that leaves no session to show.

    UCP documents 400, 401, 403, 409, 429, 500 and 503; its 422 and 424 are about profiles.
    """
    code, status = failure.code, KINDS[failure.code].status
    if code == "idempotency_key_reused":
        status = 409
    elif status in (404, 422):
        status = 400
    elif status > 500:
        status = 503
    return Rejected(
        _RENAMED.get(code, code), plain(failure.message), status, path=failure.path, retry_after=failure.retry_after
    )
