"""What is said of a submission: the events of its changes, and what identifies it in the log."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from levelup_ov.domain.event import Event, attention
from levelup_ov.domain.submission import SETTLED
from levelup_ov.ledger.records import Submission


def events_of(row: Submission) -> Iterator[Event]:
    """The events of a submission whose outcome was unknown, or is unknown again."""
    if row.state in SETTLED:
        data = {"outcome": row.state, "order_id": row.order_id, "request_id": row.request_id}
        yield Event("submission.resolved", row.account, row.location, row.id, data)
        if row.finding is not None and row.state == "not_placed":
            yield attention_to(row, row.finding)
    else:
        yield attention_to(row, "order_disputed")


def attention_to(row: Submission, what: str, order_id: str | int | None = None) -> Event:
    """The event that a person must look at a submission; ``order_id``: at this order instead of its own."""
    return attention(
        what,
        account=row.account,
        location=row.location,
        submission=row.id,
        order_id=row.order_id if order_id is None else order_id,
        provider_order_id=row.provider_order_id,
        reference=row.reference,
        request_id=row.request_id,
        submitted_at=row.sending_at or row.claimed_at,
    )


def log_facts(submission: Submission) -> dict[str, Any]:
    """What identifies a submission in the log."""
    return {"submission": submission.id, "account": submission.account, "location": submission.location}
