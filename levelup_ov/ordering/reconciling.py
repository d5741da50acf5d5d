"""Prove what became of an unknown submission: by the provider's word at the right time, by a fence, or by a person."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from levelup_ov.domain.failure import Failure
from levelup_ov.domain.submission import Finding
from levelup_ov.errors import Refused, broken_protocol
from levelup_ov.ledger.engine import LedgerUnavailable
from levelup_ov.ledger.ledger import Ledger
from levelup_ov.ledger.records import Claimed, Clash, Submission, Superseded, TooEarly, new_id
from levelup_ov.ordering.attempts import Attempt, OwnedSubmission, SubmissionKey
from levelup_ov.ordering.outcomes import (
    OutcomeRecorder,
    Settlement,
    facts_of,
    is_placed,
    not_its_own,
    order_facts,
    outcome_unknown,
    replay,
    report,
)
from levelup_ov.transport import net
from levelup_ov.transport.deadline import Deadline
from levelup_ov.transport.session import Call

PROMPT = 1.0
"""A provider that answers "no such order" within this many seconds is awake."""
CONFIRMED_AFTER = 1.0
"""Seconds between the last two looks, at most a tenth of the time left.

A provider that has just woken up first processes what was waiting.
"""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Fence:
    """How a provider is made to refuse late requests: ``order`` fences the order of a submission.

    ``voids_cards``: that also proves that the card of an order that does not exist was not charged.
    """

    order: Callable[[Submission], None]
    voids_cards: bool = False


class Disproved(Exception):
    """Raised by ``find_order``: a refusal of the placing call is on record elsewhere, so nothing was placed."""


@contextmanager
def understood(facts: Mapping[str, Any]) -> Iterator[None]:
    """For look-ups: an adapter that fails has not understood its provider's answer. ``facts`` say of which order.

    :raises Failure: ``provider_protocol_error``.
    """
    try:
        yield
    except (Failure, Disproved):
        raise
    except Exception as error:
        log.error("submission_look_up_failed", extra={**facts}, exc_info=error)
        raise broken_protocol("its answer was not understood") from None


class Reconciler:
    """Settles what is not known of one ledger's submissions; ``deadline`` and ``grace`` as for :class:`Submissions`."""

    def __init__(self, ledger: Ledger, outcomes: OutcomeRecorder, *, deadline: float, grace: float) -> None:
        self._ledger = ledger
        self._outcomes = outcomes
        self._deadline = timedelta(seconds=deadline)
        self._lease = timedelta(seconds=deadline + grace)
        self._grace = timedelta(seconds=grace)
        self._prompt = max(PROMPT, grace / 10)

    def reconcile(
        self,
        submission: Submission,
        find_order: Callable[[Submission], Settlement | None],
        *,
        deadline: Deadline | None = None,
        fence: Fence | None = None,
        give_up: Callable[[Submission], None] | None = None,
        calls: Sequence[Call] | None = None,
        key: SubmissionKey | None = None,
    ) -> Settlement | None:
        """Reconcile an unknown submission (SUB-5, SUB-10); None: it is proven that no order exists.

        ``fence`` makes the provider refuse late requests; None if it cannot do that. Then the provider must be
        without the order for the grace period, while awake. ``give_up`` is called when that is proven, before it is
        recorded; it raises a failure if it is not so any more. ``calls``: those of ``find_order``, each of which must
        be answered promptly; otherwise all of it must end promptly.

        ``key`` is what the row is written with again if the ledger loses it and there is an order.

        ``find_order`` may raise :class:`Disproved`.

        :raises Failure: ``outcome_unknown``: the outcome could not be determined now.
        """
        asked_at = self._ledger.clocks.observer.now_ms()
        if fence is not None:
            self._asked(submission, fence.order)
        try:
            settlement = self._look(submission, find_order, calls)
            if settlement is None and fence is None:
                settlement = self._look_twice(submission, find_order, calls, asked_at, deadline)
        except Disproved:
            with suppress(Superseded):
                self._ledger.transitions.disprove(submission.id)
            return None
        if settlement is None:
            if give_up is not None:
                give_up(submission)
            return self._rule_out(submission, asked_at, fence)
        return self._found(submission, settlement, key)

    def look_again(
        self, submission: Submission, find_order: Callable[[Submission], Settlement | None]
    ) -> Finding | None:
        """Look up once more what was ruled out or refused (SUB-12); returns what a person must look at, if anything.

        :raises Failure: ``outcome_unknown``: the provider could not be asked, or another attempt is in progress.
        """
        try:
            settlement = self._asked(submission, find_order, _not_known)
        except Failure:
            if submission.ended == "refused" and submission.is_last_look:
                # It counts as made: nothing is known to be wrong, and it would never end.
                with suppress(LedgerUnavailable):
                    self._ledger.findings.looked_again(submission)
            raise
        finding: Finding | None = None
        if settlement is not None:
            finding = self._outcomes.finding(submission, settlement.placed)
        placed = settlement and settlement.placed
        self._ledger.findings.looked_again(
            submission, finding, placed and placed.order_id, placed and placed.provider_order_id
        )
        if finding is not None and settlement is not None:
            report(finding, {**facts_of(submission), **order_facts(settlement.placed)})
        elif settlement is not None:
            # Whoever found it first could not know that.
            self._ledger.findings.withdraw(submission.id)
        return finding

    def repeat(self, submission: Submission, place_order: Callable[[Attempt], Settlement]) -> Settlement | None:
        """The order of an unknown submission, which the provider returns if it is sent again; None: it is refused.

        :raises Failure: that does not say what became of it, or somebody else has settled it.
        """
        repetition = new_id()
        again = Attempt(
            submission.id,
            submission.reference,
            submission.received_at,
            check=lambda: self._ledger.absences.begin_repeating(submission, repetition),
            reserve=self._outcomes.settling_time,
        )
        try:
            return place_order(again)
        except Refused as refusal:
            # A refusal of a call before the placing one, or after one without an answer, does not say what became of an
            # earlier placing call.
            if not (again.order_may_stand and refusal.proof) or again.placement.is_unanswered:
                raise
        self._ledger.absences.end_repeating(submission, repetition)
        return None

    def keep(self, submission: Submission, key: SubmissionKey) -> None:
        """Write an unknown submission again that the ledger has lost.

        :raises Superseded: it was settled, or another attempt has taken its place.
        """
        self._owned(submission, key).settle(lambda: self._ledger.transitions.lose(submission.id))

    def settle(
        self, submission: Submission, placed: str | None, by: str, *, provider_order_id: str | None = None
    ) -> None:
        """Settle an unknown submission by a person's statement: the restaurant's number, or None if it has no order.

        ``by`` names the person, for the row and the log. ``provider_order_id``: by which the provider is asked for its
        status and to cancel it; the number, if it has no other.

        :raises Failure: ``outcome_unknown``: it is not as that person was shown it any more, or the order is another's.
        """
        facts = {**facts_of(submission), "order_id": placed, "settled_by": by}
        try:
            if placed is None:
                self._ledger.absences.rule_out(submission, grace=self._grace, settled_by=by)
            else:
                answer = json.dumps({"order_id": placed, "expected_ready_at": None, "metadata": {}})
                self._ledger.transitions.place(
                    submission.id, answer=answer, order_id=placed,
                    provider_order_id=provider_order_id or placed, settled_by=by, was=submission,
                )  # fmt: skip
        except Superseded as superseded:
            raise outcome_unknown(f"nothing was changed: {_became(superseded.submission)}") from None
        except Clash as clash:
            raise outcome_unknown(f"nothing was changed: {clash}") from None
        log.warning("submission_settled_by_hand", extra=facts)

    def _asked(
        self,
        submission: Submission,
        ask: Callable[[Submission], Any],
        unknown: Callable[[str], Failure] = outcome_unknown,
    ) -> Any:
        try:
            with understood(facts_of(submission)):
                return ask(submission)
        except Failure as failure:
            raise unknown(f"the provider was asked, but: {failure.message}") from None

    def _look(
        self,
        submission: Submission,
        find_order: Callable[[Submission], Settlement | None],
        calls: Sequence[Call] | None,
    ) -> Settlement | None:
        """Ask the provider. If it does not answer in time, an earlier "no such order" proves nothing any more."""
        observer = self._ledger.clocks.observer
        began, before = observer.now_ms(), len(calls or ())
        try:
            settlement: Settlement | None = self._asked(submission, find_order)
        except Failure:
            self._ledger.absences.distrust(submission)
            raise
        took = observer.now_ms() - began
        if calls is not None:
            took = max((call.milliseconds for call in calls[before:]), default=0)
        if settlement is None and took > self._prompt * 1000:
            self._ledger.absences.distrust(submission)
        return settlement

    def _look_twice(
        self,
        submission: Submission,
        find_order: Callable[[Submission], Settlement | None],
        calls: Sequence[Call] | None,
        asked_at: int,
        deadline: Deadline | None,
    ) -> Settlement | None:
        """The order, if it appears at a provider that had none; None: it had none for the grace period, while awake.

        :raises Failure: ``outcome_unknown``: it is too early to know.
        """
        self._check_absence(submission, asked_at)
        left = self._deadline.total_seconds() if deadline is None else deadline.remaining()
        net.sleep(max(min(CONFIRMED_AFTER, left / 10), 0))
        settlement = self._look(submission, find_order, calls)
        if settlement is None:
            self._check_absence(submission, asked_at)
        return settlement

    def _check_absence(self, submission: Submission, asked_at: int) -> None:
        """:raises Failure: ``outcome_unknown``: an order may still arrive."""
        try:
            wait = self._ledger.absences.remaining(submission, grace=self._grace, asked_at=asked_at)
        except Superseded:
            raise outcome_unknown("the ledger no longer contains the submission") from None
        if wait > timedelta(0):
            raise _too_early(wait)

    def _found(self, submission: Submission, settlement: Settlement, key: SubmissionKey | None) -> Settlement:
        facts = facts_of(submission)

        def record() -> None:
            self._outcomes.record(submission.id, settlement, submission)

        try:
            self._owned(submission, key).settle(record)
        except Superseded as superseded:
            current = superseded.submission
            if is_placed(current):
                return replay(current)
            if current is None or current.state == "not_placed":
                self._outcomes.note_late(current or submission, facts, settlement.placed)
            else:
                self._outcomes.settle_other(current, facts, settlement)
        except Clash as clash:
            raise not_its_own(facts, settlement, clash) from None
        else:
            log.info("submission_reconciled_placed", extra=facts)
        self._outcomes.check_order(submission.id, settlement.placed, facts)
        return Settlement(settlement.placed, settlement.answer, replayed=True)

    def _owned(self, submission: Submission, key: SubmissionKey | None) -> OwnedSubmission:
        claim = Claimed(
            submission.id, submission.reference, submission.received_at, submission.generation, submission.previous
        )
        return OwnedSubmission(
            self._ledger, claim, key, submission.received_at, self._lease, submission.trace, is_marked=True
        )

    def _rule_out(self, submission: Submission, asked_at: int, fence: Fence | None) -> Settlement | None:
        is_void = fence is not None and fence.voids_cards
        try:
            self._ledger.absences.rule_out(
                submission, grace=self._grace, asked_at=asked_at, fenced=fence is not None, card_is_void=is_void
            )
        except TooEarly as early:
            raise _too_early(early.wait) from None
        except Superseded as superseded:
            # Another reconciliation was first; its result counts.
            if is_placed(superseded.submission):
                return replay(superseded.submission)
            if superseded.submission is None or superseded.submission.state != "not_placed":
                raise outcome_unknown("the submission has changed in the meantime") from None
            return None
        log.info("submission_reconciled_not_placed", extra=facts_of(submission))
        if submission.card and not is_void:
            report("card_may_be_charged", facts_of(submission))
        return None


def _too_early(wait: timedelta) -> Failure:
    return outcome_unknown("the provider has no order yet; one may still arrive", max(wait.total_seconds() + 0.5, 1))


def _became(submission: Submission | None) -> str:
    """In words, what became of a submission that was unknown."""
    if submission is None:
        return "the ledger does not have this submission any more"
    if submission.state == "unknown":
        return "it has been settled in the meantime, and that was taken back"
    order = "" if submission.order_id is None else f", order {submission.order_id}"
    return f"it is {submission.state} by now{order}"


def _not_known(why: str) -> Failure:
    """Of what was told as not placed: sending it again would be another order."""
    return Failure("outcome_unknown", why)
