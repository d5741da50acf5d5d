"""What a submission is recognized by (SUB-3), and which submissions are known by that."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import Any

from levelup_ov import sealing
from levelup_ov.adapter import Adapter
from levelup_ov.domain.failure import Failure
from levelup_ov.domain.request import OrderRequest, SubmissionRequest
from levelup_ov.domain.secret import Secret
from levelup_ov.ledger import identity
from levelup_ov.ledger.ledger import Ledger
from levelup_ov.ledger.records import Submission
from levelup_ov.ordering.attempts import SubmissionKey
from levelup_ov.ordering.metadata import MetadataKeeper, ValidationId
from levelup_ov.ordering.request_context import RequestContext
from levelup_ov.ordering.routing import Routing


class SubmissionKeys:
    """The keys of one ledger's submissions, under ``secret_keys``; ``clock`` returns the current time, aware."""

    def __init__(
        self,
        routing: Routing,
        ledger: Ledger,
        keeper: MetadataKeeper,
        secret_keys: Sequence[Secret],
        clock: Callable[[], datetime],
    ) -> None:
        self._routing = routing
        self._ledger = ledger
        self._keeper = keeper
        self._identity_keys = [sealing.derive(key, "identity") for key in secret_keys]
        self._reference_key = partial(ledger.reference_key, sealing.derive(secret_keys[0], "reference"))
        self._clock = clock

    def key_of(
        self,
        adapter: Adapter,
        location_id: str,
        request: SubmissionRequest,
        idempotency_key: str | None,
        context: RequestContext,
    ) -> tuple[SubmissionKey, bool]:
        """The key of a submission, and whether its validation has expired (META-8)."""
        account, location = adapter.account.name, self._routing.published_id(location_id)
        validation_id = self.validation_id(location_id, request.order)
        content, now = identity.content(request), self._clock()
        card = request.tender.single_use
        named = {
            "idempotency_key": idempotency_key,
            "order_number": request.order_number,
            "grubhub_order_number": request.grubhub_order_number,
            "order_validation_id": validation_id.value if validation_id else None,
        }
        key = SubmissionKey(
            account,
            location,
            identity.identities(location, content=content, keys=self._identity_keys, card_number=card, **named),
            identity.content_digests(location, content, self._identity_keys),
            context.request_id,
            identity.reference_of(location, key=self._reference_key, period=identity.period_of(now), **named),
            card is not None,
            now,
            identity.alike_digests(location, content, request.order.user.name, self._identity_keys),
        )
        return key, validation_id is not None and validation_id.expired(now)

    def validation_id(self, location_id: str, request: OrderRequest) -> ValidationId | None:
        """The id of the validation that an order comes from; None if it has no id of this service (META-8)."""
        return self._keeper.open_validation_id(self._routing.published_id(location_id), request.metadata)

    def identities(self, location: str, idempotency_key: str) -> tuple[identity.Identity, ...]:
        """What a submission is recognized by that has nothing but an idempotency key; ``location`` as published."""
        keys = self._identity_keys
        return identity.identities(location, content=b"", keys=keys, idempotency_key=idempotency_key)

    def submitted_under(self, location_id: str, idempotency_key: str) -> tuple[Submission, ...]:
        """What was submitted under a key last, or was found to be the same order as that."""
        return self._ledger.named(self.identities(self._routing.published_id(location_id), idempotency_key))

    def submitted_for(self, location_id: str, request_id: str) -> tuple[Submission, ...]:
        """What was submitted for a request, also under secret keys that were dropped since."""
        return self._ledger.requested(self._routing.published_id(location_id), request_id)

    def outline(
        self, location_id: str, request: SubmissionRequest, idempotency_key: str, context: RequestContext
    ) -> Mapping[str, Any]:
        """What :meth:`lost_key` needs to know of a submission; digests only."""
        adapter = self._routing.directory.account_of(location_id)
        key, _ = self.key_of(adapter, location_id, request, idempotency_key, context)
        names = {each.kind: each.digests[0] for each in key.identities}
        return {"names": names, "content": key.content[0], "alike": key.alike[0]}

    def lost_key(
        self,
        location_id: str,
        idempotency_key: str,
        outline: Mapping[str, Any],
        at: datetime,
        context: RequestContext,
    ) -> SubmissionKey:
        """The key of a paid submission that may have been sent although the ledger has no record of that.

        ``outline``: see :meth:`outline`; empty if it is lost, too. ``at``: when it was to be sent.

        :raises Failure: ``outcome_unknown``: its reference is not known.
        """
        adapter = self._routing.account_of(location_id, context)
        location, period = self._routing.published_id(location_id), identity.period_of(at)
        if identity.period_of(self._clock()) != period:
            raise Failure("outcome_unknown", "the reference of this order depends on when it was sent")
        own = self.identities(location, idempotency_key)
        names: Mapping[identity.Kind, str] = outline.get("names", {})
        others = [identity.Identity(kind, (digest,)) for kind, digest in names.items() if kind != "idempotency_key"]
        # An order whose content is lost equals no other.
        content = outline.get("content", f"lost:{idempotency_key.replace(' ', ':')}")
        # An order that was placed, or another one that was begun, under its number does not belong to it.
        others = [each for each in others if self._may_precede(each, content)]
        return SubmissionKey(
            adapter.account.name,
            location,
            (*own, *others),
            (content,),
            context.request_id,
            identity.reference_of(location, key=self._reference_key, period=period, idempotency_key=idempotency_key),
            now=at,
            alike=(outline.get("alike", content),),
            is_paid=True,
        )

    def _may_precede(self, named: identity.Identity, content: str) -> bool:
        """Whether all that was submitted under an identity was ruled out, or is unknown and the same order."""
        return all(
            each.state == "not_placed" or each.state == "unknown" and content in each.content
            for each in self._ledger.named((named,))
        )
