"""Checkout sessions: a basket that is priced, changed, and completed with at most one order.

The core of every front that agents order through. It knows no protocol: :mod:`levelup_ov.sessions.model` has its
words, :class:`~levelup_ov.sessions.sessions.Sessions` its operations.
"""

from __future__ import annotations

from levelup_ov.sessions.sessions import Sessions, open_sessions

__all__ = ["Sessions", "open_sessions"]
