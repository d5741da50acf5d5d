"""Toast's webhooks: the signature, and which order a message is about.

From Toast's developer guide (2026-11): ``Toast-Signature`` is the HMAC-SHA256 of the body followed by the message's
``timestamp``, under the secret of the subscription. Each subscription (orders, stock, menus) has its own secret. The
guide shows the encoding in Java only, so base64 and hex are both accepted. ``guid`` is the message's id.
``order_updated`` has the whole order in ``details``; the fulfillment status has its GUID. For a change of stock or
menus, a header names the restaurant. The header is not signed, so other restaurants than the account's are ignored.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

from levelup_ov.adapter import Account, Failure, JSONObject, NotGenuine, Notice, Secret, Setting, check_signature

NOTICE_SETTINGS = {
    "webhook_secrets": Setting("the secrets of the webhook subscriptions, comma-separated", secret=True),
}

_OF_MENUS = ("stock", "menus")
"""The categories of changes of a menu."""


def read_notice(account: Account, headers: Mapping[str, str], body: bytes) -> Notice:
    """:raises NotGenuine: it is not signed with one of the account's secrets, or not as Toast writes it."""
    keys = tuple(Secret(key.strip()) for key in account.setting("webhook_secrets").split(","))
    try:
        message = JSONObject(json.loads(body)).checked()
        timestamp = message.text("timestamp")
        check_signature(headers.get("toast-signature"), keys, body + timestamp.encode())
        details = message.member("details")
        order = details.member("order").text("guid") if details.has("order") else details.text("orderGuid", None)
        sent_at = message.instant("timestamp")
        menus = _restaurants(account, headers) if message.text("eventCategory", "") in _OF_MENUS else ()
        orders = tuple(dict.fromkeys((order, order.lower()))) if order else ()
        return Notice(message.text("guid"), sent_at, message.text("eventType"), orders, menus)
    except (ValueError, RecursionError, Failure):
        raise NotGenuine("content") from None


def _restaurants(account: Account, headers: Mapping[str, str]) -> tuple[str, ...]:
    """The account's restaurant that the message is about, as the account has it: the case of a GUID says nothing."""
    given = headers.get("toast-restaurant-external-id", "").lower()
    own = (guid.strip() for guid in account.setting("restaurants").split(","))
    return tuple(guid for guid in own if guid and guid.lower() == given)
