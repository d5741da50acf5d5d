"""Why an order failed, in words for the guest. Ids and technical words go to the operator's log. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from levelup_ov.standins.levelup.ahead.credit import is_about_credit

JSON = dict[str, Any]

UNREACHED = "The restaurant cannot be reached at the moment. Please try again."
NOT_CHARGED = "The restaurant cannot be reached at the moment. Nothing was charged. Please try again."
TOO_LATE = "The restaurant did not answer in time. Please try again."
BUSY = "The restaurant cannot take orders at the moment."
GIVEN_BACK = "You get your money back."
NOT_GIVEN_BACK = "Your money could not be given back yet. Please contact support."
STILL_VALIDATING = "The restaurant is still looking at this order."
NOT_COMPLETED = "This order was not completed."
ONLY_NOW = "The restaurant takes no order for that time. Please order without a time: it is made as soon as possible."
CREDIT_CHANGED = "Your credit has changed. Nothing was charged. Please check the price again."
CREDIT_REFUSED = "The restaurant does not take your credit for this order."
_OTHER = "The restaurant cannot take this order."

_WORDS: Mapping[str, str] = {
    "unknown_item": "{item} is not on the menu any more.",
    "unknown_option": "A choice for {item} is not offered any more.",
    "orphan_option": "The choices for {item} do not go together.",
    "item_unavailable": "{item} is sold out, or one of its choices is.",
    "invalid_choices": "The choices for {item} do not go together.",
    "special_instructions_too_long": "The special instructions are too long.",
    "special_instructions_not_allowed": "The restaurant takes no special instructions.",
    "ready_time_in_past": "That time has passed. Please choose another one.",
    "ready_time_unavailable": "The order cannot be ready at that time. Please choose another one.",
    "location_closed": "The restaurant takes no orders at the moment.",
    "order_minimum_not_reached": "The order is too small for this restaurant.",
    "price_changed": "The price has changed. Please check it again.",
    "order_validation_expired": "The price was checked too long ago. Please check it again.",
    "tender_not_accepted": "The restaurant does not take LevelUp.",
    "customer_refused": "The restaurant does not take your details.",
    "rate_limited": BUSY,
    "provider_busy": BUSY,
    "provider_unavailable": UNREACHED,
    "provider_timeout": TOO_LATE,
}
"""By the code of a refusal."""
_QUOTED = "order_refused"
"""The code under which the provider says in its own words what is wrong."""


def in_plain_words(code: str, message: str | None, path: str | None, described: Sequence[JSON]) -> str:
    """A refusal for the diner. ``path`` names the item of ``described``, if it is about one."""
    if is_about_credit(path):
        return CREDIT_REFUSED
    if code == _QUOTED and message:
        return f"The restaurant says: {message}"
    found = re.search(r"items\[(\d+)\]", path or "")
    about = described[int(found[1]) :][:1] if found else described
    item = about[0]["item"]["name"] if len(about) == 1 else "An item"
    return _WORDS.get(code, _OTHER).format(item=item)


def error_in(body: Any) -> tuple[str | None, str | None, str | None]:
    """Code, message and path of a refusal of the gateway; None where it has none."""
    found = body.get("error") if isinstance(body, dict) else None
    values = [found.get(name) if isinstance(found, dict) else None for name in ("code", "message", "path")]
    code, message, path = (value if isinstance(value, str) else None for value in values)
    return code, message, path
