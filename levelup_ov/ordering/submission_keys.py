"""What a submission is recognized by (SUB-3), and which submissions are known by that."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

from levelup_ov import sealing
from levelup_ov.domain.request import OrderRequest, SubmissionRequest
from levelup_ov.domain.secret import Secret
from levelup_ov.ledger import identity
from levelup_ov.ledger.records import Submission
from levelup_ov.ordering.attempts import SubmissionKey
from levelup_ov.ordering.metadata import MetadataKeeper, ValidationId, sealed_validation_id
from levelup_ov.ordering.request_context import RequestContext
from levelup_ov.ordering.routing import Routing
from levelup_ov.ordering.submissions import Submissions


class SubmissionKeys:
    """The keys of ``submissions``, under ``secret_keys`` and under the one that their ledger keeps.

    ``clock`` returns the current time, aware.
    """

    def __init__(
        self,
        routing: Routing,
        submissions: Submissions,
        keeper: MetadataKeeper,
        secret_keys: Sequence[Secret],
        clock: Callable[[], datetime],
    ) -> None:
        self._routing = routing
        self._submissions = submissions
        self._ledger = submissions.ledger
        self._keeper = keeper
        self._identity_keys = [sealing.derive(key, "identity") for key in secret_keys]
        self._first_kept = sealing.derive(secret_keys[0], "reference")
        self._kept_key: bytes | None = None
        self._clock = clock

    def key_of(
        self,
        location_id: str,
        request: SubmissionRequest,
        idempotency_key: str | None,
        context: RequestContext,
        *,
        is_ours: bool = False,
    ) -> tuple[SubmissionKey, bool]:
        """The key of a submission, and whether its validation has expired (META-8).

        ``is_ours``: the channel did not name this ``idempotency_key``.

        :raises Failure: ``ledger_unavailable``.
        """
        location = self._routing.published_id(location_id)
        # Who names a key sends it again.
        token = sealed_validation_id(request.order.metadata) if idempotency_key is None else None
        validation_id = self.validation_id(location_id, request.order)
        content, now = identity.content(request), self._clock()
        card = request.tender.single_use
        named: dict[identity.Kind, str | None] = {
            "idempotency_key": idempotency_key,
            "order_number": request.order_number,
            "grubhub_order_number": request.grubhub_order_number,
            "order_validation_id": validation_id.value if validation_id else self._known(location, token),
        }
        found = identity.identities(location, content=content, keys=self._identity_keys, card_number=card, **named)
        if any(value is not None for value in named.values()):
            # A key of ours can be read where the digests are, so nobody must be able to try contents with it.
            kept, compared = {**named, "order_validation_id": token}, None if is_ours else content
            found = identity.with_kept(found, location, self._kept(), kept, compared)
        key = SubmissionKey(
            location.partition(".")[0],
            location,
            found,
            identity.content_digests(location, content, self._identity_keys),
            context.request_id,
            identity.reference_of(location, key=self._kept, period=identity.period_of(now), **named),
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
        found = identity.identities(location, content=b"", keys=self._identity_keys, idempotency_key=idempotency_key)
        return identity.with_kept(found, location, self._kept(), {"idempotency_key": idempotency_key})

    def submitted_under(self, location_id: str, idempotency_key: str) -> tuple[Submission, ...]:
        """What was submitted under a key last, or was found to be the same order as that."""
        return self._ledger.reader.named(self.identities(self._routing.published_id(location_id), idempotency_key))

    def submitted_for(self, location_id: str, request_id: str) -> tuple[Submission, ...]:
        """What was submitted for a request, also under secret keys that were dropped since."""
        return self._ledger.reader.requested(self._routing.published_id(location_id), request_id)

    def outline(
        self, location_id: str, request: SubmissionRequest, idempotency_key: str, context: RequestContext
    ) -> Mapping[str, Any]:
        """What :meth:`lost_key` needs to know of a submission; digests only."""
        key, _ = self.key_of(location_id, request, idempotency_key, context, is_ours=True)
        names = {each.kind: each.digests[0] for each in key.identities}
        return {"names": names, "content": key.content[0], "alike": key.alike[0]}

    def has_one_reference(self, at: datetime) -> bool:
        """Whether what was to be sent at this time would have the same reference if it was sent later (SUB-11)."""
        return identity.period_of(self._clock()) == identity.period_of(at)

    def lost_key(
        self,
        location_id: str,
        idempotency_key: str,
        outline: Mapping[str, Any],
        at: datetime,
        context: RequestContext,
    ) -> SubmissionKey:
        """The key of a paid submission that may have been sent although the ledger has no record of that.

        ``outline``: see :meth:`outline`; empty if it is lost, too. ``at``: when it was to be sent, for which
        :meth:`has_one_reference`.
        """
        location, period = self._routing.published_id(location_id), identity.period_of(at)
        own = self.identities(location, idempotency_key)
        names: Mapping[identity.Kind, str] = outline.get("names", {})
        others = [identity.Identity(kind, (digest,)) for kind, digest in names.items() if kind != "idempotency_key"]
        # An order whose content is lost equals no other.
        content = outline.get("content", f"lost:{idempotency_key.replace(' ', ':')}")
        # An order that was placed, or another one that was begun, under its number does not belong to it.
        others = [each for each in others if self._may_precede(each, content)]
        kept = self._kept()
        return SubmissionKey(
            location.partition(".")[0],
            location,
            (*own, *others),
            (content,),
            context.request_id,
            identity.reference_of(location, key=lambda: kept, period=period, idempotency_key=idempotency_key),
            now=at,
            alike=(outline.get("alike", content),),
            is_paid=True,
        )

    def _known(self, location: str, token: str | None) -> str | None:
        """The id of a validation that no key opens any more, if something was submitted with it; otherwise None."""
        if token is None:
            return None
        unopened = (identity.Identity("order_validation_id", ()),)
        kept = identity.with_kept(unopened, location, self._kept(), {"order_validation_id": token})
        return token if self._ledger.reader.named(kept) else None

    def _kept(self) -> bytes:
        """The key that the ledger keeps. :raises Failure: ``ledger_unavailable``."""
        if self._kept_key is None:
            self._kept_key = self._submissions.kept_key(self._first_kept)
        return self._kept_key

    def _may_precede(self, named: identity.Identity, content: str) -> bool:
        """Whether all that was submitted under an identity was ruled out, or is unknown and the same order."""
        return all(
            each.state == "not_placed" or each.state == "unknown" and content in each.content
            for each in self._ledger.reader.named((named,))
        )
