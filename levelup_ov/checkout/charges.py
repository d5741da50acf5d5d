"""Charging: the call to LevelUp, what its answer proves, and how a lost answer is reconciled.

A charge is a submission of the ledger's (SUB-2 to SUB-5). Its row is written at the last look, immediately before the
bytes that charge; every later attempt is marked there too. What an answer proves is decided by
:mod:`levelup_ov.checkout.proof` alone.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from types import EllipsisType
from typing import Any, TypeAlias

import orjson

from levelup_ov.checkout import amounts
from levelup_ov.checkout.attention import What
from levelup_ov.checkout.charged_orders import ended, settlement
from levelup_ov.checkout.client import LevelUpClient, LevelUpSession, Unproven
from levelup_ov.checkout.connections import CUT_OFF, Access, Connections
from levelup_ov.checkout.failed_orders import case, in_progress, problem
from levelup_ov.checkout.leases import Leases
from levelup_ov.checkout.lost_rows import LostRows
from levelup_ov.checkout.proof import (
    Charge,
    PastOrder,
    UnreadOrder,
    differences,
    may_be_a_copy,
    may_be_ours,
    may_be_since,
)
from levelup_ov.checkout.refusals import LevelUpRefused
from levelup_ov.checkout.store import LOOKS, CheckoutStore, Connected, StoredOrder, UuidTaken
from levelup_ov.domain.checkout import CheckoutOrder, Delivery
from levelup_ov.domain.failure import Failure
from levelup_ov.domain.money import Cents
from levelup_ov.errors import Refused, Unanswered, broken_protocol
from levelup_ov.ledger import limits
from levelup_ov.ledger.engine import LedgerUnavailable
from levelup_ov.ledger.records import Submission, from_ms, to_ms
from levelup_ov.ordering.attempts import Attempt, SubmissionKey
from levelup_ov.ordering.outcomes import Settlement, outcome_unknown
from levelup_ov.ordering.request_context import RequestContext
from levelup_ov.ordering.submissions import SETTLING_TIME
from levelup_ov.sealing import Sealer
from levelup_ov.transport.deadline import Deadline
from levelup_ov.transport.placement import Placement

MOST_PAGES = 20
"""The most pages of a user's orders read for one look."""
CLOCKS_APART = timedelta(hours=1)
"""By how much LevelUp's clock and ours may differ where a look for a copy compares times."""
MOST_EXPECTED = 50
"""Of how many charges of a user, the newest, it is checked that they are in the user's orders."""

_LEFT_ALONE = ("charge_unproven", "charge_of_another_order")
"""The kinds of case that a site that keeps asking must not keep a person from settling."""
_NOT_READABLE = ("provider_credentials_refused", "provider_protocol_error")
"""What LevelUp's answer fails with if it does not show a user's orders, besides its own refusals."""

History: TypeAlias = list[PastOrder | UnreadOrder]

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Absence:
    """LevelUp reports no charge of ``order``, which is as it was then. ``others``: unknown orders at the same place."""

    order: StoredOrder
    others: Sequence[PastOrder | UnreadOrder] = ()


class Sending:
    """The first part of the last look before each attempt to charge (SUB-2): writing the order's row."""

    def __init__(self, store: CheckoutStore, leases: Leases) -> None:
        self._store = store
        self._leases = leases
        self.row: StoredOrder | None = None
        self.trace: Mapping[str, Any] = {}
        self.is_kept = False
        self.tries = 0

    def __call__(self, trace: Mapping[str, Any] | None) -> None:
        """:raises Failure: the charge was ruled out; nothing is sent."""
        assert self.row is not None
        self.tries += 1
        before, now = self.row.held, self._leases.new()
        self.row = replace(self.row, held=now, sent=now)
        if not self.is_kept:
            self._store.add_order(self.row)
            self.is_kept = True
        elif not self._store.change_order(self.row.id, ("charging",), held=before, values={"held": now, "sent": now}):
            raise in_progress("this charge was abandoned")


class Charges:
    """Charges orders; ``clock`` returns the current time, aware.

    ``max_age``: a charge that no request waits for is refunded at this age, unless it has a meal.
    """

    def __init__(
        self,
        store: CheckoutStore,
        levelup: LevelUpClient,
        connections: Connections,
        leases: Leases,
        lost_rows: LostRows,
        sealer: Sealer,
        max_age: timedelta,
        clock: Callable[[], datetime],
    ) -> None:
        self._store = store
        self._levelup = levelup
        self._connections = connections
        self._leases = leases
        self._lost_rows = lost_rows
        self._sealer = sealer
        self._max_age = max_age
        self._clock = clock

    def accesses(self, order: CheckoutOrder, connected: Mapping[str, Connected]) -> tuple[Access, Access]:
        """The merchant and the user of an order, of ``connected`` by id.

        :raises Failure: one of them is not connected.
        """
        merchant = self._connections.opened("merchant", connected.get(order.merchant), "$.order.merchant")
        return merchant, self._connections.opened("user", connected.get(order.user), "$.order.user")

    def place(
        self,
        order: CheckoutOrder,
        delivery: Delivery | None,
        connected: Mapping[str, Connected],
        attempt: Attempt,
        key: SubmissionKey,
        deadline: Deadline,
        context: RequestContext,
        outline: Callable[[StoredOrder], Mapping[str, Any]],
    ) -> tuple[StoredOrder, Settlement]:
        """Charge under ``key``; for ``connected`` see :meth:`accesses`.

        ``outline`` returns what the ledger keeps of an order with its charge, besides the proposal.

        :raises Failure: nothing was charged, or it is unknown.
        """
        waiting = self._leases.new()
        merchant, user = self.accesses(order, connected)
        attempt.first = sending = Sending(self._store, self._leases)
        try:
            with self._levelup.calls(deadline, context.calls, attempt.placement) as calls:
                proposal = calls.propose(merchant.token, user.token, body_of(order, amounts.proposed(order.check)))
                discount = amounts.applied_discount(order.check, order.discount, proposal.discount)
                sending.row, body = self._new(order, delivery, attempt.id, proposal.uuid, discount)
                sending.trace = {"proposed_order_uuid": proposal.uuid, **outline(sending.row)}
                charge = self._complete(calls, merchant, user, sending, body)
            made, settled = self._believe(sending.row, charge, waiting, key)
        except Exception as error:
            if sending.is_kept and sending.row is not None and attempt.order_may_stand:
                # A ledger that hangs has used up the time: the charge is then unknown, whatever LevelUp answered.
                self._lost_rows.keep(sending.row, key)
            attempt.trace_if_unknown = ended(sending.trace)
            if isinstance(error, Failure):
                self._connections.token_refused(error, merchant, user, order.location_id, context)
            raise
        if sending.tries > 1:
            self._look_for_twins(made, user, RequestContext(deadline, context.request_id, calls=context.calls))
        self._check_awaited(made, waiting)
        return made, settled

    def find(
        self,
        order: StoredOrder,
        context: RequestContext,
        waiting: str | None,
        unknown_since: tuple[str, int] | None = None,
        *,
        is_first: bool = True,
    ) -> Settlement | Absence:
        """The charge of ``order``, or that there is none now.

        Where the user's orders can be read they are read first: completing the proposed order again charges it, if
        nothing did before. They are read once the lease of the last attempt is over, so within it the order is
        completed again only once. ``unknown_since``: the boot, and its milliseconds, when the outcome became unknown.

        A person can settle a case once the lease is over, so nothing more is sent then for a while. ``is_first``: it
        may be looked for once more, by another connection, if LevelUp does not take a token any more.

        ``waiting``: when the request that waits for it began, by a mark of :class:`Leases`; None: none waits.

        :raises Failure: it cannot be found now.
        """
        if order.uuid is not None or order.state == "settled":
            self._check_awaited(order, waiting)
            return settlement(order)
        merchant, user = self._accesses_again(order, context)
        is_quiet = self._leases.has_ended(order.sent)
        history = self._read_history(order, user, context) if is_quiet else None
        if history == []:
            return Absence(order)
        if waiting is not None and order.case_kind in _LEFT_ALONE and self._leases.is_recent(order.sent):
            # A site that keeps asking leaves a person time to settle it.
            raise outcome_unknown("it is not known whether this was charged, and the operator has been notified")
        if not is_quiet and _may_read_orders(user) and not self._leases.is_from_before(order.sent, unknown_since):
            raise outcome_unknown("the user's orders are read later", max(self._leases.left(order.sent), 1))
        try:
            charge = self._complete_again(order, merchant, user, context)
        except LevelUpRefused as refusal:
            if alike := self._alike(order, history or []):
                words = f"LevelUp refuses to charge it ({refusal.message}), and shows {', '.join(alike)}"
                what = case("charge_unproven", f"it is unknown whether this was charged: {words}", found=alike)
                # Every attempt was answered, but nothing more is sent for a while, so that a person can settle it.
                values = {"operator_case": what, "sent": self._leases.new()}
                self._store.change_order(order.id, ("charging",), values=values)
                raise outcome_unknown("LevelUp shows a charge that may be this one") from None
            # This attempt was answered, so its mark is gone.
            return Absence(replace(order, held=None), history or [])
        except Failure as failure:
            is_of_token = isinstance(failure, Unproven) and failure.status == 401
            if is_quiet and isinstance(failure, Unproven) and failure.is_over and not is_of_token:
                # LevelUp has answered, but the answer proves nothing.
                what = case("charge_unproven", f"it is unknown whether this was charged: {failure.message}")
                self._store.change_order(order.id, ("charging",), values={"operator_case": what})
            self._connections.token_refused(failure, merchant, user, order.location_id, context)
            if is_of_token and is_first and self._is_replaced(order, merchant, user, context):
                # That call had no effect, and the same person has connected again in the meantime.
                now = self._store.order(order.id) or order
                return self.find(now, context, waiting, unknown_since, is_first=False)
            raise
        made, settled = self._believe(order, charge, waiting, is_found=True)
        self._report_twins(made, history or [])
        self._check_awaited(made, waiting)
        return settled

    def void(self, order: StoredOrder, held: str | EllipsisType | None = ..., *, is_refused: bool = False) -> bool:
        """Record that nothing was charged, if that is finally proven.

        ``held``: the mark of the only attempt that is proven. False: there was another, to find the charge, or this
        is not known. ``is_refused``: LevelUp has refused it, and may show the user's orders. The network may have
        delivered the call twice, so a copy is looked for there.
        """
        values = {
            "state": "not_charged", "body": None, "doubt": None, "held": None, "sent": None, "operator_case": None,
            "looks": 0, "look_at": self._next_at(0) if is_refused else None,
        }  # fmt: skip
        try:
            with limits.extended(SETTLING_TIME):
                return self._store.change_order(order.id, ("charging",), held=held, values=values) is not None
        except LedgerUnavailable:
            log.warning("charge_left_for_reconciliation", extra={"order": order.id})
            return False

    def open_case(self, submission: Submission) -> StoredOrder:
        """The order of an unknown charge of which only the ledger's row is left. Its user is not known."""
        merchant = submission.location.rpartition("/")[2]
        row = StoredOrder(
            submission.id, "charging", merchant, "", 0, "", 0, 0, 0, 0, 0, created_at=to_ms(submission.claimed_at)
        )
        return self._lost_rows.open_case(submission, row)

    def find_lost(self, submission: Submission, order: CheckoutOrder, delivery: Delivery | None) -> StoredOrder:
        """The same, as it is requested again.

        Its proposed order cannot be completed any more, but the user's orders may prove that nothing was charged.
        """
        row, _ = self._new(order, delivery, submission.id, "", Cents(0))
        return self._lost_rows.open_case(submission, row)

    def look_again(self, order: StoredOrder, context: RequestContext) -> StoredOrder:
        """Look for a charge that was ruled out after it was sent.

        One that is known by its UUID has to go back. Another new order of the user at this place is a person's case: no
        member of a history says which proposal an order comes from.

        :raises Failure: it could not be looked for now.
        """
        if order.is_refused:
            return self._look_for_copy(order, context)
        merchant, user = self._accesses_again(order, context)
        found = self._read_history(order, user, context)
        if found is not None and self._store.is_another_charging(order):
            # A similar order may be that one, which is settled first.
            return self._next_look(order, order.looks)
        # Another order's UUID may have become known in between. One of years ago may not have been readable before.
        found = found and may_be_since(found, from_ms(order.created_at))
        if found := self._unknown_of(order, found):
            return self._stray(order, found, "an order that was ruled out may have been charged")
        if found is None:
            try:
                charge = self._complete_again(order, merchant, user, context)
            except LevelUpRefused:
                pass
            except Failure as failure:
                self._connections.token_refused(failure, merchant, user, order.location_id, context)
                raise
            else:
                self._charged(order, charge, None, is_found=True)
                return self._store.order(order.id) or order
        return self._next_look(order, order.looks + 1)

    def _look_for_copy(self, order: StoredOrder, context: RequestContext) -> StoredOrder:
        """Look for a charge that LevelUp has refused, only in the user's orders.

        To complete it again might charge a card that is good by now, for somebody who was told that it was declined.
        A look that cannot be made now is not made later, either: nothing is known to be wrong.
        """
        found: History = []
        try:
            user = self._connections.access_again("user", order.user, context)
            if _may_read_orders(user):
                found = self._read_copies(order, user, context)
        except LedgerUnavailable:
            raise
        except Failure as failure:
            log.info("refused_charge_not_looked_for", extra={"order": order.id, "cause": failure.code})
        if found and self._store.is_another_charging(order):
            # It may be that one, which is settled first.
            return self._next_look(order, order.looks)
        if found := self._unknown_of(order, found) or []:
            return self._stray(order, found, "an order that LevelUp refused to charge may have been charged")
        return self._next_look(order, order.looks + 1)

    def _read_copies(self, order: StoredOrder, user: Access, context: RequestContext) -> History:
        """The user's orders that may be a copy of a charge that was refused.

        :raises Failure: the platform gives no answer that can be used.
        """
        asked_at = from_ms(order.created_at)
        # The second hour is for a copy that comes late. What the user buys on the next day is none.
        since, until = asked_at - CLOCKS_APART, asked_at + 2 * CLOCKS_APART
        copies: History = []
        page: int | None = 1
        with self._levelup.calls(context.deadline, context.calls) as calls:
            while page is not None and page <= MOST_PAGES:
                found, page = calls.listed_orders(user.token, page)
                copies += may_be_a_copy(found, order.location_id, order.spend, order.tip, since, until)
                if any(isinstance(each, PastOrder) and each.created_at < since for each in found):
                    break  # they are newest first
        return copies

    def _look_for_twins(self, order: StoredOrder, user: Access, context: RequestContext) -> None:
        """Look in the user's orders for a charge by an earlier try, which we assume to be the same; see below."""
        if not _may_read_orders(user):
            return
        try:
            self._report_twins(order, self._read_copies(order, user, context))
        except Failure as failure:
            log.info("charge_not_looked_for_twice", extra={"order": order.id, "cause": failure.code})

    def _report_twins(self, order: StoredOrder, history: History) -> None:
        """Notify the operator if LevelUp shows another charge that may be of the same order.

        That completing an order again returns the same charge is assumed: LevelUp's pages do not say so.
        """
        others = [uuid for uuid in self._alike(order, history) if uuid != order.uuid]
        if others and self._store.is_another_charging(order):
            # It may be that one's.
            log.info("charge_not_looked_for_twice", extra={"order": order.id, "cause": "submission_in_progress"})
        elif others:
            facts = {"order": order.id, "uuid": order.uuid, "others": others}
            log.error("two_charges_for_one_order", extra=facts)
            self._store.report(order, "two_charges_for_one_order")

    def _alike(self, order: StoredOrder, history: History) -> list[str]:
        """The UUIDs of a history that are no other order's of ours, and may be this charge by all that is shown."""
        since, until = from_ms(order.created_at) - CLOCKS_APART, self._clock() + CLOCKS_APART
        found = may_be_a_copy(history, order.location_id, order.spend, order.tip, since, until)
        return [each.uuid for each in self._unknown_of(order, list(found)) or []]

    def _stray(self, order: StoredOrder, found: Sequence[PastOrder | UnreadOrder], what: str) -> StoredOrder:
        """Leave to a person what a look has found."""
        uuids = [each.uuid for each in found]
        stray = case("stray_charge", f"{what}: LevelUp has {', '.join(uuids)}", found=uuids)
        return self._looked(order, {"operator_case": stray, "look_at": None})

    def _next_look(self, order: StoredOrder, looks: int) -> StoredOrder:
        values: dict[str, Any] = {
            "looks": looks,
            "body": None,
            "look_at": None,
            "operator_case": None,
            "open_since": None,
        }
        if looks < len(LOOKS):
            values = {"looks": looks, "look_at": self._next_at(looks), "operator_case": None, "open_since": None}
        return self._looked(order, values)

    def _next_at(self, looks: int) -> int:
        """When to look again, after so many looks."""
        return self._now() + LOOKS[looks] // timedelta(milliseconds=1)

    def _looked(self, order: StoredOrder, values: Mapping[str, Any]) -> StoredOrder:
        """Record what a look has found, unless another look, or a person, has recorded something since."""
        members = ("looks", "look_at", "operator_case", "seen")
        return self._store.change_as_read(order, values, *members) or self._store.order(order.id) or order

    def _complete(
        self, calls: LevelUpSession, merchant: Access, user: Access, sending: Sending, body: Mapping[str, Any]
    ) -> Charge:
        assert sending.row is not None
        try:
            return calls.complete(merchant.token, user.token, body, sending.trace)
        except Exception as error:
            if not sending.is_kept or calls.session.placing and not isinstance(error, Refused):
                raise
            # A token that is not taken is not taken of a copy either.
            is_refused = isinstance(error, LevelUpRefused) and error.status != 401 and _may_read_orders(user)
            if self.void(sending.row, sending.row.held, is_refused=is_refused):
                raise
            # This host was suspended in between. To find the charge, another one has completed the proposed order.
            calls.session.placement.begin()
            raise Unanswered("provider_timeout", "another attempt may have charged this order", sent=True) from None

    def _complete_again(self, order: StoredOrder, merchant: Access, user: Access, context: RequestContext) -> Charge:
        """Complete the same proposed order again.

        :raises LevelUpRefused: this and every earlier attempt that was answered charged nothing.
        :raises Failure: this is not known.
        """
        if (body := self._sealer.open(order.body or "", order.id)) is None:
            raise outcome_unknown("the sealed proposal of this order cannot be opened")
        mark, held, states = "", order.held, (order.state,)

        def look(_: Mapping[str, Any] | None) -> None:
            nonlocal mark, held
            mark = self._leases.new()
            values = {"sent": mark, "held": mark}
            if not self._store.change_order(order.id, states, held=held, values=values):
                raise in_progress("another request is looking for this charge")
            held = mark

        try:
            with self._levelup.calls(context.deadline, context.calls, Placement(look)) as calls:
                return calls.complete(merchant.token, user.token, json.loads(body), again=True)
        except (LevelUpRefused, Unproven) as refusal:
            if mark and getattr(refusal, "is_over", True):
                # Every attempt was answered, so nothing can arrive later. The mark of an earlier sender does not come
                # back: it must not take what it knows of its own attempt for all that was sent.
                self._store.change_order(order.id, states, held=mark, values={"sent": order.sent, "held": None})
            raise

    def _believe(
        self,
        order: StoredOrder,
        charge: Charge,
        waiting: str | None,
        key: SubmissionKey | None = None,
        *,
        is_found: bool = False,
    ) -> tuple[StoredOrder, Settlement]:
        """Accept an answer as the charge of ``order``, if it matches the request; ``waiting``: see :meth:`find`.

        ``key``: that of the charge, if it is known. ``is_found``: an earlier request may have made it.

        A charge that differs counts if LevelUp reports it twice, on separate connections; then it must be refunded.

        :raises Unanswered: it proves nothing.
        """
        wrong = differences(charge, order.spend, order.tip)
        if not wrong:
            return self._charged(order, charge, waiting, key=key, is_found=is_found)
        facts = {"order": order.id, "members": wrong}
        log.error("charge_differs", extra=facts)
        recorded = json.dumps(asdict(charge))
        words = f"LevelUp reports a different charge: {'; '.join(wrong)}"
        if order.doubt == recorded and not wrong[0].startswith("uuid"):
            why_not = Failure("provider_protocol_error", words)
            return self._charged(order, charge, waiting, why_not, "charge_differs", key, is_found=is_found)
        self._store.change_order(order.id, ("charging",), values={"doubt": recorded})
        raise broken_protocol(words)

    def _charged(
        self,
        order: StoredOrder,
        charge: Charge,
        waiting: str | None,
        why_not: Failure | None = None,
        notify: What | None = None,
        key: SubmissionKey | None = None,
        *,
        is_found: bool = False,
    ) -> tuple[StoredOrder, Settlement]:
        """Record a charge; ``why_not``: why it must be refunded; ``notify``: what the operator is notified of.

        ``waiting``: see :meth:`find`; ``key`` and ``is_found``: see :meth:`_believe`.
        """
        is_awaited = self._is_awaited(waiting)
        # One that is found is told once it was read: see Refunds.check_standing.
        is_told = is_awaited and not is_found
        look_at = None if is_told or order.is_to_be_submitted else self._kept_until(order)
        values = {
            "state": "charged" if why_not is None else "refunding",
            "problem": None if why_not is None else problem(why_not),
            "uuid": charge.uuid,
            "body": None,
            "operator_case": None,
            "open_since": None,
            "look_at": look_at,
            "spend": charge.spend,
            "tip": charge.tip,
            "total": charge.total,
            "gift_card_total": charge.gift_card_total,
            "gift_card_tip": charge.gift_card_tip,
        }
        if why_not is None:
            values["doubt"] = None
        if why_not is not None or not is_awaited:
            # No request waits for it. One that charges it, or finds it, at the same time has a lease of its own.
            values["held"] = None
        is_lost = is_stray = False
        try:
            changed = self._store.change_order(order.id, ("charging",), values=values, notify=notify)
            if changed is None and (is_lost := self._lost_rows.keep(order, key)):
                changed = self._store.change_order(order.id, ("charging",), values=values, notify=notify)
            if changed is None:
                # A late answer to a charge that was ruled out still counts: the money was taken, and has to go back.
                stray = problem(why_not or Failure("charge_refunded", "the charge arrived after it was ruled out"))
                values |= {"state": "refunding", "problem": stray, "held": None, "look_at": None}
                changed = self._store.change_order(order.id, ("not_charged",), values=values, notify=notify)
                if changed is not None:
                    log.error("charge_exists_but_ruled_out", extra={"order": order.id, "uuid": charge.uuid})
                    is_stray = is_lost
        except UuidTaken:
            log.error("charge_of_another_order", extra={"order": order.id})
            if self._leases.has_ended(order.sent):
                what = case("charge_of_another_order", "LevelUp reports a charge that belongs to another order")
                self._store.change_order(order.id, ("charging",), values={"operator_case": what})
            raise broken_protocol("LevelUp reports a charge that belongs to another order (uuid)") from None
        now = changed or self._store.order(order.id)
        if now is None or now.uuid != charge.uuid:
            facts = {"order": order.id, "uuid": charge.uuid}
            log.error("two_charges_for_one_order", extra=facts)
            if now is not None:
                self._store.report(now, "two_charges_for_one_order")
            raise broken_protocol("LevelUp reports a second charge for this order (uuid)")
        if is_stray:
            raise outcome_unknown("another charge may stand for this order, so this one has to go back")
        return now, settlement(now, order.spend + order.tip)

    def _is_awaited(self, waiting: str | None) -> bool:
        """Whether a request waits for a charge; see :meth:`find`. Its site gave up if this host was suspended since."""
        return waiting is not None and not self._leases.has_ended(waiting)

    def _kept_until(self, order: StoredOrder) -> int:
        """When a charge is refunded that no request waits for."""
        return order.created_at + self._max_age // timedelta(milliseconds=1)

    def _check_awaited(self, order: StoredOrder, waiting: str | None) -> None:
        """Refund a charge at its age if the request that has recorded it has ended before it answered.

        It would have recorded it in the ledger, too. ``waiting``: see :meth:`find`; that request tells of it.

        :raises Failure: it may still answer.
        """
        if order.state != "charged" or order.is_to_be_submitted or order.is_untold:
            return
        if left := self._leases.left(order.sent):
            if self._is_awaited(waiting):
                return
            raise outcome_unknown("the request that has charged it may still answer", max(left, 1))
        self._store.note_untold(order.id, self._kept_until(order))

    def give_up(self, absence: Absence) -> None:
        """It is proven that nothing was charged. Because something was sent, it is looked for again.

        :raises Failure: an attempt may still arrive.
        """
        order = absence.order
        if left := self._leases.left(order.sent):
            raise outcome_unknown("an earlier attempt may still arrive", max(left, 1))
        values = {
            "state": "not_charged", "looks": 0, "look_at": self._next_at(0), "held": None, "operator_case": None,
            "seen": " ".join(each.uuid for each in absence.others),
        }  # fmt: skip
        if self._store.change_order(order.id, ("charging",), held=order.held, values=values) is None:
            raise outcome_unknown("another request has looked for this charge", 1)

    def _read_history(self, order: StoredOrder, user: Access, context: RequestContext) -> History | None:
        """The user's orders that may be this charge, without those that are known; None: they cannot be read.

        That there are none, or that they cannot be read, is believed when it was answered twice: the answer to another
        call easily looks so. Neither that they cannot be read nor an order among them that cannot be read proves
        anything. They also cannot be read if they lack a charge of the same user at the same place.

        :raises Failure: the platform gives no answer that can be used.
        """
        answers: list[History | Failure] = []
        for _ in range(2):
            answer = self._read_once(order, user, context)
            if answer is None or isinstance(answer, list) and answer:
                return answer
            answers.append(answer)
        failures = [each for each in answers if isinstance(each, Failure)]
        if len(failures) == 1:
            raise failures[0]
        if not failures:
            return []
        log.warning("history_not_readable", extra={"order": order.id, "cause": failures[0].code})
        return None

    def _read_once(self, order: StoredOrder, user: Access, context: RequestContext) -> History | Failure | None:
        """See :meth:`_read_history`; a failure: LevelUp's answer cannot be used."""
        if not _may_read_orders(user):
            return None
        read: History = []
        listed = self._store.charges_of(order, MOST_EXPECTED)
        page = 1
        try:
            with self._levelup.calls(context.deadline, context.calls) as calls:
                for _ in range(MOST_PAGES):
                    found, following = calls.listed_orders(user.token, page)
                    read += found
                    if following is None and not found:
                        break
                    # The last page is empty. A list that ends before it may have lost its Link on the way.
                    page = following or page + 1
                else:
                    return None
        except Failure as failure:
            if failure.code == "user_token_refused":
                return None
            if isinstance(failure, LevelUpRefused) or failure.code in _NOT_READABLE:
                return failure
            raise
        if not listed <= {each.uuid for each in read}:
            # It lacks an order that must be in it, so it may lack others.
            log.warning("levelup_history_incomplete", extra={"order": order.id})
            return None
        return self._unknown_of(order, may_be_ours(read, location_id=order.location_id))

    def _unknown_of(self, order: StoredOrder, history: History | None) -> History | None:
        """The orders of a history that are not ours, and were not there when this one was ruled out."""
        if not history:
            return history
        known = self._store.known_uuids([each.uuid for each in history]) | set((order.seen or "").split())
        return [each for each in history if each.uuid not in known]

    def _accesses_again(self, order: StoredOrder, context: RequestContext) -> tuple[Access, Access]:
        try:
            merchant = self._connections.access_again("merchant", order.merchant, context)
            return merchant, self._connections.access_again("user", order.user, context)
        except Failure as failure:
            if failure.code in CUT_OFF:
                # The user may connect again; until then, a person can settle it.
                what = case("not_connected", f"it is unknown whether this was charged: {failure.message}")
                if order.state in ("charging", "not_charged"):
                    self._store.change_as_read(order, {"operator_case": what}, "operator_case", "look_at")
            raise

    def _is_replaced(self, order: StoredOrder, merchant: Access, user: Access, context: RequestContext) -> bool:
        """Whether another connection of the merchant or user of ``order`` counts by now. :raises Failure: none does."""
        found = self._accesses_again(order, context)
        return [each.connection.id for each in found] != [each.connection.id for each in (merchant, user)]

    def _new(
        self, order: CheckoutOrder, delivery: Delivery | None, reference: str, proposed_uuid: str, discount: Cents
    ) -> tuple[StoredOrder, dict[str, Any]]:
        sent = amounts.completed(order.check, discount)
        body = {**body_of(order, sent), "applied_discount_amount": discount, "proposed_order_uuid": proposed_uuid}
        row = StoredOrder(
            id=reference,
            state="charging",
            merchant=order.merchant,
            user=order.user,
            location_id=order.location_id,
            proposed_uuid=proposed_uuid,
            spend=sent.spend,
            tax=sent.tax,
            exemption=sent.exemption,
            tip=order.check.tip,
            discount=discount,
            body=self._sealer.seal(orjson.dumps(body).decode(), reference),
            provider_location_id=delivery.provider_location_id if delivery else None,
            created_at=self._now(),
        )
        return row, body

    def _now(self) -> int:
        return to_ms(self._clock())


def _may_read_orders(user: Access) -> bool:
    return "read_user_orders" in user.connection.permissions.split()


def body_of(order: CheckoutOrder, sent: amounts.Amounts) -> dict[str, Any]:
    """The body sent to LevelUp for an order."""
    return {
        "location_id": order.location_id,
        "identifier_from_merchant": order.identifier,
        "spend_amount": sent.spend,
        "tax_amount": sent.tax,
        "tip_amount": order.check.tip,
        "exemption_amount": sent.exemption,
        # A partial payment would leave an order that is charged but not paid.
        "partial_authorization_allowed": False,
        "discount_only": False,
        **(order.details or {}),
        "items": [{"item": item} for item in order.items],
    }
