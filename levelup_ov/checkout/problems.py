"""What a channel and an operator are told of an order that did not go as asked."""

from __future__ import annotations

import json
from datetime import datetime, timezone
from typing import Any

from levelup_ov.checkout.store import StoredOrder
from levelup_ov.domain.failure import Failure
from levelup_ov.errors import KINDS

SETTLE = "settle it with `levelup-ov checkout settle`"
SUPPORT = "the charge could not be refunded; support has been notified"


def with_words(failure: Failure, words: str) -> Failure:
    """The failure, saying something more."""
    failure.message = f"{failure.message} ({words})"
    return failure


def problem(failure: Failure) -> str:
    """Why an order is refunded, as it is kept."""
    return json.dumps({"code": failure.code, "message": failure.message})


def refunded(order: StoredOrder) -> Failure:
    """Why an order was refunded. It is final: the same request changes nothing, so no code of it invites one."""
    why = json.loads(order.problem or "{}")
    code = "charge_refunded" if KINDS[why["code"]].retryable else why["code"]
    return with_words(Failure(code, why["message"]), "the charge was refunded")


def refund_impossible(order: StoredOrder) -> Failure:
    """What is told of an order that a person must settle."""
    why = json.loads(order.problem or "{}").get("message", "LevelUp does not refund this charge")
    told = case_of(order).get("told")
    return Failure("refund_impossible", f"{told or why} ({SUPPORT})")


def settled(order: StoredOrder) -> Failure:
    """What is told of one that a person has settled."""
    why = json.loads(order.problem or "{}").get("message", "it is not known whether this order was charged")
    return Failure("refund_impossible", f"{why} (the operator has settled this order)")


def pending(message: str) -> Failure:
    """The refund is not known to be made yet."""
    return Failure("refund_pending", message, retry_after=5)


def in_progress(message: str) -> Failure:
    """Somebody else works on the order right now."""
    return Failure("submission_in_progress", message, retry_after=1)


def case(kind: str, message: str, **found: Any) -> str:
    """Why a person must settle an order, as it is kept: ``kind`` for machines, ``message`` for people."""
    return json.dumps({"kind": kind, "message": message, **found})


def case_of(order: StoredOrder) -> dict[str, Any]:
    """The case that :func:`case` made; empty where there is none."""
    found: dict[str, Any] = json.loads(order.operator_case or '{"kind": "", "message": ""}')
    return found


def settlement_note(by: str, why: str, at: datetime, order: StoredOrder) -> str:
    """Who settled a case, when and why, and what it was."""
    when = at.astimezone(timezone.utc).isoformat(timespec="seconds")
    return json.dumps({"by": by, "why": why, "at": when, "case": case_of(order)})
