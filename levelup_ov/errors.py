"""The closed list of errors (ERR-1 to ERR-4): one row per code, one place for each decision.

The exceptions that carry one::

    Failure                     any error of the list
        Refused                 the provider says no, in a form that it documents
            ReferenceFenced     it was made to refuse orders under this reference
        Unanswered              no answer that is understood; ``sent`` says whether a request may have arrived
        LedgerUnavailable       the ledger cannot be read or written (``levelup_ov.ledger``)
            SchemaMismatch      its schema is not the one of this release
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

from levelup_ov.domain.failure import Failure

ErrorType = Literal["request", "provider", "service"]


@dataclass(frozen=True, slots=True)
class Kind:
    """The meaning of a code.

    ``retryable``: the same request may succeed later, without any change.
    """

    status: int
    type: ErrorType
    retryable: bool
    meaning: str
    remedy: str


def _kind(type: ErrorType, retryable: bool, status: int, meaning: str, remedy: str) -> Kind:
    return Kind(status, type, retryable, meaning, remedy)


_request = partial(_kind, "request", False)
_request_retryable = partial(_kind, "request", True)
_provider = partial(_kind, "provider", False)
_provider_retryable = partial(_kind, "provider", True)
_service = partial(_kind, "service", False)
_service_retryable = partial(_kind, "service", True)

_ASK_CHANNEL = "Correct the request; `path` names the member."
_ASK_USER = "Show the message to the user and let them change the order."
_WAIT = "Send the same request again after a short pause."
_ASK_PROVIDER = "Check the provider; the log line of this request id names the account and the call."

KINDS: Mapping[str, Kind] = {
    # What is wrong with the request itself.
    "malformed_json": _request(400, "The body is not JSON in UTF-8.", _ASK_CHANNEL),
    "duplicate_member": _request(400, "An object in the body repeats a member.", _ASK_CHANNEL),
    "invalid_idempotency_key": _request(
        400, "The Idempotency-Key header is blank, or not 1 to 255 printable ASCII characters.", _ASK_CHANNEL
    ),
    "bad_request": _request(400, "The request cannot be read as HTTP.", _ASK_CHANNEL),
    "unauthorized": _request(
        401, "The API key is missing or is not a key of this service.", "Send `Authorization: token <key>`."
    ),
    "notice_refused": _request(
        401,
        "A provider's webhook is not signed with the account's key, or it is too old.",
        "Check the key and the address of the provider's subscription.",
    ),
    "not_found": _request(404, "There is nothing at this address.", "See the endpoints in the contract."),
    "merchant_not_found": _request(404, "No account has this id.", "Read the ids from GET /merchants."),
    "location_not_found": _request(
        404, "No account has a location with this id.", "Read the ids from GET /merchants/:id/locations."
    ),
    "order_not_found": _request(
        404,
        "There is no such order, or it belongs to another app.",
        "Use the order_id that the submission returned, or the UUID that the charge returned.",
    ),
    "session_not_found": _request(
        404,
        "There is no such checkout session, it is another caller's, or it has expired.",
        "Create a new checkout session.",
    ),
    "method_not_allowed": _request(
        405, "The address does not support this method.", "See the endpoints in the contract."
    ),
    "not_acceptable": _request(406, "The caller accepts no JSON.", "Send `Accept: application/json`."),
    "payload_too_large": _request(413, "The body is over 1 MiB or 125,000 JSON values.", _ASK_CHANNEL),
    "unsupported_media_type": _request(
        415, "The body is not declared as JSON in UTF-8.", "Send `Content-Type: application/json`, not compressed."
    ),
    "invalid_member": _request(422, "A member is missing or has a wrong type or value.", _ASK_CHANNEL),
    "orphan_option": _request(422, "An option was chosen without its parent option.", _ASK_CHANNEL),
    "special_instructions_too_long": _request(422, "Special instructions exceed the menu's limit.", _ASK_USER),
    "special_instructions_not_allowed": _request(422, "The menu or the item takes no special instructions.", _ASK_USER),
    "ready_time_in_past": _request(422, "The desired ready time has passed.", _ASK_USER),
    "tender_not_accepted": _request(422, "The location does not take this tender.", "Pay with the other tender."),
    "fulfillment_not_supported": _request(
        422,
        "The location does not fulfill orders in this way.",
        "See fulfills_pickups and fulfills_deliveries of the location.",
    ),
    "delivery_address_incomplete": _request(
        422,
        "The delivery has no address, or the address lacks a part that the provider needs.",
        "Ask the user for the missing part; `path` names it.",
    ),
    "status_not_supported": _request(
        422,
        "The location's provider does not report the status of orders.",
        "Ask the restaurant.",
    ),
    "cancellation_not_supported": _request(
        422,
        "The location's provider cannot cancel orders.",
        "Ask the restaurant.",
    ),
    "order_validation_expired": _request(
        422, "The order was validated more than 7 days ago.", "Validate the order again."
    ),
    "idempotency_key_reused": _request(
        422, "An identity of the submission belongs to a different order.", "Give each order an identity of its own."
    ),
    # Web checkout: what is wrong with the request.
    "invalid_state": _request(
        400, "The state of an OAuth callback is forged, used or too old.", "Start the connection again."
    ),
    "connection_not_found": _request(
        404,
        "No merchant or user was connected under this id.",
        "Use the id that starting the connection returned.",
    ),
    "invalid_confirmation": _request(
        422, "The confirmation belongs to another connection, or it is too old.", "Start the connection again."
    ),
    "not_connected": _request(422, "The merchant or user is not connected.", "Connect the merchant or user again."),
    "amounts_do_not_add_up": _request(422, "The amounts of the order contradict each other.", _ASK_CHANNEL),
    "discount_too_large": _request(
        422,
        "The requested discount is more than the order allows or LevelUp offers. Nothing was charged.",
        "Preview the order again.",
    ),
    "already_refunded": _request(422, "The order has been refunded.", "Nothing is left to do."),
    "submission_in_progress": _request_retryable(
        409, "The same order is being placed, or its outcome is not known yet.", _WAIT
    ),
    "order_id_ambiguous": _request(
        409,
        "Several orders of the location have this order_id.",
        "Send the Idempotency-Key of the order's submission; without one, ask the restaurant.",
    ),
    "session_closed": _request(409, "The checkout session is completed or canceled.", "Create a new checkout session."),
    "session_changed": _request_retryable(
        409, "Another request has changed the checkout session in the meantime.", "Read it and send the change again."
    ),
    # What the ordering provider said.
    "unknown_item": _provider(422, "The provider does not know the item.", "Read the menu again."),
    "unknown_option": _provider(422, "The provider does not know the option in this position.", "Read the menu again."),
    "item_unavailable": _provider(422, "The item or option is sold out.", _ASK_USER),
    "invalid_choices": _provider(422, "Too few, too many or wrong options, or a wrong quantity.", _ASK_USER),
    "ready_time_unavailable": _provider(
        422, "The location cannot have the order ready at the desired time.", _ASK_USER
    ),
    "location_closed": _provider(422, "The location takes no orders now and cannot schedule this one.", _ASK_USER),
    "address_not_served": _provider(
        422, "The location does not deliver to this address.", "Ask the user for another address, or to pick up."
    ),
    "order_minimum_not_reached": _provider(
        422,
        "The order is below the location's minimum for deliveries.",
        "Show the message, which has the amount, to the user.",
    ),
    "price_changed": _provider(
        422, "The price has changed since the validation. Nothing was placed.", "Validate the order again."
    ),
    "card_declined": _provider(422, "The card was declined. Nothing was placed.", "Submit again with another card."),
    "customer_refused": _provider(422, "The provider does not take this customer's details.", _ASK_USER),
    "order_refused": _provider(422, "The provider refused the order for another reason.", _ASK_USER),
    "cancellation_refused": _provider(
        422,
        "The order cannot be canceled, or it is too late to cancel it.",
        "Show the message to the user; ask the restaurant.",
    ),
    "fees_not_representable": _provider(
        422,
        "The provider adds a fee and LEVELUP_OV_FEES=refuse is set.",
        "Remove the fee at the provider, or set LEVELUP_OV_FEES=add.",
    ),
    # Web checkout: what LevelUp said.
    "authorization_refused": _provider(
        422, "LevelUp does not accept the authorization.", "Start the connection again."
    ),
    "user_token_refused": _provider(422, "LevelUp does not accept the user's permission.", "Connect the user again."),
    "merchant_token_refused": _provider(
        422, "LevelUp does not accept the merchant's permission.", "Connect the merchant again."
    ),
    "email_taken": _provider(422, "LevelUp has a user with this e-mail address.", "Connect the user by OAuth."),
    "manager_confirmation_required": _provider(
        422, "A manager must confirm the refund.", "Send the right `manager_confirmation`."
    ),
    "refund_refused": _provider(422, "LevelUp refused the refund for another reason.", _ASK_USER),
    "levelup_refused": _provider(422, "LevelUp refused the request for another reason.", _ASK_USER),
    "refund_pending": _provider_retryable(
        503, "The charge is not known to be refunded yet.", "Send the same request again, or run `checkout reconcile`."
    ),
    "charge_refunded": _provider(
        422, "The order was not placed, and its charge was refunded.", "Send the order again under a new key."
    ),
    "refund_impossible": _provider(
        502,
        "The charge cannot be refunded. The operator must settle it.",
        "Nothing can be sent again: the operator settles it with `checkout settle`.",
    ),
    "rate_limited": _provider_retryable(429, "The provider reports too many requests.", _WAIT),
    "provider_protocol_error": _provider(
        502, "The provider's answer cannot be understood or does not add up.", _ASK_PROVIDER
    ),
    "provider_credentials_refused": _provider(
        502, "The provider refuses the account's credentials.", "Correct the credentials in the accounts file."
    ),
    "menu_invalid": _provider(
        502,
        "The provider's menu breaks a rule of MENU-3.",
        "Correct the menu at the provider; `menu check` lists every problem.",
    ),
    "provider_unavailable": _provider_retryable(
        503, "The provider cannot be reached or reports that it is down.", _WAIT
    ),
    "provider_timeout": _provider_retryable(504, "The provider gave no answer within the deadline.", _WAIT),
    "provider_busy": _provider_retryable(503, "This account has its maximum number of requests in progress.", _WAIT),
    "outcome_unknown": _provider_retryable(
        504,
        "It is not known whether the order was placed. It is never placed twice.",
        "Send the same submission again; it is reconciled first.",
    ),
    "cancellation_unknown": _provider_retryable(
        504, "It is not known whether the order was canceled.", "Send the same request again."
    ),
    # Our own faults.
    "ledger_unavailable": _service_retryable(
        503,
        "Submissions cannot be recorded, so none is sent. Validations still work.",
        "Restore the database; see /ready.",
    ),
    "internal_error": _service(500, "An error in the service.", "Report the request id to the service's operator."),
}


def meaning_of(code: str) -> str:
    """What a code means, in a few words, where a provider's own words are not kept."""
    words = KINDS[code].meaning.partition(". ")[0].rstrip(".")
    return words[0].lower() + words[1:]


class Refused(Failure):
    """The provider said no, and its answer proves that nothing was placed.

    ``proof`` is False if it proves nothing: it answered another call, and the placing call had started (SUB-5); or an
    earlier attempt of the same call was sent and not answered, and the call does more than read (SUB-5, STAT-6). Only
    ``Session`` knows that: it raises the refusal that the adapter made with it.
    """

    proof: bool = True


class ReferenceFenced(Refused):
    """The provider takes no order under this reference any more, and has none (SUB-10).

    The submission is sent under its next reference then. Where time does not allow it, the channel sends it again.
    """

    def __init__(self) -> None:
        super().__init__("submission_in_progress", "an earlier attempt was ruled out; send the submission again")


class Unanswered(Failure):
    """The provider was not reached, or gave no usable answer.

    ``sent``: whether the request may have had an effect. Only False proves that it had none: it never went out, or
    was refused before it was processed (401, 403, 429). It counts all attempts of a call: ``Session`` adds the
    earlier ones to the failure of the last.
    ``status``: the HTTP status, if there was one.
    """

    def __init__(
        self,
        code: str,
        message: str,
        *,
        sent: bool,
        status: int | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(code, message, retry_after=retry_after)
        self.sent = sent
        self.status = status


def unreadable(refusal: Failure) -> Unanswered:
    """The provider refused a read: that is its own fault or the account's, never the order's (ERR-3)."""
    words = f"the provider refused a read: {refusal.message}"
    return Unanswered("provider_protocol_error", words, sent=True)


@contextmanager
def reading() -> Iterator[None]:
    """For calls that read a menu, locations or a schedule: turns a refusal into :func:`unreadable` (ERR-3)."""
    try:
        yield
    except Refused as refusal:
        raise unreadable(refusal) from refusal


def check_basket(ordered: Iterable[Hashable], held: Iterable[Hashable], where: str) -> None:
    """Compare the provider's copy of an order with what was ordered, line by line, in any order (ITEM-11).

    Each line is one value, such as a tuple of id, quantity and options. ``where`` names the call and the member.

    :raises Unanswered: ``provider_protocol_error``: they differ.
    """
    if Counter(ordered) != Counter(held):
        raise broken_protocol(f"the provider's copy does not match the order: {where}")


def timed_out(*, sent: bool) -> Unanswered:
    """The deadline passed without an answer; ``sent`` as in :class:`Unanswered`."""
    return Unanswered("provider_timeout", "the provider gave no answer within the deadline", sent=sent)


def broken_protocol(message: str) -> Unanswered:
    """The provider's answer violates its own interface (502)."""
    return Unanswered("provider_protocol_error", message, sent=True)


def body(failure: Failure, request_id: str | None) -> dict[str, Any]:
    """The error body of the contract (ERR-1)."""
    kind = KINDS[failure.code]
    return {
        "error": {
            "type": kind.type,
            "message": failure.message,
            "code": failure.code,
            "path": failure.path,
            "retryable": kind.retryable,
            "request_id": request_id,
        }
    }
