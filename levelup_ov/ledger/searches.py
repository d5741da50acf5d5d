"""Searches for submissions that read as little of a large ledger as of a small one: each has an index."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, literal_column, or_, select, union_all

from levelup_ov.domain.submission import SETTLED, State
from levelup_ov.ledger.records import to_ms
from levelup_ov.ledger.tables import IS_FINDING, SUBMISSIONS

FINDINGS = 1000
"""The newest findings whose own numbers are searched."""
PLAIN_SEARCH = "SET LOCAL jit = off; SET LOCAL max_parallel_workers_per_gather = 0"
"""For PostgreSQL, before a search: it would compile the plan of one in a large table, and start workers for it, which
takes longer than the search."""

_C = SUBMISSIONS.c


@dataclass(frozen=True, slots=True)
class Search:
    """What submissions are listed, newest first; None matches all.

    ``findings``: only those that a person must look at (SUB-12, PAY-4). ``below``: only those older than the one with
    this id.
    """

    state: State | None = None
    account: str | None = None
    location: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    findings: bool = False
    below: str | None = None


def conditions(search: Search) -> Iterator[ColumnElement[bool]]:
    """What a submission of the search must meet; in the order of ids, the newest come last."""
    is_open = search.state is not None and search.state not in SETTLED
    for column, value in ((_C.location, search.location), (_C.account, search.account)):
        if value is not None:
            # Few submissions are open or have findings: their index serves, and not that of the account or location.
            yield (column.concat("") if is_open or search.findings else column) == value
    if search.state is not None:
        # Written out, so that the database sees that an index of this state serves.
        yield _C.state == literal_column(f"'{search.state}'")
        if is_open:
            yield _C.settled_at.is_(None)
    if search.findings:
        yield IS_FINDING
        yield _C.finding_closed_at.is_(None)
    if search.since is not None:
        yield _C.id >= _first_id(search.since)
    if search.until is not None:
        yield _C.id < _first_id(search.until)
    if search.below is not None:
        yield _C.id < search.below


def has_number(number: str) -> ColumnElement[bool]:
    """Whether it has this number: an order id, a provider's, a request id, or our id or reference."""
    numbers = [number, json.dumps(number)]
    this = [column == number for column in (_C.id, _C.reference, _C.request_id, _C.provider_order_id)]
    this.append(_C.order_id.in_(numbers))
    # Without the limit, a database that takes findings for frequent reads all rows.
    findings = select(_C.id, _C.found_provider_order_id, _C.found_order_id).where(IS_FINDING)
    f = findings.order_by(_C.id.desc()).limit(FINDINGS).subquery().c
    of_findings = select(f.id).where(or_(f.found_provider_order_id == number, f.found_order_id.in_(numbers)))
    # Each has an index, and none is used where they are alternatives of one condition.
    found = union_all(*(select(_C.id).where(condition) for condition in this), of_findings).subquery()
    return _C.id.in_(select(found.c.id))


def _first_id(instant: datetime) -> str:
    """The lowest id that was made then: it starts with the milliseconds (RFC 9562)."""
    digits = f"{max(to_ms(instant), 0):012x}"[-12:]
    return f"{digits[:8]}-{digits[8:]}-0000-0000-000000000000"
