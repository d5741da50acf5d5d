"""At most one order per submission: claim, place, settle, and reconcile the rest.

The rules are SUB-2 to SUB-5 and SUB-8 to SUB-13; the states are the ledger's. The order's own checks and its
provider are passed in as functions, so that this module contains the whole protocol.
"""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, TypeGuard

from levelup_ov.domain.attention import REMEDIES
from levelup_ov.domain.failure import Failure
from levelup_ov.domain.outcome import Placed
from levelup_ov.domain.submission import Ended, Finding
from levelup_ov.errors import ReferenceFenced, Refused
from levelup_ov.ledger import limits
from levelup_ov.ledger.engine import LedgerUnavailable
from levelup_ov.ledger.identity import Identity
from levelup_ov.ledger.ledger import Ledger
from levelup_ov.ledger.records import (
    AlreadyPlaced,
    Claim,
    Claimed,
    Clash,
    InProgress,
    Reused,
    Submission,
    Superseded,
    TooEarly,
    Unknown,
    new_id,
)
from levelup_ov.ordering.addresses import stored_trace
from levelup_ov.transport import net
from levelup_ov.transport.deadline import Deadline
from levelup_ov.transport.placement import LastLook, Placement
from levelup_ov.transport.session import Call

SETTLING_TIME = 0.8
"""Seconds of the deadline that are left to record an outcome; a twentieth of a short one."""
PROMPT = 1.0
"""A provider that answers "no such order" within this many seconds is awake."""
CONFIRMED_AFTER = 1.0
"""Seconds between the last two looks, at most a tenth of the time left.

A provider that has just woken up first processes what was waiting."""
log = logging.getLogger(__name__)

MOST_FENCED = 8
"""References of a submission that are tried in one request, where the provider fences one after the other."""
CLAIM_PATIENCE = 1.0
"""Seconds that a submission waits for a slot among those waiting for the ledger; a burst is over sooner."""


@dataclass(frozen=True, slots=True)
class Settlement:
    """An order that exists at the provider, and the members of our answer.

    ``is_recorded``: whether the ledger could record it.
    """

    placed: Placed
    answer: Mapping[str, Any]
    replayed: bool = False
    is_recorded: bool = True


class Disproved(Exception):
    """Raised by ``find_order``: a refusal of the placing call is on record elsewhere, so nothing was placed."""


@dataclass(frozen=True, slots=True)
class SubmissionKey:
    """What identifies a submission; see :mod:`levelup_ov.ledger.identity`.

    ``alike``: what identifies an unknown submission under other identities; ``content`` if empty.
    ``reference`` returns our reference for a generation, None if the channel names no identity (SUB-11).
    ``card``: it is paid with a card that cannot be used again. ``now``: when it was received.
    ``is_paid``: it has a charge of its own, so no unknown submission under other identities is the same order.
    """

    account: str
    location: str
    identities: tuple[Identity, ...]
    content: tuple[str, ...]
    request_id: str | None
    reference: Callable[[int], str] | None = field(default=None, compare=False)
    card: bool = False
    now: datetime | None = None
    alike: tuple[str, ...] = ()
    is_paid: bool = False


class Attempt:
    """One attempt to place a submission at the provider.

    ``id`` is the id of its row in the ledger, ``reference`` our reference at the provider. ``received_at``: the time
    to send, None for the current time. ``mark`` records that the order is about to be placed; it is None for a
    repetition that only reconciles. ``check`` asks the ledger whether this attempt may still send it.
    ``mark_late`` records that it was sent without any of that. ``reserve``: seconds of the deadline that no last look
    uses.
    """

    def __init__(
        self,
        id: str,
        reference: str,
        received_at: datetime | None = None,
        mark: Callable[[Mapping[str, Any] | None], None] | None = None,
        check: Callable[[], None] | None = None,
        reserve: float = 0.0,
        mark_late: Callable[[Mapping[str, Any] | None], object] | None = None,
    ) -> None:
        self.id = id
        self.reference = reference
        self.received_at = received_at
        self.placement = Placement(self.last_look)
        self.first: LastLook | None = None
        """What the last look does before the mark, such as writing another row."""
        self.sent_to: Mapping[str, Any] | None = None
        """The :func:`~levelup_ov.ordering.addresses.destination`, to be recorded with the mark."""
        self.also: Callable[[], None] | None = None
        """A further condition of the last look; it raises a failure if nothing may be sent."""
        self._mark = mark
        self._check = check
        self._reserve = reserve
        self._mark_late = mark_late
        self._begun = False

    @property
    def is_new(self) -> bool:
        """Whether this is the first attempt, and not a repetition that only reconciles."""
        return self._mark is not None

    def last_look(self, trace: Mapping[str, Any] | None) -> None:
        """Called immediately before each try to send the placing call (SUB-9).

        The first time, it marks the submission durably as being sent, unless this only reconciles. Otherwise it checks
        that the submission has not been settled by somebody else.

        :raises Failure: it has been, or the ledger does not answer; do not send.
        """
        with limits.reserving(self._reserve):
            if self.first is not None:
                self.first(trace)
            try:
                if self._mark is not None and not self._begun:
                    self._mark(stored_trace(trace, self.sent_to))
                elif self._check is not None:
                    self._check()
            except Superseded:
                raise in_progress() from None
            self._begun = True
            if self.also is not None:
                self.also()

    def reported(self) -> bool:
        """The adapter says that the order is placed. False: no placing call was sent.

        That is a mistake of the adapter: another call places orders. What is reported counts, so that none is placed
        twice.
        """
        if self.order_may_stand:
            return True
        self.placement.begin()
        if self._mark_late is not None and not self._begun:
            self._mark_late(stored_trace(None, self.sent_to))
        return False

    @property
    def order_may_stand(self) -> bool:
        """Whether the placing call started and was not proven to have had no effect."""
        return self.placement.may_exist


@dataclass(slots=True)
class _Owned:
    """A submission that this process is sending or has found, with the content of its row.

    ``key``: None if there is too little to write the row again. ``trace``: what the adapter finds the order by.
    ``is_marked``: it was sent, and the ledger has acknowledged that, or could not.
    """

    ledger: Ledger
    claim: Claimed
    key: SubmissionKey | None
    received_at: datetime | None
    lease: timedelta
    trace: Mapping[str, Any] | None = None
    is_marked: bool = False

    def mark(self, trace: Mapping[str, Any] | None) -> None:
        """Record that it is about to be sent. :raises Superseded: the claim was lost; do not send."""
        self.trace = trace
        self._mark()
        self.is_marked = True

    def mark_late(self, trace: Mapping[str, Any] | None) -> None:
        """The same for one that was sent without the mark. :raises Superseded: the claim was lost."""
        self.trace, self.is_marked = trace, True
        self._mark()

    def settle(self, settle: Callable[[], None]) -> None:
        """Record the outcome of what was sent, even in a ledger that has lost the submission, or its mark.

        :raises Superseded: another attempt has settled it, or has replaced it.
        """
        try:
            settle()
        except Superseded as superseded:
            row = superseded.submission
            if not (self.key is not None if row is None else self.is_marked and row.state == "claimed"):
                raise
            log.error("submission_restored_to_ledger", extra={"submission": self.claim.id})
            if row is None:
                self.restore()
            else:
                # The database has lost the mark alone. Only who owns the claim knows that it was sent.
                self._mark()
            settle()

    def _mark(self) -> None:
        self.ledger.begin_sending(self.claim.id, lease=self.lease, trace=self.trace, received_at=self.received_at)

    def restore(self, also: Callable[[Any], None] | None = None) -> None:
        """Write the row again, as :meth:`Ledger.restore` does. :raises Superseded: it belongs to another attempt."""
        assert self.key is not None
        self.ledger.restore(
            self.claim,
            account=self.key.account,
            location=self.key.location,
            identities=self.key.identities,
            content=self.key.content,
            alike=self.key.alike,
            lease=self.lease,
            request_id=self.key.request_id,
            card=self.key.card,
            received_at=self.received_at,
            trace=self.trace,
            also=also,
        )


class Submissions:
    """The protocol for one ledger.

    ``deadline``: seconds that a submission may take; ``grace``: seconds after its deadline for which a
    request may still be on its way, so that "no such order" proves nothing yet. ``claims``: how many may wait for the
    ledger at once before anything is sent; what was sent is always settled.
    """

    def __init__(self, ledger: Ledger, *, deadline: float, grace: float, claims: int = 64) -> None:
        self.ledger = ledger
        self._claiming = threading.BoundedSemaphore(claims)
        self.settling_time = min(SETTLING_TIME, deadline / 20)
        self._deadline = timedelta(seconds=deadline)
        self._lease = timedelta(seconds=deadline + grace)
        self._grace = timedelta(seconds=grace)
        self._prompt = max(PROMPT, grace / 10)

    def submit(
        self,
        key: SubmissionKey,
        place_order: Callable[[Attempt], Settlement],
        find_order: Callable[[Submission], Settlement | None],
        *,
        deadline: Deadline | None = None,
        fence_order: Callable[[Submission], None] | None = None,
        give_up: Callable[[Submission], None] | None = None,
        calls: Sequence[Call] | None = None,
    ) -> Settlement:
        """Place the order; if it was placed before, return the recorded answer (SUB-4).

        The ledger takes no longer than ``deadline``. For the rest see :meth:`reconcile`.

        :raises Failure: ``submission_in_progress``, ``idempotency_key_reused``, ``outcome_unknown``,
            ``ledger_unavailable``, or why the order was not placed.
        """
        fenced = 0
        with limits.within(deadline.remaining() if deadline else self._deadline.total_seconds()):
            while True:
                match claim := self._claim(key):
                    case Claimed():
                        try:
                            return self._place(claim, key, place_order)
                        except ReferenceFenced:
                            # The ledger may have lost the attempt that was ruled out, or it was ruled out just now.
                            fenced += 1
                            if fenced == MOST_FENCED:
                                raise
                    case AlreadyPlaced(submission=submission):
                        return _replay(submission)
                    case InProgress():
                        raise in_progress()
                    case Reused():
                        message = "this submission was sent before with a different order (SUB-4)"
                        raise Failure("idempotency_key_reused", message)
                    case Unknown(submission=submission):
                        try:
                            settlement = self.reconcile(
                                submission, find_order, deadline=deadline, fence_order=fence_order, give_up=give_up,
                                calls=calls, key=key,
                            )  # fmt: skip
                        except LedgerUnavailable:
                            # An earlier request has sent it.
                            raise outcome_unknown("what was found cannot be recorded") from None
                        if settlement is not None:
                            return settlement

    def suspect(self, key: SubmissionKey) -> Submission:
        """The row of a submission that somebody may have sent although the ledger has no record of that.

        That is so if the database has gone back. The row is unknown until it is reconciled, or another order of the
        same identities is found. It has the reference of the next attempt, which the lost one had (SUB-11).

        :raises Failure: ``outcome_unknown``, ``submission_in_progress``.
        """
        match claim := self._claim(key):
            case Claimed(id=id):
                self.ledger.begin_sending(id, lease=self._lease)
                self.ledger.lose(id)
                found = self.ledger.show(id)
            case AlreadyPlaced() | Unknown():
                found = claim.submission
            case InProgress():
                raise in_progress()
            case Reused():
                found = None
        if found is None:
            raise outcome_unknown("it may have been sent, and its reference is not known")
        log.warning("lost_submission_suspected", extra=_facts(found))
        return found

    def _claim(self, key: SubmissionKey) -> Claim:
        with self._claim_room():
            return self.ledger.claim(
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
            )

    def knows(self, key: SubmissionKey) -> bool:
        """Whether the ledger has this submission, or one that it may repeat. :raises Failure: it cannot be read."""
        return self.ledger.knows(key.location, key.identities, (*key.alike, *key.content))

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

    def reconcile(
        self,
        submission: Submission,
        find_order: Callable[[Submission], Settlement | None],
        *,
        deadline: Deadline | None = None,
        fence_order: Callable[[Submission], None] | None = None,
        give_up: Callable[[Submission], None] | None = None,
        calls: Sequence[Call] | None = None,
        key: SubmissionKey | None = None,
    ) -> Settlement | None:
        """Reconcile an unknown submission (SUB-5, SUB-10); None: it is proven that no order exists.

        ``fence_order`` makes the provider refuse late requests; None if it cannot do that. Then the provider must be
        without the order for the grace period, while awake. ``give_up`` is called when that is proven, before it is
        recorded; it raises a failure if it is not so any more. ``calls``: those of ``find_order``, each of which must
        be answered promptly; otherwise all of it must end promptly.

        ``key`` is what the row is written with again if the ledger loses it and there is an order.

        ``find_order`` may raise :class:`Disproved`.

        :raises Failure: ``outcome_unknown``: the outcome could not be determined now.
        """
        asked_at = self.ledger.observer.now_ms()
        if fence_order is not None:
            self._asked(submission, fence_order)
        try:
            settlement = self._look(submission, find_order, calls)
            if settlement is None and fence_order is None:
                settlement = self._look_twice(submission, find_order, calls, asked_at, deadline)
        except Disproved:
            with suppress(Superseded):
                self.ledger.disprove(submission.id)
            return None
        if settlement is None:
            if give_up is not None:
                give_up(submission)
            return self._rule_out(submission, asked_at, fenced=fence_order is not None)
        return self._found(submission, settlement, key)

    def repeat(self, submission: Submission, place_order: Callable[[Attempt], Settlement]) -> Settlement | None:
        """The order of an unknown submission, which the provider returns if it is sent again; None: it is refused.

        :raises Failure: that does not say what became of it, or somebody else has settled it.
        """
        repetition = new_id()
        again = Attempt(
            submission.id,
            submission.reference,
            submission.received_at,
            check=lambda: self.ledger.begin_repeating(submission, repetition),
            reserve=self.settling_time,
        )
        try:
            return place_order(again)
        except Refused as refusal:
            # A refusal of a call before the placing one, or after one without an answer, does not say what became of an
            # earlier placing call.
            if not (again.order_may_stand and refusal.proof) or again.placement.is_unanswered:
                raise
        self.ledger.end_repeating(submission, repetition)
        return None

    def settle(self, submission: Submission, placed: str | None, by: str) -> None:
        """Settle an unknown submission by a person's statement: the restaurant's number, or None if it has no order.

        ``by`` names the person, for the row and the log.

        :raises Failure: ``outcome_unknown``: it has been settled in the meantime.
        """
        facts = {**_facts(submission), "order_id": placed, "settled_by": by}
        try:
            if placed is None:
                self.ledger.rule_out(submission, grace=self._grace, settled_by=by)
            else:
                answer = json.dumps({"order_id": placed, "expected_ready_at": None, "metadata": {}})
                self.ledger.place(
                    submission.id, answer=answer, order_id=placed, provider_order_id=placed, settled_by=by,
                    was=submission,
                )  # fmt: skip
        except (Superseded, Clash) as reason:
            raise outcome_unknown(f"nothing was changed: {reason}") from None
        log.warning("submission_settled_by_hand", extra=facts)

    def restore(
        self,
        key: SubmissionKey,
        id: str,
        settlement: Settlement | None,
        also: Callable[[Any], None],
        trace: Mapping[str, Any] | None = None,
    ) -> None:
        """Write a submission again that its ledger has lost after it was sent; ``settlement``: its outcome, if known.

        ``also`` is called with the cursor of the transaction. ``trace``: as in :meth:`Ledger.begin_sending`.

        :raises Superseded: its identities belong to another attempt by now.
        """
        with limits.extended(self.settling_time):
            _Owned(self.ledger, Claimed(id, id), key, key.now, self._lease, trace).restore(also)
            if settlement is not None:
                self._record(id, settlement)

    def look_again(
        self, submission: Submission, find_order: Callable[[Submission], Settlement | None]
    ) -> Finding | None:
        """Look up a ruled-out submission once more (SUB-12); returns what a person must look at, if anything.

        :raises Failure: ``outcome_unknown``: the provider could not be asked, or another attempt is in progress.
        """
        settlement = self._asked(submission, find_order)
        finding: Finding | None = None
        if settlement is not None:
            finding = self._finding(submission, settlement.placed)
        placed = settlement and settlement.placed
        self.ledger.looked_again(submission, finding, placed and placed.order_id, placed and placed.provider_order_id)
        if finding is not None and settlement is not None:
            _report(finding, {**_facts(submission), **_order(settlement.placed)})
        return finding

    def _finding(self, submission: Submission, placed: Placed) -> Finding | None:
        """What a person must look at, if anything: ``submission`` was ruled out, and the provider has this order of it.

        :raises Failure: ``outcome_unknown``: another attempt, which may have placed it, is in progress.
        """
        later = self.ledger.followers(submission)
        if any(each.state not in ("placed", "not_placed") for each in later):
            raise outcome_unknown("a later attempt at this order is in progress")
        reported = [each for each in later if each.state == "placed"]
        if (holder := self.ledger.holder(submission.account, placed.provider_order_id)) is not None:
            reported.append(holder)
        if not reported:
            return "order_exists_but_ruled_out"
        if placed.duplicates or placed.provider_order_id not in [each.provider_order_id for each in reported]:
            return "two_orders_for_one_submission"
        return None

    def _asked(self, submission: Submission, ask: Callable[[Submission], Any]) -> Any:
        try:
            return ask(submission)
        except Disproved:
            raise
        except Failure as failure:
            raise outcome_unknown(f"the provider was asked, but: {failure.message}") from None
        except Exception as error:
            log.error("submission_look_up_failed", extra=_facts(submission), exc_info=error)
            raise outcome_unknown("the provider was asked, but its answer was not understood") from None

    def _look(
        self,
        submission: Submission,
        find_order: Callable[[Submission], Settlement | None],
        calls: Sequence[Call] | None,
    ) -> Settlement | None:
        """Ask the provider. If it does not answer in time, an earlier "no such order" proves nothing any more."""
        observer = self.ledger.observer
        began, before = observer.now_ms(), len(calls or ())
        try:
            settlement: Settlement | None = self._asked(submission, find_order)
        except Failure:
            self.ledger.distrust(submission)
            raise
        took = observer.now_ms() - began
        if calls is not None:
            took = max((call.milliseconds for call in calls[before:]), default=0)
        if settlement is None and took > self._prompt * 1000:
            self.ledger.distrust(submission)
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
            wait = self.ledger.absence(submission, grace=self._grace, asked_at=asked_at)
        except Superseded:
            raise outcome_unknown("the ledger no longer contains the submission") from None
        if wait > timedelta(0):
            raise _too_early(wait)

    def _found(self, submission: Submission, settlement: Settlement, key: SubmissionKey | None) -> Settlement:
        facts = _facts(submission)

        def record() -> None:
            self._record(submission.id, settlement, submission)

        try:
            claim = Claimed(
                submission.id, submission.reference, submission.received_at, submission.generation, submission.previous
            )
            owned = _Owned(
                self.ledger, claim, key, submission.received_at, self._lease, submission.trace, is_marked=True
            )
            owned.settle(record)
        except Superseded as superseded:
            current = superseded.submission
            if _is_placed(current):
                return _replay(current)
            if current is None or current.state == "not_placed":
                self._note_late(current or submission, facts, settlement.placed)
            else:
                self._settle_other(current, facts, settlement)
        except Clash as clash:
            raise _not_its_own(facts, settlement, clash) from None
        else:
            log.info("submission_reconciled_placed", extra=facts)
        self._check_order(submission.id, settlement.placed, facts)
        return Settlement(settlement.placed, settlement.answer, replayed=True)

    def _rule_out(self, submission: Submission, asked_at: int, *, fenced: bool) -> Settlement | None:
        try:
            self.ledger.rule_out(submission, grace=self._grace, asked_at=asked_at, fenced=fenced)
        except TooEarly as early:
            raise _too_early(early.wait) from None
        except Superseded as superseded:
            # Another reconciliation was first; its result counts.
            if _is_placed(superseded.submission):
                return _replay(superseded.submission)
            if superseded.submission is None or superseded.submission.state != "not_placed":
                raise outcome_unknown("the submission has changed in the meantime") from None
            return None
        log.info("submission_reconciled_not_placed", extra=_facts(submission))
        if submission.card and not fenced:
            _report("card_may_be_charged", _facts(submission))
        return None

    def _place(self, claim: Claimed, key: SubmissionKey, place_order: Callable[[Attempt], Settlement]) -> Settlement:
        id = claim.id
        received_at = claim.received_at or key.now

        owned = _Owned(self.ledger, claim, key, received_at, self._lease)
        attempt = Attempt(
            id,
            claim.reference,
            received_at,
            owned.mark,
            lambda: self.ledger.check_sending(id),
            self.settling_time,
            lambda trace: self._quietly(lambda: owned.mark_late(trace)),
        )
        facts = {
            "submission": id,
            "reference": claim.reference,
            "account": key.account,
            "location": key.location,
            "request_id": key.request_id,
        }
        try:
            settlement = place_order(attempt)
        except Exception as error:
            refused = isinstance(error, Refused) and error.proof and not attempt.placement.is_unanswered
            if not attempt.order_may_stand or refused:
                ended = _ended(error, attempt)
                if self._quietly(lambda: self.ledger.fail(id, ended)):
                    raise
            elif not isinstance(error, LedgerUnavailable):
                # Otherwise the ledger has just used up the time, and the lease resolves it.
                self._quietly(lambda: owned.settle(lambda: self.ledger.lose(id)))
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
                owned.settle(lambda: self._record(id, settlement))
        except Superseded as superseded:
            self._report_superseded(superseded, facts, settlement)
        except Clash as clash:
            raise _not_its_own(facts, settlement, clash) from None
        except LedgerUnavailable:
            # The order exists, whatever the ledger says: report it to the channel now; the ledger is reconciled later.
            log.error("placed_but_not_recorded", extra={**facts, **_order(settlement.placed)})
            settlement = replace(settlement, is_recorded=False)
        self._check_order(id, settlement.placed, facts)
        return settlement

    def _quietly(self, settle: Callable[[], None]) -> bool:
        """Settle if possible. Otherwise the lease resolves it later; the original failure matters more.

        False: another attempt has settled or replaced it.
        """
        try:
            with limits.extended(self.settling_time):
                settle()
        except (Superseded, LedgerUnavailable) as error:
            log.warning("submission_not_settled", extra={"cause": type(error).__name__})
            return isinstance(error, LedgerUnavailable)
        return True

    def _report_superseded(self, superseded: Superseded, facts: Mapping[str, Any], settlement: Settlement) -> None:
        """Report an order that was placed, but no longer belongs to this submission."""
        current, placed = superseded.submission, settlement.placed
        if _is_placed(current):
            # Another attempt has replaced one that the ledger had lost.
            if current.provider_order_id != placed.provider_order_id:
                more = {**facts, "other": current.id}
                self._note("two_orders_for_one_submission", current.id, more, placed)
        elif current is None:
            _report("order_exists_but_ruled_out", {**facts, **_order(placed)})
        elif current.state != "not_placed":
            self._settle_other(current, facts, settlement)
        else:
            self._note_late(current, facts, placed)

    def _settle_other(self, other: Submission, facts: Mapping[str, Any], settlement: Settlement) -> None:
        """Record an order for ``other``, the unsettled attempt that took the place of the one that placed it.

        Both are about that order only if they have the same reference.
        """
        # What is only claimed has sent nothing, as far as the ledger knows: no order can be recorded for it.
        if other.reference == facts["reference"] and other.state != "claimed":
            try:
                with limits.extended(self.settling_time):
                    self._record(other.id, settlement, other if other.state == "unknown" else None)
            except Superseded as superseded:
                self._report_superseded(superseded, facts, settlement)
                return
            except (Clash, LedgerUnavailable):
                pass
            else:
                log.info("submission_reconciled_placed", extra={**facts, "submission": other.id})
                return
        log.error("placed_during_another_attempt", extra={**facts, **_order(settlement.placed), "other": other.id})

    def _record(self, id: str, settlement: Settlement, was: Submission | None = None) -> None:
        placed = settlement.placed
        self.ledger.place(
            id,
            answer=json.dumps(settlement.answer),
            order_id=placed.order_id,
            provider_order_id=placed.provider_order_id,
            expected_charge=placed.expected_charge,
            charged=placed.charged,
            proven=placed.reference is not None,
            ready=placed.expected_ready_at,
            was=was,
        )

    def _check_order(self, id: str, placed: Placed, facts: Mapping[str, Any]) -> None:
        """Report what a person must look at: PAY-4, SUB-12."""
        if placed.charge_mismatch:
            log.error("charge_mismatch", extra={**facts, **_order(placed)})
        if placed.duplicates:
            self._note("two_orders_for_one_submission", id, facts, placed)

    def _note_late(self, submission: Submission, facts: Mapping[str, Any], placed: Placed) -> None:
        """Note that an order of a submission exists that was ruled out, unless a later attempt has placed it."""
        finding: Finding | None = "order_exists_but_ruled_out"
        try:
            finding = self._finding(submission, placed)
        except LedgerUnavailable:
            pass
        except Failure:
            return  # the looks that follow see how that attempt ends
        if finding is not None:
            self._note(finding, submission.id, facts, placed)

    def _note(self, finding: Finding, id: str, facts: Mapping[str, Any], placed: Placed) -> None:
        """Log and record that a person must look at the submission ``id``."""
        _report(finding, {**facts, **_order(placed)})
        self._quietly(lambda: self.ledger.note(id, finding, placed.order_id, placed.provider_order_id))


def outcome_unknown(why: str, retry_after: float | None = None) -> Failure:
    """The failure of a submission whose outcome is unknown."""
    words = f"{why}; send the same submission again to learn its outcome"
    return Failure("outcome_unknown", words, retry_after=retry_after)


def _replay(submission: Submission) -> Settlement:
    placed = Placed(submission.order_id or "", submission.provider_order_id or "", reference=submission.id)
    return Settlement(placed, json.loads(submission.answer or "{}"), replayed=True)


def _ended(error: Exception, attempt: Attempt) -> Ended:
    if isinstance(error, ReferenceFenced):
        return "fenced"
    return "refused" if attempt.order_may_stand else "unsent"


def _is_placed(submission: Submission | None) -> TypeGuard[Submission]:
    return submission is not None and submission.state == "placed"


def in_progress() -> Failure:
    """The failure of a submission that somebody is placing."""
    return Failure(
        "submission_in_progress",
        "the same order is being placed or canceled, or its outcome is not known yet",
        retry_after=1,
    )


def _report(finding: Finding, facts: Mapping[str, Any]) -> None:
    """Log a finding for a person, with its remedy."""
    log.error(finding, extra={**facts, "remedy": REMEDIES[finding]})


def _too_early(wait: timedelta) -> Failure:
    return outcome_unknown("the provider has no order yet; one may still arrive", max(wait.total_seconds() + 0.5, 1))


def _not_its_own(facts: Mapping[str, Any], settlement: Settlement, clash: Clash) -> Failure:
    """Report that the provider's answer contains the order of another submission (SUB-8)."""
    log.error(
        "order_of_another_submission",
        extra={
            **facts,
            **_order(settlement.placed),
            "holder": clash.holder.id,
            "remedy": "ask the restaurant; if its ids have started again, settle it by `levelup-ov submissions settle` "
            "with the number that the guest is to be told",
        },
    )
    return outcome_unknown("the provider answered with the id of another submission's order")


def _order(placed: Placed) -> dict[str, Any]:
    return {
        "order_id": placed.order_id,
        "provider_order_id": placed.provider_order_id,
        "expected_charge": placed.expected_charge,
        "charged": placed.charged,
        **({"duplicates": list(placed.duplicates)} if placed.duplicates else {}),
    }


def _facts(submission: Submission) -> dict[str, Any]:
    return {
        "submission": submission.id,
        "reference": submission.reference,
        "account": submission.account,
        "location": submission.location,
    }
