"""Claiming a submission before anything is sent, or recognizing that it was claimed before (SUB-3, SUB-4)."""

from __future__ import annotations

import os
import socket
import uuid
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any

from levelup_ov.domain.submission import State
from levelup_ov.ledger.clocks import Clocks
from levelup_ov.ledger.database import Database
from levelup_ov.ledger.identity import DERIVED, Identity, charge_digest, compared_digests, kinds_of
from levelup_ov.ledger.matches import Matches, not_placed
from levelup_ov.ledger.records import (
    MILLISECOND,
    AlreadyPlaced,
    Claim,
    Claimed,
    Incomparable,
    InProgress,
    NeverSent,
    Reused,
    Submission,
    Unknown,
    from_ms,
    new_id,
)
from levelup_ov.ledger.references import following
from levelup_ov.ledger.tables import Statements

# In order of preference, if the identities of one claim belong to several submissions: while one of them may still be
# ruled out, an answer from another would not bind its identities.
_VERDICTS: Mapping[State, type[AlreadyPlaced | Unknown | InProgress]] = {
    "unknown": Unknown,
    "sending": InProgress,
    "claimed": InProgress,
    "placed": AlreadyPlaced,
}


class _Seen(Exception):
    """An identity was used before."""


class Claims:
    """The claims of a ledger; raises ``LedgerUnavailable`` like it."""

    def __init__(self, database: Database, sql: Statements, clocks: Clocks, matches: Matches) -> None:
        self._database = database
        self._sql = sql
        self._clocks = clocks
        self._matches = matches
        self._host = socket.gethostname()

    def claim(
        self,
        *,
        account: str,
        location: str,
        identities: tuple[Identity, ...],
        content: tuple[str, ...],
        lease: timedelta,
        alike: tuple[str, ...] = (),
        request_id: str | None = None,
        reference: Callable[[int], str] | None = None,
        card: bool = False,
        is_paid: bool = False,
        now: datetime | None = None,
        claims: bool = True,
    ) -> Claim:
        """Reserve the right to send a submission, or return its outcome (SUB-3, SUB-4).

        All identities are claimed together; a match on any of them decides. If the content is the same, identities
        that are new, or digested under new keys, are added to the submission that was found, so that a later request
        with only those finds it too. The identities of an attempt that was not placed all go over to the one that
        follows it. An unknown submission is also found by ``alike``, digests like ``content``, which is also their
        default. ``is_paid``: this one has a charge of its own, so it is not the same order, and must wait
        until the other's outcome is known. The id of the charge is its ``request_id``, by which
        :meth:`SubmissionReader.requested` finds it, also where it is the same as an earlier one.
        ``lease`` must cover everything before :meth:`Transitions.begin_sending`.
        ``reference`` returns our reference for a generation (SUB-11); without it, each claim has a new one.
        ``now``: when the submission was received. ``claims``: False claims nothing, and only returns the outcome.

        :raises NeverSent: there is none to return.
        """
        kinds = kinds_of(identities)
        if not kinds or not content:
            raise ValueError("a submission without an identity or content cannot be claimed")
        this, compared = new_id(), compared_digests(identities, content)
        # Rows of releases before 0003 have only the content.
        known = tuple(dict.fromkeys((*alike, *content)))
        pointers = [{"digest": digest, "kind": kind, "submission": this} for digest, kind in kinds.items()]
        row: dict[str, Any] = {
            "id": this,
            "account": account,
            "location": location,
            "content": " ".join(compared),
            "alike": " ".join(alike or content),
            "owner": f"{self._host}/{os.getpid()}",
            "request_id": request_id,
            "reference": reference(0) if reference else str(uuid.uuid4()),
            "generation": 0,
            "received_at": None,
            "previous": None,
            "card": int(card),
            "term": lease // MILLISECOND,
            **{f"digest_{number}": digest for number, digest in enumerate(known)},
        }

        def once(cursor: Any, look: bool) -> Claim:
            self._matches.lock(cursor, kinds)
            insert, point = self._sql.insert_unless_in_doubt(len(known)), self._sql.introduce
            ended: list[Submission] = []
            if look:
                matches = self._matches.settled(cursor, kinds)
                held = {match.digest: match.submission for match in matches if self._matches.is_held(cursor, match)}
                if not held and (doubtful := self._matches.in_doubt(cursor, location, known, lease)):
                    is_slow = doubtful.state == "sending" and not self._matches.may_be_given_up(cursor, doubtful, lease)
                    if is_slow or is_paid:
                        return InProgress(doubtful)
                    held = {"": doubtful}
                if held:
                    return self._recognized(cursor, held, identities, compared, this, request_id if is_paid else None)
                if not claims:
                    raise NeverSent
                insert, point = self._sql.insert, self._sql.point
                if matches:
                    row.update(following(matches, identities, compared, alike, reference, now))
                ended = [each for each in not_placed(matches) if set(compared) & set(each.content)]
                # What is recognized by an identity of theirs must be comparable, too.
                every = [digest for each in ended for digest in each.content]
                row["content"] = " ".join(dict.fromkeys((*compared, *every)))
            if not insert.run(cursor, {**row, **self._clocks.of_change()}).rowcount:
                raise _Seen
            if point.run_each(cursor, pointers) < len(pointers):
                raise _Seen
            for before in ended:
                self._sql.follow.run(cursor, {"this": this, "other": before.id})
            received = row["received_at"] and from_ms(row["received_at"])
            return Claimed(this, row["reference"], received, row["generation"], row["previous"])

        if not claims:
            return self._database.run(lambda cursor, _: once(cursor, True))
        try:
            # Nearly every submission is new, and then nothing needs to be read.
            return self._database.run(once)
        except _Seen:
            return self._database.run(lambda cursor, _: once(cursor, True))

    def next_reference(
        self,
        identities: tuple[Identity, ...],
        content: tuple[str, ...],
        alike: tuple[str, ...],
        reference: Callable[[int], str],
    ) -> str:
        """The reference that a claim of these identities would have; for the arguments see :meth:`claim`."""
        matches = self._database.run(lambda cursor, _: self._matches.of(cursor, kinds_of(identities)))
        if not matches:
            return reference(0)
        return str(following(matches, identities, content, alike, reference)["reference"])

    def knows(self, location: str, identities: tuple[Identity, ...], alike: tuple[str, ...]) -> bool:
        """Whether a row has one of the identities, or is not settled at the location and has a digest of ``alike``."""
        digests = kinds_of(identities)

        def work(cursor: Any, _again: bool) -> bool:
            if any(self._sql.match.first(cursor, {"digest": digest, "now": self._clocks.now()}) for digest in digests):
                return True
            rows = self._sql.in_doubt.all(cursor, {"location": location, "now": self._clocks.now()})
            return any(set(alike) & set(row.alike.split()) for row in rows)

        return self._database.run(work)

    def _recognized(
        self,
        cursor: Any,
        held: Mapping[str, Submission],
        identities: tuple[Identity, ...],
        content: tuple[str, ...],
        this: str,
        charge: str | None,
    ) -> Claim:
        """The verdict for a claim whose identities are taken; its new identities are added to the submission found."""
        same = [submission for submission in held.values() if set(content) & set(submission.content)]
        if not same:
            incomparable = {each.kept for each in identities if each.kept_content is None}
            other = next((held[digest] for digest in held if digest not in incomparable), None)
            return Reused(other) if other is not None else Incomparable(next(iter(held.values())))
        kinds = kinds_of(identities)
        found = min(same, key=lambda submission: list(_VERDICTS).index(submission.state))
        placed = next((submission for submission in same if submission.state == "placed"), None)
        if charge is not None and charge != found.request_id:
            kinds = {**kinds, charge_digest(charge): "charge"}
        self._sql.point.run_each(
            cursor,
            [
                {"digest": digest, "kind": kind, "submission": (placed or found).id}
                for digest, kind in kinds.items()
                if digest not in held
            ],
        )
        if under_new_keys := [digest for digest in content if digest not in found.content]:
            every = " ".join((*under_new_keys, *found.content))
            self._sql.widen.run(cursor, {"this": found.id, "content": every})
        # It finds its own row if the first try was committed but the connection broke.
        if found.id == this:
            return Claimed(this, found.reference, found.received_at, found.generation, found.previous)
        is_derived = not set(DERIVED).isdisjoint(kinds.values())
        if is_derived and found.state == "placed" and self._matches.may_be_called_off(cursor, found.id):
            return InProgress(found)
        return Unknown(found, placed) if found.state == "unknown" else _VERDICTS[found.state](found)
