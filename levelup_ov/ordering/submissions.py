"""At most one order per submission: claim it, place it once, record its outcome, and reconcile what is unknown.

The rules are SUB-2 to SUB-5 and SUB-8 to SUB-13; the states are the ledger's. The order's own checks and its
provider are passed in as functions, so that the whole protocol is here and in three modules beside: ``attempts``
(what happens before the first byte is sent), ``outcomes`` (what is recorded afterwards) and ``reconciling`` (what
proves an outcome that is unknown).
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import timedelta
from typing import Any

from levelup_ov.domain.failure import Failure
from levelup_ov.domain.submission import Ended
from levelup_ov.errors import ReferenceFenced, Refused
from levelup_ov.ledger import limits
from levelup_ov.ledger.engine import LedgerUnavailable
from levelup_ov.ledger.identity import window_of
from levelup_ov.ledger.ledger import Ledger
from levelup_ov.ledger.records import (
    AlreadyPlaced,
    Claim,
    Claimed,
    Clash,
    Incomparable,
    InProgress,
    NeverSent,
    Reused,
    Submission,
    Superseded,
    Unknown,
)
from levelup_ov.ordering.attempts import Attempt, OwnedSubmission, SubmissionKey, in_progress
from levelup_ov.ordering.outcomes import (
    OutcomeRecorder,
    Settlement,
    facts_of,
    is_placed,
    not_its_own,
    order_facts,
    outcome_unknown,
    replay,
)
from levelup_ov.ordering.reconciling import Fence, Reconciler
from levelup_ov.transport.deadline import Deadline
from levelup_ov.transport.session import Call

SETTLING_TIME = 0.8
"""Seconds of the deadline that are left to record an outcome; a twentieth of a short one."""
MOST_FENCED = 8
"""References of a submission that are tried in one request, where the provider fences one after the other."""
CLAIM_PATIENCE = 1.0
"""Seconds that a submission waits for a slot among those waiting for the ledger; a burst is over sooner."""

log = logging.getLogger(__name__)


class Submissions:
    """The protocol for one ledger.

    ``deadline``: seconds that a submission may take; ``grace``: seconds after its deadline for which a
    request may still be on its way, so that "no such order" proves nothing yet. ``claims``: how many may wait for the
    ledger at once before anything is sent; what was sent is always settled.
    """

    def __init__(self, ledger: Ledger, *, deadline: float, grace: float, claims: int = 64) -> None:
        self.ledger = ledger
        self.settling_time = min(SETTLING_TIME, deadline / 20)
        self._claiming = threading.BoundedSemaphore(claims)
        self._deadline = timedelta(seconds=deadline)
        self._lease = timedelta(seconds=deadline + grace)
        self._outcomes = OutcomeRecorder(ledger, self.settling_time)
        self.reconciler = Reconciler(ledger, self._outcomes, deadline=deadline, grace=grace)

    def submit(
        self,
        key: SubmissionKey,
        place_order: Callable[[Attempt], Settlement],
        find_order: Callable[[Submission], Settlement | None],
        *,
        deadline: Deadline | None = None,
        fence: Fence | None = None,
        give_up: Callable[[Submission], None] | None = None,
        calls: Sequence[Call] | None = None,
        find_refused: Callable[[Submission], Settlement | None] | None = None,
    ) -> Settlement:
        """Place the order; if it was placed before, return the recorded answer (SUB-4).

        The ledger takes no longer than ``deadline``. ``find_refused`` looks up an order that was refused before this
        try, where a late copy of its call may have been accepted. For the rest see :meth:`Reconciler.reconcile`.

        :raises Failure: ``submission_in_progress``, ``idempotency_key_reused``, ``outcome_unknown``,
            ``ledger_unavailable``, or why the order was not placed.
        """
        fenced = 0
        with limits.within(deadline.remaining() if deadline else self._deadline.total_seconds()):
            while True:
                match claim := self._claim(key):
                    case Claimed():
                        try:
                            return self._place(claim, key, place_order, find_refused)
                        except ReferenceFenced:
                            # The ledger may have lost the attempt that was ruled out, or it was ruled out just now.
                            fenced += 1
                            if fenced == MOST_FENCED:
                                raise
                    case Unknown(submission=submission, placed=placed):
                        try:
                            settlement = self.reconciler.reconcile(
                                submission, find_order, deadline=deadline, fence=fence, give_up=give_up,
                                calls=calls, key=key,
                            )  # fmt: skip
                        except LedgerUnavailable:
                            # An earlier request has sent it.
                            raise outcome_unknown("what was found cannot be recorded") from None
                        except Failure:
                            if (settlement := self._recorded_since(submission, key)) is None:
                                raise
                        if settlement is not None:
                            return self._outcomes.either(submission, settlement, placed)
                    case _:
                        return _answer(claim)

    def recall(self, key: SubmissionKey, why_unknown: str) -> Settlement | None:
        """The recorded answer of a submission that can be neither placed nor looked up here; None: it has no outcome.

        :raises Failure: ``submission_in_progress``, ``idempotency_key_reused``, ``ledger_unavailable``; or
            ``outcome_unknown`` for the reason ``why_unknown``.
        """
        try:
            claim = self._claim(key, claims=False)
        except NeverSent:
            return None
        if isinstance(claim, Unknown | Claimed):
            raise outcome_unknown(why_unknown)
        return _answer(claim)

    def kept_key(self, first: bytes) -> bytes:
        """The key that the ledger keeps: see :meth:`Ledger.reference_key`."""
        with self._claim_room():
            return self.ledger.reference_key(first)

    def suspect(self, key: SubmissionKey) -> Submission:
        """The row of a submission that somebody may have sent although the ledger has no record of that.

        That is so if the database has gone back. The row is unknown until it is reconciled, or another order of the
        same identities is found. It has the reference of the next attempt, which the lost one had (SUB-11).

        :raises Failure: ``outcome_unknown``, ``submission_in_progress``.
        """
        match claim := self._claim(key):
            case Claimed(id=id):
                self.ledger.transitions.begin_sending(id, lease=self._lease)
                self.ledger.transitions.lose(id)
                found = self.ledger.reader.show(id)
            case AlreadyPlaced() | Unknown():
                found = claim.submission
            case InProgress():
                raise in_progress()
            case Reused() | Incomparable():
                found = None
        if found is None:
            raise outcome_unknown("it may have been sent, and its reference is not known")
        log.warning("lost_submission_suspected", extra=facts_of(found))
        return found

    def next_reference(self, key: SubmissionKey) -> str:
        """The reference that the next attempt at a submission has (SUB-11); ``key`` names an identity."""
        assert key.reference is not None
        return self.ledger.claims.next_reference(key.identities, key.content, key.alike, key.reference)

    def _claim(self, key: SubmissionKey, *, claims: bool = True) -> Claim:
        with self._claim_room():
            return self.ledger.claims.claim(
                account=key.account,
                location=key.location,
                identities=key.identities,
                content=key.content,
                # Nothing is sent after the deadline.
                lease=self._deadline,
                request_id=key.request_id,
                alike=key.alike,
                reference=key.reference,
                card=key.card,
                is_paid=key.is_paid,
                now=key.now,
                claims=claims,
            )

    def _recorded_since(self, submission: Submission, key: SubmissionKey) -> Settlement | None:
        """The order of an unknown submission, if somebody else has found it while this request looked for it.

        Who is told that it is unknown may order again under another key, which is another order once this one is known.
        Its row is written again if the ledger has lost it, or its mark, as the order may have been sent again by now.
        """
        with suppress(LedgerUnavailable, Superseded), limits.extended(self.settling_time):
            if is_placed(found := self.ledger.reader.show(submission.id)):
                return replay(found)
            if found is None or found.state == "claimed":
                self.reconciler.keep(submission, key)
        return None

    def knows(self, key: SubmissionKey) -> bool:
        """Whether the ledger has this submission, or one that it may repeat. :raises Failure: it cannot be read."""
        return self.ledger.claims.knows(key.location, key.identities, (*key.alike, *key.content))

    @contextmanager
    def _claim_room(self) -> Iterator[None]:
        """A slot for a thread that waits for the ledger, so that a slow ledger leaves threads for the rest.

        :raises Failure: ``ledger_unavailable``: none was free for :data:`CLAIM_PATIENCE`.
        """
        if not self._claiming.acquire(timeout=CLAIM_PATIENCE):
            raise LedgerUnavailable("too many submissions are waiting for the ledger")
        try:
            yield
        finally:
            self._claiming.release()

    def _place(
        self,
        claim: Claimed,
        key: SubmissionKey,
        place_order: Callable[[Attempt], Settlement],
        find_refused: Callable[[Submission], Settlement | None] | None,
    ) -> Settlement:
        id, received_at = claim.id, claim.received_at or key.now
        owned = OwnedSubmission(self.ledger, claim, key, received_at, self._lease)
        attempt = Attempt(
            id,
            claim.reference,
            received_at,
            owned.mark,
            lambda: self.ledger.transitions.check_sending(id),
            self.settling_time,
            lambda trace: self._outcomes.quietly(lambda: owned.mark_late(trace)),
        )
        facts = {
            "submission": id,
            "reference": claim.reference,
            "account": key.account,
            "location": key.location,
            "request_id": key.request_id,
        }
        try:
            late = find_refused and self._come_late(claim, key, find_refused)
            if late:
                refused, settlement = late
                attempt.placement.begin()
                self._outcomes.quietly(lambda: owned.take_over(refused))
                facts["reference"] = refused.reference
                log.warning("refused_order_was_placed", extra={**facts, "cause": "it came after its refusal"})
            else:
                settlement = place_order(attempt)
        except Exception as error:
            is_refused = isinstance(error, Refused) and error.proof and not attempt.placement.is_unanswered
            if not attempt.order_may_stand or is_refused:
                ended = _ended(error, attempt)
                if self._outcomes.quietly(lambda: self.ledger.transitions.fail(id, ended)):
                    raise
            elif not isinstance(error, LedgerUnavailable):
                # Otherwise the ledger has just used up the time, and the lease resolves it.
                self._outcomes.quietly(
                    lambda: owned.settle(lambda: self.ledger.transitions.lose(id, trace=attempt.trace_if_unknown))
                )
            log.error(
                "outcome_unknown",
                extra={
                    **facts,
                    "cause": getattr(error, "code", type(error).__name__),
                    "remedy": "the next identical request or `levelup-ov submissions reconcile` reconciles it",
                },
                exc_info=None if isinstance(error, Failure) else error,
            )
            raise outcome_unknown("no answer of the provider proves whether the order exists") from None
        try:
            with limits.extended(self.settling_time):
                owned.settle(lambda: self._outcomes.record(id, settlement))
        except Superseded as superseded:
            self._outcomes.report_superseded(superseded, facts, settlement)
        except Clash as clash:
            raise not_its_own(facts, settlement, clash) from None
        except LedgerUnavailable:
            # The order exists, whatever the ledger says: report it to the channel now; the ledger is reconciled later.
            log.error("placed_but_not_recorded", extra={**facts, **order_facts(settlement.placed)})
            settlement = replace(settlement, is_recorded=False)
        else:
            if late:
                self._outcomes.quietly(lambda: self.ledger.findings.withdraw(refused.id))
        self._outcomes.check_order(id, settlement.placed, facts)
        return settlement

    def _come_late(
        self, claim: Claimed, key: SubmissionKey, find_refused: Callable[[Submission], Settlement | None]
    ) -> tuple[Submission, Settlement] | None:
        """An attempt at this order that was refused before, with the order of it that the provider has all the same.

        :raises Failure: the provider, or the ledger, gives no answer.
        """
        if claim.previous is None:
            return None
        refused = self.ledger.reader.refused_before(claim.id, window_of(key.identities))
        found = refused and find_refused(refused)
        return (refused, replace(found, replayed=True)) if refused and found else None

    def restore(
        self,
        key: SubmissionKey,
        id: str,
        settlement: Settlement | None,
        also: Callable[[Any], None],
        trace: Mapping[str, Any] | None = None,
    ) -> None:
        """Write a submission again that its ledger has lost after it was sent; ``settlement``: its outcome, if known.

        ``also`` is called with the cursor of the transaction. ``trace``: as in :meth:`Transitions.begin_sending`.

        :raises Superseded: its identities belong to another attempt by now.
        """
        with limits.extended(self.settling_time):
            OwnedSubmission(self.ledger, Claimed(id, id), key, key.now, self._lease, trace).restore(also)
            if settlement is not None:
                self._outcomes.record(id, settlement)


def _answer(claim: AlreadyPlaced | InProgress | Reused | Incomparable) -> Settlement:
    """What is answered to a submission that was sent before. :raises Failure: it has no answer."""
    match claim:
        case AlreadyPlaced(submission=submission):
            return replay(submission)
        case InProgress():
            raise in_progress()
        case Reused():
            raise Failure("idempotency_key_reused", "this submission was sent before with a different order (SUB-4)")
        case Incomparable(submission=submission):
            remedy = "put the key that was dropped from LEVELUP_OV_SECRET_KEYS back"
            log.error("secret_key_missing", extra={**facts_of(submission), "remedy": remedy})
            raise outcome_unknown("a secret key is missing by which it can be compared with what was sent before")


def _ended(error: Exception, attempt: Attempt) -> Ended:
    if isinstance(error, ReferenceFenced):
        return "fenced"
    return "refused" if attempt.order_may_stand else "unsent"
