"""The ledger's tables and statements."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from sqlalchemy import (
    BigInteger,
    BindParameter,
    Boolean,
    Column,
    ColumnElement,
    ForeignKey,
    Integer,
    MetaData,
    ScalarSelect,
    Select,
    Table,
    Text,
    Update,
    and_,
    bindparam,
    case,
    cast,
    delete,
    extract,
    func,
    literal,
    or_,
    select,
    text,
    update,
)

from levelup_ov.domain.checkout import LEDGER_ACCOUNT
from levelup_ov.domain.status import LATER, OPEN_AT_MOST, WATCHED
from levelup_ov.domain.submission import LOOKED_AGAIN, SETTLED, TRANSITIONS, State, Transition
from levelup_ov.ledger.database import Database
from levelup_ov.ledger.statements import Statement, insert

PURGED_AT_ONCE = 500
"""How many sessions are emptied or deleted in one step; small, so that claims do not wait."""

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
    Column("reference", Text, nullable=False),
    Column("alike", Text, nullable=False),
    Column("generation", BigInteger, nullable=False),
    Column("received_at", BigInteger),
    Column("boot", Text, nullable=False),
    Column("since", BigInteger, nullable=False),
    Column("lease", BigInteger, nullable=False),
    Column("proven", BigInteger),
    Column("ended", Text),
    Column("previous", Text),
    Column("card", BigInteger, nullable=False),
    Column("looked_again", BigInteger, nullable=False),
    Column("look_again_at", BigInteger),
    Column("finding", Text),
    Column("settled_by", Text),
    Column("found_order_id", Text),
    Column("found_provider_order_id", Text),
    Column("finding_closed_at", BigInteger),
    Column("open_until", BigInteger),
)
"""Times are milliseconds since 1970 in UTC, for people; amounts are cents; the migrations create the table.

Proofs use ``boot``, ``since`` and ``lease``: the clock of the last change, its time then, and for how many
milliseconds from then the owner has the row. ``open_until`` is set only for later orders: see :func:`_open_until`.
"""
COMPATIBILITY = Table(
    "ledger_compatibility",
    METADATA,
    Column("revision", Text, primary_key=True),
    Column("oldest", Text, nullable=False),
)
"""Which release a newer schema still serves (see the migration 0005)."""
SIGHTS = Table(
    "sights",
    METADATA,
    Column("submission", Text, ForeignKey("submissions.id", ondelete="CASCADE"), primary_key=True),
    Column("change", Text, primary_key=True),
    Column("boot", Text, primary_key=True),
    Column("since", BigInteger, nullable=False),
)
"""When an observer first saw something of a submission, by its own clock."""
KEYS = Table(
    "ledger_keys",
    METADATA,
    Column("name", Text, primary_key=True),
    Column("value", Text, nullable=False),
)
"""Keys that stay when those of the configuration are changed, as hex."""
IDENTITIES = Table(
    "identities",
    METADATA,
    Column("digest", Text, primary_key=True),
    Column("kind", Text, nullable=False),
    Column("submission", Text, ForeignKey("submissions.id", ondelete="CASCADE"), nullable=False),
)
"""The last submission that used an identity; that submission's state says whether it still counts."""
MENU_WATCHES = Table(
    "menu_watches",
    METADATA,
    Column("location", Text, primary_key=True),
    Column("account", Text, nullable=False),
    Column("mark", Text, nullable=False),
    Column("asked_at", BigInteger, nullable=False),
    Column("version", Text),
    Column("menu", Text),
    Column("stock", Text),
    Column("sold_out", Text),
    Column("paused", Boolean),
)
ORDER_STATUSES = Table(
    "order_statuses",
    METADATA,
    Column("submission", Text, ForeignKey("submissions.id", ondelete="CASCADE"), primary_key=True),
    Column("stage", Text),
    Column("word", Text),
    Column("changed_at", BigInteger),
    Column("asked_at", BigInteger),
    Column("mark", Text, nullable=False),
    Column("boot", Text, nullable=False),
    Column("since", BigInteger, nullable=False),
    Column("lease", BigInteger, nullable=False),
    Column("canceling_at", BigInteger),
)
"""The last known status of a placed order; the first request for it makes the row. Every change sets another ``mark``.

``canceling_at``: when the provider was last asked to cancel the order, in milliseconds since 1970. ``lease``: for how
many milliseconds from ``since`` on, by the clock of ``boot``, somebody has claimed it; 0: nobody."""
ACTIONS = Table(
    "operator_actions",
    METADATA,
    Column("form", Text, primary_key=True),
    Column("submission", Text, ForeignKey("submissions.id", ondelete="CASCADE"), nullable=False),
    Column("operator", Text, nullable=False),
    Column("request_id", Text),
    Column("at", BigInteger, nullable=False),
    Column("outcome", Text),
    Column("act", Text),
    Column("why", Text),
    Column("before", Text),
)
"""What an operator asked for in the console, by a form that can be sent once, and what people corrected by commands."""
OUTBOX = Table(
    "outbox",
    METADATA,
    Column("number", BigInteger().with_variant(Integer, "sqlite"), primary_key=True),
    Column("event", Text, nullable=False),
    Column("receiver", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("account", Text, nullable=False),
    Column("location", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Column("data", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("since", BigInteger, nullable=False),
    Column("due_at", BigInteger, nullable=False),
    Column("attempts", BigInteger, nullable=False),
    Column("accepted_at", BigInteger),
    Column("problem", Text),
)
"""Events, each once for every receiver. ``number`` orders their changes; ``since``: when its retries started."""
ORDER_FOLLOWERS = Table(
    "order_followers",
    METADATA,
    Column("submission", Text, ForeignKey("submissions.id", ondelete="CASCADE"), primary_key=True),
    Column("receiver", Text, nullable=False),
    Column("content", Text, nullable=False),
)
"""Who, beside the channel, is sent an order's changes, and what is needed to send them: sealed."""
NOTICES = Table(
    "notices",
    METADATA,
    Column("account", Text, primary_key=True),
    Column("notice", Text, primary_key=True),
    Column("seen_at", BigInteger, nullable=False),
)
"""Messages of providers that were acted on (EVT-9)."""

SESSIONS = Table(
    "sessions",
    METADATA,
    Column("id", Text, primary_key=True),
    Column("caller", Text, nullable=False),
    Column("account", Text, nullable=False),
    Column("location", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("version", BigInteger, nullable=False),
    Column("attempt", BigInteger, nullable=False),
    Column("content", Text),
    Column("held", Text),
    Column("order_id", Text),
    Column("submitted_as", Text),
    Column("created_at", BigInteger, nullable=False),
    Column("expires_at", BigInteger, nullable=False),
    Column("made_with", Text),
    Column("made_from", Text),
)
"""Checkout sessions; everything that a person or a front has written is sealed in ``content``.

``made_with`` and ``made_from``: see :class:`levelup_ov.ledger.sessions.StoredSession`."""
SESSION_KEYS = Table(
    "session_keys",
    METADATA,
    Column("digest", Text, primary_key=True),
    Column("session", Text, ForeignKey("sessions.id", ondelete="CASCADE"), nullable=False),
    Column("body", Text, nullable=False),
    Column("state", Text),
    Column("version", BigInteger),
    Column("content", Text),
)
"""Idempotency keys of sessions: digests of key and body, and the session as it was answered, once it was."""

_C = SUBMISSIONS.c
IS_MISCHARGED: ColumnElement[bool] = _C.charged != _C.expected_charge
"""As ``mischarge`` compares: an amount that is not known is NULL, which differs from nothing."""
IS_FINDING = or_(_C.finding.is_not(None), IS_MISCHARGED)
"""The rows with a finding, open or closed; an index of the database has the same condition."""
# All take these locks in the same order, so that claims for a common identity wait for one another.
_LOCK_IDENTITIES = text("SELECT pg_advisory_xact_lock(key) FROM unnest(CAST(:keys AS bigint[])) AS key")

_CLOCK: Mapping[str, BindParameter[Any]] = {
    "boot": bindparam("observer", type_=Text),
    "since": bindparam("at", type_=BigInteger),
}
_INSERTED = (
    "id", "account", "location", "content", "owner", "request_id", "reference", "alike", "generation", "received_at",
    "previous", "card",
)  # fmt: skip
_OUTCOME = ("settled_at", "answer", "order_id", "provider_order_id", "proven", "settled_by", "open_until")
"""The columns that are empty again when an outcome is taken back."""
_SET_BY: Mapping[str, Sequence[str]] = {
    "place": ("answer", "order_id", "provider_order_id", "expected_charge", "charged", "proven", "settled_by"),
    "fail": ("ended",),
    "disprove": ("ended",),
    "rule_out": ("ended", "finding", "settled_by"),
}
"""The columns that a change sets in addition to the state and the times."""
_REPORTED: Mapping[str, State] = {
    "place": "unknown", "disprove": "unknown", "rule_out": "unknown", "dispute": "placed",
}  # fmt: skip
"""The changes that are events if they start from this state: the channel knows no outcome yet, or another."""


class Statements:
    """Every statement of the ledger except an operator's search; ``now`` is the database's clock or a parameter."""

    def __init__(self, database: Database, *, own_clock: bool) -> None:
        now = present(own_clock)
        term = bindparam("term", type_=BigInteger)
        lease_end = now + term
        this = _C.id == bindparam("this")
        of_status = ORDER_STATUSES.c.submission == bindparam("this")
        identity = insert(IDENTITIES, is_postgresql=database.is_postgresql)
        changes = {name: _guarded(transition, now) for name, transition in TRANSITIONS.items()}
        changes["begin_sending"] = changes["begin_sending"].values(
            sending_at=now,
            lease_until=lease_end,
            lease=term,
            received_at=func.coalesce(_C.received_at, bindparam("received", type_=BigInteger)),
        )
        changes["place"] = changes["place"].values(open_until=_open_until(now))
        for name in ("begin_sending", "lose"):
            changes[name] = changes[name].values(trace=func.coalesce(bindparam("left", type_=Text), _C.trace))
        for name in ("abandon", "expire", "rule_out"):
            # Nobody has changed it since it was seen.
            unchanged = _C.boot == bindparam("seen_boot"), _C.since == bindparam("seen_since", type_=BigInteger)
            changes[name] = changes[name].where(*unchanged)
        changes["abandon"] = changes["abandon"].values(ended="unsent")
        for name in ("rule_out", "fail"):
            changes[name] = changes[name].values(look_again_at=_look_again_at(now))
        for name in ("dispute", "take_back"):
            changes[name] = changes[name].values(dict.fromkeys(_OUTCOME, None))
        unchanged = _C.boot == bindparam("seen_boot"), _C.since == bindparam("seen_since", type_=BigInteger)
        changes["take_back"] = changes["take_back"].where(*unchanged, _C.settled_by.is_not(None))
        changes["take_back"] = changes["take_back"].values(ended=None, looked_again=0, look_again_at=None)
        outdated = select(_C.id).where(_C.settled_at < ago(own_clock, bindparam("retention", type_=BigInteger)))
        by_identity = IDENTITIES.c.digest == bindparam("digest")

        self.all: Select[Any] = select(SUBMISSIONS, now.label("seen_at"))
        prepare = database.prepare
        self.row = prepare(self.all.where(this))
        # Locked, so that its order is not made again unnoticed while a claim counts on the contrary.
        self.progress = prepare(
            select(ORDER_STATUSES.c.stage, ORDER_STATUSES.c.canceling_at).where(of_status).with_for_update(read=True)
        )
        self.match = prepare(self.all.add_columns(IDENTITIES.c.kind).join(IDENTITIES).where(by_identity))
        # By its index; a location has far more rows.
        self.requested = prepare(self.all.where(_C.request_id == bindparam("request_id")))
        self.open = prepare(
            self.all.where(_C.settled_at.is_(None)).order_by(_C.claimed_at).limit(bindparam("limit", type_=BigInteger))
        )
        unsettled = (
            select(_C.account, _C.state, _C.claimed_at)
            .where(_C.settled_at.is_(None))
            .limit(bindparam("limit", type_=BigInteger))
            .subquery()
        )
        group = unsettled.c.account, unsettled.c.state
        oldest = (now - func.min(unsettled.c.claimed_at)).label("age")
        self.count_open = prepare(select(*group, func.count().label("number"), oldest).group_by(*group))
        self.lock = prepare(_LOCK_IDENTITIES)
        fresh: dict[str, ColumnElement[Any]] = {
            "state": literal("claimed"),
            "claimed_at": now,
            "lease_until": lease_end,
            "lease": term,
            "looked_again": literal(0, BigInteger),
            **_CLOCK,
        }
        self.insert = prepare(SUBMISSIONS.insert().values(fresh), *_INSERTED)
        given = {name: bindparam(name, type_=_C[name].type) for name in _INSERTED}
        self._inserted: dict[str, ColumnElement[Any]] = {**given, **fresh}
        self._insertions: dict[int, Statement] = {}
        self._prepare = prepare
        self.in_doubt = prepare(self.all.where(*_in_doubt()).order_by(_C.claimed_at))
        sights = insert(SIGHTS, is_postgresql=database.is_postgresql)
        self.see = prepare(
            sights.on_conflict_do_update(
                index_elements=["submission", "change", "boot"], set_={"since": sights.excluded.since}
            ),
            *("submission", "change", "boot", "since"),
        )
        of_this = SIGHTS.c.submission == bindparam("this"), SIGHTS.c.change == bindparam("change")
        self.sight = prepare(select(SIGHTS.c.since).where(*of_this, SIGHTS.c.boot == bindparam("boot")))
        self.forget_sight = prepare(delete(SIGHTS).where(*of_this))
        is_repeated = SIGHTS.c.submission == bindparam("this"), SIGHTS.c.change.startswith(bindparam("kind"))
        self.sights = prepare(select(SIGHTS.c.change).where(*is_repeated).distinct())
        self.holder = prepare(
            self.all.where(
                _C.account == bindparam("account"),
                _C.provider_order_id == bindparam("order"),
                _C.state == "placed",
                _C.proven.is_not(None),
            )
        )
        self.due = prepare(
            self.all.where(
                is_due(_C.look_again_at, _C.looked_again, LOOKED_AGAIN, now), _C.account != bindparam("besides")
            )
            .order_by(_C.look_again_at)
            .limit(bindparam("limit", type_=BigInteger))
        )
        self.followers = prepare(
            self.all.where(
                _C.account == bindparam("account"),
                _C.claimed_at >= bindparam("after", type_=BigInteger),
                _C.previous == bindparam("this"),
            )
        )
        self.refused_before = prepare(self.all.where(_C.id == _refused_before()))
        self.look_again = prepare(
            update(SUBMISSIONS)
            .where(this, _C.looked_again == bindparam("was", type_=BigInteger))
            .values(look_again_at=bindparam("next", type_=BigInteger), **_finding(_C.finding)),
            "looked_again",
        )
        digests = select(IDENTITIES.c.digest, IDENTITIES.c.kind).where(IDENTITIES.c.submission == bindparam("this"))
        self.digests, self.charges = prepare(digests), prepare(digests.where(IDENTITIES.c.kind == "charge"))
        # No identity of a row that is locked can be added: its foreign key needs a lock of its own.
        self.hold = prepare(select(_C.id).where(this).with_for_update())
        self.key = prepare(select(KEYS.c.value).where(KEYS.c.name == bindparam("name")))
        keys = insert(KEYS, is_postgresql=database.is_postgresql)
        self.keep_key = prepare(keys.on_conflict_do_nothing(index_elements=["name"]), *("name", "value"))
        self.note = prepare(
            update(SUBMISSIONS)
            .where(this, _C.finding.is_distinct_from(bindparam("what", type_=Text)))
            .values(_finding())
        )
        elsewhere = bindparam("elsewhere", type_=BigInteger)
        mischarged = (
            update(SUBMISSIONS)
            .where(this, _C.state == "placed")
            .values(
                # An order that was found may have no price but what the provider took.
                expected_charge=func.coalesce(_C.expected_charge, _C.charged),
                charged=elsewhere,
            )
        )
        self.note_charge = prepare(mischarged)
        pointer = ("digest", "kind", "submission")
        self.introduce = prepare(identity.on_conflict_do_nothing(index_elements=["digest"]), *pointer)
        self.point = prepare(
            identity.on_conflict_do_update(
                index_elements=["digest"],
                set_={"kind": identity.excluded.kind, "submission": identity.excluded.submission},
            ),
            *pointer,
        )
        of_other = IDENTITIES.c.submission == bindparam("other")
        inherit = update(IDENTITIES).where(of_other).values(submission=bindparam("this"))
        self.inherit = prepare(inherit)
        # A charge belongs to the attempt that it was made for.
        self.follow = prepare(inherit.where(IDENTITIES.c.kind != "charge"))
        self.widen = prepare(update(SUBMISSIONS).where(this), "content")
        self.changes = {name: prepare(change, *_SET_BY.get(name, ())) for name, change in changes.items()}
        reported = [(name, _C.state == source) for name, source in _REPORTED.items()]
        # The same in two statements, for those who report: without an event, and with one.
        self.quiet = {name: prepare(changes[name].where(~said), *_SET_BY.get(name, ())) for name, said in reported}
        self.reported = {name: prepare(changes[name].where(said), *_SET_BY.get(name, ())) for name, said in reported}
        self.purge = prepare(delete(SUBMISSIONS).where(_C.id.in_(outdated.limit(bindparam("most", type_=BigInteger)))))
        self.forget = prepare(delete(SUBMISSIONS).where(this, _C.state == "claimed"))
        self.rename = prepare(update(SUBMISSIONS).where(this, _C.state == "claimed"), "reference")
        is_open = _C.finding == bindparam("what", type_=Text), _C.finding_closed_at.is_(None)
        self.withdraw = prepare(update(SUBMISSIONS).where(this, *is_open).values(finding_closed_at=now))

    def compile_frequent(self, digests: int) -> None:
        """Compile those that a new submission and a repetition run; for ``digests`` see the insertion."""
        ending = (self.changes[name] for name in ("begin_sending", "place", "fail"))
        looking = (self.key, self.keep_key, self.match, self.in_doubt)
        for statement in (self.insert_unless_in_doubt(digests), self.introduce, *ending, *looking):
            statement.compile()

    def insert_unless_in_doubt(self, digests: int) -> Statement:
        """Inserts a row unless a similar one may have been placed.

        Its ``digests`` digests are the parameters ``digest_0`` and following.
        """
        if (prepared := self._insertions.get(digests)) is None:
            same = or_(*(_C.alike.contains(bindparam(f"digest_{number}")) for number in range(digests)))
            doubtful = select(_C.id).where(*_in_doubt(), same).exists()
            row = select(*list(self._inserted.values())).where(~doubtful)
            prepared = self._prepare(SUBMISSIONS.insert().from_select([*self._inserted], row))
            self._insertions[digests] = prepared
        return prepared


def present(own_clock: bool) -> ColumnElement[int]:
    """The present in milliseconds: the database's own clock, or the parameter ``now``."""
    if own_clock:
        return cast(extract("epoch", func.clock_timestamp()) * 1000, BigInteger)
    return bindparam("now", type_=BigInteger)


def ago(own_clock: bool, span: ColumnElement[int] | int) -> ColumnElement[int]:
    """The time ``span`` milliseconds before the present, as it is when the statement begins; to find rows by.

    PostgreSQL reads the clock of :func:`present` for each row, and uses no index then.
    """
    if own_clock:
        return cast(extract("epoch", func.statement_timestamp()) * 1000, BigInteger) - span
    return bindparam("now", type_=BigInteger) - span


def is_due(
    look_at: ColumnElement[Any], looks: ColumnElement[Any], pauses: Sequence[timedelta], now: ColumnElement[int]
) -> ColumnElement[bool]:
    """Whether a row that was looked at ``looks`` times is to be looked at again ``now``.

    Its time has come, or is further away than its one of ``pauses``: then the clock has been set back.
    """
    pause = case({number: pause // timedelta(milliseconds=1) for number, pause in enumerate(pauses)}, value=looks)
    return or_(look_at <= now, and_(look_at > now, look_at - pause > now))


def _look_again_at(now: ColumnElement[int]) -> ColumnElement[int | None]:
    """When an order is looked up again (SUB-12): a ``pause`` from now, if any. Web checkout has looks of its own."""
    return case((_C.account != LEDGER_ACCOUNT, now + bindparam("pause", type_=BigInteger)))


def _open_until(now: ColumnElement[int]) -> ColumnElement[int | None]:
    """Until when an order placed ``now`` is open, if its time ``ready`` is that much later; otherwise NULL (STAT-5)."""
    ready, millisecond = bindparam("ready", type_=BigInteger), timedelta(milliseconds=1)
    at_most = now + OPEN_AT_MOST // millisecond
    return case(
        (ready > now + (OPEN_AT_MOST - WATCHED) // millisecond, at_most),
        (ready > now + LATER // millisecond, ready + WATCHED // millisecond),
    )


def _in_doubt() -> tuple[ColumnElement[bool], ...]:
    """The rows of a location whose order may exist."""
    return _C.location == bindparam("location"), _C.settled_at.is_(None), _C.state.in_(("sending", "unknown"))


def _refused_before() -> ScalarSelect[Any]:
    """The id of the last attempt before ``this`` that was refused, or has an order or may have one.

    The others may be many: each try is one that gets no answer of a look-up, and then sends nothing.
    """
    before = SUBMISSIONS.alias("before")
    this: BindParameter[str] = bindparam("this", type_=Text)
    names = ("id", "previous", "state", "ended")
    first = select(*(_C[name] for name in names)).where(_C.id == this).cte("attempts", recursive=True)
    older = select(*(before.c[name] for name in names)).join(first, before.c.id == first.c.previous)
    attempts = first.union(older.where(or_(first.c.id == this, _has_no_order(first.c))))
    return select(attempts.c.id).where(attempts.c.id != this, ~_has_no_order(attempts.c)).limit(1).scalar_subquery()


def _has_no_order(columns: Any) -> ColumnElement[bool]:
    """Whether an attempt has no order, and no late copy of a refused call either."""
    return and_(columns.state == "not_placed", columns.ended.is_distinct_from("refused"))


def _finding(otherwise: ColumnElement[Any] | None = None) -> dict[str, Any]:
    """The finding ``what`` with its order, ``otherwise`` if it is null; a new one is open, whatever was closed."""
    what = func.coalesce(bindparam("what", type_=Text), otherwise)
    is_known = _C.finding.is_not_distinct_from(what)
    numbers = ("found_order_id", "found_provider_order_id")
    return {
        "finding": what,
        "finding_closed_at": case((is_known, _C.finding_closed_at), else_=None),
        **{name: func.coalesce(bindparam(f"new_{name}", type_=Text), _C[name]) for name in numbers},
    }


def _guarded(transition: Transition, now: ColumnElement[int]) -> Update:
    change = update(SUBMISSIONS).where(_C.id == bindparam("this"), _C.state.in_(transition.sources))
    change = change.values(state=transition.target, **_CLOCK)
    return change.values(settled_at=now) if transition.target in SETTLED else change
