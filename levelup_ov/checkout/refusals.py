"""LevelUp's refusals as errors of the closed list: an array of ``{"error": {object, property, message, code}}``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from levelup_ov.errors import Refused, Unanswered
from levelup_ov.transport.session import Reply

_CODES: Mapping[tuple[int, str, str], str] = {
    (401, "", "user_token"): "user_token_refused",
    (401, "", "merchant_token"): "merchant_token_refused",
    (401, "", ""): "provider_credentials_refused",
    (404, "order", ""): "order_not_found",
    (404, "", "location_id"): "location_not_found",
    (422, "order", "base"): "card_declined",
    (422, "completed_order", "base"): "card_declined",
    (422, "refund", "manager_confirmation"): "manager_confirmation_required",
    (422, "order", "applied_discount_amount"): "discount_too_large",
    (422, "completed_order", "applied_discount_amount"): "discount_too_large",
    (422, "user", "email"): "email_taken",
    # The app's own key: a 404 in 2014, later a 422.
    (404, "access_token", "api_key"): "provider_credentials_refused",
    (422, "access_token", "api_key"): "provider_credentials_refused",
}
"""By status, object and property; the most specific entry counts, an empty name matches any."""
_OTHER: Mapping[int, str] = {
    # Bad JSON, an unknown media type, a retired version: a protocol fault between us and LevelUp.
    400: "provider_protocol_error",
    406: "provider_protocol_error",
    501: "provider_protocol_error",
}
_OAUTH: Mapping[str, str] = {
    "invalid_client": "provider_credentials_refused",
    "unauthorized_client": "provider_credentials_refused",
}
_MEMBERS: Mapping[str, str] = {
    "location_id": "location_id",
    "identifier_from_merchant": "identifier",
    "spend_amount": "outstanding_amount",
    "tax_amount": "tax_amount",
    "tip_amount": "tip_amount",
    "exemption_amount": "exemption_amount",
    "applied_discount_amount": "discount_amount",
    "items": "items",
}
_ORDERS = ("order", "proposed_order", "completed_order")
_LONGEST = 500
"""The most characters of LevelUp's message that are passed on."""


class LevelUpRefused(Refused):
    """LevelUp refused. ``status``, ``object`` and ``property`` are those of its first error.

    ``named``: object and property of all its errors. A refusal proves only what each of them proves.
    """

    def __init__(
        self,
        code: str,
        message: str,
        status: int,
        object: str,
        property: str,
        *,
        path: str | None = None,
        named: Sequence[tuple[str, str]] = (),
    ) -> None:
        super().__init__(code, message, path=path)
        self.status = status
        self.object = object
        self.property = property
        self.named = tuple(named) or ((object, property),)


def refusal_from(reply: Reply) -> Refused | None:
    """The refusal in an answer from LevelUp; None if there is no readable one."""
    if reply.ok or (errors := _errors(reply)) is None:
        return None
    if not errors:
        return LevelUpRefused("order_not_found", "LevelUp knows no such order", 404, "", "")
    first = errors[0]
    object, property = _word(first, "object"), _word(first, "property")
    known = ((reply.status, object, property), (reply.status, "", property), (reply.status, object, ""))
    code = next((_CODES[key] for key in (*known, (reply.status, "", "")) if key in _CODES), None)
    words = _words(errors)
    member = _MEMBERS.get(property) if object in _ORDERS else None
    return LevelUpRefused(
        code or _OTHER.get(reply.status, "levelup_refused"),
        f"LevelUp: {words}" if words else f"LevelUp refuses the request (status {reply.status})",
        reply.status,
        object,
        property,
        path=f"$.order.{member}" if member else None,
        named=[(_word(each, "object"), _word(each, "property")) for each in errors],
    )


def maintenance_words(reply: Reply) -> list[str]:
    """LevelUp's message about its maintenance; empty if there is none."""
    errors = _array(reply) if reply.status == 503 else None
    words = _words(errors or ())
    return [words] if words else []


def oauth_refusal_from(reply: Reply) -> Refused | None:
    """The same for the token endpoint, which answers ``{"error": "..."}`` (RFC 6749)."""
    if reply.status not in (400, 401):
        return None
    try:
        code = reply.object().text("error")
    except Unanswered:
        return None
    return LevelUpRefused(
        _OAUTH.get(code, "authorization_refused"), "LevelUp does not accept this authorization", reply.status, "", ""
    )


def _errors(reply: Reply) -> Sequence[Mapping[str, Any]] | None:
    """The errors of an answer; empty for a 404 without a body, None if it is not in LevelUp's form."""
    if reply.status not in (400, 401, 404, 406, 422, 501):
        # The transport handles 503 (maintenance), 429 and other 5xx, which can come from anybody.
        return None
    if reply.status == 404 and not reply.body.strip():
        return []
    return _array(reply)


def _array(reply: Reply) -> Sequence[Mapping[str, Any]] | None:
    try:
        entries = reply.json()
    except Unanswered:
        return None
    if type(entries) is not list or not entries:
        return None
    errors = [entry["error"] for entry in entries if type(entry) is dict and type(entry.get("error")) is dict]
    return errors if len(errors) == len(entries) else None


def _words(errors: Sequence[Mapping[str, Any]]) -> str:
    return "; ".join(dict.fromkeys(filter(None, (_word(error, "message") for error in errors))))[:_LONGEST]


def _word(error: Mapping[str, Any], name: str) -> str:
    value = error.get(name)
    return value if type(value) is str else ""
