"""Placed orders, and repetitions of them (EP-5, META-4, META-5, PAY, SUB). Only with ``--submit``."""

from __future__ import annotations

from typing import Any

from levelup_ov.certify.client import RoundTrip
from levelup_ov.certify.conversation import TEST_CARD, members
from levelup_ov.certify.conversation import fresh as new
from levelup_ov.certify.endpoints import refused_as
from levelup_ov.certify.sample_orders import order
from levelup_ov.certify.shapes import is_integer
from levelup_ov.certify.statuses import check_status
from levelup_ov.certify.times import read_time
from levelup_ov.certify.validations import ValidationChecks
from levelup_ov.domain.ready_time import SHOWN_TIME_TOLERANCE

_ROOT = "order_submission"
_ELSEWHERE = {"order_validation_id": "sealed.1.Zm9yZ2Vk"}
"""An id that no service issued."""


def card() -> dict[str, str]:
    """The test card, as PAY-2 has it."""
    return {
        "number": TEST_CARD.reveal(),
        "cvv": "123",
        "zip": "02114",
        "expiration_month": "12",
        "expiration_year": "2036",
        "name": "Certification Test",
    }


class SubmissionChecks:
    """Submissions at one location; if all goes well, three orders are placed."""

    def __init__(self, validations: ValidationChecks) -> None:
        self.validations = validations
        self.report = validations.report
        self.talk = validations.talk
        self.place = validations.place
        self.tender: dict[str, Any] = {"tender": "LevelUp"}

    def send(self, key: str | None, *, item: dict[str, Any] | None = None, **further: Any) -> RoundTrip:
        """Submit an order for the validated line; a tender in ``further`` replaces the usual one."""
        wire = item or self.validations.line.wire()
        tender = {} if {"tender", "credit_card"} & set(further) else self.tender
        body = {**order(wire), "user": self.talk.user, **tender, **further}
        return self.talk.order(self.place.id, _ROOT, body, key=key)

    def check(self) -> None:
        """Run all checks; what depends on an order that could not be placed is skipped."""
        key = new("certify")
        placed, changes = self._after_validation(key)
        if placed is None:
            return
        check_status(self.talk, self.place.id, _id(placed), key)
        self._replay(key, placed, changes)
        self._wrong()
        second = self._from_scratch()
        self._numbered({_id(placed), _id(second) if second else None})

    def _after_validation(self, key: str) -> tuple[RoundTrip | None, dict[str, Any]]:
        """A validation and its submission, with what may change in between."""
        report = self.report
        validated = self.validations.send()
        changes: dict[str, Any] = {"metadata": members(validated).get("metadata") or {}}
        if self.place.tips:
            changes["tip"] = 100
        if self.validations.kitchen.menu.allows_special_instructions:
            changes["special_instructions"] = "Test order."
        placed = self.send(key, **changes)
        if placed.error.get("code") == "tender_not_accepted":
            report.expect(
                "PAY-3", "a tender that is not accepted is refused", placed.status == 422, placed, decision=True
            )
            self.tender = {"credit_card": card()}
            placed = self.send(key, **changes)
            title = "a refused submission can be sent again under its key"
            report.expect("SUB-4", title, placed.ok, placed)
            if placed.ok:
                report.expect("PAY-2", "a single-use card pays", True, placed)
        elif placed.ok:
            report.expect("PAY-1", "LevelUp as tender pays", True, placed)
        title = "a validated order can be placed"
        code = placed.error.get("code")
        if code == "card_declined":
            # A real provider does not take the test card.
            report.not_applicable("EP-5", title, placed.words)
            return None, changes
        words = f"{placed.words}: the provider may have the order" if code == "outcome_unknown" else ""
        if not report.expect("EP-5", title, placed.ok, placed, words):
            return None, changes
        self._placed(placed)
        self._keeps_the_time(validated, placed)
        if any(name.startswith("order_") for name in changes["metadata"]):
            report.expect("META-2", "order_ members are accepted in the submission", True, placed)
        title = "tip and instructions may change between validation and submission"
        if len(changes) > 1:
            report.expect("META-5", title, placed.ok, placed)
        else:
            report.not_applicable("META-5", title, "the location accepts neither tips nor instructions")
        return placed, changes

    def _placed(self, exchange: RoundTrip) -> None:
        answer = members(exchange)
        order_id = answer.get("order_id")
        self.report.orders.append((self.place.id, order_id))
        given = (isinstance(order_id, str) and bool(order_id.strip())) or is_integer(order_id)
        self.report.expect("SUB-1", "an order has a number", given, exchange, f"order_id is {order_id!r}")

    def _keeps_the_time(self, validated: RoundTrip, placed: RoundTrip) -> None:
        """TIME-11."""
        title = "an order is placed for the time that was shown"
        zone = self.place.zone
        shown = read_time(members(validated).get("soonest_available_at"), zone)
        ready = read_time(members(placed).get("expected_ready_at"), zone)
        if shown is None or ready is None:
            self.report.not_applicable("TIME-11", title, "the provider names no real time (TIME-7)")
            return
        words = f"{shown:%Y-%m-%dT%H:%M} was shown, {ready:%Y-%m-%dT%H:%M} is when it is ready"
        met = abs(ready - shown) <= SHOWN_TIME_TOLERANCE
        self.report.expect("TIME-11", title, met, placed, words, decision=True)

    def _replay(self, key: str, placed: RoundTrip, changes: dict[str, Any]) -> None:
        report = self.report
        again = self.send(key, **changes)
        title = "repeating a submission places no second order"
        words = f"order {_id(placed)}, then {_id(again)}" if again.ok else again.words
        if report.expect("SUB-2", title, again.ok and _id(again) == _id(placed), again, words):
            report.expect("SUB-4", "the recorded answer is repeated", again.json == placed.json, again)
            flag = again.headers.get("idempotency-replayed", "").lower() == "true"
            title = "a repeated answer has Idempotency-Replayed: true"
            report.expect("SUB-4", title, flag, again, "it does not have it", decision=True)
        elif again.ok:
            self._placed(again)
        other = self.send(key, item=self.validations.line.wire(quantity=2), **changes)
        title = "the key of a placed order is refused with other content"
        report.expect("SUB-4", title, other.refused, other)
        refused_as(self.talk, "SUB-4", title, other, 422, "idempotency_key_reused")
        if other.ok:
            self._placed(other)

    def _wrong(self) -> None:
        """Invalid submissions, each under its own key."""
        report = self.report
        wrong: tuple[tuple[str, str, dict[str, Any]], ...] = (
            ("PAY-1", "an unknown tender is refused", {"tender": "Cash"}),
            ("PAY-3", "both tenders are refused", {"tender": "LevelUp", "credit_card": card()}),
            ("PAY-2", "a card without its number is refused", {"credit_card": {**card(), "number": None}}),
            ("PAY-2", "a card with an invalid month is refused", {"credit_card": {**card(), "expiration_month": "13"}}),
        )
        for rule, title, further in wrong:
            if "credit_card" in further and "credit_card" not in self.tender:
                report.not_applicable(rule, title, "a card is sent only where LevelUp is not accepted")
                continue
            exchange = self.send(new("certify"), **further)
            report.expect(rule, title, exchange.refused, exchange)
            refused_as(self.talk, rule, title, exchange, 422, "invalid_member")
            if exchange.ok:
                self._placed(exchange)
        exchange = self.send("x" * 256)
        title = "a key of more than 255 characters is refused"
        report.expect("SUB-3", title, exchange.refused, exchange, decision=True)
        refused_as(self.talk, "SUB-3", title, exchange, 400, "invalid_idempotency_key")
        if exchange.ok:
            self._placed(exchange)

    def _from_scratch(self) -> RoundTrip | None:
        """A refused submission, and then an unvalidated one under the same key."""
        key = new("certify")
        unknown = {"item": {"provider_id": new("unknown"), "quantity": 1, "options": []}}
        refused = self.send(key, item=unknown)
        self.report.expect("ITEM-1", "an unknown item is not submitted", refused.refused, refused)
        exchange = self.send(key)
        title = "an order is placed without a validation's metadata"
        if not self.report.expect("META-4", title, exchange.ok, exchange):
            return None
        self._placed(exchange)
        title = "a refused submission can be sent again under its key"
        self.report.expect("SUB-4", title, exchange.ok, exchange)
        return exchange

    def _numbered(self, known: set[Any]) -> None:
        """The channel's order number is an identity; a forged validation id is not."""
        further: dict[str, Any] = {"order_number": new("certify"), "metadata": _ELSEWHERE}
        first = self.send(None, **further)
        title = "an order_validation_id that was not issued counts as absent"
        if not self.report.expect("META-8", title, first.ok, first, decision=True):
            return
        self._placed(first)
        title = "a different identity is a different order"
        self.report.expect("SUB-3", title, _id(first) not in known, first, f"order {_id(first)} again", decision=True)
        again = self.send(None, **further)
        title = "the same order_number places no second order"
        met = again.ok and _id(again) == _id(first)
        if not self.report.expect("SUB-3", title, met, again, decision=True) and again.ok:
            self._placed(again)


def _id(exchange: RoundTrip) -> Any:
    return members(exchange).get("order_id")
