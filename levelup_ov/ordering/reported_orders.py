"""What an adapter reports of an order, checked in one place before anything of it is believed, told or recorded.

A mistake of the adapter is logged with its class and the member. Where the order can do without the member, it counts
without it: an order that stands must not stay unknown because of a detail.
"""

from __future__ import annotations

import hashlib
import logging
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from typing import Any

from levelup_ov.adapter import Adapter
from levelup_ov.domain import money
from levelup_ov.domain.outcome import Placed
from levelup_ov.domain.secret import Secret
from levelup_ov.domain.status import OrderStatus
from levelup_ov.errors import Unanswered, broken_protocol
from levelup_ov.redaction import FINGERPRINT, mask_id
from levelup_ov.transport.session import Session

LONGEST_ID = 500
"""Characters of a provider's id or number that are kept as they are; an index of PostgreSQL takes 2,700 bytes."""
UNSTORABLE = re.compile(r"[\0\ud800-\udfff]")
"""What PostgreSQL's text, or UTF-8, cannot hold."""

_BEGINNING = 100
"""Characters of a longer one that are kept before its fingerprint."""
_SHORTENED = re.compile(rf".{{{_BEGINNING}}}\*\*\*[0-9a-f]{{32}}", re.DOTALL)
_MOST_DIGITS = 300
_YEARS = range(1970, 9999)
"""The times that every zone can represent, with a day's margin."""
_IDS = "a string that is not empty, or a whole number"

log = logging.getLogger(__name__)


def placed_order(
    reported: object, reference: str | None, adapter: Adapter, session: Session, secrets: Iterable[Secret]
) -> Placed:
    """The order that ``adapter`` reports, from a placing call or a look-up, as it is told and recorded.

    :raises Unanswered: ``provider_protocol_error``: it is about another order, does not say which one (SUB-8), or has
        no id that could be told or recorded.
    """
    if not isinstance(reported, Placed):
        raise _wrong("a result", reported, "a Placed", reference, adapter, session)
    placed, mistakes = readable(reported)
    for member, expected in mistakes.items():
        failure = _wrong(f"Placed.{member}", getattr(reported, member), expected, reference, adapter, session)
        if placed is None:
            raise failure
    assert placed is not None
    ids = (str(placed.order_id), placed.provider_order_id, *placed.duplicates)
    if any(map(UNSTORABLE.search, ids)):
        raise broken_protocol("the provider's answer has an id that cannot be recorded")
    check_reference(placed, reference, adapter, session)
    order_id, known = placed.order_id, placed.provider_order_id
    kept = (order_id if isinstance(order_id, int) else kept_id(order_id)), kept_id(mask_id(known, secrets))
    if kept != (order_id, known) or any(len(each) > LONGEST_ID for each in placed.duplicates):
        placed = replace(
            placed, order_id=kept[0], provider_order_id=kept[1], duplicates=tuple(map(kept_id, placed.duplicates))
        )
    return placed


def order_status(reported: object, reference: str, adapter: Adapter, session: Session) -> OrderStatus:
    """The status that ``adapter`` reports. :raises Unanswered: as :func:`placed_order`."""
    if not isinstance(reported, OrderStatus):
        raise _wrong("a result", reported, "an OrderStatus", reference, adapter, session)
    if not isinstance(reported.word, str):
        raise _wrong("OrderStatus.word", reported.word, "a string", reference, adapter, session)
    check_reference(reported, reference, adapter, session)
    unknown: dict[str, Any] = {}
    for member in ("changed_at", "expected_ready_at"):
        if not _is_instant(value := getattr(reported, member)):
            _wrong(f"OrderStatus.{member}", value, _INSTANT, reference, adapter, session)
            unknown[member] = None
    return replace(reported, **unknown) if unknown else reported


def readable(reported: Placed) -> tuple[Placed | None, dict[str, str]]:
    """What can be believed of an order, and its members of a wrong type, each with what it must be.

    None: its ids cannot be read. Whole numbers become text where the service needs that; that is no mistake.
    """
    order_id, known, duplicates = _id(reported.order_id), _id(reported.provider_order_id), _ids(reported.duplicates)
    if order_id is None or known is None:
        return None, {name: _IDS for name, id in (("order_id", order_id), ("provider_order_id", known)) if id is None}
    members: dict[str, Any] = {"order_id": order_id, "provider_order_id": str(known), "duplicates": duplicates or ()}
    wrong = {} if duplicates is not None else {"duplicates": "a tuple of ids"}
    for name, (is_right, expected, otherwise) in _OTHERS.items():
        if not is_right(getattr(reported, name)):
            members[name], wrong[name] = otherwise, expected
    changed = {name: value for name, value in members.items() if value is not getattr(reported, name)}
    return (replace(reported, **changed) if changed else reported), wrong


def _is_amount(value: object) -> bool:
    return value is None or money.is_cents(value)


def _is_instant(value: object) -> bool:
    return value is None or (isinstance(value, datetime) and value.utcoffset() is not None and value.year in _YEARS)


def _is_account(value: object) -> bool:
    return isinstance(value, Mapping) and all(isinstance(each, Secret) for each in value.values())


_INSTANT = "an aware datetime, or None"
_AMOUNT = f"an int of 0 to {money.MAX_CENTS} cents, or None"
_OTHERS: Mapping[str, tuple[Callable[[object], bool], str, Any]] = {
    "expected_charge": (_is_amount, _AMOUNT, None),
    "charged": (_is_amount, _AMOUNT, None),
    "expected_ready_at": (_is_instant, _INSTANT, None),
    "customer_account": (_is_account, "a mapping of Secrets", {}),
}
"""The members that an order can do without: what is right, in words, and what stands for a wrong one."""


def _id(value: object) -> str | int | None:
    """An id as text or a number; None if it is none."""
    if isinstance(value, str):
        return str.__str__(value) if value.strip() else None
    if isinstance(value, Decimal):
        if not value.is_finite() or abs(value.adjusted()) > _MOST_DIGITS or value != value.to_integral_value():
            return None
        value = int(value)
    return value if type(value) is int and abs(value) < 10**_MOST_DIGITS else None


def _ids(values: object) -> tuple[str, ...] | None:
    if values == ():
        return ()
    if not isinstance(values, (tuple, list)):
        return None
    ids = [_id(value) for value in values]
    return None if None in ids else tuple(map(str, ids))


def kept_id(text: str) -> str:
    """An id as it is recorded: one of over :data:`LONGEST_ID` characters by its beginning and its fingerprint."""
    if len(text) <= LONGEST_ID:
        return text
    return f"{text[:_BEGINNING]}***{hashlib.sha256(text.encode()).hexdigest()[:32]}"


def is_whole(id: str) -> bool:
    """Whether a recorded id is the provider's own, by which it can be asked; not the fingerprint of one."""
    return not (FINGERPRINT.fullmatch(id) or _SHORTENED.fullmatch(id))


def check_reference(answer: Placed | OrderStatus, reference: str | None, adapter: Adapter, session: Session) -> None:
    """Accept an order only if the provider returns our reference (SUB-8).

    :raises Unanswered: ``provider_protocol_error``: the answer is about another order, or does not say which one.
    """
    echoed: object = answer.reference
    if echoed == reference or (echoed is None and adapter.echoes_nothing):
        return
    name, member = type(adapter).__name__, f"{type(answer).__name__}.reference"
    event = "order_without_reference"
    if echoed is None:
        words = (
            f"{name} returned an order without its reference: read it from the provider's answer into {member}, or "
            "declare echoes_nothing with the provider's own statement"
        )
    elif not isinstance(echoed, str):
        words = f"{name} returned {member} as {type(echoed).__name__}: it must be the string that was sent"
    else:
        event, words = "answer_of_another_order", "the provider's answer is about the order of another reference"
    words += last_call(session)
    log.error(event, extra={"account": adapter.account.name, "submission": reference, "cause": words})
    raise broken_protocol(words)


def last_call(session: Session) -> str:
    """The session's last call, for a message to the author of an adapter."""
    if not session.calls:
        return ""
    return f" (last call: {session.calls[-1].method} {session.calls[-1].path})"


def _wrong(
    member: str, value: object, expected: str, reference: str | None, adapter: Adapter, session: Session
) -> Unanswered:
    """Report a wrong type; the failure to raise if the order cannot do without it. The value may be private."""
    words = f"{type(adapter).__name__} returned {member} as {type(value).__name__}: it must be {expected}"
    words += last_call(session)
    log.error(
        "order_with_wrong_member", extra={"account": adapter.account.name, "submission": reference, "cause": words}
    )
    return broken_protocol(words)
