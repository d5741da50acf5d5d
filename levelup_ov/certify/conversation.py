"""Sends requests, and checks every answer against the rules for all answers."""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pytz.tzinfo import BaseTzInfo

from levelup_ov.certify.client import Client, RoundTrip
from levelup_ov.certify.contract import table
from levelup_ov.certify.report import Report
from levelup_ov.certify.shapes import MISSING, flaws, is_integer, is_time
from levelup_ov.domain import ready_time
from levelup_ov.domain.money import is_cents
from levelup_ov.domain.secret import Secret
from levelup_ov.errors import KINDS

TEST_CARD = Secret("4111111111111111")
"""The card schemes' own test number."""

_ROOTS = {"order_validation": "validation", "order_submission": "submission"}
_SHORTEST_SECRET = 12
"""Characters; a shorter key may occur in answers by chance."""
_PATIENCE = {"order_validation": (15, 14), "order_submission": (90, 25)}
"""How many seconds the channel waits; this project's services answer within them (SUB-6)."""
_MONEY_RULES = {
    "tax": "MONEY-2", "provider_funded_discount": "MONEY-6", "merchant_funded_discount": "MONEY-5",
}  # fmt: skip
_STACK = re.compile(rb'Traceback \(most recent call last\)|File \\?"[^"]+\\?", line \d|\bat [\w.$]+\([\w.]+:\d+\)')
_LINE = re.compile(r"\$\.items\[(\d+)\]\.item(?:\.options\[(\d+)\]\.option)?")
_CODE = re.compile(r"[a-z]+(_[a-z]+)*")
_UPSELL = re.compile(r"up_?sell|cross_?sell|recommend", re.IGNORECASE)
_ERROR_TYPES = frozenset(kind.type for kind in KINDS.values())
_LETTERS = str.maketrans("0123456789", "ghijklmnop")


class Conversation:
    """The channel, talking to the service through ``client`` and writing to ``report``.

    ``zone`` is the zone of the location being checked, if known.
    """

    def __init__(self, client: Client, report: Report, key: Secret) -> None:
        self.client = client
        self.report = report
        self.secrets = (key.reveal(), TEST_CARD.reveal())
        self.user = {
            "first_name": "Certification", "last_name": "Test", "phone": "617-555-0142",
            "email": f"{fresh('certify')}@example.com",
        }  # fmt: skip
        """A new one for every run, so that earlier runs do not interfere."""
        self.zone: BaseTzInfo | None = None

    def get(self, path: str, **headers: str) -> RoundTrip:
        """Send a GET."""
        return self.held(self.client.send("GET", path, headers=headers))

    def order(
        self, location: str, root: str, members: Any, *, key: str | None = None, replaced: Mapping[str, str] = {}
    ) -> RoundTrip:
        """Send an order to the endpoint of ``root``, wrapped in that member.

        ``key``: the Idempotency-Key. ``replaced``: JSON strings that become raw text, to write what JSON libraries
        do not.
        """
        body = json.dumps({root: members})
        for placeholder, raw in replaced.items():
            body = body.replace(json.dumps(placeholder), raw)
        return self.raw(location, root, body.encode(), {"Idempotency-Key": key} if key is not None else {})

    def at_once(self, location: str, root: str, orders: Sequence[Any]) -> list[RoundTrip]:
        """Send several orders at the same time."""
        bodies = [json.dumps({root: members}).encode() for members in orders]
        return [self.held(answer, root) for answer in self.client.together(f"/locations/{location}/{root}s", bodies)]

    def raw(self, location: str, root: str, body: bytes, headers: Mapping[str, str] = {}) -> RoundTrip:
        """Send a body unchanged."""
        return self.held(self.client.send("POST", f"/locations/{location}/{root}s", body, headers), root)

    def held(self, exchange: RoundTrip, root: str | None = None) -> RoundTrip:
        """Check the answer against the rules for all answers; returns ``exchange``."""
        if exchange.failure:
            return exchange
        self._no_secrets(exchange)
        title = "no answer is a fault of the service"
        self.report.expect("ERR-3", title, exchange.status not in (500, 501, 505), exchange)
        if exchange.status >= 400:
            self._error(exchange)
            if root is not None and exchange.error.get("code") == "item_unavailable":
                self._sold_out(exchange, root)
        elif root is not None:
            self._answer(exchange, root)
        return exchange

    def _no_secrets(self, exchange: RoundTrip) -> None:
        title = "no answer contains the API key or a card number"
        leaked = any(secret.encode() in exchange.content for secret in self.secrets if len(secret) >= _SHORTEST_SECRET)
        self.report.expect("ERR-4", title, not leaked, exchange, "the answer contains a secret of the request")
        if exchange.status >= 400:
            title = "no error contains a stack trace"
            self.report.expect(
                "ERR-4", title, not _STACK.search(exchange.content), exchange, "it contains a stack trace"
            )

    def _error(self, exchange: RoundTrip) -> None:
        report, error = self.report, exchange.error
        message = error.get("message")
        sound = isinstance(error.get("type"), str) and isinstance(message, str) and bool(message.strip())
        title = "an error is one object with type and message"
        if not report.expect("ERR-1", title, sound, exchange, 'expected {"error": {"type": "...", "message": "..."}}'):
            return
        wrong = [
            name
            for name, right in (
                ("code", isinstance(error.get("code"), str) and bool(_CODE.fullmatch(error["code"]))),
                ("path", "path" in error and (error["path"] is None or str(error["path"]).startswith("$"))),
                ("retryable", isinstance(error.get("retryable"), bool)),
                ("request_id", isinstance(error.get("request_id"), str)),
            )
            if not right
        ]
        title = "an error has code, path, retryable and request_id"
        words = f"missing or malformed: {', '.join(wrong)}"
        if report.expect("ERR-1", title, not wrong, exchange, words, decision=True):
            title = "an error names the request id of its header"
            same = error["request_id"] == exchange.headers.get("x-request-id")
            report.expect("ERR-1", title, same, exchange, "X-Request-ID is different", decision=True)
        words = f"type is {error['type']!r}"
        report.expect(
            "ERR-2", "an error is one of three types", error["type"] in _ERROR_TYPES, exchange, words, decision=True
        )
        if not isinstance(error.get("code"), str):
            return
        title = "code, status, type and retryable match the table"
        kind = KINDS.get(error["code"])
        given = (exchange.status, error["type"], error.get("retryable"))
        words = f"{error['code']!r} is not in the table"
        if kind is not None:
            expected = (kind.status, kind.type, kind.retryable)
            words = f"{error['code']} means {expected}, not {given}"
        right = kind is not None and given == (kind.status, kind.type, kind.retryable)
        report.expect("ERR-3", title, right, exchange, words, decision=True)

    def _answer(self, exchange: RoundTrip, root: str) -> None:
        report = self.report
        for seconds, decision in zip(_PATIENCE[root], (False, True)):
            title = f"{root} is answered within {seconds} seconds"
            words = f"it took {exchange.seconds:.1f} s"
            report.expect("SUB-6", title, exchange.seconds <= seconds, exchange, words, decision=decision)
        title = "a success is 200, or 201 for a submission"
        report.expect("EP-11", title, exchange.status == 200 or root == "order_submission", exchange)
        title = f"the answer is wrapped in {root}"
        wrapped = isinstance(exchange.json, dict) and list(exchange.json) == [root]
        report.expect("EP-10", title, wrapped, exchange, "it is not", decision=True)
        answer = members(exchange)
        self._shape(exchange, answer, root)
        title = "no answer contains upsells"
        offers = [name for name in _names(answer) if _UPSELL.search(name)]
        report.expect("ITEM-10", title, not offers, exchange, f"it has {', '.join(offers)}")
        self._metadata(exchange, answer.get("metadata"))
        if root == "order_validation":
            self._times(exchange, answer)
            self._sums(exchange, answer)

    def _sold_out(self, exchange: RoundTrip, root: str) -> None:
        """What the service knows to be sold out has its path; a provider's own refusal may have none (MENU-7)."""
        path = exchange.error.get("path")
        sent = json.loads(exchange.body or b"{}").get(root, {}).get("items", ())
        title = "what is sold out is named by the path of its item or option"
        if path is None:
            self.report.not_applicable("MENU-8", title, "no refusal names the item or option")
            return
        found = _LINE.fullmatch(str(path).replace(f"$.{root}.", "$.", 1))
        sound = found is not None and int(found[1]) < len(sent)
        if sound and found is not None and found[2] is not None:
            sound = int(found[2]) < len(sent[int(found[1])]["item"].get("options") or ())
        self.report.expect("MENU-8", title, sound, exchange, f"path is {path!r}", decision=True)

    def _shape(self, exchange: RoundTrip, answer: Mapping[str, Any], root: str) -> None:
        own = {"order_validation": "EP-11", "order_submission": "SUB-1"}[root]
        found = {flaw.member: flaw for flaw in flaws(table(_ROOTS[root]), dict(answer))}
        for member, kind in table(_ROOTS[root]).items():
            flaw = found.get(member)
            # Neither document of the order submission mentions its metadata.
            decision = root == "order_submission" and member == "metadata"
            there = flaw is None or not flaw.missing
            report = self.report
            report.expect(own, f"{member} is always there", there, exchange, str(flaw), decision=decision)
            if there:
                rule = own
                if "cents" in kind:
                    rule = _MONEY_RULES.get(member, "MONEY-1")
                    if flaw is not None and is_cents(answer[member]) is False:
                        rule = "MONEY-1"
                elif "time" in kind:
                    rule = "TIME-1"
                report.expect(rule, f"{member}: {kind}", flaw is None, exchange, str(flaw))

    def _metadata(self, exchange: RoundTrip, metadata: Any) -> None:
        if not isinstance(metadata, dict):
            return
        title = "members of metadata start with user_ or order_, or the channel keeps none of them"
        others = [name for name in metadata if not name.startswith(("user_", "order_"))]
        self.report.expect("META-1", title, not others, exchange, f"it has {', '.join(others)}")
        if accounts := [name for name in metadata if name.startswith("user_")]:
            title = "names of credentials are user_<account>_<name>"
            wrong = [name for name in accounts if name.count("_") < 2]
            self.report.expect("META-6", title, not wrong, exchange, f"it has {', '.join(wrong)}", decision=True)
        if "order_fees" in metadata:
            fees = metadata["order_fees"]
            sound = isinstance(fees, list) and all(
                isinstance(fee, dict) and isinstance(fee.get("name"), str) and is_cents(fee.get("amount"))
                for fee in fees
            )
            title = "order_fees is a list of names and amounts"
            self.report.expect("MONEY-9", title, sound, exchange, "it is not", decision=True)

    def _times(self, exchange: RoundTrip, answer: Mapping[str, Any]) -> None:
        title = "ready_at is the same as soonest_available_at"
        soonest, ready = answer.get("soonest_available_at", MISSING), answer.get("ready_at", MISSING)
        if MISSING not in (soonest, ready):
            self.report.expect("TIME-7", title, soonest == ready, exchange, f"{ready} is not {soonest}")
        if self.zone is None:
            return
        slots = answer.get("available_at")
        title = "times are local where the zone is known"
        for text in [soonest, *(slots if isinstance(slots, list) else ())]:
            if is_time(text):
                local = not text.endswith("Z") or ready_time.to_wire(ready_time.parse(text), self.zone) == text
                self.report.expect("TIME-1", title, local, exchange, f"{text} is in UTC", decision=True)

    def _sums(self, exchange: RoundTrip, answer: Mapping[str, Any]) -> None:
        amounts = [answer.get(name) for name in ("total", "tax", "tip")]
        discounts = [answer.get(name) for name in ("merchant_funded_discount", "provider_funded_discount")]
        pays = sum(amount for amount in amounts if is_integer(amount))
        pays -= sum(discount for discount in discounts if is_integer(discount))
        further = [name for name, value in answer.items() if name not in table("validation") and value == pays]
        title = "what the consumer pays is not returned"
        self.report.expect("MONEY-7", title, not further, exchange, f"{', '.join(further)} is")


def members(exchange: RoundTrip) -> dict[str, Any]:
    """The object in an answer to an order, wrapped or not (EP-10)."""
    answer = exchange.json
    if not isinstance(answer, dict):
        return {}
    for root in _ROOTS:
        if isinstance(answer.get(root), dict):
            return answer[root]
    return answer


def fresh(name: str) -> str:
    """An id that no other run uses. It is all letters: a row of digits may look like a card number, which is masked."""
    return f"{name}-{uuid.uuid4().hex[:16].translate(_LETTERS)}"


def _names(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        yield from value
        for inner in value.values():
            yield from _names(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _names(inner)
