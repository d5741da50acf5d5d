"""The status of placed orders: find the order, record its status, and log each change (STAT-1 to STAT-7).

:mod:`levelup_ov.ordering.placed_orders` asks the provider.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Protocol

from pytz.tzinfo import BaseTzInfo

from levelup_ov.domain import ready_time
from levelup_ov.domain.failure import Failure
from levelup_ov.domain.status import CALLED_OFF, FINAL, TOO_LATE, Stage
from levelup_ov.errors import Refused
from levelup_ov.ledger.engine import LedgerUnavailable
from levelup_ov.ledger.identity import Identity
from levelup_ov.ledger.ledger import Ledger
from levelup_ov.ledger.records import Submission
from levelup_ov.ledger.statuses import PlacedOrder, Statuses
from levelup_ov.ordering.attempts import in_progress
from levelup_ov.ordering.outcomes import outcome_unknown

LONGEST_WORD = 100
"""Characters of a provider's word that are kept."""

_ATTEMPTS = 3
"""To record a proof: those who claim an order do so once in a while."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ReportedStatus:
    """A status as its provider reports it, without secrets; ``stage`` is None if the adapter does not know ``word``."""

    stage: Stage | None
    word: str
    changed_at: datetime | None
    expected_ready_at: datetime | None


@dataclass(frozen=True, slots=True)
class TrackedOrder:
    """The members of the response to a request for an order's status (STAT-1)."""

    order_id: str | int
    status: Stage | None
    provider_status: str
    changed_at: str | None
    expected_ready_at: str | None


class PaidOrders(Protocol):
    """Knows which orders were charged before they were placed."""

    def check_not_charged(self, order: PlacedOrder) -> None:
        """:raises Failure: ``cancellation_refused``: whoever cancels the order must also refund its charge."""

    def called_off(self, cursor: Any, order: PlacedOrder, is_off: bool) -> None:
        """Nobody makes an order any more, or with ``is_off`` False, it is made again.

        Called in the transaction of ``cursor``, which records that.
        """


class OrderTracking:
    """The placed orders of one ledger; ``paid_orders`` returns those of web checkout."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._statuses = Statuses(ledger)
        self.paid_orders: Callable[[], PaidOrders] | None = None

    def find(
        self,
        location: str,
        number: str,
        key: tuple[Identity, ...] = (),
        request_id: str | None = None,
        *,
        to_cancel: bool = False,
    ) -> PlacedOrder:
        """The newest order of a location with this number; with ``key``, the one that was submitted under that key.

        ``request_id``: that of the submission, by which it is found if the secret key of ``key`` was dropped.
        ``to_cancel``: without a key, no other order may have had the number within a day.

        :raises Failure: ``order_not_found``, ``order_id_ambiguous``, ``outcome_unknown``, ``submission_in_progress``.
        """
        if not key:
            found = self._statuses.numbered(location, number)
            if found is not None:
                others = self._statuses.namesakes(found)
                if others if to_cancel else others - FINAL:
                    raise _ambiguous(number)
        else:
            found_under = self._ledger.reader.named(key)
            if not found_under and request_id is not None:
                found_under = self._ledger.reader.requested(location, request_id)
            # An attempt that was not placed may have been followed by another one.
            placed = (each for each in found_under if each.state == "placed" and str(each.order_id) == number)
            submission = next(placed, next(iter(found_under), None))
            if submission is not None and submission.state == "unknown":
                raise outcome_unknown("it is not known whether this order was placed")
            if submission is not None and submission.state in ("claimed", "sending"):
                raise in_progress()
            found = None if submission is None else self._statuses.of(submission.id)
        if found is None or str(found.order_id) != number:
            raise _not_found()
        return found

    def open_orders(self, account: str, *, every: timedelta = timedelta(0), limit: int) -> tuple[PlacedOrder, ...]:
        """The open orders of an account, as :meth:`levelup_ov.ledger.statuses.Statuses.open` has them."""
        return self._statuses.open(account, every=every, limit=limit)

    def open_counts(self) -> dict[str, int]:
        """How many open orders each account has, as :meth:`levelup_ov.ledger.statuses.Statuses.counts` has them."""
        return self._statuses.counts()

    def ask(
        self, order: PlacedOrder, ask: Callable[[PlacedOrder], ReportedStatus], *, lease: timedelta
    ) -> ReportedStatus | None:
        """Claim an order for ``lease``, get its status from ``ask``, record it; None: somebody else does or just did.

        :raises Failure: ``ask`` failed.
        """
        claimed = self._statuses.claim(order, lease)
        if claimed is None:
            return None
        try:
            status = ask(claimed)
        except Exception:
            self._statuses.release(claimed)
            raise
        self.record(claimed, status)
        return status

    def check_not_charged(self, order: PlacedOrder) -> None:
        """:raises Failure: ``cancellation_refused``: whoever cancels the order must also refund its charge."""
        if self.paid_orders is not None:
            self.paid_orders().check_not_charged(order)

    def begin_cancellation(self, order: PlacedOrder) -> PlacedOrder:
        """Note that the provider is about to be asked to cancel an order; the order as it is now (STAT-7).

        :raises Failure: ``order_not_found``: the database has lost it since it was read.
        """
        begun = self._statuses.begin_cancellation(order)
        if begun is None:
            raise _not_found()
        return begun

    def end_cancellation(self, order: PlacedOrder) -> None:
        """Take the note of :meth:`begin_cancellation` back: the provider has canceled nothing.

        An earlier note stays, and so does one that somebody has made since.
        """
        with suppress(LedgerUnavailable):
            self._statuses.end_cancellation(order)

    def of(self, submission: str) -> PlacedOrder | None:
        """The order of a submission that is placed, as it is now."""
        return self._statuses.of(submission)

    def is_called_off(self, submission: Submission) -> bool:
        """Whether nobody makes a placed order, by its last known status; asks no provider."""
        order = self.of(submission.id)
        return order is not None and order.stage in CALLED_OFF

    def record(self, order: PlacedOrder, status: ReportedStatus) -> bool:
        """Record a status and log a change; False: another one was recorded since the order was read."""
        if _is_late(order, status):
            self._statuses.release(order)
            return True
        is_new = is_change(order, status)
        is_off, also = status.stage in CALLED_OFF, None
        # A word that the adapter does not know says neither.
        may_be_again = status.stage is not None and order.word is not None and order.stage in (None, *CALLED_OFF)
        if is_new and (is_off or may_be_again):
            also = partial(self._called_off, order=order, is_off=is_off)
        changed_at = status.changed_at or (None if is_new else order.changed_at)
        if not self._statuses.record(order, status.stage, status.word, changed_at, also):
            return False
        if not is_new:
            return True
        facts = {
            "submission": order.submission,
            "account": order.account,
            "location": order.location,
            "order_id": order.order_id,
            "before": order.stage,
            "stage": status.stage,
            "word": status.word,
        }
        ended_badly = status.stage in ("cancelled", "refused")
        log.log(logging.WARNING if ended_badly else logging.INFO, "order_status_changed", extra=facts)
        if status.stage is None:
            log.warning("order_status_unknown", extra=facts)
        return True

    def _called_off(self, cursor: Any, order: PlacedOrder, is_off: bool) -> None:
        """Nobody makes an order any more, or with ``is_off`` False, it may be made again."""
        if self.paid_orders is not None:
            self.paid_orders().called_off(cursor, order, is_off)
        if not is_off:
            self._ledger.findings.note_made_again(cursor, order.submission, order.order_id, order.provider_order_id)

    def record_proof(self, order: PlacedOrder, status: ReportedStatus) -> None:
        """Record that an order was canceled here, also if somebody has claimed it since it was read.

        What they were answered may be older. When they record it, the row has changed.
        """
        for _ in range(_ATTEMPTS):
            if self.record(order, status):
                return
            order = self.of(order.submission) or order


def _ambiguous(number: str) -> Failure:
    words = f"several orders have the number {number}: send the Idempotency-Key of the submission"
    return Failure("order_id_ambiguous", words)


def _not_found() -> Failure:
    return Failure("order_not_found", "no order with this number was placed at this location")


def is_change(order: PlacedOrder, status: ReportedStatus) -> bool:
    """Whether a status is another one than the last, and replaces it."""
    return (order.stage, order.word) != (status.stage, status.word) and not _is_late(order, status)


def _is_late(order: PlacedOrder, status: ReportedStatus) -> bool:
    """Whether nobody makes an order, and its provider says that this status is from before that.

    Other statuses are not compared: if a restaurant takes a step back, that status has an older time.
    """
    if order.stage not in CALLED_OFF or order.changed_at is None or status.changed_at is None:
        return False
    return status.changed_at < order.changed_at


def check_cancelable(order: PlacedOrder, status: ReportedStatus) -> None:
    """:raises Failure: ``cancellation_refused``, ``cancellation_unknown``: the provider is not asked to cancel it."""
    if status.stage is None:
        # The guest may have the order, and an earlier request may have canceled it.
        raise cancellation_unknown(f"nothing is known of the status {status.word}")
    if status.stage in TOO_LATE:
        raise Failure("cancellation_refused", f"the order is {status.stage}: {status.word}")
    if order.card:
        # Only the restaurant can give the money back.
        raise Failure(
            "cancellation_refused", "the order was paid with a card: ask the restaurant, which has to refund it"
        )


def check_canceled(status: ReportedStatus, refusal: Failure | None) -> None:
    """Check that a status proves a cancellation; ``refusal`` is what the provider answered to the request for it.

    :raises Failure: ``cancellation_refused``, ``cancellation_unknown``.
    """
    if status.stage in CALLED_OFF:
        return
    if isinstance(refusal, Refused) and refusal.proof:
        raise Failure("cancellation_refused", refusal.message)
    raise cancellation_unknown(refusal.message if refusal else f"the order is still {status.word}")


def cancellation_unknown(why: str) -> Failure:
    """The failure of a cancellation whose outcome is not known yet."""
    return Failure("cancellation_unknown", f"{why}; send the same request again to learn its outcome", retry_after=1)


def shown(order: PlacedOrder, status: ReportedStatus, zone: BaseTzInfo | None) -> TrackedOrder:
    """The response to the channel, with times in the contract's form (TIME-1)."""
    # Times are rounded up so that no order is promised too early; this one promises nothing.
    changed_at = status.changed_at and status.changed_at.replace(second=0, microsecond=0)
    ready_at = ready_time.to_wire(status.expected_ready_at, zone)
    return TrackedOrder(
        order_id=order.order_id,
        status=status.stage,
        provider_status=status.word,
        changed_at=ready_time.to_wire(changed_at, zone),
        expected_ready_at=ready_at or json.loads(order.answer).get("expected_ready_at"),
    )
