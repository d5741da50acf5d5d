"""At most one order per submission: claim, place, settle, and find out what became of the rest.

The rules are SUB-2 to SUB-5; the states are the ledger's. What is particular to an order (its checks, its
provider) comes in as functions, so that the whole protocol stands on this page.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeGuard

from levelup_ov.domain.failure import Failure
from levelup_ov.domain.outcome import Placed
from levelup_ov.errors import Refused
from levelup_ov.ledger.engine import LedgerUnavailable
from levelup_ov.ledger.identity import Identity
from levelup_ov.ledger.ledger import (
    Claimed,
    InProgress,
    Ledger,
    Recorded,
    Reused,
    Submission,
    Superseded,
    TooEarly,
    Unknown,
)
from levelup_ov.transport.session import Session

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Settlement:
    """An order that stands at the provider, and the members of the answer to it."""

    placed: Placed
    answer: Mapping[str, Any]
    replayed: bool = False


@dataclass(frozen=True, slots=True)
class SubmissionKey:
    """What a submission is recognised by, and for whom; see :mod:`levelup_ov.ledger.identity`."""

    account: str
    location: str
    identities: tuple[Identity, ...]
    content: tuple[str, ...]
    request_id: str | None


class Attempt:
    """One submission on its way to the provider; ``reference`` is our id for it there.

    ``mark``: how the ledger learns that the order is about to be placed; None for an attempt that only
    repeats one, to find out what became of it.
    """

    def __init__(self, reference: str, mark: Callable[[Mapping[str, Any] | None], None] | None = None) -> None:
        self.reference = reference
        self.session: Session | None = None
        self.also: Callable[[], None] | None = None
        """A further condition of the last look; it raises a failure where nothing may be sent."""
        self._mark = mark
        self._begun = False

    @property
    def is_new(self) -> bool:
        """Whether nothing was sent under this reference before."""
        return self._mark is not None

    def begin_sending(self, trace: Mapping[str, Any] | None) -> None:
        """Called just before each call that places the order; an adapter may go on after a refusal.

        :raises Failure: the claim was lost; do not send.
        """
        if self._mark is not None and not self._begun:
            try:
                self._mark(trace)
            except Superseded:
                raise _in_progress() from None
            self._begun = True
        if self.also is not None:
            self.also()

    @property
    def order_may_stand(self) -> bool:
        """Whether the placing call began and was not proven to have had no effect."""
        return self.session is not None and self.session.placing


class Submissions:
    """The protocol over one ledger.

    ``deadline``: seconds that a submission may take; ``grace``: seconds after its deadline for which a
    request may still be on its way, so that "no such order" proves nothing yet.
    """

    def __init__(self, ledger: Ledger, *, deadline: float, grace: float) -> None:
        self.ledger = ledger
        self._deadline = timedelta(seconds=deadline)
        self._lease = timedelta(seconds=deadline + grace)

    def submit(
        self,
        key: SubmissionKey,
        place_order: Callable[[Attempt], Settlement],
        find_order: Callable[[Submission], Settlement | None],
    ) -> Settlement:
        """Place the order unless it was placed before; then give the recorded answer (SUB-4).

        :raises Failure: ``submission_in_progress``, ``idempotency_key_reused``, ``outcome_unknown``,
            ``ledger_unavailable``, or why the order was not placed.
        """
        while True:
            claim = self.ledger.claim(
                account=key.account,
                location=key.location,
                identities=key.identities,
                content=key.content,
                # Nothing begins to be sent after the deadline.
                lease=self._deadline,
                request_id=key.request_id,
            )
            match claim:
                case Claimed(id=reference):
                    return self._place(reference, key, place_order)
                case Recorded(submission=submission):
                    return _replay(submission)
                case InProgress():
                    raise _in_progress()
                case Reused():
                    message = "this submission was sent before with a different order (SUB-4)"
                    raise Failure("idempotency_key_reused", message)
                case Unknown(submission=submission):
                    if (settlement := self.reconcile(submission, find_order)) is not None:
                        return settlement

    def reconcile(
        self, submission: Submission, find_order: Callable[[Submission], Settlement | None]
    ) -> Settlement | None:
        """Find out what became of an unknown submission (SUB-5); None: it is proven that no order stands.

        :raises Failure: ``outcome_unknown``: it could not be found out now.
        """
        try:
            settlement = find_order(submission)
        except Failure as failure:
            raise outcome_unknown(f"the provider was asked, but: {failure.message}") from None
        except Exception as error:
            log.error("submission could not be looked up", extra=_facts(submission), exc_info=error)
            raise outcome_unknown("the provider was asked, but its answer was not understood") from None
        if settlement is None:
            return self._rule_out(submission)
        try:
            self._record(submission.id, settlement)
        except Superseded as superseded:
            if _is_placed(superseded.submission):
                return _replay(superseded.submission)
            log.error("an order stands that was ruled out", extra={**_facts(submission), **_order(settlement.placed)})
        else:
            log.info("unknown submission: the order stands", extra=_facts(submission))
        _check_charge(settlement.placed, _facts(submission))
        return Settlement(settlement.placed, settlement.answer, replayed=True)

    def _rule_out(self, submission: Submission) -> Settlement | None:
        try:
            self.ledger.rule_out(submission, grace=self._lease)
        except TooEarly as early:
            wait = max((early.not_before - submission.seen_at).total_seconds(), 1)
            raise outcome_unknown("the provider has no order yet, one may still arrive", wait) from None
        except Superseded as superseded:
            # Another reconciliation was first; what it found out counts.
            return _replay(superseded.submission) if _is_placed(superseded.submission) else None
        log.info("unknown submission: no order stands", extra=_facts(submission))
        return None

    def _place(
        self, reference: str, key: SubmissionKey, place_order: Callable[[Attempt], Settlement]
    ) -> Settlement:
        attempt = Attempt(
            reference, lambda trace: self.ledger.begin_sending(reference, lease=self._lease, trace=trace)
        )
        facts = {
            "submission": reference,
            "account": key.account,
            "location": key.location,
            "request_id": key.request_id,
        }
        try:
            settlement = place_order(attempt)
        except Exception as error:
            if not attempt.order_may_stand or (isinstance(error, Refused) and error.proof):
                _quietly(lambda: self.ledger.fail(reference))
                raise
            _quietly(lambda: self.ledger.lose(reference))
            log.error(
                "outcome_unknown: it is found out at the next identical request, or by "
                "`flask --app wsgi submissions reconcile`",
                extra={**facts, "cause": getattr(error, "code", type(error).__name__)},
                exc_info=None if isinstance(error, Failure) else error,
            )
            raise outcome_unknown("the provider gave no answer that proves whether the order stands") from None
        try:
            self._record(reference, settlement)
        except Superseded:
            log.error("an order stands that was ruled out", extra={**facts, **_order(settlement.placed)})
        except LedgerUnavailable:
            # The order stands, whatever the ledger says: the channel hears it now, the ledger when asked.
            log.error("placed, but not recorded; will be reconciled", extra={**facts, **_order(settlement.placed)})
        _check_charge(settlement.placed, facts)
        return settlement

    def _record(self, reference: str, settlement: Settlement) -> None:
        placed = settlement.placed
        self.ledger.place(
            reference,
            answer=json.dumps(settlement.answer),
            order_id=placed.order_id,
            provider_order_id=placed.provider_order_id,
            expected_charge=placed.expected_charge,
            charged=placed.charged,
        )


def outcome_unknown(why: str, retry_after: float | None = None) -> Failure:
    """The failure of a submission of which nobody knows yet whether it was placed."""
    failure = Failure("outcome_unknown", f"{why}; send the same submission again to find out")
    failure.retry_after = retry_after
    return failure


def _replay(submission: Submission) -> Settlement:
    placed = Placed(submission.order_id or "", submission.provider_order_id or "")
    return Settlement(placed, json.loads(submission.answer or "{}"), replayed=True)


def _is_placed(submission: Submission | None) -> TypeGuard[Submission]:
    return submission is not None and submission.state == "placed"


def _in_progress() -> Failure:
    failure = Failure("submission_in_progress", "the same submission is being placed right now")
    failure.retry_after = 1
    return failure


def _quietly(settle: Callable[[], None]) -> None:
    """Settle if possible: the lease resolves what cannot be written now, and the failure itself matters more."""
    try:
        settle()
    except (Superseded, LedgerUnavailable) as error:
        log.warning("submission not settled, its lease will resolve it", extra={"cause": type(error).__name__})


def _check_charge(placed: Placed, facts: Mapping[str, Any]) -> None:
    """PAY-4."""
    if placed.charge_mismatch:
        log.error("charge_mismatch", extra={**facts, **_order(placed)})


def _order(placed: Placed) -> dict[str, Any]:
    return {
        "order_id": placed.order_id,
        "provider_order_id": placed.provider_order_id,
        "expected_charge": placed.expected_charge,
        "charged": placed.charged,
    }


def _facts(submission: Submission) -> dict[str, Any]:
    return {"submission": submission.id, "account": submission.account, "location": submission.location}
