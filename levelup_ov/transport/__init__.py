"""Calls to providers. The service has no other way to reach the outside."""

from levelup_ov.transport.deadline import Deadline
from levelup_ov.transport.session import Call, Reply, Session, Transport

__all__ = ["Call", "Deadline", "Reply", "Session", "Transport"]
