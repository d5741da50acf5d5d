"""Checkout sessions and their idempotency keys, in the ledger's database.

Every change names the version that it was made from, so that only one of two competing changes succeeds. Contents
arrive here sealed, keys and bodies as keyed digests. Times are milliseconds since 1970 in UTC.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from operator import attrgetter
from typing import Any

from sqlalchemy import BigInteger, Text, and_, bindparam, case, delete, func, literal, or_, select, union_all, update

from levelup_ov.ledger.database import Database
from levelup_ov.ledger.records import to_ms
from levelup_ov.ledger.statements import insert
from levelup_ov.ledger.tables import PURGED_AT_ONCE, SESSION_KEYS, SESSIONS

UNKNOWN_FOR = timedelta(days=7)
"""How long after its end an unknown outcome is still looked for; a validation is as old by then (META-8)."""
SESSION_RETENTION = timedelta(days=30)
"""How long the row of an expired session is kept without its content: its keys and its order's number."""
FIRST = 1
"""The version of a new session."""
IN_PROGRESS = "complete_in_progress"
"""The state whose content is needed to reconcile an order."""


# Neither is frozen: with so many members that takes longer than to read the row. Nobody changes one.
@dataclass(slots=True)
class StoredSession:
    """A session's row, in the order of its columns. ``content`` is sealed, None once it is purged.

    ``attempt`` counts the completions that are proven to have placed nothing. ``held``: the mark of the lease of the
    request that completes it. ``order_id``: the placed order's number; ``submitted_as``: the key of its submission.
    ``made_with``, ``made_from``: the idempotency key of its creation, and the digest of what came with it, as long as
    the session is at its first version; then they are a :class:`StoredKey`.
    """

    id: str
    caller: str
    account: str
    location: str
    state: str
    version: int
    attempt: int
    content: str | None = field(repr=False)
    held: str | None
    order_id: str | None
    submitted_as: str | None
    created_at: int
    expires_at: int
    made_with: str | None = None
    made_from: str | None = None


@dataclass(slots=True)
class StoredKey:
    """An idempotency key's row, in the order of its columns. ``body`` is the digest of what came with it.

    ``state``, ``version`` and ``content`` are those of the answer, None until there is one. The key of a creation has a
    row only once its session has another version.
    """

    digest: str
    session: str
    body: str
    state: str | None = None
    version: int | None = None
    content: str | None = field(default=None, repr=False)

    def answered(self, row: StoredSession) -> StoredKey:
        """The key with ``row`` as its answer."""
        return replace(self, session=row.id, state=row.state, version=row.version, content=row.content)


class KeyTaken(Exception):
    """Another request was first with this idempotency key; nothing was changed."""


class StoredSessions:
    """The tables in ``database``; raises ``LedgerUnavailable`` if they cannot be used."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._taken: type[Exception] = database.engine.dialect.loaded_dbapi.IntegrityError
        prepare, columns = database.prepare, [column.name for column in SESSIONS.c]
        self._insert = prepare(SESSIONS.insert().from_select(columns, _NEW), *columns)
        self._row = prepare(select(SESSIONS).where(_S.id == bindparam("this")))
        self._change = prepare(_CHANGE)
        self._key = prepare(_KEY)
        self._keep_first = prepare(_KEEP_FIRST)
        keys = insert(SESSION_KEYS, is_postgresql=database.is_postgresql)
        names = [column.name for column in _K]
        # The release before may have made another session with it.
        self._move_key = prepare(keys.from_select(names, _MADE_WITH).on_conflict_do_nothing(index_elements=["digest"]))
        answer = {name: keys.excluded[name] for name in ("state", "version", "content")}
        self._put_key = prepare(
            keys.from_select(names, _NEW_KEY).on_conflict_do_update(
                index_elements=["digest"],
                set_=answer,
                where=and_(_K.state.is_(None), _K.session == keys.excluded.session, _K.body == keys.excluded.body),
            )
        )
        self._seals, self._key_seals, self._gone = (prepare(purge) for purge in _PURGES)

    def add(self, row: StoredSession, key: StoredKey | None) -> None:
        """Store a new session, and the key of the request that made it, with ``row`` as its answer.

        :raises KeyTaken: nothing was stored.
        """
        values = _values(row)
        if key is not None:
            values |= {"made_with": key.digest, "made_from": key.body}

        def work(cursor: Any, again: bool) -> bool:
            # The first try may have been committed before its connection broke.
            if again and self._row.first(cursor, {"this": row.id}):
                return True
            return bool(self._insert.run(cursor, values).rowcount)

        try:
            is_stored = self._database.run(work, single=True)
        except self._taken:
            is_stored = False
        if not is_stored:
            raise KeyTaken

    def find(self, id: str) -> StoredSession | None:
        """The session with this id."""
        row = self._database.first(self._row, {"this": id})
        return StoredSession(*row) if row else None

    def find_key(self, digest: str) -> StoredKey | None:
        """The key with this digest."""
        row = self._database.first(self._key, {"this": digest})
        return StoredKey(*row) if row else None

    def change(
        self,
        before: StoredSession,
        after: StoredSession,
        key: StoredKey | None = None,
        *,
        answers: bool = True,
        also: Callable[[Any], None] | None = None,
    ) -> StoredSession | None:
        """Replace ``before`` by ``after``, with the next version; None: somebody else has changed it.

        ``key``: that of the request, stored with it; ``answers``: with ``after`` as its answer. ``also``: what else
        the transaction writes, with its cursor.

        :raises KeyTaken: nothing was changed.
        """
        after = replace(after, version=before.version + 1, made_with=None, made_from=None)
        if key is not None and answers:
            key = key.answered(after)
        values = {f"new_{name}": value for name, value in _values(after).items()}
        given = {**values, "this": before.id, "was": before.version}

        is_first = before.version == FIRST

        def work(cursor: Any, again: bool) -> bool:
            if is_first:
                keep = self._keep_first if before.made_with is None else self._move_key
                keep.run(cursor, {"this": before.id})
            if not self._change.run(cursor, given).rowcount:
                # The first try may have been committed before its connection broke.
                row = self._row.first(cursor, {"this": before.id}) if again else None
                return row is not None and StoredSession(*row) == after
            if key is not None and not self._put_key.run(cursor, _values(key)).rowcount:
                raise KeyTaken
            if also is not None:
                also(cursor)
            return True

        single = key is None and also is None and not is_first
        return after if self._database.run(work, single=single) else None

    def purge(self, now: datetime) -> int:
        """Remove what expired sessions contain; returns how many. Old rows are deleted."""
        values = {
            "now": to_ms(now),
            "unknown_before": to_ms(now - UNKNOWN_FOR),
            "gone_before": to_ms(now - SESSION_RETENTION),
            "after": 0,
        }
        purged = 0
        while True:
            part = self._database.run(lambda cursor, _: self._purge_some(cursor, values))
            purged += len(part)
            if len(part) < PURGED_AT_ONCE:
                return purged
            # Those that expired before were emptied, and are not read again.
            values["after"] = max(row.expires_at for row in part)

    def _purge_some(self, cursor: Any, values: Mapping[str, int]) -> Sequence[Any]:
        purged = self._seals.all(cursor, values)
        self._key_seals.run_each(cursor, [{"this": row.id} for row in purged])
        self._gone.run(cursor, values)
        return purged


_S, _K = SESSIONS.c, SESSION_KEYS.c
_FIXED = ("id", "caller", "account", "created_at")
_CHANGE = (
    update(SESSIONS)
    .where(_S.id == bindparam("this"), _S.version == bindparam("was", type_=BigInteger))
    .values({each.name: bindparam(f"new_{each.name}", type_=each.type) for each in _S if each.name not in _FIXED})
)
_NEW = select(*[bindparam(each.name, type_=each.type) for each in _S]).where(
    ~select(_K.digest).where(_K.digest == bindparam("made_with", type_=Text)).exists()
)
_NEW_KEY = select(*[bindparam(each.name, type_=each.type) for each in _K]).where(
    ~select(_S.id).where(_S.made_with == bindparam("digest", type_=Text)).exists()
)
_MADE_WITH = select(_S.made_with, _S.id, _S.made_from, _S.state, _S.version, _S.content).where(
    _S.id == bindparam("this"), _S.version == FIRST
)
_KEY = union_all(
    select(
        *[column for column in _K if column.name != "content"],
        # The release before keeps the first content only in the session, until there is another.
        func.coalesce(_K.content, case((_S.version == _K.version, _S.content))).label("content"),
    )
    .join(SESSIONS, _S.id == _K.session)
    .where(_K.digest == bindparam("this")),
    # A worker of the release before changes a session without moving its key: then the first content is gone.
    select(
        _S.made_with, _S.id, _S.made_from, _S.state, literal(FIRST, BigInteger), case((_S.version == FIRST, _S.content))
    ).where(_S.made_with == bindparam("this")),
)
_KEEP_FIRST = (
    update(SESSION_KEYS)
    .where(_K.session == bindparam("this"), _K.version == FIRST, _K.content.is_(None))
    .values(content=select(_S.content).where(_S.id == bindparam("this"), _S.version == FIRST).scalar_subquery())
)
_OVER = and_(
    _S.content.is_not(None),
    _S.expires_at >= bindparam("after", type_=BigInteger),
    or_(
        and_(_S.expires_at < bindparam("now", type_=BigInteger), _S.state != IN_PROGRESS),
        _S.expires_at < bindparam("unknown_before", type_=BigInteger),
    ),
)
_PURGES = (
    update(SESSIONS)
    .where(_S.id.in_(select(_S.id).where(_OVER).order_by(_S.expires_at).limit(PURGED_AT_ONCE)))
    .values(content=None)
    .returning(_S.id, _S.expires_at),
    update(SESSION_KEYS).where(_K.session == bindparam("this"), _K.content.is_not(None)).values(content=None),
    delete(SESSIONS).where(
        _S.id.in_(select(_S.id).where(_S.expires_at < bindparam("gone_before", type_=BigInteger)).limit(PURGED_AT_ONCE))
    ),
)


_VALUES = {each: attrgetter(*each.__slots__) for each in (StoredSession, StoredKey)}


def _values(row: StoredSession | StoredKey) -> dict[str, Any]:
    # As dataclasses.asdict, which copies every value.
    return dict(zip(row.__slots__, _VALUES[type(row)](row), strict=True))
