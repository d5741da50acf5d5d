"""The status of a placed order (STAT-1, STAT-2): an addition to the contract, which a service need not have."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from levelup_ov.certify.client import RoundTrip
from levelup_ov.certify.contract import table
from levelup_ov.certify.conversation import Conversation, fresh
from levelup_ov.certify.endpoints import refused_as
from levelup_ov.certify.shapes import flaws
from levelup_ov.domain.status import STAGES

_TITLE = "the status of a placed order is shown"


def check_status(talk: Conversation, location: str, order_id: Any, key: str) -> None:
    """Request the status of an order that was just placed under ``key``, and of one that never was."""
    report, exchange = talk.report, _ask(talk, location, order_id, key)
    if exchange.status == 404 and exchange.error.get("code") != "order_not_found":
        report.not_applicable("STAT-1", _TITLE, "the service does not have this addition")
        return
    if exchange.error.get("code") == "status_not_supported":
        report.not_applicable("STAT-1", _TITLE, "the provider of the location reports no order status")
        return
    answer: Any = exchange.json.get("order") if isinstance(exchange.json, dict) else None
    if not report.expect("STAT-1", _TITLE, exchange.ok and isinstance(answer, dict), exchange, decision=True):
        return
    found = [str(flaw) for flaw in flaws(table("status"), answer, "$.order")]
    title = "a status has every member, of its type"
    report.expect("STAT-1", title, not found, exchange, "; ".join(found), decision=True)
    same = answer.get("order_id") == order_id
    report.expect("STAT-1", "a status names the requested order", same, exchange, decision=True)
    status = answer.get("status")
    title = "a status is one of the list, or null"
    report.expect("STAT-2", title, status is None or status in STAGES, exchange, f"it is {status!r}", decision=True)
    title = "an order that was never placed has no status"
    unknown = _ask(talk, location, fresh("never"))
    report.expect("STAT-1", title, unknown.refused, unknown, decision=True)
    refused_as(talk, "STAT-1", title, unknown, 404, "order_not_found")


def _ask(talk: Conversation, location: str, order_id: Any, key: str | None = None) -> RoundTrip:
    headers = {"Idempotency-Key": key} if key is not None else {}
    return talk.get(f"/locations/{location}/orders/{quote(str(order_id), safe='')}", **headers)
