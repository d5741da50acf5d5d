"""Calls to providers: the one way out of the service."""

from levelup_ov.transport.deadline import Deadline
from levelup_ov.transport.session import Call, Reply, Session, Transport

__all__ = ["Call", "Deadline", "Reply", "Session", "Transport"]
