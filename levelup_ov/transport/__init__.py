"""Calls to providers, to LevelUp and to agents, and the cache of their answers in Redis."""

from levelup_ov.transport.deadline import Deadline
from levelup_ov.transport.session import Call, Reply, Session, Transport

__all__ = ["Call", "Deadline", "Reply", "Session", "Transport"]
