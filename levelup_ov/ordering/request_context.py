"""The facts of one request, which its log line names."""

from __future__ import annotations

from dataclasses import dataclass, field

from levelup_ov.transport.connections import OwnConnections
from levelup_ov.transport.deadline import Deadline
from levelup_ov.transport.session import Call


@dataclass(slots=True)
class RequestContext:
    """The facts that are logged about one request; ``calls`` are the calls to the provider.

    ``expected_charge``: the cents that the provider was asked to charge for a newly placed order, if known.
    ``reserve``: the seconds of the deadline that calls to the provider leave for the ledger.
    ``ahead``: connections that were opened ahead for placing the order.
    """

    deadline: Deadline
    request_id: str | None = None
    account: str | None = None
    location: str | None = None
    provider: str | None = None
    replayed: bool = False
    expected_charge: int | None = None
    calls: list[Call] = field(default_factory=list)
    reserve: float = 0.0
    ahead: OwnConnections | None = None
