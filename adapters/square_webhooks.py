"""Square's webhooks: the signature, and which order a message is about.

From Square's webhook reference and guide (2026-11): ``x-square-hmacsha256-signature`` is the HMAC-SHA256, in base64, of
the notification URL exactly as subscribed and the body. ``event_id`` is the same for each attempt, for up to 24 hours.
For ``order.*`` events ``data.id`` is the order's id. ``inventory.count.updated`` names the locations;
``catalog.version.updated`` names only the time of the catalog's last change. A subscription has the events of every
seller of the application.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

from levelup_ov.adapter import Account, Failure, JSONObject, NotGenuine, Notice, Secret, Setting, check_signature

NOTICE_SETTINGS = {
    "webhook_signature_key": Setting(
        "the signature key of the webhook subscription; while it is replaced both, comma-separated", secret=True
    ),
    "webhook_url": Setting("the notification URL of the subscription, exactly as Square has it", url=True),
}
_SIGNATURE = "x-square-hmacsha256-signature"


def takes_notices(account: Account) -> bool:
    """Whether the account can check signatures."""
    return bool(account.setting("webhook_signature_key") and account.setting("webhook_url"))


def read_notice(account: Account, headers: Mapping[str, str], body: bytes) -> Notice:
    """:raises NotGenuine: it is not signed with the account's key, or not as Square writes it."""
    keys = tuple(Secret(key.strip()) for key in account.setting("webhook_signature_key").split(","))
    check_signature(headers.get(_SIGNATURE), keys, account.setting("webhook_url").encode() + body)
    try:
        message = JSONObject(json.loads(body)).checked()
        kind, data = message.text("type"), message.member("data")
        orders = (data.text("id"),) if kind.startswith("order.") else ()
        menus: tuple[str, ...] | None = None if kind == "catalog.version.updated" else ()
        if kind == "inventory.count.updated":
            counts = data.member("object").each("inventory_counts")
            menus = tuple(sorted({each.text("location_id") for each in counts}))
        return Notice(message.text("event_id"), message.instant("created_at"), kind, orders, menus)
    except (ValueError, RecursionError, Failure):
        raise NotGenuine("content") from None
