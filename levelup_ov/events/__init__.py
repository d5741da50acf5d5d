"""Events on their way out: to the channel, to the operators of restaurants, and to agents."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime

from levelup_ov.event_settings import EventSettings
from levelup_ov.events.deliverer import LANES, Deliverer
from levelup_ov.events.receivers import Receivers
from levelup_ov.events.sending import LARGEST_ANSWER, RequestOf, Sender
from levelup_ov.ledger.event_deliveries import EventDeliveries
from levelup_ov.ledger.outbox import Outbox
from levelup_ov.transport.in_process import WSGIApplication
from levelup_ov.transport.session import Transport

__all__ = ["Deliverer", "deliver"]


def deliver(
    settings: EventSettings,
    deliveries: EventDeliveries,
    outbox: Outbox,
    clock: Callable[[], datetime],
    in_process: Mapping[str, WSGIApplication] | None,
    proxy: str | None,
    to_agent: RequestOf | None = None,
) -> Deliverer:
    """Have events recorded in ``outbox`` for the receivers of ``settings``; returns the deliverer.

    ``to_agent``: the request for an event to an agent; None: agents get no events.
    """
    receivers = Receivers(settings, has_agents=to_agent is not None)
    outbox.route, outbox.has_followers = receivers.route, to_agent is not None
    # A receiver that fails is left alone by the deliverer.
    transport = Transport(
        pool_size=max(LANES.values()), in_process=in_process, proxy=proxy, breaks=False, max_answer=LARGEST_ANSWER
    )
    return Deliverer(deliveries, receivers, Sender(settings, transport, clock, to_agent))
