"""The outcome of a submission: recorded in its row, and reported where a person must look at it (PAY-4, SUB-12)."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeGuard

from levelup_ov.domain.attention import REMEDIES
from levelup_ov.domain.failure import Failure
from levelup_ov.domain.outcome import Placed
from levelup_ov.domain.submission import Finding
from levelup_ov.ledger import limits
from levelup_ov.ledger.engine import LedgerUnavailable
from levelup_ov.ledger.ledger import Ledger
from levelup_ov.ledger.records import Clash, Submission, Superseded

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Settlement:
    """An order that exists at the provider, and the members of our answer.

    ``is_recorded``: whether the ledger could record it.
    """

    placed: Placed
    answer: Mapping[str, Any]
    replayed: bool = False
    is_recorded: bool = True


class OutcomeRecorder:
    """Records outcomes in ``ledger``; ``settling_time``: seconds that this may take after the deadline."""

    def __init__(self, ledger: Ledger, settling_time: float) -> None:
        self._ledger = ledger
        self.settling_time = settling_time

    def record(self, id: str, settlement: Settlement, was: Submission | None = None) -> None:
        """Record that the order of the submission ``id`` exists; ``was``: the unknown row as it was read.

        :raises Superseded: the row has changed. :raises Clash: the order belongs to another submission.
        """
        placed = settlement.placed
        self._ledger.transitions.place(
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

    def quietly(self, settle: Callable[[], None]) -> bool:
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

    def report_superseded(self, superseded: Superseded, facts: Mapping[str, Any], settlement: Settlement) -> None:
        """Report an order that was placed, but no longer belongs to this submission."""
        current, placed = superseded.submission, settlement.placed
        if is_placed(current):
            # Another attempt has replaced one that the ledger had lost.
            if current.provider_order_id != placed.provider_order_id:
                more = {**facts, "other": current.id}
                self._note("two_orders_for_one_submission", current.id, more, placed)
        elif current is None:
            report("order_exists_but_ruled_out", {**facts, **order_facts(placed)})
        elif current.state != "not_placed":
            self.settle_other(current, facts, settlement)
        else:
            self.note_late(current, facts, placed)

    def settle_other(self, other: Submission, facts: Mapping[str, Any], settlement: Settlement) -> None:
        """Record an order for ``other``, the unsettled attempt that took the place of the one that placed it.

        Both are about that order only if they have the same reference.
        """
        # What is only claimed has sent nothing, as far as the ledger knows: no order can be recorded for it.
        if other.reference == facts["reference"] and other.state != "claimed":
            try:
                with limits.extended(self.settling_time):
                    self.record(other.id, settlement, other if other.state == "unknown" else None)
            except Superseded as superseded:
                self.report_superseded(superseded, facts, settlement)
                return
            except (Clash, LedgerUnavailable):
                pass
            else:
                log.info("submission_reconciled_placed", extra={**facts, "submission": other.id})
                return
        log.error("placed_during_another_attempt", extra={**facts, **order_facts(settlement.placed), "other": other.id})

    def either(self, submission: Submission, settlement: Settlement, placed: Submission | None) -> Settlement:
        """What is told of a submission that was just found, if other names of the request led to one that was placed.

        Then it is told as before, and a person must look at the other order (SUB-12).
        """
        if placed is None or placed.provider_order_id == settlement.placed.provider_order_id:
            return settlement
        more = {**facts_of(submission), "other": placed.id}
        self._note("two_orders_for_one_submission", submission.id, more, settlement.placed)
        return replay(placed)

    def check_order(self, id: str, placed: Placed, facts: Mapping[str, Any]) -> None:
        """Report what a person must look at: PAY-4, SUB-12."""
        if placed.charge_mismatch:
            log.error("charge_mismatch", extra={**facts, **order_facts(placed)})
        if placed.duplicates:
            self._note("two_orders_for_one_submission", id, facts, placed)

    def note_late(self, submission: Submission, facts: Mapping[str, Any], placed: Placed) -> None:
        """Note that an order of a submission exists that was ruled out, unless a later attempt has placed it."""
        finding: Finding | None = "order_exists_but_ruled_out"
        try:
            finding = self.finding(submission, placed)
        except LedgerUnavailable:
            pass
        except Failure:
            return  # the looks that follow see how that attempt ends
        if finding is not None:
            self._note(finding, submission.id, facts, placed)

    def finding(self, submission: Submission, placed: Placed) -> Finding | None:
        """What a person must look at, if anything: ``submission`` was not placed, and the provider has an order of it.

        :raises Failure: ``outcome_unknown``: another attempt, which may have placed it, is in progress.
        """
        later = self._ledger.reader.followers(submission)
        if any(each.state not in ("placed", "not_placed") for each in later):
            raise outcome_unknown("a later attempt at this order is in progress")
        reported = [each for each in later if each.state == "placed"]
        if (holder := self._ledger.reader.holder(submission.account, placed.provider_order_id)) is not None:
            reported.append(holder)
        if not reported:
            return "order_exists_but_ruled_out"
        if placed.duplicates or placed.provider_order_id not in [each.provider_order_id for each in reported]:
            return "two_orders_for_one_submission"
        return None

    def _note(self, finding: Finding, id: str, facts: Mapping[str, Any], placed: Placed) -> None:
        """Log and record that a person must look at the submission ``id``."""
        report(finding, {**facts, **order_facts(placed)})
        self.quietly(lambda: self._ledger.findings.note(id, finding, placed.order_id, placed.provider_order_id))


def outcome_unknown(why: str, retry_after: float | None = None) -> Failure:
    """The failure of a submission whose outcome is unknown."""
    words = f"{why}; send the same submission again to learn its outcome"
    return Failure("outcome_unknown", words, retry_after=retry_after)


def replay(submission: Submission) -> Settlement:
    """The recorded answer of a placed submission (SUB-4)."""
    placed = Placed(submission.order_id or "", submission.provider_order_id or "", reference=submission.id)
    return Settlement(placed, json.loads(submission.answer or "{}"), replayed=True)


def is_placed(submission: Submission | None) -> TypeGuard[Submission]:
    """Whether the ledger has the order of a submission."""
    return submission is not None and submission.state == "placed"


def report(finding: Finding, facts: Mapping[str, Any]) -> None:
    """Log a finding for a person, with its remedy."""
    log.error(finding, extra={**facts, "remedy": REMEDIES[finding]})


def not_its_own(facts: Mapping[str, Any], settlement: Settlement, clash: Clash) -> Failure:
    """Report that the provider's answer contains the order of another submission (SUB-8)."""
    log.error(
        "order_of_another_submission",
        extra={
            **facts,
            **order_facts(settlement.placed),
            "holder": clash.holder.id,
            "remedy": "ask the restaurant; if its ids have started again, settle it by `levelup-ov submissions settle` "
            "with the number that the guest is to be told",
        },
    )
    return outcome_unknown("the provider answered with the id of another submission's order")


def order_facts(placed: Placed) -> dict[str, Any]:
    """What is logged of an order."""
    return {
        "order_id": placed.order_id,
        "provider_order_id": placed.provider_order_id,
        "expected_charge": placed.expected_charge,
        "charged": placed.charged,
        **({"duplicates": list(placed.duplicates)} if placed.duplicates else {}),
    }


def facts_of(submission: Submission) -> dict[str, Any]:
    """What is logged of a submission."""
    return {
        "submission": submission.id,
        "reference": submission.reference,
        "account": submission.account,
        "location": submission.location,
    }
