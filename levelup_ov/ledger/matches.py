"""What a submission is recognized by: the last use of its identities, and similar ones that are in doubt (SUB-3)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import timedelta
from typing import Any

from levelup_ov.domain.status import CALLED_OFF
from levelup_ov.ledger.clocks import Clocks
from levelup_ov.ledger.identity import DERIVED, WINDOWS, Kind
from levelup_ov.ledger.records import Submission, submission_of
from levelup_ov.ledger.references import Match
from levelup_ov.ledger.rows import Rows
from levelup_ov.ledger.sights import Sights
from levelup_ov.ledger.tables import Statements

SHORT = timedelta(days=1)
"""Windows up to this length are measured like leases; a clock step does not matter for longer ones."""
SLOW = timedelta(seconds=2)
"""An equal order under another identity waits for one that has been sending for longer."""


class Matches:
    """The uses of identities. Called in a transaction, with its cursor."""

    def __init__(self, sql: Statements, clocks: Clocks, sights: Sights, rows: Rows, *, is_postgresql: bool) -> None:
        self._sql = sql
        self._clocks = clocks
        self._sights = sights
        self._rows = rows
        self._is_postgresql = is_postgresql

    def lock(self, cursor: Any, digests: Iterable[str]) -> None:
        """Make claims for a common identity wait for one another; on SQLite all claims do."""
        if self._is_postgresql:
            self._sql.lock.run(cursor, {"keys": sorted(map(_advisory_key, digests))})

    def of(self, cursor: Any, digests: Mapping[str, Kind]) -> list[Match]:
        """The last use of each identity.

        The rows need no lock: what frees an identity (not placed, or a window that passed) never changes back, and
        resolving an expired lease is a guarded change.
        """
        matches = []
        for digest in digests:
            row = self._sql.match.first(cursor, {"digest": digest, "now": self._clocks.now()})
            if row:
                matches.append(Match(digest, row.kind, self._rows.resolve_expired(cursor, submission_of(row))))
        return matches

    def settled(self, cursor: Any, digests: Mapping[str, Kind]) -> list[Match]:
        """The last use of each identity; until this transaction ends, no other claim follows what was not placed."""
        matches = self.of(cursor, digests)
        ended = not_placed(matches) if self._is_postgresql else ()
        for submission in ended:
            self._sql.hold.first(cursor, {"this": submission.id})
        # A claim for another identity of theirs may just have followed them.
        return self.of(cursor, digests) if ended else matches

    def is_held(self, cursor: Any, match: Match) -> bool:
        """Whether an identity is still taken by its submission (SUB-3)."""
        submission, window = match.submission, WINDOWS[match.kind]
        if submission.state != "placed" or submission.settled_at is None:
            return submission.state != "not_placed"
        if window > SHORT and submission.seen_at < submission.settled_at + window:
            return True
        if window > SHORT and not self._sights.is_mine(submission):
            return False
        if self._sights.unchanged_for(cursor, submission) >= window:
            return False
        return match.kind not in DERIVED or not self.is_called_off(cursor, submission.id)

    def is_called_off(self, cursor: Any, id: str) -> bool:
        """Whether nobody makes an order, by its last known status."""
        status = self._sql.progress.first(cursor, {"this": id})
        return status is not None and status.stage in CALLED_OFF

    def may_be_called_off(self, cursor: Any, id: str) -> bool:
        """Whether somebody has begun to cancel an order, and it is not known what became of that."""
        status = self._sql.progress.first(cursor, {"this": id})
        return status is not None and status.canceling_at is not None and status.stage not in CALLED_OFF

    def in_doubt(self, cursor: Any, location: str, known: tuple[str, ...], lease: timedelta) -> Submission | None:
        """The submission with one of these digests whose order may exist, if any.

        It is unknown, or has been sending for longer than its owner's ``lease``: then the owner may have reported an
        unknown outcome to the channel without being able to record it. One that has been sending for more than
        :data:`SLOW` comes last: its owner may have done so too, or may still be working on it.
        """
        slow = None
        for row in self._sql.in_doubt.all(cursor, {"location": location, "now": self._clocks.now()}):
            if set(known) & set(row.alike.split()):
                submission = self._rows.resolve_expired(cursor, submission_of(row))
                if submission.state == "unknown":
                    return submission
                if submission.state == "sending" and self.may_be_given_up(cursor, submission, lease):
                    return submission
                if submission.state == "sending" and self._sights.unchanged_for(cursor, submission) >= SLOW:
                    slow = submission
        return slow

    def may_be_given_up(self, cursor: Any, submission: Submission, lease: timedelta) -> bool:
        return not self._sights.is_mine(submission) or self._sights.unchanged_for(cursor, submission) >= lease


def _advisory_key(digest: str) -> int:
    return int.from_bytes(bytes.fromhex(digest[:16]), "big", signed=True)


def not_placed(matches: Iterable[Match]) -> list[Submission]:
    """The attempts among them that were not placed, each once, always in the same sequence."""
    ended = {match.submission.id: match.submission for match in matches if match.submission.state == "not_placed"}
    return [ended[id] for id in sorted(ended)]
