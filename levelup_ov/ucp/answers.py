"""From a session to an answer: what both faces say in the same way. Pure (UCP-5, UCP-6, UCP-9)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import datetime, timezone
from functools import partial
from typing import Any

import orjson
from msgspec import Struct

from levelup_ov.sessions.model import Buyer, CheckoutSession, Line, PricedLine, Problem, Totals
from levelup_ov.ucp.problems import STANDARD, Message, Severity, plain

_BUYER_WIRE: Mapping[str, str] = {"phone": "phone_number"}
_LINE_PATH = re.compile(r"lines\[(\d+)\]\.?(.*)")
_OPTION_PATH = re.compile(r"lines\[(\d+)\]\.options\[(\d+)\]")
_USUAL: Mapping[str, str] = {
    "payment_failed": "tender",
    "location_closed": "location",
    "minimum_order_unmet": "totals",
}
"""Where the problem of a code is that names no member."""
_WARNINGS = frozenset({"price_changed", "charge_mismatch", "outcome_unknown", "submission_in_progress"})
"""Of the problems, those that the agent cannot mend by another basket."""
_INSTANT = orjson.OPT_UTC_Z | orjson.OPT_OMIT_MICROSECONDS
_IN_PROGRESS = (
    "it is not known yet whether the order was placed; read the checkout again, and do not create another one"
)


class AnswerContext(Struct, frozen=True):
    """What an answer contains besides the session.

    ``claims``: what the agent says that the buyer is entitled to. ``instrument``: where the one that was to be charged
    is in the request.
    """

    base_url: str
    links: tuple[Mapping[str, str], ...] = ()
    messages: tuple[Message, ...] = ()
    claims: tuple[str, ...] = ()
    instrument: int = 0


def common(session: CheckoutSession) -> dict[str, Any]:
    """The members that do not depend on the face."""
    members: dict[str, Any] = {
        "id": session.id,
        "status": session.state,
        "currency": session.currency,
        "totals": totals(session),
        "expires_at": instant(session.expires_at),
    }
    if session.basket.buyer is not None and (buyer := _buyer(session.basket.buyer)):
        members["buyer"] = buyer
    return members


def totals(session: CheckoutSession) -> list[dict[str, Any]]:
    """Every part of the price as an entry of its own; they add up to ``total`` (UCP-6)."""
    price = session.price
    parts = price.totals if price else Totals(0, 0, 0)
    subtotal: dict[str, Any] = {"type": "subtotal", "display_text": "Subtotal", "amount": parts.subtotal}
    if price is not None:
        subtotal["lines"] = [
            {"display_text": f"{line.quantity} x {line.name}", "amount": line.subtotal} for line in price.lines
        ]
    found = [subtotal]
    found += [{"type": "discount", "display_text": each.name, "amount": -each.amount} for each in parts.discounts]
    found += [{"type": "fee", "display_text": each.name, "amount": each.amount} for each in parts.fees]
    found.append({"type": "tax", "display_text": "Tax", "amount": parts.tax})
    if parts.tip:
        found.append({"type": "tip", "display_text": "Tip", "amount": parts.tip})
    return [*found, {"type": "total", "display_text": "Total", "amount": parts.total}]


def line_totals(session: CheckoutSession, line: PricedLine | None) -> list[dict[str, Any]]:
    """The totals of one line; none while the session has no price."""
    if line is None or session.price is None:
        return []
    return [{"type": "subtotal", "amount": line.subtotal}, {"type": "total", "amount": line.subtotal}]


def lines(session: CheckoutSession) -> list[tuple[Line, PricedLine | None]]:
    """Each line of the basket with its price, or with what the menu says of it."""
    priced = {line.reference: line for line in session.lines}
    return [(line, priced.get(line.reference)) for line in session.basket.lines]


def messages(
    session: CheckoutSession, shown: AnswerContext, wire_path: Mapping[str, str], of_face: Iterable[Message] = ()
) -> list[dict[str, Any]]:
    """What must be said about a session. ``wire_path``: JSONPaths by the names of :attr:`Problem.path`."""
    problems = [_problem(each, session, wire_path, shown.instrument) for each in session.problems]
    found = [*shown.messages, *of_face, *problems]
    if session.changed and not any(each.code == "totals_changed" for each in found):
        found.append(_changed())
    found += [
        Message(
            "warning", "eligibility_not_accepted", f"{claim} is not known here", f"$.context.eligibility[{position}]"
        )
        for position, claim in enumerate(shown.claims)
    ]
    return [each.wire() for each in found]


def instant(at: datetime) -> str:
    """RFC 3339, in UTC."""
    # isoformat takes almost four times as long.
    return orjson.dumps(at.astimezone(timezone.utc), option=_INSTANT)[1:-1].decode()


def without_none(members: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    """The members that have a value: UCP leaves out what there is not."""
    return {name: value for name, value in members if value is not None}


def _changed() -> Message:
    words = "the total differs from the one that was shown before; nothing was charged"
    return Message("warning", "totals_changed", words, "$.totals")


def _problem(problem: Problem, session: CheckoutSession, wire_path: Mapping[str, str], instrument: int) -> Message:
    if problem.code == "totals_changed":
        return _changed()
    if problem.code in _WARNINGS and session.state != "incomplete":
        path = "$.totals" if problem.code in ("price_changed", "charge_mismatch") else ""
        return Message("warning", problem.code, problem.message if path else _IN_PROGRESS, path)
    code = STANDARD.get(problem.code, problem.code)
    where = _OPTION_PATH.sub(partial(_as_listed, session), problem.path or "")
    path = _path(_USUAL.get(code, where) if where in ("", "lines") else where, wire_path, instrument)
    severity: Severity = "recoverable" if problem.recoverable else "unrecoverable"
    return Message("error", code, _named(where, plain(problem.message), session), path, severity)


def _named(path: str, words: str, session: CheckoutSession) -> str:
    """The words about a line with the name of its dish, which an agent can show to a person."""
    match = _LINE_PATH.fullmatch(path)
    shown = [priced.name if priced else "" for _, priced in lines(session)]
    name = shown[int(match[1])] if match is not None and int(match[1]) < len(shown) else ""
    return words if name.lower() in words.lower() else f"{name}: {words}"


def _as_listed(session: CheckoutSession, path: re.Match[str]) -> str:
    """The path of an option: an answer lists one that is chosen twice once, with its quantity."""
    line, option = int(path[1]), int(path[2])
    chosen = [line.options for line in session.basket.lines]
    if line >= len(chosen) or option >= len(chosen[line]):
        return path[0]
    return f"lines[{line}].options[{list(dict.fromkeys(chosen[line])).index(chosen[line][option])}]"


def _path(path: str, wire_path: Mapping[str, str], instrument: int) -> str:
    """``lines[0].options[1]`` in the face's words."""
    path = path.removeprefix("$.")
    if (match := _LINE_PATH.fullmatch(path)) is not None:
        member, _, rest = match[2].partition("[")
        inner = wire_path.get(f"lines.{member}", "")
        return f"$.line_items[{match[1]}]{inner}" + (f"[{rest}" if rest and inner else "")
    head, _, rest = path.partition(".")
    if head == "buyer":
        return "$.buyer" + (f".{_BUYER_WIRE.get(rest, rest)}" if rest else "")
    if head == "tender":
        return f"$.payment.instruments[{instrument}]"
    found = wire_path.get(head, "")
    return f"{found}.{rest}" if found and rest and head == "delivery_address" else found


def _buyer(buyer: Buyer) -> dict[str, Any]:
    return without_none(
        [
            ("first_name", buyer.first_name),
            ("last_name", buyer.last_name),
            ("email", buyer.email),
            ("phone_number", buyer.phone),
        ]
    )
