"""What became of a submission, asked at its provider: look it up, fence it, reconcile it (SUB-5, SUB-10, SUB-12)."""

from __future__ import annotations

import logging

from levelup_ov.adapter import Adapter
from levelup_ov.domain.failure import Failure
from levelup_ov.domain.request import OrderRequest
from levelup_ov.domain.status import CALLED_OFF
from levelup_ov.domain.submission import Finding
from levelup_ov.errors import Refused, broken_protocol
from levelup_ov.ledger.records import Submission
from levelup_ov.ordering.addresses import moved, own_trace
from levelup_ov.ordering.metadata import MetadataKeeper
from levelup_ov.ordering.outcomes import Settlement, facts_of, outcome_unknown
from levelup_ov.ordering.reconciling import Fence, Reconciler, understood
from levelup_ov.ordering.reported_orders import is_whole, order_status, placed_order
from levelup_ov.ordering.request_context import RequestContext
from levelup_ov.ordering.responses import settlement_of
from levelup_ov.ordering.routing import Routing
from levelup_ov.ordering.session_secrets import personal_words, secrets_of, unknown_words

NOT_CONFIGURED = "the account of this order is not configured here"
NOT_LISTED = "the account does not list the location of this order any more"

log = logging.getLogger(__name__)


class LookUps:
    """Looks up orders at the providers that ``routing`` reaches, so that ``reconciler`` settles their submissions."""

    def __init__(self, routing: Routing, reconciler: Reconciler, keeper: MetadataKeeper) -> None:
        self._routing = routing
        self._reconciler = reconciler
        self._keeper = keeper

    def reconcile(self, submission: Submission, context: RequestContext) -> Settlement | None:
        """Reconcile an unknown submission; None: no order exists.

        :raises Failure: ``outcome_unknown``: the outcome could not be determined now.
        """
        return self._reconciler.reconcile(
            submission,
            lambda unknown: self.find_order(unknown, context),
            deadline=context.deadline,
            fence=self.fence_of(self._adapter_of(submission), context),
        )

    def look_again(self, submission: Submission, context: RequestContext) -> Finding | None:
        """Look up once more what was ruled out or refused (SUB-12); returns what a person must look at.

        Where the account has moved, or does not list the location any more, a look counts only if it finds an order,
        until the last one is due.

        :raises Failure: ``outcome_unknown``: the outcome could not be determined now.
        """

        def find_order(found: Submission) -> Settlement | None:
            return self._find_here(found, context) if found.is_last_look else self.find_order(found, context)

        return self._reconciler.look_again(submission, find_order)

    @staticmethod
    def may_come_late(adapter: Adapter) -> bool:
        """Whether a late copy of a call that was refused may have been accepted since, and can be looked for."""
        return adapter.recovery == "look_up" and not adapter.fences

    def find_refused(
        self, refused: Submission, context: RequestContext, request: OrderRequest | None = None
    ) -> Settlement | None:
        """The order of a submission that was refused, if its provider has accepted a late copy of the call since.

        Wherever the account is now: what it does not show was refused before, and still is, as far as known. An order
        that nobody makes any more is none.

        :raises Failure: the provider gives no answer, so that another order may be a second one.
        """
        try:
            with understood(facts_of(refused)):
                found = self._find_here(refused, context, request)
                return None if found is None or self._is_called_off(refused, found, context) else found
        except Refused as refusal:
            raise broken_protocol(f"the provider refuses to look up an order: {refusal.message}") from None

    def fence_of(self, adapter: Adapter, context: RequestContext) -> Fence | None:
        """How the provider is made to refuse a late order of a submission (SUB-10); None if it cannot do that."""
        if not adapter.fences:
            return None

        def fence_order(submission: Submission) -> None:
            routed = self._routing.of_order(submission.location, context)
            if moved(submission, adapter):
                return  # a fence elsewhere stops nothing; find_order says so if there is no order
            personal = unknown_words(routed.adapter)
            with self._routing.session(routed.adapter, context, own=True, personal=personal) as session:
                routed.adapter.fence_order(routed.location, submission.reference, own_trace(submission), session)

        return Fence(fence_order, adapter.voids_cards)

    def find_order(
        self, submission: Submission, context: RequestContext, request: OrderRequest | None = None
    ) -> Settlement | None:
        """The order of a submission, as its provider knows it; None if there is none (SUB-5).

        ``request``: what was submitted, if it is known. The answer may contain its guest's account data (META-1).

        :raises Failure: ``outcome_unknown``: only sending the same submission again can determine the outcome; or there
            is none at the account's address, and it was sent to another one; or none at a location that is not listed.
        """
        settlement = self._find_here(submission, context, request)
        if settlement is None:
            adapter = self._adapter_of(submission)
            check_not_moved(submission, adapter)
            if adapter.needs_trace and not own_trace(submission):
                raise Failure("outcome_unknown", "this provider shows no such order, which proves nothing")
            if not self._routing.of_order(submission.location, context).is_listed:
                raise Failure("outcome_unknown", f"{NOT_LISTED}: that it shows no such order proves nothing")
        return settlement

    def _adapter_of(self, submission: Submission) -> Adapter:
        """:raises Failure: ``outcome_unknown``: its account is not configured."""
        try:
            return self._routing.directory.account_of(submission.location)
        except Failure:
            raise outcome_unknown(NOT_CONFIGURED) from None

    def can_ask(self, location: str) -> bool:
        """Whether a location's provider can be asked for an order by its reference."""
        try:
            return self._routing.directory.account_of(location).recovery == "look_up"
        except Failure:
            return False  # the account was removed

    def proves_absence(self, location: str) -> bool:
        """Whether a location's provider can prove that it has no order of a reference of which nothing is recorded."""
        return self.can_ask(location) and not self._routing.directory.account_of(location).needs_trace

    def has_unrecorded(self, location: str, reference: str, context: RequestContext) -> bool:
        """Whether a provider shows an order of which nothing is recorded but what its reference would be.

        An adapter that fails without a call cannot look for it.

        :raises Failure: ``outcome_unknown``: the provider gives no answer.
        """
        try:
            routed = self._routing.location(location, context)
        except Failure as failure:
            if failure.code == "location_not_found":
                return False
            raise Failure("outcome_unknown", f"the provider was asked, but: {failure.message}") from None
        adapter = routed.adapter
        with self._routing.session(adapter, context, own=True, personal=unknown_words(adapter)) as session:
            before = len(session.calls)
            try:
                with understood({"account": adapter.account.name, "location": location, "reference": reference}):
                    return adapter.find_order(routed.location, reference, {}, session) is not None
            except Failure as failure:
                if len(session.calls) > before or failure.code != "provider_protocol_error":
                    raise Failure("outcome_unknown", f"the provider was asked, but: {failure.message}") from None
        return False

    def _is_called_off(self, submission: Submission, found: Settlement, context: RequestContext) -> bool:
        """Whether nobody makes the order of a submission, by its provider's word."""
        routed, known = self._routing.of_order(submission.location, context), found.placed.provider_order_id
        adapter, reference = routed.adapter, submission.reference
        if not adapter.order_status or not is_whole(known):
            return False
        with self._routing.session(adapter, context, own=True, personal=unknown_words(adapter)) as session:
            reported = adapter.show_status(routed.location, known, reference, session)
            status = order_status(reported, reference, adapter, session)
        return adapter.order_status.get(status.word) in CALLED_OFF

    def _find_here(
        self, submission: Submission, context: RequestContext, request: OrderRequest | None = None
    ) -> Settlement | None:
        """The order of a submission at the account's present address."""
        routed = self._routing.of_order(submission.location, context)
        adapter = routed.adapter
        if adapter.recovery != "look_up":
            raise Failure("outcome_unknown", "this provider cannot look up orders; send the same submission again")
        personal = personal_words(request) if request else unknown_words(adapter)
        with self._routing.session(adapter, context, own=True, personal=personal) as session:
            reference = submission.reference
            found = adapter.find_order(routed.location, reference, own_trace(submission), session)
            if found is None:
                return None
            secrets = [*secrets_of(adapter), *session.secrets]
            placed = placed_order(found, reference, adapter, session, secrets)
        return settlement_of(placed, routed, request.user if request else None, self._keeper)


def check_not_moved(submission: Submission, adapter: Adapter) -> None:
    """:raises Failure: it was sent elsewhere, or under another name, than the account has now, which proves nothing."""
    if (move := moved(submission, adapter)) is not None:
        facts = {
            "submission": submission.id, "reference": submission.reference, "account": submission.account,
            "sent_to": move.sent_to, "address": move.address, "changed": list(move.changed),
        }  # fmt: skip
        if submission.ended != "refused":  # the channel was told of that one, so nobody has to set anything back
            log.error("provider_address_changed", extra={**facts, "remedy": move.remedy})
        words = f"it was sent with another {' and '.join(move.changed)} than the account has now"
        raise Failure("outcome_unknown", words)
