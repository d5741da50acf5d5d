"""An attempt to place a submission: what identifies it, its mark before the first byte, and its row in the ledger."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from levelup_ov.domain.failure import Failure
from levelup_ov.ledger import limits
from levelup_ov.ledger.identity import Identity
from levelup_ov.ledger.ledger import Ledger
from levelup_ov.ledger.records import Claimed, Submission, Superseded
from levelup_ov.ordering.addresses import stored_trace
from levelup_ov.transport.placement import LastLook, Placement

log = logging.getLogger(__name__)


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
        self.trace_if_unknown: Mapping[str, Any] | None = None
        """What is recorded in place of the trace if this attempt ends without knowing its outcome."""
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
class OwnedSubmission:
    """A submission that this process is sending or has found, with the content of its row.

    ``key``: None if there is too little to write the row again. ``trace``: what the adapter finds the order by.
    ``is_marked``: it was sent, and the ledger has acknowledged that, or could not. ``is_found``: nothing is sent,
    because the order of an earlier attempt was found, whose reference ``claim`` has.
    """

    ledger: Ledger
    claim: Claimed
    key: SubmissionKey | None
    received_at: datetime | None
    lease: timedelta
    trace: Mapping[str, Any] | None = None
    is_marked: bool = False
    is_found: bool = False

    def mark(self, trace: Mapping[str, Any] | None) -> None:
        """Record that it is about to be sent. :raises Superseded: the claim was lost; do not send."""
        self.trace = trace
        self._mark()
        self.is_marked = True

    def mark_late(self, trace: Mapping[str, Any] | None) -> None:
        """The same for one that was sent without the mark. :raises Superseded: the claim was lost."""
        self.trace, self.is_marked = trace, True
        self._mark()

    def take_over(self, refused: Submission) -> None:
        """Mark it as what an earlier attempt has sent, whose order was found.

        :raises Superseded: the claim was lost.
        """
        self.claim, self.received_at = replace(self.claim, reference=refused.reference), refused.received_at
        self.is_found = True
        self.mark_late(refused.trace)

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
        found_as = self.claim.reference if self.is_found else None
        self.ledger.transitions.begin_sending(
            self.claim.id, lease=self.lease, trace=self.trace, received_at=self.received_at, found_as=found_as
        )

    def restore(self, also: Callable[[Any], None] | None = None) -> None:
        """Write the row again, as :meth:`Restorer.restore` does. :raises Superseded: it belongs to another attempt."""
        assert self.key is not None
        self.ledger.restorer.restore(
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


def in_progress() -> Failure:
    """The failure of a submission that somebody is placing."""
    return Failure(
        "submission_in_progress",
        "the same order is being placed or canceled, or its outcome is not known yet",
        retry_after=1,
    )
