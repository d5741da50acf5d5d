"""Invalid requests, each made from an order that the location accepts (EP-8, EP-9, EP-11)."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from levelup_ov.certify.client import RoundTrip
from levelup_ov.certify.conversation import Conversation, members
from levelup_ov.certify.endpoints import LocationUnderTest, refused_as

_ROOT = "order_validation"
_ITEM = "items[0].item"
_ABSENT = object()


@dataclass(frozen=True, slots=True)
class Raw:
    """Text that is written into the body unchanged."""

    text: str


WRONG_AMOUNTS: tuple[Any, ...] = (Raw("10.0"), "10", Raw("1e3"), True, -1, 100_000_000)
WRONG_QUANTITIES: tuple[Any, ...] = (0, -1, 1.5, "1", True, 10_000, None)

WRONG_MEMBERS: tuple[tuple[str, str, Any], ...] = (
    *(("MONEY-1", "tip", amount) for amount in WRONG_AMOUNTS),
    *(("MONEY-1", "merchant_funded_discount", amount) for amount in WRONG_AMOUNTS),
    *(("ITEM-6", f"{_ITEM}.quantity", quantity) for quantity in WRONG_QUANTITIES),
    ("EP-11", "items", []),
    ("EP-11", "items", {}),
    ("EP-11", "items", _ABSENT),
    ("EP-11", f"{_ITEM}.provider_id", _ABSENT),
    ("EP-11", f"{_ITEM}.provider_id", 7),
    ("EP-11", f"{_ITEM}.quantity", _ABSENT),
    ("EP-11", f"{_ITEM}.options", "none"),
    ("EP-11", "user", _ABSENT),
    ("EP-11", "user", "Robin"),
    ("EP-11", "metadata", []),
    ("TIME-2", "desired_ready_time", "tomorrow at noon"),
    ("TIME-2", "desired_ready_time", "2030-02-30T12:00"),
    ("TIME-2", "desired_ready_time", 1_900_000_000),
)
"""Rule, member, and a value that must be refused with an error that names the member."""

_DECIDED = frozenset({100_000_000, 10_000})
"""Values outside a range that this project chose."""


def check_bodies(talk: Conversation, place: LocationUnderTest, sound: Mapping[str, Any], answer: RoundTrip) -> None:
    """``sound`` is an order that ``place`` accepts, ``answer`` its answer."""
    for rule, member, value in WRONG_MEMBERS:
        wrong = changed(sound, member, value)
        replaced = {"\x00raw": value.text} if isinstance(value, Raw) else {}
        exchange = talk.order(place.id, _ROOT, wrong, replaced=replaced)
        title = f"{member.rpartition('.')[2]} {_words(value)} is refused"
        talk.report.expect(rule, title, exchange.refused, exchange, decision=type(value) is int and value in _DECIDED)
        refused_as(talk, rule, title, exchange, 422, "invalid_member", f"$.{_ROOT}.{member}")
    for title, user in (
        ("a user without a name is refused", {"phone": "617-555-0142"}),
        ("a user without phone and email is refused", {"first_name": "Robin", "last_name": "Example"}),
    ):
        exchange = talk.order(place.id, _ROOT, {**sound, "user": user})
        talk.report.expect("EP-11", title, exchange.refused, exchange)
        refused_as(talk, "EP-11", title, exchange, 422, "invalid_member")
    _unknown_members(talk, place, sound, answer)
    _unreadable(talk, place, sound)


def changed(sound: Mapping[str, Any], member: str, value: Any) -> dict[str, Any]:
    """``sound`` with a different value at ``member``."""
    result = copy.deepcopy(dict(sound))
    *above, name = member.replace("[0]", ".0").split(".")
    inner: Any = result
    for part in above:
        inner = inner[int(part) if part.isdigit() else part]
    if value is _ABSENT:
        del inner[name]
    else:
        inner[name] = "\x00raw" if isinstance(value, Raw) else value
    return result


def _unknown_members(talk: Conversation, place: LocationUnderTest, sound: Mapping[str, Any], answer: RoundTrip) -> None:
    novelty = {"certify_novelty": {"deep": [1, None, {"a": True}]}}
    order = {**copy.deepcopy(dict(sound)), **novelty}
    order["user"] = {**order["user"], **novelty}
    order["metadata"] = {**order["metadata"], **novelty}
    for wrapper in order["items"]:
        wrapper["item"] |= novelty
        wrapper |= novelty
        for option in wrapper["item"]["options"]:
            option["option"] |= novelty
            option |= novelty
    exchange = talk.order(place.id, _ROOT, order)
    talk.report.expect("EP-8", "unknown members are ignored everywhere", exchange.ok, exchange)
    if exchange.ok:
        same = members(exchange).get("total") == members(answer).get("total")
        talk.report.expect("EP-8", "unknown members change nothing", same, exchange, "the total is different")
        title = "unknown members of metadata are not echoed"
        echoed = "certify_novelty" in (members(exchange).get("metadata") or {})
        talk.report.expect("META-9", title, not echoed, exchange, "they are", decision=True)
    body = json.dumps({_ROOT: sound, **novelty}).encode()
    exchange = talk.raw(place.id, _ROOT, body)
    talk.report.expect("EP-8", "unknown members are ignored beside the root", exchange.ok, exchange)


def _unreadable(talk: Conversation, place: LocationUnderTest, sound: Mapping[str, Any]) -> None:
    body = json.dumps({_ROOT: sound}).encode()
    for title, content, headers, status, code, decision in _unreadable_bodies(body):
        exchange = talk.raw(place.id, _ROOT, content, headers)
        talk.report.expect("EP-9", title, exchange.refused, exchange, decision=decision)
        refused_as(talk, "EP-9", title, exchange, status, code)
    for title, content in (
        ("a body without the root member is refused", json.dumps(sound).encode()),
        ("a root member that is not an object is refused", json.dumps({_ROOT: [sound]}).encode()),
    ):
        exchange = talk.raw(place.id, _ROOT, content)
        talk.report.expect("EP-10", title, exchange.refused, exchange)
        refused_as(talk, "EP-10", title, exchange, 422, "invalid_member")


def _unreadable_bodies(body: bytes) -> Iterator[tuple[str, bytes, Mapping[str, str], int, str, bool]]:
    yield "malformed JSON is refused", body[:-1], {}, 400, "malformed_json", False
    yield "an empty body is refused", b"", {}, 400, "malformed_json", False
    latin = body.replace(b"Certification", b"Certif\xff")
    yield "text that is not UTF-8 is refused", latin, {}, 400, "malformed_json", False
    twice = b'{"tip": 0, "tip": 1, ' + body[len(_ROOT) + 6 :]
    yield (
        "an object with the same member twice is refused",
        b'{"%s": %s' % (_ROOT.encode(), twice), {}, 400, "duplicate_member", True,
    )  # fmt: skip
    half = body.replace(b'"Certification"', b'"\\ud800"')
    yield "half a surrogate pair is refused", half, {}, 400, "malformed_json", True
    control = body.replace(b'"Certification"', b'"Certi\\u0000fication"')
    yield "a control character is refused", control, {}, 422, "invalid_member", True
    for kind in ("text/plain", "application/x-www-form-urlencoded"):
        yield f"a body declared as {kind} is refused", body, {"Content-Type": kind}, 415, "unsupported_media_type", True
    zipped = {"Content-Encoding": "gzip"}
    yield "a body declared as compressed is refused", body, zipped, 415, "unsupported_media_type", True
    big = body[:-1] + b" " * (1024 * 1024) + b"}"
    yield "a body over 1 MiB is refused with an answer", big, {}, 413, "payload_too_large", True


def _words(value: Any) -> str:
    if isinstance(value, Raw):
        return value.text
    return "absent" if value is _ABSENT else json.dumps(value)
