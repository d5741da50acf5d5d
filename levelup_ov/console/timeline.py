"""One submission's life, in the order of time."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from levelup_ov.checkout.store import StoredOrder
from levelup_ov.domain.submission import Ended
from levelup_ov.ledger.browsing import Life
from levelup_ov.ledger.operator_actions import OperatorAction
from levelup_ov.ledger.records import from_ms

_ENDED: dict[Ended | None, str] = {
    "unsent": "nothing was sent",
    "refused": "the provider refused it",
    "fenced": "the provider has no order, and refuses late requests",
    "absent": "the provider had no order when it was asked twice",
    "told": "a person asked the restaurant",
    None: "",
}
_ACTS = {"take_back": "Settlement corrected", "close_finding": "Finding closed"}


@dataclass(frozen=True, slots=True)
class TimelineStep:
    """``at``: None if the time was not recorded. ``look``: the class of its dot."""

    at: datetime | None
    title: str
    text: str = ""
    look: str = ""


def of_submission(life: Life, changed: datetime | None) -> list[TimelineStep]:
    """The steps; ``changed``: when its state changed last, where that is known and not recorded."""
    steps = list(_steps(life, changed))
    dated = sorted((step for step in steps if step.at is not None), key=lambda step: step.at or datetime.max)
    return dated + [step for step in steps if step.at is None]


def _steps(life: Life, changed: datetime | None) -> Iterator[TimelineStep]:
    this = life.submission
    yield TimelineStep(this.claimed_at, "Claimed", f"by {this.owner}, request {this.request_id or 'without an id'}")
    if this.sending_at is not None:
        yield TimelineStep(this.sending_at, "Sending", f"under the reference {this.reference}")
    if this.state == "unknown":
        if changed is not None and this.sending_at is not None:
            # Read off another clock, it can seem to be a moment before.
            changed = max(changed, this.sending_at)
        yield TimelineStep(changed, "Outcome unknown", "no answer proves whether the order exists", "bad-step")
    by = f"settled by {this.settled_by}" if this.settled_by else ""
    if this.state == "placed":
        proof = "the provider returned our reference" if this.proven else ""
        words = ", ".join(filter(None, (f"order {this.order_id}", proof, by)))
        yield TimelineStep(this.settled_at, "Placed", words, "good-step")
    if this.state == "not_placed":
        yield TimelineStep(this.settled_at, "Not placed", ", ".join(filter(None, (_ENDED[this.ended], by))))
    if this.looked_again:
        yield TimelineStep(None, "Looked up again", f"{this.looked_again} times")
    if this.look_again_at is not None:
        yield TimelineStep(this.look_again_at, "To be looked up again", "by `levelup-ov submissions reconcile`")
    if life.word is not None:
        yield TimelineStep(life.changed_at, f"Status: {life.stage or 'unknown'}", f"the provider says {life.word}")
    yield from map(_of_action, life.actions)


def _of_action(action: OperatorAction) -> TimelineStep:
    if action.act is not None:
        return TimelineStep(action.at, f"{_ACTS[action.act]} by {action.operator}", _reason(action))
    words = f"{action.outcome or 'has not ended'}; request {action.request_id}"
    return TimelineStep(action.at, f"Reconciled by {action.operator}", words)


def _reason(action: OperatorAction) -> str:
    """Why somebody corrected a submission, and what was recorded until then."""
    before = action.before
    was = f"order {before['order_id']}" if before.get("state") == "placed" else "not placed"
    until = f"it was settled as {was} by {before.get('settled_by')}" if action.act == "take_back" else before["finding"]
    return f"{action.why}; {until or 'charge_mismatch'}"


def of_order(order: StoredOrder, actions: Iterable[OperatorAction]) -> list[TimelineStep]:
    """The steps of an order of web checkout that were recorded, and what operators did to it."""
    settled: dict[str, Any] = json.loads(order.settled or "{}")
    steps = [TimelineStep(from_ms(order.created_at), "Created")]
    if order.uuid is not None:
        steps.append(TimelineStep(None, "Charged", f"LevelUp's UUID {order.uuid}", "good-step"))
    if order.submitted is not None:
        steps.append(
            TimelineStep(None, "Submitted", f"order {json.loads(order.submitted).get('order_id')}", "good-step")
        )
    if order.problem is not None:
        why = json.loads(order.problem)
        steps.append(TimelineStep(None, "Not placed", f"{why.get('code')}: {why.get('message')}", "bad-step"))
    if order.is_canceled:
        steps.append(
            TimelineStep(None, "Canceled", "the provider does not make it; its charge is not refunded yet", "bad-step")
        )
    elif order.cancellation is not None:
        words = "`levelup-ov checkout reconcile` asks what became of it"
        steps.append(TimelineStep(None, "Cancellation begun", words, "bad-step"))
    if order.refunded_at is not None:
        steps.append(TimelineStep(from_ms(order.refunded_at), "Refunded"))
    if settled:
        at = datetime.fromisoformat(settled["at"])
        steps.append(TimelineStep(at, f"Settled by {settled['by']}", str(settled["why"]), "good-step"))
    return steps + [_of_action(action) for action in actions]
