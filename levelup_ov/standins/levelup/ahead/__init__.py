"""Ordering ahead: the part of the platform that calls an ordering gateway."""

from __future__ import annotations

from flask import current_app

from levelup_ov.standins.levelup.ahead.gateway import Gateway, GatewayReply, HttpGateway, Unreached
from levelup_ov.standins.levelup.ahead.work import OrderAhead

__all__ = ["Gateway", "GatewayReply", "HttpGateway", "OrderAhead", "Unreached", "ahead"]


def ahead() -> OrderAhead:
    """That of the current application."""
    return current_app.extensions["order_ahead"]
