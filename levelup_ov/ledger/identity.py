"""What makes a submission recognizable: keyed digests of its identities and of its content (SUB-3).

Pure functions; :meth:`levelup_ov.ledger.claims.Claims.claim` decides with them. The keys are those of META-7, newest
first. Everything is digested under every key, so that processes in the middle of a key rotation recognize one another's
submissions as long as they share one key. What the channel names is also digested under a key that the ledger keeps, so
that it is recognized if they share none. A digest also covers the location and the kind: the same key at two locations,
or as two kinds, is two identities.
"""

from __future__ import annotations

import hmac
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from functools import lru_cache
from typing import Any, Literal
from uuid import UUID

import orjson

from levelup_ov.domain.order import DeliveryAddress, Item
from levelup_ov.domain.request import SubmissionRequest
from levelup_ov.domain.secret import Secret

Kind = Literal[
    "idempotency_key", "order_number", "grubhub_order_number", "order_validation_id", "card", "content", "charge"
]

NAMED: tuple[Kind, ...] = ("idempotency_key", "order_number", "grubhub_order_number", "order_validation_id")
"""The kinds that the channel names, the strongest first."""
UNGUESSABLE: tuple[Kind, ...] = ("idempotency_key", "order_validation_id")
"""The named kinds that are random; a number can be found by trying."""
DERIVED: tuple[Kind, ...] = ("card", "content")
"""The kinds that are used where the channel names none."""
WINDOWS: Mapping[Kind, timedelta] = {
    "idempotency_key": timedelta(days=7),
    "order_number": timedelta(days=7),
    "grubhub_order_number": timedelta(days=7),
    "order_validation_id": timedelta(days=7),
    "card": timedelta(hours=24),
    "content": timedelta(seconds=90),
}
"""How long an identity stays taken after its submission was placed (SUB-3)."""

PERIOD = timedelta(days=30)
"""How long an identity has the same references; settled submissions are kept at least as long."""

_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)

_encode_compact = json.JSONEncoder(separators=(",", ":")).encode
_encode_sorted = json.JSONEncoder(separators=(",", ":"), sort_keys=True).encode
_encode_text = json.encoder.encode_basestring_ascii
_encode_spaced = json.JSONEncoder().encode
"""The original version of the item order; it is part of every stored digest."""


@dataclass(frozen=True, slots=True)
class Identity:
    """One identity: its digest under every key, newest key first, as lower-case hex.

    ``kept``: its digest under the key that the ledger keeps. ``kept_content``: the digest that compares the contents of
    two submissions that have ``kept`` in common; without it, their contents cannot be compared.
    """

    kind: Kind
    digests: tuple[str, ...]
    kept: str | None = None
    kept_content: str | None = None

    @property
    def all_digests(self) -> tuple[str, ...]:
        """Every digest, also the one that is kept."""
        return self.digests if self.kept is None else (*self.digests, self.kept)


def kinds_of(identities: Iterable[Identity]) -> dict[str, Kind]:
    """The kind of each digest."""
    return {digest: identity.kind for identity in identities for digest in identity.all_digests}


def compared_digests(identities: Iterable[Identity], content: tuple[str, ...]) -> tuple[str, ...]:
    """The digests that compare a content with those of other submissions."""
    return (*content, *(identity.kept_content for identity in identities if identity.kept_content is not None))


def period_of(now: datetime) -> int:
    """The number of the :data:`PERIOD` that ``now`` is in.

    Channels reuse their numbers. Once the ledger has deleted one, it must not lead to the old order.
    """
    return (now - _EPOCH) // PERIOD


def reference_of(
    location: str,
    *,
    key: Callable[[], bytes],
    period: int = 0,
    idempotency_key: str | None = None,
    order_number: str | None = None,
    grubhub_order_number: str | None = None,
    order_validation_id: str | None = None,
) -> Callable[[int], str] | None:
    """Returns the function from a generation to our reference (SUB-11); None: the channel names no identity.

    The reference is derived only from the strongest identity, so that every attempt has the same one, on any host and
    whatever the ledger has lost. ``key`` gives the key, when it is needed; ``period`` comes from :func:`period_of`; for
    the others see :func:`identities`.
    """
    values = (idempotency_key, order_number, grubhub_order_number, order_validation_id)
    strongest = next(((kind, value) for kind, value in zip(NAMED, values, strict=True) if value is not None), None)
    if strongest is None:
        return None
    kind, value = strongest

    def reference(generation: int) -> str:
        when = (str(generation).encode(), str(period).encode())
        (digest,) = _digests((key(),), location, f"reference {kind}", value.encode(), *when)
        # In the form of a custom UUID (RFC 9562, version 8), because providers accept UUIDs as keys.
        variant = "89ab"[int(digest[16], 16) & 3]
        return f"{digest[:8]}-{digest[8:12]}-8{digest[13:16]}-{variant}{digest[17:20]}-{digest[20:32]}"

    return reference


def identities(
    location: str,
    *,
    content: bytes,
    keys: Sequence[bytes],
    idempotency_key: str | None = None,
    order_number: str | None = None,
    grubhub_order_number: str | None = None,
    order_validation_id: str | None = None,
    card_number: Secret | None = None,
) -> tuple[Identity, ...]:
    """The identities of a submission (SUB-3): all that it names, otherwise one derived from its content.

    ``location`` is the published location id, ``content`` comes from :func:`content`. ``order_validation_id`` is the
    verified inner id (META-8), not the token that carried it, because a token may have several spellings.
    """
    named: Mapping[Kind, str | None] = {
        "idempotency_key": idempotency_key,
        "order_number": order_number,
        "grubhub_order_number": grubhub_order_number,
        "order_validation_id": order_validation_id,
    }
    present: dict[Kind, tuple[bytes, ...]] = {
        kind: (value.encode(),) for kind, value in named.items() if value is not None
    }
    if not present and card_number is not None:
        digits = "".join(filter(str.isdigit, card_number.reveal()))
        present = {"card": (digits.encode(), content)}
    if not present:
        present = {"content": (content,)}
    return tuple(Identity(kind, _digests(keys, location, kind, *values)) for kind, values in present.items())


def with_kept(
    found: Sequence[Identity],
    location: str,
    key: bytes,
    values: Mapping[Kind, str | None],
    content: bytes | None = None,
) -> tuple[Identity, ...]:
    """``found``, with digests under the ``key`` that the ledger keeps of those that have a value in ``values``.

    The key is stored beside the digests. So the digest of the content covers the value, too, which is not: without it,
    nobody can try contents until one matches. No content is digested with a value that can be found by trying, or
    if ``content`` is None.
    """

    def kept(each: Identity) -> Identity:
        if (value := values.get(each.kind)) is None:
            return each
        (digest,), compared = _digests((key,), location, each.kind, value.encode()), None
        if content is not None and each.kind in UNGUESSABLE:
            (compared,) = _digests((key,), location, f"content of {each.kind}", value.encode(), content)
        return Identity(each.kind, each.digests, digest, compared)

    return tuple(map(kept, found))


def window_of(identities: Iterable[Identity]) -> timedelta:
    """The longest of the windows of ``identities``."""
    return max(WINDOWS[each.kind] for each in identities)


def charge_digest(id: str) -> str:
    """The digest by which a submission is found that turned out to be the order of a charge with this id (WEB-5).

    It is only the id, so it needs no secret key, and :func:`charge_of` returns the id.
    """
    return id.replace("-", "")


def charge_of(digest: str) -> str:
    """The id of the charge whose :func:`charge_digest` this is."""
    return str(UUID(digest))


def content_digests(location: str, content: bytes, keys: Sequence[bytes]) -> tuple[str, ...]:
    """The digests that compare the contents of two submissions with the same identity (SUB-4), newest key first."""
    return _digests(keys, location, "content", content)


def alike_digests(location: str, content: bytes, name: str, keys: Sequence[bytes]) -> tuple[str, ...]:
    """The digests of the content and the guest's name, newest key first.

    They decide whether an order repeats an unknown one under another identity. The name counts because two people may
    share an address and a telephone.
    """
    return _digests(keys, location, "alike", content, name.casefold().encode())


def content(request: SubmissionRequest) -> bytes:
    """The members of the submission that make it the same order, in one canonical form (SUB-3).

    They are the user's e-mail and phone, items, options, quantities, instructions, desired time, tip, discount, kind
    of tender, and the fulfillment with, for a delivery, its address. Card data, metadata, names and prices do not
    count; the digest adds the location.

    The sequence of items and of options does not count: the same lines in a different sequence are the same meal, and
    a second meal would be the worse mistake. Two lines of one are not one line of two. Absent and empty instructions
    are the same. An aware desired time counts as its instant, a naive one (local, as the channel wrote it) as its
    digits.
    """
    order = request.order
    return _encode(
        [
            order.user.email,
            order.user.phone,
            _in_order([_item(item) for item in order.items]),
            order.special_instructions or None,
            _time(order.desired_ready_time),
            order.fulfillment_type,
            _address(order.delivery_address),
            order.tip,
            order.merchant_funded_discount,
            request.tender.kind,
        ]
    )


def sorted_json(value: Any) -> bytes:
    """JSON whose objects have their members in order; the same value is always written the same way."""
    return _as_standard(value, orjson.OPT_SORT_KEYS, _encode_sorted)


def _encode(members: list[Any]) -> bytes:
    return _as_standard(members, None, _encode_compact)


def _as_standard(value: Any, option: int | None, encode: Callable[[Any], str]) -> bytes:
    """JSON as the standard library writes it, which every stored digest has; orjson does so faster if all is ASCII."""
    try:
        written = orjson.dumps(value, option=option)
    except TypeError:
        return encode(value).encode()
    # The standard library also escapes the last character of ASCII.
    return written if written.isascii() and b"\x7f" not in written else encode(value).encode()


def _in_order(items: list[list[Any]]) -> list[list[Any]]:
    """The items in the sequence of their JSON texts, which that of their ids decides if no id occurs twice."""
    if len({item[0] for item in items}) == len(items):
        return sorted(items, key=lambda item: _encode_text(item[0]))
    return sorted(items, key=_encode_spaced)


def _item(item: Item) -> list[Any]:
    options = sorted([option.provider_id, option.quantity] for option in item.options)
    return [item.provider_id, item.quantity, item.special_instructions or None, options]


def _time(time: datetime | None) -> str | None:
    if time is None:
        return None
    return (time.astimezone(timezone.utc) if time.tzinfo else time).isoformat()


def _address(address: DeliveryAddress | None) -> list[str | None] | None:
    if address is None:
        return None
    return [
        part or None
        for part in (
            address.street_address,
            address.extended_address,
            address.locality,
            address.region,
            address.postal_code,
            address.delivery_instructions,
        )
    ]


def _digests(keys: Iterable[bytes], location: str, kind: str, *values: bytes) -> tuple[str, ...]:
    # The length before each part distinguishes ("ab", "c") from ("a", "bc"); the label distinguishes these digests
    # from everything else that is made with the same keys.
    parts = (b"levelup_ov submission", location.encode(), kind.encode(), *values)
    message = b"".join([len(part).to_bytes(8, "big") + part for part in parts])
    return tuple([_digest(key, message) for key in keys])


def _digest(key: bytes, message: bytes) -> str:
    prepared = _prepared(key).copy()
    prepared.update(message)
    return prepared.hexdigest()


@lru_cache(maxsize=64)
def _prepared(key: bytes) -> hmac.HMAC:
    """A digest without a message; OpenSSL takes longer to find its algorithm and start than to digest one."""
    return hmac.new(key, digestmod="sha256")
