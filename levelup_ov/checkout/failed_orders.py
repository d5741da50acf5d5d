"""Messages to the channel and the operator about orders that failed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime, timezone
from typing import Any

from levelup_ov.checkout.store import StoredOrder
from levelup_ov.domain.checkout import CaseKind, OrderState
from levelup_ov.domain.failure import Failure
from levelup_ov.errors import KINDS

SETTLE = "settle it with `levelup-ov checkout settle`"
SUBMITTED_AND_REFUNDED: CaseKind = "submitted_and_refunded"
"""The kind of case of an order that its provider has, and whose charge was given back."""
_GIVEN_BACK: Mapping[OrderState, str] = {
    "refunding": "its charge is to be given back",
    "refunded": "its charge was given back",
    "stuck": "its charge could not be given back",
    "settled": "the operator has settled its charge",
}
"""The states of an order whose charge goes back, or was to, and what to say of it."""
CLOSED: tuple[OrderState, ...] = ("stuck", "settled")
"""The states of an order about which a person decides, or has decided: no request changes anything of it."""
UNPROVEN: CaseKind = "cancellation_unproven"
"""The kind of case of an order whose status does not say, or contradicts, that it is canceled."""
CHARGE_UNPROVEN: CaseKind = "charge_unproven"
"""The kind of case of an order of which it is unknown whether it was charged."""
MEAL_UNPROVEN: CaseKind = "meal_unproven"
"""The kind of case of a charged order of which it is unknown whether its provider has it."""
NOTIFIED = "support has been notified"
SUPPORT = f"the charge could not be given back; {NOTIFIED}"
"""Without the word for a refund that was made: sites look for it."""

CANCELED = "the order is canceled, and its charge is not given back yet"
"""What is known where the ledger fails after a cancellation."""


def problem(failure: Failure) -> str:
    """The stored form of why an order is refunded."""
    return json.dumps({"code": failure.code, "message": failure.message})


def refunded(order: StoredOrder, told: str | None = None) -> Failure:
    """Why an order was refunded. It is final, so no code invites a retry.

    ``told``: the provider's own words, for the request that got them.
    """
    why = json.loads(order.problem or "{}")
    code = "charge_refunded" if KINDS[why["code"]].retryable else why["code"]
    return Failure(code, f"{told or why['message']} (the charge was refunded)")


def refund_impossible(order: StoredOrder) -> Failure:
    """The failure for an order that a person must settle."""
    why = json.loads(order.problem or "{}").get("message", "LevelUp does not refund this charge")
    recorded = case_of(order).get("told")
    what = NOTIFIED if order.case_kind == "refund_unproven" else SUPPORT
    return Failure("refund_impossible", f"{recorded or why} ({what})")


def closed(order: StoredOrder) -> Failure:
    """The failure for an order that is in one of the states :data:`CLOSED`."""
    return refund_impossible(order) if order.state == "stuck" else _settled(order)


def _settled(order: StoredOrder) -> Failure:
    note = json.loads(order.settled or "{}")
    if note.get("case", {}).get("made_again"):
        what = "this order was canceled, and is made again"
    elif note.get("canceled"):
        what = "this order was canceled"
    else:
        unknown = "charged" if order.uuid is None else "placed" if order.submitted is None else "canceled"
        what = f"it is not known whether this order was {unknown}"
    why = json.loads(order.problem or "{}").get("message", what)
    return Failure("refund_impossible", f"{why} (the operator has settled this order)")


def pending(message: str) -> Failure:
    """The failure while a refund is not known to be made."""
    return Failure("refund_pending", message, retry_after=5)


def in_progress(message: str) -> Failure:
    """The failure while another request is processing the order."""
    return Failure("submission_in_progress", message, retry_after=1)


def case(kind: CaseKind, message: str, **found: Any) -> str:
    """The stored form of why a person must settle an order: ``kind`` for machines, ``message`` for people."""
    return json.dumps({"kind": kind, "message": message, **found})


def found_placed(order: StoredOrder, answer: str) -> dict[str, str | None]:
    """What to record of an order that its provider has, by ``answer``; nothing if its charge was not to go back."""
    if order.state not in _GIVEN_BACK:
        return {}
    number = json.loads(answer).get("order_id")
    message = f"the restaurant has this order as {number}, and {_GIVEN_BACK[order.state]}"
    # It was placed after all: there is nothing to report to the site but the order.
    return {
        "submitted": answer, "problem": None, "operator_case": case(SUBMITTED_AND_REFUNDED, message, uuid=order.uuid),
    }  # fmt: skip


def unplaced(order: StoredOrder) -> dict[str, str | None]:
    """What to record of a charged order if it is unknown again whether its provider has it."""
    return {
        "state": "submitting", "submitted": None, "held": None, "called_off_at": None,
        # These were about the other order.
        "cancellation": None, "operator_case": without(UNPROVEN, order),
    }  # fmt: skip


def made_unpaid(order: StoredOrder) -> str:
    """The stored case of an order that was canceled and refunded, and is made again."""
    message = "the restaurant makes this order again, and its charge was given back"
    return case(SUBMITTED_AND_REFUNDED, message, uuid=order.uuid, made_again=True)


def made_again(order: StoredOrder, stuck: str | None = None) -> str:
    """The stored case of an order that was proven to be canceled, is not refunded, and is made again.

    ``stuck``: its stored case if LevelUp does not refund it; it is kept, for :func:`of_no_meal`.
    """
    message, more = "the order was canceled, and is made again", dict[str, Any]()
    if stuck is not None:
        earlier = json.loads(stuck)
        message += f"; its refund had failed: {earlier['message']}"
        more = {"told": earlier.get("told"), "earlier": earlier}
    return case(UNPROVEN, message, uuid=order.uuid, made_again=True, **more)


def of_no_meal(order: StoredOrder) -> str | None:
    """The stored case of an order, without what is a case only because the restaurant makes it."""
    if order.state == "refunded" and order.case_kind == SUBMITTED_AND_REFUNDED:
        return None
    if not order.is_made_again:
        return order.operator_case
    earlier = case_of(order).get("earlier")
    return earlier and json.dumps(earlier)


def case_of(order: StoredOrder) -> dict[str, Any]:
    """The case of an order that is shown; empty if there is none."""
    return next(iter(order.open_cases), {"kind": "", "message": ""})


def without(kind: str, order: StoredOrder) -> str | None:
    """The stored case of an order, unless it is of this kind."""
    return None if order.case_kind == kind else order.operator_case


def settlement_note(by: str, why: str, at: datetime, order: StoredOrder) -> str:
    """Who settled a case, when and why, and what it was."""
    when = at.astimezone(timezone.utc).isoformat(timespec="seconds")
    canceled = not order.is_made_again and (order.is_canceled or order.called_off_at is not None)
    return json.dumps({"by": by, "why": why, "at": when, "case": case_of(order), "canceled": canceled})
