"""Webhooks of orders: an agent is sent the whole order when it is placed, and at each change of its status (UCP-15).

The outbox has the events and its deliverer sends them. Here is what an event becomes on its way to an agent.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable
from datetime import datetime
from typing import Any

import orjson

from levelup_ov.config import Settings
from levelup_ov.domain.secret import Secret
from levelup_ov.events.deliverer import LANES
from levelup_ov.events.receivers import AGENT, receiver_of
from levelup_ov.events.sending import LARGEST_ANSWER, UNREADABLE, EventRequest, SendFailed
from levelup_ov.ledger.engine import LedgerUnavailable
from levelup_ov.ledger.event_deliveries import EventDelivery
from levelup_ov.ledger.outbox import Outbox
from levelup_ov.sealing import Sealer
from levelup_ov.sessions.model import CheckoutSession
from levelup_ov.transport.session import Transport
from levelup_ov.ucp import baskets, shopping
from levelup_ov.ucp.answers import instant
from levelup_ov.ucp.negotiation import Negotiated
from levelup_ov.ucp.profile import PROFILE, envelope
from levelup_ov.ucp.signing import Signatures
from levelup_ov.ucp.versions import ORDER

_ESCAPE = re.compile("%[0-9A-Fa-f]{2}")


class OrderWebhooks:
    """To whom an order is sent, and what. ``clock`` returns the time that is signed, aware."""

    def __init__(self, settings: Settings, outbox: Outbox, clock: Callable[[], datetime]) -> None:
        self.signatures = Signatures(settings.agent_signing_keys)
        self._outbox = outbox
        self._sealer = Sealer(settings.secret_keys, "order webhook")
        self._clock = clock
        self._public = Transport(
            pool_size=LANES[AGENT],
            breaks=False,
            public_only=True,
            max_answer=LARGEST_ANSWER,
            proxy=settings.proxy.reveal() if settings.proxy else None,
        )
        self._local = (
            Transport(pool_size=LANES[AGENT], breaks=False, max_answer=LARGEST_ANSWER)
            if settings.development
            else self._public
        )

    def follow(self, session: CheckoutSession, submission: str) -> tuple[str, str] | None:
        """The receiver of a completed session's order, and what is kept for it, sealed; None: there is none."""
        follower = baskets.follower(session.basket)
        if follower is None:
            return None
        # The request is sent as it is signed: the transport writes escapes like this.
        url = _ESCAPE.sub(lambda escape: escape[0].upper(), follower.url)
        ucp = envelope("order", Negotiated(frozenset({ORDER})))
        kept = {
            "url": url,
            "profile": f"{follower.base_url}{PROFILE}",
            "order": shopping.order(session, ucp, follower.base_url, None),
        }
        return receiver_of(session.caller), self._sealer.seal(_text(kept), submission)

    def request(self, delivery: EventDelivery) -> EventRequest:
        """The request for an event. Its body is the same for every attempt. :raises SendFailed: there is none."""
        try:
            sealed = self._outbox.followed(delivery.subject)
        except LedgerUnavailable:
            raise SendFailed("ledger_unavailable", is_down=False) from None
        kept = self._sealer.open(sealed, delivery.subject) if sealed else None
        if kept is None:
            # The key that sealed it is gone, or the submission is purged.
            raise SendFailed(UNREADABLE, is_down=False, is_final=True)
        follower: dict[str, Any] = orjson.loads(kept)
        url: str = follower["url"]
        body = orjson.dumps(_order(follower["order"], delivery))
        id = str(uuid.UUID(delivery.id.removeprefix("evt_")))
        headers = {
            "Content-Type": "application/json",
            "UCP-Agent": f'profile="{follower["profile"]}"',
            "Idempotency-Key": id,
            "Webhook-Id": id,
            "Webhook-Timestamp": str(int(delivery.created_at.timestamp())),
        }
        signed = self.signatures.headers_of_post(url, headers, body, self._clock())
        return EventRequest(Secret(url), signed, body, self._public if url.startswith("https:") else self._local)


def _order(placed: dict[str, Any], delivery: EventDelivery) -> dict[str, Any]:
    """The order as an event leaves it."""
    change = orjson.loads(delivery.data)
    noticed = change.get("changed_at")
    return shopping.at_stage(
        placed, change.get("status"), instant(datetime.fromisoformat(noticed) if noticed else delivery.created_at)
    )


def _text(kept: dict[str, Any]) -> str:
    return orjson.dumps(kept).decode()
