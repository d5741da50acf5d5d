"""The ledger's tables, and the statements that it runs on them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    ColumnElement,
    ForeignKey,
    MetaData,
    Select,
    Table,
    Text,
    Update,
    bindparam,
    cast,
    delete,
    extract,
    func,
    select,
    text,
    update,
)  # fmt: skip
from sqlalchemy.dialects import postgresql, sqlite

from levelup_ov.domain.submission import SETTLED, TRANSITIONS, Transition
from levelup_ov.ledger.database import Database

PURGED_AT_ONCE = 500
"""Submissions; small parts, so that claims are not kept waiting."""

METADATA = MetaData()
SUBMISSIONS = Table(
    "submissions",
    METADATA,
    Column("id", Text, primary_key=True),
    Column("account", Text, nullable=False),
    Column("location", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("content", Text, nullable=False),
    Column("owner", Text, nullable=False),
    Column("request_id", Text),
    Column("claimed_at", BigInteger, nullable=False),
    Column("lease_until", BigInteger, nullable=False),
    Column("sending_at", BigInteger),
    Column("settled_at", BigInteger),
    Column("trace", Text),
    Column("provider_order_id", Text),
    Column("order_id", Text),
    Column("answer", Text),
    Column("expected_charge", BigInteger),
    Column("charged", BigInteger),
)
"""Times are milliseconds since 1970 in UTC, amounts cents; the migrations make the table."""
IDENTITIES = Table(
    "identities",
    METADATA,
    Column("digest", Text, primary_key=True),
    Column("kind", Text, nullable=False),
    Column("submission", Text, ForeignKey("submissions.id", ondelete="CASCADE"), nullable=False),
)
"""Which submission used an identity last; whether it still counts follows from that submission's state."""

_C = SUBMISSIONS.c
# Taken in one order by all, these locks make claims of a common identity wait for one another.
_LOCK_IDENTITIES = text("SELECT pg_advisory_xact_lock(key) FROM unnest(CAST(:keys AS bigint[])) AS key")

_SET_BY: Mapping[str, Sequence[str]] = {
    "place": ("answer", "order_id", "provider_order_id", "expected_charge", "charged")
}
"""The columns that a change sets beside the state and the times."""


class Statements:
    """Every statement of the ledger but an operator's search; ``now`` is the database's clock or a parameter."""

    def __init__(self, database: Database, *, own_clock: bool) -> None:
        now: ColumnElement[int] = bindparam("now", type_=BigInteger)
        if own_clock:
            now = cast(extract("epoch", func.clock_timestamp()) * 1000, BigInteger)
        lease_end = now + bindparam("lease", type_=BigInteger)
        this = _C.id == bindparam("this")
        identity = (postgresql if database.is_postgresql else sqlite).insert(IDENTITIES)
        changes = {name: _guarded(transition, now) for name, transition in TRANSITIONS.items()}
        changes["begin_sending"] = changes["begin_sending"].values(sending_at=now, lease_until=lease_end)
        for name in ("begin_sending", "lose"):
            changes[name] = changes[name].values(trace=func.coalesce(bindparam("left", type_=Text), _C.trace))
        for name in ("abandon", "expire"):
            changes[name] = changes[name].where(_C.lease_until <= now)
        outdated = select(_C.id).where(_C.settled_at < now - bindparam("retention", type_=BigInteger))
        by_identity = IDENTITIES.c.digest == bindparam("digest")

        self.all: Select[Any] = select(SUBMISSIONS, now.label("seen_at"))
        prepare = database.prepare
        self.row = prepare(self.all.where(this))
        self.match = prepare(self.all.add_columns(IDENTITIES.c.kind).join(IDENTITIES).where(by_identity))
        self.open = prepare(
            self.all.where(_C.settled_at.is_(None)).order_by(_C.claimed_at).limit(bindparam("limit", type_=BigInteger))
        )
        self.lock = prepare(_LOCK_IDENTITIES)
        self.insert = prepare(
            SUBMISSIONS.insert().values(state="claimed", claimed_at=now, lease_until=lease_end),
            *("id", "account", "location", "content", "owner", "request_id"),
        )
        pointer = ("digest", "kind", "submission")
        self.introduce = prepare(identity.on_conflict_do_nothing(index_elements=["digest"]), *pointer)
        self.point = prepare(
            identity.on_conflict_do_update(
                index_elements=["digest"],
                set_={"kind": identity.excluded.kind, "submission": identity.excluded.submission},
            ),
            *pointer,
        )
        self.widen = prepare(update(SUBMISSIONS).where(this), "content")
        self.changes = {name: prepare(change, *_SET_BY.get(name, ())) for name, change in changes.items()}
        self.purge = prepare(delete(SUBMISSIONS).where(_C.id.in_(outdated.limit(PURGED_AT_ONCE))))
        self.write_nothing = prepare(delete(SUBMISSIONS).where(_C.id == ""))


def _guarded(transition: Transition, now: ColumnElement[int]) -> Update:
    change = update(SUBMISSIONS).where(_C.id == bindparam("this"), _C.state.in_(transition.sources))
    change = change.values(state=transition.target)
    return change.values(settled_at=now) if transition.target in SETTLED else change
