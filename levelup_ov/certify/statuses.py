"""The status of a placed order, and providers' messages about it (STAT-1, STAT-2, STAT-6, EVT-9).

They are additions to the contract, which a service need not have.
"""

from __future__ import annotations

import json
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
    again = _ask(talk, location, order_id, key, exchange.headers.get("etag", ""))
    # It may have changed since.
    same = again.status == 304 or (again.ok and again.headers.get("etag") != exchange.headers.get("etag"))
    title = "an unchanged status is answered with 304"
    report.expect("STAT-1", title, bool(exchange.headers.get("etag")) and same, again, decision=True)
    title = "an order that was never placed has no status"
    unknown = _ask(talk, location, fresh("never"))
    report.expect("STAT-1", title, unknown.refused, unknown, decision=True)
    refused_as(talk, "STAT-1", title, unknown, 404, "order_not_found")
    title = "an order that was never placed is not canceled"
    path = f"/locations/{location}/orders/{fresh('never')}/cancellation"
    canceled = talk.held(talk.client.send("POST", path))
    report.expect("STAT-6", title, canceled.refused, canceled, decision=True)
    if canceled.error.get("code") != "cancellation_not_supported":
        refused_as(talk, "STAT-6", title, canceled, 404, "order_not_found")


def check_webhooks(talk: Conversation, merchant: str) -> None:
    """Send a message in the name of a merchant's provider, without its key (EVT-9)."""
    forged = json.dumps({"type": "order.updated", "data": {"id": fresh("forged")}}).encode()
    path = f"/webhooks/{quote(merchant, safe='')}"
    exchange = talk.held(talk.client.send("POST", path, forged, {"X-Signature": "forged"}, key=None))
    title = "a provider's message without its signature is refused"
    if exchange.status == 404:
        talk.report.not_applicable("EVT-9", title, "the service takes no messages of the merchant's provider")
        return
    talk.report.expect("EVT-9", title, exchange.refused, exchange)
    refused_as(talk, "EVT-9", title, exchange, 401, "notice_refused")


def _ask(
    talk: Conversation, location: str, order_id: Any, key: str | None = None, etag: str | None = None
) -> RoundTrip:
    named = {"Idempotency-Key": key, "If-None-Match": etag}
    headers = {name: value for name, value in named.items() if value is not None}
    return talk.get(f"/locations/{location}/orders/{quote(str(order_id), safe='')}", **headers)
